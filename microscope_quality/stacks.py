"""Find the plane in focus among the planes of a z-stack."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Iterable, Iterator, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality import verdicts
from microscope_quality.arguments import as_a, as_iterator, as_list, as_number
from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.focus import FocusResult, measure_focus
from microscope_quality.model import ModelLike, as_model
from microscope_quality.optics import Optics
from microscope_quality.statuses import NO_CONTENT

Float64Array = NDArray[np.float64]

# Planes of a stack that lie within these levels of the lowest one place the best position, and
# can be the best plane.
NEAR_BEST_LEVELS = 2.0
AS_GOOD_LEVELS = 0.25


@dataclass(frozen=True, eq=False)
class StackResult:
    """The focus of a stack of planes.

    Attributes
    ----------
    best_plane : int or None
        Index of the plane in focus; None when no plane is. Of planes that are as good as the
        lowest (within 0.25 levels, side by side), the one nearest to `best_position`.
    best_position : float or None
        The same, interpolated between planes.
    expected_level : float
        Of the best plane, or when there is none, the lowest one of the planes with content; NaN
        without any.
    status : str
        That plane's; ``"no_content"`` when all planes are without.
    results : tuple of FocusResult
        One for each plane.
    """

    best_plane: Optional[int]
    best_position: Optional[float]
    expected_level: float
    status: str
    results: Tuple[FocusResult, ...]

    @property
    def representative(self) -> FocusResult:
        """The result of the best plane; without one, of the lowest plane with content.

        When no plane has content, it is the first one's.
        """
        statuses = [result.status for result in self.results]
        expected = [result.expected_level for result in self.results]
        return self.results[verdicts.representative(statuses, expected, self.best_plane)]


def measure_stack(
    planes: Iterable[ArrayLike],
    model: ModelLike = None,
    *,
    optics: Optional[Optics] = None,
    rescale: bool = False,
    masks: Optional[Iterable[Optional[ArrayLike]]] = None,
    in_focus_limit: float = 1.0,
) -> StackResult:
    """Measure each plane of a stack and find the one in focus.

    Parameters
    ----------
    planes : iterable of (height, width) arrays
        In their order along the axis; a (planes, height, width) array is one. An iterator's planes
        are held one at a time.
    masks : iterable of arrays or None, optional
        One for each plane.
    model, optics, rescale, in_focus_limit
        As for `measure_focus`.

    Returns
    -------
    StackResult

    Raises
    ------
    ImageError
        For a stack without planes, or a plane that `measure_focus` refuses.
    SettingsError
        For another number of masks than of planes, and as `measure_focus`.
    """
    used = as_model(model)
    end: Any = object()
    remaining = as_iterator("planes", planes, "planes")
    if isinstance(planes, np.ndarray) and planes.ndim == 2:
        raise ImageError(
            f"A stack has three dimensions, planes first; this array has the shape {planes.shape}. "
            "One plane is for measure_focus."
        )
    remaining_masks: Iterator[Any] = (
        repeat(None) if masks is None else as_iterator("masks", masks, "masks")
    )
    results = []
    while True:
        plane = next(remaining, end)
        mask = end if plane is end and masks is None else next(remaining_masks, end)
        if plane is end and mask is end:
            break
        if plane is end or mask is end:
            raise SettingsError("masks must be as many as planes, one for each.")
        result = measure_focus(
            plane,
            used,
            optics=optics,
            rescale=rescale,
            mask=mask,
            in_focus_limit=in_focus_limit,
        )
        results.append(result)
        # Let go before the next one is read: two planes at a time may be too many.
        del plane
    return best_plane(results, in_focus_limit=in_focus_limit)


def best_plane(results: Sequence[FocusResult], *, in_focus_limit: float = 1.0) -> StackResult:
    """Find the plane in focus among the results of a stack's planes.

    A plane is in focus when it has content and its level is at most the limit. The position is
    the vertex of the least-squares parabola through the expected levels of the lowest plane, its
    neighbours, and the planes next to them within 2 levels of it: on a plateau, its middle. Where
    there is no such vertex, it is the middle of the planes that are as good as the lowest.

    Parameters
    ----------
    results : sequence of FocusResult
        In the planes' order.
    in_focus_limit : float
        As for `measure_focus`.

    Returns
    -------
    StackResult

    Raises
    ------
    ImageError
        Without any result.
    """
    results = [as_a(FocusResult, "A result", one) for one in as_list("results", results, "results")]
    limit = as_number("in_focus_limit", in_focus_limit)
    if not results:
        raise ImageError("A stack needs one plane at least.")
    statuses = [result.status for result in results]
    levels, expected = [r.level for r in results], [r.expected_level for r in results]
    best, position, speaker = best_of(statuses, levels, expected, limit)
    return StackResult(best, position, *spoken(statuses, expected, speaker), tuple(results))


def best_of(
    statuses: Sequence[str],
    levels: Sequence[float],
    expected_levels: Sequence[float],
    in_focus_limit: float,
) -> Tuple[Optional[int], Optional[float], int]:
    """Find the plane in focus, as `best_plane` does, by what is known of planes.

    Parameters
    ----------
    statuses, levels, expected_levels : sequences
        Of the planes, in their order, one at least.
    in_focus_limit : float
        The highest level that is in focus.

    Returns
    -------
    int or None, float or None, int
        The best plane and the best position, and the plane that speaks for the stack.
    """
    # Planes without content are infinitely far from focus.
    expected = np.array(
        [
            math.inf if status == NO_CONTENT.key else level
            for status, level in zip(statuses, expected_levels)
        ]
    )
    focused = [
        math.isfinite(place) and level <= in_focus_limit for place, level in zip(expected, levels)
    ]
    if not any(focused):
        return None, None, verdicts.representative(statuses, expected_levels)
    lowest = int(np.argmin(np.where(focused, expected, math.inf)))
    as_good = _run((expected <= expected[lowest] + AS_GOOD_LEVELS) & focused, lowest)
    near = _run(expected <= expected[lowest] + NEAR_BEST_LEVELS, lowest)
    window = range(max(near[0] - 1, 0), min(near[-1] + 2, len(expected)))
    position = _vertex([k for k in window if math.isfinite(expected[k])], expected)
    if position is None:
        position = (as_good[0] + as_good[-1]) / 2
    best = min(as_good, key=lambda plane: abs(plane - position))
    return best, position, best


def spoken(
    statuses: Sequence[str], expected_levels: Sequence[float], speaker: int
) -> Tuple[float, str]:
    """Give expected level and status of a stack, by the plane that speaks for it."""
    status = statuses[speaker]
    return (math.nan if status == NO_CONTENT.key else expected_levels[speaker]), status


def _run(chosen: NDArray[np.bool_], start: int) -> range:
    """Give the unbroken run of chosen planes around one of them."""
    first = last = start
    while first > 0 and chosen[first - 1]:
        first -= 1
    while last + 1 < len(chosen) and chosen[last + 1]:
        last += 1
    return range(first, last + 1)


def _vertex(planes: Sequence[int], expected: Float64Array) -> Optional[float]:
    """Give where a parabola through planes' expected levels is lowest, within these planes."""
    if len(planes) < 3:
        return None
    offsets = np.array(planes) - planes[0]
    curvature, slope, _ = np.polyfit(offsets, expected[planes], 2)
    if curvature <= 1e-6:
        return None
    return float(np.clip(planes[0] - slope / (2 * curvature), planes[0], planes[-1]))
