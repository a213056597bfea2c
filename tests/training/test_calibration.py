"""A temperature that makes probabilities as sure as they are right."""

import numpy as np
import pytest

from microscope_quality.errors import SettingsError
from microscope_quality.model import find_model, read_model
from microscope_quality.network import Network
from microscope_quality.training.calibration import temperature, tempered


def drawn(rng, degrees):
    """Give classes that are drawn from a softmax, and that softmax at a temperature."""
    logits = rng.normal(0, 2, (20_000, 5))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = (true.cumsum(axis=1) > rng.random((len(true), 1))).argmax(axis=1)
    told = np.exp(logits / degrees)
    return told / told.sum(axis=1, keepdims=True), np.eye(5)[classes]


@pytest.mark.parametrize("degrees", [0.6, 1.0, 1.7])
def test_finds_by_how_much_a_network_is_too_sure(degrees):
    told, targets = drawn(np.random.default_rng(1), degrees)
    assert temperature(told, targets) == pytest.approx(1 / degrees, rel=0.04)


def test_nothing_to_learn_from_changes_nothing():
    assert temperature(np.zeros((0, 11)), np.zeros((0, 11))) == 1


def test_the_weights_hold_it():
    description, weights = read_model(find_model("compact"))
    layers = description.layers
    patches = np.random.default_rng(0).standard_normal((8, 84, 84), dtype=np.float32)
    plain = Network(layers, weights, 84)(patches).astype(float)
    found = Network(layers, tempered(layers, weights, 2.0), 84)(patches)
    expected = plain**0.5 / (plain**0.5).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_only_a_softmax_has_one():
    description, weights = read_model(find_model("compact"))
    with pytest.raises(SettingsError, match="softmax"):
        tempered(description.layers[:-1], weights, 2.0)
