"""What a process of a watch does with a file: measure it, draw it, and see whether it changed."""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Optional

from microscope_quality.batch.watching import Found, Identity, identity_of
from microscope_quality.errors import FileError, MicroscopeQualityError, reason_of
from microscope_quality.files.plane import Page
from microscope_quality.files.tables import RESULTS, STACK_COLUMNS, STACKS, as_text
from microscope_quality.measuring.page import (
    Item,
    Place,
    Settings,
    failed_row,
    measure_again,
    measure_file,
    modified_text,
)
from microscope_quality.measuring.rows import images_of, plane_row, stack_row
from microscope_quality.measuring.verdicts import verdict_of
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
    """What a process found out about a file; rows are texts, as tables have them."""

    rows: Mapping[str, list[dict[str, str]]]
    after: Optional[Identity]
    failed: bool
    seconds: float
    picture: Optional[bytes] = None


def read_file(settings: Settings, pictures: bool, found: Optional[Found]) -> Optional[Reading]:
    """Measure a file, and find out whether it changed meanwhile; None only prepares the process."""
    description = FocusModel.from_pretrained(settings.model).description
    if found is None:
        return None
    began = time.monotonic()
    drawn = _Pictures() if pictures else None
    columns = settings.tables(description.levels)
    try:
        measured = measure_file(settings, (found.name, found.path), seen=drawn)
        rows = {
            table: [as_text(row, columns[table]) for row in of_table]
            for table, of_table in measured.items()
        }
    except FileError as error:
        reason = reason_of(error, found.path)
        rows = {RESULTS: [error_row(settings, description, found, reason)]}
    failed = any(row["error"] for row in rows[RESULTS])
    stacks = (
        stack_row(image, in_focus_limit=settings.in_focus_limit)
        for image in images_of(map(plane_row, rows[RESULTS]))
    )
    rows[STACKS] = [as_text(stack, STACK_COLUMNS) for stack in stacks if stack]
    try:
        after = identity_of(found.path)
    except OSError:
        after = None
    picture = None
    if drawn is not None and not failed:
        place = Place(**verdict_of(rows[RESULTS], rows[STACKS]).place)
        picture = drawn.of(place)
        if picture is None:
            # What cannot be drawn costs no row.
            with contextlib.suppress(MicroscopeQualityError):
                plane, result = measure_again(settings, found.name, found.path, place)
                picture = _jpeg(plane.array, result)
    return Reading(rows, after, failed, time.monotonic() - began, picture)


def error_row(
    settings: Settings, description: ModelDescription, found: Found, error: str
) -> dict[str, str]:
    """Give the row of a file that could not be measured."""
    item = Item(
        0,
        found.name,
        found.path,
        Page(0),
        size_bytes=found.identity.size_bytes,
        modified=modified_text(found.identity.mtime_ns),
    )
    return as_text(
        failed_row(settings, description, item, error),
        settings.tables(description.levels)[RESULTS],
    )


class _Pictures:
    """Pictures of planes that are likely to speak for their file, drawn while they are at hand.

    Those are the lowest level of each z-stack, and the highest one of the other planes.
    """

    def __init__(self) -> None:
        self._best: dict[Optional[Place], tuple[float, Place, bytes]] = {}

    def __call__(self, place: Place, plane: np.ndarray[Any, Any], result: FocusResult) -> None:
        key = None if place.z is None else replace(place, z=None)
        level = result.expected_level
        rank = math.inf if math.isnan(level) else -level if key is None else level
        if key in self._best and self._best[key][0] <= rank:
            return
        if key in self._best or len(self._best) < _MOST:
            # What cannot be drawn costs no row.
            with contextlib.suppress(MicroscopeQualityError):
                self._best[key] = rank, place, _jpeg(plane, result)

    def of(self, place: Place) -> Optional[bytes]:
        """Picture of a plane, if it was drawn."""
        return next((picture for _, at, picture in self._best.values() if at == place), None)


def _jpeg(plane: np.ndarray[Any, Any], result: FocusResult) -> bytes:
    from PIL import Image

    from microscope_quality.overlay import overlay

    stream = io.BytesIO()
    picture = overlay(plane, result, max_side=_SIDE)
    Image.fromarray(picture).save(stream, "JPEG", quality=82)
    return stream.getvalue()
