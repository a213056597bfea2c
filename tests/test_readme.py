"""Every command and example of the README, run as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import command_line
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:<!-- (\w+) command -->\n)?```(sh|python)\n(.*?)```", README, re.DOTALL)


def block(kind, language="sh"):
    return [text for name, lang, text in BLOCKS if name == kind and lang == language]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the repository's files, as a newcomer has them."""
    copy = tmp_path_factory.mktemp("checkout") / "microscope-quality"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    for name in listed:
        source = ROOT / name
        if source.is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy / name)
    return copy


def shell(command, cwd, path=None):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        environment["PATH"] = f"{path}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.readme
def test_the_first_command_installs_and_measures_the_sample(checkout):
    (command,) = block("try")
    python = Path(sys.executable).parent
    printed = shell(command, checkout, python)
    assert "in focus" in printed
    rows = (checkout / "results" / "results.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 7 + 8
    assert (checkout / "results" / "stacks.csv").exists()
    assert list((checkout / "results" / "overlays").glob("*.png"))
    # Nothing else was written, into the checkout or the installed package.
    left = subprocess.run(
        [checkout / ".venv/bin/python", "-m", "pip", "check"], capture_output=True, text=True
    )
    assert left.returncode == 0, left.stdout


def test_the_test_command_is_what_ci_runs():
    (command,) = block("test")
    assert "pytest" in command
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.readme
@pytest.mark.parametrize(
    "command",
    [line for text in block("") for line in text.strip().splitlines()],
)
def test_a_command_works(checkout, command):
    if " train " in command or "training/model" in command:
        pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
    scripts = checkout.parent / "bin"
    scripts.mkdir(exist_ok=True)
    program = scripts / "microscope-quality"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m microscope_quality "$@"\n')
    program.chmod(0o755)
    shell(command, checkout, scripts)


@pytest.mark.readme
@pytest.mark.parametrize("example", block("", "python"))
def test_an_example_works(checkout, example):
    printed = subprocess.run(
        command_line.example(example),
        cwd=checkout,
        capture_output=True,
        text=True,
    )
    assert printed.returncode == 0, printed.stderr
    status, best, _, defocus_um = printed.stdout.splitlines()
    assert status.endswith("out_of_focus")
    assert best == "3"
    # Simulated at level 4: a blur disc of 12.3 px, 7.0 µm from focus.
    assert 4 < float(defocus_um) < 9


def test_links_lead_to_files():
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
