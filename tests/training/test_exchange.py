"""Exported networks: the same numbers in ONNX Runtime as in Keras and NumPy."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from microscope_quality.errors import (
    FileError,
    ImageError,
    MissingLibraryError,
    ModelError,
    SettingsError,
)
from microscope_quality.model import (
    KERAS_FILE,
    FocusModel,
    ModelDescription,
    find_model,
    read_description,
    write_folder,
)
from microscope_quality.normalisation import zscore
from microscope_quality.rating.networks import NETWORKS
from microscope_quality.rating.published import ONNX_FILE, PublishedRater, verify_published

keras = pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="needs pip install 'microscope-quality[onnx]'"
)
from microscope_quality.training.exchange import export_onnx  # noqa: E402

pytestmark = pytest.mark.training

# Of a side in pixels that each can take, and few more.
SIZES = {name: max(32, network.least_patch_size) for name, network in NETWORKS.items()}
SIZE = SIZES["miqa"]


def randomised(name, seed=0):
    """A network whose normalisations do something, with scores well within 0 and 1."""
    keras.utils.set_random_seed(seed)
    network = NETWORKS[name].build(SIZES[name])
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([rng.uniform(0.5, 1.5, one.shape) for one in layer.get_weights()])
    last = network.layers[-1]
    kernel, bias = last.get_weights()
    scores = np.asarray(network(patches(8, 5, SIZES[name]), training=False))
    if name != "sted":
        last.set_weights(
            [kernel * 0.1 / scores.std(), bias + 0.5 - 0.1 * scores.mean() / scores.std()]
        )
    return network


def patches(number, seed=1, size=SIZE):
    return np.random.default_rng(seed).standard_normal((number, size, size), dtype=np.float32)


def written(folder, name, tmp_path):
    """A model folder of a randomised network."""
    network = randomised(name)
    network.save(tmp_path / KERAS_FILE)
    description = ModelDescription(
        name="test",
        task="rating",
        architecture=name,
        patch_size=SIZES[name],
        normalisation="zscore",
        details={"outputs": ["score"]},
        layers=(),
    )
    write_folder(folder, description, KERAS_FILE, (tmp_path / KERAS_FILE).read_bytes())
    return network


@pytest.fixture
def miqa(tmp_path):
    folder = tmp_path / "miqa"
    written(folder, "miqa", tmp_path)
    return folder


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_published_network_rates_alike_in_keras_and_onnx_runtime(name, tmp_path):
    folder = tmp_path / "model"
    network = written(folder, name, tmp_path)
    assert export_onnx(folder, folder / ONNX_FILE) <= 1e-5
    seen = (patches(5, 1, SIZES[name]) * 30 + 100).clip(0, 255).astype(np.uint8)
    expected = np.clip(np.asarray(network(zscore(seen)[0], training=False))[:, 0], 0, 1)
    assert expected.std() > 1e-4
    for engine in ("keras", "onnx"):
        rater = PublishedRater.from_folder(folder, engine=engine)
        assert rater.engine == engine
        np.testing.assert_allclose(rater.predict(seen), expected, atol=1e-5)
    assert PublishedRater.from_folder(folder).engine == "onnx"
    one_thread = PublishedRater.from_folder(folder, threads=1)
    np.testing.assert_allclose(one_thread.predict(seen), expected, atol=1e-5)


def test_a_model_of_focus_gives_the_same_probabilities(tmp_path):
    path = tmp_path / "compact.onnx"
    export_onnx(find_model("compact"), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    model = FocusModel.from_pretrained("compact")
    size = model.description.patch_size
    seen = np.random.default_rng(0).standard_normal((7, size, size)).astype(np.float32)
    (found,) = session.run(None, {"patches": zscore(seen)[0]})
    np.testing.assert_allclose(found, model.predict(seen), atol=1e-5)
    told = session.get_modelmeta().custom_metadata_map
    assert told["weights_sha256"] == model.description.sha256
    assert (told["task"], told["normalisation"], told["patch_size"]) == (
        "focus",
        "zscore",
        str(size),
    )


def test_constant_patches_have_no_score_and_others_keep_theirs(miqa):
    rater = PublishedRater.from_folder(miqa)
    seen = patches(3)
    alone = rater.predict(seen[[0, 2]])
    seen[1] = 7
    found = rater.predict(seen)
    assert np.isnan(found[1])
    np.testing.assert_allclose(found[[0, 2]], alone, atol=1e-6)
    assert rater.predict(seen[:0]).shape == (0,)
    for wrong in (seen[:, :-1], seen[0], seen + np.nan):
        with pytest.raises(ImageError):
            rater.predict(wrong)


def test_an_export_of_other_weights_is_not_run(miqa, tmp_path):
    export_onnx(miqa, miqa / ONNX_FILE)
    network = randomised("miqa", seed=3)
    network.save(tmp_path / KERAS_FILE)
    kept = (miqa / ONNX_FILE).read_bytes()
    write_folder(miqa, read_description(miqa), KERAS_FILE, (tmp_path / KERAS_FILE).read_bytes())
    # Of a folder that is written anew nothing stays.
    assert not (miqa / ONNX_FILE).exists()
    (miqa / ONNX_FILE).write_bytes(kept)
    with pytest.raises(ModelError, match="made of other weights.* export the model again"):
        PublishedRater.from_folder(miqa, engine="onnx")
    export_onnx(miqa, miqa / ONNX_FILE)
    found = PublishedRater.from_folder(miqa, engine="onnx").predict(patches(2))
    np.testing.assert_allclose(
        found, PublishedRater.from_folder(miqa, engine="keras").predict(patches(2)), atol=1e-5
    )


def test_an_export_that_fails_leaves_the_older_file(miqa, monkeypatch):
    path = miqa / ONNX_FILE
    path.write_bytes(b"older")
    monkeypatch.setattr("microscope_quality.training.exchange.MOST_DIFFERENCE", -1.0)
    with pytest.raises(ModelError, match="other numbers in ONNX Runtime than in Keras"):
        export_onnx(miqa, path)
    assert path.read_bytes() == b"older"
    assert sorted(one.name for one in miqa.iterdir()) == ["model.json", KERAS_FILE, ONNX_FILE]
    with pytest.raises(FileError, match="cannot be written"):
        export_onnx(miqa, miqa / "model.json" / "x.onnx")


def test_what_runs_on_numpy_alone_is_not_exported(tmp_path, miqa):
    text = json.loads((miqa / "model.json").read_text("utf-8"))
    (miqa / "model.json").write_text(json.dumps({**text, "architecture": "spectral"}), "utf-8")
    with pytest.raises(ModelError, match="test runs on NumPy alone"):
        export_onnx(miqa, tmp_path / "x.onnx")
    with pytest.raises(ModelError, match="it must be rating, and one of dcnn_iqa_14, miqa"):
        PublishedRater.from_folder(miqa)


@pytest.mark.parametrize(
    ("library", "engine", "said"),
    [
        ("keras", "keras", r"takes Keras and TensorFlow.*\[train\].*ONNX Runtime.*\[onnx\]"),
        ("onnxruntime", "onnx", r"takes ONNX Runtime.*\[onnx\]"),
    ],
)
def test_what_is_missing_is_named(miqa, monkeypatch, library, engine, said):
    export_onnx(miqa, miqa / ONNX_FILE)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingLibraryError, match=said):
        PublishedRater.from_folder(miqa, engine=engine)
    # The other one does.
    other = {"keras": "onnx", "onnx": "keras"}[engine]
    assert PublishedRater.from_folder(miqa).engine == other


def test_a_damaged_folder_is_told_of(miqa, tmp_path):
    path = miqa / KERAS_FILE
    content = path.read_bytes()
    path.write_bytes(content[:-7] + b"damaged")
    with pytest.raises(ModelError, match="wrong checksum"):
        verify_published(miqa)
    path.unlink()
    with pytest.raises(ModelError, match=r"is damaged: model\.keras is missing"):
        PublishedRater.from_folder(miqa)
    with pytest.raises(ModelError, match=r"has no model\.onnx"):
        PublishedRater.from_folder(miqa, engine="onnx")
    (miqa / ONNX_FILE).write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"model\.onnx cannot be read"):
        PublishedRater.from_folder(miqa)
    with pytest.raises(SettingsError, match="engine must be 'keras' or 'onnx', not 'torch'"):
        PublishedRater.from_folder(miqa, engine="torch")
    description = replace(read_description(miqa), patch_size=3)
    write_folder(miqa, description, KERAS_FILE, content)
    with pytest.raises(ModelError, match="patch_size must be 4 or more for miqa"):
        PublishedRater.from_folder(miqa)
    # Weights of another network, whose checksum is right.
    write_folder(
        miqa, replace(description, patch_size=64, architecture="sted"), KERAS_FILE, content
    )
    with pytest.raises(ModelError, match="holds no weights of sted"):
        PublishedRater.from_folder(miqa)
