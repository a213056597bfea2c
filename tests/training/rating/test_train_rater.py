"""From sharp images to a rater's folder, by its command: learned, calibrated, gone on with."""

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from microscope_quality.components import OUTPUTS
from microscope_quality.descriptors import descriptors
from microscope_quality.model import read_description
from microscope_quality.network import Network
from microscope_quality.rater import RatingModel

pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
from microscope_quality.cli.app import app
from microscope_quality.training.rating import train_rater
from microscope_quality.training.rating.fit_rater import fit_rater, shared_errors, spread_factors
from microscope_quality.training.rating.sets import drawn_set
from microscope_quality.training.rating.sources import drawn_source
from microscope_quality.training.rating.tissue import drawn_tissue

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def sharp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharp")
    for k in range(6):
        field = drawn_tissue(400, np.random.default_rng(k))
        tifffile.imwrite(folder / f"{k}.tif", (128 + 30 * field).clip(0, 255).astype(np.uint8))
    return folder


def _train(sharp, out, *more):
    arguments = ["train", "--rating", str(sharp), "--out", str(out), "--patches", "1000", *more]
    return CliRunner().invoke(app, arguments)


def test_a_folder_that_rates_comes_of_sharp_images(sharp, tmp_path, monkeypatch):
    monkeypatch.setattr(train_rater, "BLOCK", 250)
    monkeypatch.setattr(train_rater, "_IMAGES", 4)
    result = _train(sharp, tmp_path, "--epochs", "8", "--workers", "0")
    assert result.exit_code == 0, result.output
    told = read_description(tmp_path / "model").training
    assert told["validation"]["score_plcc"] > 0.7
    assert told["validation"]["blur_r"] > 0.7
    images = told["images"]
    assert not set(images["training"]) & set(images["validation"])
    assert len(images["training"]) + len(images["validation"]) == 6
    card = (tmp_path / "model" / "MODEL.md").read_text(encoding="utf-8")
    assert f"correlation | {told['validation']['score_plcc']:.3f} |" in card
    assert f"| 6 | {sharp.name} |" in card
    model = RatingModel.from_pretrained(tmp_path / "model")
    rated = model.rate(np.random.default_rng(0).normal(size=(2, 256, 256)))
    assert np.isfinite(rated.outputs).all() and (rated.spreads > 0).all()

    # The same command has nothing to make anew but the fit; other images are refused.
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "sets").glob("*.npz")}
    (tmp_path / "sets" / "training-0001.npz").unlink()
    again = _train(sharp, tmp_path, "--epochs", "8", "--workers", "0")
    assert again.exit_code == 0, again.output
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "sets").glob("*.npz")}
    assert set(kept) == set(made)
    assert sum(kept[path] != made[path] for path in kept) == 1
    (sharp / "5.tif").rename(sharp / "6.tif")
    other = _train(sharp, tmp_path, "--epochs", "8", "--workers", "0")
    assert other.exit_code == 2 and "other images or settings" in other.output


def test_the_fitted_layers_give_what_keras_gave():
    import keras

    source = drawn_source(3, 1)
    training, validation = (drawn_set([source], 60, seed) for seed in (1, 2))
    fitted = fit_rater(training, validation, epochs=2, seed=3)
    assert [layer["kind"] for layer in fitted.layers] == ["descriptors", *["dense"] * 4]
    network = Network(fitted.layers, fitted.weights, 256)
    assert network.outputs == 2 * len(OUTPUTS)
    # By Keras itself: the same layers, built of the weights that were written.
    model = keras.Sequential([keras.layers.Input((training.descriptors.shape[1],))])
    for layer in fitted.layers[1:]:
        model.add(keras.layers.Dense(layer["units"], layer["activation"], name=layer["name"]))
    for layer in fitted.layers[1:]:
        name = layer["name"]
        model.get_layer(name).set_weights(
            [fitted.weights[f"{name}/kernel"], fitted.weights[f"{name}/bias"]]
        )
    patch = np.random.default_rng(4).normal(size=(1, 256, 256)).astype(np.float32)
    by_keras = np.asarray(model(descriptors(patch)))
    assert network(patch) == pytest.approx(by_keras, abs=1e-3)


def test_factors_put_so_many_errors_within_a_spread():
    rng = np.random.default_rng(5)
    spreads = rng.uniform(0.5, 2, (20000, 2))
    errors = rng.normal(size=(20000, 2)) * spreads * [3.0, 0.5]
    assert spread_factors(errors, spreads) == pytest.approx([3.0, 0.5], rel=0.03)


def test_the_shared_part_of_errors_is_found():
    rng = np.random.default_rng(6)
    errors, spreads = [], []
    for _ in range(400):
        common = rng.normal(size=(1, 2)) * np.sqrt([0.6, 0.0])
        own = rng.normal(size=(4, 2)) * np.sqrt([0.4, 1.0])
        errors.append(common + own)
        spreads.append(np.ones((4, 2)))
    assert shared_errors(errors, spreads) == pytest.approx([0.6, 0.0], abs=0.06)
