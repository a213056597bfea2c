"""What stands where in a montage, and what a patch is judged by."""

import numpy as np
import pytest

from microscope_quality import FocusModel
from microscope_quality.errors import SettingsError
from microscope_quality.evaluation.montage import arrange, judged_by, mistakes, typical
from microscope_quality.evaluation.results import ExamplePatches
from microscope_quality.model import FOCUS, FocusTask, ModelDescription
from microscope_quality.optics import TRAINING_OPTICS

SIDE = 24


def _model(weights):
    """A model of one dense layer: logits of 2 levels from a patch in 0 to 1."""
    kernel = np.zeros((SIDE * SIDE, 2), np.float32)
    kernel[:, 1] = np.asarray(weights, np.float32).ravel()
    description = ModelDescription(
        name="linear",
        task=FOCUS,
        architecture="linear",
        patch_size=SIDE,
        normalisation="type_range",
        details=FocusTask(levels=2, optics=TRAINING_OPTICS, sure_certainty=0.5),
        layers=(
            {"kind": "flatten"},
            {"kind": "dense", "name": "only", "units": 2, "activation": "softmax"},
        ),
    )
    return FocusModel(description, {"only/kernel": kernel, "only/bias": np.zeros(2)})


def _examples(true, level, certainty):
    n = len(true)
    return ExamplePatches(
        patches=np.zeros((n, 8, 8), np.float32),
        true=np.array(true),
        level=np.array(level, float),
        certainty=np.array(certainty, float),
    )


def test_patches_stand_at_their_level_and_certainty():
    level = [0, 0, 1, 1, 1, 1, np.nan]
    certainty = [0.1, 0.6, 1.0, 0.19, 0.4, 0.0, 0.0]
    made = arrange(level, certainty, 3)
    np.testing.assert_array_equal(
        made.count, [[1, 2, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]]
    )
    assert made.chosen[0, 0] == 0
    assert made.chosen[0, 1] in (3, 5)
    np.testing.assert_array_equal(made.chosen[2:, 0], [-1, 1, -1])
    np.testing.assert_array_equal(made.chosen[:, 1][[2, 4]], [4, 2])
    assert (made.chosen[:, 2] == -1).all()


def test_every_patch_of_a_place_can_be_chosen():
    chosen = {arrange([0] * 4, [0.3] * 4, 1, seed=seed).chosen[1, 0] for seed in range(60)}
    assert chosen == {0, 1, 2, 3}


def test_mistakes_are_more_than_one_level_off_and_the_most_certain_come_first():
    examples = _examples([0, 5, 5, 9, 2], [1, 8, 5, 2, np.nan], [0.9, 0.2, 0.8, 0.7, 0.0])
    assert mistakes(examples, 5).tolist() == [3, 1]
    assert mistakes(examples, 1).tolist() == [3]


def test_typical_patches_are_right_and_of_the_more_certain_half():
    examples = _examples([0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [0.1, 0.6, 0.9, 1.0, 1.0])
    for seed in range(5):
        chosen = typical(examples, 2, 2, seed)
        assert set(chosen[:, 0]) == {1, 2}
        assert chosen[:, 1].tolist() == [-1, -1]


def test_a_patch_is_judged_by_what_the_model_looks_at():
    weights = np.zeros((SIDE, SIDE))
    weights[4:8, 14:18] = 0.8
    rng = np.random.default_rng(0)
    patch = rng.random((SIDE, SIDE)).astype(np.float32) * 0.2
    patch[4:8, 14:18] = 0.9
    found = judged_by(_model(weights), patch, side=8, step=2)
    assert found.shape == (SIDE, SIDE)
    y, x = np.unravel_index(found.argmax(), found.shape)
    assert 4 <= y < 8 and 14 <= x < 18
    # No square that touches the spot reaches further than its own side.
    far = np.ones((SIDE, SIDE), bool)
    far[: 8 + 8, 14 - 8 :] = False
    np.testing.assert_allclose(found[far], 0, atol=1e-6)


def test_importance_is_the_distance_of_the_answers_by_hand():
    # One square over the whole patch at a step so large that few are asked: all by definition.
    weights = np.full((SIDE, SIDE), 0.05)
    weights[:, SIDE // 2 :] = -0.05
    patch = np.zeros((SIDE, SIDE))
    patch[:, SIDE // 2 :] = 1
    side, step = 12, 6
    found = judged_by(_model(weights), patch, side=side, step=step)
    rise = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2

    def answer(pixels):
        return 1 / (1 + np.exp(-(pixels * weights).sum()))

    total, cover = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for y in range(-6, SIDE - 6, step):
        for x in range(-6, SIDE - 6, step):
            big = np.zeros((SIDE + 2 * side, SIDE + 2 * side))
            big[side + y : 2 * side + y, side + x : 2 * side + x] = np.outer(rise, rise)
            weight = big[side:-side, side:-side]
            mean = np.average(patch, weights=weight)
            moved = abs(answer(patch) - answer(patch * (1 - weight) + weight * mean))
            total += weight * moved
            cover += weight
    np.testing.assert_allclose(found, total / cover, atol=1e-6)


def test_a_patch_without_anything_is_not_judged_by_anything():
    assert np.isnan(
        judged_by(_model(np.ones((SIDE, SIDE))), np.zeros((SIDE, SIDE)), side=8, step=4)
    ).all()


def test_integers_are_judged_as_their_type_goes():
    rng = np.random.default_rng(1)
    grey = rng.integers(0, 65536, (SIDE, SIDE), dtype=np.uint16)
    model = _model(rng.normal(0, 0.2, (SIDE, SIDE)))
    np.testing.assert_allclose(
        judged_by(model, grey, side=8, step=4),
        judged_by(model, grey / 65535, side=8, step=4),
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("shape", "side", "step"), [((20, 24), 8, 2), ((24, 24), 25, 2), ((24, 24), 8, 5)]
)
def test_what_does_not_fit_is_refused(shape, side, step):
    with pytest.raises(SettingsError, match="24"):
        judged_by(_model(np.ones((SIDE, SIDE))), np.zeros(shape), side=side, step=step)
