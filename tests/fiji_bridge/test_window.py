"""The menu entries in ImageJ's real windows, on a screen that nobody sees."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hosts import central_jar, java, missing

pytestmark = pytest.mark.host

SAMPLE = Path(__file__).parents[2] / "docs" / "sample"

IN_WINDOW = """
import sys, time
import jpype, scyjava
import numpy as np
scyjava.config.set_java_constraints(fetch="never")
scyjava.config.add_classpath(sys.argv[1])
scyjava.start_jvm()
from fiji_bridge import measure, menu, show
from microscope_quality.overlay import patch_colours

java = jpype.JClass
IJ = java("ij.IJ")
java("ij.ImageJ")()
image = IJ.openImage(sys.argv[2])
image.setPosition(1)
image.show()
print(menu.find_best_plane(image))
print(menu.measure_planes(image))

# The patches are on the screen, in their colours.
time.sleep(2)
window = image.getWindow()
size = java("java.awt.Rectangle")(window.getLocationOnScreen(), window.getSize())
shot = java("java.awt.Robot")().createScreenCapture(size)
width, height = shot.getWidth(), shot.getHeight()
packed = np.array(shot.getRGB(0, 0, width, height, None, 0, width))
seen = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1)
colour = patch_colours(measure(image))[0].astype(int)
print(int((abs(seen - colour).max(axis=1) <= 8).sum()))
java("javax.imageio.ImageIO").write(shot, "png", java("java.io.File")(sys.argv[3]))
print(sorted(str(title) for title in java("ij.WindowManager").getNonImageTitles()))
table = java("ij.measure.ResultsTable").getResultsTable("Focus of Planes")
print(*list(map(str, table.getHeadings()))[:6])

# The result of another plane does not come up on the one that is shown.
show(image, measure(image, z=2))
time.sleep(1)
shot = java("java.awt.Robot")().createScreenCapture(size)
again = np.array(shot.getRGB(0, 0, width, height, None, 0, width))
image.setPosition(2)
time.sleep(1)
shot = java("java.awt.Robot")().createScreenCapture(size)
other = np.array(shot.getRGB(0, 0, width, height, None, 0, width))
canvas = slice(width * 60, width * (height - 60))
print((again == packed)[canvas].all() and (other != packed)[canvas].mean() > 0.1)

# What is wrong is shown, and not thrown.
IJ.redirectErrorMessages(True)
image.getCalibration().setUnit("pixel")
print(repr(menu.measure_planes(image, na=0.5)))
print(IJ.getErrorMessage())
sys.stdout.flush()
java("java.lang.Runtime").getRuntime().halt(0)
"""


def test_the_entries_work_in_real_windows(tmp_path):
    java()
    if shutil.which("xvfb-run") is None:
        missing("a screen: apt-get install xvfb default-jre")
    picture = tmp_path / "window.png"
    stack = SAMPLE / "B03_s1_dna_stack.tif"
    jar = central_jar("net.imagej:ij:1.54p")
    done = subprocess.run(
        ["xvfb-run", "-a", sys.executable, "-c", IN_WINDOW, jar, stack, picture],
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert done.returncode == 0 and len(lines) >= 8, done.stdout + done.stderr
    best, plane, pixels, windows, columns, elsewhere, said, error = lines[-8:]
    assert best == "B03_s1_dna_stack.tif: best focus in slice 4 of 8, expected level 0.1, in focus"
    assert plane.startswith("B03_s1_dna_stack.tif: level 0.1, in focus, certainty 0.")
    assert int(pixels) > 500
    assert "'Focus of Planes'" in windows and "'Focus of Stacks'" in windows
    assert "'Results'" not in windows
    assert said == "''"
    assert "not calibrated in a unit of length" in error
    assert columns.split() == ["file", "z", "c", "t", "width", "height"]
    assert elsewhere == "True"
    assert picture.stat().st_size > 1000
