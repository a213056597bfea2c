"""What a rater sees of a patch: its power spectrum with direction, and what its lines have alike.

An expert sees in an electron micrograph how far its detail reaches, in which direction it ends, how
grainy it is, and whether its lines are out of step. All of that is in the power spectrum, and in
what neighbouring lines have in common.
"""

from __future__ import annotations

import functools
from typing import Any, List, NamedTuple, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from microscope_quality.arguments import as_floats, as_numbers
from microscope_quality.errors import ImageError

Float32Array = NDArray[np.float32]

#: The smallest patch that has them, in pixels; sides are multiples of `MULTIPLE`.
SMALLEST_PATCH_SIZE = 128
MULTIPLE = 32


class _Look(NamedTuple):
    """How a spectrum is taken: of pixels binned so far, in windows of a side, on a polar grid."""

    binning: int
    window: int
    radii: Tuple[float, ...]  # edges, in cycles a binned pixel
    angles: int


def _between(low: float, high: float, number: int) -> Tuple[float, ...]:
    return tuple(np.geomspace(low, high, number).tolist())


_LOOKS = (
    _Look(1, 64, (1.5 / 64, *_between(2.5 / 64, 0.5, 14)), 12),
    _Look(2, 64, (1.5 / 64, *_between(2.5 / 64, 0.36, 8)), 8),
    _Look(4, 32, (1.5 / 32, *_between(2.5 / 32, 0.36, 4)), 6),
)
# Edges of bands along the axes, where lines that are offset show, in cycles a pixel.
_AXIS_EDGES = tuple(edge / 64 for edge in (0.9, 2.5, 4.5, 8.5, 16.5, 33.0))
_AXES = len(_AXIS_EDGES) - 1
# Bands whose power is compared between windows: noise is alike everywhere, structure is not.
_BANDS = _between(1.5 / 64, 0.5, 9)
_LAGS = (1, 2, 4, 8)
_MEAN_LAGS = (1, 4)
# Displacements of a line beyond so many pixels are no displacements.
_MOST_SHIFT_PX = 6
_FLOOR = 1e-6
# Patches described at a time: fewer calls, and what they make still stays in the cache.
_TOGETHER = 8

#: How many there are.
N_DESCRIPTORS = (
    sum((len(look.radii) - 1) * look.angles for look in _LOOKS)
    + 2 * _AXES
    + 4
    + 2 * (2 * len(_LAGS) + len(_MEAN_LAGS))
    + 2 * (len(_BANDS) - 1)
    + 6
    + 1
)


def descriptors(patches: NDArray[Any]) -> Float32Array:
    """Describe patches by their spectra and scan lines.

    Parameters
    ----------
    patches : (n, P, P) array
        Of mean 0 and standard deviation 1 each (`normalisation.zscore`). P is a multiple of 32,
        128 at least. Lines run along the last axis.

    Returns
    -------
    (n, N_DESCRIPTORS) array of float32
        In this order: for each of three looks (the patch as it is, binned 2 x 2, and 4 x 4) the
        logarithms of the mean power in the cells of a polar grid, radius by radius, angles from
        -90 to 90 degrees of ``atan2(fy, fx)``, the axes left out; those of the bands along fx = 0,
        then along fy = 0; of the mean squares of the differences of neighbours, one and two apart,
        down and across; the displacements and offsets of lines, then of columns, by lag (see
        Notes); for bands of frequency how the power varies between windows; how grey levels are
        distributed; and the logarithm of the patch's side over 256.

    Raises
    ------
    ImageError
        For patches of another shape, or that are not finite.

    Notes
    -----
    *Spectra* are means over windows with half overlap, through a Hann window (P. D. Welch, IEEE
    Trans. Audio Electroacoust. 15, 70, 1967), scaled so that white noise of variance 1 has power 1.

    *Displacements*: two lines some lag apart differ by their slope times how far one is displaced
    against the other; that is solved for the left half of each pair of lines and the right half by
    itself. The noise of the two halves has nothing in common, a displacement of the line has: the
    covariance of the halves is that of displacements alone. The same along the columns, which no
    scan displaces, tells what the specimen itself gives. The halves' means tell offsets of lines.
    """
    x = as_numbers("patches", patches, shape=(None, None, None), error=ImageError)
    side = x.shape[1]
    if x.shape[2] != side or side < SMALLEST_PATCH_SIZE or side % MULTIPLE:
        raise ImageError(
            f"patches must be (n, P, P) with P a multiple of {MULTIPLE}, {SMALLEST_PATCH_SIZE} at "
            f"least, not {x.shape}."
        )
    x = np.asarray(x, np.float32)
    if not np.isfinite(x).all():
        raise ImageError("patches must be finite.")
    found = np.empty((len(x), N_DESCRIPTORS), np.float32)
    for start in range(0, len(x), _TOGETHER):
        found[start : start + _TOGETHER] = _of_patches(x[start : start + _TOGETHER])
    return found


def mirrored(found: Float32Array) -> Float32Array:
    """Give the descriptors of the mirror images of patches, left to right or upside down.

    Parameters
    ----------
    found : (n, N_DESCRIPTORS) array
        As `descriptors` gives them.

    Raises
    ------
    SettingsError
        For an array of another shape.
    """
    found = as_floats("found", found, shape=(None, N_DESCRIPTORS)).astype(np.float32)
    other = found.copy()
    at = 0
    for look in _LOOKS:
        cells = (len(look.radii) - 1) * look.angles
        grid = found[:, at : at + cells].reshape(-1, len(look.radii) - 1, look.angles)
        other[:, at : at + cells] = grid[:, :, ::-1].reshape(-1, cells)
        at += cells
    return np.asarray(other)


def _of_patches(x: Float32Array) -> Float32Array:
    n, side = x.shape[:2]
    spectra = _spectra(x, _LOOKS[0])
    mean = spectra.mean(axis=1)
    parts = [_logs(mean @ _cells(0))]
    binned = x
    for number in (1, 2):
        binned = _halved(binned)
        parts.append(_logs(_spectra(binned, _LOOKS[number]).mean(axis=1) @ _cells(number)))
    grid = mean.reshape(n, 64, 33)
    parts += [_logs(grid[:, :, 0] @ _axis(64, False)), _logs(grid[:, 0] @ _axis(33, True))]
    steps = [_step(x, axis, lag) for axis in (1, 2) for lag in (1, 2)]
    parts.append(_logs(np.stack(steps, axis=1)))
    across = np.ascontiguousarray(x.transpose(0, 2, 1))
    parts += [_lines(x), _lines(across)]
    bands = spectra @ _bands() + np.float32(_FLOOR)
    level = bands.mean(axis=1)
    windows = bands.shape[1]
    ordered = np.sort(bands, axis=1)
    parts += [np.log(ordered[:, at] / level) for at in (windows // 4, windows - 1 - windows // 8)]
    parts += [_greys(x), np.full((n, 1), np.log2(side / 256))]
    return np.asarray(np.concatenate(parts, axis=1), np.float32)


def _logs(power: NDArray[Any]) -> Float32Array:
    return np.asarray(np.log(power + np.float32(_FLOOR)), np.float32)


def _halved(x: Float32Array) -> Float32Array:
    rows = x[:, 0::2] + x[:, 1::2]
    return np.asarray((rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25))


def _spectra(x: Float32Array, look: _Look) -> Float32Array:
    """Power spectra of the windows of patches, (n, windows, side * (side // 2 + 1))."""
    # Here, so that programs that rate nothing start without it.
    from scipy import fft

    n, side, step = len(x), look.window, look.window // 2
    window = _hann(side)
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    windows = windows[:, ::step, ::step]
    count = windows.shape[1]
    # A window is 2 x 2 steps; of what is left over there is none.
    covered = step * (count + 1)
    x = x[:, :covered, :covered]
    steps = x.reshape(n, count + 1, step, count + 1, step).mean(axis=4).mean(axis=2)
    means = steps[:, :-1, :-1] + steps[:, :-1, 1:] + steps[:, 1:, :-1] + steps[:, 1:, 1:]
    means = np.float32(0.25) * means[..., np.newaxis, np.newaxis]
    power = np.empty((n, count, count, side * (side // 2 + 1)), np.float32)
    # A row of windows at a time stays in the processor's cache.
    for row in range(count):
        tapered = windows[:, row] - means[:, row]
        tapered *= window
        parts = fft.rfft2(tapered).view(np.float32)
        parts *= parts
        np.add(
            parts[..., 0::2].reshape(n, count, -1),
            parts[..., 1::2].reshape(n, count, -1),
            out=power[:, row],
        )
    power /= np.float32((window**2).sum())
    return power.reshape(n, count * count, -1)


@functools.lru_cache(maxsize=4)
def _hann(side: int) -> Float32Array:
    one = np.hanning(side + 2)[1:-1]
    return (one[:, np.newaxis] * one).astype(np.float32)


def _frequencies(side: int) -> Tuple[NDArray[np.float64], NDArray[np.float64]]:
    fy, fx = np.fft.fftfreq(side), np.fft.rfftfreq(side)
    return fy.astype(np.float64)[:, np.newaxis], fx.astype(np.float64)[np.newaxis]


@functools.lru_cache(maxsize=4)
def _cells(number: int) -> Float32Array:
    """Weights that take the mean of a spectrum over each cell of a look's polar grid."""
    look = _LOOKS[number]
    fy, fx = _frequencies(look.window)
    radius = np.hypot(fy, fx)
    turned = (np.arctan2(fy + 0 * fx, fx + 0 * fy) / np.pi + 0.5) * look.angles
    ring = np.digitize(radius, look.radii) - 1
    on_axis = (np.abs(fx) < 0.9 / look.window) | (np.abs(fy) < 0.9 / look.window)
    n_rings = len(look.radii) - 1
    inside = (ring >= 0) & (ring < n_rings) & ~on_axis
    # What lies between two cells is of both, so that a mirror image has the mirrored numbers.
    sectors = [np.floor(turned + shift).astype(int) for shift in (-1e-6, 1e-6)]
    places = [np.where(inside, ring * look.angles + sector, -1) for sector in sectors]
    return _means(places, n_rings * look.angles)


@functools.lru_cache(maxsize=2)
def _axis(length: int, is_half: bool) -> Float32Array:
    frequency = np.fft.rfftfreq(64) if is_half else np.abs(np.fft.fftfreq(64))
    return _means([np.digitize(frequency[:length], _AXIS_EDGES) - 1], _AXES)


@functools.lru_cache(maxsize=1)
def _bands() -> Float32Array:
    fy, fx = _frequencies(64)
    ring = np.digitize(np.hypot(fy, fx), _BANDS) - 1
    on_axis = (np.abs(fx) < 0.9 / 64) | (np.abs(fy) < 0.9 / 64)
    return _means([np.where(on_axis, -1, ring)], len(_BANDS) - 1)


def _means(places: Sequence[NDArray[Any]], number: int) -> Float32Array:
    """Weights (coefficients, number) of the mean over each cell; an empty cell gives 0.

    Each of `places` tells the cell of every coefficient, -1 for none.
    """
    one_of = np.arange(number)
    weights = np.zeros((places[0].size, number))
    for place in places:
        weights += place.ravel()[:, np.newaxis] == one_of
    return np.asarray(weights / np.maximum(weights.sum(axis=0), 1), np.float32)


def _step(x: Float32Array, axis: int, lag: int) -> Float32Array:
    difference = x[:, lag:] - x[:, :-lag] if axis == 1 else x[:, :, lag:] - x[:, :, :-lag]
    return _mean_product(difference, difference)


def _lines(x: Float32Array) -> Float32Array:
    """What the halves of lines have in common: displacements and offsets, by lag."""
    n, lines, width = x.shape
    smooth = x[:, :, :-2] + x[:, :, 2:]
    smooth *= np.float32(0.5)
    smooth += x[:, :, 1:-1]
    smooth *= np.float32(0.5)
    slope = smooth[:, :, 2:] - smooth[:, :, :-2]
    slope *= np.float32(0.5)
    # Of each line, its two halves.
    slope = slope.reshape(n, lines, 2, -1)
    value = np.ascontiguousarray(smooth[:, :, 1:-1]).reshape(n, lines, 2, -1)
    value_slope, slope_slope = _products(value, slope), _products(slope, slope)
    means = x.reshape(n, lines, 2, width // 2).mean(axis=3)
    found: List[NDArray[Any]] = []
    for lag in _LAGS:
        # Sums of (value' - value) (slope' + slope) / 2 and of ((slope' + slope) / 2)^2, where '
        # is the line so many further on.
        top = _products(value[:, lag:], slope[:, :-lag])
        top -= _products(value[:, :-lag], slope[:, lag:])
        top += value_slope[:, lag:] - value_slope[:, :-lag]
        bottom = np.float32(0.5) * _products(slope[:, lag:], slope[:, :-lag])
        bottom += np.float32(0.25) * (slope_slope[:, lag:] + slope_slope[:, :-lag])
        bottom += np.float32(0.05) * bottom.mean(axis=1, keepdims=True) + np.float32(1e-9)
        shift = np.float32(-0.5) * top / bottom
        ordered = np.sort(shift, axis=1)
        pairs = lines - lag
        middle = ordered[:, (pairs - 1) // 2] + ordered[:, pairs // 2]
        shift -= np.float32(0.5) * middle[:, np.newaxis]
        shift = np.minimum(np.maximum(shift, -_MOST_SHIFT_PX), _MOST_SHIFT_PX)
        found.append(_signed_log(30 * (shift[:, :, 0] * shift[:, :, 1]).mean(axis=1)))
        found.append(np.log((shift * shift).mean(axis=(1, 2)) + 1e-4))
    for lag in _MEAN_LAGS:
        change = means[:, lag:] - means[:, :-lag]
        found.append(_signed_log(300 * (change[:, :, 0] * change[:, :, 1]).mean(axis=1)))
    return np.stack(found, axis=1)


def _mean_product(a: Float32Array, b: Float32Array) -> Float32Array:
    """Mean of the products of two arrays, for each patch."""
    n, size = len(a), a.shape[1] * a.shape[2]
    return np.asarray((a.reshape(n, 1, size) @ b.reshape(n, size, 1)).ravel() / size)


def _products(a: Float32Array, b: Float32Array) -> Float32Array:
    """Sums over the last axis of the products of two arrays."""
    return np.asarray(np.einsum("nihj,nihj->nih", a, b))


def _signed_log(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))


def _greys(x: Float32Array) -> NDArray[Any]:
    """How grey levels are distributed: piled up at the ends, skewed, heavy in the tails."""
    size = x.shape[1] * x.shape[2]
    ends = np.stack([x.min(axis=(1, 2)), x.max(axis=(1, 2))], axis=1)
    piled = [np.count_nonzero(x == end[:, np.newaxis, np.newaxis], axis=(1, 2)) for end in ends.T]
    at_ends = np.sort(np.stack(piled, axis=1) / size, axis=1)
    squares = np.square(x)
    skew, tails = np.abs(_mean_product(squares, x)), _mean_product(squares, squares)
    reach = np.sort(np.abs(ends), axis=1)
    moments = np.stack([np.log1p(skew), np.log(tails + 0.1)], axis=1)
    logs = (np.log10(at_ends + 1e-5), moments, np.log(reach + 0.1))
    return np.concatenate(logs, axis=1)
