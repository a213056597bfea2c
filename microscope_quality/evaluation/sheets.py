"""Sheets of patches: what a level looks like, mistakes, and what patches are judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from microscope_quality.evaluation import montage
from microscope_quality.evaluation.style import FAINT, SOFT, shades, styled
from microscope_quality.overlay import level_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from microscope_quality.evaluation.results import ExamplePatches

# Levels: what moves the answer by less is not worth a line.
_HARDLY = 0.05


def montage_figure(examples: ExamplePatches, levels: int = 11) -> Figure:
    """Draw patches by measured level (columns) and certainty (rows).

    As Figs. 5 to 7 of Yang et al., BMC Bioinformatics 19:77 (2018). Which patch stands for its
    place is left to chance; its contrast is stretched by itself, as a model with ``zscore`` takes
    it.

    Parameters
    ----------
    examples : ExamplePatches
    levels : int
        K.

    Returns
    -------
    Figure
        At 96 dots per inch a pixel of a patch is one of the figure.
    """
    arrangement = montage.arrange(examples.level, examples.certainty, levels)
    # The most certain at the top.
    chosen, count = arrangement.chosen[::-1], arrangement.count[::-1]
    edges = montage.CERTAINTY_EDGES[::-1]
    with styled():
        sheet = _Sheet(examples.patches, len(chosen), levels, below=0.205)
        for row, (high, low) in enumerate(zip(edges, edges[1:])):
            sheet.left_label(row, f"{low:.1f} to {high:.1f}")
        for (row, column), number in np.ndenumerate(chosen):
            if number < 0:
                sheet.nothing(row, column)
                continue
            true = int(examples.true[number])
            wrong = abs(true - column) > 1
            sheet.patch(
                row, column, examples.patches[number],
                f"is {true}" + (" ✗" if wrong else ""), f"1 of {count[row, column]:,}", bold=wrong,
            )  # fmt: skip
        sheet.level_heads(levels, "measured level")
        sheet.words(sheet.left - 0.12, sheet.top - 0.19, "certainty", ha="right", fontsize=9)
        sheet.foot(
            "“is”: the level that was simulated, ✗ where the measured one is more than one off."
            "  “1 of n”: chosen at random among n."
        )
    return sheet.figure


def mistakes_figure(examples: ExamplePatches) -> Figure:
    """Draw the patches that are wrong by more than one level, the most certain first.

    There has to be one; so many are drawn as stand in two rows.
    """
    columns = 11
    wrong = montage.mistakes(examples, 2 * columns)
    with styled():
        rows = -(-len(wrong) // columns)
        sheet = _Sheet(examples.patches, rows, columns, below=0.365, left=0.05, top=0.1, bottom=0.1)
        for place, index in enumerate(wrong):
            sheet.patch(
                *divmod(place, columns), examples.patches[index],
                f"said {examples.level[index]:.0f}, is {examples.true[index]}",
                f"certainty {examples.certainty[index]:.2f}", below=True,
            )  # fmt: skip
    return sheet.figure


def judged_figure(patches: npt.ArrayLike, maps: npt.ArrayLike) -> Figure:
    """Draw patches and, under each, what it is judged by.

    Parameters
    ----------
    patches : (rows, columns, P, P) array
        A column for each level; a place without a patch is NaN.
    maps : (rows, columns, P, P) array
        Of `montage.judged_by`.

    Returns
    -------
    Figure
        A map's shades go from 0 to its own largest importance, which is written under it. The line
        encloses the part over half of that; there is none where hiding any part moves the answer
        by less than a twentieth of a level.
    """
    pixels, importance = np.asarray(patches, np.float64), np.asarray(maps, np.float64)
    rows, columns = pixels.shape[:2]
    with styled():
        sheet = _Sheet(pixels, 2 * rows, columns, bottom=0.5, below=0.115)
        for row, column in np.ndindex(rows, columns):
            if not np.isfinite(pixels[row, column]).all():
                sheet.nothing(2 * row, column)
                sheet.nothing(2 * row + 1, column)
                continue
            axes = sheet.patch(2 * row, column, pixels[row, column])
            shown = importance[row, column]
            largest = float(np.nanmax(shown))
            below = sheet.axes(2 * row + 1, column)
            below.imshow(
                shown, cmap=shades(), vmin=0, vmax=max(largest, _HARDLY),
                interpolation="bilinear",
            )  # fmt: skip
            below.set_axis_on()
            below.set(xticks=(), yticks=())
            below.spines[:].set(visible=True, color=FAINT)
            if largest >= _HARDLY:
                axes.contour(shown, [largest / 2], colors="#ffd23f", linewidths=1.1)
                below.contour(shown, [largest / 2], colors="#b58900", linewidths=0.8)
            x, y = sheet.corner(2 * row + 1, column)
            sheet.words(
                x + sheet.side / 2, y + sheet.side + 0.075, f"up to {largest:.2f}", fontsize=6.8
            )
        for row in range(rows):
            sheet.left_label(2 * row, "patch")
            sheet.left_label(2 * row + 1, "judged by")
        sheet.level_heads(columns, "level, measured and true")
        sheet.foot(
            "“up to”: levels that the answer moves by when the darkest part is hidden; each map "
            "has a scale of its own. Line: over half of that."
        )
    return sheet.figure


class _Sheet:
    """A figure of equal square places for patches, each at its own size in pixels.

    The patches are squares; the other lengths are in inches, `below` of what stands under a patch.
    """

    GAP = 0.04

    def __init__(
        self, patches: npt.NDArray[Any], rows: int, columns: int,
        *, below: float, left: float = 0.95, top: float = 0.62, bottom: float = 0.42,
    ) -> None:  # fmt: skip
        from matplotlib.figure import Figure

        self.side = patches.shape[-1] / 96
        self.left, self.top, self.line = left, top, self.side + below
        self.width = left + columns * (self.side + self.GAP) + 0.05
        self.height = top + rows * self.line + bottom
        self.figure = Figure(figsize=(self.width, self.height))

    def corner(self, row: int, column: int) -> tuple[float, float]:
        """Give the upper left corner of a place, in inches from the figure's."""
        return self.left + column * (self.side + self.GAP), self.top + row * self.line

    def axes(self, row: int, column: int) -> Axes:
        x, y = self.corner(row, column)
        side = self.side
        axes = self.figure.add_axes(
            (x / self.width, 1 - (y + side) / self.height, side / self.width, side / self.height)
        )
        axes.set_axis_off()
        return axes

    def words(self, x: float, y: float, text: str, **how: Any) -> None:
        """Write a text at inches from the upper left corner."""
        style = {"ha": "center", "va": "center", "fontsize": 8, **how}
        self.figure.text(x / self.width, 1 - y / self.height, text, **style)

    def patch(
        self, row: int, column: int, pixels: npt.ArrayLike, left: str = "", right: str = "",
        *, bold: bool = False, below: bool = False,
    ) -> Axes:  # fmt: skip
        """Draw a patch, its contrast stretched, with two texts under it, beside or below."""
        values = np.asarray(pixels, np.float64)
        black, white = np.percentile(values, (0.5, 99.8))
        axes = self.axes(row, column)
        axes.imshow(
            values, cmap="gray", vmin=black, vmax=max(white, black + 1e-9), interpolation="nearest"
        )
        x, y = self.corner(row, column)
        if below:
            self.words(x + self.side / 2, y + self.side + 0.1, left, fontsize=6.8, weight="bold")
            self.words(x + self.side / 2, y + self.side + 0.23, right, fontsize=6.3, color=SOFT)
        elif left or right:
            weight = "bold" if bold else "normal"
            self.words(x, y + self.side + 0.09, left, ha="left", fontsize=6.8, weight=weight)
            self.words(
                x + self.side, y + self.side + 0.09, right, ha="right", fontsize=6, color=SOFT
            )
        return axes

    def nothing(self, row: int, column: int) -> None:
        """Mark a place without a patch."""
        from matplotlib.patches import Rectangle

        axes = self.axes(row, column)
        axes.add_patch(
            Rectangle((0, 0), 1, 1, facecolor="#f5f6f8", edgecolor=FAINT, hatch="//", linewidth=0)
        )

    def level_heads(self, levels: int, name: str) -> None:
        """Name the columns as levels, with their colours."""
        from matplotlib.patches import Rectangle

        for level, colour in enumerate(level_colours(levels) / 255):
            x, y = self.corner(0, level)
            self.words(x + self.side / 2, y - 0.19, f"{level}", weight="bold", fontsize=9)
            self.figure.add_artist(
                Rectangle(
                    (x / self.width, 1 - (y - 0.04) / self.height),
                    self.side / self.width,
                    0.06 / self.height,
                    facecolor=colour,
                    transform=self.figure.transFigure,
                )
            )
        start, end = self.left, self.left + levels * (self.side + self.GAP) - self.GAP
        self.words((start + end) / 2, 0.15, name, fontsize=9)
        self.words(start, 0.15, "← in focus", ha="left", color=SOFT)
        self.words(end, 0.15, "far out of focus →", ha="right", color=SOFT)

    def left_label(self, row: int, text: str) -> None:
        self.words(
            self.left - 0.12, self.top + row * self.line + self.side / 2, text, ha="right",
            fontsize=8.5,
        )  # fmt: skip

    def foot(self, text: str) -> None:
        self.words(self.left, self.height - 0.2, text, ha="left", fontsize=7.5, color=SOFT)
