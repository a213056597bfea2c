"""Processes that work for a training and end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

Value = TypeVar("Value")


def pool(workers: int, make: Callable[[], Any]) -> ProcessPoolExecutor:
    """Start processes, each with an object of its own that :func:`with_own` works with.

    Parameters
    ----------
    workers : int
        Number of processes; in each, BLAS has one thread.
    make : callable
        Makes the object; it is pickled.
    """
    return ProcessPoolExecutor(
        workers,
        # A fork of a process that runs a network can hang; a fresh one imports NumPy only.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(make,),
    )


def with_own(function: Callable[..., Value], *arguments: Any) -> Value:
    """Call a function in a process of a :func:`pool`, with the process's object before all else."""
    return function(_own, *arguments)


_own: Any = None


def _start(make: Callable[[], Any]) -> None:
    global _own
    # Ctrl-C reaches all processes of a terminal; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threadpool_limits(1)
    _own = make()


def _end_with_parent() -> None:
    """End this process when the one that it works for is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
