"""A lab's own score on top of a rater: from a table of labels to a model folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from microscope_quality.errors import SettingsError
from microscope_quality.model import ModelDescription, find_model, read_model, write_model
from microscope_quality.rater import DEFAULT_RATER, RATING, RatingModel, without_own_score
from microscope_quality.rating.labelled import labelled_patches, read_patches, smallest_side
from microscope_quality.rating.labels import read_labels
from microscope_quality.training.rating.fit_own import FOLDS, OwnFit, fit_own_score
from microscope_quality.training.rating.groups import called, groups_of

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class OwnSettings:
    """What an own score needs beside its labels.

    Attributes
    ----------
    start : str
        Name or folder of the rater that it stands on.
    group_by : str, optional
        What is never on both sides of a split: see `groups.groups_of`.
    seed : int
        Of the folds.
    """

    start: str = DEFAULT_RATER
    group_by: str | None = None
    seed: int = 0


def train_own_score(
    table: Path,
    folder: Path,
    name: str,
    settings: OwnSettings,
    *,
    images: Path | None = None,
    command: str = "",
    report: Report = lambda record: None,
) -> ModelDescription:
    """Fit a lab's own score to labels, and write a rater that has it.

    Parameters
    ----------
    table, images
        As `train_labels.train_on_labels` takes them.
    folder : Path
        The model is written to ``folder/name``.
    name : str
        The model's name.
    settings : OwnSettings
    command : str
        The command line, for the model's record.
    report : callable
        Called with ``doing``, and while it goes on ``done`` and ``of``; last with
        ``cross_validated``, its figures, ``generic_plcc`` and ``of_the_mean``; what groups are
        ``called``, their names, in how many ``folds`` each was held out once, and ``start``, the
        name of the model that it stands on.

    Returns
    -------
    ModelDescription
        Of the model that was written.

    Raises
    ------
    FileError
        The table or an image cannot be read, images are missing or smaller than their labelled
        patches, or the model cannot be written.
    SettingsError
        There are too few labels, all have one score or are of one group, or of patches that are too
        small.
    ModelNotFoundError, ModelError
        There is no such rater.
    """
    model = RatingModel.from_pretrained(settings.start)
    description, weights = read_model(find_model(settings.start))
    patches = labelled_patches(read_labels(table), images or table.parent)
    groups = groups_of(patches, settings.group_by)
    smallest = smallest_side(patches)
    side = model.side_for(smallest, smallest)
    if not side:
        raise SettingsError(
            f"What is labelled must have {model.smallest_side} pixels a side at least; the "
            f"smallest has {smallest}."
        )
    crops = read_patches(
        patches,
        side,
        report=lambda done, of: report({"doing": "reading the images", "done": done, "of": of}),
    )
    outputs = []
    for number, crop in enumerate(crops):
        report({"doing": "rating what was labelled", "done": number, "of": len(crops)})
        found = model.rate(crop).outputs
        outputs.append(found[~np.isnan(found).any(axis=1)])
    report({"doing": "fitting the score"})
    scores = [patch.score for patch in patches]
    fitted = fit_own_score(outputs, scores, groups, seed=settings.seed)
    told = _figures(fitted, np.array(scores), [bool(len(one)) for one in outputs], groups)
    names = sorted(set(groups))
    report(
        {
            **told,
            "called": called(patches, settings.group_by),
            "groups": names,
            "folds": min(FOLDS, len(names)),
            "start": description.name,
        }
    )
    own = {
        "spread": round(fitted.score.spread, 4),
        "labels": sum(patch.labels for patch in patches),
    }
    made = replace(
        description,
        name=name,
        details={**without_own_score(description), "own_score": own},
        training={
            "own_score": {
                "command": command,
                "labelled_patches": len(patches),
                "groups": len(set(groups)),
                "group_by": settings.group_by or "folder, or image where there are fewer than 3",
                "seed": settings.seed,
                "patch_size": side,
                **told,
            },
            "from": {"name": description.name, "sha256": description.sha256},
            "rater": description.training,
        },
        sha256="",
    )
    own_weights = {key: value for key, value in weights.items() if f"{RATING}/" not in key}
    return write_model(folder / name, made, {**own_weights, **fitted.score.weights()})


def _figures(
    fitted: OwnFit, scores: Any, with_content: list[bool], groups: list[str]
) -> dict[str, Any]:
    """Tell the errors on labels of groups that were left out, together and by group."""
    kept = [k for k, there in enumerate(with_content) if there]
    errors = fitted.predicted - scores[kept]
    names = np.array([groups[k] for k in kept])
    by_group = {
        str(group): {
            "patches": int((names == group).sum()),
            "rmse": round(float(np.sqrt(np.mean(errors[names == group] ** 2))), 4),
        }
        for group in np.unique(names)[:200]
    }
    of_the_mean = float(np.std(scores[kept]))
    told = {
        "cross_validated": {
            "patches": len(kept),
            "rmse": round(fitted.rmse, 4),
            "mae": round(fitted.mae, 4),
            "plcc": _or_none(fitted.plcc),
        },
        "generic_plcc": _or_none(fitted.generic_plcc),
        "of_the_mean": {"rmse": round(of_the_mean, 4)},
        "without_content": len(with_content) - len(kept),
        "by_group": by_group,
    }
    return dict(json.loads(json.dumps(told)))


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
