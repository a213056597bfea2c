"""Small pictures of planes for the report, and large ones of the worst."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microscope_quality.errors import MicroscopeQualityError, reason_of
from microscope_quality.files.plane import Plane
from microscope_quality.files.tables import as_text, names_stored_as
from microscope_quality.measuring.items import Place
from microscope_quality.measuring.measure import Measure, Row
from microscope_quality.measuring.page import measure_plane, read_again
from microscope_quality.measuring.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

#: Longer side of a large picture, in pixels.
LARGE_SIDE = 560
#: Bytes of a large picture, at most.
LARGE_BYTES = 90_000
#: Bytes of a small picture, at most, when there are few.
MOST_BYTES = 16_000
#: Below this many bytes a picture shows nothing; then there are fewer pictures.
FEWEST_BYTES = 700

# Pixels of a plane that is read for a picture, at most.
_MOST_PIXELS = 2**28
_SIDES = (288, 224, 160, 128, 96, 72, 56, 40, 28)
# Bits for a pixel of a picture of that side at the first of `_QUALITIES`: of nuclei, with noise.
_BITS = {288: 0.8, 224: 1.0, 160: 1.4, 128: 1.6, 96: 2.1, 72: 2.8, 56: 3.2, 40: 3.6, 28: 4.0}
_QUALITIES = (62, 40, 22)
# Percentiles of the pixels that are drawn black and white.
_BLACK, _WHITE = 0.5, 99.8
# Rows of a plane that are added up at once, so that a plane that is read piece by piece stays so.
_BAND_PIXELS = 2**23


@dataclass(frozen=True)
class PictureWanted:
    """A plane to draw: its row in the table, its place in the file, and what is wanted of it.

    For a large picture it is measured again by a measure, and compared with its fields.
    """

    row: int
    place: Place = field(default_factory=Place)
    small: bool = True
    measure: Measure | None = None
    fields: Row = field(default_factory=dict)


@dataclass(frozen=True)
class FileWanted:
    """A file with planes to draw, and where it may lie."""

    paths: tuple[Path, ...]
    planes: tuple[PictureWanted, ...]


@dataclass(frozen=True)
class Drawn:
    """Pictures of a row as WebP, or why there is none."""

    row: int
    small: bytes = b""
    large: bytes = b""
    error: str = ""
    #: Measured again, it is another value.
    changed: bool = False


def places_of(name: str, folders: Sequence[Path]) -> tuple[Path, ...]:
    """Where the file of a row may lie: in each of the folders.

    A name with bytes that are no text stands in the table with escapes in their place.
    """
    return tuple(folder / one for one in names_stored_as(name) for folder in folders)


def draw_files(settings: Settings, most_bytes: int, files: Sequence[FileWanted]) -> list[Drawn]:
    """Draw planes of some files, reading each page once. What fails is said in its place.

    Parameters
    ----------
    settings
        Of the run.
    most_bytes
        Of a small picture.
    files
        That are wanted.
    """
    drawn = []
    for file in files:
        path = next((path for path in file.paths if _is_there(path)), file.paths[0])
        wanted = {one.place: one for one in file.planes}
        measured = any(one.measure is not None for one in file.planes)
        for place, plane in _read(settings, path, [*wanted], measured=measured):
            if isinstance(plane, str):
                drawn.append(Drawn(wanted[place].row, error=plane))
            else:
                drawn.append(_draw(most_bytes, wanted[place], plane))
    return drawn


def _read(
    settings: Settings, path: Path, places: Sequence[Place], *, measured: bool
) -> Iterator[tuple[Place, Plane | str]]:
    """Read planes again, or say why one cannot be."""
    left = set(places)
    try:
        for place, plane in read_again(settings, path, places, measured=measured):
            left.remove(place)
            yield place, plane
        error = "the file has no such plane"
    except (MicroscopeQualityError, MemoryError, ValueError) as failure:
        error = reason_of(failure, path) or type(failure).__name__
        if len(places) > 1:
            # A page that cannot be read is not to cost the others.
            for place in left:
                yield from _read(settings, path, [place], measured=measured)
            return
    yield from ((place, error) for place in left)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _draw(most_bytes: int, wanted: PictureWanted, plane: Plane) -> Drawn:
    from PIL import Image

    height, width = plane.array.shape
    if height * width > _MOST_PIXELS:
        return Drawn(wanted.row, error=f"{height:,} x {width:,} pixels are too many for a picture")
    try:
        small = thumbnail(plane.array, most_bytes) if wanted.small else b""
    except (MicroscopeQualityError, MemoryError, ValueError) as error:
        return Drawn(wanted.row, error=str(error) or type(error).__name__)
    measure = wanted.measure
    if measure is None:
        return Drawn(wanted.row, small)
    try:
        result = measure_plane([measure], plane)
        picture = Image.fromarray(result.drawn(LARGE_SIDE))
        large = _fitted(picture, LARGE_BYTES, (80, *_QUALITIES))
    except (MicroscopeQualityError, MemoryError, ValueError) as error:
        return Drawn(wanted.row, small, error=f"could not be measured again: {error}")
    was, now = (measure.number(row) for row in (wanted.fields, as_text(result.row, [*result.row])))
    return Drawn(wanted.row, small, large, changed=abs(now - was) > 0.5 * 10**-measure.digits)


def thumbnail(plane: Any, most_bytes: int) -> bytes:
    """Draw a plane small and grey, its contrast stretched, in few bytes.

    Parameters
    ----------
    plane : (height, width) array
        Of any integer or float type, or what gives arrays when it is sliced.
    most_bytes : int
        The picture's side and quality are the largest of a ladder that keep within it; the
        smallest picture is given when none does.

    Returns
    -------
    bytes
        A WebP file; its longer side is at most that of the plane.
    """
    from PIL import Image

    sides = [side for side in _SIDES if _BITS[side] * side**2 / 8 <= most_bytes] or _SIDES[-1:]
    grey = Image.fromarray(_shrunk(plane, sides[0]))
    encoded = b""
    for side in sides:
        scale = min(1.0, side / max(grey.size))
        size = max(1, round(grey.width * scale)), max(1, round(grey.height * scale))
        # Wider filters would ring on dark ground.
        picture = grey.resize(size, Image.Resampling.HAMMING) if scale < 1 else grey
        encoded = _fitted(picture, most_bytes)
        if len(encoded) <= most_bytes:
            break
    return encoded


def _shrunk(plane: Any, side: int) -> NDArray[np.uint8]:
    """Mean over blocks of pixels, to between one and two times a side, stretched to 0 to 255."""
    height, width = plane.shape
    factor = max(1, min(max(height, width) // side, height, width))
    rows, columns = height // factor, width // factor
    means = np.empty((rows, columns), np.float32)
    band = max(1, _BAND_PIXELS // (factor * width))
    for start in range(0, rows, band):
        stop = min(rows, start + band)
        pixels = np.asarray(plane[start * factor : stop * factor, : columns * factor])
        if pixels.dtype.kind == "f":
            pixels = np.nan_to_num(pixels, nan=0, posinf=0, neginf=0)
        wide = pixels[::factor].astype(np.float32 if pixels.itemsize < 4 else np.float64)
        for offset in range(1, factor):
            wide += pixels[offset::factor]
        total = wide[:, ::factor].copy()
        for offset in range(1, factor):
            total += wide[:, offset::factor]
        means[start:stop] = total / factor**2
    # Ten thousand values tell the percentiles as well.
    step = max(1, math.isqrt(means.size // 10_000))
    sample = means[::step, ::step].ravel()
    black, white = np.percentile(sample, [_BLACK, _WHITE])
    stretched = (means - black) * (255 / (white - black if white > black else 1))
    grey: NDArray[np.uint8] = np.clip(stretched + 0.5, 0, 255).astype(np.uint8)
    return grey


def _fitted(picture: Image, most_bytes: int, qualities: Sequence[int] = _QUALITIES) -> bytes:
    """Encode a picture, by the first of the qualities that keeps within so many bytes."""
    encoded = b""
    for quality in qualities:
        stream = io.BytesIO()
        picture.save(stream, "WEBP", quality=quality, method=2)
        encoded = stream.getvalue()
        if len(encoded) <= most_bytes:
            break
    return encoded
