"""Confusion and domination of simulated studies: what they say of good, better and biased networks.

``python -m benchmarks.study`` takes some seconds. The expert, the network and each tester see the
true score with an error of their own; a tester picks the score nearer to the own opinion.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from fractions import Fraction
from statistics import fmean
from typing import Dict, Optional, Tuple

import numpy as np

from benchmarks.figure import Figure, print_rows
from microscope_quality.rating.study_measures import OverTesters, Tally, over_testers

IMAGES, TESTERS, STUDIES = 103, 11, 100
#: Standard deviations of the expert's scores and of testers' opinions.
EXPERT, TESTER = 0.08, 0.10
#: Scores nearer to each other are equivalent, and both this far from an opinion are discarded.
ALIKE, FAR = 0.04, 0.35
#: Bias and standard deviation of the network's scores; None is a random score.
NETWORKS: Dict[str, Optional[Tuple[float, float]]] = {
    "as exact as the expert": (0.0, 0.08),
    "four times as exact": (0.0, 0.02),
    "0.15 too high": (0.15, 0.08),
    "random scores": None,
}


def study(network: Optional[Tuple[float, float]], seed: int) -> Tuple[OverTesters, OverTesters]:
    """Give confusion and domination of all images in a study."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(2, 2, IMAGES)
    target = np.clip(truth + rng.normal(0, EXPERT, IMAGES), 0, 1)
    if network is None:
        other = rng.permutation(rng.beta(2, 2, IMAGES))
    else:
        other = np.clip(truth + rng.normal(*network, IMAGES), 0, 1)
    tallies = []
    for _ in range(TESTERS):
        opinion = np.clip(truth + rng.normal(0, TESTER, IMAGES), 0, 1)
        to_target, to_other = abs(target - opinion), abs(other - opinion)
        choices = np.where(to_target < to_other, "target", "prediction")
        choices[abs(to_target - to_other) < ALIKE] = "equivalent"
        choices[np.minimum(to_target, to_other) > FAR] = "discarded"
        tallies.append(Tally(**Counter(choices.tolist())))
    return (
        over_testers(tally.confusion for tally in tallies),
        over_testers(tally.domination for tally in tallies),
    )


def largest_error() -> float:
    """Give the largest difference from fractions, over all choices of 0 to 30 each."""
    errors = [0.0]
    for t, p, e in itertools.product(range(31), repeat=3):
        tally, n = Tally(t, p, e), t + p + e
        if n:
            confusion = 1 - Fraction(abs(2 * p + e - n), n)
            errors.append(float(abs(Fraction(tally.confusion) - confusion)))
        if t + p:
            errors.append(float(abs(Fraction(tally.domination) - Fraction(p, t + p))))
    return max(errors)


def main() -> int:
    """Print the largest error, and means over many studies."""
    error = largest_error()
    met = print_rows([Figure("largest error of C and D", f"{error:.1e}", "1e-12", error <= 1e-12)])
    print("\n| network | confusion | domination |\n| --- | --- | --- |")
    for name, network in NETWORKS.items():
        found = [study(network, seed) for seed in range(STUDIES)]
        cells = [
            f"{100 * fmean(one[k].mean for one in found):.0f} ± "
            f"{100 * fmean(one[k].deviation for one in found):.0f} %"
            for k in range(2)
        ]
        print(f"| {name} | {cells[0]} | {cells[1]} |", flush=True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
