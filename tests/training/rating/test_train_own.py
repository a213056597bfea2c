"""From a table of labels to a rater with a lab's own score, by its command."""

import csv
import html
import json

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from microscope_quality.cli.app import app
from microscope_quality.model import read_description
from microscope_quality.rater import RatingModel, rate_image
from microscope_quality.training.rating.instrument import MARGIN_PX, Fault, degraded
from microscope_quality.training.rating.tissue import drawn_tissue

SIDE, NUMBER = 160, 24


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Images with line noise, and a lab that minds nothing else."""
    folder = tmp_path_factory.mktemp("lab")
    rng = np.random.default_rng(8)
    rows = []
    for k in range(NUMBER):
        strength = rng.uniform(0, 1.2)
        fault = Fault(
            line_noise=strength, defocus_px=rng.uniform(0, 3), noise=rng.uniform(0.05, 0.6)
        )
        field = drawn_tissue(SIDE + 2 * MARGIN_PX, rng)
        image, _ = degraded(field, fault, rng)
        name = f"animal{k % 6}_{k}.tif"
        tifffile.imwrite(folder / name, image.astype(np.uint8))
        rows.append({"image": name, "score": round(1 - 0.7 * strength, 1), "rater": "A"})
    with (folder / "labels.csv").open("w", newline="") as stream:
        names = (
            "image",
            "y",
            "x",
            "size",
            "score",
            "rater",
            "time",
            "seconds",
            "repeat",
            "comment",
        )
        table = csv.DictWriter(stream, names)
        table.writeheader()
        for row in rows:
            table.writerow({**row, "time": "2026-01-01T00:00:00+00:00", "seconds": 2, "repeat": 0})
    return folder, rows


def _train(lab, out, *more):
    labels = lab[0] / "labels.csv"
    arguments = ["train", "--labels", str(labels), "--out", str(out), *more]
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def trained(lab, tmp_path_factory):
    out = tmp_path_factory.mktemp("own")
    result = _train(lab, out, "--name", "ours", "--group-by", r"(?P<animal>animal\d)")
    assert result.exit_code == 0, result.output
    return out / "ours", result


@pytest.mark.long
def test_the_folder_scores_as_the_lab_does(lab, trained):
    model = RatingModel.from_pretrained(trained[0])
    images, rows = lab
    found = [rate_image(tifffile.imread(images / row["image"]), model).score for row in rows]
    assert np.corrcoef(found, [row["score"] for row in rows])[0, 1] > 0.9
    generic = [rate_image(tifffile.imread(images / row["image"])).score for row in rows]
    assert np.abs(np.subtract(found, generic)).max() > 0.2


def test_the_error_that_is_told_is_that_of_groups_left_out(trained):
    folder, result = trained
    told = read_description(folder).training["own_score"]
    assert told["groups"] == 6 and told["labelled_patches"] == NUMBER
    assert set(told["by_group"]) == {f"animal{k}" for k in range(6)}
    squares = [one["patches"] * one["rmse"] ** 2 for one in told["by_group"].values()]
    rmse = told["cross_validated"]["rmse"]
    assert rmse == pytest.approx(np.sqrt(sum(squares) / NUMBER), abs=1e-3)
    assert f"RMSE {rmse:.3f}" in result.output
    spread = RatingModel.from_pretrained(folder).own_score.spread
    assert spread == pytest.approx(rmse, abs=1e-3)


@pytest.mark.long
def test_that_nobody_chose_its_limit_is_said(lab, trained, tmp_path):
    image, out = str(lab[0] / lab[1][0]["image"]), tmp_path / "out"
    sentence = "No limit was chosen for this lab's own score; 0.7 is used: choose one with "

    def rated(*more):
        command = ["rate", image, "--out", str(out), "--jobs", "1", "--report", *more]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        page = html.unescape((out / "report.html").read_text("utf-8"))
        printed = " ".join(done.output.split())
        assert (sentence in printed) == (sentence in page)
        return sentence in page

    ours = ("--model", str(trained[0]))
    assert rated(*ours)
    assert not rated(*ours, "--score-limit", "0.6")
    assert not rated()


@pytest.mark.long
def test_components_are_those_of_the_rater_that_it_stands_on(lab, trained):
    image = tifffile.imread(lab[0] / lab[1][0]["image"])
    own, generic = rate_image(image, trained[0]), rate_image(image)
    assert own.components == generic.components
    assert own.score != generic.score


def test_an_own_score_can_stand_on_another_one(lab, trained, tmp_path):
    result = _train(lab, tmp_path, "--from", str(trained[0]), "--group-by", "image")
    assert result.exit_code == 0, result.output
    again = read_description(tmp_path / "model")
    assert again.details["own_score"]["labels"] == NUMBER
    # What the first lab said is no part of it.
    assert set(again.training) == {"own_score", "from", "rater"}
    assert json.dumps(again.to_dict()).count('"own_score"') <= 3


@pytest.mark.parametrize(
    "more, said",
    [
        (["--epochs", "3"], "--epochs is for training on --labels"),
        (["--patches", "3000"], "--patches is for training with --rating"),
        (["--from", "nowhere"], "nowhere"),
        (["--from", "compact"], "focus"),
        (["--group-by", r"(?P<animal>whale\d)"], "tells no group"),
    ],
)
def test_what_is_wrong_is_said(lab, tmp_path, more, said):
    result = _train(lab, tmp_path, *more)
    assert result.exit_code in (1, 2)
    assert said in result.output
    assert not (tmp_path / "model").exists()
