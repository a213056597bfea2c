"""The map of a montage and the trends of a rating's report, in a real browser."""

import numpy as np
import pytest
from rated_results import failed_grab, rated_row, write
from written_results import failed_row, write_image

from microscope_quality.report.write import write_report

pytestmark = pytest.mark.browser

WIDE = 8
FAULTY = {13: "cut", 20: "empty"}
UNREAD, CLIPPED = 9, 30


def name(number):
    return f"r{number // WIDE:02}_c{number % WIDE:02}.tif"


def score(number):
    return round(0.95 - 0.012 * number, 3)


def rows(template=name):
    """Tiles of 6 rows, 5 minutes apart: the blur grows by 0.6 px, the axis turns by 10 an hour."""
    noise = np.random.default_rng(1).normal(0, 0.02, (48, 2))
    made = []
    for number in range(48):
        hours = number / 12
        told = {
            "modified": f"2026-01-01T{10 + number // 12}:{number % 12 * 5:02}:00.000000000Z",
            "blur_px": f"{0.8 + 0.6 * hours + noise[number, 0]:.4f}",
            "elongation": f"{1.5 + noise[number, 1]:.4f}",
            # It goes on where angles begin again.
            "angle_deg": f"{(170 + 10 * hours + noise[number, 0]) % 180:.4f}",
        }
        file = template(number)
        if number == UNREAD:
            made.append(failed_row(file, "is cut short"))
        elif number in FAULTY:
            made.append(failed_grab(file, FAULTY[number], **told))
        else:
            clipped = {"fault": "saturated"} if number == CLIPPED else {}
            made.append(rated_row(file, score(number), **told, **clipped))
    return made


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiles")
    for number in range(0, 48, 5):
        write_image(folder / "images" / name(number), number)
    return write_report(write(folder / "rated", rows()), images=folder / "images")


def show(browser, page):
    opened = browser.new_context(
        viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
    ).new_page()
    opened.set_default_timeout(120_000)
    opened.said = []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.goto(page.as_uri())
    opened.wait_for_selector("html[data-ready]")
    return opened


@pytest.fixture(scope="module")
def opened(browser, report):
    return show(browser, report)


def draw(opened, plots):
    for number in range(opened.locator(plots).count()):
        plot = opened.locator(plots).nth(number)
        plot.scroll_into_view_if_needed()
        plot.locator(".main-svg").first.wait_for()


def traces(opened, plot, number=0):
    script = """(plot) => plot.firstElementChild.data.map(({ type, mode, x, y, z, text }) =>
      ({ type, mode, x: Array.from(x ?? []), y: Array.from(y ?? []), z, text }))"""
    return opened.locator(plot).nth(number).evaluate(script)


def test_each_tile_lies_where_its_name_tells(opened):
    draw(opened, "#tiles .plot")
    assert opened.locator("#tiles .plot").count() == 1
    shown = traces(opened, "#tiles .plot")
    heat = shown[0]["z"]
    without = {UNREAD, *FAULTY}
    assert [len(line) for line in heat] == [WIDE] * 6
    for number in range(48):
        expected = None if number in without else pytest.approx(score(number))
        assert heat[number // WIDE][number % WIDE] == expected, number
    signs = shown[-1]
    found = {(y, x): text for x, y, text in zip(signs["x"], signs["y"], signs["text"])}
    assert found == {
        divmod(UNREAD, WIDE): "<b>×</b>",
        **{divmod(number, WIDE): "<b>!</b>" for number in FAULTY},
    }
    # A frame has its lowest corner in the tile of a poor one.
    frames = next(one for one in shown if one["mode"] == "lines" and len(one["x"]) > 24)
    poor = [number for number in range(48) if score(number) < 0.5 and number not in without]
    corners = list(zip(frames["y"][::6], frames["x"][::6]))
    assert [(round(y + 0.4), round(x + 0.4)) for y, x in corners] == [
        divmod(number, WIDE) for number in poor
    ]
    note = opened.text_content("#tiles-note")
    assert note == (
        "Framed: poor. ◥ has a fault of the grab, such as saturation. "
        "Grey and hatched, without a number: ! failed grab, × not measured."
    )
    hatched = opened.locator("#tiles .plot").evaluate(
        """(plot) => plot.firstElementChild.data.filter((trace) => trace.fillpattern)
          .map(({ fillpattern, x }) => [fillpattern.shape, fillpattern.bgcolor, x.length / 6])"""
    )
    line = opened.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--line')")
    assert sorted(hatched) == [["-", line.strip(), 1], ["x", line.strip(), len(FAULTY)]]
    assert opened.said == []


def test_a_tile_opens_by_click_and_by_keyboard(opened):
    draw(opened, "#tiles .plot")
    plot = opened.locator("#tiles .plot")
    at = plot.evaluate(
        """(plot) => { const { xaxis, yaxis } = plot.firstElementChild._fullLayout;
        return [xaxis._offset + xaxis.d2p(3), yaxis._offset + yaxis.d2p(2)]; }"""
    )
    plot.click(position={"x": at[0], "y": at[1]})
    assert opened.text_content("#dialog-title") == "r02_c03.tif"
    opened.keyboard.press("Escape")
    plot.focus()
    for key in ("Home", "ArrowDown", "ArrowRight"):
        plot.press(key)
    assert opened.text_content("#tiles .reading").startswith("r01_c01.tif: not measured")
    plot.press("ArrowRight")
    assert opened.text_content("#tiles .reading").startswith("r01_c02.tif: good, score 0.83")
    plot.press("Enter")
    assert opened.text_content("#dialog-title") == "r01_c02.tif"
    opened.keyboard.press("Escape")


def test_trends_are_said_and_drawn(opened):
    draw(opened, "#time .triple .plot")
    said = opened.locator(".drift").all_text_contents()
    assert len(said) == 2
    assert said[0].startswith("The blur grows by 0.60 px an hour (0.60 to 0.6")
    assert said[0].endswith("over 3.9 hours and 45 images.")
    assert said[1].startswith("The long axis turns by 10.0° an hour (10.0 to 10.0, 95 %)")
    captions = opened.locator("#time .triple figcaption").all_text_contents()
    assert captions[0].startswith("+0.60 an hour")
    assert captions[1] == "No trend: the 95 % interval of its change holds 0."
    drawn = [traces(opened, "#time .triple .plot", number)[-1]["mode"] for number in range(3)]
    assert drawn == ["lines", "markers", "lines"]
    line = traces(opened, "#time .triple .plot")[-1]
    assert line["mode"] == "lines"
    assert line["y"] == pytest.approx([0.8, 0.8 + 0.6 * 47 / 12], abs=0.05)
    assert line["x"][1] - line["x"][0] == pytest.approx(47 / 12 * 3_600_000)
    # The line of the axis goes on at the other end, and not across.
    axis = traces(opened, "#time .triple .plot", 2)[-1]["y"]
    assert [*map(bool, axis)].count(False) == 1
    assert all(y is None or y > 169 or y < 30 for y in axis)


def test_copies_have_no_drift_and_it_is_said_why(tmp_path, browser):
    copies = [
        {**row, "modified": f"2026-01-01T10:00:{number:02}.000000000Z"}
        for number, row in enumerate(rows(lambda number: f"tile{number}.tif"))
    ]
    opened = show(browser, write_report(write(tmp_path / "rated", copies)))
    assert opened.locator(".drift").all_text_contents() == [
        "No drift is told: the files were written within 47 seconds, as copies are, and it takes "
        "5 minutes."
    ]
    assert opened.locator("#time .triple").count() == 0
    # And names without places are no montage.
    assert opened.locator("#tiles, nav a[href='#tiles']").count() == 0


def test_charts_are_drawn_before_anybody_scrolls_to_them(browser, report):
    opened = show(browser, report)
    opened.wait_for_function(
        """() => [...document.querySelectorAll(".plot")].filter((one) => !one.closest("[hidden]"))
          .every((one) => one.querySelector(".main-svg"))"""
    )
    assert opened.evaluate("scrollY") == 0
    assert opened.locator(".plot .main-svg").count() >= 5


def test_the_map_fits_on_a_phone(opened):
    opened.set_viewport_size({"width": 375, "height": 800})
    draw(opened, "#tiles .plot")
    # The charts are drawn anew a moment later.
    opened.evaluate(
        """() => new Promise((done) => {
          const look = () => (document.documentElement.scrollWidth <= 375
            ? done() : requestAnimationFrame(look));
          look();
        })"""
    )
