"""The page holds the numbers, opens by itself, and can be read without seeing the figures."""

import dataclasses
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from microscope_quality import FocusModel
from microscope_quality.errors import FileError
from microscope_quality.evaluation.binary import BinaryResult
from microscope_quality.evaluation.results import (
    Evaluation,
    EvaluationSettings,
    ExamplePatches,
    ModelEvaluation,
)
from microscope_quality.evaluation.stacks import Followed, StackFigures
from microscope_quality.metrics import Predictions, summary
from microscope_quality.optics import Optics
from microscope_quality.training.defocus.microscope import Microscope
from microscope_quality.training.defocus.sets import SetSettings

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from microscope_quality.evaluation.page import write_page

pytestmark = pytest.mark.evaluation

HOSTILE = '<script>alert("1")</script>'


class _Page(HTMLParser):
    """What a browser would make of the page, as far as the tests ask."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.rows, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)
        if self.open and self.open[-1] != "tr" and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def _predictions(rng, n, sharpness, groups):
    true = np.arange(n) % 11
    k = np.arange(11)
    shifted = np.clip(true + rng.normal(0, 1 / sharpness, n), 0, 10)
    logits = -sharpness * np.square(k - shifted[:, np.newaxis])
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    names = [f"image {i}" for i in range(n)]
    return Predictions.of(
        names, [groups[i % len(groups)] for i in range(n)], true, p / p.sum(1, keepdims=True)
    )


def _model(name, rng, sharpness, groups):
    description = FocusModel.from_pretrained().description
    rows = [
        {"gain": g, "offset": o, "n": 5, "within_one": 0.9, "exact": 0.5, "clipped": 0.0}
        for g in (0.5, 1.0)
        for o in (0.0, 100.0)
    ]
    return ModelEvaluation(
        name=name,
        description=dataclasses.replace(description, name=name, sha256="0" * 64),
        images=_predictions(rng, 66, sharpness, groups),
        patches=_predictions(rng, 330, sharpness, groups),
        empty_certainty=rng.beta(1, 12, 300),
        gain_offset=rows,
    )


def _stack(model, z0=0.0):
    z = np.arange(5.0)
    level = np.abs(z - 2)
    return StackFigures(
        best_z=2.0, best_plane_error=z0, within_depth=float(z0 == 0), spearman=0.875,
        spearman_below=1.0, spearman_above=1.0, stack="stack", model=model, z=z, level=level,
        expected_level=level, certainty=np.full(5, 0.5), contrast=4 - level,
        status=("in_focus",) * 5, focus=2.0, focus_known=True,
        by_sharpness=Followed(2.0, z0, float(z0 == 0), 1.0, 1.0, 1.0), best_status="in_focus",
        geometric_level=np.full(5, np.nan), slope=float("nan"), within_one=float("nan"),
        depth_um=float("nan"), far=0, far_in_focus=0,
    )  # fmt: skip


NO_EXAMPLES = ExamplePatches.joined([], 84)


@pytest.fixture(scope="module")
def evaluation():
    rng = np.random.default_rng(0)
    groups = ["nuclei", HOSTILE]
    models = (_model("mine", rng, 3.0, groups), _model("other", rng, 0.7, groups))
    n = 30
    levels = np.r_[np.arange(n - 1) % 11, np.nan]
    levels[20] = 6
    examples = ExamplePatches(
        rng.random((n, 84, 84)).astype(np.float32),
        np.arange(n) % 11,
        levels,
        np.r_[rng.random(n - 1), 0],
    )
    return Evaluation(
        models=models,
        binary=tuple(
            BinaryResult(measure, per, 40, f, f - 0.015625, f + 0.015625, 1.5, True, 0)
            for per in ("image", "patch")
            for measure, f in (
                ("mine", 0.96875),
                ("other", 0.875),
                ("power_log_log_slope", 0.625),
                ("tenengrad", 0.75),
                ("focus_score", 0.5),
            )
        ),
        stacks=(_stack("mine"), _stack("other", 1.0)),
        data=tuple({"group": group, "images": 3, "fields": 3} for group in groups),
        example_patches=examples,
        left_out={"a/b.tif": "mine was trained on it"},
        failed={"c.tif": "is no image"},
        notes=("A note & more.",),
        settings={"seed": 1},
        command="microscope-quality evaluate mine",
    )


def test_settings_are_told_in_words(evaluation, tmp_path):
    settings = EvaluationSettings(
        sets=SetSettings(Microscope(tilt_levels=(0.5, 2.0)), photons=(300.0, 20_000.0)),
        optics=Optics(na=0.75, refractive_index=1.0, wavelength_um=0.52, pixel_size_um=0.325),
        step_um=2.0,
        focus_plane=None,
        classical=False,
    )
    told = dataclasses.replace(evaluation, settings=settings.to_dict())
    path = write_page(told, tmp_path, model=FocusModel.from_pretrained())
    page = _Page(path.read_text(encoding="utf-8"))
    rows = dict(row for row in page.rows if len(row) == 2)
    assert rows["simulated: photons"] == "300 to 20,000"
    assert rows["simulated: tilt"] == "0.5 to 2 levels"
    optics = "NA 0.75, refractive index 1, wavelength 0.52 µm, pixel size 0.325 µm"
    assert rows["optics"] == optics
    assert rows["simulated: optics"].startswith("NA 0.5,")
    assert rows["step"] == "2 µm"
    assert rows["classical"] == "no"
    assert rows["gains"] == "0.2, 0.5, 1, 2, 5"
    # What is not given, and faults that are none.
    assert not {"focus plane", "simulated: vignetting"} & set(rows)
    assert not any(set("{}[]_") & set(name + value) for name, value in rows.items() if name != "")


@pytest.fixture(scope="module")
def written(evaluation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation") / "out"
    unseen = [
        {
            "group": group,
            "images": images,
            "within_one": within_one,
            "f_model": 0.9375,
            "best_classical": best,
            "f_best_classical": f,
        }
        for group, images, within_one, best, f in (
            ("nuclei", 1033, 0.9625, "tenengrad", 0.875),
            ("actin", 11, float("nan"), "focus_score", float("nan")),
        )
    ]
    path = write_page(evaluation, folder, model=FocusModel.from_pretrained(), unseen=unseen)
    assert path == folder / "evaluation.html"
    return path, _Page(path.read_text(encoding="utf-8"))


def test_the_page_needs_nothing_but_itself(written):
    path, page = written
    assert path.stat().st_size < 5e6
    assert not page.all("script")
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    for link in page.all("a"):
        target = link["href"]
        if target.startswith("#"):
            assert target[1:] in {attrs.get("id") for _, attrs in page.tags}
        else:
            assert (path.parent / target).read_bytes().startswith(b"\x89PNG")
    assert not [name for name in path.parent.rglob("*") if name.suffix == ".part"]


def test_every_tag_is_closed_and_every_name_is_there_once(written):
    _, page = written
    assert page.open == []
    names = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(names) == len(set(names))
    assert page.all("html") == [{"lang": "en"}]


def test_figures_have_words_and_tables_have_heads(written):
    _, page = written
    assert all(len(image["alt"]) > 20 for image in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert {head.get("scope") for head in page.all("th")} == {"row", "col"}
    # What scrolls sideways can be reached with the keyboard.
    for tag, attrs in page.tags:
        if tag == "div" and attrs.get("role") == "region":
            assert attrs["tabindex"] == "0" and attrs["aria-label"]


def test_the_verdict_comes_first_and_says_what_was_measured(evaluation, written):
    _, page = written
    assert page.all("section")[0]["id"] == "verdict"
    head = page.rows[0]
    assert [cell.split("the model")[0] for cell in head[1:3]] == ["mine", "othermodel"]
    assert head[3].startswith("power log-log slope")
    assert head[4] == "Tenengradbest other classical measure"
    rows = {row[0]: row[1:] for row in page.rows[1:17]}
    within = next(row for name, row in rows.items() if name.startswith("Images within one level"))
    for cell, model in zip(within, evaluation.models):
        assert f"{100 * summary(model.images)['within_one']:.1f}".removesuffix(".0") in cell
    f = next(row for name, row in rows.items() if name.startswith("In focus or not, images"))
    assert [cell.strip() for cell in f] == [
        "0.969 (best)0.953 to 0.984",
        "0.8750.859 to 0.891",
        "0.6250.609 to 0.641",
        "0.7500.734 to 0.766",
    ]
    stacks = next(row for name, row in rows.items() if "error of the best plane" in name)
    assert [cell.strip() for cell in stacks[:2]] == ["0.00 (best)", "1.00"]


def test_it_says_how_the_model_stands_to_classical_measures(written):
    _, page = written
    text = " ".join(page.words)
    assert "its whole interval lies above that of every classical measure" in text
    assert "(Tenengrad) 0.750" in text


def test_names_are_text_not_markup(written):
    path, page = written
    assert any(HOSTILE in word for word in page.words)
    assert HOSTILE not in path.read_text(encoding="utf-8")


def test_unseen_kinds_notes_and_files_left_out_are_told(written):
    _, page = written
    head = ["kind left out", "images", "within one", "F-score", "best classical measure"]
    assert [*head, "its F-score"] in page.rows
    assert ["nuclei", "1,033", "96.2%", "0.938", "Tenengrad", "0.875"] in page.rows
    assert ["actin", "11", "–", "0.938", "focus score", "–"] in page.rows
    assert ["a/b.tif", "mine was trained on it"] in page.rows
    assert ["c.tif", "is no image"] in page.rows
    assert "A note & more." in page.words


def test_only_stacks(evaluation, tmp_path):
    nobody = Predictions.of([], [], [], np.empty((0, 11)))
    alone = dataclasses.replace(
        evaluation,
        models=tuple(
            dataclasses.replace(
                model, images=nobody, patches=nobody, gain_offset=None, empty_certainty=np.empty(0)
            )
            for model in evaluation.models
        ),
        binary=(),
        data=(),
        example_patches=NO_EXAMPLES,
    )
    path = write_page(alone, tmp_path, model=FocusModel.from_pretrained())
    page = _Page(path.read_text(encoding="utf-8"))
    assert [section["id"] for section in page.all("section")] == ["verdict", "stacks", "data"]
    assert len(page.all("img")) == 1


def test_a_model_that_is_given_shows_what_it_judges_by(evaluation, tmp_path):
    part = dataclasses.replace(
        evaluation, models=evaluation.models[:1], binary=(), stacks=(), data=()
    )
    few = part.example_patches
    only = np.arange(3)
    part = dataclasses.replace(
        part,
        example_patches=ExamplePatches(
            few.patches[only] * 1000,
            few.true[only],
            few.level[only],
            few.certainty[only],
        ),
    )
    page = write_page(part, tmp_path, model=FocusModel.from_pretrained())
    assert (tmp_path / "figures" / "judged_by.png").exists()
    assert "figures/judged_by.png" in page.read_text(encoding="utf-8")


def test_figures_of_an_earlier_page_go_and_other_files_stay(evaluation, written, tmp_path):
    model = FocusModel.from_pretrained()
    path, first = written
    shutil.copytree(path.parent, tmp_path, dirs_exist_ok=True)
    before = {path.name for path in (tmp_path / "figures").iterdir()}
    (tmp_path / "figures" / "stack_of_mine.png").write_bytes(b"mine")
    part = dataclasses.replace(
        evaluation,
        models=evaluation.models[:1],
        binary=(),
        stacks=(),
        example_patches=NO_EXAMPLES,
    )
    second = _Page(write_page(part, tmp_path, model=model).read_text(encoding="utf-8"))
    left = {path.name for path in (tmp_path / "figures").iterdir()}

    def linked(page):
        targets = [link["href"] for link in page.all("a")]
        return {target.removeprefix("figures/") for target in targets if target[0] != "#"}

    assert before == linked(first)
    assert left == linked(second) | {"stack_of_mine.png"}
    assert {"binary.png", "stack_1.png", "montage.png", "mistakes.png"} <= before - left
    nothing = dataclasses.replace(part, models=(), data=())
    write_page(nothing, tmp_path, model=model)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["stack_of_mine.png"]


def test_a_place_that_cannot_be_written_is_named(evaluation, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("mine")
    only = dataclasses.replace(
        evaluation,
        models=(),
        binary=(),
        stacks=(),
        data=(),
        example_patches=NO_EXAMPLES,
    )
    with pytest.raises(FileError, match="file"):
        write_page(only, blocked, model=FocusModel.from_pretrained())
    assert blocked.read_text() == "mine"
