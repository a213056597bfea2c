"""The NumPy network against a naive convolution, hand computation and Keras."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate2d

from microscope_quality.errors import ModelError
from microscope_quality.network import Network, planned, same_padding

COMPACT = [
    {
        "kind": "conv2d",
        "name": "conv1",
        "filters": 8,
        "size": 5,
        "stride": 2,
        "activation": "relu",
    },
    {
        "kind": "conv2d",
        "name": "conv2",
        "filters": 12,
        "size": 3,
        "stride": 2,
        "activation": "relu",
    },
    {
        "kind": "conv2d",
        "name": "conv3",
        "filters": 16,
        "size": 3,
        "stride": 1,
        "activation": "relu",
    },
    {"kind": "mean_max_pool"},
    {"kind": "dense", "name": "dense1", "units": 10, "activation": "relu"},
    {"kind": "dense", "name": "dense2", "units": 11, "activation": "softmax"},
]
YANG = [
    {
        "kind": "conv2d",
        "name": "conv1",
        "filters": 4,
        "size": 5,
        "stride": 1,
        "activation": "relu",
    },
    {"kind": "max_pool", "size": 2},
    {
        "kind": "conv2d",
        "name": "conv2",
        "filters": 6,
        "size": 5,
        "stride": 1,
        "activation": "relu",
    },
    {"kind": "max_pool", "size": 2},
    {"kind": "flatten"},
    {"kind": "dense", "name": "dense1", "units": 20, "activation": "relu"},
    {"kind": "dense", "name": "dense2", "units": 11, "activation": "softmax"},
]


def random_weights(layers, patch_size, seed=0):
    """Weights of the shapes that the layers need, and a non-trivial bias."""
    rng = np.random.default_rng(seed)
    weights, side, channels, features = {}, patch_size, 1, None
    for layer in layers:
        if layer["kind"] == "conv2d":
            shape = (layer["size"], layer["size"], channels, layer["filters"])
            side, channels = -(-side // layer["stride"]), layer["filters"]
        elif layer["kind"] == "dense":
            shape = (features, layer["units"])
            features = layer["units"]
        else:
            if layer["kind"] == "max_pool":
                side //= layer["size"]
            elif layer["kind"] == "flatten":
                features = side * side * channels
            else:
                features = 2 * channels
            continue
        fan_in = np.prod(shape[:-1])
        weights[f"{layer['name']}/kernel"] = rng.normal(0, np.sqrt(2 / fan_in), shape)
        weights[f"{layer['name']}/bias"] = rng.normal(0, 0.2, shape[-1])
    return {key: value.astype(np.float32) for key, value in weights.items()}


def padded_like_tensorflow(image, size, stride):
    """Zero padding of TensorFlow's 'same': as much as the last window needs, more of it after."""
    paddings = []
    for length in image.shape[:2]:
        overhang = length % stride or stride
        total = max(size - overhang, 0)
        paddings.append((total // 2, total - total // 2))
    return np.pad(image, [*paddings, (0, 0)])


def naive(layers, weights, patch):
    """One patch through the layers, in float64, one filter and one channel at a time."""
    x = patch.astype(np.float64)[..., np.newaxis]
    for layer in layers:
        kind = layer["kind"]
        if kind in ("conv2d", "dense"):
            kernel = weights[f"{layer['name']}/kernel"].astype(np.float64)
            bias = weights[f"{layer['name']}/bias"].astype(np.float64)
        if kind == "conv2d":
            padded = padded_like_tensorflow(x, layer["size"], layer["stride"])
            maps = []
            for f in range(layer["filters"]):
                total = sum(
                    correlate2d(padded[..., c], kernel[..., c, f], "valid")
                    for c in range(x.shape[-1])
                )
                maps.append(total[:: layer["stride"], :: layer["stride"]] + bias[f])
            x = np.stack(maps, axis=-1)
        elif kind == "dense":
            x = np.array([sum(x * kernel[:, u]) + bias[u] for u in range(layer["units"])])
        elif kind == "max_pool":
            s = layer["size"]
            rows, columns = x.shape[0] // s, x.shape[1] // s
            x = np.array(
                [
                    [
                        x[i * s : (i + 1) * s, j * s : (j + 1) * s].max(axis=(0, 1))
                        for j in range(columns)
                    ]
                    for i in range(rows)
                ]
            )
        elif kind == "flatten":
            x = x.ravel()
        else:
            x = np.concatenate([x.mean(axis=(0, 1)), x.max(axis=(0, 1))])
        if layer.get("activation") == "relu":
            x = np.where(x > 0, x, 0)
        elif layer.get("activation") == "softmax":
            x = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
    return x


@pytest.mark.parametrize("layers", [COMPACT, YANG], ids=["compact", "yang2018"])
@pytest.mark.parametrize("patch_size", [20, 21, 22, 23])
def test_agrees_with_naive_convolutions(layers, patch_size):
    weights = random_weights(layers, patch_size)
    patches = np.random.default_rng(1).normal(size=(3, patch_size, patch_size)).astype(np.float32)
    expected = [naive(layers, weights, patch) for patch in patches]
    found = Network(layers, weights, patch_size)(patches)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    patch_size=st.integers(1, 13),
    size=st.integers(1, 6),
    stride=st.integers(1, 4),
    filters=st.integers(1, 3),
    activation=st.sampled_from(["relu", "linear", "softmax"]),
    seed=st.integers(0, 1000),
)
def test_two_convolutions_of_any_size_and_stride(
    patch_size, size, stride, filters, activation, seed
):
    conv = {"kind": "conv2d", "size": size, "stride": stride}
    layers = [
        {**conv, "name": "a", "filters": filters, "activation": activation},
        {**conv, "name": "b", "filters": 2, "activation": "linear"},
        {"kind": "flatten"},
    ]
    weights = random_weights(layers, patch_size, seed)
    patches = np.random.default_rng(seed).normal(size=(2, patch_size, patch_size))
    expected = [naive(layers, weights, patch) for patch in patches]
    found = Network(layers, weights, patch_size)(patches.astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("length", "size", "stride", "expected"),
    [
        (84, 5, 2, (1, 2, 42)),
        (42, 3, 2, (0, 1, 21)),
        (21, 3, 2, (1, 1, 11)),
        (84, 5, 1, (2, 2, 84)),
        (5, 1, 3, (0, 0, 2)),
        (5, 2, 1, (0, 1, 5)),
    ],
)
def test_same_padding_as_tensorflow_states_it(length, size, stride, expected):
    assert same_padding(length, size, stride) == expected


@pytest.mark.training
def test_agrees_with_keras():
    keras = pytest.importorskip("keras")
    patches = np.random.default_rng(2).normal(size=(5, 84, 84)).astype(np.float32)
    for layers in (COMPACT, YANG):
        weights = random_weights(layers, 84)
        image = keras.Input((84, 84, 1))
        x = image
        for layer in layers:
            if layer["kind"] == "conv2d":
                x = keras.layers.Conv2D(
                    layer["filters"],
                    layer["size"],
                    strides=layer["stride"],
                    padding="same",
                    activation=layer["activation"],
                    name=layer["name"],
                )(x)
            elif layer["kind"] == "dense":
                x = keras.layers.Dense(
                    layer["units"], activation=layer["activation"], name=layer["name"]
                )(x)
            elif layer["kind"] == "max_pool":
                x = keras.layers.MaxPooling2D(layer["size"])(x)
            elif layer["kind"] == "flatten":
                x = keras.layers.Flatten()(x)
            else:
                means = keras.layers.GlobalAveragePooling2D()(x)
                maxima = keras.layers.GlobalMaxPooling2D()(x)
                x = keras.layers.Concatenate()([means, maxima])
        model = keras.Model(image, x)
        for layer in layers:
            if "name" in layer:
                name = layer["name"]
                parts = [weights[f"{name}/kernel"], weights[f"{name}/bias"]]
                model.get_layer(name).set_weights(parts)
        expected = np.asarray(model(patches[..., np.newaxis]))
        np.testing.assert_allclose(Network(layers, weights, 84)(patches), expected, atol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 2, 50, 601])
def test_any_number_of_patches_gives_each_its_own_result(n):
    network = Network(COMPACT, random_weights(COMPACT, 20), 20)
    patches = np.random.default_rng(3).normal(size=(n, 20, 20)).astype(np.float32)
    found = network(patches)
    assert found.shape == (n, 11)
    for k in {0, n // 2, n - 1} if n else ():
        np.testing.assert_allclose(found[k : k + 1], network(patches[k : k + 1]), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_threads_do_not_disturb_each_other():
    network = Network(COMPACT, random_weights(COMPACT, 20), 20)
    rng = np.random.default_rng(4)
    batches = [rng.normal(size=(300, 20, 20)).astype(np.float32) for _ in range(8)]
    alone = [network(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(network, batches))
    for a, b in zip(alone, together):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_patches_and_weights_are_left_as_they_were():
    weights = random_weights(COMPACT, 20)
    copies = {key: value.copy() for key, value in weights.items()}
    patches = np.random.default_rng(5).normal(size=(4, 20, 20)).astype(np.float32)
    before = patches.copy()
    Network(COMPACT, weights, 20)(patches)
    np.testing.assert_array_equal(patches, before)
    for key, value in weights.items():
        np.testing.assert_array_equal(value, copies[key])


def with_layer(index, **entries):
    layers = [dict(layer) for layer in COMPACT]
    layers[index].update(entries)
    return layers


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([{"kind": "lstm", "units": 3}], "layer 1 is of the unknown kind 'lstm'"),
        ([{"kind": "dropout", "rate": 0.5}], "unknown kind 'dropout'"),
        ([{"units": 3}], "unknown kind None"),
        ([{"kind": []}], r"unknown kind \[\]"),
        (with_layer(0, batch_norm=True), "batch_norm"),
        (with_layer(0, activation="swish"), "unknown activation 'swish'"),
        (with_layer(0, name=7), "name must be a text"),
        (with_layer(1, stride=0), "stride must be a whole number from 1 to 1024, not 0"),
        (with_layer(1, filters=2.5), "filters must be a whole number, not 2.5"),
        (with_layer(1, size=True), "size must be a whole number, not True"),
        (with_layer(1, name="conv1"), "two layers have the name 'conv1'"),
        (with_layer(1, size=5), "'conv2/kernel' have the shape"),
        (COMPACT[:3], "not a vector"),
        (COMPACT[4:], "layer 1 .dense. cannot take"),
        ([*COMPACT[:4], {"kind": "flatten"}], "layer 5 .flatten. cannot take"),
        ([*COMPACT[:3], {"kind": "max_pool", "size": 6}], "max_pool of 6 does not fit into 5 x 5"),
        (COMPACT[:-1], "No layer uses the weights dense2/bias, dense2/kernel"),
        ([], "not a vector"),
    ],
)
def test_refuses_layers_that_do_not_fit(layers, words):
    with pytest.raises(ModelError, match="(?i)" + words):
        Network(layers, random_weights(COMPACT, 20), 20)


def test_refuses_weights_that_do_not_fit():
    weights = random_weights(COMPACT, 20)
    nan = weights["conv1/bias"].copy()
    nan[0] = np.nan
    for changed, words in (
        ({"conv1/bias": nan}, "finite"),
        ({"conv1/bias": np.zeros(8, np.int32)}, "finite floats"),
        ({"dense1/kernel": np.zeros((3, 10), np.float32)}, "have the shape"),
        ({"extra": nan}, "No layer uses the weights extra"),
    ):
        with pytest.raises(ModelError, match=words):
            Network(COMPACT, {**weights, **changed}, 20)
    del weights["dense2/bias"]
    with pytest.raises(ModelError, match="lack 'dense2/bias'"):
        Network(COMPACT, weights, 20)


@pytest.mark.parametrize("shape", [(20, 20), (1, 20, 21), (1, 20, 20, 1)])
def test_refuses_patches_of_another_shape(shape):
    network = Network(COMPACT, random_weights(COMPACT, 20), 20)
    with pytest.raises(ModelError, match=r"Patches must be \(n, 20, 20\)"):
        network(np.zeros(shape, np.float32))


@pytest.mark.parametrize("layers", [COMPACT, YANG])
def test_calls_of_other_sizes_and_from_other_threads_do_not_disturb_each_other(layers):
    network = Network(layers, random_weights(layers, 28, 3), 28)
    rng = np.random.default_rng(3)
    batches = [rng.normal(size=(n, 28, 28)).astype(np.float32) for n in (1, 7, 3, 7, 300, 2)]
    alone = [np.concatenate([network(patch[np.newaxis]) for patch in batch]) for batch in batches]
    first = network(batches[1])
    kept = first.copy()
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(network, batches * 4))
    for found, expected in zip(together, alone * 4):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    # What an earlier call gave is not written over.
    np.testing.assert_array_equal(first, kept)


CONV = {"kind": "conv2d", "filters": 4, "size": 3, "stride": 1, "activation": "relu"}
DENSE = {"kind": "dense", "units": 11, "activation": "softmax"}


@pytest.mark.parametrize(
    ("layers", "patch_size", "words"),
    [
        (COMPACT, 10**9, "patch_size must be a whole number from 1 to 1024, not 1000000000"),
        (COMPACT, 0, "patch_size must be"),
        (COMPACT, 84.0, "patch_size must be a whole number, not 84.0"),
        (with_layer(0, filters=10**9), 84, r"Layer 1 \(conv2d\): filters must be .* 1 to 16384"),
        (with_layer(0, size=10**6), 84, "Layer 1 .*size must be a whole number from 1 to 128"),
        (with_layer(0, stride=10**9), 84, "Layer 1 .*stride must be"),
        (with_layer(4 + 1, units=10**9), 84, "Layer 6 .*units must be .* 1 to 65536"),
        ([{"kind": "max_pool", "size": 10**9}], 84, "Layer 1 .*size must be"),
        ([{**CONV, "name": str(k)} for k in range(101)], 84, "at most 100 layers, not 101"),
        (
            [{**CONV, "name": "a", "filters": 2**14, "size": 128}],
            84,
            "layer 1 .* has .* parameters; at most 268435456|memory for a patch; at most 67108864",
        ),
        (
            [{**CONV, "name": "a"}, {**CONV, "name": "b", "size": 5}],
            1024,
            "layer 2 .*values in memory for a patch; at most 67108864",
        ),
        (
            [{**CONV, "name": str(k), "filters": 20} for k in range(100)],
            84,
            "layer .* values in memory for a patch",
        ),
        (
            [{**CONV, "name": "a", "size": 60}, {**CONV, "name": "b", "size": 60}],
            64,
            "layer 2 .* values in memory for a patch",
        ),
        (
            [
                {**CONV, "name": "a", "filters": 2**11, "size": 1},
                {**CONV, "name": "b", "filters": 2**13, "size": 1},
            ],
            40,
            "multiplications for a patch; at most 10000000000",
        ),
        (
            [{**CONV, "name": "a", "filters": 40, "size": 1}, {"kind": "flatten"}],
            84,
            "values in its vector; at most 131072",
        ),
    ],
)
def test_refuses_what_would_take_all_memory_or_time(layers, patch_size, words):
    """Before any weights are there, and at once."""
    with pytest.raises(ModelError, match="(?i)" + words):
        planned(layers, patch_size)


@pytest.mark.parametrize("patch_size", [84, 128])
def test_the_largest_architecture_is_within_the_bounds(patch_size):
    layers = [
        {**CONV, "name": "conv1", "filters": 32, "size": 5},
        {"kind": "max_pool", "size": 2},
        {**CONV, "name": "conv2", "filters": 64, "size": 5},
        {"kind": "max_pool", "size": 2},
        {"kind": "flatten"},
        {**DENSE, "name": "dense1", "units": 1024, "activation": "relu"},
        {**DENSE, "name": "probabilities"},
    ]
    steps = planned(layers, patch_size)
    if patch_size == 84:
        parameters = sum(np.prod(s.kernel) + s.kernel[-1] for s in steps if s.kernel is not None)
        assert parameters == 28_965_771  # Yang et al. (2018)


def test_a_chunk_of_patches_takes_bounded_memory():
    layers = [{**CONV, "name": str(k), "filters": 1, "size": 1} for k in range(99)]
    layers += [{"kind": "mean_max_pool"}]
    network = Network(layers, random_weights(layers, 64), 64)
    held = sum(step.held for step in planned(layers, 64))
    assert 4 * held * network._chunk <= 2**28


@pytest.mark.parametrize("activation", ["relu", "linear"])
@pytest.mark.parametrize("gain", [1e3, 1e6, 1e9, 1e12])
def test_weights_that_load_give_finite_values_for_any_patch(gain, activation):
    """Whatever the patch: the largest values are tried that the worst one can bring forth."""
    layers = with_layer(0, activation=activation)
    weights = random_weights(layers, 20)
    weights = {key: np.float32(gain) * np.abs(value) for key, value in weights.items()}
    # A patch of mean 0 and deviation 1 has no value beyond its side's length.
    patches = np.stack([sign * np.full((20, 20), 20, np.float32) for sign in (1, -1)])
    try:
        network = Network(layers, weights, 20)
    except ModelError as error:
        assert "are too large" in str(error)
        assert gain > 1e3
    else:
        assert np.isfinite(network(patches)).all()
        assert gain < 1e12


@pytest.mark.parametrize("part", ["conv2/kernel", "conv2/bias", "dense2/kernel", "dense2/bias"])
@pytest.mark.parametrize("value", [3e38, -3e38, np.inf, np.nan, 1e300])
def test_one_weight_that_float32_cannot_bear_is_refused(part, value):
    weights = {key: array.astype(np.float64) for key, array in random_weights(COMPACT, 20).items()}
    weights[part].flat[-1] = value
    with pytest.raises(ModelError, match="conv2|dense2"):
        Network(COMPACT, weights, 20)


def test_means_over_a_patch_cannot_overflow():
    layers = [{**CONV, "name": "a", "filters": 1, "size": 1}, {"kind": "mean_max_pool"}]
    weights = {"a/kernel": np.full((1, 1, 1, 1), 1e34), "a/bias": np.zeros(1)}
    with pytest.raises(ModelError, match=r"sums of mean_max_pool may reach 4\.39e\+39"):
        Network(layers, weights, 76)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_patches_that_bring_forth_no_numbers_are_refused(value):
    network = Network(COMPACT, random_weights(COMPACT, 20), 20)
    patches = np.zeros((3, 20, 20), np.float32)
    patches[1] = value
    with pytest.raises(ModelError, match="values that are not finite; patches must be finite"):
        network(patches)
