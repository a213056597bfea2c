"""Settings and results of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality.evaluation.binary import BinaryResult
from microscope_quality.evaluation.gain_offset import GAINS, OFFSETS
from microscope_quality.evaluation.stacks import StackFigures, StackMeasure
from microscope_quality.metrics import Predictions
from microscope_quality.model import ModelDescription
from microscope_quality.optics import Optics
from microscope_quality.training.defocus.sets import SetSettings

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EvaluationSettings:
    """How an evaluation is done.

    Attributes
    ----------
    sets : SetSettings
        How sharp images are defocused and exposed.
    seed : int
        Of the random choices among images and patches, and of the empty patches.
    binary_patches : int
        Patches for the binary protocol, about, half of them in focus.
    example_patches : int
        Patches kept to be shown, about.
    empty_patches : int
        Patches without content.
    gain_offset_images : int
        Sharp images of which every level goes through the gain/offset test; 0: no such test.
    gains, offsets : tuple of float
        Of that test.
    classical : bool
        Judge the classical measures, too.
    optics : Optics or None
        Of the microscope of the z-stacks, of those whose table does not tell.
    step_um : float or None
        From one z of a z-stack to the next; else as a table of planes tells.
    focus_plane : float or None
        z of the plane in focus, where it is known.
    jobs : int
        Processes.
    """

    sets: SetSettings = field(default_factory=SetSettings)
    seed: int = 0
    binary_patches: int = 4000
    example_patches: int = 1500
    empty_patches: int = 10_000
    gain_offset_images: int = 10
    gains: tuple[float, ...] = GAINS
    offsets: tuple[float, ...] = OFFSETS
    classical: bool = True
    optics: Optics | None = None
    step_um: float | None = None
    focus_plane: float | None = None
    jobs: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as plain numbers."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class ModelEvaluation:
    """One model's figures.

    Attributes
    ----------
    name : str
        The model's; with its number, when several models bear it.
    description : ModelDescription
    images : Predictions
        Of whole images of known level.
    patches : Predictions
        Of their patches, where the sharp image shows something: elsewhere there is no level.
    empty_certainty : (n,) array
        Certainties of patches without content, made as for training.
    gain_offset : list of dict or None
        A row for each gain and offset: ``gain``, ``offset``, ``n`` images, and the shares
        ``exact``, ``within_one`` and ``clipped`` (of the pixels, at 0 or 65535). None when no image
        suits the test.
    all_patches : Predictions or None
        With those where the sharp image shows nothing.
    status : (n,) array of str
        Of the images.
    """

    name: str
    description: ModelDescription
    images: Predictions
    patches: Predictions
    empty_certainty: FloatArray
    gain_offset: list[dict[str, float]] | None = None
    all_patches: Predictions | None = None
    status: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0, dtype=object))

    @property
    def judged(self) -> dict[str, Predictions]:
        """The predictions of ``images`` and of ``patches``, where there are any."""
        both = {"images": self.images, "patches": self.patches}
        return {per: predictions for per, predictions in both.items() if len(predictions)}

    @property
    def empty_below_sure(self) -> float:
        """Share of the empty patches below the model's ``sure_certainty``; NaN without any."""
        if not len(self.empty_certainty):
            return float("nan")
        return float(np.mean(self.empty_certainty < self.description.sure_certainty))


@dataclass(frozen=True, eq=False)
class ExamplePatches:
    """A random sample of patches, with what the first model says of them.

    Attributes
    ----------
    patches : (n, side, side) array of float32
        Grey values as they are.
    true : (n,) array of int
        Level of their image.
    level, certainty : (n,) array of float64
        By the model; NaN and 0 where undefined.
    """

    patches: npt.NDArray[np.float32]
    true: npt.NDArray[np.int64]
    level: FloatArray
    certainty: FloatArray

    @classmethod
    def joined(cls, parts: Sequence[ExamplePatches], side: int) -> ExamplePatches:
        """Put samples one after the other; without any there are no patches."""
        nothing = cls(
            np.empty((0, side, side), np.float32), np.empty(0, np.int64), np.empty(0), np.empty(0)
        )
        return cls(
            *(
                np.concatenate([getattr(part, array.name) for part in (nothing, *parts)])
                for array in fields(cls)
            )
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All figures.

    Attributes
    ----------
    models : tuple of ModelEvaluation
        The first is the one asked about, the others stand beside it.
    binary : tuple of BinaryResult
        Of every model and classical measure, per image and per patch.
    stacks : tuple of StackFigures
        Of every z-stack and model.
    stack_measures : tuple of StackMeasure
        Of every z-stack and classical measure.
    data : tuple of dict
        A row for each group: ``group``, ``images`` (sharp ones), ``fields``.
    example_patches : ExamplePatches
    left_out : dict
        Why a file was left out on purpose, by its path.
    failed : dict
        Why a file could not be read or judged, by its path.
    notes : tuple of str
        Sentences on what has to be known to read the figures.
    settings : dict
    command : str
        That made it; empty from Python.
    """

    models: tuple[ModelEvaluation, ...]
    binary: tuple[BinaryResult, ...]
    stacks: tuple[StackFigures, ...]
    data: tuple[dict[str, Any], ...]
    example_patches: ExamplePatches
    left_out: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    stack_measures: tuple[StackMeasure, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    command: str = ""
