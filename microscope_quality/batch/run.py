"""Run a function over many items in worker processes and keep the order of the items.

What can go wrong with one item (an exception, a process that the system kills) is that item's
error; the others go on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Generator,
    Generic,
    Iterable,
    List,
    Optional,
    Tuple,
    TypeVar,
    cast,
)

from threadpoolctl import threadpool_limits

from microscope_quality.errors import MicroscopeQualityError, SettingsError

Item = TypeVar("Item")
Value = TypeVar("Value")

#: Items that may be on their way or done before their turn, for each job.
_AHEAD = 4

#: Read by numerical libraries when they are loaded.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of an item: its value, or a sentence in `error`."""

    item: Item
    value: Optional[Value] = None
    error: str = ""


def n_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(
    function: Callable[[Item], Value], items: Iterable[Item], *, jobs: int = 1
) -> Generator[Outcome[Item, Value], None, None]:
    """Apply a function to each item and give the outcomes in the items' order.

    Parameters
    ----------
    function
        With more than one job it is pickled, as are items and values: a function of a module, or
        a `functools.partial` of one. It runs with one thread in BLAS and OpenMP, so that its
        values do not depend on `jobs`.
    items
        Taken only a few ahead of the outcomes, so that neither has to fit in memory.
    jobs
        Number of worker processes; 1 runs the function in this process, where a crash cannot be
        held off. Workers are started when there is an item for them, and replaced when they die.

    Yields
    ------
    Outcome
        Closing the generator, or an exception in it such as KeyboardInterrupt, ends the workers.

    Raises
    ------
    SettingsError
        `jobs` is not a positive whole number.
    MicroscopeQualityError
        A worker process cannot be started at all.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise SettingsError(f"jobs is {jobs!r}; it has to be a whole number from 1")
    return _in_process(function, items) if jobs == 1 else _in_workers(function, items, jobs)


def _in_process(
    function: Callable[[Item], Value], items: Iterable[Item]
) -> Generator[Outcome[Item, Value], None, None]:
    for item in items:
        with threadpool_limits(limits=1):
            value, error = _attempt(function, item)
        yield Outcome(item, value, error)


def _attempt(function: Callable[[Item], Value], item: Item) -> Tuple[Optional[Value], str]:
    try:
        return function(item), ""
    except MicroscopeQualityError as error:
        return None, str(error)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}, line {where.lineno}"
        return None, f"{type(error).__name__}: {error} ({place})"


class _WorkerDiedError(Exception):
    """The process ended without an answer; says how."""


class _Worker:
    """A process that takes one item at a time through a pipe and answers with its value."""

    def __init__(self, function: bytes) -> None:
        # "spawn" also where forking is the habit: a fork copies the locks of threads that it
        # does not copy, such as those of a progress bar or of BLAS.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.started = False
        self.index: Optional[int] = None
        self._send(function)

    def give(self, index: int, item: bytes) -> None:
        self.index = index
        self._send(item)

    def _send(self, message: bytes) -> None:
        # To a worker that has just died nothing can be sent; receiving from it tells how.
        with contextlib.suppress(OSError):
            self.connection.send_bytes(message)

    def receive(self) -> Optional[Tuple[Any, str]]:
        """Value and error of its item; None when the worker only says that it has started."""
        try:
            answer: Tuple[Any, str] = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            if not self.started and code > 0:
                raise MicroscopeQualityError(
                    f"a worker process ended with exit code {code} before it could begin"
                ) from None
            raise _WorkerDiedError(_how_it_ended(code)) from None
        if self.started:
            self.index = None
            return answer
        if answer[1]:
            raise MicroscopeQualityError(f"a worker process could not begin: {answer[1]}")
        self.started = True
        return None

    def stop(self) -> None:
        if self.index is not None:
            self.process.terminate()
        self.connection.close()
        self.process.join()
        self.process.close()


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"the process at work on it ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = "; perhaps memory ran out" if name == "SIGKILL" else ""
    return f"the process at work on it was ended by {name}{hint}"


def _work(connection: Connection[Any, Any]) -> None:
    # Ctrl-C reaches all processes of a terminal; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    function, error = _attempt(pickle.loads, connection.recv_bytes())
    connection.send((None, error))
    while function is not None:
        try:
            message = connection.recv_bytes()
        except EOFError:
            return
        with threadpool_limits(limits=1):
            item, error = _attempt(pickle.loads, message)
            value = None
            if not error:
                value, error = _attempt(function, item)
        try:
            connection.send((value, error))
        except (pickle.PicklingError, TypeError, AttributeError) as refusal:
            connection.send((None, f"its value cannot be sent: {refusal}"))


def _in_workers(
    function: Callable[[Item], Value], items: Iterable[Item], jobs: int
) -> Generator[Outcome[Item, Value], None, None]:
    pickled = pickle.dumps(function)
    source = enumerate(items)
    workers: List[_Worker] = []
    taken: Dict[int, Item] = {}
    answers: Dict[int, Tuple[Any, str]] = {}
    turn = 0
    exhausted = False
    try:
        while True:
            while not exhausted and len(taken) < _AHEAD * jobs:
                idle = _idle(workers)
                if idle is None and len(workers) == jobs:
                    break
                try:
                    index, item = next(source)
                except StopIteration:
                    exhausted = True
                    break
                if idle is None:
                    idle = _Worker(pickled)
                    workers.append(idle)
                taken[index] = item
                idle.give(index, pickle.dumps(item))
            if not taken:
                return
            if turn in answers:
                yield Outcome(taken.pop(turn), *answers.pop(turn))
                turn += 1
                continue
            busy = {worker.connection: worker for worker in workers if worker.index is not None}
            for connection in wait(list(busy)):
                worker = busy[cast("Connection[Any, Any]", connection)]
                index = cast(int, worker.index)
                try:
                    answer = worker.receive()
                except _WorkerDiedError as death:
                    answer = None, str(death)
                    workers.remove(worker)
                    worker.stop()
                if answer is not None:
                    answers[index] = answer
    finally:
        for worker in workers:
            worker.stop()


def _idle(workers: List[_Worker]) -> Optional[_Worker]:
    """Find a worker that has nothing to do; those that died meanwhile are taken off the list."""
    for worker in [worker for worker in workers if worker.index is None]:
        if worker.process.is_alive():
            return worker
        workers.remove(worker)
        worker.stop()
    return None
