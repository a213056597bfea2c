"""Print what took longest in the test runs of ``.ci/run``, and what ran in none of them.

``longest.py FOLDER`` reads the reports ``FOLDER/*.xml`` that pytest wrote (``--junitxml``), one for
each run.
"""

import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

SHOWN = 20


def main(folder: Path) -> None:
    """Print a line a run, the slowest files of all runs, and the tests that were skipped in all."""
    ran, skipped = set(), {}
    seconds = Counter()
    total = 0
    for report in sorted(folder.glob("*.xml")):
        outcomes = Counter()
        in_run = 0.0
        for case in ET.parse(report).iter("testcase"):
            name = f"{case.get('classname')}::{case.get('name')}"
            took = float(case.get("time", 0))
            in_run += took
            seconds[report.stem, file_of(case.get("classname"))] += took
            skip = case.find("skipped")
            failed = case.find("failure") is not None or case.find("error") is not None
            outcomes["skipped" if skip is not None else "failed" if failed else "passed"] += 1
            if skip is None:
                ran.add(name)
            # A file of which nothing is collected is one case, and says nothing of its tests.
            elif case.get("classname"):
                skipped[name] = skip.get("message", "")
        total += outcomes.total()
        said = ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(outcomes.items()))
        print(f"{report.stem}: {said}, {in_run:.0f} s of tests")
    print(f"{len(ran):,} different tests ran, {total:,} in all runs together. The longest files:")
    for (run, where), took in seconds.most_common(SHOWN):
        print(f"{took:7.0f} s  {where}  ({run})")
    nowhere = Counter(reason for name, reason in skipped.items() if name not in ran)
    print(f"Skipped in every run: {nowhere.total()}")
    for reason, number in nowhere.most_common():
        print(f"{number:7}  {reason}")


def file_of(where: str) -> str:
    """Give the file of ``tests.cli.test_measure`` or ``tests.test_psf.TestPsf``."""
    folders, _, rest = where.rpartition(".test_")
    return f"{folders}.test_{rest.partition('.')[0]}".replace(".", "/") + ".py"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
