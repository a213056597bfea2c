"""The two rules that every screen, page, table and host asks: by which level, by which plane."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from microscope_quality.errors import SettingsError
from microscope_quality.focus import FocusResult
from microscope_quality.statuses import FOCUS_STATUSES
from microscope_quality.verdicts import judged_level, representative, sure_by_chance

NAN = math.nan
STATUSES = [status.key for status in FOCUS_STATUSES]


@pytest.mark.parametrize("patches", [0, 1, 2, 10, 11, 150, 625, 10_000, 10**6])
def test_sure_by_chance_is_the_binomial_quantile(patches):
    assert sure_by_chance(patches) == (binom.isf(0.01, patches, 0.001) if patches else 0)


def test_five_scattered_nuclei_in_a_large_field_are_content():
    assert sure_by_chance(625) < 5


@pytest.mark.parametrize(
    ("status", "level", "expected", "judged"),
    [
        ("in_focus", 0, 0.9, 0),
        ("out_of_focus", 7, 6.2, 7),
        ("out_of_focus", 2, 4.9, 2),
        # Its most probable level is the worse one.
        ("mixed", 5, 3.2, 5),
        # Half of it is in focus.
        ("mixed", 1, 3.6, 4),
        ("mixed", 0, 2.5, 3),
        ("mixed", 3, NAN, 3),
        ("no_content", 4, 4.0, None),
        ("no_content", NAN, NAN, None),
        ("error", NAN, NAN, None),
    ],
)
def test_the_level_that_a_plane_counts_by(status, level, expected, judged):
    assert judged_level(status, level, expected) == judged


@given(
    st.sampled_from(["in_focus", "out_of_focus", "mixed"]),
    st.integers(0, 10),
    st.floats(0, 10),
)
def test_only_mixed_planes_count_by_another_level_and_never_a_lower_one(status, level, expected):
    judged = judged_level(status, level, expected)
    assert judged >= level
    assert status == "mixed" or judged == level
    assert judged <= max(level, expected + 0.5)


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
    content = [k for k, status in enumerate(statuses) if status not in ("no_content", "error")]
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
    assert result.judged_level == 4
