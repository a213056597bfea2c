"""Read image files plane by plane, and find them in folders.

A file is trusted no further than its header: what it claims is checked against its real size
before any memory is asked for, and whatever a decoder stumbles over becomes a `FileError`.
"""

from __future__ import annotations

import contextlib
import glob
import math
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from microscope_quality.errors import FileError, reason_of
from microscope_quality.files import (
    companions,
    formats,
    lazy,
    micromanager,
    ome_xml,
    ome_zarr,
    tiff_file,
)
from microscope_quality.files.directories import read_directories
from microscope_quality.files.harmony import INDEXES, optics_beside
from microscope_quality.files.lazy import MAX_WHOLE_BYTES, LazyPlane
from microscope_quality.files.lazy_tiff import LazyPage, band_rows, can_be_lazy, inversion
from microscope_quality.files.left_out import (
    EXCLUDED,
    EXCLUDED_FOLDERS,
    SLIDES,
    LeftOut,
    LeftOutCounts,
    in_words,
)
from microscope_quality.files.metadata import KnownOptics, completed, from_tiff, of_place, of_slide
from microscope_quality.files.ome_xml import MAX_PLANES
from microscope_quality.files.patterns import matching
from microscope_quality.files.pictures import OVERLAYS
from microscope_quality.files.plane import ImageFile, Page, Plane, grey_channels, luminance
from microscope_quality.files.raster import BMP, JPEG, PNG, bare
from microscope_quality.files.regular import open_regular, said
from microscope_quality.files.segments import check_packing, check_segments
from microscope_quality.files.tables import RESULTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Endings of the files, and folders of OME-Zarr, that a search in a folder takes; a file named by
#: itself may have any. The formats of makers are found also where their reader is missing: it is
#: the row's error then.
SUFFIXES = (
    *(".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk", ".png", ".jpg", ".jpeg", ".bmp"),
    *SLIDES,
    *formats.FORMATS,
    ome_zarr.SUFFIX,
)

# Planes that are read at once, of which each takes some kB beside its pixels: more than any
# spectrum has.
_MOST_PLANES_OF_PAGE = 4096
# Axes of a series, of which tifffile knows some twenty.
_MOST_AXES = 64
# What files of slides have besides, by tifffile's names, and the kinds that these names are for.
_OVERVIEWS = ("Thumbnail", "Label", "Macro", "Map")
_WITH_OVERVIEWS = ("svs", "ndpi", "qpi", "bif", "avs", "philips")
# Planes that are missing of which each is a row.
_MOST_LOST = 1000
# The table's names of axes, by tifffile's letters: a wavelength (E) is a channel's. Along any other
# axis that a file names, such as positions (R), tiles (M), rows, columns, angles or phases, there
# are images of their own: these are series.
_AXES = {"Z": "z", "C": "c", "E": "c", "T": "t", "Y": "y", "X": "x"}

#: Deflate packs at most 1,032 bytes into one, and JPEG and BMP pack less: a file that claims more
#: cannot hold its pixels.
_MAX_COMPRESSION = 1032

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_PathLike = str | os.PathLike[str]


def planes(path: _PathLike, *, luminance: bool = False) -> Iterator[Plane]:
    """Read the planes of an image file, one stored page at a time.

    Parameters
    ----------
    path
        A TIFF (also OME, ImageJ, LSM, STK), PNG, JPEG or BMP file, known by its first bytes; an
        OME-Zarr folder or a CZI, LIF or ND2 file, known by its name (extras `formats`, `czi`).
    luminance
        Turn colour into one grey plane, 0.2126 R + 0.7152 G + 0.0722 B (ITU-R BT.709), rounded
        to the file's type. Otherwise red, green and blue are planes c = 0, 1, 2, unless all three
        are equal: that is one grey plane. Transparency is left out; but four planes that a TIFF
        stores one by one are four channels, whatever it calls the last one.

    Yields
    ------
    Plane
        (H, W) arrays with the file's pixel type in native byte order. Grey values that the file
        stores as "0 is white" are inverted; a TIFF's palette is left out, as its numbers are the
        measured ones. Axes without a name, such as the pages of a plain TIFF, count as z, or as t
        beside a z axis.

    Raises
    ------
    FileError
        The file is missing, not readable, empty, not an image, damaged, cut short or too large.
    """
    image = open_image(path)
    for page in image.pages:
        yield from image.read(page, luminance=luminance, whole=True)


def open_image(path: _PathLike) -> ImageFile:
    """Read the header of an image file and list its pages.

    Raises
    ------
    FileError
        As for `planes`, as far as the header tells.
    """
    path = Path(path)
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            if ome_zarr.is_zarr(path):
                return ome_zarr.ZarrImage(path)
            next(path.iterdir(), None)  # refused to some, for another reason
            raise FileError("is a folder, not an image file")
        with open_regular(path) as stream:
            start = stream.read(32)
            size = os.fstat(stream.fileno()).st_size
        if not start:
            raise FileError("is empty (0 bytes)")
        if path.suffix.lower() == ".mrxs":  # a picture of the glass, of a slide beside it
            raise FileError(
                "is a slide of 3DHISTECH's, which is not read; save it as OME-TIFF or OME-Zarr, as "
                "with bioformats2raw"
            )
        if not start.startswith((*_TIFF, PNG, JPEG, BMP)):
            if path.suffix.lower() in formats.FORMATS:
                return formats.FormatImage(path)
            raise FileError(
                f"is not a TIFF, PNG, JPEG or BMP image; it begins with {_in_words(start[:12])}"
            )
    except FileNotFoundError:
        missing = "is a link to a file that is missing" if path.is_symlink() else "does not exist"
        raise FileError(f"{path}: {missing}") from None
    except (OSError, ValueError) as error:  # of a name that no file can have
        raise _file_error(path, error, "cannot be read") from error
    if start.startswith(_TIFF):
        return _TiffImage(path, size)
    return _RasterImage(path, start, size)


def _in_words(start: bytes) -> str:
    """Tell the first bytes of a file, as text where they are one."""
    if not any(start):
        return "zeros"
    text = " ".join(start.decode("latin-1").split())
    if text.isascii() and text.isprintable() and text:
        return f'the text "{text}"'
    return f"the bytes {start.hex(' ')}"


def find(
    paths: Iterable[_PathLike],
    *,
    exclude: _PathLike | None = None,
    others: Counter[str] | None = None,
    without: str | Iterable[str] = (),
    left_out: LeftOutCounts | None = None,
) -> list[tuple[str, Path]]:
    """Image files named by files, folders and glob patterns.

    Parameters
    ----------
    paths
        Files are taken whatever their ending, and even when they do not exist, so that reading
        them tells what is wrong. Folders are searched through all levels for the endings in
        `SUFFIXES`, in natural order ("b2" before "b10"); names that start with a dot are left
        out, and so are thumbnails, reduced copies and overviews of slides (see `LeftOut`); no
        folder is entered twice. A folder whose name ends with ``.zarr`` is an image. A
        pattern (``*``, ``?``, ``[``, ``**``) that is not itself a file gives what it matches.
    exclude
        A folder not to be searched, such as the one for results, unless it is itself named.
    others
        Counts the endings, such as ``".txt"``, of what folders hold besides.
    without
        Patterns of what to leave out besides, as for `LeftOut`: of the name relative to the folder
        that is searched, or of a file named by itself as it is given.
    left_out
        Counts the images that are left out, by why.

    Returns
    -------
    list of (str, Path)
        Each file once. The name is relative to the folder that was named; where several paths
        were named, and for a file named by itself, it is the path as given. It has forward
        slashes.
    """
    named: list[Path] = []
    for path in paths:
        text = os.fspath(path)
        if not os.path.lexists(text) and glob.has_magic(text):
            named += [Path(match) for match in _sorted(matching(text))]
        else:
            named.append(Path(text))

    entered: set[str] = set()
    if exclude is not None:
        outside = os.path.realpath(exclude)
        # Images that lie beside the results, in the very folder that is named, are to be found.
        if all(os.path.realpath(path) != outside for path in named):
            entered.add(outside)
    found: dict[Path, tuple[str, Path]] = {}
    leaving = LeftOut(without)
    for path in named:
        # False too of a name that is too long, on which a path would raise.
        if os.path.isdir(path) and not ome_zarr.is_zarr(path):  # noqa: PTH112
            for file in _search(path, entered, leaving, others):
                name = file.relative_to(path) if len(named) == 1 else file
                found.setdefault(file.absolute(), (name.as_posix(), file))
        elif leaving.is_excluded(path.as_posix()):
            leaving.counts.add(EXCLUDED, path.as_posix())
        else:
            found.setdefault(path.absolute(), (path.as_posix(), path))
    if left_out is not None:
        left_out.add_all(leaving.counts)
    return list(found.values())


def find_some(
    paths: Sequence[_PathLike],
    *,
    exclude: _PathLike | None = None,
    others: Counter[str] | None = None,
    without: str | Iterable[str] = (),
    left_out: LeftOutCounts | None = None,
) -> list[tuple[str, Path]]:
    """Image files as `find` gives them, of which one or more are there.

    Raises
    ------
    FileError
        There is none.
    """
    leaving = LeftOutCounts() if left_out is None else left_out
    files = find(paths, exclude=exclude, others=others, without=without, left_out=leaving)
    if any(os.path.lexists(path) for _, path in files):
        return files
    named = [os.fspath(path) for path in paths]
    missing = [path for path in named if not os.path.lexists(path) and not glob.has_magic(path)]
    if missing:
        raise FileError(f"There is no file or folder {', '.join(missing)}.")
    if leaving:
        raise FileError(
            f"There is no image in {', '.join(named)} but what is left out: {in_words(leaving)}."
        )
    raise FileError(
        f"There is no image in {', '.join(named)}; in folders, files with these endings are found: "
        f"{' '.join(SUFFIXES)}."
    )


_Level = tuple[Iterator[Path], str, str, Collection[str], str]


def _search(
    folder: Path, entered: set[str], leaving: LeftOut, others: Counter[str] | None = None
) -> Iterator[Path]:
    # Not by recursion: folders may lie deeper in each other than calls may. With each folder's
    # content goes its real path, since to find that anew takes a step for each folder above; its
    # name from the searched folder on; what lies in it; and why it is left out.
    levels: list[_Level] = [(iter((folder,)), "", "", (), "")]
    while levels:
        siblings, above, before, beside, why = levels[-1]
        path = next(siblings, None)
        if path is None:
            levels.pop()
            continue
        name = "" if path is folder else f"{before}{path.name}"
        why = why or (leaving.why(name, beside) if name else "")
        if name and path.name.lower().endswith(SUFFIXES):
            # A folder with the name of an image is no place to search: reading it says so.
            if why:
                leaving.counts.add(why, name)
            else:
                yield path
        else:
            try:
                if path.is_dir():
                    if why == EXCLUDED:
                        leaving.counts.add(EXCLUDED_FOLDERS, name)
                        continue
                    linked = path is folder or path.is_symlink() or sys.platform == "win32"
                    real = os.path.realpath(path) if linked else f"{above}{os.sep}{path.name}"
                    if real not in entered:
                        entered.add(real)
                        names = _names(path)
                        content = map(path.joinpath, _sorted(names))
                        levels.append((content, real, f"{name}/" if name else "", names, why))
                elif others is not None and not why and not _is_metadata(path.name):
                    others[path.suffix.lower()] += 1
            except OSError:
                if not why:
                    yield path  # reading it tells why


def _is_metadata(name: str) -> bool:
    """Whether a file belongs to images beside it, which tell of it or for which it is read."""
    return name.lower().endswith(".companion.ome") or name in INDEXES


def _names(folder: Path) -> set[str]:
    """Give the names of what lies in a folder and is not hidden."""
    names = {path.name for path in folder.iterdir()}
    return {name for name in names if not is_left_out(name, names)}


def is_left_out(name: str, beside: Collection[str]) -> bool:
    """Whether a search leaves a name out: a hidden one, or the folder of a run's pictures."""
    # Also of a run that goes on, or was killed.
    of_run = name == OVERLAYS and not {RESULTS, f"{RESULTS}.part"}.isdisjoint(beside)
    return name.startswith(".") or of_run


def _sorted(names: Iterable[str]) -> list[str]:
    def key(name: str) -> tuple[list[tuple[bool, int, str]], str]:
        parts = [part for part in re.split(r"([0-9]+)", name.casefold()) if part]
        numbers = [int(part) if part[0] in "0123456789" else -1 for part in parts]
        return [(n < 0, n, part if n < 0 else "") for n, part in zip(numbers, parts)], name

    names = list(names)
    if _are_hexadecimal(names):
        return sorted(names, key=lambda name: (name.casefold(), name))
    return sorted(names, key=key)


def _are_hexadecimal(names: Iterable[str]) -> bool:
    """Whether images are counted by hexadecimal numbers of one length, such as 09, 0a, …, 10.

    In natural order 0a, whose number is 0, would come before 01.
    """
    images = [name.casefold() for name in names if name.lower().endswith(SUFFIXES)]
    stems = [name.partition(".")[0] for name in images]
    start = len(os.path.commonprefix(stems))  # noqa: RUF071 (characters, not folders)
    numbers = {stem[start:] for stem in stems}
    lengths = {len(number) for number in numbers}
    are_digits = set("0123456789abcdef").issuperset("".join(numbers))
    return len(lengths) == 1 and are_digits and len(numbers) == len(images) > 1


class _RasterImage:
    """A PNG, JPEG or BMP file."""

    def __init__(self, path: Path, start: bytes, size: int) -> None:
        self._path = path
        self._png16 = start.startswith(PNG) and start[24:25] == b"\x10"
        try:
            with open_regular(path) as stream:
                image = _pillow(bare(stream, start), start)
                width, height = image.size
                n_bytes = width * height * len(image.getbands()) * (2 if self._png16 else 1)
            advice = "; save it as a TIFF of tiles or of strips of some rows: that is read in parts"
            lazy.check_size(n_bytes, (height, width), behind=advice)
            pixel_bytes = n_bytes // max(width * height, 1)
            self.pages = [Page(0, width=width, height=height, pixel_bytes=pixel_bytes)]
            if size > n_bytes + MAX_WHOLE_BYTES:
                raise FileError(f"is too large: {size} bytes for {width} × {height} pixels")
            # Pixels of one bit take an eighth of what was counted.
            if n_bytes > 8 * size * _MAX_COMPRESSION:
                raise FileError(
                    f"is cut short: {size} bytes cannot hold the {width} × {height} pixels that "
                    "its header promises"
                )
        except Exception as error:
            raise _file_error(path, error, "has a damaged header") from error

    def read(self, page: Page, *, luminance: bool = False, whole: bool = False) -> list[Plane]:
        try:
            with open_regular(self._path) as stream:
                array, colour = _decode_png16(stream) if self._png16 else _decode(stream)
            planes = grey_channels(array, colour, luminance)
            return [page.plane(plane, None, c=c) for c, plane in planes]
        except Exception as error:
            raise _file_error(self._path, error, "cannot be decoded") from error


def _pillow(stream: BinaryIO, start: bytes) -> Any:
    """Image of which Pillow has read the header.

    The three formats by name: `Image.open` would load all of Pillow's, and has an opinion of its
    own on what is too large.
    """
    if start.startswith(PNG):
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile(stream)
    if start.startswith(JPEG):
        from PIL.JpegImagePlugin import JpegImageFile

        return JpegImageFile(stream)
    from PIL.BmpImagePlugin import BmpImageFile

    return BmpImageFile(stream)


def _decode(stream: BinaryIO) -> tuple[NDArray[Any], bool]:
    start = stream.read(32)
    stream.seek(0)
    image = _pillow(bare(stream, start), start)
    if image.mode == "P":
        image = image.convert("RGB")
    bands = image.getbands()
    array = np.asarray(image)
    if bands[-1] == "A":
        array = array[..., :-1]
    return array, bands[:3] == ("R", "G", "B")


def _decode_png16(stream: BinaryIO) -> tuple[NDArray[Any], bool]:
    # Pillow reduces colour of 16 bits to 8 without a word.
    from imagecodecs import png_decode

    start = stream.read(32)
    array = np.asarray(png_decode(bare(stream, start).read()))
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array = array[..., :-1]
    return array, array.ndim == 3 and array.shape[2] == 3


@dataclass(frozen=True, eq=False)
class _Layout:
    """How the pages of a series make up its planes.

    The leading `n_outer` axes count pages, the others are inside a page. Names are "z", "c",
    "t", "y", "x", "s" for the samples of a colour, "series" for axes along which there are images
    of their own, and "" for an axis of length 1.
    """

    key: Any  # the TiffPage that all pages of the series are like
    names: tuple[str, ...]
    shape: tuple[int, ...]
    n_outer: int
    samples: int | None  # the axis of the samples of a pixel
    n_samples: int  # without transparency

    @property
    def planes_in_page(self) -> int:
        inner = zip(self.names[self.n_outer :], self.shape[self.n_outer :])
        return math.prod(length for name, length in inner if name not in ("y", "x"))

    @property
    def n_series(self) -> int:
        """Images of their own."""
        named = zip(self.names, self.shape)
        return math.prod(length for name, length in named if name == "series")

    def place(self, index: Sequence[int]) -> dict[str, int]:
        """z, c, t and series of an index along the leading axes, or along all of them."""
        place: dict[str, int] = {}
        for name, length, i in zip(self.names, self.shape, index):
            if name in ("z", "c", "t", "series"):
                place[name] = place.get(name, 0) * length + int(i)
        return place


class _TiffImage:
    """A TIFF file, with the series, axes and pages that tifffile finds in it."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self.pages: list[Page] = []
        self._stored: list[_Stored] = []
        # Pages that are missing, and how many others are.
        self._lost: list[int] = []
        self._n_more_lost = 0
        # What is said of all planes, and the set of files that they are of, if it is no OME-TIFF's.
        self._note = self._set = ""
        # Of pages in colour that were read lazily: whether the three channels are equal.
        self._equal: dict[int, bool] = {}
        try:
            with open_regular(path) as stream:
                found = read_directories(stream, size, hamamatsu=path.suffix.lower() == ".ndpi")
            self._ways, self._notes = found.ways, found.notes
            with tiff_file.opened(path, found) as tiff:
                own = None
                if tiff.is_ome:
                    described = companions.described(path, tiff.ome_metadata)
                    self._known, self._note = described.known, described.note
                    own = described.of_file(path.name, len(tiff.pages), found.sides)
                else:
                    beside, self._note = optics_beside(path)
                    self._known = completed(from_tiff(tiff), beside)
                    tiff_file.check_description(tiff)
                    self._list_pages(tiff)
            if own is not None:
                with tiff_file.opened(path, found, own.xml) as tiff:
                    self._list_pages(tiff, own)
            if not self.pages:
                raise FileError("holds no image")
        except Exception as error:
            raise _file_error(path, error, "is damaged or cut short") from error

    def _list_pages(self, tiff: Any, own: ome_xml.OwnFile | None = None) -> None:
        self._tiff = tiff
        _check_imagej(tiff, self._size)
        every = [s for s in tiff.series if not s.keyframe.is_reduced] or tiff.series[:1]
        reduced = [s for s in tiff.series if s.keyframe.is_reduced]
        every, self._note = _without_overviews(tiff, every, reduced, self._note)
        slides = [of_slide(series) for series in every]
        if any(slide is not None for slide in slides):
            self._known = [[slide or KnownOptics()] for slide in slides]
        layouts = list(map(_layout, every))
        n_series = sum(layout.n_series for layout in layouts)
        # Pages that were written one by one are a stack all the same when they are alike.
        alike = {(len(one), one.shape, one.dtype) for one in every}
        stacked = n_series == len(every) > 1 and not tiff.is_ome
        stacked = stacked and len(alike) == 1 and len(every[0]) == 1
        n_planes = first_series = 0
        for number, (series, layout) in enumerate(zip(every, layouts)):
            n_planes += _n_planes(layout)
            if n_planes > MAX_PLANES:
                raise FileError(f"has {n_planes} planes; at most {MAX_PLANES} are read")
            self._list_series(
                tiff,
                series,
                layout,
                _levels(series, reduced),
                number,
                z=number if stacked else None,
                first_series=first_series if n_series > 1 and not stacked else None,
                image=None if own is None else own.images.get(series.name),
                by_micromanager=len(every) == 1 and own is None,
            )
            first_series += layout.n_series

    def _list_series(
        self,
        tiff: Any,
        series: Any,
        layout: _Layout,
        levels: Sequence[Sequence[Any]],
        number: int,
        *,
        z: int | None,
        first_series: int | None,
        image: ome_xml.OwnImage | None,
        by_micromanager: bool,
    ) -> None:
        """List the pages of one of tifffile's series.

        Parameters
        ----------
        tiff, series, layout, levels, number
            The file, the series, its layout, the same at lower resolutions, and its number.
        z
            Of its only page, where pages that were written one by one are a stack.
        first_series
            Number of its first image, None if the file has one alone.
        image
            What OME-XML tells of it.
        by_micromanager
            Whether Micro-Manager's metadata may tell the places.
        """
        outer = layout.shape[: layout.n_outer]
        n_pages = math.prod(outer)
        start, stored = self._pages_of(series, layout, n_pages)
        elsewhere = b"" if image is None else image.elsewhere
        there = [page is not None and page.parent is tiff for page in stored]
        note = ""
        n_missing = sum(not (one or other) for one, other in zip(there, elsewhere))
        if n_missing and sum(there) == 1:
            # Files of one plane each may have metadata of all, and not say where these are.
            note = f"Of the planes that the file's metadata tell of, {n_missing:,} are not in "
            note += "it: it is incomplete, or part of a set."
        numbered = self._numbered(tiff, stored) if by_micromanager and start is None else None
        if numbered is not None:
            inner = layout.names[layout.n_outer :]
            layout = replace(layout, names=("",) * layout.n_outer + inner)
            first_series = None
        size: dict[str, Any] = _size_of(layout.key)
        for k, (index, page) in enumerate(zip(np.ndindex(outer), stored)):
            if not there[k]:
                # A plane that lies in another file of the same set is in that file's rows.
                if note or len(elsewhere) != n_pages or elsewhere[k]:
                    continue
                if len(self._lost) == _MOST_LOST:
                    self._n_more_lost += 1
                    continue
                self._lost.append(len(self.pages))
            elif page.keyframe is not layout.key:
                check_packing(page.keyframe)
            offset = None if start is None else start + k * layout.key.nbytes
            lower = [] if start is not None else [level[k] for level in levels]
            known = number if image is None else image.number
            one = _Stored(layout, index, page, offset, lower, first_series, known, note)
            self._stored.append(one)
            place: dict[str, Any] = one.placed(layout.place(index))
            if z is not None:
                place["z"] = z
            if "series" in layout.names[layout.n_outer :]:
                # It is that of each plane in the page.
                place.pop("series", None)
            stack = None if image is None else image.stack
            if numbered is not None:
                place = dict(numbered[k])
                series_of_set = f" {place['series']}" if "series" in place else ""
                stack = f"{self._set}{series_of_set}" if self._set else None
            self.pages.append(Page(len(self.pages), **place, stack=stack, **size))

    def _pages_of(self, series: Any, layout: _Layout, n_pages: int) -> tuple[int | None, list[Any]]:
        """Give tifffile's pages of a series, None for one that is missing.

        Where one directory stands for all of them, it is given so many times, behind the place of
        the first byte.
        """
        if len(series) == n_pages and not series.is_truncated:
            return None, list(series)
        start = series.dataoffset
        if not _is_place(start):
            raise FileError("is damaged: its header has no place for its pixels")
        if start + n_pages * layout.key.nbytes > self._size:
            raise FileError("is cut short: it ends before the last of its planes")
        return start, [layout.key] * n_pages

    def _numbered(self, tiff: Any, stored: Sequence[Any]) -> list[Mapping[str, int]] | None:
        """Places of pages as Micro-Manager tells them, if it does so of all."""
        found = micromanager.numbered(self._path, tiff, self._notes)
        if found is None:
            return None
        places = [None if page is None else found.of_page(page) for page in stored]
        known = [place for place in places if place is not None]
        self._set = found.stack
        return known if len(known) == len(places) else None

    def read(self, page: Page, *, luminance: bool = False, whole: bool = False) -> list[Plane]:
        stored = self._stored[page.index]
        key = stored.layout.key
        try:
            if page.index in self._lost:
                told = {axis: getattr(page, axis) for axis in ("series", "z", "c", "t")}
                words = " ".join(f"{axis} {n}" for axis, n in told.items() if n is not None)
                others = ""
                if self._n_more_lost and page.index == self._lost[-1]:
                    others = f", nor are {self._n_more_lost:,} others"
                raise FileError(f"is incomplete: the plane of {words} is not in it{others}")
            planes: Iterable[tuple[dict[str, int], Any]] | None = None
            if not whole and key.imagelength * key.imagewidth > lazy.LAZY_PIXELS:
                planes = self._lazily(page.index, luminance)
            if planes is None:
                array = self._decode(key, stored.page, stored.offset)
                planes = _split(array, stored.layout, stored.index, luminance)
            return [
                page.plane(plane, self._known_of(stored, place.get("c")), **stored.placed(place))
                for place, plane in planes
            ]
        except Exception as error:
            raise _file_error(self._path, error, "cannot be decoded") from error

    def _known_of(self, stored: _Stored, channel: int | None) -> KnownOptics | None:
        known = of_place(self._known, stored.image, channel)
        notes = [note for note in (self._note, stored.note) if note]
        if not notes:
            return known
        known = known or KnownOptics()
        return replace(known, message=" ".join([known.message, *notes]).strip())

    def _lazily(
        self, number: int, by_luminance: bool
    ) -> list[tuple[dict[str, int], LazyPlane]] | None:
        """Planes of a page that stay in the file, or None where it has to be read whole."""
        stored = self._stored[number]
        layout = stored.layout
        page = self._lazy_page(layout.key, stored.page, stored.offset)
        inner = layout.shape[layout.n_outer :]
        if page is None or math.prod(inner) != math.prod(layout.key.shaped[2:4]) * page.n_samples:
            return None
        pages = [page]
        for lower in stored.lower:
            # For pictures alone: the image can be measured without them.
            with contextlib.suppress(FileError):
                check_packing(lower.keyframe)
                smaller = self._lazy_page(lower.keyframe, lower, None)
                if smaller is not None and smaller.n_samples == page.n_samples:
                    pages.append(smaller)

        def plane(make: Callable[[LazyPage], LazyPlane]) -> LazyPlane:
            made = [make(one) for one in pages]
            made[0].smaller += made[1:]
            return made[0]

        samples = [plane(methodcaller("sample", c)) for c in range(layout.n_samples)]
        place = layout.place(stored.index)
        if len(samples) == 1:
            return [(place, samples[0])]
        if "s" not in layout.names:
            return [({**place, "c": c}, one) for c, one in enumerate(samples)]
        if number not in self._equal:
            self._equal[number] = lazy.equal(samples[:3], page.segment)
        if self._equal[number]:
            return [(place, samples[0])]
        if by_luminance and layout.key.planarconfig == 1:
            dtype = layout.key.dtype
            return [(place, plane(lambda one: one.plane(0, _luminance_of, dtype)))]
        if by_luminance:
            return [(place, lazy.combined(samples[:3], luminance, str(self._path)))]
        first = place.get("c", 0) * 3
        return [({**place, "c": first + c}, one) for c, one in enumerate(samples)]

    def _lazy_page(self, key: Any, page: Any, offset: int | None) -> LazyPage | None:
        if not can_be_lazy(key, offset):
            return None
        if offset is None:
            self._check_segments(key, page)
            key = page.keyframe  # pages of a stack need not be compressed alike
            if not can_be_lazy(key, offset):
                return None
        with self._reopened():  # tables of some JPEG compressed tiles are read from the file
            return LazyPage(self._path, key, page, offset, self._tiff.byteorder)

    def _decode(self, key: Any, stored: Any, offset: int | None) -> NDArray[Any]:
        """Pixels of a page in native byte order, light in large numbers."""
        _check_size(key.nbytes, *key.shape)
        if key.dtype is None or key.dtype.kind not in "buif":
            raise FileError(f"holds {key.dtype} pixels; real numbers can be measured")
        if offset is None:
            self._check_segments(key, stored)
        with self._reopened() as stream:
            if offset is None:
                key = stored.keyframe
                check_segments(key, stored, stream)
                array = np.asarray(stored.asarray(maxworkers=1))
            else:
                stream.seek(offset)
                stored_type = key.dtype.newbyteorder(self._tiff.byteorder)
                array = np.frombuffer(stream.read(key.nbytes), dtype=stored_type)
        return inversion(key)(np.asarray(array, dtype=array.dtype.newbyteorder("=")))

    def _reopened(self) -> contextlib.closing[Any]:
        open_regular(self._path).close()  # what it opens by its name
        self._tiff.filehandle.open()
        return contextlib.closing(self._tiff.filehandle)

    def _way(self, page: Any) -> int | None:
        index = page.index  # a tuple for pages within pages
        return self._ways[index] if isinstance(index, int) and index < len(self._ways) else None

    def _check_segments(self, key: Any, stored: Any) -> None:
        own = stored.keyframe
        # Of a frame, tifffile has read no more than where its pixels are.
        alike = not stored.is_frame or self._way(stored) == self._way(own)
        if not alike or (own.shape, own.dtype) != (key.shape, key.dtype):
            raise FileError(
                "is damaged: the pages of its stack differ in size, type or compression"
            )
        sides = (own.tilewidth, own.tilelength) if own.is_tiled else (own.rowsperstrip,)
        if not all(map(_is_place, sides)):
            raise FileError(f"is damaged: its strips or tiles have the sides {sides}")
        if own.is_tiled:
            tile = (own.tiledepth, own.tilelength, own.tilewidth, own.samplesperpixel)
            _check_size(math.prod(tile) * key.dtype.itemsize, *tile)
        offsets, counts = stored.dataoffsets, stored.databytecounts
        if not counts or not all(_is_place(min(numbers)) for numbers in (counts, offsets)):
            raise FileError("lacks pixels that its header promises")
        if not own.is_contiguous and len(counts) < math.prod(own.chunked):
            raise FileError(
                f"lacks pixels that its header promises: it has {len(counts)} strips or tiles of "
                f"{math.prod(own.chunked)}"
            )
        if sum(counts) > 4 * key.nbytes + 2**24 and not own.is_contiguous:
            raise FileError(
                "is damaged: its strips or tiles overlap, or are larger than its pixels"
            )
        if own.is_contiguous:
            end = offsets[0] + key.nbytes
        else:
            end = max(offset + count for offset, count in zip(offsets, counts))
        if end > self._size:
            raise FileError(
                f"is cut short: it has {self._size} bytes and its pixels reach to byte {end}"
            )


@dataclass(frozen=True, eq=False)
class _Stored:
    """A page of a TIFF.

    `index` is that along the layout's leading axes, `page` tifffile's. Where one directory stands
    for many pages that follow it, `offset` is this one's first byte. `lower` are the pages of the
    same image at lower resolutions. `first_series` is the number of the first series of the
    layout, None if the file has one alone; `image` counts the images that the metadata tell of,
    and `note` is what is to be said of the planes.
    """

    layout: _Layout
    index: tuple[int, ...]
    page: Any
    offset: int | None
    lower: list[Any]
    first_series: int | None
    image: int
    note: str

    def placed(self, place: dict[str, int]) -> dict[str, int]:
        """Count the series of a plane's place through the file."""
        place = dict(place)
        series = place.pop("series", 0)
        return (
            place if self.first_series is None else {**place, "series": self.first_series + series}
        )


def _without_overviews(
    tiff: Any, every: list[Any], reduced: Sequence[Any], note: str
) -> tuple[list[Any], str]:
    """Leave out what of a slide's images is no microscope's; give the others, and what is said."""
    overviews = [_overview(series) for series in every]
    if tiff.is_scn:
        of_scn = ome_xml.overviews_of_scn(tiff.pages.first.description)
        overviews = ["macro" if number in of_scn else "" for number in range(len(every))]
    kept = [series for series, overview in zip(every, overviews) if not overview]
    if not kept:
        # Of a file that has no other image, it is the image.
        return every, note
    gone = [one for one in (*overviews, *map(_overview, reduced)) if one]
    copies = sum(1 for series in reduced if not _overview(series))
    gone += [f"{copies} reduced cop{'y' if copies == 1 else 'ies'}"] if copies else []
    if gone:
        note = f"{note} Of the file's images, these were left out: {', '.join(gone)}.".strip()
    return kept, note


def _overview(series: Any) -> str:
    """Which picture of a slide it is, if it is no image of the microscope's."""
    name = str(series.name)
    return name.lower() if series.kind in _WITH_OVERVIEWS and name in _OVERVIEWS else ""


def _levels(series: Any, reduced: Sequence[Any]) -> list[list[Any]]:
    """Pages of a series at its lower resolutions, each list like that of the series."""
    key = series.keyframe
    levels = list(getattr(series, "levels", None) or [])[1:]
    for other in reduced:
        # Reduced copies that follow the image as pages of their own.
        ratio = key.imagewidth / max(other.keyframe.imagewidth, 1)
        alike = abs(other.keyframe.imagelength * ratio - key.imagelength) <= 2 * ratio
        if other.keyframe.dtype == key.dtype and alike:
            levels += [level for level in other.levels if level not in levels]
    return [list(level) for level in levels if len(level) == len(series) and None not in level]


def _is_place(number: Any) -> bool:
    """Whether it is a whole number from 1: a damaged directory gives numbers of any type."""
    return isinstance(number, int) and number > 0


def _luminance_of(pixels: NDArray[Any]) -> NDArray[Any]:
    return luminance(pixels[..., 0], pixels[..., 1], pixels[..., 2])


def _n_planes(layout: _Layout) -> int:
    """Count the planes of a series, if it is one that can be read."""
    check_packing(layout.key)
    if not layout.key.size:
        raise FileError("is damaged: its header promises a page without pixels")
    if layout.planes_in_page > _MOST_PLANES_OF_PAGE:
        raise FileError(
            f"has {layout.planes_in_page} channels in a page; at most "
            f"{_MOST_PLANES_OF_PAGE} are read"
        )
    return math.prod(layout.shape[: layout.n_outer]) * layout.planes_in_page


def _size_of(key: Any) -> dict[str, int]:
    """Tell how large pages like one of tifffile's are, as `Page` has it."""
    pixels = key.imagewidth * key.imagelength
    return {
        "width": key.imagewidth,
        "height": key.imagelength,
        "pixel_bytes": max(1, key.nbytes // pixels),
        "band_rows": band_rows(key) if pixels > lazy.LAZY_PIXELS else 0,
    }


def _layout(series: Any) -> _Layout:
    if len(series.get_axes(False)) > _MOST_AXES:
        raise FileError(f"is damaged: it has {len(series.get_axes(False))} axes")
    key = series.keyframe
    axes, shape = series.get_axes(False).upper(), tuple(series.get_shape(False))
    n_outer = len(axes)
    # A picture of one row has as many pixels without the axis of its rows.
    while n_outer > 0 and not (
        math.prod(shape[n_outer:]) >= key.size and {"Y", "X"} <= set(axes[n_outer:])
    ):
        n_outer -= 1
    n_pages = math.prod(shape[:n_outer])
    has_pages = len(series) == n_pages and not series.is_truncated
    if n_pages * key.size != math.prod(shape) or not (has_pages or series.dataoffset):
        # The metadata contradict the pages, and only the pages are there to be measured.
        axes, shape, n_outer = "I" + key.axes, (len(series), *key.shape), 1

    samples = axes.index("S") if "S" in axes[n_outer:] else None
    n_samples = 1 if samples is None else shape[samples]
    # Planes that are stored one by one are channels, whatever a fourth one is called: many writers
    # declare any four of 8 bits to be colours and transparency.
    one_by_one = key.planarconfig == 2
    if not one_by_one:
        n_samples -= sum(1 for kind in key.extrasamples if kind in (1, 2))  # transparency
    n_samples = max(n_samples, 1)
    # RGB; YCbCr is decoded to RGB.
    colour = key.photometric in (2, 6) and (n_samples == 3 if one_by_one else n_samples >= 3)
    known = {**_AXES, "S": "s" if colour else "c"}
    # In OME metadata and FluoView's, Q is what an axis with a name of its own becomes.
    unnamed = "I" if series.kind in ("ome", "fluoview") else "IQ"
    names = [
        known.get(axis, "" if axis in unnamed else "series") if length > 1 or axis in "YX" else ""
        for axis, length in zip(axes, shape)
    ]
    if samples is not None and n_samples == 1:
        names[samples] = ""
    # Axes that nobody named, the innermost first.
    for i in reversed(range(len(names))):
        if axes[i] in unnamed and shape[i] > 1:
            names[i] = next((free for free in "zt" if free not in names), "series")
    return _Layout(key, tuple(names), shape, n_outer, samples, n_samples)


def _split(
    array: NDArray[Any], layout: _Layout, outer: tuple[int, ...], luminance: bool
) -> Iterator[tuple[dict[str, int], NDArray[Any]]]:
    """Planes of a page, each with its z, c and t."""
    array = array.reshape(layout.shape[layout.n_outer :])
    names = layout.names[layout.n_outer :]
    if layout.samples is not None:
        axis = layout.samples - layout.n_outer
        array = array.take(range(layout.n_samples), axis=axis)  # without transparency
    picture = [names.index(name) for name in ("y", "x", "s") if name in names]
    others = [axis for axis in range(len(names)) if axis not in picture]
    array = array.transpose(others + picture)
    for index in np.ndindex(array.shape[: len(others)]):
        inner = dict(zip(others, index))
        place = layout.place([*outer, *(inner.get(axis, 0) for axis in range(len(names)))])
        for c, plane in grey_channels(array[index], "s" in names, luminance):
            yield ({**place, "c": place.get("c", 0) * 3 + c} if c is not None else place), plane


def _check_imagej(tiff: Any, size: int) -> None:
    """Refuse a stack over 4 GB, of which ImageJ describes only the first plane, if it is cut."""
    page = tiff.pages.first
    if not tiff.is_imagej or len(tiff.pages) > 1 or not page.is_contiguous or page.shaped[0] > 1:
        return
    images = (tiff.imagej_metadata or {}).get("images", 1)
    if isinstance(images, int) and page.dataoffsets[0] + images * page.nbytes > size:
        raise FileError(f"is cut short: it ends before the last of its {images} planes")


def _check_size(n_bytes: int, *shape: int) -> None:
    advice = "; a TIFF of tiles or of strips of some rows is read part by part"
    lazy.check_size(n_bytes, shape, behind=advice)


def _file_error(path: Path, error: Exception, otherwise: str) -> FileError:
    """Error that names the file; decoders raise what they like."""
    if isinstance(error, FileError):
        return FileError(f"{path}: {reason_of(error, path)}")
    if isinstance(error, OSError) and error.strerror:
        return FileError(f"{path}: cannot be read: {error.strerror}")
    if isinstance(error, MemoryError):
        return FileError(f"{path}: needs more memory than it is allowed")
    return FileError(f"{path}: {otherwise} ({said(error)})")
