"""Read the formats of microscopes' makers through bioio and its readers, plane by plane."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import itertools
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microscope_quality.errors import FileError, reason_of
from microscope_quality.files.lazy import MAX_WHOLE_BYTES
from microscope_quality.files.metadata import KnownOptics, from_ome_xml, of_place, with_pixel_size
from microscope_quality.files.plane import Page, Plane, grey_channels
from microscope_quality.optics import IMMERSIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_PLANES = 1_000_000


@dataclass(frozen=True)
class _Format:
    module: str
    package: str
    extra: str


#: By the ending of a file's name: who reads it. bioio-czi is in an extra of its own because its
#: licence, the GPL, is another than this library's.
FORMATS: Mapping[str, _Format] = {
    ".czi": _Format("bioio_czi", "bioio-czi", "czi"),
    ".lif": _Format("bioio_lif", "bioio-lif", "formats"),
    ".nd2": _Format("bioio_nd2", "bioio-nd2", "formats"),
}


class FormatImage:
    """A file of a microscope's maker; the scenes in it are series.

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
        self._format = FORMATS[path.suffix.lower()]
        if find_spec(self._format.module) is None:
            raise FileError(
                f"{path}: reading {path.suffix.lower()} needs {self._format.package}: "
                f"pip install 'microscope-quality[{self._format.extra}]'"
            )
        pages: list[Page] = []
        # Beside each page: its scene and its index along all axes but y, x and samples.
        self._stored: list[tuple[int, tuple[int, ...]]] = []
        self._known: dict[int, list[KnownOptics]] = {}
        with self._reading("is damaged, or of a kind that is not known"):
            reader = importlib.import_module(self._format.module).Reader
            options = {}
            if "chunk_dims" in inspect.signature(reader.__init__).parameters:
                options["chunk_dims"] = ["Y", "X"]
            self._reader = reader(path, **options)
            scenes = len(self._reader.scenes)
            for scene in range(scenes):
                self._reader.set_scene(scene)
                data = self._reader.xarray_dask_data
                names = _names(data.dims)
                height, width = data.shape[len(names) : len(names) + 2]
                samples = math.prod(data.shape[len(names) + 2 :])
                size = {
                    "width": int(width),
                    "height": int(height),
                    "pixel_bytes": data.dtype.itemsize * samples,
                }
                outer = data.shape[: len(names)]
                if math.prod(outer) + len(pages) > _MOST_PLANES:
                    raise FileError(f"is too large: it has {math.prod(outer)} planes")
                for index in itertools.product(*map(range, outer)):
                    place = {n: i for n, i, length in zip(names, index, outer) if length > 1}
                    series = scene if scenes > 1 else None
                    pages.append(Page(len(pages), series, **place, **size))  # type: ignore[arg-type]
                    self._stored.append((scene, index))
            if not pages:
                raise FileError("holds no image")
        self.pages: Sequence[Page] = pages

    def read(self, page: Page, *, luminance: bool = False, whole: bool = False) -> list[Plane]:
        """Planes of one page; see `images.ImageFile`."""
        scene, index = self._stored[page.index]
        with self._reading("cannot be decoded"):
            self._reader.set_scene(scene)
            data = self._reader.xarray_dask_data
            part = data.data[index]
            if part.nbytes > MAX_WHOLE_BYTES:
                raise FileError(
                    f"is too large: {' × '.join(map(str, part.shape))} pixels would take "
                    f"{part.nbytes / 1e9:.3g} GB of memory, and {MAX_WHOLE_BYTES / 1e9:.3g} GB "
                    "are allowed; save it as a tiled TIFF or as OME-Zarr, which are read part by "
                    "part"
                )
            if scene not in self._known:
                self._known[scene] = self._optics(scene)
            array: NDArray[Any] = np.asarray(part.compute(scheduler="synchronous"))
            if array.dtype.kind not in "buif":
                raise FileError(f"holds {array.dtype} pixels; real numbers can be measured")
            array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
            colour = array.ndim == 3 and array.shape[2] >= 3
            planes = grey_channels(array[..., :3] if colour else array, colour, luminance)
            channel = page.c or 0
            return [
                Plane(
                    plane,
                    page.series,
                    page.z,
                    page.c if c is None else channel * 3 + c,
                    page.t,
                    known_optics=of_place([self._known[scene]], None, page.c),
                )
                for c, plane in planes
            ]

    def _optics(self, scene: int) -> list[KnownOptics]:
        """What the metadata tell of the channels' optics, of what the reader understands."""
        # Metadata of any form are no reason not to measure.
        with contextlib.suppress(Exception):
            images = from_ome_xml(self._reader.ome_metadata.to_xml())
            return images[min(scene, len(images) - 1)]
        sizes = None
        values: dict[str, Any] = {}
        wavelengths: list[Any] = []
        with contextlib.suppress(Exception):
            sizes = self._reader.physical_pixel_sizes
        with contextlib.suppress(Exception):
            values, wavelengths = _of_elements(self._reader.metadata)
        across, down = (None, None) if sizes is None else (sizes.X, sizes.Y)
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
            raise FileError(f"{self._path}: {reason_of(error, self._path)}") from error
        except Exception as error:
            said = " ".join(str(error).replace(str(self._path), self._path.name).split())
            reason = said[:200] or type(error).__name__
            raise FileError(
                f"{self._path}: {otherwise} ({self._format.package}: {reason})"
            ) from error
        finally:
            logging.disable(disabled)


def _names(dims: Sequence[str]) -> list[str]:
    """z, c or t for each axis before y and x; one that has no such name takes a free one."""
    picture = [axis for axis in dims if axis in ("Y", "X", "S")]
    names = [axis.lower() for axis in dims if axis not in picture]
    if list(dims[len(names) :]) != picture or picture[:2] != ["Y", "X"]:
        raise FileError(f"has the axes {', '.join(dims)}; those of planes come last")
    for i, name in enumerate(names):
        if name not in ("z", "c", "t"):
            free = [one for one in "tzc" if one not in names]
            if not free:
                raise FileError(f"has the axes {', '.join(dims)}; t, c, z, y, x can be measured")
            names[i] = free[0]
    return names


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
