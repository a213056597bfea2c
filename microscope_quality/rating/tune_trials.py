"""What a search tried and what came of it, kept in a folder whatever ends it."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files import tables
from microscope_quality.files.regular import open_regular, read_text, refusals
from microscope_quality.files.whole import whole
from microscope_quality.rating.appended_rows import AppendedRows
from microscope_quality.rating.tune_space import Space, described, from_description

#: In the folder of a search: what is searched, its trials, their pictures, and the page.
SEARCH, TRIALS, PICTURES, PAGE = "search.json", "trials.csv", "pictures", "tuning.html"
#: Columns of the trials besides parameters and what is kept low.
BEFORE = ("trial", "purpose", "time")
AFTER = ("score", "seconds", "error", "more")
#: Measurements that a search knows by name: the exposure of the specimen, and the time.
DOSE, SECONDS = "dose", "seconds"
#: Of a folder one search at a time is the writer.
_LOCK = ".lock"
_SCHEMA = 1
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class Trial:
    """An image that was taken, or was to be taken.

    Attributes
    ----------
    number : int
        From 0.
    purpose : str
        ``start`` for settings that the search was given, ``search`` for those that it found,
        ``repeat`` for the best ones taken again.
    parameters : dict
        The settings.
    score : float
        NaN where the trial failed.
    measurements : dict of float
        What came with the image, such as ``dose``, and always ``seconds``: the time that the
        acquisition took, unless it told another.
    error : str
        Why it failed; empty if it did not.
    time : str
        When it ended, in UTC.
    picture : bytes
        A small WebP file of the image; empty without one.
    """

    number: int
    purpose: str
    parameters: Mapping[str, Any]
    score: float = math.nan
    measurements: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    time: str = ""
    picture: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Estimate:
    """What is known of settings that were tried.

    Attributes
    ----------
    parameters : dict
    score : float
        Without noise, estimated from all trials by their likeness.
    spread : float
        Standard deviation of the estimate.
    images : int
        Number of images with these settings.
    """

    parameters: Mapping[str, Any]
    score: float
    spread: float
    images: int


@dataclass(frozen=True)
class TuneResult:
    """What a search found.

    Attributes
    ----------
    space : dict
    minimise : tuple of str
        What was to be low beside a high score.
    trials : tuple of Trial
        In their order.
    estimates : tuple of Estimate
        Of each different setting that gave a score, the best one first.
    front : tuple of Trial
        Of which no other has both a higher score and less of all that was to be low; without
        anything to be low, empty.
    noise : float
        Standard deviation of a single score.
    ended : str
        ``images`` or ``dose`` when that was spent, ``grid`` when all of it was tried,
        ``interrupted`` by Ctrl-C; empty for one that is read from its folder.
    """

    space: Space
    minimise: tuple[str, ...]
    trials: tuple[Trial, ...]
    estimates: tuple[Estimate, ...]
    front: tuple[Trial, ...]
    noise: float
    ended: str

    @property
    def best(self) -> Estimate | None:
        """The settings that are recommended: of the highest estimate; None if none gave a score."""
        return self.estimates[0] if self.estimates else None

    @property
    def dose(self) -> float:
        """Sum of the doses that are known of the trials."""
        return sum(trial.measurements.get(DOSE, 0.0) for trial in self.trials)


class TrialLog:
    """The trials of a search, in a folder; used as a context.

    A trial is on the disk when `append` returns. Another search with the same folder goes on from
    there.

    Parameters
    ----------
    folder
        Made if it is missing.
    space, minimise
        Of the search. They must be those that the folder was begun with.

    Attributes
    ----------
    trials : list of Trial
        That are there.

    Raises
    ------
    FileError
        The folder cannot be written to, another search writes there, or it holds something else.
    SettingsError
        It is of a search with another space.
    """

    def __init__(self, folder: Path, space: Space, minimise: Sequence[str]) -> None:
        from filelock import FileLock, Timeout

        self.folder, self.space, self.minimise = folder, space, tuple(minimise)
        with refusals(folder, "written"):
            (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / _LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise FileError(
                f"{folder}: another search is writing there; wait for its end, or choose another "
                "folder"
            ) from None
        except NotImplementedError:
            pass  # a file system without locks
        try:
            self._begin()
            self._rows = AppendedRows(folder / TRIALS, columns_of(space, self.minimise))
            self.trials = read_trials(folder, space, self.minimise)
        except BaseException:
            self._lock.release(force=True)
            raise

    def __enter__(self) -> TrialLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.close()
        if self._lock.is_locked:
            with contextlib.suppress(OSError):
                (self.folder / _LOCK).unlink(missing_ok=True)
            self._lock.release(force=True)

    def _begin(self) -> None:
        path = self.folder / SEARCH
        own = {"schema": _SCHEMA, "space": described(self.space), "minimise": list(self.minimise)}
        if not path.exists():
            if (self.folder / TRIALS).exists():
                raise FileError(
                    f"{self.folder}: has {TRIALS} without {SEARCH}; choose another folder"
                )
            with whole(path) as part:
                part.write_text(json.dumps(own, indent=1) + "\n", encoding="utf-8")
        elif read_search(self.folder) != (self.space, self.minimise):
            raise SettingsError(
                f"{self.folder} is of a search in another space, or for other aims: go on with "
                "those, or choose another folder."
            )

    def append(self, trial: Trial) -> None:
        """Keep a trial.

        Raises
        ------
        FileError
            The disk refuses.
        """
        if trial.picture:
            # The row last: what it tells of is there.
            with whole(_picture(self.folder, trial.number)) as part:
                part.write_bytes(trial.picture)
        more = dict(trial.measurements)
        known = {name: more.pop(name, "") for name in {*self.minimise, SECONDS}}
        self._rows.append(
            {
                "trial": trial.number,
                "purpose": trial.purpose,
                "time": trial.time,
                **{name: str(value) for name, value in trial.parameters.items()},
                **{name: repr(value) if value != "" else "" for name, value in known.items()},
                "score": "" if math.isnan(trial.score) else repr(trial.score),
                "error": trial.error,
                "more": json.dumps(more) if more else "",
            }
        )
        self.trials.append(trial)


def columns_of(space: Space, minimise: Sequence[str]) -> tuple[str, ...]:
    """Give the columns of the table of trials."""
    low = [name for name in minimise if name not in AFTER]
    return (*BEFORE, *space, *low, *AFTER)


def read_search(folder: Path) -> tuple[Space, tuple[str, ...]]:
    """Read what is searched, and what is to be low.

    Raises
    ------
    FileError
        There is no such file, or it is damaged.
    """
    path = folder / SEARCH
    with refusals(path):
        text = read_text(path, _MOST_BYTES)
    try:
        found = json.loads(text)
        if found["schema"] != _SCHEMA:
            raise FileError(f"{path}: is of another version of this library")
        return from_description(found["space"]), tuple(map(str, found["minimise"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(f"{path}: is damaged ({error})") from None


def read_trials(folder: Path, space: Space, minimise: Sequence[str]) -> list[Trial]:
    """Read the trials of a folder, with their pictures.

    Raises
    ------
    FileError
        The table is missing, or a row of it is damaged. A last row that was never finished is
        left out.
    """
    path, columns = folder / TRIALS, columns_of(space, minimise)
    trials: list[Trial] = []
    with refusals(path), open_regular(path) as stream:
        for number, (_, record) in enumerate(tables.records(stream)):
            if not tables.is_whole(record):
                break
            try:
                found = tables.fields(record)
                if number == 0:
                    if tuple(found) != columns:
                        raise ValueError("it has other columns")
                    continue
                if len(found) != len(columns):
                    raise ValueError(f"{len(found)} fields under {len(columns)} columns")
                trials.append(_trial(dict(zip(columns, found)), space, minimise, folder))
            except (ValueError, TypeError) as error:
                raise FileError(f"{path}: row {number} is damaged ({error})") from None
    return trials


def _trial(row: Mapping[str, str], space: Space, minimise: Sequence[str], folder: Path) -> Trial:
    more = json.loads(row["more"] or "{}")
    known = {name: row[name] for name in (*minimise, SECONDS) if row[name]}
    if not row["error"] and not (row["score"] and all(row[name] for name in minimise)):
        raise ValueError("it has neither all its numbers nor an error")
    number = int(row["trial"])
    picture = b""
    with contextlib.suppress(OSError), open_regular(_picture(folder, number)) as stream:
        picture = stream.read()
    return Trial(
        number,
        row["purpose"],
        {name: one.read(row[name]) for name, one in space.items()},
        tables.as_number(row["score"]),
        {name: float(value) for name, value in {**known, **more}.items()},
        row["error"],
        row["time"],
        picture,
    )


def _picture(folder: Path, number: int) -> Path:
    return folder / PICTURES / f"{number:04}.webp"


def taken_names(minimise: Sequence[str]) -> frozenset[str]:
    """Names that a parameter cannot have, since the table has them already."""
    return frozenset((*BEFORE, *AFTER, *minimise))
