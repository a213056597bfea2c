"""The tables of a watch: rows of files with what their names tell, and those of their stacks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from microscope_quality.batch.results import Results
from microscope_quality.errors import FileError
from microscope_quality.files.columns import names
from microscope_quality.files.tables import PATCHES, RESULTS, STACKS, as_text
from microscope_quality.measuring.file_verdicts import Verdict, verdict_of
from microscope_quality.measuring.naming import (
    Named,
    Naming,
    axes_of_name,
    is_of_set,
    renamed,
    with_name,
)
from microscope_quality.measuring.reading import stack_rows
from microscope_quality.measuring.rows import PlaneRow
from microscope_quality.measuring.settings import Settings
from microscope_quality.measuring.watch_units import Said, Units

Texts = dict[str, str]


class WatchTables:
    """Keeps the rows of a watch as its files, and what their names tell, come to be known.

    Parameters
    ----------
    results
        The tables.
    settings
        How it is measured.
    naming
        Of all files that were seen.
    units
        Of those that were measured.
    refused
        Is told why the disk takes nothing, and with an empty sentence that it does.

    Attributes
    ----------
    told : dict of str to Named
        What the names of files told when their rows were kept.
    rejudged : dict of str to list of dict
        Rows of files that are judged otherwise than when they were kept.
    to_rename : dict of str to None
        Files of whose names something else may be told now.
    to_restack : dict of str to None
        Units that were judged, and whose stacks are to be told anew.
    unwritten : bool
        Whether rows were kept that nobody put in their places yet.
    """

    def __init__(
        self,
        results: Results,
        settings: Settings,
        naming: Naming,
        units: Units,
        refused: Callable[[str], None],
    ) -> None:
        self._results = results
        self._settings = settings
        self._naming = naming
        self._units = units
        self._refused = refused
        self._columns = {table: names(of_table) for table, of_table in settings.columns().items()}
        self.told: dict[str, Named] = {}
        self.rejudged: dict[str, list[Texts]] = {}
        self.to_rename: dict[str, None] = {}
        self.to_restack: dict[str, None] = {}
        self.unwritten = False

    # What rows say.

    def planes(self, rows: Iterable[Mapping[str, str]]) -> list[PlaneRow]:
        """Give the planes of rows."""
        return [PlaneRow.of(self._settings.measure, row) for row in rows]

    def stacks(self, planes: Iterable[PlaneRow]) -> list[Texts]:
        """Give the rows of the z-stacks that planes are."""
        return stack_rows(planes, self._columns[STACKS])

    def verdict(self, files: Iterable[str]) -> Verdict:
        """Judge files by their rows."""
        planes = [plane for name in files for plane in self.planes(self._results.rows(name))]
        return verdict_of(planes, self.stacks(planes))

    def remember(self, *keys: str) -> None:
        """Note what was said of units, if they were judged, before files of them change."""
        for key in keys:
            unit = self._units.get(key)
            if unit is not None and not unit.is_open:
                unit.said = {key: Said(self.verdict(unit.files), frozenset(unit.files))}

    def unit_of(self, name: str, rows: Sequence[Mapping[str, str]]) -> tuple[str, bool]:
        """Tell to which unit a file belongs by its rows, and whether that waits for others."""
        if not self._settings.measure.has_stacks:
            return name, False
        stack = next((row["stack"] for row in rows if row["stack"]), "")
        shared = any(row["z"] for row in rows) if is_of_set(stack) else "z" in axes_of_name(rows)
        if shared:
            return stack, True
        # The first plane of a stack tells nothing of the others.
        return name, self._naming.may_be_plane(name) and not any(row["z"] for row in rows)

    def with_name(self, rows: Mapping[str, list[Texts]], named: Named) -> dict[str, list[Texts]]:
        """Give fresh rows of a file with what its name tells."""
        return {
            table: [as_text(row, self._columns[table]) for row in of_table]
            for table, of_table in with_name(rows, named).items()
        }

    # What is written.

    def append(self, name: str, rows: Mapping[str, list[Texts]], stacks: list[Texts]) -> bool:
        """Keep the rows of a file; False if the disk refuses."""
        try:
            self._results.append(name, {**rows, STACKS: stacks})
        except FileError as error:
            self._refused(f"{error}; it is tried again")
            return False
        self._refused("")
        self.unwritten = True
        return True

    def rejudge(self) -> bool:
        """Write rows that are judged otherwise; False if the disk refuses."""
        while self.rejudged:
            name, rows = next(iter(self.rejudged.items()))
            again = {RESULTS: rows}
            if self._settings.keep_patches:
                again[PATCHES] = self._results.rows(name, PATCHES)
            if not self.append(name, again, self._results.rows(name, STACKS)):
                return False
            self.to_restack[self._units.key(name)] = None
            del self.rejudged[name]
        return True

    def rename(self) -> bool:
        """Write what names tell now into rows that are kept; False if the disk refuses."""
        if not self.rejudge():
            return False
        while self.to_rename:
            name = next(iter(self.to_rename))
            named = self._naming[name]
            if self.told.get(name) != named:
                if not self._rename_rows(name, named):
                    return False
                self.told[name] = named
            del self.to_rename[name]
        while self.to_restack:
            key = next(iter(self.to_restack))
            unit = self._units.get(key)
            if unit is not None and not unit.is_open and self.write_stacks(key) is None:
                return False
            del self.to_restack[key]
        return True

    def _rename_rows(self, name: str, named: Named) -> bool:
        tables = (RESULTS, PATCHES) if self._settings.keep_patches else (RESULTS,)
        rows = {table: self._results.rows(name, table) for table in tables}
        again = renamed(rows, named)
        key, waits = self.unit_of(name, again[RESULTS])
        if self._units.key(name) != key:
            self.remember(self._units.key(name), key)
        if again[RESULTS] != rows[RESULTS]:
            stacks = self.stacks(self.planes(again[RESULTS])) if key == name else []
            if not self.append(name, again, stacks):
                return False
            self.to_restack[self._units.key(name)] = self.to_restack[key] = None
        self._units.move(name, key, waits=waits)
        return True

    def write_stacks(self, key: str) -> tuple[list[PlaneRow], list[Texts]] | None:
        """Keep the rows of a unit's stacks, with the file that they name.

        Returns
        -------
        list of PlaneRow, list of dict
            Its planes, and these rows; None if the disk refuses.
        """
        rows = {name: self._results.rows(name) for name in self._units[key].files}
        planes = self.planes(itertools.chain.from_iterable(rows.values()))
        stacks = self.stacks(planes)
        for name, of_file in rows.items():
            wanted = [stack for stack in stacks if stack["file"] == name]
            if self._results.rows(name, STACKS) == wanted:
                continue
            again = {RESULTS: of_file}
            if self._settings.keep_patches:
                again[PATCHES] = self._results.rows(name, PATCHES)
            if not self.append(name, again, wanted):
                return None
        return planes, stacks

    def in_order(self) -> list[str]:
        """Give the files as they came, those of a stack one behind the other."""
        return self._naming.by_stacks(self._results.files(), self._units.key)
