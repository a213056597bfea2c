"""The sections of the page of an evaluation: what each shows, and what it says of that."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from microscope_quality import metrics
from microscope_quality.evaluation import figures, montage, sheets
from microscope_quality.evaluation.results import Evaluation, ExamplePatches, ModelEvaluation
from microscope_quality.evaluation.style import measure_name, png, share_text, svg, webp
from microscope_quality.evaluation.tables import LEFT_OUT, stack_comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from microscope_quality.evaluation.stacks import StackFigures
    from microscope_quality.model import FocusModel

#: Folder of the figures, beside the page.
FIGURES = "figures"
# Stacks with a figure of their own; all are in the table.
_STACKS_DRAWN = 8
_LEFT_OUT_SHOWN = 40
# CSS pixels an inch: matplotlib's points come out as they were set.
_PX_PER_INCH = 96


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it."""

    source: str
    alt: str
    caption: str
    width: int
    height: int
    file: str
    wide: bool


@dataclass(frozen=True)
class Tabular:
    """A table; the first cell of a row names it."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Details:
    """What is unfolded on demand."""

    summary: str
    pictures: Sequence[Picture] = ()
    tables: Sequence[Tabular] = ()


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    anchor: str
    short: str
    title: str
    intro: str
    findings: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Tabular] = ()
    details: Sequence[Details] = ()


class Drawings:
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
    ) -> Picture:
        """Draw a figure, for the page as SVG, or over its whole width as WebP for photographs.

        The page has to know its name as one of its own; see `page.write_page`.
        """
        self.files[name] = png(figure)
        if photographs:
            kind, content = "webp", webp(figure)
        else:
            kind, content = "svg+xml", svg(figure).encode("utf-8")
        width, height = (round(inches * _PX_PER_INCH) for inches in figure.get_size_inches())
        data = base64.b64encode(content).decode("ascii")
        source, file = f"data:image/{kind};base64,{data}", f"{FIGURES}/{name}.png"
        return Picture(source, alt, caption, width, height, file, wide or photographs)


def sections_of(
    evaluation: Evaluation, drawn: Drawings, model: FocusModel, unseen: Sequence[Mapping[str, Any]]
) -> list[Section]:
    """Give the sections that there is something to say in; see `page.write_page`."""
    sections = (
        _levels(evaluation, drawn),
        _certainty(evaluation, drawn),
        _binary(evaluation, drawn),
        _gain_offset(evaluation, drawn),
        _kinds(evaluation, drawn, unseen),
        _stacks(evaluation, drawn),
        _examples(evaluation, drawn, model),
        _data(evaluation),
    )
    return [section for section in sections if section is not None]


def _folded(summary: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Details:
    """Give a table that is unfolded on demand."""
    return Details(summary, tables=[Tabular("", head, rows)])


def _levels(evaluation: Evaluation, drawn: Drawings) -> Section | None:
    models = [model for model in evaluation.models if model.judged]
    if not models:
        return None
    pictures, counts = _confusions(models[0], drawn, 1)
    details = [Details("The same matrices as counts", counts)]
    for number, model in enumerate(models[1:], 2):
        shares, counts = _confusions(model, drawn, number)
        details.append(Details(f"Confusion matrices of {model.name}", shares + counts))
    rows = []
    for per, title in (("images", "Whole images"), ("patches", "Patches")):
        found = {model.name: model.judged[per] for model in models if per in model.judged}
        if not found:
            continue
        curves = [(name, metrics.within_of(predictions)) for name, predictions in found.items()]
        told = "; ".join(
            f"{name}: exact {share_text(w[0])}, within one {share_text(w[1])}" for name, w in curves
        )
        pictures.append(
            drawn.add(
                f"distance_{per}",
                figures.distance_figure(curves, f"{title}: accuracy by class distance"),
                f"Share of {per} right, by how far a level may be off. {told}.",
                "From left to right, what counts as right: the exact level, one off, and so on.",
            )
        )
        rows += [
            (f"{name}, {per}", *(share_text(value) for value in shares[:6]))
            for name, shares in curves
        ]
    head = ("", "exact", *(f"within {distance}" for distance in range(1, len(rows[0]) - 1)))
    details.append(_folded("Accuracy by class distance, as a table", head, rows))
    return Section(
        "levels",
        "Levels",
        "Does it say the right level?",
        "Each row is a level that was simulated, each column a level that was measured: a perfect "
        "model fills the diagonal only.",
        _most_confused(models[0]),
        pictures,
        details=details,
    )


def _confusions(
    model: ModelEvaluation, drawn: Drawings, number: int
) -> tuple[list[Picture], list[Picture]]:
    """Draw a model's confusion matrices: shares, and counts."""
    of_shares: list[Picture] = []
    of_counts: list[Picture] = []
    for per, predictions in model.judged.items():
        counts = metrics.confusion_of(predictions)
        within = metrics.within_of(predictions)
        for kind, what, kept in (
            ("shares", "row percentages", of_shares),
            ("counts", "counts", of_counts),
        ):
            kept.append(
                drawn.add(
                    f"confusion_{per}_{number}_{kind}",
                    figures.confusion_figure(
                        counts,
                        f"{model.name}, {per}",
                        normalised=kind == "shares",
                        undefined=predictions.undefined,
                    ),
                    f"Confusion matrix of {model.name}, {per}, {what}: "
                    f"{share_text(within[0])} exact, {share_text(within[1])} within "
                    f"one level, of {len(predictions):,}.",
                )
            )
    return of_shares, of_counts


def _most_confused(model: ModelEvaluation) -> list[str]:
    sentences = []
    for per, predictions in model.judged.items():
        shares = np.nan_to_num(metrics.row_normalised(metrics.confusion_of(predictions)))
        np.fill_diagonal(shares, 0)
        true, level = np.unravel_index(int(np.argmax(shares)), shares.shape)
        if shares[true, level] > 0:
            sentences.append(
                f"Most often mistaken, {per}: level {true} is taken for level {level}, "
                f"in {share_text(shares[true, level])} of its {per}."
            )
    return sentences


def _certainty(evaluation: Evaluation, drawn: Drawings) -> Section | None:
    models = [model for model in evaluation.models if model.judged]
    if not models:
        return None
    pictures = list(_certainty_of(models[0], drawn, 1))
    details = [
        Details(f"Certainty of {model.name}", list(_certainty_of(model, drawn, number)))
        for number, model in enumerate(models[1:], 2)
    ]
    for per, title in (("patches", "Patches"), ("images", "Whole images")):
        found = {model.name: model.judged[per] for model in models if per in model.judged}
        if not found:
            continue
        curves = [(name, metrics.risk_coverage(predictions)) for name, predictions in found.items()]
        half = [
            f"{name} {share_text(metrics.within_of_certain_half(predictions))}"
            for name, predictions in found.items()
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
    return Section(
        "certainty",
        "Certainty",
        "Does it know when it is right?",
        "A probability is honest when, of all answers given with 80 %, 80 % are right. A "
        "certainty is useful when it tells answers that can be believed from those that cannot.",
        [
            f"{per.capitalize()}: {_leaning(metrics.calibration(predictions))}"
            for per, predictions in reversed(models[0].judged.items())
        ],
        pictures,
        details=details,
    )


def _certainty_of(model: ModelEvaluation, drawn: Drawings, number: int) -> Iterator[Picture]:
    """Draw what a model's probabilities and certainties are worth."""
    for per, predictions in reversed(model.judged.items()):
        found = metrics.calibration(predictions)
        yield drawn.add(
            f"reliability_{per}_{number}",
            figures.reliability_figure(found, f"{model.name}, {per}: reliability"),
            f"Reliability diagram of {model.name}, {per}: expected calibration error "
            f"{found.error:.3f}. {_leaning(found)}",
            "Bars on the dashed line mean that stated probabilities can be taken at their "
            "word; over it the model is too modest, under it too sure.",
        )
    certainty, sure = model.patches.certainty, model.description.sure_certainty
    if len(certainty):
        error = model.patches.level - model.patches.true
        title = f"{model.name}, patches: error by certainty"
        yield drawn.add(
            f"certainty_{number}",
            figures.certainty_figure(error, certainty, title),
            f"How far the patches' levels are off for {model.name}, in ten bands of certainty.",
            "What a certainty is worth: each bar holds the patches of one band.",
        )
    if len(certainty) and len(model.empty_certainty):
        title = f"{model.name}: patches with and without content"
        yield drawn.add(
            f"empties_{number}",
            figures.empties_figure(certainty, model.empty_certainty, sure, title),
            f"Certainties of patches with content and of empty ones for {model.name}; "
            f"{100 * model.empty_below_sure:.2f} % of the empty ones are below the sure certainty "
            f"of {sure:.2f}.",
            "An empty patch should never count: it has to stay left of the line.",
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


def _binary(evaluation: Evaluation, drawn: Drawings) -> Section | None:
    if not evaluation.binary:
        return None
    names = [model.name for model in evaluation.models]
    ranked = sorted(evaluation.binary, key=lambda r: (r.per, -r.f if math.isfinite(r.f) else 2))
    best = {per: next(r for r in ranked if r.per == per) for per in {r.per for r in ranked}}
    told = "; ".join(
        f"per {per} best: {measure_name(r.measure)} {r.f:.3f} ({r.low:.3f} to {r.high:.3f})"
        for per, r in sorted(best.items())
    )
    rows = [
        (
            *(measure_name(r.measure), r.per, f"{r.f:.3f}", f"{r.low:.3f} to {r.high:.3f}"),
            f"{'below' if r.below else 'above'} {r.threshold:.4g}",
            f"{r.n:,}",
            f"{r.undefined:,}" if r.undefined else "",
        )
        for r in ranked
    ]
    head = ("measure", "per", "F-score", "95 % of repetitions", "in focus", "drawn", "undefined")
    return Section(
        "binary",
        "In focus or not",
        "In focus or not?",
        "The protocol of Bray et al. (2012): levels 0 to 2 are in focus, 4 to 10 are not, as many "
        "of each. The threshold of every measure is chosen on a tenth and judged on the rest, 50 "
        "times over. A model is ranked by its expected level, without being told the task.",
        pictures=[
            drawn.add(
                "binary",
                figures.binary_figure(evaluation.binary, names),
                f"F-scores of models and classical measures with their intervals; {told}.",
                "Dots are means, lines the middle 95 % of the repetitions. Filled marks: models.",
                wide=True,
            )
        ],
        details=[_folded("All measures as a table", head, rows)],
    )


def _gain_offset(evaluation: Evaluation, drawn: Drawings) -> Section | None:
    models = [(m.name, m.gain_offset) for m in evaluation.models if m.gain_offset]
    if not models:
        return None
    findings = []
    for name, rows in models:
        worst = min(rows, key=lambda row: row["within_one"])
        if worst["within_one"] == 1:
            findings.append(f"{name}: 100% within one level at every gain and offset.")
            continue
        cut_off = ""
        if worst["clipped"] > 0.001:
            share = share_text(worst["clipped"])
            cut_off = f", with {share} of the pixels cut off at the end of the 16-bit range"
        findings.append(
            f"{name} is worst at gain ×{worst['gain']:g} and offset +{worst['offset']:,.0f}: "
            f"{share_text(worst['within_one'])} within one level{cut_off}."
        )
    pictures = [
        drawn.add(
            f"gain_offset_{share}",
            figures.gain_offset_figure(models, title, share),
            f"Heat maps of the share {title.lower()} by gain and offset. {' '.join(findings)}",
            "Every cell: the same images, their grey values times the gain plus the offset.",
            wide=len(models) > 1,
        )
        for share, title in (("within_one", "Within one level"), ("exact", "Exact"))
    ]
    return Section(
        "gain",
        "Gain and offset",
        "Does brightness or contrast matter?",
        "They should not: focus is a matter of shape. As in Fig. 4 of Yang et al. (2018), images "
        "are multiplied by a gain and raised by an offset, as another camera would.",
        findings,
        pictures[:1] if len(models) > 1 else pictures,
        details=[Details("The same for exact levels", pictures[1:])] if len(models) > 1 else (),
    )


def _kinds(
    evaluation: Evaluation, drawn: Drawings, unseen: Sequence[Mapping[str, Any]]
) -> Section | None:
    models = [model for model in evaluation.models if len(model.images)]
    groups = sorted(set(models[0].images.group)) if models else []
    if len(groups) < 2 and not unseen:
        return None
    pictures, tables, details, findings = [], [], [], []
    if len(groups) > 1:
        # Of each model, kind by kind: exact, and within one.
        shares = {
            model.name: np.array(
                [
                    metrics.within_of(model.images.select(model.images.group == group))[:2]
                    for group in groups
                ]
            )
            for model in models
        }
        first = models[0]
        own = shares[first.name]
        worst = int(np.nanargmin(own[:, 1]))
        findings.append(
            "Every kind is within one level on all its images."
            if own[worst, 1] == 1
            else f"Hardest kind for {first.name}: {groups[worst]}, "
            f"{share_text(own[worst, 1])} within one level."
        )
        for distance, title in ((1, "within one level"), (0, "exact")):
            pictures.append(
                drawn.add(
                    f"groups_{title.replace(' ', '_')}",
                    figures.groups_figure(
                        groups,
                        [(name, values[:, distance]) for name, values in shares.items()],
                        f"Images {title}, by kind",
                    ),
                    f"Share of images {title} for each of {len(groups)} kinds, on the whole from "
                    f"{share_text(own[:, distance].min())} to "
                    f"{share_text(own[:, distance].max())} for {first.name}.",
                    "The worst kind first. Numbers are the first model's.",
                )
            )
        head = ["kind", "images"]
        rows = [[str(group), f"{np.sum(first.images.group == group):,}"] for group in groups]
        for name, values in shares.items():
            head += [f"{name}: within one", f"{name}: exact"]
            for row, (exact, within_one) in zip(rows, values.tolist()):
                row += [share_text(within_one), share_text(exact)]
        details.append(_folded("All kinds as a table", head, rows))
    if unseen:
        tables.append(
            Tabular(
                "Unseen kinds: each was left out of a training of its own, then evaluated",
                [head for head, _ in _UNSEEN.values()],
                [[form(row[key]) for key, (_, form) in _UNSEEN.items()] for row in unseen],
            )
        )
    return Section(
        "kinds",
        "Kinds",
        "Does it depend on what is shown?",
        "A kind is a stain, a cell line or an instrument: the folders of the data, or a column of "
        "its manifest.",
        findings,
        pictures,
        tables,
        details,
    )


def _stacks(evaluation: Evaluation, drawn: Drawings) -> Section | None:
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
    rows = [
        (
            *(stack.stack, stack.model, f"{len(stack.z)}", _number(stack.spearman)),
            *(_number(stack.best_z, "g"), _number(stack.best_plane_error, "+g")),
            *(_number(stack.slope, ".2f"), share_text(stack.within_one)),
        )
        for stacks in names.values()
        for stack in stacks
    ]
    head = (
        *("stack", "model", "planes", "rank correlation", "best plane", "its error, steps"),
        *("slope", "within one of geometry"),
    )
    tables = [Tabular("z-stacks", head, rows)]
    if evaluation.stack_measures:
        tables.append(
            Tabular(
                "Best plane, and rank correlation with the distance from focus; ✓ is within the "
                "depth of field",
                *stack_comparison(evaluation),
            )
        )
    more = len(names) - _STACKS_DRAWN
    return Section(
        "stacks",
        "z-stacks",
        "Does it follow the focus through a z-stack?",
        "Real planes, not simulated ones: the level should fall towards focus and rise behind it.",
        [f"{more} more stacks are in the table only."] if more > 0 else (),
        pictures,
        tables,
    )


def _examples(evaluation: Evaluation, drawn: Drawings, model: FocusModel) -> Section | None:
    examples = evaluation.example_patches
    if not len(examples.true):
        return None
    wrong = int(np.count_nonzero(np.abs(examples.level - examples.true) > 1))
    return Section(
        "examples",
        "Examples",
        "What does a level look like, and what is it judged by?",
        f"Patches of the images that were judged, with what {evaluation.models[0].name} says of "
        "them.",
        [
            f"Of {len(examples.true):,} patches drawn at random, empty ones included, {wrong:,} "
            "are off by more than one level."
        ],
        list(_pictures_of(examples, wrong, drawn, model)),
    )


def _pictures_of(
    examples: ExamplePatches, wrong: int, drawn: Drawings, model: FocusModel
) -> Iterator[Picture]:
    """Draw patches of each level, those that are wrong, and what patches are judged by."""
    levels = model.description.levels
    yield drawn.add(
        "montage",
        sheets.montage_figure(examples, levels),
        f"Patches by measured level, 0 to {levels - 1} from left to right, and by certainty, "
        "the most certain at the top. Noise and nearly empty patches are in the lowest rows.",
        "Which patch stands for its place is left to chance. The contrast of each is stretched "
        "by itself. Read down a column to see what a level looks like, and along the lowest "
        "rows to see what cannot be told.",
        photographs=True,
    )
    if wrong:
        yield drawn.add(
            "mistakes",
            sheets.mistakes_figure(examples),
            f"The most certain of the {wrong} patches that are wrong by more than one level, "
            "with the level said and the one that is right.",
            "Its worst mistakes: wrong by more than one level, the most certain first.",
            photographs=True,
        )
    chosen = montage.typical(examples, levels, 2)
    if (chosen < 0).all():
        return
    patches = np.full((*chosen.shape, *examples.patches.shape[1:]), np.nan)
    maps = patches.copy()
    for place in zip(*np.nonzero(chosen >= 0)):
        patches[place] = patch = examples.patches[chosen[place]]
        # They were cut from 16-bit images.
        maps[place] = montage.judged_by(model, patch, type_max=65535)
    yield drawn.add(
        "judged_by",
        sheets.judged_figure(patches, maps),
        "Patches of each level and, under each, a map of where hiding a part changes the "
        "model's answer.",
        "What a patch is judged by. A soft-edged spot some 12 pixels wide is replaced with its "
        "own mean, everywhere in turn, and the model is asked again: dark is where its answer "
        "moves most. Typical patches: judged right, and of the more certain half. Read it with "
        "care. It shows where something is needed, not what is looked for there; parts that "
        "tell the same stand in for each other, so that among many sharp cells none seems to "
        "matter.",
        photographs=True,
    )


def _data(evaluation: Evaluation) -> Section:
    tables, details = [], []
    if evaluation.data:
        counts = [
            *((str(row["group"]), row["images"], row["fields"]) for row in evaluation.data),
            ("all", *(sum(row[what] for row in evaluation.data) for what in ("images", "fields"))),
        ]
        tables.append(
            Tabular(
                "Sharp images, each made out of focus at every level",
                ("kind", "images", "fields"),
                [(kind, f"{images:,}", f"{fields:,}") for kind, images, fields in counts],
            )
        )
    for what, files in (("Left out", evaluation.left_out), ("Failed", evaluation.failed)):
        if files:
            shown = list(files.items())[:_LEFT_OUT_SHOWN]
            more = len(files) - len(shown)
            if more > 0:
                shown.append((f"{more:,} more", f"see {LEFT_OUT}"))
            details.append(_folded(f"{what}: {many(len(files), 'file')}", ("file", "why"), shown))
    models = [
        (
            *(model.name, model.description.architecture, model.description.normalisation),
            *(f"{model.description.sure_certainty:.3f}", model.description.sha256[:16]),
        )
        for model in evaluation.models
    ]
    head = ("model", "architecture", "normalisation", "sure from", "SHA-256 of the weights")
    details.append(_folded("Models", head, models))
    if evaluation.settings:
        rows = list(_setting_rows(evaluation.settings))
        details.append(_folded("Settings", ("setting", "value"), rows))
    return Section(
        "data",
        "Data",
        "On what, and how",
        "Every number of this page, and those behind its figures, is in a CSV table in the same "
        "folder; the figures lie in its folder figures.",
        tables=tables,
        details=details,
    )


def _number(value: float, form: str = ".3f") -> str:
    return format(value, form) if math.isfinite(value) else "–"


# Columns of `unseen.read_unseen`, each with its head and how it is written.
_UNSEEN: dict[str, tuple[str, Callable[[Any], str]]] = {
    "group": ("kind left out", str),
    "images": ("images", "{:,}".format),
    "within_one": ("within one", share_text),
    "f_model": ("F-score", _number),
    "best_classical": ("best classical measure", measure_name),
    "f_best_classical": ("its F-score", _number),
}


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


def many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
