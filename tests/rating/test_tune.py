"""Searches for the settings with the best score, on surfaces whose best place is known."""

import contextlib
import csv
import io
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from command_line import environment
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("optuna", reason="needs pip install 'microscope-quality[tune]'")
pytest.importorskip("sklearn", reason="needs pip install 'microscope-quality[tune]'")

from microscope_quality.errors import (
    ArgumentError,
    FileError,
    MicroscopeQualityError,
    SettingsError,
)
from microscope_quality.rating.tune import Choice, Range, read_tuning, tune
from microscope_quality.rating.tune_samplers import SAMPLERS, START_TRIALS, sampler_of
from microscope_quality.rating.tune_smoothing import smoothed
from microscope_quality.rating.tune_space import as_space, at_point, coordinates
from microscope_quality.rating.tune_trials import Trial

SPACE = {"light": Range(1, 1000, log=True), "focus": Range(-5, 5)}
PEAK = {"light": 30.0, "focus": 1.5}


def surface(settings):
    """From 0 to 1, with its best place at `PEAK`."""
    light = math.log(settings["light"] / PEAK["light"]) / math.log(1000)
    focus = (settings["focus"] - PEAK["focus"]) / 10
    return math.exp(-8 * (light**2 + 2 * focus**2))


def of(settings, value=None):
    """An image of which the score can be read."""
    return np.full((8, 9), surface(settings) if value is None else value)


def mean(image):
    return float(np.mean(image))


def search(acquire=of, score=mean, space=SPACE, **changes):
    return tune(acquire, score, space, **changes)


def noisy(scatter, seed):
    rng = np.random.default_rng(seed)
    return lambda image: mean(image) + float(rng.normal(0, scatter))


def tried(result):
    return [dict(trial.parameters) for trial in result.trials]


# What is found


@pytest.mark.parametrize("seed", range(3))
def test_it_recommends_what_is_nearly_the_best(seed):
    result = search(score=noisy(0.02, seed), seed=seed)
    assert len(result.trials) == 30
    assert result.ended == "images"
    assert surface(result.best.parameters) > 0.95
    assert result.best.score == pytest.approx(surface(result.best.parameters), abs=0.05)
    purposes = [trial.purpose for trial in result.trials]
    assert purposes == ["search"] * 27 + ["repeat"] * 3
    known = tried(result)[:27]
    assert all(one in known for one in tried(result)[27:])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_each_sampler_keeps_to_the_space_and_to_its_seed(sampler):
    space = {
        **SPACE,
        "frames": Range(1, 4, whole=True),
        "filter": Choice(("red", "green")),
    }
    runs = [search(space=space, sampler=sampler, seed=seed, images=18) for seed in (0, 0, 1)]
    assert tried(runs[0]) == tried(runs[1])
    assert tried(runs[0]) != tried(runs[2])
    for settings in tried(runs[0]):
        assert 1 <= settings["light"] <= 1000
        assert -5 <= settings["focus"] <= 5
        assert settings["frames"] in (1, 2, 3, 4)
        assert type(settings["frames"]) is int
        assert settings["filter"] in ("red", "green")


def test_the_sampler_comes_nearer_as_random_trials_do_not():
    gains = {}
    for sampler in ("tpe", "random"):
        found = [
            [surface(one) for one in tried(search(sampler=sampler, seed=seed, repeat_share=0))]
            for seed in range(2)
        ]
        gains[sampler] = np.mean(found, axis=0)[18:].mean() - np.mean(found, axis=0)[:9].mean()
    assert gains["tpe"] > 0.2
    assert gains["random"] < 0.15


def test_a_grid_is_as_fine_as_it_can_be_and_tried_once():
    result = search(sampler="grid", images=21, repeat_share=0)
    assert result.ended == "grid"
    assert len(result.trials) == 20
    lights = sorted({one["light"] for one in tried(result)})
    focuses = sorted({one["focus"] for one in tried(result)})
    assert {len(lights), len(focuses)} == {4, 5}
    assert len({tuple(one.values()) for one in tried(result)}) == 20
    np.testing.assert_allclose(np.diff(np.log(lights)), math.log(1000) / len(lights), rtol=1e-9)
    np.testing.assert_allclose(np.diff(focuses), 10 / len(focuses), rtol=1e-9)


def test_quasi_random_settings_are_spread_evenly():
    """Of 16 points of the sequence one lies in each sixteenth of each parameter."""
    result = search(sampler="quasi-random", images=16, repeat_share=0)
    points = coordinates(as_space(SPACE), tried(result))
    for axis in points.T:
        np.testing.assert_array_equal(np.sort((axis * 16).astype(int)), np.arange(16))


def test_settings_in_use_are_tried_first():
    start = [{"light": 7, "focus": 0}, {"light": 8, "focus": 1}]
    result = search(start=start, images=6)
    assert tried(result)[:2] == start
    assert [trial.purpose for trial in result.trials[:3]] == ["start", "start", "search"]


def test_the_luckiest_image_is_not_what_is_recommended():
    points = np.linspace(0, 1, 25)[:, None]
    clean = 0.8 - (points[:, 0] - 0.7) ** 2
    scores = clean + np.random.default_rng(0).normal(0, 0.01, 25)
    scores[2] = 0.9
    found = smoothed(points, scores, points)
    assert np.argmax(scores) == 2
    assert abs(points[np.argmax(found.mean), 0] - 0.7) < 0.15


def test_smoothing_takes_most_of_the_noise_away():
    rng = np.random.default_rng(1)
    points = rng.random((40, 2))
    clean = np.sin(3 * points[:, 0]) + points[:, 1]
    scores = clean + rng.normal(0, 0.2, 40)
    found = smoothed(points, scores, points)
    assert np.std(found.mean - clean) < 0.6 * 0.2
    assert found.noise == pytest.approx(0.2, rel=0.4)
    # The stated spread is the error's.
    assert 0.4 < np.sqrt(np.mean(((found.mean - clean) / found.spread) ** 2)) < 1.8


def test_a_spread_is_that_of_the_surface_without_the_noise_of_a_score():
    """Against the posterior by conditioning a joint normal distribution, with its own kernel."""
    rng = np.random.default_rng(2)
    points, at = rng.random((15, 1)), rng.random((7, 1))
    scores = 2 * points[:, 0] + rng.normal(0, 0.3, 15)
    found = smoothed(points, scores, at)
    again = smoothed(points, scores, np.vstack([points, at]))
    np.testing.assert_allclose(again.mean[15:], found.mean, rtol=1e-9)
    np.testing.assert_allclose(again.spread[15:], found.spread, rtol=1e-9)
    # Where there are many scores it is far below the noise of one, far from them it grows.
    crowded = smoothed(np.zeros((50, 1)) + rng.normal(0, 0.01, (50, 1)), rng.normal(0, 1, 50), at)
    assert (again.spread[:15] < found.noise).all()
    assert crowded.noise == pytest.approx(1, rel=0.3)
    far = smoothed(points / 10, scores, np.array([[0.05], [5.0]]))
    assert far.spread[1] > 2 * far.spread[0]


def test_scores_that_are_all_the_same_are_no_fault():
    result = search(score=lambda image: 0.5, images=8)
    assert (result.best.score, result.best.spread, result.noise) == (0.5, 0, 0)


# Several aims


def test_the_front_is_of_what_nothing_is_better_than():
    def acquire(settings):
        return of(settings), {"bleaching": settings["light"] / 1000}

    result = search(acquire, minimise=["bleaching"], images=25, seed=2)
    assert {trial.purpose for trial in result.trials} == {"search"}
    good = [(t.score, -t.measurements["bleaching"], t.number) for t in result.trials]
    front = [
        one[2]
        for one in good
        if not any(
            other[0] >= one[0] and other[1] >= one[1] and other[:2] != one[:2] for other in good
        )
    ]
    assert sorted(trial.number for trial in result.front) == sorted(front)
    assert 1 < len(front) < 25
    scores = [trial.score for trial in result.front]
    losses = [trial.measurements["bleaching"] for trial in result.front]
    assert scores == sorted(scores)
    assert losses == sorted(losses)


def test_time_is_measured_and_can_be_an_aim():
    result = search(minimise=["seconds"], images=9)
    assert all(0 <= trial.measurements["seconds"] < 60 for trial in result.trials)
    told = search(lambda settings: (of(settings), {"seconds": 7}), images=2)
    assert [trial.measurements["seconds"] for trial in told.trials] == [7, 7]


def test_an_aim_that_was_not_measured_fails_the_trial():
    result = search(minimise=["bleaching"], images=3)
    assert ["'bleaching'" in trial.error for trial in result.trials] == [True] * 3
    assert result.front == ()


# Budgets


def test_no_image_is_taken_once_the_dose_is_spent():
    result = search(lambda settings: (of(settings), {"dose": 3.0}), dose=20, images=100)
    assert result.ended == "dose"
    # The last tenth is kept for the best ones, of which none fits any more.
    assert result.dose == 18
    last = search(lambda settings: (of(settings), {"dose": 3.0}), dose=20, repeat_share=0)
    assert last.dose == 21
    fits = search(lambda settings: (of(settings), {"dose": 1.0}), dose=20, images=100)
    assert [trial.purpose for trial in fits.trials] == ["search"] * 18 + ["repeat"] * 2


def test_an_image_of_unknown_dose_counts_as_the_largest():
    doses = iter([1, 4, None, None, 1, 1])

    def acquire(settings):
        dose = next(doses)
        return of(settings) if dose is None else (of(settings), {"dose": dose})

    assert len(search(acquire, dose=13, repeat_share=0).trials) == 4


def test_failed_images_count_for_the_budget():
    def acquire(settings):
        raise OSError("no light")

    result = search(acquire, images=5)
    assert len(result.trials) == 5
    assert result.best is None
    assert result.estimates == ()
    assert {trial.error for trial in result.trials} == {"OSError: no light"}


# What goes wrong


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (None, "two axes"),
        ("text", "two axes"),
        (np.zeros(5), "two axes"),
        (np.zeros((0, 5)), "two axes"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.zeros((4, 4), complex), "two axes"),
        ((np.zeros((4, 4)), {"dose": "much"}), "must be a number"),
        ((np.zeros((4, 4)), {"dose": math.inf}), "finite"),
        (np.full((4, 4), 7), "The score must be finite"),
        (np.full((4, 4), 8), "KeyError: 'missing'"),
    ],
)
def test_what_gives_no_score_is_a_failed_trial_and_no_end(image, said):
    def score(image):
        if image[0, 0] == 8:
            raise KeyError("missing")
        return math.nan if image[0, 0] == 7 else mean(image)

    taken = 0

    def acquire(settings):
        nonlocal taken
        taken += 1
        return image if taken % 3 == 2 else of(settings)

    result = search(acquire, score, images=9)
    failed = [trial for trial in result.trials if trial.error]
    assert [trial.number for trial in failed] == [1, 4, 7]
    assert all(said in trial.error for trial in failed)
    assert all(math.isnan(trial.score) for trial in failed)
    assert sum(one.images for one in result.estimates) == 6


def test_optuna_is_told_what_failed():
    from optuna.trial import TrialState

    space = as_space(SPACE)
    sampler = sampler_of("tpe", space, 0, 30, ())
    for number in range(START_TRIALS + 4):
        settings = sampler.ask(number)
        failed = number % 3 == 1
        sampler.tell(
            Trial(
                number,
                "search",
                settings,
                math.nan if failed else surface(settings),
                error="it failed" if failed else "",
            )
        )
    states = [trial.state for trial in sampler._study.trials]
    assert states == [
        TrialState.FAIL if number % 3 == 1 else TrialState.COMPLETE
        for number in range(START_TRIALS + 4)
    ]


def test_an_acquisition_may_do_what_it_likes_with_its_settings():
    def acquire(settings):
        image = of(settings)
        settings.clear()
        return image

    result = search(acquire, images=4)
    assert all(set(one) == set(SPACE) for one in tried(result))


def interrupted_at(number):
    def acquire(settings):
        acquire.taken += 1
        if acquire.taken == number:
            raise KeyboardInterrupt
        return of(settings), {"dose": 1.5}

    acquire.taken = 0
    return acquire


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_ctrl_c_keeps_what_was_tried_and_the_next_one_goes_on(sampler, tmp_path):
    folder = tmp_path / "search"
    first = search(interrupted_at(11), sampler=sampler, out=folder, images=16, seed=3)
    assert first.ended == "interrupted"
    assert len(first.trials) == 10
    assert (folder / "tuning.html").exists()
    second = search(interrupted_at(0), sampler=sampler, out=folder, images=16, seed=3)
    whole = search(interrupted_at(0), sampler=sampler, images=16, seed=3)
    assert tried(second) == tried(whole)
    assert [one.score for one in second.trials] == [one.score for one in whole.trials]
    assert second.best == whole.best


def test_more_images_can_be_asked_for_later(tmp_path):
    first = search(out=tmp_path, images=6)
    again = search(out=tmp_path, images=6)
    assert tried(again) == tried(first)
    more = search(out=tmp_path, images=9)
    assert tried(more)[:6] == tried(first)
    assert len(more.trials) == 9


KILLED = """
import os, signal, sys
import numpy as np
from microscope_quality.rating.tune import Range, tune

left = int(sys.argv[2])

def acquire(settings):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.full((8, 9), -abs(settings["focus"] - 1.0))

tune(acquire, lambda image: float(image.mean()), {"focus": Range(-5, 5)}, images=12,
     out=sys.argv[1])
"""


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_killed_search_loses_nothing_that_was_tried(tmp_path):
    folder = tmp_path / "search"
    counts = []
    for images in (3, 5, 100):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", KILLED, str(folder), str(images)],
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == (-signal.SIGKILL if images < 100 else 0), done.stderr
        counts.append(len(read_tuning(folder).trials))
    assert counts == [3, 8, 12]
    whole = tune(
        lambda settings: np.full((8, 9), -abs(settings["focus"] - 1.0)),
        mean,
        {"focus": Range(-5, 5)},
        images=12,
    )
    assert tried(read_tuning(folder)) == tried(whole)


# What is kept


def test_a_folder_tells_all_of_the_trials(tmp_path):
    space = {
        "light": Range(1, 9),
        "frames": Range(1, 300, whole=True),
        "filter": Choice(("=1+1", 'a "b", c', 2)),
        "on": Choice((True, False)),
    }

    def acquire(settings):
        if settings["frames"] > 200:
            raise RuntimeError('lamp,\n"off"')
        return np.full((40, 50), settings["light"]), {"bleaching": 1 / 3, "dose": 0.1}

    result = search(acquire, space=space, minimise=["bleaching"], images=12, out=tmp_path)
    found = read_tuning(tmp_path)
    assert found.space == space
    assert found.minimise == ("bleaching",)
    # A NaN is not equal to itself.
    for name in ("trials", "front"):
        np.testing.assert_equal(*([vars(t) for t in getattr(one, name)] for one in (found, result)))
    assert found.best == result.best
    assert {bool(trial.error) for trial in found.trials} == {True, False}
    assert [type(v) for t in found.trials for v in t.parameters.values()] == [
        type(v) for t in result.trials for v in t.parameters.values()
    ]
    with (tmp_path / "trials.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["filter"] for row in rows] == [str(one["filter"]) for one in tried(result)]
    assert [float(row["score"]) for row in rows if row["score"]] == [
        trial.score for trial in result.trials if not trial.error
    ]


def test_pictures_are_kept_small(tmp_path):
    shapes = iter([(300, 600), (5, 200, 100), (90, 120, 3), (16, 16)])
    result = search(lambda settings: np.random.default_rng(0).random(next(shapes)), images=4)
    sizes = []
    for trial in result.trials:
        with Image.open(io.BytesIO(trial.picture)) as picture:
            assert picture.format == "WEBP"
            sizes.append(picture.size)
    assert sizes == [(240, 120), (100, 200), (120, 90), (16, 16)]


def test_a_row_that_was_never_finished_is_left_out_and_taken_again(tmp_path):
    whole = search(out=tmp_path, images=6)
    path = tmp_path / "trials.csv"
    path.write_bytes(path.read_bytes()[:-9])
    assert tried(read_tuning(tmp_path)) == tried(whole)[:5]
    assert tried(search(out=tmp_path, images=6)) == tried(whole)


@pytest.mark.parametrize(
    ("old", "new"), [(b"\r\n1,search", b"\r\nx,search"), (b"\r\n2,", b"\r\n"), (b"trial,", b"try,")]
)
def test_a_damaged_row_is_named(tmp_path, old, new):
    search(out=tmp_path, images=4)
    path = tmp_path / "trials.csv"
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(FileError, match=r"trials\.csv"):
        read_tuning(tmp_path)


def test_a_folder_is_of_one_search(tmp_path):
    search(out=tmp_path, images=2)
    with pytest.raises(SettingsError, match="another space"):
        search(space={"light": Range(1, 9)}, out=tmp_path, images=2)
    with pytest.raises(SettingsError, match="another space"):
        search(minimise=["seconds"], out=tmp_path, images=2)

    def acquire(settings):
        with pytest.raises(FileError, match="another search is writing"):
            search(out=tmp_path, images=9)
        return of(settings)

    assert not search(acquire, out=tmp_path, images=4).trials[-1].error
    (tmp_path / "search.json").write_text("{}", encoding="utf-8")
    with pytest.raises(FileError, match="damaged"):
        read_tuning(tmp_path)


def test_each_trial_is_told():
    told = []
    result = search(progress=told.append, images=5)
    assert told == list(result.trials)


def test_the_rating_model_scores_unless_another_is_named():
    from microscope_quality.rater import rate_image
    from microscope_quality.simulate import filaments

    plane = (2000 * filaments((256, 256), 60, 0)).astype(np.uint16)

    def acquire(settings):
        return plane + np.random.default_rng(0).poisson(settings["noise"], plane.shape)

    for score in (None, "em"):
        result = tune(acquire, score, {"noise": Range(1, 900, log=True)}, images=2)
        for trial in result.trials:
            assert trial.score == rate_image(acquire(trial.parameters)).score


# Arguments


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"acquire": 3}, "acquire must be a function"),
        ({"score": 3}, "model must be"),
        ({"space": {}}, "space must have a parameter"),
        ({"space": [1]}, "space must be a mapping"),
        ({"space": {"light": (1, 2)}}, "Range or Choice for light"),
        ({"space": {"score": Range(1, 2)}}, "own word"),
        ({"space": {"": Range(1, 2)}}, "printable"),
        ({"space": {"a\nb": Range(1, 2)}}, "printable"),
        ({"images": 0}, "images must be"),
        ({"images": "ten"}, "images must be"),
        ({"dose": 0}, "dose must be positive"),
        ({"minimise": "seconds"}, "minimise must be a sequence"),
        ({"minimise": ["seconds", "seconds"]}, "different names"),
        ({"minimise": ["score"]}, "names of measurements"),
        ({"sampler": "best"}, "sampler must be one of tpe, random, grid, quasi-random"),
        ({"start": [{"light": 3}]}, "start must set light, focus"),
        ({"start": [{"light": 3, "focus": 9}]}, "focus in start must be from -5 to 5"),
        ({"repeat_share": 0.9}, "repeat_share must be"),
        ({"seed": -1}, "seed must be"),
        ({"out": ""}, "out must name"),
        ({"progress": 1}, "progress must be"),
    ],
)
def test_what_cannot_be_is_refused_before_an_image_is_taken(changes, said):
    def acquire(settings):
        raise AssertionError("no image is to be taken")

    with pytest.raises(MicroscopeQualityError, match=said):
        search(**{"acquire": acquire, **changes})


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Range(2, 1), SettingsError),
        (lambda: Range(1, 1), SettingsError),
        (lambda: Range(0, 1, log=True), SettingsError),
        (lambda: Range(0.5, 3, whole=True), SettingsError),
        (lambda: Range("a", 3), ArgumentError),
        (lambda: Range(1, math.inf), SettingsError),
        (lambda: Range(1, 2, unit=3), ArgumentError),
        (lambda: Choice((1,)), SettingsError),
        (lambda: Choice((1, "1")), SettingsError),
        (lambda: Choice("ab"), ArgumentError),
        (lambda: Choice((1, None)), ArgumentError),
    ],
)
def test_what_is_no_range_is_refused(make, error):
    with pytest.raises(error):
        make()


numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.tuples(numbers, numbers).filter(lambda ends: ends[0] + 1e-3 < ends[1]), st.floats(0, 1))
def test_a_place_of_a_range_comes_back(ends, place):
    one = Range(*ends)
    value = one.at(place)
    assert one.low <= value <= one.high
    assert one.place(value)[0] == pytest.approx(place, abs=1e-6)


@given(st.floats(1e-6, 1e3), st.floats(1.01, 1e6), st.floats(0, 1))
def test_a_place_of_a_range_of_factors_comes_back(low, factor, place):
    one = Range(low, low * factor, log=True)
    assert one.place(one.at(place))[0] == pytest.approx(place, abs=1e-6)


@given(st.integers(-20, 20), st.integers(1, 12))
def test_whole_numbers_have_equal_shares(low, span):
    one = Range(low, low + span, whole=True)
    steps = 200 * (span + 1)
    found = [one.at((k + 0.5) / steps) for k in range(steps)]
    assert [found.count(value) for value in range(low, low + span + 1)] == [200] * (span + 1)


def test_values_of_a_choice_are_equally_far_from_each_other():
    space = as_space({"filter": Choice(("a", "b", "c"))})
    points = coordinates(space, [{"filter": one} for one in "abc"])
    for k in range(3):
        for other in range(k):
            assert np.linalg.norm(points[k] - points[other]) == pytest.approx(1)
    found = [at_point(space, np.array([place]))["filter"] for place in (0, 0.32, 0.34, 0.67, 1)]
    assert found == ["a", "a", "b", "c", "c"]


def test_without_optuna_the_other_samplers_go_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"microscope-quality\[tune\]"):
        search(images=2)
    for sampler in SAMPLERS[1:]:
        with contextlib.suppress(KeyboardInterrupt):
            assert len(search(sampler=sampler, images=2).trials) == 2
