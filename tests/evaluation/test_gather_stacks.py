"""The z-stacks that an evaluation finds: in files, by their names, and in tables."""

import math

import numpy as np
import pytest
import tifffile

from microscope_quality import Optics
from microscope_quality.errors import FileError, SettingsError
from microscope_quality.evaluation.gather_stacks import (
    gather_stacks,
    is_stack_table,
    read_best,
    stack_planes,
)
from microscope_quality.evaluation.stacks import KnownFocus
from microscope_quality.simulate import nuclei


def write(path, seed=0, shape=(100, 110)):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, (nuclei(shape, 9, seed) * 3000 + 100).astype(np.uint16))
    return path


def test_stacks_of_a_file_each(tmp_path):
    stack = np.arange(3 * 90 * 90, dtype=np.uint16).reshape(3, 90, 90)
    tifffile.imwrite(tmp_path / "one.tif", stack, photometric="minisblack")
    tifffile.imwrite(
        tmp_path / "two.ome.tif",
        np.stack([stack, stack + 1]),
        photometric="minisblack",
        metadata={"axes": "CZYX"},
    )
    tifffile.imwrite(tmp_path / "flat.tif", stack[0])
    (tmp_path / "bad.tif").write_bytes(b"II*\0broken")
    found = gather_stacks([str(tmp_path)])
    assert sorted(stack.name for stack in found.stacks) == [
        "one.tif",
        "two.ome.tif c0",
        "two.ome.tif c1",
    ]
    (one,) = (s for s in found.stacks if s.name == "one.tif")
    np.testing.assert_array_equal(list(stack_planes(one)), stack)
    (second,) = (s for s in found.stacks if s.name.endswith("c1"))
    np.testing.assert_array_equal(list(stack_planes(second)), stack + 1)
    assert list(found.left_out) == [str(tmp_path / "flat.tif")]
    assert list(found.failed) == [str(tmp_path / "bad.tif")]


def test_stacks_of_a_file_a_plane(tmp_path):
    for z in (10, 2, 1):
        for well in ("A01", "B02"):
            folder = tmp_path / f"z_{z:02d}"
            write(folder / f"plate_{well}.tif", seed=z)
    write(tmp_path / "z_01" / "other.tif")
    found = gather_stacks([str(tmp_path)], r"z_(?P<z>\d+)/plate_(?P<stack>[A-Z]\d+)")
    assert [stack.name for stack in found.stacks] == ["A01", "B02"]
    assert [plane.z for plane in found.stacks[0].planes] == [1, 2, 10]
    first, *_ = stack_planes(found.stacks[0])
    np.testing.assert_array_equal(first, tifffile.imread(tmp_path / "z_01" / "plate_A01.tif"))
    assert list(found.left_out) == [str(tmp_path / "z_01" / "other.tif")]


def test_planes_that_cannot_be_told_apart(tmp_path):
    for name in ("a_z1", "b_z1", "b_z2", "c_z1"):
        write(tmp_path / f"{name}.tif")
    found = gather_stacks([str(tmp_path)], r"(?P<stack>)z(?P<z>\d)")
    assert not found.stacks
    assert "same z" in found.left_out["z-stack "]
    found = gather_stacks([str(tmp_path)], r"(?P<stack>[a-c])_z(?P<z>\d)")
    assert [stack.name for stack in found.stacks] == ["b"]
    assert set(found.left_out) == {str(tmp_path / "a_z1.tif"), str(tmp_path / "c_z1.tif")}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("(", "no regular expression"), (r"(?P<z>\d+)", "stack is missing"), ("a", "stack and z are")],
)
def test_a_pattern_has_to_name_stack_and_z(tmp_path, pattern, said):
    with pytest.raises(SettingsError, match=said):
        gather_stacks([str(tmp_path)], pattern)


def test_a_z_that_is_no_number(tmp_path):
    path = write(tmp_path / "a_top.tif")
    found = gather_stacks([str(tmp_path)], r"(?P<stack>a)_(?P<z>\w+)")
    assert "'top'" in found.left_out[str(path)]


TABLE = """file,set,kind,index,z_um,na,n,wavelength_um,pixel_um
bead/2.tif,bead,stack,2,1.0,0.8,water,0.52,0.13
bead/0.tif,bead,stack,0,0.0,0.8,water,0.52,0.13
bead/1.tif,bead,stack,1,0.4,0.8,water,0.52,0.13
cell/a.tif,cell,stack,0,,,,,
cell/b.tif,cell,stack,1,,,,,0.2
plate/a.tif,plate,sharp,0,,,,,
"""


@pytest.fixture
def listed(tmp_path):
    for name in ("bead/0", "bead/1", "bead/2", "cell/a", "cell/b", "plate/a"):
        write(tmp_path / f"{name}.tif", seed=ord(name[-1]))
    (tmp_path / "manifest.csv").write_text(TABLE)
    return tmp_path


def test_stacks_that_a_table_lists(listed):
    found = gather_stacks([str(listed)])
    bead, cell = found.stacks
    assert (bead.name, cell.name) == ("bead", "cell")
    assert [(plane.z, plane.z_um) for plane in bead.planes] == [(0, 0.0), (1, 0.4), (2, 1.0)]
    np.testing.assert_array_equal(
        list(stack_planes(bead)), [tifffile.imread(listed / f"bead/{k}.tif") for k in range(3)]
    )
    assert bead.optics == Optics(0.8, 1.33, 0.52, 0.13)
    assert cell.optics is None
    assert all(math.isnan(plane.z_um) for plane in cell.planes)
    assert list(found.left_out) == [str(listed / "plate/a.tif")]
    assert "sharp" in found.left_out[str(listed / "plate/a.tif")]
    # In words: a z_um that is not known is NaN, which equals nothing.
    assert repr(gather_stacks([str(listed / "manifest.csv")])) == repr(found)
    # A pattern counts before a table.
    by_name = gather_stacks([str(listed)], r"(?P<stack>bead)/(?P<z>\d)")
    assert [stack.name for stack in by_name.stacks] == ["bead"]
    assert by_name.stacks[0].optics is None


def test_files_beside_a_table_of_stacks(listed, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "two.tif"
    stack = np.arange(2 * 90 * 90, dtype=np.uint16).reshape(2, 90, 90)
    tifffile.imwrite(other, stack, photometric="minisblack")
    found = gather_stacks([str(listed), str(other)])
    assert [stack.name for stack in found.stacks] == [str(other), "bead", "cell"]


def test_a_table_whose_steps_are_in_um(listed):
    table = listed / "list.csv"
    table.write_text("file,stack,z_um\ncell/a.tif,cell,-1.5\ncell/b.tif,cell,2\n")
    (stack,) = gather_stacks([str(table)]).stacks
    assert [(plane.z, plane.z_um) for plane in stack.planes] == [(-1.5, -1.5), (2, 2)]


def test_what_is_no_table_of_stacks(listed):
    assert is_stack_table(listed / "manifest.csv")
    assert not is_stack_table(listed / "none.csv")
    assert not is_stack_table(listed / "cell/a.tif")
    (listed / "other.csv").write_text("file,level\nx.tif,3\n")
    assert not is_stack_table(listed / "other.csv")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("cell/a.tif,cell,stack,first,,,,,", "z of cell must be a number, not 'first'"),
        ("cell/a.tif,cell,stack,,,,,,", "does not tell the z of cell/a.tif"),
        ("cell/a.tif,cell,stack,0,,1.4,1.33,0.52,0.1", "cell: na must be below"),
        ("cell/a.tif,cell,stack,0,,1.2,jelly,0.52,0.1", "refractive_index of cell must be"),
    ],
)
def test_a_table_that_says_what_cannot_be(listed, row, said):
    table = listed / "list.csv"
    table.write_text(f"{TABLE.splitlines()[0]}\n{row}\n")
    with pytest.raises(FileError, match=said):
        gather_stacks([str(table)])


def test_a_listed_file_that_is_missing(listed):
    (listed / "bead/1.tif").unlink()
    found = gather_stacks([str(listed)])
    assert [len(stack.planes) for stack in found.stacks] == [2, 2]
    assert "not there" in found.failed[str(listed / "bead/1.tif")]


BEST = """set,sharpest_index,from_index,to_index,far_indices,note
bead,1,0,1,2,"seen, by eye"
cell,,,,,unclear
gone,4,,,0-2 9-10,
"""


def test_where_focus_is_known(listed):
    best = listed / "best.csv"
    best.write_text(BEST)
    assert read_best(best) == {
        "bead": KnownFocus(1, 0, 1, (2,)),
        "gone": KnownFocus(4, 4, 4, (0, 1, 2, 9, 10)),
    }
    found = gather_stacks([str(listed)], best=best)
    assert [stack.focus for stack in found.stacks] == [KnownFocus(1, 0, 1, (2,)), None]
    assert found.notes == (
        f"{best}: no z-stack is named gone (the first is {found.stacks[0].name}).",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("set\nbead\n", "no column sharpest_index or sharpest_z"),
        ("set,sharpest_index\nbead,middle\n", "z of bead must be a number"),
        ("set,sharpest_index,from_index\nbead,1,2\n", "must be one of those that are as good"),
        ("set,sharpest_index,far_indices\nbead,1,all\n", "'all' is no whole number or range"),
    ],
)
def test_a_table_of_focus_that_says_nothing(tmp_path, text, said):
    (tmp_path / "best.csv").write_text(text)
    with pytest.raises(FileError, match=said):
        read_best(tmp_path / "best.csv")
