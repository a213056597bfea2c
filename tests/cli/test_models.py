"""The models command."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import coded
import pytest
from coded import write_of_another_task
from typer.testing import CliRunner

import microscope_quality
from microscope_quality.cli.app import app
from microscope_quality.model import available_models


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["models", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def folder(tmp_path):
    coded.write(tmp_path / "coded")
    return tmp_path / "coded"


def test_list_names_each_model():
    found = available_models()
    screen = run("list", code=0 if found else 1).stdout
    for name, folder in found.items():
        assert name in screen
        assert str(folder) in screen


def test_list_and_show_tell_the_task(tmp_path):
    """With a model of another task among those that come with the library."""
    package = Path(microscope_quality.__file__).parent
    copy = tmp_path / "microscope_quality"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    coded.write(copy / "pretrained" / "coded")
    write_of_another_task(copy / "pretrained" / "toy")
    call = [sys.executable, "-m", "microscope_quality", "models", "list"]
    screen = subprocess.run(call, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    told = dict(line.split(None, 1) for line in screen.splitlines() if not line.startswith(" "))
    assert told["coded"] == "focus: coded, patches of 84 px, levels 0 to 10"
    assert told["toy"] == "score: toy, patches of 4 px"
    shown = run("show", copy / "pretrained" / "toy").stdout
    assert re.search(r"^task +score$", shown, re.M)
    assert re.search(r"^score: good +up$", shown, re.M)
    assert "levels" not in shown


def test_show_describes_a_folder(folder):
    screen = run("show", folder).stdout
    for words in (
        "coded",
        "84 × 84",
        "NA 0.5",
        "0 (in focus) to 10",
        "conv2d 1×1×2",
        "made by hand",
    ):
        assert words in screen


def test_show_as_json_is_what_is_stored(folder):
    stored = json.loads((folder / "model.json").read_text())
    assert json.loads(run("show", folder, "--json").stdout) == stored


def test_verify_finds_a_changed_weight(folder):
    sha256 = json.loads((folder / "model.json").read_text())["sha256"]
    assert f"whole, sha256 {sha256}" in run("verify", folder).stdout
    content = bytearray((folder / "weights.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "weights.npz").write_bytes(content)
    assert "damaged" in run("verify", folder, code=1).stdout
    assert "weights.npz" in run("show", folder, code=1).stderr


def test_a_wrong_name_is_wrong_use():
    for verb in ("show", "verify"):
        result = run(verb, "no-such", code=2)
        assert "'no-such'" in result.stderr
        for name in available_models():
            assert name in result.stderr


def test_export_fiji_writes_one_file(folder, tmp_path):
    path = tmp_path / "coded.zip"
    sha256 = json.loads((folder / "model.json").read_text())["sha256"]
    screen = run("export-fiji", folder, "--to", path).stdout
    assert screen.startswith(f"{path}: coded, {path.stat().st_size} bytes, sha256 {sha256}")
    path.write_text("something else")
    assert "is no exported model" in run("export-fiji", folder, "--to", path, code=1).stderr
    assert "'no-such'" in run("export-fiji", "no-such", "--to", path, code=2).stderr
