"""A process that works on items, and what the one that gives it work knows of it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from microscope_quality.batch.budget import (
    SECONDS,
    Budget,
    NeedsRoomError,
    data_bytes,
    keeps_much,
    spending,
)
from microscope_quality.errors import MicroscopeQualityError

Item = TypeVar("Item")
Value = TypeVar("Value")

# An item is sent to a worker before its turn when the last one took less, in seconds: where items
# are long, one that waits behind a long one would be begun sooner by another worker.
_SHORT_S = 0.5

# Bytes that a pipe takes while nobody reads at its other end, on any system.
_PIPE_BYTES = 4096

# Between two looks at how long items take, in seconds: a longer time was not spent waiting.
_LOOK_S = 1.0

# Seconds in which a process that has nothing to do ends by itself.
_END_S = 2.0

#: Read by numerical libraries when they are loaded.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def attempt(function: Callable[[Item], Value], item: Item) -> tuple[Value | None, str]:
    """Apply a function to an item; give its value and no error, or none and a sentence."""
    try:
        return function(item), ""
    except MicroscopeQualityError as error:
        return None, str(error)
    except NeedsRoomError:
        raise
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


def with_one_thread() -> Any:
    """Give a context in which numerical libraries have one thread."""
    return _pools(len(sys.modules)).limit(limits=1)


#: Those that nobody has stopped yet.
_alive: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _kill_all() -> None:
    """End what is left, as when Ctrl-C came before anybody could look after it.

    Before the standard library asks them to end and waits: one that was stopped does not hear it.
    """
    for worker in list(_alive):
        worker.kill()


class WorkerDiedError(Exception):
    """The process ended without an answer; says how."""


@dataclass(frozen=True)
class Work:
    """An item on its way: its number, pickled, and the memory it needs."""

    index: int
    message: bytes
    n_bytes: int


@dataclass(frozen=True)
class Part:
    """What a worker knows already of an item."""

    index: int
    value: Any


@dataclass(frozen=True)
class Refused:
    """An item that needs more memory than was set aside for it, in bytes."""

    work: Work
    n_bytes: int


@dataclass(frozen=True)
class Answer:
    """What became of an item; `died` tells that its process did not answer."""

    index: int
    value: Any = None
    error: str = ""
    died: bool = False


class Worker:
    """A process that takes items through a pipe and answers with the value of one at a time.

    It starts when this is made, and takes items after `begin`.

    Parameters
    ----------
    module
        Name of one to load at its start, before it is told what to do.
    main
        Load the main program too, as a function of it needs (see `is_of_main`): a script that does
        not guard against that would begin anew in each process.
    """

    def __init__(self, module: str = "", *, main: bool = True) -> None:
        # "spawn" also where forking is the habit: a fork copies the locks of threads that it
        # does not copy, such as those of a progress bar or of BLAS.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._budget: Budget | None = None
        self.process: BaseProcess = context.Process(
            target=_work, args=(theirs, module), daemon=True
        )
        with _may_have_children(), contextlib.nullcontext() if main else _without_main():
            self.process.start()
        theirs.close()
        self.started = False
        #: The first is at work, a second one waits for it.
        self.works: deque[Work] = deque()
        self.last_s = float("inf")
        # Seconds that are left, and that were given, for what it does now.
        self._left_s = self._given_s = SECONDS
        self.is_full = False
        _alive.add(self)

    def begin(
        self, function: bytes, budget: Budget | None = None, *, counted: bool = False
    ) -> Worker:
        """Tell it what to do.

        Parameters
        ----------
        function
            Of an item, pickled.
        budget
            Of each item.
        counted
            Whether an item that needs more memory than its `Work` says is to be `Refused`.

        Returns
        -------
        Worker
            Itself.
        """
        self._budget = budget
        self._send((function, budget, counted))
        return self

    def give(self, work: Work) -> None:
        """Have it work on an item, after the one that it may be at."""
        if not self.works and self.started:
            self._give_time()
        self.works.append(work)
        self._send((work.message, work.n_bytes))

    def takes_ahead(self, work: Work) -> bool:
        """Whether it may have an item that waits for the one at work."""
        # While it works it does not read: what the pipe does not hold would stop this process.
        fits = len(work.message) <= _PIPE_BYTES - 64
        return len(self.works) == 1 and self.last_s < _SHORT_S and fits

    def _send(self, message: object) -> None:
        # To a worker that has just died nothing can be sent; receiving from it tells how.
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def _give_time(self, seconds: float | None = None) -> None:
        own = float("inf") if self._budget is None else self._budget.seconds
        self._left_s = self._given_s = own if seconds is None else seconds

    def spend(self, seconds: float) -> None:
        """Say that it has worked for so long.

        Raises
        ------
        WorkerDiedError
            Its time is over, and it was ended.
        """
        self._left_s -= seconds
        if not self.works or self._left_s > 0 or self.connection.poll():
            return
        self.process.kill()
        if not self.started:
            raise MicroscopeQualityError(f"a worker process did not begin within {SECONDS:g} s")
        raise WorkerDiedError(f"took longer than the {self._given_s:g} s that it may take")

    def receive(self) -> Answer | Part | Refused | None:
        """What it says; None when that is only about itself.

        Raises
        ------
        WorkerDiedError
            It ended.
        MicroscopeQualityError
            It cannot begin at all.
        """
        try:
            kind, *content = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(_END_S)
            self.process.kill()
            self.process.join()
            code = self.process.exitcode or 0
            if not self.started and code > 0:
                raise MicroscopeQualityError(
                    f"a worker process ended with exit code {code} before it could begin"
                ) from None
            raise WorkerDiedError(_how_it_ended(code)) from None
        except Exception as refusal:  # what unpickling stumbles over
            self.process.kill()
            raise WorkerDiedError(f"its value cannot be received: {refusal}") from None
        if kind == "started":
            (error,) = content
            if error:
                raise MicroscopeQualityError(f"a worker process could not begin: {error}")
            self.started = True
            self._give_time()
            return None
        if kind == "seconds":
            self._give_time(*content)
            return None
        if kind == "part":
            return Part(self.works[0].index, *content)
        self._give_time()
        work = self.works.popleft()
        if kind == "room":
            return Refused(work, *content)
        value, error, self.last_s, self.is_full = content
        return Answer(work.index, value, error)

    def end(self) -> None:
        """Have it end soon: by itself, or at once when it is at work."""
        if self.works or not self.started:
            # Not by a request: a process that was stopped, or waits for a drive, hears none.
            self.process.kill()
        self.connection.close()

    def kill(self) -> None:
        """End it at once."""
        # It may have been ended before, and be no process any more.
        with contextlib.suppress(ValueError):
            self.process.kill()

    def stop(self) -> None:
        """End it."""
        _alive.discard(self)
        self.end()
        self.process.join(_END_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self.process.close()


def stop_all(workers: Iterable[Worker]) -> None:
    """End workers, all at the same time."""
    workers = list(workers)
    for worker in workers:
        worker.end()
    for worker in workers:
        worker.stop()


class Looks:
    """The times at which one looks at workers, of which only what was spent waiting counts."""

    def __init__(self) -> None:
        self._looked = time.monotonic()

    def wait(
        self, workers: Iterable[Worker], seconds: float = _LOOK_S
    ) -> list[tuple[Worker, Answer | Part | Refused | None]]:
        """Wait for what workers say, so long for the first of it.

        Gives what each says; of one that died or was ended, the answer to the item at work. That
        one takes no other.
        """
        busy = {worker.connection: worker for worker in workers if worker.works}
        ready = wait(list(busy), max(0.0, min(seconds, _LOOK_S)))
        now = time.monotonic()
        # This process may have been asleep, and the others with it.
        spent, self._looked = min(now - self._looked, 2 * _LOOK_S), now
        said: list[tuple[Worker, Answer | Part | Refused | None]] = []
        for connection, worker in busy.items():
            try:
                if connection in ready:
                    said.append((worker, worker.receive()))
                else:
                    worker.spend(spent)
            except WorkerDiedError as death:
                answer = Answer(worker.works.popleft().index, error=str(death), died=True)
                said.append((worker, answer))
        return said


@contextlib.contextmanager
def _may_have_children() -> Iterator[None]:
    """Let a process that is some pool's, such as a worker of Dask's, start processes of its own.

    They end with it: see `_end_with_parent`.
    """
    config = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    before = config.pop("daemon", None)
    try:
        yield
    finally:
        if before is not None:
            config["daemon"] = before


def is_of_main(pickled: bytes) -> bool:
    """Whether what is pickled needs something of the main program."""
    return b"__main__" in pickled


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Let a process that is started know of no main program."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"the process at work on it ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = "; perhaps memory ran out" if name == "SIGKILL" else ""
    return f"the process at work on it was ended by {name}{hint}"


def _end_with_parent() -> None:
    """End this process, whatever it is at, when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(connection: Connection[Any, Any], module: str) -> None:
    # Ctrl-C reaches all processes of a terminal; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if sys.platform.startswith("linux"):
        import resource

        # A crash is an error of its item, and leaves nothing on the disk.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        if module:
            importlib.import_module(module)
        pickled, budget, counted = connection.recv()
    except (EOFError, OSError):  # it is not needed after all
        return
    function, error = attempt(pickle.loads, pickled)
    connection.send(("started", error))
    began_bytes = data_bytes()
    while function is not None:
        try:
            message, n_bytes = connection.recv()
        except (EOFError, OSError):  # its parent is done, or was killed
            return
        began = time.perf_counter()
        room_bytes = n_bytes if counted else None
        try:
            value, error = _done(function, message, budget, room_bytes, connection)
        except NeedsRoomError as needs:
            connection.send(("room", needs.n_bytes))
            continue
        seconds = time.perf_counter() - began
        is_full = keeps_much(began_bytes)
        try:
            connection.send(("done", value, error, seconds, is_full))
        except OSError:
            return
        except Exception as refusal:  # of pickle, which raises what it likes
            error = f"its value cannot be sent: {refusal}"
            connection.send(("done", None, error, seconds, is_full))


def _done(
    function: Callable[[Any], Any],
    message: bytes,
    budget: Budget | None,
    room_bytes: int | None,
    connection: Connection[Any, Any],
) -> tuple[Any, str]:
    """Value and error of an item."""

    def within_budget(message: bytes) -> Any:
        item = pickle.loads(message)
        with spending(
            budget,
            room_bytes,
            tell_seconds=lambda seconds: connection.send(("seconds", seconds)),
            hand_out=lambda part: connection.send(("part", part)),
        ):
            return function(item)

    with with_one_thread():
        return attempt(within_budget, message)
