"""The training stream: sharp images in, normalised patches of known defocus out, without end.

A block of patches depends on the settings, the images, the seed and the block's number only, so
the stream is the same whatever the number of processes that make it, and can start anywhere.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import OrderedDict
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage

from microscope_quality.errors import SettingsError
from microscope_quality.files.images import planes
from microscope_quality.focus import resample
from microscope_quality.model import normalise
from microscope_quality.optics import N_LEVELS, TRAINING_OPTICS, Optics, psf
from microscope_quality.training.exposure import log_uniform, signal

FloatArray = npt.NDArray[np.float32]
Range = tuple[float, float]


@dataclass(frozen=True)
class SharpImage:
    """One sharp plane of a file, and what belongs with it.

    Attributes
    ----------
    path : str
        The file.
    plane : int
        Which of the file's planes, counted from 0 in the order they are read.
    kind : str
        What it shows, by default its folder; every kind gets its share of the stream.
    field : str
        The field of view; images that share it stay on the same side of a split.
    source : str
        Where it comes from; empty when unknown.
    licence : str
        As stated by its source; empty when unknown.
    """

    path: str
    plane: int = 0
    kind: str = ""
    field: str = ""
    source: str = ""
    licence: str = ""

    def load(self) -> FloatArray:
        """Read the plane as light (see :func:`microscope_quality.training.exposure.signal`)."""
        for number, plane in enumerate(planes(Path(self.path))):
            if number == self.plane:
                return signal(plane.array)
        raise SettingsError(f"{self.path} has no plane {self.plane}.")


@dataclass(frozen=True)
class StreamSettings:
    """What the stream's patches go through.

    Ranges are ``(low, high)``; fractions are of the patches, or of the regions they come from.

    Attributes
    ----------
    optics : Optics
        The microscope whose defocus is simulated.
    patch_size : int
        Pixels on a side.
    normalisation : str
        The model's: ``"zscore"`` or ``"type_range"``.
    photons : range
        Photoelectrons at the brightest percent of the sharp image, log-uniform.
    background : range
        Uniform background as a fraction of ``photons``.
    read_noise : range
        Electrons, root mean square.
    empty_fraction : float
        Patches without content, trained towards the uniform distribution.
    transmitted_fraction : float
        Regions whose signal absorbs light instead of giving it, as in brightfield.
    shrink_fraction, shrink : float, range
        Regions that are shrunk by area averaging first, and by how much: objects of more sizes.
    eight_bit_fraction : float
        Patches recorded with few grey levels.
    saturated_fraction : float
        Patches whose brightest pixels are cut off.
    gain, offset : range
        Applied to the 16-bit patch, log-uniform, for a model whose normalisation keeps them.
    """

    optics: Optics = TRAINING_OPTICS
    patch_size: int = 84
    normalisation: str = "zscore"
    photons: Range = (100.0, 50_000.0)
    background: Range = (0.0, 0.2)
    read_noise: Range = (0.5, 6.0)
    empty_fraction: float = 0.06
    transmitted_fraction: float = 0.1
    shrink_fraction: float = 0.3
    shrink: Range = (0.5, 1.0)
    eight_bit_fraction: float = 0.4
    saturated_fraction: float = 0.1
    gain: Range = (1.0, 1.0)
    offset: Range = (1.0, 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as plain numbers."""
        return asdict(self)


LEVELS_PER_REGION = 4
PATCHES_PER_LEVEL = 5
REGION_PATCHES = 2.5
CACHE_BYTES = 1 << 30
# A place shows something when, averaged over so many pixels, its contrast exceeds this fraction
# of the brightest percent and what noise alone gives.
SMOOTHED_PX = 5
LEAST_CONTRAST = 0.02


class BlockMaker:
    """Makes the stream's blocks; holds the images read so far and the kernels' spectra."""

    def __init__(
        self, images: Sequence[SharpImage], settings: StreamSettings, seed: int, block_size: int
    ) -> None:
        if not images:
            raise SettingsError("A training stream needs at least one sharp image; there is none.")
        self.settings = settings
        self.seed = seed
        self.block_size = block_size
        self._images = list(images)
        self._by_kind: dict[str, list[int]] = {}
        for number, image in enumerate(self._images):
            self._by_kind.setdefault(image.kind, []).append(number)
        shares = np.sqrt([len(members) for members in self._by_kind.values()])
        self._kinds = list(self._by_kind.values())
        self._kind_share = shares / shares.sum()
        kernels = [
            psf(
                settings.optics,
                settings.optics.defocus_of_level(level, paraxial=True),
                paraxial=True,
            )
            for level in range(N_LEVELS)
        ]
        self._margin = max(len(kernel) for kernel in kernels) // 2
        region = round(REGION_PATCHES * settings.patch_size)
        self._padded = scipy.fft.next_fast_len(region + 2 * self._margin, real=True)
        self._spectra = [_spectrum(kernel, self._padded) for kernel in kernels]
        self._cache: OrderedDict[int, FloatArray] = OrderedDict()
        self._cached_bytes = 0

    def block(self, index: int) -> tuple[FloatArray, FloatArray]:
        """Make block number ``index``.

        Returns
        -------
        patches : ndarray of float32, shape (block_size, patch, patch)
        targets : ndarray of float32, shape (block_size, levels)
            One-hot, or uniform for an empty patch.
        """
        settings = self.settings
        rng = np.random.default_rng((self.seed, index))
        normal = NormalNoise(rng)
        size = settings.patch_size
        grey = np.empty((self.block_size, size, size), dtype=np.float32)
        targets = np.zeros((self.block_size, N_LEVELS), dtype=np.float32)
        empty = rng.random(self.block_size) < settings.empty_fraction
        for number in np.flatnonzero(empty):
            grey[number] = empty_patch(rng, normal, settings)
            targets[number] = 1 / N_LEVELS
        rows = iter(rng.permutation(np.flatnonzero(~empty)).tolist())
        row: Optional[int] = next(rows, None)
        while row is not None:
            sharp = self._region(rng)
            spectrum = scipy.fft.rfft2(sharp)
            smooth = scipy.ndimage.uniform_filter(sharp, SMOOTHED_PX)
            least_shown = max(LEAST_CONTRAST, 8 * noise_deviation(sharp) / SMOOTHED_PX)
            for level in rng.choice(N_LEVELS, LEVELS_PER_REGION, replace=False):
                blurred = scipy.fft.irfft2(spectrum * self._spectra[level], s=sharp.shape)
                for _ in range(PATCHES_PER_LEVEL):
                    if row is None:
                        break
                    y, x = self._place(rng, smooth)
                    light = blurred[y : y + size, x : x + size]
                    grey[row] = record(rng, normal, _turned(rng, light), settings)
                    if np.ptp(smooth[y : y + size, x : x + size]) > least_shown:
                        targets[row, level] = 1
                    else:
                        # The blurred noise of an empty place would tell the level, but only here.
                        targets[row] = 1 / N_LEVELS
                    row = next(rows, None)
        if settings.gain != (1.0, 1.0) or settings.offset != (1.0, 1.0):
            for patch in grey:
                patch *= log_uniform(rng, *settings.gain)
                patch += log_uniform(rng, *settings.offset)
            np.clip(grey, 0, 65535, out=grey)
        patches, _ = normalise(grey, settings.normalisation, type_max=65535)
        return patches, targets

    def _region(self, rng: np.random.Generator) -> FloatArray:
        """Give a region of a random image, with the margin that its defocus needs."""
        settings = self.settings
        kind = self._kinds[rng.choice(len(self._kinds), p=self._kind_share)]
        image = self._light(int(kind[rng.integers(len(kind))]))
        n = self._padded
        factor = 1.0
        if rng.random() < settings.shrink_fraction:
            factor = float(rng.uniform(*settings.shrink))
            factor = min(1.0, max(factor, n / min(image.shape)))
        needed = int(np.ceil(n / factor))
        y, x = (int(rng.integers(max(1, length - needed + 1))) for length in image.shape)
        region = image[y : y + needed, x : x + needed]
        if factor < 1.0:
            region = resample(region, (n, n)).astype(np.float32)
        if rng.random() < settings.transmitted_fraction:
            region = np.exp(-rng.uniform(0.3, 2.0) * np.minimum(region, 3)).astype(np.float32)
        return region

    def _light(self, number: int) -> FloatArray:
        """Give an image's light with its border reflected, from the cache when it is there."""
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        light = self._images[number].load()
        margin = [(self._margin, max(self._margin, self._padded - n)) for n in light.shape]
        light = np.pad(light, margin, mode="symmetric")
        self._cache[number] = light
        self._cached_bytes += light.nbytes
        while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return light

    def _place(self, rng: np.random.Generator, smooth: FloatArray) -> tuple[int, int]:
        """Choose where a patch is cut: of two random places mostly the one that shows more."""
        size, margin = self.settings.patch_size, self._margin
        last = smooth.shape[0] - margin - size
        places = rng.integers(margin, last + 1, size=(2, 2))
        if rng.random() < 0.7:
            shown = [np.ptp(smooth[y : y + size : 4, x : x + size : 4]) for y, x in places]
            return tuple(places[int(np.argmax(shown))])
        return tuple(places[0])


def noise_deviation(image: FloatArray) -> float:
    """Estimate the standard deviation of an image's noise from its median absolute Laplacian.

    The mask is that of J. Immerkær, Computer Vision and Image Understanding 64:300 (1996), which
    structures with straight edges leave; the median leaves the others.
    """
    rows = image[:-2] - 2 * image[1:-1] + image[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    # The mask's squares sum to 36, and a normal's median absolute value is 0.6745 deviations.
    return float(np.median(np.abs(both)) / (6 * 0.6745))


def record(
    rng: np.random.Generator,
    normal: NormalNoise,
    light: npt.NDArray[Any],
    settings: StreamSettings,
) -> FloatArray:
    """Take a patch with a random exposure: photon noise, background, read noise, grey levels.

    Parameters
    ----------
    light : ndarray, shape (patch, patch)
        1 at the sharp image's brightest percent.
    """
    photons = log_uniform(rng, *settings.photons)
    background = float(rng.uniform(*settings.background))
    expected = photons * (np.maximum(light, 0) + background)
    return digitise(rng, normal, photoelectrons(rng, normal, expected), settings)


class NormalNoise:
    """Normal deviates out of a pool of a million, drawn once and taken at random places.

    Drawing them afresh for each patch would take as long as all else in the stream together.
    """

    SIZE = 1 << 20

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._pool = rng.standard_normal(self.SIZE, dtype=np.float32)

    def __call__(self, shape: tuple[int, ...]) -> FloatArray:
        """Give an array of deviates; a view that must not be written to."""
        count = int(np.prod(shape))
        start = int(self._rng.integers(self.SIZE - count))
        return self._pool[start : start + count].reshape(shape)


def photoelectrons(
    rng: np.random.Generator, normal: NormalNoise, expected: npt.NDArray[Any]
) -> FloatArray:
    """Draw Poisson counts; where 4 or more are expected, by the Cornish-Fisher expansion.

    ``λ + √(λ − 5/36)·z + (z² − 1)/6`` of a normal z, rounded, has the mean and the variance, and
    to order 1/λ the skewness, of the Poisson distribution, and takes a tenth of the time.
    """
    expected = expected.astype(np.float32)
    noise = normal(expected.shape)
    counts = np.square(noise)
    counts -= 1
    counts *= np.float32(1 / 6)
    counts += noise * np.sqrt(np.maximum(expected - np.float32(5 / 36), 0))
    counts += expected
    np.rint(counts, out=counts)
    few = expected < 4
    if few.any():
        counts[few] = rng.poisson(expected[few])
    return counts


def digitise(
    rng: np.random.Generator,
    normal: NormalNoise,
    electrons: FloatArray,
    settings: StreamSettings,
    *,
    least_levels: float = 10.0,
) -> FloatArray:
    """Add read noise and turn electrons into grey levels of a random camera.

    With few grey levels, the brightest pixel has ``least_levels`` or more.
    """
    electrons = electrons + np.float32(rng.uniform(*settings.read_noise)) * normal(electrons.shape)
    top = float(electrons.max())
    if rng.random() < settings.saturated_fraction:
        bottom = max(0.0, float(electrons.min()))
        top = bottom + (top - bottom) * float(rng.uniform(0.5, 1.0))
        np.minimum(electrons, np.float32(top), out=electrons)
    if rng.random() < settings.eight_bit_fraction:
        levels = log_uniform(rng, min(least_levels, 250), 255)
        electrons *= np.float32(levels / max(top, 1.0))
        electrons += np.float32(rng.uniform(0, 5))
        largest = 255
    else:
        electrons *= np.float32(log_uniform(rng, 0.5, 2.0))
        electrons += np.float32(rng.uniform(50, 300))
        largest = 65535
    np.rint(electrons, out=electrons)
    return np.clip(electrons, 0, largest, out=electrons)


def empty_patch(
    rng: np.random.Generator, normal: NormalNoise, settings: StreamSettings
) -> FloatArray:
    """Make a patch that shows nothing: noise, gradients, vignetting, hot pixels, fixed pattern."""
    size = settings.patch_size
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    shape = np.ones((size, size), dtype=np.float32)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        slope = np.float32(rng.uniform(0, 0.4))
        shape += slope * (np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y)
    if rng.random() < 0.3:
        cy, cx = rng.uniform(-3, 3, size=2).astype(np.float32)
        shape *= 1 - np.float32(rng.uniform(0, 0.03)) * ((y - cy) ** 2 + (x - cx) ** 2)
    expected = log_uniform(rng, 0.5, 20_000) * np.maximum(shape, 0)
    electrons = photoelectrons(rng, normal, expected)
    if rng.random() < 0.25:
        spread = np.sqrt(max(1.0, float(electrons.mean())))
        pattern = rng.standard_normal(size if rng.random() < 0.5 else (size, size))
        electrons += (rng.uniform(0, 1.0) * spread * pattern).astype(np.float32)
    if rng.random() < 0.15:
        # Interpolation and compression correlate the noise of neighbours.
        electrons = scipy.ndimage.gaussian_filter(electrons, rng.uniform(0.3, 0.7), mode="mirror")
    if rng.random() < 0.4:
        hot = rng.integers(size, size=(2, int(rng.integers(1, 20))))
        spread = np.sqrt(max(1.0, float(electrons.mean())))
        electrons[tuple(hot)] += (
            log_uniform(rng, 5, 300) * spread * rng.random(hot.shape[1])
        ).astype(np.float32)
    # A camera's grey level is no more than twice the noise; else a gradient would have edges.
    noise = np.sqrt(max(1.0, float(expected.mean())))
    least_levels = max(10.0, float(electrons.max()) / (2 * noise))
    return digitise(rng, normal, electrons, settings, least_levels=least_levels)


def _turned(rng: np.random.Generator, patch: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn by quarters and mirror."""
    turned = np.rot90(patch, int(rng.integers(4)))
    return turned[:, ::-1] if rng.random() < 0.5 else turned


def _spectrum(kernel: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.complex64]:
    """Give the kernel's transfer function on an n × n grid, its centre at the origin."""
    half = len(kernel) // 2
    grid = np.zeros((n, n), dtype=np.float32)
    grid[: len(kernel), : len(kernel)] = kernel
    return scipy.fft.rfft2(np.roll(grid, (-half, -half), axis=(0, 1)))


_maker: Optional[BlockMaker] = None


def _start(
    images: Sequence[SharpImage], settings: StreamSettings, seed: int, block_size: int
) -> None:
    global _maker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _maker = BlockMaker(images, settings, seed, block_size)


def _end_with_parent() -> None:
    """End this process when the one that asked for blocks is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(index: int) -> tuple[FloatArray, FloatArray]:
    assert _maker is not None
    return _maker.block(index)


def blocks(
    images: Sequence[SharpImage],
    settings: StreamSettings,
    *,
    seed: int,
    block_size: int = 1024,
    first: int = 0,
    workers: int = 1,
    ahead: int = 4,
) -> Generator[tuple[FloatArray, FloatArray], None, None]:
    """Make blocks without end in worker processes, ``ahead`` of them before they are asked for.

    Parameters
    ----------
    images : sequence of SharpImage
    settings : StreamSettings
    seed : int
    block_size : int
        Patches in a block.
    first : int
        Number of the first block.
    workers : int
        Processes; 0 makes the blocks in this one.
    ahead : int
        Blocks under way.

    Yields
    ------
    patches, targets
        As :meth:`BlockMaker.block` gives them, in order.
    """
    if workers == 0:
        maker = BlockMaker(images, settings, seed, block_size)
        while True:
            yield maker.block(first)
            first += 1
    with ProcessPoolExecutor(
        workers,
        # A fork of a process that runs a network can hang; a fresh one imports NumPy only.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(list(images), settings, seed, block_size),
    ) as pool:
        pending: list[Future[tuple[FloatArray, FloatArray]]] = []
        try:
            while True:
                while len(pending) < ahead:
                    pending.append(pool.submit(_make, first))
                    first += 1
                yield pending.pop(0).result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
