"""Patches of which a part is masked: what the network sees there, and whether to believe it."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]
Masks = NDArray[np.bool_]

# A pixel counts when at least half of the pixels up to this far from it do: specks do not.
_SPECK_PX = 3
# Jacobi steps at each scale of the continuation.
_STEPS = 8
# Details of two scales: the step between the pixels of their filters, and how far from the mask's
# border its own details reach.
_SCALES = ((1, 2), (2, 4))
# A patch is believed when at most this share of its details is the mask's.
MOST_OF_MASK = 0.3
# ... and at least this share of its pixels is away from the mask's border.
_LEAST_INSIDE = 0.125
# Median of the square of a normal deviate.
_MEDIAN_SQUARE = 0.4549364231195724

# A border of one value is so deep and so long where it enters a patch, in pixels; its length is
# told by every so-manieth pixel first.
_DEEP, _LONG, _APART = 3, 16, 8
# It ends with a jump to the pixel beside it, or over one that is a mixture to the next: so many
# times the difference of the pixels beyond, mostly so much of what the others differ from its
# value; and so many times the smallest difference of neighbours.
_JUMPS = ((1, 2.0, 0.25), (2, 4.0, 0.4))
_GREY_LEVELS = 4.0
# What it is the border of is solid: so many pixels for each that is beside it. Specks are not.
_SOLID_PX = 4


def without_borders(
    patches: NDArray[Any], masks: Optional[Masks]
) -> Tuple[Optional[Masks], NDArray[np.bool_]]:
    """Mask the black surroundings of stitched, cropped and turned images.

    They are pixels of one value, whichever it is, that enter the patch 3 or more pixels deep along
    16 or more pixels of its side, and end with a jump.

    Parameters
    ----------
    patches : (n, P, P) array
        Of any integer or float type.
    masks : (n, P, P) array of bool, or None
        True where a pixel counts.

    Returns
    -------
    masks : (n, P, P) array of bool, or None
    bordered : (n,) array of bool
        The patches in which something was masked.
    """
    bordered = np.zeros(len(patches), np.bool_)
    if not patches.size or patches.shape[1] <= _LONG:
        return masks, bordered
    tried = np.zeros((4, len(patches)), np.bool_)
    values = np.zeros((4, len(patches)), patches.dtype)
    for turn in range(4):
        side = np.rot90(patches, turn, axes=(1, 2))
        told = side[:, _DEEP - 1, ::_APART]
        equal = told[:, 1:] == told[:, :-1]
        places = equal[:, 1:] & equal[:, :-1]
        index = np.flatnonzero(places.any(axis=1))
        if not len(index):
            continue
        # Of so many pixels side by side, whole columns are alike.
        rows = side[index, :_DEEP]
        alike = (rows[:, 1:] == rows[:, :-1]).all(axis=1)
        alike = alike[:, 1:] & alike[:, :-1] & (rows[:, -1, 1:] == rows[:, -1, :-1])
        so_far = np.zeros((len(index), alike.shape[1] + 1), np.int32)
        np.cumsum(alike, axis=1, out=so_far[:, 1:])
        start = np.arange(places.shape[1]) * _APART
        whole = so_far[:, start + _LONG - 1] - so_far[:, start] == _LONG - 1
        whole &= places[index]
        # The first of each patch, unless its value was that of another side.
        some = np.flatnonzero(whole.any(axis=1))
        index, value = index[some], told[index[some], whole[some].argmax(axis=1)]
        new = ~(tried[:, index] & (values[:, index] == value)).any(axis=0) & np.isfinite(value)
        tried[turn, index[new]], values[turn, index[new]] = True, value[new]
    turns, index = np.nonzero(tried)
    if not len(index):
        return masks, bordered
    ends = _end_with_a_jump(patches, index, values[turns, index])
    if ends.any():
        masks = np.ones(patches.shape, np.bool_) if masks is None else masks.copy()
        # Of several values, that of the first side.
        for turn, one in zip(turns[ends], index[ends]):
            if not bordered[one]:
                masks[one] &= patches[one] != values[turn, one]
                bordered[one] = True
    return masks, bordered


def _end_with_a_jump(
    patches: NDArray[Any], index: NDArray[np.intp], values: NDArray[Any]
) -> NDArray[np.bool_]:
    """Tell of some patches whether their pixels of a value end with a jump rather than fade.

    Seen on every eighth row and column, both ways.
    """
    n, side = len(index), patches.shape[1]
    columns = patches[index, :, ::_APART].swapaxes(1, 2)
    lines = np.concatenate([patches[index, ::_APART], columns], axis=1).reshape(n, -1)
    border = lines == values[:, np.newaxis]
    others = ~border if lines.dtype.kind != "f" else np.isfinite(lines) & ~border
    number = np.maximum(_counts(others), 1)
    along = border.reshape(n, -1, side)
    leaves = along[..., 1:] != along[..., :-1]
    rim = _counts(leaves.reshape(n, -1))
    ends = np.zeros(n, np.bool_)
    # Most backgrounds of one value have more specks than this.
    solid = np.flatnonzero((rim > 0) & (number >= _SOLID_PX * rim))
    if len(solid):
        some = lines[solid], border[solid], others[solid], leaves[solid]
        ends[solid] = _jump(*some, values[solid], number[solid])
    return ends


def _counts(rows: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Count in each row, faster than `numpy.count_nonzero` does."""
    return np.asarray(rows.view(np.uint8).sum(axis=1, dtype=np.int32), np.intp)


def _jump(
    lines: NDArray[Any],
    border: NDArray[np.bool_],
    others: NDArray[np.bool_],
    leaves: NDArray[np.bool_],
    values: NDArray[Any],
    number: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Tell the same of patches whose lines of pixels are given, and which are of the value.

    `number` is how many are of others; `leaves`, (n, lines, side - 1), after which of a line's
    pixels it changes from the value to others or back.
    """
    n, per_patch, side = len(lines), leaves.shape[1], leaves.shape[2] + 1
    pixels, own = lines.astype(np.float64), values.astype(np.float64)
    if lines.dtype.kind == "f":
        pixels = np.where(border | others, pixels, own[:, np.newaxis])
        # A power of two, which does not round, keeps sums inside float64.
        exponents = -np.frexp(np.abs(pixels).max(axis=1))[1]
        pixels, own = np.ldexp(pixels, exponents[:, np.newaxis]), np.ldexp(own, exponents)
    pixels -= own[:, np.newaxis]
    apart = np.abs(pixels).sum(axis=1) / number

    # Where a line leaves the border: there, which way, and in which patch.
    line, start = np.divmod(np.flatnonzero(leaves), side - 1)
    way = np.where(border.reshape(-1, side)[line, start], 1, -1)
    start += way < 0
    patch = line // per_patch
    ends = np.zeros(n, np.bool_)
    for over, times, share in _JUMPS:
        first, second = start + over * way, start + (over + 1) * way
        known = (second >= 0) & (second < side)
        flat, of = (line * side)[known], patch[known]
        first, second = flat + first[known], flat + second[known]
        known = others.reshape(-1)[first] & others.reshape(-1)[second]
        first, second, of = pixels.reshape(-1)[first[known]], second[known], of[known]
        second = pixels.reshape(-1)[second]
        jumps = np.bincount(of, np.abs(first), n)
        beyond = np.bincount(of, np.abs(second - first), n)
        pairs = np.bincount(of, minlength=n)
        high = np.bincount(of, np.abs(first) >= share * apart[of], n)
        jump = (pairs > 0) & (jumps >= times * beyond) & (2 * high >= pairs)
        for one in np.flatnonzero(jump):
            differences = np.abs(np.diff(pixels[one].reshape(-1, side), axis=1))
            step = float(np.min(differences, where=differences > 0, initial=np.inf))
            ends[one] |= jumps[one] >= _GREY_LEVELS * step * pairs[one]
    return ends


def continued(values: Float64Array, masks: Masks) -> Tuple[Float64Array, Masks]:
    """Give patches as they are judged when a part of their pixels is masked, and which are.

    What is masked is continued smoothly from what is not. Where the mask cuts through something,
    the continuation has a kink, which would be read as a sharp edge. So a patch is believed only
    when at most 30 % of its details are at the mask's border. One that is not is judged as it is
    in the image, with its masked pixels, if these are finite and at most 30 % of its details are
    in them or at the border: the mask then hides nothing that is sharper than what it leaves.

    Parameters
    ----------
    values : (n, P, P) array
        Finite where they are unmasked.
    masks : (n, P, P) array of bool
        True where a pixel counts.

    Returns
    -------
    judged : (n, P, P) array
        Finite wherever the patch is believed.
    believed : (n,) array of bool

    Notes
    -----
    A masked pixel of which most neighbours count, such as a hot pixel, is filled alike but makes
    no border; specks in a masked area do not count. Details are the Laplacian after smoothing by
    binomial filters, at two scales; their energy is taken less that of the noise, which the median
    tells.
    """
    region = _mostly(_mostly(masks))
    counted = masks & region
    judged = _filled(np.where(counted, values, 0.0), counted)
    believed = counted.any(axis=(1, 2))
    believed &= _is_hardly_of_mask(judged, region, False)
    as_it_is = np.flatnonzero(~believed & np.isfinite(values).all(axis=(1, 2)))
    if len(as_it_is):
        # Values that a mask hides may be so large that their squares overflow.
        with np.errstate(over="ignore", invalid="ignore"):
            own = _is_hardly_of_mask(values[as_it_is], region[as_it_is], True)
        as_it_is = as_it_is[own]
        judged[as_it_is], believed[as_it_is] = values[as_it_is], True
    return judged, believed


def _mostly(masks: Masks) -> Masks:
    """Tell where at least half of the pixels around count; those beyond the border are left out."""
    among, pixels = _around(masks, _SPECK_PX)
    mostly: Masks = among >= pixels - among
    return mostly


def _around(masks: Masks, reach: int) -> Tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Give how many pixels are True in the square around each one, and how many there are."""
    among = np.pad(masks, ((0, 0), (reach, reach), (reach, reach))).view(np.uint8)
    pixels = np.ones((1, *masks.shape[1:]), np.uint8)
    pixels = np.pad(pixels, ((0, 0), (reach, reach), (reach, reach)))
    return _sums(among, reach), _sums(pixels, reach)


def _sums(padded: NDArray[np.uint8], reach: int) -> NDArray[np.uint8]:
    """Give the sum over the square around each pixel but the padding, at most 255."""
    length = 2 * reach + 1
    down = padded[:, : -2 * reach].copy()
    for start in range(1, length):
        down += padded[:, start : start + down.shape[1]]
    sums: NDArray[np.uint8] = down[:, :, : -2 * reach].copy()
    for start in range(1, length):
        sums += down[:, :, start : start + sums.shape[2]]
    return sums


def _filled(values: Float64Array, known: Masks) -> Float64Array:
    """Continue the known values: means of 2 x 2 pixels at coarser and coarser scales, smoothed.

    Values that are not known are 0.
    """
    n, height, width = values.shape
    if known.all():
        return values
    if height == 1 and width == 1:
        return values
    half = (height + 1) // 2, (width + 1) // 2
    even = np.zeros((2, n, 2 * half[0], 2 * half[1]))
    even[0, :, :height, :width], even[1, :, :height, :width] = values, known
    tops = even[:, :, ::2, ::2] + even[:, :, ::2, 1::2]
    sums, pixels = tops + (even[:, :, 1::2, ::2] + even[:, :, 1::2, 1::2])
    coarse = _filled(sums / np.maximum(pixels, 1), pixels > 0)
    filled = np.repeat(np.repeat(coarse, 2, axis=1), 2, axis=2)[:, :height, :width]
    filled = np.where(known, values, filled)
    flat = filled.reshape(-1)
    unknown = np.flatnonzero(~known)
    column, row = unknown % width, unknown // width % height
    above, below = unknown - width * (row > 0), unknown + width * (row < height - 1)
    left, right = unknown - (column > 0), unknown + (column < width - 1)
    for _ in range(_STEPS):
        flat[unknown] = 0.25 * (((flat[above] + flat[below]) + flat[left]) + flat[right])
    return filled


def _is_hardly_of_mask(
    patches: Float64Array, region: Masks, as_in_image: bool
) -> NDArray[np.bool_]:
    """Tell of patches whether at most 30 % of their details are the mask's, at both scales.

    Parameters
    ----------
    patches : (n, P, P) array
    region : (n, P, P) array of bool
        False in masked areas.
    as_in_image : bool
        Whether masked pixels are the image's own, with details and noise as the others have. A
        continuation has neither but at the border, and there less noise than can be told.
    """
    hardly = np.ones(len(patches), np.bool_)
    left = np.flatnonzero(~region.all(axis=(1, 2)))
    smooth, region = patches[left], region[left]
    for step, reach in _SCALES:
        smooth = _smoothed(smooth, step)
        energy = np.square(_laplacian(smooth, step))
        among, pixels = _around(region, reach)
        border = (among > 0) & (among < pixels)
        for index, patch in enumerate(left):
            inside = region[index] & ~border[index]
            if np.count_nonzero(inside) < _LEAST_INSIDE * inside.size:
                hardly[patch] = False
                continue
            of_mask = energy[index][~inside if as_in_image else border[index]]
            within = energy[index][inside]
            noise = float(np.median(within)) / _MEDIAN_SQUARE
            outer = float(of_mask.sum()) - (noise * of_mask.size if as_in_image else 0.0)
            inner = max(float(within.sum()) - noise * within.size, 0.0)
            # Not so, too, where they are not finite.
            hardly[patch] = outer <= max(MOST_OF_MASK * (outer + inner), 0.0)
        smooth, region, left = smooth[hardly[left]], region[hardly[left]], left[hardly[left]]
    return hardly


def _smoothed(patches: Float64Array, step: int) -> Float64Array:
    """Smooth by 1, 4, 6, 4, 1 sixteenths of pixels `step` apart, down, then across."""
    for axis in (1, 2):
        reach = [(0, 0)] * 3
        reach[axis] = (2 * step, 2 * step)
        padded = np.moveaxis(np.pad(patches, reach, mode="edge"), axis, 0)
        length = patches.shape[axis]
        parts = [padded[k * step : k * step + length] for k in range(5)]
        smooth = 0.0625 * (parts[0] + parts[4])
        smooth += 0.25 * (parts[1] + parts[3])
        smooth += 0.375 * parts[2]
        patches = np.moveaxis(smooth, 0, axis)
    return patches


def _laplacian(patches: Float64Array, step: int) -> Float64Array:
    """Give the sum of the four pixels `step` away, less 4 times the pixel."""
    padded = np.pad(patches, ((0, 0), (step, step), (step, step)), mode="edge")
    across = slice(step, -step)
    vertical = padded[:, : -2 * step, across] + padded[:, 2 * step :, across]
    horizontal = padded[:, across, : -2 * step] + padded[:, across, 2 * step :]
    laplacian: Float64Array = (vertical + horizontal) - 4 * patches
    return laplacian
