"""A page that shows what a watch finds, for browsers on the same computer.

It only tells: there is nothing that a request could change. All that comes from files is sent as
JSON and put on the page as text.

A `Board` knows no measure. It is told, once, what is watched, the statuses that results can have,
what their number is called and the colours of its scale; then `Card`s as they come (`show`,
`change`), how many there are of each status (`count`), and how the watch goes (`beat`).
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.statuses import Status

#: Results that are shown, the newest ones.
MOST_CARDS = 60
#: Minutes of which the rate is shown.
MINUTES = 30

_STATIC = {
    "/": ("status_page.html", "text/html; charset=utf-8"),
    "/status_page.css": ("status_page.css", "text/css; charset=utf-8"),
    "/status_page.js": ("status_page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# Connections at a time, and how many of them may be of one address: a browser opens about six.
_MOST_CONNECTIONS = 64
_MOST_OF_AN_ADDRESS = 48
# Seconds for the head of a request to arrive, all of it, and for a piece of the answer to leave.
_HEAD_SECONDS = 5.0
_ANSWER_SECONDS = 15.0
# Of a head; browsers send along all cookies that other pages of this computer have set.
_MOST_HEAD_BYTES = 2**16
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True)
class Card:
    """A result on the page.

    Attributes
    ----------
    name : str
        Of the file.
    time : str
        When it was there, in UTC; empty if that is not known.
    kind : str
        The key of its status.
    title, detail : str
        The number in short, and what else is to be said.
    more : str
        What is said of it when it is large.
    colour : str
        Of the number, as ``#rrggbb``.
    alert : str
        Why it raised an alert; empty if it did not.
    picture : bytes, optional
        A JPEG file.
    old : bool
        Whether it is of an earlier start.
    """

    name: str
    time: str
    kind: str
    title: str = ""
    detail: str = ""
    colour: str = ""
    alert: str = ""
    picture: bytes | None = None
    more: str = ""
    old: bool = False


@dataclass
class _Shown:
    cards: deque[tuple[int, Card]] = field(default_factory=lambda: deque(maxlen=MOST_CARDS))
    counts: dict[str, int] = field(default_factory=dict)
    minutes: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=MINUTES + 1))
    state: dict[str, object] = field(default_factory=dict)
    number: int = 0
    beat: float = 0.0


class Board:
    """What the page shows; written by one thread and read by others.

    Parameters
    ----------
    title
        What is watched.
    statuses
        Of the results.
    noun
        What their number is called.
    scale
        Colours of the numbers from the best to the worst, with the words for both ends.
    clock
        Seconds that never go back.
    """

    def __init__(
        self,
        title: str,
        statuses: Sequence[Status],
        *,
        noun: str = "",
        scale: tuple[str, Sequence[str], str] = ("", (), ""),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fixed = {
            "title": title,
            "kinds": [status.to_dict() for status in statuses],
            "noun": noun,
            "scale": {"from": scale[0], "colours": list(scale[1]), "to": scale[2]},
        }
        self._clock = clock
        self._lock = threading.Lock()
        self._shown = _Shown(beat=clock())

    def beat(self, **state: object) -> None:
        """Say that the watch is alive, and how it goes: words and what JSON can hold."""
        with self._lock:
            self._shown.beat = self._clock()
            self._shown.state.update(state)

    def count(self, counts: Mapping[str, int]) -> None:
        """Set the numbers of results of each kind."""
        with self._lock:
            self._shown.counts = dict(counts)

    def show(self, card: Card, *, new: bool = True, instead_of: Collection[str] = ()) -> None:
        """Put a result in front, in place of what has its name, or one of others.

        One that is not `new` counts for no rate.
        """
        with self._lock:
            shown = self._shown
            for number, other in list(shown.cards):
                if other.name == card.name or other.name in instead_of:
                    shown.cards.remove((number, other))
            shown.number += 1
            shown.cards.append((shown.number, card))
            if not new:
                return
            minute = int(self._clock() // 60)
            if shown.minutes and shown.minutes[-1][0] == minute:
                shown.minutes[-1] = (minute, shown.minutes[-1][1] + 1)
            else:
                shown.minutes.append((minute, 1))

    def change(self, name: str, **changes: Any) -> None:
        """Change fields of the result of a file, where it is."""
        with self._lock:
            cards = self._shown.cards
            for place, (number, card) in enumerate(cards):
                if card.name == name:
                    cards[place] = number, replace(card, **changes)

    def picture(self, number: int) -> bytes | None:
        """Picture of a result that is shown."""
        with self._lock:
            return next((card.picture for n, card in self._shown.cards if n == number), None)

    def to_json(self) -> bytes:
        """Give all that is shown, but for the pictures."""
        # The watch waits for this lock: what takes longer is done without it.
        with self._lock:
            now = self._clock()
            shown = replace(
                self._shown,
                cards=self._shown.cards.copy(),
                counts=dict(self._shown.counts),
                minutes=self._shown.minutes.copy(),
                state=dict(self._shown.state),
            )
        of_minute = dict(shown.minutes)
        minute = int(now // 60)
        cards: list[dict[str, object]] = [
            {
                **vars(card),
                **{
                    name: _text(getattr(card, name)) for name in ("name", "detail", "more", "alert")
                },
                "id": number,
                "picture": card.picture is not None,
            }
            for number, card in reversed(shown.cards)
        ]
        content = {
            **self._fixed,
            **shown.state,
            "counts": shown.counts,
            "minutes": [of_minute.get(minute - k, 0) for k in reversed(range(MINUTES))],
            "quiet_seconds": round(now - shown.beat, 1),
            "cards": cards,
        }
        return json.dumps(content).encode("ascii")


def _text(text: str) -> str:
    """Text without what a browser might take as a sign to turn its direction or break a line."""
    return "".join(c if c.isprintable() else "�" for c in text)


class StatusPage:
    """The server of the page, in threads of its own; used as a context.

    It answers only requests that name this computer by an address or by a name that is known to
    be its own: a page from elsewhere cannot reach it by a name that it has made point here.

    Parameters
    ----------
    board
        What is shown.
    host, port
        Where it listens, as `address_of` gives them; port 0 takes a free one.

    Raises
    ------
    FileError
        The port is taken, or the address is not one of this computer.
    """

    def __init__(self, board: Board, host: str, port: int) -> None:
        names = {"localhost", host.lower()}
        if not is_loopback(host):
            names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        pages = {
            path: (resources.files("microscope_quality.batch").joinpath(name).read_bytes(), kind)
            for path, (name, kind) in _STATIC.items()
        }

        class Handler(_Handler):
            known_names = names
            static = pages
            shown = board

        class Server(_Server):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        try:
            self._server = Server((host, port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FileError(f"address {host}:{port}: {reason}") from error
        self.port = int(self._server.server_address[1])
        shown_host = f"[{host}]" if ":" in host else host
        #: Where a browser finds it.
        self.url = f"http://{shown_host}:{self.port}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )

    def __enter__(self) -> StatusPage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def address_of(text: str) -> tuple[str, int]:
    """Host and port of ``PORT``, ``HOST:PORT`` or ``[IPV6]:PORT``; without a host, loopback.

    Raises
    ------
    SettingsError
        It is none of these.
    """
    match = re.fullmatch(r"(?:(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+)):)?([0-9]{1,5})", text.strip())
    if match is None or int(match[3]) > 65535:
        raise SettingsError(f"address is {text!r}; it has to be a port, or HOST:PORT.")
    return match[1] or match[2] or "127.0.0.1", int(match[3])


def is_loopback(host: str) -> bool:
    """Whether a host is reached from this computer alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class _Server(ThreadingHTTPServer):
    """Answers each connection in a thread of its own, of which there is a bounded number.

    A new one that finds no place gets that of the oldest one. What a browser asks for is answered
    before as many others have come; who is still there then sends slowly, or does not read.
    """

    daemon_threads = True
    # As many may come at once, as when a browser starts that shows several of these pages.
    request_queue_size = 128
    # A port that another program listens on is taken, also on Windows.
    allow_reuse_address = not hasattr(socket, "SO_EXCLUSIVEADDRUSE")

    def __init__(self, *arguments: Any) -> None:
        # Addresses of those that are open, the oldest first.
        self._connections: dict[socket.socket, str] = {}
        self._lock = threading.Lock()
        super().__init__(*arguments)

    def server_bind(self) -> None:
        # The usual one asks the network for this computer's name, which can take long.
        self.socket.setsockopt(
            socket.SOL_SOCKET,
            socket.SO_REUSEADDR
            if self.allow_reuse_address
            else getattr(socket, "SO_EXCLUSIVEADDRUSE"),  # noqa: B009 - of Windows alone
            1,
        )
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._make_room(client_address[0])
            self._connections[request] = client_address[0]
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._forget(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(request)

    def _make_room(self, address: str) -> None:
        """End the oldest connection, and with it its thread, if there is one too many."""
        of_address = [key for key, other in self._connections.items() if other == address]
        if len(of_address) >= _MOST_OF_AN_ADDRESS:
            oldest = of_address[0]
        elif len(self._connections) >= _MOST_CONNECTIONS:
            oldest = next(iter(self._connections))
        else:
            return
        del self._connections[oldest]
        with contextlib.suppress(OSError):
            oldest.shutdown(socket.SHUT_RDWR)

    def _forget(self, request: socket.socket) -> None:
        with self._lock:
            self._connections.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser that has gone away is no news."""


class _Handler(BaseHTTPRequestHandler):
    known_names: set[str]
    static: dict[str, tuple[bytes, str]]
    shown: Board
    server_version, sys_version = "microscope-quality", ""

    def handle(self) -> None:
        """Answer one request, of which the head has to arrive in time."""
        head = self._head()
        # All of what is sent at once.
        self.connection.settimeout(_ANSWER_SECONDS)
        if len(head) > _MOST_HEAD_BYTES:
            self.requestline = self.request_version = self.command = ""
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        self.rfile = io.BytesIO(head)
        super().handle()

    def _head(self) -> bytes:
        """Give what a client sends up to an empty line.

        Raises
        ------
        OSError
            It takes too long, or the connection is ended.
        """
        until = time.monotonic() + _HEAD_SECONDS
        head = bytearray()
        seen = 0
        # What was searched already is left out but for what may be a part of the end.
        while len(head) <= _MOST_HEAD_BYTES and not _END_OF_HEAD.search(head, max(seen - 3, 0)):
            seen = len(head)
            self.connection.settimeout(max(until - time.monotonic(), 1e-3))
            piece = self.connection.recv(_MOST_HEAD_BYTES)
            if not piece:
                break
            head += piece
        return bytes(head)

    def do_GET(self) -> None:
        if not self._is_for_us():
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return
        path = urlsplit(self.path).path
        picture = re.fullmatch(r"/picture/([0-9]{1,12})", path)
        if path in self.static:
            self._answer(*self.static[path])
        elif path == "/state.json":
            self._answer(self.shown.to_json(), "application/json")
        elif picture is not None and (content := self.shown.picture(int(picture[1]))):
            self._answer(content, "image/jpeg")
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET  # noqa: N815 - called by this name

    def _is_for_us(self) -> bool:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1:
            return False
        match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+))(?::[0-9]{1,5})?", hosts[0])
        if match is None:
            return False
        host = (match[1] or match[2]).lower().rstrip(".")
        try:
            # Behind an address there is no name that could be made to point here.
            ipaddress.ip_address(host)
            return True
        except ValueError:
            return host in self.known_names

    def _answer(
        self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, **more: str
    ) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **more}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, status: HTTPStatus, **more: str) -> None:
        self._answer(f"{status.phrase}\n".encode(), "text/plain; charset=utf-8", status, **more)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what cannot be served, such as another method than GET."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET, HEAD")
        else:
            self._refuse(HTTPStatus(code))

    def log_message(self, *_: Any) -> None:
        """Keep the screen for the watch."""
