"""A simulated STED microscope, on which a search for good settings can be tried without one.

Light that is too weak gives noise, light that is too strong bleaches what is still to be scanned,
and so does depletion: the three settings of such a microscope have a best place between.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray

from microscope_quality.arguments import as_floats, as_number, as_positive, as_seed, as_shape
from microscope_quality.errors import SettingsError
from microscope_quality.simulate import filaments

Float64Array = NDArray[np.float64]

_PLANCK_J_S, _LIGHT_UM_S = 6.626e-34, 2.998e14
# Of the specimen: a fibre's full width, and how much of the field fibres pass through.
_FIBRE_UM, _FIBRES_PER_UM2 = 0.04, 8.0


@dataclass(frozen=True)
class StedMicroscope:
    """A point-scanning microscope with pulsed depletion, and the dye that it looks at.

    Attributes
    ----------
    pixel_size_um : float
        Step of the scan.
    na : float
        Numerical aperture.
    excitation_um, emission_um, depletion_um : float
        Wavelengths.
    residual : float
        Depleting light in the middle of the ring, as a share of its highest.
    saturation_mw : float
        Depletion power at which half of the fluorescence is left where the ring is brightest.
    cross_section_um2 : float
        Of the dye, for excitation.
    lifetime_s : float
        Of its excited state.
    efficiency : float
        Photons that are detected for each excitation.
    bleached : float
        Share of the molecules that an excitation destroys, without depletion.
    bleached_by_depletion : float
        How many times that share comes on top where the ring is as bright as at the saturation.
    bleaching_order : float
        The power of the depleting light that this grows with.
    background_hz : float
        Photons counted each second without a specimen.
    background_hz_per_mw : float
        Those that the depleting light adds.

    Raises
    ------
    SettingsError
        For a value that cannot be.

    Notes
    -----
    Beams are Gaussian, 0.51 wavelengths over the aperture wide, and the ring is one times the
    distance squared. Excitation saturates as ``x / (1 + x)``; depletion leaves
    ``exp(-ln 2 P / P_s)`` (B. Harke et al., Optics Express 16, 4154, 2008). Bleaching follows
    excitation and a power of the depleting light (J. Oracz et al., Scientific Reports 7, 11354,
    2017). The values are of the order of a red dye's, and of no dye in particular.
    """

    pixel_size_um: float = 0.02
    na: float = 1.4
    excitation_um: float = 0.635
    emission_um: float = 0.665
    depletion_um: float = 0.775
    residual: float = 0.01
    saturation_mw: float = 4.0
    cross_section_um2: float = 3e-8
    lifetime_s: float = 3.4e-9
    efficiency: float = 0.01
    bleached: float = 2e-6
    bleached_by_depletion: float = 0.5
    bleaching_order: float = 1.4
    background_hz: float = 2e3
    background_hz_per_mw: float = 100.0

    def __post_init__(self) -> None:
        """Check what was given."""
        for one in fields(self):
            as_number(one.name, getattr(self, one.name), 0)
        for name in ("pixel_size_um", "na", "excitation_um", "emission_um", "depletion_um"):
            as_positive(name, getattr(self, name))
        for name in ("saturation_mw", "lifetime_s"):
            as_positive(name, getattr(self, name))


@dataclass(frozen=True)
class StedImage:
    """What a scan gives.

    Attributes
    ----------
    counts : (height, width) array of float64
        Photons.
    bleached : float
        Share of the molecules that the scan has destroyed, 0 to 1.
    seconds : float
        That it took.
    """

    counts: Float64Array
    bleached: float
    seconds: float


def fibres(shape: tuple[int, int], seed: int, *, pixel_size_um: float = 0.02) -> Float64Array:
    """Simulate fibres with a dye: molecules in each pixel.

    Parameters
    ----------
    shape : (height, width)
        In pixels.
    seed : int
        The same seed gives the same specimen.
    pixel_size_um : float

    Returns
    -------
    (height, width) array of float64
    """
    shape, seed = as_shape("shape", shape), as_seed(seed)
    pixel_size_um = as_positive("pixel_size_um", pixel_size_um)
    number = round(_FIBRES_PER_UM2 * shape[0] * shape[1] * pixel_size_um**2)
    light = filaments(shape, max(number, 1), seed, width_px=max(_FIBRE_UM / pixel_size_um, 0.5))
    rng = np.random.default_rng([seed, 1])
    return rng.poisson(8.0 * light).astype(np.float64)


def scan(
    molecules: NDArray[Any],
    *,
    excitation_uw: float,
    depletion_mw: float,
    dwell_us: float,
    seed: int = 0,
    microscope: StedMicroscope | None = None,
) -> StedImage:
    """Take an image of a specimen, line by line.

    Parameters
    ----------
    molecules : (height, width) array
        Molecules of the dye in each pixel.
    excitation_uw, depletion_mw : float
        Mean powers in the focus, in µW and mW.
    dwell_us : float
        Time on a pixel, in µs.
    seed : int
        Of the photons' noise.
    microscope : StedMicroscope, optional

    Returns
    -------
    StedImage

    Raises
    ------
    SettingsError
        For a power or a time that is negative or not finite.
    """
    microscope = microscope or StedMicroscope()
    molecules = as_floats("molecules", molecules, shape=(None, None), low=0, nan=False)
    powers = (
        as_number("excitation_uw", excitation_uw, 0),
        as_number("depletion_mw", depletion_mw, 0),
    )
    dwell_s = 1e-6 * as_number("dwell_us", dwell_us, 0)
    kernel, bleached = _seen(microscope, *powers, dwell_s)
    light = scipy.signal.fftconvolve(molecules, kernel, mode="same")
    background = microscope.background_hz + microscope.background_hz_per_mw * powers[1]
    expected = np.maximum(light, 0) + dwell_s * background
    counts = np.random.default_rng(as_seed(seed)).poisson(expected).astype(np.float64)
    return StedImage(counts, bleached, dwell_s * molecules.size)


def ideal(
    molecules: NDArray[Any], *, pixel_size_um: float = 0.02, probe_um: float = 0.05
) -> Float64Array:
    """Give what a perfect microscope would see: all molecules through the narrowest probe.

    Parameters
    ----------
    molecules : (height, width) array
        As for `scan`.
    pixel_size_um : float
    probe_um : float
        Full width of the probe at half of its height.

    Returns
    -------
    (height, width) array of float64
    """
    molecules = as_floats("molecules", molecules, shape=(None, None), low=0, nan=False)
    width = as_positive("probe_um", probe_um) / as_positive("pixel_size_um", pixel_size_um)
    return np.asarray(scipy.ndimage.gaussian_filter(molecules, width / _WIDTHS, mode="constant"))


# Full width at half height of a Gaussian over its standard deviation.
_WIDTHS = 2 * np.sqrt(2 * np.log(2))


@functools.lru_cache(maxsize=8)
def _beams(microscope: StedMicroscope) -> tuple[Float64Array, Float64Array, Float64Array, float]:
    """Give excitation, ring and detection around the middle, and the first one's area in µm²."""
    step = microscope.pixel_size_um
    widths = {
        name: 0.51 * wavelength / microscope.na
        for name, wavelength in (
            ("excitation", microscope.excitation_um),
            ("depletion", microscope.depletion_um),
            ("emission", microscope.emission_um),
        )
    }
    reach = int(np.ceil(1.6 * max(widths.values()) / step))
    if reach > 1000:
        raise SettingsError(
            f"pixel_size_um must be at least {max(widths.values()) / 600:.2g} with these "
            f"wavelengths, not {step:g}."
        )
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] * step
    squared = x**2 + y**2

    def gaussian(width: float) -> Float64Array:
        return np.asarray(np.exp(-4 * np.log(2) * squared / width**2))

    excitation = gaussian(widths["excitation"])
    # A ring of one times r² has its brightest place at one over the square root of its decay.
    decay = 4 * np.log(2) / widths["depletion"] ** 2
    ring = np.e * decay * squared * np.exp(-decay * squared)
    ring = (1 - microscope.residual) * ring + microscope.residual * gaussian(widths["depletion"])
    area = np.pi * widths["excitation"] ** 2 / (4 * np.log(2))
    return excitation, ring, gaussian(widths["emission"]), float(area)


def _seen(
    microscope: StedMicroscope, excitation_uw: float, depletion_mw: float, dwell_s: float
) -> tuple[Float64Array, float]:
    """Give photons of a molecule by where the beam is, and its chance to be bleached at the end.

    A beam that moves line by line passes each molecule in the same order; what it has been exposed
    to until then decides what is left of it. So also with bleaching, an image is a convolution.
    """
    excitation, ring, detection, area_um2 = _beams(microscope)
    photon_j = _PLANCK_J_S * _LIGHT_UM_S / microscope.excitation_um
    flux = 1e-6 * excitation_uw / area_um2 / photon_j
    pumped = microscope.cross_section_um2 * microscope.lifetime_s * flux * excitation
    excited_hz = pumped / (1 + pumped) / microscope.lifetime_s
    strength = depletion_mw / microscope.saturation_mw * ring
    left = np.exp(-np.log(2) * strength)
    per_excitation = microscope.bleached * (
        1 + microscope.bleached_by_depletion * strength**microscope.bleaching_order
    )
    # What comes before a place of the beam in the scan: all lines above, and the left of its own.
    dose = dwell_s * excited_hz * per_excitation
    before = (np.cumsum(dose) - dose.ravel()).reshape(dose.shape)
    photons = dwell_s * microscope.efficiency * excited_hz * left * detection * np.exp(-before)
    return photons, float(-np.expm1(-dose.sum()))
