"""Which planes are trained on, and which belong together."""

import csv

import coded
import numpy as np
import pytest
import tifffile

from microscope_quality.errors import SettingsError
from microscope_quality.model import FocusModel
from microscope_quality.training.defocus.sources import (
    by_deviation,
    by_model,
    find_sharp_images,
)
from microscope_quality.training.entries import entries
from microscope_quality.training.fields import GroupBy, split_by_field


def noise(deviation, seed=0, shape=(90, 100)):
    values = np.random.default_rng(seed).normal(1000, deviation, shape)
    return values.astype(np.uint16)


def test_the_plane_of_largest_deviation_is_taken_of_a_stack(tmp_path):
    # Two channels, each with its own sharpest plane; axes as ImageJ has them.
    deviations = np.array([[10, 80], [50, 20], [30, 40]])
    stack = np.array(
        [[noise(d, 2 * z + c) for c, d in enumerate(row)] for z, row in enumerate(deviations)]
    )
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    images, left_out = find_sharp_images([tmp_path])
    # Pages lie channel by channel within z.
    assert [image.plane for image in images] == [2, 1]
    assert left_out == {}
    assert images[0].load().std() > 0


def test_the_planes_of_a_stack_may_be_files(tmp_path):
    for well, deviations in (("A1", (10, 60, 30)), ("A2", (5, 6, 70))):
        for z, deviation in enumerate(deviations):
            tifffile.imwrite(tmp_path / f"{well}_z{z}.tif", noise(deviation, z))
    tifffile.imwrite(tmp_path / "lone.tif", noise(20))
    group_by = GroupBy.parse(r"(?P<well>[A-P]\d+)_z(?P<z>\d+)")
    images, _ = find_sharp_images([tmp_path], group_by=group_by)
    assert [image.path.rpartition("/")[2] for image in images] == [
        "A1_z1.tif",
        "A2_z2.tif",
        "lone.tif",
    ]
    assert [image.field for image in images[:2]] == ["A1", "A2"]


def test_stacks_of_the_same_name_in_two_folders_are_two(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for z in range(2):
            tifffile.imwrite(tmp_path / folder / f"A1_z{z}.tif", noise(10 + z, z))
    group_by = GroupBy.parse(r"(?P<well>[A-P]\d+)_z(?P<z>\d+)")
    images, _ = find_sharp_images([tmp_path], group_by=group_by)
    assert [image.kind for image in images] == ["one", "two"]
    # Of one well all the same, so they stay on one side.
    assert {image.field for image in images} == {"A1"}


def test_a_model_may_choose_the_plane(tmp_path):
    model = FocusModel(coded.description(), coded.weights())
    levels = (6, 2, 9)
    stack = np.stack([coded.plane([[level, level]]) for level in levels])
    # By deviation another plane would be taken.
    stack[2] *= 100
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    (by_std,), _ = find_sharp_images([tmp_path], sharpness=by_deviation)
    (by_level,), _ = find_sharp_images([tmp_path], sharpness=by_model(model))
    assert (by_std.plane, by_level.plane) == (2, 1)


def test_planes_of_a_stack_that_show_nothing_are_passed_over(tmp_path):
    flat = np.full((90, 100), 7, np.uint16)
    tifffile.imwrite(
        tmp_path / "some.tif", np.stack([flat, noise(9), flat]), photometric="minisblack"
    )
    tifffile.imwrite(tmp_path / "none.tif", np.stack([flat, flat]), photometric="minisblack")
    images, left_out = find_sharp_images([tmp_path])
    assert [image.plane for image in images] == [1]
    assert set(left_out) == {str(tmp_path / "none.tif")}


def test_a_channel_that_cannot_be_trained_on_is_named(tmp_path):
    colour = np.stack([noise(9), np.zeros((90, 100), np.uint16), noise(5)], axis=-1)
    tifffile.imwrite(tmp_path / "colour.tif", colour, photometric="rgb")
    images, left_out = find_sharp_images([tmp_path])
    assert [image.plane for image in images] == [0, 2]
    assert set(left_out) == {f"{tmp_path / 'colour.tif'}#1"}


def test_channels_of_a_field_stay_together(tmp_path):
    for well in ("A1", "A2", "A3", "A4"):
        for channel in ("dna", "actin"):
            tifffile.imwrite(tmp_path / f"{well}_{channel}.tif", noise(9))
    group_by = GroupBy.parse(r"(?P<well>[A-P]\d+)_(?P<channel>[a-z]+)")
    images, _ = find_sharp_images([tmp_path], group_by=group_by)
    training, validation = split_by_field(images, 0.25, seed=0)
    assert len(images) == 8
    assert len(validation) == 2
    assert not {i.field for i in training} & {i.field for i in validation}


def test_a_column_of_the_manifest_may_be_the_field(tmp_path):
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "field", "donor"])
        for number in range(3):
            tifffile.imwrite(tmp_path / f"{number}.tif", noise(9))
            table.writerow([f"{number}.tif", f"f{number}", f"donor{number % 2}"])
    manifest = tmp_path / "manifest.csv"
    images, _ = find_sharp_images(
        [tmp_path], manifest=manifest, group_by=GroupBy.parse("column=donor")
    )
    assert [image.field for image in images] == ["donor0", "donor1", "donor0"]
    images, _ = find_sharp_images([tmp_path], manifest=manifest)
    assert [image.field for image in images] == ["f0", "f1", "f2"]
    with pytest.raises(SettingsError, match="no column 'plate'"):
        find_sharp_images([tmp_path], manifest=manifest, group_by=GroupBy.parse("column=plate"))


def test_an_image_has_one_name_however_it_is_given(tmp_path, monkeypatch):
    folder = tmp_path / "sharp"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", noise(9))
    monkeypatch.chdir(folder)
    for path in (".", "a.tif", "*.tif", "../sharp", folder, folder / "a.tif"):
        (image,), _ = find_sharp_images([path])
        assert (image.kind, entries([image])) == ("sharp", ["sharp/a.tif"])
