"""Fitting: what is kept, when it stops, and that a killed training ends as one that was not."""

import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import tifffile

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.network import Network
from microscope_quality.simulate import nuclei
from microscope_quality.training.architectures import COMPACT, YANG2018, Architecture, Recipe
from microscope_quality.training.defocus.stream import SharpBlocks, SharpImage, StreamSettings
from microscope_quality.training.export import fold
from microscope_quality.training.state import write_arrays

fitting = pytest.importorskip(
    "microscope_quality.training.fitting",
    reason="needs Keras and TensorFlow: pip install 'microscope-quality[train]'",
)

pytestmark = pytest.mark.training

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


def defocus(training, validation, settings=SETTINGS):
    from microscope_quality.training.defocus.task import DefocusTask

    return DefocusTask(training, validation, settings, SharpBlocks)


def with_recipe(net, **recipe):
    return replace(net, recipe=replace(net.recipe, **recipe))


def fit(images, folder, net, *, steps, learning_rate=1e-2, patience=0, **more):
    net = with_recipe(net, steps=steps, learning_rate=learning_rate, patience=patience)
    return fitting.fit(defocus(images[:2], images[2:]), net, folder, workers=0, **more)


# Run by itself as a script: a training that can be killed.
EPOCH, STEPS = 4, 60


def train_to_the_end(sharp, folder, progress=lambda record: None):
    """Train with batch normalisation, dropout, a decaying rate, best weights."""
    net = architecture(batch_norm=True, dropout=0.3, cosine_decay=True)
    images = [SharpImage(str(path), field=path.name) for path in sorted(sharp.glob("*.tif"))]
    # Two epochs to a block: checkpoints lie at the ends of blocks, and within them.
    with patch.multiple(fitting, STEPS_PER_EPOCH=EPOCH, BLOCK_SIZE=512):
        return fit(images, folder, net, steps=STEPS, progress=progress)


def test_a_training_that_is_killed_ends_as_one_that_is_not(images, tmp_path):
    sharp = Path(images[0].path).parent
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
    monkeypatch.setattr(fitting, "BLOCK_SIZE", 256)
    monkeypatch.setattr(fitting, "STEPS_PER_EPOCH", 2)
    # A rate far too high, so that the score goes up and down.
    net = architecture(batch_norm=False)
    model, progress = fit(images, tmp_path, net, steps=24, learning_rate=0.3)
    scores = [record["validation_rps"] for record in progress.history]
    assert scores[-1] > min(scores)
    task = defocus(images[:2], images[2:])
    checked = fitting.check(task, model, *fitting.validation_patches(task, 0))
    assert checked["validation_rps"] == min(scores)
    assert progress.best["step"] == 2 * (1 + scores.index(min(scores)))


def test_training_stops_when_the_score_falls_no_more(images, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "BLOCK_SIZE", 256)
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


@pytest.mark.parametrize(("steps", "batch_size"), [(0, 64), (1, 0), (1, 3), (1, 2048)])
def test_steps_and_batches_that_cannot_be_are_refused(tmp_path, steps, batch_size):
    net = with_recipe(architecture(batch_norm=False), steps=steps, batch_size=batch_size)
    told = f"steps must be positive and batch_size divide 1024; they are {steps} and {batch_size}"
    with pytest.raises(SettingsError, match=told):
        fitting.fit(defocus([], []), net, tmp_path)


def test_scores_of_another_stage_do_not_count():
    progress = fitting.Progress("rps")
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
    patches, _ = fitting.validation_patches(defocus([], images[2:]), 0, n_blocks=1)
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


def test_validation_patches_are_of_no_training_stream(images, monkeypatch):
    monkeypatch.setattr(fitting, "BLOCK_SIZE", 256)
    task = defocus(images, images, StreamSettings(patch_size=PATCH, empty_fraction=0.3))
    checked, _ = fitting.validation_patches(task, 0)
    for seed, stream in ((0, 0), (0, fitting.WORKER_STREAM + 1), (1, 0)):
        batches = fitting._batches(task, seed, stream, 256, 0, 0, 1)
        # Of the blocks that were checked on, and those after.
        found = np.concatenate([next(batches)[0] for _ in range(8)])
        batches.close()
        known = {patch.tobytes() for patch in checked}
        assert known.isdisjoint(patch.tobytes() for patch in found)


def test_tensorboard_gets_the_curves(images, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "BLOCK_SIZE", 256)
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
    write_arrays(tmp_path / "checkpoint-1.npz", {"network/0": np.zeros(3)})
    with pytest.raises(FileError, match=r"checkpoint-1\.npz: is no state of this network"):
        fit(images, tmp_path, net, steps=2)


def test_a_training_goes_on_with_its_own_images_and_start_only(images, tmp_path):
    net = architecture(batch_norm=False)
    fit(images, tmp_path, net, steps=1)
    first = (tmp_path / fitting.PROGRESS).read_text()
    # This file is a script too, which other tests' modules are not there for.
    import coded

    other = replace(coded.description(), sha256="ab")
    # Those held out would have been learned from.
    with pytest.raises(SettingsError, match="holds a training on other images"):
        fit(images[::-1], tmp_path, net, steps=2)
    with pytest.raises(SettingsError, match="holds a training with other images held out"):
        fit(images[:2], tmp_path, net, steps=2)
    with pytest.raises(SettingsError, match="holds a training from another start"):
        fit(images, tmp_path, net, steps=2, start=(other, {}))
    assert (tmp_path / fitting.PROGRESS).read_text() == first
    # As written before the images were.
    old = json.loads(first)
    for key in ("training", "validation", "from"):
        del old[key]
    (tmp_path / fitting.PROGRESS).write_text(json.dumps(old))
    _, progress = fit(images, tmp_path, net, steps=2)
    assert progress.step == 2
    assert "training" in json.loads((tmp_path / fitting.PROGRESS).read_text())


@dataclass(frozen=True)
class Brightness:
    """A regression: the mean of a patch of white noise about it, its images the seeds."""

    training: tuple
    validation: tuple
    score: str = "error"

    def settings(self):
        return {"noise": 1.0}

    def blocks(self, images, *, seed, block_size, first=0, workers=0, stream=0):
        while True:
            rng = np.random.default_rng((images[0].plane, seed, first, stream))
            targets = rng.uniform(-1, 1, (block_size, 1)).astype(np.float32)
            noise = rng.standard_normal((block_size, PATCH, PATCH), dtype=np.float32)
            yield targets[:, :, np.newaxis] + noise, targets
            first += 1

    def loss(self, targets, predicted):
        import keras

        return keras.losses.mean_squared_error(targets, predicted)

    def figures(self, targets, predicted):
        return {"error": float(np.sqrt(np.mean((predicted - targets) ** 2)))}


def test_another_task_is_learned_by_its_own_loss_and_figures(tmp_path):
    net = architecture(batch_norm=False)
    head = {"kind": "dense", "name": "score", "units": 1, "activation": "linear"}
    net = with_recipe(replace(net, layers=(*net.layers[:2], head)), steps=250, learning_rate=3e-3)
    task = Brightness((SharpImage("a", plane=1),), (SharpImage("b", plane=2),))
    model, progress = fitting.fit(task, net, tmp_path)
    (record,) = progress.history
    assert progress.best is record
    assert progress.stages[0]["noise"] == 1.0
    patches, targets = fitting.validation_patches(task, 0)
    error = np.sqrt(np.mean((fitting.predict(model, patches) - targets) ** 2))
    assert record["validation_error"] == pytest.approx(error, rel=1e-6)
    # The targets' own deviation is what one gets who learns nothing.
    assert error < 0.5 * targets.std()


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
