"""Planes that stay in their file: what is read of them is what is asked for.

A lazy plane has the `shape`, `dtype` and `ndim` of an array, and gives arrays for pairs of slices.
So an image of any size is measured, sampled and drawn in little memory.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from microscope_quality.errors import FileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Pages of more pixels than this are read part by part, where the file allows it.
LAZY_PIXELS = 2**25

#: The largest part of a file, in bytes of memory, that is decoded at once for a lazy plane.
MAX_SEGMENT_BYTES = 2**27

#: Largest size in memory of a plane that is read whole, in bytes.
MAX_WHOLE_BYTES = 2**31

#: Decoded segments are kept up to this, or a little more than a row of them ...
_KEPT_BYTES = 2**27
#: ... up to this.
_MOST_KEPT_BYTES = 2**29

Read = Callable[[int, int, int, int], "NDArray[Any]"]
_Index = slice | int


def check_size(n_bytes: int, shape: Sequence[int], before: str = "", behind: str = "") -> None:
    """Refuse what is not to be read whole.

    Parameters
    ----------
    n_bytes, shape
        Of the pixels.
    before, behind
        What the message says besides.

    Raises
    ------
    FileError
        It would take more memory than is allowed.
    """
    if n_bytes > MAX_WHOLE_BYTES:
        raise FileError(
            f"{before}is too large: {' × '.join(map(str, shape))} pixels would take "
            f"{_gigabytes(n_bytes)} of memory, and {_gigabytes(MAX_WHOLE_BYTES)} are "
            f"allowed{behind}"
        )


def _gigabytes(n_bytes: int) -> str:
    gigabytes = n_bytes / 1e9
    return f"{gigabytes:,.0f} GB" if gigabytes >= 100 else f"{gigabytes:.3g} GB"


class LazyPlane:
    """A grey image that is read from its file slice by slice.

    Parameters
    ----------
    shape
        Height and width in pixels.
    dtype
        Of the pixels, in native byte order.
    read
        Gives the pixels of rows `top` to `bottom` and columns `left` to `right`, the ends
        excluded, as a new array; called with ``(top, bottom, left, right)`` within the plane.
    name
        Of the file, for messages.

    Attributes
    ----------
    shape, dtype, ndim
        As of a NumPy array.
    smaller : list of LazyPlane
        The same image at lower resolutions that the file holds too, the larger ones first.
    """

    ndim = 2

    def __init__(self, shape: Sequence[int], dtype: Any, read: Read, name: str) -> None:
        self.shape = (int(shape[0]), int(shape[1]))
        self.dtype = np.dtype(dtype).newbyteorder("=")
        self.smaller: list[LazyPlane] = []
        self._read = read
        self._name = name

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: _Index | tuple[_Index, _Index]) -> NDArray[Any]:
        """Pixels of a rectangle.

        Parameters
        ----------
        index
            Rows, or rows and columns: slices with a positive step, or numbers.

        Raises
        ------
        FileError
            They cannot be read.
        IndexError
            For another index, or a number outside the plane.
        """
        pair = index if isinstance(index, tuple) else (index, slice(None))
        if len(pair) != 2:
            raise IndexError(f"a plane takes two indices, not {len(pair)}")
        spans = [_span(one, length) for one, length in zip(pair, self.shape)]
        (top, bottom, down), (left, right, across) = spans
        if bottom <= top or right <= left:
            pixels = np.empty((max(bottom - top, 0), max(right - left, 0)), self.dtype)
        else:
            pixels = self._read(top, bottom, left, right)
        pixels = pixels[::down, ::across]
        for axis in (1, 0):
            if not isinstance(pair[axis], slice):
                pixels = pixels.take(0, axis=axis)
        return pixels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Pixels of the whole plane.

        Raises
        ------
        FileError
            It would take more memory than is allowed, or cannot be read.
        """
        check_size(math.prod(self.shape) * self.dtype.itemsize, self.shape, f"{self._name}: ")
        pixels = self[:, :]
        return pixels if dtype is None else pixels.astype(dtype, copy=False)

    def reduced(self, side: int) -> LazyPlane:
        """The lowest resolution in the file of which the longer side is at least `side` pixels."""
        fitting = [one for one in [self, *self.smaller] if max(one.shape) >= side]
        return min(fitting, key=lambda one: max(one.shape), default=self)


class Segments:
    """Reads rectangles of a plane that is stored in a grid of equal segments (tiles, strips).

    Decoded segments are kept, the latest used ones within a bound that a row of segments fits
    into: bands of rows and places near each other then decode each segment once. Where a row of
    segments is too large for that, as many of its segments as fit are kept.

    Parameters
    ----------
    shape
        Height and width of the plane, in pixels.
    segment
        Height and width of a segment; those at the lower and right border may be cut.
    dtype
        Of the pixels.
    decode
        Gives the pixels of the segments at the given places (row, column) of the grid, one after
        the other, each an array as large as the part of it that lies in the plane.
    """

    def __init__(
        self,
        shape: Sequence[int],
        segment: Sequence[int],
        dtype: Any,
        decode: Callable[[list[tuple[int, int]]], Iterator[NDArray[Any]]],
    ) -> None:
        self._shape, self._segment = (shape[0], shape[1]), (segment[0], segment[1])
        self._dtype = np.dtype(dtype).newbyteorder("=")
        self._decode = decode
        self._kept: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._kept_bytes = 0
        # Some segments stand out over the border.
        row = segment[0] * (shape[1] + segment[1]) * self._dtype.itemsize
        self._most_bytes = min(max(_KEPT_BYTES, row * 5 // 4), _MOST_KEPT_BYTES)

    def __call__(self, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        """Pixels of a rectangle; see `LazyPlane`."""
        high, wide = self._segment
        rows = range(top // high, -(-bottom // high))
        columns = range(left // wide, -(-right // wide))
        pixels = np.empty((bottom - top, right - left), self._dtype)

        def put(at: tuple[int, int], segment: NDArray[Any]) -> None:
            y, x = at[0] * high, at[1] * wide
            part = segment[max(top - y, 0) : bottom - y, max(left - x, 0) : right - x]
            y, x = max(y - top, 0), max(x - left, 0)
            pixels[y : y + part.shape[0], x : x + part.shape[1]] = part

        missing = []
        for at in ((row, column) for row in rows for column in columns):
            if at in self._kept:
                self._kept.move_to_end(at)
                put(at, self._kept[at])
            else:
                missing.append(at)
        for at, segment in zip(missing, self._decode(missing)):
            put(at, segment)
            self._keep(at, segment, rows[-1])
        return pixels

    def _keep(self, at: tuple[int, int], segment: NDArray[Any], last_row: int) -> None:
        while self._kept_bytes + segment.nbytes > self._most_bytes:
            # The last row of segments of this band is the first one of the next.
            oldest = next(iter(self._kept), None)
            if oldest is None or oldest[0] == last_row:
                return
            self._kept_bytes -= self._kept.pop(oldest).nbytes
        self._kept[at] = segment
        self._kept_bytes += segment.nbytes


def combined(
    planes: Sequence[LazyPlane], combine: Callable[..., NDArray[Any]], name: str
) -> LazyPlane:
    """A plane computed pixel by pixel from others of its shape and type."""

    def read(top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        return combine(*(plane[top:bottom, left:right] for plane in planes))

    plane = LazyPlane(planes[0].shape, planes[0].dtype, read, name)
    for same in zip(*(one.smaller for one in planes)):
        plane.smaller.append(combined(same, combine, name))
    return plane


def equal(planes: Sequence[LazyPlane], segment: Sequence[int]) -> bool:
    """Whether planes are the same in every pixel; read by segments, to the first difference."""
    height, width = planes[0].shape
    for y in range(0, height, segment[0]):
        for x in range(0, width, segment[1]):
            area = (slice(y, y + segment[0]), slice(x, x + segment[1]))
            first = planes[0][area]
            if not all(np.array_equal(first, plane[area]) for plane in planes[1:]):
                return False
    return True


def _span(index: _Index, length: int) -> tuple[int, int, int]:
    if isinstance(index, slice):
        start, stop, step = index.indices(length)
        if step < 1:
            raise IndexError("a plane takes slices with a positive step")
        return start, stop, step
    at = int(index)
    if not -length <= at < length:
        raise IndexError(f"{at} lies outside of {length} pixels")
    at %= length
    return at, at + 1, 1
