"""How well the scores of raters repeat, and how well raters agree with each other.

The intraclass correlations are those of Shrout and Fleiss: Psychological Bulletin 86 (1979),
420-428, with the intervals of McGraw and Wong: Psychological Methods 1 (1996), 30-46.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality.arguments import as_a, as_floats, as_list
from microscope_quality.errors import SettingsError
from microscope_quality.rating.labels import Label, holding

#: Confidence of intervals.
CONFIDENCE = 0.95
#: Images of which raters say the most different things that are named.
MOST_DISPUTED = 12

Place = tuple[str, "int | None", "int | None", "int | None"]


@dataclass(frozen=True)
class Correlation:
    """An intraclass correlation with its interval; NaN where it is not defined.

    Attributes
    ----------
    value, low, high : float
        At most 1; 0 or below where raters agree no better than by chance.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Intraclass:
    """How far a table of scores, without gaps, tells images and not raters apart.

    Attributes
    ----------
    images, raters : int
        Rows and columns of the table.
    single : Correlation
        ICC(2,1): of the scores of one rater, of whom others could be in the place.
    mean : Correlation
        ICC(2,k): of the mean of as many raters.
    between_images, between_raters, error : float
        Mean squares of the analysis of variance: BMS, JMS and EMS of the paper.
    """

    images: int
    raters: int
    single: Correlation
    mean: Correlation
    between_images: float
    between_raters: float
    error: float


@dataclass(frozen=True)
class RaterFigures:
    """One rater.

    Attributes
    ----------
    name : str
    scores : tuple of float
        Of what was shown for the first time.
    skipped : int
        What was skipped of that.
    offset : float
        Mean of own score less that of the others, over images that others scored too; NaN without
        any.
    in_common : int
        How many these are.
    repeats : tuple of (float, float)
        First and second score of what was shown twice.
    repeat_error : float
        Standard deviation of one score about what the rater means: that of the differences of
        first and second score, divided by √2; NaN with less than two repeats.
    repeat_low, repeat_high : float
        Interval of it, for normal errors.
    repeat_shift : float
        Mean of second less first score; NaN without repeats.
    seconds : float
        Median time for an answer; NaN if it is not known.
    """

    name: str
    scores: tuple[float, ...]
    skipped: int
    offset: float
    in_common: int
    repeats: tuple[tuple[float, float], ...]
    repeat_error: float
    repeat_low: float
    repeat_high: float
    repeat_shift: float
    seconds: float


@dataclass(frozen=True)
class PairFigures:
    """Two raters, over what both scored.

    Attributes
    ----------
    one, other : str
        Their names.
    images : int
        What both scored.
    correlation : Correlation
        ICC(2,1) of the two.
    difference : float
        Mean of the first one's score less the second one's.
    limits : float
        Standard deviation of these differences.
    """

    one: str
    other: str
    images: int
    correlation: Correlation
    difference: float
    limits: float


@dataclass(frozen=True)
class Disputed:
    """An image, or a patch of one, of which raters say different things.

    Attributes
    ----------
    place : tuple
        Image, y, x and size.
    scores : dict of str to float
        By rater.
    spread : float
        Standard deviation of the scores.
    """

    place: Place
    scores: Mapping[str, float]
    spread: float


@dataclass(frozen=True)
class Agreement:
    """How raters agree.

    Attributes
    ----------
    images : int
        Images or patches that have a score.
    raters : tuple of RaterFigures
        By name.
    all : Intraclass
        Over what all raters scored.
    pairs : tuple of PairFigures
        All pairs with something in common.
    spread : float
        Standard deviation of raters' scores about their mean, over what two or more scored: the
        root of the mean of the variances; NaN without any.
    shared : int
        How many these are.
    disputed : tuple of Disputed
        Those with the largest spread, beginning with it.
    """

    images: int
    raters: tuple[RaterFigures, ...]
    all: Intraclass
    pairs: tuple[PairFigures, ...]
    spread: float
    shared: int
    disputed: tuple[Disputed, ...]


def intraclass(scores: ArrayLike) -> Intraclass:
    """Give ICC(2,1) and ICC(2,k): two-way random effects, absolute agreement.

    Parameters
    ----------
    scores : (n, k) array
        Of n images by k raters, without gaps.

    Returns
    -------
    Intraclass
        Correlations are NaN with fewer than two images or raters, or when all scores are one.

    Raises
    ------
    SettingsError
        It is no such array, or has values that are no finite numbers.

    Notes
    -----
    With BMS, JMS and EMS the mean squares between images, between raters and of the rest
    (Shrout and Fleiss 1979, case 2)::

        ICC(2,1) = (BMS - EMS) / (BMS + (k - 1) EMS + k (JMS - EMS) / n)
        ICC(2,k) = (BMS - EMS) / (BMS + (JMS - EMS) / n)
    """
    table = as_floats("scores", scores, shape=(None, None), nan=False)
    if not np.isfinite(table).all():
        raise SettingsError("scores must be finite numbers.")
    n, k = table.shape
    if n < 2 or k < 2:
        return Intraclass(n, k, Correlation(), Correlation(), math.nan, math.nan, math.nan)
    mean = table.mean()
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    bms = k * float(np.sum((rows - mean) ** 2)) / (n - 1)
    jms = n * float(np.sum((columns - mean) ** 2)) / (k - 1)
    rest = table - rows[:, np.newaxis] - columns + mean
    ems = float(np.sum(rest**2)) / ((n - 1) * (k - 1))
    below = bms + (k - 1) * ems + k * (jms - ems) / n
    # What rounding leaves of scores that are all equal is no variance.
    if below <= 1e-20 * max(1.0, mean * mean):
        return Intraclass(n, k, Correlation(), Correlation(), bms, jms, ems)
    single = (bms - ems) / below
    below_mean = bms + (jms - ems) / n
    mean_of_k = (bms - ems) / below_mean if below_mean > 0 else math.nan
    low, high = _interval(n, k, single, bms, jms, ems)

    def stepped_up(value: float) -> float:
        """Spearman and Brown: of one rater to k."""
        share = 1 + (k - 1) * value
        return k * value / share if share > 0 else -math.inf

    return Intraclass(
        n,
        k,
        Correlation(single, low, high),
        Correlation(mean_of_k, stepped_up(low), stepped_up(high)),
        bms,
        jms,
        ems,
    )


def _interval(
    n: int, k: int, single: float, bms: float, jms: float, ems: float
) -> tuple[float, float]:
    """Interval of ICC(2,1), by the degrees of freedom of Satterthwaite."""
    from scipy.stats import f

    if single >= 1:
        return 1.0, 1.0
    a = k * single / (n * (1 - single))
    b = 1 + k * single * (n - 1) / (n * (1 - single))
    below = (a * jms) ** 2 / (k - 1) + (b * ems) ** 2 / ((n - 1) * (k - 1))
    if below <= 0:
        return math.nan, math.nan
    v = (a * jms + b * ems) ** 2 / below
    if not v > 0:
        return math.nan, math.nan
    level = (1 + CONFIDENCE) / 2
    down, up = float(f.ppf(level, n - 1, v)), float(f.ppf(level, v, n - 1))
    rest = k * jms + (k * n - k - n) * ems
    return (
        n * (bms - down * ems) / (down * rest + n * bms),
        n * (up * bms - ems) / (rest + n * up * bms),
    )


def agreement(labels: Sequence[Label]) -> Agreement:
    """Compare the scores of raters.

    Parameters
    ----------
    labels : sequence of Label
        All rows, as `labels.read_rows` gives them; the last one of a question holds.

    Returns
    -------
    Agreement

    Raises
    ------
    SettingsError
        None has a score.
    """
    labels = [as_a(Label, "labels", label) for label in as_list("labels", labels, "labels")]
    held = list(holding(labels).values())
    if all(label.is_skipped for label in held):
        raise SettingsError("labels must have scores, and none of them has one.")
    first: dict[Place, dict[str, float]] = defaultdict(dict)
    second: dict[tuple[Place, str], float] = {}
    of_rater: dict[str, list[Label]] = defaultdict(list)
    for label in held:
        of_rater[label.rater].append(label)
        if label.is_skipped:
            continue
        if label.repeat:
            second[label.place, label.rater] = label.score
        else:
            first[label.place][label.rater] = label.score
    names = sorted(of_rater, key=str.casefold)
    shared = {place: told for place, told in first.items() if len(told) > 1}
    variances = {place: float(np.var([*told.values()], ddof=1)) for place, told in shared.items()}
    disputed = sorted(variances, key=lambda place: (-variances[place], str(place)))
    return Agreement(
        images=len(first),
        raters=tuple(_of_rater(name, of_rater[name], first, second) for name in names),
        all=intraclass(_in_common(first, names)),
        pairs=tuple(
            _of_pair(one, other, table)
            for one, other in itertools.combinations(names, 2)
            if len(table := _in_common(first, (one, other)))
        ),
        spread=math.sqrt(np.mean([*variances.values()])) if variances else math.nan,
        shared=len(shared),
        disputed=tuple(
            Disputed(place, dict(sorted(shared[place].items())), math.sqrt(variances[place]))
            for place in disputed[:MOST_DISPUTED]
            if variances[place] > 0
        ),
    )


def _in_common(first: Mapping[Place, Mapping[str, float]], names: Sequence[str]) -> NDArray[Any]:
    rows = [
        [told[name] for name in names]
        for told in first.values()
        if all(name in told for name in names)
    ]
    return np.array(rows, np.float64).reshape(-1, len(names))


def _of_pair(one: str, other: str, table: NDArray[Any]) -> PairFigures:
    differences = table[:, 0] - table[:, 1]
    return PairFigures(
        one,
        other,
        len(table),
        intraclass(table).single,
        float(differences.mean()),
        float(differences.std(ddof=1)) if len(table) > 1 else math.nan,
    )


def _of_rater(
    name: str,
    labels: Sequence[Label],
    first: Mapping[Place, Mapping[str, float]],
    second: Mapping[tuple[Place, str], float],
) -> RaterFigures:
    offsets = []
    for told in first.values():
        others = [score for rater, score in told.items() if rater != name]
        if name in told and others:
            offsets.append(told[name] - float(np.mean(others)))
    repeats = tuple(
        (first[place][name], score)
        for (place, rater), score in second.items()
        if rater == name and name in first.get(place, {})
    )
    error, low, high = _repeat_error([later - earlier for earlier, later in repeats])
    seconds = [label.seconds for label in labels if not math.isnan(label.seconds)]
    once = [label for label in labels if not label.repeat]
    return RaterFigures(
        name=name,
        scores=tuple(label.score for label in once if not label.is_skipped),
        skipped=sum(label.is_skipped for label in once),
        offset=float(np.mean(offsets)) if offsets else math.nan,
        in_common=len(offsets),
        repeats=repeats,
        repeat_error=error,
        repeat_low=low,
        repeat_high=high,
        repeat_shift=float(np.mean([b - a for a, b in repeats])) if repeats else math.nan,
        seconds=float(np.median(seconds)) if seconds else math.nan,
    )


def _repeat_error(differences: Sequence[float]) -> tuple[float, float, float]:
    """Standard deviation of one of two scores from their differences, and its interval."""
    from scipy.stats import chi2

    free = len(differences) - 1
    if free < 1:
        return math.nan, math.nan, math.nan
    error = float(np.std(differences, ddof=1)) / math.sqrt(2)
    level = (1 - CONFIDENCE) / 2
    low, high = (error * math.sqrt(free / float(chi2.ppf(q, free))) for q in (1 - level, level))
    return error, low, high
