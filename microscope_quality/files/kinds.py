"""What the columns of the tables hold: text, whole numbers, other numbers, a time."""

from __future__ import annotations

import functools
import re
from typing import Literal

from microscope_quality.files.tables import as_number

Kind = Literal["text", "integer", "number", "time"]

_INTEGERS = (
    "series",
    "z",
    "c",
    "t",
    "y",
    "x",
    "width",
    "height",
    "level",
    "best_z",
    "size_bytes",
    "places",
)
_NUMBERS = (
    "expected_level",
    "expected_level_low",
    "expected_level_high",
    "best_position",
    "certainty",
    "mean_certainty",
    "max_certainty",
    "weighted_certainty",
    "blur_diameter_px",
    "defocus_um",
    "saturated_fraction",
)
# Numbers that are shares of something, beside probabilities.
_SHARES = (
    "certainty",
    "mean_certainty",
    "max_certainty",
    "weighted_certainty",
    "saturated_fraction",
)
# What six digits may be off.
_ROUNDING = 1e-5
_PROBABILITY = re.compile(r"p[0-9]{1,3}")
_WHOLE = re.compile(r"[0-9]{1,19}")


@functools.lru_cache(maxsize=1024)
def kind_of(column: str) -> Kind:
    """Tell what a column of a table holds; one that the library does not know holds text.

    Parameters
    ----------
    column : str
        Its name.

    Returns
    -------
    str
        ``"integer"``, ``"number"``, ``"time"`` (in UTC, to the nanosecond) or ``"text"``. A field
        of a number or a time may be empty.
    """
    if column in _INTEGERS:
        return "integer"
    if column in _NUMBERS or _PROBABILITY.fullmatch(column):
        return "number"
    return "time" if column == "modified" else "text"


def fault_of(column: str, text: str) -> str:
    """Say what is wrong with a field, such as ``"level is '-1', no whole number from 0"``.

    Parameters
    ----------
    column : str
        Its name.
    text : str
        As it stands in the table.

    Returns
    -------
    str
        Empty for a field that its column can have, as an empty one; texts and times are not
        looked at.
    """
    if not text:
        return ""
    wanted = _unfit(column, text)
    return wanted and f"{column} is {text[:40]!r}, no {wanted}"


def _unfit(column: str, text: str) -> str:
    """Name what the text should be and is not; empty where it is."""
    kind = kind_of(column)
    if kind == "integer":
        return "" if _WHOLE.fullmatch(text) else "whole number from 0"
    if kind in ("text", "time"):
        return ""
    try:
        number = as_number(text)
    except ValueError:
        return "number"
    if column in _SHARES or _PROBABILITY.fullmatch(column):
        return "" if -_ROUNDING <= number <= 1 + _ROUNDING else "number from 0 to 1"
    return "" if number >= 0 else "number from 0"
