"""Figures of predictions, against hand-computed numbers and plain loops."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microscope_quality import metrics
from microscope_quality.errors import SettingsError
from microscope_quality.metrics import Predictions

# A busy machine is no failure.
at_ease = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def predictions(true, probabilities, certainty=None):
    n = len(true)
    return Predictions.of(["a"] * n, ["g"] * n, true, probabilities, certainty)


def one_hot(levels, k=11):
    return np.array(
        [np.full(k, np.nan) if level is None else np.eye(k)[level] for level in levels]
    ).reshape(-1, k)


def random_predictions(rng, n, k=5):
    p = rng.dirichlet(np.full(k, 0.5), n)
    p[rng.random(n) < 0.1] = np.nan
    return predictions(rng.integers(k, size=n), p)


def test_levels_and_certainties_follow_from_the_probabilities():
    given_ = predictions([0, 1, 2], [[0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3], [np.nan] * 3])
    np.testing.assert_allclose(given_.level, [0, 0, np.nan])
    np.testing.assert_allclose(given_.expected_level, [0.5, 1, np.nan])
    np.testing.assert_allclose(
        given_.certainty, [1 - np.log(2) / np.log(3), 0, 0], rtol=0, atol=1e-12
    )
    assert given_.undefined == 1


def test_what_cannot_be_predictions_is_refused():
    with pytest.raises(SettingsError, match="levels 0 to 2"):
        predictions([3], [[1, 0, 0]])
    with pytest.raises(SettingsError, match="of each"):
        Predictions.of(["a"], ["g"], [0, 1], [[1.0, 0], [0, 1]])


def test_confusion_and_shares_by_hand():
    true, level = [0, 0, 0, 1, 2, 2], [0, 1, np.nan, 1, 0, 2]
    counts = metrics.confusion(true, level, 3)
    np.testing.assert_array_equal(counts, [[1, 1, 0], [0, 1, 0], [1, 0, 1]])
    np.testing.assert_allclose(
        metrics.row_normalised([[1, 3, 0], [0, 0, 0], [0, 0, 5]]),
        [[0.25, 0.75, 0], [np.nan] * 3, [0, 0, 1]],
    )
    np.testing.assert_allclose(metrics.within(counts, 1), [3 / 6, 4 / 6, 5 / 6])
    assert np.isnan(metrics.within(np.zeros((3, 3), int))).all()


@at_ease
@given(st.integers(0, 2**32))
def test_shares_within_a_distance_are_what_counting_gives(seed):
    p = random_predictions(np.random.default_rng(seed), 23)
    for distance, share in enumerate(metrics.within_of(p)):
        near = [abs(level - true) <= distance for true, level in zip(p.true, p.level)]
        assert share == pytest.approx(sum(near) / 23)


def test_ranked_probability_scores_by_hand():
    p = [[0.2, 0.3, 0.5], [0, 0, 1], [1, 0, 0], [np.nan] * 3]
    scores = metrics.rps([1, 2, 2, 0], p)
    # Cumulative 0.2, 0.5, 1 against 0, 1, 1; right and sure; sure and as wrong as can be.
    np.testing.assert_allclose(scores, [0.04 + 0.25, 0, 2, np.nan])
    assert metrics.mean_rps(predictions([1, 2, 2, 0], p)) == pytest.approx(2.29 / 3)
    assert np.isnan(metrics.mean_rps(predictions([0], [[np.nan] * 3])))


@at_ease
@given(st.integers(0, 2**32))
def test_the_score_of_a_distribution_is_the_mean_distance_less_half_the_spread(seed):
    # E|X - t| - E|X - X'| / 2: the continuous score's other form (Gneiting and Raftery 2007).
    rng = np.random.default_rng(seed)
    p, true = rng.dirichlet(np.ones(6)), int(rng.integers(6))
    levels = np.arange(6)
    spread = p @ np.abs(levels[:, None] - levels) @ p
    expected = p @ np.abs(levels - true) - spread / 2
    assert metrics.rps([true], p[None])[0] == pytest.approx(expected, abs=1e-12)


def test_calibration_by_hand():
    p = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55], [np.nan] * 2]
    found = metrics.calibration(predictions([0, 1, 1, 0, 0], p), bins=4)
    np.testing.assert_array_equal(found.count, [0, 0, 2, 2])
    np.testing.assert_allclose(found.edges, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.confidence, [np.nan, np.nan, 0.625, 0.85])
    np.testing.assert_allclose(found.accuracy, [np.nan, np.nan, 0.5, 0.5])
    assert found.error == pytest.approx((2 * 0.125 + 2 * 0.35) / 4)


def test_bins_are_open_below_and_closed_above():
    p = [[0.5, 0.5], [1.0, 0.0], [0.75, 0.25]]
    np.testing.assert_array_equal(
        metrics.calibration(predictions([0] * 3, p), 4).count, [0, 1, 1, 1]
    )


def test_calibration_of_nothing():
    found = metrics.calibration(predictions([], np.empty((0, 11))))
    assert len(found.count) == 15
    assert found.count.sum() == 0
    assert np.isnan(found.error)
    with pytest.raises(SettingsError, match="bins must be a whole number from 1"):
        metrics.calibration(predictions([], np.empty((0, 11))), 0)


def test_risk_is_the_mean_over_the_orders_of_equal_certainties():
    true = [0, 0, 0, 0, 0]
    level, certainty = [0, 5, 0, 5, None], [0.9, 0.5, 0.5, 0.5, 0.0]
    found = metrics.risk_coverage(predictions(true, one_hot(level), certainty))
    wrong = np.array([0, 1, 0, 1, 1.0])
    orders = [[0, *middle, 4] for middle in itertools.permutations([1, 2, 3])]
    expected = np.mean([np.cumsum(wrong[order]) / np.arange(1, 6) for order in orders], axis=0)
    np.testing.assert_allclose(found.risk, expected)
    np.testing.assert_allclose(found.coverage, [0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(found.certainty, [0.9, 0.5, 0.5, 0.5, 0])
    assert found.area == pytest.approx(expected.mean())


def test_risk_counts_what_is_further_than_the_tolerance():
    p = predictions([3, 3, 3, 3], one_hot([3, 4, 5, 1]), [0.9, 0.8, 0.7, 0.6])
    np.testing.assert_allclose(metrics.risk_coverage(p, 0).risk, [0, 1 / 2, 2 / 3, 3 / 4])
    np.testing.assert_allclose(metrics.risk_coverage(p, 1).risk, [0, 0, 1 / 3, 2 / 4])
    assert len(metrics.risk_coverage(p.select([])).risk) == 0


def test_the_certain_half_is_rounded_up():
    p = predictions([3, 3, 3], one_hot([3, 6, 3]), [0.9, 0.8, 0.7])
    assert metrics.within_of_certain_half(p) == pytest.approx(0.5)
    assert metrics.within_of_certain_half(p.select([0, 1])) == 1
    assert np.isnan(metrics.within_of_certain_half(p.select(np.zeros(3, bool))))


def test_selecting_and_joining_give_the_same_back():
    p = random_predictions(np.random.default_rng(4), 30)
    again = metrics.joined([p.select(np.arange(30) < 11), p.select(np.arange(11, 30))])
    np.testing.assert_array_equal(again.probabilities, p.probabilities)
    np.testing.assert_array_equal(again.true, p.true)
    assert metrics.summary(again) == pytest.approx(metrics.summary(p), nan_ok=True)


def test_a_summary_holds_the_single_figures():
    p = random_predictions(np.random.default_rng(5), 40)
    found = metrics.summary(p)
    assert found["exact"] == pytest.approx(np.mean(p.level == p.true))
    assert found["within_one"] == pytest.approx(np.mean(np.abs(p.level - p.true) <= 1))
    order = np.argsort(-p.certainty)[:20]
    assert found["exact_certain_half"] == pytest.approx(np.mean((p.level == p.true)[order]))
    assert found["undefined"] == np.isnan(p.probabilities[:, 0]).sum()
    assert found["mean_certainty"] == pytest.approx(p.certainty.mean())
