"""Write the report of a folder of results: one HTML file that holds all that it shows."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microscope_quality.batch.budget import Budget
from microscope_quality.components import LOWEST_GOOD_SCORE
from microscope_quality.errors import FileError
from microscope_quality.files.plane import Page
from microscope_quality.files.regular import open_regular
from microscope_quality.files.whole import whole
from microscope_quality.measuring.measure import Measure
from microscope_quality.measuring.memory import PROCESS_BYTES, run_within
from microscope_quality.measuring.naming import NONE
from microscope_quality.measuring.page import bytes_of_page
from microscope_quality.measuring.rating import UNCHOSEN_LIMIT
from microscope_quality.measuring.settings import Settings
from microscope_quality.measuring.tile_grid import TileGrid, tile_grids
from microscope_quality.report import REPORT, page, pictures
from microscope_quality.report.pictures import Drawn, FileWanted, PictureWanted, places_of
from microscope_quality.report.results import (
    changes_of,
    edited,
    folders_of,
    pattern_of,
    read_results,
    since_measured,
    table_of,
)
from microscope_quality.report.rows import Rows
from microscope_quality.statuses import ERROR

#: Worst images that are shown with their patches in colour.
MOST_WORST = 24
# Files without a picture of which the names are told.
_MOST_NAMED = 5
# Files that a job takes at once: sending one costs as much as drawing it.
_AT_ONCE = 8
# Of a pixel whose kind the table does not tell: of floats, or of 16 bits and two more channels.
_PIXEL_BYTES = 4
# Bytes of a page besides its table, its pictures and plotly.js.
_REST = 300_000


def write_report(
    results: Path,
    *,
    out: Path | None = None,
    images: Path | None = None,
    plates: Path | None = None,
    pattern: str | None = None,
    layout: str = NONE,
    title: str = "",
    measures: Sequence[Measure] | None = None,
    jobs: int = 1,
    limit_bytes: int | None = None,
    budget: Budget | None = None,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Write the report of a folder of results, or of a table alone.

    The page opens from a disk, asks for nothing from a network, and stays below 50 MB. Nothing
    but this file is written.

    Parameters
    ----------
    results : Path
        A folder that ``measure`` wrote, or its ``results.csv``.
    out : Path, optional
        The page; by default ``report.html`` in the folder. An older report there is replaced in
        one step, any other file is not.
    images : Path, optional
        Folder that the names in the table are relative to, when the images are not where they
        were measured.
    plates : Path, optional
        A CSV table with plate, well, site or channel of files.
    pattern : str, optional
        A regular expression whose named groups find plate, well, site, channel, z and t in the
        names, as far as the table has none; planes of one place are a z-stack then.
    layout : str
        How an instrument named the files, likewise; see `measuring.naming.Naming`.
    title : str
        By default, the name of the folder that was measured, or of `results` without a record.
    measures : sequence of Measure, optional
        That wrote the table, the one that judges first; by default, what the record says.
    jobs : int
        Number of processes that read images.
    limit_bytes : int, optional
        Memory for all of them together; an image that needs more has no picture.
    budget : Budget, optional
        What a process may take to draw planes of an image; `Budget()` by default.
    progress : callable, optional
        Called with the numbers of files read and of all.
    tell : callable, optional
        Called with a sentence each on rows that were edited and images that have changed or are
        missing.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    FileError
        When a table cannot be read, or the page not be written.
    SettingsError
        When a library is missing, `pattern` is no regular expression, `layout` is unknown, one of
        them matches no name, or `jobs` is not a positive whole number.
    """
    page.check_libraries()
    from plotly.offline import get_plotlyjs

    folder = table_of(results)[1]
    target = folder / REPORT if out is None else out
    check_replaceable(target)
    found = read_results(results, plates=plates, pattern=pattern, layout=layout, measures=measures)
    rows, record = found.rows, found.record
    columns, left_out = page.encoded_table(rows)

    own = record.get("settings")
    luminance = isinstance(own, Mapping) and own.get("luminance") is True
    settings = Settings(measures=rows.measures, luminance=luminance)
    worst = page.worst_rows(rows, MOST_WORST)
    plotly_bytes = len(get_plotlyjs().encode())
    room = page.MOST_PAGE_BYTES - len(page.safe_json(columns)) - plotly_bytes - _REST
    folders = folders_of(record, images, folder)
    changes = changes_of(rows, folders, moved=images is not None)
    processes = _Processes(jobs, limit_bytes, budget or Budget())
    drawn, unread = _draw(
        rows, settings, worst, room, folders, processes, progress, set(changes["missing"])
    )
    again = {row for row, one in drawn.items() if one.changed}
    changes["changed"] = sorted({*changes["changed"], *again})
    changes["dated"] = [row for row in changes["dated"] if row not in again]
    for sentence in (said := _said(rows, changes)):
        if tell is not None:
            tell(sentence)
    failed = [
        f"{rows.columns['file'][one.row]}: {one.error}."
        for one in drawn.values()
        if one.error and one.row in worst and one.small
    ]
    html = page.render(
        rows,
        title=title or f"{rows.measure.title} of {_measured(record) or folder.resolve().name}",
        columns=columns,
        pictures={row: one.small for row, one in drawn.items() if one.small},
        worst=_pictured(worst, drawn),
        notes=[
            *said,
            *found.notes,
            *_of_limit(rows, record),
            *failed,
            *page.unread(rows),
            *page.incomplete(rows),
            *left_out,
            *unread,
        ],
        record=record,
        changes=changes,
        tile_grids=_tile_grids(rows, pattern_of(record) if pattern is None else pattern),
    )
    if not target.parent.is_dir():
        raise FileError(f"{target}: cannot be written: there is no folder {target.parent}")
    with whole(target) as beside:
        beside.write_bytes(html.encode("utf-8", errors="backslashreplace"))
    return target


def _of_limit(rows: Rows, record: Mapping[str, Any]) -> list[str]:
    """Say that nobody chose the limit of a score that a lab's own labels made, if nobody did."""
    model, command = record.get("model"), record.get("command")
    is_own = isinstance(model, Mapping) and model.get("own_score") is True
    given = isinstance(command, list) and any(
        str(one).startswith("--score-limit") for one in command
    )
    if not is_own or given or rows.measure.limit != LOWEST_GOOD_SCORE:
        return []
    return [UNCHOSEN_LIMIT]


def _tile_grids(rows: Rows, pattern: str | None) -> list[TileGrid]:
    """Tell where the images lie in montages, if the measure is one of tiles."""
    if not rows.measure.is_of_tiles:
        return []
    return tile_grids([rows.columns["file"][row] for row in rows.shown], pattern)


def _pictured(worst: Sequence[int], drawn: Mapping[int, Drawn]) -> list[page.Worst]:
    """Give the worst with their pictures; without one, as long as others have one."""
    made = []
    for row in worst:
        one = drawn.get(row, Drawn(row))
        made.append(page.Worst(row, one.large or one.small, not one.large))
    return made if any(one.picture for one in made) else []


def check_replaceable(target: Path) -> None:
    """Refuse a place that holds something else than an older report.

    Raises
    ------
    FileError
        It does.
    """
    if not os.path.lexists(target):
        return
    start = b""
    with contextlib.suppress(OSError), open_regular(target) as stream:
        start = stream.read(4096)
    if f'content="{page.GENERATOR}"'.encode() not in start:
        raise FileError(
            f"{target}: is there already and is no report; move it away or choose another place"
        )


def _measured(record: Mapping[str, Any]) -> str:
    """Name of the folder that was measured, on whatever system; empty when it is not known."""
    folder = record.get("folder")
    return re.split(r"[\\/]", folder.rstrip("\\/"))[-1] if isinstance(folder, str) else ""


def _said(rows: Rows, changes: Mapping[str, Sequence[int]]) -> list[str]:
    """Count rows that were edited, and files that have changed or are missing, in sentences."""
    files = rows.columns["file"]
    words = {
        "changed": (
            "file has changed since it was",
            "files have changed since they were",
            ": the pictures do not show what the numbers tell; run measure again",
        ),
        "dated": (
            "file has another time than when it was",
            "files have other times than when they were",
            ": unless they were only copied, run measure again",
        ),
        "missing": (
            "file is not where it was",
            "files are not where they were",
            ", and without a picture here; name the folder of images, and make the report again",
        ),
    }
    said = edited(rows)
    for kind, words_of_kind in words.items():
        names = list(dict.fromkeys(files[row] for row in changes[kind]))
        said += since_measured(names, *words_of_kind)
    return said


@dataclass(frozen=True)
class _Processes:
    """How many processes draw, and what they may take."""

    jobs: int
    limit_bytes: int | None
    budget: Budget

    def draw(
        self, rows: Rows, settings: Settings, most_bytes: int, files: Sequence[FileWanted]
    ) -> Iterator[tuple[Sequence[FileWanted], Sequence[Drawn], str]]:
        """Draw planes of files; gives some files, what was drawn of them, or why nothing was."""
        bytes_of = functools.partial(_bytes_of, rows, settings)
        function = functools.partial(pictures.draw_files, settings, most_bytes)
        # One that needs too much memory is not to cost the others of its part.
        alone: list[FileWanted] = []
        for at_once in (_AT_ONCE if self.limit_bytes is None else 1, 1):
            parts = [files[start : start + at_once] for start in range(0, len(files), at_once)]
            drawing = run_within(
                self.limit_bytes,
                bytes_of,
                function,
                parts,
                jobs=min(self.jobs, max(1, len(parts))),
                budget=self.budget,
            )
            with contextlib.closing(drawing) as outcomes:
                for outcome in outcomes:
                    if outcome.error and len(outcome.item) > 1:
                        alone += outcome.item
                    else:
                        yield outcome.item, outcome.value or [], outcome.error
            files, alone = alone, []


def _draw(
    rows: Rows,
    settings: Settings,
    worst: Sequence[int],
    room: int,
    folders: Sequence[Path],
    processes: _Processes,
    progress: Callable[[int, int], None] | None,
    absent: Collection[int],
) -> tuple[dict[int, Drawn], list[str]]:
    """Draw the pictures that there is room for, and say which are missing."""
    # In base64 three bytes are four.
    for_small = 3 * max(0, room - 4 * len(worst) * pictures.LARGE_BYTES // 3) // 4
    readable = [
        row for row in range(len(rows)) if rows.status[row] is not ERROR and row not in absent
    ]
    shown = set(rows.shown)
    readable.sort(key=lambda row: row not in shown)
    most = min(len(readable), for_small // pictures.FEWEST_BYTES)
    chosen = [readable[number * len(readable) // most] for number in range(most)]
    most_bytes = min(pictures.MOST_BYTES, for_small // max(1, len(chosen)))

    wanted: dict[str, list[PictureWanted]] = {}
    small, large = set(chosen), set(worst) - set(absent)
    for row in sorted(small | large):
        fields = rows.row(row) if row in large else {}
        # Colours of numbers that mean nothing would say something.
        is_void = rows.status[row].is_void
        measure = rows.measure.repeated(fields) if fields and not is_void else None
        wanted.setdefault(rows.columns["file"][row], []).append(
            PictureWanted(row, rows.places[row], row in small or is_void, measure, fields)
        )
    files = [FileWanted(places_of(name, folders), tuple(planes)) for name, planes in wanted.items()]
    drawn: dict[int, Drawn] = {}
    missing: list[tuple[str, str]] = []
    done = 0
    for part, found, error in processes.draw(rows, settings, most_bytes, files):
        if error:
            missing += [
                (rows.columns["file"][plane.row], error) for file in part for plane in file.planes
            ]
        for one in found:
            drawn[one.row] = one
            if not (one.small or one.large):
                missing.append((rows.columns["file"][one.row], one.error))
        done += len(part)
        if progress is not None:
            progress(done, len(files))
    notes = []
    if missing:
        reasons = dict(missing)
        named = [f"{name}: {error}" for name, error in reasons.items()][:_MOST_NAMED]
        if len(reasons) > len(named):
            named.append(f"and {len(reasons) - len(named):,} more files")
        number = len(missing)
        notes.append(
            f"{number:,} of {len(small | large):,} pictures "
            f"{'is' if number == 1 else 'are'} missing, since the images could not be read; "
            f"{'; '.join(named)}."
        )
    if len(chosen) < len(readable):
        notes.append(
            f"{len(chosen):,} of {len(readable):,} planes have a picture, spread evenly: more "
            "would make this page too large."
        )
    return drawn, notes


def _bytes_of(rows: Rows, settings: Settings, files: Sequence[FileWanted]) -> int:
    """Tell how much memory a process takes to draw files, as far as the table tells."""
    most = PROCESS_BYTES
    for plane in (plane for file in files for plane in file.planes):
        width, height = (rows.columns[name][plane.row] for name in ("width", "height"))
        if width.isdigit() and height.isdigit():
            measured = plane.measure is not None
            # Small pictures are made band by band.
            page_ = Page(
                0,
                width=int(width),
                height=int(height),
                pixel_bytes=_PIXEL_BYTES,
                band_rows=0 if measured else 1,
            )
            most = max(most, bytes_of_page(settings, page_, measured=measured, drawn=measured))
    return most
