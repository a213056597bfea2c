"""Training on a set that lies on disk: its patches are what the files hold, its labels theirs."""

import csv

import numpy as np
import pytest
import tifffile

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.optics import Optics
from microscope_quality.simulate import nuclei
from microscope_quality.training.defocus.sets import SetSettings, SetWriter
from microscope_quality.training.defocus.stored import (
    StoredBlocks,
    find_stored_images,
    is_set,
    labelled,
    optics_of,
)
from microscope_quality.training.defocus.stream import StreamSettings
from microscope_quality.training.fields import GroupBy, split_by_field

PATCH = 32
# Grey levels over the type's largest value: the patch can be read back.
SETTINGS = StreamSettings(patch_size=PATCH, normalisation="type_range", empty_fraction=0.0)


COLUMNS = ("file", "source", "plane", "level")
OPTICS = {"na": 0.5, "refractive_index": 1.0, "wavelength_um": 0.5, "pixel_size_um": 0.325}


def write_set(
    folder,
    *,
    shape=(100, 130),
    columns=COLUMNS,
    chequered=False,
    sources=("a/one.tif", "b/two.tif"),
    **more,
):
    """A set whose grey levels tell file and level: 5000 · level + 2500 · source + light.

    The right half of each image shows nothing, unless it is chequered.
    """
    folder.mkdir()
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, [*columns], extrasaction="ignore")
        table.writeheader()
        for number, source in enumerate(sources):
            light = 2000 * nuclei(shape, 10, number)
            light[:, shape[1] // 2 :] = 0
            if chequered:
                light = 1000.0 * ((np.indices(shape) // 8).sum(axis=0) % 2)
            for level in range(11):
                name = f"{number}_{level}.tif"
                plane = (light + 5000 * level + 2500 * number).astype(np.uint16)
                tifffile.imwrite(folder / name, plane)
                row = {"file": name, "source": source, "plane": 0, "level": level}
                table.writerow({**row, "tilt_levels": 1.5, **more})
    return folder


def grey(patches):
    return np.rint(patches.astype(np.float64) * 65535)


def test_a_patch_is_cut_from_the_file_of_its_level(tmp_path):
    images = find_stored_images([write_set(tmp_path / "set")], PATCH)
    patches, targets = next(
        StoredBlocks.blocks(images, SETTINGS, seed=3, block_size=300, workers=0)
    )
    values = grey(patches)
    shown = targets.max(axis=1) == 1
    assert 0.3 < shown.mean() < 1
    assert np.ptp(values, axis=(1, 2))[shown].min() > 0
    level = values.min(axis=(1, 2)) // 5000
    np.testing.assert_array_equal(level[shown], targets[shown].argmax(axis=1))
    assert set(level[shown]) == set(range(11))
    # Both sources, and every patch is in its file, turned or mirrored.
    source = values.min(axis=(1, 2)) % 5000 // 2500
    assert set(source) == {0, 1}
    for number in range(0, 300, 60):
        path = tmp_path / "set" / f"{source[number]:.0f}_{level[number]:.0f}.tif"
        windows = np.lib.stride_tricks.sliding_window_view(tifffile.imread(path), (PATCH, PATCH))
        turned = [np.rot90(values[number], k) for k in range(4)]
        turned += [patch[:, ::-1] for patch in turned]
        assert any((windows == patch).all(axis=(2, 3)).any() for patch in turned)


def test_a_place_without_anything_tells_no_level(tmp_path):
    images = find_stored_images([write_set(tmp_path / "set")], PATCH)
    patches, targets = next(
        StoredBlocks.blocks(images, SETTINGS, seed=3, block_size=300, workers=0)
    )
    flat = np.ptp(grey(patches), axis=(1, 2)) == 0
    assert flat.any()
    np.testing.assert_allclose(targets[flat], 1 / 11, rtol=1e-6)


def test_blocks_are_the_same_from_anywhere_and_in_a_thread(tmp_path):
    images = find_stored_images([write_set(tmp_path / "set")], PATCH)
    settings = StreamSettings(patch_size=PATCH)

    def first(n, **arguments):
        made = StoredBlocks.blocks(images, settings, seed=1, block_size=64, **arguments)
        found = [next(made) for _ in range(n)]
        made.close()
        return found

    zero, one, two = first(3, workers=0)
    for ours, theirs in (
        (first(2, workers=1, first=1), (one, two)),
        (first(1, workers=0), (zero,)),
    ):
        for (patches, targets), (expected, labels) in zip(ours, theirs):
            np.testing.assert_array_equal(patches, expected)
            np.testing.assert_array_equal(targets, labels)
    assert np.abs(zero[0] - one[0]).max() > 0.1


def test_a_seed_has_streams_that_share_no_block(tmp_path):
    images = find_stored_images([write_set(tmp_path / "set")], PATCH)
    found = []
    for seed, stream in ((1, 0), (1, 1), (1, 11), (2, 0)):
        made = StoredBlocks.blocks(
            images, SETTINGS, seed=seed, block_size=64, workers=0, stream=stream
        )
        found += [next(made)[0].tobytes() for _ in range(3)]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(("fraction", "low", "high"), [(0.0, 0.0, 0.0), (0.5, 0.4, 0.6)])
def test_empty_patches_are_mixed_in(tmp_path, fraction, low, high):
    # Where every place shows something, only empty patches tell no level.
    images = find_stored_images([write_set(tmp_path / "set", chequered=True)], PATCH)
    settings = StreamSettings(patch_size=PATCH, empty_fraction=fraction)
    _, targets = next(StoredBlocks.blocks(images, settings, seed=1, block_size=400, workers=0))
    assert low <= (targets.max(axis=1) < 1).mean() <= high


def test_images_are_split_by_source(tmp_path):
    for name in ("one", "two"):
        write_set(tmp_path / name)
    images = find_stored_images([tmp_path / "one", tmp_path / "two"], PATCH)
    assert [image.kind for image in images] == ["a", "b", "a", "b"]
    # Two sets of the same images show the same fields.
    assert [image.field for image in images] == ["a/one.tif", "b/two.tif"] * 2
    with pytest.raises(SettingsError, match="too few"):
        split_by_field(images, 0.2, 0)


def test_an_image_is_of_one_field_under_whatever_name_a_set_has_it(tmp_path):
    (tmp_path / "sharp").mkdir()
    for number in range(3):
        light = nuclei((90, 90), 5, number)
        path = tmp_path / "sharp" / f"{number}.tif"
        tifffile.imwrite(path, (light * 3000 + 100).astype(np.uint16))
    for name, place in (("one", ""), ("two", "sharp/"), ("three", f"{tmp_path}/sharp/")):
        with SetWriter(tmp_path / name, SetSettings()) as writer:
            for number in range(3):
                path = tmp_path / "sharp" / f"{number}.tif"
                writer.add(f"{place}{number}.tif", path)
    images = find_stored_images([tmp_path / name for name in ("one", "two", "three")], PATCH)
    assert {image.kind for image in images} == {"sharp"}
    assert [image.field for image in images] == ["sharp/0.tif", "sharp/1.tif", "sharp/2.tif"] * 3
    training, validation = split_by_field(images, 0.3, 0)
    assert (len(training), len(validation)) == (6, 3)
    assert not {image.entry for image in training} & {image.entry for image in validation}
    # So are they for a model that learned from the sharp images themselves.
    known = {"sharp/0.tif", "sharp/2.tif"}
    _, validation = split_by_field(images, 0.3, 0, seen=known)
    assert {image.entry for image in validation} == {"sharp/1.tif"}


def test_labelled_images_are_those_of_the_files(tmp_path):
    images = find_stored_images([write_set(tmp_path / "set")], PATCH)
    found = list(labelled(images))
    assert [level for level, _ in found] == 2 * list(range(11))
    np.testing.assert_array_equal(found[14][1], tifffile.imread(tmp_path / "set" / "1_3.tif"))


def test_a_set_of_synthesize_is_one(tmp_path):
    (tmp_path / "sharp").mkdir()
    light = nuclei((90, 90), 5, 0)
    tifffile.imwrite(tmp_path / "sharp" / "x.tif", (light * 3000 + 100).astype(np.uint16))
    with SetWriter(tmp_path / "set", SetSettings()) as writer:
        writer.add("dna/x.tif", tmp_path / "sharp" / "x.tif")
    assert is_set(tmp_path / "set")
    assert not is_set(tmp_path / "sharp")
    (image,) = find_stored_images([tmp_path / "set"], PATCH)
    # The name tells how the file was given, the entry which file it is.
    assert (image.kind, image.path, image.entry) == ("sharp", "dna/x.tif", "sharp/x.tif")
    assert len(image.paths) == 11
    assert find_stored_images([tmp_path / "set"], patch_size=91) == []


def test_a_set_without_a_level_is_refused(tmp_path):
    folder = write_set(tmp_path / "set")
    manifest = (folder / "manifest.csv").read_text().splitlines()
    (folder / "manifest.csv").write_text("\n".join(manifest[:-1]))
    with pytest.raises(FileError, match=r"not every level of b/two\.tif"):
        find_stored_images([folder], PATCH)


def test_fields_of_a_set_are_told_by_names_or_a_column(tmp_path):
    sources = ("A1_dna_z0.tif", "A1_actin_z0.tif", "B2_dna_z1.tif", "other.tif")
    columns = (*COLUMNS, "donor")
    folder = write_set(tmp_path / "set", sources=sources, columns=columns, donor="d7")

    def fields(text):
        return [i.field for i in find_stored_images([folder], PATCH, GroupBy.parse(text))]

    # Channels and planes of a field belong together, as those of sharp images do.
    pattern = r"(?P<well>[A-P]\d)_(?P<channel>[a-z]+)_z(?P<z>\d)"
    assert fields(pattern) == ["A1", "A1", "B2", "other.tif"]
    assert fields("column=donor") == ["d7"] * 4
    with pytest.raises(SettingsError, match="no column 'plate'"):
        fields("column=plate")


def test_a_set_tells_its_optics(tmp_path):
    folder = write_set(tmp_path / "set", columns=(*COLUMNS, *OPTICS), **OPTICS)
    assert {image.optics for image in find_stored_images([folder], PATCH)} == {Optics(**OPTICS)}
    assert optics_of(folder) == {Optics(**OPTICS)}
    assert optics_of(write_set(tmp_path / "dumb")) == set()
    silent = find_stored_images([write_set(tmp_path / "silent")], PATCH)
    assert {image.optics for image in silent} == {None}
    strange = {**OPTICS, "na": 1.5}
    with pytest.raises(FileError, match="na must be below"):
        find_stored_images(
            [write_set(tmp_path / "no", columns=(*COLUMNS, *OPTICS), **strange)], PATCH
        )


def test_a_set_that_was_not_finished_is_refused(tmp_path):
    folder = write_set(tmp_path / "set")
    (folder / "manifest.csv").rename(folder / "manifest.csv.part")
    with pytest.raises(FileError, match="not finished"):
        is_set(folder)


def test_a_tilted_set_is_refused(tmp_path):
    columns = ("file", "source", "plane", "level", "tilt_levels")
    with pytest.raises(SettingsError, match="are tilted"):
        find_stored_images([write_set(tmp_path / "set", columns=columns)], PATCH)
