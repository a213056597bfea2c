"""Images of blurred noise with labels, which say how sharp each is."""

import csv

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter

# Standard deviations of the blur in pixels, and what a rater says of it.
SHARPEST, BLUREST = 0.3, 3.0


def score_of(blur):
    return round(1 - 0.3 * blur, 2)


def image(blur, seed, side):
    noise = np.random.default_rng(seed).standard_normal((side, side))
    field = gaussian_filter(noise, np.hypot(1, blur), mode="wrap")
    return np.clip(128 + 40 * field / field.std(), 0, 255).astype(np.uint8)


def write(folder, *, groups=4, each=12, side=96):
    """Write images in folders ``animal0`` ..., and their table ``labels.csv``; give its path."""
    rng = np.random.default_rng(0)
    rows = []
    for group in range(groups):
        (folder / f"animal{group}").mkdir(parents=True)
        for number in range(each):
            blur = rng.uniform(SHARPEST, BLUREST)
            name = f"animal{group}/s{number:02}.tif"
            tifffile.imwrite(folder / name, image(blur, (group, number), side))
            rows.append({"image": name, "score": score_of(blur)})
    return table(folder / "labels.csv", rows)


def table(path, rows):
    """Write a table of labels with the columns of its first row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
