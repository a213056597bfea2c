"""Cut a plane into square patches."""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from microscope_quality.arguments import as_array, as_count, as_floats, as_numbers, as_sides, shown
from microscope_quality.errors import ArgumentError, SettingsError

# Above, the places alone take gigabytes.
_MOST_PATCHES = 10**7
_MOST_PATCH_SIZE = 2**14


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

    Raises
    ------
    SettingsError
        For what is no length, and over 10,000,000 patches.
    """
    rows, columns = starts(height, patch_size), starts(width, patch_size)
    if len(rows) * len(columns) > _MOST_PATCHES:
        raise SettingsError(
            f"A plane of {height} x {width} pixels has {len(rows) * len(columns)} patches of "
            f"{patch_size} x {patch_size}; at most {_MOST_PATCHES} are cut."
        )
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
    length, patch_size = as_count("length", length), as_count("patch_size", patch_size, 1)
    if length < patch_size:
        return np.empty(0, np.intp)
    if length // patch_size > _MOST_PATCHES:
        raise SettingsError(f"{length} pixels have over {_MOST_PATCHES} patches of {patch_size}.")
    last = length - patch_size
    return np.append(np.arange(0, last, patch_size, dtype=np.intp), last)


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

    Raises
    ------
    SettingsError
        For a plane that is none, and a place that is not within it.
    """
    plane, patch_size = _as_plane(plane), as_count("patch_size", patch_size, 1, _MOST_PATCH_SIZE)
    places = as_numbers("places", places, shape=(None, 2), kinds="iu")
    if (places < 0).any() or (places > np.array(plane.shape) - patch_size).any():
        raise SettingsError(
            f"places must be those of patches of {patch_size} x {patch_size} pixels within a "
            f"plane of {plane.shape[0]} x {plane.shape[1]}."
        )
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
    plane, patch_size = _as_plane(plane), as_count("patch_size", patch_size, 1, _MOST_PATCH_SIZE)
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
    height, width = as_sides("shape", shape)
    points = as_floats("centres", centres)
    if points.size == 0:
        points = points.reshape(0, 2)
    if points.ndim != 2 or points.shape[1] != 2:
        raise SettingsError(
            f"centres must be an (n, 2) array of y and x, such as [(120, 200)], not one of shape "
            f"{points.shape}."
        )
    inside = (points >= -0.5) & (points <= np.array([height, width]) - 0.5)
    if not inside.all():
        y, x = points[~inside.all(axis=1)][0]
        swapped = points[:, ::-1]
        fits = (swapped >= -0.5) & (swapped <= np.array([height, width]) - 0.5)
        hint = " Swapped, all would lie within it: y comes first." if fits.all() else ""
        raise SettingsError(
            f"The centre y = {y:g}, x = {x:g} lies outside the image of {height} x {width} pixels, "
            f"height x width.{hint}"
        )
    return points


def _as_plane(plane: Any) -> NDArray[Any]:
    array = as_array("plane", plane)
    if array.dtype.hasobject:
        raise ArgumentError(f"plane must be an array of numbers, not {shown(plane)}.")
    if array.ndim != 2:
        raise SettingsError(f"plane must have two dimensions, not the shape {array.shape}.")
    return array


def _mirrored(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    folded = index % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)
