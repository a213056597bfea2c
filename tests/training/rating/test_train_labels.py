"""From a table of labels to a model folder: what it learns, what it says of it, what is refused."""

import csv
import json

import labelled_images
import numpy as np
import pytest
import tifffile

from microscope_quality.errors import FileError, MicroscopeQualityError, SettingsError
from microscope_quality.model import read_description
from microscope_quality.rating.labelled import labelled_patches, read_patches
from microscope_quality.rating.labels import read_labels
from microscope_quality.rating.published import PublishedRater, verify_published

pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
from microscope_quality.training.rating.train_labels import LabelSettings, train_on_labels

pytestmark = pytest.mark.training

SIDE = 64
# Ends soon, and has learned by then.
QUICK = LabelSettings("sted", epochs=14, learning_rate=0.05, batch_size=8, group_by="folder")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return labelled_images.write(tmp_path_factory.mktemp("labels") / "set", each=16, side=SIDE)


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    """Folder of a model, its description, and the records of its training."""
    folder, records = tmp_path_factory.mktemp("trained"), []
    description = train_on_labels(
        table, folder, "sharpness", QUICK, command="train it", report=records.append
    )
    return folder / "sharpness", description, records


def test_a_network_learns_what_the_labels_say(trained):
    _, description, _ = trained
    told = description.training
    assert told["validation"]["plcc"] > 0.7
    assert told["validation"]["rmse"] < 0.8 * told["of_the_mean"]["rmse"]


def test_no_group_is_on_both_sides(trained, table):
    _, description, _ = trained
    told = description.training
    groups = set(told["training"]["names"]), set(told["validation_by_group"])
    assert not groups[0] & groups[1]
    assert groups[0] | groups[1] == {f"animal{k}" for k in range(4)}
    assert told["training"]["patches"] == 16 * len(groups[0])
    assert told["validation"]["patches"] == 16 * len(groups[1])
    assert told["epoch_chosen_on"] == "the groups held out"


def test_the_folder_rates_as_the_record_says(trained, table):
    folder, description, _ = trained
    rater = PublishedRater.from_folder(folder, engine="keras")
    patches = labelled_patches(read_labels(table), table.parent)
    held_out = [
        p for p in patches if p.image.split("/")[0] in description.training["validation_by_group"]
    ]
    crops = read_patches(held_out, SIDE)
    errors = rater.predict(np.concatenate(crops)) - [patch.score for patch in held_out]
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(
        description.training["validation"]["rmse"], abs=1e-5
    )
    history = description.training["history"]
    best = min(history, key=lambda record: record["validation_rmse"])
    assert description.training["best_epoch"] == best["epoch"]


def test_the_folder_is_whole_and_tells_how_it_was_made(trained):
    folder, description, _ = trained
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.keras"]
    assert verify_published(folder) == description == read_description(folder)
    assert (description.task, description.architecture) == ("rating", "sted")
    assert (description.patch_size, description.normalisation) == (SIDE, "zscore")
    assert description.details["labels"] == description.details["labelled_patches"] == 64
    told = description.training
    assert told["command"] == "train it"
    assert told["stages"] == [{"epochs": 14, "learning_rate": 0.05, "frozen": []}]
    assert json.loads((folder / "model.json").read_text("utf-8"))["training"] == told


def test_what_is_reported_is_what_was_done(trained):
    _, description, records = trained
    begun = next(record for record in records if "patch_size" in record)
    assert begun["training"]["patches"] + begun["validation"]["patches"] == 64
    epochs = [record for record in records if "epoch" in record]
    assert [record["epoch"] for record in epochs] == list(range(1, 15))
    steps = [record for record in records if "at" in record]
    assert steps[-1]["at"] == steps[-1]["steps"] == len(steps)
    assert records[-1]["validation"]["rmse"] == description.training["validation"]["rmse"]


def test_the_same_command_goes_on_and_says_so(trained, table):
    folder, description, _ = trained
    records = []
    again = train_on_labels(
        table, folder.parent, "sharpness", QUICK, command="train it", report=records.append
    )
    assert {"goes_on_from": 14, "epochs": 14} in records
    assert not any("at" in record for record in records)
    assert again.training["history"] == description.training["history"]
    with pytest.raises(SettingsError, match="holds a training with another seed"):
        other = LabelSettings(**{**vars(QUICK), "seed": 1})
        train_on_labels(table, folder.parent, "sharpness", other)


def _changed(table, to, change):
    """Write the table with its rows changed."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = [dict(row, y="", x="", size="") for row in csv.DictReader(file)]
    change(rows)
    return labelled_images.table(to, rows)


def _patch(row, y, x, size):
    row.update(y=y, x=x, size=size)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (
            lambda rows: rows[3].update(score="much"),
            FileError,
            r"line 5, column score: found 'much'",
        ),
        (lambda rows: rows[3].update(score="1.2"), FileError, r"found '1.2', and it must be"),
        (lambda rows: rows[3].update(image="gone.tif"), FileError, r"lacks 1 of .* gone\.tif"),
        (
            lambda rows: [row.update(score="0.5") for row in rows],
            SettingsError,
            "different scores, and all 64 have 0.5",
        ),
        (
            lambda rows: _patch(rows[3], 0, 1, SIDE),
            FileError,
            r"s03\.tif: has 64 × 64 pixels, and the labelled patch of 64 × 64 at x = 1, y = 0",
        ),
        (
            lambda rows: _patch(rows[3], 0, 0, 40),
            SettingsError,
            "patch_size must be 64 to 1024 pixels for sted; what was labelled has 40",
        ),
        (lambda rows: rows[3].update(image="other.tif"), FileError, "other.tif"),
        (lambda rows: rows.clear() or rows.append({"image": "", "score": ""}), FileError, "image"),
        (
            lambda rows: [row.update(image="animal0/s00.tif") for row in rows],
            SettingsError,
            "one group, .*, and there must be two at least",
        ),
    ],
)
def test_labels_that_cannot_be_learned_from_are_refused(table, tmp_path, change, error, said):
    (table.parent / "other.tif").write_bytes(b"no image")
    changed = _changed(table, tmp_path / "labels.csv", change)
    settings = LabelSettings("sted", epochs=1)
    out = tmp_path / "out"
    with pytest.raises(error, match=said) as refused:
        train_on_labels(changed, out, "m", settings, images=table.parent)
    assert isinstance(refused.value, MicroscopeQualityError)
    assert not out.exists()


def test_one_score_in_all_groups_but_those_held_out_is_refused(table, tmp_path):
    def change(rows):
        for row in rows:
            row["score"] = "0.5"
        rows[0]["score"] = "0.9"

    changed = _changed(table, tmp_path / "labels.csv", change)
    settings = LabelSettings("sted", epochs=1, group_by="image", validation_fraction=0.5)
    seeds = [LabelSettings(**{**vars(settings), "seed": seed}) for seed in range(20)]
    refused = 0
    for one in seeds:
        try:
            train_on_labels(changed, tmp_path / "out", "m", one, images=table.parent, report=_stop)
        except SettingsError as error:
            assert "must have different scores, and all 32 have 0.5" in str(error)
            refused += 1
        except _StoppedError:
            pass
    assert 0 < refused < 20


class _StoppedError(Exception):
    """The training would begin."""


def _stop(record):
    if "patch_size" in record:
        raise _StoppedError


def test_a_labelled_patch_that_is_larger_counts_by_several(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for group in range(2):
        for number in range(4):
            name = f"g{group}_{number}.tif"
            tifffile.imwrite(tmp_path / name, rng.integers(0, 255, (40, 40)).astype(np.uint8))
            rows.append({"image": name, "score": 0.1 + 0.2 * number})
    table = labelled_images.table(tmp_path / "labels.csv", rows)
    settings = LabelSettings(
        "miqa", epochs=1, patch_size=16, group_by=r"(?P<group>g\d)", validation_fraction=0.5
    )
    description = train_on_labels(table, tmp_path / "out", "m", settings)
    assert description.patch_size == 16
    rater = PublishedRater.from_folder(tmp_path / "out" / "m", engine="keras")
    (held_out,) = description.training["validation_by_group"]
    errors = []
    for row in rows:
        if row["image"].startswith(held_out):
            pixels = tifffile.imread(tmp_path / row["image"])
            crops = np.stack([pixels[y : y + 16, x : x + 16] for y in (0, 24) for x in (0, 24)])
            errors.append(rater.predict(crops).mean() - row["score"])
    assert np.abs(errors).mean() == pytest.approx(
        description.training["validation"]["mae"], abs=1e-4
    )
