"""Tables of scores of images: of an expert or of a network, a score for each image."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from microscope_quality.arguments import as_path, shown
from microscope_quality.errors import FileError
from microscope_quality.files import tables
from microscope_quality.files.regular import open_regular, refusals
from microscope_quality.rating.labels import read_labels

#: Image, and upper left pixel (y, x) and side of a patch, which are None for the whole image.
Place = tuple[str, "int | None", "int | None", "int | None"]

# Columns of a table of results that name a plane of a file, as `plane_names` does.
_AXES = ("series", "z", "c", "t")


@dataclass(frozen=True)
class ScoreTable:
    """Scores of images or patches.

    Attributes
    ----------
    path : Path
        Of the table.
    scores : dict
        From 0 to 1, by `Place`, in the order of the table.
    without_score : int
        Rows that have none, as of files that could not be measured.
    """

    path: Path
    scores: Mapping[Place, float]
    without_score: int = 0


def read_scores(path: str | os.PathLike[str]) -> ScoreTable:
    """Read a table that has a score for each image.

    Parameters
    ----------
    path
        UTF-8 CSV with the columns ``image`` and ``score``, in any order; ``y``, ``x`` and ``size``
        where patches were scored. Of a table of labels, with a column ``rater``, an image's score
        is the mean over raters of the mean of their scores. Or a ``results.csv`` of this library,
        with the columns ``file`` and ``score``.

    Raises
    ------
    FileError
        The file is missing, not readable, lacks a column, has a score that is no number from 0 to
        1, two scores for an image, or none at all. The message names the line, what was found and
        what would be right.
    """
    path = as_path("path", path)
    lines = list(_lines(path))
    if not lines:
        raise FileError(f"{path}: is empty; it must have the columns image and score")
    try:
        columns = [name.strip() for name in tables.fields(_without_mark(lines[0][1]))]
    except ValueError as error:
        raise FileError(f"{path}: is not a table as UTF-8 CSV ({error})") from None
    if "file" in columns and "image" not in columns:
        return _of_results(path, columns, lines[1:])
    labels = read_labels(path)
    has_raters = "rater" in columns
    by_rater: dict[Place, dict[str, list[float]]] = {}
    for label in labels:
        given = by_rater.setdefault(label.place, {})
        if given and not has_raters:
            raise FileError(
                _twice(path, label.image, *_lines_of(label.place, columns, lines[1:])[:2])
            )
        given.setdefault(label.rater, []).append(label.score)
    means = {
        place: _mean([_mean(scores) for scores in given.values()])
        for place, given in by_rater.items()
    }
    # Rows of labels that correct others are no images.
    missing = 0 if has_raters else len(lines) - 1 - len(labels)
    return ScoreTable(path, means, missing)


def _of_results(
    path: Path, columns: Sequence[str], lines: Sequence[tuple[int, bytes]]
) -> ScoreTable:
    if "score" not in columns:
        raise FileError(
            f"{path}: lacks the column score; its first line must name the columns image and "
            f"score, or file and score, and has {', '.join(columns)[:200]}"
        )
    rows = []
    for line, record in lines:
        try:
            found = tables.fields(record)
            if len(found) != len(columns):
                raise ValueError(f"{len(found)} fields under {len(columns)} columns")
        except ValueError as error:
            raise FileError(f"{path}: line {line} is damaged ({error})") from None
        rows.append((line, dict(zip(columns, found))))
    several = Counter(row["file"] for _, row in rows)
    scores: dict[Place, float] = {}
    first: dict[Place, int] = {}
    without = 0
    for line, row in rows:
        try:
            score = tables.as_number(row["score"].strip())
        except ValueError:
            score = -1
        if math.isnan(score):
            without += 1
            continue
        if not 0 <= score <= 1:
            raise FileError(
                f"{path}: line {line}, column score: found {shown(row['score'])}, and it must be a "
                "number from 0 to 1, such as 0.7, or empty for none"
            )
        name = row["file"]
        plane = ",".join(f"{axis}={row[axis]}" for axis in _AXES if row.get(axis))
        if plane and several[name] > 1:
            name = f"{name}#{plane}"
        place: Place = (name, None, None, None)
        if place in scores:
            raise FileError(_twice(path, name, first[place], line))
        scores[place], first[place] = score, line
    if not scores:
        raise FileError(f"{path}: has no row with a score, so there is nothing to compare")
    return ScoreTable(path, scores, without)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Records that are not empty, each with the number of its first line."""
    with refusals(path), open_regular(path) as stream:
        line = 1
        for _, record in tables.records(stream):
            if record.strip():
                yield line, record
            line += record.count(b"\n")


def _without_mark(record: bytes) -> bytes:
    return record.removeprefix(b"\xef\xbb\xbf")


def _lines_of(
    place: Place, columns: Sequence[str], lines: Sequence[tuple[int, bytes]]
) -> list[int]:
    """Find the lines in which an image has a score."""
    found = []
    wanted = ["" if one is None else str(one) for one in place]
    for line, record in lines:
        row = dict(zip(columns, tables.fields(record)))
        values = [row.get(name, "").strip() for name in ("image", "y", "x", "size")]
        if row["score"].strip() and values == wanted:
            found.append(line)
    return found


def _twice(path: Path, name: str, first: int, second: int) -> str:
    return (
        f"{path}: line {second}: {shown(name)} has a score in line {first} already, and it must "
        "have one"
    )


def _mean(scores: Sequence[float]) -> float:
    return math.fsum(scores) / len(scores)
