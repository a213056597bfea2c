"""How the pictures are drawn: at the width, and with the letters, of the page."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from microscope_quality.optics import N_LEVELS
from microscope_quality.overlay import level_colours

WIDTH_PX = 830
# Okabe and Ito's darker colours; each line has a marker and a dash of its own.
SERIES = (
    ("#0072b2", "o", "-"),
    ("#d55e00", "s", (0, (5, 2))),
    ("#009e73", "^", (0, (1, 1.2))),
    ("#7b3294", "D", (0, (6, 2, 1, 2))),
    ("#5b6675", "v", (0, (3, 1, 1, 1, 1, 1))),
)
INK, SOFT, FAINT, BAR = "#1c2430", "#5b6675", "#dfe4ea", "#8fb8dc"


def figure(height_px: int, rows: int = 1, columns: int = 1, **settings: Any) -> tuple[Any, Any]:
    """Make an empty figure of the page's width whose text has the size of the page's."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.close("all")
    pyplot.rcdefaults()
    pyplot.rcParams.update(
        {
            "font.family": "DejaVu Sans",
            # 16 pixels at 100 to the inch.
            "font.size": 11.6,
            "axes.titlesize": 11.6,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.titlepad": 9,
            "axes.labelcolor": INK,
            "axes.edgecolor": SOFT,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.grid": True,
            "grid.color": FAINT,
            "text.color": INK,
            "xtick.color": SOFT,
            "ytick.color": SOFT,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "legend.frameon": False,
            "legend.handlelength": 2.2,
            "lines.linewidth": 2,
            "lines.markersize": 6,
        }
    )
    made, axes = pyplot.subplots(
        rows,
        columns,
        figsize=(WIDTH_PX / 100, height_px / 100),
        layout="constrained",
        **settings,
    )
    return made, axes


def finished(made: Any) -> Image.Image:
    """Render at twice the shown size, for fine screens."""
    buffer = io.BytesIO()
    made.savefig(buffer, dpi=200, facecolor="white", format="png")
    return with_few_colours(Image.open(buffer).convert("RGB"))


def with_few_colours(picture: Image.Image) -> Image.Image:
    """Keep a picture small: greys, and the colours in use with their blends into white and black.

    A palette made from the picture would merge neighbouring levels, whose areas are small.
    """
    from matplotlib.colors import to_rgb

    used = [rgb(k) for k in range(N_LEVELS)]
    used += [to_rgb(colour) for colour in (*(colour for colour, *_ in SERIES), BAR)]
    blends = [
        tuple(round(255 * (share * c + (1 - share) * end)) for c in colour)
        for colour in used
        for end, shares in ((1.0, (1.0, 0.75, 0.5, 0.25, 0.12)), (0.0, (0.7, 0.5, 0.35, 0.2)))
        for share in shares
    ]
    # As overlays tint bright and dark pixels.
    blends += [
        tuple(
            round(255 * (x * (0.72 - 0.12 * x) + c * (0.28 + 0.12 * x) * (1 + x) / 2)) for c in of
        )
        for of in used[:N_LEVELS]
        for x in (0.25, 0.5, 0.75, 1.0)
    ]
    greys = [(g, g, g) for g in np.linspace(0, 255, 24).round().astype(int).tolist()]
    inks = [to_rgb(colour) for colour in (INK, SOFT, FAINT)]
    palette = Image.new("P", (1, 1))
    colours = greys + [tuple(round(255 * c) for c in ink) for ink in inks] + blends
    palette.putpalette([channel for colour in colours for channel in colour])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def rgb(level: int) -> tuple[float, float, float]:
    """Give a level's colour, as matplotlib takes it."""
    red, green, blue = (level_colours(N_LEVELS)[level] / 255).tolist()
    return red, green, blue


def level_axis(axes: Any, strip_width: float = 0.025) -> None:
    """Make the vertical axis one of levels, with their colours along it."""
    from matplotlib.patches import Rectangle

    strip = axes.get_yaxis_transform()
    for k in range(N_LEVELS):
        axes.add_patch(
            Rectangle((0, k - 0.5), strip_width, 1, transform=strip, color=rgb(k), lw=0, zorder=3)
        )
    axes.set_ylim(-0.5, 10.5)
    axes.set_yticks(range(0, 11, 2))
    axes.set_ylabel("measured level")


def line(axes: Any, number: int, x: Any, y: np.ndarray, label: str, **settings: Any) -> None:
    """Draw means over the fields with the spread from lowest to highest; NaN is left out."""
    colour, marker, dash = SERIES[number]
    known = np.ma.masked_invalid(np.atleast_2d(y))
    axes.plot(
        x, known.mean(axis=0), color=colour, marker=marker, linestyle=dash, label=label, **settings
    )
    if len(known) > 1:
        low, high = known.min(axis=0), known.max(axis=0)
        axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)


def grey(light: np.ndarray, low: float, high: float) -> np.ndarray:
    """Give bytes, black and white at the two values."""
    scaled = 255 * np.clip((light - low) / (high - low), 0, 1)
    return np.round(scaled).astype(np.uint8)


def enlarged(pixels: np.ndarray, times: int) -> Image.Image:
    """Draw each pixel as a square."""
    return Image.fromarray(np.ascontiguousarray(pixels.repeat(times, 0).repeat(times, 1)))


class Canvas:
    """A white picture to paste images on and write beside, twice as fine as it is shown."""

    def __init__(self, height_px: int) -> None:
        self.image = Image.new("RGB", (2 * WIDTH_PX, 2 * height_px), "white")
        self._draw = ImageDraw.Draw(self.image)

    def paste(self, picture: Image.Image, x: float, y: float) -> None:
        """Paste a picture that is already twice as fine."""
        self.image.paste(picture, (round(2 * x), round(2 * y)))

    def text(
        self, x: float, y: float, words: str, colour: str = INK, *, anchor: str = "ls"
    ) -> None:
        """Write in the page's size of text."""
        self._draw.text((2 * x, 2 * y), words, colour, _font(), anchor=anchor)

    def box(self, x: float, y: float, width: float, height: float, colour: Any) -> None:
        """Fill a rectangle."""
        self._draw.rectangle((2 * x, 2 * y, 2 * (x + width) - 1, 2 * (y + height) - 1), colour)

    def disc(self, x: float, y: float, diameter: float, colour: Any) -> None:
        """Fill a disc around a place."""
        r = diameter / 2
        self._draw.ellipse((2 * (x - r), 2 * (y - r), 2 * (x + r), 2 * (y + r)), colour)

    def finished(self) -> Image.Image:
        """Give the picture with few colours."""
        return with_few_colours(self.image)


@cache
def _font() -> Any:
    from matplotlib import font_manager

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 32)
