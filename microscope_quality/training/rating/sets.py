"""Sets of descriptors and outputs: what a rater is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from microscope_quality.components import OUTPUTS
from microscope_quality.descriptors import N_DESCRIPTORS, descriptors
from microscope_quality.normalisation import zscore
from microscope_quality.training.rating.instrument import (
    MARGIN_PX,
    Fault,
    degraded,
    drawn_fault,
    labelled,
)
from microscope_quality.training.rating.sources import Source, sharp_field

Float32Array = NDArray[np.float32]

#: Sides of the patches, and how often each is drawn.
PATCH_SIZES = {256: 0.7, 192: 0.1, 160: 0.05, 128: 0.15}


class RatingSet(NamedTuple):
    """Descriptors (n, N_DESCRIPTORS) of patches, and the outputs (n, 7) that they should have."""

    descriptors: Float32Array
    outputs: Float32Array


def drawn_set(sources: Sequence[Source], number: int, seed: int | Sequence[int]) -> RatingSet:
    """Degrade so many random fields of sources; the same seed gives the same set."""
    rng = np.random.default_rng(seed)
    sizes, odds = zip(*PATCH_SIZES.items())
    found = np.empty((number, N_DESCRIPTORS), np.float32)
    outputs = np.empty((number, len(OUTPUTS)), np.float32)
    for k in range(number):
        while True:
            side = int(rng.choice(sizes, p=odds))
            patch, label = drawn_patch(sources, side, drawn_fault(rng), rng)
            normalised, counts = zscore(patch[np.newaxis])
            if counts[0]:
                break
        found[k], outputs[k] = descriptors(normalised)[0], label
    return RatingSet(found, outputs)


def drawn_patch(
    sources: Sequence[Source], side_px: int, fault: Fault, generator: np.random.Generator
) -> tuple[Float32Array, Float32Array]:
    """Degrade a random field of sources; gives the patch and its outputs."""
    field = sharp_field(sources, side_px + 2 * MARGIN_PX, generator)
    image, ideal = degraded(field, fault, generator)
    return image, labelled(image, ideal, fault)
