"""Draw docs/report.png: the report of a simulated plate of which a corner is out of focus.

Run it as ``python docs/make_report.py [FOLDER]``; the plate, its results and its report go to the
folder, by default a temporary one. It needs ``pip install '.[report]' playwright`` and a Chromium.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from microscope_quality.degrade import Camera, defocus_varying, tilted_levels
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import filaments, nuclei

DOCS = Path(__file__).parent
SHAPE = (336, 420)
CAMERA = Camera(photons_per_level=1.0, offset=100, read_noise=2.5, bit_depth=12)
KERNELS = [psf(TRAINING_OPTICS, float(TRAINING_OPTICS.defocus_of_level(k))) for k in range(11)]
PATTERN = r"(?P<plate>P\d)_(?P<well>[A-H]\d\d)_s(?P<site>\d)_(?P<channel>[a-z]+)"
#: When the first image was taken, and the time to the next, in seconds.
START, STEP = 1_790_000_000, 7


def taken(light: np.ndarray, levels: np.ndarray, photons: float, seed: int) -> np.ndarray:
    """Blur by the level of each pixel and expose with a background of 3 %."""
    blurred = defocus_varying(light, np.clip(levels, 0, 10), KERNELS)
    return CAMERA.expose(photons * (np.maximum(blurred, 0) + 0.03), seed).astype(np.uint16)


def make_plate(folder: Path) -> None:
    """Write a plate of 96 wells, 2 sites and 2 stains, and z-stacks."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    cells = [nuclei(SHAPE, 42, seed) for seed in range(8)]
    fibres = [filaments(SHAPE, 160, seed) for seed in range(4)]
    number = 0
    for row in range(8):
        for column in range(12):
            for site, stain in ((1, "dna"), (1, "actin"), (2, "dna")):
                number += 1
                kinds = cells if stain == "dna" else fibres
                light = np.roll(kinds[number % len(kinds)], int(rng.integers(400)), axis=1)
                corner = np.hypot(max(0, row - 4), max(0, column - 7))
                levels = np.full(
                    SHAPE, round(2 * max(0, 1.8 * corner - 1 + rng.normal(0, 0.5))) / 2
                )
                kind = rng.random()
                if kind < 0.03:
                    light = np.zeros(SHAPE)
                elif kind < 0.08:
                    levels = tilted_levels(SHAPE, 4.5, 10, float(rng.integers(360)))
                plane = taken(light, levels, float(rng.choice([300, 1200, 2500])), number)
                path = folder / f"P1_{'ABCDEFGH'[row]}{column + 1:02}_s{site}_{stain}.tif"
                tifffile.imwrite(path, plane, compression="zlib")
                if kind > 0.993:
                    path.write_bytes(path.read_bytes()[:2000])
                os.utime(path, (START + STEP * number,) * 2)
    for stack, focus in enumerate((3.3, 5.1, 8.7, 18)):
        light = np.roll(cells[stack], 60, axis=1)
        planes = [
            taken(light, np.full(SHAPE, 0.9 * abs(z - focus)), 2000, 500 + z) for z in range(11)
        ]
        path = folder / f"stack_{stack}_dna.tif"
        tifffile.imwrite(path, np.stack(planes), imagej=True, metadata={"axes": "ZYX"})
        os.utime(path, (START + STEP * (number + stack),) * 2)


def picture(page: Path) -> Image.Image:
    """Show the page in Chromium: its beginning, and its plate beside its certainties."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1240, "height": 820})
        tab.goto(page.resolve().as_uri())
        tab.wait_for_selector("html[data-ready]")
        parts = [tab.screenshot()]
        for anchor in ("threshold", "values", "plates"):
            tab.locator(f"#{anchor}").scroll_into_view_if_needed()
            tab.wait_for_timeout(500)
            parts.append(tab.locator(f"#{anchor}").screenshot())
        browser.close()
    opened = [Image.open(io.BytesIO(part)).convert("RGB") for part in parts]
    width = max(part.width for part in opened)
    canvas = Image.new("RGB", (width, sum(part.height for part in opened)), (244, 246, 249))
    top = 0
    for part in opened:
        canvas.paste(part, ((width - part.width) // 2, top))
        top += part.height
    size = (960, round(canvas.height * 960 / width))
    return canvas.resize(size, Image.Resampling.LANCZOS)


def make(folder: Path) -> None:
    """Make the plate, measure it, and draw its report."""
    make_plate(folder / "plate")
    command = [sys.executable, "-m", "microscope_quality"]
    results = folder / "results"
    measured = [*command, "measure", str(folder / "plate"), "--out", str(results)]
    # The files that cannot be read make its exit code 1.
    subprocess.run([*measured, "--pattern", PATTERN, "--overlay", "none"], check=False)
    subprocess.run([*command, "report", str(results), "--title", "Plate P1"], check=True)
    drawn = picture(results / "report.html")
    drawn.quantize(256, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE).save(
        DOCS / "report.png", optimize=True
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        make(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            make(Path(temporary))
