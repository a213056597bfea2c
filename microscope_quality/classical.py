"""Classical measures of focus: one number for an image, by a formula.

They are what a learned level is compared with. Each takes a plane or a patch and gives a number
whose scale is its own, so that a threshold has to be found for each kind of image. What gain and
offset of the camera do to it is in its docstring, with the direction: some rise with blur and
some fall.

An image without contrast, whose pixels are all equal, has no focus to measure: every measure is
NaN there, and also where its formula divides by 0 or the image is too small for it. CellProfiler's
module MeasureImageQuality, whose measures four of these are, gives 0 in these cases, which lies
among its ordinary values. It reads an image of integers as fractions of the largest value of the
type; what scales with gain is smaller there by that value.

Sources that more than one measure has:

- M.-A. Bray et al., Workflow and metrics for image quality control in large-scale high-content
  screens, J. Biomol. Screen. 17, 266 (2012).
- F. C. A. Groen, I. T. Young, G. Ligthart, A comparison of different focus functions for use in
  autofocus algorithms, Cytometry 6, 81 (1985).
- S. Pertuz, D. Puig, M. A. Garcia, Analysis of focus measure operators for shape-from-focus,
  Pattern Recognition 46, 1415 (2013).
"""

from __future__ import annotations

import math
from typing import Callable, Dict, Optional

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from microscope_quality.arguments import as_array, as_count
from microscope_quality.errors import ImageError

Float64Array = NDArray[np.float64]

# CellProfiler's default for both of its measures that have a scale.
CELLPROFILER_SCALE_PX = 20
# Grey levels to which CellProfiler reduces an image before it counts pairs of pixels.
CELLPROFILER_GREY_LEVELS = 8
# Cycles per pixel. A blur disc of 12 pixels (level 4) has its first zero inside, at 0.10; one of 6
# pixels (level 2) passes the whole band. Lower, blurred objects have power too; higher, the noise
# has most of it.
MID_BAND = (0.06, 0.12)

# Beyond this, the sums of squares of an image overflow 64-bit floats.
_LARGEST = 1e100
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
    x = contrasting(plane)
    if x is None:
        return math.nan
    farthest = min(x.shape) // 8 - 2
    if farthest < 2:
        return math.nan
    x -= x.mean()
    # Both halves of the spectrum of a real image hold the same; of this one only the part within
    # the rings is made, one frequency further on the negative side.
    columns = scipy.fft.rfft(x, axis=1)[:, : farthest + 2]
    frequencies = np.arange(-farthest - 1, farthest + 2)
    spectrum = scipy.fft.fft(columns, axis=0)[frequencies]
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
    rounding = _ROUNDING**2 * np.vdot(x, x)
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
    x = contrasting(plane)
    if x is None:
        return math.nan
    deviation = x.std()
    return float(x.mean() / deviation) if deviation > 0 else math.nan


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
    x = contrasting(plane)
    if x is None:
        return math.nan
    mean, variance = x.mean(), x.var()
    return float(variance / mean) if mean > _ROUNDING * math.sqrt(variance) else math.nan


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
    x = contrasting(plane)
    if x is None:
        return math.nan
    tops, lefts = (_starts(length, side) for length in x.shape)
    if len(tops) * len(lefts) < 2:
        return math.nan
    heights, widths = np.diff([*tops, x.shape[0]]), np.diff([*lefts, x.shape[1]])
    pixels = np.outer(heights, widths)

    def spread(of_tiles: Float64Array) -> Float64Array:
        return np.repeat(np.repeat(of_tiles, heights, axis=0), widths, axis=1)

    def sums(of_pixels: Float64Array) -> Float64Array:
        return np.add.reduceat(np.add.reduceat(of_pixels, tops, axis=0), lefts, axis=1)

    # From each tile's own first pixel, so that the variance of a constant tile is exactly 0.
    first = x[np.ix_(tops, lefts)]
    x -= spread(first)
    above_first = sums(x) / pixels
    x -= spread(above_first)
    means, variances = first + above_first, sums(x * x) / pixels
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
    x = contrasting(plane)
    if x is None or x.shape[1] <= distance:
        return math.nan
    x -= x.min()
    n = CELLPROFILER_GREY_LEVELS
    levels = np.minimum((x / x.max() * n).astype(np.intp), n - 1)
    pairs = np.bincount((levels[:, :-distance] * n + levels[:, distance:]).ravel(), minlength=n * n)
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
    x = contrasting(plane)
    if x is None or min(x.shape) < 3:
        return math.nan
    smooth_y = x[:-2] + 2 * x[1:-1] + x[2:]
    along_x = smooth_y[:, 2:] - smooth_y[:, :-2]
    steep_y = x[2:] - x[:-2]
    along_y = steep_y[:, :-2] + 2 * steep_y[:, 1:-1] + steep_y[:, 2:]
    return float((np.vdot(along_x, along_x) + np.vdot(along_y, along_y)) / along_x.size)


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
    x = contrasting(plane)
    if x is None or min(x.shape) < 3:
        return math.nan
    laplacian = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * x[1:-1, 1:-1]
    return float(laplacian.var())


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
    x = contrasting(plane)
    if x is None:
        return math.nan
    windows = [np.sin(np.pi * np.arange(n) / n) ** 2 for n in x.shape]
    weight = windows[0].sum() * windows[1].sum()
    if not weight > 0:
        return math.nan
    x -= x.mean()
    rounding = _ROUNDING**2 * float(np.vdot(x, x))
    x -= windows[0] @ x @ windows[1] / weight
    x *= windows[0][:, np.newaxis]
    x *= windows[1]
    total = float(np.vdot(x, x))
    if not total > rounding:
        return math.nan
    low, high = MID_BAND
    height, width = x.shape
    # Divided, so that 0.06 and 0.12 are found exactly where they are a frequency of the image.
    frequency_x = np.arange(width // 2 + 1) / width
    columns = int(np.searchsorted(frequency_x, high))
    frequency_y = np.minimum(np.arange(height), height - np.arange(height)) / height
    spectrum = scipy.fft.fft(scipy.fft.rfft(x, axis=1)[:, :columns], axis=0)
    power = spectrum.real**2 + spectrum.imag**2
    squared = frequency_y[:, np.newaxis] ** 2 + frequency_x[:columns] ** 2
    of_columns = np.where((squared >= low**2) & (squared < high**2), power, 0).sum(axis=0)
    # Each column but the first stands for its mirror image too; by Parseval's theorem, the power
    # of all frequencies is that of the pixels.
    in_band = 2 * of_columns.sum() - of_columns[0]
    return min(float(in_band / (total * x.size)), 1.0)


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
    array = as_array("plane", plane, error=ImageError)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "buif":
        raise ImageError(
            "An image to measure must be two-dimensional, real and not empty, but is an array of "
            f"shape {array.shape} and type {array.dtype}."
        )
    lowest, highest = float(array.min()), float(array.max())
    if not (lowest >= -_LARGEST and highest <= _LARGEST):
        raise ImageError(
            f"An image to measure must be finite, from {-_LARGEST:g} to {_LARGEST:g}, but has "
            f"values from {lowest:g} to {highest:g}."
        )
    return array.astype(np.float64) if lowest < highest else None


MEASURES: Dict[str, Callable[[ArrayLike], float]] = {
    "power_log_log_slope": power_log_log_slope,
    "mean_over_deviation": mean_over_deviation,
    "focus_score": focus_score,
    "local_focus_score": local_focus_score,
    "correlation": correlation,
    "tenengrad": tenengrad,
    "laplacian_variance": laplacian_variance,
    "mid_band_power": mid_band_power,
}
"""The measures by name, each with its default settings."""


def _cellprofiler_distance(frequencies: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.where(frequencies < 0, -frequencies - 1, frequencies)


def _starts(length: int, tile_px: int) -> NDArray[np.intp]:
    """Give each tile's first pixel: the least i with i m // n = tile, which is ⌈tile n / m⌉."""
    tiles = -(-length // tile_px)
    return -(-np.arange(tiles) * length // tiles)
