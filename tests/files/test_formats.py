"""Formats of microscopes' makers: files written here, read by their readers."""

import struct
import warnings

import numpy as np
import pytest
import tifffile

from microscope_quality.errors import FileError
from microscope_quality.files import formats
from microscope_quality.files.images import find, open_image, planes

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
    refused(cut, "bioio-czi")


# LIF: put together here by Leica's published layout, read by bioio-lif


def lif(images, extra=""):
    """Bytes of a LIF file of (c, z, y, x) images of 8 or 16 bits."""

    def block(content):
        return struct.pack("<II", 0x70, len(content)) + content

    def text(words):
        return struct.pack("<BI", 0x2A, len(words)) + words.encode("utf-16-le")

    elements, memory = "", b""
    for number, data in enumerate(images):
        channels, depth, height, width = data.shape
        item = data.dtype.itemsize
        lines = height * width * item
        parts = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="{8 * item}" '
            f'NameOfMeasuredQuantity="" Min="0" Max="65535" Unit="" LUTName="Gray" '
            f'IsLUTInverted="0" BytesInc="{c * depth * lines}" BitInc="0"/>'
            for c in range(channels)
        )
        sides = [(1, width, item), (2, height, width * item), (3, depth, lines)]
        dimensions = "".join(
            f'<DimensionDescription DimID="{d}" NumberOfElements="{n}" Origin="0" '
            f'Length="{(n - 1) * 0.5e-6}" Unit="m" BitInc="0" BytesInc="{step}"/>'
            for d, n, step in sides
            if n > 1
        )
        elements += (
            f'<Element Name="Series{number}" Visibility="1"><Data><Image TextDescription="">'
            f"<ImageDescription><Channels>{parts}</Channels><Dimensions>{dimensions}</Dimensions>"
            f"</ImageDescription>{extra}</Image></Data>"
            f'<Memory Size="{data.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        name = f"MemBlock_{number}"
        memory += block(struct.pack("<BQ", 0x2A, data.nbytes) + text(name)) + data.tobytes()
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="a.lif" Visibility="1"><Data>'
        '<Experiment Path="a.lif"/></Data><Memory Size="0" MemoryBlockID="MemBlock_9"/>'
        f"<Children>{elements}</Children></Element></LMSDataContainerHeader>"
    )
    return block(text(xml)) + memory


def test_lif(tmp_path):
    pytest.importorskip("bioio_lif")
    images = [
        RNG.integers(0, 4000, (2, 3, 50, 70)).astype(np.uint16),
        RNG.integers(0, 255, (1, 1, 40, 60)).astype(np.uint8),
    ]
    path = tmp_path / "a.lif"
    path.write_bytes(lif(images))
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
        assert plane.known_optics.values == {"pixel_size_um": pytest.approx(0.5)}

    cut = tmp_path / "cut.lif"
    cut.write_bytes(path.read_bytes()[:300])
    refused(cut, "bioio-lif")


@pytest.mark.parametrize("ending", [".czi", ".lif", ".nd2"])
def test_what_is_no_such_file_is_refused(tmp_path, ending):
    pytest.importorskip(formats.FORMATS[ending].module)
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"\x00no microscope wrote this" * 100)
    refused(path, formats.FORMATS[ending].package)
