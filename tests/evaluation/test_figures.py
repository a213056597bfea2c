"""Figures say what the numbers say, in colours and positions that can be read."""

import io
import sys

import numpy as np
import pytest

from microscope_quality.errors import SettingsError
from microscope_quality.evaluation.binary import BinaryResult
from microscope_quality.evaluation.results import ExamplePatches
from microscope_quality.evaluation.stacks import Followed, StackFigures
from microscope_quality.metrics import Calibration, RiskCoverage

matplotlib = pytest.importorskip("matplotlib")

from PIL import Image  # noqa: E402

from microscope_quality.evaluation import figures, sheets, style  # noqa: E402


def _texts(axes):
    return [text.get_text() for text in axes.texts]


def _line(axes, label):
    return next(line for line in axes.lines if line.get_label() == label).get_xydata()


def _binary(measure, f, per="image", spread=0.02):
    return BinaryResult(measure, per, 100, f, f - spread, f + spread, 1.0, True, 0)


def test_shares_are_never_rounded_to_all_or_nothing():
    assert [style.share_text(x) for x in (1, 0, 0.9999, 0.00001, 0.925, np.nan)] == [
        "100%",
        "0%",
        "99.9%",
        "0.1%",
        "92.5%",
        "–",
    ]


def test_a_confusion_matrix_has_its_shares_and_counts_where_they_belong():
    counts = np.array([[3, 1, 0], [0, 200, 0], [0, 1, 999]])
    for normalised, expected in (
        (True, {(0, 0): "75", (1, 0): "25", (1, 1): "100", (1, 2): "<1", (2, 2): ">99"}),
        (False, {(0, 0): "3", (1, 0): "1", (1, 1): "200", (1, 2): "1", (2, 2): "999"}),
    ):
        axes = figures.confusion_figure(counts, "a title", normalised=normalised).axes[0]
        assert {t.get_position(): t.get_text() for t in axes.texts} == expected
        np.testing.assert_allclose(axes.images[0].get_array()[0], [0.75, 0.25, 0])
        assert axes.get_title(loc="left") == "a title"


def test_an_undefined_level_is_wrong_under_a_confusion_matrix():
    figure = figures.confusion_figure(np.eye(3, dtype=int) * 2, undefined=2)
    assert "75.0% within one level" in figure.get_supxlabel()
    assert "n = 8, 2 without a level" in figure.get_supxlabel()


@pytest.mark.parametrize("wrong", [np.zeros((2, 3)), np.full((2, 2), 0.5), -np.eye(2), np.ones(4)])
def test_what_is_no_confusion_matrix_is_refused(wrong):
    with pytest.raises(SettingsError, match=r"confusion matrix"):
        figures.confusion_figure(wrong)


def test_a_darker_cell_is_a_larger_share_in_greyscale():
    image = figures.confusion_figure(np.eye(2, dtype=int)).axes[0].images[0]
    red, green, blue, _ = image.get_cmap()(np.linspace(0, 1, 50)).T
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert (np.diff(luminance) < 0).all()
    assert luminance[0] == pytest.approx(1)


def test_a_reliability_diagram_has_a_bar_for_each_bin_that_is_used():
    found = Calibration(
        error=0.125,
        edges=np.array([0, 0.25, 0.5, 0.75, 1]),
        confidence=np.array([np.nan, 0.4, np.nan, 0.9]),
        accuracy=np.array([np.nan, 0.5, np.nan, 0.75]),
        count=np.array([0, 10, 0, 30]),
    )
    upper, lower = figures.reliability_figure(found).axes
    assert [(bar.get_x(), bar.get_height()) for bar in upper.patches] == [(0.25, 0.5), (0.75, 0.75)]
    assert [bar.get_height() for bar in lower.patches] == [0, 0.25, 0, 0.75]
    assert any("0.125" in text for text in _texts(upper))


def test_curves_follow_the_history():
    history = [
        {"step": 10, "loss": 1.0, "validation_rps": 0.9, "validation_exact": 0.2},
        {"step": 20, "loss": 0.5, "validation_exact": 0.4},
        {"step": 30, "loss": 0.4, "validation_rps": 0.45, "validation_exact": 0.5},
    ]
    loss, shares = figures.curves_figure(history).axes
    np.testing.assert_array_equal(_line(loss, "training"), [[10, 1], [20, 0.5], [30, 0.4]])
    np.testing.assert_array_equal(_line(loss, "validation"), [[10, 0.9], [30, 0.45]])
    np.testing.assert_array_equal(_line(shares, "exact"), [[10, 0.2], [20, 0.4], [30, 0.5]])


def test_curves_without_validation_or_history():
    assert len(figures.curves_figure([{"step": 1, "loss": 2.0}]).axes) == 1
    assert _texts(figures.curves_figure([]).axes[0]) == ["no history was recorded"]


def test_accuracy_by_distance_shows_what_can_still_be_gained():
    figure = figures.distance_figure([("a", [0.5, 0.9, 0.99, 1, 1, 1, 1]), ("b", [0.4] * 7)])
    axes = figure.axes[0]
    np.testing.assert_allclose(_line(axes, "a")[:, 1], [0.5, 0.9, 0.99, 1, 1, 1])
    assert _texts(axes)[:3] == ["50.0%", "90.0%", "99.0%"]
    assert axes.get_yticks().max() <= 1


def test_risk_and_coverage_end_at_the_whole():
    n = 1000
    curve = RiskCoverage(np.arange(1, n + 1) / n, np.linspace(0, 0.2, n), np.linspace(1, 0, n), 0.1)
    data = _line(figures.risk_coverage_figure([("a", curve)]).axes[0], "a (mean 10.00%)")
    np.testing.assert_allclose(data[-1], [1, 0.2])
    np.testing.assert_allclose(data[:, 1], 0.2 * (data[:, 0] * n - 1) / (n - 1))


def test_bars_of_certainty_add_up_to_one_where_there_is_anything():
    error = np.array([0, 1, -1, 2, np.nan, 0, 5, 0])
    certainty = np.array([0.0, 0.05, 0.55, 0.55, 0.0, 1.0, 0.95, 0.95])
    upper = figures.certainty_figure(error, certainty).axes[0]
    heights = np.array([bar.get_height() for bar in upper.patches]).reshape(4, 10)
    np.testing.assert_allclose(heights.sum(axis=0), [1, 0, 0, 0, 0, 1, 0, 0, 0, 1])
    np.testing.assert_allclose(heights[:, 0], [1 / 3, 1 / 3, 0, 1 / 3])
    np.testing.assert_allclose(heights[:, 9], [2 / 3, 0, 0, 1 / 3])


def test_empty_patches_are_counted_under_the_sure_certainty():
    figure = figures.empties_figure(
        np.array([0.9, 0.2, 0.8, 0.3]), np.array([0.01, 0.02, 0.3]), 0.3
    )
    content, empty = (_texts(axes)[0] for axes in figure.axes)
    assert content.startswith("with content: 75.00% at or over it")
    assert empty.startswith("empty: 66.67% under it")


def test_measures_are_ranked_and_models_stand_out():
    figure = figures.binary_figure(
        [_binary("tenengrad", 0.6), _binary("mine", 0.9), _binary("focus_score", 0.7)], ["mine"]
    )
    labels = figure.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["mine", "focus score", "Tenengrad"]
    assert [label.get_fontweight() for label in labels] == ["bold", "normal", "normal"]
    assert _texts(figure.axes[0]) == ["0.900", "0.700", "0.600"]
    assert figure.axes[0].get_xlim()[0] <= 0.58


def test_images_and_patches_have_a_panel_each():
    figure = figures.binary_figure([_binary("a", 0.5), _binary("a", 0.6, "patch")])
    assert [axes.get_title(loc="left").split(": ")[1] for axes in figure.axes] == [
        "images (100)",
        "patches (100)",
    ]


def test_the_worst_kind_is_on_top():
    figure = figures.groups_figure(
        ["x", "y", "z"], [("a", np.array([0.9, 1, 0.5])), ("b", np.ones(3))]
    )
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["z", "x", "y"]
    np.testing.assert_array_equal(_line(axes, "a")[:, 0], [0.5, 0.9, 1])


def test_gains_and_offsets_stand_at_their_row_and_column():
    rows = [
        {"gain": gain, "offset": offset, "within_one": share, "exact": 0.0}
        for gain, offset, share in [(2, 0, 0.25), (0.5, 0, 1.0), (0.5, 100, 0.5)]
    ]
    axes = figures.gain_offset_figure([("a", rows)], "a title", "within_one").axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array().filled(-1), [[1.0, 0.5], [0.25, -1]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["×0.5", "×2"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["+0", "+100"]


def test_a_stack_has_a_line_for_each_model():
    def stack(model, known):
        z, n = np.arange(5.0), np.full(5, np.nan)
        level = np.abs(z - 2)
        return StackFigures(
            best_z=2.0, best_plane_error=0.0, within_depth=1.0, spearman=1.0, spearman_below=1.0,
            spearman_above=1.0, stack="s", model=model, z=z, level=level, expected_level=level,
            certainty=np.full(5, 0.5), contrast=4 - level, status=("out_of_focus",) * 5, focus=2.0,
            focus_known=known, by_sharpness=Followed(2.0, 0.0, 1.0, 1.0, 1.0, 1.0),
            best_status="out_of_focus",
            geometric_level=level * 1.5 if known else n, slope=1.0, within_one=1.0,
            depth_um=1.0, far=0, far_in_focus=0,
        )  # fmt: skip

    for known, said in ((True, "focus"), (False, "focus, as found")):
        figure = figures.stack_figure([stack("a", known), stack("b", known)], "s")
        assert _texts(figure.axes[0]) == [said]
        names = [text.get_text() for text in figure.legends[0].get_texts()]
        assert names == ["a", "b", "by geometry"] if known else ["a", "b"]
        np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [2, 1, 0, 1, 2])


def test_a_montage_shows_the_patch_at_its_place():
    rng = np.random.default_rng(0)
    patches = rng.random((2, 84, 84)).astype(np.float32)
    examples = ExamplePatches(
        patches,
        np.array([3, 9]),
        np.array([4.0, 2.0]),
        np.array([0.9, 0.1]),
    )
    figure = sheets.montage_figure(examples)
    shown = {
        (round(axes.get_position().x0, 3), round(axes.get_position().y0, 3)): axes.images[0]
        for axes in figure.axes
        if axes.images
    }
    assert len(figure.axes) == 55 and len(shown) == 2
    (left, low), (right, high) = sorted(shown)
    np.testing.assert_array_equal(shown[left, low].get_array(), patches[1])
    np.testing.assert_array_equal(shown[right, high].get_array(), patches[0])
    assert high > low
    words = [text.get_text() for text in figure.texts]
    assert "is 3" in words and "is 9 ✗" in words
    worst = [text.get_text() for text in sheets.mistakes_figure(examples).texts]
    assert worst == ["said 2, is 9", "certainty 0.10"]


def test_a_pixel_of_a_patch_is_a_pixel_of_the_montage():
    patch = (np.indices((84, 84)).sum(axis=0) % 2).astype(np.float32)
    examples = ExamplePatches(patch[np.newaxis], np.array([0]), np.zeros(1), np.ones(1))
    with Image.open(io.BytesIO(style.png(sheets.montage_figure(examples), 96))) as image:
        grey = np.asarray(image.convert("L")).astype(int)
    # A checkerboard of single pixels survives only without any resampling.
    square = grey[62:140, 95:170]
    assert set(np.unique(square)) == {0, 255}
    assert (np.abs(np.diff(square, axis=1)) == 255).all()


def test_a_map_that_hardly_matters_has_no_line():
    patches = np.random.default_rng(0).random((1, 2, 84, 84))
    maps = np.zeros((1, 2, 84, 84))
    maps[0, :, 20:40, 20:40] = np.array([0.001, 1.0])[:, np.newaxis, np.newaxis]
    faint, strong = sheets.judged_figure(patches, maps).axes[::2]
    assert not faint.collections and strong.collections


def test_the_same_figure_gives_the_same_files_and_leaves_no_trace():
    before = dict(matplotlib.rcParams)
    pyplot = sys.modules.get("matplotlib.pyplot")
    open_before = pyplot.get_fignums() if pyplot else []
    first, second = (figures.confusion_figure(np.eye(3, dtype=int)) for _ in range(2))
    assert style.svg(first) == style.svg(second)
    assert style.png(first, 50) == style.png(second, 50)
    assert dict(matplotlib.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == open_before


def test_formats():
    figure = figures.confusion_figure(np.eye(3, dtype=int))
    with Image.open(io.BytesIO(style.png(figure, 100))) as image:
        assert image.format == "PNG" and image.size == (500, 540)
    with Image.open(io.BytesIO(style.webp(figure, 100))) as image:
        assert image.format == "WEBP" and image.size == (500, 540)
    assert style.svg(figure).startswith("<?xml")
