"""Bring planes to another sampling: area means where they get smaller, splines where larger."""

from __future__ import annotations

import math
from typing import Any, List, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from microscope_quality.arguments import as_a, as_flag, as_floats, as_numbers, as_shape
from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.optics import Optics

Float64Array = NDArray[np.float64]

# An image this many times coarser than the model's sampling cannot be interpolated to it.
COARSEST = 4.0
# An image this many times finer looks about half a level more blurred than it is, and then more.
FINER = 1.25

# Beyond, sums over an image overflow.
_LARGE = 1e100


def sampling_of(optics: Optional[Optics], known: Optics, rescale: bool) -> Tuple[float, List[str]]:
    """Give the pixels that a model shall see for a pixel of an image, along an axis.

    Parameters
    ----------
    optics : Optics or None
        Of the image.
    known : Optics
        Those that the model knows.
    rescale : bool
        Bring the image to the sampling of `known`: equal pixel size * NA / wavelength. Without, it
        stays as it is.

    Returns
    -------
    sampling : float
        1 for an image that stays as it is.
    messages : list of str
        What the caller should know about it.

    Raises
    ------
    SettingsError
        When `rescale` lacks the optics, or the image is too coarse to be interpolated.
    """
    if optics is not None:
        as_a(Optics, "optics", optics)
    if as_flag("rescale", rescale) and optics is None:
        raise SettingsError("rescale=True needs the optics of the image.")
    if optics is None:
        return 1.0, []
    own, wanted = _relative_pixel_size(optics), _relative_pixel_size(as_a(Optics, "known", known))
    if not rescale:
        finer = wanted / own
        if finer <= FINER:
            return 1.0, []
        return 1.0, [
            f"The image is sampled {finer:.3g} times more finely than the model's, which "
            "looks like blur to it; rescale to its sampling to take that out."
        ]
    sampling = own / wanted
    if sampling > COARSEST:
        raise SettingsError(
            f"The image is sampled {sampling:.3g} times more coarsely than the model's; "
            f"rescaling goes up to {COARSEST:g} times. Are its optics right?"
        )
    if sampling <= 1.01:
        return sampling, []
    return sampling, [
        f"The image is sampled {sampling:.3g} times more coarsely than the model's and "
        "was interpolated; a slight defocus may not show."
    ]


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
        # Imported where it is used: few images are coarser than the model's sampling.
        from scipy import ndimage

        zoom = [new / old for new, old in zip(shape, pixels.shape)]
        pixels = ndimage.zoom(pixels, zoom, order=3, mode="reflect", grid_mode=True)
    return _scaled_up(pixels, exponent)


def resample_unmasked(
    pixels: NDArray[Any], unmasked: Optional[NDArray[np.bool_]], shape: Tuple[int, int]
) -> Tuple[Float64Array, Optional[NDArray[np.bool_]]]:
    """Bring a plane to another number of pixels, as `resample`, and tell which of them count.

    Those that count have nothing of masked pixels in them; the others are as in the whole plane
    where its pixels are finite.
    """
    if unmasked is None:
        return resample(pixels, shape), None
    floats = as_floats("pixels", pixels, shape=(None, None), error=ImageError)
    unmasked = as_numbers("unmasked", unmasked, shape=floats.shape, kinds="b")
    # Masked pixels take the others' mean, so that they neither ring nor overflow; what is left
    # of them in a new pixel is taken out again.
    floats = np.where(unmasked, floats, 0)
    if not np.isfinite(floats).all():
        raise ImageError("pixels must be finite wherever they are unmasked.")
    floats, exponent = scaled_down(floats)
    mean = floats[unmasked].mean() if unmasked.any() else 0.0
    values = np.where(unmasked, floats, mean) - mean
    share = np.clip(resample(unmasked, shape), 0, 1)
    inside = share >= 0.5
    resampled = resample(values, shape)
    restored = _scaled_up(mean + resampled / np.where(inside, share, 1), exponent)
    if np.isfinite(pixels).all() and not inside.all():
        restored = np.where(inside, restored, resample(pixels, shape))
    return restored, inside


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
