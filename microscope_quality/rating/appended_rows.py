"""A table to which rows are added one by one, each on the disk before it counts as given."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from microscope_quality.errors import FileError
from microscope_quality.files import tables
from microscope_quality.files.regular import open_regular, refusals
from microscope_quality.files.whole import whole


class AppendedRows:
    """A CSV file that only grows; used as a context.

    What a killed process left of a row that it was writing is cut off: nobody was told that it was
    kept.

    Parameters
    ----------
    path
        Of the file; its folder must be there. It is made with its header if it is missing.
    columns
        Names of the columns; a file that is there must have the same.

    Raises
    ------
    FileError
        There is another file at that place, or it cannot be written to.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._columns = tuple(columns)
        self._writing = threading.Lock()
        self._begin()
        with refusals(path, "written"):
            flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))

    def __enter__(self) -> AppendedRows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, row: Mapping[str, object]) -> None:
        """Add a row; it is on the disk when this returns.

        Raises
        ------
        FileError
            The disk refuses, as when it is full; then nothing of the row stays.
        """
        encoded = tables.encoded(self._columns, [row])
        with self._writing, refusals(self.path, "written"):
            end = os.fstat(self._descriptor).st_size
            try:
                written = os.write(self._descriptor, encoded)
                if written < len(encoded):
                    raise OSError(f"only {written} of {len(encoded)} bytes were taken")
                os.fsync(self._descriptor)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, end)
                raise

    def close(self) -> None:
        """Stop writing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _begin(self) -> None:
        header = tables.encoded_header(self._columns)
        if not os.path.lexists(self.path):
            with whole(self.path) as part:
                part.write_bytes(header)
            return
        start = end = 0
        last = first = b""
        with refusals(self.path), open_regular(self.path) as stream:
            for start, last in tables.records(stream):
                first = first or last
                end = start + len(last)
        try:
            found = tables.fields(first.removeprefix(b"\xef\xbb\xbf"))
        except ValueError:
            found = []
        if tuple(found) != self._columns:
            raise FileError(
                f"{self.path}: is there already and is not a table of this kind; move it away or "
                "choose another folder"
            )
        if end and not tables.is_whole(last):
            with refusals(self.path, "written"):
                os.truncate(self.path, start)
                if start == 0:  # only a header, without its line end
                    self.path.write_bytes(header)
