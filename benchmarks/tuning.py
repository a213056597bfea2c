"""How near a search comes to the best settings of a simulated STED microscope, in 30 images.

``python -m benchmarks.tuning`` takes some minutes. The microscope is that of
:mod:`microscope_quality.rating.sted`, each image is of another field of fibres, and the score is
the spectral concordance with what an ideal microscope would see. What counts is the *true* score of
the settings that a search recommends: the mean over many fields, over that of the best settings
that are known, of a grid refined from its best points and of all that was recommended.

``--scatter 0.03`` adds as much chance to each score as a person's has. ``--pysted DIR`` takes the
images with another simulator, pysted, of emitter maps in ``DIR/sted/pysted_datamaps``; it takes
half an hour of computing. pysted is in no extra of this library: as of 0.0.4 it installs packages
called ``docs`` and ``examples`` into everyone's reach, so give it an environment of its own.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
import scipy.optimize

from benchmarks.figure import Figure, print_rows
from microscope_quality.concordance import score_of, spectral_concordance
from microscope_quality.rating.sted import fibres, ideal, scan
from microscope_quality.rating.tune import Range, tune
from microscope_quality.rating.tune_samplers import SAMPLERS
from microscope_quality.rating.tune_space import at_point

IMAGES, SEEDS, BAR = 30, 20, 0.95
SIDE = 96
Settings = Dict[str, Any]
#: Gives an image with settings of a field by its number, and what it is compared with.
Take = Callable[[Settings, int], Tuple[Any, Any, float]]


class Microscope(NamedTuple):
    """A simulated microscope, what it can be set to, and how exactly its truth is found."""

    name: str
    take: Take
    space: Dict[str, Range]
    fields: int
    steps: Tuple[int, ...]
    fields_of_a_step: int


def own() -> Microscope:
    @functools.lru_cache(maxsize=100)
    def specimen(field: int) -> Tuple[Any, Any]:
        molecules = fibres((SIDE, SIDE), field)
        return molecules, ideal(molecules)

    def take(settings: Settings, field: int) -> Tuple[Any, Any, float]:
        molecules, wanted = specimen(field)
        return scan(molecules, **settings, seed=field).counts, wanted, 1.0

    return Microscope(
        "simulated STED microscope",
        take,
        {
            "excitation_uw": Range(1, 100, log=True),
            "depletion_mw": Range(1, 400, log=True),
            "dwell_us": Range(2, 100, log=True),
        },
        64,
        (13, 13, 9),
        4,
    )


def of_pysted(data: Path) -> Microscope:
    """Give pysted's microscope; its score counts what bleaching leaves, as a lab might."""
    import scipy.ndimage
    import tifffile
    from pysted import base

    pixel_m, side = 20e-9, 48
    dye = base.Fluorescence(
        535e-9,
        qy=0.6,
        sigma_abs={488: 3e-20, 575: 1e-24},
        sigma_ste={575: 5e-21},
        tau=3e-9,
        tau_vib=1e-12,
        tau_tri=5e-6,
        k0=0,
        k1=2e-12,
        b=1.4,
    )
    microscope = base.Microscope(
        base.GaussianBeam(488e-9),
        base.DonutBeam(575e-9, zero_residual=0.01),
        base.Detector(noise=True, background=1e3),
        base.Objective(),
        dye,
    )
    maps = [
        np.asarray(tifffile.imread(path), dtype=float)
        for path in sorted((data / "sted" / "pysted_datamaps").glob("factin*.tif"))
    ]

    def emitters(field: int) -> Any:
        rng = np.random.default_rng(field)
        for _ in range(1000):
            one = maps[int(rng.integers(len(maps)))]
            y, x = (int(rng.integers(length - side + 1)) for length in one.shape)
            part = one[y : y + side, x : x + side]
            if (part > 0.1 * one.max()).mean() > 0.25:
                break
        return np.round(30 * part / one.max())

    def take(settings: Settings, field: int) -> Tuple[Any, Any, float]:
        molecules = emitters(field)
        np.random.seed(field)  # noqa: NPY002 - it draws from the global numbers
        datamap = base.Datamap(molecules.copy(), pixel_m)
        psf = microscope.cache(pixel_m)[0]
        datamap.set_roi(psf, "max")
        signal, left, _ = microscope.get_signal_and_bleach(
            datamap,
            pixel_m,
            settings["dwell_us"] * 1e-6,
            settings["excitation_uw"] * 1e-6,
            settings["depletion_mw"] * 1e-3,
            bleach=True,
            update=True,
            seed=field,
        )
        found = np.asarray(left["base"])
        survived = (found[-1] if found.ndim == 3 else found).sum() / molecules.sum()
        wanted = scipy.ndimage.gaussian_filter(molecules, 0.04 / 0.02 / 2.355)
        return np.asarray(signal, dtype=float), wanted, 0.5 + 0.5 * float(survived)

    return Microscope(
        "pysted, actin",
        take,
        {
            "excitation_uw": Range(0.5, 50, log=True),
            "depletion_mw": Range(1, 300, log=True),
            "dwell_us": Range(3, 100, log=True),
        },
        8,
        (6, 8, 5),
        1,
    )


def true_score(microscope: Microscope, settings: Settings, fields: int) -> float:
    """Give the mean score of settings over fields that no search has seen."""
    found = []
    for field in range(fields):
        image, wanted, left = microscope.take(settings, 10**6 + field)
        found.append(score_of(spectral_concordance(image, wanted)) * left)
    return statistics.mean(found)


def best_known(microscope: Microscope) -> Tuple[float, float, float]:
    """Give the best true score; the median over the space, and its share that reaches the bar."""
    space: Any = microscope.space
    places = [np.linspace(0, 1, number) for number in microscope.steps]
    points = np.stack(np.meshgrid(*places, indexing="ij"), axis=-1).reshape(-1, len(places))
    scores = np.array(
        [
            true_score(microscope, at_point(space, point), microscope.fields_of_a_step)
            for point in points
        ]
    )
    best = -1.0
    for start in points[np.argsort(-scores)[:3]]:
        refined = scipy.optimize.minimize(
            lambda point: (
                -true_score(
                    microscope,
                    at_point(space, np.clip(point, 0, 1)),
                    4 * microscope.fields_of_a_step,
                )
            ),
            start,
            method="Nelder-Mead",
            options={
                "maxfev": 40,
                "initial_simplex": np.clip(
                    np.vstack([start, start + 0.06 * np.eye(len(start))]), 0, 1
                ),
            },
        ).x
        settings = at_point(space, np.clip(refined, 0, 1))
        best = max(best, true_score(microscope, settings, microscope.fields))
    return best, float(np.median(scores)), float(np.mean(scores >= BAR * best))


def recommended(
    microscope: Microscope, sampler: str, seed: int, scatter: float, images: int
) -> Settings:
    """Search once, and give what is recommended."""
    rng = np.random.default_rng([seed, 7])
    number = 0
    wanted: List[Any] = []

    def acquire(settings: Settings) -> Any:
        nonlocal number
        number += 1
        image, ideal_one, left = microscope.take(settings, 1000 * (seed + 1) + number)
        wanted[:] = [ideal_one, left]
        return image

    def score(image: Any) -> float:
        clean = score_of(spectral_concordance(image, wanted[0])) * wanted[1]
        return clean + float(rng.normal(0, scatter))

    result = tune(acquire, score, microscope.space, images=images, sampler=sampler, seed=seed)
    assert result.best is not None
    return dict(result.best.parameters)


def measure(
    microscope: Microscope, samplers: Sequence[str], scatter: float, images: int, seeds: int
) -> Iterator[Figure]:
    best, middle, share = best_known(microscope)
    found = {
        sampler: [
            true_score(
                microscope,
                recommended(microscope, sampler, seed, scatter, images),
                microscope.fields,
            )
            for seed in range(seeds)
        ]
        for sampler in samplers
    }
    best = max([best, *(one for scores in found.values() for one in scores)])
    about = f"{microscope.name}, {images} images" + (
        f", scores scatter by {scatter:g}" if scatter else ""
    )
    yield Figure(
        f"{microscope.name}: true score of the best settings known, and the median of the space",
        f"{best:.3f}, {middle:.3f}; {share:.1%} of the space reaches {BAR:.0%} of it",
        "–",
        True,
    )
    for sampler, scores in found.items():
        shares = [one / best for one in scores]
        reached = sum(one >= BAR for one in shares)
        needed = sampler == "tpe" and not scatter
        yield Figure(
            f"{about}, {sampler}: true score of what is recommended, over the best",
            f"{statistics.mean(shares):.3f} (lowest {min(shares):.3f}); "
            f"{reached} of {seeds} seeds reach {BAR:.0%}",
            f"{seeds} of {seeds}" if needed else "–",
            reached == seeds or not needed,
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning", description=__doc__)
    parser.add_argument("--scatter", type=float, default=0.0, help="of a score, beside its own")
    parser.add_argument("--pysted", type=Path, metavar="DIR", help="folder with real images")
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=SAMPLERS)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    if options.pysted is not None:
        # It is of its own, and of older libraries.
        warnings.simplefilter("ignore")
    microscope = own() if options.pysted is None else of_pysted(options.pysted)
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |", flush=True)
    figures = measure(microscope, options.samplers, options.scatter, options.images, options.seeds)
    return 0 if print_rows(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
