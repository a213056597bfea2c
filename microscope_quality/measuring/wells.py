"""Names of wells, and the plates that they lie on."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Rows and columns of the usual plates, the smallest first.
FORMATS = ((8, 12), (16, 24), (32, 48))

_LETTERS = re.compile(r"([A-Za-z]{1,2})[-_ ]*0*(\d{1,2})")
_NAME = re.compile(r"[A-Za-z]{1,2}\d{1,2}")
_ROW_COLUMN = re.compile(r"[Rr]0*(\d{1,2})[-_ ]?[Cc]0*(\d{1,2})")


def well_position(name: str) -> tuple[int, int] | None:
    """Give the row and column of a well, from 0.

    Parameters
    ----------
    name : str
        Letters and a number, such as ``B07``, ``b7`` or, on a plate of 1536, ``AC12``; or row and
        column as numbers, such as ``r02c07``.

    Returns
    -------
    (row, column) or None
        None for a name of another kind, or a place on none of `FORMATS`.
    """
    text = name.strip()
    match = _LETTERS.fullmatch(text)
    if match:
        row = 0
        for letter in match[1].upper():
            row = 26 * row + ord(letter) - 64
    else:
        match = _ROW_COLUMN.fullmatch(text)
        if not match:
            return None
        row = int(match[1])
    row, column = row - 1, int(match[2]) - 1
    rows, columns = FORMATS[-1]
    return (row, column) if 0 <= row < rows and 0 <= column < columns else None


def well_name(text: str) -> str:
    """Name a well that a name tells by row and column: ``r01c02`` or ``A - 2`` is A02.

    Any other text is given as it is.
    """
    place = None if _NAME.fullmatch(text) else well_position(text)
    if place is None:
        return text
    row, column = place
    letters = chr(65 + row) if row < 26 else "A" + chr(65 + row - 26)
    return f"{letters}{column + 1:02}"


def plate_format(positions: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Give rows and columns of the smallest plate that has all these wells."""
    found = list(positions)
    return next(
        (rows, columns)
        for rows, columns in FORMATS
        if all(row < rows and column < columns for row, column in found)
    )
