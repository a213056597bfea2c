"""The order of items that are at work at once, and of the items that follow from others."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


@dataclass(eq=False)
class Turn(Generic[Item]):
    """An item that was begun, and what became of it."""

    item: Item
    group: _Group[Item]
    #: None until it is done.
    outcome: Any = None

    def answer(self, outcome: Any) -> None:
        """Say what became of it."""
        self.outcome = outcome


@dataclass(eq=False)
class _Group(Generic[Item]):
    """An item of the source, and those that follow from it."""

    begun: deque[Turn[Item]] = field(default_factory=deque)
    more: Iterator[Item] | None = None


class Turns(Generic[Item]):
    """Items in their order: each follows the one before it, and before the next one of the source.

    Parameters
    ----------
    items
        The source, of which items are taken only a few ahead.
    ahead
        How many items of the source may have been begun and not been given.
    """

    def __init__(self, items: Iterable[Item], ahead: int) -> None:
        self.ahead = ahead
        self._source: Iterator[Item] | None = iter(items)
        self._groups: deque[_Group[Item]] = deque()
        self._n_begun = 0

    def begin(self) -> Turn[Item] | None:
        """Give the next item to begin, in the order of all; None where none may be begun now."""
        for group in self._groups:
            if group.more is None:
                continue
            # Those of the first one are waited for; others must leave room for them.
            most = 3 if group is self._groups[0] else 2
            if self._n_begun >= most * self.ahead:
                return None
            for item in group.more:
                return self._begun(item, group)
            group.more = None
        if self._source is None or self._n_begun >= self.ahead:
            return None
        for item in self._source:
            self._groups.append(_Group())
            return self._begun(item, self._groups[-1])
        self._source = None
        return None

    def _begun(self, item: Item, group: _Group[Item]) -> Turn[Item]:
        turn = Turn(item, group)
        group.begun.append(turn)
        self._n_begun += 1
        return turn

    def follow(self, turn: Turn[Item], item: Item, more: Iterable[Item]) -> None:
        """Say what an item turned out to be, and which ones follow it."""
        turn.item = item
        turn.group.more = iter(more)

    def given(self) -> Iterator[Turn[Item]]:
        """Give, and forget, those that are done and whose turn it is."""
        while self._groups:
            group = self._groups[0]
            if group.begun and group.begun[0].outcome is not None:
                self._n_begun -= 1
                yield group.begun.popleft()
            elif group.begun or group.more is not None:
                return
            else:
                self._groups.popleft()

    def first(self) -> Turn[Item] | None:
        """Give the one that all others wait for; None where nothing is begun."""
        return next((group.begun[0] for group in self._groups if group.begun), None)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is begun, and nothing more will be."""
        return self._source is None and not self._groups
