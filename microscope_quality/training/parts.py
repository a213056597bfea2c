"""Long work in parts: shared by processes, and each part kept as soon as it is done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import as_completed
from functools import partial
from pathlib import Path
from typing import TypeVar

from microscope_quality.errors import FileError
from microscope_quality.files.regular import refusals
from microscope_quality.training import processes
from microscope_quality.training.state import Arrays, read_arrays, write_arrays

Item = TypeVar("Item")


def in_parts(
    function: Callable[[Item], Arrays],
    items: Mapping[str, Item],
    folder: Path,
    *,
    workers: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Arrays]:
    """Apply a function to items, and keep what it gives of each in a file.

    A call that finds some of them in the folder makes the others only.

    Parameters
    ----------
    function : callable
        Of an item; gives arrays by name, the same whoever calls it. For processes it is pickled,
        as are items.
    items : mapping of str to item
        By the name under which what comes of them is kept.
    folder : Path
        For what this function gives; made if need be.
    workers : int
        Processes; 0: none, in this one.
    report : callable
        Called with the number of items that are done, and of all: at the beginning, and when one
        more is kept.

    Returns
    -------
    dict of str to dict of str to ndarray
        In the order of ``items``.

    Raises
    ------
    FileError
        If something cannot be kept.
    Exception
        What the function raises.
    """
    with refusals(folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Arrays] = {}
    for name in items:
        # What cannot be read is made again.
        with contextlib.suppress(FileError):
            found[name] = read_arrays(_path(folder, name))
    report(len(found), len(items))
    missing = {name: item for name, item in items.items() if name not in found}
    for name, arrays in _made(function, missing, min(workers, len(missing))):
        write_arrays(_path(folder, name), arrays)
        found[name] = arrays
        report(len(found), len(items))
    return {name: found[name] for name in items}


def _made(
    function: Callable[[Item], Arrays], items: Mapping[str, Item], workers: int
) -> Iterator[tuple[str, Arrays]]:
    """Give what a function makes of items, as each is done."""
    if workers == 0:
        for name, item in items.items():
            yield name, function(item)
        return
    pool = processes.pool(workers, partial(_same, function))
    try:
        names = {pool.submit(processes.with_own, _call, items[name]): name for name in items}
        for future in as_completed(names):
            yield names[future], future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.npz"


def _same(function: Callable[[Item], Arrays]) -> Callable[[Item], Arrays]:
    return function


def _call(function: Callable[[Item], Arrays], item: Item) -> Arrays:
    return function(item)
