"""z-stacks: does a measure follow the distance from focus, and find the plane in focus."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microscope_quality.focus import FocusResult
from microscope_quality.optics import BLUR_PX_PER_LEVEL, WIDEST_FOCUS_LEVELS, Optics
from microscope_quality.stacks import best_plane, sharpness_of
from microscope_quality.statuses import IN_FOCUS

FloatArray = npt.NDArray[np.float64]

#: Classical measures of a stack's planes, and whether a larger value is a sharper image.
STACK_MEASURES = {
    "tenengrad": True,
    "focus_score": True,
    "laplacian_of_gaussian": True,
    "mid_band_power": True,
    "power_log_log_slope": True,
    "crete_blur_effect": False,
}
# Planes farther from focus than so many depths of field are far from it.
_FAR_DEPTHS = 3.0


@dataclass(frozen=True)
class KnownFocus:
    """Where the focus of a z-stack is known to be.

    Attributes
    ----------
    z : float
        Of the sharpest plane.
    first, last : float
        z of the first and the last plane that are as good.
    far : tuple of float
        z of planes that are known to be far out of focus; empty when none was told.
    """

    z: float
    first: float
    last: float
    far: tuple[float, ...] = ()

    @classmethod
    def at(cls, z: float) -> KnownFocus:
        """Know a single plane."""
        return cls(z, z, z)


@dataclass(frozen=True)
class StackPlane:
    """One plane of a z-stack.

    Attributes
    ----------
    z : float
        In steps.
    path : str
        Its file.
    plane : int
        Its number among the file's planes.
    z_um : float
        In µm; NaN where that is not known.
    """

    z: float
    path: str
    plane: int = 0
    z_um: float = math.nan


@dataclass(frozen=True)
class Stack:
    """A z-stack, its planes in the order of z.

    Attributes
    ----------
    name : str
    planes : tuple of StackPlane
    optics : Optics or None
        Of the microscope, where a table tells them.
    focus : KnownFocus or None
        Where a table tells it.
    """

    name: str
    planes: tuple[StackPlane, ...]
    optics: Optics | None = None
    focus: KnownFocus | None = None


@dataclass(frozen=True, eq=False)
class Places:
    """Where the planes of a z-stack lie, and what is known of its focus.

    Attributes
    ----------
    z : (n,) array of float
        In steps, rising.
    z_um : (n,) array of float
        In µm; NaN where that is not known.
    known : KnownFocus or None
    focus : float
        z of the focus: the one that is known, or else where it was found.
    depth_um : float
        Depth of field; NaN without optics.
    """

    z: FloatArray
    z_um: FloatArray
    known: KnownFocus | None
    focus: float
    depth_um: float

    def um_from(self, z: float) -> FloatArray:
        """Give the planes' distances from a place; NaN where µm are not known."""
        if np.isnan(z):
            return np.full(len(self.z), np.nan)
        return np.abs(self.z_um - np.interp(z, self.z, self.z_um))

    @property
    def is_far(self) -> npt.NDArray[np.bool_]:
        """Tell which planes are far from a known focus.

        They are those that were told; else those farther than three depths of field from the planes
        that are as good.
        """
        if self.known is None:
            return np.zeros(len(self.z), np.bool_)
        if self.known.far:
            return np.isin(self.z, self.known.far)
        nearest = np.fmin(self.um_from(self.known.first), self.um_from(self.known.last))
        beyond = (self.z < self.known.first) | (self.z > self.known.last)
        return np.asarray(beyond & (nearest > _FAR_DEPTHS * self.depth_um), np.bool_)


@dataclass(frozen=True)
class Followed:
    """How a measure follows the focus through a stack.

    Attributes
    ----------
    best_z : float
        z of the plane that it finds sharpest; NaN without any.
    best_plane_error : float
        ``best_z - focus``, in steps; NaN unless the focus is known.
    within_depth : float
        1 when the best plane is one of those that are as good as the sharpest, the plane beside the
        sharpest, or within a depth of field of it; else 0; NaN unless the focus is known.
    spearman : float
        Rank correlation of the measure, turned so that it rises with blur, with the distance from
        focus, of all planes where it is defined; NaN with fewer than 3 or when all are equal.
    spearman_below, spearman_above : float
        The same of the planes on one side, the one nearest to focus included.
    """

    best_z: float
    best_plane_error: float
    within_depth: float
    spearman: float
    spearman_below: float
    spearman_above: float

    @property
    def spearman_sides(self) -> float:
        """Mean of the correlations on the sides that have one."""
        sides = [side for side in (self.spearman_below, self.spearman_above) if side == side]
        return float(np.mean(sides)) if sides else float("nan")


@dataclass(frozen=True)
class StackMeasure(Followed):
    """What a classical measure makes of one z-stack.

    Attributes
    ----------
    stack, measure : str
        Names.
    planes : int
    focus : float
        As of `StackFigures`.
    focus_known : bool
    """

    stack: str
    measure: str
    planes: int
    focus: float
    focus_known: bool


@dataclass(frozen=True, eq=False)
class StackFigures(Followed):
    """What a model makes of one z-stack; its measure is the expected level.

    ``best_z`` is the product's best plane, which contrast and levels choose (see
    `microscope_quality.stacks.best_plane`); when none has content, that of the lowest expected
    level.

    Attributes
    ----------
    stack, model : str
        Names.
    z : (n,) array of float
        Of the planes, in steps, in their order.
    level, expected_level, certainty, contrast : (n,) array
        Of each plane; levels are NaN where undefined.
    status : tuple of str
        Of each plane.
    focus : float
        z of the focus: the one that is known, or else the best position; NaN without any.
    focus_known : bool
        It was given.
    by_sharpness : Followed
        How the order by which the best plane is chosen, `microscope_quality.stacks.sharpness_of`,
        follows the focus.
    best_status : str
        Of the best plane; empty without any.
    geometric_level : (n,) array
        Level by the optics, in the pixels that were measured, neither rounded nor limited; NaN
        without distances in µm and optics.
    slope : float
        Of predicted (3.08 px times expected level) on geometric blur diameter, least squares with
        an intercept, of the planes whose geometric level lies within the model's; 1 is right, NaN
        without geometry.
    within_one : float
        Share of the planes whose level is within one of the whole number nearest to the geometric
        one, which counts as the model's last level beyond it; an undefined level is not. NaN
        without geometry.
    depth_um : float
        Depth of field; NaN without optics.
    far, far_in_focus : int
        Planes that are far from a known focus (see `Places.is_far`), and those of them that are
        said to be in focus.
    """

    stack: str
    model: str
    z: FloatArray
    level: FloatArray
    expected_level: FloatArray
    certainty: FloatArray
    contrast: FloatArray
    status: tuple[str, ...]
    focus: float
    focus_known: bool
    by_sharpness: Followed
    best_status: str
    geometric_level: FloatArray
    slope: float
    within_one: float
    depth_um: float
    far: int
    far_in_focus: int


def depth_of_field_um(optics: Optics) -> float:
    """Give the depth of field ``λ n / NA² + n e / NA``, e being the pixel in the specimen.

    Parameters
    ----------
    optics : Optics

    Returns
    -------
    float
        In µm.

    Notes
    -----
    The sum of the wave and the geometric term after S. Inoué and K. R. Spring, Video Microscopy,
    2nd ed., Plenum (1997), where e is over the magnification.
    """
    wave = optics.wavelength_um * optics.refractive_index / optics.na**2
    return wave + optics.refractive_index * optics.pixel_size_um / optics.na


def places_of(
    z: Sequence[float],
    results: Sequence[FocusResult],
    *,
    focus: KnownFocus | None = None,
    z_um: Sequence[float] | None = None,
    optics: Optics | None = None,
) -> Places:
    """Place the planes of a z-stack about its focus, which a model finds where it is not known.

    Parameters
    ----------
    z : sequence of float
        Of the planes, in steps, rising.
    results : sequence of FocusResult
        Of the planes, by a model.
    focus : KnownFocus, optional
    z_um : sequence of float, optional
        Of the planes, in µm.
    optics : Optics, optional
        Of the microscope.
    """
    steps = np.asarray(z, np.float64)
    um = np.full(len(steps), np.nan) if z_um is None else np.asarray(z_um, np.float64)
    return Places(
        steps,
        um,
        focus,
        _best(steps, results)[1] if focus is None else focus.z,
        float("nan") if optics is None else depth_of_field_um(optics),
    )


def stack_figures(
    stack: str,
    model: str,
    z: Sequence[float],
    results: Sequence[FocusResult],
    *,
    focus: KnownFocus | None = None,
    z_um: Sequence[float] | None = None,
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
    focus : KnownFocus, optional
        Of the plane in focus, when it is known.
    z_um : sequence of float, optional
        Of the planes, in µm.
    optics : Optics, optional
        Of the microscope; with distances in µm they give the blur diameter.

    Returns
    -------
    StackFigures
    """
    places = places_of(z, results, focus=focus, z_um=z_um, optics=optics)
    level = np.array([result.level for result in results])
    expected = np.array([result.expected_level for result in results])
    status = tuple(result.status for result in results)
    best = _best(places.z, results)[0]
    last = len(results[0].probabilities) - 1
    geometric = np.full(len(places.z), np.nan)
    slope = within = float("nan")
    distance_um = places.um_from(places.focus)
    if optics is not None and np.isfinite(distance_um).all():
        for k, result in enumerate(results):
            px = BLUR_PX_PER_LEVEL * result.binning
            added_px = optics.added_blur_px(distance_um[k], widest_px=WIDEST_FOCUS_LEVELS * px)
            geometric[k] = added_px / px
        usable = (geometric <= last) & ~np.isnan(expected)
        if np.count_nonzero(usable) >= 2 and np.ptp(geometric[usable]) > 0:
            true_px, given_px = (BLUR_PX_PER_LEVEL * x[usable] for x in (geometric, expected))
            slope = float(np.polyfit(true_px, given_px, 1)[0])
        nearest_level = np.minimum(np.floor(geometric + 0.5), last)
        within = float(np.mean(np.abs(level - nearest_level) <= 1))
    certainty = np.array([result.certainty for result in results])
    contrast = np.array([result.contrast for result in results])
    sharpness = sharpness_of(status, expected, certainty, contrast)
    return StackFigures(
        **vars(followed(places, expected, best)),
        by_sharpness=followed(places, -sharpness, best),
        stack=stack,
        model=model,
        z=places.z,
        level=level,
        expected_level=expected,
        certainty=certainty,
        contrast=contrast,
        status=status,
        focus=places.focus,
        focus_known=focus is not None,
        best_status="" if np.isnan(best) else status[int(np.argmin(np.abs(places.z - best)))],
        geometric_level=geometric,
        slope=slope,
        within_one=within,
        depth_um=places.depth_um,
        far=int(places.is_far.sum()),
        far_in_focus=int(np.sum(places.is_far & (np.array(status) == IN_FOCUS.key))),
    )


def measures_of(
    stack: str, places: Places, values: Mapping[str, Sequence[float]]
) -> list[StackMeasure]:
    """Judge classical measures by a z-stack.

    Parameters
    ----------
    stack : str
        Its name.
    places : Places
    values : mapping of str to sequence of float
        Of the planes, by the measure's name, a key of `STACK_MEASURES`.
    """
    found = []
    for measure, numbers in values.items():
        blur = np.asarray(numbers, np.float64) * (-1 if STACK_MEASURES[measure] else 1)
        known = np.isfinite(blur)
        best = float(places.z[int(np.nanargmin(blur))]) if known.any() else float("nan")
        found.append(
            StackMeasure(
                **vars(followed(places, np.where(known, blur, np.nan), best)),
                stack=stack,
                measure=measure,
                planes=len(places.z),
                focus=places.focus,
                focus_known=places.known is not None,
            )
        )
    return found


def followed(places: Places, blur: FloatArray, best_z: float) -> Followed:
    """Compare a measure that rises with blur, and the plane it finds sharpest, with the focus."""
    distance = np.abs(places.z - places.focus)
    nearest = distance == distance.min()
    below, above = nearest | (places.z <= places.focus), nearest | (places.z >= places.focus)
    return Followed(
        best_z,
        float("nan") if places.known is None else best_z - places.known.z,
        _within_depth(places, best_z),
        _spearman(distance, blur),
        _spearman(distance[below], blur[below]),
        _spearman(distance[above], blur[above]),
    )


def _within_depth(places: Places, best_z: float) -> float:
    known = places.known
    if known is None:
        return float("nan")
    if np.isnan(best_z):
        return 0.0
    order = np.interp([best_z, known.z], places.z, np.arange(len(places.z)))
    near = abs(order[0] - order[1]) <= 1
    as_good = known.first <= best_z <= known.last
    deep = places.um_from(known.z)[places.z == best_z] <= places.depth_um
    return float(near or as_good or bool(deep.any()))


def _best(z: FloatArray, results: Sequence[FocusResult]) -> tuple[float, float]:
    """Give the z of the best plane, and the position of focus between planes."""
    found = best_plane(results)
    if found.best_plane is not None and found.best_position is not None:
        position = float(np.interp(found.best_position, np.arange(len(z)), z))
        return float(z[found.best_plane]), position
    expected = np.array([result.expected_level for result in results])
    if np.isnan(expected).all():
        return float("nan"), float("nan")
    lowest = float(z[int(np.nanargmin(expected))])
    return lowest, lowest


def _spearman(distance: FloatArray, blur: FloatArray) -> float:
    # Imported where it is used: scipy.stats takes long to start.
    from scipy.stats import spearmanr

    defined = ~np.isnan(blur) & ~np.isnan(distance)
    # Equal distances on the two sides are ties, which rounding must not break.
    distance, blur = np.round(distance[defined], 6), _rounded(blur[defined])
    if len(distance) < 3 or np.ptp(distance) == 0 or np.ptp(blur) == 0:
        return float("nan")
    return float(spearmanr(distance, blur).statistic)


def _rounded(values: FloatArray) -> FloatArray:
    """Round numbers of any size to nine digits, so that rounding breaks no ties."""
    return np.array([float(f"{value:.9g}") for value in values])
