"""Training on a set that ``synthesize`` wrote: its images are taken as they are.

The blocks are as those of ``stream``: they depend on the images, the settings, the seed and the
block's number only.
"""

from __future__ import annotations

import csv
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from microscope_quality.errors import FileError, SettingsError, reason_of
from microscope_quality.files.images import planes
from microscope_quality.model import normalise
from microscope_quality.optics import N_LEVELS, Optics
from microscope_quality.training.empties import empty_patch
from microscope_quality.training.entries import entry_of
from microscope_quality.training.exposure import NormalNoise, log_uniform, signal
from microscope_quality.training.sources import GroupBy
from microscope_quality.training.stream import SMOOTHED_PX, StreamSettings, visibility

FloatArray = npt.NDArray[np.float32]

MANIFEST = "manifest.csv"
PATCHES_PER_LEVEL = (5, 20)
LEVELS_PER_SOURCE = 4
CACHE_BYTES = 1 << 30
# Column of the manifest that says by how much the level varies over an image.
_TILT = "tilt_levels"
_OPTICS = ("na", "refractive_index", "wavelength_um", "pixel_size_um")


@dataclass(frozen=True)
class StoredImage:
    """A sharp image as a set has it: one file for each level.

    Attributes
    ----------
    paths : tuple of str
        The files, by level.
    source : str
        The sharp image's name in the set.
    plane : int
        Which of its planes.
    kind : str
        What it shows: the folder of the source, or that of the set.
    field : str
        The field of view; images that share it stay on the same side of a split.
    optics : Optics, optional
        For which the set was made; None where it does not tell.
    entry : str
        The sharp image as models list it, ``kind/filename``.
    """

    paths: tuple[str, ...]
    source: str
    plane: int = 0
    kind: str = ""
    field: str = ""
    optics: Optional[Optics] = None
    entry: str = ""

    @property
    def path(self) -> str:
        """The sharp image's name, as `SharpImage` has it."""
        return self.source


def is_set(folder: Path) -> bool:
    """Tell whether a folder holds a set: a manifest that gives the level of each file.

    Raises
    ------
    FileError
        If it holds a set that was not finished.
    """
    manifest = folder / MANIFEST
    partial = folder / f"{MANIFEST}.part"
    if partial.is_file() and not manifest.exists():
        raise FileError(
            f"{folder}: holds a set that was not finished, for its manifest is still {partial.name}"
            "; synthesize it again, into a new folder."
        )
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            return {"file", "level"} <= set(next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def read_set(folder: Path) -> dict[tuple[str, int], list[dict[str, str]]]:
    """Read a set's manifest: the rows of each sharp image, by its name and plane.

    Where the manifest does not tell which images show the same, each is one of its own.

    Raises
    ------
    FileError
        If the manifest cannot be read, lacks a column or has a number that is none.
    SettingsError
        If the level of an image varies over it, so that its patches have no level.
    """
    manifest = folder / MANIFEST
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(
            f"The table {manifest} cannot be read: {reason_of(error, manifest)}."
        ) from error
    found: dict[tuple[str, int], list[dict[str, str]]] = {}
    for row in rows:
        missing = [name for name in ("file", "level") if not row.get(name)]
        if missing:
            raise FileError(f"The table {manifest} has a row without {' and '.join(missing)}.")
        level = _whole(manifest, "level", row["level"])
        if not 0 <= level < N_LEVELS:
            raise FileError(
                f"The table {manifest}: a level lies between 0 and {N_LEVELS - 1}, not {level}."
            )
        if _is_tilted(manifest, row):
            raise SettingsError(
                f"{manifest}: the images are tilted, so that a patch has another level than its "
                "image; use the sharp images that they were made of instead, to train with --tilt."
            )
        plane = _whole(manifest, "plane", row.get("plane") or "0")
        found.setdefault((row.get("source") or row["file"], plane), []).append(row)
    return found


def find_stored_images(
    folders: Iterable[Path], patch_size: int = 84, group_by: Optional[GroupBy] = None
) -> list[StoredImage]:
    """List the sharp images of sets.

    Parameters
    ----------
    folders : iterable of Path
        As ``synthesize`` writes them.
    patch_size : int
        Images under this on a side are passed over.
    group_by : GroupBy, optional
        What a field is: a pattern for the names of the sharp images, or a column of the sets'
        manifests. By default each sharp file is one, in whatever sets it is, under whatever name.

    Raises
    ------
    FileError
        If a manifest cannot be read or lacks a level of an image.
    SettingsError
        If the level of an image varies over it, so that its patches have no level; or images are
        to be grouped by a column that is not there.
    """
    group_by = group_by or GroupBy()
    images: list[StoredImage] = []
    for folder in folders:
        manifest = folder / MANIFEST
        for (source, plane), rows in read_set(folder).items():
            by_level = {int(row["level"]): str(folder / row["file"]) for row in rows}
            if sorted(by_level) != list(range(N_LEVELS)):
                raise FileError(
                    f"The manifest {manifest} has not every level of {source}: it has "
                    f"{', '.join(map(str, sorted(by_level)))}."
                )
            if group_by.column != "field" and group_by.column not in rows[0]:
                raise SettingsError(
                    f"The manifest {manifest} has no column {group_by.column!r} to group by."
                )
            optics = {_optics(manifest, row) for row in rows}
            if len(optics) > 1:
                raise SettingsError(f"{manifest}: the images of {source} differ in their optics.")
            paths = tuple(by_level[level] for level in range(N_LEVELS))
            if min(_read(paths[0]).shape) >= patch_size:
                entry = entry_in(folder, source, rows[0])
                field = group_by.field(Path(source), rows[0]) or rows[0].get("entry") or source
                images.append(
                    StoredImage(paths, source, plane, kind_in(entry), field, optics.pop(), entry)
                )
    return images


def entry_in(folder: Path, source: str, row: Mapping[str, str]) -> str:
    """Name the sharp image of a set as models list it, ``kind/filename``.

    A set that does not tell it, as one that was not made by ``synthesize``, tells the image's place
    below the folder of the set at most: a source without a folder then has that of the set.
    """
    return row.get("entry") or entry_of(folder / source)


def kind_in(entry: str) -> str:
    """Give the folder that an image lies in, of the name that models list it by."""
    return entry.rpartition("/")[0]


def optics_of(folder: Path) -> set[Optics]:
    """Give the optics that the images of a set were made for; none where it does not tell.

    Raises
    ------
    FileError, SettingsError
        As `read_set`.
    """
    manifest = folder / MANIFEST
    found = {_optics(manifest, row) for rows in read_set(folder).values() for row in rows}
    return {optics for optics in found if optics is not None}


def _whole(manifest: Path, column: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise FileError(
            f"The table {manifest}: {column} has to be a whole number: {error}."
        ) from error


def _is_tilted(manifest: Path, row: Mapping[str, str]) -> bool:
    try:
        return float(row.get(_TILT) or 0) != 0
    except ValueError as error:
        raise FileError(f"The table {manifest}: {_TILT} has to be a number: {error}.") from error


def _optics(manifest: Path, row: Mapping[str, str]) -> Optional[Optics]:
    """Give the optics that an image of a set was made for; None where the set does not tell."""
    if not all(row.get(name) for name in _OPTICS):
        return None
    try:
        return Optics(**{name: float(row[name]) for name in _OPTICS})
    except ValueError as error:
        raise FileError(f"The table {manifest}: {error}") from error


def labelled(images: Iterable[StoredImage]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Read the images of all levels, with the level before each."""
    for image in images:
        for level, path in enumerate(image.paths):
            yield level, _read(path)


class StoredBlockMaker:
    """Makes blocks of patches from stored images; holds those that were read last."""

    def __init__(
        self,
        images: Sequence[StoredImage],
        settings: StreamSettings,
        seed: int,
        block_size: int,
        *,
        stream: int = 0,
    ) -> None:
        if not images:
            raise SettingsError("A training needs at least one image; there is none.")
        self.settings = settings
        self.seed = seed
        self.block_size = block_size
        self.stream = stream
        self._images = list(images)
        self._cache: OrderedDict[str | StoredImage, npt.NDArray[Any]] = OrderedDict()
        self._least_shown: dict[StoredImage, float] = {}
        self._cached_bytes = 0

    def block(self, index: int) -> tuple[FloatArray, FloatArray]:
        """Make block number ``index``.

        Returns
        -------
        patches : ndarray of float32, shape (block_size, patch, patch)
        targets : ndarray of float32, shape (block_size, levels)
            One-hot, or uniform for an empty patch and for a place that shows nothing.
        """
        settings = self.settings
        key = (self.stream,) if self.stream else ()
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, index), spawn_key=key))
        normal = NormalNoise(rng)
        size = settings.patch_size
        # Nearer to the border, the smoothed image shows what lies outside of the patch.
        edge = SMOOTHED_PX // 2
        grey = np.empty((self.block_size, size, size), dtype=np.float32)
        targets = np.zeros((self.block_size, N_LEVELS), dtype=np.float32)
        empty = rng.random(self.block_size) < settings.empty_fraction
        for number in np.flatnonzero(empty):
            grey[number] = empty_patch(rng, normal, settings)
            targets[number] = 1 / N_LEVELS
        rows = iter(rng.permutation(np.flatnonzero(~empty)).tolist())
        row: Optional[int] = next(rows, None)
        while row is not None:
            image = self._images[rng.integers(len(self._images))]
            smooth, least_shown = self._shown(image)
            # A large file takes long to read, and has many places.
            count = int(np.clip(smooth.size // (10 * size * size), *PATCHES_PER_LEVEL))
            for level in rng.choice(N_LEVELS, LEVELS_PER_SOURCE, replace=False):
                plane = self._plane(image.paths[level])
                for _ in range(count):
                    if row is None:
                        break
                    y, x = _place(rng, smooth, size)
                    patch = np.rot90(plane[y : y + size, x : x + size], int(rng.integers(4)))
                    grey[row] = patch[:, ::-1] if rng.random() < 0.5 else patch
                    inside = smooth[y + edge : y + size - edge, x + edge : x + size - edge]
                    if np.ptp(inside) > least_shown:
                        targets[row, level] = 1
                    else:
                        targets[row] = 1 / N_LEVELS
                    row = next(rows, None)
        if settings.gain != (1.0, 1.0) or settings.offset != (1.0, 1.0):
            for patch in grey:
                patch *= log_uniform(rng, *settings.gain)
                patch += log_uniform(rng, *settings.offset)
            np.clip(grey, 0, 65535, out=grey)
        patches, _ = normalise(grey, settings.normalisation, type_max=65535)
        return patches, targets

    def _plane(self, path: str) -> npt.NDArray[Any]:
        """Give a file's plane."""
        return self._cached(path, lambda: _read(path))

    def _shown(self, image: StoredImage) -> tuple[FloatArray, float]:
        """Give the smoothed image in focus, and the contrast from which a place shows something.

        What a place shows is asked of the image in focus; its own noise shows nothing.
        """

        def smoothed() -> npt.NDArray[Any]:
            smooth, self._least_shown[image] = visibility(signal(self._plane(image.paths[0])))
            return smooth

        smooth = self._cached(image, smoothed)
        return smooth, self._least_shown[image]

    def _cached(
        self, key: str | StoredImage, make: Callable[[], npt.NDArray[Any]]
    ) -> npt.NDArray[Any]:
        if key not in self._cache:
            self._cache[key] = make()
            self._cached_bytes += self._cache[key].nbytes
        self._cache.move_to_end(key)
        found = self._cache[key]
        while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return found


def blocks(
    images: Sequence[StoredImage],
    settings: StreamSettings,
    *,
    seed: int,
    block_size: int = 1024,
    first: int = 0,
    workers: int = 1,
    ahead: int = 4,
    stream: int = 0,
) -> Generator[tuple[FloatArray, FloatArray], None, None]:
    """Make blocks without end, as :func:`microscope_quality.training.stream.blocks` does.

    Parameters
    ----------
    images : sequence of StoredImage
    settings : StreamSettings
        Of which the patch size, the normalisation, gain and offset, and what concerns empty
        patches count; the rest is as it was when the set was made.
    seed, block_size, first, ahead, stream
        As for the stream.
    workers : int
        0 makes the blocks when they are asked for; else one thread makes them ahead, as reading
        files takes little beside a training step.

    Yields
    ------
    patches, targets
        As :meth:`StoredBlockMaker.block` gives them, in order.
    """
    maker = StoredBlockMaker(images, settings, seed, block_size, stream=stream)
    if workers == 0:
        while True:
            yield maker.block(first)
            first += 1
    # One thread alone uses the maker.
    with ThreadPoolExecutor(1) as pool:
        pending: list[Future[tuple[FloatArray, FloatArray]]] = []
        try:
            while True:
                while len(pending) < ahead:
                    pending.append(pool.submit(maker.block, first))
                    first += 1
                yield pending.pop(0).result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _place(rng: np.random.Generator, smooth: FloatArray, size: int) -> tuple[int, int]:
    """Choose where a patch is cut: of two random places mostly the one that shows more."""
    last = np.array(smooth.shape) - size
    places = rng.integers(0, last + 1, size=(2, 2))
    if rng.random() < 0.7:
        shown = [np.ptp(smooth[y : y + size : 4, x : x + size : 4]) for y, x in places]
        return tuple(places[int(np.argmax(shown))])
    return tuple(places[0])


def _read(path: str) -> npt.NDArray[Any]:
    return next(iter(planes(Path(path)))).array
