"""Images of known level: how often a model is right, and by how much it is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality import metrics
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
    pairs = [(true, measure_focus(plane, model).level) for true, plane in labelled]
    true, level = np.array(pairs, np.float64).reshape(-1, 2).T
    counts = metrics.confusion(true.astype(np.int64), level, model.description.levels)
    return counts, int(np.count_nonzero(np.isnan(level)))


def accuracy(confusion: npt.NDArray[np.int64], undefined: int = 0) -> dict[str, Any]:
    """Summarise a confusion matrix.

    Returns
    -------
    dict
        ``images``, and the shares ``exact`` and ``within_one``; an undefined level is wrong.
    """
    shares = metrics.within(confusion, undefined)
    return {
        "images": int(confusion.sum()) + undefined,
        "exact": round(float(shares[0]), 4),
        "within_one": round(float(shares[1]), 4),
    }
