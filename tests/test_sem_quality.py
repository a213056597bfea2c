"""checkQual against a literal one, site by site, and by hand; the signal-to-noise ratio."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from microscope_quality import classical
from microscope_quality.errors import ImageError
from microscope_quality.sem_quality import CheckQual, check_qual, spectral_snr

quick = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Each site has its own nine pixels here.
APART = 205 + 2 * 200


def tissue(shape, seed, blur=1.5, noise=4.0):
    """Give texture of several scales with noise, as 8-bit grey levels, few of them saturated."""
    rng = np.random.default_rng(seed)
    texture = sum(
        gaussian_filter(rng.normal(size=shape), blur * scale) * scale for scale in (1, 2, 5)
    )
    return np.clip(128 + 60 * texture / texture.std() + rng.normal(0, noise, shape), 0, 255).astype(
        np.uint8
    )


def site_by_site(plane):
    """Give WaferMapper's checkQual in the words of its program, each number from a loop."""
    height, width = len(plane), len(plane[0])
    step_y, step_x = int((height - 5) / 200), int((width - 5) / 200)
    sites = {}
    for i in range(200):
        for j in range(200):
            y, x = 4 + i * step_y, 4 + j * step_x  # counted from 1
            pixels = [
                255.0 - float(plane[y + row - 1][x + column - 1])
                for row in range(3)
                for column in range(3)
            ]
            sites[i, j] = pixels

    every = [pixel for pixels in sites.values() for pixel in pixels]
    percent = 100 * sum(pixel == 255 or pixel <= 1 for pixel in every) / len(every)
    last = [255 - pixel for j in range(200) for pixel in sites[199, j]]

    def deviation(pixels):
        mean = sum(pixels) / 9
        return math.sqrt(sum((pixel - mean) ** 2 for pixel in pixels) / 9)

    usable = {
        place: deviation(pixels)
        for place, pixels in sites.items()
        if not any(pixel == 255 or pixel <= 1 for pixel in pixels)
    }
    if sum(last) == 0 or len(usable) <= 5:
        return CheckQual(-100, 0, 0, 0, 0, percent)
    ascending = sorted(usable.values())
    threshold = ascending[len(ascending) - 1 - int(len(ascending) * 0.01)]
    kept = [sites[place] for place, found in usable.items() if found >= threshold]

    def differences(text):
        """Of triples such as 153-246."""
        added, taken_off = text.split("-")
        return [
            sum(pixels[int(number) - 1] for number in added) / 3
            - sum(pixels[int(number) - 1] for number in taken_off) / 3
            for pixels in kept
        ]

    def top_half(values):
        ascending = sorted(values)
        lowest = ascending[len(ascending) - math.floor(len(ascending) * 0.5 + 0.5)]
        above = [value for value in values if value >= lowest]
        return sum(above) / len(above)

    def contrast(*texts):
        along_y_1, along_y_2, along_x_1, along_x_2 = map(differences, texts)
        along_y = top_half([abs(value) for value in along_y_1 + along_y_2])
        along_x = top_half([abs(value) for value in along_x_1 + along_x_2])
        both = [
            max(abs((a + b) / 2), abs((c + d) / 2))
            for a, b, c, d in zip(along_y_1, along_y_2, along_x_1, along_x_2)
        ]
        return along_y, along_x, top_half(both)

    speckle = contrast("153-246", "759-486", "248-157", "359-268")
    line = contrast("456-123", "789-456", "258-147", "369-258")
    vertical, horizontal, quality = (100 * (a / b - 1) for a, b in zip(line, speckle))
    means = sorted(sum(pixels) / 9 for pixels in sites.values())
    mean_of_kept = sum(sum(pixels) / 9 for pixels in kept) / len(kept)
    mean = sum(every) / len(every)
    spread = math.sqrt(sum((pixel - mean) ** 2 for pixel in every) / (len(every) - 1))
    grey_range = mean_of_kept - (means[99] + means[100]) / 2
    return CheckQual(quality, horizontal, vertical, grey_range, spread, percent)


def same(found, expected):
    assert vars(found) == pytest.approx(vars(expected), rel=1e-10, abs=1e-9)


def repeated(pixels, shape=(APART, APART)):
    """Give a plane of which every site has these nine pixels."""
    plane = np.full(shape, 128, np.uint8)
    plane[3:603, 3:603] = np.tile(np.reshape(pixels, (3, 3)), (200, 200))
    return plane


# checkQual


@pytest.mark.parametrize("shape", [(205, 205), (404, 1010), (611, 230), (1024, 768)])
def test_check_qual_against_its_program_site_by_site(shape):
    plane = tissue(shape, 1, 0.7, 2.0)
    expected = site_by_site(plane.tolist())
    assert expected.percent_saturated > 0
    same(check_qual(plane), expected)
    unsaturated = tissue(shape, 2, 3.0, 6.0) // 3 + 70
    same(check_qual(unsaturated), site_by_site(unsaturated.tolist()))


def test_check_qual_by_hand():
    # Thirds: along y, speckle is 100 - 130 and 280 - 210, lines 170 - 60 and 320 - 170; along x,
    # speckle is 160 - 160 and 220 - 190, lines 180 - 140 and 230 - 180.
    found = check_qual(repeated([10, 20, 30, 40, 60, 70, 90, 100, 130]))
    # The larger means: of -30 and 70, and of 110 and 150.
    assert found.quality == pytest.approx((130 / 20 - 1) * 100, rel=1e-12)
    # The upper halves of single ones: 70 and 150, 30 and 50.
    assert found.vertical_quality == pytest.approx((150 / 70 - 1) * 100, rel=1e-12)
    assert found.horizontal_quality == pytest.approx((50 / 30 - 1) * 100, rel=1e-12)
    assert found.range == pytest.approx(0, abs=1e-12)
    # Mean 550 / 9, sum of squares 46500.
    n = 9 * 40_000
    variance = (46_500 / 9 - (550 / 9) ** 2) * n / (n - 1)
    assert found.deviation == pytest.approx(math.sqrt(variance), rel=1e-12)
    assert found.percent_saturated == 0


def test_edges_have_more_quality_than_chequers():
    edge = repeated([40, 200, 200, 40, 200, 200, 40, 210, 200])
    chequers = repeated([40, 200, 40, 200, 40, 200, 40, 200, 41])
    assert check_qual(edge).quality > 100 > -50 > check_qual(chequers).quality


def test_the_hundredth_part_of_the_sites_decides():
    plane = repeated([100, 101, 100, 101, 100, 101, 100, 101, 100])
    strong = np.reshape([10, 20, 30, 40, 60, 70, 90, 100, 130], (3, 3))
    for site in range(401):
        y, x = 3 + 3 * (site // 20), 3 + 3 * (site % 20)
        plane[y : y + 3, x : x + 3] = strong
    assert check_qual(plane).quality == pytest.approx(550, rel=1e-12)
    # Of 40,000 the 401st decides: with one strong site less, the weak ones count as well.
    plane[3:6, 3:6] = plane[300:303, 300:303]
    assert check_qual(plane).quality != pytest.approx(550, rel=0.01)


def test_what_is_rejected():
    plane = tissue((APART, APART), 2)
    failed = plane.copy()
    # The pixels of the last row of sites are in lines 600 to 602.
    failed[600:] = 0
    found = check_qual(failed)
    assert (found.quality, found.range, found.deviation) == (-100, 0, 0)
    assert (found.horizontal_quality, found.vertical_quality) == (0, 0)
    assert found.percent_saturated > 0.5
    same(found, site_by_site(failed.tolist()))
    failed[601, 603] = 1
    assert check_qual(failed).quality == -100, "no site has this pixel"
    failed[601, 602] = 1
    assert check_qual(failed).quality > -100
    # At most five sites are usable, and six.
    clipped = np.full((APART, APART), 255, np.uint8)
    strong = np.reshape([10, 20, 30, 40, 60, 70, 90, 100, 130], (3, 3))
    for site in range(6):
        assert check_qual(clipped).quality == -100
        clipped[3:6, 3 + 3 * site : 6 + 3 * site] = strong
    assert check_qual(clipped).quality > -100
    # 254 is saturated, and so is 0.
    for value in (0, 254, 255):
        assert check_qual(np.full((300, 300), value, np.uint8)).quality == -100


@pytest.mark.parametrize("value", [1, 7, 253, 300, 0.25, -4])
def test_a_constant_image_has_no_quality(value):
    found = check_qual(np.full((240, 300), value))
    assert math.isnan(found.quality)
    assert math.isnan(found.horizontal_quality)
    assert math.isnan(found.vertical_quality)
    assert (found.range, found.deviation, found.percent_saturated) == (0, 0, 0)


def test_a_small_image_has_no_grid():
    plane = tissue((205, 205), 0)
    assert math.isfinite(check_qual(plane).quality)
    for small in (plane[1:], plane[:, 1:], plane[:1, :1]):
        assert all(map(math.isnan, vars(check_qual(small)).values()))


@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.float32, np.float64, ">u2"])
def test_8_bit_values_of_any_type_are_taken_as_they_are(dtype):
    plane = tissue((220, 300), 3)
    assert check_qual(plane.astype(dtype)) == check_qual(plane)
    assert check_qual(plane.tolist()) == check_qual(plane)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_other_values_are_brought_to_8_bits_from_the_lowest_to_the_highest(dtype):
    rng = np.random.default_rng(0)
    plane = (3000 + 9.7 * tissue((220, 300), 3) + rng.uniform(-3, 3, (220, 300))).astype(dtype)
    low, high = float(plane.min()), float(plane.max())
    bytes_ = [
        [math.floor((float(v) - low) / (high - low) * 255 + 0.5) for v in row] for row in plane
    ]
    same(check_qual(plane), check_qual(np.array(bytes_, np.uint8)))
    # A float that is no whole number is not 8-bit, however small.
    assert check_qual(plane / 2**14) == check_qual(plane)


@quick
@given(st.integers(-6, 6), st.integers(-4000, 60_000), st.integers(0, 2**31))
def test_gain_and_offset_of_an_image_of_more_bits_change_nothing(doublings, offset, seed):
    plane = 1000 + 5 * tissue((210, 220), seed).astype(np.float64)
    same(check_qual((plane + offset) * 2.0**doublings + 0.25 * 2.0**doublings), check_qual(plane))


def test_blur_and_noise_lower_the_quality():
    shape = (520, 610)
    sharp, blurred, noisy = (
        check_qual(tissue(shape, 5, *how)).quality for how in ((1.0, 2.0), (2.5, 2.0), (1.0, 12.0))
    )
    assert sharp > blurred
    assert sharp > noisy


@pytest.mark.parametrize("measure", [check_qual, spectral_snr])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(measure, value):
    plane = tissue((260, 260), 0).astype(float)
    plane[200, 100] = value
    with pytest.raises(ImageError, match="must be finite"):
        measure(plane)


def test_the_classical_measure_has_its_quality():
    plane = tissue((260, 300), 0)
    assert classical.check_qual(plane) == check_qual(plane).quality
    measured = classical.measure_classical(plane)
    assert measured["check_qual"] == check_qual(plane).quality
    assert measured["spectral_snr"] == pytest.approx(spectral_snr(plane), rel=1e-12)
    assert list(measured)[-3:] == ["check_qual", "laplacian_variance", "spectral_snr"]


# The signal-to-noise ratio


def snr_block_by_block(plane):
    """Give the ratio by its definition: whole transforms, frequency after frequency."""
    height, width = plane.shape
    tops = [*range(0, height - 128, 128), height - 128]
    lefts = [*range(0, width - 128, 128), width - 128]
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * i / 128) for i in range(128)]
    window = np.outer(hann, hann)
    power = sum(
        np.abs(np.fft.fft2((block - np.average(block, weights=window)) * window)) ** 2
        for top in tops
        for left in lefts
        for block in [plane[top : top + 128, left : left + 128].astype(float)]
    )
    signal, noise = [], []
    for (i, j), found in np.ndenumerate(power):
        squared = min(i, 128 - i) ** 2 + min(j, 128 - j) ** 2
        if 4**2 <= squared < 16**2:
            signal.append(found)
        elif squared >= 64**2:
            noise.append(found)
    return 10 * math.log10(np.mean(signal) / np.mean(noise))


@pytest.mark.parametrize("shape", [(128, 128), (129, 300), (400, 256)])
def test_snr_against_its_definition(shape):
    for seed in range(2):
        plane = tissue(shape, seed)
        # In decibels, of single precision.
        assert spectral_snr(plane) == pytest.approx(snr_block_by_block(plane), abs=1e-4)


def test_snr_of_white_noise_is_0():
    noise = np.random.default_rng(0).normal(100, 7, (1024, 1024))
    assert spectral_snr(noise) == pytest.approx(0, abs=0.05)
    assert spectral_snr(np.rint(noise).astype(np.uint8)) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("ratio", [0.5, 3.0, 30.0])
def test_snr_of_a_signal_of_known_power(ratio):
    """White in the middle frequencies, and nothing beyond them, over white noise."""
    rng = np.random.default_rng(1)
    spectrum = np.fft.rfft2(rng.normal(size=(1024, 1024)))
    frequency = np.hypot(np.fft.fftfreq(1024)[:, np.newaxis], np.fft.rfftfreq(1024))
    # Wider than the band, since the window takes from beside it.
    spectrum[(frequency < 1 / 64) | (frequency > 0.2)] = 0
    plane = math.sqrt(ratio) * np.fft.irfft2(spectrum) + rng.normal(size=(1024, 1024))
    assert spectral_snr(plane) == pytest.approx(10 * math.log10(1 + ratio), abs=0.15)


@quick
@given(st.floats(1e-3, 1e3), st.floats(-1e4, 1e4), st.sampled_from([-1, 1]))
def test_snr_does_not_change_with_gain_offset_and_sign(gain, offset, sign):
    plane = tissue((140, 200), 1).astype(float)
    expected = spectral_snr(plane)
    assert spectral_snr(sign * gain * plane + offset) == pytest.approx(expected, abs=1e-4)


def test_snr_falls_with_noise():
    values = [spectral_snr(tissue((256, 300), 4, 2.0, noise)) for noise in (1.0, 4.0, 16.0)]
    assert values == sorted(values, reverse=True)


def test_snr_where_it_is_undefined():
    plane = tissue((128, 128), 1)
    assert math.isfinite(spectral_snr(plane))
    assert math.isnan(spectral_snr(plane[1:]))
    assert math.isnan(spectral_snr(plane[:, 1:]))
    assert math.isnan(spectral_snr(np.full((200, 200), 0.1)))
    y, x = np.indices((200, 260))
    # All power is at one frequency, and what is elsewhere is rounding.
    assert math.isnan(spectral_snr(np.cos(2 * np.pi * (x / 16 + y / 32))))
