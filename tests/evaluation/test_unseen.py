import csv
import json

import numpy as np
import pytest
import tifffile

from microscope_quality.degrade import Camera
from microscope_quality.errors import SettingsError
from microscope_quality.evaluation.levels import accuracy, confusion_of_images
from microscope_quality.evaluation.unseen import UnseenSettings, _carried, _made, leave_one_out
from microscope_quality.model import FocusModel
from microscope_quality.simulate import filaments, nuclei
from microscope_quality.training.sets import SetSettings
from microscope_quality.training.sources import find_sharp_images
from microscope_quality.training.train import TrainingSettings

SHAPE = (200, 200)


@pytest.fixture
def sharp(tmp_path):
    for kind, number in (("dna", 4), ("actin", 4), ("few", 1)):
        (tmp_path / kind).mkdir()
        for seed in range(number):
            light = filaments(SHAPE, 12, seed) if kind == "actin" else nuclei(SHAPE, 20, seed)
            plane = Camera().expose(2000 * (light + 0.03), seed)
            tifffile.imwrite(tmp_path / kind / f"{kind}{seed}.tif", plane)
    return [tmp_path / kind for kind in ("dna", "actin", "few")]


def settings(**changes):
    training = TrainingSettings(
        steps=2, batch_size=16, empty_patches=500, workers=0, check=False, validation_fraction=0.25
    )
    return UnseenSettings(training, SetSettings(seed=3), smallest_group=3, **changes)


def test_each_large_group_is_judged_by_a_model_that_never_saw_it(sharp, tmp_path):
    pytest.importorskip("keras", reason="training needs pip install '.[train]'")
    told = []
    rows = leave_one_out(sharp, tmp_path / "out", settings(judged=2), report=told.append)
    assert [row["group"] for row in rows] == ["actin", "dna"]
    for row in rows:
        folder = tmp_path / "out" / row["group"] / "without"
        record = json.loads((folder / "model.json").read_text(encoding="utf-8"))["training"]
        known = {*record["training_files"], *record["validation_files"]}
        assert not [name for name in known if name.startswith(f"{row['group']}/")]
        assert any(name.startswith("few/") for name in known)
        images, _ = find_sharp_images([tmp_path / row["group"]])
        made = _made([images[0], images[-1]], SetSettings(seed=3))
        found = accuracy(*confusion_of_images(FocusModel.from_pretrained(folder), made))
        assert row["images"] == found["images"] == 22
        assert row["sharp_images"] == 4
        assert row["within_one"] == pytest.approx(found["within_one"], abs=1e-4)
        assert row["exact"] == pytest.approx(found["exact"], abs=1e-4)
    with (tmp_path / "out" / "unseen.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [float(row["f_tenengrad"]) for row in written] == pytest.approx(
        [row["f_tenengrad"] for row in rows]
    )
    # A second call trains nothing, and finds the same.
    again = []
    assert leave_one_out(sharp, tmp_path / "out", settings(judged=2), report=again.append) == rows
    assert not [record for record in again if "loss" in record]
    assert [record for record in told if "loss" in record]


def test_a_threshold_is_chosen_on_some_images_and_judged_on_others():
    levels = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    sharpness = 10.0 - levels
    assert _carried(sharpness, levels, sharpness, levels) == 1
    # Where the others are ten times as bright, the threshold 7 lets all of them pass: of three in
    # focus and three out of focus, F = 2·3 / (6 + 3).
    assert _carried(sharpness, levels, 10 * sharpness + 20, levels) == pytest.approx(2 / 3)
    # A measure that is upside down on the others finds none of them.
    assert _carried(sharpness, levels, levels.astype(float), levels) == 0


def test_too_few_groups_are_refused(sharp, tmp_path):
    with pytest.raises(SettingsError, match=r"two groups.*dna \(4\)"):
        leave_one_out(sharp[:1], tmp_path / "out", settings())
