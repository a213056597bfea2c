"""Print every figure beside its bar.

``python -m benchmarks`` measures what needs no images from elsewhere; ``--data DIR`` adds the
accuracy on real images (see :mod:`benchmarks.accuracy` for what DIR holds).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import accuracy, inference_speed, optics_speed
from benchmarks.figure import print_rows
from microscope_quality import FocusModel


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with the images for the accuracy")
    parser.add_argument("--model", help="name or folder of a model; else the default one")
    parser.add_argument(
        "--beside", type=Path, action="append", default=[], help="model to compare with; repeatable"
    )
    parser.add_argument("--unseen", type=Path, help="table that `microscope-quality unseen` wrote")
    parser.add_argument("--only", choices=("accuracy", "inference", "optics"))
    options = parser.parse_args()
    model = FocusModel.from_pretrained(options.model)
    parts = {
        "optics": optics_speed.measure,
        "inference": inference_speed.measure,
    }
    if options.data is not None:
        parts["accuracy"] = lambda: accuracy.measure(
            model, options.data, options.beside, options.unseen
        )
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    all_met = True
    for name, part in parts.items():
        if options.only in (None, name):
            all_met &= print_rows(part())
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
