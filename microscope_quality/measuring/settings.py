"""How to measure files: by which measures, and what is kept of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from microscope_quality.batch.budget import Budget
from microscope_quality.errors import SettingsError
from microscope_quality.files.columns import (
    SATURATED,
    Column,
    names,
    patch_columns,
    result_columns,
    stack_columns,
)
from microscope_quality.files.tables import PATCHES, RESULTS, STACKS
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.measure import Measure
from microscope_quality.measuring.naming import AUTO, check_naming
from microscope_quality.version import __version__


@dataclass(frozen=True)
class Settings:
    """How to measure, the same for all planes of a run."""

    #: The first one judges; the others add columns.
    measures: tuple[Measure, ...] = field(default_factory=lambda: (Focus(),))
    luminance: bool = False
    keep_patches: bool = False
    #: Regular expression for plate, well, site, channel, z and t in names; see `Naming`.
    pattern: str | None = None
    #: How an instrument named the files; see `Naming`.
    layout: str = AUTO
    #: Folder for a picture of each plane, drawn as it is measured.
    pictures: Path | None = None
    #: Whether rows have a digest of their file, by which `verify` knows it again.
    digest: bool = True
    #: What the process at work on a file may take.
    budget: Budget = field(default_factory=Budget)

    @property
    def measure(self) -> Measure:
        """The one that judges."""
        return self.measures[0]

    def check(self) -> None:
        """Refuse settings that are wrong, before anything is measured.

        Raises
        ------
        MicroscopeQualityError
            They are, or what they name is not there.
        """
        listed = [measure.name for measure in self.measures]
        if not listed or len(set(listed)) < len(listed):
            raise SettingsError(
                f"measures must be different ones, one at least; they are: {', '.join(listed)}."
            )
        for measure in self.measures:
            measure.check()
        header = names(self.columns()[RESULTS])
        twice = next((name for name in header if header.count(name) > 1), "")
        if twice:
            raise SettingsError(f"measures must have different columns; two have {twice}.")
        if self.keep_patches and not self.measure.patch_columns:
            raise SettingsError(f"keep_patches needs a measure of patches; {listed[0]} has none.")
        check_naming(self.pattern, self.layout)

    def columns(self) -> dict[str, tuple[Column, ...]]:
        """Columns of all tables that a run may write, by the names of their files."""
        measure = self.measure
        others = tuple(_columns_of_others(self.measures))
        return {
            RESULTS: result_columns(
                measure.columns, measure.later_columns, others, measure.last_columns
            ),
            PATCHES: patch_columns(measure.patch_columns),
            STACKS: stack_columns(measure.column),
        }

    def tables(self) -> dict[str, tuple[str, ...]]:
        """Names of the columns of the tables that a page has rows for."""
        columns = self.columns()
        kept = (RESULTS, PATCHES) if self.keep_patches else (RESULTS,)
        return {table: names(columns[table]) for table in kept}

    def to_dict(self) -> dict[str, object]:
        """Give what decides about the rows, for a run's record.

        Those of further measures stand under the names of these.
        """
        first, *others = self.measures
        return {
            "measures": [measure.name for measure in self.measures],
            **first.settings(),
            **{measure.name: measure.settings() for measure in others if measure.settings()},
            "luminance": self.luminance,
            "per_patch": self.keep_patches,
            "pattern": self.pattern,
            "layout": self.layout,
            "digest": self.digest,
            "budget": self.budget.to_dict(),
        }

    def facts(self) -> dict[str, object]:
        """Give what a run's record says of the first model; of others, under their measures."""
        facts: dict[str, object] = {}
        for measure in self.measures:
            own = measure.facts()
            facts |= {measure.name: own} if facts and own else own
        return facts

    @property
    def id(self) -> str:
        """Name of what decides about a row beside its file: settings, models and version."""
        first, *others = self.measures
        facts = {
            **self.to_dict(),
            **_numeric_settings(first),
            **{one.name: _numeric_settings(one) for one in others if one.settings()},
            # They decide about no number.
            "pattern": None,
            "layout": None,
            "digest": None,
            "budget": None,
            "version": __version__,
            **first.identity(),
            **{f"{measure.name} by": measure.identity() for measure in others},
        }
        # As it was before there were others.
        if facts["measures"] == ["focus"]:
            del facts["measures"]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]

    def on_any_machine(self) -> Settings:
        """Give them with absolute paths, as another machine's processes need them."""
        return replace(
            self,
            measures=tuple(measure.on_any_machine() for measure in self.measures),
            pictures=self.pictures and self.pictures.absolute(),
        )


def _numeric_settings(measure: Measure) -> dict[str, object]:
    """Give the settings of a measure without those that decide about no number."""
    return {**measure.settings(), **dict.fromkeys(measure.judging)}


def _columns_of_others(measures: tuple[Measure, ...]) -> Iterator[Column]:
    """Columns of all but the first one, whose status is the row's; a shared one is there once."""
    shared = [SATURATED] if SATURATED in _columns_of(measures[0]) else []
    for measure in measures[1:]:
        for column in _columns_of(measure):
            if column.name != "status" and column not in shared:
                yield column
            shared += [SATURATED] if column is SATURATED else []


def _columns_of(measure: Measure) -> tuple[Column, ...]:
    return (*measure.columns, *measure.later_columns, *measure.last_columns)
