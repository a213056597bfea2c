"""Several devices do what one does: in one process, and in two as if on two machines."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import tifffile

from microscope_quality.errors import SettingsError
from microscope_quality.simulate import nuclei
from microscope_quality.training.architectures import Architecture, Recipe
from microscope_quality.training.defocus.stream import SharpBlocks, SharpImage, StreamSettings

distributed = pytest.importorskip(
    "microscope_quality.training.distributed",
    reason="needs Keras and TensorFlow: pip install 'microscope-quality[train]'",
)

pytestmark = pytest.mark.training

PATCH = 32
BATCH = 32


def architecture(dropout=0.0, **recipe):
    convolution = {
        "kind": "conv2d",
        "name": "conv1",
        "filters": 4,
        "size": 4,
        "stride": 4,
        "activation": "relu",
        "batch_norm": True,
    }
    layers = (
        convolution,
        {"kind": "mean_max_pool"},
        {"kind": "dropout", "rate": dropout},
        {"kind": "dense", "name": "probabilities", "units": 11, "activation": "softmax"},
    )
    recipe = Recipe(
        **{"steps": 4, **recipe}, batch_size=BATCH, learning_rate=1e-2, cosine_decay=False
    )
    return Architecture("tiny", "zscore", layers, recipe, patch_size=PATCH)


def batches():
    """Five batches, whose loss is so large that gradients are clipped."""
    rng = np.random.default_rng(0)
    patches = rng.standard_normal((5, BATCH, PATCH, PATCH), dtype=np.float32)
    # The two halves differ, as no device's own statistics would show.
    patches[:, BATCH // 2 :] *= 3
    return zip(patches, np.eye(11, dtype=np.float32)[rng.integers(11, size=(5, BATCH))])


def stepped(devices):
    """Give the losses and weights of five steps, this process taking its part of each batch."""
    import keras

    from microscope_quality.training import fitting
    from microscope_quality.training.defocus.task import ranked_probability_score

    keras.utils.set_random_seed(4)
    with devices.scope():
        model = fitting.build(architecture(), synchronised=devices.count > 1)
        optimiser = keras.optimizers.Adam(1e-2, clipnorm=0.1, name="adam")
        model.compile(optimizer=optimiser, loss=ranked_probability_score)
        model.optimizer.build(model.trainable_variables)
    step = distributed.stepper(devices, model)
    own = slice(
        devices.worker * BATCH // devices.workers, (devices.worker + 1) * BATCH // devices.workers
    )
    losses = [step(patches[own], targets[own]) for patches, targets in batches()]
    return losses, model.get_weights()


def fitted(devices, folder, steps):
    """Train with dropout and validation; the number of epochs done and the last score."""
    from microscope_quality.training import fitting
    from microscope_quality.training.defocus.task import DefocusTask

    images = [SharpImage(str(path), field=path.name) for path in sorted(folder.glob("*.tif"))]
    task = DefocusTask(images[:2], images[2:], StreamSettings(patch_size=PATCH), SharpBlocks)
    net = architecture(dropout=0.3, steps=steps, patience=10)
    with patch.multiple(fitting, STEPS_PER_EPOCH=2, BLOCK_SIZE=128):
        model, progress = fitting.fit(task, net, folder / "training", workers=0, devices=devices)
    return progress.history, model.get_weights()


@pytest.fixture
def folder(tmp_path):
    for seed in range(3):
        light = nuclei((140, 140), 12, seed)
        tifffile.imwrite(tmp_path / f"{seed}.tif", (light * 3000 + 100).astype(np.uint16))
    return tmp_path


def start(folder, devices, **environment):
    command = [sys.executable, __file__, str(folder), devices]
    return subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, seconds=240):
    output, errors = process.communicate(timeout=seconds)
    assert process.returncode == 0, errors
    found = json.loads(output.splitlines()[-1])
    with np.load(found["weights"]) as archive:
        return found, [archive[name] for name in archive.files]


def check_steps(found, weights):
    losses, expected = stepped(distributed.Devices())
    assert found["losses"] == pytest.approx(losses, rel=1e-4)
    for ours, theirs in zip(weights, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5)


def test_two_devices_do_the_steps_of_one(folder):
    found, weights = finish(start(folder, "all", TWO_PROCESSORS="1"))
    assert (found["count"], found["workers"]) == (2, 1)
    check_steps(found, weights)
    assert [record["step"] for record in found["history"]] == [2, 4]
    # One device goes on from what two have done.
    history, _ = fitted(distributed.Devices(), folder, 6)
    assert history[:2] == found["history"]
    assert history[2]["step"] == 6


def test_two_processes_do_the_steps_of_one(folder):
    hosts = []
    sockets = [socket.socket() for _ in range(2)]
    for chosen in sockets:
        chosen.bind(("127.0.0.1", 0))
        hosts.append(f"127.0.0.1:{chosen.getsockname()[1]}")
    for chosen in sockets:
        chosen.close()
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        processes.append(start(folder, "all", TF_CONFIG=json.dumps(config)))
    results = [finish(process) for process in processes]
    for found, weights in results:
        assert (found["count"], found["workers"]) == (2, 2)
        check_steps(found, weights)
    histories = [
        [{**record, "patches_per_second": 0} for record in found["history"]] for found, _ in results
    ]
    assert histories[0] == histories[1]
    # Only the first has written.
    names = {path.name for path in (folder / "training").iterdir()}
    assert {"checkpoint.json", "checkpoint-4.npz"} < names
    assert not [name for name in names if name.endswith(".part")]


@pytest.mark.parametrize("devices", ["0", "100", "two", "-1"])
def test_devices_that_are_not_there_are_refused(devices):
    with pytest.raises(SettingsError, match="devices must be 'all' or a number from 1 to"):
        distributed.connect(devices)


@pytest.mark.parametrize(
    "config",
    [
        "nonsense",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_a_cluster_that_cannot_be_is_refused(config, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(SettingsError, match="TF_CONFIG must be like"):
        distributed.connect()


def test_one_device_needs_no_strategy(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert distributed.connect() == distributed.connect("1") == distributed.Devices()


if __name__ == "__main__":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if "TWO_PROCESSORS" in os.environ:
        import tensorflow as tf

        (processor,) = tf.config.list_physical_devices("CPU")
        halves = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
        tf.config.set_logical_device_configuration(processor, halves)
    found = distributed.connect(sys.argv[2])
    losses, weights = stepped(found)
    path = Path(sys.argv[1]) / f"weights-{found.worker}.npz"
    np.savez(path, *weights)
    history, _ = fitted(found, Path(sys.argv[1]), 4)
    told = {"losses": losses, "weights": str(path), "history": history}
    print(json.dumps({**told, "count": found.count, "workers": found.workers}))
