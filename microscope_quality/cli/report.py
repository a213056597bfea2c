"""``microscope-quality report``: a page to look at, filter and decide by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from microscope_quality.batch.budget import SECONDS
from microscope_quality.cli.options import FileMemoryOption, FileTimeOption, ReadersOption
from microscope_quality.cli.results import (
    NamesLayoutOption,
    NamesPatternOption,
    PlatesOption,
    ResultsArgument,
)


def report(
    results: ResultsArgument,
    out: Annotated[
        Optional[Path],
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The page. An older report in this place is replaced, any other file is not.",
            show_default="report.html beside the table",
        ),
    ] = None,
    images: Annotated[
        Optional[Path],
        typer.Option(
            metavar="DIR",
            help="Where the images are now, when they were moved since they were measured.",
            show_default=False,
        ),
    ] = None,
    plates: PlatesOption = None,
    pattern: NamesPatternOption = None,
    layout: NamesLayoutOption = "none",
    title: Annotated[
        str,
        typer.Option(help="Heading of the page.", show_default="the name of the measured folder"),
    ] = "",
    jobs: ReadersOption = None,
    file_time: FileTimeOption = SECONDS,
    file_memory: FileMemoryOption = None,
) -> None:
    r"""Make a page of results: verdict, worst images, plates, z-stacks, and what to keep.

    One HTML file that opens in a browser from a disk, without a network. It needs
    `pip install 'microscope-quality[report]'`.

    **Examples**

    * `microscope-quality report results`

    * With wells from the files' names: `microscope-quality report results
    --pattern '(?P<well>[A-P]\d\d)_s(?P<site>\d)'`

    Exit codes: 0 written, 2 refused.
    """
    from microscope_quality.batch.run import n_cores
    from microscope_quality.cli.progress import bar
    from microscope_quality.cli.refusal import refusing
    from microscope_quality.errors import printable
    from microscope_quality.measuring.memory import budget_of
    from microscope_quality.report.write import write_report

    said: list[str] = []
    interrupted = "\nInterrupted; nothing was written."
    with refusing("report", interrupted=interrupted), bar("Drawing") as advance:
        page = write_report(
            results,
            out=out,
            images=images,
            plates=plates,
            pattern=pattern,
            layout=layout,
            title=title,
            jobs=jobs or n_cores(),
            budget=budget_of(file_time, file_memory),
            progress=advance,
            tell=said.append,
        )
    for sentence in said:
        typer.echo(printable(sentence), err=True)
    typer.echo(f"Written to {page} ({page.stat().st_size / 1e6:.1f} MB). Open it in a browser.")
