"""How a command refuses: in a sentence that names things as they were typed, with exit code 2."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping

import typer

from microscope_quality.cli.commands import app
from microscope_quality.cli.interruption import INTERRUPTED
from microscope_quality.errors import FileError, MicroscopeQualityError

# Arguments of the library that a command calls otherwise.
_CALLED = {
    "spherical_waves": "spherical",
    "astigmatism_waves": "astigmatism",
    "tilt_levels": "tilt",
    "depth_um": "depth",
    "keep_patches": "per_patch",
    "limit": "alert_level",
    "statuses": "alert_status",
    "address": "serve",
    "stack_quiet_seconds": "stack_quiet",
    "min_trust": "min_certainty",
}
# What follows an argument's name at the start of a sentence, where it may be a plain word.
_VERBS = "is|are|must|needs|need|has|have|names|cannot|matches"


def options_of(command: str) -> dict[str, str]:
    """Give the options of a command, by the names that arguments of the library have."""
    # Whoever calls a command by itself has not asked for all of them.
    commands = (
        getattr(typer.main.get_command(app), "commands", {}) if app.registered_commands else {}
    )
    found = commands.get(command)
    options = {
        str(one.name): max(one.opts, key=len)
        for one in (found.params if found else ())
        if one.opts[0].startswith("-")
    }
    called = {name: options[own] for name, own in _CALLED.items() if own in options}
    return options | called


def as_typed(error: MicroscopeQualityError, options: Mapping[str, str]) -> str:
    """Give an error's sentence with options in place of the library's arguments.

    An argument is a name in backticks. In errors of settings it is also one with an underscore,
    and one that begins the sentence: others speak of files, whose columns have such names.
    """
    said = str(error)
    for name, option in options.items():
        named = f"`{name}`"
        if not isinstance(error, FileError):
            alone = rf"\b{name}\b" if "_" in name else rf"^{name}(?=:? (?:{_VERBS})\b)"
            named = f"{named}|{alone}"
        said = re.sub(named, option, said)
    return said


def refused(command: str, error: Exception, remedy: str = "") -> typer.Exit:
    """Say why a command does nothing, and give what ends it.

    Parameters
    ----------
    command : str
        Its name.
    error : Exception
    remedy : str
        What would help, to stand after the error.
    """
    said = str(error)
    if isinstance(error, MicroscopeQualityError):
        said = as_typed(error, options_of(command))
    typer.echo(f"microscope-quality {command}: {said}{remedy and f'; {remedy}'}", err=True)
    return typer.Exit(2)


@contextlib.contextmanager
def refusing(command: str, *, remedy: str = "", interrupted: str = "") -> Iterator[None]:
    """Refuse, as `refused` does, for what goes wrong within.

    Parameters
    ----------
    command : str
        Its name.
    remedy : str
        What would help where a library is missing; without one that is no refusal.
    interrupted : str
        What to say after Ctrl-C; without it that is left to others.
    """
    try:
        yield
    except MicroscopeQualityError as error:
        raise refused(command, error) from error
    except ImportError as error:
        if not remedy:
            raise
        raise refused(command, error, remedy) from error
    except KeyboardInterrupt:
        if not interrupted:
            raise
        typer.echo(interrupted, err=True)
        raise typer.Exit(INTERRUPTED) from None
