import io
import os

import numpy as np
import pytest
import tifffile
from PIL import Image
from written_results import write_image

from microscope_quality import measure_focus
from microscope_quality.degrade import Camera
from microscope_quality.files.tables import as_text
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.items import Place
from microscope_quality.measuring.settings import Settings
from microscope_quality.report import pictures
from microscope_quality.report.pictures import (
    MOST_BYTES,
    FileWanted,
    PictureWanted,
    draw_files,
    places_of,
    thumbnail,
)
from microscope_quality.simulate import nuclei


def drawn(*files):
    return draw_files(Settings(), MOST_BYTES, files)


def opened(content):
    return Image.open(io.BytesIO(content))


def edges(shape=(300, 400)):
    """Left half dark, right half bright, on an offset."""
    plane = np.full(shape, 1000, np.uint16)
    plane[:, shape[1] // 2 :] = 9000
    return plane


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_a_thumbnail_is_the_plane_small_and_stretched(kind):
    plane = (edges() // 40).astype(kind)
    picture = opened(thumbnail(plane, 16_000))
    assert picture.format == "WEBP"
    assert picture.size == (288, 216)
    grey = np.asarray(picture.convert("L"), float)
    assert grey[:, :140].max() < 16
    assert grey[:, 150:].min() > 240


def test_pixels_that_are_no_numbers_do_not_spoil_it():
    plane = edges().astype(np.float32)
    plane[:20, :20] = np.nan
    plane[-20:, -20:] = np.inf
    grey = np.asarray(opened(thumbnail(plane, 16_000)).convert("L"), float)
    assert grey[100:200, :140].max() < 60
    assert grey[100:200, 150:].min() > 240


@pytest.mark.parametrize("most", [700, 1500, 4000, 16_000])
def test_a_thumbnail_keeps_to_its_bytes_even_of_noise(most):
    noise = np.random.default_rng(0).integers(0, 65535, (500, 700)).astype(np.uint16)
    content = thumbnail(noise, most)
    assert len(content) <= most
    assert opened(content).size[0] >= 20


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3000, 2), (20, 30)])
def test_planes_of_any_shape(shape):
    picture = opened(thumbnail(np.arange(shape[0] * shape[1], dtype=np.uint32).reshape(shape), 900))
    assert min(picture.size) >= 1 and max(picture.size) <= 288


def test_a_plane_that_is_read_piece_by_piece_is_never_asked_for_as_a_whole(monkeypatch):
    monkeypatch.setattr(pictures, "_BAND_PIXELS", 40_000)
    plane = np.random.default_rng(0).integers(0, 4000, (1200, 1000)).astype(np.uint16)

    class Lazy:
        shape, dtype, ndim = plane.shape, plane.dtype, 2
        largest = 0

        def __getitem__(self, part):
            piece = plane[part]
            self.largest = max(self.largest, piece.size)
            return piece

    lazy = Lazy()
    pieces = thumbnail(lazy, 4000)
    assert lazy.largest <= 40_000
    monkeypatch.undo()
    assert pieces == thumbnail(plane, 4000)


def test_each_plane_of_a_stack_has_its_picture(tmp_path):
    planes = np.stack([edges((96, 96)), edges((96, 96))[:, ::-1]])
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "ZYX"})
    wanted = [PictureWanted(row, Place(z=z)) for row, z in ((5, 1), (4, 0), (6, 7))]
    found = {one.row: one for one in drawn(FileWanted((path,), tuple(wanted)))}
    first, second = (np.asarray(opened(found[row].small).convert("L"), float) for row in (4, 5))
    assert first[:, 10].mean() < 30 < 220 < first[:, -10].mean()
    assert second[:, -10].mean() < 30 < 220 < second[:, 10].mean()
    assert found[6].error == "the file has no such plane"


def test_the_worst_are_measured_again_and_coloured(tmp_path):
    path = tmp_path / "a.tif"
    light = nuclei((170, 170), 12, 0)
    tifffile.imwrite(path, Camera().expose(2000 * light + 60, 0).astype(np.uint16))
    row = measure_focus(tifffile.imread(path)).to_row()
    for more, changed in ((0, False), (3, True)):
        fields = as_text({**row, "expected_level": row["expected_level"] + more}, [*row])
        wanted = PictureWanted(0, measure=Focus(), fields=fields)
        (one,) = drawn(FileWanted((path,), (wanted,)))
        assert one.changed is changed
        coloured = np.asarray(opened(one.large).convert("RGB"), int)
        assert np.ptp(coloured, axis=2).max() > 20
        assert coloured.shape == (170, 170, 3)
    wanted = PictureWanted(0, measure=Focus(model="no such model"), fields=fields)
    (one,) = drawn(FileWanted((path,), (wanted,)))
    assert one.small and not one.large
    assert "could not be measured again" in one.error


def test_a_page_that_cannot_be_read_costs_no_other(tmp_path):
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as file:
        for _ in range(3):
            file.write(edges((96, 96)), compression="zlib", photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as file:
        (start,), (length,) = file.pages[1].dataoffsets, file.pages[1].databytecounts
    content = bytearray(path.read_bytes())
    content[start : start + length] = b"\xff" * length
    path.write_bytes(content)
    wanted = [PictureWanted(z, Place(z=z)) for z in range(3)]
    first, second, third = sorted(
        drawn(FileWanted((path,), tuple(wanted))), key=lambda one: one.row
    )
    assert first.small and third.small
    assert second.error and not second.small


def test_what_cannot_be_read_is_said(tmp_path):
    (tmp_path / "text.tif").write_text("no image")
    files = [
        FileWanted((tmp_path / name,), (PictureWanted(row),))
        for row, name in enumerate(("text.tif", "absent.tif", ""))
    ]
    text, absent, folder = drawn(*files)
    assert (text.row, absent.row, folder.row) == (0, 1, 2)
    assert "is not a TIFF" in text.error
    assert absent.error == "does not exist"
    assert "is a folder" in folder.error


def test_a_file_is_found_where_it_lies_now(tmp_path):
    write_image(tmp_path / "new" / "a.tif")
    paths = places_of("a.tif", [tmp_path / "old", tmp_path / "new"])
    (one,) = drawn(FileWanted(paths, (PictureWanted(0),)))
    assert one.small


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text_is_found(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.tif")
    try:
        write_image(tmp_path / "plain.tif")
        (tmp_path / "plain.tif").rename(path)
    except OSError:
        pytest.skip("this file system takes text alone")
    in_table = path.name.encode("utf-8", "backslashreplace").decode()
    (one,) = drawn(FileWanted(places_of(in_table, [tmp_path]), (PictureWanted(0),)))
    assert one.small
