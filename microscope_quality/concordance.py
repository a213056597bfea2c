"""The spectral concordance of an image with its ideal: the score that raters of images learn."""

from __future__ import annotations

import functools
from typing import Any, Tuple

import numpy as np
from numpy.typing import NDArray

from microscope_quality.arguments import as_floats, as_numbers
from microscope_quality.errors import ImageError

Float64Array = NDArray[np.float64]

#: Edges of the rings in cycles a pixel: half-octaves from 1/32 to 0.354.
RING_EDGES = tuple(2.0 ** (-5 + 0.5 * k) for k in range(8))
N_RINGS = len(RING_EDGES) - 1
#: The score of an image that has nothing in common with its ideal; the best one is 1.
LOWEST_SCORE = 0.1

# Coarse contrast that is believed at least, so that a field without any does not divide by 0.
_LEAST_CONTRAST = 0.05
_SMALLEST = 32


def spectral_concordance(image: NDArray[Any], ideal: NDArray[Any]) -> Float64Array:
    """Give how far an image agrees with its ideal, in seven rings of spatial frequency.

    Parameters
    ----------
    image, ideal : (height, width) array
        Of any integer or float type, finite, in place over each other, 32 pixels a side at least.

    Returns
    -------
    (7,) array of float64
        From the coarsest ring to the finest, 0 to 1.

    Raises
    ------
    ImageError
        For arrays of other or different shapes.

    Notes
    -----
    With D and S the Fourier coefficients of the two within a ring, through a Hann window, it is
    ``2 Re<D, g S> / (<D, D> + <g S, g S>)``, 0 where that is negative: the concordance correlation
    coefficient (L. I. Lin, Biometrics 45, 255, 1989) of coefficients whose means are 0. It falls
    with contrast that is lost, with noise that is added, and with displacement. The contrast g is
    that of the structure coarser than all rings, ``Re<D, S> / <S, S>`` there, at least 0.05 of what
    it is of two images that are alike: a microscope's gain and offset are no fault of its image.
    """
    image = as_numbers("image", image, shape=(None, None), error=ImageError)
    ideal = as_numbers("ideal", ideal, shape=(None, None), error=ImageError)
    if image.shape != ideal.shape or min(image.shape) < _SMALLEST:
        raise ImageError(
            f"image and ideal must have the same shape, {_SMALLEST} pixels a side at least; "
            f"theirs are {image.shape} and {ideal.shape}."
        )
    window, ring, twice = _grid(*image.shape)
    d, s = (np.fft.rfft2(_centred(one) * window).ravel() for one in (image, ideal))
    n = N_RINGS + 2
    both = np.bincount(ring, (d * s.conj()).real * twice, n)
    of_image = np.bincount(ring, (d * d.conj()).real * twice, n)
    of_ideal = np.bincount(ring, (s * s.conj()).real * twice, n)
    whole = of_ideal.sum()
    contrast = _LEAST_CONTRAST * np.sqrt(of_image.sum() / whole) if whole > 0 else 0.0
    if of_ideal[0] > 0:
        contrast = max(both[0] / of_ideal[0], contrast)
    total = of_image + contrast**2 * of_ideal
    agreed = 2 * contrast * both / np.where(total > 0, total, 1)
    return np.asarray(np.clip(agreed[1:-1], 0, 1))


def score_of(concordance: NDArray[Any]) -> float:
    """Give the score of an image, 0.1 to 1: 0.1 and 0.9 times the mean over its rings.

    Parameters
    ----------
    concordance : (7,) array
        As `spectral_concordance` gives it.

    Raises
    ------
    SettingsError
        For values that are not from 0 to 1, or another number of them.
    """
    rings = as_floats("concordance", concordance, shape=(N_RINGS,), low=0, high=1, nan=False)
    return float(LOWEST_SCORE + (1 - LOWEST_SCORE) * rings.mean())


def _centred(image: NDArray[Any]) -> Float64Array:
    """Give an image less its mean, over a power of two, which does not round."""
    with np.errstate(over="ignore"):
        values = image.astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError("image and ideal must be finite.")
    values = np.ldexp(values, -np.frexp(np.abs(values).max())[1])
    return np.asarray(values - values.mean())


@functools.lru_cache(maxsize=8)
def _grid(height: int, width: int) -> Tuple[Float64Array, NDArray[np.intp], Float64Array]:
    """Window, ring of each coefficient (0 below all, 8 above), and how many each stands for."""
    window = np.hanning(height)[:, np.newaxis] * np.hanning(width)
    frequency = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width))
    twice = np.full(frequency.shape, 2.0)
    twice[:, 0] = 1
    if width % 2 == 0:
        twice[:, -1] = 1
    return window, np.digitize(frequency, RING_EDGES).ravel(), twice.ravel()
