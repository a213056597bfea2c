"""``microscope-quality measure``: a table and pictures of image files."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from microscope_quality.batch.budget import SECONDS
from microscope_quality.cli import options
from microscope_quality.cli.interruption import READER_GONE
from microscope_quality.cli.options import many, written
from microscope_quality.cli.rows import Format, ReaderGoneError, RowWriter

if TYPE_CHECKING:
    from microscope_quality.measuring.run import Run


class Pictures(str, Enum):
    """Which planes get a picture."""

    doubtful = "doubtful"
    all = "all"
    none = "none"


def measure(
    context: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATHS",
            help="Images (TIFF, PNG, JPEG, BMP, OME-Zarr, CZI, LIF, ND2), folders of them, or "
            "patterns such as 'plate/**/*_w1.tif'.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Optional[Path],
        written(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder for results.csv, stacks.csv (of z-stacks), overlays/ and run.json. What "
            "an earlier run with the same settings measured there is kept, if it did not change.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[
        Optional[Format],
        written(
            "--format",
            help="Write the rows of results.csv to standard output, for other programs, and "
            "nothing else there.",
            show_default="a summary to read",
        ),
    ] = None,
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
    parquet: Annotated[bool, written("--parquet", help="Write each table as Parquet too.")] = False,
    xlsx: Annotated[
        bool, written("--xlsx", help="Write results.csv as a workbook too, results.xlsx.")
    ] = False,
    report: Annotated[
        bool, written("--report", help="Write report.html too, a page to look at and to sort by.")
    ] = False,
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
    again: Annotated[
        bool,
        written("--again", help="Measure also what was measured before and did not change."),
    ] = False,
    digest: options.DigestOption = True,
    jobs: options.JobsOption = None,
    sample: options.SampleOption = None,
    seed: options.SeedOption = 0,
    limit_memory: Annotated[
        Optional[str],
        many(
            metavar="AMOUNT",
            help="Memory for all jobs together, such as 4GB: large images wait for each other.",
            show_default="no limit",
        ),
    ] = None,
    file_time: options.FileTimeOption = SECONDS,
    file_memory: options.FileMemoryOption = None,
    cluster: Annotated[
        Optional[str],
        many(
            metavar="ADDRESS",
            help="Measure on a Dask cluster: its scheduler's address, such as tcp://host:8786, or "
            "scheduler file. The workers need this library, and the images under the same paths.",
            show_default=False,
        ),
    ] = None,
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
    from microscope_quality.batch.worker import Worker

    # It loads what measuring takes while this process loads the rest.
    ready = [] if cluster is not None else [Worker("microscope_quality.measuring.page", main=False)]

    from microscope_quality.batch.run import n_cores
    from microscope_quality.cli.copies import Copies
    from microscope_quality.cli.interruption import as_interrupts
    from microscope_quality.cli.progress import bar
    from microscope_quality.cli.refusal import refusing
    from microscope_quality.cli.summary import Summary, show_best, show_run
    from microscope_quality.cli.wording import console
    from microscope_quality.errors import MicroscopeQualityError, SettingsError, printable
    from microscope_quality.files.images import find_some
    from microscope_quality.files.left_out import EXCLUDED, EXCLUDED_FOLDERS, LeftOutCounts
    from microscope_quality.files.pictures import OVERLAYS
    from microscope_quality.measuring.best_planes import BestPlanes, check_apart
    from microscope_quality.measuring.memory import limit_of
    from microscope_quality.measuring.run import Run, check_folder

    began = time.monotonic()
    with refusing("measure"):
        if out is not None:
            try:
                check_folder(out)
            except SettingsError as error:
                raise SettingsError(f"{error} {_as_one_file(out)}") from error
        copies = Copies(parquet=parquet, xlsx=xlsx, report=report)
        for name in ("per_patch", "overlay", "parquet", "xlsx", "report"):
            if context.params[name] not in (False, None, Pictures.none) and out is None:
                raise SettingsError(f"{name} needs `out`, a folder to write to.")
        for name in ("jobs", "limit_memory"):
            if context.params[name] and cluster is not None:
                raise SettingsError(
                    f"`{name}` is for this machine; `cluster` measures on its workers."
                )
        if best_by is not None and best_plane is None:
            raise SettingsError("best_by needs `best_plane`, a folder for the planes.")
        if best_plane is not None:
            check_apart(best_plane, paths)
        pictures = overlay or Pictures.doubtful
        settings = options.settings_of(
            **context.params,
            pictures=out / OVERLAYS if out and pictures is Pictures.all else None,
        )
        others: Counter[str] = Counter()
        left_out = LeftOutCounts()
        files = find_some(
            paths, exclude=out, others=others, without=exclude or (), left_out=left_out
        )
        copies.check(out)
        jobs = jobs or n_cores()
        run = Run(
            settings,
            files,
            out,
            command=sys.argv[1:],
            jobs=jobs,
            limit_bytes=None if limit_memory is None else limit_of(limit_memory),
            cluster=cluster,
            again=again,
            ready=ready,
        )

    def show_none(_: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    # On a terminal a bar and the rows would write over each other.
    show = show_none if format_ is not None and sys.stdout.isatty() else bar
    summary, copied = Summary(settings.measure), []
    best = BestPlanes(best_by)
    with as_interrupts() as exit_code:
        try:
            with run:
                rows = None if format_ is None else RowWriter(format_, run.row_names)
                with (show if len(files) > 1 else show_none)("Measuring") as move:
                    for name, measured in run.measure(move):
                        if rows is not None:
                            rows.write(run.values(name, measured))
                if rows is not None:
                    rows.finish()
                run.finish(summary, *([] if best_plane is None else [best]))
                copied += copies.write(run)
                if best_plane is not None:
                    with show("Writing best planes") as move:
                        best.write(run, best_plane, move)
                with show("Drawing") as move:
                    run.draw(doubtful=pictures is Pictures.doubtful, progress=move)
                copied += copies.report_on(run)
        except ReaderGoneError:
            # Whoever closed the pipe has what they wanted.
            raise typer.Exit(READER_GONE) from None
        except KeyboardInterrupt:
            typer.echo(f"\nInterrupted. {_so_far(run, again=again)}", err=True)
            raise typer.Exit(exit_code()) from None
        except MicroscopeQualityError as error:
            typer.echo(f"microscope-quality measure: {error}", err=True)
            raise typer.Exit(1) from error
    failed = bool(run.has_failed or best.failed)
    if format_ is not None:
        raise typer.Exit(int(failed))
    screen = console()
    summary.show(screen, run)
    where = "a cluster" if cluster else "1 job" if jobs == 1 else f"{jobs} jobs"
    seconds = time.monotonic() - began
    show_run(
        screen,
        run,
        where=where,
        seconds=seconds,
        others=others,
        left_out=left_out,
        copies=copied,
    )
    if exclude and not left_out.keys() & {EXCLUDED, EXCLUDED_FOLDERS}:
        screen.print(f"--exclude leaves nothing out: {printable(' '.join(exclude))}", style="dim")
    if best_plane is not None:
        show_best(screen, best, best_plane)
    raise typer.Exit(int(failed))


def _as_one_file(path: Path) -> str:
    """Tell how a table as one file is had."""
    from microscope_quality.errors import printable

    name, ending = printable(str(path)), path.suffix.lower()
    if ending == ".parquet":
        return "With `parquet`, the tables are there as Parquet too."
    if ending in (".xlsx", ".xls", ".ods"):
        return "With `xlsx`, results.xlsx is there too."
    kind = "json" if ending in (".json", ".jsonl") else "csv"
    return f"For one table as a file: `format_` {kind} > {name}"


def _so_far(run: Run, *, again: bool) -> str:
    """Tell in a sentence what an interrupted run leaves behind."""
    from microscope_quality.files.tables import RESULTS

    if run.is_finished or run.out is None:
        return "The tables are complete." if run.is_finished else ""
    command = "the same command without --again" if again else "the same command"
    return (
        f"{run.out / RESULTS}.part has the {run.n_rows:,} rows of this run; {command} goes on "
        "from there."
    )
