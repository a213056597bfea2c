"""What a watch says: a line for each image, and on a terminal a last line on how it goes."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from microscope_quality.cli.wording import console, counted, shortened, style_of
from microscope_quality.errors import printable
from microscope_quality.measuring import watch_events as events
from microscope_quality.measuring.file_verdicts import Verdict
from microscope_quality.measuring.measure import Measure
from microscope_quality.statuses import ERROR

_REFRESH_SECONDS = 0.5
# Characters of a line beside its name: clock, number, verdict, and some words.
_BESIDE_NAME = 62
# Characters of the name of a stack in the last line.
_STACK_NAME = 30


class Screen:
    """The terminal, or the pipe, that hears of a watch; used as a context.

    Parameters
    ----------
    measure
        That judges.
    bell
        Ring with each alert, on a terminal.
    """

    def __init__(self, measure: Measure, *, bell: bool = False) -> None:
        self._statuses = measure.all_statuses
        self._terminal = sys.stdout.isatty()
        self._console = console()
        self._errors = (
            self._console if self._terminal else Console(stderr=True, width=1000, highlight=False)
        )
        self._bell = bell
        self._live: Live | None = None
        self._refreshed = 0.0
        self._alerts = 0
        self._line = ""
        # The longest name so far, where all are told whole.
        self._widest = 40

    def __enter__(self) -> Screen:
        if self._terminal:
            self._live = Live(Text(""), console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, sentence: str, *, quietly: bool = False) -> None:
        """Say what is no result, such as that a folder cannot be reached."""
        style = "dim" if quietly else "bold"
        line = Text.assemble((f"{_clock()}  ", "dim"), (printable(sentence), style))
        self._errors.print(line, soft_wrap=True)

    def hear(self, event: events.Event) -> None:
        """Say what a watch tells, as far as it is news."""
        if isinstance(event, events.FileMeasured):
            self._show(event.name, event.verdict, event.was)
        elif isinstance(event, events.AlertRaised):
            self._alerts += 1
            reason = printable(event.alert.reason)
            sentence = Text(f"{_clock()}  ▲ ALERT  {reason}", "bold black on yellow")
            self._console.print(sentence, soft_wrap=True)
            if self._bell and self._terminal:
                self._console.bell()
        elif isinstance(event, events.NotReadable):
            reason = event.reason.rstrip(".")
            self.say(f"waiting: {event.name} ({reason}; tried again)", quietly=True)
        elif isinstance(event, events.LayoutRecognised):
            self.say(f"Names as of {event.recognised}; --layout none reads none.", quietly=True)
        elif isinstance(event, events.Notice):
            self.say(event.text)
        elif isinstance(event, events.WatchStatus):
            self._refresh(event)

    def _show(self, name: str, verdict: Verdict, was: str) -> None:
        """Show the verdict on an image, and the words of what it was before."""
        measure, row, status = verdict.measure, verdict.row, verdict.status
        short = measure.short(row)
        number = (f"{short:>5}", measure.colour(row)) if short else "    –"
        sign = ": " if status is ERROR else ", "
        advice = measure.advice(row) if status.badness == 3 else ""
        words = printable(sign.join(filter(None, (verdict.in_words(), verdict.fault, advice))))
        if status.is_blank:
            # Too small, or without a single number: that there is nothing in it may not be all.
            words = "  ".join(filter(None, (words, printable(row["message"]))))
        if was:
            words = "  ".join(filter(None, (f"(was {was})", words)))
        shown, width = printable(name), self._widest
        if self._terminal:
            # The same in each line; behind the verdict there is room for some words.
            width = max(24, min(60, self._console.width - _BESIDE_NAME))
            shown = shortened(shown, width)
        else:
            width = self._widest = max(self._widest, len(shown))
        line = Text.assemble(
            (f"{_clock()}  ", "dim"),
            f"{shown:<{width}}",
            number,
            "  ",
            (f"{f'{status.sign} {status.words}':<14}", style_of(status)),
            (f"  {words}" if words else "", "" if verdict.error else "dim"),
        )
        line.rstrip()
        self._console.print(line, soft_wrap=not self._terminal)

    def _refresh(self, status: events.WatchStatus) -> None:
        """Bring the last line up to date."""
        moment = time.monotonic()
        if self._live is None or moment - self._refreshed < _REFRESH_SECONDS:
            return
        self._refreshed = moment
        parts = [counted(status.images, "image")]
        if status.waiting:
            parts.append(f"{status.waiting:,} waiting")
        if self._alerts:
            parts.append(counted(self._alerts, "alert"))
        parts += [
            f"{one.sign} {status.counts[one.key]:,} {one.words}"
            for one in self._statuses
            if status.counts.get(one.key)
        ]
        if status.waiting_stacks:
            parts.append(status.stacks_text(_STACK_NAME))
        line = "  ".join(parts)
        if line != self._line:
            self._line = line
            self._live.update(Text(line, "dim", no_wrap=True, overflow="ellipsis"), refresh=True)


def _clock() -> str:
    return time.strftime("%H:%M:%S")
