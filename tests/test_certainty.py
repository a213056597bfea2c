"""Certainties and levels against hand computation and exact fractions."""

from fractions import Fraction
from math import isnan, log

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy

from microscope_quality.certainty import (
    LEAST_CERTAINTY,
    SMALLEST_PROBABILITY,
    aggregate,
    certainty,
    expected_level,
    level,
    product,
    weighted_certainty,
    weights_of,
)

weights_of_levels = arrays(
    np.float64, st.tuples(st.integers(1, 8), st.integers(2, 12)), elements=st.floats(0, 1)
)


def distributions(weights):
    assume((weights.sum(axis=1) > 1e-3).all())
    return weights / weights.sum(axis=1, keepdims=True)


def test_certainty_by_hand():
    assert certainty([1, 0, 0, 0]) == 1
    assert certainty([0.25] * 4) == 0
    # Two of four: 1 - ln 2 / ln 4.
    assert certainty([0.5, 0.5, 0, 0]) == pytest.approx(0.5, abs=1e-15)
    # H = ¾ ln(4/3) + ¼ ln 4.
    by_hand = 1 - (0.75 * log(4 / 3) + 0.25 * log(4)) / log(2)
    assert certainty([0.75, 0.25]) == pytest.approx(by_hand, abs=1e-15)
    assert certainty([np.nan] * 11) == 0


@given(weights_of_levels)
def test_certainty_is_one_less_the_normalised_entropy(weights):
    p = distributions(weights)
    expected = 1 - entropy(p, axis=1) / log(p.shape[1])
    np.testing.assert_allclose(certainty(p), expected, atol=1e-12)
    np.testing.assert_allclose(certainty(p.T, axis=0), expected, atol=1e-12)
    assert ((certainty(p) >= 0) & (certainty(p) <= 1)).all()


@given(weights_of_levels, st.randoms(use_true_random=False))
def test_certainty_does_not_depend_on_the_levels_order(weights, random):
    p = distributions(weights)
    order = list(range(p.shape[1]))
    random.shuffle(order)
    np.testing.assert_allclose(certainty(p[:, order]), certainty(p), atol=1e-12)


def test_aggregate_by_hand():
    p = [[1, 0, 0], [0, 0.5, 0.5], [np.nan, np.nan, np.nan]]
    np.testing.assert_allclose(aggregate(p, [0.9, 0.3, 0.0]), [0.75, 0.125, 0.125])
    # The plain mean of those that are defined when no weight is left.
    np.testing.assert_allclose(aggregate(p, [0, 0, 0]), [0.5, 0.25, 0.25])
    # An undefined patch has no say, whatever its weight.
    np.testing.assert_allclose(aggregate(p, [0.9, 0.3, 1.0]), [0.75, 0.125, 0.125])
    assert np.isnan(aggregate([[np.nan] * 3], [0])).all()
    assert np.isnan(aggregate(np.empty((0, 3)), np.empty(0))).all()
    assert aggregate(np.empty((0, 3)), np.empty(0)).shape == (3,)


@settings(max_examples=50)
@given(
    st.integers(2, 6).flatmap(
        lambda k: st.lists(
            st.lists(st.integers(1, 1000), min_size=k, max_size=k), min_size=1, max_size=7
        )
    )
)
def test_product_against_exact_fractions(counts):
    p = [[Fraction(c, sum(row)) for c in row] for row in counts]
    exact = [Fraction(1)] * len(p[0])
    for row in p:
        exact = [a * b for a, b in zip(exact, row)]
    exact = [float(value / sum(exact)) for value in exact]
    found = product(np.array(p, float))
    np.testing.assert_allclose(found, exact, rtol=1e-9)


def test_product_is_never_undefined_when_a_patch_is_not():
    contradicting = np.array([[1.0, 0, 0], [0, 1.0, 0]] * 5000)
    np.testing.assert_allclose(product(contradicting), [0.5, 0.5, 0], atol=1e-12)
    # A level that one of three patches denies altogether loses to one that none denies.
    np.testing.assert_allclose(
        product([[0, 1], [0.5, 0.5], [0.5, 0.5]]), [SMALLEST_PROBABILITY, 1], rtol=1e-9
    )
    with_undefined = product([[0.2, 0.8], [np.nan, np.nan]])
    np.testing.assert_allclose(with_undefined, [0.2, 0.8])
    assert np.isnan(product([[np.nan, np.nan]])).all()
    assert np.isnan(product(np.empty((0, 4)))).all()


def test_weighted_certainty_by_hand():
    assert weighted_certainty([0.5, 1.0]) == pytest.approx(1.25 / 1.5)
    assert weighted_certainty([0, 0]) == 0
    assert weighted_certainty([]) == 0


def test_level_takes_the_lower_one_of_a_tie():
    p = [[0.1, 0.4, 0.1, 0.4], [0, 0, 0, 1], [0.25] * 4, [np.nan] * 4]
    np.testing.assert_array_equal(level(p), [1, 3, 0, np.nan])
    assert level([0.2, 0.3, 0.5]) == 2


def test_expected_level_by_hand():
    assert expected_level([0.5, 0, 0, 0.5]) == pytest.approx(1.5)
    assert expected_level([0, 0, 1]) == 2
    assert isnan(expected_level([np.nan] * 3))
    np.testing.assert_allclose(expected_level([[0.5, 0.5, 0], [0, 0, 1]]), [0.5, 2])


def test_what_shows_next_to_nothing_weighs_nothing():
    found = weights_of([0.0, LEAST_CERTAINTY / 2, LEAST_CERTAINTY, 0.7])
    np.testing.assert_array_equal(found, [0, 0, LEAST_CERTAINTY, 0.7])
