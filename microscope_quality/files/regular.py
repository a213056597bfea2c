"""Open regular files alone: a pipe could make one wait for ever, a device have no end."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from microscope_quality.errors import FileError, reason_of

# Letters of a name that metadata tell, and folders of which the places are kept.
_LONGEST_NAME = 1000
_MOST_FOLDERS = 10_000
# A file of more bytes than this that takes so much less of the disk; packing by the disk itself
# saves less.
_HOLLOW_BYTES = 2**30
_HOLLOW_TIMES = 1000


def open_regular(path: str | os.PathLike[str], *, follow_link: bool = True) -> BinaryIO:
    """Open a file for reading, if it is a regular one.

    Parameters
    ----------
    path
        Of the file.
    follow_link
        Whether the name may be a link; folders above it may be links in any case.

    Raises
    ------
    FileError
        It is a folder, a pipe, a device or a socket, or a link that is not to be followed.
    OSError
        It cannot be opened.
    """
    if not stat.S_ISREG(Path(path).stat(follow_symlinks=follow_link).st_mode):
        raise FileError(f"{os.fspath(path)}: is not a regular file")
    # It may be another one by now: what is opened waits for nobody, and is looked at again.
    flags = os.O_RDONLY
    for name in ("O_BINARY", "O_CLOEXEC", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    if not follow_link:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    stream = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise FileError(f"{os.fspath(path)}: is not a regular file")
    return stream


def is_hollow(status: os.stat_result) -> bool:
    """Whether a file is almost all holes, which take long to read and no place on the disk."""
    stored = getattr(status, "st_blocks", None)
    if stored is None or status.st_size < _HOLLOW_BYTES:
        return False
    return bool(512 * stored < status.st_size / _HOLLOW_TIMES)


def read_text(path: Path, most_bytes: int) -> str:
    """Read a file of metadata as UTF-8.

    Raises
    ------
    FileError
        It is no regular file, has more bytes than allowed, or is no UTF-8.
    OSError
        It cannot be opened.
    """
    with open_regular(path) as stream:
        return _text(stream, path, most_bytes)


@contextlib.contextmanager
def refusals(path: str | os.PathLike[str], doing: str = "read") -> Iterator[None]:
    """Turn what the system refuses into a `FileError` that names the file.

    Parameters
    ----------
    path
        Of the file.
    doing
        What was tried: ``"read"`` or ``"written"``.
    """
    try:
        yield
    except FileError:
        # Perhaps of another file, from which this one is made.
        raise
    except OSError as error:
        said = error.strerror or error
        raise FileError(f"{os.fspath(path)}: cannot be {doing}: {said}") from error


def said(error: Exception) -> str:
    """Give what an error says in a line of moderate length."""
    text = str(getattr(error, "strerror", None) or error)
    return " ".join(text.split())[:200] or type(error).__name__


class Folder:
    """A folder whose regular files are read, and no file that lies outside of it.

    Links are followed as long as they stay inside.

    Parameters
    ----------
    path
        Of the folder, which may be a link itself.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._root = os.path.realpath(path)
        # By their names; what was found of a folder holds for all the files in it.
        self._folders: dict[str, str] = {"": self._root}

    def name_of(self, path: str) -> str:
        """Give the name of a place in the folder that metadata tell.

        Parameters
        ----------
        path
            From this folder on, with forward slashes.

        Returns
        -------
        str
            The same without links, ``.`` and ``..``; empty for this folder.

        Raises
        ------
        FileError
            It lies outside, or is no name that a file can have.
        """
        if len(path) > _LONGEST_NAME or "\0" in path:
            raise FileError(f"is damaged: its metadata tell the name {path[:100]!r}")
        inner = os.path.realpath(f"{self._root}/{path}")
        if not self._holds(inner):
            raise FileError(f"is damaged: its metadata name {path!r}, which is outside of it")
        name = os.path.relpath(inner, self._root)
        return "" if name == os.curdir else name.replace(os.sep, "/")

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading.

        Parameters
        ----------
        name
            From this folder on, with forward slashes and without ``.`` and ``..``.

        Raises
        ------
        FileNotFoundError
            There is none.
        FileError
            It is no regular file, or is reached by a link to what is outside or missing.
        OSError
            It cannot be opened.
        """
        above, _, last = name.rpartition("/")
        path = self._followed(f"{self._place(above)}{os.sep}{last}", name)
        try:
            return open_regular(path, follow_link=False)
        except FileError as error:
            raise FileError(f"{name}: {reason_of(error, path)}") from None

    def version(self, name: str) -> tuple[int, int, int]:
        """Tell by what a file is known not to have changed: its time, size and number.

        Raises
        ------
        FileError, OSError
            As `open` does.
        """
        with self.open(name) as stream:
            status = os.fstat(stream.fileno())
        return status.st_mtime_ns, status.st_size, status.st_ino

    def read_text(self, name: str, most_bytes: int) -> str:
        """Read a file of metadata as UTF-8.

        Raises
        ------
        FileError
            As `open` and `read_text` do.
        OSError
            As `open` does.
        """
        with self.open(name) as stream:
            return _text(stream, name, most_bytes)

    def _place(self, name: str) -> str:
        """Give the path of a folder, in which none is a link."""
        place = self._folders.get(name)
        if place is None:
            above, _, last = name.rpartition("/")
            place = self._followed(f"{self._place(above)}{os.sep}{last}", name)
            if not stat.S_ISDIR(os.lstat(place).st_mode):
                raise FileError(f"{name}: is not a folder")
            if len(self._folders) >= _MOST_FOLDERS:
                self._folders = {"": self._root}
            self._folders[name] = place
        return place

    def _followed(self, path: str, name: str) -> str:
        """Give a path, or where it leads if it is a link."""
        if not stat.S_ISLNK(os.lstat(path).st_mode):
            return path
        target = os.path.realpath(path)
        if not self._holds(target):
            raise FileError(f"{name}: is a link that leads out of the folder")
        if not os.path.lexists(target):
            raise FileError(f"{name}: is a link to a file that is missing")
        return target

    def _holds(self, path: str) -> bool:
        return path == self._root or path.startswith(f"{self._root.rstrip(os.sep)}{os.sep}")


def _text(stream: BinaryIO, path: str | Path, most_bytes: int) -> str:
    content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise FileError(f"{path}: is damaged: it has more than {most_bytes} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is damaged: it is no UTF-8 ({error.reason})") from None
