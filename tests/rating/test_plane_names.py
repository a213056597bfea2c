"""How a table of labels names images, and what it means by that."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile
from systems import linux

from microscope_quality.errors import FileError
from microscope_quality.files.images import open_image
from microscope_quality.rating.plane_names import file_of, name_of, place_in, read_plane

STACK = np.arange(3 * 2 * 20 * 30, dtype=np.uint16).reshape(3, 2, 20, 30)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images/one.tif", STACK[0, 0])
    tifffile.imwrite(tmp_path / "images/stack.tif", STACK, imagej=True, metadata={"axes": "ZCYX"})
    colour = np.stack([STACK[0, 0], STACK[0, 0] + 1, STACK[0, 0] + 7], axis=-1)
    tifffile.imwrite(tmp_path / "images/colour.tif", colour, photometric="rgb")
    return tmp_path


def test_names_go_from_the_tables_folder_on(folder):
    path = folder / "images/one.tif"
    assert name_of(path, folder) == "images/one.tif"
    assert name_of(path, folder / "tables/of/anna") == "../../../images/one.tif"
    assert file_of("../images/one.tif", folder / "images") == (
        folder / "images/../images/one.tif",
        {},
    )


def test_every_plane_of_a_stack_has_a_name_by_which_it_is_read(folder):
    path = folder / "images/stack.tif"
    names = [name_of(path, folder, place_in(page)) for page in open_image(path).pages]
    assert names[:3] == [f"images/stack.tif#z={z},c={c}" for z, c in ((0, 0), (0, 1), (1, 0))]
    for name, plane in zip(names, STACK.reshape(6, 20, 30)):
        assert np.array_equal(read_plane(*file_of(name, folder)).array, plane)


def test_a_file_may_have_such_a_name_itself(folder):
    odd = folder / "images/odd.tif#z=1"
    tifffile.imwrite(odd, STACK[1, 1])
    assert file_of(name_of(odd, folder), folder) == (odd, {})


def test_colour_is_one_grey_plane(folder):
    plane = read_plane(folder / "images/colour.tif", {}).array
    # ITU-R BT.709 of 0, 1 and 7 above the first channel, by hand.
    assert np.array_equal(plane, STACK[0, 0] + round(0.7152 + 7 * 0.0722))


def test_a_plane_that_is_not_there_or_could_be_several_is_told(folder):
    stack = folder / "images/stack.tif"
    with pytest.raises(FileError, match=r"has no plane with z = 3 and c = 0$"):
        read_plane(stack, {"z": 3, "c": 0})
    with pytest.raises(FileError, match="has several planes, and a label must name one, as in sta"):
        read_plane(stack, {})
    with pytest.raises(FileError, match="has several planes with c = 1, and"):
        read_plane(stack, {"c": 1})
    with pytest.raises(FileError, match="does not exist"):
        read_plane(*file_of("images/gone.tif#z=1", folder))


@linux
def test_a_name_that_is_no_valid_text_is_found_again(folder):
    path = folder / os.fsdecode(b"images/caf\xe9.tif")
    tifffile.imwrite(path, STACK[2, 0])
    name = name_of(path, folder)
    name.encode("utf-8")
    assert file_of(name, folder)[0] == path
