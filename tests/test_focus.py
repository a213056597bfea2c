"""Measuring planes and points, with a model whose answers are known beforehand."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from math import isnan, nan
from pathlib import Path

import coded
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from microscope_quality.errors import ImageError, ModelNotFoundError, SettingsError
from microscope_quality.focus import measure_at, measure_focus
from microscope_quality.model import FocusModel
from microscope_quality.optics import BLUR_PX_PER_LEVEL, TRAINING_OPTICS, Optics
from microscope_quality.planes import is_lazy
from microscope_quality.spectrum import HINT

INTEGERS = [np.uint8, np.int16, np.uint16, np.uint32, np.int32, np.uint64, np.int64]
FLOATS = [np.float16, np.float32, np.float64, np.longdouble]
OIL = Optics(na=1.4, refractive_index=1.515, wavelength_um=0.52, pixel_size_um=0.108)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "coded"
    coded.write(folder)
    return FocusModel.from_pretrained(folder)


@pytest.fixture(scope="module")
def plain():
    """A plane of 4 patches at level 3."""
    return coded.plane([[3, 3], [3, 3]])


def assert_same(a, b):
    np.testing.assert_allclose(a.patch_probabilities, b.patch_probabilities, atol=1e-5)
    assert a.level == b.level or (isnan(a.level) and isnan(b.level))
    assert a.status == b.status


def assert_undefined(result, status="no_content"):
    assert isnan(result.level)
    assert isnan(result.expected_level)
    assert isnan(result.blur_diameter_px)
    assert isnan(result.defocus_um)
    assert np.isnan(result.probabilities).all()
    assert np.isnan(result.product_probabilities).all()
    assert result.certainty == result.mean_certainty == result.max_certainty == 0
    assert result.weighted_certainty == 0
    assert result.status == status
    assert result.message


def test_a_plane_of_one_level(model, plain):
    result = measure_focus(plain, model)
    assert result.level == 3
    assert result.expected_level == pytest.approx(3, abs=0.05)
    assert result.probabilities.shape == result.product_probabilities.shape == (11,)
    assert result.probabilities.argmax() == result.product_probabilities.argmax() == 3
    assert result.product_probabilities[3] > result.probabilities[3]
    assert result.status == "out_of_focus"
    # The patches are white noise.
    assert result.message == HINT
    assert result.blur_diameter_px == pytest.approx(BLUR_PX_PER_LEVEL * result.expected_level)
    assert isnan(result.defocus_um)
    assert (result.height, result.width) == (168, 168)
    assert result.patch_size_px == 84
    np.testing.assert_array_equal(result.patch_positions, [[0, 0], [0, 84], [84, 0], [84, 84]])
    np.testing.assert_array_equal(result.patch_levels, [3, 3, 3, 3])
    assert result.patch_probabilities.shape == (4, 11)


def test_certainties_are_those_of_the_patches(model):
    result = measure_focus(coded.plane([[0, 0.5], [None, 8]]), model)
    p, c = result.patch_probabilities, result.patch_certainties
    entropies = [-sum(q * np.log(q) for q in row if q > 0) for row in p]
    np.testing.assert_allclose(c, 1 - np.array(entropies) / np.log(11), atol=1e-6)
    # Level ½ is told as 0 or 1, even chances: 1 - ln 2 / ln 11, and a little for level 2.
    assert 0.6 < c[1] < c[0]
    assert c[2] == pytest.approx(0, abs=1e-6)
    assert result.mean_certainty == pytest.approx(c.mean())
    assert result.max_certainty == c.max()
    assert result.weighted_certainty == pytest.approx((c**2).sum() / c.sum())
    np.testing.assert_allclose(result.probabilities, c @ p / c.sum(), atol=1e-9)
    np.testing.assert_allclose(result.patch_expected_levels, p @ np.arange(11))


@pytest.mark.parametrize(
    ("levels", "status"),
    [
        ([[0, 0], [0, 0]], "in_focus"),
        ([[1, 1], [1, 1]], "in_focus"),
        ([[2, 2], [2, 2]], "out_of_focus"),
        ([[None, None], [None, None]], "no_content"),
        # One sure patch of four is more than chance gives.
        ([[None, None], [None, 0]], "in_focus"),
        # A fifth of the sure patches may lie further off than 1.5 levels, more may not.
        ([[0, 0, 0, 0, 3]], "in_focus"),
        ([[0, 0, 0, 3]], "mixed"),
        ([[1, 1, 1, 2]], "in_focus"),
        ([[4, 4, 4, 3]], "out_of_focus"),
        ([[None, None, None, 0, 0, 0, 9]], "mixed"),
    ],
)
def test_status(model, levels, status):
    assert measure_focus(coded.plane(levels), model).status == status


def test_a_plane_is_judged_by_its_expected_level(model):
    mixed = measure_focus(coded.plane([[0, 0, 0, 0, 9, 9, 9]]), model)
    assert (mixed.status, mixed.level) == ("mixed", 0)
    assert mixed.judged_level == mixed.expected_level == pytest.approx(27 / 7, abs=0.1)
    assert measure_focus(coded.plane([[3]]), model).judged_level == pytest.approx(3, abs=0.02)
    assert measure_focus(coded.plane([[None]]), model).judged_level is None


def test_the_in_focus_limit_is_the_callers(model, plain):
    expected = measure_focus(plain, model).expected_level
    assert measure_focus(plain, model, in_focus_limit=expected).status == "in_focus"
    assert measure_focus(plain, model, in_focus_limit=expected - 1e-6).status == "out_of_focus"
    for limit in (-1, 11, nan):
        with pytest.raises(SettingsError, match="in_focus_limit must be from 0 to 10"):
            measure_focus(plain, model, in_focus_limit=limit)


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_any_type_gives_the_same(model, plain, dtype):
    result = measure_focus(plain.astype(dtype), model)
    assert_same(result, measure_focus(plain, model))
    assert isnan(result.saturated_fraction) == (np.dtype(dtype).kind == "f")


@pytest.mark.parametrize("order", [">u2", "<u2", ">f4"])
def test_any_byte_order_gives_the_same(model, plain, order):
    assert_same(measure_focus(plain.astype(order), model), measure_focus(plain, model))


@settings(max_examples=30, deadline=None)
@given(gain=st.floats(1e-6, 1e6), offset=st.floats(-100, 100))
def test_gain_and_offset_do_not_matter(model, plain, gain, offset):
    result = measure_focus(gain * (plain.astype(np.float64) + offset), model)
    assert_same(result, measure_focus(plain, model))


def test_negative_values_are_values(model, plain):
    assert_same(measure_focus(plain.astype(np.int16) - 1000, model), measure_focus(plain, model))
    assert_same(measure_focus(-1.0 * plain - 7, model), measure_focus(-1.0 * plain, model))


def test_memory_layout_does_not_matter(model, plain):
    expected = measure_focus(plain, model)
    wide = np.repeat(np.repeat(plain, 2, axis=0), 3, axis=1)
    read_only = plain.copy()
    read_only.flags.writeable = False
    for view in (
        wide[::2, ::3],
        np.asfortranarray(plain),
        plain[::-1, ::-1][::-1, ::-1],
        read_only,
        plain.tolist(),
    ):
        assert_same(measure_focus(view, model), expected)
    assert plain.flags.writeable


def test_the_plane_and_mask_are_left_as_they_were(model, plain):
    plane, mask = plain.astype(float), np.ones(plain.shape, bool)
    plane[0, 0], mask[1, 1] = nan, False
    before = plane.copy(), mask.copy()
    measure_focus(plane, model, mask=mask, optics=OIL, rescale=True)
    measure_at(plane, [(5, 5)], model, mask=mask)
    np.testing.assert_array_equal(plane, before[0])
    np.testing.assert_array_equal(mask, before[1])


@pytest.mark.parametrize("value", [0, 1, 4095, 65535])
def test_constant_planes_have_no_content(model, value):
    result = measure_focus(np.full((100, 200), value, np.uint16), model)
    assert_undefined(result)
    assert result.message == "All patches are constant."
    assert result.saturated_fraction == (1 if value == 65535 else 0)
    assert len(result.patch_levels) == len(result.patch_positions) == 6
    assert np.isnan(result.patch_levels).all()
    np.testing.assert_array_equal(result.patch_certainties, 0)


@pytest.mark.parametrize("shape", [(83, 500), (500, 83), (1, 1), (83, 83)])
def test_planes_smaller_than_a_patch_are_too_small(model, shape):
    plane = np.random.default_rng(0).integers(0, 99, shape)
    result = measure_focus(plane, model)
    assert_undefined(result, "too_small")
    assert f"{shape[0]} x {shape[1]} pixels; a patch needs 84 x 84" in result.message
    assert result.patch_probabilities.shape == (0, 11)
    assert result.patch_positions.shape == (0, 2)
    assert (result.height, result.width) == shape


def test_the_smallest_plane_is_one_patch(model):
    result = measure_focus(coded.patch(7), model)
    assert result.level == 7
    np.testing.assert_array_equal(result.patch_positions, [[0, 0]])
    assert result.product_probabilities == pytest.approx(result.probabilities, abs=1e-6)


def test_the_last_row_and_column_are_shifted_inwards(model):
    plane = np.pad(coded.plane([[0, 0], [0, 0]]), ((0, 10), (0, 20)), mode="edge")
    places = measure_focus(plane, model).patch_positions
    assert sorted(set(places[:, 0])) == [0, 84, 94]
    assert sorted(set(places[:, 1])) == [0, 84, 104]


@pytest.mark.parametrize("wrong", [nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_are_left_out(model, plain, wrong):
    plane = plain.astype(np.float32)
    plane[:2, :] = wrong
    result = measure_focus(plane, model)
    assert result.message == f"NaN and infinite pixels were left out: 336. {HINT}"
    mask = np.ones(plain.shape, bool)
    mask[:2] = False
    assert_same(result, measure_focus(plain, model, mask=mask))
    everything = measure_focus(np.full((84, 84), wrong), model)
    assert_undefined(everything)
    assert everything.message.endswith("No patch is at least half unmasked.")


def test_masks_choose_the_patches_that_count(model):
    plane = coded.plane([[0, 9], [0, 9]])
    mask = np.zeros(plane.shape, np.uint8)
    mask[:, :84] = 255
    result = measure_focus(plane, model, mask=mask)
    assert result.level == 0
    np.testing.assert_array_equal(result.patch_levels, [0, nan, 0, nan])
    # Means are over the patches that count.
    counted = result.patch_certainties[[0, 2]]
    assert result.mean_certainty == pytest.approx(counted.mean())
    np.testing.assert_array_equal(result.patch_certainties[[1, 3]], 0)


def test_constant_patches_count_towards_the_mean_certainty(model):
    plane = coded.plane([[0, 0]])
    plane[:, 84:] = 7
    result = measure_focus(plane, model)
    assert result.mean_certainty == pytest.approx(result.patch_certainties[0] / 2)
    assert result.level == 0


def test_masked_pixels_have_no_influence(model):
    plane = coded.plane([[4, 4]])
    mask = np.random.default_rng(5).random(plane.shape) < 0.9
    spoilt = np.where(mask, plane, 60000)
    assert_same(measure_focus(spoilt, model, mask=mask), measure_focus(plane, model, mask=mask))
    masked = np.ma.MaskedArray(spoilt, ~mask)
    assert_same(measure_focus(masked, model), measure_focus(plane, model, mask=mask))


def test_a_mask_that_leaves_nothing(model, plain):
    result = measure_focus(plain, model, mask=np.zeros(plain.shape, bool))
    assert_undefined(result)
    assert result.message == "No patch is at least half unmasked."
    assert isnan(result.saturated_fraction)


@pytest.mark.parametrize("shape", [(168,), (167, 168), (168, 168, 1), (1, 168)])
def test_masks_of_another_shape_are_refused(model, plain, shape):
    with pytest.raises(SettingsError, match=r"mask must have the image's shape \(168, 168\)"):
        measure_focus(plain, model, mask=np.ones(shape, bool))


def test_equal_colour_channels_are_one_grey_image(model, plain):
    rgb = np.repeat(plain[..., np.newaxis], 3, axis=2)
    assert_same(measure_focus(rgb, model), measure_focus(plain, model))
    floats = rgb.astype(float)
    floats[0, 0] = nan
    assert "left out: 1." in measure_focus(floats, model).message
    hidden = np.ma.MaskedArray(rgb, np.zeros(rgb.shape, bool))
    hidden[:84, :, 1] = np.ma.masked
    np.testing.assert_array_equal(measure_focus(hidden, model).patch_levels, [nan, nan, 3, 3])


def test_different_colour_channels_are_refused(model, plain):
    rgb = np.repeat(plain[..., np.newaxis], 3, axis=2)
    rgb[5, 5, 1] += 1
    with pytest.raises(ImageError, match=r"channels differ: .*image\[\.\.\., 0\].*luminance"):
        measure_focus(rgb, model)


@pytest.mark.parametrize("shape", [(100,), (2, 100, 100), (100, 100, 4), (100, 100, 1), ()])
def test_other_numbers_of_dimensions_are_refused(model, shape):
    with pytest.raises(ImageError, match=r"must have two dimensions.*measure_stack"):
        measure_focus(np.ones(shape), model)


@pytest.mark.parametrize("shape", [(0, 0), (0, 100), (100, 0), (0,), (100, 100, 0)])
def test_arrays_without_pixels_are_refused(model, shape):
    with pytest.raises(ImageError, match="needs pixels"):
        measure_focus(np.empty(shape), model)


def test_arrays_that_are_no_image_are_refused(model):
    with pytest.raises(ImageError, match="is boolean, as a mask is.*Give the image itself"):
        measure_focus(np.ones((100, 100), bool), model)
    for array in (
        np.ones((100, 100), complex),
        np.full((100, 100), "a"),
        np.full((100, 100), None),
        None,
        np.zeros((100, 100), "M8[s]"),
    ):
        with pytest.raises(ImageError, match="integers or floats"):
            measure_focus(array, model)


@settings(max_examples=40, deadline=None)
@given(
    top=st.integers(300, 60000),
    step=st.sampled_from([1, 4, 16, 37]),
    offset=st.integers(0, 500),
    share=st.floats(0.01, 0.3),
    seed=st.integers(0, 99),
)
def test_clipping_is_seen_at_any_value(model, top, step, offset, share, seed):
    rng = np.random.default_rng(seed)
    light = rng.gamma(2, 1, (90, 200))
    grey = np.clip(light / np.quantile(light, 1 - share) * top, 0, top).astype(np.int64)
    plane = (grey * step + offset).astype(np.uint32)
    result = measure_focus(plane, model)
    assert result.saturated_fraction == np.mean(grey == top)
    mask = np.arange(200) < 150
    masked = measure_focus(plane, model, mask=np.broadcast_to(mask, plane.shape))
    assert masked.saturated_fraction == np.mean((grey == top)[:, mask])
    assert measure_focus(Elsewhere(plane), model).saturated_fraction == result.saturated_fraction
    # The same light with room above, and one bright pixel.
    room = (light / light.max() * top).astype(np.uint32) * step
    room[5, 5] = 2 * room.max()
    assert measure_focus(room, model).saturated_fraction == 0


@pytest.mark.parametrize(
    ("dtype", "highest", "pixels", "saturates"),
    [
        (np.uint8, 255, 1, True),  # the type's own
        (np.int16, 32767, 1, True),
        (np.uint8, 254, 50, True),
        (np.uint16, 1023, 50, True),
        (np.int32, 4095, 50, True),
        (np.uint16, 8191, 50, True),
        (np.uint16, 4095, 3, False),  # hot pixels
        (np.uint8, 7, 50, False),  # few grey levels
    ],
)
def test_what_piles_up_is_saturated(model, dtype, highest, pixels, saturates):
    rng = np.random.default_rng(0)
    plane = rng.integers(0, min(100, highest), (100, 100)).astype(dtype)
    plane[:50].flat[:pixels] = highest
    for found in (measure_focus(plane, model), measure_focus(Elsewhere(plane), model)):
        assert found.saturated_fraction == (pixels / 10_000 if saturates else 0)


def test_images_of_few_values_are_not_saturated(model):
    rng = np.random.default_rng(0)
    two = (rng.random((100, 100)) < 0.3).astype(np.uint16) * 900
    objects = np.repeat(np.repeat(rng.integers(0, 60, (10, 10)), 10, axis=0), 10, axis=1)
    below_zero = rng.integers(-500, -400, (100, 100))
    for plane in (two, objects, below_zero, rng.poisson(1, (100, 100)).astype(np.uint8)):
        assert measure_focus(plane, model).saturated_fraction == 0


def test_rows_carry_the_columns_of_the_table(model, plain):
    row = measure_focus(plain, model).to_row()
    assert list(row) == [
        *("width", "height", "level", "expected_level", "certainty", "mean_certainty"),
        *("max_certainty", "weighted_certainty", "status", "blur_diameter_px", "defocus_um"),
        "saturated_fraction",
        *(f"p{k}" for k in range(11)),
        *("contrast", "binning"),
    ]
    assert row["level"] == 3
    assert row["p3"] == max(row[f"p{k}"] for k in range(11))


def test_a_name_of_a_model_will_do(model, plain, tmp_path):
    coded.write(tmp_path / "m")
    assert_same(measure_focus(plain, tmp_path / "m"), measure_focus(plain, model))
    assert_same(measure_focus(plain, str(tmp_path / "m")), measure_focus(plain, model))
    with pytest.raises(ModelNotFoundError):
        measure_focus(plain, "no such model")


def test_type_range_models_see_the_scale_of_the_type(tmp_path, plain):
    coded.write(tmp_path / "m", normalisation="type_range")
    own = FocusModel.from_pretrained(tmp_path / "m")
    # Rescaling makes floats of the integers; they are still of their type's range.
    as_integers = measure_focus(plain, own).patch_probabilities
    as_floats = measure_focus(plain / 65535, own)
    np.testing.assert_allclose(as_floats.patch_probabilities, as_integers, atol=1e-6)
    assert as_floats.message == ""
    half = replace(TRAINING_OPTICS, pixel_size_um=TRAINING_OPTICS.pixel_size_um / 2)
    finer = np.repeat(np.repeat(plain, 2, axis=0), 2, axis=1)
    rescaled = measure_focus(finer, own, optics=half, rescale=True)
    np.testing.assert_allclose(rescaled.patch_probabilities, as_integers, atol=1e-6)
    assert "larger ones were clipped" in measure_focus(plain.astype(float), own).message


# Rescaling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 3])
def test_rescaled_planes_are_measured_at_the_models_sampling(model, factor):
    plane = coded.plane([[0, 2], [4, 9]])
    finer = np.repeat(np.repeat(plane, factor, axis=0), factor, axis=1)
    # The sampling is pixel size * NA / wavelength: any of them may differ.
    for optics in (
        Optics(0.5, 1.0, 0.5, 0.65 / factor),
        Optics(0.5, 1.0, 0.5 * factor, 0.65),
        Optics(0.5 / factor, 1.33, 0.5, 0.65),
    ):
        result = measure_focus(finer, model, optics=optics, rescale=True)
        own = measure_focus(plane, model)
        assert_same(result, own)
        assert result.message == ""
        assert result.blur_diameter_px == pytest.approx(factor * own.blur_diameter_px)
        assert result.defocus_um == pytest.approx(
            optics.defocus_of_added_blur(result.blur_diameter_px)
        )
        assert result.patch_size_px == pytest.approx(84 * factor)
        np.testing.assert_array_equal(result.patch_positions, factor * own.patch_positions)
        assert (result.height, result.width) == finer.shape
        points = measure_at(
            finer, (own.patch_positions + 42) * factor, model, optics=optics, rescale=True
        )
        np.testing.assert_array_equal(points.levels, [0, 2, 4, 9])


def test_images_are_rescaled_by_themselves_when_their_optics_are_known(model, plain):
    finer = plain.repeat(2, axis=0).repeat(2, axis=1)
    by_itself = measure_focus(finer, model, optics=OIL)
    assert (by_itself.binning, by_itself.patch_size_px, by_itself.message) == (2, 168, "")
    assert_same(by_itself, measure_focus(finer, model, optics=OIL, rescale="on"))
    assert by_itself.to_row()["binning"] == by_itself.to_dict()["binning"] == 2
    assert measure_focus(finer, model).binning == 1
    for off in ("off", False):
        as_it_is = measure_focus(finer, model, optics=OIL, rescale=off)
        assert (as_it_is.binning, as_it_is.patch_size_px) == (1, 84)
        assert "times more finely than the model's" in as_it_is.message
    assert measure_focus(plain, model, optics=TRAINING_OPTICS).message == ""
    for on in ("on", True):
        with pytest.raises(SettingsError, match="needs the optics"):
            measure_focus(plain, model, rescale=on)
    with pytest.raises(SettingsError, match="optics must be an Optics"):
        measure_focus(plain, model, optics={"na": 1})


def test_what_defocus_adds_to_a_point_in_focus_is_turned_into_a_distance(model):
    """What is wider in focus than a model's own points, it calls defocus."""
    plane = coded.plane([[1, 1], [1, 1]])
    for optics in (TRAINING_OPTICS, OIL):
        result = measure_focus(plane, model, optics=optics, rescale="off")
        assert_same(result, measure_focus(plane, model))
        blur_px = 3.08 * result.expected_level
        in_focus = min(optics.level(0.0), 0.6)
        total_px = 3.08 * np.hypot(result.expected_level, in_focus)
        assert result.blur_diameter_px == pytest.approx(blur_px)
        assert result.defocus_um == pytest.approx(optics.defocus_um(total_px))
    assert OIL.level(0.0) > 0.6 > TRAINING_OPTICS.level(0.0)


def test_levels_are_of_the_binned_image_and_blur_is_of_its_own(model):
    """What is out of focus is judged at the model's sampling, whatever that of the image."""
    finer = coded.plane([[1, 1], [1, 1]]).repeat(3, axis=0).repeat(3, axis=1)
    optics = replace(TRAINING_OPTICS, pixel_size_um=0.65 / 3)
    result = measure_focus(finer, model, optics=optics)
    assert result.level == 1
    assert result.status == "in_focus"
    assert result.blur_diameter_px == pytest.approx(3 * 3.08 * result.expected_level)
    assert result.defocus_um == pytest.approx(optics.defocus_of_added_blur(result.blur_diameter_px))


def test_equal_sampling_leaves_the_plane_as_it_is(model, plain):
    result = measure_focus(plain, model, optics=TRAINING_OPTICS, rescale=True)
    np.testing.assert_array_equal(
        result.patch_probabilities, measure_focus(plain, model).patch_probabilities
    )


def test_rescaled_patches_cover_the_plane(model):
    plane = np.random.default_rng(0).integers(0, 99, (701, 999)).astype(np.uint16)
    result = measure_focus(plane, model, optics=OIL)
    assert result.patch_size_px == 168
    np.testing.assert_array_equal(result.patch_positions.max(axis=0) + 168, plane.shape)
    assert result.patch_positions.min() == 0


def test_what_binning_leaves_smaller_than_a_patch_is_too_small(model):
    for plane in (coded.plane([[0]]), coded.plane([[0, 0]])):
        result = measure_focus(plane, model, optics=OIL)
        assert_undefined(result, "too_small")
        shape = f"{plane.shape[0] // 2} x {plane.shape[1] // 2}"
        assert f"{shape} at the model's sampling; a patch needs 84 x 84" in result.message
        assert measure_focus(plane, model, optics=OIL, rescale="off").level == 0
    # So is an image that is smaller by itself.
    for optics in (None, OIL):
        result = measure_focus(coded.plane([[0]])[:83], model, optics=optics)
        assert_undefined(result, "too_small")
        assert result.message == "The image has 83 x 84 pixels; a patch needs 84 x 84."


def test_coarse_planes_are_measured_as_they_are(model, plain):
    coarse = Optics(0.75, 1.0, 0.5, 0.65)
    result = measure_focus(plain, model, optics=coarse, rescale="on")
    assert (result.binning, result.message) == (1, "")
    assert_same(result, measure_focus(plain, model))
    with pytest.raises(SettingsError, match="Are its optics right"):
        measure_focus(plain, model, optics=Optics(0.5, 1, 0.5, 6.5), rescale=True)


def test_masked_pixels_have_no_influence_on_rescaled_ones(model):
    rng = np.random.default_rng(1)
    plane = rng.normal(100, 10, (300, 300))
    mask = rng.random(plane.shape) < 0.8
    for optics in (OIL, Optics(0.75, 1.0, 0.5, 0.65)):
        spoilt = np.where(mask, plane, nan)
        a = measure_focus(spoilt, model, optics=optics, rescale=True)
        b = measure_focus(np.where(mask, plane, 1e9), model, optics=optics, rescale=True, mask=mask)
        assert_same(a, b)
        assert not np.isnan(a.patch_levels).any()
    # A plane that is constant where it counts stays so.
    flat = np.where(mask, 7.0, 9e9)
    assert_undefined(measure_focus(flat, model, optics=OIL, rescale=True, mask=mask))


# Points ---------------------------------------------------------------------------------------


def test_points_are_measured_in_the_patch_around_them(model):
    plane = coded.plane([[0, 5], [8, None]])
    points = measure_at(plane, [(42, 42), (42, 126), (126, 42), (126, 126)], model)
    np.testing.assert_array_equal(points.levels[:3], [0, 5, 8])
    whole = measure_focus(plane, model)
    np.testing.assert_allclose(points.probabilities, whole.patch_probabilities, atol=1e-6)
    np.testing.assert_allclose(points.certainties, whole.patch_certainties, atol=1e-6)
    np.testing.assert_allclose(points.expected_levels, whole.patch_expected_levels, atol=1e-5)


def test_points_at_the_border_see_the_mirror_image(model):
    plane = coded.plane([[0, 5]])
    mirrored = np.pad(plane, 84, mode="symmetric")
    centres = np.array([(0, 0), (83, 167), (40.4, 100), (3, 3)])
    near = measure_at(plane, centres, model)
    inside = measure_at(mirrored, centres + 84, model)
    np.testing.assert_allclose(near.probabilities, inside.probabilities, atol=1e-6)


def test_points_in_planes_smaller_than_a_patch(model):
    points = measure_at(coded.patch(6)[:42], [(20, 42)], model)
    assert points.probabilities.shape == (1, 11)
    assert points.certainties[0] > 0


def test_points_without_content(model):
    plane = np.full((100, 100), 5)
    mask = np.zeros(plane.shape, bool)
    for kwargs in ({}, {"mask": mask}):
        points = measure_at(plane, [(50, 50)], model, **kwargs)
        assert isnan(points.levels[0])
        assert isnan(points.expected_levels[0])
        assert points.certainties[0] == 0
    assert measure_at(plane, [], model).levels.shape == (0,)


def test_points_outside_are_refused(model, plain):
    for centre in ((-1, 5), (5, 168), (nan, 5)):
        with pytest.raises(SettingsError, match="outside the image of 168 x 168 pixels"):
            measure_at(plain, [centre], model)
    with pytest.raises(ImageError, match="two dimensions"):
        measure_at(np.ones(7), [(1, 1)], model)


def test_several_threads_measure_at_a_time(model):
    planes = [coded.plane([[level, None], [level, level]]) for level in range(8)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda plane: measure_focus(plane, model), planes))
    assert [r.level for r in results] == list(range(8))


@pytest.mark.parametrize("path", ["cells.tif", Path("cells.tif"), ["cells.tif"], [Path("a.tif")]])
def test_a_path_is_refused_with_the_way_out(model, path):
    with pytest.raises(ImageError, match="read it first, .*or give its path to measure_files"):
        measure_focus(path, model)


@pytest.mark.parametrize(
    "library", ["PIL", "xarray", "pandas", pytest.param("dask", marks=pytest.mark.cluster)]
)
def test_whatever_can_be_an_array_is_one(model, library):
    plane = coded.plane([[0, 3], [5, None]])
    module = pytest.importorskip({"PIL": "PIL.Image", "dask": "dask.array"}.get(library, library))
    make = {
        "PIL": lambda: module.fromarray(plane),
        "xarray": lambda: module.DataArray(plane, dims=("y", "x")),
        "pandas": lambda: module.DataFrame(plane),
        "dask": lambda: module.from_array(plane, chunks=50),
    }[library]
    result = measure_focus(make(), model)
    assert_same(result, measure_focus(plane, model))
    np.testing.assert_array_equal(
        result.overlay(make(), max_side=100).shape, result.overlay(plane, max_side=100).shape
    )
    assert result.overlay(make()).shape == (168, 168, 3)


def test_points_that_are_x_and_y_are_refused_with_the_way_out(model):
    wide = coded.plane([[0, 1, 2, 3]])
    with pytest.raises(SettingsError, match="Swapped, all would lie within it: y comes first"):
        measure_at(wide, [(300, 20)], model)
    with pytest.raises(SettingsError, match=r"84 x 336 pixels, height x width\.$"):
        measure_at(wide, [(300, 20), (400, 20)], model)


def with_a_flat_patch(levels):
    """A plane of levels, of which the patch at the lower left is constant."""
    plane = coded.plane(levels)
    plane[-84:, :84] = 7
    return plane


def test_maps_have_a_value_for_each_patch_where_it_lies(model):
    levels = [[0, 3, 7], [0, 5, 1]]
    result = measure_focus(with_a_flat_patch(levels), model)
    expected = np.array(levels, float)
    expected[1, 0] = nan
    np.testing.assert_array_equal(result.level_map, expected)
    np.testing.assert_allclose(result.expected_level_map, expected, atol=0.5)
    certainties = [patch.certainty for patch in result.patches]
    np.testing.assert_array_equal(result.certainty_map, np.reshape(certainties, (2, 3)))
    assert result.certainty_map[1, 0] == 0


def test_maps_of_planes_that_are_no_multiple_of_patches(model):
    """The last row and column are those that end at the border."""
    plane = np.pad(coded.plane([[2, 2], [2, 2]]), ((0, 30), (0, 50)), mode="reflect")
    result = measure_focus(plane, model)
    assert result.level_map.shape == (3, 3)
    assert [(p.y, p.x) for p in result.patches[-3:]] == [(114, 0), (114, 84), (114, 134)]
    tiny = measure_focus(plane[:50], model)
    assert tiny.level_map.shape == tiny.certainty_map.shape == (0, 0)
    assert tiny.patches == ()


def test_maps_of_rescaled_planes(model):
    plane = coded.plane([[2, 4], [6, 8]])
    large = plane.repeat(2, axis=0).repeat(2, axis=1)
    optics = replace(TRAINING_OPTICS, pixel_size_um=TRAINING_OPTICS.pixel_size_um / 2)
    result = measure_focus(large, model, optics=optics, rescale=True)
    np.testing.assert_array_equal(result.level_map, [[2, 4], [6, 8]])
    assert [(p.y, p.x, p.size_px) for p in result.patches[:2]] == [(0, 0, 168), (0, 168, 168)]


def test_patches_come_with_their_places(model):
    result = measure_focus(with_a_flat_patch([[0, 3], [0, 8]]), model)
    patches = result.patches
    assert [(p.y, p.x) for p in patches] == [tuple(at) for at in result.patch_positions]
    assert [p.level for p in patches[:2]] == [0, 3]
    for number, patch in enumerate(patches):
        assert patch.size_px == 84
        np.testing.assert_array_equal(patch.probabilities, result.patch_probabilities[number])
    assert isnan(patches[2].level)
    assert repr(patches[1]) == (
        f"<PatchResult: y 0, x 84, expected level {patches[1].expected_level:.2f}, "
        f"certainty {patches[1].certainty:.2f}>"
    )


@pytest.mark.parametrize("levels", [[[0, 3], [0, 8]], [[0]]])
def test_a_result_is_a_dict_that_json_can_hold(model, levels):
    result = measure_focus(with_a_flat_patch(levels), model)
    found = result.to_dict(patches=True)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["defocus_um"] is None
    assert found["probabilities"] == [None if isnan(p) else p for p in result.probabilities]
    # What `to_row` gives under the same name is the same.
    for name, value in result.to_row().items():
        if name in found:
            assert found[name] == (None if value != value else value)
    patches = found.pop("patches")
    assert found == result.to_dict()
    assert {*found} == {f.name for f in fields(result)} - {
        name for name in vars(result) if name.startswith("patch_") and name != "patch_size_px"
    }
    assert [[one["y"], one["x"]] for one in patches] == result.patch_positions.tolist()
    assert [one["probabilities"] for one in patches if one["level"] is not None] == [
        p.probabilities.tolist() for p in result.patches if not isnan(p.level)
    ]


def test_points_print_in_one_line_and_are_a_dict(model):
    plane = with_a_flat_patch([[0, 4], [0, 8]])
    points = measure_at(plane, [(42, 42), (42, 126), (126, 42)], model)
    low, high = points.expected_levels[:2]
    assert repr(points) == f"<PointsResult: 3 points, expected levels {low:.2f} to {high:.2f}>"
    assert repr(measure_at(plane, [(126, 42)], model)) == "<PointsResult: 1 point>"
    found = points.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["levels"] == [0, 4, None]
    assert found["probabilities"][2] == [None] * 11


def test_a_result_prints_in_one_line(model, plain):
    result = measure_focus(plain, model)
    assert repr(result) == (
        f"<FocusResult: expected level {result.expected_level:.2f}, "
        f"certainty {result.certainty:.2f}, out_of_focus, 4 patches>"
    )


class Elsewhere:
    """An array that gives slices alone, and counts the rows that it gave."""

    ndim = 2

    def __init__(self, pixels, most=84):
        self._pixels, self._most = pixels, most
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.rows = 0

    def __getitem__(self, index):
        given = self._pixels[index].copy()
        assert len(given) <= self._most
        self.rows += len(given)
        return given

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._pixels, dtype)


@pytest.mark.parametrize(
    "make",
    [
        lambda plane: plane,
        lambda plane: np.where(plane == plane.max(), 4095, plane),
        lambda plane: plane.astype(np.int16) - 300,
        lambda plane: plane.astype(np.float32),
        lambda plane: np.where(np.arange(plane.size).reshape(plane.shape) % 9, plane, np.nan),
        lambda plane: plane.astype(np.longdouble),
        lambda plane: plane[:60],
        lambda plane: plane * 0,
    ],
)
@pytest.mark.parametrize("normalisation", ["zscore", "type_range"])
@pytest.mark.parametrize(("rescale", "side"), [("off", 84), ("auto", 168)])
def test_planes_read_in_bands_give_the_same_bit_for_bit(
    tmp_path, make, normalisation, rescale, side
):
    coded.write(tmp_path / "coded", normalisation=normalisation)
    rng = np.random.default_rng(3)
    levels = rng.integers(0, 10, (11, 13)).tolist()
    plane = make(coded.plane(levels)[:-20, :-33])
    elsewhere = Elsewhere(plane, side)
    one, other = (
        measure_focus(one, tmp_path / "coded", optics=OIL, rescale=rescale)
        for one in (elsewhere, plane)
    )
    for field in fields(other):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
    # The last band of patches overlaps the one before.
    assert plane.shape[0] <= elsewhere.rows < plane.shape[0] + side


def test_the_real_model_gives_the_same_in_bands():
    rng = np.random.default_rng(3)
    plane = gaussian_filter(rng.normal(1000, 300, (3000, 3000)), 1).astype(np.uint16)
    one, other = measure_focus(Elsewhere(plane)), measure_focus(plane)
    np.testing.assert_array_equal(one.patch_probabilities, other.patch_probabilities)
    assert one.expected_level == other.expected_level


def test_a_memory_map_is_read_in_bands(model, plain, tmp_path):
    plain.tofile(tmp_path / "a")
    stored = np.memmap(tmp_path / "a", plain.dtype, "r", shape=plain.shape)
    assert is_lazy(stored)
    assert_same(measure_focus(stored, model), measure_focus(plain, model))


def test_a_mask_reads_a_plane_whole(model, plain):
    one, other = (measure_focus(p, model, mask=plain > 100) for p in (Elsewhere(plain), plain))
    np.testing.assert_array_equal(one.patch_probabilities, other.patch_probabilities)


@pytest.mark.parametrize("pixel_size_um", [0.4, 0.9])
@pytest.mark.parametrize("masked", [False, True])
def test_floats_of_any_size_are_rescaled_alike(model, plain, pixel_size_um, masked):
    optics = Optics(0.5, 1.0, 0.5, pixel_size_um)
    mask = None
    if masked:
        mask = np.ones(plain.shape, bool)
        mask[3:9, 5:50] = False
    options = dict(optics=optics, rescale=True, mask=mask)
    expected = measure_focus(plain.astype(float), model, **options)
    # Powers of two, which do not round.
    for exponent in (-900, 900, 1016):
        found = measure_focus(np.ldexp(plain.astype(float), exponent), model, **options)
        np.testing.assert_allclose(found.patch_probabilities, expected.patch_probabilities)
