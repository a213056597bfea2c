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
sampled much finer look blurred to it; describe the microscope and choose rescaling for these.

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
-  *BlurDiameter:* Diameter of the blur disc in pixels.
-  *Defocus:* Distance from focus in µm, without a sign (only when the microscope is described).
-  *InFocus:* 1 when the image has content, is evenly focused, and its expected level is at most the
   in-focus limit; else 0.
-  *NoContent:* 1 when there is nothing in the image that could be in focus; else 0.
-  *Mixed:* 1 when parts of the image are in focus and others are not, as in a tilted field; else 0.
-  *SaturatedFraction:* Share of the pixels at the camera's largest value, 0 to 1. It has no value
   for images of decimal numbers, as most are that were changed in CellProfiler.
-  *BestPlane:* For volumes, the sharpest plane, counted from 0, in focus or not; it has no value
   when no plane has content. The volume's other measurements are those of that plane: *InFocus*
   tells whether it is in focus.
-  *Probability:* The probability of each level, if wanted.

Of each object, if objects are chosen: *Level*, *ExpectedLevel* and *Certainty* of the 84 × 84
pixels around its centre. They have no value for an object that has no pixels or lies outside the
image.

Where one image's name is that of another with an underscore and more after it, as in DNA and DNA_1,
CellProfiler cannot tell their probabilities apart in its lists of measurements.

References
^^^^^^^^^^

-  Yang SJ, Berndl M, Ando DM, et al. (2018) "Assessing microscope image focus quality with deep
   learning", *BMC Bioinformatics* 19:77. `(link) <https://doi.org/10.1186/s12859-018-2087-4>`__
"""

import contextlib
import logging
import math
import sys
from enum import Enum
from pathlib import Path

import numpy
from cellprofiler_core.constants.measurement import COLTYPE_FLOAT, COLTYPE_INTEGER, IMAGE
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
from cellprofiler_core.setting.text import Directory, Float, ImageName

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
OBJECT_FEATURES = ("Level", "ExpectedLevel", "Certainty")
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
}
# As NamesAndTypes stores these choices.
COLOUR = "Color image"
BINARY = "Binary mask"
ALL_IMAGES = "All images"
# Largest values of cameras and files, by which CellProfiler divides.
SCALES = (255, 1023, 4095, 16383, 65535)
# CellProfiler keeps 24 bits of a number: half a unit in the last place of 65535, twice.
ROUNDING = 0.02
# Longer side of the pictures that are kept for the module's window.
DISPLAYED_SIDE_PX = 1200


class ModelSource(str, Enum):
    """Where the model comes from."""

    DEFAULT = "Default model"
    FOLDER = "Model in a folder"


class MeasureImageFocus(Module):
    category = "Measurement"
    module_name = "MeasureImageFocus"
    variable_revision_number = 3

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
Select "*Yes*" to get the distance from focus in µm too (*Defocus*), and to be able to measure
images of finer or coarser pixels than the model knows.""",
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
            "Wavelength in µm",
            0.5,
            doc="""\
*(Used only if the microscope is described)*

Wavelength of the light that makes the image, which in fluorescence is the emission: about 0.46 for
DAPI and Hoechst, 0.51 for GFP, 0.6 for Cy3 and mCherry.""",
        )
        self.pixel_size_um = Float(
            "Pixel size in µm",
            0.65,
            doc="""\
*(Used only if the microscope is described)*

Side of a pixel in the specimen: the camera's pixel size divided by the magnification, so 0.325 for
6.5 µm and 20×.""",
        )
        self.wants_rescaling = Binary(
            "Rescale images to the model's sampling?",
            False,
            doc="""\
*(Used only if the microscope is described)*

Select "*Yes*" to measure the image as if it had been taken with the pixels that the model knows
(relative to the resolution, wavelength / NA). Choose this for high magnifications, whose finely
sampled images look blurred otherwise. Patches then cover more of the image.""",
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
        visible += [self.model_divider, self.model_source]
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
            variable_revision_number = 3
        if variable_revision_number == 2:
            count, images, limit, *others = setting_values
            setting_values = [count, images, _limit_of_expected_level(limit), *others]
            variable_revision_number = 3
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
                    rescale=self.wants_rescaling.value,
                )

    def _validate_library(self):
        try:
            from microscope_quality import available_models
        except ImportError as error:
            raise ValidationError(
                f"The library is not beside {Path(__file__).name}. Copy the folders "
                f"microscope_quality and pretrained of the repository to {_FOLDER} too, or name "
                "the folder cellprofiler_plugins of the unpacked repository as CellProfiler's "
                f"plugins directory. ({error})",
                self.images,
            ) from error
        if self.model_source.value == ModelSource.DEFAULT.value and not available_models():
            raise ValidationError(
                "The model is not beside the library. Copy the folder pretrained of the "
                f"repository to {_FOLDER} too.",
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
            "rescale": self.wants_rescaling.value and self.wants_optics.value,
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
        planes = Planes(image, name)
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
        if result.message:
            LOGGER.warning("Focus of %s: %s", name, result.message)
        self._store(workspace, name, result, stack.best_plane)
        for object_name in self._object_names():
            objects = workspace.object_set.get_objects(object_name)
            centres = _centres(objects, object_name, image, name)
            measured = _measure_objects(centres, planes, model, settings)
            for feature, values in zip(OBJECT_FEATURES, measured):
                workspace.measurements.add_measurement(
                    object_name, f"{CATEGORY}_{feature}_{name}", values
                )
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

    def _store(self, workspace, name, result, best_plane):
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
        }
        for feature in self._features(workspace.pipeline):
            measurements.add_image_measurement(f"{CATEGORY}_{feature}_{name}", values[feature])
        if self.wants_probabilities.value:
            for level, probability in enumerate(result.probabilities):
                measurements.add_image_measurement(
                    f"{CATEGORY}_{PROBABILITY}_{name}_{level}", float(probability)
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
        # Clears the window; what is drawn below has a grid of its own.
        figure.set_subplots((1, 1))
        from matplotlib.gridspec import GridSpec

        columns = 1 if len(images) == 1 else math.ceil(math.sqrt(len(images)))
        rows = math.ceil(len(images) / columns)
        # Rows of the grid, in lines of text.
        line = 1.0 / 17
        table_height = line * (len(images) + 1.5)
        grid = GridSpec(
            rows + 2,
            2 * columns,
            figure=figure.figure,
            height_ratios=[*[1.0 / rows] * rows, line, table_height],
            width_ratios=[1.0, 0.5] * columns,
        )
        for i, image in enumerate(images):
            row, column = divmod(i, columns)
            picture = figure.figure.add_subplot(grid[row, 2 * column])
            bars = figure.figure.add_subplot(grid[row, 2 * column + 1])
            _draw_patches(picture, image)
            _draw_probabilities(bars, image, crowded=len(images) > 1)
        _draw_colour_bar(figure.figure.add_subplot(grid[rows, :]), images[0])
        _draw_table(figure.figure.add_subplot(grid[rows + 1, :]), images)

    def get_measurement_columns(self, pipeline):
        columns = []
        for name in self.images.value:
            columns += [
                (IMAGE, f"{CATEGORY}_{feature}_{name}", FEATURES[feature])
                for feature in self._features(pipeline)
            ]
            if self.wants_probabilities.value:
                columns += [
                    (IMAGE, f"{CATEGORY}_{PROBABILITY}_{name}_{level}", COLTYPE_FLOAT)
                    for level in range(self._levels())
                ]
            columns += [
                (object_name, f"{CATEGORY}_{feature}_{name}", COLTYPE_FLOAT)
                for object_name in self._object_names()
                for feature in OBJECT_FEATURES
            ]
        return columns

    def get_categories(self, pipeline, object_name):
        if object_name == IMAGE or object_name in self._object_names():
            return [CATEGORY]
        return []

    def get_measurements(self, pipeline, object_name, category):
        if category != CATEGORY:
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
    """

    def __init__(self, image, name):
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
        self.masks = None
        if image.has_mask:
            self.masks = image.mask.reshape(self.pixels.shape)

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, plane):
        return _as_stored(self.pixels[plane], self.scale)


def _as_stored(pixels, scale):
    """Undo CellProfiler's division by the type's largest value, for integers.

    The whole numbers tell which pixels are saturated, and are what the library sees in the file.
    """
    if scale not in SCALES or pixels.dtype.kind != "f":
        return pixels
    # A few rows tell most images that hold no whole numbers.
    for rows in (slice(None, None, max(1, len(pixels) // 8)), slice(None)):
        stored = pixels[rows] * pixels.dtype.type(scale)
        whole = numpy.rint(stored)
        stored -= whole
        # A pixel that is no number makes this false too.
        if not (
            numpy.abs(stored, out=stored).max(initial=0) <= ROUNDING
            and whole.min(initial=0) >= 0
            and whole.max(initial=0) <= scale
        ):
            return pixels
    return whole.astype(numpy.uint8 if scale == 255 else numpy.uint16)


def _measure_objects(centres, planes, model, settings):
    """Give levels, expected levels and certainties around centres of objects."""
    from microscope_quality import measure_at

    measured = numpy.full((len(OBJECT_FEATURES), len(centres)), numpy.nan)
    for plane in range(len(planes)):
        here = numpy.rint(centres[:, 0]) == plane
        if here.any():
            mask = None if planes.masks is None else planes.masks[plane]
            found = measure_at(planes[plane], centres[here, 1:], model, mask=mask, **settings)
            measured[:, here] = found.levels, found.expected_levels, found.certainties
    return measured


def _centres(objects, object_name, image, name):
    """Give the objects' centres of mass in an image, by their number.

    Returns
    -------
    (n, 3) array
        Plane, y and x; NaN for an object without pixels, and for all when they do not fit.
    """
    shape = image.pixel_data.shape[: image.dimensions]
    length = objects.count + 1
    pixels, sums = numpy.zeros(length), numpy.zeros((3, length))
    for labels, _ in objects.get_labels():
        if labels.shape != shape and image.has_crop_mask:
            with contextlib.suppress(ValueError):
                labels = image.crop_image_similarly(labels)
        if labels.shape != shape:
            LOGGER.warning(
                "%s are not measured in %s: they were found in an image of %s pixels, this one "
                "has %s.",
                object_name,
                name,
                " x ".join(map(str, labels.shape)),
                " x ".join(map(str, shape)),
            )
            return numpy.full((length - 1, 3), numpy.nan)
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


def _draw_patches(axes, image):
    axes.imshow(image["picture"], interpolation="bilinear")
    plane = "" if image["plane"] is None else f", plane {image['plane']}"
    axes.set_title(f"{image['name']}{plane}: {_verdict(image)}", fontsize=9, loc="left")
    axes.set_axis_off()


def _draw_probabilities(axes, image, crowded):
    from microscope_quality.overlay import level_colours

    probabilities = numpy.asarray(image["probabilities"])
    levels = numpy.arange(len(probabilities))
    colours = level_colours(len(probabilities)) / 255
    axes.bar(levels, numpy.nan_to_num(probabilities), width=0.85, color=colours)
    axes.set_ylim(0, 1)
    axes.set_xlim(-0.6, levels[-1] + 0.6)
    axes.set_xticks(levels[:: 5 if crowded else 2])
    axes.set_yticks([0, 1] if crowded else [0, 0.5, 1])
    axes.tick_params(labelsize=7)
    if not crowded:
        axes.set_title("probability of each level", fontsize=8)
    if numpy.isnan(probabilities).all():
        axes.text(0.5, 0.5, "nothing to judge", ha="center", transform=axes.transAxes, fontsize=8)
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
