"""Counting right and wrong levels, with a model whose answers are known."""

import numpy as np
import pytest
import tifffile

from microscope_quality import FocusModel, measure_focus
from microscope_quality.evaluation.levels import accuracy, confusion_of_images
from microscope_quality.simulate import nuclei
from microscope_quality.training.sets import SetSettings, degraded, labelled
from microscope_quality.training.stream import SharpImage


def test_accuracy_by_hand():
    confusion = np.zeros((11, 11), dtype=np.int64)
    confusion[0, 0], confusion[3, 4], confusion[5, 3], confusion[9, 9] = 4, 2, 1, 2
    assert accuracy(confusion, undefined=1) == {"images": 10, "exact": 0.6, "within_one": 0.8}


def test_a_confusion_matrix_counts_what_measuring_says(tmp_path):
    path = tmp_path / "sharp.tif"
    tifffile.imwrite(path, (nuclei((180, 180), 14, 0) * 3000 + 100).astype(np.uint16))
    model = FocusModel.from_pretrained()
    settings = SetSettings(seed=2)
    image = SharpImage(str(path), kind="a", field="f")
    confusion, undefined = confusion_of_images(model, labelled([image], settings))
    assert undefined == 0
    np.testing.assert_array_equal(confusion.sum(axis=1), np.ones(11))
    made = list(degraded(tifffile.imread(path), "a/sharp.tif#0", settings))
    for one in made:
        assert confusion[one.level, int(measure_focus(one.plane, model).level)] == 1


@pytest.mark.parametrize("level", [0, 4, 8])
def test_the_default_model_is_within_one_level_on_simulated_cells(level):
    model = FocusModel.from_pretrained()
    near = 0
    for seed in range(4):
        light = nuclei((336, 336), 40, 100 + seed)
        made = list(degraded(light, str(seed), SetSettings(photons=(1000, 5000), seed=seed)))[level]
        result = measure_focus(made.plane, model)
        assert result.status != "no_content"
        near += abs(result.level - level) <= 1
    assert near >= 3
