"""The digest of an image: by it, its bytes are known again, wherever they were copied to."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from microscope_quality.errors import FileError, reason_of
from microscope_quality.files.ome_zarr import is_zarr
from microscope_quality.files.regular import is_hollow, open_regular

_BLOCK_BYTES = 2**17


def digest_of(path: Path) -> str:
    """Give the SHA-256 digest of a file, or of a folder of OME-Zarr.

    A folder's is that of ``PATH NUL SIZE NUL DIGEST`` of all that is below it and no folder,
    sorted by the bytes of PATH, which is relative, with slashes, in the system's own encoding.
    Links are not followed: in place of SIZE stands ``link``, and DIGEST is of the path in it. Of
    what has no content, such as a pipe, there stand its kind, such as ``pipe``, and the digest of
    nothing.

    Parameters
    ----------
    path : Path
        Of a regular file, of a folder whose name ends in ``.zarr``, or of a link to one.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    FileError
        It cannot be read, or is something else.
    """
    try:
        buffer = memoryview(bytearray(_BLOCK_BYTES))
        return _of_folder(path, buffer) if is_zarr(path) else _of_file(path, buffer)[1]
    except OSError as error:
        raise FileError(f"{path}: has no digest: {reason_of(error, path)}") from error
    except ValueError as error:  # a path that no system takes
        raise FileError(f"{str(path)!a}: has no digest: {error}") from error


def _of_file(path: Path, buffer: memoryview, *, follow_link: bool = True) -> tuple[int, str]:
    """Size in bytes and digest of a regular file."""
    digest = hashlib.sha256()
    with open_regular(path, follow_link=follow_link) as stream:
        status = os.fstat(stream.fileno())
        if is_hollow(status):
            raise FileError(f"{path}: has {status.st_size} bytes, of which almost none are there")
        left = size = status.st_size
        # One that grows has no end that could be waited for.
        while n := stream.readinto(buffer[:left]):  # type: ignore[attr-defined]
            digest.update(buffer[:n])
            left -= n
        if left or stream.read(1):
            raise FileError(f"{path}: was changed while it was read")
    return size, digest.hexdigest()


def _of_folder(folder: Path, buffer: memoryview) -> str:
    digest = hashlib.sha256()
    for name, kind in sorted(_below(os.fspath(folder))):
        path = folder / os.fsdecode(name)
        of_content = hashlib.sha256().hexdigest()
        if kind == "file":
            size, of_content = _of_file(path, buffer, follow_link=False)
            kind = str(size)
        elif kind == "link":
            of_content = hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()
        digest.update(b"\0".join((name, kind.encode(), of_content.encode())))
    return digest.hexdigest()


def _below(folder: str) -> Iterator[tuple[bytes, str]]:
    """Relative paths of all that is in a folder and no folder, and what each is."""
    kinds: dict[int, str] = {
        stat.S_IFREG: "file",
        stat.S_IFLNK: "link",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
    }
    folders = [""]
    while folders:
        above = folders.pop()
        with os.scandir(os.path.join(folder, above)) as entries:  # noqa: PTH118
            for entry in entries:
                name = f"{above}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{name}/")
                else:
                    mode = entry.stat(follow_symlinks=False).st_mode
                    yield os.fsencode(name), kinds.get(stat.S_IFMT(mode), "device")
