"""Give a network more units without changing what it says, so that training goes on with more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality.errors import SettingsError
from microscope_quality.training.architectures import Layer

Array = npt.NDArray[Any]

# Over that of He et al. (2015): what is new is to be learned, not to shout.
_NEW_UNITS = 0.5


def widened(
    layers: Sequence[Layer], weights: Mapping[str, Array], wider: Sequence[Layer], *, seed: int = 0
) -> dict[str, Array]:
    """Give the weights of a wider network that predicts as a trained one does.

    The trained units keep their weights and hear nothing of the new ones. These begin at random,
    as K. He et al., ICCV 2015, propose, at half of the deviation.

    Parameters
    ----------
    layers : sequence of Layer
        The trained network's, without batch normalisation.
    weights : mapping of str to ndarray
        ``<layer>/kernel`` and ``<layer>/bias``.
    wider : sequence of Layer
        The same kinds in the same order, with as many units or more.
    seed : int
        Of the new units' weights.

    Returns
    -------
    dict of str to ndarray of float32

    Raises
    ------
    SettingsError
        If the networks differ in more than the number of units.
    """
    old, new = ([x for x in each if x["kind"] != "dropout"] for each in (layers, wider))
    if [_form(layer) for layer in old] != [_form(layer) for layer in new]:
        raise SettingsError("A wider network has the same layers, with more units.")
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    # Where the trained network's channels are among the wider one's.
    places, channels = np.arange(1), 1
    for layer, wide in zip(old, new):
        kind = layer["kind"]
        if kind == "mean_max_pool":
            places, channels = np.concatenate([places, places + channels]), 2 * channels
        if kind == "flatten" and len(places) < channels:
            raise SettingsError("A network whose convolutions are flattened cannot be widened.")
        if "name" not in layer:
            continue
        counts = "filters" if kind == "conv2d" else "units"
        units, more = int(layer[counts]), int(wide[counts])
        if more < units:
            raise SettingsError(f"{wide['name']} must have {units} units or more, not {more}.")
        kernel = np.asarray(weights[f"{layer['name']}/kernel"], np.float32)
        shape = (*kernel.shape[:-2], channels, more)
        inputs = int(np.prod(shape[:-1]))
        made = rng.standard_normal(shape, dtype=np.float32)
        made *= np.float32(_NEW_UNITS * np.sqrt(2 / inputs))
        made[..., :units] = 0
        made[..., places, :units] = kernel
        bias = np.zeros(more, np.float32)
        bias[:units] = weights[f"{layer['name']}/bias"]
        found[f"{wide['name']}/kernel"], found[f"{wide['name']}/bias"] = made, bias
        places, channels = np.arange(units), more
    return found


def _form(layer: Layer) -> dict[str, Any]:
    return {k: v for k, v in layer.items() if k not in ("filters", "units", "batch_norm")}
