"""Masks on simulated images: whether they make one look sharper, and what they leave to judge.

``python -m benchmarks.masks`` takes some minutes.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Dict, Iterator, List

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure, print_rows
from microscope_quality import FocusModel, measure_focus
from microscope_quality.degrade import Camera, defocus
from microscope_quality.focus import FocusResult
from microscope_quality.optics import BLUR_PX_PER_LEVEL, TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import filaments, nuclei

SIDE, MARGIN = 420, 72
SEEDS = (500, 501, 502)
#: Expected levels that differ by more are another reading.
LOWER = 0.5
#: From this level on, nobody takes an image for one in focus.
FAR = 4.0
PHOTONS = (150.0, 2000.0)

Masks = Dict[str, NDArray[np.bool_]]


def otsu(plane: NDArray[Any]) -> float:
    """Give the threshold by Otsu (1979)."""
    counts, edges = np.histogram(plane, 256)
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(middles[np.nanargmax(between[:-1])])


def masks_of(plane: NDArray[Any], seed: int) -> Masks:
    """Give masks of several kinds; True is what counts."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    above = plane > otsu(plane)
    ellipses = np.zeros_like(above)
    for v, u in rng.uniform(60, SIDE - 60, (6, 2)):
        down, across = rng.uniform(30, 80, 2)
        ellipses |= ((y - v) / down) ** 2 + ((x - u) / across) ** 2 < 1
    middle = SIDE / 2
    return {
        "pixels above Otsu's threshold": above,
        "pixels below it": ~above,
        "ellipses": ellipses,
        "all but ellipses": ~ellipses,
        "a half plane": np.cos(seed) * (y - middle) + np.sin(seed) * (x - middle) > 0,
        "a disc": np.hypot(y - middle, x - middle) < 0.45 * SIDE,
        "strips of 40 pixels": (x // 40) % 2 == 0,
    }


def planes(seed: int) -> Iterator[tuple[float, NDArray[np.uint16]]]:
    """Give images of three specimens and two exposures at levels 0 to 10."""
    shape = (SIDE + 2 * MARGIN, SIDE + 2 * MARGIN)
    for light in (nuclei(shape, 70, seed), filaments(shape, 60, seed), nuclei(shape, 15, seed)):
        for level in range(0, 11, 2):
            distance = float(TRAINING_OPTICS.defocus_um(level * BLUR_PX_PER_LEVEL))
            inner = slice(MARGIN, -MARGIN)
            blurred = defocus(light, psf(TRAINING_OPTICS, distance))[inner, inner]
            photons = PHOTONS[level // 2 % 2]
            plane = Camera().expose(photons * (np.maximum(blurred, 0) + 0.05), seed + level)
            yield level, plane.astype(np.uint16)


def measure(model: FocusModel) -> Iterator[Figure]:
    """Measure each image whole and by each mask."""
    found: Dict[str, List[tuple[float, FocusResult, FocusResult]]] = {}
    for seed in SEEDS:
        for level, plane in planes(seed):
            whole = measure_focus(plane, model)
            for name, mask in masks_of(plane, seed).items():
                masked = measure_focus(plane, model, mask=mask)
                found.setdefault(name, []).append((level, whole, masked))
    for name, results in found.items():
        judged = [one for one in results if one[2].status != "no_content"]
        lower = sum(m.expected_level < w.expected_level - LOWER for _, w, m in judged)
        false = sum(level >= FAR and m.status == "in_focus" for level, _, m in judged)
        sharp = [m for level, w, m in results if w.status == "in_focus"]
        stay = sum(m.status == "in_focus" for m in sharp)
        yield Figure(
            f"masks, {name}: with content; lower than unmasked by over {LOWER:g}; in focus at "
            f"level {FAR:g} and more; sharp ones in focus",
            f"{len(judged)} of {len(results)}; {lower}; {false}; {stay} of {len(sharp)}",
            "none lower, none in focus",
            lower == 0 and false == 0,
        )


def main() -> int:
    argparse.ArgumentParser(prog="python -m benchmarks.masks", description=__doc__).parse_args()
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    return 0 if print_rows(measure(FocusModel.from_pretrained())) else 1


if __name__ == "__main__":
    sys.exit(main())
