"""Time and memory of the classical measures, beside focus in the same run.

``python -m benchmarks.classical`` measures a simulated field of nuclei of 1040 × 1388 pixels, 16
bit, by each in turn, and 60 files of it by one process. It takes about a minute, on one core.
"""

from __future__ import annotations

import functools
import itertools
import statistics
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Callable, Dict, List, Sequence

import numpy as np
import numpy.typing as npt
import tifffile
from threadpoolctl import threadpool_limits

from benchmarks.figure import Figure, print_rows
from microscope_quality import FocusModel, measure_focus
from microscope_quality.classical import CLASSICAL, measure_classical
from microscope_quality.degrade import Camera, defocus
from microscope_quality.measuring.classical import Classical
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.measure import Measure
from microscope_quality.measuring.measure_files import measure_files
from microscope_quality.measuring.settings import Settings
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import nuclei

SHAPE = (1040, 1388)
TURNS = 15
FILES = 60


def field() -> npt.NDArray[np.uint16]:
    """Simulate nuclei, a little out of focus."""
    light = defocus(nuclei(SHAPE, 150, 0), psf(TRAINING_OPTICS, 3.0))
    camera = Camera(offset=100, read_noise=2.5, bit_depth=16)
    return camera.expose(3000 * (np.maximum(light, 0) + 0.03), 0).astype(np.uint16)


def seconds_in_turn(
    calls: Dict[str, Callable[[], object]],
    turns: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Dict[str, List[float]]:
    """Time each, turn by turn, so that what else the computer does falls on all."""
    taken: Dict[str, List[float]] = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name, call in calls.items():
            start = clock()
            call()
            # The first time, caches are filled.
            if turn:
                taken[name].append(clock() - start)
    return taken


def ratio(taken: Dict[str, List[float]], name: str, other: str) -> float:
    """Median of how many times longer one took than the other."""
    return statistics.median(a / b for a, b in zip(taken[name], taken[other]))


def of_a_plane() -> List[Figure]:
    plane, model = field(), FocusModel.from_pretrained()
    calls: Dict[str, Callable[[], object]] = {
        "focus": lambda: measure_focus(plane, model),
        "classical": lambda: measure_classical(plane),
        "one by one": lambda: [measure(plane) for measure in CLASSICAL.values()],
    }
    # Of what the processor did for them, whatever else it does.
    taken = seconds_in_turn(calls, TURNS, time.process_time)
    of_focus = ratio(taken, "classical", "focus")
    singly = ratio(taken, "one by one", "classical")
    ms = {name: 1000 * statistics.median(times) for name, times in taken.items()}
    tracemalloc.start()
    measure_classical(plane)
    peak = tracemalloc.get_traced_memory()[1] / plane.size
    tracemalloc.stop()
    what = f"{len(CLASSICAL)} classical measures of {SHAPE[0]}×{SHAPE[1]}, one core"
    return [
        Figure(
            f"{what}: against measure_focus",
            f"{of_focus:.2f} times its time ({ms['classical']:.0f} ms, {ms['focus']:.0f} ms)",
            "≤ 1.5 times",
            of_focus <= 1.5,
        ),
        Figure(
            f"{what}: all at once against one by one",
            f"{singly:.2f} times faster ({ms['classical']:.0f} ms, {ms['one by one']:.0f} ms)",
            "> 1 times",
            singly > 1,
        ),
        Figure(
            "Memory of them for each pixel, beside the image",
            f"{peak:.1f} bytes",
            f"≤ {Classical().pixel_bytes} bytes, which is set aside",
            peak <= Classical().pixel_bytes,
        ),
    ]


def of_an_electron_micrograph() -> List[Figure]:
    """Time what only electron micrographs are measured by."""
    tissue = nuclei((1024, 1024), 400, 0)
    noise = np.random.default_rng(0).normal(size=tissue.shape)
    plane = np.clip(60 + 120 * tissue / tissue.max() + 8 * noise, 0, 255).astype(np.uint8)
    own = ("check_qual", "laplacian_variance", "spectral_snr")
    calls: Dict[str, Callable[[], object]] = {
        "all": lambda: measure_classical(plane),
        **{name: functools.partial(CLASSICAL[name], plane) for name in own},
    }
    taken = seconds_in_turn(calls, TURNS, time.process_time)
    ms = {name: 1000 * statistics.median(times) for name, times in taken.items()}
    told = ", ".join(f"{name} {ms[name]:.0f} ms" for name in own)
    share = sum(ms[name] for name in own) / ms["all"]
    return [
        Figure(
            "Those of electron micrographs, 1024×1024, 8 bit, one core",
            f"{told}; of all {len(CLASSICAL)} together {ms['all']:.0f} ms",
            "≤ half",
            share <= 0.5,
        )
    ]


def of_files() -> List[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        plane = field()
        for number in range(FILES):
            tifffile.imwrite(images / f"{number:02}.tif", plane + np.uint16(number))

        def run(measures: Sequence[Measure]) -> Callable[[], object]:
            settings = Settings(measures=tuple(measures))
            out = Path(folder) / "-".join(measure.name for measure in measures)
            return lambda: list(measure_files(images, settings, out=out, again=True))

        calls = {
            "focus": run([Focus()]),
            "classical": run([Classical()]),
            "both": run([Focus(), Classical()]),
        }
        taken = seconds_in_turn(calls, 3)
    rate = {name: FILES / statistics.median(times) for name, times in taken.items()}
    beside = ratio(taken, "both", "focus")
    return [
        Figure(
            f"{FILES} files by one process, images a second: focus, classical, both",
            f"{rate['focus']:.1f}, {rate['classical']:.1f}, {rate['both']:.1f}",
            "both in ≤ 2.5 times the time of focus",
            beside <= 2.5,
        )
    ]


def main() -> int:
    parts = (of_a_plane, of_an_electron_micrograph, of_files)
    figures = itertools.chain.from_iterable(part() for part in parts)
    with threadpool_limits(1):
        return 0 if print_rows(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
