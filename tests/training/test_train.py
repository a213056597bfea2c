"""Training end to end on simulated images: a model that loads, resumes, and says how it came."""

import json

import numpy as np
import pytest
import tifffile

from microscope_quality import FocusModel, measure_focus
from microscope_quality.errors import SettingsError
from microscope_quality.simulate import nuclei
from microscope_quality.training.architectures import get_architecture
from microscope_quality.training.stream import StreamSettings
from microscope_quality.training.train import TrainingSettings, stream_of, train

fitting = pytest.importorskip(
    "microscope_quality.training.fitting",
    reason="needs Keras and TensorFlow: pip install 'microscope-quality[train]'",
)


@pytest.fixture(scope="module")
def sharp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nuclei")
    for seed in range(6):
        light = nuclei((260, 260), 40, seed)
        tifffile.imwrite(folder / f"{seed}.tif", (light * 3000 + 100).astype(np.uint16))
    return folder


@pytest.fixture(scope="module")
def trained(sharp, tmp_path_factory):
    out = tmp_path_factory.mktemp("training")
    records = []
    settings = TrainingSettings(steps=60, batch_size=32, workers=0, seed=1, empty_patches=1000)
    description = train([sharp], out, "tiny", settings, report=records.append)
    return out, description, records


def test_a_trained_model_is_a_model_folder_that_measures(trained, sharp):
    out, description, _ = trained
    model = FocusModel.from_pretrained(out / "tiny")
    assert model.description == description
    plane = tifffile.imread(sharp / "0.tif")
    assert measure_focus(plane, model).probabilities.sum() == pytest.approx(1)


def test_the_loss_falls(trained):
    _, _, records = trained
    losses = [record["loss"] for record in records if "loss" in record]
    uniform = sum((k / 11) ** 2 for k in range(11))
    assert losses[-1] < 0.8 * uniform


def test_a_model_tells_how_it_was_made(trained):
    out, description, _ = trained
    record = json.loads((out / "tiny" / "model.json").read_text())["training"]
    assert len(record["validation_files"]) == 1
    assert record["training_images"] == 5
    (stage,) = record["stages"]
    assert (stage["first_step"], stage["steps"]) == (0, 60)
    assert record["validation_images"]["images"] == 11
    assert stage["stream"]["normalisation"] == "zscore"
    assert 0 < description.sure_certainty <= 1


def test_training_goes_on_from_its_checkpoint(sharp, tmp_path):
    settings = dict(batch_size=32, workers=0, seed=1, validation_fraction=0, empty_patches=500)
    train([sharp], tmp_path, "one", TrainingSettings(steps=8, **settings))
    records = []
    train([sharp], tmp_path, "two", TrainingSettings(steps=12, **settings), report=records.append)
    assert [record["step"] for record in records if "step" in record] == [12]
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-12.keras"]
    stages = FocusModel.from_pretrained(tmp_path / "two").description.training["stages"]
    assert [(stage["first_step"], stage["steps"]) for stage in stages] == [(0, 8), (8, 12)]


def test_another_architecture_does_not_go_on_from_it(sharp, tmp_path):
    settings = dict(batch_size=32, workers=0, steps=1, validation_fraction=0, empty_patches=500)
    train([sharp], tmp_path, "one", TrainingSettings(**settings))
    with pytest.raises(SettingsError, match="holds a training of 'compact'"):
        train([sharp], tmp_path, "one", TrainingSettings(architecture="yang2018", **settings))


def test_yang2018_is_trained_with_gain_and_offset():
    stream = stream_of(get_architecture("yang2018"), StreamSettings())
    assert stream.gain == (0.2, 5.0)
    assert stream.offset == (1.0, 1000.0)
    assert stream.normalisation == "type_range"
    assert stream_of(get_architecture("compact"), StreamSettings()).gain == (1.0, 1.0)


def test_no_images_is_said(tmp_path):
    with pytest.raises(SettingsError, match="no image file was found"):
        train([tmp_path], tmp_path / "out", "none", TrainingSettings(steps=1))
