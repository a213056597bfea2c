"""Read OME-Zarr folders (NGFF 0.1 to 0.5, Zarr 2 and 3) plane by plane, chunk by chunk.

The layout is read here, from the folder's JSON files; `zarr_arrays` reads the pixels.
"""

from __future__ import annotations

import bisect
import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from microscope_quality.errors import FileError, reason_of
from microscope_quality.files import lazy
from microscope_quality.files.lazy import LazyPlane, Segments
from microscope_quality.files.metadata import KnownOptics, from_ome_xml, of_place, with_pixel_size
from microscope_quality.files.ome_xml import MAX_PLANES
from microscope_quality.files.plane import Page, Plane
from microscope_quality.files.regular import Folder, said
from microscope_quality.files.zarr_arrays import Kept, ZarrArray, shape_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The end of the name of a folder that is an image.
SUFFIX = ".zarr"

# Of a file of metadata, of all of them, and the values in one, of which Python takes some 100
# bytes for each.
_MOST_JSON_BYTES = 2**24
_MOST_XML_BYTES = 2**26
_MOST_METADATA_BYTES = 2**30
_MOST_JSON_VALUES = 1_000_000
_MOST_XML_PARTS = 1_000_000
# Axes that the table has names for, and those that have one type alone.
_AXES = tuple("tczyx")
_TYPES = {"time": "t", "channel": "c"}
# What a folder and an image may hold: more is no microscope's.
_MOST_IMAGES = 100_000
_MOST_RESOLUTIONS = 64
_LONGEST_PLATE_NAME = 1000
# Chunks of a plane: of any size, and of fewer pixels than that.
_MOST_CHUNKS = 10_000_000
_MOST_SMALL_CHUNKS = 65_536
_SMALL_CHUNK_PIXELS = 1024


def is_zarr(path: Path) -> bool:
    """Whether a path is a folder with the name of an OME-Zarr image."""
    return path.name.lower().endswith(SUFFIX) and path.is_dir()


def identity(path: Path) -> tuple[int, int]:
    """Size and age of all that is in a folder.

    Returns
    -------
    int, int
        The sum of the files' bytes, and when the newest of files and folders was changed, in
        nanoseconds since 1970. A chunk that is written, replaced or removed changes one of them.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    size, newest = 0, path.stat().st_mtime_ns
    folders = [os.fspath(path)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                newest = max(newest, status.st_mtime_ns)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    size += status.st_size
    return size, newest


@dataclass(frozen=True, eq=False)
class _Image:
    """A multi-resolution image in a folder: the names of its arrays, the largest first."""

    arrays: tuple[str, ...]
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    known: list[KnownOptics]
    plate: str | None = None
    well: str | None = None
    site: str | None = None

    @property
    def n_series(self) -> int:
        """Images of their own: each number along an axis that the table has no name for."""
        return math.prod(n for axis, n in zip(self.axes, self.shape) if axis not in _AXES)


class _Planes(Sequence[Page]):
    """Pages of images, each made when it is asked for: there may be a million."""

    def __init__(self, images: Sequence[_Image]) -> None:
        self._images = images
        self._ends = list(itertools.accumulate(math.prod(one.shape[:-2]) for one in images))
        self._series = list(itertools.accumulate((one.n_series for one in images), initial=0))

    def __len__(self) -> int:
        """Count the pages."""
        return self._ends[-1]

    def at(self, number: int) -> tuple[int, _Image, tuple[int, ...]]:
        """Number of a page's image, the image, and the numbers along all axes but y and x."""
        k = bisect.bisect_right(self._ends, number)
        image = self._images[k]
        inside = number - (self._ends[k - 1] if k else 0)
        index: list[int] = []
        for length in reversed(image.shape[:-2]):
            inside, i = divmod(inside, length)
            index.insert(0, i)
        return k, image, tuple(index)

    @overload
    def __getitem__(self, number: int) -> Page: ...

    @overload
    def __getitem__(self, number: slice) -> list[Page]: ...

    def __getitem__(self, number: int | slice) -> Page | list[Page]:
        """Give a page, or some."""
        if isinstance(number, slice):
            return [self[k] for k in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        k, image, index = self.at(number)
        outer = list(zip(image.axes, index, image.shape))
        place = {axis: i for axis, i, length in outer if length > 1}
        inner = 0
        for axis, i, length in outer:
            inner = inner if axis in _AXES else inner * length + i
        return Page(
            number,
            self._series[k] + inner if self._series[-1] > 1 else None,
            place.get("z"),
            place.get("c"),
            place.get("t"),
            image.plate,
            image.well,
            image.site,
            width=image.shape[-1],
            height=image.shape[-2],
            # Whatever their type, which counts when they are read: of the common ones, the largest.
            pixel_bytes=4,
            band_rows=1,
        )


class ZarrImage:
    """An OME-Zarr folder: one image, several, or a plate of wells.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    FileError
        It is not an OME-Zarr image, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = Folder(path)
        # Of the list of pages, or of the image that was opened last.
        self._metadata_bytes = 0
        # Of the page that was read last, for the next one.
        self._opened: tuple[_Image | None, list[ZarrArray]] = (None, [])
        try:
            self.pages = _Planes(self._listed())
        except Exception as error:
            raise self._error(error, "is no OME-Zarr image, or is damaged") from error

    def _listed(self) -> list[_Image]:
        images = list(itertools.islice(self._images(), _MOST_IMAGES + 1))
        if len(images) > _MOST_IMAGES:
            raise FileError(f"is too large: it has more than {_MOST_IMAGES} images")
        n_planes = sum(math.prod(image.shape[:-2]) for image in images)
        if n_planes > MAX_PLANES:
            raise FileError(f"is too large: it has {n_planes} planes")
        if not images:
            raise FileError("holds no image")
        return images

    def read(self, page: Page, *, luminance: bool = False, whole: bool = False) -> list[Plane]:
        """Planes of one page; see `images.ImageFile`."""
        image, index = self.pages.at(page.index)[1:]
        try:
            if self._opened[0] is not image:
                self._metadata_bytes, kept = 0, Kept()
                self._opened = (image, [self._array(name, kept) for name in image.arrays])
            largest, *smaller = self._opened[1]
            plane = self._plane(largest, index)
            plane.smaller += [
                self._plane(array, index)
                for array in smaller
                if len(array.shape) == len(image.shape)
            ]
            read_now = whole or math.prod(plane.shape) <= lazy.LAZY_PIXELS
            known = of_place([image.known], None, page.c)
            return [page.plane(np.asarray(plane) if read_now else plane, known)]
        except Exception as error:
            raise self._error(error, "cannot be decoded") from error

    def _plane(self, array: ZarrArray, index: tuple[int, ...]) -> LazyPlane:
        if len(index) != len(array.shape) - 2 or not all(
            i < length for i, length in zip(index, array.shape)
        ):
            raise FileError("is damaged: its resolutions have different axes")
        height, width = array.shape[-2:]
        high, wide = min(array.chunks[-2], height), min(array.chunks[-1], width)
        _check_chunks(-(-height // high) * -(-width // wide), high * wide)
        numbers = [i // length for i, length in zip(index, array.chunks)]
        inside = tuple(i % length for i, length in zip(index, array.chunks))

        def decode(places: list[tuple[int, int]]) -> Iterator[NDArray[Any]]:
            for row, column in places:
                bottom = min((row + 1) * high, height) - 1
                right = min((column + 1) * wide, width) - 1
                try:
                    chunk = array.chunk([*numbers, row, column])
                except FileError as error:
                    raise FileError(
                        f"{self._path}: cannot be decoded: the chunk of rows {row * high} to "
                        f"{bottom} and columns {column * wide} to {right} is damaged "
                        f"({error})"
                    ) from error
                pixels = chunk[inside][: bottom - row * high + 1, : right - column * wide + 1]
                yield np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))

        read = Segments((height, width), (high, wide), array.dtype, decode)
        return LazyPlane((height, width), array.dtype, read, str(self._path))

    def _array(self, name: str, kept: Kept) -> ZarrArray:
        return ZarrArray(self._folder, name, self._described(name), kept)

    def _images(self) -> Iterator[_Image]:
        """Images of the folder: of a plate, of a file that Bio-Formats converted, or its own."""
        attributes = self._attributes("")
        if "plate" in attributes:
            yield from self._of_plate(attributes["plate"])
        elif "multiscales" in attributes:
            yield self._multiscale("", attributes, [])
        else:
            converted = self._converted()
            names = (self._attributes("OME") if self._is_folder("OME") else {}).get("series")
            if names is None and "bioformats2raw.layout" in attributes:
                numbered = (str(n) for n in range(_MOST_IMAGES + 1))
                names = list(itertools.takewhile(self._is_folder, numbered))
            if not names:
                raise FileError("has no OME-Zarr metadata (multiscales, plate or series)")
            for name in names:
                folder = self._folder.name_of(str(name))
                yield self._multiscale(folder, self._attributes(folder), next(converted, []))

    def _is_folder(self, name: str) -> bool:
        return (self._path / name).is_dir()

    def _of_plate(self, plate: Mapping[str, Any]) -> Iterator[_Image]:
        name = str(plate.get("name") or self._path.stem)
        if len(name) > _LONGEST_PLATE_NAME:
            raise FileError(f"is damaged: its plate has a name of {len(name)} letters")
        converted = self._converted()
        for well in plate["wells"]:
            folder = self._folder.name_of(str(well["path"]))
            # "A/1" is what plates call A1.
            label = "".join(str(well["path"]).split("/"))
            for field in self._attributes(folder)["well"]["images"]:
                site = str(field["path"])
                inner = self._folder.name_of(f"{folder}/{site}")
                known = next(converted, [])
                yield self._multiscale(inner, self._attributes(inner), known, name, label, site)

    def _multiscale(
        self, folder: str, attributes: Mapping[str, Any], known: list[KnownOptics], *place: str
    ) -> _Image:
        if "multiscales" not in attributes:
            raise FileError(f"has no multiscales in {folder or 'its folder'}")
        multiscale = attributes["multiscales"][0]
        datasets = multiscale["datasets"]
        if len(datasets) > _MOST_RESOLUTIONS:
            raise FileError(
                f"is damaged: {len(datasets)} resolutions; at most {_MOST_RESOLUTIONS} are read"
            )
        names = [self._folder.name_of(f"{folder}/{one['path']}") for one in datasets]
        shape = shape_of(self._described(names[0]))
        axes, units = _axes(multiscale.get("axes"))
        if axes[-2:] != ("y", "x") or len(set(axes)) < len(axes):
            raise FileError(f"has the axes {', '.join(axes)}; those of planes, y and x, come last")
        if len(axes) != len(shape):
            raise FileError("is damaged: its axes are not those of its arrays")
        if not known:
            scale = _scale(multiscale, len(axes))
            known = [with_pixel_size({}, scale[-1], scale[-2], units[-1], units[-2])]
        return _Image(tuple(names), axes, shape, known, *place)

    def _converted(self) -> Iterator[list[KnownOptics]]:
        """Optics of the file that this one was converted from, image by image."""
        xml = self._text("OME/METADATA.ome.xml", _MOST_XML_BYTES)
        # What takes a gigabyte and minutes to read tells nothing, as what cannot be read.
        few = xml is not None and xml.count("<") + xml.count("=") <= _MOST_XML_PARTS
        return iter(from_ome_xml(xml) if few else ())

    def _attributes(self, folder: str) -> dict[str, Any]:
        """Attributes of a group; those of NGFF 0.5 stand under "ome"."""
        group = self._json(f"{folder}/zarr.json")
        if group is not None:
            attributes = group.get("attributes", {})
            return {**attributes, **attributes.get("ome", {})}
        older = self._json(f"{folder}/.zattrs")
        if older is None:
            raise FileError(f"has no Zarr metadata in {folder or 'its folder'}")
        return older

    def _described(self, array: str) -> dict[str, Any]:
        found = self._json(f"{array}/zarr.json") or self._json(f"{array}/.zarray")
        if found is None:
            raise FileError(f"is damaged: the array {array} is missing")
        # Nothing of it is needed; what is no file is no part of an image all the same.
        self._text(f"{array}/.zattrs".lstrip("/"), _MOST_JSON_BYTES)
        return found

    def _json(self, name: str) -> dict[str, Any] | None:
        """The object in a file of metadata; None if there is no such file."""
        name = name.lstrip("/")
        text = self._text(name, _MOST_JSON_BYTES)
        if text is None:
            return None
        if sum(map(text.count, "[{,")) > _MOST_JSON_VALUES:
            raise FileError(f"is damaged: {name} has more than {_MOST_JSON_VALUES} values")
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FileError(f"is damaged: {name} is no JSON ({error!s:.200})") from error
        if not isinstance(found, dict):
            raise FileError(f"is damaged: {name} has no JSON object")
        return found

    def _text(self, name: str, most_bytes: int) -> str | None:
        """Text of a file of metadata; None if there is no such file."""
        try:
            text = self._folder.read_text(name, most_bytes)
        except FileNotFoundError:
            return None
        self._metadata_bytes += len(text)
        if self._metadata_bytes > _MOST_METADATA_BYTES:
            raise FileError(f"is too large: its metadata have over {_MOST_METADATA_BYTES} letters")
        return text

    def _error(self, error: Exception, otherwise: str) -> FileError:
        if isinstance(error, FileError):
            # Metadata may have names of any length.
            return FileError(f"{self._path}: {reason_of(error, self._path):.400}")
        return FileError(f"{self._path}: {otherwise} ({said(error)})")


def _check_chunks(n_chunks: int, pixels: int) -> None:
    """Refuse a plane of which reading the chunks would take for ever."""
    most = _MOST_CHUNKS if pixels >= _SMALL_CHUNK_PIXELS else _MOST_SMALL_CHUNKS
    if n_chunks > most:
        raise FileError(
            f"is too large: {n_chunks} chunks of {pixels} pixels in a plane; at most {most} of "
            "that size are read"
        )


def _axes(axes: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and units of axes; before NGFF 0.3 there were always five."""
    if axes is None:
        return tuple("tczyx"), ("",) * 5
    named = [{"name": one} if isinstance(one, str) else one for one in axes]
    names = tuple(_TYPES.get(str(one.get("type"))) or str(one.get("name")).lower() for one in named)
    return names, tuple(str(one.get("unit") or "") for one in named)


def _scale(multiscale: Mapping[str, Any], n_axes: int) -> list[Any]:
    """Size of a pixel of the largest array along each axis; None where it is not told."""
    total: list[Any] = [None] * n_axes
    steps = multiscale["datasets"][0].get("coordinateTransformations", [])
    for step in [*steps, *multiscale.get("coordinateTransformations", [])]:
        if step.get("type") == "scale" and len(step.get("scale", [])) == n_axes:
            total = [
                float(new) if old is None else old * float(new)
                for old, new in zip(total, step["scale"])
            ]
    return total
