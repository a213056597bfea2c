"""``measure --format``: rows on standard output for other programs, and nothing else there."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import coded
import numpy as np
import pytest
import tifffile
from command_line import command, counts, environment, run, table, texts, unchecked

from microscope_quality import measure_files

TOP = Path(__file__).parents[2]


def rows_of(text, kind):
    """Rows of a text, by readers that are not ours."""
    if kind == "json":
        return texts(json.loads(text))
    return [dict(row) for row in csv.DictReader(io.StringIO(text))]


def measured(*arguments, code=0):
    return run("measure", *arguments, "--jobs", 1, code=code)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_with_a_folder_rows_are_those_of_its_table(plate, model, tmp_path, kind):
    out = tmp_path / "out"
    arguments = (plate, "--model", model, "--out", out, "--format", kind)
    done = measured(*arguments)
    assert done.stderr == ""
    rows = rows_of(done.stdout, kind)
    assert rows == unchecked(table(out / "results.csv"))
    assert [*rows[0]] == [*table(out / "results.csv")[0]][:-1]
    assert (out / "overlays").is_dir()
    # What is kept is given again.
    assert measured(*arguments).stdout == done.stdout
    assert counts(out)["kept"] == 4


@pytest.mark.long
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_without_a_folder_numbers_are_in_full(plate, model, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = measured(plate, "--model", model, "--format", kind)
    assert sorted(tmp_path.rglob("*")) == before
    expected = list(measure_files(plate, model=model, jobs=1))
    if kind == "json":
        assert json.loads(done.stdout) == expected
    else:
        rows = rows_of(done.stdout, kind)
        assert [[*row] for row in rows] == [[*row] for row in expected]
        for row, values in zip(rows, expected):
            for name, value in values.items():
                assert (type(value)(row[name]) if row[name] else None) == value


def test_json_is_an_array_of_an_object_a_line(plate, model):
    said = measured(plate, "--model", model, "--format", "json").stdout
    first, *lines, last = said.splitlines()
    assert (first, last) == ("[", "]")
    assert said.endswith("\n")
    assert [json.loads(line.rstrip(","))["file"] for line in lines] == [
        row["file"] for row in json.loads(said)
    ]


@pytest.mark.long
def test_what_cannot_be_measured_is_a_row_and_the_exit_code_tells_it(model, tmp_path):
    folder = tmp_path / "ä, b"
    folder.mkdir()
    (folder / 'bro"ken é.tif').write_bytes(b"nothing")
    tifffile.imwrite(folder / "flat.tif", np.full((100, 100), 7, np.uint8))
    tifffile.imwrite(folder / "nan.tif", np.full((100, 100), np.nan, np.float32))
    found = {}
    for kind in ("csv", "json"):
        done = measured(folder, "--model", model, "--format", kind, code=1)
        assert done.stderr == ""
        found[kind] = rows_of(done.stdout, kind)
        for wrong in ("nan", "NaN", "Infinity", "inf"):
            assert not re.search(rf"[,:] ?-?{wrong}[,}}]", done.stdout)
    assert found["csv"] == found["json"]
    broken, flat, nan = found["csv"]
    assert broken["file"] == 'bro"ken é.tif'
    assert broken["error"].startswith("is not a TIFF")
    assert broken["level"] == flat["level"] == nan["saturated_fraction"] == ""
    assert flat["status"] == nan["status"] == "no_content"


@pytest.mark.long
def test_text_is_utf8_whatever_the_terminal_has(model, tmp_path):
    tifffile.imwrite(tmp_path / "µ.tif", coded.plane(coded.FOCUSED))
    for kind in ("csv", "json"):
        done = subprocess.run(
            command("measure", tmp_path / "µ.tif", "--model", model, "--format", kind),
            env=environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0"),
            capture_output=True,
            check=True,
        )
        assert rows_of(done.stdout.decode("utf-8"), kind)[0]["file"].endswith("µ.tif")


def test_columns_of_other_measures_come_too(plate, model):
    done = measured(plate, "--measures", "classical", "--format", "json")
    (first, *_) = json.loads(done.stdout)
    assert first["tenengrad"] > 0
    assert "level" not in first


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="pipes are closed in another way")
@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_reader_that_has_enough_ends_it_without_a_word(plate, model, tmp_path, kind):
    for number in range(30):
        shutil.copy(plate / "A01_s1.tif", plate / f"C{number}.tif")
    out = tmp_path / "out"
    words = command("measure", plate, "--model", model, "--out", out, "--format", kind)
    with subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 128 + signal.SIGPIPE
    assert json.loads((out / "run.json").read_text("utf-8"))["status"] == "interrupted"
    assert not (out / "results.csv").exists()
    # What was measured is kept.
    done = measured(plate, "--model", model, "--out", out, "--format", kind)
    assert rows_of(done.stdout, kind) == unchecked(table(out / "results.csv"))


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("x.csv", r"For one table as a file: --format csv > \S*x.csv"),
        ("x.JSON", r"For one table as a file: --format json > \S*x.JSON"),
        ("x.tsv", r"For one table as a file: --format csv > \S*x.tsv"),
        ("x.parquet", "With --parquet, the tables are there as Parquet too"),
        ("x.xlsx", "With --xlsx, results.xlsx is there too"),
    ],
)
def test_a_file_is_no_folder(plate, tmp_path, name, remedy):
    done = measured(plate, "--out", tmp_path / name, code=2)
    assert done.stdout == ""
    said = " ".join(done.stderr.split())
    assert re.search(rf"--out must be a folder, .*{name}' is named as a file is\. {remedy}", said)
    assert not (tmp_path / name).exists()


def test_wrong_use_says_nothing_on_standard_output(plate):
    for wrong in (("nowhere.tif",), (plate, "--rescale=yes"), (plate, "--per-patch")):
        assert measured(*wrong, "--format", "json", code=2).stdout == ""
    done = measured(plate, "--format", "xml", code=2)
    assert done.stdout == ""
    assert "'csv', 'json'" in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.long
def test_commands_of_the_page_work(tmp_path):
    """Those of docs/results.md that write rows, with the bundled sample."""
    page = (TOP / "docs" / "results.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if "--format" in line and "microscope-" in line]
    lines = [line for line in lines if line.startswith("microscope-quality")]
    assert len(lines) >= 2
    shutil.copytree(TOP / "docs" / "sample", tmp_path / "plate1")
    program = tmp_path / "bin" / "microscope-quality"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m microscope_quality "$@"\n')
    program.chmod(0o755)
    for line in lines:
        if "jq" in line and shutil.which("jq") is None:
            continue
        done = subprocess.run(
            ["bash", "-ec", f"set -o pipefail; {line}"],
            cwd=tmp_path,
            env=environment(PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}"),
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, ""), line
    assert len(rows_of((tmp_path / "levels.csv").read_text("utf-8"), "csv")) == 15
