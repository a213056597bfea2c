"""A run's results as a report and its lists begin with them: the table, the record, the images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microscope_quality.batch import run_record
from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.tables import RESULTS
from microscope_quality.measuring.items import identity
from microscope_quality.measuring.measure import Measure, as_mapping
from microscope_quality.measuring.naming import NONE, Naming, check_naming, unread_planes
from microscope_quality.report.pictures import places_of
from microscope_quality.report.rows import Rows, add_groups, read_rows
from microscope_quality.statuses import ERROR


@dataclass(frozen=True, eq=False)
class Results:
    """Results of a run.

    Attributes
    ----------
    folder : Path
        Of the table.
    rows : Rows
        Of the table.
    record : dict
        Of the run; empty without one, or when it is damaged.
    notes : list of str
        What has to be known of them, in sentences.
    """

    folder: Path
    rows: Rows
    record: dict[str, Any]
    notes: list[str]


def read_results(
    results: Path,
    *,
    plates: Path | None = None,
    pattern: str | None = None,
    layout: str = NONE,
    measures: Sequence[Measure] | None = None,
) -> Results:
    """Read a folder of results, or a table alone.

    Parameters
    ----------
    results : Path
        A folder that ``measure`` wrote, or its ``results.csv``.
    plates : Path, optional
        A CSV table with plate, well, site or channel of files.
    pattern : str, optional
        A regular expression whose named groups find plate, well, site, channel, z and t in the
        names, as far as the table has none; planes of one place are a z-stack then.
    layout : str
        How an instrument named the files, likewise; see `measuring.naming.Naming`.
    measures : sequence of Measure, optional
        That wrote the table, the one that judges first; by default, what the record says.

    Raises
    ------
    FileError
        A table cannot be read.
    SettingsError
        `pattern` is no regular expression, `layout` is unknown, or one of them matches no name.
    """
    naming = None if (pattern, layout) == (None, NONE) else Naming(pattern, layout)
    table, folder = table_of(results)
    record, notes = _read_record(folder / run_record.RUN_RECORD)
    rows = read_rows(table, record, measures, naming)
    if naming is not None:
        notes += _told_of_names(naming, "layout" if pattern is None else "pattern")
    elif (planes := unread_planes(_nowhere_in_a_stack(rows))) is not None:
        notes.append(
            f"Names such as {planes.name} may be those of planes of z-stacks, and each counts by "
            f"itself. If they are, the pattern {planes.pattern} puts them together."
        )
    if plates is not None:
        notes += add_groups(rows, plates)
    return Results(folder, rows, record, notes)


def _told_of_names(naming: Naming, what: str) -> Iterator[str]:
    """Say what a pattern or a layout leaves out; one that matches no name is refused."""
    if naming.mismatch:
        raise SettingsError(naming.mismatch)
    if naming.unmatched:
        matched = naming.n_files - len(naming.unmatched)
        yield f"The {what} matches {matched:,} of {naming.n_files:,} names."
    if naming.cut_number:
        yield f"The {naming.cut_number}."


def table_of(results: Path) -> tuple[Path, Path]:
    """Give the table of results that a folder or a file is, and its folder.

    Raises
    ------
    FileError
        There is none.
    """
    if not results.is_dir():
        if not results.exists():
            raise FileError(f"{results}: is not there; name a folder that measure wrote")
        return results, results.parent
    table, part = results / RESULTS, results / f"{RESULTS}.part"
    if not table.exists():
        hint = (
            f"; a run that has not finished left {part.name}: run measure again to finish it"
            if part.exists()
            else "; name a folder that measure wrote"
        )
        raise FileError(f"{results}: has no {RESULTS}{hint}")
    return table, results


def _read_record(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Read the record of a run as far as there is one, and say what it tells that matters."""
    if not os.path.lexists(path):
        return {}, []
    try:
        record = run_record.read_record(path)
    except FileError:
        return {}, [f"{path.name}, the record of the run, is damaged and was left out."]
    status = record.get("status")
    said = {
        "running": "The run was still going on: the table may lack images.",
        "interrupted": "The run was interrupted: the table may lack images.",
        "failed": "The run failed: the table may lack images.",
    }
    return record, [said[status]] if isinstance(status, str) and status in said else []


def _nowhere_in_a_stack(rows: Rows) -> Iterator[str]:
    """Give the files of which nothing tells a plane's number."""
    for name, place, stack in zip(rows.columns["file"], rows.places, rows.columns["stack"]):
        if place.z is None and not stack:
            yield name


def pattern_of(record: Mapping[str, Any]) -> str | None:
    """Give the pattern for names that a run had; None without one that can be."""
    pattern = as_mapping(record.get("settings")).get("pattern")
    try:
        check_naming(pattern)
    except (SettingsError, TypeError):
        return None
    return pattern


def folders_of(record: Mapping[str, Any], images: Path | None, folder: Path) -> list[Path]:
    """Give the folders that the images may lie in, the likeliest first.

    Parameters
    ----------
    record : mapping
        Of the run.
    images : Path, optional
        Where they are now.
    folder : Path
        Of the results.

    Raises
    ------
    FileError
        `images` is no folder.
    """
    if images is not None:
        if not images.is_dir():
            raise FileError(f"{images}: is no folder of images")
        return [images]
    measured = record.get("folder")
    if isinstance(measured, str) and measured and "\0" not in measured:
        return [Path(measured)]
    return [Path.cwd(), folder.parent, folder]


def changes_of(rows: Rows, folders: Sequence[Path], moved: bool) -> dict[str, list[int]]:
    """Give rows whose images are not what was measured, by size and time, or not there.

    Copies are `dated`: of a size, with a time of their own.
    """
    sizes = rows.columns.get("size_bytes", [""] * len(rows))
    times = rows.columns.get("modified", [""] * len(rows))
    changes: dict[str, list[int]] = {"changed": [], "dated": [], "missing": []}
    known: dict[str, tuple[int, str]] = {}
    for row, name in enumerate(rows.columns["file"]):
        if rows.status[row] is ERROR:
            continue
        if name not in known:
            found = (identity(path) for path in places_of(name, folders))
            known[name] = next((one for one in found if one[1]), (0, ""))
        size_bytes, modified = known[name]
        if not modified:
            changes["missing"].append(row)
        elif sizes[row] and sizes[row] != str(size_bytes):
            changes["changed"].append(row)
        elif times[row] and times[row] != modified:
            changes["dated" if moved else "changed"].append(row)
    return changes


def edited(rows: Rows) -> list[str]:
    """Say how many rows are not as they were written, in a sentence if any."""
    files = [rows.columns["file"][row] for row in rows.edited]
    return since_measured(
        files,
        "row was changed by hand or by another program since",
        "rows were changed by hand or by another program since",
        ": the checksums do not fit; run measure again",
    )


def since_measured(files: Sequence[str], one: str, many: str, end: str) -> list[str]:
    """Say what became of files since they were measured, in a sentence if there are any."""
    if not files:
        return []
    which, first = (many, " first") if len(files) > 1 else (one, "")
    return [f"{len(files):,} {which} measured, {files[0]}{first}{end}."]
