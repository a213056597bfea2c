"""The errors of this library: one tree, each also a built-in kind."""

from __future__ import annotations

import os
from typing import Union


class MicroscopeQualityError(Exception):
    """Base of all errors that this library raises on purpose."""


class OpticsError(MicroscopeQualityError, ValueError):
    """Optics that cannot exist, such as a numerical aperture above the refractive index."""


class ImageError(MicroscopeQualityError, ValueError):
    """An array that cannot be measured as it is."""


class ModelError(MicroscopeQualityError, ValueError):
    """A model folder that is damaged, or of a kind that this version cannot read."""


class ModelNotFoundError(MicroscopeQualityError, FileNotFoundError):
    """No model of that name or in that place."""


class FileError(MicroscopeQualityError, OSError):
    """A file that cannot be read, or a result that cannot be written."""


class SettingsError(MicroscopeQualityError, ValueError):
    """Any other argument that is out of its range."""


class ArgumentError(SettingsError, TypeError):
    """An argument of a wrong kind, such as a text in the place of a number."""


class AcquisitionError(MicroscopeQualityError, RuntimeError):
    """A microscope that gave no image, or did not do what it was told."""


class MissingLibraryError(MicroscopeQualityError, ImportError):
    """What was asked for takes a library, or a part of this one, that is not installed."""


def reason_of(error: Union[Exception, str], path: Union[str, os.PathLike[str]]) -> str:
    """Give what an error says without the path, where that stands beside it already."""
    said = str(getattr(error, "strerror", None) or error)
    named = f"{path}: "
    return said[len(named) :] if said.startswith(named) else said


def printable(text: str) -> str:
    """Text without characters that would move a terminal's cursor or break the line."""
    return "".join(character if character.isprintable() else "�" for character in text)
