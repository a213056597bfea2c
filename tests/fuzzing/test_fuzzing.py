"""What was found by fuzzing stays mended, and a few hundred new inputs have the stated outcome."""

from __future__ import annotations

import importlib
import mmap
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .outcome import bounded, found

TARGETS = {
    name: importlib.import_module(f".{name}", __package__)
    for name in ("images", "formats", "models", "tables")
}
SEEDS = {name: target.seeds() for name, target in TARGETS.items()}

# What decoders have to say does not matter here.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in TARGETS for kind in found(name)]
)
def test_what_was_found_stays_mended(name, kind):
    TARGETS[name].check(found(name)[kind])


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_as_they_should_be(name):
    for content in SEEDS[name].values():
        TARGETS[name].check(content)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_change_has_the_stated_outcome(name, data):
    target = TARGETS[name]
    content = SEEDS[name][data.draw(st.sampled_from(sorted(SEEDS[name])))]
    for seed in data.draw(st.lists(st.integers(0, 2**32), min_size=1, max_size=4)):
        rng = random.Random(seed)

        def anyhow(part, longest, rng=rng):
            changed = bytearray(part)
            for _ in range(rng.randint(1, 4)):
                at = rng.randint(0, len(changed))
                to = min(at + rng.choice((0, 1, 1, 1, 4, 100)), len(changed))
                changed[at:to] = rng.randbytes(rng.choice((0, 1, 1, 1, 4, 20)))
            return bytes(changed[:longest])

        content = target.mutate(content, 2**16, seed, anyhow)
    target.check(content)


def test_the_bounds_bind():
    """What takes much, or long, is told even when it is given back."""
    pages = b"\1" * 2**26  # 64 MB

    def take():  # from the system: what Python has given back to its heap is still resident
        with mmap.mmap(-1, len(pages)) as memory:
            memory.write(pages)

    with pytest.raises(AssertionError, match="MB"), bounded(2**24):
        take()
    with pytest.raises(AssertionError, match=r"took .* s$"), bounded(2**28, seconds=0):
        take()
    with bounded(2**28):
        take()
