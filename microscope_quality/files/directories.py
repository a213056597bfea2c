"""What the directories of a TIFF claim, held against the file before a library believes them.

A directory is a list of tags; each has a type, a number of values, and the values or their place.
Directories form a chain, and each may name others (SubIFDs), such as smaller copies. A few bytes
can claim any number of values, or name the same place any number of times.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from microscope_quality.errors import FileError
from microscope_quality.files.ome_xml import MAX_PLANES

# Tags with the places and sizes of a page's strips or tiles, each of which becomes a number of
# Python's, and how many of these there may be: 100,000 × 100,000 pixels in tiles of 32 × 32.
_PLACES = (273, 279, 324, 325)
_MOST_SEGMENTS = 10_000_000

# Tags with a length in pixels, or a number of samples, rows or planes, and the types that these
# may have: 8, 16, 32 and 64 bits, of either sign.
_SINGLE = (256, 257, 277, 278, 322, 323, 32997, 32998)
_COUNTS = (1, 3, 4, 6, 8, 9, 16, 17)
_SIGNED = (6, 8, 9, 17)

# Tags that decide how pixels are decoded: size, bits, compression, black, samples, their order,
# predictor, tiles, kind of numbers.
_DECISIVE = (256, 257, 258, 259, 262, 266, 277, 284, 317, 322, 323, 339)
# And these are besides what makes pages those of one series: rows of a strip, what samples are,
# depth. A difference within one makes a series of its own, and series are compared with each other.
_OF_SERIES = (*_DECISIVE, 278, 338, 32997, 32998)
_MOST_SERIES = 500

_DESCRIPTION, _SUB_DIRECTORIES, _LSM, _STK_PLANES = 270, 330, 34412, 33629
_MICROMANAGER = 51123
# Values that are read with each directory, unasked. All take memory at the same time.
_LOADED = {258, 270, 273, 277, 279, 282, 283, 305, 324, 325, 330, 338, 339, 347, 513, 514, 530}
_LOADED |= {33628, 42113, 50838, 50839}
_MOST_LOADED_BYTES = 2**30
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_OFFSETS = {4: "I", 13: "I", 16: "Q", 18: "Q"}

# tifffile's own limit; it compares each tag with all of the same number.
_MOST_TAGS = 4096
_MOST_ALIKE = 64
_MOST_SUB_DIRECTORIES = 64
# What small files may have over their size: directories, or values, that several tags share.
_SPARE_BYTES = 2**20

# Of Zeiss's structure in an LSM file: where the place of its colours is, and how long these may be.
_LSM_COLOURS, _MOST_COLOUR_BYTES = 108, 2**16


@dataclass(frozen=True)
class Directories:
    """The chain of a TIFF's directories.

    Attributes
    ----------
    ways
        For each directory, by which tags its pixels are decoded: equal numbers for equal ones.
        Empty where the chain is not told as it should be, in files over 4 GB.
    offsets
        Where they are.
    sides
        Width and height of each one's picture.
    notes
        Of those by Micro-Manager, where metadata of each one are, and how many bytes; shorter
        where some have none.
    """

    ways: Sequence[int]
    offsets: Sequence[int]
    sides: Sequence[tuple[int, int]]
    notes: Sequence[tuple[int, int]] = ()

    def evenly(self, size: int) -> int:
        """Pages that fit in the file at the distance of the second and third."""
        if len(self.offsets) < 3:
            return 0
        return size // max(abs(self.offsets[2] - self.offsets[1]), 1)


def read_directories(stream: BinaryIO, size: int, *, hamamatsu: bool = False) -> Directories:
    """Follow the chain of a TIFF's directories to its end.

    A reader that finds the chain broken, or the description with the names of the axes missing,
    makes do with what is left, and nobody is told.

    Parameters
    ----------
    stream
        The open file.
    size
        Its length.
    hamamatsu
        Whether places of directories take 64 bits in a file of 32 (NDPI).

    Raises
    ------
    FileError
        It is cut short, or claims what it cannot hold.
    """
    reader = _Reader(stream, size, hamamatsu)
    try:
        return Directories(reader.chain(), reader.offsets, reader.sides, reader.notes)
    except _CutShortError:
        # Some writers continue places of 32 bits by rules of their own.
        if reader.is_big or size < 2**32:
            raise
        return Directories([], reader.offsets, reader.sides)


class _CutShortError(FileError):
    """The file ends before what a directory tells of."""


class _Reader:
    """Reads directories, and adds up what they claim."""

    def __init__(self, stream: BinaryIO, size: int, hamamatsu: bool) -> None:
        self._stream, self._size = stream, size
        stream.seek(0)
        start = stream.read(16)
        self._order = order = "<" if start[:1] == b"I" else ">"
        self.is_big = start[2:4] in (b"+\0", b"\0+")
        self._number = order + ("Q" if self.is_big else "H")
        self._pointer = order + ("Q" if self.is_big or hamamatsu else "I")
        # Tag, type, count, value or where it is.
        self._entry = struct.Struct(order + ("HHQQ" if self.is_big else "HHII"))
        self._in_place = 8 if self.is_big else 4
        self.offsets: list[int] = []
        self.sides: list[tuple[int, int]] = []
        self.notes: list[tuple[int, int]] = []
        self._each_sides: dict[tuple[int, int], tuple[int, int]] = {}
        self._series: set[int] = set()
        self._directory_bytes = self._loaded_bytes = 0

    def chain(self) -> list[int]:
        ways: list[int] = []
        seen: set[int] = set()
        self._stream.seek(8 if self.is_big else 4)
        while True:
            at = self._read(self._pointer, "within a directory")
            if at == 0:
                break
            if at in seen:
                raise FileError("is damaged: its directories form a loop")
            seen.add(at)
            self.offsets.append(at)
            if len(seen) > MAX_PLANES:
                raise FileError(f"has more than {MAX_PLANES} directories")
            entries = self._entries(at, f"before page {len(seen)}")
            end = self._stream.tell()
            ways.append(self._way(entries))
            sides = self._side(entries, 256), self._side(entries, 257)
            self.notes += [(where, n) for tag, _, n, where in entries if tag == _MICROMANAGER]
            self.sides.append(self._each_sides.setdefault(sides, sides))  # one in memory
            for sub in self._sub_directories(entries):
                self._check_sub_directory(sub)
            self._stream.seek(end)
        if not seen:
            raise FileError("holds no image: its writing was not finished")
        return ways

    def _check_sub_directory(self, at: int) -> None:
        try:
            entries = self._entries(at, "within a directory")
        except _CutShortError:
            return  # it is left out: a smaller copy, not a page
        self._way(entries)
        if any(tag == _SUB_DIRECTORIES for tag, *_ in entries):
            raise FileError("is damaged: directories within a directory have others within them")

    def _entries(self, at: int, where: str) -> list[tuple[int, int, int, int]]:
        self._stream.seek(min(at, self._size))
        count = self._read(self._number, where)
        length = count * self._entry.size
        if length > self._size:
            raise _CutShortError("is cut short: it ends within a directory")
        if count > _MOST_TAGS:
            raise FileError(f"has {count} tags in a directory; {_MOST_TAGS} are read at most")
        self._directory_bytes += length
        if self._directory_bytes > 2 * self._size + _SPARE_BYTES:
            raise FileError("is damaged: its directories overlap")
        content = self._stream.read(length)
        if len(content) < length:
            raise _CutShortError("is cut short: it ends within a directory")
        entries = list(self._entry.iter_unpack(content))
        tags = Counter(tag for tag, *_ in entries)
        if max(tags.values(), default=0) > _MOST_ALIKE:
            tag, n = tags.most_common(1)[0]
            raise FileError(f"is damaged: a directory has its tag {tag} {n} times")
        for entry in entries:
            self._check_entry(*entry)
        return entries

    def _check_entry(self, tag: int, kind: int, length: int, where: int) -> None:
        n_bytes = _SIZES.get(kind, 1) * length
        if tag in _SINGLE and (kind not in _COUNTS or length != 1):
            raise FileError(f"is damaged: its tag {tag} is not one whole number")
        # With sizes below 0, tifffile counts pages backwards, without end.
        if tag in _SINGLE and kind in _SIGNED and self._single(kind, where) >> 8 * _SIZES[kind] - 1:
            raise FileError(f"is damaged: its tag {tag} is a number below 0")
        if tag in _PLACES and length > _MOST_SEGMENTS:
            raise FileError(f"has {length} strips or tiles; {_MOST_SEGMENTS} are read at most")
        if tag == _STK_PLANES and length > MAX_PLANES:
            raise FileError(f"tells of {length} planes; at most {MAX_PLANES} are read")
        if tag == _DESCRIPTION and n_bytes > self._in_place and where + n_bytes > self._size:
            raise _CutShortError("is cut short: it ends before its description")
        if tag in _LOADED and n_bytes > self._in_place and where + n_bytes <= self._size:
            self._loaded_bytes += n_bytes
            most = min(2 * self._size + 16 * _SPARE_BYTES, _MOST_LOADED_BYTES)
            if self._loaded_bytes > most:
                raise FileError(f"is damaged: values of its tags take over {most} bytes")
        if tag == _LSM:
            self._check_lsm(where)

    def _check_lsm(self, where: int) -> None:
        # tifffile copies the names of colours once for each of them.
        colours = self._peek(where + _LSM_COLOURS)
        if colours and self._peek(colours) > _MOST_COLOUR_BYTES:
            raise FileError("is damaged: the names of its colours have no end")

    def _peek(self, at: int) -> int:
        kept = self._stream.tell()
        content = self._content(at, 4)
        self._stream.seek(kept)
        return int(struct.unpack(f"{self._order}I", content)[0]) if len(content) == 4 else 0

    def _way(self, entries: Sequence[tuple[int, int, int, int]]) -> int:
        way, series = [], []
        for tag, kind, length, where in entries:
            if tag not in _OF_SERIES:
                continue
            value: object = where
            n_bytes = _SIZES.get(kind, 1) * length
            if length == 1:
                value = self._single(kind, where)
            elif n_bytes > self._in_place:
                value = self._content(where, min(n_bytes, 2 * _MOST_TAGS))
            if tag in _DECISIVE and length == 1:
                way.append((tag, value))
            series.append((tag, length, value))
        self._series.add(hash(tuple(series)))
        if len(self._series) > _MOST_SERIES:
            raise FileError(
                f"has pages of over {_MOST_SERIES} sizes or kinds; that many are read at most"
            )
        return hash(tuple(way))

    def _single(self, kind: int, where: int) -> int:
        """A whole number that stands in the place of its place."""
        size = _SIZES.get(kind, 1)
        if self._order == ">":
            return where >> 8 * max(self._in_place - size, 0)
        return where & ((1 << 8 * size) - 1)  # behind it, some writers leave anything

    def _side(self, entries: Sequence[tuple[int, int, int, int]], tag: int) -> int:
        found = (self._single(kind, where) for one, kind, _, where in entries if one == tag)
        return next(found, 0)

    def _sub_directories(self, entries: Sequence[tuple[int, int, int, int]]) -> list[int]:
        found: list[int] = []
        for tag, kind, length, where in entries:
            if tag != _SUB_DIRECTORIES or kind not in _OFFSETS:
                continue
            if length > _MOST_SUB_DIRECTORIES:
                raise FileError(
                    f"has {length} directories within a directory; {_MOST_SUB_DIRECTORIES} are "
                    "read at most"
                )
            form = f"{self._order}{length}{_OFFSETS[kind]}"
            if struct.calcsize(form) <= self._in_place:
                packed = struct.pack(self._order + self._entry.format[-1], where)
                found += struct.unpack(form, packed[: struct.calcsize(form)])
            else:
                content = self._content(where, struct.calcsize(form))
                if len(content) == struct.calcsize(form):
                    found += struct.unpack(form, content)
        return [at for at in found if at >= 8]

    def _content(self, at: int, n_bytes: int) -> bytes:
        self._stream.seek(min(at, self._size))
        return self._stream.read(n_bytes)

    def _read(self, form: str, where: str) -> int:
        content = self._stream.read(struct.calcsize(form))
        if len(content) < struct.calcsize(form):
            raise _CutShortError(f"is cut short: it ends {where}")
        return int(struct.unpack(form, content)[0])
