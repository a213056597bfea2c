"""The server of pages on which people answer: who is answered, and what can be told."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import socket
import threading

import pytest

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.rating.page_server import PageServer, Picture, composed


def refuse(request):
    raise SettingsError("score must be from 0.1 to 1, not 7.")


def full_disk(request):
    raise FileError("labels.csv: cannot be written: No space left on device")


def faulty(request):
    return 1 / 0


@pytest.fixture
def told():
    return []


@pytest.fixture
def server(told):
    routes = {
        "GET /asked": lambda request: dict(request.query),
        "GET /picture": lambda request: Picture(b"png", "image/png"),
        "GET /faulty": faulty,
        "POST /told": lambda request: told.append(dict(request.content)) or {"n": len(told)},
        "POST /refused": refuse,
        "POST /full": full_disk,
    }
    with PageServer("label_page", routes) as server:
        yield server


def ask(server, path, method="GET", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    headers.setdefault("Host", f"127.0.0.1:{server.port}")
    if body is not None:
        headers.setdefault("Content_Length", str(len(body)))
    for name, value in headers.items():
        if value is not None:
            connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def token_of(server):
    return json.loads(ask(server, "/token")[1])["token"]


def tell(server, path="/told", content=b'{"score": 0.7}', **changes):
    headers = {
        "Origin": f"http://127.0.0.1:{server.port}",
        "X_Token": token_of(server),
        "Content_Type": "application/json",
    }
    return ask(server, path, "POST", content, **{**headers, **changes})


def test_what_is_asked_and_told_comes_through(server, told):
    assert json.loads(ask(server, "/asked?rater=Zo%C3%AB&at=3")[1]) == {"rater": "Zoë", "at": "3"}
    answer, content = ask(server, "/picture")
    assert (answer.getheader("Content-Type"), content) == ("image/png", b"png")
    answer, content = tell(server, content='{"comment": "größer"}'.encode())
    assert (answer.status, json.loads(content)) == (200, {"n": 1})
    assert told == [{"comment": "größer"}]


def test_what_arrives_in_pieces_is_put_together(server, told):
    body = json.dumps({"comment": "x" * 20_000}).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as one:
        head = (
            f"POST /told HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"X-Token: {token_of(server)}\r\n"
            f"Origin: http://127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        for piece in (
            head[:50].encode(),
            head[50:].encode() + body[:10],
            body[10:9000],
            body[9000:],
        ):
            one.sendall(piece)
        assert one.recv(12) == b"HTTP/1.0 200"
    assert told == [json.loads(body)]


@pytest.mark.parametrize(
    "changes",
    [
        dict(Origin="http://evil.example"),
        dict(Origin="null"),
        dict(Origin=None),
        dict(Origin="https://127.0.0.1"),
        dict(X_Token=None),
        dict(X_Token=""),
        dict(X_Token="guess"),
    ],
)
def test_only_the_page_itself_can_tell_anything(server, told, changes):
    assert tell(server, **changes)[0].status == 403
    assert told == []


def test_another_page_of_this_computer_is_another_origin(server, told):
    assert tell(server, Origin="http://127.0.0.1:1")[0].status == 403
    # By each of its names it is the page itself, as long as both are the same.
    assert tell(server, Host="localhost:80", Origin="http://localhost:80")[0].status == 200
    assert tell(server, Host="localhost:80")[0].status == 403


@pytest.mark.parametrize("path", ["/token", "/asked", "/picture"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_elsewhere_get_nothing(server, path, site):
    assert ask(server, path, Sec_Fetch_Site=site)[0].status == 403
    # A link may lead to the page.
    assert ask(server, "/", Sec_Fetch_Site=site)[0].status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:80", ""])
def test_a_name_that_is_made_to_point_here_reaches_nothing(server, told, host):
    for path in ("/", "/token", "/asked"):
        assert ask(server, path, Host=host)[0].status == 421
    assert tell(server, Host=host, Origin=f"http://{host}")[0].status == 421
    assert told == []


@pytest.mark.parametrize(
    ("content", "changes", "status"),
    [
        (b"score=7", {}, 400),
        (b"[1]", {}, 400),
        (b"\xff", {}, 400),
        (b"", {}, 400),
        (b"{}", dict(Content_Length="x"), 400),
        (b"{}", dict(Content_Length="-2"), 400),
        (b"{}", dict(Content_Length="9" * 30), 400),
        (b"{}", dict(Content_Length=None), 400),
        (b'{"a":"' + b"x" * 2**15 + b'"}', {}, 400),
        (b"{}", dict(Content_Type="text/plain"), 415),
        (b"{}", dict(Content_Type="application/x-www-form-urlencoded"), 415),
    ],
)
def test_what_is_no_object_of_moderate_size_is_refused(server, told, content, changes, status):
    assert tell(server, content=content, **changes)[0].status == status
    assert told == []


def test_the_page_is_told_what_went_wrong(server):
    answer, content = tell(server, "/refused")
    assert (answer.status, json.loads(content)["error"]) == (
        400,
        "score must be from 0.1 to 1, not 7.",
    )
    # By this status it knows that it may work the next time.
    answer, content = tell(server, "/full")
    assert (answer.status, "No space left" in json.loads(content)["error"]) == (503, True)
    answer, content = ask(server, "/faulty")
    assert (answer.status, "ZeroDivisionError" in json.loads(content)["error"]) == (500, True)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "NONSENSE"])
def test_no_other_method_is_answered(server, method):
    answer, _ = ask(server, "/asked", method)
    assert answer.status == 405
    assert answer.getheader("Allow") == "GET, HEAD, POST"


@pytest.mark.parametrize(
    "path", ["/nothing", "/told", "/../labels.csv", "//etc/passwd", "/asked/x"]
)
def test_there_is_nothing_else(server, path):
    assert ask(server, path)[0].status == 404
    assert tell(server, "/asked")[0].status == 404


def test_every_answer_keeps_what_others_could_do_out(server):
    for answer, _ in (ask(server, "/"), ask(server, "/asked"), tell(server), ask(server, "/no")):
        policy = answer.getheader("Content-Security-Policy")
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert answer.getheader("Access-Control-Allow-Origin") is None
        assert answer.getheader("Cross-Origin-Resource-Policy") == "same-origin"
        assert answer.getheader("X-Frame-Options") == "DENY"


@pytest.mark.parametrize("name", ["label_page", "study_page"])
def test_a_page_is_one_file_whose_script_and_style_alone_may_run(name):
    content, policy = composed(name)
    text = content.decode()
    for tag, what in (("script", "script-src"), ("style", "style-src")):
        inner = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S)
        assert len(inner) == 1
        digest = base64.b64encode(hashlib.sha256(inner[0].encode()).digest()).decode()
        assert f"{what} 'sha256-{digest}'" in policy
    # It asks for nothing from elsewhere.
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?(?!data:)(?:https?:)?//", text)
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")


def test_each_start_has_a_token_of_its_own(server):
    with PageServer("label_page", {}) as other:
        assert token_of(other) != token_of(server)
        assert tell(other, X_Token=token_of(server))[0].status == 403


def test_several_are_answered_at_a_time(told):
    both = threading.Barrier(2, timeout=10)

    def wait(request):
        both.wait()
        return {}

    with PageServer("label_page", {"GET /wait": wait}) as server:
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(ask(server, "/wait")[0].status))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [200, 200]
