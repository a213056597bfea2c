"""Classical measures against direct formulas, hand computation, centrosome and scikit-image."""

import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.signal import convolve2d

from microscope_quality import classical
from microscope_quality.classical import (
    CLASSICAL,
    MEASURES,
    correlation,
    focus_score,
    illumination_unevenness,
    laplacian_of_gaussian,
    laplacian_variance,
    local_focus_score,
    mean_intensity,
    mean_over_deviation,
    measure_classical,
    mid_band_power,
    noise_estimate,
    percent_maximal,
    percent_minimal,
    power_log_log_slope,
    std_intensity,
    tenengrad,
)
from microscope_quality.degrade import Camera, defocus
from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import filaments, nuclei

WITHOUT_CENTROSOME = (
    "centrosome, CellProfiler's own code, is missing: pip install 'microscope-quality[test]'"
)
RISES_WITH_BLUR = {"mean_over_deviation", "correlation"}
UNCHANGED_BY_GAIN = {
    "power_log_log_slope",
    "mean_over_deviation",
    "correlation",
    "mid_band_power",
    "percent_maximal",
    "percent_minimal",
    "illumination_unevenness",
    "check_qual",
    "spectral_snr",
}
UNCHANGED_BY_OFFSET = {
    "power_log_log_slope",
    "correlation",
    "tenengrad",
    "laplacian_variance",
    "laplacian_of_gaussian",
    "mid_band_power",
    "std_intensity",
    "percent_maximal",
    "percent_minimal",
    "noise_estimate",
    "check_qual",
    "spectral_snr",
}
# How each of the others grows with gain.
POWER_OF_GAIN = {
    "focus_score": 1,
    "local_focus_score": 1,
    "tenengrad": 2,
    "laplacian_variance": 2,
    "laplacian_of_gaussian": 2,
    "mean_intensity": 1,
    "std_intensity": 1,
    "noise_estimate": 1,
}
ALL = {**MEASURES, **CLASSICAL}

each_of_focus = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
each_measure = pytest.mark.parametrize("measure", ALL.values(), ids=ALL)
# A loaded machine may take its time for an example.
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
planes = arrays(
    np.int32, array_shapes(min_dims=2, max_dims=2, max_side=48), elements=st.integers(0, 4095)
)


def taken(shape, seed, photons=500.0, defocus_um=0.0):
    """Give a field of nuclei as a camera takes it."""
    light = defocus(nuclei(shape, 12, seed), psf(TRAINING_OPTICS, defocus_um))
    return Camera().expose(photons * (np.maximum(light, 0) + 0.05), seed)


def test_the_measures_have_names():
    assert list(MEASURES) == [
        "power_log_log_slope",
        "mean_over_deviation",
        "focus_score",
        "local_focus_score",
        "correlation",
        "tenengrad",
        "laplacian_variance",
        "laplacian_of_gaussian",
        "mid_band_power",
    ]
    for name, measure in ALL.items():
        assert measure is getattr(classical, name)


# What they have in common is computed once.


@pytest.mark.parametrize("shape", [(128, 139), (1, 1), (2, 40), (31, 47), (300, 262)])
def test_all_at_once_are_the_same_as_one_by_one(shape):
    plane = np.random.default_rng(3).poisson(50, shape).astype(np.uint16)
    measured = measure_classical(plane)
    assert list(measured) == list(CLASSICAL)
    for name, value in measured.items():
        assert isinstance(value, float)
        assert value == pytest.approx(CLASSICAL[name](plane), rel=1e-14, nan_ok=True)


def test_a_constant_image_has_brightness_and_nothing_else():
    measured = measure_classical(np.full((130, 140), 7, np.uint8))
    known = {name: value for name, value in measured.items() if not math.isnan(value)}
    assert known == {
        "mean_intensity": 7,
        "std_intensity": 0,
        # As CellProfiler has it.
        "percent_maximal": 100,
        "percent_minimal": 100,
        "illumination_unevenness": pytest.approx(0, abs=1e-12),
        "noise_estimate": 0,
    }


@pytest.mark.parametrize("shape", [(64, 94), (94, 64), (97, 97), (120, 131)])
def test_the_order_of_axes_does_not_matter_where_it_is_chosen_for_speed(shape):
    plane = taken(shape, 5)
    for measure in (power_log_log_slope, mid_band_power):
        assert measure(plane.T) == pytest.approx(measure(plane), rel=1e-10)


# The slope.


def slope_bin_by_bin(plane):
    """CellProfiler's slope by its definition: the whole transform, bin after bin, a polynomial."""
    height, width = plane.shape
    power = np.abs(np.fft.fft2(plane - plane.mean())) ** 2
    sums = {}
    for i in range(height):
        for j in range(width):
            y, x = min(i, height - 1 - i), min(j, width - 1 - j)
            ring = 1 + math.isqrt(y * y + x * x)
            sums[ring] = sums.get(ring, 0) + power[i, j]
    rings = range(2, min(height, width) // 8)
    return np.polyfit(np.log(rings), np.log([sums[ring] for ring in rings]), 1)[0]


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (84, 84), (90, 64)])
def test_slope_against_its_definition(shape):
    for seed in range(3):
        plane = taken(shape, seed)
        assert power_log_log_slope(plane) == pytest.approx(slope_bin_by_bin(plane), rel=1e-9)


class _WithPtp(np.ndarray):
    """An array with the method `ptp`, which centrosome calls and NumPy 2 has no longer."""

    def ptp(self):
        return np.ptp(np.asarray(self))


def cellprofiler_slope(plane):
    spectrum = pytest.importorskip("centrosome.radial_power_spectrum", reason=WITHOUT_CENTROSOME)
    radii, magnitude, power = spectrum.rps(plane.view(_WithPtp))
    if not sum(magnitude) > 0 or len(np.unique(plane)) < 2:
        return 0.0
    design = np.column_stack([np.log(radii), np.ones(len(radii))])
    return np.linalg.lstsq(design, np.log(np.asarray(power)), rcond=None)[0][0]


@pytest.mark.libraries
@pytest.mark.parametrize("shape", [(84, 84), (130, 97), (97, 130), (256, 300)])
def test_slope_agrees_with_cellprofiler(shape):
    for seed, defocus_um in enumerate([0.0, 2.0, 8.0]):
        plane = taken(shape, seed, defocus_um=defocus_um)
        expected = cellprofiler_slope(plane / 65535)
        assert power_log_log_slope(plane) == pytest.approx(expected, rel=1e-9)
        # CellProfiler's own images are of single precision, and so is its transform of them.
        single = cellprofiler_slope((plane / 65535).astype(np.float32))
        assert power_log_log_slope(plane) == pytest.approx(single, rel=1e-3)


@pytest.mark.libraries
@pytest.mark.parametrize("value", [0.0, 0.1, 7.0])
def test_slope_of_a_flat_image_is_undefined_and_0_in_cellprofiler(value):
    flat = np.full((64, 64), value)
    assert math.isnan(power_log_log_slope(flat))
    assert cellprofiler_slope(flat) == 0


@pytest.mark.parametrize("exponent", [0.0, 2.0, 3.0])
def test_slope_of_a_spectrum_that_is_a_power_of_frequency(exponent):
    frequency = np.hypot(np.fft.fftfreq(512)[:, np.newaxis], np.fft.rfftfreq(512))
    frequency[0, 0] = 1
    phase = np.exp(2j * np.pi * np.random.default_rng(1).random(frequency.shape))
    plane = np.fft.irfft2(frequency ** (-exponent / 2) * phase, (512, 512))
    # A ring sums as many bins as its radius is long; CellProfiler's radii are off by up to one.
    assert power_log_log_slope(plane) == pytest.approx(1 - exponent, abs=0.1)


def test_slope_needs_two_rings_with_power():
    noise = np.random.default_rng(0).normal(size=(40, 40))
    assert math.isnan(power_log_log_slope(noise[:31]))
    assert math.isnan(power_log_log_slope(noise[:, :31]))
    assert math.isfinite(power_log_log_slope(noise[:32, :32]))
    # All power at the highest frequency, none in any ring but by rounding.
    for side in (54, 64, 86):
        chequers = np.indices((side, side)).sum(axis=0) % 2
        assert math.isnan(power_log_log_slope(0.1 + 0.7 * chequers))


# Mean, variance and their ratios.


def test_mean_over_deviation_and_focus_score_by_hand():
    # Mean 3, squared deviations 4, 1, 0 and 9.
    plane = [[1, 2], [3, 6]]
    assert mean_over_deviation(plane) == pytest.approx(3 / math.sqrt(3.5), rel=1e-14)
    assert focus_score(plane) == pytest.approx(3.5 / 3, rel=1e-14)


def test_focus_score_needs_a_positive_mean():
    assert math.isnan(focus_score([[-1, 1]]))
    assert math.isnan(focus_score([[-3, 1]]))
    assert mean_over_deviation([[-1, 1]]) == 0


def test_local_focus_score_by_hand():
    # Tiles of 2 x 2: mean 2, variance 1, score 1/2, and mean 4, variance 4, score 1.
    plane = [[1, 3, 2, 6], [1, 3, 2, 6]]
    assert local_focus_score(plane, tile_px=2) == pytest.approx(0.0625 / 0.75, rel=1e-14)


def local_focus_tile_by_tile(plane, side):
    height, width = plane.shape
    rows, columns = -(-height // side), -(-width // side)
    tiles = {}
    for (i, j), value in np.ndenumerate(plane):
        tiles.setdefault((i * rows // height, j * columns // width), []).append(float(value))
    assert len(tiles) == rows * columns
    scores = [np.var(pixels) / np.mean(pixels) for pixels in tiles.values() if np.mean(pixels)]
    return np.var(scores) / np.median(scores)


@pytest.mark.parametrize("shape", [(84, 84), (45, 61), (100, 20), (7, 200)])
@pytest.mark.parametrize("side", [1, 7, 20])
def test_local_focus_score_against_its_definition(shape, side):
    plane = taken(shape, 3)
    if side == 1:
        # Each tile is a pixel, without variance.
        assert math.isnan(local_focus_score(plane, side))
    else:
        expected = local_focus_tile_by_tile(plane, side)
        assert local_focus_score(plane, side) == pytest.approx(expected, rel=1e-9)


def test_local_focus_score_passes_over_tiles_of_mean_0():
    plane = np.zeros((20, 60))
    plane[0, :40:7] = 50
    plane[0, 0] = 80
    # The third tile is empty.
    expected = local_focus_tile_by_tile(plane, 20)
    assert expected > 0
    assert local_focus_score(plane) == pytest.approx(expected, rel=1e-12)


def test_local_focus_score_where_it_is_undefined():
    noise = np.random.default_rng(0).normal(100, 1, (60, 60))
    assert math.isnan(local_focus_score(noise[:20, :20]))
    assert math.isfinite(local_focus_score(noise[:21, :20]))
    # Five of nine tiles are constant; 0.1 is not a binary fraction, and their sums are rounded.
    noise[:40, :40] = 0.1
    noise[40:, :20] = 0.3
    assert math.isnan(local_focus_score(noise))
    # Negative means have negative scores.
    assert math.isnan(local_focus_score(np.random.default_rng(0).normal(-100, 1, (60, 60))))
    for bad in (0, -1, 2.5, True, "20"):
        with pytest.raises(SettingsError, match="tile_px must be a whole number"):
            local_focus_score(noise, bad)


# Correlation.


def correlation_of_pairs(plane, distance):
    """Pearson's correlation of the grey levels of all pairs, the levels in whole numbers."""
    plane = plane.astype(np.int64)
    above = plane - plane.min()
    levels = np.minimum(above * 8 // above.max(), 7)
    return np.corrcoef(levels[:, :-distance].ravel(), levels[:, distance:].ravel())[0, 1]


@pytest.mark.parametrize("distance", [1, 5, 20, 60])
def test_correlation_against_pearson(distance):
    for seed in range(3):
        plane = taken((84, 84), seed)
        expected = correlation_of_pairs(plane, distance)
        assert correlation(plane, distance) == pytest.approx(expected, abs=1e-12)


@pytest.mark.libraries
@pytest.mark.parametrize("distance", [1, 20])
def test_correlation_agrees_with_cellprofiler(distance):
    haralick = pytest.importorskip("centrosome.haralick", reason=WITHOUT_CENTROSOME)
    for seed in range(3):
        plane = taken((84, 120), seed)
        labels = np.ones(plane.shape, int)
        h3 = haralick.Haralick(plane / 65535, labels, 0, distance).H3()[0]
        assert correlation(plane, distance) == pytest.approx(h3, abs=1e-12)


def test_correlation_agrees_with_scikit_image():
    feature = pytest.importorskip("skimage.feature", reason="scikit-image is missing")
    rng = np.random.default_rng(0)
    # Rows that wander; as 0 and 7 occur, cutting the range into 8 leaves the levels as they are.
    levels = np.clip(rng.integers(-1, 2, (50, 60)).cumsum(axis=1) + 3, 0, 7)
    # Older versions, such as that of CellProfiler's app, write it with an e.
    e = "a" if hasattr(feature, "graycomatrix") else "e"
    counts = getattr(feature, f"gr{e}ycomatrix")(levels.astype(np.uint8), [3], [0], levels=8)
    expected = getattr(feature, f"gr{e}ycoprops")(counts, "correlation")[0, 0]
    assert 0.1 < expected < 0.95
    assert correlation(levels, 3) == pytest.approx(expected, abs=1e-12)


def test_correlation_of_perfect_neighbours():
    stripes = np.tile([0, 1], (4, 30))
    assert correlation(stripes, 2) == pytest.approx(1, abs=1e-12)
    assert correlation(stripes, 1) == pytest.approx(-1, abs=1e-2)


def test_correlation_where_it_is_undefined():
    noise = np.random.default_rng(0).normal(size=(30, 20))
    assert math.isnan(correlation(noise))
    assert math.isfinite(correlation(noise, 19))
    # All left pixels have one grey level.
    noise[:, :-1] = 0
    assert math.isnan(correlation(noise, 1))
    for bad in (0, -1, 2.5, True):
        with pytest.raises(SettingsError, match="distance_px must be a whole number"):
            correlation(noise, bad)


# Derivatives.

SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
LAPLACE = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])


@quick
@given(planes)
def test_derivatives_against_direct_convolution(plane):
    if min(plane.shape) < 3 or plane.min() == plane.max():
        assert math.isnan(tenengrad(plane))
        assert math.isnan(laplacian_variance(plane))
        return
    # A convolution turns the kernel by half a turn, which changes signs at most.
    along_x, along_y, laplacian = (
        convolve2d(plane.astype(float), kernel, "valid") for kernel in (SOBEL, SOBEL.T, LAPLACE)
    )
    assert tenengrad(plane) == pytest.approx(np.mean(along_x**2 + along_y**2), rel=1e-12)
    assert laplacian_variance(plane) == pytest.approx(np.var(laplacian), rel=1e-9, abs=1e-9)


def test_derivatives_by_hand():
    y, x = np.indices((9, 12)).astype(float)
    # Sobel's weights are 8 times the derivative, so 8² (2² + 3²).
    assert tenengrad(2 * x + 3 * y) == pytest.approx(64 * 13, rel=1e-12)
    # The Laplacian of x² + y² is 4 everywhere.
    assert laplacian_variance(x**2 + y**2) == pytest.approx(0, abs=1e-12)
    # Of one bright pixel among 3 x 5 inner ones: -4 once, 1 four times (sum 0, squares 20).
    spot = np.zeros((5, 7))
    spot[2, 3] = 1
    assert laplacian_variance(spot) == pytest.approx(20 / 15, rel=1e-12)


def test_the_laplacian_of_a_gaussian_by_its_formula():
    spot = np.zeros((81, 91))
    spot[40, 45] = 3.0
    y, x = np.indices(spot.shape)
    squared = (y - 40) ** 2 + (x - 45) ** 2
    for sigma in (2.0, 3.0):
        gaussian = np.exp(-squared / (2 * sigma**2)) / (2 * np.pi * sigma**2)
        of_spot = 3.0 * gaussian * (squared - 2 * sigma**2) / sigma**4
        expected = np.mean(of_spot**2)
        # The kernel is a sum over pixels, cut off at 4 deviations.
        assert laplacian_of_gaussian(spot, sigma) == pytest.approx(expected, rel=2e-3)
    assert laplacian_of_gaussian(spot) == laplacian_of_gaussian(spot, 2.0)
    # White noise has the kernel's own energy, 1 / (2 pi sigma^6), as periods of pixels have none.
    noise = np.random.default_rng(0).standard_normal((900, 900))
    assert laplacian_of_gaussian(noise) == pytest.approx(1 / (2 * np.pi * 2**6), rel=0.05)
    with pytest.raises(SettingsError, match="sigma_px"):
        laplacian_of_gaussian(spot, 0)


# The band.


def mid_band_bin_by_bin(plane):
    height, width = plane.shape
    window = np.outer(
        0.5 - 0.5 * np.cos(2 * np.pi * np.arange(height) / height),
        0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / width),
    )
    power = np.abs(np.fft.fft2(window * (plane - np.average(plane, weights=window)))) ** 2
    in_band = 0.0
    for i, j in np.ndindex(height, width):
        y = Fraction(min(i, height - i), height)
        x = Fraction(min(j, width - j), width)
        if Fraction(6, 100) ** 2 <= x * x + y * y < Fraction(12, 100) ** 2:
            in_band += power[i, j]
    return in_band / power.sum()


@pytest.mark.parametrize("shape", [(84, 84), (31, 47), (64, 27)])
def test_mid_band_power_against_its_definition(shape):
    for seed in range(2):
        plane = taken(shape, seed)
        assert mid_band_power(plane) == pytest.approx(mid_band_bin_by_bin(plane), rel=1e-9)


@pytest.mark.parametrize(
    ("cycles", "inside"),
    [
        ((0, 0.03), 0),
        ((0.09, 0), 1),
        ((0.06, 0.07), 1),
        ((0.1, 0.1), 0),
        # The window spreads a wave's power over three bins along its axis, 1 : 4 : 1, of which the
        # one at the lower border counts and the one at the upper border does not.
        ((0.06, 0), 5 / 6),
        ((0, 0.06), 5 / 6),
        ((0.12, 0), 1 / 6),
        ((0, 0.12), 1 / 6),
    ],
)
def test_mid_band_power_of_waves(cycles, inside):
    y, x = np.indices((200, 300))
    wave = 500 + 100 * np.cos(2 * np.pi * (cycles[0] * y + cycles[1] * x))
    assert mid_band_power(wave) == pytest.approx(inside, abs=1e-3)


def test_mid_band_power_of_white_noise_is_the_area_of_the_band():
    noise = np.random.default_rng(0).normal(size=(600, 600))
    assert mid_band_power(noise) == pytest.approx(math.pi * (0.12**2 - 0.06**2), rel=0.05)


def test_mid_band_power_of_a_border_alone_is_undefined():
    for inside in np.random.default_rng(0).random(20):
        plane = np.full((30, 47), inside)
        plane[0] = 5.3
        plane[:, 0] = 2.7
        assert math.isnan(mid_band_power(plane))


# Brightness.


def test_intensities_by_hand():
    plane = [[1, 2, 6], [1, 6, 2]]
    assert mean_intensity(plane) == 3
    assert std_intensity(plane) == pytest.approx(math.sqrt((4 + 1 + 9 + 4 + 9 + 1) / 6), rel=1e-15)
    assert percent_maximal(plane) == pytest.approx(100 / 3, rel=1e-15)
    assert percent_minimal([[1, 2], [1, 1]]) == 75


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_intensities_agree_with_cellprofiler(dtype):
    plane = np.minimum(taken((84, 120), 3), 240).astype(dtype)
    # It reads an image as shares of the largest value of its type, in single precision.
    largest = np.iinfo(dtype).max
    shares = plane.astype(np.float32) / np.float32(largest)
    assert mean_intensity(plane) == pytest.approx(shares.mean(dtype=float) * largest, rel=1e-6)
    assert std_intensity(plane) == pytest.approx(shares.std(dtype=float) * largest, rel=1e-6)
    assert percent_maximal(plane) == 100.0 * float(np.sum(shares == shares.max())) / shares.size
    assert percent_maximal(plane) > 1
    assert percent_minimal(plane) == 100.0 * float(np.sum(shares == shares.min())) / shares.size


def test_an_offset_adds_to_the_mean():
    plane = taken((40, 50), 0)
    assert mean_intensity(plane + 1000.0) == pytest.approx(mean_intensity(plane) + 1000, rel=1e-14)


# Illumination.

V, U = np.meshgrid(np.linspace(-1, 1, 520), np.linspace(-1, 1, 694), indexing="ij")
LIT = {
    "evenly": (np.ones_like(U), 0.0, 0.025),
    "darker in all corners": (1 - 0.2 * (U**2 + V**2), 0.4, 0.03),
    "tilted": (1 + U / 9, 0.2, 0.02),
    "about another centre": (1 - 0.1 * ((U - 0.3) ** 2 + (V + 0.2) ** 2), 0.313, 0.02),
    "as a Lorentzian squared": (1 / (1 + 0.3 * (U**2 + V**2)) ** 2, 0.609, 0.07),
}


def field(light, background, photons, seed=1, **camera):
    light = np.maximum(light, 0) + background
    camera = {"photons_per_level": 1.0, "offset": 0, "read_noise": 2.0, "bit_depth": 16, **camera}
    return Camera(**camera).expose(photons * light, seed)


def unevenness_block_by_block(plane):
    rows, columns = plane.shape[0] // 4, plane.shape[1] // 4
    squares = np.array(
        [
            [np.mean(plane[4 * i : 4 * i + 4, 4 * j : 4 * j + 4]) for j in range(columns)]
            for i in range(rows)
        ]
    )
    blocks = {}
    for (i, j), value in np.ndenumerate(squares):
        blocks.setdefault((i * 8 // rows, j * 8 // columns), []).append((i, j, value))
    assert len(blocks) == 64

    def terms(v, u):
        return [1, u, v, u * u, u * v, v * v]

    design, logarithms = [], []
    for pixels in blocks.values():
        i, j, values = np.transpose(pixels)
        v, u = (i.min() + i.max() + 1) / rows - 1, (j.min() + j.max() + 1) / columns - 1
        design.append(terms(v, u))
        logarithms.append(np.log(np.percentile(values, 10)))
    design = np.array(design)
    coefficients = np.linalg.solve(design.T @ design, design.T @ logarithms)
    places = [k / 16 - 1 for k in range(33)]
    surface = [np.exp(terms(v, u) @ coefficients) for v in places for u in places]
    return 1 - min(surface) / max(surface)


@pytest.mark.parametrize("shape", [(128, 128), (131, 262), (250, 141)])
def test_unevenness_against_its_definition(shape):
    for seed in range(2):
        plane = taken(shape, seed)
        expected = unevenness_block_by_block(plane)
        assert illumination_unevenness(plane) == pytest.approx(expected, rel=1e-9)


@pytest.mark.long
@pytest.mark.parametrize(("light", "unevenness", "within"), LIT.values(), ids=LIT)
@pytest.mark.parametrize("n", [0, 60, 600])
def test_unevenness_is_that_of_the_light_whatever_lies_in_it(light, unevenness, within, n):
    for seed in range(2):
        objects = defocus(nuclei(V.shape, n, seed), psf(TRAINING_OPTICS, 0.0)) if n else 0 * V
        # A tenth of the objects' light between them; 600 nuclei leave no room.
        plane = field(objects * light, 0.1 * light, 1000)
        assert illumination_unevenness(plane) == pytest.approx(unevenness, abs=within)


@pytest.mark.parametrize(("defocus_um", "dark", "grey"), [(0.0, 0.06, 0.025), (8.0, 0.27, 0.11)])
def test_unevenness_of_an_evenly_lit_field_full_of_nuclei(defocus_um, dark, grey):
    for seed in range(2):
        objects = defocus(nuclei(V.shape, 600, seed), psf(TRAINING_OPTICS, defocus_um))
        assert illumination_unevenness(field(objects, 0.02, 1000)) < dark
        assert illumination_unevenness(field(objects, 0.1, 1000)) < grey


def test_unevenness_falls_with_offset_and_stays_with_gain():
    plane = 1000 * LIT["tilted"][0]
    assert illumination_unevenness(plane * 0.3) == pytest.approx(
        illumination_unevenness(plane), rel=1e-9
    )
    # Half of it is offset then.
    assert illumination_unevenness(plane + 1000) == pytest.approx(0.2 / 2, abs=0.01)


def test_unevenness_where_it_is_undefined():
    plane = np.random.default_rng(0).normal(100, 1, (128, 140))
    assert math.isfinite(illumination_unevenness(plane))
    assert math.isnan(illumination_unevenness(plane[:127]))
    assert math.isnan(illumination_unevenness(plane[:, :127]))
    plane[:16, :16] = 0
    assert math.isnan(illumination_unevenness(plane))
    assert math.isnan(illumination_unevenness(plane - 1000))


def test_unevenness_tells_of_the_objects_where_there_is_no_background():
    tissue = np.where(U < 0, 400.0, 100.0) + np.random.default_rng(0).normal(0, 5, U.shape)
    assert illumination_unevenness(tissue) > 0.5


# Noise.

NOISE = np.outer([1, -2, 1], [1, -2, 1])


def noise_step_by_step(plane):
    sizes = np.abs(convolve2d(plane.astype(float), NOISE, "valid"))[::3, ::3]
    normal = np.random.default_rng(0).normal(size=3_000_000)
    expected = np.abs(normal)[np.abs(normal) <= 2].mean()
    deviation = np.median(sizes) / np.median(np.abs(normal))
    for _ in range(5):
        deviation = np.mean([size for size in sizes.ravel() if size <= 2 * deviation]) / expected
    return deviation / 6


@pytest.mark.parametrize("shape", [(3, 3), (84, 84), (85, 100), (128, 63)])
def test_noise_against_its_definition(shape):
    for seed in range(2):
        plane = taken(shape, seed) + np.random.default_rng(seed).random(shape)
        # The oracle's mean and median of normal variables are of a sample.
        assert noise_estimate(plane) == pytest.approx(noise_step_by_step(plane), rel=0.01)


@pytest.mark.parametrize("deviation", [0.7, 3.0, 200.0])
def test_noise_of_nothing_but_noise(deviation):
    noise = np.random.default_rng(1).normal(1000, deviation, (512, 512))
    assert noise_estimate(noise) == pytest.approx(deviation, rel=0.02)
    # Rounding adds its own.
    rounded = math.sqrt(deviation**2 + 1 / 12)
    assert noise_estimate(np.rint(noise)) == pytest.approx(rounded, rel=0.04)


@pytest.mark.parametrize("defocus_um", [0.0, 3.0, 8.0])
@pytest.mark.parametrize("n", [0, 10, 60])
def test_noise_beside_objects(n, defocus_um):
    light = defocus(nuclei(V.shape, n, 1), psf(TRAINING_OPTICS, defocus_um)) if n else 0 * V
    assert (light > 0.1).mean() < 0.14
    gaussian = 3000 * light + np.random.default_rng(0).normal(100, 10, V.shape)
    assert noise_estimate(gaussian) == pytest.approx(10, rel=0.05)
    for photons, background in ((300, 0.1), (3000, 0.03), (3000, 0.3)):
        plane = field(light, background, photons, offset=100)
        # The photons of the background, the read noise, and rounding.
        expected = math.sqrt(photons * background + 2**2 + 1 / 12)
        assert noise_estimate(plane) == pytest.approx(expected, rel=0.07)


@pytest.mark.parametrize("defocus_um", [0.0, 3.0])
def test_noise_in_a_crowded_field_is_little_too_large(defocus_um):
    light = defocus(nuclei(V.shape, 600, 1), psf(TRAINING_OPTICS, defocus_um))
    assert (light > 0.1).mean() > 0.4
    plane = field(light, 0.03, 3000)
    expected = math.sqrt(90 + 2**2 + 1 / 12)
    assert expected < noise_estimate(plane) < 1.55 * expected
    # Immerkær's own, over all pixels.
    over_all = np.abs(convolve2d(plane, NOISE, "valid")).mean() * math.sqrt(math.pi / 2) / 6
    assert over_all > 2.4 * expected


def test_noise_passes_over_fibres():
    light = defocus(filaments(V.shape, 300, 1), psf(TRAINING_OPTICS, 0.0))
    gaussian = 3000 * light + np.random.default_rng(0).normal(100, 10, V.shape)
    assert noise_estimate(gaussian) == pytest.approx(10, rel=0.15)


def test_noise_that_is_not_white_is_underestimated():
    noise = np.random.default_rng(0).normal(0, 10, (300, 300))
    filtered = convolve2d(noise, np.ones((3, 3)) / 9, "valid")
    assert noise_estimate(filtered) < 0.7 * filtered.std()


def test_noise_is_not_found_in_surfaces_of_second_order_and_drawings():
    assert noise_estimate(3 * U**2 - V**2 + U * V + 2) == pytest.approx(0, abs=1e-12)
    drawing = np.zeros((100, 100))
    drawing[30:60, 40:80] = 255
    assert noise_estimate(drawing) == 0
    assert math.isnan(noise_estimate(drawing[:2]))


# Measures of focus.


@each_of_focus
def test_blur_moves_a_measure_the_way_its_docstring_says(measure):
    sign = 1 if measure.__name__ in RISES_WITH_BLUR else -1
    if measure is correlation:
        # The nuclei are smaller than the default distance.
        measure = partial(correlation, distance_px=5)
    for seed in range(3):
        light = nuclei((200, 220), 20, seed) + 0.05
        values = [measure(defocus(light, psf(TRAINING_OPTICS, z))) for z in (0.0, 4.0, 8.0)]
        assert (np.diff(values) * sign > 0).all()


# All measures.


@each_measure
@quick
@given(planes, st.integers(-3, 6), st.integers(-200, 5000))
# What differs lies where the window of the band is 0.
@example(np.pad([[2]], ((0, 4), (0, 9)), constant_values=3).astype(np.int32), 0, -1)
def test_gain_and_offset(measure, plane, doublings, offset):
    name = measure.__name__
    before = measure(plane)
    # A power of two and a whole offset, by which no pixel changes its grey level.
    gained, shifted = plane * 2.0**doublings, plane.astype(float) + offset
    growth = 2.0 ** (doublings * POWER_OF_GAIN.get(name, 0))
    assert (name in UNCHANGED_BY_GAIN) == (name not in POWER_OF_GAIN)
    assert measure(gained) == pytest.approx(before * growth, rel=1e-9, nan_ok=True)
    if name in UNCHANGED_BY_OFFSET:
        scale = max(1.0, abs(before))
        assert measure(shifted) == pytest.approx(before, abs=1e-7 * scale, nan_ok=True)


@pytest.mark.parametrize("name", ["mean_over_deviation", "focus_score", "local_focus_score"])
def test_offset_makes_an_image_look_more_blurred_to_what_it_changes(name):
    plane = taken((84, 84), 0)
    sign = 1 if name in RISES_WITH_BLUR else -1
    assert sign * (MEASURES[name](plane + 1000.0) - MEASURES[name](plane)) > 0


@each_measure
def test_types_and_memory_do_not_matter(measure):
    plane = taken((210, 220), 1).astype(np.uint16)
    kept = plane.copy()
    expected = measure(plane)
    assert isinstance(expected, float)
    assert math.isfinite(expected)
    for same in (
        plane.astype(np.uint32),
        plane.astype(np.int64),
        plane.astype(np.float32),
        plane.astype(">u2"),
        np.asfortranarray(plane),
        np.repeat(plane, 2, axis=1)[:, ::2],
        plane.tolist(),
    ):
        assert measure(same) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(plane, kept)
    floats = plane.astype(np.float64)
    floats.setflags(write=False)
    assert measure(floats) == pytest.approx(expected, rel=1e-12)


@each_of_focus
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint64, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (84, 84)])
def test_a_constant_image_has_no_focus(measure, dtype, shape):
    for value in (0, 1, 0.1):
        assert math.isnan(measure(np.full(shape, value).astype(dtype)))


@each_measure
@quick
@given(
    arrays(
        np.float64,
        array_shapes(min_dims=2, max_dims=2, max_side=36),
        elements=st.floats(-1e100, 1e100),
        fill=st.sampled_from([0.0, 0.1]),
    )
)
def test_any_image_has_a_number_or_none_without_a_warning(measure, plane):
    value = measure(plane)
    assert isinstance(value, float)
    assert not math.isinf(value)


@each_measure
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros(5), r"two-dimensional.*shape \(5,\)"),
        (np.zeros((5, 5, 3)), r"two-dimensional.*shape \(5, 5, 3\)"),
        (np.zeros((0, 5)), r"not empty.*shape \(0, 5\)"),
        (np.zeros((5, 5), complex), "real.*complex128"),
        (np.full((5, 5), "a"), "real.*<U1"),
        (np.full((5, 5), None), "real.*object"),
        (np.array([[1, np.nan]]), "finite.*nan"),
        (np.array([[1, np.inf]]), "finite.*inf"),
        (np.array([[-np.inf, 2]]), "finite.*-inf"),
        (np.array([[1, 1e150]]), r"finite, from -1e\+100 to 1e\+100.*1e\+150"),
    ],
)
def test_what_is_no_image_is_refused(measure, bad, message):
    with pytest.raises(ImageError, match=message):
        measure(bad)
