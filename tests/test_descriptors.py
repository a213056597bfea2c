import numpy as np
import pytest

from microscope_quality.descriptors import N_DESCRIPTORS, descriptors, mirrored
from microscope_quality.errors import ImageError
from microscope_quality.normalisation import zscore

# Of the first look: 14 radii of 12 angles; of the others 8 of 8 and 4 of 6.
LOOKS = ((14, 12), (8, 8), (4, 6))


def _patches(*fields):
    return zscore(np.stack(fields))[0]


def _looks(found):
    at, parts = 0, []
    for radii, angles in LOOKS:
        parts.append(found[:, at : at + radii * angles].reshape(-1, radii, angles))
        at += radii * angles
    return parts


def _white(seed=0, side=256):
    return np.random.default_rng(seed).normal(size=(side, side))


def _waves(frequency, angle_deg, side=256):
    y, x = np.mgrid[:side, :side]
    turn = np.radians(angle_deg)
    return np.sin(2 * np.pi * frequency * (x * np.cos(turn) + y * np.sin(turn)))


def test_white_noise_has_a_power_of_one_everywhere():
    look, *_ = _looks(descriptors(_patches(*(_white(seed) for seed in range(4)))))
    # Coarser radii have few places on the grid, or none.
    assert np.exp(look[:, 5:]).mean() == pytest.approx(1, abs=0.02)
    assert np.abs(look[:, 8:]).max() < 0.3


@pytest.mark.parametrize("angle", [-70, -40, -20, 20, 40, 70])
@pytest.mark.parametrize("frequency", [0.1, 0.2, 0.35])
def test_waves_stand_in_the_cell_of_their_frequency_and_angle(frequency, angle):
    look, *_ = _looks(descriptors(_patches(_waves(frequency, angle) + 0.01 * _white())))
    edges = np.r_[1.5 / 64, np.geomspace(2.5 / 64, 0.5, 14)]
    radius, sector = np.unravel_index(look[0].argmax(), look[0].shape)
    assert abs(radius - (np.digitize(frequency, edges) - 1)) <= 1
    assert abs(sector - int((angle / 180 + 0.5) * 12)) <= 1


def test_binned_looks_see_coarser_waves():
    _, second, third = _looks(descriptors(_patches(_waves(0.02, 30) + 0.01 * _white())))
    assert second[0].max() > 3 and third[0].max() > 3


@pytest.mark.parametrize("turn", [np.fliplr, np.flipud])
@pytest.mark.parametrize("side", [128, 192, 256])
def test_a_mirror_image_has_mirrored_descriptors(turn, side):
    field = _waves(0.1, 35, side) + _white(1, side)
    found, other = descriptors(_patches(field)), descriptors(_patches(turn(field)))
    assert other == pytest.approx(mirrored(found), abs=2e-5)


def test_offsets_of_lines_stand_on_the_axis():
    rng = np.random.default_rng(2)
    field = _white(3)
    plain, lines = descriptors(_patches(field, field + rng.normal(size=(256, 1))))
    at = sum(radii * angles for radii, angles in LOOKS)
    down, across = (lines - plain)[at : at + 5], (lines - plain)[at + 5 : at + 10]
    assert down.min() > 2
    assert np.abs(across).max() < 1


def test_displaced_lines_are_told_from_noise_and_from_blur():
    rng = np.random.default_rng(4)
    smooth = sum(_waves(f, a) for f, a in ((0.03, 10), (0.05, -25), (0.04, 50)))
    shifts = rng.normal(size=256)
    x = np.arange(256)
    moved = np.stack([np.interp(x - d, x, line) for d, line in zip(shifts, smooth)])
    noise = 0.3 * _white(5)
    still, jittered, noisy = descriptors(
        _patches(smooth + noise, moved + noise, smooth + 2 * noise)
    )
    # The covariance of the halves of neighbouring lines.
    at = sum(radii * angles for radii, angles in LOOKS) + 14
    assert jittered[at] > 2
    assert abs(still[at]) < 0.7 and abs(noisy[at]) < 0.7


def test_gain_offset_and_inversion_change_nothing_but_which_end_is_which():
    field = _waves(0.1, 20) + _white(6)
    found = descriptors(_patches(field, 5 * field + 100, -field))
    assert found[1] == pytest.approx(found[0], abs=1e-4)
    assert found[2] == pytest.approx(found[0], abs=1e-4)


def test_their_number_and_the_side():
    found = descriptors(_patches(_white(side=128)))
    assert found.shape == (1, N_DESCRIPTORS)
    assert found[0, -1] == -1


@pytest.mark.parametrize("shape", [(1, 96, 96), (1, 130, 130), (1, 128, 160), (128, 128)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ImageError):
        descriptors(np.zeros(shape, np.float32))


def test_what_is_not_finite_is_refused():
    patches = np.zeros((1, 128, 128), np.float32)
    patches[0, 5, 5] = np.nan
    with pytest.raises(ImageError):
        descriptors(patches)
