"""The command line, ``microscope-quality``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from microscope_quality.cli.evaluate import evaluate
from microscope_quality.cli.measure import measure
from microscope_quality.cli.models import models
from microscope_quality.cli.plugin import plugin
from microscope_quality.cli.report import report
from microscope_quality.cli.synthesize import synthesize
from microscope_quality.cli.train import train
from microscope_quality.cli.unseen import unseen
from microscope_quality.cli.watch import watch
from microscope_quality.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command()(measure)
app.command()(watch)
app.command()(report)
app.command()(synthesize)
app.command()(train)
app.command()(evaluate)
app.command()(unseen)
app.add_typer(models, name="models")
app.add_typer(plugin, name="plugin")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"microscope-quality {__version__}")
        raise typer.Exit


@app.callback()
def _describe(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Is this microscope image in focus, and if not, how far out?

    A number for each image, from the image alone: level 0 (in focus) to 10 (far out), with a
    certainty that says whether to believe it. No threshold, no reference image, no setting.

    **Example:** microscope-quality measure plate/ --out results
    """


def main() -> None:
    """Run the command line; exit codes are 0 done, 1 some files failed, 2 wrong use."""
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal cannot show must not end a run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
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
