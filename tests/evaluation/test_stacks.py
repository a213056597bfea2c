"""Figures of z-stacks, of planes whose levels are made up."""

from dataclasses import replace

import numpy as np
import pytest

from microscope_quality import FocusModel, Optics, measure_focus
from microscope_quality.evaluation.stacks import stack_figures
from microscope_quality.simulate import nuclei

DRY = Optics(na=0.5, refractive_index=1.0, wavelength_um=0.5, pixel_size_um=0.65)


@pytest.fixture(scope="module")
def any_result():
    return measure_focus(nuclei((100, 100), 8, 0), FocusModel.from_pretrained())


def planes(any_result, expected):
    return [
        replace(
            any_result,
            level=np.floor(e + 0.5),
            expected_level=e,
            status="no_content" if np.isnan(e) else "in_focus" if e <= 1.4 else "out_of_focus",
        )
        for e in expected
    ]


def test_levels_as_geometry_has_them(any_result):
    z = np.arange(8, 17)
    # 2·z·tan(asin 0.5) / 0.65 px of blur, 3.08 px a level.
    level = np.abs(z - 12) * 2.0 * 2 * np.tan(np.arcsin(0.5)) / 0.65 / 3.08
    given = planes(any_result, np.minimum(level, 10))
    found = stack_figures("s", "m", z, given, focus=12, step_um=2, optics=DRY)
    np.testing.assert_allclose(found.geometric_level, level)
    assert found.slope == pytest.approx(1)
    assert found.within_one == 1
    assert found.best_z == 12
    assert found.best_plane_error == 0
    assert (found.spearman_below, found.spearman_above) == pytest.approx((1, 1))
    assert found.spearman > 0.99


def test_a_model_that_sees_half_the_blur(any_result):
    z = np.arange(-12, 13)
    geometric = DRY.level(np.abs(z) * 2.0)
    given = planes(any_result, geometric / 2)
    found = stack_figures("s", "m", z, given, focus=0, step_um=2, optics=DRY)
    inside = geometric <= 10
    assert found.slope == pytest.approx(0.5)
    assert not inside.all()
    # 0, 1.2, 2.3 and 3.5 (nearest to 3) are seen as 0, 1, 1 and 2; 4.6 (to 5) as 2.
    assert found.within_one == pytest.approx(7 / 25)


def test_without_a_known_focus_it_is_where_the_model_has_it(any_result):
    given = planes(any_result, [6, 4, 2, 0, 2, 4, 6.0])
    found = stack_figures("s", "m", range(10, 17), given)
    assert found.focus == pytest.approx(13)
    assert not found.focus_known
    assert np.isnan(found.best_plane_error)
    assert found.spearman == pytest.approx(1)
    assert np.isnan(found.geometric_level).all()
    assert np.isnan(found.slope)
    assert np.isnan(found.within_one)


def test_the_sides_are_judged_apart(any_result):
    given = planes(any_result, [3, 2, 1, 0, 3, 2, 1.0])
    found = stack_figures("s", "m", range(7), given, focus=3)
    assert found.spearman_below == pytest.approx(1)
    # 0, 3, 2, 1 at distances 0 to 3: 1 - 6·(0 + 4 + 0 + 4) / (4·15).
    assert found.spearman_above == pytest.approx(1 - 6 * 8 / 60)


def test_the_best_plane_counts_from_the_focus(any_result):
    given = planes(any_result, [4, 3, 1, 0, 2, 4.0])
    found = stack_figures("s", "m", [0, 2, 4, 6, 8, 10], given, focus=4)
    assert found.best_z == 6
    assert found.best_plane_error == 2


def test_planes_without_a_level(any_result):
    given = planes(any_result, [np.nan, 2, 0, 2, np.nan])
    found = stack_figures("s", "m", range(5), given, focus=2, step_um=2, optics=DRY)
    assert found.best_z == 2
    assert found.spearman == pytest.approx(1)
    assert found.within_one == pytest.approx(3 / 5)
    empty = stack_figures("s", "m", range(3), planes(any_result, [np.nan] * 3))
    assert np.isnan(empty.best_z)
    assert np.isnan(empty.focus)
    assert np.isnan(empty.spearman)


def test_out_of_focus_throughout_the_lowest_is_best(any_result):
    found = stack_figures("s", "m", range(4), planes(any_result, [8, 5, 7, 9.0]), focus=0)
    assert found.best_z == 1
    assert found.best_plane_error == 1
