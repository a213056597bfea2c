"""Simulated plates of z-stacks, a file for each plane, named as each layout names them.

``python -m benchmarks.plates`` takes about a minute. Each plate has 3 sites, 2 channels and 5
planes, of which another one is in focus at each site, and at one site none.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

import numpy as np
import tifffile

from benchmarks.figure import Figure, print_rows
from microscope_quality.degrade import Camera, defocus
from microscope_quality.files.images import find
from microscope_quality.files.tables import STACKS, read_table
from microscope_quality.measuring.layouts import LAYOUTS
from microscope_quality.measuring.run import Run
from microscope_quality.measuring.settings import Settings
from microscope_quality.optics import BLUR_PX_PER_LEVEL, TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import nuclei

SITES, CHANNELS, PLANES = (1, 2, 3), (1, 2), (1, 2, 3, 4, 5)
#: The plane that is nearest to focus at each site and channel, and how many levels it is away.
SHARPEST = {1: 2, 2: 4, 3: 3}
OFFSET_LEVELS = {1: 0.0, 2: 0.0, 3: 4.0}
LEVELS_PER_PLANE = 2.5
SIDE = 252

Name = Callable[[int, int, int], str]
#: Names of a site, channel and plane from 1, by layout.
NAMES: Dict[str, Name] = {
    "cell-painting-gallery": lambda s, c, z: (
        f"images/b1/images/P1__2024-Measurement1/Images/r02c03f{s:02}p{z:02}-ch{c}sk1fk1fl1.tiff"
    ),
    "harmony": lambda s, c, z: f"P1__2024/Images/r02c03f{s:02}p{z:02}-ch{c}sk1fk1fl1.tiff",
    "yokogawa": lambda s, c, z: f"P1_B03_T0001F{s:03}L01A0{c}Z{z:02}C{c:02}.tif",
    "cellvoyager": lambda s, c, z: f"Image/W15F{s:03}T0001Z{z:02}C{c}.tif",
    "imagexpress": lambda s, c, z: (
        f"P1/TimePoint_1/ZStep_{z}/P1_B03_s{s}_w{c}{z:08X}-1234-5678-9ABC-1234567890{s}{c}.tif"
    ),
    "incell": lambda s, c, z: (
        f"B - 3(fld {s} wv {('DAPI - DAPI', 'FITC - FITC')[c - 1]} z {z}).tif"
    ),
    "micro-manager": lambda s, c, z: (
        f"img_channel{c - 1:03}_position{s - 1:03}_time000000000_z{z - 1:03}.tif"
    ),
    "incucyte": lambda s, c, z: f"VID1_{('Green', 'Red')[c - 1]}_B3_{s}_00d0{z}h00m.tif",
    "metamorph": lambda s, c, z: f"cells_w{c}{('DAPI', 'GFP')[c - 1]}_s{s}_t{z}.TIF",
    "numbered": lambda s, c, z: f"Series{s:03}_z{z:02}_ch{c:02}.tif",
}
#: Layouts that number times, and no planes: each plane is an image of its own.
WITHOUT_Z = ("incucyte", "metamorph")


def write(folder: Path, name: Name) -> None:
    """Write a plate."""
    for site in SITES:
        for channel in CHANNELS:
            light = nuclei((SIDE + 128, SIDE + 128), 40, 10 * site + channel)
            for z in PLANES:
                away = abs(z - SHARPEST[site]) * LEVELS_PER_PLANE + OFFSET_LEVELS[site]
                blurred = defocus(light, _kernel(min(away, 10.0)))[64:-64, 64:-64]
                seed = 100 * site + 10 * channel + z
                plane = Camera().expose(2000 * (np.maximum(blurred, 0) + 0.02), seed)
                path = folder / name(site, channel, z)
                path.parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(path, plane.astype(np.uint16))


def _kernel(level: float) -> np.ndarray:
    return psf(TRAINING_OPTICS, float(TRAINING_OPTICS.defocus_um(level * BLUR_PX_PER_LEVEL)))


def stacks_of(folder: Path, out: Path) -> Tuple[List[str], Dict[Tuple[str, str], Tuple[str, ...]]]:
    """Measure a plate; gives the layouts that were found, and of each site what is the best."""
    with Run(Settings(), find([folder]), out, jobs=2) as run:
        for _ in run.measure():
            pass
        run.finish()
        found = [one.layout.name for one in run.recognised]
    rows = read_table(out / STACKS) if (out / STACKS).exists() else ()
    told = ("best_z", "status", "planes", "best_file")
    return found, {
        (row["site"] or row["stack"], row["channel"]): tuple(row[name] for name in told)
        for row in rows
    }


def measure() -> Iterator[Figure]:
    """Measure a plate of each layout."""
    for layout in LAYOUTS:
        with tempfile.TemporaryDirectory() as folder:
            images = Path(folder) / "plate"
            name = NAMES[layout.name]
            write(images, name)
            found, stacks = stacks_of(images, Path(folder) / "out")
        wanted = sorted(
            (
                str(SHARPEST[site] - 1),
                "out_of_focus" if OFFSET_LEVELS[site] else "in_focus",
                str(len(PLANES)),
                name(site, channel, SHARPEST[site]),
            )
            for site in SITES
            for channel in CHANNELS
            if layout.name not in WITHOUT_Z
        )
        right = sum(one in wanted for one in stacks.values())
        yield Figure(
            f"a plate named as by {layout.title}: recognised; stacks whose best plane, verdict "
            "and file are right",
            f"{', '.join(found)}; {f'{right} of {len(wanted)}' if wanted else 'no z, no stack'}",
            f"{layout.name}; all",
            found == [layout.name] and sorted(stacks.values()) == wanted,
        )


def main() -> int:
    argparse.ArgumentParser(prog="python -m benchmarks.plates", description=__doc__).parse_args()
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    return 0 if print_rows(measure()) else 1


if __name__ == "__main__":
    sys.exit(main())
