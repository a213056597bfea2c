"""Which plane each page of Micro-Manager's files is, where no OME-XML tells.

A multi-page stack has a map in itself of each page's channel, slice, frame and position. Of
NDTiff, the file ``NDTiff.index`` beside the images names each page's place along axes of any names;
if it is not there, most writers' pages name it themselves.
"""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from microscope_quality.errors import FileError
from microscope_quality.files.ome_xml import MAX_PLANES
from microscope_quality.files.regular import Folder

_METADATA = 51123
_INDEX = "NDTiff.index"
# Marks in front of numbers: of NDTiff, of a stack's map, and of what the map's place leads to.
_NDTIFF, _MAP, _AT_MAP = 483729, 54773648, 3453623
_MOST_INDEX_BYTES, _MOST_AXES_BYTES, _MOST_PAGE_BYTES = 2**25, 2**14, 2**20
_AXES = {"z": "z", "time": "t", "channel": "c"}


@dataclass(frozen=True)
class Numbered:
    """Places of pages.

    Attributes
    ----------
    places
        z, c, t and series, as far as there are several, by the first byte of a page's pixels, or
        of its directory.
    by_pixels
        Which of the two it is.
    stack
        Names a set of several files; empty for one.
    """

    places: Mapping[int, Mapping[str, int]]
    by_pixels: bool
    stack: str

    def of_page(self, page: Any) -> Mapping[str, int] | None:
        """Place of a page of tifffile's; None where none is told."""
        return self.places.get(page.dataoffsets[0] if self.by_pixels else page.offset)


def numbered(path: Path, tiff: Any, pages_metadata: Sequence[tuple[int, int]]) -> Numbered | None:
    """Read the places of a file's pages; None where it tells none, or is none of Micro-Manager's.

    Parameters
    ----------
    path
        Of the TIFF.
    tiff
        The open `tifffile.TiffFile`.
    pages_metadata
        For each page, where Micro-Manager's metadata of it are, and how many bytes.
    """
    if _METADATA not in tiff.pages.first.tags:
        return None
    stream = tiff.filehandle
    stream.seek(8)
    marks = struct.unpack(f"{tiff.byteorder}2I", stream.read(8).ljust(8, b"\0"))
    try:
        if marks[0] == _NDTIFF:
            return _by_index(path) or _by_pages(tiff, pages_metadata)
        if marks[0] == _MAP:
            return _by_map(stream, tiff.byteorder, marks[1])
    # Metadata of any form are no reason not to measure.
    except (ValueError, LookupError, TypeError, RecursionError, OSError, struct.error):
        return None
    return None


def _by_map(stream: BinaryIO, order: str, at: int) -> Numbered:
    stream.seek(at)
    mark, count = struct.unpack(f"{order}2I", stream.read(8))
    if mark != _AT_MAP or count > MAX_PLANES:
        raise FileError("is damaged: its map of pages is not where it should be")
    content = stream.read(20 * count)
    names = ("channel", "z", "time", "position")
    found = [
        (where, dict(zip(names, numbers)))
        for *numbers, where in struct.iter_unpack(f"{order}5I", content[: len(content) // 20 * 20])
    ]
    return Numbered(_counted(found), by_pixels=False, stack="")


def _by_index(path: Path) -> Numbered | None:
    try:
        files = _index(path.parent, Folder(path.parent).version(_INDEX))
    except (FileError, OSError):
        return None
    places = files.get(path.name)
    several = f"ndtiff:{next(iter(files))}" if len(files) > 1 else ""
    return None if places is None else Numbered(places, by_pixels=True, stack=several)


@functools.lru_cache(maxsize=2)
def _index(folder: Path, version: tuple[int, int, int]) -> dict[str, dict[int, Mapping[str, int]]]:
    """Read an index: places of pages in each file, by the first byte of their pixels."""
    with Folder(folder).open(_INDEX) as stream:
        content = stream.read(_MOST_INDEX_BYTES + 1)
    if len(content) > _MOST_INDEX_BYTES:
        raise FileError(f"{_INDEX}: has more than {_MOST_INDEX_BYTES} bytes")
    found: list[tuple[tuple[str, int], dict[str, Any]]] = []
    at = 0
    while at + 4 <= len(content):
        texts = []
        for _ in range(2):
            (length,) = struct.unpack_from("<I", content, at)
            if length > _MOST_AXES_BYTES:
                raise ValueError("a text of an index is too long")
            texts.append(content[at + 4 : at + 4 + length].decode("utf-8", "replace"))
            at += 4 + length
        (where,) = struct.unpack_from("<I", content, at)
        at += 32
        found.append(((texts[1], where), _checked(json.loads(texts[0]))))
    files: dict[str, dict[int, Mapping[str, int]]] = {}
    for (name, where), place in _counted(found).items():
        files.setdefault(name, {})[where] = place
    return files


def _by_pages(tiff: Any, pages_metadata: Sequence[tuple[int, int]]) -> Numbered | None:
    found = []
    for page, (where, length) in zip(tiff.pages, pages_metadata):
        if length > _MOST_PAGE_BYTES:
            return None
        tiff.filehandle.seek(where)
        about = json.loads(tiff.filehandle.read(length).rstrip(b"\0"))
        found.append((page.offset, _checked(about["Axes"])))
    return Numbered(_counted(found), by_pixels=False, stack="")


def _checked(axes: Any) -> dict[str, Any]:
    if not isinstance(axes, dict) or not all(type(one) in (int, str) for one in axes.values()):
        raise ValueError("axes are numbers or names by their names")
    return axes


def _counted(found: Iterable[tuple[Any, Mapping[str, Any]]]) -> dict[Any, Mapping[str, int]]:
    """Count z, c, t and all other axes together, as series, from 0, by pages' keys."""
    pages = list(found)
    # Numbers in their order, and names in that of their appearance.
    numbers: dict[str, dict[Any, int]] = {}
    for _, axes in pages:
        for name, value in axes.items():
            numbers.setdefault(name.lower(), {}).setdefault(value, 0)
    for values in numbers.values():
        whole = sorted(value for value in values if not isinstance(value, str))
        first = whole[0] if whole else 0
        behind = whole[-1] - first + 1 if whole else 0
        named = (value for value in values if isinstance(value, str))
        values.update({value: k for k, value in enumerate(list(named), behind)})
        values.update({value: value - first for value in whole})
        if values and max(values.values()) >= MAX_PLANES:
            raise ValueError("an axis has more places than a file may have planes")
    several = [name for name, values in numbers.items() if len(values) > 1]
    others = [name for name in several if name not in _AXES]
    of_page = [
        {name.lower(): numbers[name.lower()][value] for name, value in axes.items()}
        for _, axes in pages
    ]
    series = {
        place: k
        for k, place in enumerate(
            sorted({tuple(axes.get(name, -1) for name in others) for axes in of_page})
        )
    }
    counted: dict[Any, Mapping[str, int]] = {}
    for (key, _), axes in zip(pages, of_page):
        place = {_AXES[name]: axes[name] for name in several if name in _AXES and name in axes}
        if others:
            place["series"] = series[tuple(axes.get(name, -1) for name in others)]
        counted[key] = place
    return counted
