"""Places of pages as Micro-Manager tells them where there is no OME-XML."""

import itertools
import json
import os
import struct
import sys

import numpy as np
import pytest
from tiff_files import PIXELS, page, tiff

from microscope_quality.files import micromanager
from microscope_quality.files.images import open_image, planes

HEADER = 64
NDTIFF = (483729, 3, 0, 2355492, 2)
CHANNELS = ("DAPI", "GFP")
# Pages in the order of an acquisition, which is no product of axes: a channel lacks a plane.
AXES = [
    {"position": p, "z": z, "channel": channel}
    for p, z, channel in itertools.product((0, 2, 5), (-1, 0, 1), CHANNELS)
    if (p, z, channel) != (2, 1, "GFP")
]
# Series, z and c of each.
PLACES = [
    ((0, 2, 5).index(one["position"]), one["z"] + 1, CHANNELS.index(one["channel"]), None)
    for one in AXES
]


def stack(marks, axes=AXES, about=lambda one: {"Axes": one}):
    """A TIFF with numbers behind its header, and metadata with each page."""
    data = struct.pack(f"<{len(marks)}I", *marks).ljust(HEADER, b"\0") + PIXELS * len(axes)
    pages = (
        page(t273=(4, 8 + HEADER + 512 * k), t51123=(2, json.dumps(about(one)).encode() + b"\0"))
        for k, one in enumerate(axes)
    )
    return tiff(*pages, data=data)


def index(files):
    """An NDTiff.index of files and the axes of the pages in each."""
    content = b""
    for name, axes in files.items():
        for k, one in enumerate(axes):
            for text in (json.dumps(one), name):
                content += struct.pack("<I", len(text.encode())) + text.encode()
            content += struct.pack("<8I", 8 + HEADER + 512 * k, 16, 16, 1, 0, 0, 0, 0)
    return content


def places(path):
    return [(p.series, p.z, p.c, p.t) for p in planes(path)]


def test_the_index_tells_the_places_of_pages(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(stack(NDTIFF, about=lambda one: {"Width": 16}))
    (tmp_path / "NDTiff.index").write_bytes(index({"a.tif": AXES}))
    assert places(path) == PLACES
    assert {p.stack for p in open_image(path).pages} == {None}


def test_pages_tell_their_places_without_an_index(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(stack(NDTIFF))
    assert places(path) == PLACES


@pytest.mark.parametrize("name", ["row", "Exposure", "μ"])
def test_axes_of_any_name_are_series(tmp_path, name):
    path = tmp_path / "a.tif"
    axes = [{name: row, "column": c, "time": t} for row, c, t in np.ndindex(2, 3, 2)]
    path.write_bytes(stack(NDTIFF, [{k: int(v) for k, v in one.items()} for one in axes]))
    assert places(path) == [(3 * row + c, None, None, t) for row, c, t in np.ndindex(2, 3, 2)]


def test_a_set_of_files_is_counted_as_one(tmp_path):
    parts = {"a.tif": AXES[:7], "a_1.tif": AXES[7:]}
    (tmp_path / "NDTiff.index").write_bytes(index(parts))
    for name, axes in parts.items():
        (tmp_path / name).write_bytes(stack(NDTIFF, axes))
    found = [page for name in parts for page in open_image(tmp_path / name).pages]
    assert [(p.series, p.z, p.c, p.t) for p in found] == PLACES
    assert [p.stack for p in found] == [f"ndtiff:a.tif {place[0]}" for place in PLACES]


def test_a_stack_has_a_map_of_its_own(tmp_path):
    path = tmp_path / "a_MMStack.tif"
    axes = list(np.ndindex(2, 3, 1, 4))  # channels, slices, frames, positions
    content = stack((54773648, 0), axes, about=lambda one: {"Width": 16})
    (first,) = struct.unpack_from("<I", content, 4)
    offsets = [first]
    while len(offsets) < len(axes):
        (n_tags,) = struct.unpack_from("<H", content, offsets[-1])
        offsets += struct.unpack_from("<I", content, offsets[-1] + 2 + 12 * n_tags)
    entries = b"".join(struct.pack("<5I", *one, at) for one, at in zip(axes, offsets))
    at_map = len(content)
    content = bytearray(content + struct.pack("<2I", 3453623, len(axes)) + entries)
    struct.pack_into("<I", content, 12, at_map)
    path.write_bytes(content)
    assert places(path) == [(p, z, c, None) for c, z, _, p in axes]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 40,
        index({"a.tif": AXES})[:-40],
        index({"a.tif": [{"z": [1]}] * len(AXES)}),
        index({"a.tif": [{"z": 1e999}] * len(AXES)}),
        index({"a.tif": AXES[1:]}),
        index({"b.tif": AXES}),
    ],
)
def test_an_index_that_does_not_fit_is_not_believed(tmp_path, content):
    path = tmp_path / "a.tif"
    path.write_bytes(stack(NDTIFF, about=lambda one: {"Axes": "z"}))
    (tmp_path / "NDTiff.index").write_bytes(content)
    assert [p.z for p in planes(path)] == list(range(len(AXES)))


def test_no_index_but_a_regular_one_is_opened(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    path.write_bytes(stack(NDTIFF))
    monkeypatch.setattr(micromanager, "_MOST_INDEX_BYTES", 100)
    (tmp_path / "NDTiff.index").write_bytes(index({"a.tif": AXES[::-1]}))
    assert places(path) == PLACES
    if sys.platform != "win32":
        (tmp_path / "NDTiff.index").unlink()
        os.mkfifo(tmp_path / "NDTiff.index")
        assert places(path) == PLACES
