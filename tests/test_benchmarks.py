"""Figures of benchmarks."""

import ast
import importlib
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402

ROOT = Path(__file__).parents[1]


def _benchmarks():
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        trains = "training.fitting" in path.read_text(encoding="utf-8")
        yield pytest.param(path, id=path.stem, marks=pytest.mark.training if trains else ())


@pytest.mark.parametrize("path", list(_benchmarks()))
def test_what_a_benchmark_takes_from_the_library_is_there(path):
    """Benchmarks run for long and seldom; most import only where they need something."""
    of_library = [
        (node.module, name.name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("microscope_quality")
        for name in node.names
    ]
    for module, name in of_library:
        if module == "microscope_quality.training.fitting":
            pytest.importorskip("keras", reason="needs pip install 'microscope-quality[train]'")
        parent = importlib.import_module(module)
        assert hasattr(parent, name) or importlib.import_module(f"{module}.{name}")


@pytest.fixture(scope="module")
def tradeoff():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT), *sys.path])
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
