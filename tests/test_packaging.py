"""What is said about the package in several places is the same everywhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from microscope_quality.version import __version__

ROOT = Path(__file__).parents[1]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


PYPROJECT = text("pyproject.toml")
(ADDRESS,) = re.findall(r'^Repository = "(.*)"$', PYPROJECT, re.MULTILINE)


def test_the_citation_is_of_this_version_and_place():
    said = dict(re.findall(r"^([\w-]+): (.+)$", text("CITATION.cff"), re.MULTILINE))
    assert said["version"] == __version__
    assert said["repository-code"] == ADDRESS
    assert said["title"] == re.search(r'^name = "(.*)"$', PYPROJECT, re.MULTILINE).group(1)
    assert said["license"] == re.search(r'^license = "(.*)"$', PYPROJECT, re.MULTILINE).group(1)


def test_the_jar_is_of_this_version():
    pom = text("fiji_bridge/plugin/pom.xml")
    assert re.search(r"<version>(.*?)</version>", pom).group(1) == __version__


def test_the_page_names_the_files_of_this_version():
    named = re.findall(
        r"(?:microscope[_-]quality(?:-cellprofiler)?|Microscope_Quality)-(\d[\w.]*?)"
        r"(?:-py3-none-any\.whl|\.tar\.gz|\.zip|\.jar)",
        text("docs/install.md"),
    )
    assert len(named) >= 8
    assert set(named) == {__version__}


def test_addresses_of_the_project_are_below_one():
    pages = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("docs/*.md"))]
    own = ADDRESS.rpartition("/")[2]
    found = {
        name: [url for url in re.findall(r"https://[^\s\"')<>]+", text(name)) if own in url]
        for name in ("pyproject.toml", "mkdocs.yml", "CITATION.cff", "README.md", *pages)
    }
    assert all(found[name] for name in ("pyproject.toml", "mkdocs.yml", "docs/install.md"))
    for name, urls in found.items():
        assert all(url == ADDRESS or url.startswith(f"{ADDRESS}/") for url in urls), name


def test_the_page_names_all_extras_of_a_user():
    extras = PYPROJECT.split("[project.optional-dependencies]")[1].split("\n[")[0]
    theirs = set(re.findall(r"^([\w-]+) = \[", extras, re.MULTILINE))
    table = text("docs/install.md").split("| word |")[1].split("\n\n")[0]
    named = re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)
    assert set(named) == theirs - {"test", "test-all", "lint", "docs"}


# Commands for Windows


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", text(page), re.DOTALL)


def on_windows(commands):
    """Give the form for PowerShell, which knows no "&&" before its version 7."""
    lines = commands.replace(" && ", "\n")
    return lines.replace("python3 -m venv", "py -m venv").replace(".venv/bin/", ".venv\\Scripts\\")


@pytest.mark.parametrize("page", ["README.md", "docs/install.md"])
def test_commands_with_an_environment_are_there_for_windows(page):
    posix = [block for block in blocks(page, "sh") if ".venv/bin/" in block]
    assert posix
    assert blocks(page, "powershell") == [on_windows(block) for block in posix]


def test_the_workflow_runs_the_test_command_of_the_readme():
    (command,) = re.findall(r"<!-- test command -->\n```sh\n(.*?)\n```", text("README.md"))
    workflow = text(".github/workflows/tests.yml")
    assert f"run: {command}\n" in workflow
    (lines,) = re.findall(r"run: \|\n((?: {10}.*\n)+)", workflow)
    plain = [line.strip() for line in lines.splitlines()]
    assert plain == on_windows(command).replace("py -m", "python -m", 1).splitlines()


# The command of a release


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.docx").write_text("mine")
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "release", "--to", tmp_path],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "thesis.docx" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]
