"""Make the images of docs/sample: simulated cells, well focused, badly focused, and worse.

Run it as ``python docs/make_sample.py [FOLDER]``. The file names carry well, site and channel:
``(?P<well>[A-H][0-9]+)_s(?P<site>[0-9]+)_(?P<channel>[a-z]+)`` reads them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tifffile

from microscope_quality.degrade import Camera, defocus
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import filaments, nuclei

SHAPE = (336, 420)
CAMERA = Camera(photons_per_level=1.0, offset=100, read_noise=2.5, bit_depth=12)


def blurred(light: np.ndarray, level: float) -> np.ndarray:
    """Defocus to a level, which need not be whole."""
    return defocus(light, psf(TRAINING_OPTICS, float(TRAINING_OPTICS.defocus_of_level(level))))


def tilted(light: np.ndarray, last_level: float) -> np.ndarray:
    """Defocus from level 0 at the left border to ``last_level`` at the right one."""
    levels = np.arange(0, last_level + 0.25, 0.5)
    planes = np.stack([blurred(light, level) for level in levels])
    place = np.linspace(0, len(levels) - 1, light.shape[1])
    lower = np.minimum(place.astype(int), len(levels) - 2)
    columns = np.arange(light.shape[1])
    share = place - lower
    return planes[lower, :, columns].T * (1 - share) + planes[lower + 1, :, columns].T * share


def taken(light: np.ndarray, photons: float, seed: int) -> np.ndarray:
    """Expose with a background of 3 %."""
    return CAMERA.expose(photons * (np.maximum(light, 0) + 0.03), seed)


def make(folder: Path) -> None:
    """Write all images."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = [nuclei(SHAPE, 42, seed) for seed in range(4)]
    fibres = [filaments(SHAPE, 160, seed) for seed in range(2)]
    images = {
        "A01_s1_dna": taken(blurred(cells[0], 0), 2500, 0),
        "A01_s2_dna": taken(blurred(cells[1], 1), 1200, 1),
        "A02_s1_dna": taken(blurred(cells[2], 4), 2500, 2),
        "A02_s2_dna": taken(tilted(cells[3], 9), 2500, 3),
        "B01_s1_actin": taken(blurred(fibres[0], 0), 1500, 4),
        "B01_s2_actin": taken(blurred(fibres[1], 8), 1500, 5),
        "B02_s1_dna": taken(np.zeros(SHAPE), 2500, 6),
    }
    for name, plane in images.items():
        tifffile.imwrite(folder / f"{name}.tif", plane, compression="zlib", predictor=True)
    specimen = nuclei((168, 168), 11, 7)
    stack = np.stack([taken(blurred(specimen, 1.5 * abs(z - 3.3)), 2000, 10 + z) for z in range(8)])
    tifffile.imwrite(
        folder / "B03_s1_dna_stack.tif",
        stack,
        imagej=True,
        metadata={"axes": "ZYX"},
        compression="zlib",
        predictor=True,
    )


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "sample")
