"""The rate command: tables, pictures and screens of images of an electron microscope."""

from __future__ import annotations

import json
import re

import coded
import coded_rating
import numpy as np
import pytest
import tifffile
from command_line import counts, measure, pictures, run, table
from openpyxl import load_workbook

from microscope_quality.components import LOWEST_GOOD_SCORE

# What a coded patch may be off: it has whole numbers of bright pixels.
ROUNDING = 0.005


@pytest.fixture(scope="session")
def rater(tmp_path_factory):
    """The rater that reads coded patches."""
    folder = tmp_path_factory.mktemp("models") / "rater"
    coded_rating.write(folder)
    return folder


@pytest.fixture
def section(tmp_path):
    """Tiles: good, poor, the same as that, and one without structure."""
    folder = tmp_path / "section"
    folder.mkdir()
    good, poor = (coded_rating.plane([[score] * 2] * 2) for score in (0.9, 0.3))
    blank = np.random.default_rng(1).normal(5000, 300, (512, 512)).astype(np.uint16)
    for name, plane in (("r0_c0", good), ("r0_c1", poor), ("r0_c2", poor), ("r0_c3", blank)):
        tifffile.imwrite(folder / f"{name}.tif", plane)
    return folder


STATUSES = ["good", "poor", "failed_grab", "no_content"]


def rate(*arguments, code=0):
    """Rate by one process, and by a limit of 0.5, unless it is said otherwise."""
    arguments += () if "--jobs" in arguments else ("--jobs", 1)
    arguments += () if "--score-limit" in arguments else ("--score-limit", 0.5)
    return run("rate", *arguments, code=code)


def test_the_screen_says_what_is_wrong_and_what_to_do(section, rater):
    said = rate(section, "--model", rater).stdout
    lines = {line.split()[0]: line for line in said.splitlines() if line.startswith("r0_")}
    assert re.search(r" 0\.90 +0\.9 +● good", lines["r0_c0.tif"])
    assert re.search(r" 0\.30 +3\.5 +blur; refocus +○ poor", lines["r0_c1.tif"])
    assert re.search(r"– .*frozen; retake +! failed grab", lines["r0_c2.tif"])
    assert re.search(r"– +· no content", lines["r0_c3.tif"])
    assert "r0_c2.tif: It is the same as r0_c1.tif." in said
    assert "model coded rater" in said


def test_many_tiles_are_counted_by_cause(section, rater):
    poor = coded_rating.plane([[0.3] * 2] * 2)
    for number in range(24):
        plane = poor.copy()
        plane[0, 0] = number
        tifffile.imwrite(section / f"r1_c{number}.tif", plane)
    said = rate(section, "--model", rater).stdout
    assert re.search(r"Cause +What to do +Images *\nblur +refocus +25\nfrozen +retake +1", said)
    assert re.search(r"Lowest scores +Score.*\nr\S+ +0\.30 +blur; refocus", said)
    assert re.search(r"○ poor +25 +89\.3%", said)


def test_tables_pictures_and_copies(section, rater, tmp_path):
    from pyarrow import parquet

    out = tmp_path / "out"
    options = ("--per-patch", "--overlay", "all", "--parquet", "--xlsx", "--report")
    rate(section, "--out", out, "--model", rater, *options)
    rows = table(out / "results.csv")
    assert [row["status"] for row in rows] == STATUSES
    columns = (
        "width height score blur_px elongation angle_deg noise line_noise jitter_px status cause "
        "action saturated_fraction"
    )
    assert " ".join([*rows[0]][8:21]) == columns
    of_poor = [one for one in table(out / "patches.csv") if one["file"] == "r0_c1.tif"]
    assert len(of_poor) == 4
    mean = np.mean([float(one["score"]) for one in of_poor])
    assert float(rows[1]["score"]) == pytest.approx(mean, abs=1e-5)
    assert len(pictures(out)) == 4
    copied = parquet.read_table(out / "results.parquet").to_pylist()
    sheet = list(load_workbook(out / "results.xlsx").active.values)
    at = sheet[0].index("score")
    for row, copy, cells in zip(rows, copied, sheet[1:], strict=True):
        score = float(row["score"]) if row["score"] else None
        assert copy["score"] == cells[at] == score
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "1 of 4 images is good; 1 is poor, 1 is of a failed grab and 1 is without enough" in page
    found = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert found["settings"]["measures"] == ["rating"]
    assert found["settings"]["score_limit"] == 0.5
    assert found["model"]["name"] == "coded rater"
    assert {name: counts(out)[name] for name in STATUSES} == dict.fromkeys(STATUSES, 1)


def test_another_limit_takes_the_rows_that_are_there(section, rater, tmp_path):
    out = tmp_path / "out"
    rate(section, "--out", out, "--model", rater)
    said = rate(section, "--out", out, "--model", rater, "--score-limit", 0.2).stdout
    assert "4 files were measured before" in said
    assert [row["status"] for row in table(out / "results.csv")][:2] == ["good", "good"]
    again = rate(section, "--out", out, "--model", rater, "--again").stdout
    assert "measured before" not in again
    said = run("select", out, "--limit", 0.95).stdout
    assert "0 images kept, 4 rejected (score from 0.95 is kept)." in said
    rejected = {row["file"]: row for row in table(out / "rejected.csv")}
    # Good by the limit that it was judged by, it has a cause by this one.
    assert (rejected["r0_c0.tif"]["cause"], rejected["r0_c0.tif"]["reason"]) == ("blur", "score")
    assert rejected["r0_c2.tif"]["reason"] == "failed_grab"
    run("select", out, "--limit", 0.2)
    assert [row["file"] for row in table(out / "kept.csv")] == ["r0_c0.tif", "r0_c1.tif"]


def test_rows_for_other_programs(section, rater):
    rows = json.loads(rate(section, "--model", rater, "--format", "json").stdout)
    assert [row["file"] for row in rows if row["action"] == "retake"] == ["r0_c2.tif"]
    assert rows[3]["score"] is None


def test_failed_grabs_need_not_be_told_apart(section, rater):
    rows = json.loads(
        rate(section, "--model", rater, "--format", "json", "--no-check-grabs").stdout
    )
    assert [row["status"] for row in rows][:3] == ["good", "poor", "poor"]


def test_places_are_drawn_by_the_seed(tmp_path, rater):
    scores = np.random.default_rng(2).uniform(0.3, 1, (8, 8)).round(2).tolist()
    path = tmp_path / "mosaic.tif"
    tifffile.imwrite(path, coded_rating.plane(scores), tile=(256, 256))

    def row(*options):
        said = rate(path, "--model", rater, "--patches", 4, "--format", "json", *options).stdout
        return json.loads(said)[0]

    first, again, other = row(), row("--seed", 0), row("--seed", 1)
    assert first["score"] == again["score"] != other["score"]
    assert first["patches"] == 24
    assert first["score_low"] < first["score"] < first["score_high"]
    half = max(first["score"] - first["score_low"], first["score_high"] - first["score"])
    said = rate(path, "--model", rater, "--patches", 4).stdout
    assert re.search(rf"± 95 %.*\n\S+ +{first['score']:.2f} +{half:.2f} ", said)


def test_a_file_that_is_no_image_is_a_row_and_the_rest_goes_on(section, rater, tmp_path):
    (section / "r0_c4.tif").write_bytes(b"nothing")
    said = rate(section, "--model", rater, "--out", tmp_path / "out", code=1).stdout
    assert "r0_c4.tif" in said
    rows = table(tmp_path / "out" / "results.csv")
    assert [bool(row["error"]) for row in rows] == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--score-limit", 7), "rate: --score-limit must be from 0.1 to 1, not 7"),
        (("--model", "compact"), "is a model of the task 'focus', not of rating"),
        (("--model", "nowhere"), "There is no model named 'nowhere'"),
        (("--report",), "--report needs --out, a folder to write to"),
        (("--per-patch",), "--per-patch needs --out"),
        (("--jobs", 2, "--cluster", "here"), "--jobs is for this machine; --cluster measures"),
        (("--out", "table.csv"), "For one table as a file: --format csv > table.csv"),
    ],
)
def test_wrong_use_is_refused_in_the_words_that_were_typed(options, said, section, rater):
    options += () if "--model" in options else ("--model", rater)
    arguments = () if "--jobs" in options else ("--jobs", 1)
    assert said in run("rate", section, *options, *arguments, code=2).stderr


def test_the_help_says_the_limit_that_holds():
    page = re.sub(r"[│\s]+", " ", run("rate", "--help").stdout)
    (said,) = re.findall(r"counts as good.*?default: \(?([\d.]+)", page)
    assert float(said) == LOWEST_GOOD_SCORE


def test_measure_rates_beside_another_measure(section, rater, tmp_path):
    coded.write(tmp_path / "focus")
    out = tmp_path / "out"
    measure(section, "--measures", "classical,rating", "--model", rater, "--out", out)
    rows = table(out / "results.csv")
    assert [row["action"] for row in rows] == ["", "refocus", "retake", ""]
    assert {row["status"] for row in rows} == {"measured"}
    said = run("measure", section, "--measures", "rating", "--rescale", "on", code=2).stderr
    assert "--rescale is a setting of focus" in said


def test_watch_tells_what_to_do(section, rater, tmp_path):
    out = tmp_path / "out"
    options = ("--rate", "--model", rater, "--score-limit", 0.5, "--alert-score", 0.4)
    watched = ("--once", "--interval", 0.1, "--jobs", 1)
    said = run("watch", section, "--out", out, *options, *watched).stdout
    assert "ALERT  r0_c1.tif is at score 0.30, below 0.4: blur; refocus" in said
    assert "ALERT  r0_c2.tif is a failed grab: it is the same as r0_c1.tif; retake" in said
    assert [row["status"] for row in table(out / "results.csv")] == STATUSES
    told = [json.loads(line) for line in (out / "alerts.jsonl").read_text().splitlines()]
    assert [(one["cause"], one["action"]) for one in told] == [
        ("blur", "refocus"),
        ("frozen", "retake"),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--measures", "classical"), "--rate is for --measures rating; do not give both"),
        (("--alert-score", 0.1), "--alert-level is 0.1, but no score is below it: they end at"),
        (("--alert-status", "mixed"), "--alert-status has 'mixed', which is none of poor, failed"),
    ],
)
def test_a_watch_that_rates_refuses_what_no_rating_has(options, said, section, rater, tmp_path):
    out = tmp_path / "out"
    given = ("--out", out, "--rate", "--model", rater, "--once", *options)
    assert said in run("watch", section, *given, code=2).stderr
