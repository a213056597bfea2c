"""Brightness and contrast: do gain and offset of the camera change what a model says.

As in Fig. 4 of Yang et al., BMC Bioinformatics 19:77 (2018): images of known level, times a gain
and plus an offset, in 16 bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality import metrics
from microscope_quality.focus import measure_focus
from microscope_quality.model import FocusModel
from microscope_quality.optics import N_LEVELS

FloatArray = npt.NDArray[np.float64]

GAINS = (0.2, 0.5, 1.0, 2.0, 5.0)
OFFSETS = (0.0, 10.0, 100.0, 1000.0, 10_000.0)
#: Longest side, in pixels, of what is measured: the middle of the image. Each is measured once for
#: every gain and offset.
LONGEST_SIDE = 504
_MAX = 65535


def changed(
    plane: npt.NDArray[Any], gain: float, offset: float
) -> tuple[npt.NDArray[np.uint16], float]:
    """Give ``gain · plane + offset`` as a 16-bit camera would, and the share of pixels cut off.

    Parameters
    ----------
    plane : (height, width) array of int
    gain : float
    offset : float
        Grey levels.

    Returns
    -------
    (height, width) array of uint16
        Rounded, and clipped to 0 … 65535.
    float
        Share of the pixels that would have gone beyond.
    """
    grey = np.rint(plane.astype(np.float64) * gain + offset)
    beyond = float(np.mean((grey < 0) | (grey > _MAX)))
    return np.clip(grey, 0, _MAX).astype(np.uint16), beyond


def levels_at(
    models: Sequence[FocusModel],
    plane: npt.NDArray[Any],
    gains: Sequence[float],
    offsets: Sequence[float],
) -> tuple[FloatArray, FloatArray]:
    """Measure the middle of an image at every gain and offset.

    Each model takes the 16-bit image with its own normalisation.

    Returns
    -------
    levels : (models, gains, offsets) array
        NaN where undefined.
    beyond : (gains, offsets) array
        Share of the pixels cut off.
    """
    top, left = ((side - min(side, LONGEST_SIDE)) // 2 for side in plane.shape)
    middle = plane[top : top + LONGEST_SIDE, left : left + LONGEST_SIDE]
    levels = np.empty((len(models), len(gains), len(offsets)))
    beyond = np.empty((len(gains), len(offsets)))
    for i, j in np.ndindex(beyond.shape):
        taken, beyond[i, j] = changed(middle, gains[i], offsets[j])
        levels[:, i, j] = [measure_focus(taken, model).level for model in models]
    return levels, beyond


def table(
    true: npt.NDArray[np.int64],
    levels: FloatArray,
    beyond: FloatArray,
    gains: Sequence[float],
    offsets: Sequence[float],
) -> list[dict[str, float]]:
    """Summarise one model's levels.

    Parameters
    ----------
    true : (n,) array of int
    levels, beyond : (n, gains, offsets) array

    Returns
    -------
    list of dict
        For each gain and offset ``gain``, ``offset``, ``n``, the shares ``exact`` and
        ``within_one`` (an undefined level is wrong), and ``clipped``, the mean share of pixels cut
        off.
    """
    rows = []
    for i, j in np.ndindex(beyond.shape[1:]):
        given = levels[:, i, j]
        shares = metrics.within(
            metrics.confusion(true, given, N_LEVELS), int(np.count_nonzero(np.isnan(given)))
        )
        rows.append(
            {
                "gain": float(gains[i]),
                "offset": float(offsets[j]),
                "n": len(true),
                "exact": float(shares[0]),
                "within_one": float(shares[1]),
                "clipped": float(beyond[:, i, j].mean()),
            }
        )
    return rows
