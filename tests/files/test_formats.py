"""Formats of microscopes' makers: files written here, read by their readers."""

import csv
import struct
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tifffile
from lif_files import lif
from nd2_files import nd2
from typer.testing import CliRunner

from microscope_quality.cli.app import app
from microscope_quality.errors import FileError
from microscope_quality.files import formats
from microscope_quality.files.images import find, open_image, planes
from microscope_quality.optics import Optics

pytestmark = pytest.mark.formats

RNG = np.random.default_rng(3)


def refused(path, *words):
    with pytest.raises(FileError) as caught:
        list(planes(path))
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert said.count(str(path)) == 1
    for word in words:
        assert word in said


@pytest.mark.parametrize("ending", formats.FORMATS)
def test_a_missing_reader_is_named(tmp_path, monkeypatch, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"something")
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    one = formats.FORMATS[ending]
    refused(path, ending, one.package, f"pip install 'microscope-quality[{one.extra}]'")


def test_files_are_found_whether_or_not_they_can_be_read(tmp_path):
    for name in ("b.CZI", "a.nd2", "c.lif", "d.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [name for name, _ in find([tmp_path])] == ["a.nd2", "b.CZI", "c.lif"]


def test_a_tiff_is_a_tiff_whatever_its_name(tmp_path):
    image = RNG.integers(0, 4000, (30, 40)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.nd2", image)
    (plane,) = planes(tmp_path / "a.nd2")
    np.testing.assert_array_equal(plane.array, image)


# CZI: written by pylibCZIrw, read by bioio-czi


def test_czi(tmp_path):
    pytest.importorskip("bioio_czi")
    czi = pytest.importorskip("pylibCZIrw.czi")
    data = RNG.integers(0, 4000, (2, 3, 60, 90)).astype(np.uint16)
    path = tmp_path / "a.czi"
    with czi.create_czi(str(path)) as writer:
        for c in range(2):
            for z in range(3):
                writer.write(data=data[c, z, ..., np.newaxis], plane={"C": c, "Z": z, "T": 0})
        writer.write_metadata("a", scale_x=0.25e-6, scale_y=0.25e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(planes(path))
    assert [(p.series, p.c, p.z, p.t) for p in found] == [
        (None, c, z, None) for c in range(2) for z in range(3)
    ]
    for plane in found:
        assert plane.array.dtype == np.uint16
        np.testing.assert_array_equal(plane.array, data[plane.c, plane.z])
        assert plane.known_optics.values == {"pixel_size_um": pytest.approx(0.25)}
    image = open_image(path)
    (last,) = image.read(image.pages[5])
    np.testing.assert_array_equal(last.array, data[1, 2])

    cut = tmp_path / "cut.czi"
    cut.write_bytes(path.read_bytes()[:2000])
    refused(cut, "cut short or damaged")


def czi_file(path, blocks, **writing):
    """A CZI file of blocks: pixels, and where they belong."""
    pytest.importorskip("bioio_czi")
    czi = pytest.importorskip("pylibCZIrw.czi")
    with czi.create_czi(str(path), **writing) as writer:
        for pixels, where in blocks:
            data = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
            writer.write(data=data, **{"plane": {"C": 0, "Z": 0, "T": 0}, **where})
        writer.write_metadata("x" * 500, scale_x=0.25e-6, scale_y=0.25e-6)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("depth", [1, 2])
def test_colours_of_a_czi(tmp_path, dtype, depth):
    red, green, blue = RNG.integers(0, 250, (3, depth, 60, 90)).astype(dtype)
    # In the file, blue comes first.
    bgr = np.stack([blue, green, red], axis=-1)
    path = czi_file(
        tmp_path / "a.czi", [(bgr[z], {"plane": {"C": 0, "Z": z, "T": 0}}) for z in range(depth)]
    )
    found = list(planes(path))
    places = [None] if depth == 1 else range(depth)
    assert [(p.z, p.c) for p in found] == [(z, c) for z in places for c in range(3)]
    for plane in found:
        assert plane.array.dtype == dtype
        np.testing.assert_array_equal(plane.array, (red, green, blue)[plane.c][plane.z or 0])
    (grey, *_) = planes(path, luminance=True)
    expected = 0.2126 * red[0] + 0.7152 * green[0] + 0.0722 * blue[0]
    np.testing.assert_allclose(grey.array, expected, atol=0.51)


def test_a_czi_of_equal_colours_is_one_plane(tmp_path):
    grey = RNG.integers(0, 250, (60, 90)).astype(np.uint8)
    (plane,) = planes(czi_file(tmp_path / "a.czi", [(np.dstack([grey] * 3), {})]))
    assert plane.c is None
    np.testing.assert_array_equal(plane.array, grey)


@pytest.mark.parametrize("packing", ["uncompressed:", "zstd1:ExplicitLevel=3"])
def test_tiles_of_a_czi_are_series(tmp_path, packing):
    tiles = RNG.integers(0, 9, (3, 2, 60, 90)).astype(np.uint16)
    blocks = [
        (tiles[k, z], {"location": (90 * k, 0), "plane": {"C": 0, "Z": z, "T": 0}})
        for z in range(2)
        for k in range(3)
    ]
    found = list(planes(czi_file(tmp_path / "a.czi", blocks, compression_options=packing)))
    assert [(p.series, p.z, p.t) for p in found] == [(k, z, None) for k in range(3) for z in (0, 1)]
    for plane in found:
        np.testing.assert_array_equal(plane.array, tiles[plane.series, plane.z])


def test_a_plane_that_a_czi_lacks_is_that_planes_error(tmp_path):
    data = RNG.integers(0, 4000, (60, 90)).astype(np.uint16)
    blocks = [(data, {"plane": {"C": c, "Z": c, "T": 0}}) for c in range(2)]
    image = open_image(czi_file(tmp_path / "a.czi", blocks))
    assert [(page.c, page.z) for page in image.pages] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for page in image.pages:
        if page.c == page.z:
            (plane,) = image.read(page)
            np.testing.assert_array_equal(plane.array, data)
        else:
            with pytest.raises(
                FileError, match=r"incomplete: the plane of c \d t 0 z \d is not in"
            ):
                image.read(page)


@pytest.mark.parametrize("same", [True, False])
def test_scenes_of_a_czi_are_series(tmp_path, same):
    data = [RNG.integers(0, 4000, (3, 60, 90)).astype(np.uint16) for _ in range(2)]
    if not same:
        data[1] = data[1][:2, :50, :40]
    blocks = [
        (data[s][z], {"location": (200 * s, 0), "scene": s, "plane": {"C": 0, "Z": z, "T": 0}})
        for s in range(2)
        for z in range(len(data[s]))
    ]
    path = czi_file(tmp_path / "a.czi", blocks)
    # ZEN tells of scenes in the metadata, for which the long title makes room.
    scenes = b"<Dimensions><S><Scenes><Scene Name='a'/><Scene Name='b'/></Scenes></S></Dimensions>"
    content = path.read_bytes().replace(b"<SizeX>", scenes + b"<SizeX>", 1)
    path.write_bytes(content.replace(b"x" * 500, b"x" * (500 - len(scenes))))
    found = list(planes(path))
    assert [(p.series, p.z) for p in found] == [
        (s, z) for s in range(2) for z in range(len(data[s]))
    ]
    for plane in found:
        np.testing.assert_array_equal(plane.array, data[plane.series][plane.z])
        assert plane.known_optics.values == {"pixel_size_um": pytest.approx(0.25)}


def test_scenes_of_a_czi_that_its_metadata_do_not_tell(tmp_path):
    data = RNG.integers(0, 4000, (3, 60, 90)).astype(np.uint16)
    # The second one was not taken; the third has two tiles.
    places = [(0, 0), (200, 2), (400, 2)]
    blocks = [(d, {"location": (x, 0), "scene": s}) for d, (x, s) in zip(data, places)]
    found = list(planes(czi_file(tmp_path / "a.czi", blocks)))
    assert [plane.series for plane in found] == [0, 1, 2]
    for plane, expected in zip(found, data):
        np.testing.assert_array_equal(plane.array, expected)


@pytest.mark.parametrize("colours_first", [True, False])
def test_a_czi_of_grey_and_coloured_channels(tmp_path, colours_first):
    grey = RNG.integers(0, 4000, (60, 90)).astype(np.uint8)
    bgr = RNG.integers(0, 250, (60, 90, 3)).astype(np.uint8)
    data = [bgr, grey] if colours_first else [grey, bgr]
    blocks = [(data[c], {"plane": {"C": c, "Z": 0, "T": 0}}) for c in range(2)]
    path = czi_file(tmp_path / "a.czi", blocks)
    colours = [bgr[..., 2], bgr[..., 1], bgr[..., 0]]
    expected = [*colours, grey] if colours_first else [grey, *colours]
    found = list(planes(path))
    assert [plane.c for plane in found] == ([0, 1, 2, 3] if colours_first else [0, 3, 4, 5])
    for plane, pixels in zip(found, expected):
        np.testing.assert_array_equal(plane.array, pixels)
    assert [plane.c for plane in planes(path, luminance=True)] == [0, 1]


@pytest.mark.parametrize("length", [-1, 0, 3])
def test_the_length_of_a_czis_block_along_channels_does_not_matter(tmp_path, length):
    data = RNG.integers(0, 4000, (2, 60, 90)).astype(np.uint16)
    blocks = [(data[c], {"plane": {"C": c, "Z": 0, "T": 0}}) for c in range(2)]
    path = czi_file(tmp_path / "a.czi", blocks)
    content = path.read_bytes()
    entry = struct.Struct("<4siifi")
    for c in range(2):
        old = entry.pack(b"C", c, 1, 0.0, 1)
        assert content.count(old) == 2  # in the directory and in the block
        content = content.replace(old, entry.pack(b"C", c, length, 0.0, 1))
    path.write_bytes(content)
    found = list(planes(path))
    assert [plane.c for plane in found] == [0, 1]
    for plane in found:
        np.testing.assert_array_equal(plane.array, data[plane.c])


def test_a_czi_is_opened_without_its_native_library(tmp_path):
    data = RNG.integers(0, 4000, (60, 90)).astype(np.uint16)
    path = czi_file(tmp_path / "a.czi", [(data, {})])
    code = (
        "import sys; from microscope_quality.files.images import open_image; "
        f"print(len(open_image({str(path)!r}).pages), '_aicspylibczi' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"]


def test_a_czi_cut_anywhere_is_refused(tmp_path):
    data = RNG.integers(0, 4000, (3, 20, 30)).astype(np.uint16)
    blocks = [(data[z], {"plane": {"C": 0, "Z": z, "T": 0}}) for z in range(3)]
    whole = czi_file(tmp_path / "a.czi", blocks).read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "cut.czi").write_bytes(whole[:length])
        refused(tmp_path / "cut.czi")


def test_a_czi_whose_directory_lies(tmp_path):
    data = RNG.integers(0, 4000, (20, 30)).astype(np.uint16)
    whole = czi_file(tmp_path / "a.czi", [(data, {})]).read_bytes()
    directory = whole.index(b"ZISRAWDIRECTORY")
    block = whole.index(b"ZISRAWSUBBLOCK")
    width = whole.index(b"X\0\0\0", directory)
    for at, form, value, words in (
        (directory + 24, "<q", 2**60, "ends beyond the file's end"),
        (directory + 32, "<i", 2**31 - 1, "its directory has 2147483647 entries"),
        (directory + 32, "<i", 2, "its directory is cut short"),
        (width + 8, "<i", 2**30, "has 1073741824 numbers from 0 along"),
        (width + 8, "<i", 0, "0 numbers"),
        (width + 16, "<i", 31, "holds no image in full resolution"),
        (block + 24, "<q", 2**60, "ends beyond the file's end"),
        (block + 40, "<q", 2**60, "not all there"),
        (block + 40, "<q", 5, "has 5 bytes of pixels in place of 1200"),
    ):
        changed = bytearray(whole)
        struct.pack_into(form, changed, at, value)
        (tmp_path / "b.czi").write_bytes(changed)
        refused(tmp_path / "b.czi", words)


# LIF: put together by Leica's published layout, read by liffile


def test_lif(tmp_path):
    pytest.importorskip("liffile")
    images = [
        RNG.integers(0, 4000, (2, 3, 50, 70)).astype(np.uint16),
        RNG.integers(0, 255, (1, 1, 40, 60)).astype(np.uint8),
    ]
    path = tmp_path / "a.lif"
    objective = '<Attachment><Setting NumericalAperture="0.7" Immersion="DRY"/></Attachment>'
    path.write_bytes(lif(images, objective))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(planes(path))
    assert [(p.series, p.c, p.z, p.t) for p in found] == [
        *((0, c, z, None) for c in range(2) for z in range(3)),
        (1, None, None, None),
    ]
    for plane in found:
        data = images[plane.series]
        assert plane.array.dtype == data.dtype
        np.testing.assert_array_equal(plane.array, data[plane.c or 0, plane.z or 0])
        assert plane.known_optics.values == {
            "na": 0.7,
            "refractive_index": 1.0,
            "pixel_size_um": pytest.approx(0.5),
        }

    cut = tmp_path / "cut.lif"
    cut.write_bytes(path.read_bytes()[:300])
    refused(cut, "liffile")


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_colours_of_a_lif(tmp_path, order):
    pytest.importorskip("liffile")
    colours = dict(zip("RGB", RNG.integers(0, 250, (3, 40, 60)).astype(np.uint8)))
    path = tmp_path / "a.lif"
    path.write_bytes(lif([np.stack([colours[one] for one in order])[:, np.newaxis]], "", order))
    found = list(planes(path))
    assert [p.c for p in found] == [0, 1, 2]
    for plane in found:
        np.testing.assert_array_equal(plane.array, colours["RGB"[plane.c]])


def test_a_scan_of_a_line_is_an_error_beside_the_images_of_a_project(tmp_path):
    pytest.importorskip("liffile")
    data = RNG.integers(0, 250, (1, 1, 40, 60)).astype(np.uint8)
    path = tmp_path / "a.lif"
    path.write_bytes(lif([data, RNG.integers(0, 250, (1, 3, 1, 60)).astype(np.uint8), data]))
    first, line, last = (image := open_image(path)).pages
    assert [page.series for page in (first, line, last)] == [0, 1, 2]
    for page in (first, last):
        np.testing.assert_array_equal(image.read(page)[0].array, data[0, 0])
    with pytest.raises(FileError, match="has pictures of z and x; those of y and x can be"):
        image.read(line)


# ND2: put together from what the nd2 library reads, which is what judges it


OPTICS = {"dCalibration": 0.325, "dObjectiveNA": 0.75, "dRefractIndex1": 1.0}


def nd2_file(path, frames, **options):
    pytest.importorskip("bioio_nd2")
    path.write_bytes(nd2(frames, **options))
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_nd2(tmp_path, dtype, packed):
    data = RNG.integers(0, 250, (3, 60, 90, 2)).astype(dtype)
    options = {"loops": [("z", 3)], "optics": OPTICS, "wavelengths_nm": [520.0, 600.0]}
    path = nd2_file(tmp_path / "a.nd2", data, packed=packed, **options)
    library = pytest.importorskip("nd2")
    with library.ND2File(path) as file:
        assert dict(file.sizes) == {"Z": 3, "C": 2, "Y": 60, "X": 90}
        assert file.voxel_size().x == 0.325
        assert file.metadata.channels[1].microscope.objectiveNumericalAperture == 0.75
        np.testing.assert_array_equal(file.asarray(), np.moveaxis(data, 3, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(planes(path))
    assert len(open_image(path).pages) == 6
    assert [(p.series, p.z, p.c, p.t) for p in found] == [
        (None, z, c, None) for z in range(3) for c in range(2)
    ]
    for plane in found:
        assert plane.array.dtype == dtype
        np.testing.assert_array_equal(plane.array, data[plane.z, ..., plane.c])
        assert plane.optics == Optics(0.75, 1.0, (0.52, 0.6)[plane.c], 0.325)


def test_an_nd2s_optics_give_micrometres_in_the_results(tmp_path):
    data = RNG.integers(0, 4000, (1, 100, 100, 1)).astype(np.uint16)
    path = nd2_file(tmp_path / "a.nd2", data, optics=OPTICS, wavelengths_nm=[520.0])
    arguments = ["measure", str(path), "--out", str(tmp_path / "out"), "--jobs", "1"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    with (tmp_path / "out" / "results.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    optics = Optics(0.75, 1.0, 0.52, 0.325)
    expected = optics.defocus_of_added_blur(float(row["blur_diameter_px"]))
    assert float(row["defocus_um"]) == pytest.approx(expected, rel=1e-4)


def test_positions_and_times_of_an_nd2(tmp_path):
    data = RNG.integers(0, 250, (2, 3, 20, 30, 1)).astype(np.uint8)
    # Of each time, all positions.
    path = nd2_file(
        tmp_path / "a.nd2", data.reshape(6, 20, 30, 1), loops=[("t", 2), ("p", 3)], optics=OPTICS
    )
    found = list(planes(path))
    assert [(p.series, p.t) for p in found] == [(p, t) for p in range(3) for t in range(2)]
    for plane in found:
        np.testing.assert_array_equal(plane.array, data[plane.t, plane.series, ..., 0])


def test_colours_of_an_nd2(tmp_path):
    # As NIS-Elements stores them: https://github.com/ome/bioformats/pull/4321
    bgr = RNG.integers(0, 250, (1, 20, 30, 3)).astype(np.uint8)
    found = list(planes(nd2_file(tmp_path / "a.nd2", bgr, rgb=True)))
    assert [p.c for p in found] == [0, 1, 2]
    for plane in found:
        np.testing.assert_array_equal(plane.array, bgr[0, ..., 2 - plane.c])


@pytest.mark.parametrize("packed", [False, True])
def test_padded_rows_of_an_nd2(tmp_path, packed):
    data = RNG.integers(0, 250, (1, 20, 32, 1)).astype(np.uint8)
    path = nd2_file(tmp_path / "a.nd2", data, attributes={"uiWidth": 30}, packed=packed)
    (plane,) = planes(path)
    np.testing.assert_array_equal(plane.array, data[0, :, :30, 0])


def test_a_frame_that_an_nd2_lacks_is_its_error(tmp_path):
    data = RNG.integers(1, 250, (3, 20, 30, 1)).astype(np.uint8)
    path = nd2_file(tmp_path / "a.nd2", data, loops=[("z", 3)], left_out=[1])
    image = open_image(path)
    for page in image.pages:
        if page.z == 1:
            with pytest.raises(FileError, match="incomplete: frame 1 is not in it"):
                image.read(page)
        else:
            np.testing.assert_array_equal(image.read(page)[0].array, data[page.z, ..., 0])


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_nd2_is_refused(tmp_path, packed):
    data = RNG.integers(1, 250, (2, 20, 30, 1)).astype(np.uint8)
    path = nd2_file(tmp_path / "a.nd2", data, loops=[("z", 2)], packed=packed)
    whole = path.read_bytes()
    for length in (*range(1, len(whole), 499), len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path)
    path.write_bytes(nd2(data, loops=[("z", 2)], packed=packed, attributes={"uiHeight": 21}))
    refused(path, "frame 0 has 600 bytes of pixels in place of 630")
    path.write_bytes(nd2(data, loops=[("z", 2)], packed=packed, attributes={"uiWidth": 2**31}))
    refused(path, "is too large: 20 × 2147483648 pixels")
    path.write_bytes(nd2(data, loops=[("z", 2**31)], packed=packed))
    refused(path, "is too large: it has 2147483648 planes")
    # Another chunk where the frame should be.
    other = whole.replace(b"ImageDataSeq|1!", b"ImageDataSeq|7!", 1)
    path.write_bytes(other)
    refused(path, "frame 1 is not where it should be")


def test_an_nd2_that_unpacks_to_more_than_it_says(tmp_path):
    data = np.zeros((1, 2000, 3000, 1), np.uint8)
    changes = {"uiWidth": 30, "uiWidthBytes": 30, "uiHeight": 20}
    path = nd2_file(tmp_path / "a.nd2", data, packed=True, attributes=changes)
    assert path.stat().st_size < 20_000
    refused(path, "frame 0 has", "in place of 600")


@pytest.mark.parametrize("ending", [".czi", ".lif", ".nd2"])
def test_what_is_no_such_file_is_refused(tmp_path, ending):
    pytest.importorskip(formats.FORMATS[ending].module)
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"\x00no microscope wrote this" * 100)
    refused(path, "damaged")


DTD = '<!DOCTYPE a [<!ENTITY x "y">]>'


@pytest.mark.skipif(sys.version_info < (3, 11), reason="liffile needs Python 3.11")
def test_xml_of_a_lif_with_a_document_type_is_refused(tmp_path):
    words = (DTD + "<LMSDataContainerHeader/>").encode("utf-16-le")
    text = struct.pack("<BI", 0x2A, len(words) // 2) + words
    (tmp_path / "a.lif").write_bytes(struct.pack("<II", 0x70, len(text)) + text)
    refused(tmp_path / "a.lif", "DOCTYPE")
    text = struct.pack("<BI", 0x2A, 2**31) + words
    (tmp_path / "a.lif").write_bytes(struct.pack("<II", 0x70, len(text)) + text)
    refused(tmp_path / "a.lif", "description has 2147483648 characters")


def test_xml_of_a_czi_with_a_document_type_is_refused(tmp_path):
    path = czi_file(tmp_path / "a.czi", [(np.zeros((60, 90), np.uint16), {})])
    content = path.read_bytes()
    begin = content.index(b"ZISRAWMETADATA") + 32 + 256
    for encoding in ("utf-8", "utf-16"):
        xml = f'<?xml version="1.0" encoding="{encoding}"?>{DTD}<a/>'.encode(encoding)
        end = begin + len(xml)
        path.write_bytes(content[:begin] + xml + content[end:])
        refused(path, "DOCTYPE")


def test_xml_of_an_nd2_with_a_document_type_is_refused(tmp_path):
    content = bytearray(nd2(np.zeros((1, 20, 30, 1), np.uint16)))
    at = content.index(b"ImageMetadataSeqLV|0!")
    (n_name,) = struct.unpack_from("<I", content, at - 12)
    xml = f"{DTD}<a/>".encode()
    content[at + n_name : at + n_name + len(xml)] = xml
    (tmp_path / "a.nd2").write_bytes(content)
    refused(tmp_path / "a.nd2", "DOCTYPE")
