"""Draw the pictures of docs/python.md: results in a notebook, and as plots.

Run it as ``python docs/make_python.py``. It needs Matplotlib, Playwright and a Chromium.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import tifffile
from PIL import Image

from microscope_quality import Optics, measure_focus, measure_stack

DOCS = Path(__file__).parent
FOLDER = DOCS / "python"
DRY = Optics(na=0.5, refractive_index=1.0, wavelength_um=0.5, pixel_size_um=0.65)
WIDTH = 830
# As pages of Jupyter are set.
STYLE = (
    "margin:0;padding:14px 18px;width:794px;display:flex;gap:20px;font:12.5px/1.5 system-ui,"
    "-apple-system,Helvetica,Arial,sans-serif;color:rgba(0,0,0,.87);background:#fff"
)


def sample(name: str):
    """Read a plane or stack of the sample."""
    return tifffile.imread(DOCS / "sample" / name)


def notebook() -> Image.Image:
    """Show what results show in a notebook."""
    from playwright.sync_api import sync_playwright

    shown = (
        measure_focus(sample("A02_s1_dna.tif"), optics=DRY),
        measure_stack(sample("B03_s1_dna_stack.tif")),
    )
    parts = "".join(f"<div>{result._repr_html_()}</div>" for result in shown)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or "/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 100}, device_scale_factor=2)
        page.set_content(f'<body style="{STYLE}">{parts}</body>')
        picture = page.screenshot(full_page=True)
        browser.close()
    return Image.open(io.BytesIO(picture))


def plots() -> Image.Image:
    """Plot a tilted image and a stack."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(WIDTH / 80, 4), width_ratios=(1.1, 1), layout="constrained"
    )
    plane = sample("A02_s2_dna.tif")
    measure_focus(plane).plot(plane, ax=left)
    measure_stack(sample("B03_s1_dna_stack.tif")).plot(ax=right)
    file = io.BytesIO()
    figure.savefig(file, dpi=160)
    return Image.open(file)


def main() -> None:
    """Write the pictures."""
    FOLDER.mkdir(exist_ok=True)
    few = notebook().convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(FOLDER / "notebook.png", optimize=True)
    plots().convert("RGB").save(FOLDER / "plots.jpg", quality=90)


if __name__ == "__main__":
    main()
