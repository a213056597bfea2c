"""The measure command, on files and as a user runs it."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import coded
import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

import microscope_quality
from microscope_quality.cli.app import app
from microscope_quality.cli.record import Record
from microscope_quality.files.pictures import is_overlay
from microscope_quality.files.tables import PATCH_COLUMNS, run_columns
from microscope_quality.focus import measure_focus
from microscope_quality.measuring.rows import doubt
from microscope_quality.optics import Optics

FOCUSED = [[0, 1], [1, 0]]
BLURRED = [[8, 8], [8, 8]]
MIXED = [[0, 0, 9, 9]] * 3
EMPTY = [[None, None]] * 2


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "coded"
    coded.write(folder)
    return folder


@pytest.fixture
def plate(tmp_path):
    folder = tmp_path / "plate"
    (folder / "day 2").mkdir(parents=True)
    tifffile.imwrite(folder / "A01_s1.tif", coded.plane(FOCUSED))
    tifffile.imwrite(folder / "A02_s1.tif", coded.plane(BLURRED))
    tifffile.imwrite(folder / "day 2" / "B10_s2.tif", coded.plane(MIXED))
    Image.fromarray(coded.plane(EMPTY)).save(folder / "day 2" / "B11_s2.png")
    return folder


def run(*arguments, code=0):
    """Run the command in this process; gives what it prints to stdout."""
    if "--jobs" not in arguments:
        arguments = (*arguments, "--jobs", 1)
    result = CliRunner().invoke(app, ["measure", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def command(*arguments):
    return [sys.executable, "-m", "microscope_quality", "measure", *map(str, arguments)]


def environment(**changes):
    path = str(Path(microscope_quality.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": path, **changes}


def table(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_folder_becomes_a_table(plate, model, tmp_path):
    out = tmp_path / "out"
    subprocess.run(
        command(plate, "--model", model, "--out", out, "--per-patch"),
        check=True,
        env=environment(),
        capture_output=True,
    )
    results = table(out / "results.csv")
    assert tuple(results[0]) == run_columns()
    assert [row["file"] for row in results] == [
        "A01_s1.tif",
        "A02_s1.tif",
        "day 2/B10_s2.tif",
        "day 2/B11_s2.png",
    ]
    assert [row["status"] for row in results] == ["in_focus", "out_of_focus", "mixed", "no_content"]
    # The numbers are the library's own, to six digits.
    for row in results:
        plane = tifffile.imread if row["file"].endswith("tif") else Image.open
        result = measure_focus(np.asarray(plane(plate / row["file"])), model)
        for name, value in result.to_row().items():
            if name == "status":
                assert row[name] == value
            elif np.isnan(value):
                assert row[name] == ""
            else:
                assert float(row[name]) == pytest.approx(value, rel=1e-5, abs=1e-300)
        assert row["error"] == row["z"] == row["c"] == row["t"] == row["series"] == ""
    assert results[1]["level"] == "8"

    patches = table(out / "patches.csv")
    assert tuple(patches[0]) == PATCH_COLUMNS
    assert len(patches) == 4 + 4 + 12 + 4
    second = [row for row in patches if row["file"] == "A02_s1.tif"]
    assert [(row["y"], row["x"], row["level"]) for row in second] == [
        ("0", "0", "8"),
        ("0", "84", "8"),
        ("84", "0", "8"),
        ("84", "84", "8"),
    ]
    assert not (out / "stacks.csv").exists()
    assert not list(out.glob("*.part"))


def test_results_do_not_depend_on_jobs(plate, model, tmp_path):
    for i in range(6):
        tifffile.imwrite(plate / f"C{i}.tif", coded.plane([[i, i + 1], [i, i]]))
    tables = []
    for jobs in (1, 3):
        out = tmp_path / f"out{jobs}"
        run(plate, "--model", model, "--out", out, "--per-patch", "--jobs", jobs)
        tables.append([(out / name).read_bytes() for name in ("results.csv", "patches.csv")])
    assert tables[0] == tables[1]


def test_without_out_nothing_is_written(plate, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    screen = run(plate, "--model", model)
    assert sorted(tmp_path.rglob("*")) == before
    for words in ("A02_s1.tif", "out of focus", "mixed", "no content"):
        assert words in screen


def test_names_give_plate_and_well(plate, model, tmp_path):
    pattern = r"(?P<well>[A-P]\d\d)_s(?P<site>\d)"
    run(plate, "--model", model, "--out", tmp_path / "out", "--pattern", pattern)
    found = [(r["plate"], r["well"], r["site"]) for r in table(tmp_path / "out" / "results.csv")]
    assert found == [("", "A01", "1"), ("", "A02", "1"), ("", "B10", "2"), ("", "B11", "2")]
    # What is not in the name is looked for in the path.
    pattern = r"(?P<plate>[^/]+)/(?P<well>[A-P]\d\d)_"
    run(plate, "--model", model, "--out", tmp_path / "out", "--pattern", pattern)
    found = [(r["plate"], r["well"]) for r in table(tmp_path / "out" / "results.csv")]
    assert found == [("plate", "A01"), ("plate", "A02"), ("day 2", "B10"), ("day 2", "B11")]
    # Nothing had to be measured again for that.
    assert json.loads((tmp_path / "out" / "run.json").read_text())["counts"]["kept"] == 4
    screen = run(plate, "--model", model, "--pattern", r"(?P<well>A\d\d)")
    assert "--pattern does not match 2 of 4 names" in screen
    wrong = ["measure", str(plate), "--model", str(model), "--pattern", "(?P<well>Z99)"]
    result = CliRunner().invoke(app, wrong)
    assert result.exit_code == 2
    assert "--pattern matches no name" in result.stderr


def test_optics_give_the_defocus(plate, model, tmp_path):
    text = "na=0.75,n=1,wavelength_um=0.52,pixel_size_um=0.325"
    run(plate / "A02_s1.tif", "--model", model, "--out", tmp_path / "out", "--optics", text)
    (row,) = table(tmp_path / "out" / "results.csv")
    expected = Optics.parse(text).defocus_um(float(row["blur_diameter_px"]))
    assert float(row["defocus_um"]) == pytest.approx(expected, rel=1e-4)


def test_rescaling_is_the_librarys(plate, model, tmp_path):
    text = "na=0.5,n=1,wavelength_um=0.5,pixel_size_um=0.5"
    path = plate / "day 2" / "B10_s2.tif"
    run(path, "--model", model, "--out", tmp_path / "out", "--optics", text, "--rescale")
    (row,) = table(tmp_path / "out" / "results.csv")
    result = measure_focus(tifffile.imread(path), model, optics=Optics.parse(text), rescale=True)
    assert float(row["expected_level"]) == pytest.approx(result.expected_level, rel=1e-5)
    assert row["width"] == str(84 * 4)


def test_the_limit_of_in_focus(plate, model, tmp_path):
    run(plate, "--model", model, "--out", tmp_path / "out", "--in-focus-limit", 8)
    statuses = [row["status"] for row in table(tmp_path / "out" / "results.csv")]
    assert statuses == ["in_focus", "in_focus", "mixed", "no_content"]


def test_colour_by_channel_or_by_luminance(model, tmp_path):
    planes = [coded.plane([[level] * 2] * 2).astype(np.uint8) for level in (0, 3, 9)]
    Image.fromarray(np.dstack(planes)).save(tmp_path / "a.png")
    run(tmp_path / "a.png", "--model", model, "--out", tmp_path / "out")
    rows = table(tmp_path / "out" / "results.csv")
    assert [(row["c"], row["level"]) for row in rows] == [("0", "0"), ("1", "3"), ("2", "9")]
    run(tmp_path / "a.png", "--model", model, "--out", tmp_path / "out", "--luminance")
    (row,) = table(tmp_path / "out" / "results.csv")
    assert row["c"] == ""


def test_stacks(model, tmp_path):
    levels = np.abs(np.arange(9)[:, np.newaxis] - [3, 20]).clip(0, 10)
    stack = np.stack([[coded.plane([[k] * 2] * 2) for k in row] for row in levels])
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "ZCYX"})
    tifffile.imwrite(tmp_path / "b.tif", coded.plane(FOCUSED))
    screen = run(tmp_path, "--model", model, "--out", tmp_path / "out", "--jobs", 2)
    rows = table(tmp_path / "out" / "results.csv")
    assert [(r["z"], r["c"]) for r in rows] == [
        *((str(z), str(c)) for z in range(9) for c in range(2)),
        ("", ""),
    ]
    first, second = table(tmp_path / "out" / "stacks.csv")
    assert (first["file"], first["c"], first["t"]) == ("a.ome.tif", "0", "")
    assert first["best_z"] == "3"
    assert float(first["best_position"]) == pytest.approx(3, abs=0.2)
    assert first["status"] == "in_focus"
    assert (second["best_z"], second["best_position"]) == ("", "")
    assert second["status"] == "out_of_focus"
    assert "Best z" in screen
    # A run without stacks leaves no table of older ones.
    (tmp_path / "a.ome.tif").unlink()
    screen = run(tmp_path, "--model", model, "--out", tmp_path / "out")
    assert "1 file that was measured before is not named now, or not there, and left" in screen
    assert not (tmp_path / "out" / "stacks.csv").exists()


def test_what_is_left_out_is_counted(plate, model, tmp_path):
    for name in ("a.txt", "b.TXT", "c.gif", "day 2/no ending", ".hidden.txt"):
        (plate / name).touch()
    screen = run(plate, "--model", model, "--out", plate / "out", "--overlay", "none")
    assert "Left out, no images by their endings: 2 .txt, 1 .gif, 1 without one" in screen
    # The results' own folder is not searched.
    screen = run(plate, "--model", model, "--out", plate / "out", "--overlay", "none")
    assert "endings: 2 .txt, 1 .gif, 1 without one\n" in screen


def test_results_of_other_images_are_not_replaced_by_mistake(plate, model, tmp_path):
    out = tmp_path / "out"
    common = ("--model", model, "--out", out, "--overlay", "none")
    run(plate, *common)
    before = (out / "results.csv").read_bytes()
    words = ["measure", *map(str, (plate / "A01_s1.tif", *common))]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert "has the results of 4 other images, such as A01_s1.tif; choose" in refused.stderr
    assert (out / "results.csv").read_bytes() == before
    assert not (out / "results.csv.part").exists()
    run(plate / "A01_s1.tif", *common, "--again")
    assert [row["file"] for row in table(out / "results.csv")] == [str(plate / "A01_s1.tif")]


def test_of_a_stack_its_best_plane_is_doubted_and_drawn(model, tmp_path):
    images = tmp_path / "in"
    images.mkdir()
    # Its planes out of focus would be the most doubtful ones.
    sharp = coded.plane([[0, 1, 0, 1]] * 3)
    stack = np.stack([coded.plane(MIXED), sharp, coded.plane(MIXED)])
    tifffile.imwrite(images / "a.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(images / "b.tif", coded.plane(MIXED))
    for number in range(25):
        tifffile.imwrite(images / f"{number}.tif", coded.plane(BLURRED))
    out = tmp_path / "out"
    screen = run(images, "--model", model, "--out", out)
    assert "29 planes" in screen
    assert "27 images, a z-stack by its best plane: 1 in focus, 25 out of" in screen
    assert [path.name for path in (out / "overlays").iterdir()] == ["01_b.tif.png"]
    # What is drawn already is not drawn again.
    drawn = (out / "overlays" / "01_b.tif.png").stat().st_mtime_ns
    run(images, "--model", model, "--out", out)
    assert (out / "overlays" / "01_b.tif.png").stat().st_mtime_ns == drawn
    tifffile.imwrite(images / "b.tif", coded.plane(list(reversed(MIXED))))
    run(images, "--model", model, "--out", out)
    assert (out / "overlays" / "01_b.tif.png").stat().st_mtime_ns != drawn


def test_a_plane_that_is_damaged_costs_itself_only(model, tmp_path):
    """In the middle of a stack, whose other planes have their rows and their best one."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for k in (3, 2, 1, 0, 1):
            writer.write(coded.plane([[k] * 2] * 2), compression="deflate", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[2].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + 8] = b"\xff" * 8
    path.write_bytes(content)
    run(path, "--model", model, "--out", tmp_path / "out", code=1)
    rows = table(tmp_path / "out" / "results.csv")
    assert [row["z"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [row["level"] for row in rows] == ["3", "2", "", "0", "1"]
    assert [bool(row["error"]) for row in rows] == [False, False, True, False, False]
    (stack,) = table(tmp_path / "out" / "stacks.csv")
    assert stack["best_z"] == "3"


def test_bad_files_are_rows_and_the_rest_goes_on(plate, model, tmp_path):
    good = (plate / "A01_s1.tif").read_bytes()
    (plate / "cut.tif").write_bytes(good[: len(good) // 2])
    (plate / "empty.png").touch()
    (plate / "folder.tif").mkdir()
    (plate / "link.tif").symlink_to("nowhere")
    (plate / "text.tif").write_text("hello")
    tifffile.imwrite(plate / "mask.tif", coded.plane(FOCUSED) > 150)
    odd = 'we,ird "näme"\nof [red]a[bold] file.tif'
    (plate / odd).write_bytes(good)
    screen = run(plate, "--model", model, "--out", tmp_path / "out", "--jobs", 2, code=1)
    rows = {row["file"]: row for row in table(tmp_path / "out" / "results.csv")}
    assert len(rows) == 4 + 7
    bad = {name for name, row in rows.items() if row["error"]}
    assert bad == {"cut.tif", "empty.png", "folder.tif", "link.tif", "text.tif", "mask.tif"}
    for name in bad:
        filled = {column for column, value in rows[name].items() if value}
        filled -= {"size_bytes", "modified"}
        assert filled == {"file", "error", "settings_id", "checksum"}
        assert name in screen
        assert str(plate) not in rows[name]["error"]
    assert rows[odd]["level"] == rows["A01_s1.tif"]["level"]


def test_a_missing_file_beside_a_good_one_is_a_row(plate, model, tmp_path):
    run(plate / "A01_s1.tif", plate / "gone.tif", "-o", tmp_path / "out", "--model", model, code=1)
    first, second = table(tmp_path / "out" / "results.csv")
    assert (first["error"], second["error"]) == ("", "does not exist")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.tif"], "There is no file or folder"),
        (["nothing*.tif"], "There is no image"),
        (["A01_s1.tif", "--rescale"], "--optics"),
        (["A01_s1.tif", "--optics", "na=2,n=1"], "na must be below"),
        (["A01_s1.tif", "--optics", "na=0.5;n=1"], "na"),
        (
            ["A01_s1.tif", "--optics", "na=2,n=1,wavelength_um=1,pixel_size_um=1"],
            "na must be below",
        ),
        (["A01_s1.tif", "--per-patch"], "--out"),
        (["A01_s1.tif", "--overlay", "all"], "--out"),
        (["A01_s1.tif", "--overlay", "some", "--out", "out"], "doubtful"),
        (["A01_s1.tif", "--pattern", "(?P<well>"], "regular expression"),
        (["A01_s1.tif", "--pattern", r"\d"], "named groups"),
        (["A01_s1.tif", "--pattern", r"(?P<row>\d)"], "plate, well, site, channel"),
        (["A01_s1.tif", "--jobs", "0"], "jobs"),
        (["A01_s1.tif", "--in-focus-limit", "11"], "levels end at 10"),
        (["A01_s1.tif", "--out", "A02_s1.tif"], "A02_s1.tif"),
        ([], "PATHS"),
    ],
)
def test_wrong_use_is_a_sentence_and_exit_code_2(
    plate, model, monkeypatch, arguments, words, capfd
):
    monkeypatch.chdir(plate)
    before = sorted(plate.rglob("*"))
    result = CliRunner().invoke(app, ["measure", *arguments, "--model", str(model)])
    assert result.exit_code == 2
    assert words in re.sub(r"[│\s]+", " ", result.stderr)
    assert "Traceback" not in result.output
    assert sorted(plate.rglob("*")) == before


def test_a_wrong_model_is_wrong_use(plate):
    result = CliRunner().invoke(app, ["measure", str(plate), "--model", "no-such"])
    assert result.exit_code == 2
    assert "no-such" in result.stderr


# Pictures


def test_doubt_by_hand(model):
    def of(probabilities, certainty=0.9, status="in_focus"):
        result = measure_focus(coded.plane(FOCUSED), model)
        full = np.zeros(11)
        full[: len(probabilities)] = probabilities
        # A frozen result with other numbers.
        from dataclasses import replace

        changed = replace(result, probabilities=full, certainty=certainty, status=status)
        return doubt(changed, in_focus_limit=1, sure_certainty=0.3)

    assert of([0.5, 0.5]) == (0, "close to the in-focus limit")
    assert of([0, 0.5, 0.5])[0] == pytest.approx(1)
    assert of([0.5, 0.25, 0.25])[0] == pytest.approx(0.5)
    assert of([0, 0.1, 0.9])[0] == pytest.approx(0.2)
    assert of([1.0], certainty=0.15) == (pytest.approx(0.5), "low certainty")
    assert of([1.0], status="mixed")[0] == 1
    assert of([0, 0.5, 0.5], status="no_content")[0] == 0


def test_doubtful_planes_are_drawn_the_worst_first(plate, model, tmp_path):
    # A level between the last that is in focus and the first that is not.
    tifffile.imwrite(plate / "between.tif", coded.plane([[1, 2], [2, 1]]))
    out = tmp_path / "out"
    run(plate, "--model", model, "--out", out, "--jobs", 2)
    names = sorted(path.name for path in (out / "overlays").iterdir())
    assert names == ["01_between.tif.png", "02_day_2_B10_s2.tif.png"] or names == [
        "01_day_2_B10_s2.tif.png",
        "02_between.tif.png",
    ]
    for path in (out / "overlays").iterdir():
        assert is_overlay(path)


def test_at_most_24_doubtful_planes_are_drawn(model, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(30):
        tifffile.imwrite(folder / f"{i}.tif", coded.plane(MIXED if i < 28 else BLURRED))
    run(folder, "--model", model, "--out", tmp_path / "out")
    drawn = sorted(path.name for path in (tmp_path / "out" / "overlays").iterdir())
    assert drawn == [f"{i + 1:02}_{i}.tif.png" for i in range(24)]


def test_all_or_none_are_drawn(plate, model, tmp_path):
    out = tmp_path / "out"
    run(plate, "--model", model, "--out", out, "--overlay", "all", "--jobs", 2)
    names = sorted(path.name for path in (out / "overlays").iterdir())
    stems = ["A01_s1.tif", "A02_s1.tif", "day_2_B10_s2.tif", "day_2_B11_s2.png"]
    assert [name[:-13] for name in names] == stems
    # A file that comes before the others draws none of them again.
    drawn = {path: path.stat().st_mtime_ns for path in (out / "overlays").iterdir()}
    shutil.copy(plate / "A01_s1.tif", plate / "A00_s1.tif")
    run(plate, "--model", model, "--out", out, "--overlay", "all", "--jobs", 2)
    assert {path: path.stat().st_mtime_ns for path in drawn} == drawn
    assert len(list((out / "overlays").iterdir())) == 5
    # The next run takes its predecessor's pictures away, and no one else's.
    Image.new("RGB", (9, 9)).save(out / "overlays" / "own.png")
    run(plate, "--model", model, "--out", out, "--overlay", "none")
    assert [path.name for path in (out / "overlays").iterdir()] == ["own.png"]


def test_a_stack_that_was_interrupted_has_all_its_pictures(model, tmp_path, monkeypatch):
    image = tmp_path / "stack.tif"
    tifffile.imwrite(
        image, np.stack([coded.plane(FOCUSED)] * 5), imagej=True, metadata={"axes": "ZYX"}
    )
    common = (image, "--model", model, "--overlay", "all", "--jobs", 1)
    run(*common, "--out", tmp_path / "whole")
    out = tmp_path / "out"
    add, n_pages = Record.add, 0

    def interrupted(record, outcome):
        nonlocal n_pages
        if n_pages == 3:
            raise KeyboardInterrupt
        add(record, outcome)
        n_pages += 1

    with monkeypatch.context() as patched:
        patched.setattr(Record, "add", interrupted)
        run(*common, "--out", out, code=130)
    drawn = sorted((out / "overlays").iterdir())
    drawn[1].unlink()
    screen = run(*common, "--out", out)
    assert "overlays/ (5)" in screen
    for path in (tmp_path / "whole" / "overlays").iterdir():
        assert (out / "overlays" / path.name).read_bytes() == path.read_bytes()


def test_a_picture_that_cannot_be_written_is_told_and_costs_no_row(plate, model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "overlays").write_text("in the way")
    for which in ("all", "doubtful"):
        screen = run(plate, "--model", model, "--out", out, "--overlay", which, code=1)
        assert "Not drawn" in screen
        assert [row["error"] for row in table(out / "results.csv")] == [""] * 4


# What stays, what goes


def test_results_of_others_are_not_overwritten(plate, model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("results.csv", "stacks.csv", "patches.csv"):
        (out / name).write_text("my own notes")
        result = CliRunner().invoke(
            app, ["measure", str(plate), "--model", str(model), "--out", str(out)]
        )
        assert result.exit_code == 2
        assert name in result.stderr
        assert (out / name).read_text() == "my own notes"
        (out / name).unlink()
        assert list(out.iterdir()) == []


def test_what_did_not_change_is_kept(plate, model, tmp_path):
    out = tmp_path / "out"
    common = ("--model", model, "--out", out, "--overlay", "none", "--per-patch")
    (plate / "C01_s1.tif").write_bytes(b"II*\0 cut short")
    run(plate, *common, code=1)
    before = (out / "results.csv").read_bytes(), (out / "patches.csv").read_bytes()

    def counts():
        counts = json.loads((out / "run.json").read_text())["counts"]
        return counts["files"], counts["measured"], counts["kept"]

    # What failed is tried again.
    assert "4 of 5 files were measured before" in run(plate, *common, code=1)
    assert counts() == (5, 1, 4)
    assert before == ((out / "results.csv").read_bytes(), (out / "patches.csv").read_bytes())
    # One changed, one gone, one new.
    tifffile.imwrite(plate / "A02_s1.tif", coded.plane(FOCUSED))
    (plate / "A01_s1.tif").unlink()
    tifffile.imwrite(plate / "C01_s1.tif", coded.plane(BLURRED))
    run(plate, *common)
    assert counts() == (4, 2, 2)
    rows = table(out / "results.csv")
    assert [(row["file"], row["status"]) for row in rows] == [
        ("A02_s1.tif", "in_focus"),
        ("C01_s1.tif", "out_of_focus"),
        ("day 2/B10_s2.tif", "mixed"),
        ("day 2/B11_s2.png", "no_content"),
    ]
    assert {row["file"] for row in table(out / "patches.csv")} == {row["file"] for row in rows}
    # Other settings, or a wish.
    run(plate, *common, "--in-focus-limit", 2)
    assert counts() == (4, 4, 0)
    run(plate, *common, "--in-focus-limit", 2, "--again")
    assert counts() == (4, 4, 0)


def test_the_record_of_a_run(plate, model, tmp_path):
    out = tmp_path / "out"
    run(plate, "--model", model, "--out", out, "--in-focus-limit", 2)
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
        run(plate, "--model", model, "--out", plate / out, "--overlay", "all")
        assert len(table(plate / out / "results.csv")) == 4


def _start(folder, model, out, *options):
    # A shell that runs the tests in the background lets them inherit that Ctrl-C is ignored.
    process = subprocess.Popen(
        command(folder, "--model", model, "--out", out, "--overlay", "none", *options),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
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


@pytest.fixture
def many(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    content = coded.plane([[1, 2, 3, 4, 5, 6, 7, 8]] * 8)
    for i in range(40):
        tifffile.imwrite(folder / f"{i:02}.tif", content, compression="deflate")
    return folder


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


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
    assert [row["file"] for row in rows] == [f"{i:02}.tif" for i in range(40)]
    errors = [row["error"] for row in rows if row["error"]]
    assert len(errors) <= 1
    assert all("SIGKILL" in error for error in errors)
    assert process.returncode == len(errors)


@linux
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_run_keeps_its_rows_and_leaves_no_process(many, model, tmp_path, jobs):
    out = tmp_path / "out"
    again = ["--again"] if jobs == "1" else []
    process = _start(many, model, out, "--jobs", jobs, *again)
    children = _children(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    command = "the same command without --again" if again else "the same command"
    assert f"rows of this run; {command} goes on from there" in errors
    assert "Traceback" not in errors
    assert not (out / "results.csv").exists()
    rows = table(out / "results.csv.part")
    assert 3 <= len(rows) < 40
    assert [row["file"] for row in rows] == [f"{i:02}.tif" for i in range(len(rows))]
    time.sleep(0.2)
    assert not [child for child in children if _is_alive(child)]
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert record["counts"]["measured"] == len(rows)

    # The same command goes on, and its tables are those of a run that nothing interrupted.
    run(many, "--model", model, "--out", out, "--overlay", "none")
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["counts"]["kept"] == len(rows)
    assert record["counts"]["measured"] == 40 - len(rows)
    run(many, "--model", model, "--out", tmp_path / "other", "--overlay", "none")
    results = (tmp_path / "other" / "results.csv").read_bytes()
    assert (out / "results.csv").read_bytes() == results


@linux
def test_a_full_disk_is_an_error_not_a_traceback(many, model, tmp_path):
    out = tmp_path / "out"
    limited = ["sh", "-c", "ulimit -f 8; trap '' XFSZ; exec \"$@\"", "sh"]
    options = ("--model", model, "--out", out, "--overlay", "none", "--jobs", "1")
    done = subprocess.run(
        [*limited, *command(many, *options)], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    # What was measured before is kept.
    assert 5 < len(table(out / "results.csv.part")) < 15
    run(many, *options)
    assert [row["file"] for row in table(out / "results.csv")] == [f"{i:02}.tif" for i in range(40)]


def test_a_log_that_is_no_table_is_not_written_to(plate, model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "own.txt").write_text("mine")
    (out / "results.csv.part").symlink_to(tmp_path / "own.txt")
    result = CliRunner().invoke(
        app, ["measure", str(plate), "--model", str(model), "--out", str(out)]
    )
    assert result.exit_code == 2
    assert "results.csv.part: is there already" in result.stderr
    assert (tmp_path / "own.txt").read_text() == "mine"


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
    microscope_quality.model.write_model(tmp_path / "model", description, weights)
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
        [sys.executable, "-c", code, *command(*arguments, "--jobs", 1, "--overlay", "all")],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    kilobytes = int(done.stdout) / (1024 if sys.platform == "darwin" else 1)
    assert kilobytes < 400_000


# The screen


@pytest.mark.parametrize("width", [80, 120])
def test_the_screen_fits_its_width(plate, model, tmp_path, width):
    long = "a_long_name_" * 9
    tifffile.imwrite(plate / f"{long}A.tif", coded.plane(BLURRED))
    tifffile.imwrite(plate / f"{long}B.tif", np.stack([coded.plane(FOCUSED)] * 5), imagej=True)
    (plate / f"{long}C.tif").touch()
    done = subprocess.run(
        command(plate, "--model", model),
        env=environment(COLUMNS=str(width)),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert any(line.startswith("a_long") and "…" in line and "A.tif" in line for line in lines)
    for i in range(30):
        tifffile.imwrite(plate / f"{long}{i}.tif", coded.plane(MIXED))
    done = subprocess.run(
        command(plate, "--model", model),
        env=environment(COLUMNS=str(width)),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert max(map(len, done.stdout.splitlines())) <= width
    assert "41 planes" in done.stdout


def test_a_pipe_gets_whole_names(plate, model):
    name = "a_long_name_" * 12 + ".tif"
    (plate / "A01_s1.tif").rename(plate / name)
    changes = {key: value for key, value in environment().items() if key != "COLUMNS"}
    done = subprocess.run(
        command(plate, "--model", model), env=changes, capture_output=True, check=True
    )
    assert name in done.stdout.decode()
    assert done.stderr == b""
    assert b"\x1b" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_is_shown_on_a_terminal(plate, model):
    import pty

    terminal, other_end = pty.openpty()
    done = subprocess.run(
        command(plate, "--model", model, "--jobs", "1"),
        env=environment(TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=other_end,
        check=True,
    )
    os.close(other_end)
    shown = os.read(terminal, 100_000)
    os.close(terminal)
    assert b"Measuring" in shown
    assert b"Measuring" not in done.stdout


def test_a_terminal_that_knows_only_ascii(plate, model):
    done = subprocess.run(
        command(plate, "--model", model),
        env=environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0"),
        capture_output=True,
    )
    assert done.returncode == 0
    assert b"out of focus" in done.stdout


def test_names_cannot_move_the_cursor(plate, model):
    (plate / "A01_s1.tif").rename(plate / "a\x1b[2J\rb.tif")
    screen = run(plate, "--model", model)
    assert "\x1b" not in screen
    assert "\r" not in screen


def test_help_teaches():
    result = CliRunner().invoke(app, ["measure", "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    for words in ("microscope-quality measure", "--optics", "--pattern", "Exit codes"):
        assert words in result.stdout


def test_the_command_line_starts_without_what_is_heavy():
    code = (
        "import sys; from microscope_quality.cli.app import app\n"
        "heavy = {'tensorflow', 'keras', 'scipy', 'tifffile', 'PIL', 'rich', 'imagecodecs'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_version():
    result = CliRunner().invoke(app, ["--version"])
    assert result.stdout == f"microscope-quality {microscope_quality.__version__}\n"
