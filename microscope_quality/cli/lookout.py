"""A watch: what is found in a folder goes to the tables, the screen, the page and the alerts."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import math
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Optional

from microscope_quality.batch.alerts import FILE as ALERTS
from microscope_quality.batch.alerts import Alert, Alerts, Door
from microscope_quality.batch.pool import Pool
from microscope_quality.batch.results import Results
from microscope_quality.batch.run import Outcome
from microscope_quality.batch.run_record import RunRecord, earlier_folder, now
from microscope_quality.batch.status_page import Board, Card, Kind, StatusPage
from microscope_quality.batch.watching import Before, Fate, Found, Watcher, identity_of
from microscope_quality.cli.interruption import INTERRUPTED, heeded
from microscope_quality.cli.screen import SYMBOLS, Screen
from microscope_quality.cli.summary import level_of, printable
from microscope_quality.errors import FileError, MicroscopeQualityError
from microscope_quality.files.images import SUFFIXES
from microscope_quality.files.tables import (
    GROUPS,
    RESULTS,
    STACK_COLUMNS,
    STACKS,
    as_stored,
    read_table,
)
from microscope_quality.measuring.page import (
    Settings,
    model_facts,
    modified_text,
    settings_id,
)
from microscope_quality.measuring.reading import Reading, error_row, read_file
from microscope_quality.measuring.rows import plane_row
from microscope_quality.measuring.verdicts import KINDS, Threshold, Verdict, verdict_of
from microscope_quality.model import ModelDescription
from microscope_quality.overlay import level_colours

#: Seconds between two writings of a spreadsheet and of the run's record.
SPREADSHEET_SECONDS = 30.0
RECORD_SECONDS = 10.0
SPREADSHEET = "results.xlsx"

# A file that takes longer, in seconds, leaves one process to others.
_LONG_SECONDS = 1.0
# The longest wait for anything, so that a signal is heeded soon.
_NAP_SECONDS = 0.25
# When the watch is to stop: for what is being measured, for a spreadsheet, for alerts.
_LAST_SECONDS = 1.5
_LAST_SPREADSHEET_SECONDS = 60.0
_LAST_ALERT_SECONDS = 30.0
# Results of an earlier run that the page shows at first, and alerts that it lists.
_OLD_CARDS = 12
_LISTED_ALERTS = 8
# Files that cannot be read yet of which the names are told.
_LISTED_FILES = 3


@dataclass(frozen=True)
class Wishes:
    """What is watched, and what is to be done beside measuring.

    Attributes
    ----------
    still_seconds : float
        How long a file has to keep still.
    once : bool
        End when nothing is to be expected any more.
    after : int
        Bad images in a row that raise an alert.
    address : (str, int), optional
        Where to serve the page.
    """

    folder: Path
    out: Path
    command: Sequence[str] = ()
    still_seconds: float = 1.0
    jobs: int = 2
    once: bool = False
    spreadsheet: bool = False
    threshold: Optional[Threshold] = None
    after: int = 1
    doors: Sequence[Door] = ()
    address: Optional[tuple[str, int]] = None


def _write_spreadsheet(paths: tuple[Path, Path]) -> None:
    from microscope_quality.files.spreadsheet import write_spreadsheet

    write_spreadsheet(*paths)


def wanted(name: str) -> bool:
    """Whether a name is that of an image."""
    return name.lower().endswith(SUFFIXES)


def ignored(name: str, beside: Collection[str]) -> bool:
    """Whether a name is left out: hidden ones, and pictures that were drawn by a measurement."""
    of_results = name == "overlays" and not {RESULTS, f"{RESULTS}.part"}.isdisjoint(beside)
    return name.startswith(".") or of_results


class Lookout:
    """A watch with all its doors; used as a context, `run` is its whole life.

    Parameters
    ----------
    wishes
        What to watch and what for.
    settings, description
        How to measure, and what the model is.
    screen
        Where it is told.

    Raises
    ------
    MicroscopeQualityError
        The folder for results cannot be used, or the page not be served.
    """

    def __init__(
        self, wishes: Wishes, settings: Settings, description: ModelDescription, screen: Screen
    ) -> None:
        self._wishes = wishes
        self._settings = settings
        self._description = description
        self._screen = screen
        self._id = settings_id(settings, description)
        self._stack = contextlib.ExitStack()
        colours = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in level_colours(description.levels)]
        self._colours = colours
        tables = {**settings.tables(description.levels), STACKS: STACK_COLUMNS}
        self._columns = tables
        self._kinds: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._pending: deque[tuple[Found, Reading, Fate]] = deque()
        self._troubles: dict[str, str] = {}
        self._recent: deque[dict[str, str]] = deque(maxlen=_LISTED_ALERTS)
        self._alerted = 0
        # Why files cannot be read yet.
        self._unread: dict[str, str] = {}
        # Names on the page that are of an earlier run; of these, files to draw, and at work.
        self._old: dict[str, str] = {}
        self._undrawn: dict[str, str] = {}
        self._drawing: set[Found] = set()
        self._in_a_row = 0
        self._long: set[str] = set()
        self._seconds_per_byte = 0.0
        self._measured = 0
        self._kept: set[str] = set()
        self._unpublished = False
        self._publish_at = 0.0
        self._stale_spreadsheet = wishes.spreadsheet
        self._spreadsheet_at = 0.0
        self._record_at = 0.0
        self._stopped = 0
        self._url = ""
        with contextlib.ExitStack() as stack:
            self._board: Optional[Board] = None
            if wishes.address is not None:
                self._board = self._new_board()
                # First: where it cannot be served, nothing is to be left in the folder.
                self._url = stack.enter_context(StatusPage(self._board, *wishes.address)).url
            self._results = stack.enter_context(Results(wishes.out, tables, self._id))
            self._check_same_folder()
            self._changed = list(self._results.edited)
            self._watcher = Watcher(
                wishes.folder,
                wanted=wanted,
                ignored=ignored,
                exclude=wishes.out,
                before=self._before,
                still_seconds=wishes.still_seconds,
            )
            self._failed_before = self._recall()
            self._alerts = stack.enter_context(
                Alerts(wishes.doors, wishes.out / ALERTS, said=screen.say_later)
                if wishes.threshold is not None
                else Alerts([])
            )
            if self._board is not None:
                self._show_old(self._board)
            self._pool: Pool[Optional[Found], Optional[Reading]] = stack.enter_context(
                Pool(
                    functools.partial(read_file, settings, wishes.address is not None),
                    wishes.jobs,
                    settings.budget,
                )
            )
            self._sheets: Pool[tuple[Path, Path], None] = stack.enter_context(
                Pool(_write_spreadsheet, 1)
            )
            self._record = RunRecord(
                out=wishes.out,
                command=wishes.command,
                folder=wishes.folder.absolute(),
                settings_id=self._id,
                settings=settings.to_dict(),
                model=model_facts(description),
                jobs=wishes.jobs,
                started=now(),
                began=time.monotonic(),
            )
            self._write_record("running")
            self._stack = stack.pop_all()

    @property
    def url(self) -> str:
        """Where the page is; empty without one."""
        return self._url

    def summary(self) -> str:
        """Say in a sentence what is there at the end."""
        table = self._wishes.out / RESULTS
        n_files = len(self._kinds)
        done = f"{n_files:,} image{'' if n_files == 1 else 's'} in {table}"
        if self._unpublished or self._pending:
            done = f"{table} could not be written; its rows are in {table}.part"
        said = [done]
        if self._counts["error"]:
            said.append(f"{self._counts['error']:,} not measured")
        if self._unread:
            said.append(f"not readable yet: {self._unread_text()}")
        if self._alerts.waiting:
            said.append(f"{self._alerts.waiting:,} alerts are delivered by the next start")
        if self._results.older is not None:
            said.append(f"the tables as they were before are in {self._results.older}")
        if self._stopped:
            said.append("the same command goes on from there")
        return f"{'Stopped' if self._stopped else 'Done'}: {'; '.join(said)}."

    def __enter__(self) -> Lookout:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # What was there before.

    def _check_same_folder(self) -> None:
        """Refuse to go on with the tables of another folder, whose names may be the same."""
        folder, out = self._wishes.folder, self._wishes.out
        names = self._results.files()
        earlier = earlier_folder(out)
        if not names or earlier is None or earlier == folder.absolute():
            return
        # It may have been moved, or be reached by another path.
        if not any(os.path.lexists(folder / name) for name in names):
            raise FileError(
                f"{out}: has the results of {printable(str(earlier))}; choose another folder"
            )

    def _before(self, name: str, size_bytes: int, mtime_ns: int) -> Before:
        modified = modified_text(mtime_ns)
        if self._results.kept(name, size_bytes, modified):
            self._kept.add(name)
            if as_stored(name) in self._old:
                self._undrawn[as_stored(name)] = name
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
        for row in read_table(self._wishes.out / STACKS, STACK_COLUMNS):
            stacks.setdefault(row["file"], []).append(row)
        table = read_table(self._wishes.out / RESULTS, self._columns[RESULTS])
        for name, of_file in itertools.groupby(table, key=lambda row: row["file"]):
            rows = list(of_file)
            if name in self._changed:
                continue
            # What no run writes is refused before anything rests on it.
            for row in rows:
                plane_row(row)
            verdict = verdict_of(rows, stacks.get(name, ()))
            self._count(name, verdict)
            if verdict.kind == "error" and rows[0]["settings_id"] == self._id:
                failed[name] = (rows[0]["size_bytes"], rows[0]["modified"])
        return failed

    def _new_board(self) -> Board:
        colours = self._colours
        colour_of = {
            "in_focus": colours[0],
            "mixed": colours[level_of("mixed", len(colours))],
            "out_of_focus": colours[level_of("out_of_focus", len(colours))],
            "no_content": "#8a8f98",
            "error": "#d1242f",
        }
        return Board(
            self._wishes.folder.name or str(self._wishes.folder),
            [
                Kind(kind, label, symbol, colour_of[kind])
                for kind, (symbol, label) in SYMBOLS.items()
            ],
            scale=("level 0, in focus", colours, f"level {len(colours) - 1}"),
        )

    def _show_old(self, board: Board) -> None:
        """Show what an earlier run left; the pictures come when there is time for them."""
        board.count(self._counts)
        earlier = self._alerts.earlier
        for alert in earlier[-_LISTED_ALERTS:]:
            self._recent.appendleft({"time": alert.time, "reason": alert.reason})
        board.beat(alerts=list(self._recent), alert_number=self._alerts.raised)
        reasons = {
            (alert.facts.get("file"), alert.facts.get("modified")): alert.reason
            for alert in earlier
        }
        for name in self._results.files()[-_OLD_CARDS:]:
            rows = [] if name in self._changed else self._results.rows(name)
            if rows:
                verdict = verdict_of(rows, self._results.rows(name, STACKS))
                modified = rows[0]["modified"]
                # Browsers differ in what they make of nanoseconds.
                at = f"{modified[:19]}Z" if modified.endswith("Z") else ""
                card = self._card(name, verdict, at, reasons.get((name, modified), ""), None)
                board.show(replace(card, old=verdict.kind != "error"), new=False)
                self._old[name] = modified

    # The life of a watch.

    def run(self) -> int:
        """Watch until a signal comes, or with `once` until nothing changes; gives the exit code."""
        look_at = 0.0
        if self._changed:
            self._screen.say(
                f"Measured again, since rows in the tables were edited: "
                f"{len(self._changed):,} file{'s' * (len(self._changed) > 1)}, "
                f"{printable(self._changed[0])}{' first' * (len(self._changed) > 1)}"
            )
        with self._signals():
            # The first images are not to wait for processes that start.
            for _ in range(min(2, self._wishes.jobs)):
                self._pool.give(None)
            while not self._stopped:
                began = time.monotonic()
                if began >= look_at:
                    self._watcher.look()
                    # On a slow drive, a look is not to take most of the time.
                    taken = time.monotonic() - began
                    look_at = time.monotonic() + max(self._watcher.pause_seconds, 5 * taken)
                    for notice in self._watcher.notices():
                        self._screen.say(notice)
                self._hand_out()
                self._collect(min(_NAP_SECONDS, look_at - time.monotonic()))
                self._tidy()
                if self._wishes.once and self._is_done():
                    break
            self._end()
        if self._stopped:
            return INTERRUPTED if self._stopped == signal.SIGINT else 0
        return 1 if self._counts["error"] else 0

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let signals ask for the end, which comes when no table is half written."""

        def ask(number: int, _: Optional[FrameType]) -> None:
            self._stopped = self._stopped or number
            # A second one ends the process as it does others.
            signal.signal(number, signal.default_int_handler)

        numbers = heeded("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
        before = {number: signal.signal(number, ask) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _is_done(self) -> bool:
        idle = self._watcher.settled and not self._at_work
        return idle and not (self._pending or self._unpublished)

    def _hand_out(self) -> None:
        # What the disk does not take is kept here, so it must not grow.
        while self._pool.free and not self._pending:
            given = self._watcher.take(1, self._fits)
            for found in given:
                if self._is_long(found.identity.size_bytes):
                    self._long.add(found.name)
                self._pool.give(found)
            if not given:
                self._draw_old()
                return

    def _draw_old(self) -> None:
        """Draw an image of an earlier run again, one at a time and only where that is in no way."""
        if self._board is None or self._wishes.once or self._drawing or not self._undrawn:
            return
        # One process is left to what comes meanwhile.
        if self._pool.free < min(2, self._wishes.jobs):
            return
        stored = next(name for name in reversed(self._old) if name in self._undrawn)
        name = self._undrawn.pop(stored)
        path = self._wishes.folder / name
        with contextlib.suppress(OSError):
            found = Found(name, path, identity_of(path), 0, True)
            if modified_text(found.identity.mtime_ns) == self._old[stored]:
                self._drawing.add(found)
                self._pool.give(found)

    def _put_up(self, found: Found, reading: Optional[Reading]) -> None:
        """Show the picture of an image of an earlier run, if it is still that image."""
        self._drawing.discard(found)
        name = as_stored(found.name)
        whole = reading is not None and reading.after == found.identity
        if self._board is not None and name in self._old and reading and whole and reading.picture:
            self._board.draw(name, reading.picture)

    @property
    def _at_work(self) -> int:
        """Images that are being measured."""
        return self._pool.at_work - len(self._drawing)

    def _is_long(self, size_bytes: int) -> bool:
        return size_bytes * self._seconds_per_byte > _LONG_SECONDS

    def _fits(self, size_bytes: int) -> bool:
        room = max(1, self._wishes.jobs - 1)
        return len(self._long) < room or not self._is_long(size_bytes)

    def _collect(self, seconds: float) -> None:
        for outcome in self._pool.collect(seconds):
            if outcome.item is None:
                if outcome.error:
                    raise MicroscopeQualityError(outcome.error)
                continue
            if outcome.item in self._drawing:
                self._put_up(outcome.item, outcome.value)
                continue
            self._take_in(outcome.item, outcome)

    def _take_in(self, found: Found, outcome: Outcome[Optional[Found], Optional[Reading]]) -> None:
        self._long.discard(found.name)
        reading = outcome.value
        if reading is None:
            row = error_row(self._settings, self._description, found, outcome.error)
            reading = Reading({RESULTS: [row], STACKS: []}, found.identity, True, 0.0)
        elif not reading.failed and found.identity.size_bytes:
            rate = reading.seconds / found.identity.size_bytes
            self._seconds_per_byte += 0.2 * (rate - self._seconds_per_byte)
        # What ends a process is not tried again: it would do so each time.
        fate = self._watcher.finish(found, reading.after, reading.failed, for_good=outcome.died)
        if fate is Fate.AGAIN and reading.failed:
            self._wait_for(found.name, reading)
        elif fate is not Fate.AGAIN:
            self._unread.pop(found.name, None)
        if fate in (Fate.DONE, Fate.FAILED):
            self._pending.append((found, reading, fate))
            self._keep()

    def _wait_for(self, name: str, reading: Reading) -> None:
        """Say once of a file that it cannot be read yet."""
        before = name in self._unread
        self._unread[name] = next(
            (row["error"] for row in reading.rows[RESULTS] if row["error"]), ""
        )
        if not before:
            shown = f"{as_stored(name)} ({self._unread[name]}; tried again)"
            self._screen.say(f"waiting: {shown}", quietly=True)

    def _unread_text(self) -> str:
        """Name files that cannot be read yet, with the reasons."""
        listed = [
            printable(f"{as_stored(name)} ({reason})")
            for name, reason in itertools.islice(self._unread.items(), _LISTED_FILES)
        ]
        left = len(self._unread) - len(listed)
        return ", ".join(listed) + (f" and {left:,} more" if left else "")

    def _keep(self) -> None:
        """Put into the tables what waits for it."""
        while self._pending:
            found, reading, _ = self._pending[0]
            rows = reading.rows
            name = as_stored(found.name)
            verdict = verdict_of(rows[RESULTS], rows[STACKS])
            if verdict.kind != "error" or self._results.rows(name) != rows[RESULTS]:
                try:
                    self._results.append(name, rows)
                except FileError as error:
                    self._trouble("tables", f"{error}; it is tried again")
                    return
                self._unpublished = True
            self._trouble("tables", "")
            self._pending.popleft()
            self._measured += 1
            self._count(name, verdict)
            self._tell(found, name, verdict, reading)

    def _count(self, name: str, verdict: Verdict) -> None:
        before = self._kinds.get(name)
        if before is not None:
            self._counts[before] -= 1
        self._kinds[name] = verdict.kind
        self._counts[verdict.kind] += 1

    # Who is told.

    def _tell(self, found: Found, name: str, verdict: Verdict, reading: Reading) -> None:
        reason = self._alert(found, name, verdict)
        self._screen.show(name, verdict, reason)
        if self._board is not None:
            self._old.pop(name, None)
            self._undrawn.pop(name, None)
            self._board.show(self._card(name, verdict, now(), reason, reading.picture))
            self._board.count(self._counts)

    def _card(
        self, name: str, verdict: Verdict, at: str, reason: str, picture: Optional[bytes]
    ) -> Card:
        words = [verdict.in_words(), verdict.error]
        if verdict.kind == "no_content":
            words.append(verdict.message)
        if verdict.kind not in ("error", "no_content"):
            words.append(f"certainty {verdict.certainty:.2f}")
        if not math.isnan(verdict.defocus_um):
            words.append(f"{verdict.defocus_um:.1f} µm")
        title, level = verdict.level_text(), verdict.judged_level
        more = [f"{group} {value}" for group, value in verdict.groups.items()]
        if level is not None and not math.isnan(verdict.expected_level):
            more.insert(0, f"expected level {verdict.expected_level:.2f}")
        return Card(
            name=name,
            time=at,
            kind=verdict.kind,
            title=title,
            colour=self._colours[level] if title and level is not None else "",
            detail=" · ".join(word for word in words if word),
            alert=reason,
            picture=picture,
            more=" · ".join(more),
        )

    def _alert(self, found: Found, name: str, verdict: Verdict) -> str:
        """Raise an alert if there is one to raise; gives its sentence."""
        threshold, after = self._wishes.threshold, self._wishes.after
        reason = threshold.reason(name, verdict) if threshold is not None else ""
        if not reason:
            self._in_a_row = 0
            return ""
        self._in_a_row += 1
        if after > 1:
            if self._in_a_row != after:
                return ""
            reason = f"{after} images in a row are bad; {reason}"
        modified = modified_text(found.identity.mtime_ns)
        size_bytes = found.identity.size_bytes
        of_what = [self._id, name, size_bytes, modified, threshold, after, verdict.error]
        content = json.dumps(of_what, default=repr).encode()
        numbers = {
            "level": verdict.level,
            "expected_level": verdict.expected_level,
            "certainty": verdict.certainty,
            "defocus_um": verdict.defocus_um,
        }
        alert = Alert(
            hashlib.sha256(content).hexdigest()[:32],
            now(),
            reason,
            {
                "folder": str(self._wishes.folder.absolute()),
                "file": name,
                "path": as_stored(str(found.path.absolute())),
                "status": verdict.kind,
                **{key: None if math.isnan(n) else round(n, 6) for key, n in numbers.items()},
                **{axis: verdict.place.get(axis) for axis in ("series", "z", "c", "t")},
                **{key: verdict.groups.get(key, "") for key in GROUPS},
                "planes": verdict.planes,
                "in_a_row": self._in_a_row,
                "error": verdict.error,
                "size_bytes": size_bytes,
                "modified": modified,
            },
        )
        if not self._alerts.send(alert):
            return ""
        self._alerted += 1
        self._recent.appendleft({"time": alert.time, "reason": reason})
        return reason

    def _trouble(self, what: str, sentence: str) -> None:
        """Say once what does not go as it should, and once that it goes again."""
        before = self._troubles.pop(what, "")
        if sentence:
            self._troubles[what] = sentence
            if not before:
                self._screen.say(sentence)
        elif before:
            self._screen.say(f"The {what} can be written again")

    # From time to time.

    def _tidy(self) -> None:
        moment = time.monotonic()
        if self._pending:
            self._keep()
        if self._unpublished and moment >= self._publish_at:
            self._publish()
        if self._wishes.spreadsheet:
            self._write_sheet(moment)
        if moment >= self._record_at:
            self._write_record("running")
        self._unread = {
            name: reason for name, reason in self._unread.items() if self._watcher.has(name)
        }
        state = {
            "waiting": self._watcher.waiting,
            "at_work": self._at_work,
            "retried": f"Tried again: {self._unread_text()}" if self._unread else "",
            "alert_number": self._alerts.raised,
            "alerts": list(self._recent),
            "trouble": " · ".join(self._all_troubles()),
        }
        if self._board is not None:
            self._board.beat(**state)
        self._screen.refresh(self._counts, self._watcher.waiting, self._alerted)

    def _all_troubles(self) -> list[str]:
        lost = [f"{self._wishes.folder} cannot be reached"] if self._watcher.lost else []
        return lost + list(self._troubles.values())

    def _publish(self) -> None:
        began = time.monotonic()
        try:
            self._results.publish()
        except OSError as error:
            self._trouble("table", f"{error}; its rows are kept and it is tried again")
            self._publish_at = time.monotonic() + 1
            return
        self._trouble("table", "")
        self._unpublished = False
        self._stale_spreadsheet = True
        self._publish_at = time.monotonic() + 4 * (time.monotonic() - began)

    def _write_sheet(self, moment: float) -> None:
        for outcome in self._sheets.collect(0):
            self._spreadsheet_at = moment + SPREADSHEET_SECONDS
            self._trouble("spreadsheet", outcome.error and f"{outcome.error}; it is tried again")
            self._stale_spreadsheet |= bool(outcome.error)
        due = self._stale_spreadsheet and moment >= self._spreadsheet_at
        if due and self._sheets.free and (self._wishes.out / RESULTS).exists():
            self._stale_spreadsheet = False
            self._sheets.give((self._wishes.out / RESULTS, self._wishes.out / SPREADSHEET))

    def _write_record(self, status: str) -> None:
        self._record_at = time.monotonic() + RECORD_SECONDS
        counts = {
            "files": len(self._kinds),
            "measured": self._measured,
            "kept": len(self._kept),
            "failed": self._counts["error"],
            **{kind: self._counts[kind] for kind in KINDS if kind != "error"},
        }
        try:
            self._record.write(status, counts)
        except OSError as error:
            self._trouble("record", f"{error}; it is tried again")
        else:
            self._trouble("record", "")

    def _end(self) -> None:
        """Bring to an end what can be in a moment, and leave the rest for the next start."""
        if self._board is not None:
            self._board.beat(ending=True)
        until = time.monotonic() + _LAST_SECONDS
        while self._at_work and time.monotonic() < until:
            self._collect(until - time.monotonic())
        self._keep()
        self._publish()
        if self._wishes.spreadsheet:
            self._spreadsheet_at = 0.0
            until = time.monotonic() + _LAST_SPREADSHEET_SECONDS
            self._write_sheet(time.monotonic())
            while self._sheets.at_work and time.monotonic() < until:
                time.sleep(0.05)
                self._write_sheet(0.0)
        if self._wishes.once and not self._stopped:
            self._alerts.wait(_LAST_ALERT_SECONDS)
        if not (self._unpublished or self._pending):
            with contextlib.suppress(OSError):
                self._results.finish(self._results.files())
                stacks = self._wishes.out / STACKS
                if next(read_table(stacks, STACK_COLUMNS), None) is None:
                    stacks.unlink()
        self._write_record("interrupted" if self._stopped else "finished")
