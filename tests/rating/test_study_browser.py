"""Studies in a real browser, by testers whose preferences are known."""

import contextlib
import csv
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from command_line import command, environment
from PIL import Image
from simulated_testers import by_hand, make_study, mean_and_sd, press, scores_of, write_table

from microscope_quality.rating.study import ANSWERS, Study, read_study
from microscope_quality.rating.study_page import StudyPage
from microscope_quality.rating.study_results import MEASURES

pytestmark = pytest.mark.browser

TABLET = {"viewport": {"width": 768, "height": 1024}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 375, "height": 700}, "has_touch": True, "is_mobile": True}
# Digits of an image's number that are drawn into it, and the side of a square.
N_DIGITS, SQUARE = 6, 16
EDGES = (0, 0.2, 0.4, 0.6, 0.8, 1)
BINS = [*zip(EDGES, EDGES[1:]), (0, 1)]


@pytest.fixture
def tab(browser):
    contexts = []

    def show(url, **device):
        context = browser.new_context(reduced_motion="reduce", **(device or DESKTOP))
        contexts.append(context)
        opened = context.new_page()
        opened.said = []
        opened.on("pageerror", lambda error: opened.said.append(str(error)))
        opened.on("dialog", lambda dialog: opened.said.append(dialog.message))
        opened.goto(url)
        return opened

    yield show
    for context in contexts:
        context.close()


def write_numbered(folder, number):
    """Images in which their number can be seen: black and white squares, one for a digit."""
    folder.mkdir()
    for k in range(number):
        digits = np.array([k >> place & 1 for place in range(N_DIGITS)] + [1, 0])
        squares = np.kron(np.tile(digits, (3, 1)), np.ones((SQUARE, SQUARE)))
        noise = np.random.default_rng(k).integers(0, 30, squares.shape)
        Image.fromarray((190 * squares + noise).astype(np.uint8)).save(folder / f"s{k:03}.png")


def seen(page):
    """Number of the image that is on the canvas."""
    middles = [(place + 0.5) * SQUARE for place in range(N_DIGITS)]
    digits = page.evaluate(
        """([middles, width, height]) => {
            const canvas = document.getElementById("view");
            const room = Math.min(canvas.width / width, canvas.height / height);
            const zoom = Math.min(4, Math.floor(room));
            const left = Math.round((canvas.width - width * zoom) / 2);
            const middle = Math.round(canvas.height / 2);
            const context = canvas.getContext("2d");
            const at = (x) => context.getImageData(left + Math.round(x * zoom), middle, 1, 1);
            return middles.map((x) => at(x).data[0]);
        }""",
        [middles, (N_DIGITS + 2) * SQUARE, 3 * SQUARE],
    )
    return sum((digit > 110) << place for place, digit in enumerate(digits))


def at_trial(page, number):
    page.wait_for_selector(f'#trial[data-number="{number}"]')


def now_at(page):
    return int(page.locator("#trial").get_attribute("data-number"))


def shown(page):
    return page.locator("#left-score").inner_text(), page.locator("#right-score").inner_text()


KEYS = {"left": "1", "right": "2", "equivalent": "3", "discard": "0"}


def give(page, pressed, number, touch):
    if touch:
        page.tap(f"#{pressed}")
    else:
        page.keyboard.press(KEYS[pressed])
    page.wait_for_selector(f'#trial[data-number="{number + 1}"], #finished:not([hidden])')


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@contextlib.contextmanager
def conducted(*arguments):
    """The command, as it is typed; gives its process and the links it prints, by name."""
    process = subprocess.Popen(
        command("study", *arguments, "--no-browser"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        links = {}
        for line in process.stdout:
            if found := re.match(r"(.+), \d+ of \d+ answered: (http\S+)", line):
                links[found[1]] = found[2]
            elif found := re.match(r"The page is at (http\S+)", line):
                links[""] = found[1]
                break
        yield process, links
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_numbered(folder / "images", 24)
    target, prediction, truth = scores_of(24, seed=4)
    names = [f"s{k:03}.png" for k in range(24)]
    write_table(folder / "a.csv", zip(names, target))
    write_table(folder / "b.csv", zip(names, prediction), ("file", "score"))
    write_table(folder / "c.csv", [(str(k), k / 100) for k in range(101)])
    return folder, target, prediction, truth


def test_testers_with_known_preferences_get_the_numbers_that_follow(tables, tab):
    """Two at a time, by keys and by touch; the program is killed twice, and goes on."""
    folder, target, prediction, truth = tables
    out = folder / "out"
    names = ("Ada", "Ben")
    opinions = {
        name: np.clip(np.array(truth) + np.random.default_rng(k).normal(0, 0.1, 24), 0, 1)
        for k, name in enumerate(names)
    }
    typed = ["--out", out, "--testers", ",".join(names), "--baseline", 0.5, "--repeats", 0.25]
    typed += ["--training-scores", folder / "c.csv", "--seed", 7]
    typed += ["--scores", folder / "a.csv", "--against", folder / "b.csv", folder / "images"]
    said = []
    total = 24 + 12 + 6
    kill_at = {10, 25}

    with contextlib.ExitStack() as running:
        process, links = running.enter_context(conducted(*typed, "--port", 0))
        port = re.search(r":(\d+)/", links[""])[1]
        pages = {
            name: tab(links[name], **dict(zip(names, (DESKTOP, TABLET)))[name]) for name in names
        }
        for name, page in pages.items():
            page.wait_for_selector("#welcome:not([hidden])")
            assert f"{total} times" in page.locator("#how-many").inner_text()
            page.keyboard.press("Enter") if name == "Ada" else page.tap("#begin")
            at_trial(page, 1)
        for number in range(1, total + 1):
            if number in kill_at:
                process.kill()
                process.wait()
                process, again = running.enter_context(conducted("--out", out, "--port", port))
                # The links stay what they were, and so do the pages.
                assert again == links
            for name, page in pages.items():
                assert now_at(page) == number
                image = seen(page)
                left, right = shown(page)
                pressed = press(opinions[name][image], left, right)
                picked = {"left": left, "right": right}.get(pressed, pressed)
                said.append((name, number, image, left, right, pressed, picked))
                give(page, pressed, number, touch=name == "Ben")
        for page in pages.values():
            assert page.locator("#finished-many").inner_text() == f"{total} answers"
            assert page.said == []

        # What stands in the table is what they said, no more and no less.
        rows = rows_of(out / ANSWERS)
        assert len(rows) == len(said) == 2 * total
        for row, (name, number, image, left, right, pressed, picked) in zip(rows, said):
            assert (row["tester"], int(row["trial"])) == (name, number)
            assert row["image"] == f"s{image:03}.png"
            assert float(row["target"]) == target[image]
            if row["showing"] != "baseline":
                assert float(row["other"]) == prediction[image]
            assert (row["left"], row["right"]) == (left, right)
            assert {left, right} == {f"{float(row[name]):.2f}" for name in ("target", "other")}
            if pressed in ("left", "right"):
                is_target = picked == f"{target[image]:.2f}"
                assert row["choice"] == ("target" if is_target else "prediction")
            else:
                assert row["choice"] == pressed
        each = [image for name, _, image, *_ in said if name == "Ada"]
        assert set(each) == set(range(24)) and max(map(each.count, each)) <= 3

        # The conductor's pages, and every number that they print.
        overview = tab(links[""])
        overview.wait_for_selector("#testers li.all:nth-child(2)")
        assert overview.locator(".done").all_inner_texts() == [f"✓ all {total} answered"] * 2
        with overview.expect_popup() as popup:
            overview.click("#results")
        results = popup.value
        results.wait_for_selector("caption")
        check_results(results, rows, names)
        with overview.expect_download() as download:
            overview.click("#measures")
        measures = Path(download.value.path()).read_bytes()
        process.terminate()
        process.wait(20)
        assert (out / MEASURES).read_bytes() == measures
    assert len(rows_of(out / ANSWERS)) == 2 * total


def printed(values):
    mean, deviation, n = mean_and_sd(values)
    if n == 0:
        return "–"
    spread = f" ± {100 * deviation:.1f}" if n > 1 else ""
    of = f" ({n} tester)" if n == 1 else ""
    return f"{100 * mean:.1f}{spread} %{of}"


def check_results(page, rows, names):
    """Every measure of the page, against what the rows give by hand."""
    cells = page.locator("section[aria-labelledby=bins] tbody tr").all()
    assert len(cells) == len(BINS)
    for line, (low, high) in zip(cells, BINS):
        known = [
            printed([by_hand(rows, name, low, high, showing)[place] for name in names])
            for place in (1, 2)
            for showing in ("study", "baseline")
        ]
        assert line.locator("td").all_inner_texts()[1:] == known
    tiles = page.locator(".tile strong").all_inner_texts()
    assert tiles == [
        printed([by_hand(rows, name, showing=showing)[place] for name in names])
        for showing in ("study", "baseline")
        for place in (1, 2)
    ]
    for line, name in zip(
        page.locator("section[aria-labelledby=testers] > .card tbody tr").all(), names
    ):
        counts, confusion, domination = by_hand(rows, name)
        texts = line.locator("td").all_inner_texts()
        assert texts[1:5] == [*map(str, counts)]
        assert texts[5:7] == [f"{100 * confusion:.1f} %", f"{100 * domination:.1f} %"]
    # Points are drawn where the numbers are: 192 px are 100 %.
    middle = page.locator("svg").first.locator("circle.prediction").last.get_attribute("cy")
    mean = np.mean([by_hand(rows, name)[1] for name in names])
    assert float(middle) == pytest.approx(14 + 192 * (1 - mean), abs=0.06)


@pytest.fixture
def study(tmp_path):
    with Study(make_study(tmp_path, number=8, baseline=0, repeats=0)) as study:
        study.add_tester("Ada")
        yield study


@pytest.fixture
def served(study):
    with StudyPage(study) as page:
        yield page


def test_back_shows_what_was_said_and_a_change_is_a_row(study, served, tab):
    page = tab(served.tester_url(study.record.testers[0]))
    page.click("#begin")
    at_trial(page, 1)
    assert page.locator("#back").is_disabled() and page.locator("#forward").is_disabled()
    first = shown(page)
    page.keyboard.press("a")
    at_trial(page, 2)
    page.keyboard.press("e")
    at_trial(page, 3)
    page.keyboard.press("Backspace")
    at_trial(page, 2)
    assert page.locator("#equivalent").get_attribute("aria-pressed") == "true"
    page.keyboard.press("ArrowLeft")
    at_trial(page, 1)
    assert shown(page) == first
    pressed = page.locator('[aria-pressed="true"]')
    assert pressed.count() == 1 and pressed.get_attribute("id") == "left"
    # The same again changes nothing.
    page.keyboard.press("1")
    at_trial(page, 2)
    assert len(rows_of(study.folder / ANSWERS)) == 2
    page.keyboard.press("d")
    at_trial(page, 3)
    rows = rows_of(study.folder / ANSWERS)
    assert [(row["trial"], row["choice"], row["revision"]) for row in rows[1:]] == [
        ("2", "equivalent", "1"),
        ("2", "discard", "2"),
    ]
    page.keyboard.press("ArrowLeft")
    at_trial(page, 2)
    page.click("#forward")
    at_trial(page, 3)
    assert page.locator("#forward").is_disabled()
    # The same link on another device goes on.
    other = tab(served.tester_url(study.record.testers[0]), **TABLET)
    at_trial(other, 3)
    assert page.said == other.said == []


def test_a_key_that_is_held_answers_once_and_other_keys_answer_nothing(study, served, tab):
    page = tab(served.tester_url(study.record.testers[0]))
    page.click("#begin")
    at_trial(page, 1)
    page.keyboard.down("3")
    at_trial(page, 2)
    for _ in range(5):
        page.keyboard.down("3")
    page.keyboard.up("3")
    for key in ("Control+1", "Alt+2", "x", "5", "Tab"):
        page.keyboard.press(key)
    at_trial(page, 2)
    assert len(rows_of(study.folder / ANSWERS)) == 1


def fits(page):
    """Whether nothing lies outside of the screen, and a finger can hit all that is pressed."""
    return page.evaluate(
        """() => {
            const wide = document.documentElement;
            const all = [...document.querySelectorAll("button")];
            const buttons = all.filter((one) => one.offsetParent);
            return wide.scrollWidth <= wide.clientWidth && wide.scrollHeight <= wide.clientHeight
                && buttons.every((one) => {
                    const box = one.getBoundingClientRect();
                    return box.width >= 44 && box.height >= 43.5 && box.left >= 0 && box.top >= 0
                        && box.right <= innerWidth + 0.5 && box.bottom <= innerHeight + 0.5;
                });
        }"""
    )


@pytest.mark.parametrize(
    "device",
    [
        TABLET,
        {**TABLET, "viewport": {"width": 1024, "height": 768}},
        {**TABLET, "device_scale_factor": 2},
        PHONE,
        DESKTOP,
        {**DESKTOP, "color_scheme": "dark"},
    ],
    ids=["tablet", "tablet on its side", "dense tablet", "phone", "desktop", "dark"],
)
def test_all_is_within_reach_on_every_screen(study, served, tab, device):
    page = tab(served.tester_url(study.record.testers[0]), **device)
    page.wait_for_selector("#welcome:not([hidden])")
    page.click("#begin")
    at_trial(page, 1)
    assert fits(page)
    assert page.locator("#view").bounding_box()["height"] > 200
    keys = page.locator("#left kbd").is_visible()
    assert keys == (not device.get("has_touch", False))


def test_an_image_is_zoomed_and_moved_by_fingers(study, served, tab):
    page = tab(served.tester_url(study.record.testers[0]), **TABLET)
    page.tap("#begin")
    at_trial(page, 1)
    assert page.locator("#zoom").inner_text() == "400 % · all of it"
    box = page.locator("#view").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    fingers = page.context.new_cdp_session(page)

    def touch(kind, *points):
        touches = [{"x": px, "y": py, "id": k} for k, (px, py) in enumerate(points)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    touch("touchStart", (x - 50, y))
    touch("touchStart", (x - 50, y), (x + 50, y))
    for apart in range(60, 101, 10):
        touch("touchMove", (x - apart, y), (x + apart, y))
    touch("touchEnd")
    page.locator("#zoom", has_text=re.compile(r"^8\d\d %$")).wait_for()
    # Nothing was answered by that, and the page itself has not moved.
    assert now_at(page) == 1 and rows_of(study.folder / ANSWERS) == []
    assert page.evaluate("[scrollX, scrollY, visualViewport.scale]") == [0, 0, 1]
    page.tap("#zoom")
    page.locator("#zoom", has_text="all of it").wait_for()
    page.tap("#in")
    page.locator("#zoom", has_text="600 %").wait_for()


def test_scores_that_look_the_same_are_equivalent_or_discarded(tmp_path, tab):
    folder = tmp_path
    write_numbered(folder / "images", 3)
    names = [f"s{k:03}.png" for k in range(3)]
    write_table(folder / "a.csv", zip(names, (0.3, 0.4, 0.9)))
    write_table(folder / "b.csv", zip(names, (0.31, 0.43, 0.86)))
    typed = ["--scores", folder / "a.csv", "--against", folder / "b.csv", "--testers", "Ada"]
    typed += ["--out", folder / "out", "--port", 0, "--baseline", 0, "--repeats", 0]
    with conducted(folder / "images", *typed) as (_, links):
        page = tab(links["Ada"])
        page.click("#begin")
        for number in (1, 2, 3):
            at_trial(page, number)
            left, right = shown(page)
            assert left == right and len(left) == 3
            assert page.locator("#left").is_disabled() and page.locator("#right").is_disabled()
            assert page.locator("#same").is_visible()
            page.keyboard.press("1")
            page.keyboard.press("3")
        page.wait_for_selector("#finished:not([hidden])")
    assert [row["choice"] for row in rows_of(folder / "out" / ANSWERS)] == ["equivalent"] * 3


def test_an_image_that_is_gone_can_only_be_discarded(study, served, tab, tmp_path):
    ada = study.record.testers[0]
    image = study.record.images[ada.trials[0].image]
    (tmp_path / "images" / image.name).unlink()
    page = tab(served.tester_url(ada))
    page.click("#begin")
    at_trial(page, 1)
    assert page.locator("#unseen-image").inner_text() == (
        "This image cannot be shown. Discard it and go on."
    )
    for name in ("left", "right", "equivalent"):
        assert page.locator(f"#{name}").is_disabled()
    page.keyboard.press("3")
    page.keyboard.press("0")
    at_trial(page, 2)
    assert page.locator("#unseen-image").is_hidden()
    assert [row["choice"] for row in rows_of(study.folder / ANSWERS)] == ["discard"]


def test_codes_can_be_typed_and_wrong_ones_are_told(study, served, tab):
    page = tab(f"http://127.0.0.1:{served.port}/")
    page.fill("#code-text", "wrong")
    page.keyboard.press("Enter")
    page.locator("#banner", has_text="There is no tester with this link.").wait_for()
    page.fill("#code-text", f" {study.record.testers[0].token.upper()} ")
    page.keyboard.press("Enter")
    page.wait_for_selector("#welcome:not([hidden])")
    page.reload()
    page.wait_for_selector("#welcome:not([hidden])")


def test_the_conductor_adds_testers_and_sees_them_come_on(study, served, tab):
    hostile = "<img src=x onerror='alert(1)'>"
    overview = tab(served.url)
    overview.wait_for_selector("#testers li")
    overview.fill("#name", hostile)
    overview.keyboard.press("Enter")
    overview.wait_for_selector("#testers li:nth-child(2)")
    assert overview.locator(".name").all_inner_texts() == ["Ada", hostile]
    overview.fill("#name", "ada")
    overview.click("#add button")
    overview.locator("#refused", has_text="is there already").wait_for()
    assert overview.locator("#alone").is_visible()
    link = overview.locator("#testers a").nth(1).get_attribute("href")
    page = tab(link)
    page.click("#begin")
    at_trial(page, 1)
    assert page.locator("#who").inner_text() == hostile
    page.keyboard.press("3")
    at_trial(page, 2)
    overview.locator(".done", has_text="1 of 8 answered").wait_for()
    results = tab(f"http://127.0.0.1:{served.port}/results?conductor={study.record.token}")
    assert hostile in results.locator("section[aria-labelledby=testers] th bdi").all_inner_texts()
    assert overview.said == page.said == results.said == []
    assert [one.name for one in read_study(study.folder).testers] == ["Ada", hostile]


def test_a_page_waits_for_a_program_that_is_started_again(tmp_path, tab):
    folder = make_study(tmp_path, number=4, baseline=0, repeats=0)
    with conducted("--out", folder, "--testers", "Ada", "--port", 0) as (process, links):
        port = re.search(r":(\d+)/", links[""])[1]
        page = tab(links["Ada"], **TABLET)
        page.tap("#begin")
        at_trial(page, 1)
        process.kill()
        process.wait()
    page.tap("#equivalent")
    page.locator("#banner", has_text="does not answer").wait_for()
    with conducted("--out", folder, "--port", port):
        at_trial(page, 2)
        assert page.locator("#banner").is_hidden()
        assert [row["choice"] for row in rows_of(folder / ANSWERS)] == ["equivalent"]
