"""Folders of results for fuzzing: what a run left, finished or killed, changes of it, and the
outcome that any of them must have.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import struct
import tempfile
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Tuple

from microscope_quality.batch.results import Results
from microscope_quality.errors import FileError
from microscope_quality.files.columns import names
from microscope_quality.files.tables import read_table
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.integrity import check_results
from microscope_quality.measuring.settings import Settings

from .outcome import SPARE_BYTES, bounded, refused_by_name, scratch

_COLUMNS = Settings(measures=(Focus(known=(2, 0.3)),)).columns()
_TABLES = {name: names(_COLUMNS[name]) for name in ("results.csv", "patches.csv")}
_FILES = ("results.csv", "patches.csv", "results.csv.part", "patches.csv.part")
_SETTINGS = "0123456789ab"
_ROW = {"file": "new.tif", "settings_id": _SETTINGS, "size_bytes": 7, "modified": "now"}

_FOLDER = scratch() / "results"
_FOLDER.mkdir()


def check(content: bytes) -> None:
    """Read each table of the folder that the input is, check it, and go on with its run."""
    for name in (*_FILES, ".lock"):
        (_FOLDER / name).unlink(missing_ok=True)
    shutil.rmtree(_FOLDER / "older", ignore_errors=True)
    for name, part in zip(_FILES, parted(content)):
        if part:
            (_FOLDER / name).write_bytes(part)
    with bounded(SPARE_BYTES):
        for name in _FILES:
            columns = _TABLES[name.removesuffix(".part")]
            with refused_by_name(_FOLDER / name, FileError):
                for row in read_table(_FOLDER / name, columns):
                    assert tuple(row) == columns
                    assert all(isinstance(text, str) for text in row.values())
        with refused_by_name(_FOLDER, FileError):
            assert all(len(check.told) <= check.differ for check in check_results(_FOLDER)[0])
        with refused_by_name(_FOLDER, FileError):
            _go_on()


def _go_on() -> None:
    older = set(_measured(_FOLDER / "results.csv"))
    with Results(_FOLDER, _TABLES, _SETTINGS) as results:
        before = {file: results.rows(file) for file in results.files()}
        if not results.pages_done("new.tif", 7, "now"):
            before.pop("new.tif", None)
        results.append("new.tif", {"results.csv": [{**_ROW, "z": 5}]})
        files = results.files()
        results.finish(files)
    after = [row["file"] for row in read_table(_FOLDER / "results.csv", _TABLES["results.csv"])]
    assert "new.tif" in after
    assert set(after) <= set(files)
    assert set(after) <= {*before, "new.tif"}
    copied = results.older is not None
    assert copied or older <= set(_measured(_FOLDER / "results.csv"))
    assert sorted((_FOLDER / "older").glob("*")) == ([results.older] if copied else [])
    assert not list(_FOLDER.glob("*.part"))


def _measured(path: Path) -> Iterator[Tuple[str, ...]]:
    """Rows without an error, up to what is damaged."""
    with contextlib.suppress(FileError):
        for row in read_table(path, _TABLES["results.csv"]):
            if not row["error"]:
                yield tuple(row.values())


def parted(content: bytes) -> List[bytes]:
    """The files that an input is: the lengths of the first three, and all of them."""
    lengths = struct.unpack("<3I", content[:12].ljust(12, b"\0"))
    parts, at = [], 12
    for length in lengths:
        parts.append(content[at : at + length])
        at += length
    return [*parts, content[at:]]


def joined(parts: List[bytes]) -> bytes:
    """The input that is these files."""
    return struct.pack("<3I", *map(len, parts[:3])) + b"".join(parts)


def seeds() -> Dict[str, bytes]:
    """What runs left: one that is done, one that was killed, one that was killed at first."""
    found = {}
    for kind, finished, unfinished in (("done", 3, 0), ("killed", 2, 2), ("first", 0, 3)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for number, end in ((finished, True), (unfinished, False)):
                if not number:
                    continue
                with Results(folder, _TABLES, _SETTINGS) as results:
                    for k in range(number):
                        file = f"{kind} {end},\n\"{k}'é.tif"
                        row = {**_ROW, "file": file, "status": "in_focus", "p0": 0.25, "z": 0}
                        patch = {"file": file, "z": 0, "y": 0, "x": 0, "p0": 0.5}
                        both = {"results.csv": [row], "patches.csv": [patch] * 2}
                        results.append(file, both, last=False)
                        results.append(file, both, last=end or k + 1 < number)
                    if end:
                        results.finish(results.files())
            found[kind] = joined(
                [(folder / n).read_bytes() if (folder / n).exists() else b"" for n in _FILES]
            )
    return found


_PIECES = (
    *(b'"', b"\r\n", b"\n", b"\r", b",", b"\0", b"\xff", b"\xef\xbb\xbf", b"file", b"\x1a", b"nan"),
    *(b'"""', b"\r\n\r\n\r\n", b"\xc3", b"\xe2\x80\xa8", b"=cmd", b"," * 60, b"a" * 140000),
)


def mutate(content: bytes, longest: int, seed: int, anyhow: Callable[[bytes, int], bytes]) -> bytes:
    """Cut, repeat, join and damage the files, or anything."""
    rng = random.Random(seed)
    parts = parted(content)
    for _ in range(rng.randint(1, 3)):
        k = rng.randrange(4)
        part = parts[k]
        at, to = sorted(rng.randint(0, len(part)) for _ in range(2))
        what = rng.randrange(7)
        if what == 0:
            part = anyhow(part, longest) if part else part
        elif what == 1:
            part = part[:at]
        elif what == 2:
            part = part[:at] + rng.choice(_PIECES) + part[at:]
        elif what == 3:
            part = part[:at] + part[to:]
        elif what == 4:
            part = part[:to] + part[at:]
        elif what == 5:
            part = parts[rng.randrange(4)]
        else:
            lines = part.splitlines(keepends=True)
            rng.shuffle(lines)
            part = b"".join(lines)
        parts[k] = part
    return joined(parts)[:longest]
