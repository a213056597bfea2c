"""A run: files are measured, their rows kept in tables, and planes of theirs drawn."""

from __future__ import annotations

import contextlib
import functools
import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TypeVar

from microscope_quality.batch.results import Results
from microscope_quality.batch.run import Outcome
from microscope_quality.batch.run_record import RunRecord
from microscope_quality.batch.worker import Worker
from microscope_quality.errors import FileError, SettingsError, printable, reason_of
from microscope_quality.files.columns import Value, names, without_checksum
from microscope_quality.files.ome_zarr import is_zarr
from microscope_quality.files.pictures import OVERLAYS, is_picture
from microscope_quality.files.tables import (
    PATCHES,
    RESULTS,
    STACKS,
    Table,
    as_stored,
    as_text,
    check_replaceable,
    read_table,
)
from microscope_quality.measuring.drawing import Wanted, is_drawn, picture_name
from microscope_quality.measuring.items import (
    Item,
    Listed,
    follow,
    on_any_machine,
    unlisted,
)
from microscope_quality.measuring.judging import Judging
from microscope_quality.measuring.measure import Row
from microscope_quality.measuring.memory import USUAL_BYTES, run_within
from microscope_quality.measuring.naming import Naming, Recognised, axes_of_name, renamed
from microscope_quality.measuring.page import (
    Measured,
    bytes_of,
    draw_plane,
    failed_row,
    measure_item,
)
from microscope_quality.measuring.rows import (
    DOUBTFUL,
    PlaneRow,
    RowReader,
    images_of,
    representative_of,
    stack_row,
    units_of,
)
from microscope_quality.measuring.settings import Settings
from microscope_quality.statuses import ERROR

#: Doubtful planes that are kept, and drawn, at most.
MOST_DOUBTFUL = 24

# Endings of tables.
_OF_TABLES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".xlsx", ".xls", ".ods")

#: Is told how many things are done, of how many.
Progress = Callable[[int, int], None]


def check_folder(out: Path) -> None:
    """Refuse a name that a file would have where a folder is asked for.

    Raises
    ------
    SettingsError
        It ends as that of a table does, and is no folder that is there.
    """
    if out.suffix.lower() in _OF_TABLES and not out.is_dir():
        raise SettingsError(
            f"out must be a folder, into which tables are written, and {str(out)!a} is named as a "
            "file is."
        )


class _OfFile(Protocol):
    """What is wanted of a file."""

    @property
    def path(self) -> Path: ...


_Again = TypeVar("_Again", bound=_OfFile)


class RunListener(Protocol):
    """Is told what a run has measured, in the order of its tables."""

    def plane(self, plane: PlaneRow) -> None:
        """Hear of a plane."""

    def image(self, planes: Sequence[PlaneRow], speaker: PlaneRow, stack: Row | None) -> None:
        """Hear of an image, all planes of which were told: who speaks for it, and a stack's row."""


@dataclass(frozen=True, eq=False)
class Doubtful:
    """A plane that deserves a look before its status is believed, and why."""

    plane: PlaneRow
    why: str


class Run:
    """A run over files; used as a context, it closes its tables.

    Parameters
    ----------
    settings
        How to measure.
    files
        Names and paths of the files, in the tables' order.
    out
        Folder for tables and pictures, made if it is missing; None writes nothing.
    command
        As it was typed, for the run's record.
    jobs
        Processes at work.
    limit_bytes
        Memory of all processes together.
    cluster
        Address of the scheduler of a Dask cluster to measure on, or its scheduler file.
    again
        Measure also what an earlier run measured.
    ready
        Processes that were started before.

    Attributes
    ----------
    settings, files, out, jobs, limit_bytes
        As given; names of files as tables have them, and those of a z-stack one behind the other.
    row_names : tuple of str
        Names of the fields of `values`.
    results : Results or None
        The tables.
    n_kept : int
        Files that were measured before.
    n_rows : int
        Rows that were measured now.
    unmatched : list of str
        Files whose names the pattern, or the layout that was named, does not match.
    naming : Naming
        What the files' names tell.
    recognised : list of Recognised
        Layouts that the names have.
    gone : list of str
        Files of which the tables had rows, and that were not named this time.
    planes, images : Counter of str
        How many have a status; a z-stack is one image.
    drawn : set of Path
        Pictures.
    not_drawn : list of str
        Why there is no picture of some planes.
    tables : dict of str to int
        Tables that are in place, and how many rows they have; None where nobody counted.
    is_finished : bool
        Whether they are.

    Raises
    ------
    SettingsError
        The settings are wrong, or go not with the files.
    FileError
        The folder cannot be written to, another run writes there, or it holds other files under
        the names of the tables.
    """

    def __init__(
        self,
        settings: Settings,
        files: Sequence[tuple[str, Path]],
        out: Path | None = None,
        *,
        command: Sequence[str] = (),
        jobs: int = 1,
        limit_bytes: int | None = None,
        cluster: str | None = None,
        again: bool = False,
        ready: Iterable[Worker] = (),
    ) -> None:
        settings.check()
        if out is not None:
            check_folder(out)
        if cluster is not None and find_spec("distributed") is None:
            raise SettingsError(
                "cluster needs dask.distributed: pip install 'microscope-quality[cluster]'"
            )
        self.settings, self.out = settings, out
        self.n_kept = self.n_rows = 0
        self.planes: Counter[str] = Counter()
        self.images: Counter[str] = Counter()
        self.gone: list[str] = []
        self.drawn: set[Path] = set()
        self.not_drawn: list[str] = []
        self.tables: dict[str, int | None] = {}
        self.is_finished = False
        self.results: Results | None = None
        # Names as tables have them, so that a row's file is found again.
        self.files = [(as_stored(name), path) for name, path in files]
        self._paths = dict(self.files)
        for name, path in self.files:
            if path is not self._paths[name]:
                raise FileError(
                    f"{str(path)!a} and {str(self._paths[name])!a} would have the same name in a "
                    "table; rename one of them"
                )
        self.naming = Naming(settings.pattern, settings.layout)
        self.naming.add(self.files)
        self.unmatched = self.naming.unmatched
        if self.naming.mismatch:
            raise SettingsError(self.naming.mismatch)
        self.recognised: list[Recognised] = self.naming.recognised
        self.files = [(name, self._paths[name]) for name in self.naming.by_stacks(self._paths)]
        self.jobs, self.limit_bytes, self._cluster = jobs, limit_bytes, cluster
        self._ready = ready
        columns = settings.columns()
        self._row_columns = without_checksum(columns[RESULTS])
        self.row_names = names(self._row_columns)
        self._columns = {table: names(columns[table]) for table in columns}
        self._reader = RowReader(settings.measure, columns[RESULTS])
        # A heap with the least doubtful plane first; its number makes the order definite.
        self._doubtful: list[tuple[float, int, Doubtful]] = []
        self._judging = Judging(settings.measures)
        # Files of which an interrupted run has measured some pages, and their rows as judged now.
        self._begun: dict[str, list[dict[str, str]]] = {}
        # Planes that an interrupted run has measured and not drawn, or that are judged otherwise.
        self._to_draw: list[Wanted] = []
        # Rows of a run without a folder.
        self._held: list[dict[str, str]] = []
        self._record: RunRecord | None = None
        if out is not None:
            self._open(out, again)
            self._record = RunRecord(
                out=out,
                command=command,
                folder=_root(files),
                settings_id=settings.id,
                settings=settings.to_dict(),
                model=settings.facts(),
                jobs=jobs,
            )

    def _open(self, out: Path, again: bool) -> None:
        """Open the tables, unless they are of other images or somebody else's."""
        if (out / OVERLAYS).is_symlink():
            raise FileError(f"{out / OVERLAYS}: is a link, through which no picture is written")
        if out.is_dir():
            for table, columns in self._columns.items():
                check_replaceable(out / table, columns)
        tables = self.settings.tables()
        taken_away = any((out / RESULTS).exists() and not (out / name).exists() for name in tables)
        results = Results(
            out,
            tables,
            self.settings.id,
            again=again or taken_away,
            derived=self._judging.columns,
        )
        before = results.files()
        self.gone = [name for name in before if name not in self._paths]
        if self.gone and len(self.gone) == len(before):
            results.close()
            others = len(before)
            images = "another image" if others == 1 else f"{others:,} other images"
            raise FileError(
                f"{out}: has the results of {images}, such as {printable(before[0])}; choose "
                "another folder, or replace them by `again`"
            )
        self.results = results

    def __enter__(self) -> Run:
        try:
            self._write_record("running")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        try:
            if kind is not None and not self.is_finished:
                interrupted = issubclass(kind, (KeyboardInterrupt, GeneratorExit))
                with contextlib.suppress(OSError):
                    self._write_record("interrupted" if interrupted else "failed")
            if self.out is not None:
                # What processes were writing when they were ended.
                for path in (self.out / OVERLAYS).glob(".*.png.part"):
                    with contextlib.suppress(OSError):
                        path.unlink()
        finally:
            if self.results is not None:
                self.results.close()

    def _write_record(self, status: str) -> None:
        if self._record is None:
            return
        counts = {"files": len(self.files), "measured": self.n_rows, "kept": self.n_kept}
        if self.is_finished:
            counts |= {"planes": self.planes.total(), "failed": self.planes[ERROR.key]}
            counts |= self.settings.measure.counted(self.planes)
        self._record.write(status, counts)

    @property
    def has_failed(self) -> bool:
        """Whether a plane could not be measured or drawn."""
        return bool(self.planes[ERROR.key] or self.not_drawn)

    @property
    def doubtful(self) -> list[Doubtful]:
        """Planes that are doubtful, the most doubtful ones first; known when it is finished."""
        return [one for _, _, one in sorted(self._doubtful, reverse=True)]

    # Measuring.

    def measure(
        self, progress: Progress | None = None
    ) -> Iterator[tuple[str, list[dict[str, object]] | None]]:
        """Measure what is still to be measured.

        Parameters
        ----------
        progress
            Called with the numbers of pages done, and of those known of so far.

        Yields
        ------
        str, list of dict
            Name of a file and rows of a page of it; None for those that an earlier run measured.
        """
        pages, more_pages = 0, len(self.files)
        numbers = itertools.count()
        before: deque[tuple[int, str]] = deque()

        def advance(done: int = 0, more: int = 0) -> None:
            nonlocal pages, more_pages
            pages, more_pages = pages + done, more_pages + more
            if progress is not None:
                progress(pages, more_pages)

        def pages_done(name: str, size_bytes: int, modified: str) -> int | None:
            number, done = next(numbers), self._pages_done(name, size_bytes, modified)
            if done != 0:
                before.append((number, name))
            if done is None:
                advance(done=1)
            return done

        def followed(item: Item, listed: Listed) -> tuple[Item, Iterator[Item]]:
            advance(more=len(listed.pages) - 1)
            return follow(item, listed)

        advance()
        outcomes = self._outcomes(unlisted(self.files, pages_done), followed)
        with contextlib.closing(outcomes):
            for outcome in outcomes:
                while before and before[0][0] <= outcome.item.file:
                    yield self._judged_again(before.popleft()[1]), None
                yield outcome.item.name, self._taken_in(outcome)
                advance(done=1)
        yield from ((self._judged_again(name), None) for _, name in before)

    def _outcomes(
        self,
        items: Iterator[Item],
        followed: Callable[[Item, Listed], tuple[Item, Iterator[Item]]],
    ) -> Generator[Outcome[Item, Measured], None, None]:
        """What becomes of the pages, measured here or on a cluster."""
        settings = self.settings
        if self._cluster is not None:
            from microscope_quality.batch.cluster import run_on_cluster

            return run_on_cluster(
                functools.partial(measure_item, settings.on_any_machine()),
                map(on_any_machine, items),
                self._cluster,
                budget=settings.budget,
                follow=followed,
            )
        return run_within(
            self.limit_bytes,
            functools.partial(bytes_of, settings),
            functools.partial(measure_item, settings),
            items,
            jobs=self.jobs,
            budget=settings.budget,
            follow=followed,
            ready=self._ready,
        )

    def values(self, name: str, rows: list[dict[str, object]] | None) -> list[dict[str, Value]]:
        """Give the rows that `measure` told of, when it did, as values of their columns.

        With a folder they are those that its table has, and has for the next run too: of six
        digits. Without one they are as they were measured.
        """
        given: Sequence[Mapping[str, object]] = rows or ()
        if rows is None or self.out is not None:
            given = self._texts(name, rows)
        return [
            {one.name: one.value(row.get(one.name)) for one in self._row_columns} for row in given
        ]

    def _texts(self, name: str, rows: list[dict[str, object]] | None) -> list[dict[str, str]]:
        """Give the rows that `measure` told of, when it did, as the table has them."""
        if rows is not None:
            return [as_text(row, self._columns[RESULTS]) for row in rows]
        return [] if self.results is None else self.results.rows(name)

    def _pages_done(self, name: str, size_bytes: int, modified: str) -> int | None:
        """How many pages of a file an earlier run measured; None for all."""
        if self.results is None or not modified:
            return 0
        if self.results.kept(name, size_bytes, modified) and self._has_pictures(name):
            self._regroup(name, self.results)
            self.n_kept += 1
            return None
        pages_done = self.results.pages_done(name, size_bytes, modified)
        if pages_done and self.settings.pictures is not None:
            for plane in self._planes_of(name, self.results):
                picture = self._picture(plane)
                if picture.is_file():
                    self.drawn.add(picture)
                elif not plane.error:
                    self._to_draw.append(self._wanted(plane, picture))
        if pages_done and self._judging.columns:
            self._begun[name] = []
        return pages_done

    def _regroup(self, name: str, results: Results) -> None:
        """Give kept rows what this run's pattern or layout tells of them."""
        # Formats of whole plates name them by themselves.
        if is_zarr(self._paths[name]):
            return
        tables = (RESULTS, PATCHES) if self.settings.keep_patches else (RESULTS,)
        rows = {table: results.rows(name, table) for table in tables}
        again = renamed(rows, self.naming[name])
        if again[RESULTS] != rows[RESULTS]:
            results.append(name, again)

    def _judged_again(self, name: str) -> str:
        """Judge the rows that an earlier run measured of a file by those before them; its name."""
        if self.results is None or not self._judging.columns:
            return name
        rows = self.results.rows(name)
        again = self._judging.judged(rows)
        if name in self._begun:
            self._begun[name] = again
        elif again != rows:
            self._keep_judged(name, again, self.results)
        return name

    def _keep_judged(self, name: str, rows: list[dict[str, str]], results: Results) -> None:
        """Keep rows that are judged otherwise than when they were measured."""
        before = results.rows(name)
        tables = {RESULTS: rows}
        if self.settings.keep_patches:
            tables[PATCHES] = results.rows(name, PATCHES)
        results.append(name, tables)
        for plane, was in zip(self._planes_of(name, results), before):
            if plane.row != was:
                self._redraw(plane)

    def _redraw(self, plane: PlaneRow) -> None:
        """Have a plane drawn that is judged otherwise than its picture says, if it has one."""
        picture = self._picture(plane)
        if self.settings.pictures is not None and picture in self.drawn:
            self.drawn.remove(picture)
            self._to_draw.append(self._wanted(plane, picture))

    def _wanted(self, plane: PlaneRow, picture: Path, remark: str = "") -> Wanted:
        judged = {name: plane.row.get(name, "") for name in self._judging.columns}
        path = self._paths[plane.name]
        return Wanted(plane.name, path, plane.place, picture, remark, judged)

    def _has_pictures(self, name: str) -> bool:
        """Whether a kept file's planes are drawn, where every plane is to be."""
        if self.settings.pictures is None or self.results is None:
            return True
        pictures = set(map(self._picture, self._planes_of(name, self.results)))
        if not all(path.is_file() for path in pictures):
            return False
        self.drawn |= pictures
        return True

    def _planes_of(self, name: str, results: Results) -> list[PlaneRow]:
        """Give the planes of a kept file at their places in it, whatever its name tells."""
        rows = results.rows(name)
        nowhere = dict.fromkeys(axes_of_name(rows))
        planes = map(self._reader.plane, rows)
        return [replace(plane, place=replace(plane.place, **nowhere)) for plane in planes]

    def _picture(self, plane: PlaneRow) -> Path:
        return (self.settings.pictures or Path()) / picture_name(plane.name, plane.place)

    def _taken_in(self, outcome: Outcome[Item, Measured]) -> list[dict[str, object]]:
        """Keep what became of a page; gives its rows."""
        item, measured = outcome.item, outcome.value
        if measured is None:
            measured = Measured({RESULTS: [failed_row(self.settings, item, outcome.error)]})
        # A worker of a cluster has another path to the same folder.
        folder = self.settings.pictures or Path()
        self.drawn.update(folder / path.name for path in measured.drawn)
        self.not_drawn += measured.not_drawn
        rows = measured.rows[RESULTS]
        for row, changes in zip(rows, self._judging.changes(rows)):
            row.update(changes)
            if changes:
                self._redraw(PlaneRow.of(self.settings.measure, self._texts(item.name, [row])[0]))
        self.naming[item.name].put(measured.rows)
        self.n_rows += len(rows)
        if self.results is None:
            self._held += self._texts(item.name, rows)
            return rows
        self.results.append(item.name, measured.rows, last=item.last)
        if item.last and item.name in self._begun:
            of_file, begun = self.results.rows(item.name), self._begun.pop(item.name)
            again = [*begun, *of_file[len(begun) :]]
            if again != of_file:
                self._keep_judged(item.name, again, self.results)
        return rows

    # What comes of it.

    def finish(self, *listeners: RunListener) -> None:
        """Put the tables in their places, and take away those of an earlier run.

        Listeners hear of all planes and images that the tables have.
        """
        if self.results is None or self.out is None:
            judging = Judging(self.settings.measures)
            judging.learn(self._held)
            for _ in self._stack_rows(judging.judged(self._held), listeners):
                pass
        else:
            self._judge_in_time(self.results)
            self.results.finish([name for name, _ in self.files])
            stacks = Table(self.out / STACKS, self._columns[STACKS])
            with contextlib.closing(stacks):
                for row in self._stack_rows(read_table(self.out / RESULTS), listeners):
                    stacks.append(row)
                if stacks.n_rows:
                    stacks.finish()
            self.tables[RESULTS] = self.planes.total()
            if stacks.n_rows:
                self.tables[STACKS] = stacks.n_rows
            if self.settings.keep_patches:
                self.tables[PATCHES] = None
            for name in {PATCHES, STACKS} - self.tables.keys():
                (self.out / name).unlink(missing_ok=True)
                (self.out / f"{name}.part").unlink(missing_ok=True)
        self.is_finished = True
        self._write_record("finished")

    def _judge_in_time(self, results: Results) -> None:
        """Judge planes that are equal in the order in which they were taken."""
        judging = Judging(self.settings.measures)
        listed = (name for name, _ in self.files)
        for name in judging.learn(row for one in listed for row in results.rows(one)):
            rows = results.rows(name)
            again = judging.judged(rows)
            if again != rows:
                self._keep_judged(name, again, results)

    def _stack_rows(
        self, rows: Iterable[Row], listeners: Sequence[RunListener]
    ) -> Iterator[dict[str, object]]:
        """Count planes and images; gives the rows of z-stacks."""

        def counted(plane: PlaneRow) -> PlaneRow:
            self.planes[plane.status] += 1
            for listener in listeners:
                listener.plane(plane)
            return plane

        planes = map(counted, map(self._reader.plane, rows))
        for of_unit in units_of(planes):
            for image in images_of(of_unit):
                row = stack_row(image)
                speaker = representative_of(image, row)
                self._judge(speaker)
                stack = None if row is None else as_text(row, self._columns[STACKS])
                for listener in listeners:
                    listener.image(image, speaker, stack)
                if row is not None:
                    yield row

    def _judge(self, speaker: PlaneRow) -> None:
        """Count an image by the plane that speaks for it, and keep that if it is doubtful."""
        self.images[speaker.status] += 1
        how_much, why = speaker.measure.doubt(speaker.row)
        if how_much >= DOUBTFUL:
            number = -self.images.total()
            heapq.heappush(self._doubtful, (how_much, number, Doubtful(speaker, why)))
            if len(self._doubtful) > MOST_DOUBTFUL:
                heapq.heappop(self._doubtful)

    # Pictures.

    def draw(self, *, doubtful: bool = True, progress: Progress | None = None) -> None:
        """Draw what is to be drawn still, and take away pictures of an earlier run.

        Parameters
        ----------
        doubtful
            Draw the most doubtful planes too, in the order of their doubt.
        progress
            Called with the numbers of planes that are drawn, and of all.
        """
        if self.out is None:
            return
        wanted = [*self._to_draw]
        for rank, one in enumerate(self.doubtful if doubtful else (), 1):
            plane = one.plane
            picture = self.out / OVERLAYS / picture_name(plane.name, plane.place, rank)
            drawing = self._wanted(plane, picture, one.why)
            if is_drawn(self.settings, drawing):
                self.drawn.add(picture)
            else:
                wanted.append(drawing)
        self._draw(wanted, progress)
        # They would tell of other results.
        for path in (self.out / OVERLAYS).glob("*.png"):
            if path not in self.drawn and is_picture(path):
                path.unlink(missing_ok=True)
        # Empty, it would look as if pictures were missing.
        with contextlib.suppress(OSError):
            (self.out / OVERLAYS).rmdir()

    def _draw(self, wanted: Sequence[Wanted], progress: Progress | None) -> None:
        for one, reason in self.again(draw_plane, wanted, progress):
            if reason:
                self.not_drawn.append(f"{f'{one.name} {one.place}'.rstrip()}: {reason}")
            else:
                self.drawn.add(one.picture)

    def again(
        self,
        function: Callable[[Settings, _Again], object],
        wanted: Sequence[_Again],
        progress: Progress | None = None,
    ) -> Iterator[tuple[_Again, str]]:
        """Have the processes do something with planes again; gives each, and why it failed."""
        doing = run_within(
            self.limit_bytes,
            # What a plane takes, its file tells.
            lambda _: USUAL_BYTES,
            functools.partial(function, self.settings),
            wanted,
            jobs=min(self.jobs, len(wanted)) or 1,
            budget=self.settings.budget,
        )
        with contextlib.closing(doing) as outcomes:
            for number, outcome in enumerate(outcomes, 1):
                if progress is not None:
                    progress(number, len(wanted))
                error = outcome.error
                yield outcome.item, reason_of(FileError(error), outcome.item.path) if error else ""


def _root(files: Sequence[tuple[str, Path]]) -> Path:
    """Give the folder that files' names are relative to."""
    for name, path in files:
        if name != path.as_posix():
            return path.absolute().parents[len(Path(name).parts) - 1]
    return Path.cwd()
