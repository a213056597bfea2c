"""The tables of a run: rows are kept as they come, survive any end, and are in place in one step.

A run appends what each page of a file gives to ``NAME.part``, and puts the tables together when it
is done (`Results.finish`) or, one that goes on for ever, from time to time (`Results.publish`). In
``NAME.part`` an empty line ends the rows of a page, and in that of the first table another one
those of a file: so what is whole can be told from what was cut off when the process was killed. A
row knows which file it measured (`size_bytes`, `modified`) and how (`settings_id`), and is kept
for as long as that holds.
"""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from microscope_quality.errors import FileError
from microscope_quality.files.tables import (
    as_stored,
    check_replaceable,
    encoded,
    fields,
    is_whole,
    open_table,
    records,
)
from microscope_quality.files.whole import whole

#: Held in a folder by the run that writes there.
LOCK = ".lock"
_END = b"\r\n"
_IDENTITY = ("settings_id", "size_bytes", "modified")


class _Span(NamedTuple):
    """Bytes of a table, in its file or in ``NAME.part``."""

    in_log: bool
    start: int
    length: int


@dataclass
class _Kept:
    """What there is of a file: the settings and the file as it was; for each page, its rows."""

    identity: tuple[str, ...]
    pages: List[Dict[str, _Span]] = field(default_factory=list)
    complete: bool = False
    failed: bool = False


class _Block(NamedTuple):
    """Rows that lie together: of a page in ``NAME.part``, of a file in a table."""

    file: str
    identity: tuple[str, ...]
    failed: bool
    span: _Span
    end: int
    ends_file: bool


class Results:
    """Tables of a folder, of which one run at a time is the writer; used as a context.

    Parameters
    ----------
    folder
        Made if it is missing.
    tables
        Columns of each table by the name of its file. The first one has the columns ``file``,
        ``error``, ``size_bytes``, ``modified`` and ``settings_id``, the others ``file``.
    settings_id
        Of the run: rows with another one are measured again.
    again
        Keep nothing of an earlier run.

    Raises
    ------
    FileError
        The folder cannot be written to, another run writes there, or it holds other files under
        the names of the tables.
    """

    def __init__(
        self,
        folder: Path,
        tables: Mapping[str, Sequence[str]],
        settings_id: str,
        *,
        again: bool = False,
    ) -> None:
        from filelock import FileLock, Timeout

        self.folder = folder
        self._columns = {name: tuple(columns) for name, columns in tables.items()}
        self._main = next(iter(tables))
        self._settings_id = settings_id
        self._kept: Dict[str, _Kept] = {}
        # Descriptors of the logs, and how far each is valid.
        self._logs: Dict[str, int] = {}
        self._ends: Dict[str, int] = {}
        # Where those end that this run began and has not written to.
        self._begun: Dict[str, int] = {}
        # Lengths of the tables that this run put in place, and the files that came since.
        self._placed: Dict[str, int] = {}
        self._fresh: List[Optional[str]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"{folder}: cannot be made a folder: {error.strerror}") from error
        self._lock = FileLock(folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise FileError(
                f"{folder}: another run is writing there; wait for its end, or choose another "
                "folder"
            ) from None
        except NotImplementedError:
            pass  # a file system without locks
        except OSError as error:
            reason = error.strerror or error
            raise FileError(f"{folder}: cannot be written to: {reason}") from error
        try:
            for name, columns in self._columns.items():
                check_replaceable(folder / name, columns)
                log = self._log_path(name)
                if os.path.lexists(log) and (log.is_symlink() or not log.is_file()):
                    raise FileError(f"{log}: is there already and is not a table; move it away")
            if not again:
                self._find_rows()
            self._open_logs()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write in the folder; what is not finished stays in ``NAME.part``."""
        for table, log in self._logs.items():
            # What the disk refused to take was an error when it was written.
            with contextlib.suppress(OSError):
                os.close(log)
            # Nothing was written to it. Windows takes none away that is open.
            if self._ends.get(table) == self._begun.get(table):
                with contextlib.suppress(OSError):
                    self._log_path(table).unlink(missing_ok=True)
        self._logs.clear()
        if self._lock.is_locked:
            # Before the lock is given up: after it, the file could be another run's.
            with contextlib.suppress(OSError):
                (self.folder / LOCK).unlink(missing_ok=True)
            self._lock.release(force=True)

    # What is asked of it.

    def files(self) -> List[str]:
        """Files of which there are rows, in the order in which they came."""
        return list(self._kept)

    def kept(self, file: str, size_bytes: int, modified: str) -> bool:
        """Whether a file is measured already, with these settings and without an error."""
        found = self._same(file, size_bytes, modified)
        return found is not None and found.complete and not found.failed

    def pages_done(self, file: str, size_bytes: int, modified: str) -> int:
        """Pages of a file that an interrupted run came to; 0 for one that it finished."""
        found = self._same(file, size_bytes, modified)
        return 0 if found is None or found.complete else len(found.pages)

    def _same(self, file: str, size_bytes: int, modified: str) -> Optional[_Kept]:
        found = self._kept.get(as_stored(file))
        same = found and found.identity == (self._settings_id, str(size_bytes), modified)
        return found if same else None

    def rows(self, file: str, table: str = "") -> List[Dict[str, str]]:
        """Rows of a file, in a table or in the first one; columns as text."""
        table = table or self._main
        found = self._kept.get(as_stored(file))
        spans = [page[table] for page in found.pages if table in page] if found else []
        columns = self._columns[table]
        return [
            dict(zip(columns, fields(record)))
            for span, content in self._contents(table, spans)
            for _, record in records(io.BytesIO(content))
        ]

    # What it takes in.

    def append(
        self, file: str, rows: Mapping[str, Sequence[Mapping[str, object]]], *, last: bool = True
    ) -> None:
        """Add what a page of a file gave; they are in the system's hands when this returns.

        The first page of a file supersedes the rows of an earlier measurement.

        Parameters
        ----------
        file
            Name of the file, as in the rows.
        rows
            Of each table; the first one needs one or more.
        last
            Whether the file has no further page.

        Raises
        ------
        FileError
            The disk refuses, as when it is full; then nothing of the page is kept.
        ValueError
            The first table has no row, or a row has a column that its table has not.
        """
        first = next(iter(rows.get(self._main, ())), None)
        if first is None:
            raise ValueError(f"a page of {file} has no row")
        page: Dict[str, _Span] = {}
        before = dict(self._ends)
        try:
            # The first table last: what it holds, the others hold too.
            for name in reversed(list(self._columns)):
                content = encoded(self._columns[name], rows.get(name, ()))
                page[name] = _Span(True, self._ends[name], len(content))
                mark = _END * 2 if last and name == self._main else _END
                self._write(name, content + mark)
        except BaseException as error:
            for name, end in before.items():
                self._cut(name, end)
            if isinstance(error, OSError):
                path = self._log_path(self._main)
                reason = error.strerror or error
                raise FileError(f"{path}: cannot be written: {reason}") from error
            raise
        identity = tuple(str(first.get(name, "")) for name in _IDENTITY)
        failed = any(row.get("error") for row in rows[self._main])
        self._take(as_stored(file), identity, failed, page, last)

    def _take(
        self, file: str, identity: tuple[str, ...], failed: bool, page: Dict[str, _Span], last: bool
    ) -> None:
        found = self._kept.get(file)
        if found is None or found.complete or found.identity != identity:
            # None stands for a file of which other rows are in the tables.
            self._fresh.append(file if found is None else None)
            found = self._kept[file] = _Kept(identity)
        found.pages.append(page)
        found.failed |= failed
        found.complete = last

    # What it gives.

    def finish(self, files: Sequence[str]) -> None:
        """Put the tables in their places, with the rows of these files in this order.

        None of the files has a further page.

        Raises
        ------
        FileError
            A place cannot be written; the rows stay in ``NAME.part``.
        """
        for name in map(as_stored, files):
            if name in self._kept:
                self._kept[name].complete = True
        self.publish(files)
        # The first table's first: without it the others count for nothing.
        for name, log in self._logs.items():
            os.close(log)
            self._log_path(name).unlink(missing_ok=True)
        self._logs.clear()

    def publish(self, files: Optional[Sequence[str]] = None) -> None:
        """Put together the tables of what is complete; the run may go on.

        Parameters
        ----------
        files
            Files in the tables' order; by default all, as they came.

        Raises
        ------
        FileError
            As for `finish`, such as while a table is open in a program that locks it.
        """
        if files is None and self._extend():
            return
        names = self.files() if files is None else [as_stored(file) for file in files]
        order = [name for name in names if name in self._kept and self._kept[name].complete]
        for table in reversed(list(self._columns)):
            placed: List[tuple[Dict[str, _Span], _Span]] = []
            with whole(self.folder / table) as part, part.open("wb") as stream:
                at = stream.write(_header(self._columns[table]))
                pages = [page for name in order for page in self._kept[name].pages if table in page]
                for (span, content), page in zip(
                    self._contents(table, [page[table] for page in pages]), pages
                ):
                    stream.write(content)
                    placed.append((page, _Span(False, at, span.length)))
                    at += span.length
                stream.flush()
                os.fsync(stream.fileno())
            for page, span in placed:
                page[table] = span
            self._placed[table] = at
        for name in set(self._kept).difference(order) if files is not None else ():
            # They are in no table any more.
            del self._kept[name]
        self._fresh = []
        self._clear_logs()

    def _clear_logs(self) -> None:
        if all(kept.complete for kept in self._kept.values()):
            for name, columns in self._columns.items():
                self._cut(name, len(_header(columns)))

    def _extend(self) -> bool:
        """Add to tables that are in place what came since, if that is all that they lack.

        What is torn when the process is killed meanwhile is in the logs still.
        """
        fresh = [self._kept[name] for name in self._fresh if name is not None]
        if not self._placed or None in self._fresh or not all(kept.complete for kept in fresh):
            return False
        # Until all are done, one table may have what another lacks, and is not to get it twice.
        self._fresh = [None]
        for table in reversed(list(self._columns)):
            path, at = self.folder / table, self._placed[table]
            pages = [page for kept in fresh for page in kept.pages]
            contents = self._contents(table, [page[table] for page in pages])
            content = b"".join(content for _, content in contents)
            try:
                with path.open("r+b", buffering=0) as stream:
                    if stream.seek(0, os.SEEK_END) != at:
                        return False
                    try:
                        left = memoryview(content)
                        while left:
                            left = left[stream.write(left) :]
                        os.fsync(stream.fileno())
                    except OSError:
                        # When the disk is full, not half a row is to stay.
                        stream.truncate(at)
                        raise
            except FileNotFoundError:
                return False
            except OSError as error:
                raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error
            for page in pages:
                page[table] = _Span(False, at, page[table].length)
                at += page[table].length
            self._placed[table] = at
        self._fresh = []
        self._clear_logs()
        return True

    def _contents(self, table: str, spans: Sequence[_Span]) -> Iterator[tuple[_Span, bytes]]:
        with contextlib.ExitStack() as stack:
            finished = None
            if any(not span.in_log for span in spans):
                finished = stack.enter_context((self.folder / table).open("rb"))
            for span in spans:
                if finished is not None and not span.in_log:
                    finished.seek(span.start)
                    yield span, finished.read(span.length)
                else:
                    os.lseek(self._logs[table], span.start, os.SEEK_SET)
                    yield span, _read(self._logs[table], span.length)

    # What is there already.

    def _find_rows(self) -> None:
        for table, columns in self._columns.items():
            seen = set()
            for block in _files_in_table(self.folder / table, columns):
                page = {table: block.span}
                if block.file in seen:
                    # Another program sorted the rows: which are whole cannot be told.
                    if block.file in self._kept:
                        self._kept[block.file].failed = True
                elif table == self._main:
                    self._take(block.file, block.identity, block.failed, page, True)
                elif block.file in self._kept:
                    self._kept[block.file].pages[0].update(page)
                    if block.failed:
                        # It was cut, and lacks the rows of the files from here on.
                        files = list(self._kept)
                        for name in files[files.index(block.file) :]:
                            self._kept[name].failed = True
                seen.add(block.file)
        logs = {
            table: list(_pages_in_log(self._log_path(table), columns))
            for table, columns in self._columns.items()
        }
        main = logs[self._main]
        pages = 0
        for blocks in zip(*logs.values()):
            # A page may have no row in a table, but none of another file.
            if {block.file for block in blocks} - {"", blocks[0].file}:
                break
            pages += 1
        for k, block in enumerate(main[:pages]):
            spans = {table: blocks[k].span for table, blocks in logs.items()}
            self._take(block.file, block.identity, block.failed, spans, block.ends_file)
        if pages:
            self._ends = {table: blocks[pages - 1].end for table, blocks in logs.items()}

    # The logs.

    def _log_path(self, table: str) -> Path:
        return self.folder / f"{table}.part"

    def _open_logs(self) -> None:
        for table, columns in self._columns.items():
            path = self._log_path(table)
            is_new = not os.path.lexists(path)
            try:
                self._logs[table] = os.open(
                    path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666
                )
                if table not in self._ends:
                    self._ends[table] = 0
                    self._write(table, _header(columns))
                    if is_new:
                        self._begun[table] = self._ends[table]
                self._cut(table, self._ends[table])
            except OSError as error:
                raise FileError(f"{path}: cannot be written: {error.strerror}") from error

    def _write(self, table: str, content: bytes) -> None:
        os.lseek(self._logs[table], self._ends[table], os.SEEK_SET)
        left = memoryview(content)
        while left:
            left = left[os.write(self._logs[table], left) :]
        self._ends[table] += len(content)

    def _cut(self, table: str, end: int) -> None:
        os.ftruncate(self._logs[table], end)
        self._ends[table] = end


def _files_in_table(path: Path, columns: Sequence[str]) -> Iterator[_Block]:
    """Files with their rows, of a table that is finished and has these columns."""
    file, rows, start, end = "", 0, 0, 0
    identity: tuple[str, ...] = ()
    failed = False
    for at, record, row in _rows_of(path, columns):
        if not row:
            break  # no run writes an empty line into a table that is finished
        if rows and row[0] != file:
            yield _Block(file, identity, failed, _Span(False, start, end - start), end, True)
            rows = 0
        if not rows:
            file, start, failed = row[0], at, False
            identity = _identity(row, columns)
        failed = failed or _has_failed(row, columns)
        rows, end = rows + 1, at + len(record)
    if rows:
        # Where something follows that is not whole, rows are missing.
        failed = failed or path.stat().st_size != end
        yield _Block(file, identity, failed, _Span(False, start, end - start), end, True)


def _pages_in_log(path: Path, columns: Sequence[str]) -> Iterator[_Block]:
    """Pages with their rows, of a log, up to what is not whole."""
    page: Optional[_Block] = None
    rows: List[List[str]] = []
    start = len(_header(columns))
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
            page = _Block(
                file=rows[0][0] if rows else "",
                identity=_identity(rows[0], columns) if rows else (),
                failed=any(_has_failed(row, columns) for row in rows),
                span=_Span(True, start, at - start),
                end=at + len(record),
                ends_file=False,
            )
            start, rows = page.end, []
    if page is not None:
        yield page


def _rows_of(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, bytes, List[str]]]:
    """Place, record and fields of the rows below the header; an empty line has no fields.

    It ends before what is not whole, and a file with other columns has none.
    """
    try:
        with open_table(path) as stream:
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


def _header(columns: Sequence[str]) -> bytes:
    return encoded(columns, [dict(zip(columns, columns))])


def _identity(row: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    return tuple(row[columns.index(name)] for name in _IDENTITY if name in columns)


def _has_failed(row: Sequence[str], columns: Sequence[str]) -> bool:
    return "error" in columns and bool(row[columns.index("error")])


def _read(descriptor: int, length: int) -> bytes:
    content = b""
    while len(content) < length:
        more = os.read(descriptor, length - len(content))
        if not more:
            raise FileError("the table was shortened by another program")
        content += more
    return content
