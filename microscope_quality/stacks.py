"""Find the sharpest plane of a z-stack."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Dict, Iterable, Iterator, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality import verdicts
from microscope_quality.arguments import as_flag, as_iterator, as_list, plain, shown
from microscope_quality.errors import ArgumentError, ImageError, SettingsError
from microscope_quality.focus import FocusResult, measure_focus
from microscope_quality.model import ModelLike, as_model
from microscope_quality.optics import Optics
from microscope_quality.resampling import Rescaling
from microscope_quality.statuses import BLANK, ERROR, TOO_SMALL

Float64Array = NDArray[np.float64]

# As many levels weigh as much as half of the contrast.
HALVING_LEVELS = 2.0
# Planes with this share of the sharpest one's sharpness, side by side with it, are as good.
AS_GOOD_SHARE = 0.9


@dataclass(frozen=True, eq=False, repr=False)
class StackResult:
    """The focus of a stack of planes.

    Attributes
    ----------
    best_plane : int or None
        Index of the sharpest plane, whether in focus or not; None when no plane has content, unless
        planes are too small for a level. See `best_plane` for how it is found.
    best_position : float or None
        The same, interpolated between planes.
    expected_level : float
        Of the best plane; NaN when it has no content.
    status : str
        That plane's: it says whether the stack has a plane in focus.
    results : tuple of FocusResult
        One for each plane.
    """

    best_plane: Optional[int]
    best_position: Optional[float]
    expected_level: float
    status: str
    results: Tuple[FocusResult, ...]

    def __repr__(self) -> str:
        """Tell the outcome; the results of all planes would fill screens."""
        n = len(self.results)
        planes = "1 plane" if n == 1 else f"{n} planes"
        if self.best_plane is None:
            return f"<StackResult: {planes}, none has content>"
        level = f"expected level {self.expected_level:.2f}, " if self.expected_level >= 0 else ""
        return f"<StackResult: best plane {self.best_plane} of {planes}, {level}{self.status}>"

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from microscope_quality.display import stack_html

        return stack_html(self)

    def to_dict(self, *, planes: bool = False) -> Dict[str, Any]:
        """Give its attributes as plain values, such as JSON can hold.

        Parameters
        ----------
        planes : bool
            Give ``results`` too, as a list of what `FocusResult.to_dict` gives of each plane.
        """
        values = {name: plain(value) for name, value in vars(self).items() if name != "results"}
        if as_flag("planes", planes):
            values["results"] = [result.to_dict() for result in self.results]
        return values

    def plot(self, *, ax: Any = None) -> Any:
        """Plot the planes' levels and contrasts; see `display.plot_stack`."""
        from microscope_quality.display import plot_stack

        return plot_stack(self, ax=ax)

    @property
    def representative(self) -> FocusResult:
        """The result of the best plane; the first one's when no plane has content."""
        statuses = [result.status for result in self.results]
        expected = [result.expected_level for result in self.results]
        return self.results[verdicts.representative(statuses, expected, self.best_plane)]


def measure_stack(
    planes: Iterable[ArrayLike],
    model: ModelLike = None,
    *,
    optics: Optional[Optics] = None,
    rescale: Rescaling = "auto",
    masks: Optional[Iterable[Optional[ArrayLike]]] = None,
    in_focus_limit: float = 1.5,
) -> StackResult:
    """Measure each plane of a stack and find the sharpest one.

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
    if isinstance(planes, (str, os.PathLike)):
        raise ArgumentError(
            f"planes must be arrays, not {shown(planes)}: read the file first, such as with "
            "tifffile.imread, or give its path to measure_files."
        )
    remaining = as_iterator("planes", planes, "planes")
    # Also of arrays that are not NumPy's.
    dimensions: Any = getattr(planes, "ndim", None)
    shape: Any = getattr(planes, "shape", ())
    if dimensions == 2:
        raise ImageError(
            f"A stack has three dimensions, planes first; this array has the shape {shape}. "
            "One plane is for measure_focus."
        )
    if dimensions == 4 and shape[-1] != 3:
        raise ImageError(
            f"A stack has three dimensions, planes first; this array has the shape {shape}. "
            "Measure its channels or time points one by one, such as stack[:, 0]."
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
    return best_plane(results)


def best_plane(results: Sequence[FocusResult]) -> StackResult:
    """Find the sharpest plane among the results of a stack's planes.

    A plane's sharpness is its contrast, halved for every two levels by which it is out of focus.
    Weighted 1, 2, 1 with the planes beside it, it is a curve, and the best plane is where the curve
    is highest: of planes within 10 % of that, side by side, and of each other themselves, the one
    nearest to the best position, of those with content if there are any. That is the vertex of the
    parabola through the logarithms of the curve there and beside it. Beyond an end of the stack,
    and where a plane could not be measured, logarithms of the sharpness go on as the three planes
    there say by a parabola, but not above the last of them.

    Parameters
    ----------
    results : sequence of FocusResult
        In the planes' order.

    Returns
    -------
    StackResult

    Raises
    ------
    ImageError
        Without any result.

    Notes
    -----
    Either witness errs where the other does not. Rings, noise and haze far from focus can have a
    low level, but have little contrast. Debris, bleaching and a flickering lamp make contrast, but
    not a lower level. A plane without content has no level: it takes the mean of the others', by
    their certainties, and is the best one if its contrast is so much higher, as where a bead in
    focus fills a patch and its rings fill many; but no more of it counts than a plane beside it
    has, so that no frame of noise is the best one. Without contrasts, levels alone decide; of
    planes that are too small for a level, contrasts alone.
    """
    results = as_list("results", results, "results")
    wrong = [one for one in results if not isinstance(one, FocusResult)]
    if wrong:
        raise ArgumentError(
            f"Each of the results must be a FocusResult, not {shown(wrong[0])}: best_plane takes "
            "what measure_focus gave of the planes; measure_stack takes the planes themselves."
        )
    if not results:
        raise ImageError("A stack needs one plane at least.")
    statuses, expected = [r.status for r in results], [r.expected_level for r in results]
    certainties, contrasts = [r.certainty for r in results], [r.contrast for r in results]
    best, position, speaker = best_of(statuses, expected, certainties, contrasts)
    return StackResult(best, position, *spoken(statuses, expected, speaker), tuple(results))


def best_of(
    statuses: Sequence[str],
    expected_levels: Sequence[float],
    certainties: Sequence[float],
    contrasts: Sequence[float],
) -> Tuple[Optional[int], Optional[float], int]:
    """Find the sharpest plane, as `best_plane` does, by what is known of planes.

    Parameters
    ----------
    statuses, expected_levels, certainties, contrasts : sequences
        Of the planes, in their order, one at least. A number is NaN where it is not known.

    Returns
    -------
    int or None, float or None, int
        The best plane and the best position, and the plane that speaks for the stack.
    """
    sharpness = sharpness_of(statuses, expected_levels, certainties, contrasts)
    if np.isnan(sharpness).all():
        return None, None, verdicts.representative(statuses, expected_levels)
    before = _before(sharpness)
    after = _before(sharpness[::-1])[::-1]
    curve = (before + 2 * sharpness + after) / 4
    highest = int(np.nanargmax(curve))
    as_good = _run(np.nan_to_num(curve) >= AS_GOOD_SHARE * curve[highest], highest)
    position = _vertex(as_good, curve)
    sharp = [k for k in as_good if sharpness[k] >= AS_GOOD_SHARE * sharpness[as_good].max()]
    with_content = [k for k in sharp if statuses[k] not in BLANK]
    best = min(with_content or sharp, key=lambda plane: abs(plane - position))
    # Of neighbours that contradict each other, the plane counts.
    return best, min(max(position, best - 1.0), best + 1.0), best


def spoken(
    statuses: Sequence[str], expected_levels: Sequence[float], speaker: int
) -> Tuple[float, str]:
    """Give expected level and status of a stack, by the plane that speaks for it."""
    status = statuses[speaker]
    return (math.nan if status in BLANK else expected_levels[speaker]), status


def sharpness_of(
    statuses: Sequence[str],
    expected_levels: ArrayLike,
    certainties: ArrayLike,
    contrasts: ArrayLike,
) -> Float64Array:
    """Give planes' contrasts over the highest, halved for every two levels above the lowest.

    It orders the planes of one stack; those of different stacks it does not compare.

    Parameters
    ----------
    statuses, expected_levels, certainties, contrasts : sequences or arrays
        As of `best_of`.

    Returns
    -------
    (n,) array of float64
        From 0 to 1; NaN where it is not known, and for all planes when none has content, unless
        they are too small for a level.
    """
    levels, sure, detail = (
        np.array(numbers, np.float64) for numbers in (expected_levels, certainties, contrasts)
    )
    measured = np.array([status != ERROR.key for status in statuses])
    content = measured & np.array([status not in BLANK for status in statuses])
    content &= np.isfinite(levels)
    if not content.any():
        content = np.array([status == TOO_SMALL.key for status in statuses]) & np.isfinite(detail)
        levels = np.zeros(len(content))
    if not content.any():
        return np.full(len(content), math.nan)
    weights = np.where(sure[content] > 0, sure[content], 0.0)
    mean = np.average(levels[content], weights=weights if weights.any() else None)
    halvings = (np.where(content, levels, mean) - levels[content].min()) / HALVING_LEVELS
    known = measured & np.isfinite(detail)
    if not known[content].all() or not detail[content].any():
        detail, known = np.ones(len(content)), content
    # A frame of noise stands out alone; what is in focus has planes beside it that nearly are.
    around = np.pad(np.where(known, detail, 0.0), 1)
    beside = np.maximum(around[:-2], around[2:])
    supported = np.where(content, detail, np.minimum(detail, beside))
    shares = np.where(known, supported, math.nan) / supported[known].max()
    return np.asarray(shares * 0.5**halvings)


def _before(sharpness: Float64Array) -> Float64Array:
    """Give the sharpness of the plane before each; where there is none, what it would be.

    As the logarithms of the plane and the two after it go on, by a parabola, but never above the
    plane itself; the plane's own without two more.
    """
    known = np.pad(sharpness, 2, constant_values=math.nan)
    before, own, next_one, second = known[1:-3], known[2:-2], known[3:-1], known[4:]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        gone_on = np.fmin(own, own * (own / next_one) ** 2 * (second / next_one))
    return np.where(np.isnan(before), gone_on, before)


def _run(chosen: NDArray[np.bool_], start: int) -> range:
    """Give the unbroken run of chosen planes around one of them."""
    first = last = start
    while first > 0 and chosen[first - 1]:
        first -= 1
    while last + 1 < len(chosen) and chosen[last + 1]:
        last += 1
    return range(first, last + 1)


def _vertex(planes: range, curve: Float64Array) -> float:
    """Give where the parabola through a curve's logarithms at planes and beside them is highest.

    Of an end of the curve three planes tell. Without such a point it is the middle of the planes.
    """
    first, last, n = planes[0], planes[-1], len(curve)
    middle = (first + last) / 2
    start, stop = max(first - 1, 0), min(last + 2, n)
    start, stop = max(min(start, stop - 3), 0), min(max(stop, start + 3), n)
    heights = curve[start:stop]
    if len(heights) < 3 or not (heights > 0).all():
        return middle
    curvature, slope, _ = np.polyfit(np.arange(start, stop) - middle, np.log(heights), 2)
    if curvature >= -1e-6:
        return middle
    vertex = np.clip(middle - slope / (2 * curvature), first - 0.5, last + 0.5)
    return float(np.clip(vertex, 0, n - 1))
