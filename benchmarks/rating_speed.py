"""Measure how many patches a second are rated on one thread: in NumPy, and by QEN.

QEN runs on ONNX Runtime, exported from Keras with random weights, which take as long as others.
Both take turns in one process on one core, and what is told is the processor's time, so that other
programs disturb neither much.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List

from benchmarks.figure import Figure, print_rows

SIDE = 512
TURNS = 9

# Writes a model folder of QEN, with its ONNX file.
EXPORTED = """
import os, sys
from pathlib import Path
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from microscope_quality.model import KERAS_FILE, ModelDescription, write_folder
from microscope_quality.rater import RATING
from microscope_quality.rating.networks import qen
from microscope_quality.rating.published import ONNX_FILE
from microscope_quality.training.exchange import export_onnx
folder = Path(sys.argv[1])
qen().save(folder / KERAS_FILE)
description = ModelDescription(
    "qen", RATING, "qen", 512, "zscore", {"outputs": ["score"]}, (), {"epochs": 0}
)
write_folder(folder / "qen", description, KERAS_FILE, (folder / KERAS_FILE).read_bytes())
export_onnx(folder / "qen", folder / "qen" / ONNX_FILE)
"""

# One core and one thread, chosen before NumPy and ONNX Runtime start theirs.
ON_ONE_CORE = """
import os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
from benchmarks.rating_speed import seconds
print(*seconds(sys.argv[1]))
"""


def seconds(folder: str) -> List[float]:
    """Time a patch of 512×512 pixels in NumPy and by QEN, turn by turn.

    Returns
    -------
    list of float
        Processor times in NumPy, then by QEN.
    """
    import time

    import numpy as np

    from microscope_quality.rater import RatingModel, rate_image
    from microscope_quality.rating.published import PublishedRater
    from microscope_quality.training.rating.tissue import drawn_tissue

    field = drawn_tissue(SIDE, np.random.default_rng(0))
    patch = np.clip(128 + 40 * field, 0, 255).astype(np.uint8)
    model = RatingModel.from_pretrained("em")
    published = PublishedRater.from_folder(folder, engine="onnx", threads=1)
    calls = (lambda: rate_image(patch, model), lambda: published.predict(patch[np.newaxis]))
    taken: List[List[float]] = [[], []]
    for turn in range(TURNS + 1):
        for call, times in zip(calls, taken):
            start = time.process_time()
            call()
            if turn:
                times.append(time.process_time() - start)
    return [*taken[0], *taken[1]]


def measure() -> List[Figure]:
    """Measure the figure."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", EXPORTED, folder], check=True, capture_output=True)
        one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        printed = subprocess.run(
            [sys.executable, "-c", ON_ONE_CORE, str(Path(folder) / "qen")],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, **one},
        ).stdout
    times = [float(text) for text in printed.split()]
    ours, theirs = times[:TURNS], times[TURNS:]
    ratio = statistics.median(b / a for a, b in zip(ours, theirs))
    rates = [1 / statistics.median(one) for one in (ours, theirs)]
    return [
        Figure(
            f"patches of {SIDE}×{SIDE} rated a second, one thread, against QEN on ONNX Runtime",
            f"{ratio:.0f} times as many ({rates[0]:.1f}, {rates[1]:.2f})",
            "≥ 30 times",
            ratio >= 30,
        )
    ]


if __name__ == "__main__":
    sys.exit(0 if print_rows(measure()) else 1)
