"""What `measure` writes beside its tables, and how it measures elsewhere or less."""

from __future__ import annotations

import csv
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
from openpyxl import load_workbook
from typer.testing import CliRunner

from microscope_quality.cli.app import app
from microscope_quality.focus import measure_focus
from microscope_quality.measuring.memory import PROCESS_BYTES, memory_of
from microscope_quality.optics import Optics
from microscope_quality.sampling import sample_focus

FOCUSED = [[0, 1], [1, 0]]
BLURRED = [[8, 8], [8, 8]]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "coded"
    coded.write(folder)
    return folder


@pytest.fixture
def plate(tmp_path):
    folder = tmp_path / "plate"
    folder.mkdir()
    tifffile.imwrite(folder / "A01.tif", coded.plane(FOCUSED))
    tifffile.imwrite(folder / "A02.tif", coded.plane(BLURRED))
    stack = np.stack([coded.plane(BLURRED), coded.plane(FOCUSED)])
    tifffile.imwrite(folder / "A03.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    (folder / "=1+1.tif").write_bytes(b"nothing")
    return folder


def run(*arguments, code=0):
    if "--jobs" not in arguments and "--cluster" not in arguments:
        arguments = (*arguments, "--jobs", 1)
    result = CliRunner().invoke(app, ["measure", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def table(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_pictures_that_a_killed_run_left_by_halves_are_taken_away(plate, model, tmp_path):
    overlays = tmp_path / "out" / "overlays"
    overlays.mkdir(parents=True)
    for name in (".07_A09.tif.png.part", ".A09.tif_0123abcd.png.part", "notes.part"):
        (overlays / name).write_bytes(b"half")
    run(plate, "--model", model, "--out", tmp_path / "out", code=1)
    assert [path.name for path in overlays.iterdir() if "part" in path.name] == ["notes.part"]


def test_copies_say_what_the_tables_say(plate, model, tmp_path):
    from pyarrow import parquet

    out = tmp_path / "out"
    options = ("--model", model, "--out", out, "--overlay", "none")
    screen = run(plate, *options, "--parquet", "--xlsx", "--report", code=1)
    assert "results.parquet, stacks.parquet, results.xlsx, report.html" in screen
    rows = table(out / "results.csv")
    copied = parquet.read_table(out / "results.parquet").to_pylist()
    sheet = list(load_workbook(out / "results.xlsx").active.values)
    level, file = sheet[0].index("expected_level"), sheet[0].index("file")
    for row, copy, cells in zip(rows, copied, sheet[1:], strict=True):
        assert row["file"] == copy["file"] == cells[file]
        expected = float(row["expected_level"]) if row["expected_level"] else None
        assert copy["expected_level"] == cells[level] == expected
    assert table(out / "stacks.csv")[0]["best_z"] == "1"
    assert parquet.read_table(out / "stacks.parquet").to_pylist()[0]["best_z"] == 1
    assert "A02.tif" in (out / "report.html").read_text(encoding="utf-8")
    # Copies of tables that are there no more would tell of another run.
    screen = run(plate / "A01.tif", *options, "--again")
    assert "report.html is of an earlier run" in screen
    assert not (out / "results.parquet").exists()
    assert not (out / "stacks.parquet").exists()


@pytest.mark.parametrize("wish", ["--parquet", "--xlsx", "--report"])
def test_what_is_written_needs_a_folder(plate, model, wish):
    said = run(plate, "--model", model, wish, code=2)
    assert f"{wish} needs --out" in said


def test_someone_elses_page_is_not_replaced(plate, model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("<p>mine</p>")
    run(plate, "--model", model, "--out", out, "--report", code=2)
    assert (out / "report.html").read_text() == "<p>mine</p>"
    assert not (out / "results.csv").exists()


def test_a_sample_is_the_librarys_and_gives_its_interval(model, tmp_path):
    levels = np.random.default_rng(1).integers(2, 6, (20, 20)).tolist()
    image = tmp_path / "a.tif"
    tifffile.imwrite(image, coded.plane(levels))
    out = tmp_path / "out"
    screen = run(image, "--model", model, "--out", out, "--sample", 30, "--seed", 5)
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
    run(image, "--model", model, "--out", out, "--sample", 30, "--seed", 6)
    assert table(out / "results.csv")[0]["expected_level"] != row["expected_level"]


OME = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Instrument ID="Instrument:0"><Objective ID="Objective:0" LensNA="0.75" Immersion="Air"/>
</Instrument><Image ID="Image:0"><ObjectiveSettings ID="Objective:0" RefractiveIndex="1.0"/>
<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="{w}" SizeY="{h}" SizeC="1"
 SizeZ="1" SizeT="1" PhysicalSizeX="0.325" PhysicalSizeY="0.325"{unit}>
<Channel ID="Channel:0:0" SamplesPerPixel="1"{wave}/><TiffData/></Pixels></Image></OME>"""


def test_the_files_own_optics_and_the_users(model, tmp_path):
    plane = coded.plane([[5, 5], [5, 5]])
    height, width = plane.shape
    for name, wave in (("all", ' EmissionWavelength="520"'), ("some", "")):
        text = OME.format(w=width, h=height, unit="", wave=wave)
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", plane, description=text, metadata=None)
    out = tmp_path / "out"

    def rows(*options):
        run(tmp_path / "all.ome.tif", tmp_path / "some.ome.tif", *options)
        return table(out / "results.csv")

    common = ("--model", model, "--out", out, "--overlay", "none")
    everything, some = rows(*common)
    optics = Optics(na=0.75, refractive_index=1.0, wavelength_um=0.52, pixel_size_um=0.325)
    wanted = measure_focus(plane, model, optics=optics).defocus_um
    assert float(everything["defocus_um"]) == pytest.approx(wanted, rel=1e-5)
    assert everything["optics"] == "na=0.75,n=1,wavelength_um=0.52,pixel_size_um=0.325"
    assert (some["defocus_um"], some["optics"], some["message"]) == ("", "", "")
    everything, some = rows(*common, "--optics", "wavelength_um=0.6")
    assert everything["optics"] == some["optics"]
    assert "wavelength_um=0.6" in some["optics"]
    assert some["defocus_um"]
    # What the user says of the objective is right, whatever the file says.
    everything, _ = rows(*common, "--optics", "na=0.5")
    assert everything["optics"].startswith("na=0.5,n=1,")


def test_a_limit_of_memory(plate, model, tmp_path):
    out = tmp_path / "out"
    large = plate / "large.tif"
    tifffile.imwrite(large, np.zeros((5000, 6000), np.uint16), compression="deflate")
    common = ("--model", model, "--out", out, "--overlay", "none", "--limit-memory")
    run(plate, *common, "200MB", "--jobs", 2, code=1)
    errors = {row["file"]: row["error"] for row in table(out / "results.csv")}
    assert "and the limit is 200 MB" in errors["large.tif"]
    assert errors["A01.tif"] == ""
    run(plate, *common, "1GB", "--jobs", 2, code=1)
    rows = {row["file"]: row for row in table(out / "results.csv")}
    assert rows["large.tif"]["status"] == "no_content"
    assert "no amount of memory" in run(plate, *common, "much", code=2)
    assert "200 MB or more" in run(plate, *common, "10MB", code=2)


def test_a_table_that_was_taken_away_comes_back(plate, model, tmp_path):
    out = tmp_path / "out"
    common = (plate, "--model", model, "--out", out, "--overlay", "none", "--per-patch")
    run(*common, code=1)
    content = (out / "patches.csv").read_bytes()
    (out / "patches.csv").unlink()
    run(*common, code=1)
    assert (out / "patches.csv").read_bytes() == content


def test_pictures_keep_to_the_limit_of_memory(model, tmp_path):
    levels = np.zeros((24, 24), int)
    levels[:, 12:] = 9
    image = tmp_path / "large.tif"
    tifffile.imwrite(image, coded.plane(levels.tolist()))
    out = tmp_path / "out"
    # Of this process, and of the one at work.
    need = PROCESS_BYTES + memory_of(24 * 84, 24 * 84, 2)
    common = (image, "--model", model, "--out", out, "--limit-memory")
    screen = run(*common, f"{need + 10**6}B", "--report", code=1)
    assert "Not drawn" in screen
    page = (out / "report.html").read_text(encoding="utf-8")
    assert re.search(r"1 of 1 pictures is missing.*needs about \d+ MB of memory", page)
    assert "needs about" in screen
    assert table(out / "results.csv")[0]["status"] == "mixed"
    assert "overlays/ (1)" in run(*common, "1GB", "--report")
    assert "pictures is missing" not in (out / "report.html").read_text(encoding="utf-8")


def test_a_cluster_gives_the_same_table(plate, model, tmp_path):
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
        common = (os.path.relpath(plate), "--model", model, "--overlay", "all", "--per-patch")
        # As the path was typed, not as a worker has it.
        common += ("--pattern", "^(?P<plate>.*)/(?P<well>[A-Z]0[0-9]).tif$")
        for _ in range(300):
            if scheduler_file.exists():
                break
            subprocess.run(["sleep", "0.1"], check=True)
        far = os.path.relpath(tmp_path / "far")
        run(*common, "--out", far, "--cluster", scheduler_file, code=1)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
    run(*common, "--out", tmp_path / "here", code=1)
    for name in ("results.csv", "stacks.csv", "patches.csv"):
        assert (tmp_path / "far" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert table(tmp_path / "far" / "results.csv")[1]["plate"] == os.path.relpath(plate)
    for path in (tmp_path / "here" / "overlays").iterdir():
        assert (tmp_path / "far" / "overlays" / path.name).read_bytes() == path.read_bytes()
    assert json.loads((tmp_path / "far" / "run.json").read_text())["status"] == "finished"
    assert "--cluster measures on its workers" in run(
        plate, "--model", model, "--cluster", "tcp://127.0.0.1:9", "--jobs", 2, code=2
    )
