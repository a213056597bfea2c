"""Draw docs/overview.png: sample images as the command draws them, side by side.

Run it as ``python docs/make_overview.py`` after ``python docs/make_sample.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageDraw, ImageFont

from microscope_quality import measure_focus
from microscope_quality.overlay import legend, overlay

DOCS = Path(__file__).parent
NAMES = ("A01_s1_dna", "A02_s1_dna", "A02_s2_dna")
WORDS = {
    "in_focus": "in focus",
    "out_of_focus": "out of focus",
    "mixed": "mixed",
    "no_content": "no content",
}
GROUND, BRIGHT, DIM = (24, 24, 27), (240, 240, 242), (161, 161, 170)
MARGIN, TOP, BOTTOM = 18, 56, 92


def draw() -> Image.Image:
    """Measure and draw the three images."""
    large, small = ImageFont.load_default(21), ImageFont.load_default(15)
    planes = [tifffile.imread(DOCS / "sample" / f"{name}.tif") for name in NAMES]
    height, width = planes[0].shape
    canvas = Image.new(
        "RGB",
        (len(planes) * (width + MARGIN) + MARGIN, TOP + height + BOTTOM),
        GROUND,
    )
    draw = ImageDraw.Draw(canvas)
    for number, plane in enumerate(planes):
        result = measure_focus(plane)
        left = MARGIN + number * (width + MARGIN)
        draw.text((left, 16), WORDS[result.status], BRIGHT, large)
        told = f"level {result.expected_level:.1f}, certainty {result.certainty:.2f}"
        draw.text((left + width, 22), told, DIM, small, anchor="ra")
        canvas.paste(Image.fromarray(overlay(plane, result)), (left, TOP))
    bar = Image.fromarray(np.ascontiguousarray(legend(36)))
    left, above = (canvas.width - bar.width) // 2, canvas.height - 56
    canvas.paste(bar, (left, above))
    draw.text((left, above - 6), "in focus", BRIGHT, small, anchor="lb")
    draw.text((left + bar.width, above - 6), "far out of focus", BRIGHT, small, anchor="rb")
    draw.text((left - 12, above), "sure", DIM, small, anchor="rt")
    draw.text((left - 12, above + bar.height), "unsure", DIM, small, anchor="rb")
    return canvas


if __name__ == "__main__":
    draw().save(DOCS / "overview.png", optimize=True)
