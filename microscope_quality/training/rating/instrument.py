"""A model of an electron microscope: what it makes of a sharp field, with exact labels.

A field goes through the probe (defocus and astigmatism), the drift of an averaged frame, the scan
(jitter and vibration), the specimen's charge, the electrons' and the detector's noise, and the
camera's contrast, brightness and depth, in this order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter1d
from scipy.special import j1

from microscope_quality.components import LEAST_BLUR_PX, as_outputs
from microscope_quality.concordance import score_of, spectral_concordance

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

#: Pixels around a field that are cut off when it was degraded: nothing from beyond reaches it.
MARGIN_PX = 48
#: RMS width in pixels that a probe has at the most.
MOST_BLUR_PX = 12.0

_SIGMAS_OF_CONTRAST = (1.3, 5.0)


@dataclass(frozen=True)
class Fault:
    """What is wrong with an image, and how strongly.

    Attributes
    ----------
    defocus_px, astigmatism_px : float
        The probe is an ellipse with the RMS half widths |defocus + astigmatism| along `axis` and
        |defocus - astigmatism| across it, beside the least probe.
    axis : float
        In radians, from the lines' direction towards the next lines.
    disc : float
        Share of the probe that is an even (geometric) disc, 0 to 1; the rest is Gaussian.
    drift_px, drift_axis : float
        Way of the specimen during an averaged frame, which smears it along an axis.
    jitter_px : float
        RMS displacement of lines along themselves.
    jitter_lines : float
        Lines over which that is alike, as the deviation of a Gaussian: 0 for none.
    vibration_lines : float
        Period of the displacement in lines where it is a vibration; 0 where it is not.
    line_noise : float
        RMS of offsets of lines and of charging streaks, over the deviation of the ideal.
    streaks : int
        Number of streaks in 256 x 256 pixels; with 0, lines are offset alone.
    noise : float
        Deviation of the noise, over that of the ideal.
    electrons : float
        Mean number of electrons in a pixel, which sets how far the noise follows the intensity;
        0 for noise of the detector alone.
    detector_lines_px : float
        Deviation in pixels along the line over which the detector smooths its noise.
    gamma : float
        Exponent of the display curve, 1 for a straight one.
    low, high : float
        Deviations below and above the mean at which grey levels end.
    depth : int
        Grey levels.
    """

    defocus_px: float = 0.0
    astigmatism_px: float = 0.0
    axis: float = 0.0
    disc: float = 0.0
    drift_px: float = 0.0
    drift_axis: float = 0.0
    jitter_px: float = 0.0
    jitter_lines: float = 0.0
    vibration_lines: float = 0.0
    line_noise: float = 0.0
    streaks: int = 0
    noise: float = 0.02
    electrons: float = 0.0
    detector_lines_px: float = 0.0
    gamma: float = 1.0
    low: float = 5.0
    high: float = 5.0
    depth: int = 255

    def widths(self) -> tuple[float, float, float]:
        """Give the RMS widths of the whole probe in pixels, long and short, and the long axis.

        They are those of the sum of the second moments: of the least probe, the probe, the drift.
        """
        along = abs(self.defocus_px + self.astigmatism_px)
        across = abs(self.defocus_px - self.astigmatism_px)
        moments = LEAST_BLUR_PX**2 * np.eye(2)
        moments += _moments(along**2, across**2, self.axis)
        moments += _moments(self.drift_px**2 / 12, 0.0, self.drift_axis)
        values, vectors = np.linalg.eigh(moments)
        axis = math.atan2(vectors[1, 1], vectors[0, 1]) % math.pi
        return math.sqrt(values[1]), math.sqrt(values[0]), axis


def _moments(along: float, across: float, axis: float) -> Float64Array:
    c, s = math.cos(axis), math.sin(axis)
    turned = np.array([[c, -s], [s, c]])
    return np.asarray(turned @ np.diag([along, across]) @ turned.T)


def drawn_fault(generator: np.random.Generator) -> Fault:
    """Draw a fault, as training sees them: most are mild, each can be alone, all can be together.

    Widths, noise and the like are drawn evenly by their logarithms.
    """
    rng = generator
    defocus = 0.0 if rng.random() < 0.2 else _log_even(rng, 0.4, 11)
    astigmatism = 0.0
    if rng.random() < 0.55:
        astigmatism = defocus * rng.uniform(0.1, 1.6) if defocus else _log_even(rng, 0.4, 4)
    drift = _log_even(rng, 1, 12) if rng.random() < 0.15 else 0.0
    widest = max(abs(defocus) + abs(astigmatism), drift / math.sqrt(12))
    shrink = min(1.0, (MOST_BLUR_PX - 1) / max(widest, 1e-9))
    jitter = 0.0 if rng.random() < 0.6 else _log_even(rng, 0.2, 4)
    line_noise = 0.0 if rng.random() < 0.6 else _log_even(rng, 0.05, 1.5)
    low, high = rng.uniform(*_SIGMAS_OF_CONTRAST, 2)
    if rng.random() < 0.7:
        low, high = max(low, 2.5), max(high, 2.5)
    return Fault(
        defocus_px=shrink * defocus,
        astigmatism_px=shrink * astigmatism,
        axis=rng.uniform(0, math.pi),
        disc=float(rng.choice([0, 0.5, 1])),
        drift_px=shrink * drift,
        drift_axis=rng.uniform(0, math.pi),
        jitter_px=jitter,
        jitter_lines=float(rng.choice([0, 0.7, 1.5])),
        vibration_lines=rng.uniform(2, 8) if rng.random() < 0.25 else 0.0,
        line_noise=line_noise,
        streaks=int(rng.integers(0, 14)),
        noise=_log_even(rng, 0.03, 2.5),
        electrons=_log_even(rng, 2, 300) if rng.random() < 0.6 else 0.0,
        detector_lines_px=rng.uniform(0.3, 0.8) if rng.random() < 0.4 else 0.0,
        gamma=_log_even(rng, 0.7, 1.4) if rng.random() < 0.3 else 1.0,
        low=low,
        high=high,
        depth=int(rng.choice([40, 100, 255, 255])),
    )


def _log_even(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def degraded(
    field: Float32Array, fault: Fault, generator: np.random.Generator
) -> tuple[Float32Array, Float32Array]:
    """Image a sharp field with a fault, and with the least probe and nothing else.

    Parameters
    ----------
    field : (height, width) array
        With `MARGIN_PX` around what is wanted.
    fault
        What is wrong.
    generator
        Draws the noise, the lines' displacements, and the charge.

    Returns
    -------
    image, ideal : (height - 2 MARGIN_PX, width - 2 MARGIN_PX) array of float32
        The image in whole grey levels.
    """
    rng, m = generator, MARGIN_PX
    shape = field.shape
    if min(shape) <= 2 * m:
        raise ValueError(f"The field has the shape {shape}, less than its margins of {m} pixels.")
    transformed = fft.rfft2(np.asarray(field, np.float32))
    least = _transfer(shape, LEAST_BLUR_PX, LEAST_BLUR_PX, 0.0, 0.0)
    ideal = fft.irfft2(transformed * least, shape)
    deviation = float(ideal[m:-m, m:-m].std()) + 1e-9
    along = abs(fault.defocus_px + fault.astigmatism_px)
    across = abs(fault.defocus_px - fault.astigmatism_px)
    transfer = least * _transfer(shape, along, across, fault.axis, fault.disc)
    if fault.drift_px:
        transfer = transfer * _smear(shape, fault.drift_px, fault.drift_axis)
    image = np.asarray(fft.irfft2(transformed * transfer, shape), np.float32)
    if fault.jitter_px:
        image = _displaced(image, _displacements(shape[0], fault, rng))
    image, ideal = image[m:-m, m:-m].copy(), ideal[m:-m, m:-m]
    if fault.line_noise:
        image += deviation * fault.line_noise * _charge(image.shape, fault.streaks, rng)
    image += deviation * fault.noise * _noise(image, fault, rng)
    mean, spread = float(image.mean()), float(image.std()) + 1e-9
    share = np.clip((image - mean + fault.low * spread) / ((fault.low + fault.high) * spread), 0, 1)
    if fault.gamma != 1:
        share = share**fault.gamma
    return np.round(share * fault.depth).astype(np.float32), ideal.astype(np.float32)


def labelled(image: Float32Array, ideal: Float32Array, fault: Fault) -> Float32Array:
    """Give the outputs (`components.OUTPUTS`) that a rater should have for a patch of an image."""
    long, short, axis = fault.widths()
    return as_outputs(
        score=score_of(spectral_concordance(image, ideal)),
        long_px=long,
        short_px=short,
        axis=axis,
        noise=fault.noise,
        line_noise=fault.line_noise,
        jitter_px=fault.jitter_px,
    )


def _waves(shape: tuple[int, ...]) -> tuple[Float32Array, Float32Array]:
    fy = np.fft.fftfreq(shape[0])[:, np.newaxis].astype(np.float32)
    return fy, np.fft.rfftfreq(shape[1])[np.newaxis].astype(np.float32)


def _transfer(
    shape: tuple[int, ...], along: float, across: float, axis: float, disc: float
) -> Float32Array:
    """Transfer of a probe with RMS widths along an axis and across it."""
    fy, fx = _waves(shape)
    u = fx * math.cos(axis) + fy * math.sin(axis)
    v = fy * math.cos(axis) - fx * math.sin(axis)
    squares = (along * u) ** 2 + (across * v) ** 2
    gauss = np.exp(-2 * np.pi**2 * squares)
    if not disc:
        return np.asarray(gauss, np.float32)
    # An even ellipse of the half axis a has the RMS width a / 2.
    rho = 4 * np.pi * np.sqrt(squares) + 1e-6
    return np.asarray(disc * 2 * j1(rho) / rho + (1 - disc) * gauss, np.float32)


def _smear(shape: tuple[int, ...], length_px: float, axis: float) -> Float32Array:
    fy, fx = _waves(shape)
    return np.asarray(np.sinc(length_px * (fx * math.cos(axis) + fy * math.sin(axis))), np.float32)


def _displacements(lines: int, fault: Fault, rng: np.random.Generator) -> Float64Array:
    if fault.vibration_lines:
        phase = 2 * np.pi * (np.arange(lines) / fault.vibration_lines + rng.random())
        return np.asarray(fault.jitter_px * math.sqrt(2) * np.sin(phase))
    shifts = rng.normal(size=lines)
    if fault.jitter_lines:
        # Slower wander is a smooth distortion, which no single image tells from the specimen.
        shifts = gaussian_filter1d(shifts, fault.jitter_lines)
    shifts -= shifts.mean()
    return np.asarray(fault.jitter_px * shifts / (shifts.std() + 1e-9))


def _displaced(image: Float32Array, shifts: Float64Array) -> Float32Array:
    """Displace each line along itself; exact, as interpolation between pixels would smooth them."""
    turns = np.exp(-2j * np.pi * shifts[:, np.newaxis] * np.fft.rfftfreq(image.shape[1]))
    lines = fft.rfft(image, axis=1) * turns.astype(np.complex64)
    return np.asarray(fft.irfft(lines, image.shape[1], axis=1), np.float32)


def _charge(shape: tuple[int, ...], streaks: int, rng: np.random.Generator) -> Float32Array:
    """Offsets of lines and decaying streaks along them, with a deviation of 1."""
    height, width = shape
    offsets = rng.normal(size=(height, 1)) * rng.uniform(0.05 if streaks else 1, 1)
    charge = np.broadcast_to(offsets, shape).copy()
    columns = np.arange(width)
    for _ in range(rng.poisson(streaks * height * width / 256**2)):
        y, x = rng.integers(height), rng.integers(width)
        behind = np.maximum(columns - x, 0)
        decay = np.where(columns >= x, np.exp(-behind / _log_even(rng, 8, 300)), 0)
        charge[y : y + rng.integers(1, 4)] += rng.choice([-1, 1]) * rng.uniform(1, 4) * decay
    charge -= charge.mean()
    return np.asarray(charge / (charge.std() + 1e-9), np.float32)


def _noise(image: Float32Array, fault: Fault, rng: np.random.Generator) -> Float32Array:
    """Noise with a deviation of about 1: that of counted electrons, or the detector's alone."""
    if fault.electrons:
        low = image.min()
        expected = fault.electrons * (image - low) / max(float(image.mean() - low), 1e-9)
        noise = (rng.poisson(expected) - expected) / math.sqrt(fault.electrons)
    else:
        noise = rng.standard_normal(image.shape, np.float32)
    if fault.detector_lines_px:
        noise = gaussian_filter1d(noise, fault.detector_lines_px, axis=1)
        noise = noise / (noise.std() + 1e-9)
    return np.asarray(noise, np.float32)
