"""What a run keeps: rows in tables, counts for the screen, the planes to draw."""

from __future__ import annotations

import contextlib
import functools
import heapq
import math
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Iterator, Optional

import numpy as np

from microscope_quality.batch.run import Outcome, run
from microscope_quality.cli.page import (
    Item,
    Measured,
    Place,
    Settings,
    draw_plane,
    picture_name,
)
from microscope_quality.cli.summary import NOT_MEASURED, Line, StackLine, Summary, show
from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.tables import (
    STACK_COLUMNS,
    Table,
    check_replaceable,
    columns,
    patch_columns,
)
from microscope_quality.focus import FocusResult, best_plane
from microscope_quality.model import ModelDescription

#: Pictures of doubtful planes, at most.
MOST_DOUBTFUL = 24
#: Doubt (see `doubt`) from which a plane is doubtful.
DOUBTFUL = 0.25
#: What a pattern may find in a file's name.
GROUPS = ("plate", "well", "site", "channel")


def doubt(
    result: FocusResult, *, in_focus_limit: int = 1, sure_certainty: float = 0.0
) -> tuple[float, str]:
    """How much a plane deserves a look before its verdict is believed, and why.

    1 for a mixed plane. Else the larger one of 2 min(q, 1 - q), where q is the probability that
    the level is at most the in-focus limit, and 1 - certainty / `sure_certainty`. So 0.25 means
    that the other verdict has a probability of an eighth, or that the plane as a whole has three
    quarters of the certainty that makes a patch a sure one. 0 without content: there is nothing
    to look at.

    Parameters
    ----------
    result
        Of `measure_focus`.
    in_focus_limit
        The highest level that counts as in focus.
    sure_certainty
        The model's.

    Returns
    -------
    float, str
        From 0 to 1, and a few words.
    """
    if result.status == "no_content":
        return 0.0, ""
    if result.status == "mixed":
        return 1.0, "parts at different levels"
    focused = float(result.probabilities[: in_focus_limit + 1].sum())
    close = 2 * min(max(focused, 0.0), max(1 - focused, 0.0))
    unsure = 1 - result.certainty / sure_certainty if sure_certainty > 0 else 0.0
    if unsure > close:
        return unsure, "low certainty"
    return close, "close to the in-focus limit"


def name_pattern(text: Optional[str]) -> Optional[re.Pattern[str]]:
    """Regular expression for `GROUPS` in files' names.

    Raises
    ------
    SettingsError
        It is none, or has no group or another group than these.
    """
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise SettingsError(f"--pattern is no regular expression: {error}.") from error
    if not pattern.groupindex or set(pattern.groupindex) - set(GROUPS):
        found = ", ".join(pattern.groupindex) or "none"
        raise SettingsError(
            f"--pattern needs named groups out of {', '.join(GROUPS)}, written as "
            f"(?P<well>[A-P]\\d\\d); it has {found}."
        )
    return pattern


class Record:
    """Where the outcomes of a run go as they come; used as a context, it closes its tables.

    Parameters
    ----------
    description
        Of the model that measures.
    settings
        Of the run.
    pattern
        For plate, well, site and channel, searched in the file's name and then in its path.
    out
        Folder for tables and pictures, made if it is missing; None writes nothing.

    Raises
    ------
    FileError
        The folder cannot be written to, or holds other files under the names of the tables.
    """

    def __init__(
        self,
        description: ModelDescription,
        settings: Settings,
        pattern: Optional[re.Pattern[str]],
        out: Optional[Path],
    ) -> None:
        self.summary = Summary(description.levels)
        self._description = description
        self._settings = settings
        self._pattern = pattern
        self._unmatched = ""
        self._matched = False
        # A heap with the least doubtful plane first; its number makes the order definite.
        self._doubtful: list[tuple[float, int, Line, Item, Place]] = []
        self._file: Optional[Item] = None
        self._stacks: dict[Place, list[tuple[int, FocusResult]]] = {}
        self._drawn: set[Path] = set()
        self._not_drawn: list[str] = []
        self._finished = False
        self._out = out
        self._tables: dict[str, Table] = {}
        self._columns = {
            "results.csv": columns(description.levels),
            "stacks.csv": STACK_COLUMNS,
            "patches.csv": patch_columns(description.levels),
        }
        if out is None:
            return
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"{out}: cannot be made a folder: {error.strerror}") from error
        for name, wanted in self._columns.items():
            check_replaceable(out / name, wanted)
        try:
            for name in ["results.csv", "patches.csv"][: 1 + settings.keep_patches]:
                self._tables[name] = Table(out / name, self._columns[name])
        except FileError:
            self.__exit__()
            raise

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        for table in self._tables.values():
            table.close()

    @property
    def failed(self) -> bool:
        """Whether a plane could not be measured or drawn."""
        return bool(self.summary.statuses[NOT_MEASURED] or self._not_drawn)

    def add(self, outcome: Outcome[Item, list[Measured]]) -> None:
        """Take in what became of a page."""
        item, page = outcome.item, outcome.item.page
        if self._file is None or self._file.file != item.file:
            self._finish_stacks()
            self._file = item
        if outcome.value is None:
            place = Place(page.series, page.z, page.c, page.t)
            self._add_plane(item, Measured(place, error=outcome.error))
        else:
            for measured in outcome.value:
                self._add_plane(item, measured)

    def _add_plane(self, item: Item, measured: Measured) -> None:
        place, result = measured.place, measured.result
        row = {"file": item.name, **vars(place), **self._groups(item), "error": measured.error}
        if result is None:
            line = Line(item.name, str(place), NOT_MEASURED, error=measured.error)
            self.summary.add(line)
            self._append("results.csv", row)
            return
        self._append("results.csv", {**row, **result.to_row(), "message": result.message})
        if self._settings.keep_patches:
            self._append("patches.csv", *_patch_rows(item, place, result))
        if place.z is not None:
            self._stacks.setdefault(replace(place, z=None), []).append((place.z, result))
        if measured.picture is not None:
            self._drawn.add(measured.picture)
        if measured.drawing_error:
            self._not_drawn.append(measured.drawing_error)
        if result.message:
            self.summary.note(result.message, f"{item.name} {place}".rstrip())

        how_much, why = doubt(
            result,
            in_focus_limit=self._settings.in_focus_limit,
            sure_certainty=self._description.sure_certainty,
        )
        line = Line(
            name=item.name,
            place=str(place),
            status=result.status,
            level=result.level,
            expected_level=result.expected_level,
            certainty=result.certainty,
            defocus_um=result.defocus_um,
            probabilities=tuple(result.probabilities.tolist()),
            why=why,
        )
        if how_much >= DOUBTFUL:
            heapq.heappush(self._doubtful, (how_much, -self.summary.n_planes, line, item, place))
            if len(self._doubtful) > MOST_DOUBTFUL:
                heapq.heappop(self._doubtful)
        self.summary.add(line)

    def _groups(self, item: Item) -> dict[str, str]:
        if self._pattern is None:
            return {}
        match = self._pattern.search(item.path.name)
        match = match or self._pattern.search(item.path.as_posix())
        if match is None:
            self._unmatched = self._unmatched or item.path.as_posix()
            return {}
        self._matched = True
        return {name: text or "" for name, text in match.groupdict().items()}

    def _finish_stacks(self) -> None:
        for place, planes in self._stacks.items():
            planes.sort(key=lambda plane: plane[0])
            zs = [z for z, _ in planes]
            results = [result for _, result in planes]
            found = best_plane(results, in_focus_limit=self._settings.in_focus_limit)
            best_z = position = None
            if found.best_plane is not None and found.best_position is not None:
                best_z = zs[found.best_plane]
                # Planes that could not be measured leave gaps.
                position = float(np.interp(found.best_position, range(len(zs)), zs))
            name = self._file.name if self._file else ""
            row = {
                "file": name,
                **vars(place),
                "best_z": best_z,
                "expected_level": found.expected_level,
                "status": found.status,
                "best_position": position,
            }
            del row["z"]
            self._append("stacks.csv", row)
            levels = [math.nan] * (zs[-1] + 1)
            for z, result in planes:
                if result.status != "no_content":
                    levels[z] = result.expected_level
            self.summary.add_stack(
                StackLine(name, str(place), best_z, found.expected_level, tuple(levels))
            )
        self._stacks.clear()

    def _append(self, name: str, *rows: Mapping[str, object]) -> None:
        if self._out is None:
            return
        if name not in self._tables:
            self._tables[name] = Table(self._out / name, self._columns[name])
        self._tables[name].append(*rows)

    def finish(self) -> None:
        """Put the tables in their places, and take away those of an earlier run."""
        self._finish_stacks()
        if self._out is None:
            return
        for name in self._columns:
            if name in self._tables:
                self._tables[name].finish()
            else:
                (self._out / name).unlink(missing_ok=True)
        self._finished = True

    def draw_doubtful(self, jobs: int) -> None:
        """Draw the most doubtful planes, in the order of their doubt."""
        if self._out is None:
            return
        wanted = []
        for rank, (_, _, line, item, place) in enumerate(sorted(self._doubtful, reverse=True)):
            name = picture_name(f"{rank + 1:02}", item.name, place)
            wanted.append((item, place, self._out / "overlays" / name, line.why))
        draw = functools.partial(draw_plane, self._settings)
        with contextlib.closing(run(draw, wanted, jobs=min(jobs, len(wanted)) or 1)) as outcomes:
            for outcome in outcomes:
                if outcome.error:
                    self._not_drawn.append(outcome.error)
                else:
                    self._drawn.add(outcome.item[2])

    def remove_old_pictures(self) -> None:
        """Take away the overlays of an earlier run, which would tell of other results."""
        from microscope_quality.files.pictures import is_overlay

        if self._out is None:
            return
        for path in (self._out / "overlays").glob("*.png"):
            if path not in self._drawn and is_overlay(path):
                path.unlink(missing_ok=True)

    def so_far(self) -> str:
        """Tell in a sentence what an interrupted run leaves behind."""
        if self._out is None or self._finished:
            return "The tables are complete." if self._finished else ""
        table = self._tables["results.csv"]
        return f"{table.part} has the {table.n_rows} rows so far."

    def show(self, jobs: int, seconds: float) -> None:
        """Print what was found and where it was written."""
        from rich.console import Console

        # A pipe gets whole names; COLUMNS has its way all the same.
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 1000
        console = Console(width=width, highlight=False, markup=False, emoji=False)
        doubtful = [line for _, _, line, _, _ in sorted(self._doubtful, reverse=True)]
        show(console, self.summary, doubtful)
        if self._unmatched and not self._matched:
            console.print(f"\n--pattern matches no name; the first is {self._unmatched}")
        for error in self._not_drawn[:MOST_DOUBTFUL]:
            console.print(f"\nNot drawn: {error}")
        processes = "1 job" if jobs == 1 else f"{jobs} jobs"
        about = f"{_duration(seconds)}, {processes}, model {self._description.name}"
        console.print()
        console.print(about, style="dim")
        if self._out is not None:
            written = [
                f"{name} ({table.n_rows:,} {'row' if table.n_rows == 1 else 'rows'})"
                for name, table in self._tables.items()
            ]
            if self._drawn:
                written.append(f"overlays/ ({len(self._drawn):,})")
            console.print(f"Written to {self._out}: {', '.join(written)}")


def _patch_rows(item: Item, place: Place, result: FocusResult) -> Iterator[Mapping[str, object]]:
    names = [f"p{k}" for k in range(result.patch_probabilities.shape[1])]
    for (y, x), level, expected, certainty, probabilities in zip(
        result.patch_positions.tolist(),
        result.patch_levels.tolist(),
        result.patch_expected_levels.tolist(),
        result.patch_certainties.tolist(),
        result.patch_probabilities.tolist(),
    ):
        yield {
            "file": item.name,
            **vars(place),
            "y": y,
            "x": x,
            "level": level,
            "expected_level": expected,
            "certainty": certainty,
            **dict(zip(names, probabilities)),
        }


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
