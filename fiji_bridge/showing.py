"""Put results on an image in Java: overlay, legend, rows in a table, properties."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fiji_bridge import drawing
from fiji_bridge.drawing import FOCUS, RATING, Result, java, kind_of
from fiji_bridge.images import Image, Position, is_image_plus, opened, position_in
from fiji_bridge.measurement import PlaneRating, PlaneResult
from microscope_quality import FocusResult, StackResult
from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.files.columns import names, plane_columns, stack_columns
from microscope_quality.files.tables import CHECKSUM, GROUPS
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.rating import Rating
from microscope_quality.rater import RatingResult
from microscope_quality.statuses import IN_FOCUS, TOO_SMALL

#: Titles of ImageJ's tables, as the plugin has them.
PLANES, STACKS, FOLDER = "Focus of Planes", "Focus of Stacks", "Focus of Folder"
RATINGS = "Rating of Planes"

# Columns that are left out where no row has anything in them.
_OPTIONAL = frozenset((*GROUPS, "series"))
# Columns that say nothing of an open image.
_OF_FILES = frozenset((*_OPTIONAL, "error", "planes", "stack", "best_file", CHECKSUM))
# As many as CSV files have of numbers below 1.
_DECIMALS = 6
# What an image's properties say, by what is measured.
_PROPERTIES = {
    FOCUS: ("level", "expected_level", "certainty", "status"),
    RATING: ("score", "status", "cause"),
}

Value = int | float | str
Row = Mapping[str, Value | None]


@dataclass(frozen=True, eq=False)
class Measured:
    """The result of a plane of an image.

    Attributes
    ----------
    position : Position
    colour : int or None
        The channel, counted from 1, when it is one of three colours.
    result : FocusResult or RatingResult
    """

    position: Position
    colour: int | None
    result: Result


@dataclass(frozen=True, eq=False)
class MeasuredStack:
    """The result of the slices of a channel and frame.

    Attributes
    ----------
    position : Position
        Of the first slice.
    colour : int or None
        As for `Measured`.
    result : StackResult
    """

    position: Position
    colour: int | None
    result: StackResult


def show(
    image: Any,
    result: Result | StackResult,
    *,
    c: int | None = None,
    z: int | None = None,
    t: int | None = None,
    overlay: bool = True,
    legend: bool = True,
    table: bool = True,
) -> None:
    """Put a result on its plane: as coloured patches, as a row in a table, as properties.

    The patches replace those of earlier results of the same plane in the image's overlay; other
    elements stay. The tables are *Focus of Planes*, *Focus of Stacks* and *Rating of Planes*, as
    of the plugin's commands; without a screen, ImageJ has only the Results table. A row has the
    columns of ``results.csv``; z, c and t count from 1, and undefined numbers are empty. The
    properties ``focus.level``, ``focus.expected_level``, ``focus.certainty`` and ``focus.status``
    say it once more, or ``rating.score``, ``rating.status`` and ``rating.cause``, and are saved
    with a TIFF; in a hyperstack they name the plane, such as ``focus.c1.z3.t1.level``.

    Of a stack's result, all slices get their patches, the table a row with the columns of
    ``stacks.csv``, the properties ``focus.best_z``; and the image goes to the best slice.

    Parameters
    ----------
    image : ij.ImagePlus
        The one that was measured.
    result : FocusResult, StackResult or RatingResult
    c, z, t : int, optional
        Which plane the result is of, if it is not the one that it knows; of a result of the
        library, which knows none, it is the one that is shown unless they are given.
    overlay, legend, table : bool
        What to show. The legend is part of the overlay.

    Raises
    ------
    ImageError
        For what is no ``ij.ImagePlus``.
    SettingsError
        For a result of an image of another size or number of slices, or of a plane that the image
        does not have.
    """
    source = _source(image)
    if isinstance(result, StackResult):
        if z is not None:
            raise SettingsError("The result of a stack is of all slices: leave z away.")
        position, colour = _place_of(result.results[0], source, c, 1, t)
        stack = MeasuredStack(position, colour, result)
        show_stacks(image, [stack], overlay=overlay, legend=legend, table=table)
        return
    if not isinstance(result, (FocusResult, RatingResult)):
        raise SettingsError(
            "result must be a FocusResult, a StackResult or a RatingResult, not "
            f"{type(result).__name__}."
        )
    position, colour = _place_of(result, source, c, z, t)
    measured = Measured(position, colour, result)
    show_planes(image, [measured], overlay=overlay, legend=legend, table=table)


def _place_of(
    result: Result, source: Image, c: int | None, z: int | None, t: int | None
) -> tuple[Position, int | None]:
    """Give where a result belongs: where it was said, where it knows, or what is shown."""
    colour = c is not None
    if isinstance(result, (PlaneResult, PlaneRating)):
        given = {"c": c, "z": z, "t": t}
        most = {"c": source.channels, "z": source.slices, "t": source.frames}
        known = {axis: getattr(result, axis) for axis in given}
        if any(given[axis] is None and known[axis] > most[axis] for axis in given):
            plane = ", ".join(f"{axis}={number}" for axis, number in known.items())
            raise SettingsError(
                f"The result is of the plane {plane}, which the image {source.title!r} does not "
                "have: say with c, z and t which plane of it is meant."
            )
        colour = colour or result.colour
        c, z, t = (known[axis] if given[axis] is None else given[axis] for axis in given)
    position = position_in(source, c, z, t)
    return position, position.c if source.colour and colour else None


def show_planes(
    image: Any,
    measured: Sequence[Measured],
    *,
    overlay: bool = True,
    legend: bool = True,
    table: bool = True,
) -> None:
    """Put the results of some planes on their image; see `show`.

    Parameters
    ----------
    image : ij.ImagePlus
    measured : sequence of Measured
        One at least, all of focus or all ratings. Of the three colours of a plane, the patches of
        the surest one are drawn, or of the one with most ratings.
    overlay, legend, table : bool
        As for `show`.

    Raises
    ------
    ImageError, SettingsError
        As `show`.
    """
    source = _source(image)
    for one in measured:
        _check_size(source, one.result)
    if overlay:
        _draw(image, source, measured, legend=legend)
    if table:
        rows = []
        for one in measured:
            own = {**one.result.to_row(), "message": one.result.message}
            rows.append({**_position(source, one.position, one.colour), **own})
        title, columns = _columns(measured[0].result)
        add_rows(title, columns, rows)
    for one in measured:
        prefix = kind_of(one.result) + _suffix(source, one.position, one.colour)
        _describe(image, prefix, _said(one.result))


def show_stacks(
    image: Any,
    measured: Sequence[MeasuredStack],
    *,
    overlay: bool = True,
    legend: bool = True,
    table: bool = True,
) -> MeasuredStack:
    """Put the results of stacks on their image, and go to the best slice of one; see `show`.

    It is the stack of the channel and frame that are shown, or else the first one.

    Parameters
    ----------
    image : ij.ImagePlus
    measured : sequence of MeasuredStack
        One at least.
    overlay, legend, table : bool
        As for `show`.

    Returns
    -------
    MeasuredStack
        The one to whose best slice the image went, if it has one.

    Raises
    ------
    ImageError, SettingsError
        As `show`.
    """
    source = _source(image)
    planes = []
    for stack in measured:
        results = stack.result.results
        if len(results) != source.slices:
            raise SettingsError(
                f"The result is of {len(results)} slices, but the image {source.title!r} has "
                f"{source.slices}."
            )
        for z, one in enumerate(results, start=1):
            planes.append(Measured(replace(stack.position, z=z), stack.colour, one))
    show_planes(image, planes, overlay=overlay, legend=legend, table=False)
    rows = [_stack_row(source, stack) for stack in measured]
    if table:
        columns = names(stack_columns(_focus(measured[0].result.results[0]).column))
        add_rows(STACKS, [*(name for name in columns if name not in _OF_FILES), "message"], rows)
    for stack, row in zip(measured, rows):
        prefix = FOCUS + _suffix(source, stack.position, stack.colour, of_stack=True)
        said = {name: row[name] for name in ("best_z", "best_position", "expected_level", "status")}
        _describe(image, prefix, said)
    current = (int(image.getC()), int(image.getT()))
    chosen = measured[0]
    for stack in reversed(measured):
        if (_own_channel(source, stack.position), stack.position.t) == current:
            chosen = stack
    if chosen.result.best_plane is not None:
        channel = _own_channel(source, chosen.position)
        image.setPosition(channel, chosen.result.best_plane + 1, chosen.position.t)
    return chosen


def _stack_row(source: Image, stack: MeasuredStack) -> dict[str, Value | None]:
    """Give a stack's row, with the columns of ``stacks.csv``; slices count from 1."""
    result = stack.result
    row = _position(source, stack.position, stack.colour)
    row.pop("z", None)
    best_z = best_position = math.nan
    message = "" if result.status == IN_FOCUS.key else "The best plane is not in focus."
    if result.status == TOO_SMALL.key:
        message = "The planes are too small for a level: the best one has the highest contrast."
    if result.best_plane is None:
        message = "No plane has content."
    if result.best_plane is not None and result.best_position is not None:
        best_z, best_position = result.best_plane + 1, result.best_position + 1
    row.update(expected_level=result.expected_level, status=result.status, message=message)
    row.update(best_z=best_z, best_position=best_position)
    return row


def _columns(result: Result) -> tuple[str, list[str]]:
    """Give the table that a result goes into, and its columns."""
    if isinstance(result, RatingResult):
        measure = Rating()
        every = names((*plane_columns(measure.columns), *measure.later_columns))
        known = {"file", "z", "c", "t", "message", *result.to_row()}
        return RATINGS, [name for name in every if name in known]
    focus = _focus(result)
    every = names((*plane_columns(focus.columns), *focus.last_columns))
    return PLANES, [name for name in every if name not in _OF_FILES]


def _focus(result: FocusResult) -> Focus:
    """Give the measure that a result is of, for its columns."""
    return Focus(known=(len(result.probabilities), 0.0))


def add_rows(title: str, columns: Iterable[str], rows: Sequence[Row]) -> None:
    """Add rows to a table of ImageJ's, and show it.

    Parameters
    ----------
    title : str
        Of the table. Where there is no screen, the only table is ImageJ's Results.
    columns : iterable of str
        Names, in their order; the parts of names that no row has are left out.
    rows : sequence of mappings
        Values by column. What is undefined becomes an empty cell, never 0 or NaN.
    """
    tables = java("ij.measure.ResultsTable")
    headless = bool(java("java.awt.GraphicsEnvironment").isHeadless())
    windows = not headless and java("ij.IJ").getInstance() is not None
    table = tables.getResultsTable(title) if windows else tables.getResultsTable()
    if table is None:
        table = tables()
        table.setPrecision(_DECIMALS)
    table.setNaNEmptyCells(True)
    used = [
        name
        for name in columns
        if name not in _OPTIONAL
        or bool(table.columnExists(name))
        or any(not _empty(row.get(name)) for row in rows)
    ]
    if not all(table.columnExists(name) for name in used):
        _arrange(table, used)
    others = [name for name in _headings(table) if name not in used]
    for row in rows:
        _add_row(table, {**{name: row.get(name) for name in used}, **dict.fromkeys(others)})
    table.show(title if windows else "Results")


def _arrange(table: Any, first: Sequence[str]) -> None:
    """Put some columns first, in their order; in rows that lack one it is empty."""
    before = _headings(table)
    every = [*first, *(name for name in before if name not in first)]
    rows, labels = [], []
    for i in range(table.size()):
        numbers = {name: float(table.getValue(name, i)) for name in before}
        texts = {name: str(table.getStringValue(name, i)) for name in before}
        rows.append(
            {
                name: texts[name] if math.isnan(number) and texts[name] != "NaN" else number
                for name, number in numbers.items()
            }
        )
        labels.append(table.getLabel(i))
    table.reset()
    for i, (row, label) in enumerate(zip(rows, labels)):
        _add_row(table, {name: row.get(name) for name in every})
        if label is not None:
            table.setLabel(label, i)


def _add_row(table: Any, row: Row) -> None:
    table.incrementCounter()
    for name, value in row.items():
        if isinstance(value, str) or value is None or _empty(value):
            table.addValue(name, "" if _empty(value) else str(value))
        else:
            table.addValue(name, float(value))


def _headings(table: Any) -> list[str]:
    return [name for name in map(str, table.getHeadings()) if table.columnExists(name)]


def _empty(value: Value | None) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _source(image: Any) -> Image:
    if not is_image_plus(image):
        raise ImageError(
            f"Results are shown on an ij.ImagePlus, not on a {type(image).__name__}: "
            "ij.py.to_imageplus(image) makes one, and image.show() opens it."
        )
    return opened(image)


def _check_size(source: Image, result: Result) -> None:
    if (result.height, result.width) != (source.height, source.width):
        raise SettingsError(
            f"The image {source.title!r} has {source.height} x {source.width} pixels, but the "
            f"result is of one with {result.height} x {result.width}."
        )


def _position(source: Image, position: Position, colour: int | None) -> dict[str, Value | None]:
    """Name a plane's image and its position; an axis that the image does not have stays empty."""
    row: dict[str, Value | None] = {"file": source.title}
    if source.slices > 1:
        row["z"] = position.z
    if colour is not None:
        row["c"] = colour
    elif source.channels > (3 if source.colour else 1):
        row["c"] = _own_channel(source, position)
    if source.frames > 1:
        row["t"] = position.t
    return row


def _own_channel(source: Image, position: Position) -> int:
    """Give the channel as ImageJ counts it, of which a coloured one is three here."""
    return (position.c + 2) // 3 if source.colour else position.c


def _said(result: Result) -> dict[str, Value | None]:
    return {name: getattr(result, name) for name in _PROPERTIES[kind_of(result)]}


def _suffix(
    source: Image, position: Position, colour: int | None, *, of_stack: bool = False
) -> str:
    """Name a plane, or a channel and frame, in the properties of its image."""
    row = _position(source, position, colour)
    if of_stack:
        row.pop("z", None)
    return "".join(f".{axis}{row[axis]}" for axis in ("c", "z", "t") if axis in row)


def _describe(image: Any, prefix: str, values: Row) -> None:
    for name, value in values.items():
        if isinstance(value, float):
            text = None if math.isnan(value) else f"{value:.6g}"
        else:
            text = None if value is None else str(value)
        # None takes away what an earlier result said.
        image.setProp(f"{prefix}.{name}", text)


def _draw(image: Any, source: Image, measured: Sequence[Measured], *, legend: bool) -> None:
    patches: list[Any] = []
    above: list[Any] = []
    height, width = source.height, source.width
    chosen: dict[Position, Measured] = {}
    for one in measured:
        position = Position(_own_channel(source, one.position), one.position.z, one.position.t)
        if position not in chosen or _weight(one.result) > _weight(chosen[position].result):
            chosen[position] = one
    whole, legend_of_all = _without(image, list(chosen), kind_of(measured[0].result))
    for position, one in chosen.items():
        patches += _placed(drawing.patches(one.result), image, position)
        if legend:
            if not above and not legend_of_all:
                drawn = drawing.legend(one.result, height, width)
                # One legend does for all planes.
                above += drawn if len(chosen) > 1 else _placed(drawn, image, position)
            verdict = drawing.verdict_above(one.result, height, width)
            above += _placed([verdict], image, position)
    for element in (*patches, *legend_of_all, *above):
        whole.add(element)
    image.setOverlay(whole)


def _weight(result: Result) -> float:
    """Give how much a result says: of the three colours of a plane, one is drawn."""
    if isinstance(result, RatingResult):
        return int((~np.isnan(result.patch_scores)).sum())
    return result.certainty


def _without(image: Any, positions: Sequence[Position], kind: str) -> tuple[Any, list[Any]]:
    """Give an image's overlay without what will be drawn anew, and apart the legend of all planes.

    Parameters
    ----------
    image : ij.ImagePlus
    positions : sequence of Position
        Of the planes to be drawn. Several take away what is seen in all planes, too.
    kind : str
        How the elements to be drawn are called: a legend of others goes.
    """
    if image.getOverlay() is None:
        return java("ij.gui.Overlay")(), []
    whole = image.getOverlay().duplicate()
    drawn = {int(image.getStackIndex(position.c, position.z, position.t)) for position in positions}
    everywhere_too = len(positions) > 1 or image.getStackSize() == 1
    legend: list[Any] = []
    for i in range(whole.size() - 1, -1, -1):
        element = whole.get(i)
        name = element.getName()
        if name is None or not str(name).startswith((f"{FOCUS}: ", f"{RATING}: ")):
            continue
        if element.hasHyperStackPosition():
            index = image.getStackIndex(
                element.getCPosition(), element.getZPosition(), element.getTPosition()
            )
        else:
            index = element.getPosition()
        if index == 0 and not everywhere_too and str(name).startswith(f"{kind}: "):
            # It has to lie above the new patches.
            legend.insert(0, element)
        if index in drawn or index == 0:
            whole.remove(i)
    return whole, legend


def _placed(elements: list[Any], image: Any, position: Position) -> list[Any]:
    """Let elements show in their plane alone."""
    if image.isHyperStack():
        for element in elements:
            element.setPosition(position.c, position.z, position.t)
    elif image.getStackSize() > 1:
        index = image.getStackIndex(position.c, position.z, position.t)
        for element in elements:
            element.setPosition(index)
    return elements
