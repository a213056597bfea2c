"""What a search may set: the range of each parameter, and settings as points of a unit cube."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from microscope_quality.arguments import (
    as_flag,
    as_list,
    as_mapping,
    as_number,
    as_text,
    shown,
)
from microscope_quality.errors import ArgumentError, SettingsError

Float64Array = NDArray[np.float64]

#: A value of a parameter: of a `Range` a number, of a `Choice` what it names.
Value: TypeAlias = "float | int | str | bool"
#: The settings of a microscope, by the names of its parameters.
Parameters: TypeAlias = "dict[str, Value]"

# Letters of a parameter's name and unit.
_LONGEST = 60
_MOST_CHOICES = 100


@dataclass(frozen=True)
class Range:
    """A parameter that is a number.

    Attributes
    ----------
    low, high : float
        Its ends, both of which can be tried.
    log : bool
        Whether it is searched in equal factors rather than in equal steps; then `low` is above 0.
    whole : bool
        Whether it takes whole numbers alone.
    unit : str
        For the page.

    Raises
    ------
    SettingsError
        The ends do not ascend, or a flag does not fit them.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    unit: str = ""

    def __post_init__(self) -> None:
        """Check what was given."""
        low, high = as_number("low", self.low), as_number("high", self.high)
        as_flag("log", self.log)
        as_flag("whole", self.whole)
        _as_name("unit", self.unit, empty=True)
        if not low < high:
            raise SettingsError(f"low must be below high, not {low:g} with {high:g}.")
        if self.log and low <= 0:
            raise SettingsError(f"low must be above 0 for a range with log, not {low:g}.")
        if self.whole and (low != int(low) or high != int(high)):
            raise SettingsError(
                f"low and high must be whole for a range with whole, not {low:g} and {high:g}."
            )
        object.__setattr__(self, "low", int(low) if self.whole else low)
        object.__setattr__(self, "high", int(high) if self.whole else high)

    @property
    def steps(self) -> int | None:
        """Number of values that there are; None for infinitely many."""
        return int(self.high - self.low) + 1 if self.whole else None

    def at(self, place: float) -> Value:
        """Give the value at a place from 0 to 1."""
        # Whole numbers have equal shares, so that the ends are found as often as the others.
        half = 0.5 if self.whole else 0.0
        low, high = self.low - half, self.high + half
        if self.log:
            found = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
        else:
            found = low + place * (high - low)
        if self.whole:
            found = round(found)
        return min(max(found, self.low), self.high)

    def place(self, value: Value) -> list[float]:
        """Give where a value lies, 0 to 1, as coordinates by which settings are near or far."""
        number = float(value)
        if self.log:
            return [math.log(number / self.low) / math.log(self.high / self.low)]
        return [(number - self.low) / (self.high - self.low)]

    def checked(self, name: str, value: Any) -> Value:
        """Give a value of the range, or raise a `SettingsError`."""
        number = as_number(name, value, self.low, self.high)
        if self.whole and number != int(number):
            raise SettingsError(f"{name} must be a whole number, not {shown(value)}.")
        return int(number) if self.whole else number

    def read(self, text: str) -> Value:
        """Give the value that a table has as text."""
        return int(text) if self.whole else float(text)


@dataclass(frozen=True)
class Choice:
    """A parameter that is one of several values, of which none is nearer than another.

    Attributes
    ----------
    values : tuple of str, int, float or bool
        Two or more, that differ when they are written.
    unit : str
        For the page.

    Raises
    ------
    SettingsError
        There are fewer, or two are the same.
    """

    values: tuple[Value, ...]
    unit: str = ""

    def __post_init__(self) -> None:
        """Check what was given."""
        values = tuple(as_list("values", self.values, "texts or numbers"))
        _as_name("unit", self.unit, empty=True)
        for value in values:
            if not isinstance(value, (str, int, float, bool)) or value != value:
                raise ArgumentError(f"values must be texts or numbers, not {shown(value)}.")
        written = {str(value) for value in values}
        if not 2 <= len(written) == len(values) <= _MOST_CHOICES:
            raise SettingsError(
                f"values must be from 2 to {_MOST_CHOICES} different ones, not {shown(values)}."
            )
        object.__setattr__(self, "values", values)

    @property
    def steps(self) -> int:
        """Number of values that there are."""
        return len(self.values)

    def at(self, place: float) -> Value:
        """Give the value at a place from 0 to 1."""
        return self.values[min(int(place * len(self.values)), len(self.values) - 1)]

    def place(self, value: Value) -> list[float]:
        """Give coordinates by which any two values are as far from each other as 0 and 1."""
        return [math.sqrt(0.5) * (str(value) == str(one)) for one in self.values]

    def checked(self, name: str, value: Any) -> Value:
        """Give a value of the choice, or raise a `SettingsError`."""
        for one in self.values:
            if str(value) == str(one):
                return one
        raise SettingsError(
            f"{name} must be one of {', '.join(map(str, self.values))}, not {shown(value)}."
        )

    def read(self, text: str) -> Value:
        """Give the value that a table has as text."""
        return self.checked("a value", text)


#: Ranges and choices by the names of the parameters.
Space: TypeAlias = "dict[str, Range | Choice]"


def as_space(space: Any, taken: frozenset[str] = frozenset()) -> Space:
    """Give the space of a search.

    Parameters
    ----------
    space
        A mapping of names to `Range` or `Choice`.
    taken
        Names that mean something else already.

    Raises
    ------
    SettingsError, ArgumentError
        It is none, or empty, or a name cannot be a parameter's.
    """
    found: Space = {}
    for name, one in as_mapping("space", space).items():
        _as_name("A name in space", name)
        if name in taken:
            raise SettingsError(f"space must not name a parameter {name!r}: a trial's own word.")
        if not isinstance(one, (Range, Choice)):
            raise ArgumentError(f"space must have a Range or Choice for {name}, not {shown(one)}.")
        found[name] = one
    if not found:
        raise SettingsError("space must have a parameter or more, and is empty.")
    return found


def as_parameters(name: str, space: Space, parameters: Any) -> Parameters:
    """Give settings that name each parameter of a space, within it."""
    given = as_mapping(name, parameters)
    if set(given) != set(space):
        raise SettingsError(
            f"{name} must set {', '.join(space)}, not {', '.join(map(str, given)) or 'nothing'}."
        )
    return {key: one.checked(f"{key} in {name}", given[key]) for key, one in space.items()}


def at_point(space: Space, point: Float64Array) -> Parameters:
    """Give the settings at a point of the unit cube that has an axis for each parameter."""
    return {name: one.at(float(place)) for (name, one), place in zip(space.items(), point)}


def coordinates(space: Space, settings: list[Parameters]) -> Float64Array:
    """Give settings as points, near each other where they are alike.

    Returns
    -------
    (n, d) array of float64
        A column for each `Range`, one for each value of a `Choice`.
    """
    return np.array(
        [
            [place for name, one in space.items() for place in one.place(values[name])]
            for values in settings
        ],
        dtype=np.float64,
    )


def described(space: Space) -> dict[str, dict[str, Any]]:
    """Give a space as JSON can hold it."""
    return {
        name: {one.name: _plain(getattr(parameter, one.name)) for one in fields(parameter)}
        for name, parameter in space.items()
    }


def from_description(found: Mapping[str, Mapping[str, Any]]) -> Space:
    """Give the space of which this is the description."""
    return {
        name: Choice(tuple(one["values"]), one["unit"]) if "values" in one else Range(**one)
        for name, one in found.items()
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _as_name(name: str, value: Any, *, empty: bool = False) -> str:
    text = as_text(name, value)
    if len(text) > _LONGEST or not text.isprintable() or not (text.strip() or empty):
        raise SettingsError(
            f"{name} must have from {0 if empty else 1} to {_LONGEST} printable characters, "
            f"not {shown(text)}."
        )
    return text
