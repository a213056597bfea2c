from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microscope_quality.batch.results import Results
from microscope_quality.errors import FileError

COLUMNS = ("file", "z", "value", "error", "size_bytes", "modified", "settings_id")
PATCHES = ("file", "z", "y")
TABLES = {"results.csv": COLUMNS, "patches.csv": PATCHES}


def row(file, z=None, value=0.0, size=10, modified="a", settings_id="s", error=""):
    return dict(
        file=file,
        z=z,
        value=value,
        error=error,
        size_bytes=size,
        modified=modified,
        settings_id=settings_id,
    )


def page(file, z=None, **kwargs):
    return {
        "results.csv": [row(file, z, **kwargs)],
        "patches.csv": [dict(file=file, z=z, y=y) for y in range(3)],
    }


def read(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def names(path):
    return [(r["file"], r["z"]) for r in read(path)]


def test_rows_are_there_at_once_and_the_tables_in_the_end_in_the_files_order(tmp_path):
    with Results(tmp_path, TABLES, "s") as results:
        for name in ("b", "a"):
            results.append(name, page(name))
            assert names(tmp_path / "results.csv.part")[-1] == (name, "")
        assert not (tmp_path / "results.csv").exists()
        results.finish(["a", "b"])
    assert names(tmp_path / "results.csv") == [("a", ""), ("b", "")]
    assert [r["file"] for r in read(tmp_path / "patches.csv")] == ["a"] * 3 + ["b"] * 3
    assert b"\r\n\r\n" not in (tmp_path / "results.csv").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["patches.csv", "results.csv"]


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, True),
        ({"size": 11}, False),
        ({"modified": "b"}, False),
        ({"settings_id": "t"}, False),
        ({"error": "damaged"}, False),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_what_is_kept(tmp_path, change, kept, finished):
    with Results(tmp_path, TABLES, change.get("settings_id", "s")) as results:
        results.append("a", page("a", **change))
        if finished:
            results.finish(["a"])
    with Results(tmp_path, TABLES, "s") as results:
        assert results.kept("a", 10, "a") is kept
        assert not results.kept("b", 10, "a")
    with Results(tmp_path, TABLES, "s", again=True) as results:
        assert not results.kept("a", 10, "a")


def test_a_killed_run_goes_on_at_the_next_page(tmp_path):
    with Results(tmp_path, TABLES, "s") as results:
        results.append("a", page("a", 0), last=False)
        results.append("a", page("a", 1), last=False)
    with Results(tmp_path, TABLES, "s") as results:
        assert not results.kept("a", 10, "a")
        assert results.pages_done("a", 10, "a") == 2
        assert results.pages_done("a", 10, "b") == 0
        results.append("a", page("a", 2), last=True)
        results.finish(["a"])
    assert names(tmp_path / "results.csv") == [("a", "0"), ("a", "1"), ("a", "2")]
    assert [r["z"] for r in read(tmp_path / "patches.csv")] == list("000111222")


def test_a_file_that_changed_in_between_has_its_new_rows_only(tmp_path):
    with Results(tmp_path, TABLES, "s") as results:
        results.append("a", page("a", 0), last=False)
    with Results(tmp_path, TABLES, "s") as results:
        results.append("a", page("a", 0, modified="b", value=5), last=True)
        results.finish(["a"])
    (only,) = read(tmp_path / "results.csv")
    assert only["value"] == "5"
    assert len(read(tmp_path / "patches.csv")) == 3


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_wherever_a_log_is_cut_what_is_left_is_whole_pages(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    some = st.sampled_from(["a", 'b"\r\n\r\n', "c,\n", "d"])
    hostile = data.draw(st.lists(some, min_size=1, unique=True))
    pages = [(name, z) for name in hostile for z in range(2)]
    with Results(folder, TABLES, "s") as results:
        for name, z in pages:
            results.append(name, page(name, z), last=z == 1)
    # The first table is written last: what is lost of it is the end.
    part = folder / "results.csv.part"
    cut = data.draw(st.integers(0, part.stat().st_size))
    os.truncate(part, cut)
    with Results(folder, TABLES, "s") as results:
        done = [
            (name, z)
            for name in hostile
            for z in range(2)
            if results.kept(name, 10, "a") or z < results.pages_done(name, 10, "a")
        ]
        assert done == pages[: len(done)]
        for name in hostile:
            if results.kept(name, 10, "a"):
                continue
            for z in range(results.pages_done(name, 10, "a"), 2):
                results.append(name, page(name, z), last=z == 1)
        results.finish(hostile)
    assert names(folder / "results.csv") == [(name, str(z)) for name, z in pages]
    assert len(read(folder / "patches.csv")) == 3 * len(pages)


def test_a_log_without_rows_does_not_stay(tmp_path):
    with Results(tmp_path, TABLES, "s"):
        assert (tmp_path / "results.csv.part").exists()
    assert list(tmp_path.iterdir()) == []
    with Results(tmp_path, TABLES, "s") as results:
        results.append("a", page("a"))
    # Nor is one with rows of an earlier run taken away.
    with Results(tmp_path, TABLES, "s") as results:
        assert results.kept("a", 10, "a")
    assert (tmp_path / "results.csv.part").exists()


def test_publishing_again_and_again(tmp_path):
    with Results(tmp_path, TABLES, "s") as results:
        results.append("a", page("a"))
        results.publish()
        results.append("b", page("b"))
        results.append("a", page("a", modified="later", value=7))
        assert names(tmp_path / "results.csv") == [("a", "")]
        results.publish()
        assert [r["value"] for r in read(tmp_path / "results.csv")] == ["7", "0"]
        assert results.rows("a")[0]["value"] == "7"
        assert len(results.rows("b", "patches.csv")) == 3
    # Killed after `append` and before `publish`:
    with Results(tmp_path, TABLES, "s") as results:
        results.append("c", page("c"))
    with Results(tmp_path, TABLES, "s") as results:
        assert results.files() == ["a", "b", "c"]
        results.publish()
    assert names(tmp_path / "results.csv") == [("a", ""), ("b", ""), ("c", "")]
    assert len(read(tmp_path / "patches.csv")) == 9


def test_rows_of_other_settings_stay_until_they_are_measured_again(tmp_path):
    with Results(tmp_path, TABLES, "s") as results:
        results.append("a", page("a"))
        results.finish(["a"])
    with Results(tmp_path, TABLES, "t") as results:
        results.append("b", page("b", settings_id="t"))
        results.publish()
    assert names(tmp_path / "results.csv") == [("a", ""), ("b", "")]


def test_two_runs_in_one_folder(tmp_path):
    with Results(tmp_path, TABLES, "s"), pytest.raises(FileError, match="another run"):
        Results(tmp_path, TABLES, "s")
    with Results(tmp_path, TABLES, "s"):
        pass


def test_a_full_disk_costs_the_page_and_nothing_else(tmp_path):
    program = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from test_results import TABLES, page
from pathlib import Path
from microscope_quality.batch.results import Results
from microscope_quality.errors import FileError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Results(Path(sys.argv[1]), TABLES, "s") as results:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        for k in range(100):
            results.append(f"file{k}", page(f"file{k}"))
    except FileError as error:
        print(k, error)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "out"), str(Path(__file__).parent)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    count, _, sentence = said.partition(" ")
    assert "cannot be written: File too large" in sentence
    with Results(tmp_path / "out", TABLES, "s") as results:
        assert results.files() == [f"file{k}" for k in range(int(count))]
        assert all(results.kept(name, 10, "a") for name in results.files())
        assert len(results.rows(f"file{int(count) - 1}", "patches.csv")) == 3


def test_what_is_no_such_table_is_not_replaced(tmp_path):
    (tmp_path / "results.csv").write_text("my,own,notes\n1,2,3\n")
    with pytest.raises(FileError, match="is there already"):
        Results(tmp_path, TABLES, "s")
    assert (tmp_path / "results.csv").read_text() == "my,own,notes\n1,2,3\n"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_killed_at_any_moment_each_row_is_there_once(tmp_path):
    program = """
import sys
sys.path.insert(0, sys.argv[2])
from test_results import TABLES, page
from pathlib import Path
from microscope_quality.batch.results import Results
files = [f"file{k}" for k in range(400)]
with Results(Path(sys.argv[1]), TABLES, "s") as results:
    print("ready", flush=True)
    for name in files:
        if results.kept(name, 10, "a"):
            continue
        for z in range(results.pages_done(name, 10, "a"), 3):
            results.append(name, page(name, z), last=z == 2)
    results.finish(files)
"""
    out = tmp_path / "out"
    command = [sys.executable, "-c", program, str(out), str(Path(__file__).parent)]
    deaths = 0
    for delay in (0.002, 0.005, 0.008, 0.011, 0.014, 5):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(delay) if delay < 1 else process.wait(60)
        process.send_signal(signal.SIGKILL)
        deaths += process.wait() == -signal.SIGKILL
        process.stdout.close()
    assert names(out / "results.csv") == [(f"file{k}", str(z)) for k in range(400) for z in "012"]
    assert len(read(out / "patches.csv")) == 3 * 1200
    assert deaths
    assert {path.name for path in out.iterdir()} <= {"results.csv", "patches.csv", ".lock"}


def test_a_table_that_grows_is_the_one_that_is_written_anew(tmp_path):
    order = ["c", "a", "b", "a", "d", "e", "c"]
    grown, whole = tmp_path / "grown", tmp_path / "whole"
    with Results(grown, TABLES, "s") as results:
        inodes = []
        for k, name in enumerate(order):
            results.append(name, page(name, value=k))
            results.publish()
            inodes.append((grown / "results.csv").stat().st_ino)
            assert names(grown / "results.csv.part") == []
            assert [r["value"] for r in results.rows(name)] == [str(k)]
        # A new file adds to the table that is there; rows that are superseded need another one.
        assert inodes[1] == inodes[2] == inodes[0]
        assert inodes[4] == inodes[5] == inodes[3]
    with Results(whole, TABLES, "s") as results:
        for k, name in enumerate(order):
            results.append(name, page(name, value=k))
        results.publish()
    for name in TABLES:
        assert (grown / name).read_bytes() == (whole / name).read_bytes()


def test_a_growing_table_that_others_changed_or_took_away_is_put_right(tmp_path):
    with Results(tmp_path, TABLES, "s") as results:
        results.append("a", page("a"))
        results.publish()
        before = (tmp_path / "results.csv").read_bytes()
        with (tmp_path / "results.csv").open("ab") as stream:
            stream.write(b"half a r")
        results.append("b", page("b"))
        results.publish()
        assert names(tmp_path / "results.csv") == [("a", ""), ("b", "")]
        assert (tmp_path / "results.csv").read_bytes().startswith(before)
    # As after a kill in the middle of adding: the logs have what the table has half.
    with Results(tmp_path, TABLES, "s") as results:
        results.publish()
        results.append("c", page("c"))
        logs = {name: (tmp_path / f"{name}.part").read_bytes() for name in TABLES}
        results.publish()
    (tmp_path / "results.csv").write_bytes((tmp_path / "results.csv").read_bytes()[:-7])
    for name, content in logs.items():
        (tmp_path / f"{name}.part").write_bytes(content)
    with Results(tmp_path, TABLES, "s") as results:
        results.publish()
    assert names(tmp_path / "results.csv") == [("a", ""), ("b", ""), ("c", "")]
    assert [r["file"] for r in read(tmp_path / "patches.csv")] == ["a"] * 3 + ["b"] * 3 + ["c"] * 3


def stack(file, n=3):
    pages = [page(file, z, value=z) for z in range(n)]
    return {name: [row for one in pages for row in one[name]] for name in TABLES}


def finished(folder):
    with Results(folder, TABLES, "s") as results:
        for name in ("a", "b", "c"):
            results.append(name, stack(name))
        results.finish(["a", "b", "c"])


def kept(folder):
    with Results(folder, TABLES, "s") as results:
        return [name for name in ("a", "b", "c") if results.kept(name, 10, "a")]


def test_a_table_that_another_program_sorted_loses_no_row(tmp_path):
    finished(tmp_path)
    path = tmp_path / "results.csv"
    header, *rows = path.read_bytes().splitlines(keepends=True)
    # By z, and then by file: as a spreadsheet does.
    path.write_bytes(header + b"".join(rows[k] for k in (0, 3, 1, 4, 2, 5, 6, 7, 8)))
    assert kept(tmp_path) == ["c"]
    with Results(tmp_path, TABLES, "s") as results:
        for name in ("a", "b"):
            results.append(name, stack(name))
        results.finish(["a", "b", "c"])
    assert names(path) == [(name, str(z)) for name in "abc" for z in range(3)]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_was_cut_within_the_rows_of_a_file(tmp_path, table):
    finished(tmp_path)
    path = tmp_path / table
    content = path.read_bytes()
    row_of_b = content.index(b"\nb,1") + 1
    # Within a row, and behind a whole one of the same file.
    path.write_bytes(content[: content.index(b"\n", row_of_b) + 3])
    assert kept(tmp_path) == ["a"]


def test_an_interrupted_run_outlives_an_interrupted_one_with_other_settings(tmp_path):
    with Results(tmp_path, TABLES, "s") as results:
        for name in ("a", "b"):
            results.append(name, page(name))
    with Results(tmp_path, TABLES, "t") as results:
        assert not results.kept("a", 10, "a")
        results.append("a", page("a", value=2, settings_id="t"))
    with Results(tmp_path, TABLES, "s") as results:
        assert not results.kept("a", 10, "a")
        assert results.kept("b", 10, "a")
        results.append("a", page("a", value=3))
        results.finish(["a", "b"])
    assert [(r["file"], r["value"]) for r in read(tmp_path / "results.csv")] == [
        ("a", "3"),
        ("b", "0"),
    ]
    assert len(read(tmp_path / "patches.csv")) == 6


def test_a_table_that_was_locked_gets_its_rows_later_and_the_others_no_row_twice(tmp_path):
    with Results(tmp_path, TABLES, "s") as results:
        results.append("a", page("a"))
        results.publish()
        results.append("b", page("b"))
        # While a folder is in its place, it cannot be written.
        (tmp_path / "results.csv").rename(tmp_path / "aside")
        (tmp_path / "results.csv").mkdir()
        with pytest.raises(FileError, match=r"results\.csv"):
            results.publish()
        (tmp_path / "results.csv").rmdir()
        (tmp_path / "aside").rename(tmp_path / "results.csv")
        results.publish()
    assert names(tmp_path / "results.csv") == [("a", ""), ("b", "")]
    assert [r["file"] for r in read(tmp_path / "patches.csv")] == ["a"] * 3 + ["b"] * 3
