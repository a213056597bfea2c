"""From sharp images to a model folder: find, split, fit, fold, check, write."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from microscope_quality.certainty import certainty
from microscope_quality.errors import SettingsError
from microscope_quality.evaluation.levels import accuracy, confusion_of_images
from microscope_quality.model import FocusModel, ModelDescription, write_model
from microscope_quality.optics import N_LEVELS
from microscope_quality.training.architectures import Architecture, get_architecture
from microscope_quality.training.export import fold
from microscope_quality.training.sets import SetSettings, labelled
from microscope_quality.training.sources import find_sharp_images, split_by_field
from microscope_quality.training.stream import (
    NormalNoise,
    SharpImage,
    StreamSettings,
    empty_patch,
)

SURE_EMPTY_FRACTION = 0.001


@dataclass(frozen=True)
class TrainingSettings:
    """What a training needs beside its images; None is the architecture's recipe.

    Attributes
    ----------
    architecture : str
    stream : StreamSettings
        Its normalisation, gain and offset are set by the architecture.
    steps, batch_size, learning_rate
        See :class:`microscope_quality.training.architectures.Recipe`.
    validation_fraction : float
        Share of each kind's fields that is held out.
    seed : int
    workers : int
        Processes that make the stream.
    empty_patches : int
        Empty patches from which the model's ``sure_certainty`` is measured.
    """

    architecture: str = "compact"
    stream: StreamSettings = field(default_factory=StreamSettings)
    steps: Optional[int] = None
    batch_size: Optional[int] = None
    learning_rate: Optional[float] = None
    validation_fraction: float = 0.15
    seed: int = 0
    workers: int = 1
    empty_patches: int = 20_000


def train(
    paths: Sequence[Path],
    folder: Path,
    name: str,
    settings: TrainingSettings,
    *,
    manifest: Optional[Path] = None,
    report: Callable[[dict[str, Any]], None] = lambda record: None,
) -> ModelDescription:
    """Train a model and write its folder.

    Parameters
    ----------
    paths : sequence of Path
        Files, folders or globs of sharp images.
    folder : Path
        For the checkpoint and, in ``folder/name``, the model.
    name : str
        The model's name.
    settings : TrainingSettings
    manifest : Path, optional
        See :func:`microscope_quality.training.sources.find_sharp_images`.
    report : callable
        Called with a record before the first step (``training``, ``validation``: numbers of
        images; ``left_out``: reasons by file) and after each epoch.

    Returns
    -------
    ModelDescription

    Raises
    ------
    SettingsError
        If the images are too few, or a setting is out of its range.
    """
    from microscope_quality.training import fitting

    architecture = get_architecture(settings.architecture)
    recipe = architecture.recipe
    recipe = replace(
        recipe,
        steps=settings.steps or recipe.steps,
        batch_size=settings.batch_size or recipe.batch_size,
        learning_rate=settings.learning_rate or recipe.learning_rate,
    )
    stream = stream_of(architecture, settings.stream)
    images, left_out = find_sharp_images(
        paths, manifest=manifest, patch_size=architecture.patch_size
    )
    if not images:
        raise SettingsError("No image can be trained on: " + _first_reason(left_out))
    training, validation = split_by_field(images, settings.validation_fraction, settings.seed)
    report({"training": len(training), "validation": len(validation), "left_out": left_out})
    network, reached = fitting.fit(
        architecture,
        training,
        validation,
        stream,
        folder,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        seed=settings.seed,
        workers=settings.workers,
        progress=report,
    )
    layers, weights = fold(architecture.layers, fitting.weights_of(network, architecture))
    record = {
        "versions": fitting.versions(),
        "stages": reached.stages,
        "training_images": len(training),
        "validation_fraction": settings.validation_fraction,
        "validation_files": sorted({_short(image) for image in validation}),
        "left_out": {Path(path).name: reason for path, reason in left_out.items()},
        # Some 40 records, the last one always among them.
        "history": reached.history[:: -max(1, len(reached.history) // 40)][::-1],
    }
    # As JSON gives it back, with lists for tuples.
    record = json.loads(json.dumps(record))
    description = ModelDescription(
        name=name,
        architecture=architecture.name,
        patch_size=architecture.patch_size,
        levels=N_LEVELS,
        normalisation=architecture.normalisation,
        optics=stream.optics,
        sure_certainty=1.0,
        layers=tuple(layers),
        training=record,
        licences=_licences(training),
    )
    model = FocusModel(description, weights)
    sure = sure_certainty(model, stream, settings.seed, settings.empty_patches)
    description = replace(description, sure_certainty=sure)
    if validation:
        confusion, undefined = confusion_of_images(
            FocusModel(description, weights), labelled(validation, SetSettings(stream.optics))
        )
        record["validation_images"] = {
            **accuracy(confusion, undefined),
            "confusion": confusion.tolist(),
        }
        description = replace(description, training=record)
        report({"validation_images": accuracy(confusion, undefined)})
    return write_model(folder / name, description, weights)


def stream_of(architecture: Architecture, stream: StreamSettings) -> StreamSettings:
    """Fit the stream to what goes into an architecture.

    Without a normalisation that removes them, gain and offset are drawn as published: log-uniform,
    0.2 to 5 times and 1 to 1000 grey levels.
    """
    stream = replace(
        stream, normalisation=architecture.normalisation, patch_size=architecture.patch_size
    )
    if architecture.normalisation == "type_range":
        stream = replace(stream, gain=(0.2, 5.0), offset=(1.0, 1000.0))
    return stream


def sure_certainty(model: FocusModel, stream: StreamSettings, seed: int, n: int) -> float:
    """Find the certainty that at most 1 in 1,000 empty patches reaches.

    Measured on ``n`` empty patches that training did not see.
    """
    rng = np.random.default_rng((seed + (1 << 33), 0))
    certainties = []
    for start in range(0, n, 500):
        normal = NormalNoise(rng)
        count = min(500, n - start)
        patches = np.stack([empty_patch(rng, normal, stream) for _ in range(count)])
        certainties.append(certainty(model.predict(patches, type_max=65535)))
    reached = np.sort(np.concatenate(certainties))
    allowed = int(SURE_EMPTY_FRACTION * len(reached))
    # One step above the highest certainty that must not reach it.
    return float(np.ceil(reached[-allowed - 1] * 1e4 + 1) / 1e4)


def _licences(images: Sequence[SharpImage]) -> tuple[dict[str, Any], ...]:
    """List the sources of the images, with what each says of its licence."""
    counts = Counter((image.kind, image.source, image.licence) for image in images)
    return tuple(
        {"images": count, "kind": kind, "source": source, "licence": licence}
        for (kind, source, licence), count in sorted(counts.items())
    )


def _short(image: SharpImage) -> str:
    return f"{image.kind}/{Path(image.path).name}"


def _first_reason(left_out: dict[str, str]) -> str:
    if not left_out:
        return "no image file was found."
    path, reason = next(iter(left_out.items()))
    more = f", and {len(left_out) - 1} more files" if len(left_out) > 1 else ""
    return f"{path}: {reason}{more}."
