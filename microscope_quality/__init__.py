"""Absolute focus quality of microscope images, from a single image.

``measure_focus(plane)`` tells how far a plane is out of focus, ``measure_stack`` finds the plane in
focus, ``measure_at`` measures around points. `FocusModel` loads a model, `Optics` describes a
microscope. Pictures are made by ``microscope_quality.overlay.overlay``.
"""

from microscope_quality.focus import FocusResult, PointsResult, measure_at, measure_focus
from microscope_quality.model import FocusModel, available_models
from microscope_quality.optics import Optics
from microscope_quality.sampling import SampleResult, sample_focus
from microscope_quality.stacks import StackResult, best_plane, measure_stack
from microscope_quality.version import __version__

__all__ = [
    "FocusModel",
    "FocusResult",
    "Optics",
    "PointsResult",
    "SampleResult",
    "StackResult",
    "__version__",
    "available_models",
    "best_plane",
    "measure_at",
    "measure_focus",
    "measure_stack",
    "sample_focus",
]
