"""What a job does to a page of a file: measure its planes, draw them."""

from __future__ import annotations

import functools
import logging
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterator, Optional, Sequence

import numpy as np

from microscope_quality.errors import FileError, MicroscopeQualityError, reason_of
from microscope_quality.files.images import ImageFile, Page, Plane, open_image
from microscope_quality.focus import FocusResult, measure_focus
from microscope_quality.model import FocusModel
from microscope_quality.optics import Optics


@dataclass(frozen=True)
class Settings:
    """How to measure, the same for all planes of a run."""

    model: Optional[str] = None
    optics: Optional[Optics] = None
    rescale: bool = False
    luminance: bool = False
    in_focus_limit: int = 1
    keep_patches: bool = False
    #: Folder for a picture of each plane, drawn as it is measured.
    pictures: Optional[Path] = None


@dataclass(frozen=True)
class Item:
    """A page to measure, or a file that has none because of an error."""

    number: int
    file: int
    name: str
    path: Path
    page: Page
    error: str = ""


@dataclass(frozen=True)
class Place:
    """Where a plane lies in its file; None for an axis that the file does not have."""

    series: Optional[int] = None
    z: Optional[int] = None
    c: Optional[int] = None
    t: Optional[int] = None

    def __str__(self) -> str:
        axes = {"series ": self.series, "z": self.z, "c": self.c, "t": self.t}
        return " ".join(f"{axis}{index}" for axis, index in axes.items() if index is not None)


@dataclass(frozen=True)
class Measured:
    """A plane and its result, or its error; its picture, or why there is none."""

    place: Place
    result: Optional[FocusResult] = None
    error: str = ""
    picture: Optional[Path] = None
    drawing_error: str = ""


def items(files: Sequence[tuple[str, Path]]) -> Iterator[Item]:
    """Pages of files, each file opened when its turn comes."""
    number = 0
    for file, (name, path) in enumerate(files):
        try:
            pages = _opened(path).pages
        except FileError as error:
            yield Item(number, file, name, path, Page(0), reason_of(error, path))
            number += 1
            continue
        for page in pages:
            yield Item(number, file, name, path, page)
            number += 1


def measure_page(settings: Settings, item: Item) -> list[Measured]:
    """Measure the planes of a page.

    Raises
    ------
    FileError
        The page cannot be read.
    """
    if item.error:
        raise FileError(item.error)
    model = FocusModel.from_pretrained(settings.model)
    measured = []
    for plane in _read(settings, item):
        place = Place(plane.series, plane.z, plane.c, plane.t)
        try:
            result = _measure(settings, model, plane)
        except MicroscopeQualityError as error:
            measured.append(Measured(place, error=str(error)))
            continue
        picture, drawing_error = None, ""
        if settings.pictures is not None:
            picture = settings.pictures / picture_name(f"{item.number + 1:05}", item.name, place)
            try:
                _draw(plane, result, item.name, place, picture)
            except MicroscopeQualityError as error:
                picture, drawing_error = None, str(error)
        if not settings.keep_patches:
            result = _without_patches(result)
        measured.append(Measured(place, result, picture=picture, drawing_error=drawing_error))
    return measured


def draw_plane(settings: Settings, wanted: tuple[Item, Place, Path, str]) -> None:
    """Measure a plane again and draw it into a file, with a remark.

    Raises
    ------
    FileError
        The page cannot be read any more, or the picture not be written.
    """
    item, place, path, remark = wanted
    model = FocusModel.from_pretrained(settings.model)
    for plane in _read(settings, item):
        if Place(plane.series, plane.z, plane.c, plane.t) == place:
            _draw(plane, _measure(settings, model, plane), item.name, place, path, remark)


def picture_name(prefix: str, name: str, place: Place) -> str:
    """File name of a picture, of characters that any file system takes."""
    stem = re.sub(r"[^\w.+-]+", "_", f"{name} {place}".strip())
    # Names are limited to 255 bytes; their ends tell files apart.
    stem = stem.encode(errors="replace")[-180:].decode(errors="ignore").lstrip("_. ")
    return f"{prefix}_{stem}.png"


def _read(settings: Settings, item: Item) -> list[Plane]:
    try:
        return _opened(item.path).read(item.page, luminance=settings.luminance)
    except FileError as error:
        raise FileError(reason_of(error, item.path)) from error


def _measure(settings: Settings, model: FocusModel, plane: Plane) -> FocusResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return measure_focus(
            plane.array,
            model,
            optics=settings.optics,
            rescale=settings.rescale,
            in_focus_limit=settings.in_focus_limit,
        )


def _draw(
    plane: Plane, result: FocusResult, name: str, place: Place, path: Path, remark: str = ""
) -> None:
    from microscope_quality.files.pictures import MAX_SIDE, write_overlay
    from microscope_quality.overlay import overlay

    picture = overlay(plane.array, result, max_side=MAX_SIDE)
    words = [result.status.replace("_", " ")]
    if result.status != "no_content":
        words.insert(0, f"level {result.level:.0f} (expected {result.expected_level:.1f})")
        words.append(f"certainty {result.certainty:.2f}")
        words.append(f"blur {result.blur_diameter_px:.1f} px")
    if remark:
        words.append(remark)
    verdict = " · ".join(words)
    write_overlay(
        path,
        picture,
        title=f"{name}  {place}".strip(),
        verdict=verdict[0].upper() + verdict[1:],
        levels=len(result.probabilities),
    )


def _without_patches(result: FocusResult) -> FocusResult:
    return replace(
        result,
        patch_positions=np.empty((0, 2), np.intp),
        patch_levels=np.empty(0),
        patch_expected_levels=np.empty(0),
        patch_certainties=np.empty(0),
        patch_probabilities=np.empty((0, len(result.probabilities))),
    )


def _opened(path: Path) -> ImageFile:
    """Header of a file; the last one is kept, for the next page of a stack."""
    # What a decoder has to say comes as an error, or does not matter.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        status = path.stat()
    except OSError:
        return open_image(path)
    return _opened_as_of(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1)
def _opened_as_of(path: Path, mtime_ns: int, size: int) -> ImageFile:
    return open_image(path)
