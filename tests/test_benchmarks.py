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


def _benchmark(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT), *sys.path])
        return importlib.import_module(f"benchmarks.{name}")


def test_what_the_eye_says_of_real_stacks_is_whole():
    known = _benchmark("real_stacks").judged_by_eye()
    numbers = _benchmark("processed").numbers
    assert len(known) == 10
    for row in known.values():
        assert row["in_focus"] in ("yes", "no", "unclear")
        assert row["one_focus"] in ("yes", "no")
        assert row["note"]
        if not row["sharpest_index"]:
            continue
        first, sharpest, last = (
            int(row[name]) for name in ("from_index", "sharpest_index", "to_index")
        )
        assert first <= sharpest <= last
        assert not set(numbers(row["far_indices"])) & set(range(first, last + 1))
    assert numbers("0-2 9 12-13") == [0, 1, 2, 9, 12, 13]


def test_processing_keeps_an_image_and_its_type():
    rng = np.random.default_rng(0)
    plane = rng.poisson(400, (90, 110)).astype(np.uint16)
    changes = _benchmark("processed").PROCESSINGS
    for name, change in changes.items():
        changed = change(plane)
        if name.startswith("JPEG"):
            assert changed.dtype == np.uint8
            assert np.corrcoef(changed.ravel(), plane.ravel())[0, 1] > 0.9
            continue
        assert changed.dtype == np.uint16
        assert changed.mean() == pytest.approx(400, rel=0.01)
        assert changed.shape == ((135, 165) if name.startswith("enlarged") else plane.shape)
        # All but the first take noise away.
        assert (changed.std() < 0.95 * plane.std()) == (name != "as it is")
    shifted = changes["half a pixel's shift"](np.arange(100.0).reshape(1, -1).repeat(9, axis=0))
    np.testing.assert_allclose(shifted[4, 5:95], np.arange(4.5, 94))


def test_structured_empties_are_of_their_kinds_and_hold_nothing_small():
    made = _benchmark("structured_empties")
    for kind in made.KINDS:
        first, again, other = (made.empty_field(kind, n, (200, 220)) for n in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert first.shape == (200, 220)
        assert (first != other).mean() > 0.9
        lights = [made.KINDS[kind](np.random.default_rng(n), (200, 220)) for n in range(20)]
        assert min(light.min() for light in lights) > 0
        # Light changes slowly, but at the seam and at the dust's rims.
        steepest = max(np.abs(np.diff(light)).max() / light.max() for light in lights)
        assert steepest < (0.13 if kind.startswith("seam") else 0.06), kind


@pytest.mark.long
def test_transmitted_light_is_even_where_nothing_is_and_sharpest_in_focus():
    made = _benchmark("transmitted_light")
    for modality in made.MODALITIES:
        nothing = np.fft.fft2(np.ones((made._GRID, made._GRID)))
        for z_um in (0.0, 5.0):
            (even,) = made._images(modality, [nothing], z_um)
            np.testing.assert_allclose(even, 1, rtol=1e-5)
        (stack,) = made.stacks(modality, 1)
        assert len(stack.planes) == made.PLANES
        energy = [
            np.square(np.diff(plane.astype(float), axis=0)[:, 1:]).mean() for plane in stack.planes
        ]
        assert abs(int(np.argmax(energy)) - stack.in_focus) <= 1


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
