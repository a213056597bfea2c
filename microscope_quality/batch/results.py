"""The tables of a run: rows are kept as they come, survive any end, and are in place in one step.

A run appends what each page of a file gives to ``NAME.part``, and puts the tables together when it
is done (`Results.finish`) or, one that goes on for ever, from time to time (`Results.publish`). In
``NAME.part`` an empty line ends the rows of a page, and in that of the first table another one
those of a file: so what is whole can be told from what was cut off when the process was killed. A
row knows which file it measured (`size_bytes`, `modified`) and how (`settings_id`), and is kept
for as long as that holds and it is as it was written (`checksum`).

No row that was measured leaves the tables for good: before the first one of an earlier run would,
the tables are copied into ``older/``.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from microscope_quality.batch.blocks import (
    IDENTITY,
    PLACE,
    Block,
    Span,
    end_of_trusted,
    files_in_table,
    has_failed,
    pages_in_log,
    place_of,
    rows_follow,
    start_of_rows,
)
from microscope_quality.batch.older import (
    drop_record,
    has_measured_rows,
    hold_record,
    is_record,
    keep_older,
)
from microscope_quality.batch.run_record import counted_planes
from microscope_quality.errors import FileError
from microscope_quality.files.tables import (
    CHECKSUM,
    GROUPS,
    PATCHES,
    STACKS,
    as_stored,
    check_replaceable,
    encoded,
    encoded_header,
    fields,
    records,
)
from microscope_quality.files.whole import whole

#: Held in a folder by the run that writes there.
LOCK = ".lock"
_END = b"\r\n"
# What names tell, and may tell otherwise later, is nothing that was measured.
_OF_NAMES = frozenset((*GROUPS, "z", "t", "stack", CHECKSUM))


@dataclass
class _Kept:
    """What there is of a file: the settings and the file as it was; for each page, its rows."""

    identity: tuple[str, ...]
    pages: list[dict[str, Span]] = field(default_factory=list)
    complete: bool = False
    failed: bool = False
    edited: bool = False
    has_patches: bool = False

    def has(self, table: str) -> bool:
        """Whether there are rows in a table."""
        return any(table in page for page in self.pages)


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
    derived
        Columns that follow from others: rows that are others in these alone are the same.

    Attributes
    ----------
    edited : list of str
        Files that are measured again because rows of theirs are not as they were written.
    other_columns : bool
        Whether the table in place has rows and other columns than this run's, so that none is kept.
    older : Path or None
        Where the tables of earlier runs were copied to, since rows of theirs left the tables. That
        is done once at most: what a run has measured itself, it may replace.

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
        derived: Iterable[str] = (),
    ) -> None:
        from filelock import FileLock, Timeout

        self.folder = folder
        self._columns = {name: tuple(columns) for name, columns in tables.items()}
        self._main = next(iter(tables))
        # A number that patches have too, by which a row tells that there are some of its image.
        numbers = set(self._columns[self._main]).difference(("file", *PLACE, CHECKSUM))
        of_patches = self._columns.get(PATCHES, ())
        self._of_patches = next((name for name in of_patches if name in numbers), "")
        self._settings_id = settings_id
        self._not_measured = _OF_NAMES.union(derived)
        self._kept: dict[str, _Kept] = {}
        # Descriptors of the logs, and how far each is valid.
        self._logs: dict[str, int] = {}
        self._ends: dict[str, int] = {}
        # Where those end that this run began and has not written to.
        self._begun: dict[str, int] = {}
        # Lengths of the tables that this run put in place, and the files that came since.
        self._placed: dict[str, int] = {}
        self._fresh: list[str | None] = []
        self.edited: list[str] = []
        self.other_columns = False
        self.older: Path | None = None
        # What the tables had of each file when they were found, as long as it is in no copy; and
        # whether they had rows besides, which are in no table to come.
        self._before: dict[str, _Kept] = {}
        self._loses = False
        # The record of the run that wrote them.
        self._record = b""
        # Names in edited rows of which it cannot be told what they were.
        self._astray: list[str] = []
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
            if any((folder / name).exists() for name in tables):
                self._record = hold_record(folder)
            self._find_tables()
            if again:
                self._loses |= any(map(self._has_measured, self._before.values()))
                self._kept.clear()
                self._astray.clear()
            else:
                self._find_logs()
            edited = [name for name, kept in self._kept.items() if kept.edited]
            self.edited = list(dict.fromkeys(edited + self._astray))
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
        if self._record and is_record(self.folder, self._record):
            with contextlib.suppress(OSError):
                drop_record(self.folder)
        if self._lock.is_locked:
            # Before the lock is given up: after it, the file could be another run's.
            with contextlib.suppress(OSError):
                (self.folder / LOCK).unlink(missing_ok=True)
            self._lock.release(force=True)

    # What is asked of it.

    def files(self) -> list[str]:
        """Files of which there are rows, in the order in which they came."""
        return list(self._kept)

    def kept(self, file: str, size_bytes: int, modified: str) -> bool:
        """Whether a file is measured already, with these settings and without an error."""
        found = self._same(file, size_bytes, modified)
        return found is not None and found.complete and not (found.failed or found.edited)

    def pages_done(self, file: str, size_bytes: int, modified: str) -> int:
        """Pages of a file that an interrupted run came to; 0 for one that it finished."""
        found = self._same(file, size_bytes, modified)
        return 0 if found is None or found.complete else len(found.pages)

    def _same(self, file: str, size_bytes: int, modified: str) -> _Kept | None:
        found = self._kept.get(as_stored(file))
        same = found and found.identity == (self._settings_id, str(size_bytes), modified)
        return found if same else None

    def rows(self, file: str, table: str = "") -> list[dict[str, str]]:
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
        page: dict[str, Span] = {}
        before = dict(self._ends)
        try:
            # The first table last: what it holds, the others hold too.
            for name in reversed(list(self._columns)):
                content = encoded(self._columns[name], rows.get(name, ()))
                page[name] = Span(True, self._ends[name], len(content))
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
        identity = tuple(str(first.get(name, "")) for name in IDENTITY)
        failed = any(row.get("error") for row in rows[self._main])
        block = Block(as_stored(file), identity, failed, page[self._main], 0, last)
        self._take(block, page)

    def _take(self, block: Block, page: dict[str, Span]) -> None:
        found = self._kept.get(block.file)
        if found is None or found.complete or found.identity != block.identity:
            # None stands for a file of which other rows are in the tables.
            self._fresh.append(block.file if found is None else None)
            found = self._kept[block.file] = _Kept(block.identity)
        found.pages.append(page)
        found.failed |= block.failed
        found.edited |= bool(block.edited)
        found.has_patches |= block.has_patches
        found.complete = block.ends_file

    # What it gives.

    def finish(self, files: Sequence[str]) -> None:
        """Put the tables in their places, with the rows of these files in this order.

        None of the files has a further page.

        Raises
        ------
        FileError
            A place cannot be written, or older tables not be copied; the rows stay in
            ``NAME.part``.
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

    def publish(self, files: Sequence[str] | None = None) -> None:
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
        if self._loses or self._would_lose(order):
            self.older = keep_older(self.folder, self._columns, self._record)
            self._loses = False
            self._before.clear()
        for table in reversed(list(self._columns)):
            placed: list[tuple[dict[str, Span], Span]] = []
            with whole(self.folder / table) as part, part.open("wb") as stream:
                at = stream.write(encoded_header(self._columns[table]))
                pages = [page for name in order for page in self._kept[name].pages if table in page]
                for (span, content), page in zip(
                    self._contents(table, [page[table] for page in pages]), pages
                ):
                    stream.write(content)
                    placed.append((page, Span(False, at, span.length)))
                    at += span.length
                stream.flush()
                os.fsync(stream.fileno())
            for page, span in placed:
                page[table] = span
            self._placed[table] = at
        for name in set(self._kept).difference(order) if files is not None else ():
            # They are in no table any more.
            del self._kept[name]
        # Where all rows are in the tables, those found at first are among them.
        self._before = {name: self._kept[name] for name in self._before if name in self._kept}
        with contextlib.suppress(OSError):
            drop_record(self.folder)
        self._fresh = []
        self._clear_logs()

    def _clear_logs(self) -> None:
        if all(kept.complete for kept in self._kept.values()):
            for name, columns in self._columns.items():
                self._cut(name, len(encoded_header(columns)))

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
                page[table] = Span(False, at, page[table].length)
                at += page[table].length
            self._placed[table] = at
        self._fresh = []
        self._clear_logs()
        return True

    def _contents(self, table: str, spans: Sequence[Span]) -> Iterator[tuple[Span, bytes]]:
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

    def _find_tables(self) -> None:
        """Find the rows of the tables that are in place."""
        for table in self._columns:
            self._find_table(table)
        if PATCHES not in self._columns:
            self._loses |= has_measured_rows(self.folder / PATCHES)
        self._before = dict(self._kept)

    def _find_table(self, table: str) -> None:
        path = self.folder / table
        sizes: list[tuple[str, int]] = []
        start, edited = start_of_rows(path, self._columns[table]), False
        end = start or 0
        before: Block | None = None
        for block in files_in_table(path, self._columns[table], self._of_patches):
            self._find(table, block)
            if before is not None:
                self._distrust_edited(table, before, block)
                self._distrust_edited(table, block, before)
            before, end, edited = block, block.end, edited or bool(block.edited)
            sizes.append((block.file, block.rows))
        # Rows of other columns, or behind what is damaged.
        self._loses |= has_measured_rows(path) if start is None else rows_follow(path, end)
        if table == self._main and start is None and has_measured_rows(path):
            self.other_columns = True
        if table != self._main and path.exists():
            nothing = start is None or (not sizes and path.stat().st_size > start)
            last = [file for file, _ in sizes[-1:]]
            self._distrust(self._kept if nothing else self._incomplete(table, last, edited))
        elif counted_planes(self._record) not in (None, sum(rows for _, rows in sizes)):
            # Which files lack rows cannot be told; one with a single row lacks none.
            self._distrust([file for file, rows in sizes if rows > 1])

    def _distrust_edited(self, table: str, block: Block, edited: Block) -> None:
        """Measure a file again of which an edited row beside it may be, under another name."""
        claimed = {one.place for one in edited.edited if one.identity == block.identity}
        if claimed:
            ((_, content),) = self._contents(table, [block.span])
            rows = (fields(record) for _, record in records(io.BytesIO(content)))
            if not claimed <= {place_of(row, self._columns[table]) for row in rows}:
                self._distrust([block.file])

    def _incomplete(self, table: str, last: Sequence[str], edited: bool) -> list[str]:
        """Files that may lack rows in another table than the first one; `last` is its last one."""
        without = [
            name
            for name, kept in self._kept.items()
            if not kept.has(table) and (edited or (kept.has_patches and table == PATCHES))
        ]
        # The table may have been cut within the rows of its last file.
        return without and [*without, *last]

    def _find(self, table: str, block: Block) -> None:
        """Take the rows of a file in a table."""
        found = self._kept.get(block.file)
        if found is None and table == self._main:
            self._take(block, {table: block.span})
        elif found is None:
            self._loses = True
            self._astray += [block.file] if block.edited else []
        elif found.has(table):
            # Another program sorted the rows: which are whole cannot be told.
            found.pages.append({table: block.span})
            found.failed = True
            found.edited |= bool(block.edited)
        else:
            found.pages[0][table] = block.span
            found.edited |= bool(block.edited)
            if block.failed:
                # The table was cut, and lacks the rows of the files from here on.
                files = list(self._kept)
                self._distrust(files[files.index(block.file) :])

    def _distrust(self, files: Iterable[str]) -> None:
        for name in files:
            if name in self._kept:
                self._kept[name].failed = True

    def _find_logs(self) -> None:
        """Find what a run left that did not come to its end."""
        logs = {
            table: list(pages_in_log(self._log_path(table), columns))
            for table, columns in self._columns.items()
        }
        pages = []
        for blocks in zip(*logs.values()):
            edited = frozenset().union(*(block.edited for block in blocks))
            # A page may have no row in a table, but none of another file.
            if {block.file for block in blocks} - {"", blocks[0].file}:
                self._astray += [blocks[0].file] if edited else []
                break
            pages.append((blocks[0]._replace(edited=edited), dict(zip(logs, blocks))))
        end = end_of_trusted([block for block, _ in pages])
        if end < len(pages):
            self._astray.append(pages[end][0].file)
        for block, page in pages[:end]:
            self._take(block, {table: one.span for table, one in page.items()})
        if end:
            self._ends = {table: one.end for table, one in pages[end - 1][1].items()}

    # Older tables.

    def _would_lose(self, order: Sequence[str]) -> bool:
        """Whether a row that was found at first would be in no table."""
        staying = set(order)
        for name, old in self._before.items():
            new = self._kept.get(name) if name in staying else None
            if new is old:
                continue
            # What was edited by hand is nowhere else.
            if new is None or old.edited:
                loses = self._has_measured(old)
            else:
                loses = not self._holds(new, old)
            if loses:
                return True
        return False

    def _has_measured(self, kept: _Kept) -> bool:
        return any(self._measured_rows(kept, self._main))

    def _holds(self, new: _Kept, old: _Kept) -> bool:
        """Whether all rows of a file that were measured are among its new ones."""
        return all(
            set(self._measured_rows(old, table)) <= set(self._measured_rows(new, table))
            for table in self._columns
            # What is said of a stack follows from its planes.
            if table != STACKS
        )

    def _measured_rows(self, kept: _Kept, table: str) -> Iterator[tuple[str, ...]]:
        """Rows of a file without an error, as far as they tell what was measured."""
        columns = self._columns[table]
        telling = [k for k, name in enumerate(columns) if name not in self._not_measured]
        spans = [page[table] for page in kept.pages if table in page]
        for _, content in self._contents(table, spans):
            for _, record in records(io.BytesIO(content)):
                row = fields(record)
                if row and not has_failed(row, columns):
                    yield tuple(row[k] for k in telling)

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
                    self._write(table, encoded_header(columns))
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


def _read(descriptor: int, length: int) -> bytes:
    content = b""
    while len(content) < length:
        more = os.read(descriptor, length - len(content))
        if not more:
            raise FileError("the table was shortened by another program")
        content += more
    return content
