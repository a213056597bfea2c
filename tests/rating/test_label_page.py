"""The page on which images are scored: what is asked and told, without a browser."""

from __future__ import annotations

import http.client
import json
import math
from collections import Counter
from urllib.parse import urlencode

import numpy as np
import pytest
import tifffile
from simulated_raters import Rater, write_image

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.rating.label_page import LabelPage, LabelSettings, as_rater, listed
from microscope_quality.rating.labels import LabelsFile, read_labels, read_rows
from microscope_quality.rating.page_server import PageServer, Request


class Session:
    """A rater at the page, who sees no picture and knows how good each image is."""

    def __init__(self, page, name):
        self.page, self.name = page, name

    def ask(self, **query):
        return self.page.routes["GET /question"](Request({"rater": self.name, **query}, {}))

    def give(self, question, score, *, comment="", seconds=1.0):
        said = {name: question[name] for name in ("image", "y", "x", "size", "repeat")}
        said |= {"rater": self.name, "score": score, "comment": comment, "seconds": seconds}
        return self.page.routes["POST /score"](Request({}, said))

    def rate(self, score_of, most=10_000):
        """Answer what is asked; gives the questions."""
        answer, asked = self.ask(), []
        while answer["question"] is not None and len(asked) < most:
            asked.append(answer["question"])
            answer = self.give(answer["question"], score_of(answer["question"]))
        return asked


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for k in range(20):
        write_image(images / f"{k}.tif", k % 10 + 1, unlike=k)
    return images


@pytest.fixture
def opened(folder):
    """Opens the page on the folder, and again on what is in the table already."""
    tables = []

    def open_page(**settings):
        for table in tables:
            table.close()
        table = LabelsFile(folder.parent / "labels.csv")
        tables.append(table)
        names, unreadable = listed([folder], folder.parent, settings.get("channel"))
        return LabelPage(names, table, LabelSettings(**settings), unreadable)

    yield open_page
    tables[-1].close()


def quality(question):
    return (int(question["image"].split("/")[1].removesuffix(".tif")) % 10 + 1) / 10


def test_every_image_is_asked_for_once_and_a_share_twice(opened, folder):
    asked = Session(opened(), "Anna").rate(quality)
    times = Counter(one["image"] for one in asked)
    assert Counter(times.values()) == {1: 17, 2: 3}
    again = [one for one in asked if one["repeat"]]
    assert len(again) == 3
    assert all(one["image"] != other["image"] for one, other in zip(asked, asked[1:]))
    labels = read_labels(folder.parent / "labels.csv")
    assert [(one.image, one.repeat) for one in labels] == [
        (one["image"], one["repeat"]) for one in asked
    ]
    assert all(one.score == quality({"image": one.image}) for one in labels)
    assert {one.rater for one in labels} == {"Anna"}


def test_it_goes_on_where_it_was(opened):
    whole = Session(opened(), "Anna").rate(quality)
    # Another one of the same name, after ends at any place.
    other, parts = [], []
    for most in (1, 5, 2, 100):
        session = Session(opened(seed=1), "Ben")
        parts.append(session.rate(quality, most))
        other += parts[-1]
    assert [len(part) for part in parts] == [1, 5, 2, 15]
    assert len({(one["image"], one["repeat"]) for one in other}) == len(whole) == 23


def test_progress_counts_to_the_end(opened):
    session = Session(opened(), "Anna")
    answer, seen = session.ask(), []
    while answer["question"] is not None:
        seen.append((answer["answered"], answer["total"]))
        answer = session.give(answer["question"], 0.5)
    assert seen == [(k, 23) for k in range(23)]
    assert (answer["answered"], answer["total"]) == (23, 23)


def test_what_is_skipped_is_not_asked_again(opened, folder):
    session = Session(opened(), "Anna")
    asked = session.rate(lambda question: None)
    assert len(asked) == 20
    assert Session(opened(), "Anna").ask()["question"] is None
    rows = read_rows(folder.parent / "labels.csv")
    assert [math.isnan(row.score) for row in rows] == [True] * 20
    with pytest.raises(FileError, match="has no row with a score"):
        read_labels(folder.parent / "labels.csv")


def test_one_goes_back_and_corrects(opened, folder):
    session = Session(opened(), "Anna")
    first, second, third = session.rate(quality, 3)
    assert session.ask()["answered"] == 3
    back = session.ask(at="1")["question"]
    assert (back["image"], back["at"], back["score"]) == (second["image"], 1, quality(second))
    following = session.give(back, 0.3, comment="drift  to the\nleft")
    assert following["question"]["at"] == -1
    assert following["answered"] == 3
    back = Session(opened(), "Anna").ask(at="1")["question"]
    assert (back["score"], back["comment"]) == (0.3, "drift to the left")
    # Further than there is anything is the next one.
    assert session.ask(at="3")["question"]["at"] == -1
    assert {one.image: one.score for one in read_labels(folder.parent / "labels.csv")} == {
        first["image"]: quality(first),
        second["image"]: 0.3,
        third["image"]: quality(third),
    }


def test_a_second_time_does_not_follow_a_correction_of_the_first(opened):
    """Whoever went back to an image just now has it before the eyes."""
    session = Session(opened(repeats=1), "Anna")
    asked = session.rate(quality, 12)
    at = next(k for k, one in enumerate(asked) if not one["repeat"])
    back = session.ask(at=str(at))["question"]
    assert session.give(back, 0.4)["question"]["image"] != back["image"]


def test_raters_have_their_own_orders_and_patches_are_the_same(opened, folder):
    # In which no patch has anything.
    tifffile.imwrite(folder / "3.tif", np.full((96, 96), 500, np.uint16))
    page = opened(patch=32, per_image=2)
    asked = {name: Session(page, name).rate(quality) for name in ("Anna", "Ben")}
    orders = [[one["image"] for one in of_rater] for of_rater in asked.values()]
    assert orders[0] != orders[1]
    places = [
        {(one["image"], one["y"], one["x"], one["size"]) for one in of_rater}
        for of_rater in asked.values()
    ]
    assert places[0] == places[1]
    assert len(places[0]) == 38
    assert "images/3.tif" not in {image for image, *_ in places[0]}
    assert {size for *_, size in places[0]} == {32}


def test_patches_are_gone_on_with_too(opened):
    asked = []
    for most in (3, 4, 100):
        asked += Session(opened(patch=32, per_image=2), "Anna").rate(quality, most)
    told = [(one["image"], one["y"], one["x"], one["repeat"]) for one in asked]
    assert len(set(told)) == len(told)
    assert sum(not repeat for *_, repeat in told) == 40


def test_damaged_images_are_told_and_passed_over(opened, folder):
    (folder / "0.tif").write_bytes(b"no image")
    content = (folder / "1.tif").read_bytes()
    (folder / "1.tif").write_bytes(content[: len(content) // 2])
    (folder / "line\nbreak.tif").write_bytes(content)
    page = opened(repeats=0)
    asked = Session(page, "Anna").rate(quality)
    assert len(asked) == 18
    answer = Session(page, "Anna").ask()
    told = {one["image"]: one["why"] for one in answer["unreadable"]}
    assert told.keys() == {"images/0.tif", "images/1.tif", "images/line break.tif"}
    assert "is not a TIFF" in told["images/0.tif"]
    assert "line break" in told["images/line break.tif"]
    assert (answer["answered"], answer["total"]) == (18, 18)


def test_an_image_that_is_smaller_than_a_patch_is_told(opened, folder):
    write_image(folder / "20.tif", 5, side=64)
    page = opened(patch=80, repeats=0)
    assert len(Session(page, "Anna").rate(quality)) == 20
    told = {one["image"]: one["why"] for one in Session(page, "Anna").ask()["unreadable"]}
    assert told == {
        "images/20.tif": "has 64 × 64 pixels, and a patch of 80 × 80 does not fit into it"
    }


def test_each_plane_of_a_stack_is_an_image_and_a_channel_can_be_chosen(opened, folder):
    for path in folder.iterdir():
        path.unlink()
    planes = np.random.default_rng(0).integers(0, 99, (2, 3, 40, 50)).astype(np.uint16)
    tifffile.imwrite(folder / "s.tif", planes, imagej=True, metadata={"axes": "ZCYX"})
    assert len({one["image"] for one in Session(opened(), "Anna").rate(lambda q: 0.5)}) == 6
    asked = Session(opened(channel=2), "Ben").rate(lambda question: 0.5)
    assert {one["image"] for one in asked} == {f"images/s.tif#z={z},c=2" for z in (0, 1)}


def test_a_table_tells_whom_one_can_go_on_as(opened):
    page = opened()
    Session(page, "Ben").rate(quality, 3)
    Session(page, "anna").rate(quality, 2)
    state = page.routes["GET /state"](Request({}, {}))
    assert state["raters"] == [{"name": "anna", "given": 2}, {"name": "Ben", "given": 3}]
    assert (state["rater"], state["images"], state["table"]) == ("", 20, "labels.csv")


def test_what_cannot_be_is_refused(opened, folder):
    page = opened()
    session = Session(page, "Anna")
    question = session.ask()["question"]
    for change, said in (
        (dict(image="images/../../etc/passwd"), "image must be one that is shown here"),
        (dict(size=64, y=0, x=0), "opened for other patches"),
        (dict(repeat=2), "repeat must be"),
    ):
        with pytest.raises(SettingsError, match=said):
            session.give({**question, **change}, 0.5)
    for score in (0, 0.05, 1.1, "0.5", True):
        with pytest.raises(SettingsError, match="score must be"):
            session.give(question, score)
    with pytest.raises(SettingsError, match="seconds must be"):
        session.give(question, 0.5, seconds=-1)
    for name in ("", "  ", "x" * 61, "a\x1bb", None, 5):
        with pytest.raises(SettingsError, match="rater must be a name of 1 to 60"):
            Session(page, name).ask()
    with pytest.raises(SettingsError, match="rater must be Ben, for whom the page is"):
        Session(opened(rater="Ben"), "Anna").ask()
    assert read_rows(folder.parent / "labels.csv") == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (dict(patch=16), "patch must be a whole number from 32"),
        (dict(per_image=0, patch=64), "per_image must be a whole number from 1"),
        (dict(per_image=2), "per_image counts patches of an image: give `patch` too"),
        (dict(repeats=1.5), "repeats must be from 0 to 1"),
        (dict(channel=-1), "channel must be"),
        (dict(rater="\n"), "rater must be a name"),
        (dict(seed=-1), "seed must be"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(SettingsError, match=said):
        LabelSettings(**settings)


def test_names_are_brought_to_one_form():
    assert as_rater("  Anna  Maria ") == "Anna Maria"


def test_pictures_of_other_files_are_not_handed_out(opened, folder):
    (folder.parent / "secret.tif").write_bytes((folder / "0.tif").read_bytes())
    with PageServer("label_page", opened().routes) as server:

        def status(image, **changes):
            query = dict(image=image, y=0, x=0, height=96, width=96, level=0, row=0, column=0)
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("GET", f"/tile?{urlencode({**query, **changes})}")
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answer.status, content

        found, content = status("images/0.tif")
        assert (found, content[:4]) == (200, b"\x89PNG")
        for image in ("secret.tif", "images/../secret.tif", "labels.csv", ""):
            found, content = status(image)
            assert found == 400
            assert json.loads(content) == {"error": "There is no such image."}
        for changes in (
            dict(y=-1),
            dict(level="x"),
            dict(width=97),
            dict(row=9),
            dict(level=2**40),
        ):
            assert status("images/0.tif", **changes)[0] == 400


def test_a_simulated_raters_scores_are_a_line_with_errors():
    """Of the tests' own rater: what the browser's tests take for granted."""
    rater = Rater("Anna", offset=-0.1, error=0.0)
    assert [rater.score(k / 10, "x") for k in (1, 5, 10)] == [0.1, 0.4, 0.9]
    noisy = Rater("Ben", error=0.1)
    errors = np.array([noisy.score(0.5, f"image {k}") - 0.5 for k in range(2000)])
    assert abs(errors.mean()) < 0.01
    # Rounding to tenths adds a variance of 0.1² / 12.
    assert errors.std() == pytest.approx(math.sqrt(0.01 + 0.01 / 12), rel=0.05)
    assert noisy.score(0.5, "image 3") == noisy.score(0.5, "image 3")
