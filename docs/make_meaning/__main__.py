"""Make the pictures of docs/meaning.md, and the numbers in its sentences.

Run it as ``python -m docs.make_meaning [--data DIR] [NAMES]`` at the top of the repository; it
needs the extra ``evaluate``. ``--data`` names the folder of real images that
``benchmarks/accuracy.py`` describes; without it, what was measured on them before stays. ``NAMES``
are parts, such as ``sampling``; all unless given.

A part measures and gives its numbers as text, and a function that draws what was measured. The
numbers are kept in docs/meaning/numbers.json, and written into the `PAGES` wherever
there is ``<!--name-->`` before a number; a sentence cannot say another number than was measured.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from docs.make_meaning import (
    certainties,
    changes,
    empties,
    levels,
    microscopes,
    statuses,
    transmitted,
)
from docs.make_meaning.real import real
from docs.make_meaning.specimens import Numbers, Part

DOCS = Path(__file__).parents[1]
PAGES = tuple(DOCS / name for name in ("meaning.md", "limit.md", "results.md"))
FOLDER = DOCS / "meaning"
# A number as the page writes it, or a status, after the name that it is known by.
CARRIED = re.compile(r"<!--([a-z_0-9]+)-->(`[a-z_]+`|−?\d+(?:,\d{3})*(?:\.\d+)?(?: %)?)")

PARTS: dict[str, Callable[[], Part]] = {
    "levels": levels.levels,
    "defocus": levels.true_and_measured,
    "softness": levels.softness,
    "points": levels.sparse_points,
    "optics": microscopes.optics,
    "distributions": certainties.distributions,
    "reliability": certainties.reliability,
    "patches": certainties.patches,
    "regimes": statuses.regimes,
    "status": statuses.status,
    "exposure": changes.exposure,
    "sampling": microscopes.sampling,
    "thick": microscopes.thick,
    "blur": changes.other_blur,
    "faults": changes.faults,
    "empties": empties.empties,
    "processed": changes.processed,
    "transmitted": transmitted.transmitted,
}


def filled(page: str, numbers: Mapping[str, str]) -> str:
    """Give the page's text with each number that it carries as it was measured."""
    return CARRIED.sub(lambda f: f"<!--{f[1]}-->{numbers.get(f[1], f[2])}", page)


def main() -> None:
    """Measure, draw, and write the numbers into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *PARTS, "real"], metavar="NAME")
    parser.add_argument("--data", type=Path, help="folder of the real images")
    given = parser.parse_args()
    parts = dict(PARTS)
    if given.data is not None:
        parts["real"] = lambda: real(given.data)
    measured_now: dict[str, Numbers] = {}
    for name in given.names or parts:
        numbers, draw = parts[name]()
        draw().save(FOLDER / f"{name}.png", optimize=True)
        measured_now[name] = numbers
        print(name, json.dumps(numbers, indent=1, ensure_ascii=False), flush=True)
    record = FOLDER / "numbers.json"
    kept = json.loads(record.read_text("utf-8")) if record.exists() else {}
    kept.update(measured_now)
    ordered = {name: kept[name] for name in (*PARTS, "real") if name in kept}
    record.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", "utf-8")
    every = {key: value for numbers in ordered.values() for key, value in numbers.items()}
    for page in filter(Path.exists, PAGES):
        page.write_text(filled(page.read_text("utf-8"), every), "utf-8")


if __name__ == "__main__":
    main()
