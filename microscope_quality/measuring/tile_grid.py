"""Where the tiles of a montage lie, by the rows and columns in the names of their files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from microscope_quality.errors import SettingsError

#: Groups of a pattern that tell where a tile lies.
ROW, COLUMN = "row", "column"

_SEPARATOR = r"[-_ ,.]{0,2}"


def _named(*parts: tuple[str, str]) -> re.Pattern[str]:
    numbers = (rf"(?:{words})[-_ ]?(?P<{group}>\d{{1,5}})" for words, group in parts)
    return re.compile(rf"(?<![a-z]){_SEPARATOR.join(numbers)}(?!\d)", re.IGNORECASE)


_PATTERNS = (
    _named(("row|r", ROW), ("column|col|c", COLUMN)),
    _named(("column|col|c", COLUMN), ("row|r", ROW)),
    _named(("y", ROW), ("x", COLUMN)),
    _named(("x", COLUMN), ("y", ROW)),
)
# Names of fewer files than this share tell of no montage.
_LEAST_SHARE = 0.5
# Numbers further apart than so many times their count are of stages, not of tiles.
_MOST_GAPS = 4


@dataclass(frozen=True)
class TileGrid:
    """A montage.

    Attributes
    ----------
    name : str
        What the names of its files have in common before their rows and columns; empty where that
        is nothing.
    rows, columns : tuple of int
        Numbers of its rows from the top, and of its columns from the left, as the names have them;
        those that no tile has are there too.
    places : dict of int to (int, int)
        Place of each file in `rows` and `columns`, by its number in the list of files.
    """

    name: str
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    places: dict[int, tuple[int, int]]

    @property
    def is_montage(self) -> bool:
        """Whether at least two tiles lie in different places, so that a map shows something."""
        return len(set(self.places.values())) > 1


def tile_grids(files: Sequence[str], pattern: str | None = None) -> list[TileGrid]:
    """Lay files out as their names tell, each montage by itself.

    Parameters
    ----------
    files : sequence of str
        Names, with folders; one may be there more than once.
    pattern : str, optional
        A regular expression with the groups ``row`` and ``column``, searched in the names. Without
        one, or with one that has no such groups, names such as ``r01_c02.tif``,
        ``Tile_row3-col4.tif`` and ``x5y6.tif`` are understood.

    Returns
    -------
    list of TileGrid
        In the order of the files; none where names tell of no places.

    Raises
    ------
    SettingsError
        `pattern` is no regular expression.
    """
    for one in _patterns(pattern):
        found = [_last(one, name) for name in files]
        if files and sum(match is not None for match in found) >= _LEAST_SHARE * len(files):
            return _by_name(files, found)
    return []


def _patterns(pattern: str | None) -> Sequence[re.Pattern[str]]:
    if pattern is None:
        return _PATTERNS
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise SettingsError(f"pattern is no regular expression: {error}.") from error
    return (compiled,) if {ROW, COLUMN} <= set(compiled.groupindex) else _PATTERNS


def _last(pattern: re.Pattern[str], name: str) -> re.Match[str] | None:
    """Give the last match in a name: what comes before it may be a row of something else."""
    found = None
    for match in pattern.finditer(name):
        row, column = match[ROW], match[COLUMN]
        if row and column and row.isdecimal() and column.isdecimal():
            found = match
    return found


def _by_name(files: Sequence[str], found: Sequence[re.Match[str] | None]) -> list[TileGrid]:
    def told(number: int) -> re.Match[str]:
        match = found[number]
        assert match is not None
        return match

    def grouped(whole: bool) -> dict[tuple[str, str], list[int]]:
        montages = defaultdict(list)
        for number, (name, match) in enumerate(zip(files, found)):
            if match is not None:
                after = name[match.end() :] if whole else ""
                montages[name[: match.start()], after].append(number)
        return montages

    def is_clear(numbers: Sequence[int]) -> bool:
        names = {files[number] for number in numbers}
        cells = {(told(number)[ROW], told(number)[COLUMN]) for number in numbers}
        return len(cells) == len(names)

    # What follows may be a time, which each tile has of its own, or tell montages apart.
    montages = grouped(whole=False)
    if not all(map(is_clear, montages.values())):
        montages = grouped(whole=True)
    grids = []
    for (before, after), numbers in montages.items():
        cells = [(int(told(number)[ROW]), int(told(number)[COLUMN])) for number in numbers]
        rows, columns = (_lines({cell[axis] for cell in cells}) for axis in (0, 1))
        at = [{number: place for place, number in enumerate(lines)} for lines in (rows, columns)]
        places = {
            number: (at[0][row], at[1][column]) for number, (row, column) in zip(numbers, cells)
        }
        stem = after.rpartition(".")[0]
        name = f"{before}*{stem}" if stem else before
        grids.append(TileGrid(name.rstrip("-_ ./\\"), rows, columns, places))
    return grids


def _lines(numbers: set[int]) -> tuple[int, ...]:
    low, high = min(numbers), max(numbers)
    if high - low >= _MOST_GAPS * len(numbers):
        return tuple(sorted(numbers))
    return tuple(range(low, high + 1))
