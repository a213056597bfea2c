"""How far a point's light spreads: blur diameters of the point spread function and of kernels.

The blur diameter is √2 times the diameter of the circle, around the optical axis, that holds half
of the light. An even disc has its own diameter; a Gaussian of standard deviation σ has 3.33·σ; and
the Airy pattern 0.756·λ/NA.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Tuple

import numpy as np
import numpy.typing as npt

from microscope_quality.arguments import as_floats, as_number
from microscope_quality.errors import SettingsError

FloatArray = npt.NDArray[np.float64]

# Asymptotic blur diameters, in λ/NA, of the distances at which the curve is computed. The last
# lies on the asymptote: from the one before it the curve has less than 1.5 % to go.
_COMPUTED = np.concatenate(
    [np.arange(0.0, 3.0, 0.05), np.arange(3.0, 20.0, 0.5), np.arange(20.0, 41.0, 2.0)]
)
_ON_ASYMPTOTE = 80.0
# Of the least aperture and the largest index that optics can have.
_LEAST_SINE = 1e-8
# Below, a pupil is as good as flat.
_SMALLEST_SINE = 0.01
# Of the diameter λ/NA·½, the period of the finest detail.
_SAMPLES_PER_PERIOD = 8
_BANDWIDTH = 0.1
_WAVELENGTHS = 3
# Of a kernel: parts of a pixel's side, of which about 40 make the radius of half of the light.
_PARTS_PER_RADIUS = 40
_MOST_PARTS = 16
# Pixels beyond which a cubic spline does not feel its end.
_MARGIN = 8


def blur_of_defocus(sine: float, defocus: FloatArray) -> FloatArray:
    """Blur diameter of the ideal point spread function at distances from focus.

    In units of λ/NA it depends on the aperture's angle alone. It is that of `psf` with the exact
    phase and its band of wavelengths, before any pixel.

    Parameters
    ----------
    sine : float
        NA/n, above 0 and below 1.
    defocus : ndarray of float64
        Distance from focus, 0 or more, in units of λ/NA.

    Returns
    -------
    ndarray of float64
        In units of λ/NA, shaped as `defocus`; NaN where that is NaN. It rises steadily from the
        0.756 of the focus.

    Raises
    ------
    SettingsError
        If an argument is out of its range.
    """
    distances, blurs, asymptote = _curve(_checked_sine(sine))
    defocus = as_floats("defocus", defocus, low=0.0)
    near = np.minimum(defocus, distances[-1])
    # Both squared: near focus the blur grows with the square of the distance.
    squared = np.interp(near**2, distances**2, blurs**2)
    blur: FloatArray = np.where(defocus > distances[-1], asymptote * defocus, np.sqrt(squared))
    return blur


def defocus_of_blur(sine: float, blur: FloatArray) -> FloatArray:
    """Distance from focus at which the ideal point spread function has a blur diameter.

    Parameters
    ----------
    sine : float
        NA/n, above 0 and below 1.
    blur : ndarray of float64
        Blur diameter, 0 or more, in units of λ/NA.

    Returns
    -------
    ndarray of float64
        In units of λ/NA, shaped as `blur`: 0 up to the blur in focus, then the inverse of
        `blur_of_defocus`; NaN where `blur` is NaN.

    Raises
    ------
    SettingsError
        If an argument is out of its range.
    """
    distances, blurs, asymptote = _curve(_checked_sine(sine))
    blur = as_floats("blur", blur, low=0.0)
    near = np.minimum(blur, blurs[-1])
    squared = np.interp(near**2, blurs**2, distances**2)
    defocus: FloatArray = np.where(blur > blurs[-1], blur / asymptote, np.sqrt(squared))
    return defocus


def kernel_blur_diameter_px(kernel: npt.ArrayLike) -> float:
    """Blur diameter of a kernel on the pixel grid.

    Parameters
    ----------
    kernel : (m, n) array_like
        Light in each pixel's square, non-negative, of any sum; of `psf` or any other origin. What
        lies outside it counts as no light.

    Returns
    -------
    float
        √2 times the diameter of the circle around the centroid that holds half of the light, in
        pixels, without what the pixels blurred. It is right to 1 % from 9 px on, to 3 % from 4 px
        on, and at 3 px to 4 %, or to a tenth where the pixels are too coarse for the detail;
        smaller blurs are told too large.

    Raises
    ------
    SettingsError
        If a value is negative or not finite, or all are 0.

    Notes
    -----
    Light within a pixel is placed by a cubic spline through the sums along rows and columns, which
    keeps what each pixel holds; its square alone would count the pixel's own blur twice.
    """
    light = as_floats("kernel", kernel, shape=(None, None), low=0.0, nan=False)
    brightest = float(light.max(initial=0.0))
    if not 0 < brightest < math.inf:
        raise SettingsError("kernel must hold light, and in each pixel a finite amount.")
    light = light / brightest
    total = float(light.sum())
    rows, columns = (np.arange(side, dtype=np.float64) for side in light.shape)
    centre = (light.sum(axis=1) @ rows / total, light.sum(axis=0) @ columns / total)
    radius = _half_light_radius(light, _distances(rows, columns, centre), total)
    parts = min(max(math.ceil(_PARTS_PER_RADIUS / (radius + 0.5)), 1), _MOST_PARTS)
    reach = math.ceil(radius) + _MARGIN
    lows = [math.floor(middle) - reach for middle in centre]
    n_pixels = 2 * reach + 2
    fine = _parted(_parted(light, lows[0], n_pixels, parts, 0), lows[1], n_pixels, parts, 1)
    offsets = (np.arange(n_pixels * parts) + 0.5) / parts - 0.5
    distances = _distances(lows[0] + offsets, lows[1] + offsets, centre)
    # Parts that the circle cuts count by about the share that is within.
    radii = _half_light_radius(fine, distances, total) + np.array([-1.0, 0.0, 1.0]) / parts
    shares = [np.clip((radius - distances) * parts + 0.5, 0.0, 1.0) for radius in radii]
    held = [float(np.vdot(fine, share)) for share in shares]
    return 2 * math.sqrt(2) * float(np.interp(0.5 * total, held, radii))


def _checked_sine(sine: float) -> float:
    number = as_number("sine", sine)
    if not _LEAST_SINE <= number < 1:
        raise SettingsError(f"sine must be from {_LEAST_SINE:g} to below 1, not {number:g}.")
    return number


@lru_cache(maxsize=256)
def _curve(sine: float) -> Tuple[FloatArray, FloatArray, float]:
    """Distances from focus, the blur diameters there, both in λ/NA, and the asymptote's slope.

    Far from focus half of the light is within the ray from the pupil's radius 1/√2.
    """
    from scipy.interpolate import make_interp_spline

    from microscope_quality.optics import Optics
    from microscope_quality.psf import radial_intensity

    asymptote = 2 * math.sqrt(2) * math.tan(math.asin(sine / math.sqrt(2)))
    pupil = max(sine, _SMALLEST_SINE)
    # λ/NA is 1 µm here.
    optics = Optics(na=pupil, refractive_index=1.0, wavelength_um=pupil, pixel_size_um=1.0)
    slope = 2 * math.sqrt(2) * math.tan(math.asin(pupil / math.sqrt(2)))
    offsets, weights = np.polynomial.legendre.leggauss(_WAVELENGTHS)
    blurs = np.empty(_COMPUTED.size + 1)
    for place, geometric in enumerate(_COMPUTED):
        # No further out than a little beyond half of the light.
        farthest = 1.1 * (0.5 + geometric / (2 * math.sqrt(2)))
        radii = np.arange(math.ceil(2 * _SAMPLES_PER_PERIOD * farthest) + 4) / (
            2 * _SAMPLES_PER_PERIOD
        )
        density = np.zeros(radii.shape)
        for offset, weight in zip(offsets, weights):
            relative = 1 + 0.5 * _BANDWIDTH * offset
            intensity = radial_intensity(
                optics, radii, geometric / slope, wavelength_um=pupil * relative
            )
            density += 0.5 * weight * math.pi / relative**2 * intensity
        held = make_interp_spline(radii, 2 * math.pi * radii * density, k=5).antiderivative()
        low, high = 0.0, float(radii[-1])
        while high - low > 1e-7 * high:
            middle = 0.5 * (low + high)
            low, high = (middle, high) if held(middle) < 0.5 else (low, middle)
        blurs[place] = 2 * math.sqrt(2) * high
    blurs[-1] = _ON_ASYMPTOTE
    distances = np.append(_COMPUTED, _ON_ASYMPTOTE) / asymptote
    for array in (distances, blurs):
        array.flags.writeable = False
    return distances, blurs, asymptote


def _distances(rows: FloatArray, columns: FloatArray, centre: Tuple[float, float]) -> FloatArray:
    distances: FloatArray = np.hypot.outer(rows - centre[0], columns - centre[1])
    return distances


def _half_light_radius(light: FloatArray, distances: FloatArray, total: float) -> float:
    """Distance of the sample with which half of `total` is held."""
    order: npt.NDArray[np.intp] = np.argsort(distances, axis=None)
    held = np.cumsum(light.ravel()[order])
    place = min(int(np.searchsorted(held, 0.5 * total)), held.size - 1)
    return float(distances.ravel()[order[place]])


def _parted(light: FloatArray, low: int, n_pixels: int, parts: int, axis: int) -> FloatArray:
    """Light in each part of `n_pixels` pixels from `low` on, along one axis."""
    from scipy.interpolate import make_interp_spline

    side = light.shape[axis]
    before, after = max(_MARGIN - low, 0), max(low + n_pixels + _MARGIN - side, 0)
    padding = [(0, 0), (0, 0)]
    padding[axis] = (before + 1, after)
    summed = np.cumsum(np.pad(light, padding), axis=axis)
    edges = np.arange(summed.shape[axis]) - before
    finer = low + np.arange(n_pixels * parts + 1) / parts
    spline = make_interp_spline(edges, summed, k=3, axis=axis)
    parted: FloatArray = np.diff(spline(finer), axis=axis)
    return parted
