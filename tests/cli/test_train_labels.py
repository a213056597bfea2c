"""Training on labels from the command line: what is refused, and what is told."""

import io

import labelled_images
import pytest
from command_line import run
from rich.console import Console

from microscope_quality.cli.train_labels import LabelDisplay
from microscope_quality.model import read_description


@pytest.fixture
def table(tmp_path):
    return labelled_images.write(tmp_path / "set", groups=3, each=2, side=16)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--architecture", "vgg"], "--architecture must be one of dcnn_iqa_14, miqa, qen, sted"),
        (["--architecture", "sted", "--steps", 7], "--steps is for training on focus, not for"),
        (["--architecture", "sted", "--epochs", 1], "--patch-size must be 64 to 1024 pixels for"),
        (
            ["--architecture", "miqa", "--patch-size", 32],
            "--patch-size must be at most 16, the side of what was labelled in animal0/s00.tif",
        ),
        (["--architecture", "miqa", "--imagenet", "w.h5"], "--imagenet must be left out for miqa"),
        (
            ["--architecture", "miqa", "--group-by", r"(?P<session>\d{9})"],
            "--group-by tells no group of 6 of 6 labelled patches",
        ),
        (
            ["--architecture", "miqa", "--validation-fraction", 0],
            "--validation-fraction must be above 0",
        ),
    ],
)
def test_what_does_not_suit_labels_is_refused(table, tmp_path, options, said):
    out = tmp_path / "out"
    found = run("train", "--labels", table, "--out", out, *options, code=2)
    assert f"microscope-quality train: {said}" in found.stderr
    assert not out.exists()


def test_options_of_labels_are_refused_without_them(tmp_path):
    found = run("train", "a.tif", "--out", tmp_path / "out", "--imagenet", "w.h5", code=2)
    assert "--imagenet is for training on --labels, not for training on focus" in found.stderr
    found = run("train", "--out", tmp_path / "out", code=2)
    assert "There must be sharp images to train on, or --labels" in found.stderr


def test_one_folder_may_be_named_beside_the_table(table, tmp_path):
    elsewhere = table.rename(tmp_path / "labels.csv")
    options = ["--architecture", "miqa", "--patch-size", 99, "--out", tmp_path / "out"]
    found = run("train", "--labels", elsewhere, *options, code=2)
    assert "lacks 6 of the 6 images that the labels name" in found.stderr
    found = run("train", tmp_path / "set", "--labels", elsewhere, *options, code=2)
    assert "--patch-size must be at most 16" in found.stderr
    found = run("train", elsewhere, "--labels", elsewhere, *options, code=2)
    assert "Beside --labels one folder may be named" in found.stderr


def test_the_screen_tells_of_each_group_and_of_a_network_that_is_no_help():
    file = io.StringIO()
    display = LabelDisplay(Console(file=file, highlight=False, width=200))
    epoch = {"validation_rmse": 0.2, "validation_mae": 0.1, "validation_plcc": 0.5}
    display.show({"epoch": 3, "stage": 1, "loss": 0.25, "seconds_left": 0.0, **epoch})
    told = {"rmse": 0.2, "mae": 0.1, "plcc": 0.5}
    groups = {f"animal{k}": {"patches": 4, **told} for k in range(14)}
    display.show({"validation": told, "validation_by_group": groups, "of_the_mean": {"rmse": 0.2}})
    said = file.getvalue()
    assert "epoch    3   loss 0.2500   held out: RMSE 0.200, MAE 0.100, correlation 0.500" in said
    assert "animal11: 4 patches, RMSE 0.200" in said
    assert "animal12" not in said
    assert "and 2 more groups" in said
    assert "no better than giving every patch the mean score of the labels" in said


@pytest.mark.parametrize(
    ("rmse", "said"),
    [
        (0.17, ""),
        (0.19, "That is little better than giving every patch the mean score"),
        (0.2, "That is no better than giving every patch the mean score"),
        (
            0.23,
            "That is worse than giving every patch the mean score of the labels, an RMSE of 0.2",
        ),
    ],
)
def test_an_own_score_is_compared_in_true_words(rmse, said):
    file = io.StringIO()
    display = LabelDisplay(Console(file=file, highlight=False, width=400))
    told = {"patches": 24, "rmse": rmse, "mae": 0.1, "plcc": None}
    display.show(
        {
            **{"cross_validated": told, "of_the_mean": {"rmse": 0.2}, "generic_plcc": 0.1234},
            **{"without_content": 0, "called": "groups by animal", "folds": 5, "start": "em"},
            "groups": [f"animal{k}" for k in range(6)],
        }
    )
    line, *rest = file.getvalue().splitlines()
    assert line.startswith(
        "24 labelled patches of 6 groups by animal (animal0, animal1, animal2, animal3 …), held "
        "out in 5 parts in turn; each predicted by a score that saw none of its part: RMSE 0."
    )
    assert line.endswith("correlation none (of the score of the model em: 0.123)")
    assert "rater" not in line
    assert (said in " ".join(rest)) and bool(rest) == bool(said)


@pytest.mark.training
def test_the_command_writes_a_model_that_says_how_it_was_made(table, tmp_path):
    pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
    out = tmp_path / "out"
    options = ["--architecture", "miqa", "--epochs", 2, "--name", "ours", "--batch-size", 4]
    first = run("train", "--labels", table, "--out", out, *options)
    assert "4 labelled patches of 2 folders to train on, 2 of 1 held out (animal" in first.stderr
    description = read_description(out / "ours")
    assert (description.architecture, description.patch_size) == ("miqa", 16)
    again = run("train", "--labels", table, "--out", out, *options)
    assert "all epochs are done already" in again.stderr
    assert f"microscope-quality rate IMAGES --model {out / 'ours'}" in again.stdout
    shown = run("models", "show", out / "ours").stdout
    assert "miqa, in Keras or ONNX Runtime" in shown
    assert "ours: whole" in run("models", "verify", out / "ours").stdout.replace(f"{out}/", "")
    pytest.importorskip("onnxruntime", reason="needs pip install 'microscope-quality[onnx]'")
    exported = run("models", "export", out / "ours", "--onnx").stdout
    assert "model.onnx: " in exported
    assert (out / "ours" / "model.onnx").is_file()


def test_an_export_needs_a_form_and_a_place():
    assert "needs --onnx" in run("models", "export", "compact", code=2).stderr
    assert "needs --to FILE" in run("models", "export", "compact", "--onnx", code=2).stderr
