"""In which order a rater is shown what."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from microscope_quality.rating.turns import APART, Turn, turns

IMAGES = [f"image {k}.tif" for k in range(100)]


def firsts(found):
    return [(turn.image, turn.number) for turn in found if not turn.repeat]


@given(
    st.integers(0, 60), st.integers(1, 4), st.text(max_size=5), st.integers(0, 9), st.floats(0, 1)
)
def test_each_comes_once_and_some_again_but_never_right_after(n, per_image, rater, seed, share):
    images = IMAGES[:n]
    found = turns(images, per_image, rater, seed=seed, repeats=share)
    total = n * per_image
    first = [turn for turn in found if not turn.repeat]
    assert Counter(firsts(found)) == Counter((i, k) for i in images for k in range(per_image))
    # Patches of an image come in the order of their numbers.
    for image in images:
        assert [turn.number for turn in first if turn.image == image] == [*range(per_image)]
    again = [turn for turn in found if turn.repeat]
    assert len(set(again)) == len(again)
    apart = min(APART, max(1, total // 4))
    assert len(again) == min(round(share * total), max(0, total - apart))
    for turn in again:
        at = found.index(turn)
        before = found.index(Turn(turn.image, turn.number, 0))
        between = found[before + 1 : at]
        assert len([one for one in between if not one.repeat]) >= apart


def test_a_sixth_is_shown_again_within_a_while():
    found = turns(IMAGES, 3, "Anna", repeats=0.15)
    again = [at for at, turn in enumerate(found) if turn.repeat]
    assert len(again) == 45
    distances = [at - found.index(Turn(found[at].image, found[at].number, 0)) for at in again]
    # Of the later ones some are repeats themselves.
    assert min(distances) > APART
    assert max(distances) < 6 * APART
    # All along, so that who ends early was shown some twice as well.
    assert 5 <= sum(at < len(found) // 2 for at in again) <= 30


def test_the_order_is_each_raters_own_and_always_the_same():
    anna = firsts(turns(IMAGES, 1, "Anna"))
    assert anna == firsts(turns(IMAGES, 1, "Anna"))
    assert anna != firsts(turns(IMAGES, 1, "Ben"))
    assert anna != firsts(turns(IMAGES, 1, "Anna", seed=1))
    assert anna != [(image, 0) for image in IMAGES]
    # Neither the order of names nor what comes later changes it.
    assert anna == firsts(turns(IMAGES[::-1], 1, "Anna"))
    some = set(IMAGES[:40])
    assert [one for one in anna if one[0] in some] == firsts(turns(IMAGES[:40], 1, "Anna"))


def test_places_in_the_order_are_drawn_evenly():
    """An image is early for as many raters as it is late."""
    at = [firsts(turns(IMAGES, 1, f"rater {k}")).index((IMAGES[7], 0)) for k in range(200)]
    # The mean of 200 places has a standard deviation of 2.
    assert abs(sum(at) / len(at) - 49.5) < 8
    assert Counter(place // 50 for place in at)[0] in range(70, 131)


def test_one_image_or_none():
    assert turns([], 2, "Anna") == []
    assert turns(["a.tif"], 1, "Anna", repeats=1) == [Turn("a.tif", 0, 0)]
    both = turns(["a.tif", "b.tif"], 1, "Anna", repeats=1)
    assert both == [*both[:2], Turn(both[0].image, 0, 1)]
