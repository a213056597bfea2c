"""Normalisation, model folders and their refusals."""

import dataclasses
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import coded
import numpy as np
import pytest
from coded import write_of_another_task
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from systems import posix, sparse_files

from microscope_quality import model
from microscope_quality.errors import (
    ArgumentError,
    FileError,
    ImageError,
    ModelError,
    ModelNotFoundError,
    SettingsError,
)
from microscope_quality.model import (
    FocusModel,
    ModelDescription,
    available_models,
    find_model,
    read_model,
    verify,
    write_model,
)
from microscope_quality.normalisation import NORMALISATIONS, half_unmasked, normalise, zscore
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.rater import RatingModel

PACKAGE = Path(model.__file__).parent
INTEGERS = [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64]
FLOATS = [np.float16, np.float32, np.float64]
OPTICS = TRAINING_OPTICS.to_dict()
OF_FOCUS = ("levels", "optics", "sure_certainty")


@pytest.fixture
def folder(tmp_path):
    coded.write(tmp_path / "coded")
    return tmp_path / "coded"


def edit(folder, **changes):
    path = folder / "model.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    of_focus = {key: changes.pop(key) for key in OF_FOCUS if key in changes}
    values.update(changes)
    if of_focus:
        values["focus"].update(of_focus)
    path.write_text(json.dumps(values), encoding="utf-8")


def as_schema_1(folder):
    """Write the description as it was when all models were of focus."""
    path = folder / "model.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    del values["task"]
    values.update(values.pop("focus"), schema_version=1)
    path.write_text(json.dumps(values), encoding="utf-8")


def replace_weights(folder, content):
    (folder / "weights.npz").write_bytes(content)
    edit(folder, sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_zscore_is_numpys_mean_and_population_deviation(dtype):
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 100, (40, 9, 9)).astype(dtype)
    found, counts = zscore(patches)
    assert found.dtype == np.float32
    assert counts.all()
    x = patches.astype(float)
    expected = (x - x.mean(axis=(1, 2), keepdims=True)) / x.std(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    gain=st.floats(1e-2, 1e3),
    offset=st.floats(-1e3, 1e3),
    seed=st.integers(0, 100),
    masked=st.booleans(),
)
def test_zscore_does_not_see_gain_and_offset(gain, offset, seed, masked):
    rng = np.random.default_rng(seed)
    patches = rng.normal(size=(3, 12, 12))
    masks = rng.random(patches.shape) < 0.8 if masked else None
    plain, _ = zscore(patches, masks)
    changed, counts = zscore(gain * patches + offset, masks)
    assert counts.all()
    np.testing.assert_allclose(changed, plain, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e-160, 1e160, 1e300])
def test_zscore_of_floats_of_any_scale(scale):
    # In steps of a power of two, so that denormal numbers hold them too.
    patches = np.random.default_rng(1).integers(0, 200, (2, 9, 9)).astype(float)
    np.testing.assert_allclose(zscore(patches * scale)[0], zscore(patches)[0], rtol=1e-3)


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
@pytest.mark.parametrize("value", [0, 1, 77])
def test_constant_patches_do_not_count(dtype, value):
    for normalisation in ("zscore", "type_range"):
        found, counts = normalise(np.full((2, 9, 9), value, dtype), normalisation)
        assert not counts.any()
        assert not found.any()


def test_deviations_below_a_millionth_of_the_mean_are_constant():
    ripple = np.resize([-1.0, 1.0], (1, 8, 8))
    for size, constant in ((0.9e-6, True), (1.1e-6, False)):
        for mean in (1000.0, -1000.0):
            assert zscore(mean * (1 + size * ripple))[1][0] == (not constant)
    # Around a mean of 0, the smallest ripple is content.
    assert zscore(1e-12 * ripple)[1][0]


def test_masked_pixels_are_of_no_consequence_and_the_patch_is_normalised_with_what_fills_them():
    rng = np.random.default_rng(2)
    patches = gaussian_filter(rng.normal(100, 50, (3, 40, 40)), (0, 2, 2))
    masks = rng.random(patches.shape) < 0.9
    spoilt = np.where(masks, patches, [[[np.nan]], [[np.inf]], [[1e300]]])
    found, counts = zscore(spoilt, masks)
    assert counts.all()
    np.testing.assert_array_equal(found, zscore(np.where(masks, patches, -7), masks)[0])
    np.testing.assert_allclose(found.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=(1, 2)), 1, atol=1e-5)
    # Smooth as the patches are, they are nearly what they were.
    assert np.abs(found - zscore(patches)[0]).mean() < 0.02


def test_a_patch_counts_from_half_its_pixels_on():
    patches = np.random.default_rng(3).normal(size=(3, 40, 40))
    # What is to be seen is not at the mask's border.
    patches[:, 10:] = 0
    masks = np.zeros((3, 1600), bool)
    for k, pixels in enumerate((799, 800, 0)):
        masks[k, :pixels] = True
    masks = masks.reshape(3, 40, 40)
    np.testing.assert_array_equal(half_unmasked(masks), [False, True, False])
    found, counts = zscore(patches, masks)
    np.testing.assert_array_equal(counts, [False, True, False])
    assert not found[[0, 2]].any()


def test_a_mask_that_leaves_a_constant_does_not_count():
    patches = np.ones((1, 10, 10))
    patches[0, :4] = np.arange(40).reshape(4, 10)
    masks = np.ones((1, 10, 10), bool)
    masks[0, :4] = False
    assert not zscore(patches, masks)[1].any()


def test_type_range_divides_by_the_types_largest_value():
    patches = np.array([[[0, 51], [255, 102]]])
    for dtype, largest in ((np.uint8, 255), (np.uint16, 65535), (np.int32, 2**31 - 1)):
        found, counts = normalise(patches.astype(dtype), "type_range")
        np.testing.assert_allclose(found, patches / largest, rtol=1e-6)
        assert counts.all()
    found, _ = normalise(patches.astype(np.float32), "type_range", type_max=255)
    np.testing.assert_allclose(found, patches / 255, rtol=1e-6)
    # Floats lie in 0 to 1; what does not is clipped.
    found, _ = normalise(np.array([[[-0.5, 0.25], [1.0, 1e300]]]), "type_range")
    np.testing.assert_allclose(found, [[[0, 0.25], [1, 1]]], rtol=1e-6)


def test_type_range_fills_masked_pixels_within_the_others():
    patches = np.array([[[10, 30], [30, 200]]], np.uint8)
    masks = np.array([[[True, True], [True, False]]])
    found, counts = normalise(patches, "type_range", masks=masks)
    assert counts.all()
    np.testing.assert_allclose(found[masks], np.array([10, 30, 30]) / 255, rtol=1e-6)
    assert 10 / 255 <= found[0, 1, 1] <= 30 / 255


def test_unknown_normalisation_is_refused():
    with pytest.raises(SettingsError, match=r"'minmax' is unknown; known are zscore, type_range"):
        normalise(np.zeros((1, 2, 2)), "minmax")


def test_written_models_read_back(folder):
    loaded = FocusModel.from_pretrained(folder)
    sha256 = hashlib.sha256((folder / "weights.npz").read_bytes()).hexdigest()
    assert loaded.description == coded.description(sha256=sha256)
    assert verify(folder) == loaded.description
    assert sorted(path.name for path in folder.parent.iterdir()) == ["coded"]
    values = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert list(values)[:3] == ["schema_version", "name", "task"]
    assert (values["schema_version"], values["task"]) == (2, "focus")
    assert values["focus"] == {"levels": 11, "optics": OPTICS, "sure_certainty": coded.SURE}
    assert ModelDescription.from_dict(values).to_dict() == values


def test_the_first_schema_reads_as_focus(folder):
    described = verify(folder)
    as_schema_1(folder)
    assert verify(folder) == described
    loaded = FocusModel.from_pretrained(folder)
    assert loaded.description.task == "focus"
    assert loaded.predict(coded.patch(3)[None]).argmax() == 3
    edit(folder, task="focus")
    with pytest.raises(ModelError, match="'task' unknown"):
        verify(folder)


def test_a_model_of_another_task_is_found_and_read_and_not_taken_for_focus(tmp_path):
    written = write_of_another_task(tmp_path / "toy")
    described, weights = read_model(tmp_path / "toy")
    assert described == written == verify(find_model(tmp_path / "toy"))
    assert (described.task, described.details) == ("score", {"good": "up"})
    assert sorted(weights) == ["d/bias", "d/kernel"]
    values = json.loads((tmp_path / "toy" / "model.json").read_text(encoding="utf-8"))
    assert (values["task"], values["score"]) == ("score", {"good": "up"})
    assert model.Model.from_pretrained(tmp_path / "toy").description == written
    words = "'toy' is a model of the task 'score', not of focus"
    for _ in range(2):
        with pytest.raises(ModelError, match=words) as caught:
            FocusModel.from_pretrained(tmp_path / "toy")
        assert str(tmp_path) in str(caught.value)
    with pytest.raises(ModelError, match=words):
        FocusModel(described, weights)
    for entry in OF_FOCUS:
        with pytest.raises(ModelError, match=words):
            getattr(described, entry)


@pytest.mark.parametrize("task", ["", "Score", "two words", "sha256", "schema_version", "a" * 101])
def test_what_is_no_name_of_a_task_is_refused(tmp_path, task):
    with pytest.raises(ModelError, match="task must be one word in small letters"):
        write_of_another_task(tmp_path / "toy", task=task)


def test_a_task_without_its_object_is_refused(tmp_path):
    with pytest.raises(ModelError, match="score must be an object, not 1"):
        write_of_another_task(tmp_path / "toy", details=1)
    with pytest.raises(ModelError, match="focus must be an object"):
        write_of_another_task(tmp_path / "toy", task="focus")
    write_of_another_task(tmp_path / "toy")
    edit(tmp_path / "toy", task="rating")
    with pytest.raises(ModelError, match="rating missing; 'score' unknown"):
        verify(tmp_path / "toy")


def test_weights_are_read_as_they_were_written(folder):
    described, weights = read_model(folder)
    assert described == verify(folder)
    assert weights.keys() == coded.weights().keys()
    for key, values in coded.weights().items():
        np.testing.assert_array_equal(weights[key], values)
    with pytest.raises(ModelNotFoundError, match="There is no folder"):
        read_model(folder / "below")


def test_predictions_are_the_networks(folder):
    loaded = FocusModel.from_pretrained(folder)
    patches = np.stack([coded.patch(level) for level in (0, 3, 10)])
    p = loaded.predict(patches)
    assert p.dtype == np.float64
    np.testing.assert_array_equal(p.argmax(axis=1), [0, 3, 10])
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    # Log-odds of neighbours on both sides of a level are the steepness.
    np.testing.assert_allclose(np.log(p[1, 3] / p[1, [2, 4]]).mean(), coded.STEEPNESS, rtol=1e-3)


def test_predictions_of_patches_that_do_not_count_are_undefined(folder):
    loaded = FocusModel.from_pretrained(folder)
    patches = np.stack([coded.patch(2), np.full((84, 84), 7), coded.patch(5)])
    p = loaded.predict(patches)
    np.testing.assert_array_equal(np.isnan(p).any(axis=1), [False, True, False])
    np.testing.assert_allclose(p[[0, 2]], loaded.predict(patches[[0, 2]]), atol=1e-6)
    assert np.isnan(p[1]).all()
    assert loaded.predict(patches[:0]).shape == (0, 11)


def test_a_model_is_loaded_once_by_all_threads(folder):
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(FocusModel.from_pretrained, [folder] * 16))
    assert all(one is loaded[0] for one in loaded)
    assert FocusModel.from_pretrained(str(folder)) is loaded[0]
    coded.write_model(folder, coded.description(sure_certainty=0.5), coded.weights())
    assert FocusModel.from_pretrained(folder).description.sure_certainty == 0.5


def test_a_model_serves_several_threads(folder):
    loaded = FocusModel.from_pretrained(folder)
    batches = [np.stack([coded.patch(level, seed) for level in range(11)]) for seed in range(8)]
    alone = [loaded.predict(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(loaded.predict, batches))
    for a, b in zip(alone, together):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_models_that_come_with_the_library_are_whole():
    kinds = {"focus": FocusModel, "rating": RatingModel}
    for name, folder in available_models().items():
        description = verify(folder)
        assert description.name == name
        assert kinds[description.task].from_pretrained(name).description == description


def test_wrong_names_list_what_there_is(tmp_path):
    with pytest.raises(ModelNotFoundError, match="no model named 'compakt'") as caught:
        FocusModel.from_pretrained("compakt")
    for name in available_models():
        assert name in str(caught.value)
    with pytest.raises(ModelNotFoundError, match="no folder of that path"):
        FocusModel.from_pretrained(tmp_path / "nothing")


def test_a_model_inside_the_package_is_found_where_nothing_is_installed(tmp_path):
    """As beside a CellProfiler plugin: the modules and the model folder, copied."""
    copy = tmp_path / "plugins" / "microscope_quality"
    copy.mkdir(parents=True)
    for module in PACKAGE.glob("*.py"):
        shutil.copy(module, copy)
    coded.write(copy / "pretrained" / "inside")
    coded.write(copy.parent / "pretrained" / "beside")
    coded.write(copy.parent / "pretrained" / "inside", sure_certainty=0.9)
    code = (
        "from microscope_quality import FocusModel, available_models\n"
        "print(*sorted(available_models()))\n"
        "print(FocusModel.from_pretrained('inside').description.sure_certainty)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=copy.parent, check=True, capture_output=True, text=True
    ).stdout
    assert printed.split() == ["beside", "inside", str(coded.SURE)]


def test_a_folder_without_a_description_is_no_model(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"no model folder: model\.json is missing"):
        FocusModel.from_pretrained(tmp_path)


def test_missing_weights_are_refused(folder):
    (folder / "weights.npz").unlink()
    with pytest.raises(ModelError, match=r"damaged: weights\.npz is missing"):
        FocusModel.from_pretrained(folder)


def test_a_wrong_checksum_is_refused(folder):
    path = folder / "weights.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="wrong checksum"):
        verify(folder)


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_truncated_weights_are_refused(folder, share):
    path = folder / "weights.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match=r"weights\.npz is truncated"):
        FocusModel.from_pretrained(folder)


@pytest.mark.parametrize("version", [0, 3, "1", None])
def test_unknown_schema_versions_are_refused(folder, version):
    edit(folder, schema_version=version)
    with pytest.raises(ModelError, match=r"Schema version .* is unknown; .* reads those up to 2"):
        FocusModel.from_pretrained(folder)


def test_python_objects_are_refused(folder):
    archive = io.BytesIO()
    np.savez(archive, **{**coded.weights(), "signs/bias": np.array([{}, {}], object)})
    replace_weights(folder, archive.getvalue())
    with pytest.raises(ModelError, match="holds Python objects"):
        FocusModel.from_pretrained(folder)


def test_archives_of_something_else_are_refused(folder):
    replace_weights(folder, b"PK\x05\x06" + bytes(18))
    with pytest.raises(ModelError, match="lack 'signs/kernel'"):
        FocusModel.from_pretrained(folder)
    replace_weights(folder, b"no archive")
    with pytest.raises(ModelError, match=r"weights\.npz is truncated or no archive"):
        FocusModel.from_pretrained(folder)


def _npy(shape, content=b"", descr="<f4"):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + content


def _archive(members, method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_npy("(99999999999999,)"), "which are not the 399999999999996 bytes that its shape"),
        (_npy("(-1,)"), "its shape"),
        (_npy("(2,)", bytes(8) + b"x"), "its shape"),
        (_npy("(0,)", descr="(1000000,)f4"), "weights are floats"),
        (_npy("(" * 500), "cannot be read"),
        (_npy("('a',)"), "cannot be read"),
        (b"text", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_arrays_that_are_not_what_they_promise(folder, content, words):
    replace_weights(folder, _archive({"signs/kernel": content}))
    with pytest.raises(ModelError, match=words) as caught:
        FocusModel.from_pretrained(folder)
    assert str(folder) in str(caught.value)


def test_an_archive_that_unpacks_to_more_than_any_model_is_refused(folder):
    content = bytearray(_archive({"signs/kernel": bytes(2**20)}, zipfile.ZIP_DEFLATED))
    for mark, field in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(mark) + field
        content[at : at + 4] = (2**31 - 1).to_bytes(4, "little")
    replace_weights(folder, bytes(content))
    with pytest.raises(ModelError, match="would unpack to 2147483647 bytes; at most 1073741824"):
        FocusModel.from_pretrained(folder)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_within_a_packed_array_is_refused(folder, method):
    content = bytearray(_archive({"signs/kernel": _npy("(300,)", bytes(range(200)) * 6)}, method))
    at = content.index(b"kernel.npy") + 10
    content[at + 20 : at + 60] = bytes(40)
    replace_weights(folder, bytes(content))
    with pytest.raises(ModelError, match="cannot be read"):
        FocusModel.from_pretrained(folder)


def test_weights_beyond_float32_are_refused(folder):
    archive = io.BytesIO()
    np.savez(archive, **{**coded.weights(), "signs/bias": np.array([1e300, 0.0])})
    replace_weights(folder, archive.getvalue())
    with pytest.raises(ModelError, match="'signs/bias' must be finite"):
        FocusModel.from_pretrained(folder)


@pytest.mark.parametrize("value", [3e38, -3e38, 1.1e38])
@pytest.mark.parametrize("key", ["signs/kernel", "gate/kernel", "gate/bias", "levels/kernel"])
def test_weights_that_could_overflow_are_refused(folder, key, value):
    weights = coded.weights()
    weights[key].flat[0] = value
    archive = io.BytesIO()
    np.savez(archive, **weights)
    replace_weights(folder, archive.getvalue())
    with pytest.raises(ModelError, match="layer '.*' are too large.* may reach|sums of") as caught:
        FocusModel.from_pretrained(folder)
    assert str(folder) in str(caught.value)


def test_absurd_layers_are_refused_before_the_weights_are_read(folder):
    (folder / "weights.npz").unlink()
    edit(folder, layers=[{**coded.LAYERS[0], "filters": 10**9}])
    with pytest.raises(ModelError, match=r"model\.json: Layer 1 .*filters must be") as caught:
        FocusModel.from_pretrained(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_level_is_never_nan_without_a_word(folder, normalisation, dtype, value):
    model = FocusModel(coded.description(normalisation=normalisation), coded.weights())
    patches = np.stack([coded.patch(level) for level in (0, 3)]).astype(dtype) / 400
    patches[1, 5, 7] = value
    if normalisation == "type_range" and not np.isnan(value):
        # As any value beyond the type's range, it is clipped.
        assert np.isfinite(model.predict(patches)).all()
        return
    with pytest.raises(ImageError, match="patches must be finite"):
        model.predict(patches)
    masks = np.isfinite(patches)
    assert np.isfinite(model.predict(patches, masks=masks)).all()


@pytest.mark.parametrize("scale", [1e300, 1.7e308 / 200])
def test_floats_of_another_byte_order_do_not_overflow(scale):
    patches = coded.patch(3)[None] * scale
    expected = zscore(coded.patch(3)[None].astype(float))[0]
    for order in "<>":
        np.testing.assert_allclose(zscore(patches.astype(f"{order}f8"))[0], expected, rtol=1e-6)


@posix
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("\0", "no file can have such a name"),
        ("compact\0", "no file can have such a name"),
        ("\ud800", "no file can have such a name"),
        ("x" * 10**6, "File name too long"),
        ("a/" * 10**5, "File name too long"),
        ("nowhere/at/all", "no folder of that path;"),
        ("-", "no folder of that path;"),
        ("a file", "but something else"),
        ("a file/below", "no folder of that path;"),
        ("a pipe", "but something else"),
        ("a loop", "Too many levels of symbolic links"),
        ("a loop/below", "Too many levels of symbolic links"),
        ("to nowhere", "no folder of that path;"),
        ("/dev/null", "but something else"),
    ],
)
def test_names_of_no_model_are_refused_with_a_sentence(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").touch()
    os.mkfifo(tmp_path / "a pipe")
    (tmp_path / "a loop").symlink_to("a loop")
    (tmp_path / "to nowhere").symlink_to("nowhere")
    for place in (name, Path(name)):
        with pytest.raises(ModelNotFoundError, match=f"(?s)There is no model named.*{words}") as e:
            FocusModel.from_pretrained(place)
        assert len(str(e.value)) < 1500
        with pytest.raises(ModelNotFoundError, match="There is no folder"):
            verify(place)


@pytest.mark.parametrize("name", ["..", "../..", "/", ".", "~"])
def test_folders_without_a_model_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()
    with pytest.raises(ModelNotFoundError, match=r"no model folder: model\.json is missing"):
        FocusModel.from_pretrained(name)


def test_no_name_is_none():
    with pytest.raises(SettingsError, match="must name a file or folder, and is empty"):
        FocusModel.from_pretrained("")


@pytest.mark.parametrize("name", [3, b"compact", ["compact"], {}, True, 1.5, object()])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ArgumentError, match="name_or_path must be a path"):
        FocusModel.from_pretrained(name)


@posix
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
@pytest.mark.parametrize("mode", [0o000, 0o600])
def test_a_folder_without_permission_is_refused(folder, mode):
    folder.chmod(mode)
    try:
        with pytest.raises(ModelError, match="Permission denied"):
            FocusModel.from_pretrained(folder)
        with pytest.raises(ModelNotFoundError, match="Permission denied"):
            FocusModel.from_pretrained(folder / "below")
    finally:
        folder.chmod(0o700)


@posix
@pytest.mark.parametrize("name", ["model.json", "weights.npz"])
def test_links_in_the_place_of_files(folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to(name)
    with pytest.raises(ModelError, match="cannot be read: Too many levels"):
        FocusModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["\0", "\ud800", "x" * 10**6, "a loop/m"])
def test_places_where_nothing_can_be_written(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a loop").symlink_to("a loop")
    with pytest.raises(FileError) as caught:
        coded.write(name)
    assert len(str(caught.value)) < 3000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["model.json", "weights.npz"])
def test_a_pipe_is_not_waited_for(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ModelError, match="not a regular file"):
        FocusModel.from_pretrained(folder)


@sparse_files
@pytest.mark.parametrize("name", ["model.json", "weights.npz"])
def test_a_huge_file_is_not_read(folder, name):
    os.truncate(folder / name, 2**34)  # takes no room on the disk
    with pytest.raises(ModelError, match="has 17179869184 bytes; at most"):
        FocusModel.from_pretrained(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_a_description_nested_without_end_is_refused(folder, text):
    (folder / "model.json").write_text(text)
    with pytest.raises(ModelError, match="nested too deeply"):
        FocusModel.from_pretrained(folder)


def test_an_error_does_not_repeat_a_file(folder):
    edit(folder, name=["x" * 10**6])
    with pytest.raises(ModelError, match="name must be a text") as caught:
        FocusModel.from_pretrained(folder)
    assert len(str(caught.value)) < 1000


def test_shapes_that_do_not_fit_are_refused(folder):
    archive = io.BytesIO()
    np.savez(archive, **{**coded.weights(), "gate/kernel": np.zeros((3, 11), np.float32)})
    replace_weights(folder, archive.getvalue())
    with pytest.raises(ModelError, match=r"'gate/kernel' have the shape \(3, 11\)"):
        FocusModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"levels": 12}, "give 11 values, but the description states 12 levels"),
        ({"levels": 1}, "levels must be a whole number from 2 to 1000, not 1"),
        ({"patch_size": "84"}, "patch_size must be a whole number, not '84'"),
        ({"patch_size": True}, "patch_size must be a whole number, not True"),
        ({"normalisation": "none"}, "Normalisation 'none' is unknown"),
        ({"sure_certainty": 1.5}, "sure_certainty must be from 0 to 1"),
        ({"sure_certainty": float("nan")}, "sure_certainty must be from 0 to 1"),
        ({"name": 3}, "name must be a text"),
        ({"layers": [1]}, "layers must be a list"),
        ({"layers": [{"kind": "lstm"}]}, "unknown kind 'lstm'"),
        ({"training": []}, "training must be an object"),
        ({"licences": "MIT"}, "licences must be a list"),
        ({"optics": {"na": 1}}, "optics"),
        ({"optics": None}, "optics"),
        ({"surprise": 1}, "'surprise' unknown"),
        ({"": 1}, "entries .*: '' unknown"),
        ({"focus": {}}, "levels, optics, sure_certainty missing"),
        ({"focus": None}, "focus must have exactly the entries .*, not None"),
        ({"task": 3}, "task must be a text, not 3"),
        ({"patch_size": 10**9}, "patch_size must be a whole number from 1 to 1024"),
        ({"patch_size": 10**30}, "patch_size must be"),
        ({"levels": 10**9}, "levels must be a whole number from 2 to 1000"),
        ({"name": "x" * 10**6}, "name must have at most 1000 characters"),
        ({"layers": coded.LAYERS[:2] * 1000}, "at most 100 layers, not 2000"),
        ({"layers": [{**coded.LAYERS[0], "filters": 10**9}]}, "filters must be a whole number"),
        ({"layers": [*coded.LAYERS[:-1], {**coded.LAYERS[-1], "units": 10**9}]}, "units must be"),
        (
            {"layers": [*coded.LAYERS[:-1], {**coded.LAYERS[-1], "activation": "linear"}]},
            "last layer must be a dense one with softmax.*it is dense with linear",
        ),
        ({"optics": {**OPTICS, "pixel_size_um": 1e300}}, "pixel_size_um must be from 1e-07 to"),
        ({"optics": {**OPTICS, "na": 1e-300}}, "na must be from 1e-06 to 4, not 1e-300"),
        ({"optics": {**OPTICS, "wavelength_um": 1e-300}}, "wavelength_um must be from 1e-07"),
        ({"optics": {**OPTICS, "refractive_index": 1e300}}, "refractive_index must be"),
        ({"optics": {**OPTICS, "na": True}}, "na must be a number, not True"),
        ({"schema_version": True}, "Schema version True is unknown"),
    ],
)
def test_wrong_descriptions_are_refused(folder, changes, words):
    edit(folder, **changes)
    with pytest.raises(ModelError, match=words) as caught:
        FocusModel.from_pretrained(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "must be an object"),
        ('{"schema_version": 1}', "architecture, .*, sha256, levels, .* missing"),
        ('{"schema_version": 2}', "name, architecture, .*, task, focus missing"),
        ("\xff\xfe", "cannot be read"),
    ],
)
def test_descriptions_that_are_none_are_refused(folder, text, words):
    (folder / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=words):
        FocusModel.from_pretrained(folder)


def test_writing_replaces_a_model_and_nothing_else(tmp_path, folder):
    changed = write_model(folder, coded.description(sure_certainty=0.7), coded.weights())
    assert verify(folder) == changed
    assert changed.sure_certainty == 0.7

    write_model(tmp_path / "new" / "deep", coded.description(), coded.weights())
    assert verify(tmp_path / "new" / "deep").name == "coded"
    (tmp_path / "empty").mkdir()
    write_model(tmp_path / "empty", coded.description(), coded.weights())

    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("precious")
    a_file = tmp_path / "file"
    a_file.write_text("precious")
    for place in (other, a_file):
        with pytest.raises(FileError, match="no model folder"):
            write_model(place, coded.description(), coded.weights())
        with pytest.raises(FileError):
            write_model(a_file / "below", coded.description(), coded.weights())
    assert (other / "thesis.txt").read_text() == a_file.read_text() == "precious"
    assert {path.name for path in tmp_path.iterdir()} == {"coded", "new", "empty", "other", "file"}


def test_writing_refuses_what_would_not_load(tmp_path):
    with pytest.raises(ModelError, match="12 levels"):
        write_model(tmp_path / "m", coded.description(levels=12), coded.weights())
    assert not list(tmp_path.iterdir())


def test_the_same_model_is_written_as_the_same_bytes(tmp_path):
    first, second = (coded.write(tmp_path / name) for name in "ab")
    assert first == second
    for file in ("model.json", "weights.npz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_descriptions_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        coded.description().levels = 3


def test_large_patches_are_normalised_as_small_ones():
    patches = np.random.default_rng(0).normal(5, 2, (3, 1024, 1024)).astype(np.float32)
    found, counts = zscore(patches)
    assert counts.all()
    np.testing.assert_allclose(found.mean(axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(axis=(1, 2)), 1, atol=1e-4)


def test_a_model_prints_in_one_line():
    model = FocusModel(coded.description(), coded.weights())
    assert repr(model) == "<FocusModel 'coded': focus, 11 levels, 84 x 84 patches>"
