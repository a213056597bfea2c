"""Light, exposures and the stream's fast camera, against Poisson's moments and by counting."""

import numpy as np
import pytest

from microscope_quality.degrade import Camera
from microscope_quality.errors import ImageError
from microscope_quality.training.defocus.exposure import (
    Exposure,
    NormalNoise,
    Recording,
    digitise,
    draw_exposure,
    photoelectrons,
    signal,
)


def test_signal_is_0_at_the_background_and_1_at_the_brightest_percent():
    plane = np.full((100, 100), 20, dtype=np.uint16)
    plane[0, :] = np.arange(100, 200)  # exactly the brightest percent, of mean 149.5
    light = signal(plane)
    assert light[50, 50] == 0
    assert light[0].mean() == pytest.approx(1)
    assert light[0, -1] == pytest.approx((199 - 20) / (149.5 - 20))


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        (np.zeros((90, 90)), "no contrast"),
        (np.full((90, 90), np.nan), "finite"),
        (np.zeros((90, 90, 3)), "two dimensions"),
        (np.zeros((0, 5)), "two dimensions"),
    ],
)
def test_what_is_no_sharp_image_is_refused(plane, message):
    with pytest.raises(ImageError, match=message):
        signal(plane)


def test_an_exposure_records_the_photons_it_was_asked_for():
    camera = Camera(photons_per_level=2.0, offset=100, read_noise=0)
    taken = Exposure(photons=1000, background=0.1, camera=camera).take(np.ones((400, 400)), 0)
    assert taken.mean() == pytest.approx(100 + 1000 * 1.1 / 2, rel=1e-3)
    assert taken.var() == pytest.approx(1000 * 1.1 / 4, rel=0.03)


def test_drawn_exposures_leave_room_above_the_brightest_percent():
    rng = np.random.default_rng(0)
    for _ in range(200):
        exposure = draw_exposure(rng)
        assert 300 <= exposure.photons <= 20_000
        assert 0 <= exposure.background <= 0.1
        camera = exposure.camera
        brightest = exposure.photons * (1 + exposure.background) / camera.photons_per_level
        assert brightest + camera.offset < 0.8 * 2**camera.bit_depth


def test_less_light_arrives_where_the_field_is_dark():
    camera = Camera(photons_per_level=1.0, offset=0, read_noise=0)
    passed = np.ones((2, 50_000))
    passed[1] = 0.25
    exposure = Exposure(photons=1000, background=0.1, camera=camera)
    taken = exposure.take(np.ones(passed.shape), 0, transmission=passed)
    np.testing.assert_allclose(taken.mean(axis=1), [1100, 275], rtol=2e-3)


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_a_saturating_exposure_saturates_its_share(share):
    light = np.random.default_rng(0).random((300, 300))
    exposure = Exposure(photons=5000, background=0.1, camera=Camera())
    taken = exposure.saturating(light, share).take(light, 1)
    assert (taken == 65535).mean() == pytest.approx(share, abs=0.01)
    assert exposure.saturating(light, 0.0) is exposure


@pytest.mark.parametrize("expected", [0.3, 3.9, 4.1, 12.0, 150.0])
def test_photoelectrons_have_the_moments_of_poisson(expected):
    rng = np.random.default_rng(0)
    counts = np.concatenate(
        [
            photoelectrons(rng, NormalNoise(rng), np.full((500, 500), expected)).ravel()
            for _ in range(4)
        ]
    ).astype(np.float64)
    n = counts.size
    assert np.all(counts == np.rint(counts))
    assert abs(counts.mean() - expected) < 5 * np.sqrt(expected / n) + 0.003
    assert counts.var() == pytest.approx(expected, rel=0.03)
    skewness = ((counts - counts.mean()) ** 3).mean() / counts.std() ** 3
    assert skewness == pytest.approx(1 / np.sqrt(expected), abs=0.04)


def test_grey_levels_are_whole_and_in_range():
    rng = np.random.default_rng(1)
    normal = NormalNoise(rng)
    electrons = rng.uniform(0, 5000, (84, 84)).astype(np.float32)
    few = digitise(rng, normal, electrons, Recording(eight_bit_fraction=1))
    many = digitise(rng, normal, electrons, Recording(eight_bit_fraction=0))
    assert len(np.unique(few)) <= 256
    assert few.max() <= 255
    assert len(np.unique(many)) > 1000
    for grey in (few, many):
        np.testing.assert_array_equal(grey, np.rint(grey))
        assert grey.min() >= 0


def test_a_patch_is_saturated_by_the_share_asked_for():
    rng = np.random.default_rng(3)
    electrons = rng.uniform(0, 5000, (84, 84)).astype(np.float32)
    recording = Recording(eight_bit_fraction=0, saturated_fraction=0)
    grey = digitise(rng, NormalNoise(rng), electrons, recording, saturation=0.1)
    assert (grey == grey.max()).mean() == pytest.approx(0.1, abs=0.01)
