"""Make docs/tuning.jpg: the page of a search, as a browser shows it.

Run it as ``python docs/make_tuning.py``; it runs the first example of docs/tuning.md, and needs
Playwright and a Chromium, whose path ``--chromium`` gives if it is neither on the path nor
Playwright's own.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    found = shutil.which("chromium") or shutil.which("google-chrome")
    parser.add_argument("--chromium", default=found, help="path of a Chromium")
    options = parser.parse_args()
    page = (DOCS / "tuning.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    with tempfile.TemporaryDirectory() as scratch:
        before = Path.cwd()
        os.chdir(scratch)
        try:
            exec(example, {})
        finally:
            os.chdir(before)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=options.chromium, args=["--no-sandbox"]
            )
            tab = browser.new_page(viewport={"width": 1180, "height": 1010})
            tab.goto((Path(scratch) / "tuning" / "tuning.html").as_uri())
            tab.screenshot(path=DOCS / "tuning.jpg", type="jpeg", quality=82)
            browser.close()


if __name__ == "__main__":
    main()
