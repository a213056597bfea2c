"""What is evaluated on: sharp images, sets of known levels, and z-stacks, found and opened."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality import tiles
from microscope_quality.errors import FileError, ImageError, SettingsError
from microscope_quality.evaluation.stacks import Stack
from microscope_quality.files.images import find, planes
from microscope_quality.training.defocus.exposure import signal
from microscope_quality.training.defocus.sets import SetSettings, degraded
from microscope_quality.training.defocus.sources import by_deviation, read_rows
from microscope_quality.training.defocus.stored import MANIFEST, entry_in, is_set, kind_in, read_set
from microscope_quality.training.defocus.stream import visibility
from microscope_quality.training.entries import entry_of, kind_of
from microscope_quality.training.fields import GroupBy


@dataclass(frozen=True)
class SharpFile:
    """A file of sharp planes, of which all levels are made."""

    path: str
    kind: str
    group: str
    field: str

    @property
    def entry(self) -> str:
        """As models list it: ``kind/filename``."""
        return entry_of(Path(self.path))


@dataclass(frozen=True)
class SetImage:
    """One sharp plane's images at known levels, as `synthesize` wrote them."""

    name: str
    group: str
    field: str
    #: Level and file of each.
    levels: tuple[tuple[int, str], ...]
    #: The sharp image as models list it: ``kind/filename``.
    entry: str


Source = SharpFile | SetImage


@dataclass(frozen=True)
class Data:
    """What to evaluate on.

    Attributes
    ----------
    sources : tuple of SharpFile and SetImage
    stacks : tuple of Stack
    left_out : dict
        Why a file was left out on purpose, by its path.
    failed : dict
        Why a file could not be read, by its path.
    notes : tuple of str
        Sentences on the data.
    """

    sources: tuple[Source, ...] = ()
    stacks: tuple[Stack, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def with_(self, other: Data) -> Data:
        """Put this and another's together."""
        return Data(
            self.sources + other.sources,
            self.stacks + other.stacks,
            {**self.left_out, **other.left_out},
            {**self.failed, **other.failed},
            self.notes + other.notes,
        )


@dataclass(frozen=True, eq=False)
class Scene:
    """One sharp plane's images at their levels.

    Attributes
    ----------
    name, group : str
    sharp : (height, width) array or None
        Its light (see `training.exposure.signal`), to tell where it shows something.
    images : iterator of (int, array)
        Level and image, held one at a time.
    """

    name: str
    group: str
    sharp: npt.NDArray[np.float32] | None
    images: Iterator[tuple[int, npt.NDArray[Any]]]


def gather(
    paths: Sequence[str],
    *,
    manifest: Path | None = None,
    group_by: str | None = None,
    only: Collection[str] | None = None,
    without: Mapping[str, str] | None = None,
) -> Data:
    """Find sharp images and sets.

    Parameters
    ----------
    paths : sequence of str
        Files, folders or patterns. A folder with a ``manifest.csv`` that has the columns ``file``
        and ``level`` is a set as `synthesize` writes it, and used as it is; all else is sharp. In
        a set its images are known, in ``only`` and ``without``, by the sharp image that each was
        made of.
    manifest : Path, optional
        A CSV table of the sharp images with a column ``file``, relative to its folder, and
        ``field``, as for training.
    group_by : str, optional
        What the groups are, else the folders that the sharp images lie in: a column of the
        manifest, or of the set's, by its name or as ``column=NAME``; or a regular expression with
        named groups, sought in the file's name or else in its path. An image without a group is
        left out.
    only : collection of str, optional
        Images to be used, as ``kind/filename``: those that a model's training held out.
    without : mapping of str to str, optional
        Images not to be used, as ``kind/filename``, each with the reason.

    Raises
    ------
    FileError
        If a manifest cannot be read, or a set was not finished.
    SettingsError
        If there is no such column, the regular expression is none, or a set's images are tilted.
    """
    grouping = None if group_by is None else _grouping(group_by)
    column = None if grouping is None or grouping.pattern is not None else grouping.column
    sets = [path for path in paths if is_set(Path(path))]
    sharp = [path for path in paths if path not in sets]
    listed: dict[Path, dict[str, str]] = {}
    if manifest is not None:
        rows = read_table(manifest, ("file",))
        _check_column(manifest, rows, column)
        listed = {(manifest.parent / row["file"]).resolve(): row for row in rows}
    elif column is not None and sharp:
        raise SettingsError(
            f"manifest must be the table that has the column {column}, to group by it."
        )
    # Each with its name for people, and the table that tells its group.
    found: list[tuple[str, Source, Path | None]] = [
        (str(path), _sharp_file(path, grouping, listed.get(path.resolve(), {})), manifest)
        for _, path in (find(sharp) if sharp else ())
    ]
    found += [
        (f"{folder}: {image.name}", image, Path(folder))
        for folder in sets
        for image in _set_images(Path(folder), grouping)
    ]
    left_out: dict[str, str] = {}
    sources: list[Source] = []
    not_held_out, met = 0, set()
    for name, source, table in found:
        if only is not None and source.entry not in only:
            not_held_out += 1
            continue
        met.add(source.entry)
        if without and source.entry in without:
            left_out[name] = without[source.entry]
        elif not source.group:
            left_out[name] = _no_group(grouping, table)
        else:
            sources.append(source)
    notes = []
    if not_held_out:
        notes.append(f"{not_held_out} images that the model's training did not hold out: not used.")
    if only is not None:
        missing = len(set(only) - met)
        if missing:
            notes.append(f"{missing} of the {len(only)} images held out are not in the data.")
    return Data(tuple(sources), left_out=left_out, notes=tuple(notes))


def scenes(source: Source, settings: SetSettings, smallest: int) -> Iterator[Scene]:
    """Open a source: each of its sharp planes with the images at their levels.

    Of a z-stack that is the plane of the largest standard deviation, as for training.

    Parameters
    ----------
    source : SharpFile or SetImage
    settings : SetSettings
        How sharp images are defocused and exposed.
    smallest : int
        Shortest side in pixels that there is a patch for.

    Raises
    ------
    FileError
        If a file cannot be read.
    ImageError
        If a plane cannot be a sharp image, or is too small.
    """
    if isinstance(source, SetImage):
        reference = [path for level, path in source.levels if level == 0]
        yield Scene(
            source.name,
            source.group,
            # Blurred by the in-focus kernel alone: what shows nothing there showed nothing.
            signal(_only_plane(reference[0])) if reference else None,
            ((level, _large_enough(_only_plane(path), smallest)) for level, path in source.levels),
        )
        return
    path = Path(source.path)
    for number, plane in _sharp_planes(path, smallest):
        # Named as `training.sets.labelled` does, which seeds the exposures by it.
        name = f"{source.kind}/{path.name}#{number}"
        yield Scene(
            name,
            source.group,
            signal(plane),
            ((made.level, made.plane) for made in degraded(plane, name, settings)),
        )


def shown(
    sharp: npt.NDArray[np.float32] | None, places: npt.NDArray[np.intp], patch_size: int
) -> npt.NDArray[np.bool_]:
    """Tell where a sharp image shows something, by the rule that training labels patches by.

    Parameters
    ----------
    sharp : (height, width) array of float32, or None
        Its light; None tells nothing, and every place counts.
    places : (n, 2) array of int
        y and x of the patches' upper left pixels.
    patch_size : int

    Returns
    -------
    (n,) array of bool
    """
    if sharp is None:
        return np.ones(len(places), np.bool_)
    smooth, least = visibility(sharp)
    contrast = np.ptp(tiles.cut(smooth, places, patch_size), axis=(1, 2))
    return np.asarray(contrast > least, np.bool_)


def read_table(path: Path, needed: Iterable[str]) -> list[dict[str, str]]:
    """Read a CSV table with a header.

    Raises
    ------
    FileError
        If it cannot be read, or lacks a needed column.
    """
    rows, columns = read_rows(path)
    missing = [name for name in needed if name not in columns]
    if missing:
        raise FileError(
            f"The table {path} has no column {', '.join(missing)}; it has {', '.join(columns)}."
        )
    return rows


def _check_column(path: Path, rows: Sequence[Mapping[str, str]], column: str | None) -> None:
    if column is not None and rows and column not in rows[0]:
        raise SettingsError(
            f"The table {path} has no column {column} to group by; it has {', '.join(rows[0])}."
        )


def _grouping(text: str) -> GroupBy:
    # A plain word can only be a column: a pattern needs a named group.
    return GroupBy(column=text) if re.fullmatch(r"[\w. -]+", text) else GroupBy.parse(text)


def _group(grouping: GroupBy, path: Path, row: Mapping[str, str]) -> str:
    """Give an image's group; empty when there is none."""
    if grouping.pattern is None:
        return row.get(grouping.column) or ""
    return "/".join(grouping.match(path).values())


def _sharp_file(path: Path, grouping: GroupBy | None, row: Mapping[str, str]) -> SharpFile:
    kind = kind_of(path)
    group = kind if grouping is None else _group(grouping, path, row)
    return SharpFile(str(path), kind, group, row.get("field") or str(path))


def _no_group(grouping: GroupBy | None, table: Path | None) -> str:
    if grouping is None or grouping.pattern is None:
        return f"{table} does not tell its {grouping.column if grouping else 'group'}"
    return "the pattern for groups does not match its name"


def _set_images(folder: Path, grouping: GroupBy | None) -> list[SetImage]:
    images = []
    for (source, plane), rows in read_set(folder).items():
        entry = entry_in(folder, source, rows[0])
        if grouping is None:
            group = kind_in(entry)
        else:
            if grouping.pattern is None:
                _check_column(folder / MANIFEST, rows, grouping.column)
            group = _group(grouping, Path(source), rows[0])
        levels = sorted((int(row["level"]), str(folder / row["file"])) for row in rows)
        images.append(SetImage(f"{source}#{plane}", group, source, tuple(levels), entry))
    return images


def _sharp_planes(path: Path, smallest: int) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Read the planes of a file that count as sharp, each with its number."""
    sharpest: dict[tuple[int | None, ...], tuple[float, int, npt.NDArray[Any]]] = {}
    unfit: ImageError | None = None
    for number, plane in enumerate(planes(path)):
        _large_enough(plane.array, smallest)
        if plane.z is None:
            yield number, plane.array
            continue
        try:
            signal(plane.array)
        except ImageError as error:
            unfit = error
            continue
        stack = (plane.series, plane.c, plane.t)
        score = by_deviation(plane.array)
        if stack not in sharpest or score > sharpest[stack][0]:
            sharpest[stack] = (score, number, plane.array)
    if unfit is not None and not sharpest:
        raise unfit
    for _, number, array in sharpest.values():
        yield number, array


def _only_plane(path: str) -> npt.NDArray[Any]:
    found = [plane.array for plane in planes(path)]
    if len(found) != 1:
        raise ImageError(f"{path}: an image of known level has one plane; this has {len(found)}.")
    return found[0]


def _large_enough(plane: npt.NDArray[Any], smallest: int) -> npt.NDArray[Any]:
    if min(plane.shape) < smallest:
        height, width = plane.shape
        raise ImageError(f"{width} × {height} pixels, smaller than a patch of {smallest}.")
    return plane
