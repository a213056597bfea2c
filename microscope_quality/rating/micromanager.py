"""Take images with a microscope that Micro-Manager drives, as a search for settings wants them.

By `pymmcore-plus <https://pymmcore-plus.github.io/pymmcore-plus/>`_: each image is an acquisition
event that its engine carries out, so that shutters, stages and whatever else follows its
acquisitions do as they always do.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from microscope_quality.arguments import as_list, as_mapping, as_number, as_text, shown
from microscope_quality.errors import (
    AcquisitionError,
    ArgumentError,
    MissingLibraryError,
    SettingsError,
)

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

#: Parameters that an event has a place of its own for.
EXPOSURE, Z, CHANNEL = "exposure_ms", "z_um", "channel"
# How far what a device says it is set to may be from what it was told, as a share, and in µm.
_SHARE, _Z_UM = 0.01, 0.1


def camera(
    core: CMMCorePlus,
    properties: Mapping[str, tuple[str, str]] | None = None,
    *,
    measure: Callable[[Any, Mapping[str, Any]], Mapping[str, float]] | None = None,
) -> Callable[[Mapping[str, Any]], Any]:
    """Give a function that takes an image with settings, for `tune.tune`.

    Parameters
    ----------
    core : CMMCorePlus
        With a configuration that has a camera.
    properties : mapping, optional
        Device and property by the name of each parameter that sets one, such as
        ``{"light": ("Laser", "Power")}``. Besides these, ``exposure_ms``, ``z_um`` and ``channel``
        are known: the camera's exposure, the focus drive's position, and the preset of the channel
        group.
    measure : callable, optional
        Is given the image and the settings after each acquisition, and gives measurements by their
        names, such as the dose.

    Returns
    -------
    callable
        Is given the settings and gives the image, or with `measure` a pair of it and its
        measurements. What is not set stays as it is.

    Raises
    ------
    ArgumentError, SettingsError
        `core` is none, or a property is of no device.
    MissingLibraryError
        pymmcore-plus is missing.

    Notes
    -----
    The engine goes on when a device refuses what it is told. So what the camera, the focus drive
    and the properties say that they are set to is read while the image is taken; if it is not what
    was asked for, the function raises an `AcquisitionError`, and the trial counts as failed. The
    settings that were in place before a search are not restored: call the function with those that
    are wanted.
    """
    try:
        from pymmcore_plus import CMMCorePlus
    except ImportError as error:
        raise MissingLibraryError(
            "A microscope takes pymmcore-plus (pip install 'microscope-quality[microscope]'): "
            f"{error}."
        ) from error
    if not isinstance(core, CMMCorePlus):
        raise ArgumentError(f"core must be a CMMCorePlus, not {shown(core)}.")
    set_by = _as_properties(core, properties or {})

    def acquire(parameters: Mapping[str, Any]) -> Any:
        image = _taken(core, set_by, parameters)
        return image if measure is None else (image, dict(measure(image, parameters)))

    return acquire


def _as_properties(core: Any, given: Any) -> dict[str, tuple[str, str]]:
    set_by = {}
    for name, place in as_mapping("properties", given).items():
        as_text("A name in properties", name)
        if name in (EXPOSURE, Z, CHANNEL):
            raise SettingsError(f"properties must not name {name}, which is set without.")
        parts = [as_text(f"{name} in properties", one) for one in as_list(name, place, "texts")]
        if len(parts) != 2:
            raise SettingsError(f"{name} in properties must be a device and a property.")
        device, own = parts
        if device not in core.getLoadedDevices():
            loaded = ", ".join(core.getLoadedDevices())
            raise SettingsError(f"{name} in properties must be of a device of {loaded}.")
        if own not in core.getDevicePropertyNames(device):
            raise SettingsError(f"{name} in properties: {device} has no property {own!r}.")
        set_by[name] = device, own
    return set_by


def _taken(core: Any, set_by: Mapping[str, tuple[str, str]], parameters: Mapping[str, Any]) -> Any:
    from useq import MDAEvent

    asked: dict[str, Any] = {}
    properties = []
    for name, value in parameters.items():
        if name == EXPOSURE:
            asked["exposure"] = as_number(name, value)
        elif name == Z:
            asked["z_pos"] = as_number(name, value)
        elif name == CHANNEL:
            asked["channel"] = {"group": core.getChannelGroup(), "config": str(value)}
        elif name in set_by:
            properties.append((*set_by[name], value))
        else:
            raise SettingsError(
                f"The parameter {name} sets nothing: give its device and property in properties."
            )
    images: list[Any] = []
    differences: list[str] = []

    def keep(image: Any, event: Any, about: Any) -> None:
        # Here, since an engine may put settings back when it is done.
        differences.extend(_differences(core, set_by, parameters))
        images.append(image.copy())

    core.mda.events.frameReady.connect(keep)
    try:
        core.mda.run([MDAEvent(**asked, properties=properties or None)])
    finally:
        core.mda.events.frameReady.disconnect(keep)
    if not images:
        raise AcquisitionError("The camera gave no image.")
    if differences:
        raise AcquisitionError(f"The microscope is not set as asked: {'; '.join(differences)}.")
    return images[0]


def _differences(
    core: Any, set_by: Mapping[str, tuple[str, str]], parameters: Mapping[str, Any]
) -> list[str]:
    """Say of each parameter that is not as it was set what it is."""
    found = []
    for name, value in parameters.items():
        near = _SHARE * abs(float(value)) if isinstance(value, numbers.Real) else 0.0
        if name == EXPOSURE:
            is_set: Any = core.getExposure()
        elif name == Z:
            is_set, near = core.getZPosition(), _Z_UM
        elif name == CHANNEL:
            is_set = core.getCurrentConfig(core.getChannelGroup())
        else:
            is_set = core.getProperty(*set_by[name])
        if not _same(value, is_set, near):
            found.append(f"{name} is {is_set}, not {value}")
    return found


def _same(asked: Any, is_set: Any, near: float) -> bool:
    if str(asked) == str(is_set):
        return True
    try:
        return math.isclose(float(asked), float(is_set), rel_tol=0.0, abs_tol=near + 1e-9)
    except ValueError:
        return False
