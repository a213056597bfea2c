"""A wider network says what the one that it was made from says."""

import numpy as np
import pytest

from microscope_quality.errors import SettingsError
from microscope_quality.model import find_model, read_model
from microscope_quality.network import Network
from microscope_quality.training.widening import widened


def wider(layers, more):
    found = [dict(layer) for layer in layers]
    for layer in found[:-1]:
        for key in ("filters", "units"):
            if key in layer:
                layer[key] += more
    return found


def test_a_wider_network_predicts_the_same_and_has_new_units():
    description, weights = read_model(find_model("compact"))
    layers = description.layers
    wide = wider(layers, 8)
    found = widened(layers, weights, wide)
    patches = np.random.default_rng(0).standard_normal((8, 84, 84), dtype=np.float32)
    one, other = (Network(x, w, 84)(patches) for x, w in ((layers, weights), (wide, found)))
    np.testing.assert_allclose(one, other, atol=1e-5)
    first = layers[0]
    new_units = found[f"{first['name']}/kernel"][..., first["filters"] :]
    assert np.abs(new_units).min(axis=(0, 1, 2)).max() > 0


def test_other_networks_and_narrower_ones_are_refused():
    description, weights = read_model(find_model("compact"))
    layers = description.layers
    with pytest.raises(SettingsError, match="units or more"):
        widened(layers, weights, wider(layers, -4))
    with pytest.raises(SettingsError, match="same layers"):
        widened(layers, weights, layers[1:])
