"""What the pages of a study are told, and by whom they can be asked."""

import csv
import http.client
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from simulated_testers import make_study, write_images, write_table

from microscope_quality.errors import FileError
from microscope_quality.rating.score_tables import read_scores
from microscope_quality.rating.study import (
    ANSWERS,
    Study,
    StudySettings,
    begin_study,
    pair_scores,
    read_answers,
    sides,
)
from microscope_quality.rating.study_page import StudyPage, own_address

SECRET_WORDS = ("target", "prediction", "baseline", "repeat", "random", "showing", ".png", "s0")


@pytest.fixture
def study(tmp_path):
    with Study(make_study(tmp_path, number=8, baseline=0.5, repeats=0.5)) as study:
        study.add_tester("Ada")
        study.add_tester("Ben")
        yield study


@pytest.fixture
def page(study):
    with StudyPage(study) as page:
        yield page


def ask(page, path, content=None, **headers):
    """Ask, or tell where there is content; gives the answer, its bytes, and what JSON they hold."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
    host = f"127.0.0.1:{page.port}"
    if content is None:
        connection.request("GET", path, headers={"Host": host, **headers})
    else:
        connection.request("GET", "/token")
        token = json.loads(connection.getresponse().read())["token"]
        connection.close()
        own = {
            "Host": host,
            "Origin": f"http://{host}",
            "X-Token": token,
            "Content-Type": "application/json",
            **headers,
        }
        own = {name: value for name, value in own.items() if value is not None}
        connection.request("POST", path, json.dumps(content).encode(), own)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    is_json = answer.getheader("Content-Type") == "application/json"
    return answer, body, json.loads(body) if is_json else None


def rows_of(study):
    with (study.folder / ANSWERS).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_tester_goes_through_the_study_blind(study, page):
    ada = study.record.testers[0]
    assert len(ada.trials) == 16
    for number, trial in enumerate(ada.trials, 1):
        _, body, told = ask(page, f"/trial?tester={ada.token}")
        assert not any(word in body.decode() for word in SECRET_WORDS)
        assert (told["number"], told["done"], told["total"]) == (number, number - 1, 16)
        assert (told["left"], told["right"]) == sides(study.record, trial)
        assert (told["pressed"], told["revision"]) == (None, 0)
        pressed = ("left", "right", "equivalent", "discard")[number % 4]
        if told["left"] == told["right"] and pressed in ("left", "right"):
            pressed = "equivalent"
        said = {"number": number, "pressed": pressed, "seconds": 1.5, "revision": 1}
        _, _, kept = ask(page, "/answer", {"tester": ada.token, **said})
        assert kept == {"kept": True, "done": number}
        _, body, told = ask(page, f"/trial?tester={ada.token}&number={number}")
        assert (told["pressed"], told["revision"]) == (pressed, 1)
        assert not any(word in body.decode() for word in SECRET_WORDS)
    _, _, told = ask(page, f"/trial?tester={ada.token}")
    assert told == {"tester": "Ada", "done": 16, "total": 16, "number": None}
    rows = rows_of(study)
    assert [row["tester"] for row in rows] == ["Ada"] * 16
    assert {row["choice"] for row in rows} == {"target", "prediction", "equivalent", "discard"}


def test_images_are_what_the_files_hold(study, page):
    ben = study.record.testers[1]
    image = study.record.images[ben.trials[0].image]
    pixels = np.asarray(Image.open(image.path))
    query = f"tester={ben.token}&number=1"
    assert ask(page, f"/size?{query}")[2] == {"height": 48, "width": 56}
    answer, body, _ = ask(page, f"/tile?{query}&level=0&row=0&column=0")
    assert answer.getheader("Content-Type") == "image/png"
    shown = np.asarray(Image.open(io.BytesIO(body))).astype(float)
    assert shown.shape == pixels.shape
    # Contrast is stretched, and no pixel is where it was not.
    inside = (shown > 0) & (shown < 255)
    gain, offset = np.polyfit(pixels[inside], shown[inside], 1)
    assert np.abs(gain * pixels[inside] + offset - shown[inside]).max() < 1


def test_a_patch_is_shown_alone(tmp_path):
    images = write_images(tmp_path / "images", 2, side=64)
    header = ("image", "y", "x", "size", "score")
    places = [("s000.png", 8, 16, 32), ("s001.png", 0, 0, 32)]
    a, b = (
        read_scores(
            write_table(
                tmp_path / name, [(*place, s + 0.1 * k) for k, place in enumerate(places)], header
            )
        )
        for name, s in (("a.csv", 0.2), ("b.csv", 0.6))
    )
    paired, _ = pair_scores(images, a, b)
    begin_study(tmp_path / "study", paired, a, b, settings=StudySettings(baseline=0, repeats=0))
    with Study(tmp_path / "study") as study, StudyPage(study) as page:
        ada = study.add_tester("Ada")
        number = next(k for k, trial in enumerate(ada.trials, 1) if trial.image == 0)
        query = f"tester={ada.token}&number={number}"
        assert ask(page, f"/size?{query}")[2] == {"height": 32, "width": 32}
        _, body, _ = ask(page, f"/tile?{query}&level=0&row=0&column=0")
        shown = np.asarray(Image.open(io.BytesIO(body))).astype(float)
        pixels = np.asarray(Image.open(images[0][1]))[8:40, 16:48].astype(float)
        assert np.corrcoef(shown.ravel(), pixels.ravel())[0, 1] > 0.999


def test_an_image_that_is_gone_can_be_discarded_and_its_name_is_not_told(study, page, tmp_path):
    ada = study.record.testers[0]
    image = study.record.images[ada.trials[0].image]
    (tmp_path / "images" / image.name).unlink()
    answer, body, told = ask(page, f"/size?tester={ada.token}&number=1")
    # Not 503, at which a page asks again.
    assert answer.status == 400
    assert told == {"error": "This image cannot be shown. Discard it and go on."}
    assert image.name not in body.decode()
    said = {"number": 1, "pressed": "discard", "seconds": 1, "revision": 1}
    assert ask(page, "/answer", {"tester": ada.token, **said})[2]["kept"]


@pytest.mark.parametrize(
    "said",
    [
        {"number": 2},
        {"number": 0},
        {"number": "x"},
        {"number": True},
        {"number": 10**12},
        {"pressed": "target"},
        {"pressed": None},
        {"pressed": ["left"]},
        {"seconds": "long"},
        {"seconds": -1},
        {"seconds": None},
        {"revision": 5},
        {"revision": None},
        {"tester": "nobody"},
        {"tester": None},
        {"tester": ["x"]},
    ],
)
def test_what_is_no_answer_is_refused_with_a_sentence(study, page, said):
    ada = study.record.testers[0]
    good = {"tester": ada.token, "number": 1, "pressed": "discard", "seconds": 1, "revision": 1}
    answer, _, told = ask(page, "/answer", {**good, **said})
    assert answer.status == 400
    assert told["error"].endswith(".")
    assert rows_of(study) == []


def test_an_answer_that_is_sent_twice_is_kept_once(study, page):
    ada = study.record.testers[0]
    good = {"tester": ada.token, "number": 1, "pressed": "discard", "seconds": 1, "revision": 1}
    assert ask(page, "/answer", good)[2] == {"kept": True, "done": 1}
    assert ask(page, "/answer", good)[2] == {"kept": False, "done": 1}
    # Of the same tester in another window, which has not seen the first one.
    answer, _, told = ask(page, "/answer", {**good, "pressed": "equivalent"})
    assert answer.status == 400 and "answered elsewhere" in told["error"]
    assert len(rows_of(study)) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere.example"},
        {"Origin": None},
        {"X-Token": "guessed"},
        {"X-Token": None},
        {"Content-Type": "text/plain"},
        {"Host": "elsewhere.example"},
    ],
)
def test_pages_of_elsewhere_can_tell_nothing(study, page, headers):
    ada = study.record.testers[0]
    good = {"tester": ada.token, "number": 1, "pressed": "discard", "seconds": 1, "revision": 1}
    answer, *_ = ask(page, "/answer", good, **headers)
    assert answer.status in (403, 415, 421)
    assert rows_of(study) == []


@pytest.mark.parametrize("path", ["/trial", "/size", "/tile"])
@pytest.mark.parametrize(
    "query", ["", "?tester=x", "?tester={conductor}", "?conductor={conductor}"]
)
def test_nobody_sees_a_trial_without_a_link(study, page, path, query):
    answer, _, told = ask(page, path + query.format(conductor=study.record.token))
    assert answer.status == 400
    assert told["error"].startswith("There is no tester with this link.")


@pytest.mark.parametrize("path", ["/progress", "/results", "/measures.csv"])
def test_testers_do_not_see_what_the_conductor_sees(study, page, path):
    for query in ("", f"?conductor={study.record.testers[0].token}"):
        answer, _, told = ask(page, path + query)
        assert answer.status == 400
        assert told == {"error": "This is not the link of who conducts the study."}
    answer, *_ = ask(page, "/tester", {"conductor": study.record.testers[0].token, "name": "Eve"})
    assert answer.status == 400
    assert len(study.record.testers) == 2


@pytest.mark.parametrize(
    "query",
    [
        "number=3&level=0&row=0&column=0",
        "number=1&level=0&row=1&column=0",
        "number=1&level=0&row=0",
        "number=1&level=-1&row=0&column=0",
        "number=1&level=x&row=0&column=0",
        "number=99999999999&level=0&row=0&column=0",
    ],
)
def test_parts_that_are_not_there_are_refused(study, page, query):
    ada = study.record.testers[0]
    answer, *_ = ask(page, f"/tile?tester={ada.token}&{query}")
    assert answer.status == 400


def test_the_conductor_sees_progress_adds_testers_and_has_the_results(study, page):
    token = study.record.token
    ada = study.record.testers[0]
    said = {"number": 1, "pressed": "equivalent", "seconds": 1, "revision": 1}
    ask(page, "/answer", {"tester": ada.token, **said})
    _, _, told = ask(page, f"/progress?conductor={token}")
    assert [(one["name"], one["done"], one["total"]) for one in told["testers"]] == [
        ("Ada", 1, 16),
        ("Ben", 0, 16),
    ]
    assert told["testers"][0]["link"] == f"http://127.0.0.1:{page.port}/t/{ada.token}"
    assert not told["is_open"]
    _, _, added = ask(page, "/tester", {"conductor": token, "name": "Cem"})
    cem = study.record.testers[2]
    assert added == {"name": "Cem", "link": page.tester_url(cem)}
    answer, _, told = ask(page, "/tester", {"conductor": token, "name": "cem"})
    assert answer.status == 400 and "is there already" in told["error"]
    answer, body, _ = ask(page, f"/results?conductor={token}")
    assert answer.getheader("Content-Type").startswith("text/html")
    # It may run no script, and its own style alone.
    policy = answer.getheader("Content-Security-Policy")
    assert policy in body.decode() and "script" not in policy
    assert "default-src 'none'" in policy and "style-src 'sha256-" in policy
    answer, body, _ = ask(page, f"/measures.csv?conductor={token}")
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert {row["tester"] for row in rows} == {"Ada", "Ben", "Cem", ""}


def test_pages_are_at_addresses_of_their_own_and_load_nothing_from_elsewhere(study, page):
    ada = study.record.testers[0]
    for path, title in (("/", "Which score"), (f"/t/{ada.token}", "Which score"), ("/c/x", "User")):
        answer, body, _ = ask(page, path)
        html = body.decode()
        assert f"<title>{title}" in html
        assert "default-src 'none'" in answer.getheader("Content-Security-Policy")
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)
        assert ada.token not in html and study.record.token not in html
    assert ask(page, "/t")[0].status == 404


def test_the_port_that_is_taken_is_told(study, page):
    with pytest.raises(FileError, match=f"address 127.0.0.1:{page.port}: "):
        StudyPage(study, "127.0.0.1", page.port)


def test_own_addresses_are_ones_that_others_can_reach():
    assert own_address("127.0.0.1") == "127.0.0.1"
    assert own_address("192.0.2.7") == "192.0.2.7"
    assert own_address("tower.local") == "tower.local"
    assert own_address("0.0.0.0") not in ("0.0.0.0", "")


def test_answers_are_there_at_the_next_start(study, page):
    ada = study.record.testers[0]
    said = {"number": 1, "pressed": "equivalent", "seconds": 1, "revision": 1}
    ask(page, "/answer", {"tester": ada.token, **said})
    assert [one.choice for one in read_answers(study.folder)] == ["equivalent"]
