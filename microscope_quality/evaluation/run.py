"""Run an evaluation: every image once through every model and measure, then the figures of it."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality import certainty as certainties
from microscope_quality import metrics, tiles
from microscope_quality.batch.run import run
from microscope_quality.classical import MEASURES
from microscope_quality.errors import FileError, SettingsError, reason_of
from microscope_quality.evaluation.baselines import (
    MEASURES_OF_LIBRARIES,
    Measure,
    available_measures,
)
from microscope_quality.evaluation.binary import BinaryResult, binary_class, binary_result
from microscope_quality.evaluation.gain_offset import GAINS, OFFSETS, levels_at
from microscope_quality.evaluation.gain_offset import table as gain_offset_table
from microscope_quality.evaluation.gather import (
    Data,
    Scene,
    SetImage,
    SharpFile,
    Stack,
    scenes,
    shown,
    stack_planes,
)
from microscope_quality.evaluation.stacks import StackFigures, stack_figures
from microscope_quality.files.tables import Table, check_replaceable
from microscope_quality.focus import FocusResult, measure_at, measure_focus
from microscope_quality.metrics import Predictions
from microscope_quality.model import FocusModel, ModelDescription
from microscope_quality.optics import N_LEVELS, Optics
from microscope_quality.training.empties import empty_patch
from microscope_quality.training.exposure import NormalNoise
from microscope_quality.training.sets import SetSettings
from microscope_quality.training.stream import StreamSettings

FloatArray = npt.NDArray[np.float64]
Report = Callable[[int, int], None]
ModelLike = FocusModel | str | Path

SLOPE = "power_log_log_slope"


@dataclass(frozen=True)
class EvaluationSettings:
    """How an evaluation is done.

    Attributes
    ----------
    sets : SetSettings
        How sharp images are defocused and exposed.
    seed : int
        Of the random choices among images and patches, and of the empty patches.
    binary_patches : int
        Patches for the binary protocol, about, half of them in focus.
    example_patches : int
        Patches kept to be shown, about.
    empty_patches : int
        Patches without content.
    gain_offset_images : int
        Sharp images of which every level goes through the gain/offset test; 0: no such test.
    gains, offsets : tuple of float
        Of that test.
    classical : bool
        Judge the classical measures, too.
    optics : Optics or None
        Of the microscope of the z-stacks.
    step_um : float or None
        From one plane of a z-stack to the next.
    focus_plane : float or None
        z of the plane in focus, where it is known.
    jobs : int
        Processes.
    """

    sets: SetSettings = field(default_factory=SetSettings)
    seed: int = 0
    binary_patches: int = 4000
    example_patches: int = 1500
    empty_patches: int = 10_000
    gain_offset_images: int = 10
    gains: tuple[float, ...] = GAINS
    offsets: tuple[float, ...] = OFFSETS
    classical: bool = True
    optics: Optics | None = None
    step_um: float | None = None
    focus_plane: float | None = None
    jobs: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as plain numbers."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class ModelEvaluation:
    """One model's figures.

    Attributes
    ----------
    name : str
        The model's; with its number, when several models bear it.
    description : ModelDescription
    images : Predictions
        Of whole images of known level.
    patches : Predictions
        Of their patches, where the sharp image shows something: elsewhere there is no level.
    empty_certainty : (n,) array
        Certainties of patches without content, made as for training.
    gain_offset : list of dict or None
        A row for each gain and offset: ``gain``, ``offset``, ``n`` images, and the shares
        ``exact``, ``within_one`` and ``clipped`` (of the pixels, at 0 or 65535). None when no image
        suits the test.
    all_patches : Predictions or None
        With those where the sharp image shows nothing.
    status : (n,) array of str
        Of the images.
    """

    name: str
    description: ModelDescription
    images: Predictions
    patches: Predictions
    empty_certainty: FloatArray
    gain_offset: list[dict[str, float]] | None = None
    all_patches: Predictions | None = None
    status: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0, dtype=object))

    @property
    def empty_below_sure(self) -> float:
        """Share of the empty patches below the model's ``sure_certainty``; NaN without any."""
        if not len(self.empty_certainty):
            return float("nan")
        return float(np.mean(self.empty_certainty < self.description.sure_certainty))


@dataclass(frozen=True, eq=False)
class ExamplePatches:
    """A random sample of patches, with what the first model says of them.

    Attributes
    ----------
    patches : (n, side, side) array of float32
        Grey values as they are.
    true : (n,) array of int
        Level of their image.
    level, certainty : (n,) array of float64
        By the model; NaN and 0 where undefined.
    group : (n,) array of str
    shown : (n,) array of bool
        The sharp image shows something there.
    """

    patches: npt.NDArray[np.float32]
    true: npt.NDArray[np.int64]
    level: FloatArray
    certainty: FloatArray
    group: npt.NDArray[Any]
    shown: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All figures.

    Attributes
    ----------
    models : tuple of ModelEvaluation
        The first is the one asked about, the others stand beside it.
    binary : tuple of BinaryResult
        Of every model and classical measure, per image and per patch.
    stacks : tuple of StackFigures
        Of every z-stack and model.
    data : tuple of dict
        A row for each group: ``group``, ``images`` (sharp ones), ``fields``.
    example_patches : ExamplePatches
    left_out : dict
        Why a file was left out on purpose, by its path.
    failed : dict
        Why a file could not be read or judged, by its path.
    notes : tuple of str
        Sentences on what has to be known to read the figures.
    settings : dict
    command : str
        That made it; empty from Python.
    """

    models: tuple[ModelEvaluation, ...]
    binary: tuple[BinaryResult, ...]
    stacks: tuple[StackFigures, ...]
    data: tuple[dict[str, Any], ...]
    example_patches: ExamplePatches
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True)
class _SourceItem:
    """Sharp images to judge, and how much of them is drawn for what is judged by samples."""

    source: SharpFile | SetImage
    #: Of patches: for the binary protocol from each image at a level in focus, and out of focus,
    #: and to be shown. Fractions are chances.
    in_focus: float
    out_of_focus: float
    examples: float
    gain_offset: bool


@dataclass(frozen=True)
class _EmptyItem:
    number: int
    count: int


_Item = _SourceItem | _EmptyItem | Stack


@dataclass(frozen=True)
class _Job:
    """What a process needs to judge an item."""

    models: tuple[ModelLike, ...]
    names: tuple[str, ...]
    settings: EvaluationSettings
    measures: tuple[str, ...]

    def loaded(self) -> tuple[FocusModel, ...]:
        """Give the models, each read once in a process."""
        return tuple(load(model) for model in self.models)


@dataclass(frozen=True, eq=False)
class _Judged:
    """What became of a sharp plane's images; arrays go image by image, or patch by patch."""

    #: One for each model.
    images: tuple[Predictions, ...]
    status: tuple[list[str], ...]
    patches: tuple[Predictions, ...]
    shown: tuple[npt.NDArray[np.bool_], ...]
    #: Of all measures, the models' before the classical ones.
    image_scores: FloatArray
    patch_true: npt.NDArray[np.int64]
    patch_scores: FloatArray
    gain_true: npt.NDArray[np.int64]
    gain_levels: FloatArray
    gain_beyond: FloatArray
    examples: ExamplePatches


def load(model: ModelLike) -> FocusModel:
    """Give a model by itself, its name or its folder; see `FocusModel.from_pretrained`."""
    return model if isinstance(model, FocusModel) else FocusModel.from_pretrained(model)


def trained_on(models: Sequence[FocusModel]) -> dict[str, str]:
    """List the images that models were trained on, as ``kind/filename``, each with a reason.

    A model that does not say so gives none.
    """
    return {
        str(entry): f"{model.description.name} was trained on it"
        for model in models
        for entry in model.description.training.get("training_files", ())
    }


def held_out(model: FocusModel) -> tuple[str, ...]:
    """List the images that a model's training held out, as ``kind/filename``.

    Raises
    ------
    SettingsError
        If the model does not say so, or there are none.
    """
    entries = model.description.training.get("validation_files", ())
    if not entries:
        raise SettingsError(
            f"The model {model.description.name} does not say which images its training held out."
        )
    return tuple(str(entry) for entry in entries)


def predictions_of(
    model: FocusModel, labelled: Iterable[tuple[int, npt.NDArray[Any]]]
) -> Predictions:
    """Measure images whose level is known.

    Parameters
    ----------
    model : FocusModel
    labelled : iterable of (level, plane)
        Held one at a time.

    Returns
    -------
    Predictions
        Of the images in their order, without names and groups.
    """
    true, results = [], []
    for level, plane in labelled:
        true.append(level)
        results.append(measure_focus(plane, model))
    n = len(true)
    return Predictions.of(
        [""] * n,
        [""] * n,
        true,
        np.array([result.probabilities for result in results]).reshape(n, model.description.levels),
        [result.certainty for result in results],
    )


def evaluate(
    models: Sequence[ModelLike],
    data: Data,
    settings: EvaluationSettings | None = None,
    report: Report = lambda done, total: None,
    *,
    command: str = "",
) -> Evaluation:
    """Evaluate models side by side, and the classical measures beside them.

    Parameters
    ----------
    models : sequence of FocusModel, str or Path
        The one asked about, then others; for more than one process names or folders.
    data : Data
        As `gather.gather` and `gather.gather_stacks` find it.
    settings : EvaluationSettings, optional
    report : callable
        Called with the number of items done, and of all.
    command : str
        That asked for it, to be kept with the figures.

    Returns
    -------
    Evaluation
        The same whatever the number of processes. Files that could not be read are in `failed`.

    Raises
    ------
    SettingsError
        Without a model or data, for models that know other levels, or if no z-stack has a plane
        at ``focus_plane``.
    ModelNotFoundError, ModelError
        As `FocusModel.from_pretrained`.
    """
    settings = settings or EvaluationSettings()
    loaded = [load(model) for model in models]
    _check(loaded, data, settings)
    if settings.jobs > 1 and any(isinstance(model, FocusModel) for model in models):
        raise SettingsError("Models for more than one process have to be given as name or folder.")
    measures, missing = available_measures() if settings.classical else ({}, "")
    job = _Job(tuple(models), _names(loaded), settings, tuple(measures))
    items = _items(data, settings)
    failed = dict(data.failed)
    judged: list[_Judged] = []
    empty: list[list[FloatArray]] = []
    stacks: list[StackFigures] = []
    groups: dict[str, list[tuple[str, int]]] = {}
    report(0, len(items))
    with closing(run(functools.partial(_judge, job), items, jobs=settings.jobs)) as outcomes:
        for done, outcome in enumerate(outcomes, 1):
            report(done, len(items))
            item, value = outcome.item, outcome.value
            if outcome.error or value is None:
                name = _name_of(item)
                failed[name] = reason_of(outcome.error, name)
            elif isinstance(item, _SourceItem):
                judged += value
                groups.setdefault(item.source.group, []).append((item.source.field, len(value)))
            elif isinstance(item, Stack):
                stacks += value
            else:
                empty.append(value)
    if not judged and not stacks:
        reasons = [f"{path}: {reason}" for path, reason in failed.items()]
        raise SettingsError(f"Nothing could be evaluated. {'; '.join(reasons[:3])}")
    return Evaluation(
        models=tuple(
            _model_evaluation(
                model.description, number, job, judged, [part[number] for part in empty]
            )
            for number, model in enumerate(loaded)
        ),
        binary=_binary(job, judged),
        stacks=tuple(stacks),
        data=tuple(
            {
                "group": group,
                "images": sum(count for _, count in members),
                "fields": len({field_of_view for field_of_view, _ in members}),
            }
            for group, members in sorted(groups.items())
        ),
        example_patches=_joined_examples([part.examples for part in judged], loaded[0]),
        left_out=dict(data.left_out),
        failed=failed,
        notes=(*data.notes, *_notes(loaded, data), *([missing] if missing else [])),
        settings=settings.to_dict(),
        command=command,
    )


def _check(models: Sequence[FocusModel], data: Data, settings: EvaluationSettings) -> None:
    if not models:
        raise SettingsError("An evaluation needs a model.")
    for model in models:
        if model.description.levels != N_LEVELS:
            raise SettingsError(
                f"The model {model.description.name} knows {model.description.levels} levels; "
                f"images are made at {N_LEVELS}."
            )
    if not data.sources and not data.stacks:
        reasons = [f"{path}: {reason}" for path, reason in {**data.failed, **data.left_out}.items()]
        raise SettingsError(
            f"There is no image to evaluate on. {'; '.join([*data.notes, *reasons][:3])}".strip()
        )
    if settings.step_um is not None and not settings.step_um > 0:
        raise SettingsError(f"step_um must be over 0 µm, not {settings.step_um:g}.")
    if settings.focus_plane is not None and data.stacks:
        missing = [_without_focus_plane(stack, settings.focus_plane) for stack in data.stacks]
        # One of many stacks that lacks its plane is left out by itself.
        if all(missing):
            more = f" So it is with the other {len(missing) - 1}." if len(missing) > 1 else ""
            raise SettingsError(missing[0] + more)


def _without_focus_plane(stack: Stack, z: float) -> str:
    """Say that a z-stack has no plane there; nothing where it has one."""
    places = [plane.z for plane in stack.planes]
    if z in places:
        return ""
    return (
        f"focus_plane must be the z of a plane: the z-stack {stack.name} has {len(places)} planes, "
        f"from z = {places[0]:g} to {places[-1]:g}, and none at {z:g}."
    )


def _names(models: Sequence[FocusModel]) -> tuple[str, ...]:
    names = [model.description.name for model in models]
    return tuple(
        name if names.count(name) == 1 else f"{name} ({number + 1})"
        for number, name in enumerate(names)
    )


def _notes(models: Sequence[FocusModel], data: Data) -> list[str]:
    """Say of which models it is not known whether they were trained on the data."""
    silent = []
    for model in models:
        record = model.description.training
        unseen = record.get("validation_files", ())
        if "training_files" not in record and any(s.entry not in unseen for s in data.sources):
            silent.append(model.description.name)
    if not silent:
        return []
    return [
        f"{', '.join(silent)}: the model does not list the images that it was trained on, so they "
        "could not be left out."
    ]


def _items(data: Data, settings: EvaluationSettings) -> list[_Item]:
    rng = np.random.default_rng(settings.seed)
    n = max(1, len(data.sources))
    half = settings.binary_patches / 2 / n
    kinds = binary_class(np.arange(N_LEVELS))
    chosen = set(rng.permutation(len(data.sources))[: settings.gain_offset_images].tolist())
    items: list[_Item] = [
        _SourceItem(
            source,
            in_focus=half / np.count_nonzero(kinds == 1),
            out_of_focus=half / np.count_nonzero(kinds == 0),
            examples=settings.example_patches / n / N_LEVELS,
            gain_offset=number in chosen,
        )
        for number, source in enumerate(data.sources)
    ]
    items += data.stacks
    # Few, and so that the first of them are at work while files are read.
    size = 500
    items += [
        _EmptyItem(number, min(size, settings.empty_patches - start))
        for number, start in enumerate(range(0, settings.empty_patches, size))
    ]
    return items


def _name_of(item: _Item) -> str:
    if isinstance(item, _SourceItem):
        source = item.source
        return source.path if isinstance(source, SharpFile) else source.name
    return f"z-stack {item.name}" if isinstance(item, Stack) else f"empty patches {item.number}"


def _judge(job: _Job, item: _Item) -> Any:
    if isinstance(item, _EmptyItem):
        return _judge_empty(job, item)
    if isinstance(item, Stack):
        return _judge_stack(job, item)
    smallest = max(model.description.patch_size for model in job.loaded())
    return [
        _judge_scene(job, item, scene) for scene in scenes(item.source, job.settings.sets, smallest)
    ]


def _judge_empty(job: _Job, item: _EmptyItem) -> list[FloatArray]:
    """Give each model's certainties of patches without content."""
    found = []
    for model in job.loaded():
        stream = StreamSettings(
            patch_size=model.description.patch_size, normalisation=model.description.normalisation
        )
        rng = np.random.default_rng((job.settings.seed, 1 << 33, item.number))
        normal = NormalNoise(rng)
        patches = np.stack([empty_patch(rng, normal, stream) for _ in range(item.count)])
        found.append(
            np.asarray(certainties.certainty(model.predict(patches, type_max=65535)), np.float64)
        )
    return found


def _judge_stack(job: _Job, stack: Stack) -> list[StackFigures]:
    models = job.loaded()
    settings = job.settings
    results: list[list[FocusResult]] = [[] for _ in models]
    for plane in stack_planes(stack):
        for model, given in zip(models, results):
            given.append(measure_focus(plane, model))
    # After reading: a file that cannot be read may be why the plane is missing.
    if settings.focus_plane is not None:
        missing = _without_focus_plane(stack, settings.focus_plane)
        if missing:
            raise SettingsError(missing)
    return [
        stack_figures(
            stack.name,
            name,
            [place.z for place in stack.planes],
            given,
            focus=settings.focus_plane,
            step_um=settings.step_um,
            optics=settings.optics,
        )
        for name, given in zip(job.names, results)
    ]


def _judge_scene(job: _Job, item: _SourceItem, scene: Scene) -> _Judged:
    measures = _chosen_measures(job.measures)
    rng = np.random.default_rng((job.settings.seed, zlib.crc32(scene.name.encode())))
    models = job.loaded()
    first = models[0]
    side = first.description.patch_size
    true: list[int] = []
    results: list[list[FocusResult]] = [[] for _ in models]
    content: list[list[npt.NDArray[np.bool_]]] = [[] for _ in models]
    image_scores: list[list[float]] = []
    patch_true: list[int] = []
    patch_scores: list[FloatArray] = []
    gain: list[tuple[int, FloatArray, FloatArray]] = []
    examples: list[ExamplePatches] = []
    known: dict[tuple[tuple[int, ...], int], npt.NDArray[np.bool_]] = {}
    for level, plane in scene.images:
        true.append(level)
        for number, model in enumerate(models):
            result = measure_focus(plane, model)
            size = model.description.patch_size
            key = (plane.shape, size)
            if key not in known:
                known[key] = shown(scene.sharp, result.patch_positions, size)
            results[number].append(result)
            content[number].append(known[key])
        given = [float(of_model[-1].expected_level) for of_model in results]
        kind = int(binary_class(level))
        image_scores.append(
            given + [measure(plane) if kind >= 0 else np.nan for measure in measures]
        )
        here, there = results[0][-1], content[0][-1]
        if kind >= 0:
            wanted = item.in_focus if kind == 1 else item.out_of_focus
            drawn = _drawn(rng, np.flatnonzero(there), wanted)
            scores = _scores(models, measures, plane, here, drawn, [r[-1] for r in results])
            patch_scores.append(scores)
            patch_true += [level] * len(drawn)
        drawn = _drawn(rng, np.arange(len(there)), item.examples)
        examples.append(
            ExamplePatches(
                patches=tiles.cut(plane, here.patch_positions[drawn], side).astype(np.float32),
                true=np.full(len(drawn), level, np.int64),
                level=here.patch_levels[drawn],
                certainty=here.patch_certainties[drawn],
                group=np.array([scene.group] * len(drawn), dtype=object),
                shown=there[drawn],
            )
        )
        if item.gain_offset and plane.dtype.kind in "iu":
            gain.append(
                (level, *levels_at(models, plane, job.settings.gains, job.settings.offsets))
            )
    n_measures = len(models) + len(measures)
    return _Judged(
        images=tuple(_image_predictions(scene, true, given) for given in results),
        status=tuple([result.status for result in given] for given in results),
        patches=tuple(_patch_predictions(scene, true, given) for given in results),
        shown=tuple(np.concatenate(masks) for masks in content),
        image_scores=np.array(image_scores).reshape(-1, n_measures),
        patch_true=np.array(patch_true, np.int64),
        patch_scores=np.concatenate([np.empty((0, n_measures)), *patch_scores]),
        gain_true=np.array([level for level, _, _ in gain], np.int64),
        gain_levels=np.array([levels for _, levels, _ in gain]),
        gain_beyond=np.array([beyond for _, _, beyond in gain]),
        examples=_joined_examples(examples, first),
    )


def _chosen_measures(names: Sequence[str]) -> list[Measure]:
    """Find measures by name: functions do not all travel between processes."""
    known = {**MEASURES, **MEASURES_OF_LIBRARIES}
    return [known[name] for name in names]


def _drawn(
    rng: np.random.Generator, places: npt.NDArray[np.intp], expected: float
) -> npt.NDArray[np.intp]:
    """Draw places without repetition, so many on average."""
    count = min(len(places), int(expected + rng.random()))
    return np.sort(rng.choice(places, count, replace=False))


def _scores(
    models: Sequence[FocusModel],
    measures: Sequence[Measure],
    plane: npt.NDArray[Any],
    result: FocusResult,
    drawn: npt.NDArray[np.intp],
    results: Sequence[FocusResult],
) -> FloatArray:
    """Give all measures of some of the first model's patches, (patches, measures)."""
    side = models[0].description.patch_size
    corners = result.patch_positions[drawn]
    columns: list[npt.ArrayLike] = []
    for model, given in zip(models, results):
        if model.description.patch_size == side:
            columns.append(given.patch_expected_levels[drawn])
        else:
            # The same places, seen through patches of this model's size.
            columns.append(measure_at(plane, corners + side // 2, model).expected_levels)
    patches = tiles.cut(plane, corners, side)
    columns += [[measure(patch) for patch in patches] for measure in measures]
    scores: FloatArray = np.array(columns, np.float64).reshape(len(columns), len(drawn)).T
    return scores


def _image_predictions(
    scene: Scene, true: Sequence[int], results: Sequence[FocusResult]
) -> Predictions:
    n = len(true)
    return Predictions.of(
        [scene.name] * n,
        [scene.group] * n,
        true,
        np.array([result.probabilities for result in results]).reshape(n, -1),
        [result.certainty for result in results],
    )


def _patch_predictions(
    scene: Scene, true: Sequence[int], results: Sequence[FocusResult]
) -> Predictions:
    counts = [len(result.patch_levels) for result in results]
    n = sum(counts)
    return Predictions.of(
        [scene.name] * n,
        [scene.group] * n,
        np.repeat(true, counts),
        np.concatenate([result.patch_probabilities for result in results]),
        np.concatenate([result.patch_certainties for result in results]),
    )


def _joined_examples(parts: Sequence[ExamplePatches], model: FocusModel) -> ExamplePatches:
    side = model.description.patch_size
    nothing = ExamplePatches(
        np.empty((0, side, side), np.float32),
        np.empty(0, np.int64),
        np.empty(0),
        np.empty(0),
        np.empty(0, dtype=object),
        np.empty(0, np.bool_),
    )
    return ExamplePatches(
        *(
            np.concatenate([getattr(part, name.name) for part in (nothing, *parts)])
            for name in fields(ExamplePatches)
        )
    )


def _model_evaluation(
    description: ModelDescription,
    number: int,
    job: _Job,
    judged: Sequence[_Judged],
    empty: Sequence[FloatArray],
) -> ModelEvaluation:
    nothing = Predictions.of([], [], [], np.empty((0, N_LEVELS)))
    patches = metrics.joined([nothing, *(part.patches[number] for part in judged)])
    content = np.concatenate([np.empty(0, np.bool_), *(part.shown[number] for part in judged)])
    tested = [part for part in judged if len(part.gain_true)]
    settings = job.settings
    return ModelEvaluation(
        name=job.names[number],
        description=description,
        images=metrics.joined([nothing, *(part.images[number] for part in judged)]),
        patches=patches.select(content),
        empty_certainty=np.concatenate([np.empty(0), *empty]),
        gain_offset=gain_offset_table(
            np.concatenate([part.gain_true for part in tested]),
            np.concatenate([part.gain_levels[:, number] for part in tested]),
            np.concatenate([part.gain_beyond for part in tested]),
            settings.gains,
            settings.offsets,
        )
        if tested
        else None,
        all_patches=patches,
        status=np.array(
            [status for part in judged for status in part.status[number]], dtype=object
        ),
    )


def _binary(job: _Job, judged: Sequence[_Judged]) -> tuple[BinaryResult, ...]:
    if not judged:
        return ()
    found: list[BinaryResult] = []
    for per, true, scores in (
        (
            "image",
            np.concatenate([part.images[0].true for part in judged]),
            np.concatenate([part.image_scores for part in judged]),
        ),
        (
            "patch",
            np.concatenate([part.patch_true for part in judged]),
            np.concatenate([part.patch_scores for part in judged]),
        ),
    ):
        for number, name in enumerate((*job.names, *job.measures)):
            result = binary_result(name, per, scores[:, number], true)
            if result is not None:
                found.append(result)
    return tuple(found)


# Tables


def summary_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Put side by side the models, the power log-log slope and the best other classical measure.

    The best is the one of the highest F-score per image.

    Returns
    -------
    list of dict
        With the keys of ``SUMMARY_COLUMNS``; what a measure has no figure of is missing.
    """
    binary = {(result.measure, result.per): result for result in evaluation.binary}
    rows = []
    for model in evaluation.models:
        row: dict[str, Any] = {"measure": model.name, "kind": "model"}
        for what, plural, predictions in (
            ("image", "images", model.images),
            ("patch", "patches", model.patches),
        ):
            if len(predictions):
                figures = metrics.summary(predictions)
                row[plural] = figures.pop("n")
                row.update({f"{what}_{name}": value for name, value in figures.items()})
        row["empty_below_sure"] = model.empty_below_sure
        if model.gain_offset:
            row["gain_offset_worst_within_one"] = min(r["within_one"] for r in model.gain_offset)
        stacks = [stack for stack in evaluation.stacks if stack.model == model.name]
        if stacks:
            row["stacks"] = len(stacks)
            row["stack_spearman"] = _mean([stack.spearman for stack in stacks])
            row["stack_best_plane_error"] = _mean([abs(s.best_plane_error) for s in stacks])
            row["stack_slope"] = _mean([stack.slope for stack in stacks])
            row["stack_within_one"] = _mean([stack.within_one for stack in stacks])
        rows.append(row)
    names = {model.name for model in evaluation.models}
    classical = [r for r in evaluation.binary if r.measure not in names and r.per == "image"]
    others = [result for result in classical if result.measure != SLOPE]
    chosen = [result.measure for result in classical if result.measure == SLOPE]
    if others:
        chosen.append(max(others, key=lambda result: result.f).measure)
    rows += [{"measure": name, "kind": "classical"} for name in chosen]
    for row in rows:
        for per in ("image", "patch"):
            result = binary.get((row["measure"], per))
            if result is not None:
                row[f"binary_{per}_f"] = result.f
                row[f"binary_{per}_low"], row[f"binary_{per}_high"] = result.low, result.high
    return rows


_FIGURES = (
    "undefined",
    "exact",
    "within_one",
    "exact_certain_half",
    "within_one_certain_half",
    "mean_rps",
    "calibration_error",
    "mean_certainty",
    "risk_area",
)
SUMMARY_COLUMNS = (
    "measure",
    "kind",
    "images",
    *(f"image_{name}" for name in _FIGURES),
    "patches",
    *(f"patch_{name}" for name in _FIGURES),
    *(f"binary_{per}_{name}" for per in ("image", "patch") for name in ("f", "low", "high")),
    "empty_below_sure",
    "gain_offset_worst_within_one",
    "stacks",
    "stack_spearman",
    "stack_best_plane_error",
    "stack_slope",
    "stack_within_one",
)
#: Points of a risk-coverage curve in its table, at most.
CURVE_POINTS = 200


def write_tables(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write all figures as CSV tables, each whole or not at all.

    A table that has nothing to say has its header only, so that none is left over from an earlier
    evaluation.

    Parameters
    ----------
    evaluation : Evaluation
    folder : Path
        Made when it is missing.

    Returns
    -------
    list of Path

    Raises
    ------
    FileError
        If something else has a table's name, or nothing can be written.
    """
    check_folder(folder)
    written = []
    for name, (columns, rows) in _TABLES.items():
        table = Table(folder / name, columns)
        try:
            table.append(*rows(evaluation))
            table.finish()
        finally:
            table.close()
        written.append(table.path)
    return written


def check_folder(folder: Path) -> None:
    """Make the folder for the tables, or refuse it, before a long evaluation.

    Raises
    ------
    FileError
        As `write_tables`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be written: {error.strerror or error}") from error
    for name, (columns, _) in _TABLES.items():
        check_replaceable(folder / name, columns)


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _all_predictions(evaluation: Evaluation) -> Iterator[tuple[str, str, Predictions]]:
    for model in evaluation.models:
        for per, predictions in (
            ("image", model.images),
            ("patch", model.patches),
            ("any_patch", model.all_patches),
        ):
            if predictions is not None and len(predictions):
                yield model.name, per, predictions


def _group_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for model, per, predictions in _all_predictions(evaluation):
        for group in ("", *sorted(set(predictions.group))):
            part = predictions.select(predictions.group == group) if group else predictions
            yield {
                "model": model,
                "group": group or "(all)",
                "per": per,
                **metrics.summary(part),
            }


def _image_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for model in evaluation.models:
        images = model.images
        for i in range(len(images)):
            yield {
                "model": model.name,
                "name": images.name[i],
                "group": images.group[i],
                "true": images.true[i],
                "level": images.level[i],
                "expected_level": images.expected_level[i],
                "certainty": images.certainty[i],
                "status": model.status[i] if len(model.status) else "",
                **{f"p{k}": p for k, p in enumerate(images.probabilities[i])},
            }


def _confusion_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for model, per, predictions in _all_predictions(evaluation):
        counts = metrics.confusion_of(predictions)
        shares = metrics.row_normalised(counts)
        for true, level in np.ndindex(*counts.shape):
            yield {
                "model": model,
                "per": per,
                "true": true,
                "level": level,
                "count": counts[true, level],
                "share": shares[true, level],
            }


def _distance_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for model, per, predictions in _all_predictions(evaluation):
        for distance, share in enumerate(metrics.within_of(predictions)):
            yield {"model": model, "per": per, "distance": distance, "share_within": share}


def _calibration_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for model, per, predictions in _all_predictions(evaluation):
        found = metrics.calibration(predictions)
        for i in range(len(found.count)):
            yield {
                "model": model,
                "per": per,
                "low": found.edges[i],
                "high": found.edges[i + 1],
                "confidence": found.confidence[i],
                "accuracy": found.accuracy[i],
                "count": found.count[i],
            }


def _risk_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for model, per, predictions in _all_predictions(evaluation):
        for tolerance in (0, 1):
            curve = metrics.risk_coverage(predictions, tolerance)
            n = len(curve.coverage)
            chosen = np.unique(np.linspace(0, n - 1, min(n, CURVE_POINTS)).round().astype(int))
            for i in chosen:
                yield {
                    "model": model,
                    "per": per,
                    "tolerance": tolerance,
                    "coverage": curve.coverage[i],
                    "risk": curve.risk[i],
                    "certainty": curve.certainty[i],
                }


def _empty_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for model in evaluation.models:
        if len(model.empty_certainty):
            median, q99, q999 = np.quantile(model.empty_certainty, (0.5, 0.99, 0.999))
            yield {
                "model": model.name,
                "n": len(model.empty_certainty),
                "sure_certainty": model.description.sure_certainty,
                "below_sure": model.empty_below_sure,
                "median": median,
                "q99": q99,
                "q999": q999,
                "highest": model.empty_certainty.max(),
            }


def _stack_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for stack in evaluation.stacks:
        row = {name: getattr(stack, name) for name in _STACK_COLUMNS if name != "planes"}
        yield {**row, "planes": len(stack.z)}


def _plane_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for stack in evaluation.stacks:
        for i in range(len(stack.z)):
            values = {
                name: getattr(stack, name)[i]
                for name in _PLANE_COLUMNS
                if name not in ("stack", "model")
            }
            yield {"stack": stack.stack, "model": stack.model, **values}


def _gain_offset_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for model in evaluation.models:
        for row in model.gain_offset or ():
            yield {"model": model.name, **row}


def _left_out_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    for what, files in (("failed", evaluation.failed), ("left out", evaluation.left_out)):
        for path, reason in files.items():
            yield {"file": path, "what": what, "reason": reason}


_STACK_COLUMNS = (
    *("stack", "model", "planes", "focus", "focus_known", "best_z", "best_plane_error"),
    *("spearman", "spearman_below", "spearman_above", "slope", "within_one"),
)
_PLANE_COLUMNS = (
    *("stack", "model", "z", "level", "expected_level", "certainty", "status", "geometric_level"),
)
_TABLES: dict[str, tuple[tuple[str, ...], Callable[[Evaluation], Iterable[Mapping[str, Any]]]]] = {
    "summary.csv": (SUMMARY_COLUMNS, summary_rows),
    "data.csv": (("group", "images", "fields"), lambda evaluation: evaluation.data),
    "groups.csv": (("model", "group", "per", "n", *_FIGURES), _group_rows),
    "images.csv": (
        (
            *("model", "name", "group", "true", "level", "expected_level", "certainty", "status"),
            *(f"p{k}" for k in range(N_LEVELS)),
        ),
        _image_rows,
    ),
    "confusion.csv": (("model", "per", "true", "level", "count", "share"), _confusion_rows),
    "distance.csv": (("model", "per", "distance", "share_within"), _distance_rows),
    "calibration.csv": (
        ("model", "per", "low", "high", "confidence", "accuracy", "count"),
        _calibration_rows,
    ),
    "risk_coverage.csv": (
        ("model", "per", "tolerance", "coverage", "risk", "certainty"),
        _risk_rows,
    ),
    "empty_patches.csv": (
        ("model", "n", "sure_certainty", "below_sure", "median", "q99", "q999", "highest"),
        _empty_rows,
    ),
    "gain_offset.csv": (
        ("model", "gain", "offset", "n", "exact", "within_one", "clipped"),
        _gain_offset_rows,
    ),
    "binary.csv": (
        tuple(name.name for name in fields(BinaryResult)),
        lambda evaluation: (asdict(result) for result in evaluation.binary),
    ),
    "z_stacks.csv": (_STACK_COLUMNS, _stack_rows),
    "z_planes.csv": (_PLANE_COLUMNS, _plane_rows),
    "left_out.csv": (("file", "what", "reason"), _left_out_rows),
}
