"""The tests in ``inside``, run in processes of their own: one Java a process, and it stays.

By hand: FIJI_BRIDGE_CLASS_PATH=…/ij-1.54p.jar:… python -m pytest tests/fiji_bridge/inside/imagej
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hosts import REQUIRED, central_jar, java, missing, prokaryote_jar

pytestmark = pytest.mark.host

HERE = Path(__file__).parent
IMAGEJ = (
    "net.imagej:ij:1.54p",
    "org.scijava:scijava-common:2.99.2",
    "org.scijava:parsington:3.1.0",
)
PLUGIN = HERE.parents[1] / "fiji_bridge" / "plugin" / "target"


def imagej():
    # Beside them, to be compared with: the plugin, when it was built.
    return [*map(central_jar, IMAGEJ), *sorted(PLUGIN.glob("Microscope_Quality-*.jar"))]


@pytest.mark.parametrize(
    ("folder", "class_path", "at_least"),
    [("imagej", imagej, 100), ("dataset", lambda: [prokaryote_jar()], 15)],
)
def test_the_bridge_works_in_java(folder, class_path, at_least, tmp_path):
    java()
    for package in ("scyjava", "jpype", "xarray"):
        if importlib.util.find_spec(package) is None:
            missing(f"{package}: pip install 'microscope-quality[fiji]'")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:faulthandler",
    ]
    command += [f"--basetemp={tmp_path / 'inside'}", HERE / "inside" / folder]
    environment = {
        **os.environ,
        "FIJI_BRIDGE_CLASS_PATH": os.pathsep.join(map(str, class_path())),
    }
    done = subprocess.run(
        command,
        cwd=HERE.parents[1],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed[-8000:]
    summary = re.findall(r"^.*\d+ passed.*$", printed, re.MULTILINE)[-1]
    print(f"{folder}: {summary}")
    assert int(re.search(r"(\d+) passed", summary).group(1)) >= at_least
    assert "skipped" not in summary or not os.environ.get(REQUIRED)
