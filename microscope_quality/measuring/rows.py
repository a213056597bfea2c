"""What rows of a table say: a plane's numbers, its doubt, the best plane of a z-stack."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Optional, Protocol, cast

import numpy as np

from microscope_quality.errors import FileError
from microscope_quality.files.kinds import fault_of
from microscope_quality.files.ome_xml import MAX_PLANES
from microscope_quality.files.tables import RESULTS, as_number
from microscope_quality.focus import FocusResult, best_of
from microscope_quality.measuring.page import Place

#: Doubt (see `doubt`) from which a plane is doubtful.
DOUBTFUL = 0.25
#: What a row can say of a plane that was measured.
STATUSES = ("in_focus", "out_of_focus", "mixed", "no_content")

_AXES = ("series", "z", "c", "t")
_NEEDED = ("file", "level", "expected_level", "certainty", "status", "p0", "error")
_PROBABILITY = re.compile("p[0-9]{1,3}")
# Of numbers with six digits, and of sums of them.
_ROUNDING = 1e-3


class _Judged(Protocol):
    """What a verdict rests on: a result, or a row of one."""

    @property
    def status(self) -> str: ...

    @property
    def certainty(self) -> float: ...

    @property
    def probabilities(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]: ...


@dataclass(frozen=True, eq=False)
class PlaneRow:
    """A plane as a table has it."""

    name: str
    place: Place
    status: str
    level: float
    expected_level: float
    certainty: float
    defocus_um: float
    interval: tuple[float, float]
    probabilities: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    message: str
    error: str


def doubt(
    result: _Judged, *, in_focus_limit: int = 1, sure_certainty: float = 0.0
) -> tuple[float, str]:
    """How much a plane deserves a look before its verdict is believed, and why.

    1 for a mixed plane. Else the larger one of 2 min(q, 1 - q), where q is the probability that
    the level is at most the in-focus limit, and 1 - certainty / `sure_certainty`. So 0.25 means
    that the other verdict has a probability of an eighth, or that the plane as a whole has three
    quarters of the certainty that makes a patch a sure one. 0 without content: there is nothing
    to look at.

    Parameters
    ----------
    result
        Of `measure_focus`, or with its `status`, `certainty` and `probabilities`.
    in_focus_limit
        The highest level that counts as in focus.
    sure_certainty
        The model's.

    Returns
    -------
    float, str
        From 0 to 1, and a few words.
    """
    if result.status == "no_content":
        return 0.0, ""
    if result.status == "mixed":
        return 1.0, "parts at different levels"
    focused = float(result.probabilities[: in_focus_limit + 1].sum())
    close = 2 * min(max(focused, 0.0), max(1 - focused, 0.0))
    unsure = 1 - result.certainty / sure_certainty if sure_certainty > 0 else 0.0
    if unsure > close:
        return unsure, "low certainty"
    return close, "close to the in-focus limit"


def images_of(planes: Iterable[PlaneRow]) -> Iterator[list[PlaneRow]]:
    """Give the planes of each image of a file: one, or those of a z-stack in their order."""
    stacks: dict[Place, list[PlaneRow]] = {}
    for plane in planes:
        if plane.place.z is None:
            yield [plane]
        else:
            stacks.setdefault(replace(plane.place, z=None), []).append(plane)
    for stack in stacks.values():
        yield sorted(stack, key=lambda plane: plane.place.z or 0)


def stack_row(image: Sequence[PlaneRow], *, in_focus_limit: int = 1) -> Optional[dict[str, object]]:
    """Give the row of one of `images_of`; None for no z-stack, or one that was not measured."""
    planes = [plane for plane in image if plane.place.z is not None and not plane.error]
    if not planes:
        return None
    zs = [plane.place.z or 0 for plane in planes]
    found = best_of(cast("Sequence[FocusResult]", planes), in_focus_limit)
    best_z = position = None
    if found.best_plane is not None and found.best_position is not None:
        best_z = zs[found.best_plane]
        # Planes that could not be measured leave gaps.
        position = float(np.interp(found.best_position, range(len(zs)), zs))
    row = {
        "file": planes[0].name,
        **vars(planes[0].place),
        "best_z": best_z,
        "expected_level": found.expected_level,
        "status": found.status,
        "best_position": position,
    }
    del row["z"]
    return row


def spokesman(image: Sequence[PlaneRow], best_z: Optional[int] = None) -> PlaneRow:
    """Give the plane that stands for one of `images_of`.

    Of a z-stack it is the best one; where none is, the one of the lowest level with content.
    """
    measured = [plane for plane in image if not plane.error] or image
    for plane in measured:
        if best_z is not None and plane.place.z == best_z:
            return plane
    return min(measured, key=lambda plane: (plane.status == "no_content", _or_inf(plane)))


def _or_inf(plane: PlaneRow) -> float:
    return math.inf if math.isnan(plane.expected_level) else plane.expected_level


def plane_row(row: Mapping[str, str]) -> PlaneRow:
    """Give the numbers of a row of text.

    Raises
    ------
    FileError
        The row is none that a run writes (see `fault_of_row`).
    """
    fault = fault_of_row(row)
    if fault:
        raise FileError(
            f"{RESULTS} was changed by another program: in the row of "
            f"{row.get('file', '')[:200]!r}, {fault}; --again measures everything anew"
        )
    series, z, c, t = (int(row[axis]) if row.get(axis) else None for axis in _AXES)
    return PlaneRow(
        name=row["file"],
        place=Place(series, z, c, t),
        status=row["status"],
        level=as_number(row["level"]),
        expected_level=as_number(row["expected_level"]),
        certainty=as_number(row["certainty"]),
        defocus_um=as_number(row.get("defocus_um", "")),
        interval=(
            as_number(row.get("expected_level_low", "")),
            as_number(row.get("expected_level_high", "")),
        ),
        probabilities=np.array([as_number(row[name]) for name in _probabilities(row)]),
        message=row.get("message", ""),
        error=row["error"],
    )


def fault_of_row(row: Mapping[str, str]) -> str:
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
    missing = next((name for name in _NEEDED if name not in row), "")
    if missing:
        return f"the column {missing} is missing"
    for column, text in row.items():
        fault = fault_of(column, text)
        if fault:
            return fault
    for axis in _AXES:
        if row.get(axis) and int(row[axis]) >= MAX_PLANES:
            return f"{axis} is {row[axis]!r}, no plane's place"
    return "" if row["error"] else _fault_of_verdict(row)


def _fault_of_verdict(row: Mapping[str, str]) -> str:
    """Say whether a measured plane's status, level and probabilities go together."""
    status, names = row["status"], _probabilities(row)
    if status not in STATUSES:
        return f"status is {status[:40]!r}, none of {', '.join(STATUSES)}"
    wanted = ("level", "expected_level", "certainty", *names)
    empty = [name for name in wanted if not row[name]]
    if empty and (status != "no_content" or row["level"]):
        return f"{empty[0]} is empty, but the status is {status}"
    for name in ("level", "expected_level"):
        # Six digits may round up.
        if row[name] and float(row[name]) > len(names) - 1 + _ROUNDING:
            return f"{name} is {row[name]!r}, but the levels end at {len(names) - 1}"
    total = sum(float(row[name]) for name in names if row[name])
    if row["level"] and abs(total - 1) > _ROUNDING:
        return f"{names[0]} to {names[-1]} come to {total:.6g}, not to 1"
    return ""


def _probabilities(row: Mapping[str, str]) -> list[str]:
    return [name for name in row if _PROBABILITY.fullmatch(name)]
