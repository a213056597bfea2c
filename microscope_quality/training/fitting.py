"""Fitting a network with Keras: the only module that imports it.

Loss and layers are written with ``keras.ops``, so any backend of Keras 3 will do.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

import keras
import numpy as np
import numpy.typing as npt

from microscope_quality.errors import SettingsError
from microscope_quality.training.architectures import Architecture, Layer
from microscope_quality.training.stream import SharpImage, StreamSettings, blocks
from microscope_quality.version import __version__

FloatArray = npt.NDArray[np.float32]

STEPS_PER_EPOCH = 250
BLOCK_SIZE = 1024
PROGRESS = "checkpoint.json"


@dataclass
class Progress:
    """How a training went.

    Attributes
    ----------
    stages : list of dict
        The settings under which it ran, and the ``first_step`` of each.
    history : list of dict
        A record an epoch: step, loss, patches a second, and on the validation patches the ranked
        probability score and the shares exact and within one level.
    """

    stages: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.history[-1]["step"]) if self.history else 0

    def enter(self, settings: dict[str, Any]) -> None:
        """Begin a stage, unless the last one had the same settings."""
        stage = json.loads(json.dumps({"first_step": self.step, **settings}))
        if not self.stages or any(self.stages[-1][key] != stage[key] for key in settings):
            self.stages.append(stage)


@keras.saving.register_keras_serializable(package="microscope_quality")  # type: ignore[untyped-decorator, unused-ignore]
def ranked_probability_score(target: Any, predicted: Any) -> Any:
    """Squared distance of two cumulative distributions: the loss.

    ``Σ_k (CDF_p(k) − CDF_t(k))²``, unnormalised, in [0, K − 1] (A. H. Murphy, Journal of Applied
    Meteorology 10:155, 1971), as S. J. Yang et al., BMC Bioinformatics 19:77 (2018), train with.

    Parameters
    ----------
    target, predicted : tensor, shape (n, K)
        Distributions over ordered levels.

    Returns
    -------
    tensor, shape (n,)
    """
    difference = keras.ops.cumsum(predicted - target, axis=-1)
    return keras.ops.sum(keras.ops.square(difference), axis=-1)


def versions() -> dict[str, str]:
    """Give the versions of what a model was made with."""
    return {
        "microscope_quality": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "python": platform.python_version(),
    }


def build(architecture: Architecture) -> keras.Model:
    """Build an architecture's layers in Keras.

    Parameters
    ----------
    architecture : Architecture

    Returns
    -------
    keras.Model
        From (n, patch, patch) float32 to (n, levels).
    """
    size = architecture.patch_size
    inputs = keras.Input((size, size), name="patches")
    tensor = keras.layers.Reshape((size, size, 1))(inputs)
    for layer in architecture.layers:
        tensor = _apply(layer, tensor)
    return keras.Model(inputs, tensor, name=architecture.name)


def _apply(layer: Layer, tensor: Any) -> Any:
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
                momentum=0.98, name=f"{layer['name']}_batch_norm"
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


def fit(
    architecture: Architecture,
    training: Sequence[SharpImage],
    validation: Sequence[SharpImage],
    settings: StreamSettings,
    folder: Path,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int = 0,
    workers: int = 1,
    progress: Optional[Callable[[dict[str, Any]], None]] = None,
) -> tuple[keras.Model, Progress]:
    """Fit an architecture on the stream of the training images.

    After each epoch of 250 steps the state is written into ``folder``; a call with the same
    arguments goes on from there. With other arguments it goes on too, as a further stage.

    Parameters
    ----------
    architecture : Architecture
    training, validation : sequence of SharpImage
        Without validation images the history has no validation figures.
    settings : StreamSettings
    folder : Path
        For the checkpoint.
    steps, batch_size, learning_rate
        Of Adam; see :class:`Recipe`.
    seed : int
        Of the stream and of the network's first weights.
    workers : int
        Processes that make the stream.
    progress : callable, optional
        Called after each epoch with its record.

    Returns
    -------
    model : keras.Model
    progress : Progress

    Raises
    ------
    SettingsError
        If steps and batch size do not suit, or the folder holds the training of another
        architecture.
    """
    if steps < 1 or batch_size < 1 or BLOCK_SIZE % batch_size:
        raise SettingsError(
            f"steps must be positive and the batch size divide {BLOCK_SIZE}; "
            f"they are {steps} and {batch_size}."
        )
    keras.utils.set_random_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    model, reached = _resume(folder, architecture)
    stage = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "cosine_decay": architecture.recipe.cosine_decay,
        "seed": seed,
        "stream": settings.to_dict(),
    }
    reached.enter(stage)
    rate = _rate(architecture.recipe.cosine_decay, steps, learning_rate)
    if model is None:
        model = build(architecture)
        model.compile(
            optimizer=keras.optimizers.Adam(rate, clipnorm=1.0),
            loss=ranked_probability_score,
            # On processors XLA's convolutions are the slower ones.
            jit_compile=False,
        )
    else:
        # The checkpoint's own rate was for its own number of steps.
        model.optimizer.learning_rate = rate
    checked = validation_patches(validation, settings, seed) if validation else None
    done = reached.step
    batches = _batches(training, settings, seed, batch_size, done, workers)
    try:
        while done < steps:
            count = min(STEPS_PER_EPOCH, steps - done)
            started = time.monotonic()
            model.reset_metrics()
            for _ in range(count):
                loss = model.train_on_batch(*next(batches))
            seconds = time.monotonic() - started
            done += count
            record: dict[str, Any] = {
                "step": done,
                "loss": round(float(loss), 5),
                "patches_per_second": round(count * batch_size / seconds),
            }
            if checked is not None:
                record.update(check(model, *checked))
            reached.history.append(record)
            _checkpoint(folder, model, architecture, reached)
            if progress is not None:
                progress(record)
    finally:
        batches.close()
    return model, reached


def validation_patches(
    images: Sequence[SharpImage], settings: StreamSettings, seed: int, n_blocks: int = 3
) -> tuple[FloatArray, FloatArray]:
    """Give patches of the validation images, the same at every call."""
    # A stream of its own: no seed of a training stream is negative.
    made = blocks(images, settings, seed=seed + (1 << 32), block_size=BLOCK_SIZE, workers=0)
    patches, targets = zip(*(next(made) for _ in range(n_blocks)))
    return np.concatenate(patches), np.concatenate(targets)


def check(model: keras.Model, patches: FloatArray, targets: FloatArray) -> dict[str, float]:
    """Measure a model on patches of known level.

    Returns
    -------
    dict
        ``validation_rps`` over all patches; ``validation_exact`` and ``validation_within_one``
        over the patches with content.
    """
    predicted = predict(model, patches)
    rps = np.square(np.cumsum(predicted - targets, axis=1)).sum(axis=1).mean()
    content = targets.max(axis=1) == 1
    distance = np.abs(predicted.argmax(axis=1) - targets.argmax(axis=1))[content]
    return {
        "validation_rps": round(float(rps), 5),
        "validation_exact": round(float((distance == 0).mean()), 4),
        "validation_within_one": round(float((distance <= 1).mean()), 4),
    }


def predict(model: keras.Model, patches: FloatArray, batch_size: int = 256) -> FloatArray:
    """Give the probabilities of normalised patches."""
    return np.concatenate(
        [
            np.asarray(model.predict_on_batch(patches[start : start + batch_size]))
            for start in range(0, len(patches), batch_size)
        ]
    )


def _rate(cosine_decay: bool, steps: int, learning_rate: float) -> Any:
    """Give Adam's learning rate: constant, or risen to in a short warm-up and decayed."""
    if not cosine_decay:
        return learning_rate
    warm_up = min(500, steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate / 20,
        decay_steps=max(1, steps - warm_up),
        warmup_target=learning_rate,
        warmup_steps=warm_up,
    )


def _batches(
    images: Sequence[SharpImage],
    settings: StreamSettings,
    seed: int,
    batch_size: int,
    step: int,
    workers: int,
) -> Generator[tuple[FloatArray, FloatArray], None, None]:
    """Give the stream's batches from the given step on."""
    per_block = BLOCK_SIZE // batch_size
    made = blocks(
        images,
        settings,
        seed=seed,
        block_size=BLOCK_SIZE,
        first=step // per_block,
        workers=workers,
    )
    try:
        for patches, targets in made:
            for start in range(step % per_block * batch_size, BLOCK_SIZE, batch_size):
                yield patches[start : start + batch_size], targets[start : start + batch_size]
            step = 0
    finally:
        made.close()


def _checkpoint(
    folder: Path, model: keras.Model, architecture: Architecture, reached: Progress
) -> None:
    """Write the state; the progress file names the one that is whole."""
    name = f"checkpoint-{reached.step}.keras"
    model.save(folder / name)
    progress = {"architecture": architecture.name, "checkpoint": name, **asdict(reached)}
    beside = folder / f"{PROGRESS}.part"
    beside.write_text(json.dumps(progress, indent=1), encoding="utf-8")
    beside.replace(folder / PROGRESS)
    for old in folder.glob("checkpoint-*.keras"):
        if old.name != name:
            old.unlink()


def _resume(folder: Path, architecture: Architecture) -> tuple[Optional[keras.Model], Progress]:
    """Read the state that :func:`_checkpoint` wrote, if there is one."""
    if not (folder / PROGRESS).exists():
        return None, Progress()
    progress = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    if progress["architecture"] != architecture.name:
        raise SettingsError(
            f"{folder} holds a training of {progress['architecture']!r}, not of "
            f"{architecture.name!r}; choose another folder."
        )
    model = keras.saving.load_model(folder / progress["checkpoint"])
    return model, Progress(progress["stages"], progress["history"])
