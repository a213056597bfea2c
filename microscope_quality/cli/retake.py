"""``microscope-quality retake``: which tiles to take again, for the microscope's software."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from microscope_quality.cli.results import ResultsArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from microscope_quality.report.retake import Tile


def retake(
    results: ResultsArgument,
    score_limit: Annotated[
        Optional[float],
        typer.Option(
            metavar="SCORE",
            help="The lowest score that counts as good, 0.1 to 1.",
            show_default="the limit that was rated with",
        ),
    ] = None,
    out: Annotated[
        Optional[Path],
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="A .csv or .json to write. An older list there is replaced, any other file is "
            "not.",
            show_default="retake.csv beside the table",
        ),
    ] = None,
    pattern: Annotated[
        Optional[str],
        typer.Option(
            metavar="REGEX",
            help="Where the row and the column of a tile stand in its name, as the groups row and "
            "column. Names such as r01_c02.tif are understood without it.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List the tiles of a rating, and which of them to take again.

    A tile is to be taken again when its score is below the limit, its grab failed, it is the frame
    before once more, or its file cannot be read. One without content, such as bare resin, is to be
    looked at. The list has a row for each tile: tile, score, cause, action, retake (yes or no),
    fault, and its row and column in the montage where names tell them. Nothing is rated again, and
    no image is read.

    **Examples**

    * `microscope-quality retake rated`

    * With another limit, for a program: `microscope-quality retake rated --score-limit 0.6 --out
    retake.json`

    Exit codes: 0 written, whether or not a tile is to be taken again; 2 refused.
    """
    from microscope_quality.cli.refusal import refusing
    from microscope_quality.errors import printable
    from microscope_quality.report import page
    from microscope_quality.report.results import edited, pattern_of, read_results
    from microscope_quality.report.retake import RETAKE, tiles_of, write_retake

    with refusing("retake", interrupted="\nInterrupted; nothing was written."):
        found = read_results(results)
        of_run = pattern_of(found.record) if pattern is None else pattern
        tiles = tiles_of(found.rows, score_limit, of_run)
        path = found.folder / RETAKE if out is None else out
        write_retake(tiles, path)
    for sentence in (*edited(found.rows), *found.notes, *page.unread(found.rows)):
        typer.echo(printable(sentence), err=True)
    limit = found.rows.measure.limit if score_limit is None else score_limit
    _tell(tiles, limit, path)


def _tell(tiles: Sequence[Tile], limit: float | None, path: Path) -> None:
    """Print how many tiles are to be taken again and why, and where the list is."""
    from microscope_quality.cli.wording import counted
    from microscope_quality.errors import printable

    again = [one for one in tiles if one.retake]
    typer.echo(
        f"{len(again):,} of {counted(len(tiles), 'tile')} to retake (scores from {limit:g} are "
        "good)."
    )
    for which, what in ((again, "Retake"), ([one for one in tiles if not one.retake], "Look at")):
        pairs = Counter((one.cause, one.action) for one in which if one.action)
        if pairs:
            said = (
                f"{number:,} {cause or 'below the limit'}"
                + (f" ({action})" if which is again else "")
                for (cause, action), number in pairs.most_common()
            )
            typer.echo(f"{what}: {', '.join(said)}.")
    typer.echo(printable(f"Written to {path}."))
