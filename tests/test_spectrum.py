"""Whether anything is in the upper half of an image's frequencies."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from microscope_quality.degrade import Camera, defocus
from microscope_quality.errors import ImageError
from microscope_quality.focus import measure_focus
from microscope_quality.optics import TRAINING_OPTICS, Optics
from microscope_quality.psf import psf
from microscope_quality.sampling import sample_focus
from microscope_quality.simulate import filaments, nuclei
from microscope_quality.spectrum import HINT, SurestPatches, upper_half

# Sharp images of these are 2.1 and 2.3 times finer than the model's.
DRY = Optics(0.5, 1.0, 0.52, 0.325)
OIL = Optics(1.4, 1.515, 0.52, 0.103)


def image(specimen, optics, defocus_um, seed, photons=2000):
    light = defocus(specimen, psf(optics, defocus_um))
    return Camera().expose(photons * (np.maximum(light, 0) + 0.03), seed)


def cells(finer, seed):
    side = round(252 * finer)
    return gaussian_filter(
        nuclei((side, side), 20, seed, diameter_px=(18 * finer, 32 * finer)), 1.3 * finer
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_white_noise_has_as_much_there_as_beyond(dtype):
    noise = np.random.default_rng(0).normal(100, 10, (40, 84, 84)).astype(dtype)
    assert upper_half(noise) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ("period_px", "is_there"), [(3, True), (3.8, True), (4.6, False), (8, False)]
)
def test_waves_are_found_by_their_period(period_px, is_there):
    y, x = np.mgrid[:84, :84]
    along = 0.6 * x + 0.8 * y
    noise = np.random.default_rng(1).normal(0, 10, (8, 84, 84))
    found = upper_half(100 + 20 * np.cos(2 * np.pi * along / period_px) + noise)
    assert (found > 1) == is_there
    assert is_there or found == pytest.approx(0, abs=0.12)


def test_gain_and_offset_say_nothing():
    patches = np.random.default_rng(2).normal(size=(4, 84, 84))
    assert upper_half(patches * 7 + 300) == pytest.approx(upper_half(patches), rel=1e-9)


def test_what_has_no_noise_has_no_such_number():
    smooth = gaussian_filter(np.random.default_rng(3).normal(size=(1, 84, 84)), (0, 4, 4))
    for patches in (np.ones((3, 84, 84)), np.zeros((0, 84, 84)), np.ones((1, 7, 84)), smooth):
        assert math.isnan(upper_half(patches))
    assert math.isnan(upper_half(np.full((1, 9, 9), np.nan)))
    assert math.isnan(upper_half(np.random.default_rng(4).normal(size=(1, 84, 84)) * 1e300))
    with pytest.raises(ImageError):
        upper_half(np.ones((84, 84)))


def test_the_surest_whole_patches_tell():
    rng = np.random.default_rng(5)
    noise = rng.normal(100, 10, (30, 84, 84))
    waves = noise + 30 * np.cos(2 * np.pi * np.arange(84) / 3)
    surest = SurestPatches()
    assert surest.hint == ""
    surest.add(waves[:20], None, np.linspace(0, 0.5, 20))
    assert surest.hint == ""
    surest.add(noise[:10], None, np.linspace(0.6, 0.9, 10))
    assert surest.hint == HINT
    # A masked pixel is none of the image's.
    masks = np.ones((10, 84, 84), bool)
    masks[:, 3, 5] = False
    surest.add(waves[:10], masks, np.ones(10))
    assert surest.hint == HINT
    surest.add(waves[:10], None, np.ones(10))
    assert surest.hint == ""


@pytest.mark.parametrize("optics", [DRY, OIL])
@pytest.mark.parametrize("seed", [0, 1])
def test_sharp_images_that_are_sampled_finely_are_told_of(optics, seed):
    plane = image(cells(2.2, seed), optics, 0, seed)
    unknown = measure_focus(plane)
    assert unknown.status == "out_of_focus"
    assert unknown.message == HINT
    assert sample_focus(plane, places=4).message == HINT
    known = measure_focus(plane, optics=optics)
    assert (known.status, known.message, known.binning) == ("in_focus", "", 2)


def test_blurred_images_are_told_of_but_not_sharp_ones():
    for seed in range(3):
        far = measure_focus(image(cells(1, seed), TRAINING_OPTICS, 10, seed))
        assert (far.status, far.message) == ("out_of_focus", HINT)
        sharp = measure_focus(image(cells(1, seed), TRAINING_OPTICS, 0, seed))
        assert (sharp.status, sharp.message) == ("in_focus", "")


@pytest.mark.parametrize("seed", [0, 1])
def test_what_a_finely_sampled_image_cannot_have_is_no_reason_for_a_hint(seed):
    """Levels 2.5 and 3 of fine fibres at the model's sampling, in bright light."""
    fibres = filaments((336, 336), 110, seed)
    for level in (2.5, 3):
        plane = image(fibres, TRAINING_OPTICS, TRAINING_OPTICS.defocus_of_level(level), seed, 4000)
        result = measure_focus(plane, in_focus_limit=0.5)
        assert result.status == "out_of_focus"
        assert result.message == ""
