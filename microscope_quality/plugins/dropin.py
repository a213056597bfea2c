"""Put files into another program's folder, replace them by newer ones, and take them away again.

A record of what was written lies among the files. What is not in it, or was changed since, belongs
to the user and is never touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import Dict, List, Mapping, Sequence, Union

from microscope_quality.errors import FileError
from microscope_quality.version import __version__

StrPath = Union[str, "os.PathLike[str]"]


def install(files: Mapping[str, bytes], folder: StrPath, record: str) -> List[Path]:
    """Write files into a folder; those of an earlier version are replaced or taken away.

    Parameters
    ----------
    files : mapping of str to bytes
        Contents by path below `folder`, with slashes.
    folder : str or path
        Made when it does not exist.
    record : str
        Path of the record below `folder`.

    Returns
    -------
    list of Path
        What was written, without the record.

    Raises
    ------
    FileError
        When a file is there that was not written by this function, or was changed since, or a
        link in place of a file or folder; then nothing is written. When the folder cannot be
        written to.
    """
    target = Path(folder)
    before = _recorded(target, record)
    fresh = {name: [_checksum(data)] for name, data in files.items()}
    for name in sorted({*before, *fresh}):
        place = _inside(target, name)
        if place.exists() and not _is(place, before.get(name, ())):
            raise FileError(
                f"{place} was not written by this command, or was changed since. Move it away "
                "first, or choose another folder; nothing was written."
            )
    _inside(target, record)
    # Recorded before it is written: after an interruption all that is there is known to be ours.
    either = {name: [*before.get(name, ()), *fresh.get(name, ())] for name in {*before, *fresh}}
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".installing-", dir=target) as beside:
            _replace(target / record, _record(either), Path(beside))
            for name, data in files.items():
                _replace(target / name, data, Path(beside))
            for name in before.keys() - fresh.keys():
                _take_away(target, name)
            _replace(target / record, _record(fresh), Path(beside))
    except OSError as error:
        raise FileError(f"{target} cannot be written to: {error}") from error
    return [target / name for name in sorted(files)]


def remove(folder: StrPath, record: str) -> List[Path]:
    """Take away what `install` wrote.

    Parameters
    ----------
    folder, record
        As given to `install`.

    Returns
    -------
    list of Path
        What was removed.

    Raises
    ------
    FileError
        When nothing was installed there, or a file was changed since; then all is left. When a
        file cannot be removed.
    """
    target = Path(folder)
    written = _recorded(target, record)
    if not written:
        raise FileError(f"{target} has nothing that this command installed: {record} is missing.")
    for name, checksums in written.items():
        place = _inside(target, name)
        if place.exists() and not _is(place, checksums):
            raise FileError(
                f"{place} was changed since it was installed. Move it away first; nothing was "
                "removed."
            )
    try:
        for name in written:
            _take_away(target, name)
        _take_away(target, record)
    except OSError as error:
        raise FileError(f"{target} cannot be changed: {error}") from error
    return [target / name for name in sorted(written)]


def _recorded(target: Path, record: str) -> Dict[str, List[str]]:
    """Read which files were installed, and the checksums that each may have."""
    place = target / record
    if not place.exists():
        return {}
    try:
        files = json.loads(place.read_text(encoding="utf-8"))["files"]
        named = {str(name): [str(one) for one in checksums] for name, checksums in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(f"{place} is no record of an installation: {error}") from error
    for name in named:
        parts = PurePosixPath(name)
        # A backslash or a colon leads elsewhere on Windows.
        if parts.is_absolute() or ".." in parts.parts or "\\" in name or ":" in name:
            raise FileError(f"{place} names a file outside its folder: {name}.")
    return named


def _record(files: Mapping[str, Sequence[str]]) -> bytes:
    content = {"version": __version__, "files": {name: files[name] for name in sorted(files)}}
    return (json.dumps(content, indent=2) + "\n").encode()


def _inside(target: Path, name: str) -> Path:
    """Give a file's place; links below the folder lead to what is not its own."""
    place = target / name
    for part in (place, *place.parents):
        if part == target:
            break
        if part.is_symlink():
            raise FileError(
                f"{part} is a link, and was not written by this command. Move it away first, or "
                "choose another folder; nothing was changed."
            )
    return place


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _is(place: Path, checksums: Sequence[str]) -> bool:
    if not place.is_file():
        return False
    try:
        return _checksum(place.read_bytes()) in checksums
    except OSError as error:
        raise FileError(f"{place} cannot be read: {error}") from error


def _replace(place: Path, data: bytes, beside: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = beside / "file"
    fresh.write_bytes(data)
    fresh.replace(place)


def _take_away(target: Path, name: str) -> None:
    """Remove a file, what Python compiled of it, and folders that this leaves empty."""
    place = target / name
    with contextlib.suppress(FileNotFoundError):
        place.unlink()
    for compiled in (place.parent / "__pycache__").glob(f"{place.stem}.*.pyc"):
        compiled.unlink()
    for folder in (place.parent / "__pycache__", *place.parents):
        if folder == target:
            break
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
