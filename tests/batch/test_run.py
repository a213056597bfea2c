"""Order, bounds and accidents of runs in worker processes."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Tuple

import numpy as np
import pytest
from systems import linux, posix
from threadpoolctl import threadpool_info

from microscope_quality.batch.budget import Budget, hand_out, need
from microscope_quality.batch.run import Outcome, n_cores, run
from microscope_quality.errors import FileError, MicroscopeQualityError, SettingsError

pytestmark = pytest.mark.long


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


class Load(NamedTuple):
    """An item that needs memory."""

    n_bytes: int


def loaded(folder: Path, load: Load) -> Tuple[float, float, int]:
    """Take the memory for a while; give when, and the process."""
    (folder / str(os.getpid())).touch()
    began = time.monotonic()
    block = np.ones(load.n_bytes, np.uint8)
    time.sleep(0.05)
    assert block[-1] == 1
    return began, time.monotonic(), os.getpid()


def n_bytes(load: Load) -> int:
    if load.n_bytes < 0:
        raise FileError("cells.tif: is empty (0 bytes)")
    return load.n_bytes


@pytest.mark.parametrize("jobs", [2, 4])
def test_items_at_work_at_once_stay_within_the_limit(tmp_path: Path, jobs: int) -> None:
    loads = [Load(1000 * n) for n in (3, 3, 3, 2, 10, 1, 1, 9, 1, 5, 5, 5, 4, 1, 10, 1, 1, 1)]
    outcomes = list(
        run(
            functools.partial(loaded, tmp_path),
            loads,
            jobs=jobs,
            limit_bytes=10_000,
            bytes_of=n_bytes,
        )
    )
    assert [o.item for o in outcomes] == loads
    spans = [(*o.value[:2], o.item.n_bytes) for o in outcomes if o.value]
    assert len(spans) == len(loads)
    for now, _, _ in spans:
        assert sum(size for began, ended, size in spans if began <= now < ended) <= 10_000
    # Those that need all of it were not passed by, nor did they pass by others.
    for k, (began, ended, size) in enumerate(spans):
        if size == 10_000:
            assert all(other[1] <= began for other in spans[:k])
            assert all(other[0] >= ended for other in spans[k + 1 :])
    if jobs == 4:
        assert len({o.value[2] for o in outcomes if o.value}) > 2


def test_the_next_item_that_fits_beside_is_sent_ahead_and_one_that_does_not_is_not() -> None:
    # Short items, so that workers have one waiting: 4 + 4 are at work at once, 4 + 8 never.
    loads = [Load(4), Load(4), Load(4), Load(8), Load(4), Load(8)] * 5
    outcomes = list(run(instant, loads, jobs=2, limit_bytes=10, bytes_of=n_bytes))
    assert [o.item for o in outcomes] == loads
    spans = [(*o.value, o.item.n_bytes) for o in outcomes if o.value]
    assert len(spans) == len(loads)
    for now, _, _ in spans:
        assert sum(size for began, ended, size in spans if began <= now < ended) <= 10


def instant(_: Load) -> Tuple[float, float]:
    return time.monotonic(), time.monotonic()


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_item_that_needs_more_than_all_is_an_error(tmp_path: Path, jobs: int) -> None:
    outcomes = list(
        run(
            functools.partial(loaded, tmp_path),
            [Load(1000), Load(5_340_000_000), Load(-1), Load(1000)],
            jobs=jobs,
            limit_bytes=2_000_000_000,
            bytes_of=n_bytes,
        )
    )
    assert [o.error for o in outcomes] == [
        "",
        "needs about 5.3 GB of memory, and the limit is 2.0 GB",
        "cells.tif: is empty (0 bytes)",
        "",
    ]


@linux
def test_idle_workers_give_their_memory_to_an_item_that_needs_it(tmp_path: Path) -> None:
    loads = [Load(30), Load(30), Load(30), Load(95), Load(30), Load(30)]
    crowd = functools.partial(others_alive, tmp_path)
    options = {"limit_bytes": 100, "bytes_of": n_bytes, "idle_bytes": 20}
    outcomes = list(run(crowd, loads, jobs=3, **options))
    assert [o.item for o in outcomes] == loads
    assert outcomes[3].value == 0, outcomes[3].error


def others_alive(folder: Path, load: Load) -> int:
    """Count the other processes that have been at work and are still there."""
    (folder / str(os.getpid())).touch()
    time.sleep(0.1)
    pids = {int(path.name) for path in folder.iterdir()} - {os.getpid()}
    return sum(Path(f"/proc/{pid}").exists() for pid in pids)


@linux
def test_real_processes_stay_within_the_limit(tmp_path: Path) -> None:
    (first,) = run(memory, [0], jobs=2)
    base = first.value or 0
    loads = [Load(n * 2**20) for n in (60, 100, 60, 200, 20, 100)]
    at_rest = base + 10 * 2**20

    def peak(limit: float) -> int:
        """Largest sum of the memory of all workers, as seen from here."""
        seen = 0
        with contextlib.closing(
            run(
                functools.partial(loaded, tmp_path),
                loads,
                jobs=4,
                limit_bytes=round(limit),
                bytes_of=lambda load: at_rest + load.n_bytes,
                idle_bytes=at_rest,
            )
        ) as outcomes:
            done = threading.Event()

            def look() -> None:
                nonlocal seen
                while not done.wait(0.002):
                    seen = max(seen, sum(map(resident, workers())))

            watcher = threading.Thread(target=look)
            watcher.start()
            try:
                assert [o.error for o in outcomes] == [""] * len(loads)
            finally:
                done.set()
                watcher.join()
        return seen

    limit = 2 * at_rest + 210 * 2**20
    assert peak(limit) <= limit < peak(1e12)


def workers() -> list[int]:
    """Workers of this process; `active_children` would take the ends that the run waits for."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            for pid in (task / "children").read_text().split():
                if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
                    found.append(int(pid))
    return found


def resident(pid: int) -> int:
    """Memory of a process, in bytes; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def memory(_: int) -> int:
    return resident(os.getpid())


@pytest.mark.parametrize(
    "options",
    [
        {"limit_bytes": 0, "bytes_of": abs},
        {"limit_bytes": True, "bytes_of": abs},
        {"limit_bytes": 10},
        {"bytes_of": abs},
    ],
)
def test_a_limit_is_a_positive_number_with_a_measure(options: Any) -> None:
    with pytest.raises(SettingsError, match="limit_bytes"):
        run(square, [1], **options)


def test_a_worker_has_its_next_item_before_it_has_answered(tmp_path: Path) -> None:
    def begun(at_least: int) -> bool:
        """Whether so many items are begun while this process hands out none."""
        deadline = time.monotonic() + 0.5
        while len(list(tmp_path.iterdir())) < at_least and time.monotonic() < deadline:
            time.sleep(0.01)
        return len(list(tmp_path.iterdir())) >= at_least

    with contextlib.closing(run(functools.partial(note, tmp_path), range(100), jobs=2)) as outcomes:
        # Two at work and an answer that waits would be three.
        assert any(begun(k + 4) for k, _ in enumerate(outcomes, 1))


# A budget, and what follows from an item.


def over_budget(x: int) -> int:
    if x == 1:
        time.sleep(1000)
    if x == 2:
        os.kill(os.getpid(), signal.SIGSTOP)
    if x == 3:
        return len(bytes(2**31))
    if x == 4:
        need(10**9)
        return len(bytes(2**31))
    if x == 5:
        # More than the time of each: it says so.
        for _ in range(4):
            need(0, 1.0)
            time.sleep(1)
    return x


@linux
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_item_over_its_budget_costs_no_other(jobs: int) -> None:
    outcomes = list(run(over_budget, range(8), jobs=jobs, budget=Budget(seconds=2)))
    assert [o.value for o in outcomes] == [0, None, None, None, 2**31, 5, 6, 7]
    for x in (1, 2):
        assert outcomes[x].error == "took longer than the 2 s that it may take"
        assert outcomes[x].died
    assert outcomes[3].error == "needs more memory than the 537 MB that it may take"
    assert not workers()


@linux
def test_a_limit_of_memory_may_be_given() -> None:
    outcomes = list(run(over_budget, [4, 3], budget=Budget(memory_bytes=10**9)))
    said = "needs more memory than the 1.0 GB that it may take"
    assert [o.error for o in outcomes] == [said, said]
    outcomes = list(run(over_budget, [4, 3], budget=Budget(memory_bytes=3 * 10**9)))
    assert [o.value for o in outcomes] == [2**31, 2**31]


@pytest.mark.parametrize("options", [{"seconds": 0}, {"seconds": float("inf")}])
def test_a_budget_is_positive(options: Any) -> None:
    with pytest.raises(SettingsError, match="it has to be a positive number"):
        Budget(**options)
    with pytest.raises(SettingsError, match="it has to be a positive number"):
        Budget(memory_bytes=0)
    with pytest.raises(SettingsError, match="follow needs a budget"):
        run(square, [1], follow=lambda item, part: (item, []))


def folders(x: Any) -> Any:
    """Hand out the numbers below a number; a text is an item as it is."""
    if isinstance(x, int) and x:
        hand_out(range(1, x))
        time.sleep(0.05 * (x % 3))
        if x == 5:
            raise FileError("the first of five is damaged")
        if x == 6:
            os.kill(os.getpid(), signal.SIGKILL)
    return str(x)


def listed(item: Any, part: range) -> Any:
    return f"0 of {item}", (f"{k} of {item}" for k in part)


@posix
@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_what_follows_from_an_item_comes_behind_it(jobs: int) -> None:
    sizes = [3, 0, 40, 1, 5, 6, 2, 7]
    outcomes = list(run(folders, sizes, jobs=jobs, budget=Budget(), follow=listed))
    wanted = [0 if size == 0 else f"{k} of {size}" for size in sizes for k in range(max(size, 1))]
    assert [o.item for o in outcomes] == wanted
    errors = {o.item: o.error for o in outcomes if o.error}
    assert list(errors) == ["0 of 5", "0 of 6"]
    assert errors["0 of 5"] == "the first of five is damaged"
    assert "SIGKILL" in errors["0 of 6"]
    good = [o for o in outcomes if not o.error]
    assert all(o.value == o.item for o in good if "0 of" not in str(o.item) and o.item != 0)


@posix
def test_what_follows_is_taken_only_a_few_ahead() -> None:
    taken: List[int] = []

    def follow(item: Any, part: range) -> Any:
        return item, (taken.append(k) or f"{k}" for k in part)

    outcomes = run(folders, [10_000, 3], jobs=2, budget=Budget(), follow=follow)
    for number in range(200):
        next(outcomes)
        assert len(taken) <= number + 1 + 3 * 4 * 2
    outcomes.close()


def needy(x: int) -> int:
    need(x)
    return x


@posix
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_turns_out_to_need_more_waits_for_room_or_is_an_error(jobs: int) -> None:
    sizes = [10, 900, 50, 901, 20, 500, 600]
    outcomes = list(
        run(
            needy,
            sizes,
            jobs=jobs,
            limit_bytes=1000,
            own_bytes=100,
            bytes_of=lambda _: 100,
            budget=Budget(),
        )
    )
    assert [o.item for o in outcomes] == sizes
    assert [o.value for o in outcomes] == [10, 900, 50, None, 20, 500, 600]
    assert outcomes[3].error == "needs about 1.0 kB of memory, and the limit is 1.0 kB"


@linux
def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
import functools, pathlib
from test_run import Budget, note_and_wait, run
if __name__ == "__main__":
    function = functools.partial(note_and_wait, pathlib.Path({str(tmp_path)!r}))
    list(run(function, range(2), jobs=2, budget=Budget()))
"""
    path = tmp_path / "script.py"
    path.write_text(script)
    process = subprocess.Popen([sys.executable, str(path)])
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("pid*"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    process.wait()
    pids = [int(path.name[3:]) for path in tmp_path.glob("pid*")]
    assert len(pids) == 2
    while any(map(is_alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_alive, pids))


def note_and_wait(folder: Path, x: int) -> None:
    (folder / f"pid{os.getpid()}").touch()
    time.sleep(1000)


def is_alive(pid: int) -> bool:
    try:
        return "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return False


@linux
def test_time_in_which_all_were_asleep_does_not_count(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    command = [sys.executable, "-c", WAKER, str(os.getpid()), str(begun)]
    with subprocess.Popen(command) as child:
        outcomes = list(run(functools.partial(nap, begun), [2.0], budget=Budget(seconds=6)))
        assert child.wait() == 0
    assert [o.error for o in outcomes] == [""]


# Stops a process and those that it started, for longer than an item may take.
WAKER = """
import os, pathlib, signal, sys, time
while not os.path.exists(sys.argv[2]): time.sleep(0.05)
pid = int(sys.argv[1])
all_of = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
others = [one for one in [pid, *map(int, all_of)] if one != os.getpid()]
for one in others: os.kill(one, signal.SIGSTOP)
time.sleep(8)
for one in others: os.kill(one, signal.SIGCONT)
"""


def nap(begun: Path, seconds: float) -> float:
    begun.touch()
    # Not at one go: the end of that would come while the process is stopped.
    for _ in range(round(seconds / 0.05)):
        time.sleep(0.05)
    return seconds
