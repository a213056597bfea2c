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
    for k in range(len(x)):
        found[k] = _of_patch(x[k])
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


def _of_patch(x: Float32Array) -> Float32Array:
    parts: List[NDArray[Any]] = []
    spectra = _spectra(x, _LOOKS[0])
    mean = spectra.mean(axis=0)
    parts.append(_logs(mean @ _cells(0)))
    binned = x
    for number in (1, 2):
        binned = _halved(binned)
        parts.append(_logs(_spectra(binned, _LOOKS[number]).mean(axis=0) @ _cells(number)))
    grid = mean.reshape(64, 33)
    parts.append(_logs(np.concatenate([grid[:, 0] @ _axis(64, False), grid[0] @ _axis(33, True)])))
    parts.append(_logs(np.array([_step(x, 0, 1), _step(x, 0, 2), _step(x, 1, 1), _step(x, 1, 2)])))
    parts += [_lines(x), _lines(np.ascontiguousarray(x.T))]
    bands = spectra @ _bands() + np.float32(_FLOOR)
    level = bands.mean(axis=0)
    spread = np.sort(bands, axis=0)[[len(bands) // 4, len(bands) - 1 - len(bands) // 8]]
    parts += [np.log(spread[0] / level), np.log(spread[1] / level)]
    parts.append(_greys(x))
    parts.append(np.array([np.log2(len(x) / 256)], np.float32))
    return np.asarray(np.concatenate(parts), np.float32)


def _logs(power: NDArray[Any]) -> Float32Array:
    return np.asarray(np.log(power + np.float32(_FLOOR)), np.float32)


def _halved(x: Float32Array) -> Float32Array:
    rows = x[0::2] + x[1::2]
    return np.asarray((rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25))


def _spectra(x: Float32Array, look: _Look) -> Float32Array:
    """Power spectra of the windows of a patch, (windows, side * (side // 2 + 1))."""
    # Here, so that programs that rate nothing start without it.
    from scipy import fft

    side, step = look.window, look.window // 2
    window = _hann(side)
    count = (len(x) - side) // step + 1
    cut = np.lib.stride_tricks.sliding_window_view(x, (side, side))[::step, ::step]
    tiles = cut.reshape(count * count, side, side)
    tiles = (tiles - tiles.mean(axis=(1, 2), keepdims=True)) * window
    transformed = fft.rfft2(tiles)
    power = transformed.real**2 + transformed.imag**2
    return np.asarray(power.reshape(len(tiles), -1) / np.float32((window**2).sum()))


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


def _step(x: Float32Array, axis: int, lag: int) -> float:
    difference = x[lag:] - x[:-lag] if axis == 0 else x[:, lag:] - x[:, :-lag]
    return float(np.einsum("ij,ij->", difference, difference) / difference.size)


def _lines(x: Float32Array) -> Float32Array:
    """What the halves of lines have in common: displacements and offsets, by lag."""
    smooth = (x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]) * np.float32(0.25)
    slope = (smooth[:, 2:] - smooth[:, :-2]) * np.float32(0.5)
    value = smooth[:, 1:-1]
    half = value.shape[1] // 2
    means = x[:, : x.shape[1] // 2].mean(axis=1), x[:, x.shape[1] // 2 :].mean(axis=1)
    found: List[float] = []
    for lag in _LAGS:
        slopes = slope[lag:] + slope[:-lag]
        slopes *= np.float32(0.5)
        change = value[lag:] - value[:-lag]
        shifts = []
        for part in (slice(0, half), slice(half, None)):
            top = np.einsum("ij,ij->i", change[:, part], slopes[:, part])
            bottom = np.einsum("ij,ij->i", slopes[:, part], slopes[:, part])
            shift = -top / (bottom + np.float32(0.05) * bottom.mean() + np.float32(1e-9))
            shift = shift - np.median(shift)
            shifts.append(np.clip(shift, -_MOST_SHIFT_PX, _MOST_SHIFT_PX))
        a, b = shifts
        common, own = float((a * b).mean()), float((a * a + b * b).mean()) / 2
        found += [_signed_log(30 * common), float(np.log(own + 1e-4))]
    for lag in _MEAN_LAGS:
        a, b = (mean[lag:] - mean[:-lag] for mean in means)
        found.append(_signed_log(300 * float((a * b).mean())))
    return np.array(found, np.float32)


def _signed_log(value: float) -> float:
    return float(np.sign(value) * np.log1p(abs(value)))


def _greys(x: Float32Array) -> Float32Array:
    """How grey levels are distributed: piled up at the ends, skewed, heavy in the tails."""
    low, high = x.min(), x.max()
    at_ends = sorted([float((x == low).mean()), float((x == high).mean())])
    squares = x * x
    skew = abs(float((squares * x).mean()))
    tails = float((squares * squares).mean())
    reach = sorted([float(-low), float(high)])
    logs = [np.log10(share + 1e-5) for share in at_ends]
    return np.array([*logs, np.log1p(skew), np.log(tails + 0.1), *np.log(np.add(reach, 0.1))])
