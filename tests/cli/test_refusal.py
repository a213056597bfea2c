"""A refusal names options as they were typed, and paths once."""

import numpy as np
import pytest
import tifffile
import typer
from typer.testing import CliRunner

from microscope_quality.cli.app import app
from microscope_quality.cli.refusal import as_typed, options_of, refused, refusing
from microscope_quality.errors import FileError, SettingsError


@pytest.mark.parametrize(
    ("command", "said", "typed"),
    [
        ("train", "tilt_levels must be a range", "--tilt must be a range"),
        ("train", "psf must be bessel, not 'psf'.", "--psf must be bessel, not 'psf'."),
        ("train", "needs it: pip install 'm[psf]'", "needs it: pip install 'm[psf]'"),
        ("train", "The devices must be two.", "The devices must be two."),
        (
            "train",
            "steps must be positive and batch_size divide 1024; they are 1 and 3.",
            "--steps must be positive and --batch-size divide 1024; they are 1 and 3.",
        ),
        (
            "measure",
            "in_focus_limit is 11, but the model's levels end at 10.",
            "--in-focus-limit is 11, but the model's levels end at 10.",
        ),
        ("measure", "per_patch needs `out`, a folder.", "--per-patch needs --out, a folder."),
        ("measure", "keep_patches needs a measure", "--per-patch needs a measure"),
        ("watch", "on_alert names no program.", "--on-alert names no program."),
        ("watch", "on_alert: there is no program x", "--on-alert: there is no program x"),
        # Not an option of this command.
        ("verify", "in_focus_limit is 11", "in_focus_limit is 11"),
        # No command of its own name.
        ("plugin fiji", "pattern is no regular expression", "pattern is no regular expression"),
    ],
)
def test_an_option_is_named_as_it_is_typed(command, said, typed):
    assert as_typed(SettingsError(said), options_of(command)) == typed


def test_a_column_of_a_file_keeps_its_name():
    said = "The table set/manifest.csv: tilt_levels has to be a number."
    assert as_typed(FileError(said), options_of("train")) == said


def test_an_argument_in_backticks_is_one_wherever_it_stands():
    said = as_typed(FileError("out: has other images; replace them by `again`"), {"again": "--a"})
    assert said == "out: has other images; replace them by --a"


def test_a_remedy_stands_after_the_error(capsys):
    found = refused("train", ImportError("No module named 'keras'"), "pip install it")
    assert isinstance(found, typer.Exit)
    assert found.exit_code == 2
    said = capsys.readouterr().err
    assert said == "microscope-quality train: No module named 'keras'; pip install it\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SettingsError("sure"), 2, "microscope-quality verify: sure\n"),
        (ImportError("no keras"), 2, "microscope-quality verify: no keras; get it\n"),
        (KeyboardInterrupt(), 130, "Stopped.\n"),
    ],
)
def test_what_goes_wrong_within_ends_the_command(capsys, error, code, said):
    within = refusing("verify", remedy="get it", interrupted="Stopped.")
    with pytest.raises(typer.Exit) as ended, within:
        raise error
    assert ended.value.exit_code == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("error", [ImportError("no keras"), KeyboardInterrupt(), OSError("x")])
def test_what_a_command_has_no_word_for_is_left_to_others(error):
    with pytest.raises(type(error)) as left, refusing("verify"):
        raise error
    assert left.value is error


@pytest.mark.long
@pytest.mark.parametrize(
    "arguments",
    [
        ["synthesize", "{bad}", "{good}", "--out", "{out}"],
        pytest.param(["train", "{bad}", "--out", "{out}"], marks=pytest.mark.training),
        ["evaluate", "compact", "--data", "{bad}", "--out", "{out}", "--jobs", "1"],
        ["evaluate", "compact", "--stacks", "{bad}", "--out", "{out}"],
        pytest.param(
            ["train", "{good}", "--manifest", "{bad}.csv", "--out", "{out}"],
            marks=pytest.mark.training,
        ),
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
