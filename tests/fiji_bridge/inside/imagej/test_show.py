"""Results on an image of ImageJ's: overlay, legend, table, properties, best plane."""

import os

import jpype
import numpy as np
import pytest
from hosts import missing

import fiji_bridge
from fiji_bridge.showing import Measured, Position, show_planes
from microscope_quality import best_plane, measure_focus
from microscope_quality.errors import ImageError, SettingsError
from microscope_quality.files.columns import names, plane_columns, stack_columns
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.rating import Rating
from microscope_quality.overlay import patch_colours, score_colours, visible_parts

# Columns that tell something of files alone.
OF_FILES = ["plate", "well", "site", "channel", "error", "series"]
LEGEND = 1 + 5 * 11 + 11 + 4


@pytest.fixture
def table():
    found = jpype.JClass("ij.measure.ResultsTable").getResultsTable()
    found.reset()
    yield found
    found.reset()


def headings(table):
    return str(table.getColumnHeadings()).split("\t")[1:]


def elements(image, part=""):
    overlay = image.getOverlay()
    every = [] if overlay is None else [overlay.get(i) for i in range(overlay.size())]
    return [element for element in every if part in str(element.getName())]


def bounds(element):
    found = element.getFloatBounds()
    return [found.x, found.y, found.x + found.width, found.y + found.height]


def rgb(colour):
    return [colour.getRed(), colour.getGreen(), colour.getBlue()]


def test_patches_are_where_they_were_measured_in_the_librarys_colours(stack, image_plus, table):
    plane = np.tile(stack[0], (2, 2))[:200, :311]
    image = image_plus(plane)
    result = fiji_bridge.measure(image)
    fiji_bridge.show(image, result)
    patches = [e for e in elements(image) if "level " in str(e.getName())]
    assert len(result.patch_levels) == 3 * 4
    assert len(patches) == 2 * 12
    assert len(elements(image, "legend")) == LEGEND
    (verdict,) = elements(image, "verdict")
    assert str(verdict.getText()).strip() == (
        f"level {result.expected_level:.1f}, out of focus, certainty {result.certainty:.2f}"
    )
    parts = visible_parts(result)
    for k, (tint, border) in enumerate(zip(patches[::2], patches[1::2])):
        top, left, bottom, right = parts[k]
        assert bounds(tint) == [left, top, right - 1, bottom - 1]
        assert rgb(tint.getFillColor()) == rgb(border.getStrokeColor())
        assert rgb(border.getStrokeColor()) == patch_colours(result)[k].tolist()
        assert tint.getFillColor().getAlpha() == 46
        assert border.getStrokeWidth() == 2
        level, certainty = result.patch_levels[k], result.patch_certainties[k]
        said = f"focus: level {level:.0f}, certainty {certainty:.2f}"
        assert str(border.getName()) == str(tint.getName()) == said
    # What covers the plane leaves only the gaps between neighbours.
    drawn = np.zeros((200, 311), bool)
    for tint in patches[::2]:
        left, top, right, bottom = map(int, bounds(tint))
        drawn[top:bottom, left:right] = True
    assert drawn.mean() > 0.97


def test_the_picture_shows_the_patches_colours(stack, image_plus, table):
    image = image_plus(stack[5][:84, :84])
    result = fiji_bridge.measure(image)
    fiji_bridge.show(image, result, legend=False)
    picture = image.flatten().getProcessor()
    border = patch_colours(result)[0].tolist()
    for x, y in ((40, 1), (1, 40), (40, 82), (82, 40)):
        assert abs(np.array(list(picture.getPixel(x, y, None))[:3]) - border).max() <= 2


def test_patches_without_content_are_dark(image_plus, table):
    image = image_plus(np.full((84, 168), 5, np.uint8))
    fiji_bridge.show(image, fiji_bridge.measure(image))
    patches = elements(image, "focus: no content")
    assert len(patches) == 4
    assert rgb(patches[1].getStrokeColor()) == [52, 52, 56]
    assert str(elements(image, "verdict")[0].getText()).strip() == "no content"


def test_elements_of_others_stay_and_those_of_earlier_results_go(stack, image_plus, table):
    image = image_plus(stack[0])
    own = jpype.JClass("ij.gui.Roi")(3.0, 3.0, 9.0, 9.0)
    own.setName("mine")
    image.setOverlay(own, jpype.JClass("java.awt.Color").RED, 1, None)
    result = fiji_bridge.measure(image)
    for _ in range(2):
        fiji_bridge.show(image, result)
        assert len(elements(image)) == 1 + 2 * 4 + LEGEND + 1
    fiji_bridge.show(image, result, legend=False)
    assert len(elements(image)) == 1 + 2 * 4
    assert str(elements(image)[0].getName()) == "mine"
    fiji_bridge.show(image, result, overlay=False)
    assert len(elements(image)) == 1 + 2 * 4


def test_the_tables_columns_and_numbers(stack, image_plus, table):
    image = image_plus(stack[0], title="one.tif")
    calibration = image.getCalibration()
    calibration.setUnit("micron")
    calibration.pixelWidth = calibration.pixelHeight = 0.65
    optics = fiji_bridge.optics_of(image, 0.5)
    result = fiji_bridge.measure(image, optics=optics)
    fiji_bridge.show(image, result)
    columns = names((*plane_columns(Focus().columns), *Focus().last_columns))
    assert headings(table) == [name for name in columns if name not in OF_FILES]
    assert headings(table)[:6] == ["file", "z", "c", "t", "width", "height"]
    assert [str(table.getStringValue(name, 0)) for name in ("z", "c", "t", "message")] == [""] * 4
    assert table.size() == 1
    assert str(table.getStringValue("file", 0)) == "one.tif"
    for name, value in result.to_row().items():
        if name == "contrast":
            # Of the columns that come after those of the run.
            assert name not in headings(table)
        elif isinstance(value, str):
            assert str(table.getStringValue(name, 0)) == value
        else:
            assert table.getValue(name, 0) == pytest.approx(value, abs=1e-9), name
    assert result.defocus_um > 0


def test_undefined_numbers_are_empty(image_plus, table):
    image = image_plus(np.zeros((20, 30), np.uint8))
    result = fiji_bridge.measure(image)
    fiji_bridge.show(image, result)
    for name in ("level", "expected_level", "blur_diameter_px", "defocus_um", "p0", "p10"):
        assert str(table.getStringValue(name, 0)) == ""
        assert np.isnan(table.getValue(name, 0))
    assert str(table.getStringValue("message", 0)) == result.message != ""
    assert str(table.getStringValue("status", 0)) == "too_small"


def test_a_hyperstacks_planes(stack, image_plus, table):
    image = image_plus(np.concatenate([stack, stack[:4]]), channels=2, slices=3, frames=2)
    result = fiji_bridge.measure(image, c=2, z=3, t=1)
    fiji_bridge.show(image, result, c=2, z=3, t=1)
    for element in elements(image):
        place = element.getCPosition(), element.getZPosition(), element.getTPosition()
        assert place == (2, 3, 1)
    found = [table.getValue(name, 0) for name in ("c", "z", "t")]
    assert found == [2, 3, 1]
    assert str(image.getProp("focus.c2.z3.t1.status")) == result.status
    assert float(str(image.getProp("focus.c2.z3.t1.level"))) == result.level
    image.setPosition(1, 2, 2)
    fiji_bridge.show(image, fiji_bridge.measure(image))
    assert table.size() == 2
    assert [table.getValue(name, 1) for name in ("c", "z", "t")] == [1, 2, 2]


@pytest.mark.parametrize("hyper", [True, False])
def test_planes_that_are_shown_one_by_one_keep_their_patches(stack, image_plus, table, hyper):
    image = image_plus(stack[:3])
    image.setOpenAsHyperStack(hyper)
    results = [fiji_bridge.measure(image, z=z) for z in (1, 2, 3)]

    def counted():
        positions = [e.getZPosition() or e.getPosition() for e in elements(image)]
        return [positions.count(z) for z in range(4)]

    for z in (1, 2, 3, 2):
        fiji_bridge.show(image, results[z - 1], z=z)
    assert counted() == [0] + 3 * [2 * 4 + LEGEND + 1]
    # The result of the stack replaces them all, with one legend.
    fiji_bridge.show(image, best_plane(results))
    assert counted() == [LEGEND, 9, 9, 9]
    fiji_bridge.show(image, results[1], z=2)
    assert counted() == [LEGEND, 9, 9, 9]
    # No patch covers the legend.
    names = [str(element.getName()) for element in elements(image)]
    assert "focus: level" not in " ".join(names[names.index("focus: legend") :])
    fiji_bridge.show(image, best_plane(results), legend=False)
    assert counted() == [0, 8, 8, 8]


def test_a_result_is_drawn_on_its_own_plane(stack, image_plus, table):
    every = np.concatenate([stack, stack[:4]])
    image = image_plus(every, channels=2, slices=3, frames=2)
    result = fiji_bridge.measure(image, c=2, z=3, t=1)
    assert (result.c, result.z, result.t, result.colour) == (2, 3, 1, False)
    assert repr(result).startswith("<PlaneResult: c 2, z 3, t 1, expected level ")
    # Another plane is shown meanwhile, and stays so.
    image.setPosition(1, 1, 2)
    fiji_bridge.show(image, result)
    assert {(e.getCPosition(), e.getZPosition(), e.getTPosition()) for e in elements(image)} == {
        (2, 3, 1)
    }
    assert (image.getC(), image.getZ(), image.getT()) == (1, 1, 2)
    assert [table.getValue(name, 0) for name in ("c", "z", "t")] == [2, 3, 1]
    assert str(image.getProp("focus.c2.z3.t1.status")) == result.status
    # What is said counts more, and a result of the library belongs to what is shown.
    fiji_bridge.show(image, result, z=2)
    assert [table.getValue(name, 1) for name in ("c", "z", "t")] == [2, 2, 1]
    fiji_bridge.show(image, measure_focus(every[6]))
    assert [table.getValue(name, 2) for name in ("c", "z", "t")] == [1, 1, 2]


def test_the_planes_of_a_stack_are_drawn_where_they_are(stack, image_plus, table):
    image = image_plus(np.concatenate([stack, stack[::-1]]), channels=2, slices=4, frames=2)
    result = fiji_bridge.measure_stack(image, c=2, t=2)
    assert [(one.c, one.z, one.t) for one in result.results] == [(2, z, 2) for z in (1, 2, 3, 4)]
    assert result.representative.z == result.best_plane + 1
    fiji_bridge.show(image, result.representative)
    assert [table.getValue(n, 0) for n in ("c", "z", "t")] == [2, result.best_plane + 1, 2]
    image.setPosition(1, 1, 1)
    table.reset()
    fiji_bridge.show(image, result)
    assert [table.getValue(name, 0) for name in ("c", "t")] == [2, 2]
    assert (image.getC(), image.getZ(), image.getT()) == (2, result.best_plane + 1, 2)


def test_a_plane_that_the_image_lacks(stack, image_plus, table):
    result = fiji_bridge.measure(image_plus(stack), z=7)
    alone = image_plus(stack[6])
    with pytest.raises(SettingsError, match=r"the plane c=1, z=7, t=1, which .* does not have"):
        fiji_bridge.show(alone, result)
    fiji_bridge.show(alone, result, z=1)
    assert len(elements(alone, "level ")) == 2 * 4


def test_columns_keep_their_order_and_old_rows_are_empty(stack, image_plus, table):
    table.incrementCounter()
    table.addLabel("mine")
    table.addValue("Area", 12.5)
    fiji_bridge.show(image_plus(stack[0]), measure_focus(stack[0]))
    image = image_plus(stack)
    fiji_bridge.show(image, fiji_bridge.measure(image, z=3))
    found = headings(table)
    assert found[:8] == ["Label", "file", "z", "c", "t", "width", "height", "level"]
    assert found[-1] == "Area"
    assert str(table.getLabel(0)) == "mine" and table.getValue("Area", 0) == 12.5
    for row in range(3):
        cells = str(table.getRowAsString(row))
        assert "NaN" not in cells, cells
    assert [str(table.getStringValue("Area", row)) for row in (1, 2)] == ["", ""]
    assert [str(table.getStringValue("z", row)) for row in range(3)] == ["", "", "3"]


def test_overlay_and_properties_survive_saving(stack, image_plus, table, tmp_path):
    image = image_plus(stack, title="kept")
    image.setPosition(5)
    result = fiji_bridge.measure(image)
    fiji_bridge.show(image, result)
    path = str(tmp_path / "kept.tif")
    assert jpype.JClass("ij.io.FileSaver")(image).saveAsTiff(path)
    again = jpype.JClass("ij.IJ").openImage(path)
    before, after = elements(image), elements(again)
    assert len(after) == len(before) == 2 * 4 + LEGEND + 1
    for one, other in zip(before, after):
        assert str(one.getName()) == str(other.getName())
        assert str(one.getStrokeColor()) == str(other.getStrokeColor())
        assert str(one.getFillColor()) == str(other.getFillColor())
        assert other.getZPosition() == 5 or other.getPosition() == 5
    for name in ("level", "expected_level", "certainty", "status"):
        kept = str(again.getProp(f"focus.z5.{name}"))
        value = getattr(result, name)
        assert (
            kept == value if isinstance(value, str) else float(kept) == pytest.approx(value, 1e-5)
        )


def test_a_stack_goes_to_its_best_plane(stack, image_plus, table):
    image = image_plus(stack, title="stack.tif")
    result = fiji_bridge.measure_stack(image)
    assert result.best_plane == 3
    fiji_bridge.show(image, result)
    assert (image.getZ(), image.getC(), image.getT()) == (4, 1, 1)
    wanted = ["file", "c", "t", "best_z", "expected_level", "status", "best_position"]
    assert headings(table) == [*wanted, "message"]
    assert names(stack_columns(Focus().column))[: len(wanted)] == tuple(wanted)
    assert str(table.getStringValue("c", 0)) == str(table.getStringValue("message", 0)) == ""
    assert table.getValue("best_z", 0) == 4
    assert table.getValue("best_position", 0) == pytest.approx(result.best_position + 1)
    assert table.getValue("expected_level", 0) == pytest.approx(result.expected_level)
    assert str(table.getStringValue("status", 0)) == "in_focus"
    assert str(image.getProp("focus.best_z")) == "4"
    # A verdict and four patches for each slice, one legend for all.
    assert len(elements(image)) == 8 * (2 * 4 + 1) + LEGEND
    positions = [e.getZPosition() or e.getPosition() for e in elements(image, "verdict")]
    assert positions == list(range(1, 9))
    assert all(e.getZPosition() == 0 and e.getPosition() == 0 for e in elements(image, "legend"))
    assert str(image.getProp("focus.z4.status")) == "in_focus"


def test_a_stack_of_a_channel_and_frame(stack, image_plus, table):
    every = np.stack([stack[::-1], stack], axis=1).reshape(-1, 168, 168)
    image = image_plus(every, channels=2, slices=4, frames=2)
    result = fiji_bridge.measure_stack(image, c=2, t=1)
    fiji_bridge.show(image, result, c=2, t=1)
    assert (image.getC(), image.getZ(), image.getT()) == (2, result.best_plane + 1, 1)
    assert [table.getValue(name, 0) for name in ("c", "t")] == [2, 1]
    assert str(image.getProp("focus.c2.t1.best_z")) == str(result.best_plane + 1)


def test_a_stack_out_of_focus_goes_to_its_best_plane_and_says_so(stack, image_plus, table):
    image = image_plus(stack[[0, 1, 7]])
    result = fiji_bridge.measure_stack(image)
    assert result.status == "out_of_focus"
    image.setPosition(3 if result.best_plane == 0 else 1)
    fiji_bridge.show(image, result)
    assert image.getZ() == table.getValue("best_z", 0) == result.best_plane + 1
    assert str(table.getStringValue("message", 0)) == "The best plane is not in focus."


def test_a_stack_without_content_stays_where_it_is(stack, image_plus, table):
    image = image_plus(np.zeros_like(stack[:3]))
    image.setPosition(2)
    result = fiji_bridge.measure_stack(image)
    assert result.best_plane is None
    fiji_bridge.show(image, result)
    assert image.getZ() == 2
    assert str(table.getStringValue("best_z", 0)) == ""
    assert str(table.getStringValue("message", 0)) == "No plane has content."
    assert image.getProp("focus.best_z") is None or str(image.getProp("focus.best_z")) == "nan"


def test_a_coloured_image(stack, image_plus, table):
    colours = (np.stack([stack[0], stack[3], stack[7]], axis=-1) / 20).astype(np.uint8)
    image = image_plus(colours)
    results = [fiji_bridge.measure(image, c=c) for c in (1, 2, 3)]
    fiji_bridge.show(image, results[1], c=2)
    assert table.getValue("c", 0) == 2
    assert str(image.getProp("focus.c2.level")) == f"{results[1].level:.6g}"
    table.reset()
    show_planes(
        image, [Measured(Position(c, 1, 1), c, one) for c, one in enumerate(results, start=1)]
    )
    assert [table.getValue("c", row) for row in range(3)] == [1, 2, 3]
    # Of the three colours, the surest one is drawn.
    surest = max(results, key=lambda result: result.certainty)
    (verdict,) = elements(image, "verdict")
    assert f"certainty {surest.certainty:.2f}" in str(verdict.getText())
    table.reset()
    fiji_bridge.show(image, fiji_bridge.measure(image, luminance=True))
    assert str(table.getStringValue("c", 0)) == ""


def test_what_cannot_be_shown(stack, image_plus, table):
    result = measure_focus(stack[0])
    with pytest.raises(ImageError, match=r"shown on an ij.ImagePlus, not on a ndarray: ij\.py"):
        fiji_bridge.show(stack[0], result)
    with pytest.raises(SettingsError, match="has 100 x 168 pixels, but the result is of one with"):
        fiji_bridge.show(image_plus(stack[0][:100]), result)
    with pytest.raises(
        SettingsError, match="must be a FocusResult, a StackResult or a RatingResult, not"
    ):
        fiji_bridge.show(image_plus(stack[0]), 3.0)
    stacked = best_plane([result] * 3)
    with pytest.raises(SettingsError, match="of 3 slices, but the image 'picture' has 8"):
        fiji_bridge.show(image_plus(stack), stacked)
    with pytest.raises(SettingsError, match="leave z away"):
        fiji_bridge.show(image_plus(stack[:3]), stacked, z=1)
    assert table.size() == 0


def test_a_rating_has_the_librarys_colours_columns_and_numbers(image_plus, table, micrograph):
    image = image_plus(micrograph)
    result = fiji_bridge.rate(image, score_limit=1)
    fiji_bridge.show(image, result)
    patches = [e for e in elements(image) if "rating: score " in str(e.getName())]
    assert len(patches) == 2 * 9
    parts = visible_parts(result)
    for border, part, colour in zip(patches[1::2], parts, score_colours(result.patch_scores)):
        np.testing.assert_allclose(bounds(border)[:2], part[[1, 0]] + 3, atol=0.51)
        assert rgb(border.getStrokeColor()) == colour.tolist()
    (verdict,) = elements(image, "rating: verdict")
    interval = f"{result.score_low:.2f} to {result.score_high:.2f}"
    assert str(verdict.getText()).strip() == (
        f"score {result.score:.2f} ({interval}), poor: {result.cause}, {result.action}"
    )
    assert [float(str(e.getText())) for e in elements(image, "rating: legend")[2:21:2]] == [
        pytest.approx(score / 10) for score in range(1, 11)
    ]
    row = result.to_row()
    every = names((*plane_columns(Rating().columns), *Rating().later_columns))
    assert headings(table) == [
        name for name in every if name in {"file", "z", "c", "t", "message", *row}
    ]
    for name in ("score", "score_low", "blur_px", "angle_deg", "jitter_px", "patches"):
        assert table.getValue(name, 0) == pytest.approx(row[name], abs=1e-6)
    for name in ("status", "cause", "action"):
        assert str(table.getStringValue(name, 0)) == row[name]
    assert str(image.getProp("rating.score")) == f"{result.score:.6g}"
    assert str(image.getProp("rating.cause")) == result.cause
    assert image.getProp("focus.level") is None


def test_a_rating_takes_the_place_of_a_level(image_plus, table, micrograph):
    image = image_plus(np.stack([micrograph] * 3))
    fiji_bridge.show(image, fiji_bridge.measure(image, z=2))
    fiji_bridge.show(image, fiji_bridge.measure(image, z=3))
    before = len([e for e in elements(image) if e.getZPosition() == 3])
    fiji_bridge.show(image, fiji_bridge.rate(image, z=2))
    assert not [e for e in elements(image, "focus: ") if e.getZPosition() == 2]
    assert len(elements(image, "rating: score")) == 2 * 9
    assert len([e for e in elements(image, "focus: ") if e.getZPosition() == 3]) == before


def run_the_plugin(image, command, options):
    """Run a command of the plugin as a macro does."""
    if "Microscope_Quality-" not in os.environ["FIJI_BRIDGE_CLASS_PATH"]:
        missing("the plugin's jar: mvn -f fiji_bridge/plugin package")
    jpype.JClass("ij.WindowManager").setTempCurrentImage(image)
    thread = jpype.JClass("java.lang.Thread").currentThread()
    before = thread.getName()
    # ImageJ takes a thread of this name for a macro's, and hands it the options.
    thread.setName("Run$_")
    jpype.JClass("ij.Macro").setOptions(options)
    try:
        jpype.JClass(f"quality.microscope.focus.{command}")().run("")
    finally:
        jpype.JClass("ij.Macro").setOptions(None)
        thread.setName(before)
        jpype.JClass("ij.WindowManager").setTempCurrentImage(None)


def assert_the_plugin_draws_and_writes_the_same(image, table, command, options):
    mine, names, row = elements(image), headings(table), str(table.getRowAsString(0))
    table.reset()
    image.setOverlay(None)
    run_the_plugin(image, command, options)
    assert headings(table) == names
    assert "NaN" not in row
    # The plugin computes in other steps: numbers differ far behind the point.
    for one, other in zip(row.split("\t"), str(table.getRowAsString(0)).split("\t")):
        try:
            assert float(one) == pytest.approx(float(other), abs=1e-4, rel=1e-4, nan_ok=True)
        except ValueError:
            assert one == other
    theirs = elements(image)
    assert [str(e.getName()) for e in mine] == [str(e.getName()) for e in theirs]
    for one, other in zip(mine, theirs):
        assert type(one) is type(other)
        np.testing.assert_allclose(bounds(one), bounds(other), atol=0.51)
        for colours in (
            (one.getStrokeColor(), other.getStrokeColor()),
            (one.getFillColor(), other.getFillColor()),
        ):
            assert (colours[0] is None) == (colours[1] is None)
            if colours[0] is not None:
                np.testing.assert_allclose(*map(rgb, colours), atol=1)
                assert colours[0].getAlpha() == colours[1].getAlpha()
        assert one.getStrokeWidth() == other.getStrokeWidth()
        assert [one.getCPosition(), one.getZPosition(), one.getTPosition(), one.getPosition()] == [
            other.getCPosition(),
            other.getZPosition(),
            other.getTPosition(),
            other.getPosition(),
        ]
        if "Text" in type(one).__name__:
            assert str(one.getText()) == str(other.getText())
            assert one.getCurrentFont().equals(other.getCurrentFont())
            assert one.getJustification() == other.getJustification()


@pytest.mark.parametrize("case", ["plane", "large", "hyperstack", "masked", "empty"])
def test_the_plugin_draws_and_writes_the_same(stack, image_plus, table, case):
    planes = {
        "large": np.tile(stack[0], (6, 7))[:900, :1100],
        "hyperstack": stack,
        "empty": np.zeros((90, 300), np.uint8),
    }.get(case, stack[2])
    image = image_plus(planes, **({"channels": 2, "slices": 4} if case == "hyperstack" else {}))
    if case == "hyperstack":
        image.setPosition(2, 3, 1)
    if case == "masked":
        image.setRoi(jpype.JClass("ij.gui.OvalRoi")(0.0, 0.0, 120.0, 168.0))
    fiji_bridge.show(image, fiji_bridge.measure(image))
    assert_the_plugin_draws_and_writes_the_same(
        image, table, "MeasureFocus", "planes=current overlay legend "
    )


@pytest.mark.parametrize("case", ["plane", "poor", "bytes", "floats", "masked", "empty", "small"])
def test_the_plugin_rates_the_same(image_plus, table, micrograph, case):
    plane = {
        "bytes": (micrograph >> 4).astype(np.uint8),
        "floats": (micrograph / 7).astype(np.float32),
        "empty": np.full((300, 300), 9, np.uint8),
        "small": micrograph[:100],
    }.get(case, micrograph)
    image = image_plus(plane)
    if case == "masked":
        image.setRoi(jpype.JClass("ij.gui.OvalRoi")(-300.0, -300.0, 1000.0, 1000.0))
    limit = 0.95 if case == "poor" else 0.5
    fiji_bridge.show(image, fiji_bridge.rate(image, score_limit=limit))
    assert_the_plugin_draws_and_writes_the_same(
        image, table, "RateImage", f"overlay legend score_limit={limit} "
    )
