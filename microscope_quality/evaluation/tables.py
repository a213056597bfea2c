"""The tables of an evaluation: models and measures side by side, and every figure behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np

from microscope_quality import metrics
from microscope_quality.evaluation.binary import BinaryResult
from microscope_quality.evaluation.results import Evaluation
from microscope_quality.evaluation.stacks import Followed
from microscope_quality.evaluation.style import measure_name
from microscope_quality.files.regular import refusals
from microscope_quality.files.tables import Table, check_replaceable
from microscope_quality.metrics import Predictions
from microscope_quality.optics import N_LEVELS

SLOPE = "power_log_log_slope"
#: Table of what was not evaluated.
LEFT_OUT = "left_out.csv"
#: Points of a risk-coverage curve in its table, at most.
CURVE_POINTS = 200

# A row of a table, as the table's columns go.
_Fields = tuple[object, ...]
_RowsOf = Callable[[Evaluation], Iterable[_Fields]]

_FIGURES = (
    *("undefined", "exact", "within_one", "exact_certain_half", "within_one_certain_half"),
    *("mean_rps", "calibration_error", "mean_certainty", "risk_area"),
)
SUMMARY_COLUMNS = (
    *("measure", "kind", "images"),
    *(f"image_{name}" for name in _FIGURES),
    "patches",
    *(f"patch_{name}" for name in _FIGURES),
    *(f"binary_{per}_{name}" for per in ("image", "patch") for name in ("f", "low", "high")),
    *("empty_below_sure", "gain_offset_worst_within_one", "stacks", "stack_spearman"),
    *("stack_best_plane_error", "stack_within_depth", "stack_slope", "stack_within_one"),
)

_STACK_COLUMNS = (
    *("focus", "focus_known", "best_z", "best_plane_error"),
    *("spearman", "spearman_below", "spearman_above", "slope", "within_one"),
    *("depth_um", "within_depth", "best_status", "far", "far_in_focus"),
)
_PLANE_COLUMNS = ("z", "level", "expected_level", "certainty", "status", "geometric_level")
_FOLLOWED_COLUMNS = (
    *("focus", "focus_known", "best_z", "best_plane_error", "within_depth"),
    *("spearman", "spearman_below", "spearman_above", "spearman_sides"),
)
_GAIN_OFFSET_COLUMNS = ("gain", "offset", "n", "exact", "within_one", "clipped")

# The columns of each table, and what gives its rows, by its file's name.
_TABLES: dict[str, tuple[tuple[str, ...], _RowsOf]] = {}


def summary_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Put side by side the models, the power log-log slope and the best other classical measure.

    The best is the one of the highest F-score per image.

    Returns
    -------
    list of dict
        With the keys of ``SUMMARY_COLUMNS``; what a measure has no figure of is missing.
    """
    rows = []
    for model in evaluation.models:
        row: dict[str, Any] = {"measure": model.name, "kind": "model"}
        for per, predictions in model.judged.items():
            figures = metrics.summary(predictions)
            row[per] = figures.pop("n")
            what = "image" if per == "images" else "patch"
            row.update({f"{what}_{name}": value for name, value in figures.items()})
        row["empty_below_sure"] = model.empty_below_sure
        if model.gain_offset:
            row["gain_offset_worst_within_one"] = min(r["within_one"] for r in model.gain_offset)
        stacks = [stack for stack in evaluation.stacks if stack.model == model.name]
        if stacks:
            row["stacks"] = len(stacks)
            row["stack_best_plane_error"] = _mean([abs(s.best_plane_error) for s in stacks])
            for name in ("spearman", "within_depth", "slope", "within_one"):
                row[f"stack_{name}"] = _mean([getattr(stack, name) for stack in stacks])
        rows.append(row)
    names = {model.name for model in evaluation.models}
    classical = [r for r in evaluation.binary if r.measure not in names and r.per == "image"]
    others = [result for result in classical if result.measure != SLOPE]
    chosen = [result.measure for result in classical if result.measure == SLOPE]
    if others:
        chosen.append(max(others, key=lambda result: result.f).measure)
    rows += [{"measure": name, "kind": "classical"} for name in chosen]
    for row in rows:
        stacks_of = [one for one in evaluation.stack_measures if one.measure == row["measure"]]
        if row["kind"] == "classical" and stacks_of:
            row["stacks"] = len(stacks_of)
            row["stack_best_plane_error"] = _mean([abs(s.best_plane_error) for s in stacks_of])
            for name in ("spearman", "within_depth"):
                row[f"stack_{name}"] = _mean([getattr(stack, name) for stack in stacks_of])
    for row in rows:
        for result in evaluation.binary:
            if result.measure == row["measure"]:
                for name in ("f", "low", "high"):
                    row[f"binary_{result.per}_{name}"] = getattr(result, name)
    return rows


def stack_comparison(evaluation: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Put models and classical measures side by side, a row for each z-stack.

    Returns
    -------
    head : list of str
    rows : list of list of str
        The stack, its planes, the plane in focus where it is known, and of each model's level and
        sharpness and each measure the best plane and the rank correlation with the distance from
        focus; in the last row the hits, and the means of the correlations.
    """
    names = [name for model in evaluation.models for name in (model.name, _sharpness(model.name))]
    names += list(dict.fromkeys(one.measure for one in evaluation.stack_measures))
    found: dict[str, dict[str, Followed]] = {}
    planes: dict[str, tuple[int, str]] = {}
    for model in evaluation.stacks:
        of = found.setdefault(model.stack, {})
        of[model.model], of[_sharpness(model.model)] = model, model.by_sharpness
        known = f"{model.focus:g}" if model.focus_known else "–"
        planes[model.stack] = len(model.z), known
    for measure in evaluation.stack_measures:
        found[measure.stack][measure.measure] = measure
    rows = [
        [stack, *map(str, planes[stack]), *(_followed_text(of[name]) for name in names)]
        for stack, of in found.items()
    ]
    summed = []
    for name in names:
        of_all = [of[name] for of in found.values()]
        hits = [one.within_depth for one in of_all if one.within_depth == one.within_depth]
        mean = _mean([one.spearman for one in of_all])
        share = f"{int(sum(hits))} of {len(hits)}  " if hits else ""
        summed.append(f"{share}{mean:.2f}")
    head = ["stack", "planes", "in focus", *map(measure_name, names)]
    return head, [*rows, ["hits, mean", "", "", *summed]]


def _sharpness(model: str) -> str:
    return f"{model}'s sharpness"


def _followed_text(one: Followed) -> str:
    mark = {1.0: " ✓", 0.0: " ✗"}.get(one.within_depth, "")
    best = "–" if np.isnan(one.best_z) else f"{one.best_z:g}"
    rank = "–" if np.isnan(one.spearman) else f"{one.spearman:.2f}"
    return f"{best}{mark}  {rank}"


def write_tables(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write all figures as CSV tables, each whole or not at all.

    A table that has nothing to say has its header only, so that none is left over from an earlier
    evaluation.

    Parameters
    ----------
    evaluation : Evaluation
    folder : Path
        Made when it is missing.

    Returns
    -------
    list of Path

    Raises
    ------
    FileError
        If something else has a table's name, or nothing can be written.
    """
    check_folder(folder)
    written = []
    for name, (columns, rows) in _TABLES.items():
        table = Table(folder / name, columns)
        try:
            table.append(*(dict(zip(columns, row, strict=True)) for row in rows(evaluation)))
            table.finish()
        finally:
            table.close()
        written.append(table.path)
    return written


def check_folder(folder: Path) -> None:
    """Make the folder for the tables, or refuse it, before a long evaluation.

    Raises
    ------
    FileError
        As `write_tables`.
    """
    with refusals(folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
    for name, (columns, _) in _TABLES.items():
        check_replaceable(folder / name, columns)


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _table(name: str, *columns: str) -> Callable[[_RowsOf], _RowsOf]:
    """Say which table a function gives the rows of."""

    def listed(rows: _RowsOf) -> _RowsOf:
        _TABLES[name] = columns, rows
        return rows

    return listed


def _all_predictions(evaluation: Evaluation) -> Iterator[tuple[str, str, Predictions]]:
    for model in evaluation.models:
        for per, predictions in (
            ("image", model.images),
            ("patch", model.patches),
            ("any_patch", model.all_patches),
        ):
            if predictions is not None and len(predictions):
                yield model.name, per, predictions


@_table("summary.csv", *SUMMARY_COLUMNS)
def _summary_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for row in summary_rows(evaluation):
        yield tuple(row.get(name) for name in SUMMARY_COLUMNS)


@_table("data.csv", "group", "images", "fields")
def _data_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for row in evaluation.data:
        yield row["group"], row["images"], row["fields"]


@_table("groups.csv", "model", "group", "per", "n", *_FIGURES)
def _group_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for model, per, predictions in _all_predictions(evaluation):
        for group in ("", *sorted(set(predictions.group))):
            part = predictions.select(predictions.group == group) if group else predictions
            figures = metrics.summary(part)
            yield model, group or "(all)", per, *(figures[name] for name in ("n", *_FIGURES))


@_table(
    "images.csv",
    *("model", "name", "group", "true", "level", "expected_level", "certainty", "status"),
    *(f"p{k}" for k in range(N_LEVELS)),
)
def _image_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for model in evaluation.models:
        images = model.images
        status = model.status if len(model.status) else [""] * len(images)
        for *values, probabilities in zip(
            *(images.name, images.group, images.true, images.level, images.expected_level),
            *(images.certainty, status, images.probabilities),
        ):
            yield model.name, *values, *probabilities


@_table("confusion.csv", "model", "per", "true", "level", "count", "share")
def _confusion_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for model, per, predictions in _all_predictions(evaluation):
        counts = metrics.confusion_of(predictions)
        shares = metrics.row_normalised(counts)
        for (true, level), count in np.ndenumerate(counts):
            yield model, per, true, level, count, shares[true, level]


@_table("distance.csv", "model", "per", "distance", "share_within")
def _distance_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for model, per, predictions in _all_predictions(evaluation):
        for distance, share in enumerate(metrics.within_of(predictions)):
            yield model, per, distance, share


@_table("calibration.csv", "model", "per", "low", "high", "confidence", "accuracy", "count")
def _calibration_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for model, per, predictions in _all_predictions(evaluation):
        found = metrics.calibration(predictions)
        for values in zip(
            found.edges[:-1], found.edges[1:], found.confidence, found.accuracy, found.count
        ):
            yield model, per, *values


@_table("risk_coverage.csv", "model", "per", "tolerance", "coverage", "risk", "certainty")
def _risk_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for model, per, predictions in _all_predictions(evaluation):
        for tolerance in (0, 1):
            curve = metrics.risk_coverage(predictions, tolerance)
            n = len(curve.coverage)
            chosen = np.unique(np.linspace(0, n - 1, min(n, CURVE_POINTS)).round().astype(int))
            for i in chosen:
                values = curve.coverage[i], curve.risk[i], curve.certainty[i]
                yield model, per, tolerance, *values


@_table(
    *("empty_patches.csv", "model", "n", "sure_certainty", "below_sure"),
    *("median", "q99", "q999", "highest"),
)
def _empty_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for model in evaluation.models:
        certainty, sure = model.empty_certainty, model.description.sure_certainty
        if len(certainty):
            quantiles = np.quantile(certainty, (0.5, 0.99, 0.999, 1))
            yield model.name, len(certainty), sure, model.empty_below_sure, *quantiles


@_table("gain_offset.csv", "model", *_GAIN_OFFSET_COLUMNS)
def _gain_offset_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for model in evaluation.models:
        for row in model.gain_offset or ():
            yield model.name, *(row[name] for name in _GAIN_OFFSET_COLUMNS)


@_table("binary.csv", *(column.name for column in fields(BinaryResult)))
def _binary_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    yield from map(astuple, evaluation.binary)


@_table("z_stacks.csv", "stack", "model", "planes", *_STACK_COLUMNS)
def _stack_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for stack in evaluation.stacks:
        figures = (getattr(stack, name) for name in _STACK_COLUMNS)
        yield stack.stack, stack.model, len(stack.z), *figures


@_table("z_stack_measures.csv", "stack", "measure", "kind", "planes", *_FOLLOWED_COLUMNS)
def _stack_measure_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for name in dict.fromkeys(stack.stack for stack in evaluation.stacks):
        for model in (one for one in evaluation.stacks if one.stack == name):
            figures = (getattr(model, column) for column in _FOLLOWED_COLUMNS)
            yield name, model.model, "model", len(model.z), *figures
        for measure in (one for one in evaluation.stack_measures if one.stack == name):
            figures = (getattr(measure, column) for column in _FOLLOWED_COLUMNS)
            yield name, measure.measure, "classical", measure.planes, *figures


@_table("z_planes.csv", "stack", "model", *_PLANE_COLUMNS)
def _plane_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for stack in evaluation.stacks:
        for values in zip(*(getattr(stack, name) for name in _PLANE_COLUMNS)):
            yield stack.stack, stack.model, *values


@_table(LEFT_OUT, "file", "what", "reason")
def _left_out_rows(evaluation: Evaluation) -> Iterator[_Fields]:
    for what, files in (("failed", evaluation.failed), ("left out", evaluation.left_out)):
        for path, reason in files.items():
            yield path, what, reason
