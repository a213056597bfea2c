"""Order, bounds and accidents of runs in worker processes."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Iterator, List

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from microscope_quality.batch.run import Outcome, n_cores, run
from microscope_quality.errors import FileError, MicroscopeQualityError, SettingsError

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def square(x: int) -> int:
    return x * x


def late_when_even(x: int) -> int:
    time.sleep(0.05 if x % 2 == 0 else 0.0)
    return x


def accident_prone(x: int) -> Any:
    if x == 1:
        raise FileError("cells.tif: is empty (0 bytes)")
    if x == 2:
        return 1 // 0
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if x == 4:
        os.kill(os.getpid(), signal.SIGSEGV)
    if x == 5:
        os._exit(7)
    if x == 6:
        return lambda: None  # cannot be pickled
    return x


def blas_threads(_: int) -> List[int]:
    a = np.ones((64, 64))
    assert (a @ a)[0, 0] == 64
    return [pool["num_threads"] for pool in threadpool_info()]


def process(_: int) -> int:
    time.sleep(0.02)
    return os.getpid()


def note(folder: Path, x: int) -> int:
    (folder / str(x)).touch()
    time.sleep(0.01)
    return x


class Unloadable:
    """A function that a worker cannot unpickle."""

    def __reduce__(self) -> Any:
        return fail, ()

    def __call__(self, x: int) -> int:
        return x


def fail() -> None:
    raise RuntimeError("no such library")


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_outcomes_come_in_the_items_order(jobs: int) -> None:
    outcomes = list(run(late_when_even, range(20), jobs=jobs))
    assert outcomes == [Outcome(x, x) for x in range(20)]


@pytest.mark.parametrize("jobs", [1, 3])
def test_no_items_no_outcomes(jobs: int) -> None:
    assert list(run(square, [], jobs=jobs)) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_none_is_an_item_like_any_other(jobs: int) -> None:
    assert [o.value for o in run(str, [None, 1, None], jobs=jobs)] == ["None", "1", "None"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_exception_is_the_error_of_its_item(jobs: int) -> None:
    outcomes = list(run(accident_prone, [0, 1, 2, 7], jobs=jobs))
    assert [o.value for o in outcomes] == [0, None, None, 7]
    assert [o.error for o in outcomes][:2] == ["", "cells.tif: is empty (0 bytes)"]
    assert outcomes[2].error.startswith("ZeroDivisionError: ")
    assert "test_run.py, line " in outcomes[2].error


@posix
@pytest.mark.parametrize("jobs", [2, 3])
def test_a_killed_worker_costs_only_its_item(jobs: int) -> None:
    outcomes = list(run(accident_prone, range(12), jobs=jobs))
    assert [o.item for o in outcomes] == list(range(12))
    good = [0, 7, 8, 9, 10, 11]
    assert [o.item for o in outcomes if not o.error] == good
    assert [o.value for o in outcomes if not o.error] == good
    assert "SIGKILL" in outcomes[3].error
    assert "memory" in outcomes[3].error
    assert "SIGSEGV" in outcomes[4].error
    assert "exit code 7" in outcomes[5].error
    assert "cannot be sent" in outcomes[6].error


@posix
def test_a_worker_killed_between_items_costs_nothing() -> None:
    outcomes = run(process, range(6), jobs=2)
    first = next(outcomes)
    assert first.value is not None
    time.sleep(0.3)  # by now both workers wait for this process to go on
    os.kill(first.value, signal.SIGKILL)
    rest = list(outcomes)
    assert len(rest) == 5
    assert sum(bool(o.error) for o in rest) <= 1  # it may have been given an item already


def test_every_job_computes_with_one_thread() -> None:
    for jobs in (1, 2):
        for outcome in run(blas_threads, range(3), jobs=jobs):
            assert outcome.value
            assert set(outcome.value) == {1}


def test_items_are_taken_only_a_few_ahead() -> None:
    taken: List[int] = []

    def items() -> Iterator[int]:
        for x in range(1000):
            taken.append(x)
            yield x

    outcomes = run(square, items(), jobs=2)
    for x in range(50):
        assert next(outcomes).item == x
        assert len(taken) <= x + 1 + 4 * 2
    outcomes.close()


def test_no_more_workers_than_items() -> None:
    assert len({o.value for o in run(process, [0], jobs=8)}) == 1


def test_closing_ends_the_workers(tmp_path: Path) -> None:
    outcomes = run(functools.partial(note, tmp_path), range(1000), jobs=2)
    next(outcomes)
    outcomes.close()
    done = len(list(tmp_path.iterdir()))
    time.sleep(0.1)
    assert len(list(tmp_path.iterdir())) == done < 1000


def test_a_function_that_no_worker_can_load_is_one_error_not_a_thousand() -> None:
    with pytest.raises(MicroscopeQualityError, match="no such library"):
        list(run(Unloadable(), range(1000), jobs=2))


@pytest.mark.parametrize("jobs", [0, -1, 1.5, True, "2"])
def test_jobs_is_a_positive_whole_number(jobs: Any) -> None:
    with pytest.raises(SettingsError, match="jobs"):
        run(square, [1], jobs=jobs)


def test_there_is_a_core() -> None:
    assert 1 <= n_cores() <= (os.cpu_count() or 1)
