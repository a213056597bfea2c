"""What files tell of the optics, and how it goes together with what the user says."""

import numpy as np
import pytest
import tifffile

from microscope_quality.errors import OpticsError
from microscope_quality.files.images import planes
from microscope_quality.files.metadata import KnownOptics, from_ome_xml, of_place, optics_of
from microscope_quality.optics import Optics, parse_values

IMAGE = np.arange(40 * 56, dtype=np.uint16).reshape(40, 56)


def ome(
    pixels='PhysicalSizeX="0.325" PhysicalSizeY="0.325"',
    objective='LensNA="0.75" Immersion="Air"',
    settings="",
    channels='<Channel EmissionWavelength="461"/><Channel EmissionWavelength="525"/>',
):
    return (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Instrument ID="i">'
        f'<Objective ID="Objective:0" {objective}/></Instrument><Image ID="Image:0">'
        f'<ObjectiveSettings ID="Objective:0" {settings}/><Pixels {pixels}>{channels}</Pixels>'
        "</Image></OME>"
    )


def values(**parts):
    return from_ome_xml(ome(**parts))[0][0].values


def test_all_four_give_optics_by_channel(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path,
        np.stack([IMAGE, IMAGE]),
        photometric="minisblack",
        metadata={
            "axes": "CYX",
            "PhysicalSizeX": 0.325,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": 325,
            "PhysicalSizeYUnit": "nm",
            "Channel": {"EmissionWavelength": [461, 525], "EmissionWavelengthUnit": ["nm"] * 2},
        },
    )
    found = list(planes(path))
    assert [p.known_optics.wavelength_um for p in found] == [
        pytest.approx(0.461),
        pytest.approx(0.525),
    ]
    assert [p.known_optics.pixel_size_um for p in found] == [pytest.approx(0.325)] * 2
    assert found[0].optics is None
    # The same file with an objective.
    with tifffile.TiffFile(path) as tiff:
        xml = tiff.ome_metadata
    xml = xml.replace(
        "<Image ",
        '<Instrument><Objective ID="o" LensNA="0.75" Immersion="Air"/></Instrument><Image ',
        1,
    ).replace("<Pixels ", '<ObjectiveSettings ID="o"/><Pixels ', 1)
    tifffile.tiffcomment(path, xml.encode())
    found = list(planes(path))
    wavelengths = [plane.optics.wavelength_um for plane in found]
    assert wavelengths == [pytest.approx(0.461), pytest.approx(0.525)]
    assert {(p.optics.na, p.optics.refractive_index) for p in found} == {(0.75, 1.0)}


@pytest.mark.parametrize(
    ("unit", "factor"), [("µm", 1), ("nm", 1e-3), ("mm", 1e3), ("Å", 1e-4), ("m", 1e6)]
)
def test_units_of_length(unit, factor):
    side = 0.5 / factor
    pixels = " ".join(f'PhysicalSize{a}="{side}" PhysicalSize{a}Unit="{unit}"' for a in "XY")
    assert values(pixels=pixels)["pixel_size_um"] == pytest.approx(0.5)
    channel = f'<Channel EmissionWavelength="{side}" EmissionWavelengthUnit="{unit}"/>'
    assert values(channels=channel)["wavelength_um"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("medium", "index"),
    [("Oil", 1.515), ("Water", 1.33), ("WaterDipping", 1.33), ("Glycerol", 1.47), ("Other", None)],
)
def test_media(medium, index):
    found = values(objective=f'LensNA="0.5" Immersion="{medium}"')
    assert found.get("refractive_index") == index
    told = values(objective='LensNA="0.5"', settings='RefractiveIndex="1.4"')
    assert told["refractive_index"] == 1.4


@pytest.mark.parametrize(
    ("part", "lost"),
    [
        ({"objective": 'LensNA="0" Immersion="Air"'}, {"na"}),
        ({"objective": 'LensNA="1.4" Immersion="Air"'}, {"na", "refractive_index"}),
        ({"objective": 'LensNA="x" Immersion="Oil"'}, {"na"}),
        ({"settings": 'RefractiveIndex="inf"'}, {"refractive_index"}),
        ({"pixels": 'PhysicalSizeX="0" PhysicalSizeY="0"'}, {"pixel_size_um"}),
        ({"pixels": 'PhysicalSizeX="-1" PhysicalSizeY="nan"'}, {"pixel_size_um"}),
        ({"pixels": 'PhysicalSizeX="1" PhysicalSizeY="2"'}, {"pixel_size_um"}),
        ({"channels": '<Channel EmissionWavelength="0"/>'}, {"wavelength_um"}),
        ({"channels": '<Channel EmissionWavelength="5" EmissionWavelengthUnit="pixel"/>'},
         {"wavelength_um"}),
    ],
)  # fmt: skip
def test_what_cannot_be_is_left_out_with_a_message(part, lost):
    (known,) = {id(one): one for one in from_ome_xml(ome(**part))[0][:1]}.values()
    assert set(known.values) == {"na", "refractive_index", "wavelength_um", "pixel_size_um"} - lost
    assert known.message
    assert optics_of(known)[1] == known.message


@pytest.mark.parametrize(
    ("width", "height", "side"),
    [(0.65, 0.65, 0.65), (0.6, 0.654, 0.6264184), (0.654, 0.6, 0.6264184), (0.6, 0.66001, None)],
)
def test_pixels_that_are_almost_square_count_with_their_geometric_mean(width, height, side):
    known = from_ome_xml(ome(pixels=f'PhysicalSizeX="{width}" PhysicalSizeY="{height}"'))[0][0]
    assert known.pixel_size_um == (side and pytest.approx(side, rel=1e-7))
    wanted = "" if side else f"The file's pixels are not square ({width} by {height} µm)"
    assert known.message.startswith(wanted) and bool(known.message) == (side is None)


def test_pixels_counted_in_pixels_have_no_size():
    pixels = " ".join(f'PhysicalSize{a}="1" PhysicalSize{a}Unit="pixel"' for a in "XY")
    (known, _) = from_ome_xml(ome(pixels=pixels))[0]
    assert known.pixel_size_um is None
    assert known.message == ""


@pytest.mark.parametrize(
    "xml", [None, "", "<OME>", "no xml", '<!DOCTYPE a [<!ENTITY b "c">]><OME>&b;</OME>']
)
def test_other_texts_tell_nothing(xml):
    assert from_ome_xml(xml) == []
    assert of_place([], 0, 0) is None


def test_imagej_tells_the_pixel_size(tmp_path):
    for unit, size in (("micron", 0.2), ("\\u00B5m", 0.2), ("pixel", None), ("nm", 0.0002 * 1000)):
        path = tmp_path / "a.tif"
        per = 5.0 if unit != "nm" else 0.005
        tifffile.imwrite(path, IMAGE, imagej=True, resolution=(per, per), metadata={"unit": unit})
        (plane,) = planes(path)
        expected = {} if size is None else {"pixel_size_um": pytest.approx(size)}
        assert plane.known_optics.values == expected


def metamorph(more="", **values):
    kinds = {"spatial_calibration_state": "on", "spatial_calibration_units": "um"}
    named = {**kinds, "spatial_calibration_x": 0.65, "spatial_calibration_y": 0.65, **values}
    props = "".join(
        f'<prop id="{name.replace("l_c", "l-c").replace("n_", "n-")}" value="{value}"/>'
        for name, value in named.items()
    )
    return f"<MetaData><Build>x</Build><PlaneInfo>{props}</PlaneInfo>{more}</MetaData>"


CUSTOM = '<SetInfo><custom-prop id="{}" type="float" value="{}"/></SetInfo>'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (metamorph(), {"pixel_size_um": 0.65}),
        (metamorph(spatial_calibration_units="microns"), {"pixel_size_um": 0.65}),
        (metamorph(spatial_calibration_units="pixels"), {}),
        (metamorph(spatial_calibration_state="off"), {}),
        (metamorph(spatial_calibration_y=1), {}),
        (metamorph(wavelength=0), {"pixel_size_um": 0.65}),
        (metamorph(wavelength=624), {"pixel_size_um": 0.65, "wavelength_um": 0.624}),
        (metamorph(CUSTOM.format("_MagNA_", 0.45)), {"pixel_size_um": 0.65, "na": 0.45}),
        (metamorph(CUSTOM.format("_MagNA_", 0)), {"pixel_size_um": 0.65}),
        (
            metamorph(CUSTOM.format("_MagRI_", 1.515)),
            {"pixel_size_um": 0.65, "refractive_index": 1.515},
        ),
    ],
)
def test_metamorph_tells_what_it_knows(tmp_path, text, expected):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, description=text, metadata=None)
    (plane,) = planes(tmp_path / "a.tif")
    assert plane.known_optics.values == {k: pytest.approx(v) for k, v in expected.items()}


SLIDE = np.arange(256 * 192, dtype=np.uint16).reshape(256, 192).astype(np.uint8)


def test_a_slide_tells_the_pixel_size_and_its_overviews_are_left_out(tmp_path):
    """As Aperio writes it: the image, a thumbnail, a lower resolution, label and macro image."""
    about = "Aperio Image Library v11\r\n192x256|AppMag = 20|MPP = 0.4990|Left = 1"
    path = tmp_path / "a.svs"
    with tifffile.TiffWriter(path) as out:
        tiles = {"tile": (64, 64), "compression": "jpeg", "metadata": None}
        strips = {"compression": "lzw", "metadata": None}
        out.write(SLIDE, description=about, **tiles)
        out.write(SLIDE[::2, ::3], description="Aperio thumbnail", **strips)
        out.write(SLIDE[::4, ::4], description="Aperio level", **tiles)
        out.write(SLIDE[:40, :40], description="Aperio label", subfiletype=1, **strips)
        out.write(SLIDE[:30, :50], description="Aperio macro", subfiletype=9, **strips)
    (plane,) = planes(path)
    assert (plane.series, plane.z, plane.array.shape) == (None, None, (256, 192))
    assert plane.known_optics.values == {"pixel_size_um": 0.499}
    left_out = "Of the file's images, these were left out: thumbnail, label, macro."
    assert plane.known_optics.message == left_out


def test_hamamatsus_slides_tell_their_resolution(tmp_path):
    """A plain TIFF's is for printing, this one is the scanner's."""
    path = tmp_path / "a.tif"  # the ending stands for places of 64 bits
    with tifffile.TiffWriter(path) as out:
        for image, magnification in ((SLIDE, 40.0), (SLIDE[::4, ::8], -1.0)):
            marks = [(65420, "I", 1, 1, True), (65421, "f", 1, magnification, True)]
            out.write(
                image,
                extratags=[*marks, (271, "s", 0, "Hamamatsu", True)],
                resolution=(43_478, 43_478),
                resolutionunit="CENTIMETER",
                metadata=None,
            )
    (plane,) = planes(path)
    assert plane.known_optics.values == {"pixel_size_um": pytest.approx(0.23, rel=1e-3)}
    assert "left out: macro." in plane.known_optics.message


def test_leicas_slides_have_an_image_of_the_glass(tmp_path):
    size_px = 'sizeX="192" sizeY="256"'

    def image(ifd, size):
        return (
            f'<image><pixels {size_px}><dimension ifd="{ifd}" r="0" {size_px}/></pixels>'
            f'<view sizeX="{size}" sizeY="{3 * size}"/></image>'
        )

    collection = f'<collection sizeX="2600" sizeY="7800">{image(0, 2600)}{image(1, 900)}'
    path = tmp_path / "a.scn"
    with tifffile.TiffWriter(path) as out:
        for k, per_cm in enumerate((600, 20_000)):
            out.write(
                np.roll(SLIDE, k),
                description=f"<scn>{collection}</collection></scn>" if k == 0 else None,
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                metadata=None,
                contiguous=False,
            )
    (plane,) = planes(path)
    np.testing.assert_array_equal(plane.array, np.roll(SLIDE, 1))
    assert plane.known_optics.values == {"pixel_size_um": pytest.approx(0.5)}


def test_electron_microscopes_tell_the_pixel_size(tmp_path):
    scan = b"[Scan]\r\nPixelWidth=2.5e-09\r\nPixelHeight=2.5e-09\r\n"
    sem = b"\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 11.2 nm\r\n"
    for number, content, size in ((34682, scan, 0.0025), (34118, sem, 0.0112)):
        path = tmp_path / f"{number}.tif"
        tag = (number, 2, len(content), content, True)
        tifffile.imwrite(path, IMAGE, extratags=[tag], metadata=None)
        (plane,) = planes(path)
        assert plane.known_optics.values == {"pixel_size_um": pytest.approx(size)}


def test_a_plain_tiffs_printing_resolution_is_no_pixel_size(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, resolution=(300, 300), resolutionunit="INCH")
    (plane,) = planes(tmp_path / "a.tif")
    assert plane.known_optics.values == {}


def test_the_users_values_win_and_complete_the_files():
    known = KnownOptics(na=0.75, refractive_index=1.0, pixel_size_um=0.325)
    assert optics_of(known) == (None, "")
    assert optics_of(None) == (None, "")
    given = parse_values("wavelength_um=0.52")
    assert optics_of(known, given) == (Optics(0.75, 1.0, 0.52, 0.325), "")
    given = parse_values("na=1.2,immersion=water,wavelength_um=0.6,pixel_size_um=0.1")
    assert optics_of(known, given) == (Optics(1.2, 1.33, 0.6, 0.1), "")
    optics, said = optics_of(KnownOptics(na=0.75), {"wavelength_um": 0.5}, "defocus_um")
    assert optics is None
    assert said == "No defocus_um: neither optics nor the file tells n, pixel_size_um."
    optics, said = optics_of(known, {"na": 1.3, "wavelength_um": 0.5})
    assert optics is None
    assert "na = 1.3" in said


@pytest.mark.parametrize(
    "text", ["na=0", "na=1.4,n=1", "wavelength_um=520", "pixel_size_um=nan", "gain=2", "na"]
)
def test_a_users_values_that_cannot_be_are_refused(text):
    with pytest.raises(OpticsError):
        parse_values(text)


def test_some_values_are_read():
    assert parse_values("n=1.33") == {"refractive_index": 1.33}
    assert parse_values("na=1.4") == {"na": 1.4}
    assert parse_values("magnification=20,camera_pixel_um=6.5") == {"pixel_size_um": 0.325}


@pytest.mark.parametrize(
    ("channels", "names"),
    [
        ('<Channel Name="DAPI"/><Channel Name=" GFP  (long) "/>', ["DAPI", "GFP (long)"]),
        (f'<Channel Name="A"/><Channel Name="{"B" * 999}"/>', ["A", "B" * 100]),
        # What does not tell channels apart is no name of theirs.
        ('<Channel Name="DAPI"/>', [""]),
        ('<Channel Name="Cam"/><Channel Name="Cam"/>', ["", ""]),
        ('<Channel Name="DAPI"/><Channel/>', ["", ""]),
        ('<Channel Name="Colour" SamplesPerPixel="3"/>', ["", "", ""]),
        ("", [""]),
    ],
)
def test_names_of_channels(channels, names):
    (known,) = from_ome_xml(ome(channels=channels))
    assert [one.channel for one in known] == names
    assert "channel" not in known[0].values
