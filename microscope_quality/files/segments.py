"""What a compressed strip or tile of a TIFF claims to hold.

Codecs for whole images (JPEG, JPEG 2000, JPEG XL, JPEG XR, PNG, WebP, LERC) have a header of their
own in each strip or tile, and decode what it says: a few bytes that claim 65,000 × 65,000 pixels
take gigabytes, whatever the file's directory says of the strip's size. Where their data end early,
some give grey, or black. The other codecs are told how many bytes to give, and give no more.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

from microscope_quality.errors import FileError

_NUMBERS = {
    "none": (1,),
    "LZW": (5,),
    "deflate": (8, 32946),
    "PackBits": (32773,),
    "JPEG": (7, 34892),
    "JPEG 2000": (33003, 33004, 33005, 34712),
    "JPEG XL": (50002, 52546),
    "JPEG XR": (22610, 34934),
    "LERC": (34887,),
    "LZMA": (34925,),
    "PNG": (34933,),
    "WebP": (34927, 50001),
    "Zstandard": (34926, 50000),
}
#: Compressions that are read, by their numbers in a TIFF.
COMPRESSIONS = dict(
    sorted((number, name) for name, numbers in _NUMBERS.items() for number in numbers)
)
#: Predictors that are read: none, differences of whole numbers, and of fractions.
PREDICTORS = (1, 2, 3)
_IMAGE_CODECS = ("JPEG", "JPEG 2000", "JPEG XL", "JPEG XR", "LERC", "PNG", "WebP")
# Their channels are not read, and four are assumed.
_OF_FOUR = ("JPEG XL", "JPEG XR", "WebP")

#: Passes over an image in a JPEG; a progressive one has some ten.
MOST_SCANS = 100
# Tiles of a JPEG 2000 image, times its channels and a few: each takes a kB before it is decoded.
_MOST_PARTS = 100_000
# Of LERC, by its type of numbers.
_LERC_BYTES = (1, 1, 2, 2, 4, 4, 4, 8)
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


def check_packing(page: Any) -> None:
    """Refuse a page whose pixels are packed in a way that is not read.

    Parameters
    ----------
    page : tifffile.TiffPage
        With the tags that hold for the page.

    Raises
    ------
    FileError
        It is.
    """
    if page.compression not in COMPRESSIONS:
        known = ", ".join(f"{number} {name}" for number, name in COMPRESSIONS.items())
        raise FileError(
            f"is packed by compression {_shown(page.compression)}; these are read: {known}"
        )
    if page.predictor not in PREDICTORS:
        known = ", ".join(map(str, PREDICTORS))
        raise FileError(f"is packed by predictor {_shown(page.predictor)}; these are read: {known}")


def _shown(number: Any) -> str:
    return str(int(number)) if isinstance(number, int) else f"{number!s:.40}"


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
        One does, or is damaged.
    """
    if COMPRESSIONS.get(page.compression) not in _IMAGE_CODECS:
        return
    for offset, count in zip(stored.dataoffsets, stored.databytecounts):
        stream.seek(offset)
        check_segment(page, stream.read(count))
    if page.jpegheader is not None and 273 in page.tags:
        # Hamamatsu's are one strip, which is decoded at once.
        stream.seek(page.tags[273].value[0])
        whole = stream.read(page.tags[279].value[0])
        room = page.imagewidth * page.imagelength * page.samplesperpixel
        _check_claim(claimed_samples(whole), room)


def check_segment(page: Any, segment: bytes) -> None:
    """Refuse a strip or tile that claims far more pixels than have a place in it, or is not whole.

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
    codec = COMPRESSIONS.get(page.compression, "")
    if codec not in _IMAGE_CODECS:
        return
    if page.is_tiled:
        place = page.tilewidth * page.tilelength * page.tiledepth
    else:
        place = page.imagewidth * min(page.rowsperstrip, page.imagelength)
    room = place * (max(4, page.samplesperpixel) if codec in _OF_FOUR else page.samplesperpixel)
    if page.jpegheader is not None:
        segment = page.jpegheader + segment
    if codec == "LERC":
        room *= page.dtype.itemsize
        segment = _unpacked(segment, 2 * room + 2**16)
    claimed = claimed_samples(segment)
    if not claimed:
        raise FileError(f"is damaged: a compressed part of it is no {codec}")
    _check_claim(max(claimed, claimed_samples(page.jpegtables or b"")), room)
    if page.jpegheader is None:
        missing = missing_from(segment)
        if missing:
            raise FileError(f"is damaged: a compressed part of it lacks {missing}")


def _check_claim(claimed: int, room: int) -> None:
    # Edges are filled up to whole blocks, and some writers fill up the last strip.
    if claimed > room + room // 2 + 2**16:
        raise FileError(
            f"is damaged: a compressed part of it claims {claimed} numbers, "
            f"and there is room for {room}"
        )


def _unpacked(segment: bytes, most: int) -> bytes:
    """LERC that is packed once more, as far as there is room."""
    if segment.startswith(b"Lerc2 "):
        return segment
    try:
        if segment.startswith(_ZSTANDARD):
            from imagecodecs import zstd_decode

            return bytes(zstd_decode(segment, out=most))
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(segment, most)
    except Exception as error:  # each codec has its own
        raise FileError(
            f"is damaged: a compressed part of it cannot be unpacked ({error})"
        ) from None
    if unpacker.unconsumed_tail:
        raise FileError(f"is damaged: a compressed part of it unpacks to over {most} bytes")
    return content


# Boxes that JPEG 2000 and JPEG XL files begin with.
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
_JXL = b"\0\0\0\x0cJXL \r\n\x87\n"
# Of JPEG XL: what the sizes and the number of channels take at most.
_XL_HEAD_BYTES = 64
# Tags of JPEG XR: width, height, where the stream is, and its length.
_XR_WIDTH, _XR_HEIGHT, _XR_PLACE, _XR_BYTES = 0xBC80, 0xBC81, 0xBCC0, 0xBCC1


def claimed_samples(segment: bytes) -> int:
    """Count the samples (pixels times channels) that a segment's own header claims; LERC's bytes.

    Parameters
    ----------
    segment : bytes
        The compressed bytes of a strip or a tile.

    Returns
    -------
    int
        0 where there is no such header.

    Notes
    -----
    Where a header stands is laid down in ITU-T T.81 (B.2.2), T.800 (A.5.1, I.4) and T.832 (8.3),
    ISO/IEC 18181-1 (D.2), the PNG specification (11.2.1), RFC 9649 (2.7) for WebP, and LERC's own
    (``Lerc2.h``).
    """
    try:
        if segment.startswith(b"\xff\xd8"):
            return _jpeg(segment)
        if segment.startswith((b"\xff\x4f\xff\x51", _JP2)):
            return _jpeg2000(_code_stream(segment))
        if segment.startswith((b"\xff\x0a", _JXL)):
            return _jpegxl(_xl_code_stream(segment))
        if segment.startswith(b"II\xbc"):
            return _jpegxr(segment)
        if segment.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", segment, 16)
            # A palette becomes colour and transparency.
            return int(width) * int(height) * {2: 3, 3: 4, 4: 2, 6: 4}.get(segment[25], 1)
        if segment.startswith(b"RIFF"):
            return _webp(segment)
        if segment.startswith(b"Lerc2 "):
            return sum(rows * columns * n_bytes for rows, columns, n_bytes, _ in _lerc(segment))
    except (struct.error, IndexError):
        return 0  # cut short
    return 0


def missing_from(segment: bytes) -> str | None:
    """What a strip or tile lacks that its header promises, of codecs that would fill it up.

    Returns
    -------
    str or None
        None where it is whole, as far as that can be told without decoding it.
    """
    try:
        if segment.startswith(b"\xff\xd8"):
            scans = segment.count(b"\xff\xda")
            if scans > MOST_SCANS:
                return f"an end of its {scans} scans"
            whole = segment.rfind(b"\xff\xd9") > segment.rfind(b"\xff\xda") > 0
            return None if whole else "its end"
        if segment.startswith((b"\xff\x4f\xff\x51", _JP2)):
            return _missing_tiles(_code_stream(segment))
        if segment.startswith(b"II\xbc"):
            entries = _xr_entries(segment)
            end = entries.get(_XR_PLACE, 0) + entries.get(_XR_BYTES, 0)
            return "its end" if end > len(segment) else None
        if segment.startswith(b"Lerc2 "):
            n = sum(rows * columns - valid for rows, columns, _, valid in _lerc(segment))
            return f"{n} of its pixels" if n else None
    except (struct.error, IndexError):
        return "its end"
    return None


def _jpeg(segment: bytes) -> int:
    at = 2
    claimed = 0
    while True:
        at = segment.find(b"\xff", at)
        if at < 0:
            return claimed
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
            claimed = max(claimed, int((height or 65535) * width * channels))
        if marker in (0xD9, 0xDA):
            return claimed
        at += struct.unpack_from(">H", segment, at)[0]


def _boxes(segment: bytes) -> Iterator[tuple[bytes, bytes]]:
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


def _code_stream(segment: bytes) -> bytes:
    if not segment.startswith(_JP2):
        return segment
    return next((content for kind, content in _boxes(segment) if kind == b"jp2c"), b"")


def _jpeg2000(stream: bytes) -> int:
    right, bottom, left, top = struct.unpack_from(">4I", stream, 8)
    (channels,) = struct.unpack_from(">H", stream, 40)
    return int(max(right - left, 0) * max(bottom - top, 0) * channels)


def _missing_tiles(stream: bytes) -> str | None:
    right, bottom, _, _, width, height, left, top = struct.unpack_from(">8I", stream, 8)
    (channels,) = struct.unpack_from(">H", stream, 40)
    tiles = -(-(right - left) // max(width, 1)) * -(-(bottom - top) // max(height, 1))
    if not width or not height or tiles * (channels + 5) > _MOST_PARTS:
        return f"room for its {tiles} tiles of {channels} channels"
    found = set()
    at = 2
    while at + 12 <= len(stream):
        marker, length, tile, part = struct.unpack_from(">HHHI", stream, at)
        if marker == 0xFFD9:
            break
        if marker == 0xFF90:
            found.add(tile)
            # Without a length, it is the last one.
            at = at + part if part >= 14 else len(stream)
        else:
            at += 2 + length
    n = tiles - len(found)
    return f"{n} of its {tiles} tiles" if n > 0 else None


def _xl_code_stream(segment: bytes) -> bytes:
    if not segment.startswith(_JXL):
        return segment
    # A part of a stream begins with its number.
    parts = {b"jxlc": 0, b"jxlp": 4}
    found = (content[parts[kind] :] for kind, content in _boxes(segment) if kind in parts)
    return b"".join(found)


class _Bits:
    """Reads bits, the lowest first; behind the end they are 0."""

    def __init__(self, content: bytes) -> None:
        self._bits = int.from_bytes(content, "little")

    def take(self, n: int) -> int:
        value = self._bits & ((1 << n) - 1)
        self._bits >>= n
        return value

    def choose(self, *forms: tuple[int, int]) -> int:
        """A number in one of four forms: what is added, and its bits (U32)."""
        added, n = forms[self.take(2)]
        return added + self.take(n)


def _jpegxl(stream: bytes) -> int:
    """Of three colours and all further channels; of moving pictures, more than any place holds."""
    if stream[:2] != b"\xff\x0a":
        return 0
    bits = _Bits(stream[2 : 2 + _XL_HEAD_BYTES])
    width, height = _xl_sides(bits)
    further = 1
    if not bits.take(1):
        if bits.take(1):
            bits.take(3)
            if bits.take(1):
                _xl_sides(bits)
            if bits.take(2):  # a preview, an animation
                return 2**62
        _xl_depth(bits)
        bits.take(1)
        further = max(bits.choose((0, 0), (1, 0), (2, 4), (1, 12)), 1)
    return (3 + further) * width * height


def _xl_sides(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)

    def side() -> int:
        if small:
            return (bits.take(5) + 1) * 8
        return bits.choose((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = bits.take(3)
    if not ratio:
        return side(), height
    over, under = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * over // under, height


def _xl_depth(bits: _Bits) -> None:
    if bits.take(1):
        bits.choose((32, 0), (16, 0), (24, 0), (1, 6))
        bits.take(4)
    else:
        bits.choose((8, 0), (10, 0), (12, 0), (1, 6))


def _jpegxr(segment: bytes) -> int:
    entries = _xr_entries(segment)
    start = entries.get(_XR_PLACE, 0)
    if segment[start : start + 8] != b"WMPHOTO\0":
        return 0
    short = segment[start + 10] & 0x80
    width, height = struct.unpack_from(">HH" if short else ">II", segment, start + 12)
    width = max(width + 1, entries.get(_XR_WIDTH, 0))
    height = max(height + 1, entries.get(_XR_HEIGHT, 0))
    # Colour takes three or four channels.
    return 4 * int(width) * int(height)


def _xr_entries(segment: bytes) -> dict[int, int]:
    """Values of the tags in a JPEG XR file's first directory."""
    (at,) = struct.unpack_from("<I", segment, 4)
    (entries,) = struct.unpack_from("<H", segment, at)
    found = {}
    for k in range(entries):
        tag, kind, _, value = struct.unpack_from("<HHII", segment, at + 2 + 12 * k)
        found[tag] = value & 0xFFFF if kind == 3 else value
    return found


def _webp(segment: bytes) -> int:
    """Four for each pixel of a canvas or picture, the larger one, for each picture."""
    at, pixels, pictures = 12, 0, 0
    while at + 8 <= len(segment):
        kind, length = struct.unpack_from("<4sI", segment, at)
        content = segment[at + 8 : at + 24]
        if kind == b"VP8X":
            pixels = max(pixels, _sides24(content, 4))
        elif kind == b"ANMF":
            pixels = max(pixels, _sides24(content, 6))
            pictures += 1
        elif kind == b"VP8 ":
            width, height = struct.unpack_from("<HH", content, 6)
            pixels = max(pixels, (width & 0x3FFF) * (height & 0x3FFF))
        elif kind == b"VP8L":
            (bits,) = struct.unpack_from("<I", content, 1)
            pixels = max(pixels, ((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1))
        at += 8 + length + length % 2
    return 4 * pixels * max(pictures, 1)


def _sides24(content: bytes, at: int) -> int:
    width = int.from_bytes(content[at : at + 3], "little") + 1
    height = int.from_bytes(content[at + 3 : at + 6], "little") + 1
    return width * height


def _lerc(segment: bytes) -> list[tuple[int, int, int, int]]:
    """Rows, columns, bytes of a pixel, and pixels that are there, of each of LERC's parts."""
    found = []
    at = 0
    while segment.startswith(b"Lerc2 ", at):
        (version,) = struct.unpack_from("<i", segment, at + 6)
        begin = at + (14 if version >= 3 else 10)  # behind a checksum
        rows, columns = struct.unpack_from("<II", segment, begin)
        begin += 8
        depth = 1
        if version >= 4:
            (depth,) = struct.unpack_from("<I", segment, begin)
            begin += 4
        valid, _, length, kind = struct.unpack_from("<4i", segment, begin)
        found.append((rows, columns, depth * _LERC_BYTES[kind & 7], valid))
        at += max(length, 1)
    return found
