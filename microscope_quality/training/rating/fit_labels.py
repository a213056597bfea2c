"""Fitting a network to the scores of labelled patches, with Keras."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from microscope_quality.errors import FileError, SettingsError, reason_of
from microscope_quality.files.regular import refusals
from microscope_quality.files.whole import whole
from microscope_quality.normalisation import zscore
from microscope_quality.training.blocks import turned
from microscope_quality.training.distributed import Devices, stepper
from microscope_quality.training.fitting import PROGRESS, predict, restore, state_of, variables_of
from microscope_quality.training.rating.architectures import LabelRecipe, Stage
from microscope_quality.training.state import write_arrays

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Report = Callable[[dict[str, Any]], None]

# Seconds after which the state is kept also within an epoch.
KEEP_S = 120.0
# Factor and offset, in deviations, by which a patch's intensity is changed at most.
GAIN, OFFSET = 0.1, 0.1
# Patches predicted at a time, by their pixels.
_PIXELS_AT_A_TIME = 2**22


@dataclass(frozen=True, eq=False)
class RatedPatches:
    """Patches with their scores.

    Attributes
    ----------
    crops : sequence of (n, P, P) arrays
        What was cut of each labelled patch.
    scores : (N,) array of float64
    groups : sequence of str
        Of each labelled patch.
    """

    crops: Sequence[NDArray[Any]]
    scores: Float64Array
    groups: Sequence[str]


@dataclass
class LabelProgress:
    """How a training went.

    Attributes
    ----------
    history : list of dict
        A record an epoch: ``epoch``, from 1; ``stage``, from 1; the mean ``loss``; figures on the
        patches held out, ``validation_<name>`` (see `figures`).
    """

    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def best(self) -> dict[str, Any]:
        """The record of the lowest validation error, the first of equal ones."""
        return min(self.history, key=lambda record: float(record["validation_rmse"]))

    def epochs_since_best(self, stage: int) -> int:
        """Epochs of a stage since its own lowest validation error."""
        errors = [r["validation_rmse"] for r in self.history if r["stage"] == stage]
        return len(errors) - 1 - errors.index(min(errors)) if errors else 0


def fit(
    network: keras.Model,
    recipe: LabelRecipe,
    training: RatedPatches,
    validation: RatedPatches,
    folder: Path,
    *,
    seed: int,
    basis: dict[str, Any],
    report: Report = lambda record: None,
) -> LabelProgress:
    """Fit a network to scores; a call that finds its own state in the folder goes on from there.

    The state is kept after every epoch and, where that takes longer, every two minutes; a training
    that was killed ends as one that was not.

    Parameters
    ----------
    network : keras.Model
        As `rating.networks` builds them; it has the weights of the best epoch at the end.
    recipe : LabelRecipe
    training, validation : RatedPatches
        Of different groups. The epoch is chosen on ``validation``.
    folder : Path
        For the state.
    seed : int
        Of order and augmentation.
    basis : dict
        What the training stands on, as JSON takes it: a state with another one is refused.
    report : callable
        Called with ``goes_on_from`` and ``epochs`` before all, if there is a state; after each
        step with ``at``, ``steps``, ``patches_per_second`` and ``seconds_left``; after each epoch
        with its record.

    Raises
    ------
    SettingsError
        The folder holds another training.
    FileError
        The state cannot be read or written.
    """
    with refusals(folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
    basis = json.loads(json.dumps({**basis, "seed": seed, "recipe": asdict(recipe)}))
    found = _read_state(folder, basis)
    reached, at = LabelProgress(), _At()
    if found is not None:
        reached, at = LabelProgress(found["history"]), _At(**found["at"])
        report({"goes_on_from": len(reached.history), "epochs": recipe.epochs})
    clock = _Clock(recipe, len(training.crops), report)
    keep = partial(_keep, folder, basis, network, reached)
    for number, stage in enumerate(recipe.stages):
        if number < at.stage:
            continue
        _compile(network, recipe, stage)
        if found is not None:
            restore(folder / found["checkpoint"], state_of(network))
            found = None
        elif number > at.stage:
            at = _At(stage=number)
        while at.epoch < stage.epochs:
            _epoch(network, recipe, training, seed, at, clock, keep)
            told = figures(validation.scores, scores_of(network, validation.crops))
            record: dict[str, Any] = {"epoch": len(reached.history) + 1, "stage": number + 1}
            record["loss"] = at.loss / len(training.crops)
            record |= {f"validation_{name}": value for name, value in told.items()}
            reached.history.append(record)
            is_over = 0 < recipe.patience <= reached.epochs_since_best(number + 1)
            at = _At(stage=number, epoch=stage.epochs if is_over else at.epoch + 1)
            keep(at)
            report({**record, "seconds_left": clock.left(at)})
    restore(folder / _best_name(reached.best), variables_of(network))
    return reached


def figures(true: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    """Give mean absolute error, root mean square error and Pearson's correlation of scores.

    The correlation is 0 where either does not vary.
    """
    errors = np.asarray(predicted, np.float64) - np.asarray(true, np.float64)
    together = 0.0
    if len(errors) > 1 and np.ptp(true) > 0 and np.ptp(predicted) > 0:
        together = float(np.corrcoef(true, predicted)[0, 1])
    return {
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "plcc": together,
    }


def scores_of(network: keras.Model, crops: Sequence[NDArray[Any]]) -> Float64Array:
    """Give the score of each labelled patch: the mean over its crops, each from 0 to 1.

    Parameters
    ----------
    network : keras.Model
    crops : sequence of (n, P, P) arrays

    Returns
    -------
    (N,) array of float64
    """
    numbers = np.repeat(np.arange(len(crops)), [len(one) for one in crops])
    every = [crop for one in crops for crop in one]
    at_a_time = max(1, _PIXELS_AT_A_TIME // every[0].size)
    found = np.concatenate(
        [
            predict(network, _normalised(every[start : start + at_a_time]), at_a_time)[:, 0]
            for start in range(0, len(every), at_a_time)
        ]
    )
    found = np.clip(found, 0, 1).astype(np.float64)
    return np.bincount(numbers, found, len(crops)) / np.bincount(numbers, minlength=len(crops))


def augmented(patches: Float32Array, generator: np.random.Generator) -> Float32Array:
    """Turn normalised patches by quarters, mirror them, and change their intensity a little.

    Nothing that would change a score: no scaling, blur, noise, or turn by another angle, as that
    would interpolate.

    Parameters
    ----------
    patches : (n, P, P) array of float32
    generator
        The same state does the same.
    """
    changed = np.stack([turned(generator, patch)[0] for patch in patches])
    gain = generator.uniform(1 - GAIN, 1 + GAIN, (len(patches), 1, 1))
    offset = generator.uniform(-OFFSET, OFFSET, (len(patches), 1, 1))
    return np.asarray(changed * gain + offset, np.float32)


@dataclass
class _At:
    """Where a training is: in which stage, epoch and batch, and the epoch's loss so far."""

    stage: int = 0
    epoch: int = 0
    batch: int = 0
    loss: float = 0.0


class _Clock:
    """Tells how long a training will take, at the rate so far."""

    def __init__(self, recipe: LabelRecipe, patches: int, report: Report) -> None:
        self._recipe, self._patches, self._report = recipe, patches, report
        self._begun, self._done = time.monotonic(), 0
        self.kept = self._begun

    def step(self, at: _At, patches: int, batches: int) -> None:
        self._done += patches
        speed = self._done / (time.monotonic() - self._begun)
        whole_epochs = sum(stage.epochs for stage in self._recipe.stages[: at.stage]) + at.epoch
        self._report(
            {
                "at": whole_epochs * batches + at.batch,
                "steps": self._recipe.epochs * batches,
                "patches_per_second": round(speed, 1),
                "seconds_left": self.left(at, at.batch / batches),
            }
        )

    def left(self, at: _At, share: float = 0.0) -> float:
        epochs = sum(stage.epochs for stage in self._recipe.stages[at.stage :]) - at.epoch - share
        taken = time.monotonic() - self._begun
        return round(epochs * self._patches * taken / max(1, self._done), 1)


def _compile(network: keras.Model, recipe: LabelRecipe, stage: Stage) -> None:
    for layer in network.layers:
        layer.trainable = layer.name not in stage.frozen
    optimiser = (
        keras.optimizers.Adam(stage.learning_rate)
        if recipe.optimiser == "adam"
        else keras.optimizers.SGD(stage.learning_rate, momentum=0.9)
    )
    network.compile(optimizer=optimiser, loss="mean_squared_error", jit_compile=False)
    optimiser.build(network.trainable_variables)


def _epoch(
    network: keras.Model,
    recipe: LabelRecipe,
    training: RatedPatches,
    seed: int,
    at: _At,
    clock: _Clock,
    keep: Callable[[_At], None],
) -> None:
    """Go through the labelled patches once, from where a training is."""
    step = stepper(Devices(), network)
    batches = _batches(len(training.crops), recipe.batch_size, (seed, at.stage, at.epoch))
    for number, chosen in enumerate(batches):
        if number < at.batch:
            continue
        rng = np.random.default_rng((seed, at.stage, at.epoch, number))
        picked = [training.crops[k][rng.integers(len(training.crops[k]))] for k in chosen]
        patches = augmented(_normalised(picked), rng)
        targets = training.scores[chosen, np.newaxis].astype(np.float32)
        at.loss += step(patches, targets) * len(chosen)
        at.batch += 1
        clock.step(at, len(chosen), len(batches))
        if time.monotonic() - clock.kept >= KEEP_S:
            keep(at)
            clock.kept = time.monotonic()


def _batches(patches: int, batch_size: int, seed: Sequence[int]) -> list[NDArray[np.intp]]:
    """Share patches among batches of nearly one size, since few do not tell their deviation."""
    order = np.random.default_rng(seed).permutation(patches)
    return np.array_split(order, -(-patches // batch_size))


def _normalised(crops: Sequence[NDArray[Any]]) -> Float32Array:
    return np.concatenate([zscore(crop[np.newaxis])[0] for crop in crops])


def _best_name(record: dict[str, Any]) -> str:
    return f"best-{record['epoch']}.npz"


def _keep(
    folder: Path, basis: dict[str, Any], network: keras.Model, reached: LabelProgress, at: _At
) -> None:
    """Write the state; the progress file names the files that are whole and belong together."""
    name = f"checkpoint-{at.stage}-{at.epoch}-{at.batch}.npz"
    write_arrays(folder / name, state_of(network))
    kept = {name}
    if reached.history:
        best = _best_name(reached.best)
        kept.add(best)
        # Within an epoch the weights are no longer those of the last record.
        if at.batch == 0 and reached.best is reached.history[-1]:
            write_arrays(folder / best, variables_of(network))
    progress = {"checkpoint": name, "at": asdict(at), "history": reached.history, **basis}
    with whole(folder / PROGRESS) as beside:
        beside.write_text(json.dumps(progress, indent=1), encoding="utf-8")
    with refusals(folder, "written"):
        for pattern in ("checkpoint-*.npz", "best-*.npz"):
            for old in folder.glob(pattern):
                if old.name not in kept:
                    old.unlink()


# What a training stands on, and what is said of a state with another one; the first that differs.
_BASIS = {
    "architecture": "of another network",
    "patch_size": "with patches of another size",
    "seed": "with another seed",
    "recipe": "by another recipe: other epochs, batches, learning rate or patience",
    "imagenet": "from other weights",
    "training": "on other labels, or with other groups held out",
    "validation": "with other labels held out",
}


def _read_state(folder: Path, basis: dict[str, Any]) -> dict[str, Any] | None:
    """Read what `_keep` wrote, if there is anything."""
    path = folder / PROGRESS
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name in _BASIS if state.get(name) != basis.get(name)]
    except (OSError, ValueError, AttributeError) as error:
        raise FileError(f"{path}: cannot be read: {reason_of(error, path)}") from error
    if other:
        raise SettingsError(
            f"{folder} holds a training {_BASIS[other[0]]}; choose another folder, or give the "
            "same."
        )
    return state
