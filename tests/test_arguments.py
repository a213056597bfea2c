"""Whatever is given to a function of the library, it gives a result or an error that says why."""

import datetime
import decimal
import fractions
import inspect
import math
import pathlib

import coded
import coded_rating
import numpy as np
import pytest
from matplotlib.figure import Figure

from microscope_quality import (
    FocusModel,
    Optics,
    acquisition,
    arguments,
    available_models,
    certainty,
    classical,
    components,
    concordance,
    contrast,
    degrade,
    descriptors,
    display,
    errors,
    focus,
    light,
    metrics,
    model,
    network,
    normalisation,
    optics,
    overlay,
    own_score,
    planes,
    psf,
    rater,
    resampling,
    sampling,
    sem_quality,
    simulate,
    spectrum,
    stacks,
    tiles,
    verdicts,
)
from microscope_quality.errors import (
    ArgumentError,
    ImageError,
    MicroscopeQualityError,
    ModelError,
    OpticsError,
    SettingsError,
)

MODULES = (
    *(
        acquisition,
        certainty,
        classical,
        components,
        concordance,
        contrast,
        degrade,
        descriptors,
        display,
        focus,
        light,
        metrics,
        model,
        network,
        normalisation,
    ),
    *(
        optics,
        overlay,
        own_score,
        planes,
        psf,
        rater,
        resampling,
        sampling,
        sem_quality,
        simulate,
        stacks,
        tiles,
    ),
    verdicts,
)
# Made by the library, not by its users.
RESULTS = {
    "PatchResult",
    "FocusResult",
    "StackResult",
    "PointsResult",
    "SampleResult",
    "Step",
    "Statistics",
}
RESULTS |= {
    "Calibration",
    "RiskCoverage",
    "CheckQual",
    "Acquisition",
    "Rated",
    "RatingResult",
    "Components",
}

CODED = FocusModel(coded.description(), coded.weights())
PLANE = coded.plane([[0, 1], [1, 0]])
RESULT = focus.measure_focus(PLANE, CODED)
RATER = rater.RatingModel(coded_rating.description(), coded_rating.weights())
TILE = coded_rating.plane([[0.5]])
RATED = rater.rate_image(TILE, RATER)
STACK = stacks.best_plane([RESULT, RESULT])
AXES = Figure().subplots()
OPTICS = optics.TRAINING_OPTICS
KERNEL = np.ones((3, 3)) / 9
P = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
PREDICTED = metrics.Predictions.of(["a", "b"], ["g", "g"], [0, 1], P)
MASK = np.ones(PLANE.shape, bool)


def a_description(**changes):
    return model.ModelDescription(**{**vars(coded.description()), **changes})


def density(radii_um):
    return np.exp(-0.5 * np.square(radii_um)) / (2 * math.pi)


#: Each public function with arguments that are right.
OWN_SCORE = own_score.OwnScore(
    np.zeros(7), np.ones(7), np.zeros((8, 3)), np.full(11, 0.05), spread=0.1
)
OUTPUTS = np.linspace(0, 1, 7)

CALLS = {
    "acquisition.acquisition_fault": (
        acquisition.acquisition_fault,
        dict(plane=PLANE, before=PLANE, patch_size=128, saturated_limit=0.1),
    ),
    "acquisition.blank_map": (acquisition.blank_map, dict(plane=PLANE, patch_size=128)),
    "acquisition.blank_patches": (
        acquisition.blank_patches,
        dict(patches=PLANE[np.newaxis]),
    ),
    "acquisition.frame_digest": (acquisition.frame_digest, dict(plane=PLANE)),
    "certainty.certainty": (certainty.certainty, dict(probabilities=P, axis=-1)),
    "certainty.weights_of": (certainty.weights_of, dict(certainties=[0.1, 0.5])),
    "certainty.aggregate": (certainty.aggregate, dict(probabilities=P, certainties=[0.1, 0.5])),
    "certainty.product": (certainty.product, dict(probabilities=P)),
    "certainty.weighted_certainty": (certainty.weighted_certainty, dict(certainties=[0.1, 0.5])),
    "certainty.level": (certainty.level, dict(probabilities=P)),
    "certainty.expected_level": (certainty.expected_level, dict(probabilities=P)),
    "certainty.as_probabilities": (
        certainty.as_probabilities,
        dict(probabilities=P, of_patches=True),
    ),
    **{
        f"classical.{name}": (getattr(classical, name), dict(plane=PLANE))
        for name in (*classical.MEASURES, *classical.CLASSICAL, "contrasting", "measure_classical")
    },
    "classical.local_focus_score": (classical.local_focus_score, dict(plane=PLANE, tile_px=20)),
    "classical.correlation": (classical.correlation, dict(plane=PLANE, distance_px=20)),
    "classical.laplacian_of_gaussian": (
        classical.laplacian_of_gaussian,
        dict(plane=PLANE, sigma_px=2.0),
    ),
    "components.as_outputs": (
        components.as_outputs,
        dict(
            score=0.5,
            long_px=3.0,
            short_px=1.0,
            axis=0.3,
            noise=0.2,
            line_noise=0.1,
            jitter_px=0.5,
        ),
    ),
    "components.components_of": (components.components_of, dict(outputs=OUTPUTS)),
    "components.losses_of": (
        components.losses_of,
        dict(components=components.components_of(OUTPUTS)),
    ),
    "components.cause_of": (
        components.cause_of,
        dict(components=components.components_of(OUTPUTS)),
    ),
    "components.scores_of": (components.scores_of, dict(outputs=OUTPUTS)),
    "concordance.spectral_concordance": (
        concordance.spectral_concordance,
        dict(image=PLANE, ideal=PLANE),
    ),
    "concordance.score_of": (concordance.score_of, dict(concordance=[0.5] * 7)),
    "descriptors.descriptors": (
        descriptors.descriptors,
        dict(patches=np.zeros((1, 128, 128), np.float32)),
    ),
    "descriptors.mirrored": (
        descriptors.mirrored,
        dict(found=np.zeros((2, descriptors.N_DESCRIPTORS), np.float32)),
    ),
    "own_score.OwnScore": (
        own_score.OwnScore,
        dict(
            centre=np.zeros(7),
            scale=np.ones(7),
            hidden=np.zeros((8, 3)),
            readout=np.full(11, 0.05),
            spread=0.1,
        ),
    ),
    "own_score.OwnScore.from_model": (
        own_score.OwnScore.from_model,
        dict(values={"spread": 0.1, "labels": 50}, weights=OWN_SCORE.weights()),
    ),
    "own_score.OwnScore.weights": (OWN_SCORE.weights, {}),
    "own_score.OwnScore.of": (OWN_SCORE.of, dict(outputs=OUTPUTS[np.newaxis])),
    "own_score.seen_by": (
        own_score.seen_by,
        dict(
            outputs=OUTPUTS[np.newaxis],
            centre=np.zeros(7),
            scale=np.ones(7),
            hidden=np.zeros((8, 3)),
        ),
    ),
    "contrast.patch_contrasts": (
        contrast.patch_contrasts,
        dict(patches=PLANE[np.newaxis], masks=MASK[np.newaxis]),
    ),
    "contrast.plane_contrast": (
        contrast.plane_contrast,
        dict(contrasts=[1.0, 2.0], noises=[0.5, 0.1], weights=[1.0, 3.0]),
    ),
    "degrade.defocus": (degrade.defocus, dict(image=PLANE, kernel=KERNEL)),
    "degrade.defocus_varying": (
        degrade.defocus_varying,
        dict(image=PLANE, level_map=PLANE * 0, kernels=[KERNEL, KERNEL], levels=[0, 1]),
    ),
    "degrade.tilted_levels": (
        degrade.tilted_levels,
        dict(shape=(20, 30), level=1.0, tilt=2.0, direction_deg=10.0),
    ),
    "degrade.vignette": (degrade.vignette, dict(shape=(20, 30), fall_off=0.2)),
    "degrade.Camera": (degrade.Camera, degrade.Camera().__dict__),
    "degrade.Camera.expose": (degrade.Camera().expose, dict(photons=[[1.0, 2.0]], seed=0)),
    "degrade.Camera.to_dict": (degrade.Camera().to_dict, {}),
    "degrade.Camera.from_dict": (
        degrade.Camera.from_dict,
        dict(values=degrade.Camera().to_dict()),
    ),
    "focus.FocusResult.to_row": (RESULT.to_row, {}),
    "focus.FocusResult.to_dict": (RESULT.to_dict, dict(patches=True)),
    "focus.FocusResult.overlay": (RESULT.overlay, dict(plane=PLANE, max_side=100)),
    "focus.FocusResult.plot": (RESULT.plot, dict(plane=PLANE, ax=AXES)),
    "focus.PatchResult.to_dict": (RESULT.patches[0].to_dict, {}),
    "focus.PointsResult.to_dict": (
        focus.measure_at(PLANE, [(5, 9)], CODED).to_dict,
        {},
    ),
    "stacks.StackResult.to_dict": (STACK.to_dict, dict(planes=True)),
    "stacks.StackResult.plot": (STACK.plot, dict(ax=AXES)),
    "display.focus_html": (display.focus_html, dict(result=RESULT)),
    "display.stack_html": (display.stack_html, dict(stack=STACK)),
    "display.in_words": (display.in_words, dict(result=RESULT)),
    "display.plot_focus": (display.plot_focus, dict(result=RESULT, plane=PLANE, ax=AXES)),
    "display.plot_stack": (display.plot_stack, dict(stack=STACK, ax=AXES)),
    "focus.measure_focus": (
        focus.measure_focus,
        dict(plane=PLANE, model=CODED, optics=OPTICS, rescale=True, mask=MASK, in_focus_limit=1),
    ),
    "stacks.measure_stack": (
        stacks.measure_stack,
        dict(
            planes=[PLANE, PLANE],
            model=CODED,
            optics=OPTICS,
            rescale=False,
            masks=[MASK, MASK],
            in_focus_limit=1,
        ),
    ),
    "stacks.best_plane": (stacks.best_plane, dict(results=[RESULT, RESULT])),
    "focus.measure_at": (
        focus.measure_at,
        dict(plane=PLANE, centres=[(5, 9)], model=CODED, optics=OPTICS, rescale=True, mask=MASK),
    ),
    "planes.is_lazy": (planes.is_lazy, dict(plane=PLANE)),
    "planes.as_plane": (planes.as_plane, dict(plane=PLANE, mask=MASK)),
    "planes.as_finite": (planes.as_finite, dict(plane=PLANE)),
    "planes.as_measured": (planes.as_measured, dict(pixels=PLANE)),
    "planes.largest_value": (planes.largest_value, dict(dtype=PLANE.dtype)),
    "resampling.resample": (resampling.resample, dict(plane=PLANE, shape=(200, 50))),
    "resampling.scaled_down": (resampling.scaled_down, dict(pixels=PLANE)),
    "resampling.as_rescaling": (resampling.as_rescaling, dict(rescale="auto")),
    "resampling.binning_of": (
        resampling.binning_of,
        dict(optics=OPTICS, known=OPTICS, rescale="off"),
    ),
    "resampling.binned": (
        resampling.binned,
        dict(patches=PLANE[np.newaxis], masks=MASK[np.newaxis], binning=2),
    ),
    "spectrum.upper_half": (spectrum.upper_half, dict(patches=PLANE[np.newaxis])),
    "verdicts.judged_level": (
        verdicts.judged_level,
        dict(status="mixed", expected_level=3.6),
    ),
    "verdicts.representative": (
        verdicts.representative,
        dict(statuses=["mixed", "error"], values=[1.0, math.nan], best=0),
    ),
    "verdicts.sure_by_chance": (verdicts.sure_by_chance, dict(patches=100)),
    "verdicts.status_of": (
        verdicts.status_of,
        dict(
            expected_level=1.0,
            expected_levels=np.ones(9),
            certainties=np.ones(9),
            sure_certainty=0.5,
            limit=1.0,
            weights=np.ones(9),
        ),
    ),
    "metrics.Predictions": (
        metrics.Predictions,
        {field: getattr(PREDICTED, field) for field in metrics.Predictions.__annotations__},
    ),
    "metrics.Predictions.of": (
        metrics.Predictions.of,
        dict(
            name=["a", "b"],
            group=["g", "g"],
            true=[0, 1],
            probabilities=P,
            certainty=[0.1, 0.2],
        ),
    ),
    "metrics.Predictions.select": (PREDICTED.select, dict(chosen=[1])),
    "metrics.Predictions.wrong_by_more_than": (PREDICTED.wrong_by_more_than, dict(tolerance=1)),
    "metrics.joined": (metrics.joined, dict(parts=[PREDICTED, PREDICTED])),
    "metrics.confusion": (metrics.confusion, dict(true=[0, 1], level=[0.0, 2.0], levels=3)),
    "metrics.row_normalised": (metrics.row_normalised, dict(confusion=[[1, 0], [2, 3]])),
    "metrics.within": (metrics.within, dict(confusion=[[1, 0], [2, 3]], undefined=1)),
    "metrics.rps": (metrics.rps, dict(true=[0, 1], probabilities=P)),
    "metrics.confusion_of": (metrics.confusion_of, dict(predictions=PREDICTED)),
    "metrics.within_of": (metrics.within_of, dict(predictions=PREDICTED)),
    "metrics.mean_rps": (metrics.mean_rps, dict(predictions=PREDICTED)),
    "metrics.summary": (metrics.summary, dict(predictions=PREDICTED)),
    "metrics.calibration": (metrics.calibration, dict(predictions=PREDICTED, bins=5)),
    "metrics.risk_coverage": (metrics.risk_coverage, dict(predictions=PREDICTED, tolerance=1)),
    "metrics.within_of_certain_half": (
        metrics.within_of_certain_half,
        dict(predictions=PREDICTED, tolerance=1),
    ),
    "model.FocusTask": (model.FocusTask, vars(coded.description().focus)),
    "model.FocusTask.to_dict": (coded.description().focus.to_dict, {}),
    "model.FocusTask.from_dict": (
        model.FocusTask.from_dict,
        dict(values=coded.description().focus.to_dict()),
    ),
    "model.ModelDescription": (model.ModelDescription, vars(coded.description())),
    "model.ModelDescription.to_dict": (coded.description().to_dict, {}),
    "model.ModelDescription.from_dict": (
        model.ModelDescription.from_dict,
        dict(values=coded.description().to_dict()),
    ),
    **{
        f"model.{kind.__name__}": (
            kind,
            dict(description=coded.description(), weights=coded.weights()),
        )
        for kind in (model.Model, FocusModel)
    },
    "model.Model.check": (model.Model.check, dict(description=coded.description())),
    "model.Model.from_pretrained": (
        model.Model.from_pretrained,
        dict(name_or_path="compact"),
    ),
    "model.FocusModel.predict": (
        CODED.predict,
        dict(patches=PLANE[None, :84, :84], masks=MASK[None, :84, :84], type_max=9.0),
    ),
    "model.as_model": (model.as_model, dict(model=CODED)),
    "normalisation.normalise": (
        normalisation.normalise,
        dict(patches=PLANE[None], normalisation="type_range", masks=MASK[None], type_max=65535),
    ),
    "normalisation.half_unmasked": (normalisation.half_unmasked, dict(masks=MASK[None])),
    "normalisation.zscore": (
        normalisation.zscore,
        dict(patches=PLANE[None], masks=MASK[None]),
    ),
    "model.available_models": (available_models, {}),
    "model.find_model": (model.find_model, dict(name_or_path="compact")),
    "model.read_model": (model.read_model, dict(folder=available_models()["compact"])),
    "model.verify": (model.verify, dict(folder=available_models()["compact"])),
    "model.read_description": (
        model.read_description,
        dict(folder=available_models()["compact"]),
    ),
    "model.write_folder": (
        model.write_folder,
        dict(
            folder="/dev/null/m",
            description=coded.description(),
            name="model.keras",
            content=b"weights",
        ),
    ),
    "model.write_model": (
        model.write_model,
        dict(folder="/dev/null/m", description=coded.description(), weights=coded.weights()),
    ),
    "network.Network": (
        network.Network,
        dict(layers=coded.LAYERS, weights=coded.weights(), patch_size=84),
    ),
    "network.Network.__call__": (
        network.Network(coded.LAYERS, coded.weights(), 84),
        dict(patches=np.zeros((1, 84, 84), np.float32)),
    ),
    "network.planned": (network.planned, dict(layers=coded.LAYERS, patch_size=84)),
    "network.same_padding": (network.same_padding, dict(length=9, size=3, stride=2)),
    "light.blur_of_defocus": (light.blur_of_defocus, dict(sine=0.5, defocus=[1.0, 2.0])),
    "light.defocus_of_blur": (light.defocus_of_blur, dict(sine=0.5, blur=[1.0, 2.0])),
    "light.kernel_blur_diameter_px": (light.kernel_blur_diameter_px, dict(kernel=np.ones((3, 3)))),
    "optics.Optics": (Optics, OPTICS.to_dict()),
    "optics.Optics.to_dict": (OPTICS.to_dict, {}),
    "optics.Optics.from_dict": (Optics.from_dict, dict(values=OPTICS.to_dict())),
    "optics.Optics.parse": (
        Optics.parse,
        dict(text="na=0.5,n=1,wavelength_um=0.5,pixel_size_um=1"),
    ),
    "optics.Optics.tangent": (OPTICS.tangent, dict(paraxial=True)),
    "optics.checked_values": (optics.checked_values, dict(values={"na": 0.5})),
    "optics.parse_values": (optics.parse_values, dict(text="na=0.5")),
    "optics.Optics.blur_diameter_px": (OPTICS.blur_diameter_px, dict(defocus_um=1.0)),
    "optics.Optics.defocus_um": (OPTICS.defocus_um, dict(blur_diameter_px=1.0)),
    "optics.Optics.level": (OPTICS.level, dict(defocus_um=1.0)),
    "optics.Optics.added_blur_px": (OPTICS.added_blur_px, dict(defocus_um=1.0, widest_px=2.0)),
    "optics.Optics.defocus_of_added_blur": (
        OPTICS.defocus_of_added_blur,
        dict(added_px=1.0, widest_px=2.0),
    ),
    "optics.added_blur": (optics.added_blur, dict(blur=3.0, in_focus=1.0, widest=2.0)),
    "optics.Optics.defocus_of_level": (OPTICS.defocus_of_level, dict(level=1.0)),
    "optics.Optics.cone_diameter_px": (
        OPTICS.cone_diameter_px,
        dict(defocus_um=1.0, paraxial=True),
    ),
    "optics.Optics.defocus_of_cone": (OPTICS.defocus_of_cone, dict(diameter_px=1.0, paraxial=True)),
    "psf.radial_intensity": (
        psf.radial_intensity,
        dict(optics=OPTICS, radii_um=[1.0], defocus_um=1.0, paraxial=True, wavelength_um=0.5),
    ),
    "psf.psf": (
        psf.psf,
        dict(
            optics=OPTICS,
            defocus_um=2.0,
            paraxial=True,
            pixel_integrated=True,
            bandwidth=0.1,
            size=9,
            energy=0.9,
        ),
    ),
    "psf.check_kernel": (
        psf.check_kernel,
        dict(defocus_um=1.0, bandwidth=0.1, size=None, energy=0.9),
    ),
    "psf.radial_kernel": (
        psf.radial_kernel,
        dict(
            density=density, pixel_size_um=0.5, period_um=1.0, reach_um=3.0, size=None, energy=0.9
        ),
    ),
    "psf.finest_period_um": (psf.finest_period_um, dict(optics=OPTICS, bandwidth=0.1)),
    "psf.light_reach_um": (
        psf.light_reach_um,
        dict(optics=OPTICS, defocus_um=1.0, paraxial=True, energy=0.9),
    ),
    "psf.wavelength_band": (
        psf.wavelength_band,
        dict(optics=OPTICS, bandwidth=0.1, radius_um=3.0, defocus_um=1.0),
    ),
    "overlay.overlay": (overlay.overlay, dict(plane=PLANE, result=RESULT, max_side=100)),
    "overlay.score_overlay": (
        overlay.score_overlay,
        dict(plane=TILE, result=RATED, max_side=100),
    ),
    "overlay.score_legend": (overlay.score_legend, dict(height=20)),
    "overlay.grey_picture": (overlay.grey_picture, dict(plane=PLANE, max_side=100)),
    "overlay.legend": (overlay.legend, dict(height=20, levels=11)),
    "overlay.level_colours": (overlay.level_colours, dict(levels=11)),
    "overlay.score_colours": (overlay.score_colours, dict(scores=[0.1, 0.5])),
    "overlay.colours": (
        overlay.colours,
        dict(levels=[0, 1], certainties=[0.1, 0.5], number=11),
    ),
    "overlay.patch_colours": (overlay.patch_colours, dict(result=RESULT)),
    "overlay.visible_parts": (overlay.visible_parts, dict(result=RESULT)),
    "rater.RatingTask": (rater.RatingTask, vars(RATER.details)),
    "rater.RatingTask.to_dict": (RATER.details.to_dict, {}),
    "rater.RatingTask.from_dict": (
        rater.RatingTask.from_dict,
        dict(values=RATER.details.to_dict()),
    ),
    "rater.RatingModel": (
        rater.RatingModel,
        dict(description=coded_rating.description(), weights=coded_rating.weights()),
    ),
    "rater.RatingModel.side_for": (RATER.side_for, dict(height=300, width=400)),
    "rater.RatingModel.rate": (RATER.rate, dict(patches=TILE[np.newaxis])),
    "rater.without_own_score": (
        rater.without_own_score,
        dict(description=coded_rating.description()),
    ),
    "rater.as_rater": (rater.as_rater, dict(model=RATER)),
    "rater.rate_image": (
        rater.rate_image,
        dict(plane=TILE, model=RATER, patches=4, seed=1, score_limit=0.5),
    ),
    "sampling.sample_focus": (
        sampling.sample_focus,
        dict(
            plane=PLANE,
            model=CODED,
            places=4,
            seed=0,
            optics=OPTICS,
            rescale=True,
            in_focus_limit=1,
        ),
    ),
    **{
        f"sem_quality.{name}": (getattr(sem_quality, name), dict(plane=PLANE))
        for name in ("check_qual", "spectral_snr")
    },
    "simulate.nuclei": (
        simulate.nuclei,
        dict(shape=(40, 50), n=2, seed=0, diameter_px=(9, 12)),
    ),
    "simulate.filaments": (simulate.filaments, dict(shape=(40, 50), n=2, seed=0, width_px=1.2)),
    "tiles.positions": (tiles.positions, dict(height=200, width=300, patch_size=84)),
    "tiles.starts": (tiles.starts, dict(length=200, patch_size=84)),
    "tiles.cut": (
        tiles.cut,
        dict(plane=PLANE, places=RESULT.patch_positions, patch_size=84),
    ),
    "tiles.cut_centred": (tiles.cut_centred, dict(plane=PLANE, centres=[(1, 2)], patch_size=84)),
    "tiles.checked_centres": (tiles.checked_centres, dict(centres=[(1, 2)], shape=(9, 9))),
}


class Odd:
    """Of no kind that any function takes."""


class NoArray:
    """Says that it is an array."""

    def __array__(self, *_, **__):
        raise TypeError("not one")


class BytesPath:
    """A path that is no text."""

    def __fspath__(self):
        return b"cells.tif"


def read_only(array):
    array.flags.writeable = False
    return array


#: Made anew for each call: what is gone through once is used up.
WRONG = {
    "None": lambda: None,
    "text": lambda: "cells.tif",
    "empty text": lambda: "",
    "number as text": lambda: "1",
    "NUL": lambda: "\0",
    "half a character": lambda: "\ud800",
    "long text": lambda: "x" * 10**6,
    "bytes": lambda: b"1",
    "bytearray": lambda: bytearray(b"12"),
    "path": lambda: pathlib.Path("cells.tif"),
    "path of bytes": BytesPath,
    "texts": lambda: ["a", "b"],
    "ragged": lambda: [["a"], [1, 2]],
    "Nones": lambda: [None, None],
    "huge numbers": lambda: [10**400, 1],
    "dict": lambda: {"a": 1},
    "empty dict": dict,
    "set": lambda: {1, 2},
    "object": Odd,
    "no array": NoArray,
    "class": lambda: Odd,
    "function": lambda: len,
    "generator": lambda: (k for k in range(3)),
    "True": lambda: True,
    "False": lambda: False,
    "NumPy True": lambda: np.bool_(True),
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "-inf": lambda: -math.inf,
    "-1": lambda: -1,
    "0": lambda: 0,
    "1": lambda: 1,
    "2.5": lambda: 2.5,
    "10**9": lambda: 10**9,
    "10**18": lambda: 10**18,
    "2**63": lambda: 2**63,
    "10**400": lambda: 10**400,
    "-10**5000": lambda: -(10**5000),
    "1e-320": lambda: 1e-320,
    "1e308": lambda: 1e308,
    "-1e308": lambda: -1e308,
    "complex": lambda: 1j,
    "Decimal": lambda: decimal.Decimal(1),
    "Fraction": lambda: fractions.Fraction(10**400, 3),
    "date": lambda: datetime.date(2020, 1, 1),
    "duration": lambda: np.timedelta64(5, "s"),
    "NumPy date": lambda: np.datetime64("2020-01-01"),
    "float16": lambda: np.float16(1),
    "float128": lambda: np.ldexp(np.longdouble(1), 2000),
    "0-d": lambda: np.array(1.0),
    "0-d of objects": lambda: np.array(None),
    "empty list": list,
    "empty tuple": tuple,
    "empty array": lambda: np.empty(0),
    "axis of 0": lambda: np.empty((0, 5)),
    "other axis of 0": lambda: np.empty((5, 0)),
    "three axes, one of 0": lambda: np.empty((1, 0, 0)),
    "1-d": lambda: np.arange(5),
    "3-d": lambda: np.zeros((2, 3, 4)),
    "5-d": lambda: np.zeros((1,) * 5),
    "colours": lambda: np.zeros((168, 168, 3)),
    "one pixel": lambda: np.ones((1, 1)),
    "2 x 2": lambda: np.array([[1, 2], [3, 4]]),
    "objects": lambda: np.array([[Odd(), None], [1, "a"]], object),
    "numbers as objects": lambda: np.ones((168, 168), object),
    "structured": lambda: np.zeros((168, 168), [("a", "f4"), ("b", "i2")]),
    "records": lambda: np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")]),
    "dates": lambda: np.zeros((168, 168), "M8[s]"),
    "durations": lambda: np.zeros((168, 168), "m8[s]"),
    "array of texts": lambda: np.full((168, 168), "a"),
    "array of bytes": lambda: np.full((168, 168), b"a"),
    "void": lambda: np.zeros((168, 168), "V4"),
    "complex array": lambda: np.zeros((168, 168), complex),
    "bools": lambda: np.ones((168, 168), bool),
    "masked": lambda: np.ma.masked_less(PLANE, 150),
    "all masked": lambda: np.ma.masked_all((168, 168)),
    "masked number": lambda: np.ma.masked,
    "big endian": lambda: PLANE.astype(">u2"),
    "big endian floats": lambda: PLANE.astype(">f8") * 1e300,
    "read-only": lambda: read_only(PLANE.copy()),
    "strided": lambda: np.repeat(PLANE, 2, axis=1)[:, ::-2],
    "half": lambda: PLANE.astype(np.float16),
    "extended": lambda: PLANE.astype(np.longdouble) * np.longdouble(2) ** 1020,
    "NaNs": lambda: np.full((168, 168), np.nan),
    "infinities": lambda: np.where(MASK, np.inf, -np.inf),
    "huge": lambda: np.where(PLANE > 150, 1.7e308, -1.7e308),
    "tiny": lambda: PLANE * 1e-322,
    "negative": lambda: -PLANE.astype(float),
    "largest": lambda: np.where(PLANE > 150, np.uint64(2**64 - 1), np.uint64(0)),
    "least": lambda: np.where(PLANE > 150, -(2**63), 0).astype(np.int64),
    "constant": lambda: np.full((168, 168), 7, np.uint8),
    "patch": lambda: coded.patch(3)[None].astype(float) * np.nan,
    "huge patch": lambda: coded.patch(3)[None].astype(np.float64) * 1e300,
    "patch of objects": lambda: np.full((1, 84, 84), None),
    "memory": lambda: memoryview(b"abc"),
    "range": lambda: range(3),
    "model": lambda: CODED,
    "optics": lambda: OPTICS,
    "result": lambda: RESULT,
    "dtype": lambda: np.dtype("M8[s]"),
    "name of a dtype": lambda: "u2",
}


def public():
    """The names of all public functions, methods and classes that users make things of."""
    for module in MODULES:
        short = module.__name__.rpartition(".")[2]
        for name, found in vars(module).items():
            if name.startswith("_") or getattr(found, "__module__", "") != module.__name__:
                continue
            if inspect.isfunction(found):
                yield f"{short}.{name}"
            if not inspect.isclass(found) or issubclass(found, Exception):
                continue
            if name not in RESULTS:
                yield f"{short}.{name}"
            for method, of_class in vars(found).items():
                is_method = inspect.isfunction(of_class) or isinstance(of_class, classmethod)
                if is_method and not method.startswith("_"):
                    yield f"{short}.{name}.{method}"


ARGUMENTS = [(name, argument) for name, (_, right) in CALLS.items() for argument in right]
# An integer with as many digits as an argument may not even be shown.
SENTENCES_UP_TO = 2000


def test_all_that_is_public_is_tried():
    # `stacks.best_of` takes rows of tables as well, and `stacks.best_plane` checks what it is
    # given. What else the modules do for each other is tried through those that ask for it.
    elsewhere = {"sampling.SampleResult.to_row", "focus.summed_up"}
    elsewhere |= {"rater.RatingResult.to_row", "rater.RatingResult.score_map"}
    elsewhere |= {"focus.is_too_small", "focus.without_patch", "focus.hints_of"}
    elsewhere |= {"stacks.best_of", "stacks.sharpness_of", "stacks.spoken"}
    elsewhere |= {"optics.checked_value", "normalisation.check_normalisation"}
    of_planes = ("planes.Plane", "planes.TopValues", "spectrum.SurestPatches")
    elsewhere |= {name for name in public() if name.startswith(of_planes)}
    assert set(public()) - elsewhere <= set(CALLS)
    for name, (function, right) in CALLS.items():
        taken = set(inspect.signature(function).parameters)
        assert taken == set(right), f"{name} is tried with other arguments than it takes"


@pytest.mark.parametrize("name", CALLS)
def test_what_is_right_is_taken(name):
    function, right = CALLS[name]
    if name in ("model.write_model", "model.write_folder"):
        with pytest.raises(errors.FileError):
            function(**right)
    else:
        function(**right)


@pytest.mark.filterwarnings(
    # NumPy 1.23 warns of ragged lists before they are refused.
    "ignore:Creating an ndarray from ragged nested sequences"
)
@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_what_is_wrong_is_refused_with_a_sentence(name, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, right = CALLS[name]
    wrong = {}
    for what, make in WRONG.items():
        if argument == "density" and callable(make()):
            continue  # what it does is the caller's own
        try:
            function(**{**right, argument: make()})
        except MicroscopeQualityError as error:
            said = str(error)
            if not said.endswith(".") or len(said) > SENTENCES_UP_TO:
                wrong[what] = said[:300]
        except Exception as error:
            wrong[what] = repr(error)[:300]
    assert not wrong


@pytest.mark.parametrize(
    ("name", "argument"), [(n, a) for n, a in ARGUMENTS if n != "planes.is_lazy"]
)
def test_nothing_takes_just_anything(name, argument, tmp_path, monkeypatch):
    """A thing of no kind that any function takes is refused in words that name what was given."""
    function, right = CALLS[name]
    with pytest.raises(MicroscopeQualityError, match=r"Odd|object|callable|must"):
        function(**{**right, argument: Odd()})


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (
            lambda: arguments.as_number("na", "x"),
            ArgumentError,
            r"na must be a number, not 'x'\.",
        ),
        (lambda: arguments.as_number("na", math.nan), SettingsError, "na must be finite, not nan"),
        (
            lambda: arguments.as_number("na", 2, 0, 1),
            SettingsError,
            r"na must be from 0 to 1, not 2\.",
        ),
        (lambda: arguments.as_number("na", True), ArgumentError, "a number, not True"),
        (
            lambda: arguments.as_count("n", 1.0),
            ArgumentError,
            r"n must be a whole number, not 1\.0\.",
        ),
        (
            lambda: arguments.as_count("n", 10**400),
            SettingsError,
            "not a whole number of over 30 digits",
        ),
        (
            lambda: arguments.as_count("n", np.zeros((2, 3))),
            ArgumentError,
            r"not an array of shape \(2, 3\) and type float64",
        ),
        (
            lambda: arguments.as_flag("rescale", "no"),
            ArgumentError,
            "rescale must be True or False, not 'no'",
        ),
        (
            lambda: arguments.as_floats("c", [0.5, 2], high=1),
            SettingsError,
            "c must have values from -inf to 1, not 2",
        ),
        (
            lambda: arguments.as_numbers("c", ["a"]),
            ArgumentError,
            "c must be an array of numbers, not an array of shape",
        ),
        (lambda: arguments.as_path("folder", 3), ArgumentError, "folder must be a path"),
        (
            lambda: arguments.as_list("planes", "abc", "planes"),
            ArgumentError,
            "planes must be a sequence of planes, not 'abc'",
        ),
        (
            lambda: focus.measure_focus(Odd()),
            ImageError,
            r"must be an array of integers or floats, not an object of type Odd\.",
        ),
        (lambda: focus.measure_focus(PLANE, 5), ArgumentError, "model must be a FocusModel.*not 5"),
        (lambda: Optics("1", 1, 1, 1), OpticsError, "na must be a number, not '1'"),
        (
            lambda: Optics(1e300, 1e301, 1, 1),
            OpticsError,
            r"na must be from 1e-06 to 4, not 1e\+300",
        ),
        (lambda: a_description(patch_size=10**9), ModelError, "patch_size must be a whole number"),
    ],
)
def test_a_refusal_names_the_argument_and_what_it_was(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_a_wrong_kind_is_a_type_error_and_a_value_error():
    for kind in (TypeError, ValueError, SettingsError):
        assert issubclass(ArgumentError, kind)


def test_numbers_of_any_kind_are_taken():
    for number in (2, 2.0, np.float16(2), np.int8(2), np.array(2), fractions.Fraction(4, 2)):
        assert arguments.as_number("x", number) == 2
        assert type(arguments.as_number("x", number)) is float
    for number in (2, np.int8(2), np.uint64(2), np.array(2)):
        assert type(arguments.as_count("x", number)) is int
