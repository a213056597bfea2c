"""The plane in focus among those of a stack, with a model whose answers are known beforehand."""

import json
import weakref
from math import isnan, nan

import coded
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from microscope_quality.errors import ArgumentError, ImageError, SettingsError
from microscope_quality.focus import measure_focus
from microscope_quality.model import FocusModel
from microscope_quality.optics import Optics
from microscope_quality.simulate import nuclei
from microscope_quality.stacks import best_of, best_plane, measure_stack

OIL = Optics(na=1.4, refractive_index=1.515, wavelength_um=0.52, pixel_size_um=0.108)


@pytest.fixture(scope="module")
def model():
    return FocusModel(coded.description(), coded.weights())


def stack_of(model, levels):
    return [measure_focus(coded.plane([[level]]), model) for level in levels]


@pytest.mark.parametrize(
    ("levels", "best", "position"),
    [
        # In focus or not.
        ([7, 5, 2.9, 5, 7], 2, 2.0),
        ([6, 4, 2, 0, 2, 4, 6], 3, 3.0),
        ([3, 1.4, 0, 0, 1.4, 3], None, 2.5),
        # A plateau: its middle.
        ([9, 5, 0, 0, 0, 0, 0, 5, 9], 4, 4.0),
        ([0, 2, 4, 6], 0, 0.0),
        ([6, 4, 2, 0], 3, 3.0),
        # Nearer to the side where the level rises more slowly.
        ([6, 4, 2, 0, 1, 3, 5], 3, 3.2),
        ([0], 0, 0.0),
        ([None, None, 0, None], 2, 2.0),
        # No parabola: the middle of the sharpest planes.
        ([0, 0, 0, 0, 0], 2, 2.0),
        ([0, 0], None, 0.5),
        ([0, 1, 1], 0, 0.0),
    ],
)
def test_the_best_plane_of_a_stack(model, levels, best, position):
    result = best_plane(stack_of(model, levels))
    assert result.best_position == pytest.approx(position, abs=0.2)
    if best is not None:
        assert result.best_plane == best
    assert result.status == ("out_of_focus" if 2.9 in levels else "in_focus")
    assert result.expected_level == result.results[result.best_plane].expected_level
    assert len(result.results) == len(levels)
    assert result.representative is result.results[result.best_plane]


@settings(max_examples=20, deadline=None)
@given(focus=st.floats(0, 10), slope=st.floats(0.5, 2), flip=st.booleans())
def test_best_positions_follow_the_focus(model, focus, slope, flip):
    levels = np.clip(slope * np.abs(np.arange(11) - focus), 0, 10)
    planes = stack_of(model, levels[::-1] if flip else levels)
    result = best_plane(planes)
    expected = 10 - focus if flip else focus
    assert result.best_position == pytest.approx(expected, abs=0.5)
    assert abs(result.best_plane - expected) <= 1


def test_no_plane_with_content(model):
    result = best_plane(stack_of(model, [None, None]))
    assert result.best_plane is None
    assert result.best_position is None
    assert isnan(result.expected_level)
    assert result.status == "no_content"
    constant = measure_stack(np.zeros((3, 100, 100)), model)
    assert constant.status == "no_content"


def test_planes_without_content_are_never_best(model):
    """An empty plane's expected level, the mean of all, lies below a blurred plane's."""
    planes = stack_of(model, [9, 8, 8])
    planes.insert(1, measure_focus(coded.plane([[None]]), model))
    result = best_plane(planes)
    assert result.expected_level == pytest.approx(8, abs=0.05)


V = [8, 6.5, 5, 3.5, 2, 0.5, 2, 3.5, 5, 6.5, 8]
PEAK = [1, 1.5, 2, 4, 12, 30, 12, 4, 2, 1.5, 1]


@pytest.mark.parametrize(
    ("levels", "contrasts"),
    [
        (V, PEAK),
        # Rings or noise far from focus, read as sharp; in focus no level is low.
        ([0.5, 1, 2, 3, 3, 2.9, 3, 3, 2, 1, 0.5], PEAK),
        # A section is thin: all levels alike.
        ([0.3] * 11, PEAK),
        # Debris in focus at plane 9, a lamp that flickers at plane 8, bleaching.
        (V, [1, 1.5, 2, 4, 12, 30, 12, 4, 30, 60, 30]),
        (V, [1, 1.5, 2, 4, 12, 30, 12, 4, 80, 1.5, 1]),
        (V, [40, 38, 36, 35, 34, 33, 27, 24, 20, 18, 15]),
        # One plane that contradicts all others.
        ([8, 6.5, 5, 3.5, 2, 0.5, 2, 3.5, 5, 0, 8], PEAK),
        # No contrast beyond noise, and none known, as in tables of older versions.
        (V, [1] * 11),
        (V, [0] * 11),
        (V, [nan] * 11),
    ],
)
def test_levels_and_contrasts_decide_together(levels, contrasts):
    best, position, speaker = best_of(["out_of_focus"] * 11, levels, [0.5] * 11, contrasts)
    assert best == speaker == 5
    assert position == pytest.approx(5, abs=0.6)


def test_a_plane_without_content_is_best_where_its_contrast_says_so():
    """A bead in focus fills no three patches, its rings do; an empty plane has no contrast."""
    statuses = ["out_of_focus", "no_content", "no_content", "no_content", "out_of_focus"]
    levels, certainties = [1.5, nan, 4.0, 4.5, 1.4], [0.4, 0.0, 0.1, 0.1, 0.4]
    assert best_of(statuses, levels, certainties, [3, 9, 30, 9, 3])[0] == 2
    assert best_of(statuses, levels, certainties, [3, 0, 1, 0, 2])[0] == 0
    assert best_of(statuses, levels, certainties, [3, 0, nan, 0, 4])[0] == 4
    assert best_of(["no_content"] * 5, levels, certainties, [3, 9, 30, 9, 3])[:2] == (None, None)


@pytest.mark.parametrize("contrasts_known", [True, False])
@pytest.mark.parametrize("blur_per_plane", [0.4, 0.7, 1.5, 3])
@pytest.mark.parametrize("focus", [0, 0.25, 0.6, 0.8, 1, 1.3, 2, 3.7])
def test_ends_of_a_stack_draw_the_best_plane_neither_to_nor_from_them(
    focus, blur_per_plane, contrasts_known
):
    blur = np.abs(np.arange(7) - focus) * blur_per_plane
    levels = np.hypot(0.35, blur)
    contrasts = 400 / (1 + blur**2) if contrasts_known else np.full(7, nan)
    for way in (1, -1):
        best, position, _ = best_of(["x"] * 7, levels[::way], [0.6] * 7, contrasts[::way])
        at = focus if way == 1 else 6 - focus
        assert abs(best - at) <= 0.5 + 0.2
        assert position == pytest.approx(at, abs=0.3)


@pytest.mark.parametrize(
    ("levels", "contrasts", "best", "position"),
    [
        ([2.6, 1.8, 1.1, 0.418, 0.356], [160, 220, 300, 389, 420], 4, 4),
        ([6, 4.4, 2.9, 1.6, 0.399, 0.440], [15, 30, 60, 150, 397, 379], 4, 4.4),
    ],
)
def test_the_plane_that_both_witnesses_name_is_best_at_an_end(levels, contrasts, best, position):
    """The last plane in focus, and the focus between the last two."""
    last = len(levels) - 1
    for way, at, where in ((1, best, position), (-1, last - best, last - position)):
        found = best_of(["x"] * len(levels), levels[::way], [0.7] * len(levels), contrasts[::way])
        assert found[0] == at
        assert found[1] == pytest.approx(where, abs=0.25)


statuses_of_planes = st.sampled_from(["in_focus", "out_of_focus", "mixed", "no_content", "error"])
numbers = st.floats(0, 10) | st.just(nan)


@given(
    st.lists(
        st.tuples(statuses_of_planes, numbers, st.floats(0, 1), st.floats(0, 1e300) | numbers),
        min_size=1,
        max_size=12,
    )
)
def test_a_best_plane_is_named_whenever_a_plane_has_content(planes):
    statuses, levels, certainties, contrasts = zip(*planes)
    best, position, speaker = best_of(statuses, levels, certainties, contrasts)
    none = ("no_content", "error")
    content = [status not in none and level >= 0 for status, level in zip(statuses, levels)]
    assert (best is not None) == any(content)
    assert (position is not None) == any(content)
    assert 0 <= speaker < len(planes)
    if best is not None:
        assert best == speaker
        assert statuses[best] != "error"
        assert 0 <= position <= len(planes) - 1
        assert abs(best - position) <= 1
    turned = best_of(statuses[::-1], levels[::-1], certainties[::-1], contrasts[::-1])
    assert (turned[1] is None) == (position is None)


def test_stacks_are_taken_one_plane_at_a_time(model):
    def planes():
        previous = None
        for level in (4, 0, 4):
            assert previous is None or previous() is None
            plane = coded.plane([[level]])
            previous = weakref.ref(plane)
            yield plane
            del plane

    result = measure_stack(planes(), model)
    assert result.best_plane == 1
    array = np.stack([coded.plane([[level]]) for level in (4, 0, 4)])
    assert measure_stack(array, model).best_position == result.best_position


def test_stacks_take_a_mask_for_each_plane(model):
    planes = [coded.plane([[0, 9]]), coded.plane([[0, 9]])]
    left = np.zeros((84, 168), bool)
    left[:, :84] = True
    result = measure_stack(planes, model, masks=[left, ~left])
    assert [r.level for r in result.results] == [0, 9]
    assert measure_stack(planes, model, masks=[None, left]).results[1].level == 0
    for masks in ([left], [left] * 3):
        with pytest.raises(SettingsError, match="as many as planes"):
            measure_stack(planes, model, masks=masks)


def test_stacks_need_planes(model):
    with pytest.raises(ImageError, match="one plane at least"):
        measure_stack([], model)
    with pytest.raises(ImageError, match="three dimensions"):
        measure_stack(np.ones((100, 100)), model)
    with pytest.raises(ImageError, match="One plane is for measure_focus"):
        measure_stack(coded.plane([[3, 3], [3, 3]]), model)


@pytest.mark.parametrize(
    ("planes", "kind", "said"),
    [
        ("z.tif", ArgumentError, "planes must be arrays, not 'z.tif': .* measure_files"),
        (["z.tif"], ImageError, "'z.tif' names a file: .*measure_files"),
        (np.ones((2, 2, 9, 9)), ImageError, r"shape \(2, 2, 9, 9\)\. Measure its channels"),
        (5, ArgumentError, "planes must be a sequence of planes, not 5"),
    ],
)
def test_what_is_no_stack_is_told_the_way_out(model, planes, kind, said):
    with pytest.raises(kind, match=said):
        measure_stack(planes, model)


def test_stacks_of_arrays_that_are_not_numpys(model):
    xarray = pytest.importorskip("xarray")
    planes = np.stack([coded.plane([[3]]), coded.plane([[1]])])
    found = measure_stack(xarray.DataArray(planes, dims=("z", "y", "x")), model)
    assert found.to_dict(planes=True) == measure_stack(planes, model).to_dict(planes=True)
    with pytest.raises(ImageError, match="One plane is for measure_focus"):
        measure_stack(xarray.DataArray(planes[0], dims=("y", "x")), model)


@pytest.mark.parametrize("wrong", [coded.plane([[3]]), [coded.plane([[3]])], np.ones((2, 9, 9))])
def test_the_best_plane_is_that_of_results(wrong):
    with pytest.raises(ArgumentError, match="must be a FocusResult, not an array.*measure_stack"):
        best_plane(wrong)


def test_a_stack_prints_in_one_line_and_is_a_dict(model):
    stack = best_plane(stack_of(model, [3, 1, 6]))
    level = stack.expected_level
    assert repr(stack) == (
        f"<StackResult: best plane 1 of 3 planes, expected level {level:.2f}, in_focus>"
    )
    found = stack.to_dict(planes=True)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found.pop("results") == [result.to_dict() for result in stack.results]
    assert (
        found
        == stack.to_dict()
        == {
            "best_plane": 1,
            "best_position": stack.best_position,
            "expected_level": level,
            "status": "in_focus",
        }
    )
    empty = measure_stack([np.ones((84, 84))], model)
    assert repr(empty) == "<StackResult: 1 plane, none has content>"
    assert empty.to_dict()["expected_level"] is empty.to_dict()["best_plane"] is None


def test_stacks_turn_optics_and_limit_on(model):
    planes = [coded.plane([[2]]).repeat(2, axis=0).repeat(2, axis=1)]
    result = measure_stack(planes, model, optics=OIL, in_focus_limit=2)
    assert result.best_plane == 0
    assert result.results[0].defocus_um > 0
    assert [one.binning for one in result.results] == [2]
    off = measure_stack(planes, model, optics=OIL, rescale="off")
    assert [one.binning for one in off.results] == [1]


def test_of_planes_that_are_too_small_contrast_alone_tells(model):
    light = nuclei((150, 160), 12, 3)[40:, 30:]
    planes = [gaussian_filter(light, abs(z - 4) + 0.5) * 1e4 for z in range(9)]
    whole = measure_stack(planes, model)
    assert whole.status != "too_small"
    for small in ([plane[:64, :70] for plane in planes], [plane[:60] for plane in planes]):
        result = measure_stack(small, model)
        assert (result.best_plane, result.status) == (4, "too_small")
        assert isnan(result.expected_level)
        contrasts = [one.contrast for one in result.results]
        assert contrasts == sorted(contrasts[:5]) + sorted(contrasts[5:], reverse=True)
    binned = measure_stack([plane[:100, :100] for plane in planes], model, optics=OIL)
    assert (binned.best_plane, binned.status) == (4, "too_small")
    # Ten pixels have no contrast.
    none = measure_stack([plane[:10] for plane in planes], model)
    assert (none.best_plane, none.status) == (None, "too_small")


def test_a_frame_of_noise_is_not_the_best_plane():
    levels = [nan, 3.1, 2.7, 3.3, 3.9]
    statuses = ["no_content", *["out_of_focus"] * 4]
    contrasts = [2000.0, 50.0, 65.0, 45.0, 30.0]
    best, position, speaker = best_of(statuses, levels, [0, *[0.6] * 4], contrasts)
    assert (best, speaker) == (2, 2)
    assert position == pytest.approx(2, abs=0.7)


def test_of_planes_as_good_as_each_other_one_with_content_is_best():
    """As of a dim stack: no more of a plane without content counts than what is beside it."""
    levels, contrasts = [nan, nan, nan, 7.0, nan], [0.488, 0.502, 0.499, 0.493, 0.495]
    statuses = ["no_content", "no_content", "no_content", "mixed", "no_content"]
    assert best_of(statuses, levels, [0.1] * 5, contrasts)[::2] == (3, 3)
    assert best_of(statuses[::-1], levels[::-1], [0.1] * 5, contrasts[::-1])[::2] == (1, 1)
