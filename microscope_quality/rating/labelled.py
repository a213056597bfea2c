"""Labelled patches: what raters say of each together, its pixels, and which belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microscope_quality.arguments import as_count
from microscope_quality.errors import FileError, ImageError, SettingsError
from microscope_quality.rating.labels import Label, check_usable
from microscope_quality.rating.plane_names import file_of, read_plane

#: Patches that are cut from one labelled patch, or whole image, that is larger.
MOST_CROPS = 16


@dataclass(frozen=True)
class LabelledPatch:
    """A patch of an image, or a whole one, and what its raters say of it together.

    Attributes
    ----------
    image : str
        As the table of labels names it.
    path : Path
        Of the file.
    plane : dict of str to int
        Which of the file's planes: of ``series``, ``z``, ``c`` and ``t`` those that the table
        names.
    y, x, size : int, optional
        Upper left pixel and side; None for the whole image.
    score : float
        Mean over the raters of each one's mean; 0 to 1.
    labels : int
        How many there are of it.
    more : mapping of str to str
        What other columns of the table say of it.
    """

    image: str
    path: Path
    plane: Mapping[str, int]
    y: int | None
    x: int | None
    size: int | None
    score: float
    labels: int
    more: Mapping[str, str]


def labelled_patches(labels: Sequence[Label], folder: Path) -> list[LabelledPatch]:
    """Bring together what the raters say of each patch.

    Parameters
    ----------
    labels : sequence of Label
        As `labels.read_labels` gives them.
    folder : Path
        From which on the labels name images: that of the table, or where its images lie.

    Returns
    -------
    list of LabelledPatch
        Each once, in the order of the labels.

    Raises
    ------
    SettingsError
        All labels have one score.
    FileError
        Images are missing; the message names the first and says how many.
    """
    check_usable(labels)
    of_place: dict[tuple[Any, ...], list[Label]] = defaultdict(list)
    for label in labels:
        if not label.is_skipped:
            of_place[label.place].append(label)
    found = {name: file_of(name, folder) for name, *_ in of_place}
    missing = [name for name, (path, _) in found.items() if not path.exists()]
    if missing:
        raise FileError(
            f"{folder}: lacks {len(missing)} of the {len(found)} images that the labels name, the "
            f"first of them {missing[0]}; name the folder from which on the table names them"
        )
    patches = []
    for (image, y, x, size), told in of_place.items():
        of_rater: dict[str, list[float]] = defaultdict(list)
        for label in told:
            of_rater[label.rater].append(label.score)
        score = fmean(fmean(scores) for scores in of_rater.values())
        path, plane = found[image]
        patches.append(
            LabelledPatch(image, path, plane, y, x, size, score, len(told), told[-1].more)
        )
    return patches


def smallest_side(patches: Sequence[LabelledPatch]) -> int:
    """Give the shortest side of what was labelled, in pixels.

    Raises
    ------
    FileError
        An image cannot be read.
    """
    sides = {patch.size for patch in patches if patch.size is not None}
    for path, plane in {(p.path, tuple(p.plane.items())) for p in patches if p.size is None}:
        sides.add(min(read_plane(path, dict(plane)).array.shape))
    return min(side for side in sides if side is not None)


def read_patches(
    patches: Sequence[LabelledPatch],
    patch_size: int,
    *,
    most: int = MOST_CROPS,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[NDArray[Any]]:
    """Cut labelled patches out of their images, at full resolution.

    Parameters
    ----------
    patches : sequence of LabelledPatch
    patch_size : int
        Side in pixels. What was labelled and is larger gives several patches, evenly spread.
    most : int
        How many at most.
    report : callable
        Called with the number of images that are read, and of all.

    Returns
    -------
    list of (n, patch_size, patch_size) array
        For each labelled patch, in its image's type; colour as luminance.

    Raises
    ------
    FileError
        An image cannot be read, has several planes of which the label names none, or is smaller
        than a patch that was labelled.
    ImageError
        Pixels are no finite numbers.
    SettingsError
        What was labelled is smaller than `patch_size`.
    """
    patch_size = as_count("patch_size", patch_size, 1)
    of_plane: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for number, patch in enumerate(patches):
        of_plane[patch.path, tuple(patch.plane.items())].append(number)
    cut: dict[int, NDArray[Any]] = {}
    for done, ((path, plane), numbers) in enumerate(of_plane.items()):
        report(done, len(of_plane))
        array = read_plane(path, dict(plane)).array
        for number in numbers:
            cut[number] = _crops(array, patches[number], patch_size, most)
    report(len(of_plane), len(of_plane))
    return [cut[number] for number in range(len(patches))]


def _crops(array: Any, patch: LabelledPatch, patch_size: int, most: int) -> NDArray[Any]:
    height, width = array.shape
    y, x, rows, columns = 0, 0, height, width
    if patch.size is not None and patch.y is not None and patch.x is not None:
        y, x, rows, columns = patch.y, patch.x, patch.size, patch.size
        if y + rows > height or x + columns > width:
            raise FileError(
                f"{patch.path}: has {width} × {height} pixels, and the labelled patch of {columns} "
                f"× {rows} at x = {x}, y = {y} reaches beyond them; patches must lie within"
            )
    if min(rows, columns) < patch_size:
        raise SettingsError(
            f"patch_size must be at most {min(rows, columns)}, the side of what was labelled in "
            f"{patch.image}; it is {patch_size}."
        )
    side = int(most**0.5)
    crops = np.stack(
        [
            np.asarray(array[top : top + patch_size, left : left + patch_size])
            for top in _spread(y, rows, patch_size, side)
            for left in _spread(x, columns, patch_size, side)
        ]
    )
    if crops.dtype.kind == "f" and not np.isfinite(crops).all():
        raise ImageError(f"{patch.path}: has pixels that are no finite numbers; they must be.")
    return crops


def _spread(start: int, length: int, patch_size: int, most: int) -> list[int]:
    """Give where patches start along a side: as many as fit without overlap, at least one."""
    number = max(1, min(most, length // patch_size))
    last = length - patch_size
    if number == 1:
        return [start + last // 2]
    return [start + round(last * k / (number - 1)) for k in range(number)]
