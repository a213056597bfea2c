"""The best plane of each z-stack as an image: its pixels, its name, the same for all channels."""

from __future__ import annotations

import json

import coded
import numpy as np
import pytest
import tifffile

from microscope_quality.errors import SettingsError
from microscope_quality.files.images import find
from microscope_quality.measuring.best_planes import BestPlanes, check_apart
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.run import Run
from microscope_quality.measuring.settings import Settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "coded"
    coded.write(folder)
    return Settings(measures=(Focus(model=str(folder)),))


def plane(level):
    return coded.plane([[level] * 2] * 2)


def write_best(settings, images, folder, by=None, out=None):
    best = BestPlanes(by)
    with Run(settings, find([images]), out) as run:
        for _ in run.measure():
            pass
        run.finish(best)
        best.write(run, folder)
    return best


def written(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): tifffile.imread(path) for path in paths}


@pytest.fixture
def stack(tmp_path):
    """A file of three planes and two channels, which are sharpest in different planes."""
    images = tmp_path / "images" / "day1"
    images.mkdir(parents=True)
    planes = np.array([[plane(a), plane(b)] for a, b in ((1, 6), (4, 3), (7, 0))])
    metadata = {"axes": "ZCYX", "unit": "um", "spacing": 1}
    tifffile.imwrite(
        images / "s.tif", planes, imagej=True, metadata=metadata, resolution=(2.0, 2.0)
    )
    return planes


def test_each_channel_has_its_own_best_plane(settings, stack, tmp_path):
    best = write_best(settings, tmp_path / "images", tmp_path / "best")
    found = written(tmp_path / "best")
    assert [*found] == ["day1/s_c0_z0.tif", "day1/s_c1_z2.tif"]
    assert np.array_equal(found["day1/s_c0_z0.tif"], stack[0, 0])
    assert np.array_equal(found["day1/s_c1_z2.tif"], stack[2, 1])
    assert sorted(best.written) == sorted((tmp_path / "best").rglob("*.tif"))
    with tifffile.TiffFile(tmp_path / "best" / "day1" / "s_c1_z2.tif") as image:
        told = json.loads(image.pages.first.description)
        assert told == {
            "file": "day1/s.tif",
            "z": 2,
            "stack": "day1/s.tif",
            "pixel_size_um": 0.5,
        }
        # Half a micrometre a pixel, in pixels for a centimetre.
        assert image.pages.first.tags["XResolution"].value == (20000, 1)


@pytest.mark.long
def test_one_channel_may_say_which_plane_is_the_best_of_all(settings, stack, tmp_path):
    write_best(settings, tmp_path / "images", tmp_path / "best", by="1")
    found = written(tmp_path / "best")
    assert [*found] == ["day1/s_c0_z2.tif", "day1/s_c1_z2.tif"]
    assert np.array_equal(found["day1/s_c0_z2.tif"], stack[2, 0])
    best = write_best(settings, tmp_path / "images", tmp_path / "other", by="GFP")
    assert best.failed == ["no channel is 'GFP'; they are 0, 1"]


@pytest.mark.long
def test_files_that_name_times_or_channels_keep_planes_of_their_own(settings, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for channel, sharpest in (("1DAPI", 2), ("2GFP", 0)):
        for t in (1, 2):
            planes = np.array([plane(3 * abs(z - sharpest)) for z in range(3)])
            name = f"cells_w{channel}_s1_t{t}.tif"
            tifffile.imwrite(images / name, planes, imagej=True, metadata={"axes": "ZYX"})
    for by in ("1DAPI", "dapi", "1"):
        best = write_best(settings, images, tmp_path / by, by=by)
        assert best.failed == []
        assert [*written(tmp_path / by)] == [
            f"cells_w{channel}_s1_t{t}_z2.tif" for channel in ("1DAPI", "2GFP") for t in (1, 2)
        ]


@pytest.mark.long
def test_a_best_plane_that_moved_leaves_nothing_behind(settings, stack, tmp_path):
    images, folder = tmp_path / "images", tmp_path / "best"
    write_best(settings, images, folder)
    tifffile.imwrite(folder / "of_others.tif", plane(0))
    planes, metadata = stack[::-1], {"axes": "ZCYX"}
    tifffile.imwrite(images / "day1" / "s.tif", planes, imagej=True, metadata=metadata)
    # Files that would have one name have two.
    tifffile.imwrite(images / "day1" / "s.tiff", planes, imagej=True, metadata=metadata)
    write_best(settings, images, folder)
    assert [*written(folder)] == [
        "day1/s.tif_c0_z2.tif",
        "day1/s.tif_c1_z0.tif",
        "day1/s.tiff_c0_z2.tif",
        "day1/s.tiff_c1_z0.tif",
        "of_others.tif",
    ]


@pytest.mark.long
def test_planes_in_files_keep_their_names(settings, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for site, sharpest in ((1, 2), (2, 0)):
        for channel in ("GFP", "DAPI"):
            for z in range(3):
                level = 3 * abs(z - (sharpest if channel == "GFP" else 1))
                name = f"B0{site}_img_{channel}_z{z + 5}.tif"
                tifffile.imwrite(images / name, plane(level))
    pattern = r"(?P<well>B\d\d)_img_(?P<channel>[A-Z]+)_(?P<z>z\d)"
    named = Settings(measures=settings.measures, pattern=pattern)
    write_best(named, images, tmp_path / "best", by="gfp")
    assert [*written(tmp_path / "best")] == [
        "B01_img_DAPI_z7.tif",
        "B01_img_GFP_z7.tif",
        "B02_img_DAPI_z5.tif",
        "B02_img_GFP_z5.tif",
    ]
    # Of a plane that is gone, the image goes.
    (images / "B01_img_GFP_z7.tif").unlink()
    write_best(named, images, tmp_path / "best")
    of_site = [name for name in written(tmp_path / "best") if name.startswith("B01_img_GFP")]
    assert of_site == ["B01_img_GFP_z6.tif"]


@pytest.mark.long
def test_what_cannot_be_written_is_said_and_the_rest_is(settings, stack, tmp_path):
    images, folder = tmp_path / "images", tmp_path / "best"
    tifffile.imwrite(
        images / "empty.tif", np.zeros((3, *plane(0).shape), np.uint8), photometric="minisblack"
    )
    (folder / "day1").mkdir(parents=True)
    (folder / "day1" / "s_c1_z2.tif").write_bytes(b"of somebody else")
    best = write_best(settings, images, folder)
    there = folder / "day1" / "s_c1_z2.tif"
    assert best.failed == [
        "empty.tif: no plane has content",
        f"day1/s.tif: {there}: is there already and was not written here; choose another folder",
    ]
    assert [path.name for path in best.written] == ["s_c0_z0.tif"]
    assert (folder / "day1" / "s_c1_z2.tif").read_bytes() == b"of somebody else"
    # What was written here is replaced.
    (folder / "day1" / "s_c1_z2.tif").unlink()
    assert len(write_best(settings, images, folder).written) == 2


def test_a_folder_that_would_be_measured_is_refused(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    with pytest.raises(SettingsError, match="best_plane is .*, within .*images, where the next"):
        check_apart(images / "best", [images])
    check_apart(tmp_path / "best", [images, images / "a.tif"])
