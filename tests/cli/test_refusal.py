"""A refusal names options as they were typed, and paths once."""

import numpy as np
import pytest
import tifffile
import typer
from typer.testing import CliRunner

from microscope_quality.cli.app import app
from microscope_quality.cli.refusal import as_typed, refused
from microscope_quality.errors import FileError, SettingsError


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("tilt_levels must be a range", "--tilt must be a range"),
        ("psf must be bessel, not 'psf'.", "--psf must be bessel, not 'psf'."),
        ("needs it: pip install 'm[psf]'", "needs it: pip install 'm[psf]'"),
        ("The devices must be two.", "The devices must be two."),
        (
            "steps must be positive and the batch size divide 1024; they are 1 and 3.",
            "--steps must be positive and --batch-size divide 1024; they are 1 and 3.",
        ),
        (
            "add more, or give a validation fraction of 0.",
            "add more, or give --validation-fraction 0.",
        ),
    ],
)
def test_an_option_is_named_as_it_is_typed(said, typed):
    assert as_typed(SettingsError(said)) == typed


def test_a_column_of_a_file_keeps_its_name():
    said = "The table set/manifest.csv: tilt_levels has to be a number."
    assert as_typed(FileError(said)) == said


def test_a_remedy_stands_after_the_error(capsys):
    found = refused("train", ImportError("No module named 'keras'"), "pip install it")
    assert isinstance(found, typer.Exit)
    assert found.exit_code == 2
    said = capsys.readouterr().err
    assert said == "microscope-quality train: No module named 'keras'; pip install it\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["synthesize", "{bad}", "{good}", "--out", "{out}"],
        ["train", "{bad}", "--out", "{out}"],
        ["evaluate", "compact", "--data", "{bad}", "--out", "{out}", "--jobs", "1"],
        ["evaluate", "compact", "--stacks", "{bad}", "--out", "{out}"],
        ["train", "{good}", "--manifest", "{bad}.csv", "--out", "{out}"],
        ["evaluate", "compact", "--data", "{good}", "--manifest", "{bad}.csv", "--out", "{out}"],
        ["models", "show", "{bad}"],
    ],
)
def test_a_path_is_said_once(tmp_path, arguments):
    if arguments[0] == "train":
        pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
    if arguments[0] == "evaluate":
        pytest.importorskip("matplotlib", reason="needs 'microscope-quality[evaluate]'")
    bad, good = tmp_path / "bad.tif", tmp_path / "good.tif"
    if arguments[0] == "models":
        bad.mkdir()
    else:
        bad.write_text("no image")
    tifffile.imwrite(good, np.random.default_rng(0).integers(0, 999, (90, 90), np.uint16))
    places = {"bad": bad, "good": good, "out": tmp_path / "out"}
    result = CliRunner().invoke(app, [part.format(**places) for part in arguments])
    assert result.exit_code in (1, 2), result.output
    (line,) = [line for line in result.output.splitlines() if "bad.tif" in line]
    assert line.count("bad.tif") == 1
