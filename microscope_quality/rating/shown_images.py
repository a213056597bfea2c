"""Images as pages show them: tiles in grey at any resolution, without loss."""

from __future__ import annotations

import contextlib
import io
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.rating.plane_names import file_of, read_plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Side of a tile, in its own pixels.
TILE = 512
# Planes that are held, by their number and the bytes of them together.
_MOST_PLANES, _MOST_BYTES = 6, 2**30
# Percentiles of the pixels that are drawn black and white, as in overlays and reports.
_BLACK, _WHITE = 0.5, 99.8
# Values by which black and white are found.
_SAMPLE = 100_000
_MOST_SAMPLED = 2**25
_LARGEST_LEVEL = 20


@dataclass
class _Held:
    plane: Any
    black: float
    white: float
    reading: threading.Lock = field(default_factory=threading.Lock)


class ShownImages:
    """Planes of files by their names, the latest ones in memory; for several threads.

    Contrast is stretched as in reports, over the whole plane: two patches of one image are drawn
    alike, and an empty patch stays grey.

    Parameters
    ----------
    folder
        From which on images are named, as `plane_names.name_of` names them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._opening = threading.Lock()

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[Any]:
        """Give a plane for as long as no other thread reads it.

        Yields
        ------
        (height, width) array
            Or a `LazyPlane`, for one that is large.

        Raises
        ------
        FileError
            It cannot be read.
        """
        held = self._of(name)
        with held.reading:
            yield held.plane

    def tile(
        self, name: str, region: tuple[int, int, int, int], level: int, row: int, column: int
    ) -> bytes:
        """Draw a tile of a part of a plane.

        Parameters
        ----------
        name
            Of the plane.
        region
            Upper row, left column, height and width of the part, in pixels.
        level
            Mean over blocks of ``2**level`` pixels along each side.
        row, column
            Of the tile: it begins ``row * TILE`` blocks below the part's upper left pixel.

        Returns
        -------
        bytes
            A grey PNG file of at most `TILE` pixels along each side.

        Raises
        ------
        FileError
            The plane cannot be read.
        SettingsError
            There is no such tile.
        """
        held = self._of(name)
        top, left, height, width = region
        rows, columns = held.plane.shape
        # From the level on at which all is one pixel, there is no further one.
        factor = 2 ** min(max(level, 0), _LARGEST_LEVEL)
        first, start = row * TILE * factor, column * TILE * factor
        inside = 0 <= top <= top + height <= rows and 0 <= left <= left + width <= columns
        is_level = level >= 0 and factor < 2 * max(height, width)
        if not (inside and is_level and 0 <= first < height and 0 <= start < width):
            raise SettingsError(f"There is no such part of an image of {rows} x {columns} pixels.")
        stop = min(height, first + TILE * factor)
        end = min(width, start + TILE * factor)
        with held.reading:
            means = _means(held.plane, top + first, top + stop, left + start, left + end, factor)
        return _encoded(_grey(means, held.black, held.white))

    def _of(self, name: str) -> _Held:
        with self._opening:
            if name in self._held:
                self._held.move_to_end(name)
                return self._held[name]
            path, place = file_of(name, self._folder)
            plane = read_plane(path, place).array
            if 0 in plane.shape:
                raise FileError(f"{path}: has no pixels")
            black, white = black_and_white(plane)
            self._held[name] = _Held(plane, black, white)
            while len(self._held) > 1 and (
                len(self._held) > _MOST_PLANES
                or sum(getattr(one.plane, "nbytes", 0) for one in self._held.values()) > _MOST_BYTES
            ):
                self._held.popitem(last=False)
            return self._held[name]


def black_and_white(plane: Any) -> tuple[float, float]:
    """Give the grey values that are drawn black and white: percentiles of the plane.

    Parameters
    ----------
    plane : (height, width) array
        Or a `LazyPlane`; of a large one parts are read.
    """
    source = plane
    if not isinstance(plane, np.ndarray):
        source = plane.reduced(2048)
    rows, columns = source.shape
    if rows * columns > _MOST_SAMPLED and not isinstance(source, np.ndarray):
        side = 64
        tops, lefts = (
            np.linspace(0, length - side, min(8, length // side)).astype(int)
            for length in (rows, columns)
        )
        values = np.concatenate(
            [np.asarray(source[y : y + side, x : x + side]).ravel() for y in tops for x in lefts]
        )
    else:
        step = max(1, int(np.sqrt(rows * columns / _SAMPLE)))
        values = np.asarray(source[:, :])[::step, ::step].ravel()
    values = values.astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    black, white = (float(value) for value in np.percentile(values, [_BLACK, _WHITE]))
    return black, white if white > black else black + 1


def _means(plane: Any, top: int, bottom: int, left: int, right: int, factor: int) -> NDArray[Any]:
    """Mean over blocks of pixels; those at the lower and right border may be smaller."""
    if factor > 1:
        # A resolution that the file holds too, if its pixels are whole blocks of this one's.
        for one in reversed(getattr(plane, "smaller", ())):
            share = round(plane.shape[0] / one.shape[0])
            fits = all(-(-whole // share) == part for whole, part in zip(plane.shape, one.shape))
            if share > 1 and factor % share == 0 and fits:
                places = (top // share, -(-bottom // share), left // share, -(-right // share))
                return _means(one, *places, factor // share)
    band = max(factor, 2**24 // max(right - left, 1) // factor * factor)
    found = []
    for start in range(top, bottom, band):
        pixels = np.asarray(plane[start : min(start + band, bottom), left:right])
        if factor == 1:
            found.append(pixels)
            continue
        found.append(_block_means(pixels, factor))
    return np.concatenate(found)


def _block_means(pixels: NDArray[Any], factor: int) -> NDArray[Any]:
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels, nan=0, posinf=0, neginf=0)
    total: NDArray[Any] = pixels.astype(np.float32 if pixels.itemsize < 4 else np.float64)
    counts: Any = 1.0
    for axis in (0, 1):
        parts = [total[k::factor] if axis == 0 else total[:, k::factor] for k in range(factor)]
        total = parts[0].copy()
        for part in parts[1:]:
            total[: part.shape[0], : part.shape[1]] += part
        length = pixels.shape[axis]
        of_blocks = np.minimum(factor, length - np.arange(0, length, factor)).astype(np.float32)
        counts = counts * (of_blocks[:, np.newaxis] if axis == 0 else of_blocks)
    means: NDArray[Any] = total / counts
    return means


def _grey(pixels: NDArray[Any], black: float, white: float) -> NDArray[np.uint8]:
    with np.errstate(invalid="ignore", over="ignore"):
        grey = (pixels.astype(np.float64) - black) * (255 / (white - black)) + 0.5
    drawn: NDArray[np.uint8] = np.clip(np.nan_to_num(grey, nan=0), 0, 255).astype(np.uint8)
    return drawn


def _encoded(grey: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
