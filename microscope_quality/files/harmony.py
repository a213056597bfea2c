"""Optics in the index that Harmony (Operetta, Opera Phenix) writes beside the images of a plate.

It is XML of a form of its own, ``Index.xml`` or ``Index.idx.xml``, in the images' folder or the one
above; for a plate it may have hundreds of megabytes. What it tells of the optics is the same in all
images of a channel, so it is read only until it has told of the channel.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from microscope_quality.errors import FileError
from microscope_quality.files.metadata import KnownOptics, micrometres, with_pixel_size
from microscope_quality.files.regular import Folder, said

# An image, such as r01c02f03p04-ch1sk1fk1fl1.tiff, with its channel, and the index.
_IMAGE = re.compile(r"r\d+c\d+f\d+p\d+-ch(\d{1,4})\D", re.IGNORECASE | re.ASCII)
#: Names of the index.
INDEXES = ("Index.xml", "Index.idx.xml")
# Read of an index at most: before the first image, there is a list of all, of some 40 bytes each.
_MOST_BYTES = 2**25
_STEP_BYTES = 2**16
_MOST_CHANNELS = 1000
_LONGEST_VALUE = 100
# Elements that tell of a channel, what they tell, and in which units if they do not say.
_OF_CHANNEL = ("Image", "Entry")
_VALUES = {
    "ObjectiveNA": "",
    "RefractiveIndex": "",
    "ImageResolutionX": "m",
    "ImageResolutionY": "m",
    "MainEmissionWavelength": "nm",
}
# What there is of each channel that light comes from.
_ENOUGH = _VALUES.keys() - {"RefractiveIndex"}


def optics_beside(path: Path) -> tuple[KnownOptics | None, str]:
    """Optics that the index beside an image tells of its channel.

    Parameters
    ----------
    path
        Of the image.

    Returns
    -------
    KnownOptics or None, str
        None where the image is none of Harmony's, or without an index; what is to be said of an
        index that cannot be read, else an empty text.
    """
    match = _IMAGE.match(path.name)
    if match is None:
        return None, ""
    folder = path.absolute().parent
    for place in (folder, folder.parent):
        for name in INDEXES:
            try:
                version = Folder(place).version(name)
                return _index(place, name, version).optics_of(int(match[1])), ""
            except FileNotFoundError:
                continue
            except (FileError, OSError, ValueError) as error:
                return None, f"The index {name}, beside the image, was not read: {said(error)}."
    return None, ""


@functools.lru_cache(maxsize=4)
def _index(folder: Path, name: str, version: tuple[int, int, int]) -> _Index:
    return _Index(folder, name)


class _Index:
    """An index, of which what was read is kept."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        # Texts and units, by their names, of each channel.
        self._channels: dict[int, dict[str, tuple[str, str]]] = {}
        self._is_read = False

    def optics_of(self, channel: int) -> KnownOptics | None:
        """Give the optics of a channel; None where nothing is told of it."""
        if not (self._is_read or self._has(channel)):
            with Folder(self._folder).open(self._name) as stream:
                self._read(stream, channel)
        found = self._channels.get(channel)
        if not found:
            return None
        none = (None, "")
        wavelength = micrometres(*found.get("MainEmissionWavelength", none))
        across, down = (found.get(f"ImageResolution{axis}", none) for axis in "XY")
        values = {
            "na": found.get("ObjectiveNA", none)[0],
            "refractive_index": found.get("RefractiveIndex", none)[0],
            # Of transmitted light, it is 0.
            "wavelength_um": wavelength or None,
        }
        return with_pixel_size(values, across[0], down[0], across[1], down[1])

    def _has(self, channel: int) -> bool:
        return self._channels.get(channel, {}).keys() >= _ENOUGH

    def _read(self, stream: BinaryIO, channel: int) -> None:
        """Read until all is known of a channel."""
        reader = _Reader(self._channels)
        for _ in range(0, _MOST_BYTES, _STEP_BYTES):
            content = stream.read(_STEP_BYTES)
            try:
                reader.feed(content)
            except (expat.ExpatError, ValueError, LookupError):
                content = b""  # damaged, or not yet written to its end
            if not content:
                break
            if self._has(channel):
                return
        self._is_read = True


class _Reader:
    """Reads an index bit by bit into what it tells of channels."""

    def __init__(self, channels: dict[int, dict[str, tuple[str, str]]]) -> None:
        self._channels = channels
        self._values: dict[str, tuple[str, str]] = {}
        # The channel's number, and the name and unit of what is being read.
        self._number = self._name = self._unit = self._text = ""
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._refuse

    def feed(self, content: bytes) -> None:
        """Take the next bytes, none at the end."""
        self._parser.Parse(content, not content)

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        self._name, self._text = "", ""
        if tag in _OF_CHANNEL:
            self._values, self._number = {}, attributes.get("ChannelID", "")
        elif tag == "ChannelID" or tag in _VALUES:
            self._name, self._unit = tag, attributes.get("Unit", _VALUES.get(tag, ""))

    def _characters(self, text: str) -> None:
        if self._name:
            self._text = (self._text + text)[:_LONGEST_VALUE]

    def _end(self, tag: str) -> None:
        if self._name == "ChannelID":
            self._number = self._text
        elif self._name:
            self._values.setdefault(self._name, (self._text.strip(), self._unit))
        elif tag in _OF_CHANNEL and self._values and self._number.strip().isdecimal():
            number = int(self._number)
            if number in self._channels or len(self._channels) < _MOST_CHANNELS:
                of_channel = self._channels.setdefault(number, {})
                self._channels[number] = {**self._values, **of_channel}
        self._name = ""

    def _refuse(self, *about: object) -> None:
        raise FileError("it has a document type (DOCTYPE), for which there is no use")
