"""What the measure command keeps of what was there: after its end, any end, and by whom."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import coded
import numpy as np
import pytest
import tifffile
from command_line import command, counts, environment, heed_ctrl_c, measure, run, table


def test_results_of_other_images_are_not_replaced_by_mistake(plate, model, tmp_path):
    out = tmp_path / "out"
    common = ("--model", model, "--out", out, "--overlay", "none")
    measure(plate, *common)
    before = (out / "results.csv").read_bytes()
    refused = run("measure", plate / "A01_s1.tif", *common, code=2)
    assert "has the results of 4 other images, such as A01_s1.tif; choose" in refused.stderr
    assert "replace them by --again" in refused.stderr
    assert (out / "results.csv").read_bytes() == before
    assert not (out / "results.csv.part").exists()
    measure(plate / "A01_s1.tif", *common, "--again")
    assert [row["file"] for row in table(out / "results.csv")] == [str(plate / "A01_s1.tif")]


def test_results_of_others_are_not_overwritten(plate, model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("results.csv", "stacks.csv", "patches.csv"):
        (out / name).write_text("my own notes")
        assert name in run("measure", plate, "--model", model, "--out", out, code=2).stderr
        assert (out / name).read_text() == "my own notes"
        (out / name).unlink()
        assert list(out.iterdir()) == []


def test_what_did_not_change_is_kept(plate, model, tmp_path):
    out = tmp_path / "out"
    common = ("--model", model, "--out", out, "--overlay", "none", "--per-patch")
    (plate / "C01_s1.tif").write_bytes(b"II*\0 cut short")
    measure(plate, *common, code=1)
    before = (out / "results.csv").read_bytes(), (out / "patches.csv").read_bytes()

    def counted():
        return tuple(counts(out)[name] for name in ("files", "measured", "kept"))

    # What failed is tried again.
    measure(plate, *common, code=1)
    assert counted() == (5, 1, 4)
    assert before == ((out / "results.csv").read_bytes(), (out / "patches.csv").read_bytes())
    # One changed, one gone, one new.
    tifffile.imwrite(plate / "A02_s1.tif", coded.plane(coded.FOCUSED))
    (plate / "A01_s1.tif").unlink()
    tifffile.imwrite(plate / "C01_s1.tif", coded.plane(coded.BLURRED))
    measure(plate, *common)
    assert counted() == (4, 2, 2)
    rows = table(out / "results.csv")
    assert [(row["file"], row["status"]) for row in rows] == [
        ("A02_s1.tif", "in_focus"),
        ("C01_s1.tif", "out_of_focus"),
        ("day 2/B10_s2.tif", "mixed"),
        ("day 2/B11_s2.png", "no_content"),
    ]
    assert {row["file"] for row in table(out / "patches.csv")} == {row["file"] for row in rows}
    # Other settings, or a wish.
    measure(plate, *common, "--in-focus-limit", 2)
    assert counted() == (4, 4, 0)
    measure(plate, *common, "--in-focus-limit", 2, "--again")
    assert counted() == (4, 4, 0)


def test_the_record_of_a_run(plate, model, tmp_path):
    out = tmp_path / "out"
    measure(plate, "--model", model, "--out", out, "--in-focus-limit", 2)
    record = json.loads((out / "run.json").read_text())
    row = table(out / "results.csv")[0]
    assert record["settings_id"] == row["settings_id"]
    assert record["settings"]["in_focus_limit"] == 2
    assert Path(record["folder"]) / row["file"] == plate / "A01_s1.tif"
    weights = (model / "weights.npz").read_bytes()
    assert record["model"]["sha256"] == hashlib.sha256(weights).hexdigest()
    assert record["versions"]["numpy"] == np.__version__
    assert record["counts"] == {
        "files": 4,
        "measured": 4,
        "kept": 0,
        "planes": 4,
        "failed": 0,
        "in_focus": 1,
        "out_of_focus": 1,
        "mixed": 1,
        "no_content": 1,
    }
    status = (plate / "A01_s1.tif").stat()
    assert row["size_bytes"] == str(status.st_size)
    assert np.datetime64(row["modified"][:-1], "ns").astype(int) == status.st_mtime_ns


def test_own_results_within_the_images_are_no_images(plate, model):
    for out in ("one", "one", "two"):
        measure(plate, "--model", model, "--out", plate / out, "--overlay", "all")
        assert len(table(plate / out / "results.csv")) == 4


def test_a_log_that_is_no_table_is_not_written_to(plate, model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "own.txt").write_text("mine")
    (out / "results.csv.part").symlink_to(tmp_path / "own.txt")
    refused = run("measure", plate, "--model", model, "--out", out, code=2)
    assert "results.csv.part: is there already" in refused.stderr
    assert (tmp_path / "own.txt").read_text() == "mine"


def test_a_table_that_was_taken_away_comes_back(mixed_folder, model, tmp_path):
    out = tmp_path / "out"
    common = (mixed_folder, "--model", model, "--out", out, "--overlay", "none", "--per-patch")
    measure(*common, code=1)
    content = (out / "patches.csv").read_bytes()
    (out / "patches.csv").unlink()
    measure(*common, code=1)
    assert (out / "patches.csv").read_bytes() == content


def _start(folder, model, out, *options):
    process = subprocess.Popen(
        command("measure", folder, "--model", model, "--out", out, "--overlay", "none", *options),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    part = out / "results.csv.part"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if part.exists() and len(table(part)) >= 3:
            return process
        time.sleep(0.01)
    raise AssertionError(process.communicate())


def _children(pid):
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def _is_alive(pid):
    try:
        # One that has ended and that nobody has asked about yet is a zombie.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# So many that none of the tests sees a run end before it has come in between.
MANY = 90


@pytest.fixture
def many(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    content = coded.plane([[1, 2, 3, 4, 5, 6, 7, 8]] * 8)
    for i in range(MANY):
        tifffile.imwrite(folder / f"{i:02}.tif", content, compression="deflate")
    return folder


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.mark.long
@linux
def test_a_killed_worker_costs_one_row_at_most(many, model, tmp_path):
    out = tmp_path / "out"
    process = _start(many, model, out, "--jobs", "2")
    for child in _children(process.pid):
        if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
            os.kill(child, signal.SIGKILL)
            break
    process.communicate(timeout=120)
    rows = table(out / "results.csv")
    assert [row["file"] for row in rows] == [f"{i:02}.tif" for i in range(MANY)]
    errors = [row["error"] for row in rows if row["error"]]
    assert len(errors) <= 1
    assert all("SIGKILL" in error for error in errors)
    assert process.returncode == len(errors)


@pytest.mark.long
@linux
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_run_keeps_its_rows_and_leaves_no_process(many, model, tmp_path, jobs):
    out = tmp_path / "out"
    again = ["--again"] if jobs == "1" else []
    process = _start(many, model, out, "--jobs", jobs, *again)
    children = _children(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert ("without --again" in errors) == bool(again)
    assert "Traceback" not in errors
    assert not (out / "results.csv").exists()
    rows = table(out / "results.csv.part")
    assert 3 <= len(rows) < MANY
    assert [row["file"] for row in rows] == [f"{i:02}.tif" for i in range(len(rows))]
    deadline = time.monotonic() + 20
    while any(map(_is_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [child for child in children if _is_alive(child)]
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert record["counts"]["measured"] == len(rows)

    # The same command goes on, and its tables are those of a run that nothing interrupted.
    measure(many, "--model", model, "--out", out, "--overlay", "none")
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["counts"]["kept"] == len(rows)
    assert record["counts"]["measured"] == MANY - len(rows)
    measure(many, "--model", model, "--out", tmp_path / "other", "--overlay", "none")
    results = (tmp_path / "other" / "results.csv").read_bytes()
    assert (out / "results.csv").read_bytes() == results


@pytest.mark.long
@linux
def test_a_full_disk_is_an_error_not_a_traceback(many, model, tmp_path):
    out = tmp_path / "out"
    limited = ["sh", "-c", "ulimit -f 8; trap '' XFSZ; exec \"$@\"", "sh"]
    options = ("--model", model, "--out", out, "--overlay", "none", "--jobs", "1")
    done = subprocess.run(
        [*limited, *command("measure", many, *options)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    # What was measured before is kept.
    assert 5 < len(table(out / "results.csv.part")) < 15
    measure(many, *options)
    assert [row["file"] for row in table(out / "results.csv")] == [
        f"{i:02}.tif" for i in range(MANY)
    ]
