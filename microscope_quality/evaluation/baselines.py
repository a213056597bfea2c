"""Measures of focus to compare a model with: the classical ones, and those of other libraries."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from microscope_quality.classical import MEASURES, contrasting

Baseline = Callable[[npt.ArrayLike], float]


def crete_blur_effect(plane: npt.ArrayLike) -> float:
    """Give the blur effect: how little of the image's gradient a further blur takes away.

    The plane's range is stretched to 0 to 1, and it is averaged over 11 pixels along an axis. With
    D the absolute Sobel derivative along that axis before, and B after,

    ``effect = (Σ D - Σ max(0, D - B)) / Σ D``, the larger one of the two axes'.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Of any real type, in any unit.

    Returns
    -------
    float
        0 to 1; higher is more blurred. Gain and offset do not change it. NaN for a constant image,
        and for one with a side under 4 pixels, of which scikit-image leaves none after taking the
        borders away.

    Raises
    ------
    ImageError
        If the plane is not two-dimensional, real, finite and larger than nothing.
    ImportError
        Without scikit-image.

    Notes
    -----
    `skimage.measure.blur_effect` with its defaults, after F. Crété et al., The blur effect:
    perception and estimation with a new no-reference perceptual blur metric, Proc. SPIE 6492,
    64920I (2007); the paper has neighbours' differences where scikit-image has Sobel's, and 9
    pixels.
    """
    x = contrasting(plane)
    if x is None or min(x.shape) < 4:
        return math.nan
    # Heavy, and in an extra.
    from skimage.measure import blur_effect

    # Its guard against a gradient of 0 is absolute, and it scales integers by their type.
    x -= x.min()
    x /= x.max()
    return float(blur_effect(x))


MEASURES_OF_LIBRARIES: dict[str, Baseline] = {"crete_blur_effect": crete_blur_effect}
"""The measures that need another library, by name."""


def available_measures() -> tuple[dict[str, Baseline], str]:
    """Find the measures that work here.

    Returns
    -------
    measures : dict
        By name: `classical.MEASURES`, then those of `MEASURES_OF_LIBRARIES` whose library is there.
    missing : str
        A sentence on each of the others; empty when there is none.
    """
    found, missing = dict(MEASURES), []
    for name, measure in MEASURES_OF_LIBRARIES.items():
        try:
            # Libraries are imported where they are used.
            measure(np.add.outer(np.arange(16.0), np.arange(16.0) ** 2))
        except ImportError as error:
            missing.append(f"The measure {name} is not available: {error}.")
        else:
            found[name] = measure
    return found, " ".join(missing)
