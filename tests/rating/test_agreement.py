"""How raters agree: published and hand-computed examples, and what must hold of any."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.rating.agreement import agreement, intraclass
from microscope_quality.rating.agreement_page import page, place_in_words, write_page
from microscope_quality.rating.labels import Label

# Four judges of six targets: Shrout and Fleiss 1979, tables 2 to 4.
SHROUT_FLEISS = [
    [9, 2, 5, 8],
    [6, 1, 3, 2],
    [8, 4, 6, 8],
    [7, 1, 2, 6],
    [10, 5, 6, 9],
    [6, 2, 4, 7],
]


def test_the_papers_example():
    found = intraclass(SHROUT_FLEISS)
    assert (found.images, found.raters) == (6, 4)
    assert round(found.between_images, 2) == 11.24
    assert round(found.between_raters, 2) == 32.49
    assert round(found.error, 2) == 1.02
    assert round(found.single.value, 2) == 0.29
    assert round(found.mean.value, 2) == 0.62


def test_its_intervals_are_those_that_the_psych_package_of_r_documents():
    found = intraclass(SHROUT_FLEISS)
    assert (round(found.single.low, 3), round(found.single.high, 2)) == (0.019, 0.76)
    assert (round(found.mean.low, 3), round(found.mean.high, 2)) == (0.071, 0.93)


def test_two_by_two_by_hand():
    """Means of rows 2 and 6, of columns 3 and 5, of all 4; each residual is 0."""
    found = intraclass([[1, 3], [5, 7]])
    # BMS = 2 (4 + 4) / 1, JMS = 2 (1 + 1) / 1, EMS = 0.
    assert (found.between_images, found.between_raters, found.error) == (16, 4, 0)
    assert found.single.value == pytest.approx(16 / (16 + 2 * 4 / 2))
    assert found.mean.value == pytest.approx(16 / (16 + 4 / 2))


TABLES = arrays.arrays(
    float, st.tuples(st.integers(2, 8), st.integers(2, 5)), elements=st.integers(1, 10)
)


@given(TABLES, st.randoms(use_true_random=False))
def test_the_order_of_images_and_raters_does_not_count(table, random):
    rows, columns = list(range(table.shape[0])), list(range(table.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    one, other = intraclass(table), intraclass(table[rows][:, columns])
    for name in ("single", "mean"):
        a, b = getattr(one, name), getattr(other, name)
        for value in ("value", "low", "high"):
            assert getattr(a, value) == pytest.approx(getattr(b, value), abs=1e-6, nan_ok=True)


@given(TABLES)
def test_the_scale_does_not_count_and_the_mean_of_k_is_stepped_up(table):
    found, scaled = intraclass(table), intraclass(table / 10 + 3)
    assert found.single.value == pytest.approx(scaled.single.value, abs=1e-6, nan_ok=True)
    single, k = found.single.value, table.shape[1]
    if not math.isnan(single):
        assert found.single.value <= 1
        below = 1 + (k - 1) * single
        if abs(below) > 1e-6 and not math.isnan(found.mean.value):
            assert found.mean.value == pytest.approx(k * single / below, abs=1e-6)
    if not math.isnan(found.single.low) and single > 0:
        assert found.single.low <= single + 1e-9
        assert found.single.high >= single - 1e-9


def test_what_agrees_wholly_has_one_and_an_offset_lowers_it():
    scores = np.array([0.1, 0.4, 0.8, 1.0])
    same = intraclass(np.stack([scores] * 3, axis=1))
    assert same.single.value == pytest.approx(1)
    assert same.mean.value == pytest.approx(1)
    shifted = intraclass(np.stack([scores, scores + 0.3], axis=1))
    assert 0 < shifted.single.value < 0.9


@pytest.mark.parametrize(
    "table", [np.ones((5, 3)), np.ones((1, 3)), np.ones((4, 1)), np.ones((0, 2))]
)
def test_what_is_not_defined_is_no_number(table):
    found = intraclass(table)
    assert math.isnan(found.single.value)
    assert math.isnan(found.mean.value)


@pytest.mark.parametrize("wrong", ["x", [1, 2], [[1, math.nan], [1, 2]], [[1, math.inf], [1, 2]]])
def test_what_is_no_table_is_refused(wrong):
    with pytest.raises(SettingsError):
        intraclass(wrong)


# Of labels.


def labels_of(table, raters="ABC", **values):
    return [
        Label(f"{k}.tif", score=score, rater=rater, **values)
        for k, row in enumerate(table)
        for rater, score in zip(raters, row)
        if score is not None
    ]


TABLE = [[0.2, 0.3, 0.4], [0.5, 0.5, 0.8], [0.9, 0.7, 1.0], [0.4, None, 0.6], [None, 0.1, None]]


def test_figures_by_hand():
    again = [
        Label(f"{k}.tif", score=score, rater="A", repeat=1)
        for k, score in enumerate((0.3, 0.5, 0.7))
    ]
    skipped = [Label("9.tif", rater="B"), Label("8.tif", score=0.9, rater="A"),
               Label("8.tif", rater="A")]  # fmt: skip
    found = agreement([*labels_of(TABLE, seconds=2.0), *again, *skipped])
    assert (found.images, found.shared, found.all.images, found.all.raters) == (5, 4, 3, 3)
    a, b, _ = found.raters
    assert [one.name for one in found.raters] == ["A", "B", "C"]
    assert [len(one.scores) for one in found.raters] == [4, 4, 4]
    # What was skipped after all is no score.
    assert [one.skipped for one in found.raters] == [1, 1, 0]
    assert a.offset == pytest.approx(np.mean([0.2 - 0.35, 0.5 - 0.65, 0.9 - 0.85, 0.4 - 0.6]))
    assert b.offset == pytest.approx(np.mean([0.3 - 0.3, 0.5 - 0.65, 0.7 - 0.95]))
    assert (a.in_common, b.in_common) == (4, 3)
    # Differences 0.1, 0 and -0.2: mean -1/30, squares about it 0.14 / 3.
    assert a.repeats == ((0.2, 0.3), (0.5, 0.5), (0.9, 0.7))
    assert a.repeat_shift == pytest.approx(-1 / 30)
    variance = ((0.1 + 1 / 30) ** 2 + (1 / 30) ** 2 + (-0.2 + 1 / 30) ** 2) / 2
    assert a.repeat_error == pytest.approx(math.sqrt(variance / 2))
    # Quantiles of chi squared with 2 degrees of freedom are -2 ln(1 - q).
    assert a.repeat_low == pytest.approx(a.repeat_error * math.sqrt(2 / (-2 * math.log(0.025))))
    assert a.repeat_high == pytest.approx(a.repeat_error * math.sqrt(2 / (-2 * math.log(0.975))))
    assert math.isnan(b.repeat_error)
    assert a.seconds == 2
    # Of two scores it is half the square of their difference.
    variances = [0.01, 0.03, np.var([0.9, 0.7, 1.0], ddof=1), 0.02]
    assert found.spread == pytest.approx(math.sqrt(np.mean(variances)))
    assert [one.place[0] for one in found.disputed] == ["1.tif", "2.tif", "3.tif", "0.tif"]
    assert found.disputed[0].scores == {"A": 0.5, "B": 0.5, "C": 0.8}
    pairs = {(pair.one, pair.other): pair for pair in found.pairs}
    assert pairs["A", "B"].images == 3
    assert pairs["A", "B"].difference == pytest.approx(0.1 / 3)
    assert pairs["A", "C"].images == 4
    assert (
        pairs["A", "C"].correlation
        == intraclass([[0.2, 0.4], [0.5, 0.8], [0.9, 1.0], [0.4, 0.6]]).single
    )
    assert found.all == intraclass([[0.2, 0.3, 0.4], [0.5, 0.5, 0.8], [0.9, 0.7, 1.0]])


def test_patches_of_one_image_are_different_things():
    labels = [
        Label("a.tif", 0, x, 64, score, rater)
        for x, scores in ((0, (0.1, 0.2)), (64, (0.8, 0.9)))
        for rater, score in zip("AB", scores)
    ]
    found = agreement(labels)
    assert (found.images, found.shared) == (2, 2)
    assert place_in_words(found.disputed[0].place).startswith("a.tif, 64 px at x ")


def test_a_simulated_raters_repeat_error_and_offset_are_found():
    rng = np.random.default_rng(8)
    truth = rng.uniform(0.2, 0.8, 4000)
    labels = []
    for rater, offset, error in (("A", 0.0, 0.05), ("B", 0.1, 0.08)):
        for repeat in (0, 1):
            scores = truth + offset + rng.normal(size=4000) * error
            labels += [
                Label(f"{k}.tif", score=float(score), rater=rater, repeat=repeat)
                for k, score in enumerate(np.clip(scores, 0, 1))
            ]
    found = agreement(labels)
    # Standard errors: of a standard deviation of 4,000, 1.1 %; of the offset, 0.0015.
    assert found.raters[0].repeat_error == pytest.approx(0.05, rel=0.06)
    assert found.raters[1].repeat_error == pytest.approx(0.08, rel=0.06)
    assert found.raters[1].offset == pytest.approx(0.1, abs=0.006)
    assert found.raters[0].offset == pytest.approx(-0.1, abs=0.006)
    low, high = found.raters[0].repeat_low, found.raters[0].repeat_high
    assert low < 0.05 < high
    # 0.03 of variance between images, 0.1 between two raters, and their own errors.
    between, offset, noise = np.var(truth), 0.1**2 / 2, (0.05**2 + 0.08**2) / 2
    assert found.all.single.value == pytest.approx(between / (between + offset + noise), abs=0.01)


def test_without_scores_there_is_nothing_to_compare():
    for labels in ([], [Label("a.tif", rater="A")]):
        with pytest.raises(SettingsError, match="labels must have scores, and none of them has"):
            agreement(labels)


# The page.


def test_the_page_tells_the_figures_and_runs_nothing():
    found = agreement(labels_of(TABLE))
    text = page(found, ["labels.csv"]).decode()
    assert f"<strong>{found.all.single.value:.2f}</strong>" in text
    assert f"<strong>{found.spread:.3f}</strong>" in text
    assert "the 3 of 5 that all raters scored" in text
    assert "<script" not in text
    assert "default-src 'none'" in text


def test_names_and_images_are_text():
    hostile = '<img src=x onerror="alert(1)">'
    labels = [Label(hostile, score=s, rater=r) for s, r in ((0.2, hostile), (0.9, "B & C"))]
    text = page(agreement(labels), [hostile]).decode()
    assert "<img" not in text
    assert "&lt;img src=x" in text
    assert "B &amp; C" in text


def test_one_rater_and_one_image():
    text = page(agreement([Label("a.tif", score=0.5)]), ["labels.csv"]).decode()
    assert "1 rater, 1 image with a score." in text
    assert "there is nothing to compare" in text
    assert "nan" not in text


def test_only_a_page_of_this_kind_is_replaced(tmp_path):
    found = agreement(labels_of(TABLE))
    target = tmp_path / "agreement.html"
    write_page(found, target, ["labels.csv"])
    before = target.read_bytes()
    write_page(found, target, ["others.csv"])
    assert target.read_bytes() != before
    target.write_text("<p>mine</p>", encoding="utf-8")
    with pytest.raises(FileError, match="is there already and is no page of agreement"):
        write_page(found, target, ["labels.csv"])
    assert target.read_text(encoding="utf-8") == "<p>mine</p>"
