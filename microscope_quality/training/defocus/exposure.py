"""Sharp images as light, and the random exposures they are taken with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality.degrade import Camera
from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.training.architectures import PATCH_SIZE

FloatArray = npt.NDArray[np.float32]
# Gives normal deviates of a shape.
Normal = Callable[[tuple[int, ...]], FloatArray]


def signal(plane: npt.ArrayLike) -> FloatArray:
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
    light: FloatArray = (values - np.float32(background)) / np.float32(brightest - background)
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

    def take(
        self, light: npt.ArrayLike, seed: Any, *, transmission: npt.ArrayLike | None = None
    ) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Record light as grey levels.

        Parameters
        ----------
        light : array_like
            1 at the brightest percent of the sharp image.
        seed : int, SeedSequence or Generator
            Of the noise.
        transmission : array_like, optional
            Share of light and background that arrives, as of a vignetted field.
        """
        return self.camera.expose(self.expected(light, transmission), seed)

    def expected(
        self, light: npt.ArrayLike, transmission: npt.ArrayLike | None = None
    ) -> npt.NDArray[np.floating[Any]]:
        """Give the photoelectrons that `take` expects of each pixel."""
        photons = self.photons * (np.maximum(light, 0) + self.background)
        return photons if transmission is None else photons * np.asarray(transmission)

    def saturating(
        self, light: npt.ArrayLike, share: float, *, transmission: npt.ArrayLike | None = None
    ) -> Exposure:
        """Give the exposure whose gain takes a share of the pixels to the camera's largest number.

        Parameters
        ----------
        light, transmission
            As for `take`.
        share : float
            Of the pixels, 0 or more; with 0 the exposure stays as it is.

        Returns
        -------
        Exposure
        """
        if share <= 0:
            return self
        full = float(np.quantile(self.expected(light, transmission), 1 - share))
        levels = 2**self.camera.bit_depth - 1 - self.camera.offset
        camera = replace(self.camera, photons_per_level=max(full, 1.0) / levels)
        return replace(self, camera=camera)


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
) -> Exposure:
    """Draw an exposure with a camera of 16 bit: photons log-uniform, background uniform.

    The camera's gain is chosen so that the brightest percent lies well inside its range, as a
    person would set the exposure: at most at a quarter of it.

    Parameters
    ----------
    photons : (low, high)
        Photoelectrons at the brightest percent.
    background : (low, high)
        Fraction of ``photons``.
    """
    drawn = log_uniform(rng, *photons)
    fraction = float(rng.uniform(*background))
    camera = Camera(
        photons_per_level=max(log_uniform(rng, 0.5, 2.0), drawn * (1 + fraction) / 2.0**14),
        offset=float(rng.uniform(50, 300)),
        # Electrons, root mean square.
        read_noise=float(rng.uniform(0.5, 4.0)),
        bit_depth=16,
    )
    return Exposure(photons=drawn, background=fraction, camera=camera)


@dataclass(frozen=True)
class Recording:
    """The cameras that patches are recorded with.

    Attributes
    ----------
    patch_size : int
        Pixels on a side.
    read_noise : range
        Electrons, root mean square.
    eight_bit_fraction : float
        Patches recorded with few grey levels.
    saturated_fraction : float
        Patches whose brightest pixels are cut off, beside what the microscope saturates.
    """

    patch_size: int = PATCH_SIZE
    read_noise: tuple[float, float] = (0.5, 6.0)
    eight_bit_fraction: float = 0.4
    saturated_fraction: float = 0.1


class NormalNoise:
    """Normal deviates out of a pool of a million, drawn once and taken at random places.

    Drawing them afresh for each patch would take as long as all else in the stream together.
    """

    SIZE = 1 << 20

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._pool = rng.standard_normal(self.SIZE, dtype=np.float32)

    def __call__(self, shape: tuple[int, ...]) -> FloatArray:
        """Give an array of deviates; a view that must not be written to."""
        count = int(np.prod(shape))
        start = int(self._rng.integers(self.SIZE - count))
        return self._pool[start : start + count].reshape(shape)


def photoelectrons(
    rng: np.random.Generator, normal: Normal, expected: npt.NDArray[Any]
) -> FloatArray:
    """Draw Poisson counts; where 4 or more are expected, by the Cornish-Fisher expansion.

    ``λ + √(λ − 5/36)·z + (z² − 1)/6`` of a normal z, rounded, has the mean and the variance, and
    to order 1/λ the skewness, of the Poisson distribution, and takes a tenth of the time.
    """
    expected = expected.astype(np.float32)
    noise = normal(expected.shape)
    counts = np.square(noise)
    counts -= 1
    counts *= np.float32(1 / 6)
    counts += noise * np.sqrt(np.maximum(expected - np.float32(5 / 36), 0))
    counts += expected
    np.rint(counts, out=counts)
    few = expected < 4
    if few.any():
        counts[few] = rng.poisson(expected[few])
    return counts


def digitise(
    rng: np.random.Generator,
    normal: Normal,
    electrons: FloatArray,
    recording: Recording,
    *,
    saturation: float = 0.0,
    least_levels: float = 10.0,
) -> FloatArray:
    """Add read noise and turn electrons into grey levels of a random camera.

    Parameters
    ----------
    rng : Generator
    normal : callable
        Gives normal deviates of a shape; a NormalNoise.
    electrons : ndarray of float32, shape (height, width)
    recording : Recording
        What the camera is drawn from.
    saturation : float
        Share of the pixels that the microscope saturates.
    least_levels : float
        With few grey levels, the brightest pixel has so many or more.

    Returns
    -------
    ndarray of float32, shape (height, width)
        Whole grey levels, to 255 or to 65535.
    """
    electrons = electrons + np.float32(rng.uniform(*recording.read_noise)) * normal(electrons.shape)
    if saturation > 0:
        np.minimum(electrons, np.float32(np.quantile(electrons, 1 - saturation)), out=electrons)
    top = float(electrons.max())
    if rng.random() < recording.saturated_fraction:
        bottom = max(0.0, float(electrons.min()))
        top = bottom + (top - bottom) * float(rng.uniform(0.5, 1.0))
        np.minimum(electrons, np.float32(top), out=electrons)
    if rng.random() < recording.eight_bit_fraction:
        levels = log_uniform(rng, min(least_levels, 250), 255)
        electrons *= np.float32(levels / max(top, 1.0))
        electrons += np.float32(rng.uniform(0, 5))
        largest = 255
    else:
        electrons *= np.float32(log_uniform(rng, 0.5, 2.0))
        electrons += np.float32(rng.uniform(50, 300))
        largest = 65535
    np.rint(electrons, out=electrons)
    return np.clip(electrons, 0, largest, out=electrons)
