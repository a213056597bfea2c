"""Accuracy against cost of models that were trained on the same images.

``python -m benchmarks.tradeoff MODEL... --data DIR --figure FILE.svg`` prints a table and draws it.
See :mod:`benchmarks.accuracy` for what DIR holds. All models are judged on the images that the
first one's training held out; they must have held out the same.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

from benchmarks.accuracy import evaluated
from benchmarks.inference_speed import PAIRS, big_image
from microscope_quality import FocusModel, measure_focus, metrics
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


def rows(folders: List[Path], data: Path) -> List[Dict[str, Any]]:
    """Measure the models."""
    models = [FocusModel.from_pretrained(folder) for folder in folders]
    found = []
    evaluation = evaluated(folders, data, PHOTONS, classical=False)
    for folder, model, result, cost in zip(
        folders, models, evaluation.models, milliseconds(models)
    ):
        images, patches = metrics.summary(result.images), metrics.summary(result.patches)
        record = model.description.training
        stages = record["stages"]
        found.append(
            {
                "name": folder.name,
                "parameters": parameters(folder),
                "milliseconds": cost,
                "patches_seen": record["best_step"] * stages[-1]["batch_size"],
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
    found = rows(options.models, options.data)
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
