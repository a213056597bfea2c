"""Lazy planes of a TIFF's page: each tile or strip is decoded when its pixels are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microscope_quality.errors import FileError
from microscope_quality.files.lazy import MAX_SEGMENT_BYTES, LazyPlane, Read, Segments
from microscope_quality.files.regular import open_regular, refusals, said
from microscope_quality.files.segments import check_segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

_JPEG = (7, 34892)


class LazyPage:
    """A page's samples as lazy planes.

    Parameters
    ----------
    path
        Of the file.
    key
        tifffile's page that describes the stored one.
    stored
        tifffile's page that says where the pixels are.
    offset
        The first byte of pixels that follow each other without a directory of their own.
    byteorder
        ``"<"`` or ``">"``.

    tifffile's file must be open while this is made; it is not used any more after that.

    Attributes
    ----------
    n_samples : int
        Of a pixel, transparency among them.
    segment : (int, int)
        Height and width of what is best read at once.
    """

    def __init__(
        self, path: Path, key: Any, stored: Any, offset: int | None, byteorder: str
    ) -> None:
        self._path, self._key = path, key
        self._separate, _, self._height, self._width, self._contig = key.shaped
        self.n_samples = self._separate * self._contig
        self._invert = inversion(key)
        self._first: int | None = None
        if offset is not None or _lies_in_rows(key):
            self._first = stored.dataoffsets[0] if offset is None else offset
            self._stored_type = np.dtype(key.dtype).newbyteorder(byteorder)
            self.segment = (max(1, 2**22 // self._width), self._width)
            return
        self._kind = "tile" if key.is_tiled else "strip"
        high, wide = key.chunks[:2]
        self.segment = (min(high, self._height), min(wide, self._width))
        self._across = -(-self._width // wide)
        self._down = -(-self._height // high)
        self._offsets, self._counts = stored.dataoffsets, stored.databytecounts
        self._arguments: dict[str, Any] = {}
        if key.compression in _JPEG:
            self._arguments = {"jpegtables": stored.jpegtables, "jpegheader": key.jpegheader}
        self._decode: Callable[..., Any] = key.decode
        # The segment that was decoded last, for the next one of its samples.
        self._last: tuple[int, NDArray[Any]] = (-1, np.empty(0))

    def sample(self, number: int) -> LazyPlane:
        """One of the samples as a plane."""
        return self.plane(
            number, lambda pixels: pixels[..., number if self._contig > 1 else 0], self._key.dtype
        )

    def plane(
        self, number: int, grey: Callable[[NDArray[Any]], NDArray[Any]], dtype: Any
    ) -> LazyPlane:
        """A plane computed from the samples of a pixel that lie together in the file.

        Parameters
        ----------
        number
            Of the sample, where each has a plane of its own in the file.
        grey
            Gives the (H, W) plane of an (H, W, n) array.
        dtype
            Of what it gives.
        """
        separate = number if self._separate > 1 else 0
        shape = (self._height, self._width)

        def finished(pixels: NDArray[Any]) -> NDArray[Any]:
            # A codec may give numbers of another type; this is what they become in a whole page.
            native = pixels.astype(np.dtype(self._key.dtype).newbyteorder("="), copy=False)
            return np.ascontiguousarray(self._invert(grey(native)))

        if self._first is not None:
            read: Read = self._rows(separate, finished)
        else:
            read = Segments(shape, self.segment, dtype, self._decoder(separate, finished))
        return LazyPlane(shape, dtype, read, str(self._path))

    def _rows(self, separate: int, finished: Callable[[NDArray[Any]], NDArray[Any]]) -> Read:
        pixel = self._contig * self._stored_type.itemsize
        start = (self._first or 0) + separate * self._height * self._width * pixel

        def read(top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
            whole = 4 * (right - left) > self._width
            begin, end = (0, self._width) if whole else (left, right)
            shape = (bottom - top, end - begin, self._contig)
            # Whole rows are read at once.
            n_rows = bottom - top if whole else 1
            parts = []
            with refusals(self._path), open_regular(self._path) as stream:
                for row in range(top, bottom, n_rows):
                    stream.seek(start + (row * self._width + begin) * pixel)
                    parts.append(stream.read(n_rows * (end - begin) * pixel))
            content = b"".join(parts)
            if len(content) < math.prod(shape) * self._stored_type.itemsize:
                raise FileError(f"{self._path}: is cut short: it ends before row {bottom}")
            pixels = np.frombuffer(content, self._stored_type).reshape(shape)
            return finished(pixels[:, left - begin : right - begin])

        return read

    def _decoder(
        self, separate: int, finished: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> Callable[[list[tuple[int, int]]], Iterator[NDArray[Any]]]:
        def decode(places: list[tuple[int, int]]) -> Iterator[NDArray[Any]]:
            if not places:
                return
            with refusals(self._path), open_regular(self._path) as stream:
                for row, column in places:
                    index = (separate * self._down + row) * self._across + column
                    if self._last[0] != index:
                        self._last = (index, self._decoded(stream, index, row, column))
                    yield finished(self._last[1])
            if self._contig == 1:
                self._last = (-1, np.empty(0))

        return decode

    def _decoded(self, stream: Any, index: int, row: int, column: int) -> NDArray[Any]:
        """Pixels of a segment that lie in the plane, (height, width, samples)."""
        high, wide = self.segment
        top, left = row * high, column * wide
        height, width = min(high, self._height - top), min(wide, self._width - left)
        try:
            stream.seek(self._offsets[index])
            content = stream.read(self._counts[index])
            if len(content) < self._counts[index]:
                raise FileError("the file ends within it")
            check_segment(self._key, content)
            pixels, _, _ = self._decode(content, index, **self._arguments)
            if pixels is None or pixels.shape[1] < height or pixels.shape[2] < width:
                raise FileError("it lacks pixels")
        except MemoryError as error:
            raise FileError(f"{self._path}: needs more memory than it is allowed") from error
        except Exception as error:
            raise FileError(
                f"{self._path}: cannot be decoded: {self._kind} {index}, of rows {top} to "
                f"{top + height - 1} and columns {left} to {left + width - 1}, is damaged "
                f"({said(error)})"
            ) from error
        decoded: NDArray[Any] = pixels[0, :height, :width]
        return decoded


def can_be_lazy(key: Any, offset: int | None) -> bool:
    """Whether the pixels of a page like this one are stored in parts of a moderate size."""
    if key.dtype is None or key.dtype.kind not in "buif" or key.shaped[1] != 1:
        return False
    if key.tiledepth > 1:
        return False
    # A predictor belongs to compressed pixels; tifffile has a rule of its own for others.
    if key.compression == 1 and key.predictor != 1:
        return False
    if offset is not None or _lies_in_rows(key):
        return True
    high, wide = key.chunks[:2]
    pixels = min(high, key.imagelength) * wide * key.shaped[4]
    return bool(pixels * key.dtype.itemsize <= MAX_SEGMENT_BYTES)


def band_rows(key: Any) -> int:
    """Rows of a page that are decoded at once; 0 where it is read whole.

    Parameters
    ----------
    key
        tifffile's page.
    """
    if not can_be_lazy(key, None):
        return 0
    return 1 if _lies_in_rows(key) else int(min(key.chunks[0], key.imagelength))


def _lies_in_rows(key: Any) -> bool:
    # What predictors and the order of bits change takes decoding.
    return bool(key.is_contiguous and key.fillorder == 1 and key.predictor == 1)


def inversion(key: Any) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Give what turns the pixels of a page, where 0 may be white, into light in large numbers."""
    if key.photometric == 0 and key.dtype.kind == "u":  # 0 is white
        highest = key.dtype.type(2**key.bitspersample - 1)
        return lambda pixels: np.asarray(highest - pixels)
    if key.photometric == 0 and key.dtype.kind == "b":
        return lambda pixels: ~pixels
    return lambda pixels: pixels
