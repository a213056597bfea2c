"""The options of ``synthesize`` that describe the microscope."""

import csv
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from command_line import heed_ctrl_c
from typer.testing import CliRunner

from microscope_quality.cli.app import app
from microscope_quality.optics import Optics
from microscope_quality.simulate import nuclei


@pytest.fixture
def sharp(tmp_path):
    path = tmp_path / "sharp.tif"
    tifffile.imwrite(path, (nuclei((100, 110), 8, 1) * 2000 + 50).astype(np.uint16))
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows_of(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_optics_of_an_objective_and_a_camera(sharp, tmp_path):
    optics = "na=0.75,immersion=air,wavelength_um=0.52,magnification=20,camera_pixel_um=6.5"
    result = run("synthesize", sharp, "--out", tmp_path / "set", "--optics", optics, "--exact")
    assert result.exit_code == 0, result.output
    for row in rows_of(tmp_path / "set"):
        assert float(row["pixel_size_um"]) == pytest.approx(0.325)
        assert row["refractive_index"] == "1.0"
        if row["level"] == "0":
            assert float(row["defocus_um"]) == 0
            continue
        own = Optics.parse(optics)
        blur_px = own.added_blur_px(float(row["defocus_um"]))
        assert blur_px == pytest.approx(int(row["level"]) * 3.08, rel=1e-4)


def test_each_image_has_faults_of_its_own(sharp, tmp_path):
    options = ["--vignetting", 0.2, 0.4, "--saturation", 0.01, 0.02]
    options += ["--spherical", 0.05, 0.1, "--astigmatism", 0.01, 0.02]
    result = run("synthesize", sharp, "--out", tmp_path / "set", *options)
    assert result.exit_code == 0, result.output
    rows = rows_of(tmp_path / "set")
    for name, low, high in (
        ("vignetting", 0.2, 0.4),
        ("saturation", 0.01, 0.02),
        ("spherical_waves", 0.05, 0.1),
        ("astigmatism_waves", 0.01, 0.02),
    ):
        values = [float(row[name]) for row in rows]
        assert all(low <= value <= high for value in values)
        assert len(set(values)) == 11
    assert {row["side"] for row in rows} == {"1", "-1"}
    assert {row["tilt_levels"] for row in rows} == {"0.0"}


def test_a_tilted_specimen(sharp, tmp_path):
    result = run("synthesize", sharp, "--out", tmp_path / "set", "--tilt", 1, 3)
    assert result.exit_code == 0, result.output
    rows = rows_of(tmp_path / "set")
    assert all(1 <= float(row["tilt_levels"]) <= 3 for row in rows)
    assert len({row["tilt_deg"] for row in rows}) == 11


@pytest.mark.libraries
def test_a_mismatched_specimen(sharp, tmp_path):
    pytest.importorskip("psfmodels", reason="needs pip install 'microscope-quality[psf]'")
    options = ["--psf", "gibson_lanni", "--depth", 10, 20, "--sample-index", 1.38]
    result = run("synthesize", sharp, "--out", tmp_path / "set", *options)
    assert result.exit_code == 0, result.output
    for row in rows_of(tmp_path / "set"):
        assert (row["psf"], row["sample_index"], row["paraxial"]) == ("gibson_lanni", "1.38", "0")
        assert 10 <= float(row["depth_um"]) <= 20


def test_a_missing_library_is_said_once(sharp, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psfmodels", None)
    optics = "na=0.5,n=1,wavelength_um=0.51,pixel_size_um=0.66"
    options = ["--psf", "gibson_lanni", "--optics", optics]
    result = run("synthesize", sharp, "--out", tmp_path / "set", *options)
    assert result.exit_code == 2
    assert "pip install 'microscope-quality[psf]'" in result.output
    assert not (tmp_path / "set").exists()


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="another signal there")
def test_an_interrupted_set_says_so_and_is_whole_planes(sharp, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(100):
        shutil.copy(sharp, folder / f"{number:02}.tif")
    out = tmp_path / "set"
    command = [sys.executable, "-m", "microscope_quality", "synthesize", folder, "--out", out]
    with subprocess.Popen(
        [str(argument) for argument in command],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while not list(out.glob("level_10/*.tif")):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in said
    with (out / "manifest.csv.part").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert 0 <= len(rows) < 1100
    assert f"Interrupted: {out} is no whole set, but holds {len(rows) // 11} images" in said
    assert not (out / "manifest.csv").exists()
    files = sorted(str(path.relative_to(out)) for path in out.glob("level_*/*"))
    assert files == sorted(row["file"] for row in rows)
    assert [int(row["level"]) for row in rows] == list(range(11)) * (len(rows) // 11)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--tilt", "4", "1"], "--tilt must be a range"),
        (["--vignetting", "0", "1"], "--vignetting must be a range"),
        (["--psf", "airy"], "--psf must be bessel or gibson_lanni"),
        (["--depth", "0", "5"], "--depth goes with the PSF gibson_lanni"),
        (["--optics", "na=0.5,immersion=tea,wavelength_um=0.5,pixel_size_um=1"], "immersion must"),
    ],
)
def test_refuses_what_cannot_be(sharp, tmp_path, arguments, told):
    result = run("synthesize", sharp, "--out", tmp_path / "set", *arguments)
    assert result.exit_code == 2
    assert told in result.output
    assert not (tmp_path / "set").exists()
