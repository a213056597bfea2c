"""The drop-in folder for CellProfiler: its modules, and beside them the library and the models.

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
from microscope_quality.rater import DEFAULT_RATER
from microscope_quality.version import __version__

#: Files of the plugin folder: the modules, after what they share.
MODULES = ("_patch_module.py", "measureimagefocus.py", "measureimagequalityscore.py")
MODELS = (DEFAULT_MODEL, DEFAULT_RATER)
RECORD = "microscope_quality/dropin.json"

_PACKAGE = Path(__file__).resolve().parents[1]
_README = f"""\
MeasureImageFocus and MeasureImageQualityScore {__version__}, modules for CellProfiler 4.2: how far
out of focus an image is, and which score an electron micrograph deserves, and why.

To install them
1. Keep this folder where it can stay. Or, when you have a plugins directory already, copy the three
   files _patch_module.py, measureimagefocus.py and measureimagequalityscore.py
   and the folder microscope_quality, all four, into that directory.
2. In CellProfiler: Preferences, "CellProfiler plugins directory": the folder that holds
   measureimagefocus.py.
3. Restart CellProfiler. The modules are in the category Measurement; their settings are explained
   by the button "?" beside them.

To remove them, delete the three files and the folder microscope_quality.

The folder microscope_quality is the library that measures, with the models that it uses. Licence:
microscope_quality/LICENSE.txt. The file model.json of each model, in
microscope_quality/pretrained, names the licences of the images that it was trained on.
"""


def files() -> Dict[str, bytes]:
    """Give the drop-in folder: contents by path.

    Raises
    ------
    FileError
        When a module or a model is missing in this installation.
    """
    places = [plugin_folder() / name for name in MODULES]
    models = available_models()
    missing = [str(place) for place in places if not place.is_file()]
    missing += [f"the model {name}" for name in MODELS if name not in models]
    if missing:
        raise FileError(f"This installation lacks {missing[0]}; install it anew.")
    contents = {place.name: place.read_bytes() for place in places}
    for module in sorted(_PACKAGE.glob("*.py")):
        # The command line's entry; the command line itself is not in the folder.
        if module.name != "__main__.py":
            contents[f"microscope_quality/{module.name}"] = module.read_bytes()
    for model in MODELS:
        for name in ("model.json", "weights.npz"):
            path = f"microscope_quality/pretrained/{model}/{name}"
            contents[path] = (models[model] / name).read_bytes()
    contents["microscope_quality/LICENSE.txt"] = _licence().encode()
    contents["microscope_quality/README.txt"] = _README.encode()
    return contents


def plugin_folder() -> Path:
    """Give the folder of the modules as it is installed, or beside the package in a checkout.

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
