"""The best planes of z-stacks, written as images of their own."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.tiff_images import facts_of, write_tiff
from microscope_quality.measuring.items import Place
from microscope_quality.measuring.measure import Row
from microscope_quality.measuring.naming import axes_of_name, is_of_set
from microscope_quality.measuring.page import read_again
from microscope_quality.measuring.rows import PlaneRow
from microscope_quality.measuring.run import Progress, Run
from microscope_quality.measuring.settings import Settings

# Of a channel.
_NUMBER_AND_NAME = re.compile(r"(\d+)(\D.*)")


@dataclass(frozen=True)
class _At:
    """Where a plane lies: the name of its file, and its place in it."""

    name: str
    place: Place


@dataclass(frozen=True)
class _Stack:
    """A z-stack: its unit, its channel by name and number, its best z, and where planes lie."""

    unit: str
    place: Place
    channel: str
    c: int | None
    best_z: int | None
    planes: dict[int, _At]

    @property
    def name(self) -> str:
        """What a user knows it by."""
        first = next(iter(self.planes.values())).name
        return first if is_of_set(self.unit) else self.unit


@dataclass(frozen=True)
class _Wanted:
    """A plane to write."""

    path: Path
    place: Place
    image: Path
    facts: dict[str, object]


@dataclass
class BestPlanes:
    """Hears of a run's z-stacks (see `RunListener`), and writes the best plane of each.

    Attributes
    ----------
    by : str, optional
        Name of a channel, as the column has it, or its number in the files: its best plane is that
        of all channels of its place. Without it, each channel has its own.
    written : list of Path
        Images that are in place.
    failed : list of str
        Why there is none of some stacks.
    """

    by: str | None = None
    written: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _stacks: list[_Stack] = field(default_factory=list)

    def plane(self, plane: PlaneRow) -> None:
        """Hear of a plane."""

    def image(self, planes: Sequence[PlaneRow], speaker: PlaneRow, stack: Row | None) -> None:
        """Hear of an image."""
        if stack is None:
            if planes[0].place.z is not None:
                self.failed.append(f"{planes[0].name}: none of its planes was measured")
            return
        rows: dict[str, list[Row]] = {}
        for plane in planes:
            rows.setdefault(plane.name, []).append(plane.row)
        of_name = {name: dict.fromkeys(axes_of_name(of_file)) for name, of_file in rows.items()}
        found = {
            plane.place.z: _At(plane.name, replace(plane.place, **of_name[plane.name]))
            for plane in planes
            if plane.place.z is not None and not plane.error
        }
        best_z = int(stack["best_z"]) if stack["best_z"] else None
        own = planes[0]
        self._stacks.append(
            _Stack(own.unit, own.place, stack["channel"], own.place.c, best_z, found)
        )

    def write(self, run: Run, folder: Path, progress: Progress | None = None) -> None:
        """Write them.

        Parameters
        ----------
        run
            That is finished.
        folder
            For the images, made if it is missing. They have the names of their files, with what
            tells planes of one file apart.
        progress
            Called with the numbers of planes that are written, and of all.
        """
        ranks = {self._rank(stack) for stack in self._stacks}
        if self.by is not None and ranks == {None}:
            known = sorted({stack.channel or str(stack.c or 0) for stack in self._stacks})
            self.failed.append(f"no channel is {self.by!r}; they are {', '.join(known[:20])}")
            return
        paths = dict(run.files)
        places: dict[Hashable, list[_Stack]] = {}
        for stack in self._stacks:
            places.setdefault(_place_of(run, stack), []).append(stack)
        chosen = [one for of_place in places.values() for one in self._chosen(of_place)]
        names = Counter(_image_name(stack.planes[z]) for stack, z in chosen)
        wanted = [
            _Wanted(
                paths[at.name],
                at.place,
                folder / _image_name(at, whole=names[_image_name(at)] > 1),
                {"z": z, "file": at.name, "stack": stack.unit},
            )
            for stack, z in chosen
            for at in (stack.planes[z],)
        ]
        for one, reason in run.again(write_plane, wanted, progress):
            if reason:
                self.failed.append(f"{one.facts['file']}: {reason}")
            else:
                self.written.append(one.image)
        # Of an earlier run, when another plane was the best one.
        kept = {one.image for one in wanted}
        units = {stack.unit for stack in self._stacks}
        for image in folder.rglob("*.tif"):
            facts = {} if image in kept else facts_of(image)
            if facts.get("file") in paths or facts.get("stack") in units:
                image.unlink(missing_ok=True)

    def _rank(self, stack: _Stack) -> int | None:
        """Tell how well the name or number of a channel fits, the lower the better; None if not."""
        parts = _NUMBER_AND_NAME.match(stack.channel)
        # As DAPI - DAPI of IN Cell and 1DAPI of MetaMorph; and 01 is channel 1.
        known = [stack.channel, str(stack.c or 0), *stack.channel.split(" - ")]
        known += parts.groups() if parts else ()
        found = [_plain(one) for one in known]
        return found.index(_plain(self.by)) if self.by and _plain(self.by) in found else None

    def _chosen(self, of_place: Sequence[_Stack]) -> list[tuple[_Stack, int]]:
        """Give the planes of a place that are to be written, by their stacks and z."""
        chosen = []
        best_z = None
        if self.by is not None:
            ranked = [(self._rank(stack), stack) for stack in of_place]
            leaders = [(rank, stack) for rank, stack in ranked if rank is not None]
            best_z = min(leaders, key=lambda one: one[0])[1].best_z if leaders else None
        for stack in of_place:
            z = stack.best_z if self.by is None else best_z
            if z is None:
                why = "no plane has content" if self.by is None else f"no best plane of {self.by}"
                self.failed.append(f"{stack.name}: {why}")
            elif z not in stack.planes:
                self.failed.append(f"{stack.name}: its plane z{z} is missing or was not measured")
            else:
                chosen.append((stack, z))
        return chosen


def check_apart(folder: Path, measured: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse a folder for best planes that lies in one that is measured.

    Raises
    ------
    SettingsError
        The next run would measure them as images.
    """
    place = folder.resolve()
    for path in map(Path, measured):
        if path.is_dir() and path.resolve() in (place, *place.parents):
            raise SettingsError(
                f"best_plane is {folder}, within {path}, where the next run would take its images "
                "for others; choose a folder beside it."
            )


def _place_of(run: Run, stack: _Stack) -> Hashable:
    """Tell what the channels of a place have in common."""
    first = next(iter(stack.planes.values())).name
    # Files of other channels have other names, unless they tell of their set themselves.
    place = stack.unit if is_of_set(stack.unit) else run.naming.place(first)
    return place, stack.place.series, stack.place.t


def _plain(channel: str) -> str:
    return channel.lstrip("0").casefold() or "0" * bool(channel)


def _image_name(at: _At, *, whole: bool = False) -> str:
    """Name an image as its file, or by its `whole` name, and what tells apart planes of one."""
    path = PurePosixPath(at.name.replace("\\", "/"))
    stem = path.name if whole else path.stem.removesuffix(".ome")
    axes = {"s": at.place.series, "c": at.place.c, "t": at.place.t, "z": at.place.z}
    suffix = "".join(f"_{axis}{index}" for axis, index in axes.items() if index is not None)
    parts = [part for part in path.parent.parts if part not in ("..", "/") and ":" not in part]
    return "/".join([*parts, f"{stem}{suffix}.tif"])


def write_plane(settings: Settings, wanted: _Wanted) -> None:
    """Read a plane of a file again and write it as a TIFF.

    Raises
    ------
    FileError
        The plane cannot be read any more, or the image not be written.
    """
    for _, plane in read_again(settings, wanted.path, [wanted.place], measured=False):
        optics = {} if plane.known_optics is None else plane.known_optics.values
        facts = {**wanted.facts, **optics}
        write_tiff(wanted.image, np.asarray(plane.array), facts, optics.get("pixel_size_um"))
        return
    raise FileError(f"{wanted.path}: has no plane {wanted.place} any more")
