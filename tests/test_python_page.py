"""The page *In Python*: every example, run as it stands there, says what the page says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import environment, example, table

TOP = Path(__file__).parents[1]
PAGE = (TOP / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All examples, one behind the other; gives the folder, and what was printed."""
    for library in ("matplotlib", "pandas"):
        pytest.importorskip(library)
    folder = tmp_path_factory.mktemp("page")
    for name in ("sample", "micrographs"):
        shutil.copytree(TOP / "docs" / name, folder / name)
    done = subprocess.run(
        example("\n".join(EXAMPLES)),
        cwd=folder,
        env=environment(MPLBACKEND="agg"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout.splitlines()


def test_examples_print_what_the_page_says(run):
    _, printed = run
    expected = re.findall(r"^(?: *print\(.*\)  )?# (.+)$", "\n".join(EXAMPLES), re.MULTILINE)
    assert len(expected) > 10
    said = iter(printed)
    for words in expected:
        assert words in said, f"{words} is not printed, or not in its place: {printed}"


def test_examples_write_what_the_page_says(run):
    folder, printed = run
    assert (folder / "tilted.png").stat().st_size > 10_000
    rows = table(folder / "screened" / "results.csv")
    wanted = [
        f"{row['well']} {row['site']} {row['expected_level']}"
        for row in rows
        if row["status"] == "out_of_focus" and not row["z"]
    ]
    assert len(wanted) == 2
    assert set(wanted) <= set(printed)


def test_pictures_load_fast():
    for name in re.findall(r"\]\((python/\w+\.\w+)\)", PAGE):
        assert (TOP / "docs" / name).stat().st_size < 150_000
