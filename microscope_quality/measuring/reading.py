"""What a process of a watch does with a file: measure it, draw it, and see whether it changed."""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from microscope_quality.batch.watching import Found, Identity, identity_of
from microscope_quality.errors import FileError, MicroscopeQualityError, reason_of
from microscope_quality.files.columns import names
from microscope_quality.files.plane import Page
from microscope_quality.files.tables import RESULTS, STACKS, as_text
from microscope_quality.measuring.file_verdicts import verdict_of
from microscope_quality.measuring.items import Item, Place, modified_text
from microscope_quality.measuring.measure import Measure, Result
from microscope_quality.measuring.page import failed_row, measure_again, measure_file
from microscope_quality.measuring.rows import PlaneRow, all_units, images_of, stack_row
from microscope_quality.measuring.settings import Settings

# What the longest side of a picture has, in pixels.
_SIDE = 640
# Pictures of a file that are held until it is known which one is shown.
_MOST = 8


@dataclass(frozen=True)
class Reading:
    """What a process found out about a file; rows are texts, as tables have them.

    They have nothing of what its name tells, of which a process knows nothing.
    """

    rows: Mapping[str, list[dict[str, str]]]
    after: Identity | None
    failed: bool
    seconds: float
    picture: bytes | None = None


def read_file(settings: Settings, pictures: bool, found: Found | None) -> Reading | None:
    """Measure a file, and find out whether it changed meanwhile; None only prepares the process."""
    columns = {table: names(of_table) for table, of_table in settings.columns().items()}
    if found is None:
        return None
    began = time.monotonic()
    drawn = _Pictures(settings.measure) if pictures else None
    try:
        measured = measure_file(settings, (found.name, found.path), seen=drawn)
        rows = {
            table: [as_text(row, columns[table]) for row in of_table]
            for table, of_table in measured.items()
        }
    except FileError as error:
        rows = {RESULTS: [error_row(settings, found, reason_of(error, found.path))]}
    planes = [PlaneRow.of(settings.measure, row) for row in rows[RESULTS]]
    failed = any(plane.error for plane in planes)
    try:
        after = identity_of(found.path)
    except OSError:
        after = None
    picture = None
    if drawn is not None and not failed:
        stacks = stack_rows(planes, columns[STACKS])
        place = verdict_of(planes, stacks).plane.place
        picture = drawn.of(place)
        if picture is None:
            # What cannot be drawn costs no row.
            with contextlib.suppress(MicroscopeQualityError):
                picture = _jpeg(measure_again(settings, found.path, place))
    return Reading(rows, after, failed, time.monotonic() - began, picture)


def stack_rows(planes: Iterable[PlaneRow], columns: Sequence[str]) -> list[dict[str, str]]:
    """Give the rows of the z-stacks that planes are."""
    stacks = (stack_row(image) for unit in all_units(planes) for image in images_of(unit))
    return [as_text(stack, columns) for stack in stacks if stack]


def error_row(settings: Settings, found: Found, error: str) -> dict[str, str]:
    """Give the row of a file that could not be measured."""
    item = Item(
        0,
        found.name,
        found.path,
        Page(0),
        size_bytes=found.identity.size_bytes,
        modified=modified_text(found.identity.mtime_ns),
    )
    return as_text(failed_row(settings, item, error), settings.tables()[RESULTS])


class _Pictures:
    """Pictures of planes that are likely to speak for their file, drawn while they are at hand.

    Those are the best plane of each z-stack, and the worst one of the others.
    """

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._best: dict[Place | None, tuple[float, Place, bytes]] = {}

    def __call__(self, place: Place, result: Result) -> None:
        is_of_stack = place.z is not None and self._measure.has_stacks
        key = replace(place, z=None) if is_of_stack else None
        badness = self._measure.badness(float(str(result.row[self._measure.value])))
        rank = math.inf if math.isnan(badness) else -badness if key is None else badness
        if key in self._best and self._best[key][0] <= rank:
            return
        if key in self._best or len(self._best) < _MOST:
            # What cannot be drawn costs no row.
            with contextlib.suppress(MicroscopeQualityError):
                self._best[key] = rank, place, _jpeg(result)

    def of(self, place: Place) -> bytes | None:
        """Picture of a plane, if it was drawn."""
        return next((picture for _, at, picture in self._best.values() if at == place), None)


def _jpeg(result: Result) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(result.drawn(_SIDE)).save(stream, "JPEG", quality=82)
    return stream.getvalue()
