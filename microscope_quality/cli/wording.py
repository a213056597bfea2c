"""What several commands say, and where to."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from microscope_quality.errors import printable
from microscope_quality.statuses import ERROR, Status

#: Of a table of another version, or that another program changed.
OTHER_COLUMNS = (
    "All was measured again, since the table had other columns: of another version, of other "
    "measures, or changed by another program."
)


def console() -> Console:
    """Give the terminal, or the pipe, that a command writes to."""
    # A pipe gets whole names; COLUMNS has its way all the same.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 1000
    return Console(width=width, highlight=False, markup=False, emoji=False)


def style_of(status: Status) -> str:
    """Give the style of a status on a terminal, whose own colours are the clearest there."""
    if status is ERROR:
        return "bright_red"
    return "dim" if status.is_blank else status.colour


def edited(names: Sequence[str]) -> str:
    """Say which files are measured again because somebody edited their rows."""
    number = counted(len(names), "file")
    return f"Measured again, since rows in the tables were edited: {number}, {first_of(names)}."


def kept_in(older: Path) -> str:
    """Say where the tables of an earlier run are."""
    return f"The tables as they were before are in {older}."


def counted(number: int, what: str) -> str:
    """Say how many there are, such as ``"1 file"`` or ``"1,200 files"``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def first_of(names: Sequence[str]) -> str:
    """Name the only one of several files, or the first one."""
    return f"{printable(names[0])}{' first' if len(names) > 1 else ''}"


def shortened(text: str, room: int) -> str:
    """Text in that many characters, without its middle if need be."""
    if len(text) <= room:
        return text
    start = (room - 1) // 3
    return f"{text[:start]}…{text[len(text) - (room - 1 - start) :]}"
