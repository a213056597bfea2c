"""Patches that are used several times: each as often, turned anew, in the order of the numbers."""

import itertools

import numpy as np
import pytest

from microscope_quality.training.blocks import replayed

SIZE = 24


def blocks(first):
    """Give blocks of which each patch tells its number."""
    for number in itertools.count(first):
        ids = number * SIZE + np.arange(SIZE, dtype=np.float32)
        patches = np.arange(9, dtype=np.float32).reshape(3, 3) / 100 + ids[:, None, None]
        yield patches, ids[:, np.newaxis]


@pytest.mark.parametrize("replays", [1, 2, 4])
def test_each_patch_is_used_as_often_as_asked(replays):
    made = replayed(blocks, replays, seed=3)
    given = [next(made) for _ in range(replays * 12)]
    assert all(len(patches) == len(targets) == SIZE for patches, targets in given)
    used = np.concatenate([targets for _, targets in given]).astype(int).ravel()
    counts = np.bincount(used)
    # Those of the first blocks have been used up, those of the last ones not yet.
    inner = counts[replays * SIZE : (12 - replays) * SIZE]
    assert set(inner) == {replays}


def test_patches_keep_their_targets_and_are_turned():
    made = replayed(blocks, 3, seed=3)
    ways = set()
    for patches, targets in itertools.islice(made, 20):
        for patch, target in zip(patches, targets):
            inner = np.rint((patch - target) * 100).astype(int)
            assert sorted(inner.ravel()) == list(range(9))
            ways.add(tuple(inner.ravel()))
    assert len(ways) == 8


def test_can_start_anywhere():
    through = list(itertools.islice(replayed(blocks, 3, seed=3), 9))
    for first in (1, 5, 6):
        patches, targets = next(replayed(blocks, 3, seed=3, first=first))
        np.testing.assert_array_equal(patches, through[first][0])
        np.testing.assert_array_equal(targets, through[first][1])


def test_another_seed_gives_another_order():
    one, other = (next(replayed(blocks, 2, seed=seed))[1] for seed in (1, 2))
    assert not np.array_equal(one, other)
