"""MeasureImageQualityScore by itself, in CellProfiler's Python."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from cellprofiler_core.image import Image
from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.setting import ValidationError
from cellprofiler_stand_ins import assert_apart, assert_readable, displayed, loaded, send
from micrographs import micrograph

from microscope_quality import available_models
from microscope_quality.acquisition import acquisition_fault
from microscope_quality.components import LOWEST_GOOD_SCORE, losses_of
from microscope_quality.overlay import level_colours, score_overlay
from microscope_quality.rater import rate_image

# What a result's row calls a measurement.
FEATURES = {
    "Score": "score",
    "ScoreLow": "score_low",
    "ScoreHigh": "score_high",
    "Blur": "blur_px",
    "Elongation": "elongation",
    "Angle": "angle_deg",
    "Noise": "noise",
    "LineNoise": "line_noise",
    "Jitter": "jitter_px",
    "SaturatedFraction": "saturated_fraction",
    "BlankFraction": "blank_fraction",
    "Patches": "patches",
}
TEXTS = {"Status": "status", "Cause": "cause", "Action": "action"}
STATUSES = {"Good": "good", "NoContent": "no_content", "FailedGrab": "failed_grab"}


def measured(workspace, feature, name="EM", word=""):
    full = f"ImageQualityScore{word}_{feature}_{name}"
    return workspace.measurements.get_current_measurement("Image", full)


def assert_as_rated(space, result, name="EM", message=""):
    """Check all measurements of an image against the library's result, digit by digit."""
    row = result.to_row()
    for feature, column in FEATURES.items():
        found = measured(space, feature, name)
        np.testing.assert_array_equal(found, row[column], err_msg=feature)
    for feature, column in TEXTS.items():
        assert measured(space, feature, name) == row[column]
    for feature, status in STATUSES.items():
        assert measured(space, feature, name) == (result.status == status)
    assert measured(space, "Message", name) == message


def poor():
    """A micrograph that is poor by any model."""
    return micrograph(blur=(6, 6))


# Settings


def test_settings_are_saved_and_loaded(pipeline):
    pipeline.add_inputs({"em": "EM", "other": "Other"})
    module = pipeline.add(
        "MeasureImageQualityScore",
        images="EM, Other",
        score_limit=0.65,
        rated="Random places",
        places=9,
        word="Strict",
        model_source="Model in a folder",
    )
    module.model_folder.join_parts("Elsewhere...", str(available_models()["em"]))
    for name in ("EM", "Other"):
        module.add_overlay()
        module.overlays[-1].image.value = name
        module.overlays[-1].name.value = f"PatchesOf{name}"
    text = io.StringIO()
    pipeline.pipeline.dump(text)
    assert "MeasureImageQualityScore:[module_num:5|" in text.getvalue()
    assert "variable_revision_number:1|" in text.getvalue().split("MeasureImageQualityScore")[1]
    again = Pipeline()
    again.load(io.StringIO(text.getvalue()))
    found = again.modules()[-1]
    values = [setting.get_value_text() for setting in found.settings()]
    assert values == [setting.get_value_text() for setting in module.settings()]
    assert found.score_limit.value == 0.65
    assert found.places.value == 9
    found.test_valid(again)


def test_every_setting_has_its_help(quality):
    helped = [setting.text for setting in quality.help_settings()]
    assert all(setting.doc for setting in quality.help_settings())
    # The first is the hidden number of overlays.
    assert {setting.text for setting in quality.settings()[1:]} <= set(helped)
    shown = {setting.text for setting in quality.visible_settings()}
    hidden = {quality.places.text, quality.model_folder.text}
    assert not hidden & shown
    quality.rated.value = "Random places"
    quality.model_source.value = "Model in a folder"
    assert hidden <= {setting.text for setting in quality.visible_settings()}
    told = quality.get_help()
    # Every measurement is explained.
    for feature in quality.features:
        assert feature in told
    assert "best plane" not in " ".join(setting.doc for setting in quality.help_settings())


def test_the_limit_is_the_librarys_until_another_one_is_set(quality):
    # The module makes its settings without the library, which may be missing.
    assert quality.score_limit.value == LOWEST_GOOD_SCORE


def test_it_is_for_planes_alone(quality):
    assert not quality.volumetric()


# Measurements


def test_columns_and_picker_agree(quality, pipeline):
    quality.images.value = "EM, Other"
    for word in ("", "Strict"):
        quality.word.value = word
        columns = quality.get_measurement_columns(pipeline.pipeline)
        assert {of for of, _, _ in columns} == {"Image"}
        names = [name for _, name, _ in columns]
        assert len(names) == len(set(names)) == 2 * 19
        picked = []
        for category in quality.get_categories(pipeline.pipeline, "Image"):
            for feature in quality.get_measurements(pipeline.pipeline, "Image", category):
                asked = (pipeline.pipeline, "Image", category, feature)
                for image in quality.get_measurement_images(*asked):
                    assert quality.get_measurement_scales(*asked, image) == []
                    picked.append(f"{category}_{feature}_{image}")
        assert sorted(picked) == sorted(names)
    assert quality.get_categories(pipeline.pipeline, "Nuclei") == []
    assert quality.get_measurements(pipeline.pipeline, "Image", "Intensity") == []
    asked = (pipeline.pipeline, "Image", "ImageQualityScoreStrict", "Nothing")
    assert quality.get_measurement_images(*asked) == []


def test_what_is_stored_is_what_the_columns_promise(quality, workspace, pipeline):
    quality.images.value = "EM, Small"
    space = workspace({"EM": loaded(poor()), "Small": loaded(micrograph((50, 50)))}, module=quality)
    quality.run(space)
    stored = set(space.measurements.get_feature_names("Image"))
    columns = quality.get_measurement_columns(pipeline.pipeline)
    assert {name for name in stored if name.startswith("Image")} == {name for _, name, _ in columns}
    for _, name, kind in columns:
        value = space.measurements.get_current_measurement("Image", name)
        if kind == "varchar":
            assert isinstance(value, str), name
        else:
            assert isinstance(value, (int, float, np.number)), name
        if kind == "integer":
            assert int(value) == value


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("places", [None, 2])
def test_the_numbers_are_those_of_the_file(quality, workspace, kind, places):
    plane = micrograph((1100, 1600), blur=(1, 2), noise=0.2, kind=kind)
    if places:
        quality.rated.value, quality.places.value = "Random places", places
    space = workspace({"EM": loaded(plane)}, module=quality)
    quality.run(space)
    result = rate_image(plane, patches=places)
    assert result.places == places
    assert result.saturated_fraction == result.saturated_fraction
    assert_as_rated(space, result)


def test_images_of_decimal_numbers_are_rated_as_they_are(quality, workspace):
    plane = (poor() / 255).astype(np.float32) * np.float32(0.37)
    space = workspace({"EM": Image(plane, scale=255)}, module=quality)
    quality.run(space)
    told = "Saturated pixels cannot be told: the pixels are no whole numbers up to 65535."
    assert_as_rated(space, rate_image(plane), message=told)


def test_sharper_images_have_higher_scores_and_faults_are_found(quality, workspace):
    planes = {
        "Sharp": micrograph(),
        "Soft": micrograph(blur=(2, 2)),
        "Blurred": micrograph(blur=(6, 6)),
        "Stretched": micrograph(blur=(0.2, 4)),
        "Noisy": micrograph(noise=1.5),
    }
    quality.images.value = ", ".join(planes)
    quality.score_limit.value = 1
    space = workspace({name: loaded(plane) for name, plane in planes.items()}, module=quality)
    quality.run(space)
    scores = {name: measured(space, "Score", name) for name in planes}
    assert scores["Sharp"] > scores["Soft"] > scores["Blurred"]
    assert scores["Sharp"] > scores["Noisy"]
    blurs = [measured(space, "Blur", name) for name in ("Sharp", "Soft", "Blurred")]
    assert blurs == sorted(blurs)
    assert measured(space, "Noise", "Noisy") > 3 * measured(space, "Noise", "Sharp")
    actions = {
        name: (measured(space, "Cause", name), measured(space, "Action", name))
        for name in ("Blurred", "Stretched", "Noisy")
    }
    assert actions == {
        "Blurred": ("blur", "refocus"),
        "Stretched": ("astigmatism", "restigmate"),
        "Noisy": ("noise", "retake"),
    }
    # Along the lines: 0, which is 180.
    assert abs((measured(space, "Angle", "Stretched") + 90) % 180 - 90) < 15


def test_the_limit_decides_what_is_good(quality, workspace):
    plane = micrograph(blur=(2, 2))
    score = rate_image(plane).score
    assert 0.15 < score < 0.95
    for limit, good in ((score - 0.01, 1), (score + 0.01, 0)):
        quality.score_limit.value = limit
        space = workspace({"EM": loaded(plane)}, module=quality)
        quality.run(space)
        assert measured(space, "Good") == good
        assert measured(space, "Status") == ("good" if good else "poor")
        assert (measured(space, "Cause") == "") == good
        assert measured(space, "Score") == score


def test_patches_with_masked_pixels_are_left_out(quality, workspace):
    plane = np.hstack([micrograph((256, 512)), micrograph((256, 512), blur=(6, 6))])
    mask = np.zeros(plane.shape, bool)
    mask[:, :600] = True
    masked = np.where(mask, plane, 0).astype(np.uint8)
    space = workspace({"EM": loaded(masked, mask=mask)}, module=quality)
    quality.run(space)
    assert_as_rated(space, rate_image(np.ma.masked_array(masked, ~mask)))
    assert measured(space, "Patches") == 2
    assert measured(space, "SaturatedFraction") == 0
    assert measured(space, "Score") == pytest.approx(rate_image(plane[:, :512]).score)
    # The black surroundings are no lines that a grab left out.
    assert measured(space, "FailedGrab") == 0


def test_saturated_pixels_are_those_of_the_file(quality, workspace):
    plane = micrograph(kind=np.uint16) // 16
    plane[100:130] = 4095
    space = workspace({"EM": loaded(plane)}, module=quality)
    quality.run(space)
    assert measured(space, "SaturatedFraction") == rate_image(plane).saturated_fraction > 0.09


# Images that are no good


def bad_images():
    """Give images with nothing to rate, or with holes, and what is to be said of them."""
    plane = micrograph()
    with_nan = (plane / 255).astype(np.float32)
    with_nan[40:44, 200:204] = np.nan
    nothing = np.zeros(plane.shape, bool)
    return {
        "Small": (loaded(plane[:100]), "too_small"),
        "Line": (loaded(plane[:1]), "too_small"),
        "Constant": (loaded(np.full_like(plane, 90)), "failed_grab"),
        "Masked": (loaded(plane, mask=nothing), "no_content"),
        "WithNaN": (Image(with_nan), None),
        "AllNaN": (Image(np.full(plane.shape, np.nan, np.float32)), "failed_grab"),
        "Infinite": (Image(np.full(plane.shape, np.inf, np.float32)), "failed_grab"),
    }


@pytest.mark.parametrize("places", [None, 1])
def test_no_bad_image_ends_a_pipeline(quality, workspace, places):
    bad = bad_images()
    quality.images.value = ", ".join(bad)
    if places:
        quality.rated.value, quality.places.value = "Random places", places
    quality.add_overlay()
    quality.overlays[0].image.value = "AllNaN"
    quality.show_window = True
    space = workspace({name: image for name, (image, _) in bad.items()}, module=quality)
    assert quality.prepare_run(space)
    quality.run(space)
    for name, (_, status) in bad.items():
        found = measured(space, "Status", name)
        score = measured(space, "Score", name)
        if status is None:
            assert 0.1 <= score <= 1
            assert 0 < measured(space, "BlankFraction", name) < 1
            continue
        assert found == status
        assert np.isnan(score), name
        assert measured(space, "Good", name) == 0
        assert measured(space, "Patches", name) == 0
    for name, said in (
        ("Small", "The image has 100 x 420 pixels; patches have 128 x 128 at least."),
        ("Constant", "All pixels have one value."),
        ("Masked", "Every patch has masked pixels, or nothing to rate."),
    ):
        assert said in measured(space, "Message", name)
    send(space)
    window = displayed(quality, space)
    titles = [axes.get_title("left").partition(":")[0] for axes in window.figure.axes]
    assert [title for title in titles if title] == list(bad)


def test_a_grab_that_failed_is_told(quality, workspace, caplog):
    plane = micrograph((512, 512))
    plane[300:] = 0
    space = workspace({"EM": loaded(plane)}, module=quality)
    quality.run(space)
    assert measured(space, "Status") == "failed_grab"
    assert (measured(space, "FailedGrab"), measured(space, "Good")) == (1, 0)
    assert (measured(space, "Cause"), measured(space, "Action")) == ("cut", "retake")
    said = "Of its 512 lines, the last 212 have one value each."
    assert measured(space, "Message") == acquisition_fault(plane).message
    assert said in measured(space, "Message")
    assert f"Quality of EM: {said}" in caplog.text
    assert measured(space, "Score") == rate_image(plane).score


def test_clipped_grey_levels_are_told_of_a_good_image(quality, workspace):
    plane = np.minimum(micrograph(), 170)
    result = rate_image(plane)
    assert result.status == "good"
    assert result.saturated_fraction > 0.05
    space = workspace({"EM": loaded(plane)}, module=quality)
    quality.run(space)
    assert measured(space, "Good") == 1
    assert (measured(space, "Cause"), measured(space, "Action")) == ("saturated", "look")
    assert "of the pixels are at the lower end of the grey levels" in measured(space, "Message")


def test_what_is_noise_alone_has_no_content(quality, workspace):
    plane = np.random.default_rng(0).normal(90, 8, (512, 512)).astype(np.uint8)
    space = workspace({"EM": loaded(plane)}, module=quality)
    quality.run(space)
    assert measured(space, "Status") == "no_content"
    assert (measured(space, "NoContent"), measured(space, "Good")) == (1, 0)
    assert measured(space, "BlankFraction") == 1
    assert measured(space, "Message") == "There is no structure in it."


def test_colour_and_binary_images_are_refused_with_their_name(quality, workspace):
    colour = np.random.default_rng(0).random((200, 220, 3))
    space = workspace({"EM": colour}, module=quality)
    said = r"EM is a colour image of the shape \(200, 220, 3\)\. Quality is measured on grey"
    with pytest.raises(ValueError, match=said):
        quality.run(space)
    space = workspace({"EM": np.zeros((200, 200), bool)}, module=quality)
    with pytest.raises(ValueError, match="EM cannot be measured"):
        quality.run(space)


def test_three_equal_channels_are_grey(quality, workspace):
    plane = micrograph()
    grey = np.repeat((plane / 255).astype(np.float32)[..., np.newaxis], 3, axis=2)
    space = workspace({"EM": Image(grey, scale=255)}, module=quality)
    quality.run(space)
    assert_as_rated(space, rate_image(plane))


def test_an_image_of_patches_is_the_librarys(quality, workspace):
    plane = micrograph((300, 600), blur=(1, 3))
    quality.add_overlay()
    assert quality.overlays[0].image.value == "EM"
    assert quality.overlays[0].name.value == "ScorePatches"
    space = workspace({"EM": loaded(plane)}, module=quality)
    quality.run(space)
    found = space.image_set.get_image("ScorePatches").pixel_data
    np.testing.assert_allclose(found * 255, score_overlay(plane, rate_image(plane)), atol=1e-3)


# Refusals before a run


@pytest.fixture
def model_folder(tmp_path):
    return Path(shutil.copytree(str(available_models()["em"]), str(tmp_path / "mine")))


def choose(module, folder):
    module.model_source.value = "Model in a folder"
    module.model_folder.join_parts("Elsewhere...", str(folder))


def test_a_model_of_ones_own_rates(quality, workspace, model_folder):
    choose(quality, model_folder)
    space = workspace({"EM": loaded(poor())}, module=quality)
    assert quality.prepare_run(space)
    quality.run(space)
    assert_as_rated(space, rate_image(poor(), model_folder))


def test_a_model_of_focus_and_a_damaged_one_are_refused(quality, pipeline, model_folder):
    choose(quality, available_models()["compact"])
    with pytest.raises(ValidationError, match="model of the task 'focus', not of rating") as told:
        quality.validate_module(pipeline.pipeline)
    assert told.value.setting is quality.model_folder
    choose(quality, model_folder)
    quality.validate_module(pipeline.pipeline)
    (model_folder / "weights.npz").write_bytes(b"PK not an archive")
    with pytest.raises(ValidationError, match=str(model_folder)) as told:
        quality.validate_module(pipeline.pipeline)
    assert told.value.setting is quality.model_folder
    choose(quality, model_folder / "model.json")
    with pytest.raises(ValidationError, match="is no folder. Choose the one that holds"):
        quality.validate_module(pipeline.pipeline)


def test_a_model_of_rating_is_refused_by_the_module_for_focus(focus, pipeline):
    choose(focus, available_models()["em"])
    with pytest.raises(ValidationError, match="model of the task 'rating', not of focus"):
        focus.validate_module(pipeline.pipeline)


@pytest.mark.parametrize("limit", ["0", "0.05", "1.2", "nan"])
def test_a_limit_that_is_no_score_is_refused(quality, pipeline, limit):
    quality.score_limit.value = limit
    with pytest.raises(ValidationError, match=f"Scores go from 0.1 to 1; {limit} is none") as told:
        quality.validate_module(pipeline.pipeline)
    assert told.value.setting is quality.score_limit


def test_a_number_of_places_that_cannot_be_is_refused(quality, pipeline):
    quality.places.value = 0
    # It is not in use.
    quality.validate_module(pipeline.pipeline)
    quality.rated.value = "Random places"
    with pytest.raises(ValidationError, match="At least 1 place must be rated") as told:
        quality.validate_module(pipeline.pipeline)
    assert told.value.setting is quality.places


def test_a_text_in_place_of_a_number_is_refused_without_a_window_too(quality, workspace):
    space = workspace({"EM": loaded(poor())}, module=quality)
    quality.rated.value = "Random places"
    assert quality.prepare_run(space)
    for setting, text in ((quality.places, "many"), (quality.score_limit, "half")):
        before = setting.value_text
        setting.value = text
        said = f"MeasureImageQualityScore, {setting.text}: "
        with pytest.raises(ValueError, match=said):
            quality.prepare_run(space)
        setting.value = before
    assert quality.prepare_run(space)


def test_images_that_are_no_grey_ones_are_refused_where_it_is_known(pipeline):
    pipeline.add_inputs({"em": "EM", "rgb": "Colour", "mask": "Inside"})
    pipeline.pipeline.modules()[2].assignments[1].load_as_choice.value = "Color image"
    focus = pipeline.add("MeasureImageFocus", images="EM")
    focus.add_overlay()
    first = pipeline.add("MeasureImageQualityScore", images="EM")
    first.add_overlay()
    second = pipeline.add("MeasureImageQualityScore", images="EM")
    for name in ("Colour", "FocusPatches", "ScorePatches"):
        second.images.value = f"EM, {name}"
        with pytest.raises(ValidationError, match=f"{name} is a colour image. Quality is") as told:
            second.validate_module(pipeline.pipeline)
        assert told.value.setting is second.images
    second.images.value = "Inside"
    with pytest.raises(ValidationError, match="Inside is a binary image"):
        second.validate_module(pipeline.pipeline)
    second.images.value = ""
    with pytest.raises(ValidationError, match="at least one image"):
        second.validate_module(pipeline.pipeline)
    second.images.value = "EM, EM"
    with pytest.raises(ValidationError, match="EM is selected twice"):
        second.validate_module(pipeline.pipeline)
    second.images.value = "EM"
    second.validate_module(pipeline.pipeline)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"score_limit": 0.8}, '"Lowest score that is good" 0.7 instead of 0.8:'),
        (
            {"rated": "Random places"},
            '"What of the image to rate" All of the image instead of Random places:',
        ),
    ],
)
def test_a_second_module_does_not_overwrite_the_first(pipeline, settings, said):
    pipeline.add_inputs({"em": "EM"})
    # The module for focus has names of its own.
    pipeline.add("MeasureImageFocus", images="EM")
    first = pipeline.add("MeasureImageQualityScore", images="EM")
    second = pipeline.add("MeasureImageQualityScore", images="EM", **settings)
    with pytest.raises(ValidationError, match="Module 6 measures EM too") as told:
        second.validate_module(pipeline.pipeline)
    assert said in str(told.value)
    assert told.value.setting is second.word
    first.validate_module(pipeline.pipeline)
    second.word.value = "Strict"
    second.validate_module(pipeline.pipeline)
    # The number of places does not matter where it is not in use.
    third = pipeline.add("MeasureImageQualityScore", images="EM", places=3)
    third.validate_module(pipeline.pipeline)


# The window


NAMES = ("EM", "Stretched", "Noisy", "Blank")


def shown(quality, workspace, number, style="default"):
    """Run with an open window, and draw in it what a worker would send."""
    planes = {
        "EM": micrograph(),
        "Stretched": micrograph(blur=(0.2, 4)),
        "Noisy": micrograph(noise=1.5),
        "Blank": np.full((300, 420), 90, np.uint8),
    }
    planes = {name: planes[name] for name in NAMES[:number]}
    quality.images.value = ", ".join(planes)
    quality.score_limit.value = 0.8
    quality.show_window = True
    space = workspace({name: loaded(plane) for name, plane in planes.items()}, module=quality)
    quality.run(space)
    send(space)
    return displayed(quality, space, style), planes


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_the_window_shows_scores_faults_and_what_to_do(quality, workspace, number, style, tmp_path):
    window, planes = shown(quality, workspace, number, style)
    window.figure.savefig(str(tmp_path / "window.png"), facecolor=window.figure.get_facecolor())
    axes = window.figure.axes
    assert len(axes) == 2 * number + 2
    for index, (name, plane) in enumerate(planes.items()):
        result = rate_image(plane, score_limit=0.8)
        fault = acquisition_fault(plane).fault
        assert fault == ("empty" if name == "Blank" else "")
        status = "failed_grab" if fault else result.status
        picture, bars = axes[2 * index : 2 * index + 2]
        np.testing.assert_array_equal(picture.images[0].get_array(), score_overlay(plane, result))
        assert picture.get_title("left") == f"{name}: {status.replace('_', ' ')}"
        lost = np.nan_to_num(list(losses_of(result.components).values()))
        beneath = bars.get_ylim() == (0, 1)
        found = [bar.get_height() if beneath else bar.get_width() for bar in bars.patches]
        np.testing.assert_allclose(found, lost, atol=1e-6)
        assert [text.get_text() for text in bars.texts] == (
            ["nothing to judge"] if np.isnan(result.score) else []
        )
        cells = axes[-1].tables[0].get_celld()
        row = [cells[index + 1, column].get_text().get_text() for column in range(10)]
        assert row[0] == name
        if np.isnan(result.score):
            assert row[1:8] == ["none"] + 6 * [""]
        else:
            assert row[1] == f"{result.score:.2f}"
            assert row[2] == f"{result.score_low:.2f} to {result.score_high:.2f}"
            assert row[3] == f"{result.components.blur_px:.1f} px"
        assert row[8:] == (["empty", "retake"] if fault else [result.cause, result.action])
    words = [text.get_text() for text in axes[-2].texts]
    assert words == [*(f"{tenth / 10:g}" for tenth in range(1, 11)), "worst", "ideal"]
    assert axes[-2].xaxis.label.get_text().startswith("good from 0.8 on")
    # The colours of scores from 0.1 to 1.
    np.testing.assert_array_equal(axes[-2].images[0].get_array()[0], level_colours(10)[::-1])


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_words_can_be_read_in_a_light_and_a_dark_window(quality, workspace, style):
    window, _ = shown(quality, workspace, 4, style)
    assert_readable(window, window.figure.axes[-2].texts[:10])


@pytest.mark.parametrize("number", [1, 2, 4])
def test_words_do_not_overlap_in_the_window_as_it_opens(quality, workspace, number):
    window, _ = shown(quality, workspace, number)
    assert window.centred
    renderer = window.canvas.get_renderer()
    axes = window.figure.axes
    titles = [title for ax in axes for title in (ax.title, ax._left_title, ax._right_title)]
    texts = [title for title in titles if title.get_text()]
    for ax in (ax for ax in axes if ax.axison):
        ticks = [*ax.get_xticklabels(), *ax.get_yticklabels()]
        texts += [tick for tick in ticks if tick.get_text()]
    texts += [*axes[-2].texts[10:], axes[-2].xaxis.label]
    boxes = [text.get_window_extent(renderer) for text in texts]
    boxes += [axes[-1].tables[0].get_window_extent(renderer), axes[-2].bbox]
    assert_apart(boxes, window)
    # In the table, each text is in its cell.
    for cell in axes[-1].tables[0].get_celld().values():
        text = cell.get_text().get_window_extent(renderer)
        assert text.width < cell.get_window_extent(renderer).width


def test_nothing_is_kept_for_a_closed_window(quality, workspace):
    space = workspace({"EM": loaded(poor())}, module=quality)
    quality.show_window = False
    quality.run(space)
    assert not hasattr(space.display_data, "images")
