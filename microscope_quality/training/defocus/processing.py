"""What programs and cameras do to an image after it was taken, so that its noise is not white.

A camera's noise differs from pixel to pixel; blur does not. A network that learns from images as
they were taken alone tells blur by it, and fails on whatever was filtered, turned, resampled,
compressed or restored. Each function takes an image of grey levels and gives one of the same shape,
or smaller by what it needs around; what it blurs is told by :class:`Processing`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from microscope_quality.resampling import resample
from microscope_quality.training.defocus.exposure import log_uniform

FloatArray = npt.NDArray[np.float32]

# √2 times the diameter that holds half of a Gaussian's light, for each pixel of its deviation.
GAUSSIAN_BLUR_PX = 2 * math.sqrt(2) * math.sqrt(2 * math.log(2))


@dataclass(frozen=True)
class Processing:
    """One way in which an image is processed, with all that is random in it drawn.

    Attributes
    ----------
    kind : str
        A key of `KINDS`.
    scale : float
        By how much the image is enlarged.
    blur_px : float
        Blur diameter that it adds, in pixels of the processed image.
    apply : callable
        Takes a two-dimensional image, gives the processed one.
    reach_px : int
        How far around a pixel what it becomes is looked for.
    turns_by : float
        Angle by which the image is turned, in degrees.
    """

    kind: str
    scale: float
    blur_px: float
    apply: Callable[[FloatArray], FloatArray]
    reach_px: int = 6
    turns_by: float = 0.0

    def source_side(self, side: int) -> int:
        """Give the side of the square that a processed square of this side is made from."""
        angle = math.radians(self.turns_by)
        turned = side * (abs(math.cos(angle)) + abs(math.sin(angle)))
        return math.ceil(turned / self.scale) + 2 * self.reach_px

    def processed(self, image: FloatArray, side: int) -> FloatArray:
        """Process an image of :meth:`source_side` and cut the middle out."""
        found = self.apply(image)
        top, left = ((length - side) // 2 for length in found.shape)
        cut: FloatArray = found[top : top + side, left : left + side].astype(np.float32)
        return cut


def gaussian(rng: np.random.Generator) -> Processing:
    """Smooth by a Gaussian of 0.3 to 1.4 px, at times with another deviation along each axis."""
    deviations = rng.uniform(0.3, 1.4, size=2)
    if rng.random() < 2 / 3:
        deviations[1] = deviations[0]
    y, x = deviations.tolist()
    blur = GAUSSIAN_BLUR_PX * math.sqrt(0.5 * (y * y + x * x))

    def apply(image: FloatArray) -> FloatArray:
        return _float(scipy.ndimage.gaussian_filter(image, (y, x), mode="mirror"))

    return Processing("gaussian", 1.0, blur, apply)


def median(rng: np.random.Generator) -> Processing:
    """Take the median of 3 × 3 pixels, seldom of a cross or of 5 × 5."""
    chosen = rng.random()
    footprint = np.ones((3, 3), np.bool_)
    blur = 1.5
    if chosen < 0.2:
        footprint = scipy.ndimage.generate_binary_structure(2, 1)
        blur = 1.0
    elif chosen < 0.3:
        footprint, blur = np.ones((5, 5), np.bool_), 2.5

    def apply(image: FloatArray) -> FloatArray:
        return _float(scipy.ndimage.median_filter(image, footprint=footprint, mode="mirror"))

    return Processing("median", 1.0, blur, apply)


def shifted(rng: np.random.Generator) -> Processing:
    """Shift by a part of a pixel, as registration does, linearly or by a cubic spline."""
    y, x = rng.uniform(-0.5, 0.5, size=2).tolist()
    if rng.random() < 0.3:
        y = x = 0.5
    order: Literal[1, 3] = 1 if rng.random() < 0.6 else 3
    # A linear interpolation between two pixels, a parts f and 1 − f, has the variance f·(1 − f).
    variance = 0.5 * (abs(y) * (1 - abs(y)) + abs(x) * (1 - abs(x))) if order == 1 else 0.0

    def apply(image: FloatArray) -> FloatArray:
        return _float(scipy.ndimage.shift(image, (y, x), order=order, mode="mirror"))

    return Processing("shifted", 1.0, GAUSSIAN_BLUR_PX * math.sqrt(variance), apply)


def rotated(rng: np.random.Generator) -> Processing:
    """Turn by any angle, linearly or by a cubic spline."""
    angle = rng.uniform(-8, 8) if rng.random() < 0.5 else rng.uniform(0, 90)
    order: Literal[1, 3] = 1 if rng.random() < 0.6 else 3
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    matrix = np.array([[cosine, -sine], [sine, cosine]])

    def apply(image: FloatArray) -> FloatArray:
        centre = 0.5 * (np.array(image.shape) - 1)
        offset = centre - matrix @ centre
        turned = scipy.ndimage.affine_transform(image, matrix, offset, order=order, mode="mirror")
        return _float(turned)

    return Processing("rotated", 1.0, 1.0 if order == 1 else 0.0, apply, turns_by=angle)


def enlarged(rng: np.random.Generator) -> Processing:
    """Interpolate to 1.1 to 2 times as many pixels across, linearly or by a cubic spline."""
    scale = float(rng.choice([1.25, 1.5, 2.0])) if rng.random() < 0.5 else rng.uniform(1.1, 2.0)
    order: Literal[1, 3] = 1 if rng.random() < 0.5 else 3

    def apply(image: FloatArray) -> FloatArray:
        return _float(scipy.ndimage.zoom(image, scale, order=order, mode="mirror"))

    # What is sharp stays so: its noise tells that it was enlarged.
    return Processing("enlarged", scale, 0.0, apply)


def reduced(rng: np.random.Generator) -> Processing:
    """Bring to 0.6 to 0.95 times as many pixels across, by area means or linearly."""
    scale = rng.uniform(0.6, 0.95)
    by_area = rng.random() < 0.5

    def apply(image: FloatArray) -> FloatArray:
        if by_area:
            height, width = (round(length * scale) for length in image.shape)
            return _float(resample(image, (height, width)))
        return _float(scipy.ndimage.zoom(image, scale, order=1, mode="mirror"))

    return Processing("reduced", scale, 0.5, apply)


def demosaiced(rng: np.random.Generator) -> Processing:
    """Interpolate one colour of a Bayer pattern linearly: green, or red or blue."""
    green = rng.random() < 0.5
    first = int(rng.integers(2)), int(rng.integers(2))

    def apply(image: FloatArray) -> FloatArray:
        seen = np.zeros(image.shape, np.float32)
        rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
        if green:
            at = (rows + columns) % 2 == first[0]
            weights = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
        else:
            at = (rows % 2 == first[0]) & (columns % 2 == first[1])
            weights = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4
        seen[at] = image[at]
        return _float(scipy.ndimage.convolve(seen, weights, mode="mirror"))

    return Processing("demosaiced", 1.0, 1.5 if green else 2.4, apply)


def wavelet_denoised(rng: np.random.Generator) -> Processing:
    """Shrink the finest wavelets softly, those of the à trous transform with a B3 spline.

    J.-L. Starck, F. Murtagh and A. Bijaoui, *Image Processing and Data Analysis*, Cambridge
    University Press, 1998, section 1.4.4; the threshold of a scale is 1 to 4 deviations of the
    noise in it, from its median absolute value.
    """
    threshold, scales = rng.uniform(1, 4), int(rng.integers(1, 4))
    spline = np.array([1, 4, 6, 4, 1], np.float32) / 16

    def apply(image: FloatArray) -> FloatArray:
        found, smooth = np.zeros(image.shape, np.float32), image
        for scale in range(scales):
            holes = np.zeros(4 * 2**scale + 1, np.float32)
            holes[:: 2**scale] = spline
            next_smooth = scipy.ndimage.correlate1d(smooth, holes, 0, mode="mirror")
            next_smooth = scipy.ndimage.correlate1d(next_smooth, holes, 1, mode="mirror")
            detail = smooth - next_smooth
            least = threshold * float(np.median(np.abs(detail))) / 0.6745
            found += np.sign(detail) * np.maximum(np.abs(detail) - least, 0)
            smooth = next_smooth
        return _float(found + smooth)

    reach_px = 2 * (2**scales - 1)
    return Processing("wavelet_denoised", 1.0, 0.0, apply, reach_px=max(6, reach_px))


def flat_field_corrected(rng: np.random.Generator) -> Processing:
    """Divide by a smooth flat field and by a fixed pattern that was measured with noise."""
    slope_y, slope_x = rng.uniform(-0.3, 0.3, size=2).tolist()
    pattern = log_uniform(rng, 1e-3, 2e-2)
    seed = int(rng.integers(2**31))

    def apply(image: FloatArray) -> FloatArray:
        y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in image.shape)
        noise = np.random.default_rng(seed).standard_normal(image.shape, dtype=np.float32)
        flat = 1 + np.add.outer(slope_y * y, slope_x * x) + pattern * noise
        return _float(image / np.maximum(flat, 0.1))

    return Processing("flat_field_corrected", 1.0, 0.0, apply)


def compressed(rng: np.random.Generator) -> Processing:
    """Compress as JPEG, of quality 30 to 95."""
    quality = int(rng.integers(30, 96))

    def apply(image: FloatArray) -> FloatArray:
        from PIL import Image

        low, high = float(image.min()), float(image.max())
        step = max(high - low, 1e-6) / 255
        grey = np.rint((image - low) / step).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(grey).save(file, "JPEG", quality=quality)
        file.seek(0)
        return _float(np.asarray(Image.open(file), np.float32) * step + low)

    return Processing("compressed", 1.0, 0.0, apply)


def sharpened(rng: np.random.Generator) -> Processing:
    """Mask unsharply: add what a Gaussian of 0.7 to 2 px takes away, 0.3 to 1.5 times."""
    deviation, amount = rng.uniform(0.7, 2.0), rng.uniform(0.3, 1.5)

    def apply(image: FloatArray) -> FloatArray:
        soft = scipy.ndimage.gaussian_filter(image, deviation, mode="mirror")
        return _float(image + np.float32(amount) * (image - soft))

    return Processing("sharpened", 1.0, 0.0, apply, reach_px=8)


def deconvolved(rng: np.random.Generator) -> Processing:
    """Deconvolve with a Gaussian as narrow as a lens in focus, by some steps of Richardson–Lucy.

    W. H. Richardson, J. Opt. Soc. Am. 62, 55 (1972); L. B. Lucy, Astronomical Journal 79, 745
    (1974). The blur of the defocus stays, the noise becomes grains.
    """
    deviation, steps = rng.uniform(0.6, 1.3), int(rng.integers(2, 9))

    def apply(image: FloatArray) -> FloatArray:
        low = float(np.percentile(image, 1))
        data = np.maximum(image - np.float32(low), 0) + np.float32(
            1e-3 * (image.max() - low) + 1e-6
        )
        found = np.full_like(data, data.mean())
        for _ in range(steps):
            seen = scipy.ndimage.gaussian_filter(found, deviation, mode="mirror", truncate=3)
            ratio = data / np.maximum(seen, 1e-6)
            found = found * scipy.ndimage.gaussian_filter(
                ratio, deviation, mode="mirror", truncate=3
            )
        return _float(found + low)

    return Processing("deconvolved", 1.0, 0.0, apply, reach_px=10)


def inverted(rng: np.random.Generator) -> Processing:
    """Turn bright into dark, as an inverted display that was saved."""

    def apply(image: FloatArray) -> FloatArray:
        return _float(image.max() - image)

    return Processing("inverted", 1.0, 0.0, apply)


KINDS: dict[str, tuple[float, Callable[[np.random.Generator], Processing]]] = {
    "gaussian": (0.205, gaussian),
    "median": (0.075, median),
    "shifted": (0.1, shifted),
    "rotated": (0.065, rotated),
    "enlarged": (0.19, enlarged),
    "reduced": (0.05, reduced),
    "demosaiced": (0.035, demosaiced),
    "wavelet_denoised": (0.045, wavelet_denoised),
    "flat_field_corrected": (0.03, flat_field_corrected),
    "compressed": (0.05, compressed),
    "inverted": (0.095, inverted),
    "sharpened": (0.03, sharpened),
    "deconvolved": (0.03, deconvolved),
}
"""How a processed image was processed: each kind's share, and what draws it."""

_NAMES = list(KINDS)
_SHARES = np.cumsum([share for share, _ in KINDS.values()])


def draw_processing(rng: np.random.Generator) -> Processing:
    """Draw one of `KINDS`, by its share."""
    number = int(np.searchsorted(_SHARES, rng.random() * _SHARES[-1], side="right"))
    return KINDS[_NAMES[min(number, len(_NAMES) - 1)]][1](rng)


def _float(image: npt.NDArray[np.generic]) -> FloatArray:
    return np.asarray(image, np.float32)
