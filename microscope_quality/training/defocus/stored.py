"""Training on a set that ``synthesize`` wrote: its images are taken as they are."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.images import planes
from microscope_quality.optics import N_LEVELS, Optics
from microscope_quality.training.architectures import PATCH_SIZE
from microscope_quality.training.blocks import place, turned
from microscope_quality.training.defocus.exposure import NormalNoise, signal
from microscope_quality.training.defocus.sources import read_rows
from microscope_quality.training.defocus.stream import SMOOTHED_PX, DefocusBlocks, visibility
from microscope_quality.training.entries import entry_of
from microscope_quality.training.fields import GroupBy

FloatArray = npt.NDArray[np.float32]

MANIFEST = "manifest.csv"
PATCHES_PER_LEVEL = (5, 20)
LEVELS_PER_SOURCE = 4
_OPTICS = tuple(field.name for field in fields(Optics))


@dataclass(frozen=True)
class StoredImage:
    """A sharp image as a set has it: one file for each level.

    Attributes
    ----------
    paths : tuple of str
        The files, by level.
    path : str
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
    path: str
    plane: int = 0
    kind: str = ""
    field: str = ""
    optics: Optics | None = None
    entry: str = ""

    # A set does not tell where a sharp image comes from.
    source = licence = ""


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
    rows, _ = read_rows(manifest)
    found: dict[tuple[str, int], list[dict[str, str]]] = {}
    for row in rows:
        missing = [name for name in ("file", "level") if not row.get(name)]
        if missing:
            raise FileError(f"The table {manifest} has a row without {' and '.join(missing)}.")
        level = _number(manifest, "level", row["level"], int)
        if not 0 <= level < N_LEVELS:
            raise FileError(
                f"The table {manifest}: a level lies between 0 and {N_LEVELS - 1}, not {level}."
            )
        if _number(manifest, "tilt_levels", row.get("tilt_levels") or "0", float) != 0:
            raise SettingsError(
                f"{manifest}: the images are tilted, so that a patch has another level than its "
                "image; use the sharp images that they were made of instead, to train with "
                "tilt_levels."
            )
        plane = _number(manifest, "plane", row.get("plane") or "0", int)
        found.setdefault((row.get("source") or row["file"], plane), []).append(row)
    return found


def find_stored_images(
    folders: Iterable[Path], patch_size: int = PATCH_SIZE, group_by: GroupBy | None = None
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


def _number(manifest: Path, column: str, text: str, kind: Callable[[str], Any]) -> Any:
    try:
        return kind(text)
    except ValueError as error:
        said = "a whole number" if kind is int else "a number"
        raise FileError(f"The table {manifest}: {column} has to be {said}: {error}.") from error


def _optics(manifest: Path, row: Mapping[str, str]) -> Optics | None:
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


class StoredBlocks(DefocusBlocks[StoredImage]):
    """Makes blocks from stored images.

    Of the settings, the patch size, the normalisation, gain and offset, and what concerns empty
    patches count; the rest is as it was when the set was made.
    """

    # Reading files takes little beside a training step.
    in_processes = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._least_shown: dict[StoredImage, float] = {}

    def _patches(
        self, rng: np.random.Generator, normal: NormalNoise
    ) -> Iterator[tuple[npt.NDArray[Any], float | None]]:
        size = self.settings.patch_size
        # Nearer to the border, the smoothed image shows what lies outside of the patch.
        edge = SMOOTHED_PX // 2
        while True:
            image = self.images[int(rng.integers(len(self.images)))]
            smooth, least_shown = self._shown(image)
            last = np.array(smooth.shape) - size
            # A large file takes long to read, and has many places.
            count = int(np.clip(smooth.size // (10 * size * size), *PATCHES_PER_LEVEL))
            for level in rng.choice(N_LEVELS, LEVELS_PER_SOURCE, replace=False).tolist():
                plane = self._plane(image.paths[level])
                for _ in range(count):
                    y, x = place(rng, smooth, size, 0, last)
                    (patch,) = turned(rng, plane[y : y + size, x : x + size])
                    inside = smooth[y + edge : y + size - edge, x + edge : x + size - edge]
                    yield patch, level if np.ptp(inside) > least_shown else None

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


def _read(path: str) -> npt.NDArray[Any]:
    return next(iter(planes(Path(path)))).array
