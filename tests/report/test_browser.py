"""The report in a real browser, against counts that the csv module gives."""

import contextlib
import csv
import functools
import io
import re
import shutil
import threading
from collections import Counter
from fnmatch import fnmatch
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from toy_measure import BRIGHT, Toy
from written_results import failed_row, plane_row, read_csv, write_image, write_results

from microscope_quality.files.columns import names
from microscope_quality.files.tables import RESULTS
from microscope_quality.measuring.classical import Classical
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.settings import Settings
from microscope_quality.report.results import read_results
from microscope_quality.report.script import SCRIPTS, inlined
from microscope_quality.report.selection import Limits, select, write_lists
from microscope_quality.report.write import write_report
from microscope_quality.statuses import Status

pytestmark = pytest.mark.browser

PHONE = {"width": 375, "height": 800}
DESKTOP = {"width": 1280, "height": 900}
HOSTILE = [
    "</script><script>window.hacked = 1</script>.tif",
    "<img src=x onerror='window.hacked = 1'>.tif",
    '"><svg onload="window.hacked = 1">.tif',
    "javascript:window.hacked=1",
    "line\u2028paragraph\u2029;window.hacked=1//.tif",
    "<a href='javascript:window.hacked=1'>link</a><b>bold</b>.tif",
    "${window.hacked=1}{{7*7}}.tif",
    "\u202egnp.tif",
    "=cmd|' /C calc'!A0.tif",
    "@SUM(1+1).tif",
    "-2+3.tif",
    "'quoted.tif",
    'line\nbreak, comma and "quote".tif',
]


def screen_rows():
    """A plate with a bad corner, two z-stacks, two channels, and rows of every kind."""
    rows = []
    for number in range(60):
        well = f"{'ABCDEF'[number // 10]}{number % 10 + 1:02}"
        level = max(0.0, round((number % 10 - 5) * 1.7 + 0.1 * (number // 10), 2))
        row = plane_row(
            f"{well}_s1.tif",
            level,
            round(0.35 + (number * 37 % 60) / 100, 2),
            "mixed" if number % 17 == 3 else "no_content" if number % 23 == 5 else None,
            plate="P1",
            well=well,
            site=1 + number % 2,
            channel="dna" if number % 3 else "actin",
            modified=f"2026-01-01T10:{number:02}:00.123456789Z",
        )
        rows.append(row)
    rows += [failed_row(f"bad{k}.tif", "is cut short", well="H12") for k in range(2)]
    for name, best in (("stack1.tif", 3), ("stack2.tif", 9)):
        for z in range(6):
            rows.append(plane_row(name, abs(z - best), 0.7, z=z))
    return rows


STACKS = [
    {"file": "stack1.tif", "best_z": 3, "expected_level": 0, "best_position": 3.2},
    {"file": "stack2.tif", "best_z": "", "expected_level": 4},
]


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("screen")
    rows = screen_rows()
    for number in range(0, 60, 3):
        write_image(folder / "images" / rows[number]["file"], number)
    record = {"folder": str(folder / "images"), "command": ["measure", "images"]}
    results = write_results(folder / "results", rows, stacks=STACKS, record=record)
    return write_report(results)


@pytest.fixture(scope="module")
def table(screen):
    """Rows of the table that stand for an image, by the csv module."""
    rows = read_csv((screen.parent / "results.csv").read_text("utf-8"))
    return [
        row
        for row in rows
        if row["z"] in ("", {"stack1.tif": "3", "stack2.tif": "5"}.get(row["file"]))
    ]


@pytest.fixture
def tab(browser):
    tabs = []

    def show(page, viewport=DESKTOP, scripts=True):
        context = browser.new_context(
            viewport=viewport, reduced_motion="reduce", java_script_enabled=scripts
        )
        opened = context.new_page()
        opened.said, opened.asked = [], []
        opened.on("console", lambda message: opened.said.append(message.text))
        opened.on("pageerror", lambda error: opened.said.append(str(error)))
        opened.on("dialog", lambda dialog: opened.said.append(dialog.message))
        opened.on("request", lambda request: opened.asked.append(request.url))
        opened.goto(page if isinstance(page, str) else page.as_uri())
        tabs.append(opened)
        if scripts:
            opened.wait_for_selector("html[data-ready]")
        return opened

    yield show
    for opened in tabs:
        opened.context.close()


def draw_all(opened):
    """Bring every chart into sight once."""
    for number in range(opened.locator(".plot").count()):
        plot = opened.locator(".plot").nth(number)
        if not plot.is_visible():
            continue
        plot.scroll_into_view_if_needed()
        plot.locator(".main-svg").first.wait_for()


def frame(opened):
    opened.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def status(row):
    return "error" if row["error"] else row["status"]


def judged(row):
    return status(row) not in ("error", "no_content")


def downloaded(opened, button):
    with opened.expect_download() as waiting:
        opened.click(button)
    return waiting.value.suggested_filename, waiting.value.path().read_bytes().decode("utf-8")


def test_saved_lists_have_the_messages_byte_for_byte(tab, tmp_path):
    message = 'The image has 60 x 300 pixels; a patch needs 84 x 84, "no less".'
    small = plane_row("small.tif", status="no_content", message=message)
    small |= {"level": "", "expected_level": ""}
    remark = plane_row("pyramid.tif", 0.2, message="= the full resolution of 3\nis measured")
    results = write_results(tmp_path / "results", [small, remark, plane_row("a.tif", 5)])
    opened = tab(write_report(results))
    write_lists(select(read_results(results).rows), tmp_path / "lists")
    for button, name in (("#save-kept", "kept.csv"), ("#save-rejected", "rejected.csv")):
        assert downloaded(opened, button) == (
            name,
            (tmp_path / "lists" / name).read_bytes().decode(),
        )
    first, second = read_csv((tmp_path / "lists" / "rejected.csv").read_bytes().decode())
    assert (first["message"], second["message"]) == (message, "")


def count_of(opened):
    shown, _ = opened.inner_text("#shown-count").split(" of ")
    return int(shown.replace(",", ""))


def test_it_opens_without_an_error_or_a_request(tab, screen):
    opened = tab(screen)
    draw_all(opened)
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [screen.as_uri()]
    assert opened.locator(".plot").count() >= 8
    # Taken one after the other.
    assert opened.input_value("#time-order") == "time"


@contextlib.contextmanager
def served(folder):
    """Give the address of a folder's files."""
    handler = functools.partial(QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_the_modules_do_the_same_where_a_browser_loads_them_itself(tab, screen, tmp_path):
    html = screen.read_text("utf-8")
    own, policy = f"<script>{inlined()}</script>", 'http-equiv="Content-Security-Policy"'
    assert html.count(own) == html.count(policy) == 1
    html = html.replace(own, '<script type="module" src="/main.js"></script>')
    (tmp_path / "page.html").write_text(html.replace(policy, ""), "utf-8")
    shutil.copytree(SCRIPTS, tmp_path, dirs_exist_ok=True)
    with served(tmp_path) as address:
        apart, joined = tab(f"{address}/page.html"), tab(screen)
        assert {url.removeprefix(f"{address}/") for url in apart.asked} >= {
            path.name for path in SCRIPTS.iterdir()
        }
        for opened in (apart, joined):
            draw_all(opened)
            opened.click("#see-pictures")
            assert opened.said == []
        texts = [opened.inner_text("body") for opened in (apart, joined)]
    assert len(texts[0]) > 2000
    assert texts[0] == texts[1]


def test_the_verdict_counts_images(tab, screen, table):
    opened = tab(screen)
    for name in ("in_focus", "out_of_focus", "mixed", "no_content", "error"):
        count = sum(status(row) == name for row in table)
        assert opened.inner_text(f".tile[data-status={name}] strong") == str(count)
        opened.click(f".tile[data-status={name}]")
        frame(opened)
        assert count_of(opened) == count


def found(row, word):
    """Whether a row has a word, or a name that matches a shell pattern."""
    texts = [row[name].lower() for name in ("file", "plate", "well", "site", "channel", "error")]
    if set(word) & set("*?"):
        words = [part for text in texts for part in (text, *text.split())]
        return any(fnmatch(part, word.lower()) for part in words)
    return any(word.lower() in text for text in texts)


def test_filters_do_what_they_say(tab, screen, table):
    opened = tab(screen)
    assert count_of(opened) == len(table) == 64
    opened.fill("#filter-text", "b0 DNA")
    wanted = [row for row in table if "b0" in row["file"].lower() and row["channel"] == "dna"]
    assert count_of(opened) == len(wanted) > 3
    for text in ("?0*1.TIF actin", "b0", "b0?", "*b0", "*s*ck1*", "b*(", "a0?_s1.tif"):
        wanted = [row for row in table if all(found(row, word) for word in text.split())]
        opened.fill("#filter-text", text)
        assert (text, count_of(opened)) == (text, len(wanted))
    opened.click("#filters [type=reset]")
    frame(opened)
    assert count_of(opened) == 64
    opened.uncheck("#status-in_focus")
    opened.uncheck("#status-mixed")
    assert count_of(opened) == sum(status(row) not in ("in_focus", "mixed") for row in table)
    opened.check("#status-in_focus")
    opened.check("#status-mixed")
    opened.fill("#value-from", "1.5")
    opened.fill("#value-to", "5")
    opened.fill("#trust-from", "0.5")
    wanted = [
        row
        for row in table
        if judged(row)
        and 1.5 <= float(row["expected_level"]) <= 5
        and float(row["certainty"]) >= 0.5
    ]
    assert count_of(opened) == len(wanted) > 5
    opened.fill("#trust-to", "0.5")
    opened.fill("#trust-from", "0.51")
    assert count_of(opened) == 0
    assert "Nothing passes" in opened.inner_text("#grid-body")


def test_planes_of_stacks_are_rows_when_asked_for(tab, screen):
    opened = tab(screen)
    opened.check("#all-planes")
    assert opened.inner_text("#shown-count") == "74 of 74 planes"


def test_sorting_and_the_download_of_the_table(tab, screen):
    opened = tab(screen)
    rows = read_csv((screen.parent / "results.csv").read_text("utf-8"))
    opened.check("#all-planes")
    # At first by what is chosen above, the worst on top.
    name, text = downloaded(opened, "#save-table")
    assert name == "results-filtered.csv"
    saved = read_csv(text)
    # Without content a level means nothing.
    by_level = sorted(filter(judged, rows), key=lambda row: -float(row["expected_level"]))
    assert saved == by_level + [row for row in rows if not judged(row)]
    head = opened.locator("#grid-head [aria-sort=descending]")
    assert "Expected" in head.inner_text()
    opened.click("#grid-head button:has-text('Expected')")
    first = read_csv(downloaded(opened, "#save-table")[1])[0]
    assert first["expected_level"] == by_level[-1]["expected_level"]
    opened.click("#grid-head button:has-text('File')")
    opened.click("#grid-head button:has-text('File')")
    saved = read_csv(downloaded(opened, "#save-table")[1])
    assert saved[0]["file"] == "stack2.tif"
    assert saved[-1]["file"] == "A01_s1.tif"


@pytest.mark.parametrize(
    ("level", "certainty", "mixed", "empty"), [(0.5, 0, True, True), (4.2, 0.6, False, False)]
)
def test_the_slider_says_and_saves_what_is_thrown_out(
    tab, screen, table, level, certainty, mixed, empty
):
    opened = tab(screen)
    for slider, value in (("value", level), ("trust", certainty)):
        opened.fill(f"#{slider}-number", str(value))
        assert float(opened.input_value(f"#{slider}-limit")) == value
    opened.set_checked("#drop-mixed", mixed)
    opened.set_checked("#drop-no_content", empty)
    frame(opened)
    reasons = {}
    for row in table:
        if status(row) == "error":
            reason = "error"
        elif status(row) == "no_content":
            reason = "no_content" if empty else ""
        elif status(row) == "mixed" and mixed:
            reason = "mixed"
        elif float(row["expected_level"]) > level:
            reason = "expected_level"
        elif float(row["certainty"]) < certainty:
            reason = "certainty"
        else:
            reason = ""
        reasons.setdefault(reason, []).append(row)
    kept = reasons.pop("")
    rejected = [(row, reason) for reason, rows in reasons.items() for row in rows]
    said = f"{len(kept)} images kept, {len(rejected)} thrown out"
    assert opened.inner_text("#kept-count") == said
    said = f"{len(kept)} would be kept and {len(rejected)} thrown out"
    lost = [reason for row, reason in rejected if status(row) == "in_focus"]
    said += f", {len(lost)} of them in focus" * bool(lost)
    assert said in opened.inner_text("#to-keep")
    against = opened.inner_text("#against-verdict")
    for count, words in (
        (sum(status(row) == "out_of_focus" for row in kept), "out of focus are kept"),
        (lost.count("expected_level"), "in focus are thrown out"),
    ):
        assert (f"{count} images {words}" in against) == (count > 0)
    columns = "file series z c t plate well site channel expected_level certainty status"
    columns = columns.split()
    name, text = downloaded(opened, "#save-kept")
    assert name == "kept.csv"
    assert text.startswith(",".join([*columns, "reason", "message"]) + "\r\n")
    columns.append("message")
    assert read_csv(text) == [{**{c: row[c] for c in columns}, "reason": ""} for row in kept]
    name, text = downloaded(opened, "#save-rejected")
    assert name == "rejected.csv"
    saved = [({c: row[c] for c in columns}, row["reason"]) for row in read_csv(text)]
    wanted = [({c: row[c] for c in columns}, reason) for row, reason in rejected]
    assert sorted(saved, key=str) == sorted(wanted, key=str)
    assert downloaded(opened, "#save-rejected-now") == (name, text)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(),
        Limits(4.2, 0.6, keeps_partly_bad=True, keeps_empty=True),
        Limits(0.3, 0.35, keeps_empty=True),
    ],
)
def test_the_saved_lists_are_those_that_are_made_without_a_browser(tab, tmp_path, limits):
    names = [*HOSTILE, "＝1.tif", "+1.5e3", "-x", "\ttab", "\rreturn"]
    rows = screen_rows()
    rows += [plane_row(name, number / 4, well="=B1") for number, name in enumerate(names)]
    rows += [plane_row("two.tif", 4.2 * c, 0.6, c=c) for c in range(2)]
    results = write_results(tmp_path, rows, record={"settings": {"in_focus_limit": 1.75}})
    opened = tab(write_report(results))
    for slider, value in (("value", limits.limit), ("trust", limits.min_trust)):
        if value:
            opened.fill(f"#{slider}-number", str(value))
    opened.set_checked("#drop-mixed", not limits.keeps_partly_bad)
    opened.set_checked("#drop-no_content", not limits.keeps_empty)
    frame(opened)
    write_lists(select(read_results(results).rows, limits), tmp_path / "lists")
    for button in ("#save-kept", "#save-rejected"):
        name, text = downloaded(opened, button)
        assert len(text.splitlines()) > 20
        assert text.encode() == (tmp_path / "lists" / name).read_bytes()


@pytest.mark.parametrize(("recorded", "limit"), [(1.55, 1.55), (2.0, 2), (1, 1.5)])
def test_at_first_what_is_in_focus_is_kept(tab, tmp_path, recorded, limit):
    """The verdict and the limit of the page go by one number; a whole limit is an older one's."""
    levels = [0, 1.46, 1.52, 1.54, 1.56, 1.9, 2, 2.02, 2.1, 7]
    rows = [
        plane_row(f"{level}.tif", level, status="in_focus" if level <= limit else "out_of_focus")
        for level in levels
    ]
    record = {"settings": {"in_focus_limit": recorded}}
    opened = tab(write_report(write_results(tmp_path, rows, record=record)))
    frame(opened)
    assert opened.input_value("#value-number") == opened.input_value("#value-limit") == str(limit)
    kept = sum(level <= limit for level in levels)
    assert opened.inner_text("#kept-count") == f"{kept} images kept, {10 - kept} thrown out"
    assert opened.inner_text("#against-verdict") == ""


def test_the_slider_moves_by_keyboard(tab, screen, table):
    opened = tab(screen)
    opened.focus("#value-limit")
    opened.keyboard.press("Home")
    for _ in range(3):
        opened.keyboard.press("ArrowRight")
    frame(opened)
    kept = [
        row
        for row in table
        if status(row) in ("in_focus", "out_of_focus") and float(row["expected_level"]) <= 0.3
    ]
    assert opened.inner_text("#kept-count").startswith(f"{len(kept)} images kept")
    # The box says what counts, whatever was typed into it.
    for typed, said in (("-2", "0"), ("99", "10")):
        opened.fill("#value-number", typed)
        opened.keyboard.press("Tab")
        assert opened.input_value("#value-number") == said == opened.input_value("#value-limit")


def test_a_click_on_a_bar_shows_its_images(tab, screen, table):
    opened = tab(screen)
    draw_all(opened)
    bar = opened.locator("#plot-values .bars .point").first
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    opened.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] - 6)
    count = sum(
        judged(row) and status(row) != "mixed" and float(row["expected_level"]) < 0.5
        for row in table
    )
    assert opened.inner_text("#dialog-title") == f"Level 0: {count} images"
    assert opened.locator("#dialog .gallery .thumb").count() == count


def test_a_well_opens_by_click(tab, screen):
    opened = tab(screen)
    plot = opened.locator("#plate-figures .plot[data-label^='Plate P1']")
    plot.scroll_into_view_if_needed()
    plot.locator(".main-svg").first.wait_for()
    place = plot.evaluate(
        """(plot) => {
            const { xaxis, yaxis } = plot.firstChild._fullLayout;
            const box = plot.getBoundingClientRect();
            return [box.x + xaxis._offset + xaxis.d2p(3), box.y + yaxis._offset + yaxis.d2p(1)];
        }"""
    )
    opened.mouse.click(*place)
    assert opened.inner_text("#dialog-title") == "B03_s1.tif"


def contrast(one, other):
    """After WCAG 2.2, of colours as rgb() texts."""

    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_wells_say_their_number_and_nothing_without_one(tab, tmp_path):
    rows = [plane_row(f"{k}.tif", k, well=f"A{k + 1:02}") for k in range(11)]
    rows += [failed_row("bad.tif", well="C01"), plane_row("e", 0, status="no_content", well="D01")]
    rows += [plane_row(f"e{k}", k, well="E01") for k in (0.5, 9.5)]
    opened = tab(write_report(write_results(tmp_path, rows)))
    assert opened.inner_text("#plate-figures h3") == "The plate"
    draw_all(opened)
    texts = opened.locator("#plate-figures .scatterlayer text, #plate-figures .heatmaplayer text")
    texts.first.wait_for()
    numbers = [f"{k}.0" for k in range(11)]
    assert sorted(texts.all_text_contents()) == sorted([*numbers, "9.5", "×", "·"])
    # A well is not blank when nothing could be told of it.
    hatched = opened.locator("#plate-figures .fills path")
    assert (
        hatched.evaluate_all("(all) => all.map((one) => /url/.test(one.style.fill))") == [True] * 2
    )
    (mark,) = opened.locator("#plate-figures path.point").all()
    number = opened.locator("#plate-figures text:text-is('9.5')")
    mark, number = mark.bounding_box(), number.bounding_box()
    assert mark["x"] > number["x"] + number["width"]
    assert mark["y"] + mark["height"] > number["y"] - 20
    assert "worst image" in opened.inner_text("#plates-value")
    assert "◥ marks wells whose images are more than 3" in opened.inner_text("#plates-value")
    described = opened.evaluate("JSON.parse(document.getElementById('data').textContent).described")
    (hues,) = (one["scale"]["colours"] for one in described if one["name"] == "expected_level")
    inks = dict(
        zip(
            texts.all_text_contents(),
            texts.evaluate_all("(all) => all.map((one) => getComputedStyle(one).fill)"),
        )
    )
    for k, hue in enumerate(hues):
        rgb = " ".join(str(part) for part in bytes.fromhex(hue[1:]))
        assert contrast(inks[f"{k}.0"], rgb) >= 4.5


def test_a_point_opens_with_its_neighbours_and_what_changed_is_marked(tab, tmp_path):
    rows = [plane_row(f"{k}.tif", 9.3456 - k, 0.7512, well=f"A0{k + 1}") for k in range(3)]
    rows[1]["size_bytes"] = 1
    for row in rows:
        write_image(tmp_path / row["file"])
    opened = tab(write_report(write_results(tmp_path, rows), images=tmp_path))
    draw_all(opened)
    opened.focus("#plot-time")
    opened.keyboard.press("Home")
    opened.keyboard.press("Enter")
    assert opened.inner_text("#dialog-title") == "0.tif"
    assert {"9.3", "0.75", "0.85"} <= set(opened.locator("#dialog dd").all_inner_texts())
    opened.click("#dialog button:has-text('Next')")
    assert opened.inner_text("#dialog-title") == "1.tif"
    assert "has changed since it was measured" in opened.inner_text("#dialog .note")


def test_by_keyboard_alone(tab, screen):
    opened = tab(screen)
    key = opened.keyboard.press
    active = "document.activeElement"
    key("Tab")
    assert opened.evaluate(f"{active}.textContent") == "Skip to the verdict"
    assert opened.evaluate(f"getComputedStyle({active}).outlineStyle") == "solid"
    key("Enter")
    key("Tab")
    assert opened.evaluate(f"{active}.dataset.status") == "in_focus"
    for _ in range(60):
        key("Tab")
        if opened.evaluate(f"{active}.id") == "plot-values":
            break
    assert opened.evaluate(f"{active}.id") == "plot-values"
    opened.wait_for_selector("#plot-values .main-svg")
    key("ArrowRight")
    key("ArrowRight")
    said = opened.inner_text("#announce")
    assert re.fullmatch(r"Level \d+(, mixed)?: \d+ images?", said)
    key("Enter")
    assert opened.inner_text("#dialog-title") == said or said.endswith(": 1 image")
    key("Escape")
    assert not opened.evaluate("document.getElementById('dialog').open")
    assert opened.evaluate(f"{active}.id") == "plot-values"
    # Down the table; the window of an image goes on to its neighbours.
    opened.click("#grid-head button:has-text('File')")
    opened.focus("#filter-text")
    for _ in range(40):
        key("Tab")
        if opened.evaluate(f"{active}.className") == "line":
            break
    key("ArrowDown")
    key("ArrowDown")
    key("Enter")
    assert opened.inner_text("#dialog-title") == "A03_s1.tif"
    key("ArrowRight")
    assert opened.inner_text("#dialog-title") == "A04_s1.tif"
    key("Escape")
    assert opened.evaluate(f"{active}.dataset.number") == "2"
    key("End")
    assert opened.evaluate(f"{active}.dataset.number") == "63"
    key("Home")
    assert opened.evaluate(f"{active}.dataset.number") == "0"


def test_the_window_keeps_the_focus_and_the_planes_of_a_stack_are_in_reach(tab, screen):
    opened = tab(screen)
    opened.fill("#filter-text", "stack1")
    opened.click("#grid-body .line")
    assert opened.inner_text("#dialog-title") == "stack1.tif z3"
    opened.click("#dialog button:has-text('All 6 planes')")
    assert opened.locator("#dialog .gallery .thumb").count() == 6
    for _ in range(12):
        opened.keyboard.press("Tab")
        inside = "document.activeElement.closest('dialog') || document.activeElement.tagName"
        assert opened.evaluate(inside) != "A"
    opened.click("#dialog .gallery .thumb >> nth=4")
    assert opened.inner_text("#dialog-title") == "stack1.tif z4"
    opened.click("#dialog button:has-text('Back to all 6')")
    assert opened.inner_text("#dialog-title") == "Planes of stack1.tif: 6 images"


def test_hostile_names_run_nothing_and_stay_what_they_are(tab, tmp_path):
    rows = [
        plane_row(name, number % 5, plate=name, well="A01", site=name, channel=name, message=name)
        for number, name in enumerate(HOSTILE)
    ]
    rows += [failed_row(name, name, well=name) for name in HOSTILE]
    rows += [plane_row(name, z, z=z) for name in HOSTILE[:3] for z in range(3)]
    record = {"command": HOSTILE, HOSTILE[0]: HOSTILE[1], "folder": HOSTILE[1]}
    results = write_results(tmp_path, rows, record=record)
    opened = tab(write_report(results, title=HOSTILE[0]))
    draw_all(opened)
    for number in range(len(HOSTILE)):
        opened.evaluate("document.getElementById('dialog').close()")
        opened.click(f"#grid-body [data-number='{number}']")
        assert opened.inner_text("#dialog-title") != ""
    assert opened.evaluate("window.hacked") is None
    assert opened.said == []
    assert opened.locator("main a:not([href^='#']), main svg[onload], main img[src=x]").count() == 0
    opened.evaluate("document.getElementById('dialog').close()")
    opened.check("#all-planes")
    text = downloaded(opened, "#save-table")[1]
    saved = list(csv.reader(io.StringIO(text, newline=""), strict=True))[1:]
    guarded = {name: f"'{name}" for name in HOSTILE if name[0] in "=@-'"}
    assert Counter(row[0] for row in saved) == Counter(
        guarded.get(row["file"], row["file"]) for row in rows
    )
    # The apostrophe comes off again.
    unguarded = [row[0].removeprefix("'") for row in saved if row[0].startswith("'")]
    assert set(unguarded) == set(guarded)


def test_paper_has_the_worst_rows_of_many(tab, tmp_path):
    rows = [plane_row(f"{n}.tif", (n % 50) / 40) for n in range(110)]
    rows += [plane_row("far.tif", 9), failed_row("bad.tif"), plane_row("soft.tif", 3)]
    opened = tab(write_report(write_results(tmp_path, rows)))
    opened.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    names = opened.locator("#grid-body .line .file bdi").all_inner_texts()
    assert (names[:3], len(names)) == (["bad.tif", "far.tif", "soft.tif"], 100)
    assert "13 more rows" in opened.inner_text("#grid-body")
    opened.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert opened.inner_text("#grid-body [data-number='0'] bdi") == "far.tif"


def test_a_phone_needs_no_sideways_scrolling(tab, screen):
    opened = tab(screen, PHONE)
    draw_all(opened)
    wide = "document.documentElement.scrollWidth"
    assert opened.evaluate(wide) == PHONE["width"]
    opened.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    opened.click("#see-pictures")
    assert opened.evaluate(wide) == PHONE["width"]
    dialog = opened.locator("#dialog")
    assert dialog.evaluate("(one) => one.scrollWidth - one.clientWidth") == 0
    assert opened.said == []


def test_on_paper_all_is_unfolded(tab, screen):
    opened = tab(screen)
    opened.emulate_media(media="print")
    opened.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    plots = opened.locator(".plot")
    assert all(plots.nth(number).locator(".main-svg").count() for number in range(plots.count()))
    assert opened.locator("#grid-body .line").count() == 64
    assert opened.locator(".worst li:visible").count() == opened.locator(".worst li").count() > 8
    assert opened.locator(".record tr").first.is_visible()
    assert not opened.locator("#save-kept").is_visible()
    # Verdicts differ by their hatching, levels by their number, when the colour is gone.
    hatched = "[...document.querySelectorAll('#group-figures .point path')].map("
    hatched += "(one) => one.style.fill.includes('url'))"
    assert set(opened.evaluate(hatched)) == {True, False}
    opened.evaluate("window.dispatchEvent(new Event('afterprint'))")
    opened.emulate_media(media="screen")
    pdf = opened.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 4
    assert opened.said == []


def test_damaged_numbers_and_a_single_image_do_not_stop_the_page(tab, tmp_path):
    row = plane_row("only.tif", 2) | {"modified": "yesterday", "mean_certainty": "", "p3": ""}
    opened = tab(write_report(write_results(tmp_path, [row])))
    draw_all(opened)
    opened.click("#grid-body .line")
    assert opened.said == []
    assert opened.inner_text("#dialog-title") == "only.tif"
    assert not opened.locator("#time").is_visible()


def test_without_scripts_nothing_is_dead_and_the_worst_are_listed(tab, screen, table):
    opened = tab(screen, scripts=False)
    count = sum(status(row) == "in_focus" for row in table)
    assert opened.inner_text(".tile[data-status=in_focus] strong") == str(count)
    assert "need JavaScript" in opened.inner_text("main")
    assert opened.locator(".needs-script:visible, input:visible, .plot:visible").count() == 0
    lines = opened.locator(".listed tbody tr")
    assert lines.count() == len(table)
    assert lines.first.inner_text().startswith("bad0.tif")
    assert "is cut short" in lines.first.inner_text()
    shown = [line.split("\t") for line in lines.all_inner_texts()]
    by_level = sorted(
        (row for row in table if status(row) == "out_of_focus"),
        key=lambda row: -float(row["expected_level"]),
    )
    assert [float(line[2]) for line in shown if "out of focus" in line[1]] == [
        round(float(row["expected_level"]), 2) for row in by_level
    ]


def test_links_lead_to_what_is_there_and_errors_stand_in_the_table(tab, tmp_path):
    rows = [failed_row(f"{n}.tif", f"is cut short after {n} bytes") for n in range(3)]
    opened = tab(write_report(write_results(tmp_path, rows)))
    links = opened.locator("nav a:visible")
    assert links.all_inner_texts() == ["Verdict", "What to keep", "Table", "What to know"]
    lines = opened.locator("#grid-body .line")
    assert "is cut short after 2 bytes" in lines.nth(2).inner_text()
    # No taller than what is in it.
    assert opened.locator("#grid-scroll").bounding_box()["height"] <= 3 * 46


# How far the charts above have been drawn before depends on the page.
@pytest.mark.parametrize("link", ["#time", "#stacks", "#montage", "#table"])
def test_a_link_leads_to_a_heading_that_is_in_sight(tab, screen, link):
    opened = tab(screen)
    # It takes a while to get there, and charts on the way are drawn.
    opened.emulate_media(reduced_motion="no-preference")
    opened.evaluate(
        """(link) => new Promise((arrived) => {
          addEventListener("scrollend", arrived, { once: true });
          document.querySelector(`nav a[href='${link}']`).click();
        })""",
        link,
    )
    title = opened.locator(f"{link} h2").bounding_box()
    assert 0 <= title["y"] <= DESKTOP["height"] / 4
    assert opened.said == []


def test_long_names_show_their_ends_and_all_stand_in_line(tab, tmp_path):
    names = [f"2026-01-01_a_very_long_name_of_a_screen_{n:02}_dna.tif" for n in range(2)]
    names += ["short_02_dna.tif"]
    rows = [plane_row(name, 2 - n) for n, name in enumerate(names)]
    opened = tab(write_report(write_results(tmp_path, rows)), PHONE)
    cells = opened.locator("#grid-body .line .file bdi")
    for n, cell in enumerate(cells.all()):
        assert cell.inner_text().endswith(f"{n:02}_dna.tif")
        assert cell.evaluate("(one) => one.scrollHeight <= one.clientHeight + 2")
    right = """(all) => all.filter((one) => one.offsetWidth)
        .map((one) => one.getBoundingClientRect().right)"""
    heads = opened.locator("#grid-head .number").evaluate_all(right)
    assert heads == opened.locator("#grid-body .line >> nth=0 >> .number").evaluate_all(right)
    opened.set_viewport_size(DESKTOP)
    opened.click("#see-pictures")
    tops = "(all) => all.map((one) => one.firstChild.getBoundingClientRect().top)"
    assert len(set(opened.locator(".gallery .thumb").evaluate_all(tops))) == 1


@pytest.mark.parametrize("points", [False, True])
def test_the_course_is_by_what_tells_images_apart(tab, tmp_path, points):
    more = [{"t": n} if points else {} for n in range(3)]
    rows = [plane_row("a.tif", 2, modified="2026-01-01T10:00:00Z", **own) for own in more]
    opened = tab(write_report(write_results(tmp_path, rows)))
    draw_all(opened)
    options = opened.locator("#time-order option")
    values = options.evaluate_all("(all) => all.map((one) => one.value)")
    assert values == (["t", "order"] if points else ["order"])
    assert opened.input_value("#time-order") == values[0]
    assert opened.locator("#time-order").is_visible() == points
    drawn = "document.querySelector('#plot-time').firstChild._fullData.flatMap((one) => [...one.x])"
    assert sorted(opened.evaluate(drawn)) == ([0, 1, 2] if points else [1, 2, 3])
    # Images and points in time are counted in whole numbers.
    for axis in ("#plot-time .xtick", "#plot-values .ytick"):
        ticks = opened.locator(f"{axis} text").all_text_contents()
        assert [int(text) for text in ticks] == list(range(4))[: len(ticks)]


def test_wells_of_1536_and_what_a_well_says_has_room_in_it(tab, tmp_path):
    wells = {"a1": (0, 0), "P24": (15, 23), "AA01": (26, 0), "AF48": (31, 47)}
    rows = [plane_row(f"{n}", n + 1, well=well, plate="big") for n, well in enumerate(wells)]
    kinds = (None, "mixed", "no_content")
    rows += [plane_row(f"s{k}", 5, status=k, well="H12", plate="small") for k in kinds]
    rows += [failed_row("bad", well="H12", plate="small")]
    opened = tab(write_report(write_results(tmp_path, rows)), {"width": 1400, "height": 900})
    draw_all(opened)
    drawn = """(plot) => {
        const [heat] = plot.firstChild._fullData;
        const rows = [...plot.querySelectorAll('.yaxislayer-above text, .ytick text')];
        return [heat.z.map((line) => [...line]), rows.map((one) => one.textContent)];
    }"""
    big, small = opened.locator("#plate-figures .plot").all()
    z, letters = big.evaluate(drawn)
    assert (len(z), len(z[0])) == (32, 48)
    assert {(r, c): v for r, line in enumerate(z) for c, v in enumerate(line) if v is not None} == {
        place: n + 1 for n, place in enumerate(wells.values())
    }
    assert {"A", "AA", "AE"} <= set(letters)
    width = small.evaluate(
        "({ firstChild: { _fullLayout: { xaxis } } }) => xaxis.d2p(2) - xaxis.d2p(1)"
    )
    text = small.locator(".scatterlayer text")
    assert text.text_content() == "5.0◐·×"
    assert text.bounding_box()["width"] <= width
    # The mark of the keyboard is around the number and not upon it.
    small.focus()
    opened.keyboard.press("Home")
    assert small.locator(".ring").bounding_box()["width"] >= width


def test_channels_of_a_file_are_told_apart_and_empty_ones_are_not_drawn(tab, tmp_path):
    name = "a_long_name_of_a_spectral_scan_01.tif"
    rows = [plane_row(name, 6 - 3 * c, c=c) for c in range(3)]
    rows += [plane_row(name, 0, 0.1, "no_content", c=c) for c in range(3, 40)]
    opened = tab(write_report(write_results(tmp_path, rows)), PHONE)
    assert "By channel" in opened.locator("nav a:visible").all_inner_texts()
    draw_all(opened)
    ticks = opened.locator("#group-figures .ytick text").all_text_contents()
    assert [tick.split() for tick in ticks] == [["c", f"{c}", f"{6 - 3 * c}.0"] for c in range(3)]
    assert "37 channels without content" in opened.inner_text("#group-figures figcaption")
    shown = opened.locator("#grid-body .line .name")
    for c, one in enumerate(shown.all()[:5]):
        assert one.inner_text().endswith(f"_01.tif c{c}")
        assert one.evaluate("(one) => one.scrollHeight <= one.clientHeight + 2")
    opened.set_viewport_size(DESKTOP)
    opened.locator("#grid-body .line:nth-child(2) .extra:text-is('1')").wait_for()
    assert shown.nth(1).inner_text().endswith("_01.tif")


def test_times_within_seconds_tell_of_no_drift_and_marks_are_seen_in_print(tab, tmp_path):
    times = [f"2026-01-01T10:00:0{n // 4}.{n % 4}50Z" for n in range(11)]
    rows = [plane_row(f"{n}.tif", n, modified=time) for n, time in enumerate(times)]
    opened = tab(write_report(write_results(tmp_path, rows)), PHONE)
    draw_all(opened)
    assert opened.input_value("#time-order") == "order"
    opened.select_option("#time-order", "time")
    assert "written within 3 seconds: too short" in opened.inner_text("#course")
    labels = opened.locator("#plot-time .xtick text")
    assert all(re.match(r"10:00:0\d($|Jan)", text) for text in labels.all_text_contents())
    boxes = sorted((label.bounding_box() for label in labels.all()), key=lambda box: box["x"])
    assert len(boxes) > 1
    assert all(one["x"] + one["width"] < other["x"] for one, other in zip(boxes, boxes[1:]))
    opened.emulate_media(media="print")
    opened.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    edges = "(all) => all.map((one) => [getComputedStyle(one).stroke, one.style.opacity])"
    for plot in ("#plot-time", "#plot-chart-0"):
        strokes = opened.locator(f"{plot} .points path.point").evaluate_all(edges)
        assert len(strokes) == len(rows)
        for stroke, opacity in strokes:
            assert contrast(stroke, "rgb(255, 255, 255)") >= 6.9
            assert opacity == "1"


def test_what_is_said_of_a_row_is_what_other_screens_say(tab, tmp_path):
    # Halfway between two of the digits that are said, in truth or nearly.
    numbers = [(2.25, 0.125), (2.75, 0.375), (0.5, 0.285), (1.35, 0.615), (9.95, 0.005), (3, 1)]
    kinds = (None, "mixed", "no_content")
    rows = [plane_row(f"{k}{n}.tif", *n, status=k) for k in kinds for n in numbers]
    rows += [failed_row("bad.tif", "is cut short"), plane_row("z.tif", 2.25, z=3)]
    opened = tab(write_report(write_results(tmp_path, rows)))
    opened.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    said = opened.locator("#grid-body .line").evaluate_all(
        "(all) => all.map((one) => one.ariaLabel)"
    )
    table = read_csv((tmp_path / "results.csv").read_text("utf-8"))
    measure = Focus(known=(11, 0.3))
    places = [f"{row['file']} z{row['z']}" if row["z"] else row["file"] for row in table]
    assert sorted(said) == sorted(
        f"{place}: {measure.in_words(row)}" for place, row in zip(places, table, strict=True)
    )


def heat_of(opened):
    """Numbers of the wells of the one plate, by row and column."""
    plot = "document.querySelector('#plate-figures .plot').firstChild"
    drawn = f"{plot}._fullData[0].z.map((z) => [...z])"
    return {
        (r, c): value
        for r, line in enumerate(opened.evaluate(drawn))
        for c, value in enumerate(line)
        if value is not None
    }


def course_of(opened):
    drawn = """document.querySelector('#plot-time').firstChild._fullData
        .filter((one) => one.mode === 'markers').flatMap((one) => [...one.y])"""
    return sorted(opened.evaluate(drawn))


def test_any_column_of_numbers_colours_and_sorts(tab, tmp_path):
    measures = (Focus(known=(11, 0.3)), Classical())
    columns = names(Settings(measures=measures).columns()[RESULTS])
    tenengrad = [40_000, 7, 310.5, 1_250_000]
    rows = [
        plane_row(f"{n}.tif", 3 * n, 0.7, well=f"A0{n + 1}", tenengrad=value, correlation=-0.1 * n)
        for n, value in enumerate(tenengrad)
    ]
    # Without content a level means nothing, and other numbers do.
    rows.append(plane_row("e.tif", 0, 0.1, "no_content", well="A05", tenengrad=2))
    rows += [plane_row("s.tif", z, 0.7, z=z, tenengrad=100 * z + 10) for z in range(3)]
    record = {"settings": {"measures": ["focus", "classical"]}}
    opened = tab(write_report(write_results(tmp_path, rows, columns, record=record)))
    offered = opened.locator("#choice option").all_inner_texts()
    assert {"Expected level", "Certainty", "Tenengrad", "Correlation"} <= set(offered)
    # No image counts by the most probable level.
    assert not {"Most probable level", "Noise estimate", "Plate", "Error"} & set(offered)
    assert opened.inner_text("#scale").split("\n") == ["0 in focus", "10 far out of focus"]
    draw_all(opened)
    before = (heat_of(opened), course_of(opened))
    assert before[0] == {(0, n): 3 * n for n in range(4)}
    opened.select_option("#choice", "tenengrad")
    draw_all(opened)
    assert opened.inner_text("#scale").split("\n") == ["2", "1.25M"]
    assert heat_of(opened) == dict(zip([(0, n) for n in range(5)], [*tenengrad, 2]))
    assert course_of(opened) == sorted([*tenengrad, 2, 10])
    assert opened.inner_text("#values-chart") == "Images by tenengrad"
    kinds = opened.locator("#plate-value option").all_inner_texts()
    assert kinds == ["highest tenengrad", "lowest tenengrad", "mean tenengrad"]
    shown = opened.locator("#grid-body .line .file .name").all_inner_texts()
    assert shown == ["e.tif", "1.tif", "s.tif", "2.tif", "0.tif", "3.tif"]
    assert "1250000" in opened.locator("#grid-body .line").last.inner_text()
    curve = "document.querySelector('#stack-figures .plot').firstChild._fullData[0].y"
    assert opened.evaluate(f"[...{curve}]") == [10, 110, 210]
    opened.fill("#value-from", "300")
    assert count_of(opened) == 3
    opened.click("#filters [type=reset]")
    opened.select_option("#choice", "expected_level")
    frame(opened)
    assert (heat_of(opened), course_of(opened)) == before
    assert opened.said == []


def test_a_measure_without_a_limit_or_of_which_high_is_good(tab, tmp_path):
    columns = names(Settings(measures=(Classical(),)).columns()[RESULTS])
    powers = [0.5, 0.1, 0.3, 0.2, 0.4]
    rows = [
        {
            "file": f"{power}.tif",
            "status": "measured",
            "mid_band_power": power,
            "well": f"B0{n + 1}",
        }
        for n, power in enumerate(powers)
    ]
    rows += [{"file": "e.tif", "status": "no_content"}, failed_row("bad.tif")]
    for row in rows:
        write_image(tmp_path / row["file"])
    record = {"settings": {"measures": ["classical"]}, "folder": str(tmp_path)}
    opened = tab(write_report(write_results(tmp_path / "out", rows, columns, record=record)))
    draw_all(opened)
    assert opened.inner_text("h1").startswith("Classical measures of ")
    tiles = opened.locator(".tile").evaluate_all("(all) => all.map((one) => one.dataset.status)")
    assert tiles == ["measured", "no_content", "error"]
    worst = opened.locator(".worst .file").all_inner_texts()
    assert worst == [f"{power}.tif" for power in sorted(powers)]
    # All are kept at first; from a limit on, those above it.
    assert opened.input_value("#value-limit") == "0.1"
    assert opened.inner_text("#kept-count") == "5 images kept, 2 thrown out"
    opened.fill("#value-number", "0.25")
    frame(opened)
    assert opened.inner_text("#kept-count") == "3 images kept, 4 thrown out"
    _, text = downloaded(opened, "#save-rejected")
    assert {row["file"]: row["reason"] for row in read_csv(text)} == {
        "0.1.tif": "mid_band_power",
        "0.2.tif": "mid_band_power",
        "e.tif": "no_content",
        "bad.tif": "error",
    }
    assert heat_of(opened) == {(1, n): power for n, power in enumerate(powers)}
    assert "lowest mid-band power" in opened.locator("#plate-value option").all_inner_texts()
    seen = opened.inner_text("body")
    for words in ("in focus", "out of focus", "expected level", "certainty", "mixed"):
        assert not re.search(rf"\b{words}", seen, re.I), words
    assert opened.said == []


def test_an_image_without_a_number_in_a_column_is_not_one_without_content(tab, tmp_path):
    columns = names(Settings(measures=(Focus(known=(11, 0.3)), Classical())).columns()[RESULTS])
    numbers = [(3.0, 120.5), (1.0, 90.5), (8.0, ""), (5.0, "")]
    rows = [
        plane_row(f"{n}.tif", level, well=f"A0{n + 1}", mean_intensity=mean, max_certainty=0.5)
        for n, (level, mean) in enumerate(numbers)
    ]
    rows.append(plane_row("e.tif", 0, status="no_content", well="A05", mean_intensity=70.5))
    record = {"settings": {"measures": ["focus", "classical"]}}
    opened = tab(write_report(write_results(tmp_path, rows, columns, record=record)))
    draw_all(opened)
    said = "document.querySelector('#plot-values').firstChild._fullData"
    said = f"{said}.flatMap((one) => one.type === 'bar' ? one.hovertext : [])"
    see = opened.locator("#montage-table tr", has_text="See")
    assert "No content: 1 image" in opened.evaluate(said)
    assert see.all_inner_texts() == ["· no content\tSee 1 image"]
    signs_of_bars = opened.locator("#contentless, #numberless, #unmeasured")
    shown = "(all) => all.filter((one) => !one.hidden).map((one) => one.id)"
    assert signs_of_bars.evaluate_all(shown) == ["contentless"]
    assert not opened.locator("#unjudged-marks").is_visible()
    opened.select_option("#choice", "mean_intensity")
    draw_all(opened)
    # An image without content has an intensity, and a mark in the course.
    assert "Pluses: no content." in opened.inner_text("#time figcaption")
    bars = opened.evaluate(said)
    assert "No number: 2 images" in bars
    assert not any("content" in one for one in bars)
    assert signs_of_bars.evaluate_all(shown) == ["numberless"]
    # Each image stands in one place.
    assert see.all_inner_texts() == ["– no number\tSee 2 images"]
    pictures = opened.locator("#montage-table .thumb").evaluate_all(
        "(all) => all.map((one) => one.ariaLabel)"
    )
    assert [text.rsplit(": ")[-1] for text in pictures] == ["1 image"] * 3
    signs = opened.locator("#plate-figures .scatterlayer text").all_text_contents()
    assert (signs.count("–"), signs.count("·")) == (2, 0)
    kinds = opened.locator("#plate-value option").all_inner_texts()
    words = ["highest mean intensity", "lowest mean intensity", "mean of mean intensity"]
    assert kinds == words
    assert "a slow change is a drift" in opened.inner_text("#course").lower()
    opened.select_option("#choice", "max_certainty")
    kinds = opened.locator("#plate-value option").all_inner_texts()
    assert kinds[0] == "highest of highest certainty of patches"
    assert opened.said == []


class Marked(Toy):
    """Of which a status is drawn with a mark and a hatch of its own."""

    statuses = (BRIGHT, Status("dim", "dim", "▲", "#f89045", 3, "", "triangle-up", "+"))


def test_a_status_may_have_any_mark_and_hatch(tab, tmp_path):
    row = {"width": 9, "height": 9}
    rows = [
        {"file": f"{n}.tif", "status": "dim" if n else "bright", "mean": 50 + n, **row}
        for n in range(3)
    ]
    columns = names(Settings(measures=(Marked(),)).columns()[RESULTS])
    results = write_results(tmp_path, rows, columns)
    opened = tab(write_report(results, measures=[Marked()]))
    draw_all(opened)
    caption = opened.inner_text("#time figcaption")
    assert "Filled: bright; triangle up: dim." in caption
    assert opened.said == []


def test_a_stack_without_content_was_measured_all_the_same(tab, tmp_path):
    columns = names(Settings(measures=(Classical(),)).columns()[RESULTS])
    rows = [{"file": "s.tif", "z": z, "status": "no_content"} for z in range(3)]
    rows += [
        {"file": "t.tif", "z": z, "status": "measured", "mid_band_power": 0.1 * z} for z in range(3)
    ]
    record = {"settings": {"measures": ["classical"]}}
    opened = tab(write_report(write_results(tmp_path, rows, columns, record=record)))
    captions = opened.locator("#stack-figures figcaption").all_inner_texts()
    assert captions == ["best plane z2", "· no content"]
    said = opened.inner_text("#stacks")
    assert "Those without content come last." in said
    assert "come first" not in said


def test_stacks_in_several_files_have_their_own_names_and_the_worst_come_first(tab, tmp_path):
    def stack(well, levels, status=None):
        name = f"plate_of_a_screen_with_a_long_name_{well}_z*.tif"
        return [
            plane_row(name.replace("*", str(z)), level, 0.7, status, z=z, stack=name)
            for z, level in enumerate(levels)
        ]

    rows = [
        *stack("A01", [3, 0, 3]),
        *stack("A02", [0, 0, 0], "no_content"),
        *stack("A03", [9, 6, 9]),
        *stack("A04", [4, 0.8, 4]),
        *stack("A05", [9, 8, 9]),
    ]
    opened = tab(write_report(write_results(tmp_path, rows)))
    draw_all(opened)
    heads = opened.locator("#stack-figures h3 bdi")
    wells = [re.search(r"A0\d", one)[0] for one in heads.all_inner_texts()]
    assert wells == ["A05", "A03", "A01", "A04", "A02"]
    assert heads.first.inner_text() == "plate_of_a_screen_with_a_long_name_A05_z*.tif"
    # A long name is broken behind its separators.
    assert heads.first.locator("wbr").count() == 10
    captions = opened.locator("#stack-figures figcaption").all_inner_texts()
    assert captions[0] == "○ out of focus; best plane z1"
    assert captions[4] == "· no content"
    empty = opened.locator("#stack-figures .plot").nth(4)
    assert empty.locator(".annotation").text_content() == "no plane has a number"
    assert empty.locator(".xtick").count() == 0
    empty.focus()
    opened.keyboard.press("Home")
    opened.keyboard.press("Enter")
    opened.click("#dialog button:has-text('All 3 planes')")
    title = "Planes of plate_of_a_screen_with_a_long_name_A02_z*.tif: 3 images"
    assert opened.inner_text("#dialog-title") == title


def test_a_blank_colour_of_an_image_is_a_plane_and_no_image(tab, tmp_path):
    rows = [plane_row("merge.png", 5 * c, c=c) for c in range(2)]
    rows.append(plane_row("merge.png", 0, 0, "no_content", c=2))
    opened = tab(write_report(write_results(tmp_path, rows)))
    assert opened.inner_text(".tile[data-status=no_content] strong") == "0"
    assert "1 of 2 images is in focus; 1 is out of focus." in opened.inner_text("#verdict")
    assert opened.inner_text("#shown-count") == "2 of 2 images"
    opened.check("#all-planes")
    assert opened.inner_text("#shown-count") == "3 of 3 planes"
