"""Tiling: every pixel is covered, and values come back to their place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microscope_quality.errors import SettingsError
from microscope_quality.tiles import cut, cut_centred, positions

sizes = st.integers(1, 40)
patch_sizes = st.integers(1, 12)


def test_positions_by_hand():
    np.testing.assert_array_equal(
        positions(5, 7, 3), [[0, 0], [0, 3], [0, 4], [2, 0], [2, 3], [2, 4]]
    )
    np.testing.assert_array_equal(positions(84, 84, 84), [[0, 0]])
    np.testing.assert_array_equal(positions(84, 168, 84), [[0, 0], [0, 84]])
    assert len(positions(2048, 2048, 84)) == 625
    for height, width in ((83, 200), (200, 83), (0, 0)):
        assert positions(height, width, 84).shape == (0, 2)


@settings(deadline=None)
@given(sizes, sizes, patch_sizes)
def test_positions_cover_every_pixel_with_as_few_patches_as_can(height, width, size):
    covered = np.zeros((height, width), int)
    places = positions(height, width, size)
    for y, x in places:
        assert 0 <= y <= height - size
        assert 0 <= x <= width - size
        covered[y : y + size, x : x + size] += 1
    if min(height, width) < size:
        assert not len(places)
    else:
        assert covered.min() == 1
        assert len(places) == -(-height // size) * -(-width // size)
        assert sorted(map(tuple, places)) == list(map(tuple, places))


@settings(deadline=None)
@given(sizes, sizes, patch_sizes, st.sampled_from([np.uint8, np.int32, np.float64, np.bool_]))
def test_cut_gives_the_pixels_at_each_place(height, width, size, dtype):
    plane = np.random.default_rng(height).integers(0, 200, (height, width)).astype(dtype)
    places = positions(height, width, size)
    patches = cut(plane, places, size)
    assert patches.dtype == dtype
    assert patches.shape == (len(places), size, size)
    for (y, x), patch in zip(places, patches):
        np.testing.assert_array_equal(patch, plane[y : y + size, x : x + size])


def test_cut_copies():
    plane = np.zeros((6, 6))
    cut(plane, positions(6, 6, 3), 3)[...] = 1
    assert not plane.any()


@settings(max_examples=50, deadline=None)
@given(
    sizes,
    sizes,
    patch_sizes,
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=4),
)
def test_cut_centred_mirrors_beyond_the_border(height, width, size, fractions):
    plane = np.arange(height * width).reshape(height, width)
    centres = np.array(fractions) * [height - 1, width - 1]
    patches = cut_centred(plane, centres, size)
    padded = np.pad(plane, size, mode="symmetric")
    for (y, x), patch in zip(centres, patches):
        top, left = int(y + 0.5) - size // 2 + size, int(x + 0.5) - size // 2 + size
        np.testing.assert_array_equal(patch, padded[top : top + size, left : left + size])


def test_cut_centred_edges_of_the_plane_belong_to_it():
    plane = np.arange(12).reshape(3, 4)
    corners = cut_centred(plane, [[-0.5, -0.5], [2.5, 3.5]], 1)
    np.testing.assert_array_equal(corners[:, 0, 0], [0, 11])
    assert cut_centred(plane, [], 5).shape == (0, 5, 5)
    assert cut_centred(plane, np.empty((0, 2)), 5).shape == (0, 5, 5)


@pytest.mark.parametrize(
    "centre", [(-0.6, 1), (1, 3.6), (2.6, 1), (np.nan, 1), (1, np.inf), (1e300, 0)]
)
def test_cut_centred_refuses_points_outside(centre):
    with pytest.raises(SettingsError, match="outside the image of 3 x 4 pixels"):
        cut_centred(np.zeros((3, 4)), [(1, 1), centre], 2)


@pytest.mark.parametrize("centres", [[1, 2], [[1, 2, 3]], 5])
def test_cut_centred_refuses_other_shapes(centres):
    with pytest.raises(SettingsError, match=r"\(n, 2\)"):
        cut_centred(np.zeros((3, 4)), centres, 2)


@pytest.mark.parametrize("sides", [(10**9, 10**9, 84), (10**18, 84, 84), (10**6, 10**6, 12)])
def test_more_patches_than_memory_holds_are_refused(sides):
    with pytest.raises(SettingsError, match="at most 10000000 are cut|over 10000000 patches"):
        positions(*sides)


@pytest.mark.parametrize("place", [(-1, 0), (0, -1), (2, 0), (0, 3), (10**12, 0)])
def test_places_that_are_not_within_the_plane_are_refused(place):
    with pytest.raises(SettingsError, match="places must be those of patches of 2 x 2 pixels"):
        cut(np.zeros((3, 4)), np.array([(0, 0), place]), 2)
