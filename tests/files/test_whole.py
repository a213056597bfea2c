"""A file is there whole, or as it was."""

import pytest

from microscope_quality.errors import FileError
from microscope_quality.files.whole import whole


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with whole(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
        assert beside.parent == tmp_path
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_is_not_complete_leaves_nothing(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(error), whole(path) as beside:
        beside.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_a_place_that_cannot_be_written_to_is_named_once(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "none" / "x.txt", tmp_path / "file" / "x.txt"):
        with pytest.raises(FileError, match="cannot be written") as found, whole(place) as beside:
            beside.write_text("new")
        assert str(found.value).count("x.txt") == 1
