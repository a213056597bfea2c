"""The vocabulary of statuses: unambiguous for eyes, programs and screen readers."""

import re
from itertools import combinations

import numpy as np
import pytest

from microscope_quality import statuses
from microscope_quality.overlay import level_colours
from microscope_quality.statuses import (
    ERROR,
    FAILED,
    FOCUS_STATUSES,
    GOOD,
    IN_FOCUS,
    MEASURED,
    MIXED,
    NO_CONTENT,
    OUT_OF_FOCUS,
    POOR,
    RATING_STATUSES,
    TOO_SMALL,
)

ALL = (*FOCUS_STATUSES, GOOD, POOR, FAILED, MEASURED, ERROR)
# Those that are shown together.
OF_MEASURES = ((*FOCUS_STATUSES, ERROR), (*RATING_STATUSES, ERROR), (MEASURED, NO_CONTENT, ERROR))


def test_all_statuses_are_listed_here():
    found = {one for one in vars(statuses).values() if isinstance(one, statuses.Status)}
    assert found == set(ALL)


@pytest.mark.parametrize("field", ["key", "words"])
def test_no_two_have_the_same(field):
    assert len({getattr(one, field) for one in ALL}) == len(ALL)


def test_those_of_a_measure_are_told_apart_by_colours_and_without():
    for own in OF_MEASURES:
        for field in ("colour", "sign", "mark", "hatch"):
            assert len({getattr(one, field) for one in own}) == len(own), field


def test_a_key_is_a_word_of_a_table_and_a_sign_one_character():
    for one in ALL:
        assert re.fullmatch(r"[a-z_]+", one.key)
        assert len(one.sign) == 1
        assert re.fullmatch(r"#[0-9a-f]{6}", one.colour)


def test_colours_of_focus_and_of_ratings_are_those_of_levels():
    ramp = [f"#{bytes(colour).hex()}" for colour in level_colours(11)]
    focus = [one.colour for one in (IN_FOCUS, MIXED, OUT_OF_FOCUS)]
    assert focus == [ramp[0], ramp[4], ramp[8]]
    assert [GOOD.colour, POOR.colour] == [ramp[0], ramp[8]]
    # A failed grab has no score, so its colour is none of theirs.
    assert FAILED.colour not in ramp


def test_a_failed_grab_is_bad_and_its_numbers_mean_nothing():
    assert (FAILED.badness, FAILED.is_judged, FAILED.is_choice, FAILED.is_blank) == (
        POOR.badness,
        False,
        False,
        False,
    )
    assert FAILED.to_dict()["is_void"] is True


def test_the_worst_is_what_was_not_measured():
    ranked = sorted((*FOCUS_STATUSES, ERROR), key=lambda one: one.badness)
    assert ranked == [IN_FOCUS, NO_CONTENT, TOO_SMALL, MIXED, OUT_OF_FOCUS, ERROR]
    assert [one.is_judged for one in ranked] == [True, False, False, True, True, False]
    assert [one.key for one in ALL if one.is_blank] == list(statuses.BLANK)


def _luminance(colour):
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_black_text_stands_out_on_every_tint_and_no_two_tints_are_alike():
    for one in ALL:
        assert (_luminance(one.tint) + 0.05) / 0.05 >= 7  # WCAG 2.2, level AAA
    for own in OF_MEASURES:
        for one, other in combinations(own, 2):
            assert one.tint != other.tint


def test_a_page_is_told_all():
    told = MIXED.to_dict()
    assert told["key"] == "mixed"
    assert told["said"] == "mixed (parts at different levels)"
    assert told["judged"] is True
    assert OUT_OF_FOCUS.to_dict()["said"] == OUT_OF_FOCUS.words
