"""Fields that show nothing: each kind is what it says, and says nothing of focus."""

import numpy as np
import pytest

from microscope_quality.training.architectures import PATCH_SIZE
from microscope_quality.training.defocus import empties
from microscope_quality.training.defocus.empties import empty_image, empty_patch
from microscope_quality.training.defocus.exposure import NormalNoise
from microscope_quality.training.defocus.stream import StreamSettings

SHAPE = (70, 90)


def made(kind, *size, n=40):
    rng = np.random.default_rng(7)
    return [getattr(empties, kind)(rng, SHAPE, *size) for _ in range(n)]


def polynomial_rest(image, degree):
    """What a polynomial of x and y leaves of an image."""
    rows, columns = (axis / 100 for axis in np.indices(image.shape))
    terms = [rows**i * columns**j for i in range(degree + 1) for j in range(degree + 1 - i)]
    design = np.stack([term.ravel() for term in terms], axis=1)
    flat = image.ravel().astype(np.float64)
    return (flat - design @ np.linalg.lstsq(design, flat, rcond=None)[0]).reshape(image.shape)


@pytest.mark.parametrize(
    ("kind", "degree", "least"), [("gradient", 1, 0.4), ("corner_shadow", 2, 0)]
)
def test_uneven_light_is_a_smooth_polynomial(kind, degree, least):
    lights = made(kind)
    for light in lights:
        assert least <= light.min() <= light.max() <= 1.6
        np.testing.assert_allclose(polynomial_rest(light, degree), 0, atol=1e-5)
    assert max(np.ptp(light) for light in lights) > 0.1


def test_dust_is_some_dark_places_of_soft_outline():
    lights = made("dust", PATCH_SIZE)
    for light in lights:
        assert light.max() <= 1.08
        assert light.min() > 0.35
        # No step from a pixel to the next is more than a fifth of the deepest shadow and glint.
        assert np.abs(np.diff(light, axis=0)).max() < 0.25
    assert np.mean([light.min() < 0.98 for light in lights]) > 0.5
    softness = [np.abs(np.diff(light, axis=1)).max() / max(np.ptp(light), 1e-6) for light in lights]
    assert max(softness) > 5 * min(softness)


def test_line_noise_is_the_same_along_each_line():
    rows = columns = 0
    for noise in made("line_noise"):
        along_rows, along_columns = np.ptp(noise, axis=1).max(), np.ptp(noise, axis=0).max()
        assert min(along_rows, along_columns) == 0
        rows += along_rows == 0
        columns += along_columns == 0
    assert rows > 5
    assert columns > 5


def test_hot_pixels_are_few_and_bright():
    for bright in made("hot_pixels", PATCH_SIZE):
        assert 1 <= np.count_nonzero(bright) <= 19
        assert 0 < bright.max() <= 300


def test_fixed_pattern_is_uncorrelated_from_pixel_to_pixel_or_column_to_column():
    kinds = {True: 0, False: 0}
    for pattern in made("fixed_pattern"):
        of_columns = bool(np.ptp(pattern, axis=0).max() == 0)
        kinds[of_columns] += 1
        row = np.asarray(pattern[0] - pattern[0].mean(), dtype=np.float64)
        assert abs((row[1:] * row[:-1]).mean()) < 0.5 * row.var()
    assert min(kinds.values()) > 5


def test_empty_patches_have_no_structure():
    rng = np.random.default_rng(2)
    settings = StreamSettings()
    normal = NormalNoise(rng)
    rows, columns = np.mgrid[-1:1:84j, -1:1:84j]
    terms = [np.ones_like(rows), rows, columns, rows**2, columns**2, rows * columns]
    smooth, _ = np.linalg.qr(np.stack([term.ravel() for term in terms], axis=1))
    correlations = []
    for _ in range(300):
        patch = empty_patch(rng, normal, settings)
        assert patch.shape == (84, 84)
        flat = patch.ravel().astype(np.float64)
        rest = (flat - smooth @ (smooth.T @ flat)).reshape(84, 84)
        if rest.std() > 0:
            correlations.append((rest[:-8, :-8] * rest[8:, 8:]).mean() / rest.var())
    # What is left after a smooth background is mostly uncorrelated over a level's blur.
    assert np.abs(np.median(correlations)) < 0.02
    assert np.mean(np.abs(correlations) < 0.15) > 0.85


def test_empty_patches_are_of_any_brightness():
    rng = np.random.default_rng(4)
    settings = StreamSettings(eight_bit_fraction=0, saturated_fraction=0)
    normal = NormalNoise(rng)
    means = np.array([np.median(empty_patch(rng, normal, settings)) for _ in range(300)])
    assert np.mean(means < 310) > 0.1
    assert means.max() > 30_000
    assert np.all(means < 65_536)


@pytest.mark.parametrize("shape", [(84, 84), (1100, 1300)])
def test_an_empty_image_is_reproducible_and_of_any_size(shape):
    image = empty_image(shape, np.random.default_rng(5))
    assert image.shape == shape
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, empty_image(shape, np.random.default_rng(5)))
    assert np.any(image != empty_image(shape, np.random.default_rng(6)))
