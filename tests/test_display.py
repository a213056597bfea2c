"""Results in notebooks and as plots."""

import re
import sys
from html.parser import HTMLParser

import coded
import numpy as np
import pytest

from microscope_quality import display
from microscope_quality.errors import ArgumentError, MissingLibraryError, SettingsError
from microscope_quality.focus import measure_focus
from microscope_quality.model import FocusModel
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.overlay import level_colours, overlay, patch_colours
from microscope_quality.sampling import sample_focus
from microscope_quality.stacks import best_plane


@pytest.fixture(scope="module")
def model():
    return FocusModel(coded.description(), coded.weights())


@pytest.fixture(scope="module")
def planes():
    levels = {"blurred": coded.BLURRED, "mixed": coded.MIXED, "empty": coded.EMPTY}
    return {"focused": coded.plane(coded.FOCUSED), **{k: coded.plane(v) for k, v in levels.items()}}


@pytest.fixture(scope="module")
def results(model, planes):
    return {name: measure_focus(plane, model) for name, plane in planes.items()}


class Page(HTMLParser):
    """What is to be read in a page, and its bars: their heights and colours."""

    VOID = ("rect", "line")

    def __init__(self, html):
        super().__init__()
        self.open, self.said, self.bars = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        found = dict(attributes)
        assert not {"src", "href", "class", "id"} & {*found}
        if tag == "rect":
            self.bars.append((float(found["height"]), found["fill"]))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] != "title":
            self.said.append(data)

    @property
    def text(self):
        return " ".join(self.said)


def hex_of(colour):
    return "#" + bytes(colour).hex()


def test_a_result_shows_its_verdict_and_probabilities(results):
    result = results["blurred"]
    page = Page(result._repr_html_())
    assert f"Level {result.expected_level:.1f} · out of focus · certainty" in page.text
    assert "○" in page.text
    heights = np.array([height for height, _ in page.bars])
    np.testing.assert_allclose(heights / heights.sum(), result.probabilities, atol=0.01)
    assert [colour for _, colour in page.bars] == [hex_of(one) for one in level_colours(11)]
    assert "168 × 168 px" in page.text
    assert "4 of 84 × 84 px" in page.text


def test_what_means_nothing_is_not_shown(results, model):
    page = Page(results["empty"]._repr_html_())
    assert page.bars == []
    assert "No content" in page.text
    assert "Level" not in page.text
    assert results["empty"].message in page.text


def test_what_is_said_is_escaped(results):
    from dataclasses import replace

    page = replace(results["blurred"], message="<b>1 < 2</b>")._repr_html_()
    assert "&lt;b&gt;1 &lt; 2&lt;/b&gt;" in page
    assert "<b>" not in page
    assert "<b>1 < 2</b>" in Page(page).text


def test_a_sample_shows_its_interval(model):
    plane = coded.plane(np.full((6, 6), 4).tolist())
    result = sample_focus(plane, model, places=8, optics=TRAINING_OPTICS)
    low, high = result.expected_level_low, result.expected_level_high
    said = f"Level {result.expected_level:.1f} ({low:.1f} to {high:.1f})"
    assert said in Page(result._repr_html_()).text
    assert f"{result.defocus_um:.1f} µm" in Page(result._repr_html_()).text


def test_a_stack_shows_its_planes_and_the_best_one(results):
    stack = best_plane([results[name] for name in ("blurred", "focused", "empty", "blurred")])
    page = Page(stack._repr_html_())
    assert "Best plane 1 of 4 · Level" in page.text
    heights = [height for height, _ in page.bars]
    assert heights[0] == heights[3] > heights[1] > heights[2] == 0
    assert page.bars[0][1] == hex_of(level_colours(11)[8])
    # The mark stands where the number of the best plane would.
    assert re.search(r"0 ▲ 2 3", page.text)
    none = Page(best_plane([results["empty"]])._repr_html_())
    assert none.bars == []
    assert "1 plane, none has content" in none.text


@pytest.mark.parametrize("n_planes", [1, 40, 700])
def test_stacks_of_any_length_fit(results, n_planes):
    html = best_plane([results["blurred"]] * n_planes)._repr_html_()
    assert len(Page(html).bars) == n_planes
    assert float(re.search(r'<svg width="(\d+)"', html)[1]) <= 330


@pytest.fixture
def ax():
    figure = pytest.importorskip("matplotlib.figure")
    return figure.Figure().subplots()


def test_a_plot_shows_the_plane_under_its_patches(results, planes, ax):
    result, plane = results["mixed"], planes["mixed"]
    assert result.plot(plane, ax=ax) is ax
    (image,) = ax.get_images()
    np.testing.assert_array_equal(image.get_array(), overlay(plane, result))
    # In the plane's pixels, the first row above.
    assert image.get_extent() == [-0.5, 335.5, 251.5, -0.5]
    assert (*ax.get_xlim(), *ax.get_ylim()) == (-0.5, 335.5, 251.5, -0.5)
    assert ax.get_title(loc="left") == display.in_words(result)
    assert ax.get_title(loc="left").startswith("Level")
    (bar,) = (one for one in ax.figure.axes if one is not ax)
    assert "defocus level" in bar.get_ylabel()
    assert [int(text.get_text()) for text in bar.get_yticklabels()] == [*range(11)]


def test_a_plot_without_the_plane_shows_the_patches(model, ax):
    plane = np.pad(coded.plane([[0, 3], [None, 8]]), ((0, 20), (0, 0)), mode="reflect")
    result = measure_focus(plane, model)
    result.plot(ax=ax)
    (patches,) = ax.collections
    np.testing.assert_allclose(patches.get_facecolor()[:, :3], patch_colours(result) / 255)
    corners = [path.vertices for path in patches.get_paths()]
    assert len(corners) == 6
    assert corners[1].min(axis=0).tolist() == [83.5, -0.5]
    assert corners[-1].max(axis=0).tolist() == [167.5, 187.5]


def test_a_plot_of_a_large_plane_is_drawn_smaller(model, ax):
    plane = coded.plane(np.full((2, 20), 3).tolist())
    result = measure_focus(plane, model)
    result.plot(plane, ax=ax)
    (image,) = ax.get_images()
    assert image.get_array().shape == (150, 1500, 3)
    assert image.get_extent() == [-0.5, 1679.5, 167.5, -0.5]


def test_places_of_a_sample_are_plotted_where_they_lie(model, ax):
    plane = coded.plane(np.full((6, 6), 4).tolist())
    result = sample_focus(plane, model, places=8)
    result.plot(ax=ax)
    (patches,) = ax.collections
    corners = np.array([path.vertices.min(axis=0) for path in patches.get_paths()])
    np.testing.assert_array_equal(corners, result.patch_positions[:, ::-1] - 0.5)
    result.plot(plane, ax=ax)
    assert ax.get_images()[0].get_array().shape == (504, 504, 3)


def test_planes_without_content_are_plotted(results, planes, ax):
    results["empty"].plot(planes["empty"], ax=ax)
    assert ax.get_title(loc="left") == "No content"


def test_a_plot_of_a_stack_shows_levels_contrasts_and_the_best_plane(results, ax):
    chosen = [results[name] for name in ("blurred", "focused", "empty", "mixed")]
    stack = best_plane(chosen)
    assert stack.plot(ax=ax) is ax
    levels = ax.get_lines()[0].get_ydata()
    np.testing.assert_array_equal(np.isnan(levels), [False, False, True, False])
    assert levels[[0, 1, 3]].tolist() == [chosen[k].expected_level for k in (0, 1, 3)]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["in focus", "out of focus", "mixed"]
    in_focus = ax.collections[0].get_offsets().tolist()
    assert in_focus == [[1, chosen[1].expected_level]]
    assert ax.get_lines()[1].get_xdata()[0] == stack.best_plane == 1
    assert ax.get_title(loc="left").startswith("Best plane 1 · Level")
    (twin,) = (one for one in ax.figure.axes if one is not ax)
    highest = max(result.contrast for result in chosen)
    outline = twin.collections[0].get_paths()[0].vertices
    assert outline[:, 1].max() == 1
    assert {chosen[0].contrast / highest} < {*outline[:, 1]}


def test_a_stack_without_content_is_plotted(results, ax):
    best_plane([results["empty"]] * 2).plot(ax=ax)
    assert ax.get_title(loc="left") == "No plane has content"


def test_a_figure_is_made_where_there_is_none(results, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    ax = results["blurred"].plot()
    assert ax.figure.number in pyplot.get_fignums()
    ax.figure.canvas.draw()
    pyplot.close(ax.figure)


def test_wrong_arguments_of_plots_are_told(results, planes, ax):
    with pytest.raises(ArgumentError, match="ax must be axes of Matplotlib"):
        results["mixed"].plot(planes["mixed"], ax=ax.figure)
    with pytest.raises(SettingsError, match="the result is of one with 252 x 336"):
        results["mixed"].plot(planes["blurred"], ax=ax)


@pytest.mark.parametrize("name", ["focus", "stack"])
def test_without_matplotlib_that_is_said(results, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = results["mixed"] if name == "focus" else best_plane([results["mixed"]])
    with pytest.raises(MissingLibraryError, match="pip install matplotlib"):
        result.plot()
