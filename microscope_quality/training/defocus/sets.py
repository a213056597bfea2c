"""Defocus training sets: each sharp image at every level, with its own exposure."""

from __future__ import annotations

import csv
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from microscope_quality.degrade import Camera, defocus, defocus_varying, tilted_levels, vignette
from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.images import planes
from microscope_quality.files.regular import refusals
from microscope_quality.files.whole import whole
from microscope_quality.optics import N_LEVELS, Optics
from microscope_quality.training.defocus.exposure import (
    Exposure,
    check_ranges,
    draw_exposure,
    signal,
)
from microscope_quality.training.defocus.microscope import Aberrations, Faults, Microscope
from microscope_quality.training.defocus.stream import SharpImage
from microscope_quality.training.entries import entry_of

Range = tuple[float, float]


@dataclass(frozen=True)
class SetSettings:
    """How a set is made.

    Attributes
    ----------
    microscope : Microscope
        Whose defocus and faults are simulated; each image of the set has its own faults. In a
        tilted field, an image's level is that of its centre.
    photons : range
        Photoelectrons at the brightest percent of the sharp image, log-uniform.
    background : range
        Uniform background as a fraction of ``photons``.
    seed : int

    Raises
    ------
    SettingsError
        If a range is none.
    """

    microscope: Microscope = field(default_factory=Microscope)
    photons: Range = (300.0, 20_000.0)
    background: Range = (0.0, 0.1)
    seed: int = 0

    def __post_init__(self) -> None:
        check_ranges(self.photons, self.background)
        if not isinstance(self.microscope, Microscope):
            raise SettingsError(f"microscope must be a Microscope, not {self.microscope!r}.")

    @property
    def optics(self) -> Optics:
        """Objective, light and sampling."""
        return self.microscope.optics


@dataclass(frozen=True)
class Degraded:
    """One image of a set: 16-bit grey levels, and all that is needed to make it again."""

    level: int
    defocus_um: float
    seed: int
    exposure: Exposure
    aberrations: Aberrations
    faults: Faults
    plane: npt.NDArray[np.unsignedinteger[Any]]


def degraded(plane: npt.ArrayLike, name: str, settings: SetSettings) -> Iterator[Degraded]:
    """Make a sharp plane's images at all levels.

    Parameters
    ----------
    plane : array_like, shape (height, width)
        The sharp image.
    name : str
        Names the plane; together with the seed and the level it fixes all that is random, so an
        image of the set does not depend on which others are in it.
    settings : SetSettings

    Yields
    ------
    Degraded
        Level 0, the in-focus kernel, to level 10.

    Raises
    ------
    ImageError
        If the plane cannot be a sharp image.
    """
    light = signal(plane)
    for level in range(N_LEVELS):
        drawn = np.random.SeedSequence((settings.seed, zlib.crc32(name.encode()), level))
        seed = int(drawn.generate_state(1)[0])
        rng = np.random.default_rng(seed)
        exposure = draw_exposure(rng, photons=settings.photons, background=settings.background)
        aberrations = settings.microscope.draw_aberrations(rng)
        faults = settings.microscope.draw_faults(rng)
        blurred = _defocused(light, level, settings.microscope, aberrations, faults)
        passed = vignette(light.shape, faults.vignetting) if faults.vignetting > 0 else None
        exposure = exposure.saturating(blurred, faults.saturation, transmission=passed)
        taken = exposure.take(blurred, rng, transmission=passed)
        distance = settings.microscope.defocus_um(level)
        yield Degraded(level, distance, seed, exposure, aberrations, faults, taken)


def _defocused(
    light: npt.NDArray[np.float32],
    level: int,
    microscope: Microscope,
    aberrations: Aberrations,
    faults: Faults,
) -> npt.NDArray[np.float64]:
    """Blur a field whose centre is at a level, tilted or not."""
    centre = aberrations.side * level
    if faults.tilt_levels == 0:
        return defocus(light, microscope.kernel(centre, aberrations))
    levels = tilted_levels(light.shape, centre, faults.tilt_levels, faults.tilt_deg)
    if not aberrations.one_sided:
        levels = np.abs(levels)
    whole = range(math.floor(levels.min()), math.ceil(levels.max()) + 1)
    kernels = [microscope.kernel(level, aberrations) for level in whole]
    return defocus_varying(light, levels, kernels, whole)


def labelled(
    images: Iterable[SharpImage], settings: SetSettings
) -> Iterator[tuple[int, npt.NDArray[np.unsignedinteger[Any]]]]:
    """Make each sharp image's planes at all levels, with the level before each."""
    for image in images:
        name = f"{image.kind}/{Path(image.path).name}#{image.plane}"
        for made in degraded(image.load(), name, settings):
            yield made.level, made.plane


def _names(settings: Any) -> Iterator[str]:
    return (value.name for value in fields(settings))


class SetWriter:
    """Writes a set: eleven folders of 16-bit TIFFs and, when it is done, ``manifest.csv``.

    Use it as a context manager. Each file appears under its name when it is whole, and the
    manifest when the set is: until then its rows are in ``manifest.csv.part``. A plane is in the
    set at all levels or not at all. A set without any is taken away.

    Parameters
    ----------
    folder : Path
        New or empty.
    settings : SetSettings

    Raises
    ------
    FileError
        If the folder holds anything, or cannot be made.
    """

    COLUMNS = (
        *("file", "source", "plane", "level", "defocus_um", "paraxial"),
        *_names(Optics),
        *("photons", "background"),
        *_names(Camera),
        *("seed", "psf", "sample_index"),
        *_names(Aberrations),
        *_names(Faults),
        # Of the sharp image, as models list it: its name above depends on what was typed.
        "entry",
    )

    def __init__(self, folder: Path, settings: SetSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.n_images = 0
        self._was_there = folder.exists()
        with refusals(folder, "written"):
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise FileError(f"{folder}: is not empty; a set needs a folder of its own")
            for level in self._levels():
                level.mkdir()
        self._partial = folder / "manifest.csv.part"

    def __enter__(self) -> SetWriter:
        with self._partial.open("w", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.COLUMNS).writeheader()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        if self.n_images:
            self._partial.replace(self.folder / "manifest.csv")
            return
        self._partial.unlink()
        for level in self._levels():
            level.rmdir()
        if not self._was_there:
            self.folder.rmdir()

    def _levels(self) -> list[Path]:
        """Give the folder of each level."""
        return [self.folder / f"level_{level:02d}" for level in range(N_LEVELS)]

    def add(self, name: str, path: Path) -> None:
        """Add the planes of a file.

        Parameters
        ----------
        name : str
            Of the source, in the manifest; together with the seed it fixes what is random.
        path : Path
            The file; its folder's name and its own tell models which image it is.

        Raises
        ------
        FileError
            If the file cannot be read, or the set not written.
        ImageError
            If a plane cannot be a sharp image.
        OpticsError
            If a plane's kernel would be too large.

        Notes
        -----
        Planes added before the one that fails stay in the set; of that one, nothing does.
        """
        for number, plane in enumerate(planes(path)):
            self.add_plane(name, number, plane.array, entry_of(path))

    def add_plane(self, name: str, number: int, plane: npt.ArrayLike, entry: str) -> None:
        """Add one plane.

        Parameters
        ----------
        name : str
            Of the source, in the manifest; together with the number and the seed it fixes what
            is random.
        number : int
            Of the plane in its source, from 0.
        plane : array_like, shape (height, width)
            The sharp image.
        entry : str
            Tells models which image it is, as ``kind/filename``.

        Raises
        ------
        FileError
            If the set cannot be written.
        ImageError
            If the plane cannot be a sharp image.
        OpticsError
            If its kernel would be too large.
        """
        stem = _file_stem(name, number)
        rows: list[dict[str, Any]] = []
        try:
            for made in degraded(plane, f"{name}#{number}", self.settings):
                file = f"level_{made.level:02d}/{stem}.tif"
                place = {"file": file, "source": name, "plane": number}
                rows.append({**place, **self._row(made), "entry": entry})
                with whole(self.folder / file) as beside:
                    tifffile.imwrite(
                        beside, made.plane, photometric="minisblack", compression="zlib"
                    )
            self._append(rows)
        except BaseException:
            # Also when it is interrupted: part of a plane's levels is no training set.
            for row in rows:
                (self.folder / row["file"]).unlink(missing_ok=True)
            raise
        self.n_images += 1

    def _row(self, made: Degraded) -> dict[str, Any]:
        """Give what the manifest tells of an image, beside its file and source."""
        return {
            "level": made.level,
            "defocus_um": made.defocus_um,
            "paraxial": int(self.settings.microscope.paraxial),
            **self.settings.optics.to_dict(),
            "photons": made.exposure.photons,
            "background": made.exposure.background,
            **made.exposure.camera.to_dict(),
            "seed": made.seed,
            "psf": self.settings.microscope.psf,
            "sample_index": self.settings.microscope.sample_index,
            **asdict(made.aberrations),
            **asdict(made.faults),
        }

    def _append(self, rows: list[dict[str, Any]]) -> None:
        """Add all the rows of a plane, or none."""
        length = self._partial.stat().st_size
        with refusals(self._partial, "written"):
            try:
                with self._partial.open("a", newline="", encoding="utf-8") as file:
                    csv.DictWriter(file, self.COLUMNS).writerows(rows)
            except BaseException:
                os.truncate(self._partial, length)
                raise


def _file_stem(name: str, plane: int) -> str:
    """Give a file name that is readable, safe on every system, and unique to the plane."""
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", PurePosixPath(name).stem)[-60:]
    return f"{readable}_{zlib.crc32(name.encode()):08x}_{plane:03d}"
