"""What lies together in tables and in logs of a run: the rows of a file, and of a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from microscope_quality.errors import FileError
from microscope_quality.files.regular import open_regular
from microscope_quality.files.tables import (
    encoded_header,
    fields,
    is_as_written,
    is_whole,
    records,
)

# Behind the rows of a table that are whole: more than a record of a run has.
_LONGEST_REST = 2**22
#: Columns by which a row knows the file that it measured, and how.
IDENTITY = ("settings_id", "size_bytes", "modified")
#: Columns that say where in its file a row is of.
PLACE = ("series", "z", "c", "t", "y", "x")


class Span(NamedTuple):
    """Bytes of a table, in its file or in ``NAME.part``."""

    in_log: bool
    start: int
    length: int


class Claim(NamedTuple):
    """What a row says that it is of: a file as it was, and a place in it."""

    identity: tuple[str, ...]
    place: tuple[str, ...]


class Block(NamedTuple):
    """Rows that lie together: of a page in ``NAME.part``, of a file in a table."""

    file: str
    identity: tuple[str, ...]
    failed: bool
    span: Span
    end: int
    ends_file: bool
    #: Of rows that are not as they were written.
    edited: frozenset[Claim] = frozenset()
    rows: int = 0
    has_patches: bool = False


def files_in_table(path: Path, columns: Sequence[str], of_patches: str = "") -> Iterator[Block]:
    """Files with their rows, of a table that is finished and has these columns.

    A file has patches if a row of it has a number in the column `of_patches`.
    """
    file, rows, start, end = "", 0, 0, 0
    identity: tuple[str, ...] = ()
    failed = has_patches = False
    edited: set[Claim] = set()
    telling = columns.index(of_patches) if of_patches in columns else None

    def block() -> Block:
        span = Span(False, start, end - start)
        return Block(file, identity, failed, span, end, True, frozenset(edited), rows, has_patches)

    for at, record, row in _rows_of(path, columns):
        if not row:
            break  # no run writes an empty line into a table that is finished
        if rows and row[0] != file:
            yield block()
            rows = 0
        if not rows:
            file, start, failed, edited, has_patches = row[0], at, False, set(), False
            identity = _identity(row, columns)
        failed = failed or has_failed(row, columns)
        has_patches = has_patches or (telling is not None and bool(row[telling]))
        if not is_as_written(columns, row):
            edited.add(_claim(row, columns))
        rows, end = rows + 1, at + len(record)
    if rows:
        # Where something follows that is not whole, rows are missing.
        failed = failed or path.stat().st_size != end
        yield block()


def pages_in_log(path: Path, columns: Sequence[str]) -> Iterator[Block]:
    """Pages with their rows, of a log, up to what is not whole."""
    page: Block | None = None
    rows: list[list[str]] = []
    start = len(encoded_header(columns))
    for at, record, row in _rows_of(path, columns):
        if row:
            if rows and row[0] != rows[0][0]:
                break  # a page is of one file
            rows.append(row)
        elif not rows and page is not None and "error" in columns:
            page = page._replace(ends_file=True, end=at + len(record))
            start = page.end
        elif not rows and "error" in columns:
            break  # the first table has a row for each page
        else:
            if page is not None:
                yield page
            page = Block(
                file=rows[0][0] if rows else "",
                identity=_identity(rows[0], columns) if rows else (),
                failed=any(has_failed(row, columns) for row in rows),
                span=Span(True, start, at - start),
                end=at + len(record),
                ends_file=False,
                edited=frozenset(
                    _claim(row, columns) for row in rows if not is_as_written(columns, row)
                ),
            )
            start, rows = page.end, []
    if page is not None:
        yield page


def _rows_of(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, bytes, list[str]]]:
    """Place, record and fields of the rows below the header; an empty line has no fields.

    It ends before what is not whole, and a file with other columns has none.
    """
    try:
        with open_regular(path) as stream:
            for at, record in records(stream):
                try:
                    row = fields(record) if is_whole(record) else None
                except ValueError:
                    row = None
                if at == 0:
                    if row != list(columns):
                        return
                elif row is None or len(row) not in (0, len(columns)):
                    return
                else:
                    yield at, record, row
    except FileNotFoundError:
        return
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error


def end_of_trusted(pages: Sequence[Block]) -> int:
    """Tell how many pages of a log come before an edited one of a file that goes on.

    Where the file is whole, its next measurement takes the place of all its pages; here that would
    be taken for the pages that were still to come.
    """
    first: dict[str, int] = {}
    for k, block in enumerate(pages):
        if block.edited:
            first.setdefault(block.file, k)
        if block.ends_file:
            first.pop(block.file, None)
    return min(first.values(), default=len(pages))


def start_of_rows(path: Path, columns: Sequence[str]) -> int | None:
    """Tell where the rows of a table begin; None where it is not there or has other columns."""
    try:
        with open_regular(path) as stream:
            _, first = next(records(stream), (0, b""))
    except FileNotFoundError:
        return None
    return len(first) if fields(first) == list(columns) else None


def rows_follow(path: Path, end: int) -> bool:
    """Whether behind the rows that are whole there are others; half a row is none."""
    with open_regular(path) as stream:
        stream.seek(end)
        return b"\n" in stream.read(_LONGEST_REST).lstrip(b"\r\n")


def place_of(row: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    """Give where in its file a row says that it is."""
    return _only(PLACE, row, columns)


def _only(names: Sequence[str], row: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(row[columns.index(name)] for name in names if name in columns)


def _identity(row: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    return _only(IDENTITY, row, columns)


def _claim(row: Sequence[str], columns: Sequence[str]) -> Claim:
    return Claim(_identity(row, columns), place_of(row, columns))


def has_failed(row: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether a row has an error."""
    return "error" in columns and bool(row[columns.index("error")])
