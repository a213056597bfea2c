"""Strips and tiles: what is read, what their own headers claim, and that they are whole."""

import io
import lzma
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from systems import peak_bytes
from tiff_files import page, tiff

from microscope_quality.errors import FileError
from microscope_quality.files import lazy
from microscope_quality.files.images import open_image, planes
from microscope_quality.files.segments import COMPRESSIONS, claimed_samples, missing_from

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 255, (64, 64)).astype(np.uint8)
RGB = RNG.integers(0, 255, (64, 64, 3)).astype(np.uint8)

ENCODERS = {
    "jpeg": imagecodecs.jpeg_encode,
    "jpeg2000": lambda image: imagecodecs.jpeg2k_encode(image, codecformat="j2k"),
    "jp2": lambda image: imagecodecs.jpeg2k_encode(image, codecformat="jp2"),
    "jpegxl": imagecodecs.jpegxl_encode,
    "jpegxl boxes": lambda image: imagecodecs.jpegxl_encode(image, usecontainer=True),
    "jpegxr": imagecodecs.jpegxr_encode,
    "png": imagecodecs.png_encode,
    "lerc": imagecodecs.lerc_encode,
}
LOSSY = ("JPEG",)


def codec(number):
    return COMPRESSIONS[number]


def written(number, **options):
    """A TIFF by tifffile; WebP is of colours alone."""
    data = RGB if codec(number) == "WebP" else GREY
    stream = io.BytesIO()
    colour = {"photometric": "rgb"} if data is RGB else {}
    tifffile.imwrite(stream, data, compression=number, metadata=None, **colour, **options)
    return stream.getvalue(), data


def both_ways(path, monkeypatch):
    """Planes that are read whole and part by part."""
    found = [np.stack([plane.array for plane in planes(path)], axis=-1)]
    monkeypatch.setattr(lazy, "LAZY_PIXELS", 0)
    image = open_image(path)
    found.append(np.stack([p.array[:] for page in image.pages for p in image.read(page)], axis=-1))
    return found


def refused_both_ways(path, monkeypatch):
    """What is said of a file that cannot be read, which is the same whenever it is read."""
    said = []
    for pixels in (lazy.LAZY_PIXELS, 0):
        monkeypatch.setattr(lazy, "LAZY_PIXELS", pixels)
        runs = set()
        for n in range(3):
            del_me = np.full(64 * 64 * 3, 40 + n, np.uint8)  # what could be in memory
            del del_me
            with pytest.raises(FileError) as caught:
                image = open_image(path)
                for one in image.pages:
                    for plane in image.read(one):
                        np.asarray(plane.array[:])
            runs.add(str(caught.value))
        assert len(runs) == 1
        said += runs
    assert all(text.startswith(f"{path}: ") for text in said)
    return said


@pytest.mark.parametrize("options", [{}, {"tile": (32, 32)}, {"rowsperstrip": 8}])
@pytest.mark.parametrize("number", COMPRESSIONS)
def test_each_compression_is_read(tmp_path, monkeypatch, number, options):
    path = tmp_path / "a.tif"
    content, data = written(number, **options)
    path.write_bytes(content)
    for found in both_ways(path, monkeypatch):
        if codec(number) in LOSSY:
            assert np.abs(found.squeeze().astype(int) - data).mean() < 5
        else:
            np.testing.assert_array_equal(found.squeeze(), data)


@pytest.mark.parametrize("predictor", [2, 3])
@pytest.mark.parametrize("number", [5, 8, 34925, 50000])
def test_predictors_are_read(tmp_path, monkeypatch, predictor, number):
    data = GREY.astype(np.float32 if predictor == 3 else np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, compression=number, predictor=predictor)
    for found in both_ways(path, monkeypatch):
        np.testing.assert_array_equal(found.squeeze(), data)


@pytest.mark.parametrize(
    "number", [0, 2, 3, 4, 6, 9, 32809, 33007, 34713, 48124, 65000, 65001, 65535]
)
def test_other_compressions_are_refused_by_number(tmp_path, number):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(page(t259=(3, number))))
    with pytest.raises(FileError, match=f"compression {number}; these are read: 1 none, 5 LZW"):
        open_image(path)
    # Also of a page of another kind behind a good one.
    path.write_bytes(tiff(page(), page(t259=(3, number), t257=(4, 8), t278=(4, 8))))
    with pytest.raises(FileError, match=f"compression {number}; "):
        open_image(path)


@pytest.mark.parametrize("number", [0, 4, 34892, 34893, 34894, 34895, 65535])
def test_other_predictors_are_refused_by_number(tmp_path, number):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(page(t259=(3, 8), t317=(3, number))))
    with pytest.raises(FileError, match=f"predictor {number}; these are read: 1, 2, 3"):
        open_image(path)


def packed_page(number, strip, data=GREY, **more):
    """A page of one strip."""
    height, width = data.shape[:2]
    tags = {"t256": (4, width), "t257": (4, height), "t278": (4, height), "t258": (3, 8)}
    if data.ndim == 3:
        tags |= {"t258": (3, [8, 8, 8]), "t277": (3, 3), "t262": (3, 2)}
    tags |= {"t259": (3, number), "t279": (4, len(strip)), **more}
    return tiff(page(**tags), data=bytes(strip))


LARGE = 1 << 28
BOMBS = {
    8: zlib.compress(bytes(LARGE)),
    32946: zlib.compress(bytes(LARGE)),
    34925: lzma.compress(bytes(LARGE // 8)),
    50000: imagecodecs.zstd_encode(bytes(LARGE)),
    34926: imagecodecs.zstd_encode(bytes(LARGE)),
    32773: b"\x81\0" * 2**18,
    5: imagecodecs.lzw_encode(bytes(2**18)),
    34887: imagecodecs.lerc_encode(np.zeros((4000, 4000), np.uint8)),
    50001: imagecodecs.webp_encode(np.zeros((4000, 4000, 3), np.uint8), lossless=True),
    34927: imagecodecs.webp_encode(np.zeros((4000, 4000, 3), np.uint8), lossless=True),
    34933: imagecodecs.png_encode(np.zeros((4000, 4000), np.uint8)),
    7: imagecodecs.jpeg_encode(np.zeros((4000, 4000), np.uint8)),
    34892: imagecodecs.jpeg_encode(np.zeros((4000, 4000), np.uint8)),
    50002: imagecodecs.jpegxl_encode(np.zeros((4000, 4000), np.uint8)),
    52546: imagecodecs.jpegxl_encode(np.zeros((4000, 4000), np.uint8)),
    34934: imagecodecs.jpegxr_encode(np.zeros((4000, 4000), np.uint8)),
    22610: imagecodecs.jpegxr_encode(np.zeros((4000, 4000), np.uint8)),
}
for one in (33003, 33004, 33005, 34712):
    BOMBS[one] = imagecodecs.jpeg2k_encode(np.zeros((1000, 1000), np.uint8))


def test_there_is_a_bomb_of_each_kind():
    assert set(BOMBS) == set(COMPRESSIONS) - {1}


@pytest.mark.parametrize("number", BOMBS)
def test_a_strip_that_unpacks_to_more_than_its_place(tmp_path, monkeypatch, number):
    """Refused, or cut to its place; in either case without the memory that it asks for."""
    data = RGB if codec(number) == "WebP" else GREY
    path = tmp_path / "a.tif"
    path.write_bytes(packed_page(number, BOMBS[number], data))
    before = peak_bytes()
    if codec(number) in ("LZMA", "LZW"):
        for found in both_ways(path, monkeypatch):
            assert not found.any()
    else:
        refused_both_ways(path, monkeypatch)
    assert peak_bytes() - before < 2**26


@pytest.mark.parametrize("inner", [zlib.compress, imagecodecs.zstd_encode])
def test_lerc_that_is_packed_once_more(tmp_path, monkeypatch, inner):
    path = tmp_path / "a.tif"
    strip = bytes(inner(bytes(imagecodecs.lerc_encode(GREY))))
    path.write_bytes(packed_page(34887, strip, t50674=(4, [4, 1])))
    for found in both_ways(path, monkeypatch):
        np.testing.assert_array_equal(found.squeeze(), GREY)
    for large in (bytes(LARGE), bytes(imagecodecs.lerc_encode(np.zeros((4000, 4000), np.uint8)))):
        path.write_bytes(packed_page(34887, bytes(inner(large)), t50674=(4, [4, 1])))
        for said in refused_both_ways(path, monkeypatch):
            assert "unpack" in said or "claims 16000000 numbers" in said
    path.write_bytes(packed_page(34887, strip[:-9], t50674=(4, [4, 1])))
    refused_both_ways(path, monkeypatch)


def test_bands_and_numbers_of_lerc():
    image = np.zeros((64, 64), np.float64)
    assert claimed_samples(bytes(imagecodecs.lerc_encode(image))) == 64 * 64 * 8
    one = bytes(imagecodecs.lerc_encode(GREY))
    assert claimed_samples(one * 5) == 5 * GREY.size


def test_pixels_that_lerc_leaves_out_are_not_taken_for_black(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    for mask in (GREY > 100, np.zeros(GREY.shape, bool)):
        strip = imagecodecs.lerc_encode(GREY, masks=mask)
        path.write_bytes(packed_page(34887, strip))
        lacking = f"lacks {np.count_nonzero(~mask)} of its pixels"
        for said in refused_both_ways(path, monkeypatch):
            assert lacking in said


def test_an_animation_in_webp(tmp_path, monkeypatch):
    stream = io.BytesIO()
    pictures = [Image.fromarray(np.roll(RGB, n, 0)) for n in range(30)]
    pictures[0].save(stream, "WEBP", save_all=True, append_images=pictures[1:], lossless=True)
    assert claimed_samples(stream.getvalue()) == 4 * 64 * 64 * 30
    path = tmp_path / "a.tif"
    path.write_bytes(packed_page(50001, stream.getvalue(), RGB))
    for said in refused_both_ways(path, monkeypatch):
        assert "claims 491520 numbers" in said


def test_channels_and_animations_of_jpegxl(tmp_path, monkeypatch):
    for n in (1, 2, 3, 4):
        image = np.zeros((24, 40, n), np.uint16).squeeze()
        assert claimed_samples(bytes(imagecodecs.jpegxl_encode(image))) == 24 * 40 * 4
    pictures = np.zeros((5, 24, 40, 3), np.uint8)
    assert claimed_samples(bytes(imagecodecs.jpegxl_encode(pictures))) > 2**60
    path = tmp_path / "a.tif"
    path.write_bytes(packed_page(50002, imagecodecs.jpegxl_encode(np.zeros((3, 64, 64), np.uint8))))
    for said in refused_both_ways(path, monkeypatch):
        assert "claims" in said
    image = RNG.integers(0, 255, (7, 40, 56)).astype(np.uint8)
    tifffile.imwrite(
        path, image, photometric="minisblack", planarconfig="separate", compression=50002
    )
    assert len(list(planes(path))) == 7


SHORT = {number: number for number in COMPRESSIONS if number != 1}


@pytest.mark.parametrize("part", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("number", SHORT)
def test_a_strip_that_ends_early_is_an_error(tmp_path, monkeypatch, number, part):
    """It is not taken for black, nor is what was in memory taken for pixels."""
    data = RGB if codec(number) == "WebP" else GREY
    whole, _ = written(number)
    with tifffile.TiffFile(io.BytesIO(whole)) as file:
        (at,), (count,) = file.pages[0].dataoffsets, file.pages[0].databytecounts
    strip = whole[at : at + int(count * part) or at + 1]
    path = tmp_path / "a.tif"
    path.write_bytes(packed_page(number, strip, data))
    refused_both_ways(path, monkeypatch)


PACKERS = {
    5: imagecodecs.lzw_encode,
    8: zlib.compress,
    32773: imagecodecs.packbits_encode,
    34925: lzma.compress,
    50000: imagecodecs.zstd_encode,
}


@pytest.mark.parametrize("number", PACKERS)
def test_a_strip_of_fewer_bytes_than_its_place_is_an_error(tmp_path, monkeypatch, number):
    path = tmp_path / "a.tif"
    for pixels in (GREY[:63].tobytes(), GREY.tobytes()[:-1], b""):
        path.write_bytes(packed_page(number, PACKERS[number](pixels)))
        refused_both_ways(path, monkeypatch)
    path.write_bytes(packed_page(number, PACKERS[number](GREY.tobytes())))
    for found in both_ways(path, monkeypatch):
        np.testing.assert_array_equal(found.squeeze(), GREY)


@pytest.mark.parametrize("number", [34925, 50000])
def test_pixels_in_several_streams(tmp_path, monkeypatch, number):
    """Each codec's files may follow each other; they fill one place together, and no more."""
    halves = [PACKERS[number](part.tobytes()) for part in np.split(GREY, 2)]
    path = tmp_path / "a.tif"
    path.write_bytes(packed_page(number, b"".join(halves)))
    for found in both_ways(path, monkeypatch):
        np.testing.assert_array_equal(found.squeeze(), GREY)


def tiled_jpeg2000():
    stream = io.BytesIO()
    options = {"tile_size": (32, 32), "no_jp2": True, "irreversible": False}
    Image.fromarray(GREY).save(stream, "JPEG2000", **options)
    return stream.getvalue()


def test_jpeg2000_that_lacks_a_tile(tmp_path, monkeypatch):
    whole = tiled_jpeg2000()
    path = tmp_path / "a.tif"
    path.write_bytes(packed_page(34712, whole))
    for found in both_ways(path, monkeypatch):
        np.testing.assert_array_equal(found.squeeze(), GREY)
    last = whole.rindex(b"\xff\x90\0\x0a")
    path.write_bytes(packed_page(34712, whole[:last] + b"\xff\xd9"))
    for said in refused_both_ways(path, monkeypatch):
        assert "lacks 1 of its 4 tiles" in said


def test_jpeg2000_of_tiles_without_end():
    stream = bytearray(tiled_jpeg2000())
    struct.pack_into(">II", stream, 8, 60_000, 60_000)
    struct.pack_into(">II", stream, 24, 1, 1)
    assert "3600000000 tiles" in missing_from(bytes(stream))


def test_jpeg_of_scans_without_end():
    strip = bytes(imagecodecs.jpeg_encode(GREY))
    assert missing_from(strip) is None
    scan = strip[strip.index(b"\xff\xda") : -2]
    assert "scans" in missing_from(strip[:-2] + scan * 200 + b"\xff\xd9")


@pytest.mark.parametrize(
    "number", [n for n in BOMBS if COMPRESSIONS[n].startswith(("J", "P", "W", "L"))]
)
def test_what_is_of_another_codec_is_not_decoded(tmp_path, number):
    if codec(number) in ("PackBits", "LZW", "LZMA"):
        return
    data = RGB if codec(number) == "WebP" else GREY
    path = tmp_path / "a.tif"
    path.write_bytes(packed_page(number, b"something else" * 20, data))
    with pytest.raises(FileError, match=f"is no {codec(number)}|cannot be unpacked"):
        list(planes(path))


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("shape", [(17, 40), (300, 200), (40, 17, 3), (128, 256), (9, 16)])
def test_what_encoders_write_is_read(kind, shape):
    image = np.random.default_rng(3).integers(0, 255, shape).astype(np.uint8)
    segment = bytes(ENCODERS[kind](image))
    # Of these two the channels are not read, and four are assumed.
    four = shape[0] * shape[1] * 4
    assert claimed_samples(segment) == (four if kind.startswith("jpegx") else image.size)
    assert missing_from(segment) is None


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}])
def test_what_webp_encoders_write_is_read(options):
    for shape in ((17, 40, 3), (40, 17, 4), (300, 200, 3)):
        image = np.random.default_rng(3).integers(0, 255, shape).astype(np.uint8)
        segment = bytes(imagecodecs.webp_encode(image, **options))
        assert claimed_samples(segment) == 4 * shape[0] * shape[1]


@pytest.mark.parametrize("encode", [imagecodecs.zlib_encode, imagecodecs.lzw_encode, bytes])
def test_other_codecs_have_no_header(encode):
    assert claimed_samples(bytes(encode(bytes(100)))) == 0


@given(st.sampled_from(list(ENCODERS)), st.data())
def test_no_header_is_too_damaged(kind, data):
    content = bytearray(ENCODERS[kind](np.zeros((8, 8), np.uint8)))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    assert claimed_samples(bytes(content[:cut])) >= 0
    assert isinstance(missing_from(bytes(content[:cut])), (str, type(None)))
