"""Folders of files that are made to do harm: each is a row with an error, and the others are right.

`docs/robustness.md` says what a file can and cannot do.
"""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import coded
import hostile_files
import pytest
import tifffile
from processes import resident, workers_of

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="makes files and limits as Linux has them"
    ),
]

#: Of all processes of a run, in bytes: twice what it takes without any hostile file, and the page
#: that one of them may have.
MOST_BYTES = 1.2e9
GOOD = 20
COMMAND = (sys.executable, "-m", "microscope_quality")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "coded"
    coded.write(folder)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hostile files, and good ones between them whose level is that of their number."""
    folder = tmp_path_factory.mktemp("hostile") / "images"
    folder.mkdir()
    hostile_files.make(folder, folder.parent / "code-has-run")
    for k in range(GOOD):
        tifffile.imwrite(folder / f"hostile{k:03}_beside.tif", coded.plane([[k % 10]]))
    return folder


def run(folder: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run a command, its memory watched."""
    screen = folder / "screen.txt"
    with screen.open("w") as stream:
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        until = time.monotonic() + 240
        peak = 0
        while process.poll() is None and time.monotonic() < until:
            peak = max(peak, resident(process.pid))
            time.sleep(0.05)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    said = screen.read_text(errors="replace")
    assert process.returncode == 1, said[-2000:]
    assert peak < MOST_BYTES
    assert "Traceback" not in said
    return subprocess.CompletedProcess(process.args, process.returncode, said)


def rows(out: Path) -> Dict[str, Dict[str, str]]:
    with (out / "results.csv").open(encoding="utf-8", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert len({row["file"] for row in found}) == len(found)
    return {row["file"]: row for row in found}


def check(images: Path, out: Path) -> None:
    """Right rows of the good files, errors of all others, nothing beside the results."""
    found = rows(out)
    assert set(found) == {path.name for path in images.iterdir()}
    for name, row in found.items():
        if name.endswith("_beside.tif"):
            assert (row["error"], row["level"]) == ("", str(int(name[7:10]) % 10))
        else:
            assert row["error"], name
            assert not row["level"]
            assert str(images) not in row["error"]
    assert not (images.parent / "code-has-run").exists()
    assert {path.name for path in images.parent.iterdir()} == {"images", "outside"}
    assert not any(path.name.startswith("core") for path in Path.cwd().iterdir())


@pytest.mark.parametrize("jobs", [1, 2])
def test_measured(images: Path, model: Path, tmp_path: Path, jobs: int) -> None:
    common = ("measure", images, "--model", model, "--out", tmp_path / "out", "--jobs", jobs)
    run(tmp_path, *common, "--report")
    check(images, tmp_path / "out")


def test_watched(images: Path, model: Path, tmp_path: Path) -> None:
    common = ("watch", images, "--model", model, "--out", tmp_path / "out", "--jobs", 2)
    run(tmp_path, *common, "--once", "--interval", "0.1")
    check(images, tmp_path / "out")


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[str]:
    file = folder / "scheduler.json"
    place = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file)]
    of_worker = ["--scheduler-file", str(file), "--nworkers", "1", "--nthreads", "2"]
    commands = (["scheduler", *place], ["worker", *of_worker, "--local-directory", str(folder)])
    processes: List[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *command, "--no-dashboard"],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            while not file.exists():
                time.sleep(0.05)
        yield str(file)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def test_measured_on_a_cluster(images: Path, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with cluster(tmp_path) as file:
        common = ("measure", images, "--model", model, "--out", tmp_path / "out")
        run(tmp_path, *common, "--cluster", file)
    check(images, tmp_path / "out")


# A budget for each file.


def plate(folder: Path) -> Path:
    images = folder / "plate"
    images.mkdir()
    for k in range(6):
        tifffile.imwrite(images / f"{k}.tif", coded.plane([[k]]))
    return images


@pytest.mark.parametrize("command", ["measure", "watch"])
def test_a_stopped_worker_neither_holds_up_a_run_nor_ctrl_c(
    model: Path, tmp_path: Path, command: str
) -> None:
    images = plate(tmp_path)
    out = tmp_path / "out"
    process = subprocess.Popen(
        [*COMMAND, command, images, "--model", model, "--out", out, "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 60
        stopped: List[int] = []
        # As soon as they are there, so that they have not answered yet.
        while len(stopped) < 2 and time.monotonic() < until:
            for pid in set(workers_of(process.pid)) - set(stopped):
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
        assert len(stopped) == 2
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        # Not for ever; how long, `benchmarks/hostile.py` measures.
        assert process.wait(60) == 130
        assert not any(Path(f"/proc/{pid}").exists() for pid in stopped)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_what_takes_too_long_or_too_much_is_a_row(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = plate(tmp_path)
    # The processes at work load this, and misbehave on some files as a decoder might.
    inside = tmp_path / "inside"
    inside.mkdir()
    shutil.copy(Path(__file__).with_name("misbehaving.py"), inside / "sitecustomize.py")
    monkeypatch.setenv("PYTHONPATH", str(inside))
    common = ("measure", images, "--model", model, "--jobs", 2)
    said = run(tmp_path, *common, "--out", tmp_path / "out", "--file-time", 8).stdout
    found = rows(tmp_path / "out")
    assert found["1.tif"]["error"] == "took longer than the 8 s that it may take"
    assert "needs more memory than" in found["2.tif"]["error"]
    assert "was ended by SIGSEGV" in found["3.tif"]["error"]
    for k in (0, 4, 5):
        assert (found[f"{k}.tif"]["level"], found[f"{k}.tif"]["error"]) == (str(k), "")
    assert "took longer than the 8 s" in said
    record = (tmp_path / "out" / "run.json").read_text()
    assert '"seconds": 8.0' in record
    # With what it takes, it is measured.
    run(tmp_path, *common, "--out", tmp_path / "out", "--file-time", 8, "--file-memory", "3GB")
    assert rows(tmp_path / "out")["2.tif"]["level"] == "2"


def test_the_report_draws_beside_what_takes_too_long(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = plate(tmp_path)
    out = tmp_path / "out"
    measured = subprocess.run(
        [*COMMAND, "measure", images, "--model", model, "--out", out, "--overlay", "none"],
        capture_output=True,
        check=False,
    )
    assert measured.returncode == 0, measured.stderr
    inside = tmp_path / "inside"
    inside.mkdir()
    shutil.copy(Path(__file__).with_name("misbehaving.py"), inside / "sitecustomize.py")
    monkeypatch.setenv("PYTHONPATH", str(inside))
    drawn = subprocess.run(
        [*COMMAND, "report", out, "--file-time", "3"],
        capture_output=True,
        check=False,
    )
    assert drawn.returncode == 0, drawn.stderr
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "3 of 6 pictures are missing" in page
    assert page.count("data:image/webp") >= 3
