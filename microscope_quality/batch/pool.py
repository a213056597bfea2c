"""Worker processes that take items as they come and answer as each is done, in any order."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Generic, TypeVar

from microscope_quality.batch.budget import Budget
from microscope_quality.batch.run import Outcome
from microscope_quality.batch.worker import Answer, Looks, Work, Worker, is_of_main, stop_all

Item = TypeVar("Item")
Value = TypeVar("Value")


class Pool(Generic[Item, Value]):
    """Up to so many processes, started when there is an item for them; used as a context.

    A process that dies, or takes more than its budget, costs its item an error, and is replaced.

    Parameters
    ----------
    function
        Of an item; it is pickled, as are items and values.
    jobs
        Number of processes.
    budget
        Of each item.
    """

    def __init__(
        self, function: Callable[[Item], Value], jobs: int, budget: Budget | None = None
    ) -> None:
        self._function = pickle.dumps(function)
        self._jobs = jobs
        self._budget = budget
        self._workers: list[Worker] = []
        self._looks = Looks()
        self._taken: dict[int, Item] = {}
        self._number = 0

    def __enter__(self) -> Pool[Item, Value]:
        return self

    def __exit__(self, *_: object) -> None:
        stop_all(self._workers)
        self._workers.clear()
        self._taken.clear()

    @property
    def free(self) -> int:
        """Items that can be given at once."""
        return self._jobs - len(self._taken)

    @property
    def at_work(self) -> int:
        """Items at work."""
        return len(self._taken)

    def give(self, item: Item) -> None:
        """Set a process to work on an item; there has to be a free one."""
        if not self.free:
            raise ValueError("all processes are at work")
        idle = None
        for worker in [worker for worker in self._workers if not worker.works]:
            if worker.process.is_alive() and not worker.is_full:
                idle = worker
                break
            self._end(worker)
        if idle is None:
            idle = Worker(main=is_of_main(self._function)).begin(self._function, self._budget)
            self._workers.append(idle)
        self._number += 1
        self._taken[self._number] = item
        idle.give(Work(self._number, pickle.dumps(item), 0))

    def collect(self, seconds: float) -> list[Outcome[Item, Value]]:
        """Outcomes of items that are done; waits that long for the first one.

        Raises
        ------
        MicroscopeQualityError
            A process cannot be started at all.
        """
        outcomes: list[Outcome[Item, Value]] = []
        for worker, said in self._looks.wait(self._workers, seconds):
            if isinstance(said, Answer):
                item = self._taken.pop(said.index)
                outcomes.append(Outcome(item, said.value, said.error, said.died))
                if said.died:
                    self._end(worker)
        return outcomes

    def _end(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.stop()
