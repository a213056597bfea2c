"""Drawn tissue: sharp fields as electron microscopes show them, of every kind and scale.

Membranes between cells, organelles, vesicles, fibres and grain are drawn, each at random, so that a
rater learns what a microscope does to an image rather than what one tissue looks like.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial import cKDTree

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


def drawn_tissue(side_px: int, generator: np.random.Generator) -> Float32Array:
    """Draw a sharp field without noise.

    Parameters
    ----------
    side_px : int
        Of the square field.
    generator
        The same state draws the same field.

    Returns
    -------
    (side_px, side_px) array of float32
        Of mean 0 and standard deviation 1.
    """
    rng = generator
    y, x = np.mgrid[:side_px, :side_px].astype(np.float32)
    cell_px = _log_even(rng, 14, 160)
    # Places are bent, so that borders are not straight; stretched, so that cells have a direction.
    bend = rng.uniform(0.05, 0.35) * cell_px
    y = y + bend * _cloud(side_px, rng, rng.uniform(0.8, 2.5) * cell_px)
    x = x + bend * _cloud(side_px, rng, rng.uniform(0.8, 2.5) * cell_px)
    stretch, turn = _log_even(rng, 1, 2.2), rng.uniform(0, math.pi)
    u = (x * math.cos(turn) + y * math.sin(turn)) / stretch
    v = y * math.cos(turn) - x * math.sin(turn)
    borders, cells = _borders(u, v, cell_px, rng)
    field = rng.uniform(0, 0.5) * rng.normal(size=cells.max() + 1)[cells].astype(np.float32)
    field += rng.uniform(0, 0.6) * _cloud(side_px, rng, rng.uniform(1, 4) * cell_px)
    if rng.random() < 0.9:
        thick = _log_even(rng, 0.7, 4)
        dark = rng.uniform(1, 3.5) * (0.4 + 0.6 * (_cloud(side_px, rng, 2 * cell_px) > -0.8))
        if rng.random() < 0.3:
            # Two leaflets with a cleft between.
            apart = thick * rng.uniform(1.2, 2.5)
            field -= dark * _bar(borders - apart, thick / 2)
        else:
            field -= dark * _bar(borders, thick)
    field += _grain(side_px, rng)
    for _ in range(rng.integers(0, 3)):
        _add_spots(field, rng, _log_even(rng, 0.8, 6), rng.random() < 0.5)
    for _ in range(rng.poisson(6 * (side_px / 256) ** 2 * rng.random())):
        _add_organelle(field, rng, _log_even(rng, 8, 0.5 * cell_px + 10))
    if rng.random() < 0.15:
        _add_fibres(field, rng)
    field *= rng.choice([-1, 1])
    deviation = field.std()
    return np.asarray((field - field.mean()) / (deviation + 1e-9), np.float32)


def _log_even(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _cloud(side: int, rng: np.random.Generator, length_px: float) -> Float32Array:
    """A smooth field of deviation 1 that is alike over a length."""
    frequency = _frequency(side)
    shape = np.exp(-2 * (np.pi * frequency * length_px / 2) ** 2)
    return _shaped(side, rng, shape)


def _shaped(side: int, rng: np.random.Generator, shape: Float64Array) -> Float32Array:
    noise = fft.rfft2(rng.standard_normal((side, side), np.float32))
    made = fft.irfft2(noise * shape.astype(np.float32), (side, side))
    return np.asarray((made - made.mean()) / (made.std() + 1e-12), np.float32)


def _frequency(side: int) -> Float64Array:
    return np.asarray(np.hypot(np.fft.fftfreq(side)[:, np.newaxis], np.fft.rfftfreq(side)))


def _grain(side: int, rng: np.random.Generator) -> Float32Array:
    """Cytoplasm: a power law of frequency, ended where the stain's grain ends."""
    frequency = np.maximum(_frequency(side), 1 / side)
    shape = frequency ** -rng.uniform(0, 1.6)
    shape = shape * np.exp(-((frequency * _log_even(rng, 1, 6)) ** 2))
    strength = _log_even(rng, 0.05, 0.9)
    made = strength * _shaped(side, rng, shape)
    if rng.random() < 0.5:
        # Stain comes in patches.
        made = made * (1 + 0.8 * np.clip(_cloud(side, rng, _log_even(rng, 15, 120)), -1, 2))
    return np.asarray(made, np.float32)


def _borders(
    u: Float32Array, v: Float32Array, cell_px: float, rng: np.random.Generator
) -> tuple[Float32Array, NDArray[np.intp]]:
    """Distance of each pixel from the border of its cell, and the cell's number."""
    low, high = (np.array([one(u), one(v)]) for one in (np.min, np.max))
    number = int(np.clip(np.prod((high - low) / cell_px), 3, 4000)) + 2
    seeds = rng.uniform(low, high, (number, 2))
    found = cKDTree(seeds).query(np.stack([u, v], -1).reshape(-1, 2), k=2)
    distances, nearest = (np.asarray(one) for one in found)
    first, second = seeds[nearest[:, 0]], seeds[nearest[:, 1]]
    apart = np.linalg.norm(first - second, axis=1) + 1e-9
    border = (distances[:, 1] ** 2 - distances[:, 0] ** 2) / (2 * apart)
    return border.reshape(u.shape).astype(np.float32), nearest[:, 0].reshape(u.shape)


def _bar(distance: Float32Array, half_width: float) -> Float32Array:
    """1 within a half width of a line, 0 beyond, with an edge a pixel wide."""
    return np.asarray(np.clip(half_width + 0.5 - np.abs(distance), 0, 1), np.float32)


def _box(side: int, cy: float, cx: float, reach: float) -> tuple[slice, slice] | None:
    """The part of a field that is within reach of a place; None without any."""
    rows = slice(max(int(cy - reach), 0), min(int(cy + reach) + 1, side))
    columns = slice(max(int(cx - reach), 0), min(int(cx + reach) + 1, side))
    empty = rows.stop <= rows.start or columns.stop <= columns.start
    return None if empty else (rows, columns)


def _add_organelle(field: Float32Array, rng: np.random.Generator, radius: float) -> None:
    """An ellipse with a membrane: a mitochondrion with its cristae, a dense body, myelin."""
    stretch, side = _log_even(rng, 1, 2.5), len(field)
    cy, cx = rng.uniform(-radius, side + radius, 2)
    box = _box(side, cy, cx, 1.1 * radius * stretch + 4)
    if box is None:
        return
    y, x = np.mgrid[box].astype(np.float32)
    y, x = y - cy, x - cx
    turn = rng.uniform(0, math.pi)
    u = (x * math.cos(turn) + y * math.sin(turn)) / stretch
    v = y * math.cos(turn) - x * math.sin(turn)
    distance = np.hypot(u, v) * (1 + 0.08 * np.sin(3 * np.arctan2(v, u) + rng.uniform(0, 6)))
    inside = np.clip(radius + 0.5 - distance, 0, 1)
    kind = rng.random()
    body = np.full_like(field[box], rng.normal(-0.4, 0.6))
    if kind < 0.5:
        period = _log_even(rng, 3, 14)
        waves = np.sin(2 * np.pi * (v + 1.5 * np.sin(u / radius * 4)) / period)
        body -= rng.uniform(0.3, 1.5) * np.clip(1.5 * waves - 0.5, -0.5, 1)
    elif kind < 0.65:
        period = _log_even(rng, 2.5, 7)
        body -= 1.5 * np.sin(2 * np.pi * distance / period) * (distance > 0.6 * radius)
    rim = rng.uniform(0.5, 2.5) * _bar(np.asarray(distance - radius, np.float32), rng.uniform(1, 3))
    field[box] = field[box] * (1 - inside) + (body + 0.5 * field[box]) * inside - rim


def _add_spots(field: Float32Array, rng: np.random.Generator, radius: float, is_ring: bool) -> None:
    """Ribosomes and vesicles: spots or rings, in clusters or everywhere."""
    side = len(field)
    number = rng.poisson(_log_even(rng, 0.05, 1.5) * (side / (6 * radius + 6)) ** 2)
    centres = rng.uniform(0, side, (number, 2))
    if rng.random() < 0.5 and number:
        middle = rng.uniform(0, side, (max(number // 30, 1), 2))
        spread = rng.uniform(4, 14) * radius
        centres = middle[rng.integers(len(middle), size=number)] + rng.normal(
            0, spread, (number, 2)
        )
    dark = rng.uniform(0.8, 3)
    for cy, cx in centres:
        box = _box(side, cy, cx, radius + 2)
        if box is None:
            continue
        y, x = np.ogrid[box]
        distance = np.hypot(y - cy, x - cx).astype(np.float32)
        if is_ring and radius > 1.5:
            field[box] -= dark * _bar(distance - radius, 0.7)
        else:
            field[box] -= dark * np.clip(radius + 0.5 - distance, 0, 1)


def _add_fibres(field: Float32Array, rng: np.random.Generator) -> None:
    """Bundles of parallel lines."""
    side = len(field)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    turn = rng.uniform(0, math.pi)
    across = y * math.cos(turn) - x * math.sin(turn) + 3 * _cloud(side, rng, 60)
    lines = np.clip(2 * np.sin(2 * np.pi * across / _log_even(rng, 4, 16)) - 1, 0, 1)
    field -= rng.uniform(0.5, 1.5) * lines * (_cloud(side, rng, 90) > 0.3)
