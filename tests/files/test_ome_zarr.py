"""OME-Zarr folders, written by the zarr library: pixels, places, plates, damage."""

import json

import numpy as np
import pytest

from microscope_quality.errors import FileError
from microscope_quality.files import lazy, ome_zarr
from microscope_quality.files.images import find, open_image, planes
from microscope_quality.focus import measure_focus

zarr = pytest.importorskip("zarr", minversion="3")
numcodecs = pytest.importorskip("numcodecs")
RNG = np.random.default_rng(3)
DATA = RNG.integers(0, 4000, (2, 3, 150, 170)).astype(np.uint16)
AXES = [
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "micrometer"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "nanometer"},
]
FORMATS = [2, 3]


def write(folder, data=DATA, axes=AXES, scale=(1, 2, 0.3, 300), zarr_format=2, **options):
    """An image with a second level of half the resolution."""
    group = zarr.open_group(str(folder), mode="w", zarr_format=zarr_format)
    levels = [data, data[..., ::2, ::2]]
    for name, level in enumerate(levels):
        array = group.create_array(
            str(name),
            shape=level.shape,
            dtype=level.dtype,
            chunks=(1,) * (level.ndim - 2) + (64, 64),
            **options,
        )
        array[...] = level
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
        group.attrs.update({"multiscales": [{**multiscale, "version": "0.4"}]})
    else:
        group.attrs.update({"ome": {"version": "0.5", "multiscales": [multiscale]}})
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
    group = zarr.open_group(str(plate), mode="w", zarr_format=2)
    wells = ["A/1", "B/12"]
    group.attrs["plate"] = {
        "name": "p7",
        "wells": [{"path": path} for path in wells],
        "rows": [{"name": "A"}, {"name": "B"}],
        "columns": [{"name": "1"}, {"name": "12"}],
    }
    for number, path in enumerate(wells):
        well = zarr.open_group(str(plate / path), mode="w", zarr_format=2)
        well.attrs["well"] = {"images": [{"path": "0"}, {"path": "1"}]}
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
    group = zarr.open_group(str(root), mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    ome = zarr.open_group(str(root / "OME"), mode="w", zarr_format=2)
    if listed:
        ome.attrs["series"] = ["0", "1"]
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
        attributes["multiscales"][0]["axes"][0] = {"name": "phase"}
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


def test_without_the_library_it_says_what_to_install(tmp_path, monkeypatch):
    folder = write(tmp_path / "a.zarr")
    monkeypatch.setattr(ome_zarr, "find_spec", lambda name: None)
    with pytest.raises(FileError, match=r"pip install 'microscope-quality\[formats\]'"):
        open_image(folder)


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
