"""Marks of tests of what not every system has."""

import sys

import pytest

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="limits and lists of processes as on Linux"
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals, limits and rights of POSIX")
sparse_files = pytest.mark.skipif(
    sys.platform == "win32", reason="an empty file takes all of its place on the disk there"
)


def peak_bytes():
    """Largest memory that this process has taken; skips the test where no system tells."""
    resource = pytest.importorskip("resource", reason="Windows tells no peak of memory")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
