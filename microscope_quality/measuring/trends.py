"""How numbers of a run change with time: by how much an hour, and how sure that is.

A microscope drifts over hours: the blur grows, the probe stretches, its axis turns. Known in time,
it is focused and stigmated again before images are lost. Lines are fitted that single bad images do
not move, and an interval says whether there is a trend at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality.arguments import as_floats
from microscope_quality.components import LEAST_ELONGATION
from microscope_quality.errors import SettingsError

Float64Array = NDArray[np.float64]

#: Fewer numbers have no trend, and so have those of a shorter time, in hours.
LEAST_IMAGES = 5
LEAST_HOURS = 5 / 60
# Files that follow one another faster, in seconds, are copies; and so are two heaps of files, with
# a gap between them that is more than such a share of the whole time.
_LEAST_GAP_S = 1
_MOST_GAP = 0.5
# Of more numbers, medians of as many groups of neighbours are taken: their pairs are gone through.
_MOST_POINTS = 400
# Of a normal distribution, in standard deviations.
_CONFIDENT = 1.959963984540054
#: An axis is the same again after so many degrees.
TURN_DEG = 180
# What an axis turns by in a whole run, at the most, and in how fine steps a rate is looked for.
_MOST_TURN_DEG, _TURN_STEP_DEG = 360.0, 10.0
# Axes that agree less, as a mean vector's length after their turning, have none in common.
_LEAST_AGREEMENT = 0.5
# What neighbours have in common, at the most: of more, no number of images tells a trend.
_MOST_ALIKE = 0.99


@dataclass(frozen=True)
class Trend:
    """A line through numbers over time.

    Attributes
    ----------
    images : int
        How many numbers there were.
    hours : float
        From the first to the last.
    start, end : float
        The line at the first and at the last; NaN without a line.
    per_hour : float
        By how much it changes in an hour.
    low, high : float
        The 95 % interval of that; infinite where nothing is known of it.
    """

    images: int
    hours: float
    start: float
    end: float
    per_hour: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves no doubt that there is a change, and its direction."""
        return self.low > 0 or self.high < 0

    def hours_until(self, limit: float) -> float:
        """Give how many hours after the last number the line crosses a limit.

        Infinite where it never will, since it has crossed it or goes away from it; NaN without a
        line.
        """
        left = limit - self.end
        if left * self.per_hour < 0 or (self.per_hour == 0 and left != 0):
            return math.inf
        return left / self.per_hour if left else left


def trend(hours: ArrayLike, values: ArrayLike) -> Trend:
    """Fit a line through numbers, of which up to a quarter may be far off.

    Parameters
    ----------
    hours : (n,) array
        Time of each number in hours, from any start, in any order.
    values : (n,) array
        Numbers; those that are NaN, or without a time, are left out.

    Returns
    -------
    Trend
        Without a line for fewer than 5 numbers, and for less than 5 minutes.

    Raises
    ------
    SettingsError
        For arrays of other shapes.

    Notes
    -----
    The slope is the median of the slopes of all pairs, and its interval that of P. K. Sen,
    Estimates of the regression coefficient based on Kendall's tau, J. Am. Stat. Assoc. 63, 1379
    (1968). Neighbours in time often err alike. So the variance of Kendall's tau is multiplied by
    (1 + r) / (1 - r), with r the correlation of the ranks of what is left beside the line from one
    number to the next, if it is positive: the correction of K. H. Hamed and A. R. Rao, J. Hydrol.
    204, 182 (1998), for an autoregressive process. Since a line fits some of that, r is raised by
    (2 + 4 r) / n. Of more than 400 numbers, the medians of 400 groups of neighbours stand for them.
    """
    times, numbers = _known(hours, values)
    return _line(times, numbers, len(times))


def axis_trend(hours: ArrayLike, angles_deg: ArrayLike, elongations: ArrayLike) -> Trend:
    """Fit a line through directions of axes, of which 0 and 180 degrees are the same.

    Parameters
    ----------
    hours : (n,) array
        As for `trend`.
    angles_deg : (n,) array
        Directions in degrees.
    elongations : (n,) array
        Long over short width of what has the axis; what is less than 1.3 has none, and is left out.

    Returns
    -------
    Trend
        In degrees, `start` and `end` from 0 to 180. Without a line also where the axes have no
        direction in common, not even one that turns evenly by up to 360 degrees.

    Raises
    ------
    SettingsError
        For arrays of other shapes.

    Notes
    -----
    Axes are vectors at twice their angle, of the logarithm of the elongation as length (K. V.
    Mardia and P. E. Jupp, *Directional Statistics*, 2000, section 1.3). They are turned back at
    each of many rates, and the rate at which they add up to most tells from which line the angles
    are to be counted, within 90 degrees; through these, `trend` fits its line.
    """
    lengths = as_floats("elongations", elongations, shape=(None,))
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = np.where(lengths >= LEAST_ELONGATION, np.log(lengths), np.nan)
    times, angles, lengths = _known(hours, angles_deg, weights)
    images = len(times)
    if not _is_enough(times):
        return _line(times, angles, images)
    span = times[-1] - times[0]
    turns = np.arange(-_MOST_TURN_DEG, _MOST_TURN_DEG + _TURN_STEP_DEG / 2, _TURN_STEP_DEG)
    doubled = np.exp(2j * np.radians(angles)) * lengths
    share = (times - times[0]) / span
    sums = np.exp(-2j * np.radians(turns)[:, np.newaxis] * share) @ doubled
    # Of rates at which they add up to the same, the slowest.
    best = max(range(len(turns)), key=lambda k: (round(abs(sums[k]), 9), -abs(turns[k])))
    if abs(sums[best]) < _LEAST_AGREEMENT * lengths.sum():
        return _line(times, np.full(images, np.nan), images)
    expected = np.degrees(np.angle(sums[best])) / 2 + turns[best] * share
    found = _line(times, expected + (angles - expected + 90) % 180 - 90, images)
    return Trend(
        found.images,
        found.hours,
        # Twice, as the remainder of what is below 0 by a rounding is 180 itself.
        found.start % TURN_DEG % TURN_DEG,
        found.end % TURN_DEG % TURN_DEG,
        found.per_hour,
        found.low,
        found.high,
    )


def trends_of(rows: Iterable[Mapping[str, object]]) -> dict[str, Trend]:
    """Give the trends of what a microscope is set by: blur, elongation and its axis.

    Parameters
    ----------
    rows : iterable of mapping
        Of ratings, typed or of text, in any order. Times are those of the files, ``modified``.

    Returns
    -------
    dict
        Trends of ``blur_px``, ``elongation`` and ``angle_deg``; without lines where the times are
        not those of taking the images: see `why_untold`.
    """
    hours, blurs, elongations, angles = _listed(rows)
    if _why_untold(hours[np.isfinite(blurs)]):
        hours = np.full_like(hours, np.nan)
    return {
        "blur_px": trend(hours, blurs),
        "elongation": trend(hours, elongations),
        "angle_deg": axis_trend(hours, angles, elongations),
    }


def why_untold(rows: Iterable[Mapping[str, object]]) -> str:
    """Say in a sentence why the times of files tell no drift; empty where they may.

    Times of copies are those of copying: all within a short time, one right after the other, or in
    two heaps.

    Parameters
    ----------
    rows : iterable of mapping
        As for `trends_of`.
    """
    hours, blurs, _, _ = _listed(rows)
    return _why_untold(hours[np.isfinite(blurs)])


def _why_untold(hours: Float64Array) -> str:
    times = np.unique(hours[np.isfinite(hours)])
    if len(times) < LEAST_IMAGES:
        number = len(times)
        what = f"only {number} time{'s' * (number != 1)} of files {'are' if number != 1 else 'is'}"
        return f"No drift is told: {what} known, and it takes {LEAST_IMAGES}."
    span = float(times[-1] - times[0])
    if span < LEAST_HOURS:
        return (
            f"No drift is told: the files were written within {duration(span)}, as copies are, and "
            f"it takes {duration(LEAST_HOURS)}."
        )
    gaps = np.diff(times)
    # Times of some disks are whole seconds.
    if round(3600 * float(np.median(gaps)), 3) <= _LEAST_GAP_S:
        return (
            "No drift is told: half of the files were written within a second of the one before, "
            "as copies are."
        )
    if float(gaps.max()) > _MOST_GAP * span:
        return (
            f"No drift is told: of the {duration(span)} from the first file to the last, "
            f"{duration(float(gaps.max()))} are a single gap, as between copies."
        )
    return ""


def duration(hours: float) -> str:
    """Say a time in the unit that fits it, such as "12 seconds"."""
    for unit, of_an_hour in (("second", 3600), ("minute", 60)):
        if hours * of_an_hour < 120:
            number = max(1, round(hours * of_an_hour))
            return f"{number} {unit}{'s' * (number != 1)}"
    return f"{hours:.1f} hours"


def _listed(rows: Iterable[Mapping[str, object]]) -> Float64Array:
    """Give times in hours, blurs, elongations and angles, as an array of 4 lines."""
    listed = [
        (
            _hours(row.get("modified")),
            *(_number(row.get(name)) for name in ("blur_px", "elongation", "angle_deg")),
        )
        for row in rows
    ]
    lines: Float64Array = np.array(listed, np.float64).reshape(-1, 4).T
    return lines


_WORDS = {
    "blur_px": ("The blur", "grows", "falls", 2, " px"),
    "elongation": ("The elongation", "grows", "falls", 2, ""),
    "angle_deg": ("The long axis", "turns", "turns", 1, "°"),
}


def sentences(trends: Mapping[str, Trend]) -> list[str]:
    """Say which trends there are, such as "The blur grows by 0.31 px an hour (0.22 to 0.40 …)"."""
    said = []
    for name, found in trends.items():
        if not found.is_sure:
            continue
        what, grows, falls, digits, unit = _WORDS[name]
        sign = -1 if found.per_hour < 0 and grows != falls else 1
        low, high = sorted((sign * found.low, sign * found.high))
        said.append(
            f"{what} {grows if found.per_hour > 0 else falls} by "
            f"{sign * found.per_hour:.{digits}f}{unit} an hour ({low:.{digits}f} to "
            f"{high:.{digits}f}, 95 %), over {found.hours:.1f} hours and {found.images} images."
        )
    return said


def _known(hours: ArrayLike, *of_each: ArrayLike) -> tuple[Float64Array, ...]:
    """Give what is known at known times, in their order."""
    arrays = [
        as_floats(name, one, shape=(None,))
        for name, one in zip(("hours", "values", "weights"), (hours, *of_each))
    ]
    if len({len(one) for one in arrays}) != 1:
        lengths = " and ".join(str(len(one)) for one in arrays)
        raise SettingsError(f"hours and values must be as many, not {lengths}.")
    known = np.isfinite(arrays).all(axis=0)
    order = np.argsort(arrays[0][known], kind="stable")
    return tuple(one[known][order] for one in arrays)


def _is_enough(times: Float64Array) -> bool:
    return len(times) >= LEAST_IMAGES and float(times[-1] - times[0]) >= LEAST_HOURS


def _line(times: Float64Array, values: Float64Array, images: int) -> Trend:
    """Fit a line through numbers in the order of time."""
    hours = float(times[-1] - times[0]) if len(times) else 0.0
    if not _is_enough(times) or np.isnan(values).any():
        return Trend(images, hours, math.nan, math.nan, math.nan, -math.inf, math.inf)
    first, last = times[0], times[-1]
    if len(times) > _MOST_POINTS:
        groups = [np.array_split(one, _MOST_POINTS) for one in (times, values)]
        times, values = (np.array([np.median(group) for group in one]) for one in groups)
    earlier, later = np.triu_indices(len(times), 1)
    apart = times[later] - times[earlier]
    slopes = np.sort(((values[later] - values[earlier])[apart > 0]) / apart[apart > 0])
    slope = float(np.median(slopes))
    at_0 = float(np.median(values - slope * times))
    half = _CONFIDENT * math.sqrt(_variance(times, values, slope))
    low, high = (len(slopes) - half) / 2, (len(slopes) + half) / 2
    # Ranks from 1 on: the low one is rounded down, the one above the high one up.
    return Trend(
        images,
        hours,
        at_0 + slope * float(first),
        at_0 + slope * float(last),
        slope,
        float(slopes[round(low) - 1]) if round(low) >= 1 else -math.inf,
        float(slopes[round(high)]) if round(high) < len(slopes) else math.inf,
    )


def _variance(times: Float64Array, values: Float64Array, slope: float) -> float:
    """Variance of the number of pairs that rise less those that fall, without a trend."""
    n = len(times)
    variance = n * (n - 1) * (2 * n + 5)
    for one in (times, values):
        ties = np.unique(one, return_counts=True)[1]
        variance -= int((ties * (ties - 1) * (2 * ties + 5)).sum())
    beside = values - slope * times
    beside -= beside[0]
    # The two numbers that the line goes through, or is parallel to, are equal but for rounding.
    beside = np.round(beside / max(float(np.abs(beside).max()), 1e-300), 9)
    _, place, ties = np.unique(beside, return_inverse=True, return_counts=True)
    # What is equal shares its ranks.
    ranks = (np.cumsum(ties) - ties / 2)[place.ravel()]
    beside = ranks - ranks.mean()
    squares = float(beside @ beside)
    if not squares:
        return 0.0
    r = float(beside[1:] @ beside[:-1]) / squares
    r = min(r + (2 + 4 * r) / n, _MOST_ALIKE)
    return variance / 18 * ((1 + r) / (1 - r) if r > 0 else 1.0)


def _hours(field: object) -> float:
    """Give the time of a file, such as 2026-01-31T23:59:59.123456789Z, in hours of all time."""
    text = str(field or "")
    try:
        # Of nanoseconds, the microseconds.
        moment = datetime.fromisoformat(text[:26] + "+00:00")
    except ValueError:
        return math.nan
    return moment.timestamp() / 3600


def _number(field: object) -> float:
    return math.nan if field in (None, "") else float(str(field))
