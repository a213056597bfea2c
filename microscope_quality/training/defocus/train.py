"""From sharp images to a model folder: find, check, split, fit, fold, measure, write."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from microscope_quality.errors import SettingsError
from microscope_quality.model import (
    FOCUS,
    FocusModel,
    FocusTask,
    ModelDescription,
    find_model,
    read_model,
    write_model,
)
from microscope_quality.optics import N_LEVELS, Optics
from microscope_quality.training.architectures import Architecture, fine_tuned, get_architecture
from microscope_quality.training.calibration import tempered
from microscope_quality.training.defocus import sets, stored
from microscope_quality.training.defocus.check import check_sharp
from microscope_quality.training.defocus.figures import (
    Examination,
    Labelled,
    examined,
    held_out_temperature,
)
from microscope_quality.training.defocus.sources import by_deviation, by_model, find_sharp_images
from microscope_quality.training.defocus.stored import StoredBlocks, find_stored_images, is_set
from microscope_quality.training.defocus.stream import DefocusBlocks, SharpBlocks, StreamSettings
from microscope_quality.training.entries import entries
from microscope_quality.training.export import fold
from microscope_quality.training.fields import GroupBy, split_by_field

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class TrainingSettings:
    """What a training needs beside its images; None is the architecture's recipe.

    Attributes
    ----------
    architecture : str
        Unless training goes on from a model, whose own it then is.
    start : str, optional
        Name or folder of a model to go on from.
    stream : StreamSettings
        Its normalisation, gain and offset are set by the architecture.
    augment : bool
        For a model whose normalisation keeps gain and offset: draw them at random, as published.
    steps, batch_size, learning_rate, patience
        See :class:`microscope_quality.training.architectures.Recipe`.
    validation_fraction : float
        Share of each kind's fields that is held out.
    group_by : str, optional
        What a field is; see :meth:`microscope_quality.training.defocus.sources.GroupBy.parse`.
    sharpest : str
        How the sharpest plane of a z-stack is found: ``"std"``, by the largest standard deviation,
        or ``"model"``, by the model that checks.
    check : bool
        Leave out images that are blurred, saturated or empty; see
        :func:`microscope_quality.training.defocus.check.check_sharp`.
    check_with : str, optional
        Name or folder of the model that checks; by default the one that comes with the library.
    strict : bool
        Leave them out also where they are most of their kind.
    devices : str, optional
        See :func:`microscope_quality.training.distributed.connect`.
    tensorboard : bool
        Write the curves for TensorBoard too.
    seed : int
    workers : int
        Processes that make the stream.
    empty_patches : int
        Empty patches from which the model's ``sure_certainty`` is measured.
    """

    architecture: str = "compact"
    start: str | None = None
    stream: StreamSettings = field(default_factory=StreamSettings)
    augment: bool = True
    steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    patience: int | None = None
    validation_fraction: float = 0.15
    group_by: str | None = None
    sharpest: str = "std"
    check: bool = True
    check_with: str | None = None
    strict: bool = False
    devices: str | None = None
    tensorboard: bool = False
    seed: int = 0
    workers: int = 1
    empty_patches: int = 50_000


def train(
    paths: Sequence[Path],
    folder: Path,
    name: str,
    settings: TrainingSettings,
    *,
    manifest: Path | None = None,
    command: str = "",
    report: Report = lambda record: None,
) -> ModelDescription:
    """Train a model and write its folder.

    Parameters
    ----------
    paths : sequence of Path
        Files, folders or globs of sharp images; or folders of sets that ``synthesize`` wrote.
    folder : Path
        For the checkpoint and, in ``folder/name``, the model.
    name : str
        The model's name.
    settings : TrainingSettings
    manifest : Path, optional
        See :func:`microscope_quality.training.defocus.sources.find_sharp_images`.
    command : str
        The command line, for the model's record.
    report : callable
        Called before the first step with ``training``, ``validation`` (numbers of images),
        ``steps``, ``left_out`` and ``doubted`` (reasons by file); as :func:`fitting.fit` does;
        last with ``validation_images`` and ``validation_patches``, figures of each. Of whatever
        else takes a while it is called with ``doing``, a few words, and while that goes on with
        ``done``, ``of`` and, once it is known, ``seconds_left`` beside.

    Returns
    -------
    ModelDescription
        Of the model that was written; by the first of several machines alone.

    Raises
    ------
    SettingsError
        If the images are too few, a setting is out of its range, or the library for TensorBoard is
        missing.
    """
    from microscope_quality.training import distributed, fitting
    from microscope_quality.training.defocus.task import DefocusTask

    start = None if settings.start is None else read_model(find_model(settings.start))
    origin = None if start is None else start[0]
    architecture = _architecture(settings, origin)
    group_by = GroupBy.parse(settings.group_by) if settings.group_by else GroupBy()
    if settings.sharpest not in ("std", "model"):
        raise SettingsError(f"sharpest must be 'std' or 'model', not {settings.sharpest!r}.")
    if settings.tensorboard:
        fitting.check_tensorboard()
    devices = distributed.connect(settings.devices)
    stream = stream_of(architecture, settings.stream, augment=settings.augment)
    report({"doing": "reading the images"})
    found = find_images(paths, manifest, settings, group_by, stream, report)
    stream = found.stream
    # What the first model has seen, this one has seen.
    before = [] if origin is None else origin.training.get("training_files", [])
    training, validation = split_by_field(
        found.images, settings.validation_fraction, settings.seed, seen=frozenset(before)
    )
    recipe = architecture.recipe
    recipe = replace(
        recipe,
        steps=settings.steps or recipe.steps_for(len(training)),
        batch_size=settings.batch_size or recipe.batch_size,
        learning_rate=settings.learning_rate or recipe.learning_rate,
        patience=recipe.patience if settings.patience is None else settings.patience,
    )
    report(
        {
            "training": len(training),
            "validation": len(validation),
            "steps": recipe.steps,
            "left_out": found.left_out,
            "doubted": found.record.get("doubted", {}),
        }
    )
    network, reached = fitting.fit(
        DefocusTask(training, validation, stream, found.maker),
        replace(architecture, recipe=recipe),
        folder,
        seed=settings.seed,
        workers=settings.workers,
        devices=devices,
        start=start,
        tensorboard=settings.tensorboard,
        progress=report,
    )
    layers, weights = fold(architecture.layers, fitting.weights_of(network, architecture))
    best = reached.best
    learned = {*entries(training), *before}
    record = {
        "command": command,
        "versions": fitting.versions(),
        "stages": reached.stages,
        "patience": recipe.patience,
        "best_step": reached.step if best is None else best["step"],
        "training_images": len(training),
        "validation_fraction": settings.validation_fraction,
        "training_files": sorted(learned),
        # Of two files of one name in two folders of one name, neither is known to be unseen.
        "validation_files": [entry for entry in entries(validation) if entry not in learned],
        "left_out": {Path(path).name: reason for path, reason in found.left_out.items()},
        **found.record,
        "history": _thinned(reached.history, best),
    }
    licences = _licences(training)
    if origin is not None:
        record["from"] = {"name": origin.name, "sha256": origin.sha256}
        licences += tuple(entry for entry in origin.licences if entry not in licences)
    description = ModelDescription(
        name=name,
        task=FOCUS,
        architecture=architecture.name,
        patch_size=architecture.patch_size,
        normalisation=architecture.normalisation,
        details=FocusTask(levels=N_LEVELS, optics=stream.optics, sure_certainty=1.0),
        layers=tuple(layers),
        # As JSON gives it back, with lists for tuples.
        training=json.loads(json.dumps(record)),
        licences=licences,
    )
    if not devices.chief:
        return description
    report({"doing": "finding how sure the model may be"})
    degrees = held_out_temperature(FocusModel(description, weights), found.labelled, validation)
    weights = tempered(layers, weights, degrees)
    description = replace(description, training={**description.training, "temperature": degrees})
    examination = Examination(
        *(description, weights, stream, validation, found.labelled),
        seed=settings.seed,
        empty_patches=settings.empty_patches,
    )
    n = len(validation)
    held_out = f" and {n} held-out image{'s' * (n != 1)} at {N_LEVELS} levels" if n else ""
    sure, figures = examined(
        examination,
        folder,
        # The network has nothing to do any more, so that there is room for one process more.
        workers=settings.workers + 1 if settings.workers else 0,
        report=_counting(
            f"measuring the model on {settings.empty_patches:,} empty patches{held_out}", report
        ),
    )
    description = replace(
        description,
        details=replace(description.focus, sure_certainty=sure),
        training={**description.training, **figures},
    )
    if figures:
        report(figures)
    return write_model(folder / name, description, weights)


def _counting(doing: str, report: Report) -> Callable[[int, int], None]:
    """Give what reports how far something is: called at its beginning, and whenever it goes on."""
    begun, first = time.monotonic(), -1

    def count(done: int, total: int) -> None:
        nonlocal begun, first
        record: dict[str, Any] = {"doing": doing, "done": done, "of": total}
        if first < 0:
            begun, first = time.monotonic(), done
        elif done > first:
            left = (time.monotonic() - begun) * (total - done) / (done - first)
            record["seconds_left"] = round(left, 1)
        report(record)

    return count


def stream_of(
    architecture: Architecture, stream: StreamSettings, *, augment: bool = True
) -> StreamSettings:
    """Fit the stream to what goes into an architecture.

    Without a normalisation that removes them, gain and offset are drawn as published: log-uniform,
    0.2 to 5 times and 1 to 1000 grey levels; unless ``augment`` is false.
    """
    stream = replace(
        stream, normalisation=architecture.normalisation, patch_size=architecture.patch_size
    )
    if architecture.normalisation == "type_range" and augment:
        stream = replace(stream, gain=(0.2, 5.0), offset=(1.0, 1000.0))
    return stream


def _architecture(settings: TrainingSettings, origin: ModelDescription | None) -> Architecture:
    """Give the network to train: that of the model that training goes on from, if it does."""
    if origin is None:
        return get_architecture(settings.architecture)
    if origin.levels != N_LEVELS:
        raise SettingsError(
            f"{settings.start} has {origin.levels} levels; there must be {N_LEVELS}."
        )
    return fine_tuned(origin.architecture, origin.normalisation, origin.patch_size, origin.layers)


@dataclass(frozen=True)
class TrainingImages:
    """The images of a training, and what follows from their being sharp ones or those of sets.

    Attributes
    ----------
    images : sequence of SharpImage, or of StoredImage
    maker : type
        What makes blocks from them.
    labelled : callable
        Gives the planes of some of them, each with its level before it.
    stream : StreamSettings
        With the optics that sets were made for.
    left_out : dict
        Why files are not among them, by path.
    record : dict
        What the model's record says of the choice.
    """

    images: Sequence[Any]
    maker: type[DefocusBlocks[Any]]
    labelled: Labelled
    stream: StreamSettings
    left_out: dict[str, str]
    record: dict[str, Any]


def find_images(
    paths: Sequence[Path],
    manifest: Path | None,
    settings: TrainingSettings,
    group_by: GroupBy,
    stream: StreamSettings,
    report: Report = lambda record: None,
) -> TrainingImages:
    """Find the images to train on, of which some are to be held out.

    Raises
    ------
    SettingsError
        If there are none, or both sharp ones and sets.
    """
    folders = [path for path in paths if is_set(Path(path))]
    if not folders:
        return _sharp_images(paths, manifest, settings, group_by, stream, report)
    if len(folders) < len(paths):
        raise SettingsError(
            f"{folders[0]} is a set that synthesize wrote; it cannot be mixed with sharp "
            "images. Train on sets, or on sharp images."
        )
    images = find_stored_images(folders, stream.patch_size, group_by)
    if not images:
        raise SettingsError(f"{folders[0]} holds no image as large as a patch.")
    optics, *others = {image.optics for image in images}
    if others:
        told = "; ".join(sorted("unknown" if o is None else _told(o) for o in (optics, *others)))
        raise SettingsError(f"A model is for one optics; the sets are for several: {told}.")
    if optics is not None:
        stream = replace(stream, microscope=replace(stream.microscope, optics=optics))
    # Images of a set are as they were made: processed noise would tell which patches are empty.
    stream = replace(stream, processed_fraction=0.0)
    record = {"stored_sets": len(folders)}
    return TrainingImages(images, StoredBlocks, stored.labelled, stream, {}, record)


def _sharp_images(
    paths: Sequence[Path],
    manifest: Path | None,
    settings: TrainingSettings,
    group_by: GroupBy,
    stream: StreamSettings,
    report: Report,
) -> TrainingImages:
    critic: FocusModel | None = None
    by_critic = settings.sharpest == "model"
    if settings.check or by_critic:
        critic = FocusModel.from_pretrained(settings.check_with)
    images, left_out = find_sharp_images(
        paths,
        manifest=manifest,
        patch_size=stream.patch_size,
        group_by=group_by,
        sharpness=by_model(critic) if critic and by_critic else by_deviation,
    )
    if not images:
        raise SettingsError("No image can be trained on: " + _first_reason(left_out))
    chosen = {image.entry: image.plane for image in images if image.plane}
    record: dict[str, Any] = {"planes": chosen, "sharpest": settings.sharpest} if chosen else {}
    if settings.check and critic is not None:
        known = critic.description.optics == stream.optics
        check = check_sharp(
            images,
            critic,
            optics=None if known else stream.optics,
            strict=settings.strict,
            report=_counting(f"checking them with {critic.description.name}", report),
        )
        images = list(check.kept)
        left_out = {**left_out, **check.left_out}
        doubted = {Path(path).name: reason for path, reason in check.doubted.items()}
        record.update(check=check.to_dict(), doubted=doubted)
        if not images:
            raise SettingsError(
                "No image passes the check; without `check` they are trained on as they are: "
                + _first_reason(left_out)
            )
    # Of a tilted specimen only the middle would have the image's level.
    level = sets.SetSettings(replace(stream.microscope, tilt_levels=(0.0, 0.0)))
    labelled = partial(sets.labelled, settings=level)
    return TrainingImages(images, SharpBlocks, labelled, stream, left_out, record)


def _told(optics: Optics) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in optics.to_dict().items())


def _thinned(
    history: Sequence[dict[str, Any]], best: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Give some 40 of the records, the best and the last one always among them."""
    every = history[:: -max(1, len(history) // 40)][::-1]
    if best is None or best in every:
        return list(every)
    return sorted([*every, best], key=lambda record: int(record["step"]))


def _licences(images: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    """List the sources of the images, with what each says of its licence."""
    counts = Counter((image.kind, image.source, image.licence) for image in images)
    return tuple(
        {"images": count, "kind": kind, "source": source, "licence": licence}
        for (kind, source, licence), count in sorted(counts.items())
    )


def _first_reason(left_out: dict[str, str]) -> str:
    if not left_out:
        return "no image file was found."
    path, reason = next(iter(left_out.items()))
    more = f", and {len(left_out) - 1} more files" if len(left_out) > 1 else ""
    return f"{path}: {reason}{more}."
