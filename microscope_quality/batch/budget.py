"""What a process may take while it is at work on an item: memory and time.

The process that works holds itself to the memory, and the one that waits for it looks at the time:
so a function that waits for ever, or asks for more than there is, costs its item and nothing else.
Functions that are run say by `need` what they are about to take, and by `hand_out` what they know
already; where nobody holds them to anything, both do nothing.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microscope_quality.batch.memory import bytes_in_words
from microscope_quality.errors import MicroscopeQualityError, SettingsError

#: Seconds that an item may take, unless it needs more.
SECONDS = 300.0

# Of what an item says that it needs, so much may be taken, and so many bytes beside that: readers
# differ in what they hold at a time, and bring libraries of their own.
_TIMES = 4
_SPARE_BYTES = 512 * 2**20
# A process that holds so much more than at its start, after an item, is replaced: what it keeps
# would count against the next one.
_KEPT_BYTES = 768 * 2**20
# A process says that it takes longer when this share of its time would not suffice.
_SHARE = 0.75


@dataclass(frozen=True)
class Budget:
    """What an item may take of a process.

    Attributes
    ----------
    seconds : float
        Time for an item, or for each part of one that says what it needs by `need`; what needs
        more says so. The time in which the computer, or all processes, were asleep does not count.
    memory_bytes : int, optional
        Memory that may be taken beside what the process has when it begins; by default four times
        what the item says that it needs, and 0.5 GB. Only Linux tells what a process takes so that
        it can be held to it; elsewhere there is no limit.

    Raises
    ------
    SettingsError
        One of them is not positive.
    """

    seconds: float = SECONDS
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.seconds < float("inf"):
            raise SettingsError(f"seconds is {self.seconds!r}; it has to be a positive number")
        if self.memory_bytes is not None and self.memory_bytes < 1:
            raise SettingsError(
                f"memory_bytes is {self.memory_bytes!r}; it has to be a positive number"
            )

    def to_dict(self) -> dict[str, object]:
        """Give what a run's record says of it."""
        return {"seconds": self.seconds, "memory_bytes": self.memory_bytes}


class NeedsRoomError(Exception):
    """The item needs more memory than was set aside for it; says how much, in bytes."""

    def __init__(self, n_bytes: int) -> None:
        super().__init__(n_bytes)
        self.n_bytes = n_bytes


class OverBudgetError(MicroscopeQualityError, MemoryError):
    """An item took more memory than it may."""


class _Account:
    """What the item at work may take.

    Parameters
    ----------
    budget
        Of each item.
    room_bytes
        What was set aside for it, all of the process counted; None where nobody counts.
    tell_seconds
        Called with the time that it may take from now on.
    hand_out
        Called with what is known already.
    """

    def __init__(
        self,
        budget: Budget,
        room_bytes: int | None,
        tell_seconds: Callable[[float], None],
        hand_out: Callable[[Any], None],
    ) -> None:
        self.hand_out = hand_out
        self._budget = budget
        self._room_bytes = room_bytes
        self._tell_seconds = tell_seconds
        self._began_bytes = data_bytes()
        self._until = time.monotonic() + budget.seconds
        self.most_bytes = 0
        self.limit(0)

    def limit(self, n_bytes: int, beside_bytes: int = 0) -> None:
        """Let the process take what something needs that takes so many bytes."""
        own = self._budget.memory_bytes
        more = max(0, n_bytes - self._began_bytes)
        reckoned = _SPARE_BYTES + _TIMES * more + beside_bytes
        self.most_bytes = reckoned if own is None else own
        limit_memory(self._began_bytes + self.most_bytes)

    def need(self, n_bytes: int, seconds: float, beside_bytes: int) -> None:
        if self._room_bytes is not None and n_bytes > self._room_bytes:
            raise NeedsRoomError(n_bytes)
        self.limit(n_bytes, beside_bytes)
        wanted = self._budget.seconds + seconds
        now = time.monotonic()
        if self._until - now < _SHARE * wanted:
            self._until = now + wanted
            self._tell_seconds(wanted)


_account: _Account | None = None


@contextlib.contextmanager
def spending(
    budget: Budget | None,
    room_bytes: int | None,
    tell_seconds: Callable[[float], None],
    hand_out: Callable[[Any], None],
) -> Iterator[None]:
    """Hold what is run in this process to a budget; see `_Account`.

    Raises
    ------
    OverBudgetError
        It ran out of memory.
    """
    global _account
    if budget is None:
        yield
        return
    account = _account = _Account(budget, room_bytes, tell_seconds, hand_out)
    try:
        yield
    except MemoryError as error:
        raise OverBudgetError(
            f"needs more memory than the {bytes_in_words(account.most_bytes)} that it may take"
        ) from error
    finally:
        _account = None
        limit_memory(None)


def need(n_bytes: int, seconds: float = 0.0, *, beside_bytes: int = 0) -> None:
    """Say what the item takes from here on, before it is taken.

    Parameters
    ----------
    n_bytes
        Memory of the process, all that it has counted, in bytes.
    seconds
        What it takes at the most beyond the budget that all items have.
    beside_bytes
        Memory that it may take in rare cases, which is not set aside.

    Raises
    ------
    NeedsRoomError
        It is more than was set aside; the item will be tried again when there is room.
    """
    if _account is not None:
        _account.need(n_bytes, seconds, beside_bytes)


def hand_out(part: Any) -> None:
    """Give whoever waits for the item what is known of it so far; it is pickled."""
    if _account is not None:
        _account.hand_out(part)


def limit_memory(n_bytes: int | None) -> None:
    """Hold this process to so much memory of its own, or to none any more."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if n_bytes is None or (most != resource.RLIM_INFINITY and n_bytes > most):
        n_bytes = most
    resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, most))


def data_bytes() -> int:
    """Memory of its own that this process has, as `limit_memory` counts it; 0 if nobody tells."""
    if not sys.platform.startswith("linux"):
        return 0
    import resource

    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[5]
    except (OSError, IndexError):
        return 0
    return int(pages) * resource.getpagesize()


def keeps_much(began_bytes: int) -> bool:
    """Whether this process holds much more than at its start, by `data_bytes`."""
    return data_bytes() > began_bytes + _KEPT_BYTES
