"""Write the tables: row by row beside their place, and into it when they are complete.

Columns (see `columns`) are added at the end, never renamed. Text is UTF-8; a field with a comma,
a quote or a line break is quoted as RFC 4180 has it; a missing number is an empty field.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np

from microscope_quality.errors import FileError
from microscope_quality.files.regular import is_hollow, open_regular, refusals

# A name that is not valid text, as file systems allow, must not cost the whole table.
_UNDECODABLE = "backslashreplace"
_ESCAPED = re.compile(r"\\udc([89a-f][0-9a-f])")
# Of a record, in bytes: a quote that is never closed would make one of all the rest.
_LONGEST_RECORD = 2**22

#: Tables of a run, by their files' names.
RESULTS, PATCHES, STACKS = "results.csv", "patches.csv", "stacks.csv"
#: Last column of a run's tables: by it a row is known to be as it was written. It tells accidents
#: and edits; it is no signature, since whoever edits a row can compute it too.
CHECKSUM = "checksum"
#: What another pattern for names may change in a row without measuring it again.
GROUPS = ("plate", "well", "site", "channel")


class Table:
    """A CSV file that grows in ``NAME.part`` and becomes ``NAME`` when it is finished.

    Until then an older ``NAME`` stays as it is.

    Parameters
    ----------
    path
        Place of the finished table. An older table with these columns, or with the first of
        them, is replaced, and one of other measures; anything else is not.
    columns
        Names of the columns.

    Raises
    ------
    FileError
        There is another file at that place, or nothing can be written there.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        check_replaceable(path, columns)
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.n_rows = 0
        with refusals(self.part, "written"):
            # What a killed process left there, a link or a pipe is not written to.
            self.part.unlink(missing_ok=True)
            self._stream: TextIO = self.part.open(
                "x", encoding="utf-8", errors=_UNDECODABLE, newline=""
            )
        self._columns = tuple(columns)
        self._writer = csv.writer(self._stream)
        try:
            self._write(self._columns)
        except FileError:
            self.close()
            raise

    def append(self, *rows: Mapping[str, object]) -> None:
        """Add rows and hand them to the system; columns that a row lacks stay empty.

        Raises
        ------
        FileError
            The disk refuses, as when it is full.
        ValueError
            A row has a column that the table has not.
        """
        self._write(*(_stored(self._columns, row) for row in rows))
        self.n_rows += len(rows)

    def finish(self) -> None:
        """Put the complete table in its place, in one step."""
        with refusals(self.path, "written"):
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            self.part.replace(self.path)

    def _write(self, *rows: Sequence[str]) -> None:
        with refusals(self.part, "written"):
            self._writer.writerows(rows)
            self._stream.flush()

    def close(self) -> None:
        """Stop writing; what is not finished stays in ``NAME.part``."""
        # What the disk refused to take was an error when it was written.
        with contextlib.suppress(OSError):
            self._stream.close()


def check_replaceable(path: Path, columns: Sequence[str]) -> None:
    """Refuse a place that holds something else than an older table of the same kind.

    Raises
    ------
    FileError
        It does, or it cannot be read.
    """
    with refusals(path):
        try:
            with open_regular(path) as stream:
                if is_hollow(os.fstat(stream.fileno())):
                    raise FileError(f"{path}: is almost all holes, as no table is; move it away")
                header = fields(next(records(stream), (0, b""))[1])
        except FileNotFoundError:
            return
        except ValueError:
            header = []
    common = min(len(header), len(columns))
    if header[-1:] == [CHECKSUM] == [columns[-1]]:
        # A table of this library, perhaps of other measures.
        common = 4
    if common < 3 or list(header[:common]) != list(columns[:common]):
        raise FileError(
            f"{path}: is there already and is not a table of this kind; "
            "move it away or choose another folder"
        )


def as_stored(text: str) -> str:
    """Give a name as a table has it: what is no valid text is written with backslashes."""
    # Not all versions of Python write a NUL, and few programs read it.
    return text.replace("\0", "\\x00").encode("utf-8", _UNDECODABLE).decode("utf-8")


def names_stored_as(text: str) -> list[str]:
    """Give the names that a table may have as this text: itself, and one that is no valid text."""
    name = _ESCAPED.sub(lambda escape: chr(0xDC00 + int(escape[1], 16)), text)
    return [text] if name == text else [text, name]


def as_number(text: str) -> float:
    """Read a number of a table; NaN where there is none.

    Raises
    ------
    ValueError
        It is not a number, or not a finite one.
    """
    if not text:
        return math.nan
    number = float(text)
    # Python reads more than a table has: "nan", "1_000", digits of other scripts.
    if not math.isfinite(number) or "_" in text or not text.isascii():
        raise ValueError(f"{text[:40]!r} is no number")
    return number


def as_text(row: Mapping[str, object], columns: Sequence[str]) -> dict[str, str]:
    """Give a row as a table with these columns has it: fields as text, and their checksum."""
    return dict(zip(columns, _fields(columns, row)))


def _fields(columns: Sequence[str], row: Mapping[str, object]) -> list[str]:
    fields = [_text(row.get(name)) for name in columns]
    if columns[-1] == CHECKSUM:
        fields[-1] = _checksum(tuple(columns[:-1]), fields[:-1])
    return fields


def is_as_written(columns: Sequence[str], fields: Sequence[str]) -> bool:
    """Whether a row's checksum fits the fields before it; True in a table that has none."""
    if CHECKSUM not in columns:
        return True
    end = columns.index(CHECKSUM)
    before = fields[:end]
    # No field has a NUL when it is written: it would move the borders between fields.
    if any("\0" in field for field in before):
        return False
    return fields[end] == _checksum(tuple(columns[:end]), before)


def _checksum(columns: tuple[str, ...], fields: Sequence[str]) -> str:
    return f"{zlib.crc32(_joined(fields), _checksum_of_names(columns)):08x}"


@functools.lru_cache(maxsize=16)
def _checksum_of_names(columns: tuple[str, ...]) -> int:
    # The same fields under other columns say something else.
    return zlib.crc32(_joined(columns))


def _joined(fields: Sequence[str]) -> bytes:
    return "\0".join(fields).encode("utf-8", _UNDECODABLE)


def encoded_header(columns: Sequence[str]) -> bytes:
    """Give the first line of a table's file."""
    return _encoded([columns])


def encoded(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> bytes:
    """Give rows as they stand in a table's file; columns that a row lacks stay empty.

    Raises
    ------
    ValueError
        A row has a column that the table has not.
    """
    return _encoded(_stored(columns, row) for row in rows)


def _encoded(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", _UNDECODABLE)


def _stored(columns: Sequence[str], row: Mapping[str, object]) -> list[str]:
    unknown = row.keys() - columns
    if unknown:
        raise ValueError(f"the table has no column {', '.join(sorted(unknown))}")
    return _fields(columns, row)


def records(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Records of a table's file, each with the place of its first byte.

    Yields
    ------
    int, bytes
        The record with its line end; the last one of a file that was cut has none, or an odd
        number of quotes.
    """
    at, length, quotes = 0, 0, 0
    held: list[bytes] = []
    while line := stream.readline(_LONGEST_RECORD):
        held.append(line)
        length += len(line)
        quotes += line.count(b'"')
        if (quotes % 2 == 0 and line.endswith(b"\n")) or length > _LONGEST_RECORD:
            yield at, b"".join(held)
            at, length, quotes, held = at + length, 0, 0, []
    if held:
        yield at, b"".join(held)


def is_whole(record: bytes) -> bool:
    """Whether nothing is cut off a record's end."""
    return record.endswith(b"\n") and record.count(b'"') % 2 == 0


def fields(record: bytes) -> list[str]:
    """Fields of a record.

    Raises
    ------
    ValueError
        It is not UTF-8, or breaks the rules of quotes.
    """
    try:
        return next(csv.reader([record.decode("utf-8")], strict=True), [])
    except csv.Error as error:
        raise ValueError(str(error)) from error


def read_table(path: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, str]]:
    """Read a table row by row.

    Parameters
    ----------
    path
        A table that this library wrote, or that a spreadsheet saved again as UTF-8 CSV.
    columns
        Names of the columns to give; those that an older table lacks are empty. By default, the
        table's own.

    Yields
    ------
    dict of str to str
        Fields as text, by column. A last row without its line end is left out: it is still being
        written, or was never finished.

    Raises
    ------
    FileError
        The file is missing, not readable, no table that begins with the column ``file``, or
        damaged; the message names the row, counted from 1 below the header.
    """
    with refusals(path), open_regular(path) as stream:
        rows = ((at, record) for at, record in records(stream) if record.strip())
        _, first = next(rows, (0, b""))
        try:
            header = fields(first.removeprefix(b"\xef\xbb\xbf"))
        except ValueError as error:
            raise FileError(f"{path}: is not a table of results ({error})") from None
        if header[:1] != ["file"] or len(set(header)) < len(header):
            raise FileError(
                f"{path}: is not a table of results: its first column is not `file`, or a "
                "column stands twice"
            )
        wanted = header if columns is None else columns
        for number, (_, record) in enumerate(rows, 1):
            try:
                row = fields(record) if record.endswith(b"\n") else []
                if len(row) != len(header):
                    raise ValueError(f"{len(row)} fields under {len(header)} columns")
            except ValueError as error:
                if not is_whole(record) and not stream.read(1):
                    return
                raise FileError(f"{path}: row {number} is damaged ({error})") from None
            named = dict(zip(header, row))
            yield {name: named.get(name, "") for name in wanted}


def _text(value: object) -> str:
    """Field of a table: whole numbers in full, others to 6 significant digits."""
    if value is None or isinstance(value, str):
        return as_stored(value or "")
    if isinstance(value, (bool, int, np.integer)):
        return str(int(value))
    number = float(value)  # type: ignore[arg-type]
    if math.isnan(number):
        return ""
    return f"{number + 0.0:.6g}"  # no -0
