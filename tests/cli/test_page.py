"""Names of pictures."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microscope_quality.cli.page import Place, picture_name


@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [
        ("a.tif", Place(), "01_a.tif.png"),
        ("day 2/a.tif", Place(z=3, c=1), "01_day_2_a.tif_z3_c1.png"),
        ("../../etc/a.tif", Place(), "01_etc_a.tif.png"),
        ("名前.tif", Place(series=2, t=0), "01_名前.tif_series_2_t0.png"),
    ],
)
def test_names_tell_the_file_and_the_plane(name, place, expected):
    assert picture_name("01", name, place) == expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_gives_one_that_a_file_system_takes(name):
    found = picture_name("00001", name, Place(z=1))
    assert found == os.path.basename(found)  # noqa: PTH119 - of text, not of a path
    assert re.fullmatch(r"[\w.+-]+", found)
    assert len(found.encode()) < 250
