"""What the shipped model makes of a nearly empty field, and of an empty one."""

import numpy as np
import pytest

from microscope_quality import measure_focus
from microscope_quality.degrade import Camera, defocus
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import nuclei

SHAPE = (2048, 2048)


@pytest.mark.parametrize("level", [0, 9])
def test_five_nuclei_in_a_large_field_are_content(level):
    kernel = psf(TRAINING_OPTICS, float(TRAINING_OPTICS.defocus_of_level(level)))
    light = np.maximum(defocus(nuclei(SHAPE, 5, 0), kernel), 0)
    result = measure_focus(Camera().expose(2000 * (light + 0.03), 0))
    assert result.status in (["in_focus"] if level == 0 else ["out_of_focus", "mixed"])
    assert abs(result.level - level) <= 1


@pytest.mark.parametrize("photons", [1, 100, 20_000])
def test_an_empty_field_has_no_content(photons):
    result = measure_focus(Camera().expose(np.full(SHAPE, float(photons)), 1))
    assert result.status == "no_content"
