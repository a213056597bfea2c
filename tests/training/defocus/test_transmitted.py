"""Images in transmitted light: what theory says of weak objects, and of no object."""

import dataclasses

import numpy as np
import pytest

from microscope_quality.optics import Optics
from microscope_quality.training.defocus.transmitted import (
    BRIGHTFIELD,
    CONTRASTS,
    DIC,
    PHASE_CONTRAST,
    TransmittedLight,
    draw_transmitted,
)

OPTICS = Optics(0.5, 1.0, 0.55, 0.33)
SIDE = 128


def light_of(contrast, **more):
    values = {"coherence": 0.5, "absorption": 0.0, "phase": 0.5, **more}
    return TransmittedLight(contrast=contrast, optics=OPTICS, **values)


def seen(light, specimen, defocus_um=0.0):
    return light.image(light.spectrum(specimen), defocus_um)


def grating(period, amount=0.02):
    return np.tile(amount * (1 + np.cos(2 * np.pi * np.arange(SIDE) / period)), (SIDE, 1))


def modulation(image, period):
    spectrum = np.fft.rfft(image.mean(axis=0))
    return np.abs(spectrum[SIDE // period]) / np.abs(spectrum[0])


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("defocus_um", [0.0, 7.0, -7.0])
def test_nothing_is_evenly_bright(contrast, defocus_um):
    image = seen(light_of(contrast), np.zeros((SIDE, SIDE)), defocus_um)
    np.testing.assert_allclose(image, 1, atol=2e-3)


def test_a_thin_phase_object_is_not_seen_in_focus_in_brightfield_but_beside_it():
    light = light_of(BRIGHTFIELD, coherence=0.2, points=12)
    in_focus = modulation(seen(light, grating(16)), 16)
    assert modulation(seen(light, grating(16), 12.0), 16) > 10 * in_focus


def test_the_two_sides_of_focus_show_a_phase_object_in_opposite_contrast():
    light = light_of(BRIGHTFIELD, coherence=0.2, points=12)
    above, below = (seen(light, grating(16), z).mean(axis=0) - 1 for z in (8.0, -8.0))
    assert np.corrcoef(above, below)[0, 1] < -0.98


@pytest.mark.parametrize("contrast", [PHASE_CONTRAST, DIC])
def test_phase_contrast_and_dic_show_it_in_focus(contrast):
    brightfield = modulation(seen(light_of(BRIGHTFIELD), grating(16)), 16)
    found = modulation(seen(light_of(contrast), grating(16)), 16)
    assert found > 10 * brightfield
    assert found > 0.002


def test_absorption_darkens_by_the_absorbance():
    specimen = np.zeros((SIDE, SIDE))
    specimen[32:96, 32:96] = 1
    image = seen(light_of(BRIGHTFIELD, absorption=0.5, phase=0.0), specimen)
    # The absorbance is that of the amplitude.
    assert image[56:72, 56:72].mean() == pytest.approx(np.exp(-1), rel=0.03)
    assert image[:8].mean() == pytest.approx(1, abs=0.03)


def test_defocus_of_coherent_light_follows_the_transfer_function_of_a_weak_phase_object():
    # The contrast of a phase grating in almost coherent light is that of sin(πλz·f²).
    light = light_of(BRIGHTFIELD, coherence=0.001, points=1)
    frequency = 1 / (16 * OPTICS.pixel_size_um)
    for distance in (5.0, 15.0, 25.0):
        # Of the brightness's cosine; that of the phase has an amplitude of 0.5·0.02.
        expected = (
            2 * 0.5 * 0.02 * abs(np.sin(np.pi * OPTICS.wavelength_um * distance * frequency**2))
        )
        found = 2 * modulation(seen(light, grating(16), distance), 16)
        assert found == pytest.approx(expected, rel=0.05, abs=2e-4)


def test_nothing_finer_than_the_objective_passes():
    # Beyond twice the aperture no light interferes.
    fine = Optics(0.2, 1.0, 0.55, 0.33)
    light = dataclasses.replace(light_of(BRIGHTFIELD, absorption=0.3), optics=fine)
    assert modulation(seen(light, grating(4)), 4) < 1e-4


def test_light_of_one_direction_spreads_less_than_that_of_a_wide_lamp():
    distance = OPTICS.defocus_of_level(8.0)
    narrow, wide = (
        light_of(BRIGHTFIELD, coherence=c).blur_diameter_px(distance) for c in (0.1, 0.95)
    )
    whole = OPTICS.blur_diameter_px(distance)
    assert 0.15 * whole < narrow < 0.5 * wide
    assert wide <= whole
    assert light_of(BRIGHTFIELD).blur_diameter_px(0.0) == OPTICS.blur_diameter_px(0.0)
    spread = [light_of(DIC).blur_diameter_px(z) for z in np.linspace(0, distance, 20)]
    assert np.all(np.diff(spread) > 0)


def test_what_is_drawn_is_sampled_well_enough_and_of_all_kinds():
    rng = np.random.default_rng(0)
    drawn = [draw_transmitted(rng) for _ in range(200)]
    assert {light.contrast for light in drawn} == set(CONTRASTS)
    for light in drawn:
        optics = light.optics
        assert optics.pixel_size_um <= optics.wavelength_um / (2 * optics.na) * 1.001
        assert 0 < light.coherence < 1
