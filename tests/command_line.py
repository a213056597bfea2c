"""The command as a user runs it: in this process, or as a process of its own."""

import csv
import json
import os
import signal
import sys
from pathlib import Path

from typer.testing import CliRunner

import microscope_quality
from microscope_quality.cli.app import app

ROOT = str(Path(microscope_quality.__file__).parents[1])


def heed_ctrl_c():
    """Undo, in a new process, that a shell in whose background tests run has Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run(*arguments, code=0):
    """Run a command in this process; gives its result, whose exit code is as it should be."""
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def measure(*arguments, code=0):
    """Measure, by one process unless it is said otherwise; gives what is printed."""
    if "--jobs" not in arguments and "--cluster" not in arguments:
        arguments = (*arguments, "--jobs", 1)
    return run("measure", *arguments, code=code).stdout


def counts(out):
    """What the record of a run counts."""
    return json.loads((out / "run.json").read_text(encoding="utf-8"))["counts"]


def command(*arguments):
    """Words to start a command by."""
    return [sys.executable, "-m", "microscope_quality", *map(str, arguments)]


def example(code):
    """Words to run an example of a page by: warnings are errors, as in the tests themselves."""
    theirs = "ignore:Setting the shape on a NumPy array:DeprecationWarning"  # tifffile's
    return [sys.executable, "-W", "error", "-W", theirs, "-c", code]


def environment(**changes):
    """Variables of a process; without those that are None."""
    wanted = {**os.environ, "PYTHONPATH": ROOT, **changes}
    return {name: value for name, value in wanted.items() if value is not None}


def table(path):
    """Rows of a table, read by the csv module alone."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def texts(rows):
    """Rows of values as a table has them, of six digits, but for their checksum."""

    def text(value):
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    return [
        {name: "" if value is None else text(value) for name, value in row.items()} for row in rows
    ]


def unchecked(rows):
    """Rows of a table without their checksum."""
    return [{name: row[name] for name in row if name != "checksum"} for row in rows]


def pictures(out):
    """Names of the pictures in a folder of results."""
    return sorted(path.name for path in (out / "overlays").iterdir())
