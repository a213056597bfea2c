"""From a table of labels to a model folder: read, group, hold out, fit, measure, write."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microscope_quality.errors import SettingsError
from microscope_quality.files.digest import digest_of
from microscope_quality.model import KERAS_FILE, ModelDescription, write_folder
from microscope_quality.network import MOST_PATCH_SIZE
from microscope_quality.rater import RATING
from microscope_quality.rating.labelled import (
    LabelledPatch,
    labelled_patches,
    read_patches,
    smallest_side,
)
from microscope_quality.rating.labels import read_labels
from microscope_quality.rating.networks import PublishedNetwork, get_network
from microscope_quality.rating.quiet_keras import import_keras
from microscope_quality.training.rating.architectures import load_imagenet, recipe_of
from microscope_quality.training.rating.groups import called, groups_of, split

Report = Callable[[dict[str, Any]], None]

# Groups by which a model's record tells its errors.
_MOST_GROUPS = 200


@dataclass(frozen=True)
class LabelSettings:
    """What a training on labels needs beside them; None is what the network's recipe has.

    Attributes
    ----------
    architecture : str
        A published network: see `rating.networks.NETWORKS`.
    imagenet : Path, optional
        For QEN: weights of Keras' ResNet50 to begin with.
    patch_size : int, optional
        Side in pixels; by default the published one, or the side of the smallest patch that was
        labelled where that is less.
    group_by : str, optional
        What is never on both sides of the split: see `groups.groups_of`.
    validation_fraction : float
        Share of the groups that is held out; the epoch is chosen on it.
    epochs, batch_size, learning_rate, patience
        See `architectures.recipe_of`.
    seed : int
        Of the split, the order, the augmentation and the first weights.
    """

    architecture: str
    imagenet: Path | None = None
    patch_size: int | None = None
    group_by: str | None = None
    validation_fraction: float = 0.2
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    patience: int | None = None
    seed: int = 0


def train_on_labels(
    table: Path,
    folder: Path,
    name: str,
    settings: LabelSettings,
    *,
    images: Path | None = None,
    command: str = "",
    report: Report = lambda record: None,
) -> ModelDescription:
    """Train a published network on labels, and write its folder.

    Groups that are held out choose the epoch, so that their error is a little too low: the error
    on images that nothing was chosen on takes a further set. (The published QEN was chosen on its
    test set, and its figures are of that.)

    Parameters
    ----------
    table : Path
        Of labels; see `rating.labels`.
    folder : Path
        For the state and, in ``folder/name``, the model.
    name : str
        The model's name.
    settings : LabelSettings
    images : Path, optional
        The folder from which on the table names images; by default the table's own.
    command : str
        The command line, for the model's record.
    report : callable
        Called with ``doing`` and, while it goes on, ``done`` and ``of``; before the first step
        with ``training``, ``validation`` (patches and groups of each), what groups are ``called``,
        the names of those ``held_out``, ``epochs`` and ``patch_size``; as `fit_labels.fit` does;
        last with ``validation_by_group``, ``validation`` and ``of_the_mean``, the error of giving
        every patch the mean score.

    Returns
    -------
    ModelDescription
        Of the model that was written.

    Raises
    ------
    FileError
        The table, an image or the state cannot be read, images are missing or smaller than their
        labelled patches, or the model cannot be written.
    SettingsError
        All labels have one score, are of one group, or of patches that are too small; a setting is
        out of its range; or the folder holds another training.
    ImportError
        Keras, or what it runs on, is missing or broken.
    """
    network = get_network(settings.architecture)
    recipe = recipe_of(
        network,
        imagenet=settings.imagenet,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        patience=settings.patience,
    )
    patches = labelled_patches(read_labels(table), images or table.parent)
    groups = groups_of(patches, settings.group_by)
    held_out = split(groups, settings.validation_fraction, settings.seed)
    patch_size = _patch_size(network, settings.patch_size, patches)
    crops = read_patches(
        patches,
        patch_size,
        report=lambda done, of: report({"doing": "reading the images", "done": done, "of": of}),
    )
    sides = {
        side: [k for k, group in enumerate(groups) if (group in held_out) == (side == "validation")]
        for side in ("training", "validation")
    }
    scores = np.array([patch.score for patch in patches])
    if np.ptp(scores[sides["training"]]) == 0:
        raise SettingsError(
            f"The labels to train on must have different scores, and all "
            f"{len(sides['training'])} have {scores[sides['training'][0]]:g}: another seed holds "
            "other groups out."
        )
    report({"doing": "starting TensorFlow"})
    import_keras()
    import keras

    from microscope_quality.training import fitting
    from microscope_quality.training.rating import fit_labels

    sets = {
        side: fit_labels.RatedPatches(
            [crops[k] for k in numbers], scores[numbers], [groups[k] for k in numbers]
        )
        for side, numbers in sides.items()
    }
    basis = {
        "architecture": network.name,
        "patch_size": patch_size,
        **{side: _digest([patches[k] for k in numbers]) for side, numbers in sides.items()},
        "imagenet": None if settings.imagenet is None else digest_of(settings.imagenet),
    }
    counted = {
        side: {"patches": len(one.crops), "groups": len(set(one.groups))}
        for side, one in sets.items()
    }
    told = {"called": called(patches, settings.group_by), "held_out": sorted(held_out)}
    report({**counted, **told, "epochs": recipe.epochs, "patch_size": patch_size})
    keras.utils.set_random_seed(settings.seed)
    built = network.build(patch_size)
    if settings.imagenet is not None:
        load_imagenet(built, settings.imagenet)
    reached = fit_labels.fit(
        built,
        recipe,
        sets["training"],
        sets["validation"],
        folder,
        seed=settings.seed,
        basis=basis,
        report=report,
    )
    measured = _measured(fit_labels, built, sets["training"].scores, sets["validation"])
    report(measured)
    record = {
        "command": command,
        "versions": fitting.versions(),
        **asdict(recipe),
        "loss": "mean squared error",
        "augmentation": {
            "turns": "quarters, mirrored or not",
            "gain": [1 - fit_labels.GAIN, 1 + fit_labels.GAIN],
            "offset_deviations": [-fit_labels.OFFSET, fit_labels.OFFSET],
        },
        "seed": settings.seed,
        "imagenet_sha256": basis["imagenet"],
        "group_by": settings.group_by or "folder, or image where there are fewer than 3",
        "validation_fraction": settings.validation_fraction,
        "best_epoch": reached.best["epoch"],
        "epoch_chosen_on": "the groups held out",
        **{side: {**counted[side], "names": _names(sets[side].groups)} for side in sets},
        **measured,
        "history": reached.history,
    }
    record["validation"] = {**record["validation"], **counted["validation"]}
    description = ModelDescription(
        name=name,
        task=RATING,
        architecture=network.name,
        patch_size=patch_size,
        normalisation="zscore",
        details={
            "outputs": ["score"],
            "labels": sum(patch.labels for patch in patches),
            "labelled_patches": len(patches),
        },
        layers=(),
        training=json.loads(json.dumps(record)),
    )
    return write_folder(folder / name, description, KERAS_FILE, _content(built))


def _patch_size(
    network: PublishedNetwork, asked: int | None, patches: Sequence[LabelledPatch]
) -> int:
    smallest = smallest_side(patches)
    size = min(network.patch_size, smallest) if asked is None else asked
    least = network.least_patch_size
    if not least <= size <= MOST_PATCH_SIZE:
        told = f"it is {asked}" if asked is not None else f"what was labelled has {smallest}"
        raise SettingsError(
            f"patch_size must be {least} to {MOST_PATCH_SIZE} pixels for {network.name}; {told}."
        )
    return size


def _measured(
    fit_labels: Any, network: Any, training_scores: Any, validation: Any
) -> dict[str, Any]:
    """Measure a network on the patches held out, all together and each group by itself."""
    predicted = fit_labels.scores_of(network, validation.crops)
    names = np.array(validation.groups)
    by_group = {}
    for group in _names(validation.groups):
        chosen = names == group
        told = fit_labels.figures(validation.scores[chosen], predicted[chosen])
        by_group[group] = {"patches": int(chosen.sum()), **_rounded(told)}
    of_the_mean = np.full(len(predicted), training_scores.mean())
    return {
        "validation": _rounded(fit_labels.figures(validation.scores, predicted)),
        "validation_by_group": by_group,
        "of_the_mean": _rounded(fit_labels.figures(validation.scores, of_the_mean)),
    }


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in figures.items()}


def _names(groups: Sequence[str]) -> list[str]:
    """Name the groups, those of the most patches if there are very many."""
    return sorted(name for name, _ in Counter(groups).most_common(_MOST_GROUPS))


def _digest(patches: Sequence[LabelledPatch]) -> str:
    """Give what tells whether patches and scores are the same."""
    told = sorted(json.dumps([p.image, p.y, p.x, p.size, round(p.score, 9)]) for p in patches)
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _content(network: Any) -> bytes:
    """Give what Keras saves of a network."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / KERAS_FILE
        # Without the optimiser's state, which is twice as large as the weights.
        network.compile(loss="mean_squared_error")
        network.save(path)
        return path.read_bytes()
