"""Files that a pattern such as ``plate/**/*_w1.tif`` names, where links may lead in circles."""

# Names are texts here: a path would lose their dots and slashes, and takes long to make.
# ruff: noqa: PTH112, PTH114, PTH118

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Callable, Iterator

# The working folder is "".
_Folder = str


def matching(pattern: str) -> list[str]:
    """Names that a pattern matches, in no order, each once.

    Parameters
    ----------
    pattern
        With ``*``, ``?`` and ``[…]`` within the names of files and folders; a part ``**`` stands
        for any number of folders. Names that begin with a dot are left out, unless the part
        does. Links are followed, but ``**`` enters each real folder once.

    Returns
    -------
    list of str
        Relative where the pattern is.
    """
    drive, rest = os.path.splitdrive(pattern)
    parts = re.split(r"[/\\]+" if os.sep == "\\" else "/+", rest)
    start = drive
    if parts and not parts[0]:
        start, parts = drive + os.sep, parts[1:]
    found = [start]
    for number, part in enumerate(parts, 1):
        found = list(dict.fromkeys(_next(found, part, number == len(parts))))
    return [name for name in found if name]


def _next(folders: list[_Folder], part: str, is_last: bool) -> Iterator[_Folder]:
    """What a part of a pattern matches within folders."""
    if part == "**":
        entered: set[str] = set()
        for folder in folders:
            yield from _below(folder, entered, is_last)
    elif not part:  # the pattern ends with a slash: folders alone
        yield from (f"{folder}{os.sep}" for folder in folders if os.path.isdir(folder))
    elif glob.has_magic(part):
        matches = _matcher(part)
        for folder in _once(folders):
            for name, is_folder in _content(folder):
                if matches(name) and (is_last or is_folder):
                    yield _joined(folder, name)
    else:
        for folder in folders:
            path = _joined(folder, part)
            if os.path.lexists(path) if is_last else os.path.isdir(path):
                yield path


def _once(folders: list[_Folder]) -> Iterator[_Folder]:
    """Leave out folders that others are links to: with links in circles there are ever more."""
    entered: set[str] = set()
    for folder in folders:
        real = os.path.realpath(folder or os.curdir)
        if real not in entered:
            entered.add(real)
            yield folder


def _matcher(part: str) -> Callable[[str], bool]:
    fits = re.compile(fnmatch.translate(os.path.normcase(part))).match
    hidden = part.startswith(".")
    return lambda name: bool((hidden or not name.startswith(".")) and fits(os.path.normcase(name)))


def _below(folder: _Folder, entered: set[str], with_files: bool) -> Iterator[_Folder]:
    """A folder and all below it; not by recursion, as there may be more levels than calls."""
    if not os.path.isdir(folder or os.curdir):
        return
    waiting = [(folder, os.path.realpath(folder or os.curdir))]
    # Links come last: what lies in the folder itself keeps its own name.
    links: list[_Folder] = []
    while waiting or links:
        path, real = waiting.pop() if waiting else (links[-1], os.path.realpath(links.pop()))
        if real in entered:
            continue
        entered.add(real)
        yield path
        for name, is_folder in _content(path):
            below = _joined(path, name)
            if name.startswith("."):
                continue
            if with_files and not is_folder:
                yield below
            elif is_folder and (os.path.islink(below) or os.sep == "\\"):
                links.append(below)
            elif is_folder:
                waiting.append((below, os.path.join(real, name)))


def _content(folder: _Folder) -> list[tuple[str, bool]]:
    """Names in a folder, and whether each is a folder or a link to one."""
    try:
        with os.scandir(folder or os.curdir) as entries:
            return [(entry.name, _is_folder(entry)) for entry in entries]
    except OSError:
        return []  # as glob: what cannot be searched has no matches


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _joined(folder: _Folder, name: str) -> str:
    return os.path.join(folder, name) if folder else name
