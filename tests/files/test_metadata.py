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
