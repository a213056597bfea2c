"""The plugin's tables and those of the command line say the same things, field by field."""

import csv
import os
import shutil

import jpype
import numpy as np
import pytest
import tifffile
from hosts import missing

from microscope_quality.measuring.measure_files import measure_files
from microscope_quality.measuring.rating import Rating
from microscope_quality.measuring.settings import Settings

PLACE = ("z", "c", "t")


@pytest.fixture
def folder(sample, tmp_path):
    """Planes with and without content, stacks, colours, floats, and one that is too small."""
    place = tmp_path / "images"
    place.mkdir()
    for path in sample.glob("*.tif"):
        shutil.copy(path, place)
    plane = tifffile.imread(sample / "A01_s1_dna.tif")
    tifffile.imwrite(place / "C1_small.tif", plane[:50, :60])
    tifffile.imwrite(place / "C2_floats.tif", plane.astype(np.float32) / 1000)
    grey = (plane / plane.max() * 255).astype(np.uint8)
    colours = np.stack([grey, grey[::-1], np.zeros_like(grey)], axis=-1)
    tifffile.imwrite(place / "C3_colours.tif", colours, photometric="rgb")
    hyper = np.stack([plane[:90, :100]] * 12).reshape(2, 3, 2, 90, 100)
    tifffile.imwrite(place / "C4_hyper.tif", hyper, imagej=True, metadata={"axes": "TZCYX"})
    return place


def read(path):
    with path.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    return header, [dict(zip(header, row)) for row in rows]


def run_the_plugin(command, options):
    if "Microscope_Quality-" not in os.environ["FIJI_BRIDGE_CLASS_PATH"]:
        missing("the plugin's jar: mvn -f fiji_bridge/plugin package")
    results = jpype.JClass("ij.measure.ResultsTable").getResultsTable()
    results.reset()
    thread = jpype.JClass("java.lang.Thread").currentThread()
    before = thread.getName()
    thread.setName("Run$_")
    jpype.JClass("ij.Macro").setOptions(options)
    try:
        jpype.JClass(f"quality.microscope.focus.{command}")().run("")
    finally:
        jpype.JClass("ij.Macro").setOptions(None)
        thread.setName(before)
    return results


def assert_same(row, other, names):
    """Also what is empty; the plugin computes in other steps, far behind the point."""
    for name in names:
        if name in PLACE and other[name]:
            assert int(row[name]) == int(other[name]) + 1
            continue
        try:
            assert float(row[name]) == pytest.approx(float(other[name]), abs=1e-4, rel=1e-4), name
        except ValueError:
            assert row[name] == other[name], (row["file"], name)


def test_a_folder(folder, tmp_path):
    list(measure_files(folder, out=tmp_path / "results", jobs=1))
    names, expected = read(tmp_path / "results" / "results.csv")
    table = tmp_path / "table.csv"
    results = run_the_plugin("MeasureFolder", f"folder=[{folder}] csv=[{table}] ")
    header, rows = read(tmp_path / "table.csv")
    *first, last = header
    assert (first, last) == (names[: len(first)], "binning")
    assert len(rows) == len(expected) == results.size() == 15 + 1 + 1 + 3 + 12
    for i, (row, other) in enumerate(zip(rows, expected)):
        assert_same(row, other, header)
        for name in header:
            # The table in ImageJ has no empty columns for parts of names and for series.
            if results.columnExists(name):
                cell = str(results.getStringValue(name, i))
                assert (cell == "") == (row[name] == ""), (row["file"], name, cell)
    assert [row["c"] for row in rows if row["file"] == "C3_colours.tif"] == ["1", "2", "3"]
    shown = [str(name) for name in results.getHeadings()]
    assert shown == [name for name in header if name in shown]
    assert set(header) - set(shown) == {"plate", "well", "site", "channel", "series"}
    results.reset()


def test_a_rated_folder(micrograph, tmp_path):
    images = tmp_path / "tiles"
    images.mkdir()
    tifffile.imwrite(images / "s1.tif", micrograph)
    tifffile.imwrite(images / "s2.tif", (micrograph / 3).astype(np.float32))
    tifffile.imwrite(images / "s3_small.tif", micrograph[:90])
    stack = np.stack([micrograph[:, ::-1], micrograph[::-1]])
    tifffile.imwrite(images / "s4.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    settings = Settings((Rating(score_limit=0.95, check_grabs=False),))
    list(measure_files(images, settings, out=tmp_path / "results", jobs=1))
    names, expected = read(tmp_path / "results" / "results.csv")
    table = tmp_path / "table.csv"
    results = run_the_plugin("RateFolder", f"folder=[{images}] csv=[{table}] score_limit=0.95 ")
    header, rows = read(table)
    assert set(header) <= set(names)
    of_planes = header[: header.index("message") + 1]
    assert of_planes == names[: len(of_planes)]
    assert len(rows) == len(expected) == results.size() == 5
    for row, other in zip(rows, expected):
        assert_same(row, other, header)
    assert {row["status"] for row in rows} == {"poor", "too_small"}
    results.reset()
