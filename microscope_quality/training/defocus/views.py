"""The kernels that regions of the stream are blurred with: one objective, or many of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from microscope_quality.light import kernel_blur_diameter_px
from microscope_quality.optics import (
    BLUR_PX_PER_LEVEL,
    WIDEST_FOCUS_LEVELS,
    Optics,
    added_blur,
)
from microscope_quality.training.defocus.exposure import log_uniform
from microscope_quality.training.defocus.microscope import IDEAL, Aberrations, Microscope
from microscope_quality.training.defocus.psfs import aberrated_psf

FloatArray = npt.NDArray[np.float64]

# Aperture and refractive index of the immersion, of objectives from 4× to 100×.
OBJECTIVES = (
    *((0.25, 1.0), (0.3, 1.0), (0.4, 1.0), (0.45, 1.0), (0.5, 1.0), (0.6, 1.0), (0.75, 1.0)),
    *((0.8, 1.0), (0.95, 1.0), (0.8, 1.33), (1.0, 1.33), (1.2, 1.33)),
    *((1.05, 1.47), (1.3, 1.47), (1.25, 1.515), (1.3, 1.515), (1.4, 1.515)),
)
# A pixel in units of λ/NA: 0.25 is Nyquist's, 0.65 that of `TRAINING_OPTICS`.
SAMPLINGS = (0.26, 0.65, 1.3)
WAVELENGTHS_UM = (0.44, 0.7)
SAMPLE_INDICES = (1.33, 1.46)
CONFOCAL_SHARE = 0.12
ABERRATED_SHARE = 0.35
# Of the objectives whose immersion is not the specimen's.
MISMATCHED_SHARE = 0.35


@dataclass(frozen=True)
class View:
    """How one region of the stream is seen, at whatever distance from focus.

    Attributes
    ----------
    microscope : Microscope
    aberrations : Aberrations
    depth_um, sample_index : float
        Of a specimen whose refractive index is not the immersion's; see :func:`.aberrated_psf`.
    confocal : bool
        The point spread function is squared, as if seen through a pinhole.
    offset : float
        Added to whole levels, so that the levels in between are seen too.
    by_light : bool
        A level is labelled by the light that its kernel spreads; else by its own number.
    """

    microscope: Microscope
    aberrations: Aberrations = IDEAL
    depth_um: float = 0.0
    sample_index: float = 1.33
    confocal: bool = False
    offset: float = 0.0
    by_light: bool = False

    @property
    def one_sided(self) -> bool:
        """Whether the two sides of focus look different."""
        return self.depth_um > 0 or self.aberrations.one_sided

    def kernel(self, level: int) -> FloatArray:
        """Give the kernel of a level, of either sign."""
        return self._kernel(math.copysign(self._nominal(level), level))

    def label(self, level: int) -> float:
        """Give the level that a network is to tell of that kernel.

        By light, it is the spread beyond that of the view in focus, both squared. What is wider in
        focus than `WIDEST_FOCUS_LEVELS` cannot be told from defocus, and the rest counts as such.
        """
        return _label(self, level) if self.by_light else float(abs(level))

    def _nominal(self, level: int) -> float:
        return max(0.0, abs(level) + self.offset) if self.by_light else float(abs(level))

    def _kernel(self, signed: float) -> FloatArray:
        if self.depth_um:
            kernel = aberrated_psf(
                self.microscope.optics,
                self.microscope.defocus_um(signed),
                depth_um=self.depth_um,
                sample_index=self.sample_index,
            )
        else:
            kernel = self.microscope.kernel(signed, self.aberrations)
        if self.confocal:
            kernel = kernel**2
            kernel /= kernel.sum()
        return kernel

    def spread(self, signed: float) -> float:
        """Give the blur diameter of a level's kernel, in levels."""
        if self.confocal or self.one_sided:
            return kernel_blur_diameter_px(self._kernel(signed)) / BLUR_PX_PER_LEVEL
        distance_um = abs(self.microscope.defocus_um(signed))
        return float(self.microscope.optics.level(distance_um))


@lru_cache(maxsize=8192)
def _label(view: View, level: int) -> float:
    spread = view.spread(math.copysign(view._nominal(level), level))
    return added_blur(spread, _in_focus(view), WIDEST_FOCUS_LEVELS)


@lru_cache(maxsize=512)
def _in_focus(view: View) -> float:
    return view.spread(0.0)


def draw_view(rng: np.random.Generator) -> View:
    """Draw an objective, its sampling and its faults: air, water, glycerol and oil, NA 0.25 to 1.4.

    Pixels are from Nyquist's to twice as coarse as those of `TRAINING_OPTICS`; a third of the
    objectives is aberrated, by the specimen's index (Gibson–Lanni) or by spherical aberration,
    astigmatism and coma of up to 0.1 waves; an eighth is confocal.
    """
    na, index = OBJECTIVES[int(rng.integers(len(OBJECTIVES)))]
    wavelength_um = float(rng.uniform(*WAVELENGTHS_UM))
    finest, usual, coarsest = SAMPLINGS
    if rng.random() < 0.5:
        sampling = log_uniform(rng, finest, coarsest)
    else:
        sampling = usual * log_uniform(rng, 0.75, 1.33)
    optics = Optics(na, index, wavelength_um, sampling * wavelength_um / na)
    microscope = Microscope(optics=optics, paraxial=False)
    aberrations, depth_um, sample_index = IDEAL, 0.0, 1.33
    chosen = rng.random()
    if index > 1.4 and chosen < MISMATCHED_SHARE:
        sample_index = float(rng.uniform(*SAMPLE_INDICES))
        depth_um = log_uniform(rng, 1.0, 15.0)
    elif chosen < ABERRATED_SHARE:
        spherical, astigmatism, coma = rng.uniform(0, [0.1, 0.06, 0.06]).tolist()
        aberrations = Aberrations(
            spherical_waves=spherical,
            astigmatism_waves=astigmatism if rng.random() < 0.5 else 0.0,
            astigmatism_deg=float(rng.uniform(0, 180)),
            coma_waves=coma if rng.random() < 0.5 else 0.0,
            coma_deg=float(rng.uniform(0, 360)),
        )
    if (aberrations.one_sided or depth_um) and rng.random() < 0.5:
        aberrations = replace(aberrations, side=-1)
    return View(
        microscope=microscope,
        aberrations=aberrations,
        depth_um=depth_um,
        sample_index=sample_index,
        confocal=bool(rng.random() < CONFOCAL_SHARE),
        offset=float(rng.uniform(-0.5, 0.5)) if rng.random() < 0.5 else 0.0,
        by_light=True,
    )
