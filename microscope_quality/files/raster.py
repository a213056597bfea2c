"""PNG, JPEG and BMP files without what is not pixels.

Texts, colour profiles, camera notes, previews and animations are packed, nested and repeated by
rules of their own; what a library makes of them can be of any size. None of it matters to the
pixels.
"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from microscope_quality.errors import FileError
from microscope_quality.files.segments import MOST_SCANS

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
BMP = b"BM"

_PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
# Parts before a JPEG's pixels, or of a PNG without pixels; cameras write some tens.
_MOST_PARTS = 1_000_000
# All but JFIF's and Adobe's, which say what the channels are.
_JPEG_NOTES = {*range(0xE1, 0xEE), 0xEF, 0xFE}
# Of packed pixels, over one and a half times what they unpack to.
_SPARE_BYTES = 2**26
_LONGEST_BMP_HEAD = 1024


def bare(stream: BinaryIO, start: bytes) -> BinaryIO:
    """What of a file its pixels are decoded from.

    Parameters
    ----------
    stream
        The open file.
    start
        Its first 32 bytes.

    Raises
    ------
    FileError
        It has parts without end.
    """
    stream.seek(0)
    if start.startswith(PNG):
        return io.BytesIO(_png(stream, start))
    if start.startswith(JPEG):
        return io.BytesIO(_jpeg(stream))
    if int.from_bytes(start[14:18], "little") > _LONGEST_BMP_HEAD:
        raise FileError("is damaged: its header has no end")
    return stream


def _png(stream: BinaryIO, start: bytes) -> bytes:
    width, height = struct.unpack(">II", start[16:24].ljust(8, b"\0"))
    parts = [stream.read(len(PNG))]
    most = _most_bytes(width * height * 8)
    for _ in range(_MOST_PARTS):
        head = stream.read(8)
        length, kind = struct.unpack(">I4s", head.ljust(8, b"\0"))
        if kind not in _PNG_CHUNKS:
            stream.seek(length + 4, io.SEEK_CUR)
            if len(head) == 8:
                continue
        most -= length
        if most < 0:
            raise FileError("is too large: it has more packed pixels than its header promises")
        parts += [head, stream.read(length + 4)]
        if kind == b"IEND" or len(head) < 8:
            return b"".join(parts)
    raise FileError(f"has more than {_MOST_PARTS} parts")


def _jpeg(stream: BinaryIO) -> bytes:
    parts = [stream.read(2)]
    claimed = 0
    for _ in range(_MOST_PARTS):
        head = stream.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            # Fill bytes, or no marker: what a decoder makes of it is for it to say.
            return b"".join([*parts, head, _rest(stream, claimed)])
        kind, length = head[1], int.from_bytes(head[2:], "big")
        if kind == 0xFF:
            stream.seek(-3, io.SEEK_CUR)
        elif kind in _JPEG_NOTES:
            stream.seek(max(length - 2, 0), io.SEEK_CUR)
        elif kind == 0xDA:
            return b"".join([*parts, head, _rest(stream, claimed)])
        else:
            content = stream.read(max(length - 2, 0))
            if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC) and len(content) >= 6:
                height, width, channels = struct.unpack_from(">HHB", content, 1)
                claimed = max(claimed, height * width * channels)
            parts += [head, content]
    raise FileError(f"has more than {_MOST_PARTS} parts before its pixels")


def _rest(stream: BinaryIO, claimed: int) -> bytes:
    most = _most_bytes(claimed)
    content = stream.read(most + 1)
    scans = content.count(b"\xff\xda") + 1
    if len(content) > most:
        raise FileError("is too large: it has more packed pixels than its header promises")
    if scans > MOST_SCANS:
        raise FileError(f"has {scans} scans; {MOST_SCANS} are read at most")
    return content


def _most_bytes(pixel_bytes: int) -> int:
    return pixel_bytes + pixel_bytes // 2 + _SPARE_BYTES
