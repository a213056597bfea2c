"""A toy measure: an image is good when it is bright."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from microscope_quality.files.columns import Column
from microscope_quality.files.plane import Plane
from microscope_quality.measuring.measure import Measure, Result
from microscope_quality.statuses import Status

BRIGHT = Status("bright", "bright", "●", "#3cbeff", 0)
DARK = Status("dark", "dark", "○", "#f89045", 3)


@dataclass(frozen=True)
class Toy(Measure):
    """The mean of a plane, with a threshold."""

    name = "toy"
    title = "Brightness"
    statuses = (BRIGHT, DARK)
    value = "mean"
    good = "high"

    threshold: float = 100.0

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("mean", "number", "Mean", 1), Column("status"))

    @property
    def limit(self) -> float:
        return self.threshold

    def run(self, plane: Plane) -> Result:
        pixels = np.asarray(plane.array)
        mean = float(pixels.mean())
        status = BRIGHT if mean >= self.threshold else DARK
        height, width = pixels.shape
        row = {"width": width, "height": height, "status": status.key, "mean": mean}
        return Result(row, picture=partial(painted, pixels, status.colour))


def painted(pixels: np.ndarray, colour: str, max_side: int) -> np.ndarray:
    """Draw where it is brighter than on average, in the colour of its status."""
    step = -(-max(pixels.shape) // max_side)
    bright = (pixels > pixels.mean())[::step, ::step, np.newaxis]
    return np.where(bright, np.array([*bytes.fromhex(colour[1:])], np.uint8), np.uint8(0))
