"""What Fiji's menu entries do; the scripts of the menu hand over their parameters, as they come.

Each gives a sentence that says what was found. What is wrong is shown in a dialog where ImageJ has
a window, and is an error elsewhere, so that macros and scripts hear of it. The Esc key stops them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

from fiji_bridge.images import (
    Image,
    Place,
    grey_planes,
    is_image_plus,
    opened,
    pixel_size_um,
    place_in,
)
from fiji_bridge.measurement import measure_stack
from fiji_bridge.showing import Measured, MeasuredStack, add_rows, show_planes, show_stacks, verdict
from microscope_quality import FocusModel, Optics, measure_focus
from microscope_quality.errors import (
    ImageError,
    MicroscopeQualityError,
    SettingsError,
    reason_of,
)

CHANNELS, LUMINANCE = "channels", "luminance"
CURRENT, ALL = "current", "all"

_Command = TypeVar("_Command", bound=Callable[..., str])


class _StoppedError(Exception):
    """Someone pressed the Esc key."""


def _entry(title: str) -> Callable[[_Command], _Command]:
    """Show errors to people, and give them to programs."""

    def wrap(command: _Command) -> _Command:
        @functools.wraps(command)
        def run(*arguments: Any, **options: Any) -> str:
            _ij().resetEscape()
            try:
                said = command(*arguments, **options)
            except _StoppedError:
                said = f"{title}: stopped"
            except MicroscopeQualityError as error:
                if not _shown(title, str(error)):
                    raise
                return ""
            finally:
                _ij().showProgress(1.0)
            _ij().showStatus(said)
            return said

        return run  # type: ignore[return-value]

    return wrap


@_entry("Measure Focus")
def measure_planes(
    image: Any,
    planes: Any = CURRENT,
    colour: Any = CHANNELS,
    overlay: Any = True,
    legend: Any = True,
    in_focus_limit: Any = 1.0,
    na: Any = None,
    refractive_index: Any = 1.0,
    wavelength_um: Any = 0.5,
    rescale: Any = False,
    model: Any = "",
) -> str:
    """Measure the current plane of an image or all of them, and show the results on it.

    Parameters
    ----------
    image : ij.ImagePlus
    planes : "current" or "all"
    colour : "channels" or "luminance"
        How colours are measured, unless all three are equal.
    overlay, legend : bool
    in_focus_limit : float
        The highest level that is in focus.
    na : float, optional
        Numerical aperture; None, NaN or 0 when it is not known. With it, the image's calibration
        gives the pixel size.
    refractive_index, wavelength_um : float
        Used with `na`.
    rescale : bool
        Bring the image to the sampling that the model knows.
    model : str
        Name or folder of a model; the library's own when it is empty.

    Returns
    -------
    str
        The result of one plane, or how many were measured.

    Raises
    ------
    MicroscopeQualityError
        Where ImageJ has no window.
    """
    source = _source(image)
    used = FocusModel.from_pretrained(_text(model) or None)
    optics = _optics(source, na, refractive_index, wavelength_um)
    by_luminance = _choice("colour", colour, CHANNELS, LUMINANCE) == LUMINANCE
    places = _places(source, image, _choice("planes", planes, CURRENT, ALL))
    counts = source.mask()
    measured = []
    with _locked(image, source.title):
        for done, place in enumerate(places):
            for channel, plane in grey_planes(source, place, by_luminance=by_luminance):
                result = measure_focus(
                    plane,
                    used,
                    optics=optics,
                    rescale=bool(rescale),
                    mask=counts,
                    in_focus_limit=float(in_focus_limit),
                )
                measured.append(Measured(place, channel, result))
            _progress((done + 1) / len(places))
        show_planes(image, measured, overlay=bool(overlay), legend=bool(legend))
    if len(measured) > 1:
        return f"{source.title}: {len(measured)} planes measured"
    result = measured[0].result
    return f"{source.title}: {verdict(result)}" + (f". {result.message}" if result.message else "")


@_entry("Find Best Plane")
def find_best_plane(
    image: Any,
    colour: Any = LUMINANCE,
    overlay: Any = True,
    legend: Any = True,
    in_focus_limit: Any = 1.0,
    na: Any = None,
    refractive_index: Any = 1.0,
    wavelength_um: Any = 0.5,
    rescale: Any = False,
    model: Any = "",
) -> str:
    """Find the slice in focus for each channel and frame, and go to that of the current ones.

    Parameters
    ----------
    image, overlay, legend, in_focus_limit, na, refractive_index, wavelength_um, rescale, model
        As for `measure_planes`.
    colour : "luminance" or "channels"
        Colours are measured as one, or each.

    Returns
    -------
    str
        The best slice of the current channel and frame.

    Raises
    ------
    MicroscopeQualityError
        Where ImageJ has no window.
    """
    source = _source(image)
    used = FocusModel.from_pretrained(_text(model) or None)
    optics = _optics(source, na, refractive_index, wavelength_um)
    one = source.colour and _choice("colour", colour, LUMINANCE, CHANNELS) == LUMINANCE
    channels = range(1, source.channels + 1, 3 if one else 1)
    stacks = [(c, t) for t in range(1, source.frames + 1) for c in channels]
    found = []
    with _locked(image, source.title):
        for done, (c, t) in enumerate(stacks):
            chosen = None if one and source.channels == 3 else c
            result = measure_stack(
                image,
                used,
                c=chosen,
                t=t,
                luminance=one,
                optics=optics,
                rescale=bool(rescale),
                in_focus_limit=float(in_focus_limit),
            )
            colour_channel = chosen if source.colour else None
            found.append(MeasuredStack(Place(c, 1, t), colour_channel, result))
            _progress((done + 1) / len(stacks))
        result = show_stacks(image, found, overlay=bool(overlay), legend=bool(legend)).result
    if result.best_plane is not None:
        return (
            f"{source.title}: best focus in slice {result.best_plane + 1} of {source.slices}, "
            f"expected level {result.expected_level:.1f}"
        )
    if math.isnan(result.expected_level):
        return f"{source.title}: no plane is in focus: none has content"
    return (
        f"{source.title}: no plane is in focus: the lowest expected level is "
        f"{result.expected_level:.1f}"
    )


@_entry("Measure Folder")
def measure_folder(
    folder: Any,
    csv: Any = "",
    colour: Any = CHANNELS,
    in_focus_limit: Any = 1.0,
    na: Any = None,
    refractive_index: Any = 1.0,
    wavelength_um: Any = 0.5,
    pixel_size_um: Any = None,
    rescale: Any = False,
    model: Any = "",
) -> str:
    """Measure all images of a folder and its subfolders, each plane a row in the Results table.

    Parameters
    ----------
    folder : path
    csv : path
        Of a table like ``results.csv`` to write, in which z, c and t count from 1; none when it is
        empty.
    pixel_size_um : float, optional
        Needed with `na`: the files' own calibration is not read.
    colour, in_focus_limit, na, refractive_index, wavelength_um, rescale, model
        As for `measure_planes`.

    Returns
    -------
    str
        How many files and planes, and how many of them could not be measured: these are rows with
        their error.

    Raises
    ------
    MicroscopeQualityError
        Where ImageJ has no window.
    """
    from microscope_quality.files.images import find_some, planes
    from microscope_quality.files.tables import Table, columns

    place = Path(_text(folder))
    if not _text(folder) or not place.is_dir():
        raise SettingsError(f"folder must be a folder of images, not {_text(folder)!r}.")
    used = FocusModel.from_pretrained(_text(model) or None)
    by_luminance = _choice("colour", colour, CHANNELS, LUMINANCE) == LUMINANCE
    optics = None
    if _number(na):
        if not _number(pixel_size_um):
            raise SettingsError("With na, pixel_size_um is needed: the pixel's side in µm.")
        optics = Optics(
            _number(na), float(refractive_index), float(wavelength_um), _number(pixel_size_um)
        )
    files = find_some([place])
    names = columns(used.description.levels)
    table = Table(Path(_text(csv)), names) if _text(csv) else None
    rows: list[dict[str, Any]] = []
    failed = 0
    try:
        for done, (name, path) in enumerate(files):
            written = len(rows)
            try:
                for plane in planes(path, luminance=by_luminance):
                    at = {"z": plane.z, "c": plane.c, "t": plane.t, "series": plane.series}
                    row: dict[str, Any] = {"file": name}
                    row.update((k, i + 1) for k, i in at.items() if i is not None)
                    result = measure_focus(
                        plane.array,
                        used,
                        optics=optics,
                        rescale=bool(rescale),
                        in_focus_limit=float(in_focus_limit),
                    )
                    rows.append({**row, **result.to_row(), "message": result.message})
            except MicroscopeQualityError as error:
                failed += 1
                rows.append({"file": name, "error": reason_of(error, path)})
            if table is not None:
                table.append(*rows[written:])
            _progress((done + 1) / len(files))
        if table is not None:
            table.finish()
    finally:
        # Also after Esc: what is measured stays.
        if table is not None:
            table.close()
        add_rows(names, rows)
    measured = len(rows) - failed
    return (
        f"{len(files)} {'file' if len(files) == 1 else 'files'}, "
        f"{measured} {'plane' if measured == 1 else 'planes'} measured"
        + (f", {failed} with an error" if failed else "")
    )


@_entry("Synthesize Defocus Set")
def synthesize_set(
    image: Any,
    out: Any,
    planes: Any = CURRENT,
    colour: Any = LUMINANCE,
    lowest_photons: Any = 300.0,
    highest_photons: Any = 20_000.0,
    seed: Any = 0,
    na: Any = None,
    refractive_index: Any = 1.0,
    wavelength_um: Any = 0.5,
) -> str:
    """Make a defocus training set from an open, sharp image: its planes at levels 0 to 10.

    Parameters
    ----------
    image : ij.ImagePlus
    out : path
        New or empty folder for the set.
    planes, colour
        As for `measure_planes`.
    lowest_photons, highest_photons : float
        Photoelectrons at the image's brightest percent, drawn between the two.
    seed : int
        The same seed gives the same set.
    na : float, optional
        Numerical aperture of the microscope to simulate; with it, the image's calibration gives
        the pixel size. Else it is the one that the library's model knows.
    refractive_index, wavelength_um : float
        Used with `na`.

    Returns
    -------
    str
        What was written, and where.

    Raises
    ------
    MicroscopeQualityError
        Where ImageJ has no window.
    """
    from microscope_quality.training.entries import entry_of
    from microscope_quality.training.microscope import Microscope
    from microscope_quality.training.sets import SetSettings, SetWriter

    source = _source(image)
    if not _text(out):
        raise SettingsError("out must be a new or empty folder for the set.")
    optics = _optics(source, na, refractive_index, wavelength_um)
    settings = SetSettings(
        Microscope() if optics is None else Microscope(optics=optics),
        photons=(float(lowest_photons), float(highest_photons)),
        seed=int(seed),
    )
    by_luminance = _choice("colour", colour, LUMINANCE, CHANNELS) == LUMINANCE
    places = _places(source, image, _choice("planes", planes, CURRENT, ALL))
    info = image.getOriginalFileInfo()
    folder = "" if info is None or info.directory is None else str(info.directory)
    entry = entry_of(Path(folder, source.title))
    left_out: list[MicroscopeQualityError] = []
    with SetWriter(Path(_text(out)), settings) as writer:
        number = 0
        for done, place in enumerate(places):
            for _, plane in grey_planes(source, place, by_luminance=by_luminance):
                try:
                    writer.add_plane(source.title, number, plane, entry)
                except ImageError as error:
                    left_out.append(error)
                number += 1
            _progress((done + 1) / len(places))
    if not writer.n_images:
        raise left_out[0]
    images = f"{writer.n_images} {'image' if writer.n_images == 1 else 'images'}"
    return f"{images} of {source.title}, 11 levels each: {_text(out)}" + (
        f"; {len(left_out)} left out: {left_out[0]}" if left_out else ""
    )


def _source(image: Any) -> Image:
    if image is None or not is_image_plus(image):
        raise ImageError("No image is open.")
    return opened(image)


def _places(source: Image, image: Any, planes: str) -> list[Place]:
    """Give the places of the current plane or of all, in the order of the stack."""
    if planes == CURRENT:
        return [place_in(source)]
    step = 3 if source.colour else 1
    places = []
    for index in range(1, int(image.getStackSize()) + 1):
        channel, z, t = (int(number) for number in image.convertIndexToPosition(index))
        places.append(Place((channel - 1) * step + 1, z, t))
    return places


def _optics(source: Image, na: Any, refractive_index: Any, wavelength_um: Any) -> Optional[Optics]:
    if not _number(na):
        return None
    return Optics(_number(na), float(refractive_index), float(wavelength_um), pixel_size_um(source))


def _number(value: Any) -> float:
    """Give a number that may be left away: 0 when it is."""
    if value is None or math.isnan(float(value)):
        return 0.0
    return float(value)


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _choice(name: str, value: Any, *words: str) -> str:
    if _text(value) not in words:
        raise SettingsError(f"{name} must be {' or '.join(words)}, not {_text(value)!r}.")
    return _text(value)


@contextmanager
def _locked(image: Any, title: str) -> Iterator[None]:
    """Make sure that nothing else works on an image meanwhile."""
    if not image.lockSilently():
        raise ImageError(f"The image {title!r} is in use by another command.")
    try:
        yield
    finally:
        image.unlock()


def _ij() -> Any:
    import jpype

    return jpype.JClass("ij.IJ")


def _progress(share: float) -> None:
    """Move the progress bar, and stop when the Esc key was pressed."""
    _ij().showProgress(float(share))
    if share < 1 and _ij().escapePressed():
        raise _StoppedError


def _shown(title: str, message: str) -> bool:
    """Show an error in a dialog; not where ImageJ has no window."""
    if _ij().getInstance() is None:
        return False
    _ij().error(title, message)
    return True
