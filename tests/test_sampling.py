"""Sampling places of a plane: the estimate, its interval, what is read, who is refused."""

from dataclasses import fields, replace
from math import isnan

import coded
import numpy as np
import pytest

from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.focus import measure_focus
from microscope_quality.model import FocusModel
from microscope_quality.optics import TRAINING_OPTICS, Optics
from microscope_quality.overlay import overlay
from microscope_quality.sampling import SampleResult, sample_focus

SIDE = 27  # patches across and down


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "coded"
    coded.write(folder)
    return FocusModel.from_pretrained(folder)


def level_map(kind):
    random = np.random.default_rng(4)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    spread = random.uniform(-0.8, 0.8, (SIDE, SIDE))
    level = {
        "tilt": 1 + 7 * x + spread,
        "wells": 2 + 5 * y + spread,
        "mixed": np.where(random.random((SIDE, SIDE)) < 0.4, 1.0, 8.0),
        "even": 3 + spread,
    }[kind]
    empty = np.zeros((SIDE, SIDE), bool)
    if kind == "wells":
        empty = np.hypot(3 * x % 1 - 0.5, 3 * y % 1 - 0.5) > 0.4
        empty |= random.random((SIDE, SIDE)) < 0.3
    return [
        [None if nothing else one for one, nothing in zip(*row)]
        for row in zip(level.tolist(), empty.tolist())
    ]


KINDS = ("tilt", "wells", "mixed", "even")


@pytest.fixture(scope="module")
def images():
    return {kind: coded.plane(level_map(kind)) for kind in KINDS}


@pytest.fixture(scope="module")
def samples(model, images):
    return {
        kind: [sample_focus(images[kind], model, places=40, seed=seed) for seed in range(100)]
        for kind in ("tilt", "wells", "mixed")
    }


@pytest.mark.long
@pytest.mark.parametrize("kind", ["tilt", "wells", "mixed"])
def test_intervals_hold_the_whole_planes_value_as_often_as_they_say(model, images, samples, kind):
    truth = measure_focus(images[kind], model).expected_level
    results = samples[kind]
    estimates = np.array([result.expected_level for result in results])
    widths = np.array([r.expected_level_high - r.expected_level_low for r in results])
    held = sum(r.expected_level_low <= truth <= r.expected_level_high for r in results)
    assert held >= 90
    # No wider than twice what the estimates' own spread asks for.
    assert widths.mean() < 2 * 2 * 1.96 * estimates.std()
    # Unbiased to within three standard errors, and a ratio's bias of a tenth of its deviation.
    assert abs(estimates.mean() - truth) < (3 / 10 + 0.1) * estimates.std()


def test_all_patches_give_the_whole_planes_result(model, images):
    plane = images["tilt"][: 84 * 5 + 30, : 84 * 4 + 11]
    whole, sampled = measure_focus(plane, model), sample_focus(plane, model, places=30)
    assert sampled.places == 30
    assert sampled.expected_level_low == sampled.expected_level == sampled.expected_level_high
    for field in fields(whole):
        if field.name != "saturated_fraction":
            expected = getattr(whole, field.name)
            if isinstance(expected, (str, int)):
                assert getattr(sampled, field.name) == expected
            else:
                np.testing.assert_allclose(getattr(sampled, field.name), expected, atol=1e-9)


@pytest.mark.long
def test_estimates_of_all_numbers_are_near_the_whole_planes(model, images, samples):
    whole = measure_focus(images["wells"], model)
    results = samples["wells"]
    for name in ("certainty", "mean_certainty", "weighted_certainty"):
        values = np.array([getattr(result, name) for result in results])
        assert abs(values.mean() - getattr(whole, name)) < 0.5 * values.std() + 0.01
    mean = np.mean([result.probabilities for result in results], axis=0)
    np.testing.assert_allclose(mean, whole.probabilities, atol=0.02)
    statuses = [result.status for result in samples["mixed"]]
    assert statuses.count("mixed") > 80


def test_the_seed_chooses_the_places(model, images):
    one, same, other = (sample_focus(images["wells"], model, places=40, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.patch_positions, same.patch_positions)
    assert one.expected_level == same.expected_level
    assert not np.array_equal(one.patch_positions[:20], other.patch_positions[:20])


def test_places_are_patches_of_the_grid_all_over_the_plane(model, images):
    result = sample_focus(images["even"], model, places=72)
    places = result.patch_positions
    assert result.places == len(places) == 72  # all are sure
    assert len(np.unique(places, axis=0)) == 72
    assert not (places % 84).any()
    # Strata are about squares of 20 patches: each ninth of the plane has about 8 places.
    counts = np.histogram2d(*(places / (84 * SIDE)).T, bins=3, range=[[0, 1]] * 2)[0]
    assert counts.min() >= 4
    assert counts.max() <= 12


def test_more_is_looked_at_where_there_is_little_content(model, images):
    result = sample_focus(images["wells"], model, places=60)
    assert 60 < result.places <= 180
    sure = result.patch_certainties >= coded.SURE
    assert np.count_nonzero(sure) <= 60


def test_statuses(model):
    for levels, status in ((1, "in_focus"), (5, "out_of_focus"), (None, "no_content")):
        plane = coded.plane([[levels] * 12] * 12)
        result = sample_focus(plane, model, places=20)
        assert result.status == status
    half = coded.plane([[0] * 6 + [8] * 6] * 12)
    assert sample_focus(half, model, places=40).status == "mixed"
    assert sample_focus(half // 7 * 0, model, places=40).message == "All places are constant."


def test_undefined_planes(model):
    constant = sample_focus(np.zeros((2000, 2000), np.uint16), model, places=20)
    small = sample_focus(np.zeros((50, 2000), np.uint16), model, places=20)
    for result, status in ((constant, "no_content"), (small, "too_small")):
        assert result.status == status
        assert isnan(result.expected_level)
        assert isnan(result.expected_level_low)
        assert isnan(result.expected_level_high)
        assert result.message
    assert small.places == 0


def test_pixels_that_are_no_numbers_are_left_out(model, images):
    plane = images["even"].astype(np.float32)
    plane[:, : 84 * 13] = np.nan
    result = sample_focus(plane, model, places=60)
    assert result.expected_level == pytest.approx(3, abs=0.5)
    left = result.patch_positions[:, 1] < 84 * 13
    assert (result.patch_certainties[left] == 0).all()
    assert isnan(result.saturated_fraction)


def test_saturation_is_that_of_the_places(model, images):
    plane = images["even"].copy()
    assert sample_focus(plane, model, places=60).saturated_fraction == 0
    plane[:, ::2] = 4095
    assert sample_focus(plane, model, places=60).saturated_fraction == pytest.approx(0.5)


def test_planes_outside_of_memory_are_read_in_places(model, images, tmp_path):
    path = tmp_path / "a.dat"
    images["tilt"].tofile(path)
    stored = np.memmap(path, np.uint16, "r", shape=images["tilt"].shape)
    one = sample_focus(stored, model, places=40, seed=3)
    other = sample_focus(images["tilt"], model, places=40, seed=3)
    assert one.expected_level == other.expected_level
    np.testing.assert_array_equal(one.patch_probabilities, other.patch_probabilities)


def test_places_are_brought_to_the_models_sampling(model, images):
    fine = np.kron(images["even"][: 84 * 12, : 84 * 12], np.ones((2, 2), np.uint16))
    optics = Optics(na=0.5, refractive_index=1.0, wavelength_um=0.5, pixel_size_um=0.325)
    whole = measure_focus(fine, model, optics=optics, rescale=True)
    sampled = sample_focus(fine, model, optics=optics, rescale=True, places=60)
    assert sampled.expected_level_low <= whole.expected_level <= sampled.expected_level_high
    assert sampled.patch_size_px == whole.patch_size_px == 168
    assert sampled.blur_diameter_px == pytest.approx(whole.blur_diameter_px, rel=0.1)


def test_places_that_binning_leaves_too_small_say_so(model, images):
    plane = images["even"][:300, :150]
    optics = replace(TRAINING_OPTICS, pixel_size_um=0.325)
    result = sample_focus(plane, model, places=20, optics=optics)
    assert (result.status, result.places, result.binning) == ("too_small", 0, 2)
    assert "300 x 150 pixels, 150 x 75 at the model's sampling" in result.message
    # Of the planes of a small stack, contrast tells the sharpest.
    assert result.contrast == measure_focus(plane, model, optics=optics).contrast > 0
    assert sample_focus(plane, model, places=20).status != "too_small"


def test_rows_carry_the_interval(model, images):
    result = sample_focus(images["tilt"], model, places=40, optics=TRAINING_OPTICS)
    row = result.to_row()
    assert row["places"] == result.places
    assert row["expected_level_low"] < row["expected_level"] < row["expected_level_high"]
    assert row["defocus_um"] > 0
    assert "places" in repr(result)


@pytest.mark.parametrize("rescale", [False, True])
def test_maps_are_those_of_the_plane_where_it_was_measured(model, images, rescale):
    plane = images["tilt"]
    optics = replace(TRAINING_OPTICS, pixel_size_um=0.325) if rescale else TRAINING_OPTICS
    result = sample_focus(plane, model, places=20, optics=optics, rescale=rescale)
    of_all = measure_focus(plane, model, optics=optics, rescale=rescale)
    assert result.level_map.shape == result.certainty_map.shape == of_all.level_map.shape
    rows, columns = (
        np.searchsorted(np.unique(grid), own)
        for grid, own in zip(of_all.patch_positions.T, result.patch_positions.T)
    )
    measured = np.zeros(result.certainty_map.shape, bool)
    measured[rows, columns] = True
    assert measured.sum() == result.places < measured.size
    np.testing.assert_array_equal(np.isnan(result.certainty_map), ~measured)
    np.testing.assert_array_equal(result.level_map[rows, columns], result.patch_levels)
    if not rescale:
        np.testing.assert_array_equal(result.level_map[measured], of_all.level_map[measured])
    found = result.to_dict()
    assert found["places"] == result.places
    assert found["expected_level_low"] == result.expected_level_low


def test_places_are_drawn_as_marks(model, images):
    result = sample_focus(images["even"], model, places=10)
    assert isinstance(result, SampleResult)
    picture = overlay(images["even"], result, max_side=200).astype(int)
    coloured = np.ptp(picture, axis=2) > 10
    y, x = (result.patch_positions[0] + 42) * 200 // (84 * SIDE)
    assert coloured[y - 3 : y + 3, x - 3 : x + 3].mean() > 0.5
    assert coloured.mean() < 0.1


@pytest.mark.parametrize("wrong", [{"places": 3}, {"places": 4.5}, {"seed": -1}, {"rescale": True}])
def test_settings_out_of_range_are_refused(model, images, wrong):
    with pytest.raises(SettingsError):
        sample_focus(images["even"], model, **wrong)


def test_arrays_that_are_no_image_are_refused(model):
    with pytest.raises(ImageError):
        sample_focus(np.zeros((3, 200, 200), np.uint8), model)
