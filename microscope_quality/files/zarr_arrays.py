"""Read the arrays of Zarr 2 and 3 chunk by chunk, from what their JSON says.

References
----------
The Zarr storage specification, versions 2 and 3.1, https://zarr-specs.readthedocs.io.
"""

from __future__ import annotations

import math
import os
import re
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from microscope_quality.errors import FileError
from microscope_quality.files.lazy import MAX_WHOLE_BYTES
from microscope_quality.files.regular import Folder, said
from microscope_quality.files.zarr_codecs import (
    ArrayCodec,
    ByteCodec,
    Chain,
    codec_of,
    dtype_of,
    not_read,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of an array or a chunk along an axis, and axes of an array.
_LONGEST = 2**31
_MOST_AXES = 32
_MOST_CODECS = 16
# Planes in a chunk, and chunks behind each other in a shard: for one plane, all are gone through.
_MOST_DEEP = 4096
# Chunks in a shard, and shards in each other.
_MOST_IN_SHARD = 2**20
_MOST_SHARDINGS = 2
# What an image keeps of what it decoded last.
_KEPT_BYTES = 2**26

#: Where there is no chunk in a shard, both its place and its length are this.
_NO_CHUNK = 2**64 - 1

#: Codecs of Zarr 3 by their own names; numcodecs has others, under this prefix.
_OWN_CODECS = ("gzip", "zstd", "blosc", "crc32c")
_PREFIX = "numcodecs."

_KNOWN_KEYS = {
    *("zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding"),
    *("fill_value", "codecs", "attributes", "dimension_names"),
}


class Kept:
    """The arrays that were used last, up to `_KEPT_BYTES`."""

    def __init__(self) -> None:
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> NDArray[Any] | None:
        """Give the array of a key, if it is still here."""
        if key in self._arrays:
            self._arrays.move_to_end(key)
        return self._arrays.get(key)

    def put(self, key: Hashable, array: NDArray[Any]) -> None:
        """Keep an array whose key is not here, as long as there is room."""
        if array.nbytes <= _KEPT_BYTES:
            self._arrays[key] = array
            self._bytes += array.nbytes
            while self._bytes > _KEPT_BYTES:
                self._bytes -= self._arrays.popitem(last=False)[1].nbytes


class ZarrArray:
    """An array of Zarr 2 or 3 in a folder.

    Parameters
    ----------
    folder
        That is read, and nothing outside of it.
    name
        Of the array in the folder.
    described
        What its ``.zarray`` or ``zarr.json`` says.
    kept
        Where decoded chunks and indexes of shards stay for a while.

    Attributes
    ----------
    shape, dtype
        Of the array.
    chunks : tuple of int
        Shape of what is decoded at once: of the innermost chunks, if there are shards.

    Raises
    ------
    FileError
        The description is damaged, or names what is not read.
    """

    def __init__(self, folder: Folder, name: str, described: Mapping[str, Any], kept: Kept) -> None:
        self._folder, self._name, self._kept = folder, name, kept
        try:
            version = described.get("zarr_format")
            if version not in (2, 3):
                raise FileError(f"is of Zarr format {version!r:.20}; 2 and 3 are read")
            about = (_described_2 if version == 2 else _described_3)(described)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            told = f"is damaged: the description of {name or 'its array'} ({error!r:.200})"
            raise FileError(told) from error
        self.shape, self.dtype = about.shape, about.dtype
        self._about = about
        inner = about.stored
        while isinstance(inner, _Shard):
            inner = inner.inner
        self.chunks = inner.shape

    def chunk(self, numbers: Sequence[int]) -> NDArray[Any]:
        """Give the pixels of a chunk.

        Parameters
        ----------
        numbers
            Of the chunk along each axis.

        Returns
        -------
        array
            Of the shape `chunks`, also at the array's end. It is not to be written to.

        Raises
        ------
        FileError
            The chunk is damaged or cannot be read.
        """
        key = (self._name, *numbers)
        pixels = self._kept.get(key)
        if pixels is None:
            try:
                pixels = self._read([n * length for n, length in zip(numbers, self.chunks)])
            except Exception as error:  # codecs have errors of their own
                raise FileError(said(error)) from error
            if pixels is None:
                return np.broadcast_to(self._about.fill, self.chunks)
            if math.prod(self.chunks[:-2]) > 1:
                self._kept.put(key, pixels)
        return pixels

    def _read(self, pixel: Sequence[int]) -> NDArray[Any] | None:
        """Give the chunk that begins at a pixel; None where none is stored."""
        stored = self._about.stored
        outer = tuple(at // length for at, length in zip(pixel, stored.shape))
        name = "/".join(filter(None, (self._name, self._about.key_of(outer))))
        try:
            stream = self._folder.open(name)
        except FileNotFoundError:
            return None
        with stream:
            part = _Part(stream, 0, os.fstat(stream.fileno()).st_size)
            places: tuple[Hashable, ...] = (name,)
            while isinstance(stored, _Shard):
                index = self._kept.get(places)
                if index is None:
                    index = stored.read_index(part)
                    self._kept.put(places, index)
                # Of the chunk in the shard in which the pixel lies, along each axis.
                sides = zip(pixel, stored.shape, stored.inner.shape)
                place = tuple(at % high // low for at, high, low in sides)
                start, size = (int(n) for n in index[place])
                if start == size == _NO_CHUNK:
                    return None
                if start + size > part.size:
                    raise ValueError(f"{size} bytes from {start} on, in a shard of {part.size}")
                part = _Part(part.stream, part.start + start, size)
                stored, places = stored.inner, (*places, place)
            if part.size > stored.chain.longest:
                raise ValueError(
                    f"{part.size} bytes where at most {stored.chain.longest} can be stored"
                )
            content = part.read(0, part.size)
        return stored.decode(content)


def shape_of(described: Mapping[str, Any]) -> tuple[int, ...]:
    """Give the shape of an array that its ``.zarray`` or ``zarr.json`` describes.

    Raises
    ------
    FileError
        It has none.
    """
    return _lengths(described.get("shape"))


@dataclass(frozen=True)
class _Part:
    """A part of an open file."""

    stream: BinaryIO
    start: int
    size: int

    def read(self, at: int, size: int) -> bytes:
        self.stream.seek(self.start + at)
        content = self.stream.read(size)
        if len(content) != size:
            raise ValueError(f"is cut short: {len(content)} bytes in place of {size}")
        return content


@dataclass(frozen=True, eq=False)
class _Chunk:
    """How a chunk is stored: its axes and numbers changed by `steps`, then bytes by `chain`."""

    shape: tuple[int, ...]
    steps: Sequence[ArrayCodec | tuple[int, ...]]
    dtype: np.dtype[Any]
    chain: Chain

    def decode(self, content: bytes) -> NDArray[Any]:
        shape = self.shape
        for step in self.steps:
            if isinstance(step, tuple):
                shape = tuple(shape[axis] for axis in step)
        pixels = np.frombuffer(self.chain.decode(content), self.dtype).reshape(shape)
        for step in reversed(self.steps):
            if isinstance(step, tuple):
                pixels = pixels.transpose(np.argsort(step))
            else:
                flat = np.ascontiguousarray(pixels, step.stored).reshape(-1)
                pixels = step.decode(flat).reshape(pixels.shape)
        # Other bytes than 0 and 1 are no value that NumPy knows.
        return pixels.view(np.uint8) != 0 if pixels.dtype.kind == "b" else pixels


@dataclass(frozen=True, eq=False)
class _Shard:
    """How a chunk is stored that is made of others, with an index of where they are in it."""

    shape: tuple[int, ...]
    counts: tuple[int, ...]
    index: Chain
    index_dtype: np.dtype[Any]
    index_first: bool
    inner: _Chunk | _Shard

    def read_index(self, part: _Part) -> NDArray[Any]:
        size = self.index.longest
        if size > part.size:
            raise ValueError(f"is cut short: {part.size} bytes, of which {size} are an index")
        content = self.index.decode(part.read(0 if self.index_first else part.size - size, size))
        return np.frombuffer(content, self.index_dtype).reshape(*self.counts, 2)


@dataclass(frozen=True, eq=False)
class _Described:
    """What the description of an array says; `first` and `separator` make the names of chunks."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: NDArray[Any]
    stored: _Chunk | _Shard
    first: str
    separator: str

    def key_of(self, numbers: Iterable[int]) -> str:
        return self.first + self.separator.join(map(str, numbers))


def _described_2(about: Mapping[str, Any]) -> _Described:
    dtype = dtype_of(about["dtype"])
    shape = shape_of(about)
    chunk = _lengths(about["chunks"], len(shape))
    order = about.get("order", "C")
    if order not in ("C", "F"):
        raise FileError(f"is damaged: its pixels have the order {order!r:.20}, not C or F")
    packing = [*(about.get("filters") or []), *filter(None, [about.get("compressor")])]
    if len(packing) > _MOST_CODECS:
        raise FileError(f"has {len(packing)} codecs; at most {_MOST_CODECS} are read")
    codecs: list[ByteCodec] = []
    current = dtype
    for one in packing:
        codec = codec_of(one["id"], {"elementsize": 4, "dtype": current.str, **one})
        if isinstance(codec, ArrayCodec):
            current = codec.stored
            codec = codec.of_bytes()
        codecs.append(codec)
    steps = [tuple(reversed(range(len(shape))))] if order == "F" else []
    stored = _Chunk(chunk, steps, dtype, Chain(codecs, _check_size(chunk, dtype)))
    separator = _separator(about.get("dimension_separator") or ".")
    return _Described(shape, dtype, _fill(about.get("fill_value"), dtype), stored, "", separator)


def _described_3(about: Mapping[str, Any]) -> _Described:
    for key in sorted(set(about) - _KNOWN_KEYS):
        value = about[key]
        if value and not (isinstance(value, dict) and value.get("must_understand") is False):
            raise FileError(f"has {key[:100]!r} in its description, which is not read")
    if about.get("node_type") != "array":
        raise FileError("is damaged: its metadata name an array that is none")
    dtype = dtype_of(_named(about["data_type"])[0])
    shape = shape_of(about)
    grid, configuration = _named(about["chunk_grid"])
    if grid != "regular":
        raise FileError(f"has chunks in a grid {grid!r:.100}; regular ones are read")
    chunk = _lengths(configuration["chunk_shape"], len(shape))
    keys, configuration = _named(about.get("chunk_key_encoding", "default"))
    if keys not in ("default", "v2"):
        raise FileError(f"has names of chunks {keys!r:.100}; default and v2 are read")
    separator = _separator(configuration.get("separator", "/" if keys == "default" else "."))
    return _Described(
        shape,
        dtype,
        _fill(about.get("fill_value"), dtype),
        _stored_3(about["codecs"], chunk, dtype),
        f"c{separator}" if keys == "default" else "",
        separator,
    )


def _stored_3(
    codecs: Any, shape: tuple[int, ...], dtype: np.dtype[Any], shardings: int = 0
) -> _Chunk | _Shard:
    """How Zarr 3 stores a chunk, by its codecs: of numbers, into bytes, and of bytes."""
    named = [_named(one) for one in codecs]
    names = [name for name, _ in named]
    if len(names) > _MOST_CODECS:
        raise FileError(f"has {len(names)} codecs; at most {_MOST_CODECS} are read")
    if "sharding_indexed" in names:
        if len(names) > 1:
            raise FileError("has shards that are packed as wholes, which are not read")
        return _shard(named[0][1], shape, dtype, shardings)
    built = [_codec_3(name, configuration, shape, dtype) for name, configuration in named]
    if names.count("bytes") != 1:
        raise FileError(f"is damaged: {names.count('bytes')} of its codecs are 'bytes', not one")
    at = names.index("bytes")
    steps: list[ArrayCodec | tuple[int, ...]] = []
    current = dtype
    for name, codec in zip(names[:at], built):
        if isinstance(codec, ByteCodec):
            raise FileError(f"is damaged: its numbers are no bytes yet where {name} packs them")
        if isinstance(codec, ArrayCodec):
            if codec.dtype.newbyteorder("=") != current.newbyteorder("="):
                raise FileError(f"is damaged: {name} of {codec.dtype} in place of {current}")
            current = codec.stored
        steps.append(codec)
    packing = [codec for codec in built[at + 1 :] if isinstance(codec, ByteCodec)]
    if len(packing) < len(built) - at - 1:
        raise FileError("is damaged: codecs of numbers come behind 'bytes'")
    numbers = _in_order(current, named[at][1])
    _check_size(shape, dtype)
    return _Chunk(shape, steps, numbers, Chain(packing, _check_size(shape, numbers)))


def _codec_3(
    name: str, configuration: Mapping[str, Any], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> ByteCodec | ArrayCodec | tuple[int, ...]:
    """A codec of Zarr 3; of 'bytes' it tells nothing, and of 'transpose' the order of axes."""
    if name == "bytes":
        return ()
    if name == "transpose":
        order = configuration["order"]
        if sorted(order) != list(range(len(shape))):
            raise FileError(f"is damaged: its {len(shape)} axes have the order {order!r:.50}")
        return tuple(order)
    told = {key: value for key, value in configuration.items() if value is not None}
    told = {"elementsize": dtype.itemsize, "dtype": dtype.str, **told}
    if name in _OWN_CODECS:
        return codec_of(name, told)
    if name.startswith(_PREFIX):
        return codec_of(name, told, _PREFIX)
    raise not_read(name, ("bytes", "transpose", "sharding_indexed", *_OWN_CODECS, f"{_PREFIX}…"))


def _shard(
    configuration: Mapping[str, Any], shape: tuple[int, ...], dtype: np.dtype[Any], shardings: int
) -> _Shard:
    if shardings == _MOST_SHARDINGS:
        raise FileError(f"has shards within shards, more than {_MOST_SHARDINGS} levels of them")
    inner = _lengths(configuration["chunk_shape"], len(shape))
    if any(high % low for high, low in zip(shape, inner)):
        raise FileError(f"is damaged: shards of {_sides(shape)} pixels, chunks of {_sides(inner)}")
    counts = tuple(high // low for high, low in zip(shape, inner))
    if math.prod(counts) > _MOST_IN_SHARD or math.prod(counts[:-2]) > _MOST_DEEP:
        raise FileError(
            f"has shards of {_sides(counts)} chunks; at most {_MOST_IN_SHARD} in one, and "
            f"{_MOST_DEEP} behind each other, are read"
        )
    location = configuration.get("index_location", "end")
    if location not in ("start", "end"):
        raise FileError(f"is damaged: the index of shards at {location!r:.50}, not start or end")
    (name, order), *checksums = [_named(one) for one in configuration["index_codecs"]]
    for found, known in [(name, "bytes"), *((one, "crc32c") for one, _ in checksums)]:
        if found != known:
            raise FileError(f"has an index of shards by {found!r:.100} in place of {known}")
    codecs = [codec_of("crc32c", {})] * len(checksums)
    return _Shard(
        shape,
        counts,
        Chain(codecs, 16 * math.prod(counts)),  # type: ignore[arg-type]
        _in_order(np.dtype("u8"), order),
        location == "start",
        _stored_3(configuration["codecs"], inner, dtype, shardings + 1),
    )


def _in_order(dtype: np.dtype[Any], configuration: Mapping[str, Any]) -> np.dtype[Any]:
    """The type of numbers as the codec 'bytes' writes them."""
    endian = configuration.get("endian")
    if endian is None and dtype.itemsize == 1:
        return dtype
    if endian not in ("little", "big"):
        raise FileError(f"is damaged: its bytes have the order {endian!r:.50}, not little or big")
    ordered: np.dtype[Any] = dtype.newbyteorder(endian)
    return ordered


def _named(value: Any) -> tuple[str, Mapping[str, Any]]:
    """Name and configuration of what Zarr 3 describes by these, or by the name alone."""
    if isinstance(value, str):
        return value, {}
    return str(value["name"]), dict(value.get("configuration") or {})


def _lengths(value: Any, n_axes: int | None = None) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > _MOST_AXES:
        raise FileError(f"is damaged: a length along each axis was expected, not {value!r:.100}")
    if not all(type(length) is int and 1 <= length <= _LONGEST for length in value):
        raise FileError(
            f"is damaged: its chunks or arrays have an impossible length: {value!r:.100}"
        )
    if n_axes is not None and len(value) != n_axes:
        raise FileError(f"is damaged: chunks with {len(value)} axes, in an array with {n_axes}")
    return tuple(value)


def _check_size(chunk: Sequence[int], dtype: np.dtype[Any]) -> int:
    n_bytes = math.prod(chunk) * dtype.itemsize
    if n_bytes > MAX_WHOLE_BYTES:
        raise FileError(f"is too large: chunks of {_sides(chunk)} pixels")
    if math.prod(chunk[:-2]) > _MOST_DEEP:
        raise FileError(
            f"has chunks of {_sides(chunk)} pixels; at most {_MOST_DEEP} planes in one are read"
        )
    return n_bytes


def _sides(lengths: Sequence[int]) -> str:
    return " × ".join(map(str, lengths))


def _separator(value: Any) -> str:
    if value not in (".", "/"):
        raise FileError(f"is damaged: {value!r:.50} in the names of its chunks, not . or /")
    return str(value)


def _fill(value: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The pixel where no chunk is stored."""
    damaged = FileError(f"is damaged: its fill value is {value!r:.50}, for {dtype} pixels")
    if value is None:
        return np.zeros((), dtype)
    if dtype.kind == "f":
        if isinstance(value, str) and re.fullmatch(f"0x[0-9a-fA-F]{{{2 * dtype.itemsize}}}", value):
            return np.frombuffer(bytes.fromhex(value[2:]), dtype.newbyteorder(">")).reshape(())
        if isinstance(value, str) and value not in ("NaN", "Infinity", "-Infinity"):
            raise damaged
        with np.errstate(all="ignore"):
            return np.array(float(value), dtype)
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if not isinstance(value, (int, float)) or value != value // 1 or not low <= value <= high:
        raise damaged
    return np.array(int(value), dtype)
