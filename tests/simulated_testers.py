"""Testers whose opinions are known, and studies for them."""

import csv
import math
from fractions import Fraction

import numpy as np
from PIL import Image

from microscope_quality.rating.score_tables import read_scores
from microscope_quality.rating.study import StudySettings, begin_study, pair_scores


def write_table(path, rows, header=("image", "score")):
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def write_images(folder, number, side=48):
    """Images of noise, each with a grey of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for k in range(number):
        rng = np.random.default_rng(k)
        pixels = rng.integers(0, 256, (side, side + 8)).astype(np.uint8)
        path = folder / f"s{k:03}.png"
        Image.fromarray(pixels).save(path)
        found.append((path.name, path))
    return found


def scores_of(number, seed=0):
    """Scores of an expert and of a network near them, with two digits; never the same."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 1, number)
    target = np.clip(truth + rng.normal(0, 0.08, number), 0, 1).round(2)
    prediction = np.clip(truth + rng.normal(0, 0.12, number), 0, 1).round(2)
    prediction[prediction == target] = 0.5
    prediction[prediction == target] = 0.4
    return target.tolist(), prediction.tolist(), truth.tolist()


def make_study(folder, number=20, seed=0, training=None, **settings):
    """A study of small images in a folder; gives its folder."""
    images = write_images(folder / "images", number)
    target, prediction, _ = scores_of(number, seed)
    names = [name for name, _ in images]
    a = read_scores(write_table(folder / "a.csv", zip(names, target)))
    b = read_scores(write_table(folder / "b.csv", zip(names, prediction)))
    c = None if training is None else read_scores(training)
    paired, notes = pair_scores(images, a, b)
    assert notes == []
    begin_study(folder / "study", paired, a, b, c, StudySettings(**settings))
    return folder / "study"


def press(opinion, left, right, tolerance=0.04, accept=0.35):
    """What a tester presses whose opinion of the image is known: the nearer of two scores."""
    to_left, to_right = abs(float(left) - opinion), abs(float(right) - opinion)
    if min(to_left, to_right) > accept:
        return "discard"
    if abs(to_left - to_right) < tolerance or left == right:
        return "equivalent"
    return "left" if to_left < to_right else "right"


def by_hand(rows, tester, low=0, high=1, showing="study"):
    """T, P, E and discarded of a tester, and both measures, from rows of the csv module."""
    last = {}
    for row in rows:
        if row["tester"] == tester and row["showing"] == showing:
            last[row["trial"]] = row
    found = [
        row["choice"]
        for row in last.values()
        if low <= float(row["target"]) < high or high == 1 == float(row["target"])
    ]
    t, p, e, d = (found.count(name) for name in ("target", "prediction", "equivalent", "discard"))
    n = t + p + e
    confusion = float(1 - Fraction(abs(2 * p + e - n), n)) if n else math.nan
    domination = float(Fraction(p, t + p)) if t + p else math.nan
    return (t, p, e, d), confusion, domination


def mean_and_sd(values):
    """Of those that are numbers."""
    known = [value for value in values if not math.isnan(value)]
    mean = np.mean(known) if known else math.nan
    return mean, np.std(known, ddof=1) if len(known) > 1 else math.nan, len(known)
