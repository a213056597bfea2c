"""Which frames an ND2 file holds, and whether they are whole.

The nd2 library gives black for a frame that is not in a file or lies beyond its end, and unpacks
what is packed whatever comes of it. So this is looked at before it reads.

A file ends with the place of its chunk map, which has the name, place and length of each chunk; a
chunk begins with a magic number, the lengths of its name and of its data, and its name.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from microscope_quality.errors import FileError
from microscope_quality.files import ome_xml
from microscope_quality.files.regular import open_regular

_MAGIC = 0x0ABECEDA
_CHUNK = struct.Struct("<IIQ")
_LAST = struct.Struct("<32sQ")
_ENTRY = re.compile(rb"([^!]{1,200}!)(.{8}).{8}", re.DOTALL)
_IMAGE = re.compile(rb"ImageDataSeq\|(\d{1,9})!")
# Of what is not pixels.
_MOST_BYTES = 2**28
# Without which there are no pixels, in version 3 and before it.
_NEEDED = (
    *(b"ImageAttributesLV!", b"ImageMetadataSeqLV|0!", b"ImageMetadataLV!", b"ImageTextInfoLV!"),
    *(b"ImageAttributes!", b"ImageMetadataSeq|0!", b"ImageMetadata!", b"ImageTextInfo!"),
    b"CustomData|AcqTimesCache!",
)
# Before a packed record: its kind, the length of its name, and ten bytes.
_PACKED_HEAD = 12
_WITHIN = ("C", "Y", "X", "S")
_IMAGE_NAME_BYTES = 4072
# A frame's data begin with its time.
_TIME_BYTES = 8
_PIECE_BYTES = 2**20
# What packed pixels may be more than they should, such as the padding of a row.
_SPARE_BYTES = 4096


@dataclass(frozen=True)
class Frames:
    """Frames of a file.

    Attributes
    ----------
    places
        By a frame's number, the place of its chunk, and the chunk's name.
    sizes
        Axes of the whole file and their lengths, the outermost first. A frame's number counts
        through those that are not within a frame.
    n_bytes
        Of a frame's pixels.
    packed
        Whether they are compressed without loss.
    """

    places: Mapping[int, tuple[int, bytes]]
    sizes: Mapping[str, int]
    n_bytes: int
    packed: bool

    def check(self, path: Path, place: Mapping[Any, int]) -> None:
        """Refuse a frame that is not whole in the file.

        Parameters
        ----------
        path
            The file.
        place
            Numbers along the axes; those within a frame do not matter.

        Raises
        ------
        FileError
            The frame is missing, cut short, or unpacks to another size.
        """
        number = 0
        for axis, length in self.sizes.items():
            if axis not in _WITHIN:
                number = number * length + place[axis]
        if number not in self.places:
            raise FileError(f"is incomplete: frame {number} is not in it")
        at, begin = self.places[number]
        with open_regular(path) as stream:
            name, length = _begin(stream, at, os.fstat(stream.fileno()).st_size)
            # The library takes the pixels from where they are after a name of this length.
            if not name.startswith(begin) or not (self.packed or len(name) == _IMAGE_NAME_BYTES):
                raise FileError(f"is damaged: frame {number} is not where it should be")
            length -= _TIME_BYTES
            if self.packed:
                stream.seek(_TIME_BYTES, os.SEEK_CUR)
                length = _unpacked(stream, length, self.n_bytes + _SPARE_BYTES)
        if length < self.n_bytes or (self.packed and length > self.n_bytes + _SPARE_BYTES):
            raise FileError(
                f"is damaged: frame {number} has {max(length, 0)} bytes of pixels in place of "
                f"{self.n_bytes}"
            )


def read_frames(path: Path) -> Frames | None:
    """Frames that are in a file; None for one of before version 2, which is a JPEG 2000 file.

    Raises
    ------
    FileError
        The map of the file's content is not where it should be, or names what is not there.
    ImportError
        There is no nd2 library.
    """
    places = _images(path)
    if places is None:
        return None
    import nd2

    open_regular(path).close()
    with nd2.ND2File(path) as file:
        about = file.attributes
        sizes = {str(axis): int(length) for axis, length in file.sizes.items()}
    row = (about.widthPx or 1) * about.componentCount * (about.bitsPerComponentInMemory // 8)
    # Rows may be padded, and the last one need not be.
    n_bytes = (about.heightPx - 1) * (about.widthBytes or row) + row
    return Frames(places, sizes, n_bytes, about.compressionType == "lossless")


def _images(path: Path) -> dict[int, tuple[int, bytes]] | None:
    """Place and name of each image's chunk; others are seen to be whole, and not too large."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if stream.read(4) != struct.pack("<I", _MAGIC):
            return None
        stream.seek(max(size - _LAST.size, 0))
        _, at = _LAST.unpack(stream.read(_LAST.size).ljust(_LAST.size, b"\0"))
        name, length = _begin(stream, at, size)
        if not name.startswith(b"ND2 FILEMAP SIGNATURE") or length > _MOST_BYTES:
            raise FileError(
                "is cut short or damaged: the map of its content is not where it should be"
            )
        entries = _ENTRY.findall(stream.read(length))
        images = {}
        for name, place in entries:
            (at,) = struct.unpack("<Q", place)
            number = _IMAGE.fullmatch(name)
            if number:
                images[int(number[1])] = (at, name)
            elif not name.startswith((b"ND2 ", b"CustomDataSeq|")):
                _check_chunk(stream, size, at, name)
    return images


def _check_chunk(stream: BinaryIO, size: int, at: int, name: bytes) -> None:
    found, length = _begin(stream, at, size)
    told = name.decode("ascii", "replace").rstrip("!")
    if not found.startswith(name):
        if name in _NEEDED:
            raise FileError(f"is damaged: its {told:.40} is not where it should be")
        return
    # A record that is packed begins with an L.
    kind = stream.read(1)
    if kind == b"<":
        ome_xml.check(kind + stream.read(min(length, _MOST_BYTES) - 1))
    if kind == b"L":
        stream.seek(_PACKED_HEAD - 1, os.SEEK_CUR)
        # Or what is no record has an L by chance.
        with contextlib.suppress(zlib.error):
            length = max(length, _unpacked(stream, length - _PACKED_HEAD, _MOST_BYTES))
    if length > _MOST_BYTES:
        raise FileError(f"is too large: its {told:.40} has over {_MOST_BYTES} bytes")


def _begin(stream: BinaryIO, at: int, size: int) -> tuple[bytes, int]:
    """Name of the chunk at a place, and the length of the data, to which the stream is moved."""
    name, length = b"", -1
    if at + _CHUNK.size <= size:
        stream.seek(at)
        magic, n_name, length = _CHUNK.unpack(stream.read(_CHUNK.size))
        if magic == _MAGIC and at + _CHUNK.size + n_name + length <= size:
            name = stream.read(n_name)
    return name, length


def _unpacked(stream: BinaryIO, length: int, most: int) -> int:
    """Bytes that a packed text unpacks to, as far as one more than the most."""
    unpacker, found = zlib.decompressobj(), 0
    while found <= most and not unpacker.eof:
        part = unpacker.unconsumed_tail or stream.read(min(_PIECE_BYTES, max(length, 0)))
        if not part:
            break
        length -= 0 if unpacker.unconsumed_tail else len(part)
        found += len(unpacker.decompress(part, _PIECE_BYTES))
    return found
