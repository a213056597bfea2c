"""The module by itself, in CellProfiler's Python: settings, measurements, refusals, its window."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from cellprofiler_core.image import Image
from cellprofiler_core.object import Objects
from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.setting import ValidationError
from cellprofiler_core.workspace import Workspace
from cellprofiler_stand_ins import Window, assert_apart, assert_readable, displayed, loaded, send

from microscope_quality import (
    FocusModel,
    Optics,
    available_models,
    measure_at,
    measure_focus,
    measure_stack,
)
from microscope_quality.degrade import Camera, defocus
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.overlay import level_colours, overlay
from microscope_quality.psf import psf
from microscope_quality.simulate import nuclei

WORD = "Word to add to the names of the measurements"


def taken(level, seed, shape=(260, 350)):
    """Sixteen-bit image of nuclei at a level."""
    kernel = psf(TRAINING_OPTICS, float(TRAINING_OPTICS.defocus_of_level(level)))
    camera = Camera(photons_per_level=1.0, offset=100, read_noise=2.5, bit_depth=12)
    light = np.maximum(defocus(nuclei(shape, 40, seed), kernel), 0)
    return camera.expose(3000 * (light + 0.03), seed).astype(np.uint16)


def measured(workspace, feature, name="DNA", of="Image", word=""):
    return workspace.measurements.get_current_measurement(of, f"ImageFocus{word}_{feature}_{name}")


# Settings


def test_a_pipeline_of_the_older_module_loads(modules, pipeline):
    pipeline.add_inputs({"dna": "Blue"})
    text = io.StringIO()
    pipeline.pipeline.dump(text)
    lines = text.getvalue().replace("ModuleCount:4", "ModuleCount:5")
    lines += (
        "\nMeasureImageFocus:[module_num:5|svn_version:'Unknown'|variable_revision_number:1|"
        "show_window:False|notes:[]|batch_state:array([], dtype=uint8)|enabled:True|"
        "wants_pause:False]\n    Image:Blue\n"
    )
    loaded_pipeline = Pipeline()
    loaded_pipeline.load(io.StringIO(lines))
    module = loaded_pipeline.modules()[-1]
    assert module.images.value == ["Blue"]
    assert module.in_focus_limit.value == 1.5
    assert not module.wants_optics.value
    columns = [name for _, name, _ in module.get_measurement_columns(loaded_pipeline)]
    # The older module's two columns are still there.
    assert {"ImageFocus_Score_Blue", "ImageFocus_Certainty_Blue"} <= set(columns)
    module.validate_module(loaded_pipeline)


def of_revision(number, text):
    """Give the text of a saved module without the word, which came with revision 4."""
    text = text.replace("variable_revision_number:4", f"variable_revision_number:{number}")
    return "\n".join(line for line in text.split("\n") if not line.startswith(f"    {WORD}:"))


def test_a_pipeline_of_before_there_was_a_word_loads(pipeline):
    pipeline.add_inputs({"dna": "DNA"})
    module = pipeline.add(
        "MeasureImageFocus", images="DNA", in_focus_limit=2.5, wants_optics=True, na=0.7
    )
    for _ in range(2):
        module.add_overlay()
    text = io.StringIO()
    pipeline.pipeline.dump(text)
    start, end = text.getvalue().split("\nMeasureImageFocus:")
    assert WORD in end
    assert WORD not in of_revision(3, end)
    again = Pipeline()
    again.load(io.StringIO(f"{start}\nMeasureImageFocus:{of_revision(3, end)}"))
    values = [setting.get_value_text() for setting in again.modules()[-1].settings()]
    assert values == [setting.get_value_text() for setting in module.settings()]
    assert again.modules()[-1].word.value == ""
    assert again.modules()[-1].get_measurement_columns(again) == module.get_measurement_columns(
        pipeline.pipeline
    )


@pytest.mark.parametrize(("before", "now"), [("1.0", 1.5), ("3", 3.5), ("1.7", 1.5), ("10", 10)])
def test_a_limit_of_the_most_probable_level_takes_what_it_took(pipeline, before, now):
    pipeline.add_inputs({"dna": "DNA"})
    module = pipeline.add("MeasureImageFocus", images="DNA", in_focus_limit=7)
    module.add_overlay()
    text = io.StringIO()
    pipeline.pipeline.dump(text)
    start, end = text.getvalue().split("\nMeasureImageFocus:")
    # As revision 2 wrote it.
    end = of_revision(2, end)
    end = end.replace("Highest expected level that is in focus:7", f"Highest level:{before}")
    again = Pipeline()
    again.load(io.StringIO(f"{start}\nMeasureImageFocus:{end}"))
    assert again.modules()[-1].in_focus_limit.value == now
    others = [setting.get_value_text() for setting in again.modules()[-1].settings()]
    assert others[3:] == [setting.get_value_text() for setting in module.settings()][3:]
    again.modules()[-1].validate_module(again)


def test_settings_are_saved_and_loaded(pipeline):
    pipeline.add_inputs({"dna": "DNA", "actin": "Actin"})
    pipeline.add("IdentifyPrimaryObjects", x_name="DNA", y_name="Nuclei")
    module = pipeline.add(
        "MeasureImageFocus",
        images="DNA, Actin",
        wants_objects=True,
        objects="Nuclei",
        in_focus_limit=2.25,
        wants_probabilities=True,
        wants_optics=True,
        na=0.75,
        wants_rescaling=True,
        word="Strict",
    )
    for name in ("DNA", "Actin"):
        module.add_overlay()
        module.overlays[-1].image.value = name
        module.overlays[-1].name.value = f"PatchesOf{name}"
    text = io.StringIO()
    pipeline.pipeline.dump(text)
    again = Pipeline()
    again.load(io.StringIO(text.getvalue()))
    values = [setting.get_value_text() for setting in again.modules()[-1].settings()]
    assert values == [setting.get_value_text() for setting in module.settings()]
    assert [group.name.value for group in again.modules()[-1].overlays] == [
        "PatchesOfDNA",
        "PatchesOfActin",
    ]
    again.modules()[-1].test_valid(again)


def test_every_setting_has_its_help(focus):
    focus.add_overlay()
    helped = [setting.text for setting in focus.help_settings()]
    assert all(setting.doc for setting in focus.help_settings())
    # The first is the hidden number of overlays.
    assert {setting.text for setting in focus.settings()[1:]} <= set(helped)
    focus.overlays.clear()
    assert [setting.text for setting in focus.help_settings()] == helped
    assert focus.overlays == []
    focus.add_overlay()
    assert "10.1186/s12859-018-2087-4" in focus.get_help()
    shown = {setting.text for setting in focus.visible_settings()}
    hidden = {focus.na.text, focus.objects.text, focus.model_folder.text}
    assert not hidden & shown
    focus.wants_optics.value = True
    focus.wants_objects.value = True
    focus.model_source.value = "Model in a folder"
    assert hidden <= {setting.text for setting in focus.visible_settings()}


# Measurements


def test_columns_and_picker_agree(focus, pipeline):
    focus.images.value = "DNA, Actin"
    focus.wants_objects.value = True
    focus.objects.value = "Nuclei, Cells"
    focus.wants_probabilities.value = True
    focus.wants_optics.value = True
    for volumetric, word in ((False, ""), (True, "Strict")):
        pipeline.pipeline.set_volumetric(volumetric)
        focus.word.value = word
        columns = focus.get_measurement_columns(pipeline.pipeline)
        assert len(columns) == len(set(columns))
        names = {of: set() for of, _, _ in columns}
        for of, name, _ in columns:
            names[of].add(name)
        assert set(names) == {"Image", "Nuclei", "Cells"}
        for of, found in names.items():
            picked = set()
            for category in focus.get_categories(pipeline.pipeline, of):
                for feature in focus.get_measurements(pipeline.pipeline, of, category):
                    asked = (pipeline.pipeline, of, category, feature)
                    for image in focus.get_measurement_images(*asked):
                        scales = focus.get_measurement_scales(*asked, image)
                        assert all(isinstance(scale, str) for scale in scales)
                        stem = f"{category}_{feature}_{image}"
                        picked |= {f"{stem}_{scale}" for scale in scales} or {stem}
            assert picked == found
        assert (f"ImageFocus{word}_BestPlane_DNA" in names["Image"]) == volumetric
        assert len(names["Image"]) == 2 * (14 + volumetric + 11)
    assert focus.get_categories(pipeline.pipeline, "Others") == []
    assert focus.get_measurements(pipeline.pipeline, "Image", "Intensity") == []
    assert focus.get_measurement_images(pipeline.pipeline, "Image", "ImageFocus", "Nothing") == []


def test_what_is_stored_is_what_the_columns_promise(focus, workspace, pipeline):
    focus.wants_probabilities.value = True
    focus.wants_optics.value = True
    space = workspace({"DNA": loaded(taken(4, 1))})
    focus.run(space)
    stored = set(space.measurements.get_feature_names("Image"))
    promised = {name for _, name, _ in focus.get_measurement_columns(pipeline.pipeline)}
    assert {name for name in stored if name.startswith("ImageFocus")} == promised
    for _, name, kind in focus.get_measurement_columns(pipeline.pipeline):
        value = space.measurements.get_current_measurement("Image", name)
        if kind == "varchar":
            assert isinstance(value, str), name
        else:
            assert isinstance(value, (int, float, np.number)), name
        if kind == "integer":
            assert int(value) == value


def test_pixels_that_the_mask_hides_do_not_count(focus, workspace):
    plane = np.hstack([taken(0, 1, (260, 252)), taken(9, 2, (260, 252))])
    mask = np.zeros(plane.shape, bool)
    mask[:, :252] = True
    space = workspace({"DNA": loaded(plane, mask=mask)})
    focus.run(space)
    result = measure_focus(plane, mask=mask)
    assert measured(space, "Level") == result.level <= 1
    assert measured(space, "ExpectedLevel") == pytest.approx(result.expected_level, abs=1e-6)
    assert measured(space, "Mixed") == 0
    assert measure_focus(plane).status == "mixed"


@pytest.mark.parametrize("level", [5, 10])
def test_a_mask_makes_no_blurred_image_sharp(focus, workspace, level):
    plane = taken(level, 1)
    plain = measure_focus(plane).expected_level
    bright = plane > np.percentile(plane, 70)
    y, x = np.mgrid[:260, :350]
    ellipse = ((y - 130) / 120) ** 2 + ((x - 175) / 160) ** 2 < 1
    focus.wants_objects.value = True
    focus.objects.value = "Nuclei"
    nuclei_of_it = segmented(labels_of(plane.shape, {1: (60, 60), 2: (120, 200), 3: (190, 300)}))
    for mask in (bright, ~bright, ellipse):
        # As MaskImage and Crop leave it.
        masked = np.where(mask, plane, 0).astype(np.uint16)
        space = workspace({"DNA": loaded(masked, mask=mask)}, {"Nuclei": nuclei_of_it})
        focus.run(space)
        assert measured(space, "InFocus") == 0
        levels = [measured(space, "ExpectedLevel"), *measured(space, "ExpectedLevel", of="Nuclei")]
        assert all(np.isnan(found) or found > plain - 1 for found in levels), levels
    # There is enough inside to tell.
    assert abs(levels[0] - plain) < 0.5


def test_an_image_that_is_all_masked_has_no_level(focus, workspace, caplog):
    plane = taken(0, 1)
    space = workspace({"DNA": loaded(plane, mask=np.zeros(plane.shape, bool))})
    focus.run(space)
    assert np.isnan(measured(space, "Level"))
    assert np.isnan(measured(space, "SaturatedFraction"))
    assert measured(space, "NoContent") == 1
    assert measured(space, "Status") == "no_content"
    assert measured(space, "Message") == "No patch is at least half unmasked."
    assert "Focus of DNA: No patch is at least half unmasked." in caplog.text


def test_a_volume_is_its_best_plane(focus, workspace):
    levels = (7, 4, 1, 5)
    planes = np.stack([taken(level, 3) for level in levels])
    pixels = (planes / 65535).astype(np.float32)
    space = workspace({"DNA": Image(pixels, dimensions=3, scale=65535)}, volumetric=True)
    focus.add_overlay()
    focus.overlays[0].image.value = "DNA"
    focus.run(space)
    best = measure_focus(planes[2])
    assert measured(space, "BestPlane") == 2 == measure_stack(planes).best_plane
    assert measured(space, "Level") == best.level
    assert measured(space, "ExpectedLevel") == pytest.approx(best.expected_level, abs=1e-6)
    patches = space.image_set.get_image("FocusPatches").pixel_data
    assert patches.shape == (1, 260, 350, 3)
    np.testing.assert_allclose(patches[0] * 255, overlay(planes[2], best), atol=1e-3)
    assert space.image_set.get_image("FocusPatches").mask.all()


def test_a_file_of_one_plane_is_a_volume_of_one(focus, workspace):
    plane = taken(0, 1)
    mask = np.ones(plane.shape, bool)
    mask[:, :100] = False
    for masked in (None, mask):
        image = Image((plane / 65535).astype(np.float32), mask=masked, dimensions=3, scale=65535)
        space = workspace({"DNA": image}, volumetric=True)
        focus.run(space)
        result = measure_focus(plane, mask=masked)
        assert measured(space, "BestPlane") == 0
        assert measured(space, "ExpectedLevel") == pytest.approx(result.expected_level, abs=1e-6)


def test_a_volume_out_of_focus_has_a_best_plane_and_an_empty_one_has_none(focus, workspace):
    blurred = np.stack([taken(level, 3) for level in (9, 6, 8)])
    for planes, best, content in ((blurred, 1, True), (np.zeros_like(blurred), np.nan, False)):
        pixels = (planes / 65535).astype(np.float32)
        space = workspace({"DNA": Image(pixels, dimensions=3, scale=65535)}, volumetric=True)
        focus.run(space)
        np.testing.assert_equal(measured(space, "BestPlane"), best)
        expected = measure_focus(planes[1]).expected_level
        assert measured(space, "ExpectedLevel") == pytest.approx(expected, nan_ok=True)
        assert measured(space, "InFocus") == 0
        assert measured(space, "NoContent") == (not content)
        assert ("none is the best" in measured(space, "Message")) == (not content)


def test_saturated_pixels_are_those_of_the_file(focus, workspace):
    plane = taken(0, 1)
    plane[:26] = 4095
    floats = (taken(0, 1) / 65535).astype(np.float32)
    space = workspace({"DNA": loaded(plane), "Smoothed": Image(floats * 0.37, scale=65535)})
    focus.images.value = "DNA, Smoothed"
    focus.run(space)
    share = measure_focus(plane).saturated_fraction
    assert share > 0.1
    assert measured(space, "SaturatedFraction") == pytest.approx(share)
    # Not what the camera gave: nobody can tell.
    assert np.isnan(measured(space, "SaturatedFraction", "Smoothed"))
    assert "Saturated pixels cannot be told" in measured(space, "Message", "Smoothed")
    assert "Saturated" not in measured(space, "Message")


def test_pixels_that_are_no_numbers_do_not_count(focus, workspace, caplog):
    plane = taken(0, 1) / np.float32(65535)
    plane[:90, :90] = np.nan
    space = workspace({"DNA": Image(plane, scale=65535)})
    focus.run(space)
    result = measure_focus(plane)
    assert measured(space, "ExpectedLevel") == pytest.approx(result.expected_level, abs=1e-6)
    assert np.isnan(measured(space, "SaturatedFraction"))
    assert result.message
    assert f"Focus of DNA: {result.message}" in caplog.text
    assert measured(space, "Message").startswith(result.message)


@pytest.mark.parametrize(
    ("scale", "kind", "divisor"),
    [
        (255, np.uint8, 255),
        (4095, np.uint16, 4095),
        (4095, np.uint16, 65535),
        (65535, np.uint16, 65535),
        (65535, np.uint16, 255.0),
        (65535, np.uint16, 4095.7),
        (2**32, np.uint32, 2**32),
    ],
)
def test_every_whole_number_comes_back(modules, scale, kind, divisor):
    from _patch_module import as_stored

    stored = np.arange(min(scale, 65535) + 1, dtype=kind).reshape(1, -1)
    for floats in (np.float32, np.float64):
        pixels = (stored / divisor).astype(floats)
        found = as_stored(pixels, scale, [divisor])
        assert found.dtype == kind
        np.testing.assert_array_equal(found, stored)
    almost = (stored / divisor).astype(np.float32)
    almost[0, len(stored[0]) // 2] += np.float32(0.4 / divisor)
    assert as_stored(almost, scale, [divisor]) is almost


def test_with_optics_there_is_a_distance_and_rescaling(focus, workspace):
    plane = taken(2, 1, (520, 700))
    optics = Optics(na=0.5, refractive_index=1.0, wavelength_um=0.6, pixel_size_um=0.325)
    focus.wants_optics.value = True
    focus.wavelength_um.value = 0.6
    focus.pixel_size_um.value = 0.325
    assert focus.wants_rescaling.value
    for rescale in (False, True):
        focus.wants_rescaling.value = rescale
        space = workspace({"DNA": loaded(plane)})
        focus.run(space)
        result = measure_focus(plane, optics=optics, rescale=rescale)
        assert measured(space, "Defocus") == pytest.approx(result.defocus_um, abs=1e-6)
        assert measured(space, "BlurDiameter") == pytest.approx(result.blur_diameter_px, abs=1e-6)


def test_an_image_that_rescaling_leaves_too_small_says_so(focus, workspace):
    focus.wants_optics.value = True
    focus.pixel_size_um.value = 0.15
    space = workspace({"DNA": loaded(taken(0, 1))})
    focus.run(space)
    assert measured(space, "Status") == "too_small"
    assert (measured(space, "InFocus"), measured(space, "NoContent")) == (0, 0)
    assert np.isnan(measured(space, "Level"))
    assert "65 x 87 at the model's sampling" in measured(space, "Message")


def test_the_limit_decides_what_is_in_focus(focus, workspace):
    plane = taken(3, 1)
    expected = measure_focus(plane).expected_level
    assert 2 <= expected <= 4
    for limit, in_focus in ((1.5, 0), (expected - 0.01, 0), (expected + 0.01, 1)):
        focus.in_focus_limit.value = limit
        space = workspace({"DNA": loaded(plane)})
        focus.run(space)
        assert measured(space, "InFocus") == in_focus


# Objects


def labels_of(shape, boxes):
    labels = np.zeros(shape, int)
    for number, (y, x) in boxes.items():
        labels[y : y + 11, x : x + 11] = number
    return labels


def segmented(labels):
    objects = Objects()
    objects.segmented = labels
    return objects


def test_objects_have_the_focus_of_their_place(focus, workspace):
    plane = np.hstack([taken(0, 1, (260, 252)), taken(9, 2, (260, 252))])
    # Number 2 has no pixel left.
    objects = segmented(labels_of(plane.shape, {1: (100, 60), 3: (100, 420), 4: (0, 0)}))
    focus.wants_objects.value = True
    focus.objects.value = "Nuclei, Nothing"
    nothing = segmented(np.zeros(plane.shape, int))
    space = workspace({"DNA": loaded(plane)}, {"Nuclei": objects, "Nothing": nothing})
    focus.run(space)
    levels = measured(space, "Level", of="Nuclei")
    wanted = measure_at(plane, [(105, 65), (105, 425), (5, 5)])
    np.testing.assert_allclose(levels[[0, 2, 3]], wanted.levels)
    assert levels[0] <= 1
    assert levels[2] >= 7
    assert np.isnan(levels[1])
    certainties = measured(space, "Certainty", of="Nuclei")
    np.testing.assert_allclose(certainties[[0, 2, 3]], wanted.certainties, atol=1e-6)
    assert len(measured(space, "Level", of="Nothing")) == 0


def test_an_object_is_in_focus_when_it_is_sure_and_within_the_limit(focus, workspace):
    plane = np.hstack([taken(level, 1, (260, 252)) for level in (0, 4, 9)])
    plane[:, 252:336] = np.random.default_rng(0).integers(95, 105, (260, 84))
    points = {1: (100, 60), 2: (100, 289), 3: (100, 420), 5: (100, 660)}
    focus.wants_objects.value = True
    focus.objects.value = "Nuclei"
    wanted = measure_at(plane, [(y + 5, x + 5) for y, x in points.values()])
    sure = wanted.certainties >= FocusModel.from_pretrained().description.focus.sure_certainty
    # The second lies where there is nothing to judge by, though its level may be a low one.
    assert sure.tolist() == [True, False, True, True]
    for limit in (1.5, 6):
        focus.in_focus_limit.value = limit
        space = workspace(
            {"DNA": loaded(plane)}, {"Nuclei": segmented(labels_of(plane.shape, points))}
        )
        focus.run(space)
        found = measured(space, "InFocus", of="Nuclei")
        assert found.dtype.kind == "i"
        below = wanted.expected_levels <= limit
        # The fourth has no pixels.
        assert found.tolist() == [below[0], 0, below[2], 0, below[3]]
    assert below.tolist()[2:] == [True, False]


def test_how_many_objects_have_no_level_is_told_and_why(focus, workspace, caplog):
    plane = taken(0, 1, (260, 430))
    plane[:, :180] = 100
    # Number 2 has no pixels.
    objects = segmented(labels_of(plane.shape, {1: (100, 50), 3: (60, 300), 4: (180, 380)}))
    focus.wants_objects.value = True
    focus.objects.value = "Nuclei"
    space = workspace({"DNA": loaded(plane)}, {"Nuclei": objects})
    focus.run(space)
    assert np.isnan(measured(space, "Level", of="Nuclei")).tolist() == [True, True, False, False]
    told = (
        "2 of 4 Nuclei have no level: 1 without pixels in this image, 1 in surroundings that are "
        "constant or mostly masked."
    )
    assert told in measured(space, "Message")
    assert told in caplog.text


def test_objects_may_overlap(focus, workspace):
    plane = taken(0, 1)
    objects = Objects()
    ijv = [(y, x, n) for n, at in ((1, 100), (2, 105)) for y in range(20) for x in (at, at + 9)]
    objects.set_ijv(np.array(ijv), shape=plane.shape)
    focus.wants_objects.value = True
    focus.objects.value = "Nuclei"
    space = workspace({"DNA": loaded(plane)}, {"Nuclei": objects})
    focus.run(space)
    wanted = measure_at(plane, [(9.5, 104.5), (9.5, 109.5)])
    found = measured(space, "ExpectedLevel", of="Nuclei")
    np.testing.assert_allclose(found, wanted.expected_levels, atol=1e-6)


def test_objects_of_another_size_are_named_and_not_measured(focus, workspace, caplog):
    objects = segmented(labels_of((300, 400), {1: (100, 100), 2: (280, 380)}))
    focus.wants_objects.value = True
    focus.objects.value = "Nuclei"
    space = workspace({"DNA": loaded(taken(0, 1))}, {"Nuclei": objects})
    focus.run(space)
    assert np.isnan(measured(space, "Level", of="Nuclei")).all()
    assert measured(space, "InFocus", of="Nuclei").tolist() == [0, 0]
    told = (
        "Nuclei are not measured: they were found in an image of 300 x 400 pixels, this one has "
        "260 x 350."
    )
    assert measured(space, "Message") == told
    assert f"Focus of DNA: {told}" in caplog.text
    assert measured(space, "Level") <= 1


def test_objects_found_before_cropping_are_measured_where_they_are(focus, workspace):
    plane = taken(4, 1)
    whole = loaded(plane)
    window = np.zeros(plane.shape, bool)
    window[50:250, 100:340] = True
    cropped = Image(
        whole.pixel_data[50:250, 100:340], parent_image=whole, crop_mask=window, scale=65535
    )
    # The second one lies outside.
    objects = segmented(labels_of(plane.shape, {1: (120, 200), 2: (120, 20)}))
    focus.wants_objects.value = True
    focus.objects.value = "Nuclei"
    space = workspace({"DNA": cropped}, {"Nuclei": objects})
    focus.run(space)
    wanted = measure_at(plane[50:250, 100:340], [(75, 105)])
    found = measured(space, "ExpectedLevel", of="Nuclei")
    np.testing.assert_allclose(found[0], wanted.expected_levels[0], atol=1e-6)
    assert np.isnan(found[1])


def test_objects_of_a_volume_are_measured_in_their_plane(focus, workspace):
    planes = np.stack([taken(level, 3) for level in (0, 8)])
    labels = np.zeros(planes.shape, int)
    labels[0, 100:111, 100:111] = 1
    labels[1, 100:111, 200:211] = 2
    focus.wants_objects.value = True
    focus.objects.value = "Nuclei"
    pixels = (planes / 65535).astype(np.float32)
    space = workspace(
        {"DNA": Image(pixels, dimensions=3, scale=65535)},
        {"Nuclei": segmented(labels)},
        volumetric=True,
    )
    focus.run(space)
    wanted = [
        measure_at(planes[0], [(105, 105)]).levels[0],
        measure_at(planes[1], [(105, 205)]).levels[0],
    ]
    np.testing.assert_array_equal(measured(space, "Level", of="Nuclei"), wanted)
    assert wanted[0] < wanted[1]


# Refusals


def test_a_colour_image_is_refused_before_the_run_where_it_is_known(pipeline):
    pipeline.add_inputs({"dna": "DNA", "rgb": "Colour"})
    pipeline.pipeline.modules()[2].assignments[1].load_as_choice.value = "Color image"
    pipeline.add("GrayToColor", rgb_image_name="Merged")
    first = pipeline.add("MeasureImageFocus", images="DNA")
    first.add_overlay()
    first.overlays[0].image.value = "DNA"
    second = pipeline.add("MeasureImageFocus", images="DNA")
    for name in ("Colour", "Merged", "FocusPatches"):
        second.images.value = f"DNA, {name}"
        with pytest.raises(ValidationError, match=f"{name} is a colour image.*ColorToGray") as told:
            second.validate_module(pipeline.pipeline)
        assert told.value.setting is second.images
    second.images.value = "DNA"
    second.validate_module(pipeline.pipeline)


def test_only_the_settings_in_use_tell_what_an_image_is(pipeline):
    pipeline.add_inputs({"dna": "DNA"})
    inputs = pipeline.pipeline.modules()[2]
    inputs.assignments[0].load_as_choice.value = "Color image"
    inputs.assignment_method.value = "All images"
    inputs.single_image_provider.value = "DNA"
    module = pipeline.add("MeasureImageFocus", images="DNA")
    module.validate_module(pipeline.pipeline)
    inputs.single_load_as_choice.value = "Color image"
    with pytest.raises(ValidationError, match="DNA is a colour image"):
        module.validate_module(pipeline.pipeline)


def test_a_binary_image_is_refused_before_the_run_where_it_is_known(pipeline):
    pipeline.add_inputs({"dna": "DNA", "mask": "Inside"})
    pipeline.add("Threshold", x_name="DNA", y_name="Bright")
    module = pipeline.add("MeasureImageFocus", images="DNA")
    module.validate_module(pipeline.pipeline)
    for name in ("Inside", "Bright"):
        module.images.value = f"DNA, {name}"
        with pytest.raises(ValidationError, match=f"{name} is a binary image") as told:
            module.validate_module(pipeline.pipeline)
        assert told.value.setting is module.images


def test_a_colour_image_is_refused_in_the_run_with_its_name(focus, workspace):
    colour = np.random.default_rng(0).random((100, 120, 3))
    space = workspace({"DNA": colour})
    with pytest.raises(ValueError, match=r"DNA is a colour image of the shape \(100, 120, 3\)"):
        focus.run(space)


def test_three_equal_channels_are_grey(focus, workspace):
    plane = taken(4, 1)
    grey = np.repeat((plane / 65535).astype(np.float32)[..., np.newaxis], 3, axis=2)
    space = workspace({"DNA": Image(grey, scale=65535)})
    focus.run(space)
    assert measured(space, "Level") == measure_focus(plane).level


def test_a_binary_image_is_refused_with_its_name(focus, workspace):
    space = workspace({"DNA": np.zeros((100, 100), bool)})
    with pytest.raises(ValueError, match="DNA cannot be measured"):
        focus.run(space)


def test_an_image_smaller_than_a_patch_is_named_and_the_others_go_on(focus, workspace, caplog):
    plane = taken(0, 1)
    space = workspace({"Small": loaded(plane[:60]), "DNA": loaded(plane)})
    focus.images.value = "Small, DNA"
    focus.run(space)
    assert "Focus of Small: The image has 60 x 350 pixels; a patch needs 84 x 84." in caplog.text
    assert np.isnan(measured(space, "Level", "Small"))
    said = "The image has 60 x 350 pixels; a patch needs 84 x 84."
    assert measured(space, "Message", "Small") == said
    assert measured(space, "Status", "Small") == "too_small"
    assert measured(space, "Message") == ""
    assert measured(space, "Status") == "in_focus"
    assert measured(space, "NoContent", "Small") == 0
    assert measured(space, "Level") <= 1


@pytest.fixture
def model_folder(tmp_path):
    return Path(shutil.copytree(str(available_models()["compact"]), str(tmp_path / "mine")))


def choose(focus, folder):
    focus.model_source.value = "Model in a folder"
    focus.model_folder.join_parts("Elsewhere...", str(folder))


def break_weights(folder):
    (folder / "weights.npz").write_bytes(b"PK not an archive")


def break_description(folder):
    (folder / "model.json").write_text("{", encoding="utf-8")


def take_away(folder):
    (folder / "model.json").unlink()


@pytest.mark.parametrize("damage", [break_weights, break_description, take_away])
def test_a_broken_model_is_refused_before_the_run(focus, pipeline, model_folder, damage):
    choose(focus, model_folder)
    focus.validate_module(pipeline.pipeline)
    damage(model_folder)
    with pytest.raises(ValidationError, match=str(model_folder)) as told:
        focus.validate_module(pipeline.pipeline)
    assert told.value.setting is focus.model_folder


def test_a_folder_that_is_not_there_is_refused(focus, pipeline, tmp_path):
    choose(focus, tmp_path / "nowhere")
    with pytest.raises(ValidationError, match="nowhere") as told:
        focus.validate_module(pipeline.pipeline)
    assert told.value.setting is focus.model_folder


def test_a_file_in_place_of_the_models_folder_is_refused(focus, pipeline, model_folder):
    choose(focus, model_folder / "model.json")
    with pytest.raises(ValidationError, match="is no folder. Choose the one that holds") as told:
        focus.validate_module(pipeline.pipeline)
    assert told.value.setting is focus.model_folder


def test_what_is_wrong_is_said_before_a_run_without_a_window_too(focus, workspace, tmp_path):
    choose(focus, tmp_path / "nowhere")
    space = workspace({"DNA": loaded(taken(0, 1))})
    with pytest.raises(ValueError, match="MeasureImageFocus, Folder of the model: .*nowhere"):
        focus.prepare_run(space)
    focus.model_source.value = "Default model"
    assert focus.prepare_run(space)


def test_the_models_folder_is_that_of_the_cluster_in_a_batch(focus, workspace, model_folder):
    choose(focus, model_folder)
    space = workspace({"DNA": loaded(taken(0, 1))})
    local, remote = str(model_folder.parent), "/cluster"
    assert focus.prepare_to_create_batch(space, lambda path, **_: path.replace(local, remote))
    assert focus.model_folder.get_absolute_path() == "/cluster/mine"


def test_a_model_of_ones_own_measures(focus, workspace, model_folder):
    choose(focus, model_folder)
    plane = taken(4, 1)
    space = workspace({"DNA": loaded(plane)})
    focus.run(space)
    assert measured(space, "ExpectedLevel") == pytest.approx(measure_focus(plane).expected_level)


@pytest.mark.parametrize(
    ("settings", "at"),
    [
        ({"na": 0}, "na"),
        ({"na": 1.2}, "na"),
        ({"refractive_index": 0}, "refractive_index"),
        ({"wavelength_um": 0}, "wavelength_um"),
        ({"wavelength_um": 525}, "wavelength_um"),
        ({"pixel_size_um": 0}, "pixel_size_um"),
        ({"pixel_size_um": 30, "wants_rescaling": True}, "pixel_size_um"),
    ],
)
def test_optics_that_cannot_be_are_refused_at_their_setting(focus, pipeline, settings, at):
    focus.wants_optics.value = True
    focus.validate_module(pipeline.pipeline)
    for name, value in settings.items():
        getattr(focus, name).value = value
    with pytest.raises(ValidationError) as told:
        focus.validate_module(pipeline.pipeline)
    assert told.value.setting is getattr(focus, at)


def test_other_settings_that_make_no_sense_are_refused(focus, pipeline):
    for limit in (11, float("nan")):
        focus.in_focus_limit.value = limit
        with pytest.raises(ValidationError, match="0 to 10") as told:
            focus.validate_module(pipeline.pipeline)
        assert told.value.setting is focus.in_focus_limit
    focus.in_focus_limit.value = 1
    focus.images.value = ""
    with pytest.raises(ValidationError, match="at least one image"):
        focus.validate_module(pipeline.pipeline)
    focus.images.value = "DNA, DNA"
    with pytest.raises(ValidationError, match="twice"):
        focus.validate_module(pipeline.pipeline)
    focus.images.value = "DNA"
    focus.wants_objects.value = True
    with pytest.raises(ValidationError, match="at least one set of objects"):
        focus.validate_module(pipeline.pipeline)
    focus.objects.value = "Nuclei, Nuclei"
    with pytest.raises(ValidationError, match="Nuclei is selected twice") as told:
        focus.validate_module(pipeline.pipeline)
    assert told.value.setting is focus.objects
    focus.wants_objects.value = False
    focus.add_overlay()
    assert focus.overlays[0].image.value == "DNA"
    focus.overlays[0].image.value = "Actin"
    with pytest.raises(ValidationError, match="Actin is not measured") as told:
        focus.validate_module(pipeline.pipeline)
    assert told.value.setting is focus.overlays[0].image


# Two modules on one image


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"in_focus_limit": 3}, '"Highest expected level that is in focus" 1.5 instead of 3.0:'),
        ({"wants_optics": True}, '"Describe the microscope?" No instead of Yes:'),
        (
            {"model_source": "Model in a folder"},
            '"Select the model" Default model instead of Model in a',
        ),
    ],
)
def test_a_second_module_does_not_overwrite_the_first(pipeline, settings, said):
    pipeline.add_inputs({"dna": "DNA", "actin": "Actin"})
    first = pipeline.add("MeasureImageFocus", images="Actin, DNA")
    second = pipeline.add("MeasureImageFocus", images="DNA", **settings)
    with pytest.raises(ValidationError, match="Module 5 measures DNA too") as told:
        second.validate_module(pipeline.pipeline)
    assert said in str(told.value)
    assert told.value.setting is second.word
    # It is the later one that would overwrite.
    first.validate_module(pipeline.pipeline)
    with pytest.raises(ValueError, match="MeasureImageFocus, Word to add .* Module 5 measures"):
        second.prepare_run(Workspace(pipeline.pipeline, second, None, None, None, None))
    first.enabled = False
    second.validate_names(pipeline.pipeline)
    first.enabled = True
    first.images.value = "Actin"
    second.validate_names(pipeline.pipeline)
    first.images.value = "DNA"
    second.word.value = "Other"
    second.validate_names(pipeline.pipeline)
    first.word.value = "other"
    with pytest.raises(ValidationError, match="Module 5 measures DNA too"):
        second.validate_names(pipeline.pipeline)


def test_modules_that_measure_the_same_may_do_so(pipeline):
    pipeline.add_inputs({"dna": "DNA"})
    for _ in range(2):
        module = pipeline.add("MeasureImageFocus", images="DNA", in_focus_limit=2)
    # What is not in use does not matter.
    module.na.value = 0.9
    module.wants_probabilities.value = True
    module.validate_module(pipeline.pipeline)


def test_with_a_word_both_modules_keep_what_they_measure(pipeline, focus, workspace):
    space = workspace({"DNA": loaded(taken(3, 1))})
    lenient = pipeline.add("MeasureImageFocus", images="DNA", word="Lenient", in_focus_limit=6)
    lenient.validate_module(pipeline.pipeline)
    focus.run(space)
    lenient.run(space)
    assert [measured(space, "InFocus", word=word) for word in ("", "Lenient")] == [0, 1]
    assert measured(space, "Level") == measured(space, "Level", word="Lenient")
    # The list of measurements tells them apart.
    flag = pipeline.add("FlagImage")
    condition = flag.flags[0].measurement_settings[0].measurement
    for word in ("", "Lenient"):
        condition.value = f"ImageFocus{word}_InFocus_DNA"
        assert condition.get_category(pipeline.pipeline) == f"ImageFocus{word}"
        assert condition.get_feature_name(pipeline.pipeline) == "InFocus"
        assert condition.get_image_name(pipeline.pipeline) == "DNA"


@pytest.mark.parametrize("word", ["very strict", "Strict_", "grün"])
def test_a_word_that_no_name_can_have_is_refused(focus, pipeline, word):
    focus.word.value = word
    with pytest.raises(ValidationError, match="letters and digits, such as Strict") as told:
        focus.validate_module(pipeline.pipeline)
    assert told.value.setting is focus.word


# The window


NAMES = ("DNA", "Actin", "Mitochondria", "ER")


def shown_images(focus, workspace, number, shape=(260, 350), level=4):
    """Run with an open window; gives what a worker would send, and the planes."""
    planes = {name: taken(level + i, i, shape) for i, name in enumerate(NAMES[:number])}
    if number > 3:
        planes["ER"] = np.random.default_rng(0).integers(90, 110, shape).astype(np.uint16)
    focus.images.value = ", ".join(planes)
    focus.show_window = True
    space = workspace({name: loaded(plane) for name, plane in planes.items()})
    focus.run(space)
    send(space)
    return space, planes


def shown(focus, workspace, number, style="default", **settings):
    """Run with an open window, and draw in it."""
    space, planes = shown_images(focus, workspace, number, **settings)
    return displayed(focus, space, style), planes


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_the_window_shows_patches_probabilities_and_a_table(
    focus, workspace, number, style, tmp_path
):
    window, planes = shown(focus, workspace, number, style)
    window.figure.savefig(str(tmp_path / "window.png"), facecolor=window.figure.get_facecolor())
    axes = window.figure.axes
    assert len(axes) == 2 * number + 2
    for index, (name, plane) in enumerate(planes.items()):
        result = measure_focus(plane)
        picture, bars = axes[2 * index : 2 * index + 2]
        np.testing.assert_array_equal(picture.images[0].get_array(), overlay(plane, result))
        assert picture.get_title("left") == f"{name}: {result.status.replace('_', ' ')}"
        heights = [bar.get_height() for bar in bars.patches]
        np.testing.assert_allclose(heights, result.probabilities, atol=1e-6)
        colours = [np.round(np.array(bar.get_facecolor()[:3]) * 255) for bar in bars.patches]
        np.testing.assert_array_equal(colours, level_colours(11))
        cells = axes[-1].tables[0].get_celld()
        row = [cells[index + 1, column].get_text().get_text() for column in range(4)]
        assert row == [
            name,
            "none" if result.status == "no_content" else f"{result.expected_level:.1f}",
            f"{result.certainty:.2f}",
            result.status.replace("_", " "),
        ]
    words = [text.get_text().strip() for text in axes[-2].texts]
    assert {"in focus", "out of focus"} <= set(words)
    assert words[:11] == [str(level) for level in range(11)]


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_words_can_be_read_in_a_light_and_a_dark_window(focus, workspace, style):
    window, _ = shown(focus, workspace, 4, style)
    # The levels stand on the colours of the bar.
    assert_readable(window, window.figure.axes[-2].texts[:11])


@pytest.mark.parametrize("number", [1, 2, 4])
def test_words_do_not_overlap_in_a_window_of_the_usual_size(focus, workspace, number):
    window, _ = shown(focus, workspace, number)
    renderer = window.canvas.get_renderer()
    axes = window.figure.axes
    titles = [title for ax in axes for title in (ax.title, ax._left_title) if title.get_text()]
    labels = [tick for ax in axes if ax.axison for tick in ax.get_xticklabels() if tick.get_text()]
    ends = [*axes[-2].texts[11:], axes[-2].xaxis.label]
    boxes = [text.get_window_extent(renderer) for text in (*titles, *labels, *ends)]
    boxes += [axes[-1].tables[0].get_window_extent(renderer), axes[-2].bbox]
    assert_apart(boxes, window)


def test_two_images_are_shown_large(focus, workspace):
    window, _ = shown(focus, workspace, 2)
    assert window.centred
    pictures = [axes.get_window_extent() for axes in window.figure.axes[:4:2]]
    assert all(box.width > 400 and box.height > 300 for box in pictures)
    # Side by side.
    assert pictures[0].x1 < pictures[1].x0
    assert pictures[0].y0 == pytest.approx(pictures[1].y0)


def test_the_window_keeps_the_size_that_the_user_gave_it(focus, workspace):
    window, _ = shown(focus, workspace, 2)
    images = shown_images(focus, workspace, 2)[0]
    for size in ((700, 500), (500, 800)):
        window.SetClientSize(size)
        focus.display(images, window)
        window.canvas.draw()
        assert window.GetClientSize() == size
        boxes = [axes.get_window_extent() for axes in window.figure.axes[:4:2]]
        wide = size[0] > size[1]
        assert (boxes[0].x1 < boxes[1].x0) == wide
        assert (boxes[0].y0 > boxes[1].y1) != wide


def test_a_large_image_is_drawn_small(focus, workspace):
    window, _ = shown(focus, workspace, 1, shape=(2600, 3500))
    assert max(window.figure.axes[0].images[0].get_array().shape) == 1200


def test_a_mixed_image_is_shown_by_its_expected_level(focus, workspace):
    plane = np.hstack([taken(0, 1, (260, 252)), taken(9, 2, (260, 252))])
    result = measure_focus(plane)
    assert result.status == "mixed"
    focus.show_window = True
    space = workspace({"DNA": loaded(plane)})
    focus.run(space)
    assert measured(space, "Level") == result.level
    window = Window("default")
    focus.display(space, window)
    cells = window.figure.axes[-1].tables[0].get_celld()
    shown = [cells[1, column].get_text().get_text() for column in (1, 3)]
    assert shown == [f"{result.expected_level:.1f}", "mixed"]


def test_a_small_image_is_shown_without_numbers(focus, workspace):
    window, _ = shown(focus, workspace, 1, shape=(60, 60))
    cells = window.figure.axes[-1].tables[0].get_celld()
    assert cells[1, 1].get_text().get_text() == "none"
    assert [text.get_text() for text in window.figure.axes[1].texts] == ["nothing to judge"]


def test_nothing_is_kept_for_a_closed_window(focus, workspace):
    space = workspace({"DNA": loaded(taken(0, 1))})
    focus.show_window = False
    focus.run(space)
    assert not hasattr(space.display_data, "images")


# The process


def test_the_model_is_loaded_once(focus, workspace, monkeypatch):
    import microscope_quality.model as model

    loads = []
    read = model._read_weights
    monkeypatch.setattr(model, "_loaded", {})
    monkeypatch.setattr(model, "_read_weights", lambda *given: loads.append(given) or read(*given))
    for seed in (1, 2):
        focus.run(workspace({"DNA": loaded(taken(0, seed))}))
    assert len(loads) == 1


def test_linear_algebra_keeps_to_one_thread_and_gets_its_threads_back(focus, workspace):
    threadpoolctl = pytest.importorskip("threadpoolctl")
    import microscope_quality.network as network

    def blas_threads():
        pools = threadpoolctl.threadpool_info()
        return [pool["num_threads"] for pool in pools if pool["user_api"] == "blas"]

    seen = []
    call = network.Network.__call__

    def counted(self, patches):
        seen.extend(blas_threads())
        return call(self, patches)

    network.Network.__call__ = counted
    try:
        with threadpoolctl.threadpool_limits(2, "blas"):
            focus.run(workspace({"DNA": loaded(taken(0, 1))}))
            after = blas_threads()
    finally:
        network.Network.__call__ = call
    assert set(seen) == {1}
    assert set(after) == {2}
