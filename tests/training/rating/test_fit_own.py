import numpy as np
import pytest

from microscope_quality.components import OUTPUTS
from microscope_quality.errors import ModelError, SettingsError
from microscope_quality.own_score import OwnScore, seen_by
from microscope_quality.training.rating.fit_own import _left_out, fit_own_score


def _labelled(n, seed=0, noise=0.03):
    """Outputs of patches, and what a rater says who minds two of them."""
    rng = np.random.default_rng(seed)
    outputs = rng.normal(size=(n, 1, len(OUTPUTS)))
    true = np.clip(0.55 - 0.2 * np.tanh(2 * outputs[:, 0, 2]) + 0.1 * outputs[:, 0, 4], 0.1, 1)
    given = np.clip(true + rng.normal(0, noise, n), 0.1, 1)
    return list(outputs), given, true


def _groups(n, of=4):
    return [f"g{k // of}" for k in range(n)]


def test_a_lab_score_is_learned_and_its_error_told():
    outputs, given, _ = _labelled(240)
    fitted = fit_own_score(outputs, given, _groups(240))
    others, _, true = _labelled(2000, seed=1)
    found = np.array([fitted.score.of(one)[0] for one in others])
    error = np.sqrt(np.mean((found - true) ** 2))
    assert np.corrcoef(found, true)[0, 1] > 0.95
    # What is told has the labels' own error in it.
    assert fitted.rmse == pytest.approx(np.hypot(error, 0.03), rel=0.25)
    assert fitted.score.spread == pytest.approx(fitted.rmse)
    assert fitted.plcc > fitted.generic_plcc + 0.3


def test_scores_that_nothing_tells_are_told_to_be_unlearned():
    outputs, _, _ = _labelled(120)
    given = np.random.default_rng(3).uniform(0.1, 1, 120)
    fitted = fit_own_score(outputs, given, _groups(120))
    assert fitted.rmse > 0.9 * given.std()
    assert abs(fitted.plcc) < 0.35


def test_leaving_groups_out_is_what_refitting_without_them_gives():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(30, 5)), rng.uniform(0.3, 0.8, 30)
    group = np.repeat(np.arange(10), 3)
    error, all_of_it = _left_out(x, y, group, 2.0)
    squares = []
    for one in range(10):
        kept = group != one
        a = x[kept]
        solved = np.linalg.solve(a.T @ a + 2.0 * np.eye(5), a.T @ y[kept])
        guessed = np.clip(x[~kept] @ solved, 0.1, 1)
        squares += ((guessed - y[~kept]) ** 2).tolist()
    assert error == pytest.approx(np.mean(squares), rel=1e-9)
    whole = np.linalg.solve(x.T @ x + 2.0 * np.eye(5), x.T @ y)
    assert all_of_it == pytest.approx(whole)


def test_a_labelled_image_is_the_mean_of_its_patches():
    rng = np.random.default_rng(5)
    parts = (np.zeros(7), np.ones(7), rng.normal(size=(8, 6)), 0.02 * rng.normal(size=14))
    parts[3][0] = 0.5
    score = OwnScore(*parts, spread=0.1)
    outputs = rng.normal(size=(9, 7))
    mean = seen_by(outputs, *parts[:3]).mean(axis=0) @ parts[3]
    assert score.of(outputs).mean() == pytest.approx(mean)


def test_weights_make_the_same_score_again():
    outputs, given, _ = _labelled(40)
    score = fit_own_score(outputs, given, _groups(40)).score
    again = OwnScore.from_model({"spread": score.spread, "labels": 40}, score.weights())
    found = np.concatenate(outputs)
    assert again.of(found) == pytest.approx(score.of(found), abs=1e-5)


def test_patches_without_content_do_not_count():
    outputs, given, _ = _labelled(40)
    outputs[3] = np.empty((0, 7))
    outputs[5] = np.full((1, 7), np.nan)
    assert len(fit_own_score(outputs, given, _groups(40)).predicted) == 38


@pytest.mark.parametrize(
    "outputs, scores, groups, said",
    [
        (*_labelled(9)[:2], _groups(9), "10 patches"),
        (_labelled(20)[0], [0.5] * 20, _groups(20), "different scores"),
        (*_labelled(20)[:2], ["one"] * 20, "two groups"),
    ],
)
def test_labels_of_no_use_are_refused(outputs, scores, groups, said):
    with pytest.raises(SettingsError, match=said):
        fit_own_score(outputs, scores, groups)


@pytest.mark.parametrize("name", ["centre", "scale", "hidden", "readout"])
def test_a_damaged_own_score_is_refused(name):
    outputs, given, _ = _labelled(40)
    weights = fit_own_score(outputs, given, _groups(40)).score.weights()
    weights[f"rating/{name}"] = weights[f"rating/{name}"][:-1]
    with pytest.raises(ModelError):
        OwnScore.from_model({"spread": 0.1, "labels": 40}, weights)
