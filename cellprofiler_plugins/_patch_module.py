"""What MeasureImageFocus and MeasureImageQualityScore share.

Images as they are in their files, where the library and its models are found, images of patches,
names of measurements, the window. CellProfiler takes every file beside the modules for a module
too, unless its name begins with an underscore.
"""

import contextlib
import logging
import math
import re
import sys
from enum import Enum
from pathlib import Path

import numpy
from cellprofiler_core.constants.measurement import IMAGE
from cellprofiler_core.image import Image
from cellprofiler_core.module import Module
from cellprofiler_core.preferences import (
    ABSOLUTE_FOLDER_NAME,
    DEFAULT_INPUT_FOLDER_NAME,
    DEFAULT_INPUT_SUBFOLDER_NAME,
    DEFAULT_OUTPUT_FOLDER_NAME,
    DEFAULT_OUTPUT_SUBFOLDER_NAME,
)
from cellprofiler_core.setting import Divider, HiddenCount, SettingsGroup, ValidationError
from cellprofiler_core.setting.choice import Choice
from cellprofiler_core.setting.do_something import DoSomething, RemoveSettingButton
from cellprofiler_core.setting.subscriber import ImageListSubscriber, ImageSubscriber
from cellprofiler_core.setting.text import Directory, Float, ImageName, Integer, Text

LOGGER = logging.getLogger(__name__)

# The library lies beside this file, or, in a copy of the project's repository, one folder up; it
# goes before one that may be installed. Otherwise it is an installed one.
_FOLDER = Path(__file__).resolve().parent
for _place in (_FOLDER, _FOLDER.parent):
    if (_place / "microscope_quality" / "__init__.py").is_file():
        if str(_place) not in sys.path[:1]:
            sys.path.insert(0, str(_place))
        break

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
# Longer side of the pictures that are kept for a module's window.
DISPLAYED_SIDE_PX = 1200
# Width and height of a module's window when it opens large; CellProfiler's own are about 640 and
# 480.
WINDOW_PX = (960, 660)
# In the window: a line of text, bars beneath a picture, and the width of bars beside one as a share
# of the picture's.
LINE_PX = 22
BARS_PX = 70
BARS_SHARE = 0.5
FONT_SIZE = 8


class ModelSource(str, Enum):
    """Where the model comes from."""

    DEFAULT = "Default model"
    FOLDER = "Model in a folder"


class PatchModule(Module):
    """A module that measures each of its images by itself, in patches, by a model.

    Subclasses have the attributes and methods that are listed here, and make their own settings
    beside those of `create_settings`.

    Attributes
    ----------
    stem : str
        First part of the names of measurements.
    features : dict
        Features of an image in the order of the tables, with the types of their columns.
    quantity : str
        What is measured, within a sentence.
    patches_name : str
        How an image of patches is called at first.
    opens_large_from : int
        Number of images from which on the window opens large.
    """

    category = "Measurement"
    opens_large_from = 2

    def model_class(self):
        """Give the library's class of models."""
        raise NotImplementedError

    def deciding_settings(self):
        """Give the settings that the measurements depend on, beside the images."""
        raise NotImplementedError

    def measure(self, workspace, name, model):
        """Measure an image; give what the window shows, if it is open.

        That is a dictionary with ``name``, ``picture`` (in colour, as bytes), ``status``, ``plane``
        (of a volume), and what `draw_bars`, `draw_colour_bar` and `table` ask for.
        """
        raise NotImplementedError

    def draw_bars(self, axes, image, beneath, crowded):
        """Draw the bars beneath or beside a picture."""
        raise NotImplementedError

    def draw_colour_bar(self, axes, images):
        """Draw what the colours of patches mean."""
        raise NotImplementedError

    def table(self, images):
        """Give the heads and the rows of the window's table, as texts."""
        raise NotImplementedError

    # Settings

    def create_common_settings(self, images_doc, model_doc, training, patches_doc):
        """Make the settings of all such modules; texts say what is the module's own.

        `model_doc` tells of the model that comes with it, `training` is the command that makes
        another one, `patches_doc` tells what the colours of patches mean.
        """
        feature = next(iter(self.features))
        self.images = ImageListSubscriber("Select images to measure", doc=images_doc)
        self.word = Text(
            "Word to add to the names of the measurements",
            "",
            doc=f"""\
Leave it empty, unless another **{self.module_name}** of this pipeline measures the same image with
other settings. Then give one of them a word, of letters and digits, so that both keep what they
measure: with *Strict* the measurements are named *{self.stem}Strict_{feature}_DNA*, and they are in
the category *{self.stem}Strict*.""",
        )
        self.model_divider = Divider(line=True)
        self.model_source = Choice(
            "Select the model",
            [source.value for source in ModelSource],
            doc=f"""\
-  *{ModelSource.DEFAULT.value}:* {model_doc}
-  *{ModelSource.FOLDER.value}:* A model of your own, trained with the command
   *{training}*.""",
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
        self.overlay_divider = Divider(line=True)
        self.overlays = []
        self.overlay_count = HiddenCount(self.overlays, "Overlay count")
        self.add_overlay_button = DoSomething(
            "",
            "Add an image of the patches",
            self.add_overlay,
            doc=f"""\
Make a colour image of a measured image and its patches, which **SaveImages** can store.
{patches_doc}""",
        )

    def add_overlay(self, can_remove=True):
        """Add the settings of an image of patches."""
        group = SettingsGroup()
        of_volumes = (
            " Of a volume, its best plane is drawn; save it as tiff, which is the format that "
            "**SaveImages** has for volumes."
        )
        group.append(
            "image",
            ImageSubscriber(
                "Image to draw the patches on",
                self.images.value[0] if self.images.value else "None",
                doc=f"One of the images that are measured.{of_volumes * self.volumetric()}",
            ),
        )
        group.append(
            "name",
            ImageName(
                "Name the image of the patches",
                self.patches_name,
                doc="Name of the new colour image, for **SaveImages** and other modules.",
            ),
        )
        if can_remove:
            group.append(
                "remover",
                RemoveSettingButton("", "Remove this image of patches", self.overlays, group),
            )
        self.overlays.append(group)

    def overlay_settings(self):
        """Give the settings of the images of patches, which are the last ones that are saved."""
        return [one for overlay in self.overlays for one in (overlay.image, overlay.name)]

    def visible_model_settings(self):
        """Give the settings of the model that are in use."""
        if self.model_source.value == ModelSource.FOLDER.value:
            return [self.model_source, self.model_folder]
        return [self.model_source]

    def visible_overlay_settings(self):
        """Give what is shown at the end of all settings."""
        visible = [self.overlay_divider]
        for overlay in self.overlays:
            visible += overlay.visible_settings()
        return [*visible, self.add_overlay_button]

    def help_settings(self):
        if not self.overlays:
            self.add_overlay(can_remove=False)
            help_settings = self.help_settings()
            self.overlays.clear()
            return help_settings
        # Without the number of overlays, which is hidden.
        settings = self.settings()[1 : -2 * len(self.overlays)]
        overlay = self.overlays[0]
        return [*settings, self.add_overlay_button, overlay.image, overlay.name]

    def prepare_settings(self, setting_values):
        count = int(setting_values[0])
        del self.overlays[count:]
        while len(self.overlays) < count:
            self.add_overlay()

    # What is refused before a run

    def validate_images(self, pipeline):
        """Refuse images that cannot be measured, and images of patches of others."""
        if not self.images.value:
            raise ValidationError("Select at least one image to measure.", self.images)
        unfit = self._unfit_images(pipeline)
        for name in self.images.value:
            if name in unfit:
                raise ValidationError(f"{name} is {unfit[name]}", self.images)
        refuse_twice(self.images)
        for overlay in self.overlays:
            if overlay.image.value not in self.images.value:
                raise ValidationError(
                    f"{overlay.image.value} is not measured by this module; it measures "
                    f"{', '.join(self.images.value)}.",
                    overlay.image,
                )

    def _unfit_images(self, pipeline):
        """Give the images before this module that are known to be no grey ones, and why."""
        on_grey = f"{self.quantity.capitalize()} is measured on grey images"
        colour = (
            f"a colour image. {on_grey}: put ColorToGray before this module, or load the image as "
            "a grayscale image."
        )
        binary = f"a binary image, black and white alone. {on_grey}."
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
            elif isinstance(module, PatchModule):
                unfit.update((overlay.name.value, colour) for overlay in module.overlays)
        return unfit

    def validate_names(self, pipeline):
        """Refuse to overwrite what a module before this one measures."""
        if not re.fullmatch("[A-Za-z0-9]*", self.word.value):
            raise ValidationError(
                f"A word of letters and digits, such as Strict, not {self.word.value!r}.", self.word
            )
        for module in pipeline.modules():
            if module.module_num == self.module_num:
                break
            # Databases do not tell capitals from small letters.
            if not isinstance(module, type(self)) or (
                module.word.value.lower() != self.word.value.lower()
            ):
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
        # Numbers as such, for 1.5 is 1.50.
        return {
            one.text: one.value if isinstance(one, (Float, Integer)) else one.value_text
            for one in self.deciding_settings()
        }

    def validate_model(self):
        """Refuse a missing library, and a model that is missing or damaged; give the model."""
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
        from microscope_quality.errors import MicroscopeQualityError
        from microscope_quality.model import verify

        chosen = self.model_source.value == ModelSource.FOLDER.value
        if not chosen and self.model_class().default not in available_models():
            raise ValidationError(
                "The model is not with the library. Copy the whole folder microscope_quality of "
                f"the ZIP of a release to {_FOLDER}, or the folder pretrained of the repository.",
                self.model_source,
            )
        with reported_at(
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
            return self.model()

    def prepare_run(self, workspace):
        # The window asks before a run; the command line does not.
        try:
            for setting in self.visible_settings():
                # A text that is no number leaves the number that was there before.
                if isinstance(setting, (Float, Integer)):
                    setting.test_valid(workspace.pipeline)
            self.validate_module(workspace.pipeline)
        except ValidationError as error:
            raise ValueError(
                f"{self.module_name}, {error.setting.text.rstrip('?')}: {error}"
            ) from error
        return True

    def prepare_to_create_batch(self, workspace, fn_alter_path):
        self.model_folder.alter_for_create_batch_files(fn_alter_path)
        return True

    # The run

    def model(self):
        """Load the model, once in a process."""
        if self.model_source.value == ModelSource.FOLDER.value:
            # A path, so that no folder can be taken for a model's name.
            return self.model_class().from_pretrained(Path(self.model_folder.get_absolute_path()))
        return self.model_class().from_pretrained()

    def run(self, workspace):
        model = self.model()
        with one_blas_thread():
            shown = [self.measure(workspace, name, model) for name in self.images.value]
        if self.show_window:
            workspace.display_data.images = shown

    def planes_of(self, workspace, name):
        """Give an image, and its planes."""
        image = workspace.image_set.get_image(name)
        try:
            return image, Planes(image, divisors_of(workspace.image_set, name, image))
        except ValueError as error:
            raise ValueError(
                f"{name} is {error} {self.quantity.capitalize()} is measured on grey images: put "
                f"ColorToGray before {self.module_name}."
            ) from error

    def store(self, workspace, name, values):
        """Store the measurements of an image, by feature."""
        for feature in self.image_features(workspace.pipeline):
            workspace.measurements.add_image_measurement(
                f"{self.category_name}_{feature}_{name}", values[feature]
            )

    def tell(self, name, told):
        """Write what is to be said of an image to the log."""
        if any(told):
            LOGGER.warning("%s of %s: %s", self.quantity.capitalize(), name, sentences(told))

    def add_overlays(self, workspace, name, image, draw):
        """Add the images of an image's patches, drawn when there are any."""
        wanted = [group for group in self.overlays if group.image.value == name]
        if not wanted:
            return
        pixels = draw().astype(numpy.float32) / 255
        for group in wanted:
            if image.volumetric:
                # A volume of one plane, which the volume's own mask does not fit.
                made = Image(pixels[numpy.newaxis], convert=False, dimensions=3)
            else:
                made = Image(pixels, parent_image=image, convert=False)
            workspace.image_set.add(group.name.value, made)

    # Measurements

    @property
    def category_name(self):
        """Give the category of the measurements: the first part of their names."""
        return self.stem + self.word.value

    def image_features(self, pipeline):
        """Give the features that each image has."""
        return list(self.features)

    def get_measurement_columns(self, pipeline):
        return [column for name in self.images.value for column in self.columns_of(name, pipeline)]

    def columns_of(self, name, pipeline):
        """Give the columns of an image."""
        return [
            (IMAGE, f"{self.category_name}_{feature}_{name}", self.features[feature])
            for feature in self.image_features(pipeline)
        ]

    def get_categories(self, pipeline, object_name):
        return [self.category_name] if object_name == IMAGE else []

    def get_measurements(self, pipeline, object_name, category):
        if category == self.category_name and object_name == IMAGE:
            return self.image_features(pipeline)
        return []

    def get_measurement_images(self, pipeline, object_name, category, measurement):
        if measurement in self.get_measurements(pipeline, object_name, category):
            return list(self.images.value)
        return []

    # The window

    def display(self, workspace, figure):
        images = workspace.display_data.images
        if len(images) >= self.opens_large_from and not figure.figure.axes:
            # The window was just opened; later its size is the user's choice.
            figure.SetClientSize(WINDOW_PX)
            figure.Centre()
        # Clears the window; what is drawn below has a grid of its own.
        figure.set_subplots((1, 1))
        from matplotlib.gridspec import GridSpec

        width, height = figure.GetClientSize()
        # The colour bar with its words, the table, and CellProfiler's own bars.
        height = max(height - LINE_PX * (len(images) + 6), 10 * LINE_PX)
        rows, columns, beneath = layout([image["picture"] for image in images], width, height)
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
            picture.imshow(image["picture"], interpolation="bilinear")
            plane = "" if image["plane"] is None else f", plane {image['plane']}"
            title = f"{image['name']}{plane}: {in_words(image['status'])}"
            picture.set_title(title, fontsize=9, loc="left")
            picture.set_axis_off()
            self.draw_bars(bars, image, beneath, crowded=len(images) > 1)
            bars.tick_params(labelsize=7)
            for side in ("top", "right"):
                bars.spines[side].set_visible(False)
        colour_bar = figure.figure.add_subplot(grid[-2, :])
        colour_bar.set_xticks([])
        colour_bar.set_yticks([])
        self.draw_colour_bar(colour_bar, images)
        draw_table(figure.figure.add_subplot(grid[-1, :]), *self.table(images))


def refuse_twice(setting):
    """Refuse a list in which a name stands twice."""
    for name in setting.value:
        if setting.value.count(name) > 1:
            raise ValidationError(f"{name} is selected twice.", setting)


@contextlib.contextmanager
def reported_at(setting, kind):
    """Turn errors of a kind into ones that CellProfiler shows at a setting."""
    try:
        yield
    except kind as error:
        raise ValidationError(str(error), setting) from error


@contextlib.contextmanager
def one_blas_thread():
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
    divisors : list of float
        What the file's whole numbers may have been divided by, the likeliest first.

    Raises
    ------
    ValueError
        For a colour image; its text goes on after the image's name.
    """

    def __init__(self, image, divisors):
        pixels = image.pixel_data
        if pixels.ndim > image.dimensions:
            first, *others = numpy.moveaxis(pixels, -1, 0)
            if any(not numpy.array_equal(first, other) for other in others):
                raise ValueError(f"a colour image of the shape {pixels.shape}.")
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
        return as_stored(self.pixels[plane], self.scale, self.divisors)


def divisors_of(image_set, name, image):
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


def as_stored(pixels, scale, divisors):
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


def sentences(told):
    """Join the sentences that there are."""
    return " ".join(sentence for sentence in told if sentence)


def about_saturation(result, has_pixels):
    """Say in a sentence why nobody can tell saturated pixels, if so."""
    if has_pixels and math.isnan(result.saturated_fraction):
        return "Saturated pixels cannot be told: the pixels are no whole numbers up to 65535."
    return ""


def layout(pictures, width, height):
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


def in_words(status):
    """Give a status as people read it."""
    return status.replace("_", " ")


def draw_nothing(axes):
    """Write where bars would be that there are none."""
    axes.text(
        0.5, 0.5, "nothing to judge", ha="center", transform=axes.transAxes, fontsize=FONT_SIZE
    )


def draw_ends(axes, low, high):
    """Write what the two ends of a colour bar mean beneath it."""
    for where, words in ((0, low), (1, high)):
        axes.text(
            where,
            -0.3,
            words,
            ha="left" if where == 0 else "right",
            va="top",
            transform=axes.transAxes,
            fontsize=FONT_SIZE,
        )


def draw_table(axes, heads, rows):
    """Draw a table of texts, each column as wide as its longest one."""
    from matplotlib import rcParams

    axes.set_axis_off()
    # With room for two more.
    letters = [max(map(len, column)) + 2 for column in zip(heads, *rows)]
    table = axes.table(
        cellText=rows,
        colLabels=heads,
        colWidths=[number / sum(letters) for number in letters],
        cellLoc="center",
        edges="horizontal",
        bbox=[0, 0, 1, 1],
    )
    table.auto_set_font_size(False)
    table.set_fontsize(FONT_SIZE)
    for cell in table.get_celld().values():
        cell.set_linewidth(0.4)
        cell.set_edgecolor(rcParams["axes.edgecolor"])
