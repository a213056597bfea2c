"""The networks that this project trains, as lists of layers.

A layer is a mapping in the wording of ``model.json``; training adds ``batch_norm`` to a layer and
``dropout`` layers, which the export folds away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from microscope_quality.errors import SettingsError
from microscope_quality.optics import N_LEVELS

Layer = dict[str, Any]

# Pixels on a side.
PATCH_SIZE = 84


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
    steps_per_image, least_steps : int
        Fewer images need fewer steps: so many for each training image, from ``least_steps`` to
        ``steps``. 0: always ``steps``.
    patience : int
        Epochs of 250 steps without a lower validation score after which to stop; 0 never does. A
        decaying rate gives its best at its end, so that stopping before would lose it.
    replays : int
        How often each patch of the stream is used; see :func:`.blocks.replayed`.
    """

    steps: int
    batch_size: int
    learning_rate: float
    cosine_decay: bool
    steps_per_image: int = 0
    least_steps: int = 0
    patience: int = 0
    replays: int = 1

    def steps_for(self, images: int) -> int:
        """Give the steps for a number of training images."""
        if not self.steps_per_image:
            return self.steps
        return min(self.steps, max(self.least_steps, self.steps_per_image * images))


@dataclass(frozen=True)
class Architecture:
    """A network to train: its layers, what goes into it, and its recipe."""

    name: str
    normalisation: str
    layers: tuple[Layer, ...]
    recipe: Recipe
    patch_size: int = PATCH_SIZE


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


def _zscored(
    name: str, filters: Sequence[int], size: int, stride: int, units: int = 64
) -> Architecture:
    """Strided convolutions, the mean and maximum of what they find, and a dense layer.

    The last convolution keeps its grid: on a smaller one the zeros around it would outweigh what
    it sees. A unit of it sees 64 pixels or more, twice the blur of level 10.
    """
    sizes = (size, 3, 3, 3)
    strides = (stride, 2, 2, 1)
    return Architecture(
        name=name,
        normalisation="zscore",
        layers=(
            *(
                _conv(f"conv{number}", *shape, batch_norm=True)
                for number, shape in enumerate(zip(filters, sizes, strides), start=1)
            ),
            {"kind": "mean_max_pool"},
            _dense("dense1", units, "relu"),
            _dense("probabilities", N_LEVELS, "softmax"),
        ),
        recipe=Recipe(
            steps=36_000,
            batch_size=128,
            learning_rate=2e-3,
            cosine_decay=True,
            steps_per_image=100,
            least_steps=6_000,
            replays=4,
        ),
    )


SMALL = _zscored("small", (16, 32, 48, 64), 8, 4)
COMPACT = _zscored("compact", (28, 56, 96, 112), 8, 4, units=96)
LARGE = _zscored("large", (32, 64, 96, 96), 6, 3)

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
    recipe=Recipe(
        steps=1_000_000, batch_size=64, learning_rate=5e-6, cosine_decay=False, patience=100
    ),
)

ARCHITECTURES = {
    architecture.name: architecture for architecture in (COMPACT, SMALL, LARGE, YANG2018)
}


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


def fine_tuned(
    name: str, normalisation: str, patch_size: int, layers: Sequence[Layer]
) -> Architecture:
    """Give the network of a finished model, to be trained on.

    Its batch normalisation lies in its weights, and stays there: a network that normalised anew
    would predict otherwise from the first step on. The dropout that training needs and a model
    folder leaves out comes back where the architecture is known. The rate is a tenth of the
    architecture's and the steps a quarter, as little is to be learned and much could be lost.

    Parameters
    ----------
    name, normalisation, patch_size, layers
        As ``model.json`` has them.
    """
    known = ARCHITECTURES.get(name)
    recipe = COMPACT.recipe if known is None else known.recipe
    plain = tuple(dict(layer) for layer in layers)
    if known is not None:
        trained = tuple({k: v for k, v in x.items() if k != "batch_norm"} for x in known.layers)
        if tuple(layer for layer in trained if layer["kind"] != "dropout") == plain:
            plain = trained
    return Architecture(
        name=name,
        normalisation=normalisation,
        layers=plain,
        recipe=replace(
            recipe,
            steps=recipe.steps // 4,
            steps_per_image=recipe.steps_per_image // 4,
            least_steps=recipe.least_steps // 4,
            learning_rate=recipe.learning_rate / 10,
        ),
        patch_size=patch_size,
    )
