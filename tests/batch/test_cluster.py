"""Runs on a cluster of real processes, of which some die."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from microscope_quality.batch.budget import Budget, hand_out
from microscope_quality.batch.cluster import run_on_cluster
from microscope_quality.batch.run import Outcome, run
from microscope_quality.errors import FileError, MicroscopeQualityError, SettingsError

pytest.importorskip("distributed")

pytestmark = pytest.mark.cluster

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
    # The worker of Dask's has a process of its own for what it does.
    (folder / f"{x} {os.getppid()}").touch()
    time.sleep(0.02)
    return {"x": x, "square": x * x}


def killer(x: int) -> int:
    if x == 5:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return x


def over_budget(x: int) -> int:
    if x == 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    if x == 2:
        os.kill(os.getpid(), signal.SIGSTOP)
    if x == 3:
        return len(bytes(2**31))
    return x


def counting(x: Any) -> Any:
    """Hand out the numbers below a number."""
    if isinstance(x, int):
        hand_out(range(x))
        return "number"
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


def test_an_item_over_its_budget_costs_neither_its_worker_nor_others(cluster: str) -> None:
    outcomes = list(run_on_cluster(over_budget, range(8), cluster, budget=Budget(seconds=2)))
    assert [o.value for o in outcomes] == [0, None, None, None, 4, 5, 6, 7]
    said = [outcomes[x].error for x in (1, 2, 3)]
    assert "was ended by SIGSEGV" in said[0]
    assert said[1] == "took longer than the 2 s that it may take"
    assert "needs more memory than the 537 MB that it may take" in said[2]
    assert [outcomes[x].died for x in (1, 2, 3)] == [True, True, False]


def test_what_follows_from_an_item_comes_behind_it(cluster: str) -> None:
    def follow(item: Any, part: range) -> Any:
        return f"{item} with parts", (f"part {k} of {item}" for k in part)

    outcomes = run_on_cluster(counting, [2, 0, 30], cluster, follow=follow)
    assert [o.item for o in outcomes] == [
        *("2 with parts", "part 0 of 2", "part 1 of 2", "0 with parts", "30 with parts"),
        *(f"part {k} of 30" for k in range(30)),
    ]


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


@contextlib.contextmanager
def talking(said: bytes, again: bool = False) -> Iterator[str]:
    """Run what is no scheduler: it says something to everybody, once or without an end."""
    over = threading.Event()

    def talk(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.sendall(said)
            while not over.wait(0.05):
                if again:
                    connection.sendall(said)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=talk, args=server.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        over.set()
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextlib.contextmanager
def stalling(target: str, nth: int, n_bytes: int) -> Iterator[str]:
    """Stand before a scheduler, and hold back what it says but for some first bytes.

    It does so to all connections from the `nth` one, counted from 1.
    """
    host, port = target.rpartition("//")[2].split(":")
    held = contextlib.ExitStack()

    def pass_on(source: socket.socket, sink: socket.socket, left: float) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(2**16):
                kept = piece[: int(min(left, len(piece)))]
                left -= len(kept)
                sink.sendall(kept)
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            for n in itertools.count(1):
                client = held.enter_context(server.accept()[0])
                there = held.enter_context(socket.create_connection((host, int(port))))
                left = n_bytes if n >= nth else float("inf")
                for ends in ((client, there, float("inf")), (there, client, left)):
                    threading.Thread(target=pass_on, args=ends, daemon=True).start()

    with held, socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("said", [b"", (100_000).to_bytes(8, "little")])
@pytest.mark.parametrize("again", [False, True])
def test_an_address_that_says_nothing_or_never_all_is_not_waited_for(
    said: bytes, again: bool, capfd: Any
) -> None:
    began = time.monotonic()
    with talking(said, again) as address:
        words = f"no Dask scheduler answers at {address} within 1 s"
        with pytest.raises(MicroscopeQualityError, match=words):
            list(run_on_cluster(abs, [1], address, wait_s=1.0))
    # A guard against waiting for ever.
    assert time.monotonic() - began < 20
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n" * 10,
        bytes(100),
        (50).to_bytes(8, "little") + b"\x01" * 50,
        (2**36).to_bytes(8, "little"),
        b"\xff" * 1000,
    ],
)
def test_what_is_no_scheduler_is_told(said: bytes, capfd: Any) -> None:
    with talking(said) as address:
        # What could be the beginning of something very long is waited for.
        words = (
            f"what answers at {address} is no Dask|no Dask scheduler answers at {address} within"
        )
        with pytest.raises(MicroscopeQualityError, match=words):
            list(run_on_cluster(abs, [1], address, wait_s=1.0))
    assert capfd.readouterr() == ("", "")


def address_in(file: str) -> str:
    address: str = json.loads(Path(file).read_text())["address"]
    return address


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("n_bytes", [0, 20, 300])
def test_a_scheduler_that_falls_silent_amid_the_first_words_is_not_waited_for(
    cluster: str, nth: int, n_bytes: int, capfd: Any
) -> None:
    began = time.monotonic()
    with stalling(address_in(cluster), nth, n_bytes) as address:
        words = f"{address} .*(within|has not answered for) 1 s"
        with pytest.raises(MicroscopeQualityError, match=words):
            list(run_on_cluster(abs, [1], address, wait_s=1.0))
    # A guard against waiting for ever.
    assert time.monotonic() - began < 20
    assert capfd.readouterr() == ("", "")


def test_a_scheduler_that_falls_silent_amid_the_run_is_not_waited_for(
    tmp_path: Path, capfd: Any
) -> None:
    place = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(tmp_path / "s.json"))
    with process("dask_scheduler", *place) as started:
        while not (tmp_path / "s.json").exists():
            time.sleep(0.05)
        with worker(str(tmp_path / "s.json")):
            # It has begun by then.
            assert list(run_on_cluster(abs, [1], str(tmp_path / "s.json")))
            items = run_on_cluster(
                functools.partial(slow, tmp_path),
                range(100_000),
                str(tmp_path / "s.json"),
                wait_s=3,
            )
            next(items)
            started.send_signal(signal.SIGSTOP)
            with pytest.raises(MicroscopeQualityError, match="has not answered for 3 s; run it"):
                list(items)
            # So that nobody waits for its end either.
            started.send_signal(signal.SIGCONT)
    assert capfd.readouterr() == ("", "")


RUN = """
import sys, time
from microscope_quality.batch.cluster import run_on_cluster
try:
    print("begins", flush=True)
    for outcome in run_on_cluster(time.sleep, [0.5] * 1000, sys.argv[1], wait_s=100.0):
        print("has", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@contextlib.contextmanager
def run_of(address: str, *words: str) -> Iterator[Any]:
    """Run a script on a cluster in a process of its own, until it has said some words."""
    started = subprocess.Popen(
        [sys.executable, "-c", RUN, address],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for word in words:
            assert started.stdout is not None
            assert started.stdout.readline() == f"{word}\n"
        yield started
    finally:
        started.kill()
        started.communicate()


def interrupted(started: Any) -> None:
    """End a run by Ctrl-C, soon and without a word of Dask's."""
    began = time.monotonic()
    started.send_signal(signal.SIGINT)
    said, errors = started.communicate(timeout=30)
    assert (said.splitlines()[-1:], errors) == (["interrupted"], "")
    # As long as somebody waits for it, with some more for a machine at work on other things.
    assert time.monotonic() - began < 10


def test_ctrl_c_while_nobody_answers(tmp_path: Path) -> None:
    with talking(b"") as address, run_of(address, "begins") as started:
        time.sleep(2)
        interrupted(started)


def test_ctrl_c_while_there_is_no_worker(lonely: str) -> None:
    with run_of(lonely, "begins") as started:
        time.sleep(2)
        interrupted(started)


def test_ctrl_c_while_results_come_and_when_they_stop_coming(tmp_path: Path) -> None:
    file = str(tmp_path / "s.json")
    place = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", file)
    with process("dask_scheduler", *place) as its_scheduler:
        while not Path(file).exists():
            time.sleep(0.05)
        with worker(file):
            with run_of(file, "begins", "has") as started:
                interrupted(started)
            with run_of(file, "begins", "has") as started:
                its_scheduler.send_signal(signal.SIGSTOP)
                time.sleep(1)
                interrupted(started)
            its_scheduler.send_signal(signal.SIGCONT)
