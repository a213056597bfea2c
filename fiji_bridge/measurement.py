"""Measure the focus of an image of ImageJ's, or rate it, in any form that Python meets it in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fiji_bridge.images import (
    Array,
    Image,
    Position,
    grey_plane,
    opened,
    pixel_size_um,
    position_in,
)
from microscope_quality import FocusResult, Optics, StackResult
from microscope_quality import measure_focus as measure_plane
from microscope_quality import measure_stack as measure_planes
from microscope_quality.components import LOWEST_GOOD_SCORE
from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.model import ModelLike
from microscope_quality.rater import RaterLike, RatingResult, rate_image
from microscope_quality.resampling import Rescaling


@dataclass(frozen=True, eq=False, repr=False)
class PlaneResult(FocusResult):
    """The focus of a plane of an image, with the plane's place in the image.

    Attributes
    ----------
    c, z, t : int
        Channel, slice and frame, counted from 1; 1, 2 and 3 are red, green and blue.
    colour : bool
        The plane is one of the three channels of a colour.
    """

    c: int
    z: int
    t: int
    colour: bool

    def __repr__(self) -> str:
        """Tell the place and the outcome."""
        outcome = super().__repr__().partition(": ")[2]
        return f"<PlaneResult: c {self.c}, z {self.z}, t {self.t}, {outcome}"


@dataclass(frozen=True, eq=False, repr=False)
class PlaneRating(RatingResult):
    """The rating of a plane of an image, with the plane's place in the image.

    Attributes
    ----------
    c, z, t, colour
        As of `PlaneResult`.
    """

    c: int = 1
    z: int = 1
    t: int = 1
    colour: bool = False

    def __repr__(self) -> str:
        """Tell the place and the outcome."""
        outcome = super().__repr__().partition(": ")[2]
        return f"<PlaneRating: c {self.c}, z {self.z}, t {self.t}, {outcome}"


def measure(
    image: Any,
    model: ModelLike = None,
    *,
    c: int | None = None,
    z: int | None = None,
    t: int | None = None,
    luminance: bool = False,
    optics: Optics | None = None,
    rescale: Rescaling = "auto",
    mask: ArrayLike | None = None,
    in_focus_limit: float = 1.5,
) -> PlaneResult:
    """Measure how far a plane of an image is out of focus.

    Parameters
    ----------
    image : ij.ImagePlus, net.imagej.Dataset, net.imagej.ImgPlus, xarray.DataArray or array
        Of an ``ImagePlus``, of any type, the pixels inside an area selection count; a virtual
        stack's plane is read alone. A ``Dataset`` or ``ImgPlus`` must keep its pixels in arrays.
        An xarray has the dims ``t, pln, row, col, ch``, or some of them. A NumPy array is
        (height, width) or (slices, height, width), and (…, 3) when it is coloured.
    model : FocusModel, str or path, optional
        A model, or the name or folder of one; by default the one that comes with the library.
    c, z, t : int, optional
        Channel, slice and frame, counted from 1. Unless given, those that an ``ImagePlus`` shows;
        of another image with several, they must be given. 1, 2 and 3 are red, green and blue.
    luminance : bool
        Turn colours into one grey plane (ITU-R BT.709). Three equal colours are one in any case.
    optics : Optics, optional
        Of the image, see `optics_of`; gives `FocusResult.defocus_um`.
    rescale : "auto", "on", "off" or bool
        Bin a finely sampled image to the sampling that the model knows: see the library's
        `measure_focus`.
    mask : (height, width) array, optional
        True (not 0) where a pixel counts; outside the selection none does.
    in_focus_limit : float
        The highest expected level that is in focus.

    Returns
    -------
    PlaneResult
        The library's `FocusResult`, which knows its plane.

    Raises
    ------
    ImageError
        For what is no image, has no pixels, or three different colours of which none is chosen.
    SettingsError
        For a channel, slice or frame that is missing or does not exist, and as `measure_focus` of
        the library.
    ModelNotFoundError, ModelError
        As there.
    """
    source = opened(image)
    position = position_in(source, c, z, t)
    result = measure_plane(
        grey_plane(source, position, chosen=c is not None, by_luminance=luminance),
        model,
        optics=optics,
        rescale=rescale,
        mask=_mask(source, mask),
        in_focus_limit=in_focus_limit,
    )
    return _placed(result, position, colour=source.colour and c is not None and not luminance)


def rate(
    image: Any,
    model: RaterLike = None,
    *,
    c: int | None = None,
    z: int | None = None,
    t: int | None = None,
    luminance: bool = False,
    patches: int | None = None,
    seed: int = 0,
    mask: ArrayLike | None = None,
    score_limit: float = LOWEST_GOOD_SCORE,
) -> PlaneRating:
    """Rate a plane of an image of an electron microscope, and say what is wrong with it.

    Parameters
    ----------
    image, c, z, t, luminance
        As for `measure`; lines run from left to right. Of an area selection, patches that lie
        inside count.
    model : RatingModel, str or path, optional
        A rater, or the name or folder of one; by default the one that comes with the library.
    patches, seed : int
        Number of random places to rate, and what draws them: see the library's `rate_image`.
    mask : (height, width) array, optional
        True (not 0) where a pixel counts; outside the selection none does.
    score_limit : float
        The lowest score that is good.

    Returns
    -------
    PlaneRating
        The library's `RatingResult`, which knows its plane.

    Raises
    ------
    ImageError, SettingsError, ModelNotFoundError, ModelError
        As `measure`, and as `rate_image` of the library.
    """
    source = opened(image)
    position = position_in(source, c, z, t)
    plane = grey_plane(source, position, chosen=c is not None, by_luminance=luminance)
    result = rate_image(
        masked(plane, _mask(source, mask)),
        model,
        patches=patches,
        seed=seed,
        score_limit=score_limit,
    )
    values = {field.name: getattr(result, field.name) for field in fields(RatingResult)}
    colour = source.colour and c is not None and not luminance
    return PlaneRating(**values, c=position.c, z=position.z, t=position.t, colour=colour)


def masked(plane: Array, counts: Array | None) -> Array:
    """Give a plane of which some pixels count, as `rate_image` takes it; None for all."""
    if counts is None:
        return plane
    if counts.shape != plane.shape:
        raise SettingsError(
            f"The mask must have the image's shape {plane.shape}, not {counts.shape}."
        )
    return np.ma.MaskedArray(plane, mask=counts == 0)


def measure_stack(
    image: Any,
    model: ModelLike = None,
    *,
    c: int | None = None,
    t: int | None = None,
    luminance: bool = False,
    optics: Optics | None = None,
    rescale: Rescaling = "auto",
    mask: ArrayLike | None = None,
    in_focus_limit: float = 1.5,
) -> StackResult:
    """Measure the slices of a channel and frame, and find the one in focus.

    Parameters
    ----------
    image, model, c, t, luminance, optics, rescale, mask, in_focus_limit
        As for `measure`. The slices are read one at a time.

    Returns
    -------
    StackResult
        The library's, whose `best_plane` counts from 0: slice ``best_plane + 1`` in ImageJ. Its
        `results` are `PlaneResult`.

    Raises
    ------
    ImageError, SettingsError, ModelNotFoundError, ModelError
        As `measure`; `ImageError` also for an image with one slice.
    """
    source = opened(image)
    if source.slices < 2:
        raise ImageError(
            f"The image {source.title!r} has one slice and {source.frames} frame(s); the best "
            "plane is found along z. Image > Properties... in ImageJ tells which axis is which."
        )
    first = position_in(source, c, 1, t)

    def planes() -> Iterator[Array]:
        for z in range(1, source.slices + 1):
            position = position_in(source, first.c, z, first.t)
            yield grey_plane(source, position, chosen=c is not None, by_luminance=luminance)

    counts = _mask(source, mask)
    stack = measure_planes(
        planes(),
        model,
        optics=optics,
        rescale=rescale,
        masks=None if counts is None else [counts] * source.slices,
        in_focus_limit=in_focus_limit,
    )
    colour = source.colour and c is not None and not luminance
    placed = (
        _placed(result, replace(first, z=z), colour=colour)
        for z, result in enumerate(stack.results, start=1)
    )
    return replace(stack, results=tuple(placed))


def optics_of(
    image: Any, na: float, refractive_index: float = 1.0, wavelength_um: float = 0.5
) -> Optics:
    """Describe the microscope, with the pixel size from an image's calibration.

    Parameters
    ----------
    image : ij.ImagePlus, net.imagej.Dataset or net.imagej.ImgPlus
        Calibrated in a unit of length: micron (µm, um), nm, mm, cm or m. Inches are a printer's.
    na : float
        Numerical aperture.
    refractive_index : float
        Of the immersion medium: 1 for air, 1.33 for water, 1.515 for oil.
    wavelength_um : float
        Of the light that is imaged, in µm.

    Raises
    ------
    OpticsError
        For an image in pixels, or with pixels whose sides differ by a tenth or more; for optics
        that cannot exist.
    ImageError
        For what is no image.
    """
    return Optics(na, refractive_index, wavelength_um, pixel_size_um(opened(image)))


def _placed(result: FocusResult, position: Position, *, colour: bool) -> PlaneResult:
    values = {field.name: getattr(result, field.name) for field in fields(FocusResult)}
    return PlaneResult(**values, c=position.c, z=position.z, t=position.t, colour=colour)


def _mask(source: Image, mask: ArrayLike | None) -> Array | None:
    selected = source.mask()
    if mask is None or selected is None:
        return selected if mask is None else np.asarray(mask)
    given: Array = np.asarray(mask) != 0
    if given.shape != selected.shape:
        raise SettingsError(
            f"The mask must have the image's shape {selected.shape}, not {given.shape}."
        )
    given &= selected
    return given
