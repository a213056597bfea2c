"""A measured figure beside the bar that it must clear, and how durations are taken."""

from __future__ import annotations

import time
from typing import Callable, Iterable, NamedTuple


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


def print_rows(figures: Iterable[Figure]) -> bool:
    """Print each as a row of a table as soon as it is there; tell whether all are met."""
    all_met = True
    for figure in figures:
        all_met &= figure.met
        mark = "met" if figure.met else "MISSED"
        print(f"| {figure.name} | {figure.value} | {figure.bar} | {mark} |", flush=True)
    return all_met
