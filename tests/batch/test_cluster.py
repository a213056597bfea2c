"""Runs on a cluster of real processes, of which some die."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from microscope_quality.batch.cluster import run_on_cluster
from microscope_quality.batch.run import Outcome, run
from microscope_quality.errors import FileError, MicroscopeQualityError, SettingsError

pytest.importorskip("distributed")

if sys.platform == "win32":
    pytest.skip("signals of POSIX", allow_module_level=True)


@contextlib.contextmanager
def process(
    command: str, *arguments: str, folder: Path = Path(__file__).parent
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of Dask's, which imports first of all what is in a folder."""
    started = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{command}", *arguments, "--no-dashboard"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            # Fewer have to die than by default.
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@contextlib.contextmanager
def scheduler(folder: Path) -> Iterator[str]:
    """Run a scheduler; give its file."""
    file = folder / "scheduler.json"
    place = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
    with process("dask_scheduler", *place):
        while not file.exists():
            time.sleep(0.05)
        yield str(file)


def worker(file: str, n_threads: int = 1, **place: Path) -> Any:
    """Run a worker of a scheduler."""
    scratch = ("--local-directory", str(Path(file).parent))
    size = ("--no-nanny", "--nworkers", "1", "--nthreads", str(n_threads))
    return process("dask_worker", "--scheduler-file", file, *scratch, *size, **place)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a scheduler with a worker of two threads."""
    with scheduler(tmp_path_factory.mktemp("cluster")) as file, worker(file, 2):
        yield file


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a scheduler without workers."""
    with scheduler(tmp_path_factory.mktemp("lonely")) as file:
        yield file


def accident_prone(x: int) -> Any:
    if x == 1:
        raise FileError("cells.tif: is empty (0 bytes)")
    if x == 2:
        return 1 // 0
    if x == 3:
        return lambda: None  # cannot be pickled
    return {"x": x, "name": "=cmd\n\udc80"}


def slow(folder: Path, x: int) -> Dict[str, Any]:
    (folder / f"{x} {os.getpid()}").touch()
    time.sleep(0.02)
    return {"x": x, "square": x * x}


def killer(x: int) -> int:
    if x == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def blas_threads(_: int) -> List[int]:
    a = np.ones((64, 64))
    assert (a @ a)[0, 0] == 64
    return [pool["num_threads"] for pool in threadpool_info()]


def test_outcomes_are_those_without_a_cluster(cluster: str, capfd: Any) -> None:
    outcomes = list(run_on_cluster(accident_prone, range(12), cluster))
    assert outcomes == list(run(accident_prone, range(12), jobs=2))
    assert [bool(o.error) for o in outcomes] == [x in (1, 2, 3) for x in range(12)]
    assert capfd.readouterr() == ("", "")


def test_items_are_taken_only_a_few_ahead(cluster: str) -> None:
    taken: List[int] = []

    def items() -> Iterator[int]:
        for x in range(1000):
            taken.append(x)
            yield x

    outcomes = run_on_cluster(abs, items(), cluster)
    for x in range(20):
        assert next(outcomes) == Outcome(x, x)
        assert len(taken) <= x + 1 + 4 * 2
    outcomes.close()


def test_tasks_that_overlap_compute_with_one_thread(cluster: str) -> None:
    for outcome in run_on_cluster(blas_threads, range(16), cluster):
        assert outcome.value
        assert set(outcome.value) == {1}


def test_a_function_that_no_worker_can_load_is_one_error(cluster: str) -> None:
    with pytest.raises(MicroscopeQualityError, match="cannot begin: RuntimeError: no such library"):
        list(run_on_cluster(Unloadable(), range(1000), cluster))


class Unloadable:
    """A function that a worker cannot unpickle."""

    def __reduce__(self) -> Any:
        return fail, ()

    def __call__(self, x: int) -> int:
        return x


def fail() -> None:
    raise RuntimeError("no such library")


def test_what_was_on_a_killed_worker_is_done_by_another_and_given_once(
    lonely: str, tmp_path: Path
) -> None:
    function = functools.partial(slow, tmp_path)
    found: List[Outcome[int, Dict[str, Any]]] = []
    with worker(lonely) as first, worker(lonely) as second:
        both = {first.pid, second.pid}

        def items() -> Iterator[int]:
            # As many as it takes until both are at work, and some more after that.
            for x in itertools.count():
                yield x
                if {int(path.name.split()[1]) for path in tmp_path.iterdir()} >= both:
                    break
            yield from range(x + 1, x + 30)

        for outcome in run_on_cluster(function, items(), lonely):
            found.append(outcome)
            at_work = {int(path.name.split()[1]) for path in tmp_path.iterdir()}
            if at_work >= both and first.poll() is None:
                first.kill()
                first.wait()
    assert at_work == both
    assert first.returncode == -signal.SIGKILL
    assert found == list(run(function, range(len(found))))
    assert len(found) >= 30


def test_an_item_that_kills_its_workers_is_an_error_and_its_neighbours_are_not(lonely: str) -> None:
    with contextlib.ExitStack() as workers:
        for _ in range(3):
            workers.enter_context(worker(lonely))
        outcomes = list(run_on_cluster(killer, range(6), lonely))
    assert [o.value for o in outcomes] == [0, 1, 2, 3, 4, None]
    assert [bool(o.error) for o in outcomes] == [False] * 5 + [True]
    assert "workers died when they were at work on it" in outcomes[5].error


def test_a_cluster_without_workers_is_not_waited_for_without_an_end(lonely: str) -> None:
    with pytest.raises(MicroscopeQualityError, match=r"no worker for 0.2 s; start some, as by"):
        list(run_on_cluster(abs, [1], lonely, wait_s=0.2))


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("__version__ = '0.0.1'", "has version 0.0.1 of microscope-quality; it has to be"),
        ("raise ImportError('no such module')", "has no microscope-quality"),
    ],
)
def test_a_worker_with_another_version_or_none_is_refused(
    lonely: str, tmp_path: Path, module: str, said: str
) -> None:
    other = tmp_path / "microscope_quality"
    other.mkdir()
    (other / "__init__.py").touch()
    (other / "version.py").write_text(module)
    refused = pytest.raises(MicroscopeQualityError, match=f"worker at tcp://127.0.0.1.* {said}")
    with worker(lonely, folder=tmp_path), refused:
        list(run_on_cluster(abs, [1], lonely))


def test_a_scheduler_that_is_lost_ends_the_run(tmp_path: Path, capfd: Any) -> None:
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(scheduler(tmp_path))
        with worker(file):
            outcomes = run_on_cluster(functools.partial(slow, tmp_path), range(1000), file)
            next(outcomes)
            stack.close()
            with pytest.raises(MicroscopeQualityError, match="the connection .* was lost"):
                list(outcomes)
    assert capfd.readouterr() == ("", "")


def test_nobody_at_the_address(capfd: Any) -> None:
    with pytest.raises(
        MicroscopeQualityError, match="no Dask scheduler answers at tcp://127.0.0.1:9"
    ):
        list(run_on_cluster(abs, [1], "tcp://127.0.0.1:9", wait_s=0.2))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("head", "it has to be like tcp://host:8786"),
        ("xyz://head:1", "no xyz"),
        ("missing.json", "No such file"),
    ],
)
def test_what_is_no_address_is_refused_at_once(address: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        run_on_cluster(abs, [1], address)


def test_what_is_no_scheduler_file_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text("[1]")
    with pytest.raises(SettingsError, match="is no scheduler file"):
        run_on_cluster(abs, [1], str(file))
