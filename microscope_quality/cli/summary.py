"""What a run shows on the screen: every plane of a few, what stands out of many."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Optional, Sequence

from rich.table import Table
from rich.text import Text

from microscope_quality.overlay import level_colours

if TYPE_CHECKING:
    from rich.console import Console

#: Planes of which each has a line of its own.
MOST_LINES = 24
#: Planes that are named as standing out of more than that.
MOST_NAMED = 5

NOT_MEASURED = "not measured"
#: Symbol and words of each verdict.
VERDICTS = {
    "in_focus": "● in focus",
    "out_of_focus": "○ out of focus",
    "mixed": "◐ mixed",
    "no_content": "· no content",
    NOT_MEASURED: "× not measured",
}
_BLOCKS = "▁▂▃▄▅▆▇█"
# Where among the levels the colour of a verdict is.
_SHARES = {"in_focus": 0.0, "mixed": 0.4, "out_of_focus": 0.8}


@dataclass(frozen=True)
class Line:
    """A plane on the screen; `why` says what makes it doubtful."""

    name: str
    place: str
    status: str
    level: float = math.nan
    expected_level: float = math.nan
    certainty: float = math.nan
    defocus_um: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    probabilities: tuple[float, ...] = ()
    why: str = ""
    error: str = ""


@dataclass(frozen=True)
class StackLine:
    """A z-stack on the screen: the best z, the level there, and the level at each z."""

    name: str
    place: str
    best_z: Optional[int]
    expected_level: float
    expected_levels: tuple[float, ...]


@dataclass
class Summary:
    """Counts of a run and the planes that stand out, in memory that does not grow with it."""

    levels: int
    statuses: Counter[str] = field(default_factory=Counter)
    #: Verdicts of images, of which a z-stack is one.
    images: Counter[str] = field(default_factory=Counter)
    at_level: Counter[int] = field(default_factory=Counter)
    lines: list[Line] = field(default_factory=list)
    furthest: list[Line] = field(default_factory=list)
    failed: list[Line] = field(default_factory=list)
    stacks: list[StackLine] = field(default_factory=list)
    n_stacks: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    first_noted: dict[str, str] = field(default_factory=dict)

    @property
    def n_planes(self) -> int:
        """Planes so far, those that could not be measured among them."""
        return sum(self.statuses.values())

    @property
    def n_images(self) -> int:
        """Images so far; a z-stack is one."""
        return sum(self.images.values())

    def add(self, line: Line) -> None:
        """Count a plane."""
        self.statuses[line.status] += 1
        if len(self.lines) <= MOST_LINES:
            self.lines.append(line)
        if line.status == NOT_MEASURED:
            if len(self.failed) < MOST_LINES:
                self.failed.append(line)
        elif line.status != "no_content":
            self.at_level[int(line.level)] += 1
            if line.status != "in_focus":
                self.furthest.append(line)
                self.furthest.sort(key=lambda one: -one.expected_level)
                del self.furthest[MOST_NAMED:]

    def note(self, message: str, name: str) -> None:
        """Count what a plane's result says beside its numbers."""
        self.notes[message] += 1
        self.first_noted.setdefault(message, name)

    def add_stack(self, line: StackLine) -> None:
        """Count a z-stack."""
        self.n_stacks += 1
        if len(self.stacks) < MOST_LINES:
            self.stacks.append(line)


def show(console: Console, summary: Summary, doubtful: Sequence[Line]) -> None:
    """Print the tables of a run; `doubtful` planes are those to look at first."""
    colours = [f"rgb({r},{g},{b})" for r, g, b in level_colours(summary.levels).tolist()]
    if summary.n_planes <= MOST_LINES:
        _show_each(console, summary.lines, colours)
    else:
        _show_counts(console, summary, colours)
        _show_named(console, "Furthest out of focus", summary.furthest, colours)
        _show_named(console, "Doubtful, worth a look", doubtful[:MOST_NAMED], colours, why=True)
    _show_stacks(console, summary, colours)
    if summary.failed:
        console.print(Text("\nNot measured", "dim"))
        for line in summary.failed:
            console.print(Text.assemble((_full_name(line), "bold"), " ", printable(line.error)))
        _show_more(console, summary.statuses[NOT_MEASURED] - len(summary.failed))
    if summary.notes:
        console.print(Text("\nNotes", "dim"))
    for note, count in summary.notes.most_common(MOST_NAMED):
        name = printable(summary.first_noted[note])
        planes = f"{name}: " if count == 1 else f"{count:,} planes, {name} first: "
        console.print(Text.assemble((planes, "dim"), note))


def shortened(text: str, room: int) -> str:
    """Text in that many characters, without its middle if need be."""
    if len(text) <= room:
        return text
    start = (room - 1) // 3
    return f"{text[:start]}…{text[len(text) - (room - 1 - start) :]}"


def _table(*columns: tuple[str, Literal["left", "right"]], header: bool = True) -> Table:
    table = Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_header=header
    )
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=True)
    return table


def _show_each(console: Console, lines: Sequence[Line], colours: Sequence[str]) -> None:
    places = max(len(line.place) for line in lines)
    last = len(colours) - 1
    in_um = any(not math.isnan(line.defocus_um) for line in lines)
    sampled = any(not math.isnan(line.interval[0]) for line in lines)
    table = _table(
        ("Image", "left"),
        ("Plane" if places else "", "left"),
        ("Level", "right"),
        (f"0{last:>{last}}", "left"),
        ("Certainty", "right"),
        ("Expected, 95 %" if sampled else "", "right"),
        ("Defocus µm" if in_um else "", "right"),
        ("Verdict", "left"),
    )
    others = [max(places, 5) if places else 0, 5, len(colours), 9, 14 if sampled else 0]
    others += [10 if in_um else 0, 14]
    room = console.width - sum(others) - 2 * len(others)
    for line in lines:
        certainty = f"{line.certainty:.2f}" if line.probabilities else ""
        table.add_row(
            shortened(printable(line.name), room),
            line.place,
            _level(line, colours),
            _distribution(line, colours),
            certainty,
            _interval(line.interval),
            "" if math.isnan(line.defocus_um) else f"{line.defocus_um:.1f}",
            _verdict(line.status, colours),
        )
    console.print(table)


def _interval(limits: tuple[float, float]) -> str:
    return "" if math.isnan(limits[0]) else f"{limits[0]:.2f} to {limits[1]:.2f}"


def _show_counts(console: Console, summary: Summary, colours: Sequence[str]) -> None:
    console.print(Text(f"{summary.n_planes:,} planes", "bold"))
    if summary.n_stacks:
        verdicts = (
            f"{summary.images[status]:,} {words[2:]}"
            for status, words in VERDICTS.items()
            if summary.images[status]
        )
        console.print(
            f"{summary.n_images:,} images, a z-stack by its best plane: {', '.join(verdicts)}"
        )
    table = _table(("", "left"), ("", "right"), ("", "right"), ("", "left"), header=False)
    for status, count in ((status, summary.statuses[status]) for status in VERDICTS):
        if count:
            share = count / summary.n_planes
            bar = Text("█" * max(1, round(share * 32)), status_colour(status, colours))
            table.add_row(_verdict(status, colours), f"{count:,}", f"{share:.1%}", bar)
    console.print(table)
    counts = [summary.at_level[level] for level in range(summary.levels)]
    most = max(counts)
    if most:
        width = max(3, len(f"{most:,}"))
        table = _table(("Level", "left"), *((f"{k:>{width}}", "right") for k in range(len(counts))))
        table.add_row(Text("Planes", "dim"), *(f"{n:,}" if n else Text("·", "dim") for n in counts))
        table.add_row(
            "",
            *(
                Text(_block(n / most) * width if n else "", colour)
                for n, colour in zip(counts, colours)
            ),
        )
        console.print()
        console.print(table)


def _show_named(
    console: Console,
    title: str,
    lines: Sequence[Line],
    colours: Sequence[str],
    why: bool = False,
) -> None:
    if not lines:
        return
    reasons = max(len(line.why) for line in lines) if why else 0
    table = _table((title, "left"), ("Level", "right"), ("Certainty", "right"), ("", "left"))
    room = console.width - 20 - reasons
    for line in lines:
        table.add_row(
            shortened(_full_name(line), room),
            _level(line, colours),
            f"{line.certainty:.2f}",
            Text(line.why if why else "", "dim"),
        )
    console.print()
    console.print(table)


def _show_stacks(console: Console, summary: Summary, colours: Sequence[str]) -> None:
    if not summary.stacks:
        return
    last = len(colours) - 1
    table = _table(("Z-stack", "left"), ("Best z", "right"), ("Level", "right"), ("By z", "left"))
    curves = [
        line.expected_levels[:: 1 + (len(line.expected_levels) - 1) // 30]
        for line in summary.stacks
    ]
    room = console.width - 17 - max(len(curve) for curve in curves)
    for line, curve in zip(summary.stacks, curves):
        table.add_row(
            shortened(printable(f"{line.name} {line.place}".rstrip()), room),
            "none" if line.best_z is None else str(line.best_z),
            "" if math.isnan(line.expected_level) else f"{line.expected_level:.1f}",
            Text.assemble(
                *(
                    " " if math.isnan(level) else (_block(level / last), colours[round(level)])
                    for level in curve
                )
            ),
        )
    console.print()
    console.print(table)
    _show_more(console, summary.n_stacks - len(summary.stacks))


def _show_more(console: Console, number: int) -> None:
    if number:
        console.print(Text(f"… and {number:,} more", "dim"))


def _full_name(line: Line) -> str:
    return printable(f"{line.name} {line.place}".rstrip())


def printable(text: str) -> str:
    """Text without characters that would move the cursor or break the line."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _level(line: Line, colours: Sequence[str]) -> Text:
    if math.isnan(line.level) or line.status == "no_content":
        return Text("–", "dim")
    return Text(f"{line.level:.0f}", colours[int(line.level)])


def _distribution(line: Line, colours: Sequence[str]) -> Text:
    """Probabilities of the levels as little bars."""
    if any(math.isnan(p) for p in line.probabilities):
        return Text("")
    return Text.assemble(
        *(
            (_block(p), colour) if p >= 0.02 else ("▁", "dim")
            for p, colour in zip(line.probabilities, colours)
        )
    )


def _block(share: float) -> str:
    return _BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)]


def _verdict(status: str, colours: Sequence[str]) -> Text:
    return Text(VERDICTS[status], status_colour(status, colours))


def status_colour(status: str, colours: Sequence[str]) -> str:
    """Give the colour of a verdict, out of those of the levels where it is one of focus."""
    if status in _SHARES:
        return colours[level_of(status, len(colours))]
    return "bright_red" if status == NOT_MEASURED else "dim"


def level_of(status: str, levels: int) -> int:
    """Give the level whose colour stands for a verdict of focus, on the screen as on pages."""
    return round(_SHARES[status] * (levels - 1))
