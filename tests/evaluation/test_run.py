"""A whole evaluation, of simulated cells: its numbers against single measurements."""

import csv
from dataclasses import replace

import coded
import numpy as np
import pytest
import tifffile

from microscope_quality import FocusModel, measure_focus, metrics
from microscope_quality.certainty import certainty
from microscope_quality.classical import MEASURES
from microscope_quality.errors import FileError, SettingsError
from microscope_quality.evaluation import run
from microscope_quality.evaluation.binary import binary_class, binary_result
from microscope_quality.evaluation.gather import Data, gather
from microscope_quality.evaluation.gather_stacks import gather_stacks
from microscope_quality.evaluation.judging import predictions_of
from microscope_quality.evaluation.results import EvaluationSettings
from microscope_quality.evaluation.run import evaluate
from microscope_quality.evaluation.tables import write_tables
from microscope_quality.model import write_model
from microscope_quality.simulate import nuclei
from microscope_quality.training.defocus.empties import empty_patch
from microscope_quality.training.defocus.exposure import NormalNoise
from microscope_quality.training.defocus.sets import SetSettings, degraded, labelled
from microscope_quality.training.defocus.stream import SharpImage, StreamSettings

SETS = SetSettings(seed=2)
SMALL = EvaluationSettings(
    sets=SETS,
    binary_patches=60,
    example_patches=40,
    empty_patches=600,
    gain_offset_images=1,
    gains=(1.0, 5.0),
    offsets=(0.0, 10_000.0),
    focus_plane=1,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharp")
    for kind, seeds in (("few", [1]), ("many", [2, 3])):
        (folder / kind).mkdir()
        for seed in seeds:
            light = nuclei((260, 190), 3 if kind == "few" else 25, seed)
            tifffile.imwrite(folder / kind / f"{seed}.tif", (light * 3000 + 100).astype(np.uint16))
    (folder / "many" / "bad.tif").write_bytes(b"II*\0nothing")
    return folder


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    """The default model, to judge by patches of 120 pixels."""
    model = FocusModel.from_pretrained()
    folder = tmp_path_factory.mktemp("model") / "coarse"
    description = replace(
        model.description,
        patch_size=120,
        name="coarse",
        training={"training_files": ["many/2.tif"]},
    )
    with np.load(
        next(path for name, path in run_models() if name == "compact") / "weights.npz"
    ) as weights:
        write_model(folder, description, dict(weights))
    return folder


def run_models():
    from microscope_quality.model import available_models

    return available_models().items()


@pytest.fixture(scope="module")
def data(folder, tmp_path_factory):
    stack = tmp_path_factory.mktemp("stack") / "stack.tif"
    sharp = str(folder / "many" / "3.tif")
    planes = dict(labelled([SharpImage(sharp)], SETS))
    tifffile.imwrite(
        stack, np.stack([planes[level] for level in (6, 0, 3)]), photometric="minisblack"
    )
    return gather([str(folder)]).with_(gather_stacks([str(stack)]))


@pytest.fixture(scope="module")
def evaluation(data):
    return evaluate(["compact"], data, SMALL, command="try")


@pytest.mark.long
def test_images_are_judged_as_measuring_judges_them(evaluation, folder):
    (model,) = evaluation.models
    images = [
        SharpImage(str(path), kind=path.parent.name)
        for path in sorted(folder.rglob("*.tif"))
        if path.stem != "bad"
    ]
    expected = predictions_of(FocusModel.from_pretrained(), labelled(images, SETS))
    np.testing.assert_array_equal(model.images.true, expected.true)
    np.testing.assert_allclose(model.images.probabilities, expected.probabilities, atol=1e-5)
    np.testing.assert_allclose(model.images.certainty, expected.certainty, atol=1e-5)
    assert list(model.images.name[:1]) == ["few/1.tif#0"]
    assert set(model.images.group) == {"few", "many"}
    assert evaluation.data == (
        {"group": "few", "images": 1, "fields": 1},
        {"group": "many", "images": 2, "fields": 2},
    )


def test_predictions_are_what_measuring_says(tmp_path):
    coded.write(tmp_path / "coded")
    model = FocusModel.from_pretrained(tmp_path / "coded")
    flat = np.full((84, 84), 100, np.uint16)
    given = [(2, coded.plane([[2]])), (5, coded.plane([[3]])), (7, flat)]
    found = predictions_of(model, given)
    assert found.true.tolist() == [2, 5, 7]
    np.testing.assert_array_equal(found.level, [2, 3, np.nan])
    assert found.certainty[2] == 0
    assert len(predictions_of(model, [])) == 0


@pytest.mark.parametrize("level", [0, 4, 8])
def test_the_default_model_is_within_one_level_on_simulated_cells(level):
    model = FocusModel.from_pretrained()
    planes = []
    for seed in range(4):
        light = nuclei((336, 336), 40, 100 + seed)
        made = list(degraded(light, str(seed), SetSettings(photons=(1000, 5000), seed=seed)))
        planes.append((level, made[level].plane))
    assert np.count_nonzero(predictions_of(model, planes).wrong_by_more_than(1)) <= 1


@pytest.mark.long
def test_patches_where_nothing_is_have_no_level(evaluation):
    (model,) = evaluation.models
    # 4 rows and 3 columns of patches, of 3 images at 11 levels.
    assert len(model.all_patches) == 3 * 11 * 12
    few, many = (np.count_nonzero(model.patches.group == group) for group in ("few", "many"))
    assert 0 < few < 11 * 12
    assert many > 0.9 * 2 * 11 * 12
    # The same places at every level.
    assert len(set(np.bincount(model.patches.true))) == 1


def test_a_bad_file_is_a_row(evaluation, folder):
    assert list(evaluation.failed) == [str(folder / "many" / "bad.tif")]
    assert evaluation.left_out == {}


def test_the_binary_protocol_gets_the_right_scores(evaluation, folder):
    planes = [
        (level, plane)
        for name in ("few/1", "many/2", "many/3")
        for level, plane in labelled(
            [SharpImage(str(folder / f"{name}.tif"), kind=name.partition("/")[0])], SETS
        )
    ]
    true = [level for level, _ in planes]
    found = {(r.measure, r.per): r for r in evaluation.binary}
    for name, measure in (
        ("compact", lambda plane: measure_focus(plane).expected_level),
        ("mid_band_power", MEASURES["mid_band_power"]),
    ):
        scores = [measure(p) if binary_class(k) >= 0 else np.nan for k, p in planes]
        expected = binary_result(name, "image", scores, true)
        result = found[name, "image"]
        assert (result.f, result.low, result.high) == pytest.approx(
            (expected.f, expected.low, expected.high)
        )
        assert result.threshold == pytest.approx(expected.threshold)
    assert {per for _, per in found} == {"image", "patch"}
    assert 30 <= found["compact", "patch"].n <= 90
    # What sees blur ranks these cells better than what sees brightness alone.
    assert found["compact", "patch"].f > found["mean_over_deviation", "patch"].f


def test_empty_patches_are_those_of_training(evaluation):
    (model,) = evaluation.models
    assert len(model.empty_certainty) == 600
    rng = np.random.default_rng((SMALL.seed, 1 << 33, 1))
    normal = NormalNoise(rng)
    last = np.stack([empty_patch(rng, normal, StreamSettings()) for _ in range(100)])
    expected = certainty(FocusModel.from_pretrained().predict(last))
    np.testing.assert_allclose(model.empty_certainty[500:], expected, atol=1e-6)
    below = np.mean(model.empty_certainty < model.description.sure_certainty)
    assert model.empty_below_sure == below


def test_gain_and_offset(evaluation):
    rows = evaluation.models[0].gain_offset
    assert [(row["gain"], row["offset"]) for row in rows] == [
        (1, 0),
        (1, 10_000),
        (5, 0),
        (5, 10_000),
    ]
    assert all(row["n"] == 11 for row in rows)
    unclipped = [row for row in rows if row["clipped"] == 0]
    assert len({row["exact"] for row in unclipped}) == 1


def test_the_stack_is_judged(evaluation):
    (stack,) = evaluation.stacks
    assert stack.model == "compact"
    assert stack.best_z == 1
    assert stack.best_plane_error == 0
    np.testing.assert_array_equal(np.argsort(stack.expected_level), [1, 2, 0])


def test_examples_are_patches_of_the_images(evaluation, folder):
    examples = evaluation.example_patches
    assert 15 <= len(examples.patches) <= 80
    assert examples.patches.shape[1:] == (84, 84)
    model = FocusModel.from_pretrained()
    probabilities = model.predict(examples.patches)
    np.testing.assert_allclose(certainty(probabilities), examples.certainty, atol=1e-4)


@pytest.mark.long
def test_several_processes_give_the_same(data, evaluation):
    again = evaluate(["compact"], data, replace(SMALL, jobs=2))
    for one, other in ((evaluation.models[0], again.models[0]),):
        np.testing.assert_allclose(other.images.probabilities, one.images.probabilities)
        np.testing.assert_allclose(other.empty_certainty, one.empty_certainty)
        assert other.gain_offset == one.gain_offset
    np.testing.assert_array_equal(again.example_patches.patches, evaluation.example_patches.patches)
    assert [r.f for r in again.binary] == pytest.approx([r.f for r in evaluation.binary])


@pytest.mark.long
def test_models_side_by_side(data, coarse):
    settings = replace(SMALL, gain_offset_images=0, classical=False)
    found = evaluate(["compact", coarse], data, settings)
    assert [model.name for model in found.models] == ["compact", "coarse"]
    # 3 rows and 2 columns of its larger patches.
    assert len(found.models[1].all_patches) == 3 * 11 * 6
    assert {(r.measure, r.per) for r in found.binary} == {
        (name, per) for name in ("compact", "coarse") for per in ("image", "patch")
    }
    assert found.models[0].gain_offset is None
    assert found.notes == ()
    twins = evaluate(["compact", "compact"], replace(data, sources=()), settings)
    assert [model.name for model in twins.models] == ["compact (1)", "compact (2)"]


def test_a_model_that_does_not_list_its_training_images_is_named(data, tmp_path):
    coded.write(tmp_path / "coded")
    silent = FocusModel.from_pretrained(tmp_path / "coded")
    settings = replace(SMALL, gain_offset_images=0, empty_patches=0, classical=False)
    (note,) = evaluate([FocusModel.from_pretrained(), silent], data, settings).notes
    assert note.startswith("coded: the model does not list the images that it was trained on")
    # Where there are z-stacks alone, there is nothing to leave out.
    assert evaluate([silent], replace(data, sources=()), settings).notes == ()


def test_what_a_model_was_trained_on_and_held_out(coarse):
    trained = run.trained_on([FocusModel.from_pretrained(), FocusModel.from_pretrained(coarse)])
    assert trained["many/2.tif"] == "coarse was trained on it"
    with pytest.raises(SettingsError, match="does not say"):
        run.held_out(FocusModel.from_pretrained(coarse))


def test_wrong_use_is_refused(data, folder):
    model = FocusModel.from_pretrained()
    with pytest.raises(SettingsError, match="no image to evaluate on"):
        evaluate([model], Data(notes=("All were trained on.",)))
    with pytest.raises(SettingsError, match="needs a model"):
        evaluate([], data)
    with pytest.raises(SettingsError, match="name or folder"):
        evaluate([model], data, replace(SMALL, jobs=2))
    with pytest.raises(SettingsError, match="over 0 µm"):
        evaluate([model], data, replace(SMALL, step_um=0))
    bad = gather([str(folder / "many" / "bad.tif")])
    with pytest.raises(SettingsError, match=r"Nothing could be evaluated.*bad\.tif"):
        evaluate([model], bad, replace(SMALL, empty_patches=0))


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_say_what_the_evaluation_does(evaluation, tmp_path):
    paths = write_tables(evaluation, tmp_path / "out")
    assert sorted(tmp_path.rglob("*.*")) == sorted(paths)
    tables = {path.stem: rows_of(path) for path in paths}
    (model,) = evaluation.models
    images = [row for row in tables["images"] if row["model"] == "compact"]
    np.testing.assert_allclose(
        [float(row["p3"]) for row in images], model.images.probabilities[:, 3], rtol=1e-4
    )
    counts = np.zeros((11, 11), int)
    for row in tables["confusion"]:
        if row["per"] == "patch":
            counts[int(row["true"]), int(row["level"])] = int(row["count"])
    np.testing.assert_array_equal(counts, metrics.confusion_of(model.patches))
    summary = {row["measure"]: row for row in tables["summary"]}
    assert list(summary)[:2] == ["compact", "power_log_log_slope"]
    assert len(summary) == 3
    exact = np.mean(model.images.level == model.images.true)
    assert float(summary["compact"]["image_exact"]) == pytest.approx(exact, abs=1e-5)
    best = max(
        (r for r in evaluation.binary if r.per == "image" and r.measure in MEASURES),
        key=lambda r: r.f if r.measure != "power_log_log_slope" else -1,
    )
    assert float(list(summary.values())[2]["binary_image_f"]) >= best.f - 1e-5
    assert [row["what"] for row in tables["left_out"]] == ["failed"]
    assert len(tables["z_planes"]) == 3
    assert len(tables["gain_offset"]) == 4
    share = [row for row in tables["distance"] if row["per"] == "image"]
    assert float(share[-1]["share_within"]) == 1
    # Once more in the same place, with nothing to say of images.
    only_stacks = replace(
        evaluation, models=(replace(model, images=model.images.select([])),), binary=()
    )
    write_tables(only_stacks, tmp_path / "out")
    assert rows_of(tmp_path / "out" / "binary.csv") == []


def test_a_folder_with_another_table_is_left_alone(evaluation, tmp_path):
    (tmp_path / "images.csv").write_text("my,own,table\n1,2,3\n")
    with pytest.raises(FileError, match="not a table of this kind"):
        write_tables(evaluation, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["images.csv"]
