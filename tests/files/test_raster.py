"""PNG, JPEG and BMP: what is not pixels is never unpacked, and the pixels stay the same."""

import io
import os
import struct
import sys
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from systems import peak_bytes

from microscope_quality.errors import FileError
from microscope_quality.files.images import open_image, planes

RNG = np.random.default_rng(9)
GREY = RNG.integers(0, 255, (40, 56)).astype(np.uint8)
RGB = RNG.integers(0, 255, (40, 56, 3)).astype(np.uint8)


def saved(image, kind, **options):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


def read(path, content):
    path.write_bytes(content)
    return np.stack([plane.array for plane in planes(path)], axis=-1).squeeze()


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


BOMB = zlib.compress(bytes(2**28), 9)
CHUNKS = {
    "zTXt": chunk(b"zTXt", b"a\0\0" + BOMB),
    "iTXt": chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB),
    "iCCP": chunk(b"iCCP", b"a\0\0" + BOMB),
    "eXIf": chunk(b"eXIf", b"II*\0" + bytes(99)),
    "animation": chunk(b"acTL", struct.pack(">II", 2**30, 0)) + chunk(b"fcTL", bytes(26)),
    "100,000 texts": chunk(b"tEXt", b"a\0b") * 100_000,
}


@pytest.mark.parametrize("what", CHUNKS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_notes_in_a_png_do_not_matter(tmp_path, what, dtype):
    image = GREY.astype(dtype) * (257 if dtype is np.uint16 else 1)
    content = imagecodecs.png_encode(image)
    at = content.index(b"IDAT") - 4
    before = peak_bytes()
    found = read(tmp_path / "a.png", content[:at] + CHUNKS[what] + content[at:])
    np.testing.assert_array_equal(found, image)
    assert peak_bytes() - before < 2**26


def test_an_animated_png_is_its_first_picture(tmp_path):
    pictures = [Image.fromarray(np.roll(RGB, n, 0)) for n in range(5)]
    stream = io.BytesIO()
    pictures[0].save(stream, "PNG", save_all=True, append_images=pictures[1:])
    np.testing.assert_array_equal(read(tmp_path / "a.png", stream.getvalue()), RGB)


def interlaced(image):
    """Adam7, which no writer here offers."""
    height, width = image.shape
    passes = (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    )
    rows = b"".join(
        b"\0" + row.tobytes() for y, x, dy, dx in passes for row in image[y::dy, x::dx] if row.size
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_an_interlaced_png(tmp_path):
    np.testing.assert_array_equal(read(tmp_path / "a.png", interlaced(GREY)), GREY)


def test_a_palette_and_its_transparency_in_a_png(tmp_path):
    picture = Image.fromarray(RGB).quantize(16)
    stream = io.BytesIO()
    picture.save(stream, "PNG", transparency=3)
    np.testing.assert_array_equal(
        read(tmp_path / "a.png", stream.getvalue()), np.asarray(picture.convert("RGB"))
    )


def test_more_packed_pixels_than_a_header_promises(tmp_path):
    content = imagecodecs.png_encode(GREY)
    at = content.index(b"IDAT") - 4
    path = tmp_path / "a.png"
    path.write_bytes(content[:at] + struct.pack(">I", 2**30) + b"IDAT")
    os.truncate(path, 2**30 + 4096)  # takes no room on the disk
    with pytest.raises(FileError, match="more packed pixels than its header promises"):
        open_image(path)
    path.write_bytes(saved(GREY, "JPEG"))
    os.truncate(path, 2**30)
    with pytest.raises(FileError, match="more packed pixels than its header promises"):
        open_image(path)


def segments(*contents, kind=0xE1):
    return b"".join(struct.pack(">BBH", 0xFF, kind, len(c) + 2) + c for c in contents)


def exif_without_end():
    """Each entry of its directory has all of it for its value."""
    n = 5000
    entries = b"".join(struct.pack("<HHII", 40_000 + k, 1, 60_000, 0) for k in range(n))
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", n) + entries


@pytest.mark.parametrize(
    "notes",
    [
        segments(*[exif_without_end()] * 20),
        segments(*[b"Exif\0\0ab"] * 30_000),
        segments(*[b"x" * 65_000] * 100, kind=0xE2),
        segments(b"MPF\0II*\0\x08\0\0\0" + bytes(99), kind=0xE2),
        segments(b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5000, kind=0xED),
        segments(*[b"comment"] * 30_000, kind=0xFE),
    ],
    ids=["exif", "30,000 exif", "profiles", "pictures", "photoshop", "comments"],
)
@pytest.mark.parametrize("image", [GREY, RGB], ids=["grey", "colour"])
def test_notes_in_a_jpeg_do_not_matter(tmp_path, notes, image):
    content = saved(image, "JPEG", quality=95)
    before = peak_bytes()
    found = read(tmp_path / "a.jpg", content[:2] + notes + content[2:])
    np.testing.assert_array_equal(found, imagecodecs.jpeg_decode(content))
    assert peak_bytes() - before < 2**26


def test_adobes_colours_stay(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(RGB).convert("CMYK").save(stream, "JPEG", quality=95)
    assert b"Adobe" in stream.getvalue()
    expected = np.asarray(Image.open(stream))
    np.testing.assert_array_equal(read(tmp_path / "a.jpg", stream.getvalue()), expected)


def test_scans_without_end(tmp_path):
    content = saved(GREY, "JPEG", progressive=True)
    np.testing.assert_array_equal(
        read(tmp_path / "a.jpg", content), imagecodecs.jpeg_decode(content)
    )
    scan = content[content.rindex(b"\xff\xda") : -2]
    with pytest.raises(FileError, match="scans; 100 are read at most"):
        read(tmp_path / "a.jpg", content[:-2] + scan * 300 + b"\xff\xd9")


def bmp(pixels, width, height, bits=8, packing=0, head_bytes=40, masks=b""):
    palette = b"".join(bytes((n, n, n, 0)) for n in range(256)) if bits <= 8 else b""
    at = 14 + 40 + len(masks) + len(palette)
    head = struct.pack(
        "<IiiHHIIiiII", head_bytes, width, height, 1, bits, packing, len(pixels), 0, 0, 0, 0
    )
    return (
        struct.pack("<2sIHHI", b"BM", at + len(pixels), 0, 0, at) + head + masks + palette + pixels
    )


def test_bmp_from_the_top(tmp_path):
    found = read(tmp_path / "a.bmp", bmp(GREY.tobytes(), 56, -40))
    np.testing.assert_array_equal(found, GREY)


def test_bmp_of_run_lengths(tmp_path):
    rows = b"".join(b"".join(bytes((1, value)) for value in row) + b"\0\0" for row in GREY[::-1])
    found = read(tmp_path / "a.bmp", bmp(rows + b"\0\1", 56, 40, packing=1))
    np.testing.assert_array_equal(found, GREY)
    # Steps that lead out of the picture, again and again.
    path = tmp_path / "b.bmp"
    path.write_bytes(bmp(b"\0\2\xff\xff" * 50_000, 56, 40, packing=1))
    before = peak_bytes()
    try:
        assert next(planes(path)).array.shape == (40, 56)
    except FileError as error:
        assert str(error).startswith(f"{path}: ")
    assert peak_bytes() - before < 2**26


def test_bmp_of_bit_fields(tmp_path):
    masks = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    pixels = np.dstack([RGB[..., ::-1], np.zeros((40, 56, 1), np.uint8)])[::-1].tobytes()
    found = read(tmp_path / "a.bmp", bmp(pixels, 56, 40, bits=32, packing=3, masks=masks))
    np.testing.assert_array_equal(found, RGB)


def test_bmp_whose_header_has_no_end(tmp_path):
    path = tmp_path / "a.bmp"
    path.write_bytes(bmp(GREY.tobytes(), 56, 40, head_bytes=2**31))
    os.truncate(path, 2**32)  # takes no room on the disk
    with pytest.raises(FileError, match="its header has no end"):
        open_image(path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
def test_a_pipe_in_the_place_of_a_picture_that_was_listed(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(GREY))
    image = open_image(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FileError, match="is not a regular file"):
        image.read(image.pages[0])
