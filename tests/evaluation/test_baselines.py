"""Measures of other libraries against their formulas, and beside the classical ones."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter

from microscope_quality.classical import MEASURES
from microscope_quality.errors import ImageError
from microscope_quality.evaluation.baselines import (
    MEASURES_OF_LIBRARIES,
    available_measures,
    crete_blur_effect,
)
from microscope_quality.simulate import nuclei

SOBEL = np.outer([1, 2, 1], [1, 0, -1]) / 8


@pytest.fixture
def plane():
    pytest.importorskip(
        "skimage", reason="scikit-image is missing: pip install 'microscope-quality[evaluate]'"
    )
    light = gaussian_filter(nuclei((120, 150), 12, 0), 1)
    return np.random.default_rng(0).poisson(400 * light + 30).astype(np.uint16)


def effect_along_x(plane):
    plane = plane.astype(float)
    mean_of_11 = convolve(plane, np.full((1, 11), 1 / 11), mode="reflect")
    before, after = (
        np.abs(convolve(image, SOBEL, mode="reflect"))[2:-1, 2:-1] for image in (plane, mean_of_11)
    )
    return (before.sum() - np.maximum(0, before - after).sum()) / before.sum()


def test_crete_blur_effect_against_its_formula(plane):
    expected = max(effect_along_x(plane), effect_along_x(plane.T))
    assert crete_blur_effect(plane) == pytest.approx(expected, rel=1e-9)


def test_crete_blur_effect_rises_with_blur(plane):
    values = [crete_blur_effect(gaussian_filter(plane.astype(float), s)) for s in (0, 1, 2, 4)]
    assert (np.diff(values) > 0).all()
    assert 0 < values[0] < values[-1] < 1


def test_crete_blur_effect_does_not_see_gain_and_offset(plane):
    expected = crete_blur_effect(plane)
    assert crete_blur_effect(plane.astype(np.float32) * 1e-12) == pytest.approx(expected, rel=1e-6)
    assert crete_blur_effect(plane.astype(np.int32) * 50 + 7) == pytest.approx(expected, rel=1e-9)


def test_crete_blur_effect_where_it_is_undefined():
    assert math.isnan(crete_blur_effect(np.full((30, 30), 0.1)))
    assert math.isnan(crete_blur_effect([[1, 2, 3], [4, 5, 6], [7, 8, 9]]))


@pytest.mark.parametrize("bad", [np.zeros(5), np.full((5, 5), np.nan), np.zeros((5, 0))])
def test_what_is_no_image_is_refused(bad):
    with pytest.raises(ImageError, match="An image to measure must be"):
        crete_blur_effect(bad)


def test_the_measures_are_the_classical_ones_and_those_of_libraries(plane):
    measures, missing = available_measures()
    assert missing == ""
    assert list(measures) == [*MEASURES, *MEASURES_OF_LIBRARIES]
    assert measures["crete_blur_effect"] is crete_blur_effect
    for measure in measures.values():
        assert math.isfinite(measure(plane))


def test_a_measure_whose_library_is_missing_is_named():
    look = (
        "import sys; sys.modules['skimage'] = None\n"
        "from microscope_quality.evaluation.baselines import available_measures\n"
        "measures, missing = available_measures()\n"
        "print(*measures); print(missing)"
    )
    found = subprocess.run(
        [sys.executable, "-c", look], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert found[0].split() == list(MEASURES)
    assert found[1].startswith("The measure crete_blur_effect is not available: ")


def test_scikit_image_is_imported_where_it_is_used():
    look = (
        "import sys, microscope_quality.evaluation.baselines; "
        "sys.exit(any(m.split('.')[0] == 'skimage' for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
