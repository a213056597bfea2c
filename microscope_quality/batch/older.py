"""Tables of earlier runs: kept beside the ones that take their place, when rows would be lost."""

from __future__ import annotations

import io
import itertools
import os
import re
import shutil
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from microscope_quality.batch.run_record import RUN_RECORD
from microscope_quality.errors import FileError, reason_of
from microscope_quality.files.regular import open_regular
from microscope_quality.files.tables import (
    PATCHES,
    RESULTS,
    STACKS,
    is_whole,
    read_table,
    records,
)
from microscope_quality.files.whole import whole

#: Where they are kept, each time in a folder of its own.
OLDER = "older"
# The record of the run that wrote the tables, while another run writes its own and is not done.
_RECORD_BEFORE = f".{RUN_RECORD}.before"
_MOST_RECORD_BYTES = 2**26
_UNFINISHED = re.compile(r"[0-9]{8}T[0-9]{6}Z(-[0-9]+)?\.part")


def keep_older(folder: Path, tables: Iterable[str], record: bytes) -> Path:
    """Copy the tables that are in a folder of results into one of their own.

    Parameters
    ----------
    folder
        Of the results.
    tables
        Names of tables, beside those that any run writes.
    record
        Of the run that wrote them, as it stood in its file; empty where there is none.

    Returns
    -------
    Path
        ``older/TIME`` in the folder, with the time of day in UTC.

    Raises
    ------
    FileError
        They cannot be copied; then nothing stays of the copy.
    """
    older = folder / OLDER
    if os.path.lexists(older) and (older.is_symlink() or not older.is_dir()):
        raise FileError(f"{older}: is there already and is no folder; move it away")
    names = dict.fromkeys((RESULTS, PATCHES, STACKS, *tables))
    found = [path for path in map(folder.joinpath, names) if path.is_file()]
    try:
        older.mkdir(exist_ok=True)
        _remove_unfinished(older)
        target = _new_folder(older)
        part = target.with_name(f"{target.name}.part")
        part.mkdir()
        try:
            for path in found:
                with open_regular(path) as stream:
                    _write_to_disk(stream, part / path.name)
            if record:
                _write_to_disk(io.BytesIO(record), part / RUN_RECORD)
            part.rename(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    except OSError as error:
        raise FileError(
            f"{older}: the tables of an earlier run cannot be copied there, and are not replaced: "
            f"{reason_of(error, older)}"
        ) from error
    return target


def _new_folder(older: Path) -> Path:
    """Name a folder by the time, which is not there yet."""
    stem = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    taken = {path.name for path in older.iterdir()}
    return older / next(name for name in names if name not in taken)


def _remove_unfinished(older: Path) -> None:
    """Take away copies that a killed run was at work on."""
    for path in older.glob("*.part"):
        if _UNFINISHED.fullmatch(path.name) and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _write_to_disk(source: BinaryIO, path: Path) -> None:
    with path.open("xb") as target:
        shutil.copyfileobj(source, target, 2**20)
        target.flush()
        os.fsync(target.fileno())


def has_measured_rows(path: Path) -> bool:
    """Whether a table of any version has a row without an error, or what may be one."""
    try:
        if any(not row.get("error") for row in read_table(path)):
            return True
        with open_regular(path) as stream:
            last = b""
            for _, last in records(stream):  # noqa: B007 - the last one is wanted
                pass
        # Half a row is none, but a quote that is never closed makes one of all the rest.
        return b"\n" in last and not is_whole(last)
    except FileError as error:
        return not isinstance(error.__cause__, FileNotFoundError)


def hold_record(folder: Path) -> bytes:
    """Read the record of the run that wrote the tables, and hold it for as long as they stand.

    A run writes its own over it when it begins, and may never come to its tables.

    Raises
    ------
    FileError
        The folder cannot be written to.
    """
    held = folder / _RECORD_BEFORE
    record = _content(held)
    if not record:
        record = _content(folder / RUN_RECORD)
        if record:
            with whole(held) as part:
                part.write_bytes(record)
    return record


def is_record(folder: Path, record: bytes) -> bool:
    """Whether this is still the record in the folder: no run has written another one."""
    return record == _content(folder / RUN_RECORD)


def drop_record(folder: Path) -> None:
    """Let go of the record that is held."""
    (folder / _RECORD_BEFORE).unlink(missing_ok=True)


def _content(path: Path) -> bytes:
    """Read a record; empty where there is none that can be read."""
    try:
        with open_regular(path, follow_link=False) as stream:
            return stream.read(_MOST_RECORD_BYTES)
    except OSError:
        return b""
