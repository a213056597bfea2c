"""From sharp images to a model folder: find, check, split, fit, fold, measure, write."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from microscope_quality import metrics
from microscope_quality.certainty import certainty
from microscope_quality.errors import SettingsError
from microscope_quality.focus import measure_focus
from microscope_quality.metrics import Predictions
from microscope_quality.model import (
    FocusModel,
    ModelDescription,
    available_models,
    verify,
    write_model,
)
from microscope_quality.optics import N_LEVELS, Optics
from microscope_quality.training import sets, stored
from microscope_quality.training.architectures import Architecture, fine_tuned, get_architecture
from microscope_quality.training.check import check_sharp
from microscope_quality.training.empties import empty_patch
from microscope_quality.training.entries import entries
from microscope_quality.training.export import fold
from microscope_quality.training.exposure import NormalNoise
from microscope_quality.training.sources import (
    GroupBy,
    by_deviation,
    by_model,
    find_sharp_images,
    split_by_field,
)
from microscope_quality.training.stored import StoredImage, find_stored_images, is_set
from microscope_quality.training.stream import SharpImage, StreamSettings

SURE_EMPTY_FRACTION = 0.001
EMPTY_STREAM = 2
Images = Sequence[SharpImage | StoredImage]


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
        What a field is; see :meth:`microscope_quality.training.sources.GroupBy.parse`.
    sharpest : str
        How the sharpest plane of a z-stack is found: ``"std"``, by the largest standard deviation,
        or ``"model"``, by the model that checks.
    check : bool
        Leave out images that are blurred, saturated or empty; see
        :func:`microscope_quality.training.check.check_sharp`.
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
    start: Optional[str] = None
    stream: StreamSettings = field(default_factory=StreamSettings)
    augment: bool = True
    steps: Optional[int] = None
    batch_size: Optional[int] = None
    learning_rate: Optional[float] = None
    patience: Optional[int] = None
    validation_fraction: float = 0.15
    group_by: Optional[str] = None
    sharpest: str = "std"
    check: bool = True
    check_with: Optional[str] = None
    strict: bool = False
    devices: Optional[str] = None
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
    manifest: Optional[Path] = None,
    command: str = "",
    report: Callable[[dict[str, Any]], None] = lambda record: None,
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
        See :func:`microscope_quality.training.sources.find_sharp_images`.
    command : str
        The command line, for the model's record.
    report : callable
        Called before the first step with ``training``, ``validation`` (numbers of images),
        ``steps``, ``left_out`` and ``doubted`` (reasons by file); as :func:`fitting.fit` does;
        with ``doing``, a few words, before each thing that takes a while after the last step; and
        last with ``validation_images`` and ``validation_patches``, figures of each.

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

    architecture, origin, start = _architecture(settings)
    group_by = GroupBy.parse(settings.group_by) if settings.group_by else GroupBy()
    if settings.sharpest not in ("std", "model"):
        raise SettingsError(f"sharpest must be 'std' or 'model', not {settings.sharpest!r}.")
    if settings.tensorboard:
        fitting.check_tensorboard()
    devices = distributed.connect(settings.devices)
    stream = stream_of(architecture, settings.stream, augment=settings.augment)
    images, left_out, found = _images(paths, manifest, settings, group_by, stream)
    stream = _with_optics_of(images, stream)
    # What the first model has seen, this one has seen.
    before = [] if origin is None else origin.training.get("training_files", [])
    training, validation = split_by_field(
        images, settings.validation_fraction, settings.seed, seen=frozenset(before)
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
            "left_out": left_out,
            "doubted": found.get("doubted", {}),
        }
    )
    network, reached = fitting.fit(
        architecture,
        training,
        validation,
        stream,
        folder,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        patience=recipe.patience,
        seed=settings.seed,
        workers=settings.workers,
        devices=devices,
        start=start,
        start_sha256=None if origin is None else origin.sha256,
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
        "left_out": {Path(path).name: reason for path, reason in left_out.items()},
        **found,
        "history": _thinned(reached.history, best),
    }
    licences = _licences(training)
    if origin is not None:
        record["from"] = {"name": origin.name, "sha256": origin.sha256}
        licences += tuple(entry for entry in origin.licences if entry not in licences)
    description = ModelDescription(
        name=name,
        architecture=architecture.name,
        patch_size=architecture.patch_size,
        levels=N_LEVELS,
        normalisation=architecture.normalisation,
        optics=stream.optics,
        sure_certainty=1.0,
        layers=tuple(layers),
        # As JSON gives it back, with lists for tuples.
        training=json.loads(json.dumps(record)),
        licences=licences,
    )
    if not devices.chief:
        return description
    model = FocusModel(description, weights)
    report({"doing": f"asking the model about {settings.empty_patches:,} empty patches"})
    sure = sure_certainty(model, stream, settings.seed, settings.empty_patches)
    description = replace(description, sure_certainty=sure)
    if validation:
        n = len(validation)
        report({"doing": f"measuring {n} held-out image{'s' * (n != 1)} at {N_LEVELS} levels"})
        figures = held_out_figures(FocusModel(description, weights), validation, stream)
        description = replace(description, training={**description.training, **figures})
        report(figures)
    return write_model(folder / name, description, weights)


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


def sure_certainty(model: FocusModel, stream: StreamSettings, seed: int, n: int) -> float:
    """Find the certainty that at most 1 in 1,000 empty patches reaches.

    Measured on ``n`` empty patches that training did not see.
    """
    # Of its own key, which no stream of `fitting` has.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(EMPTY_STREAM,)))
    certainties = []
    for start in range(0, n, 500):
        normal = NormalNoise(rng)
        count = min(500, n - start)
        patches = np.stack([empty_patch(rng, normal, stream) for _ in range(count)])
        certainties.append(certainty(model.predict(patches, type_max=65535)))
    reached = np.sort(np.concatenate(certainties))
    allowed = int(SURE_EMPTY_FRACTION * len(reached))
    # One step above the highest certainty that must not reach it.
    return min(1.0, float(np.ceil(reached[-allowed - 1] * 1e4 + 1) / 1e4))


def held_out_figures(model: FocusModel, images: Images, stream: StreamSettings) -> dict[str, Any]:
    """Measure the images that were held out, each at every level.

    Returns
    -------
    dict
        ``validation_images`` and ``validation_patches``: the number of ``images`` or ``patches``,
        the shares ``exact`` and ``within_one``, ``mean_rps``, ``calibration_error``, the
        ``confusion`` matrix and the ``calibration`` table. A patch has the level of its image, also
        where it shows nothing.
    """
    of_images: list[Predictions] = []
    of_patches: list[Predictions] = []
    for image in images:
        for level, plane in _labelled(image, stream):
            result = measure_focus(plane, model)
            share = result.probabilities[np.newaxis]
            sure = np.array([result.certainty])
            of_images.append(_predictions(image, level, share, sure))
            of_patches.append(
                _predictions(image, level, result.patch_probabilities, result.patch_certainties)
            )
    return {
        f"validation_{what}": _figures(metrics.joined(parts), what)
        for what, parts in (("images", of_images), ("patches", of_patches))
    }


def _predictions(
    image: SharpImage | StoredImage,
    level: int,
    probabilities: npt.NDArray[np.float64],
    certainties: npt.NDArray[np.float64],
) -> Predictions:
    n = len(probabilities)
    return Predictions(
        np.full(n, image.entry),
        np.full(n, image.kind),
        np.full(n, level),
        probabilities,
        certainties,
    )


def _figures(predictions: Predictions, what: str) -> dict[str, Any]:
    figures = metrics.summary(predictions)
    table = metrics.calibration(predictions)
    names = ("exact", "within_one", "mean_rps", "calibration_error")
    # JSON has no NaN: the mean of an empty bin is None.
    bins = {
        name: [None if np.isnan(value) else round(float(value), 4) for value in values]
        for name, values in (
            ("edges", table.edges),
            ("confidence", table.confidence),
            ("accuracy", table.accuracy),
        )
    }
    return {
        what: len(predictions),
        "undefined": predictions.undefined,
        **{name: round(float(figures[name]), 4) for name in names},
        "confusion": metrics.confusion_of(predictions).tolist(),
        "calibration": {
            "error": round(float(table.error), 4),
            **bins,
            "count": table.count.tolist(),
        },
    }


def _labelled(
    image: SharpImage | StoredImage, stream: StreamSettings
) -> Iterable[tuple[int, npt.NDArray[Any]]]:
    if isinstance(image, StoredImage):
        return stored.labelled([image])
    # Of a tilted specimen only the middle would have the image's level.
    level = replace(stream.microscope, tilt_levels=(0.0, 0.0))
    return sets.labelled([image], sets.SetSettings(level))


def _architecture(
    settings: TrainingSettings,
) -> tuple[Architecture, Optional[ModelDescription], Optional[Mapping[str, npt.NDArray[Any]]]]:
    """Give the network to train and, when training goes on from a model, that and its weights."""
    if settings.start is None:
        return get_architecture(settings.architecture), None, None
    # Says what there is when the name is wrong.
    FocusModel.from_pretrained(settings.start)
    folder = available_models().get(settings.start, Path(settings.start))
    origin = verify(folder)
    if origin.levels != N_LEVELS:
        raise SettingsError(
            f"{settings.start} has {origin.levels} levels; there must be {N_LEVELS}."
        )
    with np.load(folder / "weights.npz", allow_pickle=False) as archive:
        weights = {key: archive[key] for key in archive.files}
    architecture = fine_tuned(
        origin.architecture, origin.normalisation, origin.patch_size, origin.layers
    )
    return architecture, origin, weights


def _images(
    paths: Sequence[Path],
    manifest: Optional[Path],
    settings: TrainingSettings,
    group_by: GroupBy,
    stream: StreamSettings,
) -> tuple[Images, dict[str, str], dict[str, Any]]:
    """Find the images, why others are left out, and what the model's record says of the choice."""
    folders = [path for path in paths if is_set(Path(path))]
    if folders:
        if len(folders) < len(paths):
            raise SettingsError(
                f"{folders[0]} is a set that synthesize wrote; it cannot be mixed with sharp "
                "images. Train on sets, or on sharp images."
            )
        made = find_stored_images(folders, stream.patch_size, group_by)
        if not made:
            raise SettingsError(f"{folders[0]} holds no image as large as a patch.")
        return made, {}, {"stored_sets": len(folders)}
    critic: Optional[FocusModel] = None
    if settings.check or settings.sharpest == "model":
        critic = FocusModel.from_pretrained(settings.check_with)
    by_critic = settings.sharpest == "model" and critic is not None
    images, left_out = find_sharp_images(
        paths,
        manifest=manifest,
        patch_size=stream.patch_size,
        group_by=group_by,
        sharpness=by_model(critic) if critic is not None and by_critic else by_deviation,
    )
    if not images:
        raise SettingsError("No image can be trained on: " + _first_reason(left_out))
    chosen = {image.entry: image.plane for image in images if image.plane}
    record: dict[str, Any] = {"planes": chosen, "sharpest": settings.sharpest} if chosen else {}
    if settings.check and critic is not None:
        known = critic.description.optics == stream.optics
        check = check_sharp(
            images, critic, optics=None if known else stream.optics, strict=settings.strict
        )
        images = list(check.kept)
        left_out = {**left_out, **check.left_out}
        doubted = {Path(path).name: reason for path, reason in check.doubted.items()}
        record.update(check=check.to_dict(), doubted=doubted)
        if not images:
            raise SettingsError(
                "No image passes the check; --no-check trains on them as they are: "
                + _first_reason(left_out)
            )
    return images, left_out, record


def _with_optics_of(images: Images, stream: StreamSettings) -> StreamSettings:
    """Give the stream the optics that the images of sets were made for, where these tell them."""
    found = {image.optics for image in images if isinstance(image, StoredImage)}
    if len(found) > 1:
        told = "; ".join(sorted("unknown" if o is None else _told(o) for o in found))
        raise SettingsError(f"A model is for one optics; the sets are for several: {told}.")
    for optics in found:
        if optics is not None:
            return replace(stream, microscope=replace(stream.microscope, optics=optics))
    return stream


def _told(optics: Optics) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in optics.to_dict().items())


def _thinned(
    history: Sequence[dict[str, Any]], best: Optional[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Give some 40 of the records, the best and the last one always among them."""
    every = history[:: -max(1, len(history) // 40)][::-1]
    if best is None or best in every:
        return list(every)
    return sorted([*every, best], key=lambda record: int(record["step"]))


def _licences(images: Images) -> tuple[dict[str, Any], ...]:
    """List the sources of the images, with what each says of its licence."""
    counts = Counter(
        (image.kind, image.source, image.licence)
        if isinstance(image, SharpImage)
        else (image.kind, "", "")
        for image in images
    )
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
