"""What a rating's report says of causes and lists of it, in a real browser."""

import re

import pytest
from rated_results import failed_grab, rated_row, write
from written_results import failed_row, read_csv

from microscope_quality.report.results import read_results
from microscope_quality.report.retake import tiles_of, write_retake
from microscope_quality.report.selection import Limits, select, write_lists
from microscope_quality.report.write import write_report

pytestmark = pytest.mark.browser

BLURRED = {"blur_px": "3.2", "cause": "blur", "action": "refocus"}
STRETCHED = {"blur_px": "2.5", "elongation": "2.4", "cause": "astigmatism", "action": "restigmate"}
NOISY = {"noise": "1.4", "cause": "noise", "action": "retake"}
FRAME, OTHER = "7" * 32, "8" * 32
ROWS = [
    rated_row("t_r0_c0.tif", 0.95, frame_digest=FRAME),
    rated_row("t_r0_c1.tif", 0.3, **BLURRED),
    rated_row("t_r0_c2.tif", 0.35, **BLURRED),
    rated_row("t_r0_c3.tif", 0.4, **STRETCHED),
    # Good by its own limit, and noisy.
    rated_row("t_r1_c0.tif", 0.6, noise="0.9"),
    rated_row("t_r1_c1.tif", 0.8, fault="saturated", cause="saturated", action="look"),
    rated_row("t_r1_c2.tif", 0.45, fault="saturated", **NOISY),
    failed_grab("t_r1_c3.tif", "cut", message="Of its 90 lines, the last 9 have one value each."),
    # With the numbers of the frame that it repeats.
    rated_row(
        "t_r2_c0.tif",
        0.95,
        status="failed_grab",
        cause="frozen",
        action="retake",
        fault="frozen",
        message="It is the same as t_r0_c0.tif.",
        frame_digest=FRAME,
    ),
    rated_row("t_r2_c1.tif", 0.9, frame_digest=OTHER),
    {**failed_grab("t_r2_c2.tif", "blank"), "status": "no_content", "cause": "", "action": ""},
    failed_row("t_r2_c3.tif", "is cut short"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return write(tmp_path_factory.mktemp("rated") / "rated", ROWS)


@pytest.fixture(scope="module")
def tab(browser, results):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    tab = context.new_page()
    tab.set_default_timeout(120_000)
    tab.said = []
    tab.on("console", lambda message: tab.said.append(message.text))
    tab.on("pageerror", lambda error: tab.said.append(str(error)))
    tab.goto(write_report(results).as_uri())
    tab.wait_for_selector("html[data-ready]")
    return tab


@pytest.fixture
def opened(tab):
    """The page, which has said nothing in the end."""
    set_limit(tab, 0.5)
    yield tab
    assert tab.said == []


def set_limit(tab, limit):
    tab.fill("#value-number", str(limit))
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def downloaded(tab, button):
    with tab.expect_download() as waiting:
        tab.click(button)
    return waiting.value.suggested_filename, waiting.value.path().read_bytes()


def test_the_page_says_how_many_there_are_of_each_cause(opened):
    lines = opened.locator(".causes tbody tr").all_inner_texts()
    assert [line.split() for line in lines] == [
        ["blur", "refocus", "2"],
        ["astigmatism", "restigmate", "1"],
        ["saturated", "look", "1"],
        ["noise", "retake", "1"],
        ["cut", "retake", "1"],
        ["frozen", "retake", "1"],
    ]
    opened.click(".causes button[data-cause=blur]")
    assert opened.text_content("#dialog-title") == "Blur → refocus: 2 images"
    assert opened.locator("#dialog .thumb .mark").all_inner_texts() == ["○ 0.30", "○ 0.35"]
    opened.keyboard.press("Escape")
    opened.click(".causes button[data-cause=frozen]")
    assert opened.text_content("#dialog-title") == "t_r2_c0.tif"
    assert "It is a failed grab: its score means nothing." in opened.inner_text("#dialog-body")
    facts = opened.inner_text("#dialog-body dl").split("\n")
    for said in ("frozen", "retake", "It is the same as t_r0_c0.tif."):
        assert said in facts
    opened.keyboard.press("Escape")


def test_another_limit_says_at_once_what_is_to_be_done(opened):
    assert opened.inner_text("#kept-count") == "4 images kept, 8 thrown out"
    said = "Thrown out: 4 by their score, 2 of a failed grab, 1 without content, 1 not measured."
    assert opened.inner_text("#reasons") == said
    set_limit(opened, 0.7)
    assert opened.inner_text("#kept-count") == "3 images kept, 9 thrown out"
    # What was good has a cause by this limit.
    assert opened.locator("#remedies button").all_inner_texts() == [
        "2 blur → refocus",
        "2 noise → retake",
        "1 astigmatism → restigmate",
        "1 cut → retake",
        "1 frozen → retake",
    ]
    opened.locator("#remedies button").nth(1).click()
    assert opened.text_content("#dialog-title") == "Noise → retake: 2 images"
    opened.keyboard.press("Escape")
    set_limit(opened, 0.1)
    assert opened.locator("#remedies button").all_inner_texts() == [
        "1 cut → retake",
        "1 frozen → retake",
    ]


@pytest.mark.parametrize("limit", [0.5, 0.7, 0.2])
def test_the_lists_are_those_of_the_commands(limit, opened, results, tmp_path):
    rows = read_results(results).rows
    set_limit(opened, limit)
    write_retake(tiles_of(rows, limit), tmp_path / "retake.csv")
    name, content = downloaded(opened, "#save-retake")
    assert (name, content) == ("retake.csv", (tmp_path / "retake.csv").read_bytes())
    retaken = {row["tile"]: row["retake"] for row in read_csv(content.decode())}
    assert (retaken["t_r2_c0.tif"], retaken["t_r2_c2.tif"]) == ("yes", "no")
    assert retaken["t_r1_c0.tif"] == ("yes" if limit > 0.6 else "no")
    write_lists(select(rows, Limits(limit)), tmp_path / "lists")
    for button, name in (("#save-kept", "kept.csv"), ("#save-rejected", "rejected.csv")):
        expected = (tmp_path / "lists" / name).read_bytes()
        assert downloaded(opened, button) == (name, expected)


def test_a_failed_grab_has_no_place_among_scores(opened):
    plot = opened.locator("#plot-values")
    plot.scroll_into_view_if_needed()
    plot.locator(".main-svg").first.wait_for()
    script = """(plot) => plot.firstElementChild.data.filter((trace) => trace.type === "bar")
      .map((trace) => [trace.hovertext[0], trace.y[0]])"""
    bars = dict(plot.evaluate(script))
    assert bars["Failed grab: 2 images"] == 2
    assert sum(number for name, number in bars.items() if name[0].isdigit()) == 8
    assert opened.inner_text("#voided").strip() == "! is a failed grab."
    edges = plot.evaluate("(plot) => plot.firstElementChild.layout.xaxis.ticktext")
    assert edges[:10] == [f"{0.1 * k:.2f}" for k in range(1, 11)]


def test_the_table_tells_causes_and_finds_them(opened):
    opened.locator("#table").scroll_into_view_if_needed()
    heads = opened.locator("#grid-head [role=columnheader]").all_inner_texts()
    for head in ("Cause", "What to do", "Elongation", "Noise"):
        assert head in heads
    opened.fill("#filter-text", "restigmate")
    assert opened.inner_text("#shown-count") == "1 of 12 images"
    line = opened.locator("#grid-body .line").inner_text().split("\n")
    for said in ("t_r0_c3.tif", "astigmatism", "restigmate", "0.40", "2.40"):
        assert said in line
    opened.fill("#filter-text", "")


def names(opened):
    return opened.locator("#grid-body .line .file").all_inner_texts()


def test_what_has_no_score_stands_last_whichever_way_it_is_sorted(opened):
    # What else is said of them stands below their names.
    ends = [
        "t_r1_c3.tif\nOf its 90 lines, the last 9 have one value each.",
        "t_r2_c0.tif\nIt is the same as t_r0_c0.tif.",
        "t_r2_c2.tif",
        "t_r2_c3.tif\nis cut short",
    ]
    head = opened.locator("#grid-head [data-name=score]")
    for first in ("t_r0_c1.tif", "t_r0_c0.tif"):
        listed = names(opened)
        assert (listed[0], listed[-4:]) == (first, ends)
        head.click()


@pytest.mark.parametrize("width", [1280, 800])
def test_no_word_of_the_table_is_cut(opened, width):
    opened.set_viewport_size({"width": width, "height": 900})
    # Words that are set alone, without a break within them, are as wide.
    script = """(cells) => cells.filter((cell) => cell.offsetWidth && !cell.matches(".file"))
      .filter((cell) => {
        const probe = document.createElement("span");
        probe.style.cssText = "position: absolute; white-space: nowrap";
        const own = cell.querySelector("button") ?? cell;
        own.append(probe);
        const wide = cell.textContent.split(" ").some((word) => {
          probe.textContent = word;
          return probe.offsetWidth > cell.clientWidth + 1;
        });
        probe.remove();
        return wide || cell.scrollWidth > cell.clientWidth + 1;
      }).map((cell) => cell.textContent)"""
    cells = opened.locator("#grid-head [role=columnheader], #grid-body [role=gridcell]")
    assert cells.evaluate_all(script) == []
    # What has no room is reached sideways.
    assert opened.evaluate(
        """() => { const grid = document.querySelector("#grid");
          const cells = [...grid.querySelectorAll("#grid-head .number")];
          const right = Math.max(...cells.map((cell) => cell.getBoundingClientRect().right));
          return right - grid.getBoundingClientRect().left <= grid.scrollWidth; }"""
    )
    # The charts are drawn anew a moment later.
    opened.wait_for_timeout(500)
    assert opened.evaluate("document.documentElement.scrollWidth") == width
    opened.set_viewport_size({"width": 1280, "height": 900})


def test_an_angle_is_told_of_what_is_stretched_alone(opened):
    columns = opened.locator("#grid-head [role=columnheader]").all_inner_texts()
    at = next(number for number, head in enumerate(columns) if head.startswith("Angle"))
    told = opened.locator("#grid-body .line").evaluate_all(
        "(lines, at) => lines.map((line) => [line.children[1].textContent, "
        "line.children[at].textContent])",
        at,
    )
    assert {name: angle for name, angle in told if angle} == {"t_r0_c3.tif": "10"}
    for number, file in ((2, "t_r0_c3.tif"), (0, "t_r0_c1.tif")):
        opened.locator("#grid-body .line").nth(number).click()
        assert opened.text_content("#dialog-title") == file
        assert ("Angle of the long axis" in opened.inner_text("#dialog-body")) == (number == 2)
        opened.keyboard.press("Escape")


def test_where_the_interval_holds_the_limit_the_verdict_is_marked(browser, tmp_path):
    rows = [rated_row(f"t_r0_c{k}.tif", score) for k, score in enumerate((0.4, 0.48, 0.52, 0.6))]
    opened = browser.new_context(reduced_motion="reduce").new_page()
    opened.goto(write_report(write(tmp_path / "rated", rows)).as_uri())
    opened.wait_for_selector("html[data-ready]")
    said = opened.locator("#grid-body .line .status").all_inner_texts()
    assert said == ["○ poor", "○ poor\nnear the limit", "● good\nnear the limit", "● good"]
    assert "2 images are near the limit: the 95 % interval of their score holds 0.5" in (
        opened.inner_text("#verdict")
    )
    opened.locator("#grid-body .line").nth(1).click()
    assert "poor, near the limit" in opened.inner_text("#dialog-body")


def test_nothing_is_said_of_wells_and_plates(opened):
    said = opened.evaluate(
        """() => document.body.innerText + [...document.querySelectorAll("[placeholder], [title]")]
          .map((one) => `${one.placeholder} ${one.title}`).join(" ")"""
    )
    assert not re.search(r"\b(wells?|plates?)\b", said, re.IGNORECASE)
