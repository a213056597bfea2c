"""What the columns of the tables hold: text, whole numbers, other numbers, a time."""

from __future__ import annotations

import re
from typing import Literal

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
    if column in _NUMBERS or re.fullmatch(r"p\d{1,3}", column):
        return "number"
    return "time" if column == "modified" else "text"
