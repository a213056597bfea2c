"""The page of a report: what it says first, and the data that its script draws from."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.overlay import legend, level_colours
from microscope_quality.report.rows import STATUSES, UNREADABLE, Rows
from microscope_quality.report.wells import plate_format, well_position
from microscope_quality.version import __version__

#: Stands in the page, and tells an older report from any other file.
GENERATOR = "microscope-quality report"
#: Bytes of a page, at most.
MOST_PAGE_BYTES = 48_000_000
#: Bytes of a page's table, at most.
MOST_DATA_BYTES = 20_000_000

SIGNS = {
    "in_focus": "●",
    "out_of_focus": "○",
    "mixed": "◐",
    "no_content": "·",
    UNREADABLE: "×",
}
WORDS = {
    "in_focus": "in focus",
    "out_of_focus": "out of focus",
    "mixed": "mixed",
    "no_content": "no content",
    UNREADABLE: "unreadable",
}
_OF_ALL = {
    "in_focus": "All {} images are in focus.",
    "out_of_focus": "All {} images are out of focus.",
    "mixed": "All {} images are mixed: their parts are at different levels.",
    "no_content": "None of the {} images has enough content to judge by.",
    UNREADABLE: "None of the {} images could be read.",
}
_OF_ONE = {
    "in_focus": "The image is in focus.",
    "out_of_focus": "The image is out of focus.",
    "mixed": "The image is mixed: its parts are at different levels.",
    "no_content": "The image is without enough content to judge by.",
    UNREADABLE: "The image could not be read.",
}
LIMITS = (
    "The number is about blur in fluorescence images at the sampling that the model knows: images "
    "that are sampled much finer, thick samples, objects that are smooth even in focus and very "
    "few photons are given too high a level, and brightfield is not to be trusted.",
    "Levels 0 and 1 are often taken for each other, the last level means “at least”, and without "
    "content or certainty there is nothing to believe.",
)
_FOLDER = Path(__file__).parent
_MOST_CHARACTERS = 2000
_MOST_REASONS = 3
# Rows that are there without a script, and their order.
_MOST_LISTED = 300
_LISTED = (UNREADABLE, "out_of_focus", "mixed", "no_content", "in_focus")
_OPTION = re.compile(r"((?<![\w-])--[a-z]+(?:-[a-z]+)*(?![\w-]))")
_DAY = re.compile(r"\d{4}-\d\d-\d\dT")


@dataclass(frozen=True)
class Worst:
    """A plane among the worst, and its picture as WebP; `plain` without coloured patches."""

    row: int
    picture: bytes
    plain: bool


@dataclass(frozen=True)
class _Tile:
    status: str
    sign: str
    word: str
    count: str
    share: str


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
        for level in range(rows.levels):
            del packed[f"p{level}"], sizes[f"p{level}"]
        notes.append(
            f"The table is large: the columns p0 to p{rows.levels - 1} are left out of this page "
            "and of its download."
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
    """Choose the images that look worst: far out of focus and mixed ones in turn.

    Of those of nearly one level and certainty, which look alike, one comes before the next.
    At least a quarter of the places is for mixed ones when there are as many. Where fewer than
    four are either, those in focus with the highest levels follow.
    """
    expected = rows.numbers["expected_level"]

    def by_level(status: str) -> list[int]:
        chosen = [row for row in rows.shown if rows.status[row] == status]
        return sorted(
            (row for row in chosen if not math.isnan(expected[row])),
            key=lambda row: -expected[row],
        )

    def spread(chosen: Sequence[int]) -> list[int]:
        alike: Counter[tuple[int, int]] = Counter()
        turns = {}
        for row in chosen:
            key = round(2 * expected[row]), round(10 * rows.numbers["certainty"][row])
            turns[row] = alike[key]
            alike[key] += 1
        return sorted(chosen, key=lambda row: turns[row])

    out, mixed = by_level("out_of_focus"), by_level("mixed")
    n_mixed = min(len(mixed), max(most // 4, most - len(out)))
    out, mixed = spread(out[: most - n_mixed]), spread(mixed[:n_mixed])
    both = min(len(out), len(mixed))
    worst = [row for pair in zip(out, mixed) for row in pair] + out[both:] + mixed[both:]
    if len(worst) < min(4, most):
        worst += by_level("in_focus")[: min(4, most) - len(worst)]
    return worst


def render(
    rows: Rows,
    *,
    title: str,
    columns: Sequence[Mapping[str, Any]],
    pictures: Mapping[int, bytes],
    worst: Sequence[Worst],
    notes: Sequence[str],
    record: Mapping[str, Any],
    in_focus_limit: int,
    sure_certainty: float | None,
    changes: Mapping[str, Sequence[int]],
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
    in_focus_limit : int
    sure_certainty : float or None
        From which the model counts a patch as sure; None when it is not known.
    changes : dict of str to sequence of int
        Rows whose images are ``changed``, ``dated`` otherwise or ``missing`` now.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    script = _inline((_FOLDER / "report.js").read_text(encoding="utf-8"))
    style = (_FOLDER / "report.css").read_text(encoding="utf-8")
    plotly = _inline(get_plotlyjs())
    stacks = [
        {"image": image, "rows": planes, "best": best}
        for image, (planes, best) in enumerate(zip(rows.images, rows.best))
        if len(planes) > 1
    ]
    wells, formats = _plates(rows)
    small = {row: base64.b64encode(picture).decode() for row, picture in sorted(pictures.items())}
    data = {
        "rows": len(rows),
        "levels": rows.levels,
        "limit": in_focus_limit,
        "sure": 0.3 if sure_certainty is None else sure_certainty,
        "columns": columns,
        "shown": rows.shown,
        "stacks": stacks,
        "wells": wells,
        "formats": formats,
        "colours": [f"#{bytes(colour).hex()}" for colour in level_colours(rows.levels)],
        "changes": changes,
        "pictures": [[row, len(text)] for row, text in small.items()],
    }
    counts = Counter(rows.status[row] for row in rows.shown)
    parts = [("verdict", "Verdict")]
    if rows.shown:
        parts += [("threshold", "What to keep"), ("levels", "Levels and certainty")]
        parts += [("plates", "Plates")] * bool(formats)
        parts += [("groups", "By plate, site and channel"), ("time", "Course")]
        parts += [("stacks", "Z-stacks")] * bool(stacks)
        parts += [("montage", "Pictures"), ("table", "Table")]
    parts.append(("record", "What to know"))
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
    bad = [one for one in worst if rows.status[one.row] != "in_focus"]
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
        sentence=sentence(counts),
        tiles=[_tile(status, counts, len(rows.shown)) for status in (*STATUSES, UNREADABLE)],
        parts=parts,
        notes=[visible(note) for note in notes],
        split_options=_OPTION.split,
        listed=listed,
        unlisted=f"{_counted(unlisted, 'more image')} {_are(unlisted)}" if unlisted else "",
        worst=[_shown(rows, one) for one in worst],
        worst_title=_worst_title(len(bad), len(worst)),
        worst_note=(
            "Drawn in grey: they could not be measured again."
            if worst and all(one.plain for one in worst)
            else ""
        ),
        legend=_legend(rows.levels),
        levels=rows.levels,
        limit=in_focus_limit,
        sure=None if sure_certainty is None else f"{sure_certainty:.2g}",
        images=len(rows.shown),
        stacks=len(stacks),
        times=len({rows.columns["t"][row] for row in rows.shown} - {""}) > 1,
        wells=bool(formats),
        limits=LIMITS,
        record=_record(record),
    )


def sentence(counts: Mapping[str, int]) -> str:
    """Say the verdict in a sentence, from the counts of images by status."""
    images = sum(counts.values())
    if not images:
        return "The table has no rows: there is nothing to tell."
    if images == 1:
        return _OF_ONE[next(status for status, number in counts.items() if number)]
    for status, number in counts.items():
        if number == images:
            return _OF_ALL[status].format(f"{images:,}")
    focused = counts.get("in_focus", 0)
    others = [
        (counts.get("out_of_focus", 0), "out of focus"),
        (counts.get("mixed", 0), "mixed (parts at different levels)"),
        (counts.get("no_content", 0), "without enough content to judge by"),
    ]
    said = [f"{number:,} {_are(number)} {words}" for number, words in others if number]
    if unreadable := counts.get(UNREADABLE, 0):
        said.append(f"{unreadable:,} could not be read")
    first = f"{focused:,} of {images:,} images {_are(focused)} in focus"
    if not focused:
        first = f"None of the {images:,} images is in focus"
    if focused and images >= 20:
        first += f" ({_share(focused, images)})"
    last = said.pop()
    return f"{first}; {', '.join(said)}{' and ' if said else ''}{last}."


def _worst_title(bad: int, shown: int) -> str:
    if not bad:
        return "All in focus: the highest levels"
    return "The worst, then the highest levels in focus" if bad < shown else "The worst"


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
    if len(rows) > images:
        rules.append("a z-stack counts once, by its best plane")
    if any(rows.columns["c"][row] for row in rows.shown):
        rules.append("each channel counts by itself")
    if any(rows.columns["t"][row] for row in rows.shown):
        rules.append("each point in time counts by itself")
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
    """Say why images could not be read: how many there are of each reason, and the first."""
    reasons: dict[str, list[int]] = {}
    for row in rows.shown:
        if rows.status[row] == UNREADABLE:
            # Numbers and what is quoted tell of the one file.
            reason = re.sub(r"\d+|'[^']*'", "0", rows.columns["error"][row])
            reasons.setdefault(reason, []).append(row)
    ordered = sorted(reasons.values(), key=lambda some: -len(some))
    said = [
        f"{_planes(rows, some)} could not be read{'; the first' * (len(some) > 1)}: "
        f"{rows.columns['file'][some[0]]} {rows.columns['error'][some[0]]}"
        for some in ordered[:_MOST_REASONS]
    ]
    left = sum(map(len, ordered[_MOST_REASONS:]))
    if left:
        said.append(f"{_counted(left, 'more image')} could not be read; the table says why")
    return [f"{one.rstrip('.')}." for one in said]


def _planes(rows: Rows, some: Sequence[int]) -> str:
    """Count images, and the files that they are in where those are fewer."""
    files = len({rows.columns["file"][row] for row in some})
    said = _counted(len(some), "image")
    return f"{said} of {_counted(files, 'file')}" if files < len(some) else said


def _listed(rows: Rows) -> tuple[list[dict[str, str]], int]:
    """Rows for a reader without a script, what is not in focus first, and how many are left out."""
    expected = rows.numbers["expected_level"]
    turn = {status: number for number, status in enumerate(_LISTED)}
    ordered = sorted(
        rows.shown,
        key=lambda row: (
            turn[rows.status[row]],
            0 if math.isnan(expected[row]) else -expected[row],
        ),
    )
    return [_line(rows, row) for row in ordered[:_MOST_LISTED]], len(ordered[_MOST_LISTED:])


def _line(rows: Rows, row: int) -> dict[str, str]:
    status = rows.status[row]
    judged = status not in ("no_content", UNREADABLE)
    numbers = {
        name: f"{rows.numbers[name][row]:.2f}" if judged else ""
        for name in ("expected_level", "certainty")
    }
    return {
        "name": _name(rows, row),
        "verdict": f"{SIGNS[status]} {WORDS[status]}",
        "error": visible(rows.columns["error"][row][:_MOST_CHARACTERS]),
        **numbers,
    }


def _name(rows: Rows, row: int) -> str:
    axes = zip(("series ", "z", "c", "t"), rows.place(row))
    where = " ".join(axis + text for axis, text in axes if text)
    return visible(f"{rows.columns['file'][row]} {where}".strip())


def _tile(status: str, counts: Mapping[str, int], images: int) -> _Tile:
    count = counts.get(status, 0)
    return _Tile(status, SIGNS[status], WORDS[status], f"{count:,}", _share(count, images))


def _share(count: int, images: int) -> str:
    return f"{100 * count / images:.1f}\u00a0%" if images else ""


def _shown(rows: Rows, one: Worst) -> dict[str, Any]:
    status = rows.status[one.row]
    name = _name(rows, one.row)
    numbers = rows.numbers
    level, expected = numbers["level"][one.row], numbers["expected_level"][one.row]
    # The single level of a mixed image may be that of a few sure patches.
    said = f"level {level:.0f} (expected {expected:.1f})"
    if status == "mixed":
        said = f"expected level {expected:.1f}"
    verdict = f"{WORDS[status]}, {said}, certainty {numbers['certainty'][one.row]:.2f}"
    return {
        "row": one.row,
        "source": _data_uri(one.picture) if one.picture else "data:,",
        "plain": one.plain,
        # Where a long name may be broken first.
        "parts": re.findall(r"[^_.-]*[_.-]|[^_.-]+", name),
        "label": f"{name}: {verdict}",
        "sign": SIGNS[status],
        "verdict": verdict,
    }


def _plates(rows: Rows) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
    """Places of the wells by name, and rows and columns of each plate."""
    columns = rows.columns
    wells: dict[str, tuple[int, int]] = {}
    for name in {columns["well"][row] for row in rows.shown}:
        position = well_position(name)
        if position is not None:
            wells[name] = position
    on_plate: dict[str, set[tuple[int, int]]] = {}
    for row in rows.shown:
        if columns["well"][row] in wells:
            plate = on_plate.setdefault(columns["plate"][row], set())
            plate.add(wells[columns["well"][row]])
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


def _legend(levels: int) -> str:
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(legend(44, levels))).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _data_uri(picture: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(picture).decode()}"


def _inline(script: str) -> str:
    # In a script these two would change how a browser reads on; in its strings they mean the same.
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(text: str) -> str:
    # A browser takes the hash of the text as it has read it, where every line ends in \n.
    read = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'sha256-{base64.b64encode(hashlib.sha256(read.encode()).digest()).decode()}'"
