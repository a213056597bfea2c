"""What rows are judged by beside their own numbers: this run's limits, and planes before them."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from microscope_quality.measuring.items import Place
from microscope_quality.measuring.measure import Measure

# Planes that a frame is compared with: cameras and boards give again what they gave not long ago.
_MOST_SEEN = 1024
_AXES = ("series", "z", "c", "t")

Fields = dict[str, object]


class Judging:
    """Judges rows as they come, whether they were measured now or before.

    Of planes that are equal, each but the first repeats the one before it. As long as nothing else
    is known, they are in the order in which they come; see `learn`.

    Parameters
    ----------
    measures : sequence of Measure
        Of a run; the first one's status is the rows'.

    Attributes
    ----------
    columns : tuple of str
        That it may change.
    """

    def __init__(self, measures: Sequence[Measure]) -> None:
        self._first = measures[0]
        self._asked = [one for one in measures if one.judged_columns]
        self.columns = tuple(name for one in self._asked for name in one.judged_columns)
        # By what a plane has in that column: file and place of the last one, and what is
        # said of the one before that.
        self._seen: dict[str, OrderedDict[str, tuple[str, str, str]]] = {
            one.repeats: OrderedDict() for one in self._asked if one.repeats
        }
        # What is said of planes that are equal, by column, what they have in it, file and place.
        self._known: dict[tuple[str, str, str, str], str] = {}

    def learn(self, rows: Iterable[Mapping[str, object]]) -> list[str]:
        """Learn from all rows of a table in which order equal planes were taken.

        It is that of the times of their files, ``modified``; where two have one time, or one has
        none, that of the rows.

        Returns
        -------
        list of str
            Names of the files with planes that are equal to others, in the order of the rows.
        """
        asked = [one.repeats for one in self._asked if one.repeats]
        self._known = {}
        if not asked:
            return []
        equal: dict[tuple[str, str], list[tuple[str, int, str, str]]] = defaultdict(list)
        for number, row in enumerate(rows):
            for column in asked:
                if (key := str(row.get(column) or "")) and not row.get("error"):
                    at = str(row["file"]), str(_place_of(row))
                    equal[column, key].append((str(row.get("modified") or ""), number, *at))
        files: dict[int, str] = {}
        for (column, key), planes in equal.items():
            if len(planes) < 2:
                continue
            if all(time for time, *_ in planes):
                planes.sort()
            before = None
            for _, number, name, place in planes:
                self._known[column, key, name, place] = _named(before, name)
                before = name, place
                files[number] = name
        return list(dict.fromkeys(files[number] for number in sorted(files)))

    def changes(self, rows: Sequence[Mapping[str, object]]) -> list[Fields]:
        """Give the fields that are others now, of each of the rows of a file or a page."""
        return [self._changes(row) for row in rows]

    def judged(self, rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        """Give rows of text with the fields that they have now."""
        return [
            {**row, **{name: str(value) for name, value in changes.items()}}
            for row, changes in zip(rows, self.changes(rows))
        ]

    def _changes(self, row: Mapping[str, object]) -> Fields:
        changes: Fields = {}
        if row.get("error"):
            return changes
        for measure in self._asked:
            own = measure.judged_again(row, self._same(measure, row))
            changes |= {
                name: value
                for name, value in own.items()
                if (name != "status" or measure is self._first) and row.get(name, "") != value
            }
        return changes

    def _same(self, measure: Measure, row: Mapping[str, object]) -> str:
        """Name the plane before a row's that has the same in a measure's column, if any."""
        key = str(row.get(measure.repeats) or "")
        if not key:
            return ""
        seen = self._seen[measure.repeats]
        name, place = str(row["file"]), str(_place_of(row))
        same, before = "", seen.get(key)
        known = self._known.get((measure.repeats, key, name, place))
        if known is not None:
            same = known
        elif before is not None and before[:2] == (name, place):
            # It is asked for again, or its file was written anew with what it had.
            same = before[2]
        elif before is not None:
            same = _named(before[:2], name)
        seen[key] = name, place, same
        seen.move_to_end(key)
        if len(seen) > _MOST_SEEN:
            seen.popitem(last=False)
        return same


def _named(plane: tuple[str, str] | None, file: str) -> str:
    """Name a plane by its file and place, in its own file by its place; empty for none."""
    if plane is None:
        return ""
    return plane[1] if plane[0] == file else f"{plane[0]} {plane[1]}".rstrip()


def _place_of(row: Mapping[str, object]) -> Place:
    at = (row.get(axis) for axis in _AXES)
    return Place(*(None if one in (None, "") else int(str(one)) for one in at))
