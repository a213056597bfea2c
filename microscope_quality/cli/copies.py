"""Copies of a run's tables, for programs that do not work with CSV, and its report."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from microscope_quality.errors import SettingsError
from microscope_quality.files.spreadsheet import WORKBOOK
from microscope_quality.files.tables import PATCHES, RESULTS, STACKS

if TYPE_CHECKING:
    from microscope_quality.measuring.run import Run


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
            from microscope_quality.report import REPORT
            from microscope_quality.report.page import check_libraries
            from microscope_quality.report.write import check_replaceable

            check_libraries()
            check_replaceable(folder / REPORT)
        for name, library in (("parquet", "pyarrow"), ("xlsx", "xlsxwriter")):
            if getattr(self, name) and find_spec(library) is None:
                raise SettingsError(
                    f"{name} needs {library}: pip install 'microscope-quality[tables]'"
                )

    def write(self, run: Run) -> list[str]:
        """Write copies of a run's tables, and take away those in Parquet of an earlier run.

        Returns
        -------
        list of str
            Names of the files.

        Raises
        ------
        FileError
            A copy cannot be written; the tables are there all the same.
        """
        written: list[Path] = []
        if run.out is None:
            return []
        columns = run.settings.columns()
        for name in (RESULTS, STACKS, PATCHES):
            if self.parquet and name in run.tables:
                from microscope_quality.files.parquet import write_parquet

                written.append(write_parquet(run.out / name, columns[name]))
            else:
                (run.out / name).with_suffix(".parquet").unlink(missing_ok=True)
        if self.xlsx:
            from microscope_quality.files.spreadsheet import write_spreadsheet

            table, statuses = run.out / RESULTS, run.settings.measure.statuses
            written.append(write_spreadsheet(table, run.out / WORKBOOK, columns[RESULTS], statuses))
        return [path.name for path in written]

    def report_on(self, run: Run) -> list[str]:
        """Write the report, if it is wished for; gives its file's name."""
        if not self.report or run.out is None:
            return []
        from microscope_quality.cli.progress import bar
        from microscope_quality.report.write import write_report

        with bar("Writing the report") as move:
            page = write_report(
                run.out,
                jobs=run.jobs,
                limit_bytes=run.limit_bytes,
                budget=run.settings.budget,
                progress=move,
            )
        return [page.name]
