"""A copy of a table for spreadsheet programs, with types, a header that stays, and colours.

Names of files are written by whoever made the files: a cell of this copy is a number or a text,
never a formula or a link.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.columns import Column
from microscope_quality.files.tables import fields, read_table, records
from microscope_quality.files.whole import whole
from microscope_quality.statuses import ERROR, Status

#: Name of a run's workbook.
WORKBOOK = "results.xlsx"

# What a worksheet of the format can hold: rows without the header, and UTF-16 units in a cell.
_MOST_ROWS = 1_048_575
_MOST_UNITS = 32_767

# XML has no place for most control characters: pictures of them (␀ …) for those up to U+001F and
# U+007F, the replacement character for what is no character.
_UNPRINTABLE: dict[int, int] = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: 0x2421,
    **dict.fromkeys((*range(0xD800, 0xE000), 0xFFFE, 0xFFFF), 0xFFFD),
}

# What a spreadsheet may take for the beginning of a formula.
_FORMULAS = "=+-@\t"

# Of columns, in characters.
_WIDTHS = {"file": 44, "status": 16, "error": 40, "message": 40, "modified": 31, "optics": 48}


def write_spreadsheet(
    csv_path: Path, path: Path, columns: Iterable[Column], statuses: Iterable[Status]
) -> Path:
    """Write a table that is there as CSV as an Excel workbook (.xlsx) too.

    Numbers are numbers; all else is text, times too, whatever it begins with. The header stays in
    sight, filters are on, cells of `status` are coloured. What does not fit on a worksheet goes on
    with the next one. A text over 32,767 characters, which no cell holds, is cut, and control
    characters are replaced by their pictures. The memory it takes does not grow with the table.

    Parameters
    ----------
    csv_path : Path
        A table of this library, finished or growing.
    path : Path
        Of the workbook. An older one stays as it is until the new one is complete.
    columns : iterable of Column
        What those of the table hold; one that is not among them holds text.
    statuses : iterable of Status
        That rows can have.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    SettingsError
        XlsxWriter is not installed.
    FileError
        The table is missing or damaged, or the workbook cannot be written. While another program
        has it open, some systems refuse to replace it: the older one stays, and it can be written
        again later.
    """
    try:
        import xlsxwriter
    except ImportError:
        raise SettingsError(
            "spreadsheets need XlsxWriter: pip install 'microscope-quality[tables]'"
        ) from None

    rows = read_table(csv_path)
    first = next(rows, None)
    names = list(first) if first is not None else _header(csv_path)
    known = {column.name: column for column in columns}
    shown = [known.get(name, Column(name)) for name in names]
    if first is not None:
        rows = itertools.chain([first], rows)
    options = {
        # What is written goes to the disk row by row.
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    try:
        with whole(path) as beside, _Output(beside, "x") as output, _scratch(path) as scratch:
            workbook = xlsxwriter.Workbook(output, {**options, "tmpdir": str(scratch)})
            workbook.use_zip64()
            try:
                _fill(workbook, csv_path.stem, shown, rows, statuses)
                workbook.close()
            except xlsxwriter.exceptions.FileCreateError as error:
                # Around what the system said.
                raise error.args[0] from None
            finally:
                output.done = True
                _close_all(workbook)
    except xlsxwriter.exceptions.XlsxWriterException as error:
        raise FileError(f"{path}: cannot be written: {error}") from error
    except FileError as error:
        if isinstance(error.__cause__, PermissionError) and path.exists():
            raise FileError(
                f"{path}: cannot be replaced, perhaps because another program has it open; the "
                "older one stays until it can be written again"
            ) from error
        raise
    return path


def _header(csv_path: Path) -> list[str]:
    with csv_path.open("rb") as stream:
        _, record = next(records(stream))
    return fields(record.removeprefix(b"\xef\xbb\xbf"))


class _Output(io.FileIO):
    """A file that, once `done` or refused by the disk, takes all that comes and keeps nothing.

    An archive that is thrown away still writes its end, whenever Python comes upon it; what the
    disk says to that would be printed amid the run.
    """

    done = False

    def write(self, content: Any) -> int:
        left = memoryview(content).cast("B")
        n_bytes = len(left)
        try:
            while left and not self.done:
                left = left[super().write(left) :]
        except OSError:
            self.done = True
            raise
        return n_bytes

    def seek(self, *place: int) -> int:
        return 0 if self.done else super().seek(*place)

    def tell(self) -> int:
        return 0 if self.done else super().tell()

    def flush(self) -> None:
        if not self.done:
            super().flush()


def _close_all(workbook: Any) -> None:
    """Close what a workbook writes on the way, and leaves open when something goes wrong."""
    for sheet in workbook.worksheets():
        for name in ("row_data_fh", "fh"):
            # A full disk refuses what is left in a buffer too.
            with contextlib.suppress(AttributeError, OSError):
                getattr(sheet, name).close()


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """Give a folder beside a file for what is written on the way, of which nothing stays."""
    # One that a killed run has left is of no use.
    folder = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(
    workbook: Any,
    title: str,
    columns: Sequence[Column],
    rows: Iterator[dict[str, str]],
    statuses: Iterable[Status],
) -> None:
    formats = _formats(workbook, statuses)
    title = re.sub(r"[][:*?/\\']", "_", title)[:24]
    for number in itertools.count(1):
        sheet = workbook.add_worksheet(title if number == 1 else f"{title} {number}")
        sheet.freeze_panes(1, 1)
        sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
        for at, column in enumerate(columns):
            # The button of the filter needs room beside the name.
            width = max(_WIDTHS.get(column.name, 8), len(column.name) + 4)
            sheet.set_column(at, at, width)
            _write_text(sheet, 0, at, column.name, formats["header"])
        last = 0
        for last, row in enumerate(itertools.islice(rows, _MOST_ROWS), 1):
            for at, column in enumerate(columns):
                if row[column.name]:
                    _write(sheet, (last, at), column, row[column.name], formats)
        sheet.autofilter(0, 0, last, len(columns) - 1)
        following = next(rows, None)
        if following is None:
            return
        rows = itertools.chain([following], rows)


def _formats(workbook: Any, statuses: Iterable[Status]) -> dict[str, Any]:
    made = {
        "header": {"bold": True, "bottom": 1, "bg_color": "#F0F0F0"},
        "integer": {"num_format": "0"},
        "number": {"num_format": "0.000"},
        "text": {},
        # Who edits the cell gets a text again, not a formula.
        "formula": {"quote_prefix": True},
        "error": {"bg_color": ERROR.tint},
        # Of their own kind, whatever their names.
        **{f"status {one.key}": {"bg_color": one.tint, "indent": 1} for one in statuses},
    }
    return {name: workbook.add_format(properties) for name, properties in made.items()}


def _write(
    sheet: Any, at: tuple[int, int], column: Column, text: str, formats: Mapping[str, Any]
) -> None:
    if column.is_number:
        # What is no number in a damaged table is shown as it is.
        with contextlib.suppress(ValueError):
            number = float(text)
            if math.isfinite(number):
                shown = "integer" if column.kind == "integer" else "number"
                sheet.write_number(*at, number, formats[shown])
                return
    shown = "formula" if text[0] in _FORMULAS else "text"
    if column.name == "status" and f"status {text}" in formats:
        shown = f"status {text}"
    elif column.name == "error" and shown == "text":
        shown = "error"
    _write_text(sheet, *at, text, formats[shown])


def _write_text(sheet: Any, row: int, column: int, text: str, shown: Any) -> None:
    text = text.translate(_UNPRINTABLE)
    if len(text) > _MOST_UNITS // 2:
        units = text.encode("utf-16-le")
        if len(units) > 2 * _MOST_UNITS:
            text = units[: 2 * (_MOST_UNITS - 1)].decode("utf-16-le", "ignore") + "…"
    sheet.write_string(row, column, text, shown)
