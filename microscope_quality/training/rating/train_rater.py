"""From sharp images to a rater's folder: degrade, describe, fit, calibrate, write."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microscope_quality import tiles
from microscope_quality.components import OUTPUTS, SCORE, scores_of
from microscope_quality.descriptors import descriptors
from microscope_quality.errors import SettingsError
from microscope_quality.files.images import planes
from microscope_quality.model import ModelDescription, write_model
from microscope_quality.network import Network
from microscope_quality.normalisation import zscore
from microscope_quality.rater import RATING, RatingTask
from microscope_quality.training.defocus.sources import find_sharp_images
from microscope_quality.training.defocus.stream import SharpImage
from microscope_quality.training.fields import GroupBy, split_by_field
from microscope_quality.training.parts import in_parts
from microscope_quality.training.rating.card import kinds_of, write_card
from microscope_quality.training.rating.fit_rater import (
    FittedRater,
    fit_rater,
    shared_errors,
    spread_factors,
)
from microscope_quality.training.rating.instrument import (
    MARGIN_PX,
    degraded,
    drawn_fault,
    labelled,
)
from microscope_quality.training.rating.sets import RatingSet, drawn_set
from microscope_quality.training.rating.sources import Source, drawn_source, sharp_field
from microscope_quality.training.state import Arrays

Float64Array = NDArray[np.float64]
Report = Callable[[dict[str, Any]], None]

PATCH_SIZE = 256
#: Patches that are made at a time, and kept.
BLOCK = 500
#: Sharp images that are scaled down by so much at the least where they are soft or noisy.
COARSE_SCALE = 1.7
# Fields of tissue that are drawn for each block.
_DRAWN = 12
# Whole images on which the spread of a mean is calibrated, of 2 x 2 patches; a part has so many.
_IMAGES, _IMAGES_A_PART = 60, 10


@dataclass(frozen=True)
class RaterSettings:
    """What the training of a rater needs beside its images.

    Attributes
    ----------
    patches : int
        To learn from.
    drawn_share : float
        Share of them that are of drawn tissue (`tissue.drawn_tissue`), 0 to 1.
    coarse : tuple of Path
        Sharp images that are a little soft or noisy; they are scaled down.
    coarse_share : float
        Share of the patches that are of these.
    group_by : str, optional
        What is never on both sides of the split: see `fields.GroupBy.parse`.
    validation_fraction : float
        Share of the fields that is held out.
    epochs : int
        Passes through the patches.
    seed : int
        Of all that is random.
    workers : int
        Processes that make patches; 0: none of their own.
    """

    patches: int = 30_000
    drawn_share: float = 0.35
    coarse: tuple[Path, ...] = ()
    coarse_share: float = 0.15
    group_by: str | None = None
    validation_fraction: float = 0.2
    epochs: int = 60
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if self.patches < 2 * BLOCK:
            raise SettingsError(f"patches must be {2 * BLOCK} at least; they are {self.patches}.")
        shares = self.drawn_share + (self.coarse_share if self.coarse else 0)
        if min(self.drawn_share, self.coarse_share) < 0 or shares >= 1:
            raise SettingsError(
                "drawn_share and coarse_share must be 0 at least, and leave something to the "
                f"sharp images; they are {self.drawn_share:g} and {self.coarse_share:g}."
            )
        if self.epochs < 1:
            raise SettingsError(f"epochs must be 1 at least; they are {self.epochs}.")


@dataclass(frozen=True)
class _Part:
    """Patches to make: of the images to learn from, or of those held out; or whole images."""

    kind: str
    number: int
    seed: int


@dataclass(frozen=True)
class _Maker:
    """Makes parts; in another process it reads the images once."""

    sharp: tuple[SharpImage, ...]
    coarse: tuple[SharpImage, ...]
    held_out: tuple[SharpImage, ...]
    settings: RaterSettings

    def __call__(self, part: _Part) -> Arrays:
        rng_seed = [self.settings.seed, part.seed]
        if part.kind == "images":
            return _whole_images(_sources(self.held_out), part.number, rng_seed)
        if part.kind == "validation":
            found = drawn_set([_sources(self.held_out)], part.number, rng_seed)
        else:
            settings = self.settings
            coarse = settings.coarse_share if self.coarse else 0.0
            sharp = _sources(self.sharp, share=1 - settings.drawn_share - coarse)
            sources = [sharp]
            if coarse:
                sources.append(_sources(self.coarse, coarse, COARSE_SCALE))
            if settings.drawn_share:
                seed = part.seed + 10_000_019 * settings.seed
                sources.append(drawn_source(_DRAWN, seed, settings.drawn_share))
            found = drawn_set(sources, part.number, rng_seed)
        return found._asdict()


@functools.lru_cache(maxsize=4)
def _sources(
    images: tuple[SharpImage, ...], share: float = 1.0, least_scale: float = 1.0
) -> Source:
    """Read sharp images, once in a process."""
    arrays = []
    for image in images:
        plane = next(p for k, p in enumerate(planes(Path(image.path))) if k == image.plane)
        arrays.append(np.asarray(plane.array))
    return Source("sharp images", arrays, share, least_scale)


def _whole_images(source: Source, number: int, seed: Sequence[int]) -> Arrays:
    """Degrade images of 2 x 2 patches; descriptors and outputs, (images, 4, …) each."""
    rng = np.random.default_rng(seed)
    side = 2 * PATCH_SIZE
    places = tiles.positions(side, side, PATCH_SIZE)
    seen, wanted = [], []
    for _ in range(number):
        fault = drawn_fault(rng)
        image, ideal = degraded(sharp_field([source], side + 2 * MARGIN_PX, rng), fault, rng)
        cut = [tiles.cut(one, places, PATCH_SIZE) for one in (image, ideal)]
        normalised, counts = zscore(cut[0])
        if not counts.all():
            continue
        seen.append(descriptors(normalised))
        wanted.append([labelled(one, best, fault) for one, best in zip(*cut)])
    return {"descriptors": np.array(seen), "outputs": np.array(wanted)}


def train_rater(
    paths: Sequence[Path],
    folder: Path,
    name: str,
    settings: RaterSettings,
    *,
    manifest: Path | None = None,
    command: str = "",
    report: Report = lambda record: None,
) -> ModelDescription:
    """Train a rater on sharp images, and write its folder.

    Parameters
    ----------
    paths : sequence of Path
        Sharp images: files, folders or patterns.
    folder : Path
        For the patches, which are kept as they are made, and in ``folder/name`` the model.
    name : str
        The model's name.
    settings : RaterSettings
    manifest : Path, optional
        A table with the columns file, field and licence: see `defocus.sources.find_sharp_images`.
    command : str
        The command line, for the model's record.
    report : callable
        Called with ``doing``, and while it goes on ``done`` and ``of``; with ``epoch`` and
        ``loss``; last with ``validation``, the figures on patches held out.

    Returns
    -------
    ModelDescription
        Of the model that was written.

    Raises
    ------
    SettingsError
        There are too few images to hold some out, or a setting is out of its range.
    FileError
        Something cannot be read or written.
    """
    from microscope_quality.training import fitting

    if not 0 < settings.validation_fraction <= 0.5:
        raise SettingsError(
            "validation_fraction must be above 0 and at most 0.5: the rater's spreads are "
            f"calibrated on images held out. It is {settings.validation_fraction:g}."
        )
    by = None if settings.group_by is None else GroupBy.parse(settings.group_by)
    find = functools.partial(
        find_sharp_images, manifest=manifest, patch_size=PATCH_SIZE, group_by=by
    )
    report({"doing": "reading the images"})
    images, left_out = find(paths)
    coarse = find(settings.coarse)[0] if settings.coarse else []
    if not images:
        reason = next(iter(left_out.values()), "none is named")
        raise SettingsError(f"There is no image to train on: {reason}.")
    training, validation = split_by_field(images, settings.validation_fraction, settings.seed)
    maker = _Maker(tuple(training), tuple(coarse), tuple(validation), settings)
    found = _made(maker, folder, report)
    report({"doing": "fitting the rater"})
    fitted = fit_rater(
        found["training"],
        found["validation"],
        epochs=settings.epochs,
        seed=settings.seed,
        told=lambda epoch, loss: report({"epoch": epoch, "of": settings.epochs, "loss": loss}),
    )
    details, figures = _calibrated(fitted, found)
    report({"validation": figures})
    record = {
        "command": command,
        "versions": fitting.versions(),
        **asdict(settings),
        "coarse": [path.as_posix() for path in settings.coarse],
        "group_by": settings.group_by or "the manifest's fields",
        "images": {
            "training": sorted(Path(image.path).name for image in training),
            "validation": sorted(Path(image.path).name for image in validation),
            "kinds": kinds_of((*images, *coarse)),
        },
        "validation": figures,
        "best_epoch": int(np.argmin(fitted.losses)) + 1,
        "losses": [round(loss, 4) for loss in fitted.losses],
    }
    description = ModelDescription(
        name=name,
        task=RATING,
        architecture="spectral",
        patch_size=PATCH_SIZE,
        normalisation="zscore",
        details=details.to_dict(),
        layers=tuple(fitted.layers),
        training=json.loads(json.dumps(record)),
        licences=tuple(sorted({image.licence for image in (*images, *coarse) if image.licence})),
    )
    written = write_model(folder / name, description, fitted.weights)
    write_card(folder / name, written, sum(one.size for one in fitted.weights.values()))
    return written


def _made(maker: _Maker, folder: Path, report: Report) -> dict[str, Any]:
    """Make all parts, or read those that were made before."""
    settings = maker.settings
    held_out = max(settings.patches // 10, BLOCK)
    items: dict[str, dict[str, _Part]] = {}
    for first, kind, total, at_a_time in (
        (0, "training", settings.patches, BLOCK),
        (1_000_000, "validation", held_out, BLOCK),
        (2_000_000, "images", _IMAGES, _IMAGES_A_PART),
    ):
        numbers = range(math.ceil(total / at_a_time))
        items[kind] = {
            f"{kind}-{k:04}": _Part(kind, min(at_a_time, total - k * at_a_time), first + k)
            for k in numbers
        }
    sets = folder / "sets"
    _check_basis(folder, maker)
    parts = in_parts(
        maker,
        {name: part for one in items.values() for name, part in one.items()},
        sets,
        workers=settings.workers,
        report=lambda done, of: report({"doing": "degrading sharp images", "done": done, "of": of}),
    )
    found: dict[str, Any] = {}
    for kind, named in items.items():
        both = {
            key: np.concatenate([parts[name][key] for name in named])
            for key in ("descriptors", "outputs")
        }
        found[kind] = RatingSet(**both)
    return found


def _check_basis(folder: Path, maker: _Maker) -> None:
    """Refuse a folder with the patches of another training."""
    from microscope_quality.files.regular import refusals
    from microscope_quality.files.whole import whole

    kept = {name: vars(maker)[name] for name in ("sharp", "coarse", "held_out")}
    basis = {name: [asdict(image) for image in images] for name, images in kept.items()}
    numbers = asdict(maker.settings)
    # More patches, or other passes, go on from those that are there.
    for name in ("patches", "epochs", "workers", "coarse"):
        numbers.pop(name)
    text = json.dumps({**basis, **numbers}, indent=1, default=str)
    path = folder / "sets" / "basis.json"
    with refusals(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if path.read_text(encoding="utf-8") != text:
                raise SettingsError(
                    f"{folder} holds the patches of a training with other images or settings; "
                    "choose another folder, or remove them."
                )
            return
        with whole(path) as beside:
            beside.write_text(text, encoding="utf-8")


def _calibrated(fitted: FittedRater, found: dict[str, Any]) -> tuple[RatingTask, dict[str, float]]:
    """Calibrate the spreads on what was held out, and measure."""
    run = _perceptron(fitted)
    k = len(OUTPUTS)
    held: RatingSet = found["validation"]
    given = run(held.descriptors)
    errors = given[:, :k] - held.outputs
    factors = spread_factors(errors, np.exp(given[:, k:]))
    images: RatingSet = found["images"]
    of_images = run(images.descriptors.reshape(-1, images.descriptors.shape[-1]))
    of_images = of_images.reshape(len(images.outputs), -1, 2 * k)
    shared = shared_errors(
        list(of_images[..., :k] - images.outputs), list(np.exp(of_images[..., k:]) * factors)
    )
    true, rated = scores_of(held.outputs), scores_of(given[:, :k])
    figures = {
        "patches": float(len(true)),
        "score_plcc": float(np.corrcoef(true, rated)[0, 1]),
        "score_mae": float(np.abs(true - rated).mean()),
        "score_rmse": float(np.sqrt(np.mean((true - rated) ** 2))),
    }
    for at, name in enumerate(OUTPUTS):
        if at != SCORE:
            figures[f"{name}_r"] = float(np.corrcoef(held.outputs[:, at], given[:, at])[0, 1])
    rounded = [[round(value, 4) for value in values] for values in (factors, shared)]
    task = RatingTask(tuple(rounded[0]), tuple(rounded[1]))
    return task, {name: round(value, 4) for name, value in figures.items()}


def _perceptron(fitted: FittedRater) -> Callable[[NDArray[Any]], Float64Array]:
    """Give what runs the dense layers on descriptors."""
    Network(fitted.layers, fitted.weights, PATCH_SIZE)  # refuses what the models' reader refuses

    def run(x: NDArray[Any]) -> Float64Array:
        values = np.asarray(x, np.float32)
        for layer in fitted.layers[1:]:
            name = layer["name"]
            values = values @ fitted.weights[f"{name}/kernel"] + fitted.weights[f"{name}/bias"]
            if layer["activation"] == "relu":
                values = np.maximum(values, 0)
        return values.astype(np.float64)

    return run
