"""Reading image files: pixels, axes, and everything that can be wrong with a file."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from systems import sparse_files

from microscope_quality.errors import FileError
from microscope_quality.files.images import find, find_some, open_image, planes
from microscope_quality.files.left_out import LeftOutCounts, in_words

RNG = np.random.default_rng(20240503)


def grey(dtype="uint16", shape=(40, 56), high=None):
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return RNG.normal(0, 100, shape).astype(dtype)
    info = np.iinfo(dtype)
    return RNG.integers(info.min, (high or info.max) + 1, shape, dtype=dtype, endpoint=False)


def colour(dtype="uint8", shape=(40, 56)):
    return grey(dtype, (*shape, 3))


def read_one(path):
    found = list(planes(path))
    assert len(found) == 1
    assert (found[0].series, found[0].z, found[0].c, found[0].t) == (None,) * 4
    return found[0].array


def places(path, **options):
    return [(p.series, p.z, p.c, p.t) for p in planes(path, **options)]


# Pixels


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"]
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_keeps_its_pixel_type(tmp_path, dtype, order):
    image = grey(dtype if np.dtype(dtype).itemsize < 8 or dtype[0] == "f" else "int32")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, byteorder=order)
    array = read_one(path)
    assert array.dtype == image.dtype
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, image)


@pytest.mark.parametrize("compression", ["lzw", "deflate", "zstd", "packbits"])
@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_compressed_and_tiled_tiffs(tmp_path, compression, tile):
    image = grey("uint8" if compression == "packbits" else "uint16", high=200)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, compression=compression, tile=tile)
    np.testing.assert_array_equal(read_one(path), image)


def tiff(width, height, bits, n_bytes, content=b""):
    """A TIFF of one uncompressed strip, whose header promises that much."""
    at = 8 + 2 + 9 * 12 + 4
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, at),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, n_bytes),
    ]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + content


def packed_tiff(image, bits):
    """Pixels without gaps between them, the highest bit first, rows padded to whole bytes."""
    each = (image[..., np.newaxis] >> np.arange(bits)[::-1] & 1).astype(np.uint8)
    rows = np.packbits(each.reshape(len(image), -1), axis=1).tobytes()
    return tiff(image.shape[1], image.shape[0], bits, len(rows), rows)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_bits_are_unpacked(tmp_path, bits):
    image = grey("uint16", shape=(40, 57), high=2**bits - 1)
    path = tmp_path / "a.tif"
    path.write_bytes(packed_tiff(image, bits))
    np.testing.assert_array_equal(read_one(path), image)


def test_a_tiff_by_pillow(tmp_path):
    image = grey("uint16")
    path = tmp_path / "a.tif"
    Image.fromarray(image).save(path, compression="tiff_lzw")
    np.testing.assert_array_equal(read_one(path), image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_zero_is_white_is_inverted(tmp_path, dtype):
    image = grey(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, image, photometric="miniswhite")
    np.testing.assert_array_equal(read_one(path), np.iinfo(dtype).max - image)


@pytest.mark.parametrize(
    ("ending", "dtype"), [(".png", "uint8"), (".png", "uint16"), (".bmp", "uint8")]
)
def test_grey_of_other_formats(tmp_path, ending, dtype):
    image = grey(dtype)
    path = tmp_path / f"a{ending}"
    Image.fromarray(image).save(path)
    array = read_one(path)
    assert array.dtype == image.dtype
    np.testing.assert_array_equal(array, image)


def test_a_jpeg_is_what_its_decoder_says(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(grey("uint8")).save(path, quality=95)
    np.testing.assert_array_equal(read_one(path), imagecodecs.jpeg_decode(path.read_bytes()))


def test_colour_is_three_planes(tmp_path):
    image = colour()
    for name in ("a.png", "a.bmp", "a.tif"):
        path = tmp_path / name
        if name.endswith("tif"):
            tifffile.imwrite(path, image, photometric="rgb")
        else:
            Image.fromarray(image).save(path)
        found = list(planes(path))
        assert [p.c for p in found] == [0, 1, 2]
        for p in found:
            np.testing.assert_array_equal(p.array, image[..., p.c])


def test_colour_of_16_bits_keeps_them(tmp_path):
    image = colour("uint16")
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(image))
    np.testing.assert_array_equal(np.dstack([p.array for p in planes(path)]), image)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_three_equal_channels_are_one_grey_plane(tmp_path, planar):
    image = grey("uint8")
    stacked = np.stack([image] * 3, axis=-1 if planar == "contig" else 0)
    tifffile.imwrite(tmp_path / "a.tif", stacked, photometric="rgb", planarconfig=planar)
    Image.fromarray(np.dstack([image] * 3)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_one(tmp_path / "a.tif"), image)
    np.testing.assert_array_equal(read_one(tmp_path / "a.png"), image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_luminance(tmp_path, dtype):
    image = colour(dtype)
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(image))
    (plane,) = planes(path, luminance=True)
    expected = image @ np.array([0.2126, 0.7152, 0.0722])
    assert plane.array.dtype == image.dtype
    assert plane.c is None
    assert np.abs(plane.array.astype(float) - expected).max() <= 0.51


def test_transparency_is_left_out(tmp_path):
    image, alpha = grey("uint8"), grey("uint8")
    Image.fromarray(np.dstack([image, alpha])).save(tmp_path / "la.png")
    Image.fromarray(np.dstack([image, image, image, alpha])).save(tmp_path / "rgba.png")
    (tmp_path / "la16.png").write_bytes(
        imagecodecs.png_encode(np.dstack([image, alpha]).astype("uint16") * 257)
    )
    tifffile.imwrite(
        tmp_path / "la.tif",
        np.dstack([image, alpha]),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    for name in ("la.png", "rgba.png", "la.tif"):
        np.testing.assert_array_equal(read_one(tmp_path / name), image)
    np.testing.assert_array_equal(read_one(tmp_path / "la16.png"), image.astype("uint16") * 257)


def test_four_planes_that_are_stored_one_by_one_are_four_channels(tmp_path):
    # As tifffile writes such an array unless it is told otherwise.
    image = RNG.integers(0, 256, (4, 40, 56), dtype="uint8")
    options = {"photometric": "rgb", "planarconfig": "separate", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", image, **options)
    # Three that are equal tell nothing of the fourth.
    image[1] = image[2] = image[0]
    tifffile.imwrite(tmp_path / "b.tif", image, **options)
    for name in ("a.tif", "b.tif"):
        with tifffile.TiffFile(tmp_path / name) as tiff:
            stored = tiff.asarray()
        for luminance in (False, True):
            read = list(planes(tmp_path / name, luminance=luminance))
            assert [plane.c for plane in read] == [0, 1, 2, 3]
            np.testing.assert_array_equal([plane.array for plane in read], stored)


# Axes


def test_ome_axes_are_named(tmp_path):
    stack = grey(shape=(2, 3, 4, 40, 56))
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "TZCYX"}, photometric="minisblack")
    found = list(planes(path))
    assert {(p.t, p.z, p.c) for p in found} == set(np.ndindex(2, 3, 4))
    for p in found:
        np.testing.assert_array_equal(p.array, stack[p.t, p.z, p.c])


def test_imagej_axes_are_named(tmp_path):
    stack = grey(shape=(2, 3, 4, 40, 56))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TZCYX"})
    for p in planes(path):
        np.testing.assert_array_equal(p.array, stack[p.t, p.z, p.c])


def test_an_imagej_stack_in_one_directory(tmp_path):
    """As ImageJ stores a stack over 4 GB: all planes after the only directory."""
    stack = grey(shape=(5, 40, 56)).astype(">u2")
    description = b"ImageJ=1.54f\nimages=5\nslices=5\n\0"
    tags = [
        (256, 4, 1, 56),
        (257, 4, 1, 40),
        (258, 3, 1, 16 << 16),
        (259, 3, 1, 1 << 16),
        (262, 3, 1, 1 << 16),
        (270, 2, len(description), 8 + 2 + 12 * 10 + 4),
        (273, 4, 1, 512),
        (277, 3, 1, 1 << 16),
        (278, 4, 1, 40),
        (279, 4, 1, 40 * 56 * 2),
    ]
    head = b"MM\0*" + struct.pack(">IH", 8, len(tags))
    head += b"".join(struct.pack(">HHII", *tag) for tag in tags) + struct.pack(">I", 0)
    content = (head + description).ljust(512, b"\0") + stack.tobytes()
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    found = list(planes(path))
    assert [p.z for p in found] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal([p.array for p in found], stack)
    path.write_bytes(content[:-1])
    assert_refused(path)


def test_an_axis_that_is_not_there_has_no_number(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, grey(shape=(1, 5, 1, 40, 56)), metadata={"axes": "TZCYX"})
    assert places(path) == [(None, z, None, None) for z in range(5)]


def test_pages_without_names_count_as_z(tmp_path):
    stack = grey(shape=(4, 40, 56))
    Image.fromarray(stack[0]).save(
        tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(p) for p in stack[1:]]
    )
    found = list(planes(tmp_path / "a.tif"))
    assert [(p.z, p.c, p.t) for p in found] == [(z, None, None) for z in range(4)]
    np.testing.assert_array_equal([p.array for p in found], stack)


@pytest.mark.parametrize("axes", ["RTCZYX", "RZYX", "MYX", "AYX", "PEYX", "KJZYX", "HVLYX", "rzyx"])
def test_an_axis_is_not_taken_for_another(tmp_path, axes):
    lengths = (2, 3, 2, 2)[: len(axes) - 2]
    stack = grey(shape=(*lengths, 20, 30))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, metadata={"axes": axes}, photometric="minisblack")
    outer = axes.upper()[:-2]
    others = [k for k, axis in enumerate(outer) if axis not in "ZCTE"]
    for plane, index in zip(planes(path), np.ndindex(lengths), strict=True):
        series = np.ravel_multi_index([index[k] for k in others], [lengths[k] for k in others])
        place = {"C" if axis == "E" else axis: i for axis, i in zip(outer, index)}
        assert plane.series == series
        assert (plane.z, plane.c, plane.t) == tuple(map(place.get, "ZCT"))
        np.testing.assert_array_equal(plane.array, stack[index])


def test_series_are_counted_through_all_images_of_a_file(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for shape in ((2, 3, 20, 30), (3, 2, 40, 30)):
            writer.write(grey(shape=shape), metadata={"axes": "RZYX"}, photometric="minisblack")
    assert places(path) == [(r, z, None, None) for r in (0, 1) for z in range(3)] + [
        (2 + r, z, None, None) for r in range(3) for z in (0, 1)
    ]


def test_samples_that_are_positions_are_series(tmp_path):
    """An axis inside a page: the page has no number along it, its planes do."""
    stack = grey(shape=(5, 40, 56))
    path = tmp_path / "a.tif"
    options = {"photometric": "minisblack", "planarconfig": "separate"}
    tifffile.imwrite(path, stack, metadata={"axes": "RYX"}, **options)
    assert [page.series for page in open_image(path).pages] == [None]
    assert places(path) == [(r, None, None, None) for r in range(5)]


def test_pages_without_a_name_beside_z_count_as_t(tmp_path):
    stack = grey(shape=(3, 5, 40, 56))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "QZYX"}, photometric="minisblack")
    for p in planes(path):
        np.testing.assert_array_equal(p.array, stack[p.t, p.z])


def test_a_colour_stack(tmp_path):
    stack = grey("uint8", shape=(4, 40, 56, 3))
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, stack, photometric="rgb", metadata={"axes": "ZYXS"})
    for p in planes(path):
        np.testing.assert_array_equal(p.array, stack[p.z, ..., p.c])
    assert places(path, luminance=True) == [(None, z, None, None) for z in range(4)]


def test_samples_that_are_no_colour_are_channels(tmp_path):
    stack = grey(shape=(5, 40, 56))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", planarconfig="separate")
    found = list(planes(path))
    assert [p.c for p in found] == list(range(5))
    np.testing.assert_array_equal([p.array for p in found], stack)


def test_several_images_in_a_file_are_series(tmp_path):
    a, b = grey(shape=(2, 40, 56)), grey(shape=(30, 60))
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(a, metadata={"axes": "ZYX"}, photometric="minisblack")
        writer.write(b, metadata={"axes": "YX"}, photometric="minisblack")
    found = list(planes(path))
    assert [(p.series, p.z) for p in found] == [(0, 0), (0, 1), (1, None)]
    np.testing.assert_array_equal(found[2].array, b)


def test_reduced_copies_are_not_planes(tmp_path):
    image = grey(shape=(64, 64))
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as writer:
        writer.write(image, subifds=1)
        writer.write(image[::2, ::2], subfiletype=1)
    with tifffile.TiffWriter(tmp_path / "thumbnail.tif") as writer:
        writer.write(image, metadata=None)
        writer.write(image[::3, ::4], subfiletype=1, metadata=None)
    for name in ("pyramid.tif", "thumbnail.tif"):
        np.testing.assert_array_equal(read_one(tmp_path / name), image)


def test_each_file_of_an_ome_set_gives_its_own_planes(tmp_path):
    """Each file's metadata tells of all planes of the set, in whichever file they are."""
    stack = grey(shape=(3, 40, 56))
    uuids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{z}" for z in range(3)]
    data = "".join(
        f'<TiffData FirstZ="{z}" FirstC="0" FirstT="0" IFD="0" PlaneCount="1">'
        f'<UUID FileName="z{z}.ome.tif">{uuids[z]}</UUID></TiffData>'
        for z in range(3)
    )
    for z in range(3):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuids[z]}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYZCT" Type="uint16" SizeX="56" SizeY="40" SizeZ="3" SizeC="1" '
            'SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
            f"{data}</Pixels></Image></OME>"
        )
        tifffile.imwrite(tmp_path / f"z{z}.ome.tif", stack[z], description=xml, metadata=None)
    # A broken neighbour must not matter.
    (tmp_path / "z1.ome.tif").write_bytes(b"")
    for z in (0, 2):
        (plane,) = planes(tmp_path / f"z{z}.ome.tif")
        assert (plane.z, plane.c, plane.t) == (z, None, None)
        np.testing.assert_array_equal(plane.array, stack[z])


def test_planes_come_one_at_a_time_and_in_any_order(tmp_path):
    stack = grey(shape=(6, 40, 56))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "ZYX"}, photometric="minisblack")
    image = open_image(path)
    for page in reversed(image.pages):
        (plane,) = image.read(page)
        np.testing.assert_array_equal(plane.array, stack[page.z])


# What is wrong with files


def assert_refused(path, *words):
    with pytest.raises(FileError) as caught:
        list(planes(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    for word in words:
        assert word in message


def test_a_missing_file(tmp_path):
    assert_refused(tmp_path / "a.tif", "does not exist")


def test_an_empty_file(tmp_path):
    (tmp_path / "a.tif").touch()
    assert_refused(tmp_path / "a.tif", "empty")


def test_a_text_with_the_name_of_an_image(tmp_path):
    (tmp_path / "a.tif").write_text("well,site\nA01,1\n")
    assert_refused(tmp_path / "a.tif", "not a TIFF", "well,site")


def test_a_folder(tmp_path):
    (tmp_path / "a.tif").mkdir()
    assert_refused(tmp_path / "a.tif", "folder")


def test_a_dangling_link(tmp_path):
    (tmp_path / "a.tif").symlink_to("nowhere.tif")
    assert_refused(tmp_path / "a.tif", "link")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    assert_refused(tmp_path / "a.tif", "regular")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux")
def test_an_error_of_the_disk(tmp_path):
    (tmp_path / "a.tif").symlink_to("/proc/self/mem")
    assert_refused(tmp_path / "a.tif", "cannot be read")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", grey())
    (tmp_path / "a.tif").chmod(0)
    assert_refused(tmp_path / "a.tif", "Permission denied")


def test_complex_numbers(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", grey("float32").astype("complex64"))
    assert_refused(tmp_path / "a.tif", "complex64")


def _written(writer, **options):
    stream = io.BytesIO()
    writer(stream, **options)
    return stream.getvalue()


def _samples():
    rng = np.random.default_rng(7)
    stack = rng.integers(0, 4000, (3, 24, 32)).astype(np.uint16)
    rgb = rng.integers(0, 255, (24, 32, 3)).astype(np.uint8)
    tiffs = {
        "plain": {"data": stack[0]},
        "lzw": {"data": stack[0], "compression": "lzw"},
        "tiles": {"data": stack[0], "compression": "deflate", "tile": (16, 16)},
        "jpeg": {"data": rgb, "compression": "jpeg", "photometric": "rgb"},
        "stack": {"data": stack, "photometric": "minisblack", "compression": "zstd"},
        "imagej": {"data": stack, "imagej": True},
        "ome": {"data": stack, "ome": True, "photometric": "minisblack"},
        "big": {"data": stack, "bigtiff": True, "photometric": "minisblack"},
    }
    samples = {name: _written(tifffile.imwrite, **options) for name, options in tiffs.items()}
    samples["packed"] = packed_tiff(stack[0], 12)
    image = Image.fromarray(rgb)
    samples["png"] = _written(image.save, format="PNG")
    samples["png16"] = imagecodecs.png_encode(stack[0])
    samples["jpg"] = _written(image.save, format="JPEG")
    samples["progressive"] = _written(image.save, format="JPEG", progressive=True)
    samples["bmp"] = _written(image.save, format="BMP")
    return samples


SAMPLES = _samples()


@pytest.mark.parametrize("kind", SAMPLES)
@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_file_cut_short_anywhere_is_refused_or_whole(tmp_path, kind, data):
    """Padding and closing marks may be missing; a pixel or a plane may not."""
    content = SAMPLES[kind]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.write_bytes(content)
    cut.write_bytes(content[: data.draw(st.integers(0, len(content) - 1), label="bytes")])
    try:
        found = list(planes(cut))
    except FileError:
        return
    expected = list(planes(whole))
    assert [(p.z, p.c, p.t) for p in found] == [(p.z, p.c, p.t) for p in expected]
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a.array, b.array)


@pytest.mark.parametrize("kind", SAMPLES)
@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_file_gives_planes_or_an_error_that_names_it(tmp_path, kind, data):
    content = bytearray(SAMPLES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        # Headers are hit as often as pixels.
        end = data.draw(st.sampled_from([64, 400, len(content)]))
        at = data.draw(st.integers(0, min(end, len(content)) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    try:
        for p in planes(path):
            assert p.array.ndim == 2
    except FileError as error:
        assert str(error).startswith(f"{path}: ")


def png_header(width, height, depth=16):
    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


HEADERS = {
    "huge.png": png_header(200_000, 200_000),
    "huge.tif": tiff(200_000, 200_000, 16, 2**32 - 1),
    "large.png": png_header(30_000, 30_000),
    "large.tif": tiff(30_000, 30_000, 16, 1_800_000_000),
    "bits.png": png_header(30_000, 30_000, depth=1),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_without_the_pixels_is_refused_before_memory_is_taken(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(HEADERS[name])
    assert_refused(path)
    # The same in a process that may not take what the header asks for.
    code = (
        "import resource, sys\n"
        "from microscope_quality.files.images import planes\n"
        "import tifffile, PIL.PngImagePlugin, imagecodecs\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (2**28, 2**28))\n"
        "try:\n"
        "    list(planes(sys.argv[1]))\n"
        "except OSError as error:\n"
        "    print(error)\n"
    )
    if sys.platform.startswith("linux"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        )
        assert "too large" in done.stdout or "cut short" in done.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
def test_too_little_memory_is_said_in_words(tmp_path):
    """A page that is read at once, in a process that may not take what it needs."""
    image = np.zeros((25_000, 20_000), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, compression="zlib", rowsperstrip=25_000)
    code = (
        "import resource, sys\n"
        "from microscope_quality.files.images import planes\n"
        "import tifffile, imagecodecs\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (2**28, 2**28))\n"
        "try:\n"
        "    list(planes(sys.argv[1]))\n"
        "except OSError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.tif")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.strip() == f"{tmp_path / 'a.tif'}: needs more memory than it is allowed"


def test_directories_in_a_loop(tmp_path):
    content = bytearray(SAMPLES["plain"])
    (directory,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, directory)
    struct.pack_into("<I", content, directory + 2 + 12 * entries, directory)
    (tmp_path / "a.tif").write_bytes(content)
    assert_refused(tmp_path / "a.tif", "loop")


def _changed(content, tag, count=None, value=None):
    """A TIFF with another count or value in an entry of its first directory."""
    content = bytearray(content)
    (directory,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, directory)
    for k in range(entries):
        at = directory + 2 + 12 * k
        if struct.unpack_from("<H", content, at)[0] == tag:
            if count is not None:
                struct.pack_into("<I", content, at + 4, count)
            if value is not None:
                struct.pack_into("<I", content, at + 8, value)
            return bytes(content)
    raise AssertionError(f"no tag {tag}")


def _bomb(codec):
    """A strip of 16 × 16 pixels that claims 65,000 × 65,000 of its own."""
    image = np.zeros((16, 16), np.uint8)
    if codec == 7:
        strip = bytearray(imagecodecs.jpeg_encode(image))
        struct.pack_into(">HH", strip, strip.index(b"\xff\xc0") + 5, 65000, 65000)
    elif codec == 34712:
        strip = bytearray(imagecodecs.jpeg2k_encode(image, codecformat="j2k"))
        struct.pack_into(">II", strip, 8, 65000, 65000)
    else:
        strip = bytearray(imagecodecs.lerc_encode(image))
        struct.pack_into("<II", strip, 14, 65000, 65000)
    content = tiff(16, 16, 8, len(strip), bytes(strip))
    return _changed(content, 259, value=codec)


@pytest.mark.parametrize("codec", [7, 34712, 34887])
def test_a_strip_that_claims_more_than_its_place_is_not_decoded(tmp_path, codec):
    path = tmp_path / "a.tif"
    path.write_bytes(_bomb(codec))
    assert_refused(path, "4225000000 numbers", "room for 256")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_strips_that_are_missing_are_not_taken_for_black(tmp_path, compression):
    stream = io.BytesIO()
    options = {"compression": compression, "metadata": None}
    tifffile.imwrite(stream, grey("uint8", (64, 64)), rowsperstrip=8, **options)
    content = stream.getvalue()
    for tag in (273, 279):
        content = _changed(content, tag, count=4)
    (tmp_path / "a.tif").write_bytes(content)
    assert_refused(tmp_path / "a.tif", "4 strips or tiles of 8")


def test_tiles_larger_than_any_memory_are_not_made(tmp_path):
    stream = io.BytesIO()
    tifffile.imwrite(stream, grey("uint8"), tile=(16, 16), compression="zlib", metadata=None)
    content = _changed(stream.getvalue(), 322, value=2**24)
    (tmp_path / "a.tif").write_bytes(_changed(content, 323, value=2**24))
    assert_refused(tmp_path / "a.tif")


def test_a_page_without_pixels(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(0, 2**31, 8, 1, b"x"))
    assert_refused(tmp_path / "a.tif", "without pixels")


def test_more_planes_than_a_list_can_hold(tmp_path):
    """A pixel may have any number of samples, each of which is a plane."""
    content = tiff(1200, 1000, 8, 1_200_000, bytes(1_200_000))
    # One pixel of 1,200,000 numbers.
    content = _changed(content, 256, value=1)
    content = _changed(content, 257, value=1)
    content = _changed(content, 277, value=1_200_000)
    (tmp_path / "a.tif").write_bytes(content)
    assert_refused(tmp_path / "a.tif")


@sparse_files
def test_a_picture_of_few_pixels_in_a_huge_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(SAMPLES["png16"])
    os.truncate(path, 2**33)  # takes no room on the disk
    assert_refused(path, "too large")


# Finding


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(*paths, **options):
    return [name for name, _ in find(paths, **options)]


def test_a_folder_is_searched_in_natural_order(tmp_path):
    touch(tmp_path, "b10.tif", "b2.TIF", "a/1.png", "a/b/c.jpeg", "notes.txt", "B1.tiff")
    assert names(tmp_path) == ["a/1.png", "a/b/c.jpeg", "B1.tiff", "b2.TIF", "b10.tif"]


@pytest.mark.parametrize("start", ["", "scan_", "plate1_0"])
def test_hexadecimal_numbers_of_one_length_are_in_their_order(tmp_path, start):
    wanted = [f"{start}{number:02X}.tif" for number in (0, 1, 9, 10, 11, 15, 16, 26, 30, 227)]
    touch(tmp_path, *wanted, "notes.txt")
    assert names(tmp_path) == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        ["a.9.tif", "a.10.tif"],
        ["1a.tif", "1e3.tif", "2.tif", "10.tif"],
        ["a1.tif", "a2.tif", "a10.tif", "b1.tif"],
    ],
)
def test_names_that_are_no_such_numbers_stay_in_natural_order(tmp_path, wanted):
    touch(tmp_path, *wanted)
    assert names(tmp_path) == wanted


def test_what_belongs_to_images_is_not_told_as_left_out(tmp_path):
    touch(tmp_path, "a.tif", "set.companion.ome", "Index.idx.xml", "notes.txt", "x_thumb.tif")
    touch(tmp_path, "y_thumb.tif", "b.svs", "b_label.png")
    others, left_out = Counter(), LeftOutCounts()
    find([tmp_path], others=others, left_out=left_out)
    assert others == {".txt": 1}
    assert in_words(left_out) == (
        "1 label or overview of a slide, b_label.png; 2 thumbnails (…_thumb), x_thumb.tif first"
    )
    for name, path in find([tmp_path]):
        assert path == tmp_path / name


def test_a_file_named_by_itself_is_taken_as_it_is(tmp_path, monkeypatch):
    touch(tmp_path, "x/a.dat")
    monkeypatch.chdir(tmp_path)
    assert names("x/a.dat") == ["x/a.dat"]
    assert names(Path("x") / "missing.tif") == ["x/missing.tif"]


def test_names_of_two_folders_keep_apart(tmp_path, monkeypatch):
    touch(tmp_path, "p1/a.tif", "p2/a.tif")
    monkeypatch.chdir(tmp_path)
    assert names("p1", "p2") == ["p1/a.tif", "p2/a.tif"]


def test_slides_are_found_and_what_is_none_is_not_taken_for_one(tmp_path):
    slides = ["a.svs", "b.ndpi", "c.scn", "d.bif", "e.qptiff", "f.mrxs"]
    touch(tmp_path, *slides)
    assert names(tmp_path) == slides
    # It holds a picture of the glass; the slide lies in the folder beside it.
    Image.fromarray(colour()).save(tmp_path / "f.mrxs", format="JPEG")
    assert_refused(tmp_path / "f.mrxs", "save it as OME-TIFF")


def test_patterns(tmp_path, monkeypatch):
    touch(tmp_path, "p/a_w1.tif", "p/a_w2.tif", "p/q/b_w1.tif", "odd[1].tif", "odd1.tif")
    monkeypatch.chdir(tmp_path)
    assert names("p/*_w1.tif") == ["p/a_w1.tif"]
    assert names("p/**/*_w1.tif") == ["p/a_w1.tif", "p/q/b_w1.tif"]
    assert names("odd[1].tif") == ["odd[1].tif"]
    assert names("nothing*.tif") == []


def test_each_file_once(tmp_path):
    touch(tmp_path, "a.tif", "b.tif")
    assert len(find([tmp_path, tmp_path / "a.tif", tmp_path / "*.tif"])) == 2


def test_hidden_files_and_own_results_are_left_out(tmp_path):
    touch(tmp_path, "a.tif", "._a.tif", ".cache/b.tif", "out/overlays/a.png", "out/results.csv")
    touch(tmp_path, "now/overlays/b.png", "overlays/c.png")
    assert names(tmp_path, exclude=tmp_path / "now") == ["a.tif", "overlays/c.png"]


LEFT_OUT = {
    "thumbnails (…_thumb)": [
        "A01_s1_w1_thumb.tif",
        "A01_s1_w1_thumbD5A80F8E-1B2C-4D5E-8F90-1234567890AB.tif",
        "a_Thumb.TIF",
        "thumbs/a.png",
        "b/Thumbnails/c/a.png",
        "thumbnail_3.jpg",
    ],
    "reduced copies (Downsampled_x…)": ["Downsampled_x4/a.tif", "b/a_downsampled_x2.tif"],
    "labels and overviews of slides": ["b/s.1_label.png", "b/s.1_macro.jpg"],
}
TAKEN = ["A01_s1_w1.tif", "b/a.tif", "b/a_label.png", "b/s.1.svs", "downsampled.tif", "thumby.tif"]


def test_small_copies_are_left_out_and_counted_unless_they_are_named(tmp_path):
    for group in (*LEFT_OUT.values(), TAKEN):
        touch(tmp_path, *group)
    left_out = LeftOutCounts()
    assert sorted(names(tmp_path, left_out=left_out)) == TAKEN
    assert left_out == {why: len(group) for why, group in LEFT_OUT.items()}
    for group in LEFT_OUT.values():
        for name in group:
            assert names(tmp_path / name) == [(tmp_path / name).as_posix()]
    assert names(tmp_path / "Downsampled_x4") == ["a.tif"]
    touch(tmp_path, "d/x_thumb.tif")
    with pytest.raises(FileError, match=r"but what is left out: 1 thumbnail "):
        find_some([tmp_path / "d"])


@pytest.mark.parametrize(
    ("patterns", "taken"),
    [
        (["*_w2.tif"], ["a_w1.TIF", "t/a_w1.tif", "t/z/a_w1.tif", "u/z/b_w2.TIF"]),
        (["t"], ["a_w1.TIF", "u/z/b_w2.TIF"]),
        (["t/*.tif"], ["a_w1.TIF", "t/z/a_w1.tif", "t/z/a_w2.tif", "u/z/b_w2.TIF"]),
        (["t/*"], ["a_w1.TIF", "u/z/b_w2.TIF"]),
        (["**/z/**"], ["a_w1.TIF", "t/a_w1.tif", "t/a_w2.tif"]),
        (["**/a_w[!2].*", "u/"], ["t/a_w2.tif", "t/z/a_w2.tif"]),
        (["z/*", "w2", "A_w1.TIF"], None),
    ],
)
def test_patterns_leave_out_more(tmp_path, patterns, taken):
    every = ["a_w1.TIF", "t/a_w1.tif", "t/a_w2.tif", "t/z/a_w1.tif", "t/z/a_w2.tif", "u/z/b_w2.TIF"]
    touch(tmp_path, *every)
    assert names(tmp_path, without=patterns) == (every if taken is None else taken)


def test_links_are_followed_but_not_in_circles(tmp_path):
    touch(tmp_path, "data/a.tif")
    (tmp_path / "plate").mkdir()
    (tmp_path / "plate" / "link").symlink_to(tmp_path / "data")
    (tmp_path / "plate" / "up").symlink_to(tmp_path / "plate")
    (tmp_path / "plate" / "gone.tif").symlink_to("nowhere")
    assert names(tmp_path / "plate") == ["gone.tif", "link/a.tif"]


def test_a_folder_with_the_name_of_an_image_is_reported_not_searched(tmp_path):
    touch(tmp_path, "a.tif/b.tif")
    assert names(tmp_path) == ["a.tif"]
    assert names(tmp_path / "a.tif") == ["b.tif"]


def test_like_pages_written_one_by_one_are_a_stack(tmp_path):
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for value in range(3):
            writer.write(np.full((5, 6), value, np.uint16))
    found = list(planes(path))
    assert [(plane.z, plane.series, plane.array[0, 0]) for plane in found] == [
        (0, None, 0),
        (1, None, 1),
        (2, None, 2),
    ]


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (1, {}),
        (5800, {"compression": "zlib", "rowsperstrip": 5800}),
        (16, {"compression": "zlib", "rowsperstrip": 16}),
        (256, {"compression": "zlib", "tile": (256, 256)}),
    ],
)
def test_a_page_tells_how_many_rows_are_decoded_at_once(tmp_path, rows, options):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5800, 5800), np.uint8), **options)
    (page,) = open_image(tmp_path / "a.tif").pages
    assert page.band_rows == rows
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((580, 580), np.uint8), **options)
    (page,) = open_image(tmp_path / "b.tif").pages
    assert page.band_rows == 0


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_channels_without_end_are_refused(tmp_path, planar):
    for number in (4096, 4097):
        shape = (2, 2, number) if planar == "contig" else (number, 2, 2)
        path = tmp_path / f"{number}.tif"
        options = {"photometric": "minisblack", "planarconfig": planar}
        tifffile.imwrite(path, np.zeros(shape, np.uint8), metadata=None, **options)
    assert len(list(planes(tmp_path / "4096.tif"))) == 4096
    with pytest.raises(FileError, match="has 4097 channels in a page; at most 4096 are read"):
        open_image(tmp_path / "4097.tif")


def test_faxes_are_refused(tmp_path):
    path = tmp_path / "fax.tif"
    Image.fromarray(np.eye(100) > 0).save(path, compression="group4")
    with pytest.raises(FileError, match=r"fax\.tif: is packed by compression 4; these are read: "):
        open_image(path)


def test_a_file_that_is_no_image_is_told_by_how_it_begins(tmp_path):
    for content, said in (
        (b"hello, world", 'it begins with the text "hello, world"'),
        (b"\0\x01\x89\xff", "it begins with the bytes 00 01 89 ff"),
        (bytes(9), "it begins with zeros"),
    ):
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.raises(FileError, match=re.escape(said)):
            open_image(tmp_path / "a.tif")


def test_a_picture_that_is_too_large_is_told_in_gigabytes_and_what_would_do(tmp_path):
    def chunk(kind, data):
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    header = struct.pack(">IIBBBBB", 1_000_000, 1_000_000, 8, 6, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    said = "would take 4,000 GB of memory, and 2.15 GB are allowed; save it as a TIFF of tiles"
    with pytest.raises(FileError, match=said):
        open_image(tmp_path / "a.png")
