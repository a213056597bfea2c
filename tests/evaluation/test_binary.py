"""Thresholds and F-scores, against trying every threshold and counting by hand."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microscope_quality.errors import SettingsError
from microscope_quality.evaluation.binary import (
    ScoreThreshold,
    balanced,
    binary_class,
    binary_result,
    f_score,
    threshold_of,
)


def counted_f(said, truth):
    both = sum(s and t for s, t in zip(said, truth))
    false = sum(s and not t for s, t in zip(said, truth))
    missed = sum(t and not s for s, t in zip(said, truth))
    return 2 * both / (2 * both + false + missed)


def test_levels_fall_into_classes():
    assert binary_class(np.arange(11)).tolist() == [1, 1, 1, -1, 0, 0, 0, 0, 0, 0, 0]


def test_f_score_by_hand():
    scores, positive = [0.1, 0.2, 0.3, 0.4, np.nan], [True, False, True, True, True]
    # Below 0.35: two of the four in focus, and one that is not.
    assert f_score(scores, positive, ScoreThreshold(0.35, below=True)) == pytest.approx(4 / 7)
    assert f_score(scores, positive, ScoreThreshold(0.25, below=False)) == pytest.approx(4 / 6)
    assert np.isnan(f_score([1.0], [False], ScoreThreshold(0, below=True)))


SCORES = st.one_of(
    st.integers(-3, 3).map(float),
    st.floats(-1e308, 1e308),
    st.sampled_from([np.nan, np.inf, -np.inf, 5e-324, 0.0]),
)


# A busy machine is no failure.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=12))
def test_no_threshold_is_better(pairs):
    scores, positive = np.array([s for s, _ in pairs]), np.array([p for _, p in pairs])
    if not positive.any():
        with pytest.raises(SettingsError, match="in focus"):
            threshold_of(scores, positive)
        return
    found = threshold_of(scores, positive)
    best = f_score(scores, positive, found)
    finite = np.isfinite(scores)
    for value in {*scores[finite].tolist()}:
        for said in (scores < value, scores <= value, scores > value, scores >= value):
            assert best >= counted_f(said & finite, positive) - 1e-12
    assert best == pytest.approx(counted_f(found.positive(scores), positive))


def test_a_threshold_lies_in_the_middle_of_the_gap():
    found = threshold_of([1, 2, 10, 11], [True, True, False, False])
    assert found == ScoreThreshold(6.0, below=True)
    found = threshold_of([1, 2, 10, 11], [False, False, True, True])
    assert found == ScoreThreshold(6.0, below=False)


def by_level(rng, n=40):
    true = rng.integers(11, size=n)
    return true, true + rng.normal(0, 3, n)


def test_a_balanced_draw_takes_every_level_alike():
    # As many images at each level: what is taken at a fixed stride would miss levels.
    true = np.tile(np.arange(11), 70)
    inside, outside = balanced(true, np.random.default_rng(0))
    assert len(inside) == len(outside) == len(set(outside)) == 210
    assert sorted(inside) == np.flatnonzero(true <= 2).tolist()
    # 30 of each of seven levels on average, with a standard deviation of 4.
    counts = np.bincount(true[outside], minlength=11)
    assert counts[:4].tolist() == [0, 0, 0, 0]
    assert counts[4:].min() > 15
    assert counts[4:].max() < 45


def test_the_protocol_is_what_a_plain_loop_gives():
    true, scores = by_level(np.random.default_rng(1), 60)
    found = binary_result("m", "image", scores, true, seeds=7, fraction=0.25)
    inside, outside = np.flatnonzero(true <= 2), np.flatnonzero(true >= 4)
    n = min(len(inside), len(outside))
    chosen = round(0.25 * n)
    f = []
    for seed in range(7):
        rng = np.random.default_rng(seed)
        drawn = [rng.permutation(inside)[:n], rng.permutation(outside)[:n]]
        choose = np.concatenate([d[:chosen] for d in drawn])
        judge = np.concatenate([d[chosen:] for d in drawn])
        threshold = threshold_of(scores[choose], true[choose] <= 2)
        f.append(counted_f(threshold.positive(scores[judge]), true[judge] <= 2))
    assert found.f == pytest.approx(np.mean(f))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(f, [0.025, 0.975])))
    assert found.n == 2 * n
    assert found.below


def test_perfect_and_useless_measures():
    true = np.repeat(np.arange(11), 20)
    focused = true <= 2
    for scores, below in ((np.where(focused, 2, 3), True), (np.where(focused, 5, -5), False)):
        found = binary_result("m", "image", scores, true)
        assert (found.f, found.low, found.high) == (1, 1, 1)
        assert found.below is below
    # Saying "in focus" to all gives F = 2/3 when half of them are.
    useless = binary_result("m", "image", np.ones(220), true)
    assert useless.f == pytest.approx(2 / 3)


def test_the_unit_of_the_scores_changes_nothing():
    true, scores = by_level(np.random.default_rng(2))
    one = binary_result("m", "patch", scores, true)
    other = binary_result("m", "patch", 8 * scores - 64, true)
    assert (other.f, other.low, other.high) == pytest.approx((one.f, one.low, one.high))


def test_undefined_scores_are_out_of_focus():
    true = np.repeat([0, 9], 30)
    scores = np.where(true == 0, 1.0, np.nan)
    found = binary_result("m", "image", scores, true)
    assert found.f == 1
    assert found.undefined == 30
    assert binary_result("m", "image", np.where(true == 0, np.nan, 1.0), true).f < 0.7


def test_too_few_give_no_result():
    assert binary_result("m", "image", [1.0, 2, 3], [0, 9, 9]) is None
    assert binary_result("m", "image", [1.0, 2, 3], [3, 3, 3]) is None
