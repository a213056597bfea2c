"""What a search in a folder leaves out: small copies of images, and what the user excludes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from microscope_quality.errors import printable

#: Endings of slides, beside which pictures of the glass may lie.
SLIDES = (".svs", ".ndpi", ".scn", ".bif", ".qptiff", ".mrxs")

# Why something is left out, of several.
THUMBNAILS = "thumbnails (…_thumb)"
REDUCED = "reduced copies (Downsampled_x…)"
OVERVIEWS = "labels and overviews of slides"
EXCLUDED = "excluded images"
EXCLUDED_FOLDERS = "excluded folders"
_ONE = {
    THUMBNAILS: "thumbnail (…_thumb)",
    REDUCED: "reduced copy (Downsampled_x…)",
    OVERVIEWS: "label or overview of a slide",
    EXCLUDED: "excluded image",
    EXCLUDED_FOLDERS: "excluded folder",
}
_FOLDERS_OF = "folders of "

# ImageXpress writes a number of Windows' behind the word.
_GUID = r"\{?[0-9A-F]{8}(?:-?[0-9A-F]{4}){3}-?[0-9A-F]{12}\}?"
_THUMBNAIL = re.compile(
    rf"^thumb(?:nail)?s?[_\-]|(?:^|[_\-.])thumb(?:nail)?s?(?:_?{_GUID})?(?:\.|$)", re.IGNORECASE
)
# As of Micro-Magellan, whose folders are one for each resolution.
_REDUCED = re.compile(r"(?:^|[_\-.])downsampled?[_\-]?x?[0-9]+(?:\.|$)", re.IGNORECASE)
_OVERVIEW = re.compile(r"^(.+)[_\-.](?:label|macro|map|overview)\.[a-z]+$", re.IGNORECASE)


class LeftOutCounts(Counter[str]):
    """Counts what a search leaves out, by why.

    Attributes
    ----------
    first : dict of str to str
        Name of the first one, by why.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first: dict[str, str] = {}

    def add(self, why: str, name: str) -> None:
        """Count one that is left out."""
        self[why] += 1
        self.first.setdefault(why, name)

    def add_all(self, others: LeftOutCounts) -> None:
        """Count those of another search."""
        self.update(others)
        self.first = {**others.first, **self.first}


class LeftOut:
    """Tells which names a search leaves out.

    Parameters
    ----------
    patterns
        What to leave out besides: ``*``, ``?`` and ``[…]`` within the name of a file or folder,
        ``**`` for any number of folders. One with a slash is for the path from the searched folder
        on, one without for the name of any file or folder in it.

    Attributes
    ----------
    counts : LeftOutCounts
        How many were left out so far, by why.
    """

    def __init__(self, patterns: str | Iterable[str] = ()) -> None:
        patterns = [patterns] if isinstance(patterns, str) else patterns
        self._patterns = [pattern.strip("/").split("/") for pattern in patterns]
        self.counts = LeftOutCounts()

    def why(self, name: str, beside: Collection[str]) -> str:
        """Tell why to leave out a file or folder; empty if it is not.

        Parameters
        ----------
        name
            Relative to the folder that is searched, with forward slashes.
        beside
            Names that lie in the same folder.
        """
        if self.is_excluded(name):
            return EXCLUDED
        last = name.rpartition("/")[2]
        if _THUMBNAIL.search(last):
            return THUMBNAILS
        if _REDUCED.search(last):
            return REDUCED
        overview = _OVERVIEW.match(last)
        if overview and any(f"{overview[1]}{ending}" in beside for ending in SLIDES):
            return OVERVIEWS
        return ""

    def is_excluded(self, name: str) -> bool:
        """Whether the user's patterns leave out a name."""
        names = name.split("/")
        return any(
            _fits(parts, names if len(parts) > 1 else names[-1:]) for parts in self._patterns
        )


def folders_of(why: str) -> str:
    """Turn why images are left out into why whole folders of them are."""
    return _FOLDERS_OF + why


def in_words(counts: LeftOutCounts) -> str:
    """Say how many of what were left out, and which one is the first."""
    said = []
    for why, number in counts.items():
        name = printable(counts.first[why])
        said.append(f"1 {_one(why)}, {name}" if number == 1 else f"{number:,} {why}, {name} first")
    return "; ".join(said)


def _one(why: str) -> str:
    if why.startswith(_FOLDERS_OF):
        return why.replace(_FOLDERS_OF, "folder of ", 1)
    return _ONE[why]


def _fits(parts: Sequence[str], names: Sequence[str]) -> bool:
    """Whether the parts of a pattern match those of a path, case by case."""
    if not parts:
        return not names
    if parts[0] == "**":
        # At its end, it stands for what is in a folder, not for the folder.
        first = 1 if len(parts) == 1 else 0
        return any(_fits(parts[1:], names[k:]) for k in range(first, len(names) + 1))
    return bool(names) and fnmatchcase(names[0], parts[0]) and _fits(parts[1:], names[1:])
