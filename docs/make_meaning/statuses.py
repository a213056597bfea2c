"""What the statuses say, and where mixed begins."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
from PIL import Image

from docs.make_meaning.drawing import FAINT, INK, SERIES, SOFT, figure, finished, line
from docs.make_meaning.specimens import (
    SHAPE,
    SOFTNESS_PX,
    Part,
    blurred,
    certainty_text,
    kernel,
    level_text,
    measured,
    model,
    share_text,
    specimen,
    taken,
)
from microscope_quality import FocusResult
from microscope_quality.degrade import defocus_varying, tilted_levels
from microscope_quality.overlay import overlay
from microscope_quality.simulate import nuclei
from microscope_quality.verdicts import MIXED_LEVELS, MIXED_SHARE, sure_by_chance

WORDS = {
    "in_focus": "in focus",
    "out_of_focus": "out of focus",
    "mixed": "mixed",
    "no_content": "no content",
}


def tilted(light: np.ndarray, last: float) -> np.ndarray:
    """Defocus from level 0 at the left border to ``last`` at the right one."""
    known = np.arange(0, last + 0.5, 0.5)
    across = tilted_levels(light.shape, last / 2, last)
    kernels = [kernel(float(level)) for level in known]
    return np.maximum(defocus_varying(light, np.clip(across, 0, known[-1]), kernels, known), 0)


def far_share(result: FocusResult) -> float:
    """Share of the sure patches that lie far from the image's level, as its status has it."""
    sure = result.patch_certainties >= model().description.sure_certainty
    off = np.abs(result.patch_expected_levels[sure] - result.expected_level)
    return float((off > MIXED_LEVELS).mean())


def regimes() -> Part:
    """Set mean certainty against certainty."""
    rng = np.random.default_rng(4)
    groups: dict[str, list[FocusResult]] = {
        "cells everywhere, one depth": [],
        "few cells, one depth": [],
        "tilted by 6 to 10 levels": [],
        "very dim, or empty": [],
    }
    full, few, across, dark = groups.values()
    for seed in range(16):
        level = float(rng.integers(0, 11))
        cells = specimen("nuclei", 80 + seed)
        full.append(measured(taken(blurred(cells, level), seed)))
        sparse = np.zeros((504, 504))
        sparse[:120, :120] = cells[100:220, 100:220]
        edge = np.clip((120 - np.arange(504)) / 12, 0, 1)
        few.append(measured(taken(blurred(sparse * np.outer(edge, edge), level), seed)))
        across.append(measured(taken(tilted(cells, float(rng.integers(12, 21)) / 2), seed)))
        lit = float(rng.choice((0.0, 1.0, 2.0)))
        dark.append(measured(taken(blurred(cells, level), seed, lit or 1e-3)))
    numbers = {}
    for short, results in zip(("full", "few", "tilted", "dark"), groups.values()):
        numbers[f"regime_{short}_mean"] = certainty_text(
            np.mean([r.mean_certainty for r in results])
        )
        numbers[f"regime_{short}_whole"] = certainty_text(np.mean([r.certainty for r in results]))
    numbers["regime_images"] = str(sum(map(len, groups.values())))

    def draw() -> Image.Image:
        made, ax = figure(430)
        threshold = model().description.sure_certainty
        for number, (name, results) in enumerate(groups.items()):
            colour, marker, _ = SERIES[number]
            ax.plot(
                [r.mean_certainty for r in results],
                [r.certainty for r in results],
                color=colour,
                marker=marker,
                ls="",
                ms=8,
                alpha=0.75,
                mec="white",
                label=name,
            )
        ax.plot((0, 1), (0, 1), color=FAINT, lw=1)
        ax.axvline(threshold, color=SOFT, lw=1, ls=":")
        ax.axhline(threshold, color=SOFT, lw=1, ls=":")
        for x, y, words, across_ in (
            (0.01, 0.97, "little to see,\nwhich agrees", "left"),
            (0.99, 0.97, "much to see, which agrees", "right"),
            (0.01, 0.355, "nothing to see", "left"),
            (0.99, 0.355, "much to see, which disagrees", "right"),
        ):
            ax.text(x, y, words, ha=across_, va="top", color=SOFT, fontstyle="italic")
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.set_xlabel("mean certainty of the patches (mean_certainty)")
        ax.set_ylabel("certainty of the image")
        made.legend(loc="outside right upper")
        return finished(made)

    return numbers, draw


def status() -> Part:
    """Show the four statuses and where mixed begins."""
    cells = specimen("nuclei", 5)
    five = np.zeros((2048, 2048))
    five += scipy.ndimage.gaussian_filter(nuclei((2048, 2048), 5, 3), SOFTNESS_PX)
    shown = {
        "no cells": taken(np.zeros(SHAPE), 1),
        "5 nuclei in 2048²": taken(blurred(five, 3), 1),
        "tilted": taken(tilted(cells, 9.0), 1),
        "level 1": taken(blurred(cells, 1), 1),
        "level 4": taken(blurred(cells, 4), 1),
    }
    results = {name: measured(plane) for name, plane in shown.items()}
    threshold = model().description.sure_certainty
    tilts = np.arange(0, 10.5, 1.0)
    far = np.zeros((2, len(tilts)))
    mixed = np.zeros((2, len(tilts)), bool)
    for s in range(2):
        for n, last in enumerate(tilts):
            light = specimen("filaments", s, SOFTNESS_PX, 1.0, 1.0, (504, 504))
            result = measured(taken(tilted(light, float(last)), s))
            far[s, n] = far_share(result)
            mixed[s, n] = result.status == "mixed"
    parts = np.arange(0, 0.55, 0.05)
    partly = np.zeros((2, len(parts)))
    part_results: list[list[FocusResult]] = [[], []]
    for s in range(2):
        light = specimen("filaments", s, SOFTNESS_PX, 1.0, 1.0, (504, 504))
        near, away = blurred(light, 0), blurred(light, 7)
        for n, share in enumerate(parts):
            columns = round(504 * share)
            plane = near.copy()
            plane[:, :columns] = away[:, :columns]
            part_results[s].append(measured(taken(plane, s)))
            partly[s, n] = far_share(part_results[s][-1])
    all_mixed = [float(t) for t, of in zip(tilts, mixed.T) if of.all()]
    some_mixed = [float(t) for t, of in zip(tilts, mixed.T) if of.any()]
    parts_mixed = (partly > MIXED_SHARE).all(axis=0)
    five_found = results["5 nuclei in 2048²"]
    numbers = {
        "chance_25": str(sure_by_chance(25)),
        "chance_625": str(sure_by_chance(625)),
        "five_sure": str(int((five_found.patch_certainties >= threshold).sum())),
        "five_patches": str(len(five_found.patch_certainties)),
        "five_status": f"`{five_found.status}`",
        "five_level": level_text(five_found.expected_level),
        "five_mean_certainty": certainty_text(five_found.mean_certainty),
        "tilt_unmixed_below": f"{min(some_mixed):.0f}",
        "tilt_mixed_from": f"{min(all_mixed):.0f}",
        "tilt_images": str(far.size + partly.size),
        "part_mixed_from": share_text(parts[parts_mixed].min()),
        "half_expected": level_text(np.mean([of[-1].expected_level for of in part_results])),
    }

    def draw() -> Image.Image:
        from matplotlib.gridspec import GridSpec

        made, whole = figure(520)
        whole.remove()
        grid = GridSpec(2, 10, made, height_ratios=(1, 1.25))
        for number, (name, result) in enumerate(results.items()):
            ax = made.add_subplot(grid[0, 2 * number : 2 * number + 2])
            ax.imshow(overlay(shown[name], result, max_side=260))
            ax.set_axis_off()
            ax.set_title(f"{name}:\n{WORDS[result.status]}", loc="center", fontweight="normal")
        left = made.add_subplot(grid[1, :5])
        right = made.add_subplot(grid[1, 5:])
        line(left, 0, tilts, 100 * far, "")
        left.set_xlabel("levels across the field (tilt)")
        left.set_ylabel("far patches, %")
        line(right, 1, 100 * parts, 100 * partly, "")
        right.set_xlabel("% of the field at level 7, the rest at 0")
        for ax in (left, right):
            ax.axhline(100 * MIXED_SHARE, color=INK, lw=1, ls=":")
            ax.set_ylim(0, 105)
            ax.text(0, 100 * MIXED_SHARE + 2, "mixed", va="bottom")
        return finished(made)

    return numbers, draw
