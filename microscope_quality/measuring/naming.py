"""What files' names tell: plate, well, site and channel, and which planes are one z-stack."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from microscope_quality.errors import SettingsError
from microscope_quality.files.ome_zarr import is_zarr
from microscope_quality.files.tables import GROUPS, RESULTS
from microscope_quality.measuring.layouts import LAYOUTS, Layout, layout_named
from microscope_quality.measuring.tile_grid import COLUMN, ROW
from microscope_quality.measuring.wells import well_name

#: Groups of a pattern: those of a table, and the numbers of planes and times.
NAMED = (*GROUPS, "z", "t")
#: And of a report's map, for which names are read once more.
OF_TILES = (ROW, COLUMN)
#: Values of `layout` that are none of the table's.
AUTO, NONE = "auto", "none"
# How names of stacks begin that files themselves tell of.
_OF_FILES = ("ome:", "ndtiff:")

# A layout is a folder's when it has this share of its names: one that is certain, or another. It
# is looked for among a few names, and anew while there are few or when they have doubled.
_MOST, _NEARLY_ALL = 0.5, 0.9
_FEW, _MANY = 16, 100
# A layout looks at a file's name and so many folders above it.
_FOLDERS = 6
_NUMBER = re.compile(r"\d+")
# Hexadecimal digits, letters among them, as of an identifier behind a channel's number.
_IDENTIFIER = re.compile(r"(?=[-0-9]*[a-f])[0-9a-f]{8}[-0-9a-f]*(?![0-9a-z])", re.IGNORECASE)
# The number of a plane behind what may be called one, from the character before that on.
_PLANE_NUMBER = re.compile(
    r"(?P<word>(?:^|[-_. ])(?:p|plane|slice|layer|depth|section|focus|step)[-_ ]?)"
    r"(?P<z>\d{1,5})(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_LEAST_PLANES = 3
_SIGNED = re.compile(r"[-+]?\d+(?:\.\d+)?")

# A layout's name and a folder with ``*`` for what differs.
_FamilyKey = tuple[str, str]
# A number of a name; several as of a date.
_Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Named:
    """What a file's name tells.

    Attributes
    ----------
    groups : mapping of str to str
        Those of `GROUPS` that it has.
    z, t : int or None
        Its place among the numbers of its site, from 0; None where a folder has no z-stacks, or
        one time alone.
    stack : str
        Equal for the planes of a z-stack: the name with ``*`` for what differs. Empty without z
        and t.
    """

    groups: Mapping[str, str] = field(default_factory=dict)
    z: int | None = None
    t: int | None = None
    stack: str = ""

    def put(self, tables: Mapping[str, Iterable[dict[str, Any]]]) -> None:
        """Write it into the rows of a file, where the file does not tell better.

        Groups of a name come before those that a file tells; planes and times of the file itself
        stay, and of a set that tells of itself all of them.
        """
        is_set = any(is_of_set(row.get("stack")) for row in tables[RESULTS])
        for table, rows in tables.items():
            for row in rows:
                put = False
                for axis, place in (("z", self.z), ("t", self.t)):
                    if place is not None and row.get(axis) in (None, "") and not is_set:
                        row[axis] = place
                        put = True
                if table == RESULTS:
                    row.update(self.groups)
                    if put:
                        row["stack"] = self.stack


# Rows of text, by their tables.
_Rows = Mapping[str, Sequence[Mapping[str, str]]]
_NewRows = dict[str, list[dict[str, str]]]


def with_name(tables: _Rows, named: Named) -> _NewRows:
    """Give rows of text of a file with what its name tells; see `Named.put`."""
    made: dict[str, list[dict[str, Any]]] = {
        table: [dict(row) for row in of_table] for table, of_table in tables.items()
    }
    named.put(made)
    return {
        table: [{name: str(field) for name, field in row.items()} for row in of_table]
        for table, of_table in made.items()
    }


def filled(row: Mapping[str, str], named: Named) -> dict[str, str]:
    """Give a row of results with what its file's name tells where the row has nothing."""
    groups = {name: text for name, text in named.groups.items() if not row[name]}
    return with_name({RESULTS: [row]}, replace(named, groups=groups))[RESULTS][0]


def renamed(tables: _Rows, named: Named) -> _NewRows:
    """Give rows of text of a file, all that there are, with what its name tells now."""
    axes = axes_of_name(tables[RESULTS])
    # A name tells of one channel: several were told by the file.
    several = len({row.get("channel", "") for row in tables[RESULTS]} - {""}) > 1
    groups = [group for group in GROUPS if group != "channel" or not several]
    of_planes = dict.fromkeys((*groups, *axes, *(("stack",) if axes else ())), "")
    wiped = {RESULTS: of_planes}
    nameless = {
        table: [{**row, **wiped.get(table, dict.fromkeys(axes, ""))} for row in of_table]
        for table, of_table in tables.items()
    }
    return with_name(nameless, named)


def axes_of_name(rows: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Tell which of z and t the name of a file told, of all its rows."""
    if not rows or not rows[0].get("stack") or is_of_set(rows[0]["stack"]):
        return ()
    # A file has several planes along an axis of its own.
    return tuple(axis for axis in "zt" if len({row[axis] for row in rows}) == 1 and rows[0][axis])


def is_of_set(stack: object) -> bool:
    """Whether files tell by themselves of the set that they are of, by the name of their stack."""
    return str(stack or "").startswith(_OF_FILES)


_NOTHING = Named()


@dataclass(frozen=True)
class _Keys:
    """By what planes are told to be of one stack, and of one place: all its channels and times."""

    stack: Hashable
    place: Hashable


@dataclass(frozen=True)
class _Read:
    """What one name tells by itself.

    `keys` are two: if the names of a stack's planes differ in z alone, and if they differ in more,
    so that plate, well, site, channel and t must tell. `image` is what one plate has once, None
    where plates are not told apart by their folders.
    """

    layout: Layout | None
    matched: bool
    groups: Mapping[str, str]
    z: _Numbers | None
    t: _Numbers | None
    label: str
    family: _FamilyKey
    keys: tuple[_Keys, _Keys]
    image: Hashable | None


class _Order:
    """Numbers, and the rank of each among them."""

    def __init__(self) -> None:
        self._ranks: dict[_Numbers, int] = {}
        self._is_sorted = True
        self._highest: _Numbers | None = None

    def __len__(self) -> int:
        return len(self._ranks)

    def add(self, number: _Numbers) -> bool:
        """Take in a number; gives whether others have other ranks now."""
        if number in self._ranks:
            return False
        self._ranks[number] = len(self._ranks)
        if self._highest is None or number > self._highest:
            self._highest = number
            return False
        self._is_sorted = False
        return True

    def rank(self, number: _Numbers) -> int:
        if not self._is_sorted:
            self._ranks = {one: rank for rank, one in enumerate(sorted(self._ranks))}
            self._is_sorted = True
        return self._ranks[number]


@dataclass
class _Sets:
    """The stacks and places of a family by one kind of keys."""

    stacks: dict[Hashable, dict[_Numbers, list[str]]] = field(default_factory=dict)
    places: dict[Hashable, tuple[_Order, _Order]] = field(default_factory=dict)
    names: dict[Hashable, list[str]] = field(default_factory=dict)
    #: Stacks of several planes, planes that are there twice, and places with several times.
    several: int = 0
    doubled: int = 0
    times: int = 0

    def add(self, name: str, read: _Read, keys: _Keys) -> bool:
        """Take in a file; gives whether it may have changed what is told of others of its place."""
        if keys.place not in self.places:
            self.places[keys.place] = _Order(), _Order()
        zs, ts = self.places[keys.place]
        self.names.setdefault(keys.place, []).append(name)
        moves = False
        if read.t is not None:
            before = len(ts)
            moves = ts.add(read.t)
            self.times += before == 1 and len(ts) == 2
        if read.z is not None:
            moves |= zs.add(read.z)
            stack = self.stacks.setdefault(keys.stack, {})
            # A stack may be called by its first plane.
            moves = moves or (bool(stack) and read.z <= max(stack))
            self.several += len(stack) == 1 and read.z not in stack
            self.doubled += read.z in stack
            stack.setdefault(read.z, []).append(name)
        return moves


class _Family:
    """Files of one layout below one folder."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._sets = (_Sets(), _Sets())
        # Whether groups tell where each file was taken.
        self._is_placed = True

    def add(self, name: str, read: _Read) -> bool:
        """Take in a file; gives whether it may have changed what is told of others of its place."""
        self.names.append(name)
        self._is_placed &= bool(read.groups.keys() & {"well", "site"})
        moves = [sets.add(name, read, keys) for sets, keys in zip(self._sets, read.keys)]
        return any(moves)

    @property
    def kind(self) -> int:
        """Which keys hold: those of names unless these make no stack, and the others do."""
        by_name, by_groups = self._sets
        by_groups_only = by_groups.several and not by_groups.doubled and not by_name.several
        return int(self._is_placed and bool(by_groups_only))

    @property
    def state(self) -> tuple[int, bool, bool]:
        sets = self._sets[self.kind]
        return self.kind, sets.several > 0, sets.times > 0

    def mates(self, read: _Read) -> list[str]:
        """Give the files of a place."""
        return self._sets[self.kind].names[read.keys[self.kind].place]

    def named(self, read: _Read, labels: Mapping[str, _Read]) -> Named:
        kind, has_stacks, has_times = self.state
        sets, keys = self._sets[kind], read.keys[kind]
        zs, ts = sets.places[keys.place]
        z = zs.rank(read.z) if has_stacks and read.z is not None else None
        t = ts.rank(read.t) if has_times and read.t is not None else None
        label = read.label if (z, t) != (None, None) else ""
        if label and kind == 1 and z is not None:
            stack = sets.stacks[keys.stack]
            label = labels[min(stack[min(stack)])].label
        return Named(read.groups, z, t, label)


class _Namesakes:
    """Families of one layout whose names tell of one plate, which may be several.

    Where one image is in two of them, the folders that part these two are different plates, and so
    are others beside them.
    """

    def __init__(self) -> None:
        self.families: dict[_FamilyKey, None] = {}
        # Of each image, the number of the set of families that it is in, and how sets grow.
        self._images: dict[Hashable, int] = {}
        self._sets: list[tuple[_FamilyKey, ...]] = [()]
        self._larger: dict[tuple[int, _FamilyKey], int] = {}
        # Folders in which plates lie; and names of plates by families.
        self._parting: set[tuple[str, ...]] = set()
        self._plates: dict[_FamilyKey, str] = {}

    def add(self, family: _FamilyKey, image: Hashable) -> list[_FamilyKey]:
        """Take in an image; gives the families of which the plate may have another name now."""
        self.families[family] = None
        step = self._images.get(image, 0), family
        parting: set[tuple[str, ...]] = set()
        if step not in self._larger:
            known = self._sets[step[0]]
            self._larger[step] = step[0]
            if family not in known:
                parting = {_common(family, other) for other in known} - self._parting
                self._larger[step] = len(self._sets)
                self._sets.append((*known, family))
        self._images[image] = self._larger[step]
        if not parting:
            return []
        self._parting |= parting
        self._plates = {}
        return [one for one in self.families if not parting.isdisjoint(_ways_to(one))]

    def plate(self, family: _FamilyKey, plate: str) -> str:
        """Name the plate of a family: by its own name, behind the folders that part it."""
        if family not in self._plates:
            ways = _ways_to(family)
            parted = [k for k, way in enumerate(ways) if way in self._parting]
            own = ways[-1][parted[0] : parted[-1] + 1] if parted else ()
            own = tuple(folder for folder in own if "*" not in folder)
            # As plate1__2024-05-06T10_11_12-Measurement 1 of Harmony.
            has_plate = any(one == plate or one.startswith(f"{plate}_") for one in own)
            said = "/".join(own)
            self._plates[family] = said if has_plate else f"{said} {plate}".strip()
        return self._plates[family]


def _ways_to(family: _FamilyKey) -> list[tuple[str, ...]]:
    """Give the folders above a family's, from the root on, and that itself."""
    folders = tuple(family[1].split("/"))
    return [folders[:k] for k in range(len(folders) + 1)]


def _common(family: _FamilyKey, other: _FamilyKey) -> tuple[str, ...]:
    """Give the folder in which the folders of two families are different ones."""
    both = zip(family[1].split("/"), other[1].split("/"))
    return tuple(one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], both))


@dataclass
class _Folder:
    """The files of a folder, and the layout that nearly all of them have."""

    names: list[str] = field(default_factory=list)
    layout: Layout | None = None
    #: Of its names, those that the layout has; and how many there were when it was chosen.
    matched: int = 0
    chosen_at: int = 0


@dataclass(frozen=True)
class Recognised:
    """A layout that files have: how many, and what it read from the first one."""

    layout: Layout
    files: int
    name: str
    texts: Mapping[str, str]

    def __str__(self) -> str:
        """Say it in a sentence."""
        said = ", ".join(
            text if group in ("z", "t") or text.startswith(f"{group} ") else f"{group} {text}"
            for group, text in self.texts.items()
        )
        return f"{self.layout.title}: {self.name} is {said}"


@dataclass(frozen=True)
class UnreadPlanes:
    """Files whose names look like those of planes: the first one, and a pattern that reads them."""

    name: str
    pattern: str


def unread_planes(names: Iterable[str]) -> UnreadPlanes | None:
    """Find files that may be planes of z-stacks, though no layout knows their names.

    These are three at least whose names are alike but for a number behind a word for a plane,
    such as ``_p000``; the numbers begin with 0 or 1, and none is missing.
    """
    found: dict[str, tuple[UnreadPlanes, set[int]]] = {}
    for name in names:
        last = name.rpartition("/")[2]
        match = _PLANE_NUMBER.search(last)
        if match is None:
            continue
        at = len(name) - len(last)
        alike = _star(name, 0, [(at + match.start("z"), at + match.end("z"))])
        before = f"{re.escape(match['word'])}" if match.start() else f"^{re.escape(match['word'])}"
        first = UnreadPlanes(name, rf"{before}(?P<z>\d+)")
        found.setdefault(alike, (first, set()))[1].add(int(match["z"]))
    for first, numbers in found.values():
        lowest, highest = min(numbers), max(numbers)
        if len(numbers) >= _LEAST_PLANES and lowest < 2 and highest - lowest < len(numbers):
            return first
    return None


class Naming:
    """What the names of a run's files tell, or of those that came until now.

    Parameters
    ----------
    pattern : str, optional
        A regular expression with groups out of `NAMED`, searched in a file's name and then in its
        path.
    layout : str
        Name of one of `LAYOUTS`; ``"auto"`` takes for each folder the one that most of its names
        have (nearly all, where other names may match too), unless there is a pattern; ``"none"``
        takes none. What a pattern finds comes first.

    Raises
    ------
    SettingsError
        As `check_naming`.

    Attributes
    ----------
    cut_number : str
        Says of which name the pattern takes a part of a number, of the first one; mostly empty.
    """

    def __init__(self, pattern: str | None = None, layout: str = AUTO) -> None:
        check_naming(pattern, layout)
        self._pattern = None if pattern is None else re.compile(pattern)
        self._layout = layout_named(layout)
        self._finds_layout = layout == AUTO and pattern is None
        # Whether nobody said where planes are, or that there are none.
        self._lacks_planes = layout == AUTO and not (
            self._pattern is not None and "z" in self._pattern.groupindex
        )
        self.cut_number = ""
        # With how much of each is the path as it was typed.
        self._paths: dict[str, str] = {}
        self._typed: dict[str, int] = {}
        self._read: dict[str, _Read] = {}
        self._folders: dict[str, _Folder] = {}
        self._families: dict[_FamilyKey, _Family] = {}
        # By the layout and the plate that names tell.
        self._namesakes: dict[tuple[str, str], _Namesakes] = {}

    def add(self, files: Iterable[tuple[str, Path]]) -> set[str]:
        """Take in files.

        Parameters
        ----------
        files
            Names and paths; an OME-Zarr tells by itself what a name would.

        Returns
        -------
        set of str
            Names of the files of which something else may be told than before.
        """
        new: dict[str, list[str]] = {}
        for name, path in files:
            if name not in self._paths and not is_zarr(path):
                self._paths[name] = path.absolute().as_posix()
                self._typed[name] = len(path.as_posix())
                new.setdefault(_parent(self._paths[name]), []).append(name)
        changed: set[str] = set()
        for parent, names in new.items():
            folder = self._folders.setdefault(parent, _Folder())
            before = folder.layout
            folder.names += names
            if self._finds_layout:
                self._choose(folder, len(names))
            if folder.layout is not before and len(folder.names) > len(names):
                changed |= self._take_in_again(parent)
            else:
                for name in names:
                    changed |= self._take_in(name, folder.layout)
        return changed

    def __getitem__(self, name: str) -> Named:
        """Give what the name of a file tells; nothing of one that was not taken in."""
        read = self._read.get(name)
        if read is None:
            return _NOTHING
        named = self._families[read.family].named(read, self._read)
        if read.image is None:
            return named
        own = read.groups.get("plate", "")
        plate = self._namesakes[read.family[0], own].plate(read.family, own)
        groups = {"plate": plate, **{**named.groups, "plate": plate}}
        return named if plate == own else replace(named, groups=groups)

    def mates(self, name: str) -> list[str]:
        """Give the files of the same place as a file: its planes, channels and times."""
        read = self._read[name]
        return self._families[read.family].mates(read)

    def place(self, name: str) -> Hashable:
        """Give what is equal for all files of a place: its planes, channels and times."""
        read = self._read.get(name)
        if read is None:
            return name
        kind = self._families[read.family].kind
        return kind, read.keys[kind].place

    def matches(self, name: str) -> bool:
        """Whether the pattern, or the layout that was named, matches a name, if there is one."""
        read = self._read.get(name)
        return read is None or read.matched

    def may_be_plane(self, name: str) -> bool:
        """Whether a file's name has the number of a plane, be there others of its stack or not."""
        read = self._read.get(name)
        return read is not None and read.z is not None

    def recognised_in(self, name: str) -> Recognised | None:
        """Give the layout that the name of a file has, if that tells something of it."""
        read, told = self._read.get(name), self[name]
        if read is None or read.layout is None or not (told.groups or told.stack):
            return None
        return Recognised(read.layout, 1, name, dict(self._texts(read, told)))

    def by_stacks(
        self, names: Iterable[str], unit: Callable[[str], str] | None = None
    ) -> list[str]:
        """Give files in their order, but those of a z-stack one behind the other, by z.

        Parameters
        ----------
        names
            Of the files.
        unit
            Tells of a name what it is one of, in place of its stack.
        """
        first: dict[str, int] = {}
        ranks = []
        for number, name in enumerate(names):
            named = self[name]
            key = (named.stack or name) if unit is None else unit(name)
            ranks.append((first.setdefault(key, number), named.z or 0, number, name))
        return [name for *_, name in sorted(ranks)]

    @property
    def n_files(self) -> int:
        """How many files were taken in."""
        return len(self._read)

    @property
    def unmatched(self) -> list[str]:
        """Files whose names the pattern, or the layout that was named, does not match."""
        return [name for name, read in self._read.items() if not read.matched]

    @property
    def mismatch(self) -> str:
        """Say that the pattern, or the layout that was named, matches no name; else it is empty."""
        first = next(iter(self._read), None)
        if first is None or any(read.matched for read in self._read.values()):
            return ""
        what = "layout" if self._pattern is None else "pattern"
        typed = self._paths[first][-self._typed[first] :]
        return f"{what} matches no name; the first is {typed}"

    @property
    def unread_planes(self) -> UnreadPlanes | None:
        """Names that look like those of planes, where neither a z nor a layout was named."""
        if not self._lacks_planes:
            return None
        return unread_planes(name for name, read in self._read.items() if read.layout is None)

    @property
    def recognised(self) -> list[Recognised]:
        """The layouts that were taken, and tell something, in the order of the files."""
        first: dict[str, tuple[str, _Read]] = {}
        files: dict[str, int] = {}
        for name, read in self._read.items():
            told = self[name]
            if read.layout is not None and (told.groups or told.stack):
                first.setdefault(read.layout.name, (name, read))
                files[read.layout.name] = files.get(read.layout.name, 0) + 1
        return [
            Recognised(read.layout, files[key], name, dict(self._texts(read, self[name])))
            for key, (name, read) in first.items()
            if read.layout is not None
        ]

    def _texts(self, read: _Read, named: Named) -> Iterator[tuple[str, str]]:
        yield from named.groups.items()
        for axis, numbers, place in (("z", read.z, named.z), ("t", read.t, named.t)):
            if numbers is not None and place is not None:
                in_name = " ".join(f"{number:g}" for number in numbers)
                # As tables have it, and what it was read from.
                named_so = "" if in_name == str(place) else f" ({in_name} in the name)"
                yield axis, f"{axis}{place}{named_so}"

    def _choose(self, folder: _Folder, more: int) -> None:
        """Find the layout of a folder that got more names."""
        if folder.layout is not None:
            new = folder.names[-more:]
            folder.matched += sum(1 for name in new if self._match(folder.layout, name))
            if folder.matched >= _share(folder.layout) * len(folder.names):
                return
        elif len(folder.names) >= _MANY and len(folder.names) < 2 * folder.chosen_at:
            return
        folder.layout, folder.matched, folder.chosen_at = None, 0, len(folder.names)
        for layout in LAYOUTS:
            few = folder.names[:: max(1, len(folder.names) // _FEW)]
            if any(self._match(layout, name) for name in few):
                matched = sum(1 for name in folder.names if self._match(layout, name))
                if matched >= _share(layout) * len(folder.names):
                    folder.layout, folder.matched = layout, matched
                    return

    def _match(self, layout: Layout, name: str) -> re.Match[str] | None:
        return layout.match("/".join(self._paths[name].split("/")[-1 - _FOLDERS :]))

    def _take_in(self, name: str, layout: Layout | None) -> set[str]:
        """Read a name; gives those of which something else may be told now."""
        read = self._read_name(name, layout or self._layout)
        self._read[name] = read
        family = self._families.setdefault(read.family, _Family())
        before = family.state
        moves = family.add(name, read)
        changed = set(family.mates(read)) if moves else {name}
        if family.state != before:
            changed = set(family.names)
        if read.image is not None:
            key = (read.family[0], read.groups.get("plate", ""))
            namesakes = self._namesakes.setdefault(key, _Namesakes())
            for one in namesakes.add(read.family, read.image):
                changed.update(self._families[one].names)
        return changed

    def _take_in_again(self, parent: str) -> set[str]:
        """Read the names of a folder by another layout, and with them those of its families."""
        names = set(self._folders[parent].names)
        families = {self._read[name].family for name in names if name in self._read}
        names.update(*(self._families.pop(family).names for family in families))
        changed = set(names)
        for key, namesakes in self._namesakes.items():
            if not families.isdisjoint(namesakes.families):
                changed |= self._without(key, families)
        for name in sorted(names):
            changed |= self._take_in(name, self._folders[_parent(self._paths[name])].layout)
        return changed

    def _without(self, key: tuple[str, str], families: Collection[_FamilyKey]) -> set[str]:
        """Have namesakes without some families; gives names of others whose plate is another."""
        old, new = self._namesakes[key], _Namesakes()
        left = [family for family in old.families if family not in families]
        for family in left:
            for name in self._families[family].names:
                # A pattern may have named the plate of some.
                if (
                    self._read[name].image is not None
                    and self._read[name].groups.get("plate", "") == key[1]
                ):
                    new.add(family, self._read[name].image)
        self._namesakes[key] = new
        moved = [one for one in left if old.plate(one, key[1]) != new.plate(one, key[1])]
        return {name for family in moved for name in self._families[family].names}

    def _read_name(self, name: str, layout: Layout | None) -> _Read:
        path = self._paths[name]
        by_pattern, by_layout = self._by_pattern(name), self._by_layout(layout, name)
        needed = by_pattern if self._pattern is not None else by_layout
        texts = {**by_layout.texts, **by_pattern.texts}
        starred = [*(by_pattern.of_z or by_layout.of_z), *by_layout.of_planes]
        others = [*starred, *by_pattern.of_files, *by_layout.of_files]
        z, t = (_numbers(texts[axis]) if texts.get(axis) else None for axis in "zt")
        groups = {group: texts[group] for group in GROUPS if texts.get(group)}
        if "well" in groups:
            counted = layout is not None and layout.numbers_wells and groups["well"].isdigit()
            well = groups["well"]
            groups["well"] = f"well {int(well)}" if counted else well_name(well)
        folder = _star(_parent(path), 0, others)
        alike = _star(path, 0, starred)
        place = _star(path, 0, others)
        at = len(path) - len(name) if path.endswith(name) else 0
        of_site = (folder, *(groups.get(group, "") for group in ("plate", "well", "site")))
        of_stack = (*of_site, groups.get("channel", ""), t)
        image = None
        if layout is not None and layout.is_certain and "well" in groups:
            image = (groups["well"], groups.get("site"), groups.get("channel"), z, t)
        return _Read(
            layout,
            needed.matched or (self._pattern is None and self._layout is None),
            groups,
            z,
            t,
            _star(path, at, starred),
            (layout.name if layout else "", folder),
            (_Keys(alike, place), _Keys(of_stack, of_site)),
            None if "plate" in by_pattern.texts else image,
        )

    def _by_pattern(self, name: str) -> _Found:
        """Search a name, and then the path as it was typed."""
        if self._pattern is None:
            return _Found()
        path = self._paths[name]
        for at in (len(path) - len(path.rpartition("/")[2]), len(path) - self._typed[name]):
            match = self._pattern.search(path[at:])
            if match is not None:
                self.cut_number = self.cut_number or _cut_number(match)
                return _Found.of(match, at)
        return _Found()

    def _by_layout(self, layout: Layout | None, name: str) -> _Found:
        match = None if layout is None else self._match(layout, name)
        if match is None:
            return _Found()
        return _Found.of(match, len(self._paths[name]) - len(match.string))


@dataclass(frozen=True)
class _Found:
    """What was found in a path: texts by their groups, and where it says what differs.

    That is z and what else differs between planes of a stack, and between other files of a place.
    """

    matched: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    of_z: Sequence[tuple[int, int]] = ()
    of_planes: Sequence[tuple[int, int]] = ()
    of_files: Sequence[tuple[int, int]] = ()

    @classmethod
    def of(cls, match: re.Match[str], at: int) -> _Found:
        """Give what a match found, of a string that begins at a character of the path."""
        texts: dict[str, str] = {}
        of_z, of_planes, of_files = [], [], []
        for group, text in match.groupdict().items():
            if text is None:
                continue
            name, span = group.rstrip("_"), (at + match.start(group), at + match.end(group))
            texts.setdefault(name, text)
            if name == "z":
                of_z.append(span)
            elif name == "any":
                of_planes.append(span)
            elif name in ("t", "channel", "action"):
                of_files.append(span)
        return cls(True, texts, of_z, of_planes, of_files)


def _cut_number(match: re.Match[str]) -> str:
    """Say which group of a pattern begins or ends inside a number.

    Beside another group it is meant so, and before an identifier.
    """
    found = [group for group, text in match.groupdict().items() if text]
    starts, ends = ({match.span(group)[side] for group in found} for side in (0, 1))
    for number in _NUMBER.finditer(match.string):
        inside = range(number.start() + 1, number.end())
        for group in found:
            start, end = match.span(group)
            meant = end in starts or _IDENTIFIER.match(match.string, end)
            if (start in inside and start not in ends) or (end in inside and not meant):
                return (
                    f"pattern takes a part of a number: {group} is {match[group]} of {number[0]} "
                    f"in {match.string}; if that is not meant, \\d+ takes all digits"
                )
    return ""


def _share(layout: Layout) -> float:
    return _MOST if layout.is_certain else _NEARLY_ALL


def _star(path: str, first: int, spans: Iterable[tuple[int, int]]) -> str:
    """Give a path from its character `first` on, with ``*`` for spans of it."""
    parts, at = [], first
    for start, end in sorted(spans):
        if start >= at and end <= len(path):
            parts += [path[at:start], "*"]
            at = end
    return "".join([*parts, path[at:]])


def _numbers(text: str) -> _Numbers:
    """Give the number that a text is, or those in it."""
    if _SIGNED.fullmatch(text):
        return (float(text),)
    return tuple(map(float, _NUMBER.findall(text))) or (0.0,)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def check_naming(pattern: str | None = None, layout: str = AUTO) -> None:
    """Refuse a pattern and a layout that cannot be.

    Raises
    ------
    SettingsError
        The pattern is no regular expression, or has no group or another one than `NAMED`; or
        there is no layout of this name.
    """
    if layout not in (AUTO, NONE) and layout_named(layout) is None:
        known = ", ".join([AUTO, NONE, *(one.name for one in LAYOUTS)])
        raise SettingsError(f"layout {layout!r} is unknown; known are {known}.")
    if pattern is None:
        return
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise SettingsError(f"pattern is no regular expression: {error}.") from error
    if not compiled.groupindex or set(compiled.groupindex) - {*NAMED, *OF_TILES}:
        found = ", ".join(compiled.groupindex) or "none"
        raise SettingsError(
            f"pattern needs named groups out of {', '.join((*NAMED, *OF_TILES))}, written as "
            f"(?P<well>[A-P]\\d\\d); it has {found}."
        )
