"""A rating as a measure: rows, what they mean, and how they are judged beside each other."""

from __future__ import annotations

import json
import math
import os
import pickle
from dataclasses import replace
from pathlib import Path

import coded
import coded_rating
import numpy as np
import pytest
import tifffile
from command_line import counts, pictures, table
from PIL import Image

from microscope_quality import measure_focus, rate_image
from microscope_quality.errors import ArgumentError, ImageError, ModelError, SettingsError
from microscope_quality.files.images import find
from microscope_quality.files.plane import Plane
from microscope_quality.files.tables import as_text, read_table
from microscope_quality.measuring.classical import Classical
from microscope_quality.measuring.file_verdicts import Threshold, verdict_of
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.judging import Judging
from microscope_quality.measuring.measure_files import measure_files, rate_files
from microscope_quality.measuring.measures import measures_with, recorded_measures
from microscope_quality.measuring.rating import Rating
from microscope_quality.measuring.rows import PlaneRow
from microscope_quality.measuring.run import Run
from microscope_quality.measuring.settings import Settings
from microscope_quality.measuring.watch import Watch, WatchSettings
from microscope_quality.measuring.watch_alerts import WatchAlerts
from microscope_quality.measuring.watch_events import AlertRaised
from microscope_quality.overlay import score_colours

GOOD, POOR = [[0.9, 0.8], [0.7, 0.8]], [[0.3, 0.4], [0.2, 0.3]]
# What a coded patch may be off: it has whole numbers of bright pixels.
ROUNDING = 0.005
JUDGED = ("status", "cause", "action", "fault")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "rater"
    coded_rating.write(folder)
    return str(folder)


@pytest.fixture(scope="module")
def rating(model):
    return Rating(model, score_limit=0.5)


def row_of(measure, plane):
    """The fields of a plane as a table has them."""
    row = measure.run(Plane(plane)).row
    return as_text(row, [*row])


@pytest.fixture(scope="module")
def good(rating):
    return row_of(rating, coded_rating.plane(GOOD))


@pytest.fixture(scope="module")
def poor(rating):
    return row_of(rating, coded_rating.plane(POOR))


def judged(row):
    return tuple(row[name] for name in JUDGED)


# A plane.


def test_a_row_has_all_columns_and_no_others(rating, good):
    known = {column.name for column in (*rating.columns, *rating.later_columns)}
    assert good.keys() == known | {"width", "height", "message"}


def test_numbers_are_those_that_the_plane_states(rating, good, poor):
    assert float(good["score"]) == pytest.approx(0.8, abs=ROUNDING)
    assert judged(good) == ("good", "", "", "")
    assert float(poor["score"]) == pytest.approx(0.3, abs=ROUNDING)
    assert judged(poor) == ("poor", "blur", "refocus", "")
    assert float(good["score_low"]) < float(good["score"]) < float(good["score_high"])
    assert (good["patches"], good["blank_fraction"], good["message"]) == ("4", "0", "")


def test_patches_have_rows_where_they_lie(rating):
    result = rating.run(Plane(coded_rating.plane(POOR)))
    rows = list(result.patches())
    side = coded_rating.PATCH
    assert [(row["y"], row["x"]) for row in rows] == [(0, 0), (0, side), (side, 0), (side, side)]
    found = [row["score"] for row in rows]
    assert found == pytest.approx(np.ravel(POOR).tolist(), abs=ROUNDING)
    columns = {column.name for column in rating.patch_columns}
    assert all(row.keys() == columns | {"y", "x"} for row in rows)


def test_a_picture_has_the_colours_of_scores_and_leaves_blank_patches_grey(rating):
    plane = coded_rating.plane([[1.0, 0.1], [None, 0.5]])
    picture = rating.run(Plane(plane)).picture(2 * coded_rating.PATCH)
    side = coded_rating.PATCH
    for (row, column), score in {(0, 0): 1.0, (0, 1): 0.1, (1, 1): 0.5}.items():
        border = picture[row * side, column * side + side // 2].astype(int)
        # A patch is not quite what it states, and colours go by steps of a hundredth.
        assert np.abs(border - score_colours(score)).max() <= 4
    blank = picture[side:, :side].astype(int)
    assert (np.ptp(blank, axis=2) == 0).all()


def test_a_path_is_for_rate_files():
    with pytest.raises(
        ImageError, match="'a.tif' names a file: .* give its path to .* or rate_files"
    ):
        rate_image("a.tif")
    with pytest.raises(ImageError, match="give its path to measure_files"):
        measure_focus("a.tif")


def cut(plane, lines):
    plane = plane.copy()
    plane[len(plane) - lines :] = 7
    return plane


def clipped(plane):
    return np.where(plane < 15_000, 0, plane).astype(plane.dtype)


@pytest.mark.parametrize(
    ("change", "status", "cause", "action", "said"),
    [
        (lambda p: cut(p, 100), "failed_grab", "cut", "retake", "the last 100 have one value"),
        (lambda p: np.full_like(p, 9), "failed_grab", "empty", "retake", "All pixels have one"),
        (lambda p: np.vstack([p, p[-9:]]), "failed_grab", "repeated", "retake", "are copies of"),
        (
            clipped,
            "good",
            "saturated",
            "look",
            "of the pixels are saturated, at the lower end of the grey levels: raise the bright",
        ),
        (
            lambda p: np.minimum(p, 15_000),
            "good",
            "saturated",
            "look",
            "of the pixels are saturated, at the upper end of the grey levels: lower the gain or "
            "the brightness.",
        ),
    ],
)
def test_a_failed_grab_is_told_from_others(change, status, cause, action, said, rating, model):
    plane = change(coded_rating.plane(GOOD))
    row = row_of(rating, plane)
    assert judged(row) == (status, cause, action, cause)
    assert said in row["message"]
    unchecked = row_of(Rating(model, check_grabs=False), plane)
    assert unchecked["status"] != "failed_grab"
    assert (unchecked["fault"], unchecked["message"]) == ("", "")
    assert "frame_digest" not in unchecked


def test_a_bad_image_that_is_clipped_has_the_cause_that_costs_its_score(rating):
    row = row_of(rating, clipped(coded_rating.plane(POOR)))
    assert judged(row) == ("poor", "blur", "refocus", "saturated")
    share = row["message"].partition("% of the pixels are saturated")[0]
    assert float(share) > 5
    both = np.clip(coded_rating.plane(POOR), 10_008, 20_008)
    said = row_of(rating, both)["message"]
    assert said.endswith("at both ends of the grey levels: lower the gain.")


def test_a_blank_image_has_no_numbers(rating):
    rng = np.random.default_rng(3)
    row = row_of(rating, rng.normal(5000, 300, (512, 512)).astype(np.uint16))
    assert judged(row) == ("no_content", "", "", "blank")
    assert (row["score"], row["score_low"], row["blur_px"]) == ("", "", "")
    assert rating.said(row) == []


def test_an_image_that_is_too_small_says_so(rating):
    row = row_of(rating, coded_rating.plane(GOOD)[:100])
    assert row["status"] == "too_small"
    assert "The image has 100 x 512 pixels" in row["message"]


class Ends:
    """A plane in a file that tells which rows were read."""

    ndim = 2

    def __init__(self, plane):
        self._plane, self.shape, self.dtype = plane, plane.shape, plane.dtype
        self.read = np.zeros(len(plane), bool)

    def __getitem__(self, index):
        self.read[index[0]] = True
        return self._plane[index]


@pytest.fixture(scope="module")
def tall():
    return coded_rating.plane([[0.8] * 2] * 24)


def test_a_sample_reads_the_ends_and_its_places_alone(tall, model):
    sampled = Rating(model, patches=2, seed=1, score_limit=0.5)
    source = Ends(tall)
    row = row_of(sampled, source)
    assert judged(row) == ("good", "", "", "")
    assert row["patches"] == "12"
    # Two ends of 256 lines, and twelve patches of 256.
    assert source.read.sum() <= 2 * 256 + 12 * 256
    assert row["frame_digest"] == row_of(sampled, tall)["frame_digest"]
    ended = row_of(sampled, cut(tall, 100))
    assert judged(ended) == ("failed_grab", "cut", "retake", "cut")
    assert ended["message"] == "Of its 6144 lines, the last 100 have one value each."


def test_a_border_of_a_sampled_mosaic_is_no_failed_grab(tall, model):
    bordered = np.pad(tall, ((300, 300), (0, 0)))
    assert row_of(Rating(model, patches=2, score_limit=0.5), bordered)["status"] == "good"


# Judging.


def test_another_limit_judges_a_row_as_rating_again_would(rating, model, good, poor):
    for row, plane in ((good, GOOD), (poor, POOR)):
        for limit in (0.2, 0.5, 0.9):
            measure = Rating(model, score_limit=limit)
            again = {**row, **measure.judged_again(row, "")}
            assert again == row_of(measure, coded_rating.plane(plane))


def test_a_frozen_frame_is_bad_until_it_is_none(rating, good):
    frozen = {**good, **rating.judged_again(good, "t1.tif")}
    assert judged(frozen) == ("failed_grab", "frozen", "retake", "frozen")
    assert frozen["message"] == "It is the same as t1.tif."
    assert {**frozen, **rating.judged_again(frozen, "t1.tif")} == frozen
    assert {**frozen, **rating.judged_again(frozen, "")} == good
    noted = {**good, "message": "Seen. Too."}
    both = {**noted, **rating.judged_again(noted, "a b.tif z3")}
    assert both["message"] == "Seen. Too. It is the same as a b.tif z3."
    assert {**both, **rating.judged_again(both, "")} == noted


def test_what_failed_by_itself_or_has_no_score_is_not_frozen(rating):
    failed = row_of(rating, cut(coded_rating.plane(GOOD), 50))
    assert rating.judged_again(failed, "t1.tif").items() <= failed.items()
    blank = {**failed, "status": "no_content", "score": "", "fault": "blank", "cause": ""}
    assert rating.judged_again(blank, "t1.tif")["status"] == "no_content"


def in_turn(judging, *rows):
    return [(row["status"], row["message"].rpartition(" ")[2]) for row in judging.judged(rows)]


def test_a_frame_is_frozen_after_the_first_of_them_whatever_lies_between(rating, good):
    a, b, c, d = (
        {**good, "file": name, "frame_digest": digest}
        for name, digest in (("a.tif", "11"), ("b.tif", "22"), ("c.tif", "11"), ("d.tif", "11"))
    )
    judging = Judging([rating])
    assert in_turn(judging, a, b) == [("good", ""), ("good", "")]
    assert in_turn(judging, c, d) == [("failed_grab", "a.tif."), ("failed_grab", "c.tif.")]
    # Asked again, as when the disk refused, it is what it was.
    assert in_turn(judging, d) == [("failed_grab", "c.tif.")]
    # Of planes of one file, the place tells which it was.
    e = [{**good, "file": "e.tif", "t": t, "frame_digest": "33"} for t in (0, 1)]
    assert in_turn(judging, *e) == [("good", ""), ("failed_grab", "t0.")]
    assert in_turn(judging, {**a, "frame_digest": "", "file": "f.tif"}) == [("good", "")]


def test_of_equal_frames_of_a_table_the_first_in_time_counts(rating, good):
    def row(name, digest, second, **more):
        return {**good, "file": name, "frame_digest": digest, "modified": second, **more}

    rows = [
        row("a.tif", "11", "2026-01-01T10:00:05Z"),
        row("b.tif", "22", "2026-01-01T10:00:04Z"),
        row("c.tif", "11", "2026-01-01T10:00:03Z"),
        # Of one time, or where one has none, the name decides.
        row("d.tif", "33", "2026-01-01T10:00:02Z"),
        row("e.tif", "33", "2026-01-01T10:00:02Z"),
        row("f.tif", "44", "2026-01-01T10:00:01Z"),
        row("g.tif", "44", ""),
        row("h.tif", "", "2026-01-01T10:00:00Z", error="is cut short"),
        row("i.tif", "55", "2026-01-01T10:00:00Z", t=0),
        row("i.tif", "55", "2026-01-01T10:00:00Z", t=1),
    ]
    judging = Judging([rating])
    assert judging.learn(rows) == [f"{one}.tif" for one in "acdefgi"]
    expected = {
        "a.tif": "c.tif.",
        "e.tif": "d.tif.",
        "g.tif": "f.tif.",
    }
    for _ in range(2):
        found = in_turn(judging, *(one for one in rows if one["file"] not in ("h.tif", "i.tif")))
        assert found == [
            ("failed_grab", expected[one["file"]]) if one["file"] in expected else ("good", "")
            for one in rows[:7]
        ]
    assert in_turn(judging, *rows[8:]) == [("good", ""), ("failed_grab", "t0.")]


def test_a_row_with_an_error_is_nothing_to_judge(rating):
    judging = Judging([rating])
    failed = {"file": "a.tif", "error": "is cut short", "status": "", "frame_digest": ""}
    assert judging.changes([failed]) == [{}]


def test_beside_another_measure_it_leaves_the_status_alone(rating, good):
    judging = Judging([Classical(), replace(rating, score_limit=0.9)])
    row = {**good, "file": "a.tif", "status": "measured"}
    assert judging.changes([row]) == [{"cause": "blur", "action": "refocus"}]
    assert Judging([Classical()]).columns == ()


# What a row means.


def test_what_is_said_of_a_row(rating, good, poor):
    assert rating.in_words(good) == "good, score 0.80, blur 1.1 px"
    assert rating.in_words(poor) == "poor, score 0.30, blur 3.5 px, refocus (blur)"
    assert rating.advice(poor) == "blur; refocus"
    failed = {**good, **rating.judged_again(good, "t1.tif")}
    assert rating.in_words(failed) == "failed grab, frozen, retake"
    assert rating.advice(failed) == "it is the same as t1.tif; retake"
    assert (rating.judged(failed), rating.short(failed), rating.colour(failed)) == (None, "", "")
    stretched = {**poor, "elongation": "1.62", "angle_deg": "29.7"}
    assert rating.details(stretched) == [
        "refocus (blur)",
        "blur 3.5 px",
        "1.6 × at 30°",
        "noise 0.10",
    ]
    assert [cell.head for cell in rating.cells({})] == [cell.head for cell in rating.cells(poor)]


def test_what_a_good_image_would_be_bad_for_is_known_too(rating, good):
    assert (good["cause"], good["action"]) == ("", "")
    assert rating.remedy(good) == ("blur", "refocus")


def test_doubt_is_the_chance_of_the_other_side(model, good):
    score, high = float(good["score"]), float(good["score_high"])
    deviation = (high - score) / 1.96
    for distance in (0.0, 0.5, 1.0, 2.0):
        limit = score - distance * deviation
        doubt, why = Rating(model, score_limit=limit).doubt(good)
        assert doubt == pytest.approx(math.erfc(distance / math.sqrt(2)), rel=1e-3)
        assert why == f"could be poor: {doubt / 2:.0%}"
    assert Rating(model).doubt({**good, "status": "failed_grab"}) == (0.0, "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"score": ""}, "score is empty, but the status is good"),
        ({"score": "0.05"}, "score is '0.05', but scores begin at 0.1"),
        ({"score_low": "0.01"}, "score_low is '0.01', but scores begin at 0.1"),
        ({}, ""),
    ],
)
def test_a_row_that_no_run_writes_is_known(changes, said, rating, good):
    assert rating.fault({**good, **changes}) == said


# Settings.


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"score_limit": 0.05}, SettingsError, "score_limit must be from 0.1 to 1"),
        ({"patches": 0}, SettingsError, "patches must be a whole number from 1"),
        ({"check_grabs": "no"}, SettingsError, "check_grabs must be True or False"),
        ({"model": "compact"}, ModelError, "is a model of the task 'focus', not of rating"),
    ],
)
def test_wrong_settings_are_refused(changes, kind, said, rating):
    with pytest.raises(kind, match=said):
        Settings(measures=(replace(rating, **changes),)).check()


def test_the_limit_alone_makes_no_other_rows(rating):
    def id_of(**changes):
        return Settings(measures=(replace(rating, **changes),)).id

    assert id_of(score_limit=0.7) == id_of()
    others = {id_of(patches=3), id_of(patches=3, seed=2), id_of(check_grabs=False), id_of()}
    assert len(others) == 4
    beside = [
        Settings(measures=(Classical(), replace(rating, score_limit=limit))).id
        for limit in (0.3, 0.5)
    ]
    assert beside[0] == beside[1] != id_of()


def test_a_record_tells_the_settings(rating, model):
    measure = Rating(model, patches=5, seed=3, score_limit=0.6, check_grabs=False)
    settings = Settings(measures=(measure,))
    record = json.loads(json.dumps({"settings": settings.to_dict(), "model": settings.facts()}))
    assert recorded_measures(record, settings.tables()["results.csv"]) == (measure,)
    wrong = {"patches": -1, "seed": "x", "score_limit": 7, "model": 5}
    assert Rating.recorded({"settings": wrong}, []) == Rating()
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_a_table_without_a_record_is_known_by_its_value(rating):
    header = Settings(measures=(rating,)).tables()["results.csv"]
    assert recorded_measures({}, header) == (Rating(),)


def test_a_model_is_that_of_its_task(model, tmp_path):
    of_focus = str(tmp_path / "focus")
    coded.write(of_focus)
    for listed in (("focus", "rating"), ("rating", "focus")):
        found = {one.name: one.model for one in measures_with(listed, {"model": model})}
        assert found == {"focus": None, "rating": model}
        found = {one.name: one.model for one in measures_with(listed, {"model": of_focus})}
        assert found == {"focus": of_focus, "rating": None}
    coded.write_of_another_task(tmp_path / "toy")
    with pytest.raises(SettingsError, match="model is one of the task score, and `measures` names"):
        measures_with(["focus", "rating"], {"model": str(tmp_path / "toy")})


@pytest.mark.long
def test_focus_and_rating_share_a_column(rating, tmp_path):
    coded.write(tmp_path / "focus")
    plane = coded_rating.plane(POOR)
    tifffile.imwrite(tmp_path / "a.tif", plane)
    for measures in ((Focus(str(tmp_path / "focus")), rating), (rating, Focus())):
        settings = Settings(measures=measures)
        header = settings.tables()["results.csv"]
        assert header.count("saturated_fraction") == header.count("status") == 1
        (row,) = measure_files(tmp_path / "a.tif", settings, jobs=1)
        assert row["score"] == pytest.approx(0.3, abs=ROUNDING)
        assert (row["cause"], row["action"]) == ("blur", "refocus")
        assert row["status"] in {status.key for status in measures[0].statuses}


# Runs.


@pytest.fixture
def section(tmp_path):
    """Tiles in their order: good, frozen, poor, cut, one that is no image."""
    folder = tmp_path / "section"
    folder.mkdir()
    good, poor = coded_rating.plane(GOOD), coded_rating.plane(POOR)
    for name, plane in (("t1", good), ("t2", good), ("t3", poor), ("t4", cut(good, 60))):
        tifffile.imwrite(folder / f"{name}.tif", plane)
    (folder / "t5.tif").write_bytes(b"nothing")
    return folder


def statuses(out):
    return {row["file"]: (row["status"], row["action"]) for row in table(out / "results.csv")}


SECTION = {
    "t1.tif": ("good", ""),
    "t2.tif": ("failed_grab", "retake"),
    "t3.tif": ("poor", "refocus"),
    "t4.tif": ("failed_grab", "retake"),
    "t5.tif": ("", ""),
}


def rated(section, out, model, *, jobs=1, score_limit=0.5):
    return list(rate_files(section, out=out, model=model, jobs=jobs, score_limit=score_limit))


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_run_judges_tiles_in_their_order(section, model, tmp_path, jobs):
    rows = rated(section, tmp_path / "out", model, jobs=jobs)
    assert statuses(tmp_path / "out") == SECTION
    found = {row["file"]: (row["status"] or "", row["action"] or "") for row in rows}
    assert found == SECTION
    assert {row["file"]: row["message"] for row in rows}["t2.tif"] == "It is the same as t1.tif."
    without = rated(section, None, model, jobs=jobs)
    assert [row["status"] for row in without] == [row["status"] for row in rows]


@pytest.mark.long
def test_of_two_equal_tiles_that_of_the_earlier_file_counts(section, model, tmp_path):
    later = (section / "t5.tif").stat().st_mtime + 60
    os.utime(section / "t1.tif", (later, later))
    for _ in range(2):
        rated(section, tmp_path / "out", model)
        found = statuses(tmp_path / "out")
        assert found == {**SECTION, "t1.tif": ("failed_grab", "retake"), "t2.tif": ("good", "")}
        messages = {row["file"]: row["message"] for row in table(tmp_path / "out/results.csv")}
        assert messages["t1.tif"] == "It is the same as t2.tif."
    # A watch judges frames as they come, and one that goes on has the same rule.
    where = WatchSettings(section, tmp_path / "watched", still_seconds=0.1, jobs=1, once=True)
    for _ in range(2):
        with Watch(where, Settings(measures=(Rating(model, score_limit=0.5),))) as watch:
            watch.run()
    assert statuses(where.out) == found


def without_verdicts(out):
    told = {"status", "cause", "action", "fault", "message", "checksum"}
    return [{k: v for k, v in row.items() if k not in told} for row in table(out / "results.csv")]


@pytest.mark.long
def test_another_limit_judges_again_and_rates_nothing(section, model, tmp_path):
    out = tmp_path / "out"
    rated(section, out, model)
    numbers = without_verdicts(out)
    for limit, first, third in ((0.9, "poor", "poor"), (0.2, "good", "good")):
        rated(section, out, model, score_limit=limit)
        # The one that is no image is tried again.
        assert counts(out)["kept"] == 4
        assert without_verdicts(out) == numbers
        found = statuses(out)
        assert (found["t1.tif"][0], found["t3.tif"][0]) == (first, third)
        assert (found["t2.tif"], found["t4.tif"]) == (SECTION["t2.tif"], SECTION["t4.tif"])
    assert not (out / "older").exists()


@pytest.mark.long
def test_a_tile_is_frozen_as_long_as_the_one_before_it_is_the_same(section, model, tmp_path):
    out = tmp_path / "out"
    rated(section, out, model)
    tifffile.imwrite(section / "t1.tif", coded_rating.plane([[0.6] * 2] * 2))
    rated(section, out, model)
    assert counts(out)["kept"] == 3
    assert statuses(out) == {**SECTION, "t2.tif": ("good", "")}
    assert table(out / "results.csv")[1]["message"] == ""
    tifffile.imwrite(section / "t3.tif", coded_rating.plane(GOOD))
    rated(section, out, model)
    assert statuses(out)["t3.tif"] == ("failed_grab", "retake")


def drawn(out, section, model, **options):
    """Pixels of the pictures of all tiles, by name."""
    measure = Rating(model, **{"score_limit": 0.5, **options})
    settings = Settings(measures=(measure,), pictures=out / "overlays")
    with Run(settings, find([section], exclude=out), out) as run:
        for _ in run.measure():
            pass
        run.finish()
        run.draw(doubtful=False)
    assert not run.not_drawn
    return {name[:2]: np.asarray(Image.open(out / "overlays" / name)) for name in pictures(out)}


@pytest.mark.long
def test_pictures_say_how_their_plane_is_judged_now(section, model, tmp_path):
    out = tmp_path / "out"
    first = drawn(out, section, model)
    assert first.keys() == {"t1", "t2", "t3", "t4"}
    files = {path: path.stat().st_mtime_ns for path in (out / "overlays").iterdir()}
    again = drawn(out, section, model, score_limit=0.9)
    differ = {name for name in first if not np.array_equal(first[name], again[name])}
    assert differ == {"t1"}
    assert {path.name[:2] for path, at in files.items() if path.stat().st_mtime_ns != at} == {"t1"}
    # The frozen tile looks as the first one does, under another headline.
    unchecked = drawn(tmp_path / "unchecked", section, model, check_grabs=False)
    assert np.array_equal(unchecked["t1"], first["t1"])
    assert not np.array_equal(unchecked["t2"], first["t2"])
    assert np.array_equal(unchecked["t2"][76:], first["t2"][76:])


def test_pages_of_a_run_that_was_ended_are_judged_with_the_rest(model, tmp_path):
    good, poor = coded_rating.plane(GOOD), coded_rating.plane(POOR)
    planes = np.stack([good, poor, good, poor])
    tifffile.imwrite(tmp_path / "s.tif", planes, ome=True, metadata={"axes": "TYX"})
    out = tmp_path / "out"

    def settings(limit):
        return Settings(measures=(Rating(model, score_limit=limit),))

    files = find([tmp_path / "s.tif"])
    with Run(settings(0.5), files, out) as run:
        rows = run.measure()
        for _ in range(3):
            next(rows)
        rows.close()
    with Run(settings(0.95), files, out) as run:
        for _ in run.measure():
            pass
        run.finish()
        assert run.n_rows == 1
    found = [(row["status"], row["fault"], row["message"]) for row in table(out / "results.csv")]
    assert found == [
        ("poor", "", ""),
        ("poor", "", ""),
        ("failed_grab", "frozen", "It is the same as t0."),
        ("failed_grab", "frozen", "It is the same as t1."),
    ]


def test_each_section_of_a_stack_counts(model, tmp_path):
    planes = np.stack([coded_rating.plane(GOOD), coded_rating.plane(POOR)])
    tifffile.imwrite(tmp_path / "s.tif", planes, ome=True, metadata={"axes": "ZYX"})
    out = tmp_path / "out"
    rated(tmp_path / "s.tif", out, model)
    assert [(row["z"], row["status"]) for row in table(out / "results.csv")] == [
        ("0", "good"),
        ("1", "poor"),
    ]
    assert not (out / "stacks.csv").exists()


def test_a_cluster_has_the_model_by_its_whole_path(model, monkeypatch):
    path = Path(model)
    monkeypatch.chdir(path.parent)
    assert Rating(path.name).on_any_machine() == Rating(str(path))
    assert Rating().on_any_machine() == Rating()


# Python.


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"paths": np.zeros((9, 9))}, ArgumentError, "rate_image takes arrays"),
        ({"model": 5}, ArgumentError, "model must be the name or folder of a model"),
        ({"patches": "all"}, ArgumentError, "patches must be a whole number"),
        ({"score_limit": "0.5"}, ArgumentError, "score_limit must be a number, not '0.5'"),
        ({"check_grabs": 1}, ArgumentError, "check_grabs must be True or False, not 1"),
        ({"seed": -1}, SettingsError, "seed must be a whole number"),
        ({"per_patch": True}, SettingsError, "per_patch needs `out`"),
        ({"settings": Settings(), "patches": 3}, SettingsError, "must be said in `settings`"),
    ],
)
def test_misuse_of_rate_files_is_a_sentence(arguments, kind, said, section, model):
    with pytest.raises(kind, match=said):
        rate_files(**{"paths": section, "model": model, **arguments})


# Watches.


@pytest.mark.long
def test_a_watch_tells_what_to_do_and_a_later_one_judges_by_its_own_limit(section, model, tmp_path):
    (section / "t5.tif").unlink()
    where = WatchSettings(section, tmp_path / "out", still_seconds=0.1, jobs=1, once=True)
    heard = []
    for limit in (0.5, 0.95):
        settings = Settings(measures=(Rating(model, score_limit=limit),))
        with Watch(where, settings) as watch, WatchAlerts(watch, Threshold(0.35)):
            watch.attach(heard.append)
            ended = watch.run()
        assert (ended.measured, ended.images) == (4 if limit == 0.5 else 0, 4)
        found = {row["file"]: row["status"] for row in read_table(where.out / "results.csv")}
        first = "good" if limit == 0.5 else "poor"
        assert found == {
            "t1.tif": first,
            "t2.tif": "failed_grab",
            "t3.tif": "poor",
            "t4.tif": "failed_grab",
        }
        assert dict(ended.counts)[first] == (1 if limit == 0.5 else 2)
    assert not (where.out / "older").exists()
    alerts = [event.alert for event in heard if isinstance(event, AlertRaised)]
    assert [one.reason for one in alerts] == [
        "t2.tif is a failed grab: it is the same as t1.tif; retake",
        "t3.tif is at score 0.30, below 0.35: blur; refocus",
        "t4.tif is a failed grab: of its 512 lines, the last 60 have one value each; retake",
    ]
    facts = alerts[1].facts
    assert (facts["status"], facts["cause"], facts["action"]) == ("poor", "blur", "refocus")
    assert facts["score"] == pytest.approx(0.3, abs=ROUNDING)
    assert facts["blur_px"] > 3


def test_a_threshold_asks_for_what_to_do_by_its_own_limit(rating, good):
    row = {**good, "file": "a.tif", "error": "", "series": "", "z": "", "c": "", "t": ""}
    verdict = verdict_of([PlaneRow.of(rating, row)])
    assert Threshold(0.5).reason("a.tif", verdict) == ""
    said = "a.tif is at score 0.80, below 0.9: blur; refocus"
    assert Threshold(0.9).reason("a.tif", verdict) == said
    failed = {**row, **rating.judged_again(row, "b.tif")}
    verdict = verdict_of([PlaneRow.of(rating, failed)])
    assert Threshold(statuses=frozenset({"poor"})).reason("a.tif", verdict) == ""
    assert Threshold.usual(rating).reason("a.tif", verdict).startswith("a.tif is a failed grab: ")
