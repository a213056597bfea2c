"""Images scored in a real browser by simulated raters, who see nothing but the page's pixels."""

from __future__ import annotations

import base64
import contextlib
import re
import time

import numpy as np
import pytest
import tifffile
from command_line import run, table
from label_program import Program
from simulated_raters import Rater, key_of, write_image
from systems import posix

from microscope_quality.rating.labels import LabelsFile, read_labels

pytestmark = pytest.mark.browser

# What is drawn within the image's borders, as one grey value for each of the screen's pixels.
PIXELS = """() => {
  const canvas = document.getElementById("view");
  const [left, top] = [viewer.left, viewer.top].map(Math.round);
  const [width, height] = [viewer.width * viewer.zoom, viewer.height * viewer.zoom].map(Math.round);
  const [x, y] = [Math.max(left, 0), Math.max(top, 0)];
  const seen = canvas.getContext("2d").getImageData(x, y,
    Math.min(width, canvas.width - x), Math.min(height, canvas.height - y));
  let values = "";
  for (let k = 0; k < seen.data.length; k += 4) values += String.fromCharCode(seen.data[k]);
  return { width: seen.width, height: seen.height, zoom: viewer.zoom, left, top,
    values: btoa(values) };
}"""


def look(tab):
    """What is drawn: its size, zoom and place, and its grey values."""
    seen = tab.evaluate(PIXELS)
    grey = np.frombuffer(base64.b64decode(seen["values"]), np.uint8)
    return seen, grey.reshape(seen["height"], seen["width"]).astype(int)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(12):
        write_image(folder / f"{k}.tif", k % 10 + 1, unlike=k)
    return folder


@pytest.fixture
def program(tmp_path):
    started = []

    def start(*options):
        started.append(Program(tmp_path, *options).start())
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()


@pytest.fixture
def tabs(browser):
    with contextlib.ExitStack() as stack:

        def open_tab(**options):
            context = browser.new_context(**{"viewport": {"width": 1000, "height": 700}, **options})
            stack.callback(context.close)
            tab = context.new_page()
            tab.said = []
            tab.on("pageerror", lambda error: tab.said.append(str(error)))
            return tab

        yield open_tab


def opened(tab):
    """Wait until an image is drawn that was not there before; False when it was the last one."""
    before = getattr(tab, "shown", "")
    tab.wait_for_selector(f'main[data-open]:not([data-open="{before}"])', timeout=20_000)
    tab.shown = tab.locator("main").get_attribute("data-open")
    return tab.shown != "end"


def enter(tab, program, rater=""):
    tab.goto(f"{program.url}?rater={rater}" if rater else program.url)
    if rater:
        assert opened(tab)


def seen_quality(tab):
    """Share of the image that is white, to the eyes."""
    _, grey = look(tab)
    return float((grey > 127).mean())


def rate(tab, rater, most=1000):
    """Score what is shown by keys; gives what was seen and said."""
    said = []
    seen_times = {}
    for _ in range(most):
        quality = round(seen_quality(tab), 2)
        question = tab.evaluate("question()")
        what = (question["image"], question["y"], question["x"])
        seen_times[what] = seen_times.get(what, 0) + 1
        score = rater.score(quality, (*what, seen_times[what]))
        tab.keyboard.press(key_of(score))
        said.append((question["image"], question["repeat"], quality, score))
        if not opened(tab):
            break
    return said


def test_a_raters_preference_comes_out_as_it_is(images, program, tabs, tmp_path):
    (images / "broken.tif").write_bytes(b"not an image")
    tab = tabs()
    enter(tab, running := program("--repeats", "0.25"), "Anna")
    rater = Rater("Anna", offset=-0.1, error=0.06)
    said = rate(tab, rater)
    assert "That was the last one" in tab.locator("#over").inner_text()
    assert tab.locator("#unreadable").inner_text() == "1 image cannot be shown and is left out"
    assert tab.said == []
    code, printed = running.stop()
    assert code == 130
    assert "15 rows more" in printed
    rows = table(tmp_path / "labels.csv")
    assert [(row["image"], int(row["repeat"]), float(row["score"])) for row in rows] == [
        (image, repeat, score) for image, repeat, _, score in said
    ]
    # What was seen is what is in the files.
    for image, _, quality, _ in said:
        number = int(re.search(r"(\d+)\.tif", image)[1])
        assert quality == pytest.approx((number % 10 + 1) / 10, abs=0.011)
    assert [row["rater"] for row in rows] == ["Anna"] * 15
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["time"]) for row in rows)
    assert all(0 <= float(row["seconds"]) < 60 for row in rows)
    # Each once, a quarter twice, never twice in a row.
    assert sorted(image for image, repeat, *_ in said if not repeat) == sorted(
        f"images/{k}.tif" for k in range(12)
    )
    assert all(one[0] != other[0] for one, other in zip(said, said[1:]))

    # The command's figures are those of the errors that the rater made.
    printed = run("agreement", tmp_path / "labels.csv").stdout
    first = {image: score for image, repeat, _, score in said if not repeat}
    differences = [score - first[image] for image, repeat, _, score in said if repeat]
    error = np.std(differences, ddof=1) / np.sqrt(2)
    assert f"Anna: 12 scores, repeat error {error:.3f} from 3 repeats." in printed
    tab.goto((tmp_path / "agreement.html").as_uri())
    row = tab.locator("#raters ~ .card tbody tr").inner_text()
    assert f"{error:.3f}" in row
    assert f"{np.mean(list(first.values())):.2f}" in row
    assert tab.said == []


def test_two_raters_at_the_same_time(images, program, tabs, tmp_path):
    """In turns, each with half of the images before the other goes on; figures by hand."""
    running = program("--repeats", "0.25")
    raters = [Rater("Anna"), Rater("Ben", offset=-0.2)]
    pages = [tabs(), tabs()]
    said = {rater.name: [] for rater in raters}
    for tab, rater in zip(pages, raters):
        enter(tab, running, rater.name)
    done = set()
    while len(done) < 2:
        for tab, rater in zip(pages, raters):
            if rater.name not in done:
                said[rater.name] += rate(tab, rater, most=4)
                if tab.shown == "end":
                    done.add(rater.name)
    running.stop()
    labels = read_labels(tmp_path / "labels.csv")
    for rater in raters:
        own = [(one.image, one.repeat, one.score) for one in labels if one.rater == rater.name]
        assert sorted(own) == sorted((i, r, s) for i, r, _, s in said[rater.name])
        assert len(own) == 15
    assert [one[0] for one in said["Anna"]] != [one[0] for one in said["Ben"]]
    # Qualities 0.1 to 1 and 0.1, 0.2 again; Ben gives 0.2 less, but for those below 0.3.
    offsets = [min(0.2, k / 10 - 0.1) for k in (*range(1, 11), 1, 2)]
    printed = run("agreement", tmp_path / "labels.csv").stdout
    assert f"Anna: 12 scores, offset +{np.mean(offsets):.3f}, repeat error 0.000" in printed
    assert f"Ben: 12 scores, offset -{np.mean(offsets):.3f}, repeat error 0.000" in printed


def test_back_skip_comment_and_keys(images, program, tabs, tmp_path):
    running = program("--repeats", "0")
    tab = tabs()
    enter(tab, running, "Anna")
    shown = [tab.evaluate("question().image")]
    for key in ("7", "s", "0"):
        tab.keyboard.press(key)
        opened(tab)
        shown.append(tab.evaluate("question().image"))
    # Two back; the earlier answer is marked.
    for _ in range(2):
        tab.keyboard.press("ArrowLeft")
        opened(tab)
    assert tab.evaluate("question().image") == shown[1]
    assert tab.get_by_role("button", name="Skip").get_attribute("aria-pressed") == "true"
    tab.keyboard.press("Backspace")
    opened(tab)
    seven = tab.get_by_role("button", name="Score 0.7")
    assert seven.get_attribute("aria-pressed") == "true"
    # A comment; keys are letters of it, and score nothing.
    tab.keyboard.press("c")
    tab.keyboard.type("stigmated, 30 degrees; 5 s")
    tab.keyboard.press("Enter")
    # Said of an image that has its score, it is kept at once, and the way goes on.
    opened(tab)
    assert tab.evaluate("question().image") == shown[1]
    tab.keyboard.press("4")
    opened(tab)
    assert tab.evaluate("question().image") == shown[2]
    tab.keyboard.press("ArrowRight")
    opened(tab)
    assert tab.evaluate("question().image") == shown[3]
    # With a comment before the score, and by the mouse.
    tab.keyboard.press("c")
    tab.keyboard.type("noisy")
    tab.keyboard.press("Escape")
    tab.get_by_role("button", name="Score 0.2").click()
    opened(tab)
    # What is pressed with Ctrl is not for the page; a key that is held counts once.
    tab.keyboard.press("Control+5")
    tab.keyboard.down("6")
    tab.keyboard.down("6")
    tab.keyboard.up("6")
    opened(tab)
    assert tab.locator("#progress-words").inner_text() == "5 of 12 done"
    running.stop()
    rows = [(row["image"], row["score"], row["comment"]) for row in table(tmp_path / "labels.csv")]
    comment = "stigmated, 30 degrees; 5 s"
    assert rows[:6] == [
        (shown[0], "0.7", ""),
        (shown[1], "", ""),
        (shown[2], "1", ""),
        (shown[0], "0.7", comment),
        (shown[1], "0.4", ""),
        (shown[3], "0.2", "noisy"),
    ]
    assert rows[6][1] == "0.6"
    held = {one.image: (one.score, one.comment) for one in read_labels(tmp_path / "labels.csv")}
    assert held[shown[0]] == (0.7, comment)
    assert held[shown[1]] == (0.4, "")
    assert tab.said == []


def test_at_full_resolution_a_pixel_of_the_image_is_one_of_the_screen(images, program, tabs):
    for path in images.iterdir():
        path.unlink()
    plane = np.random.default_rng(4).integers(0, 60_000, (1200, 1600)).astype(np.uint16)
    tifffile.imwrite(images / "a.tif", plane)
    black, white = np.percentile(plane[::4, ::4], [0.5, 99.8])
    grey = np.clip((plane - black) / (white - black) * 255, 0, 255)
    running = program("--repeats", "0")
    tab = tabs()
    enter(tab, running, "Anna")
    seen, _ = look(tab)
    assert seen["zoom"] < 1
    assert (seen["width"], seen["height"]) == (
        round(1600 * seen["zoom"]),
        round(1200 * seen["zoom"]),
    )
    assert "all of it" in tab.locator("#zoom").inner_text()
    tab.keyboard.press("z")
    tab.wait_for_selector("#zoom:text-is('100 %')")

    def same():
        seen, values = look(tab)
        top, left = max(0, -seen["top"]), max(0, -seen["left"])
        wanted = grey[top : top + seen["height"], left : left + seen["width"]]
        # A tile may still be on its way.
        return values.shape == wanted.shape and bool(np.all(np.abs(values - wanted) <= 1))

    def until_same():
        end = time.monotonic() + 20
        while not same():
            assert time.monotonic() < end
            time.sleep(0.1)

    until_same()
    before = tab.evaluate("[viewer.left, viewer.top]")
    for _ in range(3):
        tab.keyboard.press("Shift+ArrowRight")
        tab.keyboard.press("Shift+ArrowDown")
    assert tab.evaluate("[viewer.left, viewer.top]") != before
    until_same()
    # By the mouse: dragged, and with the wheel on which what is under it stays.
    tab.mouse.move(400, 300)
    tab.mouse.down()
    tab.mouse.move(640, 420)
    tab.mouse.up()
    until_same()
    place = "[(400 - viewer.left) / viewer.zoom, (200 - viewer.top) / viewer.zoom]"
    box = tab.locator("#view").bounding_box()
    tab.mouse.move(box["x"] + 400, box["y"] + 200)
    before = tab.evaluate(place)
    tab.mouse.wheel(0, -120)
    tab.wait_for_selector("#zoom:text-is('200 %')")
    assert tab.evaluate(place) == pytest.approx(before, abs=1)
    tab.keyboard.press("z")
    tab.wait_for_selector("#zoom:has-text('all of it')")
    assert tab.said == []


def test_a_patch_is_shown_at_a_whole_multiple(images, program, tabs):
    running = program("--patch", "64", "--repeats", "0")
    tab = tabs()
    enter(tab, running, "Anna")
    seen, values = look(tab)
    assert seen["zoom"] == 4
    assert seen["width"] == 256
    values = values.reshape(64, 4, 64, 4)
    # Each pixel is a square of one value.
    assert (values == values[:, :1, :, :1]).all()
    question = tab.evaluate("question()")
    plane = tifffile.imread(images.parent / question["image"])
    assert question["size"] == 64
    part = plane[question["y"] :][:64, question["x"] :][:, :64]
    assert np.array_equal(values[:, 0, :, 0] > 127, part > 2000)


def test_names_are_asked_for_and_known_again(images, program, tabs, tmp_path):
    hostile = "<img src=x onerror=alert(1)> & Söhne"
    with LabelsFile(tmp_path / "labels.csv"):
        pass
    running = program()
    tab = tabs()
    enter(tab, running)
    tab.wait_for_selector("#who[open]")
    # There is no way around a name.
    tab.keyboard.press("Escape")
    tab.keyboard.press("5")
    assert tab.locator("#who").is_visible()
    tab.locator("#name").fill("   ")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#name-trouble:has-text('rater must be a name')")
    tab.locator("#name").fill(f"  {hostile}  ")
    tab.keyboard.press("Enter")
    assert opened(tab)
    tab.keyboard.press("5")
    opened(tab)
    assert tab.locator("#whose").inner_text() == hostile
    # Another one takes over, and the first one goes on.
    tab.locator("#whose").click()
    tab.locator("#name").fill("Ben")
    tab.keyboard.press("Enter")
    opened(tab)
    assert tab.locator("#progress-words").inner_text() == "0 of 14 done"
    tab.locator("#whose").click()
    tab.get_by_role("button", name=f"Go on as {hostile}").click()
    opened(tab)
    assert tab.locator("#progress-words").inner_text() == "1 of 14 done"
    assert tab.locator("img").count() == 0
    assert [row["rater"] for row in table(tmp_path / "labels.csv")] == [hostile]
    assert tab.said == []
    # A page for one rater asks nobody.
    other = tabs()
    running.stop()
    running = program("--rater", "Cleo")
    enter(other, running)
    assert opened(other)
    assert other.locator("#whose").inner_text() == "Cleo"
    assert other.locator("#whose").is_disabled()


def test_a_page_stays_open_while_the_program_is_killed_and_started_again(
    images, program, tabs, tmp_path
):
    running = program("--repeats", "0")
    tab = tabs()
    enter(tab, running, "Anna")
    rate(tab, Rater("Anna"), most=3)
    image = tab.evaluate("question().image")
    running.kill()
    tab.keyboard.press("8")
    tab.wait_for_selector("#banner:has-text('does not answer. Leave this page open')")
    # What is pressed meanwhile counts for nothing: nothing else was seen.
    tab.keyboard.press("1")
    running.start()
    opened(tab)
    tab.wait_for_selector("#banner", state="hidden")
    assert tab.evaluate("question().image") != image
    rows = table(tmp_path / "labels.csv")
    assert len(rows) == 4
    assert (rows[3]["image"], rows[3]["score"]) == (image, "0.8")
    rate(tab, Rater("Anna"))
    assert len(read_labels(tmp_path / "labels.csv")) == 12
    assert tab.said == []


@posix
def test_a_table_that_cannot_be_written_is_told_until_it_can(images, program, tabs, tmp_path):
    """As on a full disk or while a spreadsheet holds it; here a folder lies in its place."""
    running = program("--repeats", "0")
    tab = tabs()
    enter(tab, running, "Anna")
    rate(tab, Rater("Anna"), most=2)
    path = tmp_path / "labels.csv"
    aside = path.rename(tmp_path / "aside.csv")
    path.mkdir()
    tab.keyboard.press("3")
    tab.wait_for_selector("#banner:has-text('It is tried again until it works')")
    path.rmdir()
    aside.rename(path)
    opened(tab)
    tab.wait_for_selector("#banner", state="hidden")
    assert [row["score"] for row in table(path)][2:] == ["0.3"]


@pytest.mark.parametrize("size", [(375, 700), (820, 1180), (1280, 560)])
def test_it_fits_phones_tablets_and_low_screens(images, program, tabs, size):
    running = program()
    width, height = size
    tab = tabs(viewport={"width": width, "height": height}, has_touch=True, device_scale_factor=2)
    enter(tab, running, "Anna")
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert tab.evaluate("document.documentElement.scrollHeight") == height
    for score in ("0.1", "1.0"):
        box = tab.get_by_role("button", name=f"Score {score}").bounding_box()
        assert box["y"] + box["height"] <= height
        assert box["height"] >= 34
    box = tab.locator("#view").bounding_box()
    assert box["height"] >= 200
    tab.get_by_role("button", name="Score 0.6").tap()
    opened(tab)
    assert tab.locator("#progress-words").inner_text().startswith("1 of ")
