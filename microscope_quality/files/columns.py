"""Columns of tables: their names, what they hold, and how people call them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from microscope_quality.files.tables import CHECKSUM, GROUPS, as_number, as_stored

#: What a field is to a program; None where it is empty.
Value = int | float | str | None

#: A whole number from 0, a number from 0 to 1, from 0, or of any sign, a time in UTC, or text.
Kind = Literal["integer", "share", "number", "signed", "time", "text"]

# What six digits may be off.
_ROUNDING = 1e-5
_WHOLE = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
        As the header has it.
    kind : str
        See `Kind`; a field of any kind but text may be empty.
    words : str
        How a page calls it; one without words is not shown among the facts of an image.
    digits : int, optional
        Decimals that a page shows.
    judged : bool
        Whether it means nothing where there is nothing to judge by.
    """

    name: str
    kind: Kind = "text"
    words: str = ""
    digits: int | None = None
    judged: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers."""
        return self.kind not in ("text", "time")

    def value(self, given: object) -> Value:
        """Give a field, as it was measured or as the text of a table, as a value of its kind."""
        if given is None or given == "":
            return None
        if not self.is_number:
            return as_stored(str(given))
        number = float(given)  # type: ignore[arg-type]
        if not math.isfinite(number):
            return None
        # Not by way of a float: sizes of files are whole numbers of any length.
        return int(given) if self.kind == "integer" else number + 0.0  # type: ignore[call-overload]

    def fault(self, text: str) -> str:
        """Say what is wrong with a field, such as ``"level is '-1', no whole number from 0"``.

        Empty for a field that the column can have, as an empty one; texts and times are not looked
        at.
        """
        wanted = self._unfit(text) if text else ""
        return wanted and f"{self.name} is {text[:40]!r}, no {wanted}"

    def _unfit(self, text: str) -> str:
        """Name what the text should be and is not; empty where it is."""
        if self.kind == "integer":
            return "" if _WHOLE.fullmatch(text) else "whole number from 0"
        if not self.is_number:
            return ""
        try:
            number = as_number(text)
        except ValueError:
            return "number"
        if self.kind == "share":
            return "" if -_ROUNDING <= number <= 1 + _ROUNDING else "number from 0 to 1"
        return "" if number >= 0 or self.kind == "signed" else "number from 0"


#: What more than one measure gives alike, and a table has once.
SATURATED = Column("saturated_fraction", "share", "Saturated share", 4)


def names(columns: Iterable[Column]) -> tuple[str, ...]:
    """Give the names of columns, as a table's header has them."""
    return tuple(column.name for column in columns)


_GROUPS = tuple(Column(name, words=name.capitalize()) for name in GROUPS)
_FILE = Column("file")
_Z, _C, _T = (Column(axis, "integer") for axis in "zct")
_SERIES = Column("series", "integer")
_CHECKSUM = Column(CHECKSUM)
PLACE = (_FILE, *_GROUPS, _Z, _C, _T, Column("width", "integer"), Column("height", "integer"))
_SAID = (Column("error", words="Error"), _SERIES, Column("message", words="Remark"))
# What the file was when it was measured, and by which settings (see `run.json`).
_OF_RUN = (
    Column("size_bytes", "integer"),
    Column("modified", "time", "File of"),
    Column("settings_id"),
)
_DIGEST = Column("sha256")
_STACK = Column("stack")


def without_checksum(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Give the columns of rows that are in no file, where a checksum would guard nothing."""
    return tuple(column for column in columns if column is not _CHECKSUM)


def plane_columns(own: Iterable[Column]) -> tuple[Column, ...]:
    """Columns of a table with a row a plane, whose numbers are in columns of its `own`."""
    return (*PLACE, *own, *_SAID)


def result_columns(
    own: Iterable[Column],
    later: Iterable[Column] = (),
    others: Iterable[Column] = (),
    last: Iterable[Column] = (),
) -> tuple[Column, ...]:
    """Columns of ``results.csv``: those of a plane, and what a run knows beside them.

    Parameters
    ----------
    own, later, last
        Of the measure that judges; `later` are those that came after the run's first ones, and
        `last` after all others.
    others
        Of further measures.
    """
    return (*plane_columns(own), *_OF_RUN, *later, _DIGEST, _STACK, *others, *last, _CHECKSUM)


def patch_columns(own: Iterable[Column]) -> tuple[Column, ...]:
    """Columns of ``patches.csv``, one row a patch; `y` and `x` of its upper left pixel."""
    place = (_FILE, _Z, _C, _T, Column("y", "integer"), Column("x", "integer"))
    return (*place, *own, _SERIES, _CHECKSUM)


def stack_columns(value: Column) -> tuple[Column, ...]:
    """Columns of ``stacks.csv``, one row a z-stack: its best plane, and the `value` there.

    `best_position` is interpolated between planes. A stack of several files has the first one's
    name; `stack` is that of the table of planes.
    """
    best = (Column("best_z", "integer"), value, Column("status"), Column("best_position", "number"))
    later = (*_GROUPS, Column("planes", "integer"), _STACK, Column("best_file"))
    return (_FILE, _C, _T, *best, _SERIES, *later, _CHECKSUM)
