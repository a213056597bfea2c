from __future__ import annotations

import csv
import json
import os
import re
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


def row(file, z=None, value=0.0, size=10, modified="a", settings_id="s", error="", **more):
    return dict(
        **more,
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


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
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


@pytest.mark.long
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
    # Killed between two tables, one of them may have been taken for an older run's.
    allowed = {"results.csv", "patches.csv", ".lock", "older"}
    assert {path.name for path in out.iterdir()} <= allowed


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


# Rows that are not as they were written.

CHECKED = {
    "results.csv": (*COLUMNS[:2], "well", *COLUMNS[2:], "checksum"),
    "patches.csv": (*PATCHES, "checksum"),
}
FILES = ("a", "b", "c")


def measured(folder, tables=CHECKED, settings_id="s", again=False, files=FILES, **change):
    """Measure what is not kept, as a run does; gives the tables' keeper and what was measured."""
    anew = []
    with Results(folder, tables, settings_id, again=again) as results:
        for name in files:
            more = {"modified": name, **change.get(name, {})}
            if results.kept(name, 10, more["modified"]):
                continue
            anew.append(name)
            pages = [page(name, z, settings_id=settings_id, **more) for z in range(3)]
            for z in range(results.pages_done(name, 10, more["modified"]), 3):
                results.append(name, pages[z], last=z == 2)
        results.finish(files)
    return results, anew


def older_tables(folder):
    """The bytes of all tables that are kept beside those in place."""
    copies = sorted((folder / "older").iterdir()) if (folder / "older").exists() else []
    finished = [copy for copy in copies if not copy.name.endswith(".part")]
    return [{path.name: path.read_bytes() for path in copy.iterdir()} for copy in finished]


def in_place(folder, names=tuple(TABLES)):
    return {name: (folder / name).read_bytes() for name in names}


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        ("results.csv", b"b,1,,0,", b"b,1,,0.5,"),
        ("results.csv", b"b,1,,0,", b"b,1,,nan,"),
        ("results.csv", b"b,1,,0,", b"b,1,,1e999,"),
        ("results.csv", b"b,1,,0,", b"b,1,,0.0,"),
        ("results.csv", b"b,1,,0,", b"b,1,B07,0,"),
        ("results.csv", b"b,1,,0,", b"b,7,,0,"),
        ("patches.csv", b"b,1,2,", b"b,1,02,"),
    ],
)
def test_a_row_that_was_edited_is_measured_again_and_told(tmp_path, table, old, new):
    measured(tmp_path)
    good = in_place(tmp_path)
    (tmp_path / table).write_bytes(good[table].replace(old, new))
    edited = in_place(tmp_path)
    assert edited != good
    results, anew = measured(tmp_path)
    assert results.edited == ["b"]
    # A patch in another place may be one of another file.
    assert anew == (["b"] if table == "results.csv" else ["a", "b", "c"])
    assert in_place(tmp_path) == good
    # What somebody wrote there is not lost either.
    assert results.older is not None
    assert older_tables(tmp_path) == [edited]
    assert measured(tmp_path)[0].edited == []


def test_a_file_of_the_same_size_and_time_beside_it_is_kept(tmp_path):
    alike = {name: {"modified": "at once"} for name in FILES}
    measured(tmp_path, **alike)
    table = tmp_path / "results.csv"
    table.write_bytes(table.read_bytes().replace(b"b,1,,0,", b"b,1,,0.5,"))
    assert measured(tmp_path, **alike)[1] == ["b"]


@pytest.mark.parametrize("table", CHECKED)
@pytest.mark.parametrize("z", [0, 1, 2])
def test_a_row_that_has_another_name_is_missed_where_it_was(tmp_path, table, z):
    measured(tmp_path)
    good = in_place(tmp_path)
    row = f"b,{z},".encode()
    (tmp_path / table).write_bytes(good[table].replace(row, row.replace(b"b", b"x"), 1))
    results, anew = measured(tmp_path)
    assert results.edited == ["x"]
    assert "b" in anew
    assert in_place(tmp_path) == good


@pytest.mark.parametrize("row", [1, 2, 4, 8])
def test_a_table_that_lacks_a_whole_row_of_a_stack(tmp_path, row):
    """A run's record tells how many there were."""
    measured(tmp_path)
    good = in_place(tmp_path)
    record = {"status": "finished", "counts": {"planes": 9}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    all_lines = lines(tmp_path / "results.csv")
    (tmp_path / "results.csv").write_bytes(b"".join(all_lines[:row] + all_lines[row + 1 :]))
    measured(tmp_path)
    assert in_place(tmp_path) == good


@pytest.mark.parametrize("left", [1, 2, 9, 10, 11, 18])
def test_a_table_of_patches_that_was_cut_between_rows(tmp_path, left):
    # A number that patches have too tells of them.
    tables = {name: ("file", "contrast", *columns[1:]) for name, columns in CHECKED.items()}
    files = {name: {"contrast": 3} for name in FILES}
    measured(tmp_path, tables, **files)
    good = in_place(tmp_path)
    (tmp_path / "patches.csv").write_bytes(b"".join(lines(tmp_path / "patches.csv")[:left]))
    measured(tmp_path, tables, **files)
    assert in_place(tmp_path) == good


def test_a_table_that_a_spreadsheet_sorted_and_wrote_in_its_way(tmp_path):
    measured(tmp_path, b={"value": 1e-12})
    good = in_place(tmp_path)
    header, *rows = lines(tmp_path / "results.csv")
    rows = [row.replace(b"1e-12", b"1E-12") for row in sorted(rows, key=lambda row: row[2:3])]
    (tmp_path / "results.csv").write_bytes(header + b"".join(rows))
    results, anew = measured(tmp_path, b={"value": 1e-12})
    assert results.edited == ["b"]
    assert anew == ["a", "b", "c"]
    assert in_place(tmp_path) == good


@pytest.mark.parametrize("z", [0, 1, 2])
def test_an_edited_row_of_an_interrupted_run(tmp_path, z):
    """Of a file that is whole, and of one that is not: there the pages before it are kept."""
    for name, last in (("a", True), ("b", False)):
        folder = tmp_path / name
        with Results(folder, CHECKED, "s") as results:
            for file in ("a", "b"):
                for k in range(3):
                    results.append(
                        file, page(file, k, modified=file), last=k == 2 and (file == "a" or last)
                    )
        log = folder / "results.csv.part"
        row = f"{name},{z},,0,".encode()
        assert row in log.read_bytes()
        log.write_bytes(log.read_bytes().replace(row, row.replace(b",0,", b",9,")))
        with Results(folder, CHECKED, "s") as results:
            assert results.edited == [name]
            assert not results.kept(name, 10, name)
            assert results.pages_done(name, 10, name) == (z if name == "b" else 0)
            # The other one is kept.
            assert results.kept("b", 10, "b") is last
        # Killed once more in the middle.
        with Results(folder, CHECKED, "s") as results:
            z_now = results.pages_done(name, 10, name)
            results.append(name, page(name, z_now, modified=name), last=False)
        measured(folder, files=("a", "b"))
        assert [r["value"] for r in read(folder / "results.csv")] == ["0"] * 6
        assert names(folder / "results.csv") == [(f, str(k)) for f in "ab" for k in range(3)]
        assert len(read(folder / "patches.csv")) == 18


def test_a_table_without_checksums_is_measured_anew(tmp_path):
    measured(tmp_path, {name: columns[:-1] for name, columns in CHECKED.items()})
    before = in_place(tmp_path)
    results, anew = measured(tmp_path)
    assert (results.edited, anew) == ([], list(FILES))
    assert older_tables(tmp_path) == [before]


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_no_change_of_a_byte_goes_unseen(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("byte")
    measured(folder)
    good = in_place(folder)
    table = data.draw(st.sampled_from(sorted(CHECKED)))
    at = data.draw(st.integers(len(lines(folder / table)[0]), len(good[table]) - 1))
    changed = bytearray(good[table])
    changed[at] ^= data.draw(st.integers(1, 255))
    (folder / table).write_bytes(bytes(changed))
    measured(folder)
    # Quotes and line ends may differ where all fields are the same.
    for name in CHECKED:
        assert read(folder / name) == [
            dict(row) for row in csv.DictReader(good[name].decode().splitlines())
        ]


# Rows that would leave the tables.


@pytest.mark.parametrize(
    ("change", "leaves"),
    [
        ({}, False),
        ({"files": ("b", "c")}, True),
        ({"files": ("c", "b", "a", "d")}, False),
        ({"b": {"error": "is damaged", "modified": "later"}}, True),
        ({"b": {"modified": "later"}}, True),
        ({"settings_id": "t"}, True),
        ({"again": True}, True),
        ({"tables": {"results.csv": CHECKED["results.csv"]}, "settings_id": "t"}, True),
        ({"tables": {n: (*c, "more") for n, c in CHECKED.items()}}, True),
    ],
)
def test_no_measured_row_leaves_the_tables_without_a_copy(tmp_path, change, leaves):
    record = b'{"status": "finished"}'
    measured(tmp_path)
    (tmp_path / "run.json").write_bytes(record)
    (tmp_path / "stacks.csv").write_bytes(b"file,c,t\r\n")
    before = in_place(tmp_path, ("results.csv", "patches.csv", "stacks.csv", "run.json"))
    results, _ = measured(tmp_path, **change)
    assert older_tables(tmp_path) == ([before] if leaves else [])
    if leaves:
        assert results.older.parent == tmp_path / "older"
        assert re.fullmatch(r"\d{8}T\d{6}Z", results.older.name)
    else:
        assert results.older is None
    names = {path.name for path in tmp_path.iterdir()} - {"older"}
    assert names == {"results.csv", "patches.csv", "stacks.csv", "run.json"}


def test_rows_with_an_error_may_leave(tmp_path):
    measured(tmp_path, b={"error": "is damaged"})
    assert measured(tmp_path)[0].older is None
    measured(tmp_path / "two", b={"error": "is damaged"})
    assert measured(tmp_path / "two", files=("a", "c"))[0].older is None


def test_another_well_is_no_other_measurement(tmp_path):
    measured(tmp_path)
    with Results(tmp_path, CHECKED, "s") as results:
        for name in FILES:
            rows = [{**row, "well": "B07"} for row in results.rows(name)]
            both = {"results.csv": rows, "patches.csv": results.rows(name, "patches.csv")}
            results.append(name, both)
        results.finish(FILES)
    assert results.older is None
    assert {row["well"] for row in read(tmp_path / "results.csv")} == {"B07"}
    results, anew = measured(tmp_path)
    assert (results.edited, anew) == ([], [])


def test_what_a_run_that_goes_on_measured_itself_it_may_replace(tmp_path):
    measured(tmp_path, files=("a",))
    first = in_place(tmp_path)
    with Results(tmp_path, CHECKED, "s") as results:
        results.publish()
        results.append("b", page("b"))
        results.publish()
        results.append("b", page("b", modified="later"))
        results.publish()
        assert results.older is None
        before = in_place(tmp_path)
        for modified in ("later", "still later"):
            results.append("a", page("a", modified=modified))
            results.publish()
    (copy,) = older_tables(tmp_path)
    assert copy == before
    assert set(first["results.csv"].splitlines()) <= set(copy["results.csv"].splitlines())


@pytest.mark.parametrize("first", [b"b,1,", b"a,0,"])
@pytest.mark.parametrize("table", CHECKED)
@pytest.mark.parametrize("version", ["this one", "an older one"])
def test_a_row_behind_a_damaged_one_is_not_lost(tmp_path, first, table, version):
    without = {name: columns[:-1] for name, columns in CHECKED.items()}
    measured(tmp_path / "good")
    out = tmp_path / "out"
    measured(out, CHECKED if version == "this one" else without)
    content = (out / table).read_bytes()
    (out / table).write_bytes(content.replace(first, first[:2] + b'"' + first[2:], 1))
    before = in_place(out)
    measured(out)
    assert in_place(out) == in_place(tmp_path / "good")
    assert older_tables(out) == [before]


@pytest.mark.skipif(sys.platform == "win32", reason="needs rights of folders")
@pytest.mark.parametrize("kind", ["file", "link", "full"])
def test_where_no_copy_can_be_made_nothing_is_replaced(tmp_path, kind):
    out = tmp_path / "out"
    measured(out)
    before = in_place(out)
    if kind == "file":
        (out / "older").write_text("mine")
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        (out / "older").symlink_to(tmp_path / "elsewhere")
    program = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from test_results import CHECKED
from pathlib import Path
from microscope_quality.batch.results import Results
from microscope_quality.errors import FileError
if sys.argv[3] == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
with Results(Path(sys.argv[1]), CHECKED, "s") as results:
    try:
        results.finish(["a"])
    except FileError as error:
        print(error)
"""
    command = [sys.executable, "-c", program, str(out), str(Path(__file__).parent), kind]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"{out / 'older'}: " in said
    assert in_place(out) == before
    assert list(tmp_path.glob("**/*.part")) == []
    assert not any(path.is_dir() for path in (out / "older").glob("*"))
    if kind != "full":
        (out / "older").unlink()
        anew = measured(out, files=("a",))[1]
        assert (anew, older_tables(out)) == ([], [before])


def test_the_record_of_the_tables_outlives_a_run_that_is_killed(tmp_path):
    measured(tmp_path)
    record = tmp_path / "run.json"
    record.write_bytes(b"of the tables")
    # Refused, or of no use: its record is not written.
    with Results(tmp_path, CHECKED, "t"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("patches.csv", "results.csv", "run.json"),
    ]
    with Results(tmp_path, CHECKED, "t") as results:
        record.write_bytes(b"of a run that is killed")
        results.append("a", page("a", settings_id="t"))
    measured(tmp_path, settings_id="t")
    assert [copy["run.json"] for copy in older_tables(tmp_path)] == [b"of the tables"]
    record.write_bytes(b"of the second tables")
    measured(tmp_path, settings_id="u")
    assert older_tables(tmp_path)[1]["run.json"] == b"of the second tables"


def test_copies_of_one_second_do_not_meet(tmp_path):
    measured(tmp_path)
    for _ in range(3):
        measured(tmp_path, again=True)
    assert len(older_tables(tmp_path)) == 3


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_killed_at_any_moment_no_row_is_lost(tmp_path):
    program = """
import sys
sys.path.insert(0, sys.argv[2])
from test_results import CHECKED, page
from pathlib import Path
from microscope_quality.batch.results import Results
files = [f"file{k}" for k in range(300)]
with Results(Path(sys.argv[1]), CHECKED, "s") as results:
    for name in files:
        results.append(name, page(name, modified=sys.argv[3]))
    print("ready", flush=True)
    results.finish(files)
"""
    command = [sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parent)]
    wanted = set()
    for number, delay in enumerate((5, 0.001, 0.003, 0.005, 0.007, 0.01, 0.02, 0.04, 5)):
        process = subprocess.Popen([*command, f"time {number}"], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(delay) if delay < 1 else process.wait(60)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        rows = set(lines(tmp_path / "results.csv"))
        copies = [copy["results.csv"] for copy in older_tables(tmp_path)]
        kept = set().union(*(copy.splitlines(keepends=True) for copy in copies))
        # Whatever was in place once is there still.
        assert wanted <= rows | kept
        wanted |= rows
    assert not list((tmp_path / "older").glob("*.part"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(tmp_path):
    measured(tmp_path)
    os.mkfifo(tmp_path / "run.json")
    os.mkfifo(tmp_path / ".run.json.before")
    results, _ = measured(tmp_path, again=True)
    assert sorted(path.name for path in results.older.iterdir()) == ["patches.csv", "results.csv"]
