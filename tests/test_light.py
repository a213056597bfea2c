"""Blur diameters against discs, Gaussians and the Airy pattern."""

import math

import numpy as np
import pytest
from scipy.special import erf

from microscope_quality.errors import SettingsError
from microscope_quality.light import blur_of_defocus, defocus_of_blur, kernel_blur_diameter_px

CENTRES = [(0.0, 0.0), (0.5, 0.5), (0.3, -0.1)]


def disc(diameter_px, centre, shape, n_points=32):
    """Evenly bright disc, integrated over pixels with many points in each."""
    y, x = (
        (np.arange(side * n_points) + 0.5) / n_points - side / 2 - middle
        for side, middle in zip(shape, centre)
    )
    inside = np.add.outer(y**2, x**2) <= (diameter_px / 2) ** 2
    return inside.reshape(shape[0], n_points, shape[1], n_points).sum(axis=(1, 3))


def gaussian(sigma_px, centre, shape):
    """Gaussian, integrated over pixels."""
    profiles = []
    for side, middle in zip(shape, centre):
        edges = np.arange(side + 1) - side / 2 - middle
        profiles.append(np.diff(0.5 * erf(edges / (math.sqrt(2) * sigma_px))))
    return np.outer(*profiles)


class TestKernelBlurDiameter:
    @pytest.mark.parametrize("centre", CENTRES)
    @pytest.mark.parametrize(
        ("diameter_px", "tolerance"), [(3, 0.04), (4, 0.03), (6, 0.015), (10, 0.01), (31.7, 0.002)]
    )
    def test_of_a_disc_is_its_diameter(self, diameter_px, tolerance, centre):
        kernel = disc(diameter_px, centre, (61, 48))
        assert kernel_blur_diameter_px(kernel) == pytest.approx(diameter_px, rel=tolerance)

    @pytest.mark.parametrize("centre", CENTRES)
    @pytest.mark.parametrize("diameter_px", [3, 4, 6, 10, 20])
    def test_of_a_gaussian_is_its_full_width_at_half_maximum_by_the_root_of_2(
        self, diameter_px, centre
    ):
        sigma_px = diameter_px / (math.sqrt(2) * 2 * math.sqrt(2 * math.log(2)))
        kernel = gaussian(sigma_px, centre, (60, 61))
        assert kernel_blur_diameter_px(kernel) == pytest.approx(diameter_px, rel=0.015)

    def test_of_a_kernel_as_large_as_they_come(self):
        assert kernel_blur_diameter_px(disc(700, (0, 0), (1023, 1023), 4)) == pytest.approx(
            700, rel=1e-3
        )

    def test_does_not_depend_on_the_place_the_sum_or_the_darkness_around(self):
        kernel = gaussian(2.0, (0.2, 0.4), (31, 31))
        there = np.pad(100 * kernel, ((70, 0), (3, 200)))
        assert kernel_blur_diameter_px(there) == pytest.approx(
            kernel_blur_diameter_px(kernel), rel=1e-3
        )

    def test_of_light_in_one_pixel_is_small(self):
        assert 0 < kernel_blur_diameter_px([[1]]) < 1.5

    @pytest.mark.parametrize(
        "kernel", [np.zeros((3, 3)), [[1.0, -1.0]], [[math.nan]], [[math.inf]], [[]], [1.0, 2.0]]
    )
    def test_refuses_what_is_no_light(self, kernel):
        with pytest.raises(SettingsError, match="kernel must"):
            kernel_blur_diameter_px(kernel)


class TestHalfLightCurve:
    @pytest.mark.parametrize("sine", [1e-7, 1e-3, 0.05, 0.5, 0.96, 1 - 2**-53])
    def test_between_focus_and_rays_it_rises_and_is_inverted(self, sine):
        slope = 2 * math.sqrt(2) * math.tan(math.asin(sine / math.sqrt(2)))
        defocus = np.geomspace(0.3, 1000, 300) / slope
        blur = blur_of_defocus(sine, defocus)
        assert np.all(np.diff(blur) > 0)
        np.testing.assert_allclose(defocus_of_blur(sine, blur), defocus, rtol=1e-9)
        np.testing.assert_allclose(
            blur[defocus * slope > 30], slope * defocus[defocus * slope > 30], rtol=0.015
        )

    @pytest.mark.parametrize("sine", [0.0, 1.0, -0.5, math.nan])
    def test_refuses_a_sine_of_no_angle(self, sine):
        with pytest.raises(SettingsError, match="sine must be"):
            blur_of_defocus(sine, np.ones(1))
