"""What a run keeps: rows in tables, counts for the screen, the planes to draw."""

from __future__ import annotations

import contextlib
import functools
import heapq
import itertools
import math
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional, cast

from microscope_quality.batch.results import Results
from microscope_quality.batch.run import Outcome
from microscope_quality.batch.run_record import RunRecord, now
from microscope_quality.cli.copies import Copies
from microscope_quality.cli.progress import bar
from microscope_quality.cli.summary import NOT_MEASURED, Line, StackLine, Summary, printable, show
from microscope_quality.errors import FileError, SettingsError, reason_of
from microscope_quality.files.ome_zarr import is_zarr
from microscope_quality.files.tables import (
    GROUPS,
    PATCHES,
    RESULTS,
    STACK_COLUMNS,
    STACKS,
    Table,
    as_stored,
    as_text,
    check_replaceable,
    patch_columns,
    read_table,
    run_columns,
)
from microscope_quality.measuring.memory import USUAL_BYTES, run_within
from microscope_quality.measuring.page import (
    Item,
    Measured,
    Place,
    Settings,
    Wanted,
    draw_plane,
    failed_row,
    groups,
    is_drawn,
    model_facts,
    picture_name,
    settings_id,
    unlisted,
)
from microscope_quality.measuring.rows import (
    DOUBTFUL,
    PlaneRow,
    doubt,
    images_of,
    plane_row,
    spokesman,
    stack_row,
)
from microscope_quality.model import ModelDescription

#: Folder of the pictures, in that of the results.
OVERLAYS = "overlays"
#: Pictures of doubtful planes, at most.
MOST_DOUBTFUL = 24


def check_pattern(text: Optional[str]) -> None:
    """Refuse what is no regular expression for `GROUPS` in files' names.

    Raises
    ------
    SettingsError
        It is none, or has no group or another group than these.
    """
    if text is None:
        return
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise SettingsError(f"--pattern is no regular expression: {error}.") from error
    if not pattern.groupindex or set(pattern.groupindex) - set(GROUPS):
        found = ", ".join(pattern.groupindex) or "none"
        raise SettingsError(
            f"--pattern needs named groups out of {', '.join(GROUPS)}, written as "
            f"(?P<well>[A-P]\\d\\d); it has {found}."
        )


def check_matches(text: Optional[str], files: Sequence[tuple[str, Path]]) -> None:
    """Refuse a pattern that matches none of the files' names.

    Raises
    ------
    SettingsError
        It does not; plates of OME-Zarr need none and do not count.
    """
    paths = [path for _, path in files if not is_zarr(path)]
    if text is not None and paths and not any(groups(text, path) for path in paths):
        raise SettingsError(f"--pattern matches no name; the first is {paths[0].as_posix()}")


class Record:
    """Where the outcomes of a run go as they come; used as a context, it closes its tables.

    Parameters
    ----------
    description
        Of the model that measures.
    settings
        Of the run.
    files
        Names and paths of the files to measure, in the tables' order.
    out
        Folder for tables and pictures, made if it is missing; None writes nothing.
    command
        As it was typed, for the run's record.
    jobs
        Processes at work.
    again
        Measure also what an earlier run measured.

    Raises
    ------
    FileError
        The folder cannot be written to, another run writes there, or it holds other files under
        the names of the tables.
    """

    def __init__(
        self,
        description: ModelDescription,
        settings: Settings,
        files: Sequence[tuple[str, Path]],
        out: Optional[Path],
        *,
        command: Sequence[str] = (),
        jobs: int = 1,
        again: bool = False,
    ) -> None:
        self.summary = Summary(description.levels)
        self.n_kept = 0
        self._description = description
        self._settings = settings
        # Names as tables have them, so that a row's file is found again.
        self._files = [(as_stored(name), path) for name, path in files]
        self._paths = dict(self._files)
        for (name, _), (_, path) in zip(files, self._files):
            alike = self._paths[as_stored(name)]
            if alike is not path:
                raise FileError(
                    f"{str(path)!a} and {str(alike)!a} would have the same name in a "
                    "table; rename one of them"
                )
        self._out = out
        # A heap with the least doubtful plane first; its number makes the order definite.
        self._doubtful: list[tuple[float, int, Line, str, Place]] = []
        self._drawn: set[Path] = set()
        self._not_drawn: list[str] = []
        # Planes that an interrupted run has measured and not drawn.
        self._to_draw: list[Wanted] = []
        self._measured: dict[str, int] = {}
        self._held: list[dict[str, str]] = []
        self._results: Optional[Results] = None
        self._run: Optional[RunRecord] = None
        self._finished = False
        self._again = again
        self._written: dict[str, int] = {}
        self._copied: list[str] = []
        # Files of which the tables had rows, and that were not named this time.
        self._gone: list[str] = []
        if out is None:
            return
        tables = settings.tables(description.levels)
        if (out / OVERLAYS).is_symlink():
            raise FileError(f"{out / OVERLAYS}: is a link, through which no picture is written")
        for name in (RESULTS, PATCHES, STACKS):
            if out.is_dir():
                check_replaceable(out / name, self._columns(name))
        if any((out / RESULTS).exists() and not (out / name).exists() for name in tables):
            again = True  # a table was taken away
        self._results = Results(out, tables, settings_id(settings, description), again=again)
        try:
            self._check_same_images(out, self._results)
        except BaseException:
            self._results.close()
            raise
        self._run = RunRecord(
            out=out,
            command=command,
            folder=_root(files),
            settings_id=settings_id(settings, description),
            settings=settings.to_dict(),
            model=model_facts(description),
            jobs=jobs,
            started=now(),
            began=time.monotonic(),
        )

    def _check_same_images(self, out: Path, results: Results) -> None:
        """Refuse to put the results of some images in the place of those of all others."""
        before = results.files()
        gone = [name for name in before if name not in self._paths]
        if gone and len(gone) == len(before):
            images = "another image" if len(gone) == 1 else f"{len(gone):,} other images"
            raise FileError(
                f"{out}: has the results of {images}, such as {printable(gone[0])}; choose another "
                "folder, or replace them by --again"
            )
        self._gone = gone

    def _columns(self, name: str) -> Sequence[str]:
        if name == STACKS:
            return STACK_COLUMNS
        levels = self._description.levels
        return patch_columns(levels) if name == PATCHES else run_columns(levels)

    def __enter__(self) -> Record:
        try:
            self._write_record("running")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, kind: Optional[type[BaseException]] = None, *_: object) -> None:
        try:
            if kind is not None and not self._finished:
                interrupted = issubclass(kind, KeyboardInterrupt)
                with contextlib.suppress(OSError):
                    self._write_record("interrupted" if interrupted else "failed")
            self._remove_half_pictures()
        finally:
            if self._results is not None:
                self._results.close()

    def _write_record(self, status: str) -> None:
        if self._run is None:
            return
        counts = {
            "files": len(self._files),
            "measured": sum(self._measured.values()),
            "kept": self.n_kept,
        }
        if status == "finished":
            statuses = self.summary.statuses
            counts["planes"] = self.summary.n_planes
            counts["failed"] = statuses[NOT_MEASURED]
            for name in ("in_focus", "out_of_focus", "mixed", "no_content"):
                counts[name] = statuses[name]
        self._run.write(status, counts)

    @property
    def failed(self) -> bool:
        """Whether a plane could not be measured or drawn."""
        return bool(self.summary.statuses[NOT_MEASURED] or self._not_drawn)

    def to_measure(self) -> Iterator[Item]:
        """Files that are still to be measured."""
        return unlisted(self._files, self._done)

    def _done(self, name: str, size_bytes: int, modified: str) -> Optional[int]:
        if self._results is None or not modified:
            return 0
        if self._results.kept(name, size_bytes, modified) and self._has_pictures(name):
            self._regroup(name, self._results)
            self.n_kept += 1
            return None
        pages_done = self._results.pages_done(name, size_bytes, modified)
        if pages_done and self._settings.pictures is not None:
            for row in map(plane_row, self._results.rows(name)):
                if self._picture(row).is_file():
                    self._drawn.add(self._picture(row))
                elif not row.error:
                    self._to_draw.append(
                        (name, self._paths[name], row.place, self._picture(row), "")
                    )
        return pages_done

    def _regroup(self, name: str, results: Results) -> None:
        """Give kept rows the plate, well, site and channel of this run's pattern."""
        path = self._paths[name]
        # Formats of whole plates name them by themselves.
        wanted = {} if is_zarr(path) else dict.fromkeys(GROUPS, "")
        wanted.update(groups(self._settings.pattern, path))
        rows = results.rows(name)
        regrouped = [{**row, **wanted} for row in rows]
        if regrouped != rows:
            more = {PATCHES: results.rows(name, PATCHES)} if self._settings.keep_patches else {}
            results.append(name, {RESULTS: regrouped, **more})

    def _has_pictures(self, name: str) -> bool:
        """Whether a kept file's planes are drawn, where every plane is to be."""
        if self._settings.pictures is None or self._results is None:
            return True
        pictures = {self._picture(row) for row in map(plane_row, self._results.rows(name))}
        if not all(path.is_file() for path in pictures):
            return False
        self._drawn |= pictures
        return True

    def _picture(self, row: PlaneRow) -> Path:
        return (self._settings.pictures or Path()) / picture_name(row.name, row.place)

    def add(self, outcome: Outcome[Item, Measured]) -> None:
        """Take in what became of a page."""
        item = outcome.item
        if outcome.value is None:
            row = failed_row(self._settings, self._description, item, outcome.error)
            measured = Measured({RESULTS: [row]})
        else:
            measured = outcome.value
            # A worker of a cluster has another path to the same folder.
            folder = self._settings.pictures or Path()
            self._drawn.update(folder / path.name for path in measured.drawn)
            self._not_drawn += measured.not_drawn
        self._measured[item.name] = self._measured.get(item.name, 0) + len(measured.rows[RESULTS])
        if self._results is None:
            columns = self._columns(RESULTS)
            self._held += [as_text(row, columns) for row in measured.rows[RESULTS]]
        else:
            self._results.append(item.name, measured.rows, last=item.last)

    def finish(self) -> None:
        """Put the tables in their places, and take away those of an earlier run."""
        if self._results is not None and self._out is not None:
            self._results.finish([name for name, _ in self._files])
            if not self._settings.keep_patches:
                (self._out / PATCHES).unlink(missing_ok=True)
                (self._out / f"{PATCHES}.part").unlink(missing_ok=True)
            stacks = Table(self._out / STACKS, STACK_COLUMNS)
            with contextlib.closing(stacks):
                for row in self._summed_up(read_table(self._out / RESULTS)):
                    stacks.append(row)
                if stacks.n_rows:
                    stacks.finish()
                    self._written[STACKS] = stacks.n_rows
            if not stacks.n_rows:
                (self._out / STACKS).unlink(missing_ok=True)
                stacks.part.unlink(missing_ok=True)
        else:
            for _ in self._summed_up(self._held):
                pass
        self._finished = True
        self._write_record("finished")

    def _summed_up(self, rows: Iterable[Mapping[str, str]]) -> Iterator[dict[str, object]]:
        """Count rows for the screen; gives those of the z-stacks."""
        for _, planes in itertools.groupby(map(plane_row, rows), key=lambda plane: plane.name):
            for image in images_of(map(self._counted, planes)):
                row = stack_row(image, in_focus_limit=self._settings.in_focus_limit)
                best_z = None if row is None else cast(Optional[int], row["best_z"])
                self._judge(spokesman(image, best_z))
                if row is not None:
                    self._add_stack(image, row)
                    yield row

    def _counted(self, row: PlaneRow) -> PlaneRow:
        if row.message:
            self.summary.note(row.message, f"{row.name} {row.place}".rstrip())
        self.summary.add(self._line(row))
        return row

    def _judge(self, row: PlaneRow) -> None:
        """Count an image by the plane that stands for it, and keep that if it is doubtful."""
        line = self._line(row)
        self.summary.images[line.status] += 1
        if row.error:
            return
        how_much, why = doubt(
            row,
            in_focus_limit=self._settings.in_focus_limit,
            sure_certainty=self._description.sure_certainty,
        )
        if how_much >= DOUBTFUL:
            number = -self.summary.n_images
            line = replace(line, why=why)
            heapq.heappush(self._doubtful, (how_much, number, line, row.name, row.place))
            if len(self._doubtful) > MOST_DOUBTFUL:
                heapq.heappop(self._doubtful)

    @staticmethod
    def _line(row: PlaneRow) -> Line:
        if row.error:
            return Line(row.name, str(row.place), NOT_MEASURED, error=row.error)
        return Line(
            name=row.name,
            place=str(row.place),
            status=row.status,
            level=row.level,
            expected_level=row.expected_level,
            certainty=row.certainty,
            defocus_um=row.defocus_um,
            interval=row.interval,
            probabilities=tuple(row.probabilities.tolist()),
        )

    def _add_stack(self, image: Sequence[PlaneRow], row: Mapping[str, object]) -> None:
        levels = [math.nan] * ((image[-1].place.z or 0) + 1)
        for plane in image:
            if plane.status != "no_content" and not plane.error:
                levels[plane.place.z or 0] = plane.expected_level
        place = replace(image[0].place, z=None)
        best_z = cast(Optional[int], row["best_z"])
        expected_level = cast(float, row["expected_level"])
        self.summary.add_stack(
            StackLine(image[0].name, str(place), best_z, expected_level, tuple(levels))
        )

    def draw_doubtful(self, jobs: int, limit_bytes: Optional[int] = None) -> None:
        """Draw the most doubtful planes, in the order of their doubt."""
        if self._out is None:
            return
        wanted = []
        for rank, (_, _, line, name, place) in enumerate(sorted(self._doubtful, reverse=True)):
            target = self._out / OVERLAYS / picture_name(name, place, rank + 1)
            one = (name, self._paths[name], place, target, line.why)
            if is_drawn(self._settings, one):
                self._drawn.add(target)
            else:
                wanted.append(one)
        self._draw(wanted, jobs, limit_bytes)

    def draw_missing(self, jobs: int, limit_bytes: Optional[int] = None) -> None:
        """Draw the planes of which an interrupted run has rows and no pictures."""
        self._draw(self._to_draw, jobs, limit_bytes)

    def _draw(self, wanted: Sequence[Wanted], jobs: int, limit_bytes: Optional[int]) -> None:
        draw = functools.partial(draw_plane, self._settings)
        drawing = run_within(
            limit_bytes,
            # What a plane takes, its file tells.
            lambda _: USUAL_BYTES,
            draw,
            wanted,
            jobs=min(jobs, len(wanted)) or 1,
            budget=self._settings.budget,
        )
        with bar("Drawing") as move, contextlib.closing(drawing) as outcomes:
            for number, outcome in enumerate(outcomes, 1):
                if move is not None:
                    move(number, len(wanted))
                if outcome.error:
                    name, path, place, *_ = outcome.item
                    reason = reason_of(FileError(outcome.error), path)
                    self._not_drawn.append(f"{f'{name} {place}'.rstrip()}: {reason}")
                else:
                    self._drawn.add(outcome.item[3])

    def remove_old_pictures(self) -> None:
        """Take away the overlays of an earlier run, which would tell of other results."""
        from microscope_quality.files.pictures import is_overlay

        if self._out is None:
            return
        for path in (self._out / OVERLAYS).glob("*.png"):
            if path not in self._drawn and is_overlay(path):
                path.unlink(missing_ok=True)

    def _remove_half_pictures(self) -> None:
        """Take away what processes were writing when they were ended."""
        if self._results is None:
            return
        for path in (self._results.folder / OVERLAYS).glob(".*.png.part"):
            with contextlib.suppress(OSError):
                path.unlink()

    def copy(self, copies: Copies) -> None:
        """Write copies of the tables for other programs."""
        if self._out is None:
            return
        tables = {RESULTS: self._columns(RESULTS)}
        if self._settings.keep_patches:
            tables[PATCHES] = self._columns(PATCHES)
        if STACKS in self._written:
            tables[STACKS] = STACK_COLUMNS
        self._copied += [path.name for path in copies.write(self._out, tables)]

    def report(self, jobs: int, limit_bytes: Optional[int] = None) -> None:
        """Write the page."""
        from microscope_quality.report.write import write_report

        if self._out is not None:
            with bar("Writing the report") as move:
                page = write_report(
                    self._out,
                    jobs=jobs,
                    limit_bytes=limit_bytes,
                    budget=self._settings.budget,
                    progress=move,
                )
            self._copied.append(page.name)

    def so_far(self) -> str:
        """Tell in a sentence what an interrupted run leaves behind."""
        if self._out is None or self._finished:
            return "The tables are complete." if self._finished else ""
        n_rows = sum(self._measured.values())
        command = "the same command without --again" if self._again else "the same command"
        return (
            f"{self._out / RESULTS}.part has the {n_rows:,} rows of this run; {command} goes on "
            "from there."
        )

    def show(self, where: str, seconds: float, others: Mapping[str, int]) -> None:
        """Print what was found and where it was written.

        Parameters
        ----------
        where
            What measured, such as ``"2 jobs"``.
        seconds
            How long it took.
        others
            Numbers of files that were left out, by their endings.
        """
        from rich.console import Console

        # A pipe gets whole names; COLUMNS has its way all the same.
        width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 1000
        console = Console(width=width, highlight=False, markup=False, emoji=False)
        doubtful = [line for _, _, line, _, _ in sorted(self._doubtful, reverse=True)]
        show(console, self.summary, doubtful)
        pattern = self._settings.pattern
        paths = [path for _, path in self._files if not is_zarr(path)]
        unmatched = [path for path in paths if pattern and not groups(pattern, path)]
        if unmatched:
            console.print(
                f"\n--pattern does not match {len(unmatched):,} of {len(paths):,} names, "
                f"{printable(unmatched[0].as_posix())} first."
            )
        for error in self._not_drawn[:MOST_DOUBTFUL]:
            console.print(f"\nNot drawn: {error}")
        about = f"{_duration(seconds)}, {where}, model {self._description.name}"
        console.print()
        console.print(about, style="dim")
        if self.n_kept:
            all_kept = self.n_kept == len(self._files)
            kept = f"{self.n_kept:,}" if all_kept else f"{self.n_kept:,} of {len(self._files):,}"
            files = "file" if len(self._files) == 1 else "files"
            verb = "was" if self.n_kept == 1 else "were"
            console.print(
                f"{kept} {files} {verb} measured before and did not change (--again measures all)",
                style="dim",
            )
        if others:
            ranked = sorted(others, key=lambda ending: -others[ending])
            listed = [f"{others[end]:,} {printable(end) or 'without one'}" for end in ranked[:6]]
            more = sum(others[ending] for ending in ranked[6:])
            listed += [f"{more:,} others"] if more else []
            console.print(f"Left out, no images by their endings: {', '.join(listed)}", style="dim")
        if self._results is not None and self._results.other_columns:
            console.print(
                "All was measured again, since the table had other columns: of another version, "
                "or changed by another program."
            )
        if self._results is not None and self._results.edited:
            edited = self._results.edited
            files = "file was" if len(edited) == 1 else "files were"
            console.print(
                f"{len(edited):,} {files} measured again, since rows in the tables were edited: "
                f"{printable(edited[0])}{' first' * (len(edited) > 1)}."
            )
        if self._gone:
            files = "file that was" if len(self._gone) == 1 else "files that were"
            verb = "is" if len(self._gone) == 1 else "are"
            console.print(
                f"{len(self._gone):,} {files} measured before {verb} not named now, or not "
                f"there, and left the tables: "
                f"{printable(self._gone[0])}{' first' * (len(self._gone) > 1)}."
            )
        if self._results is not None and self._results.older is not None:
            console.print(f"The tables as they were before are in {self._results.older}.")
        if self._out is not None:
            tables = {RESULTS: self.summary.n_planes, **self._written}
            written = [
                f"{name} ({n_rows:,} {'row' if n_rows == 1 else 'rows'})"
                for name, n_rows in tables.items()
            ]
            if self._settings.keep_patches:
                written.append(PATCHES)
            if self._drawn:
                written.append(f"overlays/ ({len(self._drawn):,})")
            written += self._copied
            console.print(f"Written to {self._out}: {', '.join(written)}")
            for name in ("results.xlsx", "report.html"):
                if name not in self._copied and (self._out / name).exists():
                    console.print(f"{self._out / name} is of an earlier run.", style="dim")


def _root(files: Sequence[tuple[str, Path]]) -> Path:
    """Give the folder that files' names are relative to."""
    for name, path in files:
        if name != path.as_posix():
            return path.absolute().parents[len(Path(name).parts) - 1]
    return Path.cwd()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
