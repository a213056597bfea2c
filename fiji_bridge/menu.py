"""What Fiji's menu entries do; the scripts of the menu hand over their parameters, as they come.

Each gives a sentence that says what was found. What is wrong is shown in a dialog where ImageJ has
a window, and is an error elsewhere, so that macros and scripts hear of it. The Esc key stops them;
what is measured until then is shown.
"""

from __future__ import annotations

import contextlib
import functools
import math
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from fiji_bridge.drawing import WORDS, Result, verdict
from fiji_bridge.images import (
    Array,
    Image,
    Position,
    grey_planes,
    is_image_plus,
    opened,
    pixel_size_um,
    position_in,
)
from fiji_bridge.measurement import masked, measure_stack
from fiji_bridge.showing import (
    FOLDER,
    Measured,
    MeasuredStack,
    add_rows,
    show_planes,
    show_stacks,
)
from microscope_quality import FocusModel, FocusResult, Optics, measure_focus
from microscope_quality.components import LOWEST_GOOD_SCORE
from microscope_quality.errors import ImageError, MicroscopeQualityError, SettingsError
from microscope_quality.rater import RatingModel, RatingResult, rate_image

CHANNELS, LUMINANCE = "channels", "luminance"
CURRENT, ALL = "current", "all"

# Axes that tables of the library count from 0.
_COUNTED = ("z", "c", "t", "series")

_Command = TypeVar("_Command", bound=Callable[..., str])


class _StoppedError(Exception):
    """Someone pressed the Esc key; the message says how far the command had come."""


def _entry(title: str) -> Callable[[_Command], _Command]:
    """Show errors to people, and give them to programs."""

    def wrap(command: _Command) -> _Command:
        @functools.wraps(command)
        def run(*arguments: Any, **options: Any) -> str:
            _ij().resetEscape()
            try:
                said = command(*arguments, **options)
            except _StoppedError as stopped:
                said = f"{title}: stopped at {stopped}"
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
    in_focus_limit: Any = 1.5,
    na: Any = None,
    refractive_index: Any = 1.0,
    wavelength_um: Any = 0.5,
    rescale: Any = True,
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
        The highest expected level that is in focus.
    na : float, optional
        Numerical aperture; None, NaN or 0 when it is not known. With it, the image's calibration
        gives the pixel size.
    refractive_index, wavelength_um : float
        Used with `na`.
    rescale : bool
        Bin a finely sampled image to the sampling that the model knows, when `na` is given.
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
    counts = source.mask()

    def measured(plane: Array) -> FocusResult:
        return measure_focus(
            plane,
            used,
            optics=optics,
            rescale=_rescaling(rescale),
            mask=counts,
            in_focus_limit=float(in_focus_limit),
        )

    return _each_plane(
        "Measure Focus", image, source, planes, colour, measured, bool(overlay), bool(legend)
    )


@_entry("Rate Image")
def rate_planes(
    image: Any,
    planes: Any = CURRENT,
    colour: Any = CHANNELS,
    overlay: Any = True,
    legend: Any = True,
    score_limit: Any = LOWEST_GOOD_SCORE,
    patches: Any = None,
    model: Any = "",
) -> str:
    """Rate the current plane of an image or all of them, and show the results on it.

    Parameters
    ----------
    image, planes, colour, overlay, legend
        As for `measure_planes`.
    score_limit : float
        The lowest score that is good.
    patches : int, optional
        Number of random places to rate; None or 0 for the whole image.
    model : str
        Name or folder of a rater; the library's own when it is empty.

    Returns
    -------
    str
        The result of one plane, or how many were rated.

    Raises
    ------
    MicroscopeQualityError
        Where ImageJ has no window.
    """
    source = _source(image)
    used = RatingModel.from_pretrained(_text(model) or None)
    counts = source.mask()
    number = int(_number(patches)) or None

    def rated(plane: Array) -> RatingResult:
        return rate_image(
            masked(plane, counts), used, patches=number, score_limit=float(score_limit)
        )

    return _each_plane(
        "Rate Image", image, source, planes, colour, rated, bool(overlay), bool(legend)
    )


def _each_plane(
    title: str,
    image: Any,
    source: Image,
    planes: Any,
    colour: Any,
    measure: Callable[[Array], Result],
    overlay: bool,
    legend: bool,
) -> str:
    """Measure the current plane of an image or all of them; show and tell what came out."""
    by_luminance = _choice("colour", colour, CHANNELS, LUMINANCE) == LUMINANCE
    positions = _positions(source, image, _choice("planes", planes, CURRENT, ALL))
    measured: list[Measured] = []

    def show() -> None:
        if measured:
            show_planes(image, measured, overlay=overlay, legend=legend)

    with _locked(image, source.title), _kept(show):
        for done, position in enumerate(positions):
            at = f"plane {done + 1} of {len(positions)}"
            _goes_on(title, at, done / len(positions), len(measured))
            for channel, plane in grey_planes(source, position, by_luminance=by_luminance):
                measured.append(Measured(position, channel, measure(plane)))
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
    in_focus_limit: Any = 1.5,
    na: Any = None,
    refractive_index: Any = 1.0,
    wavelength_um: Any = 0.5,
    rescale: Any = True,
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
    found: list[MeasuredStack] = []
    shown: list[MeasuredStack] = []

    def show() -> None:
        if found:
            shown.append(show_stacks(image, found, overlay=bool(overlay), legend=bool(legend)))

    with _locked(image, source.title), _kept(show):
        for done, (c, t) in enumerate(stacks):
            at = f"stack {done + 1} of {len(stacks)}"
            _goes_on("Find Best Plane", at, done / len(stacks), len(found))
            chosen = None if one and source.channels == 3 else c
            result = measure_stack(
                image,
                used,
                c=chosen,
                t=t,
                luminance=one,
                optics=optics,
                rescale=_rescaling(rescale),
                in_focus_limit=float(in_focus_limit),
            )
            colour_channel = chosen if source.colour else None
            found.append(MeasuredStack(Position(c, 1, t), colour_channel, result))
    result = shown[0].result
    if result.best_plane is None:
        return f"{source.title}: no plane has content"
    said = f"{source.title}: best focus in slice {result.best_plane + 1} of {source.slices}"
    if not math.isnan(result.expected_level):
        said += f", expected level {result.expected_level:.1f}"
    return f"{said}, {WORDS[result.status]}"


@_entry("Measure Folder")
def measure_folder(
    folder: Any,
    csv: Any = "",
    colour: Any = CHANNELS,
    in_focus_limit: Any = 1.5,
    na: Any = None,
    refractive_index: Any = 1.0,
    wavelength_um: Any = 0.5,
    pixel_size_um: Any = None,
    rescale: Any = True,
    model: Any = "",
    results: Any = "",
) -> str:
    """Measure all images of a folder and its subfolders, each plane a row in a table.

    Parameters
    ----------
    folder : path
    csv : path
        Of a table like ``results.csv`` to write, in which z, c and t count from 1; none when it is
        empty.
    pixel_size_um : float, optional
        Needed with `na`.
    results : path
        Folder for tables as `microscope-quality measure` keeps them: what was measured there
        before, also until someone pressed Esc, is not measured again; none when it is empty.
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
    from microscope_quality.batch.run import n_cores
    from microscope_quality.files.columns import Column, names, plane_columns
    from microscope_quality.files.tables import Table
    from microscope_quality.measuring.focus import Focus
    from microscope_quality.measuring.measure_files import measure_files
    from microscope_quality.measuring.settings import Settings

    images = Path(_text(folder))
    if not _text(folder) or not images.is_dir():
        raise SettingsError(f"folder must be a folder of images, not {_text(folder)!r}.")
    optics: dict[str, float] = {}
    if _number(na):
        if not _number(pixel_size_um):
            raise SettingsError("With na, pixel_size_um is needed: the pixel's side in µm.")
        optics = Optics(
            _number(na), float(refractive_index), float(wavelength_um), _number(pixel_size_um)
        ).to_dict()
    focus = Focus(
        _text(model) or None,
        optics,
        rescale=_rescaling(rescale),
        in_focus_limit=float(in_focus_limit),
    )
    by_luminance = _choice("colour", colour, CHANNELS, LUMINANCE) == LUMINANCE
    settings = Settings((focus,), luminance=by_luminance, digest=bool(_text(results)))
    columns = (*plane_columns(focus.columns), *focus.last_columns)
    rows: list[dict[str, Any]] = []

    def shown(row: Mapping[str, Any], column: Column) -> Any:
        """Give a field as ImageJ has it."""
        value = row[column.name]
        return value if value is None or column.name not in _COUNTED else value + 1

    _let_processes_be_pythons()
    measuring = measure_files(
        images,
        settings,
        out=_text(results) or None,
        jobs=n_cores(),
        progress=lambda done, known: _goes_on(
            "Measure Folder", f"page {min(done + 1, known)} of {known}", done / known, len(rows)
        ),
    )
    with contextlib.ExitStack() as stack:
        table = None
        if _text(csv):
            table = stack.enter_context(contextlib.closing(Table(Path(_text(csv)), names(columns))))
        # Also after Esc: what is measured stays.
        stack.callback(lambda: add_rows(FOLDER, names(columns), rows))
        stack.enter_context(_kept(lambda: table.finish() if table is not None and rows else None))
        stack.enter_context(contextlib.closing(measuring))
        for row in measuring:
            rows.append({column.name: shown(row, column) for column in columns})
            if table is not None:
                table.append(rows[-1])
    files = len({row["file"] for row in rows})
    failed = sum(row["error"] is not None for row in rows)
    measured = len(rows) - failed
    return (
        f"{files} {'file' if files == 1 else 'files'}, "
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
    from microscope_quality.training.defocus.microscope import Microscope
    from microscope_quality.training.defocus.sets import SetSettings, SetWriter
    from microscope_quality.training.entries import entry_of

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
    positions = _positions(source, image, _choice("planes", planes, CURRENT, ALL))
    info = image.getOriginalFileInfo()
    folder = "" if info is None or info.directory is None else str(info.directory)
    entry = entry_of(Path(folder, source.title))
    left_out: list[MicroscopeQualityError] = []
    with SetWriter(Path(_text(out)), settings) as writer:
        number = 0
        for done, position in enumerate(positions):
            at = f"plane {done + 1} of {len(positions)}"
            _goes_on("Synthesize Defocus Set", at, done / len(positions), 0)
            for _, plane in grey_planes(source, position, by_luminance=by_luminance):
                try:
                    writer.add_plane(source.title, number, plane, entry)
                except ImageError as error:
                    left_out.append(error)
                number += 1
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


def _positions(source: Image, image: Any, planes: str) -> list[Position]:
    """Give the positions of the current plane or of all, in the order of the stack."""
    if planes == CURRENT:
        return [position_in(source)]
    step = 3 if source.colour else 1
    positions = []
    for index in range(1, int(image.getStackSize()) + 1):
        channel, z, t = (int(number) for number in image.convertIndexToPosition(index))
        positions.append(Position((channel - 1) * step + 1, z, t))
    return positions


def _optics(source: Image, na: Any, refractive_index: Any, wavelength_um: Any) -> Optics | None:
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


def _rescaling(rescale: Any) -> str:
    """Give the rescaling that a dialog's box stands for: of images whose optics are known."""
    return "auto" if rescale else "off"


def _choice(name: str, value: Any, *words: str) -> str:
    if _text(value) not in words:
        raise SettingsError(f"{name} must be {' or '.join(words)}, not {_text(value)!r}.")
    return _text(value)


@contextlib.contextmanager
def _locked(image: Any, title: str) -> Iterator[None]:
    """Make sure that nothing else works on an image meanwhile."""
    if not image.lockSilently():
        raise ImageError(f"The image {title!r} is in use by another command.")
    try:
        yield
    finally:
        image.unlock()


def _let_processes_be_pythons() -> None:
    """See that processes at work are Python's also where Fiji's launcher has started it."""
    if not Path(sys.executable or "").name.lower().startswith("python"):
        own = "python.exe" if os.name == "nt" else "bin/python3"
        multiprocessing.set_executable(str(Path(sys.exec_prefix, own)))


def _ij() -> Any:
    import jpype

    return jpype.JClass("ij.IJ")


def _goes_on(title: str, at: str, share: float, rows: int) -> None:
    """Tell in the status line what runs, and stop when the Esc key was pressed.

    Parameters
    ----------
    title : str
        Of the command.
    at : str
        What it is at, such as ``"plane 3 of 8"``.
    share : float
        That is done, 0 to 1.
    rows : int
        So many that it has.
    """
    if share < 1 and _ij().escapePressed():
        kept = f"{rows} {'row is' if rows == 1 else 'rows are'} in the table"
        raise _StoppedError(f"{at}; {kept if rows else 'nothing is measured'}")
    _ij().showStatus(f"{title}: {at}")
    _ij().showProgress(float(share))


@contextlib.contextmanager
def _kept(show: Callable[[], None]) -> Iterator[None]:
    """Show what is measured when it is complete, and also when someone pressed the Esc key."""
    try:
        yield
    except _StoppedError:
        show()
        raise
    show()


def _shown(title: str, message: str) -> bool:
    """Show an error in a dialog; not where ImageJ has no window."""
    if _ij().getInstance() is None:
        return False
    _ij().error(title, message)
    return True
