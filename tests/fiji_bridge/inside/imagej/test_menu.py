"""The menu scripts: parsed by SciJava's own parser, run by the runner of Fiji's Python mode."""

import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import jpype
import numpy as np
import pytest
import scyjava
import tifffile

import fiji_bridge
from fiji_bridge import menu
from microscope_quality import measure_focus, measure_stack
from microscope_quality.components import ACTIONS, LOWEST_GOOD_SCORE
from microscope_quality.errors import ImageError, MicroscopeQualityError, OpticsError, SettingsError
from microscope_quality.files.columns import names, plane_columns
from microscope_quality.measuring.focus import Focus
from microscope_quality.plugins import fiji
from microscope_quality.rater import rate_image
from microscope_quality.training.defocus.sets import SetSettings, degraded

# scyjava's own, in the runner of scripts.
pytestmark = pytest.mark.filterwarnings("ignore:currentThread.* is deprecated:DeprecationWarning")

SCRIPTS = {
    Path(name).stem: text.decode() for name, text in fiji.files().items() if "Python" in name
}
OPTICS = {"na": "Double", "refractive_index": "Double", "wavelength_um": "Double"}
REST = {"rescale": "Boolean", "model": "String"}
SHOWN = {"overlay": "Boolean", "legend": "Boolean"}
PARAMETERS = {
    "Measure_Focus": {
        "image": "ImagePlus",
        "planes": "String",
        "colour": "String",
        **SHOWN,
        "in_focus_limit": "Double",
        **OPTICS,
        **REST,
    },
    "Find_Best_Plane": {
        "image": "ImagePlus",
        "colour": "String",
        **SHOWN,
        "in_focus_limit": "Double",
        **OPTICS,
        **REST,
    },
    "Measure_Folder": {
        "folder": "File",
        "csv": "String",
        "colour": "String",
        "in_focus_limit": "Double",
        **OPTICS,
        "pixel_size_um": "Double",
        **REST,
        "results": "String",
    },
    "Rate_Image": {
        "image": "ImagePlus",
        "planes": "String",
        "colour": "String",
        **SHOWN,
        "score_limit": "Double",
        "patches": "Integer",
        "model": "String",
    },
    "Synthesize_Defocus_Set": {
        "image": "ImagePlus",
        "out": "File",
        "planes": "String",
        "colour": "String",
        "lowest_photons": "Double",
        "highest_photons": "Double",
        "seed": "Integer",
        **OPTICS,
    },
}


@pytest.fixture(scope="module")
def context():
    made = jpype.JClass("org.scijava.Context")(False)
    # As Fiji's own layer between ImageJ and SciJava does.
    service = made.service(jpype.JClass("org.scijava.script.ScriptService"))
    service.addAlias("ImagePlus", jpype.JClass("ij.ImagePlus").class_)
    scyjava.enable_python_scripting(made)
    yield made
    made.dispose()


@pytest.fixture
def table():
    found = jpype.JClass("ij.measure.ResultsTable").getResultsTable()
    found.reset()
    yield found
    found.reset()


def parsed(context, name):
    reader = jpype.JClass("java.io.StringReader")(SCRIPTS[name])
    return jpype.JClass("org.scijava.script.ScriptInfo")(context, f"{name}.py", reader)


@pytest.fixture
def run(context):
    """Run a script as Fiji does: with the parameters' defaults, and others by name."""

    def call(name, **given):
        values = jpype.JClass("java.util.HashMap")()
        for item in parsed(context, name).inputs():
            key = str(item.getName())
            values.put(key, given.pop(key) if key in given else item.getDefaultValue())
        assert not given
        out, errors = (jpype.JClass("java.io.StringWriter")() for _ in range(2))
        script_context = jpype.JClass("javax.script.SimpleScriptContext")()
        script_context.setWriter(out)
        script_context.setErrorWriter(errors)
        service = context.service(jpype.JClass("org.scijava.object.ObjectService"))
        (runner,) = [
            one
            for one in service.getObjects(jpype.JClass("java.util.function.Function").class_)
            if str(service.getName(one)) == "PythonScriptRunner"
        ]
        request = SimpleNamespace(
            script=jpype.JString(SCRIPTS[name]), vars=values, scriptContext=script_context
        )
        runner.apply(request)
        return SimpleNamespace(
            out=str(out.toString()).strip(), errors=str(errors.toString()), vars=values
        )

    return call


def test_there_are_five():
    assert set(SCRIPTS) == set(PARAMETERS)


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_scijava_reads_the_parameters(context, name):
    info = parsed(context, name)
    found = {str(i.getName()): str(i.getType().getSimpleName()) for i in info.inputs()}
    assert list(found.items()) == list(PARAMETERS[name].items())
    assert str(info.getLabel()) == name.replace("_", " ")
    assert str(info.getProcessedScript()) == SCRIPTS[name] or info.getProcessedScript() is not None
    for item in info.inputs():
        choices = item.getChoices()
        if choices is not None and len(choices):
            assert str(item.getDefaultValue()) in [str(choice) for choice in choices]
        if str(item.getName()) in ("image", "folder", "out"):
            assert item.isRequired()
        assert str(item.getName()) == "image" or str(item.getLabel())


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_the_menu_is_what_the_folders_say(name):
    (path,) = [path for path in fiji.files() if path.endswith(f"/{name}.py")]
    assert path == f"scripts/Plugins/Microscope_Quality/Python/{name}.py"


def test_measure_focus_of_the_current_plane(run, stack, image_plus, table):
    image = image_plus(stack, title="eight.tif")
    image.setPosition(4)
    done = run("Measure_Focus", image=image)
    assert done.errors == ""
    expected = measure_focus(stack[3])
    assert done.out == f"eight.tif: level 0.1, in focus, certainty {expected.certainty:.2f}"
    assert str(done.vars.get("said")) == done.out
    assert table.size() == 1
    assert table.getValue("z", 0) == 4
    assert table.getValue("expected_level", 0) == pytest.approx(expected.expected_level, abs=1e-6)
    assert image.getOverlay().size() == 2 * 4 + 71 + 1


def test_measure_focus_of_all_planes(run, stack, image_plus, table):
    image = image_plus(stack, channels=2, slices=2, frames=2)
    done = run(
        "Measure_Focus",
        image=image,
        planes="all",
        legend=jpype.java.lang.Boolean(False),
        in_focus_limit=jpype.java.lang.Double(5),
    )
    assert done.errors == ""
    assert done.out == "picture: 8 planes measured"
    for row, plane in enumerate(stack):
        expected = measure_focus(plane, in_focus_limit=5)
        assert table.getValue("level", row) == expected.level
        assert str(table.getStringValue("status", row)) == expected.status
    places = [[table.getValue(n, row) for n in ("c", "z", "t")] for row in range(8)]
    assert places[:4] == [[1, 1, 1], [2, 1, 1], [1, 2, 1], [2, 2, 1]]
    assert image.getOverlay().size() == 8 * 2 * 4


def test_measure_focus_of_colours(run, stack, image_plus, table):
    colours = (np.stack([stack[0], stack[3], stack[7]], axis=-1) / 20).astype(np.uint8)
    image = image_plus(colours)
    assert run("Measure_Focus", image=image).errors == ""
    assert [table.getValue("c", row) for row in range(3)] == [1, 2, 3]
    assert table.getValue("level", 1) == measure_focus(colours[..., 1]).level
    table.reset()
    assert run("Measure_Focus", image=image, colour="luminance").errors == ""
    assert table.size() == 1
    expected = fiji_bridge.measure(image, luminance=True)
    assert table.getValue("certainty", 0) == pytest.approx(expected.certainty, abs=1e-6)


def test_measure_focus_with_optics(run, stack, image_plus, table):
    image = image_plus(stack[0])
    calibration = image.getCalibration()
    calibration.setUnit("micron")
    calibration.pixelWidth = calibration.pixelHeight = 0.5
    done = run(
        "Measure_Focus",
        image=image,
        na=jpype.java.lang.Double(0.5),
        rescale=jpype.java.lang.Boolean(True),
    )
    assert done.errors == ""
    optics = fiji_bridge.optics_of(image, 0.5)
    expected = measure_focus(stack[0], optics=optics, rescale=True)
    assert table.getValue("defocus_um", 0) == pytest.approx(expected.defocus_um, abs=1e-6)


def test_rate_image(run, image_plus, table, micrograph):
    image = image_plus(np.stack([micrograph, micrograph[::-1]]), title="two.tif")
    image.setPosition(2)
    done = run("Rate_Image", image=image)
    assert done.errors == ""
    expected = rate_image(micrograph[::-1])
    interval = f"{expected.score_low:.2f} to {expected.score_high:.2f}"
    assert done.out.startswith(f"two.tif: score {expected.score:.2f} ({interval}), ")
    assert table.size() == 1
    assert table.getValue("z", 0) == 2
    assert table.getValue("score", 0) == pytest.approx(expected.score, abs=1e-6)
    done = run("Rate_Image", image=image, planes="all", score_limit=1.0)
    assert done.out == "two.tif: 2 planes measured"
    assert table.size() == 3
    assert str(table.getStringValue("status", 2)) == "poor"
    assert str(table.getStringValue("action", 2)) in ACTIONS.values()


def test_rate_image_has_the_librarys_limit(context):
    inputs = {str(one.getName()): one for one in parsed(context, "Rate_Image").inputs()}
    assert float(inputs["score_limit"].getDefaultValue()) == LOWEST_GOOD_SCORE


def test_rate_image_of_a_sample(run, image_plus, table, micrograph):
    plane = np.tile(micrograph, (2, 2))
    run("Rate_Image", image=image_plus(plane), patches=1)
    assert table.getValue("patches", 0) == 6
    assert table.getValue("score", 0) == pytest.approx(rate_image(plane, patches=1).score, abs=1e-6)


@pytest.mark.parametrize("shown", [1, 2])
def test_find_best_plane(run, stack, image_plus, table, shown):
    every = np.stack([stack, stack[::-1]], axis=1).reshape(-1, 168, 168)
    image = image_plus(every, channels=2, slices=8, title="two.tif")
    image.setPosition(shown, 1, 1)
    done = run("Find_Best_Plane", image=image)
    assert done.errors == ""
    expected = measure_stack(stack if shown == 1 else stack[::-1])
    assert (image.getC(), image.getZ()) == (shown, expected.best_plane + 1)
    assert done.out == (
        f"two.tif: best focus in slice {expected.best_plane + 1} of 8, "
        f"expected level {expected.expected_level:.1f}, in focus"
    )
    assert [table.getValue("c", row) for row in range(2)] == [1, 2]
    assert table.getValue("best_z", 0) == measure_stack(stack).best_plane + 1
    # Both channels' patches are there.
    channels = {element.getCPosition() for element in image.getOverlay()}
    assert channels == {0, 1, 2}


@pytest.mark.parametrize("colour", ["luminance", "channels"])
def test_find_best_plane_of_colours(run, stack, image_plus, table, colour):
    grey = (stack / stack.max() * 255).astype(np.uint8)
    colours = np.stack([grey, grey[::-1], np.zeros_like(grey)], axis=-1)
    image = image_plus(colours)
    assert run("Find_Best_Plane", image=image, colour=colour).errors == ""
    if colour == "luminance":
        assert table.size() == 1
        assert str(table.getStringValue("c", 0)) == ""
        return
    assert [table.getValue("c", row) for row in range(3)] == [1, 2, 3]
    for row, planes in enumerate((grey, grey[::-1])):
        assert table.getValue("best_z", row) == measure_stack(planes).best_plane + 1
    assert str(table.getStringValue("status", 2)) == "no_content"
    assert image.getZ() == measure_stack(grey).best_plane + 1


def test_find_best_plane_where_none_is(run, stack, image_plus, table):
    image = image_plus(stack[[0, 1]])
    done = run("Find_Best_Plane", image=image)
    assert done.errors == ""
    assert "best focus in slice" in done.out
    assert done.out.endswith(", out of focus")


def test_measure_folder(run, sample, stack, table, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "bad.tif").write_bytes(b"II*\0nothing")
    tifffile.imwrite(folder / "one.tif", stack[0])
    tifffile.imwrite(folder / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    csv = tmp_path / "table.csv"
    done = run("Measure_Folder", folder=jpype.JClass("java.io.File")(str(folder)), csv=str(csv))
    assert done.errors == ""
    assert done.out == "3 files, 9 planes measured, 1 with an error"
    assert table.size() == 10
    assert str(table.getStringValue("error", 0)) != ""
    assert str(table.getStringValue("level", 0)) == ""
    assert table.getValue("z", 5) == 4
    assert table.getValue("level", 5) == measure_focus(stack[3]).level
    lines = csv.read_text(encoding="utf-8").splitlines()
    columns = (*plane_columns(Focus().columns), *Focus().last_columns)
    assert lines[0] == ",".join(names(columns))
    assert lines[6].startswith("stack.tif,,,,,4,,,168,168,0,")


def test_synthesize_defocus_set(run, stack, image_plus, tmp_path):
    sharp = np.tile(stack[3], (2, 2))
    image = image_plus(sharp, title="sharp.tif")
    out = tmp_path / "set"
    done = run(
        "Synthesize_Defocus_Set",
        image=image,
        out=jpype.JClass("java.io.File")(str(out)),
        seed=jpype.java.lang.Integer(7),
    )
    assert done.errors == ""
    assert done.out == f"1 image of sharp.tif, 11 levels each: {out}"
    for made in degraded(sharp, "sharp.tif#0", SetSettings(seed=7)):
        (path,) = (out / f"level_{made.level:02d}").glob("*.tif")
        np.testing.assert_array_equal(tifffile.imread(path), made.plane)
    assert len((out / "manifest.csv").read_text().splitlines()) == 12


def test_a_set_of_all_planes_without_those_that_cannot_be_sharp(run, stack, image_plus, tmp_path):
    planes = np.stack([stack[3], np.zeros_like(stack[3]), stack[4]])
    out = jpype.JClass("java.io.File")(str(tmp_path / "set"))
    done = run("Synthesize_Defocus_Set", image=image_plus(planes), out=out, planes="all")
    assert done.errors == ""
    assert done.out.startswith("2 images of picture, 11 levels each: ")
    assert "; 1 left out: " in done.out


def test_a_set_without_images_is_none(image_plus, tmp_path):
    flat = image_plus(np.zeros((100, 100), np.uint8))
    with pytest.raises(ImageError):
        menu.synthesize_set(flat, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_what_was_measured_of_a_folder_before_escape_stays(stack, table, tmp_path):
    folder, csv, results = (tmp_path / name for name in ("images", "table.csv", "results"))
    folder.mkdir()
    for number in range(300):
        tifffile.imwrite(folder / f"{number:03d}.tif", stack[0])
    part = tmp_path / "table.csv.part"
    escapes = "Measure Folder: stopped at page "

    def press():
        while not part.exists() or part.read_text(encoding="utf-8").count("\n") < 3:
            time.sleep(0.001)
        jpype.JClass("ij.IJ").setKeyDown(27)

    # Of a test that fails, it is not to outlive the others.
    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    said = menu.measure_folder(folder, csv=csv, results=results)
    thread.join()
    assert said.startswith(escapes)
    assert said.endswith(f" of 300; {table.size()} rows are in the table")
    assert 2 <= table.size() < 300
    kept = csv.read_text(encoding="utf-8").splitlines()
    assert len(kept) == 1 + table.size()
    assert not part.exists()
    assert not (results / "results.csv").exists()
    # The next time it goes on from there.
    table.reset()
    said = menu.measure_folder(folder, csv=csv, results=results)
    assert said == "300 files, 300 planes measured"
    assert csv.read_text(encoding="utf-8").splitlines()[: len(kept)] == kept
    record = json.loads((results / "run.json").read_text(encoding="utf-8"))
    assert record["counts"]["kept"] >= len(kept) - 1
    assert table.size() == record["counts"]["planes"] == 300


def test_other_commands_columns_stay_empty_in_its_rows(run, stack, image_plus, table):
    table.incrementCounter()
    table.addValue("Area", 12.5)
    done = run("Measure_Focus", image=image_plus(stack[0]))
    assert done.errors == ""
    assert table.getValue("Area", 0) == 12.5
    assert str(table.getStringValue("Area", 1)) == ""


def test_escape_stops(run, stack, image_plus, table):
    image = image_plus(np.tile(stack, (1, 6, 6)))
    pressed = []

    def press():
        while not image.isLocked():
            time.sleep(0.001)
        jpype.JClass("ij.IJ").setKeyDown(27)
        pressed.append(True)

    thread = threading.Thread(target=press)
    thread.start()
    done = run("Measure_Focus", image=image, planes="all")
    thread.join()
    assert pressed
    # Planes that are measured until then are shown.
    kept = table.size()
    assert kept < 8
    rows = f"{kept} {'row is' if kept == 1 else 'rows are'} in the table"
    said = rows if kept else "nothing is measured"
    assert done.out == f"Measure Focus: stopped at plane {kept + 1} of 8; {said}"
    assert (image.getOverlay() is None) == (kept == 0)
    # It is free again, and the next run is not stopped.
    assert not image.isLocked()
    assert run("Measure_Focus", image=image).out.startswith("picture: level ")


def test_an_error_reaches_the_script(run, stack, image_plus, table):
    image = image_plus(stack[0])
    done = run("Measure_Focus", image=image, na=jpype.java.lang.Double(0.5))
    assert "OpticsError" in done.errors
    assert "not calibrated in a unit of length" in done.errors
    assert table.size() == 0


def test_an_image_in_use_is_left_alone(run, stack, image_plus, table):
    image = image_plus(stack[0])
    assert run("Measure_Focus", image=image).errors == ""
    # It is free again; a thread may lock its own image twice.
    other = threading.Thread(target=image.lockSilently)
    other.start()
    other.join()
    assert image.isLocked()
    assert "in use by another command" in run("Measure_Focus", image=image).errors
    assert table.size() == 1


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda i: menu.measure_planes(None), ImageError, "No image is open"),
        (lambda i: menu.measure_planes(i, planes="some"), SettingsError, "current or all"),
        (lambda i: menu.measure_planes(i, na=0.5), OpticsError, "not calibrated"),
        (lambda i: menu.measure_planes(i, model="none"), MicroscopeQualityError, "no model named"),
        (lambda i: menu.find_best_plane(i), ImageError, "one slice"),
        (lambda i: menu.measure_folder("/nowhere"), SettingsError, "folder of images"),
        (lambda i: menu.synthesize_set(i, ""), SettingsError, "new or empty folder"),
    ],
)
def test_what_is_wrong_is_said(stack, image_plus, table, call, kind, said):
    with pytest.raises(kind, match=said):
        call(image_plus(stack[0]))
    assert table.size() == 0


def test_measure_folder_needs_the_pixel_size(sample):
    with pytest.raises(SettingsError, match="pixel_size_um is needed"):
        menu.measure_folder(sample, na=0.5)
