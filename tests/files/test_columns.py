"""Fields of tables as values of their columns."""

import math

import numpy as np
import pytest

from microscope_quality.files.columns import Column, names, result_columns, without_checksum


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("integer", "12", 12),
        ("integer", 8.0, 8),
        ("integer", np.int64(3), 3),
        # More than a float can hold.
        ("integer", "9007199254740993", 9007199254740993),
        ("number", "0.25", 0.25),
        ("share", np.float64(0.1), 0.1),
        ("number", np.float32(0.5), 0.5),
        ("number", 7, 7.0),
        ("signed", -0.0, 0.0),
        ("text", "01", "01"),
        ("time", "2026-11-30T08:10:04Z", "2026-11-30T08:10:04Z"),
        # A name that is no valid text, as file systems allow.
        ("text", "a\udcff", "a\\udcff"),
    ],
)
def test_a_field_is_a_value_of_its_kind(kind, given, value):
    found = Column("name", kind).value(given)
    assert found == value
    assert type(found) is type(value)
    if kind == "signed":
        assert math.copysign(1, found) == 1


@pytest.mark.parametrize("kind", ["integer", "number", "share", "signed", "text", "time"])
@pytest.mark.parametrize("given", [None, ""])
def test_what_is_empty_is_none(kind, given):
    assert Column("name", kind).value(given) is None


@pytest.mark.parametrize("given", [math.nan, math.inf, np.float32(np.nan)])
def test_what_is_no_number_is_none(given):
    assert Column("name", "number").value(given) is None
    assert Column("name", "integer").value(given) is None


def test_the_checksum_is_the_only_column_left_out():
    columns = result_columns([Column("sharpness", "number")])
    assert names(without_checksum(columns)) == names(columns)[:-1]
    assert names(columns)[-1] == "checksum"
