"""Other samplings of a plane: bins, and which ones optics ask for; area means and splines."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microscope_quality.errors import ArgumentError, ImageError, SettingsError
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.resampling import (
    RESCALINGS,
    as_rescaling,
    binned,
    binning_of,
    resample,
)


def area_weights(old, new):
    """Share of each old pixel in each new one, by the overlap of their intervals."""
    weights = np.zeros((new, old))
    for i in range(new):
        low, high = i * old / new, (i + 1) * old / new
        for j in range(old):
            weights[i, j] = max(0, min(high, j + 1) - max(low, j)) / (high - low)
    return weights


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_area_averages_are_exact(data):
    height, width = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    shape = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    plane = np.random.default_rng(height).integers(0, 4000, (height, width)) + 10_000
    expected = area_weights(height, shape[0]) @ plane @ area_weights(width, shape[1]).T
    found = resample(plane, shape)
    assert found.shape == shape
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.mean() == pytest.approx(plane.mean(), rel=1e-12)


@pytest.mark.parametrize("shape", [(30, 40), (31, 47), (24, 40), (60, 20)])
def test_coarse_images_are_interpolated(shape):
    """A wave that both samplings resolve keeps its values at the new pixels' middles."""

    def wave(height, width):
        y = (np.arange(height) + 0.5) * 24 / height
        x = (np.arange(width) + 0.5) * 32 / width
        # Whole half periods over the plane: its mirror images continue it.
        return np.cos(np.pi * y * 4 / 24)[:, np.newaxis] * np.cos(np.pi * x * 3 / 32)

    tolerance = 0.02 if shape[1] > 32 else 0.05
    np.testing.assert_allclose(resample(wave(24, 32), shape), wave(*shape), atol=tolerance)


def test_values_that_interpolation_takes_beyond_floats_are_the_largest():
    steps = np.where(np.arange(40) % 8 < 4, 1.79e308, -1.79e308)
    found = resample(np.tile(steps, (4, 1)), (4, 120))
    assert np.isfinite(found).all()
    assert found.max() == np.finfo(float).max


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_only_finite_planes_are_resampled(wrong):
    with pytest.raises(ImageError, match="finite"):
        resample(np.array([[1.0, wrong]]), (1, 4))


# Bins of a model ------------------------------------------------------------------------------


def finer(times, **changes):
    """Optics of images that are sampled so many times more finely than the model's."""
    return dataclasses.replace(
        TRAINING_OPTICS, pixel_size_um=TRAINING_OPTICS.pixel_size_um / times, **changes
    )


def test_the_sampling_is_pixel_size_times_aperture_over_wavelength():
    for optics in (
        finer(2),
        dataclasses.replace(TRAINING_OPTICS, wavelength_um=1.0),
        dataclasses.replace(TRAINING_OPTICS, na=0.25, refractive_index=1.33),
    ):
        assert binning_of(optics, TRAINING_OPTICS, "auto") == (2, [])
        assert binning_of(optics, TRAINING_OPTICS, "on") == (2, [])
    assert binning_of(None, TRAINING_OPTICS, "auto") == (1, [])
    with pytest.raises(SettingsError, match="needs the optics"):
        binning_of(None, TRAINING_OPTICS, "on")


@given(st.floats(0.26, 15.9))
def test_the_binning_is_closest_to_the_models_sampling(times):
    found, messages = binning_of(finer(times), TRAINING_OPTICS, "auto")
    assert messages == []
    apart = [abs(math.log(times / one)) for one in range(1, 70)]
    assert abs(math.log(times / found)) == pytest.approx(min(apart), abs=1e-9)


def test_nothing_is_interpolated_and_what_is_hardly_finer_stays_as_it_is():
    for times, binning in ((0.3, 1), (1, 1), (1.41, 1), (1.42, 2), (2.44, 2), (2.46, 3)):
        assert binning_of(finer(times), TRAINING_OPTICS, "auto") == (binning, [])


def test_what_is_not_rescaled_says_so():
    assert binning_of(finer(1.4), TRAINING_OPTICS, "off") == (1, [])
    binning, (message,) = binning_of(finer(2.34), TRAINING_OPTICS, "off")
    assert binning == 1
    assert "2.34 times more finely" in message


@pytest.mark.parametrize(
    ("times", "words"), [(0.2, "5 times more coarsely"), (100, "100 times more finely")]
)
def test_optics_of_no_image_are_doubted(times, words):
    for rescale in ("auto", "off"):
        binning, (message,) = binning_of(finer(times), TRAINING_OPTICS, rescale)
        assert binning == 1
        assert words in message and "Are its optics right?" in message
    with pytest.raises(SettingsError, match="Are its optics right"):
        binning_of(finer(times), TRAINING_OPTICS, "on")


def test_true_and_false_stand_for_on_and_off():
    assert [as_rescaling(one) for one in (True, False, np.True_)] == ["on", "off", "on"]
    assert [as_rescaling(one) for one in RESCALINGS] == list(RESCALINGS)
    with pytest.raises(SettingsError, match="rescale must be auto, on, off, True or False, not"):
        as_rescaling("yes")
    with pytest.raises(ArgumentError, match="rescale must be .*, not 1"):
        as_rescaling(1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("binning", [2, 3, 4])
def test_bins_are_means_of_whole_blocks(dtype, binning):
    patches = np.random.default_rng(0).integers(0, 255, (3, 24, 24)).astype(dtype)
    found, masks = binned(patches, None, binning)
    assert masks is None
    side = 24 // binning
    blocks = patches.astype(float).reshape(3, side, binning, side, binning)
    np.testing.assert_allclose(found, blocks.mean(axis=(2, 4)), rtol=1e-6)


def test_binned_noise_is_white():
    noise = np.random.default_rng(1).normal(100, 10, (40, 84, 84))
    found, _ = binned(noise, None, 3)
    assert found.std() == pytest.approx(10 / 3, rel=0.02)
    apart = found - found.mean()
    for axis in (1, 2):
        beside = (apart * np.roll(apart, 1, axis)).mean() / apart.var()
        assert abs(beside) < 0.02


def test_masked_pixels_are_in_no_bin_that_counts():
    rng = np.random.default_rng(2)
    patches, masks = rng.normal(size=(5, 12, 12)), rng.random((5, 12, 12)) < 0.6
    found, inside = binned(np.where(masks, patches, np.nan), masks, 2)
    blocks, counts = (one.reshape(5, 6, 2, 6, 2) for one in (np.where(masks, patches, 0), masks))
    np.testing.assert_array_equal(inside, counts.sum(axis=(2, 4)) >= 2)
    means = blocks.sum(axis=(2, 4)) / np.maximum(counts.sum(axis=(2, 4)), 1)
    np.testing.assert_allclose(found[inside], means[inside])
    # The others are as in the image, where it is known.
    whole, _ = binned(patches, masks, 2)
    expected, _ = binned(patches, None, 2)
    np.testing.assert_allclose(whole[~inside], expected[~inside])


def test_numbers_of_any_size_are_binned():
    patches = np.random.default_rng(3).random((2, 8, 8)) + 0.5
    expected, _ = binned(patches, None, 2)
    for exponent in (-900, 900, 1022):
        found, _ = binned(np.ldexp(patches, exponent), None, 2)
        np.testing.assert_allclose(found, np.ldexp(expected, exponent))


def test_only_whole_bins_are_made():
    same = np.arange(36).reshape(1, 6, 6)
    assert binned(same, None, 1)[0] is same
    with pytest.raises(SettingsError, match="6 x 6 pixels cannot be binned by 4"):
        binned(same, None, 4)
