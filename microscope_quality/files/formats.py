"""Read the formats of microscopes' makers plane by plane, by readers of bioio and liffile."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import logging
import math
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microscope_quality.errors import FileError, reason_of
from microscope_quality.files import czi_blocks, nd2_frames, ome_xml
from microscope_quality.files.lazy import check_size
from microscope_quality.files.metadata import KnownOptics, from_ome_xml, of_place, with_pixel_size
from microscope_quality.files.ome_xml import MAX_PLANES
from microscope_quality.files.plane import Page, Plane, grey_channels
from microscope_quality.files.regular import open_regular
from microscope_quality.optics import IMMERSIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pixels on a side: the readers make a list of all columns before they read any.
_LONGEST_SIDE = 4_000_000
# Two lengths, a mark, and the characters of the description, of two bytes each.
_LIF_HEAD = struct.Struct("<IIBI")
_MOST_LIF_CHARACTERS = 2**26


@dataclass(frozen=True)
class _Format:
    """Who reads a format; `blue_first` is an order of colours that the reader leaves as it is."""

    module: str
    package: str
    extra: str
    blue_first: bool = False


#: By the ending of a file's name: who reads it. bioio-czi is in an extra of its own because its
#: licence, the GPL, is another than this library's.
FORMATS: Mapping[str, _Format] = {
    ".czi": _Format("bioio_czi", "bioio-czi", "czi", blue_first=True),
    # bioio-lif reads through liffile, and cannot give colours.
    ".lif": _Format("liffile", "liffile", "formats"),
    ".nd2": _Format("bioio_nd2", "bioio-nd2", "formats", blue_first=True),
}


@dataclass(frozen=True)
class _Scene:
    """Axes of a scene, outermost first and y, x and samples last, and the bytes of a sample."""

    lengths: Mapping[str, int]
    item_bytes: int

    @property
    def outer(self) -> list[str]:
        """The axes along which there are planes."""
        return [axis for axis in self.lengths if axis not in ("Y", "X", "S")]


class FormatImage:
    """A file of a microscope's maker; the scenes in it, and the tiles of a mosaic, are series.

    Parameters
    ----------
    path
        A file with one of the endings in `FORMATS`.

    Raises
    ------
    FileError
        The reader is missing, or cannot read the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ending = path.suffix.lower()
        self._format = FORMATS[self._ending]
        if find_spec(self._format.module) is None:
            raise FileError(
                f"{path}: reading {self._ending} needs {self._format.package}: "
                f"pip install 'microscope-quality[{self._format.extra}]'"
            )
        # Beside each page: its scene and its index along the outer axes of that.
        self._stored: list[tuple[int, tuple[int, ...]]] = []
        self._known: dict[int, list[KnownOptics]] = {}
        # Of all scenes; none, where there is no such metadata.
        self._ome_images: list[list[KnownOptics]] | None = None
        self._reader: Any = None
        self._frames: nd2_frames.Frames | None = None
        self._blocks: czi_blocks.Blocks | None = None
        with self._reading("is damaged, or of a kind that is not known"):
            if self._ending == ".czi":
                # Without the reader: what a native library makes of a damaged file must not end
                # the process that only lists the pages.
                self._blocks = czi_blocks.read_blocks(path)
                self._scenes = [_Scene(*one) for one in self._blocks.shapes]
                self._check_sizes([one.lengths for one in self._scenes])
            elif self._ending == ".nd2":
                self._frames = nd2_frames.read_frames(path)
                self._check_sizes([self._frames.sizes] if self._frames else [])
                reader = self._open()
                self._scenes = [self._described(n) for n in range(len(reader.scenes))]
            else:
                _check_lif(path)
                with self._lif() as file:
                    self._scenes = [_lif_scene(image) for image in file.images]
                self._check_sizes([one.lengths for one in self._scenes])
            self.pages: Sequence[Page] = self._list_pages()

    def _open(self) -> Any:
        open_regular(self._path).close()
        if self._reader is None:
            reader = importlib.import_module(self._format.module).Reader
            # For the metadata, bioio-czi describes all chunks of a scene: let there be one.
            options = {"chunk_dims": list("RHIVBMTCZYX")} if self._blocks is not None else {}
            self._reader = reader(self._path, **options)
        return self._reader

    def _lif(self) -> Any:
        open_regular(self._path).close()
        return importlib.import_module("liffile").LifFile(self._path)

    def _check_sizes(self, scenes: Sequence[Mapping[str, int]]) -> None:
        """Refuse what the reader would take much memory for before it reads a pixel."""
        planes = 0
        for sizes in scenes:
            if min(sizes.values(), default=1) < 1:
                raise FileError("is damaged: an axis has no length")
            planes += math.prod(n for axis, n in sizes.items() if axis not in ("Y", "X", "S"))
            if planes > MAX_PLANES:
                raise FileError(f"is too large: it has {planes} planes")
            if max(sizes.get("Y", 1), sizes.get("X", 1)) > _LONGEST_SIDE:
                raise FileError(f"is too large: {sizes.get('Y')} × {sizes.get('X')} pixels")

    def _described(self, number: int) -> _Scene:
        self._reader.set_scene(number)
        dims = self._reader.dims
        lengths = dict(zip(dims.order, map(int, dims.shape)))
        scene = _Scene(lengths, np.dtype(self._reader.dtype).itemsize)
        if list(lengths) not in ([*scene.outer, "Y", "X"], [*scene.outer, "Y", "X", "S"]):
            raise FileError(f"has the axes {', '.join(lengths)}; those of planes come last")
        return scene

    def _list_pages(self) -> list[Page]:
        found: list[tuple[int, dict[str, int], dict[str, int]]] = []
        series = 0
        for number, scene in enumerate(self._scenes):
            lengths = scene.lengths
            size = {
                "width": lengths["X"],
                "height": lengths["Y"],
                "pixel_bytes": scene.item_bytes * lengths.get("S", 1),
            }
            # Tiles, views, phases: each has its own stack.
            others = [axis for axis in scene.outer if axis not in ("T", "C", "Z")]
            named = [axis for axis in scene.outer if axis in ("T", "C", "Z")]
            for other in itertools.product(*(range(lengths[axis]) for axis in others)):
                for place in itertools.product(*(range(lengths[axis]) for axis in named)):
                    at = dict(zip((*others, *named), (*other, *place)))
                    self._stored.append((number, tuple(at[axis] for axis in scene.outer)))
                    several = {axis.lower(): at[axis] for axis in named if lengths[axis] > 1}
                    found.append((series, several, size))
                series += 1
        if not found:
            raise FileError("holds no image")
        return [
            Page(k, number if series > 1 else None, **place, **size)  # type: ignore[arg-type]
            for k, (number, place, size) in enumerate(found)
        ]

    def read(self, page: Page, *, luminance: bool = False, whole: bool = False) -> list[Plane]:
        """Planes of one page; see `images.ImageFile`."""
        scene, index = self._stored[page.index]
        with self._reading("cannot be decoded"):
            data = self._scenes[scene]
            place = dict(zip(data.outer, index))
            sides = [data.lengths[axis] for axis in data.lengths if axis not in place]
            n_bytes = math.prod(sides) * data.item_bytes
            if self._frames is not None:
                # All channels come at once.
                n_bytes = self._frames.n_bytes
            advice = "; save it as a tiled TIFF or as OME-Zarr, which are read part by part"
            check_size(n_bytes, sides, behind=advice)
            if self._frames is not None:
                self._frames.check(self._path, {**place, "P": scene})
            if self._blocks is not None:
                self._blocks.check(self._path, scene, place)
            array = self._pixels(scene, place)
            if scene not in self._known:
                self._known[scene] = self._optics(scene)
            if array.dtype.kind not in "buif":
                raise FileError(f"holds {array.dtype} pixels; real numbers can be measured")
            array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
            colour = array.ndim == 3 and array.shape[2] >= 3
            if colour:
                array = array[..., 2::-1] if self._format.blue_first else array[..., :3]
            planes = grey_channels(array, colour, luminance)
            channel = page.c or 0
            several = "S" in data.lengths or (self._blocks is not None and self._blocks.colours)
            # Also of a plane that is grey: its number is not to be that of another's green.
            own = page.c if luminance or not several or page.c is None else page.c * 3
            known = of_place([self._known[scene]], None, page.c)
            return [
                page.plane(plane, known, c=own if c is None else channel * 3 + c)
                for c, plane in planes
            ]

    def _pixels(self, scene: int, place: Mapping[str, int]) -> NDArray[Any]:
        """A plane, or one of colours along a third axis."""
        if self._ending == ".lif":
            with self._lif() as file:
                frames = file.images[scene].frames(**place)
                if frames.frame_dims[:2] != ("Y", "X"):
                    found = " and ".join(frames.frame_dims).lower()
                    raise FileError(f"has pictures of {found}; those of y and x can be measured")
                return np.asarray(next(iter(frames)))
        if self._blocks is not None:
            # bioio-czi takes the scenes from the metadata, which may tell of others, and the
            # colours from the first channel.
            wanted = self._blocks.coordinates(scene, place)
            with open_regular(self._path) as stream:
                file = importlib.import_module("aicspylibczi").CziFile(stream)
                pixels, axes = file.read_image(**wanted)
            return np.asarray(pixels)[tuple(slice(None) if a in "YXA" else 0 for a, _ in axes)]
        reader = self._open()
        if reader.current_scene_index != scene:
            reader.set_scene(scene)
        axes = str(reader.dims.order)
        picture = "".join(axis for axis in axes if axis in "YXS")
        known = {axis: n for axis, n in place.items() if axis in axes}
        return np.asarray(reader.get_image_data(picture, **known))

    def _optics(self, scene: int) -> list[KnownOptics]:
        """What the metadata tell of the channels' optics, of what the reader understands."""
        across, down = None, None
        values: dict[str, Any] = {}
        wavelengths: list[Any] = []
        # Metadata of any form are no reason not to measure.
        if self._ending == ".lif":
            with contextlib.suppress(Exception), self._lif() as file:
                element = file.images[scene].xml_element
                values, wavelengths = _of_elements(element)
                across, down = (_lif_side(element, axis) for axis in ("1", "2"))
        else:
            with contextlib.suppress(Exception):
                if self._ome_images is None:
                    self._ome_images = []
                    # It takes long where there are many frames.
                    self._ome_images = from_ome_xml(self._open().ome_metadata.to_xml())
                return self._ome_images[min(scene, len(self._ome_images) - 1)]
            with contextlib.suppress(Exception):
                sizes = self._open().physical_pixel_sizes
                across, down = sizes.X, sizes.Y
            with contextlib.suppress(Exception):
                values, wavelengths = _of_elements(self._open().metadata)
        return [
            with_pixel_size({**values, "wavelength_um": one}, across, down, "µm", "µm")
            for one in wavelengths or [None]
        ]

    @contextlib.contextmanager
    def _reading(self, otherwise: str) -> Iterator[None]:
        """Keep a reader quiet, and turn whatever it stumbles over into a `FileError`."""
        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except FileError as error:
            raise FileError(f"{self._path}: {reason_of(error, self._path):.400}") from error
        except MemoryError as error:
            raise FileError(f"{self._path}: needs more memory than it is allowed") from error
        except Exception as error:
            said = " ".join(str(error).replace(str(self._path), self._path.name).split())
            reason = said[:200] or type(error).__name__
            raise FileError(
                f"{self._path}: {otherwise} ({self._format.package}: {reason})"
            ) from error
        finally:
            logging.disable(disabled)


def _check_lif(path: Path) -> None:
    """Refuse a description that the reader should not parse: it is the first thing in the file."""
    with open_regular(path) as stream:
        head = stream.read(_LIF_HEAD.size).ljust(_LIF_HEAD.size, b"\0")
        _, _, _, n_characters = _LIF_HEAD.unpack(head)
        if n_characters > _MOST_LIF_CHARACTERS:
            raise FileError(
                f"is damaged, or too large: its description has {n_characters} characters"
            )
        description = stream.read(2 * n_characters).decode("utf-16-le", "replace")
    ome_xml.check(description)


def _lif_scene(image: Any) -> _Scene:
    """A scene from an image of liffile's, whose axes may be in any order."""
    # One that cannot be measured, as a scan of a line, is an error when it is read: the other
    # images of a project can be.
    unknown = _Scene({"Y": 1, "X": 1}, 1)
    with contextlib.suppress(Exception):
        sizes = {str(axis): int(length) for axis, length in image.sizes.items()}
        picture = [axis for axis in ("Y", "X", "S") if axis in sizes]
        if picture[:2] == ["Y", "X"]:
            lengths = {axis: n for axis, n in sizes.items() if axis not in picture}
            lengths.update((axis, sizes[axis]) for axis in picture)
            return _Scene(lengths, image.dtype.itemsize)
    return unknown


def _lif_side(element: Any, axis: str) -> float | None:
    """Side of a pixel in µm along an axis by Leica's number; a length ends at the last's centre."""
    for one in element.iter("DimensionDescription"):
        if one.get("DimID") == axis and one.get("Unit") == "m":
            return abs(float(one.get("Length"))) / (int(one.get("NumberOfElements")) - 1) * 1e6
    return None


def _of_elements(root: Any) -> tuple[dict[str, Any], list[Any]]:
    """Objective's values and channels' wavelengths in a CZI's or LIF's own XML."""
    values: dict[str, Any] = {}
    wavelengths: list[Any] = []
    for element in root.iter():
        text = (element.text or "").strip()
        if element.tag == "LensNA" and text:
            values.setdefault("na", text)
        elif element.tag == "Immersion" and text.lower() in IMMERSIONS:
            values.setdefault("refractive_index", IMMERSIONS[text.lower()])
        elif element.tag == "Channel" and element.find("EmissionWavelength") is not None:
            wavelengths.append(float(element.find("EmissionWavelength").text) / 1000)
        elif element.get("NumericalAperture"):
            values.setdefault("na", element.get("NumericalAperture"))
            name = str(element.get("Immersion", "")).lower()
            index = element.get("RefractionIndex") or IMMERSIONS.get({"dry": "air"}.get(name, name))
            values.setdefault("refractive_index", index)
    return values, wavelengths
