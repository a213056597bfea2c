"""Sharp images as light, and the random exposures they are taken with."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality.degrade import Camera
from microscope_quality.errors import ImageError, SettingsError

FloatImage = npt.NDArray[np.float32]


def signal(plane: npt.ArrayLike) -> FloatImage:
    """Scale a sharp image to light: 0 at its background, 1 at its brightest percent.

    The background is the first percentile; the brightest percent is the mean of the top 1 % of
    the pixels. Pixels below the background give no light.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        Any real type, any unit.

    Returns
    -------
    ndarray of float32, shape (height, width)

    Raises
    ------
    ImageError
        If the image is not two-dimensional, not finite, or has no contrast.
    """
    values = np.asarray(plane, dtype=np.float32)
    if values.ndim != 2 or values.size == 0:
        raise ImageError(f"A sharp image has two dimensions; this one has shape {values.shape}.")
    if not np.isfinite(values).all():
        raise ImageError("A sharp image has finite pixels; this one has NaN or infinite ones.")
    n_brightest = max(1, values.size // 100)
    n_darkest = min(values.size - 1, values.size // 100)
    ordered = np.partition(values.ravel(), (n_darkest, values.size - n_brightest))
    background = float(ordered[n_darkest])
    brightest = float(ordered[-n_brightest:].mean(dtype=np.float64))
    if not brightest > background:
        raise ImageError("A sharp image shows something; this one has no contrast.")
    light: FloatImage = (values - np.float32(background)) / np.float32(brightest - background)
    return np.maximum(light, 0, out=light)


@dataclass(frozen=True)
class Exposure:
    """One way of taking an image.

    Attributes
    ----------
    photons : float
        Photoelectrons at the image's brightest percent, when it is sharp.
    background : float
        Uniform background, as a fraction of ``photons``.
    camera : Camera
        What records it.
    """

    photons: float
    background: float
    camera: Camera = field(default_factory=Camera)

    def take(self, light: npt.ArrayLike, seed: Any) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Record ``light`` (1 at the brightest percent of the sharp image) as grey levels."""
        expected = self.photons * (np.maximum(light, 0) + self.background)
        return self.camera.expose(expected, seed)

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as plain numbers."""
        return asdict(self)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform between those of ``low`` and ``high``."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def check_ranges(photons: tuple[float, float], background: tuple[float, float]) -> None:
    """Refuse ranges that no exposure can be drawn from.

    Raises
    ------
    SettingsError
        Unless 0 < low ≤ high for ``photons`` and 0 ≤ low ≤ high for ``background``.
    """
    for name, (low, high), lowest in (
        ("photons", photons, "above 0"),
        ("background", background, "0 or more"),
    ):
        positive = low > 0 or (low == 0 and name == "background")
        if not (positive and low <= high < math.inf):
            raise SettingsError(
                f"{name} must be a range, low to high, {lowest}; it is {low:g} to {high:g}."
            )


def draw_exposure(
    rng: np.random.Generator,
    *,
    photons: tuple[float, float] = (300.0, 20_000.0),
    background: tuple[float, float] = (0.0, 0.1),
    read_noise: tuple[float, float] = (0.5, 4.0),
    bit_depth: int = 16,
) -> Exposure:
    """Draw an exposure: photons log-uniform, background and read noise uniform.

    The camera's gain is chosen so that the brightest percent lies well inside its range, as a
    person would set the exposure: about half of the range in 8 bit, at most a quarter from 12 bit
    on.

    Parameters
    ----------
    photons : (low, high)
        Photoelectrons at the brightest percent.
    background : (low, high)
        Fraction of ``photons``.
    read_noise : (low, high)
        Electrons, root mean square.
    """
    drawn = log_uniform(rng, *photons)
    fraction = float(rng.uniform(*background))
    if bit_depth >= 12:
        headroom = drawn * (1 + fraction) / 2.0 ** (bit_depth - 2)
        per_level = max(log_uniform(rng, 0.5, 2.0), headroom)
        offset = float(rng.uniform(50, 300))
    else:
        per_level = drawn * (1 + fraction) / (2.0 ** (bit_depth - 1) * float(rng.uniform(0.6, 1.4)))
        offset = float(rng.uniform(0, 8))
    camera = Camera(
        photons_per_level=per_level,
        offset=offset,
        read_noise=float(rng.uniform(*read_noise)),
        bit_depth=bit_depth,
    )
    return Exposure(photons=drawn, background=fraction, camera=camera)
