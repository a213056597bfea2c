"""Arrays that a training keeps for itself, to go on from."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microscope_quality.errors import FileError, reason_of
from microscope_quality.files.whole import whole

Arrays = dict[str, npt.NDArray[Any]]


def write_arrays(path: Path, arrays: Mapping[str, npt.ArrayLike]) -> None:
    """Write arrays by name, whole or not at all.

    Raises
    ------
    FileError
        If they cannot be written.
    """
    own: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    with whole(path) as beside, beside.open("wb") as file:
        np.savez(file, **own)


def read_arrays(path: Path) -> Arrays:
    """Read what :func:`write_arrays` wrote.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path}: the state cannot be read: {reason_of(error, path)}") from error
