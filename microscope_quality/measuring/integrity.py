"""Whether a folder of results holds together, and fits the model and the images that are there."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from microscope_quality.batch.run import run
from microscope_quality.batch.run_record import RUN_RECORD, checksum_of, read_record
from microscope_quality.errors import FileError, MicroscopeQualityError, ModelNotFoundError
from microscope_quality.files.digest import digest_of
from microscope_quality.files.images import find
from microscope_quality.files.regular import open_regular
from microscope_quality.files.tables import (
    CHECKSUM,
    PATCHES,
    RESULTS,
    STACKS,
    as_text,
    is_as_written,
    names_stored_as,
    read_table,
)
from microscope_quality.measuring.items import Place, identity
from microscope_quality.measuring.measure import Row, as_mapping
from microscope_quality.measuring.measures import recorded_measures
from microscope_quality.measuring.rows import PlaneRow, RowReader, images_of, stack_row, units_of
from microscope_quality.measuring.settings import Settings
from microscope_quality.model import DEFAULT_MODEL, available_models
from microscope_quality.model import verify as verify_model
from microscope_quality.version import __version__

#: Of what differs, so much is told by name.
MOST_TOLD = 5
_LONGEST_NAME = 200

# What is said of a run by its status.
_UNFINISHED = {
    "running": "The run goes on, or was killed; the same command finishes it.",
    "interrupted": "The run was interrupted; the same command finishes it.",
    "failed": "The run failed; the same command finishes it.",
}

# Of a z-stack: file, series, c and t, as texts.
_Stack = tuple[str, str, str, str]


@dataclass
class Check:
    """What was held against what, and what came of it.

    Attributes
    ----------
    what : str
        In a few words.
    unit : str
        What is counted, such as ``"row"``.
    checked : int
        How many of these were looked at.
    differ : int
        How many of them are not as they should be.
    told : list of str
        The first of these, each in a few words that name it.
    note : str
        What else is to be known, such as why nothing could be checked.
    remark : str
        A sentence that belongs to the verdict on all: that the run is not finished.
    """

    what: str
    unit: str
    checked: int = 0
    differ: int = 0
    told: list[str] = field(default_factory=list)
    note: str = ""
    remark: str = ""

    def tell(self, what: str) -> None:
        """Count something that is not as it should be."""
        self.differ += 1
        if len(self.told) < MOST_TOLD:
            self.told.append(what)


@dataclass(frozen=True)
class MeasuredImage:
    """An image as it was when it was measured, in the words of its rows."""

    name: str
    size_bytes: str
    modified: str
    sha256: str


@dataclass(frozen=True)
class _Compared:
    """What became of an image: how it differs, or else whether its time alone does."""

    fault: str = ""
    dated: bool = False
    missing: bool = False


def check_results(results: Path) -> tuple[list[Check], list[MeasuredImage]]:
    """Hold a folder of results against itself and the model that it names; nothing is written.

    Parameters
    ----------
    results : Path
        Folder that a run wrote.

    Returns
    -------
    list of Check
    list of MeasuredImage
        What `check_images` can look at.

    Raises
    ------
    FileError
        There is no such folder, or nothing of a run in it.
    """
    if not results.is_dir():
        raise FileError(f"{results}: is no folder; name one that measure or watch wrote")
    if not any((results / name).exists() for name in (RESULTS, RUN_RECORD)):
        inner = sorted(path.parent.name for path in results.glob(f"*/{RESULTS}"))
        hint = f"; {', '.join(inner[:3])} in it has" if inner else ""
        raise FileError(f"{results}: has neither {RESULTS} nor {RUN_RECORD}, so no results{hint}")
    record, of_record = _check_record(results)
    look = _Look(results, record)
    look.at_results()
    look.at_stacks()
    look.at_patches()
    return [of_record, *look.checks(), _check_model(record)], look.images


def check_images(
    images: Sequence[MeasuredImage],
    folder: Path,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Check:
    """Hold images against their rows: size, and content or else time.

    Those that are not there are looked for in the folder by their digests.

    Parameters
    ----------
    images
        As `check_results` gives them.
    folder
        What their names are relative to.
    jobs
        Number of processes that read them.
    progress
        Called with the numbers of images done and of all.
    """
    check = Check("images", "file")
    items = [(folder, image) for image in images]
    jobs = max(1, min(jobs, len(items)))
    compared: list[tuple[MeasuredImage, _Compared]] = []
    for outcome in run(_compare, items, jobs=jobs):
        compared.append((outcome.item[1], outcome.value or _Compared(outcome.error)))
        if progress is not None:
            progress(len(compared), len(items))
    moved = _moved([image for image, one in compared if one.missing], images, folder, jobs)
    check.checked = len(compared)
    for image, one in compared:
        if one.fault:
            place = moved.get(image.name)
            where = "" if place is None else f"; {place[:_LONGEST_NAME]} has its content"
            check.tell(f"{image.name[:_LONGEST_NAME]}: {one.fault}{where}")
    notes = {
        "moved: others of the same content are there": len(moved),
        "with the same content and another time": sum(one.dated for _, one in compared),
        "without a digest, by size and time alone": sum(not image.sha256 for image in images),
    }
    check.note = "; ".join(f"{number:,} {words}" for words, number in notes.items() if number)
    return check


def _moved(
    missing: Sequence[MeasuredImage], images: Sequence[MeasuredImage], folder: Path, jobs: int
) -> dict[str, str]:
    """Find images under other names in a folder, by their sizes and digests; gives these names."""
    sizes = {image.size_bytes for image in missing if image.sha256}
    if not sizes:
        return {}
    known = {name for image in images for name in names_stored_as(image.name)}
    others = [(name, path) for name, path in find([folder]) if name not in known]
    alike = [(name, path) for name, path in others if str(identity(path)[0]) in sizes]
    found = {
        outcome.value: outcome.item[0]
        for outcome in run(_digest, alike, jobs=max(1, min(jobs, len(alike))))
        if outcome.value
    }
    return {image.name: found[image.sha256] for image in missing if image.sha256 in found}


def _digest(file: tuple[str, Path]) -> str:
    return digest_of(file[1])


def _compare(item: tuple[Path, MeasuredImage]) -> _Compared:
    """Hold an image against its rows."""
    folder, image = item
    paths = [folder / name for name in names_stored_as(image.name)]
    path, (size_bytes, modified) = next(
        ((path, known) for path in paths if (known := identity(path))[1]), (paths[0], (0, ""))
    )
    if not modified:
        return _Compared("is not there", missing=True)
    if str(size_bytes) != image.size_bytes:
        return _Compared(f"has {size_bytes} bytes, and had {image.size_bytes}")
    if not image.sha256:
        if modified == image.modified:
            return _Compared()
        return _Compared(f"has the time {modified}, and had {image.modified}")
    try:
        digest = digest_of(path)
    except FileError as error:
        return _Compared(str(error))
    if digest != image.sha256:
        return _Compared("has other content than when it was measured")
    return _Compared(dated=modified != image.modified)


def _check_record(results: Path) -> tuple[dict[str, Any], Check]:
    check = Check(RUN_RECORD, "file", checked=1)
    path = results / RUN_RECORD
    try:
        record = read_record(path)
        fits = record.get(CHECKSUM) in (None, checksum_of(record))
    except (FileError, RecursionError) as error:
        check.tell(str(error))
        return {}, check
    if not fits:
        check.tell("its checksum does not fit: it was changed since it was written")
    status = record.get("status")
    if isinstance(status, str) and status in _UNFINISHED:
        check.remark = _UNFINISHED[status]
    if CHECKSUM not in record:
        check.note = "of a version without checksums"
    return record, check


def _check_model(record: Mapping[str, Any]) -> Check:
    """Hold the model of the run's record against the one that has its name now."""
    check = Check("model", "model")
    known, settings = (as_mapping(record.get(name)) for name in ("model", "settings"))
    wanted, name = known.get("sha256"), settings.get("model")
    # Settings of a measure that does not judge stand under its name.
    for own in map(as_mapping, settings.values()):
        name = own.get("model") if name is None else name
    if not isinstance(wanted, str) or not isinstance(name, (str, type(None))):
        check.note = f"{RUN_RECORD} names none"
        return check
    name = name or DEFAULT_MODEL
    try:
        found = verify_model(available_models().get(name, Path(name))).sha256
    except ModelNotFoundError:
        check.note = f"{name[:_LONGEST_NAME]} is not here"
        return check
    except (MicroscopeQualityError, OSError, ValueError) as error:
        check.tell(str(error))
        return check
    check.checked = 1
    if found != wanted:
        check.tell(f"{name[:_LONGEST_NAME]} is another one now: its checksum is {found[:12]}…")
    return check


class _Look:
    """A look at the tables of a folder, one after the other; what they say is counted."""

    def __init__(self, results: Path, record: Mapping[str, Any]) -> None:
        self.images: list[MeasuredImage] = []
        self._results = results
        self._record = record
        self._measured_by(())
        self._columns = Check("columns of tables", "column")
        self._whole = Check("rows that can be read", "row")
        self._checksums = Check("checksums of rows", "row")
        self._values = Check("values of rows", "row")
        self._together = Check("rows of a file together, each plane once", "plane")
        self._settings = Check(f"settings of rows and of {RUN_RECORD}", "plane")
        self._counts = Check(f"counts of {RUN_RECORD}", "number")
        self._stacks = Check("z-stacks and their planes", "z-stack")
        self._digests = Check("digests of images", "file")
        self._patches = Check("patches and their files", "file")
        # How many planes of a file have a value, and so patches.
        self._files: dict[str, int] = {}
        self._expected: dict[_Stack, tuple[set[str], dict[str, str]]] = {}
        self._found: Counter[str] = Counter()

    def _measured_by(self, header: Sequence[str]) -> None:
        """Take the measures that the record names, as far as it is there, and the table shows."""
        settings = Settings(measures=recorded_measures(self._record, header))
        self._measure = settings.measure
        columns = settings.columns()
        self._known = {table: {one.name: one for one in columns[table]} for table in columns}
        self._reader = RowReader(self._measure, columns[RESULTS])

    def checks(self) -> list[Check]:
        """Give what came of it."""
        parts = [name for name in (RESULTS, PATCHES) if (self._results / f"{name}.part").exists()]
        if parts:
            self._whole.note = (
                f"not looked at: {parts[0]}.part, of a run that goes on or was interrupted"
            )
        return [
            *(self._columns, self._whole, self._checksums, self._values, self._together),
            *(self._settings, self._counts, self._stacks, self._patches, self._digests),
        ]

    def _rows(self, table: str) -> Iterator[dict[str, str]]:
        """Rows of a table, which are held against their checksums."""
        header: list[str] = []
        try:
            for number, row in enumerate(read_table(self._results / table), 1):
                if not header:
                    header = list(row)
                    self._look_at_header(table, header)
                self._whole.checked += 1
                if CHECKSUM in row:
                    self._checksums.checked += 1
                    if not is_as_written(header, list(row.values())):
                        self._checksums.tell(f"{table}, row {number}: {_named(row)}")
                yield row
            if not _ends_whole(self._results / table):
                self._whole.tell(f"{table}: its last row is cut off")
        except OSError as error:
            self._whole.checked += 1
            self._whole.tell(str(error))

    def _look_at_header(self, table: str, header: Sequence[str]) -> None:
        self._columns.checked += len(header)
        if table == RESULTS:
            self._measured_by(header)
        wanted = list(self._known[table])
        unknown = [name for name in header if name not in wanted]
        for name in unknown:
            self._columns.tell(
                f"{table} has a column {name[:_LONGEST_NAME]!r}, which no run writes"
            )
        # An older version had fewer; a column that was taken out since is missed by the checksums.
        if not unknown and list(header) != [name for name in wanted if name in header]:
            self._columns.tell(f"{table} has not the columns of a run in their order")
        elif not unknown and len(header) < len(wanted):
            missing = ", ".join(name for name in wanted if name not in header)
            self._columns.note = f"{table} is of an older version, without {missing}"
        if CHECKSUM not in header:
            self._checksums.note = f"{table} is of a version without them"

    # The first table.

    def at_results(self) -> None:
        """Look at the rows of planes."""
        is_finished = self._record.get("status") == "finished"
        for unit in units_of(self._planes(), is_finished=is_finished):
            self._expect_stacks(unit)
        self._compare_counts()
        self._count_digests()

    def _planes(self) -> Iterator[PlaneRow]:
        """Look at the rows of each file; gives its planes."""
        rows = self._rows(RESULTS)
        for name, of_file in itertools.groupby(rows, key=lambda row: row["file"]):
            if name in self._files:
                self._together.tell(f"{_short(name)} has rows in several places")
            yield from self._look_at_file(name, of_file)

    def _look_at_file(self, name: str, rows: Iterable[Row]) -> list[PlaneRow]:
        planes: list[PlaneRow] = []
        places: set[Place] = set()
        versions: list[MeasuredImage] = []
        with_value = 0
        for row in rows:
            self._count(row)
            # What could not be measured has no digest.
            if not row.get("error"):
                facts = (row.get(column, "") for column in ("size_bytes", "modified", "sha256"))
                versions.append(MeasuredImage(name, *facts))
            fault = self._reader.fault(row)
            if fault:
                self._values.tell(f"{RESULTS}, {_named(row)}: {fault}")
                continue
            plane = PlaneRow.of(self._measure, row)
            if plane.place in places:
                self._together.tell(f"{_named(row)} has several rows")
            places.add(plane.place)
            planes.append(plane)
            with_value += bool(row.get(self._measure.value))
        self._files[name] = self._files.get(name, 0) + with_value
        if len(set(versions)) > 1:
            self._together.tell(f"{_short(name)} has rows of several sizes, times or digests")
        self.images += [version for version in versions if version.modified][:1]
        return planes

    def _count(self, row: Row) -> None:
        self._values.checked += 1
        self._together.checked += 1
        self._found["planes"] += 1
        self._found["failed" if row.get("error") else row.get("status", "")] += 1
        wanted = self._record.get("settings_id")
        if isinstance(wanted, str) and "settings_id" in row:
            self._settings.checked += 1
            if row["settings_id"] != wanted:
                self._settings.tell(f"{_named(row)} was measured with other settings")

    def _count_digests(self) -> None:
        """Say of how many files the content cannot be known again."""
        self._digests.checked = sum(bool(image.sha256) for image in self.images)
        lacking = len(self.images) - self._digests.checked
        notes = [f"{lacking:,} without one: no digest was taken"] if lacking else []
        failed = len(self._files) - len(self.images)
        notes += [f"{failed:,} without one: could not be measured"] if failed > 0 else []
        self._digests.note = "; ".join(notes)

    def _compare_counts(self) -> None:
        counts = self._record.get("counts")
        if self._record.get("status") != "finished" or not isinstance(counts, Mapping):
            self._counts.note = "the run is not finished"
            return
        found = {"files": len(self._files)}
        statuses = [status.key for status in self._measure.statuses]
        # A watch counts files by their verdicts, not planes.
        if "planes" in counts:
            found.update({name: self._found[name] for name in ("planes", "failed", *statuses)})
        for name, number in found.items():
            if name in counts:
                self._counts.checked += 1
                if counts[name] != number:
                    told = str(counts[name])[:_LONGEST_NAME]
                    self._counts.tell(f"{name}: {number} in {RESULTS}, {told} in {RUN_RECORD}")

    # Stacks and patches.

    def _expect_stacks(self, planes: Sequence[PlaneRow]) -> None:
        for image in images_of(planes):
            row = stack_row(image)
            if row is not None:
                text = as_text(row, list(self._known[STACKS]))
                self._expected[_stack_of(text)] = {str(plane.place.z) for plane in image}, text

    def at_stacks(self) -> None:
        """Look at the rows of z-stacks."""
        seen: set[_Stack] = set()
        self._stacks.checked = len(self._expected)
        if (self._expected and not self._is_waiting) or (self._results / STACKS).exists():
            for row in self._rows(STACKS):
                fault = self._fault_of_stack(row, seen)
                if fault:
                    self._stacks.tell(f"{_named(row)}: {fault}")
                seen.add(_stack_of(row))
        missing = self._expected.keys() - seen
        if self._is_waiting:
            self._stacks.note = "stacks of a watch wait for their planes"
            missing = set()
        for stack in missing:
            self._stacks.tell(f"{_short(stack[0])}: has no row in {STACKS}")

    @property
    def _is_waiting(self) -> bool:
        """Whether a watch was left while planes waited for those of their stacks."""
        counts = as_mapping(self._record.get("counts"))
        return self._record.get("status") != "finished" and bool(counts.get("waiting"))

    def _fault_of_stack(self, row: Row, seen: set[_Stack]) -> str:
        """Say what in the row of a z-stack does not go with the rows of its planes."""
        self._look_at_values(STACKS, row)
        stack = _stack_of(row)
        if stack in seen:
            return f"has several rows in {STACKS}"
        if stack not in self._expected:
            return f"has a row in {STACKS} and no planes in {RESULTS}"
        zs, wanted = self._expected[stack]
        if row.get("best_z") and row["best_z"] not in zs:
            return f"its best_z is {row['best_z'][:40]!r}, of which there is no plane"
        # By another version or other settings, another plane may be the best one.
        versions = self._record.get("versions")
        version = versions.get("microscope-quality") if isinstance(versions, Mapping) else None
        # What came since it was judged is waited for.
        fewer = self._is_waiting and row.get("planes") != wanted["planes"]
        if version == __version__ and not self._settings.differ and not fewer:
            told = ("best_z", self._measure.value, "status", "best_position", "planes", "best_file")
            for name in told:
                # Some columns came later.
                found = row.get(name, wanted[name])
                if found != wanted[name]:
                    return f"its {name} is {found[:40]!r}, and by its planes {wanted[name]!r}"
        return ""

    def _look_at_values(self, table: str, row: Row) -> None:
        self._values.checked += 1
        known = self._known[table]
        faults = (known[name].fault(text) for name, text in row.items() if name in known)
        fault = next(filter(None, faults), "")
        if fault:
            self._values.tell(f"{table}, {_named(row)}: {fault}")

    def at_patches(self) -> None:
        """Look at the rows of patches."""
        settings = self._record.get("settings")
        wanted = isinstance(settings, Mapping) and settings.get("per_patch") is True
        if not wanted and not (self._results / PATCHES).exists():
            self._patches.note = "none were asked for"
            return
        seen: set[str] = set()
        sampled = self._measure.is_sample
        rows = self._rows(PATCHES)
        for name, of_file in itertools.groupby(rows, key=lambda row: row["file"]):
            self._patches.checked += 1
            if name in seen:
                self._patches.tell(f"{_short(name)} has rows in several places of {PATCHES}")
            elif name not in self._files:
                self._patches.tell(f"{_short(name)} is not in {RESULTS}")
            seen.add(name)
            planes: dict[tuple[str, ...], Counter[tuple[str, str]]] = {}
            for row in of_file:
                self._look_at_values(PATCHES, row)
                place = tuple(row.get(axis, "") for axis in ("series", "z", "c", "t"))
                planes.setdefault(place, Counter())[row.get("y", ""), row.get("x", "")] += 1
            if len(planes) < self._files.get(name, 0):
                self._patches.tell(f"{_short(name)} has planes without rows in {PATCHES}")
            elif not all(_is_whole(one, sampled=sampled) for one in planes.values()):
                self._patches.tell(f"{_short(name)} lacks rows in {PATCHES}, or has some twice")
        for name, with_value in self._files.items():
            if with_value and name not in seen:
                self._patches.tell(f"{_short(name)} has no row in {PATCHES}")


def _is_whole(places: Counter[tuple[str, str]], *, sampled: bool) -> bool:
    """Whether a plane has patches at all of some rows and columns, or with a sample at some.

    None is there twice.
    """
    ys, xs = ({place[axis] for place in places} for axis in (0, 1))
    whole = sampled or len(places) == len(ys) * len(xs)
    return whole and max(places.values()) == 1


def _ends_whole(path: Path) -> bool:
    """Whether a table that is not empty ends with the end of a line."""
    with open_regular(path) as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def _short(name: str) -> str:
    return name[:_LONGEST_NAME] or "a file without a name"


def _named(row: Row) -> str:
    """Name the plane of a row, whatever stands there."""
    axes = [f"{axis}{row[axis][:20]}" for axis in ("series", "z", "c", "t") if row.get(axis)]
    return " ".join([_short(row["file"]), *axes])


def _stack_of(row: Row) -> _Stack:
    return row["file"], row.get("series", ""), row.get("c", ""), row.get("t", "")
