"""Focus as a measure: what its rows mean, and how far they are to be believed."""

from __future__ import annotations

import json
import math

import coded
import numpy as np
import pytest
import tifffile
from written_results import COLUMNS, SETTINGS, plane_row

from microscope_quality.errors import SettingsError
from microscope_quality.files.images import planes
from microscope_quality.files.tables import as_text
from microscope_quality.focus import measure_focus
from microscope_quality.measuring.focus import Focus

FOCUS = SETTINGS.measure


def row(level=2.5, **more):
    return as_text(plane_row("a.tif", level, **more), COLUMNS)


@pytest.mark.parametrize(
    ("odds", "more", "how_much", "why"),
    [
        ([0.5, 0.5], {}, 0, "could be out of focus: 0%"),
        ([0, 0.5, 0.5], {}, 1, "could be out of focus: 50%"),
        ([0.5, 0.25, 0.25], {}, 0.5, "could be out of focus: 25%"),
        ([0, 0.1, 0.9], {}, 0.2, "could be out of focus: 10%"),
        # Of a limit of 1.5.
        ([0, 0.9, 0.1], {}, 0.2, "could be out of focus: 10%"),
        ([0.1, 0, 0.9], {"status": "out_of_focus"}, 0.2, "could be in focus: 10%"),
        ([1], {"certainty": 0.15}, 0.5, "low certainty"),
        ([1], {"status": "mixed"}, 1, "parts at different levels"),
        ([0, 0.5, 0.5], {"status": "no_content"}, 0, ""),
        ([0, 0.5, 0.5], {"error": "is empty"}, 0, ""),
    ],
)
def test_doubt_by_hand(odds, more, how_much, why):
    given = {f"p{k}": p for k, p in enumerate([*odds, *[0] * (11 - len(odds))])}
    changed = row(**{"certainty": 0.9, "status": "in_focus", **given, **more})
    assert FOCUS.doubt(changed) == (pytest.approx(how_much), why)


def test_doubt_goes_by_the_run_s_own_limit():
    """A limit between two levels has a share of the next one."""
    odds = {f"p{k}": p for k, p in enumerate([0.6, 0.2, 0.2, *[0] * 8])}
    for limit, close in ((0, 0.6), (0.5, 0.8), (1, 0.6), (1.5, 0.4), (1.75, 0.3), (2.5, 0)):
        one = Focus(in_focus_limit=limit, known=(11, 0.3))
        assert one.doubt(row(certainty=0.9, status="in_focus", **odds))[0] == pytest.approx(close)


@pytest.mark.parametrize(
    ("level", "expected", "status", "short"),
    [
        (5, 5.25, "out_of_focus", "5.2"),
        (0, 2.31, "out_of_focus", "2.3"),
        (1, 3.6, "mixed", "3.6"),
        (0, 0.4, "mixed", "0.4"),
        (3, 3, "no_content", ""),
    ],
)
def test_what_a_plane_is_judged_by_is_what_is_shown(level, expected, status, short):
    one = row(status=status) | {"level": str(level), "expected_level": str(expected)}
    assert FOCUS.judged(one) == (expected if short else None)
    assert FOCUS.short(one) == short
    cell = FOCUS.cells(one)[0]
    assert (cell.head, "".join(text for text, _ in cell.parts)) == ("Level", short or "–")
    told = f"level {short}" if short else ""
    assert told in FOCUS.in_words(one)
    assert told.capitalize() in FOCUS.headline(one)
    assert f"level {level:g}" not in FOCUS.in_words(one).replace(told, "")


def test_a_row_of_a_plane_is_right(tmp_path):
    """As the library measures it, and written as a table has it."""
    coded.write(tmp_path / "model")
    tifffile.imwrite(tmp_path / "a.tif", coded.plane(coded.BLURRED))
    (plane,) = planes(tmp_path / "a.tif")
    focus = Focus(model=str(tmp_path / "model"))
    result = focus.run(plane)
    alone = measure_focus(plane.array, tmp_path / "model")
    assert {key: result.row[key] for key in alone.to_row()} == pytest.approx(
        alone.to_row(), nan_ok=True
    )
    patches = list(result.patches())
    assert [patch["level"] for patch in patches] == alone.patch_levels.tolist()
    written = as_text({"file": "a.tif", **result.row}, COLUMNS)
    assert focus.fault(written) == ""
    assert focus.in_words(written) == "out of focus, level 8.0, certainty " + (
        f"{alone.certainty:.2f}"
    )
    # The largest side is that of the picture that was asked for.
    assert max(result.drawn(40).shape) == 40
    assert result.drawn(40).dtype == np.uint8


def test_what_a_record_tells(tmp_path):
    coded.write(tmp_path / "model")
    focus = Focus(
        model=str(tmp_path / "model"),
        in_focus_limit=3.5,
        sample=9,
        rescale=True,
        optics={"na": 0.5},
    )
    record = {"settings": focus.settings(), "model": focus.facts()}
    found = Focus.recorded(record, COLUMNS)
    assert (found.model, found.in_focus_limit, found.is_sample) == (focus.model, 3.5, True)
    assert (found.levels, found.sure_certainty) == (coded.LEVELS, coded.SURE)
    # What is drawn again is the whole plane, as its row says that it was measured.
    optics = "na=0.5,n=1,wavelength_um=0.5,pixel_size_um=0.65"
    again = found.repeated(row() | {"optics": optics})
    assert not again.is_sample
    assert (again.rescale, again.optics["pixel_size_um"]) == ("on", 0.65)
    # A row without optics was measured as it is.
    assert (found.repeated(row()).rescale, found.repeated(row()).optics) == ("off", {})


@pytest.mark.parametrize(
    ("recorded", "rescale"),
    [(True, "on"), (False, "off"), ("auto", "auto"), ("on", "on"), (None, "off"), ("x", "off")],
)
def test_a_record_tells_of_rescaling_as_older_versions_did(recorded, rescale):
    record = {"settings": {"rescale": recorded}}
    assert Focus.recorded(record, COLUMNS).rescale == rescale
    assert Focus.recorded({}, COLUMNS).rescale == "off"


@pytest.mark.parametrize(
    ("rescale", "said"), [("auto", "auto"), ("off", "off"), (True, "on"), (False, "off")]
)
def test_rescaling_is_a_setting_of_a_run(rescale, said):
    measure = Focus(rescale=rescale, known=(11, 0.3))
    measure.check()
    assert measure.settings()["rescale"] == said
    assert not measure.reads_whole
    with pytest.raises(SettingsError, match="rescale must be auto, on, off"):
        Focus(rescale="yes", known=(11, 0.3)).check()


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"settings": 1, "model": []},
        {"settings": {"in_focus_limit": -5, "sample": "x", "model": 3}},
        {"settings": {"in_focus_limit": 99}, "model": {"sure_certainty": math.inf}},
        {"model": {"sure_certainty": "x"}},
    ],
)
def test_a_record_that_says_nonsense_gives_what_is_usual(record):
    found = Focus.recorded(record, COLUMNS)
    assert (found.in_focus_limit, found.levels, found.model) == (1.5, 11, None)
    assert 0 <= found.sure_certainty <= 1


@pytest.mark.parametrize(
    ("written", "limit"),
    [("1", 1.5), ("0", 0.5), ("10", 10), ("1.5", 1.5), ("2.0", 2), ("10.5", 1.5), ("true", 1.5)],
)
def test_a_whole_limit_is_that_of_an_older_version(written, limit):
    """Which compared the most probable level: 1.4 was in focus at a limit of 1."""
    record = json.loads(f'{{"settings": {{"in_focus_limit": {written}}}}}')
    assert Focus.recorded(record, COLUMNS).in_focus_limit == limit


@pytest.mark.parametrize("limit", [0, 2, 2.0, 10])
def test_a_whole_limit_of_today_is_read_as_it_was_given(limit):
    settings = Focus(in_focus_limit=limit, known=(11, 0.3)).settings()
    read = json.loads(json.dumps({"settings": settings}))
    assert Focus.recorded(read, COLUMNS).in_focus_limit == limit


def test_the_kind_of_optics_that_is_told():
    focus = Focus(optics={"na": 0.5, "refractive_index": 1.0})
    assert focus.settings()["optics"] == "na=0.5,n=1"


@pytest.mark.parametrize(
    ("status", "shown", "details"),
    [
        ("out_of_focus", ["2.5", "8.4"], ["certainty 0.80", "8.4 µm"]),
        ("no_content", ["–", "–"], []),
    ],
)
def test_without_content_no_number_is_shown(status, shown, details):
    optics = "na=0.5,n=1,wavelength_um=0.5,pixel_size_um=0.65"
    told = row(status=status, defocus_um=8.4) | {"optics": optics}
    cells = {cell.head: cell.parts[0][0] for cell in FOCUS.cells(told) if cell.parts}
    assert [cells["Level"], cells["Defocus µm"]] == shown
    assert FOCUS.details(told) == details
    without = {cell.head: cell.parts[0][0] for cell in FOCUS.cells(row()) if cell.parts}
    assert without["Defocus µm"] == ""
