"""A web server for browsers of this computer: who is answered, and how long anybody is waited for.

What is on the pages is told by handlers that derive from `Handler`.
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import re
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from microscope_quality.errors import FileError, SettingsError

#: Of every answer; a page asks for nothing from elsewhere, and is shown in no other page.
HEADERS = {
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

_Own = TypeVar("_Own", bound="LocalServer")


class LocalServer:
    """Answers requests in threads of its own; used as a context.

    Parameters
    ----------
    handler
        Of requests; what it needs is set on a class derived from it.
    host, port
        Where it listens, as `address_of` gives them; port 0 takes a free one.
    **shown
        Attributes of that class.

    Attributes
    ----------
    port : int
        On which it listens.
    url : str
        Where a browser finds it.

    Raises
    ------
    FileError
        The port is taken, or the address is not one of this computer.
    """

    def __init__(self, handler: type[Handler], host: str, port: int, **shown: Any) -> None:
        names = {"localhost", host.lower()}
        if not is_loopback(host):
            names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        own = type("OwnHandler", (handler,), {"known_names": names, **shown})

        class Server(_Server):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        try:
            self._server = Server((host, port), own)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FileError(f"address {host}:{port}: {reason}") from error
        self.port = int(self._server.server_address[1])
        shown_host = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown_host}:{self.port}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )

    def __enter__(self: _Own) -> _Own:
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


class Handler(BaseHTTPRequestHandler):
    """Answers a request, if it names this computer by an address or by a name of its own.

    A page from elsewhere cannot reach it by a name that it has made point here. What it answers
    to GET is told by `give`.
    """

    known_names: set[str]
    #: Methods that are answered.
    methods = "GET, HEAD"
    server_version, sys_version = "microscope-quality", ""

    def give(self, asked: SplitResult) -> None:
        """Answer a request by GET or HEAD for an address."""
        raise NotImplementedError

    def handle(self) -> None:
        """Answer one request, of which the head has to arrive in time."""
        head, is_too_long = self._head()
        # All of what is sent at once.
        self.connection.settimeout(_ANSWER_SECONDS)
        if is_too_long:
            self.requestline = self.request_version = self.command = ""
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        self.rfile = io.BytesIO(head)
        super().handle()

    def _head(self) -> tuple[bytes, bool]:
        """Give what a client sends up to an empty line, or more, and whether that is too long.

        Raises
        ------
        OSError
            It takes too long, or the connection is ended.
        """
        until = time.monotonic() + _HEAD_SECONDS
        head = bytearray()
        seen = 0
        # What was searched already is left out but for what may be a part of the end.
        while not (end := _END_OF_HEAD.search(head, max(seen - 3, 0))):
            seen = len(head)
            if seen > _MOST_HEAD_BYTES:
                break
            piece = self.receive(until)
            if not piece:
                break
            head += piece
        return bytes(head), (end.end() if end else len(head)) > _MOST_HEAD_BYTES

    def receive(self, until: float) -> bytes:
        """Give what comes next on the connection; nothing at its end.

        Parameters
        ----------
        until
            Moment of `time.monotonic` up to which it is waited for.

        Raises
        ------
        OSError
            Nothing came until then, or the connection is broken.
        """
        self.connection.settimeout(max(until - time.monotonic(), 1e-3))
        piece: bytes = self.connection.recv(_MOST_HEAD_BYTES)
        return piece

    def do_GET(self) -> None:
        if self.is_for_us():
            self.give(urlsplit(self.path))
        else:
            self.refuse(HTTPStatus.MISDIRECTED_REQUEST)

    do_HEAD = do_GET  # noqa: N815 - called by this name

    def is_for_us(self) -> bool:
        """Whether the request names this computer."""
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

    def answer(
        self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, **more: str
    ) -> None:
        """Answer with a content of a kind, such as ``text/html``, and `more` headers."""
        self.send_response(status)
        for name, value in {**HEADERS, **more}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: HTTPStatus, **more: str) -> None:
        """Answer with a status alone."""
        self.answer(f"{status.phrase}\n".encode(), "text/plain; charset=utf-8", status, **more)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what cannot be served, such as an unknown method."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self.refuse(HTTPStatus.METHOD_NOT_ALLOWED, Allow=self.methods)
        else:
            self.refuse(HTTPStatus(code))

    def log_message(self, *_: Any) -> None:
        """Keep the screen for the command."""
