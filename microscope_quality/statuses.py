"""The statuses of images: how each is called, drawn and ranked, on every screen, page and table."""

from __future__ import annotations

import dataclasses
from typing import Dict, Iterable


@dataclasses.dataclass(frozen=True)
class Status:
    """A status that an image can have.

    Attributes
    ----------
    key : str
        In tables and files.
    words : str
        For people.
    sign : str
        One character, told apart without colours.
    colour : str
        As ``#rrggbb``.
    badness : int
        Ranks statuses: 0 good, 1 nothing to judge by, 2 partly bad, 3 bad, 4 not measured.
    said : str
        What is said of images that are counted, where it is more than `words`.
    mark, hatch : str
        Of points and areas in charts, in the terms of Plotly.
    is_rare : bool
        Whether a page names it only where an image has it, and nobody wants to keep such images.
    is_void : bool
        Whether the numbers of such an image mean nothing though it is bad: nobody wants to keep it,
        whatever they are.
    """

    key: str
    words: str
    sign: str
    colour: str
    badness: int
    said: str = ""
    mark: str = "circle"
    hatch: str = ""
    is_rare: bool = False
    is_void: bool = False

    @property
    def is_judged(self) -> bool:
        """Whether the numbers of such an image mean something."""
        return self.badness not in (1, 4) and not self.is_void

    @property
    def is_blank(self) -> bool:
        """Whether such an image was measured, but has nothing to judge by."""
        return self.badness == 1

    @property
    def is_choice(self) -> bool:
        """Whether some want to keep such images, others not."""
        return self.badness in (1, 2) and not self.is_rare

    @property
    def tint(self) -> str:
        """The colour as a ground to write on, as ``#rrggbb``."""
        parts = (int(self.colour[at : at + 2], 16) for at in (1, 3, 5))
        return "#" + "".join(f"{255 - round(0.35 * (255 - part)):02x}" for part in parts)

    def to_dict(self) -> Dict[str, object]:
        """Give what a page is told."""
        return {
            **dataclasses.asdict(self),
            "said": self.said or self.words,
            "judged": self.is_judged,
            "choice": self.is_choice,
        }


# Colours of focus are those of levels 0, 4 and 8: see `overlay.level_colours`.
IN_FOCUS = Status("in_focus", "in focus", "●", "#3cbeff", 0)
OUT_OF_FOCUS = Status("out_of_focus", "out of focus", "○", "#f89045", 3, "", "circle-open", "/")
MIXED = Status(
    "mixed", "mixed", "◐", "#b24bbd", 2, "mixed (parts at different levels)", "diamond", "x"
)
NO_CONTENT = Status(
    "no_content",
    "no content",
    "·",
    "#8a8f98",
    1,
    "without enough content to judge by",
    "cross-thin-open",
    ".",
)
TOO_SMALL = Status(
    "too_small",
    "too small",
    "▫",
    "#b0a58c",
    1,
    "smaller than a patch",
    "square-open",
    "\\",
    is_rare=True,
)
#: Of a measure that knows no limit between good and bad.
MEASURED = Status("measured", "measured", "●", "#4f7fd9", 0)
#: Of a rating: a score from the limit on, and below.
GOOD = Status("good", "good", "●", "#3cbeff", 0)
POOR = Status("poor", "poor", "○", "#f89045", 3, "", "circle-open", "/")
#: Of a grab that failed: cut, empty, or the frame before once more. Its row says which.
FAILED = Status(
    "failed_grab",
    "failed grab",
    "!",
    # Grey: of those that scores are drawn in, any would stand for a score.
    "#5d6470",
    3,
    "of a failed grab",
    "square-x-open",
    "x",
    is_void=True,
)
#: Of an image that could not be measured; its row says why.
ERROR = Status("error", "not measured", "×", "#d1242f", 4, "", "x-thin-open", "-")

#: Of focus, in the order in which they are shown.
FOCUS_STATUSES = (IN_FOCUS, OUT_OF_FOCUS, MIXED, NO_CONTENT, TOO_SMALL)
#: Of ratings, likewise.
RATING_STATUSES = (GOOD, POOR, FAILED, NO_CONTENT, TOO_SMALL)
#: Names of those of measured images with nothing to judge by.
BLANK = (NO_CONTENT.key, TOO_SMALL.key)


def status_named(key: str, statuses: Iterable[Status] = FOCUS_STATUSES) -> Status:
    """Give the status of a name; that of an error for any other."""
    return next((status for status in statuses if status.key == key), ERROR)
