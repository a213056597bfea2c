"""Make a network's probabilities as sure as it is right: one temperature for its softmax.

C. Guo et al., *On calibration of modern neural networks*, ICML 2017. Dividing what goes into the
softmax by a temperature leaves the most probable class as it is; here it goes into the weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality.errors import SettingsError
from microscope_quality.training.architectures import Layer

Array = npt.NDArray[Any]

COOLEST, HOTTEST = 0.5, 3.0
_LEAST = 1e-7


def temperature(probabilities: Array, targets: Array) -> float:
    """Find the temperature at which predictions have the lowest cross-entropy.

    Parameters
    ----------
    probabilities, targets : (n, k) arrays
        Of items that training did not see; targets are distributions too.

    Returns
    -------
    float
        0.5 to 3; above 1 when the network is surer than it is right. 1 without any item.
    """
    from scipy.optimize import minimize_scalar

    if not len(probabilities):
        return 1.0
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), _LEAST))

    def cross_entropy(logarithm: float) -> float:
        scaled = logits / math.exp(logarithm)
        scaled -= scaled.max(axis=1, keepdims=True)
        normaliser = np.log(np.exp(scaled).sum(axis=1))
        return float((normaliser - (targets * scaled).sum(axis=1)).mean())

    bounds = (math.log(COOLEST), math.log(HOTTEST))
    return math.exp(float(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x))


def tempered(
    layers: Sequence[Layer], weights: Mapping[str, Array], degrees: float
) -> dict[str, Array]:
    """Give weights with which the network's softmax has a temperature.

    Parameters
    ----------
    layers : sequence of Layer
        Of which the last one is dense, with a softmax.
    weights : mapping of str to ndarray
        ``<layer>/kernel`` and ``<layer>/bias``.
    degrees : float
        The temperature, above 0.

    Raises
    ------
    SettingsError
        If the last layer has no softmax.
    """
    last = layers[-1]
    if last["kind"] != "dense" or last["activation"] != "softmax":
        raise SettingsError("Only a network that ends in a softmax has a temperature.")
    found = dict(weights)
    for part in ("kernel", "bias"):
        key = f"{last['name']}/{part}"
        found[key] = (np.asarray(weights[key], np.float64) / degrees).astype(np.float32)
    return found
