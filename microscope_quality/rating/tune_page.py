"""A page on what a search tried: the settings it recommends, charts, and all of its images."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microscope_quality.rating.result_page import (
    as_html,
    counted,
    replace_page,
    result_page,
    table,
)
from microscope_quality.rating.tune_space import Choice, Range
from microscope_quality.rating.tune_trials import DOSE, SECONDS, Trial, TuneResult

_KIND, _STYLES = "tuning", ("tune.css",)
# Of charts, in pixels of their own.
_WIDE, _NARROW, _HEIGHT = 1080, 350, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 16, 14, 40
_MOST_LISTED = 5
_PURPOSES = {"start": "given", "search": "search", "repeat": "again"}
_ENDS = {
    "images": "It ended when all images of its budget were taken.",
    "dose": "It ended when its dose was spent.",
    "grid": "It ended when all points of its grid were tried.",
    "interrupted": "It was interrupted; the same call with the same folder goes on.",
}


def write_page(result: TuneResult, path: Path) -> None:
    """Write the page.

    Parameters
    ----------
    result
        What it tells.
    path
        The file; an older page of this kind is replaced in one step, any other file is not.

    Raises
    ------
    FileError
        There is another file at that place, or nothing can be written there.
    """
    replace_page(path, page(result), _KIND, "a search")


def page(result: TuneResult) -> bytes:
    """Give the page: it runs no script and asks for nothing from elsewhere."""
    failed = sum(bool(trial.error) for trial in result.trials)
    subject = (
        f"{counted(len(result.trials), 'image')}"
        + (f", {failed} of them failed" if failed else "")
        + f"; {counted(len(result.space), 'parameter')}: {', '.join(result.space)}."
    )
    parts = [
        _verdict(result),
        _course(result),
        _slices(result),
        _compromises(result),
        _best(result),
        _images(result),
        _meaning(result),
    ]
    return result_page(_KIND, "Settings with the best score", subject, parts, _STYLES)


def _number(value: float, digits: int = 4) -> str:
    """Give a number with so many digits; large and small ones as they are said, not as 1e+03."""
    if math.isnan(value):
        return "–"
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    whole_digits = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    text = f"{value:.{digits}g}" if whole_digits < digits else f"{value:,.0f}"
    return text.replace("-", "−")


def _score(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}".replace("-", "−")


def _measured(name: str, value: float) -> str:
    return "< 0.001" if name == SECONDS and value < 1e-3 else _number(value, 3)


def _value(result: TuneResult, name: str, value: Any, *, unit: bool = True) -> str:
    """Give a parameter's value in words."""
    one = result.space[name]
    said = _number(float(value), 3) if isinstance(one, Range) and not one.whole else str(value)
    return f"{said} {one.unit}" if unit and one.unit else said


def _settings(result: TuneResult, parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(result, name, value)}" for name, value in parameters.items())


def _verdict(result: TuneResult) -> str:
    best = result.best
    end = _ENDS.get(result.ended, "")
    if best is None:
        errors = [trial.error for trial in result.trials if trial.error]
        said = f" The last one failed with: {errors[-1]}" if errors else ""
        return (
            '<section aria-labelledby="found"><h2 id="found">In short</h2>'
            f'<p class="note">No image has a score, so nothing can be recommended.{as_html(said)}'
            f"</p><p>{as_html(end)}</p></section>"
        )
    tiles = [(name, _value(result, name, value), "") for name, value in best.parameters.items()]
    about = "of this image" if best.images == 1 else f"of these {best.images} images"
    tiles.append(("Score", _score(best.score), f"± {_score(best.spread)}, {about}, without noise"))
    if result.dose:
        tiles.append(("Dose spent", _number(result.dose, 3), "sum over all images"))
    listed = "".join(
        f'<li class="tile{" best" if title == "Score" else ""}"><span>{as_html(title)}</span> '
        f"<strong>{as_html(value)}</strong> <span>{as_html(more)}</span></li>"
        for title, value, more in tiles
    )
    good = [trial.score for trial in result.trials if not trial.error]
    middle = sorted(good)[len(good) // 2]
    begin = "Recommended"
    if result.minimise:
        begin = f"Without regard to {' and '.join(result.minimise)}, the best settings"
    sentence = (
        f"{begin}: {_settings(result, best.parameters)}. Their score is {_score(best.score)}; "
        f"half of all settings tried scored below {_score(middle)}."
    )
    return (
        '<section aria-labelledby="found"><h2 id="found">In short</h2>'
        f'<p class="sentence">{as_html(sentence)}</p><ul class="tiles">{listed}</ul>'
        f'<p class="soft">{as_html(end)}</p></section>'
    )


@dataclass(frozen=True)
class _Axis:
    """Where values lie along a side of a chart."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, one = self.low, self.high, value
        if self.log:
            low, high, one = math.log(low), math.log(high), math.log(one)
        return self.start + (one - low) / (high - low) * (self.stop - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        if not self.log:
            rough = (self.high - self.low) / most
            power = 10.0 ** math.floor(math.log10(rough))
            step = power * next(one for one in (1, 2, 5, 10) if one * power >= rough * 0.999)
            first = math.ceil(self.low / step - 1e-9)
            last = math.floor(self.high / step + 1e-9)
            return [round(number * step, 12) for number in range(first, last + 1)]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for parts in ((1, 2, 5), (1, 3), (1,)):
            found = [part * 10.0**decade for decade in decades for part in parts]
            inside = [one for one in found if self.low * 0.999 <= one <= self.high * 1.001]
            if len(inside) <= most:
                break
        if len(inside) < 2:
            return [self.low, self.high]
        return inside[:: math.ceil(len(inside) / most)]


def _spread_out(values: Iterable[float], *, log: bool = False) -> tuple[float, float]:
    """Give ends that hold values with some room."""
    found = list(values)
    low, high = min(found), max(found)
    if log:
        return low / 1.15, high * 1.15
    room = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return low - room, high + room


def _score_axis(trials: Sequence[Trial]) -> _Axis:
    low, high = _spread_out([trial.score for trial in trials if not trial.error] or [0.0, 1.0])
    return _Axis(low, high, _HEIGHT - _BOTTOM, _TOP)


def _chart(
    width: int,
    up: _Axis,
    drawn: Sequence[str],
    *,
    ticks: Sequence[tuple[float, str]],
    across: str,
    label: str,
) -> str:
    """Give a chart: rules and numbers of both axes, and what is drawn over them."""
    right, floor = width - _RIGHT, _HEIGHT - _BOTTOM
    parts = [
        f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{up.at(one):.1f}" '
        f'y2="{up.at(one):.1f}"/><text class="scale" x="{_LEFT - 7}" y="{up.at(one) + 4.5:.1f}" '
        f'text-anchor="end">{_number(one)}</text>'
        for one in up.ticks(5)
    ]
    parts += [
        f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 5}"/>'
        f'<text class="scale" x="{x:.1f}" y="{floor + 19}" text-anchor="middle">{as_html(said)}'
        "</text>"
        for x, said in ticks
    ]
    parts.append(f'<line class="rule" x1="{_LEFT}" x2="{right}" y1="{floor}" y2="{floor}"/>')
    parts += drawn
    parts.append(
        f'<text class="scale" x="{right}" y="{_HEIGHT - 4}" text-anchor="end">{as_html(across)}'
        f'</text><text class="scale" x="{_LEFT + 4}" y="{_TOP + 1}">↑ score</text>'
    )
    return (
        f'<svg viewBox="0 0 {width} {_HEIGHT}" role="group" aria-label="{as_html(label)}">'
        f"{''.join(parts)}</svg>"
    )


def _mark(result: TuneResult, trial: Trial, x: float, y: float, kind: str = "") -> str:
    """Draw an image's point, that leads to its row."""
    said = f"Image {trial.number + 1}: {_settings(result, trial.parameters)}; " + (
        f"failed: {trial.error}" if trial.error else f"score {_score(trial.score)}"
    )
    if trial.error:
        shape = (
            f'<path class="failed" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8"/>'
            f'<circle class="reach" cx="{x:.1f}" cy="{y:.1f}" r="8"/>'
        )
    elif trial.purpose == "repeat":
        shape = (
            f'<rect class="point {kind or "repeat"}" x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" '
            f'height="10" transform="rotate(45 {x:.1f} {y:.1f})"/>'
        )
    else:
        shape = f'<circle class="point {kind or "prediction"}" cx="{x:.1f}" cy="{y:.1f}" r="5.5"/>'
    return (
        f'<a href="#image-{trial.number + 1}" aria-label="{as_html(said)}">{shape}'
        f"<title>{as_html(said)}</title></a>"
    )


def _course(result: TuneResult) -> str:
    trials = result.trials
    if not trials:
        return ""
    up = _score_axis(trials)
    along = _Axis(0.5, len(trials) + 0.5, _LEFT, _WIDE - _RIGHT)
    best, path, marks = -math.inf, "", []
    for trial in trials:
        x = along.at(trial.number + 1)
        y = _HEIGHT - _BOTTOM - 8 if trial.error else up.at(trial.score)
        marks.append(_mark(result, trial, x, y))
        if not trial.error and trial.score > best:
            path += f"H{x:.1f}V{up.at(trial.score):.1f}" if path else f"M{x:.1f} {y:.1f}"
            best = trial.score
    if path:
        path += f"H{along.at(len(trials)):.1f}"
    ticks = [(along.at(one), f"{one:g}") for one in along.ticks(10) if one >= 1 and one == int(one)]
    chart = _chart(
        _WIDE,
        up,
        [f'<path class="so-far" d="{path}"/>', *marks],
        ticks=ticks,
        across="image →",
        label="Score of each image, in the order in which they were taken",
    )
    keys = ['<span class="key">image of the search</span>']
    if any(trial.purpose == "repeat" for trial in trials):
        keys.append('<span class="key repeat">best settings again</span>')
    if any(trial.error for trial in trials):
        keys.append('<span class="key failed">failed</span>')
    keys.append('<span class="key so-far">best so far</span>')
    return (
        '<section aria-labelledby="course"><h2 id="course">Image by image</h2>'
        f'<div class="card"><p class="small">{" ".join(keys)}</p><div class="scroll wide" '
        'tabindex="0" role="region" aria-label="Score of each image, scrolls sideways">'
        f"{chart}</div></div></section>"
    )


def _places(
    result: TuneResult, name: str, trials: Sequence[Trial]
) -> tuple[Callable[[Any], float], list[tuple[float, str]]]:
    """Give where values of a parameter lie in a narrow chart, and its numbers."""
    one = result.space[name]
    right = _NARROW - _RIGHT
    if isinstance(one, Choice):
        step = (right - _LEFT) / len(one.values)
        middles = {str(v): _LEFT + (k + 0.5) * step for k, v in enumerate(one.values)}
        return lambda value: middles[str(value)], [(x, said[:12]) for said, x in middles.items()]
    axis = _Axis(one.low, one.high, _LEFT + 8, right - 8, one.log)
    return lambda value: axis.at(float(value)), [(axis.at(v), _number(v)) for v in axis.ticks(5)]


def _slices(result: TuneResult) -> str:
    good = [trial for trial in result.trials if not trial.error]
    best = result.best
    if best is None:
        return ""
    up = _score_axis(good)
    charts = []
    for name, one in result.space.items():
        place, ticks = _places(result, name, good)
        x = place(best.parameters[name])

        def aside(trial: Trial, choice: bool = isinstance(one, Choice)) -> float:
            # Points of one value would hide each other.
            return 6.0 * (trial.number % 7 - 3) if choice else 0.0

        drawn = [
            f'<line class="recommended" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" '
            f'y2="{_HEIGHT - _BOTTOM}"/>'
        ]
        drawn += [
            _mark(result, trial, place(trial.parameters[name]) + aside(trial), up.at(trial.score))
            for trial in good
        ]
        chart = _chart(
            _NARROW,
            up,
            drawn,
            ticks=ticks,
            across=f"{one.unit} →" if one.unit and isinstance(one, Range) else "",
            label=f"Score over {name}; recommended: {_value(result, name, best.parameters[name])}",
        )
        charts.append(f'<figure class="card"><h3>{as_html(name)}</h3>{chart}</figure>')
    return (
        '<section aria-labelledby="slices"><h2 id="slices">Parameter by parameter</h2>'
        '<p class="soft">Each point is an image. The line stands at what is recommended.</p>'
        f'<div class="slices">{"".join(charts)}</div></section>'
    )


def _compromises(result: TuneResult) -> str:
    if not result.minimise or not result.front:
        return ""
    good = [trial for trial in result.trials if not trial.error]
    front = {trial.number for trial in result.front}
    up = _score_axis(good)
    charts = []
    for name in result.minimise:
        values = [trial.measurements[name] for trial in good]
        log = min(values) > 0 and max(values) > 30 * min(values)
        along = _Axis(*_spread_out(values, log=log), _LEFT + 8, _NARROW - _RIGHT, log)
        # The front last, over the others.
        ordered = sorted(good, key=lambda trial: trial.number in front)
        drawn = []
        if len(result.minimise) == 1:
            corners = [
                (along.at(trial.measurements[name]), up.at(trial.score)) for trial in result.front
            ]
            steps = "".join(f"H{x:.1f}V{y:.1f}" for x, y in corners[1:])
            drawn = [f'<path class="so-far" d="M{corners[0][0]:.1f} {corners[0][1]:.1f}{steps}"/>']
        drawn += [
            _mark(
                result,
                trial,
                along.at(trial.measurements[name]),
                up.at(trial.score),
                "front" if trial.number in front else "other",
            )
            for trial in ordered
        ]
        chart = _chart(
            _NARROW,
            up,
            drawn,
            ticks=[(along.at(one), _number(one, 3)) for one in along.ticks(5)],
            across=f"{name} →",
            label=f"Score over {name}; the front of best compromises is filled",
        )
        charts.append(f'<figure class="card"><h3>{as_html(name)}</h3>{chart}</figure>')
    names = [*result.space, "score", *result.minimise]
    rows = [
        [
            _link(trial),
            *(as_html(_value(result, name, trial.parameters[name])) for name in result.space),
            _score(trial.score),
            *(_measured(name, trial.measurements[name]) for name in result.minimise),
        ]
        for trial in reversed(result.front)
    ]
    return (
        '<section aria-labelledby="front"><h2 id="front">Compromises</h2>'
        f'<p class="soft">{as_html(counted(len(rows), "image"))} of which no other has both a '
        f"higher score and less {as_html(' and '.join(result.minimise))}.</p>"
        f'<p class="small"><span class="key front">the front</span> <span class="key other">'
        f'others</span></p><div class="slices">{"".join(charts)}</div>'
        f"{table(('Image', *names), rows, 'The front of best compromises')}</section>"
    )


def _link(trial: Trial) -> str:
    return f'<a href="#image-{trial.number + 1}">{trial.number + 1}</a>'


def _best(result: TuneResult) -> str:
    if not result.estimates:
        return ""
    rows = [
        [
            f"{place}",
            *(as_html(_value(result, name, one.parameters[name])) for name in result.space),
            f"{_score(one.score)} ± {_score(one.spread)}",
            f"{one.images:,}",
        ]
        for place, one in enumerate(result.estimates[:_MOST_LISTED], 1)
    ]
    columns = ("", *result.space, "Score without noise", "Images")
    noise = f"A single score differs from it by {_score(result.noise)} (standard deviation)."
    return (
        '<section aria-labelledby="best"><h2 id="best">The best settings</h2>'
        f'<p class="soft">{as_html(noise)}</p>'
        f"{table(columns, rows, 'The best settings')}</section>"
    )


def _images(result: TuneResult) -> str:
    if not result.trials:
        return ""
    pictures = any(trial.picture for trial in result.trials)
    told = [SECONDS, *(name for name in result.minimise if name != SECONDS)]
    told += sorted({name for trial in result.trials for name in trial.measurements} - set(told))
    best = result.best
    rows = []
    for trial in result.trials:
        settings = [
            as_html(_value(result, name, value, unit=False))
            for name, value in trial.parameters.items()
        ]
        picture = ""
        if trial.picture:
            source = base64.b64encode(trial.picture).decode()
            picture = f'<img src="data:image/webp;base64,{source}" alt="Image {trial.number + 1}">'
        own = best is not None and dict(trial.parameters) == dict(best.parameters)
        purpose = _PURPOSES.get(trial.purpose, trial.purpose) + (", recommended" if own else "")
        outcome = _score(trial.score)
        if trial.error:
            outcome = f'<span class="why">{as_html(trial.error)}</span>'
        cells = [
            f'<span id="image-{trial.number + 1}">{trial.number + 1}</span>',
            *([picture] if pictures else []),
            *settings,
            outcome,
            *(_measured(name, trial.measurements.get(name, math.nan)) for name in told),
            as_html(purpose),
        ]
        rows.append(cells)
    columns = [
        "Image",
        *(["Picture"] if pictures else []),
        *(f"{name}, {one.unit}" if one.unit else name for name, one in result.space.items()),
        "Score",
        *told,
        "What for",
    ]
    return (
        '<section aria-labelledby="images" class="images"><h2 id="images">All images</h2>'
        f"{table(columns, rows, 'All images, in the order in which they were taken')}</section>"
    )


def _meaning(result: TuneResult) -> str:
    entries = [
        (
            "Score without noise",
            "What the score of these settings would be on average: from a smooth surface through "
            "the scores of all images (a Gaussian process), with its standard deviation. The "
            "settings with the highest one are recommended, not the image with the highest score, "
            "which may have been lucky.",
        ),
        (
            "Again",
            "The last images are of the settings that could best turn out to be the best, to see "
            "whether they are.",
        ),
        ("Best so far", "The highest score of an image until then."),
        (
            "Failed",
            "The acquisition ended with an error, or its image could not be scored. Such an image "
            "counts for the budget and says nothing about the score.",
        ),
    ]
    if any(DOSE in trial.measurements for trial in result.trials):
        entries.append((DOSE, "As the acquisition tells it, in its own unit."))
    listed = "".join(f"<dt>{as_html(name)}</dt><dd>{as_html(said)}</dd>" for name, said in entries)
    return (
        '<section aria-labelledby="meaning"><h2 id="meaning">What the figures mean</h2>'
        f'<div class="card"><dl>{listed}</dl></div></section>'
    )
