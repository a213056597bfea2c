"""What may come of any input: a value or an error of the library that names the file, soon, in
bounded memory.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Tuple, Type

#: Processor time that an input may take, in seconds; files for fuzzing have at most 64 kB.
MOST_SECONDS = 5.0

#: What a fuzzed file may take, beside a multiple of the largest page, in bytes.
SPARE_BYTES = 96 * 2**20


def scratch() -> Path:
    """Give a folder for the time of the process, in memory where there is one."""
    in_memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=in_memory if in_memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def found(kind: str) -> Dict[str, bytes]:
    """Inputs for a reader that had another outcome than the stated one, by what they are."""
    folder = Path(__file__).with_name("found")
    return {path.name: path.read_bytes() for path in sorted(folder.glob(f"{kind}-*"))}


@contextlib.contextmanager
def limited(limits: Mapping[Tuple[Any, str], Any]) -> Iterator[None]:
    """Other values in place of those of modules."""
    kept = {place: getattr(*place) for place in limits}
    try:
        for (module, name), value in limits.items():
            setattr(module, name, value)
        yield
    finally:
        for (module, name), value in kept.items():
            setattr(module, name, value)


@contextlib.contextmanager
def bounded(most_bytes: int, seconds: float = MOST_SECONDS) -> Iterator[None]:
    """Refuse what takes long or much memory, even where it gives all of it back.

    Parameters
    ----------
    most_bytes
        By which the resident memory may grow at its peak; Linux alone tells.
    seconds
        Of processor time.
    """
    before = _memory()
    began = time.process_time()
    yield
    took = time.process_time() - began
    assert took < seconds, f"took {took:.1f} s"
    grown = _memory("VmHWM") - before
    assert grown <= most_bytes, f"took {grown / 2**20:.0f} MB"


def _memory(which: str = "VmRSS") -> int:
    if not sys.platform.startswith("linux"):
        return 0
    if which == "VmRSS":
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which + ":"):
            return int(line.split()[1]) * 1024
    return 0


@contextlib.contextmanager
def refused_by_name(path: Path, *kinds: Type[Exception]) -> Iterator[None]:
    """Let pass errors of these kinds whose message names the file; any other is a finding."""
    try:
        yield
    except kinds as error:
        message = str(error)
        assert str(path) in message, f"does not name the file: {message}"
        # What could not be allocated should not have been asked for.
        assert "llocate" not in message and "MemoryError" not in message, message
        assert len(message) < 1000 + len(str(path)), f"a message of {len(message)} characters"
