"""A user study: testers see images with the scores of an expert and of a network, and pick one.

Which score stands on the left is drawn for each trial, and so is the order of the trials for each
tester. A folder holds a study: ``study.json`` has the images, the scores and every tester's trials,
``answers.csv`` the answers, to which rows are only ever added.

Besides the trials that count for the network there are second showings of some images, which
testers cannot tell apart:

* *baseline*: the target's score against one that is drawn, each with the same chance, from the
  scores that the network was trained on. What testers would have said of a random score cannot be
  computed from what they said of the network's: a choice tells which of two scores is the nearer
  one, not how near, so the random score has to be shown.
* *repeat*: the same two scores again, which tells how well a tester's choices repeat.

They come later than the first showing of the image, so that no tester meets a score of a trial
that counts in another one before.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from microscope_quality.arguments import as_number, as_path, as_seed, as_text, brief, shown
from microscope_quality.errors import FileError, MicroscopeQualityError, SettingsError, printable
from microscope_quality.files import tables
from microscope_quality.files.images import open_image
from microscope_quality.files.regular import open_regular, read_text, refusals
from microscope_quality.files.whole import whole
from microscope_quality.rating.appended_rows import AppendedRows
from microscope_quality.rating.plane_names import file_of
from microscope_quality.rating.score_tables import Place, ScoreTable
from microscope_quality.rating.study_measures import CHOICES
from microscope_quality.version import __version__

#: Files of a study, in its folder.
RECORD, ANSWERS = "study.json", "answers.csv"
#: Kinds of trials: those that count for the network, those against a random score, and repeats.
SHOWINGS = ("study", "baseline", "repeat")
#: What a tester can press: the score on the left or on the right, both, or neither.
PRESSED = ("left", "right", "equivalent", "discard")
#: Steps in which scores may be shown.
STEPS = (0.1, 0.05, 0.02, 0.01)

_SCHEMA = 1
_MOST_BYTES = 2**28
_LONGEST_NAME = 60
_LOCK = ".study.lock"
# Without what is read as something else: 0 and O, 1, I and l.
_LETTERS = "23456789abcdefghijkmnpqrstuvwxyz"
_TOKEN_LETTERS = 12
# A second showing comes when at least this share of the session has passed since the first one.
_PAUSE = 0.1
_FEW = 1e-6


@dataclass(frozen=True)
class StudyImage:
    """An image, or a patch of it, with its two scores.

    Attributes
    ----------
    name : str
        As it is told in tables; in a file of several planes with the plane behind it, as in
        ``stack.tif#z=3`` (see `plane_names`).
    path : str
        The same from the root of the disk on.
    y, x, size : int, optional
        Upper left pixel and side of the patch; None for the whole image.
    target, prediction : float
        Scores of the expert and of the network, 0 to 1.
    """

    name: str
    path: str
    y: int | None
    x: int | None
    size: int | None
    target: float
    prediction: float


@dataclass(frozen=True)
class Trial:
    """What a tester is shown at once.

    Attributes
    ----------
    image : int
        Number of the image in the study.
    showing : str
        One of `SHOWINGS`.
    other : float
        The score beside the target's: the prediction, or a random one.
    target_is_left : bool
        Where the target's score stands.
    """

    image: int
    showing: str
    other: float
    target_is_left: bool


@dataclass(frozen=True)
class Tester:
    """Who judges, the secret part of the link, and the trials in their order."""

    name: str
    token: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class StudySettings:
    """How a study is made.

    Attributes
    ----------
    seed : int
        Of the orders and sides.
    baseline : float
        Share of the images that are shown a second time with a random score, 0 to 1.
    repeats : float
        Share of the images that are shown a second time with the same scores, 0 to 1.
    step : float, optional
        Step in which scores are shown, one of `STEPS`. By default it is the coarser one of the
        tables': an expert's 0.8 beside a network's 0.73 would tell which is which.

    Raises
    ------
    SettingsError
        A value is out of its range.
    """

    seed: int = 0
    baseline: float = 0.25
    repeats: float = 0.1
    step: float | None = None

    def __post_init__(self) -> None:
        as_seed(self.seed)
        as_number("baseline", self.baseline, 0, 1)
        as_number("repeats", self.repeats, 0, 1)
        if self.step is not None and as_number("step", self.step) not in STEPS:
            raise SettingsError(
                f"step must be one of {', '.join(map(str, STEPS))}, not {shown(self.step)}."
            )


@dataclass(frozen=True)
class StudyRecord:
    """A study as ``study.json`` has it.

    Attributes
    ----------
    seed, baseline, repeats, step
        As in `StudySettings`; `step` is never None.
    target_table, prediction_table, training_table : str
        Names of the tables; the last one is that of the target where no other was given.
    training : tuple of float
        Scores from which random ones are drawn.
    images : tuple of StudyImage
    token : str
        Secret part of the link of who conducts the study.
    testers : tuple of Tester
    version : str
        Of this library.
    """

    seed: int
    baseline: float
    repeats: float
    step: float
    target_table: str
    prediction_table: str
    training_table: str
    training: tuple[float, ...]
    images: tuple[StudyImage, ...]
    token: str
    testers: tuple[Tester, ...] = ()
    version: str = __version__

    def to_dict(self) -> dict[str, Any]:
        """Give what JSON can hold."""
        return {"schema": _SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> StudyRecord:
        """Read what `to_dict` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is something else.
        """
        if entries["schema"] != _SCHEMA:
            raise ValueError(f"schema {shown(entries['schema'])} is not known")
        values = {field.name: entries[field.name] for field in fields(cls)}
        images = tuple(StudyImage(**image) for image in values["images"])
        testers = tuple(
            Tester(one["name"], one["token"], tuple(Trial(**trial) for trial in one["trials"]))
            for one in values["testers"]
        )
        if any(not 0 <= trial.image < len(images) for one in testers for trial in one.trials):
            raise ValueError("a trial has no image")
        values.update(images=images, testers=testers, training=tuple(values["training"]))
        return cls(**values)

    def shown(self, score: float) -> str:
        """Give a score as testers see it."""
        return shown_score(score, self.step)


@dataclass(frozen=True)
class Answer:
    """What a tester said of a trial: a row of ``answers.csv``.

    Attributes
    ----------
    tester : str
    trial : int
        Number of the trial in this tester's order, from 1.
    showing : str
        One of `SHOWINGS`.
    image : str
        Name of the file.
    y, x, size : int, optional
        Of the patch.
    target, other : float
        The target's score, and that beside it: the prediction, or a random one.
    left, right : str
        The scores as they were shown.
    choice : str
        ``target``, ``prediction`` (the other score), ``equivalent`` or ``discard``.
    seconds : float
        How long the trial was looked at.
    time : str
        In UTC.
    revision : int
        1, and one more each time that the tester went back and changed it: the last one counts.
    """

    tester: str
    trial: int
    showing: str
    image: str
    y: int | None
    x: int | None
    size: int | None
    target: float
    other: float
    left: str
    right: str
    choice: str
    seconds: float
    time: str
    revision: int


#: Columns of the answers.
COLUMNS = tuple(field.name for field in fields(Answer))


def shown_score(score: float, step: float) -> str:
    """Give a score to the nearest multiple of a step, halves upwards."""
    return f"{math.floor(score / step + 0.5 + _FEW) * step:.{1 if step == 0.1 else 2}f}"


def step_of(*tables_of_scores: Iterable[float]) -> float:
    """Give the step in which scores of several tables look alike: the coarsest of the tables'.

    A table has the coarsest of `STEPS` of which all its scores are multiples, and 0.01 without one.
    """
    return max(_own_step(list(scores)) for scores in tables_of_scores)


def _own_step(scores: Sequence[float]) -> float:
    for step in STEPS:
        if all(abs(score / step - round(score / step)) < _FEW for score in scores):
            return step
    return STEPS[-1]


def pair_scores(
    images: Sequence[tuple[str, Path]], target: ScoreTable, prediction: ScoreTable
) -> tuple[list[StudyImage], list[str]]:
    """Find the images that have a score in both tables.

    Parameters
    ----------
    images
        Names and paths of files, as `files.images.find` gives them. A name in a table is one of
        these names, a path from the folder of the table on, or the name of a file that only one
        of the images has.
    target, prediction
        Scores of the expert and of the network.

    Returns
    -------
    images : list of StudyImage
        In the order in which they were found, patches of an image as the target's table has them.
    notes : list of str
        Sentences on what is left out.

    Raises
    ------
    SettingsError
        No image has both scores, or one of the tables has a single score for all.
    FileError
        Two names in a table are of the same image.
    """
    known = _Names(images)
    notes: list[str] = []
    of_target = _resolved(known, target, notes)
    of_prediction = _resolved(known, prediction, notes)
    order = {path: number for number, (_, path) in enumerate(images)}
    paired = []
    for key in sorted(of_target, key=lambda key: order[key[0]]):
        if key in of_prediction:
            path, plane, y, x, size = key
            whole_path = tables.as_stored(str(path.absolute())) + (f"#{plane}" if plane else "")
            scores = of_target[key], of_prediction[key]
            paired.append(StudyImage(known.name_of(path, plane), whole_path, y, x, size, *scores))
    for own, others, table in (
        (of_target, of_prediction, target),
        (of_prediction, of_target, prediction),
    ):
        alone = [_told(known, key) for key in own if key not in others]
        if alone:
            notes.append(f"Left out, with a score in {table.path} alone: {_some(alone)}.")
    neither = {path for _, path in images} - {key[0] for key in (*of_target, *of_prediction)}
    if neither:
        names = [name for name, path in images if path in neither]
        notes.append(f"Left out, without a score: {_some(names)}.")
    if not paired:
        raise SettingsError(
            f"No image has a score in both {target.path} and {prediction.path}. "
            + (" ".join(notes) or "Both tables must name files of `images`.")
        )
    for table, given in (
        (target, {image.target for image in paired}),
        (prediction, {image.prediction for image in paired}),
    ):
        if len(given) == 1 and len(paired) > 1:
            raise SettingsError(
                f"{table.path} has one score, {given.pop():g}, for all {len(paired)} images: "
                "testers would know it by that; scores must differ."
            )
    return paired, notes


# File, which plane of it, and patch.
_Key = tuple[Path, str, "int | None", "int | None", "int | None"]


class _Names:
    """Images by what tables call them."""

    def __init__(self, images: Sequence[tuple[str, Path]]) -> None:
        self._by_name = dict(images)
        self._names = {path: name for name, path in images}
        self._by_place = {os.path.realpath(path): path for _, path in images}
        alone = Counter(path.name for _, path in images)
        self._by_last = {path.name: path for _, path in images if alone[path.name] == 1}

    def name_of(self, path: Path, plane: str) -> str:
        return tables.as_stored(self._names[path]) + (f"#{plane}" if plane else "")

    def find(self, text: str, folder: Path) -> tuple[Path, str] | None:
        """Give the file that a table in a folder means, and which plane of it."""
        path = self._file(text, folder)
        if path is not None:
            return path, ""
        name, _, plane = text.rpartition("#")
        place = file_of(text, folder)[1]
        path = self._file(name, folder) if place else None
        return None if path is None else (path, plane.replace("&", ","))

    def _file(self, text: str, folder: Path) -> Path | None:
        for name in tables.names_stored_as(text):
            name = name.replace("\\", "/") if os.sep == "\\" else name
            with contextlib.suppress(ValueError, OSError):
                found = self._by_name.get(name) or self._by_place.get(
                    os.path.realpath(folder / name)
                )
                found = found or self._by_last.get(name.rpartition("/")[2])
                if found is not None:
                    return found
        return None


def _resolved(known: _Names, table: ScoreTable, notes: list[str]) -> dict[_Key, float]:
    found: dict[_Key, float] = {}
    called: dict[_Key, Place] = {}
    unknown: list[str] = []
    for place, score in table.scores.items():
        meant = known.find(place[0], table.path.parent)
        if meant is None:
            unknown.append(place[0])
            continue
        key = (*meant, *place[1:])
        if key in called:
            raise FileError(
                f"{table.path}: {shown(called[key][0])} and {shown(place[0])} are the same image, "
                "and it must have one score"
            )
        called[key] = place
        found[key] = score
    if table.without_score:
        rows = "row has" if table.without_score == 1 else "rows have"
        notes.append(f"{table.without_score:,} {rows} no score in {table.path}.")
    if unknown:
        notes.append(f"Left out, named in {table.path} and not found: {_some(unknown)}.")
    return found


def _told(known: _Names, key: _Key) -> str:
    path, plane, y, x, size = key
    return known.name_of(path, plane) + ("" if size is None else f" at y {y}, x {x}, {size} px")


def _some(names: Sequence[str]) -> str:
    """Name one of several."""
    number = "1 image" if len(names) == 1 else f"{len(names):,} images"
    return f"{number}, {printable(brief(names[0]))}{' first' if len(names) > 1 else ''}"


def make_trials(
    images: Sequence[StudyImage],
    training: Sequence[float],
    settings: StudySettings,
    tester: str,
) -> tuple[Trial, ...]:
    """Draw a tester's trials: order, sides, random scores and second showings.

    Parameters
    ----------
    images
        Of the study; each is shown once with the scores of target and prediction.
    training
        Scores from which random ones are drawn.
    settings
        Seed and shares.
    tester
        Name, which changes what is drawn.
    """
    rng = np.random.default_rng([settings.seed, *tester.encode("utf-8")])
    n = len(images)
    when = rng.permutation(n) / n
    timed = [
        (float(when[number]), Trial(number, "study", image.prediction, bool(rng.integers(2))))
        for number, image in enumerate(images)
    ]
    ties = rng.permutation(n)
    order = sorted(range(n), key=lambda number: (images[number].target, ties[number]))
    for showing, share in (("baseline", settings.baseline), ("repeat", settings.repeats)):
        for number in _spread(order, share, rng):
            random = float(training[int(rng.integers(len(training)))])
            other = random if showing == "baseline" else images[number].prediction
            earliest = min(when[number] + _PAUSE, 1)
            moment = float(rng.uniform(earliest, 1 + _PAUSE))
            timed.append((moment, Trial(number, showing, other, bool(rng.integers(2)))))
    timed.sort(key=lambda one: one[0])
    return tuple(trial for _, trial in timed)


def _spread(order: Sequence[int], share: float, rng: np.random.Generator) -> list[int]:
    """Take a share of images at random, of bad and good ones alike: at equal steps in an order."""
    n = len(order)
    count = math.floor(share * n + 0.5)
    if not count:
        return []
    start = rng.uniform()
    return [order[min(math.floor((k + start) * n / count), n - 1)] for k in range(count)]


def read_study(folder: str | os.PathLike[str]) -> StudyRecord:
    """Read the record of a study.

    Raises
    ------
    FileError
        There is none in that folder, or it is damaged.
    """
    path = as_path("folder", folder) / RECORD
    with refusals(path):
        try:
            text = read_text(path, _MOST_BYTES)
        except FileNotFoundError:
            raise FileError(f"{path.parent}: has no study in it ({RECORD} is missing)") from None
    try:
        return StudyRecord.from_dict(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(
            f"{path}: is damaged: {brief(str(error))}; take it from a copy, or begin again in "
            "another folder"
        ) from None


def read_answers(folder: str | os.PathLike[str]) -> list[Answer]:
    """Read the answers that count: of each trial the last one, in the order of the first ones.

    Raises
    ------
    FileError
        The table is not readable or damaged; the message names the line and what was found.
    """
    path = as_path("folder", folder) / ANSWERS
    found: dict[tuple[str, int], Answer] = {}
    if not os.path.lexists(path):
        return []
    with refusals(path), open_regular(path) as stream:
        line = 1
        for _, record in tables.records(stream):
            if line > 1 and record.strip() and tables.is_whole(record):
                answer = _answer(path, line, record)
                found[answer.tester, answer.trial] = answer
            line += record.count(b"\n")
    return list(found.values())


def _answer(path: Path, line: int, record: bytes) -> Answer:
    try:
        texts = tables.fields(record)
        if len(texts) != len(COLUMNS):
            raise ValueError(f"it has {len(texts)} fields, and must have {len(COLUMNS)}")
        values: dict[str, Any] = dict(zip(COLUMNS, texts))
        for name in ("trial", "revision"):
            values[name] = int(values[name])
        for name in ("y", "x", "size"):
            values[name] = int(values[name]) if values[name] else None
        for name in ("target", "other", "seconds"):
            values[name] = tables.as_number(values[name])
        if values["choice"] not in CHOICES or values["showing"] not in SHOWINGS:
            raise ValueError(f"{values['showing']!r}, {values['choice']!r} is no answer")
    except ValueError as error:
        raise FileError(f"{path}: line {line} is damaged: {brief(str(error))}") from None
    return Answer(**values)


class Study:
    """A study that is being made, in a folder; used as a context.

    Parameters
    ----------
    folder
        With a study in it, as `begin_study` leaves it.

    Raises
    ------
    FileError
        There is none, it is damaged, cannot be written to, or another process conducts it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = as_path("folder", folder)
        self._guard = threading.Lock()
        self._record = read_study(self.folder)
        self._closing = contextlib.ExitStack()
        self._closing.enter_context(_alone_in(self.folder))
        try:
            # Another process may have changed it before it gave up the lock.
            self._record = read_study(self.folder)
            table = AppendedRows(self.folder / ANSWERS, COLUMNS)
            self._table = self._closing.enter_context(table)
            self._answers = {
                (answer.tester, answer.trial): answer for answer in read_answers(self.folder)
            }
            self._n_done = Counter(name for name, _ in self._answers)
        except BaseException:
            self._closing.close()
            raise

    def __enter__(self) -> Study:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def record(self) -> StudyRecord:
        """What is written of the study."""
        with self._guard:
            return self._record

    @property
    def answers(self) -> list[Answer]:
        """Those that count."""
        with self._guard:
            return list(self._answers.values())

    def answer_to(self, tester: Tester, number: int) -> Answer | None:
        """Give the answer that counts of a tester's trial, by its number from 1."""
        with self._guard:
            return self._answers.get((tester.name, number))

    def done(self, tester: Tester) -> int:
        """Count the trials that a tester has answered."""
        with self._guard:
            return self._done(tester)

    def _done(self, tester: Tester) -> int:
        return self._n_done[tester.name]

    def add_tester(self, name: str) -> Tester:
        """Add a tester, with a link and trials of their own.

        Raises
        ------
        SettingsError
            The name is empty, too long, or another tester has it.
        FileError
            It cannot be written.
        """
        name = " ".join(as_text("tester", name).split())
        if not name or len(name) > _LONGEST_NAME or printable(name) != name:
            raise SettingsError(
                f"tester must have a name of 1 to {_LONGEST_NAME} letters, not {shown(name)}."
            )
        with self._guard:
            if any(one.name.casefold() == name.casefold() for one in self._record.testers):
                raise SettingsError(f"tester {shown(name)} is there already; give another name.")
            record = self._record
            settings = StudySettings(record.seed, record.baseline, record.repeats)
            trials = make_trials(record.images, record.training, settings, name)
            tester = Tester(name, _token(), trials)
            record = replace(record, testers=(*record.testers, tester))
            _write_record(self.folder, record)
            self._record = record
            return tester

    def answer(
        self, tester: Tester, number: int, pressed: str, seconds: float, revision: int
    ) -> bool:
        """Keep an answer; it is on the disk when this returns.

        Parameters
        ----------
        tester
            Who gives it.
        number
            Of the trial, from 1: one that was answered before, or the next one.
        pressed
            One of `PRESSED`.
        seconds
            How long the trial was looked at.
        revision
            1 for the first answer to this trial, and one more for each that replaces it.

        Returns
        -------
        bool
            False where the very same answer was kept before, as when a browser sends it again.

        Raises
        ------
        SettingsError
            It is no answer to a trial that this tester can answer now.
        FileError
            It cannot be written.
        """
        seconds = as_number("seconds", seconds, 0, 1e7)
        if pressed not in PRESSED:
            raise SettingsError(
                f"pressed must be one of {', '.join(PRESSED)}, not {shown(pressed)}."
            )
        with self._guard:
            if not 1 <= number <= min(self._done(tester) + 1, len(tester.trials)):
                raise SettingsError(f"trial {number} is not the next one.")
            answer = self._made(tester, number, pressed, seconds, revision)
            before = self._answers.get((tester.name, number))
            kept = 0 if before is None else before.revision
            if before is not None and revision == kept and answer.choice == before.choice:
                return False
            if revision != kept + 1:
                raise SettingsError(f"trial {number} has been answered elsewhere in the meantime.")
            self._table.append(_as_row(answer))
            self._answers[tester.name, number] = answer
            self._n_done[tester.name] += before is None
        return True

    def _made(
        self, tester: Tester, number: int, pressed: str, seconds: float, revision: int
    ) -> Answer:
        trial = tester.trials[number - 1]
        image = self._record.images[trial.image]
        left, right = sides(self._record, trial)
        if pressed in ("left", "right"):
            if left == right:
                raise SettingsError(
                    f"pressed must be equivalent or discard where both scores are {left}, not "
                    f"{pressed}."
                )
            choice = "target" if (pressed == "left") == trial.target_is_left else "prediction"
        else:
            choice = pressed
        return Answer(
            tester=tester.name,
            trial=number,
            showing=trial.showing,
            image=image.name,
            y=image.y,
            x=image.x,
            size=image.size,
            target=image.target,
            other=trial.other,
            left=left,
            right=right,
            choice=choice,
            seconds=round(seconds, 2),
            time=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            revision=revision,
        )


def sides(record: StudyRecord, trial: Trial) -> tuple[str, str]:
    """Give the scores of a trial as they are shown, left and right."""
    target, other = record.shown(record.images[trial.image].target), record.shown(trial.other)
    return (target, other) if trial.target_is_left else (other, target)


def begin_study(
    folder: str | os.PathLike[str],
    images: Sequence[StudyImage],
    target: ScoreTable,
    prediction: ScoreTable,
    training: ScoreTable | None = None,
    settings: StudySettings | None = None,
) -> tuple[StudyRecord, list[str]]:
    """Make a study in a folder, or go on with the one that is there.

    Parameters
    ----------
    folder
        Made if it is missing.
    images
        With both scores, as `pair_scores` gives them.
    target, prediction
        The tables that these are from.
    training
        Scores that the network was trained on; those of the target's table by default.
    settings
        How it is made; by default, as the study in the folder was, or `StudySettings`.

    Returns
    -------
    record : StudyRecord
    notes : list of str
        Sentences on images that are left out since they cannot be read.

    Raises
    ------
    FileError
        The folder cannot be written to, or another process conducts the study.
    SettingsError
        No image can be read, or the folder has a study of other images, scores or settings.
    """
    folder = as_path("folder", folder)
    drawn = training or target
    readable, notes = _readable(images)
    with refusals(folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        there = read_study(folder) if os.path.lexists(folder / RECORD) else None
        if there is not None:
            record = _continued(there, folder, readable, drawn, settings)
        else:
            if os.path.lexists(folder / ANSWERS):
                raise FileError(
                    f"{folder / ANSWERS}: is there without its {RECORD}; choose another folder"
                )
            made = settings or StudySettings()
            found = (
                [image.target for image in readable],
                [image.prediction for image in readable],
                *([drawn.scores.values()] if made.baseline else []),
            )
            record = StudyRecord(
                seed=made.seed,
                baseline=made.baseline,
                repeats=made.repeats,
                step=made.step or step_of(*found),
                target_table=target.path.name,
                prediction_table=prediction.path.name,
                training_table=drawn.path.name,
                training=tuple(drawn.scores.values()),
                images=tuple(readable),
                token=_token(),
            )
        if record != there:
            _write_record(folder, record)
    return record, notes


def _readable(images: Sequence[StudyImage]) -> tuple[list[StudyImage], list[str]]:
    """Leave out images whose files cannot be opened, or that have no such plane or patch."""
    found, wrong = [], []
    for image in images:
        try:
            _check(image)
            found.append(image)
        except MicroscopeQualityError as error:
            wrong.append(str(error))
    if not found:
        raise SettingsError(f"No image can be read: {wrong[0]}.")
    if not wrong:
        return found, []
    more = f" (and {len(wrong) - 1:,} more)" if len(wrong) > 1 else ""
    return found, [f"Left out: {printable(wrong[0])}{more}."]


def _check(image: StudyImage) -> None:
    """Refuse an image, as far as the header of its file tells."""
    path, place = file_of(image.path, Path())
    pages = [
        page
        for page in open_image(path).pages
        if all(getattr(page, axis) in (None, number) for axis, number in place.items())
    ]
    if not pages:
        raise FileError(f"{path}: has no plane {image.path.rpartition('#')[2]}")
    if len(pages) > 1:
        raise FileError(
            f"{path}: has several planes, and a table of scores must name one, as in "
            f"{path.name}#z=0 or {path.name}#c=0"
        )
    page = pages[0]
    if image.y is None or image.x is None or image.size is None or not page.width:
        return
    if image.y + image.size > page.height or image.x + image.size > page.width:
        raise FileError(
            f"{path}: has {page.width} × {page.height} pixels, and no patch of {image.size} × "
            f"{image.size} at x = {image.x}, y = {image.y}"
        )


def _continued(
    record: StudyRecord,
    folder: Path,
    images: Sequence[StudyImage],
    training: ScoreTable,
    settings: StudySettings | None,
) -> StudyRecord:
    """Give the study of a folder with the images where they are now, if it is the same one."""

    def essence(image: StudyImage) -> tuple[object, ...]:
        name = image.name.rpartition("/")[2]
        return name, image.y, image.x, image.size, image.target, image.prediction

    other = ""
    if [essence(image) for image in record.images] != [essence(image) for image in images]:
        other = "images or scores"
    elif record.training != tuple(training.scores.values()):
        other = "training scores"
    elif settings is not None:
        for name in ("seed", "baseline", "repeats", "step"):
            value = getattr(settings, name)
            if value is not None and value != getattr(record, name):
                other = name
    if other:
        raise SettingsError(
            f"{folder} has a study already, with other {other}: give it the same ones to go on, or "
            "choose another folder for a new study."
        )
    moved = tuple(replace(old, path=new.path) for old, new in zip(record.images, images))
    return replace(record, images=moved)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / _LOCK)
    with refusals(folder, "written"):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise FileError(
                f"{folder}: another process conducts the study; end that one first"
            ) from None
        except NotImplementedError:
            pass  # a file system without locks
    try:
        yield
    finally:
        if lock.is_locked:
            # Before the lock is given up: after it, the file could be another process's.
            with contextlib.suppress(OSError):
                (folder / _LOCK).unlink(missing_ok=True)
            lock.release(force=True)


def _token() -> str:
    """Draw the secret part of a link, short enough to be typed on a tablet."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_TOKEN_LETTERS))


def _write_record(folder: Path, record: StudyRecord) -> None:
    with whole(folder / RECORD) as part, part.open("w", encoding="utf-8") as stream:
        json.dump(record.to_dict(), stream, ensure_ascii=False, indent=1)
        stream.flush()
        os.fsync(stream.fileno())


def _as_row(answer: Answer) -> dict[str, object]:
    # Scores in full, not to the six digits of tables.
    row = asdict(answer)
    return {**row, **{name: repr(float(row[name])) for name in ("target", "other", "seconds")}}
