"""Measure the focus of a plane, of a stack of planes, or at points of a plane."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality import certainty, tiles, verdicts
from microscope_quality.arguments import as_flag, as_number, plain
from microscope_quality.contrast import patch_contrasts, plane_contrast
from microscope_quality.model import FocusModel, ModelLike, as_model
from microscope_quality.normalisation import half_unmasked
from microscope_quality.optics import BLUR_PX_PER_LEVEL, WIDEST_FOCUS_LEVELS, Optics
from microscope_quality.planes import Patches, PlaneInBands, PlaneInMemory, is_lazy
from microscope_quality.resampling import Rescaling, binned, binning_of
from microscope_quality.spectrum import SurestPatches
from microscope_quality.statuses import OUT_OF_FOCUS, TOO_SMALL

Float64Array = NDArray[np.float64]

_Seen = Callable[[NDArray[Any], Optional[NDArray[np.bool_]], Float64Array], None]

# Patches measured at a time, and their pixels: bounds the memory of an image of any size.
_BLOCK = 1024
_BLOCK_PIXELS = 2**23


@dataclass(frozen=True, eq=False, repr=False)
class PatchResult:
    """The focus of a patch of a plane.

    Attributes
    ----------
    y, x : int
        Of its upper left pixel, in the image's own pixels.
    size_px : float
        Its side in the image's own pixels.
    level, expected_level, certainty : float
        As of a `FocusResult`; levels are NaN and the certainty 0 where there is nothing to judge.
    probabilities : (K,) array of float64
        Of the levels.
    """

    y: int
    x: int
    size_px: float
    level: float
    expected_level: float
    certainty: float
    probabilities: Float64Array

    def __repr__(self) -> str:
        """Tell where it is, and the outcome."""
        return (
            f"<PatchResult: y {self.y}, x {self.x}, expected level {self.expected_level:.2f}, "
            f"certainty {self.certainty:.2f}>"
        )

    def to_dict(self) -> Dict[str, Any]:
        """Give all of it as plain values; see `FocusResult.to_dict`."""
        return {name: plain(value) for name, value in vars(self).items()}


@dataclass(frozen=True, eq=False, repr=False)
class FocusResult:
    """The focus of a plane.

    Attributes
    ----------
    level : float
        Most probable defocus level, 0 (in focus) to K - 1, the lower one of a tie; NaN when no
        patch has probabilities. Nothing is judged by it.
    expected_level : float
        The number of the plane: mean of the level over `probabilities`; NaN likewise. As all
        levels, it counts the pixels that were measured, those of the binned image.
    probabilities : (K,) array of float64
        Certainty-weighted mean of the patches' probabilities; see `certainty.weights_of`.
    product_probabilities : (K,) array of float64
        Normalised product of the patches' probabilities.
    certainty : float
        Of `probabilities`, 0 to 1; 0 when undefined.
    mean_certainty, max_certainty, weighted_certainty : float
        Mean, maximum and certainty-weighted mean of the certainties of the patches that are at
        least half unmasked; 0 without any.
    status : str
        ``"too_small"``, ``"no_content"``, ``"mixed"``, ``"in_focus"`` or ``"out_of_focus"``, the
        first that applies: a side is shorter than a patch; no more patches are sure than chance
        makes on an empty image; more than a fifth of the sure ones have an expected level over 1.5
        levels from the plane's; the plane's is at most the limit; or none of these.
    message : str
        What the caller should know about the measurement, in sentences; mostly empty.
    blur_diameter_px : float
        Blur that defocus adds to that in focus, 3.08 px for a level, in the image's own pixels; at
        the last level it means "at least". NaN when the level is.
    defocus_um : float
        Distance from focus in µm, without a sign, that adds so much; NaN without optics.
    saturated_fraction : float
        Share of the unmasked pixels that are clipped: those at the largest value of the type, or
        at the image's maximum when pixels pile up there; NaN for floats.
    contrast : float
        Of the plane's fine detail, without that of noise, in its own grey levels: the more, the
        sharper, but only among the planes of one stack; see `contrast.plane_contrast`. NaN without
        a patch.
    height, width : int
        Of the plane, in pixels.
    patch_size_px : float
        Side of a patch in the image's own pixels: the model's, times the binning.
    binning : int
        Pixels of the image, down and across, for one that was measured; 1 for an image that was
        measured as it is.
    patch_positions : (n, 2) array of int
        y and x of the patches' upper left pixels, in the image's own pixels.
    patch_levels, patch_expected_levels, patch_certainties : (n,) array of float64
        Of each patch; levels are NaN and certainties 0 for constant and mostly masked ones, and
        those that show little but the border of what is masked.
    patch_probabilities : (n, K) array of float64
        Of each patch.
    """

    level: float
    expected_level: float
    probabilities: Float64Array
    product_probabilities: Float64Array
    certainty: float
    mean_certainty: float
    max_certainty: float
    weighted_certainty: float
    status: str
    message: str
    blur_diameter_px: float
    defocus_um: float
    saturated_fraction: float
    contrast: float
    height: int
    width: int
    patch_size_px: float
    binning: int
    patch_positions: NDArray[np.intp]
    patch_levels: Float64Array
    patch_expected_levels: Float64Array
    patch_certainties: Float64Array
    patch_probabilities: Float64Array

    def __repr__(self) -> str:
        """Tell the outcome; the arrays would fill screens."""
        return (
            f"<FocusResult: expected level {self.expected_level:.2f}, "
            f"certainty {self.certainty:.2f}, {self.status}, {len(self.patch_levels)} patches>"
        )

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        from microscope_quality.display import focus_html

        return focus_html(self)

    @property
    def judged_level(self) -> Optional[float]:
        """The number by which the plane counts; see `verdicts.judged_level`."""
        return verdicts.judged_level(self.status, self.expected_level)

    def to_row(self) -> Dict[str, Union[int, float, str]]:
        """Give the columns of a results table that a plane itself determines, by name."""
        names = (
            "width height level expected_level certainty mean_certainty max_certainty "
            "weighted_certainty status blur_diameter_px defocus_um saturated_fraction"
        )
        row: Dict[str, Union[int, float, str]] = {n: getattr(self, n) for n in names.split()}
        row.update((f"p{k}", float(p)) for k, p in enumerate(self.probabilities))
        row["contrast"] = self.contrast
        row["binning"] = self.binning
        return row

    def to_dict(self, *, patches: bool = False) -> Dict[str, Any]:
        """Give its attributes as plain values, such as JSON can hold.

        Parameters
        ----------
        patches : bool
            Give the patches too, as a list of those of `PatchResult.to_dict`.

        Returns
        -------
        dict
            Whole numbers, floats, texts and lists of them, by the attributes' names; None stands
            for what is undefined (NaN).
        """
        of_plane = (field.name for field in fields(self) if field.name not in _OF_PATCHES)
        values = {name: plain(getattr(self, name)) for name in of_plane}
        if as_flag("patches", patches):
            values["patches"] = [patch.to_dict() for patch in self.patches]
        return values

    @property
    def patches(self) -> Tuple[PatchResult, ...]:
        """The patches with their places, row by row."""
        columns = (
            self.patch_levels.tolist(),
            self.patch_expected_levels.tolist(),
            self.patch_certainties.tolist(),
            self.patch_probabilities,
        )
        return tuple(
            PatchResult(y, x, self.patch_size_px, *of_patch)
            for (y, x), *of_patch in zip(self.patch_positions.tolist(), *columns)
        )

    @property
    def level_map(self) -> Float64Array:
        """The patches' levels as they lie in the plane, (rows, columns) of patches.

        The last row and column are those that are shifted inwards to the plane's border, so that
        they may overlap with the ones before. NaN where there is nothing to judge; empty without
        a patch.
        """
        return self._map(self.patch_levels)

    @property
    def expected_level_map(self) -> Float64Array:
        """The patches' expected levels, laid out as in `level_map`."""
        return self._map(self.patch_expected_levels)

    @property
    def certainty_map(self) -> Float64Array:
        """The patches' certainties, laid out as in `level_map`; 0 where nothing is to judge."""
        return self._map(self.patch_certainties)

    def _map(self, values: Float64Array) -> Float64Array:
        rows, columns = self._grid()
        placed = np.full((len(rows), len(columns)), np.nan)
        y, x = self.patch_positions.T
        placed[np.searchsorted(rows, y), np.searchsorted(columns, x)] = values
        return placed

    def _grid(self) -> Tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Give y of the rows and x of the columns of patches."""
        return np.unique(self.patch_positions[:, 0]), np.unique(self.patch_positions[:, 1])

    def overlay(self, plane: ArrayLike, *, max_side: Optional[int] = None) -> NDArray[np.uint8]:
        """Draw the plane under its patches' levels and certainties; see `overlay.overlay`."""
        from microscope_quality import overlay

        return overlay.overlay(plane, self, max_side=max_side)

    def plot(self, plane: Optional[ArrayLike] = None, *, ax: Any = None) -> Any:
        """Plot the patches, over the plane if it is given; see `display.plot_focus`."""
        from microscope_quality.display import plot_focus

        return plot_focus(self, plane, ax=ax)


# What a result says of each patch; of the whole plane says all else.
_OF_PATCHES = (
    *("patch_positions", "patch_levels", "patch_expected_levels"),
    *("patch_certainties", "patch_probabilities"),
)


@dataclass(frozen=True, eq=False, repr=False)
class PointsResult:
    """The focus at points of a plane.

    Attributes
    ----------
    levels, expected_levels, certainties : (n,) array of float64
        Levels are NaN and certainties 0 where the patch is constant or mostly masked.
    probabilities : (n, K) array of float64
        Of the levels.
    """

    levels: Float64Array
    expected_levels: Float64Array
    certainties: Float64Array
    probabilities: Float64Array

    def __repr__(self) -> str:
        """Tell the range of the outcome; the arrays would fill screens."""
        known = self.expected_levels[~np.isnan(self.expected_levels)]
        points = "1 point" if len(self.levels) == 1 else f"{len(self.levels)} points"
        range_ = f", expected levels {known.min():.2f} to {known.max():.2f}" if len(known) else ""
        return f"<PointsResult: {points}{range_}>"

    def to_dict(self) -> Dict[str, Any]:
        """Give its attributes as plain values; see `FocusResult.to_dict`."""
        return {name: plain(value) for name, value in vars(self).items()}


def measure_focus(
    plane: ArrayLike,
    model: ModelLike = None,
    *,
    optics: Optional[Optics] = None,
    rescale: Rescaling = "auto",
    mask: Optional[ArrayLike] = None,
    in_focus_limit: float = 1.5,
) -> FocusResult:
    """Measure how far a plane is out of focus.

    Parameters
    ----------
    plane : (height, width) array
        Of any integer or float type and scale. Three channels, (height, width, 3), are one grey
        image when they are equal. NaN and infinite pixels are left out like masked ones, and
        so are those of a `numpy.ma.MaskedArray` and black surroundings, such as a stitched image's
        (see `masks.without_borders`). An array that is not in memory, with `shape`,
        `dtype`, `ndim` and pairs of slices (of zarr, HDF5, dask, a `numpy.memmap`, or a
        `files.lazy.LazyPlane`), is read in bands of rows, whatever its size, for the same numbers;
        with a mask it is read whole.
    model : FocusModel, str or path, optional
        A model, or the name or folder of one; by default the one that comes with the library.
    optics : Optics, optional
        Of the image; gives `FocusResult.defocus_um`, and brings it to the model's sampling.
    rescale : "auto", "on", "off" or bool
        Bin an image that is sampled more finely than those that the model knows, by the whole
        number that comes closest to equal pixel size * NA / wavelength: ``"auto"`` when `optics`
        are given; ``"on"``, or True, refuses an image without; ``"off"``, or False, measures the
        pixels as they are. A coarser image is measured as it is.
    mask : (height, width) array, optional
        True (not 0) where a pixel counts. A patch is measured when at least half of it counts, and
        more is to be seen in it than the mask's border; see `masks.continued`.
    in_focus_limit : float
        The highest expected level that is in focus.

    Returns
    -------
    FocusResult
        Without a patch to judge its level is NaN, and its message says why; its status is
        ``"too_small"`` when a side, as it is binned, is shorter than a patch, or ``"no_content"``
        when all patches are masked or constant.

    Raises
    ------
    ImageError
        For an array without pixels, not of two dimensions, of different colour channels, or that
        is boolean, complex or no numbers.
    SettingsError
        For a mask of another shape, a limit that is no level, or an argument of a wrong kind; when
        `rescale` is on, also without optics, and for optics of a sampling over 4 times coarser or
        16 times finer than the model's.
    ModelNotFoundError, ModelError
        As `FocusModel.from_pretrained`.
    """
    used = as_model(model)
    focus = used.description.focus
    limit = as_number("in_focus_limit", in_focus_limit, 0, focus.levels - 1)
    size = used.description.patch_size
    binning, messages = binning_of(optics, focus.optics, rescale)
    side = size * binning
    source: Union[PlaneInBands, PlaneInMemory]
    if is_lazy(plane) and mask is None:
        source = PlaneInBands(plane, side)
    else:
        source = PlaneInMemory(plane, mask)
    height, width = map(int, source.shape)
    places = tiles.positions(height, width, side)
    contrasts: List[NDArray[Any]] = [np.empty((2, 0))]
    some_masked = False

    def cut(places: NDArray[Any], side: int) -> Patches:
        nonlocal some_masked
        patches, masks = source.cut(places, side)
        some_masked |= masks is not None
        patches, masks = binned(patches, masks, binning)
        contrasts.append(np.stack(patch_contrasts(patches, masks)))
        return patches, masks

    surest = SurestPatches() if optics is None else None
    seen = None if surest is None else surest.add
    probabilities, counted = _predict(used, cut, places, side, source.type_max, seen)
    least = min(height, width) // binning * binning
    if not len(places) and least:
        # Of the planes of a small stack, contrast tells the sharpest.
        cut(tiles.positions(height, width, least), least)
    statistics = source.statistics
    certainties = certainty.certainty(probabilities)
    stands_for = np.ones(len(certainties))
    found = summed_up(probabilities, certainties, stands_for, size, binning, optics, focus.optics)
    expected, of_patches = found["expected_level"], found["patch_expected_levels"]

    if used.description.normalisation == "type_range" and statistics.largest > 1:
        messages.insert(0, "This model takes floats to lie in 0 to 1; larger ones were clipped.")
    if statistics.unfinite:
        messages.insert(0, f"NaN and infinite pixels were left out: {statistics.unfinite}.")
    if source.bordered:
        where = "1 patch" if source.bordered == 1 else f"{source.bordered} patches"
        messages.append(f"A border of one value was left out in {where}.")
    if not len(places):
        messages.append(without_patch(height, width, size, binning))
    elif not counted.any():
        messages.append("No patch is at least half unmasked.")
    elif math.isnan(expected):
        or_border = ", or show little but the mask's border" if some_masked else ""
        messages.append(f"All patches are constant{or_border}.")
    status = verdicts.status_of(expected, of_patches, certainties, focus.sure_certainty, limit)
    if is_too_small(height, width, size, binning):
        status = TOO_SMALL.key
    messages += hints_of(status, surest)
    return FocusResult(
        **found,
        mean_certainty=float(certainties[counted].mean()) if counted.any() else 0.0,
        weighted_certainty=certainty.weighted_certainty(certainties),
        status=status,
        message=" ".join(messages),
        saturated_fraction=statistics.saturated_fraction,
        contrast=plane_contrast(*np.concatenate(contrasts, axis=1)),
        height=height,
        width=width,
        patch_positions=places,
    )


def hints_of(status: str, surest: Optional[SurestPatches]) -> List[str]:
    """Give what is to be said of a plane of a status; `surest` are its patches if need be."""
    hint = surest.hint if surest is not None and status == OUT_OF_FOCUS.key else ""
    return [hint] if hint else []


def summed_up(
    probabilities: Float64Array,
    certainties: Float64Array,
    stands_for: Float64Array,
    patch_size: int,
    binning: int,
    optics: Optional[Optics],
    models: Optics,
) -> Dict[str, Any]:
    """Give what a `FocusResult` says of patches, and of the plane through their weighted mean.

    Parameters
    ----------
    probabilities, certainties : (n, K) and (n,) array
        Of the patches.
    stands_for : (n,) array
        Patches of the plane that each one stands for. In the plane's probabilities they weigh as
        `certainty.weights_of` has it.
    patch_size : int
        Of the model.
    binning : int
        Pixels of the image for one of the model.
    optics : Optics or None
        Of the image.
    models : Optics
        Of the model, which calls what is as wide as a point in focus of them level 0.

    Returns
    -------
    dict
        Attributes of `FocusResult` by name.
    """
    weights = stands_for * certainty.weights_of(certainties)
    overall = certainty.aggregate(probabilities, weights)
    expected = float(certainty.expected_level(overall))
    blur = BLUR_PX_PER_LEVEL * expected * binning
    distance_um = math.nan
    if optics is not None:
        widest_px = BLUR_PX_PER_LEVEL * binning * max(WIDEST_FOCUS_LEVELS, models.level(0.0))
        distance_um = optics.defocus_of_added_blur(blur, widest_px=widest_px)
    return {
        "level": float(certainty.level(overall)),
        "expected_level": expected,
        "probabilities": overall,
        "product_probabilities": certainty.product(probabilities),
        "certainty": float(certainty.certainty(overall)),
        "max_certainty": float(certainties.max(initial=0)),
        "blur_diameter_px": blur,
        "defocus_um": distance_um,
        "patch_size_px": float(patch_size * binning),
        "binning": binning,
        "patch_levels": certainty.level(probabilities),
        "patch_expected_levels": certainty.expected_level(probabilities),
        "patch_certainties": certainties,
        "patch_probabilities": probabilities,
    }


def measure_at(
    plane: ArrayLike,
    centres: ArrayLike,
    model: ModelLike = None,
    *,
    optics: Optional[Optics] = None,
    rescale: Rescaling = "auto",
    mask: Optional[ArrayLike] = None,
) -> PointsResult:
    """Measure the focus around points of a plane, such as the cells in it.

    Parameters
    ----------
    plane : (height, width) array
        As for `measure_focus`; mirrored beyond its borders, so that any size will do.
    centres : (n, 2) array
        y and x in pixels, (0, 0) being the middle of the upper left pixel; within the plane.
    model, optics, rescale, mask
        As for `measure_focus`.

    Returns
    -------
    PointsResult

    Raises
    ------
    ImageError, SettingsError, ModelNotFoundError, ModelError
        As `measure_focus`; `SettingsError` also for a point outside the plane.
    """
    used = as_model(model)
    binning, _ = binning_of(optics, used.description.optics, rescale)
    source = PlaneInMemory(plane, mask)
    points = tiles.checked_centres(centres, source.shape)

    def cut(points: NDArray[Any], side: int) -> Patches:
        return binned(*source.cut(points, side, by=tiles.cut_centred), binning)

    side = used.description.patch_size * binning
    probabilities, _ = _predict(used, cut, points, side, source.type_max)
    return PointsResult(
        levels=certainty.level(probabilities),
        expected_levels=certainty.expected_level(probabilities),
        certainties=certainty.certainty(probabilities),
        probabilities=probabilities,
    )


def _predict(
    model: FocusModel,
    cut: Callable[[NDArray[Any], int], Patches],
    places: NDArray[Any],
    side: int,
    type_max: float,
    seen: Optional[_Seen] = None,
) -> Tuple[Float64Array, NDArray[np.bool_]]:
    """Give the probabilities of patches of a side, and which are at least half unmasked.

    Whatever is `seen` is told of patches, their masks and certainties.
    """
    probabilities = np.empty((len(places), model.description.levels))
    counted = np.ones(len(places), np.bool_)
    # The same blocks whatever the source: BLAS rounds by where a row stands in its matrix.
    at_a_time = max(1, min(_BLOCK, _BLOCK_PIXELS // side**2))
    for start in range(0, len(places), at_a_time):
        block = slice(start, start + at_a_time)
        patches, masks = cut(places[block], side)
        if masks is not None:
            counted[block] = half_unmasked(masks)
        found = model.predict(patches, masks=masks, type_max=type_max)
        probabilities[block] = found
        if seen is not None:
            seen(patches, masks, certainty.certainty(found))
    return probabilities, counted


def is_too_small(height: int, width: int, patch_size: int, binning: int) -> bool:
    """Tell whether a plane has no patch, as it is binned."""
    return min(height, width) < patch_size * binning


def without_patch(height: int, width: int, patch_size: int, binning: int) -> str:
    """Say in a sentence that a plane has no patch."""
    shape, need = f"{height} x {width} pixels", f"a patch needs {patch_size} x {patch_size}"
    if min(height, width) < patch_size:
        return f"The image has {shape}; {need}."
    left = f"{height // binning} x {width // binning}"
    return f"The image has {shape}, {left} at the model's sampling; {need}."
