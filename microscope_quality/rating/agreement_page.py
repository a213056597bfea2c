"""A page on how raters agree: figures, tables and small charts in one HTML file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from microscope_quality.rating.agreement import (
    Agreement,
    Correlation,
    PairFigures,
    Place,
    RaterFigures,
)
from microscope_quality.rating.result_page import (
    as_html,
    counted,
    replace_page,
    result_page,
    table,
)

_KIND, _STYLES = "agreement", ("agreement.css",)
# Of a chart, in pixels of its own.
_SIDE, _MARGIN = 200, 26
# From so many raters on, pairs are too many to be seen one by one.
_MOST_PAIRS = 45


def write_page(found: Agreement, path: Path, tables: Sequence[str]) -> None:
    """Write the page.

    Parameters
    ----------
    found
        What it tells.
    path
        The file; an older page of this kind is replaced in one step, any other file is not.
    tables
        Names of the tables of labels.

    Raises
    ------
    FileError
        There is another file at that place, or nothing can be written there.
    """
    replace_page(path, page(found, tables), _KIND, "agreement")


def page(found: Agreement, tables: Sequence[str]) -> bytes:
    """Give the page: it runs no script and asks for nothing from elsewhere."""
    named = ", ".join(tables)
    subject = (
        f"{counted(len(found.raters), 'rater')}, {counted(found.images, 'image')} or patches "
        "with a score."
        if found.images != 1
        else f"{counted(len(found.raters), 'rater')}, 1 image with a score."
    )
    parts = [
        _verdict(found),
        _raters(found),
        _charts(found),
        _pairs(found),
        _disputed(found),
        _meaning(),
    ]
    title = f"Agreement of raters: <bdi>{as_html(named)}</bdi>"
    return result_page(_KIND, title, subject, parts, _STYLES)


def _number(value: float, digits: int = 2, *, sign: bool = False) -> str:
    if math.isnan(value):
        return "–"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    # A minus as wide as the plus, and no zero with a sign.
    return "0." + "0" * digits if float(text) == 0 else text.replace("-", "−")


def _range(correlation: Correlation) -> str:
    if math.isnan(correlation.low):
        return ""
    return f"{_number(correlation.low)} to {_number(correlation.high)}"


def _name(name: str) -> str:
    return f"<bdi>{as_html(name)}</bdi>" if name else '<span class="soft">no name</span>'


def _verdict(found: Agreement) -> str:
    several = len(found.raters) > 1
    errors = [one.repeat_error for one in found.raters if not math.isnan(one.repeat_error)]
    tiles = []
    if several:
        for words, of in (
            ("of one rater’s scores", found.all.single),
            (f"of the mean of {found.all.raters}", found.all.mean),
        ):
            interval = f"95 %: {_range(of)}" if _range(of) else "too few images in common"
            name = "ICC(2,1)" if of is found.all.single else "ICC(2,k)"
            tiles.append((f"{name} {words}", _number(of.value), interval))
        tiles.append(
            (
                "Spread between raters",
                _number(found.spread, 3),
                f"over {counted(found.shared, 'image')} with two scores or more",
            )
        )
    pooled = math.sqrt(sum(one**2 for one in errors) / len(errors)) if errors else math.nan
    tiles.append(
        (
            "Repeat error",
            _number(pooled, 3),
            f"of {counted(len(errors), 'rater')}, root mean square"
            if errors
            else "no rater saw two images twice",
        )
    )
    listed = "".join(
        f'<li class="tile"><span>{as_html(title)}</span> <strong>{value}</strong> '
        f"<span>{as_html(more)}</span></li>"
        for title, value, more in tiles
    )
    notes = []
    if several and found.all.images < 2:
        notes.append(
            f"All {found.all.raters} raters have {counted(found.all.images, 'image')} in common: "
            "the correlations take two at least. The pairs below use what two have in common."
        )
    elif several and found.all.images < found.images:
        notes.append(
            f"The correlations are over the {found.all.images:,} of {found.images:,} that all "
            "raters scored."
        )
    return (
        '<section aria-labelledby="found"><h2 id="found">In short</h2>'
        f'<p class="sentence">{as_html(_sentence(found, pooled))}</p>'
        f'<ul class="tiles">{listed}</ul>'
        + "".join(f'<p class="note">{as_html(note)}</p>' for note in notes)
        + "</section>"
    )


def _sentence(found: Agreement, pooled: float) -> str:
    """Say what the figures mean for whoever learns from the scores."""
    said = []
    if not math.isnan(pooled):
        said.append(
            f"What a rater says of an image a second time differs by {math.sqrt(2) * pooled:.2f} "
            "(standard deviation) from the first time."
        )
    if not math.isnan(found.spread):
        said.append(
            f"Scores of one image by different raters lie {found.spread:.2f} about their mean."
        )
        if not math.isnan(pooled) and found.spread > 0:
            share = min(1.0, (pooled / found.spread) ** 2)
            said.append(
                f"{share:.0%} of that variance is what each rater’s own scores vary by; the rest "
                "is that they judge differently."
            )
    return " ".join(said) or "One rater, and nothing was shown twice: there is nothing to compare."


def _raters(found: Agreement) -> str:
    rows = []
    for one in found.raters:
        interval = ""
        if not math.isnan(one.repeat_low):
            interval = (
                f' <span class="soft">({_number(one.repeat_low)} to '
                f"{_number(one.repeat_high)})</span>"
            )
        mean = sum(one.scores) / len(one.scores) if one.scores else math.nan
        rows.append(
            [
                _name(one.name),
                _histogram(one),
                f"{len(one.scores):,}",
                f"{one.skipped:,}",
                _number(mean),
                _number(one.offset, 3, sign=True),
                f"{len(one.repeats):,}",
                _number(one.repeat_error, 3) + interval,
                _number(one.repeat_shift, 3, sign=True),
                _number(one.seconds, 1),
            ]
        )
    columns = (
        *("Rater", "Scores, 0 to 1", "Images", "Skipped", "Mean", "Offset"),
        *(
            "Shown twice",
            "Repeat error, interval",
            "Second less first",
            "Seconds, median",
        ),
    )
    return (
        '<section aria-labelledby="raters"><h2 id="raters">Each rater</h2>'
        f"{table(columns, rows, 'Figures of each rater')}</section>"
    )


def _histogram(rater: RaterFigures) -> str:
    """Draw how often each score was given, in steps of 0.1."""
    counts = Counter(min(10, max(1, round(score * 10))) for score in rater.scores)
    most = max(counts.values(), default=1)
    bars = "".join(
        f'<rect class="bar" x="{15 * (step - 1) + 1}" y="{33 - 32 * counts[step] / most:.1f}" '
        f'width="13" height="{32 * counts[step] / most:.1f}"><title>{step / 10:.1f}: '
        f"{counts[step]}</title></rect>"
        for step in range(1, 11)
        if counts[step]
    )
    said = ", ".join(f"{step / 10:.1f}: {counts[step]}" for step in sorted(counts)) or "none"
    return (
        f'<svg class="inline" viewBox="0 0 150 34" role="img" aria-label="Scores {said}">'
        f'<line class="axis" x1="0" x2="150" y1="33.5" y2="33.5"/>{bars}</svg>'
    )


def _charts(found: Agreement) -> str:
    figures = []
    for one in found.raters:
        if len(one.repeats) > 1:
            said = (
                f"{counted(len(one.repeats), 'image')}, repeat error {_number(one.repeat_error, 3)}"
            )
            figures.append(
                f'<figure class="card"><h3>{_name(one.name)}</h3>'
                f"{_scatter(one.repeats, 'first time', 'second time', one.name)}"
                f"<figcaption>{as_html(said)}</figcaption></figure>"
            )
    if not figures:
        return ""
    return (
        '<section aria-labelledby="again"><h2 id="again">The same image, the second time</h2>'
        '<p class="soft">On the line, both scores are the same. The larger a dot, the more images '
        f'it stands for.</p><div class="small-charts">{"".join(figures)}</div></section>'
    )


def _scatter(pairs: Sequence[tuple[float, float]], across: str, up: str, name: str) -> str:
    room = _SIDE - _MARGIN
    counts = Counter((round(a, 2), round(b, 2)) for a, b in pairs)
    most = max(counts.values())

    def x(score: float) -> float:
        return _MARGIN + score * (room - 8)

    def y(score: float) -> float:
        return room - score * (room - 8)

    grid = "".join(
        f'<line class="grid" x1="{x(0):.1f}" x2="{x(1):.1f}" y1="{y(at):.1f}" y2="{y(at):.1f}"/>'
        f'<line class="grid" y1="{y(0):.1f}" y2="{y(1):.1f}" x1="{x(at):.1f}" x2="{x(at):.1f}"/>'
        f'<text class="scale" x="{x(at):.1f}" y="{room + 14}" text-anchor="middle">{at:g}</text>'
        f'<text class="scale" x="{_MARGIN - 5}" y="{y(at) + 4:.1f}" text-anchor="end">{at:g}</text>'
        for at in (0, 0.5, 1)
    )
    dots = "".join(
        f'<circle class="dot" cx="{x(a):.1f}" cy="{y(b):.1f}" '
        f'r="{3 + 4 * math.sqrt((count - 1) / max(most - 1, 1)):.1f}">'
        f"<title>{a:g}, then {b:g}: {count}</title></circle>"
        for (a, b), count in sorted(counts.items())
    )
    return (
        f'<svg viewBox="0 0 {_SIDE} {_SIDE}" role="img" aria-label="{as_html(name)}: score the '
        f'{up} over that the {across}">{grid}'
        f'<line class="even" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>'
        f'{dots}<text class="scale" x="{x(1):.1f}" y="{_SIDE - 1}" text-anchor="end">{across} →'
        f'</text><text class="scale" x="{_MARGIN + 4}" y="13">↑ {up}</text></svg>'
    )


def _pairs(found: Agreement) -> str:
    if len(found.raters) < 2:
        return ""
    pairs: Sequence[PairFigures] = sorted(
        found.pairs, key=lambda pair: (math.isnan(pair.correlation.value), pair.correlation.value)
    )
    left_out = ""
    if len(pairs) > _MOST_PAIRS:
        left_out = (
            f'<p class="soft">The {_MOST_PAIRS} of {len(pairs):,} pairs that agree least.</p>'
        )
        pairs = pairs[:_MOST_PAIRS]
    rows = [
        [
            f"{_name(pair.one)} and {_name(pair.other)}",
            f"{pair.images:,}",
            _number(pair.correlation.value),
            _range(pair.correlation) or "–",
            _number(pair.difference, 3, sign=True),
            _number(pair.limits, 3),
        ]
        for pair in pairs
    ]
    columns = (
        *("Raters", "Images in common", "ICC(2,1)", "95 %", "First less second, mean"),
        "Standard deviation of that",
    )
    return (
        '<section aria-labelledby="pairs"><h2 id="pairs">Two by two</h2>'
        f"{left_out}{table(columns, rows, 'Figures of each pair of raters')}</section>"
        if rows
        else '<section aria-labelledby="pairs"><h2 id="pairs">Two by two</h2>'
        '<p class="note">No two raters scored the same image.</p></section>'
    )


def _disputed(found: Agreement) -> str:
    if not found.disputed:
        return ""
    rows = [
        [
            f"<bdi>{as_html(place_in_words(one.place))}</bdi>",
            _number(one.spread),
            ", ".join(f"{_name(name)} {score:.2g}" for name, score in one.scores.items()),
        ]
        for one in found.disputed
    ]
    return (
        '<section aria-labelledby="disputed"><h2 id="disputed">Where raters differ most</h2>'
        '<p class="soft">Worth looking at together before anything is learnt from the scores.</p>'
        f"{table(('Image', 'Spread', 'Scores'), rows, 'Images of which raters differ most')}"
        "</section>"
    )


def place_in_words(place: Place) -> str:
    """Say which image it is, or which patch of one."""
    image, y, x, size = place
    return image if size is None else f"{image}, {size} px at x {x}, y {y}"


def _meaning() -> str:
    entries = (
        (
            "ICC(2,1)",
            "Intraclass correlation of single scores (two-way random effects, absolute agreement; "
            "Shrout and Fleiss 1979): the share of the variance of scores that is between images, "
            "when any rater of this kind could give them. An offset of a rater lowers it. With 95 "
            "% interval.",
        ),
        (
            "ICC(2,k)",
            "The same for the mean of all k raters: how far this mean would be found again by "
            "others.",
        ),
        (
            "Spread",
            "Standard deviation of raters’ scores about their mean, on the same image: the root "
            "of the mean of the variances.",
        ),
        (
            "Offset",
            "Mean of a rater’s score less the mean of the others’, over images that both have.",
        ),
        (
            "Repeat error",
            "Standard deviation of a rater’s single score about what this rater means: that of the "
            "differences of second and first score, divided by √2. No score that is learnt from "
            "this rater can be told to be nearer than that.",
        ),
        (
            "Second less first",
            "Mean of these differences: a rater who grows milder has one above 0.",
        ),
    )
    listed = "".join(f"<dt>{as_html(name)}</dt><dd>{as_html(said)}</dd>" for name, said in entries)
    return (
        '<section aria-labelledby="meaning"><h2 id="meaning">What the figures mean</h2>'
        f'<div class="card"><dl>{listed}</dl></div></section>'
    )
