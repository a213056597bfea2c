"""Items are given as they come and answered as each is done."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from microscope_quality.batch.pool import Pool
from microscope_quality.errors import FileError


def work(item):
    kind, value = item
    if kind == "wait for":
        while not Path(value).exists():
            time.sleep(0.01)
    elif kind == "raise":
        raise FileError(value)
    elif kind == "die":
        os._exit(3)
    return os.getpid(), value


def collected(pool, number):
    outcomes = []
    while len(outcomes) < number:
        outcomes += pool.collect(30)
    return outcomes


def test_one_that_takes_long_holds_up_none(tmp_path):
    with Pool(work, 2) as pool:
        slow = ("wait for", str(tmp_path / "go"))
        pool.give(slow)
        for k in range(4):
            pool.give(("quick", k))
            assert pool.free == 0
            with pytest.raises(ValueError, match="at work"):
                pool.give(("quick", k))
            (outcome,) = collected(pool, 1)
            assert outcome.item == ("quick", k)
            assert outcome.value[1] == k
        assert pool.at_work == 1
        (tmp_path / "go").touch()
        (outcome,) = collected(pool, 1)
        assert outcome.item == slow
        assert pool.at_work == 0


def test_errors_and_deaths_are_of_their_item():
    with Pool(work, 1) as pool:
        pids = set()
        for kind, error in (
            ("quick", ""),
            ("raise", "no such thing"),
            ("die", "exit code 3"),
            ("quick", ""),
        ):
            pool.give((kind, "no such thing"))
            (outcome,) = collected(pool, 1)
            assert error in outcome.error
            assert bool(error) == (outcome.value is None)
            pids |= {outcome.value[0]} if outcome.value else set()
        assert len(pids) == 2


def test_without_work_it_gives_nothing():
    with Pool(work, 1) as pool:
        assert pool.collect(0.05) == []
