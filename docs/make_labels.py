"""Make the pictures of docs/labels.md: the page on which images are scored, and that of agreement.

Tissue and microscope are simulated, and so are the three raters: each has an opinion near the
truth, a scale of their own and an error each time. Run it as ``python docs/make_labels.py``;
it needs Playwright and a Chromium, whose path ``--chromium`` gives if it is neither on the path nor
Playwright's own. ``--to FOLDER`` puts the pictures, and more of them, there instead.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile

sys.path.insert(0, str(Path(__file__).parent))
from make_study import shrink

from microscope_quality.concordance import score_of, spectral_concordance
from microscope_quality.rating.agreement import agreement
from microscope_quality.rating.agreement_page import write_page
from microscope_quality.rating.label_page import LabelPage, LabelSettings, listed
from microscope_quality.rating.labels import LabelsFile, read_rows
from microscope_quality.rating.page_server import PageServer, Request
from microscope_quality.training.rating.instrument import MARGIN_PX, Fault, degraded
from microscope_quality.training.rating.tissue import drawn_tissue

N_IMAGES, SIDE_PX, PATCH_PX = 36, 700, 512
# Offset of each rater's scale and error of a single score.
RATERS = {"Ada": (0.0, 0.04), "Ben": (-0.1, 0.07), "Chiara": (0.06, 0.05)}
# Of what is answered when the picture is taken, by the rater who is at it.
ANSWERED = 20


def make(folder: Path) -> dict[str, float]:
    """Write images of tissue; gives the true score of each."""
    (folder / "sections").mkdir()
    truth = {}
    for number in range(N_IMAGES):
        rng = np.random.default_rng([7, number])
        field = drawn_tissue(SIDE_PX + 2 * MARGIN_PX, rng)
        worse = number / N_IMAGES
        fault = Fault(
            defocus_px=7 * worse * rng.random(),
            astigmatism_px=2.5 * worse * rng.random(),
            axis=rng.uniform(0, np.pi),
            noise=0.08 + 1.6 * worse * rng.random(),
            line_noise=0.5 * worse * (rng.random() < 0.4),
            streaks=5,
        )
        image, ideal = degraded(field, fault, rng)
        name = f"sections/s{number:03}.tif"
        tifffile.imwrite(folder / name, (image * 200 + 4000).astype(np.uint16))
        truth[name] = score_of(spectral_concordance(image, ideal))
    return truth


class Answering:
    """A simulated rater at the page."""

    def __init__(self, page: LabelPage, name: str, truth: dict[str, float]) -> None:
        self.page, self.name, self.truth = page, name, truth
        self.offset, self.error = RATERS[name]
        self.rng = np.random.default_rng([3, *name.encode()])
        # What a rater thinks of an image does not change from one time to the next.
        self.opinion = {image: self.rng.normal(0, 0.05) for image in truth}

    def answer(self, most: int = 10_000) -> None:
        """Answer what is asked."""
        routes = self.page.routes
        asked = routes["GET /question"](Request({"rater": self.name}, {}))
        while asked["question"] is not None and asked["answered"] < most:
            question = asked["question"]
            image = question["image"]
            score = self.truth[image] + self.opinion[image] + self.offset
            score = round(float(np.clip(score + self.rng.normal(0, self.error), 0.1, 1)), 1)
            said = {name: question[name] for name in ("image", "y", "x", "size", "repeat")}
            said |= {"rater": self.name, "score": score, "comment": ""}
            asked = routes["POST /score"](
                Request({}, {**said, "seconds": float(self.rng.gamma(4, 1.1))})
            )


def take(folder: Path, truth: dict[str, float], chromium: str | None, to: Path, more: bool) -> None:
    """Take pictures of the pages."""
    from playwright.sync_api import Page, sync_playwright

    settings = LabelSettings(patch=PATCH_PX, repeats=0.3)
    names, _ = listed([folder / "sections"], folder)
    with sync_playwright() as playwright, LabelsFile(folder / "labels.csv") as table:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )

        def opened(url: str, width: int, height: int, **options: object) -> Page:
            page = browser.new_page(viewport={"width": width, "height": height}, **options)
            page.on("console", lambda message: print(message.text, file=sys.stderr))
            page.goto(url)
            return page

        page = LabelPage(names, table, settings)
        with PageServer("label_page", page.routes) as server:
            Answering(page, "Ada", truth).answer(ANSWERED)
            sizes = [("page", 1180, 820, {})]
            if more:
                dark = {"color_scheme": "dark", "has_touch": True, "device_scale_factor": 2}
                sizes += [("phone", 390, 844, dark), ("tablet", 1024, 768, {})]
            for name, width, height, options in sizes:
                seen = opened(f"{server.url}?rater=Ada", width, height, **options)
                seen.wait_for_selector("main[data-open]")
                seen.screenshot(path=to / f"{name}.png")
                seen.close()
            if more:
                seen = opened(server.url, 1000, 700)
                seen.wait_for_selector("#who[open] #known button")
                seen.screenshot(path=to / "who.png")
                seen.close()
            for name in RATERS:
                Answering(page, name, truth).answer()
        found = agreement(read_rows(folder / "labels.csv"))
        write_page(found, folder / "agreement.html", ["labels.csv"])
        seen = opened((folder / "agreement.html").as_uri(), 1180, 1000)
        seen.screenshot(path=to / "agreement.png")
        if more:
            for name, width, scheme in (("wide", 1280, "dark"), ("narrow", 390, "light")):
                seen = opened((folder / "agreement.html").as_uri(), width, 800, color_scheme=scheme)
                seen.screenshot(path=to / f"agreement-{name}.png", full_page=True)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    found = shutil.which("chromium") or shutil.which("google-chrome")
    parser.add_argument("--chromium", default=found, help="path of a Chromium")
    parser.add_argument("--to", type=Path, help="folder for the pictures, and for more of them")
    options = parser.parse_args()
    to = options.to or Path(__file__).parent / "labels"
    to.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        take(Path(scratch), make(Path(scratch)), options.chromium, to, options.to is not None)
    if options.to is None:
        for name in ("page", "agreement"):
            shrink(to / f"{name}.png")


if __name__ == "__main__":
    main()
