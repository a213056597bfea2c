"""Does the light of a real bead spread as its optics say?

``python -m benchmarks.real_optics --data DIR`` measures the blur diameter of a bead in each plane
of a real stack whose optics are known, ``focus/eval/stacks/pyotf_bead085``: √2 times the diameter
that holds half of its light. Beside it stand the blur of the library's own point spread function,
and the diameters of the geometric cones. No model has a part in it. It takes seconds.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
import numpy.typing as npt

from benchmarks.figure import Figure, print_rows
from benchmarks.models import read
from microscope_quality.optics import Optics

FloatArray = npt.NDArray[np.float64]

BEAD = "pyotf_bead085"
# Nearer to focus the bead's own size, some 7 px of blur, is most of what is seen.
FROM_UM = 1.2
BORDER_PX = 30
NEAR = 0.05


def stack(folder: Path) -> Tuple[Optics, FloatArray, List[npt.NDArray[Any]]]:
    """Read the bead's optics, the heights of its planes in µm, and the planes."""
    lines = (folder / "manifest.csv").read_text("utf-8").splitlines()
    rows = [row for row in csv.DictReader(lines) if row["set"] == BEAD]
    names = ("na", "n", "wavelength_um", "pixel_um")
    optics = Optics(*(float(rows[0][name]) for name in names))
    heights_um = np.array([float(row["z_um"]) for row in rows])
    return optics, heights_um, [read(folder / row["file"]) for row in rows]


def focus_index() -> int:
    """Give the plane in which the eye finds the bead in focus."""
    table = Path(__file__).with_name("real_stacks.csv")
    rows = csv.DictReader(table.read_text("utf-8").splitlines())
    return next(int(row["sharpest_index"]) for row in rows if row["set"] == BEAD)


def bead_blur_px(plane: npt.NDArray[Any], reach_px: float) -> float:
    """Measure √2 times the half-light diameter of the only bead in a plane, around its centroid.

    The background is the median of the plane's border; all light within `reach_px` counts.
    """
    border = np.ones(plane.shape, bool)
    border[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = False
    light = plane - float(np.median(plane[border]))
    rows, columns = np.indices(plane.shape)
    middle = tuple(0.5 * (side - 1) for side in plane.shape)
    for _ in range(5):
        inside = np.hypot(rows - middle[0], columns - middle[1]) < reach_px
        total = light[inside].sum()
        middle = (
            float((light * rows)[inside].sum() / total),
            float((light * columns)[inside].sum() / total),
        )
    distances = np.hypot(rows - middle[0], columns - middle[1])
    order = np.argsort(distances, axis=None)
    held = np.cumsum(light.ravel()[order])
    total = float(light[distances < reach_px].sum())
    return 2 * math.sqrt(2) * float(distances.ravel()[order][np.searchsorted(held, 0.5 * total)])


def measure(data: Path) -> List[Figure]:
    """Compare the bead's blur with the light's and with both cones."""
    folder = data / "focus" / "eval" / "stacks"
    optics, heights_um, planes = stack(folder)
    distances_um = heights_um - heights_um[focus_index()]
    far = np.abs(distances_um) > FROM_UM - 1e-6
    # All rays are within the rim's cone; a fifth more for what is diffracted.
    found = np.array(
        [
            bead_blur_px(plane, 1.2 * (0.5 * float(optics.cone_diameter_px(um)) + 10))
            for plane, um in zip(planes, distances_um)
        ]
    )
    figures = []
    for name, predicted, bar in (
        ("the light's", optics.blur_diameter_px(distances_um), True),
        ("the cone's, NA/n", optics.cone_diameter_px(distances_um, paraxial=True), False),
        ("the cone's, to the rim", optics.cone_diameter_px(distances_um), False),
    ):
        ratio = found[far] / predicted[far]
        text = f"{ratio.mean():.2f} ({ratio.min():.2f} to {ratio.max():.2f})"
        slope = np.polyfit(predicted[far], found[far], 1)[0]
        figures.append(
            Figure(
                f"a bead's blur, NA {optics.na:g}, {np.count_nonzero(far)} planes from "
                f"{FROM_UM:g} to {np.abs(distances_um).max():.1f} µm from focus, over {name}",
                f"{text}, slope {slope:.2f}",
                f"{1 - NEAR:.2f} to {1 + NEAR:.2f}" if bar else "none",
                not bar or abs(ratio.mean() - 1) <= NEAR,
            )
        )
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real_optics",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the images")
    options = parser.parse_args()
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    return 0 if print_rows(measure(options.data)) else 1


if __name__ == "__main__":
    sys.exit(main())
