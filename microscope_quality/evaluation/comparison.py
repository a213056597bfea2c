"""The main figures of models and measures, side by side, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from microscope_quality.evaluation.results import Evaluation
from microscope_quality.evaluation.style import measure_name, share_text


@dataclass(frozen=True)
class Tile:
    """A number in large letters."""

    value: str
    label: str
    beside: str


@dataclass(frozen=True)
class ComparedValue:
    """A value, the interval about it, and whether it is the best of its row."""

    measure: str
    value: str
    interval: str
    best: bool


@dataclass(frozen=True)
class ComparedFigure:
    """A figure, what it means, and its value for every measure."""

    name: str
    meaning: str
    cells: tuple[ComparedValue, ...]


@dataclass(frozen=True)
class _Figure:
    """A figure: its key in `tables.summary_rows`, and what it means."""

    key: str
    name: str
    meaning: str
    form: Callable[[float], str] = share_text
    #: Whether the larger value is the better one; None: neither.
    larger: bool | None = True


_THREE_DECIMALS, _TWO_DECIMALS = "{:.3f}".format, "{:.2f}".format
_FIGURES = (
    _Figure(
        "image_within_one",
        "Images within one level",
        "Of all images, how many are given the right level or a neighbour of it.",
    ),
    _Figure(
        "image_exact", "Images exact", "How many are given exactly the level that was simulated."
    ),
    _Figure(
        "patch_within_one",
        "Patches within one level",
        "The same for single patches, wherever the sharp image shows something.",
    ),
    _Figure(
        "patch_within_one_certain_half",
        "…in the more certain half",
        "The same when only the half of the patches is believed that the model is surer of.",
    ),
    _Figure("patch_exact", "Patches exact", "Patches given exactly the right level."),
    _Figure(
        "patch_mean_rps",
        "Ranked probability score, patches",
        "How far the probabilities lie from the right level: 0 is perfect, 10 the worst.",
        _THREE_DECIMALS,
        larger=False,
    ),
    _Figure(
        "patch_calibration_error",
        "Calibration error, patches",
        "How far “I am 80 % sure” is from being right 80 % of the time: 0 is perfect.",
        _THREE_DECIMALS,
        larger=False,
    ),
    _Figure(
        "image_calibration_error",
        "Calibration error, images",
        "The same for whole images.",
        _THREE_DECIMALS,
        larger=False,
    ),
    _Figure(
        "empty_below_sure",
        "Empty patches known as such",
        "Patches with nothing in them, of any brightness, that the model is not sure about.",
        lambda value: share_text(value) if value < 0.99 else f"{100 * value:.2f}%",
    ),
    _Figure(
        "binary_image_f",
        "In focus or not, images: F-score",
        "Telling levels 0–2 from 4–10 by one threshold, chosen on a tenth of the images: "
        "1 is perfect. Below it, where 95 % of 50 repetitions fall.",
        _THREE_DECIMALS,
    ),
    _Figure(
        "binary_patch_f",
        "In focus or not, patches: F-score",
        "The same for single patches.",
        _THREE_DECIMALS,
    ),
    _Figure(
        "gain_offset_worst_within_one",
        "Worst gain and offset: within one level",
        "Images within one level at the brightness and contrast that the model takes worst.",
    ),
    _Figure(
        "stack_spearman",
        "z-stacks: rank correlation",
        "Whether planes further from focus are given higher levels: 1 is always.",
        _THREE_DECIMALS,
    ),
    _Figure(
        "stack_best_plane_error",
        "z-stacks: error of the best plane",
        "How many steps the plane found in focus lies from the one that is.",
        _TWO_DECIMALS,
        larger=False,
    ),
    _Figure(
        "stack_within_depth",
        "z-stacks: best plane within the depth of field",
        "Stacks whose plane found in focus is the one that is, one beside it, one that is as good, "
        "or within the depth of field.",
    ),
    _Figure(
        "stack_slope",
        "z-stacks: slope of the blur",
        "Measured blur over the blur by geometry: 1 is right.",
        _TWO_DECIMALS,
        larger=None,
    ),
    _Figure(
        "stack_within_one",
        "z-stacks: planes within one level",
        "Planes whose level is within one of that by geometry, rounded to a whole level.",
    ),
)
# Those that say most, the first of them before the others.
_TILES = {
    "image_within_one": "of the images within one level",
    "image_exact": "of the images exact",
    "binary_image_f": "F-score, in focus or not",
    "empty_below_sure": "of empty patches known as such",
    "patch_calibration_error": "calibration error, patches",
    "stack_spearman": "rank correlation in z-stacks",
    "stack_best_plane_error": "steps off, best plane of z-stacks",
}
_MOST_TILES = 4


def tiles(rows: Sequence[Mapping[str, Any]]) -> list[Tile]:
    """Choose the numbers of the first model that say most."""
    forms = {figure.key: figure.form for figure in _FIGURES}
    found: list[Tile] = []
    for key, label in _TILES.items():
        form = forms[key]
        values = {
            str(row["measure"]): form(row[key])
            for row in rows
            if math.isfinite(row.get(key, math.nan))
        }
        if rows and rows[0]["measure"] in values:
            first = values.pop(rows[0]["measure"])
            beside = ", ".join(f"{measure_name(name)} {value}" for name, value in values.items())
            found.append(Tile(first, label, beside))
    return found[:_MOST_TILES]


def compared(rows: Sequence[Mapping[str, Any]]) -> list[ComparedFigure]:
    """Give the figures that any of the measures has."""
    found = []
    for figure in _FIGURES:
        values = [float(row.get(figure.key, math.nan)) for row in rows]
        known = [value for value in values if math.isfinite(value)]
        if not known:
            continue
        best = math.nan
        if len(known) > 1 and figure.larger is not None:
            best = max(known) if figure.larger else min(known)
        cells = []
        for row, value in zip(rows, values):
            low, high = (row.get(figure.key.removesuffix("_f") + end) for end in ("_low", "_high"))
            finite = math.isfinite(value)
            cells.append(
                ComparedValue(
                    measure_name(str(row["measure"])),
                    figure.form(value) if finite else "",
                    f"{low:.3f} to {high:.3f}" if finite and low is not None else "",
                    value == best,
                )
            )
        found.append(ComparedFigure(figure.name, figure.meaning, tuple(cells)))
    return found


def beside_classical(evaluation: Evaluation) -> list[str]:
    """Say how the first model stands to the classical measures."""
    if not evaluation.models:
        return []
    first, names = evaluation.models[0].name, {model.name for model in evaluation.models}
    sentences = []
    for per, plural in (("image", "images"), ("patch", "patches")):
        own = [r for r in evaluation.binary if r.per == per and r.measure == first]
        classical = [r for r in evaluation.binary if r.per == per and r.measure not in names]
        if not own or not classical:
            continue
        best = max(classical, key=lambda result: result.f)
        highest = max(result.high for result in classical)
        if own[0].low > highest:
            relation = "its whole interval lies above that of every classical measure"
        elif own[0].f > highest:
            relation = "its mean lies above the interval of every classical measure"
        elif own[0].f > best.f:
            relation = "its mean is the highest, but within the intervals of classical measures"
        else:
            relation = "a classical measure does better"
        sentences.append(
            f"In focus or not, {plural}: {first} has an F-score of {own[0].f:.3f}, the best "
            f"classical measure ({measure_name(best.measure)}) {best.f:.3f}; {relation}."
        )
    return sentences
