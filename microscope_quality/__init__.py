"""Absolute focus quality of microscope images, from a single image.

``measure_focus(plane)`` tells how far a plane is out of focus, ``measure_stack`` finds the plane in
focus, ``measure_at`` measures around points, ``sample_focus`` some places of a large plane. Results
draw themselves: ``result.overlay(plane)``, ``result.plot(plane)``. ``measure_files(paths)``
measures files, as the command does. `FocusModel` loads a model, `Optics` describes a microscope.

``rate_image(plane)`` tells how far an image of an electron microscope agrees with an ideal one;
``rate_files(paths)`` rates files. `RatingModel` loads a rater.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, List

from microscope_quality.errors import MicroscopeQualityError, MissingLibraryError
from microscope_quality.focus import (
    FocusResult,
    PatchResult,
    PointsResult,
    measure_at,
    measure_focus,
)
from microscope_quality.model import FocusModel, available_models
from microscope_quality.optics import Optics
from microscope_quality.sampling import SampleResult, sample_focus
from microscope_quality.stacks import StackResult, best_plane, measure_stack
from microscope_quality.version import __version__

if TYPE_CHECKING:
    from microscope_quality.classical import measure_classical
    from microscope_quality.degrade import Camera, defocus
    from microscope_quality.measuring.classical import Classical
    from microscope_quality.measuring.focus import Focus
    from microscope_quality.measuring.measure_files import MeasuredFiles, measure_files, rate_files
    from microscope_quality.measuring.rating import Rating
    from microscope_quality.measuring.settings import Settings
    from microscope_quality.rater import RatingModel, RatingResult, rate_image

__all__ = [
    "Camera",
    "Classical",
    "Focus",
    "FocusModel",
    "FocusResult",
    "MeasuredFiles",
    "MicroscopeQualityError",
    "Optics",
    "PatchResult",
    "PointsResult",
    "Rating",
    "RatingModel",
    "RatingResult",
    "SampleResult",
    "Settings",
    "StackResult",
    "__version__",
    "available_models",
    "best_plane",
    "defocus",
    "measure_at",
    "measure_classical",
    "measure_files",
    "measure_focus",
    "measure_stack",
    "rate_files",
    "rate_image",
    "sample_focus",
]

# What is imported when it is asked for, and where from: a measurement of an array needs no more
# than NumPy and SciPy, and a host that has no more has the modules alone.
_LATER = {
    "Camera": "degrade",
    "defocus": "degrade",
    "measure_classical": "classical",
    "Classical": "measuring.classical",
    "Focus": "measuring.focus",
    "MeasuredFiles": "measuring.measure_files",
    "measure_files": "measuring.measure_files",
    "rate_files": "measuring.measure_files",
    "Rating": "measuring.rating",
    "RatingModel": "rater",
    "RatingResult": "rater",
    "rate_image": "rater",
    "Settings": "measuring.settings",
}


def __getattr__(name: str) -> Any:
    place = _LATER.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    takes = "the whole library: pip install microscope-quality, in Python 3.10 or later"
    if place.startswith("measuring.") and sys.version_info < (3, 10):
        found = ".".join(map(str, sys.version_info[:2]))
        raise MissingLibraryError(f"{name} takes {takes}. This is Python {found}.")
    try:
        module = import_module(f"{__name__}.{place}")
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            f"{name} takes {takes}. Here, {error.name} is missing; arrays can be measured all the "
            "same, by measure_focus."
        ) from error
    globals()[name] = found = getattr(module, name)
    return found


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
