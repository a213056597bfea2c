"""Simulated specimens that sharp images of cells have too few of: points, beads, round nuclei."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from microscope_quality.simulate import filaments, nuclei
from microscope_quality.training.defocus.exposure import log_uniform

FloatArray = npt.NDArray[np.float32]

# In the area of a patch.
POINTS = (1.0, 100.0)


def points(rng: np.random.Generator, side: int, patch_size: int) -> FloatArray:
    """Draw a field of points, or of beads, as sharp as no lens shows them.

    Spots of FISH, vesicles, colloids, beads and dense texture: 1 to 100 on the area of a patch, all
    alike or of a hundred brightnesses, scattered or in clusters, alone or over the dim haze of a
    cell.

    Parameters
    ----------
    rng : Generator
    side : int
        Of the field, in pixels.
    patch_size : int
        Of the area that the number of points is for.

    Returns
    -------
    ndarray of float32, shape (side, side)
        Light: about 1 and more on a point, in focus.
    """
    count = max(1, round(log_uniform(rng, *POINTS) * (side / patch_size) ** 2))
    y, x = rng.uniform(0, side - 1, size=(2, count))
    if rng.random() < 0.3:
        centres = rng.uniform(0, side - 1, size=(2, max(1, count // int(rng.integers(3, 12)))))
        chosen = rng.integers(centres.shape[1], size=count)
        spread = log_uniform(rng, 4, 20)
        y, x = np.clip(centres[:, chosen] + rng.normal(0, spread, (2, count)), 0, side - 1)
    brightness = np.exp(rng.normal(0, rng.choice([0.1, 0.5, 1.0]), count))
    light = np.zeros((side + 1, side + 1), np.float32)
    rows, columns = y.astype(np.intp), x.astype(np.intp)
    down, right = y - rows, x - columns
    for row, part_y in ((rows, 1 - down), (rows + 1, down)):
        for column, part_x in ((columns, 1 - right), (columns + 1, right)):
            np.add.at(light, (row, column), brightness * part_y * part_x)
    light = light[:side, :side]
    if rng.random() < 0.35:
        radius = rng.uniform(1.0, 6.0)
        reach = int(radius) + 2
        distance = np.hypot(*np.ogrid[-reach : reach + 1, -reach : reach + 1])
        bead = np.clip(radius + 0.5 - distance, 0, 1)
        light = scipy.ndimage.convolve(light, bead.astype(np.float32), mode="constant")
    else:
        deviation = rng.uniform(0.4, 1.4)
        light = scipy.ndimage.gaussian_filter(light, deviation, mode="constant")
        light *= np.float32(2 * np.pi * deviation**2)
    if rng.random() < 0.4:
        haze = scipy.ndimage.gaussian_filter(
            rng.standard_normal((side // 8 + 1,) * 2, dtype=np.float32), rng.uniform(2, 8)
        )
        haze = np.maximum(haze / max(float(haze.std()), 1e-9), 0)
        haze = scipy.ndimage.zoom(haze, 8, order=1)[:side, :side]
        light = light + np.float32(rng.uniform(0.02, 0.3)) * haze
    found: FloatArray = light.astype(np.float32)
    return found


def cells(rng: np.random.Generator, side: int, patch_size: int) -> FloatArray:
    """Draw a field of round nuclei, or of filaments, as sharp as no lens shows them.

    Among them discs as wide as the blur of a point: not each of these is one.

    Nuclei of 8 to 60 px, with chromatin as sharp as can be, softer, or without any.

    Parameters
    ----------
    rng : Generator
    side : int
        Of the field, in pixels.
    patch_size : int
        Of the area that the number of nuclei is for.

    Returns
    -------
    ndarray of float32, shape (side, side)
        Light: about 1 on bright objects.
    """
    seed, shape = int(rng.integers(2**31)), (side, side)
    area = (side / patch_size) ** 2
    if rng.random() < 0.2:
        light = filaments(shape, int(area * rng.uniform(3, 15)), seed, width_px=rng.uniform(1, 3))
    else:
        smallest = log_uniform(rng, 8, 36)
        largest = smallest * rng.uniform(1.1, 1.8)
        count = max(2, int(area * rng.uniform(0.1, 0.6) * (patch_size / largest) ** 2))
        light = nuclei(shape, min(count, 150), seed, diameter_px=(smallest, largest))
    chosen = rng.random()
    if chosen < 0.25:
        light = scipy.ndimage.median_filter(light, 5)
    elif chosen < 0.6:
        light = scipy.ndimage.gaussian_filter(light, rng.uniform(0.4, 1.3))
    found: FloatArray = light.astype(np.float32)
    return found
