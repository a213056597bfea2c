"""Where in an image patches lie that are worth looking at: random places that are not empty."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Places that are looked at for each that is wanted, and at least.
_TRIES, _FEWEST_TRIES = 6, 24
# A patch is brought to blocks of this many along a side, in which noise has little part.
_BLOCKS = 32
# Variance of blocks, in that of noise alone, above which there is structure.
_BEYOND_NOISE = 1.5
# Structure below this share of that of the image's richer places is empty resin or glass.
_LEAST_SHARE = 0.25
_RICH = 90


def patch_places(
    plane: Any, size: int, number: int, *, name: str, seed: int = 0
) -> list[tuple[int, int]]:
    """Choose places of an image at random, but for those without structure.

    The first ones stay the same when more are asked for.

    Parameters
    ----------
    plane : (height, width) array
        Of any integer or float type, or what gives arrays for pairs of slices; at least `size`
        along both sides.
    size : int
        Side of a patch in pixels.
    number : int
        How many are wanted.
    name : str
        Of the image; with the seed it determines the places.
    seed : int

    Returns
    -------
    list of (int, int)
        Upper left pixels, at most `number`; those that overlap come last.
    """
    height, width = plane.shape
    digest = hashlib.sha256(f"{seed}\0{size}\0{name}".encode("utf-8", "surrogateescape")).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16], "little"))
    drawn: list[tuple[int, int]] = []
    strengths: list[float] = []

    def draw(tries: int) -> None:
        while len(drawn) < tries:
            y, x = (int(rng.integers(0, length - size + 1)) for length in (height, width))
            drawn.append((y, x))
            strengths.append(structure(np.asarray(plane[y : y + size, x : x + size])))

    draw(_FEWEST_TRIES)
    # Of the first ones alone, so that it stays when there are more.
    least = _LEAST_SHARE * float(np.percentile(strengths, _RICH))
    draw(max(_FEWEST_TRIES, _TRIES * number))
    apart: list[tuple[int, int]] = []
    over: list[tuple[int, int]] = []
    for (y, x), strength in zip(drawn, strengths):
        if strength <= 0 or strength < least or (y, x) in (*apart, *over):
            continue
        is_apart = all(abs(y - v) >= size or abs(x - u) >= size for v, u in apart)
        (apart if is_apart else over).append((y, x))
    return [*apart, *over][:number]


def structure(patch: NDArray[Any]) -> float:
    """Give the spread of grey values in a patch beyond that of white noise and of a slope of light.

    Parameters
    ----------
    patch : (height, width) array
        Of any integer or float type; what is not finite counts as 0.

    Returns
    -------
    float
        In grey values; 0 where there is nothing else.
    """
    pixels = np.nan_to_num(np.asarray(patch, np.float64), nan=0, posinf=0, neginf=0)
    side = max(1, min(pixels.shape) // _BLOCKS)
    rows, columns = (length // side for length in pixels.shape)
    if rows * columns < 4:
        return float(pixels.std())
    cut = pixels[: rows * side, : columns * side]
    blocks = cut.reshape(rows, side, columns, side).mean(axis=(1, 3))
    # Half the mean square of a neighbours' difference is the noise's variance, or a little more.
    of_noise = min(float(np.mean(np.diff(pixels, axis=axis) ** 2)) / 2 for axis in (0, 1))
    v, u = (np.linspace(-1, 1, length) for length in (rows, columns))
    down, across = np.meshgrid(v, u, indexing="ij")
    left = blocks - blocks.mean()
    for slope in (down, across):
        if power := float(np.sum(slope**2)):
            left = left - slope * (float(np.sum(left * slope)) / power)
    beyond = float(left.var()) - _BEYOND_NOISE * of_noise / side**2
    # Rounding alone gives a constant patch some.
    return float(np.sqrt(beyond)) if beyond > 1e-12 * max(1.0, float(blocks.mean()) ** 2) else 0.0
