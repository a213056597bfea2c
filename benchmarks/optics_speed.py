"""Speed of the point spread function and of defocus, each against the plain way in the same run.

python -m benchmarks.optics_speed
"""

from __future__ import annotations

import math
from typing import List

import numpy as np
import numpy.typing as npt
from scipy.integrate import quad
from scipy.signal import convolve2d
from scipy.special import j0

from benchmarks.figure import Figure, seconds
from microscope_quality.degrade import defocus
from microscope_quality.optics import TRAINING_OPTICS, Optics
from microscope_quality.psf import psf

KERNEL_SIZE = 51
IMAGE_SHAPE = (520, 696)
DEFOCUS_UM = 10.0


def psf_by_quad(optics: Optics, defocus_um: float, size: int) -> npt.NDArray[np.float64]:
    """Point-sampled paraxial kernel with two adaptive quadratures for each pixel."""
    wave_number = 2 * math.pi * optics.refractive_index / optics.wavelength_um
    sine = optics.na / optics.refractive_index
    defocus_phase = 0.5 * wave_number * defocus_um * sine**2
    kernel = np.empty((size, size))
    for row in range(size):
        for column in range(size):
            radius_um = optics.pixel_size_um * math.hypot(row - size // 2, column - size // 2)
            radius_phase = wave_number * sine * radius_um
            real = quad(
                lambda rho, v=radius_phase: j0(v * rho) * math.cos(defocus_phase * rho**2) * rho,
                0,
                1,
            )[0]
            imaginary = quad(
                lambda rho, v=radius_phase: j0(v * rho) * math.sin(defocus_phase * rho**2) * rho,
                0,
                1,
            )[0]
            kernel[row, column] = real**2 + imaginary**2
    kernel /= kernel.sum()
    return kernel


def measure() -> List[Figure]:
    """Measure the figures."""

    def fast_psf() -> npt.NDArray[np.float64]:
        return psf(
            TRAINING_OPTICS,
            DEFOCUS_UM,
            paraxial=True,
            pixel_integrated=False,
            bandwidth=0,
            size=KERNEL_SIZE,
        )

    # The first call loads SciPy and makes the quadrature's nodes, which later calls share.
    kernel = fast_psf()
    slow = seconds(lambda: psf_by_quad(TRAINING_OPTICS, DEFOCUS_UM, KERNEL_SIZE), 2)
    fast = seconds(fast_psf, 20)

    image = np.random.default_rng(0).random(IMAGE_SHAPE)
    defocus(image, kernel)
    direct = seconds(lambda: convolve2d(image, kernel, "same", "symm"), 3)
    transformed = seconds(lambda: defocus(image, kernel), 10)

    # Each aperture's curve is computed when it is first asked for.
    apertures = iter(np.linspace(0.1, 1.4, 10))
    curve = seconds(lambda: Optics(next(apertures), 1.515, 0.5, 0.1).level(1.0), 10)
    return [
        Figure(
            "51×51 PSF against a quad-per-pixel loop",
            f"{slow / fast:.0f} times faster ({slow:.2f} s, {1000 * fast:.2f} ms)",
            "≥ 500 times",
            slow / fast >= 500,
        ),
        Figure(
            "defocus of 696×520 by 51×51 against convolve2d",
            f"{direct / transformed:.0f} times faster "
            f"({direct:.2f} s, {1000 * transformed:.1f} ms)",
            "≥ 40 times",
            direct / transformed >= 40,
        ),
        Figure(
            "level of a distance, through an objective for the first time",
            f"{curve:.3f} s",
            "≤ 0.25 s",
            curve <= 0.25,
        ),
    ]


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name}: {figure.value}; bar: {figure.bar}")
