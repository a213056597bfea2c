"""What `measure` and `rate` do: a table and pictures of image files, and what the screen says."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer

from microscope_quality.cli import options
from microscope_quality.cli.interruption import READER_GONE
from microscope_quality.cli.options import Pictures
from microscope_quality.cli.rows import Format, ReaderGoneError, RowWriter

if TYPE_CHECKING:
    from microscope_quality.measuring.run import Run


def run_files(command: str, doing: str, given: Mapping[str, Any]) -> None:
    """Measure files as a command's options say, and end with its exit code.

    Parameters
    ----------
    command
        Its name.
    doing
        What it does, as the screen says while it lasts.
    given
        Its arguments and options, by their names, and ``measures``.
    """
    # Versions of typer differ in what of these is a text still.
    out, best_plane = (_path(given.get(name)) for name in ("out", "best_plane"))
    format_ = None if given["format_"] is None else Format(given["format_"])
    pictures = Pictures(given["overlay"] or Pictures.doubtful)
    paths, exclude = [*given["paths"]], [*(given["exclude"] or ())]
    best_by: Optional[str] = given.get("best_by")
    cluster: Optional[str] = given["cluster"]
    again: bool = given["again"]

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
    with refusing(command):
        if out is not None:
            try:
                check_folder(out)
            except SettingsError as error:
                raise SettingsError(f"{error} {_as_one_file(out)}") from error
        copies = Copies(*(given[name] for name in ("parquet", "xlsx", "report")))
        for name in ("per_patch", "overlay", "parquet", "xlsx", "report"):
            if given[name] not in (False, None, Pictures.none) and out is None:
                raise SettingsError(f"{name} needs `out`, a folder to write to.")
        for name in ("jobs", "limit_memory"):
            if given[name] and cluster is not None:
                raise SettingsError(
                    f"`{name}` is for this machine; `cluster` measures on its workers."
                )
        if best_by is not None and best_plane is None:
            raise SettingsError("best_by needs `best_plane`, a folder for the planes.")
        if best_plane is not None:
            check_apart(best_plane, paths)
        settings = options.settings_of(
            **given,
            pictures=out / OVERLAYS if out and pictures is Pictures.all else None,
        )
        others: Counter[str] = Counter()
        left_out = LeftOutCounts()
        files = find_some(paths, exclude=out, others=others, without=exclude, left_out=left_out)
        copies.check(out)
        jobs = given["jobs"] or n_cores()
        run = Run(
            settings,
            files,
            out,
            command=sys.argv[1:],
            jobs=jobs,
            limit_bytes=limit_of(given["limit_memory"]) if given["limit_memory"] else None,
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
                with (show if len(files) > 1 else show_none)(doing) as move:
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
            typer.echo(f"microscope-quality {command}: {error}", err=True)
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
    if run.settings.facts().get("own_score") and given.get("score_limit") is None:
        # Here, so that what rates nothing starts without it.
        from microscope_quality.measuring.rating import UNCHOSEN_LIMIT

        screen.print(UNCHOSEN_LIMIT)
    if exclude and not left_out.keys() & {EXCLUDED, EXCLUDED_FOLDERS}:
        screen.print(f"--exclude leaves nothing out: {printable(' '.join(exclude))}", style="dim")
    if best_plane is not None:
        show_best(screen, best, best_plane)
    raise typer.Exit(int(failed))


def _path(given: Any) -> Optional[Path]:
    return None if given is None else Path(given)


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
