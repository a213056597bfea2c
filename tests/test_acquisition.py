"""Failed grabs, frozen frames, clipped and blank images, each made with a fault that is known."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from microscope_quality.acquisition import (
    ACTIONS,
    acquisition_fault,
    blank_map,
    blank_patches,
    frame_digest,
)
from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.tiles import starts

quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

H, W = 400, 530


def membranes(shape, rng):
    """Give a sharp field of dark, thin, closed lines some 30 pixels apart, and mottled between."""
    blur = (0, 8, 8)[-len(shape) :]
    smooth, coarse = (gaussian_filter(rng.normal(size=shape), blur) for _ in range(2))
    lines = np.exp(-((smooth / smooth.std() / 0.15) ** 2))
    field = coarse / coarse.std() - 3 * lines
    return (field - field.mean()) / field.std()


def grey(field, mean=128, deviation=40):
    """Give grey levels of 8 bits, of which next to none are clipped."""
    return np.clip(mean + deviation * field, 1, 254).round().astype(np.uint8)


@pytest.fixture(scope="module")
def tissue():
    """Sharp fields with some noise."""
    rng = np.random.default_rng(0)
    fields = [membranes((H, W), rng) for _ in range(4)]
    return [grey(0.7 * field + 0.1 * rng.normal(size=field.shape)) for field in fields]


class Lazy:
    """A plane in a file, of which it is known how much was read at a time."""

    ndim = 2

    def __init__(self, plane):
        self._plane = plane
        self.shape, self.dtype = plane.shape, plane.dtype
        self.most, self.read = 0, 0

    def __getitem__(self, key):
        part = self._plane[key]
        self.most, self.read = max(self.most, part.size), self.read + part.size
        return part


# Lines


def test_a_whole_image_has_no_fault(tissue):
    for plane in tissue:
        found = acquisition_fault(plane)
        assert found.faults == ()
        assert (found.fault, found.action, found.message) == ("", "", "")
        assert (found.first_lines, found.last_lines, found.height) == (0, 0, H)
        assert found.blank_fraction == 0


@pytest.mark.parametrize("value", [0, 77, 255])
def test_uniform_lines_at_the_ends_are_a_cut_image(tissue, value):
    plane = tissue[0].copy()
    plane[-90:] = value
    found = acquisition_fault(plane)
    assert (found.faults, found.first_lines, found.last_lines) == (("cut",), 0, 90)
    assert found.action == "retake"
    assert found.message == "Of its 400 lines, the last 90 have one value each."
    # Each line with a value of its own.
    plane[:30] = np.arange(30)[:, np.newaxis]
    found = acquisition_fault(plane)
    assert (found.faults, found.first_lines, found.last_lines) == (("cut",), 30, 90)
    assert found.message == "Of its 400 lines, the first 30 and the last 90 have one value each."


def test_one_line_is_not_enough_and_two_are(tissue):
    for end in (slice(0, 1), slice(-1, None)):
        plane = tissue[1].copy()
        plane[end] = 3
        assert acquisition_fault(plane).faults == ()
    for end in (slice(0, 2), slice(-2, None)):
        plane = tissue[1].copy()
        plane[end] = 3
        assert acquisition_fault(plane).faults == ("cut",)
    # In the middle, nothing is missing.
    plane = tissue[1].copy()
    plane[100:130] = 3
    assert acquisition_fault(plane).faults == ()


def test_a_line_that_is_repeated_up_to_the_end(tissue):
    plane = tissue[2].copy()
    plane[301:] = plane[300]
    found = acquisition_fault(plane)
    assert (found.faults, found.last_lines) == (("repeated",), 99)
    assert found.message == "Of its 400 lines, the last 99 are copies of others."
    # And from the start.
    found = acquisition_fault(plane[::-1])
    assert (found.faults, found.first_lines, found.last_lines) == (("repeated",), 99, 0)


def test_a_block_that_is_a_copy_of_another(tissue):
    plane = tissue[2].copy()
    plane[320:] = plane[150:230]
    found = acquisition_fault(plane)
    assert (found.faults, found.first_lines, found.last_lines) == (("repeated",), 0, 80)
    # What was copied is no fault at the other end.
    plane = tissue[2].copy()
    plane[320:] = plane[:80]
    found = acquisition_fault(plane)
    assert (found.faults, found.first_lines, found.last_lines) == (("repeated",), 0, 80)
    plane[:20] = 9
    found = acquisition_fault(plane)
    assert found.faults == ("cut", "repeated")
    # Of the first 20 there is but the copy now.
    assert (found.first_lines, found.last_lines) == (20, 60)
    assert found.message.endswith("have one value each or are copies of others.")
    # In the middle it is none.
    plane = tissue[2].copy()
    plane[100:150] = plane[200:250]
    assert acquisition_fault(plane).faults == ()


@quick
@given(st.integers(2, 150), st.integers(2, 150), st.booleans(), st.booleans(), st.integers(0, 99))
def test_as_many_lines_are_counted_as_were_lost(first, last, copied, at_start, seed):
    rng = np.random.default_rng(seed)
    plane = rng.integers(0, 4000, (400, 70)).astype(np.uint16)
    plane[-last:] = plane[200:201] if copied else 17
    if at_start:
        plane[:first] = 3
    found = acquisition_fault(plane)
    assert (found.first_lines, found.last_lines) == (first if at_start else 0, last)
    expected = {"repeated" if copied else "cut"} | ({"cut"} if at_start else set())
    assert {*found.faults} & {"cut", "repeated"} == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_an_empty_image(dtype):
    for value in (0, 9):
        found = acquisition_fault(np.full((300, 280), value, dtype))
        assert found.faults == ("empty",)
        assert found.message == "All pixels have one value."
        assert (found.first_lines, found.last_lines) == (0, 0)
    assert acquisition_fault(np.full((300, 280), np.nan)).faults == ("empty",)


def test_short_lines_may_be_alike_by_chance():
    plane = np.arange(40)[:, np.newaxis] * np.ones((1, 15), int)
    assert acquisition_fault(plane).faults == ()
    assert acquisition_fault(np.repeat(plane, 2, axis=1)).faults == ("cut",)


# Frames


def test_a_frozen_frame_is_known_by_the_frame_before_or_its_digest(tissue):
    before, plane = tissue[0], tissue[1]
    for earlier in (plane, plane.copy(), plane.tolist(), frame_digest(plane), Lazy(plane)):
        found = acquisition_fault(plane if not isinstance(earlier, list) else earlier, earlier)
        assert (found.fault, found.action) == ("frozen", "retake")
        assert found.message == "It is the same as the frame before."
    for earlier in (before, frame_digest(before), before[:-1]):
        assert acquisition_fault(plane, earlier).faults == ()
    changed = plane.copy()
    changed[399, 529] += 1
    assert acquisition_fault(changed, plane).faults == ()
    assert acquisition_fault(plane).digest == frame_digest(plane)


@quick
@given(arrays(np.uint16, (33, 40), elements=st.integers(0, 9)), st.data())
def test_a_digest_tells_every_pixel_the_shape_and_the_type(plane, data):
    digest = frame_digest(plane)
    assert len(digest) == 32
    assert int(digest, 16) >= 0
    for same in (plane.astype(">u2"), np.asfortranarray(plane), plane[::-1][::-1], Lazy(plane)):
        assert frame_digest(same) == digest
    place = data.draw(st.integers(0, 32)), data.draw(st.integers(0, 39))
    other = plane.copy()
    other[place] += 1
    assert frame_digest(other) != digest
    for other in (plane.astype(np.int16), plane.reshape(40, 33), plane[:32]):
        assert frame_digest(other) != digest


def test_a_digest_by_its_definition(tissue):
    def blake2b(octets):
        return hashlib.blake2b(octets, digest_size=16)

    whole = blake2b(b"u1 400 530")
    for line in tissue[0].tolist():
        whole.update(blake2b(bytes(line)).digest())
    assert frame_digest(tissue[0]) == whole.hexdigest()


def test_a_digest_stays_the_same_from_one_version_to_the_next():
    """It may lie in a table that an earlier version wrote."""
    plane = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert frame_digest(plane) == DIGEST


DIGEST = "380c596618b4b15a18c2959c947e99c7"


@pytest.mark.parametrize("before", ["cells.tif", "", "0" * 31, "G" * 32, "A" * 32])
def test_a_text_that_is_no_digest_is_refused(before):
    with pytest.raises(SettingsError, match="32 hexadecimal digits"):
        acquisition_fault(np.eye(80), before)


# Grey levels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_clipped_pixels_are_counted_at_both_ends(dtype):
    rng = np.random.default_rng(1)
    info = np.iinfo(dtype)
    width = (int(info.max) - int(info.min)) / 6
    light = int(info.min) + 3 * width + width * rng.normal(size=(300, 320))
    for low, high in ((-1.5, 9), (-9, 1.2), (-1.6, 1.1)):
        ends = (int(info.min) + (3 + low) * width, int(info.min) + (3 + high) * width)
        scale = (int(info.max) - int(info.min)) / (min(ends[1], info.max) - max(ends[0], info.min))
        exposed = (light - max(ends[0], info.min)) * scale + int(info.min)
        plane = np.clip(exposed, info.min, info.max).astype(dtype)
        found = acquisition_fault(plane)
        below, above = (float((plane == end).mean()) for end in (info.min, info.max))
        assert (found.clipped_low, found.clipped_high) == pytest.approx((below, above), abs=1e-3)
        assert ("saturated" in found.faults) == (max(below, above) >= 0.05)
        assert "saturated" not in acquisition_fault(plane, saturated_limit=0.3).faults


def test_the_sentence_about_clipped_pixels(tissue):
    plane = np.clip(tissue[0].astype(int) * 2 - 200, 0, 255).astype(np.uint8)
    low = float((plane == 0).mean())
    high = float((plane == 255).mean())
    found = acquisition_fault(plane)
    assert (found.faults, found.action) == (("saturated",), "look")
    assert found.message == (
        f"{low:.1%} of the pixels are at the lower end of the grey levels, {high:.1%} at the upper "
        "one."
    )


def test_no_electron_is_a_count_like_others():
    counts = np.random.default_rng(0).poisson(1.5, (300, 300)).astype(np.uint16)
    assert (counts == 0).mean() > 0.2
    assert acquisition_fault(counts).clipped_low == 0
    assert acquisition_fault(counts).faults == ("blank",)


def test_floats_have_no_ends(tissue):
    found = acquisition_fault(tissue[0] / 255)
    assert math.isnan(found.clipped_low)
    assert math.isnan(found.clipped_high)
    assert found.faults == ()


# Blank resin


def streaks(shape, rng):
    """Charge that decays along lines, up to three at a time."""
    height, width = shape[1:]
    charge = np.zeros(shape)
    along = np.arange(width)
    for plane in charge:
        for _ in range(rng.integers(2, 14)):
            top, left = rng.integers(height), rng.integers(width)
            length = math.exp(rng.uniform(math.log(8), math.log(300)))
            decay = np.exp(-np.maximum(along - left, 0) / length) * (along >= left)
            plane[top : top + rng.integers(1, 4)] += rng.choice([-1, 1]) * rng.uniform(1, 4) * decay
    return charge


def _slope(side):
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    return 30 * x - 20 * y**2 + 10 * x * y


WHITE = {
    "white": lambda rng, shape: rng.normal(size=shape),
    "counts": lambda rng, shape: rng.poisson(3, shape).astype(np.uint16),
    "of a slow detector": lambda rng, shape: gaussian_filter1d(rng.normal(size=shape), 0.8, axis=2),
    "of a very slow detector": lambda rng, shape: gaussian_filter1d(
        rng.normal(size=shape), 3, axis=2
    ),
    "of offset lines": lambda rng, shape: (
        rng.normal(size=shape) + 5 * rng.normal(size=(*shape[:2], 1))
    ),
    "on a slope": lambda rng, shape: rng.normal(size=shape) + _slope(shape[1]),
    "with charge": lambda rng, shape: rng.normal(size=shape) + streaks(shape, rng),
    "a little smoothed": lambda rng, shape: gaussian_filter(rng.normal(size=shape), (0, 0.5, 0.5)),
    "of a grey level": lambda rng, shape: np.rint(100 + rng.normal(size=shape)).astype(np.uint8),
    "of a third of a grey level": lambda rng, shape: np.rint(
        100.4 + 0.3 * rng.normal(size=shape)
    ).astype(np.uint8),
}


@pytest.mark.parametrize("side", [128, 256])
@pytest.mark.parametrize("noise", WHITE.values(), ids=WHITE)
def test_noise_of_all_kinds_is_blank(noise, side):
    patches = noise(np.random.default_rng(2), (100, side, side))
    # Of charge, long bright streaks are seen by chance.
    assert blank_patches(patches).mean() >= (0.95 if noise is WHITE["with charge"] else 0.99)


def test_a_slope_without_noise_is_blank():
    slope = 100 + _slope(256)
    # Rounded to grey levels, it has steps.
    rounded = [np.rint(slope).astype(np.uint8), np.rint(9 * slope).astype(np.uint16)]
    for plane in (slope, slope.astype(np.float32), 1e-6 * slope, *rounded):
        assert blank_patches(plane[np.newaxis]).tolist() == [True]
    assert blank_patches(np.full((3, 64, 70), 7)).all()


@pytest.fixture(scope="module")
def fields():
    """Sharp fields without noise."""
    rng = np.random.default_rng(5)
    return membranes((40, 256, 256), rng)


@pytest.mark.parametrize("blur_px", [0, 3, 8])
@pytest.mark.parametrize("noise", [0.05, 1.0, 2.5])
def test_tissue_has_structure_however_blurred_and_noisy(fields, blur_px, noise):
    rng = np.random.default_rng(3)
    patches = gaussian_filter(fields, (0, blur_px, blur_px)) + noise * rng.normal(size=fields.shape)
    missed = blank_patches(patches).mean()
    # Both blurred and noisy, some is gone.
    assert missed <= (0.3 if blur_px * noise > 10 else 0)


@quick
@given(st.floats(1e-3, 1e4), st.floats(-1e4, 1e4), st.sampled_from([-1, 1]), st.integers(0, 9))
def test_gain_offset_and_sign_change_nothing(fields_few, gain, offset, sign, seed):
    rng = np.random.default_rng(seed)
    patches = fields_few + rng.choice([0.3, 3.0, 30.0], (len(fields_few), 1, 1)) * rng.normal(
        size=fields_few.shape
    )
    expected = blank_patches(patches)
    np.testing.assert_array_equal(blank_patches(gain * (sign * patches + offset)), expected)
    np.testing.assert_array_equal(blank_patches(patches[:, ::-1, ::-1]), expected)


@pytest.fixture(scope="module")
def fields_few(fields):
    return fields[:6, :128, :128]


def test_both_answers_occur(fields_few):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=fields_few.shape)
    assert not blank_patches(fields_few + 0.3 * noise).any()
    assert blank_patches(fields_few + 30 * noise).all()


def test_numbers_of_any_size_are_compared(fields):
    noise = np.random.default_rng(0).normal(size=fields.shape)
    for size in (1e-300, 1e-30, 1e150, 1e306):
        assert not blank_patches(size * (fields + 0.3 * noise)).any()
        assert blank_patches(size * noise).all()


def test_of_what_is_not_finite_nothing_is_known():
    noise = np.random.default_rng(0).normal(size=(4, 128, 128))
    noise[1, 3, 4], noise[2, 127, 0] = np.nan, np.inf
    assert blank_patches(noise).tolist() == [True, False, False, True]
    assert blank_patches(noise[:0]).shape == (0,)


def test_patches_need_64_pixels():
    noise = np.random.default_rng(0).normal(size=(3, 64, 90))
    assert blank_patches(noise).all()
    for small in (noise[:, 1:], noise[:, :, :63], noise[0], noise[..., np.newaxis]):
        with pytest.raises(ImageError, match="patches must be"):
            blank_patches(small)


def test_a_map_tells_where_an_image_is_blank(tissue):
    rng = np.random.default_rng(0)
    plane = np.tile(tissue[0], (2, 2)).astype(float)
    plane[:600, :500] = 128 + 20 * rng.normal(size=(600, 500))
    found = blank_map(plane, 128)
    tops, lefts = starts(plane.shape[0], 128), starts(plane.shape[1], 128)
    assert found.shape == (len(tops), len(lefts))
    inside = (tops[:, np.newaxis] + 128 <= 600) & (lefts + 128 <= 500)
    outside = (tops[:, np.newaxis] >= 600) | (lefts >= 500)
    assert found[inside].all()
    assert not found[outside].any()
    patches = np.stack([plane[y : y + 128, x : x + 128] for y in tops for x in lefts])
    np.testing.assert_array_equal(found.ravel(), blank_patches(patches))
    assert acquisition_fault(plane, patch_size=128).blank_fraction == found.mean()
    assert blank_map(plane[:100], 128).shape == (0, 0)


def test_a_blank_image_and_one_with_something_in_a_corner(tissue):
    rng = np.random.default_rng(0)
    plane = grey(0.3 * rng.normal(size=(1100, 1300)))
    found = acquisition_fault(plane)
    assert (found.faults, found.action, found.blank_fraction) == (("blank",), "look", 1)
    assert found.message == "There is no structure in it."
    plane[-260:, -260:] = tissue[0][-260:, -260:]
    found = acquisition_fault(plane)
    assert found.faults == ()
    assert found.blank_fraction == 26 / 30


def test_a_small_image_is_one_patch_and_a_tiny_one_none(tissue):
    rng = np.random.default_rng(0)
    noise = grey(rng.normal(size=(100, 140)))
    assert acquisition_fault(noise).faults == ("blank",)
    assert acquisition_fault(tissue[0][:140, :200]).blank_fraction == 0
    found = acquisition_fault(noise[:63])
    assert found.faults == ()
    assert math.isnan(found.blank_fraction)


# Large planes


@pytest.mark.parametrize("shape", [(1000, 600), (40, 700), (256, 256), (700, 70)])
def test_a_plane_in_a_file_is_read_in_bands_once(tissue, shape):
    plane = np.tile(tissue[3], (4, 4))[: shape[0], : shape[1]].copy()
    plane[-shape[0] // 5 :] = 0
    lazy = Lazy(plane)
    found = acquisition_fault(lazy, frame_digest(plane))
    expected = acquisition_fault(plane, plane)
    # A NaN is not equal to itself.
    np.testing.assert_equal(vars(found), vars(expected))
    assert "frozen" in found.faults
    size = min(256, *shape) if min(shape) >= 64 else 256
    assert lazy.most <= size * shape[1]
    assert lazy.read < plane.size + size * shape[1]
    lazy = Lazy(plane)
    np.testing.assert_array_equal(blank_map(lazy, 64), blank_map(plane, 64))
    assert lazy.most <= 64 * shape[1]


def test_every_fault_has_an_action():
    assert list(ACTIONS) == ["empty", "frozen", "cut", "repeated", "saturated", "blank"]
    assert set(ACTIONS.values()) == {"retake", "look"}
