"""What the chunks of Zarr arrays are packed by, and how that is undone within bounds.

An array names its codecs itself. Here stands all that is read: nothing is looked up elsewhere, and
none of it runs code, gives more bytes than it was asked for, or reads beyond what is stored.
"""

from __future__ import annotations

import bz2
import functools
import lzma
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from microscope_quality.errors import FileError
from microscope_quality.files.lazy import MAX_WHOLE_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

Buffer = bytes | bytearray | memoryview

# What packing may add: deflate at its worst, small blocks, headers.
_ADDED_SHARE, _ADDED_BYTES = 8, 4096
# Streams in a chunk, one after the other, and bytes of them that are handed over at once.
_MOST_STREAMS = 65_536
_PIECE_BYTES = 2**16
# Of LZMA's decoder; its highest preset takes half of it.
_MOST_LZMA_BYTES = 2**27
# Larger ones are no element of numbers.
_LARGEST_ELEMENT = 256
# Items at work at once where they become float64 on their way.
_ITEMS = 2**18

# As NumPy has names of types, and as Zarr 3 has them, which NumPy knows too.
_TYPE = re.compile(r"[<>|]?(b1|[iu][1248]|f[248])|bool|u?int(8|16|32|64)|float(16|32|64)")


@dataclass(frozen=True)
class ByteCodec:
    """A codec from bytes to bytes.

    Attributes
    ----------
    longest
        The most bytes that so many bytes become when they are stored.
    decode
        Bytes of what is stored: at most as many as the second argument says.
    """

    longest: Callable[[int], int]
    decode: Callable[[Buffer, int], Buffer]


@dataclass(frozen=True)
class ArrayCodec:
    """A codec from numbers to as many numbers, which may be of another type.

    Attributes
    ----------
    dtype, stored : numpy.dtype
        Of the numbers, and of what they are stored as.
    decode
        The flat array of `dtype` that a flat one of `stored` means.
    """

    dtype: np.dtype[Any]
    stored: np.dtype[Any]
    decode: Callable[[NDArray[Any]], NDArray[Any]]

    def of_bytes(self) -> ByteCodec:
        """Give the same codec for numbers that are at hand as bytes."""

        def longest(n_bytes: int) -> int:
            if n_bytes % self.dtype.itemsize:
                raise FileError(
                    f"is damaged: a filter of {self.dtype} for chunks of {n_bytes} bytes"
                )
            return n_bytes // self.dtype.itemsize * self.stored.itemsize

        def decode(stored: Buffer, most: int) -> Buffer:
            numbers = self.decode(np.frombuffer(stored, self.stored))
            return numbers.view(np.uint8).data

        return ByteCodec(longest, decode)


class Chain:
    """The codecs that bytes go through, one after the other, until they are stored.

    Parameters
    ----------
    codecs : sequence of ByteCodec
        In the order of storing.
    n_bytes : int
        Of what goes in, and has to come out again.

    Attributes
    ----------
    longest : int
        The most bytes that may be stored for it.
    """

    def __init__(self, codecs: Sequence[ByteCodec], n_bytes: int) -> None:
        self._codecs = codecs
        sizes = accumulate(codecs, lambda size, codec: codec.longest(size), initial=n_bytes)
        self._sizes = list(sizes)
        # From 8 bits to 64 and back is the most that filters have a reason for.
        most = max(2 * n_bytes, min(8 * n_bytes, MAX_WHOLE_BYTES)) + 8 * _ADDED_BYTES
        if max(self._sizes) > most:
            raise FileError(
                f"is damaged: its codecs turn chunks of {n_bytes} bytes into {max(self._sizes)}"
            )
        self.longest = self._sizes[-1]

    def decode(self, stored: Buffer) -> Buffer:
        """Give the bytes that were stored.

        Raises
        ------
        ValueError
            It is damaged. Codecs raise other errors too.
        """
        if len(stored) > self.longest:
            raise ValueError(f"{len(stored)} bytes where at most {self.longest} can be stored")
        for codec, most in zip(reversed(self._codecs), reversed(self._sizes[:-1])):
            stored = codec.decode(stored, most)
            if len(stored) > most:
                raise _too_large(len(stored), most)
        if len(stored) != self._sizes[0]:
            raise ValueError(f"{len(stored)} bytes in place of {self._sizes[0]}")
        return stored


def codec_of(
    name: object, configuration: Mapping[str, Any], prefix: str = ""
) -> ByteCodec | ArrayCodec:
    """Give the codec that metadata name.

    Parameters
    ----------
    name
        As the metadata have it.
    configuration
        As numcodecs writes it, with ``dtype`` and ``elementsize`` where those are left out.
    prefix
        That stands before the codec's own name.

    Raises
    ------
    FileError
        It is none that is read, or its configuration is damaged.
    """
    own = name[len(prefix) :] if isinstance(name, str) and name.startswith(prefix) else ""
    if own not in _CODECS:
        raise not_read(name, (prefix + known for known in _CODECS))
    try:
        return _CODECS[own](configuration)
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise FileError(f"is damaged: the configuration of {own} ({error!r:.100})") from error


def not_read(name: object, known: Iterable[str]) -> FileError:
    """Give the error of a codec that is not read, with those that are."""
    return FileError(f"is packed by {name!r:.100}, which is not read; {', '.join(known)} are")


def dtype_of(name: object) -> np.dtype[Any]:
    """Give the type of numbers that metadata name, as NumPy or as Zarr 3 does.

    Raises
    ------
    FileError
        It is no type of real numbers of at most 64 bits.
    """
    if not isinstance(name, str) or not _TYPE.fullmatch(name):
        raise FileError(f"holds {name!r:.100} pixels; real numbers can be measured")
    return np.dtype(name)


def _longest_packed(n_bytes: int) -> int:
    return n_bytes + n_bytes // _ADDED_SHARE + _ADDED_BYTES


def _too_large(n_bytes: int, most: int) -> ValueError:
    return ValueError(f"unpacks to {n_bytes} bytes or more, in place of {most} at most")


# Packing


def _packed(decode: Callable[[Buffer, int], Buffer]) -> Callable[[Mapping[str, Any]], ByteCodec]:
    return lambda configuration: ByteCodec(_longest_packed, decode)


def _blosc(stored: Any, most: int) -> Buffer:
    from imagecodecs import blosc_decode

    size = len(stored)
    if size < 16:
        raise ValueError(f"{size} bytes where Blosc's header has 16")
    version, flags, item, unpacked, block, packed = struct.unpack_from("<BxBB3I", stored)
    # Blosc is given no length, and reads as much memory as its header says.
    if packed != size or unpacked > most:
        raise ValueError(f"{size} bytes, {unpacked} when unpacked, in place of {packed} and {most}")
    # Of a block that is no whole number of items, it leaves out the rest.
    uneven = 0 < item < block and block % item
    if version != 2 or not item or not 1 <= block <= unpacked or uneven:
        raise ValueError(
            f"Blosc's header: version {version}, {item}-byte items, {block}-byte blocks"
        )
    if flags & 2:
        if packed != unpacked + 16:
            raise ValueError(f"{packed} bytes for {unpacked} that Blosc did not pack")
    else:
        n_blocks = -(-unpacked // block)
        first = 16 + 4 * n_blocks
        if first > size:
            raise ValueError(f"{size} bytes for {n_blocks} blocks of Blosc")
        starts = np.frombuffer(stored, "<u4", n_blocks, 16)
        if starts.min() < first or starts.max() > size - 4:
            raise ValueError("blocks of Blosc lie outside of the chunk")
    unpacked_bytes: Buffer = blosc_decode(stored, numthreads=1, out=bytearray(unpacked))
    if len(unpacked_bytes) != unpacked:
        raise ValueError(f"{len(unpacked_bytes)} bytes of Blosc where its header has {unpacked}")
    return unpacked_bytes


def _zstd(stored: Any, most: int) -> Buffer:
    from imagecodecs import zstd_decode

    # Frames of older versions would be decoded by older decoders.
    if stored[:4] != b"\x28\xb5\x2f\xfd" or len(stored) < 6:
        raise ValueError(f"{len(stored)} bytes that are no frame of Zstandard")
    claimed = _zstd_size(stored)
    if claimed > most:
        raise _too_large(claimed, most)
    unpacked: Buffer = zstd_decode(stored, out=bytearray(most))
    return unpacked


def _zstd_size(stored: Buffer) -> int:
    """Size that the header of a Zstandard frame tells, or 0 (RFC 8878, 3.1.1.1)."""
    told, single = stored[4] >> 6, stored[4] >> 5 & 1
    at = 5 + (not single) + (0, 1, 2, 4)[stored[4] & 3]
    length = (single, 2, 4, 8)[told]
    size = int.from_bytes(stored[at : at + length], "little")
    return size + 256 if told == 1 else size


def _lz4(stored: Any, most: int) -> Buffer:
    from imagecodecs import lz4_decode

    # LZ4 has no header; this one is of numcodecs.
    if len(stored) < 5:
        raise ValueError(f"{len(stored)} bytes where the header of LZ4 has 4")
    (claimed,) = struct.unpack_from("<I", stored)
    if not 1 <= claimed <= most:
        raise _too_large(claimed, most)
    stored = memoryview(stored)[4:]
    unpacked: Buffer = lz4_decode(stored, out=bytearray(claimed))
    return unpacked


def _streams(
    decoder: Callable[[], Any], most_streams: int = _MOST_STREAMS
) -> Callable[[Buffer, int], Buffer]:
    """Unpack by decoders of the standard library, each of which unpacks one stream."""

    def decode(stored: Buffer, most: int) -> Buffer:
        unpacked = bytearray()
        stored, at = memoryview(stored), 0
        for _ in range(most_streams):
            stream = decoder()
            while not stream.eof:
                piece = stored[at : at + _PIECE_BYTES]
                if not piece:
                    raise ValueError(f"is cut short after {at} bytes")
                unpacked += stream.decompress(piece, most - len(unpacked) + 1)
                if len(unpacked) > most:
                    raise _too_large(len(unpacked), most)
                at += len(piece)
            at -= len(stream.unused_data)
            if at == len(stored):
                return unpacked
        raise ValueError(f"{len(stored) - at} bytes behind its end")

    return decode


def _lzma(configuration: Mapping[str, Any]) -> ByteCodec:
    form = configuration.get("format", lzma.FORMAT_XZ)
    # Without a header, the metadata would tell how much memory is taken.
    if form not in (lzma.FORMAT_AUTO, lzma.FORMAT_XZ, lzma.FORMAT_ALONE):
        raise FileError(f"is packed by LZMA of the format {form!r:.20}; 0, 1 and 2 are read")
    decoder = functools.partial(lzma.LZMADecompressor, int(form), _MOST_LZMA_BYTES)
    return ByteCodec(_longest_packed, _streams(decoder))


# Checksums


def _checksum(
    compute: Callable[[Buffer], int], location: str
) -> Callable[[Mapping[str, Any]], ByteCodec]:
    def build(configuration: Mapping[str, Any]) -> ByteCodec:
        place = configuration.get("location", location)
        if place not in ("start", "end"):
            raise FileError(f"is damaged: a checksum at {place!r:.20}, not at start or end")
        return ByteCodec(lambda n: n + 4, functools.partial(_checked, compute, place == "end"))

    return build


def _checked(compute: Callable[[Buffer], int], at_end: bool, stored: Buffer, most: int) -> Buffer:
    if len(stored) < 4:
        raise ValueError(f"{len(stored)} bytes where a checksum has 4")
    stored = memoryview(stored)
    content, told = (stored[:-4], stored[-4:]) if at_end else (stored[4:], stored[:4])
    if compute(content) & 0xFFFFFFFF != int.from_bytes(told, "little"):
        raise ValueError("its checksum is that of other bytes")
    return content


def _fletcher32(content: Any) -> int:
    from imagecodecs import h5checksum_fletcher32

    return int(h5checksum_fletcher32(content))


_CASTAGNOLI = 0x82F63B78
# Words of 32 bits that are taken one by one, and that are moved at once.
_FEW_WORDS, _MOST_WORDS = 64, 2**16


def crc32c(content: Buffer) -> int:
    """Compute the checksum CRC-32C (Castagnoli) of bytes.

    Notes
    -----
    It is the remainder of a polynomial over GF(2), which stays the same where a word is taken from
    the front, multiplied by x^(32 n), reduced, and added n words further on. So the first half of
    the words is moved onto the second one, until few are left.
    """
    n_bytes = len(content)
    padded = np.zeros(n_bytes + -n_bytes % 4, np.uint8)
    padded[-n_bytes % 4 :] = np.frombuffer(content, np.uint8) if n_bytes else 0
    # The remainder begins as all ones, over the first 32 bits.
    head = padded[-n_bytes % 4 :][:4]
    head ^= 0xFF
    beyond = 0xFFFFFFFF >> 8 * head.size
    words = padded.view("<u4").astype(np.uint32, copy=False)
    while words.size > _FEW_WORDS:
        distance = min(1 << (words.size - 1).bit_length() - 1, _MOST_WORDS)
        n = min(distance, words.size - distance)
        words[distance : distance + n] ^= _moved(words[:n], distance)
        words = words[n:]
    steps, remainder = _steps(), 0
    for word in words.tolist():
        for _ in range(2):
            remainder, word = remainder >> 16 ^ steps[(remainder ^ word) & 0xFFFF], word >> 16
    return int(remainder ^ beyond ^ 0xFFFFFFFF)


@functools.lru_cache(maxsize=None)
def _steps() -> list[int]:
    """Remainder of each word of 16 bits."""
    found = np.arange(2**16, dtype=np.uint32)
    for _ in range(16):
        found = np.where(found & 1, found >> 1 ^ np.uint32(_CASTAGNOLI), found >> 1)
    return [int(one) for one in found]


def _moved(words: NDArray[np.uint32], distance: int) -> NDArray[np.uint32]:
    """What words of 32 bits are so many words further on, which is a power of 2."""
    low, high = _halves(distance)
    moved: NDArray[np.uint32] = low[words & 0xFFFF] ^ high[words >> 16]
    return moved


@functools.lru_cache(maxsize=None)
def _halves(distance: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """What the lower and the upper half of a word are, so many words further on."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    if distance > 1:
        bits = _moved(_moved(bits, distance // 2), distance // 2)
    else:
        steps = np.array(_steps(), np.uint32)
        for _ in range(2):
            bits = bits >> 16 ^ steps[bits & 0xFFFF]
    halves = []
    for half in (bits[:16], bits[16:]):
        table = np.zeros(1, np.uint32)
        for bit in half:
            table = np.concatenate((table, table ^ bit))
        halves.append(table)
    return halves[0], halves[1]


# Filters


def _shuffle(configuration: Mapping[str, Any]) -> ByteCodec:
    element = int(configuration["elementsize"])
    if not 0 <= element <= _LARGEST_ELEMENT:
        raise FileError(f"is damaged: it is shuffled by elements of {element} bytes")

    def decode(stored: Buffer, most: int) -> Buffer:
        columns = np.frombuffer(stored, np.uint8).reshape(max(element, 1), -1)
        ordered: Buffer = columns.T.reshape(-1).data
        return ordered

    return ByteCodec(lambda n: n, decode)


def _filter(
    undo: Callable[[NDArray[Any], np.dtype[Any]], NDArray[Any]],
) -> Callable[[Mapping[str, Any]], ArrayCodec]:
    """Codec of numbers by what makes numbers of a type of those that are stored."""

    def build(configuration: Mapping[str, Any]) -> ArrayCodec:
        dtype = dtype_of(configuration["dtype"])
        stored = configuration.get("astype")

        def decode(numbers: NDArray[Any]) -> NDArray[Any]:
            with np.errstate(all="ignore"):
                return undo(numbers, dtype)

        return ArrayCodec(dtype, dtype if stored is None else dtype_of(stored), decode)

    return build


def _summed(differences: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.cumsum(differences, out=np.empty(differences.shape, dtype))


def _fixed_scale_offset(configuration: Mapping[str, Any]) -> ArrayCodec:
    scale, offset = float(configuration["scale"]), float(configuration["offset"])
    if not (math.isfinite(scale) and math.isfinite(offset) and scale):
        raise FileError(f"is damaged: its numbers are scaled by {scale} from {offset}")

    def undo(scaled: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        numbers = np.empty(scaled.shape, dtype)
        for at in range(0, scaled.size, _ITEMS):
            numbers[at : at + _ITEMS] = (scaled[at : at + _ITEMS] / scale + offset).astype(dtype)
        return numbers

    return _filter(undo)(configuration)


def _rounded(numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers that were rounded before they were stored: there is nothing to undo."""
    return numbers.astype(dtype, copy=False)


#: All that is read, by the names of numcodecs.
_CODECS: Mapping[str, Callable[[Mapping[str, Any]], ByteCodec | ArrayCodec]] = {
    "blosc": _packed(_blosc),
    "zstd": _packed(_zstd),
    "lz4": _packed(_lz4),
    "zlib": _packed(_streams(zlib.decompressobj, 1)),
    "gzip": _packed(_streams(functools.partial(zlib.decompressobj, 31))),
    "bz2": _packed(_streams(bz2.BZ2Decompressor)),
    "lzma": _lzma,
    "crc32": _checksum(zlib.crc32, "start"),
    "crc32c": _checksum(crc32c, "end"),
    "adler32": _checksum(zlib.adler32, "start"),
    "fletcher32": _checksum(_fletcher32, "end"),
    "shuffle": _shuffle,
    "delta": _filter(_summed),
    "fixedscaleoffset": _fixed_scale_offset,
    "quantize": _filter(_rounded),
    "bitround": _filter(_rounded),
}
