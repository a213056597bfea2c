"""What memory a plane is said to need, against what processes take."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from microscope_quality.batch.budget import Budget
from microscope_quality.batch.run import run
from microscope_quality.errors import SettingsError
from microscope_quality.measuring.memory import budget_of, limit_of, memory_of, run_within
from microscope_quality.measuring.page import measure_file
from microscope_quality.measuring.settings import Settings


def peak(path: Path) -> int:
    """Measure a file; give the largest memory of the process so far."""
    measure_file(Settings(), (path.name, path))
    with Path("/proc/self/status").open() as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("kind", "side", "compression"), [("u2", 3000, "zlib"), ("f4", 2000, None)]
)
def test_a_process_takes_no_more_than_said(
    tmp_path: Path, kind: str, side: int, compression: str
) -> None:
    noise = np.random.default_rng(0).poisson(100, (side, side)).astype(kind)
    # In one strip: all of it is unpacked at once.
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise, compression=compression, rowsperstrip=side)
    # Of two jobs, so that it is a process that has done nothing else.
    (outcome,) = run(peak, [path], jobs=2)
    assert outcome.value is not None, outcome.error
    said = memory_of(side, side, noise.itemsize, patch_size=84)
    # The process of a test has imported more than that of the command.
    assert said / 2 < outcome.value < said + 60e6
    # The part that grows with the image, with nothing forgiven.
    assert outcome.value - said < 60e6
    assert said - memory_of(84, 84, noise.itemsize, patch_size=84) > side * side * noise.itemsize


def test_the_limit_counts_this_process_beside_the_workers():
    def outcomes(jobs, limit):
        need = 100_000_000
        limited = run_within(limit, lambda _: need, abs, [-1, -2], jobs=jobs, budget=Budget())
        return [(outcome.value, outcome.error) for outcome in limited]

    assert outcomes(1, 185_000_000) == [(1, ""), (2, "")]
    said = "needs about 185 MB of memory, and the limit is 150 MB"
    assert outcomes(1, 150_000_000) == outcomes(2, 150_000_000) == [(None, said)] * 2


def test_amounts_as_people_write_them():
    assert limit_of("1.5GiB") == 1.5 * 2**30
    assert budget_of(20, "1GB") == Budget(20, 10**9)
    assert budget_of(20) == Budget(20)
    with pytest.raises(SettingsError, match="^limit_memory is 199MB; it has to be 200 MB or more"):
        limit_of("199MB")
    with pytest.raises(SettingsError, match="^file_memory is 99MB; it has to be 100 MB or more"):
        budget_of(20, "99MB")
    with pytest.raises(SettingsError, match="no amount of memory"):
        limit_of("much")
