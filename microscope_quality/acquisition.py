"""Whether an image is one at all: failed grabs, frozen frames, clipped grey levels, blank resin.

These are found exactly or by counting, without a model, and before anything else is asked of an
image. Lines are rows of the array, in the order in which they were scanned.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality import tiles
from microscope_quality.arguments import as_count, as_number, as_numbers, shown
from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.planes import TopValues, as_measured, as_plane, is_lazy
from microscope_quality.verdicts import sure_by_chance

Float64Array = NDArray[np.float64]

EMPTY, FROZEN, CUT, REPEATED, SATURATED, BLANK = (
    *("empty", "frozen", "cut", "repeated", "saturated", "blank"),
)
#: What can be wrong, the worst first, and what to do about it.
ACTIONS = {
    EMPTY: "retake",
    FROZEN: "retake",
    CUT: "retake",
    REPEATED: "retake",
    SATURATED: "look",
    BLANK: "look",
}

#: Side of the patches that are looked at for structure, in pixels, and the least one.
PATCH_SIZE = 256
LEAST_PATCH_SIZE = 64
#: Share of pixels at either end of the grey levels from which an image is saturated.
SATURATED_LIMIT = 0.05
# Of fewer lines nothing is lost, and one is a fault of many a scan.
_LEAST_LINES = 2
# Lines shorter than this can be alike by chance.
_LEAST_WIDTH = 16
_DIGEST_BYTES = 16
# Of a plane that is not looked at for structure, so many are read at a time.
_BAND_ROWS = 256
_MOST_PATCH_SIZE = 4096
# Bytes of patches that are transformed at a time.
_CHUNK_BYTES = 2**24

# Periods along an axis that a smooth surface of third order leaves to the lowest frequency.
_FIRST_PERIODS = 3
_SURFACE_ORDER = 3
# In cycles per pixel: up to where structure is looked for, and the frequencies across the lines at
# which the noise is taken for it.
_STRUCTURE_TO = 0.06
_NOISE_BAND = (0.1, 0.2)
# Rings are so many times wider at the outer edge.
_RING_RATIO = 1.7
# Along the lines, what lines that are offset leave through the window.
_FIRST_COLUMN = 2
# A blank patch is taken for structure by chance so often; and noise may have so many times more
# power at low frequencies than where it is taken, as that which a camera has smoothed.
_BY_CHANCE = 1e-4
_EXCESS = 1.5
# Neighbouring values of a spectrum through a Hann window tell partly the same: so many count as
# one, along an axis. Sum of the squares of the window's autocorrelation at whole frequencies.
_ALIKE = 1 + 2 * ((2 / 3) ** 2 + (1 / 6) ** 2)
# What varies less, in grey levels and binned by two, is not seen; steps of one level, to which a
# slow slope is rounded, vary by 0.29.
_LEAST_DEVIATION = 0.35
# So small a deviation, against the size of the values, is rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Acquisition:
    """What is known of how an image was taken.

    Attributes
    ----------
    faults : tuple of str
        Keys of `ACTIONS`, the worst first: ``empty``, no pixel differs from another; ``frozen``, it
        is the frame before; ``cut``, lines at its start or end have one value each; ``repeated``,
        lines there are copies of others; ``saturated``, too many pixels are clipped; ``blank``,
        there is nothing but noise in it. Empty for an image without any.
    height : int
        Number of lines.
    first_lines, last_lines : int
        Number of lines at the start, and at the end, that have one value each or are copies.
    clipped_low, clipped_high : float
        Share of pixels at the image's least value, where they pile up there, and at its largest,
        where they do or where it is the largest value of the type; without those of lines of one
        value. NaN for floats.
    blank_fraction : float
        Share of the patches that are blank; NaN for an image without a patch.
    digest : str
        As `frame_digest` gives it.
    """

    faults: Tuple[str, ...]
    height: int
    first_lines: int
    last_lines: int
    clipped_low: float
    clipped_high: float
    blank_fraction: float
    digest: str

    @property
    def fault(self) -> str:
        """The worst of its faults; empty where there is none."""
        return self.faults[0] if self.faults else ""

    @property
    def action(self) -> str:
        """What to do about it: ``retake``, ``look``, or empty."""
        return ACTIONS[self.fault] if self.faults else ""

    @property
    def message(self) -> str:
        """What is wrong, in a sentence for each fault; empty where nothing is."""
        clipped = (
            f"{self.clipped_low:.1%} of the pixels are at the lower end of the grey levels, "
            f"{self.clipped_high:.1%} at the upper one."
        )
        said = {
            EMPTY: "All pixels have one value.",
            FROZEN: "It is the same as the frame before.",
            CUT: f"{self._faulty_lines} have one value each.",
            REPEATED: f"{self._faulty_lines} are copies of others.",
            SATURATED: clipped,
            BLANK: "There is no structure in it.",
        }
        if {CUT, REPEATED} <= set(self.faults):
            said[CUT] = f"{self._faulty_lines} have one value each or are copies of others."
            said[REPEATED] = ""
        return " ".join(said[fault] for fault in self.faults if said[fault])

    @property
    def _faulty_lines(self) -> str:
        ends = (("first", self.first_lines), ("last", self.last_lines))
        told = " and the ".join(f"{end} {number}" for end, number in ends if number)
        return f"Of its {self.height} lines, the {told}"


def acquisition_fault(
    plane: ArrayLike,
    before: Union[str, ArrayLike, None] = None,
    *,
    patch_size: int = PATCH_SIZE,
    saturated_limit: float = SATURATED_LIMIT,
) -> Acquisition:
    """Find what went wrong when an image was taken.

    Parameters
    ----------
    plane : (height, width) array
        Of any integer or float type, lines along the last axis; also three equal channels, and
        what reads its parts from a file when it is sliced, of which no more is read at a time than
        a row of patches.
    before : (height, width) array or str, optional
        The frame that was taken before this one, or its digest (`frame_digest`).
    patch_size : int
        Side of the patches that are looked at for structure, 64 to 4096 pixels; of an image that is
        smaller, its shorter side.
    saturated_limit : float
        Share of clipped pixels, at the lower or at the upper end, from which the image is
        ``saturated``, 0 to 1.

    Returns
    -------
    Acquisition

    Raises
    ------
    ImageError
        For an array that is no image.
    SettingsError
        For arguments that are out of their range.
    FileError
        A plane that lies in a file cannot be read.

    Notes
    -----
    ``empty``, ``frozen``, ``cut`` and ``repeated`` are exact: pixels are compared, and noise makes
    neither two lines nor two frames alike. Two lines or more count, of 16 pixels or more.
    ``saturated`` counts pixels by the rule of `planes.TopValues`, at the lower end by its mirror
    image; but 0 has to pile up as any other value has, since it is a number like others where few
    electrons are counted. An image is ``blank`` when no more of its patches have structure than
    chance gives (`verdicts.sure_by_chance`): `blank_patches` tells of each.
    """
    size = as_count("patch_size", patch_size, LEAST_PATCH_SIZE, _MOST_PATCH_SIZE)
    limit = as_number("saturated_limit", saturated_limit, 0, 1)
    earlier = _as_digest(before)
    source = _Source(plane)
    size = min(size, *source.shape)
    lines, low, high = _Lines(source), TopValues(), TopValues()
    has_levels = source.dtype.kind in "iu"
    blank: List[NDArray[np.bool_]] = []
    for band, fresh in source.bands(size):
        uniform = lines.add(fresh)
        if has_levels:
            # In lines of one value nothing was measured.
            levels = fresh[~uniform]
            high.add(levels)
            low.add(~levels)
        if size >= LEAST_PATCH_SIZE:
            blank.append(_blank_of(_side_by_side(band, size)))
    every = np.concatenate(blank) if blank else np.empty(0, np.bool_)
    structured = int(np.count_nonzero(~every))
    clipped_low = clipped_high = math.nan
    if has_levels:
        clipped_high = high.saturated(source.dtype) / math.prod(source.shape)
        # Of a type whose largest value 0 does not become: it has to pile up.
        clipped_low = low.saturated(np.dtype(np.int64)) / math.prod(source.shape)
    found = {
        EMPTY: lines.are_one,
        FROZEN: lines.digest == earlier,
        CUT: not lines.are_one and lines.are_uniform_at_an_end,
        REPEATED: lines.are_copies_at_an_end,
        SATURATED: not lines.are_one and max(clipped_low, clipped_high) >= limit,
        BLANK: not lines.are_one and len(every) > 0 and structured <= sure_by_chance(len(every)),
    }
    return Acquisition(
        faults=tuple(fault for fault in ACTIONS if found[fault]),
        height=source.shape[0],
        first_lines=lines.first,
        last_lines=lines.last,
        clipped_low=clipped_low,
        clipped_high=clipped_high,
        blank_fraction=float(every.mean()) if len(every) else math.nan,
        digest=lines.digest,
    )


def frame_digest(plane: ArrayLike) -> str:
    """Give a digest by which a frame is known again, in whatever file it is.

    Parameters
    ----------
    plane : (height, width) array
        As for `acquisition_fault`.

    Returns
    -------
    str
        32 hexadecimal digits. Those of two frames are the same when their shape, their type (but
        for the order of its bytes) and all their pixels are; by chance, they are not.

    Raises
    ------
    ImageError
        For an array that is no image.
    FileError
        A plane that lies in a file cannot be read.

    Notes
    -----
    BLAKE2b (RFC 7693) of the type, the shape and the BLAKE2b digest of each line.
    """
    source = _Source(plane)
    lines = _Lines(source)
    for _, fresh in source.bands(_BAND_ROWS):
        lines.add(fresh)
    return lines.digest


def blank_map(plane: ArrayLike, patch_size: int = PATCH_SIZE) -> NDArray[np.bool_]:
    """Tell which patches of an image are blank; see `blank_patches`.

    Parameters
    ----------
    plane : (height, width) array
        As for `acquisition_fault`; no more of one in a file is read at a time than a row of
        patches.
    patch_size : int
        Side of the patches, 64 to 4096 pixels.

    Returns
    -------
    (rows, columns) array of bool
        For the patches at `tiles.starts` down and across; empty for an image that is smaller than
        a patch.

    Raises
    ------
    ImageError
        For an array that is no image.
    SettingsError
        For a patch size that is out of its range.
    FileError
        A plane that lies in a file cannot be read.
    """
    size = as_count("patch_size", patch_size, LEAST_PATCH_SIZE, _MOST_PATCH_SIZE)
    source = _Source(plane)
    if min(source.shape) < size:
        return np.empty((0, 0), np.bool_)
    return np.stack([_blank_of(_side_by_side(band, size)) for band, _ in source.bands(size)])


def blank_patches(patches: ArrayLike) -> NDArray[np.bool_]:
    """Tell which patches have nothing but noise in them, such as bare resin.

    The power at low frequencies (3 periods in the patch to 0.06 cycles per pixel) is compared with
    that of the noise, which is taken at the same frequency along the lines and 0.1 to 0.2 cycles
    per pixel across them. A patch has structure when, in one of the rings that the low frequencies
    are cut into, the mean of these ratios exceeds 1.5 times what noise has once in 10,000 patches.

    Parameters
    ----------
    patches : (n, height, width) array
        Of any integer or float type, lines along the last axis, 64 pixels or more on each side.

    Returns
    -------
    (n,) array of bool
        False for a patch with a pixel that is not finite, of which nothing is known. True for one
        that varies little, binned by two and beside a smooth surface: by less than 0.35 grey levels
        if it is of whole numbers, and by less than 1e-6 of its largest value.

    Raises
    ------
    ImageError
        For patches of another shape or type.

    Notes
    -----
    Nothing is asked of the noise but that lines have none in common. So gain and offset change
    nothing; nor does a detector that is slow along the line, since its noise is less at the same
    frequencies along the line wherever it is taken; nor lines that are offset, or that charge for
    up to three lines. Slow shading is taken off as a polynomial of third order. Noise that is alike
    across lines too, as after a Gaussian filter of 0.5 pixels, stays within the factor of 1.5; a
    wider filter makes structure of it.

    Measured with patches of 256 pixels (`python -m benchmarks.acquisition`): of noise of each of
    these kinds, 0 of 2,000 had structure; of tissue with up to 2.5 times as much noise as signal,
    at most 0.8 % were blank, and 10 % of such that was also blurred by a Gaussian of 8 pixels. Of
    less than 192 pixels, blurred and noisy tissue is often called blank.

    The ratio is a mean of exponentially distributed numbers, of which as many count as are
    independent through a Hann window (P. D. Welch, IEEE Trans. Audio Electroacoust. 15, 70, 1967):
    its limit is that of a gamma distribution.
    """
    given = as_numbers("patches", patches, shape=(None, None, None), kinds="iuf", error=ImageError)
    if min(given.shape[1:]) < LEAST_PATCH_SIZE or max(given.shape[1:]) > _MOST_PATCH_SIZE:
        raise ImageError(
            f"patches must be (n, height, width) with sides of {LEAST_PATCH_SIZE} to "
            f"{_MOST_PATCH_SIZE} pixels, not {given.shape}."
        )
    return _blank_of(as_measured(given))


class _Source:
    """A plane, in memory or in a file, of which rows are read."""

    def __init__(self, plane: ArrayLike) -> None:
        self._plane: Any = plane
        if not is_lazy(plane):
            self._plane = as_plane(plane)[0]
        height, width = self._plane.shape
        self.shape = int(height), int(width)
        self.dtype: np.dtype[Any] = np.dtype(self._plane.dtype)

    def bands(self, rows: int) -> Iterator[Tuple[NDArray[Any], NDArray[Any]]]:
        """Give bands of so many rows, as `tiles.starts` has them, and of each what is new in it.

        With fewer rows than a patch has, more are read at a time.
        """
        seen = 0
        rows = min(rows if rows >= LEAST_PATCH_SIZE else _BAND_ROWS, self.shape[0])
        for top in tiles.starts(self.shape[0], rows).tolist():
            band = as_measured(np.asarray(self._plane[top : top + rows, :]))
            yield band, band[seen - top :]
            seen = top + rows


class _Lines:
    """The lines of a frame, as they come: which have one value, and which are copies."""

    def __init__(self, source: _Source) -> None:
        height, self._width = source.shape
        self._digests: List[bytes] = []
        self._uniform: List[bool] = []
        self._head = f"{source.dtype.kind}{source.dtype.itemsize} {height} {self._width}"

    def add(self, rows: NDArray[Any]) -> NDArray[np.bool_]:
        """Take some lines, and tell which of them have one value."""
        uniform: NDArray[np.bool_] = ((rows == rows[:, :1]) | (rows != rows)).all(axis=1)
        self._uniform += uniform.tolist()
        rows = np.ascontiguousarray(rows, rows.dtype.newbyteorder("<"))
        self._digests += [hashlib.blake2b(row, digest_size=_DIGEST_BYTES).digest() for row in rows]
        return uniform

    @property
    def digest(self) -> str:
        whole = hashlib.blake2b(self._head.encode(), digest_size=_DIGEST_BYTES)
        for one in self._digests:
            whole.update(one)
        return whole.hexdigest()

    @property
    def are_one(self) -> bool:
        """Whether all pixels have one value."""
        return all(self._uniform) and len(set(self._digests)) == 1

    @functools.cached_property
    def _ends(self) -> Tuple[int, int]:
        """Number of faulty lines at the start and at the end."""
        if self._width < _LEAST_WIDTH or self.are_one:
            return 0, 0
        height = len(self._digests)
        first_at = {one: height - 1 - at for at, one in enumerate(reversed(self._digests))}
        last = 0
        while last < height and self._is_faulty(height - 1 - last, first_at, -1):
            last += 1
        # What the end is a copy of is no copy itself.
        last_at = {one: at for at, one in enumerate(self._digests[: height - last])}
        first = 0
        while first < height - last and self._is_faulty(first, last_at, 1):
            first += 1
        return first if first >= _LEAST_LINES else 0, last if last >= _LEAST_LINES else 0

    def _is_faulty(self, at: int, other_at: Dict[bytes, int], direction: int) -> bool:
        other = other_at[self._digests[at]]
        return self._uniform[at] or (other - at) * direction > 0

    @property
    def first(self) -> int:
        return self._ends[0]

    @property
    def last(self) -> int:
        return self._ends[1]

    @property
    def are_uniform_at_an_end(self) -> bool:
        return any(self._at_ends)

    @property
    def are_copies_at_an_end(self) -> bool:
        return not all(self._at_ends)

    @property
    def _at_ends(self) -> List[bool]:
        """Of the faulty lines, whether they have one value."""
        first, last = self._ends
        return self._uniform[:first] + self._uniform[len(self._uniform) - last :]


def _as_digest(before: Union[str, ArrayLike, None]) -> Optional[str]:
    if before is None:
        return None
    if not isinstance(before, str):
        return frame_digest(before)
    if len(before) != 2 * _DIGEST_BYTES or not set(before) <= set("0123456789abcdef"):
        raise SettingsError(
            f"before must be the frame before or its digest, {2 * _DIGEST_BYTES} hexadecimal "
            f"digits, not {shown(before)}."
        )
    return before


def _side_by_side(band: NDArray[Any], size: int) -> NDArray[Any]:
    """Cut the patches of a band that is as high as they are."""
    lefts = tiles.starts(band.shape[1], size)
    return tiles.cut(band, np.stack([np.zeros_like(lefts), lefts], axis=1), size)


def _blank_of(patches: NDArray[Any]) -> NDArray[np.bool_]:
    blank = np.empty(len(patches), np.bool_)
    step = max(1, _CHUNK_BYTES // (8 * max(1, math.prod(patches.shape[1:]))))
    for start in range(0, len(patches), step):
        part = patches[start : start + step]
        blank[start : start + step] = _are_blank(part)
    return blank


def _are_blank(patches: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which of some patches are blank, as `blank_patches` has it."""
    # Here, so that programs that rate nothing start without it.
    from scipy import fft

    look = _look(*patches.shape[1:])
    # No structure is looked for at the frequencies that binning takes; without a pixel that is
    # left over. Of large numbers, not even the sum is too large.
    height, width = (2 * (side // 2) for side in patches.shape[1:])
    rows = np.multiply(patches[:, 0:height:2], 0.5, dtype=np.float64)
    rows += np.multiply(patches[:, 1:height:2], 0.5, dtype=np.float64)
    rows *= 0.5
    binned = rows[:, :, 0:width:2] + rows[:, :, 1:width:2]
    finite = np.isfinite(patches).all(axis=(1, 2))
    binned[~finite] = 0
    # Of the size of 1, as squares of large numbers overflow.
    largest = np.abs(binned).max(axis=(1, 2))
    scale = np.where(largest > 0, largest, 1)
    binned /= scale[:, np.newaxis, np.newaxis]
    surface = np.einsum("ya,nyx,xb->nab", look.down, binned, look.across, optimize=True)
    orders = np.arange(_SURFACE_ORDER + 1)
    surface *= orders[:, np.newaxis] + orders <= _SURFACE_ORDER
    binned -= np.einsum("ya,nab,xb->nyx", look.down, surface, look.across, optimize=True)
    least = np.full(len(patches), _ROUNDING)
    if patches.dtype.kind in "iu":
        least = np.maximum(least, _LEAST_DEVIATION / scale)
    squares = np.einsum("nyx,nyx->n", binned, binned)
    deviation = np.sqrt(squares / math.prod(binned.shape[1:]))
    # Ratios of powers do not need more than single precision.
    windowed = np.multiply(binned, look.window, dtype=np.float32, casting="same_kind")
    spectra = fft.fft(fft.rfft(windowed)[:, :, : look.columns], axis=1)
    power = spectra.real**2 + spectra.imag**2
    noise = power[:, look.noise_rows].mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(power > 0, power / noise[:, np.newaxis], 0)
    rings = zip(look.rings, look.limits)
    exceeded = [ratios[:, ring].mean(axis=1) > limit for ring, limit in rings]
    structured = np.any(exceeded, axis=0) & (deviation > least)
    return np.asarray(finite & ~structured)


class _Look(NamedTuple):
    """What a patch of a shape is looked at through, binned by two.

    Attributes
    ----------
    down, across : (height, 4), (width, 4) array
        Orthonormal polynomials.
    window : (height, width) array
    columns : int
        Of the spectrum, that any ring has something of.
    noise_rows : (height,) array of bool
        Of the spectrum, at the frequencies of the noise across the lines.
    rings : list of (height, columns) arrays of bool
    limits : list of float
        Of the mean ratio in each.
    """

    down: Float64Array
    across: Float64Array
    window: Float64Array
    columns: int
    noise_rows: NDArray[np.bool_]
    rings: List[NDArray[np.bool_]]
    limits: List[float]


@functools.lru_cache(maxsize=8)
def _look(height: int, width: int) -> _Look:
    """Give the look for patches of a shape in pixels."""
    from scipy import special

    rows, columns = height // 2, width // 2
    across_lines = np.abs(np.fft.fftfreq(rows)) / 2
    along_lines = np.fft.rfftfreq(columns) / 2
    noise_rows = (across_lines >= _NOISE_BAND[0]) & (across_lines < _NOISE_BAND[1])
    independent_rows = np.count_nonzero(noise_rows) / _ALIKE
    frequency = np.hypot(across_lines[:, np.newaxis], along_lines)
    usable = np.arange(len(along_lines)) >= _FIRST_COLUMN
    lowest = _FIRST_PERIODS / min(height, width)
    highest = max(_STRUCTURE_TO, _RING_RATIO * lowest)
    number = int(math.log(highest / lowest) / math.log(_RING_RATIO) + 1e-9)
    edges = np.geomspace(lowest, highest, number + 1)
    rings, limits = [], []
    for inner, outer in zip(edges, edges[1:]):
        ring = (frequency >= inner) & (frequency < outer) & usable
        # What is known of the noise of each column is little, too; its inverse is larger on
        # average than that of its mean.
        columns_of = int(np.count_nonzero(ring.any(axis=0)))
        independent = 1 / (
            _ALIKE**2 / np.count_nonzero(ring) + _ALIKE / (columns_of * independent_rows)
        )
        larger = independent_rows / (independent_rows - 1)
        by_chance = special.gammaincinv(float(independent), 1 - _BY_CHANCE / number) / independent
        rings.append(ring)
        limits.append(float(_EXCESS * larger * by_chance))
    down, across = (
        np.linalg.qr(np.vander(np.linspace(-1, 1, side), _SURFACE_ORDER + 1, increasing=True))[0]
        for side in (rows, columns)
    )
    hann_y, hann_x = (np.sin(np.pi * np.arange(side) / side) ** 2 for side in (rows, columns))
    window = hann_y[:, np.newaxis] * hann_x
    most = 1 + int(np.flatnonzero(np.any(rings, axis=(0, 1)))[-1])
    rings = [ring[:, :most] for ring in rings]
    return _Look(down, across, window, most, noise_rows, rings, limits)
