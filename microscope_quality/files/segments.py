"""What a compressed strip or tile of a TIFF claims to hold.

Codecs for whole images (JPEG, JPEG 2000, JPEG XL, JPEG XR, PNG, LERC) have a header of their own
in each strip or tile, and decode what it says: a few bytes that claim 65,000 × 65,000 pixels take
gigabytes, whatever the file's directory says of the strip's size.
"""

from __future__ import annotations

import struct
from typing import Any, Iterator, Tuple

from microscope_quality.errors import FileError

# Their numbers in a TIFF: JPEG, JPEG 2000, LERC, PNG, JPEG XR, JPEG XL.
_IMAGE_CODECS = {6, 7, 33007, 34892, 33003, 33004, 33005, 34712, 34887, 34933, 22610, 34934}
_IMAGE_CODECS |= {50002, 52546}


def check_segments(page: Any, stored: Any, stream: Any) -> None:
    """Refuse a page of a TIFF whose strips or tiles claim far more pixels than have a place in it.

    Parameters
    ----------
    page : tifffile.TiffPage
        With the tags that hold for the page.
    stored : tifffile.TiffPage or tifffile.TiffFrame
        With the places of its strips or tiles.
    stream
        The open file.

    Raises
    ------
    FileError
        One does.
    """
    if page.compression in _IMAGE_CODECS:
        for segment in _read(stored, stream):
            check_segment(page, segment)


def check_segment(page: Any, segment: bytes) -> None:
    """Refuse a strip or tile that claims far more pixels than have a place in it.

    Parameters
    ----------
    page : tifffile.TiffPage
        With the tags that hold for it.
    segment : bytes
        As it is stored.

    Raises
    ------
    FileError
        It does, or the tables that it shares with others do.
    """
    if page.compression not in _IMAGE_CODECS:
        return
    if page.is_tiled:
        place = page.tilewidth * page.tilelength * page.tiledepth
    else:
        place = page.imagewidth * min(page.rowsperstrip, page.imagelength)
    room = place * page.samplesperpixel
    claimed = max(claimed_samples(segment), claimed_samples(page.jpegtables or b""))
    # Edges are filled up to whole blocks, and some writers fill up the last strip.
    if claimed > 4 * room + 2**16:
        raise FileError(
            f"is damaged: a compressed part of it claims {claimed} numbers, "
            f"and there is room for {room}"
        )


def _read(stored: Any, stream: Any) -> Iterator[bytes]:
    for offset, count in zip(stored.dataoffsets, stored.databytecounts):
        stream.seek(offset)
        yield stream.read(count)


def claimed_samples(segment: bytes) -> int:
    """Count the samples (pixels times channels) that a segment's own header claims.

    Parameters
    ----------
    segment : bytes
        The compressed bytes of a strip or a tile.

    Returns
    -------
    int
        0 where there is no such header, as in other codecs, which are told how much to give.

    Notes
    -----
    Where a header stands is laid down in ITU-T T.81 (B.2.2), T.800 (A.5.1, I.4) and T.832 (8.3),
    ISO/IEC 18181-1 (D.2), the PNG specification (11.2.1), and
    LERC's own (``Lerc2.h``, ``CntZImage.cpp``).
    """
    try:
        if segment.startswith(b"\xff\xd8"):
            return _jpeg(segment)
        if segment.startswith(b"\xff\x4f\xff\x51"):
            return _jpeg2000(segment)
        if segment.startswith(b"\0\0\0\x0cjP  \r\n\x87\n"):
            streams = (content for kind, content in _boxes(segment) if kind == b"jp2c")
            return next(map(_jpeg2000, streams), 0)
        if segment.startswith(b"\xff\x0a"):
            return _jpegxl(segment)
        if segment.startswith(b"\0\0\0\x0cJXL \r\n\x87\n"):
            # A part of a stream begins with its number.
            parts = {b"jxlc": 0, b"jxlp": 4}
            streams = (content[parts[kind] :] for kind, content in _boxes(segment) if kind in parts)
            return next(map(_jpegxl, streams), 0)
        if segment.startswith(b"II\xbc"):
            return _jpegxr(segment)
        if segment.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", segment, 16)
            return int(width) * int(height) * {2: 3, 4: 2, 6: 4}.get(segment[25], 1)
        if segment.startswith(b"Lerc2 "):
            return _lerc2(segment)
        if segment.startswith(b"CntZImage "):
            height, width = struct.unpack_from("<II", segment, 18)
            return int(width * height)
    except (struct.error, IndexError):
        return 0  # cut short: the decoder refuses it
    return 0


def _jpeg(segment: bytes) -> int:
    at = 2
    while True:
        at = segment.find(b"\xff", at)
        if at < 0:
            return 0
        while segment[at] == 0xFF:
            at += 1
        marker = segment[at]
        at += 1
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            continue
        # The frame's header; other markers from here on are tables.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, channels = struct.unpack_from(">HHB", segment, at + 3)
            # Without a height, which a later marker gives, it may be any.
            return int((height or 65535) * width * channels)
        if marker in (0xD9, 0xDA):
            return 0
        at += struct.unpack_from(">H", segment, at)[0]


def _boxes(segment: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """Kind and content of the boxes of a JPEG 2000 or JPEG XL file."""
    at = 0
    while at + 8 <= len(segment):
        length, kind = struct.unpack_from(">I4s", segment, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", segment, at + 8)
            head = 16
        end = at + length if length else len(segment)
        yield kind, segment[at + head : end]
        at = max(end, at + head)


def _jpeg2000(stream: bytes) -> int:
    right, bottom, left, top = struct.unpack_from(">4I", stream, 8)
    (channels,) = struct.unpack_from(">H", stream, 40)
    return int(max(right - left, 0) * max(bottom - top, 0) * channels)


def _jpegxl(stream: bytes) -> int:
    if stream[:2] != b"\xff\x0a":
        return 0
    bits = int.from_bytes(stream[2:14], "little")

    def take(n: int) -> int:
        nonlocal bits
        value = bits & ((1 << n) - 1)
        bits >>= n
        return value

    small = take(1)

    def side() -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    ratio = take(3)
    if ratio:
        over, under = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        width = height * over // under
    else:
        width = side()
    # Channels come much later in the header; most images have four at most.
    return 4 * width * height


def _jpegxr(segment: bytes) -> int:
    (at,) = struct.unpack_from("<I", segment, 4)
    (entries,) = struct.unpack_from("<H", segment, at)
    for k in range(entries):
        tag, _, _, start = struct.unpack_from("<HHII", segment, at + 2 + 12 * k)
        if tag == 0xBCC0 and segment[start : start + 8] == b"WMPHOTO\0":
            short = segment[start + 10] & 0x80
            width, height = struct.unpack_from(">HH" if short else ">II", segment, start + 12)
            # Colour takes three or four channels.
            return 4 * int(width + 1) * int(height + 1)
    return 0


def _lerc2(segment: bytes) -> int:
    (version,) = struct.unpack_from("<i", segment, 6)
    at = 14 if version >= 3 else 10  # behind a checksum
    height, width = struct.unpack_from("<II", segment, at)
    depth = struct.unpack_from("<I", segment, at + 8)[0] if version >= 4 else 1
    return int(width * height * depth)
