"""Figures of z-stacks, of planes whose levels are made up."""

from dataclasses import replace

import numpy as np
import pytest

from microscope_quality import FocusModel, Optics, measure_focus
from microscope_quality.evaluation.stacks import (
    KnownFocus,
    depth_of_field_um,
    measures_of,
    places_of,
    stack_figures,
)
from microscope_quality.optics import BLUR_PX_PER_LEVEL
from microscope_quality.simulate import nuclei

at = KnownFocus.at
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


def test_levels_as_the_light_has_them(any_result):
    z = np.arange(8, 17)
    level = DRY.added_blur_px(np.abs(z - 12) * 2.0) / BLUR_PX_PER_LEVEL
    # Half of the light is within the ray from 1/√2 of the pupil, but for diffraction.
    rays = np.abs(z - 12) * 2.0 * 2 * np.sqrt(2) * np.tan(np.arcsin(0.5 / np.sqrt(2))) / 0.65 / 3.08
    np.testing.assert_allclose(level, rays, atol=0.4)
    given = planes(any_result, np.minimum(level, 10))
    found = stack_figures("s", "m", z, given, focus=at(12), z_um=2.0 * z, optics=DRY)
    np.testing.assert_allclose(found.geometric_level, level)
    assert found.slope == pytest.approx(1)
    assert found.within_one == 1
    assert found.best_z == 12
    assert found.best_plane_error == 0
    assert (found.spearman_below, found.spearman_above) == pytest.approx((1, 1))
    assert found.spearman > 0.99


def test_a_model_that_sees_half_the_blur(any_result):
    z = np.arange(-12, 13)
    geometric = DRY.added_blur_px(np.abs(z) * 2.0) / BLUR_PX_PER_LEVEL
    given = planes(any_result, geometric / 2)
    found = stack_figures("s", "m", z, given, focus=at(0), z_um=2.0 * z, optics=DRY)
    inside = geometric <= 10
    assert found.slope == pytest.approx(0.5)
    assert not inside.all()
    # 0.4, 0.9 and 1.8 (nearest to 2) are seen as 0, 0 and 1; 2.9 (to 3) as 1.
    assert found.within_one == pytest.approx(5 / 25)


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
    found = stack_figures("s", "m", range(7), given, focus=at(3))
    assert found.spearman_below == pytest.approx(1)
    # 0, 3, 2, 1 at distances 0 to 3: 1 - 6·(0 + 4 + 0 + 4) / (4·15).
    assert found.spearman_above == pytest.approx(1 - 6 * 8 / 60)


def test_the_best_plane_counts_from_the_focus(any_result):
    given = planes(any_result, [4, 3, 1, 0, 2, 4.0])
    found = stack_figures("s", "m", [0, 2, 4, 6, 8, 10], given, focus=at(4))
    assert found.best_z == 6
    assert found.best_plane_error == 2


def test_planes_without_a_level(any_result):
    given = planes(any_result, [np.nan, 2, 0, 2, np.nan])
    found = stack_figures(
        "s", "m", range(5), given, focus=at(2), z_um=2.0 * np.arange(5), optics=DRY
    )
    assert found.best_z == 2
    assert found.spearman == pytest.approx(1)
    assert found.within_one == pytest.approx(3 / 5)
    empty = stack_figures("s", "m", range(3), planes(any_result, [np.nan] * 3))
    assert np.isnan(empty.best_z)
    assert np.isnan(empty.focus)
    assert np.isnan(empty.spearman)


def test_out_of_focus_throughout_the_lowest_is_best(any_result):
    found = stack_figures("s", "m", range(4), planes(any_result, [8, 5, 7, 9.0]), focus=at(0))
    assert found.best_z == 1
    assert found.best_plane_error == 1


def test_levels_of_a_binned_image_are_those_of_its_bins(any_result):
    z = np.arange(-4, 5)
    level = DRY.added_blur_px(np.abs(z) * 2.0) / BLUR_PX_PER_LEVEL / 2
    given = [replace(result, binning=2) for result in planes(any_result, level)]
    found = stack_figures("s", "m", z, given, focus=at(0), z_um=2.0 * z, optics=DRY)
    np.testing.assert_allclose(found.geometric_level, level)
    assert found.slope == pytest.approx(1)


def test_contrast_chooses_among_planes_of_equal_level(any_result):
    given = [
        replace(result, contrast=contrast)
        for result, contrast in zip(planes(any_result, [0.3] * 5), (1.0, 1.5, 2.0, 9.0, 2.0))
    ]
    found = stack_figures("s", "m", range(5), given, focus=at(3))
    assert (found.best_z, found.within_depth, found.best_status) == (3, 1, "in_focus")


def test_the_depth_of_field():
    # 0.5·1/0.5² + 1·0.65/0.5.
    assert depth_of_field_um(DRY) == pytest.approx(3.3)
    oil = Optics(1.4, 1.515, 0.52, 0.1)
    expected = 0.52 * 1.515 / 1.96 + 1.515 * 0.1 / 1.4
    assert depth_of_field_um(oil) == pytest.approx(expected)


def test_what_is_within_the_depth_of_field(any_result):
    given = planes(any_result, [4, 3, 2, 1, 0, 2, 4.0])

    def within(**known):
        return stack_figures("s", "m", range(7), given, **known).within_depth

    assert np.isnan(within())
    assert within(focus=at(4)) == 1
    # A plane beside counts, two do not, unless they are as good or within 3.3 µm.
    assert within(focus=at(3)) == 1
    assert within(focus=at(2)) == 0
    assert within(focus=KnownFocus(2, 1, 4)) == 1
    z_um = 1.6 * np.arange(7)
    assert within(focus=at(2), z_um=z_um, optics=DRY) == 1
    assert within(focus=at(1), z_um=z_um, optics=DRY) == 0


def test_far_planes_that_are_called_in_focus(any_result):
    given = planes(any_result, [0, 4, 0, 0, 4, 0, 1.0])
    z_um = 4.0 * np.arange(7)
    # Over 9.9 µm from plane 2: planes 5 and 6.
    found = stack_figures("s", "m", range(7), given, focus=at(2), z_um=z_um, optics=DRY)
    assert (found.far, found.far_in_focus) == (2, 2)
    # Counted from the planes that are as good: none.
    known = KnownFocus(2, 2, 4)
    found = stack_figures("s", "m", range(7), given, focus=known, z_um=z_um, optics=DRY)
    assert (found.far, found.far_in_focus) == (0, 0)
    # What was told counts, also without optics.
    known = KnownFocus(2, 2, 2, far=(0, 1, 4))
    found = stack_figures("s", "m", range(7), given, focus=known)
    assert (found.far, found.far_in_focus) == (3, 1)
    assert stack_figures("s", "m", range(7), given).far == 0


def test_classical_measures_are_turned_so_that_they_rise_with_blur(any_result):
    given = planes(any_result, [4, 2, 0, 2, 4.0])
    places = places_of(range(5), given, focus=at(2))
    sharpness = [1e-9, 3.0, 5e6, 4.0, 2e-9]
    found = measures_of(
        "s", places, {"tenengrad": sharpness, "crete_blur_effect": [0.1, 0.5, 0.9, 0.5, np.nan]}
    )
    tenengrad, crete = found
    assert (tenengrad.measure, tenengrad.planes, tenengrad.focus) == ("tenengrad", 5, 2)
    assert (tenengrad.best_z, tenengrad.within_depth) == (2, 1)
    # Numbers of any size keep their order: distances 2, 1, 0, 1, 2, in two pairs of ties.
    assert tenengrad.spearman == pytest.approx(0.9486833)
    assert tenengrad.spearman_sides == pytest.approx(1)
    # The blur effect is highest in focus here, which is wrong.
    assert (crete.best_z, crete.within_depth) == (0, 0)
    assert crete.spearman < 0
    (nothing,) = measures_of("s", places, {"tenengrad": [np.nan] * 5})
    assert np.isnan(nothing.best_z)
    assert np.isnan(nothing.spearman)
    assert np.isnan(nothing.spearman_sides)
    assert nothing.within_depth == 0


def test_sharpness_orders_planes_of_equal_levels(any_result):
    contrasts = [1, 2, 5, 9, 4, 3, 1.5]
    given = [
        replace(plane, contrast=contrast)
        for plane, contrast in zip(
            planes(any_result, [6.0, 4.0, 1.0, 1.0, 1.0, 4.0, 6.0]), contrasts
        )
    ]
    found = stack_figures("s", "m", range(7), given, focus=at(3))
    assert found.by_sharpness.best_z == 3
    assert found.spearman < found.by_sharpness.spearman
    assert found.by_sharpness.spearman_sides == pytest.approx(1)
