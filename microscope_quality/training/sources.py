"""Sharp images for training: found, described by a manifest or their names, and split."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional, TypeVar

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
from microscope_quality.training.entries import Listed, kind_of
from microscope_quality.training.exposure import signal
from microscope_quality.training.stream import SharpImage

# Larger is sharper.
Sharpness = Callable[[npt.NDArray[Any]], float]
Image = TypeVar("Image", bound=Listed)
# Named groups of a pattern that tell images of one field apart.
_WITHIN_A_FIELD = frozenset({"z", "channel", "c"})


@dataclass(frozen=True)
class GroupBy:
    """What tells which images belong together.

    Attributes
    ----------
    pattern : re.Pattern, optional
        Its named groups name the field of view; ``z``, the plane of a stack, and ``channel`` or
        ``c`` tell images of one field apart. It is searched for in the file's name, then in its
        path.
    column : str
        Instead of the pattern: a column of the manifest.
    """

    pattern: Optional[re.Pattern[str]] = None
    column: str = "field"

    @classmethod
    def parse(cls, text: str) -> GroupBy:
        """Read ``column=NAME`` or a regular expression with named groups.

        Raises
        ------
        SettingsError
            If it is neither.
        """
        if text.startswith("column="):
            return cls(column=text.removeprefix("column="))
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise SettingsError(f"group-by is no regular expression: {error}.") from error
        if not set(pattern.groupindex) - _WITHIN_A_FIELD:
            raise SettingsError(
                "group-by needs column=NAME or a regular expression with a named group, such as "
                f"(?P<well>[A-P]\\d+), that names the field; it is {text!r}."
            )
        return cls(pattern=pattern)

    def match(self, path: Path) -> dict[str, str]:
        """Give the named groups found in a path; none where the pattern is not."""
        if self.pattern is None:
            return {}
        found = self.pattern.search(path.name) or self.pattern.search(path.as_posix())
        if found is None:
            return {}
        return {name: text for name, text in found.groupdict().items() if text is not None}

    def field(self, path: Path, row: Mapping[str, str]) -> str:
        """Name the field of view of an image; empty where neither name nor table tells it.

        Parameters
        ----------
        path : Path
            Of the image.
        row : mapping of str to str
            Of the image in its manifest; empty when there is none.
        """
        groups = self.match(path)
        named = "/".join(text for name, text in groups.items() if name not in _WITHIN_A_FIELD)
        return named or row.get(self.column) or ""


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
    manifest: Optional[Path] = None,
    patch_size: int = 84,
    group_by: Optional[GroupBy] = None,
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


def split_by_field(
    images: Sequence[Image], fraction: float, seed: int, *, seen: Collection[str] = ()
) -> tuple[list[Image], list[Image]]:
    """Split into training and validation images, no field on both sides.

    From every kind with at least three fields, ``fraction`` of its fields (at least one) go to
    validation; smaller kinds are for training.

    Parameters
    ----------
    images : sequence of SharpImage or StoredImage
    fraction : float
    seed : int
        Of the choice.
    seen : collection of str
        Images that the model has learned from before, by their `entry`: a field with one of them is
        never held out.

    Raises
    ------
    SettingsError
        If ``fraction`` is not in [0, 0.5], or nothing would be left on one side.
    """
    if not 0 <= fraction <= 0.5:
        raise SettingsError(f"The validation fraction lies between 0 and 0.5; it is {fraction}.")
    rng = np.random.default_rng(seed)
    held_out: set[str] = set()
    known = {image.field for image in images if image.entry in seen}
    for kind in sorted({image.kind for image in images}):
        fields = sorted({image.field for image in images if image.kind == kind})
        if len(fields) >= 3 and fraction > 0:
            drawn = [fields[number] for number in rng.permutation(len(fields))]
            unknown = [field for field in drawn if field not in known]
            held_out.update(unknown[: max(1, round(fraction * len(fields)))])
    training = [image for image in images if image.field not in held_out]
    validation = [image for image in images if image.field in held_out]
    if fraction > 0 and not validation and known:
        raise SettingsError(
            "The model that training goes on from has learned from images of "
            f"{len(known)} of the {len({image.field for image in images})} fields, so that none "
            "can be held out: add images that it has not seen, at least 3 fields of one kind with "
            "those, or give a validation fraction of 0."
        )
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
        raise FileError(f"The manifest {path} cannot be read: {reason_of(error, path)}.") from error
    if rows and "file" not in rows[0]:
        raise FileError(f"The manifest {path} has no column 'file'; it has {', '.join(rows[0])}.")
    return {(path.parent / row["file"]).resolve(): row for row in rows}
