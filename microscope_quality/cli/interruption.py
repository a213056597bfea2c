"""How a command ends when a signal asks it to."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Callable, Optional

#: Exit code after Ctrl-C; that of other signals follows from their numbers in the same way.
INTERRUPTED = 130
#: Exit code when nobody reads what is written any more: that of SIGPIPE, by which others end.
READER_GONE = 141


@contextlib.contextmanager
def handled(handler: Callable[[int, Optional[FrameType]], None], *names: str) -> Iterator[None]:
    """Have those signals handled that there are here; not SIGHUP where it is ignored (nohup)."""
    known = (signal.Signals[name] for name in names if name in signal.Signals.__members__)
    before = {
        number: signal.signal(number, handler)
        for number in known
        if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, own in before.items():
            signal.signal(number, own)


@contextlib.contextmanager
def as_interrupts() -> Iterator[Callable[[], int]]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does.

    Yields
    ------
    callable
        Gives the exit code that tells which signal it was.
    """
    code = INTERRUPTED

    def interrupt(number: int, _: Optional[FrameType]) -> None:
        nonlocal code
        code = 128 + number
        raise KeyboardInterrupt

    with handled(interrupt, "SIGTERM", "SIGHUP"):
        yield lambda: code
