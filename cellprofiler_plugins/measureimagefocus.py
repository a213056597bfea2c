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
import logging
import math
import re
import sys
from enum import Enum
from pathlib import Path

import numpy
from cellprofiler_core.constants.measurement import (
    COLTYPE_FLOAT,
    COLTYPE_INTEGER,
    COLTYPE_VARCHAR,
    IMAGE,
)
from cellprofiler_core.image import Image
from cellprofiler_core.module import Module
from cellprofiler_core.preferences import (
    ABSOLUTE_FOLDER_NAME,
    DEFAULT_INPUT_FOLDER_NAME,
    DEFAULT_INPUT_SUBFOLDER_NAME,
    DEFAULT_OUTPUT_FOLDER_NAME,
    DEFAULT_OUTPUT_SUBFOLDER_NAME,
)
from cellprofiler_core.setting import Binary, Divider, HiddenCount, SettingsGroup, ValidationError
from cellprofiler_core.setting.choice import Choice
from cellprofiler_core.setting.do_something import DoSomething, RemoveSettingButton
from cellprofiler_core.setting.subscriber import (
    ImageListSubscriber,
    ImageSubscriber,
    LabelListSubscriber,
)
from cellprofiler_core.setting.text import Directory, Float, ImageName, Text

LOGGER = logging.getLogger(__name__)

# The library lies beside this file, or, in a copy of the project's repository, one folder up; it
# goes before one that may be installed. Otherwise it is an installed one.
_FOLDER = Path(__file__).resolve().parent
for _place in (_FOLDER, _FOLDER.parent):
    if (_place / "microscope_quality" / "__init__.py").is_file():
        if str(_place) not in sys.path[:1]:
            sys.path.insert(0, str(_place))
        break

CATEGORY = "ImageFocus"
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
# As NamesAndTypes stores these choices.
COLOUR = "Color image"
BINARY = "Binary mask"
ALL_IMAGES = "All images"
# Types of whole numbers in files, by what CellProfiler divides them by.
TYPES = {numpy.uint8: 2**8 - 1, numpy.uint16: 2**16 - 1, numpy.uint32: 2**32}
# CellProfiler keeps 24 bits of a number: three times half a unit in the last place of 65535. Larger
# numbers do not come back.
ROUNDING = 0.02
LARGEST = 65535
# Longer side of the pictures that are kept for the module's window.
DISPLAYED_SIDE_PX = 1200
# Width and height of the module's window when it opens with several images; CellProfiler's own are
# about 640 and 480.
WINDOW_PX = (960, 660)
# In the window: a line of text, bars of probabilities beneath a picture, and the width of bars
# beside one as a share of the picture's.
LINE_PX = 22
BARS_PX = 70
BARS_SHARE = 0.5


class ModelSource(str, Enum):
    """Where the model comes from."""

    DEFAULT = "Default model"
    FOLDER = "Model in a folder"


class MeasureImageFocus(Module):
    category = "Measurement"
    module_name = "MeasureImageFocus"
    variable_revision_number = 4

    def create_settings(self):
        self.images = ImageListSubscriber(
            "Select images to measure",
            doc="""\
Select the images whose focus you want to know. Each is measured by itself. They must be grey
images; turn colour images into grey ones with **ColorToGray** before.

Choose images as the microscope took them: correction, smoothing and rescaling change the sharpness
that is to be measured.""",
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
        self.word = Text(
            "Word to add to the names of the measurements",
            "",
            doc=f"""\
Leave it empty, unless another **MeasureImageFocus** of this pipeline measures the same image with
other settings. Then give one of them a word, of letters and digits, so that both keep what they
measure: with *Strict* the measurements are named *{CATEGORY}Strict_Level_DNA*, and they are in the
category *{CATEGORY}Strict*.""",
        )
        self.model_divider = Divider(line=True)
        self.model_source = Choice(
            "Select the model",
            [source.value for source in ModelSource],
            doc=f"""\
-  *{ModelSource.DEFAULT.value}:* The model that comes with this module. It was trained on
   fluorescence images of nuclei, actin, tubulin, mitochondria and other stains.
-  *{ModelSource.FOLDER.value}:* A model of your own, trained with the command
   *microscope-quality train*.""",
        )
        self.model_folder = Directory(
            "Folder of the model",
            dir_choices=[
                ABSOLUTE_FOLDER_NAME,
                DEFAULT_INPUT_FOLDER_NAME,
                DEFAULT_INPUT_SUBFOLDER_NAME,
                DEFAULT_OUTPUT_FOLDER_NAME,
                DEFAULT_OUTPUT_SUBFOLDER_NAME,
            ],
            allow_metadata=False,
            doc=f"""\
*(Used only if "{ModelSource.FOLDER.value}" is selected)*

The folder that holds the model: the one with the files *model.json* and *weights.npz*.""",
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
        self.overlay_divider = Divider(line=True)
        self.overlays = []
        self.overlay_count = HiddenCount(self.overlays, "Overlay count")
        self.add_overlay_button = DoSomething(
            "",
            "Add an image of the patches",
            self.add_overlay,
            doc="""\
Make a colour image of a measured image and its patches, which **SaveImages** can store. Each patch
is coloured by its level, from blue (in focus) over pink to yellow (far out of focus), the brighter
the more certain it is.""",
        )

    def add_overlay(self, can_remove=True):
        """Add the settings of an image of patches."""
        group = SettingsGroup()
        group.append(
            "image",
            ImageSubscriber(
                "Image to draw the patches on",
                self.images.value[0] if self.images.value else "None",
                doc="""\
One of the images that are measured. Of a volume, its best plane is drawn; save it as tiff, which is
the format that **SaveImages** has for volumes.""",
            ),
        )
        group.append(
            "name",
            ImageName(
                "Name the image of the patches",
                "FocusPatches",
                doc="Name of the new colour image, for **SaveImages** and other modules.",
            ),
        )
        if can_remove:
            group.append(
                "remover",
                RemoveSettingButton("", "Remove this image of patches", self.overlays, group),
            )
        self.overlays.append(group)

    def settings(self):
        settings = [
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
        ]
        for overlay in self.overlays:
            settings += [overlay.image, overlay.name]
        return settings

    def visible_settings(self):
        visible = [
            self.images,
            self.in_focus_limit,
            self.wants_probabilities,
            self.wants_objects,
        ]
        if self.wants_objects.value:
            visible += [self.objects]
        visible += [self.word, self.model_divider, self.model_source]
        if self.model_source.value == ModelSource.FOLDER.value:
            visible += [self.model_folder]
        visible += [self.optics_divider, self.wants_optics]
        if self.wants_optics.value:
            visible += [
                self.na,
                self.refractive_index,
                self.wavelength_um,
                self.pixel_size_um,
                self.wants_rescaling,
            ]
        visible += [self.overlay_divider]
        for overlay in self.overlays:
            visible += overlay.visible_settings()
        return [*visible, self.add_overlay_button]

    def help_settings(self):
        if not self.overlays:
            self.add_overlay(can_remove=False)
            help_settings = self.help_settings()
            self.overlays.clear()
            return help_settings
        settings = self.settings()[1 : -2 * len(self.overlays)]
        overlay = self.overlays[0]
        return [*settings, self.add_overlay_button, overlay.image, overlay.name]

    def prepare_settings(self, setting_values):
        count = int(setting_values[0])
        del self.overlays[count:]
        while len(self.overlays) < count:
            self.add_overlay()

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
        if not self.images.value:
            raise ValidationError("Select at least one image to measure.", self.images)
        unfit = self._unfit_images(pipeline)
        for name in self.images.value:
            if name in unfit:
                raise ValidationError(f"{name} is {unfit[name]}", self.images)
        if self.wants_objects.value and not self.objects.value:
            raise ValidationError(
                "Select at least one set of objects, or choose not to measure objects.",
                self.objects,
            )
        for setting in (self.images, *([self.objects] if self.wants_objects.value else [])):
            for name in setting.value:
                if setting.value.count(name) > 1:
                    raise ValidationError(f"{name} is selected twice.", setting)
        for overlay in self.overlays:
            if overlay.image.value not in self.images.value:
                raise ValidationError(
                    f"{overlay.image.value} is not measured by this module; it measures "
                    f"{', '.join(self.images.value)}.",
                    overlay.image,
                )
        self._validate_names(pipeline)
        self._validate_library()
        from microscope_quality import measure_focus
        from microscope_quality.errors import MicroscopeQualityError
        from microscope_quality.model import verify

        chosen = self.model_source.value == ModelSource.FOLDER.value
        with _reported_at(
            self.model_folder if chosen else self.model_source, MicroscopeQualityError
        ):
            if chosen:
                folder = Path(self.model_folder.get_absolute_path())
                if not folder.is_dir():
                    raise ValidationError(
                        f"{folder} is no folder. Choose the one that holds model.json and "
                        "weights.npz.",
                        self.model_folder,
                    )
                # From the disk: what this process has loaded may be damaged there since.
                verify(folder)
            model = self._model()
        highest = model.description.levels - 1
        if not 0 <= self.in_focus_limit.value <= highest:
            raise ValidationError(
                f"Levels go from 0 to {highest}; {self.in_focus_limit.value:g} is none.",
                self.in_focus_limit,
            )
        if self.wants_optics.value:
            self._validate_optics()
            with _reported_at(self.pixel_size_um, MicroscopeQualityError):
                measure_focus(
                    numpy.zeros((1, 1)),
                    model,
                    optics=self._optics(),
                    rescale="on" if self.wants_rescaling.value else "off",
                )

    def _validate_names(self, pipeline):
        if not re.fullmatch("[A-Za-z0-9]*", self.word.value):
            raise ValidationError(
                f"A word of letters and digits, such as Strict, not {self.word.value!r}.", self.word
            )
        for module in pipeline.modules():
            if module.module_num == self.module_num:
                break
            if not isinstance(module, MeasureImageFocus):
                continue
            # Databases do not tell capitals from small letters.
            if module.word.value.lower() != self.word.value.lower():
                continue
            both = [name for name in self.images.value if name in module.images.value]
            there, here = module._deciding(), self._deciding()
            other = next((text for text in here if there.get(text) != here[text]), None)
            if both and other:
                raise ValidationError(
                    f'Module {module.module_num} measures {both[0]} too, with "{other}" '
                    f"{there[other]} instead of {here[other]}: this module would overwrite its "
                    "measurements. Write a word here, such as Strict, which is added to the names "
                    "of this module's.",
                    self.word,
                )

    def _deciding(self):
        """Give what the measurements depend on: values of settings by their texts."""
        settings = [self.in_focus_limit, self.model_source]
        if self.model_source.value == ModelSource.FOLDER.value:
            settings += [self.model_folder]
        settings += [self.wants_optics]
        if self.wants_optics.value:
            settings += [
                self.na,
                self.refractive_index,
                self.wavelength_um,
                self.pixel_size_um,
                self.wants_rescaling,
            ]
        # Numbers as such, for 1.5 is 1.50.
        return {
            one.text: one.value if isinstance(one, Float) else one.value_text for one in settings
        }

    def _validate_library(self):
        try:
            from microscope_quality import available_models
        except ImportError as error:
            raise ValidationError(
                f"The library is not beside {Path(__file__).name}. Copy the folder "
                f"microscope_quality, which is beside it in the ZIP of a release, to {_FOLDER} "
                "too. Of the repository, copy the folders microscope_quality and pretrained, or "
                "name its folder cellprofiler_plugins as CellProfiler's plugins directory. "
                f"({error})",
                self.images,
            ) from error
        if self.model_source.value == ModelSource.DEFAULT.value and not available_models():
            raise ValidationError(
                "The model is not with the library. Copy the whole folder microscope_quality of "
                f"the ZIP of a release to {_FOLDER}, or the folder pretrained of the repository.",
                self.model_source,
            )

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
        with _reported_at(self.wavelength_um, MicroscopeQualityError):
            self._optics()

    def _unfit_images(self, pipeline):
        """Give the images before this module that are known to be no grey ones, and why."""
        colour = (
            "a colour image. Focus is measured on grey images: put ColorToGray before this "
            "module, or load the image as a grayscale image."
        )
        binary = "a binary image, black and white alone, which has no focus."
        of_kind = {COLOUR: colour, BINARY: binary}
        unfit = {}
        for module in pipeline.modules():
            if module.module_num == self.module_num:
                break
            if module.module_name == "NamesAndTypes":
                if module.assignment_method.value == ALL_IMAGES:
                    loaded = [(module.single_image_provider, module.single_load_as_choice)]
                else:
                    groups = [*module.assignments, *module.single_images]
                    loaded = [(group.image_name, group.load_as_choice) for group in groups]
                unfit.update(
                    (name.value, of_kind[kind.value])
                    for name, kind in loaded
                    if kind.value in of_kind
                )
            elif module.module_name == "GrayToColor":
                unfit[module.rgb_image_name.value] = colour
            elif module.module_name == "Threshold":
                unfit[module.y_name.value] = binary
            elif isinstance(module, MeasureImageFocus):
                unfit.update((overlay.name.value, colour) for overlay in module.overlays)
        return unfit

    def prepare_run(self, workspace):
        # The window asks before a run; the command line does not.
        try:
            self.validate_module(workspace.pipeline)
        except ValidationError as error:
            raise ValueError(
                f"MeasureImageFocus, {error.setting.text.rstrip('?')}: {error}"
            ) from error
        return True

    def prepare_to_create_batch(self, workspace, fn_alter_path):
        self.model_folder.alter_for_create_batch_files(fn_alter_path)
        return True

    @property
    def category_name(self):
        """Give the category of the measurements: the first part of their names."""
        return CATEGORY + self.word.value

    def _model(self):
        """Load the model, once in a process."""
        from microscope_quality import FocusModel

        if self.model_source.value == ModelSource.FOLDER.value:
            # A path, so that no folder can be taken for a model's name.
            return FocusModel.from_pretrained(Path(self.model_folder.get_absolute_path()))
        return FocusModel.from_pretrained()

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
            return self._model().description.levels
        except (ImportError, OSError, ValueError):
            return 11

    def run(self, workspace):
        settings = {
            "optics": self._optics(),
            "rescale": "on" if self.wants_rescaling.value and self.wants_optics.value else "off",
        }
        model = self._model()
        with _one_blas_thread():
            shown = [self._run_on(workspace, name, model, settings) for name in self.images.value]
        if self.show_window:
            workspace.display_data.images = shown

    def _run_on(self, workspace, name, model, settings):
        """Measure an image and the objects in it; give what the window shows, if it is open."""
        from microscope_quality import measure_stack
        from microscope_quality.errors import MicroscopeQualityError
        from microscope_quality.overlay import overlay

        image = workspace.image_set.get_image(name)
        planes = Planes(image, name, _divisors(workspace.image_set, name, image))
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
        if any(told):
            LOGGER.warning("Focus of %s: %s", name, _sentences(told))
        if planes.has_pixels(drawn) and math.isnan(result.saturated_fraction):
            told.append(
                "Saturated pixels cannot be told: the pixels are no whole numbers up to 65535."
            )
        self._store(workspace, name, result, stack.best_plane, _sentences(told))
        wanted = [group for group in self.overlays if group.image.value == name]
        if wanted:
            self._add_overlays(workspace, wanted, overlay(planes[drawn], result), image)
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
        measurements = workspace.measurements
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
        for feature in self._features(workspace.pipeline):
            measurements.add_image_measurement(
                f"{self.category_name}_{feature}_{name}", values[feature]
            )
        if self.wants_probabilities.value:
            for level, probability in enumerate(result.probabilities):
                measurements.add_image_measurement(
                    f"{self.category_name}_{PROBABILITY}_{name}_{level}", float(probability)
                )

    def _add_overlays(self, workspace, groups, picture, source):
        for group in groups:
            pixels = picture.astype(numpy.float32) / 255
            if source.volumetric:
                # A volume of one plane, which the volume's own mask does not fit.
                made = Image(pixels[numpy.newaxis], convert=False, dimensions=3)
            else:
                made = Image(pixels, parent_image=source, convert=False)
            workspace.image_set.add(group.name.value, made)

    def display(self, workspace, figure):
        images = workspace.display_data.images
        if len(images) > 1 and not figure.figure.axes:
            # The window was just opened; later its size is the user's choice.
            figure.SetClientSize(WINDOW_PX)
            figure.Centre()
        # Clears the window; what is drawn below has a grid of its own.
        figure.set_subplots((1, 1))
        from matplotlib.gridspec import GridSpec

        width, height = figure.GetClientSize()
        # The colour bar with its words, the table, and CellProfiler's own bars.
        height = max(height - LINE_PX * (len(images) + 6), 10 * LINE_PX)
        rows, columns, beneath = _layout([image["picture"] for image in images], width, height)
        line, bar = LINE_PX / height, BARS_PX / height
        heights = [1 / rows - bar, bar] if beneath else [1 / rows]
        grid = GridSpec(
            len(heights) * rows + 2,
            columns if beneath else 2 * columns,
            figure=figure.figure,
            height_ratios=[*heights * rows, line, line * (len(images) + 1.5)],
            width_ratios=[1.0] * columns if beneath else [1.0, BARS_SHARE] * columns,
        )
        for i, image in enumerate(images):
            row, column = divmod(i, columns)
            if beneath:
                places = grid[2 * row, column], grid[2 * row + 1, column]
            else:
                places = grid[row, 2 * column], grid[row, 2 * column + 1]
            picture, bars = (figure.figure.add_subplot(place) for place in places)
            _draw_patches(picture, image)
            _draw_probabilities(bars, image, beneath, crowded=len(images) > 1)
        _draw_colour_bar(figure.figure.add_subplot(grid[-2, :]), images[0])
        _draw_table(figure.figure.add_subplot(grid[-1, :]), images)

    def get_measurement_columns(self, pipeline):
        category = self.category_name
        columns = []
        for name in self.images.value:
            columns += [
                (IMAGE, f"{category}_{feature}_{name}", FEATURES[feature])
                for feature in self._features(pipeline)
            ]
            if self.wants_probabilities.value:
                columns += [
                    (IMAGE, f"{category}_{PROBABILITY}_{name}_{level}", COLTYPE_FLOAT)
                    for level in range(self._levels())
                ]
            columns += [
                (object_name, f"{category}_{feature}_{name}", kind)
                for object_name in self._object_names()
                for feature, kind in OBJECT_FEATURES.items()
            ]
        return columns

    def get_categories(self, pipeline, object_name):
        if object_name == IMAGE or object_name in self._object_names():
            return [self.category_name]
        return []

    def get_measurements(self, pipeline, object_name, category):
        if category != self.category_name:
            return []
        if object_name == IMAGE:
            features = self._features(pipeline)
            return [*features, PROBABILITY] if self.wants_probabilities.value else features
        if object_name in self._object_names():
            return list(OBJECT_FEATURES)
        return []

    def get_measurement_images(self, pipeline, object_name, category, measurement):
        if measurement in self.get_measurements(pipeline, object_name, category):
            return list(self.images.value)
        return []

    def get_measurement_scales(self, pipeline, object_name, category, measurement, image_name):
        images = self.get_measurement_images(pipeline, object_name, category, measurement)
        if measurement == PROBABILITY and image_name in images:
            return [str(level) for level in range(self._levels())]
        return []

    def _features(self, pipeline):
        left_out = set()
        if not self.wants_optics.value:
            left_out.add(DEFOCUS)
        if not pipeline.volumetric():
            left_out.add(BEST_PLANE)
        return [feature for feature in FEATURES if feature not in left_out]

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


@contextlib.contextmanager
def _reported_at(setting, kind):
    """Turn errors of a kind into ones that CellProfiler shows at a setting."""
    try:
        yield
    except kind as error:
        raise ValidationError(str(error), setting) from error


@contextlib.contextmanager
def _one_blas_thread():
    """Hold linear algebra to one thread: CellProfiler's workers take up the cores already."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
    else:
        with threadpool_limits(1, "blas"):
            yield


class Planes:
    """The planes of an image, one at a time, as in its file where that can be told.

    Parameters
    ----------
    image : cellprofiler_core.image.Image
        Grey; of two dimensions, or three when it is a volume.
    name : str
        For the refusal of a colour image.
    divisors : list of float
        What the file's whole numbers may have been divided by, the likeliest first.
    """

    def __init__(self, image, name, divisors):
        pixels = image.pixel_data
        if pixels.ndim > image.dimensions:
            first, *others = numpy.moveaxis(pixels, -1, 0)
            if any(not numpy.array_equal(first, other) for other in others):
                raise ValueError(
                    f"{name} is a colour image of the shape {pixels.shape}. Focus is measured on "
                    "grey images: put ColorToGray before MeasureImageFocus."
                )
            pixels = first
        # A file of one plane is a plane in a pipeline of volumes too.
        self.pixels = pixels if pixels.ndim == 3 else pixels[numpy.newaxis]
        self.scale = image.scale
        self.divisors = divisors
        self.masks = None
        if image.has_mask:
            self.masks = image.mask.reshape(self.pixels.shape)

    def __len__(self):
        return len(self.pixels)

    def has_pixels(self, plane):
        """Tell whether any pixel of a plane counts."""
        return self.masks is None or bool(self.masks[plane].any())

    def __getitem__(self, plane):
        return _as_stored(self.pixels[plane], self.scale, self.divisors)


def _divisors(image_set, name, image):
    """Give what CellProfiler may have divided a file's whole numbers by, the likeliest first.

    Images that other modules made of a file, as by cropping, know the file but not the name.
    """
    if image.scale is None:
        return []
    of_type = [largest for largest in TYPES.values() if largest >= image.scale]
    loaders = [one for one in image_set.providers if hasattr(one, "rescale")]
    chosen = [one for one in loaders if one.name == name] or [
        one
        for one in loaders
        if (one.get_pathname(), one.get_filename()) == (image.path_name, image.file_name)
    ]
    if image.volumetric or not chosen:
        return [image.scale]
    divisors = []
    for rescale in (one.rescale for one in chosen):
        if isinstance(rescale, bool):
            divisors += [image.scale] if rescale else of_type
        else:
            # The range is set by hand.
            divisors.append(rescale)
    return divisors


def _as_stored(pixels, scale, divisors):
    """Undo CellProfiler's division of whole numbers.

    They tell which pixels are saturated, and are what the library sees in the file.

    Parameters
    ----------
    pixels : array
        As CellProfiler has them.
    scale : float or None
        Largest value of the file's type, or of its camera; 1 of floats.
    divisors : list of float
        To be tried in this order.

    Returns
    -------
    array
        The file's numbers; the pixels themselves where they do not come back.
    """
    if scale is None or scale <= 1 or pixels.dtype.kind != "f":
        return pixels
    for divisor in divisors:
        whole = _whole(pixels, divisor)
        if whole is not None:
            largest = max(scale, whole.max(initial=0))
            return whole.astype(next(kind for kind, most in TYPES.items() if largest <= most))
    return pixels


def _whole(pixels, divisor):
    """Give the whole numbers that pixels are when multiplied; None when they are none."""
    # A few rows tell most images that hold no whole numbers.
    for rows in (slice(None, None, max(1, len(pixels) // 8)), slice(None)):
        with numpy.errstate(invalid="ignore", over="ignore"):
            stored = pixels[rows] * pixels.dtype.type(divisor)
            whole = numpy.rint(stored)
            stored -= whole
        # A pixel that is no number makes this false too.
        if not (
            numpy.abs(stored, out=stored).max(initial=0) <= ROUNDING
            and whole.min(initial=0) >= 0
            and whole.max(initial=0) <= LARGEST
        ):
            return None
    return whole


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


def _sentences(told):
    return " ".join(sentence for sentence in told if sentence)


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


def _verdict(image):
    return image["status"].replace("_", " ")


def _level(image):
    level = image["judged_level"]
    return "none" if level is None else f"{level:.1f}"


def _layout(pictures, width, height):
    """Give rows and columns of pictures, and whether bars go beneath, for the largest pictures."""
    aspect = max(picture.shape[1] / picture.shape[0] for picture in pictures)
    layouts = []
    for columns in range(1, len(pictures) + 1):
        rows = math.ceil(len(pictures) / columns)
        for beneath in (False, True):
            wide = width / columns / (1 if beneath else 1 + BARS_SHARE)
            # With a line for the title.
            high = height / rows - 1.5 * LINE_PX - BARS_PX * beneath
            # Of those that are as large to a line, the one with most rows, which fills the window.
            layouts.append((round(min(wide, aspect * high) / LINE_PX), rows, columns, beneath))
    return max(layouts)[1:]


def _draw_patches(axes, image):
    axes.imshow(image["picture"], interpolation="bilinear")
    plane = "" if image["plane"] is None else f", plane {image['plane']}"
    axes.set_title(f"{image['name']}{plane}: {_verdict(image)}", fontsize=9, loc="left")
    axes.set_axis_off()


def _draw_probabilities(axes, image, beneath, crowded):
    from microscope_quality.overlay import level_colours

    probabilities = numpy.asarray(image["probabilities"])
    levels = numpy.arange(len(probabilities))
    colours = level_colours(len(probabilities)) / 255
    axes.bar(levels, numpy.nan_to_num(probabilities), width=0.85, color=colours)
    axes.set_ylim(0, 1)
    axes.set_xlim(-0.6, levels[-1] + 0.6)
    axes.set_xticks(levels[:: 1 if beneath else 5 if crowded else 2])
    axes.set_yticks([0, 1] if crowded else [0, 0.5, 1])
    axes.tick_params(labelsize=7)
    if beneath or not crowded:
        axes.set_title("probability of each level", fontsize=8)
    if numpy.isnan(probabilities).all():
        axes.text(0.5, 0.5, "nothing to judge", ha="center", transform=axes.transAxes, fontsize=8)
    if not beneath:
        # As wide as high, like the picture beside it.
        axes.set_aspect(len(probabilities) + 0.2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_colour_bar(axes, image):
    from microscope_quality.overlay import level_colours

    colours = level_colours(len(image["probabilities"]))
    axes.imshow(colours[numpy.newaxis], aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(
        "dark patches: uncertain, mostly because nothing is there", fontsize=7, labelpad=2
    )
    for level in range(len(colours)):
        # Black can be read on each of the colours, in a light window and in a dark one.
        axes.text(level, 0, str(level), ha="center", va="center", fontsize=7, color="black")
    for where, words in ((0, "in focus"), (1, "out of focus")):
        axes.text(
            where,
            -0.3,
            words,
            ha="left" if where == 0 else "right",
            va="top",
            transform=axes.transAxes,
            fontsize=8,
        )


def _draw_table(axes, images):
    from matplotlib import rcParams

    axes.set_axis_off()
    rows = [
        [
            image["name"],
            _level(image),
            f"{image['certainty']:.2f}",
            _verdict(image),
        ]
        for image in images
    ]
    table = axes.table(
        cellText=rows,
        colLabels=["image", "level", "certainty", "verdict"],
        cellLoc="center",
        edges="horizontal",
        bbox=[0, 0, 1, 1],
    )
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    for cell in table.get_celld().values():
        cell.set_linewidth(0.4)
        cell.set_edgecolor(rcParams["axes.edgecolor"])
