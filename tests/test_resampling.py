"""Other samplings of a plane: area means, splines, and which factor optics ask for."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.resampling import resample, sampling_of


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


def test_the_sampling_is_pixel_size_times_aperture_over_wavelength():
    finer = dataclasses.replace(TRAINING_OPTICS, pixel_size_um=0.65 / 2)
    assert sampling_of(finer, TRAINING_OPTICS, True) == (0.5, [])
    assert sampling_of(None, TRAINING_OPTICS, False) == (1, [])
    sampling, (message,) = sampling_of(finer, TRAINING_OPTICS, False)
    assert sampling == 1
    assert "2 times more finely" in message
    slightly = dataclasses.replace(TRAINING_OPTICS, pixel_size_um=0.65 / 1.2)
    assert sampling_of(slightly, TRAINING_OPTICS, False) == (1, [])
    coarser = dataclasses.replace(TRAINING_OPTICS, wavelength_um=0.25)
    sampling, (message,) = sampling_of(coarser, TRAINING_OPTICS, True)
    assert sampling == 2
    assert "2 times more coarsely" in message
    with pytest.raises(SettingsError, match="Are its optics right"):
        sampling_of(coarser, dataclasses.replace(finer, na=0.4), True)
    with pytest.raises(SettingsError, match="needs the optics"):
        sampling_of(None, TRAINING_OPTICS, True)
