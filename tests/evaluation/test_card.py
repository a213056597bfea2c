"""The model card: what it says is what ``model.json`` says, with or without pictures."""

import shutil
import sys
from pathlib import Path

import coded
import numpy as np
import pytest
from PIL import Image

from microscope_quality.evaluation.card import write_card
from microscope_quality.model import available_models, read_description

RECORD = {
    "command": "microscope-quality train sharp --out training",
    "versions": {"keras": "3.15.1"},
    "stages": [
        {
            "first_step": 0,
            "steps": 750,
            "batch_size": 128,
            "learning_rate": 0.002,
            "cosine_decay": True,
            "seed": 7,
            "stream": {
                "microscope": {
                    "psf": "bessel",
                    "tilt_levels": [0.0, 3.0],
                    "vignetting": [0.0, 0.0],
                },
                "photons": [100.0, 50000.0],
            },
        }
    ],
    "patience": 2,
    "best_step": 250,
    "training_images": 20,
    "training_files": ["cells/a.tif"],
    "validation_files": ["cells/b.tif", "cells/c.tif"],
    "left_out": {f"bad{n}.tif": "blurred" for n in range(25)},
    "doubted": {"odd.tif": "shows nothing"},
    "check": {
        "model": "compact",
        "blurred_above_level": 1.5,
        "saturated_above_fraction": 0.01,
        "left_out": 25,
        "doubted_but_kept": 1,
        "seen_by_the_model": 4,
    },
    "planes": {"cells/a.tif": 3},
    "sharpest": "std",
    "history": [
        {"step": 250, "loss": 0.5, "validation_rps": 0.25, "validation_exact": 0.75},
        {"step": 500, "loss": 0.4, "validation_rps": 0.3, "validation_exact": 0.7},
    ],
    "validation_images": {
        "images": 22,
        "exact": 0.8636,
        "within_one": 1.0,
        "mean_rps": 0.1234,
        "calibration_error": 0.0567,
        "confusion": (2 * np.eye(11, dtype=int)).tolist(),
    },
    "validation_patches": {
        "patches": 300,
        "exact": 0.5,
        "within_one": 0.75,
        "mean_rps": 0.9,
        "calibration_error": 0.02,
        "confusion": np.eye(11, dtype=int).tolist(),
        "calibration": {
            "error": 0.02,
            "edges": [0.0, 0.5, 1.0],
            "confidence": [None, 0.8],
            "accuracy": [None, 0.78],
            "count": [0, 300],
        },
    },
}
LICENCES = ({"images": 20, "kind": "cells", "source": "lab|7", "licence": "CC0"},)
PICTURES = ("confusion.png", "curves.png", "reliability.png")


@pytest.fixture
def model(tmp_path):
    coded.write(tmp_path / "coded", training=RECORD, licences=LICENCES)
    return tmp_path / "coded"


def test_a_card_says_what_the_record_says(model):
    pytest.importorskip("matplotlib")
    text = write_card(model).read_text(encoding="utf-8")
    assert "| whole images | 22 | 86.4% | 100.0% | 0.123 | 0.057 |" in text
    assert "| patches | 300 | 50.0% | 75.0% | 0.900 | 0.020 |" in text
    assert "| **3** | 0 | 0 | 0 | 2 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |" in text
    assert "| 20 | cells | lab\\|7 | CC0 |" in text
    assert "25 were left out as blurred (level above 1.5), saturated (over 1% of" in text
    assert "4 of the images were among those that `compact` itself learned from" in text
    assert "- bad19.tif: blurred\n- and 5 more" in text
    assert "- odd.tif: shows nothing" in text
    assert "    microscope-quality train sharp --out training" in text
    assert "| 0 | 500 | 128 | 0.002 | yes | 7 |" in text
    assert "Training stopped early, after 2 epochs" in text
    assert "those of step 250" in text
    assert "keras 3.15.1" in text
    assert "psf bessel, tilt_levels 0 to 3." in text
    assert "| photons | 100 to 50000 |" in text
    assert "It learned from 20 images only" in text
    with np.load(model / "weights.npz") as archive:
        assert f"{sum(a.size for a in archive.values()):,} parameters" in text
    for name in PICTURES:
        assert f"({name})" in text
        with Image.open(model / name) as picture:
            assert min(picture.size) > 300
    assert sum((model / name).stat().st_size for name in PICTURES) < 150_000
    assert {path.name for path in model.iterdir()} == {
        *PICTURES,
        "MODEL.md",
        "model.json",
        "weights.npz",
    }


def test_a_card_can_be_written_anew(model):
    pytest.importorskip("matplotlib")
    first = write_card(model).read_bytes()
    (model / "MODEL.md").write_text("old")
    assert write_card(model).read_bytes() == first


def test_without_matplotlib_a_card_has_no_pictures(model, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = write_card(model).read_text(encoding="utf-8")
    assert "This card has no pictures, as matplotlib was not there" in text
    assert ".png" not in text
    assert "| **3** | 0 | 0 | 0 | 2 |" in text
    assert not list(model.glob("*.png"))


def test_a_model_without_held_out_images_is_said_to_be_untested(tmp_path):
    coded.write(tmp_path / "coded", training={"training_images": 5}, licences=())
    text = write_card(tmp_path / "coded").read_text(encoding="utf-8")
    assert "Not known: no image was held out." in text
    assert "how right it is, is not known" in text


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, folder in available_models().items()
        if read_description(folder).task == "focus"
    ),
)
def test_the_models_of_the_library_have_what_a_card_needs(name, tmp_path):
    folder = Path(shutil.copytree(available_models()[name], tmp_path / name))
    text = write_card(folder).read_text(encoding="utf-8")
    assert f"# {name}" in text
    assert "| whole images | " in text
