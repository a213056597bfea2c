"""How much memory a process takes to measure a plane, as `benchmarks/runs.py` measures it."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable

from microscope_quality.batch.budget import Budget
from microscope_quality.batch.memory import bytes_in_words, parse_bytes
from microscope_quality.batch.run import Follow, Item, Outcome, Value, run
from microscope_quality.batch.worker import Worker
from microscope_quality.errors import SettingsError

#: Of a process that has the library and a model, in bytes: 75 MB were measured after small images.
PROCESS_BYTES = 85_000_000

# The pixels as they are read, and what unpacking them needs beside them: 1.0 to 1.6 times.
_READING = 1.6
# The same of a strip that is higher than a band: beside it, what was cut of it.
_DECODING = 2.1
# Bytes for each pixel of what marks undefined ones, of floats alone.
_MASK = 1
# Patches at work at once, and bytes of their pixels as they are cut out and normalised.
_MOST_PATCHES = 1024
_NORMALISED = 6
# Work space of the network.
_NETWORK_BYTES = 16_000_000
# Rows of pixels at hand while a plane is read in bands: of patches, and of the tiles about them.
_BAND_ROWS = 2048
# Bytes for each pixel of a picture.
_DRAWN = 28


def memory_of(
    width: int,
    height: int,
    bytes_per_pixel: int,
    *,
    band_rows: int = 0,
    beside_bytes: int = 0,
    patch_size: int = 0,
    drawn: bool = False,
) -> int:
    """Tell how much memory a process takes to measure a plane.

    Parameters
    ----------
    width, height : int
        Of the stored page, in pixels.
    bytes_per_pixel : int
        As stored, all channels of a pixel together.
    band_rows : int
        Rows that are decoded at once where it is read a band of patches at a time, from tiles that
        are held as long as that; 0 where it is read whole.
    beside_bytes : int
        What measuring takes for each pixel beside what is read.
    patch_size : int
        Side of patches that are measured, in pixels; 0 without any.
    drawn : bool
        Whether a picture of it is drawn.

    Returns
    -------
    int
        In bytes, with what the process takes at rest (`PROCESS_BYTES`). It is rarely less than
        the peak, and at most about twice that.
    """
    # A band of patches and the tiles that it cuts, in the reader's cache; results of patches.
    rows = min(height, max(_BAND_ROWS, band_rows)) if band_rows else height
    pixels = width * rows
    patches = 0
    if patch_size:
        patches = min(math.ceil(width / patch_size) * math.ceil(height / patch_size), _MOST_PATCHES)
    reading = _DECODING if band_rows > _BAND_ROWS else _READING
    each = bytes_per_pixel * reading + (_MASK if bytes_per_pixel >= 4 else 0)
    each += beside_bytes + _DRAWN * drawn
    at_work = patches * patch_size**2 * (bytes_per_pixel + _NORMALISED)
    return PROCESS_BYTES + _NETWORK_BYTES + round(pixels * each) + at_work


#: Of a process at work on an image of a usual size, until it has told how large it is.
USUAL_BYTES = memory_of(1080, 1080, 2, patch_size=90)

# Of this process, of one at work, and of an image of 1080 × 1080 pixels of 16 bits.
_LEAST_BYTES = 200_000_000
# Of an image of that size, and of what its reader brings.
_LEAST_FILE_BYTES = 100_000_000


def budget_of(file_time: float, file_memory: str | None = None) -> Budget:
    """Give what the process at work on a file may take: seconds, and memory such as ``"4GB"``.

    Raises
    ------
    SettingsError
        One is no amount, or less than any file takes.
    """
    if file_memory is None:
        return Budget(file_time)
    amount = _amount(
        "file_memory", file_memory, _LEAST_FILE_BYTES, "an ordinary image and its reader"
    )
    return Budget(file_time, amount)


def limit_of(limit_memory: str) -> int:
    """Give what all processes may take together, in bytes, such as ``"4GB"``.

    Raises
    ------
    SettingsError
        It is no amount, or less than two processes take.
    """
    return _amount(
        "limit_memory", limit_memory, _LEAST_BYTES, "two processes and an ordinary image"
    )


def _amount(name: str, text: str, least_bytes: int, takers: str) -> int:
    amount = parse_bytes(text)
    if amount < least_bytes:
        raise SettingsError(
            f"{name} is {text}; it has to be {bytes_in_words(least_bytes)} or more, which is what "
            f"{takers} take"
        )
    return amount


def run_within(
    limit_bytes: int | None,
    bytes_of: Callable[[Item], int],
    function: Callable[[Item], Value],
    items: Iterable[Item],
    *,
    jobs: int,
    budget: Budget,
    follow: Follow[Item] | None = None,
    ready: Iterable[Worker] = (),
) -> Generator[Outcome[Item, Value], None, None]:
    """Run a function over items as `batch.run.run` does, within a limit of memory.

    Parameters
    ----------
    limit_bytes
        Of all processes together, this one too; None for no limit.
    bytes_of
        Memory of a process at work on an item.
    function, items, jobs, budget, follow, ready
        As for `run`.
    """
    return run(
        function,
        items,
        jobs=jobs,
        limit_bytes=limit_bytes,
        bytes_of=None if limit_bytes is None else bytes_of,
        idle_bytes=PROCESS_BYTES,
        own_bytes=PROCESS_BYTES,
        budget=budget,
        follow=follow,
        ready=ready,
    )
