"""Speed and memory of measuring, against TensorFlow in the same run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
import numpy.typing as npt
import tifffile

from benchmarks.figure import Figure
from microscope_quality import FocusModel, measure_focus
from microscope_quality.degrade import Camera, defocus
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import nuclei

SIDE = 2048
PAIRS = 7

# Imports TensorFlow, builds the network, and runs it once on the patches of one image.
TENSORFLOW = """
import os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"
start = time.perf_counter()
import tensorflow
imported = time.perf_counter() - start
import numpy as np
from microscope_quality.training.architectures import get_architecture
from microscope_quality.training.fitting import build
network = build(get_architecture(sys.argv[1]))
patches = np.random.default_rng(0).standard_normal((625, 84, 84)).astype(np.float32)
start = time.perf_counter()
network.predict_on_batch(patches)
print(imported, time.perf_counter() - start)
"""


def big_image() -> npt.NDArray[np.uint16]:
    """Simulate a 2048×2048 field of nuclei."""
    light = defocus(nuclei((SIDE, SIDE), 1200, 0), psf(TRAINING_OPTICS, 3.0))
    return Camera().expose(3000 * (np.maximum(light, 0) + 0.03), 0).astype(np.uint16)


def compare() -> Tuple[float, float, float]:
    """Time the default model in NumPy and ``yang2018`` in TensorFlow, turn by turn.

    Returns
    -------
    ratio, ours, theirs : float
        Medians; the times in seconds.
    """
    import tensorflow as tf

    from microscope_quality.normalisation import normalise
    from microscope_quality.tiles import cut, positions
    from microscope_quality.training.architectures import get_architecture
    from microscope_quality.training.fitting import build

    model, plane = FocusModel.from_pretrained(), big_image()
    patches = cut(plane, positions(*plane.shape, 84), 84)
    values, _ = normalise(patches, "type_range")
    network = tf.function(build(get_architecture("yang2018")), reduce_retracing=True)
    tensor = tf.constant(values)

    def published() -> None:
        for start in range(0, len(values), 64):
            network(tensor[start : start + 64], training=False).numpy()

    published()
    measure_focus(plane, model)
    ours, theirs = [], []
    for _ in range(PAIRS):
        for call, times in ((lambda: measure_focus(plane, model), ours), (published, theirs)):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    ratio = statistics.median(b / a for a, b in zip(ours, theirs))
    return ratio, statistics.median(ours), statistics.median(theirs)


# The cores are chosen before NumPy and TensorFlow start their threads.
ON_CORES = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
from benchmarks.inference_speed import compare
print(*compare())
"""


def in_process(cores: int) -> Figure:
    """Compare on some of the machine's cores, the same for both."""
    printed = subprocess.run(
        [sys.executable, "-c", ON_CORES, str(cores)], check=True, capture_output=True, text=True
    ).stdout
    ratio, ours, theirs = map(float, printed.split())
    return Figure(
        f"{SIDE}×{SIDE} in process against yang2018 in TensorFlow, "
        f"{cores} core{'s' if cores > 1 else ''}",
        f"{ratio:.1f} times faster ({ours:.2f} s, {theirs:.2f} s)",
        "≥ 8 times",
        ratio >= 8,
    )


class WithPtp(np.ndarray):  # type: ignore[type-arg]
    """An array with the method ``ptp``, which centrosome calls and NumPy 2 has no longer."""

    def ptp(self) -> Any:
        return np.ptp(np.asarray(self))


def cellprofiler_slope(plane: npt.NDArray[np.float64]) -> float:
    """Compute the power log-log slope as CellProfiler 4 does, its test for a flat image included.

    The radial power spectrum is centrosome's; the plane is scaled to [0, 1].
    """
    from centrosome.radial_power_spectrum import rps

    radii, magnitude, power = rps(plane)
    if not magnitude.sum() > 0 or len(np.unique(plane)) < 2:
        return 0.0
    usable = (magnitude > 0) & np.isfinite(np.log(power))
    matrix = np.stack([np.log(radii[usable]), np.ones(np.count_nonzero(usable))], axis=1)
    return float(np.linalg.lstsq(matrix, np.log(power[usable]), rcond=None)[0][0])


def against_slope() -> List[Figure]:
    """Compare a whole measurement with the classical measure that CellProfiler recommends."""
    from centrosome.radial_power_spectrum import rps

    model, plane = FocusModel.from_pretrained(), big_image()
    scaled = (plane / 65535).view(WithPtp)
    calls = (
        lambda: measure_focus(plane, model),
        lambda: cellprofiler_slope(scaled),
        lambda: rps(scaled),
    )
    times: List[List[float]] = [[] for _ in calls]
    for turn in range(PAIRS + 1):
        for call, taken in zip(calls, times):
            start = time.perf_counter()
            call()
            if turn:
                taken.append(time.perf_counter() - start)
    ours, slope, spectrum = (statistics.median(taken) for taken in times)
    ratio = statistics.median(b / a for a, b in zip(times[0], times[1]))
    alone = statistics.median(b / a for a, b in zip(times[0], times[2]))
    return [
        Figure(
            f"{SIDE}×{SIDE} in process against CellProfiler's power log-log slope",
            f"{ratio:.1f} times faster ({ours:.2f} s, {slope:.2f} s)",
            "≥ 2 times",
            ratio >= 2,
        ),
        Figure(
            f"{SIDE}×{SIDE} in process against centrosome's radial power spectrum alone",
            f"{alone:.1f} times faster ({spectrum:.2f} s)",
            "> 1 times",
            alone > 1,
        ),
    ]


# Threads are BLAS's: on as many cores as named.
BY_SIZE = """
import os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
from benchmarks.inference_speed import seconds_by_size
print(*seconds_by_size())
"""
SIZES = (512, 1024, 2048, 4096, 8192)


def seconds_by_size() -> List[float]:
    """Time a measurement at every size; the least of some."""
    model, plane = FocusModel.from_pretrained(), big_image()
    found = []
    for size in SIZES:
        image = np.tile(plane, (max(1, size // SIDE),) * 2)[:size, :size]
        taken = []
        for _ in range(7 if size <= SIDE else 3):
            start = time.perf_counter()
            measure_focus(image, model)
            taken.append(time.perf_counter() - start)
        found.append(min(taken))
    return found


def by_size(cores: int) -> Figure:
    """Measure how the time grows with the image."""
    printed = subprocess.run(
        [sys.executable, "-c", BY_SIZE, str(cores)], check=True, capture_output=True, text=True
    ).stdout
    seconds = [float(text) for text in printed.split()]
    nanoseconds = [1e9 * taken / size**2 for taken, size in zip(seconds, SIZES)]
    table = ", ".join(f"{size}²: {taken:.3f} s" for size, taken in zip(SIZES, seconds))
    spread = max(nanoseconds) / min(nanoseconds)
    return Figure(
        f"time against size, {cores} core{'s' if cores > 1 else ''}",
        f"{table}; {min(nanoseconds):.0f} to {max(nanoseconds):.0f} ns a pixel",
        "linear: ns a pixel within 1.5 times",
        spread <= 1.5,
    )


# Started by a large process, a child's peak would be its parent's: this one is small.
MEASURED = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def command(path: Path, *arguments: str) -> Tuple[float, float]:
    """Run ``measure`` on a file; give its seconds and its peak memory in MB."""
    call = [sys.executable, "-m", "microscope_quality", "measure", str(path), *arguments]
    printed = subprocess.run(
        [sys.executable, "-S", "-c", MEASURED, *call], check=True, capture_output=True, text=True
    ).stdout
    taken, peak = map(float, printed.split())
    return taken, peak


def whole_command(plane: npt.NDArray[np.uint16]) -> List[Figure]:
    """Time the command from start to exit, and TensorFlow's import and forward pass."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.tif"
        tifffile.imwrite(path, plane)
        command(path)
        ratios, ours, theirs, peaks = [], [], [], []
        for _ in range(3):
            taken, peak = command(path, "--jobs", "1")
            printed = subprocess.run(
                [sys.executable, "-c", TENSORFLOW, "compact"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            other = sum(map(float, printed.split()))
            ours.append(taken)
            theirs.append(other)
            peaks.append(peak)
            ratios.append(taken / other)
    ratio = statistics.median(ratios)
    return [
        Figure(
            f"whole command on one {SIDE}×{SIDE} TIFF against TensorFlow's import "
            "and its pass of the same network",
            f"{ratio:.2f} of its time ({statistics.median(ours):.2f} s, "
            f"{statistics.median(theirs):.2f} s)",
            "< 0.5",
            ratio < 0.5,
        ),
        Figure(
            "peak memory of that command, the larger of its two processes",
            f"{max(peaks):.0f} MB",
            "< 400 MB",
            max(peaks) < 400,
        ),
    ]


def measure() -> List[Figure]:
    """Measure all figures."""
    return [
        *whole_command(big_image()),
        in_process(1),
        in_process(2),
        *against_slope(),
        by_size(1),
        by_size(2),
    ]
