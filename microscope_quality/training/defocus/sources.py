"""Sharp images for training: found, and described by a manifest or their names."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality.errors import (
    FileError,
    ImageError,
    MicroscopeQualityError,
    SettingsError,
    reason_of,
)
from microscope_quality.files.images import find, planes
from microscope_quality.focus import measure_focus
from microscope_quality.model import FocusModel
from microscope_quality.training.architectures import PATCH_SIZE
from microscope_quality.training.defocus.exposure import signal
from microscope_quality.training.defocus.stream import SharpImage
from microscope_quality.training.entries import kind_of
from microscope_quality.training.fields import GroupBy

# Larger is sharper.
Sharpness = Callable[[npt.NDArray[Any]], float]


def by_deviation(array: npt.NDArray[Any]) -> float:
    """Give a plane's standard deviation, by which Yang et al. (2018) chose the sharpest."""
    return float(np.std(array, dtype=np.float64))


def by_model(model: FocusModel) -> Sharpness:
    """Give what measures a plane's sharpness by a model: its expected level, negative."""

    def sharpness(array: npt.NDArray[Any]) -> float:
        level = measure_focus(array, model).expected_level
        return -level if np.isfinite(level) else -np.inf

    return sharpness


def find_sharp_images(
    paths: Iterable[Path],
    *,
    manifest: Path | None = None,
    patch_size: int = PATCH_SIZE,
    group_by: GroupBy | None = None,
    sharpness: Sharpness = by_deviation,
) -> tuple[list[SharpImage], dict[str, str]]:
    """List the planes of the images in ``paths`` that can be trained on.

    Of a z-stack, in a file with a z axis or in files that the pattern's group ``z`` tells apart,
    the sharpest plane is taken.

    Parameters
    ----------
    paths : iterable of Path
        Files, folders or globs.
    manifest : Path, optional
        A CSV table with a column ``file`` (relative to the manifest's folder) and, where known,
        ``field``, ``licence`` and ``source``, of which the first word is taken. A file that it
        does not list is a field of its own.
    patch_size : int
        Images under this on a side are left out.
    group_by : GroupBy, optional
        What a field is; by default the manifest's column ``field``.
    sharpness : callable
        Of a plane; the larger the sharper.

    Returns
    -------
    images : list of SharpImage
        In the order found; ``kind`` is the file's folder.
    left_out : dict
        Why a file, or ``file#plane``, was left out, by its path.

    Raises
    ------
    FileError
        If the manifest cannot be read or has no column ``file``.
    SettingsError
        If images are to be grouped by a column that is not there.
    """
    group_by = group_by or GroupBy()
    listed = _read_manifest(manifest) if manifest is not None else {}
    if group_by.column != "field" and not any(group_by.column in row for row in listed.values()):
        raise SettingsError(f"The manifest has no column {group_by.column!r} to group by.")
    sharpest: dict[tuple[Any, ...], tuple[float, SharpImage]] = {}
    left_out: dict[str, str] = {}
    for _, path in find(paths):
        entry = listed.get(path.resolve(), {})
        groups = group_by.match(path)
        image = SharpImage(
            path=str(path),
            kind=kind_of(path),
            field=group_by.field(path, entry) or str(path),
            source=entry.get("source", "").partition(" ")[0],
            licence=entry.get("licence", ""),
        )
        # The files of one stack lie in one folder and differ in z alone.
        between_files = "z" in groups
        files = (path.parent, *((n, text) for n, text in groups.items() if n != "z"))
        usable: list[tuple[tuple[Any, ...], float, SharpImage]] = []
        unfit: dict[str, str] = {}
        reason = "there is no plane in it"
        try:
            for number, plane in enumerate(planes(path)):
                in_stack = between_files or plane.z is not None
                try:
                    _check_plane(plane.array, patch_size)
                except ImageError as error:
                    reason = str(error)
                    if not in_stack:
                        unfit[f"{path}#{number}"] = reason
                    continue
                stack = files if between_files else (path,)
                key = (*stack, plane.series, plane.c, plane.t, None if in_stack else number)
                score = sharpness(plane.array) if in_stack else 0.0
                usable.append((key, score, replace(image, plane=number)))
        except MicroscopeQualityError as error:
            left_out[str(path)] = reason_of(error, path)
            continue
        left_out.update(unfit if usable else {str(path): reason})
        for key, score, candidate in usable:
            if key not in sharpest or score > sharpest[key][0]:
                sharpest[key] = (score, candidate)
    return [image for _, image in sharpest.values()], left_out


def _check_plane(array: npt.NDArray[Any], patch_size: int) -> None:
    """Raise ImageError unless a plane can be trained on."""
    height, width = array.shape
    if min(height, width) < patch_size:
        raise ImageError(f"{width} × {height} pixels, smaller than a patch of {patch_size}")
    signal(array)


def read_rows(path: Path, called: str = "table") -> tuple[list[dict[str, str]], list[str]]:
    """Read a CSV table with a header: its rows, and the names of its columns.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            return list(reader), list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"The {called} {path} cannot be read: {reason_of(error, path)}.") from error


def _read_manifest(path: Path) -> dict[Path, dict[str, str]]:
    rows, _ = read_rows(path, "manifest")
    if rows and "file" not in rows[0]:
        raise FileError(f"The manifest {path} has no column 'file'; it has {', '.join(rows[0])}.")
    return {(path.parent / row["file"]).resolve(): row for row in rows}
