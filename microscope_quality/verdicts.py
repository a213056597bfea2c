"""The rules of a verdict: a plane's status, its one number, and who speaks for a stack.

A plane's number is its expected level: it is judged by it, and shown with it. Screens, tables,
pages, the plugins for ImageJ and CellProfiler and the watch all ask here.
"""

from __future__ import annotations

import math
from typing import Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from microscope_quality.arguments import as_count, as_floats, as_list, as_number, as_text
from microscope_quality.errors import SettingsError
from microscope_quality.statuses import BLANK, ERROR, IN_FOCUS, MIXED, NO_CONTENT, OUT_OF_FOCUS

Float64Array = NDArray[np.float64]

# `sure_certainty` is set so that this share of empty patches reaches it; an image has content when
# chance alone would make so many patches sure in this share of empty images at most.
SURE_EMPTY_PATCHES = 0.001
SURE_EMPTY_IMAGES = 0.01
# An image is mixed when more than this share of its sure patches lies further from its level:
# halves that are three levels apart lie so far from their mean.
MIXED_SHARE = 0.2
MIXED_LEVELS = 1.5

_MOST_LEVEL = 1e6


def status_of(
    expected_level: float,
    expected_levels: Float64Array,
    certainties: Float64Array,
    sure_certainty: float,
    limit: float,
    weights: Optional[Float64Array] = None,
) -> str:
    """Give the status of a plane, the first that applies; see `focus.FocusResult.status`.

    Parameters
    ----------
    expected_level : float
        Of the plane.
    expected_levels, certainties : (n,) array
        Of its patches; levels are NaN for those without probabilities.
    sure_certainty : float
        The model's.
    limit : float
        The highest expected level that is in focus.
    weights : (n,) array, optional
        How many patches of the plane each of them stands for.
    """
    level = _as_level("expected_level", expected_level)
    levels = as_floats("expected_levels", expected_levels, shape=(None,), low=0, high=_MOST_LEVEL)
    certainties = as_floats("certainties", certainties, shape=levels.shape)
    sure_certainty = as_number("sure_certainty", sure_certainty)
    limit = as_number("limit", limit)
    if weights is not None:
        weights = as_floats("weights", weights, shape=levels.shape, low=0, high=1e15, nan=False)
    defined = ~np.isnan(levels)
    sure = defined & (certainties >= sure_certainty)
    if np.count_nonzero(sure) <= sure_by_chance(int(np.count_nonzero(defined))):
        return NO_CONTENT.key
    far = np.abs(levels[sure] - level) > MIXED_LEVELS
    share = far.mean()
    if weights is not None and weights[sure].any():
        share = np.average(far, weights=weights[sure])
    if share > MIXED_SHARE:
        return MIXED.key
    return IN_FOCUS.key if level <= limit else OUT_OF_FOCUS.key


def sure_by_chance(patches: int) -> int:
    """Give how many patches of an empty image may be sure by chance.

    Parameters
    ----------
    patches : int
        Number of patches with probabilities.

    Returns
    -------
    int
        The least number that an empty image's count of sure patches, binomial with a chance of
        1 in 1,000 each, exceeds in at most 1 % of all cases.
    """
    patches = as_count("patches", patches, 0, 10**9)
    sure, share = -1, 0.0
    while share < 1 - SURE_EMPTY_IMAGES:
        sure += 1
        # Through logarithms, as the powers of large images underflow.
        share += math.exp(
            math.lgamma(patches + 1)
            - math.lgamma(sure + 1)
            - math.lgamma(patches - sure + 1)
            + sure * math.log(SURE_EMPTY_PATCHES)
            + (patches - sure) * math.log1p(-SURE_EMPTY_PATCHES)
        )
    return sure


def judged_level(status: str, expected_level: float) -> Optional[float]:
    """Give the number by which a plane counts, is drawn in charts and raises alerts.

    Parameters
    ----------
    status : str
        Of the plane.
    expected_level : float
        NaN where it has none.

    Returns
    -------
    float or None
        The expected level; None where nothing was measured, or there is no content: such a level
        means nothing.
    """
    expected = _as_level("expected_level", expected_level)
    if as_text("status", status) in (ERROR.key, *BLANK) or math.isnan(expected):
        return None
    return expected


def representative(
    statuses: Sequence[str], values: Sequence[float], best: Optional[int] = None
) -> int:
    """Give the plane that speaks for an image.

    Of a z-stack it is the best plane. Where it has none, it is the one with the lowest value of
    those with content; where none has content, the first that was measured; and where none was
    measured, the first.

    Parameters
    ----------
    statuses : sequence of str
        Of the planes of an image, one at least.
    values : sequence of float
        The lower, the better, such as expected levels; NaN where there is none.
    best : int, optional
        Index of the best plane.

    Returns
    -------
    int
        Index of a plane.
    """
    statuses = [as_text("A status", one) for one in as_list("statuses", statuses, "statuses")]
    values = as_floats("values", values, shape=(len(statuses),)).tolist()
    if not statuses:
        raise SettingsError("statuses must be those of one plane at least.")
    if best is not None:
        return as_count("best", best, 0, len(statuses) - 1)

    def rank(plane: int) -> Tuple[int, float]:
        status = statuses[plane]
        if status in (ERROR.key, *BLANK):
            return (2 if status == ERROR.key else 1), 0.0
        return 0, math.inf if math.isnan(values[plane]) else values[plane]

    return min(range(len(statuses)), key=rank)


def _as_level(name: str, value: float) -> float:
    return float(as_floats(name, value, shape=(), low=0, high=_MOST_LEVEL))
