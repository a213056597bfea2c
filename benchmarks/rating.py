"""How right a rater is: simulated faults on tissue that training never saw, and real images.

``python -m benchmarks.rating --data DIR`` takes a quarter of an hour. DIR holds, in the layout
that ``docs/benchmarks.md`` describes: ``em/train/isbi2012``, of which the sections are read that
were held out of training; ``em/eval/drosophila_vnc``, tissue of another animal and laboratory; and
real images, ``em/eval/deepfocus_sem``, ``em/train/sem_dwell`` and ``em/train/sem_line``, none of
them seen in training. ``--only losses`` and ``--only sample`` need no images.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr

from benchmarks.figure import Figure, print_rows
from microscope_quality import tiles
from microscope_quality.classical import laplacian_variance
from microscope_quality.components import (
    LEAST_BLUR_PX,
    LEAST_ELONGATION,
    Components,
    components_of,
    scores_of,
)
from microscope_quality.rater import RatingModel, RatingResult, rate_image
from microscope_quality.sem_quality import check_qual, spectral_snr
from microscope_quality.training.rating.fit_own import fit_own_score
from microscope_quality.training.rating.instrument import (
    MARGIN_PX,
    Fault,
    degraded,
    drawn_fault,
    labelled,
)
from microscope_quality.training.rating.sets import drawn_patch
from microscope_quality.training.rating.sources import (
    Source,
    drawn_source,
    scaled_square,
)
from microscope_quality.training.rating.tissue import drawn_tissue

Float64Array = NDArray[np.float64]

#: Simulated patches, and whole images, of each tissue.
PATCHES, IMAGES = 2000, 120
#: Side of a whole image.
SIDE = 1024
#: Widths in pixels that faults have, and decimal logarithms of the noise.
BLURS, NOISES = (LEAST_BLUR_PX, 12.0), (-1.5, 0.4)
#: Labels of a lab, and the deviation of its raters' error.
LABELS, REPEAT_ERROR = (50, 300), 0.05
#: The large image of which 27 places are rated.
LARGE, PLACES = 20_000, 27
# Its defocus has so many steps, and each so many squares of so many pixels.
LEVELS, KINDS = 41, 4
SQUARE = 500


def read(folder: Path, chosen: Callable[[str], bool] = lambda name: True) -> List[NDArray[Any]]:
    """Read images of a folder, by their names."""
    paths = [path for path in sorted(folder.glob("*.png")) if chosen(path.stem)]
    if not paths:
        raise SystemExit(f"{folder} has no images; see docs/benchmarks.md for what it should have.")
    found = [np.asarray(Image.open(path)) for path in paths]
    return [one[..., 0] if one.ndim == 3 else one for one in found]


def tissues(model: RatingModel, data: Path) -> Dict[str, Source]:
    held_out = {Path(name).stem for name in model.description.training["images"]["validation"]}
    sections = read(data / "em/train/isbi2012", held_out.__contains__)
    return {
        "held-out sections": Source("isbi", sections),
        "unseen tissue": Source("vnc", read(data / "em/eval/drosophila_vnc")),
    }


class Pairs(NamedTuple):
    """True and rated scores, 0.1 to 1."""

    true: Float64Array
    rated: Float64Array

    @property
    def plcc(self) -> float:
        return float(np.corrcoef(self.true, self.rated)[0, 1])

    @property
    def rmse(self) -> float:
        return float(np.sqrt(np.mean((self.true - self.rated) ** 2)))

    def figures(self, name: str, least: float, most: float) -> Iterator[Figure]:
        yield Figure(f"{name}: PLCC", f"{self.plcc:.4f}", f"≥ {least}", self.plcc >= least)
        yield Figure(f"{name}: RMSE", f"{self.rmse:.3f}", f"≤ {most}", self.rmse <= most)


def patches(model: RatingModel, data: Path) -> Iterator[Figure]:
    side = model.description.patch_size
    for name, source in tissues(model, data).items():
        rng = np.random.default_rng(31)
        drawn = [drawn_patch([source], side, drawn_fault(rng), rng) for _ in range(PATCHES)]
        rated = model.rate(np.stack([one for one, _ in drawn]))
        true = scores_of(np.stack([label for _, label in drawn]))
        least = 0.98 if name == "held-out sections" else 0.975
        title = f"score of single patches of {side} px, {name}, n {PATCHES}"
        yield from Pairs(true, rated.scores).figures(title, least, 0.05)
        inside = np.abs(rated.scores - true) <= rated.score_spreads
        share = float(inside.mean())
        yield Figure(
            f"{title}: errors within one spread", f"{share:.0%}", "60 to 76 %", 0.6 <= share <= 0.76
        )


class Whole(NamedTuple):
    """A degraded image, its true score and components, and its rating."""

    image: NDArray[np.float32]
    score: float
    components: Components
    result: RatingResult


def whole_images(
    model: RatingModel, source: Source, number: int, side: int = SIDE
) -> Iterator[Whole]:
    """Degrade whole images and rate them; their true score is the mean of their patches'."""
    rng = np.random.default_rng(32)
    for _ in range(number):
        tile = source.images[int(rng.integers(len(source.images)))]
        field = scaled_square(tile, side + 2 * MARGIN_PX, 1.0, rng)
        fault = drawn_fault(rng)
        image, ideal = degraded(field, fault, rng)
        result = rate_image(image, model)
        size = result.patch_size_px
        cut = zip(*(tiles.cut(one, result.patch_positions, size) for one in (image, ideal)))
        labels = np.stack([labelled(one, best, fault) for one, best in cut])
        yield Whole(image, float(scores_of(labels).mean()), components_of(labels[0]), result)


def whole(model: RatingModel, data: Path) -> Iterator[Figure]:
    for name, source, least, most in (
        ("unseen tissue", tissues(model, data)["unseen tissue"], 0.99, 0.035),
        ("spheres in another microscope", spheres(data), 0.975, 0.06),
    ):
        side = min(SIDE, *(min(one.shape) for one in source.images))
        found = list(whole_images(model, source, IMAGES, side))
        there = [one for one in found if not np.isnan(one.result.score)]
        title = f"whole images of {side} px, {name}, n {len(there)}"
        pairs = Pairs(*(np.array(one) for one in zip(*((w.score, w.result.score) for w in there))))
        yield from pairs.figures(f"{title}: score", least, most)
        inside = [w.result.score_low <= w.score <= w.result.score_high for w in there]
        yield Figure(
            f"{title}: true score within the 95 % interval", f"{np.mean(inside):.0%}", "", True
        )
        if name == "unseen tissue":
            yield from _components(title, there)
            yield from _classical(title, there)


def spheres(data: Path) -> Source:
    """Images of long dwell times and many averages, brought to the sharpness of the pixel."""
    return Source("spheres", read(data / "em/train/sem_dwell/high"))


def _components(title: str, found: Sequence[Whole]) -> Iterator[Figure]:
    blur = [(w.components.blur_px, w.result.components.blur_px) for w in found]
    close = np.mean([abs(a - b) <= 0.1 * (BLURS[1] - BLURS[0]) for a, b in blur])
    yield Figure(
        f"{title}: blur within a tenth of its range (1.1 px)",
        f"{close:.1%}",
        "≥ 95 %",
        close >= 0.95,
    )
    octaves = np.log2(BLURS[1] / BLURS[0])
    near = np.mean([abs(np.log2(a / b)) <= 0.1 * octaves for a, b in blur])
    yield Figure(
        f"{title}: blur within a tenth of its octaves (a factor of 1.33)",
        f"{near:.1%}",
        "≥ 95 %",
        near >= 0.95,
    )
    noise = [
        abs(np.log10(w.components.noise / w.result.components.noise))
        <= 0.1 * (NOISES[1] - NOISES[0])
        for w in found
    ]
    share = float(np.mean(noise))
    yield Figure(
        f"{title}: noise within a tenth of its decades", f"{share:.1%}", "≥ 95 %", share >= 0.95
    )
    turned = [
        abs((w.components.angle_deg - w.result.components.angle_deg + 90) % 180 - 90)
        for w in found
        if w.components.elongation >= LEAST_ELONGATION
    ]
    right = float(np.mean([angle <= 15 for angle in turned]))
    yield Figure(
        f"{title}: axis within 15° where the widths differ by ≥ {LEAST_ELONGATION} times "
        f"(n {len(turned)})",
        f"{right:.1%} (median {np.median(turned):.1f}°)",
        "≥ 90 %",
        right >= 0.9,
    )


def _classical(title: str, found: Sequence[Whole]) -> Iterator[Figure]:
    true = [w.score for w in found]
    own = float(spearmanr(true, [w.result.score for w in found])[0])
    for name, measure in (
        ("checkQual", lambda image: check_qual(image).quality),
        ("Laplacian variance", laplacian_variance),
        ("spectral SNR", spectral_snr),
    ):
        values = np.array([measure(w.image.astype(np.uint8)) for w in found], float)
        there = np.isfinite(values)
        other = float(spearmanr(np.array(true)[there], values[there])[0])
        yield Figure(
            f"{title}: Spearman with the true score, above {name}",
            f"{own:.3f} against {other:.3f}",
            "by ≥ 0.1",
            own - other >= 0.1,
        )


def real(model: RatingModel, data: Path) -> Iterator[Figure]:
    folder = data / "em/eval/deepfocus_sem"
    series = [
        rate_image(read(folder, lambda name, one=one: name.endswith(one))[0], model)
        for one in ("pert5000", "base", "pert-5000")
    ]
    scores = [one.score for one in series]
    blurs = [one.components.blur_px for one in series]
    elongations = [one.components.elongation for one in series]
    in_order = scores == sorted(scores, reverse=True) and blurs == sorted(blurs)
    yield Figure(
        "real SEM 8.3, 13.3, 18.3 µm from focus: score falls, blur rises",
        "; ".join(f"{s:.2f}, {b:.1f} px" for s, b in zip(scores, blurs)),
        "in that order",
        in_order,
    )
    yield Figure(
        "real SEM series: called astigmatic",
        ", ".join(f"{one:.2f} : 1" for one in elongations),
        f"all three, ≥ {LEAST_ELONGATION}",
        min(elongations) >= LEAST_ELONGATION,
    )
    for name, worse, better in (("sem_dwell", "low", "high"), ("sem_line", "noisy", "clean")):
        pairs = [
            [rate_image(one, model) for one in pair]
            for pair in zip(*(read(data / "em/train" / name / one) for one in (worse, better)))
        ]
        right = sum(a.score < b.score and a.components.noise > b.components.noise for a, b in pairs)
        yield Figure(
            f"real pairs {name}: the better one scores higher, with less noise",
            f"{right} of {len(pairs)}",
            "all",
            right == len(pairs),
        )


def rater_scores(outputs: Float64Array) -> Dict[str, Float64Array]:
    """Give what three simulated raters say of patches whose true outputs are known."""
    rings = scores_of(outputs)
    each = [components_of(one) for one in outputs]
    blur, noise, lines, jitter = (
        np.array([getattr(one, name) for one in each])
        for name in ("blur_px", "noise", "line_noise", "jitter_px")
    )
    octaves = np.log2(blur / LEAST_BLUR_PX)
    said = {
        "hates streaks": rings - 0.45 * np.tanh(lines / 0.3) - 0.2 * np.tanh(jitter),
        "tolerates noise": 1 - 0.25 * octaves - 0.1 * np.log10(np.maximum(noise, 0.05) / 0.05),
        "minds a threshold": 0.1 + 0.9 / (1 + np.exp(-12 * (rings - 0.55))),
    }
    return {name: np.clip(one, 0.1, 1) for name, one in said.items()}


def own(model: RatingModel, data: Path) -> Iterator[Figure]:
    source = tissues(model, data)["unseen tissue"]
    rng = np.random.default_rng(33)
    side = model.description.patch_size
    drawn = [drawn_patch([source], side, drawn_fault(rng), rng) for _ in range(PATCHES)]
    outputs = model.rate(np.stack([one for one, _ in drawn])).outputs
    truth = rater_scores(np.stack([label for _, label in drawn]))
    for name, said in truth.items():
        for labels in LABELS:
            found, told = [], []
            for repeat in range(5):
                order = np.random.default_rng(repeat).permutation(PATCHES)
                seen, rest = order[:labels], order[labels:]
                given = said[seen] + np.random.default_rng(repeat).normal(0, REPEAT_ERROR, labels)
                given = np.clip(np.round(given, 1), 0.1, 1)
                fitted = fit_own_score(
                    [outputs[[k]] for k in seen], given, [str(k) for k in seen], seed=repeat
                )
                found.append(Pairs(said[rest], fitted.score.of(outputs[rest])).plcc)
                told.append(fitted.rmse)
            least = 0.93 if labels == LABELS[0] else 0.95
            yield Figure(
                f"own score of a rater who {name}, from {labels} labelled patches: PLCC",
                f"{np.mean(found):.3f} (5 times; worst {min(found):.3f}; told error "
                f"{np.mean(told):.3f})",
                f"≥ {least}",
                bool(np.mean(found) >= least),
            )


class LargePlane:
    """A plane of 20,000 × 20,000 pixels of one tissue, tilted and bent, made where it is read.

    Beside that, squares of 500 pixels differ by chance: their defocus by a deviation of
    `roughness_px`. The seams of these squares lie no more often within patches that are drawn than
    within those of the whole.
    """

    ndim = 2

    def __init__(self, side: int, seed: int, roughness_px: float) -> None:
        rng = np.random.default_rng(seed)
        self.shape, self.dtype = (side, side), np.dtype(np.uint8)
        tissue = Source("tissue", [drawn_tissue(1600, rng)])
        self._blocks = []
        for level in range(LEVELS):
            for _ in range(KINDS):
                field = scaled_square(tissue.images[0], SQUARE + 2 * MARGIN_PX, 1.0, rng)
                fault = Fault(defocus_px=4.0 * level / (LEVELS - 1), noise=0.2, depth=200)
                self._blocks.append(degraded(field, fault, rng)[0].astype(np.uint8))
        n = -(-side // SQUARE)
        y, x = np.mgrid[:n, :n] / n
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        defocus_px = 2 + 1.6 * ((y - 0.5) * np.sin(angle) + (x - 0.5) * np.cos(angle))
        defocus_px += 0.3 * np.sin(2 * np.pi * (y + 2 * x) + phase)
        defocus_px += roughness_px * rng.normal(size=(n, n))
        level = np.clip(np.round(defocus_px / 4 * (LEVELS - 1)), 0, LEVELS - 1).astype(int)
        self._map = KINDS * level + rng.integers(0, KINDS, (n, n))

    def __getitem__(self, area: Tuple[slice, slice]) -> NDArray[np.uint8]:
        rows, columns = (range(*one.indices(self.shape[0])) for one in area)
        part = np.empty((len(rows), len(columns)), np.uint8)
        for top in range(rows.start // SQUARE * SQUARE, rows.stop, SQUARE):
            for left in range(columns.start // SQUARE * SQUARE, columns.stop, SQUARE):
                block = self._blocks[self._map[top // SQUARE, left // SQUARE]]
                y0, y1 = max(top, rows.start), min(top + SQUARE, rows.stop)
                x0, x1 = max(left, columns.start), min(left + SQUARE, columns.stop)
                part[y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start] = (
                    block[y0 - top : y1 - top, x0 - left : x1 - left]
                )
        return part


def sample(model: RatingModel, data: Path | None) -> Iterator[Figure]:
    durations = []
    for roughness_px, words in ((0.1, "tilted and bent"), (0.5, "the same, and rough")):
        plane = LargePlane(LARGE, 5, roughness_px)
        every = rate_image(plane, model)
        differences, inside = [], []
        for seed in range(100):
            start = time.perf_counter()
            some = rate_image(plane, model, patches=PLACES, seed=seed)
            durations.append(time.perf_counter() - start)
            differences.append(some.score - every.score)
            inside.append(some.score_low <= every.score <= some.score_high)
        within = float(np.quantile(np.abs(differences), 0.95))
        yield Figure(
            f"{PLACES} places against all of {LARGE}² pixels, {words}: 95 % of 100 differences",
            f"≤ {within:.4f} (patches differ by {np.nanstd(every.patch_scores):.3f}; "
            f"within the interval told: {np.mean(inside):.0%})",
            "≤ 0.016",
            within <= 0.016,
        )
    took = float(np.median(durations))
    yield Figure(f"time of these {PLACES} places", f"{took:.2f} s", "< 2 s", took < 2)


def losses(model: RatingModel, data: Path | None) -> Iterator[Figure]:
    """What each fault alone costs of the score: the table in `components`."""
    source = drawn_source(12, 1)
    rng = np.random.default_rng(0)
    for name, values in (
        ("defocus_px", (0.5, 1, 2, 4, 8)),
        ("noise", (0.1, 0.2, 0.4, 0.8, 1.6)),
        ("line_noise", (0.1, 0.3, 1)),
        ("jitter_px", (0.3, 1, 3)),
    ):
        lost = []
        for value in values:
            fault = Fault(**{name: value, "disc": 0.5, "streaks": 5})
            scores = [scores_of(drawn_patch([source], 256, fault, rng)[1]) for _ in range(24)]
            lost.append(1 - float(np.mean(scores)))
        told = ", ".join(f"{value:g}: {one:.2f}" for value, one in zip(values, lost))
        yield Figure(f"score lost to {name} alone, drawn tissue", told, "", True)


PARTS: Dict[str, Callable[[RatingModel, Any], Iterator[Figure]]] = {
    "patches": patches,
    "whole": whole,
    "real": real,
    "own": own,
    "sample": sample,
    "losses": losses,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rating", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with electron micrographs")
    parser.add_argument("--model", help="name or folder of a rater; else the default one")
    parser.add_argument("--only", choices=PARTS, action="append", help="what to measure; else all")
    options = parser.parse_args()
    wanted = options.only or list(PARTS)
    if options.data is None and set(wanted) - {"sample", "losses"}:
        parser.error("all but sample and losses need --data")
    model = RatingModel.from_pretrained(options.model)
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    met = [print_rows(PARTS[one](model, options.data)) for one in wanted]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
