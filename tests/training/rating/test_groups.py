"""What belongs together is on one side of the split."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microscope_quality.errors import SettingsError
from microscope_quality.rating.labelled import LabelledPatch
from microscope_quality.training.rating.groups import called, groups_of, split


def patches(*names, **more):
    return [
        LabelledPatch(name, Path("/x") / name.split("#")[0], {}, 0, 0, 8, 0.5, 1, more)
        for name in names
    ]


def test_groups_are_folders_where_there_are_three_else_images():
    three = patches("m1/a/s.tif", "m1/a/t.tif", "m2/a/s.tif", "m3/a/s.tif")
    assert groups_of(three) == ["m1/a", "m1/a", "m2/a", "m3/a"]
    two = patches("m1/s.tif", "m1/s.tif", "m1/t.tif", "m2/s.tif")
    assert groups_of(two) == ["m1/s.tif", "m1/s.tif", "m1/t.tif", "m2/s.tif"]
    assert groups_of(two, "folder") == ["m1", "m1", "m1", "m2"]


def test_groups_are_called_by_what_they_are():
    three, two = patches("a/s.tif", "b/s.tif", "c/s.tif"), patches("a/s.tif", "b/s.tif")
    assert [called(one) for one in (three, two)] == ["folders", "images"]
    assert called(two, "folder") == "folders"
    assert called(two, "column=session") == "groups by the column session"
    assert called(two, r"(?P<animal>m\d)_(?P<section>s\d)") == "groups by animal and section"


def test_planes_of_a_file_are_one_image_unless_told_otherwise():
    stack = patches("stack.tif#z=1", "stack.tif#z=2")
    assert len(set(groups_of(stack, "image"))) == 1
    assert groups_of(stack, r"#z=(?P<section>\d+)") == ["1", "2"]


def test_groups_are_named_by_a_pattern_or_a_column():
    found = patches("m1_s3_t0.tif", "m1_s4_t0.tif", "m2_s3_t1.tif")
    assert groups_of(found, r"(?P<animal>m\d)") == ["m1", "m1", "m2"]
    assert groups_of(found, r"(?P<animal>m\d)_(?P<section>s\d)") == ["m1/s3", "m1/s4", "m2/s3"]
    assert groups_of(patches("a.tif", session="monday"), "column=session") == ["monday"]


@pytest.mark.parametrize(
    ("group_by", "said"),
    [
        (r"(?P<animal>m\d)", r"no group of 1 of 2 labelled patches, the first of them in x\.tif"),
        ("column=animal", "lacks; beside those of labels it has: session"),
        (r"m\d", "a regular expression with a named group"),
        ("(", "no regular expression"),
    ],
)
def test_what_tells_no_groups_is_refused(group_by, said):
    with pytest.raises(SettingsError, match=said):
        groups_of(patches("m1.tif", "x.tif", session="monday"), group_by)


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=40).filter(
        lambda g: len(set(g)) > 1
    ),
    st.floats(0.01, 0.5),
    st.integers(0, 99),
)
def test_some_groups_are_held_out_and_some_are_not(groups, fraction, seed):
    held_out = split(groups, fraction, seed)
    number = len(set(groups))
    assert held_out < set(groups)
    assert len(held_out) == max(1, round(fraction * number))
    assert split(groups, fraction, seed) == held_out
    # The order of the labels does not matter.
    assert split(sorted(groups), fraction, seed) == held_out


@pytest.mark.parametrize(
    ("groups", "fraction", "said"),
    [
        (["a", "a"], 0.2, "of one group, a, and there must be two"),
        (["a", "b"], 0, "above 0 and at most 0.5"),
        (["a", "b"], 0.6, "above 0 and at most 0.5"),
    ],
)
def test_what_cannot_be_split_is_refused(groups, fraction, said):
    with pytest.raises(SettingsError, match=said):
        split(groups, fraction, 0)
