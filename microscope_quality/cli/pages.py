"""Commands that show a page on which people answer: where it is, and until when."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from microscope_quality.rating.page_server import PageServer

#: Heading of options in the commands' help.
PAGE = "The page"

HostOption = Annotated[
    str,
    typer.Option(
        metavar="HOST",
        rich_help_panel=PAGE,
        help="Where the page listens. 127.0.0.1 is this computer alone; 0.0.0.0 is anybody in the "
        "network, who then sees the images and can answer under any name.",
    ),
]
PortOption = Annotated[
    Optional[int],
    typer.Option(
        metavar="PORT",
        min=0,
        max=65535,
        rich_help_panel=PAGE,
        help="Port of the page; 0 takes a free one.",
        show_default="the same each time, or a free one if that is taken",
    ),
]
NoBrowserOption = Annotated[
    bool,
    typer.Option("--no-browser", rich_help_panel=PAGE, help="Do not open the page in a browser."),
]


_OPEN_TO_ALL = (
    "Anybody who can reach this computer sees the images there and can answer; it has no password."
)


def listening(
    make: Callable[[str, int], PageServer], host: str, port: Optional[int], usual: int
) -> PageServer:
    """Make a server, at the usual port or a free one where none is asked for.

    Parameters
    ----------
    make
        Makes it from a host and a port.
    host, port
        As asked for.
    usual
        The port if none is. A page that is still open finds the program there when it is started
        again.
    """
    from microscope_quality.errors import FileError

    if port is not None:
        return make(host, port)
    try:
        return make(host, usual)
    except FileError:
        return make(host, 0)


def serve(
    server: PageServer,
    host: str,
    *,
    no_browser: bool,
    warning: str = _OPEN_TO_ALL,
) -> int:
    """Serve a page until a signal asks to stop, and give the exit code.

    Parameters
    ----------
    server
        That is not started yet.
    host
        Where it listens.
    no_browser
        Whether no browser is to be opened.
    warning
        What is said where it listens to others.
    """
    from microscope_quality.batch.local_server import is_loopback
    from microscope_quality.cli.interruption import INTERRUPTED, handled

    stop = threading.Event()
    first = 0

    def ask(number: int, _: FrameType | None) -> None:
        nonlocal first
        first = first or number
        stop.set()

    with handled(ask, "SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"), server:
        typer.echo(f"The page is at {server.url} - Ctrl-C stops.")
        if not is_loopback(host):
            typer.echo(warning, err=True)
        if not no_browser:
            _open(server.url)
        # Windows hands signals on between waits alone.
        while not stop.wait(0.5):
            pass
    return INTERRUPTED if first == signal.SIGINT else 0


def _open(url: str) -> None:
    """Open a page where there is a browser with a window."""
    import os
    import sys
    import webbrowser

    has_screen = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    # One that runs in the terminal would take it over.
    if has_screen and not os.environ.get("SSH_CONNECTION"):
        # Nothing of what browsers print is to be seen here.
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
