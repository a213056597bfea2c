"""The measure command under limits: large images, samples of them, memory, a cluster."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import coded
import numpy as np
import pytest
import tifffile
from command_line import command, environment, measure, pictures, table

from microscope_quality.focus import measure_focus
from microscope_quality.measuring.memory import PROCESS_BYTES, memory_of
from microscope_quality.model import write_model
from microscope_quality.sampling import sample_focus


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="asks POSIX")
def test_memory_of_a_large_image_with_one_job(tmp_path):
    """2048 × 2048 pixels of 16 bits through a network of the default's size."""
    rng = np.random.default_rng(3)
    layers, weights, channels = [], {}, 1
    for i, (filters, size) in enumerate([(24, 5), (48, 3), (64, 3), (64, 3)]):
        layers.append(
            {
                "kind": "conv2d",
                "name": f"conv{i}",
                "filters": filters,
                "size": size,
                "stride": 2,
                "activation": "relu",
            }
        )
        weights[f"conv{i}/kernel"] = rng.normal(0, 0.1, (size, size, channels, filters))
        weights[f"conv{i}/bias"] = np.zeros(filters)
        channels = filters
    layers.append({"kind": "mean_max_pool"})
    for name, given, units, activation in (("a", 128, 64, "relu"), ("b", 64, 11, "softmax")):
        layers.append({"kind": "dense", "name": name, "units": units, "activation": activation})
        weights[f"{name}/kernel"] = rng.normal(0, 0.1, (given, units))
        weights[f"{name}/bias"] = np.zeros(units)
    description = coded.description(layers=tuple(layers))
    write_model(tmp_path / "model", description, weights)
    tifffile.imwrite(tmp_path / "a.tif", rng.poisson(400, (2048, 2048)).astype(np.uint16))
    arguments = [tmp_path / "a.tif", "--model", tmp_path / "model", "--out", tmp_path / "out"]
    # Asked by a process in between: a child's peak begins with that of the process it is forked
    # from, and this one may have grown large.
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            *command("measure", *arguments, "--jobs", 1, "--overlay", "all"),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    kilobytes = int(done.stdout) / (1024 if sys.platform == "darwin" else 1)
    assert kilobytes < 400_000


@pytest.mark.long
def test_a_sample_is_the_librarys_and_gives_its_interval(model, tmp_path):
    levels = np.random.default_rng(1).integers(2, 6, (20, 20)).tolist()
    image = tmp_path / "a.tif"
    tifffile.imwrite(image, coded.plane(levels))
    out = tmp_path / "out"
    screen = measure(image, "--model", model, "--out", out, "--sample", 30, "--seed", 5)
    (row,) = table(out / "results.csv")
    expected = sample_focus(coded.plane(levels), model, places=30, seed=5)
    assert int(row["places"]) == expected.places
    for name in ("expected_level", "expected_level_low", "expected_level_high"):
        assert float(row[name]) == pytest.approx(getattr(expected, name), rel=1e-5)
    whole = measure_focus(coded.plane(levels), model).expected_level
    assert float(row["expected_level_low"]) <= whole <= float(row["expected_level_high"])
    low, high = (float(row[f"expected_level_{end}"]) for end in ("low", "high"))
    assert f"{low:.2f} to {high:.2f}" in screen
    # Another seed is another measurement.
    measure(image, "--model", model, "--out", out, "--sample", 30, "--seed", 6)
    assert table(out / "results.csv")[0]["expected_level"] != row["expected_level"]


@pytest.mark.long
def test_a_limit_of_memory(mixed_folder, model, tmp_path):
    out = tmp_path / "out"
    large = mixed_folder / "large.tif"
    tifffile.imwrite(large, np.zeros((5000, 6000), np.uint16), compression="deflate")
    common = ("--model", model, "--out", out, "--overlay", "none", "--limit-memory")
    measure(mixed_folder, *common, "200MB", "--jobs", 2, code=1)
    errors = {row["file"]: row["error"] for row in table(out / "results.csv")}
    assert "and the limit is 200 MB" in errors["large.tif"]
    assert errors["A01.tif"] == ""
    measure(mixed_folder, *common, "1GB", "--jobs", 2, code=1)
    rows = {row["file"]: row for row in table(out / "results.csv")}
    assert rows["large.tif"]["status"] == "no_content"


@pytest.mark.long
def test_pictures_keep_to_the_limit_of_memory(model, tmp_path):
    levels = np.zeros((24, 24), int)
    levels[:, 12:] = 9
    image = tmp_path / "large.tif"
    tifffile.imwrite(image, coded.plane(levels.tolist()))
    out = tmp_path / "out"
    # Of this process, and of the one at work.
    need = PROCESS_BYTES + memory_of(24 * 84, 24 * 84, 2, patch_size=coded.PATCH)
    common = (image, "--model", model, "--out", out, "--limit-memory")
    screen = measure(*common, f"{need + 10**6}B", "--report", code=1)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert re.search(r"1 of 1 pictures is missing.*needs about \d+ MB of memory", page)
    assert "needs about" in screen
    assert table(out / "results.csv")[0]["status"] == "mixed"
    measure(*common, "1GB", "--report")
    assert len(pictures(out)) == 1
    assert "pictures is missing" not in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.cluster
def test_a_cluster_gives_the_same_table(mixed_folder, model, tmp_path):
    scheduler_file = tmp_path / "scheduler.json"
    scheduler = ["dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    worker = ["dask", "worker", "--nworkers", "1", "--nthreads", "1", "--no-dashboard"]
    processes = []
    try:
        for command in (scheduler, worker):
            file = ["--scheduler-file", str(scheduler_file)]
            processes.append(
                subprocess.Popen(
                    [str(Path(sys.executable).with_name(command[0])), *command[1:], *file],
                    stderr=subprocess.DEVNULL,
                    cwd=tmp_path,
                )
            )
        common = (
            os.path.relpath(mixed_folder),
            "--model",
            model,
            "--overlay",
            "all",
            "--per-patch",
        )
        # As the path was typed, not as a worker has it.
        common += ("--pattern", "^(?P<plate>.*)/(?P<well>[A-Z]0[0-9]).tif$")
        for _ in range(300):
            if scheduler_file.exists():
                break
            subprocess.run(["sleep", "0.1"], check=True)
        far = os.path.relpath(tmp_path / "far")
        measure(*common, "--out", far, "--cluster", scheduler_file, code=1)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
    measure(*common, "--out", tmp_path / "here", code=1)
    for name in ("results.csv", "stacks.csv", "patches.csv"):
        assert (tmp_path / "far" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert table(tmp_path / "far" / "results.csv")[1]["plate"] == os.path.relpath(mixed_folder)
    for path in (tmp_path / "here" / "overlays").iterdir():
        assert (tmp_path / "far" / "overlays" / path.name).read_bytes() == path.read_bytes()
    assert json.loads((tmp_path / "far" / "run.json").read_text())["status"] == "finished"
