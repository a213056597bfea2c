"""The microscope that a training set is simulated with: its optics, its faults, its kernels."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality.errors import SettingsError
from microscope_quality.optics import BLUR_PX_PER_LEVEL, N_LEVELS, TRAINING_OPTICS, Optics
from microscope_quality.psf import psf as bessel_psf
from microscope_quality.training.defocus.psfs import aberrated_psf, gibson_lanni_psf

FloatArray = npt.NDArray[np.float64]
Range = tuple[float, float]

BESSEL = "bessel"
GIBSON_LANNI = "gibson_lanni"
PSFS = (BESSEL, GIBSON_LANNI)

# Lowest and highest number of each range. Beyond half a wave there is no focus to be out of;
# a tilt of twice the levels goes from one end of the scale to the other and beyond.
_LIMITS = {
    "spherical_waves": (0.0, 0.5),
    "astigmatism_waves": (0.0, 0.5),
    "coma_waves": (0.0, 0.5),
    "depth_um": (0.0, 200.0),
    "tilt_levels": (0.0, 2.0 * (N_LEVELS - 1)),
    "vignetting": (0.0, 0.95),
    "saturation": (0.0, 0.5),
}


@dataclass(frozen=True)
class Aberrations:
    """What the kernels of one image depend on, beside the optics and the level.

    Attributes
    ----------
    spherical_waves, astigmatism_waves, coma_waves : float
        Waves root mean square.
    astigmatism_deg, coma_deg : float
        Angle of the aberration's axis, from the right towards the bottom.
    depth_um : float
        Depth of the plane in the specimen.
    side : int
        On which side of focus the image is defocused, 1 or -1; where it makes no difference, 1.
    """

    spherical_waves: float = 0.0
    astigmatism_waves: float = 0.0
    astigmatism_deg: float = 0.0
    depth_um: float = 0.0
    side: int = 1
    coma_waves: float = 0.0
    coma_deg: float = 0.0

    @property
    def one_sided(self) -> bool:
        """Whether the two sides of focus look different."""
        return self.depth_um > 0 or self.aberrated

    @property
    def aberrated(self) -> bool:
        """Whether the pupil has Zernike aberrations."""
        return self.spherical_waves > 0 or self.astigmatism_waves > 0 or self.coma_waves > 0


IDEAL = Aberrations()


@dataclass(frozen=True)
class Faults:
    """What else is not ideal in one image, and changes from place to place.

    Attributes
    ----------
    tilt_levels : float
        Difference of level from the lowest to the highest point of the field.
    tilt_deg : float
        Where it rises, from the right towards the bottom.
    vignetting : float
        Share of the light that is lost in the corners of the field.
    saturation : float
        Share of the pixels that are saturated.
    """

    tilt_levels: float = 0.0
    tilt_deg: float = 0.0
    vignetting: float = 0.0
    saturation: float = 0.0


@dataclass(frozen=True)
class Microscope:
    """A microscope, with the ranges that its faults are drawn from.

    A range is ``(low, high)``; each image, or each region of the stream, gets a value of its own,
    uniform between the two. ``(0, 0)``, the default, is a microscope without that fault.

    Attributes
    ----------
    optics : Optics
        Objective, light and sampling.
    paraxial : bool
        The published kernel, and the published levels of 2 µm, a step of the paraxial cone; else
        the exact phase, and levels by the light that defocus spreads farther than the focus does.
    psf : str
        ``"bessel"``: the diffraction integral of this library; ``"gibson_lanni"``: that of S. F.
        Gibson and F. Lanni, J. Opt. Soc. Am. A 9, 154 (1992), for a specimen whose refractive
        index is not the immersion's. It needs the library psfmodels, and is not paraxial.
    spherical_waves, astigmatism_waves, coma_waves : range
        Aberrations as Zernike terms of the pupil, in waves root mean square, 0 to 0.5; only with
        ``"bessel"``.
    depth_um : range
        How deep in the specimen the plane lies, in µm, 0 to 200; only with ``"gibson_lanni"``.
    sample_index : float
        Refractive index of the specimen; only with ``"gibson_lanni"``.
    tilt_levels : range
        Difference of defocus level from the lowest to the highest point of the field, 0 to 20.
    vignetting : range
        Share of the light that is lost in the corners of the field, 0 to 0.95.
    saturation : range
        Share of the pixels that are saturated, 0 to 0.5.

    Raises
    ------
    SettingsError
        If a value is out of its range, or two exclude each other.
    """

    optics: Optics = field(default_factory=lambda: TRAINING_OPTICS)
    paraxial: bool = False
    psf: str = BESSEL
    spherical_waves: Range = (0.0, 0.0)
    astigmatism_waves: Range = (0.0, 0.0)
    depth_um: Range = (0.0, 0.0)
    sample_index: float = 1.33
    tilt_levels: Range = (0.0, 0.0)
    vignetting: Range = (0.0, 0.0)
    saturation: Range = (0.0, 0.0)
    coma_waves: Range = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not isinstance(self.optics, Optics):
            raise SettingsError(f"optics must be an Optics, not {self.optics!r}.")
        if not isinstance(self.paraxial, (bool, np.bool_)):
            raise SettingsError(f"paraxial must be true or false, not {self.paraxial!r}.")
        if self.psf not in PSFS:
            raise SettingsError(f"psf must be {' or '.join(PSFS)}, not {self.psf!r}.")
        for name, (lowest, highest) in _LIMITS.items():
            object.__setattr__(self, name, _range(name, getattr(self, name), lowest, highest))
        index = self.sample_index
        if isinstance(index, bool) or not isinstance(index, numbers.Real) or not 1 <= index <= 2:
            raise SettingsError(f"sample_index must be a number from 1 to 2, not {index!r}.")
        object.__setattr__(self, "sample_index", float(index))
        if self.psf == GIBSON_LANNI:
            if self.paraxial:
                raise SettingsError("The Gibson-Lanni PSF is not paraxial: set paraxial to false.")
            if self.aberrated:
                raise SettingsError(
                    "spherical_waves, astigmatism_waves and coma_waves go with the PSF bessel; "
                    "with gibson_lanni the aberration follows from depth_um and sample_index."
                )
        elif self.depth_um != (0.0, 0.0):
            raise SettingsError("depth_um goes with the PSF gibson_lanni; bessel has no specimen.")

    @property
    def aberrated(self) -> bool:
        """Whether its pupil has Zernike aberrations."""
        waves = (self.spherical_waves, self.astigmatism_waves, self.coma_waves)
        return any(drawn != (0.0, 0.0) for drawn in waves)

    def defocus_um(self, level: float) -> float:
        """Give the distance from focus of a level, in µm, with the level's sign."""
        if self.paraxial:
            diameter_px = BLUR_PX_PER_LEVEL * abs(level)
            distance_um = self.optics.defocus_of_cone(diameter_px, paraxial=True)
        else:
            distance_um = self.optics.defocus_of_added_blur(BLUR_PX_PER_LEVEL * abs(level))
        return math.copysign(distance_um, level)

    def kernel(self, level: float, aberrations: Aberrations = IDEAL) -> FloatArray:
        """Give the kernel that defocuses an image to a level.

        Parameters
        ----------
        level : float
            With the sign of the defocus, which matters when there are aberrations.
        aberrations : Aberrations
            From `draw_aberrations`.

        Returns
        -------
        ndarray of float64
            Square with an odd side, non-negative, with sum 1; kept, and not to be written to.

        Raises
        ------
        OpticsError
            If the kernel would have more than 1023 pixels on a side.
        SettingsError
            If the library for a Gibson-Lanni PSF is missing.
        """
        if not aberrations.one_sided:
            level = abs(level)
        return _kernel(self, float(level), aberrations)

    def draw_aberrations(self, rng: np.random.Generator) -> Aberrations:
        """Draw what an image's kernels depend on; nothing is drawn where there is no choice."""
        spherical = _drawn(rng, self.spherical_waves)
        astigmatism = _drawn(rng, self.astigmatism_waves)
        coma = _drawn(rng, self.coma_waves)
        drawn = Aberrations(
            spherical_waves=spherical,
            astigmatism_waves=astigmatism,
            astigmatism_deg=float(rng.uniform(0, 180)) if astigmatism > 0 else 0.0,
            depth_um=_drawn(rng, self.depth_um),
            coma_waves=coma,
            coma_deg=float(rng.uniform(0, 360)) if coma > 0 else 0.0,
        )
        if drawn.one_sided and rng.random() < 0.5:
            drawn = replace(drawn, side=-1)
        return drawn

    def draw_faults(self, rng: np.random.Generator) -> Faults:
        """Draw an image's other faults; nothing is drawn where there is no choice."""
        tilt = _drawn(rng, self.tilt_levels)
        return Faults(
            tilt_levels=tilt,
            tilt_deg=float(rng.uniform(0, 360)) if tilt > 0 else 0.0,
            vignetting=_drawn(rng, self.vignetting),
            saturation=_drawn(rng, self.saturation),
        )


@lru_cache(maxsize=512)
def _kernel(microscope: Microscope, level: float, aberrations: Aberrations) -> FloatArray:
    optics, paraxial = microscope.optics, microscope.paraxial
    distance_um = microscope.defocus_um(level)
    if microscope.psf == GIBSON_LANNI:
        depth_um, sample_index = aberrations.depth_um, microscope.sample_index
        kernel = gibson_lanni_psf(optics, distance_um, depth_um=depth_um, sample_index=sample_index)
    elif aberrations.one_sided:
        kernel = aberrated_psf(
            optics,
            distance_um,
            spherical_waves=aberrations.spherical_waves,
            astigmatism_waves=aberrations.astigmatism_waves,
            astigmatism_deg=aberrations.astigmatism_deg,
            coma_waves=aberrations.coma_waves,
            coma_deg=aberrations.coma_deg,
            paraxial=paraxial,
        )
    else:
        kernel = bessel_psf(optics, distance_um, paraxial=paraxial)
    kernel.flags.writeable = False
    return kernel


def _drawn(rng: np.random.Generator, values: Range) -> float:
    return float(rng.uniform(*values)) if values[0] < values[1] else values[0]


def _range(name: str, value: Any, lowest: float, highest: float) -> Range:
    """Check a range and give it as a tuple of floats."""
    said = f"{name} must be a range, low to high, from {lowest:g} to {highest:g}; it is {value!r}."
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise SettingsError(said)
    if any(isinstance(end, bool) or not isinstance(end, numbers.Real) for end in value):
        raise SettingsError(said)
    low, high = float(value[0]), float(value[1])
    if not lowest <= low <= high <= highest:
        raise SettingsError(said)
    return low, high
