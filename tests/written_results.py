"""Small folders of results, written by other libraries than the one under test."""

import csv
import io
import json
import zlib

import numpy as np
import tifffile

from microscope_quality.files.columns import names
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.settings import Settings

LEVELS = 11
#: Of a model that need not be at hand.
SETTINGS = Settings(measures=(Focus(known=(LEVELS, 0.3)),))
COLUMNS, PATCH_COLUMNS, STACK_COLUMNS = map(names, SETTINGS.columns().values())


def plane_row(file, level=0.0, certainty=0.8, status=None, **more):
    """A row as `measure` writes it: all probability near a level."""
    low = int(level)
    odds = [0.0] * LEVELS
    odds[low] += 1 - (level - low)
    if level > low:
        odds[low + 1] += level - low
    row = {
        "file": file,
        "width": 100,
        "height": 90,
        "level": round(level),
        "expected_level": f"{level:g}",
        "certainty": f"{certainty:g}",
        "mean_certainty": f"{min(1, certainty + 0.1):g}",
        "status": status or ("in_focus" if level <= 1.5 else "out_of_focus"),
        **{f"p{k}": f"{p:g}" for k, p in enumerate(odds)},
        "size_bytes": "",
        "modified": "",
    }
    return {**row, **more}


def failed_row(file, error="is empty (0 bytes)", **more):
    return {"file": file, "error": error, **more}


def with_checksum(row, columns):
    """The row with what its last column has: a checksum of the columns' names and of its fields."""
    if columns[-1] != "checksum":
        return row
    fields = [str("" if row.get(name) is None else row.get(name, "")) for name in columns[:-1]]
    text = "\0".join(columns[:-1]) + "\0".join(fields)
    return {"checksum": f"{zlib.crc32(text.encode()):08x}", **row}


def write_results(folder, rows, columns=None, record=None, stacks=None):
    """Write the tables with the csv module alone."""
    folder.mkdir(parents=True, exist_ok=True)
    header = columns or COLUMNS
    with (folder / "results.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, header, restval="", extrasaction="ignore")
        table.writeheader()
        table.writerows(with_checksum(row, header) for row in rows)
    if stacks is not None:
        with (folder / "stacks.csv").open("w", encoding="utf-8", newline="") as stream:
            table = csv.DictWriter(stream, STACK_COLUMNS, restval="")
            table.writeheader()
            table.writerows(with_checksum(row, STACK_COLUMNS) for row in stacks)
    if record is not None:
        (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def write_image(path, seed=0, shape=(90, 100)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    tifffile.imwrite(path, rng.integers(100, 4000, shape).astype(np.uint16))
