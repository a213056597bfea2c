"""Make the images of docs/micrographs: drawn tissue, with what electron microscopes do to it.

Run it as ``python docs/make_micrographs.py [FOLDER]``. It also draws docs/rating.jpg of them: what
`microscope-quality rate` says of each.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageDraw, ImageFont

from microscope_quality import rate_image
from microscope_quality.components import LEAST_ELONGATION
from microscope_quality.overlay import grey_picture
from microscope_quality.training.rating.instrument import MARGIN_PX, Fault, degraded
from microscope_quality.training.rating.tissue import drawn_tissue

DOCS = Path(__file__).parent
SIDE = 384
#: Tissue that is drawn: one field a tile.
SEED = 11
FAULTS = {
    "r0_c0": Fault(noise=0.15),
    "r0_c1": Fault(defocus_px=2.5, noise=0.2),
    "r0_c2": Fault(defocus_px=2.2, astigmatism_px=1.8, axis=math.radians(60), noise=0.2),
    "r0_c3": Fault(noise=1.8, electrons=4.0),
    "r1_c0": Fault(noise=0.2, line_noise=0.9, streaks=12),
    "r1_c1": Fault(noise=0.2, jitter_px=1.8, jitter_lines=0.7),
    "r1_c2": Fault(noise=0.15),
    "r1_c3": Fault(noise=0.15),
}
SHOWN = tuple(FAULTS)[:6]
GROUND, BRIGHT, DIM = (24, 24, 27), (240, 240, 242), (161, 161, 170)
MARGIN, TOP = 14, 58


def make(folder: Path) -> None:
    """Write all images."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, fault) in enumerate(FAULTS.items()):
        rng = np.random.default_rng(SEED + number)
        field = drawn_tissue(SIDE + 2 * MARGIN_PX, rng)
        image = degraded(field, fault, rng)[0].astype(np.uint8)
        if name == "r1_c2":
            # The grab ended early.
            image[250:] = 0
        if name == "r1_c3":
            # Resin, with nothing in it.
            image = np.clip(rng.normal(170, 9, image.shape), 0, 255).astype(np.uint8)
        path = folder / f"section1_{name}.tif"
        tifffile.imwrite(path, image, compression="zlib", predictor=True)


def draw(folder: Path) -> Image.Image:
    """Rate images and say below each what is wrong."""
    large, small = ImageFont.load_default(20), ImageFont.load_default(15)
    width, rows = 3 * (SIDE + MARGIN) + MARGIN, 2
    canvas = Image.new("RGB", (width, rows * (SIDE + TOP + MARGIN) + MARGIN), GROUND)
    pen = ImageDraw.Draw(canvas)
    for number, name in enumerate(SHOWN):
        plane = tifffile.imread(folder / f"section1_{name}.tif")
        result = rate_image(plane)
        left = MARGIN + number % 3 * (SIDE + MARGIN)
        top = MARGIN + number // 3 * (SIDE + TOP + MARGIN)
        canvas.paste(Image.fromarray(grey_picture(plane)), (left, top + TOP))
        parts = result.components
        why = f"{result.cause}: {result.action}" if result.cause else "nothing to do"
        pen.text((left, top), f"score {result.score:.2f}  {result.status}", BRIGHT, large)
        pen.text((left + SIDE, top + 4), why, BRIGHT, small, anchor="ra")
        ratio = f", {parts.elongation:.1f} : 1"
        if parts.elongation >= LEAST_ELONGATION:
            ratio += f" at {parts.angle_deg:.0f}°"
        told = (
            f"blur {parts.blur_px:.1f} px{ratio}   noise {parts.noise:.2f}   "
            f"lines {parts.line_noise:.2f}   jitter {parts.jitter_px:.1f}"
        )
        pen.text((left, top + 32), told, DIM, small)
    return canvas


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "micrographs"
    make(place)
    draw(place).save(place.parent / "rating.jpg", quality=82, optimize=True)
