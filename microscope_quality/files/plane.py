"""A plane of an image file, its place in the file, and how colour becomes grey."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from microscope_quality.files.metadata import KnownOptics, optics_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from microscope_quality.files.lazy import LazyPlane
    from microscope_quality.optics import Optics

#: ITU-R BT.709 weights of red, green and blue.
_LUMINANCE = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True)
class Page:
    """One stored picture of a file: what is read at once.

    `z`, `c` and `t` count from 0 and are None for an axis that the file does not have, or that
    lies inside the page; `series` counts the images of a file that holds several, else None.
    `plate`, `well` and `site` are named by formats of whole plates. `stack` names an image whose
    planes lie in several files, the same in each of them, else None. `width` and `height` are in
    pixels, `pixel_bytes` of all samples of a pixel together, 0 where the header does not tell;
    where its planes may be `LazyPlane`s, `band_rows` is how many rows are decoded at once, else 0.
    """

    index: int
    series: int | None = None
    z: int | None = None
    c: int | None = None
    t: int | None = None
    plate: str | None = None
    well: str | None = None
    site: str | None = None
    stack: str | None = None
    width: int = 0
    height: int = 0
    pixel_bytes: int = 0
    band_rows: int = 0

    def plane(
        self, array: NDArray[Any] | LazyPlane, known: KnownOptics | None, **place: int | None
    ) -> Plane:
        """Give a plane of the page.

        Parameters
        ----------
        array, known
            As `Plane.array` and `Plane.known_optics`.
        **place
            Of z, c and t, those that are not the page's own.
        """
        own = {name: getattr(self, name) for name in ("series", "z", "c", "t", *_NAMES)}
        return Plane(array, known_optics=known, **{**own, **place})  # type: ignore[arg-type]


_NUMBERS = ("series", "z", "c", "t", "width", "height", "pixel_bytes", "band_rows")
_NAMES = ("plate", "well", "site", "stack")


class Pages:
    """Pages of a file, in little memory: a million of them go from one process to another.

    Parameters
    ----------
    pages : sequence of Page
        In the file's order.
    first : int
        Number of the first one to take.
    """

    def __init__(self, pages: Sequence[Page], first: int = 0) -> None:
        self._first = first
        n_pages = len(pages) - first
        self._numbers = np.empty((n_pages, len(_NUMBERS)), np.int64)
        # Few are different, as a well has many planes.
        names: dict[tuple[str | None, ...], int] = {}
        self._named = np.empty(n_pages, np.int64)
        for k, page in enumerate(pages[number] for number in range(first, len(pages))):
            numbers = (getattr(page, name) for name in _NUMBERS)
            self._numbers[k] = [-1 if number is None else number for number in numbers]
            of_page = tuple(getattr(page, name) for name in _NAMES)
            self._named[k] = names.setdefault(of_page, len(names))
        self._names = list(names)

    def __len__(self) -> int:
        """Count the pages."""
        return len(self._numbers)

    def __getitem__(self, number: int) -> Page:
        """Give a page by its place in the list."""
        numbers = dict(zip(_NUMBERS, self._numbers[number].tolist()))
        for axis in ("series", "z", "c", "t"):
            numbers[axis] = None if numbers[axis] < 0 else numbers[axis]
        names = dict(zip(_NAMES, self._names[self._named[number]]))
        return Page(self._first + number, **numbers, **names)

    def __iter__(self) -> Iterator[Page]:
        """Give the pages in their order."""
        return (self[number] for number in range(len(self)))


@dataclass(frozen=True, eq=False)
class Plane:
    """One grey image and its place in the file; the places are those of `Page`.

    Attributes
    ----------
    array : (height, width) array
        Of the file's pixel type, in native byte order; or a `LazyPlane`.
    known_optics : KnownOptics, optional
        What the file tells of the optics.
    """

    array: NDArray[Any]
    series: int | None = None
    z: int | None = None
    c: int | None = None
    t: int | None = None
    plate: str | None = None
    well: str | None = None
    site: str | None = None
    stack: str | None = None
    known_optics: KnownOptics | None = None

    @property
    def optics(self) -> Optics | None:
        """The optics, when the file tells all four values."""
        return None if self.known_optics is None else optics_of(self.known_optics)[0]


class ImageFile(Protocol):
    """An image file of which the header has been read. It holds no open handle."""

    @property
    def pages(self) -> Sequence[Page]:
        """The stored pictures, in the file's order."""

    def read(self, page: Page, *, luminance: bool = False, whole: bool = False) -> list[Plane]:
        """Planes of one page; see `planes`.

        Parameters
        ----------
        page
            One of `pages`.
        luminance
            As for `planes`.
        whole
            Read all pixels now. Otherwise the planes of a page of more than `lazy.LAZY_PIXELS`
            pixels are `LazyPlane`s where the file is made of tiles or strips of a moderate size,
            and may then be of any size. Their errors come when they are read.
        """


def luminance(red: NDArray[Any], green: NDArray[Any], blue: NDArray[Any]) -> NDArray[Any]:
    """Turn colour into one grey plane: 0.2126 R + 0.7152 G + 0.0722 B (ITU-R BT.709).

    Parameters
    ----------
    red, green, blue : (height, width) array
        Of one integer or float type.

    Returns
    -------
    (height, width) array
        Of that type; rounded for integers.
    """
    grey = sum(
        weight * channel.astype(np.float32)
        for weight, channel in zip(_LUMINANCE, (red, green, blue))
    )
    if red.dtype.kind in "ui":
        grey = np.rint(grey)
    return np.asarray(grey, dtype=red.dtype)


def grey_channels(
    array: NDArray[Any], colour: bool, by_luminance: bool
) -> list[tuple[int | None, NDArray[Any]]]:
    """Give grey planes of an (H, W) or (H, W, n) array, each with its channel.

    Parameters
    ----------
    array
        Without transparency.
    colour
        Whether the first three channels are red, green and blue.
    by_luminance
        As `luminance` of `planes`.
    """
    if array.ndim == 2 or array.shape[2] == 1:
        return [(None, array.reshape(array.shape[:2]))]
    if colour:
        red, green, blue = (array[..., i] for i in range(3))
        if np.array_equal(red, green) and np.array_equal(green, blue):
            return [(None, red)]
        if by_luminance:
            return [(None, luminance(red, green, blue))]
    return [(c, array[..., c]) for c in range(array.shape[2])]
