"""What programs do to images: its noise is no longer white, its blur is what it says."""

import numpy as np
import pytest
import scipy.ndimage

from microscope_quality.degrade import defocus
from microscope_quality.light import kernel_blur_diameter_px
from microscope_quality.training.defocus.processing import KINDS, draw_processing

SIDE = 84
WHITE = 0.06


def noise(rng, side):
    return (1000 + 30 * rng.standard_normal((side, side))).astype(np.float32)


def correlation(image):
    """Of pixels with the larger of those of their right and lower neighbours."""
    left = image - image.mean()
    products = np.mean(left[:, 1:] * left[:, :-1]), np.mean(left[1:] * left[:-1])
    return max(np.abs(products)) / left.var()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_gives_a_finite_patch_of_the_size_that_was_asked_for(kind):
    rng = np.random.default_rng(1)
    for _ in range(20):
        processing = KINDS[kind][1](rng)
        assert processing.kind == kind
        image = noise(rng, processing.source_side(SIDE))
        found = processing.processed(image, SIDE)
        assert found.shape == (SIDE, SIDE)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()


@pytest.mark.parametrize(
    "kind",
    sorted(set(KINDS) - {"flat_field_corrected", "sharpened", "reduced", "compressed", "inverted"}),
)
def test_leaves_noise_that_neighbours_share(kind):
    rng = np.random.default_rng(2)
    found = []
    for _ in range(12):
        processing = KINDS[kind][1](rng)
        image = noise(rng, processing.source_side(SIDE))
        assert correlation(image) < WHITE
        found.append(correlation(processing.processed(image, SIDE)))
    assert np.median(found) > 2 * WHITE


@pytest.mark.parametrize("kind", ["gaussian", "shifted", "rotated"])
def test_the_blur_that_is_told_is_that_of_a_point(kind):
    rng = np.random.default_rng(3)
    # A small disc, so that what is measured is neither a pixel nor cut off.
    disc = np.hypot(*np.ogrid[-8:9, -8:9]) < 5
    own = kernel_blur_diameter_px(disc.astype(float))
    for _ in range(8):
        processing = KINDS[kind][1](rng)
        side = processing.source_side(SIDE)
        image = np.zeros((side, side))
        image[side // 2, side // 2] = 1000
        image = defocus(image, disc / disc.sum()).astype(np.float32)
        found = np.maximum(processing.processed(image, SIDE), 0)
        expected = np.hypot(own * processing.scale, processing.blur_px)
        assert kernel_blur_diameter_px(found.astype(float)) == pytest.approx(expected, rel=0.1)


def test_enlarging_and_reducing_change_the_size_of_things():
    rng = np.random.default_rng(4)
    for kind in ("enlarged", "reduced"):
        processing = KINDS[kind][1](rng)
        side = processing.source_side(SIDE)
        y, x = np.mgrid[:side, :side] - side / 2
        image = np.exp(-0.5 * (y**2 + x**2) / 10**2).astype(np.float32)
        found = processing.processed(image, SIDE)
        area = np.count_nonzero(found > 0.5 * found.max())
        assert area == pytest.approx(np.count_nonzero(image > 0.5) * processing.scale**2, rel=0.1)


def test_kinds_are_drawn_by_their_shares():
    rng = np.random.default_rng(5)
    drawn = [draw_processing(rng).kind for _ in range(4000)]
    assert sum(share for share, _ in KINDS.values()) == pytest.approx(1)
    for kind, (share, _) in KINDS.items():
        assert drawn.count(kind) / 4000 == pytest.approx(share, abs=0.025)


def test_the_same_random_numbers_process_alike():
    image = noise(np.random.default_rng(0), 110)
    for kind, (_, draw) in KINDS.items():
        one, other = (draw(np.random.default_rng(6)) for _ in range(2))
        np.testing.assert_array_equal(one.apply(image), other.apply(image), err_msg=kind)


def test_a_median_is_the_median():
    rng = np.random.default_rng(7)
    processing = KINDS["median"][1](rng)
    while processing.blur_px != 1.5:
        processing = KINDS["median"][1](rng)
    image = noise(rng, 40)
    np.testing.assert_array_equal(
        processing.apply(image), scipy.ndimage.median_filter(image, 3, mode="mirror")
    )
