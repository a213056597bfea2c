"""Make docs/watching.jpg: the page of a watch, as a browser shows it while images arrive.

Run it as ``python docs/make_watching.py``; it needs Playwright and a Chromium, whose path
``--chromium`` gives if it is neither on the path nor Playwright's own. ``--to FOLDER`` puts
pictures of several widths there instead.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import tifffile

sys.path.insert(0, str(Path(__file__).parent))
from make_sample import blurred, taken, tilted

from microscope_quality.simulate import filaments, nuclei

SHAPE = (420, 560)
#: Well, site and level of each field; None is an empty one, and a pair a tilted one.
FIELDS = [
    ("A01", 1, 0),
    ("A01", 2, 0.5),
    ("A02", 1, 1),
    ("A02", 2, 0),
    ("A03", 1, 0),
    ("A03", 2, None),
    ("B01", 1, 0.5),
    ("B01", 2, 2),
    ("B02", 1, (0, 9)),
    ("B02", 2, 5),
    ("B03", 1, 7),
    ("B03", 2, 0),
]


def make(folder: Path, number: int) -> None:
    """Write a field as a microscope would: complete under a name of its own, then renamed."""
    well, site, level = FIELDS[number]
    draw = filaments if well.startswith("B") and site == 1 else nuclei
    light = draw(SHAPE, 60 if draw is nuclei else 220, number)
    if level is None:
        light = np.zeros(SHAPE)
    elif isinstance(level, tuple):
        light = tilted(light, level[1])
    else:
        light = blurred(light, level)
    path = folder / f"{well}_s{site}.tif"
    tifffile.imwrite(path.with_suffix(".tmp"), taken(light, 2500, number))
    path.with_suffix(".tmp").rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    found = shutil.which("chromium") or shutil.which("google-chrome")
    parser.add_argument("--chromium", default=found, help="path of a Chromium")
    parser.add_argument("--to", type=Path, help="folder for pictures of several widths")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        plate = Path(scratch) / "plate 7"
        plate.mkdir()
        command = [sys.executable, "-m", "microscope_quality", "watch", str(plate), "--out"]
        command += [str(Path(scratch) / "results"), "--serve", "0", "--alert-level", "4"]
        command += ["--pattern", r"(?P<well>[A-P]\d\d)_s(?P<site>\d)"]
        watch = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            url = ""
            while not url:
                found = re.search(r"http://\S+", watch.stderr.readline())
                url = found[0] if found else ""
            for number in range(len(FIELDS)):
                make(plate, number)
            (plate / "B04_s1.tif").write_bytes((plate / "A01_s1.tif").read_bytes()[:99_999])
            while b'"error": 1' not in urllib.request.urlopen(f"{url}state.json").read():
                time.sleep(0.5)
            take(url, options.chromium, options.to)
        finally:
            watch.terminate()
            watch.wait()


def take(url: str, chromium: str | None, to: Path | None) -> None:
    """Take pictures of the page."""
    from playwright.sync_api import sync_playwright

    sizes = {"": (1280, 900)} if to is None else {"-wide": (1280, 900), "-phone": (375, 800)}
    folder = to or Path(__file__).parent
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        for name, (width, height) in sizes.items():
            for scheme in ("light", "dark") if to else ("light",):
                page = browser.new_page(
                    viewport={"width": width, "height": height}, color_scheme=scheme
                )
                page.on("console", lambda message: print(message.text, file=sys.stderr))
                page.goto(url)
                page.wait_for_selector("#newest li")
                page.wait_for_timeout(2500)
                path = folder / f"watching{name}{'-dark' if scheme == 'dark' else ''}.png"
                page.screenshot(path=path)
                if to:
                    page.screenshot(path=path.with_stem(f"{path.stem}-full"), full_page=True)
        browser.close()
    if to is None:
        shrink(folder / "watching.png")


def shrink(path: Path) -> None:
    """Store a picture as JPEG."""
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.save(path.with_suffix(".jpg"), quality=84, optimize=True, progressive=True)
    path.unlink()


if __name__ == "__main__":
    main()
