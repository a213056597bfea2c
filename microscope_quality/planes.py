"""Planes as they are measured: what is an image, which of its pixels count, and its patches."""

from __future__ import annotations

import math
import os
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality import tiles
from microscope_quality.arguments import as_a, as_array, as_numbers, shown_path, told
from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.masks import without_borders

Patches = Tuple[NDArray[Any], Optional[NDArray[np.bool_]]]

Cut = Callable[[NDArray[Any], NDArray[Any], int], NDArray[Any]]

# The highest values of an image that are counted; the highest one piles up when it occurs so often,
# and so many times as often as one expects.
_TOP_VALUES, _LEAST_PILE, _PILE = 16, 8, 5.0
# Beyond this, the sums of squares of an image overflow 64-bit floats.
_LARGEST = 1e100


class Statistics(NamedTuple):
    """What a plane's own pixels are like.

    Attributes
    ----------
    unfinite : int
        Number of pixels that are NaN or infinite.
    largest : float
        Largest value of a plane of floats, of the pixels that count; at least 0.
    saturated_fraction : float
        As `focus.FocusResult.saturated_fraction`.
    """

    unfinite: int
    largest: float
    saturated_fraction: float


class PlaneInMemory:
    """A plane as the network shall see it.

    Parameters
    ----------
    plane, mask : array
        As for `focus.measure_focus`.

    Attributes
    ----------
    shape : (int, int)
        Height and width in pixels.
    type_max : float
        As `model.FocusModel.predict` takes it.
    statistics : Statistics
        Of the pixels as they were given.
    bordered : int
        Patches of which a border of one value was left out, so far.
    """

    def __init__(self, plane: ArrayLike, mask: Optional[ArrayLike] = None) -> None:
        self._pixels, self._unmasked = as_plane(plane, mask)
        self.type_max = largest_value(self._pixels.dtype)
        counter = _Counter(self._pixels.dtype)
        counter.add(self._pixels, self._unmasked, whole=True)
        self.statistics = counter.statistics
        self.bordered = 0

    @property
    def shape(self) -> Tuple[int, int]:
        return self._pixels.shape[0], self._pixels.shape[1]

    def cut(self, places: NDArray[Any], size: int, by: Cut = tiles.cut) -> Patches:
        """Give patches and, unless all of the plane's pixels count, which of theirs do."""
        patches = by(self._pixels, places, size)
        masks = None if self._unmasked is None else by(self._unmasked, places, size)
        masks, bordered = without_borders(patches, masks)
        self.bordered += int(np.count_nonzero(bordered))
        return patches, masks


class PlaneInBands:
    """A plane that is not in memory, read in bands of rows, each band once.

    The numbers are the same as those of the plane in memory.

    Parameters
    ----------
    plane : array-like
        For which `is_lazy` is true.
    size : int
        Side of the patches, in pixels.

    Attributes
    ----------
    shape, type_max, bordered
        As of `PlaneInMemory`.
    """

    def __init__(self, plane: Any, size: int) -> None:
        self.plane = plane
        self.dtype = np.dtype(plane.dtype)
        self.shape: Tuple[int, int] = plane.shape
        self.type_max = largest_value(self.dtype)
        self._size = size
        self._band: NDArray[Any] = np.empty((0, 0))
        self._top = -1
        self._seen = 0  # rows
        self.bordered = 0
        self._counter = _Counter(self.dtype)

    def cut(self, places: NDArray[Any], size: int) -> Patches:
        """As `PlaneInMemory.cut`, row by row of the grid; calls may not go back to earlier rows."""
        parts = []
        for top in np.unique(places[:, 0]).tolist():
            if top != self._top:
                self._band, self._top = self._read(top, top + size), top
            row = places[places[:, 0] == top]
            parts.append(tiles.cut(self._band, row - [top, 0], size))
        patches = np.concatenate(parts)
        finite = np.isfinite(patches) if patches.dtype.kind == "f" else None
        masks, bordered = without_borders(
            patches, None if finite is None or finite.all() else finite
        )
        self.bordered += int(np.count_nonzero(bordered))
        return patches, masks

    @property
    def statistics(self) -> Statistics:
        """Those of the whole plane: what no patch needed is read now."""
        for top in range(self._seen, self.shape[0], self._size):
            self._read(top, min(top + self._size, self.shape[0]))
        return self._counter.statistics

    def _read(self, top: int, bottom: int) -> NDArray[Any]:
        """Rows of the plane, which later calls may overlap but not leave out."""
        band = as_measured(np.asarray(self.plane[top:bottom, :]))
        self._counter.add(band[max(self._seen - top, 0) :])
        self._seen = max(self._seen, bottom)
        return band


class _Counter:
    """Counts pixels for `Statistics`, part by part."""

    def __init__(self, dtype: Any) -> None:
        self._dtype = dtype
        self._unfinite, self._largest = 0, 0.0
        self._pixels, self._tops = 0, TopValues()

    def add(
        self,
        pixels: NDArray[Any],
        unmasked: Optional[NDArray[np.bool_]] = None,
        whole: bool = False,
    ) -> None:
        """Count some pixels, of which the unmasked ones are finite, or those of a whole plane."""
        if self._dtype.kind == "f":
            finite = np.isfinite(pixels)
            self._unfinite += pixels.size - int(np.count_nonzero(finite))
            where = finite if unmasked is None else unmasked
            self._largest = float(np.max(pixels, where=where, initial=self._largest))
            return
        values = pixels if unmasked is None else pixels[unmasked]
        self._pixels += values.size
        if whole and values.size:
            # Of most planes this is enough: so few pixels are no pile.
            top = values.max()
            count = int(np.count_nonzero(values == top))
            if count < _LEAST_PILE or top == np.iinfo(self._dtype).max:
                self._tops.include([(int(top), count)])
                return
        self._tops.add(values)

    @property
    def statistics(self) -> Statistics:
        share = math.nan
        if self._dtype.kind != "f" and self._pixels:
            share = self._tops.saturated(self._dtype) / self._pixels
        return Statistics(self._unfinite, self._largest, share)


class TopValues:
    """The highest values of whole numbers, and how often each occurs, part by part.

    Attributes
    ----------
    counts : dict
        Number of pixels by value, for the 16 highest values that occur.
    """

    def __init__(self) -> None:
        self.counts: Dict[int, int] = {}

    def add(self, values: NDArray[Any]) -> None:
        """Count some values; once 16 are known, lower ones cost a comparison."""
        if not values.size:
            return
        top = int(values.max())
        if len(self.counts) == _TOP_VALUES:
            floor = min(self.counts)
            found = _counted(values[values >= floor]) if top >= floor else []
        else:
            # They are looked for in a span below the maximum that grows.
            lowest = int(values.min())
            span = max(_TOP_VALUES, (top - lowest) // 64)
            found = _counted(values[values >= max(lowest, top - span)])
            while len(found) < _TOP_VALUES and top - span > lowest:
                span *= 4
                found = _counted(values[values >= max(lowest, top - span)])
        self.include(found)

    def include(self, found: Iterable[Tuple[int, int]]) -> None:
        """Add values, and how often each of them occurs."""
        for value, count in found:
            self.counts[value] = self.counts.get(value, 0) + count
        self.counts = {v: self.counts[v] for v in sorted(self.counts)[-_TOP_VALUES:]}

    def saturated(self, dtype: Any) -> int:
        """Give how many of the values are those of saturated pixels of that type.

        The type's largest value is saturated. So is the highest value when it piles up: when it
        occurs 8 times or more, and 5 times as often as the next 15 make one expect. The expected
        number is their mean over all values that there could be, which are as far apart as the
        closest two.
        """
        if not self.counts:
            return 0
        *below, top = sorted(self.counts)
        count = self.counts[top]
        if top == np.iinfo(dtype).max:
            return count
        if not below or count < _LEAST_PILE:
            return 0
        step = min(high - low for low, high in zip(below, [*below[1:], top]))
        expected = sum(self.counts[value] for value in below) * step / (top - below[0])
        return count if count >= _PILE * expected else 0


def _counted(values: NDArray[Any]) -> List[Tuple[int, int]]:
    """Give the values that occur, and how often."""
    if values.itemsize == 1 and values.size:
        lowest = int(values.min())
        counts = np.bincount(values.astype(np.intp) - lowest)
        found = np.flatnonzero(counts)
        return list(zip((found + lowest).tolist(), counts[found].tolist()))
    distinct, counts = np.unique(values, return_counts=True)
    return list(zip(distinct.tolist(), counts.tolist()))


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
    leading: Any = plane[0] if isinstance(plane, (list, tuple)) and plane else plane
    if isinstance(leading, (str, os.PathLike)):
        raise ImageError(
            f"{shown_path(leading)} names a file: read it first, such as with tifffile.imread, or "
            "give its path to measure_files or rate_files."
        )
    pixels = as_array("An image", plane, error=ImageError)
    if pixels.dtype.kind == "b":
        raise ImageError(
            f"An image must have grey values; this array of shape {pixels.shape} is boolean, as a "
            "mask is, whose edges are sharp whatever the focus. Give the image itself, and a mask "
            "of it as `mask`."
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


def as_measured(pixels: NDArray[Any]) -> NDArray[Any]:
    """Bring extended precision to float64; what is beyond it is infinite."""
    pixels = as_numbers("pixels", pixels, error=ImageError)
    if pixels.dtype.itemsize <= 8:
        return pixels
    with np.errstate(over="ignore"):
        return pixels.astype(np.float64)


def as_finite(plane: ArrayLike) -> Tuple[NDArray[Any], float, float]:
    """Give an image of which all pixels count, with its lowest and highest value.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type.

    Returns
    -------
    pixels : (height, width) array
        Of the plane's own type; no copy if it is an array.
    lowest, highest : float

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.
    """
    pixels = as_array("plane", plane, error=ImageError)
    if pixels.ndim != 2 or pixels.size == 0 or pixels.dtype.kind not in "buif":
        raise ImageError(
            "An image to measure must be two-dimensional, real and not empty, but is an array "
            f"of shape {pixels.shape} and type {pixels.dtype}."
        )
    lowest, highest = float(pixels.min()), float(pixels.max())
    if not (lowest >= -_LARGEST and highest <= _LARGEST):
        raise ImageError(
            f"An image to measure must be finite, from {-_LARGEST:g} to {_LARGEST:g}, but has "
            f"values from {lowest:g} to {highest:g}."
        )
    return pixels, lowest, highest


def largest_value(dtype: Any) -> float:
    """Give the largest value of an image's type, as `FocusModel.predict` takes it."""
    as_a(np.dtype, "dtype", dtype)
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
