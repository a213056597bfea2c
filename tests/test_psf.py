"""Point spread functions against closed forms and adaptive quadrature."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import erf, j0, j1, jn_zeros, roots_legendre

from microscope_quality.errors import OpticsError, SettingsError
from microscope_quality.optics import BLUR_PX_PER_LEVEL, TRAINING_OPTICS, Optics
from microscope_quality.psf import psf, radial_intensity, radial_kernel

OIL = Optics(na=1.4, refractive_index=1.515, wavelength_um=0.52, pixel_size_um=0.108)
WATER = Optics(na=1.2, refractive_index=1.33, wavelength_um=0.6, pixel_size_um=0.1)
LOW = Optics(na=0.3, refractive_index=1.0, wavelength_um=0.69, pixel_size_um=0.65)
STEEP = Optics(na=1.49, refractive_index=1.515, wavelength_um=0.45, pixel_size_um=0.065)
NODES, WEIGHTS = roots_legendre(400)
ALL = [TRAINING_OPTICS, OIL, WATER, LOW, STEEP]

any_optics = st.builds(
    lambda sine, index, wavelength_um, sampling: Optics(
        na=sine * index,
        refractive_index=index,
        wavelength_um=wavelength_um,
        pixel_size_um=sampling * wavelength_um / (sine * index),
    ),
    st.floats(0.05, 0.98),
    st.floats(1.0, 1.6),
    st.floats(0.3, 0.9),
    st.floats(0.2, 1.5),
)


def adaptive_intensity(optics, radius_um, defocus_um, paraxial, wavelength_um=None):
    """Evaluate the diffraction integral, as written in the books, by QUADPACK."""
    wave_number = 2 * math.pi * optics.refractive_index / (wavelength_um or optics.wavelength_um)
    sine = optics.na / optics.refractive_index

    def phase(rho):
        if paraxial:
            return 0.5 * wave_number * defocus_um * (sine * rho) ** 2
        return wave_number * defocus_um * (math.sqrt(1 - (sine * rho) ** 2) - 1)

    def integral(part):
        def integrand(rho):
            return 2 * j0(wave_number * sine * radius_um * rho) * part(phase(rho)) * rho

        # In panels, none of which has so many oscillations that QUADPACK loses digits.
        n_panels = 1 + int(wave_number * sine * (radius_um + defocus_um) / 20)
        edges = np.linspace(0, 1, n_panels + 1)
        return sum(
            quad(integrand, low, high, epsabs=1e-14, epsrel=1e-12, limit=200)[0]
            for low, high in zip(edges[:-1], edges[1:])
        )

    return integral(math.cos) ** 2 + integral(math.sin) ** 2


def square_energy(optics, defocus_um, paraxial, size):
    """Share of the light in a centred square, from the intensity along a radius."""
    half_um = 0.5 * size * optics.pixel_size_um

    def integral(low, high, width):
        radii_um = low + 0.5 * (high - low) * (NODES + 1)
        intensity = radial_intensity(optics, radii_um, defocus_um, paraxial=paraxial)
        return 0.5 * (high - low) * np.sum(WEIGHTS * intensity * radii_um * width(radii_um))

    inside = integral(0.0, half_um, lambda radii: 2 * math.pi)
    corners = integral(
        half_um,
        math.sqrt(2) * half_um,
        lambda radii: 2 * math.pi - 8 * np.arccos(half_um / radii),
    )
    return (inside + corners) * math.pi * (optics.na / optics.wavelength_um) ** 2


class TestRadialIntensity:
    @pytest.mark.parametrize("paraxial", [False, True])
    @pytest.mark.parametrize("optics", ALL, ids=lambda optics: f"na{optics.na:g}")
    @pytest.mark.parametrize("level", [0.0, 0.3, 1.0, 4.7, 10.0, 40.0])
    def test_equals_adaptive_quadrature(self, optics, level, paraxial):
        defocus_um = optics.defocus_of_cone(BLUR_PX_PER_LEVEL * level, paraxial=paraxial)
        disc_um = 0.5 * BLUR_PX_PER_LEVEL * level * optics.pixel_size_um
        airy_um = optics.wavelength_um / optics.na
        radii_um = np.concatenate(
            [
                [0.0],
                airy_um * np.array([0.1, 0.45, 0.61, 1.3, 7.0]),
                disc_um * np.array([0.31, 0.8, 0.97, 1.0, 1.2]),
            ]
        )
        expected = [adaptive_intensity(optics, r, defocus_um, paraxial) for r in radii_um]
        found = radial_intensity(optics, radii_um, defocus_um, paraxial=paraxial)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * max(expected))

    @pytest.mark.parametrize("optics", [TRAINING_OPTICS, OIL], ids=["air", "oil"])
    def test_equals_adaptive_quadrature_far_from_focus(self, optics):
        # Blurred over some 600 pixels.
        defocus_um = optics.defocus_of_cone(BLUR_PX_PER_LEVEL * 200)
        disc_um = 0.5 * 200 * BLUR_PX_PER_LEVEL * optics.pixel_size_um
        radii_um = disc_um * np.array([0.0, 0.2, 0.95, 1.1])
        expected = [adaptive_intensity(optics, r, defocus_um, False) for r in radii_um]
        found = radial_intensity(optics, radii_um, defocus_um)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * max(expected))

    @pytest.mark.parametrize("paraxial", [False, True])
    @pytest.mark.parametrize("optics", ALL, ids=lambda optics: f"na{optics.na:g}")
    def test_first_dark_ring_in_focus(self, optics, paraxial):
        resolution_um = optics.wavelength_um / optics.na
        ring = minimize_scalar(
            lambda radius_um: float(radial_intensity(optics, radius_um, 0.0, paraxial=paraxial)),
            bounds=(0.4 * resolution_um, 0.8 * resolution_um),
            method="bounded",
            options={"xatol": 1e-9},
        )
        assert ring.fun < 1e-12
        assert ring.x == pytest.approx(0.61 * resolution_um, rel=1e-3)
        assert ring.x == pytest.approx(jn_zeros(1, 1)[0] / (2 * math.pi) * resolution_um, rel=1e-5)

    def test_first_dark_ring_of_an_oil_objective_is_at_0_22_um(self):
        optics = Optics(1.4, 1.515, 0.51, 0.1)
        radii_um = np.arange(0.15, 0.40, 1e-4)
        darkest = radii_um[np.argmin(radial_intensity(optics, radii_um[radii_um < 0.3], 0.0))]
        assert darkest == pytest.approx(0.222, abs=5e-4)

    def test_is_the_airy_pattern_in_focus(self):
        radii_um = np.linspace(0.01, 30, 500)
        v = 2 * math.pi * OIL.na / OIL.wavelength_um * radii_um
        np.testing.assert_allclose(
            radial_intensity(OIL, radii_um, 0.0), (2 * j1(v) / v) ** 2, rtol=0, atol=1e-13
        )

    @pytest.mark.parametrize("optics", ALL, ids=lambda optics: f"na{optics.na:g}")
    def test_paraxial_axis_is_a_sinc_with_zeros(self, optics):
        first_zero_um = 2 * optics.wavelength_um * optics.refractive_index / optics.na**2
        for order in (1, 2, 3, 7):
            zero = radial_intensity(optics, 0.0, order * first_zero_um, paraxial=True)
            assert zero < 1e-25
        for ratio in (0.2, 0.5, 1.5, 3.3):
            between = radial_intensity(optics, 0.0, ratio * first_zero_um, paraxial=True)
            assert between == pytest.approx(np.sinc(ratio) ** 2, rel=1e-9)

    @pytest.mark.parametrize("optics", ALL, ids=lambda optics: f"na{optics.na:g}")
    def test_exact_axis_has_its_closed_form(self, optics):
        # With c = cos θ the integral on the axis is ∫ c·exp(ikzc) dc from cos(asin(NA/n)) to 1.
        sine = optics.na / optics.refractive_index
        lowest = math.sqrt(1 - sine**2)
        for defocus_um in (0.7, 5.0, 31.0):
            kz = 2 * math.pi * optics.refractive_index / optics.wavelength_um * defocus_um

            def antiderivative(cosine, kz=kz):
                return np.exp(1j * kz * cosine) * (cosine / (1j * kz) + 1 / kz**2)

            field = 2 / sine**2 * (antiderivative(1.0) - antiderivative(lowest))
            found = radial_intensity(optics, 0.0, defocus_um)
            assert found == pytest.approx(abs(field) ** 2, rel=1e-9, abs=1e-14)

    @given(any_optics, st.floats(0, 30), st.booleans())
    @settings(max_examples=50, deadline=None)
    def test_is_symmetric_and_never_above_the_focus(self, optics, level, paraxial):
        defocus_um = optics.defocus_of_cone(BLUR_PX_PER_LEVEL * level, paraxial=paraxial)
        radii_um = np.arange(-20, 21) * optics.pixel_size_um
        above = radial_intensity(optics, radii_um, defocus_um, paraxial=paraxial)
        below = radial_intensity(optics, radii_um, -defocus_um, paraxial=paraxial)
        np.testing.assert_array_equal(above, below)
        np.testing.assert_allclose(above, above[::-1], rtol=0, atol=1e-13)
        assert above.min() >= 0
        assert above.max() <= 1 + 1e-12

    def test_keeps_the_shape_of_the_radii(self):
        assert radial_intensity(OIL, 0.3, 1.0).shape == ()
        assert radial_intensity(OIL, np.ones((2, 3)), 1.0).shape == (2, 3)
        assert radial_intensity(OIL, [], 1.0).shape == (0,)

    def test_takes_another_wavelength(self):
        other = Optics(OIL.na, OIL.refractive_index, 0.6, OIL.pixel_size_um)
        np.testing.assert_array_equal(
            radial_intensity(OIL, [0.0, 0.3], 1.0, wavelength_um=0.6),
            radial_intensity(other, [0.0, 0.3], 1.0),
        )

    @pytest.mark.parametrize(
        ("radii_um", "defocus_um", "wavelength_um"),
        [
            (0.0, math.nan, None),
            (0.0, math.inf, None),
            (math.nan, 0.0, None),
            ([0.0, math.inf], 0.0, None),
            (0.0, 0.0, 0.0),
            (0.0, 0.0, math.nan),
            (0.0, 1e9, None),
        ],
    )
    def test_refuses_what_is_not_finite_or_too_far(self, radii_um, defocus_um, wavelength_um):
        with pytest.raises(OpticsError):
            radial_intensity(OIL, radii_um, defocus_um, wavelength_um=wavelength_um)


class TestPsf:
    @pytest.mark.parametrize("defocus_um", [0.0, 2.0, 9.3, 20.0])
    def test_published_kernel_equals_a_quadrature_for_each_pixel(self, defocus_um):
        kernel = psf(
            TRAINING_OPTICS, defocus_um, paraxial=True, pixel_integrated=False, bandwidth=0, size=51
        )
        assert kernel.shape == (51, 51)
        rows, columns = np.array([(25, 25), (25, 26), (27, 31), (12, 12), (0, 25), (0, 50)]).T
        expected = np.array(
            [
                adaptive_intensity(
                    TRAINING_OPTICS, 0.65 * math.hypot(r - 25, c - 25), defocus_um, paraxial=True
                )
                for r, c in zip(rows, columns)
            ]
        )
        found = kernel[rows, columns]
        # The kernel is normalised, by a factor that these pixels do not tell.
        brightest = np.argmax(expected)
        np.testing.assert_allclose(
            found / found[brightest], expected / expected[brightest], rtol=0, atol=1e-9
        )

    @given(any_optics, st.floats(0, 12), st.booleans(), st.booleans(), st.sampled_from([0, 0.1]))
    @settings(max_examples=25, deadline=None)
    def test_is_a_symmetric_distribution(self, optics, level, paraxial, integrated, bandwidth):
        defocus_um = optics.defocus_of_cone(BLUR_PX_PER_LEVEL * level, paraxial=paraxial)
        options = {"paraxial": paraxial, "pixel_integrated": integrated, "bandwidth": bandwidth}
        kernel = psf(optics, defocus_um, **options)
        assert kernel.dtype == np.float64
        assert kernel.shape[0] == kernel.shape[1]
        assert kernel.shape[0] % 2 == 1
        assert kernel.min() >= 0
        assert kernel.sum() == pytest.approx(1, abs=1e-12)
        np.testing.assert_array_equal(kernel, kernel[::-1])
        np.testing.assert_array_equal(kernel, kernel[:, ::-1])
        np.testing.assert_array_equal(kernel, kernel.T)
        np.testing.assert_array_equal(kernel, psf(optics, -defocus_um, **options))

    @pytest.mark.parametrize("energy", [0.5, 0.9, 0.99, 0.997])
    @pytest.mark.parametrize("level", [0.0, 2.0, 10.0])
    @pytest.mark.parametrize(
        ("optics", "paraxial"), [(TRAINING_OPTICS, True), (TRAINING_OPTICS, False), (OIL, False)]
    )
    def test_is_the_smallest_that_holds_the_energy(self, optics, paraxial, level, energy):
        defocus_um = optics.defocus_of_cone(BLUR_PX_PER_LEVEL * level, paraxial=paraxial)
        kernel = psf(optics, defocus_um, paraxial=paraxial, bandwidth=0, energy=energy)
        size = len(kernel)
        assert square_energy(optics, defocus_um, paraxial, size) >= energy - 1e-5
        if size > 1:
            assert square_energy(optics, defocus_um, paraxial, size - 2) < energy + 1e-5

    def test_square_energy_counts_all_light(self):
        # The Airy pattern holds 1 − J₀² − J₁² within a radius; a square lies between two circles.
        v = math.pi * TRAINING_OPTICS.na / TRAINING_OPTICS.wavelength_um * 29 * 0.65
        inner, outer = (1 - j0(w) ** 2 - j1(w) ** 2 for w in (v, v * math.sqrt(2)))
        assert inner < square_energy(TRAINING_OPTICS, 0.0, False, 29) < outer

    def test_kernel_of_a_size_is_the_middle_of_a_larger_one(self):
        large = psf(OIL, 1.0, size=41)
        small = psf(OIL, 1.0, size=31)
        middle = large[5:-5, 5:-5]
        np.testing.assert_allclose(small, middle / middle.sum(), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("optics", [TRAINING_OPTICS, OIL], ids=["air", "oil"])
    def test_pixels_integrate_the_intensity(self, optics):
        defocus_um = optics.defocus_of_cone(BLUR_PX_PER_LEVEL * 2.5)
        kernel = psf(optics, defocus_um, bandwidth=0, size=9)
        # The intensity itself, without interpolation, at 30×30 points of every pixel.
        nodes, weights = np.polynomial.legendre.leggauss(30)
        axis = np.add.outer(np.arange(9) - 4, 0.5 * nodes).ravel() * optics.pixel_size_um
        intensity = radial_intensity(optics, np.hypot.outer(axis, axis), defocus_um)
        expected = np.einsum("iajb,a,b->ij", intensity.reshape(9, 30, 9, 30), weights, weights)
        expected /= expected.sum()
        np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-9 * kernel.max())

    def test_band_averages_light_of_equal_power(self):
        defocus_um = 8.0
        kernel = psf(TRAINING_OPTICS, defocus_um, pixel_integrated=False, bandwidth=0.1, size=21)
        steps = np.arange(21) - 10
        radii_um = 0.65 * np.hypot.outer(steps, steps)
        expected = np.zeros((21, 21))
        wavelengths_um = np.linspace(0.475, 0.525, 401)
        simpson = np.array([1] + [4, 2] * 199 + [4, 1])
        for wavelength_um, weight in zip(wavelengths_um, simpson):
            # With half the wavelength the same light falls on a quarter of the area.
            expected += (
                weight
                / wavelength_um**2
                * radial_intensity(
                    TRAINING_OPTICS, radii_um, defocus_um, wavelength_um=wavelength_um
                )
            )
        expected /= expected.sum()
        np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-9 * kernel.max())

    def test_band_and_pixel_leave_no_dark_axis(self):
        dark = 8.0
        options = {"paraxial": True, "size": 51}
        plain = psf(TRAINING_OPTICS, dark, pixel_integrated=False, bandwidth=0, **options)
        default = psf(TRAINING_OPTICS, dark, **options)
        assert plain[25, 25] < 1e-20 * plain.max()
        assert default[25, 25] > 0.05 * default.max()

    @pytest.mark.parametrize("paraxial", [False, True])
    def test_far_from_focus_rays_say_where_the_light_is(self, paraxial):
        defocus_um = OIL.defocus_of_cone(BLUR_PX_PER_LEVEL * 50.0, paraxial=paraxial)
        kernel = psf(OIL, defocus_um, paraxial=paraxial, size=191)
        steps = np.arange(191) - 95
        radii_px = np.hypot.outer(steps, steps)
        sine = OIL.na / OIL.refractive_index
        for share in (0.1, 0.3, 0.6, 0.9):
            # The pupil is evenly bright: a share of the light passes inside its square root.
            ray = sine * math.sqrt(share)
            tangent = ray if paraxial else math.tan(math.asin(ray))
            inside = radii_px < defocus_um * tangent / OIL.pixel_size_um
            assert kernel[inside].sum() == pytest.approx(share, abs=0.04)

    def test_size_of_one_pixel(self):
        np.testing.assert_array_equal(psf(OIL, 0.0, size=1), [[1.0]])
        np.testing.assert_array_equal(
            psf(OIL, 0.0, size=np.int64(1), pixel_integrated=False), [[1.0]]
        )

    @pytest.mark.parametrize("pixel_integrated", [True, False])
    @pytest.mark.parametrize("energy", [0.5, 1.0])
    def test_with_a_size_the_energy_is_not_used(self, energy, pixel_integrated):
        options = dict(size=21, pixel_integrated=pixel_integrated)
        kernel = psf(TRAINING_OPTICS, 5.0, energy=energy, **options)
        np.testing.assert_array_equal(kernel, psf(TRAINING_OPTICS, 5.0, **options))

    @pytest.mark.parametrize("size", [0, -1, 2, 50, 51.0, "51", True, 100001])
    def test_refuses_other_sizes(self, size):
        with pytest.raises(SettingsError, match="size must be"):
            psf(TRAINING_OPTICS, 0.0, size=size)

    @pytest.mark.parametrize("bandwidth", [-0.1, 1.0, math.nan])
    def test_refuses_other_bandwidths(self, bandwidth):
        with pytest.raises(SettingsError, match="bandwidth"):
            psf(TRAINING_OPTICS, 0.0, bandwidth=bandwidth)

    @pytest.mark.parametrize("energy", [0.0, 1.0, 0.9999, -1.0, math.nan])
    def test_refuses_other_energies(self, energy):
        with pytest.raises(SettingsError, match="energy"):
            psf(TRAINING_OPTICS, 0.0, energy=energy)

    def test_refuses_a_kernel_beyond_all_images(self):
        with pytest.raises(OpticsError, match="more than 1023 px"):
            psf(TRAINING_OPTICS, 1e5)
        with pytest.raises(OpticsError, match="finite"):
            psf(TRAINING_OPTICS, math.nan)

    @pytest.mark.parametrize(
        ("optics", "more", "words"),
        [
            (Optics(1.4, 1.515, 0.5, 1e4), {"size": 51}, "too coarse"),
            (Optics(1.4, 1.515, 0.5, 15.0), {"size": 301}, "too coarse|too long|wavelengths"),
            (Optics(0.95, 1.0, 0.2, 5.0), {"size": 101, "bandwidth": 0.9}, "too long|wavelengths"),
            (Optics(1e-6, 1.0, 20.0, 1e-7), {}, "more than 1023 px"),
        ],
    )
    def test_refuses_what_would_take_all_memory_or_time(self, optics, more, words):
        with pytest.raises(OpticsError, match=words):
            psf(optics, 0.0, **more)


class TestRadialKernel:
    """A Gaussian's light in a square of pixels is a product of error functions."""

    DEVIATION_UM = 0.8

    def density(self, radii_um):
        variance = self.DEVIATION_UM**2
        return np.exp(-0.5 * radii_um**2 / variance) / (2 * math.pi * variance)

    def held_along(self, half_um):
        return erf(half_um / (math.sqrt(2) * self.DEVIATION_UM))

    def test_holds_the_light_of_each_pixel(self):
        kernel = radial_kernel(self.density, 0.5, 1.0, 3.0, size=9)
        edges = 0.5 * (np.arange(10) - 4.5)
        shares = np.diff(0.5 * self.held_along(edges))
        expected = np.multiply.outer(shares, shares)
        np.testing.assert_allclose(kernel, expected / expected.sum(), rtol=0, atol=1e-9)

    @pytest.mark.parametrize("reach_um", [0.3, 3.0])
    def test_is_the_smallest_square_that_holds_the_energy(self, reach_um):
        kernel = radial_kernel(self.density, 0.5, 1.0, reach_um, energy=0.98)
        half_um = 0.25 * len(kernel)
        assert self.held_along(half_um) ** 2 >= 0.98
        assert self.held_along(half_um - 0.5) ** 2 < 0.98

    @pytest.mark.parametrize("reach_um", [0.0, -1.0, math.nan, math.inf])
    def test_refuses_a_reach_that_would_never_hold_the_energy(self, reach_um):
        with pytest.raises(OpticsError, match="reach_um must be positive and finite"):
            radial_kernel(self.density, 0.5, 1.0, reach_um)

    def test_a_reach_that_is_too_short_is_made_longer(self):
        short, right = (radial_kernel(self.density, 0.5, 1.0, r) for r in (1e-320, 3.0))
        np.testing.assert_allclose(short, right, atol=1e-8)

    @pytest.mark.parametrize("wrong", [lambda r: r[:3], lambda r: r * np.nan, lambda r: "light"])
    def test_refuses_what_is_no_density(self, wrong):
        with pytest.raises(OpticsError, match="What density gives"):
            radial_kernel(wrong, 0.5, 1.0, 3.0)
