"""The contrast of a plane: what its fine detail has beyond noise, to compare planes of a stack."""

from __future__ import annotations

import math
from typing import Any, Optional, Tuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from microscope_quality.arguments import as_floats, as_numbers
from microscope_quality.errors import ImageError

Float64Array = NDArray[np.float64]

# Pixels are binned, the first two of every four columns, and bins that lie 4 pixels apart are
# compared.
_ROWS, _COLUMNS = 4, 2
_APART = 4
# Variance of a bin's second differences down and across, summed, where that of a pixel is 1: a bin
# is a sum of 8 pixels, and 1, -2, 1 of them have 1 + 4 + 1 times its variance.
_OF_NOISE = 2 * 6 * _ROWS * _COLUMNS
# A patch tells something when so many of its second differences are of unmasked pixels.
_LEAST_SHARE = 0.25
# By noise alone a patch's contrast deviates by about a quarter of the noise's own: a plane's counts
# from about two of such deviations.
_BY_CHANCE = 0.6

# Patches at a time: they then stay in the cache.
_CHUNK = 24


def patch_contrasts(
    patches: NDArray[Any], masks: Optional[NDArray[np.bool_]] = None
) -> Tuple[Float64Array, Float64Array]:
    """Give the contrast of patches, and that of their noise.

    Parameters
    ----------
    patches : (n, P, P) array
        Of any integer or float type; finite wherever they are unmasked.
    masks : (n, P, P) array of bool, optional
        True where a pixel counts.

    Returns
    -------
    contrasts, noises : (n,) array of float64
        In grey levels, negative where there is less detail than noise; NaN for a patch with too
        few unmasked pixels, or with numbers beyond all bounds.

    Raises
    ------
    ImageError, SettingsError
        For patches or masks of another shape or type.

    Notes
    -----
    With b the means of blocks of 4 rows and the first 2 of every 4 columns, the detail E is the
    mean square of the second differences down, ``b[i, j] - 2 b[i + 1, j] + b[i + 2, j]``, plus
    that of those across, ``b[i, j] - 2 b[i, j + 1] + b[i, j + 2]``. It is largest for
    periods of about 8 pixels, as that of the Laplacian of a Gaussian of 2 pixels is. White noise of
    the variance v of each pixel adds 1.5 v to it. v is a quarter of the mean square of
    ``(p[0, 0] - p[1, 0]) - (p[0, 1] - p[1, 1])`` over these columns of the first two of
    every eight rows: light that came through a lens has little so fine. The contrast is
    ``sign(E - 1.5 v) sqrt(abs(E - 1.5 v))``, the noise's ``sqrt(1.5 v)``.
    """
    patches = as_numbers("patches", patches, shape=(None, None, None), error=ImageError)
    if masks is not None:
        masks = as_numbers("masks", masks, shape=patches.shape, kinds="b")
    contrasts, noises = np.full((2, len(patches)), math.nan)
    if patches.shape[1] < 3 * _ROWS or patches.shape[2] < 3 * _APART:
        return contrasts, noises
    for start in range(0, len(patches), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        mask = None if masks is None or masks[chunk].all() else masks[chunk]
        contrasts[chunk], noises[chunk] = _of_chunk(patches[chunk], mask)
    return contrasts, noises


def plane_contrast(
    contrasts: Float64Array, noises: Float64Array, weights: Optional[Float64Array] = None
) -> float:
    """Give the contrast of a plane, the mean of its patches'.

    Where that is not above what noise makes by chance, it is that: 0.6 of the mean of the noises,
    over the root of the number of patches.

    Parameters
    ----------
    contrasts, noises : (n,) array
        Of the patches, as `patch_contrasts` gives them.
    weights : (n,) array, optional
        How many patches of the plane each of them stands for.

    Returns
    -------
    float
        In grey levels; NaN without a patch that has one.
    """
    contrasts = as_floats("contrasts", contrasts, shape=(None,))
    noises = as_floats("noises", noises, shape=contrasts.shape)
    if weights is None:
        weights = np.ones(len(contrasts))
    counts = as_floats("weights", weights, shape=contrasts.shape, low=0, high=1e15, nan=False)
    counts = np.where(np.isnan(contrasts), 0.0, counts)
    total = float(counts.sum())
    if not total > 0:
        return math.nan
    share = counts / total
    known = share > 0
    detail, noise = (float(share[known] @ values[known]) for values in (contrasts, noises))
    return max(detail, _BY_CHANCE * noise / math.sqrt(np.count_nonzero(known)))


def _of_chunk(
    patches: NDArray[Any], masks: Optional[NDArray[np.bool_]]
) -> Tuple[Float64Array, Float64Array]:
    """Give contrasts and noises of some patches."""
    # Single precision is exact for differences of such numbers.
    is_small = patches.dtype.kind in "iu" and patches.dtype.itemsize <= 2
    values = _in_pairs(patches, np.float32 if is_small else np.float64)
    masks = None if masks is None else _in_pairs(masks, np.bool_)
    exponents: Any = 0
    if not is_small:
        if masks is not None:
            values[~masks] = 0
        # Powers of two, which do not round, keep sums of squares inside float64.
        exponents = np.frexp(np.abs(values).max(axis=(1, 2, 3)))[1]
        values = np.ldexp(values, -exponents[:, np.newaxis, np.newaxis, np.newaxis])
    sums = values[:, 0::4] + values[:, 1::4]
    sums += values[:, 2::4]
    sums += values[:, 3::4]
    bins = sums[..., 0] + sums[..., 1]
    down = bins[:, 1:] - bins[:, :-1]
    down = down[:, 1:] - down[:, :-1]
    across = bins[:, :, 1:] - bins[:, :, :-1]
    across = across[:, :, 1:] - across[:, :, :-1]
    finest = values[:, 0::8] - values[:, 1::8]
    finest = finest[..., 0] - finest[..., 1]
    if masks is None:
        detail = _mean_square(down) + _mean_square(across)
        variance = _mean_square(finest) / 4
        enough = np.ones(len(patches), np.bool_)
    else:
        pairs = masks[..., 0] & masks[..., 1]
        whole = pairs[:, 0::4] & pairs[:, 1::4] & pairs[:, 2::4] & pairs[:, 3::4]
        of_down = whole[:, 2:] & whole[:, 1:-1] & whole[:, :-2]
        of_across = whole[:, :, 2:] & whole[:, :, 1:-1] & whole[:, :, :-2]
        of_finest = pairs[:, 0::8] & pairs[:, 1::8]
        detail = _mean_square(down, of_down) + _mean_square(across, of_across)
        variance = _mean_square(finest, of_finest) / 4
        enough = np.minimum(_share(of_down), _share(of_across)) >= _LEAST_SHARE
        enough &= of_finest.any(axis=(1, 2))
    excess = detail - _OF_NOISE * variance
    # Of bins' means, no longer of their sums.
    contrasts = np.copysign(np.sqrt(np.abs(excess)), excess) / (_ROWS * _COLUMNS)
    noises = np.sqrt(_OF_NOISE * variance) / (_ROWS * _COLUMNS)
    with np.errstate(over="ignore"):
        contrasts, noises = np.ldexp(contrasts, exponents), np.ldexp(noises, exponents)
    enough &= np.isfinite(contrasts) & np.isfinite(noises)
    return np.where(enough, contrasts, math.nan), np.where(enough, noises, math.nan)


def _in_pairs(patches: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Give the first two of every four columns, of another type: (n, rows, columns / 4, 2)."""
    n, height, width = patches.shape
    height, width = height - height % _ROWS, width - width % _APART
    pairs = np.empty((n, height, width // _APART, _COLUMNS), dtype)
    # Column by column: a copy of pairs would be made two by two.
    for column in range(_COLUMNS):
        pairs[..., column] = patches[:, :height, column:width:_APART]
    return pairs


def _mean_square(values: NDArray[Any], of: Optional[NDArray[np.bool_]] = None) -> Float64Array:
    """Give the mean square of each patch's values, or of some of them; 0 without any."""
    flat = values.reshape(len(values), -1)
    if of is None:
        count: Any = flat.shape[1]
    else:
        chosen = of.reshape(flat.shape)
        flat = np.where(chosen, flat, 0)
        count = np.maximum(np.count_nonzero(chosen, axis=1), 1)
    squares = np.einsum("ij,ij->i", flat, flat).astype(np.float64)
    return np.asarray(squares / count)


def _share(of: NDArray[np.bool_]) -> Float64Array:
    """Give the share of each patch's values that are chosen."""
    return np.asarray(of.mean(axis=(1, 2)))
