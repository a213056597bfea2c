"""Run a function over many items in worker processes and keep the order of the items.

What can go wrong with one item (an exception, a process that the system kills) is that item's
error; the others go on.

Items are begun in their order, under a limit of memory too: one that needs much waits until there
is room for it, and nothing passes it by meanwhile, so that it does not wait for ever. A worker
whose items are short has the next one before it has answered, and never waits for this process.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import (
    Any,
    Callable,
    Deque,
    Dict,
    Generator,
    Generic,
    Iterable,
    Iterator,
    List,
    Optional,
    Tuple,
    TypeVar,
    cast,
)

from threadpoolctl import ThreadpoolController

from microscope_quality.batch.memory import bytes_in_words
from microscope_quality.errors import MicroscopeQualityError, SettingsError

Item = TypeVar("Item")
Value = TypeVar("Value")

#: Items that may be on their way or done before their turn, for each job.
_AHEAD = 4

# An item is sent to a worker before its turn when the last one took less, in seconds: where items
# are long, one that waits behind a long one would be begun sooner by another worker.
_SHORT_S = 0.5

# Bytes that a pipe takes while nobody reads at its other end, on any system.
_PIPE_BYTES = 4096

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
    function: Callable[[Item], Value],
    items: Iterable[Item],
    *,
    jobs: int = 1,
    limit_bytes: Optional[int] = None,
    bytes_of: Optional[Callable[[Item], int]] = None,
    idle_bytes: int = 0,
    own_bytes: int = 0,
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
    limit_bytes
        Memory of all processes together; without it there is no limit. An item that needs more is
        an error without being tried. With one job it is what an item may need in this process.
    bytes_of
        Memory, in bytes, of a process while it works on an item. Called in this process; what it
        raises is the item's error.
    idle_bytes
        Memory of a worker without an item. Those that are idle are ended when an item needs
        their memory.
    own_bytes
        Of `limit_bytes`, what this process takes itself.

    Yields
    ------
    Outcome
        Closing the generator, or an exception in it such as KeyboardInterrupt, ends the workers.

    Raises
    ------
    SettingsError
        `jobs` or `limit_bytes` is not a positive whole number, or one of `limit_bytes` and
        `bytes_of` is there without the other.
    MicroscopeQualityError
        A worker process cannot be started at all.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise SettingsError(f"jobs is {jobs!r}; it has to be a whole number from 1")
    if (limit_bytes is None) != (bytes_of is None):
        raise SettingsError("limit_bytes and bytes_of need each other; give both or neither")
    if limit_bytes is not None and (isinstance(limit_bytes, bool) or limit_bytes < 1):
        raise SettingsError(f"limit_bytes is {limit_bytes!r}; it has to be a whole number from 1")
    admitted = _admitted(items, limit_bytes, bytes_of, own_bytes)
    if limit_bytes is not None:
        limit_bytes -= own_bytes
    if jobs == 1:
        return _in_process(function, admitted)
    return _in_workers(admitted, _Crew(function, jobs, limit_bytes, idle_bytes))


def _admitted(
    items: Iterable[Item],
    limit_bytes: Optional[int],
    bytes_of: Optional[Callable[[Item], int]],
    own_bytes: int,
) -> Iterator[Tuple[Item, int, str]]:
    """Items, each with the memory it needs in bytes, and why it cannot be tried."""
    for item in items:
        if bytes_of is None or limit_bytes is None:
            yield item, 0, ""
            continue
        needed, error = attempt(bytes_of, item)
        if needed is not None and needed + own_bytes > limit_bytes:
            error = (
                f"needs about {bytes_in_words(needed + own_bytes)} of memory, and the limit is "
                f"{bytes_in_words(limit_bytes)}"
            )
        yield item, needed or 0, error


def _in_process(
    function: Callable[[Item], Value], admitted: Iterator[Tuple[Item, int, str]]
) -> Generator[Outcome[Item, Value], None, None]:
    for item, _, error in admitted:
        value = None
        if not error:
            with _pools(len(sys.modules)).limit(limits=1):
                value, error = attempt(function, item)
        yield Outcome(item, value, error)


def attempt(function: Callable[[Item], Value], item: Item) -> Tuple[Optional[Value], str]:
    """Apply a function to an item; give its value and no error, or none and a sentence."""
    try:
        return function(item), ""
    except MicroscopeQualityError as error:
        return None, str(error)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}, line {where.lineno}"
        return None, f"{type(error).__name__}: {error} ({place})"


@functools.lru_cache(maxsize=1)
def _pools(n_modules: int) -> ThreadpoolController:
    """Libraries with threads of their own: a module that is loaded may bring another one.

    To look for them takes a millisecond or two, for each small image as for a large one.
    """
    return ThreadpoolController()


class WorkerDiedError(Exception):
    """The process ended without an answer; says how."""


@dataclass(frozen=True)
class Work:
    """An item on its way: its place in the order, pickled, and the memory it needs."""

    index: int
    message: bytes
    n_bytes: int


class Worker:
    """A process that takes items through a pipe and answers with the value of one at a time."""

    def __init__(self, function: bytes) -> None:
        # "spawn" also where forking is the habit: a fork copies the locks of threads that it
        # does not copy, such as those of a progress bar or of BLAS.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.started = False
        #: The first is at work, a second one waits for it.
        self.works: Deque[Work] = deque()
        self.last_s = float("inf")
        self._send(function)

    def give(self, work: Work) -> None:
        self.works.append(work)
        self._send(work.message)

    def takes_ahead(self, work: Work) -> bool:
        """Whether it may have an item that waits for the one at work."""
        # While it works it does not read: what the pipe does not hold would stop this process.
        fits = len(work.message) <= _PIPE_BYTES - 16
        return len(self.works) == 1 and self.last_s < _SHORT_S and fits

    def _send(self, message: bytes) -> None:
        # To a worker that has just died nothing can be sent; receiving from it tells how.
        with contextlib.suppress(OSError):
            self.connection.send_bytes(message)

    def receive(self) -> Optional[Tuple[int, Any, str]]:
        """Index, value and error of its item; None when it only says that it has started."""
        try:
            value, error, seconds = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            if not self.started and code > 0:
                raise MicroscopeQualityError(
                    f"a worker process ended with exit code {code} before it could begin"
                ) from None
            raise WorkerDiedError(_how_it_ended(code)) from None
        if self.started:
            self.last_s = seconds
            return self.works.popleft().index, value, error
        if error:
            raise MicroscopeQualityError(f"a worker process could not begin: {error}")
        self.started = True
        return None

    def stop(self) -> None:
        if self.works:
            self.process.terminate()
        self.connection.close()
        self.process.join()
        self.process.close()


class _Crew:
    """The workers of a run, as many as the jobs and the limit of memory allow."""

    def __init__(
        self, function: Any, jobs: int, limit_bytes: Optional[int], idle_bytes: int
    ) -> None:
        self.jobs = jobs
        self._pickled = pickle.dumps(function)
        self._limit = float("inf") if limit_bytes is None else limit_bytes
        self._idle_bytes = idle_bytes
        self._workers: List[Worker] = []
        #: Items that no worker takes yet, in their order.
        self._waiting: Deque[Work] = deque()

    def put(self, work: Work) -> None:
        """Have an item done when its turn comes."""
        self._waiting.append(work)

    def is_full(self) -> bool:
        """Hand out what can be handed out; tell whether something still waits."""
        for worker in [worker for worker in self._workers if not worker.works]:
            if not worker.process.is_alive():
                self._end(worker)
        while self._waiting:
            taker = self._worker_for(self._waiting[0])
            if taker is None:
                return True
            taker.give(self._waiting.popleft())
        return False

    def answers(self) -> Iterator[Tuple[int, Any, str]]:
        """Wait for a worker; give index, value and error of the items that are done."""
        busy = {worker.connection: worker for worker in self._workers if worker.works}
        for connection in wait(list(busy)):
            worker = busy[cast("Connection[Any, Any]", connection)]
            try:
                answer = worker.receive()
            except WorkerDiedError as death:
                answer = worker.works.popleft().index, None, str(death)
                self._waiting.extendleft(reversed(worker.works))
                worker.works.clear()
                self._end(worker)
            if answer is not None:
                yield answer

    def stop(self) -> None:
        for worker in list(self._workers):
            self._end(worker)

    def _worker_for(self, work: Work) -> Optional[Worker]:
        """Find the worker to take an item, or start it; None while there is none."""
        for worker in self._workers:
            if not worker.works:
                return worker if self._makes_room(work, worker) else None
        if len(self._workers) < self.jobs:
            if not self._makes_room(work, None):
                return None
            self._workers.append(Worker(self._pickled))
            return self._workers[-1]
        for worker in self._workers:
            if worker.takes_ahead(work) and self._makes_room(work, worker):
                return worker
        return None

    def _makes_room(self, work: Work, taker: Optional[Worker]) -> bool:
        """Whether the memory suffices, when need be after ending workers that are idle."""
        others = [worker for worker in self._workers if worker is not taker]
        idle = [worker for worker in others if not worker.works]
        n_bytes = max(own.n_bytes for own in (work, *(taker.works if taker else ())))
        n_bytes += sum(
            max(own.n_bytes for own in worker.works) for worker in others if worker.works
        )
        if n_bytes > self._limit:
            return False
        while n_bytes + self._idle_bytes * len(idle) > self._limit:
            self._end(idle.pop())
        return True

    def _end(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.stop()


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
    function, error = attempt(pickle.loads, connection.recv_bytes())
    connection.send((None, error, 0.0))
    while function is not None:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):  # its parent is done, or was killed
            return
        began = time.perf_counter()
        with _pools(len(sys.modules)).limit(limits=1):
            item, error = attempt(pickle.loads, message)
            value = None
            if not error:
                value, error = attempt(function, item)
        seconds = time.perf_counter() - began
        try:
            connection.send((value, error, seconds))
        except OSError:
            return
        except (pickle.PicklingError, TypeError, AttributeError) as refusal:
            connection.send((None, f"its value cannot be sent: {refusal}", seconds))


def _in_workers(
    admitted: Iterator[Tuple[Item, int, str]], crew: _Crew
) -> Generator[Outcome[Item, Any], None, None]:
    source = enumerate(admitted)
    taken: Dict[int, Item] = {}
    answers: Dict[int, Tuple[Any, str]] = {}
    turn = 0
    exhausted = False
    try:
        while True:
            while not crew.is_full() and not exhausted and len(taken) < _AHEAD * crew.jobs:
                try:
                    index, (item, n_bytes, error) = next(source)
                except StopIteration:
                    exhausted = True
                    break
                taken[index] = item
                if error:
                    answers[index] = None, error
                else:
                    crew.put(Work(index, pickle.dumps(item), n_bytes))
            if not taken:
                return
            if turn in answers:
                yield Outcome(taken.pop(turn), *answers.pop(turn))
                turn += 1
                continue
            for index, value, error in crew.answers():
                answers[index] = value, error
    finally:
        crew.stop()
