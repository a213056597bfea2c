"""How good a model is: as its own measurements say, whatever interrupts them."""

import random
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from microscope_quality.focus import measure_focus
from microscope_quality.metrics import Predictions, confusion_of, summary
from microscope_quality.model import FocusModel, find_model, read_model
from microscope_quality.simulate import nuclei
from microscope_quality.training.defocus import figures, sets
from microscope_quality.training.defocus.empties import empty_certainty
from microscope_quality.training.defocus.figures import (
    Examination,
    examined,
    sure_certainty,
)
from microscope_quality.training.defocus.stream import SharpImage, StreamSettings

# Three of the parts, the last one smaller.
EMPTY = 2100


def examination(folder):
    description, weights = read_model(find_model("compact"))
    images = [
        SharpImage(str(path), kind="nuclei", field=path.name)
        for path in sorted(folder.glob("*.tif"))
    ]
    labelled = partial(sets.labelled, settings=sets.SetSettings())
    return Examination(description, weights, StreamSettings(), images, labelled, 0, EMPTY)


@pytest.fixture(scope="module")
def sharp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharp")
    for seed in range(2):
        taken = np.random.default_rng(seed).poisson(nuclei((170, 170), 18, seed) * 3000 + 100)
        tifffile.imwrite(folder / f"{seed}.tif", taken.astype(np.uint16))
    return folder


@pytest.fixture(scope="module")
def whole(sharp, tmp_path_factory):
    return examined(examination(sharp), tmp_path_factory.mktemp("whole"))


@pytest.mark.long
def test_the_figures_are_those_of_the_images(sharp, whole):
    asked = examination(sharp)
    model = FocusModel(asked.description, asked.weights)
    made = list(asked.labelled(asked.images))
    assert [level for level, _ in made] == 2 * list(range(11))
    results = [measure_focus(plane, model) for _, plane in made]
    of_images = Predictions.of(
        [""] * 22,
        [""] * 22,
        [level for level, _ in made],
        np.stack([result.probabilities for result in results]),
    )
    _, figures = whole
    found, expected = figures["validation_images"], summary(of_images)
    assert found["images"] == 22
    assert found["confusion"] == confusion_of(of_images).tolist()
    for name in ("exact", "within_one", "mean_rps"):
        assert found[name] == pytest.approx(expected[name], abs=1e-4)
    patches = figures["validation_patches"]
    assert patches["patches"] == sum(len(result.patch_levels) for result in results)
    right = sum(
        np.count_nonzero(result.patch_levels == level) for (level, _), result in zip(made, results)
    )
    assert patches["exact"] == pytest.approx(right / patches["patches"], abs=1e-4)


def test_one_of_a_thousand_empty_patches_reaches_the_certainty():
    certainties = np.random.default_rng(0).random(5000)
    sure = sure_certainty(certainties)
    # Five may reach it; a step above the next one, in ten-thousandths.
    assert np.count_nonzero(certainties >= sure) <= 5
    assert np.count_nonzero(certainties >= sure - 2e-4) >= 6
    assert sure_certainty(np.ones(10)) == 1.0


def test_the_certainty_is_that_of_empty_patches_of_the_seed(sharp, whole):
    asked = examination(sharp)
    model = FocusModel(asked.description, asked.weights)
    certainties = [
        empty_certainty(
            model,
            np.random.default_rng(np.random.SeedSequence((0, number), spawn_key=(2,))),
            count,
            asked.stream,
        )
        for number, count in enumerate((1000, 1000, 100))
    ]
    assert whole[0] == sure_certainty(np.concatenate(certainties))


@pytest.mark.long
@pytest.mark.parametrize("fraction", [0.02, 0.0])
def test_the_certainty_is_also_that_of_few_with_a_structure(tmp_path, monkeypatch, fraction):
    monkeypatch.setattr(figures, "SURE_STRUCTURED_FRACTION", fraction)
    asked = examination(tmp_path)
    with_structure = replace(asked.stream, structured_fraction=0.5)
    asked = replace(asked, images=[], stream=with_structure, empty_patches=1000)
    sure, _ = examined(asked, tmp_path / "out")
    model = FocusModel(asked.description, asked.weights)
    certainties = [
        empty_certainty(
            model,
            np.random.default_rng(np.random.SeedSequence((0, 0), spawn_key=key)),
            count,
            asked.stream,
            structured=share,
        )
        for key, count, share in (((2,), 1000, 0.0), ((2, 1), 250, 1.0))
    ]
    plain, structured = certainties
    assert sure == max(sure_certainty(plain), sure_certainty(structured, fraction))
    if not fraction:
        assert sure > sure_certainty(plain)


@pytest.mark.training
def test_processes_find_the_same(sharp, whole, tmp_path):
    assert examined(examination(sharp), tmp_path, workers=2) == whole


def test_without_images_there_are_no_figures(tmp_path):
    sure, figures = examined(replace(examination(tmp_path), empty_patches=100), tmp_path)
    assert 0 < sure <= 1
    assert figures == {}


@pytest.mark.long
def test_answers_are_kept_for_the_same_questions_alone(sharp, tmp_path):
    asked = replace(examination(sharp), empty_patches=100)
    examined(asked, tmp_path)
    (tmp_path / "measured-by-hand").mkdir()
    (kept,) = tmp_path.glob("measured-" + 16 * "?")

    def done_before(other):
        told = []
        examined(other, tmp_path, report=lambda *counts: told.append(counts))
        return told[0]

    # A model may be written under another name.
    renamed = replace(asked.description, name="other", training={"command": "another"})
    assert done_before(replace(asked, description=renamed)) == (3, 3)
    name, *_ = asked.weights
    other = {**asked.weights, name: asked.weights[name] + np.float32(1e-3)}
    for changed, parts in (
        ({"weights": other}, 3),
        ({"seed": 1}, 3),
        ({"empty_patches": 101}, 3),
        ({"images": asked.images[:1]}, 2),
        ({"stream": replace(asked.stream, eight_bit_fraction=0.0)}, 3),
    ):
        assert done_before(replace(asked, **changed)) == (0, parts)
    assert not kept.exists()
    assert (tmp_path / "measured-by-hand").exists()


@pytest.mark.training
def test_measurements_that_are_killed_go_on_to_the_same(sharp, whole, tmp_path):
    written = {}
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, __file__, str(sharp), str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            done = [int(next(process.stdout)) for _ in range(2)]
            # In the middle of another part, or of its writing.
            time.sleep(random.uniform(0, 0.3))
            process.kill()
        assert done[0] == len(written)
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("measured-*/*.npz")}
        assert len(kept) >= done[1]
        assert written.items() <= kept.items()
        written = kept
    told = []
    assert examined(examination(sharp), tmp_path, report=lambda *n: told.append(n)) == whole
    assert told[0] == (len(written), 5)
    assert {path: path.stat().st_mtime_ns for path in written} == written


# Run by itself as a script: an examination that can be killed.
if __name__ == "__main__":
    examined(
        examination(Path(sys.argv[1])),
        Path(sys.argv[2]),
        workers=1,
        report=lambda done, total: print(done, flush=True),
    )
