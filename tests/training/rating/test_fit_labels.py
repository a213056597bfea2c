"""Fitting to scores: a killed training ends as one that was not, and what is told of it is so."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import labelled_images
import numpy as np
import pytest

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.normalisation import zscore
from microscope_quality.training.rating.architectures import LabelRecipe, Stage
from microscope_quality.training.state import read_arrays

fit_labels = pytest.importorskip(
    "microscope_quality.training.rating.fit_labels",
    reason="needs Keras and TensorFlow: pip install 'microscope-quality[train]'",
)

pytestmark = pytest.mark.training

SIDE = 32
RECIPE = LabelRecipe("adam", 4, (Stage(3, 3e-3, ("trunk",)), Stage(5, 3e-3)))
STEPS = 8 * 6


def network():
    """A few weights of every kind: of a trunk, of batch normalisation, of a head."""
    import keras

    keras.utils.set_random_seed(0)
    patches = keras.Input((SIDE, SIDE))
    tensor = keras.layers.Reshape((SIDE, SIDE, 1))(patches)
    tensor = keras.layers.Conv2D(6, 3, strides=2, name="trunk")(tensor)
    tensor = keras.layers.BatchNormalization(momentum=0.9)(tensor)
    tensor = keras.layers.Activation("relu")(tensor)
    tensor = keras.layers.GlobalAveragePooling2D()(tensor)
    return keras.Model(patches, keras.layers.Dense(1)(tensor))


def rated(number, first=0):
    """Patches of blurred noise; of each two crops."""
    blurs = np.random.default_rng(first).uniform(0.3, 3, number)
    crops = [
        np.stack([labelled_images.image(blur, (first + k, way), SIDE) for way in range(2)])
        for k, blur in enumerate(blurs)
    ]
    scores = np.array([labelled_images.score_of(blur) for blur in blurs])
    return fit_labels.RatedPatches(crops, scores, [str(k % 3) for k in range(number)])


def fit(folder, recipe=RECIPE, basis=None, report=lambda record: None, **more):
    built = network()
    reached = fit_labels.fit(
        built,
        recipe,
        rated(24),
        rated(9, 100),
        folder,
        seed=0,
        basis=basis or {"training": "these"},
        report=report,
        **more,
    )
    return built, reached


def train_to_the_end(folder, report=lambda record: None):
    """Keep the state at every step."""
    with patch.object(fit_labels, "KEEP_S", 0.0):
        return fit(folder, report=report)


def test_a_training_that_is_killed_ends_as_one_that_is_not(tmp_path):
    expected, whole = train_to_the_end(tmp_path / "whole")
    environment = {**os.environ, "PYTHONPATH": str(Path(labelled_images.__file__).parent)}
    begun_at = []
    for attempt in range(3):
        command = [sys.executable, __file__, str(tmp_path / "killed")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        lines = iter(process.stdout)
        begun_at.append(int(next(lines)))
        if attempt < 2:
            for _ in range(random.randint(8, 18)):
                next(lines, None)
            time.sleep(random.uniform(0, 0.03))
            process.kill()
        process.stdout.read()
        process.wait()
        process.stdout.close()
    assert process.returncode == 0
    assert 1 == begun_at[0] < begun_at[1] < begun_at[2] <= STEPS
    ours, progress = train_to_the_end(tmp_path / "killed")
    for own, other in zip(ours.get_weights(), expected.get_weights()):
        np.testing.assert_allclose(own, other, rtol=1e-3, atol=1e-5)
    assert progress.best["epoch"] == whole.best["epoch"]
    assert progress.history == [pytest.approx(record, rel=1e-2) for record in whole.history]


def test_a_frozen_layer_stays_as_it_is_in_its_stage_alone(tmp_path):
    before = network().get_layer("trunk").get_weights()
    frozen = LabelRecipe("adam", 8, (Stage(2, 1e-2, ("trunk",)),))
    after, _ = fit(tmp_path / "frozen", frozen)
    for own, other in zip(after.get_layer("trunk").get_weights(), before):
        np.testing.assert_array_equal(own, other)
    both = LabelRecipe("sgd", 8, (*frozen.stages, Stage(1, 1e-2)))
    _, reached = fit(tmp_path / "both", both)
    assert [record["stage"] for record in reached.history] == [1, 1, 2]
    last = read_arrays(tmp_path / "both" / "checkpoint-1-1-0.npz")
    assert np.any(last["network/0"] != before[0])


def test_the_weights_are_those_of_the_epoch_with_the_lowest_error(tmp_path):
    # A rate far too high, so that the error goes up and down.
    built, reached = fit(tmp_path, LabelRecipe("adam", 4, (Stage(6, 0.3),)))
    errors = [record["validation_rmse"] for record in reached.history]
    assert errors[-1] > min(errors)
    assert reached.best["epoch"] == 1 + errors.index(min(errors))
    validation = rated(9, 100)
    found = fit_labels.scores_of(built, validation.crops)
    told = fit_labels.figures(validation.scores, found)
    assert told["rmse"] == pytest.approx(min(errors), rel=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"best-{reached.best['epoch']}.npz",
        "checkpoint-0-6-0.npz",
        "checkpoint.json",
    ]


def test_a_stage_ends_when_the_error_falls_no_more(tmp_path):
    # A rate so low that no weight changes.
    recipe = LabelRecipe("sgd", 24, (Stage(20, 1e-30), Stage(2, 1e-30)), patience=3)
    with patch.object(fit_labels, "_normalised", _without_normalisation):
        _, reached = fit(tmp_path, recipe)
    stages = [record["stage"] for record in reached.history]
    assert stages.count(2) == 2
    assert 4 <= stages.count(1) < 20


def _without_normalisation(crops):
    return np.concatenate([crop[np.newaxis] / 255 for crop in crops]).astype(np.float32)


def test_scores_are_means_over_crops_and_lie_within_0_and_1():
    class Mean:
        """Says the mean of a patch's first row."""

        def __call__(self, patches, training):
            assert not training
            return patches[:, 0].mean(axis=1)[:, np.newaxis]

    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 255, (number, SIDE, SIDE)).astype(np.uint8) for number in (3, 1, 2)]
    found = fit_labels.scores_of(Mean(), crops)
    for crop, score in zip(crops, found):
        means = zscore(crop)[0][:, 0].mean(axis=1)
        assert score == pytest.approx(np.clip(means, 0, 1).mean())


def test_figures_are_those_of_their_definitions():
    told = fit_labels.figures(np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.5, 0.6]))
    assert told["mae"] == pytest.approx((0.1 + 0 + 0.3) / 3)
    assert told["rmse"] == pytest.approx(np.sqrt((0.01 + 0.09) / 3))
    # Deviations (-0.4, 0, 0.4) and (-7, 2, 5) / 30.
    assert told["plcc"] == pytest.approx(4.8 / np.sqrt(0.32 * 78))
    assert fit_labels.figures(np.array([0.1, 0.5]), np.array([0.3, 0.3]))["plcc"] == 0


def test_augmentation_turns_mirrors_and_changes_intensity_and_nothing_else():
    patches = np.random.default_rng(0).standard_normal((40, 8, 8)).astype(np.float32)
    changed = fit_labels.augmented(patches, np.random.default_rng(1))
    ways = set()
    for before, after in zip(patches, changed):
        fits = []
        for way in range(8):
            turned = np.rot90(before, way % 4)
            turned = turned[:, ::-1] if way >= 4 else turned
            gain, offset = np.polyfit(turned.ravel(), after.ravel(), 1)
            error = np.abs(gain * turned + offset - after).max()
            fits.append((error, way, gain, offset))
        error, way, gain, offset = min(fits)
        ways.add(way)
        assert error < 1e-5
        assert 0.9 <= gain <= 1.1
        assert -0.1 <= offset <= 0.1
    assert ways == set(range(8))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"basis": {"training": "others"}}, "a training on other labels"),
        ({"recipe": LabelRecipe("adam", 4, (Stage(1, 3e-3),))}, "by another recipe"),
    ],
)
def test_the_state_of_another_training_is_not_gone_on_from(tmp_path, change, said):
    fit(tmp_path, LabelRecipe("adam", 8, (Stage(1, 1e-3),)))
    with pytest.raises(SettingsError, match=said):
        fit(tmp_path, **{"recipe": LabelRecipe("adam", 8, (Stage(1, 1e-3),)), **change})


def test_a_state_that_cannot_be_read_is_named(tmp_path):
    recipe = LabelRecipe("adam", 8, (Stage(1, 1e-3),))
    fit(tmp_path, recipe)
    path = tmp_path / "checkpoint.json"
    state = json.loads(path.read_text())
    (tmp_path / state["checkpoint"]).write_bytes(b"nothing")
    with pytest.raises(FileError, match="the state cannot be read"):
        fit(tmp_path, recipe)
    path.write_text("[]")
    with pytest.raises(FileError, match=r"checkpoint\.json: cannot be read"):
        fit(tmp_path, recipe)


if __name__ == "__main__":

    def told(record):
        if "at" in record:
            print(record["at"], flush=True)

    train_to_the_end(Path(sys.argv[1]), told)
