"""Arrays of Zarr 2 and 3: what the zarr library writes is read pixel for pixel, and what a chunk or
a description claims is not believed."""

import bz2
import contextlib
import gzip
import json
import lzma
import math
import struct
import tempfile
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microscope_quality.errors import FileError
from microscope_quality.files import zarr_arrays
from microscope_quality.files.regular import Folder
from microscope_quality.files.zarr_arrays import Kept, ZarrArray
from microscope_quality.files.zarr_codecs import crc32c

RNG = np.random.default_rng(5)
WORDS = RNG.integers(0, 3000, (3, 20, 31)).astype("<u2")
REALS = RNG.normal(0, 100, (3, 20, 31)).astype("<f4")
CHUNK = (2, 8, 16)

numcodecs = pytest.importorskip("numcodecs")
zarr = pytest.importorskip("zarr")
ZARR_3 = int(zarr.__version__.split(".")[0]) >= 3
needs_zarr_3 = pytest.mark.skipif(not ZARR_3, reason="zarr-python 2 writes Zarr 2 alone")

# Of numcodecs in Zarr 3: it says that they are in no specification.
pytestmark = [
    pytest.mark.formats,
    pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3"),
]


def opened(folder):
    folder = Path(folder)
    name = "zarr.json" if (folder / "zarr.json").exists() else ".zarray"
    described = json.loads((folder / name).read_text())
    return ZarrArray(Folder(folder), "", described, Kept())


def whole(folder):
    """All pixels, put together from the chunks."""
    array = opened(folder)
    pixels = np.empty(array.shape, array.dtype)
    counts = [math.ceil(n / length) for n, length in zip(array.shape, array.chunks)]
    for numbers in np.ndindex(*counts):
        area = tuple(slice(n * k, (n + 1) * k) for n, k in zip(numbers, array.chunks))
        part = pixels[area]
        chunk = array.chunk(numbers)
        assert chunk.shape == array.chunks
        part[...] = chunk[tuple(slice(0, n) for n in part.shape)]
    return pixels


def write_2(folder, data, compressor=None, filters=None, order="C", fill=0, separator="/"):
    common = {"shape": data.shape, "dtype": data.dtype, "chunks": CHUNK, "order": order}
    common.update(filters=filters, fill_value=fill)
    if ZARR_3:
        keys = {"name": "v2", "separator": separator}
        array = zarr.create_array(
            str(folder), **common, compressors=compressor, zarr_format=2, chunk_key_encoding=keys
        )
    else:
        array = zarr.open(
            str(folder), mode="w", **common, compressor=compressor, dimension_separator=separator
        )
    array[...] = data
    return array[...]


def described_2(folder, shape=(64, 64), chunks=(64, 64), dtype="<u2", **more):
    folder.mkdir(exist_ok=True)
    about = {
        **{"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": dtype, "fill_value": 0},
        **{"order": "C", "compressor": None, "filters": None, "dimension_separator": "."},
    }
    (folder / ".zarray").write_text(json.dumps({**about, **more}))
    return folder


LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BIG = {"name": "bytes", "configuration": {"endian": "big"}}


def described_3(folder, codecs=(LITTLE,), shape=(64, 64), chunks=(64, 64), **more):
    folder.mkdir(exist_ok=True)
    about = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": 0,
        "codecs": codecs,
        "attributes": {},
    }
    (folder / "zarr.json").write_text(json.dumps({**about, **more}))
    return folder


def sharding(chunks, codecs=(LITTLE,), location="end", index=(LITTLE, "crc32c")):
    configuration = {"chunk_shape": chunks, "codecs": codecs, "index_codecs": index}
    return {
        "name": "sharding_indexed",
        "configuration": {**configuration, "index_location": location},
    }


def refused(folder, match=None):
    with pytest.raises(FileError, match=match):
        opened(folder).chunk((0, 0))


# What the library writes

Blosc = numcodecs.Blosc
COMPRESSORS = {
    "none": None,
    **{f"blosc {name}": Blosc(name) for name in numcodecs.blosc.list_compressors()},
    **{f"blosc shuffle {n}": Blosc("lz4", 5, n) for n in range(3)},
    "blosc not packed": Blosc("lz4", 0),
    "blosc in blocks": Blosc("zstd", 5, 2, blocksize=128),
    **{"zstd": numcodecs.Zstd(), "lz4": numcodecs.LZ4(), "zlib": numcodecs.Zlib()},
    **{"gzip": numcodecs.GZip(), "bz2": numcodecs.BZ2(), "lzma": numcodecs.LZMA()},
    **{"lzma best": numcodecs.LZMA(preset=9), "lzma alone": numcodecs.LZMA(format=2)},
}
OF_WORDS = {
    "delta": [numcodecs.Delta("<u2")],
    "delta of another type": [numcodecs.Delta("<u2", "<i4")],
    "shuffle": [numcodecs.Shuffle(2)],
    "fixedscaleoffset": [numcodecs.FixedScaleOffset(10, 2, "<u2", "<i4")],
    "crc32": [numcodecs.CRC32()],
    "adler32": [numcodecs.Adler32()],
    "fletcher32": [numcodecs.Fletcher32()],
    "blosc": [Blosc()],
    "several": [numcodecs.Delta("<u2"), numcodecs.Shuffle(2), numcodecs.Zlib(), numcodecs.CRC32()],
}
with contextlib.suppress(ImportError, AttributeError):
    OF_WORDS["crc32c"] = [numcodecs.checksum32.CRC32C()]
OF_REALS = {
    "bitround": [numcodecs.BitRound(5)],
    "quantize": [numcodecs.Quantize(2, "<f4")],
    "quantize to another type": [numcodecs.Quantize(2, "<f4", "<f2")],
    "fixedscaleoffset": [numcodecs.FixedScaleOffset(5, 10, "<f4", "<i2")],
    "delta": [numcodecs.Delta("<f4")],
}


@pytest.mark.parametrize("name", COMPRESSORS)
def test_each_compressor_of_zarr_2(tmp_path, name):
    expected = write_2(tmp_path / "a", WORDS, COMPRESSORS[name])
    np.testing.assert_array_equal(expected, WORDS)
    np.testing.assert_array_equal(whole(tmp_path / "a"), WORDS)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("data", "filters"),
    [(WORDS, one) for one in OF_WORDS.values()] + [(REALS, one) for one in OF_REALS.values()],
    ids=[*OF_WORDS, *(f"{name} of reals" for name in OF_REALS)],
)
def test_each_filter_of_zarr_2(tmp_path, data, filters, order):
    expected = write_2(tmp_path / "a", data, numcodecs.Zlib(), filters, order)
    np.testing.assert_array_equal(whole(tmp_path / "a"), expected)


@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "dtype",
    [
        *("|b1", "|u1", "|i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">u4", "<i4", ">i4", "<u8"),
        *(">u8", "<i8", ">i8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8"),
    ],
)
def test_each_type_and_order_of_zarr_2(tmp_path, dtype, order, separator):
    data = WORDS % 2 == 0 if dtype == "|b1" else (WORDS % 120).astype(dtype)
    write_2(tmp_path / "a", data, None, None, order, separator=separator)
    pixels = whole(tmp_path / "a")
    assert pixels.dtype.newbyteorder("=") == data.dtype.newbyteorder("=")
    np.testing.assert_array_equal(pixels, data)


def codecs_of_zarr_3():
    import zarr.codecs as own
    from zarr.codecs import numcodecs as theirs

    def shards(**more):
        options = {"serializer": own.ShardingCodec(chunk_shape=(1, 4, 8), **more)}
        return (WORDS, {**options, "compressors": None})

    yield "none", (WORDS, {"compressors": None})
    yield "big", (WORDS, {"serializer": own.BytesCodec(endian="big")})
    yield "transpose", (WORDS, {"filters": own.TransposeCodec(order=(2, 0, 1))})
    for name, codec in {
        **{"gzip": own.GzipCodec(), "zstd": own.ZstdCodec(), "blosc": own.BloscCodec()},
        "zstd with a checksum": own.ZstdCodec(checksum=True),
        "crc32c": own.Crc32cCodec(),
        "several": [own.ZstdCodec(), own.BloscCodec(), own.Crc32cCodec(), own.GzipCodec()],
        **{
            f"numcodecs.{name}": getattr(theirs, name)()
            for name in ("Blosc", "Zstd", "LZ4", "Zlib", "GZip", "BZ2", "LZMA", "Shuffle")
        },
        **{
            f"numcodecs.{name}": getattr(theirs, name)()
            for name in ("CRC32", "CRC32C", "Adler32", "Fletcher32")
        },
    }.items():
        yield name, (WORDS, {"compressors": codec})
    delta = theirs.Delta(dtype="uint16", astype="int32")
    scale = theirs.FixedScaleOffset(offset=3, scale=2, astype="<i4")
    yield "numcodecs.Delta", (WORDS, {"filters": delta})
    yield "numcodecs.FixedScaleOffset", (WORDS, {"filters": scale})
    yield "numcodecs.BitRound", (REALS, {"filters": theirs.BitRound(keepbits=4)})
    yield "numcodecs.Quantize", (REALS, {"filters": theirs.Quantize(digits=2, dtype="float32")})
    for place in ("start", "end"):
        yield f"index at {place}", shards(index_location=place)
        inner = [own.TransposeCodec(order=(2, 1, 0)), own.BytesCodec(), own.BloscCodec()]
        index = [own.BytesCodec(endian="big")]
        yield (
            f"packed in shards, index at {place}",
            shards(index_location=place, codecs=inner, index_codecs=index),
        )
        inner = [own.ShardingCodec(chunk_shape=(1, 2, 4), index_location=place)]
        yield f"shards in shards, index at {place}", shards(index_location=place, codecs=inner)


@needs_zarr_3
def test_each_codec_of_zarr_3(tmp_path):
    for number, (name, (data, options)) in enumerate(codecs_of_zarr_3()):
        folder = tmp_path / str(number)
        array = zarr.create_array(
            str(folder), shape=data.shape, dtype=data.dtype, chunks=CHUNK, zarr_format=3, **options
        )
        array[...] = data
        np.testing.assert_array_equal(whole(folder), array[...], err_msg=name)


@needs_zarr_3
@pytest.mark.parametrize("encoding", ["default", "v2"])
@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize(
    "dtype",
    [
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    ],
)
def test_each_type_of_zarr_3_and_the_names_of_its_chunks(tmp_path, dtype, separator, encoding):
    data = WORDS % 2 == 0 if dtype == "bool" else (WORDS % 120).astype(dtype)
    keys = {"name": encoding, "separator": separator}
    zarr.create_array(
        str(tmp_path / "a"),
        **{"shape": data.shape, "dtype": dtype, "chunks": CHUNK, "zarr_format": 3},
        chunk_key_encoding=keys,
    )[...] = data
    np.testing.assert_array_equal(whole(tmp_path / "a"), data)


# Written here, by the specification


def test_zarr_3_without_the_library(tmp_path):
    data = WORDS[0, :16, :16]
    packed = gzip.compress(data.astype(">u2").tobytes())
    folder = described_3(tmp_path / "a", [BIG, "gzip"], (16, 16), (16, 16))
    (folder / "c.0.0").write_bytes(packed)
    np.testing.assert_array_equal(whole(folder), data)


def shard_of(data, location, missing=()):
    """A shard of chunks of 8 × 8 pixels, without a checksum of the index."""
    body, index = b"", []
    first = 16 * 4 if location == "start" else 0
    for number, (row, column) in enumerate(np.ndindex(2, 2)):
        part = data[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].tobytes()
        if number in missing:
            index += [2**64 - 1, 2**64 - 1]
        else:
            index += [first + len(body), len(part)]
            body += part
    packed = struct.pack("<8Q", *index)
    return packed + body if location == "start" else body + packed


@pytest.mark.parametrize("location", ["start", "end"])
def test_shards_without_the_library(tmp_path, location):
    data = WORDS[0, :16, :16]
    codec = sharding([8, 8], location=location, index=[LITTLE])
    folder = described_3(tmp_path / "a", [codec], (16, 16), (16, 16), fill_value=7)
    (folder / "c.0.0").write_bytes(shard_of(data, location, missing=[2]))
    expected = data.copy()
    expected[8:, :8] = 7
    np.testing.assert_array_equal(whole(folder), expected)


@pytest.mark.parametrize(
    ("start", "size"), [(0, 2**63), (2**63, 128), (500, 128), (2**64 - 1, 128), (0, 2**64 - 1)]
)
def test_chunks_that_lie_outside_of_their_shard(tmp_path, start, size):
    folder = described_3(tmp_path / "a", [sharding([8, 8], index=[LITTLE])], (16, 16), (16, 16))
    shard = shard_of(WORDS[0, :16, :16], "end")
    (folder / "c.0.0").write_bytes(shard[:-64] + struct.pack("<2Q", start, size) + shard[-48:])
    refused(folder, "bytes from .* on, in a shard of 576")
    (folder / "c.0.0").write_bytes(shard[-63:])
    refused(folder, "63 bytes, of which 64 are an index")


def test_an_index_whose_checksum_is_wrong(tmp_path):
    folder = described_3(tmp_path / "a", [sharding([8, 8])], (16, 16), (16, 16))
    shard = shard_of(WORDS[0, :16, :16], "end")
    (folder / "c.0.0").write_bytes(shard + crc32c(shard[-64:]).to_bytes(4, "little"))
    np.testing.assert_array_equal(whole(folder), WORDS[0, :16, :16])
    (folder / "c.0.0").write_bytes(shard + bytes(4))
    refused(folder, "checksum is that of other bytes")


def crc_by_bits(content):
    remainder = 0xFFFFFFFF
    for byte in content:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    "length", [0, 1, 2, 3, 4, 5, 63, 255, 256, 257, 260, 511, 1025, 4096, 300_001]
)
def test_crc32c_is_that_of_its_definition(length):
    content = RNG.bytes(length)
    assert crc32c(content) == crc_by_bits(content)
    assert crc32c(b"123456789") == 0xE3069283  # of the catalogue of Cook


# Fill values


@pytest.mark.parametrize(
    ("dtype", "fill", "pixel"),
    [
        *[("<u2", None, 0), ("<u2", 65535, 65535), ("<i2", -3, -3), ("|b1", True, True)],
        *[("<f4", "NaN", np.nan), (">f8", "Infinity", np.inf), ("<f2", "-Infinity", -np.inf)],
        *[("<f4", 1.5, 1.5), ("<u2", 4.0, 4), ("<f4", None, 0)],
    ],
)
def test_chunks_that_are_missing_are_the_fill_value(tmp_path, dtype, fill, pixel):
    folder = described_2(tmp_path / "a", dtype=dtype, fill_value=fill)
    np.testing.assert_array_equal(whole(folder), np.full((64, 64), pixel, dtype))


@pytest.mark.parametrize(
    ("dtype", "fill", "pixel"),
    [
        *[("float32", "0x7fc00000", np.nan), ("float64", "0xbff8000000000000", -1.5)],
        *[("float16", "0x3C00", 1), ("float32", "NaN", np.nan), ("bool", False, False)],
    ],
)
def test_fill_values_of_zarr_3(tmp_path, dtype, fill, pixel):
    folder = described_3(tmp_path / "a", data_type=dtype, fill_value=fill)
    np.testing.assert_array_equal(whole(folder), np.full((64, 64), pixel, dtype))


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        *[("<u2", 65536), ("<u2", -1), ("<u2", 0.5), ("<u2", "NaN"), ("<u2", float("nan"))],
        *[("<f4", "0x7fc0"), ("<f4", "x"), ("<f4", [1]), ("<f4", {}), ("|b1", 2), ("|u1", 10**400)],
        *[("<u2", "0x0001"), ("<f8", 10**400), ("<f4", "1.5")],
    ],
)
def test_fill_values_that_are_none(tmp_path, dtype, fill):
    refused(described_2(tmp_path / "a", dtype=dtype, fill_value=fill), "fill value|description")


# Descriptions


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"compressor": {"id": "pickle"}}, "'pickle', which is not read; blosc, zstd"),
        ({"filters": [{"id": "pickle"}]}, "'pickle', which is not read"),
        ({"filters": [{"id": "msgpack2"}]}, "'msgpack2', which is not read"),
        ({"filters": [{"id": ["x"]}]}, "which is not read"),
        ({"filters": [{"id": "astype", "encode_dtype": "<u2"}]}, "'astype'"),
        ({"filters": ["zlib"]}, "description"),
        ({"filters": [{}]}, "description"),
        ({"filters": {"id": "zlib"}}, "description"),
        ({"filters": [{"id": "shuffle"}] * 17}, "17 codecs; at most 16"),
        ({"filters": [{"id": "shuffle", "elementsize": -1}]}, "elements of -1"),
        ({"filters": [{"id": "shuffle", "elementsize": "x"}]}, "configuration of shuffle"),
        ({"filters": [{"id": "delta", "dtype": "|O"}]}, r"'\|O' pixels"),
        ({"filters": [{"id": "crc32", "location": "middle"}]}, "'middle'"),
        ({"filters": [{"id": "fixedscaleoffset", "scale": 0, "offset": 1}]}, "scaled by 0.0"),
        ({"filters": [{"id": "fixedscaleoffset", "scale": 1}]}, "configuration of fixed"),
        ({"filters": [{"id": "delta", "dtype": "|u1", "astype": "<f8"}] * 3}, "codecs turn"),
        ({"compressor": {"id": "lzma", "format": 3}}, "LZMA of the format 3; 0, 1 and 2"),
        ({"chunks": [63, 1], "filters": [{"id": "delta", "dtype": "<u4"}]}, "a filter of uint32"),
        ({"dtype": "|O"}, r"holds '\|O' pixels"),
        ({"dtype": "<U4"}, "real numbers can be measured"),
        ({"dtype": "<c8"}, "real numbers can be measured"),
        ({"dtype": "<M8[s]"}, "real numbers can be measured"),
        ({"dtype": "<f16"}, "real numbers can be measured"),
        ({"dtype": [["a", "<u2"]]}, "real numbers can be measured"),
        ({"dtype": 5}, "real numbers can be measured"),
        ({"order": "K"}, "order 'K'"),
        ({"dimension_separator": "../"}, "names of its chunks"),
        ({"chunks": [64]}, "1 axes, in an array with 2"),
        ({"chunks": [0, 64]}, "impossible length"),
        ({"chunks": [True, 64]}, "impossible length"),
        ({"chunks": [64.5, 64]}, "impossible length"),
        ({"chunks": [2**40, 64]}, "impossible length"),
        ({"chunks": "64"}, "length along each axis"),
        ({"chunks": [2**16, 2**16]}, "too large: chunks of 65536 × 65536 pixels"),
        ({"shape": [64] * 33}, "length along each axis"),
        ({"zarr_format": 4}, "Zarr format 4; 2 and 3 are read"),
        ({"zarr_format": None}, "Zarr format None"),
    ],
)
def test_descriptions_of_zarr_2_that_are_refused(tmp_path, changes, match):
    with pytest.raises(FileError, match=match):
        opened(described_2(tmp_path / "a", **changes))


@pytest.mark.parametrize(
    ("codecs", "match"),
    [
        ([LITTLE, {"name": "pickle"}], "'pickle', which is not read; bytes, transpose"),
        ([LITTLE, {"name": "numcodecs.pickle"}], "'numcodecs.pickle', which is not read"),
        ([LITTLE, {"name": "zlib"}], "'zlib', which is not read"),
        ([{"name": "vlen-utf8"}], "'vlen-utf8', which is not read"),
        ([], "0 of its codecs are 'bytes'"),
        ([LITTLE, LITTLE], "2 of its codecs are 'bytes'"),
        (["bytes"], "order None, not little or big"),
        ([{"name": "bytes", "configuration": {"endian": "middle"}}], "order 'middle'"),
        ([{"name": "zstd"}, LITTLE], "no bytes yet where zstd"),
        ([LITTLE, {"name": "transpose", "configuration": {"order": [1, 0]}}], "behind 'bytes'"),
        ([LITTLE, {"name": "numcodecs.delta"}], "behind 'bytes'"),
        ([{"name": "transpose", "configuration": {"order": [1, 1]}}, LITTLE], "2 axes"),
        ([{"name": "transpose"}, LITTLE], "description"),
        ([{"name": "numcodecs.delta", "configuration": {"dtype": "<f4"}}, LITTLE], "place of"),
        ([LITTLE, *["crc32c"] * 16], "17 codecs; at most 16"),
        ([sharding([8, 8]), "gzip"], "packed as wholes"),
        ([sharding([7, 8])], "shards of 64 × 64 pixels, chunks of 7 × 8"),
        ([sharding([8, 8, 1])], "3 axes, in an array with 2"),
        ([sharding([8, 8], location="middle")], "'middle', not start or end"),
        ([sharding([8, 8], index=[LITTLE, "gzip"])], "'gzip' in place of crc32c"),
        ([sharding([8, 8], index=["crc32c"])], "'crc32c' in place of bytes"),
        ([sharding([8, 8], index=[])], "description"),
        ([sharding([8, 8], [LITTLE, "pickle"])], "'pickle', which is not read"),
        ([sharding([8, 8], [sharding([4, 4], [sharding([2, 2])])])], "more than 2 levels"),
        (5, "description"),
        ([{}], "description"),
    ],
)
def test_codecs_of_zarr_3_that_are_refused(tmp_path, codecs, match):
    with pytest.raises(FileError, match=match):
        opened(described_3(tmp_path / "a", codecs))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"storage_transformers": [{"name": "x"}]}, "'storage_transformers'"),
        ({"surprise": {"name": "x"}}, "'surprise'"),
        ({"node_type": "group"}, "an array that is none"),
        ({"data_type": "complex64"}, "'complex64' pixels"),
        ({"data_type": {"name": "numpy.datetime64"}}, "real numbers"),
        ({"chunk_grid": {"name": "rectangular"}}, "grid 'rectangular'"),
        ({"chunk_key_encoding": {"name": "hashed"}}, "'hashed'; default and v2"),
        ({"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "x"}}}, "'x'"),
        ({"chunk_grid": 5}, "description"),
    ],
)
def test_descriptions_of_zarr_3_that_are_refused(tmp_path, changes, match):
    with pytest.raises(FileError, match=match):
        opened(described_3(tmp_path / "a", **changes))


def test_keys_that_need_not_be_understood_are_left_alone(tmp_path):
    more = {"storage_transformers": [], "extra": {"must_understand": False}}
    assert opened(described_3(tmp_path / "a", **more)).shape == (64, 64)


def test_shards_of_very_many_chunks(tmp_path):
    folder = described_3(tmp_path / "a", [sharding([1, 1])], (2048, 2048), (2048, 2048))
    with pytest.raises(FileError, match="2048 × 2048 chunks; at most 1048576 in one"):
        opened(folder)


def test_chunks_and_shards_of_very_many_planes(tmp_path):
    deep = (4097, 64, 64)
    with pytest.raises(FileError, match="4097 × 64 × 64 pixels; at most 4096 planes"):
        opened(described_2(tmp_path / "a", deep, deep))
    codec = sharding([1, 64, 64])
    with pytest.raises(FileError, match="4097 × 1 × 1 chunks; .* 4096 behind each other"):
        opened(described_3(tmp_path / "b", [codec], deep, deep))


# Chunks

ZEROS = bytes(2**24)
BOMBS = {
    "zlib": zlib.compress(ZEROS),
    "gzip": gzip.compress(ZEROS),
    "bz2": bz2.compress(ZEROS),
    "lzma": lzma.compress(ZEROS),
    "zstd": imagecodecs.zstd_encode(ZEROS),
    "lz4": imagecodecs.lz4_encode(ZEROS, header=True),
    "blosc": imagecodecs.blosc_encode(ZEROS),
}
BELOW = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "crc32c": lambda content: content + crc32c(content).to_bytes(4, "little"),
    "zstd": imagecodecs.zstd_encode,
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("place", ["compressor", "filter", *BELOW])
def test_a_chunk_that_unpacks_to_more_than_has_a_place(tmp_path, name, place):
    bomb = BOMBS[name]
    codecs = [{"id": name}]
    if place == "filter":
        codecs.append({"id": "shuffle", "elementsize": 1})
    elif place in BELOW:
        codecs.append({"id": place})
        bomb = BELOW[place](bomb)
    folder = described_2(tmp_path / "a", filters=codecs)
    (folder / "0.0").write_bytes(bomb)
    refused(folder, "in place of|can be stored")


@pytest.mark.parametrize("name", BOMBS)
def test_a_chunk_in_a_shard_that_unpacks_to_more_than_has_a_place(tmp_path, name):
    codec = sharding([8, 8], [LITTLE, f"numcodecs.{name}"], index=[LITTLE])
    folder = described_3(tmp_path / "a", [codec], (8, 8), (8, 8))
    (folder / "c.0.0").write_bytes(BOMBS[name] + struct.pack("<2Q", 0, len(BOMBS[name])))
    refused(folder, "in place of|can be stored")


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("length", [0, 3, 10, 15, 16, 40, -1])
def test_a_chunk_that_is_cut_short(tmp_path, name, length):
    folder = described_2(tmp_path / "a", filters=[{"id": name}])
    codec = numcodecs.get_codec({"id": name})
    packed = bytes(codec.encode(RNG.integers(0, 3000, 4096).astype("<u2")))
    (folder / "0.0").write_bytes(packed)
    assert opened(folder).chunk((0, 0)).any()
    (folder / "0.0").write_bytes(packed[:length])
    refused(folder)


@pytest.mark.parametrize("name", ["zlib", "gzip", "bz2", "lzma", "zstd", "lz4", "blosc"])
def test_bytes_behind_a_chunk(tmp_path, name):
    folder = described_2(tmp_path / "a", filters=[{"id": name}])
    packed = bytes(numcodecs.get_codec({"id": name}).encode(np.arange(4096, dtype="<u2")))
    (folder / "0.0").write_bytes(packed + b"\0\1\2\3")
    refused(folder)


@pytest.mark.parametrize("name", ["gzip", "bz2", "lzma", "zstd"])
def test_streams_one_after_the_other(tmp_path, name):
    folder = described_2(tmp_path / "a", filters=[{"id": name}])
    pixels = np.arange(4096, dtype="<u2")
    codec = numcodecs.get_codec({"id": name})
    parts = [bytes(codec.encode(part)) for part in np.split(pixels, 8)]
    (folder / "0.0").write_bytes(b"".join(parts))
    np.testing.assert_array_equal(opened(folder).chunk((0, 0)).ravel(), pixels)


@pytest.mark.parametrize("magic", [b"\x27\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", b""])
def test_frames_of_other_kinds_than_todays(tmp_path, magic):
    folder = described_2(tmp_path / "a", compressor={"id": "zstd"})
    (folder / "0.0").write_bytes(magic + bytes(40))
    refused(folder, "no frame of Zstandard")


def test_streams_without_end(tmp_path):
    folder = described_2(tmp_path / "a", (2048, 2048), (2048, 2048), filters=[{"id": "gzip"}])
    (folder / "0.0").write_bytes(gzip.compress(b"") * 70_000)
    refused(folder, "bytes behind its end")


def test_a_decoder_that_would_take_much_memory(tmp_path):
    folder = described_2(tmp_path / "a", filters=[{"id": "lzma"}])
    # As that much is not taken to write one, a header that asks for 3 GB.
    header = bytearray(lzma.compress(bytes(8192)))
    header[header.index(b"\x21\x01") + 2] = 39
    end = 12 + 4 * header[12]
    header[end : end + 4] = zlib.crc32(header[12:end]).to_bytes(4, "little")
    (folder / "0.0").write_bytes(header)
    refused(folder, "[Mm]emory")


@pytest.mark.parametrize("name", ["crc32", "crc32c", "adler32", "fletcher32"])
def test_a_chunk_whose_checksum_is_wrong(tmp_path, name):
    folder = described_2(tmp_path / "a", filters=[{"id": name}])
    (folder / "0.0").write_bytes(np.arange(4098, dtype="<u2").tobytes())
    refused(folder, "checksum is that of other bytes")
    (folder / "0.0").write_bytes(b"ab")
    refused(folder, "2 bytes where a checksum has 4")


@pytest.mark.parametrize("location", ["start", "end"])
def test_checksums_at_either_end(tmp_path, location):
    folder = described_2(tmp_path / "a", filters=[{"id": "crc32", "location": location}])
    pixels = np.arange(4096, dtype="<u2").tobytes()
    told = zlib.crc32(pixels).to_bytes(4, "little")
    (folder / "0.0").write_bytes(told + pixels if location == "start" else pixels + told)
    assert opened(folder).chunk((0, 0))[1, 0] == 64


@pytest.mark.parametrize(
    ("at", "value"),
    [
        *[(0, b"\1"), (0, b"\3"), (3, b"\0"), (3, b"\3"), (4, b"\xff\xff\xff\x7f"), (4, bytes(4))],
        *[(8, bytes(4)), (8, b"\xff\xff\xff\xff"), (8, b"\1\0\0\0"), (12, b"\xff\xff\0\0")],
        *[(16, b"\xff\xff\xff\xff"), (16, b"\0\0\0\0"), (16, b"\xff\xff\0\0"), (2, b"\2")],
    ],
)
def test_headers_of_blosc_that_lie(tmp_path, at, value):
    packed = bytearray(Blosc("lz4", 5, 1).encode(np.arange(256, dtype="<u2")))
    assert not packed[2] & 2
    packed[at : at + len(value)] = value
    folder = described_2(tmp_path / "a", (16, 16), (16, 16), compressor={"id": "blosc"})
    (folder / "0.0").write_bytes(packed)
    refused(folder, "Blosc|in place of")


def test_a_file_that_is_far_larger_than_its_chunk(tmp_path):
    folder = described_2(tmp_path / "a", compressor={"id": "zlib"})
    with (folder / "0.0").open("wb") as stream:
        stream.truncate(10**10)
    refused(folder, "10000000000 bytes where at most")


def test_bytes_that_are_no_truth_are_true(tmp_path):
    folder = described_2(tmp_path / "a", dtype="|b1")
    (folder / "0.0").write_bytes(bytes([0, 2, 255, 1] * 1024))
    pixels = opened(folder).chunk((0, 0))
    assert pixels.view(np.uint8).max() == 1
    assert pixels.mean() == 0.75


def test_what_is_decoded_is_kept_within_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(zarr_arrays, "_KEPT_BYTES", 100)
    kept = Kept()
    for number in range(10):
        kept.put(number, np.zeros(40, np.uint8))
    assert [number for number in range(10) if kept.get(number) is not None] == [8, 9]
    assert kept.get(8) is not None
    kept.put(10, np.zeros(40, np.uint8))
    assert kept.get(9) is None
    kept.put(11, np.zeros(101, np.uint8))
    assert kept.get(11) is None


# Anything

PACKED = {
    "blosc": Blosc("lz4", 5, 1, blocksize=128),
    "zstd": numcodecs.Zstd(),
    "lz4": numcodecs.LZ4(),
    **{"zlib": numcodecs.Zlib(), "gzip": numcodecs.GZip()},
    **{"bz2": numcodecs.BZ2(), "lzma": numcodecs.LZMA()},
}
PLACES = st.lists(
    st.tuples(st.integers(0, 600), st.integers(0, 4), st.binary(max_size=8)), max_size=4
)


def only_a_value_or_an_error(folder):
    try:
        array = opened(folder)
        # Others are allowed, but take long.
        if math.prod(array.chunks) > 2**16:
            return
        pixels = array.chunk([0] * len(array.shape))
    except FileError as error:
        assert "llocate" not in str(error)
        assert "MemoryError" not in str(error)
        return
    assert pixels.shape == array.chunks
    assert pixels.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")


def changed(content, places):
    content = bytearray(content)
    for at, length, value in places:
        content[at : at + length] = value
    return bytes(content)


@pytest.mark.parametrize("name", PACKED)
@settings(max_examples=60, deadline=None)
@given(places=PLACES, anything=st.binary(max_size=300))
def test_any_chunk_gives_its_pixels_or_an_error(name, places, anything):
    with tempfile.TemporaryDirectory() as scratch:
        pixels = WORDS[0, :16, :16].tobytes()
        whole_chunk = bytes(PACKED[name].encode(np.frombuffer(pixels, "<u2")))
        folder = described_2(Path(scratch) / "a", (16, 16), (16, 16), filters=[{"id": name}])
        for content in (changed(whole_chunk, places), anything):
            (folder / "0.0").write_bytes(content)
            only_a_value_or_an_error(folder)


@settings(max_examples=100, deadline=None)
@given(places=PLACES, location=st.sampled_from(["start", "end"]))
def test_any_shard_gives_its_pixels_or_an_error(places, location):
    with tempfile.TemporaryDirectory() as scratch:
        codec = sharding([8, 8], location=location, index=[LITTLE])
        folder = described_3(Path(scratch) / "a", [codec], (16, 16), (16, 16))
        (folder / "c.0.0").write_bytes(changed(shard_of(WORDS[0, :16, :16], location), places))
        only_a_value_or_an_error(folder)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2**70)
    | st.floats()
    | st.sampled_from(
        ["", "zlib", "delta", "bytes", "<u2", "uint16", "F", "NaN", "0x00", "pickle"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "configuration", "dtype", "astype", "endian"]), inner
        )
    ),
    max_leaves=8,
)


def places_in(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner if isinstance(value, (dict, list)) else ():
        if isinstance(one, (dict, list)):
            yield from places_in(one, (*path, key))
        else:
            yield (*path, key)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_description_gives_pixels_or_an_error(data):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "a"
        if data.draw(st.booleans()):
            filters = [{"id": "delta", "dtype": "<u2", "astype": "<i4"}, {"id": "shuffle"}]
            described_2(folder, (16, 16), (16, 16), filters=filters, compressor={"id": "zlib"})
        else:
            described_3(folder, [sharding([8, 8], [LITTLE, "zstd"])], (16, 16), (16, 16))
        (file,) = folder.iterdir()
        about = json.loads(file.read_text())
        for _ in range(data.draw(st.integers(1, 2))):
            *path, last = data.draw(st.sampled_from([p for p in places_in(about) if p]))
            inner = about
            for key in path:
                inner = inner[key]
            inner[last] = data.draw(JSON)
        file.write_text(json.dumps(about))
        (folder / "0.0").write_bytes(zlib.compress(bytes(1024)))
        (folder / "c.0.0").write_bytes(bytes(600))
        only_a_value_or_an_error(folder)
