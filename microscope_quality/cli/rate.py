"""``microscope-quality rate``: a score of each image, what is wrong with it, and what to do."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from microscope_quality.batch.budget import SECONDS
from microscope_quality.cli import options
from microscope_quality.cli.options import Pictures, how, many, written


def rate(
    context: typer.Context,
    paths: options.ImagesArgument,
    out: options.OutOption = None,
    format_: options.FormatOption = None,
    model: Annotated[
        Optional[str],
        how(
            metavar="NAME|DIR",
            help="A rater that `microscope-quality models list` names, or the folder of one.",
            show_default="em",
        ),
    ] = None,
    score_limit: options.ScoreLimitOption = None,
    check_grabs: options.CheckGrabsOption = True,
    pattern: options.PatternOption = None,
    exclude: options.ExcludeOption = None,
    layout: options.LayoutOption = "auto",
    luminance: options.LuminanceOption = False,
    per_patch: options.PerPatchOption = False,
    overlay: Annotated[
        Optional[Pictures],
        written(
            metavar="WHICH",
            help="Images to draw with coloured patches: doubtful (the 24 whose scores are "
            "closest to the limit for how sure they are), all or none.",
            show_default="doubtful",
        ),
    ] = None,
    parquet: options.ParquetOption = False,
    xlsx: options.XlsxOption = False,
    report: options.ReportOption = False,
    again: options.AgainOption = False,
    digest: options.DigestOption = True,
    jobs: options.JobsOption = None,
    patches: options.PatchesOption = None,
    seed: Annotated[int, many(min=0, metavar="N", help="Of the random places of --patches.")] = 0,
    limit_memory: options.LimitMemoryOption = None,
    file_time: options.FileTimeOption = SECONDS,
    file_memory: options.FileMemoryOption = None,
    cluster: options.ClusterOption = None,
) -> None:
    """Rate images of an electron microscope: score, what is wrong, and what to do about it.

    The score is how far the detail of the image agrees with that of an ideal one, from 0.1 to 1,
    with its 95 % interval. Beside it stand blur, its direction, noise, line noise and jitter; and
    of a bad image, what costs most of its score: refocus, restigmate, retake, or look. Failed grabs
    are told apart: cut or empty ones, and a frame that came twice. Needs no threshold and no image
    to compare with.

    **Examples**

    * One image: `microscope-quality rate tile.tif`

    * A section, with a page to look at: `microscope-quality rate section12/ --out rated --report`

    * Very large images, by 27 random places of each: `microscope-quality rate mosaic/ --out rated
    --patches 27`

    * Another limit, without rating again: `microscope-quality rate section12/ --out rated
    --score-limit 0.6`

    * The names of those to take again: `microscope-quality rate section12/ --format json | jq -r
    '.[] | select(.action == "retake").file'`

    A file that cannot be read is a row with an error, and the rest goes on. Exit codes: 0 all
    rated, 1 some files failed, 2 wrong use, 130 stopped by Ctrl-C.
    """
    from microscope_quality.cli.run_files import run_files

    run_files("rate", "Rating", {**context.params, "measures": "rating"})
