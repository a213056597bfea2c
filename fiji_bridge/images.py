"""Any image as planes: their pixels as NumPy arrays, their positions, mask and calibration.

Java's classes are known by their names, so that nothing of Java is imported before it is there,
and it does not matter which class loader they come from.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from microscope_quality.errors import ImageError, OpticsError, SettingsError
from microscope_quality.files.metadata import square_side
from microscope_quality.files.plane import luminance

Array = NDArray[Any]

IMAGE_PLUS = "ij.ImagePlus"
_CHANNELS, _SLICES, _FRAMES = "channel", "slice", "frame"
_COLOURS = ("red", "green", "blue")

_UM_PER_UNIT = {
    "um": 1.0,
    "micron": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
}
# Inches are left out: files give dots per inch for a printer, mostly 72 or 300 of them.

_IMGLIB2_TYPES: dict[str, type[np.generic]] = {
    "UnsignedByteType": np.uint8,
    "ByteType": np.int8,
    "UnsignedShortType": np.uint16,
    "ShortType": np.int16,
    "UnsignedIntType": np.uint32,
    "IntType": np.int32,
    "UnsignedLongType": np.uint64,
    "LongType": np.int64,
    "FloatType": np.float32,
    "DoubleType": np.float64,
}


@dataclass(frozen=True)
class Position:
    """Where a plane is in its image.

    Attributes
    ----------
    c, z, t : int
        Channel, slice and frame, counted from 1. In a colour image the three colours count as
        channels.
    """

    c: int
    z: int
    t: int


class Image(Protocol):
    """An image of planes, read one at a time.

    Attributes
    ----------
    title : str
    height, width : int
        Of a plane, in pixels.
    channels, slices, frames : int
        Of a colour image, `channels` is three times what ImageJ says.
    colour : bool
        Three channels make up a colour.
    current : Position or None
        Of the plane that is shown; None for an image that nobody looks at.
    """

    title: str
    height: int
    width: int
    channels: int
    slices: int
    frames: int
    colour: bool
    current: Position | None

    def plane(self, position: Position) -> Array:
        """Give the pixels of a channel, shape (height, width)."""

    def colours(self, position: Position) -> Array:
        """Give all three channels of a colour, shape (height, width, 3)."""

    def mask(self) -> NDArray[np.bool_] | None:
        """Give which pixels count, shape (height, width); None when all do."""

    def pixel_sides(self) -> tuple[tuple[float, str], tuple[float, str]]:
        """Give a pixel's width and height, each with its unit."""


def opened(image: Any) -> Image:
    """Give any image as planes.

    Parameters
    ----------
    image : ij.ImagePlus, net.imagej.Dataset, net.imagej.ImgPlus, xarray.DataArray or array
        NumPy arrays are (height, width), (slices, height, width) or, with colours,
        (height, width, 3) and (slices, height, width, 3).

    Raises
    ------
    ImageError
        For anything else, and for what has no pixels.
    """
    kinds = _java_names(image)
    if IMAGE_PLUS in kinds:
        return _ImagePlus(image)
    if kinds & {"net.imagej.Dataset", "net.imagej.ImgPlus"}:
        return _ImgPlus(image, is_dataset="net.imagej.Dataset" in kinds)
    if kinds:
        raise ImageError(
            f"An object of the Java class {type(image).__name__} is no image that is read here: "
            "give an ij.ImagePlus, a net.imagej.Dataset or ImgPlus, or what ij.py.to_xarray makes "
            "of it."
        )
    if hasattr(image, "dims") and hasattr(image, "values"):
        return _Labelled(image)
    return _Unlabelled(image)


def is_image_plus(image: Any) -> bool:
    """Tell whether something is an ``ij.ImagePlus``."""
    return IMAGE_PLUS in _java_names(image)


def position_in(
    image: Image, c: int | None = None, z: int | None = None, t: int | None = None
) -> Position:
    """Give the position of a plane that was chosen, or is shown.

    Parameters
    ----------
    image : Image
    c, z, t : int, optional
        Channel, slice and frame, counted from 1. Unless given, those of the plane that is shown;
        a colour image's channel is then its first one.

    Raises
    ------
    SettingsError
        For a number that is out of range, or one that is missing where none is shown.
    """
    chosen = []
    for key, axis, number, length in (
        ("c", _CHANNELS, c, image.channels),
        ("z", _SLICES, z, image.slices),
        ("t", _FRAMES, t, image.frames),
    ):
        if number is None:
            if length > 1 and image.current is None and not (key == "c" and image.colour):
                raise SettingsError(
                    f"The image has {length} {axis}s: choose one with {key}=1 to {key}={length}."
                )
            number = 1 if image.current is None else int(getattr(image.current, key))
        elif isinstance(number, bool) or not isinstance(number, (int, np.integer)):
            raise SettingsError(f"{key} must be a whole number, not {number!r}.")
        elif not 1 <= number <= length:
            of = f"1 to {length}" if length > 1 else "1, as there is one"
            raise SettingsError(f"{key} must be a {axis}, {of}, counted from 1, not {number!r}.")
        chosen.append(int(number))
    return Position(*chosen)


def grey_plane(image: Image, position: Position, *, chosen: bool, by_luminance: bool) -> Array:
    """Read one grey plane.

    Parameters
    ----------
    image : Image
    position : Position
    chosen : bool
        The channel was asked for, and is not only the current one.
    by_luminance : bool
        Turn a colour into one grey plane.

    Returns
    -------
    (height, width) array
        Three equal channels of a colour are one grey plane.

    Raises
    ------
    ImageError
        For a colour of which no channel was chosen.
    SettingsError
        For luminance of an image without colours.
    """
    if not image.colour:
        if by_luminance:
            raise SettingsError(
                f"The image {image.title!r} has no colours to make a luminance of: leave "
                "luminance away."
            )
        return image.plane(position)
    if chosen and not by_luminance:
        return image.plane(position)
    planes = grey_planes(image, position, by_luminance=by_luminance)
    if len(planes) > 1:
        raise ImageError(
            f"The three colours of {image.title!r} differ: choose one with c=1 (red), c=2 (green) "
            "or c=3 (blue), or give luminance=True."
        )
    return planes[0][1]


def grey_planes(
    image: Image, position: Position, *, by_luminance: bool
) -> list[tuple[int | None, Array]]:
    """Read a position as files are read: a colour is three planes, unless they are equal.

    Returns
    -------
    list of (int or None, (height, width) array)
        The channel, counted from 1, of each colour; None where there is one grey plane.
    """
    if not image.colour:
        return [(None, image.plane(position))]
    colours = image.colours(position)
    red, green, blue = (colours[..., i] for i in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return [(None, red)]
    if by_luminance:
        return [(None, luminance(red, green, blue))]
    first = position.c - (position.c - 1) % 3
    return [(first, red), (first + 1, green), (first + 2, blue)]


def pixel_size_um(image: Image) -> float:
    """Give the side of a pixel in µm, from the image's calibration; see `square_side`.

    Raises
    ------
    OpticsError
        Without a unit of length (inches are a printer's), or where the sides of a pixel differ by
        a tenth or more.
    """
    (width, unit_x), (height, unit_y) = image.pixel_sides()
    width_um, height_um = width * _um_per(unit_x), height * _um_per(unit_y)
    instead = "or make the Optics yourself, with pixel_size_um"
    if not all(side > 0 and math.isfinite(side) for side in (width_um, height_um)):
        raise OpticsError(
            f"The image {image.title!r} is not calibrated in a unit of length of the specimen: a "
            f"pixel is {width:g} by {height:g} {unit_x.strip() or 'of no unit'}. Set its size in "
            f"µm in Image > Properties..., {instead}."
        )
    side = square_side(width_um, height_um)
    if side is None:
        raise OpticsError(
            f"The pixels of {image.title!r} are not square ({width:g} {unit_x} by {height:g} "
            f"{unit_y}), and their sides may differ by less than a tenth. Correct them in Image > "
            f"Properties..., {instead}."
        )
    return side


def _um_per(unit: str) -> float:
    # The micro sign and the Greek letter are two characters.
    name = unit.strip().lower().replace("\u00b5", "u").replace("\u03bc", "u")
    if len(name) > 5 and name.endswith("s"):
        name = name[:-1]
    return _UM_PER_UNIT.get(name, math.nan)


def _java_names(image: Any) -> frozenset[str]:
    """Give the names of a Java object's classes and interfaces; none for other objects."""
    # Without JPype there is no Java object, and it is not imported to find that out.
    jpype = sys.modules.get("jpype")
    if jpype is None or not isinstance(image, jpype.JObject):
        return frozenset()
    return frozenset(kind.__name__ for kind in type(image).__mro__)


def _palette(image: Any, processor: Any) -> Array | None:
    """Give the colours of an indexed image, shape (256, 3); None where pixels are grey values.

    Like ImageJ's own menus, it takes a table of 256 colours that follow each other smoothly for a
    lookup table, and one that was chosen from the menu too: these show grey values in colours.
    """
    if (
        "ij.process.ByteProcessor" not in _java_names(processor)
        or not processor.isColorLut()
        or processor.isPseudoColorLut()
        or image.isComposite()
        or image.getProp("CurrentLUT") is not None
    ):
        return None
    import jpype

    table = processor.getColorModel()
    colours = np.zeros((256, 3), np.uint8)
    for i, read in enumerate((table.getReds, table.getGreens, table.getBlues)):
        found = jpype.JArray(jpype.JByte)(int(table.getMapSize()))
        read(found)
        colours[: len(found), i] = np.asarray(found).view(np.uint8)[:256]
    return colours


class _ImagePlus:
    """An ``ij.ImagePlus``; its planes are copied when they are read, each once."""

    def __init__(self, image: Any) -> None:
        self.title = str(image.getTitle())
        self._image = image
        processor = image.getProcessor()
        if processor is None or processor.getPixels() is None:
            raise ImageError(f"The image {self.title!r} has no pixels, or was closed.")
        self.height = int(image.getHeight())
        self.width = int(image.getWidth())
        self._integers = "ij.process.IntProcessor" in _java_names(processor)
        self._palette = _palette(image, processor)
        packed = int(image.getBitDepth()) == 24 and not self._integers
        self.colour = packed or self._palette is not None
        self.channels = int(image.getNChannels()) * (3 if self.colour else 1)
        self.slices = int(image.getNSlices())
        self.frames = int(image.getNFrames())
        channel = int(image.getC())
        self.current: Position | None = Position(
            3 * channel - 2 if self.colour else channel, int(image.getZ()), int(image.getT())
        )

    def plane(self, position: Position) -> Array:
        if self.colour:
            return self.colours(position)[..., (position.c - 1) % 3]
        pixels = self._pixels(position.c, position)
        # Java has no unsigned bytes and shorts: ImageJ keeps them in signed ones.
        if pixels.dtype == np.int8:
            pixels = pixels.view(np.uint8)
        elif pixels.dtype == np.int16:
            pixels = pixels.view(np.uint16)
        return pixels.reshape(self.height, self.width)

    def colours(self, position: Position) -> Array:
        packed = self._pixels((position.c + 2) // 3, position)
        if self._palette is not None:
            numbers = packed.view(np.uint8).reshape(self.height, self.width)
            colours: Array = self._palette[numbers]
            return colours
        # Each pixel is a number 0xAARRGGBB.
        parts = packed.view(np.uint8).reshape(self.height, self.width, 4)
        return parts[..., 2::-1] if sys.byteorder == "little" else parts[..., 1:]

    def _pixels(self, channel: int, position: Position) -> Array:
        index = self._image.getStackIndex(channel, position.z, position.t)
        stack = self._image.getStack()
        if stack.isVirtual():
            self._check_file(stack, index)
        processor = stack.getProcessor(index)
        if processor is None:
            raise ImageError(f"Plane {index} of {self.title!r} cannot be read.")
        pixels = np.asarray(processor.getPixels())
        if pixels.size != self.height * self.width:
            raise ImageError(
                f"Plane {index} of {self.title!r} has {pixels.size} pixels, not "
                f"{self.height} x {self.width}."
            )
        return pixels

    def _check_file(self, stack: Any, index: int) -> None:
        """Refuse a plane whose file is gone: ImageJ would make one up, with a text in it."""
        folder, name = stack.getDirectory(), stack.getFileName(index)
        info = self._image.getOriginalFileInfo()
        if (not folder or not name) and info is not None and not info.url:
            folder, name = info.directory, info.fileName
        if folder and name and not Path(str(folder), str(name)).exists():
            raise ImageError(
                f"Plane {index} of {self.title!r} cannot be read: {Path(str(folder), str(name))} "
                "does not exist any more."
            )

    def mask(self) -> NDArray[np.bool_] | None:
        roi = self._image.getRoi()
        # A line or points enclose nothing to limit the measurement to, and a text is a remark.
        if roi is None or not roi.isArea() or "ij.gui.TextRoi" in _java_names(roi):
            return None
        bounds = roi.getBounds()
        top, left = max(bounds.y, 0), max(bounds.x, 0)
        bottom = min(bounds.y + bounds.height, self.height)
        right = min(bounds.x + bounds.width, self.width)
        inside = np.zeros((self.height, self.width), np.bool_)
        if bottom <= top or right <= left:
            return inside
        shape = roi.getMask()
        if shape is None:
            inside[top:bottom, left:right] = True
            return inside
        drawn = np.asarray(shape.getPixels()).reshape(shape.getHeight(), shape.getWidth()) != 0
        rows, columns = slice(top - bounds.y, None), slice(left - bounds.x, None)
        part = drawn[rows, columns][: bottom - top, : right - left]
        inside[top : top + part.shape[0], left : left + part.shape[1]] = part
        return inside

    def pixel_sides(self) -> tuple[tuple[float, str], tuple[float, str]]:
        calibration = self._image.getCalibration()
        return (
            (float(calibration.pixelWidth), str(calibration.getXUnit())),
            (float(calibration.pixelHeight), str(calibration.getYUnit())),
        )


class _Axes:
    """An array with an axis each for t, z, c, y and x, in any order, and perhaps none for some."""

    def __init__(self, title: str, axes: Mapping[str, int], shape: tuple[int, ...]) -> None:
        self.title = title
        self.axes = axes
        lengths = {name: int(shape[axis]) for name, axis in axes.items()}
        self.height, self.width = lengths["y"], lengths["x"]
        self.channels = lengths.get("c", 1)
        self.slices, self.frames = lengths.get("z", 1), lengths.get("t", 1)
        self.colour = False
        self.current: Position | None = None
        if not math.prod(shape):
            raise ImageError(f"The image {title!r} has no pixels; its shape is {shape}.")

    def index(self, position: Position) -> dict[str, int]:
        """Give where a position is along the axes, counted from 0."""
        wanted = {"c": position.c - 1, "z": position.z - 1, "t": position.t - 1}
        return {name: at for name, at in wanted.items() if name in self.axes}

    def plane(self, position: Position) -> Array:
        raise NotImplementedError

    def colours(self, position: Position) -> Array:
        first = position.c - (position.c - 1) % 3
        planes = [self.plane(replace(position, c=first + i)) for i in range(3)]
        return np.stack(planes, axis=-1)

    def mask(self) -> NDArray[np.bool_] | None:
        return None


class _Arrays(_Axes):
    """Planes of a NumPy array, without a copy."""

    def __init__(self, title: str, array: Array, axes: Mapping[str, int]) -> None:
        super().__init__(title, axes, array.shape)
        self._array = array

    def plane(self, position: Position) -> Array:
        index: list[Any] = [slice(None)] * self._array.ndim
        for name, at in self.index(position).items():
            index[self.axes[name]] = at
        plane: Array = self._array[tuple(index)]
        return plane.T if self.axes["x"] < self.axes["y"] else plane

    def pixel_sides(self) -> tuple[tuple[float, str], tuple[float, str]]:
        return (1.0, "pixel"), (1.0, "pixel")


class _Unlabelled(_Arrays):
    """A NumPy array, whose axes are known by their number alone."""

    def __init__(self, image: Any) -> None:
        if image is None:
            raise ImageError(
                "There is no image: ImageJ gives none where no window is open, or a file could not "
                "be opened."
            )
        array = image if isinstance(image, np.ndarray) else np.asarray(image)
        if isinstance(image, (str, bytes)) or array.dtype.kind not in "iufb":
            raise ImageError(
                f"A {type(image).__name__} is no image: give an ij.ImagePlus, a Dataset, an "
                "xarray or a NumPy array."
            )
        names = {2: "yx", 3: "zyx"}
        colour = array.ndim in (3, 4) and array.shape[-1] == 3
        n_axes = array.ndim - colour
        if n_axes not in names:
            raise ImageError(
                "A NumPy array must be (height, width) or (slices, height, width), or these with "
                f"three colours at the end; this one has the shape {array.shape}. With more axes, "
                "give an xarray with the dims t, pln, row, col, ch, or one plane."
            )
        axes = {name: axis for axis, name in enumerate(names[n_axes])}
        if colour:
            axes["c"] = n_axes
        super().__init__("array", array, axes)
        self.colour = colour


class _Labelled(_Arrays):
    """An ``xarray.DataArray`` with PyImageJ's names of axes, or ImageJ's."""

    _NAMES: Mapping[str, str] = {
        "t": "t",
        "time": "t",
        "pln": "z",
        "z": "z",
        "slice": "z",
        "row": "y",
        "y": "y",
        "col": "x",
        "x": "x",
        "ch": "c",
        "c": "c",
        "channel": "c",
    }

    def __init__(self, image: Any) -> None:
        dims = [str(name) for name in image.dims]
        array = np.asarray(image.values)
        axes: dict[str, int] = {}
        for axis, dim in enumerate(dims):
            name = self._NAMES.get(dim.lower(), "")
            if array.shape[axis] == 1 and not name:
                continue
            if not name or name in axes:
                raise ImageError(
                    f"The axis {dim!r} of an xarray with the dims {tuple(dims)} is not known "
                    "here; known are t, pln (or z), row (y), col (x) and ch (c). Choose one plane "
                    f"of it, such as image.isel({{{dim!r}: 0}})."
                )
            axes[name] = axis
        if "y" not in axes or "x" not in axes:
            raise ImageError(
                f"An image needs the dims row and col (or y and x); this xarray has {tuple(dims)}."
            )
        extra = [axis for axis in range(array.ndim) if axis not in axes.values()]
        array = array.squeeze(tuple(extra))
        axes = {name: axis - sum(other < axis for other in extra) for name, axis in axes.items()}
        super().__init__(str(image.name or "xarray"), array, axes)
        # PyImageJ puts the colours of an RGB image last; channels that were measured apart
        # stand there too, but seldom three of 8 bits.
        self.colour = self.channels == 3 and array.dtype == np.uint8


class _ImgPlus(_Axes):
    """A ``net.imagej.Dataset`` or ``ImgPlus`` whose pixels lie in Java arrays."""

    _NAMES: Mapping[str, str] = {"X": "x", "Y": "y", "Channel": "c", "Z": "z", "Time": "t"}

    def __init__(self, image: Any, *, is_dataset: bool) -> None:
        title = str(image.getName() or "image")
        imgplus = image.getImgPlus() if is_dataset else image
        shape = [int(imgplus.dimension(d)) for d in range(imgplus.numDimensions())]
        self._java_axes: dict[str, Any] = {}
        axes: dict[str, int] = {}
        for d in range(len(shape)):
            axis = imgplus.axis(d)
            label = str(axis.type().getLabel())
            name = self._NAMES.get(label, "")
            if not name or name in axes:
                if shape[d] == 1:
                    continue
                raise ImageError(
                    f"The axis {label!r} of {title!r} is not known here; known are X, Y, Channel, "
                    "Z and Time. Choose one plane of it."
                )
            axes[name] = d
            self._java_axes[name] = axis
        if "x" not in axes or "y" not in axes:
            raise ImageError(f"The image {title!r} has no axes X and Y.")
        super().__init__(title, axes, tuple(shape))
        self._shape = shape
        self._img = imgplus.getImg()
        kind = str(self._img.firstElement().getClass().getSimpleName())
        if kind not in _IMGLIB2_TYPES:
            raise ImageError(
                f"The pixels of {title!r} are of {kind}, which is not measured; convert it to 8, "
                "16 or 32 bits first."
            )
        self._type = _IMGLIB2_TYPES[kind]
        names = _java_names(self._img)
        self._planar = "net.imglib2.img.basictypeaccess.PlanarAccess" in names
        self._whole: Array | None = None
        if not self._planar and "net.imglib2.img.array.ArrayImg" not in names:
            raise self._elsewhere()
        if self._planar and {axes["x"], axes["y"]} != {0, 1}:
            raise self._elsewhere()
        merged = is_dataset and bool(image.isRGBMerged())
        self.colour = self.channels == 3 and (merged or self._type is np.uint8)

    def _elsewhere(self) -> ImageError:
        return ImageError(
            f"The pixels of {self.title!r} ({self._img.getClass().getSimpleName()}) are not in "
            "arrays that can be read directly: give ij.py.to_xarray(image) or "
            "ij.py.to_imageplus(image) instead."
        )

    def plane(self, position: Position) -> Array:
        at = self.index(position)
        index = [0] * len(self._shape)
        for name, number in at.items():
            index[self.axes[name]] = number
        transposed = self.axes["y"] < self.axes["x"]
        if self._planar:
            number, step = 0, 1
            for d in range(2, len(self._shape)):
                number += index[d] * step
                step *= self._shape[d]
            access = self._img.getPlane(number)
            if not hasattr(access, "getCurrentStorageArray"):
                raise self._elsewhere()
            pixels = np.asarray(access.getCurrentStorageArray()).view(self._type)
            plane = pixels.reshape(self._shape[1], self._shape[0])
            return plane.T if transposed else plane
        if self._whole is None:
            access = self._img.update(None)
            if not hasattr(access, "getCurrentStorageArray"):
                raise self._elsewhere()
            pixels = np.asarray(access.getCurrentStorageArray()).view(self._type)
            self._whole = pixels.reshape(self._shape[::-1])
        # Java's first axis is NumPy's last one.
        cut: list[Any] = list(index[::-1])
        cut[len(cut) - 1 - self.axes["x"]] = slice(None)
        cut[len(cut) - 1 - self.axes["y"]] = slice(None)
        chosen: Array = self._whole[tuple(cut)]
        return chosen.T if transposed else chosen

    def pixel_sides(self) -> tuple[tuple[float, str], tuple[float, str]]:
        return self._side("x"), self._side("y")

    def _side(self, name: str) -> tuple[float, str]:
        axis = self._java_axes[name]
        unit = axis.unit()
        return abs(float(axis.averageScale(0.0, 1.0))), "pixel" if unit is None else str(unit)
