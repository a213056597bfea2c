"""Fields without a specimen that are not even: light, glass and cameras make structure by itself.

Each function draws one field of a kind; none shares code or parameters with what training makes.
Each gives light, 1 where nothing is in its way; `exposed` takes the picture.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

import numpy as np
import numpy.typing as npt

from microscope_quality.degrade import Camera

FloatArray = npt.NDArray[np.float64]
Shape = Tuple[int, int]
Kind = Callable[[np.random.Generator, Shape], FloatArray]


def _uniform_log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _axes(shape: Shape) -> Tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return y.astype(float), x.astype(float)


def glow(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Add light that no specimen in focus gives.

    It leaks in at a border and falls off exponentially, as an amplifier's does; or it is a wide
    reflex within the field, with long tails.
    """
    y, x = _axes(shape)
    if rng.random() < 0.5:
        cy, cx = (length * rng.uniform(0.05, 0.95) for length in shape)
        radius = rng.uniform(55, 240)
        squared = ((y - cy) ** 2 + (x - cx) ** 2 * rng.uniform(0.6, 1.6)) / radius**2
        reflex: FloatArray = 1 + _uniform_log(rng, 0.1, 10.0) / (1 + squared) ** 2
        return reflex
    angle = rng.uniform(0, 2 * np.pi)
    reach = 0.5 * max(shape) * rng.uniform(1.0, 1.4)
    cy = 0.5 * shape[0] + reach * np.sin(angle)
    cx = 0.5 * shape[1] + reach * np.cos(angle)
    length = rng.uniform(90, 350)
    strength = _uniform_log(rng, 0.2, 4.0)
    light: FloatArray = 1 + strength * np.exp(-np.hypot(y - cy, x - cx) / length)
    return light


def well_rim(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Darken what lies beyond a large circle, the wall of a well far from the focal plane."""
    y, x = _axes(shape)
    radius = rng.uniform(700, 3000)
    angle = rng.uniform(0, 2 * np.pi)
    # The wall crosses the field within its middle two thirds.
    away = radius - rng.uniform(-0.33, 0.33) * min(shape)
    distance = np.hypot(
        y - 0.5 * shape[0] - away * np.sin(angle), x - 0.5 * shape[1] - away * np.cos(angle)
    )
    width = rng.uniform(25, 110)
    behind = rng.uniform(0.05, 0.6)
    share = 1 / (1 + np.exp(np.clip((distance - radius) / (0.25 * width), -50, 50)))
    # Glass reflects: the wall itself is a little brighter than the well.
    ridge = rng.uniform(0, 0.3) * np.exp(-0.5 * ((distance - radius) / (0.5 * width)) ** 2)
    light: FloatArray = behind + (1 - behind) * share + ridge
    return light


def seam(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Step at the line where the halves of a camera's chip meet, read out by two amplifiers."""
    axis = int(rng.integers(2))
    place = int(shape[axis] * rng.uniform(0.2, 0.8))
    light = np.ones(shape)
    step = _uniform_log(rng, 0.004, 0.12) * rng.choice((-1, 1))
    half = (slice(place, None), slice(None)) if axis == 0 else (slice(None), slice(place, None))
    light[half] += step
    return light


def wide_shadow(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Darken a wide region, as a bubble, a fibre or a clip far from the specimen does.

    It is an ellipse that darkens towards its middle, or a band with soft edges.
    """
    y, x = _axes(shape)
    angle = rng.uniform(0, np.pi)
    cy, cx = (rng.uniform(0, length) for length in shape)
    u = (y - cy) * np.sin(angle) + (x - cx) * np.cos(angle)
    v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    depth = rng.uniform(0.05, 0.7)
    if rng.random() < 0.5:
        half, edge = rng.uniform(35, 130), rng.uniform(25, 90)
        inside = 1 / (1 + np.exp(np.clip(4 * (np.abs(v) - half) / edge, -50, 50)))
        band: FloatArray = 1 - depth * inside
        return band
    along, across = rng.uniform(120, 500), rng.uniform(70, 180)
    light: FloatArray = 1 - depth * np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    return light


def vignetting(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Darken by the fourth power of the cosine, of a field that ends close to the corners."""
    y, x = _axes(shape)
    cy, cx = (length * rng.uniform(0.3, 0.7) for length in shape)
    radius = np.hypot(y - cy, x - cx)
    cosine = 1 / np.sqrt(1 + (radius * rng.uniform(0.2, 0.8) / (0.5 * max(shape))) ** 2)
    light: FloatArray = cosine**4
    return light


def interference(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Make fringes of a laser or of a thin film: straight, or rings about a far centre."""
    y, x = _axes(shape)
    period = rng.uniform(14, 130)
    depth = _uniform_log(rng, 0.005, 0.1)
    angle = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.5:
        phase = (y * np.sin(angle) + x * np.cos(angle)) / period
    else:
        far = rng.uniform(1.0, 4.0) * max(shape)
        phase = np.hypot(y + far * np.sin(angle), x + far * np.cos(angle)) / period
    light: FloatArray = 1 + depth * np.sin(2 * np.pi * (phase + rng.random()))
    return light


def dust(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Cast shadows of grains on a window near the camera: wide discs, some with a bright middle."""
    y, x = _axes(shape)
    light = np.ones(shape)
    for _ in range(int(rng.integers(2, 9))):
        cy, cx = (rng.uniform(0, length) for length in shape)
        radius = rng.uniform(18, 70)
        soft = radius * rng.uniform(0.15, 0.5)
        distance = np.hypot(y - cy, x - cx)
        depth = _uniform_log(rng, 0.004, 0.06)
        shadow = 1 / (1 + np.exp(np.clip((distance - radius) / (0.5 * soft), -50, 50)))
        if rng.random() < 0.6:
            inner = rng.uniform(0.2, 0.6) * radius
            shadow -= rng.uniform(0.5, 1.0) * np.exp(-0.5 * (distance / inner) ** 2)
        light *= 1 - depth * shadow
    return light


def meniscus(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Bend light away where the liquid's surface climbs the wall, or towards a line beside it."""
    y, x = _axes(shape)
    angle = rng.uniform(0, 2 * np.pi)
    along = (y - 0.5 * shape[0]) * np.sin(angle) + (x - 0.5 * shape[1]) * np.cos(angle)
    length = rng.uniform(60, 300)
    lost = rng.uniform(0.2, 0.9)
    light: FloatArray = 1 - lost * np.exp((along - along.max()) / length)
    if rng.random() < 0.5:
        # Of a bent beam, what is missing at one place arrives at another.
        place, width = rng.uniform(0.1, 0.8) * along.max(), rng.uniform(20, 70)
        moved = (along - place) / width
        light = light * (1 - rng.uniform(0.1, 0.5) * moved * np.exp(0.5 - 0.5 * moved**2))
    return light


KINDS: Dict[str, Kind] = {
    "glow": glow,
    "well rim": well_rim,
    "seam of two chips": seam,
    "wide shadow": wide_shadow,
    "vignetting": vignetting,
    "interference": interference,
    "dust": dust,
    "meniscus": meniscus,
}
"""The kinds, by what they are called."""


def exposed(light: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Take a picture of an empty field by some camera, at 20 to 8,000 photoelectrons.

    The camera counts an electron or two for each grey level, so that no step of its numbers is
    seen in what is smooth.
    """
    camera = Camera(
        photons_per_level=rng.uniform(0.3, 1.0),
        offset=rng.uniform(50, 400),
        read_noise=rng.uniform(1.0, 6.0),
    )
    electrons = _uniform_log(rng, 20, 8000)
    return camera.expose(electrons * light, rng).astype(np.uint16)


def empty_field(kind: str, number: int, shape: Shape, seed: int = 20_260) -> npt.NDArray[np.uint16]:
    """Make a field of a kind; the same number gives the same field."""
    rng = np.random.default_rng((seed, sorted(KINDS).index(kind), number))
    light = KINDS[kind](rng, shape)
    if rng.random() < 0.5:
        # No lamp lights a field evenly.
        y, x = _axes(shape)
        down, across = rng.uniform(-0.1, 0.1, 2)
        light = light * (1 + down * y / shape[0] + across * x / shape[1])
    return exposed(light, rng)
