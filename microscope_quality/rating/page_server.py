"""The server of pages on which people answer: a page, and what it asks for and tells.

It listens on this computer alone unless it is told otherwise. A page of elsewhere can neither ask
nor tell it anything: what is told must come from the page itself, by a token that only the page
is given and by the address that the browser says it is at.

A page is made of ``NAME.html``, ``NAME.css`` and ``NAME.js``, in one file; ``pages.css``,
``pages.js`` and ``viewer.js`` are the look, the requests and the images that all have in common.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from microscope_quality.batch.local_server import HEADERS, Handler, LocalServer
from microscope_quality.errors import FileError, MicroscopeQualityError

# Of what a page tells; a long comment has some thousand.
_MOST_CONTENT_BYTES = 2**15
_CONTENT_SECONDS = 10.0
_JSON = "application/json"
#: Kind of a page.
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """What a page asks or tells.

    Attributes
    ----------
    query : mapping of str to str
        What stands behind the question mark of its address.
    content : mapping
        The JSON object that it tells; empty where it only asks.
    """

    query: Mapping[str, str]
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """An answer that is no JSON: its bytes and their kind, such as ``image/png``.

    What is a page has a policy of its own, as `composed` gives it.
    """

    content: bytes
    kind: str
    policy: str = ""


#: What answers a request: a `Picture`, what JSON can hold, or an error of this library, of which
#: the page is told the sentence.
Route = Callable[[Request], Any]


class PageServer(LocalServer):
    """Serves a page and answers it, in threads of its own; used as a context.

    Parameters
    ----------
    pages
        Name of the page in this folder, such as ``"label_page"``, which is at ``/``; or names of
        several, by the first part of their address, such as ``"/t/"`` of ``/t/anything``.
    routes
        What answers: by method and path, such as ``"GET /image"`` or ``"POST /score"``. Several
        are called at a time. What is told by POST is a JSON object.
    host, port
        Where it listens, as `local_server.address_of` gives them; port 0 takes a free one.

    Raises
    ------
    FileError
        The port is taken, or the address is not one of this computer.
    """

    def __init__(
        self,
        pages: str | Mapping[str, str],
        routes: Mapping[str, Route],
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        named = {"/": pages} if isinstance(pages, str) else pages
        super().__init__(
            _Handler,
            host,
            port,
            pages={path: composed(name) for path, name in named.items()},
            token=secrets.token_urlsafe(18),
            routes=dict(routes),
        )


def composed(name: str) -> tuple[bytes, str]:
    """Put a page together in one file.

    Parameters
    ----------
    name
        Of the page; its HTML has the lines ``<!-- style -->`` and ``<!-- script -->``.

    Returns
    -------
    bytes, str
        The page, and the policy by which a browser runs its own script alone.
    """
    style = f"{_source('pages.css')}{_source(f'{name}.css')}"
    script = "".join(map(_source, ("pages.js", "viewer.js", f"{name}.js")))
    html = _source(f"{name}.html")
    for mark, tag, inner in (("style", "style", style), ("script", "script", script)):
        before, found, after = html.partition(f"<!-- {mark} -->")
        if not found or f"</{tag}" in inner:
            raise ValueError(f"{name}.html has no place for its {mark}, or that ends it")
        html = f"{before}<{tag}>{inner}</{tag}>{after}"
    policy = HEADERS["Content-Security-Policy"]
    policy = policy.replace("script-src 'self'", f"script-src '{_digest(script)}'")
    policy = policy.replace("style-src 'self'", f"style-src '{_digest(style)}'")
    return html.encode(), policy.replace("img-src 'self'", "img-src 'self' blob:")


def _source(name: str) -> str:
    return resources.files("microscope_quality.rating").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


class _Handler(Handler):
    pages: dict[str, tuple[bytes, str]]
    token: str
    routes: dict[str, Route]
    methods = "GET, HEAD, POST"

    def give(self, asked: SplitResult) -> None:
        # The page at an address alone, or that of all addresses below one.
        start = asked.path[: asked.path.find("/", 1) + 1] or asked.path
        if start in self.pages:
            content, policy = self.pages[start]
            self._answer_page(content, HTML, policy)
        elif self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            self.refuse(HTTPStatus.FORBIDDEN)
        elif asked.path == "/token":
            self.answer(_encoded({"token": self.token}), _JSON)
        else:
            self._route("GET", asked, {})

    def _answer_page(self, content: bytes, kind: str, policy: str) -> None:
        policies = {"Content-Security-Policy": policy} if policy else {}
        self.answer(content, kind, HTTPStatus.OK, **policies)

    def do_POST(self) -> None:  # noqa: N802 - called by this name
        if not self.is_for_us():
            self.refuse(HTTPStatus.MISDIRECTED_REQUEST)
        elif not self._is_from_page():
            self.refuse(HTTPStatus.FORBIDDEN)
        elif self.headers.get_content_type() != _JSON:
            self.refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        else:
            try:
                content = json.loads(self._content())
                if not isinstance(content, dict):
                    raise ValueError
            except ValueError:
                self.refuse(HTTPStatus.BAD_REQUEST)
                return
            self._route("POST", urlsplit(self.path), content)

    def _is_from_page(self) -> bool:
        """Whether the page itself sends this: from where it is, and with its token."""
        origins = self.headers.get_all("Origin") or []
        token = self.headers.get("X-Token", "")
        return origins == [f"http://{self.headers['Host']}"] and secrets.compare_digest(
            token.encode("utf-8", "replace"), self.token.encode()
        )

    def _content(self) -> bytes:
        """Give what is sent below the head.

        Raises
        ------
        ValueError
            Its length is not told, is more than a page sends, or is not what comes.
        OSError
            It takes too long.
        """
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length[:9]) > _MOST_CONTENT_BYTES:
            raise ValueError
        content = self.rfile.read()
        until = time.monotonic() + _CONTENT_SECONDS
        while len(content) < int(length):
            piece = self.receive(until)
            if not piece:
                raise ValueError
            content += piece
        return content[: int(length)]

    def _route(self, method: str, asked: SplitResult, content: Mapping[str, Any]) -> None:
        route = self.routes.get(f"{method} {asked.path}")
        if route is None:
            self.refuse(HTTPStatus.NOT_FOUND)
            return
        try:
            given = route(Request(dict(parse_qsl(asked.query)), content))
        except MicroscopeQualityError as error:
            # What a disk refuses may be taken the next time.
            is_of_disk = isinstance(error, FileError)
            status = HTTPStatus.SERVICE_UNAVAILABLE if is_of_disk else HTTPStatus.BAD_REQUEST
            self.answer(_encoded({"error": str(error)}), _JSON, status)
            return
        except Exception as error:
            # Else the page would take it for a program that has ended, and ask for ever.
            said = {"error": f"The program has a fault: {type(error).__name__}: {error}"}
            self.answer(_encoded(said), _JSON, HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        if isinstance(given, Picture):
            self._answer_page(given.content, given.kind, given.policy)
        else:
            self.answer(_encoded(given), _JSON)


def _encoded(content: Any) -> bytes:
    return json.dumps(content, allow_nan=False).encode("ascii")
