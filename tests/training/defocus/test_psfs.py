"""Faulty point spread functions against the ideal one, quadrature in the pupil, and Maréchal."""

import math
import sys

import numpy as np
import pytest

from microscope_quality.errors import OpticsError, SettingsError
from microscope_quality.optics import BLUR_PX_PER_LEVEL, TRAINING_OPTICS, Optics
from microscope_quality.psf import psf
from microscope_quality.training.defocus.psfs import aberrated_psf, best_focus_um, gibson_lanni_psf

OIL = Optics(na=1.4, refractive_index=1.515, wavelength_um=0.52, pixel_size_um=0.108)
DRY = Optics(na=0.95, refractive_index=1.0, wavelength_um=0.52, pixel_size_um=0.325)
FINE = Optics(na=0.5, refractive_index=1.0, wavelength_um=0.5, pixel_size_um=0.1)


def pupil_intensity(optics, y_um, x_um, defocus_um, spherical, astigmatism, angle_deg, coma):
    """Integrate over the pupil in polar coordinates, with the exact defocus phase."""
    nodes, weights = np.polynomial.legendre.leggauss(80)
    rho = 0.5 * (nodes + 1)[:, np.newaxis]
    theta = 2 * np.pi * np.arange(240) / 240
    error = spherical * math.sqrt(5) * (6 * rho**4 - 6 * rho**2 + 1)
    cosine = np.cos(2 * (theta - math.radians(angle_deg)))
    error = error + astigmatism * math.sqrt(6) * rho**2 * cosine
    error = error + coma * math.sqrt(8) * (3 * rho**3 - 2 * rho) * np.cos(theta - math.radians(50))
    k = 2 * np.pi * optics.refractive_index / optics.wavelength_um
    sine = optics.na / optics.refractive_index
    phase = k * defocus_um * (np.sqrt(1 - (sine * rho) ** 2) - 1) + 2 * np.pi * error
    place = 2 * np.pi * optics.na / optics.wavelength_um
    phase = phase + place * rho * (x_um * np.cos(theta) + y_um * np.sin(theta))
    amplitude = (weights[:, np.newaxis] * rho * np.exp(1j * phase)).sum() / 240
    return abs(amplitude) ** 2


class TestAberrated:
    @pytest.mark.parametrize("paraxial", [True, False])
    @pytest.mark.parametrize("level", [0.0, 1.0, 4.0, 10.0])
    @pytest.mark.parametrize("optics", [TRAINING_OPTICS, OIL, DRY], ids=["air", "oil", "steep"])
    def test_without_aberrations_is_the_bessel_integral(self, optics, level, paraxial):
        defocus_um = optics.defocus_of_cone(BLUR_PX_PER_LEVEL * level, paraxial=paraxial)
        ideal = psf(optics, defocus_um, paraxial=paraxial)
        found = aberrated_psf(optics, defocus_um, paraxial=paraxial, size=len(ideal))
        tolerance = 0.01 if level > 4 else 2e-3
        np.testing.assert_allclose(found, ideal, rtol=0, atol=tolerance * ideal.max())

    @pytest.mark.parametrize(
        ("defocus_um", "spherical", "astigmatism", "angle_deg", "coma"),
        [
            (0.0, 0.2, 0.0, 0, 0.0),
            (3.0, 0.1, 0.15, 20, 0.0),
            (-3.0, 0.1, 0.15, 20, 0.0),
            (2.0, 0.0, 0.2, 110, 0.0),
            (1.0, 0.05, 0.1, 20, 0.15),
        ],
    )
    def test_is_the_integral_over_the_pupil(
        self, defocus_um, spherical, astigmatism, angle_deg, coma
    ):
        kernel = aberrated_psf(
            FINE,
            defocus_um,
            spherical_waves=spherical,
            astigmatism_waves=astigmatism,
            astigmatism_deg=angle_deg,
            coma_waves=coma,
            coma_deg=50,
            pixel_integrated=False,
            bandwidth=0,
            size=41,
        )
        places = [(0, 0), (0, 5), (5, 0), (7, -3), (-7, 3), (12, 9), (3, -15), (4, 4), (-4, 4)]
        expected = np.array(
            [
                pupil_intensity(
                    *(FINE, 0.1 * y, 0.1 * x, defocus_um, spherical, astigmatism, angle_deg, coma)
                )
                for y, x in places
            ]
        )
        found = np.array([kernel[20 + y, 20 + x] for y, x in places])
        scale = (found @ expected) / (expected @ expected)
        np.testing.assert_allclose(found, scale * expected, rtol=0, atol=3e-3 * found.max())

    @pytest.mark.parametrize("waves", [0.02, 0.05, 0.07])
    @pytest.mark.parametrize("term", ["spherical_waves", "astigmatism_waves", "coma_waves"])
    def test_small_aberrations_dim_the_peak_as_marechal_says(self, term, waves):
        # exp(−(2πσ)²), V. N. Mahajan, J. Opt. Soc. Am. 73, 860 (1983).
        options = {"bandwidth": 0, "pixel_integrated": False, "size": 101}
        dimmed = aberrated_psf(FINE, 0.0, **{term: waves}, **options).max()
        peak = aberrated_psf(FINE, 0.0, **options).max()
        assert dimmed / peak == pytest.approx(math.exp(-((2 * math.pi * waves) ** 2)), abs=0.005)

    def test_the_other_side_of_focus_is_that_of_the_opposite_aberration(self):
        options = {"size": 31, "astigmatism_deg": 35}
        one = aberrated_psf(FINE, 4.0, spherical_waves=0.1, astigmatism_waves=0.1, **options)
        other = aberrated_psf(FINE, -4.0, spherical_waves=-0.1, astigmatism_waves=-0.1, **options)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
        same = aberrated_psf(FINE, -4.0, spherical_waves=0.1, astigmatism_waves=0.1, **options)
        assert np.abs(one - same).max() > 0.1 * one.max()

    def test_astigmatism_draws_a_point_out_along_its_axes(self):
        steps = np.arange(41) - 20
        moments = []
        for defocus_um in (2.0, -2.0):
            kernel = aberrated_psf(FINE, defocus_um, astigmatism_waves=0.2, size=41)
            moments.append([(kernel.sum(axis=axis) * steps**2).sum() for axis in (0, 1)])
        assert moments[0][0] > 1.5 * moments[0][1] or moments[0][1] > 1.5 * moments[0][0]
        np.testing.assert_allclose(moments[0], moments[1][::-1], rtol=0.01)

    def test_holds_its_light(self):
        kernel = aberrated_psf(TRAINING_OPTICS, 10.0, spherical_waves=0.2, astigmatism_waves=0.1)
        wide = aberrated_psf(
            TRAINING_OPTICS, 10.0, spherical_waves=0.2, astigmatism_waves=0.1, size=101
        )
        assert kernel.sum() == pytest.approx(1, abs=1e-9)
        cut = (101 - len(kernel)) // 2
        assert 0.985 < wide[cut:-cut, cut:-cut].sum() < 0.999

    def test_with_a_size_the_energy_is_not_used(self):
        kernel = aberrated_psf(FINE, 2.0, spherical_waves=0.1, size=21, energy=1.0)
        expected = aberrated_psf(FINE, 2.0, spherical_waves=0.1, size=21)
        np.testing.assert_array_equal(kernel, expected)

    @pytest.mark.libraries
    @pytest.mark.parametrize("depth_um", [3.0, 12.0])
    @pytest.mark.parametrize("defocus_um", [0.0, 1.0, -1.0])
    def test_at_a_depth_is_that_of_gibson_and_lanni(self, depth_um, defocus_um):
        options = {"depth_um": depth_um, "sample_index": 1.38, "size": 41, "bandwidth": 0}
        found = aberrated_psf(OIL, defocus_um, **options)
        # There, defocus is counted towards the specimen.
        expected = gibson_lanni_psf(OIL, -defocus_um, **options)
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.03 * expected.max())

    def test_a_specimen_of_the_immersion_s_index_changes_nothing(self):
        options = {"size": 41}
        ideal = aberrated_psf(OIL, 0.8, **options)
        index = OIL.refractive_index
        found = aberrated_psf(OIL, 0.8, depth_um=10.0, sample_index=index, **options)
        np.testing.assert_allclose(found, ideal, atol=1e-6)

    def test_refuses_a_kernel_beyond_all_images(self):
        with pytest.raises(OpticsError, match="more than 1023 px"):
            aberrated_psf(TRAINING_OPTICS, 1e4, spherical_waves=0.1)


@pytest.mark.libraries
class TestGibsonLanni:
    @pytest.fixture(autouse=True)
    def _library(self):
        pytest.importorskip("psfmodels", reason="needs pip install 'microscope-quality[psf]'")

    @pytest.mark.parametrize("depth_um", [0.0, 5.0])
    @pytest.mark.parametrize("level", [0.0, 3.0, 10.0])
    @pytest.mark.parametrize("optics", [TRAINING_OPTICS, OIL, DRY], ids=["air", "oil", "steep"])
    def test_without_a_mismatch_is_the_bessel_integral(self, optics, level, depth_um):
        defocus_um = optics.defocus_of_cone(BLUR_PX_PER_LEVEL * level)
        ideal = psf(optics, defocus_um)
        found = gibson_lanni_psf(
            optics,
            defocus_um,
            depth_um=depth_um,
            sample_index=optics.refractive_index,
            size=len(ideal),
        )
        np.testing.assert_allclose(found, ideal, rtol=0, atol=3e-3 * ideal.max())

    def test_is_symmetric_and_holds_its_light(self):
        kernel = gibson_lanni_psf(TRAINING_OPTICS, 8.0, depth_um=20.0, sample_index=1.38)
        assert kernel.sum() == pytest.approx(1, abs=1e-9)
        assert kernel.min() >= 0
        np.testing.assert_array_equal(kernel, kernel.T)
        np.testing.assert_array_equal(kernel, kernel[::-1])
        wide = gibson_lanni_psf(TRAINING_OPTICS, 8.0, depth_um=20.0, sample_index=1.38, size=121)
        cut = (121 - len(kernel)) // 2
        assert 0.985 < wide[cut:-cut, cut:-cut].sum() < 0.998

    def test_a_mismatch_blurs_the_focus_and_parts_its_sides(self):
        optics = Optics(na=0.8, refractive_index=1.0, wavelength_um=0.5, pixel_size_um=0.2)
        options = {"sample_index": 1.33, "size": 41}
        deep = [gibson_lanni_psf(optics, z, depth_um=25.0, **options) for z in (-3.0, 0.0, 3.0)]
        shallow = gibson_lanni_psf(optics, 0.0, depth_um=0.0, **options)
        assert deep[1].max() < 0.8 * shallow.max()
        assert np.abs(deep[0] - deep[2]).max() > 0.5 * deep[2].max()

    @pytest.mark.parametrize(("na", "index"), [(0.5, 1.0), (0.8, 1.0), (1.2, 1.515)])
    def test_best_focus_is_the_brightest_place_on_the_axis(self, na, index):
        optics = Optics(na=na, refractive_index=index, wavelength_um=0.5, pixel_size_um=0.1)
        found = best_focus_um(optics, depth_um=10.0, sample_index=1.33)

        # The optical path of Gibson and Lanni, through 10 µm of the specimen and an immersion that
        # is the thinner the nearer the objective is.
        nodes, weights = np.polynomial.legendre.leggauss(400)
        sines = na * 0.5 * (nodes + 1)
        steps = np.linspace(found - 3, found + 3, 601)
        in_sample = np.sqrt(1.33**2 - sines**2)
        in_immersion = np.sqrt(index**2 - sines**2)
        immersion_um = (10.0 - steps - 10.0 * index / 1.33)[:, np.newaxis]
        phase = 2 * np.pi / 0.5 * (10.0 * in_sample + immersion_um * in_immersion)
        intensity = np.abs((weights * sines * np.exp(1j * phase)).sum(axis=1)) ** 2
        assert steps[intensity.argmax()] == pytest.approx(found, abs=0.05)

    def test_refuses_a_kernel_beyond_all_images(self):
        with pytest.raises(OpticsError, match="more than 1023 px"):
            gibson_lanni_psf(OIL, 200.0, sample_index=1.33)


@pytest.mark.parametrize("energy", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("defocus_um", [-6.0, 0.0, 6.0])
@pytest.mark.parametrize(
    "made",
    [
        lambda z, **more: psf(TRAINING_OPTICS, z, **more),
        lambda z, **more: aberrated_psf(
            TRAINING_OPTICS, z, spherical_waves=0.1, astigmatism_waves=0.1, **more
        ),
        pytest.param(
            lambda z, **more: gibson_lanni_psf(
                TRAINING_OPTICS, z, depth_um=10.0, sample_index=1.38, **more
            ),
            marks=pytest.mark.libraries,
        ),
    ],
    ids=["bessel", "aberrated", "gibson_lanni"],
)
def test_a_kernel_neither_adds_nor_takes_light(made, defocus_um, energy, request):
    if "gibson_lanni" in request.node.name:
        pytest.importorskip("psfmodels", reason="needs pip install 'microscope-quality[psf]'")
    for more in ({"energy": energy}, {"size": 21}):
        kernel = made(defocus_um, **more)
        assert kernel.sum() == pytest.approx(1, abs=1e-12)
        assert kernel.min() >= 0
        assert len(kernel) % 2 == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        # Diffracted light has no end: no kernel holds all of it.
        ({"energy": 1.0}, "energy must be above 0 and at most 0.999, not 1.0"),
        ({"energy": 0.0}, "energy must be"),
        ({"size": 20}, "size must be odd"),
        ({"bandwidth": 1.5}, "bandwidth must be"),
        ({"defocus_um": math.inf}, "defocus_um must be finite"),
    ],
)
def test_what_no_kernel_can_have_is_refused_as_of_the_ideal_one(more, said):
    arguments = {"defocus_um": 3.0, **more}
    for made, own in (
        (psf, {}),
        (aberrated_psf, {"spherical_waves": 0.1}),
        (gibson_lanni_psf, {"sample_index": 1.33}),
    ):
        with pytest.raises((OpticsError, SettingsError), match=said):
            made(TRAINING_OPTICS, **arguments, **own)


def test_without_the_library_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psfmodels", None)
    with pytest.raises(SettingsError, match=r"pip install 'microscope-quality\[psf\]'"):
        gibson_lanni_psf(TRAINING_OPTICS, 0.0, sample_index=1.33)
