"""Which sharp images are left out, asked of a model whose opinion is known."""

import dataclasses

import coded
import numpy as np
import pytest
import tifffile

from microscope_quality.model import FocusModel
from microscope_quality.training.defocus.check import check_sharp
from microscope_quality.training.defocus.stream import SharpImage


@pytest.fixture(scope="module")
def model():
    return FocusModel(coded.description(), coded.weights())


def write(folder, name, plane, kind="cells"):
    path = folder / kind / name
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, plane)
    return SharpImage(str(path), kind=kind, field=name)


def test_blurred_saturated_and_empty_images_are_left_out(tmp_path, model):
    level_0, level_1 = coded.plane([[0, 0], [0, 0]]), coded.plane([[1, 1], [1, 1]])
    # 20% of the pixels of a patch of level 0 are bright.
    saturated = np.where(level_0 == 200, 65535, 100).astype(np.uint16)
    images = [
        write(tmp_path, "sharp.tif", level_0),
        write(tmp_path, "nearly.tif", level_1),
        write(tmp_path, "blurred.tif", coded.plane([[2, 2], [2, 2]])),
        write(tmp_path, "cut.tif", saturated),
        write(tmp_path, "empty.tif", coded.plane([[None, None], [None, None]])),
        *(write(tmp_path, f"{n}.tif", level_0) for n in range(2)),
    ]
    check = check_sharp(images, model)
    assert check.kept == (images[0], images[1], images[5], images[6])
    reasons = {path.rpartition("/")[2]: reason for path, reason in check.left_out.items()}
    assert reasons == {
        "blurred.tif": "blurred: coded puts it at level 2.0",
        "cut.tif": "20.0% of the pixels are saturated",
        "empty.tif": "shows nothing, as coded sees it",
    }
    assert check.doubted == {}


def test_a_kind_is_kept_when_most_of_it_would_go(tmp_path, model):
    sharp, blurred = coded.plane([[0, 0]]), coded.plane([[5, 5]])
    strange = [write(tmp_path, f"{n}.tif", blurred, "strange") for n in range(2)]
    strange.append(write(tmp_path, "2.tif", sharp, "strange"))
    known = [write(tmp_path, f"{n}.tif", sharp, "known") for n in range(1)]
    known.append(write(tmp_path, "1.tif", blurred, "known"))
    check = check_sharp([*strange, *known], model)
    assert check.kept == (*strange, known[0])
    assert set(check.doubted) == {image.path for image in strange[:2]}
    assert set(check.left_out) == {known[1].path}
    strict = check_sharp([*strange, *known], model, strict=True)
    assert strict.kept == (strange[2], known[0])
    assert strict.doubted == {}


def test_a_plane_is_judged_by_itself(tmp_path, model):
    stack = np.stack([coded.plane([[k, k]]) for k in (4, 0)])
    image = write(tmp_path, "stack.tif", stack)
    planes = [dataclasses.replace(image, plane=number) for number in (0, 1)]
    check = check_sharp(planes, model)
    assert check.kept == (planes[1],)
    assert set(check.left_out) == {image.path}


def test_an_image_that_is_gone_is_left_out_and_no_other(tmp_path, model):
    names = ("sharp.tif", "gone.tif", "less.tif", "blurred.tif", "more.tif", "last.tif")
    levels = (0, 0, 0, 5, 0, 0)
    images = [write(tmp_path, n, coded.plane([[k]])) for n, k in zip(names, levels)]
    (tmp_path / "cells" / "gone.tif").unlink()
    images[2] = dataclasses.replace(images[2], plane=1)
    check = check_sharp(images, model)
    assert check.kept == (images[0], images[4], images[5])
    reasons = {path.rpartition("/")[2]: reason for path, reason in check.left_out.items()}
    assert set(reasons) == {"gone.tif", "less.tif#1", "blurred.tif"}
    assert "does not exist" in reasons["gone.tif"]
    assert "has no plane 1" in reasons["less.tif#1"]
    assert reasons["blurred.tif"].startswith("blurred")


def test_images_that_the_model_has_seen_are_counted(tmp_path):
    described = coded.description(training={"training_files": ["cells/a.tif", "other/b.tif"]})
    model = FocusModel(described, coded.weights())
    images = [write(tmp_path, f"{name}.tif", coded.plane([[0]])) for name in "ab"]
    check = check_sharp(images, model)
    assert check.seen == 1
    assert check.to_dict()["seen_by_the_model"] == 1


def test_a_sampling_that_the_model_cannot_know_is_no_reason(tmp_path, model):
    image = write(tmp_path, "coarse.tif", coded.plane([[9, 9]]))
    coarse = dataclasses.replace(coded.description().optics, pixel_size_um=30.0)
    assert check_sharp([image], model, optics=coarse).kept == (image,)
    assert check_sharp([image], model, strict=True).kept == ()
