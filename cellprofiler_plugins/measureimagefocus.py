"""
MeasureImageFocus
=================

**MeasureImageFocus** tells whether an image is in focus, and if not, how far out of focus it is.

The answer is a *level*, from 0 (in focus) to 10 (far out of focus), for each image by itself: there
is no threshold to choose and no other image to compare with, so that images of different stains,
plates and microscopes can be put side by side. With it comes a *certainty*, from 0 to 1, that says
whether to believe it: an image in which nothing is to be seen is neither sharp nor blurred.

The image is divided into patches of 84 × 84 pixels. A small neural network, trained on sharp
fluorescence images that were blurred by simulated optics, judges each of them; patches of which it
is certain count most in the image's level. Images must have 84 pixels a side at least.

|

============ ============ ===============
Supports 2D? Supports 3D? Respects masks?
============ ============ ===============
YES          YES          YES
============ ============ ===============

How to use it
^^^^^^^^^^^^^

Measure the images as they come from the microscope, before anything is corrected, smoothed or
rescaled in size. Then use **FlagImage** to mark or skip image sets whose *InFocus* is below 1; if
you accept more blur, raise the highest expected level that is in focus. (*ExpectedLevel* alone is
not enough: that of an empty image means nothing, and a tilted image may be in focus in places.)
**CalculateMath**, the **Export** modules and others take the measurements as any other.

A level is a blur in pixels: level 1 is a blur disc of about 3 pixels, level 10 one of 31 or more.
The network knows images like those of a 20×/0.5 objective with pixels of 0.65 µm. Images that are
sampled much finer look blurred to it, unless the microscope is described: they are then binned to
the sampling that it knows, and the level is that of the binned image.

Measurements made by this module
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

Of each image:

-  *ExpectedLevel:* The mean over the probabilities of the levels, from 0 (in focus) to 10, with
   decimals. It is the number that decides and that the window shows. It has no value when the image
   has no patch to judge.
-  *Level:* The most probable level, a whole number. Of an image with sharp and blurred parts it may
   be that of a part.
-  *Score:* The same as *Level*, under the name that an older module of this name used.
-  *Certainty:* How decided the image's probabilities are: 1 when all of it is on one level, 0 when
   all levels are as probable. A good image has about 0.7.
-  *MeanCertainty, MaxCertainty:* Mean and largest certainty of the image's patches.
-  *BlurDiameter:* Diameter of the blur disc in the image's own pixels.
-  *Defocus:* Distance from focus in µm, without a sign (only when the microscope is described).
-  *InFocus:* 1 when the image has content, is evenly focused, and its expected level is at most the
   in-focus limit; else 0.
-  *NoContent:* 1 when there is nothing in the image that could be in focus; else 0.
-  *Mixed:* 1 when parts of the image are in focus and others are not, as in a tilted field; else 0.
-  *SaturatedFraction:* Share of the pixels at the camera's largest value, 0 to 1, the same for each
   choice of *Set intensity range from* in **NamesAndTypes**. It has no value for images of decimal
   numbers, as most are that were changed in CellProfiler.
-  *BestPlane:* For volumes, the sharpest plane, counted from 0, in focus or not; it has no value
   when no plane has content. The volume's other measurements are those of that plane: *InFocus*
   tells whether it is in focus.
-  *Status:* The verdict as a word: *in_focus*, *out_of_focus*, *mixed*, *no_content*, or
   *too_small* when the image, or what rescaling leaves of it, is less than a patch.
-  *Message:* Why a number is missing, and what else is to be said of the measurement, in sentences;
   mostly empty. The log tells it too, but for why the saturated pixels cannot be told.
-  *Probability:* The probability of each level, if wanted.

Of each object, if objects are chosen, for the 84 × 84 pixels around its centre:

-  *Level, ExpectedLevel, Certainty:* As of an image. They have no value for an object that has no
   pixels or lies outside the image, and a level has none where nothing is to be seen.
-  *InFocus:* 1 when its surroundings are certain enough to be judged, and the expected level is at
   most the in-focus limit; else 0, also where the level has no value.

The image's *Message* tells how many objects have no level, and why.

A measurement that has no value is *nan* or empty in spreadsheets, NULL in databases. *InFocus*,
*NoContent* and *Mixed* always have one.

Where one image's name is that of another with an underscore and more after it, as in DNA and DNA_1,
CellProfiler cannot tell their probabilities apart in its lists of measurements.

Two modules on one image
^^^^^^^^^^^^^^^^^^^^^^^^

A second **MeasureImageFocus** that measures the same image with other settings, such as another
limit, would overwrite what the first one measured. The pipeline does not run until one of them has
a word in *Word to add to the names of the measurements*: with *Strict*, its measurements are
*ImageFocusStrict_Level_DNA* and so on.

References
^^^^^^^^^^

-  Yang SJ, Berndl M, Ando DM, et al. (2018) "Assessing microscope image focus quality with deep
   learning", *BMC Bioinformatics* 19:77. `(link) <https://doi.org/10.1186/s12859-018-2087-4>`__
"""

import contextlib
import math

import numpy
from _patch_module import (
    DISPLAYED_SIDE_PX,
    FONT_SIZE,
    PatchModule,
    about_saturation,
    draw_ends,
    draw_nothing,
    in_words,
    refuse_twice,
    reported_at,
    sentences,
)
from cellprofiler_core.constants.measurement import (
    COLTYPE_FLOAT,
    COLTYPE_INTEGER,
    COLTYPE_VARCHAR,
    IMAGE,
)
from cellprofiler_core.setting import Binary, Divider, ValidationError
from cellprofiler_core.setting.subscriber import LabelListSubscriber
from cellprofiler_core.setting.text import Float

PROBABILITY = "Probability"
BEST_PLANE = "BestPlane"
DEFOCUS = "Defocus"
OBJECT_FEATURES = {
    "Level": COLTYPE_FLOAT,
    "ExpectedLevel": COLTYPE_FLOAT,
    "Certainty": COLTYPE_FLOAT,
    "InFocus": COLTYPE_INTEGER,
}
# Features of an image in the order of the tables, with the type of their columns.
FEATURES = {
    "Level": COLTYPE_FLOAT,
    "Score": COLTYPE_FLOAT,
    "ExpectedLevel": COLTYPE_FLOAT,
    "Certainty": COLTYPE_FLOAT,
    "MeanCertainty": COLTYPE_FLOAT,
    "MaxCertainty": COLTYPE_FLOAT,
    "BlurDiameter": COLTYPE_FLOAT,
    DEFOCUS: COLTYPE_FLOAT,
    "InFocus": COLTYPE_INTEGER,
    "NoContent": COLTYPE_INTEGER,
    "Mixed": COLTYPE_INTEGER,
    "SaturatedFraction": COLTYPE_FLOAT,
    BEST_PLANE: COLTYPE_FLOAT,
    "Status": COLTYPE_VARCHAR,
    "Message": COLTYPE_VARCHAR,
}


class MeasureImageFocus(PatchModule):
    module_name = "MeasureImageFocus"
    variable_revision_number = 4
    stem = "ImageFocus"
    features = FEATURES
    quantity = "focus"
    patches_name = "FocusPatches"

    def create_settings(self):
        self.create_common_settings(
            images_doc="""\
Select the images whose focus you want to know. Each is measured by itself. They must be grey
images; turn colour images into grey ones with **ColorToGray** before.

Choose images as the microscope took them: correction, smoothing and rescaling change the sharpness
that is to be measured.""",
            model_doc="""\
The model that comes with this module. It was trained on fluorescence images of nuclei, actin,
   tubulin, mitochondria and other stains.""",
            training="microscope-quality train",
            patches_doc="""\
Each patch is coloured by its level, from blue (in focus) over pink to yellow (far out of focus),
the brighter the more certain it is.""",
        )
        self.in_focus_limit = Float(
            "Highest expected level that is in focus",
            1.5,
            minval=0,
            doc="""\
An image counts as in focus (its *InFocus* measurement is 1) when its expected level is this or
lower. Levels 0 and 1 are hard to tell apart even by eye, so 1.5, which is nearer to 1 than to 2, is
a good choice. The other measurements do not depend on it.""",
        )
        self.wants_probabilities = Binary(
            "Store the probability of each level?",
            False,
            doc="""\
Select "*Yes*" to store, beside the level itself, how probable each of the levels from 0 to 10 is:
eleven more columns for each image.""",
        )
        self.wants_objects = Binary(
            "Measure objects too?",
            False,
            doc="""\
Select "*Yes*" to get a level and a certainty for each object, such as a nucleus or a cell, from the
84 × 84 pixels around its centre.""",
        )
        self.objects = LabelListSubscriber(
            "Select objects to measure",
            doc="""\
*(Used only if objects are measured)*

Select the objects to measure in each of the images. They must have been found in images of the same
size and place. Objects close to each other share most of their pixels, and so their level.""",
        )
        self.optics_divider = Divider(line=True)
        self.wants_optics = Binary(
            "Describe the microscope?",
            False,
            doc="""\
Select "*Yes*" to get the distance from focus in µm too (*Defocus*), and to have images of finer
pixels than the model knows measured rightly.""",
        )
        self.na = Float(
            "Numerical aperture (NA)",
            0.5,
            doc="""\
*(Used only if the microscope is described)*

The objective's numerical aperture, as written on it after the magnification: 0.5 of a 20×/0.5.""",
        )
        self.refractive_index = Float(
            "Refractive index of the immersion",
            1.0,
            doc="""\
*(Used only if the microscope is described)*

Of what is between the objective and the cover glass: 1 for air, 1.33 for water, 1.47 for glycerol,
1.515 for oil. It must be larger than the numerical aperture.""",
        )
        self.wavelength_um = Float(
            "Wavelength in micrometres",
            0.5,
            doc="""\
*(Used only if the microscope is described)*

Wavelength of the light that makes the image, which in fluorescence is the emission: about 0.46 for
DAPI and Hoechst, 0.51 for GFP, 0.6 for Cy3 and mCherry.""",
        )
        self.pixel_size_um = Float(
            "Pixel size in micrometres",
            0.65,
            doc="""\
*(Used only if the microscope is described)*

Side of a pixel in the specimen: the camera's pixel size divided by the magnification, so 0.325 for
6.5 µm and 20×.""",
        )
        self.wants_rescaling = Binary(
            "Rescale images to the model's sampling?",
            True,
            doc="""\
*(Used only if the microscope is described)*

Select "*Yes*" to bin images that are sampled more finely than those that the model knows (relative
to the resolution, wavelength / NA), as those of high magnifications are, which look blurred
otherwise. Patches then cover more of the image. Coarser images are measured as they are. Select
"*No*" to measure the pixels of all images as they are.""",
        )

    def settings(self):
        return [
            self.overlay_count,
            self.images,
            self.in_focus_limit,
            self.wants_probabilities,
            self.wants_objects,
            self.objects,
            self.model_source,
            self.model_folder,
            self.wants_optics,
            self.na,
            self.refractive_index,
            self.wavelength_um,
            self.pixel_size_um,
            self.wants_rescaling,
            self.word,
            *self.overlay_settings(),
        ]

    def visible_settings(self):
        visible = [
            self.images,
            self.in_focus_limit,
            self.wants_probabilities,
            self.wants_objects,
        ]
        if self.wants_objects.value:
            visible += [self.objects]
        visible += [self.word, self.model_divider, *self.visible_model_settings()]
        visible += [self.optics_divider, self.wants_optics]
        if self.wants_optics.value:
            visible += [
                self.na,
                self.refractive_index,
                self.wavelength_um,
                self.pixel_size_um,
                self.wants_rescaling,
            ]
        return [*visible, *self.visible_overlay_settings()]

    def upgrade_settings(self, setting_values, variable_revision_number, module_name):
        if variable_revision_number == 1:
            # The older module had one setting, the image.
            fresh = MeasureImageFocus()
            fresh.images.value = setting_values[0]
            setting_values = [setting.get_value_text() for setting in fresh.settings()]
            variable_revision_number = 4
        if variable_revision_number == 2:
            count, images, limit, *others = setting_values
            setting_values = [count, images, _limit_of_expected_level(limit), *others]
            variable_revision_number = 3
        if variable_revision_number == 3:
            # Added the word, after the 14 settings that are not of an overlay.
            setting_values = [*setting_values[:14], "", *setting_values[14:]]
            variable_revision_number = 4
        return setting_values, variable_revision_number

    def validate_module(self, pipeline):
        self.validate_images(pipeline)
        if self.wants_objects.value:
            if not self.objects.value:
                raise ValidationError(
                    "Select at least one set of objects, or choose not to measure objects.",
                    self.objects,
                )
            refuse_twice(self.objects)
        self.validate_names(pipeline)
        model = self.validate_model()
        highest = model.description.levels - 1
        if not 0 <= self.in_focus_limit.value <= highest:
            raise ValidationError(
                f"Levels go from 0 to {highest}; {self.in_focus_limit.value:g} is none.",
                self.in_focus_limit,
            )
        if self.wants_optics.value:
            self._validate_optics()
            from microscope_quality import measure_focus
            from microscope_quality.errors import MicroscopeQualityError

            with reported_at(self.pixel_size_um, MicroscopeQualityError):
                measure_focus(
                    numpy.zeros((1, 1)),
                    model,
                    optics=self._optics(),
                    rescale="on" if self.wants_rescaling.value else "off",
                )

    def deciding_settings(self):
        settings = [self.in_focus_limit, *self.visible_model_settings(), self.wants_optics]
        if self.wants_optics.value:
            settings += [
                self.na,
                self.refractive_index,
                self.wavelength_um,
                self.pixel_size_um,
                self.wants_rescaling,
            ]
        return settings

    def _validate_optics(self):
        from microscope_quality.errors import MicroscopeQualityError

        for setting, name in (
            (self.na, "The numerical aperture"),
            (self.refractive_index, "The refractive index"),
            (self.wavelength_um, "The wavelength"),
            (self.pixel_size_um, "The pixel size"),
        ):
            if not setting.value > 0:
                raise ValidationError(f"{name} must be above 0, not {setting.value:g}.", setting)
        if self.na.value >= self.refractive_index.value:
            raise ValidationError(
                f"The numerical aperture ({self.na.value:g}) must be below the refractive "
                f"index of the immersion ({self.refractive_index.value:g}).",
                self.na,
            )
        with reported_at(self.wavelength_um, MicroscopeQualityError):
            self._optics()

    def model_class(self):
        from microscope_quality import FocusModel

        return FocusModel

    def _optics(self):
        from microscope_quality import Optics

        if not self.wants_optics.value:
            return None
        return Optics(
            na=self.na.value,
            refractive_index=self.refractive_index.value,
            wavelength_um=self.wavelength_um.value,
            pixel_size_um=self.pixel_size_um.value,
        )

    def _levels(self):
        """Give the number of the model's levels; of the usual one when it cannot be loaded."""
        try:
            return self.model().description.levels
        except (ImportError, OSError, ValueError):
            return 11

    def measure(self, workspace, name, model):
        """Measure an image and the objects in it; give what the window shows, if it is open."""
        from microscope_quality import measure_stack
        from microscope_quality.errors import MicroscopeQualityError
        from microscope_quality.overlay import overlay

        settings = {
            "optics": self._optics(),
            "rescale": "on" if self.wants_rescaling.value and self.wants_optics.value else "off",
        }
        image, planes = self.planes_of(workspace, name)
        try:
            stack = measure_stack(
                planes,
                model,
                masks=planes.masks,
                in_focus_limit=self.in_focus_limit.value,
                **settings,
            )
        except MicroscopeQualityError as error:
            raise ValueError(f"{name} cannot be measured. {error}") from error
        result = stack.representative
        drawn = stack.results.index(result)
        told = [result.message]
        if image.volumetric and stack.best_plane is None:
            told.append("No plane has content, so none is the best.")
        for object_name in self._object_names():
            told.append(
                self._measure_objects(workspace, object_name, name, image, planes, model, settings)
            )
        self.tell(name, told)
        told.append(about_saturation(result, planes.has_pixels(drawn)))
        self._store(workspace, name, result, stack.best_plane, sentences(told))
        self.add_overlays(workspace, name, image, lambda: overlay(planes[drawn], result))
        if not self.show_window:
            return None
        return {
            "name": name,
            "picture": overlay(planes[drawn], result, max_side=DISPLAYED_SIDE_PX),
            "probabilities": result.probabilities,
            "judged_level": result.judged_level,
            "certainty": result.certainty,
            "status": result.status,
            "plane": drawn if image.volumetric else None,
        }

    def _measure_objects(self, workspace, object_name, name, image, planes, model, settings):
        """Store the measurements of objects; give a sentence on those that have no level."""
        objects = workspace.object_set.get_objects(object_name)
        problem = ""
        try:
            centres = _centres(objects, image)
        except ValueError as error:
            problem = f"{object_name} are not measured: {error}"
            centres = numpy.full((objects.count, 3), numpy.nan)
        measured = _at(centres, planes, model, self.in_focus_limit.value, settings)
        for feature, values in measured.items():
            workspace.measurements.add_measurement(
                object_name, f"{self.category_name}_{feature}_{name}", values
            )
        return problem or _without_level(object_name, centres, measured["Level"])

    def _store(self, workspace, name, result, best_plane, message):
        values = {
            "Level": result.level,
            "Score": result.level,
            "ExpectedLevel": result.expected_level,
            "Certainty": result.certainty,
            "MeanCertainty": result.mean_certainty,
            "MaxCertainty": result.max_certainty,
            "BlurDiameter": result.blur_diameter_px,
            DEFOCUS: result.defocus_um,
            "InFocus": int(result.status == "in_focus"),
            "NoContent": int(result.status == "no_content"),
            "Mixed": int(result.status == "mixed"),
            "SaturatedFraction": result.saturated_fraction,
            BEST_PLANE: numpy.nan if best_plane is None else float(best_plane),
            "Status": result.status,
            "Message": message,
        }
        self.store(workspace, name, values)
        if self.wants_probabilities.value:
            for level, probability in enumerate(result.probabilities):
                workspace.measurements.add_image_measurement(
                    f"{self.category_name}_{PROBABILITY}_{name}_{level}", float(probability)
                )

    def columns_of(self, name, pipeline):
        category = self.category_name
        columns = super().columns_of(name, pipeline)
        if self.wants_probabilities.value:
            columns += [
                (IMAGE, f"{category}_{PROBABILITY}_{name}_{level}", COLTYPE_FLOAT)
                for level in range(self._levels())
            ]
        return columns + [
            (object_name, f"{category}_{feature}_{name}", kind)
            for object_name in self._object_names()
            for feature, kind in OBJECT_FEATURES.items()
        ]

    def get_categories(self, pipeline, object_name):
        if object_name in self._object_names():
            return [self.category_name]
        return super().get_categories(pipeline, object_name)

    def get_measurements(self, pipeline, object_name, category):
        if category == self.category_name and object_name in self._object_names():
            return list(OBJECT_FEATURES)
        features = super().get_measurements(pipeline, object_name, category)
        return [*features, PROBABILITY] if features and self.wants_probabilities.value else features

    def get_measurement_scales(self, pipeline, object_name, category, measurement, image_name):
        images = self.get_measurement_images(pipeline, object_name, category, measurement)
        if measurement == PROBABILITY and image_name in images:
            return [str(level) for level in range(self._levels())]
        return []

    def image_features(self, pipeline):
        left_out = set()
        if not self.wants_optics.value:
            left_out.add(DEFOCUS)
        if not pipeline.volumetric():
            left_out.add(BEST_PLANE)
        return [feature for feature in FEATURES if feature not in left_out]

    def draw_bars(self, axes, image, beneath, crowded):
        from microscope_quality.overlay import level_colours

        probabilities = numpy.asarray(image["probabilities"])
        levels = numpy.arange(len(probabilities))
        colours = level_colours(len(probabilities)) / 255
        axes.bar(levels, numpy.nan_to_num(probabilities), width=0.85, color=colours)
        axes.set_ylim(0, 1)
        axes.set_xlim(-0.6, levels[-1] + 0.6)
        axes.set_xticks(levels[:: 1 if beneath else 5 if crowded else 2])
        axes.set_yticks([0, 1] if crowded else [0, 0.5, 1])
        if beneath or not crowded:
            axes.set_title("probability of each level", fontsize=FONT_SIZE)
        if numpy.isnan(probabilities).all():
            draw_nothing(axes)
        if not beneath:
            # As wide as high, like the picture beside it.
            axes.set_aspect(len(probabilities) + 0.2)

    def draw_colour_bar(self, axes, images):
        from microscope_quality.overlay import level_colours

        colours = level_colours(len(images[0]["probabilities"]))
        axes.imshow(colours[numpy.newaxis], aspect="auto")
        axes.set_xlabel(
            "dark patches: uncertain, mostly because nothing is there", fontsize=7, labelpad=2
        )
        for level in range(len(colours)):
            # Black can be read on each of the colours, in a light window and in a dark one.
            axes.text(level, 0, str(level), ha="center", va="center", fontsize=7, color="black")
        draw_ends(axes, "in focus", "out of focus")

    def table(self, images):
        rows = [
            [image["name"], _level(image), f"{image['certainty']:.2f}", in_words(image["status"])]
            for image in images
        ]
        return ["image", "level", "certainty", "verdict"], rows

    def _object_names(self):
        return list(self.objects.value) if self.wants_objects.value else []

    def volumetric(self):
        return True


def _limit_of_expected_level(limit):
    """Give the limit, in text, for one of revision 2, which was of the most probable level."""
    try:
        return f"{min(math.floor(float(limit)) + 0.5, 10.0):g}"
    except (ValueError, OverflowError):
        # What is no number is refused at its setting.
        return limit


def _at(centres, planes, model, limit, settings):
    """Give the measurements of objects, by feature, from their centres."""
    from microscope_quality import measure_at
    from microscope_quality.verdicts import status_of

    levels, expected_levels, certainties = numpy.full((3, len(centres)), numpy.nan)
    for plane in range(len(planes)):
        here = numpy.rint(centres[:, 0]) == plane
        if here.any():
            mask = None if planes.masks is None else planes.masks[plane]
            found = measure_at(planes[plane], centres[here, 1:], model, mask=mask, **settings)
            levels[here] = found.levels
            expected_levels[here] = found.expected_levels
            certainties[here] = found.certainties
    sure = model.description.focus.sure_certainty
    in_focus = [
        status_of(expected, [expected], [certainty], sure, limit) == "in_focus"
        for expected, certainty in zip(expected_levels, numpy.nan_to_num(certainties))
    ]
    return {
        "Level": levels,
        "ExpectedLevel": expected_levels,
        "Certainty": certainties,
        "InFocus": numpy.array(in_focus, int),
    }


def _without_level(object_name, centres, levels):
    """Tell in a sentence how many objects have no level, and why; empty when all have one."""
    outside = int(numpy.isnan(centres).any(axis=1).sum())
    unseen = int(numpy.isnan(levels).sum()) - outside
    reasons = [
        f"{number} {why}"
        for number, why in (
            (outside, "without pixels in this image"),
            (unseen, "in surroundings that are constant or mostly masked"),
        )
        if number
    ]
    if not reasons:
        return ""
    return f"{outside + unseen} of {len(levels)} {object_name} have no level: {', '.join(reasons)}."


def _centres(objects, image):
    """Give the objects' centres of mass in an image, by their number.

    Returns
    -------
    (n, 3) array
        Plane, y and x; NaN for an object without pixels.

    Raises
    ------
    ValueError
        When they were found in an image of another size.
    """
    shape = image.pixel_data.shape[: image.dimensions]
    length = objects.count + 1
    pixels, sums = numpy.zeros(length), numpy.zeros((3, length))
    for labels, _ in objects.get_labels():
        if labels.shape != shape and image.has_crop_mask:
            with contextlib.suppress(ValueError):
                labels = image.crop_image_similarly(labels)
        if labels.shape != shape:
            found_in, here = (" x ".join(map(str, size)) for size in (labels.shape, shape))
            raise ValueError(
                f"they were found in an image of {found_in} pixels, this one has {here}."
            )
        coordinates = numpy.nonzero(labels)
        numbers = labels[coordinates]
        pixels += numpy.bincount(numbers, minlength=length)
        # Objects of one plane are in the first.
        for total, axis in zip(sums[-len(coordinates) :], coordinates):
            total += numpy.bincount(numbers, axis, length)
    with numpy.errstate(invalid="ignore"):
        return (sums / pixels)[:, 1:].T


def _level(image):
    level = image["judged_level"]
    return "none" if level is None else f"{level:.1f}"
