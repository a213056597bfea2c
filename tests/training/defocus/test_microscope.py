"""The simulated microscope: what it refuses, what it draws, and whose kernels it has."""

import numpy as np
import pytest

from microscope_quality.errors import SettingsError
from microscope_quality.optics import BLUR_PX_PER_LEVEL, TRAINING_OPTICS, Optics
from microscope_quality.psf import psf
from microscope_quality.training.defocus.microscope import Aberrations, Faults, Microscope
from microscope_quality.training.defocus.psfs import aberrated_psf

FAULTY = Microscope(
    optics=Optics(0.75, 1.0, 0.52, 0.325),
    paraxial=False,
    spherical_waves=(0.05, 0.1),
    astigmatism_waves=(0.0, 0.2),
    tilt_levels=(1.0, 4.0),
    vignetting=(0.1, 0.5),
    saturation=(0.0, 0.02),
)


def test_neighbouring_levels_of_any_sampling_differ():
    for pixel_size_um in (0.065, 0.09, 0.3):
        microscope = Microscope(optics=Optics(1.4, 1.515, 0.52, pixel_size_um))
        assert microscope.defocus_um(0) == 0
        distances = [microscope.defocus_um(level) for level in range(4)]
        assert np.diff(distances).min() > 0.05
        one, other = (microscope.kernel(level) for level in (0, 1))
        middle = len(one) // 2, len(other) // 2
        assert one[middle[0], middle[0]] > 1.1 * other[middle[1], middle[1]]


@pytest.mark.parametrize("level", [0, 1, 5, 10])
def test_the_default_has_levels_by_light_on_both_sides_of_focus(level):
    distance_um = TRAINING_OPTICS.defocus_of_added_blur(BLUR_PX_PER_LEVEL * level)
    expected = psf(TRAINING_OPTICS, distance_um)
    np.testing.assert_array_equal(Microscope().kernel(level), expected)
    np.testing.assert_array_equal(Microscope().kernel(-level), expected)
    assert Microscope().defocus_um(-level) == pytest.approx(-distance_um)


@pytest.mark.parametrize("level", [0, 1, 5, 10])
def test_paraxial_has_the_published_levels(level):
    published = Microscope(paraxial=True)
    # 2 µm a level, to the rounding of 3.08 px.
    assert published.defocus_um(level) == pytest.approx(2 * level, rel=0.002)
    distance_um = TRAINING_OPTICS.defocus_of_cone(BLUR_PX_PER_LEVEL * level, paraxial=True)
    expected = psf(TRAINING_OPTICS, distance_um, paraxial=True)
    np.testing.assert_array_equal(published.kernel(level), expected)


def test_kernels_have_the_aberrations_drawn():
    drawn = Aberrations(spherical_waves=0.1, astigmatism_waves=0.05, astigmatism_deg=30)
    expected = aberrated_psf(
        FAULTY.optics,
        -FAULTY.optics.defocus_of_added_blur(3 * BLUR_PX_PER_LEVEL),
        spherical_waves=0.1,
        astigmatism_waves=0.05,
        astigmatism_deg=30,
    )
    np.testing.assert_array_equal(FAULTY.kernel(-3, drawn), expected)


def test_a_kernel_cannot_be_spoilt_for_the_next():
    with pytest.raises(ValueError, match="read-only"):
        Microscope().kernel(2)[0, 0] = 1


def test_what_is_drawn_lies_in_its_range_and_without_one_nothing_is_drawn():
    rng = np.random.default_rng(0)
    aberrations = [FAULTY.draw_aberrations(rng) for _ in range(200)]
    faults = [FAULTY.draw_faults(rng) for _ in range(200)]
    for values, low, high in (
        ([drawn.spherical_waves for drawn in aberrations], 0.05, 0.1),
        ([drawn.astigmatism_waves for drawn in aberrations], 0.0, 0.2),
        ([drawn.astigmatism_deg for drawn in aberrations], 0, 180),
        ([drawn.tilt_levels for drawn in faults], 1, 4),
        ([drawn.tilt_deg for drawn in faults], 0, 360),
        ([drawn.vignetting for drawn in faults], 0.1, 0.5),
        ([drawn.saturation for drawn in faults], 0, 0.02),
    ):
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) <= high
    assert 60 < sum(drawn.side == 1 for drawn in aberrations) < 140

    assert Microscope().draw_aberrations(rng) == Aberrations()
    assert Microscope().draw_faults(rng) == Faults()
    state = rng.bit_generator.state
    Microscope(vignetting=(0.3, 0.3)).draw_faults(rng)
    assert rng.bit_generator.state == state


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"spherical_waves": (0.2, 0.1)}, "spherical_waves must be a range, low to high"),
        ({"spherical_waves": (0, 0.6)}, "from 0 to 0.5; it is"),
        ({"astigmatism_waves": (-0.1, 0)}, "astigmatism_waves must be"),
        ({"tilt_levels": 3}, "tilt_levels must be a range"),
        ({"tilt_levels": (0, 21)}, "from 0 to 20"),
        ({"tilt_levels": (0, 1, 2)}, "tilt_levels must be a range"),
        ({"vignetting": ("0", "1")}, "vignetting must be a range"),
        ({"vignetting": (0, float("nan"))}, "vignetting must be a range"),
        ({"saturation": (0, True)}, "saturation must be a range"),
        ({"psf": "gauss"}, "psf must be bessel or gibson_lanni, not 'gauss'"),
        ({"psf": "gibson_lanni", "paraxial": True}, "not paraxial"),
        ({"depth_um": (0, 5)}, "goes with the PSF gibson_lanni"),
        (
            {"psf": "gibson_lanni", "paraxial": False, "spherical_waves": (0, 0.1)},
            "go with the PSF bessel",
        ),
        ({"sample_index": 0.9}, "sample_index must be a number from 1 to 2"),
        ({"sample_index": "water"}, "sample_index must be a number"),
        ({"paraxial": "yes"}, "paraxial must be true or false"),
        ({"optics": "20x"}, "optics must be an Optics"),
    ],
)
def test_refuses_what_cannot_be_with_a_sentence(values, told):
    with pytest.raises(SettingsError, match=told):
        Microscope(**values)
