"""Formulas by which images of scanning electron microscopes are judged while they are taken.

`check_qual` is the gate of WaferMapper, `spectral_snr` a signal-to-noise ratio of one image. The
variance of the Laplacian, the third that is in use, is `classical.laplacian_variance`. None needs a
model or a second image, and none tells blur from noise. Each has a scale of its own, so that a
limit has to be found for each specimen, magnification and dwell time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Tuple

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from microscope_quality import tiles
from microscope_quality.planes import as_finite

Float64Array = NDArray[np.float64]

# Sites along each axis, the first one's place, and what WaferMapper leaves free beyond the last.
_SITES = 200
_FIRST = 3
_FREE = 5
# The share of unsaturated sites that is kept, by deviation, and the part of their contrasts.
_KEPT_SHARE = 0.01
_LEAST_USABLE = 6
#: Side of the smallest image that has a quality, in pixels.
CHECK_QUAL_LEAST_PX = _SITES + _FREE
#: The quality of an image that `check_qual` rejects.
REJECTED = -100.0

# Which of the nine pixels of a site, numbered 1 to 9 row by row, are added and which taken off.
_SPECKLE_Y = (((1, 5, 3), (2, 4, 6)), ((7, 5, 9), (4, 8, 6)))
_LINE_Y = (((4, 5, 6), (1, 2, 3)), ((7, 8, 9), (4, 5, 6)))
_SPECKLE_X = (((2, 4, 8), (1, 5, 7)), ((3, 5, 9), (2, 6, 8)))
_LINE_X = (((2, 5, 8), (1, 4, 7)), ((3, 6, 9), (2, 5, 8)))

#: Side of the blocks whose spectrum is taken, in pixels.
SNR_BLOCK_PX = 128
#: Cycles per pixel that count as signal.
SNR_BAND = (1 / 32, 1 / 8)
#: Cycles per pixel from which on there is noise alone: the corners of the spectrum.
SNR_NOISE_FROM = 0.5
# So many rows of pixels stay in a processor's cache.
_BAND_ROWS = 32
# What rounding may leave of a transform that should be 0, against the size of its values.
_ROUNDING = 16 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class CheckQual:
    """What WaferMapper's checkQual tells of an image.

    Attributes
    ----------
    quality : float
        In percent: 0 where straight edges have as much contrast as speckle. Higher is sharper.
        -100 for an image that is rejected; NaN where there is no speckle at all.
    horizontal_quality, vertical_quality : float
        The same of differences along x and along y alone. 0 for an image that is rejected.
    range : float
        Mean of the sites that count less the median of the 200 sites of least mean, in 8-bit grey
        levels of the inverted image. 0 for an image that is rejected.
    deviation : float
        Standard deviation of all sampled pixels, in 8-bit grey levels. 0 for an image that is
        rejected.
    percent_saturated : float
        Percentage of the sampled pixels that are at 0, or at 254 or 255, of the 8-bit image.
    """

    quality: float
    horizontal_quality: float
    vertical_quality: float
    range: float
    deviation: float
    percent_saturated: float


def check_qual(plane: ArrayLike) -> CheckQual:
    """Give the quality by which WaferMapper decides whether an image is taken again.

    The image is 8-bit and inverted. 3 × 3 neighbouring pixels are looked at on a grid of 200 × 200
    sites, the first one's upper left pixel being (3, 3), counted from 0, and the steps
    ⌊(height - 5) / 200⌋ and ⌊(width - 5) / 200⌋. A site is *saturated* when one of its pixels is
    255, or 1 or less, after the inversion. Of the n others, those count whose standard deviation is
    at least the (1 + ⌊n / 100⌋)-th largest. Of each of these, with its pixels numbered 1 to 9 row
    by row, and {a, b, c} the mean of three,

    - speckle along y is the mean of {1, 5, 3} - {2, 4, 6} and {7, 5, 9} - {4, 8, 6}, along x that
      of {2, 4, 8} - {1, 5, 7} and {3, 5, 9} - {2, 6, 8};
    - lines along y are the mean of {4, 5, 6} - {1, 2, 3} and {7, 8, 9} - {4, 5, 6}, along x that of
      {2, 5, 8} - {1, 4, 7} and {3, 6, 9} - {2, 5, 8}.

    The larger of the sizes along y and along x is a site's; the mean over the upper half of the
    sites (by rank, and what equals its lowest) is the image's:

    ``quality = (lines / speckle - 1) * 100``

    For `vertical_quality` and `horizontal_quality` the upper half is that of the sizes of all
    single differences along y, or x. An image is *rejected* when the last row of sites, before the
    inversion, is all 0, as in a grab that failed, or when fewer than 6 sites are unsaturated.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type. Whole numbers from 0 to 255 are taken as they are, whatever their type.
        Of another image, the lowest value becomes 0 and the highest 255; what lies between is
        rounded to the nearest grey level, halves upwards.

    Returns
    -------
    CheckQual
        Gain and offset change it no more than by what becomes saturated. All fields are NaN for an
        image with a side under 205 pixels, which has no grid.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    The program ``checkFileQual.m`` of WaferMapper, which numbers pixels row by row; it is described
    in K. J. Hayworth et al., Imaging ATUM ultrathin section libraries with WaferMapper, Front.
    Neural Circuits 8, 68 (2014). It gives the same of the 8-bit images that it reads; for smaller
    ones it stops. Numbered column by column, which is the same as of the transposed plane, speckle
    is another sum, and the quality differs.
    """
    pixels, lowest, highest = as_finite(plane)
    if min(pixels.shape) < CHECK_QUAL_LEAST_PX:
        return CheckQual(*[math.nan] * 6)
    as_it_is = lowest >= 0 and highest <= 255 and _are_whole(pixels)
    if not (as_it_is or lowest < highest):
        # Of one value, it has no grey levels.
        return CheckQual(math.nan, math.nan, math.nan, 0.0, 0.0, 0.0)
    step_y, step_x = ((side - _FREE) // _SITES for side in pixels.shape)
    sampled = np.empty((9, _SITES, _SITES), np.uint8)
    for number, levels in enumerate(sampled):
        y, x = _FIRST + number // 3, _FIRST + number % 3
        values = pixels[y::step_y, x::step_x][:_SITES, :_SITES].astype(np.float64)
        if not as_it_is:
            values = np.floor((values - lowest) * (255 / (highest - lowest)) + 0.5)
        levels[:] = values
    inverted = 255 - sampled
    saturated = (inverted == 255) | (inverted <= 1)
    percent_saturated = 100 * int(np.count_nonzero(saturated)) / saturated.size
    usable = ~saturated.any(axis=0)
    if not sampled[:, -1].any() or np.count_nonzero(usable) < _LEAST_USABLE:
        return CheckQual(REJECTED, 0.0, 0.0, 0.0, 0.0, percent_saturated)
    deviations = inverted.std(axis=0)
    of_usable = deviations[usable]
    last = len(of_usable) - 1 - int(len(of_usable) * _KEPT_SHARE)
    counted = usable & (deviations >= np.partition(of_usable, last)[last])
    sites = inverted[:, counted].astype(np.float64)
    speckle_y, line_y, speckle_x, line_x = (
        np.stack([_difference(sites, *triples) for triples in pair])
        for pair in (_SPECKLE_Y, _LINE_Y, _SPECKLE_X, _LINE_X)
    )
    speckle, lines = (
        _upper_half(np.maximum(*(np.abs(pair.sum(axis=0) / 2) for pair in pairs)))
        for pairs in ((speckle_y, speckle_x), (line_y, line_x))
    )
    means = inverted.mean(axis=0)
    background = float(np.median(np.partition(means, _SITES, axis=None)[:_SITES]))
    return CheckQual(
        _excess(lines, speckle),
        _excess(_upper_half(np.abs(line_x)), _upper_half(np.abs(speckle_x))),
        _excess(_upper_half(np.abs(line_y)), _upper_half(np.abs(speckle_y))),
        float(means[counted].mean()) - background,
        float(inverted.std(ddof=1)),
        percent_saturated,
    )


def spectral_snr(plane: ArrayLike) -> float:
    """Give the ratio of an image's power at middle frequencies to that of its noise, in decibels.

    The plane is cut into blocks of 128 × 128 pixels that cover it as `tiles.positions` has them.
    With w the product of the periodic Hann windows ``sin²(π i / 128)`` along y and x, m the mean of
    a block weighted by w, and P(f) the squared magnitude of the discrete Fourier transform of
    ``w (block - m)``, averaged over the blocks,

    ``snr = 10 log10(mean of P(f) over 1/32 <= |f| < 1/8 / mean of P(f) over |f| >= 1/2)``

    with frequencies in cycles per pixel. Those beyond 1/2, which directions between the axes have,
    are the highest; where an image is sampled finely enough, nothing of the specimen is there, and
    the noise, if it is white, is the same at all frequencies.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type, in any unit.

    Returns
    -------
    float
        In dB. Higher is less noisy, and sharper where noise is equal: about 0 for white noise
        alone. Gain and offset do not change it. NaN for a constant image, one with a side under 128
        pixels, and one without noise.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.

    Notes
    -----
    The ratio less 1 (before the logarithm) is the signal-to-noise ratio of J. Frank and L. Al-Ali,
    Signal-to-noise ratio of electron micrographs obtained by cross correlation, Nature 256, 376
    (1975), variance of the signal over that of the noise, within the band; they take it from two
    images of one place, and D. C. Joy, SMART, a program to measure SEM resolution and imaging
    performance, J. Microsc. 208, 24 (2002), judges images of scanning electron microscopes by it.
    Blocks, window and band are this library's. It is too high for noise that is not white, as after
    a filter, interpolation, lossy compression or a slow detector.
    """
    pixels, lowest, highest = as_finite(plane)
    if min(pixels.shape) < SNR_BLOCK_PX or not lowest < highest:
        return math.nan
    hann = np.sin(np.pi * np.arange(SNR_BLOCK_PX) / SNR_BLOCK_PX) ** 2
    # Single precision is enough for noise 100 dB below the signal, and takes half the time.
    window = (hann[:, np.newaxis] * hann).astype(np.float32)
    tops, lefts = (tiles.starts(side, SNR_BLOCK_PX) for side in pixels.shape)
    columns = SNR_BLOCK_PX // 2 + 1
    # Of real and of imaginary parts.
    squares = np.zeros(2 * SNR_BLOCK_PX * columns)
    blocks = np.empty((len(lefts), SNR_BLOCK_PX, SNR_BLOCK_PX), np.float32)
    for top in tops:
        # A mean, which this window leaves at the three lowest frequencies, need not be taken off;
        # but far from 0, little would be left of a contrast.
        band = np.subtract(pixels[top : top + SNR_BLOCK_PX], lowest, dtype=np.float64)
        band /= highest - lowest
        for block, left in zip(blocks, lefts):
            np.multiply(band[:, left : left + SNR_BLOCK_PX], window, out=block, casting="same_kind")
        spectra = scipy.fft.rfft2(blocks).view(np.float32).reshape(len(blocks), -1)
        squares += np.einsum("ij,ij->j", spectra, spectra)
    power = squares.reshape(SNR_BLOCK_PX, columns, 2).sum(axis=2)
    frequency = np.hypot(np.fft.fftfreq(SNR_BLOCK_PX)[:, np.newaxis], np.fft.rfftfreq(SNR_BLOCK_PX))
    # Each column but the first and the last stands for its mirror image too.
    weights = np.full(power.shape, 2.0)
    weights[:, [0, -1]] = 1
    in_band = (frequency >= SNR_BAND[0]) & (frequency < SNR_BAND[1])
    beyond = frequency >= SNR_NOISE_FROM
    noise = float(np.average(power[beyond], weights=weights[beyond]))
    signal = float(np.average(power[in_band], weights=weights[in_band]))
    # What rounding leaves is of the size of what it is left of.
    if not min(noise, signal) > _ROUNDING**2 * np.average(power, weights=weights):
        return math.nan
    return 10 * math.log10(signal / noise)


def _are_whole(pixels: NDArray[Any]) -> bool:
    if pixels.dtype.kind in "bui":
        return True
    bands = (pixels[top : top + _BAND_ROWS] for top in range(0, len(pixels), _BAND_ROWS))
    return all(bool((band == np.rint(band)).all()) for band in bands)


def _difference(
    sites: Float64Array, added: Tuple[int, ...], taken_off: Tuple[int, ...]
) -> Float64Array:
    """Difference of the means of three pixels each, for each site."""
    # In this order of steps, as it is published: of contrasts that are equal as fractions, rounding
    # decides which are in the upper half.
    first, second = (sites[np.array(triple) - 1].sum(axis=0) / 3 for triple in (added, taken_off))
    return np.asarray(first - second)


def _upper_half(sizes: Float64Array) -> float:
    """Mean of the upper half by rank, and of what equals its lowest."""
    # Of an odd number, the middle one is of the upper half.
    middle = sizes.size // 2
    return float(sizes[sizes >= np.partition(sizes, middle, axis=None)[middle]].mean())


def _excess(lines: float, speckle: float) -> float:
    """By how many percent one contrast exceeds the other."""
    return (lines / speckle - 1) * 100 if speckle > 0 else math.nan
