"""Patches that state their score outright, and the rater that reads it off them.

A patch of blobs, with a fraction f of bright pixels, has its normalised maximum at
sqrt((1 - f) / f); the rater turns 1 to 4 into a score of 0.1 to 1, and says that the worse it is,
the more it is blurred. So a test can lay out a plane patch by patch and knows what must come of it.
"""

import math

import numpy as np
from scipy.ndimage import gaussian_filter

from microscope_quality.components import BLUR, NOISE, OUTPUTS, SCORE
from microscope_quality.model import ModelDescription, write_model
from microscope_quality.rater import RATING, RatingTask

PATCH = 256
#: Standard deviations of the errors that it states, of a score from 0 to 1.
SPREAD = 0.03
#: Octaves of blur of the worst score.
WORST_BLUR = 3.0
NOISE_STATED = 0.1

LAYERS = (
    {
        "kind": "conv2d",
        "name": "same",
        "filters": 1,
        "size": 1,
        "stride": 1,
        "activation": "linear",
    },
    {"kind": "mean_max_pool"},
    {"kind": "dense", "name": "outputs", "units": 2 * len(OUTPUTS), "activation": "linear"},
)


def weights():
    kernel = np.zeros((2, 2 * len(OUTPUTS)))
    bias = np.zeros(2 * len(OUTPUTS))
    # The maximum stands behind the mean.
    kernel[1, SCORE], bias[SCORE] = 1 / 3, -1 / 3
    kernel[1, BLUR], bias[BLUR] = -WORST_BLUR / 3, WORST_BLUR * 4 / 3
    bias[NOISE] = math.log10(NOISE_STATED)
    bias[len(OUTPUTS) :] = math.log(SPREAD)
    arrays = {
        "same/kernel": np.ones((1, 1, 1, 1)),
        "same/bias": np.zeros(1),
        "outputs/kernel": kernel,
        "outputs/bias": bias,
    }
    return {key: value.astype(np.float32) for key, value in arrays.items()}


def description(**changes):
    entries = {
        "name": "coded rater",
        "task": RATING,
        "architecture": "coded",
        "patch_size": PATCH,
        "normalisation": "zscore",
        "details": RatingTask((1.0,) * 7, (0.3,) * 7).to_dict(),
        "layers": LAYERS,
        "training": {"images": ["a.tif"]},
        "licences": ("none: made by hand",),
    }
    return ModelDescription(**{**entries, **changes})


def write(folder, **changes):
    return write_model(folder, description(**changes), weights())


def patch(score, seed=0):
    """A patch of a score, dark 10,000 and bright 20,000; None is one without structure."""
    rng = np.random.default_rng(seed)
    if score is None:
        return rng.integers(9000, 11001, (PATCH, PATCH)).astype(np.uint16)
    field = gaussian_filter(rng.normal(size=(PATCH, PATCH)), 6, mode="wrap")
    highest = 1 + 3 * (score - 0.1) / 0.9
    bright = round(field.size / (1 + highest**2))
    values = np.full(field.size, 10_000)
    values[np.argsort(field, axis=None)[field.size - bright :]] = 20_000
    # Spread a little, since values that pile up are those of a saturated camera.
    return (values + rng.integers(0, 16, field.size)).reshape(field.shape).astype(np.uint16)


def plane(scores):
    """A plane of patches whose scores are given row by row."""
    return np.vstack(
        [
            np.hstack([patch(score, 100 * i + j) for j, score in enumerate(row)])
            for i, row in enumerate(scores)
        ]
    )
