"""The record of a run."""

import json
import os
import time
import zlib

import pytest

from microscope_quality.batch.run_record import (
    RunRecord,
    checksum_of,
    counted_planes,
    earlier_folder,
    read_record,
)
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


def test_a_record_has_a_checksum_of_its_other_entries(tmp_path):
    record(tmp_path, note="é\udcff", share=0.1).write("finished", {"files": 3, "planes": 5})
    path = tmp_path / "run.json"
    written = json.loads(path.read_text())
    others = {name: value for name, value in written.items() if name != "checksum"}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"))
    assert written["checksum"] == f"{zlib.crc32(text.encode()):08x}" == checksum_of(written)
    assert checksum_of({**written, "status": "failed"}) != written["checksum"]
    assert read_record(path) == written
    assert counted_planes(path.read_bytes()) == 5
    assert earlier_folder(tmp_path) == tmp_path


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"\xff", b"[" * 100_000, b"9" * 10_000, b'{"counts": []}'),
        *(b'{"status": "finished", "counts": {"planes": "5"}}', b'{"folder": 7}'),
        b'{"status": "interrupted", "counts": {"planes": 5}}',
    ],
)
def test_a_damaged_record_tells_nothing(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    assert counted_planes(content) is None
    assert earlier_folder(tmp_path) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_its_place_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(FileError, match="run.json: is not a regular file"):
        read_record(tmp_path / "run.json")
    assert earlier_folder(tmp_path) is None
