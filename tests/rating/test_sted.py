"""The simulated STED microscope, against a scan that moves molecule by molecule."""

import math

import numpy as np
import pytest

from microscope_quality.concordance import score_of, spectral_concordance
from microscope_quality.errors import MicroscopeQualityError, SettingsError
from microscope_quality.rating.sted import StedMicroscope, fibres, ideal, scan


def counts(molecules, **changes):
    settings = {"excitation_uw": 10, "depletion_mw": 50, "dwell_us": 10, **changes}
    return scan(molecules, **settings)


def width_um(microscope, depletion_mw):
    """Full width at half height of a single molecule's image, by many molecules in one pixel."""
    molecules = np.zeros((81, 81))
    molecules[40, 40] = 1e7
    image = scan(
        molecules,
        excitation_uw=0.01,
        depletion_mw=depletion_mw,
        dwell_us=10,
        microscope=microscope,
    ).counts
    row = image[40]
    above = np.flatnonzero(row > row.max() / 2)
    ends = []
    for inside, outside in ((above[0], above[0] - 1), (above[-1], above[-1] + 1)):
        share = (row[inside] - row.max() / 2) / (row[inside] - row[outside])
        ends.append(inside + share * (outside - inside))
    return microscope.pixel_size_um * (ends[1] - ends[0])


def beams(microscope, dy, dx):
    """Excitation, ring and detection at a distance in pixels, written out once more."""
    squared = (dy**2 + dx**2) * microscope.pixel_size_um**2

    def gaussian(wavelength):
        return math.exp(-4 * math.log(2) * squared / (0.51 * wavelength / microscope.na) ** 2)

    decay = 4 * math.log(2) / (0.51 * microscope.depletion_um / microscope.na) ** 2
    ring = (1 - microscope.residual) * math.e * decay * squared * math.exp(-decay * squared)
    ring += microscope.residual * gaussian(microscope.depletion_um)
    return gaussian(microscope.excitation_um), ring, gaussian(microscope.emission_um)


def test_a_scan_is_what_a_beam_sees_that_moves_pixel_by_pixel():
    microscope = StedMicroscope(
        pixel_size_um=0.06, bleached=8e-6, background_hz=0, background_hz_per_mw=0
    )
    shape = (27, 27)
    left = np.zeros(shape)
    left[13, 13], left[12, 15] = 4e5, 3e5
    at_first = left.sum()
    excitation_uw, depletion_mw, dwell_us = 30.0, 20.0, 40.0
    area = math.pi * (0.51 * 0.635 / 1.4) ** 2 / (4 * math.log(2))
    flux = excitation_uw * 1e-6 / area / (6.626e-34 * 2.998e14 / 0.635)
    seen = np.zeros(shape)
    for y, x in np.ndindex(shape):
        for my, mx in ((13, 13), (12, 15)):
            excitation, ring, detection = beams(microscope, y - my, x - mx)
            pumped = 3e-8 * 3.4e-9 * flux * excitation
            excited = dwell_us * 1e-6 * pumped / (1 + pumped) / 3.4e-9
            strength = depletion_mw / 4.0 * ring
            seen[y, x] += left[my, mx] * excited * 0.01 * 2**-strength * detection
            left[my, mx] *= math.exp(-excited * 8e-6 * (1 + 0.5 * strength**1.4))
    molecules = np.zeros(shape)
    molecules[13, 13], molecules[12, 15] = 4e5, 3e5
    image = scan(
        molecules,
        excitation_uw=excitation_uw,
        depletion_mw=depletion_mw,
        dwell_us=dwell_us,
        microscope=microscope,
    )
    assert 0.2 < image.bleached < 0.95
    # The field ends before the beam's foot does.
    assert image.bleached == pytest.approx(1 - left.sum() / at_first, abs=0.01)
    lit = seen > 400
    assert lit.sum() > 20
    difference = (image.counts - seen)[lit] / np.sqrt(seen[lit])
    assert np.abs(difference).max() < 5
    assert difference.std() < 1.6


@pytest.mark.parametrize("depletion_mw", [0, 8, 40])
def test_the_width_follows_the_square_root_law(depletion_mw):
    """Of a confocal Gaussian and exp(-ln 2 P/Ps e d r²) near the middle, in closed form."""
    microscope = StedMicroscope(
        pixel_size_um=0.01, residual=0, bleached=0, background_hz=0, background_hz_per_mw=0
    )
    decays = [
        4 * math.log(2) / (0.51 * wavelength / 1.4) ** 2 for wavelength in (0.635, 0.665, 0.775)
    ]
    total = decays[0] + decays[1] + math.log(2) * depletion_mw / 4.0 * math.e * decays[2]
    expected = 2 * math.sqrt(math.log(2) / total)
    assert width_um(microscope, depletion_mw) == pytest.approx(expected, rel=0.05)


def test_light_is_counted_with_poisson_noise_and_in_proportion():
    molecules = np.full((120, 120), 0.5)
    few, many = (
        counts(molecules, excitation_uw=0.5, depletion_mw=0, dwell_us=dwell).counts[40:80, 40:80]
        for dwell in (5, 50)
    )
    assert many.mean() / few.mean() == pytest.approx(10, rel=0.05)
    for one in (few, many):
        assert one.var() / one.mean() == pytest.approx(1, abs=0.15)
        np.testing.assert_array_equal(one, np.round(one))


def test_bleaching_grows_with_each_light_and_with_time():
    molecules = fibres((64, 64), 0)
    base = counts(molecules).bleached
    assert counts(molecules, excitation_uw=20).bleached > base
    assert counts(molecules, depletion_mw=100).bleached > base
    assert counts(molecules, dwell_us=20).bleached > base
    assert counts(molecules, excitation_uw=0).bleached == 0


def test_the_best_settings_lie_inside():
    """Of each light and of time, both less and more give a worse image than the best place."""

    def scored(**changes):
        found = []
        for seed in range(3):
            molecules = fibres((96, 96), seed)
            settings = {"excitation_uw": 10, "depletion_mw": 60, "dwell_us": 20, **changes}
            image = scan(molecules, **settings, seed=seed).counts
            found.append(score_of(spectral_concordance(image, ideal(molecules))))
        return np.mean(found)

    best = scored()
    assert best > 0.85
    for name, ends in (
        ("excitation_uw", (0.2, 300)),
        ("depletion_mw", (3, 400)),
        ("dwell_us", (0.5, 1000)),
    ):
        for end in ends:
            assert scored(**{name: end}) < best - 0.1, (name, end)


def test_the_ideal_is_a_gaussian_of_the_probes_width():
    molecules = np.zeros((61, 61))
    molecules[30, 30] = 1
    row = ideal(molecules, probe_um=0.1)[30]
    assert row[30 + 2] / row[30] == pytest.approx(math.exp(-4 * math.log(2) * (0.04 / 0.1) ** 2))


def test_the_same_seed_gives_the_same_image():
    molecules = fibres((48, 48), 3)
    np.testing.assert_array_equal(fibres((48, 48), 3), molecules)
    np.testing.assert_array_equal(
        counts(molecules, seed=5).counts, counts(molecules, seed=5).counts
    )
    assert (counts(molecules, seed=5).counts != counts(molecules, seed=6).counts).any()


@pytest.mark.parametrize(
    "changes",
    [
        {"excitation_uw": -1},
        {"depletion_mw": math.nan},
        {"dwell_us": "long"},
        {"seed": -1},
        {"molecules": [1, 2]},
        {"molecules": [[-1.0]]},
    ],
)
def test_what_cannot_be_is_refused(changes):
    settings = {"excitation_uw": 1, "depletion_mw": 1, "dwell_us": 1, "molecules": [[1.0]]}
    with pytest.raises(MicroscopeQualityError):
        scan(**{**settings, **changes})


@pytest.mark.parametrize(
    "changes", [{"na": 0}, {"pixel_size_um": 1e-6}, {"efficiency": -1}, {"lifetime_s": 0}]
)
def test_a_microscope_that_cannot_be_is_refused(changes):
    with pytest.raises(SettingsError):
        counts_of = StedMicroscope(**changes)
        scan([[1.0]], excitation_uw=1, depletion_mw=1, dwell_us=1, microscope=counts_of)
