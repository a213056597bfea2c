"""Run a function over many items on a Dask cluster, as `run` does in processes of this machine.

What Dask does by itself is left to it: it runs the tasks of a worker that was lost on others, and
gives a task up when several workers have died of it. What it would wait for without an end (a
scheduler that is gone, a cluster without workers) is an error here.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import pickle
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microscope_quality.batch.budget import Budget
from microscope_quality.batch.run import Follow, Item, Outcome, Value
from microscope_quality.batch.turns import Turn, Turns
from microscope_quality.batch.worker import Answer, Looks, Part, Work, Worker, attempt
from microscope_quality.errors import MicroscopeQualityError, SettingsError
from microscope_quality.version import __version__

#: Items that may be on their way or done before their turn, for each thread of a worker.
_AHEAD = 4

#: What a worker handed out of an item, and its answer.
_Said = tuple[list[Any], Answer]

# Between two looks at whether the cluster is still there and how large it is.
_LOOK_S = 2.0

# Evaluated by a worker that may not have this library, whatever its version of Python.
_ASK_VERSION = "__import__('microscope_quality.version', fromlist=['__version__']).__version__"


def run_on_cluster(
    function: Callable[[Item], Value],
    items: Iterable[Item],
    address: str,
    *,
    budget: Budget | None = None,
    follow: Follow[Item] | None = None,
    wait_s: float = 30.0,
) -> Generator[Outcome[Item, Value], None, None]:
    """Apply a function to each item on a Dask cluster and give the outcomes in the items' order.

    Each thread of a worker of Dask's has a process of its own for that, which is replaced when an
    item is too much for it: what happens to a process costs Dask nothing.

    Parameters
    ----------
    function
        It is pickled, as are items and values: a function of a module, or a `functools.partial`
        of one. Paths in it and in the items have to be good on the workers: absolute ones, on a
        file system that all share. It runs with one thread in BLAS and OpenMP, and on several
        items at once where a worker has several threads.
    items
        Taken only a few ahead of the outcomes: 4 for each thread of the cluster's workers.
    address
        Of the scheduler, such as ``"tcp://host:8786"``, or the path of its scheduler file.
    budget
        What each item may take; `Budget()` by default.
    follow
        As for `run`.
    wait_s
        How long to wait for the scheduler, and for a worker while there is none, in seconds.

    Yields
    ------
    Outcome
        Closing the generator cancels what no worker has begun.

    Raises
    ------
    SettingsError
        dask and distributed are not installed, or `address` is none.
    MicroscopeQualityError
        The scheduler does not answer or is lost, there is no worker for `wait_s`, or a worker has
        another version of this library, or none.
    """
    try:
        import distributed  # noqa: F401 - whether it is there
    except ImportError:
        raise SettingsError(
            "a cluster needs dask.distributed: pip install 'microscope-quality[cluster]'"
        ) from None
    task = _Task(__version__, pickle.dumps(function), budget or Budget())
    return _run(task, items, _scheduler(address), follow, wait_s)


@dataclass(frozen=True)
class _Task:
    """What is done with each item: by which version, which function, pickled, and its budget."""

    version: str
    function: bytes
    budget: Budget


def _run(
    task: _Task,
    items: Iterable[Item],
    scheduler: str,
    follow: Follow[Item] | None,
    wait_s: float,
) -> Generator[Outcome[Item, Any], None, None]:
    turns = Turns(items, _AHEAD)
    at_work: dict[Turn[Item], tuple[bytes, Any]] = {}
    with _silent(), _client(scheduler, wait_s) as client:
        cluster = _Cluster(client, scheduler, task, wait_s)
        cluster.check()
        while True:
            turns.ahead = _AHEAD * cluster.n_threads
            while (turn := turns.begin()) is not None:
                message = pickle.dumps(turn.item)
                at_work[turn] = message, cluster.submit(message)
            first = turns.first()
            if first is None:
                return
            message, future = at_work.pop(first)
            answer = cluster.answer(future)
            if answer is None:
                # Dask blames the death of a worker on all tasks that the worker held.
                for _, other in at_work.values():
                    cluster.answer(other)
                answer = cluster.answer_alone(message)
            parts, said = answer
            if follow is not None:
                for part in parts:
                    turns.follow(first, *follow(first.item, part))
            first.answer(Outcome(first.item, said.value, said.error, said.died))
            for given in turns.given():
                yield given.outcome


class _Cluster:
    """A cluster as far as a run looks at it.

    Parameters
    ----------
    client
        Connected to its scheduler.
    scheduler
        The scheduler's address.
    task
        What is done with each item.
    wait_s
        How long it may be without workers, in seconds.
    """

    def __init__(self, client: Any, scheduler: str, task: _Task, wait_s: float) -> None:
        self.n_threads = 1
        self._task = task
        self._run_id = uuid.uuid4().hex
        self._n_tasks = 0
        self._client = client
        self._scheduler = scheduler
        self._wait_s = wait_s
        self._looked = self._had_workers = time.monotonic()

    def check(self) -> None:
        """Refuse workers that cannot run the function, or not as this process would.

        Raises
        ------
        MicroscopeQualityError
            There is one of them, or no worker at all.
        """
        while not self._look():
            time.sleep(min(_LOOK_S, self._wait_s) / 10)
        for worker, version in self._ask(eval, _ASK_VERSION).items():
            if isinstance(version, ImportError):
                raise MicroscopeQualityError(
                    f"the Dask worker at {worker} has no microscope-quality ({version}); install "
                    f"version {__version__} where it runs"
                )
            if version != __version__:
                raise MicroscopeQualityError(
                    f"the Dask worker at {worker} has version {version} of microscope-quality; "
                    f"it has to be {__version__}, as here"
                )
        for worker, error in self._ask(_refusal, self._task.function).items():
            if error:
                raise MicroscopeQualityError(f"the Dask worker at {worker} cannot begin: {error}")
        self._look()

    def submit(self, item: bytes, **place: object) -> Any:
        """Have an item done by some worker, or by those that are named."""
        self._n_tasks += 1
        key = f"microscope-quality-{self._run_id}-{self._n_tasks}"
        with self.there():
            return self._client.submit(_done, self._task, item, key=key, pure=False, **place)

    def answer(self, task: Any, worker: str = "") -> _Said | None:
        """Wait for what a task says.

        Parameters
        ----------
        task
            As `submit` gives it.
        worker
            The only one to do it, if there is but one.

        Returns
        -------
        parts, answer
            None when workers died that held the task.

        Raises
        ------
        MicroscopeQualityError
            It will never come.
        """
        from distributed import KilledWorker
        from distributed import TimeoutError as DaskTimeoutError

        while True:
            try:
                with self.there():
                    answer = task.result(timeout=_LOOK_S)
            except DaskTimeoutError:
                if worker and worker not in self._look():
                    return None
            except KilledWorker:
                return None
            except MicroscopeQualityError:
                raise
            except Exception as failure:
                # Such as from a worker that came later and lacks the library.
                return [], Answer(0, error=f"{type(failure).__name__}: {failure}")
            else:
                said: _Said = pickle.loads(answer)
                if time.monotonic() - self._looked > _LOOK_S:
                    self._look()
                return said
            if time.monotonic() - self._looked > _LOOK_S:
                self._look()

    def answer_alone(self, item: bytes) -> _Said:
        """Have an item done by a worker that has nothing else of this run."""
        workers = self._look()
        while not workers:
            time.sleep(_LOOK_S)
            workers = self._look()
        worker = next(iter(workers))
        task = self.submit(item, workers=[worker], allow_other_workers=False)
        answer = self.answer(task, worker)
        if answer is None:
            task.cancel()
            error = "workers died when they were at work on it; perhaps memory ran out"
            return [], Answer(0, error=error, died=True)
        return answer

    @contextlib.contextmanager
    def there(self) -> Iterator[None]:
        """Turn what the loss of the scheduler leads to into one sentence."""
        try:
            yield
        except Exception as error:
            if self._client.status == "running" and not isinstance(error, CancelledError):
                raise
            raise MicroscopeQualityError(
                f"the connection to the Dask scheduler at {self._scheduler} was lost; run it again "
                "when the scheduler is there"
            ) from error

    def _ask(self, question: Callable[[Any], Any], about: object) -> dict[str, Any]:
        """Answer of each worker, which may be an exception."""
        from distributed import TimeoutError as DaskTimeoutError

        try:
            with self.there():
                answers: dict[str, Any] = self._client.run(
                    question, about, on_error="return", callback_timeout=self._wait_s
                )
        except DaskTimeoutError:
            raise MicroscopeQualityError(
                f"a worker of the Dask cluster at {self._scheduler} does not answer within "
                f"{self._wait_s:g} s; end it, or restart the cluster"
            ) from None
        return answers

    def _look(self) -> dict[str, int]:
        """Threads of each worker that is there."""
        with self.there():
            workers: dict[str, int] = self._client.nthreads()
        self._looked = time.monotonic()
        # Without workers the items go on being taken: what is on its way waits for new ones.
        self.n_threads = sum(workers.values()) or self.n_threads
        if workers:
            self._had_workers = self._looked
        elif self._looked - self._had_workers > self._wait_s:
            raise self._without_workers()
        return workers

    def _without_workers(self) -> MicroscopeQualityError:
        return MicroscopeQualityError(
            f"the Dask scheduler at {self._scheduler} has had no worker for {self._wait_s:g} s; "
            f"start some, as by `dask worker {self._scheduler} --nworkers auto --nthreads 1`"
        )


def _done(task: _Task, item: bytes) -> bytes:
    """What is said of an item, pickled; this is what a worker of Dask's does."""
    if task.version != __version__:
        here = f"a worker on {socket.gethostname()} has version {__version__}"
        error = f"{here} of microscope-quality; it has to be {task.version}"
        return pickle.dumps(([], Answer(0, error=error)))
    return pickle.dumps(_own_process().do(task, item))


class _OwnProcess:
    """The process of a thread of a worker of Dask's."""

    def __init__(self) -> None:
        self._task: _Task | None = None
        self._worker: Worker | None = None

    def do(self, task: _Task, item: bytes) -> _Said:
        """Have an item done, and wait for it."""
        worker = self._worker
        if worker is None or task != self._task or not worker.process.is_alive():
            self._end()
            worker = self._worker = Worker().begin(task.function, task.budget)
            self._task = task
        worker.give(Work(0, item, 0))
        looks = Looks()
        parts: list[Any] = []
        while True:
            for _, said in looks.wait([worker]):
                if isinstance(said, Part):
                    parts.append(said.value)
                elif isinstance(said, Answer):
                    if said.died or worker.is_full:
                        self._end()
                    return parts, said

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None


_of_thread = threading.local()


def _own_process() -> _OwnProcess:
    if not hasattr(_of_thread, "process"):
        _of_thread.process = _OwnProcess()
    found: _OwnProcess = _of_thread.process
    return found


def _refusal(function: bytes) -> str:
    """Why a function cannot be run here; empty when it can."""
    return attempt(_unpickled, function)[1]


@functools.lru_cache(maxsize=1)
def _unpickled(function: bytes) -> Callable[[Any], Any]:
    loaded: Callable[[Any], Any] = pickle.loads(function)
    return loaded


def _scheduler(address: str) -> str:
    """Address of a scheduler that is given by its address or its file.

    Raises
    ------
    SettingsError
        It is neither.
    """
    from distributed.comm import parse_address, parse_host_port

    wrong = f"{address!r} is no address of a Dask scheduler"
    if "://" not in address and (address.endswith(".json") or Path(address).exists()):
        try:
            address = json.loads(Path(address).read_text(encoding="utf-8"))["address"]
        except OSError as error:
            raise SettingsError(
                f"{address}: cannot be read as a scheduler file: {error.strerror or error}"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise SettingsError(
                f"{address}: is no scheduler file, as `dask scheduler --scheduler-file` writes it"
            ) from None
    try:
        scheme, place = parse_address(str(address))
        if scheme in ("tcp", "tls"):
            parse_host_port(place)
        elif scheme not in ("ws", "wss", "ucx", "inproc"):
            raise ValueError(f"there is no {scheme}")
    except ValueError as error:
        raise SettingsError(
            f"{wrong} ({error}); it has to be like tcp://host:8786, or the path of a scheduler file"
        ) from None
    return f"{scheme}://{place}"


@contextlib.contextmanager
def _client(scheduler: str, wait_s: float) -> Iterator[Any]:
    """Give a connection to a scheduler, by which no call waits for an answer for ever.

    Raises
    ------
    MicroscopeQualityError
        Nothing answers there within `wait_s`, or something else; from calls, when the scheduler
        does not answer any more.
    """
    from distributed import Client, Security
    from distributed import TimeoutError as DaskTimeoutError
    from distributed.comm import connect

    class Bounded(Client):  # type: ignore[misc]
        def start(self, **options: Any) -> None:
            try:
                super().start(**options)
            except BaseException:
                # Else Python does it at some time, in whichever thread that may be.
                self.close()
                raise

        async def _start(self, **options: Any) -> Any:
            return await asyncio.wait_for(super()._start(**options), wait_s)

        def sync(
            self, call: Any, *arguments: Any, callback_timeout: Any = None, **more: Any
        ) -> Any:
            try:
                limit = callback_timeout or wait_s
                return super().sync(call, *arguments, callback_timeout=limit, **more)
            except DaskTimeoutError:
                if callback_timeout:
                    raise
                raise MicroscopeQualityError(
                    f"the Dask scheduler at {scheduler} has not answered for {wait_s:g} s; run it "
                    "again when the scheduler is well"
                ) from None

        def close(self, timeout: float = _LOOK_S) -> None:
            try:
                super().close(timeout)
            except Exception:
                # So that it is not tried again when Python takes the client away.
                self.status = "closed"

    async def knock() -> None:
        comm = await connect(scheduler, timeout=wait_s, **Security().get_connection_args("client"))
        comm.abort()

    try:
        # A client that finds no scheduler leaves threads and complaints behind.
        asyncio.run(asyncio.wait_for(knock(), wait_s))
        # The versions that matter are compared by sentences instead.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client = Bounded(scheduler, timeout=wait_s, set_as_default=False)
    except (OSError, asyncio.TimeoutError) as error:
        raise MicroscopeQualityError(
            f"no Dask scheduler answers at {scheduler} within {wait_s:g} s; start one by "
            "`dask scheduler`, or name the address that it tells"
        ) from error
    except Exception as error:
        raise MicroscopeQualityError(
            f"what answers at {scheduler} is no Dask scheduler, or one of another version; name "
            "the address that `dask scheduler` tells"
        ) from error
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the logs of Dask from the screen: what matters of them becomes a sentence here."""
    names = ("distributed", "distributed.client", "distributed.gc", "tornado", "asyncio")
    loggers = [logging.getLogger(name) for name in (*names, "tornado.application")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
