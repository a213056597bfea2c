"""The report of 10,000 images in a real browser: its size, and how fast it opens and filters.

python -m benchmarks.report [--images 10000] [--jobs 2] [--keep FOLDER]

It needs playwright and a Chromium. The images are simulated: a few different ones of 1080 x 1080
pixels and 16 bits, measured, each under many names of a screen of plates of 384 wells.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from benchmarks.figure import Figure, print_rows, seconds
from microscope_quality import measure_focus
from microscope_quality.degrade import Camera, defocus
from microscope_quality.files.columns import names
from microscope_quality.files.tables import RESULTS, encoded, encoded_header
from microscope_quality.measuring.settings import Settings
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.report.pictures import thumbnail
from microscope_quality.report.write import write_report
from microscope_quality.simulate import nuclei

SHAPE = (1080, 1080)
DIFFERENT = 24
CAMERA = Camera(photons_per_level=1.0, offset=100, read_noise=2.5, bit_depth=12)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def make_screen(folder: Path, n: int) -> Path:
    """Write images and the table of a screen; give its folder of results."""
    images, results = folder / "images", folder / "results"
    images.mkdir(parents=True)
    results.mkdir()
    kinds = []
    specimen = nuclei(SHAPE, 240, 0)
    for number in range(DIFFERENT):
        level = max(0, number - DIFFERENT // 2) * 10 / (DIFFERENT // 2)
        light = np.roll(specimen, 40 * number, axis=1)
        kernel = psf(TRAINING_OPTICS, float(TRAINING_OPTICS.defocus_of_level(level)))
        light = defocus(light * (number != 1), kernel)
        plane = CAMERA.expose(1500 * (np.maximum(light, 0) + 0.03), number).astype(np.uint16)
        path = folder / f"{number}.tif"
        tifffile.imwrite(path, plane)
        kinds.append((path, measure_focus(plane).to_row()))
    rows = []
    rng = np.random.default_rng(0)
    for number in range(n):
        plate, well = divmod(number, 768)
        name = f"P{plate + 1:02}_{chr(65 + well // 48)}{well // 2 % 24 + 1:02}_s{well % 2 + 1}.tif"
        path, row = kinds[number * 7919 % DIFFERENT]
        row = {**row}
        for column in ("expected_level", "certainty", "mean_certainty"):
            # Little enough that the measurement of the worst ones agrees.
            row[column] = abs(float(row[column]) + rng.uniform(-0.04, 0.04))
        os.link(path, images / name)
        seconds_ = f"2026-01-{1 + plate:02}T{well // 60:02}:{well % 60:02}:00.000000000Z"
        rows.append(
            {
                **row,
                "file": name,
                "plate": f"P{plate + 1:02}",
                "well": name[4:7],
                "site": well % 2 + 1,
                "size_bytes": path.stat().st_size,
                "modified": seconds_,
                "settings_id": "0" * 12,
            }
        )
    columns = names(Settings().columns()[RESULTS])
    (results / RESULTS).write_bytes(encoded_header(columns) + encoded(columns, rows))
    return results


def chromium() -> str:
    """Find a Chromium."""
    import shutil

    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    raise SystemExit("benchmarks.report needs Chromium: apt-get install chromium")


def in_browser(page: Path) -> dict[str, float]:
    """Open the page and use it; give the seconds of each step."""
    from playwright.sync_api import sync_playwright

    took = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        opened, drawn = [], []
        for _ in range(3):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            start = time.perf_counter()
            tab.goto(page.as_uri(), wait_until="commit")
            tab.wait_for_selector("html[data-ready]")
            _painted(tab)
            opened.append(time.perf_counter() - start)
            tab.locator("#values").scroll_into_view_if_needed()
            tab.wait_for_selector("#plot-chart-0 .main-svg")
            _painted(tab)
            drawn.append(time.perf_counter() - start)
        took["open"], took["charts"] = min(opened), min(drawn)
        # Each use is timed within the page, up to the next picture on the screen.
        uses = {
            "filter by text": "byId('filter-text').value = 'p07_c'; input('filter-text')",
            "filter by level": "byId('value-from').value = '3'; input('value-from')",
            "sort": "document.querySelectorAll('#grid-head button')[0].click()",
            "slider": "byId('value-limit').value = '4.2'; input('value-limit')",
            "gallery": "byId('see-pictures').click()",
            "choice": "byId('choice').value = 'certainty'; choose()",
        }
        for name, use in uses.items():
            tab.evaluate("document.getElementById('dialog').close()")
            took[name] = tab.evaluate(
                f"""async () => {{
                    const byId = (id) => document.getElementById(id);
                    const event = new Event('input', {{bubbles: true}});
                    const input = (id) => byId(id).dispatchEvent(event);
                    const choose = () => byId('choice').dispatchEvent(new Event('change'));
                    const frame = () => new Promise(requestAnimationFrame);
                    const start = performance.now();
                    {use};
                    await frame();
                    await frame();
                    return (performance.now() - start) / 1000;
                }}"""
            )

        browser.close()
    return took


def _painted(tab: Any) -> None:
    tab.evaluate("() => new Promise((d) => requestAnimationFrame(() => requestAnimationFrame(d)))")


def measure(n: int, jobs: int, folder: Path) -> Iterator[Figure]:
    """Make a screen and its report, and use it."""
    results = make_screen(folder, n)
    start = time.perf_counter()
    page = write_report(results, images=folder / "images", jobs=jobs)
    took = time.perf_counter() - start
    size = page.stat().st_size / 1e6
    plane = tifffile.imread(folder / "0.tif")
    small = seconds(lambda: thumbnail(plane, 2400), 20)
    yield Figure(
        f"report of {n:,} images: written with {jobs} jobs",
        f"{took:.0f} s, {1000 * took / n:.1f} ms an image",
        "",
        True,
    )
    yield Figure(
        "a picture of 1080 × 1080 pixels for it, above decoding",
        f"{1000 * small:.1f} ms",
        "≤ 4 ms",
        small <= 0.004,
    )
    yield Figure("its size", f"{size:.1f} MB", "< 50 MB", size < 50)
    used = in_browser(page)
    yield Figure(
        "it opens in Chromium: verdict, table and slider at work",
        f"{used['open']:.2f} s",
        "< 3 s",
        used["open"] < 3,
    )
    yield Figure(
        "the same with its first charts drawn",
        f"{used['charts']:.2f} s",
        "< 3 s",
        used["charts"] < 3,
    )
    for name in ("filter by text", "filter by level", "sort", "slider", "gallery", "choice"):
        yield Figure(f"its {name}", f"{used[name]:.2f} s", "< 3 s", used[name] < 3)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="new folder for the screen and its report")
    options = parser.parse_args()
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "screen"
        met = print_rows(measure(options.images, options.jobs, folder))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
