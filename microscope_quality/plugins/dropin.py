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
from typing import Dict, List, Mapping, Union

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
        When a file is there that was not written by this function, or was changed since; then
        nothing is written. When the folder cannot be written to.
    """
    target = Path(folder)
    written = _recorded(target, record)
    names = {*files, *written}
    for name in sorted(names):
        place = target / name
        if not place.exists() and not place.is_symlink():
            continue
        # Equal to the new one: an earlier installation was interrupted.
        same = name in files and _is(place, _checksum(files[name]))
        if not same and not _is(place, written.get(name)):
            raise FileError(
                f"{place} was not written by this command, or was changed since. Move it away "
                "first, or choose another folder; nothing was written."
            )
    content = {
        "version": __version__,
        "files": {name: _checksum(data) for name, data in sorted(files.items())},
    }
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".installing-", dir=target) as beside:
            for name, data in files.items():
                _replace(target / name, data, Path(beside))
            for name in written.keys() - files.keys():
                _take_away(target, name)
            text = json.dumps(content, indent=2) + "\n"
            _replace(target / record, text.encode(), Path(beside))
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
    for name, checksum in written.items():
        place = target / name
        if place.exists() and not _is(place, checksum):
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


def _recorded(target: Path, record: str) -> Dict[str, str]:
    """Read which files were installed, and their checksums."""
    place = target / record
    if not place.exists():
        return {}
    try:
        files = json.loads(place.read_text(encoding="utf-8"))["files"]
        named = {str(name): str(checksum) for name, checksum in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(f"{place} is no record of an installation: {error}") from error
    for name in named:
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts:
            raise FileError(f"{place} names a file outside its folder: {name}.")
    return named


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _is(place: Path, checksum: Union[str, None]) -> bool:
    if checksum is None or not place.is_file() or place.is_symlink():
        return False
    try:
        return _checksum(place.read_bytes()) == checksum
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
