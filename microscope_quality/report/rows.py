"""The rows of a run for its report: texts as they stand in the table, and numbers beside them."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microscope_quality.errors import FileError, reason_of
from microscope_quality.files.regular import open_regular
from microscope_quality.files.tables import (
    COLUMNS,
    STACK_COLUMNS,
    as_number,
    is_as_written,
    read_table,
)
from microscope_quality.measuring.rows import STATUSES as STATUSES
from microscope_quality.measuring.rows import fault_of_row

#: Stands for a status in a row with an error.
UNREADABLE = "unreadable"
#: What tells where a plane was taken.
GROUPS = ("plate", "well", "site", "channel")
NUMBERS = ("level", "expected_level", "certainty", "mean_certainty")

Place = tuple[str, str, str, str]

# A line without end is not read to its end.
_MOST_HEADER_BYTES = 2**20


@dataclass(frozen=True, eq=False)
class Rows:
    """A table of planes.

    Attributes
    ----------
    columns : dict of str to list of str
        The table's columns in their order, each with a text for every row, as it stands there.
    numbers : dict of str to (n,) array of float64
        Of `NUMBERS`; NaN where the table has nothing.
    status : list of str
        One of `STATUSES`, or `UNREADABLE`.
    levels : int
        How many levels the model has.
    images : list of lists of int
        Rows of each image, in the table's order: one row, or the planes of a z-stack by z.
    shown : list of int
        For each image the row that stands for it: of a z-stack the best plane, or without one the
        plane of the lowest level with content.
    best : list of str
        For each image the place of focus between the planes, as its table of stacks has it; empty
        for a stack without one and for what is no stack.
    edited : list of int
        Rows that are not as they were written: their checksums do not fit.
    """

    columns: dict[str, list[str]]
    numbers: dict[str, NDArray[np.float64]]
    status: list[str]
    levels: int
    images: list[list[int]]
    shown: list[int]
    best: list[str]
    edited: list[int]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.status)

    def place(self, row: int) -> Place:
        """Series, z, c and t of a row, as text."""
        series, z, c, t = (self.columns[name][row] for name in ("series", "z", "c", "t"))
        return series, z, c, t


def read_rows(path: Path, stacks: Path | None = None) -> Rows:
    """Read a table that ``measure`` wrote, of this version or an older one.

    Parameters
    ----------
    path : Path
        Of ``results.csv``.
    stacks : Path, optional
        Of ``stacks.csv``; without it, the best plane of a z-stack is the one of the lowest level.

    Raises
    ------
    FileError
        When a table is missing, damaged, or of another kind, or a row is none that a run writes;
        the message names the row.
    """
    names = header(path, "a table of results; name the folder that measure wrote")
    missing = [name for name in COLUMNS[: COLUMNS.index("status") + 1] if name not in names]
    if missing:
        raise FileError(
            f"{path}: is not a table of results, since it has no column {missing[0]}; name the "
            "folder that measure wrote"
        )
    levels = 0
    while f"p{levels}" in names:
        levels += 1
    if levels < 2:
        raise FileError(f"{path}: has no columns p0, p1 … with the probabilities of levels.")
    wanted = [*names, *(name for name in ("error", "series") if name not in names)]
    columns: dict[str, list[str]] = {name: [] for name in wanted}
    numbers: dict[str, list[float]] = {name: [] for name in NUMBERS}
    status, edited = [], []
    for number, row in enumerate(read_table(path, wanted), 1):
        if not is_as_written(names, [row[name] for name in names]):
            edited.append(number - 1)
        fault = fault_of_row(row)
        if fault:
            # Nothing in it can be believed, and the others are worth a page all the same.
            row = {**dict.fromkeys(row, ""), "file": row["file"], "error": f"was edited: {fault}"}
        for name, texts in columns.items():
            texts.append(row[name])
        for name in NUMBERS:
            numbers[name].append(as_number(row[name]))
        status.append(UNREADABLE if row["error"] else row["status"])
    arrays = {name: np.array(values, np.float64) for name, values in numbers.items()}
    images = _images(columns)
    best = _best_planes(stacks)
    shown, positions = [], []
    for planes in images:
        found = best.get(_key(columns, planes[0])) if len(planes) > 1 else None
        one = _representative(columns, planes, status, arrays, found[0] if found else "")
        shown.append(one)
        if found is not None:
            positions.append(found[1] or found[0])
        else:
            focused = len(planes) > 1 and status[one] == "in_focus"
            positions.append(columns["z"][one] if focused else "")
    return Rows(columns, arrays, status, levels, images, shown, positions, edited)


def header(path: Path, kind: str = "a CSV table in UTF-8") -> list[str]:
    """Read the names of a table's columns; `kind` is what a file without text should be.

    Raises
    ------
    FileError
        It is missing, empty, or no text.
    """
    try:
        with open_regular(path) as stream:
            start = stream.read(_MOST_HEADER_BYTES)
        # The end may lie within a character.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)
        names = next(csv.reader(io.StringIO(text, newline="")), [])
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {reason_of(error, path)}") from error
    except (ValueError, csv.Error) as error:
        raise FileError(f"{path}: is not {kind}") from error
    if not names:
        raise FileError(f"{path}: is empty; a table has a line with the names of its columns.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FileError(f"{path}: has the column {twice!r} more than once.")
    return names


def add_groups(
    rows: Rows, pattern: re.Pattern[str] | None = None, plates: Path | None = None
) -> list[str]:
    """Fill the columns plate, well, site and channel from files' names or from another table.

    Parameters
    ----------
    rows : Rows
        Changed in place.
    pattern : compiled regular expression, optional
        With named groups out of `GROUPS`, searched in the file's name, then in its path. What it
        finds goes where the table has nothing.
    plates : Path, optional
        A CSV table with a column ``file``, as the results have it or as the name alone, and
        columns out of `GROUPS`. What it says comes first.

    Returns
    -------
    list of str
        What did not fit, in sentences.

    Raises
    ------
    FileError
        When the other table cannot be read, or has none of the columns.
    """
    notes = []
    files = rows.columns["file"]
    if pattern is not None:
        unmatched = 0
        for row, file in enumerate(files):
            match = pattern.search(file.replace("\\", "/").rsplit("/", 1)[-1])
            match = match or pattern.search(file)
            if match is None:
                unmatched += 1
                continue
            for name, text in match.groupdict().items():
                rows.columns[name][row] = rows.columns[name][row] or text or ""
        if unmatched:
            notes.append(f"The pattern matches {_of(len(files) - unmatched, len(files))} names.")
    if plates is not None:
        known, groups = _read_plates(plates)
        unmatched = 0
        for row, file in enumerate(files):
            found = known.get(file) or known.get(_name(file))
            if found is None:
                unmatched += 1
                continue
            for group, text in zip(groups, found):
                if text:
                    rows.columns[group][row] = text
        if unmatched:
            matched = _of(len(files) - unmatched, len(files))
            notes.append(f"{plates.name} has the files of {matched} rows.")
    return notes


def _read_plates(path: Path) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    names = header(path)
    groups = [name for name in GROUPS if name in names]
    if "file" not in names or not groups:
        raise FileError(
            f"{path}: needs a column file and one of {', '.join(GROUPS)}; it has "
            f"{', '.join(names[:20])}."
        )
    known: dict[str, tuple[str, ...]] = {}
    twice = set()
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = [row for row in csv.DictReader(stream, restval="") if row["file"]]
    except (OSError, ValueError, csv.Error) as error:
        raise FileError(f"{path}: cannot be read: {reason_of(error, path)}") from error
    for row in table:
        values = tuple(row[group] for group in groups)
        known[row["file"]] = values
        # A name alone tells a file as long as no two of them differ.
        name = _name(row["file"])
        if known.setdefault(name, values) != values and name != row["file"]:
            twice.add(name)
    for name in twice:
        del known[name]
    return known, groups


def _name(file: str) -> str:
    return file.replace("\\", "/").rsplit("/", 1)[-1]


def _of(some: int, all_: int) -> str:
    return f"{some:,} of {all_:,}"


def _key(columns: Mapping[str, Sequence[str]], row: int) -> Place:
    file, series, c, t = (columns[name][row] for name in ("file", "series", "c", "t"))
    return file, series, c, t


def _images(columns: Mapping[str, Sequence[str]]) -> list[list[int]]:
    """Gather the planes of z-stacks; each other row is an image of its own."""
    stacks: dict[Place, list[int]] = {}
    images = []
    for row, z in enumerate(columns["z"]):
        if not z:
            images.append([row])
            continue
        key = _key(columns, row)
        if key in stacks:
            stacks[key].append(row)
        else:
            stacks[key] = [row]
            images.append(stacks[key])
    for rows in stacks.values():
        rows.sort(key=lambda row: _order(columns["z"][row]))
    return images


def _order(z: str) -> tuple[float, str]:
    return (float(z), "") if z.isdigit() else (math.inf, z)


def _best_planes(stacks: Path | None) -> dict[Place, tuple[str, str]]:
    """Best z and the place of focus of each stack in a table."""
    if stacks is None:
        return {}
    names = header(stacks)
    missing = [name for name in STACK_COLUMNS[:6] if name not in names]
    if missing:
        raise FileError(f"{stacks}: is no table of z-stacks: it has no column {missing[0]}.")
    return {
        (row["file"], row["series"], row["c"], row["t"]): (row["best_z"], row["best_position"])
        for row in read_table(stacks, STACK_COLUMNS)
    }


def _representative(
    columns: Mapping[str, Sequence[str]],
    rows: Sequence[int],
    status: Sequence[str],
    numbers: Mapping[str, NDArray[Any]],
    best_z: str,
) -> int:
    for row in rows:
        if best_z and columns["z"][row] == best_z and status[row] != UNREADABLE:
            return row
    measured = [row for row in rows if status[row] != UNREADABLE]
    with_content = [row for row in measured if status[row] != "no_content"]
    expected = numbers["expected_level"]
    return min(
        with_content or measured[:1] or rows[:1],
        key=lambda row: math.inf if math.isnan(expected[row]) else float(expected[row]),
    )
