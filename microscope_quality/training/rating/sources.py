"""Sharp fields to degrade: squares out of sharp images, and drawn tissue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import gaussian_filter

from microscope_quality.errors import SettingsError
from microscope_quality.training.rating.tissue import drawn_tissue

Float32Array = NDArray[np.float32]

#: A field is scaled down by so much at the most.
MOST_SCALE = 2.5
#: Share of the fields that are a little soft themselves, and how much at the most, in pixels: not
#: every specimen is as sharp as a microscope could show it, which is no fault of the image.
SOFT_SHARE, MOST_SOFTNESS_PX = 0.5, 1.1
# Less is no scaling, but interpolation that smooths.
_LEAST_SCALE = 1.02
_DRAWN_SIDE_PX = 640
# Variance in pixels of what takes the value between pixels, beside that which scaling needs.
_OF_PIXEL = 0.1


@dataclass(frozen=True, eq=False)
class Source:
    """Sharp images of one kind.

    Attributes
    ----------
    name : str
        Of the kind, for a model's record.
    images : sequence of (height, width) arrays
        Sharp, of any type.
    share : float
        Of the fields that are drawn from this kind, beside those of others.
    least_scale : float
        By how much they are scaled down at the least: 1 for images that are sharp to the pixel,
        more for those that are a little soft or noisy, which that mends.
    """

    name: str
    images: Sequence[NDArray[np.generic]]
    share: float = 1.0
    least_scale: float = 1.0

    def __post_init__(self) -> None:
        if not len(self.images):
            raise SettingsError(f"The source {self.name!r} must have one image at least.")
        if not 1 <= self.least_scale <= MOST_SCALE:
            raise SettingsError(f"least_scale must be from 1 to {MOST_SCALE}.")


def drawn_source(number: int, seed: int, share: float = 1.0) -> Source:
    """Draw so many fields of tissue; see `tissue.drawn_tissue`."""
    generator = np.random.default_rng(seed)
    fields = [drawn_tissue(_DRAWN_SIDE_PX, generator) for _ in range(number)]
    return Source("drawn tissue", fields, share)


def sharp_field(
    sources: Sequence[Source], side_px: int, generator: np.random.Generator
) -> Float32Array:
    """Draw a square out of the images of sources: scaled, turned, mirrored, inverted at random.

    An image that is smaller than the square goes on as its mirror image.

    Parameters
    ----------
    sources
        One at least.
    side_px : int
        Of the square.
    generator
        Draws all that is random.

    Returns
    -------
    (side_px, side_px) array of float32
    """
    rng = generator
    shares = np.array([source.share for source in sources])
    source = sources[int(rng.choice(len(sources), p=shares / shares.sum()))]
    image = source.images[int(rng.integers(len(source.images)))]
    most = max(source.least_scale, min(MOST_SCALE, 1.6 * min(image.shape) / side_px))
    scale = float(np.exp(rng.uniform(np.log(source.least_scale), np.log(most))))
    field = scaled_square(image, side_px, scale, rng)
    if source.least_scale == 1 and rng.random() < SOFT_SHARE:
        field = gaussian_filter(field, rng.uniform(0, MOST_SOFTNESS_PX))
    field = np.rot90(field, int(rng.integers(4)))
    if rng.random() < 0.5:
        field = field[:, ::-1]
    return np.ascontiguousarray(-field if rng.random() < 0.5 else field)


def scaled_square(
    image: NDArray[np.generic], side_px: int, scale: float, generator: np.random.Generator
) -> Float32Array:
    """Cut a random square out of an image, scaled down by a factor of 1 at least."""
    rng = generator
    cut = math.ceil(side_px * scale) + 1
    short = [max(cut - length, 0) for length in image.shape]
    if any(short):
        image = np.pad(image, [(0, more) for more in short], mode="symmetric")
    y, x = (int(rng.integers(length - cut + 1)) for length in image.shape)
    square = image[y : y + cut, x : x + cut].astype(np.float32)
    if scale < _LEAST_SCALE:
        return np.ascontiguousarray(square[:side_px, :side_px])
    weights = _reduction(side_px, cut, scale)
    return np.asarray((weights @ (weights @ square).T).T, np.float32)


def _reduction(to: int, cut: int, scale: float) -> sparse.csr_array:
    """Weights (to, cut) of the pixels along a side that is scaled down: Gaussians."""
    deviation = math.sqrt(0.25 * (scale**2 - 1) + _OF_PIXEL)
    reach = math.ceil(3 * deviation)
    at = (np.arange(to) + 0.5) * scale - 0.5
    columns = np.round(at).astype(int)[:, np.newaxis] + np.arange(-reach, reach + 1)
    values = np.exp(-0.5 * ((columns - at[:, np.newaxis]) / deviation) ** 2)
    values /= values.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(to)[:, np.newaxis], columns.shape)
    inside = np.clip(columns, 0, cut - 1)
    made = sparse.coo_array((values.ravel(), (rows.ravel(), inside.ravel())), (to, cut), np.float32)
    return made.tocsr()
