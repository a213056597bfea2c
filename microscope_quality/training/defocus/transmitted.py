"""Images in transmitted light: brightfield, phase contrast and differential interference contrast.

A thin specimen changes the amplitude and the phase of the light that passes. The angular spectrum
carries the field of each point of the lamp's image through the objective and to the plane that is
in focus; the intensities of these fields add up (J. W. Goodman, *Introduction to Fourier Optics*,
3rd edition, 2005, sections 3.10 and 6.1; for partial coherence, H. H. Hopkins, Proc. R. Soc. A
217, 408 (1953)). So defocus makes fringes, and reverses contrast, as it does in a microscope.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from microscope_quality.optics import Optics

FloatArray = npt.NDArray[np.float32]
ComplexArray = npt.NDArray[np.complex64]

BRIGHTFIELD = "brightfield"
PHASE_CONTRAST = "phase_contrast"
DIC = "dic"
CONTRASTS = (BRIGHTFIELD, PHASE_CONTRAST, DIC)

# Of the phase ring, over the radius of the pupil.
RING_HALF_WIDTH = 0.04

_GOLDEN = math.pi * (3 - math.sqrt(5))


@dataclass(frozen=True)
class TransmittedLight:
    """A way of illuminating a thin specimen, and of seeing it.

    Attributes
    ----------
    contrast : str
        ``"brightfield"``, ``"phase_contrast"`` or ``"dic"``.
    optics : Optics
        With pixels of at most λ/(2·NA), so that the field is sampled well enough.
    coherence : float
        Aperture of the condenser over that of the objective; of phase contrast, the radius of the
        ring.
    absorption, phase : float
        What the brightest part of the specimen's light stands for: absorbance of the amplitude, and
        phase in radians.
    sign : int
        1 or -1: of the phase ring's shift, or of the side of focus.
    shear_px, shear_deg, bias : float
        Of differential interference contrast: distance of the two images, its direction, and the
        phase between them in radians.
    points : int
        Points that stand for the lamp's image in the condenser.
    """

    contrast: str
    optics: Optics
    coherence: float
    absorption: float
    phase: float
    sign: int = 1
    shear_px: float = 1.0
    shear_deg: float = 45.0
    bias: float = 0.7
    points: int = 16

    def image(self, spectrum: ComplexArray, defocus_um: float) -> FloatArray:
        """Give the light of the specimen at a distance from focus.

        Parameters
        ----------
        spectrum : ndarray of complex64, shape (side, side)
            From :meth:`spectrum`.
        defocus_um : float
            With its sign.

        Returns
        -------
        ndarray of float32, shape (side, side)
            1 where there is nothing; the field repeats itself at its borders.
        """
        side = len(spectrum)
        optics = self.optics
        frequency = np.fft.fftfreq(side).astype(np.float32)
        cutoff = optics.na * optics.pixel_size_um / optics.wavelength_um
        # Of the direction of a wave, from its cycles for a pixel.
        sine = optics.wavelength_um / (optics.refractive_index * optics.pixel_size_um)
        wave_number = 2 * math.pi * optics.refractive_index / optics.wavelength_um
        found = np.zeros((side, side), np.float32)
        reference = 0.0
        for y, x in self._source(cutoff):
            fy, fx = frequency + np.float32(y), frequency + np.float32(x)
            squared = np.add.outer(fy * fy, fx * fx)
            inside = squared <= np.float32(cutoff**2)
            squared = squared[inside]
            path = np.sqrt(np.maximum(1 - squared * np.float32(sine**2), 0)) - 1
            phase = np.float32(wave_number * defocus_um) * path
            turn = np.empty(phase.shape, np.complex64)
            turn.real, turn.imag = np.cos(phase), np.sin(phase)
            if self.contrast == PHASE_CONTRAST:
                turn[self._in_ring(squared, cutoff)] *= np.complex64(0.5j * self.sign)
            passed = np.zeros(spectrum.shape, np.complex64)
            passed[inside] = spectrum[inside] * turn
            field = scipy.fft.ifft2(passed, overwrite_x=True)
            found += field.real**2 + field.imag**2
            reference += self._background(y, x, cutoff)
        found /= np.float32(max(reference, 1e-9))
        return found

    def blur_diameter_px(self, defocus_um: float) -> float:
        """Give the width over which defocus spreads what is seen.

        Light of one direction does not blur; it makes fringes. So the width is that of the lamp's
        cone, a part of the objective's, together with that of a point's central Fresnel zone,
        ``1.5·√(λ·z/n)``, and of the focus; and never more than the objective's own blur.
        """
        optics = self.optics
        whole = float(optics.blur_diameter_px(defocus_um))
        zone_um = 1.5 * math.sqrt(optics.wavelength_um * abs(defocus_um) / optics.refractive_index)
        in_focus = float(optics.blur_diameter_px(0.0))
        parts = (self.coherence * whole, zone_um / optics.pixel_size_um, in_focus)
        return min(whole, math.hypot(*parts))

    def spectrum(self, light: npt.NDArray[np.floating]) -> ComplexArray:
        """Give the spectrum of the field behind a specimen.

        Parameters
        ----------
        light : ndarray, shape (side, side)
            A sharp image as light, 1 at its brightest percent: how much of the specimen there is.
        """
        amount = np.minimum(light, 2).astype(np.float32)
        field = np.exp(np.complex64(-self.absorption + 1j * self.phase) * amount)
        spectrum: ComplexArray = scipy.fft.fft2(field.astype(np.complex64))
        if self.contrast == DIC:
            frequency = np.fft.fftfreq(len(light)).astype(np.float32)
            angle = math.radians(self.shear_deg)
            along = np.add.outer(math.sin(angle) * frequency, math.cos(angle) * frequency)
            # The difference of two images, each displaced by half of the shear.
            spectrum = spectrum * (2 * np.sin(math.pi * self.shear_px * along + 0.5 * self.bias))
        return spectrum.astype(np.complex64)

    def _source(self, cutoff: float) -> list[tuple[float, float]]:
        """Give points of the condenser's aperture, in cycles for a pixel."""
        radius = cutoff * self.coherence
        if self.contrast == PHASE_CONTRAST:
            turns = 2 * math.pi * (np.arange(self.points) + 0.3) / self.points
            return [(radius * math.sin(turn), radius * math.cos(turn)) for turn in turns]
        # H. Vogel, Mathematical Biosciences 44, 179 (1979): points that fill a disc evenly.
        number = np.arange(self.points)
        radii = radius * np.sqrt((number + 0.5) / self.points)
        return [
            (r * math.sin(turn), r * math.cos(turn))
            for r, turn in zip(radii.tolist(), (_GOLDEN * number).tolist())
        ]

    def _in_ring(self, squared: FloatArray, cutoff: float) -> npt.NDArray[np.bool_]:
        """Tell where the ring is that takes three quarters of the direct light and shifts it."""
        half = RING_HALF_WIDTH * cutoff
        ring: npt.NDArray[np.bool_] = np.abs(np.sqrt(squared) - cutoff * self.coherence) <= half
        return ring

    def _background(self, y: float, x: float, cutoff: float) -> float:
        """Give the intensity that a point of the source leaves where there is no specimen."""
        squared = y * y + x * x
        if squared > cutoff**2:
            return 0.0
        if self.contrast == PHASE_CONTRAST:
            return 0.25
        if self.contrast == DIC:
            return 4 * math.sin(0.5 * self.bias) ** 2
        return 1.0


def draw_transmitted(rng: np.random.Generator) -> TransmittedLight:
    """Draw a way of seeing a specimen in transmitted light, as laboratories have them."""
    contrast = CONTRASTS[int(rng.choice(3, p=[0.5, 0.25, 0.25]))]
    na, index = [(0.3, 1.0), (0.4, 1.0), (0.5, 1.0), (0.6, 1.0), (0.75, 1.0), (0.95, 1.0)][
        int(rng.integers(6))
    ]
    wavelength = float(rng.uniform(0.5, 0.65))
    # In cycles for a pixel the objective passes up to this.
    cutoff = math.exp(rng.uniform(math.log(0.25), math.log(0.5)))
    optics = Optics(na, index, wavelength, cutoff * wavelength / na)
    absorption, phase, points = 0.0, float(rng.uniform(0.3, 2.5)), 16
    if contrast == BRIGHTFIELD:
        coherence = float(rng.uniform(0.15, 0.9))
        points = 8 if coherence < 0.35 else 18
        if rng.random() < 0.6:
            absorption, phase = float(rng.uniform(0.1, 1.2)), float(rng.uniform(0, 1.2))
    elif contrast == PHASE_CONTRAST:
        coherence, points = float(rng.uniform(0.4, 0.7)), 12
        phase = float(rng.uniform(0.2, 1.5))
    else:
        coherence = float(rng.uniform(0.4, 0.9))
    return TransmittedLight(
        contrast=contrast,
        optics=optics,
        coherence=coherence,
        absorption=absorption,
        phase=phase if rng.random() < 0.8 else -phase,
        sign=1 if rng.random() < 0.7 else -1,
        shear_px=float(rng.uniform(0.4, 1.5)),
        shear_deg=float(rng.uniform(0, 360)),
        bias=float(rng.uniform(0.3, 1.4)),
        points=points,
    )
