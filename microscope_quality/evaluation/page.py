"""The page of an evaluation: one HTML file with all figures in it, and the figures beside it."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microscope_quality import metrics
from microscope_quality.errors import FileError
from microscope_quality.evaluation import figures, montage
from microscope_quality.evaluation.figures import measure_name, share_text
from microscope_quality.evaluation.run import SLOPE, Evaluation, ModelEvaluation, summary_rows
from microscope_quality.files.whole import whole
from microscope_quality.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from microscope_quality.evaluation.stacks import StackFigures
    from microscope_quality.model import FocusModel

PAGE = "evaluation.html"
FIGURES = "figures"
_TEMPLATE = "evaluation.html.jinja"
# What a page calls its figures: others in the folder are not its own.
_NAMES = re.compile(
    r"(distance|risk_coverage)_(images|patches)|confusion_(images|patches)_\d+_(shares|counts)"
    r"|reliability_(images|patches)_\d+|(certainty|empties|stack)_\d+|binary"
    r"|gain_offset_(within_one|exact)|groups_(within_one_level|exact)|montage|mistakes|judged_by"
)
# Stacks with a figure of their own; all are in the table.
_STACKS_DRAWN = 8
_LEFT_OUT_SHOWN = 40
# CSS pixels an inch: matplotlib's points come out as they were set.
_PX_PER_INCH = 96


@dataclass(frozen=True)
class _Picture:
    """A figure as the page shows it."""

    source: str
    alt: str
    caption: str
    width: int
    height: int
    file: str
    wide: bool


@dataclass(frozen=True)
class _Tabular:
    """A table; the first cell of a row names it."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _Details:
    """What is unfolded on demand."""

    summary: str
    pictures: tuple[_Picture, ...] = ()
    tables: tuple[_Tabular, ...] = ()


@dataclass(frozen=True)
class _Section:
    """A part of the page."""

    anchor: str
    short: str
    title: str
    intro: str
    findings: tuple[str, ...] = ()
    pictures: tuple[_Picture, ...] = ()
    tables: tuple[_Tabular, ...] = ()
    details: tuple[_Details, ...] = ()


@dataclass(frozen=True)
class _Tile:
    """A number in large letters."""

    value: str
    label: str
    beside: str


@dataclass(frozen=True)
class _Row:
    """A row of the verdict: a figure, what it means, and its value for every measure."""

    name: str
    meaning: str
    cells: tuple[_Cell, ...]


@dataclass(frozen=True)
class _Cell:
    """A value, the interval about it, and whether it is the best of its row."""

    measure: str
    value: str
    interval: str
    best: bool


# Key of `run.summary_rows`, name, what it means, how it is written, and whether the larger value is
# the better one (None: neither).
_VERDICT: tuple[tuple[str, str, str, Callable[[float], str], bool | None], ...] = (
    (
        "image_within_one",
        "Images within one level",
        "Of all images, how many are given the right level or a neighbour of it.",
        share_text,
        True,
    ),
    (
        "image_exact",
        "Images exact",
        "How many are given exactly the level that was simulated.",
        share_text,
        True,
    ),
    (
        "patch_within_one",
        "Patches within one level",
        "The same for single patches, wherever the sharp image shows something.",
        share_text,
        True,
    ),
    (
        "patch_within_one_certain_half",
        "…in the more certain half",
        "The same when only the half of the patches is believed that the model is surer of.",
        share_text,
        True,
    ),
    ("patch_exact", "Patches exact", "Patches given exactly the right level.", share_text, True),
    (
        "patch_mean_rps",
        "Ranked probability score, patches",
        "How far the probabilities lie from the right level: 0 is perfect, 10 the worst.",
        lambda value: f"{value:.3f}",
        False,
    ),
    (
        "patch_calibration_error",
        "Calibration error, patches",
        "How far “I am 80 % sure” is from being right 80 % of the time: 0 is perfect.",
        lambda value: f"{value:.3f}",
        False,
    ),
    (
        "image_calibration_error",
        "Calibration error, images",
        "The same for whole images.",
        lambda value: f"{value:.3f}",
        False,
    ),
    (
        "empty_below_sure",
        "Empty patches known as such",
        "Patches with nothing in them, of any brightness, that the model is not sure about.",
        lambda value: share_text(value) if value < 0.99 else f"{100 * value:.2f}%",
        True,
    ),
    (
        "binary_image_f",
        "In focus or not, images: F-score",
        "Telling levels 0–2 from 4–10 by one threshold, chosen on a tenth of the images: "
        "1 is perfect. Below it, where 95 % of 50 repetitions fall.",
        lambda value: f"{value:.3f}",
        True,
    ),
    (
        "binary_patch_f",
        "In focus or not, patches: F-score",
        "The same for single patches.",
        lambda value: f"{value:.3f}",
        True,
    ),
    (
        "gain_offset_worst_within_one",
        "Worst gain and offset: within one level",
        "Images within one level at the brightness and contrast that the model takes worst.",
        share_text,
        True,
    ),
    (
        "stack_spearman",
        "z-stacks: rank correlation",
        "Whether planes further from focus are given higher levels: 1 is always.",
        lambda value: f"{value:.3f}",
        True,
    ),
    (
        "stack_best_plane_error",
        "z-stacks: error of the best plane",
        "How many steps the plane found in focus lies from the one that is.",
        lambda value: f"{value:.2f}",
        False,
    ),
    (
        "stack_slope",
        "z-stacks: slope of the blur",
        "Measured blur over the blur by geometry: 1 is right.",
        lambda value: f"{value:.2f}",
        None,
    ),
    (
        "stack_within_one",
        "z-stacks: planes within one level",
        "Planes whose level is within one of that by geometry, rounded to a whole level.",
        share_text,
        True,
    ),
)


def check_libraries() -> None:
    """Import the libraries that a page is made with: one that is missing is told before the work.

    Raises
    ------
    ImportError
        If one is missing.
    """
    import jinja2  # noqa: F401
    import matplotlib.figure  # noqa: F401


def write_page(
    evaluation: Evaluation,
    folder: Path,
    *,
    model: FocusModel,
    unseen: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write ``evaluation.html``, and its figures as PNG into the folder ``figures`` beside it.

    The page holds all that it shows: it opens from a disk, without a network, and runs no script.

    Parameters
    ----------
    evaluation : Evaluation
    folder : Path
        Made when it is missing; an earlier page in it is replaced, and its figures removed.
    model : FocusModel
        The first one evaluated, for the pictures of what a patch is judged by.
    unseen : sequence of dicts
        Rows of a table on kinds of images that were left out of training, with equal keys.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    FileError
        When something cannot be written.
    """
    drawn = _Drawn()
    html = _render(evaluation, drawn, model, unseen)
    try:
        (folder / FIGURES).mkdir(parents=True, exist_ok=True)
        for name, content in drawn.files.items():
            with whole(folder / FIGURES / f"{name}.png") as beside:
                beside.write_bytes(content)
        page = folder / PAGE
        # After its figures, and before those of an earlier page go: no page lacks one.
        with whole(page) as beside:
            beside.write_bytes(html.encode("utf-8"))
        for path in (folder / FIGURES).glob("*.png"):
            if path.stem not in drawn.files and _NAMES.fullmatch(path.stem):
                path.unlink()
    except FileError:
        raise
    except OSError as error:
        where = error.filename or folder
        raise FileError(f"{where}: cannot be written: {error.strerror or error}") from error
    return page


class _Drawn:
    """Draws figures: as data for the page, and as PNG files."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def add(
        self,
        name: str,
        figure: Figure,
        alt: str,
        caption: str = "",
        *,
        photographs: bool = False,
        wide: bool = False,
    ) -> _Picture:
        """Draw a figure, for the page as SVG, or as WebP when it holds photographs.

        Its name has to be one of `_NAMES`.
        """
        self.files[name] = figures.png(figure)
        if photographs:
            kind, content = "webp", figures.webp(figure)
        else:
            kind, content = "svg+xml", figures.svg(figure).encode("utf-8")
        width, height = (round(inches * _PX_PER_INCH) for inches in figure.get_size_inches())
        data = base64.b64encode(content).decode("ascii")
        return _Picture(
            source=f"data:image/{kind};base64,{data}",
            alt=alt,
            caption=caption,
            width=width,
            height=height,
            file=f"{FIGURES}/{name}.png",
            wide=wide,
        )


def _render(
    evaluation: Evaluation,
    drawn: _Drawn,
    model: FocusModel,
    unseen: Sequence[Mapping[str, Any]],
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    rows = summary_rows(evaluation)
    sections = [
        _levels(evaluation, drawn),
        _certainty(evaluation, drawn),
        _binary(evaluation, drawn),
        _gain_offset(evaluation, drawn),
        _kinds(evaluation, drawn, unseen),
        _stacks(evaluation, drawn),
        _examples(evaluation, drawn, model),
        _data(evaluation),
    ]
    environment = Environment(
        loader=PackageLoader("microscope_quality.evaluation", package_path="."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE).render(
        name=evaluation.models[0].name if evaluation.models else "no model",
        subject=_subject(evaluation),
        tiles=_tiles(rows),
        columns=[
            (measure_name(str(row["measure"])), _role(number, row))
            for number, row in enumerate(rows)
        ],
        verdict=_verdict(rows),
        findings=_overall(evaluation),
        sections=[section for section in sections if section is not None],
        notes=evaluation.notes,
        command=evaluation.command,
        version=__version__,
    )


def _subject(evaluation: Evaluation) -> str:
    """Say in one line what was judged."""
    parts = []
    if evaluation.models and len(evaluation.models[0].images):
        sharp = sum(int(row["images"]) for row in evaluation.data)
        n = len(evaluation.models[0].images)
        parts.append(
            f"{n:,} images at known defocus levels, made from {_many(sharp, 'sharp image')} of "
            f"{_many(len(evaluation.data), 'kind')}"
        )
        parts.append(f"{len(evaluation.models[0].patches):,} patches with content")
    stacks = len({stack.stack for stack in evaluation.stacks})
    if stacks:
        parts.append(_many(stacks, "z-stack"))
    return "; ".join(parts)


def _role(number: int, row: Mapping[str, Any]) -> str:
    if row["kind"] == "model":
        return "model" if number else "the model asked about"
    slope = row["measure"] == SLOPE
    return "classical measure" if slope else "best other classical measure"


def _tiles(rows: Sequence[Mapping[str, Any]]) -> list[_Tile]:
    """Choose the four numbers that say most."""
    wanted = (
        ("image_within_one", "of the images within one level"),
        ("image_exact", "of the images exact"),
        ("binary_image_f", "F-score, in focus or not"),
        ("empty_below_sure", "of empty patches known as such"),
        ("patch_calibration_error", "calibration error, patches"),
        ("stack_spearman", "rank correlation in z-stacks"),
        ("stack_best_plane_error", "steps off, best plane of z-stacks"),
    )
    spelled = {key: form for key, _, _, form, _ in _VERDICT}
    tiles: list[_Tile] = []
    for key, label in wanted:
        values = [
            (str(row["measure"]), float(row[key]))
            for row in rows
            if key in row and math.isfinite(row[key])
        ]
        if not values or values[0][0] != rows[0]["measure"] or len(tiles) == 4:
            continue
        others = [f"{measure_name(name)} {spelled[key](value)}" for name, value in values[1:]]
        tiles.append(_Tile(spelled[key](values[0][1]), label, ", ".join(others)))
    return tiles


def _verdict(rows: Sequence[Mapping[str, Any]]) -> list[_Row]:
    verdict = []
    for key, name, meaning, form, larger in _VERDICT:
        values = [float(row.get(key, math.nan)) for row in rows]
        known = [value for value in values if math.isfinite(value)]
        if not known:
            continue
        best = math.nan
        if len(known) > 1 and larger is not None:
            best = max(known) if larger else min(known)
        cells = []
        for row, value in zip(rows, values):
            low = row.get(key.removesuffix("_f") + "_low") if key.endswith("_f") else None
            high = row.get(key.removesuffix("_f") + "_high")
            finite = math.isfinite(value)
            cells.append(
                _Cell(
                    measure=measure_name(str(row["measure"])),
                    value=form(value) if finite else "",
                    interval=f"{low:.3f} to {high:.3f}" if finite and low is not None else "",
                    best=value == best,
                )
            )
        verdict.append(_Row(name, meaning, tuple(cells)))
    return verdict


def _overall(evaluation: Evaluation) -> list[str]:
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


def _levels(evaluation: Evaluation, drawn: _Drawn) -> _Section | None:
    models = [model for model in evaluation.models if len(model.images) or len(model.patches)]
    if not models:
        return None
    pictures, details = _confusions(models[0], drawn, 1)
    parts = [_Details("The same matrices as counts", details)]
    for number, model in enumerate(models[1:], 2):
        shares, counts = _confusions(model, drawn, number)
        parts.append(_Details(f"Confusion matrices of {model.name}", (*shares, *counts)))
    distances, rows = [], []
    for per, title in (("images", "Whole images"), ("patches", "Patches")):
        curves = [(model.name, metrics.within_of(getattr(model, per))) for model in models]
        if not any(len(getattr(model, per)) for model in models):
            continue
        told = "; ".join(
            f"{name}: exact {share_text(float(w[0]))}, within one {share_text(float(w[1]))}"
            for name, w in curves
        )
        distances.append(
            drawn.add(
                f"distance_{per}",
                figures.distance_figure(curves, f"{title}: accuracy by class distance"),
                f"Share of {per} right, by how far a level may be off. {told}.",
                "From left to right, what counts as right: the exact level, one off, and so on.",
            )
        )
        rows += [
            (f"{name}, {per}", *(share_text(float(value)) for value in shares[:6]))
            for name, shares in curves
        ]
    head = ("", "exact", *(f"within {distance}" for distance in range(1, len(rows[0]) - 1)))
    return _Section(
        "levels",
        "Levels",
        "Does it say the right level?",
        "Each row is a level that was simulated, each column a level that was measured: a perfect "
        "model fills the diagonal only.",
        tuple(_most_confused(models[0])),
        (*pictures, *distances),
        (),
        (
            *parts,
            _Details(
                "Accuracy by class distance, as a table", (), (_Tabular("", head, tuple(rows)),)
            ),
        ),
    )


def _confusions(
    model: ModelEvaluation, drawn: _Drawn, number: int
) -> tuple[tuple[_Picture, ...], tuple[_Picture, ...]]:
    """Draw a model's confusion matrices: shares, and counts."""
    drawings: tuple[list[_Picture], list[_Picture]] = ([], [])
    for per in ("images", "patches"):
        predictions = getattr(model, per)
        if not len(predictions):
            continue
        counts = metrics.confusion_of(predictions)
        shares = metrics.within_of(predictions)
        for normalised, kept in zip((True, False), drawings):
            what = "row percentages" if normalised else "counts"
            kept.append(
                drawn.add(
                    f"confusion_{per}_{number}_{'shares' if normalised else 'counts'}",
                    figures.confusion_figure(
                        counts,
                        f"{model.name}, {per}",
                        normalised=normalised,
                        undefined=predictions.undefined,
                    ),
                    f"Confusion matrix of {model.name}, {per}, {what}: "
                    f"{share_text(float(shares[0]))} exact, {share_text(float(shares[1]))} within "
                    f"one level, of {len(predictions):,}.",
                )
            )
    return tuple(drawings[0]), tuple(drawings[1])


def _most_confused(model: ModelEvaluation) -> list[str]:
    sentences = []
    for per in ("images", "patches"):
        predictions = getattr(model, per)
        if not len(predictions):
            continue
        shares = np.nan_to_num(metrics.row_normalised(metrics.confusion_of(predictions)))
        np.fill_diagonal(shares, 0)
        true, level = np.unravel_index(int(np.argmax(shares)), shares.shape)
        if shares[true, level] > 0:
            sentences.append(
                f"Most often mistaken, {per}: level {true} is taken for level {level}, "
                f"in {share_text(float(shares[true, level]))} of its {per}."
            )
    return sentences


def _certainty(evaluation: Evaluation, drawn: _Drawn) -> _Section | None:
    models = [model for model in evaluation.models if len(model.images) or len(model.patches)]
    if not models:
        return None
    pictures: list[_Picture] = []
    details: list[_Details] = []
    findings: list[str] = []
    for number, model in enumerate(models, 1):
        own = []
        for per in ("patches", "images"):
            predictions = getattr(model, per)
            if len(predictions):
                found = metrics.calibration(predictions)
                own.append(
                    drawn.add(
                        f"reliability_{per}_{number}",
                        figures.reliability_figure(found, f"{model.name}, {per}: reliability"),
                        f"Reliability diagram of {model.name}, {per}: expected calibration error "
                        f"{found.error:.3f}. {_leaning(found)}",
                        "Bars on the dashed line mean that stated probabilities can be taken at "
                        "their word; over it the model is too modest, under it too sure.",
                    )
                )
                if number == 1:
                    findings.append(f"{per.capitalize()}: {_leaning(found)}")
        if len(model.patches):
            error = model.patches.level - model.patches.true
            own.append(
                drawn.add(
                    f"certainty_{number}",
                    figures.certainty_figure(
                        error, model.patches.certainty, f"{model.name}, patches: error by certainty"
                    ),
                    f"How far the patches' levels are off for {model.name}, in ten bands of "
                    "certainty.",
                    "What a certainty is worth: each bar holds the patches of one band.",
                )
            )
        if len(model.empty_certainty) and len(model.patches):
            own.append(
                drawn.add(
                    f"empties_{number}",
                    figures.empties_figure(
                        model.patches.certainty,
                        model.empty_certainty,
                        model.description.sure_certainty,
                        f"{model.name}: patches with and without content",
                    ),
                    f"Certainties of patches with content and of empty ones for {model.name}; "
                    f"{100 * model.empty_below_sure:.2f} % of the empty ones are below the sure "
                    f"certainty of {model.description.sure_certainty:.2f}.",
                    "An empty patch should never count: it has to stay left of the line.",
                )
            )
        if number == 1:
            pictures += own
        else:
            details.append(_Details(f"Certainty of {model.name}", tuple(own)))
    for per, title in (("patches", "Patches"), ("images", "Whole images")):
        if not any(len(getattr(model, per)) for model in models):
            continue
        curves = [(model.name, metrics.risk_coverage(getattr(model, per))) for model in models]
        half = [
            f"{model.name} {share_text(metrics.within_of_certain_half(getattr(model, per)))}"
            for model in models
        ]
        pictures.append(
            drawn.add(
                f"risk_coverage_{per}",
                figures.risk_coverage_figure(curves, f"{title}: risk and coverage"),
                f"Share of {per} off by more than one level against the share believed. Within one "
                f"in the more certain half: {', '.join(half)}.",
                "A certainty is useful when the curve stays low for long: then doubtful answers "
                "can be put aside.",
            )
        )
    return _Section(
        "certainty",
        "Certainty",
        "Does it know when it is right?",
        "A probability is honest when, of all answers given with 80 %, 80 % are right. A "
        "certainty is useful when it tells answers that can be believed from those that cannot.",
        tuple(findings),
        tuple(pictures),
        (),
        tuple(details),
    )


def _leaning(found: metrics.Calibration) -> str:
    """Say whether confidences are too high or too low on the whole."""
    if not found.count.sum():
        return "There is nothing to compare."
    used = found.count > 0
    difference = float(
        np.average(found.confidence[used] - found.accuracy[used], weights=found.count[used])
    )
    if abs(difference) < 0.01:
        return "On average the model is as sure as it is right, to within 1 %."
    lean = "surer than it is right" if difference > 0 else "less sure than it is right"
    return f"On average the model is {abs(100 * difference):.1f} % {lean}."


def _binary(evaluation: Evaluation, drawn: _Drawn) -> _Section | None:
    if not evaluation.binary:
        return None
    names = [model.name for model in evaluation.models]
    ranked = sorted(evaluation.binary, key=lambda r: (r.per, -r.f if math.isfinite(r.f) else 2))
    best = {per: next(r for r in ranked if r.per == per) for per in {r.per for r in ranked}}
    told = "; ".join(
        f"per {per} best: {measure_name(r.measure)} {r.f:.3f} ({r.low:.3f} to {r.high:.3f})"
        for per, r in sorted(best.items())
    )
    rows = tuple(
        (
            measure_name(r.measure),
            r.per,
            f"{r.f:.3f}",
            f"{r.low:.3f} to {r.high:.3f}",
            f"{'below' if r.below else 'above'} {r.threshold:.4g}",
            f"{r.n:,}",
            f"{r.undefined:,}" if r.undefined else "",
        )
        for r in ranked
    )
    head = ("measure", "per", "F-score", "95 % of repetitions", "in focus", "drawn", "undefined")
    return _Section(
        "binary",
        "In focus or not",
        "In focus or not?",
        "The protocol of Bray et al. (2012): levels 0 to 2 are in focus, 4 to 10 are not, as many "
        "of each. The threshold of every measure is chosen on a tenth and judged on the rest, 50 "
        "times over. A model is ranked by its expected level, without being told the task.",
        (),
        (
            drawn.add(
                "binary",
                figures.binary_figure(evaluation.binary, names),
                f"F-scores of models and classical measures with their intervals; {told}.",
                "Dots are means, lines the middle 95 % of the repetitions. Filled marks: models.",
                wide=True,
            ),
        ),
        (),
        (_Details("All measures as a table", (), (_Tabular("", head, rows),)),),
    )


def _gain_offset(evaluation: Evaluation, drawn: _Drawn) -> _Section | None:
    models = [(m.name, m.gain_offset) for m in evaluation.models if m.gain_offset]
    if not models:
        return None
    findings = []
    for name, rows in models:
        worst = min(rows, key=lambda row: row["within_one"])
        if worst["within_one"] == 1:
            findings.append(f"{name}: 100% within one level at every gain and offset.")
            continue
        findings.append(
            f"{name} is worst at gain ×{worst['gain']:g} and offset +{worst['offset']:,.0f}: "
            f"{share_text(float(worst['within_one']))} within one level"
            + (
                f", with {share_text(float(worst['clipped']))} of the pixels cut off at the end of "
                "the 16-bit range."
                if worst.get("clipped", 0) > 0.001
                else "."
            )
        )
    pictures = [
        drawn.add(
            f"gain_offset_{share}",
            figures.gain_offset_figure(models, title, share=share),
            f"Heat maps of the share {title.lower()} by gain and offset. {' '.join(findings)}",
            "Every cell: the same images, their grey values times the gain plus the offset.",
            wide=len(models) > 1,
        )
        for share, title in (("within_one", "Within one level"), ("exact", "Exact"))
    ]
    return _Section(
        "gain",
        "Gain and offset",
        "Does brightness or contrast matter?",
        "They should not: focus is a matter of shape. As in Fig. 4 of Yang et al. (2018), images "
        "are multiplied by a gain and raised by an offset, as another camera would.",
        tuple(findings),
        tuple(pictures[:1] if len(models) > 1 else pictures),
        (),
        (_Details("The same for exact levels", tuple(pictures[1:])),) if len(models) > 1 else (),
    )


def _kinds(
    evaluation: Evaluation, drawn: _Drawn, unseen: Sequence[Mapping[str, Any]]
) -> _Section | None:
    models = [model for model in evaluation.models if len(model.images)]
    groups = sorted(set(models[0].images.group)) if models else []
    if len(groups) < 2 and not unseen:
        return None
    pictures, tables, details, findings = [], [], [], []
    if len(groups) > 1:
        shares = [
            (
                model.name,
                np.array(
                    [
                        metrics.within_of(model.images.select(model.images.group == group))[:2]
                        for group in groups
                    ]
                ),
            )
            for model in models
        ]
        within = shares[0][1][:, 1]
        worst = int(np.nanargmin(within))
        findings.append(
            "Every kind is within one level on all its images."
            if within[worst] == 1
            else f"Hardest kind for {models[0].name}: {groups[worst]}, "
            f"{share_text(float(within[worst]))} within one level."
        )
        for distance, title in ((1, "within one level"), (0, "exact")):
            pictures.append(
                drawn.add(
                    f"groups_{title.replace(' ', '_')}",
                    figures.groups_figure(
                        groups,
                        [(name, values[:, distance]) for name, values in shares],
                        f"Images {title}, by kind",
                    ),
                    f"Share of images {title} for each of {len(groups)} kinds, on the whole from "
                    f"{share_text(float(shares[0][1][:, distance].min()))} to "
                    f"{share_text(float(shares[0][1][:, distance].max()))} for {models[0].name}.",
                    "The worst kind first. Numbers are the first model's.",
                )
            )
        rows = []
        for group in groups:
            parts = [model.images.select(model.images.group == group) for model in models]
            row = [str(group), f"{len(parts[0]):,}"]
            for part in parts:
                by_distance = metrics.within_of(part)
                row += [share_text(float(by_distance[1])), share_text(float(by_distance[0]))]
            rows.append(tuple(row))
        head = ["kind", "images"]
        for model in models:
            head += [f"{model.name}: within one", f"{model.name}: exact"]
        details.append(
            _Details("All kinds as a table", (), (_Tabular("", tuple(head), tuple(rows)),))
        )
    if unseen:
        keys = list(unseen[0])
        tables.append(
            _Tabular(
                "Unseen kinds: each was left out of a training of its own, then evaluated",
                tuple(_UNSEEN.get(key, key.replace("_", " ")) for key in keys),
                tuple(tuple(_cell_text(key, row.get(key)) for key in keys) for row in unseen),
            )
        )
    return _Section(
        "kinds",
        "Kinds",
        "Does it depend on what is shown?",
        "A kind is a stain, a cell line or an instrument: the folders of the data, or a column of "
        "its manifest.",
        tuple(findings),
        tuple(pictures),
        tuple(tables),
        tuple(details),
    )


def _stacks(evaluation: Evaluation, drawn: _Drawn) -> _Section | None:
    if not evaluation.stacks:
        return None
    names: dict[str, list[StackFigures]] = {}
    for stack in evaluation.stacks:
        names.setdefault(stack.stack, []).append(stack)
    pictures = [
        drawn.add(
            f"stack_{number}",
            figures.stack_figure(stacks, name),
            f"Expected level against z for the stack {name}: "
            + "; ".join(f"{s.model} rank correlation {s.spearman:.2f}" for s in stacks)
            + ".",
            "A good stack is a V: larger marks are surer.",
        )
        for number, (name, stacks) in enumerate(list(names.items())[:_STACKS_DRAWN], 1)
    ]
    rows = tuple(
        (
            stack.stack,
            stack.model,
            f"{len(stack.z)}",
            _number(stack.spearman),
            f"{stack.best_z:g}" if math.isfinite(stack.best_z) else "–",
            f"{stack.best_plane_error:+g}" if math.isfinite(stack.best_plane_error) else "–",
            _number(stack.slope, 2),
            share_text(stack.within_one),
        )
        for stacks in names.values()
        for stack in stacks
    )
    head = (
        "stack",
        "model",
        "planes",
        "rank correlation",
        "best plane",
        "its error, steps",
        "slope",
        "within one of geometry",
    )
    more = len(names) - _STACKS_DRAWN
    findings = (f"{more} more stacks are in the table only.",) if more > 0 else ()
    return _Section(
        "stacks",
        "z-stacks",
        "Does it follow the focus through a z-stack?",
        "Real planes, not simulated ones: the level should fall towards focus and rise behind it.",
        findings,
        tuple(pictures),
        (_Tabular("z-stacks", head, rows),),
    )


def _examples(evaluation: Evaluation, drawn: _Drawn, model: FocusModel) -> _Section | None:
    examples = evaluation.example_patches
    if not len(examples.true):
        return None
    first = evaluation.models[0]
    levels = first.description.levels
    pictures = [
        drawn.add(
            "montage",
            figures.montage_figure(examples, levels),
            f"Patches by measured level, 0 to {levels - 1} from left to right, and by certainty, "
            "the most certain at the top. Noise and nearly empty patches are in the lowest rows.",
            "Which patch stands for its place is left to chance. The contrast of each is stretched "
            "by itself. Read down a column to see what a level looks like, and along the lowest "
            "rows to see what cannot be told.",
            photographs=True,
            wide=True,
        )
    ]
    wrong = int(np.count_nonzero(np.abs(examples.level - examples.true) > 1))
    findings = [
        f"Of {len(examples.true):,} patches drawn at random, empty ones included, {wrong:,} are "
        "off by more than one level."
    ]
    if wrong:
        pictures.append(
            drawn.add(
                "mistakes",
                figures.mistakes_figure(examples),
                f"The most certain of the {wrong} patches that are wrong by more than one level, "
                "with the level said and the one that is right.",
                "Its worst mistakes: wrong by more than one level, the most certain first.",
                photographs=True,
                wide=True,
            )
        )
    pictures += _judged(evaluation, drawn, model)
    return _Section(
        "examples",
        "Examples",
        "What does a level look like, and what is it judged by?",
        f"Patches of the images that were judged, with what {first.name} says of them.",
        tuple(findings),
        tuple(pictures),
    )


def _judged(evaluation: Evaluation, drawn: _Drawn, model: FocusModel) -> list[_Picture]:
    """Draw what patches of each level are judged by."""
    examples, levels = evaluation.example_patches, model.description.levels
    chosen = montage.typical(examples, levels, 2)
    if (chosen < 0).all():
        return []
    side = examples.patches.shape[1]
    patches = np.full((*chosen.shape, side, side), np.nan)
    maps = patches.copy()
    for place in zip(*np.nonzero(chosen >= 0)):
        patch = examples.patches[chosen[place]]
        patches[place] = patch
        # They were cut from 16-bit images.
        maps[place] = montage.judged_by(model, patch, type_max=65535)
    return [
        drawn.add(
            "judged_by",
            figures.judged_figure(patches, maps),
            "Patches of each level and, under each, a map of where hiding a part changes the "
            "model's answer.",
            "What a patch is judged by. A soft-edged spot some 12 pixels wide is replaced with its "
            "own mean, everywhere in turn, and the model is asked again: dark is where its answer "
            "moves most. Typical patches: judged right, and of the more certain half. Read it with "
            "care. It shows where something is needed, not what is looked for there; parts that "
            "tell the same stand in for each other, so that among many sharp cells none seems to "
            "matter.",
            photographs=True,
            wide=True,
        )
    ]


def _data(evaluation: Evaluation) -> _Section:
    tables, details = [], []
    if evaluation.data:
        total = sum(int(row["images"]) for row in evaluation.data)
        tables.append(
            _Tabular(
                "Sharp images, each made out of focus at every level",
                ("kind", "images", "fields"),
                (
                    *(
                        (str(row["group"]), f"{row['images']:,}", f"{row['fields']:,}")
                        for row in evaluation.data
                    ),
                    ("all", f"{total:,}", f"{sum(int(r['fields']) for r in evaluation.data):,}"),
                ),
            )
        )
    for what, files in (("Left out", evaluation.left_out), ("Failed", evaluation.failed)):
        if files:
            shown = list(files.items())[:_LEFT_OUT_SHOWN]
            more = len(files) - len(shown)
            rest = ((f"{more:,} more", "see left_out.csv"),) if more > 0 else ()
            details.append(
                _Details(
                    f"{what}: {_many(len(files), 'file')}",
                    (),
                    (_Tabular("", ("file", "why"), (*shown, *rest)),),
                )
            )
    models = _Tabular(
        "",
        ("model", "architecture", "normalisation", "sure from", "SHA-256 of the weights"),
        tuple(
            (
                model.name,
                model.description.architecture,
                model.description.normalisation,
                f"{model.description.sure_certainty:.3f}",
                model.description.sha256[:16],
            )
            for model in evaluation.models
        ),
    )
    details.append(_Details("Models", (), (models,)))
    if evaluation.settings:
        rows = tuple(_setting_rows(evaluation.settings))
        details.append(_Details("Settings", (), (_Tabular("", ("setting", "value"), rows),)))
    return _Section(
        "data",
        "Data",
        "On what, and how",
        "Every number of this page, and those behind its figures, is in a CSV table in the same "
        "folder; the figures lie in its folder figures.",
        (),
        (),
        tuple(tables),
        tuple(details),
    )


_UNSEEN = {
    "group": "kind left out",
    "n": "images",
    "within_one": "within one",
    "binary_f": "F-score",
    "best_measure": "best classical measure",
    "best_f": "its F-score",
}


def _cell_text(key: str, value: Any) -> str:
    """Write a value of a table of which only the keys are known: shares by their names."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return share_text(value) if "within" in key or "exact" in key else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else measure_name(str(value))


def _number(value: float, decimals: int = 3) -> str:
    return f"{value:.{decimals}f}" if math.isfinite(value) else "–"


def _setting_rows(settings: Mapping[str, Any], of: str = "") -> Iterator[tuple[str, str]]:
    """Give a row for each setting, also for those within another."""
    for key, value in settings.items():
        if key == "optics" and isinstance(value, Mapping):
            parts = [" ".join(row) for row in _setting_rows(value)]
            yield f"{of}optics", ", ".join(parts)
        elif isinstance(value, Mapping):
            yield from _setting_rows(value, "simulated: ")
        # A fault in the range of 0 to 0 is none.
        elif value not in (None, (0, 0), [0, 0]):
            name, unit = _unit(key)
            yield f"{of}{name}", f"{_setting(value)}{unit}"


def _unit(key: str) -> tuple[str, str]:
    """Part the name of a setting from its unit."""
    stem, _, unit = key.rpartition("_")
    if unit == "um":
        return stem.replace("_", " "), " µm"
    if unit in ("waves", "levels"):
        return stem.replace("_", " "), f" {unit}"
    return (key.upper() if key in ("na", "psf") else key.replace("_", " ")), ""


def _setting(value: Any) -> str:
    """Write a setting's value: two numbers are a range, more are choices."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"
    if isinstance(value, (tuple, list)):
        parts = [_setting(part) for part in value]
        if len(parts) == 2:
            return parts[0] if parts[0] == parts[1] else " to ".join(parts)
        return ", ".join(parts)
    return str(value)


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
