"""The record of a run."""

import json
import time

import pytest

from microscope_quality.batch.run_record import RunRecord
from microscope_quality.errors import FileError


def record(out, **facts):
    return RunRecord(
        out=out,
        command=["measure", "a.tif"],
        folder=out,
        settings_id="0" * 12,
        settings=facts,
        model={},
        jobs=1,
        started="2026-01-01T00:00:00Z",
        began=time.monotonic(),
    )


def test_where_nothing_new_can_be_written_an_end_is_told_all_the_same(tmp_path):
    record(tmp_path, note="x" * 500).write("running", {"files": 3})
    # As on a full disk: no file can be made beside it.
    (tmp_path / ".run.json.part").mkdir()
    with pytest.raises(FileError, match="run.json: cannot be written"):
        record(tmp_path).write("running", {"files": 3})
    record(tmp_path).write("failed", {"files": 3})
    written = json.loads((tmp_path / "run.json").read_text())
    assert (written["status"], written["counts"]) == ("failed", {"files": 3})
    (tmp_path / "run.json").unlink()
    with pytest.raises(FileError, match="run.json: cannot be written"):
        record(tmp_path).write("failed", {})
    assert not (tmp_path / "run.json").exists()
