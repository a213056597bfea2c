"""What raters say of a patch together, and the pixels that they saw."""

import numpy as np
import pytest
import tifffile

from microscope_quality.errors import FileError, ImageError, SettingsError
from microscope_quality.rating.labelled import labelled_patches, read_patches, smallest_side
from microscope_quality.rating.labels import Label

PIXELS = np.random.default_rng(0).integers(0, 60000, (90, 120)).astype(np.uint16)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").mkdir()
    tifffile.imwrite(tmp_path / "a" / "one.tif", PIXELS)
    tifffile.imwrite(
        tmp_path / "a" / "stack.tif",
        np.stack([PIXELS, PIXELS + 1, PIXELS + 2]),
        imagej=True,
        metadata={"axes": "ZYX"},
    )
    return tmp_path


def label(score, rater="", **more):
    return Label(
        **{"image": "a/one.tif", "y": 10, "x": 20, "size": 64, **more}, score=score, rater=rater
    )


def test_a_score_is_the_mean_of_raters_however_often_each_was_asked(folder):
    labels = [
        label(0.2, "Ada"),
        label(0.4, "Ada", repeat=1),
        label(0.9, "Bo"),
        label(0.5, "Bo", y=0),
    ]
    found = labelled_patches(labels, folder)
    assert [(one.y, one.labels) for one in found] == [(10, 3), (0, 1)]
    assert [one.score for one in found] == pytest.approx([(0.3 + 0.9) / 2, 0.5])
    assert found[0].path == folder / "a" / "one.tif"


def test_patches_are_cut_at_full_resolution_where_they_were_labelled(folder):
    whole = {"y": None, "x": None, "size": None}
    labels = [label(0.2), label(0.4, image="a/stack.tif#z=2", size=30), label(0.5, **whole)]
    found = labelled_patches(labels, folder)
    assert smallest_side(found) == 30
    one, plane, all_of_it = read_patches(found, 30)
    # 64 pixels hold two patches of 30 side by side; they begin and end where the label does.
    assert [tuple(crop[0, :2]) for crop in one] == [
        tuple(PIXELS[y, x : x + 2]) for y in (10, 44) for x in (20, 54)
    ]
    assert one.dtype == np.uint16
    np.testing.assert_array_equal(plane, PIXELS[np.newaxis, 10:40, 20:50] + 2)
    assert len(all_of_it) == 3 * 4
    np.testing.assert_array_equal(all_of_it[0], PIXELS[:30, :30])
    np.testing.assert_array_equal(all_of_it[-1], PIXELS[-30:, -30:])
    assert len(read_patches(found[2:], 20)[0]) == 16
    assert len(read_patches(found[2:], 90)[0]) == 1


@pytest.mark.parametrize(
    ("labels", "patch_size", "error", "said"),
    [
        ([label(0.5), label(0.5, y=0)], 30, SettingsError, "must have different scores"),
        (
            [label(0.5), label(0.6, image="b.tif"), label(0.7, image="c.tif")],
            30,
            FileError,
            r"lacks 2 of the 3 images that the labels name, the first of them b\.tif",
        ),
        (
            [label(0.5), label(0.6, y=30)],
            30,
            FileError,
            r"has 120 × 90 pixels, .* 64 × 64 at x = 20, y = 30 reaches beyond",
        ),
        ([label(0.5), label(0.6, y=0)], 65, SettingsError, "patch_size must be at most 64"),
        (
            [label(0.5), label(0.6, image="a/stack.tif")],
            30,
            FileError,
            r"several planes.* as in stack\.tif#z=0",
        ),
        ([label(0.5), label(0.6, image="a/one.tif#z=7")], 30, FileError, "no plane with z = 7"),
        ([label(0.5), label(0.6, image="nan.tif")], 30, ImageError, "no finite numbers"),
    ],
)
def test_labels_that_do_not_fit_their_images_are_refused(folder, labels, patch_size, error, said):
    tifffile.imwrite(folder / "nan.tif", np.full((90, 120), np.nan, np.float32))
    with pytest.raises(error, match=said):
        read_patches(labelled_patches(labels, folder), patch_size)
