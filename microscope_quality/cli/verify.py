"""``microscope-quality verify``: whether a folder of results is still what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from microscope_quality.cli.options import ReadersOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscope_quality.measuring.integrity import Check


def verify(
    results: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS",
            help="Folder that `measure … --out` or `watch … --out` wrote.",
            show_default=False,
        ),
    ],
    images: Annotated[
        Optional[Path],
        typer.Option(
            metavar="DIR",
            help="The images too: the folder that their names in the table are relative to.",
            show_default="the tables alone",
        ),
    ] = None,
    jobs: ReadersOption = None,
) -> None:
    """Check that results are what was measured: tables, run.json, model and images.

    Each row has a checksum, and the digest of its image. They tell what was damaged or edited;
    who means to deceive can compute them too. Nothing is written.

    **Examples**

    * `microscope-quality verify results`

    * With the images: `microscope-quality verify results --images plate1`

    Exit codes: 0 all fits, 1 something differs, 2 wrong use, 130 stopped by Ctrl-C.
    """
    from microscope_quality.batch.run import n_cores
    from microscope_quality.batch.run_record import RUN_RECORD, earlier_folder
    from microscope_quality.cli.progress import bar
    from microscope_quality.cli.refusal import refusing
    from microscope_quality.errors import FileError, printable
    from microscope_quality.measuring.integrity import check_images, check_results

    with refusing("verify", interrupted="\nInterrupted; not all was checked."):
        if images is not None and not images.is_dir():
            raise FileError(f"{images}: is no folder of images")
        checks, measured = check_results(results)
        if images is not None:
            with bar("Reading images") as move:
                checks.append(check_images(measured, images, jobs=jobs or n_cores(), progress=move))
    _show(checks, with_images=images is not None)
    missing = [] if images is None else checks[-1].told
    named = earlier_folder(results)
    if missing and named and all(told.endswith(": is not there") for told in missing):
        typer.echo(f"Names in the tables are relative to {printable(str(named))}, by {RUN_RECORD}.")
    raise typer.Exit(1 if any(check.differ for check in checks) else 0)


def _show(checks: Sequence[Check], *, with_images: bool) -> None:
    """Print what was checked, how many, and what differs."""
    from rich.table import Table
    from rich.text import Text

    from microscope_quality.cli.wording import console, counted
    from microscope_quality.errors import printable

    screen = console()
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for check in checks:
        found = Text(f"{check.differ:,} differ" if check.differ else "fits", _style(check))
        if not (check.checked or check.differ):
            found = Text("not checked", _style(check))
        if check.note:
            found.append(f" ({printable(check.note)})", "dim")
        table.add_row(Text(check.what), Text(counted(check.checked, check.unit)), found)
        for told in check.told:
            table.add_row("", "", Text(f"  {printable(told)}"))
        if check.differ > len(check.told):
            table.add_row("", "", Text(f"  and {check.differ - len(check.told):,} more", "dim"))
    screen.print(table)
    differ = [check.what for check in checks if check.differ]
    said = f"\nNot all fits: {'; '.join(differ)}." if differ else "\nAll fits."
    remarks = [check.remark for check in checks if check.remark]
    screen.print(" ".join([said, *remarks]), style="bold")
    if not with_images:
        screen.print("The images were not looked at; --images DIR does.", style="dim")


def _style(check: Check) -> str:
    if check.differ:
        return "bold red"
    return "green" if check.checked else "dim"
