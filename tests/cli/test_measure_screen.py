"""What the measure command prints: widths, pipes, terminals, names that would move the cursor."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import coded
import numpy as np
import pytest
import tifffile
from command_line import command, environment, measure
from typer.testing import CliRunner

import microscope_quality
from microscope_quality.cli.app import app


@pytest.mark.long
@pytest.mark.parametrize("width", [80, 120])
def test_the_screen_fits_its_width(plate, model, tmp_path, width):
    long = "a_long_name_" * 9
    tifffile.imwrite(plate / f"{long}A.tif", coded.plane(coded.BLURRED))
    tifffile.imwrite(
        plate / f"{long}B.tif", np.stack([coded.plane(coded.FOCUSED)] * 5), imagej=True
    )
    (plate / f"{long}C.tif").touch()
    done = subprocess.run(
        command("measure", plate, "--model", model),
        env=environment(COLUMNS=str(width)),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert any(line.startswith("a_long") and "…" in line and "A.tif" in line for line in lines)
    for i in range(30):
        tifffile.imwrite(plate / f"{long}{i}.tif", coded.plane(coded.MIXED))
    done = subprocess.run(
        command("measure", plate, "--model", model),
        env=environment(COLUMNS=str(width)),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert max(map(len, done.stdout.splitlines())) <= width
    assert "41 planes" in done.stdout


@pytest.mark.long
def test_a_pipe_gets_whole_names(plate, model):
    name = "a_long_name_" * 12 + ".tif"
    (plate / "A01_s1.tif").rename(plate / name)
    changes = {key: value for key, value in environment().items() if key != "COLUMNS"}
    done = subprocess.run(
        command("measure", plate, "--model", model), env=changes, capture_output=True, check=True
    )
    assert name in done.stdout.decode()
    assert done.stderr == b""
    assert b"\x1b" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_is_shown_on_a_terminal(plate, model):
    import pty

    terminal, other_end = pty.openpty()
    done = subprocess.run(
        command("measure", plate, "--model", model, "--jobs", "1"),
        env=environment(TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=other_end,
        check=True,
    )
    os.close(other_end)
    shown = os.read(terminal, 100_000)
    os.close(terminal)
    assert b"Measuring" in shown
    assert b"Measuring" not in done.stdout


def test_a_terminal_that_knows_only_ascii(plate, model):
    done = subprocess.run(
        command("measure", plate, "--model", model),
        env=environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0"),
        capture_output=True,
    )
    assert done.returncode == 0
    assert b"out of focus" in done.stdout


def test_names_cannot_move_the_cursor(plate, model):
    (plate / "A01_s1.tif").rename(plate / "a\x1b[2J\rb.tif")
    screen = measure(plate, "--model", model)
    assert "\x1b" not in screen
    assert "\r" not in screen


def test_help_teaches():
    result = CliRunner().invoke(app, ["measure", "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    for words in ("microscope-quality measure", "--optics", "--pattern", "Exit codes"):
        assert words in result.stdout


def test_the_command_line_starts_without_what_is_heavy():
    code = (
        "import sys; from microscope_quality.cli.app import app\n"
        "heavy = {'tensorflow', 'keras', 'scipy', 'tifffile', 'PIL', 'rich', 'imagecodecs'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_version():
    result = CliRunner().invoke(app, ["--version"])
    assert result.stdout == f"microscope-quality {microscope_quality.__version__}\n"


@pytest.mark.long
def test_names_that_look_like_planes_are_told_once_with_a_pattern(plate, model, tmp_path):
    folder = tmp_path / "planes"
    folder.mkdir()
    for z in range(3):
        tifffile.imwrite(folder / f"em_p{z:03}.tif", coded.plane(coded.FOCUSED))
    said = measure(folder, "--model", model)
    assert "Names such as em_p000.tif may be those of planes of z-stacks" in said
    assert r"If they are: --pattern '_p(?P<z>\d+)'" in said
    assert "em_p*.tif" in measure(folder, "--model", model, "--pattern", r"_p(?P<z>\d+)")
    assert "may be those of planes" not in measure(plate, "--model", model)
    # Who tells the wells has not said that there are no planes.
    shutil.copytree(folder, plate / "em")
    wells = r"(?P<well>[AB]\d\d)_"
    said = measure(plate, "--model", model, "--pattern", wells)
    assert "Names such as em/em_p000.tif may be" in said
    both = rf"{wells}|_p(?P<z>\d+)"
    assert f"If they are: --pattern '{both}'" in said
    assert "em_p*.tif" in measure(plate, "--model", model, "--pattern", both)
    said = measure(folder, "--model", model, "--pattern", "(?P<plate>em)")
    assert r"If they are: the pattern needs a z, such as _p(?P<z>\d+)" in said


def test_a_layout_that_a_part_of_the_names_has_is_told_with_their_number(model, tmp_path):
    names = [f"day1_B0{well}_s1_w1.tif" for well in (2, 3)]
    for name in (*names, "overview.tif"):
        tifffile.imwrite(tmp_path / name, coded.plane(coded.FOCUSED))
    said = " ".join(measure(tmp_path, "--model", model).split())
    assert "channel 1 (2 of 3 files); --layout none reads none." in said
