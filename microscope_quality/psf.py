"""Point spread functions: what the image of a point is, on the pixels of a camera.

The point spread function is the Born–Wolf diffraction integral of a circular pupil
(M. Born and E. Wolf, *Principles of Optics*, 7th edition, section 8.8) with the wave number
``k = 2πn/λ`` of the immersion medium, and with either its paraxial defocus phase or the exact one
of a high-angle objective.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Callable, Optional, Tuple

import numpy as np
import numpy.typing as npt

from microscope_quality.arguments import (
    as_a,
    as_count,
    as_flag,
    as_floats,
    as_number,
    as_positive,
    shown,
)
from microscope_quality.errors import ArgumentError, OpticsError, SettingsError
from microscope_quality.optics import Optics, checked_value

MAX_KERNEL_SIZE = 1023
"""Largest side of a point spread function, in pixels."""

FloatArray = npt.NDArray[np.float64]
#: Gives the share of a point's light for each µm², at distances from the axis in µm.
Density = Callable[[FloatArray], FloatArray]

# Bessel functions evaluated at a time: the temporary arrays then stay within a few megabytes.
_BLOCK = 1 << 18
# Radians over half the pupil: beyond, a quadrature takes minutes, and rays say it as well.
_FASTEST_OSCILLATION = 16384.0
# A spline of degree 7 with 16 samples for each period of the finest detail is within
# 2·(1/16)^8 < 1e-9 of a band-limited profile.
_SPLINE_DEGREE = 7
_SAMPLES_PER_PERIOD = 16
_SPLINE_MARGIN = 24
# Samples of a profile, and periods of its detail in a pixel: beyond, a kernel takes gigabytes.
_MOST_STEPS = 10**6
_MOST_PERIODS = 100
# Values of Bessel functions, and of splines, for one kernel: beyond, it takes minutes.
_MOST_VALUES = 3 * 10**9
_MOST_SPLINE_VALUES = 10**9


def radial_intensity(
    optics: Optics,
    radii_um: npt.ArrayLike,
    defocus_um: float,
    *,
    paraxial: bool = False,
    wavelength_um: Optional[float] = None,
) -> FloatArray:
    """Intensity of the image of a point, at distances from the optical axis.

    It is ``|2 ∫₀¹ J₀(2πNA·r·ρ/λ) exp(iφ(ρ)) ρ dρ|²``, 1 on the axis in focus. The paraxial phase is
    ``φ = ½·k·z·(NA·ρ/n)²`` (Born and Wolf, section 8.8, equation 10), the exact one
    ``φ = k·z·(√(1 − (NA·ρ/n)²) − 1)`` (S. F. Gibson and F. Lanni, J. Opt. Soc. Am. A 6, 1357
    (1989)), both with ``k = 2πn/λ``.

    Parameters
    ----------
    optics : Optics
        Its pixel size is not used.
    radii_um : array_like
        Distances from the axis in the plane of the specimen, in µm, of any shape.
    defocus_um : float
        Distance from focus in µm, of either sign.
    paraxial : bool
        Use the paraxial phase.
    wavelength_um : float, optional
        Vacuum wavelength in µm in place of the optics' own.

    Returns
    -------
    ndarray of float64
        Shaped as `radii_um`. The error is below 1e-9 of the largest intensity at this defocus.

    Raises
    ------
    OpticsError
        If a radius or the defocus is not finite, or beyond some thousands of wavelengths.
    """
    as_a(Optics, "optics", optics)
    as_flag("paraxial", paraxial)
    radii = np.abs(as_floats("radii_um", radii_um, error=OpticsError))
    defocus = _finite_defocus(defocus_um)
    if not np.all(np.isfinite(radii)):
        raise OpticsError("radii_um must be finite.")
    wavelength = optics.wavelength_um
    if wavelength_um is not None:
        wavelength = checked_value("wavelength_um", wavelength_um)
    if radii.size == 0:
        return np.zeros(radii.shape)
    # Imported where it is used: measuring needs `Optics` alone, and SciPy takes longer to start
    # than to measure an image.
    from scipy.special import j0

    flat = radii.ravel()
    sine = optics.sine
    wave_number = 2 * math.pi * optics.refractive_index / wavelength
    farthest = float(flat.max())
    order = _quadrature_order(_oscillation(optics, wavelength, farthest, defocus, paraxial))
    nodes, weights = _legendre(order)
    if paraxial:
        pupil = 0.5 * (nodes + 1)
        measure = weights * pupil
        phase = 0.5 * wave_number * defocus * (sine * pupil) ** 2
    else:
        # Over the angle the integrand has no singularity, however near the aperture is to n.
        half_angle = 0.5 * math.asin(sine)
        angle = half_angle * (nodes + 1)
        pupil = np.sin(angle) / sine
        measure = 2 * half_angle / sine * weights * pupil * np.cos(angle)
        # 1 − cos θ without its cancellation at small angles.
        phase = 2 * wave_number * defocus * np.sin(0.5 * angle) ** 2
    # Real and imaginary parts side by side, for one real product of matrices.
    amplitudes = np.stack([measure * np.cos(phase), measure * np.sin(phase)], axis=1)

    scaled_pupil = wave_number * sine * pupil
    intensity = np.empty(flat.size)
    step = max(1, _BLOCK // pupil.size)
    for start in range(0, flat.size, step):
        field = j0(np.multiply.outer(flat[start : start + step], scaled_pupil)) @ amplitudes
        intensity[start : start + step] = field[:, 0] ** 2 + field[:, 1] ** 2
    return intensity.reshape(radii.shape)


def psf(
    optics: Optics,
    defocus_um: float,
    *,
    paraxial: bool = False,
    pixel_integrated: bool = True,
    bandwidth: float = 0.1,
    size: Optional[int] = None,
    energy: float = 0.99,
) -> FloatArray:
    """Point spread function on the pixel grid: the kernel that defocuses an image.

    Parameters
    ----------
    optics : Optics
        Objective, wavelength and pixel size.
    defocus_um : float
        Distance from focus in µm; both signs give the same kernel.
    paraxial : bool
        Use the paraxial phase, see `radial_intensity`.
    pixel_integrated : bool
        Integrate over each pixel's square, as a camera does; else take the value at its centre.
    bandwidth : float
        Full width of the band of wavelengths, of equal power throughout, that is averaged over,
        relative to the wavelength: 0.1 is ±5 %. With 0, monochromatic.
    size : int, optional
        Side of the kernel in pixels, odd. Unless given, the smallest that holds `energy`.
    energy : float
        Fraction of the light that the kernel's square must hold, at most 0.999; not used when
        `size` is given.

    Returns
    -------
    ndarray of float64
        Square with an odd side, non-negative, with sum 1.

    Raises
    ------
    OpticsError
        If the defocus is not finite, or blurs over more pixels than a kernel can have.
    SettingsError
        If another argument is out of its range.

    Notes
    -----
    The kernel of S. J. Yang et al., BMC Bioinformatics 19, 77 (2018), is
    ``psf(optics, z, paraxial=True, pixel_integrated=False, bandwidth=0, size=51)``; their program
    takes ``k = 2π/λ``, which is the same in air.
    """
    as_a(Optics, "optics", optics)
    as_flag("paraxial", paraxial)
    as_flag("pixel_integrated", pixel_integrated)
    check_kernel(defocus_um, bandwidth, size, energy)
    defocus = _finite_defocus(defocus_um)

    def density(radii_um: FloatArray) -> FloatArray:
        return _density(optics, radii_um, defocus, paraxial, bandwidth)

    period_um = finest_period_um(optics, bandwidth)
    reach_um = 0.0
    if size is None:
        reach_um = light_reach_um(optics, defocus, paraxial=paraxial, energy=energy)
        reach_um = min(reach_um, MAX_KERNEL_SIZE * optics.pixel_size_um)
    if pixel_integrated:
        return radial_kernel(
            density, optics.pixel_size_um, period_um, reach_um, size=size, energy=energy
        )
    if size is None:
        found = _quadrant_that_holds(density, optics.pixel_size_um, period_um, reach_um, energy)
        size = 2 * len(found) - 1
    steps = np.arange(size // 2 + 1)
    squared, places = np.unique(np.add.outer(steps**2, steps**2), return_inverse=True)
    values = density(np.sqrt(squared) * optics.pixel_size_um)
    return _unfolded(values[places].reshape(steps.size, steps.size))


def check_kernel(defocus_um: float, bandwidth: float, size: Optional[int], energy: float) -> None:
    """Refuse what no point spread function on the pixel grid can have; see `psf`.

    Raises
    ------
    OpticsError
        If the defocus is not finite.
    SettingsError
        If another argument is out of its range.
    """
    _finite_defocus(defocus_um)
    _checked_bandwidth(bandwidth)
    as_number("energy", energy)
    if size is None:
        _checked_energy(energy)
        return
    as_count("size", size, 1, MAX_KERNEL_SIZE)
    if size % 2 == 0:
        raise SettingsError(f"size must be odd, not {size}.")


def _checked_bandwidth(bandwidth: float) -> float:
    number = as_number("bandwidth", bandwidth)
    if not 0 <= number < 1:
        raise SettingsError(f"bandwidth must be from 0 to below 1, not {number}.")
    return number


def _checked_energy(energy: float) -> float:
    number = as_number("energy", energy)
    if not 0 < number <= 0.999:
        raise SettingsError(f"energy must be above 0 and at most 0.999, not {number}.")
    return number


def radial_kernel(
    density: Density,
    pixel_size_um: float,
    period_um: float,
    reach_um: float,
    *,
    size: Optional[int] = None,
    energy: float = 0.99,
) -> FloatArray:
    """Kernel of any point spread function that is round: its light in each pixel's square.

    Parameters
    ----------
    density : callable
        Gives the share of a point's light for each µm², at distances from the axis in µm that
        ascend from 0 in equal steps.
    pixel_size_um : float
        Side of a pixel in the plane of the specimen.
    period_um : float
        Period of the finest detail that the density has, see `finest_period_um`.
    reach_um : float
        About how far from the axis the light reaches; where too little is found, more is tried.
        Not used when `size` is given.
    size : int, optional
        Side of the kernel in pixels, odd. Unless given, the smallest that holds `energy`.
    energy : float
        Share of the light that the kernel's square must hold.

    Returns
    -------
    ndarray of float64
        Square with an odd side, non-negative, with sum 1.

    Raises
    ------
    OpticsError
        If the kernel would have more than `MAX_KERNEL_SIZE` pixels on a side.
    """
    if not callable(density):
        raise ArgumentError(f"density must be a function of distances, not {shown(density)}.")
    pixel_size_um = checked_value("pixel_size_um", pixel_size_um)
    period_um = as_number("period_um", period_um, 1e-8, 1e8, error=OpticsError)
    check_kernel(0.0, 0.0, size, energy)
    if size is None:
        reach_um = as_positive("reach_um", reach_um, error=OpticsError)
        return _unfolded(_quadrant_that_holds(density, pixel_size_um, period_um, reach_um, energy))
    return _unfolded(_integrated_quadrant(density, pixel_size_um, period_um, size // 2))


def finest_period_um(optics: Optics, bandwidth: float) -> float:
    """Period, in µm, of the finest detail of an image: its spectrum ends at 2·NA/λ."""
    as_a(Optics, "optics", optics)
    return optics.wavelength_um * (1 - 0.5 * _checked_bandwidth(bandwidth)) / (2 * optics.na)


def light_reach_um(
    optics: Optics, defocus_um: float, *, paraxial: bool = False, energy: float = 0.99
) -> float:
    """Estimate the distance from the axis, in µm, within which so much of the light falls.

    Light outside radius r is mostly diffracted by the pupil's edge, from both ends of the
    geometric disc: in v = 2πNA·r/λ its share is about ``(1/(v − d) + 1/(v + d))/π``, which is the
    2/(πv) of the Airy pattern when the disc's radius d is 0.
    """
    as_a(Optics, "optics", optics)
    tangent = optics.tangent(paraxial=paraxial)
    v_per_um = 2 * math.pi * optics.na / optics.wavelength_um
    airy = 1 / (math.pi * (1 - _checked_energy(energy)))
    return (airy + math.hypot(airy, v_per_um * _finite_defocus(defocus_um) * tangent)) / v_per_um


def wavelength_band(
    optics: Optics, bandwidth: float, radius_um: float, defocus_um: float
) -> Tuple[FloatArray, FloatArray]:
    """Wavelengths, in µm, and their shares, that stand for a band of equal power throughout.

    Enough of them for radii up to `radius_um` at this defocus: nodes and weights of a
    Gauss-Legendre rule.
    """
    as_a(Optics, "optics", optics)
    radius_um = as_number("radius_um", radius_um, 0, error=OpticsError)
    defocus_um = _finite_defocus(defocus_um)
    if _checked_bandwidth(bandwidth) == 0:
        return np.array([optics.wavelength_um]), np.ones(1)
    # Rays from opposite edges of the pupil differ most in phase; a change of wavelength
    # changes that difference by as much, relatively.
    phase = 4 * math.pi / optics.wavelength_um * optics.na * radius_um
    wave_number = 2 * math.pi * optics.refractive_index / optics.wavelength_um
    phase += wave_number * defocus_um * optics.sine**2
    offsets, weights = _legendre(_quadrature_order(0.5 * bandwidth * phase))
    return optics.wavelength_um * (1 + 0.5 * bandwidth * offsets), 0.5 * weights


def _finite_defocus(defocus_um: float) -> float:
    return abs(as_number("defocus_um", defocus_um, error=OpticsError))


def _oscillation(
    optics: Optics, wavelength_um: float, farthest_um: float, defocus_um: float, paraxial: bool
) -> float:
    """Give the fastest oscillation of the integrand over half of its interval, in radians."""
    sine = optics.sine
    wave_number = 2 * math.pi * optics.refractive_index / wavelength_um
    if paraxial:
        # Along the pupil's radius; else over its angle.
        return 0.5 * wave_number * sine * (farthest_um + defocus_um * sine)
    # Its phase k·(r·sin θ + z·(1 − cos θ)) is steepest towards the ray to that radius.
    half_angle = math.asin(sine)
    steepest = min(half_angle, math.atan2(defocus_um, farthest_um))
    path_um = farthest_um * math.cos(steepest) + defocus_um * math.sin(steepest)
    return 0.5 * half_angle * wave_number * path_um


def _quadrature_order(oscillation: float) -> int:
    """Order of the Gauss–Legendre rule for an integrand of this many radians per half interval.

    The rule of order n is exact up to degree 2n − 1, and the Chebyshev coefficients of
    ``exp(iωx)`` are Bessel functions J_m(ω), which fall below 1e-14 at m = ω + 10·ω^⅓ + 4.
    """
    if not oscillation <= _FASTEST_OSCILLATION:
        raise OpticsError(
            "So many wavelengths from focus, or from the axis, the diffraction integral is not "
            "computed; use a smaller defocus or radius."
        )
    order = math.ceil(0.5 * (oscillation + 10 * math.pow(oscillation, 1 / 3) + 4))
    # Few different orders, so that the cache of rules serves neighbouring radii and defoci.
    return 4 * math.ceil(order / 4)


@lru_cache(maxsize=128)
def _legendre(order: int) -> Tuple[FloatArray, FloatArray]:
    """Nodes and weights of the Gauss–Legendre rule on [−1, 1]."""
    from scipy.special import roots_legendre

    nodes, weights = roots_legendre(order)
    nodes.flags.writeable = False
    weights.flags.writeable = False
    return nodes, weights


def _density(
    optics: Optics, radii_um: FloatArray, defocus: float, paraxial: bool, bandwidth: float
) -> FloatArray:
    """Share of a point's light for each µm² of the image plane, averaged over the band.

    By Parseval's theorem the integral of `radial_intensity` over the plane is
    ``λ²/(π·NA²)``, so that nothing is lost with the light outside the kernel.
    """
    farthest_um = float(radii_um.max(initial=0.0))
    density: FloatArray = np.zeros(radii_um.shape)
    wavelengths, shares = wavelength_band(optics, bandwidth, farthest_um, defocus)
    shortest = float(wavelengths.min())
    order = _quadrature_order(_oscillation(optics, shortest, farthest_um, defocus, paraxial))
    if radii_um.size * order * wavelengths.size > _MOST_VALUES:
        raise OpticsError(
            "So large a kernel, against the wavelength, takes too long to compute; use a smaller "
            "size, defocus, energy or bandwidth."
        )
    for wavelength, share in zip(wavelengths, shares):
        intensity = radial_intensity(
            optics, radii_um, defocus, paraxial=paraxial, wavelength_um=float(wavelength)
        )
        density += float(share) * math.pi * (optics.na / float(wavelength)) ** 2 * intensity
    return density


def _integrated_quadrant(
    density: Density,
    pixel_size_um: float,
    period_um: float,
    radius_px: int,
) -> FloatArray:
    """Share of the light in each pixel of the lower right quadrant, the centre pixel first."""
    from scipy.interpolate import make_interp_spline

    pixel = pixel_size_um
    step_um = period_um / _SAMPLES_PER_PERIOD
    reach_um = math.sqrt(2) * (radius_px + 0.5) * pixel
    too_coarse = (
        f"Pixels of {pixel:g} µm are too coarse for a kernel whose detail is as fine as "
        f"{period_um:g} µm; give a smaller size, or optics that go together."
    )
    if pixel * radius_px > _MOST_STEPS * step_um or pixel > _MOST_PERIODS * period_um:
        raise OpticsError(too_coarse)
    n_steps = math.ceil(reach_um / step_um) + _SPLINE_MARGIN
    radii_um = step_um * np.arange(n_steps + 1, dtype=np.float64)
    values_at_radii = as_floats(
        "What density gives", density(radii_um), shape=radii_um.shape, nan=False, error=OpticsError
    )
    # Mirrored past the axis: the spline's ends, where it is less exact, are not used.
    mirrored = slice(_SPLINE_MARGIN, 0, -1)
    profile = make_interp_spline(
        np.concatenate([-radii_um[mirrored], radii_um]),
        np.concatenate([values_at_radii[mirrored], values_at_radii]),
        k=_SPLINE_DEGREE,
    )

    nodes, weights = _legendre(_quadrature_order(math.pi * pixel / period_um))
    n_nodes = nodes.size
    side = radius_px + 1
    if (side * n_nodes) ** 2 > _MOST_SPLINE_VALUES:
        raise OpticsError(too_coarse)
    offsets = 0.5 * pixel * nodes
    quadrant = np.empty((side, side))
    columns = (pixel * np.arange(side)[:, np.newaxis] + offsets).ravel() ** 2
    for row in range(side):
        # The quadrant is symmetric about its diagonal.
        rest = columns[row * n_nodes :]
        squared = np.add.outer((pixel * row + offsets) ** 2, rest)
        values = profile(np.sqrt(squared)).reshape(n_nodes, side - row, n_nodes)
        shares = 0.25 * pixel**2 * np.einsum("i,ijk,k->j", weights, values, weights)
        quadrant[row, row:] = shares
        quadrant[row:, row] = shares
    return np.maximum(quadrant, 0.0)


def _quadrant_that_holds(
    density: Density,
    pixel_size_um: float,
    period_um: float,
    reach_um: float,
    energy: float,
) -> FloatArray:
    """Find the smallest square that holds `energy`, and give its lower right quadrant."""
    reach_um = max(reach_um, 0.5 * pixel_size_um)
    while True:
        radius_px = math.ceil(min(reach_um / pixel_size_um, MAX_KERNEL_SIZE))
        if 2 * radius_px + 1 > MAX_KERNEL_SIZE:
            raise OpticsError(
                f"A point is blurred over more than {MAX_KERNEL_SIZE} px of {pixel_size_um:g} µm; "
                "give a size to cut the kernel there, or a smaller defocus."
            )
        quadrant = _integrated_quadrant(density, pixel_size_um, period_um, radius_px)
        # Pixels off the axes stand for four, those on an axis for two.
        multiplicity = np.full(radius_px + 1, 2.0)
        multiplicity[0] = 1.0
        counted = quadrant * np.multiply.outer(multiplicity, multiplicity)
        held = np.diagonal(counted.cumsum(axis=0).cumsum(axis=1))
        if held[-1] >= energy:
            radius_px = int(np.argmax(held >= energy))
            return quadrant[: radius_px + 1, : radius_px + 1]
        reach_um *= 1.25


def _unfolded(quadrant: FloatArray) -> FloatArray:
    """Make the whole kernel, with sum 1, from its lower right quadrant."""
    half = np.concatenate([quadrant[:0:-1], quadrant])
    kernel = np.concatenate([half[:, :0:-1], half], axis=1)
    whole: FloatArray = kernel / kernel.sum()
    return whole
