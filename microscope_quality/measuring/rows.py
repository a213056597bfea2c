"""What rows of a table say: planes, the images that they are of, and which one speaks for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from microscope_quality.errors import FileError
from microscope_quality.files.columns import Column
from microscope_quality.files.ome_xml import MAX_PLANES
from microscope_quality.files.tables import GROUPS, RESULTS
from microscope_quality.measuring.items import Place
from microscope_quality.measuring.measure import Measure, Row
from microscope_quality.measuring.naming import is_of_set
from microscope_quality.statuses import Status
from microscope_quality.verdicts import representative

#: Doubt (see `Measure.doubt`) from which a plane is doubtful.
DOUBTFUL = 0.25

_AXES = ("series", "z", "c", "t")


@dataclass(frozen=True, eq=False)
class PlaneRow:
    """A plane as a table has it; the fields of its `row` are texts."""

    measure: Measure
    row: Row
    place: Place

    @classmethod
    def of(cls, measure: Measure, row: Row) -> PlaneRow:
        """Give the plane of a row that a run wrote."""
        series, z, c, t = (int(row[axis]) if row.get(axis) else None for axis in _AXES)
        return cls(measure, row, Place(series, z, c, t))

    @property
    def is_of_stack(self) -> bool:
        """Whether it is a plane of a z-stack, which is judged as one image."""
        return self.place.z is not None and self.measure.has_stacks

    @property
    def name(self) -> str:
        """Of its file."""
        return self.row["file"]

    @property
    def unit(self) -> str:
        """What its image lies in: its file, or the files of its z-stack."""
        return self.row.get("stack") or self.name

    @property
    def error(self) -> str:
        """Why it was not measured."""
        return self.row["error"]

    @property
    def kind(self) -> Status:
        """Its status, or that of an error."""
        return self.measure.status(self.row)

    @property
    def status(self) -> str:
        """The key of that."""
        return self.kind.key


class RowReader:
    """Reads rows of a table of results.

    Parameters
    ----------
    measure
        That judges.
    columns
        Of the table, as a run of today writes it.
    """

    def __init__(self, measure: Measure, columns: Iterable[Column]) -> None:
        self.measure = measure
        self._columns = {column.name: column for column in columns}

    def plane(self, row: Row) -> PlaneRow:
        """Give the plane of a row of text.

        Raises
        ------
        FileError
            The row is none that a run writes (see `fault`).
        """
        fault = self.fault(row)
        if fault:
            raise FileError(
                f"{RESULTS} was changed by another program: in the row of "
                f"{row.get('file', '')[:200]!r}, {fault}; measure everything again"
            )
        return PlaneRow.of(self.measure, row)

    def fault(self, row: Row) -> str:
        """Say what is wrong with a plane's row, if it cannot be one that a run wrote.

        Parameters
        ----------
        row
            Fields as text, by column; of an older version, later columns may be missing.

        Returns
        -------
        str
            Such as ``"status is 'fine', none of in_focus, …"``, naming the column; empty for a row
            that can be right.
        """
        needed = ("file", *self.measure.needed, "error")
        missing = next((name for name in needed if name not in row), "")
        if missing:
            return f"the column {missing} is missing"
        for name, text in row.items():
            fault = self._columns[name].fault(text) if text and name in self._columns else ""
            if fault:
                return fault
        for axis in _AXES:
            if row.get(axis) and int(row[axis]) >= MAX_PLANES:
                return f"{axis} is {row[axis]!r}, no plane's place"
        if row["error"]:
            return ""
        statuses = [status.key for status in self.measure.statuses]
        if row["status"] not in statuses:
            return f"status is {row['status'][:40]!r}, none of {', '.join(statuses)}"
        return self.measure.fault(row)


def images_of(planes: Iterable[PlaneRow]) -> Iterator[list[PlaneRow]]:
    """Give the planes of each image of a unit: one, or those of a z-stack in their order."""
    stacks: dict[Place, list[PlaneRow]] = {}
    for plane in planes:
        if not plane.is_of_stack:
            yield [plane]
        else:
            stacks.setdefault(replace(plane.place, z=None), []).append(plane)
    for stack in stacks.values():
        yield sorted(stack, key=lambda plane: plane.place.z or 0)


def units_of(planes: Iterable[PlaneRow], *, is_finished: bool = True) -> Iterator[list[PlaneRow]]:
    """Give the planes of each unit, as soon as a table has told all of them.

    Planes of a file are one behind the other, and in the table of a finished run so are those of a
    stack by names; the files of a stack that they tell of themselves may lie anywhere.
    """
    scattered: dict[str, list[PlaneRow]] = {}
    for unit, of_unit in itertools.groupby(planes, key=lambda plane: plane.unit):
        together = list(of_unit)
        if is_of_set(unit) or (not is_finished and unit != together[0].name):
            scattered.setdefault(unit, []).extend(together)
        else:
            yield together
    yield from scattered.values()


def all_units(planes: Iterable[PlaneRow]) -> list[list[PlaneRow]]:
    """Give the planes of each unit, wherever in a table they lie."""
    units: dict[str, list[PlaneRow]] = {}
    for plane in planes:
        units.setdefault(plane.unit, []).append(plane)
    return list(units.values())


def stack_row(image: Sequence[PlaneRow]) -> dict[str, object] | None:
    """Give the row of one of `images_of`; None for no z-stack, or one that was not measured."""
    planes = [plane for plane in image if plane.is_of_stack and not plane.error]
    if not planes:
        return None
    measure, zs = planes[0].measure, [plane.place.z or 0 for plane in planes]
    found = measure.best(planes)
    best_z = position = None
    if found.plane is not None and found.position is not None:
        best_z = zs[found.plane]
        # Planes that could not be measured leave gaps.
        position = float(np.interp(found.position, range(len(zs)), zs))
    row: dict[str, object] = {"file": image[0].name, **vars(planes[0].place)}
    del row["z"]
    of_names = {name: planes[0].row.get(name, "") for name in (*GROUPS, "stack")}
    return row | {
        "best_z": best_z,
        measure.value: found.value,
        "status": found.status,
        "best_position": position,
        **of_names,
        "planes": len(image),
        "best_file": "" if found.plane is None else planes[found.plane].name,
    }


class StackSizes:
    """Finds z-stacks that lack planes: those of their plate and channel have more.

    It is of stacks whose planes have files of their own, put together by their names. Where these
    tell neither a well nor a site, stacks of different folders are not compared.
    """

    def __init__(self) -> None:
        # By folder, plate and channel, and by numbers of planes: how many there are, and the first
        # one's name.
        self._stacks: dict[tuple[str, str, str], dict[int, tuple[int, str]]] = {}

    def add(self, image: Sequence[PlaneRow]) -> None:
        """Take in one of `images_of`; one that was not measured is told as that."""
        row = image[0].row
        stack = row.get("stack", "")
        if all(plane.error for plane in image):
            return
        if stack and not is_of_set(stack) and image[0].is_of_stack:
            placed = row.get("well") or row.get("site")
            folder = "" if placed else stack.rpartition("/")[0]
            of_plate = folder, row.get("plate", ""), row.get("channel", "")
            sizes = self._stacks.setdefault(of_plate, {})
            count, first = sizes.get(len(image), (0, stack))
            sizes[len(image)] = count + 1, first

    def said(self) -> str:
        """Say how many lack planes, and of one how many; empty without any."""
        fewer, first = 0, ""
        for sizes in self._stacks.values():
            largest = max(sizes)
            for planes, (count, name) in sizes.items():
                if planes < largest:
                    fewer += count
                    first = first or f"{name} has {planes} of {largest}"
        if fewer < 2:
            return f"A z-stack has fewer planes than others of its channel: {first}." * fewer
        return f"{fewer:,} z-stacks have fewer planes than others of their channel: {first}."


def representative_of(
    image: Sequence[PlaneRow], stack: Mapping[str, object] | None = None
) -> PlaneRow:
    """Give the plane that speaks for one of `images_of`; see `verdicts.representative`.

    The `stack` is what `stack_row` gives of it, or its row as text.
    """
    if len(image) == 1:
        return image[0]
    best_z = (stack or {}).get("best_z")
    zs = [str(plane.place.z) for plane in image if not plane.error]
    measured = [plane for plane in image if not plane.error] or list(image)
    best = zs.index(str(best_z)) if str(best_z) in zs else None
    measure = image[0].measure
    values = [measure.badness(measure.number(plane.row)) for plane in measured]
    return measured[representative([plane.status for plane in measured], values, best)]
