"""Blocks of patches without end, as training takes them, made ahead of being asked for.

A block depends on the images, the settings, the seed, the stream's number and the block's number
only: the blocks are the same whatever makes them, and can start anywhere. Streams of one seed and
different numbers have nothing in common.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from microscope_quality.errors import SettingsError
from microscope_quality.training import processes

FloatArray = npt.NDArray[np.float32]
# Patches and targets.
Block = tuple[FloatArray, FloatArray]
Image = TypeVar("Image")
Settings = TypeVar("Settings")

CACHE_BYTES = 1 << 30
# Blocks under way.
AHEAD = 4


@dataclass(eq=False)
class BlockMaker(ABC, Generic[Image, Settings]):
    """Makes the blocks of a stream; holds the arrays that it used last.

    Parameters
    ----------
    images : sequence
    settings
        What the patches of a task go through.
    seed : int
    block_size : int
        Patches in a block.
    stream : int
        Which of the seed's streams, each with random numbers of its own; 0 or more.

    Raises
    ------
    SettingsError
        If there are no images.
    """

    # Whether making takes so long that processes share it, instead of one thread.
    in_processes: ClassVar[bool] = True

    images: Sequence[Image]
    settings: Settings
    seed: int
    block_size: int
    stream: int = 0

    def __post_init__(self) -> None:
        if not self.images:
            raise SettingsError("A training stream needs at least one image; there is none.")
        self._cache: OrderedDict[Hashable, npt.NDArray[Any]] = OrderedDict()
        self._cached_bytes = 0

    @abstractmethod
    def block(self, index: int) -> Block:
        """Make block number ``index``.

        Returns
        -------
        patches : ndarray of float32, shape (block_size, patch, patch)
            Normalised, as the network takes them.
        targets : ndarray of float32, shape (block_size, outputs)
            What it is to give of them.
        """

    @classmethod
    def blocks(
        cls,
        images: Sequence[Image],
        settings: Settings,
        *,
        seed: int,
        block_size: int = 1024,
        first: int = 0,
        workers: int = 1,
        stream: int = 0,
    ) -> Generator[Block, None, None]:
        """Make blocks without end, some of them before they are asked for.

        Parameters
        ----------
        images, settings, seed, block_size, stream
            As for the class.
        first : int
            Number of the first block.
        workers : int
            Processes, or where making takes little beside a training step, 1 for a thread; 0 makes
            the blocks when they are asked for.

        Yields
        ------
        patches, targets
            As `block` gives them, in order.
        """
        make = partial(cls, list(images), settings, seed, block_size, stream=stream)
        if workers == 0:
            maker = make()
            while True:
                yield maker.block(first)
                first += 1
        pool: Executor
        block: Callable[[int], Block]
        if cls.in_processes:
            pool, block = processes.pool(workers, make), partial(processes.with_own, cls.block)
        else:
            pool, block = ThreadPoolExecutor(1), make().block
        with pool:
            pending: list[Future[Block]] = []
            try:
                while True:
                    while len(pending) < AHEAD:
                        pending.append(pool.submit(block, first))
                        first += 1
                    yield pending.pop(0).result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _generator(self, index: int) -> np.random.Generator:
        """Give the random numbers of a block.

        A stream other than 0 is told apart by its spawn key: a seed with a large number added
        would not do, since a seed is split into words of 32 bits, and ``(seed + 2**32, 0)`` is
        ``(seed, 1)``.
        """
        key = (self.stream,) if self.stream else ()
        return np.random.default_rng(np.random.SeedSequence((self.seed, index), spawn_key=key))

    def _cached(self, key: Hashable, make: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Give the array of a key, made unless it is among those used last."""
        if key not in self._cache:
            self._cache[key] = make()
            self._cached_bytes += self._cache[key].nbytes
        self._cache.move_to_end(key)
        while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return self._cache[key]


def replayed(
    blocks: Callable[[int], Generator[Block, None, None]],
    replays: int,
    *,
    seed: int,
    first: int = 0,
    stream: int = 0,
) -> Generator[Block, None, None]:
    """Use each patch of a stream several times, each time turned and mirrored anew.

    Where making patches takes longer than learning from them, a network learns more in the same
    time. A patch comes back once in as many blocks, among other patches each time.

    Parameters
    ----------
    blocks : callable
        Takes the number of a block, gives the blocks from there on.
    replays : int
        How often each patch is used, 1 or more.
    seed, first, stream
        As of `BlockMaker.blocks`; ``first`` counts the blocks that are given.

    Yields
    ------
    patches, targets
        As many as those of a block.
    """
    made = blocks(first // replays)
    held = [next(made) for _ in range(replays)]
    number = first
    try:
        while True:
            turn = number % replays
            parts = [
                [array[(turn + age) % replays :: replays] for array in block]
                for age, block in enumerate(held)
            ]
            patches, targets = (np.concatenate(arrays) for arrays in zip(*parts))
            key = (2, stream)
            rng = np.random.default_rng(np.random.SeedSequence((seed, number), spawn_key=key))
            order = rng.permutation(len(patches))
            patches, targets = patches[order], targets[order]
            ways = rng.integers(8, size=len(patches))
            for way in range(1, 8):
                chosen = ways == way
                turned_ones = np.rot90(patches[chosen], way % 4, axes=(1, 2))
                patches[chosen] = turned_ones[:, ::-1] if way >= 4 else turned_ones
            yield patches, targets
            number += 1
            if number % replays == 0:
                held = [*held[1:], next(made)]
    finally:
        made.close()


def place(
    rng: np.random.Generator,
    smooth: FloatArray,
    size: int,
    lowest: int,
    highest: int | npt.NDArray[np.int_],
) -> tuple[int, int]:
    """Choose where a patch is cut: of two random places mostly the one that shows more.

    Parameters
    ----------
    smooth : ndarray of float32, shape (height, width)
        The image, without its noise.
    size : int
        Of the patch.
    lowest, highest : int, or of row and column
        Of the patch's first row and column.
    """
    places = rng.integers(lowest, highest + 1, size=(2, 2))
    if rng.random() < 0.7:
        shown = [np.ptp(smooth[y : y + size : 4, x : x + size : 4]) for y, x in places]
        return tuple(places[int(np.argmax(shown))])
    return tuple(places[0])


def turned(rng: np.random.Generator, *patches: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Turn patches by quarters and mirror them, all alike."""
    quarters = int(rng.integers(4))
    mirrored = rng.random() < 0.5
    found = [np.rot90(patch, quarters) for patch in patches]
    return [patch[:, ::-1] for patch in found] if mirrored else found
