"""``run.json``: what a run was, for whoever finds its folder later."""

from __future__ import annotations

import json
import platform
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from microscope_quality.errors import FileError
from microscope_quality.files.regular import read_text
from microscope_quality.files.whole import whole
from microscope_quality.version import __version__

RUN_RECORD = "run.json"
SCHEMA_VERSION = 1
# Of the file; a record has some thousands, and what is named on the command line.
_MOST_BYTES = 2**26
_LIBRARIES = ("numpy", "scipy", "tifffile", "imagecodecs", "Pillow")


@dataclass(frozen=True)
class RunRecord:
    """A run's record, in the folder of its tables.

    Attributes
    ----------
    out
        That folder.
    command
        As it was typed, the program's name left away.
    folder
        What the column ``file`` is relative to.
    settings_id, settings, model
        How it measured.
    jobs
        Processes at work.
    started, began
        Time of day, and of a clock that only goes forward, in seconds.
    """

    out: Path
    command: Sequence[str]
    folder: Path
    settings_id: str
    settings: Mapping[str, object]
    model: Mapping[str, object]
    jobs: int
    started: str = field(default_factory=lambda: now())
    began: float = field(default_factory=time.monotonic)

    def write(self, status: str, counts: Mapping[str, int]) -> None:
        """Write it anew: whole, or over the earlier one where the disk has no room for another.

        Parameters
        ----------
        status
            ``"running"``, ``"finished"``, ``"interrupted"`` or ``"failed"``.
        counts
            Files and planes so far.

        Raises
        ------
        FileError
            Nothing can be written there.
        """
        running = status == "running"
        content: dict[str, Any] = {
            "schema": SCHEMA_VERSION,
            "command": list(self.command),
            "status": status,
            "started": self.started,
            "ended": None if running else now(),
            "seconds": round(time.monotonic() - self.began, 3),
            "folder": str(self.folder),
            "settings_id": self.settings_id,
            "settings": dict(self.settings),
            "model": dict(self.model),
            "versions": versions(),
            "jobs": self.jobs,
            "counts": dict(counts),
        }
        content["checksum"] = checksum_of(content)
        path = self.out / RUN_RECORD
        encoded = (json.dumps(content, indent=2) + "\n").encode()
        try:
            with whole(path) as part:
                part.write_bytes(encoded)
        except FileError:
            if running:
                raise
            _write_over(path, encoded)


def _write_over(path: Path, content: bytes) -> None:
    """Write into a file that is there, in the room that it has on the disk.

    Raises
    ------
    FileError
        It cannot be written to.
    """
    try:
        with path.open("r+b") as stream:
            stream.write(content)
            stream.truncate()
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error


def checksum_of(record: Mapping[str, Any]) -> str:
    """Give the checksum of a record: CRC-32 of its other entries as JSON, sorted by their names.

    It tells accidents and edits; it is no signature.
    """
    others = {name: value for name, value in record.items() if name != "checksum"}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"


def read_record(path: Path) -> dict[str, Any]:
    """Read a run's record, of this version or another one.

    Raises
    ------
    FileError
        It is missing, no regular file, or damaged.
    """
    try:
        return _parsed(read_text(path, _MOST_BYTES))
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: is damaged: {str(error)[:200]}") from error


def _parsed(text: str) -> dict[str, Any]:
    record = json.loads(text)
    if not isinstance(record, dict):
        raise ValueError("it is no JSON object")
    return record


def counted_planes(content: bytes) -> int | None:
    """Tell how many planes the record of a finished run counts; None where it does not tell."""
    try:
        record = _parsed(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    counts = record.get("counts")
    planes = counts.get("planes") if isinstance(counts, dict) else None
    return planes if record.get("status") == "finished" and isinstance(planes, int) else None


def earlier_folder(out: Path) -> Path | None:
    """Folder of the images of the run that wrote a record last; None where that cannot be told."""
    try:
        return Path(read_record(out / RUN_RECORD)["folder"])
    except (FileError, KeyError, TypeError):
        return None


def now() -> str:
    """Time of day in UTC, in ISO 8601."""
    return f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def versions() -> dict[str, str]:
    """Versions of the library, of Python and of the libraries that numbers depend on."""
    found = {"microscope-quality": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
