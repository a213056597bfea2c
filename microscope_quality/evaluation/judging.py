"""Judge images of known level, z-stacks and patches without content, by models and baselines."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality import tiles
from microscope_quality.classical import MEASURES
from microscope_quality.errors import SettingsError
from microscope_quality.evaluation.baselines import MEASURES_OF_LIBRARIES, Baseline
from microscope_quality.evaluation.binary import binary_class
from microscope_quality.evaluation.gain_offset import levels_at
from microscope_quality.evaluation.gather import (
    Data,
    Scene,
    SetImage,
    SharpFile,
    scenes,
    shown,
)
from microscope_quality.evaluation.gather_stacks import stack_planes
from microscope_quality.evaluation.results import EvaluationSettings, ExamplePatches
from microscope_quality.evaluation.stacks import (
    STACK_MEASURES,
    KnownFocus,
    Stack,
    StackFigures,
    StackMeasure,
    measures_of,
    places_of,
    stack_figures,
)
from microscope_quality.focus import FocusResult, measure_at, measure_focus
from microscope_quality.metrics import Predictions
from microscope_quality.model import FocusModel
from microscope_quality.optics import N_LEVELS
from microscope_quality.training.defocus.empties import empty_certainty
from microscope_quality.training.defocus.exposure import Recording
from microscope_quality.training.defocus.figures import (
    image_predictions,
    measured,
    patch_predictions,
)

FloatArray = npt.NDArray[np.float64]
ModelLike = FocusModel | str | Path

_BASELINES: dict[str, Baseline] = {**MEASURES, **MEASURES_OF_LIBRARIES}
# Few, and so that the first of them are at work while files are read.
_EMPTY_AT_A_TIME = 500


@dataclass(frozen=True)
class SharpCase:
    """Sharp images to judge, and how much of them is drawn for what is judged by samples."""

    source: SharpFile | SetImage
    #: Of patches: for the binary protocol from each image at a level in focus, and out of focus,
    #: and to be shown. Fractions are chances.
    in_focus: float
    out_of_focus: float
    examples: float
    gain_offset: bool


@dataclass(frozen=True)
class EmptyCase:
    """Patches without content to make and judge."""

    number: int
    count: int


Case = SharpCase | EmptyCase | Stack


@dataclass(frozen=True)
class JudgedStack:
    """What became of a z-stack: what each model makes of it, and each classical measure."""

    figures: list[StackFigures]
    measures: list[StackMeasure]


@dataclass(frozen=True, eq=False)
class JudgedScene:
    """What became of a sharp plane's images."""

    #: One for each model, image by image, or patch by patch.
    images: tuple[Predictions, ...]
    status: tuple[list[str], ...]
    patches: tuple[Predictions, ...]
    shown: tuple[npt.NDArray[np.bool_], ...]
    #: (images, measures): of all measures, the models' before the baselines'.
    image_scores: FloatArray
    #: The same of the patches drawn from an image, with its level.
    patch_scores: list[tuple[int, FloatArray]]
    #: Level of each image in the gain/offset test, and what `gain_offset.levels_at` gives.
    gain_offset: list[tuple[int, FloatArray, FloatArray]]
    examples: list[ExamplePatches]


def load(model: ModelLike) -> FocusModel:
    """Give a model by itself, its name or its folder; see `FocusModel.from_pretrained`."""
    return model if isinstance(model, FocusModel) else FocusModel.from_pretrained(model)


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
    return image_predictions("", "", *measured(model, labelled))


def cases_of(data: Data, settings: EvaluationSettings) -> list[Case]:
    """List what is to be judged."""
    rng = np.random.default_rng(settings.seed)
    n = max(1, len(data.sources))
    half = settings.binary_patches / 2 / n
    kinds = binary_class(np.arange(N_LEVELS))
    chosen = set(rng.permutation(len(data.sources))[: settings.gain_offset_images].tolist())
    return [
        *(
            SharpCase(
                source,
                in_focus=half / np.count_nonzero(kinds == 1),
                out_of_focus=half / np.count_nonzero(kinds == 0),
                examples=settings.example_patches / n / N_LEVELS,
                gain_offset=number in chosen,
            )
            for number, source in enumerate(data.sources)
        ),
        *data.stacks,
        *(
            EmptyCase(number, min(_EMPTY_AT_A_TIME, settings.empty_patches - start))
            for number, start in enumerate(range(0, settings.empty_patches, _EMPTY_AT_A_TIME))
        ),
    ]


def name_of(case: Case) -> str:
    """Name a case, as where it has failed."""
    if isinstance(case, SharpCase):
        return case.source.path if isinstance(case.source, SharpFile) else case.source.name
    return f"z-stack {case.name}" if isinstance(case, Stack) else f"empty patches {case.number}"


def without_focus_plane(stack: Stack, z: float) -> str:
    """Say that a z-stack has no plane there; nothing where it has one."""
    places = [plane.z for plane in stack.planes]
    if z in places:
        return ""
    return (
        f"focus_plane must be the z of a plane: the z-stack {stack.name} has {len(places)} planes, "
        f"from z = {places[0]:g} to {places[-1]:g}, and none at {z:g}."
    )


@dataclass(frozen=True)
class Judge:
    """Judges a case: what a process at work is sent.

    Attributes
    ----------
    models : tuple of FocusModel, str or Path
    names : tuple of str
        Of the models, in the results.
    settings : EvaluationSettings
    baselines : tuple of str
        Names of measures: functions do not all travel between processes.
    """

    models: tuple[ModelLike, ...]
    names: tuple[str, ...]
    settings: EvaluationSettings
    baselines: tuple[str, ...]

    def __call__(self, case: Case) -> Any:
        """Judge a case.

        Returns
        -------
        list of JudgedScene, JudgedStack, or list of arrays
            Of a `SharpCase`, a z-stack, and an `EmptyCase`: the certainties by each model.
        """
        # Each is read once in a process.
        models = [load(model) for model in self.models]
        if isinstance(case, EmptyCase):
            return [self._empty(case, model) for model in models]
        if isinstance(case, Stack):
            return self._stack(case, models)
        smallest = max(model.description.patch_size for model in models)
        return [
            self._scene(case, scene, models)
            for scene in scenes(case.source, self.settings.sets, smallest)
        ]

    def _empty(self, case: EmptyCase, model: FocusModel) -> FloatArray:
        rng = np.random.default_rng((self.settings.seed, 1 << 33, case.number))
        recording = Recording(patch_size=model.description.patch_size)
        return empty_certainty(model, rng, case.count, recording)

    def _stack(self, stack: Stack, models: Sequence[FocusModel]) -> JudgedStack:
        settings = self.settings
        optics = stack.optics or settings.optics
        names = [name for name in STACK_MEASURES if name in self.baselines]
        results: list[list[FocusResult]] = []
        values: dict[str, list[float]] = {name: [] for name in names}
        for plane in stack_planes(stack):
            results.append([measure_focus(plane, model, optics=optics) for model in models])
            for name in names:
                values[name].append(_BASELINES[name](plane))
        # After reading: a file that cannot be read may be why the plane is missing.
        focus = stack.focus
        if settings.focus_plane is not None:
            missing = without_focus_plane(stack, settings.focus_plane)
            if missing:
                raise SettingsError(missing)
            focus = KnownFocus.at(settings.focus_plane)
        z = [plane.z for plane in stack.planes]
        z_um = [plane.z_um for plane in stack.planes]
        if settings.step_um is not None:
            z_um = [settings.step_um * place for place in z]
        by_model = list(zip(*results))
        return JudgedStack(
            [
                stack_figures(stack.name, name, z, given, focus=focus, z_um=z_um, optics=optics)
                for name, given in zip(self.names, by_model)
            ],
            measures_of(
                stack.name,
                places_of(z, by_model[0], focus=focus, z_um=z_um, optics=optics),
                values,
            ),
        )

    def _scene(self, case: SharpCase, scene: Scene, models: Sequence[FocusModel]) -> JudgedScene:
        baselines = [_BASELINES[name] for name in self.baselines]
        settings = self.settings
        rng = np.random.default_rng((settings.seed, zlib.crc32(scene.name.encode())))
        sizes = [model.description.patch_size for model in models]
        true: list[int] = []
        # Image by image, of each model.
        results: list[list[FocusResult]] = []
        content: list[list[npt.NDArray[np.bool_]]] = []
        content_of: dict[tuple[tuple[int, ...], int], npt.NDArray[np.bool_]] = {}
        image_scores: list[list[float]] = []
        patch_scores: list[tuple[int, FloatArray]] = []
        gain_offset: list[tuple[int, FloatArray, FloatArray]] = []
        examples: list[ExamplePatches] = []
        for level, plane in scene.images:
            given = [measure_focus(plane, model) for model in models]
            for size, result in zip(sizes, given):
                if (plane.shape, size) not in content_of:
                    places = result.patch_positions
                    content_of[plane.shape, size] = shown(scene.sharp, places, size)
            true.append(level)
            results.append(given)
            content.append([content_of[plane.shape, size] for size in sizes])
            first, there = given[0], content[-1][0]
            kind = int(binary_class(level))
            of_baselines = [measure(plane) if kind >= 0 else np.nan for measure in baselines]
            image_scores.append([*(result.expected_level for result in given), *of_baselines])
            if kind >= 0:
                wanted = case.in_focus if kind == 1 else case.out_of_focus
                drawn = _drawn(rng, np.flatnonzero(there), wanted)
                patch_scores.append((level, _scores(plane, drawn, models, given, baselines)))
            drawn = _drawn(rng, np.arange(len(there)), case.examples)
            examples.append(
                ExamplePatches(
                    tiles.cut(plane, first.patch_positions[drawn], sizes[0]).astype(np.float32),
                    np.full(len(drawn), level, np.int64),
                    first.patch_levels[drawn],
                    first.patch_certainties[drawn],
                )
            )
            if case.gain_offset and plane.dtype.kind in "iu":
                found = levels_at(models, plane, settings.gains, settings.offsets)
                gain_offset.append((level, *found))
        name, group = scene.name, scene.group
        by_model = list(zip(*results))
        return JudgedScene(
            tuple(image_predictions(name, group, true, given) for given in by_model),
            tuple([result.status for result in given] for given in by_model),
            tuple(patch_predictions(name, group, true, given) for given in by_model),
            tuple(np.concatenate(masks) for masks in zip(*content)),
            np.array(image_scores),
            patch_scores,
            gain_offset,
            examples,
        )


def _drawn(
    rng: np.random.Generator, places: npt.NDArray[np.intp], expected: float
) -> npt.NDArray[np.intp]:
    """Draw places without repetition, so many on average."""
    count = min(len(places), int(expected + rng.random()))
    return np.sort(rng.choice(places, count, replace=False))


def _scores(
    plane: npt.NDArray[Any],
    drawn: npt.NDArray[np.intp],
    models: Sequence[FocusModel],
    results: Sequence[FocusResult],
    baselines: Sequence[Baseline],
) -> FloatArray:
    """Give all measures of some of the first model's patches, (patches, measures)."""
    side = models[0].description.patch_size
    corners = results[0].patch_positions[drawn]
    columns: list[npt.ArrayLike] = []
    for model, result in zip(models, results):
        if model.description.patch_size == side:
            columns.append(result.patch_expected_levels[drawn])
        else:
            # The same places, seen through patches of this model's size.
            columns.append(measure_at(plane, corners + side // 2, model).expected_levels)
    patches = tiles.cut(plane, corners, side)
    columns += [[measure(patch) for patch in patches] for measure in baselines]
    scores: FloatArray = np.array(columns, np.float64).T
    return scores
