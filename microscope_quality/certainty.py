"""From distributions over the defocus levels to certainties, image probabilities and levels.

Every number here has one definition, given in its docstring. An undefined distribution, that of a
patch without content to judge, is a row of NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64Array = NDArray[np.float64]

# Probabilities below the smallest normal float32, which a float32 network cannot tell from 0,
# count as it in products: a single patch's 0 then does not rule a level out for all others.
SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)


def certainty(probabilities: ArrayLike, axis: int = -1) -> Any:
    """Give the certainty of distributions: 1 - H(p) / ln K.

    H is the Shannon entropy in nats and K the number of levels, as in Yang et al., BMC
    Bioinformatics 19, 77 (2018).

    Parameters
    ----------
    probabilities : array
        Non-negative, of sum 1 along `axis`, or NaN.
    axis : int
        The axis of the levels, of length 2 at least.

    Returns
    -------
    float64, of the other axes' shape
        From 0 (uniform) to 1 (one-hot); 0 for an undefined distribution.
    """
    p = np.moveaxis(np.asarray(probabilities, np.float64), axis, -1)
    # The limit of -p ln p at 0 is 0.
    entropy = -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1)
    values = np.clip(1 - entropy / np.log(p.shape[-1]), 0, 1)
    return np.where(np.isnan(values), 0.0, values)[()]


def aggregate(probabilities: ArrayLike, certainties: ArrayLike) -> Float64Array:
    """Give an image's probabilities: the certainty-weighted mean of its patches'.

    Parameters
    ----------
    probabilities : (n, K) array
        Of the patches; rows of NaN are passed over.
    certainties : (n,) array
        Of the patches.

    Returns
    -------
    (K,) array of float64
        Of sum 1; the plain mean when all weights are 0, NaN when no patch has probabilities.
    """
    p, weights = _defined(probabilities), np.asarray(certainties, np.float64)
    weights = weights[_is_defined(probabilities)]
    if not len(p):
        return np.full(p.shape[1], np.nan)
    if not weights.sum() > 0:
        weights = np.ones(len(p))
    mean = weights @ p
    probabilities_of_image: Float64Array = mean / mean.sum()
    return probabilities_of_image


def product(probabilities: ArrayLike) -> Float64Array:
    """Give the normalised product of patches' probabilities, level by level.

    It is what the image's level would be if its patches were independent witnesses: sharper than
    `aggregate`, and more easily misled.

    Parameters
    ----------
    probabilities : (n, K) array
        Of the patches; rows of NaN are passed over, zeros count as the smallest normal float32.

    Returns
    -------
    (K,) array of float64
        Of sum 1; NaN when no patch has probabilities.
    """
    p = _defined(probabilities)
    if not len(p):
        return np.full(p.shape[1], np.nan)
    logarithm = np.log(np.clip(p, SMALLEST_PROBABILITY, None)).sum(axis=0)
    values = np.exp(logarithm - logarithm.max())
    normalised: Float64Array = values / values.sum()
    return normalised


def weighted_certainty(certainties: ArrayLike) -> float:
    """Give the certainty-weighted mean of certainties, sum c² / sum c; 0 when all are 0."""
    c = np.asarray(certainties, np.float64)
    total = c.sum()
    return float((c * c).sum() / total) if total > 0 else 0.0


def level(probabilities: ArrayLike) -> Any:
    """Give the most probable level along the last axis.

    Parameters
    ----------
    probabilities : (..., K) array

    Returns
    -------
    (...) float64
        A whole number, the lower one of a tie; NaN for an undefined distribution.
    """
    p = np.asarray(probabilities, np.float64)
    defined = ~np.isnan(p).any(axis=-1)
    return np.where(defined, np.argmax(p, axis=-1), np.nan)[()]


def expected_level(probabilities: ArrayLike) -> Any:
    """Give the mean of the level over distributions along the last axis: sum k p_k.

    Parameters
    ----------
    probabilities : (..., K) array

    Returns
    -------
    (...) float64
        From 0 to K - 1; NaN for an undefined distribution.
    """
    p = np.asarray(probabilities, np.float64)
    return (p @ np.arange(p.shape[-1], dtype=np.float64))[()]


def _is_defined(probabilities: ArrayLike) -> NDArray[np.bool_]:
    undefined = np.isnan(np.asarray(probabilities, np.float64)).any(axis=1)
    return np.asarray(~undefined, np.bool_)


def _defined(probabilities: ArrayLike) -> Float64Array:
    return np.asarray(probabilities, np.float64)[_is_defined(probabilities)]
