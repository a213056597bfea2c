"""Whole images of known level: how often a model is right, and by how much it is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality.focus import measure_focus
from microscope_quality.model import FocusModel
from microscope_quality.optics import N_LEVELS
from microscope_quality.training.sets import SetSettings, degraded
from microscope_quality.training.stream import SharpImage


def confusion_of_images(
    model: FocusModel, images: Iterable[SharpImage], settings: SetSettings
) -> tuple[npt.NDArray[np.int64], int]:
    """Measure each sharp image at each synthetic level.

    Parameters
    ----------
    model : FocusModel
    images : iterable of SharpImage
        Images that the model was not trained on.
    settings : SetSettings
        Optics, photons, background and seed of the synthetic images.

    Returns
    -------
    confusion : ndarray of int, shape (levels, levels)
        Images by true level (row) and measured level (column).
    undefined : int
        Images in which no patch had probabilities; they are in no cell.
    """
    confusion = np.zeros((N_LEVELS, N_LEVELS), dtype=np.int64)
    undefined = 0
    for image in images:
        name = f"{image.kind}/{image.field}/{image.plane}/{image.path.rpartition('/')[2]}"
        for made in degraded(image.load(), name, settings):
            level = measure_focus(made.plane, model).level
            if np.isnan(level):
                undefined += 1
            else:
                confusion[made.level, int(level)] += 1
    return confusion, undefined


def accuracy(confusion: npt.NDArray[np.int64], undefined: int = 0) -> dict[str, Any]:
    """Summarise a confusion matrix.

    Returns
    -------
    dict
        ``images``, and the shares ``exact`` and ``within_one``; an undefined level is wrong.
    """
    rows, columns = np.indices(confusion.shape)
    total = int(confusion.sum()) + undefined
    distance = np.abs(rows - columns)
    return {
        "images": total,
        "exact": round(float(confusion[distance == 0].sum() / total), 4),
        "within_one": round(float(confusion[distance <= 1].sum() / total), 4),
    }
