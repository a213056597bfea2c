"""What Fiji and ImageJ are given: the plugin's jar, and menu scripts for Fiji's Python mode.

Both lie in the folder ``fiji_bridge`` beside the package, in a checkout as in an installation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional

from microscope_quality.errors import FileError
from microscope_quality.plugins import dropin
from microscope_quality.plugins.dropin import StrPath

RECORD = "microscope_quality.json"
BUILD = "mvn -f fiji_bridge/plugin package"

_BRIDGE = Path(__file__).resolve().parents[2] / "fiji_bridge"
_SCRIPTS = "scripts/Plugins/Microscope_Quality"
_LAUNCHERS = ("ImageJ*", "fiji*", "Fiji*", "Contents/MacOS/*")


def jar() -> Optional[Path]:
    """Give the plugin's jar as it is packaged or was built, the newest one; None without any.

    It is looked for in the installation, and in a checkout in the current folder.
    """
    targets = [folder / "plugin" / "target" for folder in (_BRIDGE, Path("fiji_bridge"))]
    built = [path for target in targets for path in target.glob("Microscope_Quality-*.jar")]
    jars = [path for path in built if not path.stem.endswith(("-sources", "-javadoc", "-tests"))]
    return max(jars, key=lambda path: path.stat().st_mtime, default=None)


def files(*, scripts: bool = True) -> Dict[str, bytes]:
    """Give what is installed: contents by path below the folder of Fiji.

    Parameters
    ----------
    scripts : bool
        With the menu scripts, which ImageJ alone has no use for.

    Raises
    ------
    FileError
        When there is nothing to install.
    """
    contents: Dict[str, bytes] = {}
    if scripts:
        for path in sorted((_BRIDGE / _SCRIPTS).rglob("*.py")):
            contents[path.relative_to(_BRIDGE).as_posix()] = path.read_bytes()
        if not contents:
            raise FileError(f"This installation lacks {_BRIDGE / _SCRIPTS}; install it anew.")
    plugin = jar()
    if plugin is not None:
        contents[f"plugins/{plugin.name}"] = plugin.read_bytes()
    if not contents:
        raise FileError(
            f"There is no jar to install: in a checkout of the repository, build it with {BUILD}, "
            "and give this command again."
        )
    return contents


def install(folder: StrPath) -> List[Path]:
    """Write jar and scripts into the folder of a Fiji or ImageJ, or replace older ones.

    Raises
    ------
    FileError
        When the folder is none of a Fiji or ImageJ; as `dropin.install` and `files`.
    """
    target = Path(folder)
    check_host(target)
    return dropin.install(files(scripts=(target / "jars").is_dir()), target, RECORD)


def remove(folder: StrPath) -> List[Path]:
    """Take away what `install` wrote.

    Raises
    ------
    FileError
        As `dropin.remove`.
    """
    removed = dropin.remove(folder, RECORD)
    # Fiji's own folder, even if nothing else was in it.
    (Path(folder) / "plugins").mkdir(exist_ok=True)
    return removed


def check_host(folder: Path) -> None:
    """Refuse a folder that is none of a Fiji or ImageJ.

    Raises
    ------
    FileError
        It has no folder ``plugins``, or neither ``jars`` nor ``ij.jar`` nor a launcher.
    """
    if not folder.is_dir():
        raise FileError(f"{folder} is no folder; name the one of your Fiji, such as Fiji.app.")
    started = any(any(folder.glob(pattern)) for pattern in _LAUNCHERS)
    if (folder / "plugins").is_dir() and (
        started or (folder / "jars").is_dir() or (folder / "ij.jar").is_file()
    ):
        return
    beside = folder.resolve().parent
    hint = f" Did you mean {beside}?" if (beside / "plugins").is_dir() else ""
    raise FileError(
        f"{folder} is no Fiji and no ImageJ: a folder of theirs has plugins and jars (or ij.jar) "
        f"in it.{hint} Nothing was written."
    )
