"""``microscope-quality measure``: a table and pictures of image files."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections import Counter
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Callable, Generator, Iterator, Optional

import typer

from microscope_quality.batch.budget import SECONDS
from microscope_quality.cli.options import (
    MANY,
    WRITTEN,
    DigestOption,
    FileMemoryOption,
    FileTimeOption,
    InFocusLimitOption,
    JobsOption,
    LuminanceOption,
    ModelOption,
    OpticsOption,
    PatternOption,
    PerPatchOption,
    RescaleOption,
    SampleOption,
    SeedOption,
)

if TYPE_CHECKING:
    from microscope_quality.batch.run import Outcome
    from microscope_quality.batch.worker import Worker
    from microscope_quality.cli.record import Record
    from microscope_quality.measuring.page import Item, Listed, Measured, Settings


class Pictures(str, Enum):
    """Which planes get a picture."""

    doubtful = "doubtful"
    all = "all"
    none = "none"


def measure(
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
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            rich_help_panel=WRITTEN,
            help="Folder for results.csv, stacks.csv (of z-stacks), overlays/ and run.json. What "
            "an earlier run with the same settings measured there is kept, if it did not change.",
            show_default=False,
        ),
    ] = None,
    optics: OpticsOption = None,
    rescale: RescaleOption = False,
    model: ModelOption = None,
    pattern: PatternOption = None,
    in_focus_limit: InFocusLimitOption = 1,
    luminance: LuminanceOption = False,
    per_patch: PerPatchOption = False,
    overlay: Annotated[
        Optional[Pictures],
        typer.Option(
            metavar="WHICH",
            rich_help_panel=WRITTEN,
            help="Images to draw with coloured patches: doubtful (the 24 most doubtful), all or "
            "none. Doubtful are those that are mixed, close to the in-focus limit or of low "
            "certainty.",
            show_default="doubtful",
        ),
    ] = None,
    parquet: Annotated[
        bool,
        typer.Option("--parquet", rich_help_panel=WRITTEN, help="Write each table as Parquet too."),
    ] = False,
    xlsx: Annotated[
        bool,
        typer.Option(
            "--xlsx",
            rich_help_panel=WRITTEN,
            help="Write results.csv as a workbook too, results.xlsx.",
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            rich_help_panel=WRITTEN,
            help="Write report.html too, a page to look at and to sort by.",
        ),
    ] = False,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            rich_help_panel=WRITTEN,
            help="Measure also what was measured before and did not change.",
        ),
    ] = False,
    digest: DigestOption = True,
    jobs: JobsOption = None,
    sample: SampleOption = None,
    seed: SeedOption = 0,
    limit_memory: Annotated[
        Optional[str],
        typer.Option(
            metavar="AMOUNT",
            rich_help_panel=MANY,
            help="Memory for all jobs together, such as 4GB: large images wait for each other.",
            show_default="no limit",
        ),
    ] = None,
    file_time: FileTimeOption = SECONDS,
    file_memory: FileMemoryOption = None,
    cluster: Annotated[
        Optional[str],
        typer.Option(
            metavar="ADDRESS",
            rich_help_panel=MANY,
            help="Measure on a Dask cluster: its scheduler's address, such as tcp://host:8786, or "
            "scheduler file. The workers need this library, and the images under the same paths.",
            show_default=False,
        ),
    ] = None,
) -> None:
    r"""Measure the focus of images: level 0 (in focus) to 10, certainty and verdict of each.

    The verdict is in_focus, out_of_focus, mixed (parts at different levels) or no_content (too
    little to judge by). It needs no threshold and no sharp image to compare with.

    **Examples**

    * One image: `microscope-quality measure cells.tif`

    * A plate, as a table with pictures of what is doubtful:
    `microscope-quality measure plate1/ --out results --pattern '(?P<well>[A-P]\d\d)_s(?P<site>\d)'`

    * The distance from focus in µm: `microscope-quality measure cells.tif
    --optics na=0.75,n=1,wavelength_um=0.52,pixel_size_um=0.325`

    A file that cannot be read is a row with an error, and the rest goes on. Exit codes: 0 all
    measured, 1 some files failed, 2 wrong use, 130 stopped by Ctrl-C.
    """
    from microscope_quality.batch.worker import Worker

    # It loads what measuring takes while this process loads the rest.
    ready = [] if cluster is not None else [Worker("microscope_quality.measuring.page")]

    from microscope_quality.batch.run import n_cores
    from microscope_quality.cli.copies import Copies
    from microscope_quality.cli.interruption import as_interrupts
    from microscope_quality.cli.options import limit_of, settings_of
    from microscope_quality.cli.record import OVERLAYS, Record, check_matches
    from microscope_quality.cli.refusal import refused
    from microscope_quality.errors import MicroscopeQualityError, SettingsError
    from microscope_quality.files.images import find_some

    began = time.monotonic()
    try:
        wishes = {
            "--per-patch": per_patch,
            "--overlay": overlay is not None,
            "--parquet": parquet,
            "--xlsx": xlsx,
            "--report": report,
        }
        for wish in (wish for wish, is_there in wishes.items() if is_there and out is None):
            raise SettingsError(f"{wish} needs --out, a folder to write to.")
        if cluster is not None and (jobs or limit_memory):
            wish = "--jobs" if jobs else "--limit-memory"
            raise SettingsError(f"{wish} is for this machine; --cluster measures on its workers.")
        pictures = overlay or Pictures.doubtful
        settings, description = settings_of(
            model=model,
            optics=optics,
            rescale=rescale,
            luminance=luminance,
            in_focus_limit=in_focus_limit,
            per_patch=per_patch,
            pattern=pattern,
            sample=sample,
            seed=seed,
            pictures=out / OVERLAYS if out and pictures is Pictures.all else None,
            digest=digest,
            file_time=file_time,
            file_memory=file_memory,
        )
        if cluster is not None and find_spec("distributed") is None:
            raise SettingsError(
                "--cluster needs dask.distributed: pip install 'microscope-quality[cluster]'"
            )
        others: Counter[str] = Counter()
        files = find_some(paths, exclude=out, others=others)
        check_matches(pattern, files)
        jobs = jobs or n_cores()
        limit_bytes = None if limit_memory is None else limit_of(limit_memory)
        copies = Copies(parquet=parquet, xlsx=xlsx, report=report)
        copies.check(out)
        record = Record(
            description, settings, files, out, command=sys.argv[1:], jobs=jobs, again=again
        )
    except MicroscopeQualityError as error:
        raise refused("measure", error) from error

    with as_interrupts() as exit_code:
        try:
            with record:
                with _progress(len(files)) as advance:
                    outcomes = _outcomes(
                        settings, record, advance, jobs, limit_bytes, cluster, ready
                    )
                    with contextlib.closing(outcomes):
                        for outcome in outcomes:
                            record.add(outcome)
                            advance(1, 0)
                record.finish()
                record.copy(copies)
                if pictures is Pictures.doubtful:
                    record.draw_doubtful(jobs, limit_bytes)
                elif pictures is Pictures.all:
                    record.draw_missing(jobs, limit_bytes)
                record.remove_old_pictures()
                if report:
                    record.report(jobs, limit_bytes)
        except KeyboardInterrupt:
            typer.echo(f"\nInterrupted. {record.so_far()}", err=True)
            raise typer.Exit(exit_code()) from None
        except MicroscopeQualityError as error:
            typer.echo(f"microscope-quality measure: {error}", err=True)
            raise typer.Exit(1) from error
    where = "a cluster" if cluster else "1 job" if jobs == 1 else f"{jobs} jobs"
    record.show(where, time.monotonic() - began, others)
    raise typer.Exit(1 if record.failed else 0)


def _outcomes(
    settings: Settings,
    record: Record,
    advance: Callable[[int, int], None],
    jobs: int,
    limit_bytes: Optional[int],
    cluster: Optional[str],
    ready: list[Worker],
) -> Generator[Outcome[Item, Measured], None, None]:
    """What becomes of the pages, measured here or on a cluster."""
    from microscope_quality.measuring.memory import run_within
    from microscope_quality.measuring.page import bytes_of, follow, measure_item, on_any_machine

    def followed(item: Item, listed: Listed) -> tuple[Item, Iterator[Item]]:
        advance(0, len(listed.pages) - 1)
        return follow(item, listed)

    files = _announced(record, advance)
    if cluster is not None:
        from microscope_quality.batch.cluster import run_on_cluster

        return run_on_cluster(
            functools.partial(measure_item, on_any_machine(settings)),
            map(on_any_machine, files),
            cluster,
            budget=settings.budget,
            follow=followed,
        )
    return run_within(
        limit_bytes,
        functools.partial(bytes_of, settings),
        functools.partial(measure_item, settings),
        files,
        jobs=jobs,
        budget=settings.budget,
        follow=followed,
        ready=ready,
    )


def _announced(record: Record, advance: Callable[[int, int], None]) -> Iterator[Item]:
    """Files to measure, of which the bar learns as others turn out to be kept."""
    n_kept = 0
    for item in record.to_measure():
        advance(record.n_kept - n_kept, 0)
        n_kept = record.n_kept
        yield item


@contextlib.contextmanager
def _progress(n_files: int) -> Iterator[Callable[[int, int], None]]:
    """Bar on a terminal; the function given moves it on, by pages done and by pages more."""
    from microscope_quality.cli.progress import bar

    done, total = 0, n_files
    with bar("Measuring") if n_files > 1 else contextlib.nullcontext() as move:

        def advance(more_done: int, more: int) -> None:
            nonlocal done, total
            done, total = done + more_done, total + more
            if move is not None:
                move(done, total)

        advance(0, 0)
        yield advance
