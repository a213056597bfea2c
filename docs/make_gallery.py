"""Make the pictures and numbers of docs/gallery.md from real images.

Run it as ``python docs/make_gallery.py DATA``; DATA holds the images with a ``manifest.csv`` that
tells the source and licence of each. Only what is dedicated to the public domain (CC0) is taken.
A crop is stored with its darkest pixel black and its brightest white, and measured as it is stored.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from microscope_quality import measure_focus
from microscope_quality.degrade import defocus
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.overlay import overlay
from microscope_quality.psf import psf
from microscope_quality.statuses import FOCUS_STATUSES

DOCS = Path(__file__).parent
FOLDER = DOCS / "gallery"
RECORD = FOLDER / "numbers.json"
SIDE = 252

_SOFT = "focus/eval/dsb2018_soft/"
_NUCLEI = "focus/train/dsb2018_696x520/"
_HT29 = "focus/train/cpex_human/AS_09125_050116030001_D03f00"
#: The file of each crop and its upper left pixel, y and x.
CROPS = {
    "dna": (f"{_HT29}d0.png", 130, 130),
    "actin": (f"{_HT29}d2.png", 130, 130),
    "nuclei": (f"{_NUCLEI}e7a3a7c99483c243.png", 268, 0),
    "soft": (f"{_SOFT}4dbbb275960ab9e4.png", 134, 444),
    "dense": (f"{_SOFT}0ea221716cf13710.png", 268, 0),
    "hazy": (f"{_SOFT}351771edfc5db566.png", 0, 0),
    "depths": (f"{_SOFT}07fb37aafa662660.png", 268, 0),
    "empty": (f"{_SOFT}866a8cba7bfe1ea7.png", 134, 222),
    "large": (f"{_NUCLEI}6f8197baf738986a.png", 0, 222),
    "larger": ("focus/train/dsb2018_1388x1040/c901794d1a421d52.png", 0, 568),
    "single": (f"{_NUCLEI}2d53d7ec0c579fff.png", 268, 0),
    "grain": ("focus/train/dsb2018_640x512/724b6b7044522f6d.png", 260, 388),
}
#: The crop that is blurred, and the levels to which.
BLURRED, LEVELS = "nuclei", (3, 6, 9)
_WORDS = {status.key: f"{status.sign} {status.words}" for status in FOCUS_STATUSES}
_ADDRESS = re.compile(r"([\w.-]+/[\w.-]+) (\S+)")


def stored(pixels: np.ndarray) -> np.ndarray:
    """Give pixels stretched over 8 bits; no two values become one."""
    values = pixels.astype(float) - pixels.min()
    return np.round(values * (255 / values.max())).astype(np.uint8)


def said(pixels: np.ndarray) -> dict[str, str]:
    """Give what the page says of a crop."""
    result = measure_focus(pixels)
    return {
        "level": f"{result.expected_level:.1f}" if result.status != "no_content" else "–",
        "certainty": f"{result.certainty:.2f}",
        "verdict": _WORDS[result.status],
    }


def crops(data: Path) -> dict[str, tuple[np.ndarray, dict[str, str]]]:
    """Cut the crops out; gives each with its source."""
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as table:
        told = {row["file"]: row for row in csv.DictReader(table)}
    made: dict[str, tuple[np.ndarray, dict[str, str]]] = {}
    for name, (file, y, x) in CROPS.items():
        row = told[file]
        if not row["licence"].startswith("CC0"):
            raise ValueError(f"{file}: is under {row['licence']}, and has to be CC0")
        repository, path = _ADDRESS.match(row["source"]).groups()  # type: ignore[union-attr]
        plane = np.asarray(Image.open(data / file))[y : y + SIDE, x : x + SIDE]
        source = {"repository": repository, "image": Path(path).name, "place": f"{x}, {y}"}
        made[name] = stored(plane), source
    plane, source = made[BLURRED]
    for level in LEVELS:
        kernel = psf(TRAINING_OPTICS, float(TRAINING_OPTICS.defocus_of_level(level)))
        made[f"blurred_{level}"] = stored(defocus(plane, kernel)), source
    return made


def sources(record: dict[str, dict[str, Any]]) -> str:
    """Give the table of sources, as Markdown."""
    rows = ["| picture | image | x, y of the crop |", "| --- | --- | --- |"]
    for name, one in record.items():
        where = f"[{one['repository']}](https://github.com/{one['repository']})"
        image = one["image"] if len(one["image"]) < 40 else f"{one['image'][:16]}…"
        rows.append(f"| `{name}.png` | {image}, {where} | {one['place']} |")
    return "\n".join(rows)


def filled(page: str, record: dict[str, dict[str, Any]]) -> str:
    """Give the page with the numbers and the sources of the record."""

    def told(mark: re.Match[str]) -> str:
        name, _, kind = mark[1].rpartition("_")
        return f"<!--{mark[1]}-->**{record[name][kind]}**"

    page = re.sub(r"<!--(\w+)-->\*\*[^*]*\*\*", told, page)
    before, _, rest = page.partition("<!-- sources -->")
    after = rest.partition("<!-- end of sources -->")[2]
    return f"{before}<!-- sources -->\n\n{sources(record)}\n\n<!-- end of sources -->{after}"


def make(data: Path) -> None:
    """Write the crops, their patches, their numbers, and the page."""
    FOLDER.mkdir(exist_ok=True)
    record = {}
    for name, (plane, source) in crops(data).items():
        Image.fromarray(plane).save(FOLDER / f"{name}.png", optimize=True)
        patches = Image.fromarray(overlay(plane, measure_focus(plane)))
        patches.save(FOLDER / f"{name}_patches.jpg", quality=72, optimize=True)
        record[name] = {**said(plane), **source}
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    page = DOCS / "gallery.md"
    page.write_text(filled(page.read_text("utf-8"), record), "utf-8")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
