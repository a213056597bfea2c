"""Watch a folder while several programs write images into it, slowly and untidily.

``python -m benchmarks.watching`` takes about five minutes; ``--kill 3`` also ends the watch three
times by SIGKILL and starts it again.
"""

from __future__ import annotations

import argparse
import csv
import io
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import tifffile
from PIL import Image

from benchmarks.figure import Figure, print_rows
from microscope_quality.degrade import Camera, defocus
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import nuclei

SIDE = 1080
WRITERS = 4
PIECES = 8
#: Shares of the files that are left half written for a while, and for good.
TRUNCATED, BROKEN = 20, 5
#: Seconds from a file's completion to its row: two intervals.
BAR_SECONDS = 2.0
# After a start, in seconds: the processes are not there yet.
_STARTING = 6.0


@dataclass(frozen=True)
class Plan:
    """How a file comes to be: what is written when, in seconds from the start."""

    name: str
    kind: str
    begin: float
    pause: float


def plans(files: int, rate: float, seed: int = 0) -> List[Plan]:
    """Lay out the files: their order, kinds and times are the same for the same numbers."""
    rng = random.Random(seed)
    special = ["truncated"] * min(TRUNCATED, files // 25) + ["broken"] * min(BROKEN, files // 100)
    usual = ("in place", "renamed", "empty first", "allocated first", "old", "of the future")
    kinds = special + [usual[k % len(usual)] for k in range(files - len(special))]
    rng.shuffle(kinds)
    return [
        Plan(
            f"day {k % 3}/plate {k % 5}/{k:04}{'.png' if k % 10 == 0 else '.tif'}",
            kind,
            begin=k / rate,
            pause=rng.uniform(3, 40) if kind == "truncated" else rng.uniform(0.2, 1.5),
        )
        for k, kind in enumerate(kinds)
    ]


def contents() -> List[np.ndarray[Tuple[int, int], np.dtype[np.uint16]]]:
    """Simulate fields of nuclei at different levels."""
    light = nuclei((SIDE, SIDE), 300, 0)
    fields = []
    for k in range(6):
        blurred = defocus(light, psf(TRAINING_OPTICS, 4.0 * k)) if k else light
        exposed = Camera().expose(3000 * (np.maximum(blurred, 0) + 0.03), k)
        fields.append(exposed.astype(np.uint16))
    return fields


def encoded(plan: Plan, fields: List[np.ndarray[Tuple[int, int], np.dtype[np.uint16]]]) -> bytes:
    """Give the bytes of a file; no two have the same pixels."""
    number = int(Path(plan.name).stem)
    plane = np.roll(fields[number % len(fields)], (number * 37, number * 101), (0, 1))
    stream = io.BytesIO()
    if plan.name.endswith(".png"):
        Image.fromarray(plane).save(stream, "PNG", compress_level=1)
    else:
        tifffile.imwrite(stream, plane, compression="zlib" if number % 3 == 0 else None)
    return stream.getvalue()


def write(
    folder: Path, own: List[Plan], files: Path, go: Any, done: multiprocessing.Queue[object]
) -> None:
    """Write files in pieces at their times; several are on their way at a time."""
    # When each next piece is due, of which file.
    steps: List[Tuple[float, int, int]] = []
    for k, plan in enumerate(own):
        for piece in range(PIECES + 1):
            at = plan.begin + plan.pause * piece / PIECES
            if plan.kind == "truncated":
                # The first half at once, the second when the pause is over.
                at = plan.begin + (0.02 * piece if piece < PIECES / 2 else plan.pause)
            steps.append((at, k, piece))
    steps.sort()
    done.put(None)
    start = go.get()
    for at, k, piece in steps:
        plan = own[k]
        path = folder / plan.name
        path.parent.mkdir(parents=True, exist_ok=True)
        time.sleep(max(0.0, start + at - time.monotonic()))
        target = path.with_name(f"{path.name}.tmp") if plan.kind == "renamed" else path
        content = (files / Path(plan.name).name).read_bytes()
        size = len(content)
        if piece == 0:
            with target.open("wb") as stream:
                if plan.kind == "allocated first":
                    stream.truncate(size)
            if plan.kind == "empty first":
                continue
        begin, end = size * max(0, piece - 1) // PIECES, size * piece // PIECES
        if plan.kind == "broken" and piece > PIECES // 2:
            continue
        with target.open("r+b") as stream:
            stream.seek(begin)
            stream.write(content[begin:end])
        if piece < PIECES:
            continue
        if plan.kind == "old":
            os.utime(target, (1e9, 1e9))
        elif plan.kind == "of the future":
            os.utime(target, (4e9, 4e9))
        if target != path:
            target.rename(path)
        done.put((plan.name, time.monotonic()))


def rows_of(path: Path) -> List[Dict[str, str]]:
    """Read a table; a last row that is being written is left out."""
    content = path.read_bytes()
    content = content[: content.rfind(b"\n") + 1]
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def command(*arguments: object) -> List[str]:
    return [sys.executable, "-m", "microscope_quality", *map(str, arguments)]


def watched(files: int, rate: float, kills: int) -> List[Figure]:
    """Write, watch, and compare the table with that of ``measure`` afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "plate", Path(scratch) / "results"
        folder.mkdir()
        every = plans(files, rate)
        ready = Path(scratch) / "ready"
        ready.mkdir()
        fields = contents()
        for plan in every:
            (ready / Path(plan.name).name).write_bytes(encoded(plan, fields))
        kinds = {plan.name: plan.kind for plan in every}
        call = command("watch", folder, "--out", out)
        log = (Path(scratch) / "log").open("wb")
        process = subprocess.Popen(call, stdout=log, stderr=log)
        started = [time.monotonic()]
        context = multiprocessing.get_context("spawn")
        done: multiprocessing.Queue[object] = context.Queue()
        go: multiprocessing.Queue[float] = context.Queue()
        for k in range(WRITERS):
            own = every[k::WRITERS]
            context.Process(target=write, args=(folder, own, ready, go, done)).start()
        for _ in range(WRITERS):
            done.get()
        start = max(time.monotonic() + 1, started[0] + _STARTING)
        for _ in range(WRITERS):
            go.put(start)
        last = max(plan.begin + plan.pause for plan in every)
        rng = random.Random(1)
        deaths = sorted(start + rng.uniform(0.1, 0.9) * last for _ in range(kills))
        completed: Dict[str, float] = {}
        seen: Dict[str, float] = {}
        right: Dict[str, Dict[str, str]] = {}
        identity = None
        table = out / "results.csv"
        until = start + last + 45
        while time.monotonic() < until:
            if deaths and time.monotonic() > deaths[0]:
                deaths.pop(0)
                process.send_signal(signal.SIGKILL)
                process.wait()
                time.sleep(1)
                process = subprocess.Popen(call, stdout=log, stderr=log)
                started.append(time.monotonic())
            while not done.empty():
                name, at = done.get()  # type: ignore[misc]
                completed[name] = at
            try:
                status = table.stat()
            except FileNotFoundError:
                continue
            if identity != (status.st_size, status.st_mtime_ns, status.st_ino):
                moment = time.monotonic()
                identity = (status.st_size, status.st_mtime_ns, status.st_ino)
                for row in rows_of(table):
                    # A row of an earlier state of the file is not the one to wait for.
                    if right.get(row["file"]) != row:
                        right[row["file"]], seen[row["file"]] = row, moment
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        subprocess.run(
            command("measure", folder, "--out", Path(scratch) / "measured", "--overlay", "none"),
            stdout=subprocess.DEVNULL,
            check=False,
        )
        ours = rows_of(table)
        theirs = {row["file"]: row for row in rows_of(Path(scratch) / "measured" / "results.csv")}
        log.close()
        lines = (Path(scratch) / "log").read_text(encoding="utf-8").splitlines()
    good = [name for name, kind in kinds.items() if kind != "broken"]
    by_name = {row["file"]: row for row in ours}
    equal = [name for name in good if by_name.get(name) == theirs[name]]
    errors = [row["file"] for row in ours if row["error"]]
    # A file that was completed while no watch was up, or hardly, has no latency of its own.
    waits = {
        name: seen[name] - completed[name]
        for name in equal
        if not any(at - 5 < completed[name] < at + _STARTING for at in started)
    }
    late = {name: wait for name, wait in waits.items() if wait > BAR_SECONDS}
    for name, wait in sorted(late.items()):
        print(f"late: {name}, {kinds[name]}, {wait:.2f} s", file=sys.stderr)
    for name in sorted(set(good) - set(equal)):
        print(f"not equal: {name}, {kinds[name]}: {by_name.get(name)}", file=sys.stderr)
    measured_twice = sum(
        count > 1 for count in (sum(name in line for line in lines) for name in good)
    )
    ordered = sorted(waits.values())
    about = f"{files} files, {WRITERS} writers, {rate:g} a second"
    about += f", ended by SIGKILL {kills} times" if kills else ""
    return [
        Figure(
            f"watch: {about}; rows equal to those of `measure` afterwards",
            f"{len(equal)} of {len(good)}",
            "all",
            len(equal) == len(good),
        ),
        Figure(
            "rows of files that are broken for good, with an error",
            f"{len(errors)} of {len(kinds) - len(good)}",
            "all, and no others",
            sorted(errors) == sorted(set(kinds) - set(good)),
        ),
        Figure("rows in all", str(len(ours)), str(files), len(ours) == files == len(by_name)),
        Figure(
            "from a file's completion to its row in results.csv",
            f"{statistics.median(ordered):.2f} s median, {ordered[int(0.99 * len(ordered))]:.2f} s "
            f"99%, {ordered[-1]:.2f} s at most; {len(waits)} files; "
            f"{measured_twice} measured a second time as they changed",
            f"≤ {BAR_SECONDS:g} s for all",
            not late and len(waits) >= 0.5 * len(good),
        ),
        Figure("exit code after Ctrl-C", str(code), "130", code == 130),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching", description=__doc__)
    parser.add_argument("--files", type=int, default=505)
    parser.add_argument("--rate", type=float, default=2.0, help="files a second")
    parser.add_argument("--kill", type=int, default=0, metavar="N", help="times")
    options = parser.parse_args()
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    return 0 if print_rows(watched(options.files, options.rate, options.kill)) else 1


if __name__ == "__main__":
    sys.exit(main())
