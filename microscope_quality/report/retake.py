"""Which tiles a microscope is to take again, as a list that its software can read.

A report's page makes such a list too, in ``scripts/threshold.js``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from microscope_quality.arguments import as_number
from microscope_quality.concordance import LOWEST_SCORE
from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.regular import open_regular
from microscope_quality.files.tables import GROUPS, check_replaceable
from microscope_quality.files.whole import whole
from microscope_quality.measuring.judging import Judging
from microscope_quality.measuring.rating import Rating
from microscope_quality.measuring.tile_grid import COLUMN, ROW, tile_grids
from microscope_quality.report.rows import Rows
from microscope_quality.report.selection import as_field
from microscope_quality.statuses import ERROR, FAILED

#: Name of the list.
RETAKE = "retake.csv"
#: Of an image that could not be read, as a cause.
NOT_READ = "not read"

_FIRST = ("tile", "score", "cause", "action", "retake", "fault", "message")
_AXES = ("series", "z", "c", "t")


@dataclass(frozen=True)
class Tile:
    """An image in the list.

    Attributes
    ----------
    tile : str
        Its file, as it was given.
    score : float or None
        None where there is none.
    cause, action : str
        What costs most of its score, and what to do about it; empty for a good one.
    retake : bool
        Whether it is to be taken again: its score is below the limit, its grab failed, or its file
        cannot be read. An image without content is to be looked at.
    fault : str
        Of the grab; see `acquisition.ACTIONS`.
    message : str
        What else has to be known.
    place : dict of str to (str or int)
        Where it lies, as far as that is known of any.
    """

    tile: str
    score: float | None
    cause: str
    action: str
    retake: bool
    fault: str
    message: str
    place: dict[str, str | int]


def tiles_of(
    rows: Rows, score_limit: float | None = None, pattern: str | None = None
) -> list[Tile]:
    """Judge the images of a table once more, without rating them again.

    Parameters
    ----------
    rows : Rows
        Of a table that a rating judges.
    score_limit : float, optional
        The lowest good score; by default, the one that they were judged by.
    pattern : str, optional
        Where the row and the column of a tile stand in its name; see `tile_grid.tile_grids`.

    Returns
    -------
    list of Tile
        In the table's order. Of two frames that are equal the later one is frozen, by the time of
        its file.

    Raises
    ------
    SettingsError
        The table is of another measure, the limit is no score, or the pattern no regular
        expression.
    """
    measure = rows.measure
    if not isinstance(measure, Rating):
        raise SettingsError(
            f"results are judged by {measure.name}, but only ratings tell what to retake: run "
            "`microscope-quality rate`, or list what to keep with `microscope-quality select`."
        )
    if score_limit is not None:
        limit = as_number("score_limit", score_limit, LOWEST_SCORE, 1)
        measure = replace(measure, score_limit=limit)
    judged = _judged(rows, measure)
    files = [rows.columns["file"][row] for row in rows.shown]
    where: dict[int, dict[str, int]] = {}
    for grid in tile_grids(files, pattern):
        for image, (row, column) in grid.places.items():
            where[image] = {ROW: grid.rows[row], COLUMN: grid.columns[column]}
    told = [
        name for name in (*_AXES, *GROUPS) if any(rows.columns[name][row] for row in rows.shown)
    ]
    return [
        _tile(
            measure,
            judged[row],
            {**{name: judged[row][name] for name in told}, **where.get(at, {})},
        )
        for at, row in enumerate(rows.shown)
    ]


def _judged(rows: Rows, measure: Rating) -> list[dict[str, str]]:
    """Judge all rows again, of two equal frames the later one as frozen."""
    judging = Judging([measure])
    listed = [rows.row(number) for number in range(len(rows))]
    judging.learn(listed)
    return judging.judged(listed)


def _tile(measure: Rating, row: dict[str, str], place: dict[str, str | int]) -> Tile:
    status, score = measure.status(row), measure.judged(row)
    fault = row.get("fault", "")
    if status is ERROR:
        return Tile(row["file"], None, NOT_READ, "retake", True, fault, row["error"], place)
    cause, action = row["cause"], row["action"]
    if status.is_blank:
        cause, action = status.words, "look"
    retake = status is FAILED or (status.is_judged and status.badness > 0)
    message = row.get("message", "")
    return Tile(row["file"], score, cause, action, retake, fault, message, place)


def write_retake(tiles: Sequence[Tile], path: Path) -> None:
    """Write the list, in one step; an older one is replaced.

    Parameters
    ----------
    tiles : sequence of Tile
    path : Path
        A ``.csv``, in UTF-8 and quoted as RFC 4180 has it, with ``yes`` or ``no`` for whether to
        retake; or a ``.json``, a list of objects with the same names, with true or false.

    Raises
    ------
    SettingsError
        Its name has another ending.
    FileError
        There is another file of this name, or nothing can be written there.
    """
    ending = path.suffix.lower()
    if ending not in (".csv", ".json"):
        raise SettingsError(f"out must end in .csv or .json, not as {path.name!r} does.")
    if not path.parent.is_dir():
        raise FileError(f"{path}: cannot be written: there is no folder {path.parent}")
    names = dict.fromkeys(name for tile in tiles for name in tile.place)
    if ending == ".csv":
        check_replaceable(path, _FIRST[:-1])
        content = _as_csv(tiles, tuple(names))
    else:
        _check_json(path)
        content = _as_json(tiles, tuple(names))
    with whole(path) as beside:
        beside.write_bytes(content)


def _as_csv(tiles: Sequence[Tile], names: Sequence[str]) -> bytes:
    lines = [[*_FIRST[:-1], *names, _FIRST[-1]]]
    for one in tiles:
        score = "" if one.score is None else f"{one.score:.6g}"
        first = (one.tile, score, one.cause, one.action, "yes" if one.retake else "no", one.fault)
        lines.append([*first, *(str(one.place.get(name, "")) for name in names), one.message])
    return "".join(f"{','.join(map(as_field, line))}\r\n" for line in lines).encode(
        errors="backslashreplace"
    )


def _as_json(tiles: Sequence[Tile], names: Sequence[str]) -> bytes:
    listed = []
    for one in tiles:
        first = {name: getattr(one, name) for name in _FIRST[:-1]}
        place = {name: one.place.get(name) for name in names}
        listed.append({**first, **place, "message": one.message})
    return (json.dumps(listed, indent=1) + "\n").encode()


def _check_json(path: Path) -> None:
    """Refuse a place that holds something else than an older list."""
    try:
        with open_regular(path) as stream:
            listed = json.load(stream)
    except FileNotFoundError:
        return
    except (OSError, ValueError, RecursionError):
        listed = None
    is_list = isinstance(listed, list) and all(
        isinstance(one, dict) and one.keys() >= set(_FIRST) for one in listed
    )
    if not is_list:
        raise FileError(
            f"{path}: is there already and is no list of tiles; move it away or choose another "
            "place"
        )
