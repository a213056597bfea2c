"""What a job does to a page, and names of pictures."""

from __future__ import annotations

import functools
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from microscope_quality.files.images import open_image
from microscope_quality.measuring.drawing import picture_name
from microscope_quality.measuring.items import Listed, Place, follow, unlisted
from microscope_quality.measuring.page import measure_page
from microscope_quality.measuring.settings import Settings


@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [
        ("a.tif", Place(), "01_a.tif.png"),
        ("a.png", Place(), "01_a.png"),
        ("b/A.PNG", Place(), "01_b_A.png"),
        ("a.png", Place(c=1), "01_a.png_c1.png"),
        ("day 2/a.tif", Place(z=3, c=1), "01_day_2_a.tif_z3_c1.png"),
        ("../../etc/a.tif", Place(), "01_etc_a.tif.png"),
        ("名前.tif", Place(series=2, t=0), "01_名前.tif_series_2_t0.png"),
    ],
)
def test_names_tell_the_file_and_the_plane(name, place, expected):
    assert picture_name(name, place, 1) == expected


def test_names_of_different_planes_differ():
    alike = [("a b.tif", Place()), ("a_b.tif", Place()), ("a/b.tif", Place()), ("?", Place(z=1))]
    alike += [("x" * 200 + "a.tif", Place(z=z)) for z in range(2)] + [
        ("", Place(z=1)),
        ("", Place()),
    ]
    names = [picture_name(*one) for one in alike]
    assert len(set(names)) == len(names)
    assert names[0].startswith("a_b.tif_")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_gives_one_that_a_file_system_takes(name):
    for found in (picture_name(name, Place(z=1)), picture_name(name, Place(z=1), 1)):
        assert found == os.path.basename(found)  # noqa: PTH119 - of text, not of a path
        assert re.fullmatch(r"[\w.+-]+", found)
        assert len(found.encode()) < 250


@pytest.fixture
def hasty_threads():
    """Threads that take turns so often that what they share shows."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.long
def test_threads_of_one_process_read_pages_of_one_file(tmp_path, hasty_threads):
    path = tmp_path / "stack.tif"
    stack = np.random.default_rng(0).integers(0, 4000, (600, 20, 20)).astype(np.uint16)
    tifffile.imwrite(path, stack, compression="zlib", photometric="minisblack")
    (whole,) = unlisted([("stack.tif", path)])
    first, others = follow(whole, Listed(open_image(path).pages, ""))
    pages = [first, *others]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(functools.partial(measure_page, Settings()), pages))
    assert [measured.rows["results.csv"][0]["z"] for measured in found] == list(range(600))
    assert not [measured for measured in found if measured.rows["results.csv"][0].get("error")]


def test_channels_have_the_names_that_their_file_tells(tmp_path):
    path = tmp_path / "a.ome.tif"
    pixels = np.random.default_rng(0).integers(0, 999, (2, 90, 90)).astype(np.uint16)
    tifffile.imwrite(path, pixels, metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}})
    settings, (whole,) = Settings(), unlisted([("a.ome.tif", path)])
    first, others = follow(whole, Listed(open_image(path).pages, ""))
    rows = [measure_page(settings, item).rows["results.csv"][0] for item in (first, *others)]
    assert [(row["c"], row["channel"]) for row in rows] == [(0, "DAPI"), (1, "GFP")]
