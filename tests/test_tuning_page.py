"""The page *Finding good settings*: its examples, run as they stand there, say what it says."""

import re
import subprocess
from pathlib import Path

import pytest
from command_line import environment, example

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "tuning.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SIMULATED = "\n".join(EXAMPLES[:2])
MICROSCOPE = EXAMPLES[2]


def run(code, folder):
    done = subprocess.run(
        example(code), cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    expected = re.findall(r"^print\(.*\)  # (.+)$", code, re.MULTILINE)
    assert expected
    assert done.stdout.splitlines() == expected


def test_the_simulated_microscope_is_tuned_as_it_says(tmp_path):
    pytest.importorskip("optuna")
    pytest.importorskip("sklearn")
    run(SIMULATED, tmp_path)
    assert (tmp_path / "tuning" / "tuning.html").stat().st_size > 50_000


@pytest.mark.host
def test_a_microscope_of_micro_manager_is_tuned_as_it_says(tmp_path):
    pytest.importorskip("mm_test_adapters")
    assert "micromanager" in MICROSCOPE
    run(MICROSCOPE, tmp_path)


def test_the_picture_loads_fast():
    assert 20_000 < (DOCS / "tuning.jpg").stat().st_size < 250_000
