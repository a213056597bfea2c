"""Which blocks of pixels a CZI file holds, and whether they are whole.

The native library that reads CZI files takes what these tell for true: a wrong length can end the
process, and pixels beyond the end of a file are whatever was in memory. So this is looked at before
it reads.

The layout is that of Zeiss's ZISRAW files: segments with a name of 16 bytes, an allocated and a
used length; the first one tells where the directory is, whose entries (DV) tell of each block its
place, its kind of pixels and its range along each dimension.
"""

from __future__ import annotations

import itertools
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from microscope_quality.errors import FileError
from microscope_quality.files import ome_xml
from microscope_quality.files.regular import open_regular

_SEGMENT = struct.Struct("<16sqq")
# Schema, pixel type, place, part of the file, compression, kind of pyramid, dimensions.
_ENTRY = struct.Struct("<2siqiiB5xi")
# Name, first index, size, first coordinate, stored size.
_DIMENSION = struct.Struct("<4siifi")
_MOST_DIMENSIONS = 40
_MOST_ENTRIES = 4_000_000
_MOST_SCENES = 100_000
_MOST_XML_BYTES = 2**28
# A block's own entry follows three lengths; its data begin after 256 bytes at least.
_BLOCK = struct.Struct("<iiq")
_BLOCK_BYTES = 256
_PIXEL_BYTES = {0: 1, 1: 2, 2: 4, 3: 3, 4: 6, 8: 12, 9: 4, 12: 4}
_COLOURS = (3, 4, 8, 9)
_UNCOMPRESSED = 0
_AXES = tuple("XYZCTSMRHIVB")
# What tells no plane: its sides, its tiles, and B, which counts acquisitions.
_WITHIN = ("X", "Y", "M", "B")


@dataclass(frozen=True)
class Block:
    """An entry of the directory.

    `ranges` has the first index and the length along each dimension but X and Y; `stored` is the
    width and height in stored pixels, and `full` tells whether these are those of the image, not
    of a smaller copy.
    """

    at: int
    pixel_type: int
    compression: int
    ranges: Mapping[str, tuple[int, int]]
    stored: tuple[int, int]
    full: bool

    @property
    def n_bytes(self) -> int:
        """Of its pixels when they are unpacked."""
        return self.stored[0] * self.stored[1] * _PIXEL_BYTES.get(self.pixel_type, 0)


@dataclass(frozen=True)
class Blocks:
    """The blocks of a file in full resolution, and what they span.

    Attributes
    ----------
    scenes
        Of each scene, by dimension, the first index and the length; X and Y begin at 0.
    pixel_bytes
        Of a pixel, of the largest kind that there is.
    colours
        Whether there are pixels of colours.
    """

    scenes: Sequence[Mapping[str, tuple[int, int]]]
    pixel_bytes: int
    colours: bool
    _by_place: Mapping[frozenset[tuple[str, int]], Sequence[Block]]

    @property
    def shapes(self) -> list[tuple[dict[str, int], int]]:
        """Of each scene, the lengths of its axes, tiles (M) among them, and bytes of a pixel."""
        found = []
        for spans in self.scenes:
            outer = [axis for axis in sorted(spans) if axis not in ("S", "B", "X", "Y")]
            lengths = {axis: spans[axis][1] for axis in (*outer, "Y", "X")}
            if lengths.get("M") == 1:
                del lengths["M"]
            found.append((lengths, self.pixel_bytes))
        return found

    def coordinates(self, scene: int, place: Mapping[str, int]) -> dict[str, int]:
        """The file's own numbers of a plane, of which all count from 0; as for `check`."""
        spans = self.scenes[scene]
        return {
            axis: begin + place.get(axis, 0)
            for axis, (begin, _) in spans.items()
            if axis not in _WITHIN or (axis == "M" and axis in place)
        }

    def check(self, path: Path, scene: int, place: Mapping[str, int]) -> None:
        """Refuse a plane of which a block is missing or not whole.

        Parameters
        ----------
        path
            The file.
        scene, place
            Number of the scene, and the numbers along its dimensions, all from 0.

        Raises
        ------
        FileError
            It is missing, or damaged.
        """
        where = self.coordinates(scene, place)
        tile = where.pop("M", None)
        blocks = self._by_place.get(frozenset(where.items()), ())
        if tile is not None:
            blocks = [block for block in blocks if block.ranges["M"][0] == tile]
        if not blocks:
            raise FileError(f"is incomplete: {_words(place)} is not in it")
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            for block in blocks:
                _check_block(stream, size, block, _words(place))


def read_blocks(path: Path) -> Blocks:
    """Read the directory of a CZI file.

    Raises
    ------
    FileError
        It is not there, is damaged, or names places outside of the file.
    """
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        _segment(stream, 0, size, b"ZISRAWFILE")
        stream.seek(_SEGMENT.size + 52)
        directory, metadata = struct.unpack("<qq", stream.read(16).ljust(16, b"\0"))
        if metadata:
            used = _segment(stream, metadata, size, b"ZISRAWMETADATA")
            n_xml, n_more = struct.unpack("<ii", stream.read(8).ljust(8, b"\0"))
            if min(n_xml, n_more) < 0 or _BLOCK_BYTES + n_xml + n_more > used:
                raise FileError("is damaged: its metadata do not fit their place")
            stream.seek(metadata + _SEGMENT.size + _BLOCK_BYTES)
            ome_xml.check(stream.read(min(n_xml, _MOST_XML_BYTES)))
        used = _segment(stream, directory, size, b"ZISRAWDIRECTORY")
        content = stream.read(used)
    (count,) = struct.unpack_from("<i", content.ljust(4, b"\0"))
    if not 0 < count <= _MOST_ENTRIES:
        raise FileError(f"is damaged, or holds no image: its directory has {count} entries")
    at = 128
    blocks = []
    for _ in range(count):
        block, at = _entry(content, at)
        if block.full:
            blocks.append(block)
    return _arranged(blocks)


def _arranged(blocks: Sequence[Block]) -> Blocks:
    spans: dict[int, dict[str, tuple[int, int]]] = {}
    by_place: dict[frozenset[tuple[str, int]], list[Block]] = {}
    for block in blocks:
        first = block.ranges.get("S", (0, 1))[0]
        ranges = {**block.ranges, "X": (0, block.stored[0]), "Y": (0, block.stored[1])}
        scene = spans.setdefault(first, {})
        for axis, (begin, length) in ranges.items():
            low, span = scene.get(axis, (begin, length))
            end = max(low + span, begin + length)
            scene[axis] = (min(low, begin), end - min(low, begin))
    if not spans:
        raise FileError("holds no image in full resolution")
    for block in blocks:
        scene = spans[block.ranges.get("S", (0, 1))[0]]
        begins = {axis: block.ranges.get(axis, span)[0] for axis, span in scene.items()}
        key = frozenset((axis, n) for axis, n in begins.items() if axis not in _WITHIN)
        by_place.setdefault(key, []).append(block)
    pixel_bytes = max(_PIXEL_BYTES.get(block.pixel_type, 1) for block in blocks)
    colours = any(block.pixel_type in _COLOURS for block in blocks)
    return Blocks([spans[number] for number in sorted(spans)], pixel_bytes, colours, by_place)


def _entry(content: bytes, at: int) -> tuple[Block, int]:
    """A block from its entry, and where the next one begins."""
    if at + _ENTRY.size > len(content):
        raise FileError("is damaged: its directory is cut short")
    schema, pixel_type, place, _, compression, _, n_dimensions = _ENTRY.unpack_from(content, at)
    begin, at = at + _ENTRY.size, at + _ENTRY.size + n_dimensions * _DIMENSION.size
    if schema != b"DV" or not 0 < n_dimensions <= _MOST_DIMENSIONS or at > len(content):
        raise FileError("is damaged: its directory has an entry of an unknown form")
    ranges: dict[str, tuple[int, int]] = {}
    stored = {"X": 0, "Y": 0}
    full = True
    for name, first, size, _, n_stored in _DIMENSION.iter_unpack(content[begin:at]):
        axis = name.rstrip(b"\0").decode("latin-1")
        if axis not in _AXES or axis in ranges:
            raise FileError(f"is damaged: a block has an axis {axis!r}")
        if axis in stored:
            # Without a stored size, it is the size.
            stored[axis] = n_stored or size
            full = full and stored[axis] == size
        else:
            # A block is one plane of one tile, whatever length some files give.
            ranges[axis] = (first, 1)
            size = 1
        if size < 1 or n_stored < 0 or not -(2**30) < first < 2**30 - size:
            raise FileError(f"is damaged: a block has {size} numbers from {first} along {axis!r}")
        # The library counts through all that come before, also of smaller copies.
        if axis == "S" and not 0 <= first < _MOST_SCENES:
            raise FileError(f"is damaged: a block is of scene {first}")
    return Block(place, pixel_type, compression, ranges, (stored["X"], stored["Y"]), full), at


def _check_block(stream: BinaryIO, size: int, block: Block, where: str) -> None:
    used = _segment(stream, block.at, size, b"ZISRAWSUBBLOCK")
    head = stream.read(_BLOCK.size + _ENTRY.size + _MOST_DIMENSIONS * _DIMENSION.size)
    n_metadata, n_attachment, n_data = _BLOCK.unpack_from(head.ljust(_BLOCK.size, b"\0"))
    own, end = _entry(head, _BLOCK.size)
    lengths = (n_metadata, n_attachment, n_data)
    begin = max(_BLOCK_BYTES, end) + n_metadata
    if min(lengths) < 0 or begin + n_data > used:
        raise FileError(f"is cut short or damaged: the pixels of {where} are not all there")
    told = (block.pixel_type, block.compression, block.stored, block.full)
    if (own.pixel_type, own.compression, own.stored, own.full) != told:
        raise FileError(f"is damaged: {where} is another one than its directory says")
    if block.compression == _UNCOMPRESSED and n_data < block.n_bytes:
        raise FileError(
            f"is damaged: {where} has {n_data} bytes of pixels in place of {block.n_bytes}"
        )


def _segment(stream: BinaryIO, at: int, size: int, name: bytes) -> int:
    """Move to the data of a segment; give their length."""
    kind, allocated, used = b"", 0, 0
    if 0 <= at <= size - _SEGMENT.size:
        stream.seek(at)
        kind, allocated, used = _SEGMENT.unpack(stream.read(_SEGMENT.size))
    if kind.rstrip(b"\0") != name:
        raise FileError(f"is cut short or damaged: its {name.decode()} is not where it should be")
    # Older files tell the allocated length alone.
    used = used or allocated
    if not 0 <= used <= allocated or at + _SEGMENT.size + used > size:
        raise FileError(f"is cut short or damaged: its {name.decode()} ends beyond the file's end")
    return used


def _words(place: Mapping[str, int]) -> str:
    told = " ".join(f"{axis.lower()} {n}" for axis, n in itertools.islice(place.items(), 9))
    return f"the plane of {told}" if told else "the plane"
