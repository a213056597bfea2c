"""Light that a field has where no specimen is: glow, rims, seams, shadows, fringes, a meniscus.

Each function gives the share of the light that arrives, over a place in a field, as gradients and
dust do in :mod:`.empties`. None of it says how far the specimen is out of focus.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from microscope_quality.training.defocus.exposure import log_uniform

FloatArray = npt.NDArray[np.float32]
Shape = tuple[int, int]


def glow(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Give one or two wide bright blobs, as light from far out of focus or a reflex makes them."""
    light = np.ones(shape, np.float32)
    for _ in range(int(rng.integers(1, 3))):
        cy, cx = rng.uniform(-0.5, 1.5, size=2) * shape
        radius = log_uniform(rng, 25, 300)
        strength = log_uniform(rng, 0.05, 20)
        stretch = rng.uniform(0.6, 1.0)
        across, along = _turned(rng, shape, cy, cx)
        light += _float(
            strength * np.exp(-0.5 * ((across / radius) ** 2 + (along / (radius * stretch)) ** 2))
        )
    return light


def well_rim(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Give the edge of a well or a cover slip: dark beyond an arc, at times with a bright rim."""
    distance = _from_arc(rng, shape)
    softness = log_uniform(rng, 1.5, 40)
    depth = rng.uniform(0.1, 0.98)
    light = 1 - depth * _step(distance / softness)
    if rng.random() < 0.5:
        width = log_uniform(rng, 3, 40)
        light = light + rng.uniform(0.1, 2) * np.exp(-0.5 * (distance / width) ** 2)
    return _float(light)


def seam(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Give the seam between two chips, or two amplifiers, of a camera, or between two tiles."""
    axis = int(rng.integers(2))
    at = int(rng.integers(1, shape[axis]))
    light = np.ones(shape, np.float32)
    part = (slice(at, None), slice(None)) if axis == 0 else (slice(None), slice(at, None))
    light[part] *= np.float32(1 + rng.choice([-1, 1]) * log_uniform(rng, 0.005, 0.4))
    return light


def wide_shadow(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Give the wide shadow of something far from the specimen: a disc or a bar with a soft edge."""
    softness = log_uniform(rng, 5, 60)
    depth = rng.uniform(0.05, 0.8)
    if rng.random() < 0.5:
        cy, cx = rng.uniform(-0.3, 1.3, size=2) * shape
        across, along = _turned(rng, shape, cy, cx)
        distance = np.hypot(across, along * rng.uniform(0.5, 1)) - log_uniform(rng, 40, 300)
        return _float(1 - depth * _step(-distance / softness))
    across, _ = _turned(rng, shape, *(rng.uniform(0, 1, size=2) * shape))
    return _float(1 - depth * _step((log_uniform(rng, 8, 100) - np.abs(across)) / softness))


def vignetting(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Give the fall of light towards the corners of a field, of which the place is a part."""
    across, along = _turned(rng, shape, *(rng.uniform(-6, 7, size=2) * shape))
    reach = rng.uniform(4, 8) * max(shape)
    power = rng.uniform(2, 8)
    return _float(
        1 - rng.uniform(0.2, 0.9) * np.minimum(np.hypot(across, along) / reach, 1) ** power
    )


def interference(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Give fringes of coherent light: straight ones, or rings around a grain far away."""
    period = log_uniform(rng, 5, 140)
    depth = log_uniform(rng, 0.004, 0.4)
    cy, cx = rng.uniform(-1, 2, size=2) * shape
    across, along = _turned(rng, shape, cy, cx)
    if rng.random() < 0.5:
        bend = rng.uniform(-1, 1) / (40 * period)
        phase = (across + bend * along**2) / period
    else:
        phase = np.hypot(across, along) ** 2 / (period * rng.uniform(40, 200))
    light = 1 + depth * np.cos(2 * np.pi * phase + rng.uniform(0, 2 * np.pi))
    if rng.random() < 0.3:
        other, _ = _turned(rng, shape, cy, cx)
        light = light * (1 + depth * np.cos(2 * np.pi * other / log_uniform(rng, 5, 80)))
    return _float(light)


def meniscus(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Give the curved surface of the liquid at a wall: a dark band, and a bright one beside it."""
    distance = _from_arc(rng, shape)
    width = log_uniform(rng, 5, 60)
    shift = rng.uniform(0.8, 2.5) * width
    dark = rng.uniform(0.1, 0.9) * np.exp(-0.5 * (distance / width) ** 2)
    bright = rng.uniform(0.1, 1.5) * np.exp(-0.5 * ((distance - shift) / width) ** 2)
    slope = rng.uniform(0, 0.6) * _step(distance / (4 * width))
    return _float(np.maximum(1 - dark + bright - slope, 0))


STRUCTURES: dict[str, Callable[[np.random.Generator, Shape], FloatArray]] = {
    "glow": glow,
    "well_rim": well_rim,
    "seam": seam,
    "wide_shadow": wide_shadow,
    "vignetting": vignetting,
    "interference": interference,
    "meniscus": meniscus,
}
"""What gives each kind of structure."""

# Those that look most like something are drawn the most often.
_SHARES = {"glow": 2.0, "well_rim": 4.0, "wide_shadow": 2.0, "interference": 5.0, "meniscus": 2.0}
_CUMULATED = np.cumsum([_SHARES.get(kind, 0.75) for kind in STRUCTURES])


def structure(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Give one of `STRUCTURES`, seldom two at once."""
    kinds = list(STRUCTURES.values())

    def drawn() -> FloatArray:
        at = rng.random() * _CUMULATED[-1]
        return kinds[int(np.searchsorted(_CUMULATED, at, side="right"))](rng, shape)

    light = drawn()
    if rng.random() < 0.2:
        light = light * drawn()
    return light


def _turned(
    rng: np.random.Generator, shape: Shape, cy: float, cx: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give the pixels' places from a centre, along two axes at a random angle."""
    y, x = np.arange(shape[0]) - cy, np.arange(shape[1]) - cx
    angle = rng.uniform(0, 2 * math.pi)
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.add.outer(sine * y, cosine * x), np.add.outer(cosine * y, -sine * x)


def _from_arc(rng: np.random.Generator, shape: Shape) -> npt.NDArray[np.float64]:
    """Give the distance of the pixels from a wide arc through the field, negative on one side."""
    cy, cx = rng.uniform(0.1, 0.9, size=2) * shape
    across, along = _turned(rng, shape, cy, cx)
    radius = log_uniform(rng, 150, 5000)
    return np.hypot(across + radius, along) - radius


def _step(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give 0 far below 0 and 1 far above."""
    return 0.5 * (1 + np.tanh(x))


def _float(light: npt.NDArray[np.floating]) -> FloatArray:
    return np.asarray(light, np.float32)
