"""The rules that every screen, page, table and host asks: the status, the number, the plane."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from microscope_quality.errors import SettingsError
from microscope_quality.focus import FocusResult
from microscope_quality.statuses import BLANK, FOCUS_STATUSES
from microscope_quality.verdicts import judged_level, representative, status_of, sure_by_chance

NAN = math.nan
STATUSES = [status.key for status in FOCUS_STATUSES]


@pytest.mark.parametrize("patches", [0, 1, 2, 10, 11, 150, 625, 10_000, 10**6])
def test_sure_by_chance_is_the_binomial_quantile(patches):
    assert sure_by_chance(patches) == (binom.isf(0.01, patches, 0.001) if patches else 0)


def test_five_scattered_nuclei_in_a_large_field_are_content():
    assert sure_by_chance(625) < 5


@pytest.mark.parametrize(
    ("expected_levels", "limit", "status"),
    [
        # The plane's level is their mean: 1.2, 1.5, 1.8.
        ([1, 1, 1, 1, 2], 1.5, "in_focus"),
        ([1, 2, 1, 2], 1.5, "in_focus"),
        ([1, 2, 2, 2, 2], 1.5, "out_of_focus"),
        ([1, 2, 2, 2, 2], 1.8, "in_focus"),
        # Halves are mixed when they lie more than three levels apart ...
        ([0, 0, 3, 3], 1.5, "in_focus"),
        ([0, 0, 3.1, 3.1], 1.5, "mixed"),
        ([6, 6, 9.1, 9.1], 1.5, "mixed"),
        # ... and a fifth may lie anywhere within, but not far enough to take the level with it.
        ([0, 0, 0, 0, 3], 1.5, "in_focus"),
        ([0, 0, 0, 3], 1.5, "mixed"),
        ([0, 0, 0, 0, 8], 1.5, "mixed"),
    ],
)
def test_the_status_comes_from_the_number_that_is_shown(expected_levels, limit, status):
    level, sure = np.mean(expected_levels), np.ones(len(expected_levels))
    assert status_of(level, expected_levels, sure, 0.5, limit) == status


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.floats(0, 10), st.floats(0, 10))
def test_of_planes_that_are_not_mixed_the_lower_level_is_not_the_worse_one(levels, first, second):
    """With one limit, and wherever the patches lie."""
    low, high = sorted((first, second))
    found = [status_of(one, levels, np.ones(len(levels)), 0.5, 1.5) for one in (low, high)]
    assert found != ["out_of_focus", "in_focus"]
    assert all(
        (one == "in_focus") == (level <= 1.5)
        for one, level in zip(found, (low, high))
        if one != "mixed"
    )


@pytest.mark.parametrize(
    ("status", "expected", "judged"),
    [
        ("in_focus", 0.9, 0.9),
        ("out_of_focus", 6.2, 6.2),
        ("mixed", 3.6, 3.6),
        ("mixed", NAN, None),
        ("no_content", 4.0, None),
        ("no_content", NAN, None),
        ("too_small", NAN, None),
        ("error", NAN, None),
    ],
)
def test_the_level_that_a_plane_counts_by(status, expected, judged):
    assert judged_level(status, expected) == judged


def test_a_best_plane_speaks_whatever_the_others_are():
    assert representative(["in_focus", "in_focus", "no_content"], [0.1, 0.9, NAN], best=1) == 1


@pytest.mark.parametrize(
    ("statuses", "values", "plane"),
    [
        (["out_of_focus", "out_of_focus", "mixed"], [6.0, 4.0, 5.0], 1),
        # What lies lower has no content: its level means nothing.
        (["no_content", "out_of_focus"], [0.2, 8.0], 1),
        (["no_content", "no_content"], [5.0, 2.0], 0),
        (["error", "no_content"], [NAN, NAN], 1),
        (["error", "too_small", "mixed"], [NAN, NAN, 3.0], 2),
        (["error", "error"], [NAN, NAN], 0),
        # Of equals, the first.
        (["in_focus", "in_focus"], [1.0, 1.0], 0),
    ],
)
def test_the_plane_that_speaks_for_a_stack_without_a_best_one(statuses, values, plane):
    assert representative(statuses, values) == plane


@given(
    st.lists(
        st.tuples(st.sampled_from([*STATUSES, "error"]), st.floats(0, 10)), min_size=1, max_size=9
    )
)
def test_no_plane_with_content_is_lower_than_the_one_that_speaks(planes):
    statuses, values = (list(column) for column in zip(*planes))
    one = representative(statuses, values)
    content = [k for k, status in enumerate(statuses) if status not in (*BLANK, "error")]
    if content:
        assert one in content
        assert values[one] == min(values[k] for k in content)


def test_what_is_no_stack_is_refused():
    with pytest.raises(SettingsError, match="one plane"):
        representative([], [])
    with pytest.raises(SettingsError, match="best"):
        representative(["in_focus"], [0.0], best=1)


def test_a_result_tells_the_level_that_it_counts_by():
    fields = dict.fromkeys(FocusResult.__dataclass_fields__, 0)
    empty = {"patch_positions": np.empty((0, 2)), "patch_levels": np.empty(0)}
    result = FocusResult(
        **{**fields, **empty, "status": "mixed", "level": 1.0, "expected_level": 3.6}
    )
    assert result.judged_level == 3.6
