"""Rating an image: against patches that state their score, and against drawn faults."""

import math

import coded_rating
import numpy as np
import pytest
from micrographs import micrograph
from scipy.ndimage import gaussian_filter

from microscope_quality.components import LOWEST_GOOD_SCORE
from microscope_quality.concordance import LOWEST_SCORE
from microscope_quality.errors import ArgumentError, ImageError, ModelError, SettingsError
from microscope_quality.rater import MOST_LOOKS, RatingModel, rate_image

SCORES = [[0.3, 0.9], [0.5, 1.0]]
SIDE = coded_rating.PATCH
# What a coded patch may be off: it has whole numbers of bright pixels.
ROUNDING = 0.005


@pytest.fixture(scope="module")
def model():
    return RatingModel(coded_rating.description(), coded_rating.weights())


def small_model(**of_task):
    """A rater of patches of 128 pixels, without spreads unless they are given."""
    of_task = {"spread_factors": [1e-6] * 7, "shared_errors": [0.3] * 7, **of_task}
    changed = coded_rating.description(patch_size=128, details=of_task)
    return RatingModel(changed, coded_rating.weights())


# All patches of an image.


def test_the_score_is_the_mean_of_those_that_patches_state(model):
    result = rate_image(coded_rating.plane(SCORES), model, score_limit=0.5)
    assert result.score_map() == pytest.approx(np.array(SCORES), abs=ROUNDING)
    assert result.score == pytest.approx(0.675, abs=ROUNDING)
    assert (result.status, result.cause, result.action) == ("good", "", "")
    assert (result.height, result.width, result.patch_size_px) == (2 * SIDE, 2 * SIDE, SIDE)
    # The coded rater's blur falls with the score: 3 octaves at 0.1 and none at 1.
    octaves = coded_rating.WORST_BLUR * (1 - (np.mean(SCORES) - 0.1) / 0.9)
    assert result.components.blur_px == pytest.approx(0.7 * 2**octaves, rel=0.02)
    assert result.components.noise == pytest.approx(coded_rating.NOISE_STATED, rel=1e-4)


def test_the_interval_follows_from_the_spreads(model):
    n, shared = 4, 0.3
    spread = 0.9 * coded_rating.SPREAD
    half = 1.96 * spread * math.sqrt(shared + (1 - shared) / n)
    result = rate_image(coded_rating.plane(SCORES), model)
    assert result.score - result.score_low == pytest.approx(half, rel=1e-4)
    assert result.score_high - result.score == pytest.approx(half, rel=1e-4)


def test_an_interval_ends_where_scores_do(model):
    best, worst = (rate_image(coded_rating.plane([[score]]), model) for score in (1.0, 0.1))
    assert best.score_high == 1
    assert worst.score_low == LOWEST_SCORE


def test_the_limit_decides_about_status_and_cause_alone(model):
    plane = coded_rating.plane(SCORES)
    good, poor = (rate_image(plane, model, score_limit=limit) for limit in (0.6, 0.7))
    assert (good.status, poor.status) == ("good", "poor")
    assert (poor.cause, poor.action) == ("blur", "refocus")
    assert (good.score, good.score_low, good.components) == (
        poor.score,
        poor.score_low,
        poor.components,
    )
    usual = "good" if good.score >= LOWEST_GOOD_SCORE else "poor"
    assert rate_image(plane, model).status == usual


def test_blank_patches_do_not_count(model):
    result = rate_image(coded_rating.plane([[0.4, None], [None, 0.8]]), model)
    assert result.score == pytest.approx(0.6, abs=ROUNDING)
    assert result.blank_fraction == 0.5
    assert np.isnan(result.score_map()).tolist() == [[False, True], [True, False]]
    assert result.to_row()["patches"] == 2


@pytest.mark.parametrize("plane", [coded_rating.plane([[None] * 2]), np.full((300, 300), 7)])
def test_an_image_of_blank_patches_has_no_content(plane, model):
    result = rate_image(plane, model)
    assert result.status == "no_content"
    assert math.isnan(result.score)
    assert math.isnan(result.components.blur_px)
    assert (result.cause, result.action) == ("", "")
    assert repr(result) == "<RatingResult: no_content>"


def test_a_smaller_image_has_smaller_patches_and_one_too_small_says_so(model):
    plane = coded_rating.plane([[0.5]])
    assert rate_image(plane[:200, :250], model).patch_size_px == 192
    small = rate_image(plane[:127], model)
    assert small.status == "too_small"
    assert small.message == "The image has 127 x 256 pixels; patches have 128 x 128 at least."
    assert small.patch_scores.shape == (0,)
    assert math.isnan(small.score)


def test_patches_at_the_borders_are_whole(model):
    plane = coded_rating.plane(SCORES)[: 2 * SIDE - 40, : 2 * SIDE - 20]
    ends = rate_image(plane, model).patch_positions.max(axis=0) + SIDE
    assert tuple(ends) == plane.shape


def test_what_is_not_finite_costs_its_patch_alone(model):
    plane = coded_rating.plane(SCORES).astype(np.float32)
    plane[3, 4] = np.nan
    plane[-1, -1] = np.inf
    scores = rate_image(plane, model).score_map()
    assert np.isnan(scores).tolist() == [[True, False], [False, True]]
    assert scores[0, 1] == pytest.approx(0.9, abs=ROUNDING)


def test_three_equal_channels_are_one_image_and_others_are_refused(model):
    plane = coded_rating.plane(SCORES)
    colours = np.stack([plane] * 3, axis=-1)
    assert rate_image(colours, model).score == rate_image(plane, model).score
    colours[0, 0, 1] += 1
    with pytest.raises(ImageError, match="The three colour channels differ"):
        rate_image(colours, model)


def test_a_plane_in_a_file_gives_the_same_numbers(tmp_path, model):
    plane = coded_rating.plane([[0.3, 0.9, None], [0.5, 1.0, 0.7]])[:-30, :-50]
    plane.tofile(tmp_path / "plane")
    stored = np.memmap(tmp_path / "plane", plane.dtype, "r", shape=plane.shape)
    for arguments in ({}, {"patches": 1, "seed": 3}):
        ours, theirs = (rate_image(one, model, **arguments) for one in (plane, stored))
        assert ours.to_row() == theirs.to_row()
        assert np.array_equal(ours.patch_positions, theirs.patch_positions)


# A sample of places.


def graded_plane(sigma_px):
    """A field whose coded score falls from left to right, and how: also between patches."""
    side = 1536
    rng = np.random.default_rng(5)
    field = gaussian_filter(rng.normal(size=(side, side)), sigma_px)
    field = (field - field.mean()) / field.std()
    # A threshold that rises: fewer bright pixels are a higher score.
    threshold = np.linspace(0.3, 1.3, side)[np.newaxis, ::-1]
    values = np.where(field > threshold, 20_000, 10_000) + rng.integers(0, 16, field.shape)
    return values.astype(np.uint16)


@pytest.fixture(scope="module")
def graded():
    return graded_plane(5)


def test_the_same_seed_draws_the_same_places_and_another_one_others(graded):
    first, again, other = (
        rate_image(graded, small_model(), patches=9, seed=seed) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.patch_positions, again.patch_positions)
    assert first.to_row() == again.to_row()
    assert not np.array_equal(first.patch_positions, other.patch_positions)


def test_patches_are_spread_over_the_image_one_in_each_part(graded):
    result = rate_image(graded, small_model(), patches=6)
    assert (result.places, len(result.patch_scores)) == (6, 36)
    # Of six by six parts of where a corner may lie.
    part = np.minimum(result.patch_positions // ((1536 - 128 + 1) / 6), 5).astype(int)
    assert sorted(map(tuple, part.tolist())) == [(y, x) for y in range(6) for x in range(6)]


def test_a_sample_is_right_on_average_and_its_interval_holds_the_whole_image(graded):
    model = small_model()
    whole = rate_image(graded, model)
    assert np.ptp(whole.score_map().mean(axis=0)) > 0.3
    samples = [rate_image(graded, model, patches=9, seed=seed) for seed in range(40)]
    scores = np.array([one.score for one in samples])
    assert abs(scores.mean() - whole.score) < 3 * scores.std() / math.sqrt(len(scores)) + 0.003
    held = [one.score_low <= whole.score <= one.score_high for one in samples]
    # 38 are expected; fewer than 34 come in one of 40 runs even of an interval of 92 %.
    assert sum(held) >= 34
    # Nor are they far wider than they need to be, four deviations: what rises evens out.
    widths = np.array([one.score_high - one.score_low for one in samples])
    assert np.median(widths) < 12 * scores.std()


def test_what_rises_over_the_image_evens_out_between_neighbours():
    """Each two patches mirror each other within their parts, so that a slope costs nothing."""
    plane = graded_plane(0)
    model = small_model()
    whole = rate_image(plane, model).score
    sampled = [rate_image(plane, model, patches=1, seed=seed).score for seed in range(20)]
    # Six patches that were drawn each by itself would be off by 0.024.
    assert np.sqrt(np.mean((np.array(sampled) - whole) ** 2)) < 0.012


def test_more_places_than_there_are_is_the_whole_image(model):
    plane = coded_rating.plane(SCORES)
    result = rate_image(plane, model, patches=10)
    assert result.places is None
    assert result.to_row() == rate_image(plane, model).to_row()


def test_where_a_place_is_blank_others_are_looked_at(model):
    scores = [[None] * 8 for _ in range(8)]
    # In a corner of each quarter.
    for y, x in ((0, 0), (0, 4), (4, 0), (4, 4)):
        scores[y][x] = 0.6
    result = rate_image(coded_rating.plane(scores), model, patches=4, seed=2)
    assert 4 * 6 < len(result.patch_scores) <= 4 * 6 * MOST_LOOKS
    # It begins in one, or reaches into the next.
    within = result.patch_positions % (4 * SIDE)
    on_content = ((within < SIDE) | (within > 3 * SIDE)).all(axis=1)
    assert not (~np.isnan(result.patch_scores) & ~on_content).any()


def test_a_sample_has_no_map(graded):
    result = rate_image(graded, small_model(), patches=4)
    with pytest.raises(ImageError, match="A sample of places has no map; rate all patches"):
        result.score_map()


# What is refused.


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"patches": 0}, SettingsError, "patches must be a whole number from 1"),
        ({"patches": 1.5}, ArgumentError, "patches must be a whole number"),
        ({"seed": -1}, SettingsError, "seed must be a whole number"),
        ({"score_limit": 0.05}, SettingsError, "score_limit must be from 0.1 to 1, not 0.05"),
        ({"score_limit": "good"}, ArgumentError, "score_limit must be a number, not 'good'"),
        ({"model": 5}, ArgumentError, "model must be a RatingModel.*not 5"),
        ({"model": "compact"}, ModelError, "'compact' is a model of the task 'focus', not of rat"),
    ],
)
def test_misuse_is_a_sentence(arguments, kind, said, model):
    with pytest.raises(kind, match=said):
        rate_image(coded_rating.plane([[0.5]]), **{"model": model, **arguments})


def test_patches_of_a_side_that_no_image_has_are_refused(model):
    with pytest.raises(ImageError, match="P from 128 to 256, a multiple of 32, not .*100, 100"):
        model.rate(np.zeros((1, 100, 100)))


# The rater that comes with the library.


@pytest.fixture(scope="module")
def sharp():
    return rate_image(micrograph((600, 600)))


@pytest.mark.parametrize(
    "changed",
    [
        lambda plane: plane.astype(np.uint16) * 200 + 5000,
        lambda plane: plane.astype(np.float32) / 255,
        lambda plane: plane.astype(np.int32) - 10**6,
    ],
    ids=["16 bit", "0 to 1", "signed"],
)
def test_gain_and_offset_and_the_type_change_no_number(changed, sharp):
    plane = micrograph((600, 600))
    result = rate_image(changed(plane))
    assert result.score == pytest.approx(sharp.score, abs=1e-3)
    assert result.components.blur_px == pytest.approx(sharp.components.blur_px, rel=1e-2)


def test_blur_and_noise_each_lower_the_score_and_raise_their_own_number(sharp):
    blurred = rate_image(micrograph((600, 600), blur=(3, 3)))
    noisy = rate_image(micrograph((600, 600), noise=1.5))
    assert max(blurred.score, noisy.score) < sharp.score - 0.1
    assert blurred.components.blur_px > 2 * sharp.components.blur_px
    assert noisy.components.noise > 2 * sharp.components.noise
    assert noisy.components.blur_px < 0.5 * blurred.components.blur_px


@pytest.mark.parametrize(("blur", "angle"), [((0.5, 4), 0), ((4, 0.5), 90)])
def test_a_blur_in_one_direction_is_astigmatic_along_it(blur, angle):
    result = rate_image(micrograph((600, 600), blur=blur), score_limit=1)
    assert result.components.elongation > 1.5
    assert abs((result.components.angle_deg - angle + 90) % 180 - 90) < 15
    assert (result.cause, result.action) == ("astigmatism", "restigmate")
