"""The rows of a run for its report: texts as they stand in the table, and numbers beside them."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microscope_quality.errors import FileError, reason_of
from microscope_quality.files.columns import Column
from microscope_quality.files.regular import open_regular
from microscope_quality.files.tables import GROUPS, RESULTS, as_number, is_as_written, read_table
from microscope_quality.measuring.items import Place
from microscope_quality.measuring.measure import Measure
from microscope_quality.measuring.measures import recorded_measures
from microscope_quality.measuring.naming import Naming, filled
from microscope_quality.measuring.rows import (
    PlaneRow,
    RowReader,
    StackSizes,
    all_units,
    images_of,
    representative_of,
    stack_row,
)
from microscope_quality.measuring.settings import Settings
from microscope_quality.statuses import Status

# A line without end is not read to its end.
_MOST_HEADER_BYTES = 2**20


@dataclass(frozen=True, eq=False)
class Rows:
    """A table of planes.

    Attributes
    ----------
    measures : tuple of Measure
        Whose columns it has; the first one judges.
    columns : dict of str to list of str
        The table's columns in their order, each with a text for every row, as it stands there.
    status : list of Status
        Of the rows.
    places : list of Place
        Of the planes in their files.
    images : list of lists of int
        Rows of each image, in the table's order: one row, or the planes of a z-stack by z. Blank
        channels of a file that has others are no images.
    shown : list of int
        For each image the row that speaks for it.
    best : list of str
        For each z-stack the best place between its planes; empty for one without it, and for
        what is no stack.
    edited : list of int
        Rows that are not as they were written: their checksums do not fit.
    fewer : str
        What is to be said of z-stacks that lack planes.
    """

    measures: tuple[Measure, ...]
    columns: dict[str, list[str]]
    status: list[Status]
    places: list[Place]
    images: list[list[int]]
    shown: list[int]
    best: list[str]
    edited: list[int]
    fewer: str

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.status)

    @property
    def measure(self) -> Measure:
        """The one that judges."""
        return self.measures[0]

    def row(self, number: int) -> dict[str, str]:
        """Fields of a row, by column."""
        return {name: texts[number] for name, texts in self.columns.items()}

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Numbers of a column; NaN where the table has none."""
        return np.array([as_number(text) for text in self.columns[name]], np.float64)

    def described(self) -> list[Column]:
        """Columns that have words and something in them, in the table's order; and the value's."""
        known = Settings(measures=self.measures).columns()[RESULTS]
        always = (self.measure.value, self.measure.trust)
        return [
            one
            for one in known
            if one.words and (one.name in always or any(self.columns.get(one.name, ())))
        ]


def read_rows(
    path: Path,
    record: Mapping[str, Any] | None = None,
    measures: Sequence[Measure] | None = None,
    naming: Naming | None = None,
) -> Rows:
    """Read a table that ``measure`` wrote, of this version or an older one.

    Parameters
    ----------
    path : Path
        Of ``results.csv``.
    record : mapping, optional
        Of the run, if there is one.
    measures : sequence of Measure, optional
        That wrote it, if not as the record has it.
    naming : Naming, optional
        Of the files' names: what it tells goes where the table has nothing.

    Raises
    ------
    FileError
        The table is missing, damaged, or of another kind.
    """
    names = header(path, "a table of results; name the folder that measure wrote")
    measures = tuple(measures or recorded_measures(record or {}, names))
    measure = measures[0]
    needed = ("file", *GROUPS, "z", "c", "t", *measure.needed)
    missing = next((name for name in needed if name not in names), "")
    if missing:
        raise FileError(
            f"{path}: is not a table of results, since it has no column {missing}; name the "
            "folder that measure wrote"
        )
    reader = RowReader(measure, Settings(measures=measures).columns()[RESULTS])
    wanted = [*names, *(name for name in ("error", "series", "stack") if name not in names)]
    planes, edited = [], []
    rows = list(read_table(path, wanted))
    if naming is not None:
        naming.add((row["file"], Path(row["file"].replace("\\", "/"))) for row in rows)
    for number, row in enumerate(rows):
        if not is_as_written(names, [row[name] for name in names]):
            edited.append(number)
        if fault := reader.fault(row):
            # Nothing in it can be believed, and the others are worth a page all the same.
            row = {**dict.fromkeys(row, ""), "file": row["file"], "error": f"was edited: {fault}"}
        if naming is not None:
            row = filled(row, naming[row["file"]])
        planes.append(PlaneRow.of(measure, row))
    numbers = {plane: number for number, plane in enumerate(planes)}
    images = [image for unit in all_units(planes) for image in _without_blanks(unit)]
    images.sort(key=lambda image: min(numbers[plane] for plane in image))
    shown, best, sizes = [], [], StackSizes()
    for image in images:
        stack = (stack_row(image) if len(image) > 1 else None) or {}
        position = stack.get("best_position")
        shown.append(numbers[representative_of(image, stack)])
        best.append(f"{position:.6g}" if isinstance(position, float) else "")
        sizes.add(image)
    return Rows(
        measures,
        {name: [plane.row[name] for plane in planes] for name in wanted},
        [plane.kind for plane in planes],
        [plane.place for plane in planes],
        [[numbers[plane] for plane in image] for image in images],
        shown,
        best,
        edited,
        sizes.said(),
    )


def _without_blanks(unit: Sequence[PlaneRow]) -> list[list[PlaneRow]]:
    """Give the images of a unit but for blank channels, where another one of its place is not."""
    images = list(images_of(unit))
    seen = {_site_of(image) for image in images if not all(map(_is_blank, image))}
    return [
        image for image in images if _site_of(image) not in seen or not all(map(_is_blank, image))
    ]


def _site_of(image: Sequence[PlaneRow]) -> tuple[str, Place]:
    """Give what is equal for the channels of an image."""
    return image[0].name, replace(image[0].place, z=None, c=None)


def _is_blank(plane: PlaneRow) -> bool:
    """Whether a channel has one value alone, as a colour has that an image is without."""
    trust = plane.measure.trust
    is_empty = plane.place.c is not None and plane.kind.badness == 1
    return is_empty and (not trust or as_number(plane.row[trust]) == 0)


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


def add_groups(rows: Rows, plates: Path) -> list[str]:
    """Fill the columns plate, well, site and channel from another table.

    Parameters
    ----------
    rows : Rows
        Changed in place.
    plates : Path
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
    known = _read_plates(plates)
    files = rows.columns["file"]
    found = [known.get(file) or known.get(_name(file), {}) for file in files]
    for row, texts in enumerate(found):
        for name, text in texts.items():
            if text:
                rows.columns[name][row] = text
    matched = sum(map(bool, found))
    if matched == len(files):
        return []
    return [f"{plates.name} has the files of {matched:,} of {len(files):,} rows."]


def _read_plates(path: Path) -> dict[str, dict[str, str]]:
    names = header(path)
    columns = [name for name in GROUPS if name in names]
    if "file" not in names or not columns:
        raise FileError(
            f"{path}: needs a column file and one of {', '.join(GROUPS)}; it has "
            f"{', '.join(names[:20])}."
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = [row for row in csv.DictReader(stream, restval="") if row["file"]]
    except (OSError, ValueError, csv.Error) as error:
        raise FileError(f"{path}: cannot be read: {reason_of(error, path)}") from error
    known: dict[str, dict[str, str]] = {}
    twice = set()
    for row in table:
        values = {name: row[name] for name in columns}
        known[row["file"]] = values
        # A name alone tells a file as long as no two of them differ.
        name = _name(row["file"])
        if known.setdefault(name, values) != values and name != row["file"]:
            twice.add(name)
    for name in twice:
        del known[name]
    return known


def _name(file: str) -> str:
    return file.replace("\\", "/").rsplit("/", 1)[-1]
