"""Optics against closed forms."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import j0, j1

from microscope_quality.errors import OpticsError
from microscope_quality.light import kernel_blur_diameter_px
from microscope_quality.optics import BLUR_PX_PER_LEVEL, N_LEVELS, TRAINING_OPTICS, Optics
from microscope_quality.psf import psf

OIL = Optics(na=1.4, refractive_index=1.515, wavelength_um=0.52, pixel_size_um=0.108)

any_optics = st.builds(
    lambda sine, index, wavelength_um, sampling: Optics(
        na=sine * index,
        refractive_index=index,
        wavelength_um=wavelength_um,
        pixel_size_um=sampling * wavelength_um / (sine * index),
    ),
    st.floats(0.05, 0.98),
    st.floats(1.0, 1.6),
    st.floats(0.3, 0.9),
    st.floats(0.2, 1.5),
)
# Of few angles, as the curve of each is computed once.
any_sampling = st.builds(
    lambda sine, index, wavelength_um, sampling: Optics(
        na=sine * index,
        refractive_index=index,
        wavelength_um=wavelength_um,
        pixel_size_um=sampling * wavelength_um / (sine * index),
    ),
    st.sampled_from([0.001, 0.1, 0.5, 0.9, 0.98]),
    st.just(1.0),
    st.floats(0.3, 0.9),
    st.floats(0.2, 1.5),
)
OBJECTIVES = (
    Optics(0.1, 1.0, 0.5, 1.6),
    Optics(0.3, 1.0, 0.5, 0.65),
    TRAINING_OPTICS,
    Optics(0.75, 1.0, 0.5, 0.325),
    Optics(0.95, 1.0, 0.52, 0.1625),
    Optics(1.2, 1.33, 0.52, 0.16),
    OIL,
    Optics(1.45, 1.515, 0.52, 0.25),
)


class TestOptics:
    @pytest.mark.parametrize(
        "values",
        [
            {"na": 1.0},
            {"na": 1.2},
            {"na": 0.0},
            {"na": -0.5},
            {"na": math.nan},
            {"na": math.inf},
            {"na": "0.5"},
            {"na": None},
            {"na": True},
            {"refractive_index": 0.0},
            {"refractive_index": math.nan},
            {"refractive_index": math.inf},
            {"wavelength_um": 0.0},
            {"wavelength_um": -0.5},
            {"wavelength_um": math.nan},
            {"wavelength_um": 520.0},
            {"pixel_size_um": 0.0},
            {"pixel_size_um": -1.0},
            {"pixel_size_um": math.inf},
        ],
    )
    def test_refuses_what_cannot_be_with_a_sentence(self, values):
        usual = TRAINING_OPTICS.to_dict()
        with pytest.raises(OpticsError) as refusal:
            Optics(**{**usual, **values})
        assert next(iter(values)) in str(refusal.value)
        assert str(refusal.value).endswith(".")
        assert isinstance(refusal.value, ValueError)

    def test_takes_any_kind_of_number(self):
        optics = Optics(np.float32(0.5), 1, np.float64(0.5), np.int64(1))
        assert optics == Optics(0.5, 1.0, 0.5, 1.0)
        assert all(type(value) is float for value in optics.to_dict().values())

    def test_is_frozen(self):
        with pytest.raises(AttributeError):
            TRAINING_OPTICS.na = 0.6

    def test_cone_follows_the_marginal_ray(self):
        # A ray at 45° is as far from the axis as from focus.
        optics = Optics(math.sqrt(0.5), 1.0, 0.5, 0.25)
        assert optics.cone_diameter_px(3.0) == pytest.approx(24.0, rel=1e-12)
        assert optics.cone_diameter_px(3.0, paraxial=True) == pytest.approx(
            24.0 * math.sqrt(0.5), rel=1e-12
        )

    def test_true_cone_of_an_oil_objective_is_far_wider_than_the_paraxial_one(self):
        ratio = OIL.cone_diameter_px(1.0) / OIL.cone_diameter_px(1.0, paraxial=True)
        assert ratio == pytest.approx(1.515 / math.sqrt(1.515**2 - 1.4**2), rel=1e-12)
        assert 2.6 < ratio < 2.63

    def test_a_published_level_is_two_micrometres_for_the_training_optics(self):
        diameters = BLUR_PX_PER_LEVEL * np.arange(N_LEVELS)
        defocus_um = TRAINING_OPTICS.defocus_of_cone(diameters, paraxial=True)
        np.testing.assert_allclose(defocus_um, 2.0 * np.arange(N_LEVELS), rtol=1.1e-3)

    @given(any_optics, st.floats(0, 1000), st.booleans())
    def test_cone_is_inverted(self, optics, defocus_um, paraxial):
        diameter = optics.cone_diameter_px(defocus_um, paraxial=paraxial)
        near = pytest.approx(defocus_um, rel=1e-12)
        assert optics.defocus_of_cone(diameter, paraxial=paraxial) == near
        assert optics.cone_diameter_px(-defocus_um, paraxial=paraxial) == diameter

    @settings(deadline=None)
    @given(any_sampling, st.floats(1e-2, 1000))
    def test_conversions_invert_each_other(self, optics, depths):
        # In depths of field, n·λ/NA².
        defocus_um = depths * optics.refractive_index * optics.wavelength_um / optics.na**2
        diameter = optics.blur_diameter_px(defocus_um)
        level = optics.level(defocus_um)
        near = pytest.approx(defocus_um, rel=1e-6)
        assert optics.defocus_um(diameter) == near
        assert optics.defocus_of_level(level) == near
        assert level * BLUR_PX_PER_LEVEL == pytest.approx(diameter, rel=1e-12)
        assert optics.level(-defocus_um) == level
        assert optics.blur_diameter_px(-defocus_um) == diameter

    @settings(deadline=None)
    @given(any_sampling, st.floats(0.2, 1000), st.floats(0.1, 50))
    def test_what_defocus_adds_is_inverted(self, optics, depths, widest_px):
        defocus_um = depths * optics.refractive_index * optics.wavelength_um / optics.na**2
        added = optics.added_blur_px(defocus_um)
        assert added == optics.added_blur_px(-defocus_um)
        total, focus = optics.blur_diameter_px(defocus_um), optics.blur_diameter_px(0.0)
        assert math.hypot(added, focus) == pytest.approx(total, rel=1e-9)
        near = pytest.approx(defocus_um, rel=1e-5)
        assert optics.defocus_of_added_blur(added) == near
        seen = optics.added_blur_px(defocus_um, widest_px=widest_px)
        assert seen >= added
        assert optics.defocus_of_added_blur(seen, widest_px=widest_px) == near
        assert optics.added_blur_px(0.0) == optics.defocus_of_added_blur(0.0) == 0
        np.testing.assert_array_equal(
            optics.added_blur_px(np.array([defocus_um, np.nan])), [added, np.nan]
        )

    @pytest.mark.parametrize("optics", OBJECTIVES, ids=lambda optics: f"na{optics.na:g}")
    def test_blur_rises_steadily_to_the_ends_of_all_numbers(self, optics):
        defocus_um = np.concatenate([[0.0], np.geomspace(1e-9, 1e9, 5000), [1e300, np.inf]])
        blur = optics.blur_diameter_px(defocus_um)
        assert np.all(np.diff(blur) >= 0)
        further = defocus_um > 0.1 * optics.refractive_index * optics.wavelength_um / optics.na**2
        assert np.all(np.diff(blur[further]) > 0)
        assert np.all(np.diff(optics.defocus_um(np.geomspace(1e-3, 1e9, 5000))) >= 0)

    @pytest.mark.parametrize("optics", OBJECTIVES, ids=lambda optics: f"na{optics.na:g}")
    def test_focus_has_the_blur_of_the_airy_pattern(self, optics):
        # 1 − J₀² − J₁² of the light is within v = 2πNA·r/λ.
        v = brentq(lambda v: 0.5 - j0(v) ** 2 - j1(v) ** 2, 1, 2)
        blur_um = 2 * math.sqrt(2) * v / (2 * math.pi) * optics.wavelength_um / optics.na
        blur_px = optics.blur_diameter_px(0.0)
        assert blur_px == pytest.approx(blur_um / optics.pixel_size_um, rel=2e-3)
        levels = optics.level(0.0) * np.array([0.0, 0.3, 0.999, 1.001])
        assert optics.defocus_of_level(levels).tolist()[:3] == [0.0, 0.0, 0.0]
        assert optics.defocus_of_level(levels)[3] > 0

    @pytest.mark.parametrize("level", [3, 5, 10, 20])
    @pytest.mark.parametrize("optics", OBJECTIVES, ids=lambda optics: f"na{optics.na:g}")
    def test_blur_is_that_of_the_librarys_own_kernels(self, optics, level):
        kernel = psf(optics, optics.defocus_of_level(float(level)), energy=0.995)
        found = kernel_blur_diameter_px(kernel) / BLUR_PX_PER_LEVEL
        assert found == pytest.approx(level, rel=0.02)

    @pytest.mark.parametrize("level", [0.5, 0.7, 1.0, 1.5, 2.0])
    @pytest.mark.parametrize("optics", OBJECTIVES, ids=lambda optics: f"na{optics.na:g}")
    def test_small_blur_is_that_of_kernels_on_finer_pixels(self, optics, level):
        if level < optics.level(0.0):
            pytest.skip("sharper than the focus")
        finer = replace(optics, pixel_size_um=optics.pixel_size_um / 8)
        kernel = psf(finer, optics.defocus_of_level(level), energy=0.99)
        found = kernel_blur_diameter_px(kernel) / 8 / BLUR_PX_PER_LEVEL
        assert found == pytest.approx(level, rel=0.02)

    @pytest.mark.parametrize("optics", OBJECTIVES, ids=lambda optics: f"na{optics.na:g}")
    def test_far_from_focus_half_of_the_light_is_within_the_ray_through_half_of_the_pupil(
        self, optics
    ):
        tangent = math.tan(math.asin(optics.na / optics.refractive_index / math.sqrt(2)))
        for defocus_um in (1e4, 1e100):
            expected_px = 2 * math.sqrt(2) * defocus_um * tangent / optics.pixel_size_um
            assert optics.blur_diameter_px(defocus_um) == pytest.approx(expected_px, rel=1e-9)
        # Rays say it ever better: 50 levels from focus they are right to 2 %.
        near = optics.defocus_of_level(50.0)
        assert near * 2 * math.sqrt(2) * tangent / optics.pixel_size_um == pytest.approx(
            154, rel=0.02
        )

    def test_a_flat_cone_is_evenly_filled_and_a_steep_one_is_not(self):
        flat = Optics(0.1, 1.0, 0.5, 1.6)
        assert flat.cone_diameter_px(5e3) == pytest.approx(flat.blur_diameter_px(5e3), rel=0.01)
        assert OIL.cone_diameter_px(5.0) > 1.9 * OIL.blur_diameter_px(5.0)

    def test_numbers_give_numbers_and_arrays_arrays(self):
        for method in (
            OIL.blur_diameter_px,
            OIL.level,
            OIL.defocus_um,
            OIL.defocus_of_level,
            OIL.cone_diameter_px,
            OIL.defocus_of_cone,
        ):
            assert type(method(1)) is float
            assert type(method(np.float64(1.0))) is float
            found = method(np.array([[0.0, 1.0, np.nan]]))
            assert found.shape == (1, 3)
            assert found[0, :2].tolist() == [method(0.0), method(1.0)]
            assert np.isnan(found[0, 2])

    def test_refuses_a_negative_blur(self):
        with pytest.raises(OpticsError, match="blur_diameter_px must not be negative, but is -2"):
            OIL.defocus_um(np.array([1.0, -2.0, np.nan]))
        with pytest.raises(OpticsError, match="level must not be negative"):
            OIL.defocus_of_level(-1.0)
        with pytest.raises(OpticsError, match="diameter_px must not be negative"):
            OIL.defocus_of_cone(-1.0)

    @given(any_optics)
    def test_round_trips_through_a_mapping_and_text(self, optics):
        assert Optics.from_dict(optics.to_dict()) == optics
        text = ", ".join(f"{name} = {value!r}" for name, value in optics.to_dict().items())
        assert Optics.parse(text) == optics

    def test_reads_the_short_form(self):
        assert Optics.parse("na=1.4,n=1.515,wavelength_um=0.52,pixel_size_um=0.108") == OIL

    @pytest.mark.parametrize(
        ("name", "index"), [("air", 1.0), ("water", 1.33), ("glycerol", 1.47), ("oil", 1.515)]
    )
    def test_reads_an_immersion_by_name(self, name, index):
        text = f"na=0.9,immersion={name},wavelength_um=0.52,pixel_size_um=0.108"
        assert Optics.parse(text) == Optics(0.9, index, 0.52, 0.108)

    def test_reads_the_camera_and_the_magnification(self):
        optics = Optics.parse("camera_pixel_um=6.5,na=1.4,n=1.515,magnification=60,wavelength_um=1")
        assert optics == Optics(1.4, 1.515, 1.0, 6.5 / 60)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("na=1,immersion=honey", "immersion must be air, water, glycerol, oil, not 'honey'"),
            ("na=1,immersion=oil,n=1.5", "refractive_index is given twice"),
            ("na=1,n=1.5,magnification=20", "magnification and camera_pixel_um belong together"),
            (
                "pixel_size_um=0.3,magnification=20,camera_pixel_um=6.5",
                "pixel_size_um is given twice, by itself and by magnification and camera_pixel_um",
            ),
            ("magnification=0,camera_pixel_um=6.5", "magnification must be positive"),
            ("magnification=20,camera_pixel_um=nan", "camera_pixel_um must be positive"),
            ("magnification=20x,camera_pixel_um=6.5", "magnification must be a number, not '20x'"),
        ],
    )
    def test_refuses_other_words_with_a_sentence(self, text, told):
        with pytest.raises(OpticsError, match=re.escape(told)):
            Optics.parse(text)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "key=value"),
            ("0.5", "'0.5' is no key=value"),
            ("na=0.5,n=1,wavelength_um=0.5", "pixel_size_um missing"),
            ("na=0.5,n=1,wavelength_um=0.5,pixel_size_um=0.65,na=0.4", "na is given twice"),
            ("n=1.5,refractive_index=1.5", "refractive_index is given twice"),
            ("na=0.5,n=1,wavelength=0.5,pixel_size_um=0.65", "there is no 'wavelength'"),
            ("na=0.5,n=air,wavelength_um=0.5,pixel_size_um=0.65", "must be a number, not 'air'"),
            ("na=1.2,n=1,wavelength_um=0.5,pixel_size_um=0.65", "below the refractive index"),
        ],
    )
    def test_refuses_other_text(self, text, told):
        with pytest.raises(OpticsError, match=told):
            Optics.parse(text)

    def test_refuses_a_mapping_with_other_names(self):
        values = TRAINING_OPTICS.to_dict()
        del values["na"]
        values["aperture"] = 0.5
        with pytest.raises(OpticsError, match="na missing; 'aperture' unknown"):
            Optics.from_dict(values)
