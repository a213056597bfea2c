"""Simulated specimens: sharp images whose every detail is known, for samples and tests.

Each function gives light, 0 where there is nothing and about 1 on bright objects; blur it with
:func:`microscope_quality.degrade.defocus` and take it with
:class:`microscope_quality.degrade.Camera`.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from microscope_quality.arguments import as_count, as_floats, as_number, as_seed, as_shape
from microscope_quality.errors import SettingsError

FloatArray = npt.NDArray[np.float64]

_MOST_OBJECTS = 10**6
# Details are not drawn finer, or coarser.
_FINEST_PX, _COARSEST_PX = 0.1, 1e6


def nuclei(
    shape: Tuple[int, int],
    n: int,
    seed: int,
    *,
    diameter_px: Tuple[float, float] = (18.0, 32.0),
) -> FloatArray:
    """Simulate nuclei with a DNA stain: ellipses with chromatin texture and dark nucleoli.

    Nuclei do not overlap; where there is no room left, fewer than ``n`` are drawn.

    Parameters
    ----------
    shape : (height, width)
        In pixels.
    n : int
        Nuclei to place.
    seed : int
        The same seed gives the same specimen.
    diameter_px : (low, high)
        Range of the diameters, in pixels.

    Returns
    -------
    ndarray of float64, shape (height, width)

    Raises
    ------
    SettingsError
        For an argument that is out of its range.
    """
    shape, n = as_shape("shape", shape), as_count("n", n, 0, _MOST_OBJECTS)
    low, high = as_floats(
        "diameter_px", diameter_px, shape=(2,), low=_FINEST_PX, high=_COARSEST_PX, nan=False
    ).tolist()
    if low > high:
        raise SettingsError(f"diameter_px must be a range that ascends, not {low:g} to {high:g}.")
    rng = np.random.default_rng(as_seed(seed))
    light = np.zeros(shape)
    taken = np.zeros((0, 3))
    chromatin = _texture(rng, shape, 0.9) + 0.7 * _texture(rng, shape, 2.2)
    rows, columns = np.indices(shape)
    for _ in range(40 * n):
        if len(taken) == n:
            break
        radius = 0.5 * rng.uniform(low, high)
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        if np.any(np.hypot(taken[:, 0] - y, taken[:, 1] - x) < taken[:, 2] + 1.15 * radius + 1):
            continue
        taken = np.vstack([taken, (y, x, 1.15 * radius)])
        box = tuple(
            slice(max(0, int(centre - 1.6 * radius) - 2), max(0, int(centre + 1.6 * radius) + 3))
            for centre in (y, x)
        )
        dy, dx = rows[box] - y, columns[box] - x
        angle, stretch = rng.uniform(0, np.pi), rng.uniform(0.72, 0.98)
        u = (dy * np.cos(angle) + dx * np.sin(angle)) / np.sqrt(stretch)
        v = (dx * np.cos(angle) - dy * np.sin(angle)) * np.sqrt(stretch)
        # Lobes of low order make the outline a nucleus rather than an ellipse.
        azimuth = np.arctan2(u, v)
        outline = radius * (
            1
            + 0.04 * np.cos(2 * azimuth + rng.uniform(0, 6.3))
            + 0.03 * np.cos(3 * azimuth + rng.uniform(0, 6.3))
        )
        inside = np.clip(outline - np.hypot(u, v) + 0.5, 0, 1)
        thickness = np.sqrt(np.clip(1 - (np.hypot(u, v) / (1.12 * outline)) ** 2, 0, 1))
        body = (0.35 + 0.65 * thickness) * (1 + 0.22 * chromatin[box])
        for _ in range(int(rng.integers(1, 5))):
            r, a = radius * np.sqrt(rng.uniform(0, 0.45)), rng.uniform(0, 2 * np.pi)
            hole = np.hypot(u - r * np.sin(a), v - r * np.cos(a)) / (radius * rng.uniform(0.1, 0.2))
            body *= 1 - 0.5 * np.exp(-(hole**4))
        brightness = rng.uniform(0.45, 1.0)
        light[box] = np.maximum(light[box], brightness * inside * np.maximum(body, 0))
    return light


def filaments(shape: Tuple[int, int], n: int, seed: int, *, width_px: float = 1.2) -> FloatArray:
    """Simulate a cytoskeleton stain: bundles of thin, slightly curved fibres.

    Parameters
    ----------
    shape : (height, width)
        In pixels.
    n : int
        Fibres.
    seed : int
        The same seed gives the same specimen.
    width_px : float
        Full width of a fibre, in pixels.

    Returns
    -------
    ndarray of float64, shape (height, width)

    Raises
    ------
    SettingsError
        For an argument that is out of its range.
    """
    shape, n = as_shape("shape", shape), as_count("n", n, 0, _MOST_OBJECTS)
    width_px = as_number("width_px", width_px, _FINEST_PX, _COARSEST_PX)
    rng = np.random.default_rng(as_seed(seed))
    light = np.zeros(shape)
    rows, columns = np.indices(shape)
    direction = np.pi * _texture(rng, shape, 0.25 * min(shape))
    for _ in range(n):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        angle = direction[int(y), int(x)] + rng.normal(0, 0.2)
        length = rng.uniform(0.1, 0.35) * min(shape)
        along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
        across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
        across = across - rng.normal(0, 0.4) / length * along**2
        profile = np.exp(-0.5 * (across / (0.42 * width_px)) ** 2)
        ends = np.clip(0.5 + (0.5 * length - np.abs(along)) / 4, 0, 1)
        light += rng.uniform(0.3, 1.0) * profile * ends
    return light


def _texture(rng: np.random.Generator, shape: Tuple[int, int], size_px: float) -> FloatArray:
    """Give smooth noise of mean 0 and deviation 1 with details of about ``size_px``."""
    noise: FloatArray = scipy.ndimage.gaussian_filter(
        rng.standard_normal(shape), size_px, mode="wrap"
    )
    noise -= noise.mean()
    deviation = noise.std()
    return noise / deviation if deviation > 0 else noise
