"""A copy of a watch's table for spreadsheet programs, which is brought up to date."""

from __future__ import annotations

import functools
import time
from pathlib import Path

from microscope_quality.batch.pool import Pool
from microscope_quality.files.spreadsheet import WORKBOOK, write_spreadsheet
from microscope_quality.files.tables import RESULTS
from microscope_quality.measuring import watch_events as events
from microscope_quality.measuring.watch import Watch

#: Seconds between two writings.
SECONDS = 30.0
# When the watch has ended.
_LAST_SECONDS = 60.0


class WatchSpreadsheet:
    """Keeps a copy of a watch's table, written by a process of its own; used as a context.

    Where it cannot be written, as while it is open in another program, that is tried again.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._table = watch.where.out / RESULTS
        write = functools.partial(
            write_spreadsheet,
            path=watch.where.out / WORKBOOK,
            columns=watch.settings.columns()[RESULTS],
            statuses=watch.settings.measure.all_statuses,
        )
        self._pool: Pool[Path, Path] = Pool(write, 1)
        self._is_stale = True
        self._write_at = 0.0
        watch.attach(self._hear)

    def __enter__(self) -> WatchSpreadsheet:
        self._pool.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.__exit__()

    def _hear(self, event: events.Event) -> None:
        if isinstance(event, events.TablesWritten):
            self._is_stale = True
        elif isinstance(event, events.WatchStatus):
            last = event.state == "ended"
            self._collect(_LAST_SECONDS if last else 0.0)
            due = self._is_stale and (last or time.monotonic() >= self._write_at)
            if due and self._pool.free and self._table.exists():
                self._is_stale = False
                self._pool.give(self._table)
                self._collect(_LAST_SECONDS if last else 0.0)

    def _collect(self, seconds: float) -> None:
        """Hear of a copy that is being written, so long at most."""
        until = time.monotonic() + seconds
        while self._pool.at_work:
            for outcome in self._pool.collect(until - time.monotonic()):
                self._write_at = time.monotonic() + SECONDS
                self._is_stale |= bool(outcome.error)
                trouble = outcome.error and f"{outcome.error}; it is tried again"
                self._watch.trouble("spreadsheet", trouble)
            if time.monotonic() >= until:
                return
