"""Sharp images for training: found, described by a manifest, and split."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional

import numpy as np

from microscope_quality.errors import FileError, MicroscopeQualityError, SettingsError
from microscope_quality.files.images import find, planes
from microscope_quality.training.exposure import signal
from microscope_quality.training.stream import SharpImage


def find_sharp_images(
    paths: Iterable[Path], *, manifest: Optional[Path] = None, patch_size: int = 84
) -> tuple[list[SharpImage], dict[str, str]]:
    """List the planes of the images in ``paths`` that can be trained on.

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

    Returns
    -------
    images : list of SharpImage
        In the order found; ``kind`` is the file's folder.
    left_out : dict
        Why a file was left out, by its path.

    Raises
    ------
    FileError
        If the manifest cannot be read or has no column ``file``.
    """
    listed = _read_manifest(manifest) if manifest is not None else {}
    images: list[SharpImage] = []
    left_out: dict[str, str] = {}
    for _, path in find(paths):
        entry = listed.get(path.resolve(), {})
        try:
            for number, plane in enumerate(planes(path)):
                if min(plane.array.shape) < patch_size:
                    height, width = plane.array.shape
                    left_out[str(path)] = (
                        f"{width} × {height} pixels, smaller than a patch of {patch_size}"
                    )
                    continue
                signal(plane.array)
                images.append(
                    SharpImage(
                        path=str(path),
                        plane=number,
                        kind=path.parent.name,
                        field=entry.get("field") or str(path),
                        source=entry.get("source", "").partition(" ")[0],
                        licence=entry.get("licence", ""),
                    )
                )
        except MicroscopeQualityError as error:
            images = [image for image in images if image.path != str(path)]
            left_out[str(path)] = str(error)
    return images, left_out


def split_by_field(
    images: Sequence[SharpImage], fraction: float, seed: int
) -> tuple[list[SharpImage], list[SharpImage]]:
    """Split into training and validation images, no field on both sides.

    From every kind with at least three fields, ``fraction`` of its fields (at least one) go to
    validation; smaller kinds are for training.

    Raises
    ------
    SettingsError
        If ``fraction`` is not in [0, 0.5], or nothing would be left on one side.
    """
    if not 0 <= fraction <= 0.5:
        raise SettingsError(f"The validation fraction lies between 0 and 0.5; it is {fraction}.")
    rng = np.random.default_rng(seed)
    held_out: set[str] = set()
    for kind in sorted({image.kind for image in images}):
        fields = sorted({image.field for image in images if image.kind == kind})
        if len(fields) >= 3 and fraction > 0:
            chosen = rng.permutation(len(fields))[: max(1, round(fraction * len(fields)))]
            held_out.update(fields[number] for number in chosen)
    training = [image for image in images if image.field not in held_out]
    validation = [image for image in images if image.field in held_out]
    if not training or (fraction > 0 and not validation):
        raise SettingsError(
            f"{len(images)} images of {len({image.field for image in images})} fields are too few "
            "to split: give at least 3 fields of one kind, or a validation fraction of 0."
        )
    return training, validation


def _read_manifest(path: Path) -> dict[Path, dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"The manifest {path} cannot be read: {error}.") from error
    if rows and "file" not in rows[0]:
        raise FileError(f"The manifest {path} has no column 'file'; it has {', '.join(rows[0])}.")
    return {(path.parent / row["file"]).resolve(): row for row in rows}
