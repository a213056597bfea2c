"""Gain and offset, by hand and by a model that they cannot change."""

import numpy as np
import pytest

from microscope_quality import FocusModel, measure_focus
from microscope_quality.evaluation.gain_offset import LONGEST_SIDE, changed, levels_at, table
from microscope_quality.simulate import nuclei


def test_a_camera_of_16_bit():
    grey, beyond = changed(np.array([[0, 100, 13_000], [20_000, 3, 65_535]], np.uint16), 5, 10)
    np.testing.assert_array_equal(grey, [[10, 510, 65_010], [65_535, 25, 65_535]])
    assert grey.dtype == np.uint16
    assert beyond == pytest.approx(2 / 6)


def test_eight_bits_are_not_cut_off_at_their_own_end():
    grey, beyond = changed(np.array([[255]], np.uint8), 2, 0)
    assert grey[0, 0] == 510
    assert beyond == 0


def test_the_middle_is_measured():
    model = FocusModel.from_pretrained()
    plane = (nuclei((600, 520), 60, 3) * 900 + 100).astype(np.uint16)
    levels, beyond = levels_at([model], plane, (1.0, 2.0), (0.0, 1000.0))
    top, left = (600 - LONGEST_SIDE) // 2, (520 - LONGEST_SIDE) // 2
    middle = plane[top : top + LONGEST_SIDE, left : left + LONGEST_SIDE]
    # The default model takes gain and offset out of every patch.
    np.testing.assert_array_equal(levels, np.full((1, 2, 2), measure_focus(middle, model).level))
    np.testing.assert_array_equal(beyond, np.zeros((2, 2)))


def test_a_table_by_hand():
    true = np.array([0, 5, 5])
    levels = np.array([[[0, 1]], [[6, np.nan]], [[8, 5]]], float)
    beyond = np.array([[[0, 0.3]], [[0, 0.0]], [[0, 0.0]]])
    first, second = table(true, levels, beyond, [2.0], [0.0, 100.0])
    assert first == pytest.approx(
        dict(gain=2, offset=0, n=3, exact=1 / 3, within_one=2 / 3, clipped=0)
    )
    assert second == pytest.approx(
        dict(gain=2, offset=100, n=3, exact=1 / 3, within_one=2 / 3, clipped=0.1)
    )
