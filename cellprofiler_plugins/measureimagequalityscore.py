"""
MeasureImageQualityScore
========================

**MeasureImageQualityScore** gives an electron micrograph a score, how far its detail agrees with
that of an ideal image, and says what costs it: blur, astigmatism, noise, line noise or jitter.

The *score* goes from 0.1 (nothing is left of the specimen's detail) to 1 (ideal), for each image by
itself: there is no other image to compare with. With it come the faults in units of their own, what
costs most of the score, and what to do about it: *refocus*, *restigmate*, *retake* or *look*.

The image is divided into patches of 256 × 256 pixels, smaller ones in small images. A small neural
network, trained on sharp micrographs that were degraded by a model of the microscope, rates each of
them from its spectrum and its scan lines. Patches with nothing in them, as of bare resin, and those
with masked pixels are left out.

|

============ ============ ===============
Supports 2D? Supports 3D? Respects masks?
============ ============ ===============
YES          NO           YES
============ ============ ===============

How to use it
^^^^^^^^^^^^^

Rate the images as they come from the microscope, before anything is corrected, smoothed, rescaled
in size or contrast. The lines of the scan must be the image's rows, as they are unless the image
was turned. Then use **FlagImage** to mark or skip image sets whose *Good* is below 1; *Score* alone
is not enough, for an image with nothing to rate has none.

The score knows what optics, electrons and scan do to an image. It knows nothing of folds, dirt,
poor staining or the wrong place. Compare images of one specimen, microscope and pixel size with
each other: specimens that are smooth even when they are sharp, and images sampled much more finely
than the microscope resolves, are given too low a score.

Measurements made by this module
^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

-  *Score:* Mean of the patches' scores, from 0.1 to 1. It has no value when there is no patch to
   rate.
-  *ScoreLow, ScoreHigh:* Ends of the interval that holds the score of the whole image with a
   confidence of 95 %.
-  *Good:* 1 when the score is at least the lowest good one, and the grab did not fail; else 0.
-  *NoContent:* 1 when there is nothing in the image that could be rated; else 0.
-  *FailedGrab:* 1 when the microscope did not finish the image, or gave none: when all pixels have
   one value, or lines at its start or end have, or are copies of others; else 0.
-  *Blur:* RMS width of the beam's spot in pixels, 0.7 at the least.
-  *Elongation:* How many times longer the spot is than wide. From 1.3 on it is called astigmatic.
-  *Angle:* Direction of its long width in degrees, counter-clockwise from the rows, 0 to 180.
-  *Noise:* Standard deviation of the noise, over that of the specimen's detail.
-  *LineNoise:* Offsets of lines and streaks of charging, over the same.
-  *Jitter:* RMS displacement of lines along themselves, in pixels.
-  *SaturatedFraction:* Share of the pixels at the detector's largest value, 0 to 1, the same for
   each choice of *Set intensity range from* in **NamesAndTypes**; with random places, of those
   places. It has no value for images of decimal numbers, as most are that were changed in
   CellProfiler.
-  *BlankFraction:* Share of the patches that have nothing to rate, 0 to 1.
-  *Patches:* Number of the patches that were rated.
-  *Status:* The verdict as a word: *good*, *poor*, *failed_grab*, *no_content*, or *too_small* when
   the image is less than a patch.
-  *Cause:* What costs a poor image most of its score: *blur*, *astigmatism*, *noise*, *line noise*
   or *jitter*; or how the grab failed: *empty*, *cut* or *repeated*. Empty for a good image, unless
   it is *saturated*: then a twentieth of its pixels or more are clipped.
-  *Action:* What to do about it: *refocus*, *restigmate*, *retake*, or *look* at the microscope.
-  *Message:* Why a number is missing, and what else is to be said, in sentences; mostly empty.

A measurement that has no value is *nan* or empty in spreadsheets, NULL in databases. *Good*,
*NoContent* and *FailedGrab* always have one.

Two modules on one image
^^^^^^^^^^^^^^^^^^^^^^^^

A second **MeasureImageQualityScore** that rates the same image with other settings would overwrite
what the first one measured. The pipeline does not run until one of them has a word in *Word to add
to the names of the measurements*: with *Strict*, its measurements are
*ImageQualityScoreStrict_Score_EM* and so on.
"""

import math
from enum import Enum

import numpy
from _patch_module import (
    DISPLAYED_SIDE_PX,
    FONT_SIZE,
    PatchModule,
    about_saturation,
    draw_ends,
    draw_nothing,
    sentences,
)
from cellprofiler_core.constants.measurement import (
    COLTYPE_FLOAT,
    COLTYPE_INTEGER,
    COLTYPE_VARCHAR,
)
from cellprofiler_core.setting import ValidationError
from cellprofiler_core.setting.choice import Choice
from cellprofiler_core.setting.text import Float, Integer

# Features in the order of the tables, with the type of their columns.
FEATURES = {
    "Score": COLTYPE_FLOAT,
    "ScoreLow": COLTYPE_FLOAT,
    "ScoreHigh": COLTYPE_FLOAT,
    "Good": COLTYPE_INTEGER,
    "NoContent": COLTYPE_INTEGER,
    "FailedGrab": COLTYPE_INTEGER,
    "Blur": COLTYPE_FLOAT,
    "Elongation": COLTYPE_FLOAT,
    "Angle": COLTYPE_FLOAT,
    "Noise": COLTYPE_FLOAT,
    "LineNoise": COLTYPE_FLOAT,
    "Jitter": COLTYPE_FLOAT,
    "SaturatedFraction": COLTYPE_FLOAT,
    "BlankFraction": COLTYPE_FLOAT,
    "Patches": COLTYPE_INTEGER,
    "Status": COLTYPE_VARCHAR,
    "Cause": COLTYPE_VARCHAR,
    "Action": COLTYPE_VARCHAR,
    "Message": COLTYPE_VARCHAR,
}
# What to do about images that are none.
RETAKE = "retake"
# What each fault is called beneath its bar.
SHORT = {"astigmatism": "astigm.", "line noise": "lines"}
# Steps of the bars' colours.
STEPS = 91


class Rated(str, Enum):
    """What of an image is rated."""

    ALL = "All of the image"
    PLACES = "Random places"


class MeasureImageQualityScore(PatchModule):
    module_name = "MeasureImageQualityScore"
    variable_revision_number = 1
    stem = "ImageQualityScore"
    quantity = "quality"
    patches_name = "ScorePatches"
    opens_large_from = 1
    features = FEATURES

    def create_settings(self):
        self.create_common_settings(
            images_doc="""\
Select the images to rate. Each is rated by itself. They must be grey images; turn colour images
into grey ones with **ColorToGray** before.

Choose images as the microscope took them: correction, smoothing and rescaling change the quality
that is to be rated.""",
            model_doc="""\
The model that comes with this module. It was trained on micrographs of tissue.""",
            training="microscope-quality train --labels",
            patches_doc="""\
Each patch is coloured by its score, from blue (ideal) over pink to yellow (worst); patches with
nothing to rate stay grey.""",
        )
        self.score_limit = Float(
            "Lowest score that is good",
            0.7,
            doc="""\
An image counts as good (its *Good* measurement is 1) when its score is this or higher, from 0.1 to
1. *Status*, *Cause* and *Action* depend on it too; the other measurements do not.""",
        )
        self.rated = Choice(
            "What of the image to rate",
            [rated.value for rated in Rated],
            doc=f"""\
-  *{Rated.ALL.value}:* All patches are rated.
-  *{Rated.PLACES.value}:* A number of places is drawn at random, spread over the image. That takes
   less time for large images; *ScoreLow* and *ScoreHigh* tell what it costs in exactness. Where
   nothing is to be seen, another place is drawn. Images that have no more places than asked for are
   rated as a whole. The same places are drawn again each time.""",
        )
        self.places = Integer(
            "Number of random places",
            27,
            doc=f"""\
*(Used only if "{Rated.PLACES.value}" is selected)*

A place is six patches, mostly of 256 × 256 pixels, that lie far apart.""",
        )

    def settings(self):
        return [
            self.overlay_count,
            self.images,
            self.score_limit,
            self.rated,
            self.places,
            self.word,
            self.model_source,
            self.model_folder,
            *self.overlay_settings(),
        ]

    def visible_settings(self):
        visible = [self.images, self.score_limit, self.rated]
        if self.rated.value == Rated.PLACES.value:
            visible += [self.places]
        visible += [self.word, self.model_divider, *self.visible_model_settings()]
        return [*visible, *self.visible_overlay_settings()]

    def deciding_settings(self):
        settings = [self.score_limit, self.rated]
        if self.rated.value == Rated.PLACES.value:
            settings += [self.places]
        return [*settings, *self.visible_model_settings()]

    def validate_module(self, pipeline):
        self.validate_images(pipeline)
        self.validate_names(pipeline)
        self.validate_model()
        from microscope_quality.concordance import LOWEST_SCORE

        if not LOWEST_SCORE <= self.score_limit.value <= 1:
            raise ValidationError(
                f"Scores go from {LOWEST_SCORE:g} to 1; {self.score_limit.value:g} is none.",
                self.score_limit,
            )
        if self.rated.value == Rated.PLACES.value and not 1 <= self.places.value <= 10**6:
            raise ValidationError(
                f"At least 1 place must be rated, and at most a million, not {self.places.value}.",
                self.places,
            )

    def model_class(self):
        from microscope_quality.rater import RatingModel

        return RatingModel

    def measure(self, workspace, name, model):
        from microscope_quality.acquisition import acquisition_fault
        from microscope_quality.components import losses_of
        from microscope_quality.errors import MicroscopeQualityError
        from microscope_quality.overlay import score_overlay
        from microscope_quality.rater import rate_image
        from microscope_quality.statuses import NO_CONTENT

        image, planes = self.planes_of(workspace, name)
        plane, acquired = planes[0], None
        try:
            # What is masked may be black, as lines that a grab left out.
            if planes.masks is None:
                acquired = acquisition_fault(plane)
            else:
                plane = numpy.ma.masked_array(plane, ~planes.masks[0])
            result = rate_image(
                plane,
                model,
                patches=self.places.value if self.rated.value == Rated.PLACES.value else None,
                score_limit=self.score_limit.value,
            )
        except MicroscopeQualityError as error:
            raise ValueError(f"{name} cannot be measured. {error}") from error
        told = [acquired.message if acquired else "", result.message]
        if result.status == NO_CONTENT.key and planes.masks is not None:
            told.append("Every patch has masked pixels, or nothing to rate.")
        self.tell(name, told)
        told.append(about_saturation(result, planes.has_pixels(0)))
        status, cause, action = _verdict(result, acquired)
        self._store(workspace, name, result, status, cause, action, sentences(told))
        self.add_overlays(workspace, name, image, lambda: score_overlay(plane, result))
        if not self.show_window:
            return None
        losses = losses_of(result.components)
        return {
            "name": name,
            "picture": score_overlay(plane, result, max_side=DISPLAYED_SIDE_PX),
            "status": status,
            "plane": None,
            "faults": list(losses),
            "losses": numpy.array(list(losses.values())),
            "row": [name, *_numbers(result), cause, action],
        }

    def _store(self, workspace, name, result, status, cause, action, message):
        components = result.components
        values = {
            "Score": result.score,
            "ScoreLow": result.score_low,
            "ScoreHigh": result.score_high,
            "Good": int(status == "good"),
            "NoContent": int(status == "no_content"),
            "FailedGrab": int(status == "failed_grab"),
            "Blur": components.blur_px,
            "Elongation": components.elongation,
            "Angle": components.angle_deg,
            "Noise": components.noise,
            "LineNoise": components.line_noise,
            "Jitter": components.jitter_px,
            "SaturatedFraction": result.saturated_fraction,
            "BlankFraction": result.blank_fraction,
            "Patches": int(numpy.count_nonzero(~numpy.isnan(result.patch_scores))),
            "Status": status,
            "Cause": cause,
            "Action": action,
            "Message": message,
        }
        self.store(workspace, name, values)

    def draw_bars(self, axes, image, beneath, crowded):
        from microscope_quality.overlay import level_colours

        losses = numpy.asarray(image["losses"])
        lost = numpy.nan_to_num(losses)
        colours = level_colours(STEPS)[numpy.rint(lost.clip(0, 1) * (STEPS - 1)).astype(int)] / 255
        at = numpy.arange(len(lost))
        # Wider than bars beside a picture, and so above their names too.
        place = "center" if beneath else "right"
        axes.set_title("score lost to each fault alone", fontsize=FONT_SIZE, loc=place)
        if beneath:
            axes.bar(at, lost, width=0.85, color=colours)
            axes.set_ylim(0, 1)
            axes.set_yticks([0, 1] if crowded else [0, 0.5, 1])
            axes.set_xticks(at)
            axes.set_xticklabels(image["faults"])
        else:
            axes.barh(at, lost, height=0.7, color=colours)
            axes.set_xlim(0, 1)
            axes.set_xticks([] if crowded else [0, 0.5, 1])
            axes.set_yticks(at)
            axes.set_yticklabels([SHORT.get(fault, fault) for fault in image["faults"]])
            axes.invert_yaxis()
        if numpy.isnan(losses).any():
            draw_nothing(axes)

    def draw_colour_bar(self, axes, images):
        from microscope_quality.overlay import level_colours

        colours = level_colours(10)[::-1]
        axes.imshow(colours[numpy.newaxis], aspect="auto")
        axes.set_xlabel(
            f"good from {self.score_limit.value:g} on; patches without a colour have nothing to "
            "rate",
            fontsize=7,
            labelpad=2,
        )
        for tenth in range(len(colours)):
            # Black can be read on each of the colours, in a light window and in a dark one.
            axes.text(
                tenth,
                0,
                f"{(tenth + 1) / 10:g}",
                ha="center",
                va="center",
                fontsize=7,
                color="black",
            )
        draw_ends(axes, "worst", "ideal")

    def table(self, images):
        heads = ["image", "score", "95 %", "blur", "stretched", "noise", "lines", "jitter"]
        return [*heads, "cause", "what to do"], [image["row"] for image in images]


def _verdict(result, acquired):
    """Give status, cause and action; first, whether it is an image at all, where that is known."""
    from microscope_quality.acquisition import BLANK, SATURATED
    from microscope_quality.statuses import FAILED, NO_CONTENT

    fault = acquired.fault if acquired else ""
    if fault and acquired.action == RETAKE:
        return FAILED.key, fault, RETAKE
    if fault == BLANK:
        return NO_CONTENT.key, "", ""
    if fault == SATURATED and not math.isnan(result.score) and not result.cause:
        return result.status, fault, acquired.action
    return result.status, result.cause, result.action


def _numbers(result):
    """Give the numbers of a rating as texts, for the table."""
    from microscope_quality.components import LEAST_ELONGATION

    if math.isnan(result.score):
        return ["none", *[""] * 6]
    components = result.components
    stretched = "no"
    if components.elongation >= LEAST_ELONGATION:
        stretched = f"{components.elongation:.1f} × at {components.angle_deg:.0f}°"
    return [
        f"{result.score:.2f}",
        f"{result.score_low:.2f} to {result.score_high:.2f}",
        f"{components.blur_px:.1f} px",
        stretched,
        f"{components.noise:.2f}",
        f"{components.line_noise:.2f}",
        f"{components.jitter_px:.1f} px",
    ]
