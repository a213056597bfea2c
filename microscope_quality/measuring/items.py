"""What there is to measure: files, their pages, and the places of planes in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from microscope_quality.files.ome_zarr import identity as zarr_identity
from microscope_quality.files.ome_zarr import is_zarr
from microscope_quality.files.plane import Page, Pages, Plane


@dataclass(frozen=True)
class Item:
    """A page to measure, `last` of its file, or a file that has none because of an error.

    One that is not `listed` is a file of which nothing is known but its name and, of an earlier
    run, how many of its pages are `done`.
    """

    file: int
    name: str
    path: Path
    page: Page
    last: bool = True
    size_bytes: int = 0
    modified: str = ""
    error: str = ""
    listed: bool = True
    done: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Place:
    """Where a plane lies in its file; None for an axis that the file does not have."""

    series: int | None = None
    z: int | None = None
    c: int | None = None
    t: int | None = None

    def __str__(self) -> str:
        axes = {"series ": self.series, "z": self.z, "c": self.c, "t": self.t}
        return " ".join(f"{axis}{index}" for axis, index in axes.items() if index is not None)


@dataclass(frozen=True)
class Listed:
    """Pages of a file that are to be measured, and the digest of the file."""

    pages: Pages
    sha256: str


def place_of(at: Page | Plane) -> Place:
    """Give the place of a page or a plane."""
    return Place(at.series, at.z, at.c, at.t)


def identity(path: Path) -> tuple[int, str]:
    """Size in bytes and time of the last change of a file: by these it is known again.

    Of a folder of OME-Zarr, those of all files in it.

    The time is UTC with nanoseconds, in ISO 8601; a file that is not there has size 0 and no time.
    """
    try:
        if is_zarr(path):
            size_bytes, mtime_ns = zarr_identity(path)
            return size_bytes, modified_text(mtime_ns)
        status = path.stat()
    except (OSError, ValueError):
        return 0, ""
    return status.st_size, modified_text(status.st_mtime_ns)


def modified_text(mtime_ns: int) -> str:
    """Write a file's time of change as `identity` gives it."""
    seconds, nanoseconds = divmod(mtime_ns, 10**9)
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"
    except (OverflowError, ValueError, OSError):  # a year that no calendar has
        return f"{mtime_ns} ns"


def unlisted(
    files: Iterable[tuple[str, Path]],
    done: Callable[[str, int, str], int | None] = lambda name, size_bytes, modified: 0,
) -> Iterator[Item]:
    """Files that are still to be measured, of which nothing is read.

    Parameters
    ----------
    files
        Names and paths.
    done
        Tells of a file's name, size and time how many of its pages are measured; None for all.
    """
    for number, (name, path) in enumerate(files):
        size_bytes, modified = identity(path)
        pages_done = done(name, size_bytes, modified)
        if pages_done is not None:
            yield Item(
                number,
                name,
                path,
                Page(0),
                size_bytes=size_bytes,
                modified=modified,
                listed=False,
                done=pages_done,
            )


def follow(item: Item, listed: Listed) -> tuple[Item, Iterator[Item]]:
    """Give the first page of a file that is listed by now, and the others that follow it."""

    def page(number: int) -> Item:
        return replace(
            item,
            page=listed.pages[number],
            last=number == len(listed.pages) - 1,
            listed=True,
            sha256=listed.sha256,
        )

    return page(0), map(page, range(1, len(listed.pages)))


def on_any_machine(item: Item) -> Item:
    """Give an item with an absolute path, as another machine's processes need it."""
    return replace(item, path=item.path.absolute())
