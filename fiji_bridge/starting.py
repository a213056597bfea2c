"""Start ImageJ without a window, for people who are in Python already."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microscope_quality.errors import FileError, MicroscopeQualityError, SettingsError

_NEEDED = "pip install 'microscope-quality[fiji]' installs it"
_HEADLESS = "-Djava.awt.headless=true"
# What PyImageJ, once it is imported, cannot start Java without, and has fetched.
_IMGLYB = "imglib2-imglyb"
_WITHOUT_GATEWAY = (
    "ij.ImagePlus, its overlays, tables and macros are there; Dataset, ImgLib2, SciJava's scripts "
    "and conversion to xarray are not. start(fiji='…/Fiji.app') with a whole Fiji has them, and "
    "start(download=True) fetches them."
)
_WITHOUT_IMGLYB = (
    f"PyImageJ needs {_IMGLYB}, which this Fiji lacks: start(fiji, download=True) fetches it. "
)


@dataclass(frozen=True, eq=False)
class ImageJ:
    """The ImageJ that was started.

    Attributes
    ----------
    version : str
        Of ImageJ itself, such as ``"1.54p"``.
    gateway : net.imagej.ImageJ or None
        PyImageJ's gateway (``ij`` in its documentation); None where it is missing.
    missing : str
        What is not there, and how to get it, in sentences; empty when nothing is missing.
    """

    version: str
    gateway: Any
    missing: str


def start(fiji: str | os.PathLike[str] | None = None, *, download: bool = False) -> ImageJ:
    """Start ImageJ in this Python process, without a window.

    One Java can be started in a process, and not again after it ended; where it runs already, as in
    Fiji's Python mode, that one is taken. Nothing is downloaded unless it is asked for.

    Parameters
    ----------
    fiji : str or path, optional
        The folder of a Fiji (``Fiji.app``) or of an ImageJ, or the jar of ImageJ (``ij.jar``).
        Unless given, an ImageJ on the class path is taken, see ``scyjava.config.add_classpath``.
    download : bool
        Let PyImageJ fetch what is missing, the first time: a Java; beside a Fiji its own helper
        library; without one, all of ImageJ2, some 200 MB.

    Returns
    -------
    ImageJ
        With ImageJ alone, there is a warning that says what is missing.

    Raises
    ------
    SettingsError
        Without an ImageJ to start, or where Java runs without ImageJ.
    FileError
        For a path that is no Fiji and no ImageJ.
    MicroscopeQualityError
        Without Java, or the Python packages that start it.
    """
    try:
        import jpype
        import scyjava
    except ImportError as error:
        raise MicroscopeQualityError(f"{error.name} is missing; {_NEEDED}.") from error
    place = None if fiji is None else _checked(Path(fiji).expanduser())
    if scyjava.jvm_started():
        version = _version()
        reason = ""
        if _has("net.imagej.ImageJ"):
            try:
                return _whole(_gateway(None, download=False))
            except MicroscopeQualityError as error:
                reason = f"{error} "
        return _alone(version, reason)
    reason = ""
    if download and place is None:
        return _whole(_gateway(None, download=True))
    if place is not None and (place / "jars").is_dir():
        if download or any(place.glob(f"jars/**/{_IMGLYB}-*.jar")):
            try:
                return _whole(_gateway(place, download=download))
            except MicroscopeQualityError as error:
                reason = f"{error} "
        else:
            reason = _WITHOUT_IMGLYB
    if not scyjava.jvm_started():
        if place is not None:
            jpype.addClassPath(str(_jar_of(place)))
        elif not jpype.getClassPath() and not scyjava.config.endpoints:
            raise SettingsError(
                "There is no ImageJ to start: give the folder of a Fiji, fiji='…/Fiji.app', "
                "or the jar of an ImageJ, fiji='…/ij.jar', or download=True."
            )
        _start_java()
    return _alone(_version(), reason)


def _checked(place: Path) -> Path:
    if not place.exists():
        raise FileError(f"{place} does not exist; fiji must be the folder of a Fiji or an ij.jar.")
    if _jar_of(place) is None:
        raise FileError(
            f"{place} is no Fiji and no ImageJ: there is no ij.jar, nor jars{os.sep}ij-….jar in it."
        )
    return place


def _jar_of(place: Path) -> Path | None:
    """Find ImageJ itself: a jar, or in a folder of ImageJ's or Fiji's."""
    if place.is_file():
        return place if place.suffix == ".jar" else None
    found = [place / "ij.jar", *sorted(place.glob("jars/ij-[0-9]*.jar"))]
    return next((jar for jar in found if jar.is_file()), None)


@contextmanager
def _fetching(download: bool) -> Iterator[None]:
    """Let scyjava fetch a Java and PyImageJ its library, or neither."""
    import scyjava

    config = scyjava.config
    config.set_java_constraints(fetch="auto" if download else "never")
    asked = list(config.endpoints)
    if not download:
        config.endpoints[:] = [one for one in asked if _IMGLYB not in one]
    try:
        yield
    finally:
        config.endpoints[:] = asked


def _gateway(place: Path | None, *, download: bool) -> Any:
    """Start PyImageJ."""
    try:
        import imagej
    except ImportError as error:
        raise MicroscopeQualityError(f"{error.name} is missing; {_NEEDED}.") from error
    # Where Java runs already, it is looked through at once.
    except Exception as error:
        raise MicroscopeQualityError(f"PyImageJ could not start: {_said(error)}.") from error
    with _fetching(download):
        try:
            gateway = imagej.init(None if place is None else str(place), mode="headless")
        # What goes wrong in Java, or in finding or fetching it, has many types.
        except Exception as error:
            raise MicroscopeQualityError(f"PyImageJ could not start: {_said(error)}.") from error
    if not gateway:
        raise MicroscopeQualityError("PyImageJ could not start: ImageJ2 was not found.")
    return gateway


def _start_java() -> None:
    import scyjava

    if _HEADLESS not in scyjava.config.get_options():
        scyjava.config.add_option(_HEADLESS)
    with _fetching(False):
        try:
            scyjava.start_jvm()
        except Exception as error:
            # PyImageJ, if it was imported, misses what it needs only after Java has started.
            if scyjava.jvm_started():
                return
            raise MicroscopeQualityError(
                f"Java could not be started: {_said(error)}. Install a Java from 11 on, or set "
                "JAVA_HOME to the folder of one."
            ) from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _has(name: str) -> bool:
    import jpype

    try:
        jpype.JClass(name)
    # JPype says in several ways that there is no such class.
    except Exception:
        return False
    return True


def _version() -> str:
    import jpype

    if not _has("ij.IJ"):
        raise SettingsError(
            "Java runs in this process without ImageJ, and a Java is started once in a process: "
            "start anew, and call fiji_bridge.start before anything else that starts Java."
        )
    return str(jpype.JClass("ij.ImageJ").VERSION)


def _whole(gateway: Any) -> ImageJ:
    return ImageJ(_version(), gateway, "")


def _alone(version: str, reason: str) -> ImageJ:
    missing = f"{reason}This is ImageJ {version} alone: {_WITHOUT_GATEWAY}"
    warnings.warn(missing, stacklevel=3)
    return ImageJ(version, None, missing)
