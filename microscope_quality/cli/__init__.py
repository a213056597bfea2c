"""The command line, ``microscope-quality``."""

from __future__ import annotations

import sys
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
from microscope_quality.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.command()(measure)
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
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal cannot show must not end a run.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="microscope-quality")
