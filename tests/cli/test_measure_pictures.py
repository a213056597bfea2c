"""Pictures that the measure command draws: which planes, when again, and whose stay."""

from __future__ import annotations

import re
import shutil

import coded
import numpy as np
import pytest
import tifffile
from command_line import counts, measure, pictures, table
from PIL import Image

from microscope_quality.files.pictures import is_picture

pytestmark = pytest.mark.long


def test_doubtful_planes_are_drawn_the_worst_first(plate, model, tmp_path):
    # A level between the last that is in focus and the first that is not.
    tifffile.imwrite(plate / "between.tif", coded.plane([[1, 2], [2, 1]]))
    out = tmp_path / "out"
    measure(plate, "--model", model, "--out", out, "--jobs", 2)
    names = pictures(out)
    assert names == ["01_between.tif.png", "02_day_2_B10_s2.tif.png"] or names == [
        "01_day_2_B10_s2.tif.png",
        "02_between.tif.png",
    ]
    for path in (out / "overlays").iterdir():
        assert is_picture(path)


def test_at_most_24_doubtful_planes_are_drawn(model, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(30):
        tifffile.imwrite(folder / f"{i}.tif", coded.plane(coded.MIXED if i < 28 else coded.BLURRED))
    measure(folder, "--model", model, "--out", tmp_path / "out")
    assert pictures(tmp_path / "out") == [f"{i + 1:02}_{i}.tif.png" for i in range(24)]


def test_all_or_none_are_drawn(plate, model, tmp_path):
    out = tmp_path / "out"
    measure(plate, "--model", model, "--out", out, "--overlay", "all", "--jobs", 2)
    names = pictures(out)
    stems = ["A01_s1.tif", "A02_s1.tif", "day_2_B10_s2.tif", "day_2_B11_s2"]
    assert [name[:-13] for name in names] == stems
    # A file that comes before the others draws none of them again.
    drawn = {path: path.stat().st_mtime_ns for path in (out / "overlays").iterdir()}
    shutil.copy(plate / "A01_s1.tif", plate / "A00_s1.tif")
    measure(plate, "--model", model, "--out", out, "--overlay", "all", "--jobs", 2)
    assert {path: path.stat().st_mtime_ns for path in drawn} == drawn
    assert len(list((out / "overlays").iterdir())) == 5
    # The next run takes its predecessor's pictures away, and no one else's.
    Image.new("RGB", (9, 9)).save(out / "overlays" / "own.png")
    measure(plate, "--model", model, "--out", out, "--overlay", "none")
    assert pictures(out) == ["own.png"]
    # Without any, the folder would look as if some were missing.
    (out / "overlays" / "own.png").unlink()
    measure(plate, "--model", model, "--out", out, "--overlay", "none")
    assert not (out / "overlays").exists()


def test_a_picture_that_cannot_be_written_is_told_and_costs_no_row(plate, model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "overlays").write_text("in the way")
    for which in ("all", "doubtful"):
        assert "Not drawn" in measure(
            plate, "--model", model, "--out", out, "--overlay", which, code=1
        )
        assert [row["error"] for row in table(out / "results.csv")] == [""] * 4


def test_of_a_stack_its_best_plane_is_doubted_and_drawn(model, tmp_path):
    images = tmp_path / "in"
    images.mkdir()
    # Its planes out of focus would be the most doubtful ones.
    sharp = coded.plane([[0, 1, 0, 1]] * 3)
    stack = np.stack([coded.plane(coded.MIXED), sharp, coded.plane(coded.MIXED)])
    tifffile.imwrite(images / "a.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(images / "b.tif", coded.plane(coded.MIXED))
    for number in range(25):
        tifffile.imwrite(images / f"{number}.tif", coded.plane(coded.BLURRED))
    out = tmp_path / "out"
    screen = measure(images, "--model", model, "--out", out)
    assert counts(out)["planes"] == 29
    assert "27 images\nof 29 planes: a z-stack counts by its best plane" in screen
    assert re.search(r"● in focus +1 .*\n○ out of focus +25 ", screen)
    assert pictures(out) == ["01_b.tif.png"]
    # What is drawn already is not drawn again.
    drawn = (out / "overlays" / "01_b.tif.png").stat().st_mtime_ns
    measure(images, "--model", model, "--out", out)
    assert (out / "overlays" / "01_b.tif.png").stat().st_mtime_ns == drawn
    tifffile.imwrite(images / "b.tif", coded.plane(coded.MIXED[::-1]))
    measure(images, "--model", model, "--out", out)
    assert (out / "overlays" / "01_b.tif.png").stat().st_mtime_ns != drawn


def test_pictures_that_a_killed_run_left_by_halves_are_taken_away(plate, model, tmp_path):
    overlays = tmp_path / "out" / "overlays"
    overlays.mkdir(parents=True)
    for name in (".07_A09.tif.png.part", ".A09.tif_0123abcd.png.part", "notes.part"):
        (overlays / name).write_bytes(b"half")
    measure(plate, "--model", model, "--out", tmp_path / "out")
    assert [path.name for path in overlays.iterdir() if "part" in path.name] == ["notes.part"]
