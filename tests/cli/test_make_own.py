"""``synthesize`` and ``train`` as a user meets them."""

import csv
import json
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from microscope_quality.cli import app
from microscope_quality.simulate import nuclei


@pytest.fixture
def sharp(tmp_path):
    folder = tmp_path / "sharp"
    folder.mkdir()
    for seed in range(3):
        light = nuclei((120, 110), 8, seed)
        tifffile.imwrite(folder / f"{seed}.tif", (light * 2000 + 50).astype(np.uint16))
    return folder


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_synthesize_makes_eleven_folders_and_a_manifest(sharp, tmp_path):
    result = run("synthesize", sharp, "--out", tmp_path / "set", "--seed", 4)
    assert result.exit_code == 0, result.output
    with (tmp_path / "set" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 33
    assert {row["source"] for row in rows} == {"0.tif", "1.tif", "2.tif"}
    assert all((tmp_path / "set" / row["file"]).exists() for row in rows)
    assert "3 images of 3 files" in result.output


def test_synthesize_goes_on_past_a_bad_file(sharp, tmp_path):
    (sharp / "bad.tif").write_bytes(b"II*\0garbage")
    result = run("synthesize", sharp, "--out", tmp_path / "set")
    assert result.exit_code == 1
    assert "bad.tif" in result.output
    assert len(list((tmp_path / "set").glob("level_10/*.tif"))) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--optics", "na=1.5,n=1,wavelength_um=0.5,pixel_size_um=0.1"], "na must be below"),
        (["--photons", "5000", "300"], "photons"),
        (["--photons", "0", "300"], "photons"),
        (["--background", "-1", "0"], "background"),
    ],
)
def test_synthesize_refuses_what_cannot_be(sharp, tmp_path, arguments, said):
    result = run("synthesize", sharp, "--out", tmp_path / "set", *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "set").exists()


def test_synthesize_leaves_a_folder_with_content_alone(sharp, tmp_path):
    result = run("synthesize", sharp, "--out", sharp)
    assert result.exit_code == 2
    assert "not empty" in result.output
    assert len(list(sharp.iterdir())) == 3


def test_synthesize_without_images_makes_nothing(tmp_path):
    (tmp_path / "none").mkdir()
    result = run("synthesize", tmp_path / "none", "--out", tmp_path / "set")
    assert result.exit_code == 2
    assert "No image file" in result.output
    assert not (tmp_path / "set").exists()


def test_train_writes_a_model_that_measures(sharp, tmp_path):
    pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
    command = [sys.executable, "-m", "microscope_quality", "train", str(sharp)]
    command += ["--out", str(tmp_path / "training"), "--name", "mine", "--steps", "2"]
    command += ["--batch-size", "16", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 images to train on, 1 held out" in done.stderr
    assert "11 held-out synthetic images" in done.stderr
    assert f"measure IMAGES --model {tmp_path / 'training' / 'mine'}" in done.stdout
    assert (tmp_path / "training" / "mine" / "MODEL.md").is_file()
    assert "Traceback" not in done.stderr
    model = tmp_path / "training" / "mine"
    record = json.loads((model / "model.json").read_text())["training"]
    assert record["command"] == shlex.join(["microscope-quality", *command[3:]])
    result = run("measure", sharp / "0.tif", "--model", model, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert sum(float(row[f"p{k}"]) for k in range(11)) == pytest.approx(1, abs=1e-4)


@pytest.mark.skipif(sys.platform == "win32", reason="another signal there")
def test_train_that_is_interrupted_says_how_to_go_on(sharp, tmp_path):
    pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
    command = [sys.executable, "-m", "microscope_quality", "train", str(sharp), "--no-check"]
    command += ["--out", str(tmp_path / "training"), "--batch-size", "16", "--workers", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            # TensorFlow has its say before.
            assert any("2 images to train on" in line for line in process.stderr)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Stopped. No step was kept; the same command goes on from there." in said
    assert "Traceback" not in said


def test_train_says_what_is_wrong(tmp_path, sharp):
    pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
    (tmp_path / "none").mkdir()
    result = run("train", tmp_path / "none", "--out", tmp_path / "training")
    assert result.exit_code == 2
    assert "no image file was found" in result.output
    result = run("train", sharp, "--out", tmp_path / "training", "--architecture", "resnet")
    assert result.exit_code == 2
    assert "There is no architecture 'resnet'; there are: compact" in result.output
    result = run("train", sharp, "--out", tmp_path / "training", "--group-by", "(")
    assert result.exit_code == 2
    assert "group-by is no regular expression" in result.output
    assert not (tmp_path / "training").exists()
