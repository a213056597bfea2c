"""Sets of OME-TIFFs: each file's planes have their place, told by a companion file or by all."""

import os
import sys

import numpy as np
import pytest
import tifffile

from microscope_quality.files import companions
from microscope_quality.files.images import open_image, planes

NAMESPACE = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
COMPANION = "set.companion.ome"
UUIDS = [f"urn:uuid:00000000-0000-0000-0000-00000000000{z}" for z in range(10)]
RNG = np.random.default_rng(3)


def described(n_z=3, n_c=2, n_images=1, files="z{z}_{image}.ome.tif", uuid=UUIDS[9]):
    """OME-XML as Bio-Formats writes it for a set: a file has all channels of a z and an image."""
    parts = []
    for image in range(n_images):
        data = "".join(
            f'<TiffData FirstC="{c}" FirstT="0" FirstZ="{z}" IFD="{c}" PlaneCount="1">'
            f'<UUID FileName="{files.format(z=z, image=image)}">{UUIDS[z + n_z * image]}</UUID>'
            "</TiffData>"
            for z in range(n_z)
            for c in range(n_c)
        )
        channels = "".join(
            f'<Channel ID="Channel:{image}:{c}" SamplesPerPixel="1" '
            f'EmissionWavelength="{450 + 100 * c + image}"/>'
            for c in range(n_c)
        )
        parts.append(
            f'<Image ID="Image:{image}" Name="a"><ObjectiveSettings ID="Objective:0"/><Pixels '
            f'BigEndian="false" DimensionOrder="XYZCT" ID="Pixels:{image}" PhysicalSizeX="0.3" '
            'PhysicalSizeY="0.3" Type="uint16" SizeX="16" SizeY="16" '
            f'SizeZ="{n_z}" SizeC="{n_c}" SizeT="1">{channels}{data}</Pixels></Image>'
        )
    objective = '<Objective ID="Objective:0" LensNA="0.8" Immersion="Air"/>'
    return (
        f'<?xml version="1.0" encoding="UTF-8" standalone="no"?><OME {NAMESPACE} UUID="{uuid}">'
        f"<Instrument>{objective}</Instrument>{''.join(parts)}</OME>"
    )


def binary_only(z, name=COMPANION):
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME {NAMESPACE} UUID="{UUIDS[z]}">'
        f'<BinaryOnly MetadataFile="{name}" UUID="{UUIDS[9]}"/></OME>'
    )


def write(path, pixels, xml):
    with tifffile.TiffWriter(path) as out:
        for k, plane in enumerate(pixels):
            description = xml if k == 0 else None
            out.write(plane, description=description, metadata=None, contiguous=False)


@pytest.fixture
def stack():
    return RNG.integers(0, 4000, (2, 3, 2, 16, 16)).astype(np.uint16)


def check(folder, stack, n_images, name):
    for image, z in np.ndindex(n_images, 3):
        found = list(planes(folder / f"z{z}_{image}.ome.tif"))
        assert [(p.series, p.z, p.c, p.t) for p in found] == [(None, z, c, None) for c in (0, 1)]
        inner = f" Image:{image}" if n_images > 1 else ""
        assert {p.stack for p in found} == {f"ome:{name}{inner}"}
        for c, plane in enumerate(found):
            np.testing.assert_array_equal(plane.array, stack[image, z, c])
            optics = plane.optics
            assert (optics.na, optics.refractive_index) == (0.8, 1.0)
            assert optics.pixel_size_um == pytest.approx(0.3)
            assert optics.wavelength_um == pytest.approx(0.45 + 0.1 * c + 0.001 * image)
            assert not plane.known_optics.message


@pytest.mark.parametrize("n_images", [1, 2])
def test_a_companion_file_tells_places_and_optics(tmp_path, stack, n_images):
    (tmp_path / COMPANION).write_text(described(n_images=n_images))
    for image, z in np.ndindex(n_images, 3):
        write(tmp_path / f"z{z}_{image}.ome.tif", stack[image, z], binary_only(z + 3 * image))
    check(tmp_path, stack, n_images, COMPANION)


@pytest.mark.parametrize("n_images", [1, 2])
def test_files_that_each_tell_of_the_whole_set(tmp_path, stack, n_images):
    for image, z in np.ndindex(n_images, 3):
        xml = described(n_images=n_images, uuid=UUIDS[z + 3 * image])
        write(tmp_path / f"z{z}_{image}.ome.tif", stack[image, z], xml)
    check(tmp_path, stack, n_images, "z0_0.ome.tif")


def test_the_first_file_of_a_set_has_the_metadata_of_the_others(tmp_path, stack):
    """As Micro-Manager writes several files."""
    write(tmp_path / "z0_0.ome.tif", stack[0, 0], described(uuid=UUIDS[0]))
    for z in (1, 2):
        write(tmp_path / f"z{z}_0.ome.tif", stack[0, z], binary_only(z, "z0_0.ome.tif"))
    check(tmp_path, stack, 1, "z0_0.ome.tif")


def test_a_renamed_file_is_known_by_its_identifier(tmp_path, stack):
    (tmp_path / COMPANION).write_text(described())
    write(tmp_path / "other.ome.tif", stack[0, 1], binary_only(1))
    assert [(p.z, p.c) for p in planes(tmp_path / "other.ome.tif")] == [(1, 0), (1, 1)]


def test_one_file_is_no_set(tmp_path, stack):
    tifffile.imwrite(
        tmp_path / "a.ome.tif", stack[0, 0], photometric="minisblack", metadata={"axes": "ZYX"}
    )
    assert {page.stack for page in open_image(tmp_path / "a.ome.tif").pages} == {None}


def test_planes_that_no_file_of_the_set_has_are_told_once(tmp_path, stack):
    xml = described().replace('SizeZ="3"', 'SizeZ="4"')
    n_pages = {}
    for z in range(3):
        write(tmp_path / f"z{z}_0.ome.tif", stack[0, z], xml.replace(UUIDS[9], UUIDS[z]))
        n_pages[z] = len(open_image(tmp_path / f"z{z}_0.ome.tif").pages)
    assert n_pages == {0: 4, 1: 2, 2: 2}


def note_of(path):
    found = list(planes(path))
    assert [(p.z, p.c) for p in found] == [(0, None), (1, None)]
    (note,) = {p.known_optics.message for p in found}
    assert found[0].stack is None
    return note


LONG = "<OME>" + " " * companions._MOST_BYTES + "</OME>"
NO_COMPANION = {
    "document type": ("<!DOCTYPE a>" + described(), "DOCTYPE"),
    "no XML": ("{}", "it is no XML"),
    "too long": (LONG, "more than 16777216 bytes"),
    "parts": ("<OME>" + "<a/>" * 1_000_001 + "</OME>", "over 1000000 elements"),
    "a damaged TIFF": ("II*\0\xff\xff\xff\xff", "was not read"),
    "of others": (described(files="other.tif").replace(UUIDS[1], "urn:x"), "does not tell of it"),
}


@pytest.mark.parametrize("what", NO_COMPANION)
def test_without_a_companion_that_can_be_read_the_file_is_measured_with_a_note(
    tmp_path, stack, what
):
    text, said = NO_COMPANION[what]
    (tmp_path / COMPANION).write_text(text, encoding="latin-1")
    write(tmp_path / "z1_0.ome.tif", stack[0, 1], binary_only(1))
    assert said in note_of(tmp_path / "z1_0.ome.tif")


def test_no_file_but_a_regular_one_in_the_same_folder_is_opened(tmp_path, stack):
    inner, outside = tmp_path / "set", tmp_path / "outside.ome"
    inner.mkdir()
    outside.write_text(described())
    path = inner / "z1_0.ome.tif"
    names = {"../outside.ome": "no name of a file", str(outside): "no name", "gone": "is not there"}
    names |= {"..": "no name", ".": "no name", "a" * 999: "no name"}
    if sys.platform != "win32":
        (inner / "link").symlink_to(outside)
        os.mkfifo(inner / "pipe")
        names |= {"link": "link that leads out", "pipe": "regular"}
    (inner / "folder").mkdir()
    names["folder"] = "regular"
    for name, said in names.items():
        write(path, stack[0, 1], binary_only(1, name))
        assert said in note_of(path)


def test_a_companion_that_changes_is_read_again(tmp_path, stack):
    path = tmp_path / "z1_0.ome.tif"
    write(path, stack[0, 1], binary_only(1))
    assert "is not there" in note_of(path)
    (tmp_path / COMPANION).write_text(described())
    assert {p.z for p in planes(path)} == {1}
    (tmp_path / COMPANION).write_text(described(n_z=2) + " ")
    assert {p.stack for p in planes(path)} == {f"ome:{COMPANION}"}
    (tmp_path / COMPANION).write_text("<OME/>")
    assert "does not tell of it" in note_of(path)
