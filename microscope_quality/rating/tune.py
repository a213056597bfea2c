"""Find the settings of a microscope that give the best score, in few images.

A search takes an image, has it scored, and chooses the next settings by all that it has seen: with
Optuna's sampler for few and noisy trials, unless another is asked for. The last images are of the
best settings again, and what is recommended has the highest score without noise (see
`tune_smoothing`), not the luckiest image.
"""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from microscope_quality.arguments import (
    as_array,
    as_count,
    as_list,
    as_number,
    as_path,
    as_positive,
    as_seed,
    as_text,
    shown,
)
from microscope_quality.errors import (
    ArgumentError,
    ImageError,
    MissingLibraryError,
    SettingsError,
)
from microscope_quality.overlay import grey_picture
from microscope_quality.rating.tune_samplers import SAMPLERS, Sampler, sampler_of
from microscope_quality.rating.tune_smoothing import smoothed
from microscope_quality.rating.tune_space import (
    Choice,
    Parameters,
    Range,
    Space,
    as_parameters,
    as_space,
    coordinates,
)
from microscope_quality.rating.tune_trials import (
    DOSE,
    PAGE,
    SECONDS,
    Estimate,
    Trial,
    TrialLog,
    TuneResult,
    read_search,
    read_trials,
    taken_names,
)

if TYPE_CHECKING:
    from microscope_quality.rater import RatingModel

__all__ = ["Choice", "Estimate", "Range", "Trial", "TuneResult", "read_tuning", "tune"]

#: Takes an image with some settings: gives it, or it and measurements by their names.
Acquire: TypeAlias = "Callable[[Parameters], Any]"
#: Scores an image, high for good ones.
Score: TypeAlias = "Callable[[Any], float]"

_MOST_IMAGES, _MOST_AIMS = 10_000, 5
# Of a picture of a trial, in pixels; and letters of what an error says.
_PICTURE_SIDE, _LONGEST_ERROR = 240, 300
# A surface through fewer scores says no more than their means.
_FEWEST_SMOOTHED = 4


def tune(
    acquire: Acquire,
    score: Score | RatingModel | str | Path | None,
    space: Mapping[str, Range | Choice],
    *,
    images: int = 30,
    dose: float | None = None,
    minimise: Sequence[str] = (),
    sampler: str = "tpe",
    start: Sequence[Mapping[str, Any]] = (),
    repeat_share: float = 0.1,
    seed: int = 0,
    out: Path | str | None = None,
    progress: Callable[[Trial], None] | None = None,
) -> TuneResult:
    """Find the settings that give the best score.

    Parameters
    ----------
    acquire : callable
        Is given the settings, a dict of values by the names of `space`, and gives the image: an
        array of numbers, or a pair of it and a dict of measurements, such as
        ``{"bleaching": 0.12, "dose": 3.5}``. Whatever it raises makes the trial a failed one.
    score : callable, RatingModel, str, Path or None
        Is given the image and gives a number, high for good images; or a rating model, or the name
        or folder of one, that rates it; None is the default model.
    space : mapping of str to Range or Choice
        What can be set.
    images : int
        Images that are taken at most, failed ones too.
    dose : float, optional
        When the sum of the measurements ``dose`` comes to this, no further image is taken. An image
        that does not tell its dose counts as the largest one known.
    minimise : sequence of str
        Measurements that should be low beside a high score, such as ``bleaching``, or ``seconds``,
        which is measured if the acquisition does not tell it. The result has the front of best
        compromises.
    sampler : str
        ``tpe``; or for comparison ``random``, ``grid`` or ``quasi-random``.
    start : sequence of mappings
        Settings that are tried first, such as those in use.
    repeat_share : float
        Share of the budget that is kept to take the best settings again, 0 to 0.5; with `minimise`
        none is.
    seed : int
        The same seed and the same scores give the same search.
    out : Path or str, optional
        Folder for the trials, a table that is on the disk after each of them, and the page
        ``tuning.html``. A search with a folder that has trials goes on from them.
    progress : callable, optional
        Called with each trial.

    Returns
    -------
    TuneResult
        Also after Ctrl-C, with what was tried until then.

    Raises
    ------
    SettingsError, ArgumentError
        For an argument that is out of its range or of a wrong kind.
    FileError
        When `out` cannot be written to, or holds something else.
    MissingLibraryError
        When a library of ``microscope-quality[tune]`` is missing.
    """
    if not callable(acquire):
        raise ArgumentError(f"acquire must be a function of the settings, not {shown(acquire)}.")
    scored = _as_score(score)
    aims = _as_aims(minimise)
    asked = as_space(space, taken_names(aims))
    images = as_count("images", images, 1, _MOST_IMAGES)
    dose = None if dose is None else as_positive("dose", dose)
    if as_text("sampler", sampler) not in SAMPLERS:
        raise SettingsError(f"sampler must be one of {', '.join(SAMPLERS)}, not {shown(sampler)}.")
    first = [as_parameters("start", asked, one) for one in as_list("start", start, "settings")]
    share = 0.0 if aims else as_number("repeat_share", repeat_share, 0, 0.5)
    seed = as_seed(seed)
    folder = None if out is None else as_path("out", out)
    if progress is not None and not callable(progress):
        raise ArgumentError(f"progress must be a function of a trial, not {shown(progress)}.")
    _check_libraries()

    repeats = round(share * images)
    chosen = sampler_of(sampler, asked, seed, images - repeats - len(first), aims)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(TrialLog(folder, asked, aims)) if folder is not None else None
        trials = list(log.trials) if log else []
        for trial in trials:
            chosen.tell(trial)
        ended = ""
        try:
            while not ended:
                ended, purpose, parameters = _next(
                    trials, asked, chosen, first, images, dose, share
                )
                if parameters is None:
                    continue
                trial = _tried(len(trials), purpose, parameters, acquire, scored, aims)
                if log:
                    log.append(trial)
                trials.append(trial)
                chosen.tell(trial)
                if progress is not None:
                    progress(trial)
        except KeyboardInterrupt:
            ended = "interrupted"
        result = _result(asked, aims, trials, ended)
        if folder is not None:
            from microscope_quality.rating.tune_page import write_page

            write_page(result, folder / PAGE)
    return result


def read_tuning(folder: Path | str) -> TuneResult:
    """Read what a search tried, such as one that was killed, and give what it found.

    Parameters
    ----------
    folder : Path or str
        The `out` of a search.

    Raises
    ------
    FileError
        It is none, or damaged.
    """
    place = as_path("folder", folder)
    space, aims = read_search(place)
    return _result(space, aims, read_trials(place, space, aims), "")


def _check_libraries() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingLibraryError(
            f"tune takes scikit-learn (pip install 'microscope-quality[tune]'): {error}."
        ) from error


def _as_aims(minimise: Any) -> tuple[str, ...]:
    aims = tuple(
        as_text("A name in minimise", one) for one in as_list("minimise", minimise, "names")
    )
    if len(set(aims)) < len(aims) or len(aims) > _MOST_AIMS:
        raise SettingsError(
            f"minimise must be up to {_MOST_AIMS} different names, not {shown(aims)}."
        )
    for one in aims:
        if one in (taken_names(()) - {SECONDS}) or not one.strip() or not one.isprintable():
            raise SettingsError(f"minimise must be names of measurements, not {shown(one)}.")
    return aims


def _as_score(score: Any) -> Score:
    if callable(score):
        return cast("Score", score)
    from microscope_quality.rater import as_rater, rate_image

    model = as_rater(score)
    return lambda image: rate_image(image, model).score


def _next(
    trials: Sequence[Trial],
    space: Space,
    sampler: Sampler,
    first: Sequence[Parameters],
    images: int,
    dose: float | None,
    share: float,
) -> tuple[str, str, Parameters | None]:
    """Give why the search ends; or what the next image is for, and its settings."""
    number, spent = len(trials), _spent(trials)
    if number >= images:
        return "images", "", None
    if dose is not None and spent >= dose:
        return "dose", "", None
    left = images - number
    again = left <= round(share * images) or (
        dose is not None and share > 0 and spent >= (1 - share) * dose
    )
    if again and any(not trial.error for trial in trials):
        parameters = _worth_repeating(trials, space, None if dose is None else dose - spent)
        return ("", "repeat", parameters) if parameters else ("dose", "", None)
    if number < len(first):
        return "", "start", dict(first[number])
    found = sampler.ask(number)
    if found is not None:
        return "", "search", found
    # A grid that is done leaves what is over to its best.
    parameters = _worth_repeating(trials, space, None if dose is None else dose - spent)
    return ("", "repeat", parameters) if parameters and share else ("grid", "", None)


def _spent(trials: Sequence[Trial]) -> float:
    known = [trial.measurements[DOSE] for trial in trials if DOSE in trial.measurements]
    return sum(known) + max(known, default=0.0) * (len(trials) - len(known))


def _worth_repeating(
    trials: Sequence[Trial], space: Space, left: float | None
) -> Parameters | None:
    """Give the settings that could best turn out to be the best, and fit into the dose left."""
    estimates = _estimates(space, trials)[0]
    for one in sorted(estimates, key=lambda one: one.score + one.spread, reverse=True):
        doses = [
            trial.measurements[DOSE]
            for trial in trials
            if trial.parameters == one.parameters and DOSE in trial.measurements
        ]
        if left is None or max(doses, default=0.0) <= left:
            return dict(one.parameters)
    return None


def _tried(
    number: int,
    purpose: str,
    parameters: Parameters,
    acquire: Acquire,
    score: Score,
    minimise: Sequence[str],
) -> Trial:
    """Take an image and have it scored; whatever goes wrong is told by the trial."""
    measurements: dict[str, float] = {}
    found, error, picture = math.nan, "", b""
    begin = time.perf_counter()
    try:
        # Its own copy: what it does to it is not what was tried.
        taken = acquire(dict(parameters))
        measurements[SECONDS] = time.perf_counter() - begin
        image, told = _parted(taken)
        measurements.update(told)
        missing = [name for name in minimise if name not in measurements]
        if missing:
            raise SettingsError(f"the image came without a measurement {missing[0]!r}.")
        pixels = _as_image(image)
        with contextlib.suppress(Exception):
            # For the eye alone: an image that cannot be drawn can be scored.
            picture = _picture_of(pixels)
        found = as_number("The score", score(image))
    except Exception as reason:
        measurements.setdefault(SECONDS, time.perf_counter() - begin)
        said = " ".join(str(reason).split()) or "no reason was given"
        error = f"{type(reason).__name__}: {said}"[:_LONGEST_ERROR]
        found = math.nan
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return Trial(number, purpose, parameters, found, measurements, error, now, picture)


def _parted(taken: Any) -> tuple[Any, dict[str, float]]:
    if not (isinstance(taken, tuple) and len(taken) == 2 and isinstance(taken[1], Mapping)):
        return taken, {}
    return taken[0], {
        as_text("The name of a measurement", name): as_number(f"The measurement {name!r}", value)
        for name, value in taken[1].items()
    }


def _as_image(image: Any) -> np.ndarray[Any, np.dtype[Any]]:
    pixels = as_array("the image", image, error=ImageError)
    if pixels.ndim < 2 or not pixels.size or pixels.dtype.kind not in "buif":
        raise ImageError(
            f"The image must be an array of numbers with two axes or more, not {shown(pixels)}."
        )
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ImageError("The image has pixels that are not finite.")
    return pixels


def _picture_of(pixels: np.ndarray[Any, np.dtype[Any]]) -> bytes:
    """Draw an image small, as a WebP file; of a stack its middle plane."""
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4) and pixels.shape[0] > 4:
        pixels = pixels[..., :3].mean(axis=-1)
    while pixels.ndim > 2:
        pixels = pixels[len(pixels) // 2]
    stream = io.BytesIO()
    picture = Image.fromarray(grey_picture(pixels, _PICTURE_SIDE))
    picture.save(stream, "WEBP", quality=80, method=2)
    return stream.getvalue()


def _result(
    space: Space, minimise: tuple[str, ...], trials: Sequence[Trial], ended: str
) -> TuneResult:
    estimates, noise = _estimates(space, trials)
    front = _front(trials, minimise) if minimise else ()
    return TuneResult(space, minimise, tuple(trials), estimates, front, noise, ended)


def _estimates(space: Space, trials: Sequence[Trial]) -> tuple[tuple[Estimate, ...], float]:
    """Give what is known of each setting, the best first, and the noise of a score."""
    good = [trial for trial in trials if not trial.error]
    if not good:
        return (), 0.0
    numbers: dict[tuple[Any, ...], int] = {}
    for trial in good:
        key = tuple(trial.parameters.values())
        numbers[key] = numbers.get(key, 0) + 1
    settings: list[Parameters] = [dict(zip(space, key)) for key in numbers]
    scores = np.array([trial.score for trial in good])
    if len(good) < _FEWEST_SMOOTHED:
        means = [
            float(np.mean([t.score for t in good if dict(t.parameters) == one])) for one in settings
        ]
        spreads, noise = [float(scores.std())] * len(settings), float(scores.std())
    else:
        found = smoothed(
            coordinates(space, [dict(trial.parameters) for trial in good]),
            scores,
            coordinates(space, settings),
        )
        means, spreads, noise = found.mean.tolist(), found.spread.tolist(), found.noise
    known = [
        Estimate(one, mean, spread, number)
        for one, mean, spread, number in zip(settings, means, spreads, numbers.values())
    ]
    return tuple(sorted(known, key=lambda one: one.score, reverse=True)), noise


def _front(trials: Sequence[Trial], minimise: Sequence[str]) -> tuple[Trial, ...]:
    """Give the trials that no other is better than in all, by ascending score."""
    good = [trial for trial in trials if not trial.error]
    aims = np.array(
        [[trial.score, *(-trial.measurements[name] for name in minimise)] for trial in good]
    ).reshape(len(good), 1 + len(minimise))
    front = [
        trial
        for trial, own in zip(good, aims)
        if not np.any(np.all(aims >= own, axis=1) & np.any(aims > own, axis=1))
    ]
    return tuple(sorted(front, key=lambda trial: trial.score))
