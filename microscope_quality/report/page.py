"""The page of a report: what it says first, and the data that its script draws from."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.columns import Column
from microscope_quality.files.tables import GROUPS
from microscope_quality.measuring.measure import Measure, Scale
from microscope_quality.measuring.naming import is_of_set
from microscope_quality.measuring.tile_grid import TileGrid
from microscope_quality.measuring.trends import (
    LEAST_IMAGES,
    TURN_DEG,
    Trend,
    duration,
    sentences,
    trends_of,
    why_untold,
)
from microscope_quality.measuring.wells import plate_format, well_position
from microscope_quality.report.rows import Rows
from microscope_quality.report.script import inlined
from microscope_quality.statuses import ERROR, Status
from microscope_quality.version import __version__

#: Stands in the page, and tells an older report from any other file.
GENERATOR = "microscope-quality report"
#: Bytes of a page, at most.
MOST_PAGE_BYTES = 48_000_000
#: Bytes of a page's table, at most.
MOST_DATA_BYTES = 20_000_000

# Of numbers that are neither good nor bad.
_NEUTRAL = Scale(tuple(f"#{52 + 18 * k:02x}{52 + 19 * k:02x}{58 + 19 * k:02x}" for k in range(11)))
_FOLDER = Path(__file__).parent
_MOST_CHARACTERS = 2000
_MOST_REASONS = 3
# Rows that are there without a script.
_MOST_LISTED = 300
# Worst images where some are bad, and of those that are good, for comparison.
_LEAST_WORST = 4
# Said of an image whose verdict is in doubt.
_NEAR = "near the limit"
_DAY = re.compile(r"\d{4}-\d\d-\d\dT")


@dataclass(frozen=True)
class Worst:
    """A plane among the worst, and its picture as WebP; `plain` if it was not measured again."""

    row: int
    picture: bytes
    plain: bool


def check_libraries() -> None:
    """Import what a page is made with.

    Raises
    ------
    SettingsError
        One is missing; says how to install it.
    """
    try:
        import jinja2  # noqa: F401
        import plotly.offline  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"A report needs {error.name}: pip install 'microscope-quality[report]'"
        ) from error


def encoded_table(rows: Rows) -> tuple[list[dict[str, Any]], list[str]]:
    """Pack the columns of a table, each as short as its texts allow.

    Returns
    -------
    list of dict
        For each column its name, and either ``all``, the text of all rows; or ``texts``, those of
        the rows; or ``texts``, the different ones, and ``index``, which of them each row has.
        Texts are in one string with line breaks between them, unless one has a line break itself.
    list of str
        What was left out to keep the page small, in sentences.

    Raises
    ------
    FileError
        When the table is too large for a page.
    """
    packed = {name: _packed(name, texts) for name, texts in rows.columns.items()}
    sizes = {name: len(json.dumps(one)) for name, one in packed.items()}
    notes = []
    if sum(sizes.values()) > MOST_DATA_BYTES:
        names = [name for name in rows.measure.distribution if name in packed]
        for name in names:
            del packed[name], sizes[name]
        if names:
            notes.append(
                f"The table is large: the columns {names[0]} to {names[-1]} are left out of this "
                "page and of its download."
            )
    if sum(sizes.values()) > MOST_DATA_BYTES:
        raise FileError(
            f"The table has {len(rows):,} rows, which are too many for one page; make a report of "
            "each plate."
        )
    return list(packed.values()), notes


def _packed(name: str, texts: Sequence[str]) -> dict[str, Any]:
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    if len(distinct) == 1:
        return {"name": name, "all": texts[0]}
    if len(distinct) * 3 <= len(texts):
        index = [distinct[text] for text in texts]
        return {"name": name, "texts": _joined(list(distinct)), "index": index}
    return {"name": name, "texts": _joined(texts)}


def _joined(texts: Sequence[str]) -> str | list[str]:
    return list(texts) if any("\n" in text for text in texts) else "\n".join(texts)


def safe_json(value: object) -> str:
    """Give JSON that cannot end the element it stands in, nor open another."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def worst_rows(rows: Rows, most: int) -> list[int]:
    """Choose the images that look worst: bad and partly bad ones in turn.

    Of those of nearly one value and trust, which look alike, one comes before the next; of a
    measure without trust, the worse comes first. At least a quarter of the places is for partly bad
    ones when there are as many. Where fewer than four are either, the worst of the good ones
    follow; where the measure knows no bad ones, only they. Those whose numbers mean nothing though
    they are bad come first, up to a quarter of the places.
    """
    measure = rows.measure
    values = rows.numbers(measure.value)
    trust = rows.numbers(measure.trust) if measure.trust else np.zeros(len(rows))
    ends = np.array([measure.scale.low, measure.scale.high], np.float64)
    ends = values[rows.shown] if np.isnan(ends).any() else ends
    ends = ends[~np.isnan(ends)]
    span = float(np.ptp(ends)) if ends.size else 0.0

    void = [row for row in rows.shown if rows.status[row].is_void][: most // 4]
    most -= len(void)

    def by_value(badness: int) -> list[int]:
        known = (row for row in rows.shown if not math.isnan(values[row]))
        chosen = (
            row
            for row in known
            if rows.status[row].badness == badness and not rows.status[row].is_void
        )
        return sorted(chosen, key=lambda row: -measure.badness(float(values[row])))

    def spread(chosen: list[int]) -> list[int]:
        if not measure.trust:
            return chosen
        alike: Counter[tuple[int, int]] = Counter()
        turns = {}
        for row in chosen:
            key = round(20 * values[row] / (span or 1)), round(10 * trust[row])
            turns[row] = alike[key]
            alike[key] += 1
        return sorted(chosen, key=lambda row: turns[row])

    bad, partly = by_value(3), by_value(2)
    n_partly = min(len(partly), max(most // 4, most - len(bad)))
    bad, partly = spread(bad[: most - n_partly]), spread(partly[:n_partly])
    both = min(len(bad), len(partly))
    worst = void + [row for pair in zip(bad, partly) for row in pair]
    worst += bad[both:] + partly[both:]
    if not _knows_bad(measure):
        return spread(by_value(0)[:most])
    return worst + by_value(0)[: max(0, min(_LEAST_WORST, most) - len(worst))]


def _knows_bad(measure: Measure) -> bool:
    return any(status.is_judged and status.badness for status in measure.statuses)


def render(
    rows: Rows,
    *,
    title: str,
    columns: Sequence[Mapping[str, Any]],
    pictures: Mapping[int, bytes],
    worst: Sequence[Worst],
    notes: Sequence[str],
    record: Mapping[str, Any],
    changes: Mapping[str, Sequence[int]],
    tile_grids: Sequence[TileGrid] = (),
) -> str:
    """Give the page as HTML.

    Parameters
    ----------
    rows : Rows
    title : str
    columns : sequence of dict
        From `encoded_table`.
    pictures : dict of int to bytes
        Small WebP pictures by row.
    worst : sequence of Worst
    notes : sequence of str
        What has to be known, in sentences.
    record : dict
        Of the run; empty when there is none.
    changes : dict of str to sequence of int
        Rows whose images are ``changed``, ``dated`` otherwise or ``missing`` now.
    tile_grids : sequence of TileGrid
        Where images lie in montages, by their numbers in `Rows.images`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    script = _inline(inlined())
    style = (_FOLDER / "report.css").read_text(encoding="utf-8")
    plotly = _inline(get_plotlyjs())
    stacks = [
        {"image": image, "name": _stack_name(rows, planes), "rows": planes, "best": best}
        for image, (planes, best) in enumerate(zip(rows.images, rows.best))
        if len(planes) > 1
    ]
    of_stacks = {
        rows.status[row].badness for row, planes in zip(rows.shown, rows.images) if len(planes) > 1
    }
    wells, formats = _plates(rows)
    small = {row: base64.b64encode(picture).decode() for row, picture in sorted(pictures.items())}
    measure = rows.measure
    statuses = _statuses(rows)
    drifts, drift_sentences = _drifts(rows)
    data = {
        "rows": len(rows),
        "columns": columns,
        "shown": rows.shown,
        "stacks": stacks,
        "wells": wells,
        "formats": formats,
        "changes": changes,
        "tiles": [
            {
                "name": grid.name,
                "montage": grid.is_montage,
                "rows": grid.rows,
                "columns": grid.columns,
                "places": [[image, *place] for image, place in grid.places.items()],
            }
            for grid in tile_grids
        ],
        "drifts": drifts,
        "pictures": [[row, len(text)] for row, text in small.items()],
        "status": [statuses.index(status) for status in rows.status],
        "near": [row for row in range(len(rows)) if _is_near(rows, row)],
        **_told(rows),
    }
    counts = Counter(rows.status[row] for row in rows.shown)
    policy = (
        f"default-src 'none'; script-src {_hash(script)} {_hash(plotly)}; "
        # plotly.js makes style elements of its own, of which no hash is known.
        "style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(
        loader=PackageLoader("microscope_quality.report", package_path="."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    listed, unlisted = _listed(rows)
    return environment.get_template("report.html.jinja").render(
        title=visible(title),
        generator=GENERATOR,
        policy=Markup(policy),
        style=Markup(style),
        script=Markup(script),
        plotly=Markup(plotly),
        data=Markup(safe_json(data)),
        pictures=Markup("".join(small.values())),
        version=__version__,
        subject=_subject(rows, record),
        sentence=sentence(counts, statuses),
        tiles=[
            (status, f"{counts[status]:,}", _share(counts[status], len(rows.shown)))
            for status in statuses
        ],
        notes=[visible(note) for note in notes],
        listed=listed,
        unlisted=f"{_counted(unlisted, 'more image')} {_are(unlisted)}" if unlisted else "",
        worst=[_shown(rows, one) for one in worst],
        all_good=all(rows.status[one.row].badness == 0 for one in worst),
        some_good=any(rows.status[one.row].badness == 0 for one in worst),
        knows_bad=_knows_bad(measure),
        legend=measure.legend and _data_uri(_png(measure.legend.colours(44)), "png"),
        measure=measure,
        causes=_causes(rows),
        near=sum(_is_near(rows, row) for row in rows.shown),
        stacks_first=any(badness > 1 for badness in of_stacks),
        stacks_last=1 in of_stacks,
        images=len(rows.shown),
        planes=len(rows),
        stacks=len(stacks),
        times=len({rows.columns["t"][row] for row in rows.shown} - {""}) > 1,
        wells=bool(formats),
        montages=any(grid.is_montage for grid in tile_grids),
        groups=_groups(rows),
        drifts=drifts,
        drift_sentences=drift_sentences,
        record=_record(record),
    )


def _statuses(rows: Rows) -> tuple[Status, ...]:
    """Give the measure's statuses; rare ones only where an image has them."""
    found = set(rows.status)
    return tuple(one for one in rows.measure.all_statuses if not one.is_rare or one in found)


def _told(rows: Rows) -> dict[str, Any]:
    """Give what the script has to know of the measures."""
    measure = rows.measure
    scales = {measure.trust: replace(_NEUTRAL, low=0, high=1)}
    scales |= {one.value: one.scale for one in reversed(rows.measures)}
    good = {one.value: one.good for one in reversed(rows.measures)}
    # What is said of a file comes last.
    described = sorted(rows.described(), key=lambda column: column.name in ("error", "message"))
    return {
        "noun": measure.noun,
        "value": measure.value,
        "trust": measure.trust,
        "limit": measure.limit,
        "drift": measure.drift,
        "listed": measure.listed,
        "causes": measure.causes,
        "remedies": _remedies(rows),
        "coloured": measure.legend is not None,
        "distribution": measure.distribution,
        "charts": [asdict(chart) for chart in measure.charts],
        "statuses": [
            {**status.to_dict(), "templates": measure.templates_of(status)}
            for status in _statuses(rows)
        ],
        "described": [
            {
                **asdict(column),
                "digits": _digits(column),
                "needs": measure.needs.get(column.name),
                "is_number": column.is_number,
                "judged": column.judged or column.name == measure.value,
                "good": good.get(column.name, ""),
                "scale": asdict(scales.get(column.name, _NEUTRAL)),
            }
            for column in described
        ],
    }


def _drifts(rows: Rows) -> tuple[list[dict[str, Any]], list[str]]:
    """Give what a measure follows over time, with lines through it, and say what it does.

    Without a drift, it says why.
    """
    measure = rows.measure
    if not measure.is_of_tiles:
        return [], []
    judged = [rows.row(row) for row in rows.shown if rows.status[row].is_judged]
    if len(judged) < LEAST_IMAGES:
        return [], []
    if untold := why_untold(judged):
        return [], [untold]
    trends = {name: one for name, one in trends_of(judged).items() if one.images >= LEAST_IMAGES}
    words = {column.name: column.words for column in measure.columns}
    drifts: list[dict[str, Any]] = [
        {
            "name": name,
            "words": words[name],
            "caption": _trend_said(one),
            # No more, as what is infinite is nothing that JSON has.
            "line": one.is_sure
            and {"start": one.start, "per_hour": one.per_hour, "hours": one.hours},
            "turns": TURN_DEG if name == "angle_deg" else 0,
        }
        for name, one in trends.items()
    ]
    said = sentences(trends)
    if not said:
        hours = max(one.hours for one in trends.values())
        said = [
            f"No drift is told over {duration(hours)}: no change is sure, as the 95 % interval of "
            "each holds 0."
        ]
    return drifts, said


def _trend_said(one: Trend) -> str:
    if math.isnan(one.per_hour):
        return "No trend: no direction in common."
    if not math.isfinite(one.high - one.low):
        return "No trend: the interval of its change has no ends."
    if not one.is_sure:
        return "No trend: the 95 % interval of its change holds 0."
    said = f"{one.per_hour:+.2f} an hour (95 %: {one.low:+.2f} to {one.high:+.2f})."
    return said.replace("-", "\u2212")


def _is_near(rows: Rows, row: int) -> bool:
    return rows.status[row].is_judged and rows.measure.is_near(rows.row(row))


def _remedies(rows: Rows) -> dict[str, Any]:
    """Give what makes images bad, or would, and what to do about it: pairs, and which each has."""
    if not any(rows.measure.causes):
        return {"pairs": [], "index": []}
    pairs = [rows.measure.remedy(rows.row(row)) for row in rows.shown]
    distinct = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    return {"pairs": list(distinct), "index": [distinct[pair] for pair in pairs]}


def _causes(rows: Rows) -> list[tuple[str, str, int]]:
    """Count images by what is wrong with them and what to do about it, the most frequent first."""
    columns = [rows.columns.get(name, [""] * len(rows)) for name in rows.measure.causes]
    counts = Counter((columns[0][row], columns[1][row]) for row in rows.shown)
    return [(*pair, count) for pair, count in counts.most_common() if any(pair)]


def _digits(column: Column) -> int | None:
    if column.digits is None and column.is_number:
        return 0 if column.kind == "integer" else 2
    return column.digits


def sentence(counts: Mapping[Status, int], statuses: Sequence[Status]) -> str:
    """Say the verdict in a sentence, from the counts of images by status."""
    images = sum(counts.values())
    if not images:
        return "The table has no rows: there is nothing to tell."
    good = statuses[0]
    there = [status for status in statuses if counts.get(status)]
    if len(there) == 1:
        (status,) = there
        if images == 1:
            return f"The image {_said(status, 1)}."
        if status is ERROR:
            return f"None of the {images:,} images could be measured."
        return f"All {images:,} images {_said(status, images)}."
    said = [f"{counts[one]:,} {_said(one, counts[one])}" for one in there if one is not good]
    n_good = counts.get(good, 0)
    first = f"{n_good:,} of {images:,} images {_said(good, n_good)}"
    if not n_good:
        first = f"None of the {images:,} images {_said(good, 1)}"
    if n_good and images >= 20:
        first += f" ({_share(n_good, images)})"
    last = said.pop()
    return f"{first}; {', '.join(said)}{' and ' if said else ''}{last}."


def _said(status: Status, number: int) -> str:
    if status is ERROR:
        return "could not be measured"
    return f"{_are(number)} {status.said or status.words}"


def visible(text: str) -> str:
    """Text whose invisible characters, which could hide or turn what stands there, show."""
    return "".join(one if one.isprintable() or one == " " else "\ufffd" for one in text)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _subject(rows: Rows, record: Mapping[str, Any]) -> str:
    """Say what is counted, beside the planes that ``measure`` counts, and when it was measured."""
    images, files = len(rows.shown), len(set(rows.columns["file"]))
    if not images:
        return ""
    said = _counted(images, "image")
    if len(rows) > images:
        said += f": {_counted(len(rows), 'plane')}"
    if files < len(rows):
        said += f" in {_counted(files, 'file')}"
    rules = []
    if any(len(image) > 1 for image in rows.images):
        rules.append("a z-stack counts once, by its best plane")
    for axis, what in (("c", "channel"), ("t", "point in time")):
        if any(rows.columns[axis][row] for row in rows.shown):
            rules.append(f"each {what} counts by itself")
    if sum(map(len, rows.images)) < len(rows):
        rules.append("blank ones do not count")
    said += f"; {', '.join(rules)}." if rules else "."
    day = record.get("ended") or record.get("started")
    model = record.get("model")
    name = model.get("name") if isinstance(model, Mapping) else None
    if isinstance(day, str) and _DAY.match(day):
        said += f" Measured on {day[:10]}"
        said += f" with the model {visible(name)[:80]}." if isinstance(name, str) else "."
    return said


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def unread(rows: Rows) -> list[str]:
    """Say why images could not be measured: how many there are of each reason, and the first."""
    reasons: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows.shown:
        if rows.status[row] is ERROR:
            # Numbers and what is quoted tell of the one file.
            reason = re.sub(r"\d+|'[^']*'", "0", rows.columns["error"][row])
            reasons[reason].append(row)
    ordered = sorted(reasons.values(), key=lambda some: -len(some))
    said = [
        f"{_planes(rows, some)} could not be measured{'; the first' * (len(some) > 1)}: "
        f"{rows.columns['file'][some[0]]} {rows.columns['error'][some[0]]}"
        for some in ordered[:_MOST_REASONS]
    ]
    left = sum(map(len, ordered[_MOST_REASONS:]))
    if left:
        said.append(f"{_counted(left, 'more image')} could not be measured; the table says why")
    return [f"{one.rstrip('.')}." for one in said]


def incomplete(rows: Rows) -> list[str]:
    """Say which z-stacks have planes that could not be measured, beside others, or lack some."""
    lost = []
    for image in rows.images:
        failed = [row for row in image if rows.status[row] is ERROR]
        if 0 < len(failed) < len(image):
            lost.append(failed[0])
    said = []
    if lost:
        have = "z-stack has" if len(lost) == 1 else "z-stacks have"
        error = rows.columns["error"][lost[0]].rstrip(".")
        said.append(
            f"{len(lost):,} {have} planes that could not be measured; the first: "
            f"{rows.columns['file'][lost[0]]} {error}."
        )
    return [*said, *filter(None, [rows.fewer])]


def _planes(rows: Rows, some: Sequence[int]) -> str:
    """Count images, and the files that they are in where those are fewer."""
    files = len({rows.columns["file"][row] for row in some})
    said = _counted(len(some), "image")
    return f"{said} of {_counted(files, 'file')}" if files < len(some) else said


def _listed(rows: Rows) -> tuple[list[dict[str, Any]], int]:
    """Rows for a reader without a script, the worst first, and how many are left out."""
    measure = rows.measure
    values = rows.numbers(measure.value)

    def rank(row: int) -> tuple[int, float]:
        worse = measure.badness(float(values[row]))
        return -rows.status[row].badness, 0 if math.isnan(worse) else -worse

    ordered = sorted(rows.shown, key=rank)
    return [_line(rows, row) for row in ordered[:_MOST_LISTED]], len(ordered[_MOST_LISTED:])


def _line(rows: Rows, row: int) -> dict[str, Any]:
    status, measure = rows.status[row], rows.measure
    texts = [rows.columns[name][row] for name in (measure.value, measure.trust) if name]
    return {
        "name": _name(rows, row),
        "verdict": f"{status.sign} {status.words}",
        "error": visible(rows.columns["error"][row][:_MOST_CHARACTERS]),
        "numbers": [f"{float(text):.2f}" if text and status.is_judged else "" for text in texts],
    }


def _name(rows: Rows, row: int) -> str:
    return visible(f"{rows.columns['file'][row]} {rows.places[row]}".strip())


def _stack_name(rows: Rows, planes: Sequence[int]) -> str:
    """Name a z-stack: its file, or its files with ``*`` for what differs between their names."""
    of_names = rows.columns["stack"][planes[0]]
    if of_names and not is_of_set(of_names):
        return of_names
    files = list(dict.fromkeys(rows.columns["file"][row] for row in planes))
    if len(files) == 1:
        return files[0]
    start = os.path.commonprefix(files)  # noqa: RUF071 (characters, not folders)
    ends = [name[len(start) :][::-1] for name in files]
    end = os.path.commonprefix(ends)[::-1]  # noqa: RUF071
    return f"{start}*{end}"


def _share(count: int, images: int) -> str:
    return f"{100 * count / images:.1f}\u00a0%" if images else ""


def _shown(rows: Rows, one: Worst) -> dict[str, Any]:
    name, verdict = _name(rows, one.row), rows.measure.in_words(rows.row(one.row))
    if _is_near(rows, one.row):
        verdict += f", {_NEAR}"
    return {
        "row": one.row,
        "source": _data_uri(one.picture, "webp") if one.picture else "",
        "plain": one.plain,
        # Where a long name may be broken first.
        "parts": re.findall(r"[^_.\-/]*[_.\-/]|[^_.\-/]+", name),
        "label": f"{name}: {verdict}",
        "sign": rows.status[one.row].sign,
        "verdict": verdict,
    }


def _groups(rows: Rows) -> list[str]:
    """Name what images are grouped by, as far as the table tells it of any."""
    return [name for name in (*GROUPS, "c") if any(rows.columns[name][row] for row in rows.shown)]


def _plates(rows: Rows) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
    """Places of the wells by name, and rows and columns of each plate."""
    columns = rows.columns
    positions = {name: well_position(name) for name in {columns["well"][row] for row in rows.shown}}
    wells = {name: position for name, position in positions.items() if position is not None}
    on_plate: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)
    for row in rows.shown:
        if columns["well"][row] in wells:
            on_plate[columns["plate"][row]].add(wells[columns["well"][row]])
    return wells, {plate: plate_format(positions) for plate, positions in on_plate.items()}


def _record(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lines of the record: nested keys are named one after the other."""
    lines: list[tuple[str, str]] = []

    def add(name: str, value: object) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                add(f"{name}, {key}" if name else str(key), inner)
            return
        if name == "command" and isinstance(value, list):
            text = f"microscope-quality {shlex.join(map(str, value))}"
        elif isinstance(value, str):
            text = value
        else:
            text = json.dumps(value, ensure_ascii=False)
        if text not in ("", "null"):
            lines.append((visible(name.replace("_", " ")), visible(text)[:_MOST_CHARACTERS]))

    for key, value in record.items():
        if key != "schema":
            add(key, value)
    return lines


def _png(picture: NDArray[np.uint8]) -> bytes:
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, "PNG")
    return stream.getvalue()


def _data_uri(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _inline(script: str) -> str:
    # In a script these two would change how a browser reads on; in its strings they mean the same.
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(text: str) -> str:
    # A browser takes the hash of the text as it has read it, where every line ends in \n.
    read = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'sha256-{base64.b64encode(hashlib.sha256(read.encode()).digest()).decode()}'"
