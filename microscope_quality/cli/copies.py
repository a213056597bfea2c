"""Copies of a run's tables, for programs that do not work with CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from microscope_quality.errors import SettingsError
from microscope_quality.files.tables import RESULTS


@dataclass(frozen=True)
class Copies:
    """Which copies are wished for."""

    parquet: bool = False
    xlsx: bool = False
    report: bool = False

    def check(self, folder: Optional[Path]) -> None:
        """Refuse what cannot be written, before anything is measured.

        Raises
        ------
        SettingsError
            A library is not installed.
        FileError
            In the report's place is something else.
        """
        if self.report and folder is not None:
            from microscope_quality.report.page import check_libraries
            from microscope_quality.report.write import REPORT, check_replaceable

            check_libraries()
            check_replaceable(folder / REPORT)
        for wished, library in ((self.parquet, "pyarrow"), (self.xlsx, "xlsxwriter")):
            if wished:
                try:
                    __import__(library)
                except ImportError:
                    option = "--parquet" if library == "pyarrow" else "--xlsx"
                    raise SettingsError(
                        f"{option} needs {library}: pip install 'microscope-quality[tables]'"
                    ) from None

    def write(self, folder: Path, tables: Mapping[str, Sequence[str]]) -> list[Path]:
        """Write the copies of tables, and take away those in Parquet of an earlier run.

        Parameters
        ----------
        folder
            Of the tables.
        tables
            Columns of each by the name of its file.

        Raises
        ------
        FileError
            A copy cannot be written; the tables are there all the same.
        """
        written = []
        for name in ("results.csv", "stacks.csv", "patches.csv"):
            copy = (folder / name).with_suffix(".parquet")
            if self.parquet and name in tables:
                from microscope_quality.files.parquet import write_parquet

                written.append(write_parquet(folder / name, tables[name]))
            else:
                copy.unlink(missing_ok=True)
        if self.xlsx:
            from microscope_quality.files.spreadsheet import write_spreadsheet

            path = (folder / RESULTS).with_suffix(".xlsx")
            written.append(write_spreadsheet(folder / RESULTS, path))
        return written
