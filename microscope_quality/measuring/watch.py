"""A watch: the images of a folder are measured as they come, and whoever listens hears of each.

It knows no screen, no page and no alerts: these listen to its events.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from microscope_quality.batch.pool import Pool
from microscope_quality.batch.results import Results
from microscope_quality.batch.run import Outcome
from microscope_quality.batch.run_record import RunRecord, earlier_folder
from microscope_quality.batch.watching import Before, Found, ReadOutcome, Watcher, identity_of
from microscope_quality.errors import FileError, MicroscopeQualityError, printable
from microscope_quality.files.columns import names
from microscope_quality.files.images import SUFFIXES, is_left_out
from microscope_quality.files.tables import RESULTS, STACKS, as_stored, read_table
from microscope_quality.measuring.file_verdicts import Verdict, verdict_of
from microscope_quality.measuring.items import modified_text
from microscope_quality.measuring.reading import Reading, error_row, read_file
from microscope_quality.measuring.rows import PlaneRow, RowReader
from microscope_quality.measuring.settings import Settings
from microscope_quality.measuring.watch_events import (
    Event,
    FileMeasured,
    Notice,
    NotReadable,
    PictureDrawn,
    State,
    TablesWritten,
    WatchStatus,
)
from microscope_quality.statuses import ERROR

#: Seconds between two writings of the run's record.
RECORD_SECONDS = 10.0

# A file that takes longer, in seconds, leaves one process to others.
_LONG_SECONDS = 1.0
# The longest wait for anything, so that it is soon heeded when it is to stop.
_NAP_SECONDS = 0.25
# When the watch is to stop, for what is being measured.
_LAST_SECONDS = 1.5


@dataclass(frozen=True)
class WatchSettings:
    """What is watched, and how.

    Attributes
    ----------
    folder : path
        Where images come, in sub-folders too.
    out : path
        Folder of the tables, made if it is missing; what is in it is not measured.
    still_seconds : float
        How long a file has to keep still to count as completely written.
    jobs : int
        Processes at work.
    once : bool
        End when nothing is to be expected any more.
    pictures : bool
        Draw the plane that speaks for each file.
    command : sequence of str
        As it was typed, for the run's record.
    """

    folder: Path
    out: Path
    still_seconds: float = 1.0
    jobs: int = 2
    once: bool = False
    pictures: bool = False
    command: Sequence[str] = ()


Listener = Callable[[Event], object]


class Watch:
    """A watch of a folder; used as a context, within which it holds the folder of its tables.

    Parameters
    ----------
    where : WatchSettings
    settings : Settings, optional
        How to measure; the usual ones without.

    Attributes
    ----------
    edited : list of str
        Files that are measured again because rows of theirs were edited.
    other_columns : bool
        Whether the table had rows and other columns, so that all is measured again.

    Raises
    ------
    MicroscopeQualityError
        On entering: settings are wrong, there is no such folder, or that of the tables cannot be
        used, or has those of another one.

    Examples
    --------
    >>> with Watch(WatchSettings(Path("plate1"), Path("results"))) as watch:  # doctest: +SKIP
    ...     for event in watch.events():
    ...         if isinstance(event, FileMeasured):
    ...             print(event.name, event.verdict.status.words)
    """

    def __init__(self, where: WatchSettings, settings: Settings | None = None) -> None:
        self.where = where
        self.settings = settings or Settings()
        self._columns = self.settings.columns()
        self._stack = contextlib.ExitStack()
        self._listeners: list[Listener] = []
        # Events that some listeners, and that `events` has not told yet.
        self._unheard: deque[Event] = deque()
        self._untold: deque[Event] = deque()
        self._state: State = "starting"
        self._stopped = False
        # The status of each file, and how many have each.
        self._statuses: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._measured = 0
        # Names of files that are kept, by those that tables have.
        self._kept: dict[str, str] = {}
        # What the disk has not taken yet.
        self._pending: deque[tuple[Found, Reading]] = deque()
        self._unpublished = False
        self._publish_at = self._record_at = 0.0
        self._troubles: dict[str, str] = {}
        self._unreadable: dict[str, str] = {}
        # Of earlier runs, files to draw, and at work.
        self._undrawn: dict[str, None] = {}
        self._drawing: set[Found] = set()
        self._long: set[str] = set()
        self._seconds_per_byte = 0.0

    def __enter__(self) -> Watch:
        where, settings = self.where, self.settings
        settings.check()
        if not where.folder.is_dir():
            raise FileError(f"There is no folder {where.folder}.")
        tables = {**settings.tables(), STACKS: names(self._columns[STACKS])}
        with contextlib.ExitStack() as stack:
            self._results = stack.enter_context(Results(where.out, tables, settings.id))
            self._check_same_folder()
            self.edited = list(self._results.edited)
            self.other_columns = self._results.other_columns
            self._watcher = Watcher(
                where.folder,
                wanted=lambda name: name.lower().endswith(SUFFIXES),
                ignored=is_left_out,
                exclude=where.out,
                before=self._before,
                still_seconds=where.still_seconds,
            )
            self._failed_before = self._recall()
            read = functools.partial(read_file, settings, where.pictures)
            self._pool: Pool[Found | None, Reading | None] = stack.enter_context(
                Pool(read, where.jobs, settings.budget)
            )
            self._record = RunRecord(
                out=where.out,
                command=where.command,
                folder=where.folder.absolute(),
                settings_id=settings.id,
                settings=settings.to_dict(),
                model=settings.facts(),
                jobs=where.jobs,
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # What was there before.

    def _check_same_folder(self) -> None:
        """Refuse to go on with the tables of another folder, whose names may be the same."""
        folder, out = self.where.folder, self.where.out
        files = self._results.files()
        earlier = earlier_folder(out)
        if not files or earlier is None or earlier == folder.absolute():
            return
        # It may have been moved, or be reached by another path.
        if not any(os.path.lexists(folder / name) for name in files):
            raise FileError(
                f"{out}: has the results of {printable(str(earlier))}; choose another folder"
            )

    def _before(self, name: str, size_bytes: int, mtime_ns: int) -> Before:
        modified = modified_text(mtime_ns)
        if self._results.kept(name, size_bytes, modified):
            self._kept[as_stored(name)] = name
            return Before.DONE
        same = (str(size_bytes), modified)
        return Before.FAILED if self._failed_before.get(as_stored(name)) == same else Before.NOTHING

    def _recall(self) -> dict[str, tuple[str, str]]:
        """Count what an earlier run left; gives the files that failed, as they were then."""
        failed: dict[str, tuple[str, str]] = {}
        if not self._results.files():
            return failed
        self._results.publish()
        stacks: dict[str, list[dict[str, str]]] = {}
        for row in read_table(self.where.out / STACKS, names(self._columns[STACKS])):
            stacks.setdefault(row["file"], []).append(row)
        # What no run writes is refused before anything rests on it.
        reader = RowReader(self.settings.measure, self._columns[RESULTS])
        table = read_table(self.where.out / RESULTS, names(self._columns[RESULTS]))
        for name, of_file in itertools.groupby(table, key=lambda row: row["file"]):
            rows = list(of_file)
            if name in self.edited:
                continue
            verdict = verdict_of([reader.plane(row) for row in rows], stacks.get(name, ()))
            self._count(name, verdict)
            if verdict.status is ERROR and rows[0]["settings_id"] == self.settings.id:
                failed[name] = (rows[0]["size_bytes"], rows[0]["modified"])
        return failed

    def earlier(self, most: int) -> list[FileMeasured]:
        """Give so many of the files that an earlier run measured last, the newest one last.

        It is asked at the start.
        """
        found = []
        for name in self._results.files()[-most:]:
            rows = [] if name in self.edited else self._results.rows(name)
            if rows:
                verdict = self._verdict(rows, self._results.rows(name, STACKS))
                found.append(FileMeasured(name, self.where.folder / name, verdict))
        return found

    def _verdict(
        self, rows: Iterable[Mapping[str, str]], stacks: Iterable[Mapping[str, str]]
    ) -> Verdict:
        return verdict_of([PlaneRow.of(self.settings.measure, row) for row in rows], stacks)

    def draw(self, files: Iterable[str]) -> None:
        """Ask for pictures of files of an earlier run, by their names, the first one first.

        They come as `PictureDrawn` when no other file waits, of those that are as they were.
        """
        self._undrawn.update(dict.fromkeys(files))

    # Who is told.

    def attach(self, listener: Listener) -> None:
        """Have a listener called with each event, in the thread of the watch."""
        self._listeners.append(listener)

    def tell(self, event: Event) -> None:
        """Tell all listeners of an event; what they tell thereby comes after it."""
        self._unheard.append(event)
        if len(self._unheard) > 1:
            return
        try:
            while self._unheard:
                for listener in self._listeners:
                    listener(self._unheard[0])
                self._untold.append(self._unheard.popleft())
        finally:
            # What a listener raises ends the watch, and is not to silence it if it goes on.
            self._unheard.clear()

    def trouble(self, what: str, sentence: str) -> None:
        """Tell once that something cannot be written, and with an empty sentence that it can."""
        before = self._troubles.pop(what, "")
        if sentence:
            self._troubles[what] = sentence
        if bool(sentence) != bool(before):
            self.tell(Notice(sentence or f"The {what} can be written again"))

    @property
    def status(self) -> WatchStatus:
        """How it goes."""
        lost = (f"{self.where.folder} cannot be reached",) if self._watcher.lost else ()
        return WatchStatus(
            state=self._state,
            stopped=self._stopped,
            counts=dict(self._counts),
            measured=self._measured,
            kept=len(self._kept),
            waiting=self._watcher.waiting,
            at_work=self._at_work,
            unreadable=dict(self._unreadable),
            troubles=(*lost, *self._troubles.values()),
            unwritten=self._unpublished or bool(self._pending),
            older=self._results.older,
        )

    # The life of a watch.

    def stop(self) -> None:
        """Have it end soon, when no table is half written; from any thread, or a signal's handler.

        The next watch with the same settings goes on from there.
        """
        self._stopped = True

    def run(self) -> WatchStatus:
        """Watch until `stop`, or with `once` until nothing changes; gives how it ended."""
        for _ in self.events():
            pass
        return self.status

    def events(self) -> Iterator[Event]:
        """Watch as `run` does, and give the events as they come.

        Yields
        ------
        `WatchStatus` or another event
            When whoever takes them leaves off before the end, what was measured is kept all the
            same, and the next watch puts it into the tables.

        Raises
        ------
        MicroscopeQualityError
            No process can be started to measure.
        """
        look_at = 0.0
        self._write_record("running")
        self.tell(self.status)
        yield from self._taken()
        self._state = "watching"
        # The first images are not to wait for processes that start.
        for _ in range(min(2, self.where.jobs)):
            self._pool.give(None)
        while not self._stopped:
            began = time.monotonic()
            if began >= look_at:
                self._watcher.look()
                # On a slow drive, a look is not to take most of the time.
                taken = time.monotonic() - began
                look_at = time.monotonic() + max(self._watcher.pause_seconds, 5 * taken)
                for text in self._watcher.notices():
                    self.tell(Notice(text))
            self._hand_out()
            self._collect(min(_NAP_SECONDS, look_at - time.monotonic()))
            self._tidy()
            self.tell(self.status)
            yield from self._taken()
            idle = self._watcher.settled and not self._at_work
            if self.where.once and idle and not self.status.unwritten:
                break
        self._end()
        yield from self._taken()

    def _taken(self) -> Iterator[Event]:
        while self._untold:
            yield self._untold.popleft()

    @property
    def _at_work(self) -> int:
        """Images that are being measured."""
        return self._pool.at_work - len(self._drawing)

    def _hand_out(self) -> None:
        # What the disk does not take is kept here, so it must not grow.
        while self._pool.free and not self._pending:
            given = self._watcher.take(1, self._fits)
            for found in given:
                if self._is_long(found.identity.size_bytes):
                    self._long.add(found.name)
                self._pool.give(found)
            if not given:
                self._draw_earlier()
                return

    def _draw_earlier(self) -> None:
        """Draw an image of an earlier run, one at a time and only where that is in no way."""
        # One process is left to what comes meanwhile.
        busy = self._drawing or self._pool.free < min(2, self.where.jobs)
        name = next((name for name in self._undrawn if name in self._kept), None)
        if self.where.once or busy or name is None:
            return
        del self._undrawn[name]
        path = self.where.folder / self._kept[name]
        with contextlib.suppress(OSError):
            found = Found(self._kept[name], path, identity_of(path), 0, True)
            size_bytes, mtime_ns, *_ = found.identity
            if self._results.kept(name, size_bytes, modified_text(mtime_ns)):
                self._drawing.add(found)
                self._pool.give(found)

    def _is_long(self, size_bytes: int) -> bool:
        return size_bytes * self._seconds_per_byte > _LONG_SECONDS

    def _fits(self, size_bytes: int) -> bool:
        room = max(1, self.where.jobs - 1)
        return len(self._long) < room or not self._is_long(size_bytes)

    def _collect(self, seconds: float) -> None:
        for outcome in self._pool.collect(seconds):
            found, reading = outcome.item, outcome.value
            if found is None:
                if outcome.error:
                    raise MicroscopeQualityError(outcome.error)
            elif found in self._drawing:
                self._drawing.discard(found)
                if reading and reading.after == found.identity and reading.picture:
                    self.tell(PictureDrawn(as_stored(found.name), reading.picture))
            else:
                self._take_in(found, outcome)

    def _take_in(self, found: Found, outcome: Outcome[Found | None, Reading | None]) -> None:
        self._long.discard(found.name)
        reading = outcome.value
        if reading is None:
            row = error_row(self.settings, found, outcome.error)
            reading = Reading({RESULTS: [row], STACKS: []}, found.identity, True, 0.0)
        elif not reading.failed and found.identity.size_bytes:
            rate = reading.seconds / found.identity.size_bytes
            self._seconds_per_byte += 0.2 * (rate - self._seconds_per_byte)
        # What ends a process is not tried again: it would do so each time.
        became = self._watcher.finish(found, reading.after, reading.failed, for_good=outcome.died)
        if became is not ReadOutcome.AGAIN:
            self._unreadable.pop(found.name, None)
        elif reading.failed:
            is_new = found.name not in self._unreadable
            errors = (row["error"] for row in reading.rows[RESULTS] if row["error"])
            self._unreadable[found.name] = next(errors, "")
            if is_new:
                self.tell(NotReadable(as_stored(found.name), self._unreadable[found.name]))
        if became in (ReadOutcome.DONE, ReadOutcome.FAILED):
            self._pending.append((found, reading))
            self._keep()

    def _keep(self) -> None:
        """Put into the tables what waits for it."""
        while self._pending:
            found, reading = self._pending[0]
            rows, name = reading.rows, as_stored(found.name)
            verdict = self._verdict(rows[RESULTS], rows[STACKS])
            if verdict.status is not ERROR or self._results.rows(name) != rows[RESULTS]:
                try:
                    self._results.append(name, rows)
                except FileError as error:
                    self.trouble("tables", f"{error}; it is tried again")
                    return
                self._unpublished = True
            self.trouble("tables", "")
            self._pending.popleft()
            self._measured += 1
            self._undrawn.pop(name, None)
            self._count(name, verdict)
            self.tell(FileMeasured(name, found.path, verdict, reading.picture))

    def _count(self, name: str, verdict: Verdict) -> None:
        if name in self._statuses:
            self._counts[self._statuses[name]] -= 1
        self._statuses[name] = verdict.status.key
        self._counts[verdict.status.key] += 1

    # From time to time.

    def _tidy(self) -> None:
        moment = time.monotonic()
        self._keep()
        if self._unpublished and moment >= self._publish_at:
            self._publish()
        if moment >= self._record_at:
            self._write_record("running")
        self._unreadable = {
            name: reason for name, reason in self._unreadable.items() if self._watcher.has(name)
        }

    def _publish(self) -> None:
        began = time.monotonic()
        try:
            self._results.publish()
        except OSError as error:
            self.trouble("table", f"{error}; its rows are kept and it is tried again")
            self._publish_at = time.monotonic() + 1
            return
        self.trouble("table", "")
        self._unpublished = False
        self._publish_at = time.monotonic() + 4 * (time.monotonic() - began)
        self.tell(TablesWritten())

    def _write_record(self, status: str) -> None:
        self._record_at = time.monotonic() + RECORD_SECONDS
        counts = {
            "files": len(self._statuses),
            "measured": self._measured,
            "kept": len(self._kept),
            "failed": self._counts[ERROR.key],
            **{one.key: self._counts[one.key] for one in self.settings.measure.statuses},
        }
        trouble = ""
        try:
            self._record.write(status, counts)
        except OSError as error:
            trouble = f"{error}; it is tried again"
        self.trouble("record", trouble)

    def _end(self) -> None:
        """Bring to an end what can be in a moment, and leave the rest for the next start."""
        self._state = "ending"
        self.tell(self.status)
        until = time.monotonic() + _LAST_SECONDS
        while self._at_work and time.monotonic() < until:
            self._collect(until - time.monotonic())
        self._keep()
        self._publish()
        if not self.status.unwritten:
            with contextlib.suppress(OSError):
                self._results.finish(self._results.files())
                stacks = self.where.out / STACKS
                if next(read_table(stacks, names(self._columns[STACKS])), None) is None:
                    stacks.unlink()
        self._write_record("interrupted" if self._stopped else "finished")
        self._state = "ended"
        self.tell(self.status)
