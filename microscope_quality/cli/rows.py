"""Rows on standard output, for other programs."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microscope_quality.files.columns import Value


class Format(str, Enum):
    """How rows are written."""

    csv = "csv"
    json = "json"


class ReaderGoneError(KeyboardInterrupt):
    """Nobody reads standard output any more, as after ``| head -1``: an interruption."""


class RowWriter:
    """Writes rows to standard output as they come, and nothing else.

    Numbers are in full; an empty field is empty in CSV and null in JSON, which is an array with an
    object a line. Text is UTF-8, whatever the terminal has.

    Parameters
    ----------
    kind
        How.
    columns
        Names of the fields, in their order.

    Raises
    ------
    ReaderGoneError
        See there; also from the methods.
    """

    def __init__(self, kind: Format, columns: Sequence[str]) -> None:
        self._kind, self._columns, self._n_rows = kind, columns, 0
        self._write("[" if kind is Format.json else _as_csv(columns))

    def write(self, rows: Iterable[Mapping[str, Value]]) -> None:
        """Write rows."""
        for row in rows:
            if self._kind is Format.json:
                before = ",\n" if self._n_rows else "\n"
                self._write(before + json.dumps(row, ensure_ascii=False, allow_nan=False))
            else:
                self._write(_as_csv([row[name] for name in self._columns]))
            self._n_rows += 1

    def finish(self) -> None:
        """Write the end; without it, an array in JSON is not closed, and so known as a part."""
        if self._kind is Format.json:
            self._write("\n]\n" if self._n_rows else "]\n")

    def _write(self, text: str) -> None:
        try:
            sys.stdout.buffer.write(text.encode("utf-8"))
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # What is left in the buffer would be tried again at the end.
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
            raise ReaderGoneError from None


def _as_csv(fields: Sequence[Value]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(map(_in_full, fields))
    return line.getvalue()


def _in_full(value: Value) -> Value:
    """Give a number with all of its digits; a whole one without a point, as tables have it."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else value
