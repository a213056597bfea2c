"""What a level is worth on other objectives, specimens and fields than a model learned from.

``python -m benchmarks.belief --model NAME`` simulates, and measures each image by every model that
is given: the first is held to the bars, the others stand beside it. ``--data DIR`` adds the
brightfield stack in ``focus/eval/urjc_brightfield_zstack``. ``--only`` picks parts, and can be
given again. It takes about two minutes, and half a minute more for each other model, on one core.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from benchmarks.figure import Figure, print_rows
from benchmarks.models import argument_parser, beside, loaded, read
from benchmarks.structured_empties import KINDS as EMPTY_KINDS
from benchmarks.structured_empties import empty_field
from benchmarks.transmitted_light import MODALITIES, NA, PIXEL_UM, WAVELENGTH_UM, stacks
from docs.make_meaning.drawing import grey
from docs.make_meaning.microscopes import OBJECTIVES
from docs.make_meaning.specimens import KINDS, SHAPE, blurred, puncta, specimen, taken
from microscope_quality import FocusModel, FocusResult, measure_focus
from microscope_quality.degrade import Camera, defocus
from microscope_quality.optics import TRAINING_OPTICS, Optics
from microscope_quality.psf import psf
from microscope_quality.simulate import nuclei
from microscope_quality.stacks import best_plane

Models = Sequence[Tuple[str, FocusModel]]
Plane = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
# One figure in words, and whether it clears its bar.
Told = Tuple[str, bool]

FIELDS = 2


def measured(models: Models, images: Iterable[Plane], **settings: Any) -> List[List[FocusResult]]:
    """Measure images by all models; a list for each model."""
    found: List[List[FocusResult]] = [[] for _ in models]
    for plane in images:
        for results, (_, model) in zip(found, models):
            results.append(measure_focus(plane, model, **settings))
    return found


def figure(models: Models, name: str, bar: str, told: Iterable[Told]) -> Figure:
    """Put the models' values side by side; the first model is held to the bar."""
    values = list(told)
    texts = [(model, text) for (model, _), (text, _) in zip(models, values)]
    return beside(name, texts, bar, values[0][1])


def readings(results: Sequence[FocusResult]) -> FloatArray:
    """Give the number that a user sees of each plane; NaN of what is said to have no content."""
    numbers = [result.judged_level for result in results]
    return np.array([np.nan if number is None else number for number in numbers])


def share_in_focus(results: Sequence[FocusResult]) -> float:
    return float(np.mean([result.status == "in_focus" for result in results]))


# Levels in the model's own pixels.
UM_LEVELS = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0)


def finer(optics: Optics) -> float:
    """Give how many times more finely optics sample than the model's, for their resolution."""
    own, learned = (o.pixel_size_um * o.na / o.wavelength_um for o in (optics, TRAINING_OPTICS))
    return learned / own


def micrometres(models: Models) -> Iterator[Figure]:
    """Measure the distance from focus through five objectives, of three specimens."""
    for name, of in OBJECTIVES.items():
        times = finer(of)
        side = round(252 * times)
        true_um = np.asarray(of.defocus_of_level(np.array(UM_LEVELS) * times))
        images = (
            taken(
                blurred(specimen(kind, s, 1.3, times, 1, (side, side)), level * times, of), 10 * s
            )
            for kind in KINDS
            for s in range(FIELDS)
            for level in UM_LEVELS
        )
        told = []
        for results in measured(models, images, optics=of):
            um = np.array([result.defocus_um for result in results])
            ratio = um.reshape(len(KINDS), FIELDS, len(true_um)) / true_um
            mean = float(np.nanmean(ratio))
            of_kinds = ", ".join(f"{k} {np.nanmean(r):.2f}" for k, r in zip(KINDS, ratio))
            of_levels = np.nanmean(ratio, axis=(0, 1))
            lost = int(np.isnan(um).sum())
            without = f"; {lost} of {um.size} without a level" * (lost > 0)
            told.append(
                (
                    f"{mean:.2f} ({of_kinds}; levels {of_levels.min():.2f} to "
                    f"{of_levels.max():.2f}{without})",
                    bool(0.9 <= mean <= 1.1),
                )
            )
        yield figure(models, f"µm over the truth, {name}, levels 3 to 8", "0.9 to 1.1", told)


POINT_COUNTS = (1, 2, 6, 12, 24)
POINT_LEVELS = tuple(float(level) for level in range(3, 15))
# Photoelectrons of the brightest pixel, and whether that is in focus, or as the camera sees it.
POINT_EXPOSURES = {
    "200 in focus": (200.0, True),
    "2,000": (2000.0, True),
    "20,000": (20_000.0, True),
    "1,000 as blurred": (1000.0, False),
}


def points(count: int, seed: int) -> FloatArray:
    """Simulate points, so many in the area of a patch.

    Those of odd seeds are as small as optics make them, the others somewhat wider.
    """
    patches = SHAPE[0] * SHAPE[1] / 84**2
    light = puncta(SHAPE, round(count * patches), 7000 + 10 * count + seed)
    return light if seed % 2 else scipy.ndimage.gaussian_filter(light, 1.3, mode="mirror")


def sparse_points(models: Models) -> Iterator[Figure]:
    """Measure points far from focus, whose rings have edges of their own."""
    kernels = {level: psf(TRAINING_OPTICS, _um(level)) for level in (0.0, *POINT_LEVELS)}
    cases = list(itertools.product(POINT_COUNTS, range(FIELDS)))

    def images(levels: Sequence[float]) -> Iterator[Plane]:
        for count, seed in cases:
            light = points(count, seed)
            peak = float(defocus(light, kernels[0.0]).max())
            for level in levels:
                image = np.maximum(defocus(light, kernels[level]), 0)
                for photons, of_focus in POINT_EXPOSURES.values():
                    yield taken(image / (peak if of_focus else image.max()), seed, photons)

    focused = measured(models, images([0.0]))
    told = []
    for results, sharp in zip(measured(models, images(POINT_LEVELS)), focused):
        called = np.array([result.status == "in_focus" for result in results])
        by = called.reshape(len(POINT_COUNTS), FIELDS, len(POINT_LEVELS), len(POINT_EXPOSURES))
        counts = ", ".join(f"{c}: {m:.0%}" for c, m in zip(POINT_COUNTS, by.mean((1, 2, 3))))
        photons = ", ".join(f"{p}: {m:.0%}" for p, m in zip(POINT_EXPOSURES, by.mean((0, 1, 2))))
        empty = np.mean([result.status == "no_content" for result in results])
        told.append(
            (
                f"{called.mean():.1%} (points in a patch {counts}; photons {photons}; no_content "
                f"{empty:.0%}; at level 0 in focus {share_in_focus(sharp):.0%})",
                bool(called.mean() <= 0.03),
            )
        )
    n_images = len(cases) * len(POINT_LEVELS) * len(POINT_EXPOSURES)
    yield figure(
        models, f"sparse points at levels 3 to 14 ({n_images} images): in focus", "≤ 3 %", told
    )


def _um(level: float) -> float:
    return float(TRAINING_OPTICS.defocus_of_level(level))


BEYOND_LEVELS = (12.0, 13.0, 14.0, 15.0, 16.0)
BEYOND_PHOTONS = (100.0, 1000.0, 10_000.0)


def beyond(models: Models) -> Iterator[Figure]:
    """Measure specimens beyond the last level."""
    images = (
        taken(blurred(specimen(kind, 40 + s), level), s, photons)
        for kind in KINDS
        for s in range(FIELDS)
        for level in BEYOND_LEVELS
        for photons in BEYOND_PHOTONS
    )
    told = []
    for results in measured(models, images):
        found = readings(results).reshape(len(KINDS), -1)
        kinds = ", ".join(
            f"{kind} {np.nanmin(values) if np.isfinite(values).any() else np.nan:.1f}"
            for kind, values in zip(KINDS, found)
        )
        lowest = float(np.nanmin(found))
        lost = int(np.isnan(found).sum())
        told.append((f"{lowest:.1f} ({kinds}; {lost} of {found.size} no_content)", lowest >= 8))
    yield figure(models, "levels 12 to 16: lowest reading", "≥ 8", told)


EMPTY_COUNT = 100
EMPTY_SHAPE = (420, 420)


def structured_empties(models: Models) -> Iterator[Figure]:
    """Measure empty fields with structure, and large fields with five nuclei."""
    for kind in EMPTY_KINDS:
        told = []
        fields = (empty_field(kind, number, EMPTY_SHAPE) for number in range(EMPTY_COUNT))
        for results in measured(models, fields):
            statuses = [result.status for result in results]
            share = statuses.count("no_content") / EMPTY_COUNT
            others = ", ".join(
                f"{status} {statuses.count(status)}"
                for status in ("in_focus", "out_of_focus", "mixed")
                if status in statuses
            )
            told.append((f"{share:.0%}{f' ({others})' * bool(others)}", share >= 0.98))
        yield figure(models, f"{EMPTY_COUNT} empty fields with {kind}: no_content", "≥ 98 %", told)
    told = []
    for results in measured(models, five_nuclei()):
        found = sum(result.status != "no_content" for result in results)
        told.append((f"{found} of {len(results)}", found == len(results)))
    yield figure(models, "fields of 2048×2048 with five nuclei: content", "all", told)


def five_nuclei() -> Iterator[Plane]:
    """Make large fields that are empty but for five nuclei."""
    for seed in range(2):
        light = nuclei((2048, 2048), 5, seed)
        for level in (0.0, 3.0, 6.0, 9.0):
            image = np.maximum(defocus(light, psf(TRAINING_OPTICS, _um(level))), 0)
            yield Camera().expose(2000 * (image + 0.03), seed)


# Of the planes of the stack; it is S1_11.
SHARPEST = 10


def brightfield_stack(models: Models, data: Path) -> Iterator[Figure]:
    """Measure all planes of a real stack."""
    files = sorted((data / "focus" / "eval" / "urjc_brightfield_zstack").iterdir())
    ranks, bests = [], []
    for results in measured(models, (read(path) for path in files)):
        levels = np.array([result.expected_level for result in results])
        sides = []
        for part in (slice(SHARPEST, None, -1), slice(SHARPEST, None)):
            known = levels[part][np.isfinite(levels[part])]
            sides.append(float(spearmanr(np.arange(len(known)), known).statistic))
        told = ", ".join(f"{level:.1f}" for level in levels)
        lost = [result.status for result in results].count("no_content")
        ranks.append(
            (
                f"{sides[0]:.3f} and {sides[1]:.3f} (levels {told}; {lost} no_content)",
                min(sides) >= 0.97 and bool(np.isfinite(levels).all()),
            )
        )
        stack = best_plane(results)
        best = -9 if stack.best_plane is None else stack.best_plane
        bests.append((f"{files[best].stem}, {stack.status}", abs(best - SHARPEST) <= 1))
    yield figure(
        models,
        "brightfield stack: Spearman with distance, all planes below and above",
        "≥ 0.97",
        ranks,
    )
    yield figure(models, "brightfield stack: best plane", "S1_11 ± 1", bests)


TRANSMITTED_STACKS = 20


def transmitted_stacks(models: Models) -> Iterator[Figure]:
    """Find the best planes of phase contrast and DIC stacks."""
    optics = Optics(NA, 1.0, WAVELENGTH_UM, PIXEL_UM)
    for modality in MODALITIES:
        near = [0 for _ in models]
        focused = [0 for _ in models]
        ranks: List[List[float]] = [[] for _ in models]
        for stack in stacks(modality, TRANSMITTED_STACKS):
            distance = np.abs(np.arange(len(stack.planes)) - stack.in_focus)
            for number, results in enumerate(measured(models, stack.planes, optics=optics)):
                found = best_plane(results)
                near[number] += (
                    found.best_plane is not None and abs(found.best_plane - stack.in_focus) <= 1
                )
                focused[number] += found.status == "in_focus"
                levels = np.array([result.expected_level for result in results])
                ranks[number].append(float(spearmanr(distance, levels, nan_policy="omit")[0]))
        told = [
            (
                f"{of} of {TRANSMITTED_STACKS} (of which in focus {sharp}; Spearman of the level "
                f"{np.nanmean(rank):.2f})",
                of >= 0.95 * TRANSMITTED_STACKS,
            )
            for of, sharp, rank in zip(near, focused, ranks)
        ]
        yield figure(models, f"simulated {modality} stacks: best plane ± 1", "≥ 95 %", told)


SOFTNESSES_PX = (0.0, 1.3, 2.0, 3.0)


def softness(models: Models) -> Iterator[Figure]:
    """Measure nuclei at level 3 whose own details are sharper and softer than usual.

    Details with a deviation of 1.3 px are about 3 px wide.
    """
    fields = range(2 * FIELDS)
    images = (
        taken(blurred(specimen("nuclei", s, soft), 3), s) for soft in SOFTNESSES_PX for s in fields
    )
    told = []
    for results in measured(models, images):
        means = np.nanmean(readings(results).reshape(len(SOFTNESSES_PX), -1), axis=1)
        met = all(2.5 <= mean <= 3.5 for mean in means[:2])
        told.append((", ".join(f"{mean:.2f}" for mean in means), met))
    yield figure(
        models,
        "nuclei at level 3, with details of deviation 0, 1.3, 2, 3 px: reading",
        "2.5 to 3.5 for 0 and 1.3",
        told,
    )


VESICLE_LEVELS = tuple(float(level) for level in range(2, 11))


def vesicles(models: Models) -> Iterator[Figure]:
    """Measure many small points at whole levels."""
    images = (
        taken(blurred(specimen("puncta", s), level), s, photons)
        for s in range(2 * FIELDS)
        for photons in BEYOND_PHOTONS
        for level in VESICLE_LEVELS
    )
    told = []
    for results in measured(models, images):
        levels = np.array([result.level for result in results]).reshape(-1, len(VESICLE_LEVELS))
        error = levels - VESICLE_LEVELS
        within, exact = float(np.mean(np.abs(error) <= 1)), float(np.mean(error == 0))
        by_level = ", ".join(f"{mean:.1f}" for mean in np.nanmean(levels, axis=0))
        told.append(
            (
                f"{within:.1%} and {exact:.1%} (levels read {by_level})",
                within >= 0.97 and exact >= 0.7,
            )
        )
    yield figure(models, "vesicles at levels 2 to 10: within one, exact", "≥ 97 % and ≥ 70 %", told)


EXPOSURES: Dict[str, Callable[[Plane], Plane]] = {
    "gain 0.2": lambda p: np.rint(p * 0.2).astype(np.uint16),
    "gain 5": lambda p: np.minimum(p * 5.0, 65535).astype(np.uint16),
    "offset 1,000": lambda p: (p + 1000).astype(np.uint16),
    "8 bit": lambda p: grey(p, float(p.min()), float(p.max())),
    "5 bit": lambda p: grey(p, float(p.min()), float(p.max())) >> 3,
    "floats": lambda p: p / 65535.0,
    "inverted": lambda p: p.max() - p,
}


def exposure(models: Models) -> Iterator[Figure]:
    """Change gain, offset, bits and sign, which must not change the level."""
    planes = [
        taken(blurred(specimen(kind, s), level), s)
        for kind in ("nuclei", "filaments")
        for s in range(FIELDS)
        for level in (0.0, 1.0, 3.0, 6.0, 9.0)
    ]
    before = measured(models, planes)
    worst: List[Dict[str, float]] = [{} for _ in models]
    for name, change in EXPOSURES.items():
        for shifts, was, now in zip(worst, before, measured(models, map(change, planes))):
            shift = [abs(a.expected_level - b.expected_level) for a, b in zip(was, now)]
            shifts[name] = float(np.max(shift))
    told = [
        (
            f"{max(shifts.values()):.2f} ("
            + ", ".join(f"{name} {shift:.2f}" for name, shift in shifts.items())
            + ")",
            max(shifts.values()) <= 0.4,
        )
        for shifts in worst
    ]
    yield figure(models, "gain, offset, bits, inversion: largest shift", "≤ 0.4", told)


def duration(models: Models) -> Iterator[Figure]:
    """Time a large image by each model in turn, against the last one given."""
    if len(models) < 2:
        return
    plane = taken(nuclei((2048, 2048), 60, 1), 1)
    taken_s: List[List[float]] = [[] for _ in models]
    with threadpool_limits(1):
        for turn in range(8):
            for (_, model), times in zip(models, taken_s):
                start = time.perf_counter()
                measure_focus(plane, model)
                if turn:
                    times.append(time.perf_counter() - start)
    told = []
    for times in taken_s:
        ratio = statistics.median(a / b for a, b in zip(times, taken_s[-1]))
        told.append((f"{1000 * statistics.median(times):.0f} ms, {ratio:.2f} times", ratio <= 1.3))
    yield figure(
        models, "2048×2048 in process, one thread, against the last model", "≤ 1.3 times", told
    )


def parts(models: Models, data: Path | None) -> Dict[str, Callable[[], Iterator[Figure]]]:
    """Give what can be measured, by name."""
    found: Dict[str, Callable[[], Iterator[Figure]]] = {
        part.__name__: partial(part, models)
        for part in (
            micrometres,
            sparse_points,
            beyond,
            structured_empties,
            transmitted_stacks,
            softness,
            vesicles,
            exposure,
            duration,
        )
    }
    if data is not None:
        found["brightfield_stack"] = partial(brightfield_stack, models, data)
    return found


def measure(models: Models, data: Path | None = None) -> Iterator[Figure]:
    """Measure all parts."""
    for part in parts(models, data).values():
        yield from part()


def main() -> int:
    parser = argument_parser("belief", __doc__)
    parser.add_argument("--only", action="append", help="part to measure; repeatable")
    options = parser.parse_args()
    chosen = parts(loaded(options.model), options.data)
    unknown = set(options.only or ()) - set(chosen)
    if unknown:
        parser.error(f"--only must be one of {', '.join(chosen)}, not {', '.join(sorted(unknown))}")
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    with threadpool_limits(1):
        all_met = [
            print_rows(part())
            for name, part in chosen.items()
            if not options.only or name in options.only
        ]
    return 0 if all(all_met) else 1


if __name__ == "__main__":
    sys.exit(main())
