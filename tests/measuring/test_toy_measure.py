"""A measure that the library does not know goes all its ways: one file is all that it takes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import toy_measure
from command_line import texts, unchecked
from PIL import Image
from toy_measure import BRIGHT, DARK, Toy

from microscope_quality.files.tables import read_table
from microscope_quality.measuring.classical import Classical
from microscope_quality.measuring.file_verdicts import Threshold
from microscope_quality.measuring.measure_files import measure_files
from microscope_quality.measuring.settings import Settings
from microscope_quality.measuring.watch import Watch, WatchSettings
from microscope_quality.measuring.watch_events import FileMeasured
from microscope_quality.report.write import write_report

LEVELS = {"a.tif": 50, "b.tif": 90, "c.tif": 200, "d.tif": 220}
#: Of the planes of a z-stack.
STACK = (40, 150, 130)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    plane = np.random.default_rng(0).integers(0, 10, (60, 80)).astype(np.uint16)
    for name, level in LEVELS.items():
        tifffile.imwrite(folder / name, plane + np.uint16(level))
    stack = np.stack([plane + np.uint16(level) for level in STACK])
    tifffile.imwrite(folder / "stack.tif", stack, ome=True, metadata={"axes": "ZYX"})
    (folder / "broken.tif").write_bytes(b"II*\0")
    return folder


def settings(threshold=100.0, **more):
    return Settings(measures=(Toy(threshold),), **more)


def table(folder, name="results.csv"):
    return list(read_table(folder / name))


def test_it_is_one_file_of_60_lines():
    assert len(Path(toy_measure.__file__).read_text("utf-8").splitlines()) <= 60


def test_table_stacks_and_overlays_by_two_processes(images, tmp_path):
    out = tmp_path / "out"
    drawn = settings(pictures=out / "overlays")
    rows = list(measure_files(images, drawn, out=out, jobs=2))
    assert texts(rows) == unchecked(table(out))
    of = {(row["file"], row["z"]): row for row in table(out)}
    assert len(of) == 8
    plane = tifffile.imread(images / "c.tif")
    assert float(of["c.tif", ""]["mean"]) == pytest.approx(plane.mean(), rel=1e-5)
    assert {key: row["status"] for key, row in of.items() if not row["error"]} == {
        ("a.tif", ""): "dark",
        ("b.tif", ""): "dark",
        ("c.tif", ""): "bright",
        ("d.tif", ""): "bright",
        ("stack.tif", "0"): "dark",
        ("stack.tif", "1"): "bright",
        ("stack.tif", "2"): "bright",
    }
    assert of["broken.tif", ""]["error"]
    assert not {"level", "certainty", "p0"} & {*rows[0]}
    # The brightest plane is the best.
    (stack,) = table(out, "stacks.csv")
    assert (stack["best_z"], stack["status"]) == ("1", "bright")
    assert float(stack["mean"]) == pytest.approx(STACK[1] + plane.mean() - LEVELS["c.tif"], 1e-4)
    pictures = {path.name.split(".tif")[0]: path for path in (out / "overlays").iterdir()}
    assert {"a", "b", "c", "d"} < {*pictures}
    for name, status in (("a", DARK), ("d", BRIGHT)):
        with Image.open(pictures[name]) as picture:
            colours = {colour for _, colour in picture.convert("RGB").getcolors(2**24)}
        assert tuple(bytes.fromhex(status.colour[1:])) in colours


@pytest.mark.long
def test_it_resumes_and_another_threshold_measures_again(images, tmp_path):
    out = tmp_path / "out"
    first = list(measure_files(images, settings(), out=out))
    tifffile.imwrite(images / "e.tif", np.full((30, 30), 7, np.uint8))
    second = list(measure_files(images, settings(), out=out, jobs=2))
    assert [row for row in second if row["file"] != "e.tif"] == first
    record = json.loads((out / "run.json").read_text())
    assert record["settings"]["measures"] == ["toy"]
    assert record["settings"]["threshold"] == 100
    # The image that is new, and the broken one once more.
    assert (record["counts"]["kept"], record["counts"]["measured"]) == (5, 2)
    (stack,) = table(out, "stacks.csv")
    assert (stack["best_z"], stack["status"]) == ("1", "bright")
    third = {row["file"]: row["status"] for row in measure_files(images, settings(210), out=out)}
    assert (third["c.tif"], third["d.tif"]) == ("dark", "bright")
    counts = json.loads((out / "run.json").read_text())["counts"]
    assert (counts["kept"], counts["dark"], counts["bright"]) == (0, 7, 1)


@pytest.mark.long
def test_the_report_shows_it(images, tmp_path):
    out = tmp_path / "out"
    list(measure_files(images, settings(), out=out))
    html = write_report(out, measures=[Toy()]).read_text("utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', html, re.S)[1])
    assert [status["key"] for status in data["statuses"]] == ["bright", "dark", "error"]
    assert (data["value"], data["limit"]) == ("mean", 100)
    assert "Brightness" in html
    # The middle of three planes of the stack speaks for it; all that can be read have pictures.
    assert data["stacks"] == [{"image": 5, "name": "stack.tif", "rows": [5, 6, 7], "best": "1"}]
    assert [row for row, _ in data["pictures"]] == [0, 1, 3, 4, 5, 6, 7]
    # Of the page, what people see.
    shown = re.sub(r"<(script|style).*?</\1>|<[^>]*>", "", html, flags=re.S)
    assert "3 of 6 images are bright" in shown
    assert not re.search(r"\bfocus|\blevel", shown, re.I)


@pytest.mark.long
def test_the_watch_measures_draws_and_judges_by_it(images, tmp_path):
    out = tmp_path / "out"
    where = WatchSettings(images, out, still_seconds=0.1, once=True, pictures=True)
    with Watch(where, settings()) as watch:
        events = [event for event in watch.events() if isinstance(event, FileMeasured)]
    statuses = {row["file"]: row["status"] for row in table(out) if row["file"] in LEVELS}
    assert statuses == {"a.tif": "dark", "b.tif": "dark", "c.tif": "bright", "d.tif": "bright"}
    found = {event.name: event for event in events}
    assert {*found} == {*LEVELS, "stack.tif", "broken.tif"}
    assert found["a.tif"].verdict.status is DARK
    assert found["a.tif"].picture.startswith(b"\xff\xd8")
    assert found["stack.tif"].verdict.in_words() == "z1, the best of a stack of 3"
    # Below a limit, since high is good.
    threshold = Threshold(limit=100.0)
    reasons = {name: threshold.reason(name, event.verdict) for name, event in found.items()}
    assert reasons["a.tif"] == "a.tif is at mean 54.5, below 100"
    assert reasons["c.tif"] == ""
    assert reasons["broken.tif"].startswith("broken.tif cannot be measured: ")
    # The next watch goes on, and tries what failed once more.
    with Watch(where, settings()) as watch:
        assert (watch.run().measured, watch.status.kept) == (1, 5)


def test_it_goes_beside_another_measure(images, tmp_path):
    both = Settings(measures=(Toy(), Classical()))
    (row,) = measure_files(images / "d.tif", both)
    assert row["status"] == "bright"
    assert row["mean_intensity"] == pytest.approx(row["mean"])
