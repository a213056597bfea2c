"""In which order a rater is shown what, and what is shown a second time.

The order is drawn for each rater by their name, so that what raters have in common when they grow
tired or practised falls on other images each time. It does not depend on how many images there
are: when some are added, the others keep their order.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

#: Fewest images between the two times that one is shown, where there are enough.
APART = 8


@dataclass(frozen=True)
class Turn:
    """What is shown once.

    Attributes
    ----------
    image : str
        Its name.
    number : int
        Of the patch in the image, from 0; 0 for a whole image.
    repeat : int
        1 for the second time, else 0.
    """

    image: str
    number: int
    repeat: int


def turns(
    images: Sequence[str], per_image: int, rater: str, *, seed: int = 0, repeats: float = 0.15
) -> list[Turn]:
    """Give what a rater is shown, in its order.

    Parameters
    ----------
    images
        Names, each once.
    per_image
        Patches of each.
    rater
        Name of the rater.
    seed
        Of the random order.
    repeats
        Share that is shown twice. The second time comes 8 to 32 others later, earlier where there
        are not as many, and never right after the first one.

    Returns
    -------
    list of Turn
        Patches of one image come in the order of their numbers.
    """
    drawn = []
    for image in images:
        # The places stay in their order, so that how many are answered tells which ones are.
        places = sorted(_even(seed, rater, image, k, "order") for k in range(per_image))
        drawn += [(at, Turn(image, number, 0)) for number, at in enumerate(places)]
    first = [turn for _, turn in sorted(drawn, key=lambda one: (one[0], one[1].image))]
    apart = min(APART, max(1, len(first) // 4))
    # After the last of these, too few are left to come between.
    early = range(len(first) - apart)
    wanted = min(round(repeats * len(first)), len(early))

    def chance(at: int, what: str) -> float:
        return _even(seed, rater, first[at].image, first[at].number, what)

    again = sorted(sorted(early, key=lambda at: chance(at, "repeat"))[:wanted])
    placed = [(float(at), turn) for at, turn in enumerate(first)]
    for at in again:
        later = at + apart + 3 * apart * chance(at, "distance")
        # Behind a first time, and not all of them at the very end in the same order.
        placed.append(
            (min(later, len(first) - 1) + 0.5, Turn(first[at].image, first[at].number, 1))
        )
    return [turn for _, turn in sorted(placed, key=lambda one: one[0])]


def _even(seed: int, *words: object) -> float:
    """Draw a number from 0 to 1 that these words alone determine."""
    text = "\0".join(map(str, (seed, *words)))
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    number: int = struct.unpack("<Q", digest[:8])[0]
    return number / 2**64
