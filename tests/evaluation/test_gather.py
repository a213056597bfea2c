"""What an evaluation finds in folders and sets."""

import shutil

import numpy as np
import pytest
import scipy.ndimage
import tifffile

from microscope_quality.errors import FileError, ImageError, SettingsError
from microscope_quality.evaluation.gather import gather, scenes, shown
from microscope_quality.simulate import nuclei
from microscope_quality.training.defocus.exposure import signal
from microscope_quality.training.defocus.microscope import Microscope
from microscope_quality.training.defocus.sets import SetSettings, SetWriter, labelled
from microscope_quality.training.defocus.sources import find_sharp_images
from microscope_quality.training.defocus.stream import (
    LEAST_CONTRAST,
    SMOOTHED_PX,
    SharpImage,
    noise_deviation,
)

SETTINGS = SetSettings(seed=3)


def write(path, seed=0, shape=(100, 110)):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, (nuclei(shape, 9, seed) * 3000 + 100).astype(np.uint16))
    return path


@pytest.fixture
def folder(tmp_path):
    for kind, names in {"actin": ["a", "b"], "dna": ["a", "c"]}.items():
        for name in names:
            write(tmp_path / "sharp" / kind / f"{name}.tif", seed=len(name))
    return tmp_path / "sharp"


def test_groups_are_folders(folder):
    found = gather([str(folder)])
    assert [(source.kind, source.group) for source in found.sources] == [
        ("actin", "actin"),
        ("actin", "actin"),
        ("dna", "dna"),
        ("dna", "dna"),
    ]


def test_groups_are_a_column_of_the_manifest(folder):
    table = folder / "list.csv"
    table.write_text("file,stain,field\nactin/a.tif,red,f1\ndna/a.tif,blue,f1\nactin/b.tif,red,\n")
    found = gather([str(folder)], manifest=table, group_by="stain")
    assert [source.group for source in found.sources] == ["red", "red", "blue"]
    assert [source.field for source in found.sources][::2] == ["f1", "f1"]
    unlisted = str(folder / "dna" / "c.tif")
    assert found.left_out == {unlisted: f"{table} does not tell its stain"}
    with pytest.raises(SettingsError, match="no column colour"):
        gather([str(folder)], manifest=table, group_by="column=colour")
    with pytest.raises(SettingsError, match="manifest must be the table that has the column stain"):
        gather([str(folder)], group_by="stain")
    with pytest.raises(FileError, match="cannot be read"):
        gather([str(folder)], manifest=folder / "none.csv")


def test_groups_are_told_by_the_names(folder):
    found = gather([str(folder)], group_by=r"(?P<letter>[ab])\.tif")
    assert [source.group for source in found.sources] == ["a", "b", "a"]
    assert list(found.left_out) == [str(folder / "dna" / "c.tif")]
    by_path = gather([str(folder)], group_by=r"(?P<stain>act|dn)[^/]*/(?P<letter>.)")
    assert [source.group for source in by_path.sources] == ["act/a", "act/b", "dn/a", "dn/c"]
    with pytest.raises(SettingsError, match="regular expression"):
        gather([str(folder)], group_by="(")


def test_only_what_was_held_out_and_nothing_that_was_trained_on(folder):
    found = gather([str(folder)], only=["actin/a.tif", "dna/c.tif", "dna/gone.tif"])
    assert [source.path.rpartition("sharp/")[2] for source in found.sources] == [
        "actin/a.tif",
        "dna/c.tif",
    ]
    assert "2 images" in found.notes[0]
    assert "1 of the 3" in found.notes[1]
    found = gather([str(folder)], without={"dna/a.tif": "m was trained on it"})
    assert len(found.sources) == 3
    assert found.left_out == {str(folder / "dna" / "a.tif"): "m was trained on it"}


def test_the_images_are_those_of_training_sets(folder):
    (source, *_) = gather([str(folder)]).sources
    (scene,) = scenes(source, SETTINGS, 84)
    expected = labelled([SharpImage(source.path, kind="actin")], SETTINGS)
    for (level, plane), (right_level, right_plane) in zip(scene.images, expected, strict=True):
        assert level == right_level
        np.testing.assert_array_equal(plane, right_plane)
    np.testing.assert_array_equal(scene.sharp, signal(tifffile.imread(source.path)))


def test_a_written_set_is_used_as_it_is(folder, tmp_path):
    path = folder / "actin" / "a.tif"
    with SetWriter(tmp_path / "set", SETTINGS) as writer:
        writer.add("actin/a.tif", path)
        writer.add("b.tif", folder / "actin" / "b.tif")
    found = gather([str(tmp_path / "set")])
    assert [source.group for source in found.sources] == ["actin", "actin"]
    (scene,) = scenes(found.sources[0], SETTINGS, 84)
    images = dict(scene.images)
    assert sorted(images) == list(range(11))
    for level, plane in images.items():
        (file,) = (tmp_path / "set" / f"level_{level:02d}").glob("a_*.tif")
        np.testing.assert_array_equal(plane, tifffile.imread(file))
    np.testing.assert_array_equal(scene.sharp, signal(images[0]))
    by_name = gather([str(tmp_path / "set")], group_by=r"(?P<letter>b)\.tif")
    assert [source.group for source in by_name.sources] == ["b"]
    assert len(by_name.left_out) == 1
    by_column = gather([str(tmp_path / "set")], group_by="na")
    assert [source.group for source in by_column.sources] == ["0.5", "0.5"]
    assert len(gather([str(tmp_path / "set")], only=["actin/a.tif"]).sources) == 1
    assert len(gather([str(tmp_path / "set")], without={"actin/a.tif": "x"}).sources) == 1
    # Part of it, as when a disk is small: what is missing is an error of that image.
    shutil.rmtree(tmp_path / "set" / "level_05")
    (scene,) = scenes(found.sources[0], SETTINGS, 84)
    with pytest.raises(FileError, match="does not exist"):
        list(scene.images)


def test_a_set_that_is_tilted_or_was_not_finished_is_refused(folder, tmp_path):
    tilted = SetSettings(Microscope(tilt_levels=(1.0, 2.0)))
    with SetWriter(tmp_path / "set", tilted) as writer:
        writer.add("b.tif", folder / "actin" / "b.tif")
    with pytest.raises(SettingsError, match="are tilted"):
        gather([str(tmp_path / "set")])
    (tmp_path / "set" / "manifest.csv").rename(tmp_path / "set" / "manifest.csv.part")
    with pytest.raises(FileError, match="not finished"):
        gather([str(tmp_path / "set")])


def test_the_sharp_plane_of_a_stack_is_the_one_of_training(tmp_path):
    flat = np.full((90, 100), 7, np.uint16)
    sharp = (nuclei((90, 100), 9, 1) * 3000 + 100).astype(np.uint16)
    (tmp_path / "dna").mkdir()
    path = tmp_path / "dna" / "stack.ome.tif"
    # Two channels, the first flat where the second is sharpest.
    channels = [[sharp // 4, sharp, flat], [sharp, flat, sharp // 2]]
    tifffile.imwrite(path, np.stack(channels), photometric="minisblack", metadata={"axes": "CZYX"})
    (source,) = gather([str(tmp_path)]).sources
    found = list(scenes(source, SETTINGS, 84))
    images, _ = find_sharp_images([path])
    assert [image.plane for image in images] == [1, 3]
    assert [scene.name for scene in found] == [f"dna/stack.ome.tif#{i.plane}" for i in images]
    np.testing.assert_array_equal(found[0].sharp, signal(sharp))
    tifffile.imwrite(path, np.stack([flat, flat]), photometric="minisblack")
    with pytest.raises(ImageError, match="no contrast"):
        list(scenes(source, SETTINGS, 84))


def test_a_set_with_levels_that_are_none(tmp_path):
    for level, said in (("eleven", "whole number"), ("11", "between 0 and 10")):
        (tmp_path / "manifest.csv").write_text(f"file,level\na.tif,{level}\n")
        with pytest.raises(FileError, match=said):
            gather([str(tmp_path)])


def test_what_cannot_be_a_sharp_image(folder):
    small = gather([str(write(folder / "small" / "s.tif", shape=(60, 100)))]).sources
    with pytest.raises(ImageError, match="100 × 60 pixels"):
        list(scenes(small[0], SETTINGS, 84))
    (missing,) = gather([str(folder / "none.tif")]).sources
    with pytest.raises(FileError, match="does not exist"):
        list(scenes(missing, SETTINGS, 84))


def test_a_place_shows_something_by_the_rule_of_training():
    light = nuclei((240, 250), 3, 7).astype(np.float32)
    light = np.maximum(light + np.random.default_rng(0).normal(0, 0.01, light.shape), 0)
    light = signal(light)
    places = np.array([(y, x) for y in range(0, 160, 30) for x in range(0, 166, 30)])
    found = shown(light, places, 84)
    smooth = scipy.ndimage.uniform_filter(light, SMOOTHED_PX)
    least = max(LEAST_CONTRAST, 8 * noise_deviation(light) / SMOOTHED_PX)
    expected = [
        smooth[y : y + 84, x : x + 84].max() - smooth[y : y + 84, x : x + 84].min() > least
        for y, x in places
    ]
    assert found.tolist() == expected
    assert 0 < sum(expected) < len(expected)
    assert shown(None, places, 84).all()
