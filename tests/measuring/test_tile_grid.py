"""Places of tiles, from names of files."""

import pytest

from microscope_quality.errors import SettingsError
from microscope_quality.measuring.tile_grid import tile_grids


def cells(grid):
    return {
        number: (grid.rows[row], grid.columns[column])
        for number, (row, column) in grid.places.items()
    }


@pytest.mark.parametrize(
    "template",
    [
        "r{r:02}_c{c:02}.tif",
        "s12/Tile_r{r}-c{c}_sec012.tif",
        "row{r}col{c}.png",
        "Y{r:03}X{c:03}.tif",
        "tile_x{c}_y{r}.tif",
        "C{c}_R{r}.tif",
    ],
)
def test_names_of_tiles_are_understood(template):
    places = [(r, c) for r in range(1, 4) for c in range(1, 6)]
    (grid,) = tile_grids([template.format(r=r, c=c) for r, c in places])
    assert grid.is_montage
    assert (grid.rows, grid.columns) == ((1, 2, 3), (1, 2, 3, 4, 5))
    assert cells(grid) == dict(enumerate(places))


def test_rows_that_no_tile_has_leave_room_and_stage_positions_do_not():
    (grid,) = tile_grids(["r1_c1.tif", "r4_c1.tif", "r4_c2.tif"])
    assert grid.rows == (1, 2, 3, 4)
    assert grid.places == {0: (0, 0), 1: (3, 0), 2: (3, 1)}
    (far,) = tile_grids(["x0_y0.tif", "x50000_y0.tif", "x0_y40000.tif"])
    assert (far.rows, far.columns) == ((0, 40000), (0, 50000))
    assert far.places == {0: (0, 0), 1: (0, 1), 2: (1, 0)}


def test_montages_are_told_apart_by_what_else_names_have():
    names = [f"s{s}/r{r}_c0.tif" for s in (1, 2) for r in (0, 1)]
    assert [(one.name, one.places) for one in tile_grids(names)] == [
        ("s1", {0: (0, 0), 1: (1, 0)}),
        ("s2", {2: (0, 0), 3: (1, 0)}),
    ]
    # Behind the numbers: a section, where places come twice, or else a time of each tile's own.
    names = [f"r{r}_c0_sec{s}.tif" for s in (1, 2) for r in (0, 1)]
    assert [(one.name, [*one.places]) for one in tile_grids(names)] == [
        ("*_sec1", [0, 1]),
        ("*_sec2", [2, 3]),
    ]
    (grid,) = tile_grids(["r0_c0_120501.tif", "r0_c1_120544.tif"])
    assert grid.places == {0: (0, 0), 1: (0, 1)}


def test_one_file_may_have_several_images():
    (grid,) = tile_grids(["r0_c0.tif", "r0_c0.tif", "r0_c1.tif"])
    assert grid.places == {0: (0, 0), 1: (0, 0), 2: (0, 1)}


def test_a_pattern_tells_where_the_numbers_stand():
    names = ["a-07-03.tif", "a-08-03.tif", "overview.tif"]
    (grid,) = tile_grids(names, r"-(?P<column>\d+)-(?P<row>\d+)")
    assert cells(grid) == {0: (3, 7), 1: (3, 8)}
    with pytest.raises(SettingsError, match="pattern is no regular expression"):
        tile_grids(names, "(?P<row>")


def test_without_places_there_is_no_montage():
    assert tile_grids(["t10.tif", "t9.tif", "t1.tif", "t2.tif", "t11.tif"]) == []
    assert tile_grids([]) == []


def test_words_that_end_in_a_letter_of_a_place_are_none():
    assert tile_grids(["mirror1_spec2.tif", "mirror2_spec1.tif"]) == []


def test_tiles_that_lie_in_one_place_are_no_montage():
    grids = tile_grids(["a_r1_c2.tif", "b_r1_c2.tif", "b_r1_c2.tif", "d_r1_c1.tif", "d_r1_c2.tif"])
    assert [(one.name, one.is_montage) for one in grids] == [
        ("a", False),
        ("b", False),
        ("d", True),
    ]
