"""Accuracy on images that training never saw.

The images are not in the repository. ``--data`` names a folder with

``focus/train``
    the training sets that the model's ``model.json`` names, of which only its validation files are
    read, and a set that was left out of training, ``cp_sbs_u2os``, from CellProfiler's examples;
``focus/eval/bbbc006_miq``
    test images of google/microscopeimagequality: BBBC006 (Ljosa et al., Nature Methods 9:637,
    2012), ``BBBC006_*_10`` in focus and ``00_mcf-*`` at the far end of the stack;
``focus/eval/urjc_brightfield_zstack``
    a brightfield stack of 17 planes, Zenodo record 5008894, sharpest at ``S1_11``; see
    :mod:`benchmarks.belief` for how the level follows its focus;
``focus/eval/stacks``
    ten real sets of planes, for :mod:`benchmarks.real_stacks` and :mod:`benchmarks.processed`.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np

from benchmarks.figure import Figure
from benchmarks.models import read
from microscope_quality import FocusModel, measure_focus, metrics
from microscope_quality.certainty import expected_level
from microscope_quality.degrade import Camera, defocus, defocus_varying, tilted_levels
from microscope_quality.evaluation.gather import Data, gather
from microscope_quality.evaluation.judging import ModelLike, load, predictions_of
from microscope_quality.evaluation.results import Evaluation, EvaluationSettings
from microscope_quality.evaluation.run import evaluate, held_out, trained_on
from microscope_quality.optics import N_LEVELS, TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.simulate import nuclei
from microscope_quality.training.defocus.empties import empty_image
from microscope_quality.training.defocus.exposure import signal
from microscope_quality.training.defocus.sets import SetSettings, labelled
from microscope_quality.training.defocus.stream import SharpImage

GAINS = (0.2, 0.5, 1.0, 2.0, 5.0)
OFFSETS = (0, 1, 30, 1000)
TILTED_SIDE = 500
EMPTY_FIELDS = 100
# Left out of training: the terms of the set that its files' names match could not be checked.
UNSEEN_KIND = "cp_sbs_u2os"


def unlearned(models: Sequence[ModelLike], data: Path) -> Data:
    """Find the images that the first model's training held out, less what any was trained on."""
    loaded = [load(model) for model in models]
    return gather(
        [str(data / "focus" / "train")],
        manifest=data / "manifest.csv",
        only=held_out(loaded[0]),
        without=trained_on(loaded),
    )


def evaluated(
    models: Sequence[ModelLike],
    data: Path,
    photons: Tuple[float, float],
    classical: bool,
) -> Evaluation:
    """Evaluate on the images that `unlearned` finds."""
    settings = EvaluationSettings(
        # What judges is exposed otherwise than what was looked at in training.
        sets=SetSettings(photons=photons, seed=1),
        gain_offset_images=0,
        classical=classical,
        jobs=1,
    )
    return evaluate(models, unlearned(models, data), settings)


def synthetic(evaluation: Evaluation) -> List[Figure]:
    """Sharp images at 11 levels, with noise that training did not see."""
    model = evaluation.models[0]
    what = f"held-out fields ({len(model.images)} synthetic images, {len(model.patches)} patches)"
    images, patches = metrics.summary(model.images), metrics.summary(model.patches)
    figures = [
        at_least(f"{what}: within one level", images["within_one"], 0.995),
        at_least(f"{what}: exact level", images["exact"], 0.93),
        at_least(
            f"{what}: the more certain half of the patches within one level",
            patches["within_one_certain_half"],
            0.99,
        ),
        Figure(
            f"{what}: expected calibration error of patches",
            f"{patches['calibration_error']:.3f} (images {images['calibration_error']:.3f})",
            "≤ 0.04",
            patches["calibration_error"] <= 0.04,
        ),
        at_least(f"{what}: empty patches below sure_certainty", model.empty_below_sure, 0.99),
    ]
    for per in ("image", "patch"):
        results = [result for result in evaluation.binary if result.per == per]
        ours = next(result for result in results if result.measure == model.name)
        names = {other.name for other in evaluation.models}
        best = max((result for result in results if result.measure not in names), key=lambda r: r.f)
        figures.append(
            Figure(
                f"in or out of focus, per {per}: F-score (95 % of 50 draws), and the best "
                "classical measure's",
                f"{ours.f:.3f} ({ours.low:.3f} to {ours.high:.3f}); {best.measure} "
                f"{best.f:.3f} ({best.low:.3f} to {best.high:.3f})",
                "≥ 0.97, and above its interval",
                ours.f >= 0.97 and ours.f > max(r.high for r in results if r.measure not in names),
            )
        )
    return figures


def side_by_side(evaluation: Evaluation) -> List[Figure]:
    """Other models on the same images."""
    figures = []
    for model in evaluation.models[1:]:
        images, patches = metrics.summary(model.images), metrics.summary(model.patches)
        f = next(r.f for r in evaluation.binary if r.per == "image" and r.measure == model.name)
        figures.append(
            Figure(
                f"{model.name} on the same images",
                f"{images['within_one']:.1%} within one, {images['exact']:.1%} exact; patches "
                f"{patches['within_one']:.1%} and {patches['exact']:.1%}; F-score {f:.3f}",
                "beside",
                True,
            )
        )
    return figures


def unseen_kind(model: FocusModel, data: Path) -> List[Figure]:
    """A whole set that was left out of training."""
    folder = data / "focus" / "train" / UNSEEN_KIND
    images = [
        SharpImage(str(path), kind=UNSEEN_KIND, field=path.name)
        for path in sorted(folder.glob("*"))
    ]
    found = metrics.summary(predictions_of(model, labelled(images, SetSettings(seed=1))))
    what = f"a kind of image that was not trained on ({len(images)} × 11 synthetic images)"
    return [
        at_least(f"{what}: within one level", found["within_one"], 0.95),
        at_least(f"{what}: exact level", found["exact"], 0.87),
    ]


def left_out_groups(table: Path) -> List[Figure]:
    """What ``microscope-quality unseen`` found."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        Figure(
            f"trained without {row['group']} ({row['images']} images of it): within one level; "
            "F-score, and the best classical measure's",
            f"{float(row['within_one']):.1%}; {float(row['f_model']):.3f}, "
            f"{row['best_classical']} {float(row['f_best_classical']):.3f}",
            "≥ 95 %, and above it",
            float(row["within_one"]) >= 0.95 and row["better_than_all_classical"] == "1",
        )
        for row in rows
    ]


def tilted(model: FocusModel, data: Path) -> List[Figure]:
    """Levels from 0 on the left to 8 on the right of an image."""
    train = data / "focus" / "train"
    kernels = [
        psf(TRAINING_OPTICS, float(TRAINING_OPTICS.defocus_of_level(float(level))))
        for level in range(N_LEVELS)
    ]
    near, sure, mixed, n_images = 0, 0, 0, 0
    for name in held_out(model):
        plane = read(train / name)
        if min(plane.shape) < TILTED_SIDE:
            continue
        light = signal(plane)
        levels = tilted_levels(light.shape, 4.0, 8.0)
        expected = 3000 * (np.maximum(defocus_varying(light, levels, kernels), 0) + 0.03)
        result = measure_focus(Camera().expose(expected, n_images), model)
        size = model.description.patch_size
        centres = levels[0, result.patch_positions[:, 1] + size // 2]
        taken = result.patch_certainties >= model.description.sure_certainty
        found = expected_level(result.patch_probabilities[taken])
        near += int(np.count_nonzero(np.abs(found - centres[taken]) <= 1))
        sure += int(np.count_nonzero(taken))
        mixed += result.status == "mixed"
        n_images += 1
    what = f"levels 0 to 8 across {n_images} held-out images"
    return [
        at_least(
            f"{what}: sure patches ({sure}) within one of the place's level", near / sure, 0.95
        ),
        Figure(f"{what}: status mixed", f"{mixed} of {n_images}", "all", mixed == n_images),
    ]


def empty_fields(model: FocusModel) -> List[Figure]:
    """Fields that show nothing."""
    shape = (1024, 1024)
    statuses = [
        measure_focus(empty_image(shape, np.random.default_rng(seed)), model).status
        for seed in range(EMPTY_FIELDS)
    ]
    empty = statuses.count("no_content")
    return [
        at_least(
            f"{EMPTY_FIELDS} empty fields of any brightness: no_content", empty / EMPTY_FIELDS, 0.99
        )
    ]


def five_nuclei(model: FocusModel) -> List[Figure]:
    """Large fields that show five nuclei."""
    content, fields = 0, 0
    for level in (0, 3, 6, 9):
        kernel = psf(TRAINING_OPTICS, TRAINING_OPTICS.defocus_of_level(level))
        for seed in range(3):
            light = np.maximum(defocus(nuclei((2048, 2048), 5, seed), kernel), 0)
            found = measure_focus(Camera().expose(2000 * (light + 0.03), seed), model)
            content += found.status != "no_content"
            fields += 1
    return [
        Figure(
            f"{fields} fields of 2048×2048 with five nuclei: content",
            f"{content} of {fields}",
            "all",
            content == fields,
        ),
    ]


def at_least(name: str, share: float, bar: float) -> Figure:
    return Figure(name, f"{share:.1%}", f"≥ {100 * bar:g} %", share >= bar)


def real_nuclei(model: FocusModel, data: Path) -> List[Figure]:
    """BBBC006: in focus and extremely defocused."""
    folder = data / "focus" / "eval" / "bbbc006_miq"
    focused = [measure_focus(read(p), model).level for p in sorted(folder.glob("BBBC006*_10.*"))]
    extreme = [measure_focus(read(p), model).level for p in sorted(folder.glob("00_mcf*"))]
    return [
        Figure(
            f"BBBC006 in focus ({len(focused)} images): level at most 1",
            f"{sum(level <= 1 for level in focused)}, highest {max(focused):.0f}",
            "all 9",
            len(focused) == 9 and max(focused) <= 1,
        ),
        Figure(
            f"BBBC006 far out of focus ({len(extreme)} images): level at least 9",
            f"{sum(level >= 9 for level in extreme)}, lowest {min(extreme):.0f}",
            "all 25",
            len(extreme) == 25 and min(extreme) >= 9,
        ),
    ]


def gain_and_offset(model: FocusModel, data: Path) -> List[Figure]:
    """Brightness and contrast must not change the level."""
    worst, n_compared, n_rounded = 0.0, 0, 0
    for folder in ("bbbc006_miq", "urjc_brightfield_zstack"):
        for path in sorted((data / "focus" / "eval" / folder).iterdir()):
            plane = read(path)
            level = measure_focus(plane, model).level
            limit = np.iinfo(plane.dtype).max
            for gain in GAINS:
                for offset in OFFSETS:
                    changed = plane * gain + offset
                    if changed.max() <= limit:
                        changed = np.rint(changed).astype(plane.dtype)
                        n_rounded += 1
                    worst = max(worst, abs(measure_focus(changed, model).level - level))
                    n_compared += 1
    return [
        Figure(
            f"gain ×0.2 … ×5, offset 0 … +1000 on {n_compared} real images "
            f"({n_rounded} rounded to their own type)",
            f"largest change of level {worst:.0f}",
            "≤ 1",
            worst <= 1,
        )
    ]


def measure(
    model: FocusModel, data: Path, beside: Sequence[Path] = (), unseen: Optional[Path] = None
) -> Iterator[Figure]:
    """Measure all figures; ``beside`` are models to compare with, ``unseen`` a table."""
    evaluation = evaluated([model, *beside], data, (300.0, 20_000.0), classical=True)
    yield from synthetic(evaluation)
    yield from side_by_side(evaluation)
    dim = evaluated([model], data, (100.0, 20_000.0), classical=False).models[0]
    found = metrics.summary(dim.images)
    what = "held-out fields from 100 photons on"
    yield at_least(f"{what}: within one level (a goal)", found["within_one"], 0.995)
    yield at_least(f"{what}: exact level (a goal)", found["exact"], 0.95)
    yield from unseen_kind(model, data)
    if unseen is not None:
        yield from left_out_groups(unseen)
    yield from tilted(model, data)
    yield from empty_fields(model)
    yield from five_nuclei(model)
    yield from real_nuclei(model, data)
    yield from gain_and_offset(model, data)
