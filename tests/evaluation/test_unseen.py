import csv
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from microscope_quality.degrade import Camera
from microscope_quality.errors import FileError, SettingsError
from microscope_quality.evaluation.judging import predictions_of
from microscope_quality.evaluation.unseen import (
    UnseenSettings,
    _carried,
    _made,
    _safe,
    leave_one_out,
    read_unseen,
)
from microscope_quality.metrics import summary
from microscope_quality.model import FocusModel
from microscope_quality.simulate import filaments, nuclei
from microscope_quality.training.defocus.sets import SetSettings
from microscope_quality.training.defocus.sources import find_sharp_images
from microscope_quality.training.defocus.train import TrainingSettings

pytestmark = pytest.mark.evaluation

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
        found = summary(predictions_of(FocusModel.from_pretrained(folder), made))
        assert row["images"] == found["n"] == 22
        assert row["sharp_images"] == 4
        assert row["within_one"] == pytest.approx(found["within_one"])
        assert row["exact"] == pytest.approx(found["exact"])
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
    # Models of other images or settings are not taken for those that are asked for, nor changed.
    before = (folder / "model.json").read_bytes()
    of_two = replace(settings().training, seed=1, steps=3)
    with pytest.raises(
        SettingsError, match="without is .* steps 2 instead of 3; seed 0 instead of"
    ):
        leave_one_out(sharp, tmp_path / "out", replace(settings(), training=of_two))
    (tmp_path / "few" / "few0.tif").rename(tmp_path / "few" / "other.tif")
    with pytest.raises(
        SettingsError, match=r"1 of its images .* 1 others .*few/few0\.tif, few/oth"
    ):
        leave_one_out(sharp, tmp_path / "out", settings(judged=2))
    assert (folder / "model.json").read_bytes() == before


def test_groups_have_folders_of_their_own():
    names = ["dna", "cells/dna", "cells\\dna", "..", ".", "cells_dna", "a b", "v1.0", "unseen.csv"]
    folders = [_safe(name) for name in names]
    assert folders[0] == "dna"
    assert len(set(folders)) == len(names)
    assert not [folder for folder in folders if set("/\\.") & set(folder)]


def test_a_missing_library_is_told_before_the_work(sharp, tmp_path):
    look = (
        "import sys; sys.modules['skimage'] = None\n"
        "from microscope_quality.cli.unseen import unseen\n"
        "import typer; app = typer.Typer(); app.command()(unseen); app()"
    )
    out = tmp_path / "out"
    arguments = [*map(str, sharp), "--out", str(out), "--smallest", "3", "--steps", "1"]
    found = subprocess.run(
        [sys.executable, "-c", look, *arguments], check=False, capture_output=True, text=True
    )
    assert found.returncode == 2
    assert "pip install 'microscope-quality[train,evaluate]'" in found.stderr
    assert not out.exists()


def test_a_training_that_goes_on_from_a_model_is_refused(sharp, tmp_path):
    pytest.importorskip("skimage", reason="needs pip install 'microscope-quality[evaluate]'")
    on = replace(settings().training, start="compact")
    with pytest.raises(SettingsError, match="compact may have been trained on what is left out"):
        leave_one_out(sharp, tmp_path / "out", replace(settings(), training=on))


def test_a_threshold_is_chosen_on_some_images_and_judged_on_others():
    levels = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    sharpness = 10.0 - levels
    assert _carried(sharpness, levels, sharpness, levels) == 1
    # Where the others are ten times as bright, the threshold 7 lets all of them pass: of three in
    # focus and three out of focus, F = 2·3 / (6 + 3).
    assert _carried(sharpness, levels, 10 * sharpness + 20, levels) == pytest.approx(2 / 3)
    # A measure that is upside down on the others finds none of them.
    assert _carried(sharpness, levels, levels.astype(float), levels) == 0


def test_the_table_is_read_again(tmp_path):
    path = tmp_path / "unseen.csv"
    head = "group,sharp_images,images,within_one,f_model,f_best_classical,best_classical\n"
    # A measure that says nothing of what is in focus has no F-score.
    path.write_text(head + "dna,4,22,0.95,,0.875,tenengrad\n")
    (row,) = read_unseen(path)
    assert np.isnan(row.pop("f_model"))
    assert row == {
        "group": "dna",
        "images": 22,
        "within_one": 0.95,
        "best_classical": "tenengrad",
        "f_best_classical": 0.875,
    }
    path.write_text(head + "dna,4,many,0.95,1,0.875,tenengrad\n")
    with pytest.raises(FileError, match=r"unseen\.csv has a field that is no number.*many"):
        read_unseen(path)
    path.write_text("group,images\ndna,22\n")
    with pytest.raises(FileError, match=r"has no column .*within_one"):
        read_unseen(path)


def test_too_few_groups_are_refused(sharp, tmp_path):
    pytest.importorskip("skimage", reason="needs pip install 'microscope-quality[evaluate]'")
    with pytest.raises(SettingsError, match=r"two groups.*dna \(4\)"):
        leave_one_out(sharp[:1], tmp_path / "out", settings())
