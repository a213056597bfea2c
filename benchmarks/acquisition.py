"""What is called blank: noise of many kinds, and tissue that is blurred and noisy; time and memory.

``python -m benchmarks.acquisition`` simulates noise, and looks for faults in a plane of 20,000 ×
20,000 pixels in a temporary file (400 MB). ``--data DIR`` adds the tiles of tissue in
``DIR/em/train/isbi2012`` and ``DIR/em/eval/drosophila_vnc``, with blur and noise added, and looks
for faults in all images of ``DIR/em``. It takes some minutes, on one core.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from threadpoolctl import threadpool_limits

from benchmarks.figure import Figure, print_rows
from microscope_quality.acquisition import (
    PATCH_SIZE,
    acquisition_fault,
    blank_patches,
)

Patches = npt.NDArray[Any]
Generator = np.random.Generator

TURNS, PATCHES = 20, 100
SIDE = 20_000
TISSUES = ("train/isbi2012", "eval/drosophila_vnc")
CUT_FROM_A_TILE = 12
BLURS_PX, NOISES = (0, 3, 8), (0.05, 1.0, 2.5)


def white(rng: Generator) -> Patches:
    return rng.normal(size=(PATCHES, PATCH_SIZE, PATCH_SIZE))


def charged(rng: Generator) -> Patches:
    """Add streaks of up to three lines that decay over 8 to 300 pixels, up to 4 deviations high."""
    patches = white(rng)
    along = np.arange(PATCH_SIZE)
    for patch in patches:
        for _ in range(rng.integers(2, 14)):
            top, left = rng.integers(PATCH_SIZE, size=2)
            length = math.exp(rng.uniform(math.log(8), math.log(300)))
            decay = np.exp(-np.maximum(along - left, 0) / length) * (along >= left)
            patch[top : top + rng.integers(1, 4)] += rng.choice([-1, 1]) * rng.uniform(1, 4) * decay
    return patches


def shaded(rng: Generator) -> Patches:
    y, x = np.mgrid[-1 : 1 : PATCH_SIZE * 1j, -1 : 1 : PATCH_SIZE * 1j]
    return white(rng) + 30 * x - 20 * y**2 + 10 * x * y


NOISE: Dict[str, Callable[[Generator], Patches]] = {
    "white": white,
    "counts, 3 a pixel": lambda rng: rng.poisson(3, (PATCHES, PATCH_SIZE, PATCH_SIZE)),
    "smoothed along the line, 0.8 px": lambda rng: gaussian_filter1d(white(rng), 0.8, axis=2),
    "smoothed along the line, 3 px": lambda rng: gaussian_filter1d(white(rng), 3, axis=2),
    "lines offset by 5 deviations": lambda rng: (
        white(rng) + 5 * rng.normal(size=(PATCHES, PATCH_SIZE, 1))
    ),
    "shading of 30 deviations": shaded,
    "charging streaks": charged,
    "smoothed both ways, 0.5 px": lambda rng: gaussian_filter(white(rng), (0, 0.5, 0.5)),
    "smoothed both ways, 0.7 px": lambda rng: gaussian_filter(white(rng), (0, 0.7, 0.7)),
}


def of_noise() -> Iterator[Figure]:
    for name, noise in NOISE.items():
        rng = np.random.default_rng(0)
        found = sum(int((~blank_patches(noise(rng))).sum()) for _ in range(TURNS))
        share = found / (TURNS * PATCHES)
        most = 0.02 if name in ("charging streaks", "smoothed both ways, 0.7 px") else 0.001
        yield Figure(
            f"Structure seen in noise, {name}: of {TURNS * PATCHES} patches of {PATCH_SIZE}²",
            f"{share:.2%}",
            f"≤ {most:.1%}",
            share <= most,
        )


def images_in(folder: Path) -> List[npt.NDArray[Any]]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".png", ".tif"):
            pixels = np.asarray(Image.open(path))
            found.append(pixels[..., 0] if pixels.ndim == 3 else pixels)
    return found


def of_tissue(data: Path) -> Iterator[Figure]:
    for tissue in TISSUES:
        rng = np.random.default_rng(0)
        patches, spreads = [], []
        for tile in images_in(data / "em" / tissue):
            for _ in range(CUT_FROM_A_TILE):
                y, x = (rng.integers(side - PATCH_SIZE + 1) for side in tile.shape)
                patches.append(tile[y : y + PATCH_SIZE, x : x + PATCH_SIZE].astype(float))
                spreads.append(tile.std())
        sharp, spread = np.stack(patches), np.array(spreads)[:, np.newaxis, np.newaxis]
        for blur, noise in itertools.product(BLURS_PX, NOISES):
            blurred = gaussian_filter(sharp, (0, blur, blur))
            share = float(
                blank_patches(blurred + noise * spread * rng.normal(size=sharp.shape)).mean()
            )
            most = 0.10 if (blur, noise) == (8, 2.5) else 0.01
            yield Figure(
                f"Tissue called blank, {tissue}, {len(sharp)} patches of {PATCH_SIZE}²: blurred by "
                f"{blur} px, noise over signal {noise}",
                f"{share:.1%}",
                f"≤ {most:.0%}",
                share <= most,
            )


def of_images(data: Path) -> Iterator[Figure]:
    planes = images_in(data / "em")
    faults = [acquisition_fault(plane).faults for plane in planes]
    for fault in ("empty", "cut", "repeated", "saturated", "blank"):
        number = sum(fault in found for found in faults)
        exact = fault in ("empty", "cut", "repeated")
        yield Figure(
            f"Real images called {fault}, of {len(planes)}",
            f"{number}",
            "0" if exact else "as they are",
            not exact or number == 0,
        )


def of_a_large_plane() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        plane = np.memmap(Path(folder) / "plane", np.uint8, "w+", shape=(SIDE, SIDE))
        rng = np.random.default_rng(0)
        # Rolled, its lines are no copies of others.
        field = 128 + 20 * rng.normal(size=(1000, SIDE)) + 20 * np.sin(np.arange(SIDE) / 20)
        for top in range(0, SIDE, 1000):
            plane[top : top + 1000] = np.roll(field, 17 * top, axis=1).astype(np.uint8)
        plane.flush()
        tracemalloc.start()
        start = time.process_time()
        found = acquisition_fault(plane)
        seconds = time.process_time() - start
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    yield Figure(
        f"Faults of {SIDE}×{SIDE} pixels in a file: time of one core, memory",
        f"{seconds:.1f} s, {peak / 2**20:.0f} MiB",
        "≤ 200 MiB",
        peak <= 200 * 2**20 and not found.faults,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.acquisition", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with real images")
    data = parser.parse_args().data
    parts = [of_noise(), of_a_large_plane()]
    if data is not None:
        parts += [of_tissue(data), of_images(data)]
    with threadpool_limits(1):
        return 0 if print_rows(itertools.chain.from_iterable(parts)) else 1


if __name__ == "__main__":
    sys.exit(main())
