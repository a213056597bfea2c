"""Make the pictures of docs/tutorial.md: the report of the sample, as Chromium shows it.

Run it as ``python docs/make_tutorial.py``. It needs ``pip install '.[report]' playwright`` and a
Chromium.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
FOLDER = DOCS / "tutorial"
PATTERN = r"(?P<well>[A-H]\d+)_s(?P<site>\d+)_(?P<channel>[a-z]+)"
# Where a part of the page lies, without the room above its heading.
_BOX = """(id) => {
  const part = document.getElementById(id).getBoundingClientRect();
  const top = document.getElementById(`${id}-title`).getBoundingClientRect().top;
  return { x: 0, y: top + scrollY - 16, width: innerWidth, height: part.bottom - top + 32 };
}"""


def make() -> None:
    """Measure the sample and take the pictures."""
    from playwright.sync_api import sync_playwright

    FOLDER.mkdir(exist_ok=True)
    found = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as results, sync_playwright() as playwright:
        command = [sys.executable, "-m", "microscope_quality", "measure", str(DOCS / "sample")]
        options = ["--out", results, "--report", "--pattern", PATTERN]
        subprocess.run([*command, *options], check=True)
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1000, "height": 832})
        tab.goto((Path(results) / "report.html").resolve().as_uri())
        tab.wait_for_selector("html[data-ready]")
        _save("verdict", tab.screenshot())
        for name, part in (("plate", "plates"), ("keep", "threshold")):
            tab.locator(f"#{part}").scroll_into_view_if_needed()
            tab.wait_for_timeout(1000)
            box = tab.evaluate(_BOX, part)
            _save(name, tab.screenshot(full_page=True, clip=box))
        browser.close()


def _save(name: str, taken: bytes) -> None:
    picture = Image.open(io.BytesIO(taken)).convert("RGB")
    few = picture.quantize(256, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
    few.save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    make()
