import numpy as np
import pytest

from microscope_quality.errors import SettingsError
from microscope_quality.training.rating.sets import drawn_set
from microscope_quality.training.rating.sources import (
    Source,
    drawn_source,
    scaled_square,
    sharp_field,
)
from microscope_quality.training.rating.tissue import drawn_tissue


def test_tissue_is_normalised_sharp_and_the_same_for_a_seed():
    for seed in range(6):
        field = drawn_tissue(200, np.random.default_rng(seed))
        assert field.shape == (200, 200) and field.dtype == np.float32
        assert field.mean() == pytest.approx(0, abs=1e-4)
        assert field.std() == pytest.approx(1, abs=1e-4)
        again = drawn_tissue(200, np.random.default_rng(seed))
        assert (field == again).all()
        assert np.abs(np.diff(field, axis=1)).max() > 0.5


@pytest.mark.parametrize("scale", [1.0, 1.3, 2.5])
def test_scaling_keeps_coarse_waves_and_takes_out_what_no_pixel_holds(scale):
    y, x = np.mgrid[:700, :700]
    coarse = np.sin(2 * np.pi * x / (20 * scale)).astype(np.float32)
    fine = np.sin(2 * np.pi * y / 2.1).astype(np.float32)
    rng = np.random.default_rng(0)
    found = scaled_square(coarse, 200, scale, rng)
    assert found.shape == (200, 200)
    assert found.std() == pytest.approx(np.sqrt(0.5), rel=0.05)
    spectrum = np.abs(np.fft.rfft(found[100])) ** 2
    assert spectrum[1:].argmax() + 1 == 10
    left = scaled_square(fine, 200, scale, rng).std()
    assert left > 0.6 if scale == 1 else left < 0.35


def test_a_small_image_goes_on_as_its_mirror_image():
    image = np.arange(100, dtype=np.float32)[:, None] * np.ones((1, 100), np.float32)
    found = scaled_square(image, 180, 1.0, np.random.default_rng(0))
    assert found.shape == (180, 180)
    assert np.abs(np.diff(found[:, 0])).max() == 1


def test_fields_are_drawn_of_all_sources_by_their_shares():
    sources = [
        Source("dark", [np.zeros((300, 300))], 0.25),
        Source("bright", [np.ones((300, 300))]),
    ]
    rng = np.random.default_rng(1)
    bright = np.mean([abs(sharp_field(sources, 64, rng)).mean() > 0.5 for _ in range(400)])
    assert bright == pytest.approx(0.8, abs=0.06)


def test_a_seed_draws_the_same_set():
    source = drawn_source(2, 5)
    a, b, c = (drawn_set([source], 3, seed) for seed in (1, 1, 2))
    assert (a.descriptors == b.descriptors).all() and (a.outputs == b.outputs).all()
    assert (a.descriptors != c.descriptors).any()


def test_a_source_without_images_is_refused():
    with pytest.raises(SettingsError, match="one image"):
        Source("nothing", [])
