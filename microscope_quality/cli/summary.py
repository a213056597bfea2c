"""What a run shows on the screen: every plane of a few, what stands out of many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from rich.table import Table
from rich.text import Text

from microscope_quality.cli.wording import (
    OTHER_COLUMNS,
    counted,
    edited,
    first_of,
    kept_in,
    shortened,
    style_of,
)
from microscope_quality.errors import printable
from microscope_quality.files.left_out import LeftOutCounts, in_words
from microscope_quality.files.ome_zarr import is_zarr
from microscope_quality.files.pictures import OVERLAYS
from microscope_quality.files.spreadsheet import WORKBOOK
from microscope_quality.files.tables import as_number
from microscope_quality.measuring.measure import Measure, Row, block
from microscope_quality.measuring.naming import axes_of_name
from microscope_quality.measuring.rows import PlaneRow, StackSizes
from microscope_quality.measuring.run import MOST_DOUBTFUL, Run
from microscope_quality.report import REPORT
from microscope_quality.statuses import ERROR, Status

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from microscope_quality.measuring.best_planes import BestPlanes

#: Planes of which each has a line of its own.
MOST_LINES = 24
# Head of a column, and the side that its fields begin at.
_Column = tuple[str, Literal["left", "right"]]
#: Planes that are named as standing out of more than that.
MOST_NAMED = 5


class Summary:
    """What stands out of a run, in memory that does not grow with it."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._head = measure.cells({})[0].head
        self._n_planes = 0
        self._lines: list[PlaneRow] = []
        self._worst: list[PlaneRow] = []
        # Images by what is wrong with them and what to do about it.
        self._causes: Counter[tuple[str, ...]] = Counter()
        self._failed: list[PlaneRow] = []
        # Images by the bin of the scale that they are counted by.
        self._bins: Counter[int] = Counter()
        # Of a z-stack: its name, its row, and the value at each z.
        self._stacks: list[tuple[str, Row, list[float]]] = []
        self._n_stacks = 0
        self._sizes = StackSizes()
        self._notes: Counter[str] = Counter()
        self._first_noted: dict[str, str] = {}

    def plane(self, plane: PlaneRow) -> None:
        """Count a plane."""
        row = plane.row
        self._n_planes += 1
        if row["message"]:
            self._notes[row["message"]] += 1
            self._first_noted.setdefault(row["message"], _name(plane))
        if len(self._lines) <= MOST_LINES:
            self._lines.append(plane)
        if plane.error and len(self._failed) < MOST_LINES:
            self._failed.append(plane)

    def image(self, planes: Sequence[PlaneRow], speaker: PlaneRow, stack: Row | None) -> None:
        """Count an image: a plane, or a z-stack by its best one."""
        measure = self._measure
        self._causes[tuple(speaker.row.get(name, "") for name in measure.causes)] += 1
        judged = measure.judged(speaker.row)
        if judged is not None:
            if measure.scale.bins:
                self._bins[measure.scale.bin(judged)] += 1
            if measure.limit is None or speaker.kind.badness:
                self._worst.append(speaker)
                self._worst.sort(key=lambda one: -measure.badness(measure.number(one.row)))
                del self._worst[MOST_NAMED:]
        if stack is None:
            return
        self._n_stacks += 1
        self._sizes.add(planes)
        if len(self._stacks) < MOST_LINES:
            values = [math.nan] * ((planes[-1].place.z or 0) + 1)
            for plane in planes:
                if plane.kind.is_judged:
                    values[plane.place.z or 0] = self._measure.number(plane.row)
            # What the files' names told is in that of their stack.
            of_name = axes_of_name([planes[0].row])
            place = replace(planes[0].place, **{"z": None, **dict.fromkeys(of_name)})
            self._stacks.append((f"{planes[0].unit} {place}".rstrip(), stack, values))

    def show(self, console: Console, run: Run) -> None:
        """Print the tables of a run."""
        if self._n_planes <= MOST_LINES:
            self._show_each(console)
        else:
            self._show_counts(console, run)
            self._show_causes(console)
            worst = [self._measure.advice(one.row) for one in self._worst]
            self._show_named(console, self._measure.worst, self._worst, worst)
            doubtful = run.doubtful[:MOST_NAMED]
            planes, why = [one.plane for one in doubtful], [one.why for one in doubtful]
            self._show_named(console, "Doubtful, worth a look", planes, why)
        self._show_stacks(console)
        if self._failed:
            console.print(Text("\nNot measured", "dim"))
            for plane in self._failed:
                console.print(
                    Text.assemble((printable(_name(plane)), "bold"), " ", printable(plane.error))
                )
            _show_more(console, run.planes[ERROR.key] - len(self._failed))
        if self._notes:
            console.print(Text("\nNotes", "dim"))
        for note, count in self._notes.most_common(MOST_NAMED):
            name = printable(self._first_noted[note])
            planes_noted = f"{name}: " if count == 1 else f"{count:,} planes, {name} first: "
            console.print(Text.assemble((planes_noted, "dim"), note))

    def _show_each(self, console: Console) -> None:
        planes = self._lines
        cells = [self._measure.cells(plane.row) for plane in planes]
        columns = list(zip(*cells))
        # A column without a text has no head either.
        heads = [
            column[0].head if any(text for cell in column for text, _ in cell.parts) else ""
            for column in columns
        ]
        places = max(len(str(plane.place)) for plane in planes)
        verdict = max(len(_verdict(status)) for status in self._measure.all_statuses)
        widths = [
            max(len(head), *(sum(len(text) for text, _ in cell.parts) for cell in column))
            for head, column in zip(heads, columns)
        ]
        room = console.width - (max(places, 5) if places else 0) - verdict
        room -= sum(widths) + 2 * (len(heads) + 2)
        table = _table(
            ("Image", "left"),
            ("Plane" if places else "", "left"),
            *(
                (head, "right" if column[0].right else "left")
                for head, column in zip(heads, columns)
            ),
            ("Verdict", "left"),
        )
        for plane, of_plane in zip(planes, cells):
            table.add_row(
                shortened(printable(plane.name), room),
                str(plane.place),
                *(Text.assemble(*cell.parts) for cell in of_plane),
                _verdict(plane.kind),
            )
        console.print(table)

    def _show_counts(self, console: Console, run: Run) -> None:
        statuses, measure = self._measure.all_statuses, self._measure
        counted_as = run.images if self._n_stacks else run.planes
        n_counted = counted_as.total()
        if self._n_stacks:
            console.print(Text(counted(n_counted, "image"), "bold"))
            console.print(f"of {self._n_planes:,} planes: a z-stack counts by its best plane")
        else:
            console.print(Text(f"{self._n_planes:,} planes", "bold"))
        table = _table(("", "left"), ("", "right"), ("", "right"), ("", "left"), header=False)
        for status in statuses:
            count = counted_as[status.key]
            if count:
                share = count / n_counted
                bar = Text("█" * max(1, round(share * 32)), style_of(status))
                table.add_row(_verdict(status), f"{count:,}", f"{share:.1%}", bar)
        console.print(table)
        counts = [self._bins[k] for k in range(measure.scale.bins)]
        most = max(counts, default=0)
        if most:
            width = max(3, len(f"{most:,}"))
            numbers: list[_Column] = [(f"{k:>{width}}", "right") for k in range(len(counts))]
            table = _table((self._head, "left"), *numbers)
            table.add_row(
                Text("Images" if self._n_stacks else "Planes", "dim"),
                *(f"{n:,}" if n else Text("·", "dim") for n in counts),
            )
            table.add_row(
                "",
                *(
                    Text(block(n / most) * width if n else "", colour)
                    for n, colour in zip(counts, measure.scale.colours)
                ),
            )
            console.print()
            console.print(table)

    def _show_causes(self, console: Console) -> None:
        known = [(pair, count) for pair, count in self._causes.most_common() if any(pair)]
        if not known:
            return
        table = _table(("Cause", "left"), ("What to do", "left"), ("Images", "right"))
        for (cause, action), count in known:
            table.add_row(printable(cause), printable(action), f"{count:,}")
        console.print()
        console.print(table)

    def _show_named(
        self, console: Console, title: str, planes: Sequence[PlaneRow], why: Sequence[str]
    ) -> None:
        if not planes:
            return
        measure = self._measure
        trust = [column for column in measure.columns if column.name == measure.trust]
        heads = [self._head, *(column.words for column in trust)]
        table = _table((title, "left"), *((head, "right") for head in heads), ("", "left"))
        room = console.width - sum(map(len, heads)) - 2 * (len(heads) + 1)
        room -= max(map(len, why), default=0)
        for plane, reason in zip(planes, why or [""] * len(planes)):
            table.add_row(
                shortened(printable(_name(plane)), room),
                Text.assemble(*measure.cells(plane.row)[0].parts),
                *(f"{as_number(plane.row[one.name]):.{one.digits}f}" for one in trust),
                Text(reason, "dim"),
            )
        console.print()
        console.print(table)

    def _show_stacks(self, console: Console) -> None:
        if not self._stacks:
            return
        measure, scale = self._measure, self._measure.scale
        table = _table(
            ("Z-stack", "left"),
            ("Best z", "right"),
            (self._head, "right"),
            ("By z", "left"),
            ("Verdict", "left"),
        )
        curves = [values[:: 1 + (len(values) - 1) // 30] for *_, values in self._stacks]
        known = [value for curve in curves for value in curve if not math.isnan(value)] or [0.0]
        low = min(known) if scale.low is None else scale.low
        high = max(known) if scale.high is None else scale.high
        verdict = max(len(_verdict(status)) for status in measure.all_statuses)
        room = console.width - len(self._head) - 14 - max(map(len, curves)) - verdict
        for (name, stack, _), curve in zip(self._stacks, curves):
            value = as_number(stack[measure.value])
            table.add_row(
                shortened(printable(name), room),
                stack["best_z"] or "none",
                "" if math.isnan(value) else f"{value:.{measure.digits}f}",
                Text.assemble(
                    *(
                        " "
                        if math.isnan(value)
                        else (
                            block((value - low) / (high - low or 1)),
                            scale.colour(value, low, high),
                        )
                        for value in curve
                    )
                ),
                _verdict(measure.status_named(stack["status"])),
            )
        console.print()
        console.print(table)
        _show_more(console, self._n_stacks - len(self._stacks))
        if self._sizes.said():
            console.print(f"\n{printable(self._sizes.said())}")


def show_run(
    console: Console,
    run: Run,
    *,
    where: str,
    seconds: float,
    others: Mapping[str, int],
    left_out: LeftOutCounts,
    copies: Sequence[str],
) -> None:
    """Print how a run went and what it wrote.

    Parameters
    ----------
    console, run
    where
        What measured, such as ``"2 jobs"``.
    seconds
        How long it took.
    others
        Numbers of files that were left out, by their endings.
    left_out
        Images that were left out, by why.
    copies
        Names of files that were made of the tables.
    """
    for one in run.recognised:
        n_files = len(run.files)
        counted_files = "" if one.files == n_files else f" ({one.files:,} of {n_files:,} files)"
        told = f"Names as of {one}{counted_files}; --layout none reads none."
        console.print(f"\n{printable(told)}", highlight=False)
    if run.unmatched:
        n_named = sum(not is_zarr(path) for _, path in run.files)
        option = "layout" if run.settings.pattern is None else "pattern"
        console.print(
            f"\n--{option} does not match {len(run.unmatched):,} of {n_named:,} names, "
            f"{printable(run.unmatched[0])} first."
        )
    if run.naming.cut_number:
        console.print(f"\n--{printable(run.naming.cut_number)}.")
    planes = run.naming.unread_planes
    if planes is not None and run.settings.measure.has_stacks:
        own = run.settings.pattern
        if own is not None and planes.name not in run.unmatched:
            remedy = f"the pattern needs a z, such as {planes.pattern}"
        else:
            # A pattern may be of several, for names of several kinds.
            both = planes.pattern if own is None else f"{own}|{planes.pattern}"
            remedy = f"--pattern '{both}'"
        console.print(
            f"\nNames such as {printable(planes.name)} may be those of planes of z-stacks, which "
            f"were measured one by one. If they are: {printable(remedy)}",
            highlight=False,
        )
    for error in run.not_drawn[:MOST_DOUBTFUL]:
        console.print(f"\nNot drawn: {error}")
    about = [_duration(seconds), where]
    about += [f"model {name}" for name in [run.settings.facts().get("name")] if name]
    console.print(f"\n{', '.join(about)}", style="dim")
    if run.n_kept:
        n_files = len(run.files)
        kept = f"{run.n_kept:,}" if run.n_kept == n_files else f"{run.n_kept:,} of {n_files:,}"
        console.print(
            f"{kept} {'file' if n_files == 1 else 'files'} "
            f"{'was' if run.n_kept == 1 else 'were'} measured before and did not change "
            "(--again measures all)",
            style="dim",
        )
    if left_out:
        console.print(f"Left out: {in_words(left_out)}", style="dim")
    if others:
        ranked = sorted(others, key=lambda ending: -others[ending])
        listed = [f"{others[end]:,} {printable(end) or 'without one'}" for end in ranked[:6]]
        more = sum(others[ending] for ending in ranked[6:])
        listed += [f"{more:,} others"] if more else []
        console.print(f"Left out, no images by their endings: {', '.join(listed)}", style="dim")
    if run.results is None or run.out is None:
        return
    if run.results.other_columns:
        console.print(OTHER_COLUMNS)
    if run.results.edited:
        console.print(edited(run.results.edited))
    if run.gone:
        verbs = ("was", "is") if len(run.gone) == 1 else ("were", "are")
        console.print(
            f"{counted(len(run.gone), 'file')} that {verbs[0]} measured before {verbs[1]} not "
            f"named now, or not there, and left the tables: {first_of(run.gone)}."
        )
    if run.results.older is not None:
        console.print(kept_in(run.results.older))
    written = [
        name if n_rows is None else f"{name} ({counted(n_rows, 'row')})"
        for name, n_rows in run.tables.items()
    ]
    if run.drawn:
        written.append(f"{OVERLAYS}/ ({len(run.drawn):,})")
    console.print(f"Written to {run.out}: {', '.join([*written, *copies])}")
    for name in (WORKBOOK, REPORT):
        if name not in copies and (run.out / name).exists():
            console.print(f"{run.out / name} is of an earlier run.", style="dim")


def show_best(console: Console, best: BestPlanes, folder: Path) -> None:
    """Say how many best planes were written, and of which z-stacks there is none."""
    if not (best.failed or best.written):
        console.print(
            "There is no z-stack, and so no best plane: where planes are files of their own, "
            "--layout tells how they are named, or --pattern with the group z."
        )
        return
    for reason in best.failed[:MOST_NAMED]:
        console.print(f"No best plane: {printable(reason)}", highlight=False)
    _show_more(console, max(0, len(best.failed) - MOST_NAMED))
    console.print(f"Written to {folder}: {counted(len(best.written), 'best plane')}")


def _table(*columns: _Column, header: bool = True) -> Table:
    table = Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_header=header
    )
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=True)
    return table


def _show_more(console: Console, number: int) -> None:
    if number:
        console.print(Text(f"… and {number:,} more", "dim"))


def _name(plane: PlaneRow) -> str:
    return f"{plane.name} {plane.place}".rstrip()


def _verdict(status: Status) -> Text:
    return Text(f"{status.sign} {status.words}", style_of(status))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
