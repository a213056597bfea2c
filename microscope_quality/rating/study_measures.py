"""What the choices of testers between two scores of an image say: confusion and domination.

A tester sees an image with two scores and picks one, says that both are equivalent, or discards the
image. With T choices of the target (the expert's score), P of the prediction (the network's) and E
equivalent ones, Ñ = T + P + E,

* confusion is C = 1 − |2P + E − Ñ| / Ñ, which is 1 − |P − T| / Ñ: 1 where the prediction is picked
  as often as the target, 0 where one of them is picked always;
* domination is P / (T + P): the share of the prediction among those where one was preferred.

Source: Robitaille et al., *Learning to become an expert: deep networks applied to super-resolution
microscopy* (2018). There, domination is printed as 1 / (T + P), which cannot give the table
that stands beside it: with 80 images of which one score was preferred it would be 0.0125, whoever
won.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

#: Where one bin of the target's score ends and the next one begins, which has this score.
EDGES = (0.2, 0.4, 0.6, 0.8)
#: Bins of the target's score.
N_BINS = len(EDGES) + 1
#: What a tester can say of a trial.
CHOICES = ("target", "prediction", "equivalent", "discard")


@dataclass(frozen=True)
class Tally:
    """How often each choice was made, T, P, E and those discarded."""

    target: int = 0
    prediction: int = 0
    equivalent: int = 0
    discarded: int = 0

    def with_choice(self, choice: str) -> Tally:
        """Give the tally with one more of `CHOICES`."""
        name = "discarded" if choice == "discard" else choice
        return replace(self, **{name: getattr(self, name) + 1})

    def __add__(self, other: Tally) -> Tally:
        """Give the tally of both."""
        return Tally(*(a + b for a, b in zip(_counts(self), _counts(other))))

    @property
    def kept(self) -> int:
        """Ñ, the trials that were not discarded."""
        return self.target + self.prediction + self.equivalent

    @property
    def confusion(self) -> float:
        """1 − |2P + E − Ñ| / Ñ; NaN where nothing was kept."""
        kept = self.kept
        if not kept:
            return math.nan
        return 1 - abs(2 * self.prediction + self.equivalent - kept) / kept

    @property
    def domination(self) -> float:
        """P / (T + P); NaN where neither was preferred."""
        preferred = self.target + self.prediction
        return self.prediction / preferred if preferred else math.nan


def _counts(tally: Tally) -> tuple[int, int, int, int]:
    return tally.target, tally.prediction, tally.equivalent, tally.discarded


@dataclass(frozen=True)
class OverTesters:
    """A measure over testers: mean, sample standard deviation, and of how many.

    Testers for whom it is not defined are left out; the standard deviation is NaN for fewer than
    two, the mean for none.
    """

    mean: float
    deviation: float
    n_testers: int


def over_testers(values: Iterable[float]) -> OverTesters:
    """Give the mean and the sample standard deviation (n − 1) of the values that are defined."""
    known = [value for value in values if not math.isnan(value)]
    n = len(known)
    if not n:
        return OverTesters(math.nan, math.nan, 0)
    mean = math.fsum(known) / n
    if n == 1:
        return OverTesters(mean, math.nan, 1)
    return OverTesters(mean, math.sqrt(math.fsum((v - mean) ** 2 for v in known) / (n - 1)), n)


def bin_of(target: float) -> int:
    """Give the bin of a target's score: [0, 0.2), [0.2, 0.4), … and [0.8, 1]."""
    return sum(target >= edge for edge in EDGES)


class Judged(Protocol):
    """What is asked of an answer to be counted."""

    @property
    def tester(self) -> str:
        """Who gave it."""

    @property
    def target(self) -> float:
        """The target's score."""

    @property
    def choice(self) -> str:
        """One of `CHOICES`."""


@dataclass(frozen=True)
class Comparison:
    """Tallies of testers, by bins of the target's score.

    Attributes
    ----------
    tallies : dict
        Of each tester the tallies of the five bins, and of all images as the sixth.
    """

    tallies: Mapping[str, Sequence[Tally]]

    def confusion(self, number: int) -> OverTesters:
        """Over testers, in one of the bins 0 to 4, or with 5 of all images."""
        return over_testers(tallies[number].confusion for tallies in self.tallies.values())

    def domination(self, number: int) -> OverTesters:
        """As `confusion`."""
        return over_testers(tallies[number].domination for tallies in self.tallies.values())

    def total(self, number: int) -> Tally:
        """Choices of all testers together."""
        return sum((tallies[number] for tallies in self.tallies.values()), Tally())


def compare(answers: Iterable[Judged], testers: Iterable[str] = ()) -> Comparison:
    """Count answers by tester and bin.

    Parameters
    ----------
    answers
        One for each trial.
    testers
        Of whom there is a row even if they have said nothing, in their order.
    """
    found = {tester: [Tally()] * (N_BINS + 1) for tester in testers}
    for answer in answers:
        tallies = found.setdefault(answer.tester, [Tally()] * (N_BINS + 1))
        for number in (bin_of(answer.target), N_BINS):
            tallies[number] = tallies[number].with_choice(answer.choice)
    return Comparison({tester: tuple(tallies) for tester, tallies in found.items()})
