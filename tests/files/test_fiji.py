"""A model as one file for ImageJ."""

import io
import json
import zipfile

import coded
import fiji_vectors
import numpy as np
import pytest

from microscope_quality.errors import FileError, ModelError, ModelNotFoundError
from microscope_quality.files.fiji import export_model, is_exported
from microscope_quality.model import FocusModel
from microscope_quality.rater import rate_image


@pytest.fixture
def folder(tmp_path):
    coded.write(tmp_path / "coded")
    return tmp_path / "coded"


def test_the_file_is_the_model(folder, tmp_path):
    description = export_model(folder, tmp_path / "new" / "coded.zip")
    assert description.name == "coded"
    with zipfile.ZipFile(tmp_path / "new" / "coded.zip") as packed:
        packed.extractall(tmp_path / "unpacked")
        assert packed.testzip() is None
    patches = coded.patch(3)[np.newaxis]
    expected = FocusModel.from_pretrained(folder).predict(patches)
    unpacked = FocusModel.from_pretrained(tmp_path / "unpacked").predict(patches)
    np.testing.assert_array_equal(unpacked, expected)


def test_a_rater_is_exported_with_its_own_score(tmp_path):
    fiji_vectors.write_rater(tmp_path / "rater")
    description = export_model(tmp_path / "rater", tmp_path / "rater.zip")
    assert description.task == "rating"
    with zipfile.ZipFile(tmp_path / "rater.zip") as packed:
        packed.extractall(tmp_path / "unpacked")
    plane = fiji_vectors.image({"drawn": [2, 2], "size": [256, 256]})[0]
    expected = rate_image(plane, tmp_path / "rater").score
    assert rate_image(plane, tmp_path / "unpacked").score == expected


def test_a_model_of_another_task_is_not_exported(tmp_path):
    coded.write_of_another_task(tmp_path / "toy")
    with pytest.raises(ModelError, match="'toy' is a model of the task 'score'; the plugin"):
        export_model(tmp_path / "toy", tmp_path / "toy.zip")
    assert not (tmp_path / "toy.zip").exists()


def test_equal_models_make_equal_files(folder, tmp_path):
    export_model(folder, tmp_path / "one.zip")
    export_model(folder, tmp_path / "other.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "other.zip").read_bytes()


def test_an_older_exported_model_is_replaced(folder, tmp_path):
    path = tmp_path / "model.zip"
    export_model(folder, path)
    coded.write(tmp_path / "second", name="second")
    export_model(tmp_path / "second", path)
    with zipfile.ZipFile(path) as packed:
        assert json.loads(packed.read("model.json"))["name"] == "second"
    assert not list(tmp_path.glob(".*"))


def another_archive():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("model.json", "{}")
        packed.writestr("notes.txt", "mine")
    return content.getvalue()


@pytest.mark.parametrize("content", [b"", b"my notes", another_archive()])
def test_nothing_else_is_replaced(folder, tmp_path, content):
    path = tmp_path / "notes.zip"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"notes\.zip exists and is no exported model"):
        export_model(folder, path)
    assert path.read_bytes() == content
    assert not is_exported(path)


def test_a_folder_at_that_place_stays(folder, tmp_path):
    with pytest.raises(FileError, match="is no exported model"):
        export_model(folder, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.npz"]


def test_a_place_that_cannot_be_written_is_named(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"model\.zip cannot be written"):
        export_model(folder, tmp_path / "file" / "model.zip")


def test_a_damaged_model_is_not_exported(folder, tmp_path):
    content = bytearray((folder / "weights.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "weights.npz").write_bytes(content)
    with pytest.raises(ModelError, match="checksum"):
        export_model(folder, tmp_path / "model.zip")
    with pytest.raises(ModelNotFoundError):
        export_model(tmp_path, tmp_path / "model.zip")
    assert not (tmp_path / "model.zip").exists()
