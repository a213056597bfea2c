"""A user's run: a hundred sharp images, one command, and how good the model is.

``python -m benchmarks.own_model --data DIR --out OUT`` trains on 100 images of nuclei drawn from
``focus/train/dsb2018_*`` in DIR, with no option, and prints the time from the command's start to
its end and the figures on the images that it held out. It takes a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import List

from benchmarks.figure import Figure, print_rows

IMAGES = {"dsb2018_696x520": 60, "dsb2018_360x360": 40}
NAME = "own"


def hundred(data: Path) -> List[Path]:
    """Draw the images, always the same."""
    drawn = random.Random(0)
    return [
        path
        for kind, number in IMAGES.items()
        for path in drawn.sample(sorted((data / "focus" / "train" / kind).iterdir()), number)
    ]


def measure(data: Path, out: Path) -> List[Figure]:
    """Train, and read what the model says of itself."""
    command = [sys.executable, "-m", "microscope_quality", "train", *map(str, hundred(data))]
    start = time.monotonic()
    subprocess.run([*command, "--out", str(out), "--name", NAME], check=True)
    minutes = (time.monotonic() - start) / 60
    record = json.loads((out / NAME / "model.json").read_text(encoding="utf-8"))["training"]
    found = record["validation_images"]
    return [
        Figure(
            "100 sharp images, one command, 2 cores: minutes to a model",
            f"{minutes:.0f}",
            "≤ 30",
            minutes <= 30,
        ),
        Figure(
            f"that model on {found['images']} images of fields that it held out: within one level",
            f"{found['within_one']:.1%}",
            "≥ 97 %",
            found["within_one"] >= 0.97,
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.own_model", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="new folder for the training")
    options = parser.parse_args()
    return 0 if print_rows(measure(options.data, options.out)) else 1


if __name__ == "__main__":
    sys.exit(main())
