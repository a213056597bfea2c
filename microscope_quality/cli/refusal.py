"""How a command refuses: in a sentence that names things as they were typed, with exit code 2."""

from __future__ import annotations

import re

import typer

from microscope_quality.errors import MicroscopeQualityError, SettingsError

# What the library calls an option. Words of plain English count at the start of a sentence only,
# where they are an argument's name.
_OPTIONS = {
    r"\bspherical_waves\b": "--spherical",
    r"\bastigmatism_waves\b": "--astigmatism",
    r"\btilt_levels\b": "--tilt",
    r"\bdepth_um\b": "--depth",
    r"\bsample_index\b": "--sample-index",
    r"\bfocus_plane\b": "--focus-plane",
    r"\bstep_um\b": "--step-um",
    r"\ba validation fraction of\b": "--validation-fraction",
    r"^(?=(?:psf|vignetting|saturation|photons|background|sharpest|devices|group-by|steps) "
    r"(?:must|needs|is)\b)": "--",
    r"(?<=^--steps must be positive and )the batch size": "--batch-size",
}


def as_typed(error: MicroscopeQualityError) -> str:
    """Give an error's sentence with the options' names in place of the library's."""
    said = str(error)
    # Others speak of files, whose columns have these names.
    if isinstance(error, SettingsError):
        for pattern, option in _OPTIONS.items():
            said = re.sub(pattern, option, said)
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
    said = as_typed(error) if isinstance(error, MicroscopeQualityError) else str(error)
    typer.echo(f"microscope-quality {command}: {said}{remedy and f'; {remedy}'}", err=True)
    return typer.Exit(2)
