"""Folding, fitting and the loss, against Keras and a hand computation."""

import numpy as np
import pytest

from microscope_quality.model import FOCUS, FocusModel, FocusTask, ModelDescription
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.training.architectures import ARCHITECTURES, get_architecture
from microscope_quality.training.export import fold

keras = pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
fitting = pytest.importorskip("microscope_quality.training.fitting")

pytestmark = pytest.mark.training


def _randomised(architecture):
    model = fitting.build(architecture)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        weights = [
            rng.uniform(0.5, 1.5, value.shape)
            if value.ndim == 1
            else value + 0.05 * rng.standard_normal(value.shape)
            for value in layer.get_weights()
        ]
        layer.set_weights(weights)
    return model


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_the_numpy_network_agrees_with_keras(name):
    architecture = get_architecture(name)
    network = _randomised(architecture)
    layers, weights = fold(architecture.layers, fitting.weights_of(network, architecture))
    description = ModelDescription(
        name="test",
        task=FOCUS,
        architecture=name,
        patch_size=84,
        normalisation="type_range",
        details=FocusTask(levels=11, optics=TRAINING_OPTICS, sure_certainty=0.2),
        layers=tuple(layers),
    )
    patches = np.random.default_rng(1).uniform(0, 1, (7, 84, 84)).astype(np.float32)
    expected = fitting.predict(network, patches)
    found = FocusModel(description, weights).predict(patches)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not any("batch_norm" in layer or layer["kind"] == "dropout" for layer in layers)


def test_yang2018_has_the_published_number_of_parameters():
    assert fitting.build(get_architecture("yang2018")).count_params() == 28_965_771
