"""The spectrum of patches: whether anything is in it that only a coarsely sampled image can have.

A sharp image that is sampled finely has nothing in the upper half of its frequencies, as a blurred
one has not. What is there is light of the object, and then the image is blurred less than it is
sampled.
"""

from __future__ import annotations

import math
from typing import Any, List, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from microscope_quality.arguments import as_numbers
from microscope_quality.errors import ImageError

Float64Array = NDArray[np.float64]

#: What is to be said of an image out of focus, of unknown optics, with nothing there.
HINT = (
    "Nothing is in the upper half of the image's frequencies: it is blurred, or sharp and sampled "
    "more finely than the model knows. Its optics tell which: --optics, optics= in Python, or the "
    "microscope's settings in a dialog."
)

# Patches whose spectra are looked at.
_PATCHES = 8
# In cycles a pixel: the upper half, and where noise is alone, towards the corners.
_LOWEST, _HIGHEST = 0.25, 0.5
# By so much the upper half has to exceed the noise, and so much more for the root of the number of
# patches: some three deviations of what white noise has by chance.
_EXCESS, _BY_CHANCE = 0.05, 0.2
# So small a share of all power is no noise, but numbers that were rounded.
_ROUNDING = 1e-12


class SurestPatches:
    """The patches of an image of which a model is surest, of all that were seen.

    They are few, so that no more than these are kept of an image that is read in parts.
    """

    def __init__(self) -> None:
        self._kept: List[Tuple[float, NDArray[Any]]] = []

    def add(
        self, patches: NDArray[Any], masks: Optional[NDArray[np.bool_]], certainties: Float64Array
    ) -> None:
        """Look at some patches; those of which a pixel is masked do not count.

        Parameters
        ----------
        patches : (n, P, P) array
        masks : (n, P, P) array of bool, or None
            True where a pixel counts.
        certainties : (n,) array
        """
        whole = np.flatnonzero(
            np.ones(len(patches), np.bool_) if masks is None else masks.all((1, 2))
        )
        for index in whole[np.argsort(-certainties[whole], kind="stable")[:_PATCHES]].tolist():
            self._kept.append((float(certainties[index]), patches[index].copy()))
        self._kept = sorted(self._kept, key=lambda kept: -kept[0])[:_PATCHES]

    @property
    def hint(self) -> str:
        """`HINT` if nothing is in the upper half of their frequencies; else empty."""
        if not self._kept:
            return ""
        patches = np.stack([patch for _, patch in self._kept])
        most = _EXCESS + _BY_CHANCE / math.sqrt(len(patches))
        return HINT if upper_half(patches) <= most else ""


def upper_half(patches: NDArray[Any]) -> float:
    """Give what patches have in the upper half of their frequencies, over their noise.

    Parameters
    ----------
    patches : (n, P, P) array
        Of any integer or float type, finite.

    Returns
    -------
    float
        Mean power from 1/4 to 1/2 cycle a pixel, over that beyond 1/2, which directions between
        the axes have, less 1: about 0 where white noise is alone. NaN without a patch, for patches
        of under 8 pixels, those without noise, and those with numbers beyond all bounds.

    Raises
    ------
    ImageError
        For patches of another shape or type.

    Notes
    -----
    The periodogram of the patches less their mean, through a Hann window, which keeps low
    frequencies from leaking into high ones.
    """
    patches = as_numbers("patches", patches, shape=(None, None, None), error=ImageError)
    if not len(patches) or min(patches.shape[1:]) < 8:
        return math.nan
    height, width = patches.shape[1:]
    with np.errstate(over="ignore", invalid="ignore"):
        values = patches.astype(np.float64)
        values -= values.mean(axis=(1, 2), keepdims=True)
        values *= np.hanning(height)[:, np.newaxis] * np.hanning(width)
        power = (np.abs(np.fft.rfft2(values)) ** 2).mean(axis=0)
    if not np.isfinite(power).all():
        return math.nan
    frequency = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width))
    # All columns but these stand for two of the whole spectrum.
    twice = np.full(power.shape, 2.0)
    twice[:, 0] = 1
    if width % 2 == 0:
        twice[:, -1] = 1
    upper = (frequency >= _LOWEST) & (frequency < _HIGHEST)
    beyond = frequency >= _HIGHEST
    noise = np.average(power[beyond], weights=twice[beyond])
    if not noise > _ROUNDING * power.max():
        return math.nan
    return float(np.average(power[upper], weights=twice[upper]) / noise - 1)
