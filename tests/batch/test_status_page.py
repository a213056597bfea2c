"""The page of a watch: what it answers to whom, and what a browser makes of it."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import threading
import time

import pytest
from PIL import Image

from microscope_quality.batch import local_server
from microscope_quality.batch.local_server import _MOST_CONNECTIONS, address_of, is_loopback
from microscope_quality.batch.status_page import MOST_CARDS, Board, Card, StatusPage
from microscope_quality.errors import FileError, SettingsError
from microscope_quality.statuses import Status

pytestmark = pytest.mark.browser

KINDS = [
    Status("good", "in focus", "●", "#3cbeff", 0),
    Status("bad", "out of focus", "○", "#ffeb5a", 3),
    Status("rare", "too small", "▫", "#b0a58c", 1, is_rare=True),
]
HOSTILE = "<script>document.title='pwned'</script>\u202e\n<img src=x onerror=alert(1)>&amp;.tif"


def jpeg():
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), (60, 190, 255)).save(stream, "JPEG")
    return stream.getvalue()


def card(name, kind="good", **rest):
    return Card(name, "2026-11-21T16:52:24Z", kind, title="3", colour="#b24bbd", **rest)


class Clock:
    now = 6000.0

    def __call__(self):
        return self.now


@pytest.fixture
def board():
    board = Board("plate 7", KINDS, scale=("sharp", ["#3cbeff", "#ffeb5a"], "far"), clock=Clock())
    board.beat(waiting=0, at_work=0, trouble="")
    return board


@pytest.fixture
def page(board):
    with StatusPage(board, "127.0.0.1", 0) as page:
        yield page


def ask(page, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    headers.setdefault("Host", f"127.0.0.1:{page.port}")
    connection.putrequest(method, path, skip_host=True)
    for name, value in headers.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_what_is_shown(board, page):
    board.count({"good": 2, "bad": 1})
    board.show(card("old.tif"), new=False)
    board.show(card("a.tif", picture=jpeg()))
    board.show(card("b.tif", "bad", detail="certainty 0.81", alert="b.tif is bad"))
    answer, content = ask(page, "/state.json")
    assert answer.getheader("Content-Type") == "application/json"
    state = json.loads(content)
    assert state["title"] == "plate 7"
    assert state["counts"] == {"good": 2, "bad": 1}
    assert [one["name"] for one in state["cards"]] == ["b.tif", "a.tif", "old.tif"]
    assert state["minutes"][-1] == 2
    assert sum(state["minutes"]) == 2
    newest, second, _ = state["cards"]
    assert newest["alert"] == "b.tif is bad"
    assert not newest["picture"]
    answer, content = ask(page, f"/picture/{second['id']}")
    assert answer.getheader("Content-Type") == "image/jpeg"
    assert content == jpeg()
    assert ask(page, f"/picture/{newest['id']}")[0].status == 404


def test_an_image_that_is_measured_again_has_one_card_and_old_ones_leave(board):
    for k in range(MOST_CARDS + 5):
        board.show(card(f"{k}.tif"))
    board.show(card("20.tif", "bad"))
    cards = json.loads(board.to_json())["cards"]
    assert len(cards) == MOST_CARDS
    assert (cards[0]["name"], cards[0]["kind"]) == ("20.tif", "bad")
    assert [one["name"] for one in cards].count("20.tif") == 1
    assert cards[-1]["name"] == "5.tif"
    board.show(card("2*.tif"), instead_of=["20.tif", "21.tif"])
    names = [one["name"] for one in json.loads(board.to_json())["cards"]]
    assert names[0] == "2*.tif"
    assert len(names) == MOST_CARDS - 1
    assert not {"20.tif", "21.tif"} & {*names}


def test_minutes_and_signs_of_life_are_of_a_clock_that_never_goes_back(board):
    board.show(card("a.tif"))
    board._clock.now += 180
    board.show(card("b.tif"))
    state = json.loads(board.to_json())
    assert state["minutes"][-4:] == [1, 0, 0, 1]
    assert state["quiet_seconds"] == 180
    board.beat()
    assert json.loads(board.to_json())["quiet_seconds"] == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST:1", "localhost.", "[::1]:80", "192.0.2.7:8765"]
)
def test_own_names_and_addresses_are_answered(page, host):
    assert ask(page, Host=host)[0].status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "a b",
        "[::1",
        "localhost@evil.example",
        "evil.example/localhost",
        None,
    ],
)
def test_names_that_are_made_to_point_here_are_not(page, board, host):
    board.show(card("secret.tif"))
    answer, content = ask(page, "/state.json", Host=host)
    assert answer.status in (400, 421)
    assert b"secret" not in content


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "NONSENSE"])
def test_nothing_can_be_changed(page, method):
    answer, _ = ask(page, method=method)
    assert answer.status == 405
    assert answer.getheader("Allow") == "GET, HEAD"


@pytest.mark.parametrize(
    "path",
    [
        "/..",
        "/../status_page.py",
        "/status_page.py",
        "/picture/",
        "/picture/../state.json",
        "//etc/passwd",
        "/picture/9999",
        "/%2e%2e/x",
        "/picture/1e9",
        "http://other/x",
    ],
)
def test_there_is_nothing_else(page, path):
    assert ask(page, path)[0].status == 404


def test_every_answer_forbids_scripts_from_elsewhere(page):
    for path, method in (("/", "GET"), ("/nothing", "GET"), ("/state.json", "HEAD"), ("/", "POST")):
        answer, content = ask(page, path, method)
        policy = answer.getheader("Content-Security-Policy")
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert answer.getheader("Access-Control-Allow-Origin") is None
        assert answer.getheader("Server").strip() == "microscope-quality"
        assert content or method == "HEAD"


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"\0\xff\r\n\r\n", b"Bad Request\n"),
        (b"GET / HTTP/1.1 HTTP/1.1\r\n\r\n", b"HTTP/1.0 400"),
        (b"GET / HTTP/1.1\r\nX: " + b"/" * 2**16, b"HTTP/1.0 431"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"HTTP/1.0 431"),
        (b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n", b"HTTP/1.0 200"),
    ],
)
def test_clients_that_talk_nonsense_are_answered(page, said, answer):
    with connected(page) as one:
        one.sendall(said)
        assert one.recv(12) == answer


def dripping(page, stop):
    """Connect, and send one byte of a request after the other, without an end."""
    with contextlib.suppress(OSError), connected(page) as one:
        for byte in b"GET /state.json HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 100_000:
            one.send(bytes([byte]))
            if stop.wait(0.2):
                return


def connected(page, receive_bytes=None):
    one = socket.socket()
    if receive_bytes:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    one.settimeout(10)
    one.connect(("127.0.0.1", page.port))
    return one


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be so"
        time.sleep(0.02)


def test_two_hundred_slow_clients_keep_nobody_out(page, board):
    # More than fits on the way to a client that does not read.
    board.show(card("a.tif", picture=b"x" * 20_000_000))
    number = json.loads(ask(page, "/state.json")[1])["cards"][0]["id"]
    before = threading.active_count()
    stop = threading.Event()
    drips = [threading.Thread(target=dripping, args=(page, stop)) for _ in range(50)]
    with contextlib.ExitStack() as held:
        held.callback(stop.set)
        for k in range(50):
            for _ in range(2):
                held.enter_context(connected(page))
            drips[k].start()
            with contextlib.suppress(OSError):
                unread = held.enter_context(connected(page, 4096))
                unread.sendall(b"GET /picture/%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % number)
            # Whoever comes amid them, or after them, is served as if they were not there.
            for path in ("/", "/state.json"):
                assert ask(page, path)[0].status == 200
            # The watch goes on meanwhile.
            board.beat(waiting=k)
        state = json.loads(ask(page, "/state.json")[1])
        assert state["waiting"] == 49
        assert threading.active_count() - before - 50 <= _MOST_CONNECTIONS + 1
    for drip in drips:
        drip.join()
    until(lambda: threading.active_count() <= before)


def test_a_request_has_to_arrive_in_time_however_it_trickles(page, monkeypatch):
    monkeypatch.setattr(local_server, "_HEAD_SECONDS", 0.5)
    with connected(page) as one, contextlib.suppress(ConnectionError):
        for _ in range(10_000):
            one.send(b"G")
            one.settimeout(0.01)
            with contextlib.suppress(TimeoutError):
                assert one.recv(1) == b""
                return
        pytest.fail("it was never cut off")


def test_an_answer_that_is_not_taken_is_cut_off(page, board, monkeypatch):
    monkeypatch.setattr(local_server, "_ANSWER_SECONDS", 0.5)
    board.show(card("a.tif", picture=b"x" * 20_000_000))
    before = threading.active_count()
    with connected(page, 4096) as one:
        one.sendall(b"GET /picture/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        until(lambda: threading.active_count() > before)
        until(lambda: threading.active_count() == before)
        n_bytes = 0
        with contextlib.suppress(ConnectionError):
            while piece := one.recv(2**20):
                n_bytes += len(piece)
    assert 0 < n_bytes < 20_000_000


def test_a_port_that_is_taken_is_told(page, board):
    with pytest.raises(FileError, match=f"^address 127.0.0.1:{page.port}"):
        StatusPage(board, "127.0.0.1", page.port)


def test_addresses_by_hand():
    assert address_of("8765") == ("127.0.0.1", 8765)
    assert address_of("localhost:1") == ("localhost", 1)
    assert address_of("0.0.0.0:80") == ("0.0.0.0", 80)
    assert address_of("[::1]:80") == ("::1", 80)
    for text in ("", "x", "1:2:3", "65536", "-1", "http://localhost:80", "::1:80", "a b:1"):
        with pytest.raises(SettingsError, match="^address is"):
            address_of(text)
    assert [is_loopback(host) for host in ("127.3.2.1", "::1", "localhost")] == [True] * 3
    assert [is_loopback(host) for host in ("0.0.0.0", "192.0.2.7", "lab-pc")] == [False] * 3


@pytest.fixture
def tab(browser):
    tab = browser.new_page(viewport={"width": 375, "height": 800})
    tab.said = []
    tab.on("console", lambda message: tab.said.append(message.text))
    tab.on("pageerror", lambda error: tab.said.append(str(error)))
    yield tab
    tab.close()


def test_in_a_browser(board, page, tab):
    board.count({"good": 1, "bad": 1})
    board.show(card("a.tif", picture=jpeg()))
    tab.goto(page.url)
    tab.wait_for_selector("text=a.tif")
    assert tab.title() == "plate 7 – watching"
    rare = tab.locator("#counts button[data-kind=rare]")
    assert not rare.is_visible()
    board.count({"good": 1, "bad": 1, "rare": 1})
    rare.wait_for(state="visible")
    # What comes later shows by itself, in front.
    board.show(card(HOSTILE, "bad", alert=HOSTILE))
    board.beat(alerts=[{"time": "2026-11-21T16:52:24Z", "reason": HOSTILE}], alert_number=1)
    tab.wait_for_selector("#newest li:nth-child(2)")
    names = tab.locator("#newest .name").all_inner_texts()
    assert names[1] == "a.tif"
    assert names[0].startswith("<script>document.title='pwned'</script>")
    assert "pwned" in tab.locator("#alert-list").inner_text()
    assert tab.title() == "(1) plate 7 – watching"
    assert tab.locator("main img").count() == 1
    assert tab.evaluate("document.querySelector('main img').naturalWidth") == 64
    # A picture that comes later takes its place; what is no time is left out.
    board.show(Card("c.tif", "", "good", old=True))
    tab.wait_for_selector("#newest li:first-child:has-text('no picture since the restart')")
    assert "Invalid" not in tab.locator("main").inner_text()
    board.change("c.tif", picture=jpeg())
    tab.wait_for_selector("#newest li:first-child img")
    assert tab.locator("#newest li").count() == 3
    # Nothing is wider than a phone.
    assert tab.evaluate("document.documentElement.scrollWidth") == 375
    # By keyboard: only one verdict, a picture larger, and back.
    good = tab.get_by_role("button", name="in focus").first
    good.focus()
    tab.keyboard.press("Enter")
    assert good.get_attribute("aria-pressed") == "true"
    assert tab.locator("#newest li").count() == 2
    tab.keyboard.press("Enter")
    assert tab.locator("#newest li").count() == 3
    tab.get_by_role("button", name="Enlarge a.tif").focus()
    tab.keyboard.press("Enter")
    assert tab.locator("dialog").is_visible()
    assert tab.locator("dialog h2").inner_text() == "a.tif"
    tab.keyboard.press("Escape")
    assert not tab.locator("dialog").is_visible()
    # The level's number is read out, its colour does not stand alone.
    assert tab.locator("#newest .chip").first.inner_text() == "3"
    assert tab.said == []


def test_a_watch_that_hangs_or_has_trouble_or_ends_is_told(board, tab):
    with StatusPage(board, "127.0.0.1", 0) as page:
        tab.goto(page.url)
        tab.wait_for_selector("text=alive")
        assert not tab.locator("#banner").is_visible()
        board.beat(trouble="plate 7 cannot be reached")
        tab.wait_for_selector("#banner:has-text('cannot be reached')")
        board.beat(trouble="")
        tab.wait_for_selector("#banner", state="hidden")
        board._clock.now += 100
        tab.wait_for_selector("#banner:has-text('no sign of life for 100 seconds')")
        board.beat()
        tab.wait_for_selector("#banner", state="hidden")
    tab.wait_for_selector("#banner:has-text('has stopped')", timeout=20_000)
    assert tab.locator("#pulse").inner_text().strip() == "stopped"
