"""How much memory a process takes to measure a plane, as `benchmarks/runs.py` measures it."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from typing import Optional

from microscope_quality.batch.budget import Budget
from microscope_quality.batch.run import Follow, Item, Outcome, Value, run
from microscope_quality.batch.worker import Worker

#: Of a process that has the library and a model, in bytes: 75 MB were measured after small images.
PROCESS_BYTES = 85_000_000

# The pixels as they are read, and what unpacking them needs beside them: 1.0 to 1.6 times.
_READING = 1.6
# The same of a strip that is higher than a band: beside it, what was cut of it.
_DECODING = 2.1
# Bytes for each pixel of what marks undefined ones, of floats alone.
_MASK = 1
# Patches at work at once, and their pixels as they are cut out and normalised.
_MOST_PATCHES = 1024
_PATCH_PIXELS = 84**2
_NORMALISED = 6
# Work space of the network.
_NETWORK_BYTES = 16_000_000
# Bytes for each pixel: of an image that is brought to another sampling, and of its picture.
_RESCALED = 36
# Rows of pixels at hand while a plane is read in bands: of patches, and of the tiles about them.
_BAND_ROWS = 2048
_DRAWN = 28


def memory_of(
    width: int,
    height: int,
    bytes_per_pixel: int,
    *,
    band_rows: int = 0,
    rescaled: bool = False,
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
    rescaled : bool
        Whether it is brought to the model's sampling.
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
    patches = min(math.ceil(width / 84) * math.ceil(height / 84), _MOST_PATCHES)
    reading = _DECODING if band_rows > _BAND_ROWS else _READING
    each = bytes_per_pixel * reading + (_MASK if bytes_per_pixel >= 4 else 0)
    each += _RESCALED * rescaled + _DRAWN * drawn
    at_work = patches * _PATCH_PIXELS * (bytes_per_pixel + _NORMALISED)
    return PROCESS_BYTES + _NETWORK_BYTES + round(pixels * each) + at_work


#: Of a process at work on an image of a usual size, until it has told how large it is.
USUAL_BYTES = memory_of(1080, 1080, 2)


def run_within(
    limit_bytes: Optional[int],
    bytes_of: Callable[[Item], int],
    function: Callable[[Item], Value],
    items: Iterable[Item],
    *,
    jobs: int,
    budget: Budget,
    follow: Optional[Follow[Item]] = None,
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
    if limit_bytes is None:
        return run(function, items, jobs=jobs, budget=budget, follow=follow, ready=ready)
    return run(
        function,
        items,
        jobs=jobs,
        limit_bytes=limit_bytes,
        bytes_of=bytes_of,
        idle_bytes=PROCESS_BYTES,
        own_bytes=PROCESS_BYTES,
        budget=budget,
        follow=follow,
        ready=ready,
    )
