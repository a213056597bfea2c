"""A page that shows what a watch finds, for browsers on the same computer.

It only tells: there is nothing that a request could change. All that comes from files is sent as
JSON and put on the page as text.

A `Board` knows no measure. It is told, once, what is watched, the statuses that results can have,
what their number is called and the colours of its scale; then `Card`s as they come (`show`,
`change`), how many there are of each status (`count`), and how the watch goes (`beat`).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from importlib import resources
from typing import Any
from urllib.parse import SplitResult

from microscope_quality.batch.local_server import Handler, LocalServer
from microscope_quality.statuses import Status

#: Results that are shown, the newest ones.
MOST_CARDS = 60
#: Minutes of which the rate is shown.
MINUTES = 30

_STATIC = {
    "/": ("status_page.html", "text/html; charset=utf-8"),
    "/status_page.css": ("status_page.css", "text/css; charset=utf-8"),
    "/status_page.js": ("status_page.js", "text/javascript; charset=utf-8"),
}


@dataclass(frozen=True)
class Card:
    """A result on the page.

    Attributes
    ----------
    name : str
        Of the file.
    time : str
        When it was there, in UTC; empty if that is not known.
    kind : str
        The key of its status.
    title, detail : str
        The number in short, and what else is to be said.
    more : str
        What is said of it when it is large.
    colour : str
        Of the number, as ``#rrggbb``.
    alert : str
        Why it raised an alert; empty if it did not.
    picture : bytes, optional
        A JPEG file.
    old : bool
        Whether it is of an earlier start.
    """

    name: str
    time: str
    kind: str
    title: str = ""
    detail: str = ""
    colour: str = ""
    alert: str = ""
    picture: bytes | None = None
    more: str = ""
    old: bool = False


@dataclass
class _Shown:
    cards: deque[tuple[int, Card]] = field(default_factory=lambda: deque(maxlen=MOST_CARDS))
    counts: dict[str, int] = field(default_factory=dict)
    minutes: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=MINUTES + 1))
    state: dict[str, object] = field(default_factory=dict)
    number: int = 0
    beat: float = 0.0


class Board:
    """What the page shows; written by one thread and read by others.

    Parameters
    ----------
    title
        What is watched.
    statuses
        Of the results.
    noun
        What their number is called.
    scale
        Colours of the numbers from the best to the worst, with the words for both ends.
    clock
        Seconds that never go back.
    """

    def __init__(
        self,
        title: str,
        statuses: Sequence[Status],
        *,
        noun: str = "",
        scale: tuple[str, Sequence[str], str] = ("", (), ""),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fixed = {
            "title": title,
            "kinds": [status.to_dict() for status in statuses],
            "noun": noun,
            "scale": {"from": scale[0], "colours": list(scale[1]), "to": scale[2]},
        }
        self._clock = clock
        self._lock = threading.Lock()
        self._shown = _Shown(beat=clock())

    def beat(self, **state: object) -> None:
        """Say that the watch is alive, and how it goes: words and what JSON can hold."""
        with self._lock:
            self._shown.beat = self._clock()
            self._shown.state.update(state)

    def count(self, counts: Mapping[str, int]) -> None:
        """Set the numbers of results of each kind."""
        with self._lock:
            self._shown.counts = dict(counts)

    def show(self, card: Card, *, new: bool = True, instead_of: Collection[str] = ()) -> None:
        """Put a result in front, in place of what has its name, or one of others.

        One that is not `new` counts for no rate.
        """
        with self._lock:
            shown = self._shown
            for number, other in list(shown.cards):
                if other.name == card.name or other.name in instead_of:
                    shown.cards.remove((number, other))
            shown.number += 1
            shown.cards.append((shown.number, card))
            if not new:
                return
            minute = int(self._clock() // 60)
            if shown.minutes and shown.minutes[-1][0] == minute:
                shown.minutes[-1] = (minute, shown.minutes[-1][1] + 1)
            else:
                shown.minutes.append((minute, 1))

    def change(self, name: str, **changes: Any) -> None:
        """Change fields of the result of a file, where it is."""
        with self._lock:
            cards = self._shown.cards
            for place, (number, card) in enumerate(cards):
                if card.name == name:
                    cards[place] = number, replace(card, **changes)

    def picture(self, number: int) -> bytes | None:
        """Picture of a result that is shown."""
        with self._lock:
            return next((card.picture for n, card in self._shown.cards if n == number), None)

    def to_json(self) -> bytes:
        """Give all that is shown, but for the pictures."""
        # The watch waits for this lock: what takes longer is done without it.
        with self._lock:
            now = self._clock()
            shown = replace(
                self._shown,
                cards=self._shown.cards.copy(),
                counts=dict(self._shown.counts),
                minutes=self._shown.minutes.copy(),
                state=dict(self._shown.state),
            )
        of_minute = dict(shown.minutes)
        minute = int(now // 60)
        cards: list[dict[str, object]] = [
            {
                **vars(card),
                **{
                    name: _text(getattr(card, name)) for name in ("name", "detail", "more", "alert")
                },
                "id": number,
                "picture": card.picture is not None,
            }
            for number, card in reversed(shown.cards)
        ]
        content = {
            **self._fixed,
            **shown.state,
            "counts": shown.counts,
            "minutes": [of_minute.get(minute - k, 0) for k in reversed(range(MINUTES))],
            "quiet_seconds": round(now - shown.beat, 1),
            "cards": cards,
        }
        return json.dumps(content).encode("ascii")


def _text(text: str) -> str:
    """Text without what a browser might take as a sign to turn its direction or break a line."""
    return "".join(c if c.isprintable() else "�" for c in text)


class StatusPage(LocalServer):
    """The server of the page; see `LocalServer`.

    Parameters
    ----------
    board
        What is shown.
    host, port
        Where it listens, as `address_of` gives them; port 0 takes a free one.

    Raises
    ------
    FileError
        The port is taken, or the address is not one of this computer.
    """

    def __init__(self, board: Board, host: str, port: int) -> None:
        pages = {
            path: (resources.files("microscope_quality.batch").joinpath(name).read_bytes(), kind)
            for path, (name, kind) in _STATIC.items()
        }
        super().__init__(_Handler, host, port, static=pages, shown=board)


class _Handler(Handler):
    static: dict[str, tuple[bytes, str]]
    shown: Board

    def give(self, asked: SplitResult) -> None:
        path = asked.path
        picture = re.fullmatch(r"/picture/([0-9]{1,12})", path)
        if path in self.static:
            self.answer(*self.static[path])
        elif path == "/state.json":
            self.answer(self.shown.to_json(), "application/json")
        elif picture is not None and (content := self.shown.picture(int(picture[1]))):
            self.answer(content, "image/jpeg")
        else:
            self.refuse(HTTPStatus.NOT_FOUND)
