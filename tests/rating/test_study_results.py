"""The page and the table of a study's results, against counts that the csv module gives."""

import csv
import html
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from command_line import run
from simulated_testers import (
    by_hand,
    make_study,
    mean_and_sd,
    press,
    write_table,
)

from microscope_quality.rating.study import ANSWERS, Study, sides
from microscope_quality.rating.study_results import MEASURES, PAGE, write_results

EDGES = (0, 0.2, 0.4, 0.6, 0.8, 1)
BINS = [*zip(EDGES, EDGES[1:]), (0, 1)]


def answered(folder, names=("Ada", "Ben", "Cem"), share=1.0, spread=0.1):
    """Have testers answer whose opinions are the target with noise."""
    with Study(folder) as study:
        for number, name in enumerate(names):
            tester = study.add_tester(name)
            rng = np.random.default_rng(number)
            for k in range(1, round(share * len(tester.trials)) + 1):
                trial = tester.trials[k - 1]
                opinion = study.record.images[trial.image].target + rng.normal(0, spread)
                pressed = press(opinion, *sides(study.record, trial))
                study.answer(tester, k, pressed, float(rng.uniform(1, 9)), 1)
    return folder


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def number(text):
    return float(text) if text else math.nan


def same(found, known):
    return (math.isnan(found) and math.isnan(known)) or abs(found - known) < 1e-12


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    training = write_table(folder / "c.csv", [(f"{k}", k / 100) for k in range(101)])
    study = make_study(folder, number=60, training=training, baseline=0.5, repeats=0.2)
    answered(study)
    write_results(study)
    return study


def test_every_number_of_the_table_is_that_by_hand(found):
    rows, answers = rows_of(found / MEASURES), rows_of(found / ANSWERS)
    assert len(rows) == 2 * 6 * 4
    for compared, showing in (("prediction", "study"), ("random", "baseline")):
        for low, high in BINS:
            own = [
                row
                for row in rows
                if row["compared"] == compared
                and (float(row["target_from"]), float(row["target_to"])) == (low, high)
            ]
            assert [row["tester"] for row in own] == ["Ada", "Ben", "Cem", ""]
            known = {
                name: by_hand(answers, name, low, high, showing) for name in ("Ada", "Ben", "Cem")
            }
            for row in own[:3]:
                counts, confusion, domination = known[row["tester"]]
                names = ("target", "prediction", "equivalent", "discarded")
                assert tuple(int(row[name]) for name in names) == counts
                assert int(row["kept"]) == sum(counts[:3])
                assert same(number(row["confusion"]), confusion)
                assert same(number(row["domination"]), domination)
            for place, measure in ((1, "confusion"), (2, "domination")):
                mean, deviation, n = mean_and_sd([one[place] for one in known.values()])
                assert same(number(own[3][measure]), mean)
                assert same(number(own[3][f"{measure}_sd"]), deviation)
                assert int(own[3][f"{measure}_testers"]) == n


class Tables(HTMLParser):
    """Texts of the cells of tables, by their captions."""

    def __init__(self):
        super().__init__()
        self.tables, self.caption, self.row, self.cell = {}, None, None, None

    def handle_starttag(self, tag, attributes):
        if tag in ("caption", "td", "th"):
            self.cell = ""
        elif tag == "tr":
            self.row = []

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data

    def handle_endtag(self, tag):
        if tag == "caption":
            self.caption = self.cell
            self.tables[self.caption] = []
        elif tag in ("td", "th"):
            self.row.append(self.cell)
        elif tag == "tr":
            self.tables[self.caption].append(self.row)
        if tag in ("caption", "td", "th"):
            self.cell = None


def tables_of(path):
    parser = Tables()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser.tables


def percent(mean, deviation=math.nan):
    if math.isnan(mean):
        return "–"
    return (
        f"{100 * mean:.1f} %"
        if math.isnan(deviation)
        else f"{100 * mean:.1f} ± {100 * deviation:.1f} %"
    )


def test_every_number_of_the_page_is_that_by_hand(found):
    answers = rows_of(found / ANSWERS)
    tables = tables_of(found / PAGE)
    head, *rows = tables["Measures by the target’s score"]
    assert head == [
        *("Target’s score", "Images", "Confusion", "Confusion, random scores", "Domination"),
        "Domination, random scores",
    ]
    testers = ("Ada", "Ben", "Cem")
    for (low, high), row in zip(BINS, rows):
        cells = [re.sub(r" \(\d testers?\)", "", cell) for cell in row[2:]]
        known = []
        for place in (1, 2):
            for showing in ("study", "baseline"):
                values = [by_hand(answers, name, low, high, showing)[place] for name in testers]
                known.append(percent(*mean_and_sd(values)[:2]))
        assert cells == known
    assert sum(int(row[1]) for row in rows[:5]) == int(rows[5][1]) == 60
    for row in tables["Testers"][1:]:
        counts, confusion, domination = by_hand(answers, row[0])
        assert row[1] == "102 of 102"
        assert row[2:6] == [str(count) for count in counts]
        assert row[6:8] == [percent(confusion), percent(domination)]
        own = [one for one in answers if one["tester"] == row[0]]
        first = {one["image"]: one["choice"] for one in own if one["showing"] == "study"}
        again = [one for one in own if one["showing"] == "repeat"]
        kept = sum(first[one["image"]] == one["choice"] for one in again)
        assert row[8] == f"{kept} of {len(again)}" and len(again) == 12
        others = [
            first[one["image"]] == one["choice"]
            for one in answers
            if one["showing"] == "study" and one["tester"] != row[0]
        ]
        assert row[9] == percent(np.mean(others))
        assert row[10] == f"{np.median([float(one['seconds']) for one in own]):.1f}"
    for row in tables["Testers by the target’s score"][1:]:
        low, high = BINS[
            next(k for k, ends in enumerate(BINS) if row[2].startswith(f"{ends[0]:g} –"))
        ]
        showing = "study" if row[1] == "prediction" else "baseline"
        counts, confusion, domination = by_hand(answers, row[0], low, high, showing)
        assert row[3:] == [*map(str, counts), percent(confusion), percent(domination)]


def test_the_page_says_what_it_means_and_asks_for_nothing(found):
    page = (found / PAGE).read_text(encoding="utf-8")
    said = html.unescape(re.sub("<[^>]*>", "", page))
    assert "Confusion falls also when the network is better than the expert" in said
    assert "1 / (T + P), which cannot give the table in their paper" in said
    assert "sample standard deviation (n − 1)" in said
    assert "Random scores" in said and "cannot be computed" in said
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "<script" not in page


def test_a_random_network_is_told_from_a_good_one(found):
    """Testers' opinions are those of the target: random scores are seldom picked."""
    rows = [row for row in rows_of(found / MEASURES) if row["tester"] == ""]
    of_all = {
        row["compared"]: row
        for row in rows
        if row["target_to"] == "1" and row["target_from"] == "0"
    }
    assert float(of_all["random"]["domination"]) < float(of_all["prediction"]["domination"])
    assert float(of_all["random"]["confusion"]) < float(of_all["prediction"]["confusion"])


def test_a_study_that_has_only_begun_is_told_so(tmp_path):
    study = make_study(tmp_path, number=8, baseline=0, repeats=0)
    page, table, _ = write_results(study)
    assert "There is no tester yet." in page.read_text("utf-8")
    answered(study, ("Ada",), share=0.5)
    with Study(study) as conducted:
        conducted.add_tester("<b>Ben</b>")
    page, table, _ = write_results(study)
    text = page.read_text("utf-8")
    assert "Not finished: Ada (4 of 8), &lt;b&gt;Ben&lt;/b&gt; (0 of 8)." in text
    assert "<b>" not in text
    assert "random" not in {row["compared"] for row in rows_of(table)}
    assert "No random scores were shown." in text
    # Of one tester there is no spread.
    row = next(
        row for row in rows_of(table) if row["tester"] == "" and row["confusion_testers"] == "1"
    )
    assert row["confusion"] and not row["confusion_sd"]


def test_the_command_writes_results_of_a_study_without_serving(found):
    (found / PAGE).unlink()
    answers = (found / ANSWERS).read_bytes()
    done = run("study", "--out", found, "--results")
    assert f"Written to {found / PAGE} and {found / MEASURES}." in done.output
    confusion = next(
        float(row["confusion"])
        for row in rows_of(found / MEASURES)
        if row["tester"] == "" and (row["target_from"], row["target_to"]) == ("0", "1")
    )
    assert f"Prediction: confusion {100 * confusion:.1f} ± " in done.output
    assert (found / ANSWERS).read_bytes() == answers


def test_the_command_refuses_with_a_sentence(tmp_path, found):
    out = tmp_path / "out"
    done = run("study", "--out", out, "--results", code=2)
    assert f"microscope-quality study: {out}: has no study in it" in done.stderr
    done = run("study", "--out", out, code=2)
    assert "needs IMAGES, --scores and --against, and --scores is missing" in done.stderr
    images, a, b = tmp_path / "images", tmp_path / "a.csv", tmp_path / "b.csv"
    done = run("study", images, "--scores", a, "--out", out, code=2)
    assert "--against is missing" in done.stderr
    write_table(a, [("x.png", 0.5)])
    write_table(b, [("x.png", "no")])
    done = run("study", images, "--scores", a, "--against", b, "--out", out, code=2)
    assert f"{b}: line 2, column score: found 'no'" in done.stderr
    write_table(b, [("x.png", 0.7)])
    done = run("study", images, "--scores", a, "--against", b, "--out", out, code=2)
    assert f"There is no file or folder {images}." in done.stderr
    done = run(
        "study", images, "--scores", a, "--against", b, "--baseline", 2, "--out", out, code=2
    )
    assert "--baseline must be from 0 to 1" in done.stderr
    done = run("study", "--out", found, "--seed", 3, code=2)
    assert "has a study already" in done.stderr
    assert not out.exists()
