"""Defocus against a direct convolution, and the camera against its photon-transfer line."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d
from scipy.stats import poisson

from microscope_quality.degrade import (
    Camera,
    defocus,
    defocus_varying,
    tilted_levels,
    vignette,
)
from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf


class TestDefocus:
    @given(
        st.tuples(st.integers(1, 40), st.integers(2, 40)),
        st.tuples(st.integers(1, 31), st.integers(1, 31)),
        st.integers(0, 2**32 - 1),
    )
    @settings(max_examples=100, deadline=None)
    def test_equals_convolve2d_even_if_the_kernel_is_larger(self, shape, kernel_shape, seed):
        random = np.random.default_rng(seed)
        image = random.normal(0, 100, shape)
        kernel = random.normal(size=kernel_shape)
        blurred = defocus(image, kernel)
        expected = convolve2d(image, kernel, "same", "symm")
        assert blurred.shape == shape
        assert blurred.dtype == np.float64
        np.testing.assert_allclose(blurred, expected, rtol=0, atol=1e-6 * np.ptp(image))

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, bool])
    def test_equals_convolve2d_for_a_real_kernel_and_any_type(self, dtype):
        image = np.random.default_rng(1).integers(0, 200, (130, 97)).astype(dtype)
        kernel = psf(TRAINING_OPTICS, 12.0)
        expected = convolve2d(image.astype(float), kernel, "same", "symm")
        np.testing.assert_allclose(
            defocus(image, kernel), expected, rtol=0, atol=1e-6 * float(np.ptp(image * 1.0))
        )

    def test_small_contrast_on_a_large_background_is_kept(self):
        image = 60000 + np.random.default_rng(2).random((64, 64))
        kernel = psf(TRAINING_OPTICS, 4.0)
        expected = convolve2d(image, kernel, "same", "symm")
        np.testing.assert_allclose(defocus(image, kernel), expected, rtol=0, atol=1e-6)

    def test_keeps_the_light_and_a_flat_field(self):
        kernel = psf(TRAINING_OPTICS, 20.0)
        np.testing.assert_allclose(defocus(np.full((40, 33), 7.0), kernel), 7.0, rtol=1e-12)
        image = np.random.default_rng(3).random((200, 210))
        assert defocus(image, kernel).sum() == pytest.approx(image.sum(), rel=1e-12)

    def test_a_point_becomes_the_kernel(self):
        image = np.zeros((31, 41))
        image[15, 20] = 1.0
        kernel = np.random.default_rng(4).random((5, 9))
        blurred = defocus(image, kernel)
        np.testing.assert_allclose(blurred[13:18, 16:25], kernel, rtol=0, atol=1e-14)

    def test_light_never_turns_negative(self):
        image = np.zeros((300, 300))
        image[150, 150] = 1e6
        assert defocus(image, psf(TRAINING_OPTICS, 2.0)).min() >= 0

    def test_leaves_its_arguments_alone(self):
        image, kernel = np.ones((9, 9)), np.ones((3, 3))
        defocus(image, kernel)
        assert np.array_equal(image, np.ones((9, 9)))
        assert np.array_equal(kernel, np.ones((3, 3)))

    @pytest.mark.parametrize(
        "wrong",
        [
            np.ones(5),
            np.ones((4, 4, 3)),
            np.ones((0, 4)),
            np.array([[1.0, math.nan]]),
            np.array([[1.0, math.inf]]),
            np.ones((2, 2), dtype=complex),
            np.array([["a"]]),
        ],
        ids=["1d", "3d", "empty", "nan", "inf", "complex", "text"],
    )
    def test_refuses_what_is_no_plane(self, wrong):
        with pytest.raises(ImageError, match="image"):
            defocus(wrong, np.ones((3, 3)))
        with pytest.raises(SettingsError, match="kernel"):
            defocus(np.ones((3, 3)), wrong)


def discs(n, px_per_level=6.0):
    """Evenly bright discs, the kernels of geometric optics, with 9 × 9 points for each pixel."""
    kernels = []
    for level in range(n):
        radius = max(0.5 * px_per_level * level, 0.5)
        half = math.ceil(radius)
        fine = (np.arange(9 * (2 * half + 1)) - 4) / 9 - half
        inside = np.hypot.outer(fine, fine) <= radius
        kernel = inside.reshape(2 * half + 1, 9, 2 * half + 1, 9).mean(axis=(1, 3))
        kernels.append(kernel / kernel.sum())
    return kernels


class TestDefocusVarying:
    def test_is_defocus_where_the_level_is_whole_and_the_same(self):
        image = np.random.default_rng(1).random((60, 71))
        kernels = [psf(TRAINING_OPTICS, 2.0 * level, paraxial=True) for level in range(4)]
        for level in range(4):
            blurred = defocus_varying(image, np.full(image.shape, level), kernels)
            np.testing.assert_allclose(blurred, defocus(image, kernels[level]), rtol=1e-12)

    def test_is_a_sum_over_pixels_written_out(self):
        random = np.random.default_rng(2)
        image, kernels = random.random((12, 14)), [random.random((3, 3)) for _ in range(3)]
        levels = [-1.5, 0.0, 2.0]
        level_map = random.uniform(-1.5, 2.0, image.shape)
        found = defocus_varying(image, level_map, kernels, levels)
        whole = [convolve2d(image, kernel, "same", "symm") for kernel in kernels]
        for (y, x), level in np.ndenumerate(level_map):
            lower = 0 if level < 0 else 1
            share = (level - levels[lower]) / (levels[lower + 1] - levels[lower])
            expected = (1 - share) * whole[lower][y, x] + share * whole[lower + 1][y, x]
            assert found[y, x] == pytest.approx(expected, rel=1e-12)

    def test_keeps_a_flat_field(self):
        kernels = [psf(TRAINING_OPTICS, 2.0 * level, paraxial=True) for level in range(9)]
        flat = np.full((50, 80), 3.0)
        blurred = defocus_varying(flat, tilted_levels(flat.shape, 4, 8, 30), kernels)
        np.testing.assert_allclose(blurred, 3.0, rtol=1e-12)

    @pytest.mark.parametrize("level", [2.0, 2.5, 3.25])
    def test_spreads_a_point_as_its_notes_say(self, level):
        image = np.zeros((61, 61))
        image[30, 30] = 1.0
        spread = defocus_varying(image, np.full(image.shape, level), discs(5))
        steps = np.arange(61) - 30
        squared = np.add.outer(steps**2, steps**2)
        # A disc's mean square distance is half of its radius squared.
        rest = level - int(level)
        expected = 0.5 * 3.0**2 * (level**2 + rest * (1 - rest))
        assert (spread * squared).sum() == pytest.approx(expected, rel=0.01)

    @pytest.mark.parametrize(
        ("level_map", "levels", "error", "told"),
        [
            (np.zeros((5, 6)), None, ImageError, "shaped as its image"),
            (np.full((5, 5), np.nan), None, ImageError, "finite"),
            (np.full((5, 5), 1.1), None, SettingsError, "goes from 1.1 to 1.1, and the kernels"),
            (np.full((5, 5), -0.1), None, SettingsError, "from level 0 to 1 only"),
            (np.zeros((5, 5)), [0.0], SettingsError, "as many as the kernels, 2"),
            (np.zeros((5, 5)), [1.0, 0.0], SettingsError, "ascend"),
        ],
    )
    def test_refuses_maps_and_levels_that_do_not_fit(self, level_map, levels, error, told):
        with pytest.raises(error, match=told):
            defocus_varying(np.ones((5, 5)), level_map, [np.ones((1, 1))] * 2, levels)

    def test_refuses_what_is_no_image_or_has_no_kernel(self):
        with pytest.raises(ImageError, match="to defocus"):
            defocus_varying(np.ones(5), np.ones(5), [np.ones((1, 1))])
        with pytest.raises(SettingsError, match="as many as the kernels, 0"):
            defocus_varying(np.ones((5, 5)), np.ones((5, 5)), [])


class TestField:
    @given(
        st.tuples(st.integers(2, 40), st.integers(2, 40)),
        st.floats(-5, 10),
        st.floats(0, 10),
        st.floats(0, 360),
    )
    def test_a_tilt_is_a_plane_with_its_level_in_the_centre(self, shape, level, tilt, angle):
        levels = tilted_levels(shape, level, tilt, angle)
        assert levels.shape == shape
        assert np.ptp(levels) == pytest.approx(tilt, abs=1e-9)
        assert levels.mean() == pytest.approx(level, abs=1e-9)
        np.testing.assert_allclose(np.diff(levels, 2, axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(np.diff(levels, 2, axis=1), 0, atol=1e-9)

    def test_a_tilt_rises_where_it_is_told_to(self):
        right = tilted_levels((50, 101), 4, 8)
        np.testing.assert_allclose(right[:, 0], 0, atol=1e-12)
        np.testing.assert_allclose(right[:, -1], 8, atol=1e-12)
        down = tilted_levels((50, 101), 4, 8, 90)
        np.testing.assert_allclose(down[0], 0, atol=1e-12)
        np.testing.assert_allclose(down[-1], 8, atol=1e-12)
        steps = np.gradient(tilted_levels((50, 101), 0, 5, 30))
        assert steps[0][3, 3] / steps[1][3, 3] == pytest.approx(math.tan(math.radians(30)))

    def test_one_pixel_has_the_level_asked_for(self):
        assert tilted_levels((1, 1), 3, 8, 45).tolist() == [[3]]
        assert vignette((1, 1), 0.5).tolist() == [[1]]

    def test_vignetting_takes_its_share_in_the_corners_and_none_in_the_centre(self):
        share = vignette((41, 61), 0.4)
        assert share[20, 30] == 1
        for corner in (share[0, 0], share[-1, 0], share[0, -1], share[-1, -1]):
            assert corner == pytest.approx(0.6)
        # A quarter of the loss at half the distance.
        assert share[10, 15] == pytest.approx(0.9)


class TestCamera:
    @pytest.mark.parametrize(
        ("photons_per_level", "read_noise", "offset"),
        [(1.0, 2.0, 100.0), (2.3, 12.0, 0.0), (0.5, 0.0, 300.0)],
    )
    def test_photon_transfer_line(self, photons_per_level, read_noise, offset):
        # 1,000 photons and more, so that no pixel of the darkest field is clipped at 0.
        camera = Camera(photons_per_level, offset, read_noise)
        photons = np.linspace(1000, 20000, 12)
        fields = [
            camera.expose(np.full(200_000, mean), seed).astype(float)
            for seed, mean in enumerate(photons)
        ]
        means = np.array([field.mean() for field in fields])
        variances = np.array([field.var() for field in fields])
        np.testing.assert_allclose(means, offset + photons / photons_per_level, rtol=1e-3)
        # Each variance is known to a share of √(2/200,000), so the line is weighted by 1/variance.
        slope, intercept = np.polyfit(means - offset, variances, 1, w=1 / variances)
        assert slope == pytest.approx(1 / photons_per_level, rel=0.01)
        expected = (read_noise / photons_per_level) ** 2 + 1 / 12
        assert intercept == pytest.approx(expected, abs=0.01 * variances[0])

    @pytest.mark.parametrize("read_noise", [1.0, 3.0, 20.0])
    def test_dark_frame_has_the_read_noise(self, read_noise):
        camera = Camera(0.1, 1000, read_noise)
        dark = camera.expose(np.zeros((400, 400)), 5).astype(float)
        assert dark.mean() == pytest.approx(1000, abs=1)
        assert dark.std() == pytest.approx(10 * read_noise, rel=0.01)

    def test_counts_are_poisson(self):
        camera = Camera(photons_per_level=1, offset=0, read_noise=0)
        counts = camera.expose(np.full(100_000, 3.7), 6)
        observed = np.bincount(counts, minlength=12)[:12]
        expected = 100_000 * poisson.pmf(np.arange(12), 3.7)
        # 12 standardised counts: far in the tail of a chi-square with 12 degrees of freedom.
        assert np.sum((observed - expected) ** 2 / expected) < 33

    @given(st.integers(0, 2**63), st.integers(1, 32))
    @settings(max_examples=30, deadline=None)
    def test_a_seed_gives_the_same_image_again(self, seed, bit_depth):
        photons = np.random.default_rng(7).random((8, 9)) * 1000
        camera = Camera(bit_depth=bit_depth)
        first = camera.expose(photons, seed)
        np.testing.assert_array_equal(first, camera.expose(photons, seed))
        np.testing.assert_array_equal(first, camera.expose(photons, np.random.SeedSequence(seed)))
        np.testing.assert_array_equal(first, camera.expose(photons, np.random.default_rng(seed)))
        assert first.max() <= 2**bit_depth - 1

    def test_another_seed_and_the_next_draw_give_other_noise(self):
        photons = np.full((20, 20), 500.0)
        generator = np.random.default_rng(8)
        images = [Camera().expose(photons, seed) for seed in (1, 2, generator, generator)]
        for i in range(4):
            for j in range(i):
                assert np.mean(images[i] != images[j]) > 0.9

    @pytest.mark.parametrize(
        ("bit_depth", "dtype"),
        [
            (1, np.uint8),
            (8, np.uint8),
            (9, np.uint16),
            (12, np.uint16),
            (16, np.uint16),
            (17, np.uint32),
            (32, np.uint32),
        ],
    )
    def test_numbers_fit_the_bit_depth(self, bit_depth, dtype):
        camera = Camera(photons_per_level=0.01, bit_depth=bit_depth)
        image = camera.expose(np.full((3, 4), 1e12), 9)
        assert image.dtype == dtype
        assert image.shape == (3, 4)
        assert np.all(image == 2**bit_depth - 1)

    def test_rounds_and_clips_at_black(self):
        camera = Camera(photons_per_level=0.4, offset=0.2, read_noise=0)
        photons = np.full(1000, 2.0)
        electrons = np.random.default_rng(10).poisson(photons)
        np.testing.assert_array_equal(
            camera.expose(photons, 10), np.floor(electrons / 0.4 + 0.2 + 0.5).astype(int)
        )
        dark = Camera(photons_per_level=1, offset=0, read_noise=5).expose(np.zeros(1000), 11)
        assert 0.4 < np.mean(dark == 0) < 0.65
        assert dark.max() < 40

    def test_saturates_at_the_full_well(self):
        camera = Camera(photons_per_level=2, offset=100, read_noise=3, full_well=1000)
        assert np.all(camera.expose(np.full(50, 1e5), 12) == 600)
        assert camera.expose(np.full(50, 100.0), 12).max() < 200

    @pytest.mark.parametrize(
        "photons", [[-1.0], [math.nan], [math.inf], [1e16], [1j], ["5"]], ids=str
    )
    def test_refuses_impossible_light(self, photons):
        with pytest.raises(ImageError, match="photoelectrons"):
            Camera().expose(photons, 0)

    @pytest.mark.parametrize("seed", [None, -1, 1.5, "1", True])
    def test_refuses_other_seeds(self, seed):
        with pytest.raises(SettingsError, match="seed"):
            Camera().expose([1.0], seed)

    @pytest.mark.parametrize(
        "values",
        [
            {"photons_per_level": 0},
            {"photons_per_level": -1.0},
            {"photons_per_level": math.nan},
            {"photons_per_level": math.inf},
            {"photons_per_level": "1"},
            {"offset": -1},
            {"offset": math.nan},
            {"read_noise": -0.1},
            {"read_noise": math.inf},
            {"full_well": 0},
            {"full_well": math.nan},
            {"full_well": None},
            {"bit_depth": 0},
            {"bit_depth": 33},
            {"bit_depth": 12.5},
            {"bit_depth": True},
        ],
    )
    def test_refuses_an_impossible_camera_with_a_sentence(self, values):
        with pytest.raises(SettingsError) as refusal:
            Camera(**values)
        assert next(iter(values)) in str(refusal.value)
        assert str(refusal.value).endswith(".")

    @given(
        st.builds(
            Camera,
            st.floats(0.01, 100),
            st.floats(0, 1000),
            st.floats(0, 50),
            st.one_of(st.just(math.inf), st.floats(1, 1e6)),
            st.integers(1, 32),
        )
    )
    def test_round_trips_through_json(self, camera):
        text = json.dumps(camera.to_dict(), allow_nan=False)
        assert Camera.from_dict(json.loads(text)) == camera

    def test_refuses_a_mapping_with_other_names(self):
        with pytest.raises(SettingsError, match="exactly"):
            Camera.from_dict({"gain": 2.0})
