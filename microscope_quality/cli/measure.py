"""``microscope-quality measure``: a table and pictures of image files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from microscope_quality.batch.budget import SECONDS
from microscope_quality.cli import options
from microscope_quality.cli.options import Pictures, written


def measure(
    context: typer.Context,
    paths: options.ImagesArgument,
    out: options.OutOption = None,
    format_: options.FormatOption = None,
    measures: options.MeasuresOption = "focus",
    optics: options.OpticsOption = None,
    rescale: options.RescaleOption = options.Rescale.auto,
    model: options.ModelOption = None,
    pattern: options.PatternOption = None,
    exclude: options.ExcludeOption = None,
    layout: options.LayoutOption = "auto",
    in_focus_limit: options.InFocusLimitOption = None,
    luminance: options.LuminanceOption = False,
    per_patch: options.PerPatchOption = False,
    overlay: Annotated[
        Optional[Pictures],
        written(
            metavar="WHICH",
            help="Images to draw with coloured patches: doubtful (the 24 most doubtful), all or "
            "none. Doubtful are those that are mixed, close to the in-focus limit or of low "
            "certainty.",
            show_default="doubtful",
        ),
    ] = None,
    parquet: options.ParquetOption = False,
    xlsx: options.XlsxOption = False,
    report: options.ReportOption = False,
    best_plane: Annotated[
        Optional[Path],
        written(
            metavar="DIR",
            help="Write the best plane of each z-stack into this folder, as a TIFF.",
            show_default=False,
        ),
    ] = None,
    best_by: Annotated[
        Optional[str],
        written(
            metavar="CHANNEL",
            help="For --best-plane: take the best plane of this channel, by its name or number, "
            "for all channels of a place.",
            show_default="each its own",
        ),
    ] = None,
    again: options.AgainOption = False,
    digest: options.DigestOption = True,
    jobs: options.JobsOption = None,
    sample: options.SampleOption = None,
    seed: options.SeedOption = 0,
    limit_memory: options.LimitMemoryOption = None,
    file_time: options.FileTimeOption = SECONDS,
    file_memory: options.FileMemoryOption = None,
    cluster: options.ClusterOption = None,
) -> None:
    r"""Measure the focus of images: level 0 (in focus) to 10, certainty and verdict of each.

    The verdict is in_focus, out_of_focus, mixed (parts at different levels), no_content (too
    little to judge by) or too_small. It needs no threshold and no sharp image to compare with.

    **Examples**

    * One image: `microscope-quality measure cells.tif`

    * A plate, as a table with pictures of what is doubtful:
    `microscope-quality measure plate1/ --out results --pattern '(?P<well>[A-P]\d\d)_s(?P<site>\d)'`

    * The distance from focus in µm: `microscope-quality measure cells.tif
    --optics na=0.75,n=1,wavelength_um=0.52,pixel_size_um=0.325`

    * A plate of z-stacks, and the plane of each place that is sharpest in channel 1:
    `microscope-quality measure plate1/ --out results --best-plane best --best-by 1`

    * The rows for another program: `microscope-quality measure plate1/ --format json | jq
    'map(select(.status == "out_of_focus").file)'`

    * Classical measures beside it: `microscope-quality measure plate1/ --out results
    --measures focus,classical`

    A file that cannot be read is a row with an error, and the rest goes on. Exit codes: 0 all
    measured, 1 some files failed (or stacks have no best plane to write), 2 wrong use, 130 stopped
    by Ctrl-C.
    """
    from microscope_quality.cli.run_files import run_files

    run_files("measure", "Measuring", context.params)
