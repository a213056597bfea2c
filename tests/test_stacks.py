"""The plane in focus among those of a stack, with a model whose answers are known beforehand."""

import weakref
from math import isnan

import coded
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.focus import measure_focus
from microscope_quality.model import FocusModel
from microscope_quality.optics import Optics
from microscope_quality.stacks import best_plane, measure_stack

OIL = Optics(na=1.4, refractive_index=1.515, wavelength_um=0.52, pixel_size_um=0.108)


@pytest.fixture(scope="module")
def model():
    return FocusModel(coded.description(), coded.weights())


def stack_of(model, levels):
    return [measure_focus(coded.plane([[level]]), model) for level in levels]


@pytest.mark.parametrize(
    ("levels", "best", "position"),
    [
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
        # No parabola: the middle of the lowest planes.
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
    assert result.status == "in_focus"
    assert result.expected_level == result.results[result.best_plane].expected_level
    assert len(result.results) == len(levels)
    assert result.representative is result.results[result.best_plane]


@settings(max_examples=20, deadline=None)
@given(focus=st.floats(2, 8), slope=st.floats(0.5, 2), flip=st.booleans())
def test_best_positions_follow_the_focus(model, focus, slope, flip):
    levels = np.clip(slope * np.abs(np.arange(11) - focus), 0, 10)
    planes = stack_of(model, levels[::-1] if flip else levels)
    result = best_plane(planes)
    expected = 10 - focus if flip else focus
    assert result.best_position == pytest.approx(expected, abs=0.5)
    assert abs(result.best_plane - expected) <= 1


def test_no_plane_in_focus(model):
    result = best_plane(stack_of(model, [6, 4, 3, 5]))
    assert result.best_plane is None
    assert result.best_position is None
    assert result.status == "out_of_focus"
    assert result.expected_level == pytest.approx(3, abs=0.05)
    assert result.representative is result.results[2]
    assert best_plane(stack_of(model, [6, 4, 3, 5]), in_focus_limit=3).best_plane == 2


def test_no_plane_with_content(model):
    result = best_plane(stack_of(model, [None, None]))
    assert result.best_plane is None
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


def test_stacks_turn_optics_and_limit_on(model):
    planes = [coded.plane([[2]])]
    result = measure_stack(planes, model, optics=OIL, in_focus_limit=2)
    assert result.best_plane == 0
    assert result.results[0].defocus_um > 0
