"""Accuracy against cost of models that were trained on the same images.

``python -m benchmarks.tradeoff MODEL... --data DIR --figure FILE.svg`` prints a table and draws it.
See :mod:`benchmarks.accuracy` for what DIR holds. All models are judged on the images that the
first one's training held out; none may have been trained on any of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping

import numpy as np

from benchmarks.accuracy import evaluated, unlearned
from benchmarks.inference_speed import PAIRS, big_image
from microscope_quality import FocusModel, measure_focus, metrics
from microscope_quality.errors import SettingsError
from microscope_quality.evaluation.figures import svg, tradeoff_figure

PHOTONS = (300.0, 20_000.0)


def parameters(folder: Path) -> int:
    """Count a model's weights."""
    with np.load(folder / "weights.npz", allow_pickle=False) as weights:
        return sum(weights[name].size for name in weights.files)


def milliseconds(models: List[FocusModel]) -> List[float]:
    """Time each on an image of 2048×2048, turn by turn; medians."""
    plane = big_image()
    taken: List[List[float]] = [[] for _ in models]
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


def rows(folders: List[Path], data: Path) -> List[Dict[str, Any]]:
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
                "parameters": parameters(folder),
                "milliseconds": cost,
                "patches_seen": patches_seen(model.description.training),
                "within_one": images["within_one"],
                "exact": images["exact"],
                "patches_exact": patches["exact"],
            }
        )
    return found


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
