"""Images as they are written: a TIFF of one plane, known again as the library's own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microscope_quality.errors import FileError
from microscope_quality.files.regular import open_regular, refusals
from microscope_quality.files.whole import whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SOFTWARE = "microscope-quality best plane"
# Before the pixels, so that what the file is stands within its first bytes.
_HEADER_BYTES = 2**16
_DESCRIPTION = re.compile(rb"\{[\x20-\x7e]*\}")


def write_tiff(
    path: Path,
    plane: NDArray[Any],
    facts: Mapping[str, object],
    pixel_size_um: float | None = None,
) -> None:
    """Write a plane as a TIFF, in one step; its folder is made.

    Parameters
    ----------
    path
        An older image that was written here is replaced.
    plane
        (height, width) array, written as it is.
    facts
        For the description, as JSON.
    pixel_size_um
        Written as the resolution, where it is known.

    Raises
    ------
    FileError
        There is another file at that place, or nothing can be written there.
    """
    import tifffile

    if os.path.lexists(path) and not is_own(path):
        raise FileError(f"{path}: is there already and was not written here; choose another folder")
    resolution: dict[str, Any] = {}
    if pixel_size_um is not None:
        resolution = {"resolution": (1e4 / pixel_size_um,) * 2, "resolutionunit": "CENTIMETER"}
    with refusals(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as beside:
            tifffile.imwrite(
                beside,
                plane,
                photometric="minisblack",
                software=_SOFTWARE,
                description=json.dumps(facts),
                metadata=None,
                **resolution,
            )


def is_own(path: Path) -> bool:
    """Whether a file is one that `write_tiff` wrote."""
    return bool(_start(path))


def facts_of(path: Path) -> dict[str, object]:
    """Give the facts that `write_tiff` was told; empty for any other file."""
    found = _DESCRIPTION.search(_start(path))
    try:
        facts = json.loads(found[0]) if found else {}
    except ValueError:
        facts = {}
    return facts if isinstance(facts, dict) else {}


def _start(path: Path) -> bytes:
    """Read the start of a file that was written here; empty for any other."""
    try:
        with open_regular(path) as stream:
            start = stream.read(_HEADER_BYTES)
    except (OSError, FileError):
        return b""
    is_own = start.startswith((b"II", b"MM")) and _SOFTWARE.encode() in start
    return start if is_own else b""
