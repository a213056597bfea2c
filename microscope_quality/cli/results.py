"""What commands on a folder of results are told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

ResultsArgument = Annotated[
    Path,
    typer.Argument(
        metavar="RESULTS",
        help="Folder that `microscope-quality measure … --out` wrote, or its results.csv.",
        show_default=False,
    ),
]
PlatesOption = Annotated[
    Optional[Path],
    typer.Option(
        metavar="TABLE.csv",
        help="A table with a column file and plate, well, site or channel of it.",
        show_default=False,
    ),
]
NamesPatternOption = Annotated[
    Optional[str],
    typer.Option(
        metavar="REGEX",
        help="Where plate, well, site, channel, z and t stand in a file's name, as for "
        "measure, where the table has none.",
        show_default=False,
    ),
]
NamesLayoutOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="How an instrument named the files, as for measure, where the table has nothing.",
    ),
]
