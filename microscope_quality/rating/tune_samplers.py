"""Which settings are tried next: Optuna's sampler for few and noisy trials, and plain ones."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from microscope_quality.errors import MissingLibraryError
from microscope_quality.rating.tune_space import Choice, Parameters, Space, at_point
from microscope_quality.rating.tune_trials import Trial

#: Names of the samplers.
SAMPLERS = ("tpe", "random", "grid", "quasi-random")
#: Trials that are spread over the space before others are made by what they gave.
START_TRIALS = 8


class Sampler(Protocol):
    """Says which settings are next, and is told what they gave."""

    def ask(self, number: int) -> Parameters | None:
        """Give the settings of a trial; None when there are no more."""

    def tell(self, trial: Trial) -> None:
        """Take in what a trial gave, also one that another sampler proposed."""


def sampler_of(name: str, space: Space, seed: int, images: int, minimise: Sequence[str]) -> Sampler:
    """Give a sampler by its name; `images` is the number of trials that there is room for."""
    if name == "tpe":
        return _Tpe(space, seed, minimise)
    if name == "grid":
        return _Listed(space, _grid(space, images, seed))
    return _Drawn(space, seed, even=name == "quasi-random")


class _Drawn:
    """Points by chance, or by a Sobol sequence with its scrambling (A. B. Owen, 1998)."""

    def __init__(self, space: Space, seed: int, *, even: bool) -> None:
        self._space, self._seed, self._even = space, seed, even

    def ask(self, number: int) -> Parameters | None:
        if not self._even:
            rng = np.random.default_rng([self._seed, number])
            return at_point(self._space, rng.random(len(self._space)))
        return at_point(self._space, _sobol(len(self._space), self._seed, number))

    def tell(self, trial: Trial) -> None:
        pass


class _Listed:
    def __init__(self, space: Space, points: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        self._space, self._points, self._told = space, points, 0

    def ask(self, number: int) -> Parameters | None:
        if self._told == len(self._points):
            return None
        return at_point(self._space, self._points[self._told])

    def tell(self, trial: Trial) -> None:
        self._told += trial.purpose == "search"


class _Tpe:
    """Optuna's tree-structured Parzen estimator, of all parameters together.

    J. Bergstra et al., Advances in Neural Information Processing Systems 24, 2011; S. Falkner et
    al., ICML 2018, for the multivariate form; Y. Ozaki et al., Journal of Artificial Intelligence
    Research 73, 1209, 2022, for several objectives.
    """

    def __init__(self, space: Space, seed: int, minimise: Sequence[str]) -> None:
        try:
            import optuna
        except ImportError as error:
            raise MissingLibraryError(
                "sampler 'tpe' takes Optuna (pip install 'microscope-quality[tune]'); 'random', "
                f"'grid' and 'quasi-random' do without: {error}."
            ) from error
        self._optuna = optuna
        self._space, self._seed, self._minimise = space, seed, tuple(minimise)
        self._distributions = {name: self._distribution(name) for name in space}
        # It would print a line for each trial.
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._study = optuna.create_study(
                directions=["maximize"] + ["minimize"] * len(self._minimise)
            )
        finally:
            optuna.logging.set_verbosity(before)
        self._asked: tuple[Parameters, Any] | None = None

    def _distribution(self, name: str) -> Any:
        made = self._optuna.distributions
        one = self._space[name]
        if isinstance(one, Choice):
            return made.CategoricalDistribution(one.values)
        kind = made.IntDistribution if one.whole else made.FloatDistribution
        return kind(one.low, one.high, log=one.log)

    def ask(self, number: int) -> Parameters | None:
        if number < START_TRIALS:
            point = _sobol(len(self._space), self._seed, number)
            self._study.enqueue_trial(at_point(self._space, point))
        with warnings.catch_warnings():
            # The multivariate form counts as experimental in some versions.
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            # Of its own for each trial: so a search that goes on is the one that was not ended.
            self._study.sampler = self._optuna.samplers.TPESampler(
                seed=int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0]),
                multivariate=True,
                n_startup_trials=START_TRIALS,
            )
        asked = self._study.ask(self._distributions)
        parameters = {name: asked.params[name] for name in self._space}
        self._asked = parameters, asked
        return dict(parameters)

    def tell(self, trial: Trial) -> None:
        states = self._optuna.trial.TrialState
        values = [trial.score, *(trial.measurements.get(name, math.nan) for name in self._minimise)]
        state = states.FAIL if trial.error else states.COMPLETE
        if self._asked is not None and self._asked[0] == trial.parameters:
            asked, self._asked = self._asked[1], None
            self._study.tell(asked, None if trial.error else values, state=state)
            return
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=state,
                params=trial.parameters,
                distributions=self._distributions,
                values=None if trial.error else values,
            )
        )


def _sobol(dimensions: int, seed: int, number: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    from scipy.stats import qmc

    sequence = qmc.Sobol(dimensions, seed=np.random.default_rng([seed, dimensions]))
    # Drawn in whole powers of 2, as it warns otherwise.
    points = sequence.random_base2(max(3, math.ceil(math.log2(number + 1))))
    return np.asarray(points[number])


def _grid(space: Space, images: int, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Give the points of the finest grid that there is room for, in the order of chance."""
    most = [one.steps or images for one in space.values()]
    # What has no order between its values is tried whole.
    steps = [one.steps if isinstance(one, Choice) else 1 for one in space.values()]
    while True:
        finer = [
            axis
            for axis in sorted(range(len(steps)), key=lambda axis: steps[axis])
            if steps[axis] < most[axis]
            and math.prod(steps) // steps[axis] * (steps[axis] + 1) <= images
        ]
        if not finer:
            break
        steps[finer[0]] += 1
    axes = [(np.arange(number) + 0.5) / number for number in steps]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(steps))
    return np.random.default_rng(seed).permutation(points)
