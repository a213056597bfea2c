"""Patches and images that show nothing, as cameras and dirty optics make them.

A model must be unsure of them, whatever their brightness. Each kind is a function of its own; they
are of two sorts: shares of the light that arrives (`gradient`, `corner_shadow`, `dust`) and what
the camera adds, in units of the noise (`fixed_pattern`, `line_noise`, `hot_pixels`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from microscope_quality.certainty import certainty
from microscope_quality.model import FocusModel
from microscope_quality.training.defocus.exposure import (
    Normal,
    NormalNoise,
    Recording,
    digitise,
    log_uniform,
    photoelectrons,
)
from microscope_quality.training.defocus.structures import structure

FloatArray = npt.NDArray[np.float32]
Shape = tuple[int, int]

# Electrons of an evenly bright field: from read noise alone almost to a 16-bit camera's end.
DARK_FRACTION = 0.1
ELECTRONS = (0.5, 30_000.0)
# Patches that stay in the cache from their making to their judging.
_AT_A_TIME = 100


def empty_patch(
    rng: np.random.Generator,
    normal: Normal,
    recording: Recording,
    *,
    side: int | None = None,
    structured: float = 0.0,
) -> FloatArray:
    """Make a patch that shows nothing.

    Parameters
    ----------
    rng : Generator
    normal : callable
        Gives normal deviates of a shape; a NormalNoise.
    recording : Recording
        Patch size and camera; also the stream's settings. The microscope's own saturation is not
        among them: it is that of what is bright in the field.
    side : int, optional
        In place of the patch size.
    structured : float
        Share of the patches with a structure of :mod:`.structures`.

    Returns
    -------
    ndarray of float32, shape (side, side)
        Grey levels.
    """
    side = side or recording.patch_size
    return _empty(rng, normal, (side, side), recording, structured)


def empty_certainty(
    model: FocusModel,
    rng: np.random.Generator,
    count: int,
    recording: Recording,
    *,
    structured: float = 0.0,
) -> npt.NDArray[np.float64]:
    """Give how certain a model is of each of so many patches that show nothing.

    `structured` is the share of them with a structure, as of :func:`empty_patch`.
    """
    normal = NormalNoise(rng)
    found = np.empty(count)
    for start in range(0, count, _AT_A_TIME):
        part = found[start : start + _AT_A_TIME]
        patches = np.stack(
            [empty_patch(rng, normal, recording, structured=structured) for _ in part]
        )
        part[:] = certainty(model.predict(patches, type_max=65535))
    return found


def empty_image(
    shape: Shape, rng: np.random.Generator, recording: Recording | None = None
) -> npt.NDArray[np.uint16]:
    """Make a whole field that shows nothing.

    It is lit like a patch, with gradients and shadows over the whole of it, and has as many hot
    pixels and grains of dust for its area.

    Parameters
    ----------
    shape : (height, width)
    rng : Generator
    recording : Recording, optional
        Of which the camera is used; the default one unless given.

    Returns
    -------
    ndarray of uint16, shape (height, width)
    """

    def normal(of: tuple[int, ...]) -> FloatArray:
        return rng.standard_normal(of, dtype=np.float32)

    return _empty(rng, normal, shape, recording or Recording()).astype(np.uint16)


def _empty(
    rng: np.random.Generator,
    normal: Normal,
    shape: Shape,
    recording: Recording,
    structured: float = 0.0,
) -> FloatArray:
    light = np.ones(shape, dtype=np.float32)
    if rng.random() < 0.5:
        light *= gradient(rng, shape)
    if rng.random() < 0.3:
        light *= corner_shadow(rng, shape)
    if rng.random() < (0.25 if structured else 0.1):
        light *= dust(rng, shape, recording.patch_size)
    if structured and rng.random() < structured:
        light = light * structure(rng, shape)
    electrons_lit = 0.0 if rng.random() < DARK_FRACTION else log_uniform(rng, *ELECTRONS)
    expected = np.float32(electrons_lit) * light
    electrons = photoelectrons(rng, normal, expected)
    noise = float(np.sqrt(max(1.0, electrons_lit)))
    if rng.random() < 0.25:
        electrons += noise * fixed_pattern(rng, shape)
    if rng.random() < 0.15:
        electrons += noise * line_noise(rng, shape)
    if rng.random() < 0.15:
        electrons = smoothed(rng, electrons)
    if rng.random() < 0.4:
        electrons += noise * hot_pixels(rng, shape, recording.patch_size)
    # A camera's grey level is no more than twice the noise; else a gradient would have edges.
    least_levels = max(10.0, float(electrons.max()) / (2 * noise))
    return digitise(rng, normal, electrons, recording, least_levels=least_levels)


def gradient(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Give the light of a lamp beside the axis: a slope of up to 40 % from centre to edge."""
    y, x = _axes(shape)
    angle = rng.uniform(0, 2 * np.pi)
    slope = rng.uniform(0, 0.4)
    rise = np.add.outer(np.sin(angle) * slope * y, np.cos(angle) * slope * x)
    light: FloatArray = np.maximum(1 + rise, 0).astype(np.float32)
    return light


def corner_shadow(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Give the light of a field that darkens with the square of the distance from some place."""
    y, x = _axes(shape)
    cy, cx = rng.uniform(-3, 3, size=2)
    fall_off = rng.uniform(0, 0.03)
    squared = np.add.outer((y - cy) ** 2, (x - cx) ** 2)
    light: FloatArray = np.maximum(1 - fall_off * squared, 0).astype(np.float32)
    return light


def dust(rng: np.random.Generator, shape: Shape, patch_size: int) -> FloatArray:
    """Give the light past grains of dust on the way: soft, faint discs and rings.

    Dust lies far from the specimen, so how blurred its shadow is says nothing of the specimen's
    focus: radius, softness and depth are drawn each by itself. A small shadow with an edge, or a
    deep one, is left out: a thing in the specimen that absorbs light looks the same. One to four
    grains for the area of a patch, fewer for each in a larger field.
    """
    height, width = shape
    light = np.ones(shape, dtype=np.float32)
    patches = height * width / patch_size**2
    for _ in range(int(rng.integers(1, 5) * max(1.0, np.sqrt(patches)))):
        radius = log_uniform(rng, 6, 80)
        softness = max(1.2, radius * log_uniform(rng, 0.12, 0.6))
        depth = log_uniform(rng, 0.003, 0.08)
        hole = rng.uniform(0.3, 0.85) * radius if rng.random() < 0.5 else 0.0
        filled = rng.uniform(0.4, 1.2)
        cy, cx = rng.uniform(-0.5 * radius, np.array(shape) + 0.5 * radius)
        reach = radius + 4 * softness
        rows = slice(max(0, int(cy - reach)), max(0, min(height, int(cy + reach) + 1)))
        columns = slice(max(0, int(cx - reach)), max(0, min(width, int(cx + reach) + 1)))
        y, x = np.ogrid[rows, columns]
        if y.size == 0 or x.size == 0:
            continue
        distance = np.hypot(y - cy, x - cx).astype(np.float32)
        # Light bends into the middle of a small grain's shadow.
        shadow = _edge(distance - radius, softness)
        if hole:
            shadow -= np.float32(filled) * _edge(distance - hole, softness)
        light[rows, columns] *= 1 - np.float32(depth) * shadow
    return light


def fixed_pattern(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Give pixels or columns that each answer a little differently, by up to the noise."""
    pattern = rng.standard_normal(shape[1] if rng.random() < 0.5 else shape, dtype=np.float32)
    return np.broadcast_to(np.float32(rng.uniform(0, 1)) * pattern, shape)


def line_noise(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Give rows, or columns, that were read out with an offset each, by up to twice the noise."""
    across = bool(rng.random() < 0.5)
    lines = rng.standard_normal(shape[0 if across else 1], dtype=np.float32)
    lines *= np.float32(rng.uniform(0, 2))
    return np.broadcast_to(lines[:, np.newaxis] if across else lines, shape)


def smoothed(rng: np.random.Generator, electrons: FloatArray) -> FloatArray:
    """Correlate the noise of neighbours, as interpolation and compression do."""
    import scipy.ndimage

    soft: FloatArray = scipy.ndimage.gaussian_filter(
        electrons, rng.uniform(0.3, 0.7), mode="mirror"
    )
    return soft


def hot_pixels(rng: np.random.Generator, shape: Shape, patch_size: int) -> FloatArray:
    """Give single bright pixels, 5 to 300 times the noise, 1 to 19 on the area of a patch."""
    patches = max(1, round(shape[0] * shape[1] / patch_size**2))
    n = int(rng.integers(1, 20)) * patches
    bright = np.zeros(shape, dtype=np.float32)
    at = tuple(rng.integers(length, size=n) for length in shape)
    bright[at] = log_uniform(rng, 5, 300) * rng.random(n)
    return bright


def _axes(shape: Shape) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give rows and columns from -1 to 1."""
    height, width = shape
    return np.linspace(-1, 1, height), np.linspace(-1, 1, width)


def _edge(outside_px: FloatArray, softness_px: float) -> FloatArray:
    """Give 1 well inside an edge and 0 well outside of it."""
    edge: FloatArray = np.float32(0.5) * (1 - np.tanh(outside_px / np.float32(softness_px)))
    return edge
