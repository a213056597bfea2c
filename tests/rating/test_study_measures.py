"""Confusion and domination, against fractions computed by hand."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microscope_quality.rating.study_measures import (
    CHOICES,
    N_BINS,
    Tally,
    bin_of,
    compare,
    over_testers,
)


@dataclass(frozen=True)
class Said:
    tester: str
    target: float
    choice: str


@pytest.mark.parametrize(
    ("counts", "confusion", "domination"),
    [
        ((0, 0, 9), 1, None),
        ((5, 5, 0), 1, Fraction(1, 2)),
        ((9, 0, 0), 0, 0),
        ((0, 9, 0), 0, 1),
        ((0, 0, 0), None, None),
        ((6, 3, 1), Fraction(7, 10), Fraction(1, 3)),
        ((3, 6, 1), Fraction(7, 10), Fraction(2, 3)),
        ((41, 38, 12), 1 - Fraction(3, 91), Fraction(38, 79)),
    ],
)
def test_measures_by_hand(counts, confusion, domination):
    tally = Tally(*counts, discarded=4)
    for found, known in ((tally.confusion, confusion), (tally.domination, domination)):
        assert math.isnan(found) if known is None else abs(found - known) < 1e-12


@given(st.lists(st.integers(0, 400), min_size=4, max_size=4))
def test_measures_are_the_paper_s_formulas_and_discarding_changes_nothing(counts):
    t, p, e, discarded = counts
    tally = Tally(t, p, e, discarded)
    n = t + p + e
    assert tally.kept == n
    if n:
        assert abs(tally.confusion - (1 - Fraction(abs(2 * p + e - n), n))) < 1e-12
        assert abs(tally.confusion - (1 - Fraction(abs(p - t), n))) < 1e-12
        # Target and prediction change places.
        assert tally.confusion == Tally(p, t, e).confusion
    if t + p:
        assert abs(tally.domination - Fraction(p, t + p)) < 1e-12
        assert abs(tally.domination + Tally(p, t, e).domination - 1) < 1e-12


def test_large_numbers_go_to_what_the_odds_say():
    """C goes to 1 - |p - t|, D to p / (t + p); with a deviation of about 0.5 / sqrt(n)."""
    p, t, e = 0.35, 0.45, 0.2
    n = 200_000
    drawn = np.random.default_rng(1).choice(3, n, p=[t, p, e])
    tally = Tally(*map(int, np.bincount(drawn)))
    assert tally.confusion == pytest.approx(1 - abs(p - t), abs=5 / math.sqrt(n))
    assert tally.domination == pytest.approx(p / (t + p), abs=5 / math.sqrt(n))


def test_a_better_network_lowers_confusion_and_raises_domination():
    """The prediction is as near to the truth as its spread says, and testers know the truth."""
    rng = np.random.default_rng(0)
    n = 20_000
    truth, target = rng.uniform(0, 1, n), rng.normal(0, 0.08, n)
    found = {}
    for spread in (0.08, 0.02):
        prediction = rng.normal(0, spread, n)
        opinion = rng.normal(0, 0.1, n)
        nearer = abs(prediction - opinion) < abs(target - opinion)
        found[spread] = Tally(int((~nearer).sum()), int(nearer.sum()))
    assert truth.size == n
    assert found[0.08].confusion > 0.98 and abs(found[0.08].domination - 0.5) < 0.01
    assert found[0.02].confusion < 0.9 and found[0.02].domination > 0.55


@pytest.mark.parametrize(
    ("target", "number"),
    [(0, 0), (0.19999, 0), (0.2, 1), (0.4, 2), (0.6, 3), (0.3 + 0.3, 3), (0.8, 4), (1, 4)],
)
def test_a_bin_begins_with_its_edge(target, number):
    assert bin_of(target) == number


def test_testers_without_answers_in_a_bin_are_left_out_of_its_mean():
    said = [
        *[Said("Ada", 0.1, choice) for choice in ("target", "prediction", "target", "equivalent")],
        *[Said("Ben", 0.1, choice) for choice in ("discard", "discard")],
        *[Said("Cem", 0.15, choice) for choice in ("equivalent", "equivalent")],
        Said("Ben", 0.9, "prediction"),
    ]
    found = compare(said, ["Ada", "Ben", "Cem", "Dee"])
    assert list(found.tallies) == ["Ada", "Ben", "Cem", "Dee"]
    assert found.tallies["Ben"][0] == Tally(discarded=2)
    assert found.tallies["Dee"][N_BINS] == Tally()
    confusion, domination = found.confusion(0), found.domination(0)
    assert confusion.n_testers == 2
    assert confusion.mean == pytest.approx((0.75 + 1) / 2, abs=1e-12)
    assert confusion.deviation == pytest.approx(0.25 / math.sqrt(2), abs=1e-12)
    assert (domination.mean, domination.n_testers) == (pytest.approx(1 / 3, abs=1e-12), 1)
    assert math.isnan(domination.deviation)
    empty = found.confusion(2)
    assert empty.n_testers == 0 and math.isnan(empty.mean) and math.isnan(empty.deviation)
    # All images: of Ben, one answer counts.
    assert found.confusion(N_BINS).mean == pytest.approx((0.75 + 0 + 1) / 3, abs=1e-12)
    assert found.total(N_BINS) == Tally(2, 2, 3, 2)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_spread_is_that_of_a_sample(values):
    found = over_testers([*values, math.nan])
    assert found.n_testers == len(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert found.deviation == pytest.approx(np.std(values, ddof=1), abs=1e-12)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("AB"),
            st.integers(0, 100).map(lambda k: k / 100),
            st.sampled_from(CHOICES),
        ),
        max_size=60,
    )
)
def test_bins_together_are_all(rows):
    found = compare([Said(*row) for row in rows])
    for tallies in found.tallies.values():
        assert sum(tallies[:N_BINS], Tally()) == tallies[N_BINS]
    total = found.total(N_BINS)
    assert total.kept + total.discarded == len(rows)
