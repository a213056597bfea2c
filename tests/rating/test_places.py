"""Where patches lie that raters are shown."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from microscope_quality.rating.places import patch_places, structure

RNG = np.random.default_rng(5)
TISSUE = ndimage.gaussian_filter(RNG.normal(size=(900, 1200)), 6) * 3000 + 8000
NOISE = RNG.normal(size=(900, 1200)) * 150


def test_places_lie_in_the_image_and_are_always_the_same():
    plane = TISSUE + NOISE
    found = patch_places(plane, 256, 8, name="a.tif")
    assert len(set(found)) == 8
    assert all(0 <= y <= 900 - 256 and 0 <= x <= 1200 - 256 for y, x in found)
    assert found == patch_places(plane, 256, 8, name="a.tif")
    assert found != patch_places(plane, 256, 8, name="b.tif")
    assert found != patch_places(plane, 256, 8, name="a.tif", seed=1)
    # More of them begin with the same ones.
    assert patch_places(plane, 256, 3, name="a.tif") == found[:3]


def test_the_first_ones_do_not_overlap():
    found = patch_places(TISSUE + NOISE, 200, 6, name="a.tif")
    for k, (y, x) in enumerate(found):
        assert all(abs(y - v) >= 200 or abs(x - u) >= 200 for v, u in found[:k])


@pytest.mark.parametrize("slope", [0, 3000])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_empty_resin_is_passed_over(dtype, slope):
    """Noise and a slope of light are no content."""
    plane = np.full(TISSUE.shape, 8000.0)
    plane[:, 800:] = TISSUE[:, 800:]
    plane += NOISE + slope * np.linspace(0, 1, 1200)
    for name in ("a.tif", "b.tif", "c.tif"):
        found = patch_places(plane.astype(dtype), 200, 4, name=name)
        assert found
        # Some of the tissue is in each.
        assert all(x + 200 > 820 for _, x in found)


def test_an_image_without_structure_has_no_place():
    assert patch_places(np.full((500, 500), 77, np.uint8), 128, 3, name="a.tif") == []
    noise = RNG.poisson(40, size=(600, 600)).astype(np.uint16)
    assert patch_places(noise, 256, 3, name="a.tif") == []
    assert patch_places(np.full((500, 500), np.nan, np.float32), 128, 3, name="a.tif") == []


def test_an_image_of_the_size_of_a_patch_has_one_place():
    assert patch_places((TISSUE + NOISE)[:256, :256], 256, 5, name="a.tif") == [(0, 0)]


def test_structure_is_in_grey_values_and_leaves_noise_out():
    calm = TISSUE[:512, :512]
    assert structure(calm) == pytest.approx(calm.std(), rel=0.25)
    assert structure(calm * 2) == pytest.approx(2 * structure(calm), rel=1e-6)
    assert structure(calm + 500) == pytest.approx(structure(calm), rel=1e-6)
    noisy = calm + NOISE[:512, :512] * 4
    assert structure(noisy) == pytest.approx(structure(calm), rel=0.05)
    assert structure(NOISE[:512, :512]) == 0
    assert structure(np.ones((512, 512))) == 0
