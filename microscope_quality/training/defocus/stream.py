"""The training stream: sharp images in, normalised patches of known defocus out, without end."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
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
from microscope_quality.optics import BLUR_PX_PER_LEVEL, N_LEVELS, Optics, added_blur
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
from microscope_quality.training.defocus.microscope import Faults, Microscope
from microscope_quality.training.defocus.processing import Processing, draw_processing
from microscope_quality.training.defocus.specimens import cells, points
from microscope_quality.training.defocus.transmitted import TransmittedLight, draw_transmitted
from microscope_quality.training.defocus.views import View, draw_view
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
    many_objectives : bool
        Each region is seen by one of many objectives, :func:`.views.draw_view`, in place of the
        microscope's optics, and labelled by the light that its kernel spreads.
    farther_levels : int
        Levels beyond the last one that are trained too, labelled as the last.
    points_fraction, cells_fraction : float
        Regions with simulated points, or nuclei, in place of a sharp image, :mod:`.specimens`.
    propagated_fraction : float
        Regions of which the sharp image is the specimen that transmitted light passes through,
        :mod:`.transmitted`.
    haze_fraction : float
        Regions with light from far out of focus over them, as in thick specimens.
    processed_fraction : float
        Patches, of the empty ones too, that a program changed after they were taken,
        :mod:`.processing`.
    dim_fraction : float
        Patches with 4 photons up to the fewest of ``photons``.
    structured_fraction : float
        Of the empty patches, those with a structure of :mod:`.structures`.
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
    many_objectives: bool = False
    farther_levels: int = 0
    points_fraction: float = 0.0
    cells_fraction: float = 0.0
    propagated_fraction: float = 0.0
    haze_fraction: float = 0.0
    processed_fraction: float = 0.0
    dim_fraction: float = 0.0
    structured_fraction: float = 0.0
    gain: Range = (1.0, 1.0)
    offset: Range = (1.0, 1.0)

    @property
    def optics(self) -> Optics:
        """Objective, light and sampling."""
        return self.microscope.optics


BROAD = StreamSettings(
    photons=(100.0, 50_000.0),
    empty_fraction=0.2,
    transmitted_fraction=0.16,
    shrink_fraction=0.35,
    shrink=(0.45, 1.0),
    many_objectives=True,
    farther_levels=6,
    points_fraction=0.12,
    cells_fraction=0.12,
    propagated_fraction=0.03,
    haze_fraction=0.08,
    processed_fraction=0.45,
    dim_fraction=0.12,
    structured_fraction=0.7,
)
"""The stream of any objective, any specimen and noise as it is in people's images."""


def stream_for(
    microscope: Microscope, empty_fraction: float = BROAD.empty_fraction
) -> StreamSettings:
    """Give the broad stream; of one microscope alone when it is described, else of many."""
    described = microscope != Microscope()
    return replace(
        BROAD,
        microscope=microscope,
        many_objectives=not described,
        empty_fraction=empty_fraction,
        # Seen by objectives of their own.
        propagated_fraction=0.0 if described else BROAD.propagated_fraction,
    )


LEVELS_PER_REGION = 4
PATCHES_PER_LEVEL = 5
# Propagation takes as long as all else of a region together.
PROPAGATED_PATCHES_PER_LEVEL = 12
PROPAGATED_SIDE = 256
REGION_PATCHES = 2.5
# Light from the kernels' wide tails falls evenly: farther than this it is left out.
FARTHEST_PX = 50
N_ABERRATIONS = 8
# Kernels take long to make: the first blocks choose among few views, later ones among more.
N_VIEWS = 64
FIRST_VIEWS = 12
BLOCKS_PER_VIEW = 2
FEWEST_PHOTONS = 4.0
# Deviations of the noise that a patch's light must stand out by to show something.
LEAST_VISIBLE = 4.0
# Of `visibility`.
SMOOTHED_PX = 5
LEAST_CONTRAST = 0.02


@dataclass
class _Region:
    """A region of a sharp image, with what it is taken with and where it lies in its field."""

    light: FloatArray
    view: int
    faults: Faults
    top: float
    left: float
    step: float
    field: tuple[int, int]
    haze: float = 0.0
    haze_levels: int = 0
    transmitted: TransmittedLight | None = None
    of_points: bool = False
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
        self._index = index
        rng = self._generator(index)
        normal = NormalNoise(rng)
        grey = np.empty((self.block_size, settings.patch_size, settings.patch_size), np.float32)
        targets = np.zeros((self.block_size, N_LEVELS), dtype=np.float32)
        empty = rng.random(self.block_size) < settings.empty_fraction
        targets[empty] = 1 / N_LEVELS
        for row in np.flatnonzero(empty):
            grey[row] = self._empty(rng, normal)
        rows = rng.permutation(np.flatnonzero(~empty))
        for row, (patch, level) in zip(rows, self._patches(rng, normal)):
            grey[row] = patch
            if level is None:
                targets[row] = 1 / N_LEVELS
            else:
                targets[row] = target_of(level)
        if settings.gain != (1.0, 1.0) or settings.offset != (1.0, 1.0):
            for patch in grey:
                patch *= log_uniform(rng, *settings.gain)
                patch += log_uniform(rng, *settings.offset)
            np.clip(grey, 0, 65535, out=grey)
        patches, _ = normalise(grey, settings.normalisation, type_max=65535)
        return patches, targets

    def _empty(self, rng: np.random.Generator, normal: NormalNoise) -> FloatArray:
        settings = self.settings
        structured = settings.structured_fraction
        processing = self._processing(rng)
        if processing is None:
            return empty_patch(rng, normal, settings, structured=structured)
        side = processing.source_side(settings.patch_size)
        patch = empty_patch(rng, normal, settings, side=side, structured=structured)
        return processing.processed(patch, settings.patch_size)

    def _processing(self, rng: np.random.Generator) -> Processing | None:
        """Draw what a program does to a patch, if anything."""
        share = self.settings.processed_fraction
        return draw_processing(rng) if share and rng.random() < share else None

    @abstractmethod
    def _patches(
        self, rng: np.random.Generator, normal: NormalNoise
    ) -> Iterator[tuple[npt.NDArray[Any], float | None]]:
        """Give patches without end, in grey levels, and their levels; None where nothing shows."""


class SharpBlocks(DefocusBlocks[SharpImage]):
    """Makes blocks from sharp images; holds those read last and the kernels' spectra."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._index = 0
        by_kind: dict[str, list[int]] = {}
        for number, image in enumerate(self.images):
            by_kind.setdefault(image.kind, []).append(number)
        self._kinds = list(by_kind.values())
        shares = np.sqrt([len(members) for members in self._kinds])
        self._kind_share = shares / shares.sum()
        self._views = _some_views(self.settings, self.seed, self.stream)
        if self.settings.many_objectives:
            self._margin = FARTHEST_PX
        else:
            last = N_LEVELS - 1 + self.settings.farther_levels
            ends = [view.kernel(level) for view in self._views for level in (-last, 0, last)]
            self._margin = max(len(kernel) for kernel in ends) // 2
        region = round(REGION_PATCHES * self.settings.patch_size)
        self._padded = scipy.fft.next_fast_len(region + 2 * self._margin, real=True)
        self._spectra: dict[tuple[int, int], npt.NDArray[np.complex64]] = {}
        self._fields: dict[int, tuple[int, int]] = {}

    def _patches(
        self, rng: np.random.Generator, normal: NormalNoise
    ) -> Iterator[tuple[npt.NDArray[Any], float | None]]:
        # Each level counts alike, those beyond the last one a twelfth.
        n = N_LEVELS + self.settings.farther_levels
        shares = None
        if n > N_LEVELS:
            shares = np.ones(n)
            shares[N_LEVELS:] = 1 / 12
            shares /= shares.sum()
        while True:
            region = self._region(rng)
            shown = visibility(region.light)
            propagated = region.transmitted is not None
            patches = PROPAGATED_PATCHES_PER_LEVEL if propagated else PATCHES_PER_LEVEL
            for level in rng.choice(n, LEVELS_PER_REGION, replace=False, p=shares):
                for _ in range(patches):
                    yield self._patch(rng, normal, region, int(level), shown)

    def _patch(
        self,
        rng: np.random.Generator,
        normal: NormalNoise,
        region: _Region,
        level: int,
        shown: tuple[FloatArray, float],
    ) -> tuple[npt.NDArray[Any], float | None]:
        """Give a patch of a region at a level, and its label."""
        settings = self.settings
        smooth, least_shown = shown
        processing = self._processing(rng)
        size = settings.patch_size
        side = size if processing is None else processing.source_side(size)
        last = len(region.light) - self._margin - side
        y, x = place(rng, smooth, side, self._margin, last)
        cut = np.s_[y : y + side, x : x + side]
        light, label = self._seen(rng, region, level, (y, x), side)
        vignetted = region.faults.vignetting > 0
        passed = [region.transmission(y, x, side)] if vignetted else []
        light, *passed = turned(rng, light, *passed)
        expected = self._exposed(rng, light, passed)
        electrons = photoelectrons(rng, normal, expected)
        if processing is not None and rng.random() < 0.5:
            # As if fewer photons had been taken: filters leave less of the noise.
            more = np.float32(log_uniform(rng, 1.0, 3.0))
            electrons = np.maximum(expected + more * (electrons - expected), 0).astype(np.float32)
        patch = digitise(rng, normal, electrons, settings, saturation=region.faults.saturation)
        # The blurred noise of an empty place would tell the level, but only here.
        content = bool(np.ptp(smooth[cut]) > least_shown)
        if not content and region.of_points:
            content = bool(np.ptp(light) > least_shown)
        content = content and _stands_out(expected, label)
        if processing is not None:
            patch = processing.processed(patch, size)
            label = math.hypot(label * processing.scale, processing.blur_px / BLUR_PX_PER_LEVEL)
        return patch, label if content else None

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
        fewest, most = self.settings.photons
        if self.settings.dim_fraction and rng.random() < self.settings.dim_fraction:
            fewest, most = FEWEST_PHOTONS, fewest
        photons = log_uniform(rng, fewest, most)
        background = float(rng.uniform(*self.settings.background))
        expected: npt.NDArray[Any] = photons * (np.maximum(light, 0) + background)
        for share in passed:
            expected *= share
        return expected

    def _region(self, rng: np.random.Generator) -> _Region:
        """Give a region of a random image, with the margin that its defocus needs."""
        settings = self.settings
        if settings.points_fraction and rng.random() < settings.points_fraction:
            light = points(rng, self._padded, settings.patch_size)
            # Blur spreads points over much more than their own size.
            return self._simulated(
                rng, light * np.float32(log_uniform(rng, 0.5, 30)), of_points=True
            )
        if settings.cells_fraction and rng.random() < settings.cells_fraction:
            return self._simulated(rng, cells(rng, self._padded, settings.patch_size))
        transmitted = None
        if settings.propagated_fraction and rng.random() < settings.propagated_fraction:
            transmitted = draw_transmitted(rng)
        kind = self._kinds[rng.choice(len(self._kinds), p=self._kind_share)]
        number = int(kind[rng.integers(len(kind))])
        image = self._cached(number, lambda: self._light(number))
        n = self._padded if transmitted is None else PROPAGATED_SIDE
        factor = 1.0
        if rng.random() < settings.shrink_fraction:
            factor = float(rng.uniform(*settings.shrink))
            factor = min(1.0, max(factor, n / min(image.shape)))
        needed = int(np.ceil(n / factor))
        y, x = (int(rng.integers(max(1, length - needed + 1))) for length in image.shape)
        region = image[y : y + needed, x : x + needed]
        if factor < 1.0:
            region = resample(region, (n, n)).astype(np.float32)
        if transmitted is None and rng.random() < settings.transmitted_fraction:
            region = np.exp(-log_uniform(rng, 0.1, 2.0) * np.minimum(region, 3)).astype(np.float32)
        found = _Region(
            light=region,
            view=self._drawn_view(rng),
            faults=settings.microscope.draw_faults(rng),
            top=y - self._margin,
            left=x - self._margin,
            step=1 / factor,
            field=self._fields[number],
            transmitted=transmitted,
        )
        if settings.haze_fraction and rng.random() < settings.haze_fraction:
            found.haze = log_uniform(rng, 0.2, 2.0)
            found.haze_levels = int(rng.integers(4, 11))
        return found

    def _drawn_view(self, rng: np.random.Generator) -> int:
        choices = len(self._views)
        if self.settings.many_objectives:
            choices = min(choices, FIRST_VIEWS + self._index // BLOCKS_PER_VIEW)
        return int(rng.integers(choices)) if choices > 1 else 0

    def _simulated(
        self, rng: np.random.Generator, light: FloatArray, *, of_points: bool = False
    ) -> _Region:
        """Give a region of a simulated specimen."""
        n = self._padded
        return _Region(
            light=light,
            view=self._drawn_view(rng),
            faults=self.settings.microscope.draw_faults(rng),
            top=0,
            left=0,
            step=1,
            field=(n, n),
            of_points=of_points,
        )

    def _seen(
        self,
        rng: np.random.Generator,
        region: _Region,
        level: int,
        place: tuple[int, int],
        side: int,
    ) -> tuple[npt.NDArray[Any], float]:
        """Give a square of a region at a level, and its label."""
        y, x = place
        cut = np.s_[y : y + side, x : x + side]
        if region.transmitted is not None:
            light, label = self._propagated(region, level)
            return light[cut], label
        view = self._views[region.view]
        if self.settings.microscope.tilt_levels != (0.0, 0.0):
            return self._defocused(rng, region, level, place, side), float(level)
        signed = view.aberrations.side * level
        light = self._blurred(region, signed)[cut]
        if region.haze:
            # Haze that ended at some level would tell it.
            last = N_LEVELS - 1 + self.settings.farther_levels
            farther = min(abs(level) + region.haze_levels, last)
            haze = self._blurred(region, view.aberrations.side * farther)[cut]
            light = light + np.float32(region.haze) * haze
        return light, view.label(signed)

    def _propagated(self, region: _Region, level: int) -> tuple[FloatArray, float]:
        """Give what transmitted light shows of a region at a level, and the label."""
        transmitted = region.transmitted
        assert transmitted is not None
        optics = transmitted.optics
        distance_um = transmitted.sign * optics.defocus_of_level(float(level))
        if level not in region.blurred:
            if region.spectrum is None:
                region.spectrum = transmitted.spectrum(region.light)
            region.blurred[level] = transmitted.image(region.spectrum, distance_um)
        spreads = (transmitted.blur_diameter_px(z) for z in (distance_um, 0.0))
        far, near = (spread / BLUR_PX_PER_LEVEL for spread in spreads)
        return region.blurred[level], added_blur(far, near)

    def _defocused(
        self,
        rng: np.random.Generator,
        region: _Region,
        level: int,
        place: tuple[int, int],
        size: int,
    ) -> npt.NDArray[Any]:
        """Give a square of a tilted field whose level is the nearest to that at its centre."""
        y, x = place
        cut = np.s_[y : y + size, x : x + size]
        aberrations = self._views[region.view].aberrations
        centre = aberrations.side * level + rng.uniform(-0.5, 0.5)
        levels = centre + region.rise(size)
        # The last level is blur of that much or more.
        np.clip(levels, 1 - N_LEVELS, N_LEVELS - 1, out=levels)
        if not aberrations.one_sided:
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
            spectrum = region.spectrum * self._spectrum(region.view, level)
            region.blurred[level] = scipy.fft.irfft2(spectrum, s=region.light.shape)
        return region.blurred[level]

    def _spectrum(self, view: int, level: int) -> npt.NDArray[np.complex64]:
        """Give the transfer function of a level, from those made so far when it is there."""
        key = (view, level)
        if key not in self._spectra:
            kernel = self._views[view].kernel(level)
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


def target_of(level: float) -> FloatArray:
    """Give the distribution over the levels that stands for a level, of its two neighbours.

    Parameters
    ----------
    level : float
        0 or more; beyond the last level it is that.

    Returns
    -------
    ndarray of float32, shape (levels,)
    """
    target: FloatArray = np.maximum(1 - np.abs(np.arange(N_LEVELS) - min(level, N_LEVELS - 1)), 0)
    return target.astype(np.float32)


def _stands_out(expected: npt.NDArray[Any], level: float) -> bool:
    """Tell whether a patch's light stands out from the noise where it has most contrast.

    What is blurred is seen over as many pixels as its blur covers.
    """
    pixels = max(3.0, level * BLUR_PX_PER_LEVEL) ** 2 * math.pi / 4
    # Two electrons of read noise.
    noise = math.sqrt(float(expected.mean()) + 4)
    return float(np.ptp(expected)) * math.sqrt(pixels) > LEAST_VISIBLE * noise


def _some_views(settings: StreamSettings, seed: int, stream: int) -> list[View]:
    """Draw the views that regions choose from: kernels take too long to make for each."""
    # Of two numbers, for a block's key has one.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, stream)))
    if settings.many_objectives:
        return [draw_view(rng) for _ in range(N_VIEWS)]
    microscope = settings.microscope
    drawn = [microscope.draw_aberrations(rng) for _ in range(N_ABERRATIONS)]
    return [View(microscope, aberrations) for aberrations in sorted(set(drawn), key=astuple)]


def _spectrum(kernel: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.complex64]:
    """Give the kernel's transfer function on an n × n grid, its centre at the origin."""
    half = len(kernel) // 2
    grid = np.zeros((n, n), dtype=np.float32)
    grid[: len(kernel), : len(kernel)] = kernel
    return scipy.fft.rfft2(np.roll(grid, (-half, -half), axis=(0, 1)))
