"""The drop-in folder for CellProfiler: its module, and beside it the library and the model.

It works in the downloaded app, which has NumPy and SciPy but no way to install anything else.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Dict, List

from microscope_quality.errors import FileError
from microscope_quality.model import DEFAULT_MODEL, available_models
from microscope_quality.plugins import dropin
from microscope_quality.plugins.dropin import StrPath
from microscope_quality.version import __version__

MODULE = "measureimagefocus.py"
RECORD = "microscope_quality/dropin.json"

_PACKAGE = Path(__file__).resolve().parents[1]
_README = f"""\
MeasureImageFocus {__version__}, a module for CellProfiler 4.2: how far out of focus an image is.

To install it
1. Keep this folder where it can stay. Or, when you have a plugins directory already, copy
   measureimagefocus.py and the folder microscope_quality, both, into that directory.
2. In CellProfiler: Preferences, "CellProfiler plugins directory": the folder that holds
   measureimagefocus.py.
3. Restart CellProfiler. The module is in the category Measurement; its settings are explained by
   the button "?" beside them.

To remove it, delete measureimagefocus.py and the folder microscope_quality.

The folder microscope_quality is the library that measures, with the model that it uses. Licence:
microscope_quality/LICENSE.txt. microscope_quality/pretrained/{DEFAULT_MODEL}/model.json names the
licences of the images that the model was trained on.
"""


def files() -> Dict[str, bytes]:
    """Give the drop-in folder: contents by path.

    Raises
    ------
    FileError
        When the module or the model is missing in this installation.
    """
    place = plugin_folder() / MODULE
    model = available_models().get(DEFAULT_MODEL)
    if not place.is_file() or model is None:
        missing = place if not place.is_file() else f"the model {DEFAULT_MODEL}"
        raise FileError(f"This installation lacks {missing}; install it anew.")
    contents = {MODULE: place.read_bytes()}
    for module in sorted(_PACKAGE.glob("*.py")):
        # The command line's entry; the command line itself is not in the folder.
        if module.name != "__main__.py":
            contents[f"microscope_quality/{module.name}"] = module.read_bytes()
    for name in ("model.json", "weights.npz"):
        path = f"microscope_quality/pretrained/{DEFAULT_MODEL}/{name}"
        contents[path] = (model / name).read_bytes()
    contents["microscope_quality/LICENSE.txt"] = _licence().encode()
    contents["microscope_quality/README.txt"] = _README.encode()
    return contents


def plugin_folder() -> Path:
    """Give the folder of the module as it is installed, or beside the package in a checkout.

    Where the library is installed in CellProfiler's own Python, this folder can be the plugins
    directory itself.
    """
    inside = _PACKAGE / "cellprofiler_plugins"
    return inside if inside.is_dir() else _PACKAGE.parent / "cellprofiler_plugins"


def install(folder: StrPath) -> List[Path]:
    """Write the drop-in folder, or replace an older one.

    Raises
    ------
    FileError
        As `dropin.install` and `files`; also for a folder that the library itself lies in.
    """
    target = Path(folder).resolve()
    if (target / "microscope_quality").resolve() == _PACKAGE or target == plugin_folder().resolve():
        raise FileError(
            f"{target} is where this library itself lies. Choose another folder, or name this one "
            f"as CellProfiler's plugins directory as it is: {plugin_folder()}."
        )
    return dropin.install(files(), folder, RECORD)


def remove(folder: StrPath) -> List[Path]:
    """Take the drop-in folder's files away.

    Raises
    ------
    FileError
        As `dropin.remove`.
    """
    return dropin.remove(folder, RECORD)


def _licence() -> str:
    checkout = _PACKAGE.parent / "LICENSE"
    if checkout.is_file() and (_PACKAGE.parent / "pyproject.toml").is_file():
        return checkout.read_text(encoding="utf-8")
    try:
        text = metadata.distribution("microscope-quality").read_text("licenses/LICENSE")
    except metadata.PackageNotFoundError:
        text = None
    if text is None:
        raise FileError("This installation lacks its licence; install it anew.")
    return text
