"""What rows of a table say, and that no row says nonsense."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_results import plane_row as written_row

from microscope_quality.errors import FileError
from microscope_quality.files.tables import as_text, run_columns
from microscope_quality.measuring.page import Place
from microscope_quality.measuring.rows import STATUSES, PlaneRow, fault_of_row, plane_row

COLUMNS = run_columns(11)


def row(**more):
    return as_text(written_row("a.tif", 2.5, **more), COLUMNS)


def test_numbers_of_a_row():
    plane = plane_row(row(z=3, defocus_um=1.5, message="small"))
    assert isinstance(plane, PlaneRow)
    assert (plane.name, plane.place, plane.status) == ("a.tif", Place(z=3), "out_of_focus")
    assert (plane.level, plane.expected_level, plane.defocus_um) == (2, 2.5, 1.5)
    assert plane.probabilities.tolist() == [0, 0, 0.5, 0.5, *[0] * 7]
    assert all(map(math.isnan, plane.interval))
    assert plane.message == "small"


def test_a_row_with_an_error_has_no_numbers():
    plane = plane_row(as_text({"file": "a.tif", "error": "is empty"}, COLUMNS))
    assert plane.error == "is empty"
    assert math.isnan(plane.level)


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
    said = fault_of_row({**row(), column: text})
    assert said.startswith((f"{column} is ", "p0 to p10 come to "))
    with pytest.raises(FileError, match=r"^results\.csv .*'a\.tif', ") as refusal:
        plane_row({**row(), column: text})
    assert said in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("column", ["file", "status", "level", "p0", "error"])
def test_a_table_that_lacks_a_column(column):
    lacking = {name: text for name, text in row().items() if name != column}
    with pytest.raises(FileError, match=f"the column {column} is missing"):
        plane_row(lacking)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(COLUMNS), st.text(max_size=20)))
def test_any_row_is_a_plane_or_an_error(changes):
    try:
        plane = plane_row({**row(), **changes})
    except FileError as error:
        assert "results.csv" in str(error)
        return
    assert plane.error or plane.status in STATUSES
    numbers = (plane.level, plane.expected_level, plane.certainty, plane.defocus_um)
    assert not any(map(math.isinf, (*numbers, *plane.interval, *plane.probabilities)))
    assert plane.error or plane.status == "no_content" or not math.isnan(plane.level)
