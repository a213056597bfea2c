"""What a watch says: a line for each file, and on a terminal a last line on how it goes."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Optional

from rich.console import Console
from rich.live import Live
from rich.text import Text

from microscope_quality.cli.summary import (
    NOT_MEASURED,
    VERDICTS,
    printable,
    shortened,
    status_colour,
)
from microscope_quality.measuring.verdicts import Verdict
from microscope_quality.overlay import level_colours

#: Symbol and words of each kind of verdict.
SYMBOLS: dict[str, tuple[str, str]] = {
    "error" if status == NOT_MEASURED else status: (text[0], text[2:])
    for status, text in VERDICTS.items()
}
_REFRESH_SECONDS = 0.5


class Screen:
    """The terminal, or the pipe, that a watch writes to; used as a context.

    Parameters
    ----------
    levels
        Of the model.
    bell
        Ring with each alert, on a terminal.
    """

    def __init__(self, levels: int, *, bell: bool = False) -> None:
        self._terminal = sys.stdout.isatty()
        # A pipe gets whole names; COLUMNS has its way all the same.
        width = None if self._terminal or "COLUMNS" in os.environ else 1000
        self._console = Console(width=width, highlight=False, markup=False, emoji=False)
        self._errors = (
            self._console if self._terminal else Console(stderr=True, width=1000, highlight=False)
        )
        self._colours = [f"rgb({r},{g},{b})" for r, g, b in level_colours(levels).tolist()]
        self._bell = bell
        self._live: Optional[Live] = None
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._refreshed = 0.0
        self._line = ""

    def __enter__(self) -> Screen:
        if self._terminal:
            self._live = Live(Text(""), console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]] = None,
        error: Optional[BaseException] = None,
        trace: Optional[TracebackType] = None,
    ) -> None:
        self._say_all()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, sentence: str, *, quietly: bool = False) -> None:
        """Say what is no result, such as that a folder cannot be reached."""
        style = "dim" if quietly else "bold"
        line = Text.assemble((f"{_clock()}  ", "dim"), (printable(sentence), style))
        self._errors.print(line, soft_wrap=True)

    def say_later(self, sentence: str) -> None:
        """Say it when it is convenient; for other threads than the watch's own."""
        self._said.put(sentence)

    def _say_all(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self.say(self._said.get_nowait())

    def show(self, name: str, verdict: Verdict, alert: str) -> None:
        """Show the verdict on a file, and its alert if it raised one."""
        status = NOT_MEASURED if verdict.kind == "error" else verdict.kind
        colour = status_colour(status, self._colours)
        judged, said = verdict.judged_level, verdict.level_text()
        level = (f"{said:>5}", self._colours[judged]) if said and judged is not None else "    –"
        words = printable(verdict.in_words() or verdict.error)
        if verdict.error and verdict.planes > 1:
            words = printable(f"{words}: {verdict.error}")
        if verdict.kind == "no_content":
            # Too small, or without a single number: that there is nothing in it may not be all.
            words = "  ".join(filter(None, (words, printable(verdict.message))))
        room = max(12, min(60, self._console.width - 42))
        shown = shortened(printable(name), room) if self._terminal else printable(name)
        line = Text.assemble(
            (f"{_clock()}  ", "dim"),
            f"{shown:<{min(room, 40)}}",
            level,
            "  ",
            (f"{VERDICTS[status]:<14}", colour),
            (f"  {words}" if words else "", "" if verdict.error else "dim"),
        )
        line.rstrip()
        self._console.print(line, soft_wrap=not self._terminal)
        if alert:
            sentence = Text(f"{_clock()}  ▲ ALERT  {printable(alert)}", "bold black on yellow")
            self._console.print(sentence, soft_wrap=True)
            if self._bell and self._terminal:
                self._console.bell()

    def refresh(self, counts: Mapping[str, int], waiting: int, alerted: int) -> None:
        """Bring the last line up to date, and say what other threads have to say."""
        self._say_all()
        moment = time.monotonic()
        if self._live is None or moment - self._refreshed < _REFRESH_SECONDS:
            return
        self._refreshed = moment
        number = sum(counts.values())
        parts = [f"{number:,} image{'' if number == 1 else 's'}"]
        if waiting:
            parts.append(f"{waiting:,} waiting")
        if alerted:
            parts.append(f"{alerted:,} alert{'s' if alerted > 1 else ''}")
        parts += [
            f"{symbol} {counts[kind]:,} {label}"
            for kind, (symbol, label) in SYMBOLS.items()
            if counts.get(kind)
        ]
        line = "  ".join(parts)
        if line != self._line:
            self._line = line
            self._live.update(Text(line, "dim", no_wrap=True, overflow="ellipsis"), refresh=True)


def _clock() -> str:
    return time.strftime("%H:%M:%S")
