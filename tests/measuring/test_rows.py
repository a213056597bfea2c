"""What rows of a table say, and that no row says nonsense."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_results import COLUMNS, SETTINGS
from written_results import plane_row as written_row

from microscope_quality.errors import FileError
from microscope_quality.files.tables import as_text
from microscope_quality.measuring.items import Place
from microscope_quality.measuring.rows import (
    PlaneRow,
    RowReader,
    StackSizes,
    representative_of,
    stack_row,
)

FOCUS = SETTINGS.measure
READER = RowReader(FOCUS, SETTINGS.columns()["results.csv"])


def row(level=2.5, **more):
    return as_text(written_row("a.tif", level, **more), COLUMNS)


def test_a_row_of_a_plane():
    plane = READER.plane(row(z=3, defocus_um=1.5, message="small"))
    assert isinstance(plane, PlaneRow)
    assert (plane.name, plane.place, plane.status) == ("a.tif", Place(z=3), "out_of_focus")
    assert (plane.kind.words, plane.error) == ("out of focus", "")
    assert (FOCUS.number(plane.row), FOCUS.judged(plane.row)) == (2.5, 2.5)


def test_a_row_with_an_error_has_no_numbers():
    plane = READER.plane(as_text({"file": "a.tif", "error": "is empty"}, COLUMNS))
    assert (plane.error, plane.status) == ("is empty", "error")
    assert math.isnan(FOCUS.number(plane.row))
    assert FOCUS.judged(plane.row) is None


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("status", "BAD"),
        ("status", ""),
        ("status", "error"),
        ("level", "nan"),
        ("level", "-1"),
        ("level", "11"),
        ("level", "2.5"),
        ("level", "9" * 5000),
        ("expected_level", "inf"),
        ("expected_level", "1e999"),
        ("expected_level", "11"),
        ("expected_level", ""),
        ("certainty", "2"),
        ("certainty", "x"),
        ("defocus_um", "-inf"),
        ("p2", "1.5"),
        ("p2", "-0.5"),
        ("p2", "0.4"),
        ("p2", ""),
        ("z", "-1"),
        ("z", "1e3"),
        ("c", "99999999999"),
        ("series", "one"),
        ("expected_level_low", "nan"),
        ("width", "-5"),
        ("saturated_fraction", "50%"),
    ],
)
def test_nonsense_is_refused_by_its_column(column, text):
    said = READER.fault({**row(), column: text})
    assert said.startswith((f"{column} is ", "p0 to p10 come to "))
    with pytest.raises(FileError, match=r"^results\.csv .*'a\.tif', ") as refusal:
        READER.plane({**row(), column: text})
    assert said in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("column", ["file", "status", "level", "p0", "error"])
def test_a_table_that_lacks_a_column(column):
    lacking = {name: text for name, text in row().items() if name != column}
    with pytest.raises(FileError, match=f"the column {column} is missing"):
        READER.plane(lacking)


@pytest.mark.long
@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(COLUMNS), st.text(max_size=20)))
def test_any_row_is_a_plane_or_an_error(changes):
    try:
        plane = READER.plane({**row(), **changes})
    except FileError as error:
        assert "results.csv" in str(error)
        return
    assert plane.kind in FOCUS.all_statuses
    number, judged = FOCUS.number(plane.row), FOCUS.judged(plane.row)
    assert not math.isinf(number)
    assert plane.kind.is_judged == (judged is not None)
    # Whoever draws it needs no further look at it.
    assert FOCUS.in_words(plane.row)
    assert FOCUS.headline(plane.row)
    assert all(cell.head for cell in FOCUS.cells(plane.row))


def stack(*levels, **more):
    return [READER.plane(row(z=z, **written(level), **more)) for z, level in enumerate(levels)]


def written(level):
    if level is None:
        return {"error": "is empty", "status": ""}
    return {name: written_row("", level)[name] for name in ("level", "expected_level", "status")}


def test_the_row_of_a_stack():
    planes = stack(6, 1, 0, 1.5, 7)
    found = stack_row(planes)
    assert (found["best_z"], found["status"]) == (2, "in_focus")
    assert found["expected_level"] == 0
    assert representative_of(planes, found) is planes[2]
    # A plane that could not be measured leaves a gap.
    assert stack_row(stack(6, None, 0, 1.5))["best_z"] == 2


def test_of_no_stack_and_of_nothing_measured_there_is_no_row():
    assert stack_row([READER.plane(row())]) is None
    assert stack_row(stack(None, None)) is None


def sizes(*stacks, **more):
    found = StackSizes()
    for name, n_planes in stacks:
        found.add([PlaneRow.of(FOCUS, row(z=z, stack=name, **more)) for z in range(n_planes)])
    return found.said()


def test_stacks_of_different_folders_are_compared_where_their_places_are_known():
    stacks = [("a/z*.tif", 5), ("b/z*.tif", 3)]
    assert sizes(*stacks) == ""
    said = "A z-stack has fewer planes than others of its channel: a/y*.tif has 4 of 5."
    assert sizes(*stacks, ("a/y*.tif", 4)) == said
    # Such as folders of positions.
    said = "A z-stack has fewer planes than others of its channel: b/z*.tif has 3 of 5."
    assert sizes(*stacks, site="1") == said
    assert sizes(*stacks, well="A01") == said
