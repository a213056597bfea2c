"""The training stream: sharp images in, normalised patches of known defocus out, without end."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage

from microscope_quality.errors import FileError
from microscope_quality.files.images import planes
from microscope_quality.normalisation import normalise
from microscope_quality.optics import N_LEVELS, Optics
from microscope_quality.resampling import resample
from microscope_quality.training.blocks import Block, BlockMaker, Image, place, turned
from microscope_quality.training.defocus.empties import empty_patch
from microscope_quality.training.defocus.exposure import (
    NormalNoise,
    Recording,
    digitise,
    log_uniform,
    photoelectrons,
    signal,
)
from microscope_quality.training.defocus.microscope import Aberrations, Faults, Microscope
from microscope_quality.training.entries import entry_of

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

    @property
    def entry(self) -> str:
        """As models list it; see :func:`microscope_quality.training.entries.entry_of`."""
        return entry_of(Path(self.path))

    def read(self) -> npt.NDArray[Any]:
        """Read the plane.

        Raises
        ------
        FileError
            If the file cannot be read, or has no such plane.
        """
        for number, plane in enumerate(planes(Path(self.path))):
            if number == self.plane:
                return plane.array
        raise FileError(f"{self.path}: has no plane {self.plane}")

    def load(self) -> FloatArray:
        """Read the plane as light; see :func:`.exposure.signal`."""
        return signal(self.read())


@dataclass(frozen=True)
class StreamSettings(Recording):
    """What the stream's patches go through; the cameras are those of :class:`Recording`.

    Ranges are ``(low, high)``; fractions are of the patches, or of the regions they come from.

    Attributes
    ----------
    microscope : Microscope
        Whose defocus and faults are simulated. A region has its own aberrations and tilt; a patch
        of a tilted specimen is of the level nearest to that at its centre.
    normalisation : str
        The model's: ``"zscore"`` or ``"type_range"``.
    photons : range
        Photoelectrons at the brightest percent of the sharp image, log-uniform.
    background : range
        Uniform background as a fraction of ``photons``.
    empty_fraction : float
        Patches without content, trained towards the uniform distribution.
    transmitted_fraction : float
        Regions whose signal absorbs light instead of giving it, as in brightfield.
    shrink_fraction, shrink : float, range
        Regions that are shrunk by area averaging first, and by how much: objects of more sizes.
    gain, offset : range
        Applied to the 16-bit patch, log-uniform, for a model whose normalisation keeps them.
    """

    microscope: Microscope = dataclass_field(default_factory=Microscope)
    normalisation: str = "zscore"
    photons: Range = (100.0, 50_000.0)
    background: Range = (0.0, 0.2)
    empty_fraction: float = 0.06
    transmitted_fraction: float = 0.1
    shrink_fraction: float = 0.3
    shrink: Range = (0.5, 1.0)
    gain: Range = (1.0, 1.0)
    offset: Range = (1.0, 1.0)

    @property
    def optics(self) -> Optics:
        """Objective, light and sampling."""
        return self.microscope.optics


LEVELS_PER_REGION = 4
PATCHES_PER_LEVEL = 5
REGION_PATCHES = 2.5
N_ABERRATIONS = 8
# Of `visibility`.
SMOOTHED_PX = 5
LEAST_CONTRAST = 0.02


@dataclass
class _Region:
    """A region of a sharp image, with what it is taken with and where it lies in its field."""

    light: FloatArray
    aberrations: int
    faults: Faults
    top: float
    left: float
    step: float
    field: tuple[int, int]
    spectrum: npt.NDArray[np.complex64] | None = None
    blurred: dict[int, FloatArray] = dataclass_field(default_factory=dict)

    def rise(self, size: int) -> FloatArray:
        """Give the level over a patch, less that at its centre."""
        height, width = self.field
        angle = math.radians(self.faults.tilt_deg)
        down, right = math.sin(angle), math.cos(angle)
        per_px = self.faults.tilt_levels * self.step / (abs(down) * height + abs(right) * width)
        steps = np.float32(per_px) * (np.arange(size, dtype=np.float32) - 0.5 * (size - 1))
        rise: FloatArray = np.add.outer(np.float32(down) * steps, np.float32(right) * steps)
        return rise

    def transmission(self, y: int, x: int, size: int) -> FloatArray:
        """Give the share of the light that arrives at a patch, as `degrade.vignette` has it."""
        height, width = self.field
        rows = self.top + self.step * (y + np.arange(size, dtype=np.float32)) - 0.5 * height
        columns = self.left + self.step * (x + np.arange(size, dtype=np.float32)) - 0.5 * width
        squared = np.add.outer(rows**2, columns**2) * np.float32(4 / (height**2 + width**2))
        share: FloatArray = 1 - np.float32(self.faults.vignetting) * np.minimum(squared, 1)
        return share


class DefocusBlocks(BlockMaker[Image, StreamSettings]):
    """Makes blocks of patches of known defocus, of whatever they are cut from."""

    def block(self, index: int) -> Block:
        """Make block number ``index``.

        Returns
        -------
        patches : ndarray of float32, shape (block_size, patch, patch)
        targets : ndarray of float32, shape (block_size, levels)
            One-hot, or uniform for an empty patch and for a place that shows nothing.
        """
        settings = self.settings
        rng = self._generator(index)
        normal = NormalNoise(rng)
        grey = np.empty((self.block_size, settings.patch_size, settings.patch_size), np.float32)
        targets = np.zeros((self.block_size, N_LEVELS), dtype=np.float32)
        empty = rng.random(self.block_size) < settings.empty_fraction
        targets[empty] = 1 / N_LEVELS
        for row in np.flatnonzero(empty):
            grey[row] = empty_patch(rng, normal, settings)
        rows = rng.permutation(np.flatnonzero(~empty))
        for row, (patch, level) in zip(rows, self._patches(rng, normal)):
            grey[row] = patch
            if level is None:
                targets[row] = 1 / N_LEVELS
            else:
                targets[row, level] = 1
        if settings.gain != (1.0, 1.0) or settings.offset != (1.0, 1.0):
            for patch in grey:
                patch *= log_uniform(rng, *settings.gain)
                patch += log_uniform(rng, *settings.offset)
            np.clip(grey, 0, 65535, out=grey)
        patches, _ = normalise(grey, settings.normalisation, type_max=65535)
        return patches, targets

    @abstractmethod
    def _patches(
        self, rng: np.random.Generator, normal: NormalNoise
    ) -> Iterator[tuple[npt.NDArray[Any], int | None]]:
        """Give patches without end, in grey levels, and their levels; None where nothing shows."""


class SharpBlocks(DefocusBlocks[SharpImage]):
    """Makes blocks from sharp images; holds those read last and the kernels' spectra."""

    def __post_init__(self) -> None:
        super().__post_init__()
        by_kind: dict[str, list[int]] = {}
        for number, image in enumerate(self.images):
            by_kind.setdefault(image.kind, []).append(number)
        self._kinds = list(by_kind.values())
        shares = np.sqrt([len(members) for members in self._kinds])
        self._kind_share = shares / shares.sum()
        microscope = self.settings.microscope
        self._aberrations = _some_aberrations(microscope, self.seed, self.stream)
        ends = [
            microscope.kernel(level, aberrations)
            for aberrations in self._aberrations
            for level in (1 - N_LEVELS, 0, N_LEVELS - 1)
        ]
        self._margin = max(len(kernel) for kernel in ends) // 2
        region = round(REGION_PATCHES * self.settings.patch_size)
        self._padded = scipy.fft.next_fast_len(region + 2 * self._margin, real=True)
        self._spectra: dict[tuple[int, int], npt.NDArray[np.complex64]] = {}
        self._fields: dict[int, tuple[int, int]] = {}

    def _patches(
        self, rng: np.random.Generator, normal: NormalNoise
    ) -> Iterator[tuple[npt.NDArray[Any], int | None]]:
        size = self.settings.patch_size
        last = self._padded - self._margin - size
        while True:
            region = self._region(rng)
            smooth, least_shown = visibility(region.light)
            for level in rng.choice(N_LEVELS, LEVELS_PER_REGION, replace=False).tolist():
                for _ in range(PATCHES_PER_LEVEL):
                    y, x = place(rng, smooth, size, self._margin, last)
                    light = self._defocused(rng, region, level, (y, x))
                    vignetted = region.faults.vignetting > 0
                    passed = [region.transmission(y, x, size)] if vignetted else []
                    light, *passed = turned(rng, light, *passed)
                    electrons = photoelectrons(rng, normal, self._exposed(rng, light, passed))
                    saturation = region.faults.saturation
                    patch = digitise(rng, normal, electrons, self.settings, saturation=saturation)
                    # The blurred noise of an empty place would tell the level, but only here.
                    shown = np.ptp(smooth[y : y + size, x : x + size]) > least_shown
                    yield patch, level if shown else None

    def _exposed(
        self, rng: np.random.Generator, light: npt.NDArray[Any], passed: list[npt.NDArray[Any]]
    ) -> npt.NDArray[Any]:
        """Give the photoelectrons that a random exposure of a patch makes expect.

        Parameters
        ----------
        light : ndarray, shape (patch, patch)
            1 at the sharp image's brightest percent.
        passed : list of ndarray, shape (patch, patch)
            The share of light and background that arrives, where it is not all.
        """
        photons = log_uniform(rng, *self.settings.photons)
        background = float(rng.uniform(*self.settings.background))
        expected: npt.NDArray[Any] = photons * (np.maximum(light, 0) + background)
        for share in passed:
            expected *= share
        return expected

    def _region(self, rng: np.random.Generator) -> _Region:
        """Give a region of a random image, with the margin that its defocus needs."""
        settings = self.settings
        kind = self._kinds[rng.choice(len(self._kinds), p=self._kind_share)]
        number = int(kind[rng.integers(len(kind))])
        image = self._cached(number, lambda: self._light(number))
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
        choices = len(self._aberrations)
        return _Region(
            light=region,
            aberrations=int(rng.integers(choices)) if choices > 1 else 0,
            faults=settings.microscope.draw_faults(rng),
            top=y - self._margin,
            left=x - self._margin,
            step=1 / factor,
            field=self._fields[number],
        )

    def _defocused(
        self, rng: np.random.Generator, region: _Region, level: int, place: tuple[int, int]
    ) -> npt.NDArray[Any]:
        """Give a patch of a region at a level; that nearest to its centre's, in a tilted field."""
        size = self.settings.patch_size
        y, x = place
        cut = np.s_[y : y + size, x : x + size]
        side = self._aberrations[region.aberrations].side
        if self.settings.microscope.tilt_levels == (0.0, 0.0):
            return self._blurred(region, side * level)[cut]
        centre = side * level + rng.uniform(-0.5, 0.5)
        levels = centre + region.rise(size)
        # The last level is blur of that much or more.
        np.clip(levels, 1 - N_LEVELS, N_LEVELS - 1, out=levels)
        if not self._aberrations[region.aberrations].one_sided:
            np.abs(levels, out=levels)
        light = np.zeros((size, size), dtype=np.float32)
        for whole in range(math.floor(levels.min()), math.ceil(levels.max()) + 1):
            weight = np.maximum(1 - np.abs(levels - np.float32(whole)), 0)
            light += weight * self._blurred(region, whole)[cut]
        return light

    def _blurred(self, region: _Region, level: int) -> FloatArray:
        """Give a region with the kernel of a level, of either sign; each is made once."""
        if level not in region.blurred:
            if region.spectrum is None:
                region.spectrum = scipy.fft.rfft2(region.light)
            spectrum = region.spectrum * self._spectrum(region.aberrations, level)
            region.blurred[level] = scipy.fft.irfft2(spectrum, s=region.light.shape)
        return region.blurred[level]

    def _spectrum(self, aberrations: int, level: int) -> npt.NDArray[np.complex64]:
        """Give the transfer function of a level, from those made so far when it is there."""
        key = (aberrations, level)
        if key not in self._spectra:
            kernel = self.settings.microscope.kernel(level, self._aberrations[aberrations])
            cut = max(0, len(kernel) // 2 - self._margin)
            kernel = kernel[cut : len(kernel) - cut, cut : len(kernel) - cut]
            self._spectra[key] = _spectrum(kernel / kernel.sum() if cut else kernel, self._padded)
        return self._spectra[key]

    def _light(self, number: int) -> FloatArray:
        """Give an image's light with its border reflected."""
        light = self.images[number].load()
        self._fields[number] = light.shape
        margin = [(self._margin, max(self._margin, self._padded - n)) for n in light.shape]
        return np.pad(light, margin, mode="symmetric")


def visibility(light: FloatArray) -> tuple[FloatArray, float]:
    """Give what tells whether a place of a sharp image shows something.

    Parameters
    ----------
    light : ndarray of float32, shape (height, width)
        1 at the image's brightest percent.

    Returns
    -------
    smooth : ndarray of float32, shape (height, width)
        The light averaged over neighbouring pixels.
    least_shown : float
        A place shows something when the range of ``smooth`` in it exceeds this: a fraction of the
        brightest percent, and what noise alone gives.
    """
    smooth: FloatArray = scipy.ndimage.uniform_filter(light, SMOOTHED_PX)
    return smooth, max(LEAST_CONTRAST, 8 * noise_deviation(light) / SMOOTHED_PX)


def noise_deviation(image: FloatArray) -> float:
    """Estimate the standard deviation of an image's noise from its median absolute Laplacian.

    The mask is that of J. Immerkær, Computer Vision and Image Understanding 64:300 (1996), which
    structures with straight edges leave; the median leaves the others.
    """
    rows = image[:-2] - 2 * image[1:-1] + image[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    # The mask's squares sum to 36, and a normal's median absolute value is 0.6745 deviations.
    return float(np.median(np.abs(both)) / (6 * 0.6745))


def _some_aberrations(microscope: Microscope, seed: int, stream: int) -> list[Aberrations]:
    """Draw the aberrations that regions choose from: kernels take too long to make for each."""
    # Of two numbers, for a block's key has one.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, stream)))
    drawn = [microscope.draw_aberrations(rng) for _ in range(N_ABERRATIONS)]
    return sorted(set(drawn), key=astuple)


def _spectrum(kernel: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.complex64]:
    """Give the kernel's transfer function on an n × n grid, its centre at the origin."""
    half = len(kernel) // 2
    grid = np.zeros((n, n), dtype=np.float32)
    grid[: len(kernel), : len(kernel)] = kernel
    return scipy.fft.rfft2(np.roll(grid, (-half, -half), axis=(0, 1)))
