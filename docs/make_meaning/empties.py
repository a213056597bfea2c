"""Fields that show nothing."""

from __future__ import annotations

import numpy as np
from PIL import Image

from docs.make_meaning.drawing import SOFT, WIDTH_PX, Canvas, enlarged, grey
from docs.make_meaning.specimens import Part, measured

FIELDS_PER_KIND = 100
SHAPE = (420, 420)
# Of the picture: fields side by side, how many of their pixels are averaged on a side, how large
# each such square is drawn (the page's pixels are two), and the room for two lines of text.
_COLUMNS, _AVERAGED, _TIMES, _TEXT = 4, 4, 3, 56


def empties() -> Part:
    """Measure fields without a specimen whose light is not even."""
    from benchmarks.structured_empties import KINDS, empty_field

    found = {
        kind: [
            measured(empty_field(kind, number, SHAPE)).status for number in range(FIELDS_PER_KIND)
        ]
        for kind in KINDS
    }
    right = {kind: statuses.count("no_content") for kind, statuses in found.items()}
    numbers = {f"empties_{kind.split()[-1]}": str(count) for kind, count in right.items()}
    numbers["empties_fields"] = str(FIELDS_PER_KIND)
    numbers["empties_lowest"] = str(min(right.values()))
    numbers["empties_all"] = str(sum(right.values()))
    numbers["empties_in_focus"] = str(sum(of.count("in_focus") for of in found.values()))

    def draw() -> Image.Image:
        rows = -(-len(KINDS) // _COLUMNS)
        side = SHAPE[0] // _AVERAGED * _TIMES / 2
        canvas = Canvas(round(rows * (side + _TEXT)))
        step = (WIDTH_PX - side - 38) / (_COLUMNS - 1)
        for place, (kind, count) in enumerate(right.items()):
            left, top = 2 + place % _COLUMNS * step, place // _COLUMNS * (side + _TEXT)
            # The brightest of some: its structure stands out from its noise.
            plane = max(
                (empty_field(kind, number, SHAPE) for number in range(8)),
                key=lambda field: float(np.median(field)),
            )
            n = SHAPE[0] // _AVERAGED
            small = plane.reshape(n, _AVERAGED, n, _AVERAGED).mean(axis=(1, 3))
            # So many greys that what is smooth has no steps, and no more: noise makes files large.
            shades = grey(small, *np.percentile(small, [0.5, 99.5]).tolist()) // 5 * 5
            canvas.paste(enlarged(shades, _TIMES).convert("RGB"), left, top)
            canvas.text(left, top + side + 19, kind)
            canvas.text(left, top + side + 39, f"no content: {count} of {FIELDS_PER_KIND}", SOFT)
        return canvas.image.convert("L")

    return numbers, draw
