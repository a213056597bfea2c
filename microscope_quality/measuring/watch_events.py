"""What a watch tells its listeners."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from microscope_quality.batch.alerts import Alert
from microscope_quality.errors import printable
from microscope_quality.files.tables import as_stored
from microscope_quality.measuring.file_verdicts import Verdict
from microscope_quality.measuring.naming import Recognised
from microscope_quality.statuses import ERROR

# Files that cannot be read yet of which the names are told.
_LISTED_FILES = 3

State = Literal["starting", "watching", "ending", "ended"]


@dataclass(frozen=True)
class WatchStatus:
    """How a watch goes; told some times a second, and last when it has ended.

    Attributes
    ----------
    state : str
        ``"starting"``, told once, before anything is looked at; ``"watching"``; ``"ending"``, when
        what is being measured may still end; or ``"ended"``, when the tables are in their places.
    stopped : bool
        Whether it was asked to stop.
    counts : mapping of str to int
        Images that were judged, by the keys of their statuses: files, and z-stacks in several
        files.
    files : int
        Files in the tables.
    lacking : int
        Images of which a plane could not be measured, but others could.
    waiting_stacks, waiting_planes : int
        Z-stacks in several files that wait for more of them, and the planes that came since.
    first_stack : str
        Name of the one that has been waiting for the longest time.
    measured, kept : int
        Files measured now, and those of an earlier run that are as they were.
    waiting, at_work : int
        Files that are not complete yet or wait for their turn, and those that are being measured.
    unreadable : mapping of str to str
        Files that cannot be read yet, and why.
    troubles : sequence of str
        What does not go as it should.
    unwritten : bool
        Whether rows are not in their table yet.
    older : path, optional
        Folder of the tables as they were before, if rows have left them.
    """

    state: State
    stopped: bool
    counts: Mapping[str, int]
    files: int
    lacking: int
    waiting_stacks: int
    waiting_planes: int
    first_stack: str
    measured: int
    kept: int
    waiting: int
    at_work: int
    unreadable: Mapping[str, str]
    troubles: Sequence[str]
    unwritten: bool
    older: Path | None

    @property
    def images(self) -> int:
        """Images that were judged."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """Those of them that could not be measured."""
        return self.counts.get(ERROR.key, 0)

    def stacks_text(self, room: int = 1000) -> str:
        """Say which planes wait for their stacks; a name has so much room."""
        if not self.waiting_stacks:
            return ""
        planes = f"{self.waiting_planes:,} plane{'' if self.waiting_planes == 1 else 's'}"
        first = printable(self.first_stack)
        first = first if len(first) <= room else f"…{first[1 - room :]}"
        if self.waiting_stacks == 1:
            verb = "waits for its" if self.waiting_planes == 1 else "wait for their"
            return f"{planes} of {first} {verb} stack"
        return f"{planes} of {self.waiting_stacks:,} stacks wait for the others, {first} first"

    def unreadable_text(self) -> str:
        """Name files that cannot be read yet, with the reasons."""
        listed = [
            printable(f"{as_stored(name)} ({reason})")
            for name, reason in itertools.islice(self.unreadable.items(), _LISTED_FILES)
        ]
        left = len(self.unreadable) - len(listed)
        return ", ".join(listed) + (f" and {left:,} more" if left else "")


@dataclass(frozen=True, eq=False)
class FileMeasured:
    """A file was measured, or cannot be; its rows are kept.

    Of a z-stack in several files it is told when the stack is whole, and again when more of it
    came later.

    Attributes
    ----------
    name : str
        Relative to the folder, as the tables have it; of a z-stack in several files, with ``*`` for
        what differs between their names.
    path : path
        Of the file, or that of the plane that speaks for the stack.
    verdict : Verdict
    picture : bytes, optional
        A JPEG file of the plane that speaks for it.
    files : tuple of str
        Names of all its files.
    before : Verdict, optional
        What was said of a stack before more of it came, or of what is a part of it now.
    """

    name: str
    path: Path
    verdict: Verdict
    picture: bytes | None = field(default=None, repr=False)
    files: tuple[str, ...] = ()
    before: Verdict | None = None

    @property
    def was(self) -> str:
        """Say what it was before, if that was another status: what was told of it is over."""
        before = self.before
        return "" if before is None or before.status is self.verdict.status else before.status.words


@dataclass(frozen=True)
class NotReadable:
    """A file cannot be read yet, and is tried again; told once."""

    name: str
    reason: str


@dataclass(frozen=True)
class PictureDrawn:
    """An image that was measured before was drawn, as `Watch.draw` asked for."""

    name: str
    picture: bytes = field(repr=False)


@dataclass(frozen=True)
class TablesWritten:
    """All rows so far are in the tables."""


@dataclass(frozen=True)
class Notice:
    """What went wrong or right again, in a sentence."""

    text: str


@dataclass(frozen=True)
class LayoutRecognised:
    """Names have the layout of an instrument: what it read from one; told again if it reads more.

    ``recognised.files`` tells nothing here: they are still coming.
    """

    recognised: Recognised


@dataclass(frozen=True)
class EarlierAlerts:
    """The newest alerts of earlier runs, the last one last, and how many there were in all."""

    alerts: Sequence[Alert]
    number: int


@dataclass(frozen=True)
class AlertRaised:
    """An alert was raised for a file that was measured."""

    name: str
    alert: Alert


#: What a watch tells; of alerts, where it has them (see `watch_alerts.WatchAlerts`).
Event = (
    FileMeasured
    | NotReadable
    | PictureDrawn
    | TablesWritten
    | Notice
    | LayoutRecognised
    | EarlierAlerts
    | AlertRaised
    | WatchStatus
)
