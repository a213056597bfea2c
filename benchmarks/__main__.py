"""Print every figure beside its bar.

``python -m benchmarks`` measures what needs no images from elsewhere; ``--data DIR`` adds what real
images tell (see :mod:`benchmarks.accuracy` for what DIR holds).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Callable, Dict, Iterable

from benchmarks import accuracy, belief, inference_speed, optics_speed, processed, real_stacks
from benchmarks.figure import Figure, print_rows
from benchmarks.models import loaded


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with real images")
    parser.add_argument("--model", help="name or folder of a model; else the default one")
    parser.add_argument(
        "--beside", type=Path, action="append", default=[], help="model to compare with; repeatable"
    )
    parser.add_argument("--unseen", type=Path, help="table that `microscope-quality unseen` wrote")
    parser.add_argument(
        "--only",
        choices=("accuracy", "belief", "inference", "optics", "processed", "real_stacks"),
        help="what to measure; else all",
    )
    options = parser.parse_args()
    data = options.data
    models = loaded([options.model, *map(str, options.beside)])
    parts: Dict[str, Callable[[], Iterable[Figure]]] = {
        "optics": optics_speed.measure,
        "inference": inference_speed.measure,
        "belief": lambda: belief.measure(models, data),
    }
    if data is not None:
        parts["processed"] = lambda: processed.measure(models, data)
        parts["real_stacks"] = lambda: real_stacks.measure(models, data)
        parts["accuracy"] = lambda: accuracy.measure(
            models[0][1], data, options.beside, options.unseen
        )
    elif options.only in ("accuracy", "processed", "real_stacks"):
        parser.error(f"--only {options.only} needs --data")
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    all_met = True
    for name, part in parts.items():
        if options.only in (None, name):
            all_met &= print_rows(part())
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
