"""Pictures of results: the plane in grey under its patches' levels or scores in colour."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality.arguments import as_a, as_count, as_floats, as_numbers
from microscope_quality.concordance import LOWEST_SCORE
from microscope_quality.errors import ArgumentError, SettingsError
from microscope_quality.focus import FocusResult
from microscope_quality.planes import as_plane, is_lazy
from microscope_quality.rater import RatingResult
from microscope_quality.resampling import resample, scaled_down
from microscope_quality.sampling import SampleResult

ByteArray = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

# From in focus to furthest out: sky blue, blue, violet, pink, coral, orange, yellow. The steps are
# about equal to eyes with all three kinds of cones and to eyes that lack one.
_ANCHORS = (
    (60, 190, 255),
    (65, 150, 253),
    (70, 110, 250),
    (153, 75, 217),
    (178, 75, 189),
    (202, 75, 163),
    (219, 91, 131),
    (239, 114, 92),
    (248, 144, 69),
    (255, 180, 56),
    (255, 235, 90),
)
# What a patch without any certainty is drawn in.
_UNSURE = (52, 52, 56)
# Certainty from which a colour is drawn in full.
_FULL_COLOUR = 0.6
# Share of the patch's colour in the light over its pixels, where the picture is black and where
# it is white.
_TINT_DARK, _TINT_BRIGHT = 0.28, 0.40
# Light of the tint over black, as a share of that over white.
_GLOW = 0.5
# Patches below this side in the picture have neither borders nor gaps: the whole patch is tinted,
# this much where the picture is black.
_SMALLEST_FRAMED = 6
_TINT_SMALL = 0.5
# Side, in the picture, of the mark of a sampled place at least; of a place that has a rating, that
# of each of its patches.
_SMALLEST_MARK, _SMALLEST_OF_PLACE = 10, 6
# Colours of scores.
_SCORE_STEPS = 91
# Pixels of a plane outside of memory that are read at a time.
_BAND_PIXELS = 2**23
# Such a plane is drawn in its own size up to so many pixels.
_MOST_WHOLE_PIXELS = 2**24
# Percentiles of the pixels that are drawn black and white.
_BLACK, _WHITE = 0.5, 99.8
_MOST_LEVELS = 10**6
_HIGHEST_LEGEND = 10**4


def overlay(plane: ArrayLike, result: FocusResult, *, max_side: Optional[int] = None) -> ByteArray:
    """Draw a plane under its patches' levels and certainties.

    Each patch has a border and a tint: the hue is its level, from blue (in focus) over pink to
    yellow (furthest out), and the more certain, the lighter and more coloured it is. Constant and
    masked patches are dark grey. Where patches are very small in the picture, they have the tint
    alone. Sampled places are drawn as squares of 10 pixels at least.

    Parameters
    ----------
    plane : (height, width) array
        The one that was measured, of any type that `focus.measure_focus` takes; its contrast is
        stretched. One that is not in memory is read in bands of rows, or at a lower resolution if
        it has a method ``reduced`` as that of `files.lazy.LazyPlane`.
    result : FocusResult
        Of `focus.measure_focus` or `sampling.sample_focus`.
    max_side : int, optional
        The longer side of the picture in pixels, for planes that are larger; must be given for a
        plane that is not in memory and has over 16,777,216 pixels.

    Returns
    -------
    (height, width, 3) array of uint8
        Red, green and blue; in the plane's size unless `max_side` is smaller.

    Raises
    ------
    ImageError
        As `focus.measure_focus`.
    SettingsError
        For a plane of another size than the result's, a `max_side` below 1, or none where one is
        needed.
    FileError
        A plane that lies in a file cannot be read.
    """
    if isinstance(plane, FocusResult):
        raise ArgumentError("plane must be the image, and result what was measured of it, second.")
    as_a(FocusResult, "result", result)
    smallest = _SMALLEST_MARK if isinstance(result, SampleResult) else None
    return _drawn(plane, result, _of_patches(result), smallest, max_side)


def score_overlay(
    plane: ArrayLike, result: RatingResult, *, max_side: Optional[int] = None
) -> ByteArray:
    """Draw a plane under its patches' scores.

    Each patch has a border and a tint: blue for a score of 1, over pink to yellow for 0.1. Blank
    ones are left as they are.

    Parameters
    ----------
    plane : (height, width) array
        The one that was rated; see `overlay`.
    result : RatingResult
        Of `rater.rate_image`.
    max_side : int, optional
        As for `overlay`.

    Returns
    -------
    (height, width, 3) array of uint8
        As `overlay`.

    Raises
    ------
    ImageError, SettingsError, FileError
        As `overlay`.
    """
    if isinstance(plane, RatingResult):
        raise ArgumentError("plane must be the image, and result its rating, second.")
    as_a(RatingResult, "result", result)
    smallest = None if result.places is None else _SMALLEST_OF_PLACE
    return _drawn(plane, result, _of_scores(result.patch_scores), smallest, max_side)


def _drawn(
    plane: ArrayLike,
    result: Union[FocusResult, RatingResult],
    of_patches: Float32Array,
    smallest_mark: Optional[int],
    max_side: Optional[int],
) -> ByteArray:
    """Draw a plane under colours of its patches, NaN for those that have none.

    Those of sampled places are drawn as squares of a side at least.
    """
    grey, own_shape = _grey(plane, max_side)
    if own_shape != (result.height, result.width):
        raise SettingsError(
            f"The image has {own_shape[0]} x {own_shape[1]} pixels, but the result is of one with "
            f"{result.height} x {result.width}."
        )
    shrink = 1.0 if max_side is None else min(1.0, max_side / max(own_shape))
    picture = np.repeat(grey[..., np.newaxis], 3, axis=2)
    side = result.patch_size_px * shrink
    line = max(1, round(side / 40))
    corners = (result.patch_positions * shrink).astype(np.float64)
    if smallest_mark is not None:
        parts = _marks(corners, side, grey.shape, smallest_mark)
    elif side < _SMALLEST_FRAMED:
        return _to_bytes(_tinted(grey, corners, side, of_patches))
    else:
        parts = _parts(corners, side)
    has_colour = ~np.isnan(of_patches[:, 0])
    for (top, left, bottom, right), colour in zip(parts[has_colour], of_patches[has_colour]):
        area = (slice(top, bottom), slice(left, right))
        inner = grey[area][..., np.newaxis]
        share = _TINT_DARK + (_TINT_BRIGHT - _TINT_DARK) * inner
        patch = inner * (1 - share) + colour * share * (_GLOW + (1 - _GLOW) * inner)
        # A gap of a pixel keeps the borders of neighbours apart.
        frame = patch[:-1, :-1]
        for edge in (frame[:line], frame[-line:], frame[:, :line], frame[:, -line:]):
            edge[...] = colour
        picture[area] = patch
    return _to_bytes(picture)


def grey_picture(plane: ArrayLike, max_side: Optional[int] = None) -> ByteArray:
    """Draw a plane alone, its contrast stretched; arguments, result and errors of `overlay`."""
    return _to_bytes(np.repeat(_grey(plane, max_side)[0][..., np.newaxis], 3, axis=2))


def legend(height: int, levels: int = 11) -> ByteArray:
    """Draw the colours of all levels and certainties, without words.

    Parameters
    ----------
    height : int
        In pixels.
    levels : int
        Number of levels.

    Returns
    -------
    (height, 6 * height, 3) array of uint8
        From left to right the levels from 0, as blocks; from top to bottom certainties from 1
        to 0.
    """
    height = as_count("height", height, 1, _HIGHEST_LEGEND)
    levels = as_count("levels", levels, 1, _MOST_LEVELS)
    block = np.arange(6 * height) * levels // (6 * height)
    certainties = np.linspace(1, 0, height)[:, np.newaxis]
    return _to_bytes(_colours(np.broadcast_to(block, (height, len(block))), certainties, levels))


def score_legend(height: int) -> ByteArray:
    """Draw the colours of scores, without words.

    Parameters
    ----------
    height : int
        In pixels.

    Returns
    -------
    (height, 6 * height, 3) array of uint8
        From left to right the scores from 0.1 to 1.
    """
    height = as_count("height", height, 1, _HIGHEST_LEGEND)
    scores = _of_scores(np.linspace(LOWEST_SCORE, 1, 6 * height))
    return _to_bytes(np.broadcast_to(scores, (height, *scores.shape)))


def score_colours(scores: ArrayLike) -> ByteArray:
    """Give the colours of scores, from blue (1) to yellow (0.1).

    Parameters
    ----------
    scores : array
        From 0.1 to 1.

    Returns
    -------
    (..., 3) array of uint8
        Red, green and blue.

    Raises
    ------
    SettingsError
        For what is no score.
    """
    return _to_bytes(_of_scores(as_floats("scores", scores, low=LOWEST_SCORE, high=1, nan=False)))


def level_colours(levels: int) -> ByteArray:
    """Give the colours of levels at full certainty, from blue (level 0) to yellow.

    Parameters
    ----------
    levels : int
        Their number, 2 at least.

    Returns
    -------
    (levels, 3) array of uint8
        Red, green and blue.
    """
    return _to_bytes(_ramp(levels))


def colours(levels: ArrayLike, certainties: ArrayLike, number: int) -> ByteArray:
    """Give the colours of levels, dimmer the less certain they are.

    Parameters
    ----------
    levels : array of int
        From 0 to ``number - 1``.
    certainties : array
        From 0 to 1; of a shape that goes with that of the levels.
    number : int
        Of all levels, 2 at least.

    Returns
    -------
    (..., 3) array of uint8
        Red, green and blue, in the common shape of levels and certainties.
    """
    number = as_count("number", number, 1, _MOST_LEVELS)
    whole = as_numbers("levels", levels, kinds="iu").astype(np.intp)
    as_floats("levels", whole, low=0, high=number - 1)
    of_levels = as_floats("certainties", certainties, low=0, high=1, nan=False)
    try:
        both = np.broadcast_arrays(whole, of_levels)
    except ValueError:
        raise SettingsError(
            f"levels and certainties must be of shapes that go together, not {whole.shape} and "
            f"{of_levels.shape}."
        ) from None
    return _to_bytes(_colours(both[0], both[1], number))


def patch_colours(result: FocusResult) -> ByteArray:
    """Give the colours of a result's patches, dark grey where there is no content.

    Returns
    -------
    (n, 3) array of uint8
        Red, green and blue.
    """
    return _to_bytes(_of_patches(as_a(FocusResult, "result", result)))


def visible_parts(result: Union[FocusResult, RatingResult]) -> NDArray[np.intp]:
    """Give the part of each patch that is drawn: what no earlier one covers.

    Of a rating of sampled places, which may lie anywhere, that is all of it.

    Returns
    -------
    (n, 4) array of int
        Top, left, bottom and right in the image's own pixels, the last two just outside.
    """
    if not isinstance(result, RatingResult):
        as_a(FocusResult, "result", result)
    elif result.places is not None:
        shape = (result.height, result.width)
        return _marks(result.patch_positions.astype(np.float64), result.patch_size_px, shape, 0)
    return _parts(result.patch_positions.astype(np.float64), result.patch_size_px)


def _grey(plane: ArrayLike, max_side: Optional[int]) -> Tuple[Float32Array, Tuple[int, int]]:
    """Give a plane's grey values from 0 to 1, at most so large, and its own shape."""
    if max_side is not None:
        max_side = as_count("max_side", max_side, 1)
    unmasked = None
    pixels: Any = plane
    if not is_lazy(plane):
        pixels, unmasked = as_plane(plane)
    own_shape = int(pixels.shape[0]), int(pixels.shape[1])
    if is_lazy(plane):
        if max_side is None and own_shape[0] * own_shape[1] > _MOST_WHOLE_PIXELS:
            raise SettingsError(
                "max_side must be given for a plane that is not in memory and as large as "
                f"{own_shape[0]} x {own_shape[1]} pixels."
            )
        max_side = max(own_shape) if max_side is None else max_side
        pixels = _area_averaged(plane, max_side)
    grey = _stretched(pixels, unmasked)
    shrink = 1.0 if max_side is None else min(1.0, max_side / max(own_shape))
    shape = max(1, round(own_shape[0] * shrink)), max(1, round(own_shape[1] * shrink))
    return grey if grey.shape == shape else resample(grey, shape).astype(np.float32), own_shape


def _marks(
    corners: Float64Array, side: float, shape: Tuple[int, int], smallest: int
) -> NDArray[np.intp]:
    """Give the squares of sampled places."""
    wide = max(side, smallest)
    start = np.clip(np.round(corners - (wide - side) / 2), 0, None)
    end = np.minimum(start + round(wide), shape)
    return np.concatenate([start, end], axis=1).astype(np.intp)


def _tinted(
    grey: Float32Array, corners: Float64Array, side: float, colours: Float32Array
) -> Float32Array:
    """Give a picture of a grid of small patches."""
    rows, columns = np.unique(corners[:, 0]), np.unique(corners[:, 1])
    if not len(colours):
        return np.repeat(grey[..., np.newaxis], 3, axis=2)

    def patch_of(starts: Float64Array, length: int) -> NDArray[np.intp]:
        index = np.searchsorted(starts, np.arange(length) + 0.5, side="right") - 1
        return np.clip(index, 0, len(starts) - 1)

    of_pixels = patch_of(rows, grey.shape[0])[:, np.newaxis] * len(columns)
    of_pixels = of_pixels + patch_of(columns, grey.shape[1])
    light = _TINT_SMALL + (1 - _TINT_SMALL) * grey[..., np.newaxis]
    tinted: Float32Array = colours[of_pixels] * light
    return np.where(np.isnan(tinted), grey[..., np.newaxis], tinted)


def _area_averaged(plane: Any, max_side: int) -> Float64Array:
    """Give a plane that is not in memory with sides of up to about twice that length."""
    source = plane.reduced(max_side) if hasattr(plane, "reduced") else plane
    height, width = (int(length) for length in source.shape)
    factor = max(1, max(height, width) // max_side)
    columns = np.arange(0, width, factor)
    band = factor * max(1, _BAND_PIXELS // (factor * width))
    parts = []
    for top in range(0, height, band):
        pixels = np.asarray(source[top : min(top + band, height), :])
        rows = np.arange(0, len(pixels), factor)
        finite: Any = np.isfinite(pixels) if pixels.dtype.kind == "f" else np.ones_like(pixels, "?")
        values = np.where(finite, pixels, 0) if pixels.dtype.kind == "f" else pixels
        total, count = (
            np.add.reduceat(np.add.reduceat(one, columns, axis=1, dtype=np.float64), rows, axis=0)
            for one in (values, finite)
        )
        parts.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return np.concatenate(parts)


def _parts(corners: Float64Array, side: float) -> NDArray[np.intp]:
    rows, columns = _visible(corners[:, 0], side), _visible(corners[:, 1], side)
    parts = [(rows[y][0], columns[x][0], rows[y][1], columns[x][1]) for y, x in corners.tolist()]
    return np.array(parts, np.intp).reshape(-1, 4)


def _visible(starts: Float64Array, side: float) -> Dict[float, Tuple[int, int]]:
    """Give the pixels of rows (or columns) of patches that no earlier row covers."""
    ends: Dict[float, Tuple[int, int]] = {}
    covered = 0
    for start in np.unique(starts):
        ends[start] = covered, max(covered, round(start + side))
        covered = ends[start][1]
    return ends


def _of_patches(result: FocusResult) -> Float32Array:
    undefined = np.isnan(result.patch_levels)
    levels = np.where(undefined, 0, result.patch_levels).astype(np.intp)
    certainties = np.where(undefined, 0, result.patch_certainties)
    return _colours(levels, certainties, len(result.probabilities))


def _of_scores(scores: NDArray[Any]) -> Float32Array:
    """Give the colours of scores; NaN of NaN."""
    worse = (1 - np.asarray(scores, np.float64)) / (1 - LOWEST_SCORE)
    known = ~np.isnan(worse)
    colours = np.full((*worse.shape, 3), np.nan, np.float32)
    step = np.round(np.clip(worse[known], 0, 1) * (_SCORE_STEPS - 1)).astype(np.intp)
    colours[known] = _ramp(_SCORE_STEPS)[step]
    return colours


def _ramp(levels: int) -> Float32Array:
    anchors = np.array(_ANCHORS, np.float32) / 255
    at = np.linspace(0, len(anchors) - 1, as_count("levels", levels, 1, _MOST_LEVELS))
    channels = [np.interp(at, np.arange(len(anchors)), channel) for channel in anchors.T]
    return np.stack(channels, axis=-1).astype(np.float32)


def _colours(levels: NDArray[Any], certainties: NDArray[Any], number: int) -> Float32Array:
    strength = np.clip(np.asarray(certainties, np.float32) / _FULL_COLOUR, 0, 1)[..., np.newaxis]
    unsure = np.array(_UNSURE, np.float32) / 255
    colours: Float32Array = unsure + strength * (_ramp(number)[levels] - unsure)
    return colours


def _stretched(pixels: NDArray[Any], unmasked: Optional[NDArray[np.bool_]]) -> Float32Array:
    """Give grey values from 0 to 1, black and white at percentiles of the unmasked pixels."""
    pixels = scaled_down(pixels.astype(np.float64))[0] if pixels.dtype.kind == "f" else pixels
    # A sample of some 10^5 pixels tells the percentiles of a large plane as well.
    step = max(1, int(np.sqrt(pixels.size / 1e5)))
    sample = pixels if unmasked is None else np.where(unmasked, pixels, np.nan)
    sample = sample[::step, ::step].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    black, white = np.percentile(sample, [_BLACK, _WHITE]) if sample.size else (0.0, 1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        grey = (pixels.astype(np.float64) - black) / (white - black if white > black else 1.0)
    # What is not finite is drawn black.
    return np.clip(np.nan_to_num(grey, nan=0, posinf=0), 0, 1).astype(np.float32)


def _to_bytes(colours: Float32Array) -> ByteArray:
    return np.round(np.clip(colours, 0, 1) * 255).astype(np.uint8)
