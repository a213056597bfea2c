"""Worker processes that take items as they come and answer as each is done, in any order."""

from __future__ import annotations

import pickle
from multiprocessing.connection import Connection, wait
from typing import Any, Callable, Dict, Generic, List, TypeVar, cast

from microscope_quality.batch.run import Outcome, Work, Worker, WorkerDiedError

Item = TypeVar("Item")
Value = TypeVar("Value")


class Pool(Generic[Item, Value]):
    """Up to so many processes, started when there is an item for them; used as a context.

    A process that dies costs its item an error, and is replaced.

    Parameters
    ----------
    function
        Of an item; it is pickled, as are items and values.
    jobs
        Number of processes.
    """

    def __init__(self, function: Callable[[Item], Value], jobs: int) -> None:
        self._function = pickle.dumps(function)
        self._jobs = jobs
        self._workers: List[Worker] = []
        self._taken: Dict[int, Item] = {}
        self._number = 0

    def __enter__(self) -> Pool[Item, Value]:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()
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

    @property
    def items(self) -> List[Item]:
        """Items at work, in the order in which they were given."""
        return [self._taken[number] for number in sorted(self._taken)]

    def give(self, item: Item) -> None:
        """Set a process to work on an item; there has to be a free one."""
        if not self.free:
            raise ValueError("all processes are at work")
        idle = None
        for worker in [worker for worker in self._workers if not worker.works]:
            if worker.process.is_alive():
                idle = worker
                break
            self._workers.remove(worker)
            worker.stop()
        if idle is None:
            idle = Worker(self._function)
            self._workers.append(idle)
        self._number += 1
        self._taken[self._number] = item
        idle.give(Work(self._number, pickle.dumps(item), 0))

    def collect(self, seconds: float) -> List[Outcome[Item, Value]]:
        """Outcomes of items that are done; waits that long for the first one.

        Raises
        ------
        MicroscopeQualityError
            A process cannot be started at all.
        """
        busy = {worker.connection: worker for worker in self._workers if worker.works}
        outcomes: List[Outcome[Item, Value]] = []
        for connection in wait(list(busy), max(0.0, seconds)):
            worker = busy[cast("Connection[Any, Any]", connection)]
            number = worker.works[0].index
            try:
                answer = worker.receive()
            except WorkerDiedError as death:
                answer = number, None, str(death)
                self._workers.remove(worker)
                worker.stop()
            if answer is not None:
                outcomes.append(Outcome(self._taken.pop(number), *answer[1:]))
        return outcomes
