"""One verdict for a file, out of the rows of its planes and stacks."""

from __future__ import annotations

import pytest
from written_results import COLUMNS, SETTINGS

from microscope_quality.errors import SettingsError
from microscope_quality.measuring import file_verdicts
from microscope_quality.measuring.file_verdicts import Threshold
from microscope_quality.measuring.rows import PlaneRow

FOCUS = SETTINGS.measure


def row(status="in_focus", level=0, *, error="", z="", c="", **rest):
    known = not error and level is not None
    numbers = {"level": level, "expected_level": level + 0.25, "certainty": 0.7} if known else {}
    given = {"status": "" if error else status, "error": error, "z": z, "c": c, **numbers, **rest}
    return {**dict.fromkeys(COLUMNS, ""), **{name: str(value) for name, value in given.items()}}


def verdict_of(rows, stacks=()):
    return file_verdicts.verdict_of([PlaneRow.of(FOCUS, one) for one in rows], stacks)


def level(verdict):
    return int(verdict.row["level"])


def test_a_single_plane_speaks_for_itself():
    verdict = verdict_of([row("out_of_focus", 6, well="A01", plate="")])
    assert (verdict.status.key, level(verdict), verdict.error) == ("out_of_focus", 6, "")
    assert verdict.groups == {"well": "A01"}
    assert verdict.in_words() == ""


def test_the_worst_channel_speaks_for_the_file():
    verdict = verdict_of([row(c=0), row("out_of_focus", 3, c=1), row("out_of_focus", 7, c=2)])
    assert (verdict.status.key, level(verdict), verdict.place) == ("out_of_focus", 7, {"c": 2})
    assert verdict.in_words() == "c2, the worst of 3"


def test_the_best_plane_speaks_for_a_stack_and_the_worst_stack_for_the_file():
    levels = {0: [6, 0, 5], 1: [9, 8, 4]}
    rows = [
        row("in_focus" if k < 2 else "out_of_focus", k, z=z, c=c)
        for c, stack in levels.items()
        for z, k in enumerate(stack)
    ]
    stacks = [
        {"series": "", "c": "0", "t": "", "status": "in_focus", "best_z": "1"},
        {"series": "", "c": "1", "t": "", "status": "out_of_focus", "best_z": ""},
    ]
    verdict = verdict_of(rows, stacks)
    assert (verdict.status.key, level(verdict), verdict.place) == (
        "out_of_focus",
        4,
        {"z": 2, "c": 1},
    )
    assert verdict.in_words() == "z2 c1, the best of a stack of 3"
    verdict = verdict_of([one for one in rows if one["c"] == "0"], stacks[:1])
    assert (verdict.status.key, level(verdict), verdict.place) == ("in_focus", 0, {"z": 1, "c": 0})
    # Between planes that are alike, the table of stacks decides.
    flat = [row("in_focus", k, z=z, c=0) for z, k in enumerate([2, 0, 1, 2])]
    verdict = verdict_of(flat, [{**stacks[0], "best_z": "2"}])
    assert (level(verdict), verdict.place) == (1, {"z": 2, "c": 0})


def test_of_a_stack_without_content_no_plane_is_the_best():
    empty = [row("no_content", 5, z=z) for z in range(3)]
    none = {"series": "", "c": "", "t": "", "status": "no_content", "best_z": ""}
    assert verdict_of(empty, [none]).in_words() == "3 planes"
    # One that is named by its contrast is.
    verdict = verdict_of(empty, [{**none, "best_z": "1"}])
    assert verdict.in_words() == "z1, the best of a stack of 3"


def test_an_empty_channel_says_nothing_of_a_file_that_has_another():
    empty, sharp, blurred = row("no_content", 5, c=0), row(c=1), row("out_of_focus", 3, c=2)
    verdict = verdict_of([empty, sharp])
    assert (verdict.status.key, verdict.place) == ("in_focus", {"c": 1})
    assert verdict_of([empty, sharp, blurred]).place == {"c": 2}
    assert verdict_of([empty, {**empty, "c": "1"}]).status.key == "no_content"


def test_a_plane_that_cannot_be_measured_makes_the_file_one_unless_it_is_of_a_stack():
    verdict = verdict_of([row(c=0), row(c=1, error="cut short"), row(c=2, error="worse")])
    assert (verdict.status.key, verdict.error, verdict.planes) == ("error", "cut short", 3)
    assert verdict.in_words() == "3 planes"
    rows = [row(z=0), row(z=1, error="cut short"), row(z=2, error="worse")]
    verdict = verdict_of(rows)
    assert (verdict.status.key, verdict.planes) == ("in_focus", 3)
    assert (verdict.in_words(), verdict.fault) == (
        "z0, the best of a stack of 3",
        "without a plane: z1: cut short",
    )
    said = "x has a plane that cannot be measured: z1: cut short"
    assert Threshold(10).reason("x", verdict) == said
    assert verdict_of(rows[1:]).error == "cut short"
    # Of a file that was not read, nobody knows the channels.
    colour = [row(z=0, c=0), row(z=0, c=1), row(z=1, error="is empty")]
    assert (verdict_of(colour).status.key, verdict_of(colour).fault) == (
        "in_focus",
        "without a plane: z1 is empty",
    )
    # That of an image of which nothing was measured comes first.
    colour = [row(z=0, c=0, error="a"), row(z=1, c=0), row(z=0, c=1, error="b")]
    assert (verdict_of(colour).status.key, verdict_of(colour).error) == ("error", "b")


def test_a_plane_without_numbers():
    verdict = verdict_of([row("no_content", None)])
    assert (verdict.status.key, FOCUS.judged(verdict.row)) == ("no_content", None)


@pytest.mark.parametrize(
    ("threshold", "status", "at", "reason"),
    [
        (Threshold(5.25), "out_of_focus", 5, ""),
        (Threshold(5.2), "out_of_focus", 5, "x is at level 5.25, above 5.2"),
        (Threshold(4), "out_of_focus", 4, "x is at level 4.2, above 4"),
        (Threshold(4), "mixed", 5, "x is mixed, at level 5.2, above 4"),
        (Threshold(5.5), "mixed", 5, ""),
        (Threshold(4), "no_content", 9, ""),
        (Threshold(0), "in_focus", 1, "x is at level 1.2, above 0"),
        (Threshold(None, frozenset({"mixed"})), "out_of_focus", 9, ""),
        (Threshold(None, frozenset({"mixed"})), "mixed", 2, "x is mixed, at level 2.2"),
        (Threshold(9, frozenset({"mixed"})), "mixed", 2, "x is mixed, at level 2.2"),
        (Threshold(None, frozenset({"no_content"})), "no_content", 9, "x has no content"),
        (Threshold(None, frozenset({"too_small"})), "too_small", None, "x is too small"),
        (Threshold(4), "too_small", None, ""),
    ],
)
def test_what_is_bad(threshold, status, at, reason):
    assert threshold.reason("x", verdict_of([row(status, at)])) == reason


def test_an_error_is_always_bad():
    verdict = verdict_of([row(error="cut short")])
    assert Threshold(10).reason("x", verdict) == "x cannot be measured: cut short"
    verdict = verdict_of([row(error="is empty (0 bytes)")])
    assert Threshold(10).reason("x", verdict) == "x cannot be measured: it is empty (0 bytes)"
    # Of several files it names the one.
    verdict = verdict_of([row(error="is empty", z=z, file=f"x{z}", stack="x*") for z in range(2)])
    assert Threshold(10).reason("x*", verdict) == "x* cannot be measured: x0 is empty"


@pytest.mark.parametrize(
    ("threshold", "said"),
    [
        (Threshold(10), "limit is 10, but no level is above it: they end at 10"),
        (Threshold(float("nan")), "limit is nan, but no level is above it"),
        (Threshold(1, frozenset({"in_focus"})), "statuses has 'in_focus', which is none of"),
        (Threshold(1, frozenset({"blurred"})), "statuses has 'blurred', which is none of"),
    ],
)
def test_a_threshold_that_no_plane_can_reach_is_refused(threshold, said):
    Threshold(9, frozenset({"mixed", "no_content"})).check(FOCUS)
    with pytest.raises(SettingsError, match=said):
        threshold.check(FOCUS)


def test_the_usual_threshold_is_what_is_bad():
    assert Threshold.usual(FOCUS) == Threshold(None, frozenset({"out_of_focus"}))
