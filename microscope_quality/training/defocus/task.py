"""The task of a focus model: a patch's defocus level, as a distribution over the levels."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from microscope_quality.training.blocks import Block, FloatArray
from microscope_quality.training.defocus.stream import DefocusBlocks, StreamSettings


@dataclass(frozen=True)
class DefocusTask:
    """What a focus model learns; a :class:`microscope_quality.training.task.Task`.

    Attributes
    ----------
    training, validation : sequence of SharpImage, or of StoredImage
    stream : StreamSettings
    maker : type
        `SharpBlocks` or `StoredBlocks`, as the images are.
    """

    training: Sequence[Any]
    validation: Sequence[Any]
    stream: StreamSettings
    maker: type[DefocusBlocks[Any]]
    score: str = "rps"

    def settings(self) -> dict[str, Any]:
        """Give the settings of the stream."""
        return {"stream": asdict(self.stream)}

    def blocks(self, images: Sequence[Any], **arguments: int) -> Generator[Block, None, None]:
        """Make blocks as the maker's own method does."""
        return self.maker.blocks(images, self.stream, **arguments)

    def loss(self, targets: Any, predicted: Any) -> Any:
        """Give the :func:`ranked_probability_score`."""
        return ranked_probability_score(targets, predicted)

    def figures(self, targets: FloatArray, predicted: FloatArray) -> dict[str, float]:
        """Measure predictions of patches of known level.

        Returns
        -------
        dict
            ``rps`` over all patches; ``exact`` and ``within_one`` over those with content.
        """
        rps = np.square(np.cumsum(predicted - targets, axis=1)).sum(axis=1).mean()
        # Of a level between two, one has half or more.
        content = targets.max(axis=1) >= 0.5
        distance = np.abs(predicted.argmax(axis=1) - targets.argmax(axis=1))[content]
        return {
            "rps": round(float(rps), 5),
            "exact": round(float((distance == 0).mean()), 4),
            "within_one": round(float((distance <= 1).mean()), 4),
        }


def ranked_probability_score(target: Any, predicted: Any) -> Any:
    """Squared distance of two cumulative distributions: the loss.

    ``Σ_k (CDF_p(k) − CDF_t(k))²``, unnormalised, in [0, K − 1] (A. H. Murphy, Journal of Applied
    Meteorology 10:155, 1971), as S. J. Yang et al., BMC Bioinformatics 19:77 (2018), train with.

    Parameters
    ----------
    target, predicted : tensor, shape (n, K)
        Distributions over ordered levels.

    Returns
    -------
    tensor, shape (n,)
    """
    difference = keras.ops.cumsum(predicted - target, axis=-1)
    return keras.ops.sum(keras.ops.square(difference), axis=-1)
