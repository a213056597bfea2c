"""``microscope-quality agreement``: how well raters agree, on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer


def agreement(
    labels: Annotated[
        list[Path],
        typer.Argument(
            metavar="LABELS...",
            help="Tables of labels, as `label` writes them; of several, as from several computers, "
            "the images must have the same names.",
        ),
    ],
    out: Annotated[
        Optional[Path],
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The page. An older one in this place is replaced, any other file is not.",
            show_default="agreement.html beside the first table",
        ),
    ] = None,
) -> None:
    """Compare the scores of raters, and what each says of an image a second time.

    Intraclass correlations, spread between raters, each one's offset and repeat error, and the
    images of which they say the most different things, on one HTML page.

    **Example:** microscope-quality agreement labels.csv

    Exit codes: 0 written, 2 refused.
    """
    import math

    from microscope_quality.cli.refusal import refusing
    from microscope_quality.errors import printable
    from microscope_quality.rating.agreement import agreement as compared
    from microscope_quality.rating.agreement_page import write_page
    from microscope_quality.rating.labels import read_rows

    page = labels[0].with_name("agreement.html") if out is None else out
    with refusing("agreement"):
        found = compared([row for path in labels for row in read_rows(path)])
        write_page(found, page, [path.name for path in labels])
    single, mean = found.all.single, found.all.mean
    if not math.isnan(single.value):
        typer.echo(
            f"ICC(2,1) {single.value:.2f} ({single.low:.2f} to {single.high:.2f}), "
            f"ICC(2,k) {mean.value:.2f} ({mean.low:.2f} to {mean.high:.2f}), "
            f"{found.all.raters} raters, {found.all.images:,} images that all scored."
        )
    for rater in found.raters:
        said = [f"{len(rater.scores):,} scores"]
        if not math.isnan(rater.offset):
            said.append(f"offset {rater.offset:+.3f}")
        if not math.isnan(rater.repeat_error):
            said.append(f"repeat error {rater.repeat_error:.3f} from {len(rater.repeats)} repeats")
        typer.echo(printable(f"{rater.name or 'no name'}: {', '.join(said)}."))
    typer.echo(printable(f"Written to {page}. Open it in a browser."))
