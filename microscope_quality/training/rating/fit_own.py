"""A lab's own score on top of a rater: a ridge regression on what it sees, cross-validated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microscope_quality.components import OUTPUTS
from microscope_quality.concordance import LOWEST_SCORE
from microscope_quality.errors import SettingsError
from microscope_quality.own_score import OwnScore, seen_by

Float64Array = NDArray[np.float64]

#: With fewer labelled patches nothing can be told of the error.
FEWEST_LABELS = 10
#: Folds of the cross-validation, unless there are fewer groups.
FOLDS = 10

_BENDS = 64
# What is tried: how sharply the bends bend, and how much they are held back.
_SHARPNESS = (0.25, 0.5, 1.0)
_PENALTIES = tuple(10.0 ** (0.5 * k) for k in range(-4, 7))
# The constant is free; a line costs less than bends.
_FREE, _OF_LINE = 1e-6, 0.3
_LEAST_SCALE = 1e-3


class OwnFit(NamedTuple):
    """A lab's own score and how far it is right.

    Attributes
    ----------
    score : OwnScore
        Of all labels.
    predicted : (n,) array
        What a score that had not seen the group of a labelled patch gives it.
    rmse, mae, plcc : float
        Of these: root mean square and mean absolute error, Pearson's correlation; NaN for one
        that is not defined.
    generic_plcc : float
        Correlation of the labels with the rater's own score, for comparison.
    """

    score: OwnScore
    predicted: Float64Array
    rmse: float
    mae: float
    plcc: float
    generic_plcc: float


def fit_own_score(
    outputs: Sequence[Float64Array],
    scores: Sequence[float],
    groups: Sequence[str],
    *,
    seed: int = 0,
) -> OwnFit:
    """Fit a lab's own score to labelled patches.

    Parameters
    ----------
    outputs : sequence of (m, 7) arrays
        What a rater sees of each labelled patch: the outputs of the model's patches in it.
    scores : sequence of float
        What the lab says of each, 0.1 to 1.
    groups : sequence of str
        Section, animal or folder of each; a group is never on both sides of a split.
    seed : int
        Of the bends and the folds.

    Returns
    -------
    OwnFit

    Raises
    ------
    SettingsError
        There are fewer than 10 labelled patches with content, fewer than two groups, or all have
        one score.

    Notes
    -----
    How far the regression may bend is chosen by leaving each group out in turn (all by the hat
    matrix, with one group at a time), within each fold anew: so the error that is told is of
    labels that nothing was chosen on.
    """
    kept = [k for k, one in enumerate(outputs) if len(one) and not np.isnan(one).any()]
    if len(kept) < FEWEST_LABELS:
        raise SettingsError(
            f"labels must be of {FEWEST_LABELS} patches with content at least; there are "
            f"{len(kept)}."
        )
    seen = [np.asarray(outputs[k], np.float64) for k in kept]
    wanted = np.array([float(scores[k]) for k in kept])
    _, group = np.unique([groups[k] for k in kept], return_inverse=True)
    if wanted.std() == 0:
        raise SettingsError(f"labels must have different scores; all are {wanted[0]:g}.")
    number = int(group.max()) + 1
    if number < 2:
        raise SettingsError("group_by must tell two groups at least, to hold one out; it tells 1.")
    rng = np.random.default_rng(seed)
    bends = rng.normal(size=(len(OUTPUTS) + 1, _BENDS))
    fold_of = rng.permutation(number) % min(FOLDS, number)
    predicted = np.empty(len(wanted))
    for fold in range(fold_of.max() + 1):
        out = fold_of[group] == fold
        inside = [one for one, is_out in zip(seen, out) if not is_out]
        fitted = _fitted(inside, wanted[~out], group[~out], bends)
        held = np.array([fitted.of(one).mean() for one, is_out in zip(seen, out) if is_out])
        predicted[out] = held
    errors = predicted - wanted
    rmse = float(np.sqrt(np.mean(errors**2)))
    final = _fitted(seen, wanted, group, bends)
    generic = np.array([one[:, 0].mean() for one in seen])
    return OwnFit(
        OwnScore(final.centre, final.scale, final.hidden, final.readout, min(rmse, 1.0)),
        predicted,
        rmse,
        float(np.abs(errors).mean()),
        _correlation(predicted, wanted),
        _correlation(generic, wanted),
    )


def _fitted(
    seen: Sequence[Float64Array],
    wanted: Float64Array,
    group: NDArray[np.intp],
    bends: Float64Array,
) -> OwnScore:
    """Fit with the sharpness and penalty that leave the least error on groups left out."""
    every = np.concatenate(seen)
    centre, scale = every.mean(axis=0), every.std(axis=0) + _LEAST_SCALE
    best: tuple[float, Float64Array, Float64Array] | None = None
    for sharpness in _SHARPNESS:
        hidden = sharpness * bends
        x = np.stack([seen_by(one, centre, scale, hidden).mean(axis=0) for one in seen])
        cost = np.ones(x.shape[1])
        cost[: len(OUTPUTS) + 1] = _OF_LINE
        cost[0] = _FREE
        scaled = x / np.sqrt(cost)
        for penalty in _PENALTIES:
            error, solved = _left_out(scaled, wanted, group, penalty)
            if best is None or error < best[0]:
                best = error, hidden, solved / np.sqrt(cost)
    assert best is not None
    return OwnScore(centre, scale, best[1], best[2], 0.0)


def _left_out(
    x: Float64Array, y: Float64Array, group: NDArray[np.intp], penalty: float
) -> tuple[float, Float64Array]:
    """Mean square error on groups left out, and the regression on all.

    With the hat matrix H, the residuals of a group g that was left out are
    ``(1 - H_gg)^-1 (y - H y)_g``.
    """
    solved = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T)
    hat = x @ solved
    residuals = y - hat @ y
    total = 0.0
    for one in np.unique(group):
        own = np.flatnonzero(group == one)
        left = np.linalg.solve(np.eye(len(own)) - hat[np.ix_(own, own)], residuals[own])
        # A score beyond its ends is cut there.
        guessed = np.clip(y[own] - left, LOWEST_SCORE, 1)
        total += float(((guessed - y[own]) ** 2).sum())
    return total / len(y), solved @ y


def _correlation(a: Float64Array, b: Float64Array) -> float:
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
