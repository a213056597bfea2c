"""The simulator gives specimens that are sharp, reproducible and as described."""

import numpy as np
import pytest
import scipy.ndimage

from microscope_quality.simulate import filaments, nuclei


def test_nuclei_are_counted_and_apart():
    light = nuclei((300, 300), 20, seed=1, diameter_px=(18, 24))
    _, found = scipy.ndimage.label(scipy.ndimage.binary_closing(light > 0.05, iterations=2))
    assert 18 <= found <= 22
    assert light.min() == 0
    assert 0.8 < light.max() < 2


def test_no_nuclei_is_darkness():
    assert not nuclei((100, 120), 0, seed=0).any()


@pytest.mark.parametrize("make", [nuclei, filaments])
def test_a_seed_gives_the_same_specimen(make):
    first, again, other = make((90, 110), 5, 3), make((90, 110), 5, 3), make((90, 110), 5, 4)
    assert first.shape == (90, 110)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_filaments_are_as_thin_as_asked():
    light = filaments((200, 200), 1, seed=2, width_px=2.0)
    ridge = np.unravel_index(light.argmax(), light.shape)
    window = light[ridge[0] - 4 : ridge[0] + 5, ridge[1] - 4 : ridge[1] + 5]
    # Across a straight fibre of full width at half maximum w, a 9 × 9 window has about 9·w lit
    # pixels, up to the diagonal.
    lit = (window > window.max() / 2).sum()
    assert 9 * 1.6 < lit < 9 * 2.0 * 1.5
