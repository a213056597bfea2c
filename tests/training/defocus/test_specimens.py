"""Simulated points and beads."""

import numpy as np
import scipy.ndimage

from microscope_quality.training.defocus.specimens import cells, points

SIDE = 260


def test_are_one_to_a_hundred_in_a_patch_and_as_bright_as_light():
    rng = np.random.default_rng(0)
    counts, peaks = [], []
    for _ in range(60):
        light = points(rng, SIDE, 84)
        assert light.shape == (SIDE, SIDE)
        assert light.min() >= 0
        peaks.append(light.max())
        maxima = scipy.ndimage.maximum_filter(light, 5) == light
        counts.append(np.count_nonzero(maxima & (light > 0.3)) / (SIDE / 84) ** 2)
    assert min(counts) < 3
    assert max(counts) > 15
    assert 0.3 < np.median(peaks) < 30


def test_the_same_numbers_draw_the_same_field():
    one, other = (points(np.random.default_rng(5), SIDE, 84) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_cells_are_sharp_and_as_large_as_nuclei():
    rng = np.random.default_rng(1)
    for _ in range(12):
        light = cells(rng, SIDE, 84)
        assert light.shape == (SIDE, SIDE)
        assert light.min() >= 0
        assert 0.3 < light.max() < 5
        assert 0.002 < np.mean(light > 0.3 * light.max()) < 0.9
