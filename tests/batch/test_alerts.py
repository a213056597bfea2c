"""Alerts reach a program and a web server, once, whatever these do."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import coded
import pytest
import tifffile
from systems import posix

import microscope_quality
from microscope_quality.batch.alerts import (
    MOST_WAITING,
    Alert,
    Alerts,
    Command,
    UndeliveredError,
    Webhook,
)
from microscope_quality.errors import FileError, SettingsError

HOSTILE = "$(touch pwned); `touch pwned` & <script>\n'\" \\ é\udcff \0=cmd|'/c'!A1.tif"


def alert(id="1", **facts):
    return Alert(id, "2026-11-21T16:52:24Z", f"{id} is bad", {"file": f"{id}.tif", **facts})


class Server:
    """A real web server that answers as it is told, and then with 200."""

    def __init__(self, *answers, port=0):
        self.answers = list(answers)
        self.got = []
        self.times = []
        self.go_on = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.times.append(time.monotonic())
                content = self.rfile.read(int(self.headers["Content-Length"]))
                answer = outer.answers.pop(0) if outer.answers else 200
                if answer == "hang":
                    outer.go_on.wait(20)
                    return
                if answer == "drop":
                    self.connection.close()
                    return
                if answer == 200:
                    outer.got.append((json.loads(content), dict(self.headers)))
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                if answer == 429:
                    self.send_header("Retry-After", "0")
                if answer == 302:
                    self.send_header("Location", outer.url + "elsewhere")
                self.end_headers()

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?secret=1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def quick(channels, path=None, **options):
    return Alerts(channels, path, first_seconds=0.02, longest_seconds=0.1, **options)


def test_a_server_that_refuses_breaks_and_hangs_gets_each_alert_once():
    said = []
    with Server(500, "drop", "hang", 503, 429, 408) as server:
        with quick([Webhook(server.url, seconds=0.3)], said=said.append) as alerts:
            for id in "abc":
                assert alerts.send(alert(id, level=8.5))
            assert alerts.wait(20)
        assert [content["id"] for content, _ in server.got] == ["a", "b", "c"]
    content, headers = server.got[0]
    assert content == {
        "id": "a",
        "time": "2026-11-21T16:52:24Z",
        "reason": "a is bad",
        "file": "a.tif",
        "level": 8.5,
    }
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == "a"
    # Said once that it does not work, and once that it does again; never what is secret.
    assert len(said) == 2
    assert not any("secret" in sentence for sentence in said)


SECRET = "T0KEN"


@contextlib.contextmanager
def talking(*pieces, pause=0.0):
    """Run a server that says to everybody, whatever is asked, pieces of which there may be no end.

    Gives its address with a secret in it, and what it was asked.
    """
    asked = []
    over = threading.Event()

    def talk(connection):
        with contextlib.suppress(OSError), connection:
            asked.append(connection.recv(2**16))
            for piece in itertools.chain(*pieces):
                connection.sendall(piece)
                if over.wait(pause):
                    return
            over.wait(30)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/hook/{SECRET}?key={SECRET}", asked
        over.set()
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("pieces", "pause", "said"),
    [
        ([], 0.0, "no answer within 1 s"),
        (itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"), 0.01, "no answer within 1 s"),
        ([bytes([b]) for b in OK + b"X: y\r\n" * 90], 0.1, "no answer within 1 s"),
        (itertools.chain([OK], itertools.repeat(b"X: y\r\n")), 0.0, "HTTPException"),
        (itertools.repeat(b"x" * 2**16), 0.0, "LineTooLong"),
        ([f"{SECRET} no HTTP at all\r\n\r\n".encode()], 0.0, "BadStatusLine"),
        ([f"HTTP/1.1 500 {SECRET}\r\n\r\n".encode()], 0.0, "answered 500 Internal Server Error$"),
        ([f"HTTP/1.1 404 {SECRET}\r\n\r\n".encode()], 0.0, "answered 404 Not Found$"),
        ([f"HTTP/1.1 599 {SECRET}\r\n\r\n".encode()], 0.0, "answered 599$"),
    ],
)
def test_a_server_that_dawdles_or_says_too_much_is_told_in_time_without_what_it_says(
    pieces, pause, said
):
    began = time.monotonic()
    with talking(pieces, pause=pause) as (url, _), pytest.raises(UndeliveredError) as refusal:
        Webhook(url, seconds=1.0).deliver(alert("a").to_dict(), threading.Event())
    assert re.search(said, str(refusal.value))
    assert SECRET not in str(refusal.value)
    # A guard against waiting for ever.
    assert time.monotonic() - began < 10


@pytest.mark.long
@pytest.mark.parametrize(
    ("rest", "pause"),
    [
        ([b"Content-Length: 1000000000000\r\n\r\n"], 0.0),
        (
            itertools.chain(
                [b"Content-Length: 1000000000000\r\n\r\n"], itertools.repeat(b"x" * 2**16)
            ),
            0.0,
        ),
        ([b"X: y\r\n"] * 90, 0.5),
    ],
)
def test_the_status_is_the_answer_and_no_more_is_waited_for(rest, pause):
    began = time.monotonic()
    with talking([OK], rest, pause=pause) as (url, asked):
        Webhook(url, seconds=5.0).deliver(alert("a").to_dict(), threading.Event())
    assert len(asked) == 1
    # A guard against waiting for ever.
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "ftp://{}/x", "http://{}/x", "//{}/x", "http://[::1", "x", ""]
)
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirection_is_followed_anywhere(code, place):
    with talking([]) as (elsewhere, asked_elsewhere):
        host = elsewhere.split("/")[2]
        answer = f"HTTP/1.1 {code} Go\r\nLocation: {place.format(host)}\r\n\r\n".encode()
        with talking([answer]) as (url, asked), pytest.raises(UndeliveredError) as refusal:
            Webhook(url, seconds=5.0).deliver(alert("a").to_dict(), threading.Event())
    assert len(asked) == 1 and not asked_elsewhere
    assert f"answered {code} " in str(refusal.value)
    assert not refusal.value.again
    assert place.format(host) not in str(refusal.value) or not place


def test_many_headers_of_many_calls_stay_in_bounded_memory():
    line = b"X: " + b"y" * 60_000 + b"\r\n"
    with talking([OK], itertools.repeat(line)) as (url, _):
        tracemalloc.start()
        try:
            with pytest.raises(UndeliveredError, match="HTTPException"):
                Webhook(url, seconds=30.0).deliver(alert("a").to_dict(), threading.Event())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 32e6


def test_nobody_listens_at_first(tmp_path):
    with Server() as server:
        url = server.url
    with quick([Webhook(url, seconds=1)], tmp_path / "alerts") as alerts:
        alerts.send(alert("a"))
        assert not alerts.wait(0.2)
        assert alerts.waiting == 1
    with Server(port=server.server.server_port) as server:
        with quick([Webhook(url, seconds=1)], tmp_path / "alerts") as alerts:
            assert alerts.wait(10)
        assert [content["id"] for content, _ in server.got] == ["a"]


@pytest.mark.parametrize("answer", [302, 400, 404, 410])
def test_what_is_refused_for_good_is_told_and_holds_up_no_other(answer, tmp_path):
    said = []
    with Server(answer) as server:
        with quick([Webhook(server.url)], tmp_path / "alerts", said=said.append) as alerts:
            alerts.send(alert("a"))
            alerts.send(alert("b"))
            assert alerts.wait(10)
        assert [content["id"] for content, _ in server.got] == ["b"]
    assert len(said) == 1
    assert str(answer) in said[0]


def test_a_stop_and_a_start_lose_nothing_and_send_nothing_twice(tmp_path):
    path = tmp_path / "alerts"
    with Server(200, *[500] * 1000) as server:
        with quick([Webhook(server.url)], path) as alerts:
            for id in "abc":
                alerts.send(alert(id, note=HOSTILE))
            while len(server.times) < 4:
                time.sleep(0.01)
        server.answers.clear()
        # A killed process leaves half a line.
        with path.open("ab") as stream:
            stream.write(b'{"id": "half')
        with quick([Webhook(server.url)], path) as alerts:
            assert alerts.raised == 3
            assert not alerts.send(alert("a"))
            assert alerts.send(alert("d"))
            assert alerts.wait(10)
        with quick([Webhook(server.url)], path) as alerts:
            assert alerts.waiting == 0
            assert not alerts.send(alert("d"))
        assert [content["id"] for content, _ in server.got] == ["a", "b", "c", "d"]
        assert server.got[1][0]["note"] == HOSTILE


def test_a_new_channel_does_not_tell_of_the_past(tmp_path):
    with quick([], tmp_path / "alerts") as alerts:
        alerts.send(alert("old"))
    with Server() as server, quick([Webhook(server.url)], tmp_path / "alerts") as alerts:
        alerts.send(alert("new"))
        assert alerts.wait(10)
        assert [content["id"] for content, _ in server.got] == ["new"]


def test_the_queue_is_bounded_and_what_is_left_out_is_counted(tmp_path):
    said = []
    with Server("hang") as server:
        channel = Webhook(server.url, seconds=30)
        with quick([channel], tmp_path / "alerts", said=said.append) as alerts:
            alerts.send(alert("first"))
            while not server.times:
                time.sleep(0.01)
            for k in range(MOST_WAITING + 3):
                alerts.send(alert(str(k)))
            assert alerts.waiting == MOST_WAITING + 1
            assert len(said) == 1
            server.go_on.set()
            assert alerts.wait(60)
        # The first one was answered by a broken connection, so it comes again.
        assert len(server.got) == MOST_WAITING + 1
        assert sum(content.get("left_out_before", 0) for content, _ in server.got) == 3


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x",
        "file:///etc/passwd",
        "example.org/x",
        "http://",
        "http://user:word@example.org/",
        "http://example.org/a b",
        "http://example.org/\r\nX: y",
        "http://[::1/",
        "http://example.org:99999/",
        f"http://example.org:{SECRET}/",
        f"http://me:{SECRET}@example.org/",
        f"http://me:{SECRET}@example.org\u2100/",
        f"http://example.org/é/{SECRET}",
        f"http://example.org/{SECRET}\t",
        f"{SECRET}://example.org/",
    ],
)
def test_what_is_no_web_address_is_refused_and_not_repeated(url):
    with pytest.raises(SettingsError, match="webhook") as refusal:
        Webhook(url)
    assert SECRET not in str(refusal.value)


def script(tmp_path, text):
    path = tmp_path / "program.py"
    path.write_text(text)
    return f"{sys.executable} {path}"


def run(line, content, seconds=20.0, stop=None):
    Command(line, seconds).deliver(content, stop or threading.Event())


def test_a_program_is_told_by_its_environment_and_its_standard_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = script(
        tmp_path,
        "import json, os, sys\n"
        "found = {key: value for key, value in os.environ.items() if 'QUALITY_' in key}\n"
        "json.dump([sys.argv[1:], found, json.load(sys.stdin)], open('told.json', 'w'))\n",
    )
    run(f"{line} 'one word' $HOME `rm` ;x", alert("1", file=HOSTILE, level=None).to_dict())
    arguments, environment, content = json.loads((tmp_path / "told.json").read_text())
    # No shell has seen it.
    assert arguments == ["one word", "$HOME", "`rm`", ";x"]
    assert content["file"] == HOSTILE
    assert environment["MICROSCOPE_QUALITY_FILE"] == HOSTILE.replace("\0", "")
    assert environment["MICROSCOPE_QUALITY_LEVEL"] == ""
    assert environment["MICROSCOPE_QUALITY_REASON"] == "1 is bad"
    assert not (tmp_path / "pwned").exists()


@posix
def test_a_program_that_fails_or_is_missing_is_told(tmp_path):
    with pytest.raises(UndeliveredError, match=r"code 3: no paper left$"):
        run(
            script(tmp_path, "import sys; print('no paper left', file=sys.stderr); sys.exit(3)"), {}
        )
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    command = Command(str(program))
    program.unlink()
    with pytest.raises(UndeliveredError, match=re.escape(str(program))):
        command.deliver({}, threading.Event())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "names no program"),
        ("   ", "names no program"),
        ("a 'b", "cannot be parted"),
        ("no-such-program x", "there is no program no-such-program"),
        (str(Path(__file__).parent), "there is no program"),
        ("echo hi > hi.txt", "without a shell, so > means nothing"),
        ("echo hi | mail me", r"without a shell, so \| means nothing"),
        ("echo hi && echo ho", "sh -c|cmd /c"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(line, words):
    with pytest.raises(SettingsError, match=f"on_alert.*{words}"):
        Command(line)


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="its children are ended on POSIX")
def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path):
    line = script(
        tmp_path,
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\n"
        "time.sleep(60)\n",
    )
    with pytest.raises(UndeliveredError, match="took too long"):
        run(line, {"big": "x" * 1_000_000}, seconds=3.0)
    pid = int((tmp_path / "child").read_text())
    for _ in range(500):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().split()[2]
        except (ProcessLookupError, FileNotFoundError):
            break
        if state == "Z":
            break
        time.sleep(0.01)
    else:
        pytest.fail("the program's child lives on")


def test_a_slow_channel_does_not_hold_up_another(tmp_path):
    with Server() as server:
        slow = Command(script(tmp_path, "import time; time.sleep(60)"), 60)
        alerts = quick([slow, Webhook(server.url)])
        try:
            for id in "abc":
                # Whoever raises alerts is not held up either.
                alerts.send(alert(id))
            # The webhook's three are over a moment after it got the last.
            while alerts.waiting > 3:
                time.sleep(0.01)
            assert len(server.got) == 3
            assert alerts.waiting == 3
        finally:
            # It gets a few seconds at the end, and is ended then.
            alerts.close()


def test_a_file_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(FileError, match="alerts"):
        Alerts([], tmp_path / "none" / "alerts")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_holds_up_no_alert():
    said = []
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)
    with Server() as server:
        alerts = quick([Webhook(server.url)], said=said.append)
        alerts._log = os.open("/dev/full", os.O_WRONLY)
        for id in "abc":
            alerts.send(alert(id))
        assert alerts.wait(10)
        alerts.close()
        assert len(server.got) == 3
    assert len(said) == 1


@pytest.fixture
def plate(tmp_path):
    """Give a folder with an image that raises an alert, and a model that says so."""
    coded.write(tmp_path / "model")
    folder = tmp_path / "plate"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", coded.plane([[8, 8], [8, 8]]))
    return folder


@pytest.mark.long
@pytest.mark.parametrize("how", ["variable", "option", "both"])
def test_no_process_and_no_file_gets_the_secret_of_the_webhook(plate, tmp_path, how):
    line = script(
        tmp_path,
        "import os, pathlib, subprocess, sys, time\n"
        "told = pathlib.Path('told')\n"
        "parent = os.getppid()\n"
        "seen = {pid: pathlib.Path(f'/proc/{pid}/environ').read_bytes()\n"
        "        for pid in os.listdir('/proc') if pid.isdigit()\n"
        "        and f'PPid:\\t{parent}\\n' in pathlib.Path(f'/proc/{pid}/status').read_text()}\n"
        "told.with_suffix('.part').write_bytes(b'\\n'.join([str(len(seen)).encode(), "
        "*seen.values(), repr(dict(os.environ)).encode()]))\n"
        "told.with_suffix('.part').rename(told)\n",
    )
    with talking([f"HTTP/1.1 404 {SECRET}\r\n\r\n".encode()]) as (url, asked):
        arguments = ["watch", plate, "--out", "out", "--model", tmp_path / "model", "--once"]
        arguments += ["--interval", "0.1", "--on-alert", line, "--serve", "0", "--xlsx"]
        arguments += ["--webhook", url] if how != "variable" else []
        variable = {"MICROSCOPE_QUALITY_WEBHOOK": url} if how != "option" else {}
        root = str(Path(microscope_quality.__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-m", "microscope_quality", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": root, **variable},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert f"/hook/{SECRET}" in asked[0].decode()
    assert "answered 404 Not Found" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    n_children, _, environments = (tmp_path / "told").read_text(errors="replace").partition("\n")
    if sys.platform == "linux":
        # Itself and those that measure.
        assert int(n_children) >= 2
    assert "MICROSCOPE_QUALITY_REASON" in environments
    assert SECRET not in environments
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {"alerts.jsonl", "run.json", "results.csv"} <= {path.name for path in written}
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
