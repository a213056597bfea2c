"""Make the pictures of docs/study.md: a tester's page on a tablet, and the page of results.

The images are simulated, and so are the eleven testers: each has an opinion near the truth and
picks the score that is nearer to it. Run it as ``python docs/make_study.py``; it needs Playwright
and a Chromium, whose path ``--chromium`` gives if it is neither on the path nor Playwright's own.
``--to FOLDER`` puts the pictures, and more of them, there instead.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile

sys.path.insert(0, str(Path(__file__).parent))
from make_sample import blurred, taken

from microscope_quality.files.images import find
from microscope_quality.rating.score_tables import read_scores
from microscope_quality.rating.study import Study, begin_study, pair_scores, sides
from microscope_quality.rating.study_page import StudyPage
from microscope_quality.rating.study_results import PAGE, write_results
from microscope_quality.simulate import filaments

N_IMAGES, N_TESTERS, SHAPE = 103, 11, (340, 340)
# Spread of the scores of expert, network and testers about the truth; how near two scores have to
# be to be called equivalent, and how far both from the tester's opinion for a discard.
EXPERT, NETWORK, TESTER, ALIKE, FAR = 0.08, 0.09, 0.1, 0.04, 0.35


def make(folder: Path) -> Path:
    """Write images and tables, and have the testers answer; gives the study's folder."""
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.05, 1, N_IMAGES)
    (folder / "images").mkdir()
    names = [f"actin_{number:03}.tif" for number in range(N_IMAGES)]
    for number, name in enumerate(names):
        light = blurred(filaments(SHAPE, 70, number), round(5 * (1 - truth[number])))
        photons = 60 + 2000 * truth[number] ** 2
        tifffile.imwrite(folder / "images" / name, taken(light, photons, number))
    given = {}
    for table, spread in (("expert", EXPERT), ("network", NETWORK), ("training", 0.2)):
        scores = np.clip(truth + rng.normal(0, spread, N_IMAGES), 0.1, 1)
        with (folder / f"{table}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("image", "score"))
            writer.writerows((name, f"{score:.2f}") for name, score in zip(names, scores))
        given[table] = read_scores(folder / f"{table}.csv")
    paired, _ = pair_scores(find([folder / "images"]), given["expert"], given["network"])
    begin_study(folder / "study", paired, given["expert"], given["network"], given["training"])
    with Study(folder / "study") as study:
        for number in range(N_TESTERS):
            tester = study.add_tester(f"Tester {number + 1}")
            opinions = truth + rng.normal(0, TESTER, N_IMAGES)
            for place, trial in enumerate(tester.trials, 1):
                pressed = press(opinions[trial.image], *sides(study.record, trial))
                study.answer(tester, place, pressed, float(rng.gamma(4, 1.3)), 1)
    return folder / "study"


def press(opinion: float, left: str, right: str) -> str:
    """Give what a tester presses who has an opinion of the image."""
    to_left, to_right = abs(float(left) - opinion), abs(float(right) - opinion)
    if min(to_left, to_right) > FAR:
        return "discard"
    if abs(to_left - to_right) < ALIKE or left == right:
        return "equivalent"
    return "left" if to_left < to_right else "right"


def take(folder: Path, chromium: str | None, to: Path, everything: bool) -> None:
    """Take pictures of the pages."""
    from playwright.sync_api import Page, sync_playwright

    tablet = {"width": 768, "height": 1024}
    write_results(folder)
    with sync_playwright() as playwright, Study(folder) as study:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )

        def opened(url: str, width: int, height: int, **more: object) -> Page:
            page = browser.new_page(viewport={"width": width, "height": height}, **more)
            page.on("console", lambda message: print(message.text, file=sys.stderr))
            page.goto(url)
            return page

        with StudyPage(study) as server:
            ada = study.add_tester("Ada")
            page = opened(server.tester_url(ada), **tablet, has_touch=True, is_mobile=True)
            page.tap("#begin")
            for number in range(1, 4):
                page.wait_for_selector(f'#trial[data-number="{number}"]')
                page.tap("#equivalent")
            page.wait_for_selector('#trial[data-number="4"]')
            page.screenshot(path=to / "tester.png")
            if everything:
                page = opened(server.url, 1000, 800)
                page.wait_for_selector("#testers li")
                page.screenshot(path=to / "conductor.png", full_page=True)
                page.close()
        results = (folder / PAGE).as_uri()
        page = opened(results, 1180, 900)
        page.screenshot(path=to / "results.png")
        if everything:
            for name, width, scheme in (("wide", 1280, "dark"), ("phone", 375, "light")):
                page = opened(results, width, 800, color_scheme=scheme)
                page.evaluate("document.querySelector('details').open = true")
                page.screenshot(path=to / f"results-{name}.png", full_page=True)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    found = shutil.which("chromium") or shutil.which("google-chrome")
    parser.add_argument("--chromium", default=found, help="path of a Chromium")
    parser.add_argument("--to", type=Path, help="folder for the pictures, and for more of them")
    options = parser.parse_args()
    to = options.to or Path(__file__).parent / "study"
    to.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        take(make(Path(scratch)), options.chromium, to, options.to is not None)
    if options.to is None:
        for name in ("tester", "results"):
            shrink(to / f"{name}.png")


def shrink(path: Path) -> None:
    """Store a picture as JPEG."""
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.save(path.with_suffix(".jpg"), quality=86, optimize=True, progressive=True)
    path.unlink()


if __name__ == "__main__":
    main()
