"""Files and folders that are made to run code, end a run, take its memory or make it wait.

None of them is an image that can be measured: each has to be a row with an error.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import lzma
import os
import pickle
import shutil
import socket
import struct
import zlib
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

import imagecodecs
import numpy as np

SIDE = 128
#: Pixels of a plane, as they are stored without compression.
PIXELS = np.random.default_rng(12).integers(0, 4000, (SIDE, SIDE)).astype("<u2")
RAW = PIXELS.tobytes()

Tags = Dict[int, Tuple[int, Union[int, List[int], bytes]]]


class Ran:
    """What leaves a trace where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def tiff(tags: Optional[Tags] = None, data: bytes = RAW, following: int = 0) -> bytes:
    """A TIFF of one page, 128 × 128 of 16 bits unless its tags say something else."""
    own: Tags = {
        256: (4, SIDE),
        257: (4, SIDE),
        258: (3, 16),
        259: (3, 1),
        262: (3, 1),
        273: (4, 8),
        277: (3, 1),
        278: (4, SIDE),
        279: (4, len(data)),
        **(tags or {}),
    }
    sizes, forms = {2: 1, 3: 2, 4: 4, 7: 1}, {3: "H", 4: "I"}
    body = data + b"\0" * (len(data) % 2)
    at = 8 + len(body)
    behind = at + 2 + 12 * len(own) + 4
    entries = extra = b""
    for tag in sorted(own):
        kind, value = own[tag]
        if isinstance(value, int):
            value = [value]
        if isinstance(value, list):
            value = struct.pack(f"<{len(value)}{forms[kind]}", *value)
        count = len(value) // sizes[kind]
        if len(value) <= 4:
            entries += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
        else:
            entries += struct.pack("<HHII", tag, kind, count, behind + len(extra))
            extra += value + b"\0" * (len(value) % 2)
    head = b"II*\0" + struct.pack("<I", at)
    directory = struct.pack("<H", len(own)) + entries + struct.pack("<I", following)
    return head + body + directory + extra


def ome(pixels: str = "", before: str = "", after: str = "", **sizes: int) -> str:
    """OME-XML of an image of one plane, unless its sizes say something else."""
    lengths = {"SizeX": SIDE, "SizeY": SIDE, "SizeZ": 1, "SizeC": 1, "SizeT": 1, **sizes}
    attributes = " ".join(f'{name}="{length}"' for name, length in lengths.items())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'{after}<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        f"{attributes}>{pixels or '<TiffData/>'}</Pixels></Image></OME>"
    )


def described(text: Union[str, bytes]) -> bytes:
    """A TIFF with a description."""
    content = text if isinstance(text, bytes) else text.encode()
    return tiff({270: (2, content + b"\0")})


def modulo(axis: str, inner: str) -> str:
    """OME-XML with an axis inside another one."""
    value = f"<Value><Modulo><ModuloAlong{axis} {inner}/></Modulo></Value>"
    return ome(
        after=f'<StructuredAnnotations><XMLAnnotation ID="Annotation:0" Namespace="modulo">{value}'
        "</XMLAnnotation></StructuredAnnotations>"
    )


def packed(n_bytes: int, wbits: int = 15) -> bytes:
    """So many zeros by deflate."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    parts = [packer.compress(bytes(2**24)) for _ in range(n_bytes // 2**24)]
    return b"".join(parts) + packer.flush()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(width: int, height: int, data: bytes, *more: Tuple[bytes, bytes]) -> bytes:
    """A grey PNG of 8 bits."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


class Zarr:
    """An OME-Zarr folder of one plane, of format 2 or 3."""

    def __init__(self, root: Path, zarr_format: int = 2) -> None:
        self.root = root
        self.chunk = root / "0" / ("0/0" if zarr_format == 2 else "c/0/0")
        self.chunk.parent.mkdir(parents=True)
        self.array_file = root / "0" / (".zarray" if zarr_format == 2 else "zarr.json")
        axes = [{"name": name, "type": "space"} for name in "yx"]
        version = "0.4" if zarr_format == 2 else "0.5"
        multiscales = [{"version": version, "axes": axes, "datasets": [{"path": "0"}]}]
        if zarr_format == 2:
            (root / ".zgroup").write_text('{"zarr_format": 2}')
            self.group_file = root / ".zattrs"
            self.group_file.write_text(json.dumps({"multiscales": multiscales}))
            self.about: Dict[str, Any] = {
                "zarr_format": 2,
                "shape": [SIDE, SIDE],
                "chunks": [SIDE, SIDE],
                "dtype": "<u2",
                "fill_value": 0,
                "order": "C",
                "compressor": None,
                "filters": None,
                "dimension_separator": "/",
            }
        else:
            self.group_file = root / "zarr.json"
            attributes = {"ome": {"version": "0.5", "multiscales": multiscales}}
            group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
            self.group_file.write_text(json.dumps(group))
            self.about = {
                "zarr_format": 3,
                "node_type": "array",
                "shape": [SIDE, SIDE],
                "data_type": "uint16",
                "chunk_grid": {
                    "name": "regular",
                    "configuration": {"chunk_shape": [SIDE, SIDE]},
                },
                "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
                "fill_value": 0,
                "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
                "attributes": {},
            }
        self.write(RAW)

    def write(self, chunk: bytes, **about: Any) -> Zarr:
        self.about.update(about)
        self.array_file.write_text(json.dumps(self.about))
        self.chunk.write_bytes(chunk)
        return self


_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


def zarrs(folder: Path, trace: Path) -> None:
    """OME-Zarr folders whose chunks, metadata or files are not what they should be."""
    number = 0

    def new(zarr_format: int = 2) -> Zarr:
        nonlocal number
        number += 1
        return Zarr(folder / f"zarr{number:02}.zarr", zarr_format)

    code = pickle.dumps(Ran(trace))
    for name in ("pickle", "json2", "msgpack2", "vlen-bytes", "categorize", "no_such_codec"):
        new().write(code, compressor={"id": name})
        new().write(code, filters=[{"id": name}])
    for name in ("pickle", "numcodecs.pickle", "numcodecs.json2", "no_such_codec"):
        new(3).write(code, codecs=[_BYTES, {"name": name, "configuration": {}}])
    new(3).write(code, data_type={"name": "pickle", "configuration": {}})
    new().write(code, dtype="|O", filters=[{"id": "pickle"}])
    new().write(RAW, dtype=[["a", "<u2"]])

    # Blosc believes its header, wherever it stands.
    blosc = imagecodecs.blosc_encode(RAW, compressor="lz4", typesize=2)
    short = bytes(blosc[:40])
    of_blosc = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
    new().write(short, compressor=of_blosc)
    new().write(short, filters=[of_blosc])
    new().write(gzip.compress(short), filters=[of_blosc], compressor={"id": "gzip", "level": 1})
    new().write(zlib.compress(short), filters=[of_blosc], compressor={"id": "zlib", "level": 1})
    of_blosc3 = {
        "name": "blosc",
        "configuration": {
            "cname": "lz4",
            "clevel": 5,
            "shuffle": "shuffle",
            "typesize": 2,
            "blocksize": 0,
        },
    }
    of_gzip3 = {"name": "gzip", "configuration": {"level": 1}}
    new(3).write(short, codecs=[_BYTES, of_blosc3])
    new(3).write(gzip.compress(short), codecs=[_BYTES, of_blosc3, of_gzip3])
    inner = [_BYTES, of_blosc3]
    index = struct.pack("<2Q", 0, len(short))
    shard = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": [SIDE, SIDE],
            "codecs": inner,
            "index_codecs": [_BYTES],
            "index_location": "end",
        },
    }
    new(3).write(short + index, codecs=[shard])
    for place in ((2**40, 100), (0, 2**40), (2**63, 2**63)):
        new(3).write(bytes(blosc) + struct.pack("<2Q", *place), codecs=[shard])

    # A few bytes that become many.
    many = 2**25
    gzipped = packed(many, 31)
    for codec, content in (
        ("gzip", gzipped),
        ("gzip", gzip.compress(RAW) + gzipped),
        ("zlib", packed(many)),
        ("zstd", bytes(imagecodecs.zstd_encode(bytes(many)))),
        ("bz2", bz2.compress(bytes(many))),
        ("lzma", lzma.compress(bytes(many), preset=1)),
        ("lz4", struct.pack("<I", many) + bytes(imagecodecs.lz4_encode(bytes(2**20)))),
        ("blosc", bytes(imagecodecs.blosc_encode(bytes(2**24), compressor="zstd"))),
    ):
        new().write(content, compressor={"id": codec})
    new(3).write(gzipped, codecs=[_BYTES, of_gzip3])
    new(3).write(gzip.compress(gzipped), codecs=[_BYTES, of_gzip3, of_gzip3])

    # Too little.
    new().write(RAW[:-2])
    new().write(b"")
    new().write(zlib.compress(RAW[:-2]), compressor={"id": "zlib"})
    new().write(zlib.compress(RAW)[:-9], compressor={"id": "zlib"})

    # Metadata that ask for much, or say nothing.
    for shape in ([2**40, 2**40], [-1, SIDE], [SIDE], [SIDE] * 40, "128", [1.5, SIDE], []):
        new().write(RAW, shape=shape)
    for chunks in ([0, 0], [2**20, 2**20], [-1, SIDE], [SIDE], None):
        new().write(RAW, chunks=chunks)
    new().write(RAW, shape=[4096, 4096], chunks=[1, 1])
    for text in ("[" * 100_000, "{}", "[]", "null", '{"shape": ' + "9" * 10_000 + "}", "\udc80"):
        one = new()
        one.array_file.write_text(text, errors="surrogateescape")
        one = new()
        one.group_file.write_text(text, errors="surrogateescape")
    well = new()
    wells = [{"path": f"A/{k}"} for k in range(100_000)]
    well.group_file.write_text(json.dumps({"plate": {"wells": wells}}))

    # What is no regular file, or lies outside.
    for place in ("group_file", "array_file", "chunk"):
        path = getattr(one := new(), place)
        path.unlink()
        os.mkfifo(path)
        path = getattr(one := new(3), place)
        path.unlink()
        os.mkfifo(path)
        path = getattr(one := new(), place)
        path.unlink()
        path.symlink_to("/dev/zero")
        path = getattr(one := new(), place)
        path.unlink()
        path.symlink_to(path)
    outside = folder.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "0").write_bytes(RAW)
    one = new()
    shutil.rmtree(one.chunk.parent)
    one.chunk.parent.symlink_to(outside)
    for name in ("zarr.json", ".zattrs"):
        one = new()
        os.mkfifo(one.root / "0" / name)
    one = new()
    one.group_file.write_text(one.group_file.read_text().replace('"path": "0"', '"path": "../.."'))


def xmls() -> Iterator[bytes]:
    """TIFFs whose OME-XML claims what they have not, or spells what is not there."""
    for axis in ("SizeZ", "SizeC", "SizeT"):
        yield described(ome(**{axis: 2 * 10**9}))
        yield described(ome(**{axis: 3 * 10**6}))
    yield described(ome(SizeZ=10**6, SizeT=10**6))
    for attributes in ('PlaneCount="300000000"', 'IFD="4000000000" PlaneCount="300000000"'):
        yield described(ome(f"<TiffData {attributes}/>", SizeZ=2))
    for axis in "ZCT":
        yield described(modulo(axis, 'Type="other" Start="0" End="5e8" Step="1"'))
    yield described(modulo("Z", 'Type="other" Start="0" End="1e-9" Step="1e-300"'))
    doctype = "<!DOCTYPE OME [%s]>"
    laughs = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 12)
    )
    yield described(ome("&a11;<TiffData/>", doctype % laughs))
    yield described(ome("&x;<TiffData/>", doctype % '<!ENTITY x SYSTEM "file:///etc/hostname">'))
    yield described(ome("<a>" * 20_000 + "</a>" * 20_000))


def tiffs() -> Iterator[bytes]:
    """TIFFs whose directories or strips are not what they should be."""
    whole = tiff()
    for length in (4, 8, 20, 200, 2000, 20_000, len(RAW), len(whole) - 100, len(whole) - 20):
        yield whole[:length]
    rng = np.random.default_rng(3)
    for length in (16, 50, 100, 500, 1000, 5000, 10_000):
        yield b"II*\0\x08\0\0\0" + rng.bytes(length)
    for sides in (
        (2**31, 2**31),
        (10**6, 10**6),
        (0, SIDE),
        (SIDE, 0),
        (2**32 - 1, 1),
        (SIDE, 10**8),
    ):
        yield tiff({256: (4, sides[0]), 257: (4, sides[1])})
    for bits in (0, 200, 16 * 1024, 65535):
        yield tiff({258: (3, bits)})
    yield tiff({277: (3, 65535)})
    yield tiff({339: (3, 5)})  # complex numbers
    for compression in (0, 2, 3, 4, 9, 10, 32766, 32809, 32895, 32909, 34661, 34676, 34677, 65000):
        yield tiff({259: (3, compression)})
    for predictor in (0, 4, 5, 7, 99, 34892, 65535):
        yield tiff({259: (3, 8), 317: (3, predictor)}, zlib.compress(RAW))
    # A directory that follows itself, or lies outside.
    at = 8 + len(RAW)
    for following in (at, 2, 2**32 - 2):
        yield tiff(following=following)
    for count in (100, 1000, 5000, 65535):
        yield tiff({330: (4, [at] * count)})
    # Strips that claim or become much, or are too short.
    for number, content in (
        (8, packed(2**27)[: 2**16]),
        (8, zlib.compress(RAW[:-200])),
        (5, b"\x80" * 40),
        (32773, b"\x81\0" * 10),
        (50000, bytes(imagecodecs.zstd_encode(RAW[:-200]))),
        (34925, lzma.compress(RAW[:-200])),
        (8, b""),
    ):
        yield tiff({259: (3, number)}, content)
    black = np.zeros((6000, 6000), np.uint8)
    colours = np.zeros((6000, 6000, 3), np.uint8)
    byte = {258: (3, 8)}
    rgb: Tags = {258: (3, [8, 8, 8]), 277: (3, 3), 262: (3, 2)}
    for number, more, content in (
        (50001, rgb, imagecodecs.webp_encode(colours, lossless=True)),
        (34933, byte, imagecodecs.png_encode(black)),
        (7, byte, imagecodecs.jpeg_encode(black)),
        (34712, byte, imagecodecs.jpeg2k_encode(black)),
        (50002, byte, imagecodecs.jpegxl_encode(black)),
        (34887, byte, imagecodecs.lerc_encode(black)),
    ):
        yield tiff({**more, 259: (3, number)}, bytes(content))
    lerc = zlib.compress(bytes(imagecodecs.lerc_encode(black)))
    yield tiff({**byte, 259: (3, 34887), 50674: (4, [4, 1])}, lerc)
    yield tiff({**byte, 259: (3, 34887), 50674: (4, [4, 1])}, packed(2**27))
    # Others' metadata.
    for images in (10**9, 10**6 + 1):
        yield described(f"ImageJ=1.54\nimages={images}\nslices={images}\nhyperstack=true\n")
    yield described('{"shape": [1000000000, 128, 128]}')


def rasters() -> Iterator[Tuple[str, bytes]]:
    """PNG, JPEG and BMP files that are no images."""
    line = zlib.compress(bytes((SIDE + 1) * SIDE))
    yield ".png", png(2**31 - 1, 2**31 - 1, line)
    yield ".png", png(60_000, 60_000, line)
    yield ".png", png(0, SIDE, line)
    yield ".png", png(SIDE, SIDE, line[:9])
    yield ".png", png(SIDE, SIDE, b"")
    yield ".png", png(SIDE, SIDE, line)[:60]
    yield ".jpg", b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\1\x11\0\2\x11\0\3\x11\0\xff\xd9"
    yield ".jpg", b"\xff\xd8\xff\xe0" + b"\xff" * 1000
    yield ".jpg", b"\xff\xd8\xff\xd9"
    yield (
        ".bmp",
        b"BM" + struct.pack("<IHHIIiiHHIIIIII", 54, 0, 0, 54, 40, 2**30, 2**30, 1, 8, 1, *[0] * 5),
    )
    yield ".bmp", b"BM" + bytes(60)


def others(folder: Path) -> None:
    """What is no file, or no image."""
    folder.joinpath("empty.tif").touch()
    for name, content in (
        ("text.tif", b"not an image\n"),
        ("archive.tif", b"PK\x03\x04" + bytes(100)),
        ("page.png", b"<html></html>"),
        ("null.jpg", bytes(1000)),
        ("null.tif", bytes(1000)),
        ("cut.czi", b"ZISRAWFILE" + bytes(600)),
        ("cut.nd2", b"\xda\xce\xbe\x0a" + bytes(600)),
        ("cut.lif", b"\x70\0\0\0" + bytes(600)),
    ):
        (folder / name).write_bytes(content)
    (folder / "folder.tif").mkdir()
    os.mkfifo(folder / "pipe.tif")
    os.mkfifo(folder / "pipe.nd2")
    (folder / "zero.tif").symlink_to("/dev/zero")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as one:
        here = Path.cwd()
        # A socket's path is short.
        os.chdir(folder)
        try:
            one.bind("socket.tif")
        finally:
            os.chdir(here)


def make(folder: Path, trace: Path) -> List[str]:
    """Write all of them into a folder; what runs of their code touches `trace`."""
    zarrs(folder, trace)
    for number, content in enumerate([*tiffs(), *xmls()]):
        (folder / f"hostile{number:03}.tif").write_bytes(content)
    for number, (ending, content) in enumerate(rasters()):
        (folder / f"hostile{number:03}{ending}").write_bytes(content)
    others(folder)
    return sorted(path.name for path in folder.iterdir())
