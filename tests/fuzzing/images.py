"""Image files for fuzzing: small ones of each kind, changes that keep their structure, and the
outcome that any of them must have.
"""

from __future__ import annotations

import io
import logging
import random
import re
import struct
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, List

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from microscope_quality.errors import FileError
from microscope_quality.files import images, lazy, lazy_tiff

from .outcome import SPARE_BYTES, bounded, limited, refused_by_name, scratch

#: In place of the library's own limits while fuzzing, so that reading stays fast, and so that
#: planes of the size of the seeds are read part by part too.
MAX_PAGE_BYTES = 2**24
LIMITS = {
    (images, "MAX_WHOLE_BYTES"): MAX_PAGE_BYTES,
    (lazy, "MAX_WHOLE_BYTES"): MAX_PAGE_BYTES,
    (lazy_tiff, "MAX_SEGMENT_BYTES"): MAX_PAGE_BYTES,
    (lazy, "LAZY_PIXELS"): 0,
}
#: Largest memory of a read, in pages of the largest size: the page, what the decoder keeps beside
#: it, and the copies that take out channels.
PAGES_IN_MEMORY = 8

# What a decoder has to say does not matter here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_PATH = scratch() / "fuzzed.tif"


def check(content: bytes) -> None:
    """Read all that a file gives, whole and part by part; raise what is not the stated outcome."""
    _PATH.write_bytes(content)
    with limited(LIMITS), bounded(PAGES_IN_MEMORY * MAX_PAGE_BYTES + SPARE_BYTES, 10):
        read_all(_PATH)


def read_all(path: Path) -> None:
    """Read the first, middle and last pages of a file, whole and part by part."""
    image = None
    with refused_by_name(path, FileError):
        image = images.open_image(path)
    if image is None:
        return
    pages = image.pages
    for page in [*pages[:4], *pages[len(pages) // 2 : len(pages) // 2 + 2], *pages[-2:]]:
        luminance = bool(page.index % 2)
        arrays: List[Any] = []
        with refused_by_name(path, FileError):
            planes = image.read(page, luminance=luminance, whole=True)
            for plane in planes:
                _check_plane(plane)
                assert plane.array.nbytes <= MAX_PAGE_BYTES
            arrays = [plane.array for plane in planes]
        with refused_by_name(path, FileError):
            planes = image.read(page, luminance=luminance)
            for plane in planes:
                _check_plane(plane)
            parts = [
                plane.array[:] if _is_small(plane) else plane.array[:9, -9:] for plane in planes
            ]
            assert all(type(part) is np.ndarray for part in parts)
            if arrays:
                # What both ways can read is the same.
                assert len(parts) == len(arrays)
                for part, array in zip(parts, arrays):
                    assert part.dtype == array.dtype
                    np.testing.assert_array_equal(part, array)


def _is_small(plane: images.Plane) -> bool:
    height, width = plane.array.shape
    return height * width * plane.array.dtype.itemsize <= MAX_PAGE_BYTES


def _check_plane(plane: images.Plane) -> None:
    assert plane.array.ndim == 2, plane.array.shape
    assert plane.array.dtype.kind in "buif", plane.array.dtype
    assert plane.array.dtype.isnative
    for place in (plane.series, plane.z, plane.c, plane.t):
        assert place is None or (type(place) is int and place >= 0), place
    # The optics of metadata are a value too.
    assert plane.optics is None or plane.optics.na > 0


# Seeds


def _written(writer: Callable[..., Any], *arguments: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    writer(stream, *arguments, **options)
    return stream.getvalue()


def seeds() -> Dict[str, bytes]:
    """Small valid files of each kind."""
    rng = np.random.default_rng(7)
    stack = rng.integers(0, 4000, (3, 16, 16)).astype(np.uint16)
    plane = stack[0]
    rgb = rng.integers(0, 255, (16, 16, 3)).astype(np.uint8)
    black = {"photometric": "minisblack"}
    tiffs: Dict[str, Dict[str, Any]] = {
        "plain": {"data": plane},
        "bigendian": {"data": plane, "byteorder": ">"},
        "white": {"data": plane, "photometric": "miniswhite"},
        "bits": {"data": plane > 2000},
        "half": {"data": plane.astype(np.float16)},
        "float": {"data": plane.astype(np.float64), "compression": "zlib", "predictor": 3},
        "complex": {"data": plane.astype(np.complex64)},
        "signed": {"data": plane.astype(np.int8), "rowsperstrip": 4},
        "differences": {"data": plane, "compression": "lzw", "predictor": 2},
        "tiles": {"data": plane, "compression": "deflate", "tile": (16, 16)},
        "volume": {"data": stack, "tile": (2, 16, 16), "volumetric": True, **black},
        "separate": {
            "data": np.moveaxis(rgb, 2, 0),
            "planarconfig": "separate",
            "photometric": "rgb",
        },
        "palette": {
            "data": rgb[..., 0],
            "photometric": "palette",
            "colormap": np.zeros((3, 256), np.uint16),
        },
        "stack": {"data": stack, "compression": "zstd", **black},
        "imagej": {"data": stack, "imagej": True, "metadata": {"axes": "ZYX", "spacing": 2.0}},
        "hyperstack": {
            "data": np.stack([stack] * 2),
            "imagej": True,
            "metadata": {"axes": "TZYX", "Labels": ["a", "b"] * 3},
        },
        "ome": {"data": stack, "ome": True, **black},
        "ome_channels": {
            "data": np.stack([stack] * 2),
            "ome": True,
            "metadata": {"axes": "CZYX", "Channel": {"Name": ["a", "b"]}},
            **black,
        },
        "big": {"data": stack, "bigtiff": True, **black},
        "pages": {"data": stack, "metadata": None, **black},
        "alpha": {
            "photometric": "rgb",
            "data": np.dstack([rgb, plane.astype(np.uint8)]),
            "extrasamples": ["unassalpha"],
        },
    }
    found = {
        "ndpi": {"extratags": [(65420, "I", 1, 1, True), (65421, "f", 1, 20.0, True)]},
        "mdgel": {"extratags": [(33445, "I", 1, 2, True), (33446, "2I", 1, (1, 2), True)]},
        "fei": {"extratags": [(34682, "s", 0, "[Beam]\r\nHV=1\r\n", True)]},
        "scanimage": {"description": "SI.VERSION_MAJOR = 2016\n", "software": "SI.LINE=1"},
        "metaseries": {"description": "<MetaData><prop id='pixel-size-x' value='16'/></MetaData>"},
        "svs": {"description": "Aperio Image Library v1\r\n16x16 (16x16)|AppMag = 20"},
        "philips": {"software": "Philips DP", "description": "<DataObject></DataObject>"},
        "pilatus": {"description": "# Pixel_size 172e-6 m x 172e-6 m\n# dectris"},
        "astro": {"description": '{"SYSTEM": "AstroTIFF"}'},
        "nuvu": {"extratags": [(65000, "I", 1, 16, True), (65001, "I", 1, 1, True)]},
        "sis": {"extratags": [(33560, "B", 40, b"SIS0" + bytes(36), True)]},
        "fluoview": {"extratags": [(34361, "B", 64, bytes(64), True)]},
        "micromanager": {"extratags": [(51123, "s", 0, '{"Slices": 3, "Frames": 2}', True)]},
        "nih": {"extratags": [(43314, "B", 64, bytes(64), True)]},
    }
    for name, options in found.items():
        tiffs[name] = {"data": plane, "metadata": None, **options}
    for codec in (
        "jpeg",
        "jpeg2000",
        "jpegxl",
        "jpegxr",
        "webp",
        "png",
        "lerc",
        "lzma",
        "packbits",
    ):
        data = rgb if codec in ("jpeg", "webp", "jpegxl") else rgb[..., 0]
        tiffs[f"tiff_{codec}"] = {"data": data, "compression": codec, "metadata": None}
    tiffs["tiff_lerc_zstd"] = {
        "data": plane,
        "compression": "lerc",
        "compressionargs": {"compression": "zstd"},
        "metadata": None,
    }
    tiffs["tiff_webp_alpha"] = {
        "data": np.dstack([rgb, rgb[..., :1]]),
        "compression": "webp",
        "photometric": "rgb",
        "extrasamples": ["unassalpha"],
        "metadata": None,
    }
    result = {name: _written(tifffile.imwrite, **options) for name, options in tiffs.items()}
    with io.BytesIO() as stream:
        with tifffile.TiffWriter(stream, ome=True) as writer:
            writer.write(plane, subifds=1, **black)
            writer.write(plane[::2, ::2], subfiletype=1, **black)
            writer.write(plane[:8], **black)
        result["pyramid"] = stream.getvalue()
    result["stk"] = _stk(stack)
    result["lsm"] = _lsm(stack)
    picture = Image.fromarray(rgb)
    result["png"] = _written(picture.save, format="PNG")
    result["png_palette"] = _written(picture.quantize(16).save, format="PNG")
    result["png_bits"] = _written(picture.convert("1").save, format="PNG")
    result["png_alpha"] = _written(picture.convert("LA").save, format="PNG")
    result["png16"] = imagecodecs.png_encode(plane)
    result["png16_colour"] = imagecodecs.png_encode(rgb.astype(np.uint16) * 257)
    result["jpeg"] = _written(picture.save, format="JPEG")
    result["jpeg_grey"] = _written(picture.convert("L").save, format="JPEG", progressive=True)
    result["jpeg_cmyk"] = _written(picture.convert("CMYK").save, format="JPEG")
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        result[f"bmp_{mode}"] = _written(picture.convert(mode).save, format="BMP")
    return result


def _stk(stack: Any) -> bytes:
    """MetaMorph: all planes after the only directory, their number in the tags UIC1 and UIC2."""
    n = len(stack)
    tags = [(33628, "I", 2, (4, 0), True), (33629, "I", 6 * n, (1, 1, 0, 0, 0, 0) * n, True)]
    content = bytearray(_written(tifffile.imwrite, stack[0], metadata=None, extratags=tags))
    # What is counted are planes, of six numbers each.
    for tag, count in ((33628, 1), (33629, n)):
        at = content.index(struct.pack("<HH", tag, 4))
        struct.pack_into("<HHI", content, at, tag, 5 if tag == 33629 else 4, count)
    return bytes(content) + stack[1:].tobytes()


def _lsm(stack: Any) -> bytes:
    """Zeiss: a small copy after each plane, the sizes in a tag of the first."""
    info = struct.pack("<Ii5i4i", 0x00400494C, 500, 16, 16, len(stack), 1, 1, 2, 8, 8, 0)
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for z, plane in enumerate(stack):
            tags = [(34412, "B", 500, info.ljust(500, b"\0"), True)] if z == 0 else []
            writer.write(plane, metadata=None, compression="lzw", extratags=tags)
            small = plane[::2, ::2].astype(np.uint8)
            writer.write(small, metadata=None, subfiletype=1)
    return stream.getvalue()


# Changes

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_TAGS = (
    *(254, 256, 257, 258, 259, 262, 266, 270, 273, 277, 278, 279, 284, 305, 317, 320, 322, 323),
    *(324, 325, 330, 338, 339, 347, 530, 532, 32997, 32998, 33445, 33560, 33628, 33629, 33630),
    *(34118, 34361, 34412, 34682, 42113, 43314, 50838, 50839, 51023, 51123, 65000, 65420, 65426),
)
_NUMBERS = (
    *(0, 1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 24, 31, 32, 48, 64, 128, 255, 256, 1000, 4096, 8192),
    *(32773, 34712, 34925, 34933, 50000, 50001, 50002, 34887, 32946, 34713, 65535, 65536),
    *(2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1),
)


_TEXTS = (
    b"ImageJ=1.54f\nimages=6\nchannels=1\nslices=3\nframes=2\nhyperstack=true\n\0",
    b'{"shape": [3, 16, 16], "axes": "ZYX", "truncated": true}\0',
    b"shape=(3, 16, 16)\0",
    b'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels '
    b'DimensionOrder="XYZCT" SizeC="1" SizeT="1" SizeX="16" SizeY="16" SizeZ="3" Type="uint16" '
    b'PhysicalSizeX="0.5"><Channel SamplesPerPixel="1"/><TiffData IFD="0" FirstZ="0" '
    b'PlaneCount="3"><UUID FileName="b.tif">urn:1</UUID></TiffData></Pixels></Image></OME>\0',
    b'<OME><StructuredAnnotations><XMLAnnotation ID="A" Namespace="modulo"><Value><Modulo>'
    b'<ModuloAlongZ Type="angle" Start="0" End="2" Step="1"/></Modulo></Value></XMLAnnotation>'
    b'</StructuredAnnotations><Image><AnnotationRef ID="A"/><Pixels DimensionOrder="XYZCT" '
    b'SizeC="1" SizeT="1" SizeX="16" SizeY="16" SizeZ="3"><TiffData/></Pixels></Image></OME>\0',
    b'<scn><collection><image><pixels><dimension c="0" z="0" r="0" ifd="0"/>'
    b'<dimension c="2" z="0" r="0" ifd="2"/></pixels></image></collection></scn>\0',
)


def _number(old: bytes, rng: random.Random) -> bytes:
    return str(rng.choice(_NUMBERS)).encode() if rng.random() < 0.2 else old


def mutate(content: bytes, longest: int, seed: int, anyhow: Callable[[bytes, int], bytes]) -> bytes:
    """Change a file: within its structure half of the time, else anyhow."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        if content[:2] in (b"II", b"MM"):
            changed = _mutate_tiff(bytearray(content), rng)
        elif content[:4] == b"\x89PNG":
            changed = _mutate_png(anyhow(content, longest) if rng.random() < 0.5 else content, rng)
        else:
            changed = anyhow(content, longest)
    else:
        changed = anyhow(content, longest)
    return bytes(changed[:longest])


def _mutate_tiff(content: bytearray, rng: random.Random) -> bytearray:
    """Change entries of its directories."""
    order = "<" if content[:1] == b"I" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    head, pointer, entry = ("Q", "Q", "HHQQ") if big else ("H", "I", "HHII")
    entries: List[int] = []
    at = 8 if big else 4
    try:
        for _ in range(8):
            (at,) = struct.unpack_from(order + pointer, content, at)
            if not at:
                break
            (n,) = struct.unpack_from(order + head, content, at)
            at += struct.calcsize(order + head)
            entries += [at + i * struct.calcsize(order + entry) for i in range(min(n, 64))]
            at += n * struct.calcsize(order + entry)
    except (struct.error, OverflowError):
        pass
    largest = 2**64 - 1 if big else 2**32 - 1
    for _ in range(rng.randint(1, 4)):
        if not entries:
            break
        place = rng.choice(entries)
        try:
            tag, kind, count, value = struct.unpack_from(order + entry, content, place)
        except struct.error:
            continue
        size = _SIZES.get(kind, 1) * count
        what = rng.randrange(7)
        if what == 6:
            # Another text, at the end of the file.
            text = bytes(content[value : value + size]) if value < len(content) else b""
            text = rng.choice((text, *_TEXTS))
            text = re.sub(rb"\d+", lambda n: _number(n.group(), rng), text)
            kind, count, value = 2, len(text), len(content)
            content += text
        elif what == 0:
            tag = rng.choice(_TAGS)
        elif what == 1:
            kind = rng.choice((*_SIZES, 0, 14, 17, 18, 99))
        elif what == 2:
            count = rng.choice(_NUMBERS)
        elif what == 3 and size > struct.calcsize(pointer) and value < len(content):
            # A value that lies elsewhere.
            end = min(value + size, len(content))
            form = order + {1: "B", 2: "H", 4: "I", 8: "Q"}[_SIZES.get(kind, 1)]
            offset = rng.randrange(value, end) if end > value else value
            number = rng.choice(_NUMBERS) & (256 ** struct.calcsize(form) - 1)
            if offset + struct.calcsize(form) <= len(content):
                struct.pack_into(form, content, offset, number)
        elif kind == 3 and order == ">" and count == 1:
            value = (rng.choice(_NUMBERS) & 0xFFFF) << (48 if big else 16)
        else:
            value = rng.choice((rng.choice(_NUMBERS), rng.randrange(len(content)), value + 1))
        values = (tag, kind, count & largest, value & largest)
        struct.pack_into(order + entry, content, place, *values)
    return content


def _mutate_png(content: bytes, rng: random.Random) -> bytes:
    """Change a field of a chunk, and make all checksums right."""
    result, at = content[:8], 8
    chosen = rng.randrange(6)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, body = content[at + 4 : at + 8], bytearray(content[at + 8 : at + 8 + length])
        if chosen == 0 and kind == b"IHDR" and len(body) == 13:
            where = rng.randrange(7)
            if where < 2:
                struct.pack_into(">I", body, 4 * where, rng.choice(_NUMBERS) & 0xFFFFFFFF)
            else:
                body[6 + where] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16))
        elif chosen == 1 and kind == b"IDAT":
            pixels = rng.randbytes(64) + bytes(rng.choice((0, 2**12, 2**20)))
            body = bytearray(zlib.compress(pixels))
        elif chosen == 2 and rng.random() < 0.3:
            kind = rng.choice(
                (b"tRNS", b"PLTE", b"iCCP", b"zTXt", b"iTXt", b"acTL", b"fdAT", b"eXIf")
            )
        checksum = zlib.crc32(kind + body)
        result += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
        at += 12 + length
    return result + content[at:]
