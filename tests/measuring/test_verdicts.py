"""One verdict for a file, out of the rows of its planes and stacks."""

from __future__ import annotations

import math

import pytest

from microscope_quality.measuring.verdicts import Threshold, verdict_of


def row(status="in_focus", level=0, *, error="", series="", z="", c="", t="", **rest):
    known = not error and status != "none"
    return {
        "status": "" if error else status,
        "level": str(level) if known else "",
        "expected_level": str(level + 0.25) if known else "",
        "certainty": "0.7" if known else "",
        "defocus_um": "",
        "message": "",
        "error": error,
        "series": series,
        "z": str(z),
        "c": str(c),
        "t": t,
        **rest,
    }


def test_a_single_plane_speaks_for_itself():
    verdict = verdict_of([row("out_of_focus", 6, well="A01", plate="")])
    assert (verdict.kind, verdict.level, verdict.certainty) == ("out_of_focus", 6, 0.7)
    assert math.isnan(verdict.defocus_um)
    assert verdict.groups == {"well": "A01"}
    assert verdict.in_words() == ""


def test_the_worst_channel_speaks_for_the_file():
    verdict = verdict_of([row(c=0), row("out_of_focus", 3, c=1), row("out_of_focus", 7, c=2)])
    assert (verdict.kind, verdict.level, verdict.place) == ("out_of_focus", 7, {"c": 2})
    assert verdict.in_words() == "c2, the worst of 3"


def test_the_best_plane_speaks_for_a_stack_and_the_worst_stack_for_the_file():
    levels = {0: [6, 0, 5], 1: [9, 8, 4]}
    rows = [
        row("in_focus" if level < 2 else "out_of_focus", level, z=z, c=c)
        for c, stack in levels.items()
        for z, level in enumerate(stack)
    ]
    stacks = [
        {"series": "", "c": "0", "t": "", "status": "in_focus", "best_z": "1"},
        {"series": "", "c": "1", "t": "", "status": "out_of_focus", "best_z": ""},
    ]
    verdict = verdict_of(rows, stacks)
    assert (verdict.kind, verdict.level, verdict.place) == ("out_of_focus", 4, {"z": 2, "c": 1})
    assert verdict.in_words() == "z2 c1, the best of a stack of 3"
    verdict = verdict_of([one for one in rows if one["c"] == "0"], stacks[:1])
    assert (verdict.kind, verdict.level, verdict.place) == ("in_focus", 0, {"z": 1, "c": 0})
    # Between planes that are alike, the table of stacks decides.
    flat = [row("in_focus", level, z=z, c=0) for z, level in enumerate([2, 0, 1, 2])]
    verdict = verdict_of(flat, [{**stacks[0], "best_z": "2"}])
    assert (verdict.level, verdict.place) == (1, {"z": 2, "c": 0})


def test_a_plane_that_cannot_be_measured_makes_the_file_one():
    verdict = verdict_of([row(z=0), row(z=1, error="cut short"), row(z=2, error="worse")])
    assert (verdict.kind, verdict.error, verdict.planes) == ("error", "cut short", 3)


def test_a_plane_without_numbers():
    verdict = verdict_of([row("no_content", 0) | {"level": "", "expected_level": ""}])
    assert verdict.kind == "no_content"
    assert math.isnan(verdict.level)


@pytest.mark.parametrize(
    ("threshold", "status", "level", "reason"),
    [
        (Threshold(4), "out_of_focus", 4, ""),
        (Threshold(4), "out_of_focus", 5, "x is at level 5, above 4"),
        (Threshold(4), "mixed", 5, "x is mixed, at an expected level of 5.2, above 4"),
        (Threshold(5), "mixed", 5, ""),
        (Threshold(4), "no_content", 9, ""),
        (Threshold(0), "in_focus", 1, "x is at level 1, above 0"),
        (Threshold(None, frozenset({"mixed"})), "out_of_focus", 9, ""),
        (
            Threshold(None, frozenset({"mixed"})),
            "mixed",
            2,
            "x is mixed, at an expected level of 2.2",
        ),
        (Threshold(9, frozenset({"mixed"})), "mixed", 2, "x is mixed, at an expected level of 2.2"),
        (Threshold(None, frozenset({"no_content"})), "no_content", 9, "x has no content"),
    ],
)
def test_what_is_bad(threshold, status, level, reason):
    assert threshold.reason("x", verdict_of([row(status, level)])) == reason


@pytest.mark.parametrize(
    ("expected", "shown", "reason"),
    [
        ("3.9", "~4", "x is mixed, at an expected level of 3.9, above 3"),
        ("3.5", "~4", "x is mixed, at an expected level of 3.5, above 3"),
        ("3.4", "~3", ""),
        ("0.4", "", ""),
    ],
)
def test_a_mixed_image_of_level_0_is_judged_by_its_expected_level(expected, shown, reason):
    verdict = verdict_of([row("mixed", 0) | {"expected_level": expected}])
    assert verdict.level_text() == shown
    assert Threshold(3).reason("x", verdict) == reason
    # One that is not mixed is judged by its level alone.
    plain = verdict_of([row("in_focus", 0) | {"expected_level": expected}])
    assert (plain.level_text(), Threshold(0).reason("x", plain)) == ("0", "")


def test_an_error_is_always_bad():
    verdict = verdict_of([row(error="cut short")])
    assert Threshold(10).reason("x", verdict) == "x cannot be measured: cut short"
