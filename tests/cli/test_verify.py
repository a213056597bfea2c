"""The verify command: what was measured fits, whatever was changed since does not."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import zlib

import coded
import numpy as np
import pytest
import tifffile
from command_line import run
from systems import posix
from typer.testing import CliRunner
from written_results import with_checksum

from microscope_quality.cli.app import app


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """A run over two images and a z-stack, its images and its model."""
    folder = tmp_path_factory.mktemp("once")
    images = folder / "plate"
    (images / "day 2").mkdir(parents=True)
    tifffile.imwrite(images / "A01.tif", coded.plane([[0, 1], [1, 0]]))
    tifffile.imwrite(images / "day 2" / "A02.tif", coded.plane([[8, 8], [8, 8]]))
    stack = np.stack([coded.plane([[k] * 2] * 2) for k in (3, 0, 4)])
    tifffile.imwrite(images / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    coded.write(folder / "model")
    words = ["measure", images, "--out", folder / "out", "--model", folder / "model"]
    words += ["--per-patch", "--overlay", "none", "--jobs", 1]
    run(*words)
    return folder


@pytest.fixture
def folder(run_once, tmp_path):
    return shutil.copytree(run_once, tmp_path / "copy")


def verify(*words, code):
    return run("verify", *words, code=code).output


def changed(path, old, new, count=1):
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, count))


def rewritten(path, change):
    """Rows that somebody changed who knows how checksums are made."""
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8"), newline="")))
    names = list(rows[0])
    rows = change(rows)
    for row in rows:
        fields = [row[name] for name in names[:-1]]
        text = "\0".join(names[:-1]) + "\0".join(fields)
        row["checksum"] = f"{zlib.crc32(text.encode()):08x}"
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, names)
        table.writeheader()
        table.writerows(rows)


def signed(path, **entries):
    """A record that somebody changed who knows how its checksum is made."""
    record = {**json.loads(path.read_text("utf-8")), **entries}
    del record["checksum"]
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    record["checksum"] = f"{zlib.crc32(text.encode()):08x}"
    path.write_text(json.dumps(record), "utf-8")


def listed(folder):
    return {
        path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in [folder, *folder.rglob("*")]
    }


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_was_measured_fits_and_nothing_is_written(folder, run_once, jobs):
    before = listed(folder)
    said = verify(folder / "out", "--images", run_once / "plate", "--jobs", jobs, code=0)
    assert said.endswith("\nAll fits.\n")
    # Five planes, a stack, and two patches by two of each plane.
    found = dict(re.findall(r"^(\S.*?)  +([\d,]+) [a-z-]+  +fits", said, re.MULTILINE))
    assert found["checksums of rows"] == str(5 + 1 + 5 * 4)
    assert found["counts of run.json"] == "7"
    assert (found["images"], found["model"], found["run.json"]) == ("3", "1", "1")
    assert found["digests of images"] == "3"
    assert len(found) == 13
    assert listed(folder) == before
    assert "--images DIR does" in verify(folder / "out", code=0)


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        ("results.csv", b"in_focus", b"out_of_focus"),
        ("results.csv", b"A01.tif", b"A09.tif"),
        ("results.csv", b",168,", b",169,"),
        ("patches.csv", b"A01.tif,", b"A01.tif,5"),
        ("stacks.csv", b",1,", b",2,"),
    ],
)
def test_an_edited_row_is_named(folder, table, old, new):
    changed(folder / "out" / table, old, new)
    said = verify(folder / "out", code=1)
    assert re.search(rf"  {table}, row 1: \S+", said)
    assert "Not all fits: checksums of rows" in said


def edit(position, **fields):
    def change(rows):
        rows[position].update(fields)
        return rows

    return change


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("results.csv", edit(0, status="BAD"), "A01.tif: status is 'BAD', none of in_focus"),
        ("results.csv", edit(0, certainty="nan"), "A01.tif: certainty is 'nan', no number"),
        ("results.csv", edit(0, p0="1e999"), "A01.tif: p0 is '1e999', no number"),
        ("results.csv", edit(2, z="-1"), "stack.tif z-1: z is '-1', no whole number"),
        ("results.csv", edit(2, z="1"), "stack.tif z1 has several rows"),
        ("results.csv", edit(1, settings_id="0"), "A02.tif was measured with other settings"),
        ("results.csv", lambda rows: rows[:-1], "planes: 4 in results.csv, 5 in run.json"),
        ("results.csv", lambda rows: rows[:2], "files: 2 in results.csv, 3 in run.json"),
        ("results.csv", lambda rows: [rows[k] for k in (2, 0, 1, 3, 4)], "has rows in several"),
        ("results.csv", edit(2, sha256="0" * 64), "has rows of several sizes, times or digests"),
        ("stacks.csv", lambda rows: [], "stack.tif: has no row in stacks.csv"),
        ("stacks.csv", lambda rows: rows * 2, "stack.tif: has several rows in stacks.csv"),
        ("stacks.csv", edit(0, file="x.tif"), "x.tif: has a row in stacks.csv and no planes"),
        ("stacks.csv", edit(0, best_z="7"), "stack.tif: its best_z is '7', of which there is no"),
        ("stacks.csv", edit(0, best_z="2"), "stack.tif: its best_z is '2', and by its planes '1'"),
        ("stacks.csv", edit(0, best_position="x"), "best_position is 'x', no number"),
        ("patches.csv", lambda rows: rows[4:], "A01.tif has no row in patches.csv"),
        ("patches.csv", edit(0, file="x.tif"), "x.tif is not in results.csv"),
        ("patches.csv", lambda rows: rows[1:] + rows[:1], "has rows in several places of patches"),
        ("patches.csv", edit(0, y="top"), "A01.tif: y is 'top', no whole number"),
        ("patches.csv", lambda rows: rows[1:], "A01.tif lacks rows in patches.csv"),
        ("patches.csv", lambda rows: rows[:1] + rows, "A01.tif lacks rows in patches.csv, or has"),
        ("patches.csv", lambda rows: rows[:-4], "stack.tif has planes without rows in patches.csv"),
    ],
)
def test_what_does_not_go_together_is_told_whatever_the_checksums(folder, table, change, said):
    rewritten(folder / "out" / table, change)
    told = verify(folder / "out", code=1)
    assert said in told
    assert re.search(r"^checksums of rows +\d+ rows  +fits", told, re.MULTILINE)


@pytest.mark.parametrize("table", ["results.csv", "stacks.csv", "patches.csv"])
def test_a_table_that_is_gone(folder, table):
    (folder / "out" / table).unlink()
    assert f"{table}: cannot be read: No such file or directory" in verify(folder / "out", code=1)


@pytest.mark.parametrize("table", ["results.csv", "stacks.csv", "patches.csv"])
def test_a_table_that_was_cut_within_its_last_row(folder, table):
    path = folder / "out" / table
    path.write_bytes(path.read_bytes()[:-5])
    assert f"{table}: its last row is cut off" in verify(folder / "out", code=1)


def test_a_plane_that_could_not_be_measured_is_no_fault(folder, run_once):
    with tifffile.TiffWriter(folder / "plate" / "cut.tif") as writer:
        for k in range(3):
            writer.write(coded.plane([[k] * 2] * 2), compression="deflate", metadata=None)
    with tifffile.TiffFile(folder / "plate" / "cut.tif") as tiff:
        offset = tiff.pages[1].dataoffsets[0]
    with (folder / "plate" / "cut.tif").open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 8)
    words = ["--out", folder / "cut", "--model", run_once / "model", "--overlay", "none"]
    run("measure", folder / "plate", *words, "--jobs", 1, code=1)
    verify(folder / "cut", "--images", folder / "plate", code=0)


def test_a_sample_of_places_is_no_grid(folder, run_once):
    words = ["measure", folder / "plate", "--out", folder / "sampled", "--overlay", "none"]
    words += ["--model", run_once / "model", "--per-patch", "--sample", 4, "--jobs", 1]
    run(*words)
    verify(folder / "sampled", code=0)


def test_the_model_of_a_measure_that_does_not_judge_is_checked_too(folder, run_once):
    words = ["measure", folder / "plate", "--out", folder / "both", "--overlay", "none"]
    words += ["--model", run_once / "model", "--measures", "classical,focus", "--jobs", 1]
    run(*words)
    assert re.search(r"^model +1 model  +fits", verify(folder / "both", code=0), re.MULTILINE)


def test_a_table_with_other_columns(folder):
    changed(folder / "out" / "results.csv", b"checksum", b"check")
    said = verify(folder / "out", code=1)
    assert "results.csv has a column 'check', which no run writes" in said
    # Two of them in each other's place.
    shutil.copy(folder / "out" / "patches.csv", folder / "out" / "kept")
    changed(folder / "out" / "patches.csv", b"y,x", b"x,y")
    said = verify(folder / "out", code=1)
    assert "patches.csv has not the columns of a run in their order" in said
    assert "patches.csv, row 1: A01.tif" in said


def test_a_table_of_before_a_column_came_is_checked_too(folder):
    path = folder / "out" / "results.csv"
    header, *rows = csv.reader(io.StringIO(path.read_text("utf-8"), newline=""))
    at = header.index("binning")
    older = [row[:at] + row[at + 1 :] for row in (header, *rows)]
    for row in older[1:]:
        row[-1] = with_checksum(dict(zip(older[0][:-1], row)), older[0])["checksum"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(older)
    said = verify(folder / "out", code=0)
    assert re.search(r"^columns of tables +[\d,]+ columns +fits", said, re.MULTILINE)
    # One that was taken out is missed.
    for row in older[1:]:
        row[-1] = "00000000"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(older)
    assert "Not all fits: checksums of rows" in verify(folder / "out", code=1)


def test_results_of_an_older_version_are_checked_as_far_as_they_can_be(folder):
    for name, n in (("results.csv", 4), ("patches.csv", 1), ("stacks.csv", 8)):
        path = folder / "out" / name
        rows = list(csv.reader(io.StringIO(path.read_text("utf-8"), newline="")))
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows(row[:-n] for row in rows)
    record = json.loads((folder / "out" / "run.json").read_text("utf-8"))
    del record["checksum"]
    (folder / "out" / "run.json").write_text(json.dumps(record), "utf-8")
    said = verify(folder / "out", "--images", folder / "plate", "--jobs", 1, code=0)
    assert "of a version without checksums" in said
    assert "not checked (" in said
    assert "3 without a digest, by size and time alone" in said


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"settings_id": "0"}, "A01.tif was measured with other settings"),
        ({"counts": {"planes": 6}}, "planes: 5 in results.csv, 6 in run.json"),
        ({"counts": {"in_focus": [], "planes": 5}}, "in_focus: 2 in results.csv, [] in run.json"),
    ],
)
def test_a_record_that_says_something_else(folder, entries, said):
    signed(folder / "out" / "run.json", **entries)
    assert said in verify(folder / "out", code=1)
    # By hand, without its checksum.
    record = folder / "out" / "run.json"
    record.write_text(json.dumps({**json.loads(record.read_text("utf-8")), "jobs": 99}), "utf-8")
    assert "its checksum does not fit" in verify(folder / "out", code=1)


def test_a_record_of_a_run_that_is_not_finished(folder):
    signed(folder / "out" / "run.json", status="interrupted", counts={"files": 99})
    (folder / "out" / "results.csv.part").write_bytes(b"file\r\n")
    said = verify(folder / "out", code=0)
    assert "All fits. The run was interrupted; the same command finishes it." in said
    assert "not looked at: results.csv.part" in said


def test_a_model_that_is_another_one_now(folder, run_once):
    model = run_once / "model"
    kept = {path.name: path.read_bytes() for path in model.iterdir()}
    try:
        changed(model / "weights.npz", kept["weights.npz"][-9:], b"damaged!!")
        assert re.search(
            r"^model +0 models  +1 differ *\n.*weights\.npz", verify(folder / "out", code=1), re.M
        )
        weights = {
            name: values * 2 for name, values in np.load(io.BytesIO(kept["weights.npz"])).items()
        }
        shutil.rmtree(model)
        assert "is not here" in verify(folder / "out", code=0)
        from microscope_quality.model import ModelDescription, write_model

        description = ModelDescription.from_dict(json.loads(kept["model.json"]))
        write_model(model, description, weights)
        assert "is another one now" in verify(folder / "out", code=1)
    finally:
        shutil.rmtree(model)
        model.mkdir()
        for name, content in kept.items():
            (model / name).write_bytes(content)


@pytest.mark.long
def test_images_are_known_again_by_what_is_in_them(folder):
    out, images = folder / "out", folder / "plate"
    check = ("--images", images, "--jobs", 2)
    verify(out, *check, code=0)
    # Copied without its time.
    os.utime(images / "A01.tif", (1, 1))
    said = verify(out, *check, code=0)
    assert re.search(r"^images +3 files  +fits", said, re.MULTILINE)
    assert "(1 with the same content and another time)" in said
    # Of the same size and time, and another by one bit.
    path = images / "day 2" / "A02.tif"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=times)
    with (images / "stack.tif").open("ab") as stream:
        stream.write(b"\0")
    (images / "A01.tif").unlink()
    said = verify(out, *check, code=1)
    assert "A01.tif: is not there" in said
    assert "day 2/A02.tif: has other content than when it was measured" in said
    assert re.search(r"stack\.tif: has \d+ bytes, and had \d+", said)


def test_images_that_moved_are_found_by_their_digests(folder):
    images = folder / "plate"
    (images / "new").mkdir()
    (images / "A01.tif").rename(images / "new" / "first.tif")
    # Of the same size, and another.
    content = bytearray((images / "stack.tif").read_bytes())
    content[-1] ^= 1
    (images / "stack.tif").unlink()
    (images / "new" / "stack.tif").write_bytes(bytes(content))
    said = verify(folder / "out", "--images", images, "--jobs", 1, code=1)
    assert re.search(r"^ +A01\.tif: is not there; new/first\.tif has its content *$", said, re.M)
    assert re.search(r"^ +stack\.tif: is not there *$", said, re.M)
    assert "2 differ (1 moved: others of the same content are there)" in said


def test_files_without_a_digest_are_counted(folder):
    (folder / "plate" / "empty.tif").touch()
    model = ("--model", folder / "model", "--overlay", "none", "--jobs", 1)
    run("measure", folder / "plate", "--out", folder / "new", *model, "--no-digest", code=1)
    said = verify(folder / "new", code=0)
    wanted = "3 without one: no digest was taken; 1 without one: could not be measured"
    assert re.search(rf"^digests of images +0 files  +not checked \({wanted}\)", said, re.M)


def test_without_a_digest_the_time_counts(folder):
    def forget(rows):
        return [{**row, "sha256": ""} for row in rows]

    rewritten(folder / "out" / "results.csv", forget)
    os.utime(folder / "plate" / "A01.tif", (1, 1))
    said = verify(folder / "out", "--images", folder / "plate", "--jobs", 1, code=1)
    assert "A01.tif: has the time 1970-01-01T00:00:01.000000000Z, and had 2" in said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@posix
@pytest.mark.parametrize("name", ["results.csv", "stacks.csv", "patches.csv", "run.json"])
@pytest.mark.parametrize(
    "kind", ["pipe", "device", "folder", "link", "circle", "nothing in it", "no text", "endless"]
)
def test_nothing_in_a_folder_of_results_is_waited_for(folder, name, kind):
    path = folder / "out" / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("nowhere")
    elif kind == "circle":
        path.symlink_to(name)
    elif kind == "endless":
        path.touch()
        os.truncate(path, 2**36)  # takes no room on the disk
    else:
        path.write_bytes(b"" if kind == "nothing in it" else b"\xff\xfe\x00\n")
    assert f"{name}: " in verify(folder / "out", code=1)


@pytest.mark.parametrize("name", ["results.csv", "stacks.csv", "patches.csv"])
@pytest.mark.parametrize(
    "tail", [b'"' + b"a,1\r\n" * 1_000_000, b"a" * 2**24 + b"\r\n", b"\0" * 99]
)
def test_rows_without_end(folder, name, tail):
    path = folder / "out" / name
    path.write_bytes(path.read_bytes() + tail + b"\r\n")
    assert f"{name}: row " in verify(folder / "out", code=1)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[]",
        b"{}",
        b'{"counts": 5, "model": [], "settings": 1, "status": ["finished"], "settings_id": {}}',
        b'{"status": "finished", "counts": {"files": 1e999, "planes": "\x1b[2J"}}',
        b'{"model": {"sha256": "0"}, "settings": {"model": "\\u0000", "in_focus_limit": -5}}',
        b'{"model": {"sha256": "0"}, "settings": {"model": "/dev/zero"}}',
        b"9" * 10_000,
    ],
)
def test_any_record_gives_a_sentence(folder, content):
    (folder / "out" / "run.json").write_bytes(content)
    done = CliRunner().invoke(app, ["verify", str(folder / "out")], catch_exceptions=False)
    assert done.exit_code in (0, 1)
    assert "\x1b[2J" not in done.output
    assert "Traceback" not in done.output


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_names_in_a_table_lead_to_nothing_that_waits(folder):
    names = ["pipe.tif", "/dev/zero", "\x1b[2J\n" * 3, "../" * 2000, "a" * 100_000]
    os.mkfifo(folder / "plate" / "pipe.tif")

    def renamed(rows):
        return [{**row, "file": name, "z": ""} for row, name in zip(rows, names)]

    rewritten(folder / "out" / "results.csv", renamed)
    said = verify(folder / "out", "--images", folder / "plate", "--jobs", 2, code=1)
    assert "pipe.tif: " in said
    assert "/dev/zero: " in said
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) < 2000


def test_wrong_use(folder):
    assert "nowhere: is no folder" in verify(folder / "nowhere", code=2)
    assert "plate: has neither results.csv nor run.json" in verify(folder / "plate", code=2)
    assert "no folder of images" in verify(folder / "out", "--images", folder / "no", code=2)
    assert "no folder" in verify(folder / "out" / "results.csv", code=2)
