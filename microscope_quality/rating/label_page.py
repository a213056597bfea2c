"""A page on which people score images: what each is shown next, and what becomes of their scores.

All that it knows of a rater stands in the table of labels, so that it goes on where it was after
any end: what is answered is not shown again, and what was not acknowledged is.
"""

from __future__ import annotations

import datetime
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microscope_quality.arguments import as_count, as_number, as_seed, shown
from microscope_quality.errors import FileError, MicroscopeQualityError, SettingsError, reason_of
from microscope_quality.files.images import find_some, open_image
from microscope_quality.rating.labels import (
    LONGEST_COMMENT,
    LONGEST_NAME,
    Label,
    LabelsFile,
    holding,
)
from microscope_quality.rating.page_server import Picture, Request, Route
from microscope_quality.rating.places import patch_places
from microscope_quality.rating.plane_names import file_of, name_of, place_in
from microscope_quality.rating.shown_images import TILE, ShownImages
from microscope_quality.rating.turns import Turn, turns

#: Share of what is shown that is shown twice, unless one says otherwise.
REPEATS = 0.15
#: Side of the smallest patch that tells anything.
SMALLEST_PATCH = 32
#: Scores that are given run from this one to 1.
WORST = 0.1

_LONGEST_LOOK = 86_400.0


@dataclass(frozen=True)
class Unreadable:
    """An image that cannot be shown, and why."""

    image: str
    why: str


@dataclass(frozen=True)
class LabelSettings:
    """What raters are shown.

    Attributes
    ----------
    patch : int, optional
        Side of the patches in pixels; None for whole images.
    per_image : int
        Patches of each image.
    repeats : float
        Share that is shown twice, from 0 to 1.
    seed : int
        Of the random places and order.
    channel : int, optional
        That is shown of images with several, from 0; all of them without it.
    rater : str
        Name of the one rater; empty where the page asks for it.

    Raises
    ------
    SettingsError
        A value is out of its range.
    """

    patch: int | None = None
    per_image: int = 1
    repeats: float = REPEATS
    seed: int = 0
    channel: int | None = None
    rater: str = ""

    def __post_init__(self) -> None:
        if self.patch is not None:
            as_count("patch", self.patch, SMALLEST_PATCH, 2**20)
        as_count("per_image", self.per_image, 1, 10_000)
        if self.patch is None and self.per_image > 1:
            raise SettingsError("per_image counts patches of an image: give `patch` too.")
        as_number("repeats", self.repeats, 0, 1)
        as_seed(self.seed)
        if self.channel is not None:
            as_count("channel", self.channel, 0)
        if self.rater:
            as_rater(self.rater)


def as_rater(name: Any) -> str:
    """Give the name of a rater as the table has it.

    Raises
    ------
    SettingsError
        It is empty, too long, or holds what is no letter, sign or space.
    """
    text = " ".join(name.split()) if isinstance(name, str) else ""
    if not text or len(text) > LONGEST_NAME or not text.isprintable():
        raise SettingsError(
            f"rater must be a name of 1 to {LONGEST_NAME} letters, not {shown(name)}."
        )
    return text


def listed(
    paths: Sequence[Path], folder: Path, channel: int | None = None
) -> tuple[list[str], list[Unreadable]]:
    """Find images and name their planes.

    Parameters
    ----------
    paths
        Files, folders and patterns, as `files.images.find` takes them.
    folder
        From which on they are named.
    channel
        That is to be shown.

    Returns
    -------
    list of str
        Names, each once.
    list of Unreadable
        Files of which not even the header can be read.

    Raises
    ------
    FileError
        There is no file at all.
    """
    names: dict[str, None] = {}
    unreadable = []
    for _, path in find_some(paths):
        whole_name = name_of(path, folder)
        if "\n" in whole_name or "\r" in whole_name:
            why = "has a line break in its name, which a table of labels cannot hold; rename it"
            unreadable.append(Unreadable(" ".join(whole_name.split()), why))
            continue
        try:
            pages = open_image(path).pages
            several = len(pages) > 1
            for page in pages:
                place = place_in(page) if several else {}
                if channel is not None and page.c not in (None, channel):
                    continue
                if channel is not None:
                    place["c"] = channel
                names[name_of(path, folder, place)] = None
        except MicroscopeQualityError as error:
            unreadable.append(Unreadable(whole_name, reason_of(error, path)))
    return list(names), unreadable


@dataclass(frozen=True)
class _Question:
    """What is shown, and where it stands among what was answered; -1 for the next one."""

    label: Label
    height: int
    width: int
    at: int = -1


class LabelPage:
    """What the page asks for and tells; its `routes` are served by a `PageServer`.

    Parameters
    ----------
    images
        Names, as `listed` gives them.
    labels
        Where scores go.
    settings
        What is shown.
    unreadable
        Images that are known not to be readable.
    tell
        Called with a sentence on each further one, as it is found.
    """

    def __init__(
        self,
        images: Sequence[str],
        labels: LabelsFile,
        settings: LabelSettings,
        unreadable: Sequence[Unreadable] = (),
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._images = list(images)
        self._known = set(images)
        self._labels = labels
        self._settings = settings
        self._tell = tell
        self._shown = ShownImages(labels.path.parent)
        # Of images that were looked at: sizes, places of patches, and why there are none.
        self._sizes: dict[str, tuple[int, int]] = {}
        self._places: dict[str, list[tuple[int, int]]] = {}
        self._unreadable = {one.image: one for one in unreadable}
        self._looking = threading.Lock()
        self._turns: dict[str, list[Turn]] = {}

    @property
    def routes(self) -> Mapping[str, Route]:
        """What answers, by method and path."""
        return {
            "GET /state": self._state,
            "GET /question": self._question,
            "GET /tile": self._tile,
            "POST /score": self._score,
        }

    # What the page asks.

    def _state(self, _: Request) -> dict[str, Any]:
        given: dict[str, int] = {}
        for label in holding(self._labels.rows).values():
            given[label.rater] = given.get(label.rater, 0) + 1
        named = [{"name": name, "given": count} for name, count in given.items() if name]
        return {
            "rater": self._settings.rater,
            "raters": sorted(named, key=lambda one: str(one["name"]).casefold()),
            "patch": self._settings.patch,
            "tile": TILE,
            "images": len(self._images),
            "table": self._labels.path.name,
        }

    def _question(self, request: Request) -> dict[str, Any]:
        rater = self._rater(request.query.get("rater"))
        at = request.query.get("at", "")
        if not at:
            return self._next(rater)
        history = self._history(rater)
        number = as_count("at", int(at) if at.isdecimal() else -1, 0)
        if number >= len(history):
            return self._next(rater)
        label = history[number]
        if not self._is_there(label.image):
            raise SettingsError(
                f"{label.image}: {self._unreadable[label.image].why}; it cannot be shown again."
            )
        return self._asked(rater, _Question(label, *self._side(label), number), history)

    def _tile(self, request: Request) -> Picture:
        query = request.query
        name = query.get("image", "")
        if name not in self._known:
            raise SettingsError("There is no such image.")
        numbers = ("y", "x", "height", "width", "level", "row", "column")
        y, x, height, width, level, row, column = (
            as_count(one, int(query[one]) if query.get(one, "").isdecimal() else -1)
            for one in numbers
        )
        tile = self._shown.tile(name, (y, x, height, width), level, row, column)
        return Picture(tile, "image/png")

    # What it tells.

    def _score(self, request: Request) -> dict[str, Any]:
        said = request.content
        rater = self._rater(said.get("rater"))
        image, score, seconds = said.get("image"), said.get("score"), said.get("seconds")
        if image not in self._known:
            raise SettingsError(f"image must be one that is shown here, not {shown(image)}.")
        place = [said.get(name) for name in ("y", "x", "size")]
        if (place[2] is None) != (self._settings.patch is None):
            raise SettingsError("The page was opened for other patches: load it again.")
        if score is not None:
            score = round(as_number("score", score, WORST, 1), 6)
        comment = said.get("comment", "")
        comment = " ".join(comment.split())[:LONGEST_COMMENT] if isinstance(comment, str) else ""
        now = datetime.datetime.now(datetime.timezone.utc)
        self._labels.add(
            Label(
                image,
                y=place[0],
                x=place[1],
                size=place[2],
                score=math.nan if score is None else score,
                rater=rater,
                time=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                seconds=round(as_number("seconds", seconds, 0, _LONGEST_LOOK), 1),
                repeat=as_count("repeat", said.get("repeat"), 0, 1),
                comment=comment,
            )
        )
        return self._next(rater)

    # What comes next.

    def _rater(self, name: object) -> str:
        rater = as_rater(name)
        if self._settings.rater and rater != as_rater(self._settings.rater):
            raise SettingsError(f"rater must be {self._settings.rater}, for whom the page is.")
        return rater

    def _history(self, rater: str) -> list[Label]:
        """Answers of a rater that can be shown again, in the order of the questions."""
        rows = [label for label in self._labels.rows if label.rater == rater]
        size = self._settings.patch
        return [
            label
            for label in holding(rows).values()
            if label.image in self._known and label.size == size
        ]

    def _next(self, rater: str) -> dict[str, Any]:
        history = self._history(rater)
        found = self._open(rater, history)
        question = next(found, None)
        if question is not None:
            # The one after it is read while this one is looked at.
            threading.Thread(target=next, args=(found, None), daemon=True).start()
        return self._asked(rater, question, history)

    def _open(self, rater: str, history: Sequence[Label]) -> Iterator[_Question]:
        """Find what is not answered, in its order; images are read as they are come to."""
        rows = [label for label in self._labels.rows if label.rater == rater]
        last = rows[-1].place if rows else None
        first = _first_times(history)
        again = {label.place for label in history if label.repeat}
        for turn in self._turns_of(rater):
            answered = first.get(turn.image, ())
            if turn.repeat:
                label = self._second_time(turn, answered)
                if label is None or label.place == last or label.place in again:
                    continue
            else:
                label = self._first_time(turn, answered, rater)
            if label is not None:
                yield _Question(label, *self._side(label))

    def _first_time(self, turn: Turn, answered: Sequence[Label], rater: str) -> Label | None:
        """Give what is shown at a turn, without its answer; None if it is answered or cannot be."""
        if turn.number < len(answered) or not self._is_there(turn.image):
            return None
        size = self._settings.patch
        if size is None:
            return Label(turn.image, rater=rater)
        places = self._places[turn.image]
        if turn.number >= len(places):
            return None
        label = Label(turn.image, *places[turn.number], size, rater=rater)
        return None if any(label.place == one.place for one in answered) else label

    def _second_time(self, turn: Turn, answered: Sequence[Label]) -> Label | None:
        """Give what is shown again at a turn; None if it was not answered before."""
        if turn.number >= len(answered) or answered[turn.number].is_skipped:
            return None
        label = answered[turn.number]
        if not self._is_there(turn.image):
            return None
        return Label(*label.place, rater=label.rater, repeat=1)

    def _is_there(self, image: str) -> bool:
        """Look at an image, unless that was done before, and say whether it can be shown."""
        with self._looking:
            if image not in self._sizes and image not in self._unreadable:
                try:
                    self._look_at(image)
                except (MicroscopeQualityError, OSError, ValueError, MemoryError) as error:
                    path = file_of(image, self._labels.path.parent)[0]
                    why = reason_of(error, path) or type(error).__name__
                    self._unreadable[image] = Unreadable(image, why)
                    self._tell(f"{image}: {why}; it is not shown.")
            return image not in self._unreadable

    def _look_at(self, image: str) -> None:
        size = self._settings.patch
        with self._shown.reading(image) as plane:
            height, width = plane.shape
            if size is not None:
                if min(height, width) < size:
                    raise FileError(
                        f"has {width} × {height} pixels, and a patch of {size} × {size} does not "
                        "fit into it"
                    )
                self._places[image] = patch_places(
                    plane, size, self._settings.per_image, name=image, seed=self._settings.seed
                )
        self._sizes[image] = height, width

    def _side(self, label: Label) -> tuple[int, int]:
        return (label.size, label.size) if label.size is not None else self._sizes[label.image]

    def _turns_of(self, rater: str) -> list[Turn]:
        if rater not in self._turns:
            chosen = self._settings
            self._turns[rater] = turns(
                self._images, chosen.per_image, rater, seed=chosen.seed, repeats=chosen.repeats
            )
        return self._turns[rater]

    def _asked(
        self, rater: str, question: _Question | None, history: Sequence[Label]
    ) -> dict[str, Any]:
        """Give what the page shows: the question, and how far the rater is."""
        left = 0 if question is None else self._left(rater, history)
        answer: dict[str, Any] = {
            "answered": len(history),
            "total": len(history) + left,
            "unreadable": [vars(one) for one in self._unreadable.values()],
            "question": None,
        }
        if question is not None:
            label = question.label
            answer["question"] = {
                **{name: getattr(label, name) for name in ("image", "y", "x", "size", "repeat")},
                "height": question.height,
                "width": question.width,
                "at": question.at,
                "score": None if label.is_skipped else label.score,
                "is_skipped": question.at >= 0 and label.is_skipped,
                "comment": label.comment,
            }
        return answer

    def _left(self, rater: str, history: Sequence[Label]) -> int:
        """Count what is still to come, as far as it is known what can be shown."""
        first = _first_times(history)
        again = {label.place for label in history if label.repeat}
        left = 0
        for turn in self._turns_of(rater):
            answered = first.get(turn.image, ())
            if turn.number < len(answered):
                label = answered[turn.number]
                left += bool(turn.repeat and not label.is_skipped and label.place not in again)
            elif turn.image not in self._unreadable:
                places = self._places.get(turn.image)
                left += places is None or turn.number < len(places)
        return left


def _first_times(history: Sequence[Label]) -> dict[str, list[Label]]:
    """Give answers to what was shown for the first time, by image and in their order."""
    first: dict[str, list[Label]] = {}
    for label in history:
        if not label.repeat:
            first.setdefault(label.image, []).append(label)
    return first
