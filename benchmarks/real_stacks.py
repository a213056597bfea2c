"""Ten real sets of planes: the best plane against the eye, and how measures follow the focus.

``python -m benchmarks.real_stacks --data DIR --model NAME`` reads ``focus/eval/stacks``, whose
manifest tells the planes' order and the optics where they are known. Where the focus lies is told
by ``real_stacks.csv``, which was judged by eye, on contrast-stretched planes, before any measure
was run: the sharpest plane, the planes that are as good, whether they are in focus, whether the
stack has one focus at all or each plane shows other things in focus, and the planes that are far
out. ``--model`` can be given again, for others beside the first. It takes about a minute.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.figure import Figure, print_rows
from benchmarks.models import argument_parser, beside, loaded, read
from microscope_quality import FocusModel, measure_focus
from microscope_quality.evaluation.gather_stacks import gather_stacks
from microscope_quality.evaluation.results import EvaluationSettings
from microscope_quality.evaluation.run import evaluate
from microscope_quality.evaluation.stacks import Followed, StackFigures
from microscope_quality.evaluation.style import measure_name

JUDGED_BY_EYE = Path(__file__).with_name("real_stacks.csv")
# A stack's figures by what measured them.
Stacks = Dict[str, Dict[str, Followed]]


def judged_by_eye() -> Dict[str, Dict[str, str]]:
    """Read what the eye says of each set."""
    with JUDGED_BY_EYE.open(encoding="utf-8", newline="") as file:
        return {row["set"]: row for row in csv.DictReader(file)}


def measure(models: Sequence[Tuple[str, FocusModel]], data: Path) -> Iterator[Figure]:
    """Measure all stacks by models and classical measures."""
    folder = data / "focus" / "eval" / "stacks"
    eye = judged_by_eye()
    evaluation = evaluate(
        [model for _, model in models],
        gather_stacks([str(folder)], best=JUDGED_BY_EYE),
        EvaluationSettings(empty_patches=0, jobs=1),
    )
    found: Stacks = {}
    for figures in evaluation.stacks:
        found.setdefault(figures.stack, {})[figures.model] = figures
    for classical in evaluation.stack_measures:
        found[classical.stack][classical.measure] = classical
    own = [model.name for model in evaluation.models]
    names = [(shown, name) for (shown, _), name in zip(models, own)]
    measures = [name for name in next(iter(found.values())) if name not in own]
    for stack, of in found.items():
        yield of_stack(stack, of, eye[stack], names, measures)
    yield from summed(found, eye, names, measures)
    yield from no_stacks(models, folder, eye)


def of_stack(
    stack: str,
    of: Dict[str, Followed],
    eye: Dict[str, str],
    names: Sequence[Tuple[str, str]],
    measures: Sequence[str],
) -> Figure:
    """Tell of one stack what models make of it, and the classical measures."""
    told = []
    for shown, name in names:
        figures = of[name]
        assert isinstance(figures, StackFigures)
        told.append(
            (
                shown,
                f"best {figures.best_z:g} ({figures.best_status or 'none'}), level's Spearman "
                f"{figures.spearman:.2f} (sides {figures.spearman_sides:.2f}), sharpness's "
                f"{figures.by_sharpness.spearman:.2f} ({figures.by_sharpness.spearman_sides:.2f}), "
                f"far planes in focus {figures.far_in_focus} of {figures.far}",
            )
        )
    others = ", ".join(
        f"{measure_name(name)} {of[name].best_z:g}{'' if of[name].within_depth else ' (wrong)'} "
        f"{of[name].spearman:.2f}"
        for name in measures
    )
    own = of[names[0][1]]
    assert isinstance(own, StackFigures)
    one = "" if eye["one_focus"] == "yes" else ", each plane shows other things"
    depth = "" if np.isnan(own.depth_um) else f", depth of field {own.depth_um:.2g} µm"
    figure = beside(
        f"{stack} ({len(own.z)} planes{one}{depth}): eye {eye['sharpest_index']} "
        f"({eye['from_index']} to {eye['to_index']})",
        told,
        "within the depth of field",
        own.within_depth == 1,
    )
    return figure._replace(value=f"{figure.value}; {others}")


def summed(
    found: Stacks,
    eye: Dict[str, Dict[str, str]],
    names: Sequence[Tuple[str, str]],
    measures: Sequence[str],
) -> Iterator[Figure]:
    """Count the hits, and give the means and medians of the correlations."""
    one_focus = [stack for stack in found if eye[stack]["one_focus"] == "yes"]
    hits = {
        name: int(sum(of[name].within_depth for of in found.values()))
        for name in [name for _, name in names] + list(measures)
    }
    own = names[0][1]
    figure = beside(
        f"best plane within a depth of field, of {len(found)} stacks",
        [(shown, str(hits[name])) for shown, name in names],
        "all but one",
        hits[own] >= len(found) - 1,
    )
    others = ", ".join(f"{measure_name(name)} {hits[name]}" for name in measures)
    yield figure._replace(value=f"{figure.value}; {others}")
    for what, stacks in (("all", list(found)), ("those of one focus", one_focus)):
        for how, rank in _RANKS.items():
            classical = {name: [rank(found[stack][name]) for stack in stacks] for name in measures}
            for order, of_product in _ORDERS.items():
                own_ranks = {
                    name: [rank(of_product(found[stack][name])) for stack in stacks]
                    for _, name in names
                }
                yield _compared(
                    f"Spearman with distance, {how}, {what} ({len(stacks)}): the {order}'s",
                    names,
                    {**own_ranks, **classical},
                )
    far = {
        name: (
            sum(figures.far_in_focus for figures in _of_model(found, name)),
            sum(figures.far for figures in _of_model(found, name)),
        )
        for _, name in names
    }
    yield beside(
        "far planes called in focus",
        [(shown, "{} of {}".format(*far[name])) for shown, name in names],
        "≤ 2 %",
        far[own][0] <= 0.02 * far[own][1],
    )


_RANKS: Dict[str, Callable[[Followed], float]] = {
    "all planes": lambda followed: followed.spearman,
    "mean over the sides": lambda followed: followed.spearman_sides,
}


def _by_sharpness(followed: Followed) -> Followed:
    assert isinstance(followed, StackFigures)
    return followed.by_sharpness


# What a plane's level tells, and what chooses the best plane of a stack.
_ORDERS: Dict[str, Callable[[Followed], Followed]] = {
    "level": lambda followed: followed,
    "sharpness": _by_sharpness,
}


def _of_model(found: Stacks, name: str) -> List[StackFigures]:
    return [of[name] for of in found.values() if isinstance(of[name], StackFigures)]


def _compared(what: str, names: Sequence[Tuple[str, str]], ranks: Dict[str, List[float]]) -> Figure:
    """Put mean and median side by side; a stack that a measure does not order counts as 0."""
    means = {name: float(np.mean(np.nan_to_num(of))) for name, of in ranks.items()}
    medians = {name: float(np.median(np.nan_to_num(of))) for name, of in ranks.items()}
    text = {name: f"{means[name]:.2f} ({medians[name]:.2f})" for name in ranks}
    models = [name for _, name in names]
    classical = {name: text[name] for name in ranks if name not in models}
    figure = beside(
        f"{what}, mean (median)",
        [(shown, text[name]) for shown, name in names],
        "above every classical one",
        all(means[models[0]] > means[name] for name in classical),
    )
    told = ", ".join(f"{measure_name(name)} {value}" for name, value in classical.items())
    return figure._replace(value=f"{figure.value}; {told}")


def no_stacks(
    models: Sequence[Tuple[str, FocusModel]], folder: Path, eye: Dict[str, Dict[str, str]]
) -> Iterator[Figure]:
    """Tell of sets that are no stacks what is said of their planes."""
    rows = list(csv.DictReader((folder / "manifest.csv").read_text("utf-8").splitlines()))
    for name in [name for name, row in eye.items() if not row["sharpest_index"]]:
        planes = [read(folder / row["file"]) for row in rows if row["set"] == name]
        told = []
        for shown, model in models:
            statuses = Counter(measure_focus(plane, model).status for plane in planes)
            told.append((shown, ", ".join(f"{k} {v}" for k, v in sorted(statuses.items()))))
        yield beside(
            f"{name} ({len(planes)} images, no stack): in focus by eye: {eye[name]['in_focus']}",
            told,
            "told",
            True,
        )


def main() -> int:
    parser = argument_parser("real_stacks", __doc__)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is needed")
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    with threadpool_limits(1):
        return 0 if print_rows(measure(loaded(options.model), options.data)) else 1


if __name__ == "__main__":
    sys.exit(main())
