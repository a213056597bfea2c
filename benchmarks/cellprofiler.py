"""Time inside CellProfiler: MeasureImageFocus beside CellProfiler's own MeasureImageQuality.

``python -m benchmarks.cellprofiler PYTHON`` runs a pipeline of the input modules, MeasureImageFocus
and MeasureImageQuality with its blur measures on 50 simulated images of 1040×1388, 16 bit, in the
CellProfiler that PYTHON has (see ``tests/cellprofiler_plugins/install_host.sh``), from the drop-in
folder. Times are the wall times that CellProfiler prints of each module and image.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List

import numpy as np
import tifffile

from benchmarks.figure import Figure, print_rows
from microscope_quality.degrade import Camera, defocus
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.plugins import cellprofiler
from microscope_quality.psf import psf
from microscope_quality.simulate import nuclei

IMAGES = 50
SHAPE = (1040, 1388)
FOCUS, QUALITY = "MeasureImageFocus", "MeasureImageQuality"
# In CellProfiler's Python: arguments are the drop-in folder and the pipeline to write.
BUILD = f"""
import sys
import cellprofiler_core.preferences as preferences
preferences.set_headless()
preferences.set_plugin_directory(sys.argv[1], globally=False)
from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.utilities.core.modules import fill_modules, instantiate_module
fill_modules()
pipeline = Pipeline()
for name in ("Images", "Metadata", "NamesAndTypes", "Groups", "{FOCUS}", "{QUALITY}"):
    module = instantiate_module(name)
    module.set_module_num(len(pipeline.modules()) + 1)
    pipeline.add_module(module)
inputs, focus, quality = pipeline.modules()[2], *pipeline.modules()[4:]
inputs.single_image_provider.value = "DNA"
focus.images.value = "DNA"
quality.images_choice.value = "Select..."
group = quality.image_groups[0]
group.image_names.value = "DNA"
group.check_saturation.value = group.check_intensity.value = group.calculate_threshold.value = False
group.include_image_scalings.value = False
with open(sys.argv[2], "w", encoding="utf-8") as file:
    pipeline.dump(file)
"""


def write_images(folder: Path) -> None:
    """Write nuclei at all levels."""
    camera = Camera(photons_per_level=1.0, offset=100, read_noise=2.5, bit_depth=12)
    fields = [nuclei(SHAPE, 150, seed) for seed in range(3)]
    for number in range(IMAGES):
        kernel = psf(TRAINING_OPTICS, float(TRAINING_OPTICS.defocus_of_level(number % 11)))
        light = np.maximum(defocus(fields[number % len(fields)], kernel), 0)
        plane = camera.expose(3000 * (light + 0.03), number)
        tifffile.imwrite(folder / f"{number:02d}.tif", plane.astype(np.uint16))


def wall_times(python: str) -> Dict[str, List[float]]:
    """Run the pipeline and give each module's seconds, image by image."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        pictures, plugins, pipeline = place / "in", place / "plugins", place / "p.cppipe"
        pictures.mkdir()
        write_images(pictures)
        cellprofiler.install(plugins)
        subprocess.run(
            [python, "-c", BUILD, plugins, pipeline], check=True, cwd=place, capture_output=True
        )
        command = [python, "-m", "cellprofiler", "-c", "-r", "-p", pipeline, "-i", pictures]
        command += ["-o", place / "out", "--plugins-directory", plugins]
        done = subprocess.run(
            command, check=True, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    printed = done.stdout.decode(errors="replace")
    times: Dict[str, List[float]] = {FOCUS: [], QUALITY: []}
    for name, value in re.findall(r"module (\w+) # \d+: .*Wall_time = ([\d.]+) secs", printed):
        if name in times:
            times[name].append(float(value))
    if any(len(found) != IMAGES for found in times.values()):
        raise RuntimeError(f"CellProfiler did not run both modules on all images:\n{printed}")
    return times


def measure(python: str) -> List[Figure]:
    """Measure the time of each image in the module, the first and the later ones."""
    times = wall_times(python)
    first, later = times[FOCUS][0], statistics.median(times[FOCUS][1:])
    other = statistics.median(times[QUALITY][1:])
    version = subprocess.run(
        [python, "-c", "import platform; print(platform.python_version())"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    host = f"CellProfiler 4.2.8.1 on Python {version}, {IMAGES} images of 1040×1388"
    return [
        Figure(
            f"{host}: MeasureImageFocus against MeasureImageQuality's blur measures",
            f"{other / later:.1f} times faster ({later:.2f} s, {other:.2f} s an image)",
            "> 1 times",
            later < other,
        ),
        Figure(
            f"{host}: first image after the later ones",
            f"{first - later:.2f} s more ({first:.2f} s)",
            "≤ 0.5 s",
            first - later <= 0.5,
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cellprofiler", description=__doc__)
    parser.add_argument("python", help="interpreter that CellProfiler 4.2.8.1 is installed in")
    return 0 if print_rows(measure(parser.parse_args().python)) else 1


if __name__ == "__main__":
    sys.exit(main())
