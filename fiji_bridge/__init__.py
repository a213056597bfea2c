"""Focus and ratings of ImageJ's images, from Python: for PyImageJ, Fiji's Python mode and scripts.

``measure(image)``, ``measure_stack(image)`` and ``rate(image)`` give the results of
`microscope_quality` for an ``ij.ImagePlus``, a ``Dataset``, an xarray or a NumPy array; they know
their plane, and ``show(image, result)`` puts them on it in Java. ``optics_of`` takes the pixel size
from the calibration, ``start`` starts ImageJ without a window. Channels, slices and frames count
from 1, as ImageJ does.
"""

from fiji_bridge.measurement import (
    PlaneRating,
    PlaneResult,
    measure,
    measure_stack,
    optics_of,
    rate,
)
from fiji_bridge.showing import show
from fiji_bridge.starting import ImageJ, start

__all__ = [
    "ImageJ",
    "PlaneRating",
    "PlaneResult",
    "measure",
    "measure_stack",
    "optics_of",
    "rate",
    "show",
    "start",
]
