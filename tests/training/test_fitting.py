"""Fitting: what is kept, when it stops, and that a killed training ends as one that was not."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import tifffile

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.network import Network
from microscope_quality.simulate import nuclei
from microscope_quality.training.architectures import COMPACT, YANG2018, Architecture, Recipe
from microscope_quality.training.export import fold
from microscope_quality.training.stream import SharpImage, StreamSettings

fitting = pytest.importorskip(
    "microscope_quality.training.fitting",
    reason="needs Keras and TensorFlow: pip install 'microscope-quality[train]'",
)

PATCH = 32
SETTINGS = StreamSettings(patch_size=PATCH)


def architecture(*, batch_norm, dropout=0.0, cosine_decay=False):
    """A network of a few thousand weights that has what a training must keep the state of."""
    convolution = {
        "kind": "conv2d",
        "name": "conv1",
        "filters": 8,
        "size": 4,
        "stride": 4,
        "activation": "relu",
        "batch_norm": batch_norm,
    }
    layers = [
        convolution,
        {"kind": "mean_max_pool"},
        {"kind": "dense", "name": "dense1", "units": 16, "activation": "relu"},
        {"kind": "dropout", "rate": dropout},
        {"kind": "dense", "name": "probabilities", "units": 11, "activation": "softmax"},
    ]
    recipe = Recipe(steps=10, batch_size=64, learning_rate=1e-2, cosine_decay=cosine_decay)
    return Architecture("tiny", "zscore", tuple(layers), recipe, patch_size=PATCH)


def sharp_images(folder):
    for seed in range(3):
        light = nuclei((140, 140), 12, seed)
        tifffile.imwrite(folder / f"{seed}.tif", (light * 3000 + 100).astype(np.uint16))
    return [SharpImage(str(folder / f"{seed}.tif"), field=str(seed)) for seed in range(3)]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return sharp_images(tmp_path_factory.mktemp("sharp"))


def fit(images, folder, net, *, steps, learning_rate=1e-2, **more):
    return fitting.fit(
        net,
        images[:2],
        images[2:],
        SETTINGS,
        folder,
        steps=steps,
        batch_size=64,
        learning_rate=learning_rate,
        workers=0,
        **more,
    )


# Run by itself as a script: a training that can be killed.
EPOCH, STEPS = 4, 60


def train_to_the_end(sharp, folder, progress=None):
    """Train with batch normalisation, dropout, a decaying rate, best weights."""
    net = architecture(batch_norm=True, dropout=0.3, cosine_decay=True)
    images = [SharpImage(str(path), field=path.name) for path in sorted(sharp.glob("*.tif"))]
    with patch.object(fitting, "STEPS_PER_EPOCH", EPOCH):
        return fit(images, folder, net, steps=STEPS, progress=progress)


def test_a_training_that_is_killed_ends_as_one_that_is_not(images, tmp_path, monkeypatch):
    sharp = Path(images[0].path).parent
    monkeypatch.setattr(fitting, "STEPS_PER_EPOCH", EPOCH)
    expected, whole = train_to_the_end(sharp, tmp_path / "whole")
    resumed_from = []
    for attempt in range(3):
        command = [sys.executable, __file__, str(sharp), str(tmp_path / "killed")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = iter(process.stdout)
        resumed_from.append(int(next(lines)))
        if attempt < 2:
            # Past a checkpoint, at any moment: in a step, a check or a write.
            for _ in range(random.randint(EPOCH + 2, 4 * EPOCH)):
                next(lines, None)
            time.sleep(random.uniform(0, 0.03))
            process.kill()
        process.stdout.read()
        process.wait()
        process.stdout.close()
    assert process.returncode == 0
    assert 0 == resumed_from[0] < resumed_from[1] < resumed_from[2] < STEPS
    model, progress = train_to_the_end(sharp, tmp_path / "killed")
    for ours, theirs in zip(model.get_weights(), expected.get_weights()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert progress.stages == whole.stages
    assert progress.best["step"] == whole.best["step"]
    speeds = {"patches_per_second": 0}
    ours, theirs = ([{**r, **speeds} for r in p.history] for p in (progress, whole))
    assert ours == [pytest.approx(record, rel=1e-3) for record in theirs]


def test_the_weights_of_the_lowest_validation_score_are_given(images, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "STEPS_PER_EPOCH", 2)
    # A rate far too high, so that the score goes up and down.
    net = architecture(batch_norm=False)
    model, progress = fit(images, tmp_path, net, steps=24, learning_rate=0.3)
    scores = [record["validation_rps"] for record in progress.history]
    assert scores[-1] > min(scores)
    patches, targets = fitting.validation_patches(images[2:], SETTINGS, 0)
    assert fitting.check(model, patches, targets)["validation_rps"] == min(scores)
    assert progress.best["step"] == 2 * (1 + scores.index(min(scores)))


def test_training_stops_when_the_score_falls_no_more(images, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "STEPS_PER_EPOCH", 2)
    net = architecture(batch_norm=False)
    # A rate so low that no weight changes.
    model, progress = fit(images, tmp_path, net, steps=40, learning_rate=1e-30, patience=3)
    assert [record["step"] for record in progress.history] == [2, 4, 6, 8]
    assert progress.best["step"] == 2
    again, same = fit(images, tmp_path, net, steps=40, learning_rate=1e-30, patience=3)
    assert same.history == progress.history
    for ours, theirs in zip(again.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(ours, theirs)


def test_scores_of_another_stage_do_not_count():
    progress = fitting.Progress()
    progress.enter({"seed": 0})
    progress.history += [{"step": 5, "validation_rps": 0.1}, {"step": 10, "validation_rps": 0.2}]
    assert progress.best["step"] == 5
    assert progress.epochs_since_best == 1
    progress.enter({"seed": 1})
    assert progress.best is None
    progress.history += [{"step": 15, "validation_rps": 0.4}, {"step": 20, "validation_rps": 0.4}]
    assert progress.best["step"] == 15


def test_a_training_goes_on_from_a_models_weights(images, tmp_path):
    net = architecture(batch_norm=True)
    model, _ = fit(images, tmp_path / "first", net, steps=4)
    layers, weights = fold(net.layers, fitting.weights_of(model, net))
    plain = Architecture("tiny", "zscore", tuple(layers), net.recipe, patch_size=PATCH)
    other = fitting.build(plain)
    fitting.start_from(other, plain, weights)
    patches, _ = fitting.validation_patches(images[2:], SETTINGS, 0, n_blocks=1)
    expected = Network(layers, weights, PATCH)(patches)
    np.testing.assert_allclose(fitting.predict(other, patches), expected, atol=1e-5)
    np.testing.assert_allclose(fitting.predict(model, patches), expected, atol=1e-4)


def test_weights_that_a_network_would_not_use_alike_are_refused(images, tmp_path):
    net = architecture(batch_norm=False)
    layers, weights = fold(net.layers, fitting.weights_of(fitting.build(net), net))
    other = [{**layer, "activation": "linear"} if "size" in layer else layer for layer in layers]
    plain, built = (
        Architecture("tiny", "zscore", tuple(chosen), net.recipe, patch_size=PATCH)
        for chosen in (layers, other)
    )
    with pytest.raises(SettingsError, match="does not predict as the model"):
        fitting.start_from(fitting.build(built), plain, weights)


def test_validation_patches_are_of_no_training_stream(images):
    settings = StreamSettings(patch_size=PATCH, empty_fraction=0.3)
    checked, _ = fitting.validation_patches(images, settings, 0)
    for seed, stream in ((0, 0), (0, fitting.WORKER_STREAM + 1), (1, 0)):
        batches = fitting._batches(images, settings, seed, stream, 256, 0, 0)
        # Of the blocks that were checked on, and those after.
        found = np.concatenate([next(batches)[0] for _ in range(16)])
        batches.close()
        known = {patch.tobytes() for patch in checked}
        assert known.isdisjoint(patch.tobytes() for patch in found)


def test_tensorboard_gets_the_curves(images, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "STEPS_PER_EPOCH", 2)
    net = architecture(batch_norm=False, cosine_decay=True)
    _, progress = fit(images, tmp_path, net, steps=4, tensorboard=True)
    import tensorflow as tf

    (file,) = (tmp_path / "logs").iterdir()
    found = {}
    for raw in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(raw.numpy())
        for value in event.summary.value:
            found.setdefault(event.step, {})[value.tag] = float(tf.make_ndarray(value.tensor))
    for record in progress.history:
        written = {"step": record["step"], **found[record["step"]]}
        assert written == pytest.approx(record, rel=1e-6)
    assert {"loss", "learning_rate", "validation_rps"} <= set(found[4])


def test_a_damaged_checkpoint_is_said(images, tmp_path):
    net = architecture(batch_norm=False)
    fit(images, tmp_path, net, steps=1)
    (tmp_path / "checkpoint-1.npz").write_bytes(b"PK")
    with pytest.raises(FileError, match=r"checkpoint-1\.npz: the state cannot be read"):
        fit(images, tmp_path, net, steps=2)


def test_a_training_goes_on_with_its_own_images_and_start_only(images, tmp_path):
    net = architecture(batch_norm=False)
    fit(images, tmp_path, net, steps=1)
    first = (tmp_path / fitting.PROGRESS).read_text()
    # Those held out would have been learned from.
    with pytest.raises(SettingsError, match="holds a training on other images"):
        fit(images[::-1], tmp_path, net, steps=2)
    with pytest.raises(SettingsError, match="holds a training with other images held out"):
        fit(images[:2], tmp_path, net, steps=2)
    with pytest.raises(SettingsError, match="holds a training from another start"):
        fit(images, tmp_path, net, steps=2, start_sha256="ab")
    assert (tmp_path / fitting.PROGRESS).read_text() == first
    # As written before the images were.
    old = json.loads(first)
    for key in ("training", "validation", "from"):
        del old[key]
    (tmp_path / fitting.PROGRESS).write_text(json.dumps(old))
    _, progress = fit(images, tmp_path, net, steps=2)
    assert progress.step == 2
    assert "training" in json.loads((tmp_path / fitting.PROGRESS).read_text())


def test_the_loss_is_the_ranked_probability_score():
    target = np.array([[1, 0, 0], [0, 0, 1]], dtype=np.float32)
    predicted = np.array([[0.5, 0.25, 0.25], [1, 0, 0]], dtype=np.float32)
    # Cumulative differences: -0.5, -0.25, 0; and 1, 1, 0.
    loss = np.asarray(fitting.ranked_probability_score(target, predicted))
    np.testing.assert_allclose(loss, [0.3125, 2.0], rtol=1e-6)


def test_few_images_take_fewer_steps():
    recipe = Recipe(24_000, 128, 1e-3, True, steps_per_image=100, least_steps=6_000)
    assert [recipe.steps_for(n) for n in (1, 85, 1000)] == [6_000, 8_500, 24_000]
    assert YANG2018.recipe.steps_for(10) == 1_000_000
    assert COMPACT.recipe.steps_for(1_000_000) == COMPACT.recipe.steps


if __name__ == "__main__":

    def tell(record):
        if "at" in record:
            print(record["at"], flush=True)

    checkpoint = Path(sys.argv[2]) / fitting.PROGRESS
    done = json.loads(checkpoint.read_text())["history"][-1]["step"] if checkpoint.exists() else 0
    print(done, flush=True)
    train_to_the_end(Path(sys.argv[1]), Path(sys.argv[2]), tell)
