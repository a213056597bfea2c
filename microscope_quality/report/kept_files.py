"""Copies of the files whose images are kept, in a folder of their own."""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.ome_zarr import is_zarr
from microscope_quality.files.regular import refusals
from microscope_quality.files.tables import names_stored_as
from microscope_quality.files.whole import whole
from microscope_quality.measuring.items import identity
from microscope_quality.report.results import changes_of
from microscope_quality.report.selection import Selection


@dataclass(frozen=True)
class Copy:
    """A file, or a folder of OME-Zarr, and the place of its copy."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Copies:
    """What is to be copied of the files with a kept image; the others are known by their names.

    Attributes
    ----------
    wanted : list of Copy
        Files without a rejected image.
    present : list of Copy
        Those of them whose copies are there already.
    partly : list of str
        Files with a rejected image too.
    outside, missing, changed : list of str
        Files whose names lead out of the folder of images, that are not there, or that are not
        what was measured.
    """

    wanted: list[Copy] = field(default_factory=list)
    present: list[Copy] = field(default_factory=list)
    partly: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def plan_copies(
    selection: Selection, copy_kept: Path, folders: Sequence[Path], *, moved: bool = False
) -> Copies:
    """Tell what is to be copied; nothing is written.

    Parameters
    ----------
    selection : Selection
    copy_kept : Path
        A folder for the copies, which have the names there that they have in the table.
    folders : sequence of Path
        Where the images may lie, the likeliest first.
    moved : bool
        Whether they were moved since they were measured, and may have other times.

    Raises
    ------
    FileError
        In the folder another file has the place of a copy, or a file is not kept any more.
    SettingsError
        It lies in a folder of images, where the next run would measure the copies.
    """
    if os.path.lexists(copy_kept) and not copy_kept.is_dir():
        raise FileError(f"{copy_kept}: is no folder, as is needed for copies")
    rows = selection.rows
    names = rows.columns["file"]
    kept, rejected = (
        dict.fromkeys(names[row] for image in images for row in rows.images[image])
        for images in (selection.kept, selection.rejected)
    )
    changed = {names[row] for row in changes_of(rows, folders, moved)["changed"]}
    copies = Copies()
    for name in kept:
        copy = _found(name, copy_kept, folders) if _is_within(name) else None
        if name in rejected:
            copies.partly.append(name)
        elif not _is_within(name):
            copies.outside.append(name)
        elif copy is None:
            copies.missing.append(name)
        elif name in changed:
            copies.changed.append(name)
        elif not os.path.lexists(copy.target):
            copies.wanted.append(copy)
        elif _is_same(copy):
            copies.present.append(copy)
        else:
            raise FileError(
                f"{copy.target}: is there already and is another file; choose a new folder"
            )
    every = [*copies.wanted, *copies.present]
    _check_apart(copy_kept, every, folders)
    _check_links(copy_kept, every)
    for name in (*rejected, *copies.changed):
        if _is_within(name) and os.path.lexists(copy_kept / name):
            raise FileError(
                f"{copy_kept / name}: is there from earlier and is not kept now; take it away, or "
                "choose a new folder"
            )
    return copies


def copy_files(copies: Copies, progress: Callable[[int, int], None] | None = None) -> None:
    """Copy what is wanted, each file in one step, with its time.

    Parameters
    ----------
    copies : Copies
    progress : callable, optional
        Called with the numbers of files that are copied and of all.

    Raises
    ------
    FileError
        One cannot be read or written; those before it are in place.
    """
    for done, copy in enumerate(copies.wanted, 1):
        with refusals(copy.target, "written"):
            copy.target.parent.mkdir(parents=True, exist_ok=True)
            if copy.source.is_dir():
                _copy_folder(copy)
            else:
                with whole(copy.target) as beside:
                    shutil.copyfile(copy.source, beside)
                    # A file system may have no times or rights to give.
                    with contextlib.suppress(OSError):
                        shutil.copystat(copy.source, beside)
        if progress is not None:
            progress(done, len(copies.wanted))


def _copy_folder(copy: Copy) -> None:
    beside = copy.target.with_name(f".{copy.target.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        # A link stays one: what it leads to may be no part of the image.
        shutil.copytree(copy.source, beside, symlinks=True)
        beside.rename(copy.target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _is_within(name: str) -> bool:
    """Whether a name stays in the folder that it is relative to."""
    path = PurePath(name)
    return bool(path.parts) and not path.anchor and ".." not in path.parts


def _found(name: str, copy_kept: Path, folders: Iterable[Path]) -> Copy | None:
    """Give the file of a name in the first folder that has it."""
    for folder in folders:
        for stored in names_stored_as(name):
            source = folder / stored
            with contextlib.suppress(OSError, ValueError):
                if source.is_file() or is_zarr(source):
                    return Copy(source, copy_kept / stored)
    return None


def _is_same(copy: Copy) -> bool:
    if copy.source.is_dir() or copy.target.is_dir():
        return identity(copy.source) == identity(copy.target)
    with refusals(copy.target):
        return filecmp.cmp(copy.source, copy.target)


def _check_apart(copy_kept: Path, copies: Iterable[Copy], folders: Iterable[Path]) -> None:
    place = copy_kept.resolve()
    for parent in {copy.source.parent for copy in copies}:
        if parent.resolve() in (place, *place.parents):
            raise SettingsError(
                f"copy_kept is {copy_kept}, within {parent}, where the next run would measure the "
                "copies as images; choose a folder beside it."
            )
    if place in [folder.resolve() for folder in folders]:
        raise SettingsError(f"copy_kept is {copy_kept}, the folder of the images; choose another.")


def _check_links(copy_kept: Path, copies: Iterable[Copy]) -> None:
    """Refuse a link in the folder that would lead a copy out of it."""
    place = copy_kept.resolve()
    for parent in {copy.target.parent for copy in copies}:
        real = parent.resolve()
        if place not in (real, *real.parents):
            raise FileError(f"{parent}: is a link that leads out of {copy_kept}")
