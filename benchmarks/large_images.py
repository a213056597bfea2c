"""Memory and time for a large image, and what a sample of it is worth.

``python -m benchmarks.large_images`` writes a tiled TIFF of 50,000 × 50,000 pixels (some 2 GB, in
``--folder`` or a temporary one, removed afterwards), measures it with the command in a process of
its own, and then by samples of 200 places with 100 seeds. ``--cheap`` writes the same few tiles
without noise everywhere, for the memory of a still larger ``--side``.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import numpy as np
import numpy.typing as npt

from benchmarks.figure import Figure, print_rows
from microscope_quality.degrade import Camera, defocus
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import nuclei

TILE = 512
SIDE = 50_000
PLACES = 200
SEEDS = 100
# Pixels of the simulated fields that the tiles are cut from, and photons of their light.
FIELD, PHOTONS = 2048, 300.0
# Whole levels from the left border to the right one, and wells across and down.
LEVELS, WELLS = 8, 6

# Runs in a process of its own: where the sample's time is taken, imports included.
SAMPLE = """
import sys
from microscope_quality.files.images import open_image
from microscope_quality.sampling import sample_focus
image = open_image(sys.argv[1])
(plane,) = image.read(image.pages[0])
result = sample_focus(plane.array, places=int(sys.argv[2]), seed=int(sys.argv[3]))
print(result.expected_level, result.expected_level_low, result.expected_level_high)
"""


class Run(NamedTuple):
    """What a process printed, how long it ran, and the most memory that it held."""

    output: str
    seconds: float
    peak_bytes: int


def tiles(cheap: bool) -> Dict[Tuple[int, int], List[bytes]]:
    """Give compressed tiles by level and density of the cells; density 0 is background."""
    from imagecodecs import deflate_encode

    camera, light = Camera(), np.random.default_rng(0)
    made: Dict[Tuple[int, int], List[bytes]] = {}

    def cut(image: npt.NDArray[np.float64], seed: int) -> List[bytes]:
        exposed = image if cheap else camera.expose(PHOTONS * (image + 0.03), seed)
        pixels = np.asarray(exposed * 1000 if cheap else exposed, np.uint16)
        corners = range(0, FIELD, TILE)
        parts = [pixels[y : y + TILE, x : x + TILE] for y in corners for x in corners]
        return [deflate_encode(np.ascontiguousarray(part).tobytes(), 6) for part in parts]

    for density, cells in ((1, 150), (2, 900)):
        field = nuclei((FIELD, FIELD), cells, density)
        for level in range(0, LEVELS + 1, 4 if cheap else 1):
            distance = TRAINING_OPTICS.defocus_of_level(float(level))
            blurred = defocus(field, psf(TRAINING_OPTICS, distance))
            made[level, density] = cut(np.maximum(blurred, 0), int(light.integers(2**31)))
    made[0, 0] = cut(np.zeros((FIELD, FIELD)), int(light.integers(2**31)))
    return made


def layout(side: int, levels: List[int]) -> Iterator[Tuple[int, int]]:
    """Give level and density of each tile: round wells on background, tilted over the image."""
    across = math.ceil(side / TILE)
    pitch = across / WELLS
    for row in range(across):
        for column in range(across):
            y, x = (row + 0.5) / pitch % 1 - 0.5, (column + 0.5) / pitch % 1 - 0.5
            well = int(row / pitch) * WELLS + int(column / pitch)
            if math.hypot(y, x) > 0.45 or well % 7 == 3:
                yield 0, 0
                continue
            wanted = LEVELS * column / across + 1.5 * (row / across - 0.5)
            yield min(levels, key=lambda level: abs(level - wanted)), 1 + well % 2


def write(path: Path, side: int, cheap: bool = False) -> None:
    """Write a tiled, deflated TIFF of simulated wells, tile by tile."""
    import tifffile

    made = tiles(cheap)
    levels = sorted({level for level, _ in made})
    random = np.random.default_rng(1)

    def contents() -> Iterator[bytes]:
        for kind in layout(side, levels):
            choice = made[kind]
            yield choice[int(random.integers(len(choice)))]

    tifffile.imwrite(
        path,
        contents(),
        shape=(side, side),
        dtype=np.uint16,
        tile=(TILE, TILE),
        compression="adobe_deflate",
        bigtiff=True,
    )


def run(*arguments: str) -> Run:
    """Run Python with arguments, on one BLAS thread."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return Run(output, time.perf_counter() - began, usage.ru_maxrss * 1024)


def whole(path: Path, folder: Path) -> Tuple[Run, float]:
    """Measure the image by the command; give the run and the expected level."""
    out = folder / "results"
    options = ["--out", str(out), "--overlay", "none", "--jobs", "1"]
    done = run("-m", "microscope_quality", "measure", str(path), *options)
    with (out / "results.csv").open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    return done, float(row["expected_level"])


def figures(path: Path, folder: Path, seeds: int) -> Iterator[Figure]:
    import tifffile

    from microscope_quality.files.images import open_image
    from microscope_quality.sampling import sample_focus

    with tifffile.TiffFile(path) as tiff:
        side = tiff.pages.first.imagewidth
    name = f"{side:,} × {side:,} pixels in tiles, {path.stat().st_size / 1e9:.1f} GB"
    measured, level = whole(path, folder)
    gigabytes = measured.peak_bytes / 1e9
    taken = f"{gigabytes:.2f} GB ({measured.seconds:.0f} s on 1 core, level {level:.2f})"
    yield Figure(f"{name}: memory of the whole process at most", taken, "< 1 GB", gigabytes < 1)

    sampled = run("-c", SAMPLE, str(path), str(PLACES), "0")
    share = sampled.seconds / measured.seconds
    yield Figure(
        f"`--sample {PLACES}`: time, with start and end of the process, against the whole's",
        f"{100 * share:.1f}% ({sampled.seconds:.1f} s, {sampled.peak_bytes / 1e9:.2f} GB)",
        "< 5%",
        share < 0.05,
    )
    if not seeds:
        return
    image = open_image(path)
    (plane,) = image.read(image.pages[0])
    results: List[Any] = [
        sample_focus(plane.array, places=PLACES, seed=seed) for seed in range(seeds)
    ]
    held = sum(r.expected_level_low <= level <= r.expected_level_high for r in results)
    width = np.mean([r.expected_level_high - r.expected_level_low for r in results])
    yield Figure(
        f"`--sample {PLACES}`: 95% intervals that hold the whole image's {level:.2f}",
        f"{held} of {seeds} seeds (mean width {width:.2f} levels)",
        "≥ 90 of 100",
        held >= 0.9 * seeds,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_images", description=__doc__)
    parser.add_argument("--side", type=int, default=SIDE, help="of the image, in pixels")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--folder", type=Path, help="for the image, which is kept and used again")
    parser.add_argument("--cheap", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"large-{options.side}{'-cheap' if options.cheap else ''}.tif"
        if not path.exists():
            write(path, options.side, options.cheap)
        print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
        return 0 if print_rows(figures(path, Path(temporary), options.seeds)) else 1


if __name__ == "__main__":
    sys.exit(main())
