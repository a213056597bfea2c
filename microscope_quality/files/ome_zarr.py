"""Read OME-Zarr folders (NGFF 0.1 to 0.5, Zarr 2 and 3) plane by plane, chunk by chunk.

The layout is read here, from the folder's JSON files; the zarr library reads the pixels.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from microscope_quality.errors import FileError, reason_of
from microscope_quality.files import lazy
from microscope_quality.files.lazy import MAX_WHOLE_BYTES, LazyPlane, Segments
from microscope_quality.files.metadata import (
    KnownOptics,
    from_ome_xml,
    of_place,
    with_pixel_size,
)
from microscope_quality.files.plane import Page, Plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The end of the name of a folder that is an image.
SUFFIX = ".zarr"

# Of one file of metadata, and of the images of a folder: more is no microscope's.
_MOST_BYTES = 2**26
_MOST_IMAGES = 100_000
# Of an array along an axis.
_LONGEST = 2**31


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
    """A multi-resolution image in a folder: its arrays, the largest first."""

    arrays: tuple[Path, ...]
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    known: list[KnownOptics]
    plate: Optional[str] = None
    well: Optional[str] = None
    site: Optional[str] = None


class ZarrImage:
    """An OME-Zarr folder: one image, several, or a plate of wells.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    FileError
        It is not an OME-Zarr image, is damaged, or the zarr library is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._root = Path(os.path.realpath(path))
        # Beside each page: its image and the numbers along all axes but y and x.
        self._stored: list[tuple[_Image, tuple[int, ...]]] = []
        # Of the page that was read last, for the next one.
        self._opened: tuple[Optional[_Image], list[Any]] = (None, [])
        pages: list[Page] = []
        try:
            images = list(itertools.islice(self._images(), _MOST_IMAGES))
            for number, image in enumerate(images):
                outer = image.shape[:-2]
                if math.prod(outer) + len(pages) > 10 * _MOST_IMAGES:
                    raise FileError(f"is too large: it has {math.prod(outer)} planes")
                for index in np.ndindex(outer):
                    place = {
                        axis: i for axis, i, length in zip(image.axes, index, outer) if length > 1
                    }
                    series = number if len(images) > 1 else None
                    pages.append(
                        Page(
                            len(pages),
                            series,
                            place.get("z"),
                            place.get("c"),
                            place.get("t"),
                            image.plate,
                            image.well,
                            image.site,
                            width=image.shape[-1],
                            height=image.shape[-2],
                            # Whatever their type, which only the array itself tells: of the
                            # common ones, the largest.
                            pixel_bytes=4,
                            band_rows=1,
                        )
                    )
                    self._stored.append((image, index))
            if not pages:
                raise FileError("holds no image")
        except Exception as error:
            raise self._error(error, "is no OME-Zarr image, or is damaged") from error
        if find_spec("zarr") is None:
            raise FileError(
                f"{path}: reading OME-Zarr needs zarr: pip install 'microscope-quality[formats]'"
            )
        self.pages: Sequence[Page] = pages

    def read(self, page: Page, *, luminance: bool = False, whole: bool = False) -> list[Plane]:
        """Planes of one page; see `images.ImageFile`."""
        image, index = self._stored[page.index]
        try:
            if self._opened[0] is not image:
                self._opened = (
                    image,
                    [(self._array(path), self._blosc_chunks(path)) for path in image.arrays],
                )
            arrays = self._opened[1]
            planes = [self._plane(arrays[0][0], arrays[0][1], index)]
            for array, packed in arrays[1:]:
                if len(array.shape) == len(image.shape) and len(index) == len(array.shape) - 2:
                    planes.append(self._plane(array, packed, index))
            planes[0].smaller += planes[1:]
            array = planes[0]
            pixels = math.prod(array.shape)
            return [
                Plane(
                    np.asarray(array) if whole or pixels <= lazy.LAZY_PIXELS else array,  # type: ignore[arg-type]
                    page.series,
                    page.z,
                    page.c,
                    page.t,
                    page.plate,
                    page.well,
                    page.site,
                    known_optics=of_place([image.known], None, page.c),
                )
            ]
        except Exception as error:
            raise self._error(error, "cannot be decoded") from error

    def _plane(
        self,
        array: Any,
        packed: Optional[Callable[[Sequence[int]], Path]],
        index: tuple[int, ...],
    ) -> LazyPlane:
        height, width = array.shape[-2:]
        dtype = np.dtype(array.dtype)
        if dtype.kind not in "buif":
            raise FileError(f"holds {dtype} pixels; real numbers can be measured")
        if len(index) != len(array.shape) - 2 or not all(
            i < length for i, length in zip(index, array.shape)
        ):
            raise FileError("is damaged: its resolutions have different axes")
        chunk = tuple(int(length) for length in array.chunks)
        if min(chunk) < 1 or max(array.shape) > _LONGEST:
            raise FileError("is damaged: its chunks or arrays have an impossible length")
        n_bytes = math.prod(chunk) * dtype.itemsize
        if n_bytes > MAX_WHOLE_BYTES:
            raise FileError(f"is too large: chunks of {' × '.join(map(str, chunk))} pixels")
        high, wide = min(chunk[-2], height), min(chunk[-1], width)

        def decode(places: list[tuple[int, int]]) -> Iterator[NDArray[Any]]:
            for row, column in places:
                top, left = row * high, column * wide
                area = (slice(top, min(top + high, height)), slice(left, min(left + wide, width)))
                try:
                    if packed is not None:
                        numbers = [n // length for n, length in zip(index, chunk)]
                        _check_blosc(packed([*numbers, row, column]), n_bytes)
                    pixels = np.asarray(array[index + area])
                except Exception as error:
                    where = f"the chunk of rows {area[0].start} to {area[0].stop - 1} and columns "
                    where += f"{area[1].start} to {area[1].stop - 1}"
                    raise self._error(error, f"cannot be decoded: {where} is damaged") from error
                yield np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))

        read = Segments((height, width), (high, wide), dtype, decode)
        return LazyPlane((height, width), dtype, read, str(self._path))

    def _array(self, path: Path) -> Any:
        import zarr

        if (path / "zarr.json").exists() and int(zarr.__version__.split(".")[0]) < 3:
            raise FileError(
                f"is of Zarr format 3, which zarr {zarr.__version__} cannot read: it needs "
                "zarr 3, on Python 3.11 or newer"
            )
        return zarr.open_array(os.fspath(path), mode="r")

    def _blosc_chunks(self, folder: Path) -> Optional[Callable[[Sequence[int]], Path]]:
        """Where the chunks of an array lie, if each is a file that Blosc packed."""
        about = self._described(folder)
        if about.get("zarr_format") == 2:
            codec = (about.get("compressor") or {}).get("id")
            separator, first = about.get("dimension_separator") or ".", []
        else:
            codec = (about.get("codecs") or [{}])[-1].get("name")
            keys = about.get("chunk_key_encoding") or {}
            default = keys.get("name") == "default"
            separator = (keys.get("configuration") or {}).get("separator", "/" if default else ".")
            first = ["c"] if default else []
        if codec != "blosc":
            return None
        return lambda numbers: folder / separator.join([*first, *map(str, numbers)])

    def _images(self) -> Iterator[_Image]:
        """Images of the folder: of a plate, of a file that Bio-Formats converted, or its own."""
        attributes = self._attributes(self._root)
        if "plate" in attributes:
            yield from self._of_plate(attributes["plate"])
        elif "multiscales" in attributes:
            yield self._multiscale(self._root, attributes, [])
        else:
            ome = self._root / "OME"
            converted = from_ome_xml(_text(ome / "METADATA.ome.xml"))
            names = (self._attributes(ome) if ome.is_dir() else {}).get("series")
            if names is None and "bioformats2raw.layout" in attributes:
                names = [str(n) for n in itertools.takewhile(self._is_group, itertools.count())]
            if not names:
                raise FileError("has no OME-Zarr metadata (multiscales, plate or series)")
            for number, name in enumerate(names):
                folder = self._inside(self._root, str(name))
                known = converted[number] if number < len(converted) else []
                yield self._multiscale(folder, self._attributes(folder), known)

    def _is_group(self, number: int) -> bool:
        return (self._root / str(number)).is_dir()

    def _of_plate(self, plate: Mapping[str, Any]) -> Iterator[_Image]:
        name = str(plate.get("name") or self._path.stem)
        converted = from_ome_xml(_text(self._root / "OME" / "METADATA.ome.xml"))
        number = 0
        for well in plate["wells"]:
            folder = self._inside(self._root, str(well["path"]))
            # "A/1" is what plates call A1.
            label = "".join(str(well["path"]).split("/"))
            for site, field in enumerate(self._attributes(folder)["well"]["images"]):
                inner = self._inside(folder, str(field["path"]))
                known = converted[number] if number < len(converted) else []
                yield self._multiscale(
                    inner, self._attributes(inner), known, name, label, str(field.get("path", site))
                )
                number += 1

    def _multiscale(
        self,
        folder: Path,
        attributes: Mapping[str, Any],
        known: list[KnownOptics],
        *place: str,
    ) -> _Image:
        if "multiscales" not in attributes:
            raise FileError(f"has no multiscales in {folder.relative_to(self._root)}")
        multiscale = attributes["multiscales"][0]
        paths = [self._inside(folder, str(one["path"])) for one in multiscale["datasets"]]
        shape = tuple(int(length) for length in self._described(paths[0])["shape"])
        axes, units = _axes(multiscale.get("axes"), len(shape))
        if axes[-2:] != ("y", "x") or not set(axes) <= set("tczyx") or len(set(axes)) < len(axes):
            raise FileError(f"has the axes {', '.join(axes)}; t, c, z, y, x can be measured")
        if len(axes) != len(shape):
            raise FileError("is damaged: its axes are not those of its arrays")
        if not all(1 <= length <= _LONGEST for length in shape):
            raise FileError(f"is damaged: an array of {' × '.join(map(str, shape))}")
        if not known:
            scale = _scale(multiscale, len(axes))
            known = [with_pixel_size({}, scale[-1], scale[-2], units[-1], units[-2])]
        return _Image(tuple(paths), axes, shape, known, *place)

    def _inside(self, folder: Path, path: str) -> Path:
        """A place within the image's folder: metadata may name no other."""
        inner = Path(os.path.realpath(folder / path))
        if self._root not in inner.parents:
            raise FileError(f"is damaged: its metadata name {path!r}, which is outside of it")
        return inner

    def _attributes(self, folder: Path) -> dict[str, Any]:
        """Attributes of a group; those of NGFF 0.5 stand under "ome"."""
        text = _text(folder / "zarr.json")
        if text is not None:
            attributes = json.loads(text).get("attributes", {})
            return {**attributes, **attributes.get("ome", {})}
        text = _text(folder / ".zattrs")
        if text is None:
            raise FileError(f"has no Zarr metadata in {folder.name}")
        return dict(json.loads(text))

    def _described(self, folder: Path) -> dict[str, Any]:
        text = _text(folder / "zarr.json") or _text(folder / ".zarray")
        if text is None:
            raise FileError(f"is damaged: the array {folder.relative_to(self._root)} is missing")
        return dict(json.loads(text))

    def _error(self, error: Exception, otherwise: str) -> FileError:
        if isinstance(error, FileError):
            # Metadata may have names of any length.
            return FileError(f"{self._path}: {reason_of(error, self._path):.400}")
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return FileError(f"{self._path}: {otherwise} ({reason})")


def _check_blosc(path: Path, n_bytes: int) -> None:
    """Refuse a chunk whose header Blosc would believe: it reads and takes what that says."""
    try:
        with path.open("rb") as stream:
            head, size = stream.read(16), os.fstat(stream.fileno()).st_size
    except OSError:
        return  # what is not there is the array's fill value, or zarr's error
    unpacked, _, packed = struct.unpack("<4x3I", head.ljust(16, b"\0"))
    if packed != size or unpacked > n_bytes:
        raise ValueError(
            f"{size} bytes, {unpacked} when unpacked, in place of {packed} and {n_bytes}"
        )


def _axes(axes: Any, n_axes: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and units of axes; before NGFF 0.3 there were always five."""
    if axes is None:
        return tuple("tczyx"), ("",) * 5
    named = [{"name": one} if isinstance(one, str) else one for one in axes]
    names = tuple(str(one.get("name")).lower() for one in named)
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


def _text(path: Path) -> Optional[str]:
    """Text of a file of metadata; None if there is no such file."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise FileError(f"is damaged: {path.name} has {path.stat().st_size} bytes")
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
