"""The bridge on NumPy arrays and on xarrays as PyImageJ gives them; no Java is started."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile

import fiji_bridge
from fiji_bridge.drawing import verdict
from fiji_bridge.images import Position, opened
from microscope_quality import FocusResult, measure_focus, measure_stack
from microscope_quality.errors import ImageError, OpticsError, SettingsError


@pytest.fixture(scope="module")
def stack(pytestconfig):
    return tifffile.imread(pytestconfig.rootpath / "docs/sample/B03_s1_dna_stack.tif")


def same(found, expected):
    assert found.status == expected.status
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.patch_probabilities, expected.patch_probabilities)


def labelled(array, *dims):
    xarray = pytest.importorskip("xarray", reason="pip install 'microscope-quality[fiji]'")
    return xarray.DataArray(array, dims=dims, name="labelled")


def test_a_plane_and_a_stack(stack):
    same(fiji_bridge.measure(stack[0]), measure_focus(stack[0]))
    same(fiji_bridge.measure(stack, z=5), measure_focus(stack[4]))
    found, expected = fiji_bridge.measure_stack(stack), measure_stack(stack)
    assert (found.best_plane, found.best_position) == (3, expected.best_position)
    for one, other in zip(found.results, expected.results):
        same(one, other)


def test_a_result_knows_its_plane(stack):
    result = fiji_bridge.measure(stack, z=5)
    assert (result.c, result.z, result.t, result.colour) == (1, 5, 1, False)
    assert isinstance(result, fiji_bridge.PlaneResult) and isinstance(result, FocusResult)
    assert repr(result).startswith("<PlaneResult: c 1, z 5, t 1, expected level ")
    assert result.to_dict()["z"] == 5
    found = fiji_bridge.measure_stack(stack)
    assert [one.z for one in found.results] == list(range(1, 9))
    assert found.representative.z == found.best_plane + 1
    colours = (stack[[0, 3, 7]] / 20).astype(np.uint8).transpose(1, 2, 0)
    green = fiji_bridge.measure(colours, c=2)
    assert (green.c, green.colour) == (2, True)
    assert not fiji_bridge.measure(colours, luminance=True).colour
    planes = np.stack([stack[:2]] * 2)
    result = fiji_bridge.measure(labelled(planes, "t", "ch", "row", "col"), c=2, t=1)
    assert (result.c, result.z, result.t, result.colour) == (2, 1, 1, False)


def test_colours(stack):
    colours = (stack[[0, 3, 7]] / 20).astype(np.uint8).transpose(1, 2, 0)
    same(fiji_bridge.measure(colours, c=2), measure_focus(colours[..., 1]))
    with pytest.raises(ImageError, match="three colours"):
        fiji_bridge.measure(colours)
    grey = colours[..., :1].repeat(3, axis=2)
    same(fiji_bridge.measure(grey), measure_focus(colours[..., 0]))
    several = np.stack([colours, colours])
    same(fiji_bridge.measure(several, c=3, z=2), measure_focus(colours[..., 2]))


def test_a_plane_is_shown_by_the_level_it_counts_by(stack, pytestconfig):
    mixed = fiji_bridge.measure(
        tifffile.imread(pytestconfig.rootpath / "docs/sample/A02_s2_dna.tif")
    )
    assert (mixed.status, mixed.level) == ("mixed", 0)
    shown = f"level {mixed.judged_level:.1f}"
    assert verdict(mixed) == f"{shown}, mixed, certainty {mixed.certainty:.2f}"
    blurred = fiji_bridge.measure(stack[0])
    shown = f"level {blurred.judged_level:.1f}"
    assert verdict(blurred) == f"{shown}, out of focus, certainty {blurred.certainty:.2f}"
    assert verdict(fiji_bridge.measure(np.zeros((84, 84), np.uint16))) == "no content"


def test_nothing_is_copied(stack):
    for image, place in (
        (stack, Position(1, 4, 1)),
        (labelled(stack, "pln", "row", "col"), Position(1, 4, 1)),
        (labelled(stack.transpose(1, 2, 0), "row", "col", "ch"), Position(4, 1, 1)),
    ):
        plane = opened(image).plane(place)
        assert np.shares_memory(plane, stack)
        np.testing.assert_array_equal(plane, stack[3])


@pytest.mark.parametrize(
    "dims",
    [
        ("t", "pln", "row", "col", "ch"),
        ("t", "ch", "pln", "row", "col"),
        ("Time", "Channel", "Z", "Y", "X"),
        ("pln", "col", "row", "t", "ch"),
    ],
)
def test_every_plane_of_an_xarray(stack, dims):
    lengths = {"t": 2, "pln": 2, "ch": 2}
    names = {"time": "t", "channel": "ch", "z": "pln", "y": "row", "x": "col"}
    plain = [names.get(dim.lower(), dim) for dim in dims]
    every = stack.reshape(2, 2, 2, 168, 168)[..., :100, :]
    order = ["t", "pln", "ch", "row", "col"]
    image = labelled(every.transpose([order.index(dim) for dim in plain]), *dims)
    for t in range(lengths["t"]):
        for z in range(lengths["pln"]):
            for c in range(lengths["ch"]):
                found = fiji_bridge.measure(image, c=c + 1, z=z + 1, t=t + 1)
                same(found, measure_focus(every[t, z, c]))
    found = fiji_bridge.measure_stack(image, c=2, t=1)
    same(found.results[1], measure_focus(every[0, 1, 1]))


def test_colours_of_an_xarray(stack):
    colours = (stack[[0, 3, 7]] / 20).astype(np.uint8).transpose(1, 2, 0)
    image = labelled(colours, "row", "col", "ch")
    with pytest.raises(ImageError, match="'labelled' differ: choose one with c=1"):
        fiji_bridge.measure(image)
    same(fiji_bridge.measure(image, c=3), measure_focus(colours[..., 2]))
    assert fiji_bridge.measure(image, luminance=True).width == 168


def test_axes_of_length_1_may_have_any_name(stack):
    image = labelled(stack[np.newaxis, :, np.newaxis], "position", "pln", "ch", "row", "col")
    same(fiji_bridge.measure(image, z=3), measure_focus(stack[2]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "has 8 slices: choose one with z=1 to z=8"),
        ({"z": 9}, "z must be a slice, 1 to 8"),
        ({"z": 1, "c": 2}, "c must be a channel, 1, as there is one"),
        ({"z": 1, "luminance": True}, "no colours"),
        ({"z": 1, "mask": np.ones(3)}, "mask must have"),
    ],
)
def test_choices_that_are_wrong(stack, options, said):
    with pytest.raises(SettingsError, match=said):
        fiji_bridge.measure(stack, **options)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("picture.tif", "A str is no image"),
        (None, "There is no image: ImageJ gives none where"),
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((2, 2, 2, 100, 100)), "dims t, pln, row, col, ch"),
        (np.zeros((0, 100)), "no pixels"),
        (np.zeros((100, 100), complex), "is no image"),
        (np.ones((100, 100), bool), "is boolean, as a mask is"),
    ],
)
def test_what_is_no_image(image, said):
    with pytest.raises(ImageError, match=said):
        fiji_bridge.measure(image)


def test_xarrays_that_are_no_image(stack):
    with pytest.raises(ImageError, match="'position' .* not known here.*isel"):
        fiji_bridge.measure(labelled(stack, "position", "row", "col"))
    with pytest.raises(ImageError, match="needs the dims row and col"):
        fiji_bridge.measure(labelled(stack[0], "t", "col"))


def test_arrays_have_no_calibration(stack):
    with pytest.raises(OpticsError, match="not calibrated"):
        fiji_bridge.optics_of(stack, 0.5)


def test_one_slice_is_no_stack(stack):
    with pytest.raises(ImageError, match="one slice"):
        fiji_bridge.measure_stack(stack[0])


def test_results_are_shown_in_imagej_only(stack):
    with pytest.raises(ImageError, match="shown on an ij.ImagePlus"):
        fiji_bridge.show(stack[0], measure_focus(stack[0]))


def test_importing_and_measuring_start_no_java():
    script = (
        "import sys, numpy, fiji_bridge, fiji_bridge.menu\n"
        "fiji_bridge.measure(numpy.zeros((100, 100)))\n"
        "heavy = {'jpype', 'scyjava', 'imagej', 'tensorflow', 'xarray'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_processes_at_work_are_pythons_where_a_launcher_started_it():
    script = (
        "import multiprocessing.spawn, subprocess, sys\n"
        "sys.executable = '/opt/Fiji.app/fiji-linux-x64'\n"
        "from fiji_bridge import menu\n"
        "menu._let_processes_be_pythons()\n"
        "program = multiprocessing.spawn.get_executable()\n"
        "subprocess.run([program, '-c', 'import microscope_quality'], check=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_library_knows_nothing_of_the_bridge(pytestconfig):
    for path in (pytestconfig.rootpath / "microscope_quality").rglob("*.py"):
        assert "import fiji_bridge" not in path.read_text(encoding="utf-8"), path
        assert "from fiji_bridge" not in path.read_text(encoding="utf-8"), path
