"""What Linux tells of the processes of a run."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import List


def resident(session: int) -> int:
    """Memory of all processes of a session, in bytes."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                total += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return total


def workers_of(pid: int) -> List[int]:
    """Processes at work for a run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if parent == pid and "spawn_main" in status.with_name("cmdline").read_text():
                found.append(int(status.parent.name))
    return found
