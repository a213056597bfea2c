"""Fitting a network to a task, with Keras.

Losses and layers are written with ``keras.ops``, so on one device any backend of Keras 3 will do.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from microscope_quality.errors import FileError, SettingsError, reason_of
from microscope_quality.files.regular import refusals
from microscope_quality.files.whole import whole
from microscope_quality.model import ModelDescription
from microscope_quality.network import Network
from microscope_quality.training.architectures import Architecture, Layer, Recipe
from microscope_quality.training.blocks import Block, FloatArray, replayed
from microscope_quality.training.distributed import Devices, of_chief, stepper
from microscope_quality.training.entries import entries
from microscope_quality.training.state import read_arrays, write_arrays
from microscope_quality.training.task import Task
from microscope_quality.version import __version__

STEPS_PER_EPOCH = 250
BLOCK_SIZE = 1024
PROGRESS = "checkpoint.json"
# A seed's streams beside the first worker's, 0: of the validation patches, and, more by its
# number, of each further worker. A task's own streams have others.
VALIDATION_STREAM = 1
WORKER_STREAM = 10


@dataclass
class Progress:
    """How a training went.

    Attributes
    ----------
    score : str
        The task's: epochs compare by ``validation_<score>``.
    stages : list of dict
        The settings under which it ran, and the ``first_step`` of each.
    history : list of dict
        A record an epoch: step, mean loss, learning rate, patches a second, and the task's figures
        on the validation patches, ``validation_<name>``.
    """

    score: str
    stages: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.history[-1]["step"]) if self.history else 0

    @property
    def best(self) -> dict[str, Any] | None:
        """The record of the lowest validation score in the last stage, the first of equal ones.

        Stages differ in what they are validated on, so that their scores do not compare.
        """
        score = f"validation_{self.score}"
        scored = [record for record in self._epochs() if score in record]
        return min(scored, key=lambda record: float(record[score]), default=None)

    @property
    def epochs_since_best(self) -> int:
        """Epochs of the last stage that went by without a lower score."""
        best = self.best
        return 0 if best is None else sum(r["step"] > best["step"] for r in self._epochs())

    def enter(self, settings: dict[str, Any]) -> None:
        """Begin a stage, unless the last one had the same settings."""
        stage = json.loads(json.dumps({"first_step": self.step, **settings}))
        if not self.stages or any(self.stages[-1].get(key) != stage[key] for key in settings):
            self.stages.append(stage)

    def _epochs(self) -> list[dict[str, Any]]:
        first = self.stages[-1]["first_step"] if self.stages else 0
        return [record for record in self.history if record["step"] > first]


def versions() -> dict[str, str]:
    """Give the versions of what a model was made with."""
    backend = keras.backend.backend()
    return {
        "microscope_quality": __version__,
        "keras": keras.__version__,
        "backend": backend,
        backend: importlib.metadata.version(backend),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def build(architecture: Architecture, *, synchronised: bool = False) -> keras.Model:
    """Build an architecture's layers in Keras.

    Parameters
    ----------
    architecture : Architecture
    synchronised : bool
        Batch normalisation over the patches of all devices, instead of each device's own.

    Returns
    -------
    keras.Model
        From (n, patch, patch) float32 to (n, outputs).
    """
    size = architecture.patch_size
    inputs = keras.Input((size, size), name="patches")
    tensor = keras.layers.Reshape((size, size, 1))(inputs)
    for layer in architecture.layers:
        tensor = _apply(layer, tensor, synchronised)
    return keras.Model(inputs, tensor, name=architecture.name)


def _apply(layer: Layer, tensor: Any, synchronised: bool) -> Any:
    kind = layer["kind"]
    if kind == "conv2d":
        tensor = keras.layers.Conv2D(
            layer["filters"],
            layer["size"],
            strides=layer["stride"],
            padding="same",
            # Batch normalisation has a bias of its own.
            use_bias=not layer.get("batch_norm"),
            name=layer["name"],
        )(tensor)
        if layer.get("batch_norm"):
            tensor = keras.layers.BatchNormalization(
                momentum=0.98, synchronized=synchronised, name=f"{layer['name']}_batch_norm"
            )(tensor)
        return keras.layers.Activation(layer["activation"])(tensor)
    if kind == "dense":
        return keras.layers.Dense(
            layer["units"], activation=layer["activation"], name=layer["name"]
        )(tensor)
    if kind == "max_pool":
        return keras.layers.MaxPooling2D(layer["size"])(tensor)
    if kind == "mean_max_pool":
        mean = keras.layers.GlobalAveragePooling2D()(tensor)
        return keras.layers.Concatenate()([mean, keras.layers.GlobalMaxPooling2D()(tensor)])
    if kind == "flatten":
        return keras.layers.Flatten()(tensor)
    if kind == "dropout":
        return keras.layers.Dropout(layer["rate"])(tensor)
    raise SettingsError(f"There is no layer of kind {kind!r}.")


def weights_of(model: keras.Model, architecture: Architecture) -> dict[str, npt.NDArray[Any]]:
    """Give a Keras model's weights by name, as :func:`export.fold` takes them."""
    weights: dict[str, npt.NDArray[Any]] = {}
    for layer in architecture.layers:
        if "name" not in layer:
            continue
        name = layer["name"]
        values = [np.asarray(value) for value in model.get_layer(name).get_weights()]
        weights[f"{name}/kernel"] = values[0]
        if layer.get("batch_norm"):
            normalisation = model.get_layer(f"{name}_batch_norm")
            parts = zip(("gamma", "beta", "mean", "variance"), normalisation.get_weights())
            weights.update({f"{name}/{part}": np.asarray(value) for part, value in parts})
            weights[f"{name}/epsilon"] = np.asarray(normalisation.epsilon)
            weights[f"{name}/bias"] = np.zeros(values[0].shape[-1], dtype=np.float32)
        else:
            weights[f"{name}/bias"] = values[1]
    return weights


def start_from(
    network: keras.Model, architecture: Architecture, weights: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Give a network the weights of a model folder, so that training goes on from them.

    Parameters
    ----------
    network : keras.Model
        As :func:`build` makes it of ``architecture``.
    architecture : Architecture
        Without batch normalisation, which the weights of a model have in them.
    weights : mapping of str to ndarray
        ``<layer>/kernel`` and ``<layer>/bias``.

    Raises
    ------
    SettingsError
        If the network then predicts anything else than the model does.
    """
    for layer in architecture.layers:
        if "name" in layer:
            name = layer["name"]
            network.get_layer(name).set_weights(
                [weights[f"{name}/{p}"] for p in ("kernel", "bias")]
            )
    size = architecture.patch_size
    patches = np.random.default_rng(0).standard_normal((16, size, size), dtype=np.float32)
    layers = [layer for layer in architecture.layers if layer["kind"] != "dropout"]
    expected = Network(layers, weights, size)(patches)
    difference = float(np.abs(predict(network, patches) - expected).max())
    if not difference < 1e-3:
        raise SettingsError(
            f"The network does not predict as the model it starts from: by {difference:.2g} of "
            "probability. Please report this."
        )


def fit(
    task: Task,
    architecture: Architecture,
    folder: Path,
    *,
    seed: int = 0,
    workers: int = 1,
    devices: Devices | None = None,
    start: tuple[ModelDescription, Mapping[str, npt.NDArray[Any]]] | None = None,
    tensorboard: bool = False,
    progress: Callable[[dict[str, Any]], None] = lambda record: None,
) -> tuple[keras.Model, Progress]:
    """Fit an architecture to a task, by its recipe.

    After each epoch of 250 steps the state is written into ``folder``; a call with the same
    arguments goes on from there, to the same result as without a stop. With other settings it
    goes on too, as a further stage; but not with other images, of which those held out may have
    been learned from, nor from other weights.

    Parameters
    ----------
    task : Task
        Without validation images the history has no validation figures.
    architecture : Architecture
        A batch is shared by the devices. Patience is with the task's score.
    folder : Path
        For the checkpoint; of several machines, one that they share.
    seed : int
        Of the stream and of the network's first weights.
    workers : int
        Processes that make the stream.
    devices : Devices, optional
        Several of them; see :func:`microscope_quality.training.distributed.connect`.
    start : (ModelDescription, mapping of str to ndarray), optional
        A model to begin with, as `microscope_quality.model.read_model` gives it; see
        :func:`start_from`.
    tensorboard : bool
        Write the curves for TensorBoard too, into ``folder/logs``.
    progress : callable
        Called after each epoch with its record, to which ``seconds_left`` is added, and after each
        step with ``{"at": step, "steps": steps, "patches_per_second": …, "seconds_left": …}``;
        before all with ``{"goes_on_from": step, "steps": steps}``, if there is a checkpoint.

    Returns
    -------
    model : keras.Model
        With the weights of the lowest score on the validation patches in the last stage, or
        without validation images the last ones.
    progress : Progress

    Raises
    ------
    SettingsError
        If steps and batch size do not suit, or the folder holds the training of another
        network, on other images, or from another start.
    FileError
        If the checkpoint cannot be read or written.
    """
    devices = devices or Devices()
    recipe = architecture.recipe
    _check_recipe(recipe, devices)
    keras.utils.set_random_seed(seed)
    with refusals(folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
    basis = {
        "training": entries(task.training),
        "validation": entries(task.validation),
        "from": None if start is None else start[0].sha256,
    }
    found = _read_progress(folder, architecture, basis)
    reached = Progress(task.score)
    if found is not None:
        reached = Progress(task.score, found["stages"], found["history"])
    if of_chief(devices, reached.step) != reached.step:
        raise SettingsError(f"{folder} must be a folder that all workers share.")
    if reached.step < recipe.steps:
        reached.enter(_stage(task, recipe, seed, devices))
    with devices.scope():
        model = build(architecture, synchronised=devices.count > 1)
        if start is not None:
            start_from(model, architecture, start[1])
        model.compile(
            optimizer=keras.optimizers.Adam(_rate(recipe), clipnorm=1.0, name="adam"),
            loss=task.loss,
            # On processors XLA's convolutions are the slower ones.
            jit_compile=False,
        )
        model.optimizer.build(model.trainable_variables)
    if found is not None:
        restore(folder / found["checkpoint"], state_of(model))
        progress({"goes_on_from": reached.step, "steps": recipe.steps})
    checked: Block | None = None
    stream = WORKER_STREAM + devices.worker if devices.worker else 0
    shared = recipe.batch_size // devices.workers
    batches = _batches(task, seed, stream, shared, reached.step, workers, recipe.replays)
    step = stepper(devices, model)
    logs = _logs(folder / "logs") if tensorboard and devices.chief else None
    begun, first = time.monotonic(), reached.step

    def tell(record: dict[str, Any], done: int) -> None:
        # At the rate so far.
        left = (time.monotonic() - begun) * (recipe.steps - done) / (done - first)
        progress({**record, "seconds_left": round(left, 1)})

    try:
        while reached.step < recipe.steps and not _is_over(devices, reached, recipe.patience):
            done = reached.step
            count = min(STEPS_PER_EPOCH, recipe.steps - done)
            started, loss, speed = time.monotonic(), 0.0, 0
            for number in range(1, count + 1):
                loss += step(*next(batches))
                speed = round(number * recipe.batch_size / (time.monotonic() - started))
                at = {"at": done + number, "steps": recipe.steps, "patches_per_second": speed}
                tell(at, done + number)
            record: dict[str, Any] = {
                "step": done + count,
                "loss": round(loss / count, 5),
                "learning_rate": float(f"{float(np.asarray(model.optimizer.learning_rate)):.4g}"),
                "patches_per_second": speed,
            }
            if task.validation:
                checked = checked or validation_patches(task, seed)
                record.update(check(task, model, *checked))
            reached.history.append(record)
            if devices.chief:
                _checkpoint(folder, model, architecture, basis, reached)
            if logs is not None:
                logs(record)
            tell(record, done + count)
    finally:
        batches.close()
    best = reached.best
    if best is not None and devices.chief:
        restore(folder / _best_name(best), variables_of(model))
    return model, reached


def _check_recipe(recipe: Recipe, devices: Devices) -> None:
    steps, batch_size, count = recipe.steps, recipe.batch_size, devices.count
    if steps < 1 or batch_size < 1 or BLOCK_SIZE % batch_size or batch_size % count:
        shared = f" and be shared by {count} devices" if count > 1 else ""
        raise SettingsError(
            f"steps must be positive and batch_size divide {BLOCK_SIZE}{shared}; "
            f"they are {steps} and {batch_size}."
        )


def _stage(task: Task, recipe: Recipe, seed: int, devices: Devices) -> dict[str, Any]:
    """Give the settings of a stage: what a training depends on that may be changed on the way."""
    stage = {
        "steps": recipe.steps,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "cosine_decay": recipe.cosine_decay,
        "seed": seed,
        "training_images": len(task.training),
        "validation_images": len(task.validation),
        **task.settings(),
    }
    if recipe.replays > 1:
        stage["replays"] = recipe.replays
    if devices.workers > 1:
        # Each makes patches of its own, so that their number makes the stream another one.
        stage["workers"] = devices.workers
    return stage


def validation_patches(task: Task, seed: int, n_blocks: int = 3) -> Block:
    """Give patches of the validation images and their targets, the same at every call."""
    made = task.blocks(
        task.validation, seed=seed, block_size=BLOCK_SIZE, workers=0, stream=VALIDATION_STREAM
    )
    patches, targets = zip(*(next(made) for _ in range(n_blocks)))
    return np.concatenate(patches), np.concatenate(targets)


def check(
    task: Task, model: keras.Model, patches: FloatArray, targets: FloatArray
) -> dict[str, float]:
    """Give a task's figures of a model, ``validation_<name>``."""
    figures = task.figures(targets, predict(model, patches))
    return {f"validation_{name}": value for name, value in figures.items()}


def predict(model: keras.Model, patches: FloatArray, batch_size: int = 256) -> FloatArray:
    """Give the outputs of normalised patches."""
    return np.concatenate(
        [
            # Called, not predict_on_batch, which would give each device the whole of it.
            np.asarray(model(patches[start : start + batch_size], training=False))
            for start in range(0, len(patches), batch_size)
        ]
    )


def _rate(recipe: Recipe) -> Any:
    """Give Adam's learning rate: constant, or risen to in a short warm-up and decayed."""
    if not recipe.cosine_decay:
        return recipe.learning_rate
    warm_up = min(500, recipe.steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.learning_rate / 20,
        decay_steps=max(1, recipe.steps - warm_up),
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
    )


def _batches(
    task: Task, seed: int, stream: int, batch_size: int, step: int, workers: int, replays: int
) -> Generator[Block, None, None]:
    """Give the stream's batches from the given step on."""
    per_block = BLOCK_SIZE // batch_size

    def blocks(first: int) -> Generator[Block, None, None]:
        return task.blocks(
            task.training,
            seed=seed,
            block_size=BLOCK_SIZE,
            first=first,
            workers=workers,
            stream=stream,
        )

    first = step // per_block
    made = (
        blocks(first)
        if replays == 1
        else replayed(blocks, replays, seed=seed, first=first, stream=stream)
    )
    try:
        for patches, targets in made:
            for start in range(step % per_block * batch_size, BLOCK_SIZE, batch_size):
                yield patches[start : start + batch_size], targets[start : start + batch_size]
            step = 0
    finally:
        made.close()


def _is_over(devices: Devices, reached: Progress, patience: int) -> bool:
    """Tell whether to stop early; the chief decides for all workers."""
    if patience == 0:
        return False
    return bool(of_chief(devices, float(reached.epochs_since_best >= patience)))


def check_tensorboard() -> None:
    """Import what the curves for TensorBoard are written with.

    Raises
    ------
    SettingsError
        If it is missing: TensorFlow does not bring it along, and misses it after an epoch.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "Curves for TensorBoard need the library tensorboard, which is not installed: "
            "pip install 'microscope-quality[train]'."
        ) from error


def _logs(folder: Path) -> Callable[[dict[str, Any]], None]:
    """Give what writes a record as TensorBoard's scalars."""
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(folder))

    def write(record: dict[str, Any]) -> None:
        with writer.as_default(step=record["step"]):
            for name, value in record.items():
                if name != "step":
                    tf.summary.scalar(name, value)
        writer.flush()

    return write


def variables_of(model: keras.Model) -> dict[str, Any]:
    """Name what the network has learned, and the state of its dropout."""
    return {f"network/{number}": variable for number, variable in enumerate(model.variables)}


def state_of(model: keras.Model) -> dict[str, Any]:
    """Name all that a training goes on from. The learning rate is the stage's, not the state's."""
    optimiser = [value for value in model.optimizer.variables if value.name != "learning_rate"]
    numbered = {f"optimiser/{number}": variable for number, variable in enumerate(optimiser)}
    return {**variables_of(model), **numbered}


def restore(path: Path, variables: Mapping[str, Any]) -> None:
    """Read variables that were written as arrays."""
    arrays = read_arrays(path)
    try:
        for name, variable in variables.items():
            variable.assign(arrays[name])
    except (ValueError, KeyError) as error:
        raise FileError(f"{path}: is no state of this network: {reason_of(error, path)}") from error


def _best_name(record: Mapping[str, Any]) -> str:
    return f"best-{record['step']}.npz"


def _checkpoint(
    folder: Path,
    model: keras.Model,
    architecture: Architecture,
    basis: Mapping[str, Any],
    reached: Progress,
) -> None:
    """Write the state; the progress file names the files that are whole and belong together."""
    name = f"checkpoint-{reached.step}.npz"
    best = reached.best
    write_arrays(folder / name, state_of(model))
    if best is reached.history[-1]:
        write_arrays(folder / _best_name(best), variables_of(model))
    progress = {
        "architecture": architecture.name,
        "layers": architecture.layers,
        "checkpoint": name,
        "stages": reached.stages,
        "history": reached.history,
        **basis,
    }
    with whole(folder / PROGRESS) as beside:
        beside.write_text(json.dumps(progress, indent=1), encoding="utf-8")
    kept = {name} if best is None else {name, _best_name(best)}
    with refusals(folder, "written"):
        for pattern in ("checkpoint-*.npz", "best-*.npz"):
            for old in folder.glob(pattern):
                if old.name not in kept:
                    old.unlink()


def _read_progress(
    folder: Path, architecture: Architecture, basis: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Read what :func:`_checkpoint` wrote, if there is anything.

    ``basis`` is what a training stands on: its images and its start. A checkpoint of before these
    were written is taken to have the same.
    """
    path = folder / PROGRESS
    if not path.exists():
        return None
    try:
        progress: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        name = progress["architecture"]
        same = progress.get("layers") == json.loads(json.dumps(architecture.layers))
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"{path}: cannot be read: {reason_of(error, path)}") from error
    if name != architecture.name or not same:
        other = f"of {name!r}" if name != architecture.name else f"of another {name!r}"
        raise SettingsError(
            f"{folder} holds a training {other}, not of {architecture.name!r} as it is here; "
            "choose another folder."
        )
    names = {
        "training": "on other images",
        "validation": "with other images held out",
        "from": "from another start",
    }
    for key, what in names.items():
        if progress.get(key, basis[key]) != basis[key]:
            raise SettingsError(f"{folder} holds a training {what}; choose another folder.")
    return progress
