"""Bring patches to the scale that a model was trained with."""

from __future__ import annotations

from typing import Any, Optional, Tuple, Type, Union

import numpy as np
from numpy.typing import NDArray

from microscope_quality.arguments import as_number, as_numbers, as_text, shown
from microscope_quality.errors import ImageError, MicroscopeQualityError, SettingsError
from microscope_quality.masks import continued

NORMALISATIONS = ("zscore", "type_range")
# A patch whose deviation is below this fraction of its mean's size is constant.
CONSTANT_DEVIATION = 1e-6

# Patches normalised at a time, and their pixels: their float64 copies then stay in the cache. With
# masks there is more to do, so that fewer calls save more than the cache.
_CHUNK, _CHUNK_MASKED = 8, 32
_CHUNK_PIXELS = 2**20


def normalise(
    patches: NDArray[Any],
    normalisation: str,
    *,
    masks: Optional[NDArray[np.bool_]] = None,
    type_max: Optional[float] = None,
) -> Tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Bring patches to the scale that a model was trained with.

    ``zscore`` gives each patch mean 0 and population standard deviation 1. ``type_range`` divides
    by the largest value of the image's type, as published by Yang et al. (BMC Bioinformatics 19,
    77, 2018). Masked pixels continue the others smoothly; see `masks.continued`.

    Parameters
    ----------
    patches : (n, P, P) array of any integer or float type
        Finite wherever they are unmasked.
    normalisation : {"zscore", "type_range"}
        See above.
    masks : (n, P, P) array of bool, optional
        True where a pixel counts.
    type_max : float, optional
        For ``type_range``: the largest value of the image's type. By default it comes from the
        type of `patches`; floats are taken to lie in 0 to 1. What lies beyond is clipped.

    Returns
    -------
    normalised : (n, P, P) array of float32
        Zeros for patches that do not count.
    counts : (n,) array of bool
        False for a patch that is constant (deviation at most 1e-6 of its mean's size), less than
        half unmasked, or with details that are mostly those of the mask's border.

    Raises
    ------
    SettingsError
        For an unknown normalisation, masks that are not the patches', and a `type_max` that is
        not positive.
    ImageError
        For patches of another shape or type, or that are not finite.
    """
    check_normalisation(normalisation)
    patches = as_numbers("patches", patches, shape=(None, None, None), error=ImageError)
    if masks is not None:
        masks = as_numbers("masks", masks, shape=patches.shape, kinds="b")
    if type_max is None:
        type_max = float(np.iinfo(patches.dtype).max) if patches.dtype.kind in "iu" else 1.0
    type_max = as_number("type_max", type_max, float(np.finfo(np.float32).tiny))
    normalised = np.zeros(patches.shape, np.float32)
    counts = np.zeros(len(patches), np.bool_)
    if not patches.size:
        return normalised, counts
    at_a_time = _CHUNK
    order = None
    if masks is not None:
        # Those with masked pixels together: what is done with them alone takes several at once.
        order = np.argsort(masks.all(axis=(1, 2)), kind="stable")
        at_a_time = _CHUNK_MASKED
    at_a_time = max(1, min(at_a_time, _CHUNK_PIXELS // (patches.shape[1] * patches.shape[2])))
    for start in range(0, len(patches), at_a_time):
        chunk: Union[slice, NDArray[np.intp]] = slice(start, start + at_a_time)
        if order is not None:
            chunk = order[start : start + at_a_time]
        with np.errstate(over="ignore"):
            values = patches[chunk].astype(np.float64).reshape(len(patches[chunk]), -1)
        counted = np.ones(len(values), np.bool_)
        if masks is not None:
            counted = half_unmasked(masks[chunk])
            _continue(values, masks[chunk], counted)
        if normalisation == "type_range":
            with np.errstate(over="ignore"):
                values = np.clip(values / type_max, 0, 1)
        elif patches.dtype.kind == "f" and patches.dtype.itemsize >= 8:
            # Powers of two, which do not round, keep sums of squares inside float64.
            exponent = np.frexp(np.abs(values).max(axis=1, keepdims=True))[1]
            values = np.ldexp(values, -exponent)
        with np.errstate(invalid="ignore"):
            mean = (values.sum(axis=1) / values.shape[1])[:, np.newaxis]
        if not np.isfinite(mean).all():
            raise ImageError("patches must be finite wherever they are unmasked.")
        values -= mean
        squares = np.einsum("ij,ij->i", values, values)
        deviation = np.sqrt(squares / values.shape[1])[:, np.newaxis]
        counted &= (deviation > CONSTANT_DEVIATION * np.abs(mean))[:, 0]
        values[~counted] = 0
        to = normalised[chunk].reshape(values.shape)
        if normalisation == "zscore":
            np.multiply(values, 1 / np.where(counted[:, np.newaxis], deviation, 1), out=to)
        else:
            np.add(values, mean * counted[:, np.newaxis], out=to)
        if order is not None:
            normalised[chunk] = to.reshape(-1, *patches.shape[1:])
        counts[chunk] = counted
    return normalised, counts


def _continue(
    values: NDArray[np.float64], masks: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> None:
    """Give patches the values by which they are judged, 0 in those that are not.

    Parameters
    ----------
    values : (n, P * P) array
        Changed.
    masks : (n, P, P) array of bool
    counted : (n,) array of bool
        The patches that are at least half unmasked; changed.
    """
    patches = values.reshape(masks.shape)
    if not np.isfinite(patches[masks]).all():
        raise ImageError("patches must be finite wherever they are unmasked.")
    partly = counted & ~masks.all(axis=(1, 2))
    if partly.any():
        # Powers of two, which do not round, keep sums of squares inside float64.
        highest = np.max(np.abs(patches), axis=(1, 2), where=masks, initial=0, keepdims=True)
        exponents = np.frexp(highest)[1][partly]
        with np.errstate(over="ignore"):
            scaled = np.ldexp(patches[partly], -exponents)
        judged, believed = continued(scaled, masks[partly])
        patches[partly] = np.ldexp(judged, exponents)
        counted[partly] = believed
    values[~counted] = 0


def check_normalisation(
    normalisation: str, *, error: Optional[Type[MicroscopeQualityError]] = None
) -> None:
    """Refuse a normalisation that is not known, with an error of the given type."""
    if as_text("normalisation", normalisation, error=error) not in NORMALISATIONS:
        raise (error or SettingsError)(
            f"Normalisation {shown(normalisation)} is unknown; "
            f"known are {', '.join(NORMALISATIONS)}."
        )


def half_unmasked(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which of (n, P, P) masks are True in at least half of their pixels: (n,) bool."""
    masks = as_numbers("masks", masks, shape=(None, None, None), kinds="b")
    pixels = masks.shape[1] * masks.shape[2]
    enough: NDArray[np.bool_] = 2 * np.count_nonzero(masks, axis=(1, 2)) >= pixels
    return enough


def zscore(
    patches: NDArray[Any], masks: Optional[NDArray[np.bool_]] = None
) -> Tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Give each patch mean 0 and population standard deviation 1: `normalise` with ``zscore``."""
    return normalise(patches, "zscore", masks=masks)
