"""The networks that this project trains, as lists of layers.

A layer is a mapping in the wording of ``model.json``; training adds ``batch_norm`` to a layer and
``dropout`` layers, which the export folds away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from microscope_quality.errors import SettingsError
from microscope_quality.optics import N_LEVELS

Layer = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How an architecture is trained unless told otherwise.

    Attributes
    ----------
    steps, batch_size : int
        Optimiser steps and patches a step.
    learning_rate : float
        Adam's learning rate; the peak of the schedule when that decays.
    cosine_decay : bool
        Decay to zero along a cosine after a short warm-up, instead of a constant rate.
    """

    steps: int
    batch_size: int
    learning_rate: float
    cosine_decay: bool


@dataclass(frozen=True)
class Architecture:
    """A network to train: its layers, what goes into it, and its recipe."""

    name: str
    normalisation: str
    layers: tuple[Layer, ...]
    recipe: Recipe
    patch_size: int = 84


def _conv(name: str, filters: int, size: int, stride: int, batch_norm: bool) -> Layer:
    return {
        "kind": "conv2d",
        "name": name,
        "filters": filters,
        "size": size,
        "stride": stride,
        "activation": "relu",
        "batch_norm": batch_norm,
    }


def _dense(name: str, units: int, activation: str) -> Layer:
    return {"kind": "dense", "name": name, "units": units, "activation": activation}


COMPACT = Architecture(
    name="compact",
    normalisation="zscore",
    layers=(
        # 84 = 3·2·2·7, so that each stride divides its grid.
        _conv("conv1", 32, 6, 3, batch_norm=True),
        _conv("conv2", 64, 3, 2, batch_norm=True),
        _conv("conv3", 96, 3, 2, batch_norm=True),
        _conv("conv4", 96, 3, 1, batch_norm=True),
        {"kind": "mean_max_pool"},
        _dense("dense1", 64, "relu"),
        _dense("probabilities", N_LEVELS, "softmax"),
    ),
    recipe=Recipe(steps=24_000, batch_size=128, learning_rate=2e-3, cosine_decay=True),
)

# S. J. Yang et al., BMC Bioinformatics 19:77 (2018): two convolutions of 5 × 5 with max-pooling,
# a dense layer of 1024 units, dropout, softmax; Adam at 5e-6, batches of 64, a million steps.
YANG2018 = Architecture(
    name="yang2018",
    normalisation="type_range",
    layers=(
        _conv("conv1", 32, 5, 1, batch_norm=False),
        {"kind": "max_pool", "size": 2},
        _conv("conv2", 64, 5, 1, batch_norm=False),
        {"kind": "max_pool", "size": 2},
        {"kind": "flatten"},
        _dense("dense1", 1024, "relu"),
        {"kind": "dropout", "rate": 0.5},
        _dense("probabilities", N_LEVELS, "softmax"),
    ),
    recipe=Recipe(steps=1_000_000, batch_size=64, learning_rate=5e-6, cosine_decay=False),
)

ARCHITECTURES = {architecture.name: architecture for architecture in (COMPACT, YANG2018)}


def get_architecture(name: str) -> Architecture:
    """Give the architecture of that name.

    Raises
    ------
    SettingsError
        If there is none; the message lists those there are.
    """
    if name not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise SettingsError(f"There is no architecture {name!r}; there are: {known}.")
    return ARCHITECTURES[name]
