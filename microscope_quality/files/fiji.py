"""Write a model as one file, for the plugin of ImageJ and Fiji.

The plugin reads the two files of a model folder as they are, from a folder or from a ZIP archive:
there is no second format to keep in step.
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

from microscope_quality.arguments import shown
from microscope_quality.errors import FileError, ModelError
from microscope_quality.model import FOCUS, FocusModel, ModelDescription, verify
from microscope_quality.rater import RATING, RatingModel

_KINDS = {FOCUS: FocusModel, RATING: RatingModel}
_FILES = ("model.json", "weights.npz")
# The oldest time that a ZIP archive can state: equal models make equal files.
_TIME = (1980, 1, 1, 0, 0, 0)


def export_model(folder: str | os.PathLike[str], path: str | os.PathLike[str]) -> ModelDescription:
    """Write a model folder into one file that the plugin takes in place of its own model.

    Parameters
    ----------
    folder : str or path
        A model folder, which is checked as loading it does.
    path : str or path
        The file, a ZIP archive; an older exported model at that place is replaced in one step.

    Returns
    -------
    ModelDescription
        Of the model.

    Raises
    ------
    ModelNotFoundError, ModelError
        As `model.verify`; also for a model of another task than focus and rating, all that the
        plugin knows.
    FileError
        There is anything else at that place, or nothing can be written there.
    """
    description = verify(folder)
    kind = _KINDS.get(description.task)
    if kind is None:
        raise ModelError(
            f"{shown(description.name)} is a model of the task {shown(description.task)}; the "
            f"plugin knows {' and '.join(_KINDS)}."
        )
    kind.from_pretrained(Path(folder))
    target = Path(path)
    archive = io.BytesIO()
    try:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for name in _FILES:
                entry = zipfile.ZipInfo(name, _TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                packed.writestr(entry, (Path(folder) / name).read_bytes())
    except OSError as error:
        raise FileError(f"{folder} cannot be read: {error.strerror or error}") from error
    if os.path.lexists(target) and not is_exported(target):
        raise FileError(f"{target} exists and is no exported model; choose another place.")
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(archive.getvalue())
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileError(f"{target} cannot be written: {error.strerror or error}") from error
    return description


def is_exported(path: Path) -> bool:
    """Whether a file is a model that `export_model` wrote."""
    try:
        with zipfile.ZipFile(path) as packed:
            return sorted(packed.namelist()) == sorted(_FILES)
    except (OSError, zipfile.BadZipFile):
        return False
