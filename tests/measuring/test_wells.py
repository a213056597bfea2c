import pytest

from microscope_quality.measuring.wells import plate_format, well_position


@pytest.mark.parametrize(
    ("name", "position"),
    [
        ("A01", (0, 0)),
        ("a1", (0, 0)),
        ("H12", (7, 11)),
        ("P24", (15, 23)),
        ("Z9", (25, 8)),
        ("AA01", (26, 0)),
        ("AF48", (31, 47)),
        ("B-7", (1, 6)),
        ("r02c07", (1, 6)),
        ("R16C24", (15, 23)),
        (" C3 ", (2, 2)),
    ],
)
def test_a_well_has_its_place(name, position):
    assert well_position(name) == position


@pytest.mark.parametrize(
    "name", ["", "A", "12", "A0", "AG1", "A49", "r0c1", "r33c1", "A1b", "<A1>"]
)
def test_other_names_are_no_wells(name):
    assert well_position(name) is None


@pytest.mark.parametrize(
    ("wells", "expected"),
    [
        ([], (8, 12)),
        ([(0, 0), (7, 11)], (8, 12)),
        ([(8, 0)], (16, 24)),
        ([(0, 12)], (16, 24)),
        ([(15, 23)], (16, 24)),
        ([(16, 0)], (32, 48)),
        ([(31, 47)], (32, 48)),
    ],
)
def test_the_smallest_plate_that_has_all_wells(wells, expected):
    assert plate_format(wells) == expected
