"""What a measure is: how a plane is measured, what its rows hold, and what they mean.

Files, runs, tables, pages and screens know measures by this alone. To add one is to write a
subclass with the settings as its fields, and its name into `measures.measure_of`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from microscope_quality.files.columns import Column
from microscope_quality.files.pictures import Legend
from microscope_quality.files.tables import as_number
from microscope_quality.overlay import level_colours
from microscope_quality.statuses import ERROR, MEASURED, NO_CONTENT, Status, status_named
from microscope_quality.verdicts import representative

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from microscope_quality.files.plane import Plane

Row = Mapping[str, str]

_BLOCKS = "▁▂▃▄▅▆▇█"
_FIELD = re.compile(r"\{(\w+)(?::(\d))?\}")


def hex_colours(number: int) -> tuple[str, ...]:
    """Give colours from good (blue) to bad (yellow), as ``#rrggbb``."""
    return tuple(f"#{bytes(colour).hex()}" for colour in level_colours(number))


@dataclass(frozen=True)
class Scale:
    """Colours of a value.

    Attributes
    ----------
    colours : tuple of str
        From the lowest value to the highest, as ``#rrggbb``.
    low, high : float, optional
        Values of the first and the last one; None where they depend on what was measured.
    ends : (str, str)
        What the lowest and the highest value mean.
    bins : int
        Values are counted by the nearest whole number, so many of them from 0; 0 for other ranges.
    ranges : int
        Ranges of equal length that they are counted by where they are not.
    """

    colours: tuple[str, ...]
    low: float | None = None
    high: float | None = None
    ends: tuple[str, str] = ("", "")
    bins: int = 0
    ranges: int = 20

    def bin(self, value: float) -> int:
        """Give the whole number that a value is counted by; halves count upwards."""
        return min(max(math.floor(value + 0.5), 0), self.bins - 1)

    def colour(self, value: float, low: float = 0, high: float = 1) -> str:
        """Give the colour of a value; `low` and `high` hold where the scale has none."""
        low = low if self.low is None else self.low
        high = high if self.high is None else self.high
        share = (value - low) / (high - low) if high > low else 0.5
        return self.colours[round(min(max(share, 0.0), 1.0) * (len(self.colours) - 1))]


@dataclass(frozen=True)
class Chart:
    """A chart of two columns against each other, with a line where each is `cut`.

    `corners` say what it means to be low or high in `x` and `y`: low low, low high, high low, high
    high. The `caption` tells the rest.
    """

    title: str
    x: str
    y: str
    cut: float
    corners: tuple[str, str, str, str]
    caption: str = ""


@dataclass(frozen=True)
class Cell:
    """A field of a line on the screen: texts with their colours, empty for the usual one."""

    head: str
    parts: tuple[tuple[str, str], ...]
    right: bool = True


@dataclass(frozen=True)
class Result:
    """What measuring a plane gave.

    Attributes
    ----------
    row : mapping
        Fields of the measure's columns; and `width`, `height` and `message`.
    patches : callable
        Gives rows of patches.
    picture : callable, optional
        Draws the plane, its longer side at most so many pixels; without it, it is grey.
    """

    row: Mapping[str, object]
    patches: Callable[[], Iterable[Mapping[str, object]]] = tuple
    picture: Callable[[int], NDArray[np.uint8]] | None = None

    def drawn(self, max_side: int) -> NDArray[np.uint8]:
        """Draw the plane as (height, width, 3); of what `page.measure_plane` gave."""
        assert self.picture is not None
        return self.picture(max_side)


class Judged(Protocol):
    """What stands for a plane in a z-stack: a row of a table, or the like."""

    @property
    def status(self) -> str: ...

    @property
    def row(self) -> Row: ...


@dataclass(frozen=True)
class Best:
    """The best plane of a z-stack, as an index; interpolated between planes; its value and status.

    Without one, the value and status are those of the plane that speaks for the stack.
    """

    plane: int | None
    position: float | None
    value: float
    status: str


@dataclass(frozen=True)
class Measure:
    """A measure with its settings, which are the fields of a subclass.

    It is sent to processes at work, so what takes memory is made when it is asked for.

    Attributes
    ----------
    name : str
        As users name it.
    title : str
        Of pages.
    statuses : tuple of Status
        That a row can have, in the order in which they are shown; an error is none of them.
    value : str
        Column of the number by which planes are compared, drawn and sorted.
    good : str
        Whether ``"low"`` or ``"high"`` values are the good ones.
    trust : str
        Column that says how far to believe the value; empty if there is none.
    templates : tuple of str
        What is said of a row whose numbers mean something: ``{column:digits}`` is the number of a
        column, ``{column}`` its text. Without any, it is the value.
    drift : str
        What it means when the value changes in the course of a run.
    reference : str
        Title of a page of the documentation that tells more; empty without one.
    caveats : tuple of str
        What a reader of its numbers has to know, in sentences.
    needed : tuple of str
        Columns without which a table is none of its.
    causes : (str, str)
        Columns of what makes an image bad and of what to do about it; empty if there are none.
    judging : tuple of str
        Settings that decide about no number: rows that were measured by others are kept, and
        judged again.
    judged_columns : tuple of str
        Columns that follow from others, from those settings and from planes before it: see
        `judged_again`.
    has_stacks : bool
        Whether planes that differ in z alone are one image, as good as the best of them.
    repeats : str
        Column that two planes have alike only where one frame came twice; empty without one.
    needs : mapping of str to (str, float)
        Columns whose numbers mean something only where another column has at least so much: no
        page shows them elsewhere.
    is_of_tiles : bool
        Whether a report shows images as tiles of a montage, and how the columns of
        `trends.trends_of` change over the hours.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    statuses: ClassVar[tuple[Status, ...]] = (MEASURED, NO_CONTENT)
    value: ClassVar[str]
    good: ClassVar[Literal["low", "high"]] = "low"
    trust: ClassVar[str] = ""
    templates: ClassVar[tuple[str, ...]] = ()
    drift: ClassVar[str] = "a slow change is a drift, a step happened at once"
    reference: ClassVar[str] = ""
    caveats: ClassVar[tuple[str, ...]] = ()
    needed: ClassVar[tuple[str, ...]] = ("status",)
    causes: ClassVar[tuple[str, str]] = ("", "")
    judging: ClassVar[tuple[str, ...]] = ()
    judged_columns: ClassVar[tuple[str, ...]] = ()
    has_stacks: ClassVar[bool] = True
    repeats: ClassVar[str] = ""
    needs: ClassVar[Mapping[str, tuple[str, float]]] = {}
    is_of_tiles: ClassVar[bool] = False

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of a plane; with more than one measure, the status is the first one's."""
        raise NotImplementedError

    @property
    def later_columns(self) -> tuple[Column, ...]:
        """Columns that came to ``results.csv`` after those of a run."""
        return ()

    @property
    def last_columns(self) -> tuple[Column, ...]:
        """Columns that came to it after all others."""
        return ()

    @property
    def patch_columns(self) -> tuple[Column, ...]:
        """Columns of a patch, if it measures patches."""
        return ()

    @property
    def scale(self) -> Scale:
        """Colours of its value."""
        colours = hex_colours(11)
        return Scale(colours if self.good == "low" else colours[::-1])

    @property
    def distribution(self) -> tuple[str, ...]:
        """Columns of the probabilities of the scale's bins."""
        return ()

    @property
    def charts(self) -> tuple[Chart, ...]:
        """Charts of a report beside those that every measure has."""
        return ()

    @property
    def limit(self) -> float | None:
        """The value up to which, or from which on, an image is good; None if there is none."""
        return None

    @property
    def explanation(self) -> str:
        """What its numbers mean, in sentences that stand beside a chart of them."""
        return ""

    @property
    def legend(self) -> Legend | None:
        """Legend of its pictures."""
        return None

    @property
    def drawn_words(self) -> str:
        """What the colours of its pictures stand for, in a sentence."""
        return (
            f"Each square is a patch: its colour is its {self.noun}, the dimmer the less sure."
            if self.legend
            else ""
        )

    @property
    def listed(self) -> tuple[str, ...]:
        """Columns that lists of images to keep, or to throw out, tell of each."""
        templates = self.templates_of(self.statuses[0])
        return tuple(field[1] for one in templates for field in _FIELD.finditer(one))

    @property
    def reads_whole(self) -> bool:
        """Whether it needs a plane in memory, however large."""
        return True

    @property
    def is_sample(self) -> bool:
        """Whether it measures a sample of a plane, to save the time of reading all."""
        return False

    @property
    def pixel_bytes(self) -> int:
        """Memory that it takes for each pixel, beside the plane as it is read."""
        return 0

    @property
    def framework_bytes(self) -> int:
        """Memory that a framework takes for it, whatever the image; 0 without one."""
        return 0

    @property
    def patch_size(self) -> int:
        """Side of its patches in pixels; 0 without any."""
        return 0

    def check(self) -> None:
        """Refuse settings that are wrong, before anything is measured.

        Raises
        ------
        MicroscopeQualityError
            They are, or what they name is not there.
        """

    def settings(self) -> dict[str, object]:
        """Give the settings that decide about its numbers, for a run's record: its fields."""
        return asdict(self)

    def identity(self) -> dict[str, object]:
        """Give what decides about its numbers beside its settings, such as a model."""
        return {}

    def facts(self) -> dict[str, object]:
        """Give what a run's record says of its model; empty without one."""
        return {}

    def on_any_machine(self) -> Measure:
        """Give it with absolute paths, as another machine's processes need them."""
        return self

    @classmethod
    def recorded(cls, record: Mapping[str, Any], header: Sequence[str]) -> Measure:
        """Give the measure that wrote a table, from its run's record, or as far as is known."""
        return cls()

    def run(self, plane: Plane) -> Result:
        """Measure a plane.

        Raises
        ------
        MicroscopeQualityError
            It cannot be measured.
        """
        raise NotImplementedError

    def judged_again(self, row: Mapping[str, object], same: str) -> dict[str, object]:
        """Give what a plane has in `judged_columns` by these settings, and beside other planes.

        It is asked of each row that comes into a table, and of those that are in it already.

        Parameters
        ----------
        row
            Fields, or their texts.
        same
            Name of the plane before it that has the same in the column `repeats`, if there is one.
        """
        return {}

    # What rows mean, whose fields are texts.

    def fault(self, row: Row) -> str:
        """Say what does not go together in a row of fields that are right, if anything."""
        return ""

    def doubt(self, row: Row) -> tuple[float, str]:
        """How much a plane deserves a look before its status is believed, 0 to 1, and why."""
        return 0.0, ""

    def is_near(self, row: Row) -> bool:
        """Whether the limit lies in the interval of the value, so that a verdict is in doubt."""
        return False

    def number(self, row: Row) -> float:
        """Give the value of a plane, even where it means nothing; NaN without one."""
        return as_number(row.get(self.value, ""))

    def judged(self, row: Row) -> float | None:
        """Give the number by which a plane counts; None where it means nothing."""
        number = self.number(row)
        return number if self.status(row).is_judged and not math.isnan(number) else None

    def short(self, row: Row) -> str:
        """Write that number; empty without one."""
        number = self.judged(row)
        return "" if number is None else f"{number:.{self.digits}f}"

    def colour(self, row: Row) -> str:
        """Give the colour of that number; empty where it depends on those of other planes."""
        number, scale = self.judged(row), self.scale
        if number is None or None in (scale.low, scale.high):
            return ""
        return scale.colour(number)

    def said(self, row: Row) -> list[str]:
        """Say the numbers of a plane, in a few words each; nothing where they mean nothing."""
        filled_in = (filled(one, row) for one in self.templates_of(self.status(row)))
        return [text for text in filled_in if text]

    def templates_of(self, status: Status) -> tuple[str, ...]:
        """Give what is said of rows with a status; see `filled`."""
        if not status.is_judged:
            return ()
        return self.templates or (f"{self.noun} {{{self.value}:{self.digits}}}",)

    def in_words(self, row: Row) -> str:
        """Say the status of a plane and its numbers."""
        return ", ".join([self.status(row).words, *self.said(row)])

    def headline(self, row: Row) -> str:
        """Give the second line of a plane's picture."""
        said = self.said(row)
        words = " · ".join([*said[:1], self.status(row).words, *said[1:]])
        return words[0].upper() + words[1:]

    def details(self, row: Row) -> list[str]:
        """Say what stands beside the number of a plane."""
        return []

    def repeated(self, row: Row) -> Measure | None:
        """Give the measure to measure a row's plane by again; None if that would take too long."""
        return self

    def at(self, row: Row, limit: float | None = None) -> str:
        """Say by which number a plane is judged, as in an alert: ``"at level 5.2"``.

        It has more decimals where it would read like the limit that it is beyond.
        """
        number, digits = self.judged(row), self.digits
        if number is None:
            return f"at no {self.noun}"
        while limit not in (None, number) and round(number, digits) == limit and digits < 6:
            digits += 1
        return f"at {self.noun} {number:.{digits}f}"

    def cells(self, row: Row) -> list[Cell]:
        """Give a line's fields on the screen."""
        text = self.short(row)
        return [Cell(self.column.words, ((text, "") if text else ("–", "dim"),))]

    def remedy(self, row: Row) -> tuple[str, str]:
        """Give what makes a plane bad, or would, and what to do about it; empty if unknown."""
        cause, action = (row.get(name, "") for name in self.causes)
        return cause, action

    def advice(self, row: Row) -> str:
        """Say both."""
        return "; ".join(filter(None, self.remedy(row)))

    @property
    def worst(self) -> str:
        """How planes with the worst values are called, as the title of a list."""
        return f"{'Highest' if self.good == 'low' else 'Lowest'} {self.column.words.lower()}"

    @property
    def told(self) -> tuple[str, ...]:
        """Columns of the numbers that an alert tells."""
        return (self.value,)

    def best(self, planes: Sequence[Judged]) -> Best:
        """Find the best plane of a z-stack, whose planes are all measured."""
        statuses = [plane.status for plane in planes]
        numbers = [self.number(plane.row) for plane in planes]
        best = representative(statuses, [self.badness(number) for number in numbers])
        if not self.status_named(statuses[best]).is_judged or math.isnan(numbers[best]):
            return Best(None, None, math.nan, statuses[best])
        return Best(best, float(best), numbers[best], statuses[best])

    # What follows from these.

    def badness(self, value: float | None) -> float:
        """Give a number that is the higher, the worse a value is; NaN for none."""
        if value is None:
            return math.nan
        return value if self.good == "low" else -value

    def status(self, row: Row) -> Status:
        """Give the status of a row."""
        return ERROR if row.get("error") else self.status_named(row.get("status", ""))

    def status_named(self, key: str) -> Status:
        """Give the status of a name; that of an error for any other."""
        return status_named(key, self.statuses)

    def counted(self, numbers: Mapping[str, int]) -> dict[str, int]:
        """Give how many images have each status; a rare one only where there are any."""
        return {
            one.key: numbers.get(one.key, 0)
            for one in self.statuses
            if not one.is_rare or numbers.get(one.key)
        }

    @property
    def all_statuses(self) -> tuple[Status, ...]:
        """Statuses of rows, those with an error too, in the order in which they are shown."""
        return (*self.statuses, ERROR)

    def words(self, name: str) -> str:
        """How people call a column within a sentence."""
        return next(column.words.lower() for column in self.columns if column.name == name)

    @property
    def noun(self) -> str:
        """What the judged number is called within a sentence."""
        return self.words(self.value)

    @property
    def nouns(self) -> str:
        """What several of them are called, or their kind."""
        return self.noun

    @property
    def column(self) -> Column:
        """The column of its value."""
        return next(column for column in self.columns if column.name == self.value)

    @property
    def digits(self) -> int:
        """Decimals of its value."""
        return 2 if self.column.digits is None else self.column.digits


def filled(template: str, row: Row) -> str:
    """Put numbers and texts of a row into a template; empty where one is missing."""
    if any(not row.get(field[1]) for field in _FIELD.finditer(template)):
        return ""

    def written(field: re.Match[str]) -> str:
        text = row[field[1]]
        return f"{float(text):.{field[2]}f}" if field[2] else text

    return _FIELD.sub(written, template)


def as_mapping(value: object) -> Mapping[str, Any]:
    """Give what a record should have names and values in; empty where it has not."""
    return value if isinstance(value, Mapping) else {}


def block(share: float) -> str:
    """Give a bar of a line's height for a share from 0 to 1."""
    return _BLOCKS[min(max(int(share * len(_BLOCKS)), 0), len(_BLOCKS) - 1)]
