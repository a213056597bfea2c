"""How a table of labels names an image: by its file, and in a file of several by the plane.

As in ``tissue/stack.tif#z=3``: the path goes from the table's folder on, with forward slashes, and
``series``, ``z``, ``c`` and ``t`` count from 0, those of them that the file has.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from microscope_quality.errors import FileError
from microscope_quality.files.images import open_image
from microscope_quality.files.plane import Page, Plane
from microscope_quality.files.tables import as_stored, names_stored_as

_AXES = ("series", "z", "c", "t")
_NAME = re.compile(
    r"(?P<file>.+)#(?P<place>(?:series|z|c|t)=\d{1,9}(?:[,&](?:series|z|c|t)=\d{1,9})*)"
)


def name_of(path: Path, folder: Path, place: Mapping[str, int] | None = None) -> str:
    """Give the name of an image, as a table in a folder has it.

    Parameters
    ----------
    path
        Of the file.
    folder
        Of the table.
    place
        Which plane, in a file of several: see `place_in`.
    """
    try:
        name = os.path.relpath(path.absolute(), folder.absolute())
    except ValueError:  # on another drive of Windows
        name = str(path.absolute())
    told = ",".join(f"{axis}={number}" for axis, number in (place or {}).items())
    return as_stored(Path(name).as_posix()) + (f"#{told}" if told else "")


def place_in(page: Page) -> dict[str, int]:
    """Give the axes on which a page of a file lies, with its numbers."""
    found = {axis: getattr(page, axis) for axis in _AXES}
    return {axis: number for axis, number in found.items() if number is not None}


def file_of(name: str, folder: Path) -> tuple[Path, dict[str, int]]:
    """Give the file that a name means, and which plane of it.

    Parameters
    ----------
    name
        As the table has it.
    folder
        From which on it goes.

    Returns
    -------
    Path, dict of str to int
        The file, which may be missing; of ``series``, ``z``, ``c`` and ``t`` those that are named.
    """
    for one in names_stored_as(name):
        # A file may have such a name itself.
        if (folder / one).exists():
            return folder / one, {}
    found = _NAME.fullmatch(name)
    if found is None:
        return folder / name, {}
    told = (one.split("=") for one in re.split("[,&]", found["place"]))
    files = [folder / one for one in names_stored_as(found["file"])]
    path = next((one for one in files if one.exists()), files[0])
    return path, {axis: int(number) for axis, number in told}


def read_plane(path: Path, place: Mapping[str, int], *, whole: bool = False) -> Plane:
    """Read the plane of a file that a name means; colour as luminance.

    Parameters
    ----------
    path, place
        As `file_of` gives them.
    whole
        As for `files.plane.ImageFile.read`.

    Raises
    ------
    FileError
        The file is missing or damaged, has no such plane, or has several that the name may mean.
    """
    image = open_image(path)
    named = " and ".join(f"{axis} = {number}" for axis, number in place.items())
    planes: list[Plane] = []
    for page in image.pages:
        if all(getattr(page, axis) in (None, number) for axis, number in place.items()):
            planes += [
                plane
                for plane in image.read(page, luminance=True, whole=whole)
                if all(getattr(plane, axis) == number for axis, number in place.items())
            ]
        if len(planes) > 1:
            what = f"several planes with {named}" if named else "several planes"
            raise FileError(
                f"{path}: has {what}, and a label must name one, as in {path.name}#z=0 or "
                f"{path.name}#c=0"
            )
    if not planes:
        raise FileError(f"{path}: has no plane with {named}" if named else f"{path}: has no plane")
    return planes[0]
