"""Bring planes to another sampling: bins of whole pixels for a model, any size for a picture."""

from __future__ import annotations

import math
from typing import Any, List, Optional, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from microscope_quality.arguments import (
    as_a,
    as_count,
    as_floats,
    as_numbers,
    as_shape,
    shown,
)
from microscope_quality.errors import ArgumentError, ImageError, SettingsError
from microscope_quality.optics import Optics

Float64Array = NDArray[np.float64]

#: Whether images are brought to a model's sampling: when their optics are known, always, or never.
RESCALINGS = ("auto", "on", "off")
#: One of these; True is "on", False is "off".
Rescaling = Union[bool, str]

# No image is this many times coarser or finer than a model's sampling: its optics are wrong.
COARSEST, FINEST = 4.0, 16.0

# Beyond, sums over an image overflow.
_LARGE = 1e100


def as_rescaling(rescale: Any) -> str:
    """Give one of `RESCALINGS`, which True and False may stand for.

    Raises
    ------
    ArgumentError, SettingsError
        For anything else.
    """
    if isinstance(rescale, (bool, np.bool_)):
        return "on" if rescale else "off"
    if isinstance(rescale, str) and rescale in RESCALINGS:
        return rescale
    raise (SettingsError if isinstance(rescale, str) else ArgumentError)(
        f"rescale must be {', '.join(RESCALINGS)}, True or False, not {shown(rescale)}."
    )


def binning_of(
    optics: Optional[Optics], known: Optics, rescale: Rescaling
) -> Tuple[int, List[str]]:
    """Give by how many pixels an image is binned, down and across, for a model to measure it.

    It is the whole number that brings pixel size * NA / wavelength closest to the model's, by their
    ratio: nothing is interpolated, and an image stays as it is until it is √2 times finer.

    Parameters
    ----------
    optics : Optics or None
        Of the image.
    known : Optics
        Those that the model knows.
    rescale : str or bool
        One of `RESCALINGS`; see `as_rescaling`.

    Returns
    -------
    binning : int
        1 for an image that stays as it is.
    messages : list of str
        What the caller should know about it.

    Raises
    ------
    SettingsError
        When `rescale` is "on" and the optics are not known, or are those of no image.
    """
    wanted = as_rescaling(rescale)
    if optics is None:
        if wanted == "on":
            raise SettingsError("rescale needs the optics of the image when it is on.")
        return 1, []
    as_a(Optics, "optics", optics)
    finer = _relative_pixel_size(as_a(Optics, "known", known)) / _relative_pixel_size(optics)
    if not 1 / COARSEST <= finer <= FINEST:
        times = (
            f"{finer:.3g} times more finely"
            if finer > 1
            else f"{1 / finer:.3g} times more coarsely"
        )
        message = f"The image is sampled {times} than the model's. Are its optics right?"
        if wanted == "on":
            raise SettingsError(message)
        return 1, [message]
    binning = max(1, math.floor(finer))
    # Where the next one is as many times too large as this one is too small.
    binning += finer**2 > binning * (binning + 1)
    if binning > 1 and wanted == "off":
        return 1, [
            f"The image is sampled {finer:.3g} times more finely than the model's, which "
            "looks like blur to it; rescale to its sampling to take that out."
        ]
    return binning, []


def binned(
    patches: NDArray[Any], masks: Optional[NDArray[np.bool_]], binning: int
) -> Tuple[NDArray[Any], Optional[NDArray[np.bool_]]]:
    """Bin patches: the mean of each block of pixels takes its place, so that white noise stays so.

    Parameters
    ----------
    patches : (n, P, P) array
        Of any integer or float type; P is a multiple of `binning`.
    masks : (n, P, P) array of bool, optional
        True where a pixel counts, and is finite.
    binning : int
        Pixels of a block, down and across; 1 gives what was given.

    Returns
    -------
    patches : (n, P / binning, P / binning) array of float64
        Means over the pixels that count of each block that counts; over all, where these are
        finite, of the others.
    masks : array of bool of that shape, or None
        True where at least half of a block counts.

    Raises
    ------
    ImageError, SettingsError
        For patches or masks of another shape or type.
    """
    binning = as_count("binning", binning, 1)
    patches = as_numbers("patches", patches, shape=(None, None, None), error=ImageError)
    if masks is not None:
        masks = as_numbers("masks", masks, shape=patches.shape, kinds="b")
    if binning == 1:
        return patches, masks
    if patches.shape[1] % binning or patches.shape[2] % binning:
        raise SettingsError(
            f"patches of {patches.shape[1]} x {patches.shape[2]} pixels cannot be binned by "
            f"{binning}: sides must be multiples of it."
        )
    exponent = 0
    if patches.dtype.kind == "f":
        patches, exponent = scaled_down(patches)
    if masks is None:
        return _scaled_up(_block_sums(patches, binning) / binning**2, exponent), None
    counts = _block_sums(masks, binning)
    inside = 2 * counts >= binning**2
    counted = _block_sums(np.where(masks, patches, 0), binning) / np.maximum(counts, 1)
    if not inside.all():
        with np.errstate(invalid="ignore", over="ignore"):
            whole = _block_sums(patches, binning) / binning**2
        counted = np.where(inside, counted, whole)
    return _scaled_up(counted, exponent), inside


def _block_sums(patches: NDArray[Any], binning: int) -> Float64Array:
    """Give the sums over blocks of pixels."""
    sums = np.zeros((len(patches), *(side // binning for side in patches.shape[1:])))
    for row in range(binning):
        for column in range(binning):
            sums += patches[:, row::binning, column::binning]
    return sums


def resample(plane: NDArray[Any], shape: Tuple[int, int]) -> Float64Array:
    """Bring a plane to another number of pixels over the same area.

    Along an axis that gets fewer pixels, each is the mean over exactly the area that it covers,
    with fractions of pixels; along one that gets more, cubic splines interpolate.

    Parameters
    ----------
    plane : (height, width) array
        Of finite numbers.
    shape : (int, int)
        The new height and width, 1 at least.

    Returns
    -------
    array of float64
        Of that shape.

    Raises
    ------
    ImageError
        For a plane that is none, or has values that are not finite.
    SettingsError
        For a shape that is none.
    """
    shape = as_shape("shape", shape)
    pixels = as_floats("plane", plane, shape=(None, None), error=ImageError)
    if not pixels.size or not np.isfinite(pixels).all():
        raise ImageError("A plane to resample must have pixels, and finite ones.")
    pixels, exponent = scaled_down(pixels)
    for axis, length in enumerate(shape):
        if length < pixels.shape[axis]:
            pixels = _area_mean(pixels, length, axis)
    if shape != pixels.shape:
        # Imported where it is used: measuring bins, and enlarges nothing.
        from scipy import ndimage

        zoom = [new / old for new, old in zip(shape, pixels.shape)]
        pixels = ndimage.zoom(pixels, zoom, order=3, mode="reflect", grid_mode=True)
    return _scaled_up(pixels, exponent)


def scaled_down(pixels: NDArray[Any]) -> Tuple[Float64Array, int]:
    """Give an image without values whose sums overflow, and the power of 2 that it lacks."""
    floats = as_floats("pixels", pixels, error=ImageError)
    highest = float(np.max(np.abs(floats), where=np.isfinite(floats), initial=0))
    if highest < _LARGE:
        return floats, 0
    exponent = math.frexp(highest)[1]
    return np.ldexp(floats, -exponent), exponent


def _scaled_up(pixels: Float64Array, exponent: int) -> Float64Array:
    """Undo `scaled_down`; what interpolation took beyond floats is the largest one."""
    if not exponent:
        return pixels
    largest = math.ldexp(float(np.finfo(np.float64).max), -exponent)
    return np.ldexp(np.clip(pixels, -largest, largest), exponent)


def _area_mean(pixels: Float64Array, length: int, axis: int) -> Float64Array:
    along = np.moveaxis(pixels, axis, 0)
    # The integral from the border up to an edge is linear between pixels' borders. Means are of
    # differences from one value: sums of a large image with a large offset would lose digits.
    base = along[:1].mean()
    integral = np.zeros((len(along) + 1, along.shape[1]))
    np.cumsum(along - base, axis=0, out=integral[1:])
    edges = np.linspace(0, len(along), length + 1)
    whole = np.minimum(edges.astype(np.intp), len(along) - 1)
    part = (edges - whole)[:, np.newaxis]
    at_edges = integral[whole] * (1 - part) + integral[whole + 1] * part
    means = np.diff(at_edges, axis=0) * (length / len(along)) + base
    return np.moveaxis(means, 0, axis)


def _relative_pixel_size(optics: Optics) -> float:
    """Give the pixel size in units of the resolution, wavelength / NA."""
    return optics.pixel_size_um * optics.na / optics.wavelength_um
