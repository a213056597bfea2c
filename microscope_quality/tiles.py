"""Cut a plane into square patches, and put values of patches back in their place."""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from microscope_quality.errors import SettingsError


def positions(height: int, width: int, patch_size: int) -> NDArray[np.intp]:
    """Give the places of patches that cover a plane.

    They stand side by side from the upper left; the last row and column are shifted inwards to
    end at the border, so that every pixel is covered.

    Parameters
    ----------
    height, width, patch_size : int
        In pixels.

    Returns
    -------
    (n, 2) array of int
        y and x of each patch's upper left pixel, row by row; empty when a side of the plane is
        shorter than a patch.
    """
    rows, columns = starts(height, patch_size), starts(width, patch_size)
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def starts(length: int, patch_size: int) -> NDArray[np.intp]:
    """Give where the patches start along one side of a plane; see `positions`.

    Parameters
    ----------
    length, patch_size : int
        In pixels.

    Returns
    -------
    (n,) array of int
        Ascending; empty when the side is shorter than a patch.
    """
    if length < patch_size:
        return np.empty(0, np.intp)
    last = length - patch_size
    return np.array([*range(0, last, patch_size), last], np.intp)


def cut(plane: NDArray[Any], places: NDArray[np.intp], patch_size: int) -> NDArray[Any]:
    """Cut patches out of a plane.

    Parameters
    ----------
    plane : (height, width) array
        Of any type.
    places : (n, 2) array of int
        As `positions` gives them.
    patch_size : int
        In pixels.

    Returns
    -------
    (n, patch_size, patch_size) array
        A copy, of the plane's type.
    """
    if not len(places):
        return np.empty((0, patch_size, patch_size), plane.dtype)
    windows = sliding_window_view(plane, (patch_size, patch_size))
    patches: NDArray[Any] = windows[places[:, 0], places[:, 1]]
    return patches


def cut_centred(plane: NDArray[Any], centres: ArrayLike, patch_size: int) -> NDArray[Any]:
    """Cut the patch around each of some points; beyond its borders, the plane is mirrored.

    Parameters
    ----------
    plane : (height, width) array
        Of any type, 1 pixel at least.
    centres : (n, 2) array
        y and x in pixels, (0, 0) being the middle of the upper left pixel; within the plane. They
        are rounded to whole pixels; the point is the pixel at ``patch_size // 2`` of its patch.
    patch_size : int
        In pixels.

    Returns
    -------
    (n, patch_size, patch_size) array
        A copy, of the plane's type. The border pixel itself is repeated in the mirror image.

    Raises
    ------
    SettingsError
        For an array of another shape, or a point outside the plane.
    """
    height, width = plane.shape
    points = checked_centres(centres, (height, width))
    offsets = np.arange(patch_size) - patch_size // 2
    index = np.floor(points + 0.5).astype(np.intp)[:, :, np.newaxis] + offsets
    rows, columns = _mirrored(index[:, 0], height), _mirrored(index[:, 1], width)
    patches: NDArray[Any] = plane[rows[:, :, np.newaxis], columns[:, np.newaxis, :]]
    return patches


def checked_centres(centres: ArrayLike, shape: Tuple[int, ...]) -> NDArray[np.float64]:
    """Give points of a plane as an array, or refuse them.

    Parameters
    ----------
    centres : (n, 2) array
        As for `cut_centred`.
    shape : (height, width)
        Of the plane, in pixels.

    Raises
    ------
    SettingsError
        For an array of another shape, or a point outside the plane.
    """
    points = np.asarray(centres, np.float64)
    if points.size == 0:
        points = points.reshape(0, 2)
    if points.ndim != 2 or points.shape[1] != 2:
        raise SettingsError(f"centres must be an (n, 2) array of y and x, not {points.shape}.")
    inside = (points >= -0.5) & (points <= np.array(shape) - 0.5)
    if not inside.all():
        y, x = points[~inside.all(axis=1)][0]
        raise SettingsError(
            f"The centre y = {y:g}, x = {x:g} lies outside the image of "
            f"{' x '.join(map(str, shape))} pixels."
        )
    return points


def paint(
    values: ArrayLike, places: NDArray[np.intp], patch_size: float, shape: Tuple[int, int]
) -> NDArray[np.float64]:
    """Paint each patch's value over its pixels.

    Parameters
    ----------
    values : (n,) or (n, k) array
        Of the patches.
    places : (n, 2) array of int
        As `positions` gives them. A pixel that two patches cover takes the value of the earlier
        one, which is the one that was not shifted.
    patch_size : float
        In pixels.
    shape : (height, width)
        Of the map.

    Returns
    -------
    (height, width) or (height, width, k) array of float64
        NaN where there is no patch.
    """
    of_patches = np.asarray(values, np.float64)
    painted = np.full((*shape, *of_patches.shape[1:]), np.nan)
    side = int(np.ceil(patch_size))
    for (y, x), value in zip(places[::-1], of_patches[::-1]):
        painted[y : y + side, x : x + side] = value
    return painted


def _mirrored(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    folded = index % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)
