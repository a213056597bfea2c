"""The command line, ``microscope-quality``."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Run the command line; exit codes are 0 done, 1 some files failed, 2 wrong use."""
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal cannot show must not end a run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    # Not above: each process that a run starts loads what started this one, and needs no commands.
    import typer

    from microscope_quality.cli.app import app

    try:
        app(prog_name="microscope-quality")
    except OSError as error:
        # Commands look after all files that they write; what is left is the screen, when it is a
        # file on a full disk. Their own errors have no number.
        if error.errno is None:
            raise
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - takes what was not written
        typer.echo(f"microscope-quality: {error}", err=True)
        sys.exit(1)


def _open_missing_streams() -> None:
    """Open what a service or a shell has closed, so that no table gets what is for the screen."""
    names = ("stdin", "stdout", "stderr")
    for descriptor in range(len(names)):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is taken, which is this one.
            os.open(os.devnull, os.O_RDWR)
    for name in names:
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("r+"))  # noqa: SIM115
