"""Optics against closed forms."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microscope_quality.errors import OpticsError
from microscope_quality.optics import BLUR_PX_PER_LEVEL, N_LEVELS, TRAINING_OPTICS, Optics

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

    def test_blur_diameter_follows_the_marginal_ray(self):
        # A ray at 45° is as far from the axis as from focus.
        optics = Optics(math.sqrt(0.5), 1.0, 0.5, 0.25)
        assert optics.blur_diameter_px(3.0) == pytest.approx(24.0, rel=1e-12)
        assert optics.blur_diameter_px(3.0, paraxial=True) == pytest.approx(
            24.0 * math.sqrt(0.5), rel=1e-12
        )

    def test_true_cone_of_an_oil_objective_is_far_wider_than_the_paraxial_one(self):
        ratio = OIL.blur_diameter_px(1.0) / OIL.blur_diameter_px(1.0, paraxial=True)
        assert ratio == pytest.approx(1.515 / math.sqrt(1.515**2 - 1.4**2), rel=1e-12)
        assert 2.6 < ratio < 2.63

    def test_a_level_is_two_micrometres_for_the_training_optics(self):
        levels = np.arange(N_LEVELS)
        defocus_um = TRAINING_OPTICS.defocus_of_level(levels * 1.0, paraxial=True)
        np.testing.assert_allclose(defocus_um, 2.0 * levels, rtol=1.1e-3)
        np.testing.assert_allclose(
            TRAINING_OPTICS.blur_diameter_px(defocus_um, paraxial=True), 3.08 * levels, rtol=1e-12
        )

    @given(any_optics, st.floats(0, 1000), st.booleans())
    def test_conversions_invert_each_other(self, optics, defocus_um, paraxial):
        diameter = optics.blur_diameter_px(defocus_um, paraxial=paraxial)
        level = optics.level(defocus_um, paraxial=paraxial)
        near = pytest.approx(defocus_um, rel=1e-12)
        assert optics.defocus_um(diameter, paraxial=paraxial) == near
        assert optics.defocus_of_level(level, paraxial=paraxial) == near
        assert level * BLUR_PX_PER_LEVEL == pytest.approx(diameter, rel=1e-12)
        assert optics.level(-defocus_um, paraxial=paraxial) == level
        assert optics.blur_diameter_px(-defocus_um, paraxial=paraxial) == diameter

    def test_numbers_give_numbers_and_arrays_arrays(self):
        assert type(OIL.level(1)) is float
        assert type(OIL.defocus_um(np.float64(1.0))) is float
        diameters = OIL.blur_diameter_px(np.array([[0.0, -1.0, np.nan]]))
        assert diameters.shape == (1, 3)
        assert diameters[0, 0] == 0.0
        assert diameters[0, 1] == OIL.blur_diameter_px(1.0)
        assert np.isnan(diameters[0, 2])

    def test_refuses_a_negative_blur(self):
        with pytest.raises(OpticsError, match="blur_diameter_px must not be negative, but is -2"):
            OIL.defocus_um(np.array([1.0, -2.0, np.nan]))
        with pytest.raises(OpticsError, match="level must not be negative"):
            OIL.defocus_of_level(-1.0)

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
