"""Planes that stay in their file: the same pixels and errors, read where they are asked for."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from microscope_quality.errors import FileError
from microscope_quality.files import lazy
from microscope_quality.files.images import open_image, planes
from microscope_quality.files.lazy import LazyPlane, Segments

RNG = np.random.default_rng(11)
GREY = RNG.integers(0, 4000, (300, 410)).astype(np.uint16)
RGB = RNG.integers(0, 255, (300, 410, 3)).astype(np.uint8)
FLOAT = RNG.normal(0, 1, (300, 410)).astype(np.float32)

KINDS = {
    "tiles": (GREY, {"tile": (64, 128), "compression": "deflate", "predictor": True}),
    "strips": (GREY, {"rowsperstrip": 7, "compression": "lzw"}),
    "one packed strip": (GREY, {"rowsperstrip": 300, "compression": "zstd"}),
    "raw": (GREY, {}),
    "raw tiles": (GREY, {"tile": (64, 64)}),
    "big-endian": (GREY, {"byteorder": ">"}),
    "0 is white": (GREY, {"photometric": "miniswhite", "tile": (64, 64)}),
    "float predictor": (FLOAT, {"tile": (64, 64), "predictor": 3, "compression": "zstd"}),
    "jpeg": (RGB, {"tile": (64, 64), "compression": "jpeg", "photometric": "rgb"}),
    "raw rgb": (RGB, {"photometric": "rgb"}),
    "rgb, each sample by itself": (
        np.moveaxis(RGB, 2, 0).copy(),
        {"photometric": "rgb", "planarconfig": "separate", "tile": (64, 64)},
    ),
    "grey as rgb": (np.stack([GREY] * 3, axis=-1), {"photometric": "rgb", "tile": (64, 64)}),
    "rgba": (
        np.concatenate([RGB, RGB[..., :1]], axis=-1),
        {"photometric": "rgb", "extrasamples": ["unassalpha"], "tile": (64, 64)},
    ),
    "channels": (
        RGB[..., :2].copy(),
        {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": [0]},
    ),
    "stack": (np.stack([GREY, GREY + 1]), {"photometric": "minisblack", "tile": (64, 64)}),
    "imagej": (np.stack([GREY, GREY + 1]), {"imagej": True}),
    "ome": (
        np.stack([GREY, GREY + 1]),
        {"ome": True, "photometric": "minisblack", "metadata": {"axes": "CYX"}},
    ),
}


@pytest.fixture(autouse=True)
def _small_pages_are_large(monkeypatch):
    monkeypatch.setattr(lazy, "LAZY_PIXELS", 100_000)


def lazily(path, **options):
    image = open_image(path)
    return [plane for page in image.pages for plane in image.read(page, **options)]


def place(plane):
    return plane.series, plane.z, plane.c, plane.t


@pytest.mark.parametrize("luminance", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_lazy_planes_are_those_that_are_read_whole(tmp_path, kind, luminance):
    data, options = KINDS[kind]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, **options)
    expected = list(planes(path, luminance=luminance))
    found = lazily(path, luminance=luminance)
    assert [place(plane) for plane in found] == [place(plane) for plane in expected]
    for one, other in zip(found, expected):
        assert isinstance(one.array, LazyPlane)
        assert isinstance(other.array, np.ndarray)
        assert (one.array.dtype, one.array.shape) == (other.array.dtype, other.array.shape)
        assert one.array.dtype.isnative
        np.testing.assert_array_equal(np.asarray(one.array), other.array)
        for part in (np.s_[10:200:3, 300:], np.s_[299], np.s_[-1, 5], np.s_[5:5, :], np.s_[7:9]):
            np.testing.assert_array_equal(one.array[part], other.array[part])


def test_indices_that_are_none_are_refused():
    plane = LazyPlane((4, 5), np.uint8, lambda *area: np.zeros((1, 1)), "a")
    for index in ((4, 0), (slice(None, None, -1), 0), (0, 0, 0)):
        with pytest.raises(IndexError):
            plane[index]


def test_a_damaged_tile_is_named_and_the_others_are_read(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, tile=(64, 64), compression="deflate")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[9]  # the second row's third of 7
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 50)
    (plane,) = lazily(path)
    np.testing.assert_array_equal(plane.array[:64], GREY[:64])
    with pytest.raises(FileError) as caught:
        plane.array[60:70, 100:140]
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "tile 9" in said
    assert "rows 64 to 127" in said
    assert "columns 128 to 191" in said


def test_a_file_cut_short_after_it_was_opened(tmp_path):
    for kind in ("tiles", "raw"):
        data, options = KINDS[kind]
        path = tmp_path / f"{kind}.tif"
        tifffile.imwrite(path, data, **options)
        (plane,) = lazily(path)
        with path.open("r+b") as stream:
            stream.truncate(path.stat().st_size // 2)
        with pytest.raises(FileError, match=r"end|cut short"):
            np.asarray(plane.array)


@pytest.mark.parametrize("tag", ["TileByteCounts", "TileOffsets"])
def test_tiles_that_were_never_written_are_no_zeros(tmp_path, tag):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, tile=(64, 64), compression="deflate")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        values = list(tiff.pages[0].tags[tag].value)
        values[3] = 0
        tiff.pages[0].tags[tag].overwrite(values)
    with pytest.raises(FileError, match="lacks"):
        lazily(path)


def test_fewer_tiles_than_the_header_promises(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, tile=(64, 64), compression="deflate")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["ImageLength"].overwrite(500)
    for options in ({}, {"whole": True}):
        with pytest.raises(FileError, match="lacks (tiles|pixels)"):
            lazily(path, **options)


def test_a_strip_too_large_to_be_decoded_at_once_has_the_old_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(lazy, "MAX_SEGMENT_BYTES", 1000)
    monkeypatch.setattr("microscope_quality.files.lazy_tiff.MAX_SEGMENT_BYTES", 1000)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY, rowsperstrip=300, compression="deflate")
    (plane,) = lazily(path)
    assert isinstance(plane.array, np.ndarray)
    monkeypatch.setattr(lazy, "MAX_WHOLE_BYTES", 10_000)
    with pytest.raises(FileError, match="too large"):
        lazily(path)


def test_lower_resolutions_are_for_pictures(tmp_path):
    half = GREY[::2, ::2].copy()
    for name in ("inside.tif", "behind.tif"):
        path = tmp_path / name
        with tifffile.TiffWriter(path) as writer:
            options = {"tile": (64, 64), "compression": "deflate"}
            writer.write(GREY, subifds=1 if name == "inside.tif" else None, **options)
            writer.write(half, subfiletype=1, **options)
        (plane,) = lazily(path)
        assert plane.array.shape == GREY.shape
        assert [smaller.shape for smaller in plane.array.smaller] == [half.shape]
        np.testing.assert_array_equal(np.asarray(plane.array.reduced(200)), half)
        assert plane.array.reduced(206) is plane.array
        assert plane.array.reduced(1000) is plane.array


def test_segments_are_decoded_once_for_bands_and_within_a_bound(monkeypatch):
    monkeypatch.setattr(lazy, "_KEPT_BYTES", 0)
    data = np.arange(1000 * 1000, dtype=np.uint16).reshape(1000, 1000)
    decoded = []

    def decode(places):
        for row, column in places:
            decoded.append((row, column))
            yield data[row * 100 : row * 100 + 100, column * 300 : column * 300 + 300].copy()

    segments = Segments(data.shape, (100, 300), data.dtype, decode)
    for top in range(0, 1000, 21):
        bottom = min(top + 21, 1000)
        np.testing.assert_array_equal(segments(top, bottom, 0, 1000), data[top:bottom])
        # A row of segments and a quarter, each row and a segment of 300 columns.
        assert segments._kept_bytes <= 100 * 1300 * 2 * 5 // 4
    assert len(decoded) == len(set(decoded)) == 40


def test_a_large_image_takes_little_memory(tmp_path):
    """A plane of 800 MB, in a process that may not take 300 MB."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs Linux")
    import imagecodecs

    tile = imagecodecs.deflate_encode(np.full((512, 512), 7, np.uint16).tobytes(), 6)
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        (tile for _ in range(40 * 40)),
        shape=(20_000, 20_000),
        dtype=np.uint16,
        tile=(512, 512),
        compression="adobe_deflate",
    )
    code = (
        "import resource, sys\n"
        "from microscope_quality.files.images import open_image\n"
        "from microscope_quality.focus import measure_focus\n"
        "import tifffile, imagecodecs\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (300 * 2**20,) * 2)\n"
        "image = open_image(sys.argv[1])\n"
        "(plane,) = image.read(image.pages[0])\n"
        "print(int(plane.array[::, 19_990:].max()), measure_focus(plane.array[:100]).status)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.stdout.split() == ["7", "no_content"]


@pytest.mark.parametrize("order", ["<", ">"])
def test_no_page_is_decoded_by_the_rules_of_another(tmp_path, monkeypatch, order):
    """With ImageJ's description, tifffile takes all pages for alike."""
    stack = np.random.default_rng(5).integers(0, 4000, (4, 40, 56)).astype(np.uint16)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, byteorder=order) as writer:
        for z, compression in enumerate((None, None, "zlib", "lzw")):
            description = "ImageJ=1.54f\nimages=4\nslices=4\n" if z == 0 else None
            writer.write(stack[z], compression=compression, description=description, metadata=None)
    monkeypatch.setattr(lazy, "LAZY_PIXELS", 0)
    image = open_image(path)
    right = 0
    for page in image.pages:
        for whole in (False, True):
            try:
                (plane,) = image.read(page, whole=whole)
                np.testing.assert_array_equal(plane.array[:], stack[page.z])
                right += 1
            except FileError as error:
                assert "differ in size, type or compression" in str(error)
    assert right >= 4
