"""Classical measures of an image, such as CellProfiler's, as a measure."""

from __future__ import annotations

from dataclasses import dataclass

from microscope_quality.classical import measure_classical
from microscope_quality.files.columns import Column
from microscope_quality.files.plane import Plane
from microscope_quality.measuring.measure import Measure, Result
from microscope_quality.statuses import MEASURED, NO_CONTENT

# Bytes for each pixel of its floats and transforms: 18.3 were measured.
_PIXEL_BYTES = 19

_COLUMNS = (
    Column("mid_band_power", "share", "Mid-band power", 4),
    Column("power_log_log_slope", "signed", "Power log-log slope", 2),
    Column("focus_score", "number", "Focus score", 2),
    Column("local_focus_score", "number", "Local focus score", 2),
    Column("correlation", "signed", "Correlation", 3),
    Column("tenengrad", "number", "Tenengrad", 0),
    Column("mean_intensity", "signed", "Mean intensity", 1),
    Column("std_intensity", "number", "Standard deviation of intensity", 1),
    Column("percent_maximal", "number", "Percent at maximum", 3),
    Column("percent_minimal", "number", "Percent at minimum", 3),
    Column("illumination_unevenness", "share", "Illumination unevenness", 3),
    Column("noise_estimate", "number", "Noise estimate", 2),
    Column("check_qual", "signed", "checkQual", 1),
    Column("laplacian_variance", "number", "Laplacian variance", 1),
    Column("spectral_snr", "signed", "Spectral signal-to-noise in dB", 1),
    Column("status"),
)


@dataclass(frozen=True)
class Classical(Measure):
    """Numbers by formulas, without a model or a limit; see `microscope_quality.classical`.

    Planes are compared by the mid-band power: it has a scale of its own, from 0 to 1, gain and
    offset do not change it, and an empty, noisy field has little of it, where the power log-log
    slope ranks noise above all that is sharp.
    """

    name = "classical"
    title = "Classical measures"
    value = "mid_band_power"
    good = "high"
    needed = ("mid_band_power", "status")
    drift = "a slow change is a drift of focus or of the specimen, a step happened at once"
    reference = "Classical measures"
    caveats = (
        "No limit between good and bad holds for all images: compare those of one stain, objective "
        "and camera with each other.",
        "Focus score, Tenengrad, intensities and noise are in grey levels of the image, or their "
        "squares, and grow with exposure; only mid-band power, slope and correlation do not.",
    )

    @property
    def columns(self) -> tuple[Column, ...]:
        return _COLUMNS

    @property
    def pixel_bytes(self) -> int:
        return _PIXEL_BYTES

    def run(self, plane: Plane) -> Result:
        numbers = measure_classical(plane.array)
        height, width = plane.array.shape
        status = MEASURED if numbers["std_intensity"] > 0 else NO_CONTENT
        return Result({"width": width, "height": height, "status": status.key, **numbers})
