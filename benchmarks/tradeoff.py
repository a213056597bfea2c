"""Accuracy against cost of models that were trained on the same images.

``python -m benchmarks.tradeoff MODEL... --data DIR --figure FILE.svg`` prints a table and draws it.
See :mod:`benchmarks.accuracy` for what DIR holds. All models are judged on the images that the
first one's training held out; none may have been trained on any of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.accuracy import evaluated, unlearned
from benchmarks.inference_speed import PAIRS, big_image
from microscope_quality import FocusModel, measure_focus, metrics
from microscope_quality.errors import SettingsError
from microscope_quality.evaluation.style import (
    FAINT,
    SOFT,
    drawing,
    footnote,
    percents,
    series,
    share_text,
    svg,
    ticks,
)
from microscope_quality.model import read_model

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PHOTONS = (300.0, 20_000.0)


def milliseconds(models: list[FocusModel]) -> list[float]:
    """Time each on an image of 2048×2048, turn by turn; medians."""
    plane = big_image()
    taken: list[list[float]] = [[] for _ in models]
    for turn in range(PAIRS + 1):
        for model, times in zip(models, taken):
            start = time.perf_counter()
            measure_focus(plane, model)
            if turn:
                times.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(times) for times in taken]


def patches_seen(training: Mapping[str, Any]) -> int:
    """Count the patches that went into the weights, from a model's record of its training."""
    stages, best = training["stages"], training["best_step"]
    ends = [*(stage["first_step"] for stage in stages[1:]), best]
    return sum(
        max(0, min(end, best) - stage["first_step"]) * stage["batch_size"]
        for stage, end in zip(stages, ends)
    )


def rows(folders: list[Path], data: Path) -> list[dict[str, Any]]:
    """Measure the models.

    Raises
    ------
    SettingsError
        If one was trained on an image that the first one's training held out.
    """
    models = [FocusModel.from_pretrained(folder) for folder in folders]
    left_out = unlearned(models, data).left_out
    if left_out:
        path, reason = next(iter(left_out.items()))
        raise SettingsError(
            f"{len(left_out)} images that {folders[0]} held out cannot judge all of the models; "
            f"of {path}: {reason}."
        )
    found = []
    evaluation = evaluated(folders, data, PHOTONS, classical=False)
    for folder, model, result, cost in zip(
        folders, models, evaluation.models, milliseconds(models)
    ):
        images, patches = metrics.summary(result.images), metrics.summary(result.patches)
        found.append(
            {
                "name": folder.name,
                "parameters": sum(array.size for array in read_model(folder)[1].values()),
                "milliseconds": cost,
                "patches_seen": patches_seen(model.description.training),
                "within_one": images["within_one"],
                "exact": images["exact"],
                "patches_exact": patches["exact"],
            }
        )
    return found


def tradeoff_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the accuracy of models against their cost.

    Parameters
    ----------
    rows : sequence of dicts
        Each with ``name``, ``parameters`` (number), ``milliseconds``, ``within_one`` and ``exact``
        (shares).

    Returns
    -------
    Figure
        7 x 4.6 inches: share exact against time, each with its name, and the share within one. A
        circle's diameter grows with the logarithm of the number of parameters. The line joins
        those than which none is both faster and more often exact.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    with drawing(7.0, 4.6) as figure:
        axes = figure.add_subplot()
        x = np.array([float(row["milliseconds"]) for row in rows])
        y = np.array([float(row["exact"]) for row in rows])
        size = np.array([max(1.0, float(row["parameters"])) for row in rows])
        # Parameters span four decades: the diameter grows with their logarithm.
        diameter = 7 + 6 * (np.log10(size) - np.log10(size).min())
        axes.set_xscale("log")
        order = np.lexsort((-y, x))
        best = [i for at, i in enumerate(order) if y[i] > max([-1, *y[order[:at]]])]
        axes.plot(x[best], y[best], color=FAINT, linewidth=4, zorder=1)
        for i in range(len(rows)):
            axes.plot(
                x[i], y[i], "o", markersize=diameter[i], color=series(0)["color"], zorder=2,
                alpha=0.85 if i in best else 0.45, markeredgecolor="white", markeredgewidth=1,
            )  # fmt: skip
        spread = max(float(np.ptp(y)), 0.01)
        axes.set_ylim(y.min() - 0.22 * spread, min(y.max() + 0.3 * spread, 1.05))
        axes.set_xlim(x.min() / 1.9, x.max() * 1.9)
        axes.set(xlabel="time in ms (logarithmic)", ylabel="share exact")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:,.6g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(percents())
        axes.yaxis.set_major_locator(ticks(7))
        axes.grid(axis="y")
        footnote(
            figure,
            "larger circles: more parameters; the line joins those that none beats in both",
        )
        _label_apart(
            figure, axes, x, y, diameter, best,
            [
                f"{row['name']}\n{_number(float(row['parameters']))} parameters, "
                f"{share_text(float(row['within_one']))} within one"
                for row in rows
            ],
        )  # fmt: skip
    return figure


def _label_apart(
    figure: Figure,
    axes: Axes,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    diameter: npt.NDArray[np.float64],
    line: Sequence[int],
    labels: Sequence[str],
) -> None:
    """Label points where a label touches no border, other label, point or line (of points)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    # Only now are the axes where they will be; then they stay.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    centres = axes.transData.transform(np.column_stack([x, y]))
    pixel = figure.dpi / 72
    taken = [
        (cx - d * pixel / 2, cy - d * pixel / 2, cx + d * pixel / 2, cy + d * pixel / 2)
        for (cx, cy), d in zip(centres, diameter)
    ]
    for start, end in zip(centres[list(line)][:-1], centres[list(line)][1:]):
        taken += [
            (cx - 2, cy - 2, cx + 2, cy + 2) for cx, cy in np.linspace(start, end, 60).tolist()
        ]
    border = axes.get_window_extent(renderer)
    directions = [
        (across * far, up * far)
        for far in (1.0, 2.2, 3.6, 5.2)
        for across, up in ((1, 0), (0, 1), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
    ]
    for i in np.argsort(-y, kind="stable"):
        placed: list[tuple[float, tuple[float, float, float, float], Any]] = []
        for dx, dy in directions:
            gap = diameter[i] / 2 + 4
            text = axes.annotate(
                labels[i], (x[i], y[i]), (dx * gap, dy * gap), textcoords="offset points",
                ha="left" if dx > 0 else "right" if dx < 0 else "center",
                va="bottom" if dy > 0 else "top" if dy < 0 else "center",
                fontsize=7.5, linespacing=1.25, zorder=4,
                arrowprops={
                    "arrowstyle": "-", "color": SOFT, "linewidth": 0.6, "shrinkA": 1,
                    "shrinkB": diameter[i] / 2,
                } if max(abs(dx), abs(dy)) > 1 else None,
            )  # fmt: skip
            box = text.get_window_extent(renderer)
            extent = (box.x0 - 2, box.y0 - 1, box.x1 + 2, box.y1 + 1)
            covered = sum(_common(extent, other) for other in taken)
            inside = _common(extent, (border.x0, border.y0, border.x1, border.y1))
            area = (extent[2] - extent[0]) * (extent[3] - extent[1])
            placed.append((covered + 2 * (area - inside), extent, text))
            if placed[-1][0] < 1e-6 * area:
                break
        _, extent, text = min(placed, key=lambda place: place[0])
        for _, _, other in placed:
            if other is not text:
                other.remove()
        taken.append(extent)


def _common(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Area that two boxes (left, bottom, right, top) share."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return float(max(width, 0) * max(height, 0))


def _number(value: float) -> str:
    """A count in three figures at most: 85k, 2.9M."""
    if value < 1000:
        return f"{value:.0f}"
    scaled, unit = (value / 1e3, "k") if value < 999_500 else (value / 1e6, "M")
    return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tradeoff", description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    try:
        found = rows(options.models, options.data)
    except SettingsError as error:
        parser.error(str(error))
    print("| model | parameters | 2048² | patches seen | within one | exact | patches exact |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in found:
        print(
            f"| {row['name']} | {row['parameters']:,} | {row['milliseconds']:.0f} ms | "
            f"{row['patches_seen']:,} | {row['within_one']:.1%} | {row['exact']:.1%} | "
            f"{row['patches_exact']:.1%} |"
        )
    if options.figure is not None:
        options.figure.write_text(svg(tradeoff_figure(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
