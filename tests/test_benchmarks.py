"""Figures of benchmarks."""

import importlib
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402


@pytest.fixture(scope="module")
def tradeoff():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(Path(__file__).parents[1]), *sys.path])
        return importlib.import_module("benchmarks.tradeoff")


def _rows(n, rng):
    return [
        {
            "name": f"model number {i}",
            "parameters": int(10 ** rng.uniform(3, 7.5)),
            "milliseconds": float(10 ** rng.uniform(1.5, 3)),
            "within_one": 0.99,
            "exact": float(rng.uniform(0.8, 0.95)),
        }
        for i in range(n)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_labels_of_the_trade_off_touch_nothing(tradeoff, seed):
    figure = tradeoff.tradeoff_figure(_rows(7, np.random.default_rng(seed)))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    labels = [text for text in figure.axes[0].texts if "parameters" in text.get_text()]
    assert len(labels) == 7
    # Without the arrows, which may cross.
    boxes = [matplotlib.text.Text.get_window_extent(text, renderer) for text in labels]
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)
    axes = figure.axes[0].get_window_extent(renderer)
    assert all(box.x0 >= axes.x0 and box.x1 <= axes.x1 for box in boxes)


def test_the_trade_off_joins_those_that_none_beats(tradeoff):
    rows = [
        {"name": name, "parameters": 1000, "milliseconds": ms, "within_one": 1.0, "exact": exact}
        for name, ms, exact in [("c", 30, 0.8), ("a", 10, 0.5), ("b", 20, 0.9), ("d", 40, 0.95)]
    ]
    line = tradeoff.tradeoff_figure(rows).axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xydata(), [[10, 0.5], [20, 0.9], [40, 0.95]])
