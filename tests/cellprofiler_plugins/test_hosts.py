"""The tests in ``inside``, run by the Pythons that CellProfiler 4.2.8.1 is installed in.

``install_host.sh`` beside this file makes them; CELLPROFILER_HOSTS names the folder that it filled.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest
from hosts import missing

pytestmark = pytest.mark.host

HERE = Path(__file__).parent
VERSIONS = ("3.8", "3.9", "3.11")


def python_of(version):
    folder = os.environ.get("CELLPROFILER_HOSTS")
    found = Path(folder, version, "bin", "python") if folder else None
    return found if found and found.is_file() else None


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Start the tests in all hosts, side by side; gives each one's process and its output."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # Two threads divide a product between them as they are free, and round by that.
    environment["OPENBLAS_NUM_THREADS"] = "1"
    started = {}
    for version in VERSIONS:
        python = python_of(version)
        if python:
            output = tmp_path_factory.mktemp("hosts") / f"{version}.txt"
            command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
            command += ["--show-capture=no", HERE / "inside"]
            with output.open("wb") as file:
                process = subprocess.Popen(
                    command,
                    cwd=HERE.parents[1],
                    env=environment,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                )
            started[version] = process, output
    yield started
    for process, _ in started.values():
        process.kill()
        process.wait()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_module_works_in_cellprofiler(runs, version):
    if version not in runs:
        missing(
            f"CellProfiler 4.2.8.1 on Python {version}: run tests/{HERE.name}/install_host.sh and "
            "set CELLPROFILER_HOSTS to the folder that it filled"
        )
    process, output = runs[version]
    status = process.wait(timeout=1800)
    printed = output.read_text(encoding="utf-8", errors="replace")
    assert status == 0, printed[-8000:]
    summary = printed.strip().splitlines()[-1]
    print(f"Python {version}: {summary}")
    assert int(re.search(r"(\d+) passed", summary).group(1)) >= 50
    skipped = re.search(r"(\d+) skipped", summary)
    # One test is of an installed library, one of a missing one; 3.11 has it, the others do not.
    assert int(skipped.group(1) if skipped else 0) == 1
