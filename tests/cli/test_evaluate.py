"""``evaluate`` as a user meets it."""

import csv
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import typer
from typer.testing import CliRunner

from microscope_quality import FocusModel
from microscope_quality.cli.evaluate import evaluate
from microscope_quality.model import available_models, write_model
from microscope_quality.simulate import nuclei
from microscope_quality.training.sets import SetSettings, labelled
from microscope_quality.training.stream import SharpImage

app = typer.Typer()
app.command()(evaluate)
QUICK = ("--gain-offset-images", 0, "--no-classical", "--empty-patches", 100, "--jobs", 1)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def sharp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "cells"
    folder.mkdir()
    for seed in range(2):
        light = nuclei((100, 130), 9, seed)
        tifffile.imwrite(folder / f"{seed}.tif", (light * 2000 + 50).astype(np.uint16))
    return folder


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """The default model under another name, that says what it was trained on."""
    folder = tmp_path_factory.mktemp("models") / "mine"
    description = replace(
        FocusModel.from_pretrained().description,
        name="mine",
        training={"training_files": ["cells/0.tif"], "validation_files": ["cells/1.tif"]},
    )
    with np.load(available_models()["compact"] / "weights.npz") as weights:
        write_model(folder, description, dict(weights))
    return folder


def test_a_page_and_tables(sharp, tmp_path):
    pytest.importorskip("matplotlib", reason="needs pip install 'microscope-quality[evaluate]'")
    out = tmp_path / "out"
    few = ("--gain-offset-images", 1, "--empty-patches", 500, "--jobs", 1)
    result = run("compact", "--data", sharp, "--out", out, *few)
    assert result.exit_code == 0, result.output
    assert "2 sharp images of 1 group" in result.output
    assert "images within one level" in result.output
    assert "mid_band_power" in (out / "binary.csv").read_text()
    assert (out / "evaluation.html").stat().st_size > 1000
    (row, *_) = rows(out / "summary.csv")
    assert row["images"] == "22"
    assert float(row["image_within_one"]) > 0.9
    assert not list(out.glob("*.part"))
    # Once more in the same folder.
    again = run("compact", "--data", sharp, "--out", out, *QUICK)
    assert again.exit_code == 0, again.output
    assert rows(out / "gain_offset.csv") == []


def test_training_images_are_left_out_and_said_so(sharp, mine, tmp_path):
    pytest.importorskip("matplotlib", reason="needs pip install 'microscope-quality[evaluate]'")
    result = run("compact", "--beside", mine, "--data", sharp, "--out", tmp_path, *QUICK)
    assert result.exit_code == 0, result.output
    (left,) = rows(tmp_path / "left_out.csv")
    assert (left["what"], left["reason"]) == ("left out", "mine was trained on it")
    assert "mine was trained on it" in result.output
    assert {row["name"] for row in rows(tmp_path / "images.csv")} == {"cells/1.tif#0"}
    arguments = ("--data", sharp, "--include-training", "--out", tmp_path)
    assert run(mine, *arguments, *QUICK).exit_code == 0
    assert len({row["name"] for row in rows(tmp_path / "images.csv")}) == 2
    assert run(mine, "--data", sharp, "--held-out", "--out", tmp_path, *QUICK).exit_code == 0
    assert {row["name"] for row in rows(tmp_path / "images.csv")} == {"cells/1.tif#0"}


def test_stacks_alone_and_a_bad_file(sharp, tmp_path):
    pytest.importorskip("matplotlib", reason="needs pip install 'microscope-quality[evaluate]'")
    planes = dict(labelled([SharpImage(str(sharp / "0.tif"))], SetSettings()))
    for z, level in enumerate((8, 4, 0, 4, 8)):
        tifffile.imwrite(tmp_path / f"cell_z{z}.tif", planes[level])
    (tmp_path / "other_z0.tif").write_bytes(b"II*\0nothing")
    tifffile.imwrite(tmp_path / "other_z1.tif", planes[0])
    out = tmp_path / "out"
    result = run(
        *("compact", "--stacks", tmp_path / "*.tif", "--out", out, *QUICK),
        *("--stack-pattern", r"(?P<stack>[a-z]+)_z(?P<z>\d)", "--focus-plane", 2),
        # Levels 4 and 8 in steps of 8 µm.
        *("--step-um", 8, "--optics", "na=0.5,n=1,wavelength_um=0.5,pixel_size_um=0.65"),
    )
    assert result.exit_code == 1, result.output
    assert "other_z0.tif" in result.output
    (row,) = rows(out / "z_stacks.csv")
    assert (row["stack"], row["best_plane_error"]) == ("cell", "0")
    # The true cone of light is wider than the paraxial one that the images were made with.
    assert 0.75 < float(row["slope"]) < 0.95
    assert len(rows(out / "z_planes.csv")) == 5


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_a_missing_library_is_told_before_the_work(sharp, tmp_path, library):
    look = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from microscope_quality.cli.evaluate import evaluate\n"
        "import typer; app = typer.Typer(); app.command()(evaluate); app()"
    )
    out = tmp_path / "out"
    arguments = ["compact", "--data", str(sharp), "--out", str(out)]
    found = subprocess.run(
        [sys.executable, "-c", look, *arguments], check=False, capture_output=True, text=True
    )
    assert found.returncode == 2
    assert library in found.stderr
    assert "pip install 'microscope-quality[evaluate]'" in found.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compact",), "--data, sharp images, or --stacks"),
        (("none", "--data", "x"), "no model named"),
        (("compact", "--data", "no/where.tif"), "does not exist"),
        (("compact", "--data", "x", "--stack-pattern", "a"), "--stack-pattern is for"),
        (("compact", "--stacks", "x", "--held-out"), "--held-out is for"),
        (("compact", "--stacks", "x", "--stack-pattern", "a"), "named groups stack and z"),
        (("compact", "--data", "x", "--optics", "na=2,n=1"), "missing"),
        (("compact", "--data", "x", "--group-by", "stain"), "--manifest"),
        (("compact", "--data", "x", "--photons", "9", "3"), "photons must be a range"),
    ],
)
def test_wrong_use(tmp_path, arguments, said):
    result = run(*arguments, "--out", tmp_path / "out", *QUICK)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_nothing_is_evaluated_for_a_folder_that_cannot_take_it(sharp, tmp_path):
    (tmp_path / "summary.csv").write_text("my,own,table\n")
    result = run("compact", "--data", sharp, "--out", tmp_path, *QUICK)
    assert result.exit_code == 2
    assert "not a table of this kind" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["summary.csv"]
