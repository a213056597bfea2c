"""What the metadata of image files tell of the optics: pixel size, aperture, medium, wavelength.

Metadata are often incomplete and sometimes wrong. What cannot be is left out, with a message, and
is never an error.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from microscope_quality.errors import FileError, OpticsError
from microscope_quality.files.ome_xml import parse
from microscope_quality.optics import IMMERSIONS, Optics

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

#: Micrometres of the units of length in OME metadata (and of ImageJ's), in lower case.
_NAMES_OF_UM = {
    1e6: ("m", "meter", "metre"),
    1e5: ("dm",),
    25400.0: ("inch", "in"),
    1e4: ("cm", "centimeter", "centimetre"),
    1e3: ("mm", "millimeter", "millimetre"),
    1.0: ("µm", "um", "micron", "microns", "micrometer", "micrometre"),
    1e-3: ("nm", "nanometer", "nanometre"),
    1e-4: ("å", "angstrom"),
    1e-6: ("pm",),
}
_UM = {name: um for um, names in _NAMES_OF_UM.items() for name in names}
# What is taken for true, in the units of `KnownOptics`.
_PLAUSIBLE = {
    "na": (0.005, 1.7),
    "refractive_index": (0.99, 2.0),
    "wavelength_um": (0.15, 15.0),
    "pixel_size_um": (0.001, 1000.0),
}
# Where Micro-Manager's numbers begin, the one before the length of its summary, and how long that
# may be.
_MICROMANAGER_BEGIN, _MICROMANAGER_SUMMARY, _MOST_SUMMARY_BYTES = 8, 2355492, 2**24
# Of a tag by a maker.
_MOST_TAG_BYTES = 2**20
# Magnification, aperture and, where it is told, the medium.
_OBJECTIVE = re.compile(
    r"[0-9.]+\s*[x×]\s*/\s*([01]\.[0-9]{1,3})\s*(oil|water|w|glycerol|glyc)?\b", re.IGNORECASE
)
_LONGEST_CHANNEL = 100
# Sides of a pixel that differ by this share or more are no square's.
_SQUARE = 0.1


@dataclass(frozen=True)
class KnownOptics:
    """What is known of the optics; None where it is not.

    `channel` is the channel's name, of an image that tells its channels apart by theirs. `message`
    says what a file or its metadata hold that was left out or is missing, and why.
    """

    na: float | None = None
    refractive_index: float | None = None
    wavelength_um: float | None = None
    pixel_size_um: float | None = None
    message: str = ""
    channel: str = ""

    @property
    def values(self) -> dict[str, float]:
        """The known ones by their names in `Optics`."""
        known = asdict(self)
        return {name: known[name] for name in _PLAUSIBLE if known[name] is not None}


def told(
    known: KnownOptics | None, given: Mapping[str, float] | None = None
) -> tuple[dict[str, float], str]:
    """Give what a file and the user tell of the optics, and the names of what neither does.

    Parameters
    ----------
    known, given
        As of `optics_of`.
    """
    values = {**(known or KnownOptics()).values, **(given or {})}
    missing = [name for name in _PLAUSIBLE if name not in values]
    return values, ", ".join("n" if name == "refractive_index" else name for name in missing)


def optics_of(
    known: KnownOptics | None, given: Mapping[str, float] | None = None, wanted: str = "optics"
) -> tuple[Optics | None, str]:
    """Optics from what a file tells and what the user says, who is always right.

    Parameters
    ----------
    known
        Of the plane, as `Plane.known_optics`.
    given
        The user's, as `optics.parse_values` gives them.
    wanted
        What there is none of without optics, as it is to be said.

    Returns
    -------
    Optics or None, str
        None when something is missing; then, and when something was left out, what is to be
        said, else an empty text.
    """
    messages = [known.message] if known is not None and known.message else []
    values, missing = told(known, given)
    if missing:
        # A pixel size alone is in most files, and asks for nothing.
        if given:
            messages.append(f"No {wanted}: neither optics nor the file tells {missing}.")
        return None, " ".join(messages)
    try:
        return Optics(**values), " ".join(messages)
    except OpticsError as error:
        messages.append(f"No {wanted}: with the file's metadata, {error}")
        return None, " ".join(messages)


def checked(values: Mapping[str, Any]) -> KnownOptics:
    """What of some values can be true; the others are named in the message."""
    kept: dict[str, Any] = {}
    wrong = []
    for name, value in values.items():
        if value is None:
            continue
        number = _number(value)
        low, high = _PLAUSIBLE[name]
        if number is not None and low <= number <= high:
            kept[name] = number
        else:
            wrong.append(f"{name} {value!s:.40}")
    if "na" in kept and kept["na"] >= kept.get("refractive_index", math.inf):
        wrong.append(f"na {kept.pop('na'):g} in refractive_index {kept.pop('refractive_index'):g}")
    message = f"The file's metadata cannot be right and were left out: {', '.join(wrong)}."
    return KnownOptics(**kept, message=message if wrong else "")


def micrometres(length: Any, unit: str) -> Any:
    """Give a length in µm; as it is where it is no number, None where its unit is not known."""
    number = _number(length)
    if length is None or number is None:
        return length
    factor = _UM.get(unit.strip().lower().replace("μ", "µ").replace("\\u00b5", "µ"))
    return None if factor is None else number * factor


def square_side(width: float, height: float) -> float | None:
    """Side of the square that a pixel counts as: the geometric mean of its sides.

    None when they differ by a tenth or more.
    """
    if not max(width, height) < (1 + _SQUARE) * min(width, height):
        return None
    return width if width == height else math.sqrt(width * height)


def pixel_size(width: Any, height: Any, unit_x: str, unit_y: str) -> tuple[Any, str]:
    """Side of a pixel in µm from its width and height, and what is to be said of them.

    None where it is not known: without a unit of length, or when pixels are not square.
    """
    sides = []
    for side, unit in ((width, unit_x), (height, unit_y)):
        factor = _UM.get(unit.strip().lower().replace("μ", "µ").replace("\\u00b5", "µ"))
        number = _number(side)
        if side is None or factor is None:
            continue
        if number is None or not (math.isfinite(number) and number > 0):
            return side, ""  # `checked` says that it cannot be
        sides.append(number * factor)
    if not sides:
        return None, ""
    side = square_side(sides[0], sides[-1])
    if side is None:
        across, down = (f"{side:g}" for side in sides)
        return None, f"The file's pixels are not square ({across} by {down} µm): no pixel size."
    return side, ""


def with_pixel_size(
    values: Mapping[str, Any], width: Any, height: Any, unit_x: str, unit_y: str
) -> KnownOptics:
    """`checked` values with a `pixel_size`."""
    size, said = pixel_size(width, height, unit_x, unit_y)
    known = checked({**values, "pixel_size_um": size})
    return replace(known, message=" ".join(part for part in (known.message, said) if part))


def from_ome_xml(xml: str | None) -> list[list[KnownOptics]]:
    """Optics that OME-XML tells, for each of its images the channels' in order.

    A channel counts as often as it has samples, as those of a colour camera. An image without
    channels has one. XML that cannot be read tells nothing.
    """
    try:
        root = parse(xml)
    except FileError:
        return []
    return [] if root is None else from_ome(root)


def from_ome(root: Element) -> list[list[KnownOptics]]:
    """Optics that OME-XML tells, as `from_ome_xml`, of its root."""
    objectives = {one.get("ID"): one for one in _all(root, "Objective")}
    return [_of_image(image, objectives) for image in root if _name(image) == "Image"]


def _of_image(image: Element, objectives: Mapping[str | None, Element]) -> list[KnownOptics]:
    settings = next(_all(image, "ObjectiveSettings"), None)
    pixels = next(_all(image, "Pixels"), None)
    if pixels is None:
        return [KnownOptics()]
    values: dict[str, Any] = {}
    if settings is not None:
        objective = objectives.get(settings.get("ID"))
        index = settings.get("RefractiveIndex")
        medium = settings.get("Medium")
        if objective is not None:
            values["na"] = objective.get("LensNA")
            medium = objective.get("Immersion") or medium
        values["refractive_index"] = _index_of(medium) if index is None else index
    channels: list[tuple[Any, str]] = []
    for channel in _all(pixels, "Channel"):
        wavelength = channel.get("EmissionWavelength")
        number = _number(wavelength)
        if number is not None:
            unit = channel.get("EmissionWavelengthUnit", "nm")
            wavelength = number * _UM.get(unit.lower().replace("μ", "µ"), math.nan)
        samples = int(_number(channel.get("SamplesPerPixel")) or 1)
        name = " ".join(channel.get("Name", "").split())[:_LONGEST_CHANNEL]
        channels += [(wavelength, name)] * min(max(samples, 1), 16)
    width, height = (pixels.get(f"PhysicalSize{axis}") for axis in "XY")
    units = [pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "XY"]
    names = {name for _, name in channels if name}
    told_apart = 1 < len(names) == len(channels)
    known = (
        (with_pixel_size({**values, "wavelength_um": wavelength}, width, height, *units), name)
        for wavelength, name in channels or [(None, "")]
    )
    return [replace(one, channel=name if told_apart else "") for one, name in known]


def from_tiff(tiff: Any) -> list[list[KnownOptics]]:
    """Optics that a TIFF's metadata tell, as `from_ome_xml`; one entry stands for all images.

    Parameters
    ----------
    tiff
        An open `tifffile.TiffFile`.
    """
    width: Any = None
    height: Any = None
    unit = ""
    values: dict[str, Any] = {}
    try:
        if tiff.is_imagej:
            unit = str((tiff.imagej_metadata or {}).get("unit", ""))
            tags = tiff.pages.first.tags
            width, height = (_side(tags.valueof(tag)) for tag in (282, 283))
        elif tiff.is_lsm:
            found = tiff.lsm_metadata or {}
            width, height, unit = found.get("VoxelSizeX"), found.get("VoxelSizeY"), "m"
            values = _of_objective(str(found.get("ScanInformation", {}).get("Objective", "")))
        elif tiff.is_stk:
            found = tiff.stk_metadata or {}
            width, height = found.get("XCalibration"), found.get("YCalibration")
            unit = str(found.get("CalibrationUnits", ""))
            named = {one.get("name"): one.get("value") for one in found.get("PlaneProperty", [])}
            values = _of_metamorph({**_metamorph(tiff.pages.first.description), **named})
        elif metamorph := _metamorph(tiff.pages.first.description):
            values = _of_metamorph(metamorph)
            if metamorph.get("spatial-calibration-state", "on").lower() in ("on", "true", "1"):
                width, height = (metamorph.get(f"spatial-calibration-{axis}") for axis in "xy")
                unit = metamorph.get("spatial-calibration-units", "")
        elif tiff.is_micromanager:
            summary = _micromanager_summary(tiff.filehandle, tiff.byteorder)
            width = height = summary.get("PixelSizeUm", summary.get("PixelSize_um")) or None
            unit = "µm"
        else:
            width, height, unit = _of_tags(tiff.pages.first)
        return [[with_pixel_size(values, width, height, unit, unit)]]
    # Metadata of any form are no reason not to measure.
    except Exception:
        return []


def of_slide(series: Any) -> KnownOptics | None:
    """Optics that a slide's image tells of itself; None of what is no slide.

    Parameters
    ----------
    series
        tifffile's series of pages.
    """
    page, unit = series.keyframe, "µm"
    width: Any = None
    height: Any = None
    try:
        if series.kind in ("ndpi", "scn", "qpi"):
            width, height = (_side(page.tags.valueof(tag)) for tag in (282, 283))
            unit = {2: "inch", 3: "cm"}.get(int(page.tags.valueof(296) or 0), "")
        elif series.kind == "svs":
            found = re.search(r"\|\s*MPP\s*=\s*([0-9.]{1,20})", page.description)
            width = height = found and found[1]
        elif series.kind == "bif":
            xmp = bytes(_tag(page, 700) or b"").decode("latin-1")
            found = re.search(r"ScanRes=.([0-9.]{1,20})", xmp)
            width = height = found and found[1]
        else:
            return None
        return with_pixel_size({}, width, height, unit, unit)
    # Metadata of any form are no reason not to measure.
    except Exception:
        return None


def _tag(page: Any, number: int) -> Any:
    """Value of a tag of moderate length, else None."""
    tag = page.tags.get(number)
    return None if tag is None or tag.count > _MOST_TAG_BYTES else tag.value


def _of_tags(page: Any) -> tuple[Any, Any, str]:
    """Width and height of a pixel, and their unit, in what makers of cameras and electron
    microscopes add to a TIFF: Olympus's SIS and FluoView, Zeiss's SEM, FEI.
    """
    sis, fluoview, sem = _tag(page, 33560), _tag(page, 34361), _tag(page, 34118)
    if isinstance(sis, dict) and sis.get("pixelsizex"):
        return sis["pixelsizex"], sis.get("pixelsizey"), "m"
    if isinstance(fluoview, dict):
        # Name, length, origin, step and unit of each axis.
        axes = {axis[0].upper(): axis for axis in fluoview.get("Dimensions", ())}
        if "X" in axes and "Y" in axes:
            return axes["X"][3], axes["Y"][3], str(axes["X"][4])
    if isinstance(sem, dict):
        told: Any = sem.get("ap_image_pixel_size") or sem.get("ap_pixel_size") or ()
        if len(told) == 3:
            return told[1], told[1], str(told[2])
    for number in (34680, 34682):
        fei = _tag(page, number)
        scan = fei.get("Scan", {}) if isinstance(fei, dict) else {}
        if scan.get("PixelWidth"):
            return scan["PixelWidth"], scan.get("PixelHeight"), "m"
    return None, None, ""


def _of_objective(name: str) -> dict[str, Any]:
    """Optics in an objective's name, such as "Plan-Apochromat 63x/1.40 Oil DIC M27"."""
    match = _OBJECTIVE.search(name[:200])
    if match is None:
        return {}
    medium = {"w": "water", "glyc": "glycerol"}.get((match[2] or "").lower(), match[2])
    return {"na": match[1], "refractive_index": _index_of(medium)}


def completed(
    known: list[list[KnownOptics]], beside: KnownOptics | None
) -> list[list[KnownOptics]]:
    """What a file tells, completed by what is told beside it."""
    if beside is None:
        return known

    def together(one: KnownOptics) -> KnownOptics:
        both = checked({**beside.values, **one.values})
        said = [one.message, beside.message, both.message]
        said_all = " ".join(part for part in said if part)
        return replace(both, message=said_all, channel=one.channel)

    return [[together(one) for one in channels] for channels in known or [[KnownOptics()]]]


def _metamorph(description: str) -> dict[str, str]:
    """Values by their names in the XML of MetaMorph and MetaXpress; none where there is none."""
    if not description.lstrip().startswith("<MetaData"):
        return {}
    root = parse(description.strip("\0 \r\n\t"))
    found: dict[str, str] = {}
    for element in () if root is None else root.iter():
        found.setdefault(element.get("id", ""), element.get("value", ""))
    return found


def _of_metamorph(named: Mapping[Any, Any]) -> dict[str, Any]:
    """Optics among MetaMorph's values, where 0 stands for what was not told."""
    wavelength = named.get("wavelength")
    values = {
        "na": named.get("_MagNA_"),
        "refractive_index": named.get("_MagRI_"),
        "wavelength_um": micrometres(wavelength, "nm"),
    }
    return {name: value for name, value in values.items() if value != "" and _number(value) != 0}


def _micromanager_summary(stream: Any, order: str) -> dict[str, Any]:
    """What Micro-Manager tells of a whole acquisition, in JSON before the first directory."""
    stream.seek(_MICROMANAGER_BEGIN)
    numbers = struct.unpack(f"{order}8I", stream.read(32))
    at = numbers.index(_MICROMANAGER_SUMMARY)  # it has moved with the format's version
    length = numbers[at + 1]
    stream.seek(_MICROMANAGER_BEGIN + 4 * (at + 2))
    found = json.loads(stream.read(min(length, _MOST_SUMMARY_BYTES)))
    return found if isinstance(found, dict) else {}


def of_place(
    known: list[list[KnownOptics]], image: int | None, channel: int | None
) -> KnownOptics | None:
    """Of what `from_ome_xml` gives, the entry of an image and a channel, None being the first."""
    if not known or not all(known):
        return None
    channels = known[min(image or 0, len(known) - 1)]
    if channel is None and len(channels) > 1:
        # Without a channel's number, the wavelength is not known.
        return replace(channels[0], wavelength_um=None, channel="")
    return channels[min(channel or 0, len(channels) - 1)]


def _side(resolution: Any) -> float | None:
    """Side of a pixel from a TIFF's fraction of pixels for a unit of length."""
    if not isinstance(resolution, tuple) or len(resolution) != 2 or not resolution[0]:
        return None
    return float(resolution[1]) / float(resolution[0])


def _index_of(medium: str | None) -> float | None:
    name = (medium or "").lower().replace("dipping", "")
    return IMMERSIONS.get({"glycerin": "glycerol"}.get(name, name))


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _all(element: Element, name: str) -> Any:
    return (one for one in element.iter() if _name(one) == name)
