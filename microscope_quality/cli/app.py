"""The commands of ``microscope-quality``, and what is said of all of them."""

from __future__ import annotations

from typing import Annotated

import typer

from microscope_quality.cli.agreement import agreement
from microscope_quality.cli.commands import app as app
from microscope_quality.cli.evaluate import evaluate
from microscope_quality.cli.label import label
from microscope_quality.cli.measure import measure
from microscope_quality.cli.models import models
from microscope_quality.cli.options import BareRescaleCommand
from microscope_quality.cli.plugin import plugin
from microscope_quality.cli.rate import rate
from microscope_quality.cli.report import report
from microscope_quality.cli.retake import retake
from microscope_quality.cli.select import select
from microscope_quality.cli.study import study
from microscope_quality.cli.synthesize import synthesize
from microscope_quality.cli.train import train
from microscope_quality.cli.unseen import unseen
from microscope_quality.cli.verify import verify
from microscope_quality.cli.watch import watch
from microscope_quality.version import __version__

app.command(cls=BareRescaleCommand)(measure)
app.command(cls=BareRescaleCommand)(watch)
for command in (
    rate,
    report,
    select,
    retake,
    verify,
    label,
    agreement,
    study,
    synthesize,
    train,
    evaluate,
    unseen,
):
    app.command()(command)
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
