"""The kernels of many objectives, labelled by the light that they spread."""

from dataclasses import replace

import numpy as np
import pytest

from microscope_quality.light import kernel_blur_diameter_px
from microscope_quality.optics import BLUR_PX_PER_LEVEL, TRAINING_OPTICS, WIDEST_FOCUS_LEVELS
from microscope_quality.training.defocus.views import (
    SAMPLINGS,
    View,
    draw_view,
)


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(4)
    return [draw_view(rng) for _ in range(40)]


def side_of(view, level):
    return view.aberrations.side * level


def test_are_of_many_objectives(views):
    optics = [view.microscope.optics for view in views]
    assert len({(o.na, o.refractive_index) for o in optics}) > 10
    samplings = [o.pixel_size_um * o.na / o.wavelength_um for o in optics]
    assert SAMPLINGS[0] <= min(samplings) < 0.5
    assert 0.9 < max(samplings) <= SAMPLINGS[2]
    assert any(view.confocal for view in views)
    assert any(view.depth_um > 0 for view in views)
    assert any(view.aberrations.coma_waves > 0 for view in views)
    assert {view.aberrations.side for view in views} == {1, -1}


@pytest.mark.long
@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("level", [3, 8])
def test_a_label_is_the_light_that_defocus_spreads(views, number, level):
    view = views[number]
    kernel, in_focus = view.kernel(side_of(view, level)), replace(view, offset=0.0).kernel(0)
    assert kernel.sum() == pytest.approx(1)
    spread, own = (kernel_blur_diameter_px(k) / BLUR_PX_PER_LEVEL for k in (kernel, in_focus))
    # What lies outside of a kernel is up to a hundredth of the light.
    expected = np.sqrt(spread**2 - min(own, WIDEST_FOCUS_LEVELS) ** 2)
    assert view.label(side_of(view, level)) == pytest.approx(expected, rel=0.05)


@pytest.mark.long
def test_a_view_in_focus_has_level_0_unless_its_pixels_are_finer(views):
    widest = WIDEST_FOCUS_LEVELS
    assert TRAINING_OPTICS.level(0) < widest
    for view in views[:12]:
        if view.offset <= 0:
            finer = max(view.spread(0), widest)
            assert view.label(0) == pytest.approx(np.sqrt(finer**2 - widest**2), abs=1e-6)
            assert view.label(0) < 1.2


@pytest.mark.long
def test_a_label_rises_with_the_level(views):
    for view in views[:6]:
        labels = [view.label(side_of(view, level)) for level in (0, 2, 5, 9)]
        assert np.all(np.diff(labels) > 0)


@pytest.mark.long
def test_a_label_is_near_the_level(views):
    for view in views[:10]:
        if not view.confocal:
            assert view.label(side_of(view, 8)) == pytest.approx(8 + view.offset, abs=2.5)


def test_one_microscope_is_labelled_by_its_levels():
    view = View(draw_view(np.random.default_rng(0)).microscope)
    assert [view.label(level) for level in (0, 3, -7)] == [0, 3, 7]
