"""``microscope-quality retake``: its list, and what it prints."""

import json

import command_line
import pytest
from rated_results import failed_grab, rated_row, write
from written_results import failed_row, plane_row, write_results


def run(*arguments, code=0):
    return command_line.run("retake", *arguments, code=code)


def at(minute):
    return f"2026-01-01T10:{minute:02}:00.000000000Z"


@pytest.fixture
def rated(tmp_path):
    rows = [
        rated_row("s1/r00_c00.tif", 0.95),
        rated_row("s1/r00_c01.tif", 0.3, blur_px=4, cause="blur", action="refocus"),
        rated_row("s1/r00_c02.tif", 0.6, noise=0.8),
        rated_row(
            "s1/r01_c00.tif",
            0.9,
            saturated_fraction=0.2,
            fault="saturated",
            cause="saturated",
            action="look",
            message="Clipped.",
        ),
        failed_grab("s1/r01_c01.tif", "cut", message="The last 20 lines have one value each."),
        {**rated_row("s1/r01_c02.tif"), "score": "", "status": "no_content", "fault": "blank"},
        failed_row("s1/r02_c00.tif", "is cut short"),
    ]
    return write(tmp_path / "rated", rows)


def test_the_list_has_every_tile_and_what_to_do_about_it(rated):
    done = run(rated)
    lines = command_line.table(rated / "retake.csv")
    assert list(lines[0]) == [
        *("tile", "score", "cause", "action", "retake", "fault", "row", "column", "message")
    ]
    told = [tuple(line.values()) for line in lines]
    cut, clipped = "The last 20 lines have one value each.", "Clipped."
    assert told == [
        ("s1/r00_c00.tif", "0.95", "", "", "no", "", "0", "0", ""),
        ("s1/r00_c01.tif", "0.3", "blur", "refocus", "yes", "", "0", "1", ""),
        ("s1/r00_c02.tif", "0.6", "", "", "no", "", "0", "2", ""),
        ("s1/r01_c00.tif", "0.9", "saturated", "look", "no", "saturated", "1", "0", clipped),
        ("s1/r01_c01.tif", "", "cut", "retake", "yes", "cut", "1", "1", cut),
        ("s1/r01_c02.tif", "", "no content", "look", "no", "blank", "1", "2", ""),
        ("s1/r02_c00.tif", "", "not read", "retake", "yes", "", "2", "0", "is cut short"),
    ]
    assert done.stdout.splitlines() == [
        "3 of 7 tiles to retake (scores from 0.5 are good).",
        "Retake: 1 blur (refocus), 1 cut (retake), 1 not read (retake).",
        "Look at: 1 saturated, 1 no content.",
        f"Written to {rated / 'retake.csv'}.",
    ]
    assert "s1/r02_c00.tif is cut short" in done.stderr
    assert {path.name for path in rated.iterdir()} == {"results.csv", "run.json", "retake.csv"}


def test_another_limit_changes_what_is_good_without_the_images(rated, tmp_path):
    out = tmp_path / "list.json"
    run(rated / "results.csv", "--score-limit", 0.7, "--out", out)
    listed = {one["tile"]: one for one in json.loads(out.read_text("utf-8"))}
    assert listed["s1/r00_c02.tif"] == {
        "tile": "s1/r00_c02.tif",
        "score": 0.6,
        "cause": "noise",
        "action": "retake",
        "retake": True,
        "fault": "",
        "row": 0,
        "column": 2,
        "message": "",
    }
    assert listed["s1/r02_c00.tif"]["score"] is None
    run(rated, "--score-limit", 0.2, "-o", out)
    again = {one["tile"] for one in json.loads(out.read_text("utf-8")) if one["retake"]}
    assert again == {"s1/r01_c01.tif", "s1/r02_c00.tif"}


def test_of_two_equal_frames_the_later_one_is_taken_again(tmp_path):
    # The scan goes to and fro: the order of names is not that of time.
    same = {"frame_digest": "ab" * 16}
    rows = [
        rated_row("r0_c0.tif", modified=at(0)),
        rated_row("r0_c1.tif", modified=at(1)),
        rated_row("r1_c0.tif", modified=at(3), **same),
        failed_grab("r1_c1.tif", "frozen", modified=at(2), score="0.9", **same),
    ]
    rated = write(tmp_path / "rated", rows)
    run(rated)
    again = [line["tile"] for line in command_line.table(rated / "retake.csv")]
    lines = command_line.table(rated / "retake.csv")
    assert again == ["r0_c0.tif", "r0_c1.tif", "r1_c0.tif", "r1_c1.tif"]
    assert [line["retake"] for line in lines] == ["no", "no", "yes", "no"]
    assert (lines[2]["fault"], lines[2]["message"]) == ("frozen", "It is the same as r1_c1.tif.")
    # Without times, that of names.
    rated = write(tmp_path / "rated", [{**row, "modified": ""} for row in rows])
    run(rated)
    lines = command_line.table(rated / "retake.csv")
    assert [line["retake"] for line in lines] == ["no", "no", "no", "yes"]


def test_names_may_tell_of_places_in_another_way(tmp_path):
    rated = write(tmp_path / "rated", [rated_row("a-07-03.tif"), rated_row("=1+1.tif")])
    run(rated, "--pattern", r"-(?P<row>\d+)-(?P<column>\d+)")
    lines = command_line.table(rated / "retake.csv")
    assert [(line["tile"], line["row"], line["column"]) for line in lines] == [
        ("a-07-03.tif", "7", "3"),
        ("'=1+1.tif", "", ""),
    ]
    run(rated)
    assert "row" not in command_line.table(rated / "retake.csv")[0]
    # As it was rated, without being told again.
    settings = {"measures": ["rating"], "pattern": r"-(?P<row>\d+)-(?P<column>\d+)"}
    write(tmp_path / "rated", [rated_row("a-07-03.tif")], settings=settings)
    run(rated)
    assert command_line.table(rated / "retake.csv")[0]["row"] == "7"


def test_it_refuses_and_leaves_what_is_there(rated, tmp_path):
    mine = tmp_path / "mine.json"
    mine.write_text('{"a": 1}')
    for arguments, said in [
        (["--score-limit", 7], "--score-limit must be from 0.1 to 1, not 7"),
        (["--out", rated / "results.csv"], "is not a table of this kind"),
        (["--out", mine], "is no list of tiles"),
        (["--out", tmp_path / "x.txt"], "--out must end in .csv or .json, not as 'x.txt' does"),
        (["--out", tmp_path / "no" / "x.csv"], "there is no folder"),
        (["--pattern", "("], "--pattern is no regular expression"),
    ]:
        assert said in run(rated, *arguments, code=2).stderr
    assert mine.read_text() == '{"a": 1}'
    focus = write_results(tmp_path / "focus", [plane_row("a.tif")])
    assert "only ratings tell what to retake" in run(focus, code=2).stderr
    assert not list(tmp_path.rglob("retake.csv"))
