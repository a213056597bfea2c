"""Tiles of images as pages show them."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.rating.shown_images import TILE, ShownImages, black_and_white

RNG = np.random.default_rng(2)
PLANE = (RNG.gamma(3, 900, size=(1100, 1403)) + 500).astype(np.uint16)
ALL = (0, 0, *PLANE.shape)


def decoded(tile):
    return np.asarray(Image.open(io.BytesIO(tile)))


def stretched(values, plane=PLANE):
    """As the page promises it: half a percent black, two in a thousand white, linear between."""
    sample = plane[:: int(np.sqrt(plane.size / 1e5)) or 1, :: int(np.sqrt(plane.size / 1e5)) or 1]
    black, white = np.percentile(sample, [0.5, 99.8])
    return np.clip((values - black) / (white - black) * 255, 0, 255)


@pytest.fixture
def shown(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PLANE)
    return ShownImages(tmp_path)


def test_at_full_resolution_each_pixel_is_the_images_own(shown):
    for row in range(3):
        for column in range(3):
            tile = decoded(shown.tile("a.tif", ALL, 0, row, column))
            part = PLANE[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
            assert tile.shape == part.shape
            assert np.abs(tile - stretched(part)).max() <= 0.5 + 1e-9


def test_contrast_is_that_of_the_whole_plane_in_a_patch_of_it(shown):
    tile = decoded(shown.tile("a.tif", (300, 411, 256, 256), 0, 0, 0))
    assert np.abs(tile - stretched(PLANE[300:556, 411:667])).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("level", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint8, np.float32, np.int32])
def test_coarser_levels_are_means_over_blocks_to_the_border(tmp_path, level, dtype):
    plane = (PLANE // (64 if dtype == np.uint8 else 1)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", plane)
    tile = decoded(ShownImages(tmp_path).tile("a.tif", ALL, level, 0, 0))
    side = 2**level
    height, width = min(1100, TILE * side), min(1403, TILE * side)
    cut = np.pad(plane[:height, :width].astype(float), [(0, -height % side), (0, -width % side)],
                 constant_values=np.nan)  # fmt: skip
    blocks = cut.reshape(cut.shape[0] // side, side, cut.shape[1] // side, side)
    means = np.nanmean(blocks, axis=(1, 3))
    assert tile.shape == means.shape
    assert np.abs(tile - stretched(means, plane)).max() <= 0.51


def test_a_plane_that_stays_in_its_file_is_shown_alike(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "large.tif", PLANE, tile=(256, 256))
    tifffile.imwrite(tmp_path / "small.tif", PLANE)
    from microscope_quality.files import images

    monkeypatch.setattr(images.lazy, "LAZY_PIXELS", 1000)
    lazy = ShownImages(tmp_path)
    with lazy.reading("large.tif") as plane:
        assert not isinstance(plane, np.ndarray)
    tiles = [(0, 1, 2), (1, 0, 0), (2, 0, 0), (3, 0, 0)]
    shown = [lazy.tile("large.tif", ALL, *tile) for tile in tiles]
    monkeypatch.undo()
    whole = ShownImages(tmp_path)
    assert shown == [whole.tile("small.tif", ALL, *tile) for tile in tiles]


def test_a_coarser_resolution_of_the_file_is_taken(tmp_path, monkeypatch):
    """It says so by being another image."""
    with tifffile.TiffWriter(tmp_path / "pyramid.ome.tif") as writer:
        full = PLANE[:1024, :1024]
        writer.write(full, subifds=1, tile=(256, 256), metadata={"axes": "YX"})
        writer.write(255 - full[::2, ::2] // 128, subfiletype=1, tile=(256, 256))
    from microscope_quality.files import images

    monkeypatch.setattr(images.lazy, "LAZY_PIXELS", 1000)
    shown = ShownImages(tmp_path)
    with shown.reading("pyramid.ome.tif") as plane:
        if not getattr(plane, "smaller", ()):
            pytest.skip("this file's smaller resolution is not known")
        smaller = np.asarray(plane.smaller[0][:, :])
        black, white = black_and_white(plane)
    tile = decoded(shown.tile("pyramid.ome.tif", (0, 0, 1024, 1024), 1, 0, 0))
    wanted = np.clip((smaller - black) / (white - black) * 255, 0, 255)
    assert np.abs(tile - wanted).max() <= 0.51


def test_pixels_that_are_no_numbers_are_black(tmp_path):
    plane = PLANE.astype(np.float32)
    plane[:40, :40] = np.nan
    plane[40:80, :40] = -np.inf
    tifffile.imwrite(tmp_path / "a.tif", plane)
    tile = decoded(ShownImages(tmp_path).tile("a.tif", ALL, 0, 0, 0))
    assert not tile[:80, :40].any()
    assert tile[100:, 100:].any()
    assert black_and_white(np.full((5, 5), np.nan)) == (0, 1)
    assert black_and_white(np.full((5, 5), 7)) == (7, 8)


@pytest.mark.parametrize(
    ("region", "tile"),
    [
        (ALL, (0, 3, 0)),
        (ALL, (2, 1, 0)),
        ((-1, 0, 20, 20), (0, 0, 0)),
        ((0, 0, 1101, 20), (0, 0, 0)),
        ((0, 1400, 20, 20), (0, 0, 0)),
        ((0, 0, 0, 0), (0, 0, 0)),
        (ALL, (-1, 0, 0)),
        (ALL, (0, -1, 0)),
        (ALL, (12, 0, 0)),
        (ALL, (2**40, 0, 0)),
    ],
)
def test_there_are_no_other_tiles(shown, region, tile):
    with pytest.raises(SettingsError, match="There is no such part of an image of 1100 x 1403"):
        shown.tile("a.tif", region, *tile)


def test_what_cannot_be_read_is_told(shown, tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"II*\0nothing")
    for name in ("bad.tif", "gone.tif"):
        with pytest.raises(FileError, match=name):
            shown.tile(name, ALL, 0, 0, 0)


def test_no_more_planes_are_held_than_fit(tmp_path):
    for k in range(12):
        tifffile.imwrite(tmp_path / f"{k}.tif", PLANE[:64, :64] + k)
    shown = ShownImages(tmp_path)
    for k in (*range(12), 0, 11):
        tile = decoded(shown.tile(f"{k}.tif", (0, 0, 64, 64), 0, 0, 0))
        assert tile.shape == (64, 64)
    assert 1 < len(shown._held) < 12
