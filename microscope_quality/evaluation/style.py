"""The style of an evaluation's figures, and how they become files and words.

All figures lie on white, so that they read the same on a light and on a dark page; what is told by
colour is told by position, marker or a number as well.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours (Color Universal Design, 2008), the darker ones first; each comes with a
# marker and a line of its own, for eyes and printers that do not tell them apart.
SERIES = (
    ("#0072b2", "o", "-"),
    ("#d55e00", "s", (0, (5, 2))),
    ("#009e73", "^", (0, (1, 1.2))),
    ("#cc79a7", "D", (0, (6, 2, 1, 2))),
    ("#56b4e9", "v", (0, (3, 1, 1, 1, 1, 1))),
    ("#e69f00", "P", (0, (8, 3))),
)
INK, SOFT, FAINT = "#1c2430", "#5b6675", "#dfe4ea"
# White to a blue so dark that black-and-white printing keeps the order.
BLUES = ("#ffffff", "#e3eef9", "#b5d3ee", "#72aadb", "#2f7abf", "#0d4c8f", "#06265a")
_MEASURES = {
    "power_log_log_slope": "power log-log slope",
    "mean_over_deviation": "mean / deviation",
    "focus_score": "focus score",
    "local_focus_score": "local focus score",
    "correlation": "correlation (Haralick)",
    "tenengrad": "Tenengrad",
    "laplacian_variance": "Laplacian variance",
    "laplacian_of_gaussian": "Laplacian of Gaussian",
    "mid_band_power": "mid-band power",
    "crete_blur_effect": "Crété's blur effect",
}
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # The same figure gives the same file.
    "svg.hashsalt": "microscope-quality",
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw in this project's style, whatever the user has set for matplotlib."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


@contextlib.contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """Give a figure of this size in inches to draw on, in this project's style."""
    from matplotlib.figure import Figure

    with styled():
        yield Figure(figsize=(width, height), layout="constrained")


def series(number: int) -> dict[str, Any]:
    """Give the colour, marker and line of a series."""
    colour, marker, line = SERIES[number % len(SERIES)]
    return {"color": colour, "marker": marker, "linestyle": line}


def footnote(figure: Figure, text: str) -> None:
    """Write under a figure."""
    figure.supxlabel(text, fontsize=7.5, color=SOFT)


def shades() -> Any:
    """Give the colour map of shares."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shades", list(BLUES))


def percents() -> Any:
    """Give what writes an axis in percent."""
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{100 * value:.4g}%")


def ticks(intervals: int, *, whole: bool = False, highest: float | None = None) -> Any:
    """Give ticks for about so many intervals, whole numbers if wanted, none over the highest."""
    from matplotlib.ticker import MaxNLocator

    class Limited(MaxNLocator):
        def tick_values(self, vmin: float, vmax: float) -> Any:
            values = np.asarray(super().tick_values(vmin, vmax))
            return values if highest is None else values[values <= highest + 1e-9]

    return Limited(intervals, integer=whole, steps=[1, 2, 5, 10] if whole else None)


def svg(figure: Figure) -> str:
    """Give a figure as SVG, the same text for the same figure; letters are drawn as shapes."""
    text = io.StringIO()
    _save(figure, text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def png(figure: Figure, dots_per_inch: int = 192) -> bytes:
    """Give a figure as PNG."""
    content = io.BytesIO()
    _save(figure, content, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return content.getvalue()


def webp(figure: Figure, dots_per_inch: int = 192, quality: int = 82) -> bytes:
    """Give a figure of photographs as WebP, which takes a quarter of the bytes of PNG."""
    from PIL import Image

    with Image.open(io.BytesIO(png(figure, dots_per_inch))) as image:
        content = io.BytesIO()
        image.convert("RGB").save(content, "WEBP", quality=quality, method=5)
    return content.getvalue()


def _save(figure: Figure, target: Any, **how: Any) -> None:
    with styled():
        # The layout is found once: finding it takes as long as drawing.
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            if any(axes.get_aspect() != "auto" for axes in figure.axes):
                # Where a title stands is known only once the first time has made axes square.
                engine.execute(figure)
            figure.set_layout_engine("none")
        figure.savefig(target, **how)


def share_text(value: float) -> str:
    """Say a share in percent with one decimal: 100 % and 0 % only when it is all or nothing."""
    if math.isnan(value):
        return "–"
    if value in (0, 1):
        return f"{value:.0%}"
    return f"{min(99.9, max(0.1, 100 * value)):.1f}%"


def measure_name(key: str) -> str:
    """Give a focus measure's name in words; a model's is its own."""
    return _MEASURES.get(key, key)
