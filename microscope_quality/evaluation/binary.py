"""In focus or not: the protocol of Bray et al. for focus measures of any kind.

M.-A. Bray, A. N. Fraser, T. P. Hasaka and A. E. Carpenter, Journal of Biomolecular Screening 17:266
(2012), as Yang et al. (BMC Bioinformatics 19:77, 2018) use it: a measure is a number for each
image, its threshold is chosen on a tenth of the images, and judged on the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microscope_quality.errors import SettingsError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Levels that are in focus, and those that are not; level 3 is neither.
IN_FOCUS = (0, 1, 2)
OUT_OF_FOCUS = (4, 5, 6, 7, 8, 9, 10)
CHOSEN_FRACTION = 0.1
SEEDS = 50


@dataclass(frozen=True)
class ScoreThreshold:
    """Where a measure divides in focus from out of focus.

    Attributes
    ----------
    value : float
    below : bool
        Scores under the value are in focus; else those above it. A score that is equal, or is no
        finite number, is out of focus.
    """

    value: float
    below: bool

    def positive(self, scores: npt.ArrayLike) -> BoolArray:
        """Tell which scores are in focus."""
        s = _finite(scores)
        return np.asarray(s < self.value if self.below else s > self.value, np.bool_)


@dataclass(frozen=True, eq=False)
class BinaryResult:
    """How well a measure tells in focus from out of focus.

    Attributes
    ----------
    measure : str
        A model's name, or a key of the classical measures.
    per : str
        ``"image"`` or ``"patch"``.
    n : int
        Images or patches in a seed's draw, half of them in focus.
    f : float
        Mean F-score over the seeds, on what the threshold was not chosen from.
    low, high : float
        The interval that holds the middle 95 % of the seeds' F-scores (their 2.5 % and 97.5 %
        quantiles): wider than the uncertainty of their mean, since the seeds share the images.
    threshold : float
        Median of the seeds' thresholds.
    below : bool
        In focus is below the threshold, in most seeds.
    undefined : int
        Scores that are no finite numbers, among all that could be drawn.
    """

    measure: str
    per: str
    n: int
    f: float
    low: float
    high: float
    threshold: float
    below: bool
    undefined: int


def binary_class(true: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Give 1 for levels in focus (0 to 2), 0 out of focus (4 to 10), -1 for neither (3)."""
    level = np.asarray(true)
    return np.where(np.isin(level, IN_FOCUS), 1, np.where(np.isin(level, OUT_OF_FOCUS), 0, -1))


def balanced(true: npt.ArrayLike, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Draw as many in focus as out of focus, all of the rarer ones.

    Parameters
    ----------
    true : (n,) array of int
        Levels.
    rng : numpy.random.Generator

    Returns
    -------
    (2, m) array
        Numbers of those in focus, and of those out of focus, in random order.
    """
    kind = binary_class(true)
    inside, outside = np.flatnonzero(kind == 1), np.flatnonzero(kind == 0)
    n = min(len(inside), len(outside))
    return np.stack([rng.permutation(members)[:n] for members in (inside, outside)])


def threshold_of(scores: npt.ArrayLike, positive: npt.ArrayLike) -> ScoreThreshold:
    """Find the threshold, and its direction, of the best F-score.

    Candidates lie midway between neighbouring scores, and below and above all of them. Of those
    that are equally good the middle one is taken, and below before above.

    Parameters
    ----------
    scores : (n,) array
        Those that are no finite numbers are out of focus whatever the threshold.
    positive : (n,) array of bool
        In focus.

    Raises
    ------
    SettingsError
        Without any score in focus.
    """
    s, truth = _finite(scores), np.asarray(positive, np.bool_)
    total = int(np.count_nonzero(truth))
    if total == 0:
        raise SettingsError("A threshold needs examples in focus; there is none.")
    defined = ~np.isnan(s)
    values, index = np.unique(s[defined], return_inverse=True)
    if not len(values):
        return ScoreThreshold(float("-inf"), below=True)
    right = np.bincount(index, weights=truth[defined], minlength=len(values))
    every = np.bincount(index, minlength=len(values))
    # Halves, as the sum of two of the largest numbers is none.
    between = values[:-1] / 2 + values[1:] / 2
    # Of neighbours that nothing lies between, the midpoint may round to the lower one.
    between = np.where(between > values[:-1], between, values[1:])
    candidates = np.concatenate([[-np.inf], between, [np.inf]])
    found: list[tuple[float, int, bool]] = []
    for below in (True, False):
        # At candidate i the scores values[:i] are below, and values[i:] above.
        taken_right = np.concatenate([[0], np.cumsum(right)])
        taken = np.concatenate([[0], np.cumsum(every)])
        if not below:
            taken_right, taken = taken_right[-1] - taken_right, taken[-1] - taken
        f = 2 * taken_right / (taken + total)
        best = np.flatnonzero(f >= f.max() - 1e-12)
        found.append((float(f.max()), int(best[(len(best) - 1) // 2]), below))
    f_below, f_above = found
    _, place, below = f_above if f_above[0] > f_below[0] + 1e-12 else f_below
    if not below and 0 < place < len(candidates) - 1 and candidates[place] == values[place]:
        # The comparison is strict: what equals the candidate has to be above it.
        return ScoreThreshold(float(values[place - 1]), below)
    return ScoreThreshold(float(candidates[place]), below)


def f_score(scores: npt.ArrayLike, positive: npt.ArrayLike, threshold: ScoreThreshold) -> float:
    """Give the F-score, 2·TP / (2·TP + FP + FN), of "in focus"; NaN when nothing is or is said."""
    said, truth = threshold.positive(scores), np.asarray(positive, np.bool_)
    both = int(np.count_nonzero(said & truth))
    either = int(np.count_nonzero(said)) + int(np.count_nonzero(truth))
    return 2 * both / either if either else float("nan")


def binary_result(
    measure: str,
    per: str,
    scores: npt.ArrayLike,
    true: npt.ArrayLike,
    *,
    seeds: int = SEEDS,
    fraction: float = CHOSEN_FRACTION,
) -> BinaryResult | None:
    """Judge a measure by the protocol.

    In every seed as many are drawn from the levels in focus as from those out of focus, all of
    the rarer ones; of both, a tenth (one at least) is for choosing the threshold and its direction,
    and the others give the F-score. The draws depend on the levels only: all measures get the same.

    Parameters
    ----------
    measure, per : str
        For the result.
    scores : (n,) array
        The measure's.
    true : (n,) array of int
        Levels.
    seeds : int
    fraction : float
        Share from which the threshold is chosen.

    Returns
    -------
    BinaryResult or None
        None with fewer than 2 in focus, or out of focus.
    """
    s, kind = _finite(scores), binary_class(true)
    n = min(np.count_nonzero(kind == 1), np.count_nonzero(kind == 0))
    if n < 2:
        return None
    chosen = min(max(1, round(fraction * n)), n - 1)
    f, thresholds = np.empty(seeds), []
    for seed in range(seeds):
        drawn = balanced(true, np.random.default_rng(seed))
        choosing, judging = drawn[:, :chosen].ravel(), drawn[:, chosen:].ravel()
        threshold = threshold_of(s[choosing], kind[choosing] == 1)
        f[seed] = f_score(s[judging], kind[judging] == 1, threshold)
        thresholds.append(threshold)
    below = sum(threshold.below for threshold in thresholds) * 2 >= seeds
    low, high = np.quantile(f, (0.025, 0.975))
    values = [threshold.value for threshold in thresholds if threshold.below == below]
    return BinaryResult(
        measure=measure,
        per=per,
        n=2 * n,
        f=float(f.mean()),
        low=float(low),
        high=float(high),
        # The lower middle one: a mean with an infinite one says nothing.
        threshold=float(np.sort(values)[(len(values) - 1) // 2]),
        below=below,
        undefined=int(np.count_nonzero(np.isnan(s[kind >= 0]))),
    )


def _finite(scores: npt.ArrayLike) -> FloatArray:
    s = np.array(scores, np.float64)
    s[~np.isfinite(s)] = np.nan
    return s
