"""How good a trained model is: sure where there is nothing, and right on what was held out."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality import metrics
from microscope_quality.files.regular import refusals
from microscope_quality.focus import FocusResult, measure_focus
from microscope_quality.metrics import Predictions
from microscope_quality.model import FocusModel, ModelDescription
from microscope_quality.optics import N_LEVELS
from microscope_quality.training.calibration import temperature
from microscope_quality.training.defocus.empties import empty_certainty
from microscope_quality.training.defocus.stream import StreamSettings
from microscope_quality.training.parts import in_parts
from microscope_quality.training.state import Arrays
from microscope_quality.version import __version__

SURE_EMPTY_FRACTION = 0.001
# Of those that have a structure, of which some look like an object in part.
SURE_STRUCTURED_FRACTION = 0.02
# For so many empty patches without one there is one with.
EMPTY_FOR_STRUCTURED = 4
# Of the seed's streams; those of `fitting` have other numbers.
EMPTY_STREAM = 2
EMPTY_AT_A_TIME = 1000
# Images that a temperature is found with; more take long and change little.
CALIBRATED = 24
# Gives the planes of some images, each with its level before it.
Labelled = Callable[[Iterable[Any]], Iterable[tuple[int, npt.NDArray[Any]]]]


@dataclass(frozen=True)
class Examination:
    """A trained model, and what it is asked; called with the kind and number of a part.

    Attributes
    ----------
    description : ModelDescription
    weights : mapping of str to ndarray
    stream : StreamSettings
        Of the empty patches.
    images : sequence of SharpImage, or of StoredImage
        Those that were held out; each is measured at every level.
    labelled : callable
        Makes their planes.
    seed : int
    empty_patches : int
    """

    description: ModelDescription
    weights: Mapping[str, npt.NDArray[Any]]
    stream: StreamSettings
    images: Sequence[Any]
    labelled: Labelled
    seed: int
    empty_patches: int

    @cached_property
    def _model(self) -> FocusModel:
        return FocusModel(self.description, self.weights)

    def __getstate__(self) -> dict[str, Any]:
        # A process makes a model of its own.
        return {name: value for name, value in vars(self).items() if name != "_model"}

    def __call__(self, part: tuple[str, int]) -> Arrays:
        """Give the answers to a part of the questions."""
        kind, number = part
        if kind == "image":
            return self._image(number)
        return self._empty(number, structured=kind == "structured")

    def parts(self) -> dict[str, tuple[str, int]]:
        """List the parts by name; first the images, of which one may take long."""
        counts = {
            "image": len(self.images),
            "empty": -(-self.empty_patches // EMPTY_AT_A_TIME),
            "structured": -(-self._structured_patches // EMPTY_AT_A_TIME),
        }
        return {
            f"{kind}-{number}": (kind, number) for kind, n in counts.items() for number in range(n)
        }

    def digest(self) -> str:
        """Give a text that another model, or other questions, would have another one of."""
        # A model's name and record have no influence on its answers.
        stated = replace(self.description, name="", training={}, licences=()).to_dict()
        asked = (self.stream, list(self.images), self.seed, self.empty_patches)
        digest = hashlib.sha256(repr((__version__, stated, asked)).encode())
        for name, array in sorted(self.weights.items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    @property
    def _structured_patches(self) -> int:
        return self.empty_patches // EMPTY_FOR_STRUCTURED if self.stream.structured_fraction else 0

    def _empty(self, number: int, *, structured: bool) -> Arrays:
        # Random numbers of its own, so that it does not matter who makes which parts.
        stream = (EMPTY_STREAM, 1) if structured else (EMPTY_STREAM,)
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, number), spawn_key=stream))
        patches = self._structured_patches if structured else self.empty_patches
        count = min(EMPTY_AT_A_TIME, patches - number * EMPTY_AT_A_TIME)
        share = 1.0 if structured else 0.0
        return {
            "certainty": empty_certainty(self._model, rng, count, self.stream, structured=share)
        }

    def _image(self, number: int) -> Arrays:
        true, results = measured(self._model, self.labelled([self.images[number]]))
        return {
            f"{what}/{name}": getattr(predictions, name)
            for what, predictions in (
                ("images", image_predictions("", "", true, results)),
                ("patches", patch_predictions("", "", true, results)),
            )
            for name in ("true", "probabilities", "certainty")
        }


def examined(
    examination: Examination,
    folder: Path,
    *,
    workers: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[float, dict[str, Any]]:
    """Examine a model; a call that was interrupted is gone on with by the same one.

    Parameters
    ----------
    examination : Examination
    folder : Path
        In which the answers are kept, and with them replaced those to any other examination.
    workers, report
        As for :func:`.parts.in_parts`.

    Returns
    -------
    sure_certainty : float
        The certainty that at most 1 in 1,000 empty patches reaches, and at most 1 in 50 of those
        with a structure, if the stream has such.
    figures : dict
        ``validation_images`` and ``validation_patches``, if there are images: the number of
        ``images`` or ``patches``, the shares ``exact`` and ``within_one``, ``mean_rps``,
        ``calibration_error``, the ``confusion`` matrix and the ``calibration`` table. A patch has
        the level of its image, also where it shows nothing.

    Raises
    ------
    FileError
        If an image cannot be read, or an answer not kept.
    """
    own = folder / f"measured-{examination.digest()}"
    with refusals(folder, "written"):
        for other in folder.glob("measured-*"):
            if other != own and re.fullmatch("measured-[0-9a-f]{16}", other.name):
                shutil.rmtree(other)
    found = in_parts(examination, examination.parts(), own, workers=workers, report=report)
    sure = max(
        sure_certainty(np.concatenate(certainties), fraction)
        for kind, fraction in (
            ("empty", SURE_EMPTY_FRACTION),
            ("structured", SURE_STRUCTURED_FRACTION),
        )
        if (certainties := [a["certainty"] for name, a in found.items() if name.startswith(kind)])
    )
    figures = {}
    for what in ("images", "patches") if examination.images else ():
        parts = []
        for number, image in enumerate(examination.images):
            arrays = found[f"image-{number}"]
            true, *predicted = (
                arrays[f"{what}/{name}"] for name in ("true", "probabilities", "certainty")
            )
            names, kinds = [image.entry] * len(true), [image.kind] * len(true)
            parts.append(Predictions.of(names, kinds, true, *predicted))
        figures[f"validation_{what}"] = _figures(metrics.joined(parts), what)
    return sure, figures


def held_out_temperature(model: FocusModel, labelled: Labelled, images: Sequence[Any]) -> float:
    """Find the temperature at which a model is as sure of held-out images' patches as it is right.

    Parameters
    ----------
    model : FocusModel
    labelled : callable
        Gives the planes of images, each with its level before it.
    images : sequence
        Of which at most 24 are measured, spread evenly over them.

    Returns
    -------
    float
        See :func:`.calibration.temperature`; 1 without any image.
    """
    if not len(images):
        return 1.0
    chosen = np.unique(np.linspace(0, len(images) - 1, CALIBRATED).astype(int))
    true, results = measured(model, labelled([images[number] for number in chosen]))
    found = [result.patch_probabilities for result in results]
    known = [p[np.isfinite(p).all(axis=1)] for p in found]
    if not sum(map(len, known)):
        return 1.0
    levels = np.repeat(true, [len(p) for p in known])
    return round(temperature(np.concatenate(known), np.eye(N_LEVELS)[levels]), 4)


def sure_certainty(
    of_empty: npt.NDArray[np.float64], fraction: float = SURE_EMPTY_FRACTION
) -> float:
    """Find the certainty that at most a fraction of such empty patches reaches.

    Parameters
    ----------
    of_empty : ndarray, shape (n,)
        The model's certainties of empty patches that training did not see.
    fraction : float
    """
    reached = np.sort(of_empty)
    allowed = int(fraction * len(reached))
    # One step above the highest certainty that must not reach it.
    return min(1.0, float(np.ceil(reached[-allowed - 1] * 1e4 + 1) / 1e4))


def measured(
    model: FocusModel, labelled: Iterable[tuple[int, npt.NDArray[Any]]]
) -> tuple[list[int], list[FocusResult]]:
    """Measure images whose level is known, held one at a time: their levels, and the results."""
    true, results = [], []
    for level, plane in labelled:
        true.append(level)
        results.append(measure_focus(plane, model))
    return true, results


def image_predictions(
    name: str, group: str, true: Sequence[int], results: Sequence[FocusResult]
) -> Predictions:
    """Give what a model says of the images of one sharp image."""
    n = len(results)
    probabilities = np.array([result.probabilities for result in results])
    return Predictions.of(
        [name] * n,
        [group] * n,
        true,
        probabilities if n else np.empty((0, N_LEVELS)),
        [result.certainty for result in results],
    )


def patch_predictions(
    name: str, group: str, true: Sequence[int], results: Sequence[FocusResult]
) -> Predictions:
    """Give what a model says of the patches of one sharp image's images."""
    counts = [len(result.patch_levels) for result in results]
    n = sum(counts)
    return Predictions.of(
        [name] * n,
        [group] * n,
        np.repeat(true, counts),
        np.concatenate([result.patch_probabilities for result in results]),
        np.concatenate([result.patch_certainties for result in results]),
    )


def _figures(predictions: Predictions, what: str) -> dict[str, Any]:
    figures = metrics.summary(predictions)
    table = metrics.calibration(predictions)
    names = ("exact", "within_one", "mean_rps", "calibration_error")
    # JSON has no NaN: the mean of an empty bin is None.
    bins = {
        name: [
            None if np.isnan(value) else round(float(value), 4) for value in getattr(table, name)
        ]
        for name in ("edges", "confidence", "accuracy")
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
