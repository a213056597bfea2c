"""Masked pixels and borders of one value, judged with the model that comes with the library."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_dilation, gaussian_filter, rotate

from microscope_quality import degrade, psf, simulate
from microscope_quality.focus import measure_at, measure_focus
from microscope_quality.masks import continued, without_borders
from microscope_quality.optics import BLUR_PX_PER_LEVEL, TRAINING_OPTICS

SIDE = 336
Y, X = np.mgrid[:SIDE, :SIDE]


def taken(level, seed=0, kind=simulate.nuclei, photons=900):
    defocus_um = TRAINING_OPTICS.defocus_um(BLUR_PX_PER_LEVEL * level)
    light = degrade.defocus(kind((SIDE, SIDE), 55, seed), psf.psf(TRAINING_OPTICS, defocus_um))
    return degrade.Camera().expose(photons * (light + 0.15), seed)


IMAGES = {
    (level, kind.__name__): taken(level, 3, kind)
    for level in (0, 5, 8, 10)
    for kind in (simulate.nuclei, simulate.filaments)
}


def masks_of(image):
    rng = np.random.default_rng(1)
    middle = (image.max() + float(np.median(image))) / 2
    bright = gaussian_filter(image.astype(float), 2) > 0.6 * middle
    yield "bright", bright
    yield "dark", ~bright
    yield "pixels above", image > 0.6 * middle
    yield "pixels below", image < 0.6 * middle
    yield "around cells", binary_dilation(bright, iterations=9)
    yield "half", Y + 0.4 * X > 170
    yield "ellipse", ((Y - 160) / 150) ** 2 + ((X - 170) / 120) ** 2 < 1
    yield "strips", (Y + X) % 60 > 14
    yield "single pixels", rng.random(image.shape) > 0.1


@pytest.mark.parametrize("name", IMAGES)
def test_a_mask_never_makes_an_image_look_sharper(name):
    image = IMAGES[name]
    whole = measure_focus(image)
    for what, mask in masks_of(image):
        masked = measure_focus(image, mask=mask)
        hidden = measure_focus(np.ma.MaskedArray(image, ~mask))
        assert masked.expected_level == hidden.expected_level or masked.status == "no_content"
        told = f"{what}: {masked}, without it {whole}"
        assert masked.status in (whole.status, "no_content"), told
        assert not masked.expected_level < whole.expected_level - 0.7, told
        if what in ("half", "ellipse", "single pixels"):
            assert masked.status == whole.status, told


def test_points_with_a_mask_are_not_sharper_either():
    image = IMAGES[8, "nuclei"]
    centres = [(84, 84), (84, 250), (170, 170), (250, 84), (250, 250)]
    for _, mask in masks_of(image):
        points = measure_at(image, centres, mask=mask)
        assert not (points.expected_levels[points.certainties > 0.31] < 5).any()


def test_what_is_burnt_in_and_masked_is_not_seen():
    image = IMAGES[8, "nuclei"]
    mask = np.ones(image.shape, bool)
    mask[20:40, 60:140] = mask[200:215, 240:300] = False
    burnt = np.where(mask | ((X // 3 + Y // 3) % 2 == 0), image, 4000)
    assert measure_focus(burnt).patch_expected_levels.min() < 6
    masked = measure_focus(burnt, mask=mask)
    assert masked.expected_level == pytest.approx(measure_focus(image).expected_level, abs=0.5)
    # Where nothing is in the image, nothing can be judged as it is in the image.
    emptied = measure_focus(np.where(mask, image, np.nan))
    assert emptied.expected_level == pytest.approx(masked.expected_level, abs=0.5)


def test_a_mask_and_pixels_set_to_black_are_alike():
    """As programs do that both set what a mask hides to 0, and hand the mask over."""
    for (level, _), image in IMAGES.items():
        for what, mask in masks_of(image):
            both = measure_focus(np.where(mask, image, 0), mask=mask)
            sharp = both.status == "in_focus"
            assert not sharp or level == 0, (what, level)


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.float64, (2, 17, 17), elements=st.floats(-1000, 1000)),
    arrays(np.bool_, (2, 17, 17)),
)
def test_a_continuation_keeps_what_is_known_and_stays_within_it(values, masks):
    judged, believed = continued(np.where(masks, values, np.nan), masks)
    for one, mask, value in zip(judged[believed], masks[believed], values[believed]):
        if mask.all():
            np.testing.assert_array_equal(one, value)
        if mask.any():
            assert value[mask].min() - 1e-9 <= one.min()
            assert one.max() <= value[mask].max() + 1e-9


def bordered(image):
    """The image with surroundings that are none."""
    low = rotate(image.astype(float), 20, order=1, cval=-(10**6), reshape=True)
    yield "turned", np.where(low < 0, 0, low).astype(np.uint16)
    yield "turned, mixed", rotate(image, 20, order=1, cval=0, mode="grid-constant")
    inside = ((Y - 168) / 160) ** 2 + ((X - 168) / 150) ** 2 < 1
    yield "ellipse", np.where(inside, image, 0)
    yield "letterbox", np.where((Y > 30) & (Y < 300), image, 0)
    yield "missing tile", np.where((Y // 112 == 1) & (X // 112 == 1), 0, image)
    yield "white", np.where(X > 40, image, 65535)
    yield "another value", np.where(X + Y > 200, image, 4711)
    yield "floats", np.where(X + Y > 200, image, 0).astype(np.float32) / 65535


@pytest.mark.parametrize("name", [(0, "nuclei"), (8, "nuclei"), (10, "nuclei")])
def test_a_border_of_one_value_is_left_out(name):
    image = IMAGES[name]
    expected = measure_focus(image)
    for what, plane in bordered(image):
        found = measure_focus(plane)
        assert found.message.startswith("A border of one value was left out in "), what
        if what == "turned, mixed":
            # Corners of the image may be left that are too small for their border to be seen.
            assert found.expected_level == pytest.approx(expected.expected_level, abs=1), what
            continue
        assert found.status == expected.status, what
        assert found.expected_level == pytest.approx(expected.expected_level, abs=0.75), what
    finer = np.repeat(np.repeat(np.where(X + Y > 200, image, 0), 2, axis=0), 2, axis=1)
    half = TRAINING_OPTICS.pixel_size_um / 2
    optics = type(TRAINING_OPTICS)(**{**TRAINING_OPTICS.to_dict(), "pixel_size_um": half})
    rescaled = measure_focus(finer, optics=optics, rescale=True)
    assert "left out" in rescaled.message
    assert rescaled.expected_level == pytest.approx(expected.expected_level, abs=0.8)


def test_borders_are_found_in_a_plane_that_is_read_in_bands(tmp_path):
    for what, plane in bordered(IMAGES[8, "nuclei"]):
        plane.tofile(tmp_path / "plane")
        stored = np.memmap(tmp_path / "plane", plane.dtype, "r", shape=plane.shape)
        one, other = measure_focus(stored), measure_focus(plane)
        np.testing.assert_array_equal(one.patch_probabilities, other.patch_probabilities, what)
        assert one.message == other.message
        assert one.message


def test_a_true_black_background_is_no_border():
    """One that the light fades into, as of confocal, deconvolved and bead images."""
    sharp = psf.psf(TRAINING_OPTICS, 0.0)
    light, fibres = (
        degrade.defocus(specimen((SIDE, SIDE), 12, 1), sharp)
        for specimen in (simulate.nuclei, simulate.filaments)
    )
    far = degrade.defocus(light, psf.psf(TRAINING_OPTICS, 20.0))
    rng = np.random.default_rng(0)
    planes = [
        np.round(light * 250).astype(np.uint8),
        np.round(far * 250).astype(np.uint8),
        np.round(far * 60000).astype(np.uint16),
        far,
        np.round(fibres * 250).astype(np.uint8),
        np.where(fibres > 0.02, fibres, 0),
        rng.poisson(3 * light).astype(np.uint8),
        rng.poisson(0.02, (SIDE, SIDE)).astype(np.uint8),
        np.minimum(np.round(far * 900), 200).astype(np.uint8),
        np.round(light * 7).astype(np.uint8),
        np.full((SIDE, SIDE), 7),
    ]
    for number, plane in enumerate(planes):
        patches = plane.reshape(4, 84, 4, 84).swapaxes(1, 2).reshape(16, 84, 84)
        masks, found = without_borders(patches, None)
        assert masks is None, number
        assert not found.any(), number
