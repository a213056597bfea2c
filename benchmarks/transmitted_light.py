"""Stacks of living cells in phase contrast and DIC, simulated point by point of the light source.

Each source point in the condenser's front focal plane lights the thin specimen by a tilted plane
wave; what the pupil lets through of the diffracted light makes an image, and the images of all
source points add up (E. Abbe's theory; M. Born and E. Wolf, Principles of Optics, 7th ed., 10.6).
Nothing of this is shared with what training simulates.
"""

from __future__ import annotations

from typing import Any, Iterator, List, NamedTuple, Tuple

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage

from microscope_quality.degrade import Camera

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complexfloating[Any, Any]]

NA = 0.5
WAVELENGTH_UM = 0.55
# Pixels of the camera in the specimen, and of the grid that waves are reckoned on.
PIXEL_UM = 0.52
BINNED = 2
SIDE_PX = 128
# Cells that the grid's border cuts diffract light there: so much is left out around the image.
_BORDER_PX = 16
_GRID = BINNED * (SIDE_PX + 2 * _BORDER_PX)
STEP_UM = 2.0
PLANES = 11

MODALITIES = ("phase contrast", "DIC")


class SimulatedStack(NamedTuple):
    """Planes of a stack, and the number of that in focus."""

    planes: List[npt.NDArray[Any]]
    in_focus: int


def specimen(seed: int) -> ComplexArray:
    """Simulate what thin cells do to a wave: flat bodies, nuclei, granules and fibres."""
    rng = np.random.default_rng((77, seed))
    um = PIXEL_UM / BINNED
    y, x = np.indices((_GRID, _GRID)) * um
    phase, absorbed = np.zeros((_GRID, _GRID)), np.zeros((_GRID, _GRID))
    for _ in range(int(rng.integers(5, 13))):
        cy, cx = rng.uniform(0, _GRID * um, 2)
        angle, long, short = rng.uniform(0, np.pi), rng.uniform(9, 22), rng.uniform(5, 9)
        u = (y - cy) * np.sin(angle) + (x - cx) * np.cos(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        inside = (u / long) ** 2 + (v / short) ** 2
        # A cell ends in a thin, steep edge.
        body = np.sqrt(np.clip(1 - inside, 0, 1)) + 0.25 * (inside < 1)
        phase += rng.uniform(0.4, 1.3) * body
        nucleus = (u / (0.3 * long)) ** 2 + (v / (0.55 * short)) ** 2
        phase += rng.uniform(0.1, 0.4) * np.sqrt(np.clip(1 - nucleus, 0, 1))
        for _ in range(int(rng.integers(15, 50))):
            along, across = rng.uniform(-0.8, 0.8, 2) * (0.9 * long, 0.9 * short)
            radius = rng.uniform(0.3, 1.0)
            apart = ((u - along) ** 2 + (v - across) ** 2) / radius**2
            granule = np.sqrt(np.clip(1 - apart, 0, 1))
            phase += rng.uniform(0.2, 0.8) * granule
            if rng.random() < 0.2:
                absorbed += rng.uniform(0.1, 0.5) * granule
        for _ in range(int(rng.integers(0, 5))):
            bent = v - rng.uniform(-0.5, 0.5) * short - rng.uniform(-0.02, 0.02) * u**2
            phase += 0.3 * np.exp(-0.5 * (bent / 0.25) ** 2) * (np.abs(u) < 1.3 * long)
    phase = scipy.ndimage.gaussian_filter(phase, 0.6, mode="wrap")
    wave: ComplexArray = np.exp(1j * phase - scipy.ndimage.gaussian_filter(absorbed, 0.6))
    return wave


def stacks(modality: str, count: int) -> Iterator[SimulatedStack]:
    """Simulate stacks of specimens, in focus at planes 3 to 7 of 11.

    Parameters
    ----------
    modality : str
        One of `MODALITIES`.
    count : int
    """
    rng = np.random.default_rng((88, MODALITIES.index(modality)))
    spectra = [
        scipy.fft.fft2(specimen(1000 * MODALITIES.index(modality) + number)).astype(np.complex64)
        for number in range(count)
    ]
    focused = rng.integers(3, 8, count)
    first = -int(focused.max())
    last = PLANES - 1 - int(focused.min())
    images = {z: _images(modality, spectra, STEP_UM * z) for z in range(first, last + 1)}
    for number, middle in enumerate(focused.tolist()):
        photons = float(np.exp(rng.uniform(np.log(500), np.log(10_000))))
        planes = []
        for z in range(-middle, PLANES - middle):
            image = images[z][number]
            planes.append(Camera().expose(photons * image, rng))
        yield SimulatedStack(planes, middle)


def _images(modality: str, spectra: List[ComplexArray], z_um: float) -> List[FloatArray]:
    """Image specimens at a distance from focus; an empty place has about 1."""
    f = scipy.fft.fftfreq(_GRID, PIXEL_UM / BINNED)
    fy, fx = f[:, np.newaxis], f[np.newaxis, :]
    sums = [np.zeros((_GRID, _GRID)) for _ in spectra]
    empty = 0.0
    bias, shear_um = np.pi / 5, 0.35
    for sy, sx in _source(modality):
        pupil = _pupil(modality, fy + sy, fx + sx, z_um)
        if modality == "DIC":
            # Two images, sheared along the diagonal, with opposite signs.
            pupil = pupil * np.sin(np.pi * shear_um * (fy + fx) / np.sqrt(2) + bias)
        empty += float(np.abs(pupil[0, 0]) ** 2)
        narrow = pupil.astype(np.complex64)
        for total, spectrum in zip(sums, spectra):
            seen = scipy.fft.ifft2(spectrum * narrow, overwrite_x=True)
            total += seen.real**2 + seen.imag**2
    binned = (_GRID // BINNED, BINNED, _GRID // BINNED, BINNED)
    inside = (slice(_BORDER_PX, -_BORDER_PX),) * 2
    return [total.reshape(binned).mean(axis=(1, 3))[inside] / empty for total in sums]


def _source(modality: str) -> List[Tuple[float, float]]:
    """Give the source points, in cycles per µm: a ring for phase contrast, a disc for DIC.

    They are so many that the images of neighbouring points, which defocus moves apart, overlap.
    """
    cutoff = NA / WAVELENGTH_UM
    golden = np.pi * (3 - np.sqrt(5))
    if modality == "DIC":
        number = np.arange(64)
        radius, angle = 0.75 * np.sqrt((number + 0.5) / 64), golden * number
    else:
        number = np.arange(30)
        radius, angle = 0.5 + 0.04 * np.sin(2.4 * number), 2 * np.pi * number / 30
    return list(zip((cutoff * radius * np.sin(angle)), (cutoff * radius * np.cos(angle))))


def _pupil(modality: str, fy: FloatArray, fx: FloatArray, z_um: float) -> ComplexArray:
    """Give what the objective lets through, and the phase that defocus adds."""
    squared = fy**2 + fx**2
    cutoff = NA / WAVELENGTH_UM
    inside = squared <= cutoff**2
    along = np.sqrt(np.maximum(WAVELENGTH_UM**-2 - squared, 0)) - 1 / WAVELENGTH_UM
    pupil = inside * np.exp(2j * np.pi * z_um * along)
    if modality == "phase contrast":
        # A ring that dims the light that nothing has diffracted, and delays it by a quarter wave.
        ring = np.abs(np.sqrt(squared) - 0.5 * cutoff) < 0.06 * cutoff
        pupil = np.where(ring, 0.5j * pupil, pupil)
    return np.asarray(pupil, np.complex128)
