"""A watch: the images of a folder are measured as they come, and whoever listens hears of each.

It knows no screen, no page and no alerts: these listen to its events.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from microscope_quality.batch.pool import Pool
from microscope_quality.batch.results import Results
from microscope_quality.batch.run import Outcome
from microscope_quality.batch.run_record import (
    RUN_RECORD,
    RunRecord,
    earlier_folder,
    read_record,
)
from microscope_quality.batch.watching import (
    Before,
    Found,
    Identity,
    ReadOutcome,
    Watcher,
    identity_of,
)
from microscope_quality.errors import (
    FileError,
    MicroscopeQualityError,
    SettingsError,
    printable,
    reason_of,
)
from microscope_quality.files.columns import names
from microscope_quality.files.images import SUFFIXES, is_left_out, open_image
from microscope_quality.files.left_out import LeftOut, LeftOutCounts, folders_of
from microscope_quality.files.ome_zarr import is_zarr
from microscope_quality.files.tables import (
    RESULTS,
    STACKS,
    as_stored,
    read_table,
)
from microscope_quality.measuring.file_verdicts import Verdict, verdict_of
from microscope_quality.measuring.items import modified_text
from microscope_quality.measuring.judging import Judging
from microscope_quality.measuring.naming import Naming, Recognised, is_of_set, renamed
from microscope_quality.measuring.reading import Reading, error_row, read_file
from microscope_quality.measuring.rows import PlaneRow, RowReader, images_of
from microscope_quality.measuring.run import check_folder
from microscope_quality.measuring.settings import Settings
from microscope_quality.measuring.watch_events import (
    Event,
    FileMeasured,
    LayoutRecognised,
    Notice,
    NotReadable,
    PictureDrawn,
    State,
    TablesWritten,
    WatchStatus,
)
from microscope_quality.measuring.watch_tables import WatchTables
from microscope_quality.measuring.watch_units import Units
from microscope_quality.statuses import ERROR

#: Seconds between two writings of the run's record.
RECORD_SECONDS = 10.0

# A file that takes longer, in seconds, leaves one process to others.
_LONG_SECONDS = 1.0
# The longest wait for anything, so that it is soon heeded when it is to stop.
_NAP_SECONDS = 0.25
# When the watch is to stop, for what is being measured.
_LAST_SECONDS = 1.5
# Pictures of planes that are held until it is known which one speaks for its stack.
_MOST_PICTURES = 256
# Images that are drawn later, at most.
_MOST_UNDRAWN = 64


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
    stack_quiet_seconds : float
        How long no plane of a z-stack in several files has to come for it to count as whole, while
        its number of planes is not known.
    jobs : int
        Processes at work.
    once : bool
        End when nothing is to be expected any more.
    pictures : bool
        Draw the plane that speaks for each file.
    command : sequence of str
        As it was typed, for the run's record.
    exclude : sequence of str
        Patterns of names to leave out, as for `LeftOut`.
    """

    folder: Path
    out: Path
    still_seconds: float = 1.0
    jobs: int = 2
    once: bool = False
    pictures: bool = False
    command: Sequence[str] = ()
    stack_quiet_seconds: float = 10.0
    exclude: Sequence[str] = ()


Listener = Callable[[Event], object]

_RowsOf = dict[str, list[dict[str, str]]]


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
        self._naming = Naming()
        self._units = Units(where.stack_quiet_seconds)
        self._judging = Judging(self.settings.measures)
        self._measured = 0
        # Files that were seen, and are to be told to the naming.
        self._seen: list[str] = []
        # Whether it was told if the pattern matches none of the first files' names.
        self._has_compared = self._has_told_of_cut = self._has_told_of_unmatched = False
        # By layout, what was read from names.
        self._layouts: dict[str, frozenset[str]] = {}
        # Names of files that are kept, and of those that were measured, by those that tables have.
        self._kept: dict[str, str] = {}
        self._names: dict[str, str] = {}
        # Of planes that wait for their stack.
        self._pictures: dict[str, bytes] = {}
        # What the disk has not taken yet.
        self._pending: deque[tuple[Found, Reading]] = deque()
        self._publish_at = self._record_at = 0.0
        self._troubles: dict[str, str] = {}
        self._unreadable: dict[str, str] = {}
        # Files to draw by the names of their images, and images by what is at work.
        self._undrawn: dict[str, str] = {}
        self._drawing: dict[Found, str] = {}
        self._long: set[str] = set()
        self._seconds_per_byte = 0.0
        self._leaving = LeftOut(where.exclude)
        self._left_out: dict[str, str] = {}
        # Links to nothing of which there is a row.
        self._given_up: set[str] = set()

    def __enter__(self) -> Watch:
        where, settings = self.where, self.settings
        settings.check()
        if not where.stack_quiet_seconds >= 0:
            raise SettingsError(
                f"stack_quiet_seconds is {where.stack_quiet_seconds:g}; it must be 0 or more."
            )
        self._naming = Naming(settings.pattern, settings.layout)
        if not where.folder.is_dir():
            raise FileError(f"There is no folder {where.folder}.")
        check_folder(where.out)
        tables = {**settings.tables(), STACKS: names(self._columns[STACKS])}
        with contextlib.ExitStack() as stack:
            self._results = stack.enter_context(
                Results(where.out, tables, settings.id, derived=self._judging.columns)
            )
            refused = functools.partial(self.trouble, "tables")
            self._tables = WatchTables(self._results, settings, self._naming, self._units, refused)
            self._check_same_folder()
            self.edited = list(self._results.edited)
            self.other_columns = self._results.other_columns
            self._watcher = Watcher(
                where.folder,
                wanted=lambda name: name.lower().endswith(SUFFIXES),
                ignored=self._ignores,
                exclude=where.out,
                before=self._before,
                still_seconds=where.still_seconds,
                once=where.once,
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

    @property
    def unmatched(self) -> list[str]:
        """Files whose names the pattern, or the layout that was named, does not match."""
        return self._naming.unmatched

    @property
    def left_out(self) -> LeftOutCounts:
        """Images, and folders of them, that were left out so far, by why."""
        counts = LeftOutCounts()
        for name, why in self._left_out.items():
            counts.add(why, name)
        return counts

    def _ignores(self, name: str, beside: Collection[str]) -> bool:
        """Whether to leave out a file or folder."""
        if is_left_out(name.rpartition("/")[2], beside):
            return True
        why = self._leaving.why(name, beside)
        if why and name.lower().endswith(SUFFIXES):
            self._left_out[name] = why
        elif why and (self.where.folder / name).is_dir():
            self._left_out[name] = folders_of(why)
        return bool(why)

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
        self._seen.append(name)
        modified = modified_text(mtime_ns)
        if self._results.kept(name, size_bytes, modified):
            self._kept[as_stored(name)] = self._names[as_stored(name)] = name
            return Before.DONE
        same = (str(size_bytes), modified)
        return Before.FAILED if self._failed_before.get(as_stored(name)) == same else Before.NOTHING

    def _recall(self) -> dict[str, tuple[str, str]]:
        """Count what an earlier run left; gives the files that failed, as they were then."""
        failed: dict[str, tuple[str, str]] = {}
        if not self._results.files():
            return failed
        self._results.publish()
        self._naming.add((name, self.where.folder / name) for name in self._results.files())
        of_file, of_stack = self._recalled_stacks()
        has_waited = self._has_waited()
        # Planes of stacks of which not all were read.
        parts: dict[str, list[PlaneRow]] = {}
        # What no run writes is refused before anything rests on it.
        reader = RowReader(self.settings.measure, self._columns[RESULTS])
        columns = names(self._columns[RESULTS])
        self._judging.learn(read_table(self.where.out / RESULTS, columns))
        table = read_table(self.where.out / RESULTS, columns)
        for name, of_name in itertools.groupby(table, key=lambda row: row["file"]):
            rows = list(of_name)
            planes = [reader.plane(row) for row in rows]
            if name in self.edited:
                continue
            judged = self._judging.judged(rows)
            if judged != rows and rows[0]["settings_id"] == self.settings.id:
                self._tables.rejudged[name] = rows = judged
                planes = [reader.plane(row) for row in rows]
            if any(plane.error for plane in planes) and rows[0]["settings_id"] == self.settings.id:
                failed[name] = (rows[0]["size_bytes"], rows[0]["modified"])
            key, waits = self._tables.unit_of(name, rows)
            self._units.add(name, key, len(rows), waits=waits)
            named = self._naming[name]
            # Formats of whole plates name them by themselves.
            if is_zarr(Path(name)) or renamed({RESULTS: rows}, named)[RESULTS] == rows:
                self._tables.told[name] = named
            else:
                self._tables.to_rename[name] = None
            if key == name:
                if not (waits and has_waited):
                    self._judge(key, verdict_of(planes, of_file.get(name, ())))
                continue
            part = parts.setdefault(key, [])
            part += planes
            stacks = of_stack.get(key, [])
            # Those that wait have no stack yet, or one of fewer planes.
            if len(part) == sum(int(stack["planes"] or 0) for stack in stacks):
                self._judge(key, verdict_of(parts.pop(key), stacks))
        self._tables.rejudge()
        for key, part in parts.items():
            # A plane that was not measured may be in no row of the stacks.
            measured = [one for one in images_of(part) if not all(plane.error for plane in one)]
            stacks, status = of_stack.get(key, []), self._units[key].status
            if not measured and (status or not has_waited):
                self._units.judge(key, status or ERROR.key, lacks=status not in ("", ERROR.key))
            elif sum(map(len, measured)) == sum(int(stack["planes"] or 0) for stack in stacks) > 0:
                self._judge(key, verdict_of(part, stacks))
        return failed

    def _recalled_stacks(self) -> tuple[_RowsOf, _RowsOf]:
        """Give the rows of z-stacks, by their files and by their names."""
        of_file: _RowsOf = {}
        of_stack: _RowsOf = {}
        for row in read_table(self.where.out / STACKS, names(self._columns[STACKS])):
            of_file.setdefault(row["file"], []).append(row)
            of_stack.setdefault(row["stack"], []).append(row)
        return of_file, of_stack

    def _has_waited(self) -> bool:
        """Whether planes waited for their stacks when an earlier watch ended."""
        try:
            return bool(read_record(self.where.out / RUN_RECORD)["counts"]["waiting"])
        except (FileError, KeyError, TypeError):
            return False

    def earlier(self, most: int) -> list[FileMeasured]:
        """Give so many of the images that an earlier run measured last, the newest one last.

        It is asked at the start.
        """
        found: list[FileMeasured] = []
        for key in reversed([*self._units]):
            unit = self._units[key]
            if len(found) < most and not unit.is_open:
                files = tuple(unit.files)
                verdict = self._tables.verdict(files)
                found.append(FileMeasured(key, self._path(verdict), verdict, files=files))
        return found[::-1]

    def draw(self, images: Iterable[FileMeasured]) -> None:
        """Ask for pictures of images that were measured before, the first one first.

        They come as `PictureDrawn` when no other file waits, of those that are as they were.
        """
        self._undrawn.update((image.name, image.verdict.plane.name) for image in images)

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
        waiting = self._units.waiting
        return WatchStatus(
            state=self._state,
            stopped=self._stopped,
            counts=dict(self._units.counts),
            files=self._units.n_files,
            lacking=len(self._units.lacking),
            waiting_stacks=len(waiting),
            waiting_planes=sum(unit.fresh_planes for unit in waiting.values()),
            first_stack=next(iter(waiting), ""),
            measured=self._measured,
            kept=len(self._kept),
            waiting=self._watcher.waiting,
            at_work=self._at_work,
            unreadable=dict(self._unreadable),
            troubles=(*lost, *self._troubles.values()),
            unwritten=self._tables.unwritten or bool(self._pending),
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
        for recognised in self._naming.recognised:
            self._recognise(recognised)
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
                self._name_seen()
            self._hand_out()
            self._collect(min(_NAP_SECONDS, look_at - time.monotonic()))
            self._tidy()
            idle = self._watcher.settled and not self._at_work
            if self.where.once and idle:
                # No file and no plane will come any more.
                self._give_up_links()
                self._judge_due(list(self._units.waiting))
            self.tell(self.status)
            yield from self._taken()
            if self.where.once and idle and not (self.status.unwritten or self._units.waiting):
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
        """Draw an image that was measured before, one at a time and where that is in no way."""
        # One process is left to what comes meanwhile.
        busy = self._drawing or self._pool.free < min(2, self.where.jobs)
        key = next((key for key, name in self._undrawn.items() if name in self._names), None)
        if self.where.once or busy or key is None:
            return
        name = self._undrawn.pop(key)
        path = self.where.folder / self._names[name]
        with contextlib.suppress(OSError):
            found = Found(self._names[name], path, identity_of(path), 0, True)
            size_bytes, mtime_ns, *_ = found.identity
            if self._results.kept(name, size_bytes, modified_text(mtime_ns)):
                self._drawing[found] = key
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
                key = self._drawing.pop(found)
                if reading and reading.after == found.identity and reading.picture:
                    self.tell(PictureDrawn(key, reading.picture))
            else:
                self._take_in(found, outcome)

    def _take_in(self, found: Found, outcome: Outcome[Found | None, Reading | None]) -> None:
        self._long.discard(found.name)
        reading = outcome.value
        if reading is None:
            row = error_row(self.settings, found, outcome.error)
            reading = Reading({RESULTS: [row]}, found.identity, True, 0.0)
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
            # One that was not there at the first look, as behind a link to nothing.
            self._seen.append(found.name)
            self._name_seen()
            self._pending.append((found, reading))
            self._keep()

    def _give_up_links(self) -> None:
        """Say of links to nothing that they are that: what they lead to is not waited for."""
        for name in self._watcher.dangling:
            if name in self._given_up:
                continue
            self._given_up.add(name)
            found = Found(name, self.where.folder / name, Identity(0, 0, 0), 1, True)
            try:
                open_image(found.path)
            except FileError as error:
                row = error_row(self.settings, found, reason_of(error, found.path))
                row |= {"size_bytes": "", "modified": ""}
                self._seen.append(name)
                self._name_seen()
                self._pending.append((found, Reading({RESULTS: [row]}, None, True, 0.0)))
        self._keep()

    def _keep(self) -> None:
        """Put into the tables what waits for it."""
        if self._tables.rename():
            while self._pending and self._keep_one(*self._pending[0]):
                self._pending.popleft()

    def _keep_one(self, found: Found, reading: Reading) -> bool:
        """Put what a file gave into the tables; False if the disk refuses."""
        name = as_stored(found.name)
        named = self._naming[name]
        rows = self._tables.with_name(reading.rows, named)
        rows[RESULTS] = self._judging.judged(rows[RESULTS])
        planes = self._tables.planes(rows[RESULTS])
        key, waits = self._tables.unit_of(name, rows[RESULTS])
        if waits or self._units.key(name) != key:
            self._tables.remember(self._units.key(name), key)
        stacks = self._tables.stacks(planes) if key == name else []
        known = reading.failed and self._results.rows(name) == rows[RESULTS]
        if not known and not self._tables.append(name, rows, stacks):
            return False
        self._measured += 1
        self._tables.told[name], self._names[name] = named, found.name
        self._undrawn.pop(key, None)
        if known and waits and name in self._units:
            return True
        if self._units.key(name) not in (name, key):
            self._tables.to_restack[self._units.key(name)] = None
        self._units.add(name, key, len(planes), waits=waits)
        if not waits:
            self._tell_of(key, verdict_of(planes, stacks), reading.picture)
            return True
        if reading.picture is not None:
            self._pictures[name] = reading.picture
            while len(self._pictures) > _MOST_PICTURES:
                del self._pictures[next(iter(self._pictures))]
        return True

    # What names tell.

    def _name_seen(self) -> None:
        """Take in the names of files that were seen."""
        seen, self._seen = self._seen, []
        changed = self._naming.add((as_stored(name), self.where.folder / name) for name in seen)
        if not self._has_compared and self._naming.n_files:
            self._has_compared = True
            if self._naming.mismatch:
                self.tell(Notice(f"The {self._naming.mismatch}"))
                self._has_told_of_unmatched = True
        if not self._has_told_of_unmatched:
            stored = map(as_stored, seen)
            unmatched = next((name for name in stored if not self._naming.matches(name)), None)
            if unmatched is not None:
                self._has_told_of_unmatched = True
                what = "layout" if self.settings.pattern is None else "pattern"
                self.tell(Notice(f"The {what} does not match {unmatched}"))
        if self._naming.cut_number and not self._has_told_of_cut:
            self._has_told_of_cut = True
            self.tell(Notice(f"The {self._naming.cut_number}"))
        for name in sorted(changed):
            recognised = self._naming.recognised_in(name)
            if recognised is not None:
                self._recognise(recognised)
            if name in self._units:
                self._tables.to_rename[name] = None

    def _recognise(self, recognised: Recognised) -> None:
        """Tell of a layout, if more is read by it than was told."""
        name = recognised.layout.name
        told, read = self._layouts.get(name, frozenset()), frozenset(recognised.texts)
        if not read <= told:
            self._layouts[name] = told | read
            self.tell(LayoutRecognised(recognised))

    # What is judged.

    def _path(self, verdict: Verdict) -> Path:
        """Of the file that speaks for an image."""
        name = verdict.plane.name
        return self.where.folder / self._names.get(name, name)

    def _is_expected(self, key: str) -> bool:
        """Whether a plane of a unit is there and was not measured yet."""
        files = self._units[key].files
        known = list(files)
        # Of an OME set, names do not tell.
        mates = known if is_of_set(key) else self._naming.mates(known[0])
        return any(
            self._watcher.expects(self._names.get(name, name))
            and (name in files or self._naming[name].stack == key)
            for name in mates
        )

    def _judge_due(self, keys: Iterable[str]) -> None:
        """Judge units that are whole, unless the disk has not taken all yet."""
        if self._pending or self._tables.to_rename or self._tables.to_restack:
            return
        for key in keys:
            judged = self._tables.write_stacks(key)
            if judged is None:
                return
            verdict = verdict_of(*judged)
            drawn = {name: self._pictures.pop(name, None) for name in self._units[key].files}
            picture = drawn[verdict.plane.name]
            if self.where.pictures and picture is None:
                self._undrawn[key] = verdict.plane.name
                while len(self._undrawn) > _MOST_UNDRAWN:
                    del self._undrawn[next(iter(self._undrawn))]
            self._tell_of(key, verdict, picture)

    def _tell_of(self, key: str, verdict: Verdict, picture: bytes | None) -> None:
        """Count an image by its verdict, and tell of it."""
        unit = self._units[key]
        before = unit.before(key)
        self._judge(key, verdict)
        event = FileMeasured(key, self._path(verdict), verdict, picture, tuple(unit.files), before)
        self.tell(event)

    def _judge(self, key: str, verdict: Verdict) -> None:
        lacks = verdict.failed is not None and verdict.status is not ERROR
        self._units.judge(key, verdict.status.key, lacks=lacks)

    # From time to time.

    def _tidy(self) -> None:
        moment = time.monotonic()
        self._keep()
        self._judge_due(self._units.due(self._is_expected))
        if self._tables.unwritten and moment >= self._publish_at:
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
        self._tables.unwritten = False
        self._publish_at = time.monotonic() + 4 * (time.monotonic() - began)
        self.tell(TablesWritten())

    def _write_record(self, status: str) -> None:
        self._record_at = time.monotonic() + RECORD_SECONDS
        counted = self._units.counts
        counts = {
            "files": self._units.n_files,
            "images": counted.total(),
            "waiting": self.status.waiting_planes,
            "measured": self._measured,
            "kept": len(self._kept),
            "failed": counted[ERROR.key],
            **self.settings.measure.counted(counted),
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
        self._judge_due(self._units.due(self._is_expected))
        self._publish()
        if not self.status.unwritten:
            with contextlib.suppress(OSError):
                self._results.finish(self._tables.in_order())
                stacks = self.where.out / STACKS
                if next(read_table(stacks, names(self._columns[STACKS])), None) is None:
                    stacks.unlink()
        self._write_record("interrupted" if self._stopped else "finished")
        self._state = "ended"
        self.tell(self.status)
