"""How good a model is on a kind of image that it has never seen: leave one group out.

For every group of sharp images a model is trained on all the others and judged on the group that
was left out; the classical measures carry their thresholds over in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from microscope_quality import metrics
from microscope_quality.errors import FileError, SettingsError
from microscope_quality.evaluation.baselines import available_measures
from microscope_quality.evaluation.binary import balanced, binary_class, f_score, threshold_of
from microscope_quality.evaluation.gather import SharpFile, gather, read_table
from microscope_quality.evaluation.judging import predictions_of
from microscope_quality.files.tables import Table
from microscope_quality.metrics import Predictions
from microscope_quality.model import FocusModel, ModelDescription
from microscope_quality.training.architectures import get_architecture
from microscope_quality.training.defocus.sets import SetSettings, labelled
from microscope_quality.training.defocus.sources import find_sharp_images
from microscope_quality.training.defocus.stream import SharpImage
from microscope_quality.training.defocus.train import TrainingSettings, train
from microscope_quality.training.fields import GroupBy

FloatArray = npt.NDArray[np.float64]
# What a model says of images, and the scores of each measure.
_Scored = tuple[Predictions, dict[str, FloatArray]]

#: Held-out images of a group, at most, from which thresholds are chosen.
HELD_OUT = 4

TABLE = "unseen.csv"
# Of each model, in its group's folder.
_NAME = "without"
COLUMNS = (
    *("group", "sharp_images", "images", "within_one", "exact", "mean_rps"),
    *("f_model", "f_best_classical", "best_classical", "better_than_all_classical"),
)
# Those that are read again, and what is in them.
_READ: dict[str, Callable[[str], Any]] = {
    **{"group": str, "best_classical": str, "images": int},
    **dict.fromkeys(("within_one", "f_model", "f_best_classical"), lambda t: float(t or "nan")),
}


@dataclass(frozen=True)
class UnseenSettings:
    """How groups are left out.

    Attributes
    ----------
    training : TrainingSettings
        Of each model.
    sets : SetSettings
        How the images that judge are made; their seed is not that of the training.
    smallest_group : int
        Groups of fewer sharp images are trained on, but not left out.
    judged : int
        Sharp images of a group that are judged at every level, at most.
    """

    training: TrainingSettings
    sets: SetSettings
    smallest_group: int = 9
    judged: int = 20


def _drawn(images: Sequence[SharpImage], most: int) -> list[SharpImage]:
    """Take so many images, evenly from those in order."""
    if len(images) <= most:
        return list(images)
    return [images[number] for number in np.linspace(0, len(images) - 1, most).astype(int)]


def leave_one_out(
    paths: Sequence[Path],
    folder: Path,
    settings: UnseenSettings,
    *,
    manifest: Path | None = None,
    group_by: str | None = None,
    report: Callable[[dict[str, Any]], None] = lambda record: None,
) -> list[dict[str, Any]]:
    """Train without each group of images in turn, and judge on it.

    "In focus" is decided as in :mod:`microscope_quality.evaluation.binary`, levels 0 to 2 against
    4 to 10, as many of each. The model goes by its expected level, with the threshold that is best
    on its held-out images of the other groups; every classical measure with the threshold and
    direction that are best on the same images.

    Parameters
    ----------
    paths : sequence of Path
        Files, folders or globs of sharp images.
    folder : Path
        For a training of each group, in a folder with its name, and the table ``unseen.csv``. A
        group whose model is there is not trained again. Of a group's name, characters that a folder
        cannot have are written as in an address on the web.
    settings : UnseenSettings
    manifest : Path, optional
        See :func:`microscope_quality.training.defocus.sources.find_sharp_images`.
    group_by : str, optional
        What names the groups, else their folders; see
        :func:`microscope_quality.evaluation.gather.gather`.
    report : callable
        Called with ``{"group": …}`` before a group's training, with what ``train`` reports
        meanwhile, and with the group's row of the table.

    Returns
    -------
    list of dict
        A row for each group: `COLUMNS`, and the F-score of every classical measure.

    Raises
    ------
    ImportError
        If the library of a measure is missing, before anything else.
    SettingsError
        With fewer than two groups, or none that is large enough; for a training that goes on from
        a model; or if the folder holds a model of other images or settings.
    """
    measures, missing = available_measures()
    if missing:
        raise ImportError(missing.removesuffix("."))
    if settings.training.start is not None:
        raise SettingsError(
            f"{settings.training.start} may have been trained on what is left out; a training that "
            "leaves a group out starts from nothing."
        )
    groups = _groups(paths, manifest, group_by, settings.training)
    large = sorted(name for name, found in groups.items() if len(found) >= settings.smallest_group)
    if len(groups) < 2 or not large:
        raise SettingsError(
            f"Leaving one out needs two groups and one of {settings.smallest_group} images or "
            f"more; there are {', '.join(f'{name} ({len(f)})' for name, f in groups.items())}."
        )
    others = {
        group: [image for name in groups if name != group for image in groups[name]]
        for group in large
    }
    for group in large:
        _check_earlier(others[group], folder / _safe(group), settings.training)

    # Of an image at every level; it may judge in several groups.
    @cache
    def scores_of(image: SharpImage) -> list[list[float]]:
        return [
            [measure(plane) for measure in measures.values()]
            for _, plane in _made([image], settings.sets)
        ]

    def judged_by(model: FocusModel, images: Sequence[SharpImage]) -> _Scored:
        scores = np.array([row for image in images for row in scores_of(image)])
        return predictions_of(model, _made(images, settings.sets)), dict(zip(measures, scores.T))

    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    table = Table(folder / TABLE, (*COLUMNS, *(f"f_{name}" for name in measures)))
    try:
        for group in large:
            report({"group": group})
            model = _trained(
                others[group], folder / _safe(group), settings.training, manifest, report
            )
            held_out = set(model.description.training["validation_files"])
            seen = [
                image
                for name, found in groups.items()
                if name != group
                for image in _drawn([i for i in found if i.entry in held_out], HELD_OUT)
            ]
            unseen = _drawn(groups[group], settings.judged)
            row = {
                "group": group,
                "sharp_images": len(groups[group]),
                **_compared(judged_by(model, seen), judged_by(model, unseen)),
            }
            table.append(row)
            rows.append(row)
            report(row)
        table.finish()
    finally:
        table.close()
    return rows


def read_unseen(path: Path) -> list[dict[str, Any]]:
    """Read the main columns of the table that `leave_one_out` wrote.

    Raises
    ------
    FileError
        If it is no such table.
    """
    try:
        return [
            {name: kind(row[name]) for name, kind in _READ.items()}
            for row in read_table(path, _READ)
        ]
    except ValueError as error:
        raise FileError(f"The table {path} has a field that is no number: {error}.") from error


def _groups(
    paths: Sequence[Path], manifest: Path | None, group_by: str | None, training: TrainingSettings
) -> dict[str, list[SharpImage]]:
    data = gather([str(path) for path in paths], manifest=manifest, group_by=group_by)
    group_of = {
        source.path: source.group for source in data.sources if isinstance(source, SharpFile)
    }
    # As training finds them.
    images, _ = find_sharp_images(
        paths,
        manifest=manifest,
        patch_size=get_architecture(training.architecture).patch_size,
        group_by=GroupBy.parse(training.group_by) if training.group_by else None,
    )
    groups: dict[str, list[SharpImage]] = {}
    for image in images:
        if image.path in group_of:
            groups.setdefault(group_of[image.path], []).append(image)
    return groups


def _trained(
    images: Sequence[SharpImage],
    folder: Path,
    settings: TrainingSettings,
    manifest: Path | None,
    report: Callable[[dict[str, Any]], None],
) -> FocusModel:
    if not (folder / _NAME / "model.json").exists():
        paths = sorted({Path(image.path) for image in images})
        # A model that checks may have seen the group.
        unchecked = replace(settings, check=False)
        train(paths, folder, _NAME, unchecked, manifest=manifest, report=report)
        # A checkpoint that it went on from may have been that of another training.
        _check_earlier(images, folder, settings)
    return FocusModel.from_pretrained(folder / _NAME)


def _check_earlier(images: Sequence[SharpImage], folder: Path, settings: TrainingSettings) -> None:
    """Refuse a model in the folder that is not what training on the images would give."""
    place = folder / _NAME
    if not (place / "model.json").exists():
        return
    differing = _differing(FocusModel.from_pretrained(place).description, images, settings)
    if differing:
        raise SettingsError(
            f"{place} is a model of another training: {differing}. Remove {folder}, or choose "
            "another folder."
        )


def _differing(
    description: ModelDescription, images: Sequence[SharpImage], settings: TrainingSettings
) -> str:
    """Say in what a model differs from what training on the images would give."""
    record = description.training
    known = {*record.get("training_files", ()), *record.get("validation_files", ())}
    wanted = {image.entry for image in images}
    stages = record.get("stages") or [{}]
    last = stages[-1]
    recipe = get_architecture(settings.architecture).recipe
    steps = settings.steps or recipe.steps_for(last.get("training_images", 0))
    differing = []
    if known != wanted:
        names = ", ".join(sorted(known ^ wanted)[:3])
        differing.append(
            f"{len(known - wanted)} of its images would not be used now and {len(wanted - known)} "
            f"others would ({names}{', …' if len(known ^ wanted) > 3 else ''})"
        )
    if len(stages) > 1:
        differing.append(f"it was trained in {len(stages)} stages")
    for what, found, now in (
        ("architecture", description.architecture, settings.architecture),
        ("steps", last.get("steps"), steps),
        ("seed", last.get("seed"), settings.seed),
    ):
        if found != now:
            differing.append(f"{what} {found} instead of {now}")
    return "; ".join(differing)


def _safe(group: str) -> str:
    """Turn a group's name into that of a folder, different names into different ones."""
    return quote(group, safe=" ").replace(".", "%2E")


def _made(
    images: Sequence[SharpImage], sets: SetSettings
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    # A seed that training, which counts from its own, does not come to.
    return labelled(images, replace(sets, seed=sets.seed + (1 << 20)))


def _compared(seen: _Scored, unseen: _Scored) -> dict[str, Any]:
    """Compare the model with the measures; all have their thresholds from what was seen."""
    (known, known_scores), (found, scores) = seen, unseen
    f_model = _carried(known.expected_level, known.true, found.expected_level, found.true)
    classical = {
        name: _carried(known_scores[name], known.true, scores[name], found.true) for name in scores
    }
    best = max(classical, key=lambda name: np.nan_to_num(classical[name], nan=-1.0))
    summary = metrics.summary(found)
    return {
        "images": len(found),
        **{name: summary[name] for name in ("within_one", "exact", "mean_rps")},
        "f_model": f_model,
        "f_best_classical": classical[best],
        "best_classical": best,
        "better_than_all_classical": int(f_model > classical[best]),
        **{f"f_{name}": f for name, f in classical.items()},
    }


def _carried(
    scores: FloatArray,
    true: npt.NDArray[np.int64],
    other_scores: FloatArray,
    other_true: npt.NDArray[np.int64],
) -> float:
    """Choose a threshold on some images; give its F-score on others."""
    parts = []
    for values, levels in ((scores, true), (other_scores, other_true)):
        # The same draw for all measures.
        taken = balanced(levels, np.random.default_rng(0)).ravel()
        parts.append((values[taken], binary_class(levels[taken]) == 1))
    return f_score(*parts[1], threshold_of(*parts[0]))
