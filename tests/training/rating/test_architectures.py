"""The published networks have the layers and numbers of weights that their sources tell."""

import numpy as np
import pytest

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.rating.networks import NETWORKS, get_network
from microscope_quality.training.rating.architectures import (
    ARCHITECTURES,
    RECIPES,
    TRUNK,
    Stage,
    load_imagenet,
    recipe_of,
)


def built(name, size):
    pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
    return get_network(name).build(size)


def of_kind(network, kind):
    return [layer for layer in network.layers if type(layer).__name__ == kind]


@pytest.mark.training
def test_qen_is_resnet50_with_layers_of_512_10_and_1():
    network = built("qen", 512)
    assert network.input_shape == (None, 512, 512)
    assert network.get_layer(TRUNK).count_params() == 23_587_712
    dense = of_kind(network, "Dense")
    assert [(one.units, one.activation.__name__) for one in dense] == [
        (512, "relu"),
        (10, "relu"),
        (1, "linear"),
    ]
    head = 2048 * 512 + 512 + 512 * 10 + 10 + 10 + 1
    assert network.count_params() == 23_587_712 + head == 24_641_941
    # 49 convolutions on the way, and 4 beside it.
    assert len(of_kind(network.get_layer(TRUNK), "Conv2D")) == 49 + 4


@pytest.mark.training
def test_dcnn_iqa_14_has_14_convolutions_and_2_down_samplings():
    network = built("dcnn_iqa_14", 32)
    assert len(of_kind(network, "Conv2D")) == 14
    assert len(of_kind(network, "MaxPooling2D")) == 2
    assert [one.units for one in of_kind(network, "Dense")] == [128, 1]
    convolutions = [(1, 32), *[(32, 32)] * 3, (32, 64), *[(64, 64)] * 4, (64, 128)]
    convolutions += [(128, 128)] * 4
    expected = sum(9 * a * b + b for a, b in convolutions) + 128 * 128 + 128 + 128 + 1
    assert network.count_params() == expected == 875_105


@pytest.mark.training
def test_miqa_judges_by_the_lowest_response_of_two_residual_blocks():
    import keras

    network = built("miqa", 32)
    assert len(of_kind(network, "Conv2D")) == 1 + 2 * 2
    assert len(of_kind(network, "MaxPooling2D")) == 1
    _, second = of_kind(network, "Add")
    pooled, hidden = of_kind(network, "Dense")[0].input, of_kind(network, "Dense")
    assert [one.units for one in hidden] == [64, 1]
    patches = np.random.default_rng(0).standard_normal((3, 32, 32), dtype=np.float32)
    summed, lowest = keras.Model(network.input, [second.output, pooled])(patches)
    np.testing.assert_allclose(lowest, np.asarray(summed).min(axis=(1, 2)), rtol=1e-6)
    # What is rectified has a minimum that tells nothing.
    assert np.asarray(lowest).all()


@pytest.mark.training
def test_sted_normalises_all_layers_but_the_first_and_pools_after_each_convolution():
    network = built("sted", 224)
    kinds = [type(layer).__name__ for layer in network.layers]
    normalised = ["Conv2D", "BatchNormalization", "Activation", "MaxPooling2D"]
    assert kinds == [
        *("InputLayer", "Reshape"),
        *("Conv2D", "Activation", "MaxPooling2D"),
        *normalised * 5,
        *("Flatten", "Dense", "BatchNormalization", "Activation", "Dense"),
    ]
    assert {one.activation.__name__ for one in of_kind(network, "Activation")} == {"elu"}
    assert [one.units for one in of_kind(network, "Dense")] == [512, 1]
    assert of_kind(network, "Dense")[1].activation.__name__ == "sigmoid"
    widths = [32, 64, 128, 192, 256, 320]
    convolutions = 9 * 32 + 32 + sum(9 * a * b + 4 * b for a, b in zip(widths, widths[1:]))
    dense = 3 * 3 * 320 * 512 + 4 * 512 + 512 + 1
    assert network.count_params() == convolutions + dense == 2_974_273


@pytest.mark.training
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_each_takes_its_smallest_patches(name):
    network = NETWORKS[name]
    size = network.least_patch_size
    assert ARCHITECTURES[name](size).output_shape == (None, 1)
    assert size <= network.patch_size


def test_qen_is_trained_in_two_stages_and_the_first_needs_weights_of_imagenet(tmp_path):
    qen = get_network("qen")
    told = recipe_of(qen, imagenet=tmp_path)
    assert told.stages == (Stage(10, 1e-4, (TRUNK,)), Stage(40, 1e-3))
    assert (told.optimiser, told.batch_size) == ("adam", 20)
    assert recipe_of(qen).stages == (Stage(40, 1e-3),)
    with pytest.raises(SettingsError, match="imagenet must be left out for miqa"):
        recipe_of(get_network("miqa"), imagenet=tmp_path)


def test_epochs_and_rates_keep_the_proportion_of_the_stages(tmp_path):
    fewer = recipe_of(get_network("qen"), imagenet=tmp_path, epochs=5, learning_rate=1e-4)
    assert [stage.epochs for stage in fewer.stages] == [1, 4]
    assert [stage.learning_rate for stage in fewer.stages] == pytest.approx([1e-5, 1e-4])
    one = recipe_of(get_network("qen"), imagenet=tmp_path, epochs=1)
    assert [stage.epochs for stage in one.stages] == [1]
    for name in RECIPES:
        assert recipe_of(get_network(name), epochs=7).epochs == 7


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"patience": -1}]
)
def test_a_recipe_that_cannot_be_is_refused(wrong):
    with pytest.raises(SettingsError, match=f"^{next(iter(wrong))} must be"):
        recipe_of(get_network("sted"), **wrong)


def test_a_network_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(SettingsError, match="there are: dcnn_iqa_14, miqa, qen, sted"):
        get_network("vgg")


@pytest.mark.training
@pytest.mark.parametrize("top", [False, True], ids=["without top", "with top"])
def test_weights_of_imagenet_come_from_a_file(tmp_path, top):
    import keras

    keras.utils.set_random_seed(1)
    shape = {} if top else {"input_shape": (64, 64, 3)}
    theirs = keras.applications.ResNet50(weights=None, include_top=top, **shape)
    path = tmp_path / "resnet50.weights.h5"
    theirs.save_weights(path)
    network = built("qen", 32)
    load_imagenet(network, path)
    expected = theirs.get_weights()[: len(network.get_layer(TRUNK).get_weights())]
    for ours, own in zip(network.get_layer(TRUNK).get_weights(), expected):
        np.testing.assert_array_equal(ours, own)


@pytest.mark.training
def test_other_files_are_no_weights_of_imagenet(tmp_path):
    network = built("qen", 32)
    other = tmp_path / "other.weights.h5"
    built("miqa", 32).save_weights(other)
    nothing = tmp_path / "nothing.h5"
    nothing.write_bytes(b"nothing")
    for path in (other, nothing):
        with pytest.raises(FileError, match=r"holds no weights of Keras' ResNet50"):
            load_imagenet(network, path)
    with pytest.raises(FileError, match="is no file"):
        load_imagenet(network, tmp_path / "missing.h5")
