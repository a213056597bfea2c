"""The contrast of planes, which orders those of a stack."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from microscope_quality.contrast import patch_contrasts, plane_contrast
from microscope_quality.simulate import nuclei


def by_definition(patch, mask):
    """Sums over places one by one, in double precision."""
    p = patch.astype(float)
    blocks, whole = {}, {}
    for i in range(p.shape[0] // 4):
        for j in range(p.shape[1] // 4):
            area = (slice(4 * i, 4 * i + 4), slice(4 * j, 4 * j + 2))
            blocks[i, j], whole[i, j] = p[area].mean(), mask[area].all()

    def mean_square(i, j):
        found = []
        for y, x in blocks:
            three = [(y + k * i, x + k * j) for k in range(3)]
            if all(whole.get(place) for place in three):
                a, b, c = (blocks[place] for place in three)
                found.append((a - 2 * b + c) ** 2)
        return np.mean(found)

    finest = []
    for y in range(0, 4 * (p.shape[0] // 4), 8):
        for x in range(0, 4 * (p.shape[1] // 4), 4):
            if mask[y : y + 2, x : x + 2].all():
                finest.append((p[y, x] - p[y + 1, x] - p[y, x + 1] + p[y + 1, x + 1]) ** 2)
    noise = 1.5 * np.mean(finest) / 4
    excess = mean_square(1, 0) + mean_square(0, 1) - noise
    return np.sign(excess) * np.sqrt(abs(excess)), np.sqrt(noise)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(40, 40), (46, 43), (12, 14)])
def test_it_is_what_its_definition_says(dtype, shape):
    rng = np.random.default_rng(0)
    patches = (40 * gaussian_filter(rng.normal(0, 1, (30, *shape)), (0, 1, 1)) + 100).astype(dtype)
    masks = rng.random(patches.shape) < 0.99
    masks[::2] = True
    found = np.stack(patch_contrasts(patches, masks))
    counts = np.flatnonzero(~np.isnan(found[0]))
    assert len(counts) > 20
    expected = np.array([by_definition(patches[k], masks[k]) for k in counts]).T
    np.testing.assert_allclose(found[:, counts], expected, rtol=1e-3, atol=1e-2)


def test_blur_lowers_it_and_noise_alone_has_none():
    rng = np.random.default_rng(1)
    light = nuclei((168, 168), 25, 0)

    def contrast(blur, photons, background):
        image = gaussian_filter(light, blur) * photons + background
        return plane_contrast(*patch_contrasts(rng.poisson(image)[np.newaxis]))

    for photons in (100, 1000):
        found = [contrast(blur, photons, 50) for blur in (0.5, 1, 2, 3, 4, 6)]
        assert found == sorted(found, reverse=True)
    assert contrast(1, 1000, 5000) == pytest.approx(contrast(1, 1000, 50), rel=0.1)
    noise = patch_contrasts(rng.poisson(1000, (400, 84, 84)))
    assert abs(noise[0].mean()) < 0.05 * noise[1].mean()


@settings(max_examples=25, deadline=None)
@given(gain=st.sampled_from([1e-300, 1e-8, 0.1, 7.0, 1e8, 1e300]), offset=st.floats(-1e3, 1e3))
def test_it_has_the_unit_of_the_pixels_and_no_offset(gain, offset):
    patches = np.random.default_rng(2).normal(0, 1, (3, 24, 24)).cumsum(axis=1)
    plain, other = patch_contrasts(patches), patch_contrasts((patches + offset) * gain)
    np.testing.assert_allclose(np.array(other) / gain, plain, rtol=1e-6, atol=1e-6)


def test_masked_pixels_have_no_part_in_it():
    rng = np.random.default_rng(3)
    patches = rng.poisson(100, (4, 84, 84)).astype(float)
    masks = np.ones(patches.shape, bool)
    masks[:, :, :40] = False
    spoilt = np.where(masks, patches, np.nan)
    found, bright = patch_contrasts(spoilt, masks), patch_contrasts(patches * 1.0, masks)
    np.testing.assert_array_equal(found, bright)
    np.testing.assert_array_equal(found, patch_contrasts(patches[:, :, 40:]))
    masks[0] = False
    masks[1, :, 20:] = False
    nothing = np.isnan(patch_contrasts(spoilt, masks)[0])
    assert nothing.tolist() == [True, True, False, False]
    assert plane_contrast(*patch_contrasts(spoilt, masks)) > 0
    assert np.isnan(plane_contrast([np.nan], [np.nan]))
    assert np.isnan(plane_contrast([], []))


def test_a_plane_has_the_weighted_mean_or_what_noise_makes():
    assert plane_contrast([2.0, 4.0, np.nan], [1.0, 1.0, 1.0], [3.0, 1.0, 5.0]) == 2.5
    assert plane_contrast([-2.0, 1.0, 0.0, 1.0], [4.0] * 4) == pytest.approx(0.6 * 4 / 2)
