"""What a microscope does to an ideal image: blur by the optics, then noise and the camera."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Type, Union

import numpy as np
import numpy.typing as npt

from microscope_quality.arguments import (
    as_array,
    as_entries,
    as_floats,
    as_list,
    as_number,
    as_seed,
    as_shape,
    shown,
)
from microscope_quality.errors import ImageError, MicroscopeQualityError, SettingsError

FloatArray = npt.NDArray[np.float64]
Seed = Union[int, np.random.SeedSequence, np.random.Generator]

# Above this a 64-bit float no longer counts single electrons with their Poisson noise.
_MOST_PHOTONS = 1e15
# Far beyond any level; products of such numbers do not overflow.
_MOST_LEVELS = 1e6
# Beyond, the sums of a convolution overflow.
_LARGEST = 1e100


def defocus(image: npt.ArrayLike, kernel: npt.ArrayLike) -> FloatArray:
    """Convolve an image with a point spread function, its borders mirrored.

    Equal to ``scipy.signal.convolve2d(image, kernel, "same", "symm")`` up to rounding, by fast
    Fourier transform. A kernel larger than the image sees it mirrored again and again.

    Parameters
    ----------
    image : array_like
        Two-dimensional, of any size and real type.
    kernel : array_like
        Two-dimensional, usually from `microscope_quality.psf.psf`. Its centre is at
        ``(side - 1) // 2`` along each axis.

    Returns
    -------
    ndarray of float64
        Shaped as `image`; never negative when neither image nor kernel is.

    Raises
    ------
    ImageError
        If the image is not two-dimensional, real, finite and larger than nothing.
    SettingsError
        If the kernel is not.
    """
    plane = _real_plane("An image to defocus", image)
    blur = _real_plane("A kernel", kernel, SettingsError)
    # Imported where it is used: it takes long to start, and a camera does not need it.
    from scipy.signal import fftconvolve

    rows, columns = (_mirrored(length, side) for length, side in zip(plane.shape, blur.shape))
    blurred: FloatArray = fftconvolve(plane[np.ix_(rows, columns)], blur, mode="valid")
    if plane.min() >= 0 and blur.min() >= 0:
        # Rounding in the transform leaves values such as -1e-13, which no photon count can be.
        np.maximum(blurred, 0.0, out=blurred)
    return blurred


def defocus_varying(
    image: npt.ArrayLike,
    level_map: npt.ArrayLike,
    kernels: Sequence[npt.ArrayLike],
    levels: Optional[Sequence[float]] = None,
) -> FloatArray:
    """Blur an image whose defocus level varies over it, as that of a tilted specimen does.

    Each pixel is interpolated, linearly in the level, between the images that are blurred at the
    two neighbouring levels.

    Parameters
    ----------
    image : array_like, shape (height, width)
        As for `defocus`.
    level_map : array_like, shape (height, width)
        Level of each pixel, not whole as a rule; see `tilted_levels`.
    kernels : sequence of array_like
        A point spread function for each of `levels`.
    levels : sequence of float, optional
        Ascending; 0, 1, 2 and so on unless given. Negative ones are on focus's other side, where a
        microscope with aberrations has another kernel.

    Returns
    -------
    ndarray of float64, shape (height, width)
        Never negative when neither image nor kernels are; a flat image stays flat.

    Raises
    ------
    ImageError
        If the image is none, or the map is not of its shape.
    SettingsError
        If the levels do not ascend, are not as many as the kernels, or do not span the map's.

    Notes
    -----
    At a whole level the blur is exact. Between two, a fraction f above the lower, the light of a
    point is a mixture of two discs; the mean square of its distance from the point, in units of
    the disc's of one level, is ``(1 − f)·k² + f·(k + 1)² = (k + f)² + f·(1 − f)``. So the blur is
    that of a level too high by at most 0.25/(2k + 1): 0.21 at level 0.5, 0.05 at level 2.5 and
    0.01 at 8.5; levels in steps of a half have a quarter of it. That a point's light comes from
    another place, with another level, is left out: in a tilt of 8 levels over 1000 px the blur
    disc of level 8 spans 0.2 levels.
    """
    plane = _real_plane("An image to defocus", image)
    level_of = _real_plane("A level map", level_map)
    if level_of.shape != plane.shape:
        raise ImageError(
            f"A level map must be shaped as its image, {plane.shape}, but is {shown(level_of)}."
        )
    kernels = as_list("kernels", kernels, "kernels")
    known = as_floats(
        "levels",
        range(len(kernels)) if levels is None else levels,
        low=-_MOST_LEVELS,
        high=_MOST_LEVELS,
    )
    if known.shape != (len(kernels),) or known.size == 0 or not np.all(np.diff(known) > 0):
        raise SettingsError(
            f"levels must ascend and be as many as the kernels, {len(kernels)}, but are "
            f"{known.tolist() if known.size < 20 else shown(known)}."
        )
    if not (known[0] <= level_of.min() and level_of.max() <= known[-1]):
        raise SettingsError(
            f"The level map goes from {level_of.min():g} to {level_of.max():g}, and the kernels "
            f"from level {known[0]:g} to {known[-1]:g} only."
        )
    blurred = np.zeros(plane.shape)
    for number, kernel in enumerate(kernels):
        weight = np.interp(level_of, known, np.eye(known.size)[number])
        if weight.any():
            blurred += weight * defocus(plane, kernel)
    return blurred


def tilted_levels(
    shape: Tuple[int, int], level: float, tilt: float, direction_deg: float = 0.0
) -> FloatArray:
    """Levels over the field of a tilted specimen.

    Parameters
    ----------
    shape : (height, width)
        In pixels.
    level : float
        At the field's centre.
    tilt : float
        Difference of level from the lowest pixel to the highest.
    direction_deg : float
        Where it rises: 0 towards the right, 90 towards the bottom.

    Returns
    -------
    ndarray of float64, shape (height, width)
        A plane; negative on the other side of focus.
    """
    height, width = as_shape("shape", shape)
    level = as_number("level", level, -_MOST_LEVELS, _MOST_LEVELS)
    tilt = as_number("tilt", tilt, -_MOST_LEVELS, _MOST_LEVELS)
    angle = math.radians(as_number("direction_deg", direction_deg))
    cosine, sine = math.cos(angle), math.sin(angle)
    y, x = _field_positions(height), _field_positions(width)
    extent = abs(cosine) * float(np.ptp(x)) + abs(sine) * float(np.ptp(y))
    rise = np.add.outer(sine * y, cosine * x)
    plane: FloatArray = level + (tilt / extent if extent > 0 else 0.0) * rise
    return plane


def vignette(shape: Tuple[int, int], fall_off: float) -> FloatArray:
    """Share of the light that arrives, over a field whose corners are darker.

    It is ``1 − fall_off·(r/R)²`` at the distance r from the centre, R that of a corner: the
    leading terms of the cosine-fourth law, and of a lamp's image that is brightest on the axis.

    Parameters
    ----------
    shape : (height, width)
        In pixels.
    fall_off : float
        Share of the light that is lost in the corners, 0 to 1.

    Returns
    -------
    ndarray of float64, shape (height, width)
    """
    fall_off = as_number("fall_off", fall_off, 0, 1)
    y, x = (_field_positions(length) for length in as_shape("shape", shape))
    squared = np.add.outer(y**2, x**2)
    share: FloatArray = 1 - fall_off * squared / max(float(squared.max()), 1e-300)
    return share


@dataclass(frozen=True)
class Camera:
    """A camera that turns photoelectrons into grey levels.

    Parameters
    ----------
    photons_per_level : float
        Photoelectrons for each grey level.
    offset : float
        Grey level of no light.
    read_noise : float
        Root mean square of the Gaussian read noise, in electrons.
    full_well : float
        Electrons at which a pixel saturates; infinity for never.
    bit_depth : int
        Bits of the camera's numbers, 1 to 32.

    Raises
    ------
    SettingsError
        If a value is out of its range.
    """

    photons_per_level: float = 1.0
    offset: float = 100.0
    read_noise: float = 2.0
    full_well: float = math.inf
    bit_depth: int = 16

    def __post_init__(self) -> None:
        bit_depth = as_number("bit_depth", self.bit_depth)
        if not bit_depth.is_integer() or not 1 <= bit_depth <= 32:
            raise SettingsError(f"bit_depth must be a whole number from 1 to 32, not {bit_depth}.")
        object.__setattr__(self, "bit_depth", int(bit_depth))
        for name in ("photons_per_level", "offset", "read_noise", "full_well"):
            number = as_number(name, getattr(self, name), infinite=name == "full_well")
            object.__setattr__(self, name, number)
        for name in ("photons_per_level", "full_well"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} must be positive, not {getattr(self, name)}.")
        for name in ("offset", "read_noise"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} must not be negative, but is {getattr(self, name)}.")

    def expose(self, photons: npt.ArrayLike, seed: Seed) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Take a picture: Poisson noise, read noise, saturation, then whole grey levels.

        Parameters
        ----------
        photons : array_like
            Expected photoelectrons of each pixel, of any shape, 0 or more.
        seed : int, SeedSequence or Generator
            Start of the random numbers; the same number gives the same image. A generator is
            drawn from, so that its next image differs.

        Returns
        -------
        ndarray of uint8, uint16 or uint32
            Shaped as `photons`; the smallest of the types that holds the bit depth.

        Raises
        ------
        ImageError
            If an expected number is negative, not real, not finite or beyond 1e15.
        SettingsError
            If the seed is not one.

        Notes
        -----
        The mean grey level is ``offset + photons / photons_per_level``, and the variance
        ``(photons + read_noise²) / photons_per_level²`` plus 1/12 for the rounding: a line against
        the mean whose slope is one over `photons_per_level` (J. R. Janesick, *Photon Transfer*,
        SPIE Press, 2007).
        """
        array = as_array("photons", photons, error=ImageError)
        if array.dtype.kind not in "buif":
            raise ImageError(f"Expected photoelectrons must be real, not {array.dtype}.")
        with np.errstate(over="ignore"):
            expected = array.astype(np.float64)
        if expected.size and not (expected.min() >= 0 and expected.max() <= _MOST_PHOTONS):
            raise ImageError(
                f"Expected photoelectrons must be from 0 to {_MOST_PHOTONS:g}, but are from "
                f"{expected.min():g} to {expected.max():g}."
            )
        random = _generator(seed)
        electrons = np.asarray(random.poisson(expected), np.float64)
        if self.read_noise > 0:
            electrons = electrons + random.normal(0.0, self.read_noise, size=expected.shape)
        with np.errstate(over="ignore"):
            levels = np.minimum(electrons, self.full_well) / self.photons_per_level + self.offset
        dtype = (
            np.uint8 if self.bit_depth <= 8 else np.uint16 if self.bit_depth <= 16 else np.uint32
        )
        return np.asarray(np.clip(np.rint(levels), 0, 2**self.bit_depth - 1), dtype)

    def to_dict(self) -> Dict[str, Optional[float]]:
        """Give the settings by name; a full well without limit is None, as JSON has no infinity."""
        values: Dict[str, Optional[float]] = asdict(self)
        if math.isinf(self.full_well):
            values["full_well"] = None
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Camera:
        """Make a camera from the mapping that `to_dict` gives.

        Raises
        ------
        SettingsError
            If a value is missing, unknown or wrong.
        """
        given = as_entries("A camera", values, [field.name for field in fields(cls)])
        if given["full_well"] is None:
            given["full_well"] = math.inf
        return cls(**given)


def _real_plane(
    what: str, values: npt.ArrayLike, error: Type[MicroscopeQualityError] = ImageError
) -> FloatArray:
    """Give a plane as floats."""
    array = as_array("A plane", values, error=error)
    wrong = ""
    if array.dtype.kind in "buif":
        with np.errstate(over="ignore"):
            plane = array.astype(np.float64)
        if (np.abs(plane) <= _LARGEST).all():
            if array.ndim == 2 and array.size:
                return plane
        else:
            wrong = " with values that are not finite, or too large"
    raise error(
        f"{what} must be two-dimensional, real, finite and not empty, but is {shown(array)}{wrong}."
    )


def _field_positions(length: int) -> FloatArray:
    """Give the pixels' places along an axis of the field, from its centre."""
    positions: FloatArray = np.arange(length, dtype=np.float64) - 0.5 * (length - 1)
    return positions


def _mirrored(length: int, side: int) -> npt.NDArray[np.intp]:
    """Indices along an axis, with as many more at both ends as a kernel of this side reaches."""
    period = np.arange(-(side // 2), length + (side - 1) // 2) % (2 * length)
    return np.minimum(period, 2 * length - 1 - period)


def _generator(seed: Seed) -> np.random.Generator:
    if isinstance(seed, (np.random.Generator, np.random.SeedSequence)):
        return np.random.default_rng(seed)
    return np.random.default_rng(as_seed(seed))
