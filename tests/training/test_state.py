"""What a training keeps for itself comes back as it was, or it is said why not."""

import numpy as np
import pytest

from microscope_quality.errors import FileError
from microscope_quality.training.state import read_arrays, write_arrays


def test_arrays_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "images/probabilities": np.array([[np.nan, 1 / 3], [0.1, 0.9]]),
        "weights": rng.standard_normal((3, 2)).astype(np.float32),
        "step": np.int64(7),
    }
    write_arrays(tmp_path / "state.npz", arrays)
    found = read_arrays(tmp_path / "state.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"text", None])
def test_what_cannot_be_read_is_said(tmp_path, content):
    path = tmp_path / "state.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=r"state\.npz: the state cannot be read"):
        read_arrays(path)


def test_objects_are_not_read(tmp_path):
    np.savez(tmp_path / "state.npz", harmful=np.array([print], dtype=object))
    with pytest.raises(FileError, match="the state cannot be read"):
        read_arrays(tmp_path / "state.npz")
