"""What a process of a watch does with a file: measure it, draw it, and see whether it changed."""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from microscope_quality.batch.watching import Found, Identity, identity_of
from microscope_quality.errors import FileError, MicroscopeQualityError, reason_of
from microscope_quality.files.plane import Page
from microscope_quality.measuring.page import (
    RESULTS,
    Item,
    Place,
    Settings,
    failed_row,
    measure_file,
    modified_text,
)
from microscope_quality.model import FocusModel, ModelDescription

if TYPE_CHECKING:
    import numpy as np

    from microscope_quality.focus import FocusResult

# What the longest side of a picture has, in pixels.
_SIDE = 640
# Pictures of a file that are held until it is known which one is shown.
_MOST = 8


@dataclass(frozen=True)
class Reading:
    """What a process found out about a file."""

    rows: Mapping[str, list[dict[str, object]]]
    after: Optional[Identity]
    failed: bool
    seconds: float
    picture: Optional[bytes] = None


def read_file(settings: Settings, pictures: bool, found: Optional[Found]) -> Optional[Reading]:
    """Measure a file, and find out whether it changed meanwhile; None only prepares the process."""
    model = FocusModel.from_pretrained(settings.model)
    if found is None:
        return None
    began = time.monotonic()
    drawn = _Pictures() if pictures else None
    try:
        rows = measure_file(settings, (found.name, found.path), seen=drawn)
    except FileError as error:
        rows = {
            RESULTS: [error_row(settings, model.description, found, reason_of(error, found.path))]
        }
    try:
        after = identity_of(found.path)
    except OSError:
        after = None
    failed = any(row.get("error") for row in rows[RESULTS])
    seconds = time.monotonic() - began
    return Reading(rows, after, failed, seconds, drawn.shown() if drawn and not failed else None)


def error_row(
    settings: Settings, description: ModelDescription, found: Found, error: str
) -> dict[str, object]:
    """Give the row of a file that could not be measured."""
    item = Item(
        0,
        found.name,
        found.path,
        Page(0),
        size_bytes=found.identity.size_bytes,
        modified=modified_text(found.identity.mtime_ns),
    )
    return failed_row(settings, description, item, error)


class _Pictures:
    """Pictures of a file's planes: of each z-stack's sharpest one, and of the others' worst."""

    def __init__(self) -> None:
        self._best: dict[tuple[object, ...], tuple[float, bytes]] = {}

    def __call__(self, place: Place, plane: np.ndarray[Any, Any], result: FocusResult) -> None:
        stack = place.z is not None
        key = (place.series, place.c, place.t) if stack else ()
        level = result.expected_level
        rank = math.inf if math.isnan(level) else level if stack else -level
        if key in self._best and self._best[key][0] <= rank:
            return
        if key in self._best or len(self._best) < _MOST:
            # What cannot be drawn costs no row.
            with contextlib.suppress(MicroscopeQualityError):
                self._best[key] = rank, _jpeg(plane, result)

    def shown(self) -> Optional[bytes]:
        """Picture of what speaks for the file, as `verdict_of` has it."""
        # A stack's rank is its level, so the worst one is the highest; a plane's is minus that.
        worst = max(
            self._best.items(),
            key=lambda one: one[1][0] if one[0] else -one[1][0],
            default=(None, (0.0, None)),
        )
        return worst[1][1]


def _jpeg(plane: np.ndarray[Any, Any], result: FocusResult) -> bytes:
    from PIL import Image

    from microscope_quality.overlay import overlay

    stream = io.BytesIO()
    picture = overlay(plane, result, max_side=_SIDE)
    Image.fromarray(picture).save(stream, "JPEG", quality=82)
    return stream.getvalue()
