"""Overlays: what is drawn where, and colours that all eyes can tell apart."""

import colorsys
from dataclasses import replace

import coded
import numpy as np
import pytest

from microscope_quality.errors import ArgumentError, ImageError, SettingsError
from microscope_quality.focus import measure_focus
from microscope_quality.model import FocusModel
from microscope_quality.optics import Optics
from microscope_quality.overlay import (
    colours,
    legend,
    level_colours,
    overlay,
    patch_colours,
    score_colours,
    visible_parts,
)
from microscope_quality.rater import rate_image

# Machado, Oliveira and Fernandes, IEEE Trans. Vis. Comput. Graph. 15, 1291 (2009), table 1,
# severity 1: what an eye without long, medium or short wave cones sees of linear RGB.
SIGHT = {
    "all cones": np.eye(3),
    "no long": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no medium": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no short": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "coded"
    coded.write(folder)
    return FocusModel.from_pretrained(folder)


def lab(rgb, sight):
    """CIE 1976 L*a*b* of sRGB bytes under D65, as seen."""
    c = np.asarray(rgb) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(sight).T, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = seen @ np.array(to_xyz).T / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


@pytest.mark.parametrize("sight", SIGHT.values(), ids=SIGHT)
def test_every_eye_can_tell_any_two_levels_apart(sight):
    colours = lab(level_colours(11), sight)
    distances = np.linalg.norm(colours[:, np.newaxis] - colours, axis=2)
    # A difference of 2.3 can just be noticed side by side.
    assert distances[~np.eye(11, dtype=bool)].min() > 3 * 2.3


@pytest.mark.parametrize("levels", [5, 11, 20])
def test_hues_run_one_way_and_do_not_wrap(levels):
    hues = [colorsys.rgb_to_hsv(*colour)[0] for colour in level_colours(levels) / 255]
    # From blue through violet and red to yellow, unrolled.
    turns = np.diff(hues) % 1
    assert (turns < 0.5).all()
    assert 0.4 < turns.sum() < 0.75


def border(picture, y, x):
    return picture[y, x + 42]


def test_borders_carry_level_and_certainty(model):
    plane = coded.plane([[0, 5], [10, None]])
    picture = overlay(plane, measure_focus(plane, model))
    assert picture.shape == (168, 168, 3)
    assert picture.dtype == np.uint8
    colours = level_colours(11)
    for (y, x), level in zip([(0, 0), (0, 84), (84, 0)], (0, 5, 10)):
        np.testing.assert_array_equal(border(picture, y, x), colours[level])
    # Without certainty there is no colour, and less light.
    unsure = border(picture, 84, 84).astype(int)
    assert np.ptp(unsure) < 10
    assert unsure.max() < colours.max(axis=1).min()


def test_lightness_rises_with_certainty(model):
    plane = coded.patch(0)
    result = measure_focus(plane, model)
    lightness = []
    for value in (0, 0.15, 0.3, 0.45):
        unsure = replace(result, patch_certainties=np.array([value]))
        lightness.append(overlay(plane, unsure)[0, 42].max())
    assert sorted(set(lightness)) == lightness


def test_the_picture_shows_through(model):
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 4000, (84, 84)).astype(np.uint16)
    picture = overlay(plane, measure_focus(plane, model)).astype(float)
    inside = slice(4, 80)
    correlation = np.corrcoef(plane[inside, inside].ravel(), picture[inside, inside, 1].ravel())
    assert correlation[0, 1] > 0.99


def test_contrast_is_stretched_whatever_the_scale(model):
    plane = coded.plane([[0, 3]])
    result = measure_focus(plane, model)
    expected = overlay(plane, result)
    for changed in (plane * 100, plane / 1e6, plane.astype(np.int32) - 5000):
        difference = overlay(changed, result).astype(int) - expected
        assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(
    "plane",
    [
        np.zeros((90, 100)),
        np.full((90, 100), 7, np.uint8),
        np.full((90, 100), np.nan),
        np.full((90, 100), np.inf),
        np.where(np.eye(90, 100) > 0, np.nan, 1.0),
        np.where(np.eye(90, 100) > 0, np.inf, np.arange(100.0)),
        np.zeros((5, 7)),
        np.arange(1.0)[:, np.newaxis],
    ],
)
def test_planes_without_content_can_be_drawn(model, plane):
    picture = overlay(plane, measure_focus(plane, model))
    assert picture.shape == (*plane.shape, 3)


def test_pixels_that_are_no_numbers_are_black(model):
    plane = np.random.default_rng(0).random((84, 84))
    plane[40, 40:43] = [np.nan, np.inf, -np.inf]
    picture = overlay(plane, measure_focus(plane, model))
    assert (picture[40, 40] == picture[40, 41]).all()
    assert picture[40, 40].max() < np.median(picture[30:50, 30:50].max(axis=2))


def test_equal_colour_channels_are_drawn_as_grey(model):
    plane = coded.patch(1)
    rgb = np.repeat(plane[..., np.newaxis], 3, axis=2)
    result = measure_focus(plane, model)
    np.testing.assert_array_equal(overlay(rgb, result), overlay(plane, result))


def test_large_planes_are_drawn_smaller_with_borders_as_sharp(model):
    plane = coded.plane([[0, 5, 9], [0, 5, 9]])
    result = measure_focus(plane, model)
    picture = overlay(plane, result, max_side=126)
    assert picture.shape == (84, 126, 3)
    colours = level_colours(11)
    for x, level in ((0, 0), (42, 5), (84, 9)):
        np.testing.assert_array_equal(picture[0, x + 20], colours[level])
    np.testing.assert_array_equal(overlay(plane, result, max_side=9999), overlay(plane, result))
    assert overlay(plane, result, max_side=1).shape == (1, 1, 3)
    with pytest.raises(SettingsError, match="max_side must be a whole number from 1"):
        overlay(plane, result, max_side=0)


def test_rescaled_patches_are_drawn_at_their_size(model):
    plane = coded.plane([[0, 5], [9, 2]])
    finer = np.repeat(np.repeat(plane, 2, axis=0), 2, axis=1)
    result = measure_focus(finer, model, optics=Optics(0.5, 1, 0.5, 0.325), rescale=True)
    picture = overlay(finer, result)
    colours = level_colours(11)
    for (y, x), level in zip([(0, 0), (0, 168), (168, 0), (168, 168)], (0, 5, 9, 2)):
        np.testing.assert_array_equal(picture[y, x + 80], colours[level])


def test_shifted_patches_have_borders_around_what_is_theirs(model):
    plane = np.pad(coded.plane([[0]]), ((0, 0), (0, 30)), mode="wrap")
    result = measure_focus(plane, model)
    result = replace(
        result, patch_levels=np.array([0.0, 9.0]), patch_certainties=np.array([1.0, 1.0])
    )
    picture = overlay(plane, result)
    colours = level_colours(11)
    np.testing.assert_array_equal(picture[0, :83], np.broadcast_to(colours[0], (83, 3)))
    np.testing.assert_array_equal(picture[40, 84], colours[9])
    np.testing.assert_array_equal(picture[40, 112], colours[9])


def test_planes_of_another_size_are_refused(model):
    result = measure_focus(coded.patch(0), model)
    with pytest.raises(SettingsError, match="90 x 84 pixels, but the result is of one with 84 x"):
        overlay(np.zeros((90, 84)), result)
    with pytest.raises(ImageError):
        overlay(np.zeros(84), result)


def test_legends_run_from_level_0_and_certainty_1():
    picture = legend(30)
    assert picture.shape == (30, 180, 3)
    colours = level_colours(11)
    np.testing.assert_array_equal(picture[0, 0], colours[0])
    np.testing.assert_array_equal(picture[0, -1], colours[10])
    assert len(np.unique(picture[0], axis=0)) == 11
    assert len(np.unique(picture[-1], axis=0)) == 1
    lightness = picture.max(axis=2).astype(int)
    assert (np.diff(lightness, axis=0) <= 0).all()


def test_visible_parts_cover_the_plane_once():
    plane = np.random.default_rng(0).integers(0, 99, (200, 311))
    result = measure_focus(plane)
    covered = np.zeros(plane.shape, int)
    for top, left, bottom, right in visible_parts(result):
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()
    assert visible_parts(measure_focus(plane[:50])).shape == (0, 4)


def test_colours_go_from_dark_to_those_of_the_levels():
    painted = colours(np.arange(11), np.ones(11), 11)
    np.testing.assert_array_equal(painted, level_colours(11))
    unsure = colours(np.arange(11), np.zeros(11), 11)
    assert (unsure == unsure[0]).all()
    grid = colours(np.arange(5)[np.newaxis], np.linspace(1, 0, 7)[:, np.newaxis], 5)
    assert grid.shape == (7, 5, 3)


def test_patches_without_content_are_dark():
    result = measure_focus(np.zeros((84, 168)))
    assert patch_colours(result).tolist() == [[52, 52, 56]] * 2


class Elsewhere:
    """An array that gives slices alone."""

    ndim = 2

    def __init__(self, pixels):
        self._pixels = pixels
        self.shape, self.dtype = pixels.shape, pixels.dtype

    def __getitem__(self, index):
        return self._pixels[index]


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_planes_outside_of_memory_are_drawn_as_those_inside(model, dtype):
    rng = np.random.default_rng(1)
    plane = coded.plane(rng.integers(0, 10, (6, 7)).tolist()).astype(dtype)
    result = measure_focus(plane, model)
    for side in (300, 588):
        one = overlay(Elsewhere(plane), result, max_side=side).astype(int)
        other = overlay(plane, result, max_side=side).astype(int)
        # The contrast is that of averages instead of pixels.
        assert one.shape == other.shape
        assert np.abs(one - other).mean() < 12
    # Up to some size, it is drawn as large as it is.
    whole = overlay(Elsewhere(plane), result).astype(int)
    np.testing.assert_allclose(whole, overlay(plane, result).astype(int), atol=1)


def test_large_planes_outside_of_memory_need_a_size(model):
    class Large:
        ndim, shape, dtype = 2, (2**13, 2**11 + 1), np.dtype(np.uint8)

        def __getitem__(self, index):
            raise AssertionError("it is refused before it is read")

    result = measure_focus(coded.plane([[3]]), model)
    with pytest.raises(SettingsError, match="max_side must be given .* as large as 8192 x 2049"):
        overlay(Large(), result)


def test_a_result_draws_itself_and_arguments_in_the_wrong_order_are_told(model):
    plane = coded.plane([[3, 0]])
    result = measure_focus(plane, model)
    np.testing.assert_array_equal(result.overlay(plane), overlay(plane, result))
    np.testing.assert_array_equal(
        result.overlay(plane, max_side=50), overlay(plane, result, max_side=50)
    )
    with pytest.raises(ArgumentError, match="plane must be the image, and result .* second"):
        overlay(result, plane)


def test_many_small_patches_have_their_colours(model):
    levels = np.random.default_rng(1).integers(0, 10, (12, 15))
    plane = coded.plane(levels.tolist())
    result = measure_focus(plane, model)
    picture = overlay(plane, result, max_side=45)
    assert picture.shape == (36, 45, 3)
    expected = level_colours(11)[levels].astype(float)
    found = picture.reshape(12, 3, 15, 3, 3).mean(axis=(1, 3))
    # The hue, whatever the light.
    expected /= np.linalg.norm(expected, axis=2, keepdims=True)
    found /= np.linalg.norm(found, axis=2, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=0.08)


def test_scores_have_the_colours_of_levels_the_other_way_round():
    np.testing.assert_array_equal(score_colours(np.linspace(1, 0.1, 11)), level_colours(11))
    with pytest.raises(SettingsError, match="scores must have"):
        score_colours([1.1])
    with pytest.raises(SettingsError, match="scores must have"):
        score_colours([np.nan])


def test_visible_parts_of_a_rating_tile_it_and_places_overlap_none(tmp_path):
    import fiji_vectors

    fiji_vectors.write_rater(tmp_path / "rater")
    plane = fiji_vectors.image({"drawn": [2, 2], "size": [600, 1100]})[0]
    covered = np.zeros(plane.shape, int)
    for top, left, bottom, right in visible_parts(rate_image(plane, tmp_path / "rater")):
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()
    sample = rate_image(plane, tmp_path / "rater", patches=1)
    parts = visible_parts(sample)
    np.testing.assert_array_equal(parts[:, :2], sample.patch_positions)
    np.testing.assert_array_equal(parts[:, 2:] - parts[:, :2], 256)
