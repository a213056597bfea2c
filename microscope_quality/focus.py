"""Measure the focus of a plane, of a stack of planes, or at points of a plane."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality import certainty, tiles
from microscope_quality.arguments import (
    as_a,
    as_array,
    as_count,
    as_flag,
    as_floats,
    as_iterator,
    as_list,
    as_number,
    as_numbers,
    as_shape,
    shown,
    shown_path,
    told,
)
from microscope_quality.errors import ArgumentError, ImageError, SettingsError
from microscope_quality.model import FocusModel, half_unmasked
from microscope_quality.optics import BLUR_PX_PER_LEVEL, Optics

Float64Array = NDArray[np.float64]
ModelLike = Union[FocusModel, str, "os.PathLike[str]", None]

# `sure_certainty` is set so that this share of empty patches reaches it; an image has content when
# chance alone would make so many patches sure in this share of empty images at most.
SURE_EMPTY_PATCHES = 0.001
SURE_EMPTY_IMAGES = 0.01
# An image is mixed when more than this share of its sure patches lies further from its level.
MIXED_SHARE = 0.2
MIXED_LEVELS = 2
# An image this many times coarser than the model's sampling cannot be interpolated to it.
COARSEST = 4.0
# An image this many times finer looks about half a level more blurred than it is, and then more.
FINER = 1.25
# Planes of a stack that lie within these levels of the lowest one place the best position, and
# can be the best plane.
NEAR_BEST_LEVELS = 2.0
AS_GOOD_LEVELS = 0.25

# Patches measured at a time, and their pixels: bounds the memory of an image of any size.
_BLOCK = 1024
_BLOCK_PIXELS = 2**23
# Beyond, sums over an image overflow.
_LARGE = 1e100
_MOST_LEVEL = 1e6


@dataclass(frozen=True, eq=False, repr=False)
class FocusResult:
    """The focus of a plane.

    Attributes
    ----------
    level : float
        Most probable defocus level, 0 (in focus) to K - 1, the lower one of a tie; NaN when no
        patch has probabilities.
    expected_level : float
        Mean of the level over `probabilities`; NaN likewise.
    probabilities : (K,) array of float64
        Certainty-weighted mean of the patches' probabilities.
    product_probabilities : (K,) array of float64
        Normalised product of the patches' probabilities.
    certainty : float
        Of `probabilities`, 0 to 1; 0 when undefined.
    mean_certainty, max_certainty, weighted_certainty : float
        Mean, maximum and certainty-weighted mean of the certainties of the patches that are at
        least half unmasked; 0 without any.
    status : str
        ``"no_content"``, ``"mixed"``, ``"in_focus"`` or ``"out_of_focus"``, the first that applies.
    message : str
        What the caller should know about the measurement, in sentences; mostly empty.
    blur_diameter_px : float
        Blur disc of the expected level, in the image's own pixels; at the last level it means "at
        least". NaN when the level is.
    defocus_um : float
        Distance from focus in µm, without a sign; NaN without optics.
    saturated_fraction : float
        Share of the unmasked pixels at the largest value of the type, or of a 10, 12 or 14 bit
        camera when that is the image's maximum; NaN for floats.
    height, width : int
        Of the plane, in pixels.
    patch_size_px : float
        Side of a patch in the image's own pixels: the model's, unless the image was rescaled.
    patch_positions : (n, 2) array of int
        y and x of the patches' upper left pixels, in the image's own pixels.
    patch_levels, patch_expected_levels, patch_certainties : (n,) array of float64
        Of each patch; levels are NaN and certainties 0 for constant and mostly masked ones.
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
    height: int
    width: int
    patch_size_px: float
    patch_positions: NDArray[np.intp]
    patch_levels: Float64Array
    patch_expected_levels: Float64Array
    patch_certainties: Float64Array
    patch_probabilities: Float64Array

    def __repr__(self) -> str:
        """Tell the outcome; the arrays would fill screens."""
        return (
            f"<FocusResult: level {self.level:g}, expected {self.expected_level:.2f}, "
            f"certainty {self.certainty:.2f}, {self.status}, {len(self.patch_levels)} patches>"
        )

    def to_row(self) -> Dict[str, Union[int, float, str]]:
        """Give the columns of a results table that a plane itself determines, by name."""
        names = (
            "width height level expected_level certainty mean_certainty max_certainty "
            "weighted_certainty status blur_diameter_px defocus_um saturated_fraction"
        )
        row: Dict[str, Union[int, float, str]] = {n: getattr(self, n) for n in names.split()}
        row.update((f"p{k}", float(p)) for k, p in enumerate(self.probabilities))
        return row


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
        if self.best_plane is not None:
            return self.results[self.best_plane]
        with_content = [r for r in self.results if r.status != "no_content"]
        return min(with_content or self.results[:1], key=lambda result: result.expected_level)


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A plane as the network shall see it."""

    pixels: NDArray[Any]
    unmasked: Optional[NDArray[np.bool_]]
    type_max: float
    # Pixels of the network's for a pixel of the image's own, as rounded to whole pixels down and
    # across, and as the optics say.
    scale: Tuple[float, float]
    sampling: float
    saturated_fraction: float
    messages: Tuple[str, ...]


class _Bands:
    """Patches and statistics of a plane that is read in bands of rows, each band once.

    The numbers are the same as those of the plane in memory.
    """

    def __init__(self, plane: Any, size: int) -> None:
        self.plane = plane
        self.dtype = np.dtype(plane.dtype)
        self.unfinite = 0
        self.largest = -math.inf
        self._size = size
        self._band: NDArray[Any] = np.empty((0, 0))
        self._top = -1
        self._seen = 0  # rows
        self._highest, self._at_highest = 0, 0

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Rows of the plane, which later calls may overlap but not leave out."""
        band = as_measured(np.asarray(self.plane[top:bottom, :]))
        self._count(band[max(self._seen - top, 0) :])
        self._seen = max(self._seen, bottom)
        return band

    def cut(
        self, places: NDArray[Any], size: int
    ) -> Tuple[NDArray[Any], Optional[NDArray[np.bool_]]]:
        """Patches and, when some of their pixels are not finite, which are; as `tiles.cut`."""
        parts = []
        for top in np.unique(places[:, 0]).tolist():
            if top != self._top:
                self._band, self._top = self.read(top, top + size), top
            row = places[places[:, 0] == top]
            parts.append(tiles.cut(self._band, row - [top, 0], size))
        patches = np.concatenate(parts)
        if patches.dtype.kind != "f":
            return patches, None
        finite = np.isfinite(patches)
        return patches, None if finite.all() else finite

    def read_all(self) -> None:
        """Read what has no patch, for the statistics."""
        for top in range(self._seen, self.plane.shape[0], self._size):
            self.read(top, min(top + self._size, self.plane.shape[0]))

    @property
    def saturated_fraction(self) -> float:
        """As `FocusResult.saturated_fraction`."""
        if self.dtype.kind == "f":
            return math.nan
        return self._at_highest / math.prod(map(int, self.plane.shape))

    def _count(self, rows: NDArray[Any]) -> None:
        if not rows.size:
            return
        if self.dtype.kind == "f":
            finite = np.isfinite(rows)
            self.unfinite += rows.size - int(np.count_nonzero(finite))
            self.largest = max(self.largest, float(np.max(rows, where=finite, initial=-math.inf)))
            return
        highest = int(rows.max())
        if highest > self._highest:
            self._highest, self._at_highest = highest, 0
        if highest == self._highest and highest in saturated_values(self.dtype):
            self._at_highest += int(np.count_nonzero(rows == highest))


def measure_focus(
    plane: ArrayLike,
    model: ModelLike = None,
    *,
    optics: Optional[Optics] = None,
    rescale: bool = False,
    mask: Optional[ArrayLike] = None,
    in_focus_limit: float = 1.0,
) -> FocusResult:
    """Measure how far a plane is out of focus.

    Parameters
    ----------
    plane : (height, width) array
        Of any integer or float type and scale. Three channels, (height, width, 3), are one grey
        image when they are equal. NaN and infinite pixels are left out like masked ones, and
        so are those of a `numpy.ma.MaskedArray`. An array that is not in memory, with `shape`,
        `dtype`, `ndim` and pairs of slices (of zarr, HDF5, dask, a `numpy.memmap`, or a
        `files.lazy.LazyPlane`), is read in bands of rows, whatever its size, for the same numbers;
        with `rescale` or a mask it is read whole.
    model : FocusModel, str or path, optional
        A model, or the name or folder of one; by default the one that comes with the library.
    optics : Optics, optional
        Of the image; gives `FocusResult.defocus_um`.
    rescale : bool
        Bring the image to the sampling that the model knows, which needs `optics`: equal
        pixel size * NA / wavelength. A finer image is averaged over areas; a coarser one is
        interpolated by cubic splines, and the message says so.
    mask : (height, width) array, optional
        True (not 0) where a pixel counts. A patch is measured when at least half of it counts.
    in_focus_limit : float
        The highest level that is in focus.

    Returns
    -------
    FocusResult
        Without a patch to judge (a side shorter than a patch, all masked, or constant) its level
        is NaN, its status ``"no_content"``, and its message says why.

    Raises
    ------
    ImageError
        For an array without pixels, not of two dimensions, of different colour channels, or that
        is boolean, complex or no numbers.
    SettingsError
        For a mask of another shape, `rescale` without optics, a sampling over 4 times coarser
        than the model's, a limit that is no level, or an argument of a wrong kind.
    ModelNotFoundError, ModelError
        As `FocusModel.from_pretrained`.
    """
    used = as_model(model)
    limit = checked_limit(in_focus_limit, used)
    size = used.description.patch_size
    if is_lazy(plane) and not as_flag("rescale", rescale) and mask is None:
        prepared, places, probabilities, counted = _in_bands(plane, used, optics)
        shape: Tuple[int, int] = plane.shape  # type: ignore[union-attr]
        height, width = shape
    else:
        prepared, (height, width) = _prepare(plane, used, optics, rescale, mask)
        shape = prepared.pixels.shape[0], prepared.pixels.shape[1]
        places = tiles.positions(*shape, size)
        probabilities, counted = _predict(used, prepared, places, tiles.cut)
    levels = certainty.level(probabilities)
    certainties = certainty.certainty(probabilities)
    overall = certainty.aggregate(probabilities, certainties)
    level = float(certainty.level(overall))
    expected = float(certainty.expected_level(overall))
    blur = BLUR_PX_PER_LEVEL * expected / prepared.sampling

    messages = list(prepared.messages)
    if not len(places):
        seen = "" if prepared.sampling == 1 else " at the model's sampling"
        messages.append(
            f"The image has {' x '.join(map(str, shape))} pixels{seen}; "
            f"a patch needs {size} x {size}."
        )
    elif not counted.any():
        messages.append("No patch is at least half unmasked.")
    elif math.isnan(level):
        messages.append("All patches are constant.")
    own_places = np.floor(places / prepared.scale + 0.5).astype(np.intp)
    return FocusResult(
        level=level,
        expected_level=expected,
        probabilities=overall,
        product_probabilities=certainty.product(probabilities),
        certainty=float(certainty.certainty(overall)),
        mean_certainty=float(certainties[counted].mean()) if counted.any() else 0.0,
        max_certainty=float(certainties.max(initial=0)),
        weighted_certainty=certainty.weighted_certainty(certainties),
        status=status_of(level, levels, certainties, used.description.sure_certainty, limit),
        message=" ".join(messages),
        blur_diameter_px=blur,
        defocus_um=math.nan if optics is None else float(optics.defocus_um(blur)),
        saturated_fraction=prepared.saturated_fraction,
        height=height,
        width=width,
        patch_size_px=size / prepared.sampling,
        patch_positions=own_places,
        patch_levels=levels,
        patch_expected_levels=certainty.expected_level(probabilities),
        patch_certainties=certainties,
        patch_probabilities=probabilities,
    )


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
    return best_of(results, limit)


def best_of(results: Sequence[FocusResult], limit: float) -> StackResult:
    """Give what `best_plane` gives, of results or of what has their level and status."""
    # Planes without content are infinitely far from focus.
    expected = np.array(
        [math.inf if r.status == "no_content" else r.expected_level for r in results]
    )
    focused = [math.isfinite(e) and r.level <= limit for e, r in zip(expected, results)]
    lowest = int(np.argmin(np.where(focused, expected, math.inf) if any(focused) else expected))
    if not any(focused):
        level = float(expected[lowest])
        return StackResult(
            best_plane=None,
            best_position=None,
            expected_level=level if math.isfinite(level) else math.nan,
            status=results[lowest].status,
            results=tuple(results),
        )
    as_good = _run((expected <= expected[lowest] + AS_GOOD_LEVELS) & focused, lowest)
    near = _run(expected <= expected[lowest] + NEAR_BEST_LEVELS, lowest)
    window = range(max(near[0] - 1, 0), min(near[-1] + 2, len(expected)))
    position = _vertex([k for k in window if math.isfinite(expected[k])], expected)
    if position is None:
        position = (as_good[0] + as_good[-1]) / 2
    best = min(as_good, key=lambda plane: abs(plane - position))
    return StackResult(
        best_plane=best,
        best_position=position,
        expected_level=float(expected[best]),
        status=results[best].status,
        results=tuple(results),
    )


def measure_at(
    plane: ArrayLike,
    centres: ArrayLike,
    model: ModelLike = None,
    *,
    optics: Optional[Optics] = None,
    rescale: bool = False,
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
    prepared, shape = _prepare(plane, used, optics, rescale, mask)
    points = tiles.checked_centres(centres, shape)
    scaled = (points + 0.5) * prepared.scale - 0.5
    probabilities, _ = _predict(used, prepared, scaled, tiles.cut_centred)
    return PointsResult(
        levels=certainty.level(probabilities),
        expected_levels=certainty.expected_level(probabilities),
        certainties=certainty.certainty(probabilities),
        probabilities=probabilities,
    )


def is_lazy(plane: Any) -> bool:
    """Tell whether an array of two dimensions is not in memory, and so read in parts."""
    if isinstance(plane, np.memmap):
        return plane.ndim == 2 and plane.dtype.kind in "iuf"
    if isinstance(plane, (np.ndarray, np.generic, list, tuple)):
        return False
    return (
        getattr(plane, "ndim", None) == 2
        and isinstance(getattr(plane, "shape", None), tuple)
        and hasattr(plane, "__getitem__")
        and isinstance(getattr(plane, "dtype", None), np.dtype)
        and plane.dtype.kind in "iuf"
        and 0 not in plane.shape
    )


def as_plane(
    plane: ArrayLike, mask: Optional[ArrayLike] = None
) -> Tuple[NDArray[Any], Optional[NDArray[np.bool_]]]:
    """Give an image's grey values and which of its pixels count.

    Parameters
    ----------
    plane, mask : array
        As for `measure_focus`.

    Returns
    -------
    pixels : (height, width) array
        Of the image's own type; extended precision as float64.
    unmasked : (height, width) array of bool, or None
        True where `mask` is, the pixel is finite, and not masked by a `numpy.ma.MaskedArray`;
        None when all are.

    Raises
    ------
    ImageError, SettingsError
        As `measure_focus`.
    """
    pixels = as_array("An image", plane, error=ImageError)
    if pixels.dtype.kind == "b":
        raise ImageError(
            "A boolean array is a mask, not an image: its edges are sharp whatever the focus."
        )
    if isinstance(plane, (str, os.PathLike)):
        raise ImageError(
            f"{shown_path(plane)} names a file: read it first, such as with tifffile.imread."
        )
    if pixels.dtype.kind not in "iuf":
        raise ImageError(
            f"An image must be an array of integers or floats, not {told(plane, pixels)}."
        )
    if pixels.size == 0:
        raise ImageError(f"An image needs pixels; this array has the shape {pixels.shape}.")
    hidden: Optional[NDArray[np.bool_]] = None
    if isinstance(plane, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(plane)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        first = pixels[..., :1]
        equal = (pixels == first) | (pixels != pixels) & (first != first)
        if not equal.all():
            raise ImageError(
                "The three colour channels differ: measure one of them, such as image[..., 0], "
                "or their luminance."
            )
        pixels = pixels[..., 0]
        hidden = None if hidden is None else np.any(hidden, axis=2)
    if pixels.ndim != 2:
        raise ImageError(
            f"An image must have two dimensions; this array has the shape {pixels.shape}. Give "
            "one plane or channel of it, or all planes to measure_stack."
        )
    pixels = as_measured(pixels)
    if mask is None and hidden is None and pixels.dtype.kind != "f":
        return pixels, None
    unmasked = np.ones(pixels.shape, np.bool_)
    if mask is not None:
        unmasked = as_numbers("The mask", mask) != 0
    if unmasked.shape != pixels.shape:
        raise SettingsError(
            f"The mask must have the image's shape {pixels.shape}, not {unmasked.shape}."
        )
    if hidden is not None:
        unmasked &= ~hidden
    if pixels.dtype.kind == "f":
        unmasked &= np.isfinite(pixels)
    return pixels, None if unmasked.all() else unmasked


def resample(plane: NDArray[Any], shape: Tuple[int, int]) -> Float64Array:
    """Bring a plane to another number of pixels over the same area.

    Along an axis that gets fewer pixels, each is the mean over exactly the area that it covers,
    with fractions of pixels; along one that gets more, cubic splines interpolate.

    Parameters
    ----------
    plane : (height, width) array
        Of finite numbers.
    shape : (int, int)
        The new height and width, 1 at least.

    Returns
    -------
    array of float64
        Of that shape.

    Raises
    ------
    ImageError
        For a plane that is none, or has values that are not finite.
    SettingsError
        For a shape that is none.
    """
    shape = as_shape("shape", shape)
    pixels = as_floats("plane", plane, shape=(None, None), error=ImageError)
    if not pixels.size or not np.isfinite(pixels).all():
        raise ImageError("A plane to resample must have pixels, and finite ones.")
    pixels, exponent = scaled_down(pixels)
    for axis, length in enumerate(shape):
        if length < pixels.shape[axis]:
            pixels = _area_mean(pixels, length, axis)
    if shape != pixels.shape:
        # Imported where it is used: few images are coarser than the model's sampling.
        from scipy import ndimage

        zoom = [new / old for new, old in zip(shape, pixels.shape)]
        pixels = ndimage.zoom(pixels, zoom, order=3, mode="reflect", grid_mode=True)
    return _scaled_up(pixels, exponent)


def scaled_down(pixels: NDArray[Any]) -> Tuple[Float64Array, int]:
    """Give an image without values whose sums overflow, and the power of 2 that it lacks."""
    floats = as_floats("pixels", pixels, error=ImageError)
    highest = float(np.max(np.abs(floats), where=np.isfinite(floats), initial=0))
    if highest < _LARGE:
        return floats, 0
    exponent = math.frexp(highest)[1]
    return np.ldexp(floats, -exponent), exponent


def _scaled_up(pixels: Float64Array, exponent: int) -> Float64Array:
    """Undo `scaled_down`; what interpolation took beyond floats is the largest one."""
    if not exponent:
        return pixels
    largest = math.ldexp(float(np.finfo(np.float64).max), -exponent)
    return np.ldexp(np.clip(pixels, -largest, largest), exponent)


def sure_by_chance(patches: int) -> int:
    """Give how many patches of an empty image may be sure by chance.

    Parameters
    ----------
    patches : int
        Number of patches with probabilities.

    Returns
    -------
    int
        The least number that an empty image's count of sure patches, binomial with a chance of
        1 in 1,000 each, exceeds in at most 1 % of all cases.
    """
    patches = as_count("patches", patches, 0, 10**9)
    sure, share = -1, 0.0
    while share < 1 - SURE_EMPTY_IMAGES:
        sure += 1
        # Through logarithms, as the powers of large images underflow.
        share += math.exp(
            math.lgamma(patches + 1)
            - math.lgamma(sure + 1)
            - math.lgamma(patches - sure + 1)
            + sure * math.log(SURE_EMPTY_PATCHES)
            + (patches - sure) * math.log1p(-SURE_EMPTY_PATCHES)
        )
    return sure


def as_model(model: ModelLike) -> FocusModel:
    """Give the model that an argument of `measure_focus` names."""
    if isinstance(model, FocusModel):
        return model
    if model is not None and not isinstance(model, (str, os.PathLike)):
        raise ArgumentError(
            f"model must be a FocusModel, or the name or folder of one, not {shown(model)}."
        )
    return FocusModel.from_pretrained(model)


def checked_limit(limit: float, model: FocusModel) -> float:
    """Give the in-focus limit, or raise `SettingsError` when it is no level of the model."""
    highest = as_a(FocusModel, "model", model).description.levels - 1
    return as_number("in_focus_limit", limit, 0, highest)


def _prepare(
    plane: ArrayLike,
    model: FocusModel,
    optics: Optional[Optics],
    rescale: bool,
    mask: Optional[ArrayLike],
) -> Tuple[_Prepared, Tuple[int, int]]:
    messages = messages_of_optics(optics, model, rescale)
    pixels, unmasked = as_plane(plane, mask)
    height, width = pixels.shape
    type_max = largest_value(pixels.dtype)
    if pixels.dtype.kind == "f":
        wrong = pixels.size - np.count_nonzero(np.isfinite(pixels))
        largest = 0.0
        if model.description.normalisation == "type_range":
            largest = np.max(pixels, where=True if unmasked is None else unmasked, initial=0)
        messages = _messages_of_floats(wrong, float(largest), model) + messages
    saturated = _saturated_fraction(pixels, unmasked)
    scale, sampling = (1.0, 1.0), 1.0
    if rescale and optics is not None:
        sampling, more = sampling_of(optics, model)
        messages += more
        shape = max(1, round(height * sampling)), max(1, round(width * sampling))
        if shape != (height, width):
            pixels, unmasked = resample_unmasked(pixels, unmasked, shape)
            scale = (shape[0] / height, shape[1] / width)
    prepared = _Prepared(pixels, unmasked, type_max, scale, sampling, saturated, tuple(messages))
    return prepared, (height, width)


def _in_bands(
    plane: Any, model: FocusModel, optics: Optional[Optics]
) -> Tuple[_Prepared, NDArray[np.intp], Float64Array, NDArray[np.bool_]]:
    """Give what `_prepare`, `tiles.positions` and `_predict` do, of a plane read band by band."""
    messages = messages_of_optics(optics, model, rescale=False)
    size = model.description.patch_size
    height, width = plane.shape
    places = tiles.positions(height, width, size)
    bands = _Bands(plane, size)
    type_max = largest_value(bands.dtype)
    probabilities = np.empty((len(places), model.description.levels))
    counted = np.ones(len(places), np.bool_)
    # The same blocks as in memory: BLAS rounds by where a row stands in its matrix.
    at_a_time = _patches_at_a_time(size)
    for start in range(0, len(places), at_a_time):
        block = slice(start, start + at_a_time)
        patches, masks = bands.cut(places[block], size)
        if masks is not None:
            counted[block] = half_unmasked(masks)
        probabilities[block] = model.predict(patches, masks=masks, type_max=type_max)
    bands.read_all()
    if bands.dtype.kind == "f":
        messages = _messages_of_floats(bands.unfinite, bands.largest, model) + messages
    prepared = _Prepared(
        np.empty((0, 0)),
        None,
        type_max,
        (1.0, 1.0),
        1.0,
        bands.saturated_fraction,
        tuple(messages),
    )
    return prepared, places, probabilities, counted


def _patches_at_a_time(size: int) -> int:
    return max(1, min(_BLOCK, _BLOCK_PIXELS // size**2))


def as_measured(pixels: NDArray[Any]) -> NDArray[Any]:
    """Bring extended precision to float64; what is beyond it is infinite."""
    pixels = as_numbers("pixels", pixels, error=ImageError)
    if pixels.dtype.itemsize <= 8:
        return pixels
    with np.errstate(over="ignore"):
        return pixels.astype(np.float64)


def largest_value(dtype: Any) -> float:
    """Give the largest value of an image's type, as `FocusModel.predict` takes it."""
    as_a(np.dtype, "dtype", dtype)
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def _messages_of_floats(unfinite: int, largest: float, model: FocusModel) -> List[str]:
    messages = []
    if unfinite:
        messages.append(f"NaN and infinite pixels were left out: {unfinite}.")
    if model.description.normalisation == "type_range" and largest > 1:
        messages.append("This model takes floats to lie in 0 to 1; larger ones were clipped.")
    return messages


def messages_of_optics(optics: Optional[Optics], model: FocusModel, rescale: bool) -> List[str]:
    """Give what is to be said of optics, and refuse what is none."""
    if optics is not None:
        as_a(Optics, "optics", optics)
    as_a(FocusModel, "model", model)
    if as_flag("rescale", rescale) and optics is None:
        raise SettingsError("rescale=True needs the optics of the image.")
    if optics is None or rescale:
        return []
    finer = _sampling(model.description.optics) / _sampling(optics)
    if finer <= FINER:
        return []
    return [
        f"The image is sampled {finer:.3g} times more finely than the model's, which "
        "looks like blur to it; rescale to its sampling to take that out."
    ]


def sampling_of(optics: Optics, model: FocusModel) -> Tuple[float, List[str]]:
    """Give a model's pixels for a pixel of an image, and what is to be said of it.

    Raises
    ------
    SettingsError
        When the image is too coarse to be interpolated.
    """
    as_a(FocusModel, "model", model)
    sampling = _sampling(as_a(Optics, "optics", optics)) / _sampling(model.description.optics)
    if sampling > COARSEST:
        raise SettingsError(
            f"The image is sampled {sampling:.3g} times more coarsely than the model's; "
            f"rescaling goes up to {COARSEST:g} times. Are its optics right?"
        )
    if sampling <= 1.01:
        return sampling, []
    return sampling, [
        f"The image is sampled {sampling:.3g} times more coarsely than the model's and "
        "was interpolated; a slight defocus may not show."
    ]


def _sampling(optics: Optics) -> float:
    """Give the pixel size in units of the resolution, wavelength / NA."""
    return optics.pixel_size_um * optics.na / optics.wavelength_um


def resample_unmasked(
    pixels: NDArray[Any], unmasked: Optional[NDArray[np.bool_]], shape: Tuple[int, int]
) -> Tuple[Float64Array, Optional[NDArray[np.bool_]]]:
    """Bring a plane to another number of pixels, as `resample`, and tell which of them count."""
    if unmasked is None:
        return resample(pixels, shape), None
    floats = as_floats("pixels", pixels, shape=(None, None), error=ImageError)
    unmasked = as_numbers("unmasked", unmasked, shape=floats.shape, kinds="b")
    # Masked pixels take the others' mean, so that they neither ring nor overflow; what is left
    # of them in a new pixel is taken out again.
    floats = np.where(unmasked, floats, 0)
    if not np.isfinite(floats).all():
        raise ImageError("pixels must be finite wherever they are unmasked.")
    floats, exponent = scaled_down(floats)
    mean = floats[unmasked].mean() if unmasked.any() else 0.0
    values = np.where(unmasked, floats, mean) - mean
    share = np.clip(resample(unmasked, shape), 0, 1)
    inside = share >= 0.5
    resampled = resample(values, shape)
    restored = mean + resampled / np.where(inside, share, 1)
    return _scaled_up(restored, exponent), inside


def _area_mean(pixels: Float64Array, length: int, axis: int) -> Float64Array:
    along = np.moveaxis(pixels, axis, 0)
    # The integral from the border up to an edge is linear between pixels' borders. Means are of
    # differences from one value: sums of a large image with a large offset would lose digits.
    base = along[:1].mean()
    integral = np.zeros((len(along) + 1, along.shape[1]))
    np.cumsum(along - base, axis=0, out=integral[1:])
    edges = np.linspace(0, len(along), length + 1)
    whole = np.minimum(edges.astype(np.intp), len(along) - 1)
    part = (edges - whole)[:, np.newaxis]
    at_edges = integral[whole] * (1 - part) + integral[whole + 1] * part
    means = np.diff(at_edges, axis=0) * (length / len(along)) + base
    return np.moveaxis(means, 0, axis)


def _saturated_fraction(pixels: NDArray[Any], unmasked: Optional[NDArray[np.bool_]]) -> float:
    if pixels.dtype.kind == "f":
        return math.nan
    values = pixels if unmasked is None else pixels[unmasked]
    if not values.size:
        return math.nan
    highest = int(values.max())
    if highest not in saturated_values(pixels.dtype):
        return 0.0
    return float(np.count_nonzero(values == highest) / values.size)


def saturated_values(dtype: Any) -> Tuple[int, ...]:
    """Give the values that, as an image's largest, are those of saturated pixels."""
    if as_a(np.dtype, "dtype", dtype).kind not in "iu":
        raise ArgumentError(f"dtype must be of whole numbers, not {shown(dtype)}.")
    return int(np.iinfo(dtype).max), 2**10 - 1, 2**12 - 1, 2**14 - 1


def _predict(
    model: FocusModel,
    prepared: _Prepared,
    places: NDArray[Any],
    cut: Callable[[NDArray[Any], NDArray[Any], int], NDArray[Any]],
) -> Tuple[Float64Array, NDArray[np.bool_]]:
    """Give patches' probabilities, and which of them are at least half unmasked."""
    size = model.description.patch_size
    probabilities = np.empty((len(places), model.description.levels))
    counted = np.ones(len(places), np.bool_)
    at_a_time = _patches_at_a_time(size)
    for start in range(0, len(places), at_a_time):
        block = slice(start, start + at_a_time)
        patches = cut(prepared.pixels, places[block], size)
        masks = None
        if prepared.unmasked is not None:
            masks = cut(prepared.unmasked, places[block], size)
            counted[block] = half_unmasked(masks)
        probabilities[block] = model.predict(patches, masks=masks, type_max=prepared.type_max)
    return probabilities, counted


def status_of(
    level: float,
    levels: Float64Array,
    certainties: Float64Array,
    sure_certainty: float,
    limit: float,
    weights: Optional[Float64Array] = None,
) -> str:
    """Give the status of a plane, the first that applies; see `FocusResult.status`.

    Parameters
    ----------
    level : float
        Of the plane.
    levels, certainties : (n,) array
        Of its patches; levels are NaN for those without probabilities.
    sure_certainty : float
        The model's.
    limit : float
        The highest level that is in focus.
    weights : (n,) array, optional
        How many patches of the plane each of them stands for.
    """
    level = float(as_floats("level", level, shape=(), low=0, high=_MOST_LEVEL))
    levels = as_floats("levels", levels, shape=(None,), low=0, high=_MOST_LEVEL)
    certainties = as_floats("certainties", certainties, shape=levels.shape)
    sure_certainty = as_number("sure_certainty", sure_certainty)
    limit = as_number("limit", limit)
    if weights is not None:
        weights = as_floats("weights", weights, shape=levels.shape, low=0, high=1e15, nan=False)
    defined = ~np.isnan(levels)
    sure = defined & (certainties >= sure_certainty)
    if np.count_nonzero(sure) <= sure_by_chance(int(np.count_nonzero(defined))):
        return "no_content"
    far = np.abs(levels[sure] - level) > MIXED_LEVELS
    share = far.mean()
    if weights is not None and weights[sure].any():
        share = np.average(far, weights=weights[sure])
    if share > MIXED_SHARE:
        return "mixed"
    return "in_focus" if level <= limit else "out_of_focus"


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
