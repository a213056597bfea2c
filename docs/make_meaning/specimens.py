"""Specimens, the microscope, and what is measured of its images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
import scipy.ndimage
from PIL import Image

from microscope_quality import FocusModel, FocusResult, Optics, measure_focus
from microscope_quality.degrade import Camera, defocus
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import filaments, nuclei

#: Texts of numbers, by their names; and with them what draws the picture of what was measured.
Numbers = dict[str, str]
Part = tuple[Numbers, Callable[[], Image.Image]]

SHAPE = (336, 336)
PHOTONS = 2000.0
# Own softness of the simulated specimens, the deviation of a Gaussian: with it they read as the
# real images in focus do that the model held out (part `real`).
SOFTNESS_PX = 1.3
FIELDS = 4
KINDS = ("nuclei", "filaments", "puncta")


@cache
def model() -> FocusModel:
    """Load the pretrained model once."""
    return FocusModel.from_pretrained()


def puncta(shape: tuple[int, int], n: int, seed: int) -> np.ndarray:
    """Simulate vesicles: points of differing brightness, at whole pixels."""
    rng = np.random.default_rng(seed)
    light = np.zeros(shape)
    places = tuple(rng.integers(length, size=n) for length in shape)
    np.add.at(light, places, rng.uniform(0.3, 1.0, n))
    return light


@cache
def specimen(
    kind: str,
    seed: int,
    softness_px: float = SOFTNESS_PX,
    scale: float = 1.0,
    fill: float = 1.0,
    shape: tuple[int, int] = SHAPE,
) -> np.ndarray:
    """Simulate a field: `scale` times finer pixels, `fill` times as many objects as usual."""
    share = fill * shape[0] * shape[1] / (336 * 336 * scale**2)
    if kind == "nuclei":
        light = nuclei(shape, round(36 * share), seed, diameter_px=(18 * scale, 32 * scale))
    elif kind == "filaments":
        light = filaments(shape, round(110 * share * scale), seed, width_px=1.2 * scale)
    else:
        light = puncta(shape, round(400 * share), seed)
    if softness_px:
        light = scipy.ndimage.gaussian_filter(light, softness_px * scale, mode="mirror")
    if kind == "puncta":
        light = light / np.percentile(light, 99.8)
    light.setflags(write=False)
    return light


@cache
def kernel(level: float, optics: Optics = TRAINING_OPTICS) -> np.ndarray:
    """Give the point spread function at a level, with the exact phase."""
    return psf(optics, float(optics.defocus_of_level(level)))


def blurred(light: np.ndarray, level: float, optics: Optics = TRAINING_OPTICS) -> np.ndarray:
    """Defocus to a level, which need not be whole."""
    return defocus(light, kernel(float(level), optics))


def taken(light: np.ndarray, seed: int, photons: float = PHOTONS) -> np.ndarray:
    """Expose with a background of 3 %; ``photons`` are those of a bright pixel of the object."""
    return Camera().expose(photons * (np.maximum(light, 0) + 0.03), seed)


def measured(plane: np.ndarray, **settings: Any) -> FocusResult:
    """Measure with the pretrained model."""
    return measure_focus(plane, model(), **settings)


def expected(planes: Iterable[np.ndarray], **settings: Any) -> np.ndarray:
    """Give the expected levels of planes."""
    return np.array([measured(plane, **settings).expected_level for plane in planes])


def judged(results: Sequence[FocusResult]) -> np.ndarray:
    """Give the levels that a user sees: NaN where there is said to be no content."""
    levels = [result.judged_level for result in results]
    return np.array([np.nan if level is None else level for level in levels])


def level_text(value: float) -> str:
    return f"{value + 0.0:.1f}".replace("-", "−")


def share_text(value: float) -> str:
    return f"{100 * value:.0f} %"


def certainty_text(value: float) -> str:
    return f"{value:.2f}"


def commonest(results: Sequence[FocusResult]) -> str:
    """Give the status that most results have."""
    statuses = [result.status for result in results]
    return max(sorted(set(statuses)), key=statuses.count)
