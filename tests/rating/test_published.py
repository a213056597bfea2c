"""A published network rates whole images, and the default rater says why."""

import json

import numpy as np
import pytest
import tifffile
from command_line import run

from microscope_quality.errors import ModelError
from microscope_quality.model import KERAS_FILE, ModelDescription, write_folder
from microscope_quality.rater import RatingModel, rate_image
from microscope_quality.rating.networks import miqa
from microscope_quality.rating.published import PublishedRater, rater_of
from microscope_quality.training.rating.tissue import drawn_tissue

pytestmark = pytest.mark.training

SIDE = 256
ERROR = 0.04


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    keras = pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
    place = tmp_path_factory.mktemp("published")
    keras.utils.set_random_seed(0)
    network = miqa(SIDE)
    # Scores of about 0.5, all different.
    kernel, bias = network.layers[-1].get_weights()
    scale = np.abs(np.asarray(network(np.zeros((1, SIDE, SIDE)) + plane()[:SIDE, :SIDE]))).max()
    network.layers[-1].set_weights([kernel * 0.1 / scale, bias + 0.5])
    network.save(place / KERAS_FILE)
    description = ModelDescription(
        name="lab",
        task="rating",
        architecture="miqa",
        patch_size=SIDE,
        normalisation="zscore",
        details={"outputs": ["score"]},
        layers=(),
        training={"validation": {"rmse": ERROR}},
    )
    write_folder(place / "lab", description, KERAS_FILE, (place / KERAS_FILE).read_bytes())
    return place / "lab"


def plane():
    field = drawn_tissue(2 * SIDE, np.random.default_rng(0))
    return np.clip(128 + 40 * field, 0, 255).astype(np.uint8)[:, : SIDE + 128]


def test_the_score_is_the_networks_and_the_components_are_those_of_the_default_rater(folder):
    image = plane()
    result = rate_image(image, rater_of(folder))
    places = [(y, x) for y in (0, SIDE) for x in (0, 128)]
    assert [tuple(one) for one in result.patch_positions] == places
    patches = np.stack([image[y : y + SIDE, x : x + SIDE] for y, x in places])
    scores = PublishedRater.from_folder(folder).predict(patches)
    np.testing.assert_allclose(result.patch_scores, scores, atol=1e-6)
    assert result.score == pytest.approx(scores.mean(), abs=1e-6)
    # As if the four patches' errors had a part in common.
    assert ERROR / 2 * 1.96 <= result.score_high - result.score <= ERROR * 1.96
    em = RatingModel.from_pretrained("em")
    own = em.side_for(SIDE, SIDE)
    first = [
        image[y : y + own, x : x + own] for y in range(0, SIDE, own) for x in range(0, SIDE, own)
    ]
    expected = em.rate(np.stack(first)).outputs.mean(axis=0)
    np.testing.assert_allclose(result.patch_outputs[0], expected, atol=1e-6)
    assert result.components.blur_px > 0


def test_an_image_smaller_than_the_networks_patches_has_no_score(folder):
    result = rate_image(plane()[: SIDE - 1], rater_of(folder))
    assert result.status == "too_small"
    assert f"patches have {SIDE} x {SIDE} at least" in result.message


def test_other_raters_are_what_they_were(folder):
    assert rater_of() is RatingModel.from_pretrained("em") is rater_of("em")
    with pytest.raises(ModelError):
        rater_of("compact")
    with pytest.raises(ModelError, match=r"'lab' has no layers for NumPy.*rater_of"):
        RatingModel.from_pretrained(folder)


def test_the_command_rates_by_it(folder, tmp_path):
    tifffile.imwrite(tmp_path / "tile.tif", plane())
    done = run("rate", str(tmp_path / "tile.tif"), "--model", str(folder), "--format", "json")
    assert not done.stderr
    (row,) = json.loads(done.stdout)
    assert row["score"] == pytest.approx(rate_image(plane(), rater_of(folder)).score, abs=1e-5)
    assert row["blur_px"] > 0
