"""Write a file whole or not at all: beside its place, and into it when it is complete."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from microscope_quality.files.regular import refusals


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a place beside a file to write to; what is there at the end becomes the file.

    Until then, and when writing fails or is interrupted, an older file stays as it is and nothing
    else is left: no reader meets half a file.

    Parameters
    ----------
    path : Path
        Of the file, in a folder that is there when writing begins.

    Yields
    ------
    Path
        The place, in the same folder; its name begins with a dot and ends in ``.part``.

    Raises
    ------
    FileError
        If nothing can be written there.
    """
    beside = path.with_name(f".{path.name}.part")
    with refusals(path, "written"):
        # What a killed process left there, or a link to elsewhere, is not written through.
        beside.unlink(missing_ok=True)
        try:
            yield beside
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
