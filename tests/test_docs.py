"""The page *What the number means*: its pictures are there, its numbers are the measured ones."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("PIL")
from PIL import Image

TOP = Path(__file__).parents[1]
DOCS = TOP / "docs"
PAGE = (DOCS / "meaning.md").read_text(encoding="utf-8")
PICTURES = re.findall(r"!\[([^\]]+)\]\((meaning/[^)]+)\)", PAGE)
RECORD = json.loads((DOCS / "meaning" / "numbers.json").read_text(encoding="utf-8"))
NUMBERS = {name: text for part in RECORD.values() for name, text in part.items()}


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(TOP), *sys.path])
        return importlib.import_module("docs.make_meaning.__main__")


def test_the_page_shows_each_picture_that_the_script_makes(script):
    shown = [path for _, path in PICTURES]
    assert sorted(shown) == sorted(f"meaning/{name}.png" for name in (*script.PARTS, "real"))
    assert all(len(words) > 30 for words, _ in PICTURES)


def test_pictures_have_the_page_s_width_and_load_fast():
    files = sorted((DOCS / "meaning").glob("*.png"))
    assert len(files) == len(PICTURES)
    for path in files:
        with Image.open(path) as picture:
            assert picture.width == 2 * 830, path.name
        assert path.stat().st_size < 120_000, path.name
    assert sum(path.stat().st_size for path in files) < 900_000


def test_the_page_says_the_numbers_that_were_measured():
    marked = re.findall(r"<!--(\w+)-->(?=(.{0,20}))", PAGE, re.DOTALL)
    assert len(marked) > 100
    for name, following in marked:
        text = NUMBERS[name]
        assert following.startswith(text), f"{name}: {following!r} is not {text!r}"
        # Not the beginning of a longer number.
        assert not re.match(r"[.,]?\d", following[len(text) :]), name


def test_no_line_begins_with_a_name():
    # There a comment would end the paragraph: the rest of the line would be HTML, not text.
    assert not re.search(r"^\s*<!--", PAGE, re.MULTILINE)


def test_each_measured_number_is_a_part_s_own():
    assert len(NUMBERS) == sum(map(len, RECORD.values()))


def test_filling_a_page_replaces_whole_numbers(script):
    page = "reads <!--a-->12.5. Of <!--b-->1,044, <!--c-->7 % and <!--d-->`mixed`, −1 <!--a-->−0.3"
    numbers = {"a": "3", "b": "12", "c": "100 %", "d": "`in_focus`"}
    filled = script.filled(page, numbers)
    assert filled == (
        "reads <!--a-->3. Of <!--b-->12, <!--c-->100 % and <!--d-->`in_focus`, −1 <!--a-->3"
    )


@pytest.mark.parametrize("part", ["patches"])
def test_a_part_measured_again_gives_the_numbers_on_record(script, part):
    numbers, _ = script.PARTS[part]()
    assert numbers.keys() == RECORD[part].keys()
    for name, text in numbers.items():
        again, recorded = (float(t.replace(" %", "")) for t in (text, RECORD[part][name]))
        digits = len(text.partition(".")[2].replace(" %", ""))
        # Other versions of NumPy and BLAS may round the last digit otherwise.
        assert again == pytest.approx(recorded, abs=1.5 * 10**-digits), name


def test_one_minus_the_entropy_of_a_coin_is_what_the_page_says():
    from math import log

    assert NUMBERS["coin"] == f"{1 - log(2) / log(11):.2f}"
