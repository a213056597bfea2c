"""Small pictures of planes for the report, and coloured ones of the worst."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microscope_quality.batch.budget import need
from microscope_quality.errors import MicroscopeQualityError, reason_of
from microscope_quality.files.images import open_image
from microscope_quality.files.plane import ImageFile, Page, Plane
from microscope_quality.files.tables import names_stored_as
from microscope_quality.focus import FocusResult, measure_focus
from microscope_quality.measuring.memory import memory_of
from microscope_quality.measuring.page import seconds_of
from microscope_quality.model import FocusModel
from microscope_quality.optics import Optics
from microscope_quality.overlay import overlay

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from microscope_quality.report.rows import Place

#: Longer side of a coloured picture, in pixels.
OVERLAY_SIDE = 560
#: Bytes of a coloured picture, at most.
OVERLAY_BYTES = 90_000
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
class Settings:
    """How the planes were measured, to measure the worst again, and the room for a picture."""

    model: str | None = None
    rescale: bool = False
    luminance: bool = False
    in_focus_limit: int = 1
    picture_bytes: int = MOST_BYTES


@dataclass(frozen=True)
class Wanted:
    """A plane to draw: its row in the table, its place in the file, and what is wanted of it."""

    row: int
    place: Place
    small: bool = True
    coloured: bool = False
    optics: str = ""
    expected_level: float = math.nan


@dataclass(frozen=True)
class FileWanted:
    """A file with planes to draw, and where it may lie."""

    paths: tuple[Path, ...]
    planes: tuple[Wanted, ...]


@dataclass(frozen=True)
class Drawn:
    """Pictures of a row as WebP, or why there is none."""

    row: int
    small: bytes = b""
    coloured: bytes = b""
    error: str = ""
    #: Measured again, it is at another level.
    changed: bool = False


def places_of(name: str, folders: Sequence[Path]) -> tuple[Path, ...]:
    """Where the file of a row may lie: in each of the folders.

    A name with bytes that are no text stands in the table with escapes in their place.
    """
    return tuple(folder / one for one in names_stored_as(name) for folder in folders)


def draw_files(settings: Settings, files: Sequence[FileWanted]) -> list[Drawn]:
    """Draw planes of some files, reading each file once. What fails is said in its place."""
    drawn = []
    for file in files:
        left = {wanted.row: wanted for wanted in file.planes}
        try:
            for wanted, plane in _read(settings, file):
                del left[wanted.row]
                drawn.append(_draw(settings, wanted, plane))
            error = "the file has no such plane"
        except MicroscopeQualityError as failure:
            error = reason_of(failure, file.paths[0])
        except (MemoryError, ValueError) as failure:
            error = str(failure) or type(failure).__name__
        drawn += [Drawn(row, error=error) for row in left]
    return drawn


def _read(settings: Settings, file: FileWanted) -> Any:
    path = next((path for path in file.paths if _is_file(path)), file.paths[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image: ImageFile = open_image(path)
        wanted = {one.place: one for one in file.planes}
        for page in image.pages:
            if not wanted:
                return
            series, z, c, t = (_text(value) for value in (page.series, page.z, page.c, page.t))
            # An axis that lies inside a page is None in the page and named in its planes.
            if not any(
                all(not own or own == other for own, other in zip((series, z, c, t), place))
                for place in wanted
            ):
                continue
            _say_need(settings, page, any(one.coloured for one in wanted.values()))
            for plane in image.read(page, luminance=settings.luminance):
                place = (_text(plane.series), _text(plane.z), _text(plane.c), _text(plane.t))
                one = wanted.pop(place, None)
                if one is not None:
                    yield one, plane


def _say_need(settings: Settings, page: Page, coloured: bool) -> None:
    """Say what a page takes, as far as its header tells."""
    need(
        memory_of(
            page.width,
            page.height,
            page.pixel_bytes,
            # Small pictures are made band by band.
            band_rows=0 if coloured else page.band_rows,
            rescaled=coloured and settings.rescale,
            drawn=coloured,
        ),
        seconds_of(page),
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def _draw(settings: Settings, wanted: Wanted, plane: Plane) -> Drawn:
    height, width = plane.array.shape
    if height * width > _MOST_PIXELS:
        return Drawn(wanted.row, error=f"{height:,} x {width:,} pixels are too many for a picture")
    small = thumbnail(plane.array, settings.picture_bytes) if wanted.small else b""
    if not wanted.coloured:
        return Drawn(wanted.row, small)
    try:
        pixels = np.asarray(plane.array)
        result = _measure(settings, wanted, pixels)
        coloured = _fitted(overlay(pixels, result, max_side=OVERLAY_SIDE), OVERLAY_BYTES)
    except MicroscopeQualityError as error:
        return Drawn(wanted.row, small, error=f"its patches were not drawn: {error}")
    changed = abs(result.expected_level - wanted.expected_level) > 0.05
    return Drawn(wanted.row, small, coloured, changed=changed)


def _measure(settings: Settings, wanted: Wanted, pixels: NDArray[Any]) -> FocusResult:
    optics = Optics.parse(wanted.optics) if wanted.optics and settings.rescale else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return measure_focus(
            pixels,
            FocusModel.from_pretrained(settings.model),
            optics=optics,
            rescale=optics is not None,
            in_focus_limit=settings.in_focus_limit,
        )


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
        for quality in _QUALITIES:
            encoded = _webp(picture, quality)
            if len(encoded) <= most_bytes:
                return encoded
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


def _fitted(picture: NDArray[np.uint8], most_bytes: int) -> bytes:
    from PIL import Image

    image = Image.fromarray(picture)
    encoded = b""
    for quality in (80, *_QUALITIES):
        encoded = _webp(image, quality)
        if len(encoded) <= most_bytes:
            break
    return encoded


def _webp(image: Image, quality: int) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=quality, method=2)
    return stream.getvalue()
