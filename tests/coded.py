"""Patches that state their level outright, and the model that reads it off them.

A patch with a fraction f of bright pixels has its normalised maximum at sqrt((1 - f) / f); the
model turns that less 2 into a level. A patch with a single dark pixel has its normalised minimum
at -84; the model has no opinion then. So a test can lay out a plane patch by patch and knows what
must come of it.
"""

import numpy as np

from microscope_quality.model import FOCUS, FocusTask, ModelDescription, write_model
from microscope_quality.optics import TRAINING_OPTICS

PATCH = 84
LEVELS = 11
SURE = 0.3
# Log-odds of a level against its neighbours, for a patch that states it exactly.
STEEPNESS = 4.0

# Planes of each status, as `plane` takes them.
FOCUSED = [[0, 1], [1, 0]]
BLURRED = [[8, 8], [8, 8]]
MIXED = [[0, 0, 9, 9]] * 3
EMPTY = [[None, None]] * 2

LAYERS = [
    {
        "kind": "conv2d",
        "name": "signs",
        "filters": 2,
        "size": 1,
        "stride": 1,
        "activation": "linear",
    },
    {"kind": "mean_max_pool"},
    {"kind": "dense", "name": "gate", "units": LEVELS, "activation": "relu"},
    {"kind": "dense", "name": "levels", "units": LEVELS, "activation": "softmax"},
]


def weights():
    k = np.arange(LEVELS)
    gate = np.zeros((4, LEVELS))
    # -s (u - k)² without u², which softmax does not see; u is the maximum less 2.
    gate[2] = 2 * STEEPNESS * k
    gate[3] = -40
    bias = -STEEPNESS * k**2 - 4 * STEEPNESS * k + 800.0
    arrays = {
        "signs/kernel": np.array([1.0, -1.0]).reshape(1, 1, 1, 2),
        "signs/bias": np.zeros(2),
        "gate/kernel": gate,
        "gate/bias": bias,
        "levels/kernel": np.eye(LEVELS),
        "levels/bias": np.zeros(LEVELS),
    }
    return {key: value.astype(np.float32) for key, value in arrays.items()}


def description(**changes):
    entries = {
        "name": "coded",
        "task": FOCUS,
        "architecture": "coded",
        "patch_size": PATCH,
        "normalisation": "zscore",
        "layers": tuple(LAYERS),
        "training": {"images": ["a.tif"]},
        "licences": ("none: made by hand",),
    }
    of_focus = {"levels": LEVELS, "optics": TRAINING_OPTICS, "sure_certainty": SURE}
    of_focus.update((key, changes.pop(key)) for key in of_focus if key in changes)
    return ModelDescription(**{"details": FocusTask(**of_focus), **entries, **changes})


def write(folder, **changes):
    return write_model(folder, description(**changes), weights())


def write_of_another_task(folder, **changes):
    """Write a model that gives a score from 0 to 1, with an entry of its own."""
    layers = ({"kind": "flatten"}, {"kind": "dense", "name": "d", "units": 1, "activation": "relu"})
    entries = {
        "name": "toy",
        "task": "score",
        "architecture": "toy",
        "patch_size": 4,
        "normalisation": "zscore",
        "details": {"good": "up"},
        "layers": layers,
    }
    weights = {"d/kernel": np.ones((16, 1)), "d/bias": np.zeros(1)}
    return write_model(folder, ModelDescription(**{**entries, **changes}), weights)


def patch(level, seed=0):
    """A patch of the level, dark 100 and bright 200, its bright pixels at random places."""
    if level is None:
        values = np.full(PATCH * PATCH, 200)
        values[0] = 100
    else:
        bright = round(PATCH * PATCH / (1 + (2 + level) ** 2))
        values = np.full(PATCH * PATCH, 100)
        values[:bright] = 200
    return np.random.default_rng(seed).permutation(values).reshape(PATCH, PATCH).astype(np.uint16)


def plane(levels):
    """A plane of patches whose levels are given row by row; None is a patch without content."""
    rows = [
        np.hstack([patch(level, 100 * i + j) for j, level in enumerate(row)])
        for i, row in enumerate(levels)
    ]
    return np.vstack(rows)
