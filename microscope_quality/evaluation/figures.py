"""Figures of an evaluation: matplotlib figures from the measured numbers, readable in greyscale.

Each function gives a `matplotlib.figure.Figure` of its own, without pyplot and its global state.
`svg` and `png` turn one into text or bytes. All lie on white, so that they read the same on a light
and on a dark page; what is told by colour is told by position, marker or a number as well.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from microscope_quality.errors import SettingsError
from microscope_quality.evaluation import montage
from microscope_quality.overlay import level_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from microscope_quality.evaluation.binary import BinaryResult
    from microscope_quality.evaluation.run import ExamplePatches
    from microscope_quality.evaluation.stacks import StackFigures
    from microscope_quality.metrics import Calibration, RiskCoverage

# Okabe and Ito's colours (Color Universal Design, 2008), the darker ones first; each comes with a
# marker and a line of its own, for eyes and printers that do not tell them apart.
_SERIES = (
    ("#0072b2", "o", "-"),
    ("#d55e00", "s", (0, (5, 2))),
    ("#009e73", "^", (0, (1, 1.2))),
    ("#cc79a7", "D", (0, (6, 2, 1, 2))),
    ("#56b4e9", "v", (0, (3, 1, 1, 1, 1, 1))),
    ("#e69f00", "P", (0, (8, 3))),
)
_INK, _SOFT, _FAINT = "#1c2430", "#5b6675", "#dfe4ea"
# White to a blue so dark that black-and-white printing keeps the order.
_BLUES = ("#ffffff", "#e3eef9", "#b5d3ee", "#72aadb", "#2f7abf", "#0d4c8f", "#06265a")
# Levels: what moves the answer by less is not worth a line.
_HARDLY = 0.05
_MEASURES = {
    "power_log_log_slope": "power log-log slope",
    "mean_over_deviation": "mean / deviation",
    "focus_score": "focus score",
    "local_focus_score": "local focus score",
    "correlation": "correlation (Haralick)",
    "tenengrad": "Tenengrad",
    "laplacian_variance": "Laplacian variance",
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
    "axes.labelcolor": _INK,
    "axes.edgecolor": _SOFT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.8,
    "text.color": _INK,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
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


def confusion_figure(
    confusion: npt.ArrayLike, title: str = "", *, normalised: bool = True, undefined: int = 0
) -> Figure:
    """Draw a confusion matrix: true levels down, measured levels across.

    A cell's shade is its share of the row, so that levels with few images are judged alike; within
    the stepped line a measured level is at most one off.

    Parameters
    ----------
    confusion : (K, K) array of int
        Counts by true level (row) and measured level (column).
    title : str
    normalised : bool
        Write percentages of the row into the cells; else the counts.
    undefined : int
        Predictions without a level: they are in no cell, and wrong in the shares under the matrix.

    Returns
    -------
    Figure
        5 x 5.4 inches.

    Raises
    ------
    SettingsError
        If the matrix is not square, or has negative or fractional entries.
    """
    counts = np.asarray(confusion, np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise SettingsError(
            f"A confusion matrix is square, K x K; this array has shape {counts.shape}."
        )
    if not (np.isfinite(counts).all() and (counts >= 0).all() and (counts % 1 == 0).all()):
        raise SettingsError("A confusion matrix holds counts, which are whole and not negative.")
    levels = len(counts)
    rows = counts.sum(axis=1, keepdims=True)
    shares = counts / np.where(rows > 0, rows, 1)
    with _styled():
        figure = _figure(5.0, 5.4)
        axes = figure.add_subplot()
        axes.imshow(shares, cmap=_map(_BLUES), vmin=0, vmax=1)
        size = min(8.0, 88 / levels)
        for row, column in np.argwhere(counts > 0):
            share, count = float(shares[row, column]), int(counts[row, column])
            axes.text(
                column,
                row,
                _percent(share) if normalised else _short(count),
                ha="center",
                va="center",
                fontsize=size if normalised else size * (0.9 if count < 1000 else 0.8),
                color="white" if share > 0.45 else _INK,
            )
        _outline_within_one(axes, levels)
        _level_axis(axes, levels)
        axes.set_xlabel("measured level")
        axes.set_ylabel("true level")
        axes.set_title(title)
        total = int(counts.sum()) + undefined
        if total:
            distance = np.abs(np.subtract.outer(np.arange(levels), np.arange(levels)))
            near = share_text(counts[distance <= 1].sum() / total)
            exact = share_text(counts[distance == 0].sum() / total)
            none = f", {undefined:,} without a level" if undefined else ""
            _footnote(
                figure,
                f"{near} within one level (outlined), {exact} exact; n = {total:,}{none}\n"
                f"cells: {'% of the row' if normalised else 'counts'}; shade: share of the row",
            )
    return figure


def reliability_figure(calibration: Calibration, title: str = "") -> Figure:
    """Draw how often a model is right against how sure it says it is, and how many are how sure.

    Parameters
    ----------
    calibration : Calibration
        Of `evaluation.metrics.calibration`.
    title : str

    Returns
    -------
    Figure
        4.6 x 4.9 inches. Bars are the accuracy of each bin, the ticks on the diagonal its mean
        confidence; empty bins are left out.
    """
    edges = np.asarray(calibration.edges, np.float64)
    count = np.asarray(calibration.count, np.float64)
    confidence = np.asarray(calibration.confidence, np.float64)
    accuracy = np.asarray(calibration.accuracy, np.float64)
    used = count > 0
    left, width = edges[:-1][used], np.diff(edges)[used]
    with _styled():
        figure = _figure(4.6, 4.9)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        # Over the bars, or it would be hidden where the model is too modest.
        upper.plot((0, 1), (0, 1), color=_SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=2.5)
        upper.text(
            0.02, 0.05, "perfect", ha="left", va="bottom", fontsize=7.5, color=_SOFT,
            rotation=45, rotation_mode="anchor", transform_rotates_text=True,
        )  # fmt: skip
        upper.bar(
            left, accuracy[used], width, align="edge", color="#9cc3e6", edgecolor="white",
            linewidth=1, label="share that is right",
        )  # fmt: skip
        # From what the model says to what is true: the length of these lines is the error.
        upper.vlines(confidence[used], accuracy[used], confidence[used], color="#d55e00", lw=1.6)
        upper.plot(
            confidence[used], accuracy[used], "o", color=_INK, markersize=4,
            label="mean confidence of the bin, share right",
        )  # fmt: skip
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that is exactly right")
        upper.grid(axis="y")
        upper.set_title(title, pad=24)
        upper.text(
            0, 1.025, f"Expected calibration error {calibration.error:.3f}: the mean length of the "
            "orange lines", transform=upper.transAxes, fontsize=7.5, color=_SOFT,
        )  # fmt: skip
        _shares_of_all(lower, edges[:-1], np.diff(edges), count)
        lower.set_xlabel("confidence: the largest probability")
        upper.yaxis.set_major_formatter(_percents())
        figure.align_ylabels()
    return figure


def curves_figure(history: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw a training: its loss, and the shares of validation patches that are right.

    Parameters
    ----------
    history : sequence of dicts
        With ``step`` and ``loss``, and, where there was validation, ``validation_rps``,
        ``validation_exact`` and ``validation_within_one``; an entry may lack any but the step.

    Returns
    -------
    Figure
        6.4 x 4.8 inches with validation, 6.4 x 2.9 without.
    """
    step = np.array([float(record["step"]) for record in history])
    named = {
        key: np.array([float(record.get(key, math.nan)) for record in history])
        for key in ("loss", "validation_rps", "validation_exact", "validation_within_one")
    }
    known = {key: values for key, values in named.items() if np.isfinite(values).any()}
    shares = [key for key in ("validation_within_one", "validation_exact") if key in known]
    with _styled():
        figure = _figure(6.4, 4.8 if shares else 2.9)
        panels = figure.subplots(2 if shares else 1, 1, sharex=True, squeeze=False)[:, 0]
        loss = panels[0]
        words = {"validation_rps": "validation", "loss": "training"}
        for number, key in enumerate(words):
            if key in known:
                _curve(loss, step, known[key], number, words[key])
        values = np.concatenate([known[key] for key in words if key in known] or [np.empty(0)])
        if not len(values):
            loss.text(0.5, 0.5, "no history was recorded", ha="center", transform=loss.transAxes)
        elif np.nanmin(values) > 0 and np.nanmax(values) > 5 * np.nanmin(values):
            loss.set_yscale("log")
        loss.set_ylabel("ranked probability score")
        loss.set_title("Loss: lower is better")
        if shares:
            words = {"validation_within_one": "within one level", "validation_exact": "exact"}
            for number, key in enumerate(shares):
                _curve(panels[1], step, known[key], number, words[key])
            panels[1].set_ylim(None, 1.01)
            panels[1].yaxis.set_major_formatter(_percents())
            panels[1].set_ylabel("share of validation patches")
            panels[1].set_title("Right levels: higher is better")
        for panel in panels:
            panel.grid(axis="y", which="major")
            if panel.lines:
                panel.legend(loc="best", ncols=2)
        panels[-1].set_xlabel("training step")
        panels[-1].xaxis.set_major_formatter(_thousands())
        figure.align_ylabels()
    return figure


def distance_figure(models: Sequence[tuple[str, npt.ArrayLike]], title: str = "") -> Figure:
    """Draw the accuracy by class distance: the share of levels at most so far from the right one.

    Parameters
    ----------
    models : sequence of (name, (K,) array)
        The shares of `evaluation.metrics.within`, for each model.
    title : str

    Returns
    -------
    Figure
        4.6 x 3.6 inches.
    """
    curves = [(name, np.asarray(shares, np.float64)) for name, shares in models]
    # As far as any model still has something to gain.
    shown = 1 + max(
        (int(np.argmax(np.append(s >= 0.9995, True))) for _, s in curves if len(s)), default=1
    )
    shown = max(3, min([shown, 6, *(len(shares) for _, shares in curves)]))
    with _styled():
        figure = _figure(4.6, 3.6)
        axes = figure.add_subplot()
        for number, (name, shares) in enumerate(curves):
            colour, marker, line = _SERIES[number % len(_SERIES)]
            axes.plot(
                np.arange(len(shares[:shown])), shares[:shown], color=colour, marker=marker,
                linestyle=line, markersize=5.5, label=name, zorder=9 - number,
            )  # fmt: skip
        if curves:
            for distance, share in enumerate(curves[0][1][:shown]):
                if np.isfinite(share):
                    axes.annotate(
                        share_text(float(share)), (distance, share),
                        (-6, 1) if distance == 0 else (0, 6), fontsize=7.5, fontweight="bold",
                        textcoords="offset points", color=_SERIES[0][0],
                        ha="right" if distance == 0 else "center",
                    )  # fmt: skip
        axes.set_xticks(range(shown))
        axes.set_xticklabels(["exact", *(f"±{distance}" for distance in range(1, shown))])
        axes.set_xlim(-0.17 * shown, shown - 0.65)
        low = min((float(np.nanmin(s)) for _, s in curves if np.isfinite(s).any()), default=0.0)
        axes.set_ylim(low - 0.12 * (1 - low) - 0.002, 1 + 0.13 * (1 - low) + 0.002)
        axes.yaxis.set_major_formatter(_percents())
        axes.yaxis.set_major_locator(_locator(6, highest=1))
        axes.grid(axis="y")
        axes.set_xlabel("levels that count as right")
        axes.set_ylabel("share right")
        axes.set_title(title)
        axes.legend(loc="lower right")
    return figure


def risk_coverage_figure(
    curves: Sequence[tuple[str, RiskCoverage]], title: str = "", tolerance: int = 1
) -> Figure:
    """Draw the share of wrong levels when only the more certain ones are believed.

    Parameters
    ----------
    curves : sequence of (name, RiskCoverage)
        Of `evaluation.metrics.risk_coverage`, for each model.
    title : str
    tolerance : int
        That the curves were made with.

    Returns
    -------
    Figure
        4.6 x 3.6 inches.
    """
    with _styled():
        figure = _figure(4.6, 3.6)
        axes = figure.add_subplot()
        for number, (name, curve) in enumerate(curves):
            colour, marker, line = _SERIES[number % len(_SERIES)]
            n = len(curve.coverage)
            # The first few predictions' risk is all or nothing; a point for every pixel will do.
            first = min(max(0, n // 100), max(0, n - 1))
            index = np.unique(np.linspace(first, max(0, n - 1), 240).astype(int))[: n or 0]
            axes.plot(
                curve.coverage[index], curve.risk[index], color=colour, linestyle=line,
                marker=marker, markersize=4, markevery=(12 + 7 * number, 40),
                label=f"{name} (mean {_precise(curve.area)})", zorder=9 - number,
            )  # fmt: skip
        axes.axvline(0.5, color=_SOFT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, None)
        if axes.get_ylim()[1] < 0.01:
            axes.set_ylim(0, 0.01)
        top = axes.get_ylim()[1]
        axes.text(0.49, top, "the more certain half", ha="right", va="top", fontsize=7.5, c=_SOFT)
        axes.xaxis.set_major_formatter(_percents())
        axes.yaxis.set_major_formatter(_percents())
        axes.grid(axis="y")
        axes.set_xlabel("share believed, the most certain first")
        axes.set_ylabel(
            "share off by more than one level" if tolerance == 1
            else f"share off by more than {tolerance}" if tolerance else "share not exact"
        )  # fmt: skip
        axes.set_title(title)
        axes.legend(loc="upper left", bbox_to_anchor=(0.0, 0.93))
    return figure


def certainty_figure(
    error: npt.ArrayLike, certainty: npt.ArrayLike, title: str = "", *, bands: int = 10
) -> Figure:
    """Draw how far levels are off, by certainty.

    Parameters
    ----------
    error : (n,) array
        Levels between the measured and the true one, of either sign; NaN where undefined, which is
        drawn as furthest off.
    certainty : (n,) array
    title : str
    bands : int
        Equal ones, of certainties from 0 to 1.

    Returns
    -------
    Figure
        4.6 x 4.2 inches.
    """
    off, sure = np.abs(np.asarray(error, np.float64)), np.asarray(certainty, np.float64)
    off = np.where(np.isnan(off), np.inf, off)
    band = np.clip((sure * bands).astype(int), 0, bands - 1)
    count = np.bincount(band, minlength=bands)
    edges = np.arange(bands) / bands
    kinds = (
        ("exact", off == 0, "#0d4c8f", ""),
        ("one level off", off == 1, "#8fbfe6", ""),
        ("two off", off == 2, "#ffe08a", "////"),
        ("further off, or no level", off > 2, "#c8381e", ""),
    )
    with _styled():
        figure = _figure(4.6, 4.2)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        bottom = np.zeros(bands)
        for label, chosen, colour, hatch in kinds:
            share = np.bincount(band[chosen], minlength=bands) / np.maximum(count, 1)
            upper.bar(
                edges, share, 1 / bands, bottom, align="edge", color=colour, edgecolor="white",
                linewidth=1, hatch=hatch, label=label,
            )  # fmt: skip
            bottom += share
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share in the band")
        upper.yaxis.set_major_formatter(_percents())
        upper.set_title(title, pad=24)
        upper.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, columnspacing=0.9,
            handlelength=1, handletextpad=0.4, borderaxespad=0.2, fontsize=7.5,
        )  # fmt: skip
        _shares_of_all(lower, edges, 1 / bands, count)
        lower.set_xlabel("certainty")
        figure.align_ylabels()
    return figure


def empties_figure(
    content: npt.ArrayLike, empty: npt.ArrayLike, sure_certainty: float, title: str = ""
) -> Figure:
    """Draw the certainties of patches with something in them, and of empty ones.

    Parameters
    ----------
    content, empty : (n,) arrays
        Certainties.
    sure_certainty : float
        From which the model takes a patch to be sure.
    title : str

    Returns
    -------
    Figure
        4.6 x 4.2 inches.
    """
    edges = np.linspace(0, 1, 41)
    with _styled():
        figure = _figure(4.6, 4.2)
        panels = figure.subplots(2, 1, sharex=True)
        told = (
            (panels[0], content, "with content", "#72aadb", "at or over it"),
            (panels[1], empty, "empty", "#8a8f98", "under it"),
        )
        for axes, values, name, colour, side in told:
            certainties = np.asarray(values, np.float64)
            count = np.histogram(certainties, edges)[0]
            share = count / max(1, count.sum())
            axes.bar(
                edges[:-1], share, np.diff(edges), align="edge", color=colour, edgecolor="white",
                linewidth=0.5,
            )  # fmt: skip
            axes.axvline(sure_certainty, color="#d55e00", linewidth=1.5)
            axes.yaxis.set_major_formatter(_percents())
            axes.yaxis.set_major_locator(_locator(3))
            axes.set_ylim(0, 1.25 * max(0.01, float(share.max())))
            axes.set_ylabel("share of patches")
            part = np.mean(
                certainties >= sure_certainty if side != "under it" else
                certainties < sure_certainty
            ) if len(certainties) else math.nan  # fmt: skip
            axes.text(
                0.99 if sure_certainty < 0.5 else 0.02, 0.96,
                f"{name}: {_precise(float(part))} {side}\nn = {len(certainties):,}",
                transform=axes.transAxes, ha="right" if sure_certainty < 0.5 else "left",
                va="top", fontsize=8,
            )  # fmt: skip
        panels[1].annotate(
            f"sure from {sure_certainty:.2f}", (sure_certainty, 0.5), (5, 0), fontsize=7.5,
            xycoords=("data", "axes fraction"), textcoords="offset points", color="#b34a00",
        )  # fmt: skip
        panels[0].set_xlim(0, 1)
        panels[0].set_title(title)
        panels[1].set_xlabel("certainty")
    return figure


def binary_figure(
    results: Sequence[BinaryResult], models: Sequence[str] = (), title: str = ""
) -> Figure:
    """Draw the F-scores of measures that tell in focus from not, best first, with their intervals.

    Parameters
    ----------
    results : sequence of BinaryResult
        Of images, of patches, or of both, which get a panel each.
    models : sequence of str
        Names of measures that are models; they stand out.
    title : str

    Returns
    -------
    Figure
        4.9 inches wide for one panel, 9.4 for two.
    """
    panels = [per for per in ("image", "patch") if any(result.per == per for result in results)]
    rows = max((sum(result.per == per for result in results) for per in panels), default=1)
    lowest = min((result.low for result in results if np.isfinite(result.low)), default=0.0)
    left = max(0.0, math.floor(lowest * 20) / 20 - 0.01)
    with _styled():
        figure = _figure(4.9 if len(panels) < 2 else 9.4, 1.25 + 0.27 * rows)
        for number, per in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), number + 1)
            shown = sorted((r for r in results if r.per == per), key=lambda r: -_known(r.f, -1))
            for row, result in enumerate(shown):
                known = result.measure in models
                place = list(models).index(result.measure) if known else 0
                colour = _SERIES[place % len(_SERIES)][0] if known else _SOFT
                marker = _SERIES[place % len(_SERIES)][1] if known else "o"
                axes.plot(
                    (result.low, result.high), (row, row), color=colour,
                    linewidth=3.2 if known else 2, solid_capstyle="round", alpha=0.55,
                    clip_on=False,
                )  # fmt: skip
                axes.plot(
                    result.f, row, marker, color=colour, markersize=7 if known else 5,
                    markerfacecolor=colour if known else "white", markeredgewidth=1.4,
                    clip_on=False,
                )  # fmt: skip
                axes.text(
                    1.03, row, f"{result.f:.3f}", transform=axes.get_yaxis_transform(),
                    va="center", fontsize=8, fontweight="bold" if known else "normal",
                )  # fmt: skip
            axes.set_yticks(range(len(shown)), [measure_name(r.measure) for r in shown])
            for label, result in zip(axes.get_yticklabels(), shown):
                if result.measure in models:
                    label.set_fontweight("bold")
            axes.set_ylim(rows - 0.5, -0.6)
            axes.set_xlim(left, 1)
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="x")
            axes.set_xlabel("F-score of “in focus”")
            n, plural = shown[0].n, "images" if per == "image" else "patches"
            axes.set_title(f"{title or 'In focus or not'}: {plural} ({n:,})")
        if not panels:
            _nothing(figure, "no measure could be judged")
    return figure


def groups_figure(
    groups: Sequence[str], models: Sequence[tuple[str, npt.ArrayLike]], title: str = ""
) -> Figure:
    """Draw the shares of the models in each group of images, the worst of the first model on top.

    Parameters
    ----------
    groups : sequence of str
    models : sequence of (name, (groups,) array)
        Shares, such as those within one level.
    title : str

    Returns
    -------
    Figure
        4.9 inches wide.
    """
    shares = np.array([np.asarray(values, np.float64) for _, values in models])
    shares = shares.reshape(len(models), len(groups))
    order = np.argsort(shares[0], kind="stable") if len(models) else np.arange(0)
    with _styled():
        figure = _figure(4.9, 1.3 + 0.27 * max(1, len(groups)))
        axes = figure.add_subplot()
        for row, group in enumerate(order):
            known = shares[:, group][np.isfinite(shares[:, group])]
            if len(known) > 1:
                axes.plot((known.min(), known.max()), (row, row), color=_FAINT, linewidth=3)
        for number, (name, _) in enumerate(models):
            colour, marker, _line = _SERIES[number % len(_SERIES)]
            axes.plot(
                shares[number, order], np.arange(len(order)), marker, color=colour, linestyle="",
                markersize=6, label=name, zorder=9 - number, clip_on=False,
                markerfacecolor=colour if number == 0 else "white", markeredgewidth=1.4,
            )  # fmt: skip
        for row, group in enumerate(order):
            axes.text(
                1.035, row, share_text(float(shares[0, group])), va="center", fontsize=8,
                transform=axes.get_yaxis_transform(),
            )  # fmt: skip
        axes.set_yticks(range(len(order)), [groups[group] for group in order])
        axes.set_ylim(max(1, len(groups)) - 0.5, -0.6)
        lowest = float(np.nanmin(shares)) if np.isfinite(shares).any() else 0.0
        axes.set_xlim(min(0.98, lowest - 0.06 * (1 - lowest) - 0.002), 1)
        axes.xaxis.set_major_formatter(_percents())
        axes.xaxis.set_major_locator(_locator(5))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set_title(title, pad=24)
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, columnspacing=1,
            handletextpad=0.3, borderaxespad=0.2,
        )  # fmt: skip
    return figure


def gain_offset_figure(
    models: Sequence[tuple[str, Sequence[Mapping[str, float]]]],
    title: str = "",
    *,
    share: str = "within_one",
) -> Figure:
    """Draw the shares of right levels after a gain and an offset, a heat map for each model.

    As Fig. 4 of Yang et al., BMC Bioinformatics 19:77 (2018).

    Parameters
    ----------
    models : sequence of (name, rows)
        Each row has ``gain``, ``offset`` and `share`.
    title : str
    share : str
        What is drawn.

    Returns
    -------
    Figure
        4.7 inches wide for a model, up to three beside each other.
    """
    columns = max(1, min(3, len(models)))
    lines = max(1, -(-len(models) // columns))
    with _styled():
        figure = _figure(0.6 + 3.6 * columns, 0.45 + 3.1 * lines)
        for number, (name, rows) in enumerate(models):
            gains = sorted({row["gain"] for row in rows})
            offsets = sorted({row["offset"] for row in rows})
            values = np.full((len(gains), len(offsets)), np.nan)
            for row in rows:
                values[gains.index(row["gain"]), offsets.index(row["offset"])] = row[share]
            axes = figure.add_subplot(lines, columns, number + 1)
            image = axes.imshow(
                np.ma.masked_invalid(values), cmap=_map(_BLUES), vmin=0, vmax=1, aspect="auto"
            )
            for i, j in np.ndindex(values.shape):
                if np.isfinite(values[i, j]):
                    axes.text(
                        j, i, _percent(float(values[i, j])), ha="center", va="center",
                        fontsize=8.5, color="white" if values[i, j] > 0.45 else _INK,
                    )  # fmt: skip
            axes.set_xticks(range(len(offsets)), [f"+{offset:,.0f}" for offset in offsets])
            axes.set_yticks(range(len(gains)), [f"×{gain:g}" for gain in gains])
            axes.tick_params(length=0)
            for spine in axes.spines.values():
                spine.set_visible(False)
            axes.set_xticks(np.arange(len(offsets) + 1) - 0.5, minor=True)
            axes.set_yticks(np.arange(len(gains) + 1) - 0.5, minor=True)
            axes.grid(which="minor", color="white", linewidth=1.5)
            axes.tick_params(which="minor", length=0)
            axes.set_axisbelow(False)
            axes.set_xlabel("offset in grey levels")
            if number % columns == 0:
                axes.set_ylabel("gain")
            axes.set_title(name)
            if number == len(models) - 1:
                bar = figure.colorbar(image, ax=figure.axes, shrink=0.8, aspect=24, pad=0.02)
                bar.ax.yaxis.set_major_formatter(_percents())
                bar.outline.set_visible(False)
                words = {"within_one": "within one level", "exact": "exact"}
                bar.set_label(f"share {words.get(share, share)}")
        if not models:
            _nothing(figure, "the test was not done")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return figure


def stack_figure(stacks: Sequence[StackFigures], title: str = "") -> Figure:
    """Draw the expected level of a z-stack's planes, one line for each model.

    Parameters
    ----------
    stacks : sequence of StackFigures
        Of one stack, by different models.
    title : str

    Returns
    -------
    Figure
        4.9 x 3.7 inches. The larger a marker the more certain its plane; a vertical line is the
        focus, dashed when the first model found it itself; the V is the level by geometry.
    """
    with _styled():
        figure = _figure(4.9, 3.7)
        axes = figure.add_subplot()
        top = 10.0
        for number, stack in enumerate(stacks):
            colour, marker, line = _SERIES[number % len(_SERIES)]
            axes.plot(
                stack.z, stack.expected_level, color=colour, linestyle=line, linewidth=1.4,
                zorder=5 - number,
            )  # fmt: skip
            axes.scatter(
                stack.z, stack.expected_level, s=6 + 60 * np.nan_to_num(stack.certainty) ** 2,
                color=colour, marker=marker, edgecolor="white", linewidth=0.6, zorder=6 - number,
            )  # fmt: skip
            # For the legend: a marker of middling size.
            axes.plot((), (), color=colour, linestyle=line, marker=marker, ms=5, label=stack.model)
        if stacks:
            first = stacks[0]
            if np.isfinite(first.geometric_level).any():
                axes.plot(
                    first.z, np.minimum(first.geometric_level, 10), color=_SOFT, linewidth=5,
                    alpha=0.25, zorder=1, label="by geometry",
                )  # fmt: skip
            if np.isfinite(first.focus):
                axes.axvline(
                    first.focus, color=_SOFT, linewidth=1, zorder=1,
                    linestyle="-" if first.focus_known else (0, (3, 3)),
                )  # fmt: skip
                axes.annotate(
                    "focus" if first.focus_known else "focus, as found", (first.focus, 1),
                    (3, -3), xycoords=("data", "axes fraction"), textcoords="offset points",
                    va="top", fontsize=7.5, color=_SOFT,
                )  # fmt: skip
        axes.set_ylim(-0.3, top + 0.9)
        axes.set_yticks(range(0, 11, 2))
        axes.grid(axis="y")
        axes.set_xlabel("plane (z in steps)")
        axes.set_ylabel("expected level")
        axes.xaxis.set_major_locator(_locator(9, whole=True))
        axes.set_title(title)
        if stacks:
            figure.legend(loc="outside lower center", ncols=3)
    return figure


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
        A patch of 84 pixels is 0.875 inch wide: a pixel at 96 dots per inch.
    """
    arrangement = montage.arrange(examples.level, examples.certainty, levels)
    rows = len(arrangement.chosen)
    with _styled():
        sheet = _Sheet(rows, levels, left=0.95, top=0.62, bottom=0.42, line=1.08)
        for row in range(rows):
            low, high = arrangement.edges[rows - 1 - row], arrangement.edges[rows - row]
            sheet.left_label(row, f"{low:.1f} to {high:.1f}")
            for column in range(levels):
                number = arrangement.chosen[rows - 1 - row, column]
                count = arrangement.count[rows - 1 - row, column]
                if number < 0:
                    sheet.nothing(row, column)
                    continue
                true = int(examples.true[number])
                wrong = abs(true - column) > 1
                sheet.patch(
                    row, column, examples.patches[number],
                    f"is {true}" + (" ✗" if wrong else ""), f"1 of {count:,}", bold=wrong,
                )  # fmt: skip
        sheet.level_heads(levels, "measured level")
        sheet.left_head("certainty")
        sheet.foot(
            "“is”: the level that was simulated, ✗ where the measured one is more than one off."
            "  “1 of n”: chosen at random among n."
        )
    return sheet.figure


def mistakes_figure(examples: ExamplePatches, number: int = 22, columns: int = 11) -> Figure:
    """Draw the patches that are wrong by more than one level, the most certain first.

    Parameters
    ----------
    examples : ExamplePatches
    number : int
        At most.
    columns : int

    Returns
    -------
    Figure
    """
    wrong = montage.mistakes(examples, number)
    rows = max(1, -(-len(wrong) // columns))
    with _styled():
        sheet = _Sheet(rows, columns, left=0.05, top=0.1, bottom=0.1, line=1.24)
        for place, index in enumerate(wrong):
            row, column = divmod(place, columns)
            sheet.patch(
                row, column, examples.patches[index],
                f"said {examples.level[index]:.0f}, is {examples.true[index]}",
                f"certainty {examples.certainty[index]:.2f}", below=True,
            )  # fmt: skip
        if not len(wrong):
            sheet.figure.text(0.5, 0.5, "no patch of the sample is off by more than one level",
                              ha="center", va="center")  # fmt: skip
    return sheet.figure


def judged_figure(
    patches: npt.ArrayLike, maps: npt.ArrayLike, names: Sequence[str] | None = None
) -> Figure:
    """Draw patches and, under each, what it is judged by.

    Parameters
    ----------
    patches : (rows, columns, P, P) array
        A column for each level; a place without a patch is NaN.
    maps : (rows, columns, P, P) array
        Of `evaluation.montage.judged_by`.
    names : sequence of str, optional
        Of the columns, in place of levels.

    Returns
    -------
    Figure
        A map's shades go from 0 to its own largest importance, which is written under it. The line
        encloses the part over half of that; there is none where hiding any part moves the answer
        by less than a twentieth of a level.
    """
    pixels, importance = np.asarray(patches, np.float64), np.asarray(maps, np.float64)
    rows, columns = pixels.shape[:2]
    with _styled():
        sheet = _Sheet(2 * rows, columns, left=0.95, top=0.62, bottom=0.5, line=0.99)
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
                shown, cmap=_map(_BLUES), vmin=0, vmax=max(largest, _HARDLY),
                interpolation="bilinear",
            )  # fmt: skip
            below.set_axis_on()
            below.set(xticks=[], yticks=[])
            for spine in below.spines.values():
                spine.set(visible=True, color=_FAINT)
            if largest >= _HARDLY:
                axes.contour(shown, [largest / 2], colors="#ffd23f", linewidths=1.1)
                below.contour(shown, [largest / 2], colors="#b58900", linewidths=0.8)
            x, y = sheet.corner(2 * row + 1, column)
            sheet.words(
                x + sheet.SIDE / 2, y + sheet.SIDE + 0.075, f"up to {largest:.2f}", fontsize=6.8
            )
        for row in range(rows):
            sheet.left_label(2 * row, "patch")
            sheet.left_label(2 * row + 1, "judged by")
        if names is None:
            sheet.level_heads(columns, "level, measured and true")
        sheet.foot(
            "“up to”: levels that the answer moves by when the darkest part is hidden; each map "
            "has a scale of its own. Line: over half of that."
        )
    return sheet.figure


def tradeoff_figure(rows: Sequence[Mapping[str, Any]], title: str = "") -> Figure:
    """Draw the accuracy of models against their cost.

    Parameters
    ----------
    rows : sequence of dicts
        Each with ``name``, ``parameters`` (number), ``milliseconds``, ``within_one`` and ``exact``
        (shares).
    title : str

    Returns
    -------
    Figure
        7 x 4.6 inches: share exact against time, each with its name, and the share within one. A
        circle's diameter grows with the logarithm of the number of parameters. The line joins
        those than which none is both faster and more often exact.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    with _styled():
        figure = _figure(7.0, 4.6)
        axes = figure.add_subplot()
        if not rows:
            _nothing(figure, "no models")
            return figure
        x = np.array([float(row["milliseconds"]) for row in rows])
        y = np.array([float(row["exact"]) for row in rows])
        size = np.array([max(1.0, float(row["parameters"])) for row in rows])
        # Parameters span four decades: the diameter grows with their logarithm.
        diameter = 7 + 6 * (np.log10(size) - np.log10(size).min())
        axes.set_xscale("log")
        order = np.lexsort((-y, x))
        best = [i for at, i in enumerate(order) if y[i] > max([-1, *y[order[:at]]])]
        axes.plot(x[best], y[best], color=_FAINT, linewidth=4, zorder=1)
        for i in range(len(rows)):
            axes.plot(
                x[i], y[i], "o", markersize=diameter[i], color=_SERIES[0][0], zorder=2,
                alpha=0.85 if i in best else 0.45, markeredgecolor="white", markeredgewidth=1,
            )  # fmt: skip
        spread = max(float(np.ptp(y)), 0.01)
        axes.set_ylim(y.min() - 0.22 * spread, min(y.max() + 0.3 * spread, 1.05))
        axes.set_xlim(x.min() / 1.9, x.max() * 1.9)
        axes.set_xlabel("time in ms (logarithmic)")
        axes.set_ylabel("share exact")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(_plain())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(_percents())
        axes.yaxis.set_major_locator(_locator(7))
        axes.grid(axis="y")
        axes.set_title(title)
        _footnote(
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


def svg(figure: Figure) -> str:
    """Give a figure as SVG, the same text for the same figure; letters are drawn as shapes."""
    with _styled():
        _arrange(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def png(figure: Figure, dots_per_inch: int = 192) -> bytes:
    """Give a figure as PNG."""
    with _styled():
        _arrange(figure)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return content.getvalue()


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


def webp(figure: Figure, dots_per_inch: int = 192, quality: int = 82) -> bytes:
    """Give a figure of photographs as WebP, which takes a quarter of the bytes of PNG."""
    from PIL import Image

    with Image.open(io.BytesIO(png(figure, dots_per_inch))) as image:
        content = io.BytesIO()
        image.convert("RGB").save(content, "WEBP", quality=quality, method=5)
    return content.getvalue()


@contextlib.contextmanager
def _styled() -> Iterator[None]:
    """Draw in this project's style, whatever the user has set for matplotlib."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _arrange(figure: Figure) -> None:
    """Let a figure's layout be found once: finding it takes as long as drawing."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def _map(colours: Sequence[str]) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shades", list(colours))


def _percents() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{100 * value:.4g}%")


def _locator(intervals: int, *, whole: bool = False, highest: float | None = None) -> Any:
    """Ticks for about so many intervals, whole numbers if wanted, none over the highest."""
    from matplotlib.ticker import MaxNLocator

    class Limited(MaxNLocator):
        def tick_values(self, vmin: float, vmax: float) -> Any:
            ticks = np.asarray(super().tick_values(vmin, vmax))
            return ticks if highest is None else ticks[ticks <= highest + 1e-9]

    return Limited(intervals, integer=whole, steps=[1, 2, 5, 10] if whole else None)


def _thousands() -> Any:
    from matplotlib.ticker import StrMethodFormatter

    return StrMethodFormatter("{x:,.0f}")


def _curve(
    axes: Axes, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], number: int, label: str
) -> None:
    colour, marker, line = _SERIES[number % len(_SERIES)]
    known = np.isfinite(y)
    # A marker for about every tenth point, so that lines are told apart without colour.
    axes.plot(
        x[known], y[known], color=colour, linestyle=line, marker=marker, markersize=4,
        markevery=max(1, int(known.sum()) // 10), label=label,
    )  # fmt: skip


def _outline_within_one(axes: Axes, levels: int) -> None:
    """Draw the border of the cells that are at most one level off."""
    last = levels - 0.5
    upper_x, upper_y, lower_x, lower_y = [-0.5], [-0.5], [-0.5], [-0.5]
    for level in range(levels):
        right, below = min(level + 1.5, last), min(level + 1.5, last)
        upper_x += [right, right]
        upper_y += [level - 0.5, level + 0.5]
        lower_x += [level - 0.5, level + 0.5]
        lower_y += [below, below]
    for x, y in ((upper_x, upper_y), (lower_x, lower_y)):
        axes.plot([*x, last], [*y, last], color=_SOFT, linewidth=0.9, clip_on=False)


def _level_axis(axes: Axes, levels: int) -> None:
    """Name the levels at both axes and put each one's colour beside its name."""
    numbers = np.arange(levels)
    axes.set_xticks(numbers)
    axes.set_yticks(numbers)
    axes.tick_params(length=0, pad=9)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for level, colour in enumerate(level_colours(levels) / 255 if levels > 1 else ()):
        for at in ((level - 0.5, levels - 0.42), (-0.76, level - 0.5)):
            across = at[0] >= -0.5
            _rectangle(axes, at, 1 if across else 0.18, 0.18 if across else 1, colour)
    axes.set(xlim=(-0.5, levels - 0.5), ylim=(levels - 0.5, -0.5))


def _rectangle(axes: Axes, at: tuple[float, float], width: float, height: float, c: Any) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle(at, width, height, facecolor=c, edgecolor="white", clip_on=False))


def _footnote(figure: Figure, text: str) -> None:
    figure.supxlabel(text, fontsize=7.5, color=_SOFT)


def _shares_of_all(
    axes: Axes, left: npt.ArrayLike, width: npt.ArrayLike, count: npt.NDArray[Any]
) -> None:
    """Draw how many there are in each band, as shares of all."""
    axes.bar(
        left, count / max(count.sum(), 1), width, align="edge", color=_SOFT, edgecolor="white",
        linewidth=1,
    )  # fmt: skip
    axes.set_ylabel("share of all")
    axes.yaxis.set_major_formatter(_percents())
    axes.yaxis.set_major_locator(_locator(3))


def _nothing(figure: Figure, text: str) -> None:
    figure.text(0.5, 0.5, text, ha="center", va="center", color=_SOFT)


def _known(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value


def _number(value: float) -> str:
    """A count in three figures at most: 85k, 2.9M."""
    if value < 1000:
        return f"{value:.0f}"
    scaled, unit = (value / 1e3, "k") if value < 999_500 else (value / 1e6, "M")
    return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:.0f}{unit}"


def _plain() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:,.6g}")


def _precise(share: float) -> str:
    """A share with two decimals, as bars of 99 % and more need them."""
    if math.isnan(share) or share in (0, 1):
        return share_text(share)
    return f"{min(99.99, max(0.01, 100 * share)):.2f}%"


def _percent(share: float) -> str:
    """A share for a small cell: whole percents, and that it is not nothing."""
    return "<1" if share < 0.005 else ">99" if 0.995 <= share < 1 else f"{100 * share:.0f}"


def _short(count: int) -> str:
    """A count in at most four characters."""
    if count < 10_000:
        return str(count)
    return f"{count / 1000:.0f}k" if count < 1_000_000 else f"{count / 1e6:.1f}M"


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
                    "arrowstyle": "-", "color": _SOFT, "linewidth": 0.6, "shrinkA": 1,
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


class _Sheet:
    """A figure of equal square places for patches, each at its own size in pixels."""

    SIDE = 84 / 96
    GAP = 0.04

    def __init__(
        self, rows: int, columns: int, *, left: float, top: float, bottom: float, line: float
    ) -> None:
        from matplotlib.figure import Figure

        self.left, self.top, self.line, self.rows = left, top, line, rows
        self.width = left + columns * (self.SIDE + self.GAP) + 0.05
        self.height = top + rows * line + bottom
        self.columns = columns
        self.figure = Figure(figsize=(self.width, self.height))

    def corner(self, row: int, column: int) -> tuple[float, float]:
        """Give the upper left corner of a place, in inches from the figure's."""
        return self.left + column * (self.SIDE + self.GAP), self.top + row * self.line

    def axes(self, row: int, column: int) -> Axes:
        x, y = self.corner(row, column)
        side = self.SIDE
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
            self.words(x + self.SIDE / 2, y + self.SIDE + 0.1, left, fontsize=6.8, weight="bold")
            self.words(x + self.SIDE / 2, y + self.SIDE + 0.23, right, fontsize=6.3, color=_SOFT)
        elif left or right:
            weight = "bold" if bold else "normal"
            self.words(x, y + self.SIDE + 0.09, left, ha="left", fontsize=6.8, weight=weight)
            self.words(
                x + self.SIDE, y + self.SIDE + 0.09, right, ha="right", fontsize=6, color=_SOFT
            )
        return axes

    def nothing(self, row: int, column: int) -> None:
        """Mark a place without a patch."""
        from matplotlib.patches import Rectangle

        axes = self.axes(row, column)
        axes.add_patch(
            Rectangle((0, 0), 1, 1, facecolor="#f5f6f8", edgecolor=_FAINT, hatch="//", linewidth=0)
        )

    def level_heads(self, levels: int, name: str) -> None:
        """Name the columns as levels, with their colours."""
        from matplotlib.patches import Rectangle

        for level, colour in enumerate(level_colours(levels) / 255):
            x, y = self.corner(0, level)
            self.words(x + self.SIDE / 2, y - 0.19, f"{level}", weight="bold", fontsize=9)
            self.figure.add_artist(
                Rectangle(
                    (x / self.width, 1 - (y - 0.04) / self.height),
                    self.SIDE / self.width,
                    0.06 / self.height,
                    facecolor=colour,
                    transform=self.figure.transFigure,
                )
            )
        start, end = self.left, self.left + levels * (self.SIDE + self.GAP) - self.GAP
        self.words((start + end) / 2, 0.15, name, fontsize=9)
        self.words(start, 0.15, "← in focus", ha="left", fontsize=8, color=_SOFT)
        self.words(end, 0.15, "far out of focus →", ha="right", fontsize=8, color=_SOFT)

    def left_head(self, text: str) -> None:
        self.words(self.left - 0.12, self.top - 0.19, text, ha="right", fontsize=9)

    def left_label(self, row: int, text: str) -> None:
        self.words(
            self.left - 0.12, self.top + row * self.line + self.SIDE / 2, text, ha="right",
            fontsize=8.5,
        )  # fmt: skip

    def foot(self, text: str) -> None:
        self.words(self.left, self.height - 0.2, text, ha="left", fontsize=7.5, color=_SOFT)
