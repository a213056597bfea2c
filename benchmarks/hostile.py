"""A folder in which every second file is hostile: what becomes of the others, and what it takes.

``python -m benchmarks.hostile`` takes some minutes; it runs on Linux, and needs the extras
``cluster`` and ``test``. The files are those of ``tests/hostile_files.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

import numpy as np
import tifffile

from benchmarks.figure import Figure, print_rows
from microscope_quality.degrade import Camera, defocus
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import nuclei
from tests.hostile_files import make
from tests.processes import resident, workers_of

GOOD = 200
SIDE = 256
#: Memory of all processes of a run, and what it may take beside what it would take without them.
BAR_BYTES = 1.2e9
#: Columns of a row that tell how its file was measured, and not what it is.
_OF_FILE = ("file", "size_bytes", "modified")

Rows = Dict[str, Tuple[str, ...]]


@dataclass(frozen=True)
class Run:
    """What a command left, and what it took."""

    code: int
    rows: Rows
    errors: Dict[str, str]
    seconds: float
    peak_bytes: int
    said: str


def write_good(folder: Path) -> List[str]:
    """Write images that can be measured, of several kinds, between the others."""
    names = []
    light = nuclei((1024, 1024), 300, 5)
    for k in range(GOOD):
        level = k % 8
        part = np.roll(light, (97 * k, 61 * k), (0, 1))[: SIDE + 64, : SIDE + 64]
        blurred = defocus(part, psf(TRAINING_OPTICS, 2.0 * level))[32:-32, 32:-32]
        plane = Camera().expose(2000 * (np.maximum(blurred, 0) + 0.02), k).astype(np.uint16)
        name = f"hostile{k:03}_beside.tif"
        packing = "zlib" if k % 3 == 0 else None
        tifffile.imwrite(folder / name, plane, compression=packing)
        names.append(name)
    return names


def read(out: Path) -> Tuple[Rows, Dict[str, str]]:
    """Rows of files that were measured, without what may differ; errors of the others."""
    rows: Rows = {}
    errors: Dict[str, str] = {}
    with (out / "results.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["error"]:
                errors[row["file"]] = row["error"]
            else:
                assert row["file"] not in rows, f"{row['file']} stands twice"
                rows[row["file"]] = tuple(row.values())
    return rows, errors


def started(command: Sequence[str], out: Path) -> Run:
    """Run a command to its end."""
    began = time.monotonic()
    peak = 0
    with tempfile.TemporaryFile() as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "microscope_quality", *command, "--out", str(out)],
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while process.poll() is None:
            peak = max(peak, resident(process.pid))
            time.sleep(0.05)
        seconds = time.monotonic() - began
        screen.seek(0)
        said = screen.read().decode(errors="replace")
    rows, errors = read(out)
    return Run(process.returncode, rows, errors, seconds, peak, said)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A Dask cluster of two workers; gives its scheduler file."""
    file = folder / "scheduler.json"
    common = ("--no-dashboard",)
    place = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
    workers = ("--scheduler-file", str(file), "--nworkers", "2", "--nthreads", "1")
    commands = (("scheduler", *place), ("worker", *workers, "--local-directory", str(folder)))
    with contextlib.ExitStack() as stack:
        for name, *arguments in commands:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", name, *arguments, *common],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            while not file.exists():
                time.sleep(0.05)
        yield str(file)


def interrupted(images: Path, out: Path, command: str) -> float:
    """Stop all workers of a run, then ask for its end; gives the seconds until it comes."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "microscope_quality", command, str(images)),
            *("--out", str(out), "--jobs", "2"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stopped: List[int] = []
    while len(stopped) < 2 and process.poll() is None:
        for pid in set(workers_of(process.pid)) - set(stopped):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
    time.sleep(2)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait()
    return time.monotonic() - began


def listing(folder: Path) -> Counter[str]:
    """All that is in a folder, without following links."""
    found: Counter[str] = Counter()
    for inner, folders, files in os.walk(folder):
        found.update(f"{inner}/{name}" for name in (*folders, *files))
    return found


def runs(folder: Path) -> Iterator[Figure]:
    """Measure, watch and measure on a cluster a folder of hostile and of good files."""
    images = folder / "images"
    images.mkdir()
    trace = folder / "code-has-run"
    hostile = make(images, trace)
    good = write_good(images)
    alone = folder / "alone"
    alone.mkdir()
    for name in good:
        (alone / name).hardlink_to(images / name)
    without = started(["measure", str(alone), "--overlay", "none"], folder / "without")
    assert without.code == 0, without.said
    before = listing(folder)

    def judged(name: str, run: Run, out: str) -> Iterator[Figure]:
        beside = {one for one in listing(folder) - before if not one.startswith(str(folder / out))}
        before.update(listing(folder))
        right = sum(run.rows.get(one) == without.rows[one] for one in good)
        errors = sum(one in run.errors for one in hostile)
        yield Figure(
            f"{name}: right rows of {len(good)} good files, errors of {len(hostile)} hostile ones, "
            "files made beside the results",
            f"{right}, {errors}, {len(beside)}",
            f"{len(good)}, {len(hostile)}, 0",
            (right, errors, len(beside)) == (len(good), len(hostile), 0)
            and not trace.exists()
            and "Traceback" not in run.said,
        )
        yield Figure(
            f"{name}: time; memory of all processes at once",
            f"{run.seconds:.1f} s; {run.peak_bytes / 1e9:.2f} GB",
            f"< {BAR_BYTES / 1e9:g} GB",
            run.peak_bytes < BAR_BYTES,
        )

    common = ["measure", str(images), "--overlay", "none"]
    for jobs in ("1", "2"):
        out = f"measured{jobs}"
        run = started([*common, "--jobs", jobs], folder / out)
        yield from judged(f"measure --jobs {jobs}", run, out)
    run = started(["watch", str(images), "--once", "--interval", "0.2"], folder / "watched")
    yield from judged("watch --once", run, "watched")
    with tempfile.TemporaryDirectory() as place, cluster(Path(place)) as file:
        run = started([*common, "--cluster", file], folder / "on-cluster")
    yield from judged("measure --cluster (memory without its workers)", run, "on-cluster")
    seconds = [
        interrupted(alone, folder / f"stopped-{command}", command)
        for command in ("measure", "watch")
    ]
    yield Figure(
        "from Ctrl-C to the end of measure and watch, all their workers stopped (SIGSTOP)",
        ", ".join(f"{one:.1f} s" for one in seconds),
        "< 3 s",
        max(seconds) < 3,
    )


def main(arguments: Sequence[str] = ()) -> int:
    argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__).parse_args(
        arguments
    )
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        return 0 if print_rows(runs(Path(name))) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
