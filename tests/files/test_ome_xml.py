"""What OME-XML claims is held against the file: refused, or of the same meaning as before."""

import os
import sys

import numpy as np
import pytest
import tifffile
from tiff_files import described, page, tiff

from microscope_quality.errors import FileError
from microscope_quality.files import ome_xml
from microscope_quality.files.images import open_image, planes

DTD = '<!DOCTYPE OME [<!ENTITY x "y">]>'


def ome(sizes=(1, 1, 1), data='<TiffData IFD="0"/>', annotations="", inside="", order="XYZCT"):
    z, c, t = sizes
    return (
        f'<?xml version="1.0"?><OME>{annotations}<Image ID="I">{inside}<Pixels ID="P" '
        f'DimensionOrder="{order}" Type="uint16" SizeX="16" SizeY="16" SizeZ="{z}" SizeC="{c}" '
        f'SizeT="{t}">{data}</Pixels></Image></OME>'
    )


def modulo(along, about):
    return (
        '<StructuredAnnotations><XMLAnnotation ID="A" Namespace="modulo"><Value><Modulo>'
        f"<ModuloAlong{along} {about}/></Modulo></Value></XMLAnnotation></StructuredAnnotations>"
    )


def read(path, text, n_pages=1):
    first = page(t270=(2, text.encode() + b"\0"))
    path.write_bytes(tiff(first, *[page()] * (n_pages - 1)))
    return [(p.series, p.z, p.c, p.t) for p in planes(path)]


def read_pages(path, text, n_pages):
    """Places of the planes that are there, and what is said of those that are not."""
    first = page(t270=(2, text.encode() + b"\0"))
    path.write_bytes(tiff(first, *[page()] * (n_pages - 1)))
    there, missing = [], []
    image = open_image(path)
    for one in image.pages:
        try:
            there += [(p.series, p.z, p.c, p.t) for p in image.read(one)]
        except FileError as error:
            missing.append(str(error).removeprefix(f"{path}: is incomplete: "))
    return there, missing


REF = '<AnnotationRef ID="A"/>'
REFUSED = {
    "planes": (ome((2 * 10**9, 1, 1)), "tells of 2000000000 planes"),
    "planes of all axes": (ome((1001, 1000, 1)), "tells of 1001000 planes"),
    "planes of a page": (ome(data='<TiffData PlaneCount="300000000"/>'), "PlaneCount 300000000"),
    "planes of older files": (ome(data='<TiffData NumPlanes="300000000"/>'), "NumPlanes"),
    "place": (ome(data='<TiffData IFD="-1"/>'), "IFD -1"),
    "first": (ome(data='<TiffData FirstZ="99999999999999"/>'), "FirstZ"),
    "no number": (ome(data='<TiffData IFD="x"/>'), "IFD x"),
    "no size": (ome((0, 1, 1)), "tell of the sizes"),
    "axes": (ome(order="XYZCT" + "Z" * 9000), "has the axes|have the axes"),
    "samples": (ome(data='<Channel SamplesPerPixel="99999999"/><TiffData/>'), "SamplesPerPixel"),
    "modulo": (
        ome(annotations=modulo("Z", 'Start="0" End="5e8" Step="1"'), inside=REF),
        "impossible length",
    ),
    "modulo, not referred to": (
        ome(annotations=modulo("Z", 'Start="0" End="5e8" Step="1"')),
        "impossible length",
    ),
    "modulo of steps without end": (
        ome(annotations=modulo("Z", 'Start="0" End="1" Step="1e-300"'), inside=REF),
        "impossible length",
    ),
    "modulo that is no number": (
        ome(annotations=modulo("Z", 'Start="nan" End="1" Step="1"'), inside=REF),
        "impossible length",
    ),
    "modulo of steps of nothing": (
        ome(annotations=modulo("Z", 'Start="0" End="1" Step="0"'), inside=REF),
        "impossible length",
    ),
    "modulo that does not divide": (
        ome((4, 1, 1), annotations=modulo("Z", 'Start="0" End="2" Step="1"'), inside=REF),
        "divide 4 planes along Z by 3",
    ),
    "modulo over its axis": (
        ome(annotations=modulo("Z", 'Start="0" End="2" Step="1"'), inside=REF),
        "divide 1 planes along Z by 3",
    ),
    "modulo of no labels": (ome(annotations=modulo("T", ""), inside=REF), "by 0"),
    "document type": (DTD + ome(), "DOCTYPE"),
    "document type behind": (ome().replace("?>", "?>\n<!-- a -->" + DTD, 1), "DOCTYPE"),
    "levels": ("<OME>" + "<a>" * 300 + "</a>" * 300 + "</OME>", "within each other"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused(tmp_path, what):
    text, said = REFUSED[what]
    with pytest.raises(FileError, match=said) as caught:
        read(tmp_path / "a.tif", text, 2)
    assert str(caught.value).startswith(f"{tmp_path / 'a.tif'}: ")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "cp1252"])
def test_a_document_type_is_seen_in_any_encoding(encoding):
    content = f'<?xml version="1.0" encoding="{encoding}"?>{DTD}<OME/>'.encode(encoding)
    with pytest.raises(FileError, match="DOCTYPE"):
        ome_xml.parse(content)
    content = f'<?xml version="1.0" encoding="{encoding}"?><OME a="b"/>'.encode(encoding)
    assert ome_xml.parse(content).get("a") == "b"


@pytest.mark.parametrize("content", [b"", "", None, "<OME>", b"\xff\xfe<\0", "no xml"])
def test_what_is_no_xml(content):
    assert ome_xml.parse(content) is None


def test_the_same_pages_without_end_are_refused():
    text = ome((900, 1, 1), '<TiffData IFD="0" PlaneCount="1000"/>' * 1001)
    with pytest.raises(FileError, match="tells 1001000 times of its 1000 pages"):
        ome_xml.of_own_file(text, "a.tif", 1000, [(16, 16)] * 1000)
    text = ome(data='<TiffData IFD="0"/>' * 30_000)
    with pytest.raises(FileError, match="times of its 1 pages"):
        ome_xml.of_own_file(text, "a.tif", 1, [(16, 16)])


def test_an_acquisition_that_was_interrupted_is_measured_as_far_as_it_got(tmp_path):
    path = tmp_path / "a.ome.tif"
    each = "".join(f'<TiffData IFD="{z}" FirstZ="{z}" PlaneCount="1"/>' for z in range(100))
    for data in ('<TiffData IFD="0" PlaneCount="100"/>', each, "<TiffData/>"):
        there, missing = read_pages(path, ome((100, 1, 1), data), 37)
        assert there == [(None, z, None, None) for z in range(37)]
        assert missing == [f"the plane of z {z} is not in it" for z in range(37, 100)]


@pytest.mark.parametrize("order", ["XYZCT", "XYCZT", "XYTCZ"])
def test_planes_that_are_missing_are_told_and_the_others_keep_their_place(tmp_path, order):
    gone = {(1, 0, 0), (0, 1, 2), (2, 1, 1)}
    places = [place for place in np.ndindex(3, 2, 3) if place not in gone]
    data = "".join(
        f'<TiffData IFD="{k}" FirstZ="{z}" FirstC="{c}" FirstT="{t}" PlaneCount="1"/>'
        for k, (z, c, t) in enumerate(places)
    )
    there, missing = read_pages(tmp_path / "a.tif", ome((3, 2, 3), data, order=order), len(places))
    assert set(there) == {(None, *place) for place in places}
    told = {f"the plane of z {z} c {c} t {t} is not in it" for z, c, t in gone}
    assert set(missing) == told


def test_of_very_many_missing_planes_some_are_told_and_how_many_others(tmp_path):
    data = '<TiffData IFD="0" PlaneCount="2"/>'
    there, missing = read_pages(tmp_path / "a.tif", ome((500_000, 1, 1), data), 2)
    assert len(there) == 2
    assert len(missing) == 1000
    assert missing[-1] == "the plane of z 1001 is not in it, nor are 498,998 others"


def test_a_single_plane_of_many_is_measured_with_a_note(tmp_path):
    """It may as well be part of a set, of which not every writer tells."""
    path = tmp_path / "a.tif"
    data = '<TiffData IFD="0" FirstZ="3" PlaneCount="1"/>'
    assert read(path, ome((5, 1, 1), data)) == [(None, 3, None, None)]
    (plane,) = planes(path)
    assert "4 are not in it: it is incomplete" in plane.known_optics.message


@pytest.mark.parametrize("sides", ["X", "Y"])
def test_an_image_of_another_size_than_its_pages_is_not_believed(tmp_path, sides):
    text = ome((9, 1, 1), "<TiffData/>").replace(f'Size{sides}="16"', f'Size{sides}="900000000"')
    assert read(tmp_path / "a.tif", text) == [(None,) * 4]


def test_a_small_page_among_large_ones_makes_no_planes(tmp_path):
    """tifffile counts planes by the size of a page."""
    data = '<TiffData IFD="1" FirstZ="0"/><TiffData IFD="0" FirstZ="1"/>'
    small = page(t270=(2, ome((999_999, 1, 1), data).encode() + b"\0"), t256=(4, 1), t257=(4, 1))
    (tmp_path / "a.tif").write_bytes(tiff({**small, 279: (4, 2)}, page()))
    assert len(open_image(tmp_path / "a.tif").pages) == 2


def test_no_other_file_is_opened(tmp_path):
    """A pipe would be waited for, and a file that is there would be read."""
    other = tmp_path / "other.tif"
    if sys.platform == "win32":
        tifffile.imwrite(other, np.zeros((16, 16), np.uint16))
    else:
        os.mkfifo(other)
    uuid = '<UUID FileName="other.tif">urn:2</UUID>'
    own = '<UUID FileName="gone.tif">urn:1</UUID>'
    text = ome((2, 1, 1), f'<TiffData IFD="0"/><TiffData IFD="0" FirstZ="1">{uuid}</TiffData>')
    assert read(tmp_path / "a.tif", text) == [(None, 0, None, None)]
    text = ome((2, 1, 1), f'<TiffData IFD="0">{own}</TiffData>').replace(
        "<OME>", '<OME UUID="urn:1">'
    )
    assert read(tmp_path / "a.tif", text) == [(None, 0, None, None)]
    text = '<OME><BinaryOnly MetadataFile="other.tif" UUID="urn:2"/></OME>'
    assert read(tmp_path / "a.tif", text) == [(None,) * 4]


def test_no_index_and_no_stack_beside_a_file_is_opened(tmp_path):
    (tmp_path / "NDTiff.index").write_bytes(b"\0" * 8)
    name = "a_MMStack_1.tif"
    (tmp_path / "a_MMStack_2.tif").write_bytes(b"II*\0")
    # Micro-Manager's numbers and summary, where tifffile looks for them.
    summary = b'{"MicroManagerVersion": "2", "Frames": 5, "Prefix": "a", "PixelSizeUm": 0.5}'
    content = bytearray(
        tiff(page(t51123=(2, b'{"a": 1}\0')), data=bytes(range(256)) * 2 + bytes(400))
    )
    numbers = (54773648, 300, 483765892, 0, 99384722, 0, 2355492, len(summary))
    content[8:40] = np.array(numbers, "<u4").tobytes()
    content[40 : 40 + len(summary)] = summary
    content[300:328] = np.array([3453623, 1, 0, 0, 0, 0, 8], "<u4").tobytes()
    (tmp_path / name).write_bytes(content)
    (plane,) = planes(tmp_path / name)
    assert plane.known_optics.values == {"pixel_size_um": 0.5}


def test_modulo_axes_are_read_as_before(tmp_path):
    text = ome(
        (6, 1, 1), '<TiffData PlaneCount="6"/>', modulo("Z", 'Type="angle" Start="0" End="2"'), REF
    )
    # Each angle is an image of its own.
    assert read(tmp_path / "a.tif", text, 6) == [
        (angle, z, None, None) for z in range(2) for angle in range(3)
    ]


@pytest.mark.parametrize(("c", "said"), [(10**9, "have c 1000000000"), (1, "tells of 4 planes")])
def test_pages_that_scn_numbers(tmp_path, c, said):
    dimensions = f'<dimension c="{c}" ifd="0"/><dimension z="1" ifd="1"/>'
    text = f"<scn><collection><image><pixels>{dimensions}</pixels></image></collection></scn>"
    (tmp_path / "a.tif").write_bytes(tiff(page(t270=(2, text.encode() + b"\0")), page()))
    with pytest.raises(FileError, match=said):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize("text", [DTD + "<DataObject></DataObject>", DTD + "<scn></scn>"])
def test_no_other_xml_has_a_document_type(tmp_path, text):
    (tmp_path / "a.tif").write_bytes(described(text, t305=(2, b"Philips DP\0")))
    with pytest.raises(FileError, match="DOCTYPE"):
        open_image(tmp_path / "a.tif")
