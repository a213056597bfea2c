"""The page of a search, as text; `test_tune_browser.py` looks at it in Chromium."""

import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from microscope_quality.errors import FileError
from microscope_quality.rating.tune_page import _Axis, _number, page, write_page
from microscope_quality.rating.tune_space import Choice, Range
from microscope_quality.rating.tune_trials import Estimate, Trial, TuneResult

HOSTILE = "<script>window.hacked = 1</script>"
SPACE = {"light": Range(1, 1000, log=True, unit="mW"), HOSTILE: Choice(('"><b>', "a & b"))}


class Read(HTMLParser):
    """Tags, and cells of the tables."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.tables, self.text = [], [], []
        self._cell = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._cell = ""

    def handle_data(self, data):
        self.text.append(data)
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.tables[-1][-1].append(self._cell)
            self._cell = None


def trial(number, light, score, **changes):
    parameters = {"light": light, HOSTILE: "a & b" if number % 2 else '"><b>'}
    given = {"measurements": {"seconds": 0.5, "bleaching": light / 1000}, "purpose": "search"}
    return Trial(number, parameters=parameters, score=score, **{**given, **changes})


def result(trials=None, *, minimise=(), ended="images"):
    if trials is None:
        trials = [
            trial(0, 3.0, 0.25),
            trial(1, 30.0, 0.75),
            trial(2, 300.0, math.nan, error=f"OSError: {HOSTILE}"),
            trial(3, 30.0, 0.7, purpose="repeat"),
        ]
    good = [one for one in trials if not one.error]
    estimates = [
        Estimate(dict(one.parameters), one.score, 0.0125, 1)
        for one in sorted(good, key=lambda one: -one.score)
    ]
    return TuneResult(
        SPACE, minimise, tuple(trials), tuple(estimates), tuple(good[:2]), 0.03, ended
    )


def shown(*arguments, **changes):
    return page(result(*arguments, **changes)).decode()


def test_all_images_have_a_row_with_what_they_gave():
    read = Read(shown())
    head, *rows = read.tables[-1]
    assert head == ["Image", "light, mW", HOSTILE, "Score", "seconds", "bleaching", "What for"]
    assert rows == [
        ["1", "3", '"><b>', "0.250", "0.5", "0.003", "search"],
        ["2", "30", "a & b", "0.750", "0.5", "0.03", "search, recommended"],
        ["3", "300", '"><b>', f"OSError: {HOSTILE}", "0.5", "0.3", "search"],
        ["4", "30", "a & b", "0.700", "0.5", "0.03", "again, recommended"],
    ]


def test_it_says_first_what_is_recommended():
    said = " ".join("".join(Read(shown()).text).split())
    assert f"Recommended: light 30 mW, {HOSTILE} a & b. Their score is 0.750" in said
    assert "0.750 ± 0.013" in said or "0.750 ± 0.012" in said
    assert "It ended when all images of its budget were taken." in said


@pytest.mark.parametrize(
    ("ended", "said"), [("dose", "its dose"), ("grid", "its grid"), ("interrupted", "interrupted")]
)
def test_it_says_why_it_ended(ended, said):
    assert said in shown(ended=ended)


def test_nothing_of_it_runs_or_is_asked_for():
    text = shown(minimise=("bleaching",))
    tags = Read(text).tags
    assert "script" not in {tag for tag, _ in tags}
    assert not [value for _, one in tags for name, value in one.items() if name.startswith("on")]
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)", text)
    (policy,) = [one["content"] for _, one in tags if "http-equiv" in one]
    assert policy.startswith("default-src 'none'")


def test_the_front_is_told_by_its_table():
    read = Read(shown(minimise=("bleaching",)))
    assert read.tables[0] == [
        ["Image", "light", HOSTILE, "score", "bleaching"],
        ["2", "30 mW", "a & b", "0.750", "0.03"],
        ["1", "3 mW", '"><b>', "0.250", "0.003"],
    ]


def test_points_lie_where_their_numbers_are():
    """Of the chart over the light, whose axis has its numbers at powers of ten."""
    chart = shown().split("<h3>light</h3>")[1].split("</svg>")[0]
    dots = [float(x) for x in re.findall(r'<circle class="point prediction" cx="([\d.]+)"', chart)]
    at = {
        said: float(x)
        for x, said in re.findall(
            r'<text class="scale" x="([\d.]+)" y="[\d.]+" text-anchor="middle">([\d,]+)<', chart
        )
    }
    assert {"1", "10", "100", "1,000"} <= set(at)
    decade = at["10"] - at["1"]
    expected = [at["1"] + decade * math.log10(light) for light in (3, 30)]
    np.testing.assert_allclose(dots, expected, atol=0.2)
    (line,) = re.findall(r'<line class="recommended" x1="([\d.]+)"', chart)
    assert float(line) == pytest.approx(expected[1], abs=0.2)


def test_every_point_leads_to_its_row():
    read = Read(shown(minimise=("bleaching",)))
    led = [one["href"] for tag, one in read.tags if tag == "a"]
    there = {one["id"] for _, one in read.tags if "id" in one}
    assert len(led) > 8
    assert {one[1:] for one in led} <= there


def test_the_line_of_the_front_is_nowhere_above_what_was_reached():
    """It goes right at a score until more is lost, and only there up."""
    chart = shown(minimise=("bleaching",)).split("<h3>bleaching</h3>")[1].split("</svg>")[0]
    (line,) = re.findall(r'<path class="so-far" d="M([\d.]+) ([\d.]+)H([\d.]+)V([\d.]+)"', chart)
    dots = re.findall(r'<circle class="point front" cx="([\d.]+)" cy="([\d.]+)"', chart)
    assert [line[:2], line[2:]] == dots


def test_without_a_score_it_says_why():
    failed = [trial(k, 3.0, math.nan, error="OSError: no light") for k in range(2)]
    said = " ".join("".join(Read(shown(failed)).text).split())
    assert "nothing can be recommended" in said
    assert "OSError: no light" in said
    assert "2 images, 2 of them failed" in said
    assert "No image has a score" in shown([])


def test_only_its_own_page_is_replaced(tmp_path):
    path = tmp_path / "tuning.html"
    write_page(result([trial(0, 3.0, 0.5)]), path)
    write_page(result(), path)
    assert path.read_bytes() == page(result())
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(FileError, match="is no page of a search"):
        write_page(result(), path)
    assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-5, 5, False, [-4, -2, 0, 2, 4]),
        (0.117, 0.139, False, [0.12, 0.125, 0.13, 0.135]),
        (1, 1000, True, [1, 10, 100, 1000]),
        (2, 100, True, [2, 5, 10, 20, 50, 100]),
        (3, 4, True, [3, 4]),
    ],
)
def test_numbers_of_an_axis_are_round_and_inside(low, high, log, expected):
    assert _Axis(low, high, 0, 100, log).ticks(6) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (12345.6, "12,346"),
        (-0.25, "−0.25"),
        (1e-7, "1.000e−07"),
        (0.012345, "0.01235"),
        (999.96, "1000"),
        (math.nan, "–"),
    ],
)
def test_numbers_are_said_in_few_digits(value, said):
    assert _number(value) == said
