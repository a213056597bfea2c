"""Run a function over many items in worker processes and keep the order of the items.

What can go wrong with one item (an exception, a process that the system kills, more time or memory
than its budget) is that item's error; the others go on.

Items are begun in their order, under a limit of memory too: one that needs much waits until there
is room for it, and nothing passes it by meanwhile, so that it does not wait for ever. A worker
whose items are short has the next one before it has answered, and never waits for this process.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from microscope_quality.batch.budget import Budget
from microscope_quality.batch.memory import bytes_in_words
from microscope_quality.batch.turns import Turn, Turns
from microscope_quality.batch.worker import (
    Answer,
    Looks,
    Part,
    Refused,
    Work,
    Worker,
    attempt,
    is_of_main,
    stop_all,
    with_one_thread,
)
from microscope_quality.errors import SettingsError

Item = TypeVar("Item")
Value = TypeVar("Value")

#: Items that may be on their way or done before their turn, for each job.
_AHEAD = 4

#: Gives, for an item and what is known of it (`budget.hand_out`), what it turned out to be and the
#: items that follow it.
Follow = Callable[[Item, Any], tuple[Item, Iterable[Item]]]


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of an item: its value, or a sentence in `error`.

    `died` tells that the process at work on it ended, or was ended because its time was over.
    """

    item: Item
    value: Value | None = None
    error: str = ""
    died: bool = False


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
    limit_bytes: int | None = None,
    bytes_of: Callable[[Item], int] | None = None,
    idle_bytes: int = 0,
    own_bytes: int = 0,
    budget: Budget | None = None,
    follow: Follow[Item] | None = None,
    ready: Iterable[Worker] = (),
) -> Generator[Outcome[Item, Value], None, None]:
    """Apply a function to each item and give the outcomes in the items' order.

    Parameters
    ----------
    function
        With more than one job, or a budget, it is pickled, as are items and values: a function of
        a module, or a `functools.partial` of one. It runs with one thread in BLAS and OpenMP, so
        that its values do not depend on `jobs`.
    items
        Taken only a few ahead of the outcomes, so that neither has to fit in memory.
    jobs
        Number of worker processes; 1 without a budget runs the function in this process, where a
        crash cannot be held off. Workers are started when there is an item for them, and replaced
        when they die.
    limit_bytes
        Memory of all processes together; without it there is no limit. An item that needs more is
        an error without being tried. In this process it is what an item may need.
    bytes_of
        Memory, in bytes, of a process while it works on an item. Called in this process; what it
        raises is the item's error. What the function finds to need more (`budget.need`) waits
        until there is room for that.
    idle_bytes
        Memory of a worker without an item. Those that are idle are ended when an item needs
        their memory.
    own_bytes
        Of `limit_bytes`, what this process takes itself.
    budget
        What each item may take.
    follow
        Called with an item and what the function knows of it (`budget.hand_out`); needs a budget.
    ready
        Workers that were started before, to be used first; they are ended with the others.

    Yields
    ------
    Outcome
        Closing the generator, or an exception in it such as KeyboardInterrupt, ends the workers.

    Raises
    ------
    SettingsError
        `jobs` or `limit_bytes` is not a positive whole number, or one of `limit_bytes` and
        `bytes_of` is there without the other, or `follow` without a budget.
    MicroscopeQualityError
        A worker process cannot be started at all.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise SettingsError(f"jobs is {jobs!r}; it has to be a whole number from 1")
    if (limit_bytes is None) != (bytes_of is None):
        raise SettingsError("limit_bytes and bytes_of need each other; give both or neither")
    if limit_bytes is not None and (isinstance(limit_bytes, bool) or limit_bytes < 1):
        raise SettingsError(f"limit_bytes is {limit_bytes!r}; it has to be a whole number from 1")
    if follow is not None and budget is None:
        raise SettingsError("follow needs a budget")
    memory = _Memory(limit_bytes, bytes_of, own_bytes, idle_bytes)
    if jobs == 1 and budget is None:
        return _in_process(function, items, memory)
    crew = _Crew(function, jobs, memory, budget, ready)
    return _in_workers(Turns(items, _AHEAD * jobs), crew, memory, follow)


@dataclass(frozen=True)
class _Memory:
    """The limit of memory, and what is reckoned with; see `run`."""

    limit_bytes: int | None
    bytes_of: Callable[[Any], int] | None
    own_bytes: int
    idle_bytes: int

    @property
    def for_items(self) -> float:
        """Bytes of all processes at work."""
        return float("inf") if self.limit_bytes is None else self.limit_bytes - self.own_bytes

    def needed(self, item: Any) -> tuple[int, str]:
        """Memory that an item needs in bytes, and why it cannot be tried."""
        if self.bytes_of is None:
            return 0, ""
        n_bytes, error = attempt(self.bytes_of, item)
        return n_bytes or 0, error or self.refusal(n_bytes or 0)

    def refusal(self, n_bytes: int) -> str:
        """Why an item that needs so much cannot be tried; empty when it can."""
        if self.limit_bytes is None or n_bytes <= self.for_items:
            return ""
        return (
            f"needs about {bytes_in_words(n_bytes + self.own_bytes)} of memory, and the limit is "
            f"{bytes_in_words(self.limit_bytes)}"
        )


def _in_process(
    function: Callable[[Item], Value], items: Iterable[Item], memory: _Memory
) -> Generator[Outcome[Item, Value], None, None]:
    for item in items:
        _, error = memory.needed(item)
        value = None
        if not error:
            with with_one_thread():
                value, error = attempt(function, item)
        yield Outcome(item, value, error)


class _Crew:
    """The workers of a run, as many as the jobs and the limit of memory allow."""

    def __init__(
        self,
        function: Any,
        jobs: int,
        memory: _Memory,
        budget: Budget | None,
        ready: Iterable[Worker],
    ) -> None:
        self._jobs = jobs
        self._pickled = pickle.dumps(function)
        self._memory = memory
        self._budget = budget
        self._ready = list(ready)
        self._workers: list[Worker] = []
        self._looks = Looks()
        #: Items that no worker takes yet, in their order.
        self._waiting: deque[Work] = deque()

    def put(self, work: Work) -> None:
        """Have an item done when its turn comes."""
        self._waiting.append(work)

    def is_full(self) -> bool:
        """Hand out what can be handed out; tell whether something still waits."""
        for worker in [worker for worker in self._workers if not worker.works]:
            if worker.is_full or not worker.process.is_alive():
                self._end(worker)
        while self._waiting:
            taker = self._worker_for(self._waiting[0])
            if taker is None:
                return True
            taker.give(self._waiting.popleft())
        return False

    def answers(self) -> Iterator[Answer | Part]:
        """Wait for a worker; give what is known of items."""
        for worker, said in self._looks.wait(self._workers):
            if isinstance(said, Refused):
                error = self._memory.refusal(said.n_bytes)
                if error:
                    yield Answer(said.work.index, error=error)
                    continue
                # What the worker has taken ahead is done meanwhile.
                again = Work(said.work.index, said.work.message, said.n_bytes)
                self._waiting.appendleft(again)
                continue
            if isinstance(said, Answer) and said.died:
                self._waiting.extendleft(reversed(worker.works))
                worker.works.clear()
                self._end(worker)
            if said is not None:
                yield said

    def stop(self) -> None:
        """End all workers."""
        stop_all([*self._workers, *self._ready])
        self._workers.clear()
        self._ready.clear()

    def _worker_for(self, work: Work) -> Worker | None:
        """Find the worker to take an item, or start it; None while there is none."""
        for worker in self._workers:
            if not worker.works:
                return worker if self._makes_room(work, worker) else None
        if len(self._workers) < self._jobs:
            if not self._makes_room(work, None):
                return None
            counted = self._memory.limit_bytes is not None
            worker = self._ready.pop() if self._ready else Worker(main=is_of_main(self._pickled))
            self._workers.append(worker.begin(self._pickled, self._budget, counted=counted))
            return worker
        for worker in self._workers:
            ahead = not worker.is_full and worker.takes_ahead(work)
            if ahead and self._makes_room(work, worker):
                return worker
        return None

    def _makes_room(self, work: Work, taker: Worker | None) -> bool:
        """Whether the memory suffices, when need be after ending workers that are idle."""
        others = [worker for worker in self._workers if worker is not taker]
        idle = [worker for worker in others if not worker.works]
        n_bytes = max(own.n_bytes for own in (work, *(taker.works if taker else ())))
        n_bytes += sum(
            max(own.n_bytes for own in worker.works) for worker in others if worker.works
        )
        if n_bytes > self._memory.for_items:
            return False
        while n_bytes + self._memory.idle_bytes * len(idle) > self._memory.for_items:
            self._end(idle.pop())
        return True

    def _end(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.stop()


def _in_workers(
    turns: Turns[Item], crew: _Crew, memory: _Memory, follow: Follow[Item] | None
) -> Generator[Outcome[Item, Any], None, None]:
    at_work: dict[int, Turn[Item]] = {}
    number = 0
    try:
        while True:
            while not crew.is_full():
                turn = turns.begin()
                if turn is None:
                    break
                n_bytes, error = memory.needed(turn.item)
                if error:
                    turn.answer(Outcome(turn.item, None, error))
                    continue
                number += 1
                at_work[number] = turn
                crew.put(Work(number, pickle.dumps(turn.item), n_bytes))
            for turn in turns.given():
                yield turn.outcome
            if turns.is_empty:
                return
            if not at_work:
                continue
            for said in crew.answers():
                turn = at_work[said.index]
                if isinstance(said, Answer):
                    del at_work[said.index]
                    turn.answer(Outcome(turn.item, said.value, said.error, said.died))
                elif follow is not None:
                    turns.follow(turn, *follow(turn.item, said.value))
    finally:
        crew.stop()
