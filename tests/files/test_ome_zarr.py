"""OME-Zarr folders, written by the zarr library: pixels, places, plates, damage."""

import json
import os
import sys

import numpy as np
import pytest

from microscope_quality.errors import FileError
from microscope_quality.files import lazy, ome_zarr
from microscope_quality.files.images import find, open_image, planes
from microscope_quality.focus import measure_focus

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")
ZARR_3 = int(zarr.__version__.split(".")[0]) >= 3
RNG = np.random.default_rng(3)
DATA = RNG.integers(0, 4000, (2, 3, 150, 170)).astype(np.uint16)
AXES = [
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "micrometer"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "nanometer"},
]
FORMATS = [2, 3] if ZARR_3 else [2]
pytestmark = pytest.mark.formats

needs_zarr_3 = pytest.mark.skipif(not ZARR_3, reason="zarr-python 2 writes Zarr 2 alone")
needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")


def write_group(folder, attributes, zarr_format=2):
    folder.mkdir(parents=True, exist_ok=True)
    if zarr_format == 2:
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / ".zattrs").write_text(json.dumps(attributes))
    else:
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (folder / "zarr.json").write_text(json.dumps(group))


def write_array(folder, data, chunks, zarr_format=2, **options):
    if ZARR_3:
        array = zarr.create_array(
            str(folder),
            **{"shape": data.shape, "dtype": data.dtype, "chunks": chunks},
            **{"zarr_format": zarr_format, **options},
        )
    else:
        if "compressors" in options:
            options["compressor"] = options.pop("compressors")
        array = zarr.open(
            str(folder), "w", shape=data.shape, dtype=data.dtype, chunks=chunks, **options
        )
    array[...] = data


def write(
    folder,
    data=DATA,
    axes=AXES,
    scale=(1, 2, 0.3, 300),
    zarr_format=2,
    planes_in_chunk=1,
    **options,
):
    """An image with a second level of half the resolution."""
    multiscale = {
        "axes": axes,
        "datasets": [
            {
                "path": str(name),
                "coordinateTransformations": [{"type": "scale", "scale": [n * k for n in scale]}],
            }
            for name, k in enumerate((1, 2))
        ],
    }
    if zarr_format == 2:
        write_group(folder, {"multiscales": [{**multiscale, "version": "0.4"}]})
    else:
        write_group(folder, {"ome": {"version": "0.5", "multiscales": [multiscale]}}, 3)
    outer = ((1,) * (data.ndim - 3) + (planes_in_chunk,))[: data.ndim - 2]
    for name, level in enumerate([data, data[..., ::2, ::2]]):
        write_array(folder / str(name), level, (*outer, 64, 64), zarr_format, **options)
    return folder


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("limit", [100, 2**25])
def test_planes_and_their_places(tmp_path, zarr_format, limit, monkeypatch):
    monkeypatch.setattr(lazy, "LAZY_PIXELS", limit)
    image = open_image(write(tmp_path / "a.ome.zarr", zarr_format=zarr_format))
    found = [plane for page in image.pages for plane in image.read(page)]
    assert [(p.series, p.c, p.z, p.t) for p in found] == [
        (None, c, z, None) for c in range(2) for z in range(3)
    ]
    for plane in found:
        assert isinstance(plane.array, np.ndarray) == (limit > 100)
        np.testing.assert_array_equal(np.asarray(plane.array), DATA[plane.c, plane.z])
        assert plane.known_optics.values == {"pixel_size_um": pytest.approx(0.3)}
        assert plane.optics is None
    if limit == 100:
        np.testing.assert_array_equal(found[3].array[60:70, 100:], DATA[1, 0, 60:70, 100:])
        np.testing.assert_array_equal(np.asarray(found[3].array.reduced(80)), DATA[1, 0, ::2, ::2])
    whole = list(planes(tmp_path / "a.ome.zarr"))
    assert all(isinstance(plane.array, np.ndarray) for plane in whole)


def test_axes_that_have_no_column_are_series(tmp_path):
    """Their type tells which axes are time and channel, whatever their names."""
    named = [("Frame", "time"), ("angle", None), ("wave", "channel"), ("phase", "other")]
    axes = [{"name": name, "type": kind} for name, kind in [*named, *[(a, "space") for a in "yx"]]]
    data = RNG.integers(0, 4000, (2, 3, 2, 2, 20, 30)).astype(np.uint16)
    image = open_image(write(tmp_path / "a.zarr", data, axes, (1,) * 6))
    found = [plane for page in image.pages for plane in image.read(page)]
    for plane, (t, angle, c, phase) in zip(found, np.ndindex(2, 3, 2, 2), strict=True):
        assert (plane.series, plane.z, plane.c, plane.t) == (2 * angle + phase, None, c, t)
        np.testing.assert_array_equal(plane.array, data[t, angle, c, phase])


@needs_zarr_3
def test_shards_are_read_by_their_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(lazy, "LAZY_PIXELS", 100)
    folder = write(tmp_path / "a.zarr", zarr_format=3, shards=(1, 1, 128, 128))
    image = open_image(folder)
    (plane,) = image.read(image.pages[4])
    np.testing.assert_array_equal(plane.array[60:130, 3:129], DATA[1, 1, 60:130, 3:129])


def test_measured_as_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(lazy, "LAZY_PIXELS", 100)
    image = open_image(write(tmp_path / "a.zarr"))
    (plane,) = image.read(image.pages[0])
    one, other = measure_focus(plane.array), measure_focus(DATA[0, 0])
    np.testing.assert_array_equal(one.patch_probabilities, other.patch_probabilities)


@pytest.mark.parametrize(
    ("sides", "units"), [((0.3, 0.4), "micrometer"), ((0.3, 0.3), ""), ((0, 0), "micrometer")]
)
def test_no_pixel_size_without_a_unit_or_for_oblong_pixels(tmp_path, sides, units):
    axes = [{"name": "y", "unit": units}, {"name": "x", "unit": units}]
    write(tmp_path / "a.zarr", data=DATA[0, 0], axes=axes, scale=sides)
    (plane,) = planes(tmp_path / "a.zarr")
    assert plane.known_optics.values == {}
    assert bool(plane.known_optics.message) == bool(units)


def test_a_plate_names_its_wells_and_sites(tmp_path):
    plate = tmp_path / "plate.zarr"
    wells = ["A/1", "B/12"]
    described = {
        "name": "p7",
        "wells": [{"path": path} for path in wells],
        "rows": [{"name": "A"}, {"name": "B"}],
        "columns": [{"name": "1"}, {"name": "12"}],
    }
    write_group(plate, {"plate": described})
    for number, path in enumerate(wells):
        write_group(plate / path, {"well": {"images": [{"path": "0"}, {"path": "1"}]}})
        for field in range(2):
            write(plate / path / str(field), data=DATA[number, field], axes=AXES[2:], scale=(1, 1))
    found = list(planes(plate))
    assert [(p.plate, p.well, p.site, p.series) for p in found] == [
        ("p7", "A1", "0", 0),
        ("p7", "A1", "1", 1),
        ("p7", "B12", "0", 2),
        ("p7", "B12", "1", 3),
    ]
    np.testing.assert_array_equal(found[3].array, DATA[1, 1])


@pytest.mark.parametrize("listed", [True, False])
def test_a_converted_file_has_series_and_its_metadata(tmp_path, listed):
    root = tmp_path / "a.zarr"
    write_group(root, {"bioformats2raw.layout": 3})
    write_group(root / "OME", {"series": ["0", "1"]} if listed else {})
    (root / "OME" / "METADATA.ome.xml").write_text(
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Instrument>'
        '<Objective ID="o" LensNA="0.8" Immersion="Air"/></Instrument>'
        + '<Image><ObjectiveSettings ID="o"/><Pixels PhysicalSizeX="0.2" PhysicalSizeY="0.2">'
        '<Channel EmissionWavelength="520"/></Pixels></Image>' * 2 + "</OME>",
        encoding="utf-8",
    )
    for series in range(2):
        write(root / str(series), data=DATA[series : series + 1])
    found = list(planes(root))
    assert [(p.series, p.z) for p in found] == [(s, z) for s in range(2) for z in range(3)]
    assert found[-1].optics.to_dict() == {
        "na": 0.8,
        "refractive_index": 1.0,
        "wavelength_um": pytest.approx(0.52),
        "pixel_size_um": 0.2,
    }


def test_folders_with_its_name_are_images(tmp_path):
    write(tmp_path / "set" / "b.ome.zarr")
    write(tmp_path / "set" / "A.ZARR")
    assert [name for name, _ in find([tmp_path / "set"])] == ["A.ZARR", "b.ome.zarr"]
    assert [path.name for _, path in find([tmp_path / "set" / "b.ome.zarr"])] == ["b.ome.zarr"]


def damage(folder, how):
    attributes = json.loads((folder / ".zattrs").read_text())
    if how == "no metadata":
        (folder / ".zattrs").unlink()
    elif how == "no json":
        (folder / ".zattrs").write_text("{")
    elif how == "outside":
        attributes["multiscales"][0]["datasets"][0]["path"] = "../b.zarr/0"
        (folder / ".zattrs").write_text(json.dumps(attributes))
    elif how == "axes":
        attributes["multiscales"][0]["axes"][-1] = {"name": "phase"}
        (folder / ".zattrs").write_text(json.dumps(attributes))
    elif how == "no array":
        (folder / "0" / ".zarray").unlink()
    elif how == "chunk":
        for chunk in (folder / "0").iterdir():
            if chunk.name.startswith("0"):
                chunk.write_bytes(b"\xff" * 40)


@pytest.mark.parametrize(
    "how", ["no metadata", "no json", "outside", "axes", "no array", "chunk", "empty"]
)
def test_damaged_ones_are_refused_by_name(tmp_path, how):
    write(tmp_path / "b.zarr")
    folder = tmp_path / "a.zarr"
    folder.mkdir()
    if how != "empty":
        write(folder)
        damage(folder, how)
    with pytest.raises(FileError) as caught:
        list(planes(folder))
    assert str(caught.value).startswith(f"{folder}: ")
    assert str(caught.value).count(str(folder)) == 1


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_it_is_read_without_the_library(tmp_path, zarr_format, monkeypatch):
    folder = write(tmp_path / "a.zarr", zarr_format=zarr_format)
    for name in ("zarr", "numcodecs"):
        monkeypatch.setitem(sys.modules, name, None)
    for plane in planes(folder):
        np.testing.assert_array_equal(plane.array, DATA[plane.c, plane.z])


def test_a_changed_chunk_changes_the_identity(tmp_path):
    folder = write(tmp_path / "a.zarr")
    before = ome_zarr.identity(folder)
    assert before == ome_zarr.identity(folder)
    assert before[0] == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    chunk = next(p for p in (folder / "1").iterdir() if not p.name.startswith("."))
    chunk.write_bytes(chunk.read_bytes())
    after = ome_zarr.identity(folder)
    assert after[0] == before[0]
    assert after[1] > before[1]


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_a_chunk_of_blosc_that_is_cut_short(tmp_path, zarr_format):
    packing = (
        {"compressors": [zarr.codecs.BloscCodec()]}
        if zarr_format == 3
        else {"compressors": numcodecs.Blosc()}
    )
    folder = write(tmp_path / "a.zarr", zarr_format=zarr_format, **packing)
    chunk = folder / ("0/c/1/2/0/1" if zarr_format == 3 else "0/1.2.0.1")
    whole = chunk.read_bytes()
    image = open_image(folder)
    (plane,) = image.read(image.pages[5])
    np.testing.assert_array_equal(np.asarray(plane.array), DATA[1, 2])
    for length in (0, 15, 100, len(whole) - 1):
        chunk.write_bytes(whole[:length])
        with pytest.raises(FileError, match="rows 0 to 63 and columns 64 to 127 is damaged"):
            image.read(image.pages[5], whole=True)


# What is stored, and what is not


def test_a_chunk_of_several_planes_is_decoded_once(tmp_path):
    folder = write(tmp_path / "a.zarr", planes_in_chunk=3)
    image = open_image(folder)
    image.read(image.pages[3], whole=True)
    for chunk in (folder / "0").iterdir():
        if not chunk.name.startswith("."):
            chunk.unlink()
    (plane,) = image.read(image.pages[5], whole=True)
    np.testing.assert_array_equal(plane.array, DATA[1, 2])
    # Those of another channel are not there any more.
    (plane,) = image.read(image.pages[0], whole=True)
    assert not plane.array.any()


def test_chunks_that_are_missing_are_the_fill_value(tmp_path):
    folder = write(tmp_path / "a.zarr", fill_value=7)
    (folder / "0" / "0.0.1.1").unlink()
    expected = DATA[0, 0].copy()
    expected[64:128, 64:128] = 7
    np.testing.assert_array_equal(next(planes(folder)).array, expected)


# What no microscope writes


def refused(folder, match):
    with pytest.raises(FileError, match=match) as caught:
        list(planes(folder))
    said = str(caught.value)
    assert said.startswith(f"{folder}: ")
    assert said.count(str(folder)) == 1
    assert len(said) < 600 + len(str(folder))


PARTS = [".zattrs", "zarr.json", "0/.zarray", "0/zarr.json", "0/0.0.0.0", "0/0.1.2.2"]


@needs_pipes
@pytest.mark.parametrize("part", [*PARTS, "1/.zarray"])
def test_pipes_in_the_place_of_files(tmp_path, part):
    folder = write(tmp_path / "a.zarr")
    (folder / part).unlink(missing_ok=True)
    os.mkfifo(folder / part)
    refused(folder, "is not a regular file")


@needs_pipes
@pytest.mark.parametrize("part", ["OME/METADATA.ome.xml", "OME/.zattrs", "OME/zarr.json"])
def test_pipes_in_the_place_of_metadata_of_a_converted_file(tmp_path, part):
    write_group(tmp_path / "a.zarr", {"bioformats2raw.layout": 3})
    write_group(tmp_path / "a.zarr" / "OME", {})
    (tmp_path / "a.zarr" / part).unlink(missing_ok=True)
    os.mkfifo(tmp_path / "a.zarr" / part)
    refused(tmp_path / "a.zarr", f"{part}: is not a regular file")


@pytest.mark.parametrize("part", PARTS)
def test_folders_in_the_place_of_files(tmp_path, part):
    folder = write(tmp_path / "a.zarr")
    (folder / part).unlink(missing_ok=True)
    (folder / part).mkdir()
    refused(folder, "is not a regular file")


@pytest.mark.parametrize("target", ["outside", "nowhere", "itself", "/dev/zero"])
@pytest.mark.parametrize("part", PARTS)
def test_links_that_lead_out_of_the_folder_or_nowhere(tmp_path, part, target):
    folder = write(tmp_path / "a.zarr")
    other = write(tmp_path / "b.zarr")
    place = {"outside": other / part, "nowhere": folder / "x", "itself": folder / part}
    (folder / part).unlink(missing_ok=True)
    (folder / part).symlink_to(place.get(target, target))
    refused(folder, "leads out|is missing|is not a regular file")


def test_a_folder_of_chunks_that_is_a_link(tmp_path):
    options = (
        {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
        if ZARR_3
        else {"dimension_separator": "/"}
    )
    folder = write(tmp_path / "a.zarr", **options)
    other = write(tmp_path / "b.zarr", DATA + 1, **options)
    rows = folder / "0" / "0" / "0"
    rows.rename(folder / "0" / "kept")
    rows.symlink_to(folder / "0" / "kept", target_is_directory=True)
    np.testing.assert_array_equal(next(planes(folder)).array, DATA[0, 0])
    rows.unlink()
    rows.symlink_to(other / "0" / "0" / "0", target_is_directory=True)
    refused(folder, "0/0/0: is a link that leads out of the folder")
    rows.unlink()
    rows.write_bytes(b"")
    refused(folder, "0/0/0: is not a folder")


def test_links_that_stay_inside_are_followed(tmp_path):
    folder = write(tmp_path / "a.zarr")
    (folder / "0").rename(folder / "largest")
    (folder / "0").symlink_to("largest", target_is_directory=True)
    chunk = folder / "0" / "0.0.0.0"
    chunk.rename(folder / "first")
    chunk.symlink_to(folder / "first")
    (tmp_path / "link.zarr").symlink_to(folder, target_is_directory=True)
    for path in (folder, tmp_path / "link.zarr"):
        np.testing.assert_array_equal(next(planes(path)).array, DATA[0, 0])


NO_JSON = {
    "open brackets": "[" * 100_000,
    "open objects": '{"a":' * 100_000,
    "a list": "[1, 2]",
    "a number": "9" * 5000,
    "nothing": "",
    "null": "null",
    "very many lists": '{"a": [' + "[]," * 600_000 + "[]]}",
    "very many numbers": '{"a": [' + "1," * 1_000_000 + "1]}",
    "too large": '{"a": "' + "x" * 2**24 + '"}',
}


@pytest.mark.parametrize("text", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize("part", [".zattrs", "zarr.json", "0/.zarray", "0/zarr.json", "1/.zarray"])
def test_metadata_that_are_no_json_object(tmp_path, part, text):
    folder = write(tmp_path / "a.zarr", DATA[0, 0], AXES[2:], (1, 1))
    (folder / part).write_text(text)
    refused(folder, f"{part}")


def test_metadata_that_are_no_text(tmp_path):
    folder = write(tmp_path / "a.zarr")
    (folder / ".zattrs").write_bytes(b"\xff\xfe{}")
    refused(folder, ".zattrs: is damaged: it is no UTF-8")


def with_attributes(folder, change):
    attributes = json.loads((folder / ".zattrs").read_text())
    change(attributes["multiscales"][0])
    (folder / ".zattrs").write_text(json.dumps(attributes))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda one: one.update(datasets=one["datasets"] * 40), "80 resolutions; at most 64"),
        (lambda one: one.update(datasets=[]), "index out of range"),
        (lambda one: one.update(axes=one["axes"] * 10**4), "has the axes"),
        (lambda one: one["datasets"][0].update(path="x" * 10**6), "tell the name"),
        (lambda one: one["datasets"][0].update(path="a\0b"), "tell the name"),
        (lambda one: one["datasets"][0].update(path="../../b.zarr/0"), "outside of it"),
    ],
)
def test_multiscales_that_are_damaged(tmp_path, change, match):
    folder = write(tmp_path / "a.zarr")
    with_attributes(folder, change)
    refused(folder, match)


def describe(folder, **changes):
    file = folder / "0" / ".zarray"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    ("shape", "chunks", "match"),
    [
        ([2, 3, 4096, 4096], [1, 1, 1, 1], "16777216 chunks of 1 pixels in a plane; at most 65536"),
        ([2, 3, 2**20, 2**20], [1, 1, 32, 32], "at most 10000000 of that size"),
        ([2, 3, 2**20, 2**20], [2, 3, 1, 1023], "at most 65536"),
        ([2, 500_001, 64, 64], [1, 1, 64, 64], "1000002 planes"),
        ([2**31, 2**31, 64, 64], [1, 1, 64, 64], "4611686018427387904 planes"),
        ([10**100, 3, 64, 64], [1, 1, 64, 64], "impossible length"),
        ([2, 3, 64, 64], [1, 1, 2**16, 2**16], "too large: chunks of 1 × 1 × 65536 × 65536"),
        ([2, 3, 64, 64], [1, 1, 64], "3 axes, in an array with 4"),
        ([64, 64], [64, 64], "axes are not those"),
        ([2, 3, 0, 64], [1, 1, 64, 64], "impossible length"),
    ],
)
def test_claims_that_no_image_makes(tmp_path, shape, chunks, match):
    folder = write(tmp_path / "a.zarr")
    describe(folder, shape=shape, chunks=chunks)
    refused(folder, match)


@pytest.mark.parametrize(("pixels", "chunk"), [(255, 1), (4096, 32), (1, 1)])
def test_many_chunks_that_are_not_too_many(tmp_path, pixels, chunk):
    folder = write(tmp_path / "a.zarr", DATA[:1, :1])
    describe(folder, shape=[1, 1, pixels, pixels], chunks=[1, 1, chunk, chunk])
    for path in (folder / "0").glob("0.0.*"):
        path.unlink()
    assert next(planes(folder)).array.shape == (pixels, pixels)


@pytest.mark.parametrize("what", ["wells", "images", "series"])
def test_more_images_than_a_plate_has(tmp_path, what, monkeypatch):
    monkeypatch.setattr(ome_zarr, "_MOST_IMAGES", 10)
    root = tmp_path / "a.zarr"
    wells, images = (11, 1) if what == "wells" else (1, 11)
    if what == "series":
        write_group(root, {"bioformats2raw.layout": 3})
        write_group(root / "OME", {"series": ["A/1/0"] * 11})
    else:
        write_group(root, {"plate": {"wells": [{"path": "A/1"}] * wells}})
    write_group(root / "A" / "1", {"well": {"images": [{"path": "0"}] * images}})
    write(root / "A" / "1" / "0", DATA[0, 0], AXES[2:], (1, 1))
    refused(root, "more than 10 images")


def test_metadata_without_end(tmp_path, monkeypatch):
    root = tmp_path / "a.zarr"
    write_group(root, {"plate": {"wells": [{"path": "A/1"}] * 100}})
    write_group(root / "A" / "1", {"well": {"images": [{"path": "0"}]}})
    write(root / "A" / "1" / "0", DATA[0, 0], AXES[2:], (1, 1))
    assert len(open_image(root).pages) == 100
    monkeypatch.setattr(ome_zarr, "_MOST_METADATA_BYTES", 10_000)
    refused(root, "its metadata have over 10000 letters")


@pytest.mark.parametrize("many", [0, 1_000_000])
def test_ome_xml_of_very_many_parts_tells_nothing(tmp_path, many):
    root = tmp_path / "a.zarr"
    write_group(root, {"bioformats2raw.layout": 3})
    write_group(root / "OME", {"series": ["0"]})
    pixels = '<Image><Pixels PhysicalSizeX="0.2" PhysicalSizeY="0.2"/></Image>'
    xml = f"<OME>{pixels}{'<a/>' * many}</OME>"
    (root / "OME" / "METADATA.ome.xml").write_text(xml, encoding="utf-8")
    write(root / "0", DATA[0, 0], AXES[2:], (1, 1000))
    known = next(planes(root)).known_optics
    assert known.values == {"pixel_size_um": pytest.approx(1.0 if many else 0.2)}


def test_names_of_plates_without_end(tmp_path):
    write_group(tmp_path / "a.zarr", {"plate": {"name": "x" * 10**6, "wells": []}})
    refused(tmp_path / "a.zarr", "a name of 1000000 letters")


def test_a_codec_that_runs_code_is_refused_by_name(tmp_path):
    folder = write(tmp_path / "a.zarr")
    describe(folder, filters=[{"id": "pickle"}])
    refused(folder, "is packed by 'pickle', which is not read; blosc, zstd")
