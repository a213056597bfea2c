"""Drawn electron micrographs whose faults are known: borders of cells in grain."""

import numpy as np
from scipy.ndimage import gaussian_filter


def micrograph(shape=(300, 420), seed=1, blur=(0, 0), noise=0.0, kind=np.uint8):
    """Draw one; `blur` is the deviation down and across in pixels, `noise` over the detail's."""
    rng = np.random.default_rng(seed)
    ground = gaussian_filter(rng.normal(size=shape), 14)
    grain = gaussian_filter(rng.normal(size=shape), 0.8)
    # Borders of one to three pixels, where the ground changes its sign.
    steepness = np.hypot(*np.gradient(ground))
    borders = np.exp(-((ground / (1.5 * steepness + 1e-9)) ** 2))
    light = gaussian_filter(0.5 * grain / grain.std() - 3 * borders, (0.7, 0.7))
    detail = light.std()
    light = gaussian_filter(light, blur) + noise * detail * rng.normal(size=shape)
    largest = np.iinfo(kind).max
    return np.clip(np.rint(largest * (0.6 + 0.12 * light / detail)), 0, largest).astype(kind)
