"""``microscope-quality label``: score images on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from microscope_quality.cli import options
from microscope_quality.cli.pages import HostOption, NoBrowserOption, PortOption

#: Heading of options in the command's help.
SHOWN = "What is shown"

# Where the page is unless one says otherwise.
_PORT = 8767


def label(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGES...", help="Image files, folders of them, or patterns."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Table of labels. One that is there is gone on with, and nothing in it is lost.",
            rich_help_panel=options.WRITTEN,
        ),
    ],
    patch: Annotated[
        Optional[int],
        typer.Option(
            metavar="N",
            rich_help_panel=SHOWN,
            help="Show patches of N × N pixels at full resolution, such as 512, in random places "
            "that are not empty.",
            show_default="whole images, with zoom",
        ),
    ] = None,
    per_image: Annotated[
        int,
        typer.Option(metavar="N", rich_help_panel=SHOWN, help="Patches of each image."),
    ] = 1,
    repeats: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            rich_help_panel=SHOWN,
            help="Share that each rater is shown a second time, without being told, to know how "
            "well scores repeat. From 0 to 1.",
        ),
    ] = 0.15,
    rater: Annotated[
        Optional[str],
        typer.Option(
            metavar="NAME",
            rich_help_panel=SHOWN,
            help="Who scores.",
            show_default="the page asks, and several can score at a time",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(rich_help_panel=SHOWN, help="Of the random places and order.")
    ] = 0,
    channel: Annotated[
        Optional[int],
        typer.Option(
            metavar="N",
            rich_help_panel=SHOWN,
            help="Show this channel alone, counted from 0, of images with several.",
            show_default="each is an image",
        ),
    ] = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = None,
    no_browser: NoBrowserOption = False,
) -> None:
    """Score images on a page: keys 1 to 9 for 0.1 to 0.9, and 0 for 1.0.

    The table has a row for each score, and can be learnt from (`train --labels`). Stop with
    Ctrl-C at any time; the same command goes on from there. Each score is on the disk before the
    next image is shown.

    **Examples**

    * Whole images: `microscope-quality label images/ --out labels.csv`

    * Three patches of each: `microscope-quality label images/ --out labels.csv --patch 512
    --per-image 3`

    Exit codes: 0 ended by SIGTERM, 2 refused, 130 stopped by Ctrl-C.
    """
    from microscope_quality.cli.pages import listening, serve
    from microscope_quality.cli.refusal import refusing
    from microscope_quality.cli.wording import counted
    from microscope_quality.errors import printable
    from microscope_quality.rating.label_page import LabelPage, LabelSettings, as_rater, listed
    from microscope_quality.rating.labels import LabelsFile
    from microscope_quality.rating.page_server import PageServer

    def tell(sentence: str) -> None:
        typer.echo(printable(sentence), err=True)

    with refusing("label"):
        settings = LabelSettings(
            patch=patch,
            per_image=per_image,
            repeats=repeats,
            seed=seed,
            channel=channel,
            rater="" if rater is None else as_rater(rater),
        )
        names, unreadable = listed(images, out.parent, channel)
        table = LabelsFile(out)
    with table:
        with refusing("label"):
            page = LabelPage(names, table, settings, unreadable, tell)
            server = listening(
                lambda host, port: PageServer("label_page", page.routes, host, port),
                host,
                port,
                _PORT,
            )
        for one in unreadable:
            tell(f"{one.image}: {one.why}; it is not shown.")
        before = len(table.rows)
        going_on = f", and goes on with the {before:,} rows that are there" if before else ""
        typer.echo(f"{counted(len(names), 'image')} to score. The table is {out}{going_on}.")
        code = serve(server, host, no_browser=no_browser)
        added = len(table.rows) - before
        typer.echo(f"Stopped: {counted(added, 'row')} more in {out}; the same command goes on.")
    raise typer.Exit(code)
