"""z-stacks: does the level follow the distance from focus, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microscope_quality.focus import FocusResult
from microscope_quality.optics import BLUR_PX_PER_LEVEL, Optics
from microscope_quality.stacks import best_of

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StackFigures:
    """What a model makes of one z-stack.

    Attributes
    ----------
    stack, model : str
        Names.
    z : (n,) array of float
        Of the planes, in steps, in their order.
    level, expected_level, certainty : (n,) array
        Of each plane; levels are NaN where undefined.
    status : tuple of str
        Of each plane.
    focus : float
        z of the focus: the one that is known, or else the best position by the model's levels
        alone; NaN without any.
    focus_known : bool
        It was given.
    spearman : float
        Rank correlation of the expected level with the distance from focus, of all planes whose
        level is defined; NaN with fewer than 3 or when all are equal.
    spearman_below, spearman_above : float
        The same of the planes on one side, the one nearest to focus included.
    best_z : float
        z of the best plane by the model's levels alone, as contrast is the same for every
        model; when none has content, of the lowest expected level; NaN without any level.
    best_plane_error : float
        ``best_z - focus``, in steps; NaN unless the focus is known.
    geometric_level : (n,) array
        Level by geometry, neither rounded nor limited; NaN without step and optics.
    slope : float
        Of predicted (3.08 px times expected level) on geometric blur diameter, least squares with
        an intercept, of the planes whose geometric level lies within the model's; 1 is right, NaN
        without geometry.
    within_one : float
        Share of the planes whose level is within one of the whole number nearest to the geometric
        one, which counts as the model's last level beyond it; an undefined level is not. NaN
        without geometry.
    """

    stack: str
    model: str
    z: FloatArray
    level: FloatArray
    expected_level: FloatArray
    certainty: FloatArray
    status: tuple[str, ...]
    focus: float
    focus_known: bool
    spearman: float
    spearman_below: float
    spearman_above: float
    best_z: float
    best_plane_error: float
    geometric_level: FloatArray
    slope: float
    within_one: float


def stack_figures(
    stack: str,
    model: str,
    z: Sequence[float],
    results: Sequence[FocusResult],
    *,
    focus: float | None = None,
    step_um: float | None = None,
    optics: Optics | None = None,
) -> StackFigures:
    """Judge a model by a z-stack.

    Parameters
    ----------
    stack, model : str
        Names.
    z : sequence of float
        Of the planes, in steps, rising.
    results : sequence of FocusResult
        Of the planes.
    focus : float, optional
        z of the plane in focus, when it is known.
    step_um : float, optional
        µm from one z to the next.
    optics : Optics, optional
        Of the microscope; with the step it gives the blur diameter by geometry, that of the true
        cone of light.

    Returns
    -------
    StackFigures
    """
    places = np.asarray(z, np.float64)
    level = np.array([result.level for result in results])
    expected = np.array([result.expected_level for result in results])
    best, position = _best(places, results)
    where = position if focus is None else float(focus)
    distance = np.abs(places - where)
    last = len(results[0].probabilities) - 1
    geometric = np.full(len(places), np.nan)
    slope = within = float("nan")
    if step_um is not None and optics is not None and not np.isnan(where):
        geometric = optics.level(distance * step_um)
        usable = (geometric <= last) & ~np.isnan(expected)
        if np.count_nonzero(usable) >= 2 and np.ptp(geometric[usable]) > 0:
            true_px, given_px = (BLUR_PX_PER_LEVEL * x[usable] for x in (geometric, expected))
            slope = float(np.polyfit(true_px, given_px, 1)[0])
        nearest_level = np.minimum(np.floor(geometric + 0.5), last)
        within = float(np.mean(np.abs(level - nearest_level) <= 1))
    nearest = distance == distance.min()
    below, above = nearest | (places <= where), nearest | (places >= where)
    return StackFigures(
        stack=stack,
        model=model,
        z=places,
        level=level,
        expected_level=expected,
        certainty=np.array([result.certainty for result in results]),
        status=tuple(result.status for result in results),
        focus=where,
        focus_known=focus is not None,
        spearman=_spearman(distance, expected),
        spearman_below=_spearman(distance[below], expected[below]),
        spearman_above=_spearman(distance[above], expected[above]),
        best_z=best,
        best_plane_error=float("nan") if focus is None else best - float(focus),
        geometric_level=geometric,
        slope=slope,
        within_one=within,
    )


def _best(z: FloatArray, results: Sequence[FocusResult]) -> tuple[float, float]:
    """Give the z of the best plane, and the position of focus between planes."""
    expected = np.array([result.expected_level for result in results])
    best, position, _ = best_of(
        [result.status for result in results],
        expected.tolist(),
        [result.certainty for result in results],
        [float("nan")] * len(results),
    )
    if best is not None and position is not None:
        return float(z[best]), float(np.interp(position, np.arange(len(z)), z))
    if np.isnan(expected).all():
        return float("nan"), float("nan")
    lowest = float(z[int(np.nanargmin(expected))])
    return lowest, lowest


def _spearman(distance: FloatArray, expected: FloatArray) -> float:
    # Imported where it is used: scipy.stats takes long to start.
    from scipy.stats import spearmanr

    defined = ~np.isnan(expected) & ~np.isnan(distance)
    # Equal distances on the two sides are ties, which rounding must not break.
    distance, expected = np.round(distance[defined], 6), np.round(expected[defined], 6)
    if len(distance) < 3 or np.ptp(distance) == 0 or np.ptp(expected) == 0:
        return float("nan")
    return float(spearmanr(distance, expected).statistic)
