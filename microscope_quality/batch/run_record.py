"""``run.json``: what a run was, for whoever finds its folder later."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

from microscope_quality.errors import FileError
from microscope_quality.files.whole import whole
from microscope_quality.version import __version__

RUN_RECORD = "run.json"
SCHEMA_VERSION = 1
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
    started: str
    began: float

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
        content: Dict[str, Any] = {
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


def earlier_folder(out: Path) -> Optional[Path]:
    """Folder of the images of the run that wrote a record last; None where that cannot be told."""
    try:
        folder = json.loads((out / RUN_RECORD).read_text(encoding="utf-8"))["folder"]
        return Path(folder)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def now() -> str:
    """Time of day in UTC, in ISO 8601."""
    return f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def versions() -> Dict[str, str]:
    """Versions of the library, of Python and of the libraries that numbers depend on."""
    found = {"microscope-quality": __version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
