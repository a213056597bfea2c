"""What XML in image files claims, held against what there is before a library believes it.

tifffile takes numbers in OME-XML for true, and opens the files that it names. So it is given XML
of the same meaning that was checked, and tells of one file alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from microscope_quality.errors import FileError

Element = ElementTree.Element

#: Most planes that a file may have or tell of.
MAX_PLANES = 1_000_000
# Of a text: elements and attributes take some hundred bytes of memory each.
_MOST_PARTS = 8_000_000
_MOST_CHARACTERS = 2**28
_DEEPEST = 256
# How often a page may be told of: once is right, and some writers tell each image of all pages.
_OFTEN = 1000
_MOST_IMAGES = 100_000
_MOST_SAMPLES = 4096
_LONGEST_NAME = 1000
_NOTHING = "<OME></OME>"


def parse(xml: str | bytes | None) -> Element | None:
    """Root of XML, or None where it is none.

    Raises
    ------
    FileError
        It has a document type, whose entities can be of any size and name other files, or too
        many elements.
    """
    if not xml or not check(xml):
        return None
    try:
        return ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError):
        return None


def check(xml: str | bytes) -> bool:
    """Whether a text is well-formed XML, in whatever encoding.

    Raises
    ------
    FileError
        As for `parse`.
    """
    if len(xml) > _MOST_CHARACTERS:
        raise FileError(f"is too large: its XML has {len(xml)} characters")
    parser = expat.ParserCreate()
    parts = depth = 0

    def begin(name: str, attributes: list[str]) -> None:
        nonlocal parts, depth
        parts += 1 + len(attributes) // 2
        depth += 1
        if parts > _MOST_PARTS or depth > _DEEPEST:
            raise FileError(
                f"has XML of more than {_MOST_PARTS} elements and attributes, "
                f"or more than {_DEEPEST} within each other"
            )

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    def document_type(*about: Any) -> None:
        raise FileError("has XML with a document type (DOCTYPE), which image files have no use for")

    parser.ordered_attributes = True
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = document_type
    parser.EntityDeclHandler = document_type
    try:
        parser.Parse(xml, True)
    except (expat.ExpatError, ValueError, LookupError):
        return False
    return True


@dataclass(frozen=True)
class OwnImage:
    """An image of which a file has planes.

    Attributes
    ----------
    number
        Counts the images that the metadata tell of.
    stack
        Names the image, the same in each file of a set; None where all planes are in one file.
    elsewhere
        A byte for each plane, in the order of pages: 1 where it lies in another file.
    """

    number: int
    stack: str | None
    elsewhere: bytes


@dataclass(frozen=True)
class OwnFile:
    """What OME-XML tells of one file.

    Attributes
    ----------
    xml
        Of the planes in the file, as tifffile may take it for true.
    images
        By the names that they have in that.
    """

    xml: str
    images: Mapping[str, OwnImage]


class Companion:
    """OME-XML beside the files that it tells of.

    Parameters
    ----------
    name
        Of its file, without the folder.
    root
        Of its XML.
    """

    def __init__(self, name: str, root: Element) -> None:
        self.name, self.root = name, root
        self._images = list(_children(root, "Image"))
        # What is told of each file, by its name and its identifier: in a large set, there is too
        # much to look at all of it for each file.
        self._of_file: dict[str, dict[int, list[Element]]] = {}
        self._told = [list(_all(image, "TiffData")) for image in self._images]
        for number, told in enumerate(self._told):
            for data in told:
                for uuid in data:
                    for name in {uuid.get("FileName", "").lower(), uuid.text or ""} - {""}:
                        of_file = self._of_file.setdefault(name, {})
                        of_file.setdefault(number, []).append(data)

    def images_of(self, filename: str, own_uuid: str | None) -> list[_Image]:
        """Give the images that have planes in a file."""
        by_name = self._of_file.get(filename.lower(), {})
        by_uuid = self._of_file.get(own_uuid or "", {})
        found = []
        for number in sorted({*by_name, *by_uuid}):
            every = self._told[number]
            own = {id(data): data for one in (by_name, by_uuid) for data in one.get(number, [])}
            # What no file has is told with the first one.
            is_part = id(every[0]) not in own
            told = list(own.values()) if is_part else every
            found.append(_Image(number, self._images[number], told, is_part))
        return found


@dataclass(frozen=True)
class _Image:
    """An image and its number among all.

    Of a companion's, also what tells where its planes lie; `is_part` if that is of this file alone.
    """

    number: int
    element: Element
    told: Sequence[Element] | None = None
    is_part: bool = False


def of_own_file(
    xml: str | Element | None,
    filename: str,
    n_directories: int,
    sides: Sequence[tuple[int, int]],
    companion: Companion | None = None,
) -> OwnFile:
    """Tell what OME-XML tells of the planes in a file itself.

    Parameters
    ----------
    xml
        As it is in the file, or its root.
    filename
        Of the file, without its folder.
    n_directories
        Pages that there are in the file: planes that were told of and never written, as of an
        acquisition that was interrupted, are left out.
    sides
        Width and height of each page. An image that has pages of another size is left out: these
        are not its planes.
    companion
        Whose XML tells of the planes in place of the file's own.

    Raises
    ------
    FileError
        It tells of what cannot be.
    """
    root = parse(xml) if isinstance(xml, str) else xml
    if root is None:
        return OwnFile(_NOTHING, {})
    own_uuid = root.get("UUID")
    if companion is not None:
        root = companion.root
        images = companion.images_of(filename, own_uuid)
    else:
        children = _children(root, "Image", before="BinaryOnly")
        images = [_Image(number, image) for number, image in enumerate(children)]
    if len(images) > _MOST_IMAGES:
        raise FileError(f"tells of more than {_MOST_IMAGES} images")
    several = sum(1 for _ in itertools.islice(_children(root, "Image"), 2)) > 1
    own = ElementTree.Element("OME")
    modulo = _modulo(root)
    referred: dict[str | None, dict[str, tuple[str, int]]] = {}
    found: dict[str, OwnImage] = {}
    set_name = "" if companion is None else companion.name
    planes = pages = 0
    for one_image in images:
        number, image = one_image.number, one_image.element
        copy = ElementTree.SubElement(own, "Image", Name=str(number))
        refs = [one.get("ID") for one in image if _is(one, "AnnotationRef")][:1]
        refs = [ref for ref in refs if ref in modulo]
        for ref in refs:
            referred[ref] = modulo[ref]
            ElementTree.SubElement(copy, "AnnotationRef", ID=ref or "")
        for pixels in _children(image, "Pixels"):
            sizes = _sizes(pixels)
            planes += math.prod(sizes[axis] for axis in "ZCT")
            if planes > MAX_PLANES:
                raise FileError(f"tells of {planes} planes; at most {MAX_PLANES} are read")
            datas = _all(pixels, "TiffData") if one_image.told is None else one_image.told
            told = _Told(datas, filename, own_uuid, n_directories, companion is not None)
            pages += sum(int(data["PlaneCount"]) for data in told.own)
            if pages > min(MAX_PLANES, _OFTEN * (n_directories + 16)):
                raise FileError(f"tells {pages} times of its {n_directories} pages")
            if _are_like(sides, told.own, (sizes["X"], sizes["Y"])):
                _copy_pixels(copy, pixels, sizes, told.own)
            for ref in refs:
                _check_lengths(modulo[ref], sizes)
            stack = None
            is_part = one_image.is_part or bool(told.foreign and not told.is_first)
            if told.foreign or is_part:
                set_name = set_name or _set_name(root)
                inner = f" {image.get('ID') or number}" if several else ""
                stack = f"ome:{set_name}{inner}"[:_LONGEST_NAME]
            elsewhere = _elsewhere(pixels, sizes, None if is_part else told.foreign)
            found[str(number)] = OwnImage(number, stack, elsewhere)
    own.insert(0, _annotations(referred))
    text = ElementTree.tostring(own, encoding="unicode", short_empty_elements=False)
    return OwnFile(text, found)


def _set_name(root: Element) -> str:
    """Name a set without a companion file by the first of its files: all of them tell of all."""
    for data in _all(root, "TiffData"):
        for uuid in data:
            name = uuid.get("FileName") or uuid.text
            if name:
                return name
    return ""


def _elsewhere(
    pixels: Element, sizes: Mapping[str, int], foreign: Sequence[Mapping[str, str]] | None
) -> bytes:
    """Mark the planes that lie in other files, in tifffile's order; without a list, all of them."""
    samples = [_number(one, "SamplesPerPixel", 1, _MOST_SAMPLES) for one in _all(pixels, "Channel")]
    axes = [axis for axis in reversed(pixels.get("DimensionOrder", "")) if axis in "ZCT"]
    within = {"C": max(samples[0], 1)} if samples else {}
    lengths = [sizes[axis] // within.get(axis, 1) for axis in axes]
    total = math.prod(lengths)
    if foreign is None:
        return b"\1" * total
    marks = bytearray(total)
    for data in foreign:
        begin = 0
        for axis, length in zip(axes, lengths):
            begin = begin * length + min(int(data[f"First{axis}"]), length - 1)
        count = int(data["PlaneCount"])
        end = min(begin + count, total) if count else total
        marks[begin:end] = b"\1" * max(end - begin, 0)
    return bytes(marks)


def _annotations(modulo: dict[str | None, dict[str, tuple[str, int]]]) -> Element:
    annotations = ElementTree.Element("StructuredAnnotations")
    for name, alongs in modulo.items():
        one = ElementTree.SubElement(
            annotations, "XMLAnnotation", ID=name or "", Namespace="modulo"
        )
        value = ElementTree.SubElement(ElementTree.SubElement(one, "Value"), "Modulo")
        for axis, (kind, length) in alongs.items():
            about = {"Type": kind, "Start": "0", "End": str(length - 1), "Step": "1"}
            ElementTree.SubElement(value, f"ModuloAlong{axis}", about)
    return annotations


def _copy_pixels(
    copy: Element, pixels: Element, sizes: dict[str, int], own_data: list[dict[str, str]]
) -> None:
    order = pixels.get("DimensionOrder", "")
    about = {f"Size{axis}": str(n) for axis, n in sizes.items()}
    place = ElementTree.SubElement(copy, "Pixels", {"DimensionOrder": order, **about})
    samples = [_number(one, "SamplesPerPixel", 1, _MOST_SAMPLES) for one in _all(pixels, "Channel")]
    # All are alike, or tifffile refuses them.
    for n in sorted(set(samples)):
        ElementTree.SubElement(place, "Channel", SamplesPerPixel=str(n))
    for data in own_data:
        ElementTree.SubElement(place, "TiffData", data)


def _are_like(
    sides: Sequence[tuple[int, int]], own_data: list[dict[str, str]], expected: tuple[int, int]
) -> bool:
    """Whether the pages that are told of have the image's size."""
    told = [(int(data["IFD"]), int(data["PlaneCount"])) for data in own_data]
    return all(one == expected for first, n in told for one in sides[first : first + n])


class _Told:
    """What an image's metadata tell of where its planes lie.

    Attributes
    ----------
    own, foreign
        Of the file itself, and of others: the first page, how many, and where they belong.
    is_first
        Whether the first planes that are told of are the file's own.
    """

    def __init__(
        self,
        datas: Iterable[Element],
        filename: str,
        own_uuid: str | None,
        n_directories: int,
        by_companion: bool,
    ) -> None:
        self.own: list[dict[str, str]] = []
        self.foreign: list[dict[str, str]] = []
        self.is_first = False
        for data in datas:
            first = _number(data, "IFD", 0, MAX_PLANES)
            n_default = 1 if "IFD" in data.attrib else 0
            count = _number(data, "PlaneCount", _number(data, "NumPlanes", n_default))
            told = {f"First{axis}": str(_number(data, f"First{axis}", 0)) for axis in "ZCT"}
            if _is_foreign(data, filename, own_uuid, by_companion):
                self.foreign.append({"PlaneCount": str(count), **told})
                continue
            self.is_first = self.is_first or not self.foreign
            count = min(count or n_directories, n_directories - first)
            if count > 0:
                self.own.append({"IFD": str(first), "PlaneCount": str(count), **told})


def _is_foreign(data: Element, filename: str, own_uuid: str | None, by_companion: bool) -> bool:
    """Whether a plane lies in another file of a set, whose row it is in."""
    named = [(uuid.get("FileName", "").lower(), uuid.text) for uuid in data]
    if by_companion and not named:
        return True
    return any(name not in ("", filename.lower()) and text != own_uuid for name, text in named)


def _sizes(pixels: Element) -> dict[str, int]:
    order = pixels.get("DimensionOrder", "")
    if sorted(order) != sorted("XYZCT"):
        raise FileError(f"is damaged: its metadata have the axes {order:.20}")
    sizes = {axis: _number(pixels, f"Size{axis}", 0, 2**40) for axis in "XYZCT"}
    if min(sizes.values()) < 1:
        raise FileError(f"is damaged: its metadata tell of the sizes {sizes}")
    return sizes


def _modulo(root: Element) -> dict[str | None, dict[str, tuple[str, int]]]:
    """Axes that are stored along others, by annotation: kind of the inner one, and its length."""
    found: dict[str | None, dict[str, tuple[str, int]]] = {}
    for annotation in (one for part in _children(root, "StructuredAnnotations") for one in part):
        if not annotation.get("Namespace", "").endswith("modulo"):
            continue
        alongs = found.setdefault(annotation.get("ID"), {})
        for along in (one for value in annotation for modulo in value for one in modulo):
            if str(along.tag)[:-1].endswith("Along"):
                axis = str(along.tag)[-1]
                alongs[axis] = (along.get("Type", "other"), _length(along))
    return found


def _length(along: Element) -> int:
    if "Start" not in along.attrib:
        return sum(1 for one in along if _is(one, "Label"))
    try:
        step = float(along.get("Step", 1))
        start, last = float(along.get("Start", 0)), float(along.get("End", 0))
        length = math.ceil((last + step - start) / step)
    except (ValueError, OverflowError, ZeroDivisionError):
        length = -1
    if not 0 < length <= MAX_PLANES:
        told = ", ".join(f"{name} {value:.20}" for name, value in sorted(along.attrib.items()))
        raise FileError(f"is damaged: its metadata tell of an axis of impossible length ({told})")
    return length


def _check_lengths(alongs: dict[str, tuple[str, int]], sizes: dict[str, int]) -> None:
    for axis, (_, length) in alongs.items():
        if axis not in "ZCT" or length < 1 or sizes[axis] % length:
            raise FileError(
                f"is damaged: its metadata divide {sizes.get(axis)} planes along {axis} by {length}"
            )


def metadata_file(root: Element) -> str | None:
    """Name of the file that has the metadata in place of this one; None where there is none."""
    for one in _children(root, "BinaryOnly"):
        return one.get("MetadataFile") or None
    return None


def check_scn(xml: str, n_directories: int) -> None:
    """Refuse Leica's XML that numbers more planes than there are pages in the file."""
    root = parse(xml)
    for pixels in () if root is None else _all(root, "pixels"):
        spans = {"c": 0, "z": 0}
        for one in _all(pixels, "dimension"):
            for axis in spans:
                spans[axis] = max(spans[axis], _number(one, axis, 0, n_directories))
        planes = math.prod(n + 1 for n in spans.values())
        if planes > n_directories:
            raise FileError(f"tells of {planes} planes, and has {n_directories} pages")


def overviews_of_scn(xml: str) -> list[int]:
    """Numbers of the images in Leica's XML that show the whole glass, as its label does."""
    root = parse(xml)
    found, number = [], 0
    for collection in () if root is None else _children(root, "collection"):
        whole = [collection.get(f"size{axis}") for axis in "XY"]
        for image in _children(collection, "image"):
            views = [
                [view.get(f"size{axis}") for axis in "XY"] for view in _children(image, "view")
            ]
            for _ in _children(image, "pixels"):
                if None not in whole and whole in views:
                    found.append(number)
                number += 1
    return found


def _number(element: Element, name: str, default: int, most: int = MAX_PLANES) -> int:
    text = element.get(name)
    try:
        number = default if text is None else int(text[:40])
    except ValueError:
        number = -1
    if not 0 <= number <= most:
        raise FileError(
            f"is damaged: its metadata have {name} {text!s:.40}; a number from 0 to {most} can be"
        )
    return number


def _children(element: Element, name: str, before: str = "") -> Iterator[Element]:
    for child in element:
        if before and _is(child, before):
            return
        if _is(child, name):
            yield child


def _all(element: Element, name: str) -> Iterator[Element]:
    return (one for one in element.iter() if _is(one, name))


def _is(element: Element, name: str) -> bool:
    return str(element.tag).endswith(name)
