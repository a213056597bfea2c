"""Fit a rater to sets of descriptors and outputs: a perceptron that tells its own spread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microscope_quality.components import DIAGONAL, OUTPUTS
from microscope_quality.descriptors import N_DESCRIPTORS, mirrored
from microscope_quality.training.architectures import Layer
from microscope_quality.training.export import Weights
from microscope_quality.training.rating.sets import RatingSet

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

#: Units of the hidden layers.
UNITS = (192, 96, 64)
_BATCH = 256
_LEARNING_RATE = 2e-3
# Deviation of noise that is added to standardised descriptors.
_NOISE = 0.05
# The logarithm of a spread, over that of the outputs, is within these.
_LEAST_LOG, _MOST_LOG = -5.0, 3.0
_LEAST_DEVIATION = 1e-3
# Of a normal distribution, what is within one deviation.
_WITHIN = 0.6827


class FittedRater(NamedTuple):
    """A perceptron as a model folder has it, and the validation loss after each epoch."""

    layers: list[Layer]
    weights: Weights
    losses: list[float]


def fit_rater(
    training: RatingSet,
    validation: RatingSet,
    *,
    epochs: int = 60,
    seed: int = 0,
    told: Callable[[int, float], None] | None = None,
) -> FittedRater:
    """Fit a rater; the epoch with the least loss on validation is kept.

    Each patch is seen with its mirror image. The loss is the negative log-likelihood of Laplace
    distributions, whose scales the rater gives beside their means.

    Parameters
    ----------
    training, validation : RatingSet
        Of different tissues, or sections that are no neighbours.
    epochs : int
        Passes through the training set; the learning rate falls to 0 as a cosine.
    seed : int
    told : callable, optional
        Is told the number of each epoch and its loss on validation.
    """
    import keras
    from keras import layers, ops

    keras.utils.set_random_seed(seed)
    seen, wanted = _with_mirrored(training)
    centre, scale = seen.mean(axis=0), seen.std(axis=0) + _LEAST_DEVIATION
    # Cells without a coefficient give one number for all patches: scaled up, it would cost digits.
    scale[scale < 2 * _LEAST_DEVIATION] = 1
    middle, deviation = wanted.mean(axis=0), wanted.std(axis=0) + _LEAST_DEVIATION
    k = len(OUTPUTS)

    def loss(y: Any, p: Any) -> Any:
        logs = ops.clip(p[:, k:], _LEAST_LOG, _MOST_LOG)
        return ops.mean(ops.abs(y - p[:, :k]) * ops.exp(-logs) + logs)

    model = keras.Sequential(
        [
            layers.Input((N_DESCRIPTORS,)),
            layers.GaussianNoise(_NOISE),
            *(layers.Dense(units, "relu", name=f"dense_{units}") for units in UNITS),
            layers.Dense(2 * k, name="outputs"),
        ]
    )
    steps = epochs * max(len(seen) // _BATCH, 1)
    rate = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)
    model.compile(keras.optimizers.Adam(rate), loss)
    held = _with_mirrored(validation)
    losses: list[float] = []
    best: list[Any] = []

    def after(epoch: int, logs: dict[str, float] | None = None) -> None:
        losses.append(float((logs or {})["val_loss"]))
        if losses[-1] == min(losses):
            best[:] = model.get_weights()
        if told is not None:
            told(epoch + 1, losses[-1])

    model.fit(
        (seen - centre) / scale,
        (wanted - middle) / deviation,
        batch_size=_BATCH,
        epochs=epochs,
        verbose=0,
        validation_data=((held[0] - centre) / scale, (held[1] - middle) / deviation),
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=after)],
    )
    model.set_weights(best)
    names = [f"dense_{units}" for units in UNITS]
    made: list[Layer] = [{"kind": "descriptors"}]
    weights: Weights = {}
    for name in (*names, "outputs"):
        kernel, bias = (np.asarray(one, np.float64) for one in model.get_layer(name).get_weights())
        if name == names[0]:
            # What standardises the descriptors is part of the first layer.
            bias = bias - (centre / scale) @ kernel
            kernel = kernel / scale[:, np.newaxis]
        if name == "outputs":
            kernel[:, :k] *= deviation
            bias = np.concatenate([bias[:k] * deviation + middle, bias[k:] + np.log(deviation)])
        units = kernel.shape[1]
        activation = "linear" if name == "outputs" else "relu"
        made.append({"kind": "dense", "name": name, "units": units, "activation": activation})
        weights[f"{name}/kernel"] = kernel.astype(np.float32)
        weights[f"{name}/bias"] = bias.astype(np.float32)
    return FittedRater(made, weights, losses)


def spread_factors(errors: Float64Array, spreads: Float64Array) -> list[float]:
    """Give what spreads are to be multiplied by, so that 68 % of the errors are within them.

    Parameters
    ----------
    errors, spreads : (n, k) array
        Of patches that training has not seen; spreads as the network gives them.
    """
    ratios = np.abs(errors) / np.maximum(spreads, 1e-9)
    return [float(one) for one in np.quantile(ratios, _WITHIN, axis=0)]


def shared_errors(errors: Sequence[Float64Array], spreads: Sequence[Float64Array]) -> list[float]:
    """Give the share of the errors' variance that patches of an image have in common.

    Parameters
    ----------
    errors, spreads : sequence of (n, k) arrays
        Of the patches of one image each, two at least; spreads multiplied by their factors.

    Returns
    -------
    list of k floats
        0 to 1; the intraclass correlation of the errors over their spreads, by the analysis of
        variance of one way.
    """
    scaled = [one / np.maximum(spread, 1e-9) for one, spread in zip(errors, spreads)]
    scaled = [np.clip(one, -5, 5) for one in scaled if len(one) > 1]
    within = np.mean([one.var(axis=0, ddof=1) for one in scaled], axis=0)
    number = float(np.mean([len(one) for one in scaled]))
    between = np.var([one.mean(axis=0) for one in scaled], axis=0, ddof=1)
    between += np.mean([one.mean(axis=0) for one in scaled], axis=0) ** 2
    shared = np.maximum(between - within / number, 0)
    return [float(one) for one in shared / np.maximum(shared + within, 1e-12)]


def _with_mirrored(of: RatingSet) -> tuple[Float32Array, Float32Array]:
    turned = of.outputs.copy()
    turned[:, DIAGONAL] *= -1
    seen = np.concatenate([of.descriptors, mirrored(of.descriptors)])
    return seen, np.concatenate([of.outputs, turned])
