"""The numbers that the plugin's tests compare with are still those of the library."""

import json
import re

import fiji_vectors
import numpy as np
import pytest

import microscope_quality
from microscope_quality.components import ACTIONS
from microscope_quality.model import FocusModel
from microscope_quality.rater import RatingModel


@pytest.fixture(scope="module")
def made():
    return fiji_vectors.make()


def compare(found, expected, place):
    assert type(found) is type(expected) or isinstance(found, (int, float)), place
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), place
        for key, value in expected.items():
            compare(found[key], value, f"{place}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for i, value in enumerate(expected):
            compare(found[i], value, f"{place}/{i}")
    elif isinstance(expected, float):
        # In single precision, BLAS rounds by its number of threads and by the processor.
        assert found == pytest.approx(expected, abs=3e-5, rel=3e-5), place
    else:
        assert found == expected, place


def test_each_model_has_its_file(made):
    files = {path.stem for path in fiji_vectors.VECTORS.glob("*.json")}
    assert files == made.keys(), "python tests/fiji_vectors.py writes them anew"


NAMES = ["without_model", "without_rater", *fiji_vectors.models(), *fiji_vectors.raters()]


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_numbers_are_the_librarys(made, name):
    stored = json.loads((fiji_vectors.VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    compare(json.loads(json.dumps(made[name])), stored, name)


def test_the_plugins_table_of_blur_diameters_is_the_librarys():
    stored = json.loads(fiji_vectors.HALF_LIGHT.read_text(encoding="utf-8"))
    made = fiji_vectors.half_light()
    assert stored.keys() == made.keys()
    for name, values in made.items():
        np.testing.assert_allclose(stored[name], values, rtol=0, atol=1.1e-4)


def test_the_plugins_faults_are_the_librarys():
    stored = json.loads(fiji_vectors.COMPONENTS.read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(fiji_vectors.faults()))


def test_the_plugins_limits_of_blank_patches_are_the_librarys():
    stored = json.loads(fiji_vectors.BLANK_LIMITS.read_text(encoding="utf-8"))
    made = fiji_vectors.blank_limits()
    assert stored.keys() == made.keys()
    for side, limits in made.items():
        np.testing.assert_allclose(stored[side], limits, rtol=1e-6)


def test_the_rated_images_are_of_every_status(made):
    cases = [case for name in fiji_vectors.raters() for case in made[name]["cases"]]
    found = {case["result"]["status"] for case in cases}
    assert found == {"too_small", "no_content", "poor", "good"}
    assert {entry["is_blank"] for entry in made["without_rater"]["blank"]} == {True, False}
    causes = {entry["cause"] for entry in made["without_rater"]["components"]}
    assert causes == {"", *ACTIONS}


def test_the_images_are_of_every_status(made):
    found = {case["result"]["status"] for case in made["compact"]["cases"]}
    assert found == {"too_small", "no_content", "mixed", "in_focus", "out_of_focus"}


def test_the_vectors_stay_small():
    for path in fiji_vectors.VECTORS.rglob("*.*"):
        assert path.stat().st_size < 100_000, path


def test_the_small_rater_is_written_as_stored(tmp_path):
    fiji_vectors.write_rater(tmp_path / "rater")
    stored = RatingModel.from_pretrained(fiji_vectors.VECTORS / "rater")
    fresh = RatingModel.from_pretrained(tmp_path / "rater")
    patches = fiji_vectors.image({"drawn": [2, 2], "size": [256, 256]})[0][np.newaxis]
    np.testing.assert_allclose(fresh.rate(patches).scores, stored.rate(patches).scores, atol=1e-5)


def test_the_small_model_is_written_as_stored(tmp_path):
    fiji_vectors.write_layers(tmp_path / "layers")
    stored = FocusModel.from_pretrained(fiji_vectors.VECTORS / "layers")
    fresh = FocusModel.from_pretrained(tmp_path / "layers")
    patches = np.random.default_rng(0).integers(0, 4096, (3, 84, 84)).astype(np.uint16)
    np.testing.assert_array_equal(fresh.predict(patches), stored.predict(patches))


def test_the_plugin_has_the_librarys_version():
    pom = (fiji_vectors.ROOT / "fiji_bridge" / "plugin" / "pom.xml").read_text(encoding="utf-8")
    version = re.search(r"<artifactId>Microscope_Quality</artifactId>\s*<version>(.*?)<", pom)
    assert version is not None
    assert version[1] == microscope_quality.__version__
