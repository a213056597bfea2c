"""Runs over many files: throughput, what it costs beside the network, kills, memory.

``python -m benchmarks.runs`` writes some GB into a temporary folder (of ``TMPDIR``) and takes about
20 minutes on 2 cores; ``--images N`` takes fewer images, for a look. It runs on Linux.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import tifffile
from threadpoolctl import threadpool_limits

from benchmarks.figure import Figure, print_rows
from microscope_quality import FocusModel
from microscope_quality.degrade import Camera, defocus
from microscope_quality.files.images import planes
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import filaments, nuclei
from microscope_quality.tiles import cut, positions

SIDE = 1080
IMAGES = 2000
KILLS = 20

Plane = npt.NDArray[np.uint16]


def distinct_planes() -> List[Plane]:
    """Simulate 20 fields of nuclei and of fibres, crowded and lone, at levels 0 to 9."""
    camera = Camera(photons_per_level=1.0, offset=100, read_noise=2.5, bit_depth=16)
    made = []
    for seed in range(20):
        shape = (SIDE, SIDE)
        if seed % 4 == 3:
            light = filaments(shape, 600, seed)
        else:
            light = nuclei(shape, (5, 80, 300)[seed % 3], seed)
        level = seed % 10
        light = defocus(light, psf(TRAINING_OPTICS, float(TRAINING_OPTICS.defocus_of_level(level))))
        photons = (400, 2000, 9000)[seed % 3]
        made.append(camera.expose(photons * (np.maximum(light, 0) + 0.03), seed).astype(np.uint16))
    return made


def write_images(folder: Path, n: int) -> None:
    """Write images that all differ, every fourth one compressed, some in tiles, one a stack."""
    folder.mkdir()
    fields = distinct_planes()
    for k in range(n):
        plane = np.roll(fields[k % 20], (37 * k, 53 * k), (0, 1)) + np.uint16(k // 20)
        options: Dict[str, object] = {}
        if k % 4 == 1:
            options = {"compression": "zlib", "predictor": True}
        elif k % 4 == 2:
            options = {"tile": (256, 256)}
        well = f"{'ABCDEFGH'[k // 12 % 8]}{k % 12 + 1:02}"
        tifffile.imwrite(folder / f"{well}_s{k // 96}.tif", plane, **options)


def command(folder: Path, out: Path, *arguments: str) -> List[str]:
    # Those of all settings that every run here shares.
    chosen = ("--overlay", "none", "--out", str(out))
    return [
        sys.executable, "-m", "microscope_quality", "measure", str(folder), *chosen, *arguments
    ]  # fmt: skip


def one_thread() -> Dict[str, str]:
    """Environment in which no process has more than one BLAS thread."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, "1")}


def measured(folder: Path, out: Path, jobs: int) -> Tuple[float, float]:
    """Run the command; give its seconds, and those that its processes computed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(
        command(folder, out, "--jobs", str(jobs)),
        check=True,
        stdout=subprocess.DEVNULL,
        env=one_thread(),
    )
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    computed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, computed


def prediction_seconds(folder: Path, n: int) -> float:
    """Time the model alone on all patches of some of the images, with one thread, an image."""
    model = FocusModel.from_pretrained()
    size = model.description.patch_size
    places = positions(SIDE, SIDE, size)
    paths = sorted(folder.iterdir())
    chosen = paths[:: max(1, len(paths) // n)][:n]
    taken = 0.0
    with threadpool_limits(limits=1):
        # The first one makes the network's memory.
        for k, path in enumerate([chosen[0], *chosen]):
            (plane,) = planes(path)
            patches = cut(plane.array, places, size)
            start = time.perf_counter()
            model.predict(patches)
            if k:
                taken += time.perf_counter() - start
    return taken / len(chosen)


def throughput(folder: Path, n: int) -> Iterator[Figure]:
    """Measure images a second, with 1 and 2 jobs, and the time beside the model's."""
    write_images(folder / "images", n)
    name = f"{n:,} images of {SIDE}×{SIDE}, 16 bit, local disk"
    # Before and after, since a machine's speed changes in minutes.
    predicted = prediction_seconds(folder / "images", 100)
    alone, computed = measured(folder / "images", folder / "one", 1)
    predicted = (predicted + prediction_seconds(folder / "images", 100)) / 2
    beside = 1000 * (alone / n - predicted)
    both, _ = measured(folder / "images", folder / "two", 2)
    same = (folder / "one/results.csv").read_bytes() == (folder / "two/results.csv").read_bytes()
    ratio = alone / both
    yield Figure(
        f"{name}: images a second with 1 job, with 2",
        f"{n / alone:.1f}, {n / both:.1f}: {ratio:.2f} times",
        "≥ 1.7 times",
        ratio >= 1.7,
    )
    yield Figure(
        "the same: everything but the network, 1 job",
        f"{beside:.1f} ms an image ({1000 * alone / n:.0f} ms in all, {1000 * computed / n:.0f} ms "
        f"of them computing, {1000 * predicted:.0f} ms in the network)",
        "≤ 20 ms",
        beside <= 20,
    )
    yield Figure("the same: tables of both", "equal" if same else "differ", "equal", same)


def write_small_images(folder: Path) -> None:
    """Write 240 small images, z-stacks among them, and two files that are no images."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(240):
        shape = (6, 180, 260) if k % 8 == 0 else (260, 340)
        light = nuclei(shape[-2:], 12, k)
        noisy = rng.poisson(300 * np.broadcast_to(light + 0.05, shape)).astype(np.uint16)
        axes = {"axes": "ZYX"} if len(shape) == 3 else None
        tifffile.imwrite(folder / f"image{k}.tif", noisy, metadata=axes)
    (folder / "broken.tif").write_bytes(b"II*\0 and then nothing")
    (folder / "image100 empty.tif").touch()


def kills(folder: Path, jobs: int) -> Figure:
    """Kill runs at random moments and start them again, until they have been killed often."""
    images = folder / "small"
    if not images.exists():
        write_small_images(images)
    options = ("--jobs", str(jobs), "--per-patch", "--luminance")
    whole, out = folder / f"whole{jobs}", folder / f"killed{jobs}"
    start = time.perf_counter()
    run_to_end(images, whole, *options)
    seconds = time.perf_counter() - start
    rng = random.Random(jobs)
    killed, equal, finished = 0, 0, 0
    while killed < KILLS:
        process = subprocess.Popen(
            command(images, out, *options),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=one_thread(),
            start_new_session=True,
        )
        try:
            process.wait(rng.uniform(0, 0.4 * seconds))
        except subprocess.TimeoutExpired:
            killed += 1
            # Sometimes the command alone, and what it started finds itself without it.
            if killed % 2:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            process.wait()
            if killed < KILLS:
                continue
            run_to_end(images, out, *options)
        finished += 1
        equal += same_tables(whole, out)
        shutil.rmtree(out)
    return Figure(
        f"runs with {jobs} job{'s' if jobs > 1 else ''} killed at random moments and started again",
        f"{killed} kills in {finished} runs; {equal} with the tables of an uninterrupted one, "
        "byte for byte",
        "all",
        equal == finished > 0,
    )


def run_to_end(images: Path, out: Path, *options: str) -> None:
    done = subprocess.run(
        command(images, out, *options),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=one_thread(),
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"measure ended with exit code {done.returncode}")


def same_tables(whole: Path, out: Path) -> bool:
    """Whether two folders hold the same tables, and nothing of a run that goes on."""
    names = {path.name for path in whole.iterdir()}
    if names != {path.name for path in out.iterdir()}:
        return False
    return all(
        (whole / name).read_bytes() == (out / name).read_bytes()
        for name in names
        if name.endswith(".csv")
    )


def peak(path: Path) -> int:
    """Measure a file; give the largest memory of this process so far, in bytes."""
    from microscope_quality.measuring.page import Settings, measure_file

    measure_file(Settings(), (path.name, path))
    # Not `ru_maxrss`, which begins with what the process had that started this one.
    with Path("/proc/self/status").open(encoding="ascii") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def memory(folder: Path) -> Iterator[Figure]:
    """Compare what a worker takes with what `bytes_of_page` says."""
    from microscope_quality.batch.run import run
    from microscope_quality.files.images import open_image
    from microscope_quality.measuring.memory import PROCESS_BYTES
    from microscope_quality.measuring.page import Settings, bytes_of_page

    small, path = folder / "patch.tif", folder / "plane.tif"
    tifffile.imwrite(small, np.random.default_rng(0).poisson(300, (84, 84)).astype(np.uint16))
    (at_rest,) = run(peak, [small], jobs=2)
    assert at_rest.value
    yield Figure(
        "memory of a worker at rest",
        f"{at_rest.value / 1e6:.0f} MB",
        f"≤ {PROCESS_BYTES / 1e6:.0f} MB, which is reckoned with",
        at_rest.value <= PROCESS_BYTES,
    )
    tile = np.random.default_rng(0).poisson(100, (1024, 1024))
    shares = []
    for kind in ("u1", "u2", "f4", "f8"):
        for side in (1024, 2048, 4096, 8192):
            plane = np.tile(tile, (side // 1024, side // 1024)).astype(kind)
            for compression in (None, "zlib"):
                tifffile.imwrite(path, plane, compression=compression, rowsperstrip=side)
                (taken,) = run(peak, [path], jobs=2)
                assert taken.value, taken.error
                (page,) = open_image(path).pages
                shares.append(taken.value / bytes_of_page(Settings(), page, drawn=False))
    yield Figure(
        "peak memory of a worker, planes of 8 to 64 bits and 1 to 67 megapixels, in one strip, "
        "against what is reckoned with",
        f"{min(shares):.2f} to {max(shares):.2f}",
        "0.5 to 1.05",
        min(shares) >= 0.5 and max(shares) <= 1.05,
    )


def main(arguments: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runs", description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES, help="how many for the throughput")
    parser.add_argument("--only", choices=("throughput", "kills", "memory"))
    options = parser.parse_args(arguments)
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {
            "memory": lambda: memory(folder),
            "kills": lambda: (kills(folder, jobs) for jobs in (1, 2)),
            "throughput": lambda: throughput(folder, options.images),
        }
        met = [print_rows(part()) for key, part in parts.items() if options.only in (None, key)]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
