"""A measured figure beside the bar that it must clear, and how durations are taken."""

from __future__ import annotations

import time
from typing import Callable, NamedTuple


class Figure(NamedTuple):
    """What was measured, its value in words, the bar, and whether the value clears it."""

    name: str
    value: str
    bar: str
    met: bool


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Shortest of some runs: the one that other programs disturbed least."""
    durations = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return min(durations)
