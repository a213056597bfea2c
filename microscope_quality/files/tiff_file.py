"""tifffile's file, made to open no other one, and to list many pages without comparing them all.

Of the kinds of series that tifffile knows, those are left out that look for other files
(Micro-Manager's), and those without pixels (EER).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from microscope_quality.errors import FileError
from microscope_quality.files import ome_xml
from microscope_quality.files.directories import Directories
from microscope_quality.files.ome_xml import MAX_PLANES
from microscope_quality.files.regular import open_regular

# A tag with Olympus's text, and what ScanImage's begins with.
_OLYMPUS, _SCANIMAGE = 33471, 0x07030301
_MOST_TEXT_BYTES = 2**22
_MOST_PARTS = 100_000
# Of Hamamatsu's slides, whose pages tifffile compares with each other.
_MOST_OF_SLIDE = 2000


def opened(path: Path, directories: Directories, xml: str | None = None) -> Any:
    """Open a TIFF whose directories were looked at.

    Parameters
    ----------
    path
        Of the file.
    directories
        What `read_directories` found in it.
    xml
        OME-XML in place of the file's own.

    Returns
    -------
    tifffile.TiffFile

    Raises
    ------
    FileError
        Its metadata tell of what cannot be.
    """
    from tifffile import TiffFile

    open_regular(path).close()  # tifffile would wait for a pipe
    flags = {}
    if directories.evenly(path.stat().st_size) > MAX_PLANES:
        # Of ScanImage's, tifffile makes pages up, at even distances to the end of the file.
        flags["is_scanimage"] = False
    tiff = TiffFile(path, omexml=xml, _multifile=False, **flags)
    tiff.is_mmstack = tiff.is_ndtiff = tiff.is_eer = False
    if not tiff.is_ndpi:
        tiff._series_generic = lambda: _alike(tiff)
    elif len(tiff.pages) > _MOST_OF_SLIDE:
        tiff.close()
        raise FileError(f"has {len(tiff.pages)} pages; of an NDPI, {_MOST_OF_SLIDE} are read")
    return tiff


def check_description(tiff: Any) -> None:
    """Refuse what metadata tell that cannot be, of formats that have some beside OME-TIFF.

    Parameters
    ----------
    tiff
        What `opened` gave.

    Raises
    ------
    FileError
        They do.
    """
    description = tiff.pages.first.description
    if isinstance(description, str) and description.lstrip().startswith("<"):
        ome_xml.check(description)
        if tiff.is_scn:
            ome_xml.check_scn(description, len(tiff.pages))
    if _OLYMPUS in tiff.pages.first.tags:
        _check_olympus(tiff)
    if tiff.is_scanimage and tiff.is_bigtiff:
        tiff.filehandle.seek(16)
        magic, _, *lengths = struct.unpack("<4I", tiff.filehandle.read(16).ljust(16, b"\0"))
        if magic == _SCANIMAGE and max(lengths) > _MOST_TEXT_BYTES:
            raise FileError(f"is damaged: its metadata take {max(lengths)} bytes")


def _check_olympus(tiff: Any) -> None:
    """Refuse lists in Olympus's text of which it tells the lengths alone."""
    from tifffile.tifffile import bytes2str

    tag = tiff.pages.first.tags[_OLYMPUS]
    if tag.count > _MOST_TEXT_BYTES:
        raise FileError(f"is damaged: its metadata take {tag.count} bytes")
    tiff.filehandle.seek(tag.valueoffset)
    section, bands, made = "", 0, 0
    for line in bytes2str(tiff.filehandle.read(tag.count)).splitlines():
        name, _, value = (part.strip() for part in line.partition("="))
        if name.startswith("[") and name.endswith("]"):
            section = name[1:-1]
            made += bands if section == "Band" else 0
        elif (section, name) == ("Dimension", "Band"):
            bands = _number(value)
        elif (section, name) == ("ASD", "Count"):
            made += _number(value)
        if made > _MOST_PARTS:
            raise FileError(f"is damaged: its metadata tell of over {_MOST_PARTS} bands")


def _number(text: str) -> int:
    try:
        return max(int(text), 0)
    except ValueError:
        return 0


def _alike(tiff: Any) -> list[Any]:
    """Series of pages that are alike, as tifffile has them, but without comparing all with all."""
    from tifffile import TiffPageSeries
    from tifffile.tifffile import pyramidize_series

    groups: dict[int, dict[int, Any]] = {}
    tiff.pages.cache = False
    tiff.pages.useframes = False
    for page in tiff.pages:
        for one in (page, *_within(tiff, page)):
            if one.shape:
                groups.setdefault(one.hash, {}).setdefault(one.offset, one)
    series = []
    for group in groups.values():
        pages = list(group.values())
        first = pages[0]
        shape, axes = (len(pages), *first.shape), f"I{first.axes}"
        if "S" not in axes:
            shape, axes = (*shape, 1), f"{axes}S"
        series.append(TiffPageSeries(pages, shape, first.dtype, axes, kind="generic"))
    tiff.is_uniform = len(series) == 1
    if not tiff.is_agilent:
        pyramidize_series(series)
    return series


def _within(tiff: Any, page: Any) -> list[Any]:
    """Pages that a page names, such as smaller copies; those that cannot be read are left out."""
    from tifffile import TiffPage

    found = []
    for number, offset in enumerate(page.subifds or ()):
        if offset >= 8:
            try:
                tiff.filehandle.seek(offset)
                found.append(TiffPage(tiff, (page.index, number)))
            except Exception:  # of any kind, where there is no directory
                continue
    return found
