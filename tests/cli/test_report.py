import json
import re

import pytest
from typer.testing import CliRunner
from written_results import plane_row, write_image, write_results

from microscope_quality.cli.app import app


def run(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture
def results(tmp_path):
    for name in ("B03_s1.tif", "B04_s1.tif"):
        write_image(tmp_path / "images" / name)
    rows = [plane_row("B03_s1.tif", 1), plane_row("B04_s1.tif", 6)]
    return write_results(tmp_path / "results", rows)


def test_a_page_is_written_beside_the_table(results):
    done = run(results, "--images", results.parent / "images", "--jobs", 1)
    assert done.exit_code == 0
    told, written = done.output.splitlines()
    assert told.startswith("2 files have changed since they were measured, B03_s1.tif first")
    assert re.fullmatch(r"Written to .*report\.html \(\d+\.\d MB\).*", written)
    html = (results / "report.html").read_text("utf-8")
    assert "1 of 2 images is in focus; 1 is out of focus." in html


def test_its_options(results, tmp_path):
    page = tmp_path / "page.html"
    pattern = r"(?P<well>[A-H]\d\d)_s(?P<site>\d)"
    done = run(results, "--out", page, "--pattern", pattern, "--title", "Screen 7", "-j", 1)
    assert done.exit_code == 0
    html = page.read_text("utf-8")
    assert "<title>Screen 7</title>" in html
    assert "part of a number" not in html
    data = json.loads(re.search(r'id="data">(.*?)</script>', html, re.S)[1])
    assert data["wells"] == {"B03": [1, 2], "B04": [1, 3]}
    plates = tmp_path / "plates.csv"
    plates.write_text("file,well,plate\nB03_s1.tif,P24,X\n")
    assert run(results, "--out", page, "--plates", plates, "-j", 1).exit_code == 0
    data = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text("utf-8"), re.S)[1])
    assert data["formats"] == {"X": [16, 24]}
    assert run(results, "--out", page, "--pattern", r"(?P<well>[A-H]\d)", "-j", 1).exit_code == 0
    said = "The pattern takes a part of a number: well is B0 of 03 in B03_s1.tif"
    assert said in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent"], "absent: is not there"),
        (["{}", "--pattern", "("], "--pattern is no regular expression"),
        (["{}", "--pattern", r"(?P<well>ZZZ)"], "--pattern matches no name; the first is "),
        (["{}", "--layout", "yokogawa"], "--layout matches no name; the first is "),
        (["{}", "--images", "nowhere"], "nowhere: is no folder of images"),
        (["{}", "--out", "no/such/folder.html"], "cannot be written: there is no folder"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(results, arguments, said):
    done = run(*(argument.format(results) for argument in arguments))
    assert done.exit_code == 2
    assert done.output.startswith("microscope-quality report: ")
    assert said in done.output.replace("\n", " ")
