"""How right a model's levels are, and how well it knows: figures of predictions of known level.

An undefined prediction (a row of NaN: nothing to judge by) is wrong wherever right and wrong are
counted, and has certainty 0. Figures that need probabilities pass over it and say so. An argument
of another kind, shape or range raises `SettingsError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality import certainty as certainties
from microscope_quality.arguments import (
    as_a,
    as_array,
    as_count,
    as_floats,
    as_list,
    as_number,
    as_numbers,
)
from microscope_quality.errors import SettingsError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CALIBRATION_BINS = 15

_MOST_LEVELS = 1000
_MOST_BINS = 10**6
# Counts up to here are exact in floats.
_MOST_COUNT = 1e15


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of images, or of patches, whose level is known.

    Attributes
    ----------
    name : (n,) array of str
        Of the image that was judged, or that the patch was cut from.
    group : (n,) array of str
        What it shows, such as a stain; the part of the data that figures are given for.
    true : (n,) array of int
        The level that is right.
    probabilities : (n, K) array of float64
        Of the levels; rows of NaN where undefined.
    certainty : (n,) array of float64
        From 0 to 1; 0 where undefined.

    Raises
    ------
    SettingsError
        If the arrays are not equally long, or a true level is none of the K.
    """

    name: npt.NDArray[Any]
    group: npt.NDArray[Any]
    true: IntArray
    probabilities: FloatArray
    certainty: FloatArray

    def __post_init__(self) -> None:
        for name, array in (
            ("name", as_array("name", self.name)),
            ("group", as_array("group", self.group)),
            ("true", as_numbers("true", self.true, kinds="iu")),
            ("probabilities", certainties.as_probabilities(self.probabilities, of_patches=True)),
            ("certainty", as_floats("certainty", self.certainty, low=0, high=1, nan=False)),
        ):
            object.__setattr__(self, name, array)
        n = len(self.probabilities)
        if any(array.shape != (n,) for array in (self.name, self.group, self.true, self.certainty)):
            raise SettingsError(
                "Predictions must have a name, a group, a level and probabilities of each."
            )
        if n and not (self.true.min() >= 0 and self.true.max() < self.levels):
            raise SettingsError(
                f"True levels go from {self.true.min()} to {self.true.max()}, "
                f"but the probabilities are of levels 0 to {self.levels - 1}."
            )

    def __len__(self) -> int:
        return len(self.true)

    @property
    def levels(self) -> int:
        """Number of levels, K."""
        return int(self.probabilities.shape[1])

    @cached_property
    def level(self) -> FloatArray:
        """Most probable level of each, (n,) array; NaN where undefined."""
        return np.asarray(certainties.level(self.probabilities), np.float64)

    @cached_property
    def expected_level(self) -> FloatArray:
        """Mean of the level over its probabilities, (n,) array; NaN where undefined."""
        return np.asarray(certainties.expected_level(self.probabilities), np.float64)

    @property
    def undefined(self) -> int:
        """Number of predictions without probabilities."""
        return int(np.count_nonzero(np.isnan(self.level)))

    def wrong_by_more_than(self, tolerance: int) -> npt.NDArray[np.bool_]:
        """Tell which levels are further than ``tolerance`` from the true one, or undefined."""
        return ~(np.abs(self.level - self.true) <= as_number("tolerance", tolerance, 0))

    def select(self, chosen: npt.ArrayLike) -> Predictions:
        """Give some of the predictions: chosen by a mask, or by their numbers."""
        index = as_numbers("chosen", chosen, shape=(None,), kinds="biu")
        if index.dtype.kind == "b":
            as_numbers("chosen", index, shape=(len(self),))
        else:
            as_floats("chosen", index, low=-len(self), high=len(self) - 1)
        return Predictions(
            self.name[index],
            self.group[index],
            self.true[index],
            self.probabilities[index],
            self.certainty[index],
        )

    @classmethod
    def of(
        cls,
        name: Sequence[str],
        group: Sequence[str],
        true: npt.ArrayLike,
        probabilities: npt.ArrayLike,
        certainty: npt.ArrayLike | None = None,
    ) -> Predictions:
        """Make predictions from lists; the certainties follow from the probabilities."""
        p = certainties.as_probabilities(probabilities, of_patches=True)
        return cls(
            # Of objects: thousands of patches share the text of one name.
            np.array(as_list("name", name, "texts"), dtype=object),
            np.array(as_list("group", group, "texts"), dtype=object),
            as_numbers("true", true, kinds="iu").astype(np.int64),
            p,
            as_floats("certainty", certainties.certainty(p) if certainty is None else certainty),
        )


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Put predictions one after the other; at least one, all of the same levels."""
    parts = [as_a(Predictions, "A part", part) for part in as_list("parts", parts, "predictions")]
    if len({part.levels for part in parts}) != 1:
        raise SettingsError("Predictions to join must be one at least, all of the same levels.")
    return Predictions(
        *(
            np.concatenate([getattr(part, field) for part in parts])
            for field in ("name", "group", "true", "probabilities", "certainty")
        )
    )


def confusion(true: npt.ArrayLike, level: npt.ArrayLike, levels: int) -> IntArray:
    """Count the levels given by the levels that are right.

    Parameters
    ----------
    true : (n,) array of int
    level : (n,) array
        NaN where undefined: such a prediction is in no cell.
    levels : int
        K.

    Returns
    -------
    (K, K) array of int
        True level by row, given level by column.
    """
    levels = as_count("levels", levels, 1, _MOST_LEVELS)
    given = as_floats("level", level, shape=(None,), low=0, high=levels - 1)
    right = as_numbers("true", true, shape=given.shape, kinds="iu").astype(np.int64)
    as_floats("true", right, low=0, high=levels - 1)
    defined = ~np.isnan(given)
    counts = np.zeros((levels, levels), np.int64)
    np.add.at(counts, (right[defined], given[defined].astype(np.int64)), 1)
    return counts


def row_normalised(confusion: npt.ArrayLike) -> FloatArray:
    """Give each row of a confusion matrix as shares of its sum; NaN in a row without any."""
    counts = as_floats("confusion", confusion, shape=(None, None), low=0, high=_MOST_COUNT)
    total = counts.sum(axis=1, keepdims=True)
    shares: FloatArray = np.divide(
        counts, total, out=np.full(counts.shape, np.nan), where=total > 0
    )
    return shares


def within(confusion: npt.ArrayLike, undefined: int = 0) -> FloatArray:
    """Give the share of levels at most so far from the right one.

    Parameters
    ----------
    confusion : (K, K) array of int
    undefined : int
        Predictions that are in no cell, and count as wrong by any distance.

    Returns
    -------
    (K,) array of float64
        At index d the share with ``|level - true| <= d``: exact at 0, within one at 1. NaN without
        any prediction.
    """
    counts = _as_confusion(confusion)
    undefined = as_count("undefined", undefined)
    rows, columns = np.indices(counts.shape)
    at_distance = np.bincount(
        np.abs(rows - columns).ravel(), weights=counts.ravel(), minlength=len(counts)
    )
    total = counts.sum() + undefined
    if total == 0:
        return np.full(len(counts), np.nan)
    shares: FloatArray = np.cumsum(at_distance) / total
    return shares


def _as_confusion(confusion: npt.ArrayLike) -> FloatArray:
    counts = as_floats(
        "confusion", confusion, shape=(None, None), low=0, high=_MOST_COUNT, nan=False
    )
    if counts.shape[0] != counts.shape[1]:
        raise SettingsError(f"confusion must be a square, not of shape {counts.shape}.")
    return counts


def confusion_of(predictions: Predictions) -> IntArray:
    """Give the confusion matrix of predictions, (K, K)."""
    as_a(Predictions, "predictions", predictions)
    return confusion(predictions.true, predictions.level, predictions.levels)


def within_of(predictions: Predictions) -> FloatArray:
    """Give the accuracy by class distance of predictions, (K,); an undefined level is wrong."""
    return within(confusion_of(predictions), predictions.undefined)


def rps(true: npt.ArrayLike, probabilities: npt.ArrayLike) -> FloatArray:
    """Give ranked probability scores, ``Σ_k (CDF_p(k) − CDF_t(k))²``, not normalised.

    E. S. Epstein, Journal of Applied Meteorology 8:985 (1969), as Yang et al. use it for a loss.

    Parameters
    ----------
    true : (n,) array of int
    probabilities : (n, K) array

    Returns
    -------
    (n,) array of float64
        From 0 (certain and right) to K - 1; NaN where undefined.
    """
    p = certainties.as_probabilities(probabilities, of_patches=True)
    level = as_numbers("true", true, shape=(len(p),), kinds="iu")
    right = np.arange(p.shape[1]) >= level[:, np.newaxis]
    scores: FloatArray = np.square(np.cumsum(p, axis=1) - right).sum(axis=1)
    return scores


def mean_rps(predictions: Predictions) -> float:
    """Give the mean ranked probability score of those with probabilities; NaN without any."""
    as_a(Predictions, "predictions", predictions)
    scores = rps(predictions.true, predictions.probabilities)
    defined = scores[~np.isnan(scores)]
    return float(defined.mean()) if len(defined) else float("nan")


@dataclass(frozen=True, eq=False)
class Calibration:
    """How often a level is right, by the probability that the model gave it.

    Attributes
    ----------
    error : float
        Expected calibration error: mean over the predictions of the difference between their
        bin's accuracy and mean confidence. NaN without any.
    edges : (bins + 1,) array
        Of the bins of confidence, from 0 to 1.
    confidence, accuracy : (bins,) array
        Mean confidence of the bin, and share of its levels that are right; NaN in an empty one.
    count : (bins,) array of int
    """

    error: float
    edges: FloatArray
    confidence: FloatArray
    accuracy: FloatArray
    count: IntArray


def calibration(predictions: Predictions, bins: int = CALIBRATION_BINS) -> Calibration:
    """Compare confidence, the largest probability, with how often the level is exactly right.

    Equal bins over 0 to 1, open below, as C. Guo et al., ICML 2017 (arXiv:1706.04599), equations 2
    to 5. Predictions without probabilities are left out.
    """
    as_a(Predictions, "predictions", predictions)
    bins = as_count("bins", bins, 1, _MOST_BINS)
    defined = ~np.isnan(predictions.level)
    confidence = predictions.probabilities[defined].max(axis=1, initial=0)
    right = (predictions.level == predictions.true)[defined]
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)

    def mean(values: npt.NDArray[Any]) -> FloatArray:
        total = np.bincount(place, weights=values, minlength=bins)
        means: FloatArray = np.divide(total, count, out=np.full(bins, np.nan), where=count > 0)
        return means

    confidences, accuracies = mean(confidence), mean(right)
    error = float("nan")
    if len(confidence):
        error = float(np.nansum(count * np.abs(accuracies - confidences)) / len(confidence))
    return Calibration(error, edges, confidences, accuracies, count.astype(np.int64))


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """How wrong a model is when only its more certain predictions are believed.

    Attributes
    ----------
    coverage : (n,) array
        Share of the predictions believed, ``1/n`` to 1, the more certain first.
    risk : (n,) array
        Share of these that are wrong.
    certainty : (n,) array
        Of the least certain one believed.
    area : float
        Mean risk over the coverages; NaN without predictions.
    """

    coverage: FloatArray
    risk: FloatArray
    certainty: FloatArray
    area: float


def risk_coverage(predictions: Predictions, tolerance: int = 1) -> RiskCoverage:
    """Order predictions by certainty and follow the share that is wrong.

    Y. Geifman and R. El-Yaniv, NeurIPS 2017 (arXiv:1705.08500). Predictions of equal certainty are
    in random order: the risk is its mean over all orders of them.

    Parameters
    ----------
    predictions : Predictions
    tolerance : int
        Levels by which a right prediction may differ.
    """
    as_a(Predictions, "predictions", predictions)
    order = np.argsort(-predictions.certainty, kind="stable")
    wrong = predictions.wrong_by_more_than(tolerance)[order].astype(np.float64)
    believed = predictions.certainty[order]
    n = len(order)
    if not n:
        nothing = np.empty(0)
        return RiskCoverage(nothing, nothing, nothing, float("nan"))
    _, tie, ties = np.unique(-believed, return_inverse=True, return_counts=True)
    shared = (np.bincount(tie, weights=wrong) / ties)[tie]
    number = np.arange(1, n + 1)
    risk = np.cumsum(shared) / number
    return RiskCoverage(number / n, risk, believed, float(risk.mean()))


def within_of_certain_half(predictions: Predictions, tolerance: int = 1) -> float:
    """Give the share within ``tolerance`` of the more certain half; NaN without predictions."""
    if not len(as_a(Predictions, "predictions", predictions)):
        return float("nan")
    risk = risk_coverage(predictions, tolerance).risk
    return 1 - float(risk[(len(risk) + 1) // 2 - 1])


def summary(predictions: Predictions) -> dict[str, float]:
    """Give the main figures by name.

    Returns
    -------
    dict
        ``n``, ``undefined``; the shares ``exact`` and ``within_one``, of all and of the more
        certain half (``…_certain_half``); ``mean_rps``; ``calibration_error``;
        ``mean_certainty``; ``risk_area``, that under the risk-coverage curve of being within one.
    """
    shares = within_of(predictions)
    return {
        "n": len(predictions),
        "undefined": predictions.undefined,
        "exact": float(shares[0]),
        "within_one": float(shares[min(1, len(shares) - 1)]),
        "exact_certain_half": within_of_certain_half(predictions, 0),
        "within_one_certain_half": within_of_certain_half(predictions, 1),
        "mean_rps": mean_rps(predictions),
        "calibration_error": calibration(predictions).error,
        "mean_certainty": float(predictions.certainty.mean()) if len(predictions) else float("nan"),
        "risk_area": risk_coverage(predictions).area,
    }
