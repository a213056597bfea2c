"""Which images to keep, by limits: the lists that a report saves, without a browser.

A report's page decides by the same rule, in ``scripts/threshold.js``.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from microscope_quality.errors import SettingsError
from microscope_quality.files.regular import refusals
from microscope_quality.files.tables import GROUPS, check_replaceable
from microscope_quality.files.whole import whole
from microscope_quality.measuring.measure import Measure
from microscope_quality.measuring.run import check_folder
from microscope_quality.measuring.wells import well_position
from microscope_quality.report.rows import Rows
from microscope_quality.statuses import ERROR, Status

#: Names of the lists.
KEPT, REJECTED = "kept.csv", "rejected.csv"
# The last columns of the lists.
_REMARKS = ("reason", "message")

# Numbers have six digits in a table.
_ROUNDING = 1e-9
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# What a spreadsheet would run as a formula, and what is put before it.
_FORMULA = re.compile("[=+\\-@\t\r\n'＝＋－＠]")
_GUARD = "'"
_QUOTED = re.compile(r'[",\r\n]')


@dataclass(frozen=True)
class Limits:
    """What images have to keep to.

    Attributes
    ----------
    limit : float, optional
        The value that an image may have at worst; by default, the one of the measure's verdict.
        Where there is neither, every value will do.
    min_trust : float
        The least trust, 0 to 1.
    keeps_partly_bad, keeps_empty : bool
        Whether images that are partly bad are judged by their value, as others are, and whether
        those without content are kept. Otherwise both are rejected.
    """

    limit: float | None = None
    min_trust: float = 0.0
    keeps_partly_bad: bool = False
    keeps_empty: bool = False

    def check(self, measure: Measure) -> None:
        """Refuse limits that no image of a measure can have.

        Raises
        ------
        SettingsError
            A limit is out of its range, or the measure tells no trust.
        """
        low, high = measure.scale.low, measure.scale.high
        low, high = -math.inf if low is None else low, math.inf if high is None else high
        limit = self.limit
        if limit is not None and not (math.isfinite(limit) and low <= limit <= high):
            ends = "any number" if math.isinf(low + high) else f"from {low:g} to {high:g}"
            raise SettingsError(f"limit is {limit:g}, but {measure.nouns} are {ends}.")
        if not 0 <= self.min_trust <= 1:
            raise SettingsError(f"min_trust is {self.min_trust:g}, but has to be from 0 to 1.")
        if self.min_trust and not measure.trust:
            raise SettingsError(f"min_trust is given, but the measure {measure.name} tells none.")

    def of(self, measure: Measure) -> float | None:
        """Give the limit of the value; None where every one will do."""
        return measure.limit if self.limit is None else self.limit

    def drops(self, status: Status) -> bool:
        """Whether images with a status are rejected whatever their numbers are."""
        if status.is_choice:
            return not (self.keeps_empty if status.is_blank else self.keeps_partly_bad)
        # An image that is too small is of no empty well.
        return status is ERROR or status.is_blank or status.is_void


@dataclass(frozen=True, eq=False)
class Selection:
    """Images by whether they are kept.

    Attributes
    ----------
    rows : Rows
    limits : Limits
    reasons : list of str
        For each image why it is rejected: the column whose limit it misses, or its status. Empty
        for one that is kept.
    """

    rows: Rows
    limits: Limits
    reasons: list[str]

    @cached_property
    def kept(self) -> list[int]:
        """Images that are kept, as places in `Rows.images`."""
        return [image for image, reason in enumerate(self.reasons) if not reason]

    @cached_property
    def rejected(self) -> list[int]:
        """Images that are not."""
        return [image for image, reason in enumerate(self.reasons) if reason]

    def counted(self) -> list[tuple[int, str]]:
        """Count the rejected by why, in words."""
        measure = self.rows.measure
        words = {
            name: f"by their {measure.words(name)}"
            for name in (measure.value, measure.trust)
            if name
        }
        for status in measure.all_statuses:
            empty = status.is_blank and status.is_choice
            said = status.said if status.is_void else status.words
            words[status.key] = "without content" if empty else said
        counts = Counter(self.reasons)
        return [(counts[reason], said) for reason, said in words.items() if counts[reason]]

    @cached_property
    def immeasurable(self) -> list[int]:
        """Rejected images that have no value though they could be read: they are too small, say."""
        values = self.rows.columns[self.rows.measure.value]
        return [
            image
            for image in self.rejected
            if self.reasons[image] != ERROR.key and not values[self.rows.shown[image]]
        ]

    def wells(self) -> dict[str, list[str]]:
        """Give the wells with a rejected image, in their order, by plate."""
        plates, wells = self.rows.columns["plate"], self.rows.columns["well"]
        found: defaultdict[str, set[str]] = defaultdict(set)
        for image in self.rejected:
            row = self.rows.shown[image]
            if wells[row]:
                found[plates[row]].add(wells[row])
        return {plate: sorted(found[plate], key=_in_order) for plate in sorted(found)}

    def table(self, images: Sequence[int]) -> bytes:
        """Give the list of some images, as a report saves it: a row each, as RFC 4180 has it."""
        measure = self.rows.measure
        columns = _columns(measure)
        lines = [[*columns, *_REMARKS]]
        for image in images:
            fields = self.rows.row(self.rows.shown[image])
            if self.reasons[image]:
                # It may be rejected by another limit than the one that it was judged by.
                fields.update(zip(measure.causes, measure.remedy(fields)))
            told = (fields.get(name, "") for name in columns)
            lines.append([*told, self.reasons[image], fields.get("message", "")])
        return "".join(f"{','.join(map(as_field, line))}\r\n" for line in lines).encode()


def select(rows: Rows, limits: Limits = Limits()) -> Selection:
    """Decide for each image of a table whether it is kept.

    A z-stack is one image, judged by the plane that speaks for it.

    Parameters
    ----------
    rows : Rows
    limits : Limits

    Raises
    ------
    SettingsError
        No image of the measure can have these limits.
    """
    measure = rows.measure
    limits.check(measure)
    values = rows.numbers(measure.value)
    trusts = rows.numbers(measure.trust) if measure.trust else None
    sign = -1 if measure.good == "high" else 1
    limit = sign * math.inf if limits.of(measure) is None else limits.of(measure)

    def reason(row: int) -> str:
        status = rows.status[row]
        if limits.drops(status):
            return status.key
        if not status.is_judged:
            return ""
        if not sign * (values[row] - limit) <= _ROUNDING:
            return measure.value
        if trusts is not None and not trusts[row] >= limits.min_trust - _ROUNDING:
            return measure.trust
        return ""

    return Selection(rows, limits, [reason(row) for row in rows.shown])


def check_lists(folder: Path, measure: Measure) -> None:
    """Refuse a folder for the lists in which other files have their names.

    Raises
    ------
    FileError
        It has.
    SettingsError
        It is named as a table is.
    """
    check_folder(folder)
    for name in (KEPT, REJECTED):
        check_replaceable(folder / name, [*_columns(measure), *_REMARKS])


def write_lists(selection: Selection, folder: Path) -> None:
    """Write ``kept.csv`` and ``rejected.csv``; older ones are replaced, each in one step.

    Parameters
    ----------
    selection : Selection
    folder : Path
        Made if it is missing.

    Raises
    ------
    FileError
        Other files have these names, or nothing can be written there.
    SettingsError
        The folder is named as a table is.
    """
    check_lists(folder, selection.rows.measure)
    with refusals(folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
    for name, images in ((KEPT, selection.kept), (REJECTED, selection.rejected)):
        with whole(folder / name) as beside:
            beside.write_bytes(selection.table(images))


def _columns(measure: Measure) -> list[str]:
    """Columns of the lists but for the remarks, as ``scripts/threshold.js`` has them."""
    return ["file", "series", "z", "c", "t", *GROUPS, *measure.listed, "status"]


def as_field(text: str) -> str:
    """Quote a field, and guard what a spreadsheet would run, as ``scripts/download.js`` does."""
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        text = f"{_GUARD}{text}"
    if _QUOTED.search(text):
        text = '"' + text.replace('"', '""') + '"'
    return text


def _in_order(well: str) -> tuple[bool, tuple[int, int], str]:
    place = well_position(well)
    return place is None, place or (0, 0), well
