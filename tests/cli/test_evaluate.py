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

# A command's refusals name options as they were typed once all commands are known.
import microscope_quality.cli.app  # noqa: F401
from microscope_quality import FocusModel
from microscope_quality.cli.evaluate import evaluate
from microscope_quality.model import available_models, write_model
from microscope_quality.simulate import nuclei
from microscope_quality.training.defocus.sets import SetSettings, SetWriter, labelled
from microscope_quality.training.defocus.stream import SharpImage

pytestmark = pytest.mark.evaluation

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
    assert "Evaluating 1 model on 2 files of sharp images and 500 empty patches" in result.output
    assert "100% evaluated" in result.output
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
    # Both go by light, in the images as in the prediction.
    assert 0.9 < float(row["slope"]) < 1.1
    assert len(rows(out / "z_planes.csv")) == 5


def test_stacks_that_a_table_lists_beside_classical_measures(sharp, tmp_path):
    pytest.importorskip("matplotlib", reason="needs pip install 'microscope-quality[evaluate]'")
    planes = dict(labelled([SharpImage(str(sharp / "0.tif"))], SetSettings(photons=(3000, 3000))))
    listed = ["file,set,index,z_um,na,n,wavelength_um,pixel_um"]
    for index, level in enumerate((8, 4, 0, 4, 8)):
        tifffile.imwrite(tmp_path / f"{index}.tif", planes[level])
        listed.append(f"{index}.tif,cell,{index},{10 * index},0.5,air,0.5,0.65")
    (tmp_path / "manifest.csv").write_text("\n".join(listed) + "\n")
    (tmp_path / "best.csv").write_text("set,sharpest_index,far_indices\ncell,2,0 4\n")
    out = tmp_path / "out"
    result = run(
        *("compact", "--stacks", tmp_path, "--best", tmp_path / "best.csv", "--out", out),
        *("--empty-patches", 0, "--jobs", 1),
    )
    assert result.exit_code == 0, result.output
    (row,) = rows(out / "z_stacks.csv")
    assert (row["best_z"], row["best_plane_error"], row["within_depth"]) == ("2", "0", "1")
    assert (row["best_status"], row["far"], row["far_in_focus"]) == ("in_focus", "2", "0")
    assert float(row["depth_um"]) == pytest.approx(3.3)
    assert float(row["slope"]) > 0
    found = {row["measure"]: row for row in rows(out / "z_stack_measures.csv")}
    assert list(found)[:2] == ["compact", "tenengrad"]
    assert {"laplacian_of_gaussian", "mid_band_power", "power_log_log_slope"} < set(found)
    assert found["compact"]["kind"] == "model"
    for name in ("compact", "tenengrad", "laplacian_of_gaussian"):
        assert (found[name]["best_z"], found[name]["within_depth"]) == ("2", "1")
        assert float(found[name]["spearman_sides"]) == pytest.approx(1)
    # The numbers on the screen are those of the table.
    line = next(line for line in result.output.splitlines() if line.startswith(" cell "))
    assert line.split()[1:6] == ["5", "2", "2", "✓", f"{float(row['spearman']):.2f}"]
    summed = next(line for line in result.output.splitlines() if "hits, mean" in line)
    assert summed.split()[2:5] == ["1", "of", "1"]


def test_a_focus_plane_that_is_none_is_refused(sharp, tmp_path):
    pytest.importorskip("matplotlib", reason="needs pip install 'microscope-quality[evaluate]'")
    plane = tifffile.imread(sharp / "0.tif")
    tifffile.imwrite(tmp_path / "one.tif", np.stack([plane] * 5), photometric="minisblack")
    out = tmp_path / "out"
    for z in (5, -1, 2.5):
        result = run("compact", "--stacks", tmp_path, "--focus-plane", z, "--out", out, *QUICK)
        assert result.exit_code == 2
        assert "--focus-plane must be the z of a plane" in result.output
        assert f"has 5 planes, from z = 0 to 4, and none at {z}." in result.output
        assert not (out / "summary.csv").exists()
    # A stack that ends before it is the only one to suffer.
    tifffile.imwrite(tmp_path / "two.tif", np.stack([plane] * 3), photometric="minisblack")
    result = run("compact", "--stacks", tmp_path, "--focus-plane", 4, "--out", out, *QUICK)
    assert result.exit_code == 1, result.output
    assert [row["stack"] for row in rows(out / "z_stacks.csv")] == ["one.tif"]
    (row,) = rows(out / "left_out.csv")
    assert row["file"] == "z-stack two.tif"
    assert "3 planes" in row["reason"]


def test_optics_are_not_for_a_set(sharp, tmp_path):
    pytest.importorskip("matplotlib", reason="needs pip install 'microscope-quality[evaluate]'")
    with SetWriter(tmp_path / "set", SetSettings()) as writer:
        writer.add("0.tif", sharp / "0.tif")
    optics = ("--optics", "na=0.75,n=1,wavelength_um=0.5,pixel_size_um=0.65")
    out = tmp_path / "out"
    result = run("compact", "--data", tmp_path / "set", "--out", out, *optics, *QUICK)
    assert result.exit_code == 2
    assert "--optics is for sharp images and z-stacks" in result.output


def test_a_set_is_of_the_images_that_it_was_made_of(sharp, mine, tmp_path):
    pytest.importorskip("matplotlib", reason="needs pip install 'microscope-quality[evaluate]'")
    with SetWriter(tmp_path / "set", SetSettings()) as writer:
        for name in ("0.tif", "1.tif"):
            writer.add(name, sharp / name)
    out = tmp_path / "out"
    result = run(mine, "--data", tmp_path / "set", "--out", out, *QUICK)
    assert result.exit_code == 0, result.output
    (left,) = rows(out / "left_out.csv")
    assert left["file"].endswith(": 0.tif#0")
    assert left["reason"] == "mine was trained on it"
    assert run(mine, "--data", tmp_path / "set", "--held-out", "--out", out, *QUICK).exit_code == 0
    assert {row["name"] for row in rows(out / "images.csv")} == {"1.tif#0"}


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
        (("compact", "--data", "x", "--focus-plane", 1), "--focus-plane is for"),
        (("compact", "--data", "x", "--best", "b.csv"), "--best is for"),
        (("compact", "--stacks", "x", "--best", "b.csv", "--focus-plane", 1), "one for each stack"),
        (("compact", "--stacks", "x", "--stack-pattern", "a"), "named groups stack and z"),
        (("compact", "--data", "x", "--optics", "na=0.5,n=1"), "missing"),
        (("compact", "--data", "x", "--group-by", "stain"), "--manifest"),
        (("compact", "--data", "x", "--photons", "9", "3"), "--photons must be a range"),
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
