"""Pictures of planes in a run's folder: their names, what they show, and drawing them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from microscope_quality.files.pictures import MAX_SIDE, subject_of_picture, write_picture
from microscope_quality.files.tables import as_text
from microscope_quality.measuring.items import Place, identity
from microscope_quality.measuring.measure import Measure, Result
from microscope_quality.measuring.settings import Settings


@dataclass(frozen=True)
class Wanted:
    """A plane of a file that is to be drawn into a picture, with a remark.

    `judged` are fields of its row that the plane alone does not tell.
    """

    name: str
    path: Path
    place: Place
    picture: Path
    remark: str = ""
    judged: Mapping[str, str] = field(default_factory=dict)


def draw(measure: Measure, result: Result, wanted: Wanted, subject: str) -> None:
    """Draw what measuring a plane gave; see `subject_of`.

    Raises
    ------
    FileError
        The picture cannot be written.
    """
    row = {**as_text(result.row, [*result.row]), **wanted.judged}
    write_picture(
        wanted.picture,
        result.drawn(MAX_SIDE),
        title=f"{wanted.name}  {wanted.place}".strip(),
        verdict=" · ".join(filter(None, (measure.headline(row), wanted.remark))),
        legend=measure.legend,
        subject=subject,
    )


def subject_of(settings: Settings, wanted: Wanted) -> str:
    """Name what a picture shows: the file as it is, the plane, how it is measured."""
    size_bytes, modified = identity(wanted.path)
    facts = [settings.id, size_bytes, modified, str(wanted.place), wanted.remark]
    facts += [*wanted.judged.values()]
    return json.dumps([*facts, str(wanted.path.absolute())])


def is_drawn(settings: Settings, wanted: Wanted) -> bool:
    """Whether the picture is there already, of the file as it is now."""
    return subject_of_picture(wanted.picture) == subject_of(settings, wanted)


def picture_name(name: str, place: Place, rank: int | None = None) -> str:
    """File name of a plane's picture, of characters that any file system takes.

    It begins with the plane's rank, or else ends in digits that are the plane's own, whatever
    other files there are.
    """
    stem = re.sub(r"[^\w.+-]+", "_", f"{name} {place}".strip())
    # That of the picture follows.
    stem = re.sub(r"\.png$", "", stem, flags=re.IGNORECASE)
    # Names are limited to 255 bytes; their ends tell files apart.
    stem = stem.encode(errors="replace")[-180:].decode(errors="ignore").lstrip("_. ")
    if rank is not None:
        return f"{rank:02}_{stem}.png"
    own = hashlib.sha256(f"{name}\n{place}".encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{stem}_{own}.png" if stem else f"{own}.png"
