"""Point spread functions of microscopes with faults: an aberrated pupil, a mismatched specimen."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from microscope_quality.errors import OpticsError, SettingsError
from microscope_quality.optics import Optics
from microscope_quality.psf import (
    MAX_KERNEL_SIZE,
    check_kernel,
    finest_period_um,
    light_reach_um,
    radial_kernel,
)

FloatArray = npt.NDArray[np.float64]

# The library's own steps across the pupil leave 2e-3 of the peak; more samples gain nothing.
_SAMPLES_PER_PERIOD = 4
# Working distance and thickness of the cover slip, in µm. Both as the objective was made for,
# they cancel in the phase.
_WORKING_DISTANCE_UM = 150.0
_COVER_SLIP_UM = 170.0


def aberrated_psf(
    optics: Optics,
    defocus_um: float,
    *,
    spherical_waves: float = 0.0,
    astigmatism_waves: float = 0.0,
    astigmatism_deg: float = 0.0,
    coma_waves: float = 0.0,
    coma_deg: float = 0.0,
    depth_um: float = 0.0,
    sample_index: float | None = None,
    paraxial: bool = False,
    pixel_integrated: bool = True,
    bandwidth: float = 0.1,
    size: int | None = None,
    energy: float = 0.99,
) -> FloatArray:
    """Point spread function of a pupil with aberrations, on the pixel grid.

    It is ``|∫∫ exp(i(φ(ρ) + 2πW(ρ, θ))) exp(2πi·NA/λ·r·ρ) d²ρ|²`` over the unit disc, with the
    defocus phase φ of `microscope_quality.psf.radial_intensity` and the wavefront error, in
    waves, ``W = A·√5(6ρ⁴ − 6ρ² + 1) + B·√6ρ²cos(2(θ − θ₀)) + C·√8(3ρ³ − 2ρ)cos(θ − θ₁)``: the
    Zernike terms of unit root mean square (R. J. Noll, J. Opt. Soc. Am. 66, 207 (1976), terms 11, 6
    and 8). They are balanced: they leave the best focus at defocus 0, on the axis.

    A point at a depth in a specimen of another refractive index has, beside, the path of S. F.
    Gibson and F. Lanni, J. Opt. Soc. Am. A 9, 154 (1992), ``d·√(n_s² − NA²ρ²)``, with the objective
    moved to where the axis is brightest; cover slip and working distance are as the
    objective was made for. Light beyond the specimen's critical angle is not there.

    Parameters
    ----------
    optics : Optics
        Objective, wavelength and pixel size.
    defocus_um : float
        Distance from focus in µm; with an aberration, its sign matters. Of a point at a depth it is
        positive away from the specimen.
    spherical_waves, astigmatism_waves : float
        A and B: waves root mean square, at the optics' wavelength.
    astigmatism_deg : float
        θ₀, from the right towards the bottom.
    coma_waves, coma_deg : float
        C and θ₁, as those.
    depth_um : float
        Of the point under the cover slip, 0 or more.
    sample_index : float, optional
        Refractive index of the specimen; the immersion's unless given.
    paraxial : bool
        Use the paraxial defocus phase.
    pixel_integrated, bandwidth, size, energy
        As for `microscope_quality.psf.psf`.

    Returns
    -------
    ndarray of float64
        Square with an odd side, non-negative, with sum 1. Without aberrations within 1 % of the
        peak of what `microscope_quality.psf.psf` gives, near focus within 0.2 %.

    Raises
    ------
    OpticsError
        If the defocus is not finite, or the kernel would have more than 1023 pixels on a side.
    SettingsError
        If another argument is out of its range.

    Notes
    -----
    Two products of matrices give the field at the nodes of a Gauss-Legendre rule in every pixel,
    from a grid of the pupil so fine that the field repeats itself five kernels away.
    """
    check_kernel(defocus_um, bandwidth, size, energy)
    # The steepest the wavefront gets, at the pupil's edge, in waves: dW/dρ.
    steepest = 12 * math.sqrt(5) * abs(spherical_waves) + 2 * math.sqrt(6) * abs(astigmatism_waves)
    steepest += 7 * math.sqrt(8) * abs(coma_waves)
    held = energy if size is None else 0.99
    reach_um = light_reach_um(optics, abs(defocus_um), paraxial=paraxial, energy=held)
    aberrations = _Waves(
        *(spherical_waves, astigmatism_waves, math.radians(astigmatism_deg)),
        *(coma_waves, math.radians(coma_deg)),
    )
    specimen = (depth_um, optics.refractive_index if sample_index is None else sample_index)
    if depth_um:
        # The objective's own move to the best focus makes up for most of it.
        reach_um = max(reach_um, 0.25 * depth_um * abs(specimen[1] - optics.refractive_index))
    while True:
        radius_px = math.ceil(reach_um / optics.pixel_size_um) if size is None else size // 2
        if 2 * radius_px + 1 > MAX_KERNEL_SIZE:
            raise OpticsError(
                f"A defocus of {defocus_um:g} µm with these aberrations blurs a point over more "
                f"than {MAX_KERNEL_SIZE} px with {optics}."
            )
        period_um = 5 * max(reach_um, (radius_px + 0.5) * optics.pixel_size_um)
        period_um += 2 * steepest * optics.wavelength_um / optics.na
        pixels = _pixels_of_pupil(
            *(optics, defocus_um, aberrations, specimen, paraxial, pixel_integrated, bandwidth),
            *(radius_px, period_um),
        )
        if size is not None:
            return np.asarray(pixels / pixels.sum())
        if pixels.sum() >= energy:
            return _smallest_that_holds(pixels, energy)
        reach_um *= 1.25


class _Waves(NamedTuple):
    """Aberrations in waves root mean square, and their angles in radians."""

    spherical: float
    astigmatism: float
    astigmatism_angle: float
    coma: float
    coma_angle: float


def _pixels_of_pupil(
    optics: Optics,
    defocus_um: float,
    aberrations: _Waves,
    specimen: tuple[float, float],
    paraxial: bool,
    pixel_integrated: bool,
    bandwidth: float,
    radius_px: int,
    period_um: float,
) -> FloatArray:
    """Share of all the light in each pixel of a square."""
    spherical, astigmatism, angle, coma, coma_angle = aberrations
    pixel = optics.pixel_size_um
    if pixel_integrated:
        # Half of the finest detail's phase over half a pixel, and some nodes for three digits.
        half = 0.5 * math.pi * pixel / finest_period_um(optics, bandwidth)
        nodes, weights = np.polynomial.legendre.leggauss(math.ceil(half) + 2)
        nodes, weights = 0.5 * nodes, 0.5 * weights
    else:
        nodes, weights = np.zeros(1), np.ones(1)
    # Where the aberrations are alike on opposite sides, so is the kernel: half of its rows will do.
    first_row = -radius_px if coma else 0
    rows_um = pixel * np.add.outer(np.arange(first_row, radius_px + 1), nodes).ravel()
    columns_um = pixel * np.add.outer(np.arange(-radius_px, radius_px + 1), nodes).ravel()
    n = 2 * math.ceil(period_um * optics.na / optics.wavelength_um) + 1
    axis = (np.arange(n) - n // 2) * (2 / (n - 2))
    radial = np.hypot.outer(axis, axis)
    # A cell on the pupil's edge counts with about the part of it that is inside.
    amplitude = np.clip((1 - radial) * (0.5 * (n - 2)) + 0.5, 0, 1)
    inside = np.minimum(radial, 1.0)
    error = spherical * math.sqrt(5) * (6 * inside**4 - 6 * inside**2 + 1)
    if astigmatism:
        double_angle = 2 * (np.arctan2(axis[:, np.newaxis], axis) - angle)
        error = error + astigmatism * math.sqrt(6) * inside**2 * np.cos(double_angle)
    if coma:
        turned = np.arctan2(axis[:, np.newaxis], axis) - coma_angle
        error = error + coma * math.sqrt(8) * (3 * inside**3 - 2 * inside) * np.cos(turned)
    sine = optics.na / optics.refractive_index
    if paraxial:
        path_um = -0.5 * defocus_um * optics.refractive_index * (sine * inside) ** 2
    else:
        path_um = defocus_um * optics.refractive_index * (np.sqrt(1 - (sine * inside) ** 2) - 1)
    # An aberration is a length of glass: in waves it is more of shorter ones.
    path_um += optics.wavelength_um * error
    if specimen[0]:
        amplitude = np.where(optics.na * inside < specimen[1], amplitude, 0.0)
        path_um += _path_in_specimen_um(optics, specimen, inside)
    found = np.zeros((radius_px + 1 - first_row, 2 * radius_px + 1))
    for wavelength, share in zip(
        *_few_wavelengths(optics, bandwidth, radius_px * pixel, defocus_um)
    ):
        per_um = 2 * math.pi / wavelength
        pupil = amplitude * np.exp((1j * per_um * path_um).astype(np.complex64))
        turn_per_um = 1j * per_um * optics.na
        along_rows = np.exp((turn_per_um * np.outer(rows_um, axis)).astype(np.complex64))
        along_columns = np.exp((turn_per_um * np.outer(axis, columns_um)).astype(np.complex64))
        field = along_rows @ pupil.astype(np.complex64) @ along_columns
        power = (field.real**2 + field.imag**2).reshape(
            len(found), nodes.size, 2 * radius_px + 1, nodes.size
        )
        # On the axis of an ideal pupil in focus the field is the sum of the amplitudes.
        brightness = math.pi * (optics.na / wavelength) ** 2 / amplitude.sum() ** 2
        found += share * brightness * pixel**2 * np.einsum("iajb,a,b->ij", power, weights, weights)
    return found if coma else np.concatenate([found[:0:-1, ::-1], found])


def _path_in_specimen_um(
    optics: Optics, specimen: tuple[float, float], inside: FloatArray
) -> FloatArray:
    """Path from a depth in the specimen, with the objective moved to the brightest axis."""
    depth_um, sample_index = specimen
    squared = optics.na**2 * np.linspace(0, 1, 400)

    def paths(squared: FloatArray) -> tuple[FloatArray, FloatArray]:
        in_specimen = depth_um * np.sqrt(np.maximum(sample_index**2 - squared, 0))
        return in_specimen, np.sqrt(optics.refractive_index**2 - squared)

    # Over the squares of the radius each step is of equal area.
    in_specimen, in_immersion = paths(squared[squared < sample_index**2])
    reach_um = depth_um + optics.wavelength_um * optics.refractive_index / optics.na**2
    moves_um = np.linspace(-reach_um, reach_um, 2001) - depth_um
    path_um = in_specimen + np.multiply.outer(moves_um, in_immersion)
    brightness = np.abs(np.exp(2j * math.pi / optics.wavelength_um * path_um).mean(axis=1))
    move_um = moves_um[int(np.argmax(brightness))]
    own, moved = paths((optics.na * inside) ** 2)
    return np.asarray(own + move_um * moved)


def _few_wavelengths(
    optics: Optics, bandwidth: float, radius_um: float, defocus_um: float
) -> tuple[FloatArray, FloatArray]:
    """As `wavelength_band`, for three digits."""
    sine = optics.na / optics.refractive_index
    phase = 4 * math.pi / optics.wavelength_um * optics.na * radius_um
    phase += math.pi * optics.refractive_index / optics.wavelength_um * abs(defocus_um) * sine**2
    n = 1 if bandwidth == 0 else math.ceil(0.125 * bandwidth * phase) + 2
    offsets, weights = np.polynomial.legendre.leggauss(n)
    return optics.wavelength_um * (1 + 0.5 * bandwidth * offsets), 0.5 * weights


def _smallest_that_holds(pixels: FloatArray, energy: float) -> FloatArray:
    """Cut the smallest centred square with this sum, and scale it to 1."""
    from_centre = np.abs(np.arange(len(pixels)) - len(pixels) // 2)
    ring = np.maximum.outer(from_centre, from_centre)
    held = np.cumsum(np.bincount(ring.ravel(), weights=pixels.ravel()))
    cut = len(pixels) // 2 - int(np.argmax(held >= energy))
    kernel = pixels[cut : len(pixels) - cut, cut : len(pixels) - cut]
    return np.asarray(kernel / kernel.sum())


def gibson_lanni_psf(
    optics: Optics,
    defocus_um: float,
    *,
    depth_um: float = 0.0,
    sample_index: float,
    bandwidth: float = 0.1,
    size: int | None = None,
    energy: float = 0.99,
) -> FloatArray:
    """Point spread function of a point in a specimen with another refractive index.

    The model is that of S. F. Gibson and F. Lanni, J. Opt. Soc. Am. A 9, 154 (1992), by the library
    psfmodels; cover slip and working distance are as the objective was made for.

    Parameters
    ----------
    optics : Optics
        Objective, wavelength and pixel size; its refractive index is the immersion's.
    defocus_um : float
        How far the objective is from the best focus, where the intensity on the axis is largest;
        positive towards the specimen. With a mismatch, its sign matters.
    depth_um : float
        Of the point under the cover slip.
    sample_index : float
        Refractive index of the specimen.
    bandwidth, size, energy
        As for `microscope_quality.psf.psf`; the kernel is integrated over the pixels.

    Returns
    -------
    ndarray of float64
        Square with an odd side, non-negative, with sum 1. Without a mismatch within 3e-3 of the
        peak of what `microscope_quality.psf.psf` gives with the exact phase.

    Raises
    ------
    SettingsError
        If the library psfmodels is missing, or another argument is out of its range.
    OpticsError
        If the defocus is not finite, or the kernel would have more than 1023 pixels on a side.
    """
    check_kernel(defocus_um, bandwidth, size, energy)
    focus_um = best_focus_um(optics, depth_um=depth_um, sample_index=sample_index)
    stage_um = focus_um + defocus_um
    period_um = finest_period_um(optics, bandwidth)

    def density(radii_um: FloatArray) -> FloatArray:
        from scipy.interpolate import make_interp_spline

        farthest_um = float(radii_um[-1])
        found = np.zeros(radii_um.shape)
        for wavelength, share in zip(*_few_wavelengths(optics, bandwidth, farthest_um, stage_um)):
            wavelength_um = float(wavelength)
            step_um = period_um / _SAMPLES_PER_PERIOD
            n = math.ceil(farthest_um / step_um) + 8
            point = (depth_um, sample_index, wavelength_um)
            # Along a row the library does not interpolate.
            intensity = _intensity(optics, np.array([stage_um]), point, step_um, n)[0, n, n:]
            mirrored = np.concatenate([intensity[8:0:-1], intensity])
            profile = make_interp_spline(
                step_um * np.arange(-8, len(intensity), dtype=np.float64), mirrored, k=7
            )
            brightness = math.pi * (optics.na / wavelength_um) ** 2
            found += float(share) * brightness * np.maximum(profile(radii_um), 0.0)
        return found

    if size is not None:
        return radial_kernel(density, optics.pixel_size_um, period_um, 0.0, size=size)
    # Light near the specimen's critical angle has no end, so the kernel holds a share of what is
    # in a window: one that would leave out four fifths as much of an ideal objective's light.
    window = 1 - 0.8 * (1 - energy)
    ray_um = _ray_reach_um(optics, stage_um, depth_um, sample_index)
    cone = optics.na / math.sqrt(optics.refractive_index**2 - optics.na**2)
    reach_um = light_reach_um(optics, ray_um / cone, energy=window)
    radius_px = math.ceil(reach_um / optics.pixel_size_um)
    if 2 * radius_px + 1 > MAX_KERNEL_SIZE:
        raise OpticsError(
            f"A defocus of {defocus_um:g} µm, {depth_um:g} µm deep in a specimen of refractive "
            f"index {sample_index:g}, blurs a point over more than {MAX_KERNEL_SIZE} px with "
            f"{optics}."
        )
    pixels = radial_kernel(density, optics.pixel_size_um, period_um, 0.0, size=2 * radius_px + 1)
    return _smallest_that_holds(pixels, energy / window)


def _ray_reach_um(optics: Optics, stage_um: float, depth_um: float, sample_index: float) -> float:
    """Farthest from the axis that a ray from the point crosses the plane in focus, in µm."""
    # Up to 95 % of the critical angle's sine: beyond there is little light, and it goes anywhere.
    numerical = np.linspace(0, min(optics.na, 0.95 * sample_index), 200)
    in_sample, in_immersion = (
        np.tan(np.arcsin(numerical / index)) for index in (sample_index, optics.refractive_index)
    )
    # By so much the immersion is thicker than the objective was made for.
    thicker_um = depth_um - stage_um - depth_um * optics.refractive_index / sample_index
    return float(np.abs(depth_um * in_sample + thicker_um * in_immersion).max())


def best_focus_um(optics: Optics, *, depth_um: float, sample_index: float) -> float:
    """Find where the objective must be for the brightest point on the axis.

    Parameters
    ----------
    optics, depth_um, sample_index
        As for `gibson_lanni_psf`.

    Returns
    -------
    float
        In µm as psfmodels counts it: there, rays near the axis meet at the point when the position
        is `depth_um`, whatever the refractive indices.
    """
    from scipy.optimize import minimize_scalar

    if depth_um == 0 or sample_index == optics.refractive_index:
        return depth_um
    depth_of_field_um = optics.wavelength_um * optics.refractive_index / optics.na**2

    def darkness(stage_um: npt.ArrayLike) -> FloatArray:
        stages = np.atleast_1d(np.asarray(stage_um, dtype=np.float64))
        point = (depth_um, sample_index, optics.wavelength_um)
        return -np.asarray(_intensity(optics, stages, point, 1.0, 0)[:, 0, 0])

    # Rays near the axis meet where the position is the depth, steep ones up to as far beyond.
    reach_um = depth_um + depth_of_field_um
    stages = np.arange(depth_um - reach_um, depth_um + reach_um, 0.1 * depth_of_field_um)
    brightest = float(stages[int(np.argmin(darkness(stages)))])
    near = (brightest - 0.1 * depth_of_field_um, brightest + 0.1 * depth_of_field_um)
    return float(
        minimize_scalar(lambda stage: float(darkness(stage)[0]), bounds=near, method="bounded").x
    )


def _intensity(
    optics: Optics, stages_um: FloatArray, point: tuple[float, float, float], step_um: float, n: int
) -> FloatArray:
    """Intensity on planes of n steps to each side of the axis, 1 for an ideal point in focus."""
    depth_um, sample_index, wavelength_um = point
    index = optics.refractive_index
    values = _psfmodels().scalar_psf(
        stages_um,
        2 * n + 1,
        step_um,
        depth_um,
        wavelength_um,
        {
            "NA": optics.na,
            "ni": index,
            "ni0": index,
            "ns": sample_index,
            "ti0": _WORKING_DISTANCE_UM,
            "tg": _COVER_SLIP_UM,
            "tg0": _COVER_SLIP_UM,
            "sf": 1,
            "mode": 0,
        },
        normalize=False,
    )
    return 4 * np.asarray(values, dtype=np.float64)


def _psfmodels() -> Any:
    try:
        import psfmodels
    except ImportError as error:
        raise SettingsError(
            "The Gibson-Lanni PSF needs the library psfmodels, which is not installed: "
            "pip install 'microscope-quality[psf]'."
        ) from error
    return psfmodels
