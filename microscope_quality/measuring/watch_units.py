"""Which files of a watch are judged together, and when: those of a stack when it is whole."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from microscope_quality.measuring.file_verdicts import Verdict

# The longest quiet that is learned from planes which came late, in seconds.
_LONGEST_QUIET = 600.0


@dataclass(frozen=True)
class Said:
    """A verdict on a unit, and the files that it was on."""

    verdict: Verdict
    files: frozenset[str]


@dataclass(slots=True)
class Unit:
    """What is judged together: a file, or the files of a stack.

    Attributes
    ----------
    waits : bool
        Whether further files may belong to it.
    files : dict of str to int
        Planes of each of its files.
    fresh, again : set of str
        Files to be judged that came since it was judged, and those of them that were written anew.
    last : float
        When one came last.
    status : str
        Key of the verdict on it; empty before there is one.
    is_open : bool
        Whether it is to be judged.
    said : dict of str to Said
        What was said last of one that is to be judged again, by the keys of it and of other units
        that files of it were in.
    """

    waits: bool = False
    files: dict[str, int] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)
    last: float = 0.0
    status: str = ""
    is_open: bool = False
    said: dict[str, Said] = field(default_factory=dict)

    def before(self, key: str) -> Verdict | None:
        """Give what was said of it, or the worst that was said of what is a part of it now.

        What was said of planes that were all written anew is said of others, and so is what was
        said of another unit that is not all in this one.
        """
        held = [
            said.verdict
            for old_key, said in self.said.items()
            if (old_key == key or said.files <= self.files.keys()) and not said.files <= self.again
        ]
        return max(held, key=lambda verdict: verdict.status.badness, default=None)

    @property
    def planes(self) -> int:
        """Of all its files."""
        return sum(self.files.values())

    @property
    def fresh_planes(self) -> int:
        """Of the files that came since it was judged."""
        return sum(self.files[name] for name in self.fresh)


class Units:
    """The units of a watch.

    One that waits is whole when it has as many planes as the largest one that was judged, or when
    none has come for a while. A plane beyond that many says that the number was wrong, and the time
    perhaps: then both are learned anew.

    Parameters
    ----------
    quiet_seconds
        That while.
    clock
        Seconds that never go back.

    Attributes
    ----------
    counts : Counter of str
        Units that were judged, by the keys of their statuses.
    lacking : set of str
        Keys of those of which a plane could not be measured, but others could.
    """

    def __init__(self, quiet_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet_seconds
        self._clock = clock
        self._units: dict[str, Unit] = {}
        self._keys: dict[str, str] = {}
        self._open: dict[str, Unit] = {}
        # Planes of the largest one that was judged; 0 while that is not known.
        self._largest = 0
        self.counts: Counter[str] = Counter()
        self.lacking: set[str] = set()

    def __contains__(self, name: str) -> bool:
        """Whether a file is in one."""
        return name in self._keys

    def __getitem__(self, key: str) -> Unit:
        return self._units[key]

    def __iter__(self) -> Iterator[str]:
        """Give the keys of all, as they came."""
        return iter(self._units)

    def get(self, key: str) -> Unit | None:
        """Give a unit, if it is there."""
        return self._units.get(key)

    def key(self, name: str) -> str:
        """Of the unit of a file; the file's own name if it is in none."""
        return self._keys.get(name, name)

    @property
    def n_files(self) -> int:
        """Files of all units."""
        return len(self._keys)

    @property
    def waiting(self) -> dict[str, Unit]:
        """Those that are to be judged, by their keys."""
        return self._open

    def add(self, name: str, key: str, planes: int, *, waits: bool) -> None:
        """Take in a file that was measured, for the first time or again."""
        self.move(name, key, waits=waits)
        unit, now = self._units.setdefault(key, Unit()), self._clock()
        is_late = unit.status != "" and not unit.is_open
        if name in unit.files:
            unit.again.add(name)
        self._keys[name] = key
        unit.files[name] = planes
        unit.waits = waits
        if is_late and waits and name not in unit.again and unit.planes > self._largest:
            self._largest = 0
            self._quiet = max(self._quiet, min(2 * (now - unit.last), _LONGEST_QUIET))
        unit.fresh.add(name)
        unit.last, unit.is_open = now, True
        self._open[key] = unit

    def move(self, name: str, key: str, *, waits: bool) -> None:
        """Put a file into another unit, since its name tells something else now."""
        old_key = self._keys.get(name, key)
        if old_key == key:
            return
        old = self._units[old_key]
        self._keys[name] = key
        if len(old.files) == 1 and key not in self._units:
            self._units[key] = self._units.pop(old_key)
            if old_key in self.lacking:
                self.lacking.remove(old_key)
                self.lacking.add(key)
            if self._open.pop(old_key, None) is not None:
                self._open[key] = old
            old.waits = waits
            return
        self._reopen(old_key)
        unit = self._units.setdefault(key, Unit())
        unit.files[name] = old.files.pop(name)
        unit.waits, unit.is_open, unit.last = waits, True, self._clock()
        unit.said = {**old.said, **unit.said}
        unit.fresh.add(name)
        self._open[key] = unit
        old.fresh.discard(name)
        old.again.discard(name)
        if not old.files:
            self._units.pop(old_key)
            self._open.pop(old_key, None)
            self.lacking.discard(old_key)
            if old.status:
                self.counts[old.status] -= 1

    def _reopen(self, key: str) -> None:
        """Have a unit judged that loses a file: what was said of it is said of others."""
        unit = self._units[key]
        if not unit.is_open:
            unit.is_open, unit.last = True, self._clock()
            unit.fresh.update(unit.files)
            self._open[key] = unit

    def due(self, is_expected: Callable[[str], bool]) -> list[str]:
        """Give the keys of those that are whole.

        Parameters
        ----------
        is_expected
            Whether a file of a unit is there that was not measured yet.
        """
        now = self._clock()
        return [
            key
            for key, unit in self._open.items()
            if not unit.waits
            or ((self._is_whole(unit) or now - unit.last >= self._quiet) and not is_expected(key))
        ]

    def _is_whole(self, unit: Unit) -> bool:
        # Planes that are written anew come one by one, and the unit had them all before.
        planes = unit.fresh_planes if unit.again else unit.planes
        return 0 < self._largest <= planes

    def judge(self, key: str, status: str, *, lacks: bool = False) -> None:
        """Say what came of one, and whether it is without a plane."""
        unit = self._units[key]
        (self.lacking.add if lacks else self.lacking.discard)(key)
        if unit.status:
            self.counts[unit.status] -= 1
        self.counts[status] += 1
        unit.status, unit.is_open = status, False
        unit.fresh, unit.again, unit.said = set(), set(), {}
        self._open.pop(key, None)
        if unit.waits:
            self._largest = max(self._largest, unit.planes)
