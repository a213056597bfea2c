"""A lab's own score: what its raters would say, from what a rater sees of an image."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

import numpy as np
from numpy.typing import NDArray

from microscope_quality.arguments import as_entries, as_floats, as_number, as_numbers
from microscope_quality.components import OUTPUTS
from microscope_quality.concordance import LOWEST_SCORE
from microscope_quality.errors import ModelError

Float64Array = NDArray[np.float64]

_PARTS = ("centre", "scale", "hidden", "readout")


class OwnScore:
    """A score on top of a rater's outputs.

    It is ``readout · (1, z, tanh((1, z) · hidden))``, with z the outputs of a patch, less
    `centre`, over `scale`, clipped to ±4: a line, and bends that a ridge regression has chosen. It
    is linear in what it sees of a patch, so the score of an image is the mean of its patches'.

    Parameters
    ----------
    centre, scale : (7,) array
        Mean and standard deviation of the outputs.
    hidden : (8, h) array
        How the bends lie.
    readout : (8 + h,) array
        What each is worth.
    spread : float
        Standard deviation of the error of the score of what was labelled, cross-validated.

    Raises
    ------
    ModelError
        For arrays of other shapes.
    """

    def __init__(
        self,
        centre: Float64Array,
        scale: Float64Array,
        hidden: Float64Array,
        readout: Float64Array,
        spread: float,
    ) -> None:
        n = len(OUTPUTS)
        checked = [
            as_floats(name, value, low=-1e6, high=1e6, nan=False)
            for name, value in zip(_PARTS, (centre, scale, hidden, readout))
        ]
        self.centre, self.scale, self.hidden, self.readout = checked
        self.spread = as_number("spread", spread, 0, 1, error=ModelError)
        bends = self.hidden.shape[1] if self.hidden.ndim == 2 else 0
        wanted = ((n,), (n,), (n + 1, bends), (n + 1 + bends,))
        for name, array, shape in zip(_PARTS, checked, wanted):
            if array.shape != shape:
                raise ModelError(f"{name} must be of shape {shape}, not {array.shape}.")
        if not (self.scale > 0).all():
            raise ModelError("scale must be above 0.")

    @classmethod
    def from_model(cls, values: Mapping[str, Any], weights: Mapping[str, Any]) -> OwnScore:
        """Make it of what a model's folder has for it."""
        entries = as_entries("own_score", values, ["spread", "labels"], error=ModelError)
        arrays = as_entries(
            "Weights of own_score",
            weights,
            [f"rating/{one}" for one in _PARTS],
            error=ModelError,
        )
        centre, scale, hidden, readout = (
            as_numbers(name, arrays[name], error=ModelError).astype(np.float64) for name in arrays
        )
        return cls(centre, scale, hidden, readout, entries["spread"])

    def weights(self) -> Dict[str, NDArray[np.float32]]:
        """Give the arrays as a model's folder keeps them."""
        return {f"rating/{one}": getattr(self, one).astype(np.float32) for one in _PARTS}

    def of(self, outputs: Float64Array) -> Float64Array:
        """Give scores, 0.1 to 1, of the outputs (n, 7) of patches; NaN where they are."""
        seen = seen_by(outputs, self.centre, self.scale, self.hidden)
        return np.asarray(np.clip(seen @ self.readout, LOWEST_SCORE, 1))


def seen_by(
    outputs: Float64Array, centre: Float64Array, scale: Float64Array, hidden: Float64Array
) -> Float64Array:
    """Give what a score is linear in, (n, 8 + h), of the outputs (n, 7) of patches."""
    n = len(OUTPUTS)
    outputs = as_floats("outputs", outputs, shape=(None, n))
    centre, scale = (
        as_floats(name, one, shape=(n,), low=-1e6, high=1e6, nan=False)
        for name, one in (("centre", centre), ("scale", scale))
    )
    hidden = as_floats("hidden", hidden, shape=(n + 1, None), low=-1e6, high=1e6, nan=False)
    if not (scale > 0).all():
        raise ModelError("scale must be above 0.")
    with np.errstate(over="ignore"):
        z = np.clip((outputs - centre) / scale, -4, 4)
    line: Tuple[Float64Array, ...] = (np.ones((len(z), 1)), z)
    with_one = np.concatenate(line, axis=1)
    return np.concatenate([with_one, np.tanh(with_one @ hidden)], axis=1)
