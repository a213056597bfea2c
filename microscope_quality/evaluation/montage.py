"""What levels look like, and what a patch is judged by: arrays for pictures, not yet drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from microscope_quality.errors import SettingsError

if TYPE_CHECKING:
    from microscope_quality.evaluation.results import ExamplePatches
    from microscope_quality.model import FocusModel

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

#: Borders of the rows of a montage.
CERTAINTY_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
#: Side in pixels of the square that is hidden, fading included, and the way from one to the next.
#: Smaller squares hide too little of a far defocused cell to tell anything.
HIDDEN_SIDE = 24
HIDDEN_STEP = 6


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Which patch stands where in a montage of certainty (rows) by level (columns).

    A certainty that is a border of two rows belongs to the one above it, 1 to the last row.

    Attributes
    ----------
    chosen : (rows, levels) array of int
        Number of the patch in each place, -1 where there is none.
    count : (rows, levels) array of int
        Patches that could have stood there.
    """

    chosen: IntArray
    count: IntArray


def arrange(
    level: npt.ArrayLike, certainty: npt.ArrayLike, levels: int, *, seed: int = 0
) -> Arrangement:
    """Choose a patch at random for each level and band of certainty.

    Parameters
    ----------
    level : (n,) array
        As measured; patches with NaN have no place.
    certainty : (n,) array
    levels : int
        K.
    seed : int
        Of the choice.
    """
    measured = np.asarray(level, np.float64)
    rows = len(CERTAINTY_EDGES) - 1
    band = np.minimum(np.searchsorted(CERTAINTY_EDGES, certainty, side="right"), rows) - 1
    chosen = np.full((rows, levels), -1, np.intp)
    count = np.zeros((rows, levels), np.intp)
    rng = np.random.default_rng(seed)
    for row, column in np.ndindex(rows, levels):
        candidates = np.flatnonzero((band == row) & (measured == column))
        count[row, column] = len(candidates)
        if len(candidates):
            chosen[row, column] = rng.choice(candidates)
    return Arrangement(chosen, count)


def mistakes(examples: ExamplePatches, number: int) -> IntArray:
    """Give the numbers of patches that are wrong by more than one level, the most certain first."""
    wrong = np.abs(examples.level - examples.true) > 1
    found = np.flatnonzero(wrong)
    return found[np.argsort(-examples.certainty[found], kind="stable")][:number]


def typical(examples: ExamplePatches, levels: int, each: int, seed: int = 0) -> IntArray:
    """Choose patches of each level at random, of the more certain half of those judged right.

    Returns
    -------
    (each, levels) array of int
        Numbers of patches, -1 where there are too few.
    """
    chosen = np.full((each, levels), -1, np.intp)
    rng = np.random.default_rng(seed)
    for level in range(levels):
        right = np.flatnonzero((examples.true == level) & (examples.level == level))
        if len(right):
            middle = np.median(examples.certainty[right])
            certain = rng.permutation(right[examples.certainty[right] >= middle])[:each]
            chosen[: len(certain), level] = certain
    return chosen


def judged_by(
    model: FocusModel,
    patch: npt.NDArray[Any],
    *,
    side: int = HIDDEN_SIDE,
    step: int = HIDDEN_STEP,
    type_max: float | None = None,
) -> FloatArray:
    """Show which parts of a patch its level hangs on, by hiding one after the other.

    A square of the patch is replaced with its own mean, fading in and out (a raised cosine, since
    a hard edge would look like something in focus), and the model is asked again. How far its
    answer moves is the Wasserstein-1 distance of the two distributions over the levels,
    ``Σ_k |CDF_p(k) − CDF_q(k)|``, in levels: the ranked probability score's difference, not
    squared. A pixel's importance is the mean over the squares that cover it, weighted by how far
    they hide it.

    Parameters
    ----------
    model : FocusModel
    patch : (P, P) array of any integer or float type
        Grey values as they are; P is the model's patch size.
    side : int
        Of the hidden square in pixels.
    step : int
        From one square to the next in pixels.
    type_max : float, optional
        As `FocusModel.predict` takes it, for floats and models with ``type_range``.

    Returns
    -------
    (P, P) array of float64
        In levels, 0 or more; NaN for a patch without probabilities.

    Raises
    ------
    SettingsError
        For a patch of another size, or a side or step that does not suit it.

    Notes
    -----
    It shows where the answer would change if there were nothing, not what the model looks for
    there. Parts that tell the same make up for each other: hiding one of many sharp cells changes
    little. A smooth gap is itself unusual, and finer detail than the square is not resolved. Maps
    of an uncertain patch are larger throughout, since its answer moves easily.
    After M. D. Zeiler and R. Fergus, ECCV 2014 (arXiv:1311.2901), section 4.2.
    """
    size = model.description.patch_size
    if patch.shape != (size, size):
        raise SettingsError(f"The patch must be {size} x {size} pixels, not {patch.shape}.")
    if not (2 <= side <= size and 1 <= step <= side // 2):
        raise SettingsError(
            f"The hidden square has a side of 2 to {size} pixels and a step of 1 to half of it, "
            f"not {side} and {step}."
        )
    # Half a pixel inwards: no weight of the window is 0.
    rise = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    window = np.outer(rise, rise)
    # From outside the border to outside the border: the window is strong nowhere but in its middle.
    starts = range(-(side // 2), size - side // 2, step)
    pixels = patch.astype(np.float64)
    hidden, weights = [], []
    for y in starts:
        for x in starts:
            weight = np.zeros((size, size))
            top, left = max(y, 0), max(x, 0)
            bottom, right = min(y + side, size), min(x + side, size)
            weight[top:bottom, left:right] = window[top - y : bottom - y, left - x : right - x]
            mean = (weight * pixels).sum() / weight.sum()
            hidden.append(pixels + weight * (mean - pixels))
            weights.append(weight)
    if type_max is None and patch.dtype.kind in "iu":
        type_max = float(np.iinfo(patch.dtype).max)
    asked = np.concatenate([pixels[np.newaxis], np.stack(hidden)])
    cumulative = np.cumsum(model.predict(asked, type_max=type_max), axis=1)
    # Hiding may leave nothing: such a square does not count.
    moved = np.abs(cumulative[1:] - cumulative[0]).sum(axis=1)
    cover = np.stack(weights)
    if np.isnan(cumulative[0]).any():
        return np.full((size, size), np.nan)
    counts = ~np.isnan(moved)
    total = np.tensordot(counts.astype(np.float64), cover, 1)
    importance: FloatArray = np.divide(
        np.tensordot(np.where(counts, moved, 0), cover, 1),
        total,
        out=np.zeros((size, size)),
        where=total > 0,
    )
    return importance
