"""``synthesize`` and ``train`` as a user meets them."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from microscope_quality.cli.app import app
from microscope_quality.degrade import Camera
from microscope_quality.simulate import nuclei

pytestmark = pytest.mark.training
ROOT = Path(__file__).parents[2]


@pytest.fixture
def sharp(tmp_path):
    folder = tmp_path / "sharp"
    folder.mkdir()
    for seed in range(3):
        # With noise: a background of one value that ends with a jump is no image's.
        plane = Camera().expose(nuclei((120, 110), 8, seed) * 2000 + 50, seed)
        tifffile.imwrite(folder / f"{seed}.tif", plane.astype(np.uint16))
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
    for place, said in (
        ("none", "There is no image in"),
        ("nowhere", "There is no file or folder"),
    ):
        result = run("synthesize", tmp_path / place, "--out", tmp_path / "set")
        assert result.exit_code == 2
        assert said in result.output
        assert not (tmp_path / "set").exists()
    (tmp_path / "none" / "bad.tif").write_bytes(b"II*\0garbage")
    result = run("synthesize", tmp_path / "none", "--out", tmp_path / "set")
    assert result.exit_code == 1
    assert "there is no set" in result.output
    assert not (tmp_path / "set").exists()


def test_the_example_of_the_readme_makes_a_model_that_measures(tmp_path):
    pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall("^microscope-quality (train docs/sample .*)$", readme, re.MULTILINE)
    arguments = shlex.split(example)
    arguments[arguments.index("--out") + 1] = str(tmp_path / "training")
    as_users = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "microscope_quality", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=as_users, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    # Nothing but this: not what TensorFlow says of the machine.
    expected = (
        "reading the images …",
        "checking them with compact …",
        "3 images to train on, 1 held out; ",
        "left out: docs/sample/A02_s1_dna.tif: blurred: ",
        "left out: docs/sample/A02_s2_dna.tif: blurred: ",
        "left out: docs/sample/B01_s2_actin.tif: blurred: ",
        "left out: docs/sample/B02_s1_dna.tif: shows nothing",
        "step ",
        "finding how sure the model may be …",
        "measuring the model on 50,000 empty patches and 1 held-out image at 11 levels …",
        "11 held-out synthetic images: ",
        "all of their 220 patches, empty ones too: ",
        "writing the card …",
    )
    # A slow machine says how far it is.
    lines = [line for line in done.stderr.splitlines() if not re.match(r" *\d+%   \d", line)]
    assert len(lines) == len(expected), done.stderr
    assert all(line.startswith(start) for line, start in zip(lines, expected)), done.stderr
    model = tmp_path / "training" / "model"
    assert f"measure IMAGES --model {shlex.quote(str(model))}" in done.stdout
    assert (model / "MODEL.md").is_file()
    record = json.loads((model / "model.json").read_text(encoding="utf-8"))["training"]
    assert record["command"] == shlex.join(["microscope-quality", *arguments])
    result = run("measure", ROOT / "docs" / "sample", "--model", model, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = {(row["file"].partition(".")[0], row["z"]): row for row in csv.DictReader(file)}
    # As docs/make_sample.py makes them.
    levels = {
        ("A01_s1_dna", ""): 0.0,
        ("A01_s2_dna", ""): 1.0,
        ("A02_s1_dna", ""): 4.0,
        ("B01_s1_actin", ""): 0.0,
        ("B01_s2_actin", ""): 8.0,
        **{("B03_s1_dna_stack", str(z)): 1.5 * abs(z - 3.3) for z in range(8)},
    }
    for key, level in levels.items():
        assert float(rows[key]["expected_level"]) == pytest.approx(level, abs=1.5), key
        if abs(level - 1.5) > 0.5:
            in_focus = "in_focus" if level < 1.5 else "out_of_focus"
            assert rows[key]["status"] == in_focus, key
    assert rows["A02_s2_dna", ""]["status"] == "mixed"
    assert rows["B02_s1_dna", ""]["status"] == "no_content"


@pytest.mark.skipif(sys.platform == "win32", reason="another signal there")
def test_train_that_is_interrupted_says_how_to_go_on(sharp, tmp_path):
    pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
    command = [sys.executable, "-m", "microscope_quality", "train", str(sharp), "--no-check"]
    command += ["--out", str(tmp_path / "training"), "--batch-size", "16", "--workers", "0"]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that a shell runs in the background are deaf to it, and so would be what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
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
    assert "--group-by is no regular expression" in result.output
    assert not (tmp_path / "training").exists()


def test_a_missing_library_for_the_curves_is_said_at_once(sharp, tmp_path, monkeypatch):
    pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    result = run("train", sharp, "--out", tmp_path / "training", "--tensorboard")
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert "the library tensorboard, which is not installed" in line
    assert "pip install 'microscope-quality[train]'" in line
    assert not (tmp_path / "training").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--optics", "na=0.75,n=1,wavelength_um=0.5,pixel_size_um=0.65"], "leave --optics away"),
        (["--tilt", 0, 2], "leave the options of the microscope away"),
        (["--paraxial"], "leave the options of the microscope away"),
    ],
)
def test_a_set_is_not_trained_on_for_another_microscope(sharp, tmp_path, arguments, said):
    assert run("synthesize", sharp, "--out", tmp_path / "set").exit_code == 0
    result = run("train", tmp_path / "set", "--out", tmp_path / "training", *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "training").exists()


def test_the_optics_of_a_set_may_be_said_again(sharp, tmp_path):
    pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
    assert run("synthesize", sharp, "--out", tmp_path / "set").exit_code == 0
    same = "na=0.5,immersion=air,wavelength_um=0.5,magnification=10,camera_pixel_um=6.5"
    arguments = ["--optics", same, "--sharpest", "best"]
    result = run("train", tmp_path / "set", "--out", tmp_path / "training", *arguments)
    # What is refused is the other option.
    assert result.output.startswith("microscope-quality train: --sharpest must be")
