"""Classical measures of an image: one number each, by a formula.

Most are of focus, and what a learned level is compared with; the others are of brightness,
illumination and noise. Each takes a plane or a patch and gives a number whose scale is its own, so
that a threshold has to be found for each kind of image. What gain and offset of the camera do to it
is in its docstring, with the direction: some rise with blur and some fall.

An image without contrast, whose pixels are all equal, has no focus to measure: every measure of
focus is NaN there, and any measure where its formula divides by 0 or the image is too small for it.
CellProfiler's module MeasureImageQuality, whose measures eight of these are, gives 0 in these
cases, which lies among its ordinary values. It reads an image of integers as fractions of the
largest value of the type; what scales with gain is smaller there by that value.

Sources that more than one measure has:

- M.-A. Bray et al., Workflow and metrics for image quality control in large-scale high-content
  screens, J. Biomol. Screen. 17, 266 (2012).
- F. C. A. Groen, I. T. Young, G. Ligthart, A comparison of different focus functions for use in
  autofocus algorithms, Cytometry 6, 81 (1985).
- S. Pertuz, D. Puig, M. A. Garcia, Analysis of focus measure operators for shape-from-focus,
  Pattern Recognition 46, 1415 (2013).
"""

from __future__ import annotations

import functools
import math
from typing import Any, Callable, Dict, Iterator, Optional

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from microscope_quality import sem_quality
from microscope_quality.arguments import as_count, as_number
from microscope_quality.planes import as_finite
from microscope_quality.sem_quality import spectral_snr

Float64Array = NDArray[np.float64]
Measures = Dict[str, Callable[[ArrayLike], float]]

# CellProfiler's default for both of its measures that have a scale.
CELLPROFILER_SCALE_PX = 20
# Grey levels to which CellProfiler reduces an image before it counts pairs of pixels.
CELLPROFILER_GREY_LEVELS = 8
# Deviation of the Gaussian whose Laplacian is taken: details of some pixels count, not their noise.
LAPLACIAN_SIGMA_PX = 2.0
# Cycles per pixel. A blur disc of 12 pixels (level 4) has its first zero inside, at 0.10; one of 6
# pixels (level 2) passes the whole band. Lower, blurred objects have power too; higher, the noise
# has most of it.
MID_BAND = (0.06, 0.12)

# The background of a plane: the share of a block's pixels that is below it, how many blocks lie
# side by side, and the side of the squares of pixels that are averaged before, so that it is the
# objects' gaps that count and not the noise.
_BACKGROUND_SHARE = 0.1
_BLOCKS = 8
_AVERAGED_PX = 4
# Deviations up to which a residual is noise, and how often it is looked at.
_CLIP = 2.0
_CLIP_ROUNDS = 5
# Mean size of a standard normal variable that is no larger than that.
_CLIPPED_MEAN = (
    math.sqrt(2 / math.pi) * (1 - math.exp(-(_CLIP**2) / 2)) / math.erf(_CLIP / math.sqrt(2))
)
# Median size of a standard normal variable.
_MEDIAN_SIZE = 0.6744897501960817
# So many rows of pixels, and what is made of them, stay in a processor's cache.
_BAND_ROWS = 32

# What rounding may leave of a sum or transform that should be 0, against its values' size.
_ROUNDING = 16 * float(np.finfo(np.float64).eps)


def power_log_log_slope(plane: ArrayLike) -> float:
    """Give the slope of the logarithm of the radial power spectrum against that of the radius.

    With X the discrete Fourier transform of the plane, S(r) the *sum* of X's squared magnitude
    over ring r, and the rings r = 2 to ⌊min(height, width) / 8⌋ - 1,

    ``slope = cov(ln r, ln S) / var(ln r)``,

    the least-squares line's. As in CellProfiler, the bin of row i and column j belongs to ring
    ``1 + ⌊√(d(i)² + d(j)²)⌋`` with ``d(i) = min(i, n - 1 - i)`` along an axis of n pixels: the
    frequency -1 counts as 0, -2 as 1, and so on.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type, in any unit.

    Returns
    -------
    float
        Higher is sharper: about +1 for white noise, whose rings grow with their radius, and the
        lower, the more blur. Gain and offset do not change it. NaN for a constant image, one with
        a side under 32 pixels (there are fewer than two rings), and one without power in two
        rings; rings with no more than the rounding error of the transform are left out.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    The number is that of ``PowerLogLogSlope`` in CellProfiler's MeasureImageQuality, from
    ``centrosome.radial_power_spectrum.rps``; CellProfiler gives 0 instead of NaN. Its help says
    that a higher slope means more blur, but its code gives a *lower* one for more blur, as here:
    the help is right for how steeply the power falls, which is the slope's opposite. The slope of
    D. J. Field, Relations between the statistics of natural images and the response properties of
    cortical cells, J. Opt. Soc. Am. A 4, 2379 (1987), which the help dates 1997, is lower by about
    1, since power is averaged over a ring there and summed here.
    """
    pixels = _pixels(plane)
    farthest = min(pixels.shape) // 8 - 2
    if farthest < 2 or pixels.is_constant:
        return math.nan
    # Both halves of the spectrum of a real image hold the same: of this one, the part within the
    # rings is taken, one frequency further on the negative side.
    frequencies = np.arange(-farthest - 1, farthest + 2)
    spectrum = pixels.spectrum[frequencies, : farthest + 2]
    power = spectrum.real**2 + spectrum.imag**2
    sums = np.zeros(farthest + 1)
    bins = np.zeros(farthest + 1)
    # The bins that were made, then their mirror images, of which column 0 has none of its own.
    for sign, part in ((1, power[:, :-1]), (-1, power[:, 1:])):
        along_y = _cellprofiler_distance(sign * frequencies)
        along_x = np.arange(farthest + 1)
        ring = np.sqrt(along_y[:, np.newaxis] ** 2 + along_x**2).astype(np.intp)
        inside = ring <= farthest
        sums += np.bincount(ring[inside], part[inside], farthest + 1)
        bins += np.bincount(ring[inside], minlength=farthest + 1)
    # By Parseval's theorem the mean power of a bin is the sum of the pixels' squares.
    rounding = _ROUNDING**2 * pixels.squares
    # The first, ring 1 of CellProfiler, holds the mean.
    valid = sums[1:] > rounding * bins[1:]
    radius = np.arange(2.0, farthest + 2)[valid]
    if len(radius) < 2:
        return math.nan
    log_radius, log_power = np.log(radius), np.log(sums[1:][valid])
    log_radius -= log_radius.mean()
    return float(log_radius @ log_power / (log_radius @ log_radius))


def mean_over_deviation(plane: ArrayLike) -> float:
    """Give the mean over the standard deviation: ``μ / σ``, with the population's σ.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type, in any unit.

    Returns
    -------
    float
        Higher is more blurred, since blur takes contrast and leaves the mean. Gain does not change
        it, offset does. NaN for a constant image.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    From the measures that Bray et al. (2012) try for blur, and S. J. Yang et al., BMC
    Bioinformatics 19, 77 (2018) after them.
    """
    pixels = _pixels(plane)
    deviation = math.nan if pixels.is_constant else std_intensity(pixels)
    return pixels.mean / deviation if deviation > 0 else math.nan


def focus_score(plane: ArrayLike) -> float:
    """Give the normalised variance: ``Σ (x - μ)² / (N μ)`` over the N pixels.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type; the score has the unit of the pixels.

    Returns
    -------
    float
        Higher is sharper. It grows in proportion to gain and falls with offset. NaN for a constant
        image and for a mean of 0 or less.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    The normalised variance of Groen et al. (1985), and ``FocusScore`` in CellProfiler's
    MeasureImageQuality.
    """
    pixels = _pixels(plane)
    deviation = math.nan if pixels.is_constant else std_intensity(pixels)
    return deviation**2 / pixels.mean if pixels.mean > _ROUNDING * deviation else math.nan


def local_focus_score(plane: ArrayLike, tile_px: int = CELLPROFILER_SCALE_PX) -> float:
    """Give the variance over the median of the tiles' focus scores.

    The plane is cut into ⌈height / `tile_px`⌉ × ⌈width / `tile_px`⌉ tiles as equal as whole pixels
    allow: along an axis of n pixels and m tiles, pixel i is in tile ⌊i m / n⌋. With f the
    `focus_score` of each tile whose mean is not 0,

    ``score = var(f) / median(f)``, with the population's variance.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type; the score has the unit of the pixels.
    tile_px : int
        Largest side of a tile; CellProfiler's scale.

    Returns
    -------
    float
        Higher is sharper. It grows in proportion to gain and falls with offset. NaN for a constant
        image, one of a single tile, and a median of 0 or less (half of the tiles are constant).

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.
    SettingsError
        If `tile_px` is not a whole number of 1 or more.

    Notes
    -----
    ``LocalFocusScore`` in CellProfiler's MeasureImageQuality, after Bray et al. (2012).
    CellProfiler's help says that it is the *mean* of the tiles' scores; its code gives their
    variance over their median, as here.
    """
    side = as_count("tile_px", tile_px, 1)
    pixels = _pixels(plane)
    tops, lefts = (_starts(length, -(-length // side)) for length in pixels.shape)
    if len(tops) * len(lefts) < 2 or pixels.is_constant:
        return math.nan
    widths = np.diff([*lefts, pixels.shape[1]])
    means, variances = np.empty((2, len(tops), len(lefts)))
    for row, tiles in enumerate(np.split(pixels.x, tops[1:])):
        size = len(tiles) * widths
        # From each tile's own first pixel, so that the variance of a constant tile is exactly 0.
        first = tiles[0, lefts]
        above_first = tiles - np.repeat(first, widths)
        mean = np.add.reduceat(above_first.sum(axis=0), lefts) / size
        above_first -= np.repeat(mean, widths)
        means[row] = first + mean
        variances[row] = np.add.reduceat((above_first * above_first).sum(axis=0), lefts) / size
    counted = np.abs(means) > _ROUNDING * np.sqrt(variances)
    if not counted.any():
        return math.nan
    scores = variances[counted] / means[counted]
    median = np.median(scores)
    return float(scores.var() / median) if median > _ROUNDING * scores.max() else math.nan


def correlation(plane: ArrayLike, distance_px: int = CELLPROFILER_SCALE_PX) -> float:
    """Give Haralick's correlation of pixels with those some way to their right.

    The plane's range is cut into 8 equal grey levels 0 to 7, the maximum belonging to the last.
    With p(a, b) the share of the pairs of pixels (y, x) and (y, x + `distance_px`) that have the
    levels a and b,

    ``correlation = (Σ a b p(a, b) - μ_a μ_b) / (σ_a σ_b)``

    with the means and deviations of the margins of p.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type, in any unit.
    distance_px : int
        In pixels; CellProfiler's scale.

    Returns
    -------
    float
        -1 to 1; higher is more blurred, if `distance_px` is less than the objects' size. Gain and
        offset do not change it, as far as rounding does not move a pixel that lies on the border of
        two grey levels; the brightest pixel changes them all. NaN for a constant image, one not
        wider than `distance_px`, and one of which the left or the right pixels are all of one grey
        level.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.
    SettingsError
        If `distance_px` is not a whole number of 1 or more.

    Notes
    -----
    The third feature of R. M. Haralick, K. Shanmugam, I. Dinstein, Textural features for image
    classification, IEEE Trans. Syst. Man Cybern. 3, 610 (1973), for one direction and without
    making p symmetric: ``Correlation`` in CellProfiler's MeasureImageQuality, from
    ``centrosome.haralick``. CellProfiler's help speaks of sub-regions of the image and names a
    later paper of Haralick; its code takes the whole image, and this feature.
    """
    distance = as_count("distance_px", distance_px, 1)
    pixels = _pixels(plane)
    if pixels.is_constant or pixels.shape[1] <= distance:
        return math.nan
    n = CELLPROFILER_GREY_LEVELS
    pairs = np.zeros(n * n, np.intp)
    for band in _bands(pixels.x):
        share = band - pixels.lowest
        share /= pixels.highest - pixels.lowest
        share *= n
        levels = share.astype(np.intp)
        np.minimum(levels, n - 1, out=levels)
        of_pairs = levels[:, :-distance] * n
        of_pairs += levels[:, distance:]
        pairs += np.bincount(of_pairs.ravel(), minlength=n * n)
    p = pairs.reshape(n, n) / pairs.sum()
    left, right, grey = p.sum(axis=1), p.sum(axis=0), np.arange(n)
    if (left > 0).sum() < 2 or (right > 0).sum() < 2:
        return math.nan
    of_left, of_right = grey - left @ grey, grey - right @ grey
    deviations = math.sqrt((left @ of_left**2) * (right @ of_right**2))
    return float(np.clip(of_left @ p @ of_right / deviations, -1, 1))


def tenengrad(plane: ArrayLike) -> float:
    """Give the mean squared gradient: mean of ``Gx² + Gy²``.

    Gx is the Sobel derivative along x, the sum of the 3 × 3 neighbours weighted by
    ``[[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]``, Gy that along y, with the transposed weights. The mean
    is over the pixels that have all their neighbours.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type; the measure has the unit of the pixels, squared.

    Returns
    -------
    float
        Higher is sharper. It grows with the square of gain; offset does not change it. NaN for a
        constant image and one with a side under 3 pixels.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    J. M. Tenenbaum's (thesis, Stanford, 1970), without a threshold on the gradient: GRA6 of Pertuz
    et al. (2013).
    """
    pixels = _pixels(plane)
    if pixels.is_constant or min(pixels.shape) < 3:
        return math.nan
    total = 0.0
    for x in _bands(pixels.x, 2):
        smooth_y = 2 * x[1:-1]
        smooth_y += x[:-2]
        smooth_y += x[2:]
        along_x = smooth_y[:, 2:] - smooth_y[:, :-2]
        steep_y = x[2:] - x[:-2]
        along_y = 2 * steep_y[:, 1:-1]
        along_y += steep_y[:, :-2]
        along_y += steep_y[:, 2:]
        total += float(np.vdot(along_x, along_x) + np.vdot(along_y, along_y))
    height, width = pixels.shape
    return float(total / ((height - 2) * (width - 2)))


def laplacian_variance(plane: ArrayLike) -> float:
    """Give the variance of the Laplacian ``[[0, 1, 0], [1, -4, 1], [0, 1, 0]]`` of the plane.

    It is the population's variance, over the pixels that have all their neighbours.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type; the measure has the unit of the pixels, squared.

    Returns
    -------
    float
        Higher is sharper, and noisier. It grows with the square of gain; offset does not change
        it. NaN for a constant image and one with a side under 3 pixels.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    LAP4 of Pertuz et al. (2013), after J. L. Pech-Pacheco et al., Proc. ICPR 3, 314 (2000).
    """
    pixels = _pixels(plane)
    if pixels.is_constant or min(pixels.shape) < 3:
        return math.nan
    count, mean, squares = 0, 0.0, 0.0
    for x in _bands(pixels.x, 2):
        laplacian = -4 * x[1:-1, 1:-1]
        for beside in (x[:-2, 1:-1], x[2:, 1:-1], x[1:-1, :-2], x[1:-1, 2:]):
            laplacian += beside
        of_band = float(laplacian.mean())
        laplacian -= of_band
        # Bands are put together without a difference of large sums.
        shift, before = of_band - mean, count
        count += laplacian.size
        mean += shift * laplacian.size / count
        squares += float(np.vdot(laplacian, laplacian))
        squares += shift * shift * before * laplacian.size / count
    return squares / count


def laplacian_of_gaussian(plane: ArrayLike, sigma_px: float = LAPLACIAN_SIGMA_PX) -> float:
    """Give the mean square of the plane's convolution with the Laplacian of a Gaussian.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type, mirrored at its borders; the measure has the unit of the pixels, squared.
    sigma_px : float
        Deviation of the Gaussian, 0.5 to 100 pixels.

    Returns
    -------
    float
        Higher is sharper. It grows with the square of gain; offset does not change it. NaN for a
        constant image.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.
    SettingsError
        If `sigma_px` is out of its range.

    Notes
    -----
    The energy of the Laplacian of M. Subbarao and J.-K. Tyan, Selecting the optimal focus measure
    for autofocusing and depth-from-focus, IEEE Trans. PAMI 20, 864 (1998), of the operator of
    D. Marr and E. Hildreth, Theory of edge detection, Proc. R. Soc. Lond. B 207, 187 (1980): the
    Gaussian keeps the noise of pixels out, and periods of about 9 pixels in.
    """
    # Imported where it is used: it takes long to start.
    from scipy.ndimage import gaussian_laplace

    sigma = as_number("sigma_px", sigma_px, 0.5, 100)
    x = contrasting(plane)
    if x is None:
        return math.nan
    # The kernel's sum is not exactly 0.
    x -= x.mean()
    laplacian = gaussian_laplace(x, sigma, mode="mirror")
    return float(np.vdot(laplacian, laplacian) / laplacian.size)


def mid_band_power(plane: ArrayLike) -> float:
    """Give the share of the plane's power that lies at 0.06 to 0.12 cycles per pixel.

    With w the product of the periodic Hann windows ``sin²(π i / n)`` along y and x, m the mean of
    the plane weighted by w, and X the discrete Fourier transform of ``w (x - m)``,

    ``share = Σ |X(f)|² over 0.06 <= |f| < 0.12 / Σ |X(f)|² over all f``.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type, in any unit.

    Returns
    -------
    float
        0 to 1; higher is sharper, up to the noise: white noise has 0.034 on average, the band's
        share of all frequencies. Gain and offset do not change it. NaN for a constant image and
        one that is constant wherever the window is not 0.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    After the power in a band of middle frequencies of L. Firestone et al., Comparison of autofocus
    methods for automated microscopy, Cytometry 12, 195 (1991): low enough to be above the noise,
    high enough to be lost in blur. The band, the window and the normalisation are this library's.
    """
    pixels = _pixels(plane)
    # The window is 0 in the first row and column.
    inside = pixels.x[1:, 1:]
    if all((band == inside[:1, :1]).all() for band in _bands(inside)):
        return math.nan
    window_y, window_x = (np.sin(np.pi * np.arange(n) / n) ** 2 for n in pixels.shape)
    weight = window_y.sum() * window_x.sum()
    above = float(window_y @ pixels.x @ window_x) / weight - pixels.mean
    total = 0.0
    for rows, band in zip(_bands(window_y[:, np.newaxis] ** 2), _bands(pixels.x)):
        centred = band - (pixels.mean + above)
        total += float((rows * centred * centred).sum(axis=0) @ window_x**2)
    if not total > _ROUNDING**2 * pixels.squares:
        return math.nan
    low, high = MID_BAND
    height, width = pixels.turned.shape
    # Divided, so that 0.06 and 0.12 are found exactly where they are a frequency of the image.
    frequency_x = np.arange(width // 2 + 1) / width
    columns = int(np.searchsorted(frequency_x, high))
    frequency_y = np.minimum(np.arange(height), height - np.arange(height)) / height
    # The transform of a product with this window, along an axis, is half of each frequency less a
    # quarter of its two neighbours.
    spectrum = pixels.spectrum.copy()
    spectrum[0, 0] = -above * height * width
    spectrum = spectrum / 2 - (np.roll(spectrum, 1, axis=0) + np.roll(spectrum, -1, axis=0)) / 4
    mirrored = np.roll(spectrum[::-1, 1:2], 1, axis=0).conj()
    before = np.concatenate([mirrored, spectrum[:, : columns - 1]], axis=1)
    spectrum = spectrum[:, :columns] / 2 - (before + spectrum[:, 1 : columns + 1]) / 4
    power = spectrum.real**2 + spectrum.imag**2
    squared = frequency_y[:, np.newaxis] ** 2 + frequency_x[:columns] ** 2
    of_columns = np.where((squared >= low**2) & (squared < high**2), power, 0).sum(axis=0)
    # Each column but the first stands for its mirror image too; by Parseval's theorem, the power
    # of all frequencies is that of the pixels.
    in_band = 2 * of_columns.sum() - of_columns[0]
    return min(float(in_band / (total * height * width)), 1.0)


def mean_intensity(plane: ArrayLike) -> float:
    """Give the mean of the pixels.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type; the measure has the unit of the pixels.

    Returns
    -------
    float
        It says nothing of focus. Gain and offset change it as they change the pixels.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    ``MeanIntensity`` in CellProfiler's MeasureImageQuality.
    """
    return _pixels(plane).mean


def std_intensity(plane: ArrayLike) -> float:
    """Give the standard deviation of the pixels, the population's.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type; the measure has the unit of the pixels.

    Returns
    -------
    float
        Higher is sharper, for the same field. It grows in proportion to gain; offset does not
        change it. 0 for a constant image.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    ``StdIntensity`` in CellProfiler's MeasureImageQuality.
    """
    pixels = _pixels(plane)
    return 0.0 if pixels.is_constant else math.sqrt(pixels.squares / pixels.x.size)


def percent_maximal(plane: ArrayLike) -> float:
    """Give the percentage of the pixels that have the plane's own largest value.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type, in any unit.

    Returns
    -------
    float
        0 to 100. High where the camera was saturated, also when the values were scaled since. Gain
        and offset do not change it. 100 for a constant image.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    ``PercentMaximal`` in CellProfiler's MeasureImageQuality.
    """
    pixels = _pixels(plane)
    return float(100 * np.count_nonzero(pixels.x == pixels.highest) / pixels.x.size)


def percent_minimal(plane: ArrayLike) -> float:
    """Give the percentage of the pixels that have the plane's own smallest value.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type, in any unit.

    Returns
    -------
    float
        0 to 100. High where the background was cut off, as by an offset below 0. Gain and offset
        do not change it. 100 for a constant image.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    ``PercentMinimal`` in CellProfiler's MeasureImageQuality.
    """
    pixels = _pixels(plane)
    return float(100 * np.count_nonzero(pixels.x == pixels.lowest) / pixels.x.size)


def illumination_unevenness(plane: ArrayLike) -> float:
    """Give what the background loses from its brightest place to its darkest, as a share.

    The plane is averaged over squares of 4 × 4 pixels (what is left of them at the lower and right
    border is not used), and those are cut into 8 × 8 blocks as equal as whole squares allow. The
    background b of a block is the tenth percentile of its squares, u and v are the block's centre
    from -1 to 1 along x and y, and the least squares of

    ``ln b = a₀ + a₁ u + a₂ v + a₃ u² + a₄ u v + a₅ v²``

    over the blocks give a surface B(u, v). With the extremes of B over 33 × 33 places from border
    to border,

    ``unevenness = 1 - min B / max B``.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type, in any unit.

    Returns
    -------
    float
        0 to 1; higher is more uneven. Gain does not change it, and offset lowers it: where half of
        the background is the camera's offset, it is about half of what the illumination loses.
        NaN for a side under 128 pixels, and where the background of a block is 0 or less, as where
        it was subtracted or cut off.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    The multiplicative surface of second order of B. Likar, J. B. A. Maintz, M. A. Viergever, F.
    Pernuš, Retrospective shading correction based on entropy minimization, J. Microsc. 197, 285
    (2000), fitted to the background of blocks as in CellProfiler's CorrectIlluminationCalculate
    (*Background*, *Fit Polynomial*), which takes each block's minimum. What falls off in another
    way is found roughly: 0.61 towards the corners, as the square of a Lorentzian, as 0.67.

    Objects count little while each block shows a tenth of background. An evenly lit field of 694 ×
    520 pixels with as many nuclei as have room, in focus, has 0.06 at most where the background
    between them has a fiftieth of their brightness, and 0.02 where it has a tenth. Far out of
    focus, their light fills the gaps, and it is 0.27 and 0.10. In a confluent layer, in tissue, and
    where objects are as large as a block, it tells of the objects more than of the light.
    """
    pixels = _pixels(plane)
    rows, columns = (length // _AVERAGED_PX for length in pixels.shape)
    if min(rows, columns) < _BLOCKS * _AVERAGED_PX:
        return math.nan
    used = pixels.x[: rows * _AVERAGED_PX, : columns * _AVERAGED_PX]
    squares = np.einsum("iajb->ij", used.reshape(rows, _AVERAGED_PX, columns, _AVERAGED_PX))
    squares /= _AVERAGED_PX**2
    ends_y, ends_x = ([*_starts(length, _BLOCKS), length] for length in squares.shape)
    background = np.array(
        [
            np.quantile(squares[top:bottom, left:right], _BACKGROUND_SHARE)
            for top, bottom in zip(ends_y, ends_y[1:])
            for left, right in zip(ends_x, ends_x[1:])
        ]
    )
    if not background.min() > 0:
        return math.nan
    centres_y, centres_x = (np.add(ends[1:], ends[:-1]) / ends[-1] - 1 for ends in (ends_y, ends_x))
    coefficients = np.linalg.lstsq(
        _second_order(centres_y, centres_x), np.log(background), rcond=None
    )[0]
    places = np.linspace(-1, 1, 33)
    surface = _second_order(places, places) @ coefficients
    return float(-np.expm1(surface.min() - surface.max()))


def noise_estimate(plane: ArrayLike) -> float:
    """Give the standard deviation of the noise, mostly that of the background.

    The residual r of a pixel is the sum of its 3 × 3 neighbours weighted by ``[[1, -2, 1], [-2, 4,
    -2], [1, -2, 1]]``: 0 wherever the image is of second order, and of deviation 6 σ where the
    noise is white, of deviation σ. It is taken at every third pixel of every third row, whose
    neighbourhoods touch but do not overlap. From ``σ = median |r| / (6 · 0.6745)``, and then five
    times with c the mean of a standard normal variable's size that is no larger than 2,

    ``σ = mean of those |r| <= 2 · 6 σ / (6 c)``.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type; the measure has the unit of the pixels.

    Returns
    -------
    float
        Higher is noisier. It grows in proportion to gain; offset does not change it. 0 for a
        constant image, and one of which more than half of the residuals are 0; NaN for one with a
        side under 3 pixels.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    J. Immerkær, Fast noise variance estimation, Comput. Vis. Image Underst. 64, 300 (1996), who
    takes the mean over all pixels, or over all but those at edges. Leaving out what is beyond 2 σ
    does the same for edges and texture, and for the photons of bright objects, whose noise is
    larger than that of the background. In simulated fields of nuclei on a tenth of the image it is
    within 7 % of the background's noise, be it Gaussian or Poisson; with nuclei on 40 % of it,
    sharp or a little blurred, 1.0 to 1.5 times as large, where the mean over all is up to 4.3
    times. It is too small for noise that is not white, as after a filter, interpolation or lossy
    compression, and for less than half a grey level of whole numbers.
    """
    pixels = _pixels(plane)
    x = pixels.x
    if min(pixels.shape) < 3:
        return math.nan
    down = x[:-2:3] - 2 * x[1:-1:3] + x[2::3]
    sizes = np.abs(down[:, :-2:3] - 2 * down[:, 1:-1:3] + down[:, 2::3]).ravel()
    deviation = float(np.median(sizes)) / _MEDIAN_SIZE
    for _ in range(_CLIP_ROUNDS):
        deviation = float(sizes[sizes <= _CLIP * deviation].mean()) / _CLIPPED_MEAN
    return deviation / 6


def check_qual(plane: ArrayLike) -> float:
    """Give the quality of WaferMapper's checkQual, `sem_quality.check_qual`, alone.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type; see there how it becomes 8-bit.

    Returns
    -------
    float
        In percent; higher is sharper. Gain and offset change it no more than by what becomes
        saturated. -100 for an image that is rejected, as a failed grab; NaN for one with a side
        under 205 pixels, and where no pixel differs from its neighbours.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.
    """
    return sem_quality.check_qual(plane).quality


def measure_classical(plane: ArrayLike) -> Dict[str, float]:
    """Give all measures of `CLASSICAL`, faster than one by one.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type.

    Returns
    -------
    dict
        What each function gives, by its name.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.
    """
    pixels = _pixels(plane)
    return {name: measure(pixels) for name, measure in CLASSICAL.items()}


def contrasting(plane: ArrayLike) -> Optional[Float64Array]:
    """Give a plane as floats, if it is one that a measure can be taken of.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type.

    Returns
    -------
    (height, width) array of float64, or None
        A copy; None for a constant plane.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.
    """
    pixels = _Pixels(plane)
    return None if pixels.is_constant else pixels.x


MEASURES: Measures = {
    "power_log_log_slope": power_log_log_slope,
    "mean_over_deviation": mean_over_deviation,
    "focus_score": focus_score,
    "local_focus_score": local_focus_score,
    "correlation": correlation,
    "tenengrad": tenengrad,
    "laplacian_variance": laplacian_variance,
    "laplacian_of_gaussian": laplacian_of_gaussian,
    "mid_band_power": mid_band_power,
}
"""The measures of focus by name, each with its default settings."""

CLASSICAL: Measures = {
    "mid_band_power": mid_band_power,
    "power_log_log_slope": power_log_log_slope,
    "focus_score": focus_score,
    "local_focus_score": local_focus_score,
    "correlation": correlation,
    "tenengrad": tenengrad,
    "mean_intensity": mean_intensity,
    "std_intensity": std_intensity,
    "percent_maximal": percent_maximal,
    "percent_minimal": percent_minimal,
    "illumination_unevenness": illumination_unevenness,
    "noise_estimate": noise_estimate,
    "check_qual": check_qual,
    "laplacian_variance": laplacian_variance,
    "spectral_snr": spectral_snr,
}
"""What an image is measured by: see `measure_classical`."""


class _Pixels:
    """A plane as floats, with what more than one measure needs of it.

    Attributes
    ----------
    x : (height, width) array of float64
        A copy.
    shape : (int, int)
    lowest, highest, mean : float

    Raises
    ------
    ImageError
        As for every measure.
    """

    def __init__(self, plane: ArrayLike) -> None:
        array, self.lowest, self.highest = as_finite(plane)
        self.x: Float64Array = array.astype(np.float64)
        self.shape = self.x.shape
        self.mean = float(self.x.mean())

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> NDArray[Any]:
        """Be array-like, as what the measures take is."""
        return self.x

    @property
    def is_constant(self) -> bool:
        return not self.lowest < self.highest

    @functools.cached_property
    def squares(self) -> float:
        """Sum of the squared differences to the mean."""
        centred = (band - self.mean for band in _bands(self.x))
        return sum(float(np.vdot(band, band)) for band in centred)

    @property
    def turned(self) -> Float64Array:
        """The plane, transposed where the transform takes less time so.

        Most of its time goes into the second axis, and lengths with large prime factors take long.
        """
        height, width = map(_largest_factor, self.shape)
        return self.x if width <= height else self.x.T

    @functools.cached_property
    def spectrum(self) -> NDArray[np.complex128]:
        """Low part of the discrete Fourier transform of the plane as `turned`, without the mean.

        It has all frequencies along the first axis; along the second those from 0 to an eighth of
        its length and two more.
        """
        height, width = self.turned.shape
        columns = min(width // 8 + 2, width // 2 + 1)
        low = np.empty((height, columns), np.complex128)
        for part, band in zip(_bands(low), _bands(self.turned)):
            part[:] = scipy.fft.rfft(band - self.mean, axis=1)[:, :columns]
        return np.asarray(scipy.fft.fft(low, axis=0, overwrite_x=True))


def _pixels(plane: ArrayLike) -> _Pixels:
    return plane if isinstance(plane, _Pixels) else _Pixels(plane)


def _bands(x: NDArray[Any], beside: int = 0) -> Iterator[NDArray[Any]]:
    """Give a plane's rows, some at a time, with some of those that follow `beside` them."""
    for top in range(0, len(x) - beside, _BAND_ROWS):
        yield x[top : top + _BAND_ROWS + beside]


def _largest_factor(number: int) -> int:
    """Give the largest prime factor."""
    factor = 2
    while factor * factor <= number:
        if number % factor:
            factor += 1
        else:
            number //= factor
    return number


def _second_order(v: Float64Array, u: Float64Array) -> Float64Array:
    """Give the terms of a surface of second order at places `v` by `u`, (n, 6)."""
    y, x = (axis.ravel() for axis in np.meshgrid(v, u, indexing="ij"))
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def _cellprofiler_distance(frequencies: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.where(frequencies < 0, -frequencies - 1, frequencies)


def _starts(length: int, parts: int) -> NDArray[np.intp]:
    """Give each part's first pixel: the least i with i parts // length = part."""
    return -(-np.arange(parts) * length // parts)
