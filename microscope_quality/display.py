"""Results as people look at them: pages of a notebook, and plots where Matplotlib is installed."""

from __future__ import annotations

import html
import math
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import ArrayLike

from microscope_quality.arguments import as_a, shown
from microscope_quality.errors import ArgumentError, MissingLibraryError
from microscope_quality.focus import FocusResult
from microscope_quality.overlay import (
    level_colours,
    overlay,
    patch_colours,
    visible_parts,
)
from microscope_quality.sampling import SampleResult
from microscope_quality.stacks import StackResult
from microscope_quality.statuses import BLANK, FOCUS_STATUSES, status_named

# The longer side of a plane in a plot, in pixels: more than a screen shows of it.
_MOST_SIDE = 1500
# Of the bars in a page, in CSS pixels.
_BAR_HEIGHT, _BARS_WIDTH, _WIDEST_BAR = 52, 330, 26
# What stands back in a page, on a light ground and on a dark one.
_QUIET = "opacity:.65"


def in_words(result: FocusResult) -> str:
    """Say what was measured of a plane in a line, such as for a title."""
    status = status_named(as_a(FocusResult, "result", result).status)
    if not status.is_judged:
        return status.words.capitalize()
    said = [f"Level {result.expected_level:.1f}", status.words]
    if isinstance(result, SampleResult):
        low, high = result.expected_level_low, result.expected_level_high
        said[0] += f" ({low:.1f} to {high:.1f})"
    said.append(f"certainty {result.certainty:.2f}")
    if not math.isnan(result.defocus_um):
        said.append(f"{result.defocus_um:.1f} µm")
    return " · ".join(said)


# In a notebook.


def focus_html(result: FocusResult) -> str:
    """Show what was measured of a plane: the verdict, the levels' probabilities and some facts.

    Returns
    -------
    str
        HTML that needs nothing beside it, with the colours of the page that it is put in.
    """
    as_a(FocusResult, "result", result)
    colours = _hex_colours(len(result.probabilities))
    shares = np.nan_to_num(result.probabilities).tolist()
    titles = [f"level {level}: {share:.1%}" for level, share in enumerate(shares)]
    facts = [("image", f"{result.width} × {result.height} px")]
    patches, side = len(result.patch_levels), f"{result.patch_size_px:.4g}"
    facts.append(("patches", f"{patches} of {side} × {side} px"))
    if status_named(result.status).is_judged:
        facts.append(("blur disc", f"{result.blur_diameter_px:.1f} px"))
    if result.saturated_fraction > 0:
        facts.append(("saturated", f"{result.saturated_fraction:.2%}"))
    bars = ""
    if status_named(result.status).is_judged:
        bars = _bars(shares, colours, titles, "probability of each level, from 0 (in focus)")
    return _page(result.status, in_words(result), bars, facts, result.message)


def stack_html(stack: StackResult) -> str:
    """Show what was measured of a stack: the best plane, and the levels of all planes.

    Returns
    -------
    str
        As `focus_html` gives it.
    """
    as_a(StackResult, "stack", stack)
    last = len(stack.results[0].probabilities) - 1
    colours = _hex_colours(last + 1)
    heights, of_planes, titles = [], [], []
    for number, result in enumerate(stack.results):
        known = result.status not in BLANK and not math.isnan(result.expected_level)
        level = result.expected_level if known else 0.0
        heights.append(max(level / last, 0.04) if known else 0.0)
        of_planes.append(colours[round(level)])
        titles.append(f"plane {number}: {in_words(result)}")
    said = f"{'1 plane' if len(titles) == 1 else f'{len(titles)} planes'}, none has content"
    if stack.best_plane is not None:
        said = f"Best plane {stack.best_plane} of {len(titles)} · {in_words(stack.representative)}"
    caption = f"level of each plane, a full bar being {last}; ▲ the best one"
    bars = _bars(heights, of_planes, titles, caption, stack.best_plane) if any(heights) else ""
    return _page(stack.representative.status, said, bars, [], "")


def _page(key: str, said: str, bars: str, facts: Sequence[Tuple[str, str]], message: str) -> str:
    status = status_named(key)
    told = "".join(
        f'<span style="margin-right:1.2em;white-space:nowrap"><span style="{_QUIET}">'
        f"{html.escape(name)}</span> {html.escape(value)}</span>"
        for name, value in facts
    )
    remark = f'<div style="margin-top:4px">{html.escape(message)}</div>' if message else ""
    return (
        '<div style="display:inline-block;max-width:460px;padding:2px 0 4px;line-height:1.5">'
        f'<div style="font-weight:600"><span style="color:{status.colour}">{status.sign}</span> '
        f"{html.escape(said)}</div>{bars}"
        f'<div style="font-size:smaller">{told}</div>{remark}</div>'
    )


def _bars(
    heights: Sequence[float],
    colours: Sequence[str],
    titles: Sequence[str],
    caption: str,
    marked: Optional[int] = None,
) -> str:
    """Draw bars with heights from 0 to 1 over the numbers from 0."""
    each = min(_BARS_WIDTH / len(heights), _WIDEST_BAR)
    gap = 3.0 if each > 12 else 0.0
    width, floor = each * len(heights), _BAR_HEIGHT + 4
    # As many numbers as there is room for.
    step = next(n for n in (1, 2, 5, 10, 20, 50, 100, 10**6) if each * n > 18)
    parts: List[str] = []
    for number, (height, colour, title) in enumerate(zip(heights, colours, titles)):
        x, tall = number * each, height * _BAR_HEIGHT
        parts.append(
            f'<rect x="{x:.1f}" y="{floor - tall:.1f}" width="{each - gap:.1f}" '
            f'height="{tall:.1f}" fill="{colour}"><title>{html.escape(title)}</title></rect>'
        )
        sign = "▲" if number == marked else str(number) if number % step == 0 else ""
        if sign and (marked is None or number == marked or abs(number - marked) * each > 18):
            parts.append(
                f'<text x="{x + (each - gap) / 2:.1f}" y="{floor + 13}" font-size="11" '
                f'text-anchor="middle" fill="currentColor">{sign}</text>'
            )
    return (
        f'<svg width="{width:.0f}" height="{floor + 18}" style="display:block;overflow:visible" '
        f'role="img" aria-label="{html.escape(caption)}">'
        f'<line x1="0" x2="{width - gap:.1f}" y1="{floor + 0.5}" y2="{floor + 0.5}" '
        f'stroke="currentColor" opacity=".4"/>{"".join(parts)}</svg>'
        f'<div style="font-size:smaller;{_QUIET}">{html.escape(caption)}</div>'
    )


def _hex_colours(levels: int) -> List[str]:
    return [f"#{bytes(colour).hex()}" for colour in level_colours(levels)]


# Plots.


def plot_focus(result: FocusResult, plane: Optional[ArrayLike] = None, *, ax: Any = None) -> Any:
    """Plot the patches of a plane in the colours of their levels and certainties.

    Parameters
    ----------
    result : FocusResult
        Of `focus.measure_focus` or `sampling.sample_focus`.
    plane : (height, width) array, optional
        The one that was measured, to be seen under the colours, as by `overlay.overlay`.
    ax : matplotlib.axes.Axes, optional
        To plot into; a figure is made without it.

    Returns
    -------
    matplotlib.axes.Axes
        In the plane's pixels, with a bar of the levels' colours.

    Raises
    ------
    MissingLibraryError
        Matplotlib is not installed.
    ImageError, SettingsError
        As `overlay.overlay`, and for an `ax` that is none.
    """
    as_a(FocusResult, "result", result)
    ax = _axes(ax, (6.4, 5.6 * min(max(result.height / result.width, 0.4), 1.6) + 0.6))
    height, width = result.height, result.width
    if plane is not None:
        picture = overlay(plane, result, max_side=min(max(height, width), _MOST_SIDE))
        ax.imshow(picture, extent=(-0.5, width - 0.5, height - 0.5, -0.5))
    else:
        from matplotlib.collections import PolyCollection

        side = result.patch_size_px
        if isinstance(result, SampleResult):
            corners = np.concatenate([result.patch_positions, result.patch_positions + side], 1)
        else:
            corners = visible_parts(result).astype(np.float64)
        top, left, bottom, right = corners.T - 0.5
        outlines = np.stack([left, top, right, top, right, bottom, left, bottom], 1)
        colours = patch_colours(result) / 255
        ax.add_collection(
            PolyCollection(
                list(outlines.reshape(-1, 4, 2)),
                facecolors=colours,
                edgecolors="face",
                linewidths=0.2,
            )
        )
        ax.set_aspect("equal")
    ax.set_xlim(-0.5, width - 0.5)
    ax.set_ylim(height - 0.5, -0.5)
    ax.set_title(in_words(result), loc="left", fontsize="medium")
    ax.tick_params(labelsize="small")
    _add_bar(ax, len(result.probabilities))
    return ax


def _add_bar(ax: Any, levels: int) -> None:
    """Put the colours of levels beside a plot."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    colours = ScalarMappable(
        Normalize(-0.5, levels - 0.5), ListedColormap(level_colours(levels) / 255)
    )
    bar = ax.figure.colorbar(colours, ax=ax, fraction=0.04, pad=0.03, aspect=30)
    bar.set_ticks(range(0, levels, math.ceil(levels / 20)))
    bar.ax.tick_params(length=0, labelsize="small")
    bar.outline.set_visible(False)
    bar.set_label("defocus level, 0 in focus; dark patches are unsure", fontsize="small")


def plot_stack(stack: StackResult, *, ax: Any = None) -> Any:
    """Plot the level of each plane of a stack, and its contrast.

    Parameters
    ----------
    stack : StackResult
        Of `stacks.measure_stack` or `stacks.best_plane`.
    ax : matplotlib.axes.Axes, optional
        To plot into; a figure is made without it.

    Returns
    -------
    matplotlib.axes.Axes
        Of the levels; those of the contrasts are its twin.

    Raises
    ------
    MissingLibraryError
        Matplotlib is not installed.
    SettingsError
        For an `ax` that is none.
    """
    as_a(StackResult, "stack", stack)
    ax = _axes(ax, (6.4, 3.6))
    results, last = stack.results, len(stack.results[0].probabilities) - 1
    planes = np.arange(len(results))
    judged = np.array([status_named(one.status).is_judged for one in results])
    levels = np.where(judged, [one.expected_level for one in results], np.nan)
    contrasts = np.array([one.contrast for one in results])
    highest = np.nanmax(contrasts, initial=0.0)
    if highest > 0:
        beside = ax.twinx()
        beside.fill_between(planes, contrasts / highest, color="#8a8f98", alpha=0.22, linewidth=0)
        beside.set_ylim(0, 1.08)
        beside.set_ylabel("contrast, of the highest", fontsize="small", color="#8a8f98")
        beside.tick_params(labelsize="small", colors="#8a8f98")
        # The levels lie over it.
        ax.set_zorder(beside.get_zorder() + 1)
        ax.patch.set_visible(False)
    ax.plot(planes, levels, color="#7b8290", linewidth=1, zorder=2)
    for status in FOCUS_STATUSES:
        chosen = np.array([one.status == status.key for one in results]) & ~np.isnan(levels)
        if chosen.any():
            at = planes[chosen], levels[chosen]
            ax.scatter(*at, color=status.colour, s=26, label=status.words, zorder=3)
    if stack.best_plane is not None:
        ax.axvline(stack.best_plane, color="#7b8290", linewidth=1, linestyle=":", zorder=1)
    ax.set_ylim(-0.4, last + 0.4)
    ax.set_xlabel("plane", fontsize="small")
    ax.set_ylabel("expected level", fontsize="small")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.tick_params(labelsize="small")
    said = "No plane has content"
    if stack.best_plane is not None:
        said = f"Best plane {stack.best_plane} · {in_words(stack.representative)}"
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize="small", frameon=False, loc="best")
    ax.set_title(said, loc="left", fontsize="medium")
    return ax


def _axes(ax: Any, size_inches: Tuple[float, float]) -> Any:
    """Give the axes to plot into, of a new figure if there are none."""
    try:
        from matplotlib import pyplot
        from matplotlib.axes import Axes
    except ImportError as error:
        raise MissingLibraryError(
            "plot needs Matplotlib, which is not installed: pip install matplotlib. Without it, "
            "result.overlay(plane) gives the picture as an array."
        ) from error
    if ax is None:
        figure, ax = pyplot.subplots(figsize=size_inches)
        # That of CellProfiler is older.
        if hasattr(figure, "set_layout_engine"):
            figure.set_layout_engine("compressed")
        return ax
    if not isinstance(ax, Axes):
        raise ArgumentError(
            f"ax must be axes of Matplotlib, as plt.subplots() gives them, not {shown(ax)}."
        )
    return ax
