"""From distributions over the defocus levels to certainties, image probabilities and levels.

Every number here has one definition, given in its docstring. An undefined distribution, that of a
patch without content to judge, is a row of NaN. What is no array of probabilities, or of
certainties, raises `SettingsError`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality.arguments import as_count, as_flag, as_floats
from microscope_quality.errors import SettingsError

Float64Array = NDArray[np.float64]

# What rounding may add to a probability.
_ROUNDING = 1e-3
#: A patch less certain than this has no weight in its image. Empty ones mostly have far less.
LEAST_CERTAINTY = 0.1
# Patches that one certainty may stand for.
_MOST_WEIGHT = 1e15

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

    Raises
    ------
    SettingsError
        For what are no probabilities, an axis that there is not, and fewer than 2 levels.
    """
    p = as_probabilities(probabilities)
    p = np.moveaxis(p, as_count("axis", axis, -p.ndim, p.ndim - 1), -1)
    if p.shape[-1] < 2:
        raise SettingsError(f"A certainty needs 2 levels at least, not {p.shape[-1]}.")
    # The limit of -p ln p at 0 is 0.
    entropy = -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1)
    values = np.clip(1 - entropy / np.log(p.shape[-1]), 0, 1)
    return np.where(np.isnan(values), 0.0, values)[()]


def weights_of(certainties: ArrayLike) -> Float64Array:
    """Give what patches weigh in their image: their certainties; below `LEAST_CERTAINTY` nothing.

    Empty patches have a little certainty each, and a large field has many of them: together they
    would outweigh the few that show something.

    Parameters
    ----------
    certainties : (...) array

    Returns
    -------
    (...) array of float64
    """
    c = as_floats("certainties", certainties, low=0, high=_MOST_WEIGHT)
    return np.asarray(np.where(c >= LEAST_CERTAINTY, c, 0.0))


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
    p = as_probabilities(probabilities, of_patches=True)
    weights = as_floats("certainties", certainties, shape=(len(p),), low=0, high=_MOST_WEIGHT)
    defined = _is_defined(p)
    if not defined.any():
        return np.full(p.shape[1], np.nan)
    p, weights = p[defined], weights[defined]
    if not weights.sum() > 0:
        weights = np.ones(len(p))
    return _of_sum_1(weights @ p)


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
    p = as_probabilities(probabilities, of_patches=True)
    p = p[_is_defined(p)]
    if not len(p):
        return np.full(p.shape[1], np.nan)
    logarithm = np.log(np.clip(p, SMALLEST_PROBABILITY, None)).sum(axis=0)
    return _of_sum_1(np.exp(logarithm - logarithm.max()))


def weighted_certainty(certainties: ArrayLike) -> float:
    """Give the certainty-weighted mean of certainties, sum c² / sum c; 0 when all are 0."""
    c = as_floats("certainties", certainties, low=0, high=_MOST_WEIGHT)
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
    p = as_probabilities(probabilities)
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
    p = as_probabilities(probabilities)
    return (p @ np.arange(p.shape[-1], dtype=np.float64))[()]


def as_probabilities(probabilities: ArrayLike, *, of_patches: bool = False) -> Float64Array:
    """Give distributions as an array of float64.

    Parameters
    ----------
    probabilities : (..., K) array
        Of K levels, 1 at least.
    of_patches : bool
        Whether they must be those of patches, (n, K).

    Raises
    ------
    SettingsError
        For an array of another shape, and for values that are neither from 0 to 1 nor NaN.
    """
    shape = (None, None) if as_flag("of_patches", of_patches) else None
    p = as_floats("probabilities", probabilities, shape=shape, low=0, high=1 + _ROUNDING)
    if p.ndim == 0 or p.shape[-1] == 0:
        raise SettingsError(
            f"probabilities must be of 1 level at least, not an array of shape {p.shape}."
        )
    return p


def _is_defined(p: Float64Array) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(p).any(axis=1), np.bool_)


def _of_sum_1(values: Float64Array) -> Float64Array:
    total = values.sum()
    return values / total if total > 0 else np.full(values.shape, np.nan)
