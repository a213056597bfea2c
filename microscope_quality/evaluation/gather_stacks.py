"""The z-stacks that are evaluated on: found in files, by their names, or listed in a table."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from microscope_quality.errors import FileError, OpticsError, SettingsError, reason_of
from microscope_quality.evaluation.gather import Data
from microscope_quality.evaluation.stacks import KnownFocus, Stack, StackPlane
from microscope_quality.files.images import find, open_image, planes
from microscope_quality.files.plane import Plane
from microscope_quality.optics import IMMERSIONS, Optics
from microscope_quality.training.defocus.sources import read_rows
from microscope_quality.training.defocus.stored import MANIFEST

# What a table of planes, or of known focus, has to say, and the columns that can say it.
_STACK_COLUMNS = {
    "file": ("file",),
    "stack": ("stack", "set"),
    "z": ("index", "z"),
    "z_um": ("z_um",),
    "na": ("na",),
    "refractive_index": ("refractive_index", "n", "medium"),
    "wavelength_um": ("wavelength_um",),
    "pixel_size_um": ("pixel_size_um", "pixel_um"),
    "kind": ("kind",),
}
_BEST_COLUMNS = {
    "stack": ("stack", "set"),
    "z": ("sharpest_index", "sharpest_z"),
    "first": ("from_index", "from_z"),
    "last": ("to_index", "to_z"),
    "far": ("far_indices", "far_z"),
}


def gather_stacks(
    paths: Sequence[str], pattern: str | None = None, best: Path | None = None
) -> Data:
    """Find z-stacks.

    Parameters
    ----------
    paths : sequence of str
        Files, folders or patterns; or tables of planes, and folders with such a ``manifest.csv``,
        which are used as they are: see `is_stack_table`.
    pattern : str, optional
        A regular expression with the named groups ``stack`` and ``z``, sought in the file's name or
        else in its path: the files are single planes, and no table counts. Without it every file
        is a stack, or several of them: its planes by their z, those of each channel, time and
        series on their own.
    best : Path, optional
        A CSV table of where the focus of stacks is known to be: see `read_best`.

    Returns
    -------
    Data
        With stacks of 2 planes or more; z is that of the names or of the table, or counted from 0.

    Raises
    ------
    FileError
        If a table cannot be read, or says what cannot be.
    SettingsError
        If the pattern is no regular expression, or lacks a group.
    """
    places = {} if pattern is not None else {path: _stack_table(path) for path in paths}
    tables = {path: table for path, table in places.items() if table is not None}
    files = [path for path in paths if path not in tables]
    data = _found_stacks(files, pattern) if files or not tables else Data()
    for table in tables.values():
        data = data.with_(_listed_stacks(table))
    if best is None:
        return data
    known = read_best(best)
    missing = sorted(set(known) - {stack.name for stack in data.stacks})
    stacks = [replace(stack, focus=known.get(stack.name, stack.focus)) for stack in data.stacks]
    there = f" (the first is {data.stacks[0].name})" if data.stacks else ""
    notes = [f"{best}: no z-stack is named {', '.join(missing)}{there}."] if missing else []
    return replace(data, stacks=tuple(stacks), notes=(*data.notes, *notes))


def is_stack_table(path: Path) -> bool:
    """Tell whether a CSV table lists the planes of z-stacks.

    It has the columns ``file`` (relative to its folder), ``stack`` or ``set``, and ``index``, ``z``
    or ``z_um``. It may have ``z_um``, and of the microscope ``na``, ``n`` or ``refractive_index``
    or ``medium``, ``wavelength_um``, and ``pixel_um`` or ``pixel_size_um``; and ``kind``, by which
    rows that say anything but ``stack`` are left out.
    """
    if path.suffix != ".csv" or not path.is_file():
        return False
    columns = read_rows(path)[1]
    return all(
        any(name in columns for name in names)
        for names in (_STACK_COLUMNS["file"], _STACK_COLUMNS["stack"], ("index", "z", "z_um"))
    )


def read_best(path: Path) -> dict[str, KnownFocus]:
    """Read where the focus of z-stacks is known to be.

    Parameters
    ----------
    path : Path
        A CSV table with the columns ``stack`` or ``set``, and ``sharpest_index``, a z as the
        stack's planes have it; and, where other planes are as good, ``from_index`` and
        ``to_index``; and ``far_indices``, numbers and ranges such as ``0-2 9-10``, of planes far
        out of focus. For ``index`` can stand ``z``. A row without a sharpest plane says nothing.

    Returns
    -------
    dict of str to KnownFocus
        By the stack's name.

    Raises
    ------
    FileError
        If it cannot be read, lacks a column, or has no number where one is needed.
    """
    found = {}
    for row in _rows_of(path, _BEST_COLUMNS, ("stack", "z")):
        if not row["z"]:
            continue
        z = _number_in(path, row, "z")
        first, last = (_number_in(path, row, end) if row[end] else z for end in ("first", "last"))
        if not first <= z <= last:
            raise FileError(
                f"The table {path}: of {row['stack']}, the sharpest plane {z:g} must be one of "
                f"those that are as good, {first:g} to {last:g}."
            )
        found[row["stack"]] = KnownFocus(z, first, last, _ranges(path, row["far"]))
    return found


def stack_planes(stack: Stack) -> Iterator[npt.NDArray[Any]]:
    """Read a z-stack's planes in the order of z, one at a time.

    Raises
    ------
    FileError
        If a file cannot be read, or holds another number of planes than it did.
    """
    path, number = "", -1
    following: Iterator[Plane] = iter(())
    for place in stack.planes:
        # A file is read on from where it was, unless the order of z goes back.
        if place.path != path or place.plane <= number:
            path, following, number = place.path, planes(place.path), -1
        for plane in following:
            number += 1
            if number == place.plane:
                yield plane.array
                break
        else:
            raise FileError(f"{place.path}: has no plane {place.plane}")


def _stack_table(path: str) -> Path | None:
    """Give the table of planes that a path is, or that the folder has."""
    table = Path(path) / MANIFEST if Path(path).is_dir() else Path(path)
    return table if is_stack_table(table) else None


def _rows_of(
    path: Path, columns: Mapping[str, Sequence[str]], needed: Sequence[str]
) -> list[dict[str, str]]:
    """Read a table whose columns may have one of several names; what is not there is empty."""
    rows, names = read_rows(path)
    chosen = {
        key: next((name for name in aliases if name in names), "")
        for key, aliases in columns.items()
    }
    missing = [" or ".join(columns[key]) for key in needed if not chosen[key]]
    if missing:
        raise FileError(
            f"The table {path} has no column {', '.join(missing)}; it has {', '.join(names)}."
        )
    return [
        {key: (row.get(name) or "").strip() if name else "" for key, name in chosen.items()}
        for row in rows
    ]


def _number_in(path: Path, row: Mapping[str, str], key: str) -> float:
    try:
        number = float(row[key])
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return number
    raise FileError(
        f"The table {path}: {key} of {row['stack']} must be a number, not {row[key]!r}."
    )


def _ranges(path: Path, text: str) -> tuple[float, ...]:
    """Read whole numbers and ranges of them."""
    found: list[float] = []
    for part in text.split():
        match = re.fullmatch(r"(-?\d+)(?:-(-?\d+))?", part)
        if match is None:
            raise FileError(f"The table {path}: {part!r} is no whole number or range such as 0-2.")
        first = int(match[1])
        found += map(float, range(first, int(match[2] or first) + 1))
    return tuple(found)


def _listed_stacks(table: Path) -> Data:
    """Find the z-stacks that a table lists."""
    left_out: dict[str, str] = {}
    failed: dict[str, str] = {}
    members: dict[str, list[StackPlane]] = {}
    optics: dict[str, Optics | None] = {}
    rows = _rows_of(table, _STACK_COLUMNS, ("file", "stack"))
    for row in rows:
        path = table.parent / row["file"]
        if row["kind"] not in ("", "stack"):
            left_out[str(path)] = f"{table} says that it is no plane of a stack: {row['kind']}"
        elif not path.is_file():
            failed[str(path)] = f"listed in {table}, and not there"
        else:
            z_um = _number_in(table, row, "z_um") if row["z_um"] else math.nan
            z = z_um if not row["z"] else _number_in(table, row, "z")
            if math.isnan(z):
                raise FileError(f"The table {table} does not tell the z of {row['file']}.")
            members.setdefault(row["stack"], []).append(StackPlane(z, str(path), 0, z_um))
            optics.setdefault(row["stack"], _optics_in(table, row))
    stacks, more = _ordered(members)
    return Data(
        stacks=tuple(replace(stack, optics=optics[stack.name]) for stack in stacks),
        left_out={**left_out, **more},
        failed=failed,
    )


def _optics_in(table: Path, row: Mapping[str, str]) -> Optics | None:
    """Give the optics that a row tells; None when one of the four is missing."""
    names = ("na", "refractive_index", "wavelength_um", "pixel_size_um")
    if not all(row[name] for name in names):
        return None
    index = IMMERSIONS.get(row["refractive_index"].lower())
    told = {**row, "refractive_index": row["refractive_index"] if index is None else str(index)}
    try:
        return Optics(**{name: _number_in(table, told, name) for name in names})
    except OpticsError as error:
        raise FileError(f"The table {table}, {row['stack']}: {error}") from error


def _found_stacks(paths: Sequence[str], pattern: str | None) -> Data:
    """Find the z-stacks in files, by their names or by what they hold."""
    left_out: dict[str, str] = {}
    failed: dict[str, str] = {}
    found: dict[str, list[StackPlane]] = {}
    expression = None if pattern is None else _stack_pattern(pattern)
    for name, path in find(paths):
        if expression is not None:
            match = expression.search(path.name) or expression.search(path.as_posix())
            if match is None:
                left_out[str(path)] = "the pattern for stacks does not match its name"
                continue
            try:
                z = float(match["z"])
            except ValueError:
                left_out[str(path)] = f"z has to be a number; the pattern found {match['z']!r}"
                continue
            found.setdefault(match["stack"], []).append(StackPlane(z, str(path)))
            continue
        try:
            pages = open_image(path).pages
            if len(pages) < 2:
                left_out[str(path)] = (
                    "one plane is no z-stack; planes in files of their own need a pattern for "
                    "stacks"
                )
                continue
            # Read once to count: a page may hold several planes.
            for number, plane in enumerate(planes(path)):
                place = [
                    f"{axis}{value}"
                    for axis, value in (("s", plane.series), ("c", plane.c), ("t", plane.t))
                    if value is not None
                ]
                stack = found.setdefault(" ".join([name, *place]), [])
                z = float(len(stack) if plane.z is None else plane.z)
                stack.append(StackPlane(z, str(path), number))
        except FileError as error:
            failed[str(path)] = reason_of(error, path)
            found = {
                name: members for name, members in found.items() if members[0].path != str(path)
            }
    stacks, more = _ordered(found)
    return Data((), stacks, {**left_out, **more}, failed)


def _ordered(found: Mapping[str, Sequence[StackPlane]]) -> tuple[tuple[Stack, ...], dict[str, str]]:
    """Put planes into the order of z; and say which stacks are left out, and why."""
    left_out: dict[str, str] = {}
    stacks = []
    for name, members in sorted(found.items()):
        ordered = sorted(members, key=lambda plane: plane.z)
        places = [plane.z for plane in ordered]
        if len(ordered) < 2:
            left_out[ordered[0].path] = "the only plane of its z-stack"
        elif len(set(places)) < len(places):
            left_out[f"z-stack {name}"] = (
                "two of its planes have the same z; what names the stack has to tell them apart"
            )
        else:
            stacks.append(Stack(name, tuple(ordered)))
    return tuple(stacks), left_out


def _stack_pattern(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise SettingsError(
            f"The pattern for stacks {pattern!r} is no regular expression: {error}."
        ) from error
    missing = [name for name in ("stack", "z") if name not in expression.groupindex]
    if missing:
        raise SettingsError(
            f"The pattern for stacks {pattern!r} needs the named groups stack and z, such as "
            r"'(?P<stack>.+)_z(?P<z>\d+)'; "
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
        )
    return expression
