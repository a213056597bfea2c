"""The page of a search in a real browser."""

import math

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs pip install 'microscope-quality[tune]'")

from microscope_quality.rating.tune import Choice, Range, tune

pytestmark = pytest.mark.browser

VIEWS = [({"width": 1280, "height": 900}, "light"), ({"width": 375, "height": 800}, "dark")]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")

    def acquire(settings):
        if acquire.taken == 4:
            acquire.taken += 1
            raise OSError("the shutter did not open " * 5)
        acquire.taken += 1
        light = math.log(settings["light"] / 20) ** 2 / 9
        value = math.exp(-light - settings["focus"] ** 2 / 20) + 0.1 * (settings["filter"] == "B")
        return np.random.default_rng(0).poisson(50 * value, (60, 80)), {
            "bleaching": settings["light"] / 500,
            "a measurement of a very long name": 1 / 3,
        }

    acquire.taken = 0
    space = {
        "light": Range(1, 500, log=True, unit="mW"),
        "focus": Range(-5, 5, unit="µm"),
        "filter": Choice(("A", "B")),
    }
    result = tune(
        acquire,
        lambda image: float(image.mean() / 50),
        space,
        minimise=["bleaching"],
        sampler="random",
        images=14,
        out=folder,
    )
    return result, folder / "tuning.html"


@pytest.fixture(params=VIEWS, ids=["desktop", "phone"])
def tab(request, browser, searched):
    viewport, scheme = request.param
    context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    opened = context.new_page()
    opened.said, opened.asked = [], []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("request", lambda one: opened.asked.append(one.url))
    opened.goto(searched[1].as_uri())
    yield opened
    context.close()


def test_it_shows_all_and_asks_for_nothing(tab, searched):
    _, path = searched
    assert tab.said == []
    assert [url for url in tab.asked if not url.startswith("data:")] == [path.as_uri()]
    assert tab.locator(".images tbody tr").count() == 14
    assert tab.locator(".images tbody img").count() == 13
    loaded = "() => [...document.images].every((one) => one.complete && one.naturalWidth === 80)"
    assert tab.evaluate(loaded)
    # The page itself does not scroll sideways; wide tables and charts do.
    assert tab.evaluate("document.documentElement.scrollWidth") <= tab.viewport_size["width"]


def test_points_stand_higher_the_better_they_are(tab, searched):
    result, _ = searched
    chart = tab.locator("section:has(#course) svg")
    places = chart.evaluate(
        """(chart) => [...chart.querySelectorAll("a")].map((one) => {
            const box = one.querySelector(".point, .failed").getBoundingClientRect();
            return [one.getAttribute("href"), box.x + box.width / 2, box.y + box.height / 2];
        })"""
    )
    assert [place[0] for place in places] == [f"#image-{k + 1}" for k in range(14)]
    xs = [place[1] for place in places]
    assert xs == sorted(xs)
    good = [k for k, trial in enumerate(result.trials) if not trial.error]
    scores = [result.trials[k].score for k in good]
    heights = [-places[k][2] for k in good]
    assert np.corrcoef(scores, heights)[0, 1] == pytest.approx(1, abs=1e-4)


def test_a_point_leads_to_its_image_by_mouse_and_by_keys(tab):
    points = tab.locator("section:has(#slices) svg").first.locator("a")
    points.nth(2).scroll_into_view_if_needed()
    href = points.nth(2).get_attribute("href")
    points.nth(2).focus()
    tab.keyboard.press("Enter")
    assert tab.url.endswith(href)
    row = tab.locator(f".images tr:has({href})")
    assert row.evaluate(
        "(row) => { const box = row.getBoundingClientRect();"
        " return box.top < innerHeight && box.bottom > 0; }"
    )
    marked = row.locator("td").first.evaluate("(cell) => getComputedStyle(cell).backgroundColor")
    other = tab.locator(".images tbody tr").nth(8).locator("td").first
    assert marked != other.evaluate("(cell) => getComputedStyle(cell).backgroundColor")
    assert href != "#image-9"


def test_every_point_says_what_it_is(tab, searched):
    result, _ = searched
    names = tab.locator("section:has(#course) svg a").evaluate_all(
        '(all) => all.map((one) => one.getAttribute("aria-label"))'
    )
    for name, trial in zip(names, result.trials):
        assert name.startswith(f"Image {trial.number + 1}: light ")
        assert ("failed: OSError" in name) == bool(trial.error)
        if not trial.error:
            assert name.endswith(f"score {trial.score:.3f}")


def test_texts_can_be_read(tab):
    """Contrast of at least 4.5 to 1, between each text's colour and the ground that it is on."""
    lowest = tab.evaluate(
        """() => {
        const probe = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
        const rgb = (colour) => {
            probe.clearRect(0, 0, 1, 1); probe.fillStyle = colour; probe.fillRect(0, 0, 1, 1);
            return [...probe.getImageData(0, 0, 1, 1).data];
        };
        const light = ([r, g, b]) => [r, g, b].map((one) => one / 255).map((one) =>
            one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
            .reduce((sum, one, k) => sum + one * [0.2126, 0.7152, 0.0722][k], 0);
        const ground = (element) => {
            for (let one = element; one; one = one.parentElement) {
                const colour = rgb(getComputedStyle(one).backgroundColor);
                if (colour[3] > 250) return colour;
            }
            return [255, 255, 255];
        };
        let lowest = [99, ""];
        for (const one of document.querySelectorAll("h1,h2,h3,p,span,strong,td,th,dt,dd,text,a")) {
            const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
            if (!own || one.closest(".unseen") || one.closest("title")) continue;
            const style = getComputedStyle(one);
            const ink = rgb(one.tagName === "text" ? style.fill : style.color);
            const [a, b] = [light(ink), light(ground(one))].sort((x, y) => y - x);
            const contrast = (a + 0.05) / (b + 0.05);
            if (contrast < lowest[0]) lowest = [contrast, one.outerHTML.slice(0, 80)];
        }
        return lowest;
        }"""
    )
    assert lowest[0] >= 4.5, lowest
