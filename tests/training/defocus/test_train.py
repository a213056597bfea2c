"""Training end to end on simulated images: a model that loads, resumes, and says how it came."""

import dataclasses
import json
import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import scipy.ndimage
import tifffile

from microscope_quality import FocusModel, measure_focus
from microscope_quality.errors import SettingsError
from microscope_quality.evaluation.card import write_card
from microscope_quality.evaluation.gather import gather
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.simulate import nuclei
from microscope_quality.training.architectures import get_architecture
from microscope_quality.training.defocus.microscope import Microscope
from microscope_quality.training.defocus.sets import SetSettings, SetWriter
from microscope_quality.training.defocus.stream import StreamSettings
from microscope_quality.training.defocus.train import (
    TrainingSettings,
    find_images,
    stream_of,
    train,
)
from microscope_quality.training.entries import entries
from microscope_quality.training.fields import GroupBy

fitting = pytest.importorskip(
    "microscope_quality.training.fitting",
    reason="needs Keras and TensorFlow: pip install 'microscope-quality[train]'",
)

pytestmark = pytest.mark.training


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """Few of the patches of a block are trained on here, and making them takes longest."""
    with patch.object(fitting, "BLOCK_SIZE", 128):
        yield


@pytest.fixture(scope="module")
def sharp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nuclei")
    for seed in range(6):
        light = nuclei((260, 260), 40, seed)
        taken = np.random.default_rng(seed).poisson(light * 3000 + 100)
        tifffile.imwrite(folder / f"{seed}.tif", taken.astype(np.uint16))
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


def test_a_model_tells_how_it_was_made(trained, sharp):
    out, description, _ = trained
    record = json.loads((out / "tiny" / "model.json").read_text())["training"]
    assert len(record["validation_files"]) == 1
    assert record["training_images"] == 5
    assert len(record["training_files"]) == 5
    assert set(record["training_files"]) | set(record["validation_files"]) == {
        f"{sharp.name}/{seed}.tif" for seed in range(6)
    }
    (stage,) = record["stages"]
    assert (stage["first_step"], stage["steps"]) == (0, 60)
    found = record["validation_images"]
    assert found["images"] == 11 == np.sum(found["confusion"]) + found["undefined"]
    assert np.trace(found["confusion"]) == round(11 * found["exact"])
    # 4 patches on a side of 260 pixels.
    assert record["validation_patches"]["patches"] == 11 * 16
    assert sum(record["validation_patches"]["calibration"]["count"]) == 11 * 16
    assert record["best_step"] == 60
    assert stage["stream"]["normalisation"] == "zscore"
    assert 0 < description.sure_certainty <= 1


def test_training_goes_on_from_its_checkpoint(sharp, tmp_path):
    settings = dict(batch_size=32, workers=0, seed=1, validation_fraction=0, empty_patches=500)
    train([sharp], tmp_path, "one", TrainingSettings(steps=8, **settings))
    records = []
    train([sharp], tmp_path, "two", TrainingSettings(steps=12, **settings), report=records.append)
    assert [record["step"] for record in records if "step" in record] == [12]
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-12.npz"]
    stages = FocusModel.from_pretrained(tmp_path / "two").description.training["stages"]
    assert [(stage["first_step"], stage["steps"]) for stage in stages] == [(0, 8), (8, 12)]


def test_an_interruption_after_the_last_step_costs_no_step_and_one_part(trained, sharp, tmp_path):
    out, expected, _ = trained
    settings = TrainingSettings(steps=60, batch_size=32, workers=0, seed=1, empty_patches=1000)
    weights = (out / "tiny" / "weights.npz").read_bytes()

    def interrupted_at(reached):
        records = []

        def report(record):
            records.append(record)
            if reached(record):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train([sharp], tmp_path, "tiny", settings, report=report)
        return records

    def parts(records):
        found = [record for record in records if record.get("doing", "").startswith("measuring")]
        return [(record["done"], record["of"]) for record in found]

    # One image that is held out, and one part of the empty patches.
    first = interrupted_at(lambda record: record.get("of") == 2 and record["done"] == 0)
    assert [record["step"] for record in first if "loss" in record] == [60]
    second = interrupted_at(lambda record: record.get("of") == 2 and record["done"] == 1)
    third = interrupted_at(lambda record: "validation_images" in record)
    assert not (tmp_path / "tiny").exists()
    last = []
    description = train([sharp], tmp_path, "tiny", settings, report=last.append)
    assert [parts(records) for records in (first, second, third, last)] == [
        [(0, 2)],
        [(0, 2), (1, 2)],
        [(1, 2), (2, 2)],
        [(2, 2)],
    ]
    for records in (second, third, last):
        assert not [record for record in records if "loss" in record or "at" in record]
        assert {"goes_on_from": 60, "steps": 60} in records
    assert (tmp_path / "tiny" / "weights.npz").read_bytes() == weights
    assert description.focus == expected.focus
    for name in ("validation_images", "validation_patches", "best_step", "validation_files"):
        assert description.training[name] == expected.training[name]


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

    plain = stream_of(get_architecture("yang2018"), StreamSettings(), augment=False)
    assert (plain.gain, plain.offset) == ((1.0, 1.0), (1.0, 1.0))


def test_a_model_has_what_its_card_tells(trained):
    out, description, _ = trained
    text = write_card(out / "tiny").read_text(encoding="utf-8")
    assert f"certainty of {description.sure_certainty:.4f}" in text
    exact = description.training["validation_images"]["exact"]
    assert f"| whole images | 11 | {exact:.1%} |" in text


def test_a_model_may_be_trained_on(trained, sharp, tmp_path):
    out, origin, _ = trained
    own = tmp_path / "own"
    own.mkdir()
    for seed in range(3):
        light = nuclei((150, 150), 15, 10 + seed)
        tifffile.imwrite(own / f"{seed}.tif", (light * 3000 + 100).astype(np.uint16))
    settings = TrainingSettings(
        start=str(out / "tiny"), batch_size=16, workers=0, steps=1, empty_patches=500
    )
    description = train([own], tmp_path / "out", "tuned", settings)
    record = description.training
    assert record["from"] == {"name": "tiny", "sha256": origin.sha256}
    # A tenth of the architecture's rate; one step of it moves a weight by that at most.
    recipe = get_architecture("compact").recipe
    assert record["stages"][0]["learning_rate"] == pytest.approx(recipe.learning_rate / 10)
    assert description.layers == origin.layers
    before, after = (
        np.load(folder / "weights.npz") for folder in (out / "tiny", tmp_path / "out" / "tuned")
    )
    # The temperature of the softmax is in the weights of the last layer.
    last = description.layers[-1]["name"]
    with before, after:
        degrees = {
            name: record["temperature"] if name.startswith(f"{last}/") else 1.0
            for name in before.files
        }
        moved = max(
            np.abs(before[name] - degrees[name] * after[name]).max() for name in before.files
        )
    assert 0 < moved <= 1.01 * recipe.learning_rate / 10
    # What the first model has seen, this one has seen.
    assert set(origin.training["training_files"]) < set(record["training_files"])
    assert {entry["kind"] for entry in description.licences} == {"own", sharp.name}
    card = write_card(tmp_path / "out" / "tuned").read_text(encoding="utf-8")
    assert "It went on from the model `tiny`" in card


def test_blurred_images_are_left_out_and_stacks_give_their_sharpest_plane(sharp, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(sharp, own)
    blurred = scipy.ndimage.gaussian_filter(tifffile.imread(own / "0.tif").astype(float), 8)
    tifffile.imwrite(own / "blurred.tif", blurred.astype(np.uint16))
    stack = np.stack([blurred.astype(np.uint16), tifffile.imread(own / "1.tif")])
    tifffile.imwrite(own / "stack.tif", stack, photometric="minisblack")
    settings = dict(batch_size=16, workers=0, steps=1, validation_fraction=0, empty_patches=500)
    records = []
    description = train(
        [own], tmp_path / "out", "m", TrainingSettings(**settings), report=records.append
    )
    record = description.training
    assert record["training_images"] == 7
    assert set(record["left_out"]) == {"blurred.tif"}
    assert record["left_out"]["blurred.tif"].startswith("blurred: compact puts it at level")
    (told,) = (record for record in records if "left_out" in record)
    assert set(told["left_out"]) == {str(own / "blurred.tif")}
    checked = [
        (record["done"], record["of"])
        for record in records
        if record.get("doing", "").startswith("checking") and "done" in record
    ]
    assert checked == [(done, 8) for done in range(9)]
    assert (record["check"]["left_out"], record["check"]["model"]) == (1, "compact")
    assert record["planes"] == {"own/stack.tif": 1}
    found = find_images([own], None, TrainingSettings(check=False), GroupBy(), StreamSettings())
    assert (len(found.images), found.left_out) == (8, {})
    assert "check" not in found.record


def test_a_set_of_synthesize_may_be_trained_on(sharp, tmp_path):
    with SetWriter(tmp_path / "set", SetSettings()) as writer:
        for seed in range(3):
            writer.add(f"{seed}.tif", sharp / f"{seed}.tif")
    settings = TrainingSettings(batch_size=16, workers=1, steps=1, empty_patches=500)
    description = train([tmp_path / "set"], tmp_path / "out", "m", settings)
    record = description.training
    assert (record["training_images"], len(record["validation_files"])) == (2, 1)
    assert record["validation_images"]["images"] == 11
    assert record["stored_sets"] == 1
    with pytest.raises(SettingsError, match="cannot be mixed"):
        train([tmp_path / "set", sharp], tmp_path / "out", "m", settings)


def test_a_model_for_a_set_has_the_sets_optics(sharp, tmp_path):
    optics = dataclasses.replace(TRAINING_OPTICS, na=0.75)
    for name, used in (("own", optics), ("usual", TRAINING_OPTICS)):
        with SetWriter(tmp_path / name, SetSettings(Microscope(used))) as writer:
            for seed in range(3):
                writer.add(f"{seed}.tif", sharp / f"{seed}.tif")
    settings = TrainingSettings(batch_size=16, workers=0, steps=1, empty_patches=500)
    description = train([tmp_path / "own"], tmp_path / "out", "m", settings)
    assert description.optics == optics
    assert description.training["stages"][0]["stream"]["microscope"]["optics"]["na"] == 0.75
    with pytest.raises(SettingsError, match=r"the sets are for several: na=0\.5.*; na=0\.75"):
        train([tmp_path / "own", tmp_path / "usual"], tmp_path / "both", "m", settings)


def test_an_evaluation_finds_what_a_training_names(trained, sharp, tmp_path, monkeypatch):
    _, description, _ = trained
    for name, place in (("set", ""), ("foldered", f"{sharp.name}/")):
        with SetWriter(tmp_path / name, SetSettings()) as writer:
            for seed in range(6):
                writer.add(f"{place}{seed}.tif", sharp / f"{seed}.tif")
    monkeypatch.chdir(sharp)
    plain, foldered = str(tmp_path / "set"), str(tmp_path / "foldered")
    for learned_from in (".", "3.tif", "*.tif", str(sharp), f"../{sharp.name}", foldered, plain):
        learned = find_images(
            [Path(learned_from)], None, TrainingSettings(check=False), GroupBy(), StreamSettings()
        )
        listed = entries(learned.images)
        assert len(listed) == (1 if learned_from == "3.tif" else 6)
        for place in (".", str(sharp), foldered, plain):
            found = gather([place], only=listed)
            assert sorted(source.entry for source in found.sources) == listed
            others = gather([place], without=dict.fromkeys(listed, "known"))
            assert len(others.sources) == 6 - len(listed)
    listed = description.training["training_files"]
    assert sorted(source.entry for source in gather(["."], only=listed).sources) == listed


def test_a_model_that_goes_on_holds_out_what_is_new_to_it(trained, sharp, tmp_path):
    out, origin, _ = trained
    settings = dict(start=str(out / "tiny"), batch_size=16, workers=0, steps=1, empty_patches=500)
    # Another seed would hold out another image: the first model knows all but one.
    again = train([sharp], tmp_path / "again", "m", TrainingSettings(**settings, seed=5)).training
    assert again["validation_files"] == origin.training["validation_files"]
    known = [sharp / Path(entry).name for entry in origin.training["training_files"]]
    with pytest.raises(SettingsError, match="none can be held out"):
        train(known, tmp_path / "known", "m", TrainingSettings(**settings))
    none = TrainingSettings(**settings, validation_fraction=0)
    assert train(known, tmp_path / "known", "m", none).training["validation_files"] == []


def test_no_images_is_said(tmp_path):
    with pytest.raises(SettingsError, match="no image file was found"):
        train([tmp_path], tmp_path / "out", "none", TrainingSettings(steps=1))
