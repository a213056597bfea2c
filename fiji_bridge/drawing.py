"""What is drawn over an image of ImageJ's: patches in colours, a legend, the verdict."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from microscope_quality import FocusResult
from microscope_quality.concordance import LOWEST_SCORE
from microscope_quality.overlay import colours, patch_colours, score_colours, visible_parts
from microscope_quality.rater import RatingResult
from microscope_quality.statuses import BLANK, FOCUS_STATUSES, NO_CONTENT, RATING_STATUSES

#: How the elements in an overlay are called, which tells them from others there.
FOCUS, RATING = "focus", "rating"
WORDS = {status.key: status.words for status in (*FOCUS_STATUSES, *RATING_STATUSES)}

# Share of the patch's colour in the light over its pixels.
_TINT = 0.18
_GROUND = (24, 24, 27, 225)
_BRIGHT = (240, 240, 242)
_DIM = (185, 185, 193)
# Certainties in the legend, from 1 to 0; and scores, from the lowest one to 1.
_STEPS, _SCORES = 5, 10

Result = FocusResult | RatingResult


def kind_of(result: Result) -> str:
    """Tell what a result is of, as its elements are called."""
    return RATING if isinstance(result, RatingResult) else FOCUS


def patches(result: Result) -> list[Any]:
    """Draw the patches: a border and a tint.

    Without content, those of focus are dark grey, and those of ratings are left as they are.
    """
    roi, colour_of = java("ij.gui.Roi"), java("java.awt.Color")
    line = float(max(1, round(result.patch_size_px / 40)))
    alpha = round(255 * _TINT)
    elements = []
    parts = visible_parts(result).tolist()
    for (top, left, bottom, right), (colour, what) in zip(parts, _patches(result)):
        if colour is None:
            continue
        # A gap of a pixel keeps the borders of neighbours apart.
        height = min(bottom, result.height) - top - 1.0
        width = min(right, result.width) - left - 1.0
        if height < 1 or width < 1:
            continue
        tint = roi(float(left), float(top), width, height)
        tint.setFillColor(colour_of(*colour, alpha))
        border = roi(
            left + line / 2, top + line / 2, max(width - line, 0.5), max(height - line, 0.5)
        )
        border.setStrokeColor(colour_of(*colour))
        border.setStrokeWidth(line)
        for element in (tint, border):
            element.setName(f"{kind_of(result)}: {what}")
            elements.append(element)
    return elements


def _patches(result: Result) -> Iterator[tuple[list[int] | None, str]]:
    """Give the colour of each patch, None for one that is not drawn, and what it is called."""
    if isinstance(result, RatingResult):
        there = ~np.isnan(result.patch_scores)
        colours_of = iter(score_colours(result.patch_scores[there]).tolist())
        for score in result.patch_scores.tolist():
            known = not math.isnan(score)
            yield next(colours_of) if known else None, f"score {score:.2f}"
        return
    for level, certainty, colour in zip(
        result.patch_levels.tolist(),
        result.patch_certainties.tolist(),
        patch_colours(result).tolist(),
    ):
        what = f"level {level:.0f}, certainty {certainty:.2f}"
        yield colour, NO_CONTENT.words if math.isnan(level) else what


def legend(result: Result, height: int, width: int) -> list[Any]:
    """Draw the legend of a result in the lower left corner, with room for a line above it."""
    if isinstance(result, RatingResult):
        elements = _legend_of_scores(height, width)
    else:
        elements = _legend_of_levels(height, width, len(result.probabilities))
    for element in elements:
        element.setName(f"{kind_of(result)}: legend")
    return elements


def _legend_of_scores(height: int, width: int) -> list[Any]:
    """Draw the scores from left to right, from the lowest one to 1."""
    roi, colour_of = java("ij.gui.Roi"), java("java.awt.Color")
    justify = java("ij.gui.TextRoi")
    unit = _unit(height, width)
    block, left = 29 * unit, 10 * unit
    bottom = height - 19 * unit
    top = bottom - 2 * _STEPS * unit
    ground = roi(0.0, height - 62 * unit, 2 * left + _SCORES * block, 62 * unit)
    ground.setFillColor(colour_of(*_GROUND))
    elements = [ground]
    scores = np.linspace(LOWEST_SCORE, 1, _SCORES)
    for i, (score, colour) in enumerate(zip(scores.tolist(), score_colours(scores).tolist())):
        # A little larger than a block: the next one covers the seam.
        wide = block + unit if i + 1 < _SCORES else block
        part = roi(left + i * block, top, wide, bottom - top)
        part.setFillColor(colour_of(*colour))
        middle = left + (i + 0.5) * block
        words = _text(f"{score:.2g}", middle, bottom + unit, unit, _DIM, justify.CENTER)
        elements += [part, words]
    right = left + _SCORES * block
    for words, x, side in (("worst", left, justify.LEFT), ("ideal", right, justify.RIGHT)):
        elements.append(_text(words, x, top - 13 * unit, unit, _BRIGHT, side))
    return elements


def _legend_of_levels(height: int, width: int, levels: int) -> list[Any]:
    """Draw the legend in the lower left corner, with room for a line of text above it.

    The levels are side by side, certainties from top to bottom.
    """
    roi, colour_of = java("ij.gui.Roi"), java("java.awt.Color")
    justify = java("ij.gui.TextRoi")
    unit = _unit(height, width)
    block, left = 13 * unit, 46 * unit
    bottom = height - 19 * unit
    top = bottom - _STEPS * 4 * unit
    ground = roi(0.0, height - 72 * unit, 2 * left + levels * block - 36 * unit, 72 * unit)
    ground.setFillColor(colour_of(*_GROUND))
    elements = [ground]
    certainties = np.linspace(1, 0, _STEPS)[:, np.newaxis]
    painted = colours(np.arange(levels)[np.newaxis], certainties, levels).tolist()
    for step in range(_STEPS):
        for level in range(levels):
            # A little larger than a block: the next one covers the seam.
            wide = block + unit if level + 1 < levels else block
            high = 5 * unit if step + 1 < _STEPS else 4 * unit
            part = roi(left + level * block, top + step * 4 * unit, wide, high)
            part.setFillColor(colour_of(*painted[step][level]))
            elements.append(part)
    for level in range(levels):
        if levels <= 11 or level % 2 == 0:
            middle = left + (level + 0.5) * block
            elements.append(_text(str(level), middle, bottom + unit, unit, _DIM, justify.CENTER))
    right = left + levels * block
    for words, x, y, colour, side in (
        ("sure", left - 3 * unit, top - 3 * unit, _DIM, justify.RIGHT),
        ("unsure", left - 3 * unit, bottom - 9 * unit, _DIM, justify.RIGHT),
        ("in focus", left, top - 13 * unit, _BRIGHT, justify.LEFT),
        ("far out of focus", right, top - 13 * unit, _BRIGHT, justify.RIGHT),
    ):
        elements.append(_text(words, x, y, unit, colour, side))
    return elements


def verdict(result: Result) -> str:
    """Say a plane's result in a few words."""
    status = WORDS[result.status]
    if result.status in BLANK:
        return status
    if isinstance(result, RatingResult):
        interval = f"{result.score_low:.2f} to {result.score_high:.2f}"
        why = f": {result.cause}, {result.action}" if result.cause else ""
        return f"score {result.score:.2f} ({interval}), {status}{why}"
    return f"level {result.expected_level:.1f}, {status}, certainty {result.certainty:.2f}"


def verdict_above(result: Result, height: int, width: int) -> Any:
    """Write the verdict above the legend."""
    unit = _unit(height, width)
    side = java("ij.gui.TextRoi").LEFT
    above = 59 if isinstance(result, RatingResult) else 69
    element = _text(verdict(result), 6 * unit, height - above * unit, unit, _BRIGHT, side)
    element.setName(f"{kind_of(result)}: verdict")
    return element


def _unit(height: int, width: int) -> float:
    """Give the size of a pixel of the legend: of a large image it takes a smaller share."""
    small = min(width / 420, height / 260, 1.0)
    return max(small, min(width / 640, height / 400), 0.3)


def _text(
    words: str, x: float, y: float, unit: float, colour: tuple[int, int, int], side: int
) -> Any:
    font = java("java.awt.Font")
    text = java("ij.gui.TextRoi")(x, y, words)
    text.setFont(font(font.SANS_SERIF, font.PLAIN, 1).deriveFont(_java_float(10 * unit)))
    text.setAntiAlias(True)
    text.setJustification(side)
    text.setStrokeColor(java("java.awt.Color")(*colour))
    return text


def _java_float(number: float) -> Any:
    """Give a Java float: a plain number could mean a style where a size is wanted."""
    import jpype

    return jpype.JFloat(number)


@functools.lru_cache(maxsize=None)
def java(name: str) -> Any:
    """Give a class of the running Java, which the image has come from."""
    import jpype

    return jpype.JClass(name)
