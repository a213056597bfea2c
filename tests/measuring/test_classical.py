"""The classical measures as a measure: their table, alone and beside focus."""

from __future__ import annotations

import re
import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command_line import example, texts, unchecked

from microscope_quality import classical
from microscope_quality.degrade import Camera, defocus
from microscope_quality.errors import FileError
from microscope_quality.files.columns import names
from microscope_quality.files.lazy import MAX_WHOLE_BYTES, LazyPlane
from microscope_quality.files.plane import Plane
from microscope_quality.files.tables import read_table
from microscope_quality.measuring.classical import Classical
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.measure_files import measure_files
from microscope_quality.measuring.page import measure_plane
from microscope_quality.measuring.run import Run
from microscope_quality.measuring.settings import Settings
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import nuclei

NUMBERS = [*classical.CLASSICAL]
ALONE = Settings(measures=(Classical(),))
BESIDE = Settings(measures=(Focus(), Classical()))


def taken(defocus_um, seed=0, shape=(210, 230)):
    light = defocus(nuclei(shape, 20, seed), psf(TRAINING_OPTICS, defocus_um))
    plane = Camera(offset=100, bit_depth=16).expose(2000 * (np.maximum(light, 0) + 0.05), seed)
    return plane.astype(np.uint16)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number, defocus_um in enumerate((0.0, 4.0, 9.0)):
        tifffile.imwrite(folder / f"{number}.tif", taken(defocus_um, number))
    tifffile.imwrite(folder / "flat.tif", np.full((210, 230), 7, np.uint8))
    undefined = taken(0.0).astype(np.float32)
    undefined[3, 4] = np.nan
    tifffile.imwrite(folder / "undefined.tif", undefined)
    stack = np.stack([taken(abs(z - 2) * 3.0) for z in range(5)])
    tifffile.imwrite(folder / "z.tif", stack, ome=True, metadata={"axes": "ZYX"})
    return folder


def table(folder, name="results.csv"):
    return list(read_table(folder / name))


@pytest.fixture(scope="module")
def alone(images, tmp_path_factory):
    """Rows of each file, by two processes."""
    out = tmp_path_factory.mktemp("alone")
    rows = list(measure_files(images, ALONE, out=out, jobs=2))
    assert texts(rows) == unchecked(table(out))
    return out


def test_its_columns_are_all_classical_measures():
    assert [*names(Classical().columns)] == [*NUMBERS, "status"]
    assert all(column.words for column in Classical().columns if column.name != "status")
    assert Classical().column.name == "mid_band_power"


@pytest.mark.long
def test_the_table_has_what_the_functions_give(images, alone):
    rows = {row["file"]: row for row in table(alone)}
    for name in ("0.tif", "1.tif", "2.tif"):
        plane = tifffile.imread(images / name)
        for number in NUMBERS:
            expected = getattr(classical, number)(plane)
            assert float(rows[name][number]) == pytest.approx(expected, rel=1e-5)
        assert rows[name]["status"] == "measured"
        assert (rows[name]["width"], rows[name]["height"]) == ("230", "210")
    # The sharper, the more of what counts as good.
    power = [float(rows[name]["mid_band_power"]) for name in ("0.tif", "1.tif", "2.tif")]
    assert power == sorted(power, reverse=True)
    assert "level" not in rows["0.tif"]


def test_what_has_no_contrast_and_what_is_not_finite(alone):
    rows = {row["file"]: row for row in table(alone)}
    flat = rows["flat.tif"]
    assert (flat["status"], flat["mid_band_power"], flat["mean_intensity"]) == (
        *("no_content", "", "7"),
    )
    assert flat["percent_maximal"] == flat["percent_minimal"] == "100"
    undefined = rows["undefined.tif"]
    assert (undefined["status"], undefined["mid_band_power"]) == ("", "")
    assert undefined["error"].startswith("An image to measure must be finite")


def test_the_best_plane_of_a_stack_is_the_sharpest(alone):
    (stack,) = table(alone, "stacks.csv")
    assert (stack["best_z"], stack["status"]) == ("2", "measured")
    of_stack = [row for row in table(alone) if row["file"] == "z.tif"]
    assert stack["mid_band_power"] == of_stack[2]["mid_band_power"]


@pytest.mark.long
def test_beside_focus_it_adds_columns_and_changes_none(images, alone, tmp_path):
    list(measure_files(images, BESIDE, out=tmp_path / "both"))
    list(measure_files(images, out=tmp_path / "focus"))
    both, focus = table(tmp_path / "both"), table(tmp_path / "focus")
    # They tell of settings and of all columns.
    differ = {"settings_id", "checksum"}
    for row, beside in zip(focus, both):
        same = {name: text for name, text in row.items() if name not in differ}
        if row["file"] == "undefined.tif":
            said = same.pop("message")
            assert beside["message"].startswith(f"{said} classical: An image to measure must be")
        assert {name: beside[name] for name in same} == same
    for row, beside in zip(table(alone), both):
        assert {name: beside[name] for name in NUMBERS} == {name: row[name] for name in NUMBERS}
    # Those of focus that came last are behind them.
    before = [name for name in focus[0] if name not in ("binning", "checksum")]
    assert [*both[0]] == [*before, *NUMBERS, "binning", "checksum"]
    (stack,) = table(tmp_path / "both", "stacks.csv")
    assert {"expected_level"} == {*stack} & {"expected_level", *NUMBERS}


def test_a_plane_in_its_file_is_read_whole():
    plane = taken(0.0)
    lazy = LazyPlane(
        plane.shape,
        plane.dtype,
        lambda top, bottom, left, right: plane[top:bottom, left:right],
        "slide.tif",
    )
    assert Classical().run(Plane(lazy)).row == Classical().run(Plane(plane)).row


def test_a_slide_that_memory_does_not_take_says_so_and_has_its_focus():
    side = 1 + int((MAX_WHOLE_BYTES / 2) ** 0.5)

    def read(top, bottom, left, right):
        return np.zeros((bottom - top, right - left), np.uint16)

    slide = Plane(LazyPlane((side, side), np.uint16, read, "slide.tif"))
    with pytest.raises(FileError, match="is too large"):
        Classical().run(slide)
    sampled = measure_plane((Focus(sample=4), Classical()), slide)
    assert sampled.row["status"] == "no_content"
    assert "classical: slide.tif: is too large" in str(sampled.row["message"])


def test_it_takes_no_more_memory_than_it_says():
    plane = Plane(taken(0.0, shape=(1000, 900)))
    Classical().run(plane)
    tracemalloc.start()
    try:
        Classical().run(plane)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.8 < peak / (Classical().pixel_bytes * plane.array.size) <= 1


@pytest.mark.cluster
def test_a_cluster_gives_the_same_table(images, alone, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=None,
        local_directory=str(tmp_path),
    ) as cluster:
        files = [(path.name, path) for path in sorted(images.iterdir())]
        with Run(ALONE, files, tmp_path / "far", cluster=cluster.scheduler_address) as run:
            for _ in run.measure():
                pass
            run.finish()
    for name in ("results.csv", "stacks.csv"):
        assert (tmp_path / "far" / name).read_bytes() == (alone / name).read_bytes()


def test_the_page_of_the_measures_names_all_and_its_example_works():
    page = (Path(__file__).parents[2] / "docs" / "measures.md").read_text("utf-8")
    assert re.findall(r"^\| `(\w+)`", page, re.M) == NUMBERS
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    done = subprocess.run(
        example(code),
        cwd=Path(__file__).parents[2] / "docs",
        check=True,
        capture_output=True,
        text=True,
    )
    slope, noise = map(float, done.stdout.split())
    assert -4 < slope < 0 < noise
