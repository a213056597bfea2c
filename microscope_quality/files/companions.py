"""Metadata that lie in a file of their own, beside the images that they tell of.

An OME-TIFF may name one, such as ``a.companion.ome``. It is read if it is a regular file in the
image's own folder, which no link leads out of, and no longer than is needed for a large set.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from microscope_quality.errors import FileError
from microscope_quality.files import ome_xml
from microscope_quality.files.metadata import KnownOptics, from_ome
from microscope_quality.files.regular import Folder, said

# Of such a file, and the elements and attributes in it, which take some hundred bytes each.
_MOST_BYTES = 2**24
_MOST_PARTS = 1_000_000
_LONGEST_NAME = 255
_DESCRIPTION, _MOST_TAGS = 270, 4096


@dataclass(frozen=True)
class Described:
    """What OME-XML in a TIFF, or in the companion file that it names, tells.

    Attributes
    ----------
    known
        As `metadata.from_ome_xml` gives it.
    note
        What is to be said of a companion file that tells nothing, else an empty text.
    """

    known: list[list[KnownOptics]]
    note: str
    _root: ome_xml.Element | None
    _companion: ome_xml.Companion | None

    def of_file(
        self, filename: str, n_directories: int, sides: Sequence[tuple[int, int]]
    ) -> ome_xml.OwnFile:
        """Tell what it tells of the planes in the file; see `ome_xml.of_own_file`."""
        return ome_xml.of_own_file(self._root, filename, n_directories, sides, self._companion)


def described(path: Path, xml: str) -> Described:
    """Read the OME-XML of a TIFF, and the companion file that it names.

    Parameters
    ----------
    path
        Of the TIFF.
    xml
        As it is in it.

    Raises
    ------
    FileError
        The TIFF's own XML tells of what cannot be.
    """
    root = ome_xml.parse(xml)
    if root is None:
        return Described([], "", root, None)
    name = ome_xml.metadata_file(root)
    if name is None:
        return Described(_known(root), "", root, None)
    try:
        companion, known = _companion(path.parent, name)
    except FileNotFoundError:
        note = f"The file {name:.255}, which has its metadata, is not there."
        return Described([], note, root, None)
    except (FileError, OSError, ValueError, OverflowError, struct.error) as error:
        note = f"The file {name:.255}, which has its metadata, was not read: {said(error)}."
        return Described([], note, root, None)
    note = ""
    if not companion.images_of(path.name, root.get("UUID")):
        note = f"The file {name}, which is to have its metadata, does not tell of it."
        known = []
    return Described(known, note, root, companion)


def _companion(folder: Path, name: str) -> tuple[ome_xml.Companion, list[list[KnownOptics]]]:
    """Read a companion file, of which the last ones are kept, for the other files of the set.

    Raises
    ------
    FileError
        It is no file in the folder, or not what it should be.
    OSError
        It cannot be opened.
    """
    if len(name) > _LONGEST_NAME or name in (".", "..") or not set("/\\\0").isdisjoint(name):
        raise FileError("it is no name of a file in the same folder")
    return _companion_as_of(folder, name, Folder(folder).version(name))


@functools.lru_cache(maxsize=2)
def _companion_as_of(
    folder: Path, name: str, version: tuple[int, int, int]
) -> tuple[ome_xml.Companion, list[list[KnownOptics]]]:
    with Folder(folder).open(name) as stream:
        content = _content(stream)
    if content.count(b"<") + content.count(b"=") > _MOST_PARTS:
        raise FileError(f"it has over {_MOST_PARTS} elements and attributes")
    root = ome_xml.parse(content)
    if root is None:
        raise FileError("it is no XML")
    return ome_xml.Companion(name, root), _known(root)


def _known(root: ome_xml.Element) -> list[list[KnownOptics]]:
    # Metadata of any form are no reason not to measure.
    try:
        return from_ome(root)
    except Exception:
        return []


def _content(stream: BinaryIO) -> bytes:
    """XML in a file of its own, or in the description of a TIFF that is a set's first."""
    content = stream.read(_MOST_BYTES + 1)
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _description(stream)
    if len(content) > _MOST_BYTES:
        raise FileError(f"it has more than {_MOST_BYTES} bytes")
    return content


def _description(stream: BinaryIO) -> bytes:
    """Description in the first directory of a TIFF."""
    stream.seek(0)
    head = stream.read(16).ljust(16, b"\0")
    order = "<" if head[:1] == b"I" else ">"
    is_big = b"+" in head[2:4]
    pointer, count, entry = ("Q", "Q", "HHQQ") if is_big else ("I", "H", "HHII")
    (at,) = struct.unpack_from(order + pointer, head, 8 if is_big else 4)
    form = struct.Struct(order + entry)
    stream.seek(at)
    (n_tags,) = struct.unpack(order + count, stream.read(struct.calcsize(order + count)))
    for _ in range(min(n_tags, _MOST_TAGS)):
        tag, _, length, where = form.unpack(stream.read(form.size))
        if tag == _DESCRIPTION:
            if length > _MOST_BYTES:
                raise FileError(f"its metadata have more than {_MOST_BYTES} bytes")
            stream.seek(where)
            return stream.read(length).rstrip(b"\0")
    raise FileError("it has no metadata")
