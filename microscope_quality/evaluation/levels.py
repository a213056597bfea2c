"""Images of known level: how often a model is right, and by how much it is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality.focus import measure_focus
from microscope_quality.model import FocusModel


def confusion_of_images(
    model: FocusModel, labelled: Iterable[tuple[int, npt.NDArray[Any]]]
) -> tuple[npt.NDArray[np.int64], int]:
    """Measure images whose level is known.

    Parameters
    ----------
    model : FocusModel
    labelled : iterable of (level, plane)
        Images that the model was not trained on, held one at a time.

    Returns
    -------
    confusion : ndarray of int, shape (levels, levels)
        Images by true level (row) and measured level (column).
    undefined : int
        Images in which no patch had probabilities; they are in no cell.
    """
    levels = model.description.levels
    confusion = np.zeros((levels, levels), dtype=np.int64)
    undefined = 0
    for true, plane in labelled:
        level = measure_focus(plane, model).level
        if np.isnan(level):
            undefined += 1
        else:
            confusion[true, int(level)] += 1
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
