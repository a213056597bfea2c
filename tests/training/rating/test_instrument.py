import math

import numpy as np
import pytest

from microscope_quality.components import LEAST_BLUR_PX, components_of
from microscope_quality.training.rating.instrument import (
    MARGIN_PX,
    MOST_BLUR_PX,
    Fault,
    degraded,
    drawn_fault,
    labelled,
)
from microscope_quality.training.rating.tissue import drawn_tissue

SIDE = 128 + 2 * MARGIN_PX


def _spot():
    """A field with one bright pixel in its middle."""
    field = np.zeros((SIDE, SIDE), np.float32)
    field[SIDE // 2, SIDE // 2] = 1000
    return field


def _imaged(field, fault, seed=0):
    return degraded(field, fault, np.random.default_rng(seed))


def _moments(image):
    """Second moments of what is bright, about its middle: along x, along y, and mixed."""
    weights = image / image.sum()
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
    y, x = y - (weights * y).sum(), x - (weights * x).sum()
    return [float((weights * one).sum()) for one in (x * x, y * y, x * y)]


def _exact(**given):
    """A fault whose image has no noise, and grey levels as fine as can be."""
    return Fault(**given, noise=1e-9, low=1e3, high=1e3, depth=2**22)


def _spread_of(fault):
    image, _ = _imaged(_spot(), fault)
    middle = len(image) // 2
    near = slice(middle - 20, middle + 21)
    return _moments((image - np.median(image))[near, near])


@pytest.mark.parametrize("disc", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("axis_deg", [0, 30, 100])
def test_the_probe_has_the_widths_that_are_told(disc, axis_deg):
    fault = _exact(defocus_px=3, astigmatism_px=1, axis=math.radians(axis_deg), disc=disc)
    long, short, axis = fault.widths()
    assert long == pytest.approx(math.hypot(4, LEAST_BLUR_PX))
    assert short == pytest.approx(math.hypot(2, LEAST_BLUR_PX))
    assert math.degrees(axis) == pytest.approx(axis_deg)
    along_x, along_y, mixed = _spread_of(fault)
    assert along_x + along_y == pytest.approx(long**2 + short**2, rel=0.03)
    turn = 0.5 * math.degrees(math.atan2(2 * mixed, along_x - along_y)) % 180
    assert abs((turn - axis_deg + 90) % 180 - 90) < 1


def test_astigmatism_beyond_focus_turns_the_long_axis():
    """With less defocus than astigmatism both widths are of the astigmatism; after it they turn."""
    before = Fault(defocus_px=2, astigmatism_px=1, axis=0.3).widths()
    beyond = Fault(defocus_px=-2, astigmatism_px=1, axis=0.3).widths()
    assert before[:2] == pytest.approx(beyond[:2])
    assert abs(before[2] - beyond[2]) == pytest.approx(math.pi / 2)


def test_drift_smears_along_its_axis_and_counts_as_width():
    fault = _exact(drift_px=9, drift_axis=math.radians(60))
    along_x, along_y, mixed = _spread_of(fault)
    assert along_x + along_y == pytest.approx(9**2 / 12 + 2 * LEAST_BLUR_PX**2, rel=0.05)
    assert 0.5 * math.degrees(math.atan2(2 * mixed, along_x - along_y)) == pytest.approx(60, abs=1)
    assert fault.widths()[0] == pytest.approx(math.sqrt(9**2 / 12 + LEAST_BLUR_PX**2))


def test_an_image_without_fault_is_the_ideal():
    field = drawn_tissue(SIDE, np.random.default_rng(1))
    image, ideal = _imaged(field, _exact())
    assert np.corrcoef(image.ravel(), ideal.ravel())[0, 1] > 1 - 1e-6
    label = labelled(image, ideal, _exact())
    assert label[0] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("given", [{}, {"electrons": 5.0}, {"detector_lines_px": 0.7}])
def test_noise_is_as_strong_as_told(given):
    field = drawn_tissue(SIDE + 256, np.random.default_rng(2))
    clean, ideal = _imaged(field, _exact())
    scale = clean.std() / ideal.std()
    noisy, _ = _imaged(field, Fault(noise=0.5, low=1e3, high=1e3, depth=2**22, **given))
    gain = np.cov(noisy.ravel(), clean.ravel())[0, 1] / clean.var()
    noise = noisy - noisy.mean() - gain * (clean - clean.mean())
    assert noise.std() / (gain * scale * ideal.std()) == pytest.approx(0.5, rel=0.05)


def test_electrons_make_bright_places_noisier():
    field = np.tile(np.r_[np.zeros(SIDE // 2), np.ones(SIDE // 2)].astype(np.float32), (SIDE, 1))
    fault = Fault(noise=0.3, electrons=20.0, low=1e3, high=1e3, depth=2**22)
    image, _ = _imaged(field, fault)
    dark, bright = image[:, 10:50].std(), image[:, 80:120].std()
    assert bright > 3 * dark


@pytest.mark.parametrize("vibration", [0.0, 4.0])
def test_jitter_displaces_lines_by_as_much_as_told(vibration):
    columns = np.arange(SIDE)
    ramp = np.tile(np.sin(2 * np.pi * columns / 32).astype(np.float32), (SIDE, 1))
    image, _ = _imaged(ramp, _exact(jitter_px=1.5, vibration_lines=vibration))
    turned = np.fft.rfft(image, axis=1)[:, 4]
    shifts = -np.unwrap(np.angle(turned)) / (2 * np.pi / 32)
    assert shifts.std() == pytest.approx(1.5, rel=0.15)


@pytest.mark.parametrize("streaks", [0, 8])
def test_line_noise_is_as_strong_as_told(streaks):
    field = drawn_tissue(SIDE, np.random.default_rng(3))
    clean, _ = _imaged(field, _exact())
    image, _ = _imaged(field, _exact(line_noise=0.6, streaks=streaks))
    gain = np.cov(image.ravel(), clean.ravel())[0, 1] / clean.var()
    added = (image - image.mean()) / gain - (clean - clean.mean())
    assert added.std() / clean.std() == pytest.approx(0.6, rel=0.1)
    assert np.diff(added, axis=1).std() < 0.5 * np.diff(added, axis=0).std()


def test_what_is_drawn_is_within_bounds_and_the_same_for_a_seed():
    drawn = [drawn_fault(np.random.default_rng(seed)) for seed in range(300)]
    widths = np.array([one.widths()[:2] for one in drawn])
    assert widths.max() < 1.2 * MOST_BLUR_PX and widths.min() >= LEAST_BLUR_PX - 1e-9
    assert 0.03 <= min(one.noise for one in drawn) <= max(one.noise for one in drawn) <= 2.5
    assert drawn[7] == drawn_fault(np.random.default_rng(7))


def test_labels_are_those_of_the_fault():
    field = drawn_tissue(SIDE, np.random.default_rng(4))
    fault = Fault(
        defocus_px=2, astigmatism_px=1, axis=0.5, noise=0.4, line_noise=0.2, streaks=3, jitter_px=1
    )
    found = components_of(labelled(*_imaged(field, fault), fault))
    assert found.widths_px == pytest.approx(fault.widths()[:2], rel=1e-4)
    assert found.angle_deg == pytest.approx(180 - math.degrees(0.5), abs=0.01)
    assert (found.noise, found.line_noise, found.jitter_px) == pytest.approx(
        (0.4, 0.2, 1), rel=1e-3
    )


def test_a_field_without_room_for_margins_is_refused():
    with pytest.raises(ValueError, match="margins"):
        _imaged(np.zeros((2 * MARGIN_PX, 300), np.float32), Fault())
