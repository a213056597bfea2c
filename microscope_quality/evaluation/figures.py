"""Figures of an evaluation: matplotlib figures from the measured numbers, readable in greyscale.

Each function gives a `matplotlib.figure.Figure` of its own, without pyplot and its global state;
`style` turns one into text or bytes. Those of patches are in `sheets`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from microscope_quality.errors import SettingsError
from microscope_quality.evaluation.style import (
    FAINT,
    INK,
    SOFT,
    drawing,
    footnote,
    measure_name,
    percents,
    series,
    shades,
    share_text,
    ticks,
)
from microscope_quality.overlay import level_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from microscope_quality.evaluation.binary import BinaryResult
    from microscope_quality.evaluation.stacks import StackFigures
    from microscope_quality.metrics import Calibration, RiskCoverage

FloatArray = npt.NDArray[np.float64]


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
    with drawing(5.0, 5.4) as figure:
        axes = figure.add_subplot()
        axes.imshow(shares, cmap=shades(), vmin=0, vmax=1)
        size = min(8.0, 88 / levels)
        for row, column in np.argwhere(counts > 0):
            share, count = float(shares[row, column]), int(counts[row, column])
            text = _percent(share) if normalised else _short(count)
            smaller = 1 if normalised else 0.9 if count < 1000 else 0.8
            _cell(axes, row, column, share, text, size * smaller)
        _outline_within_one(axes, levels)
        _level_axis(axes, levels)
        axes.set(xlabel="measured level", ylabel="true level", title=title)
        total = int(counts.sum()) + undefined
        if total:
            distance = np.abs(np.subtract.outer(np.arange(levels), np.arange(levels)))
            near = share_text(counts[distance <= 1].sum() / total)
            exact = share_text(counts[distance == 0].sum() / total)
            none = f", {undefined:,} without a level" if undefined else ""
            footnote(
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
        Of `metrics.calibration`.
    title : str

    Returns
    -------
    Figure
        4.6 x 4.9 inches. Bars are the accuracy of each bin, the ticks on the diagonal its mean
        confidence; empty bins are left out.
    """
    left, width = calibration.edges[:-1], np.diff(calibration.edges)
    used = calibration.count > 0
    confidence, accuracy = calibration.confidence[used], calibration.accuracy[used]
    with drawing(4.6, 4.9) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        # Over the bars, or it would be hidden where the model is too modest.
        upper.plot((0, 1), (0, 1), color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=2.5)
        upper.text(
            0.02, 0.05, "perfect", ha="left", va="bottom", fontsize=7.5, color=SOFT,
            rotation=45, rotation_mode="anchor", transform_rotates_text=True,
        )  # fmt: skip
        _bars(
            upper, left[used], accuracy, width[used], color="#9cc3e6", label="share that is right"
        )
        # From what the model says to what is true: the length of these lines is the error.
        upper.vlines(confidence, accuracy, confidence, color="#d55e00", lw=1.6)
        upper.plot(
            confidence, accuracy, "o", color=INK, markersize=4,
            label="mean confidence of the bin, share right",
        )  # fmt: skip
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share that is exactly right")
        upper.grid(axis="y")
        upper.set_title(title, pad=24)
        upper.text(
            0, 1.025, f"Expected calibration error {calibration.error:.3f}: the mean length of the "
            "orange lines", transform=upper.transAxes, fontsize=7.5, color=SOFT,
        )  # fmt: skip
        _shares_of_all(lower, left, width, calibration.count)
        lower.set_xlabel("confidence: the largest probability")
        upper.yaxis.set_major_formatter(percents())
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
    with drawing(6.4, 4.8 if shares else 2.9) as figure:
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
        loss.set(ylabel="ranked probability score", title="Loss: lower is better")
        if shares:
            words = {"validation_within_one": "within one level", "validation_exact": "exact"}
            for number, key in enumerate(shares):
                _curve(panels[1], step, known[key], number, words[key])
            panels[1].set(ylim=(None, 1.01), ylabel="share of validation patches")
            panels[1].set_title("Right levels: higher is better")
            panels[1].yaxis.set_major_formatter(percents())
        for panel in panels:
            panel.grid(axis="y", which="major")
            if panel.lines:
                panel.legend(loc="best", ncols=2)
        panels[-1].set_xlabel("training step")
        panels[-1].xaxis.set_major_formatter("{x:,.0f}")
        figure.align_ylabels()
    return figure


def distance_figure(models: Sequence[tuple[str, npt.ArrayLike]], title: str = "") -> Figure:
    """Draw the accuracy by class distance: the share of levels at most so far from the right one.

    Parameters
    ----------
    models : sequence of (name, (K,) array)
        The shares of `metrics.within`, for each model.
    title : str

    Returns
    -------
    Figure
        4.6 x 3.6 inches.
    """
    curves = [(name, np.asarray(shares, np.float64)) for name, shares in models]
    # As far as any model still has something to gain.
    shown = 1 + max(int(np.argmax(np.append(s >= 0.9995, True))) for _, s in curves)
    shown = max(3, min([shown, 6, *(len(shares) for _, shares in curves)]))
    with drawing(4.6, 3.6) as figure:
        axes = figure.add_subplot()
        for number, (name, shares) in enumerate(curves):
            axes.plot(
                np.arange(len(shares[:shown])), shares[:shown], **series(number), markersize=5.5,
                label=name, zorder=9 - number,
            )  # fmt: skip
        for distance, share in enumerate(curves[0][1][:shown]):
            if np.isfinite(share):
                axes.annotate(
                    share_text(share), (distance, share), (-6, 1) if distance == 0 else (0, 6),
                    fontsize=7.5, fontweight="bold", textcoords="offset points",
                    color=series(0)["color"], ha="right" if distance == 0 else "center",
                )  # fmt: skip
        axes.set_xticks(range(shown), ["exact", *(f"±{k}" for k in range(1, shown))])
        axes.set_xlim(-0.17 * shown, shown - 0.65)
        low = min((float(np.nanmin(s)) for _, s in curves if np.isfinite(s).any()), default=0.0)
        axes.set_ylim(low - 0.12 * (1 - low) - 0.002, 1 + 0.13 * (1 - low) + 0.002)
        axes.yaxis.set_major_formatter(percents())
        axes.yaxis.set_major_locator(ticks(6, highest=1))
        axes.grid(axis="y")
        axes.set(xlabel="levels that count as right", ylabel="share right", title=title)
        axes.legend(loc="lower right")
    return figure


def risk_coverage_figure(curves: Sequence[tuple[str, RiskCoverage]], title: str = "") -> Figure:
    """Draw the share of wrong levels when only the more certain ones are believed.

    Parameters
    ----------
    curves : sequence of (name, RiskCoverage)
        Of `metrics.risk_coverage`, by which a level is wrong that is off by more than one, for
        each model.
    title : str

    Returns
    -------
    Figure
        4.6 x 3.6 inches.
    """
    with drawing(4.6, 3.6) as figure:
        axes = figure.add_subplot()
        for number, (name, curve) in enumerate(curves):
            n = len(curve.coverage)
            # The first few predictions' risk is all or nothing; a point for every pixel will do.
            first = min(max(0, n // 100), max(0, n - 1))
            index = np.unique(np.linspace(first, max(0, n - 1), 240).astype(int))[: n or 0]
            axes.plot(
                curve.coverage[index], curve.risk[index], **series(number), markersize=4,
                markevery=(12 + 7 * number, 40),
                label=f"{name} (mean {_precise(curve.area)})", zorder=9 - number,
            )  # fmt: skip
        axes.axvline(0.5, color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
        top = max(0.01, axes.get_ylim()[1])
        axes.set(xlim=(0, 1), ylim=(0, top))
        axes.text(0.49, top, "the more certain half", ha="right", va="top", fontsize=7.5, c=SOFT)
        axes.xaxis.set_major_formatter(percents())
        axes.yaxis.set_major_formatter(percents())
        axes.grid(axis="y")
        axes.set(xlabel="share believed, the most certain first", title=title)
        axes.set_ylabel("share off by more than one level")
        axes.legend(loc="upper left", bbox_to_anchor=(0.0, 0.93))
    return figure


def certainty_figure(error: FloatArray, certainty: FloatArray, title: str = "") -> Figure:
    """Draw how far levels are off, in ten bands of certainty.

    Parameters
    ----------
    error : (n,) array
        Levels between the measured and the true one, of either sign; NaN where undefined, which is
        drawn as furthest off.
    certainty : (n,) array
    title : str

    Returns
    -------
    Figure
        4.6 x 4.2 inches.
    """
    bands = 10
    off = np.where(np.isnan(error), np.inf, np.abs(error))
    band = np.clip((certainty * bands).astype(int), 0, bands - 1)
    count = np.bincount(band, minlength=bands)
    edges = np.arange(bands) / bands
    kinds = (
        ("exact", off == 0, "#0d4c8f", ""),
        ("one level off", off == 1, "#8fbfe6", ""),
        ("two off", off == 2, "#ffe08a", "////"),
        ("further off, or no level", off > 2, "#c8381e", ""),
    )
    with drawing(4.6, 4.2) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        bottom = np.zeros(bands)
        for label, chosen, colour, hatch in kinds:
            share = np.bincount(band[chosen], minlength=bands) / np.maximum(count, 1)
            style = {"color": colour, "hatch": hatch, "label": label}
            _bars(upper, edges, share, 1 / bands, bottom=bottom, **style)
            bottom += share
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share in the band")
        upper.yaxis.set_major_formatter(percents())
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
    content: FloatArray, empty: FloatArray, sure_certainty: float, title: str = ""
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
    with drawing(4.6, 4.2) as figure:
        panels = figure.subplots(2, 1, sharex=True)
        told = (
            (content, content >= sure_certainty, "with content", "#72aadb", "at or over it"),
            (empty, empty < sure_certainty, "empty", "#8a8f98", "under it"),
        )
        for axes, (certainties, right, name, colour, side) in zip(panels, told):
            count = np.histogram(certainties, edges)[0]
            share = count / max(1, count.sum())
            _bars(axes, edges[:-1], share, np.diff(edges), color=colour, linewidth=0.5)
            axes.axvline(sure_certainty, color="#d55e00", linewidth=1.5)
            axes.yaxis.set_major_formatter(percents())
            axes.yaxis.set_major_locator(ticks(3))
            axes.set_ylim(0, 1.25 * max(0.01, float(share.max())))
            axes.set_ylabel("share of patches")
            part = float(np.mean(right)) if len(right) else math.nan
            axes.text(
                0.99 if sure_certainty < 0.5 else 0.02, 0.96,
                f"{name}: {_precise(part)} {side}\nn = {len(certainties):,}",
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


def binary_figure(results: Sequence[BinaryResult], models: Sequence[str] = ()) -> Figure:
    """Draw the F-scores of measures that tell in focus from not, best first, with their intervals.

    Parameters
    ----------
    results : sequence of BinaryResult
        Of images, of patches, or of both, which get a panel each.
    models : sequence of str
        Names of measures that are models; they stand out.

    Returns
    -------
    Figure
        4.9 inches wide for one panel, 9.4 for two.
    """
    panels = [per for per in ("image", "patch") if any(result.per == per for result in results)]
    rows = max(sum(result.per == per for result in results) for per in panels)
    lowest = min((result.low for result in results if np.isfinite(result.low)), default=0.0)
    left = max(0.0, math.floor(lowest * 20) / 20 - 0.01)
    with drawing(4.9 if len(panels) < 2 else 9.4, 1.25 + 0.27 * rows) as figure:
        for number, per in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), number + 1)
            shown = sorted(
                (r for r in results if r.per == per), key=lambda r: 1 if math.isnan(r.f) else -r.f
            )
            for row, result in enumerate(shown):
                known = result.measure in models
                own = series(list(models).index(result.measure)) if known else {}
                colour, marker = own.get("color", SOFT), own.get("marker", "o")
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
            _list(axes, [measure_name(r.measure) for r in shown], rows)
            for label, result in zip(axes.get_yticklabels(), shown):
                if result.measure in models:
                    label.set_fontweight("bold")
            axes.set(xlim=(left, 1), xlabel="F-score of “in focus”")
            n, plural = shown[0].n, "images" if per == "image" else "patches"
            axes.set_title(f"In focus or not: {plural} ({n:,})")
    return figure


def groups_figure(
    groups: Sequence[str], models: Sequence[tuple[str, FloatArray]], title: str = ""
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
    shares = np.array([values for _, values in models])
    order = np.argsort(shares[0], kind="stable")
    with drawing(4.9, 1.3 + 0.27 * len(groups)) as figure:
        axes = figure.add_subplot()
        for row, group in enumerate(order):
            known = shares[:, group][np.isfinite(shares[:, group])]
            if len(known) > 1:
                axes.plot((known.min(), known.max()), (row, row), color=FAINT, linewidth=3)
        for number, (name, _) in enumerate(models):
            style = {**series(number), "linestyle": ""}
            axes.plot(
                shares[number, order], np.arange(len(order)), **style, markersize=6, label=name,
                zorder=9 - number, clip_on=False, markeredgewidth=1.4,
                markerfacecolor=style["color"] if number == 0 else "white",
            )  # fmt: skip
        for row, group in enumerate(order):
            axes.text(
                1.035, row, share_text(shares[0, group]), va="center", fontsize=8,
                transform=axes.get_yaxis_transform(),
            )  # fmt: skip
        _list(axes, [groups[group] for group in order], len(groups))
        lowest = float(np.nanmin(shares)) if np.isfinite(shares).any() else 0.0
        axes.set_xlim(min(0.98, lowest - 0.06 * (1 - lowest) - 0.002), 1)
        axes.xaxis.set_major_formatter(percents())
        axes.xaxis.set_major_locator(ticks(5))
        axes.set_title(title, pad=24)
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, columnspacing=1,
            handletextpad=0.3, borderaxespad=0.2,
        )  # fmt: skip
    return figure


def gain_offset_figure(
    models: Sequence[tuple[str, Sequence[Mapping[str, float]]]], title: str, share: str
) -> Figure:
    """Draw the shares of right levels after a gain and an offset, a heat map for each model.

    As Fig. 4 of Yang et al., BMC Bioinformatics 19:77 (2018).

    Parameters
    ----------
    models : sequence of (name, rows)
        Each row has ``gain``, ``offset`` and `share`.
    title : str
    share : {"within_one", "exact"}
        What is drawn.

    Returns
    -------
    Figure
        4.7 inches wide for a model, up to three beside each other.
    """
    columns = min(3, len(models))
    lines = -(-len(models) // columns)
    with drawing(0.6 + 3.6 * columns, 0.45 + 3.1 * lines) as figure:
        for number, (name, rows) in enumerate(models):
            gains = sorted({row["gain"] for row in rows})
            offsets = sorted({row["offset"] for row in rows})
            values = np.full((len(gains), len(offsets)), np.nan)
            for row in rows:
                values[gains.index(row["gain"]), offsets.index(row["offset"])] = row[share]
            axes = figure.add_subplot(lines, columns, number + 1)
            image = axes.imshow(
                np.ma.masked_invalid(values), cmap=shades(), vmin=0, vmax=1, aspect="auto"
            )
            for i, j in np.ndindex(values.shape):
                if np.isfinite(values[i, j]):
                    _cell(axes, i, j, values[i, j], _percent(values[i, j]), 8.5)
            axes.set_xticks(range(len(offsets)), [f"+{offset:,.0f}" for offset in offsets])
            axes.set_yticks(range(len(gains)), [f"×{gain:g}" for gain in gains])
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            axes.set_xticks(np.arange(len(offsets) + 1) - 0.5, minor=True)
            axes.set_yticks(np.arange(len(gains) + 1) - 0.5, minor=True)
            axes.grid(which="minor", color="white", linewidth=1.5)
            axes.tick_params(which="minor", length=0)
            axes.set_axisbelow(False)
            axes.set(xlabel="offset in grey levels", title=name)
            if number % columns == 0:
                axes.set_ylabel("gain")
            if number == len(models) - 1:
                bar = figure.colorbar(image, ax=figure.axes, shrink=0.8, aspect=24, pad=0.02)
                bar.ax.yaxis.set_major_formatter(percents())
                bar.outline.set_visible(False)
                bar.set_label(
                    {"within_one": "share within one level", "exact": "share exact"}[share]
                )
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
    with drawing(4.9, 3.7) as figure:
        axes = figure.add_subplot()
        for number, stack in enumerate(stacks):
            style = series(number)
            axes.plot(
                stack.z, stack.expected_level, color=style["color"], linestyle=style["linestyle"],
                linewidth=1.4, zorder=5 - number,
            )  # fmt: skip
            axes.scatter(
                stack.z, stack.expected_level, s=6 + 60 * np.nan_to_num(stack.certainty) ** 2,
                color=style["color"], marker=style["marker"], edgecolor="white", linewidth=0.6,
                zorder=6 - number,
            )  # fmt: skip
            # For the legend: a marker of middling size.
            axes.plot((), (), **style, ms=5, label=stack.model)
        first = stacks[0]
        if np.isfinite(first.geometric_level).any():
            axes.plot(
                first.z, np.minimum(first.geometric_level, 10), color=SOFT, linewidth=5,
                alpha=0.25, zorder=1, label="by geometry",
            )  # fmt: skip
        if np.isfinite(first.focus):
            axes.axvline(
                first.focus, color=SOFT, linewidth=1, zorder=1,
                linestyle="-" if first.focus_known else (0, (3, 3)),
            )  # fmt: skip
            axes.annotate(
                "focus" if first.focus_known else "focus, as found", (first.focus, 1),
                (3, -3), xycoords=("data", "axes fraction"), textcoords="offset points",
                va="top", fontsize=7.5, color=SOFT,
            )  # fmt: skip
        axes.set(ylim=(-0.3, 10.9), yticks=range(0, 11, 2), title=title)
        axes.set(xlabel="plane (z in steps)", ylabel="expected level")
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(ticks(9, whole=True))
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def _curve(axes: Axes, x: FloatArray, y: FloatArray, number: int, label: str) -> None:
    known = np.isfinite(y)
    # A marker for about every tenth point, so that lines are told apart without colour.
    every = max(1, int(known.sum()) // 10)
    axes.plot(x[known], y[known], **series(number), markersize=4, markevery=every, label=label)


def _bars(
    axes: Axes, left: npt.ArrayLike, height: npt.ArrayLike, width: npt.ArrayLike, **how: Any
) -> None:
    axes.bar(left, height, width, align="edge", **{"edgecolor": "white", "linewidth": 1, **how})


def _cell(axes: Axes, row: int, column: int, share: float, text: str, size: float) -> None:
    """Write into a cell of a map of shares."""
    colour = "white" if share > 0.45 else INK
    axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)


def _list(axes: Axes, names: Sequence[str], rows: int) -> None:
    """Make the vertical axis a list, from the top, with room for so many rows."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(rows - 0.5, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def _outline_within_one(axes: Axes, levels: int) -> None:
    """Draw the border of the cells that are at most one level off."""
    last = levels - 0.5
    corners, steps = [-0.5], [-0.5]
    for level in range(levels):
        corners += [min(level + 1.5, last)] * 2
        steps += [level - 0.5, level + 0.5]
    for x, y in ((corners, steps), (steps, corners)):
        axes.plot([*x, last], [*y, last], color=SOFT, linewidth=0.9, clip_on=False)


def _level_axis(axes: Axes, levels: int) -> None:
    """Name the levels at both axes and put each one's colour beside its name."""
    from matplotlib.patches import Rectangle

    axes.set(xticks=np.arange(levels), yticks=np.arange(levels))
    axes.tick_params(length=0, pad=9)
    axes.spines[:].set_visible(False)
    for level, colour in enumerate(level_colours(levels) / 255 if levels > 1 else ()):
        for at, width, height in (
            ((level - 0.5, levels - 0.42), 1, 0.18),
            ((-0.76, level - 0.5), 0.18, 1),
        ):
            axes.add_patch(
                Rectangle(at, width, height, facecolor=colour, edgecolor="white", clip_on=False)
            )
    axes.set(xlim=(-0.5, levels - 0.5), ylim=(levels - 0.5, -0.5))


def _shares_of_all(
    axes: Axes, left: npt.ArrayLike, width: npt.ArrayLike, count: npt.NDArray[Any]
) -> None:
    """Draw how many there are in each band, as shares of all."""
    _bars(axes, left, count / max(count.sum(), 1), width, color=SOFT)
    axes.set_ylabel("share of all")
    axes.yaxis.set_major_formatter(percents())
    axes.yaxis.set_major_locator(ticks(3))


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
