"""How models list the images that they learned from: ``kind/filename``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol


class Listed(Protocol):
    """An image to learn from: what it shows, its field of view, and how models list it."""

    @property
    def kind(self) -> str: ...

    @property
    def field(self) -> str: ...

    @property
    def entry(self) -> str: ...


def kind_of(path: Path) -> str:
    """Give the name of the folder that an image lies in, also where the path does not tell it."""
    return path.parent.resolve().name


def entry_of(path: Path) -> str:
    """Name an image as models list it: ``kind/filename``."""
    return f"{kind_of(path)}/{path.name}"


def entries(images: Iterable[Listed]) -> list[str]:
    """Name images as models list them, each file once, in alphabetical order."""
    return sorted({image.entry for image in images})
