"""Run an evaluation: every image once through every model and measure, then the figures of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

import numpy as np

from microscope_quality import metrics
from microscope_quality.batch.run import run
from microscope_quality.errors import SettingsError, reason_of
from microscope_quality.evaluation import gain_offset
from microscope_quality.evaluation.baselines import available_measures
from microscope_quality.evaluation.binary import BinaryResult, binary_result
from microscope_quality.evaluation.gather import Data
from microscope_quality.evaluation.judging import (
    FloatArray,
    Judge,
    JudgedScene,
    JudgedStack,
    ModelLike,
    SharpCase,
    cases_of,
    load,
    name_of,
    without_focus_plane,
)
from microscope_quality.evaluation.results import (
    Evaluation,
    EvaluationSettings,
    ExamplePatches,
    ModelEvaluation,
)
from microscope_quality.evaluation.stacks import StackFigures, StackMeasure
from microscope_quality.metrics import Predictions
from microscope_quality.model import FocusModel
from microscope_quality.optics import N_LEVELS

Report = Callable[[int, int], None]


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
        As `gather.gather` and `gather_stacks.gather_stacks` find it.
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
    baselines, missing = available_measures() if settings.classical else ({}, "")
    judge = Judge(tuple(models), _names(loaded), settings, tuple(baselines))
    cases = cases_of(data, settings)
    failed = dict(data.failed)
    judged: list[JudgedScene] = []
    empty: list[list[FloatArray]] = []
    stacks: list[StackFigures] = []
    stack_measures: list[StackMeasure] = []
    groups: dict[str, list[str]] = {}
    report(0, len(cases))
    with closing(run(judge, cases, jobs=settings.jobs)) as outcomes:
        for done, outcome in enumerate(outcomes, 1):
            report(done, len(cases))
            case, value = outcome.item, outcome.value
            if outcome.error or value is None:
                name = name_of(case)
                failed[name] = reason_of(outcome.error, name)
            elif isinstance(case, SharpCase):
                judged += value
                # The field of each sharp image.
                groups.setdefault(case.source.group, []).extend([case.source.field] * len(value))
            elif isinstance(value, JudgedStack):
                stacks += value.figures
                stack_measures += value.measures
            else:
                empty.append(value)
    if not judged and not stacks:
        reasons = [f"{path}: {reason}" for path, reason in failed.items()]
        raise SettingsError(f"Nothing could be evaluated. {'; '.join(reasons[:3])}")
    return Evaluation(
        models=tuple(
            _model_evaluation(judge, number, model, judged, [part[number] for part in empty])
            for number, model in enumerate(loaded)
        ),
        binary=_binary(judge, judged),
        stacks=tuple(stacks),
        stack_measures=tuple(stack_measures),
        data=tuple(
            {"group": group, "images": len(of), "fields": len(set(of))}
            for group, of in sorted(groups.items())
        ),
        example_patches=ExamplePatches.joined(
            [part for scene in judged for part in scene.examples], loaded[0].description.patch_size
        ),
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
        missing = [without_focus_plane(stack, settings.focus_plane) for stack in data.stacks]
        # One of many stacks that lacks its plane is left out by itself.
        if all(missing):
            more = f" So it is with the other {len(missing) - 1}." if len(missing) > 1 else ""
            raise SettingsError(missing[0] + more)


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


def _model_evaluation(
    judge: Judge,
    number: int,
    model: FocusModel,
    judged: Sequence[JudgedScene],
    empty: Sequence[FloatArray],
) -> ModelEvaluation:
    nothing = Predictions.of([], [], [], np.empty((0, N_LEVELS)))
    patches = metrics.joined([nothing, *(scene.patches[number] for scene in judged)])
    content = np.concatenate([np.empty(0, np.bool_), *(scene.shown[number] for scene in judged)])
    tested = [image for scene in judged for image in scene.gain_offset]
    settings = judge.settings
    return ModelEvaluation(
        name=judge.names[number],
        description=model.description,
        images=metrics.joined([nothing, *(scene.images[number] for scene in judged)]),
        patches=patches.select(content),
        empty_certainty=np.concatenate([np.empty(0), *empty]),
        gain_offset=gain_offset.table(
            np.array([level for level, _, _ in tested]),
            np.array([levels[number] for _, levels, _ in tested]),
            np.array([beyond for _, _, beyond in tested]),
            settings.gains,
            settings.offsets,
        )
        if tested
        else None,
        all_patches=patches,
        status=np.array(
            [status for scene in judged for status in scene.status[number]], dtype=object
        ),
    )


def _binary(judge: Judge, judged: Sequence[JudgedScene]) -> tuple[BinaryResult, ...]:
    if not judged:
        return ()
    names = (*judge.names, *judge.baselines)
    drawn = [image for scene in judged for image in scene.patch_scores]
    results = [
        binary_result(name, per, scores[:, number], true)
        for per, true, scores in (
            (
                "image",
                np.concatenate([scene.images[0].true for scene in judged]),
                np.concatenate([scene.image_scores for scene in judged]),
            ),
            (
                "patch",
                np.array([level for level, scores in drawn for _ in scores], np.int64),
                np.concatenate([np.empty((0, len(names))), *(scores for _, scores in drawn)]),
            ),
        )
        for number, name in enumerate(names)
    ]
    return tuple(result for result in results if result is not None)
