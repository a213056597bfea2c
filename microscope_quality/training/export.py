"""From a trained network to a model folder that NumPy runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality.training.architectures import Layer

Weights = dict[str, npt.NDArray[np.float32]]


def fold(
    layers: Sequence[Layer], weights: Mapping[str, npt.NDArray[Any]]
) -> tuple[list[Layer], Weights]:
    """Fold each batch normalisation into its layer's kernel and bias, and drop the dropout.

    Parameters
    ----------
    layers : sequence of dict
        As trained; a layer with ``batch_norm`` normalises before its activation.
    weights : mapping
        ``<layer>/kernel``, ``<layer>/bias``, and for batch normalisation ``<layer>/gamma``,
        ``beta``, ``mean``, ``variance`` of shape (filters,) and the scalar ``epsilon``.

    Returns
    -------
    layers, weights
        In the wording of ``model.json``; float32.
    """
    folded_layers: list[Layer] = []
    folded: Weights = {}
    for layer in layers:
        if layer["kind"] == "dropout":
            continue
        plain = {key: value for key, value in layer.items() if key != "batch_norm"}
        folded_layers.append(plain)
        if "name" not in layer:
            continue
        name = layer["name"]
        kernel = np.asarray(weights[f"{name}/kernel"], dtype=np.float64)
        bias = np.asarray(weights[f"{name}/bias"], dtype=np.float64)
        if layer.get("batch_norm"):
            gamma, beta, mean, variance, epsilon = (
                np.asarray(weights[f"{name}/{part}"], dtype=np.float64)
                for part in ("gamma", "beta", "mean", "variance", "epsilon")
            )
            scale = gamma / np.sqrt(variance + epsilon)
            kernel = kernel * scale
            bias = (bias - mean) * scale + beta
        folded[f"{name}/kernel"] = kernel.astype(np.float32)
        folded[f"{name}/bias"] = bias.astype(np.float32)
    return folded_layers, folded
