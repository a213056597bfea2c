"""What an error says beside the path that it is of."""

import pytest

from microscope_quality.errors import FileError, reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileError("a/b.tif: is empty"), "is empty"),
        ("a/b.tif: is empty", "is empty"),
        (FileError("a/c.tif: is empty"), "a/c.tif: is empty"),
        (ValueError("a/b.tif"), "a/b.tif"),
    ],
)
def test_a_path_is_not_said_again(error, reason):
    assert reason_of(error, "a/b.tif") == reason


def test_an_error_of_the_system_names_its_path_in_another_way(tmp_path):
    path = tmp_path / "none"
    with pytest.raises(OSError, match="none") as found:
        path.read_text()
    assert reason_of(found.value, path) == "No such file or directory"
