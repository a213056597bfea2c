"""What a user study found: a page with tables, and the same numbers as CSV."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from microscope_quality.files import tables
from microscope_quality.files.regular import refusals
from microscope_quality.files.whole import whole
from microscope_quality.rating.result_page import as_html, counted, result_page
from microscope_quality.rating.study import (
    Answer,
    StudyRecord,
    read_answers,
    read_study,
)
from microscope_quality.rating.study_measures import (
    EDGES,
    N_BINS,
    Comparison,
    OverTesters,
    Tally,
    compare,
)
from microscope_quality.version import __version__

#: Files of the results, in the study's folder.
PAGE, MEASURES = "study.html", "measures.csv"
#: Columns of `MEASURES`.
COLUMNS = (
    *("compared", "target_from", "target_to", "tester", "target", "prediction", "equivalent"),
    *("discarded", "kept", "confusion", "confusion_sd", "confusion_testers", "domination"),
    *("domination_sd", "domination_testers"),
)

_ENDS = (0.0, *EDGES, 1.0)
# Of the drawing, in pixels of its own.
_PANEL_WIDTH, _PANEL_HEIGHT, _MARGIN_LEFT, _MARGIN_TOP = 470, 250, 46, 14


@dataclass(frozen=True)
class TesterResults:
    """What one tester did.

    Attributes
    ----------
    name : str
    trials, answered : int
        Of all kinds.
    repeated, repeated_same : int
        Images that were shown a second time with the same scores, and how often the choice was the
        same.
    agreement : float
        Share of same choices with other testers, of all pairs of answers to the same image; NaN
        without any.
    seconds : float
        Median of the time of an answer; NaN without any.
    """

    name: str
    trials: int
    answered: int
    repeated: int
    repeated_same: int
    agreement: float
    seconds: float


@dataclass(frozen=True)
class StudyResults:
    """What a study found so far.

    Attributes
    ----------
    record : StudyRecord
    prediction, baseline : Comparison
        Of the target with the prediction and with random scores.
    testers : tuple of TesterResults
    images : tuple of int
        How many there are in the five bins, and all together.
    """

    record: StudyRecord
    prediction: Comparison
    baseline: Comparison
    testers: tuple[TesterResults, ...]
    images: tuple[int, ...]

    @property
    def has_baseline(self) -> bool:
        """Whether random scores were shown, and not all of them discarded."""
        return self.baseline.total(N_BINS).kept > 0


def results_of(record: StudyRecord, answers: Sequence[Answer]) -> StudyResults:
    """Give the measures of all answers so far.

    Parameters
    ----------
    record
        The study.
    answers
        Those that count, one for each trial.
    """
    names = [tester.name for tester in record.testers]
    shown = {
        showing: [answer for answer in answers if answer.showing == showing]
        for showing in ("study", "baseline", "repeat")
    }
    # Of each tester, by what was shown.
    choices: dict[str, dict[tuple[object, ...], str]] = {name: {} for name in names}
    for answer in shown["study"]:
        choices.setdefault(answer.tester, {})[_place(answer)] = answer.choice
    same: dict[str, list[int]] = {name: [] for name in names}
    for one, other in combinations(names, 2):
        both = choices[one].keys() & choices[other].keys()
        found = [int(choices[one][place] == choices[other][place]) for place in both]
        same[one] += found
        same[other] += found
    images = compare(_InBin(image.target) for image in record.images).tallies.get("", ())
    return StudyResults(
        record,
        compare(shown["study"], names),
        compare(shown["baseline"], names),
        tuple(
            _of_tester(record, answers, choices[name], same[name], number)
            for number, name in enumerate(names)
        ),
        tuple(tally.kept for tally in images),
    )


@dataclass(frozen=True)
class _InBin:
    """An image, to be counted as an answer is."""

    target: float
    tester: str = ""
    choice: str = "target"


def _place(answer: Answer) -> tuple[object, ...]:
    return answer.image, answer.y, answer.x, answer.size


def _of_tester(
    record: StudyRecord,
    answers: Iterable[Answer],
    choices: Mapping[tuple[object, ...], str],
    same: Sequence[int],
    number: int,
) -> TesterResults:
    tester = record.testers[number]
    own = [answer for answer in answers if answer.tester == tester.name]
    repeats = [
        answer.choice == choices[_place(answer)]
        for answer in own
        if answer.showing == "repeat" and _place(answer) in choices
    ]
    return TesterResults(
        name=tester.name,
        trials=len(tester.trials),
        answered=len(own),
        repeated=len(repeats),
        repeated_same=sum(repeats),
        agreement=sum(same) / len(same) if same else math.nan,
        seconds=statistics.median(answer.seconds for answer in own) if own else math.nan,
    )


def write_results(folder: str | os.PathLike[str]) -> tuple[Path, Path, StudyResults]:
    """Write the page and the table of a study into its folder, from its answers so far.

    Returns
    -------
    page, table : Path
    results : StudyResults

    Raises
    ------
    FileError
        There is no study, it is damaged, or nothing can be written.
    """
    record = read_study(folder)
    results = results_of(record, read_answers(folder))
    page, table = Path(folder) / PAGE, Path(folder) / MEASURES
    for path, content in ((table, measures_csv(results)), (page, results_page(results))):
        with whole(path) as part, refusals(path, "written"):
            part.write_bytes(content)
    return page, table, results


def measures_csv(results: StudyResults) -> bytes:
    """Give all measures: of each bin a row for each tester, then one of all testers.

    Without a tester stands the mean over testers, with the sums of choices.
    """
    rows: list[dict[str, object]] = []
    for compared, comparison in _compared(results):
        for number in range(N_BINS + 1):
            low, high = _ends(number)
            about = {"compared": compared, "target_from": f"{low:g}", "target_to": f"{high:g}"}
            for name, tallies in comparison.tallies.items():
                tally = tallies[number]
                rows.append(
                    {
                        **about,
                        "tester": name,
                        **_counted(tally),
                        "confusion": _exact(tally.confusion),
                        "domination": _exact(tally.domination),
                    }
                )
            row = {**about, "tester": "", **_counted(comparison.total(number))}
            for measure in ("confusion", "domination"):
                found: OverTesters = getattr(comparison, measure)(number)
                row[measure] = _exact(found.mean)
                row[f"{measure}_sd"] = _exact(found.deviation)
                row[f"{measure}_testers"] = found.n_testers
            rows.append(row)
    return tables.encoded_header(COLUMNS) + tables.encoded(COLUMNS, rows)


def _compared(results: StudyResults) -> list[tuple[str, Comparison]]:
    found = [("prediction", results.prediction)]
    return [*found, ("random", results.baseline)] if results.has_baseline else found


def _ends(number: int) -> tuple[float, float]:
    return (0.0, 1.0) if number == N_BINS else (_ENDS[number], _ENDS[number + 1])


def _counted(tally: Tally) -> dict[str, object]:
    return {**vars(tally), "kept": tally.kept}


def _exact(value: float) -> str:
    """Give a number in all its digits; empty where there is none."""
    return "" if math.isnan(value) else repr(float(value))


# The page.


def results_page(results: StudyResults, table: str = MEASURES) -> bytes:
    """Give the page of the results: one HTML file that asks for nothing from elsewhere.

    Parameters
    ----------
    results
        Of the study.
    table
        Where the page leads to for the same numbers as CSV.
    """
    record = results.record
    title = f"{record.prediction_table} against {record.target_table}"
    parts = [
        _verdict(results),
        _by_bin(results),
        _by_tester(results),
        _meaning(results),
        _details(results, table),
    ]
    return result_page(
        "study", f"User study: <bdi>{as_html(title)}</bdi>", _subject(results), parts
    )


def _subject(results: StudyResults) -> str:
    record = results.record
    return (
        f"{counted(len(record.images), 'image')}, "
        f"{counted(len(record.testers), 'tester')}. Each saw an image with two scores, that "
        f"of {record.target_table} (the target) and that of {record.prediction_table} (the "
        "prediction), without knowing which is which."
    )


def _percent(found: OverTesters) -> str:
    if math.isnan(found.mean):
        return "–"
    if math.isnan(found.deviation):
        return f"{100 * found.mean:.1f} %"
    return f"{100 * found.mean:.1f} ± {100 * found.deviation:.1f} %"


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


def _verdict(results: StudyResults) -> str:
    record = results.record
    unfinished = [one for one in results.testers if one.answered < one.trials]
    notes = []
    if not record.testers:
        notes.append("There is no tester yet.")
    elif unfinished:
        names = ", ".join(f"{one.name} ({one.answered} of {one.trials})" for one in unfinished)
        notes.append(f"Not finished: {names}. All numbers here are of the answers so far.")
    tiles = []
    for words, comparison in (("prediction", results.prediction), ("random", results.baseline)):
        if words == "random" and not results.has_baseline:
            continue
        which = "Prediction" if words == "prediction" else "Random scores"
        for measure in ("confusion", "domination"):
            found: OverTesters = getattr(comparison, measure)(N_BINS)
            tiles.append(
                f'<li class="tile {words}"><span>{which}</span> <strong>{_percent(found)}</strong> '
                f"<span>{measure}, all images</span></li>"
            )
    total = results.prediction.total(N_BINS)
    sentence = "No answer counts yet."
    if total.kept:
        sentence = (
            f"In {counted(total.kept + total.discarded, 'first showing')}, testers picked "
            f"the prediction {total.prediction:,} times and the target {total.target:,} times, "
            f"called both equivalent {total.equivalent:,} times and discarded {total.discarded:,}."
        )
    return (
        '<section aria-labelledby="found"><h2 id="found">What testers said</h2>'
        f'<p class="sentence">{as_html(sentence)}</p>'
        f'<ul class="tiles">{"".join(tiles)}</ul>'
        + "".join(f'<p class="note">{as_html(note)}</p>' for note in notes)
        + "</section>"
    )


def _bin_name(number: int) -> str:
    if number == N_BINS:
        return "all images"
    return "{:g} – {:g}".format(*_ends(number))


def _by_bin(results: StudyResults) -> str:
    columns = ["Target’s score", "Images"]
    compared = _compared(results)
    for measure in ("Confusion", "Domination"):
        columns += [
            measure if name == "prediction" else f"{measure}, random scores" for name, _ in compared
        ]
    rows = []
    for number in range(N_BINS + 1):
        cells = [f"{results.images[number]:,}"]
        for measure in ("confusion", "domination"):
            for _, comparison in compared:
                found: OverTesters = getattr(comparison, measure)(number)
                of = ""
                if 0 < found.n_testers < len(results.testers):
                    of = f' <span class="soft">({counted(found.n_testers, "tester")})</span>'
                cells.append(f"{_percent(found)}{of}")
        rows.append((_bin_name(number), cells, number == N_BINS))
    return (
        '<section aria-labelledby="bins"><h2 id="bins">By the target’s score</h2>'
        '<p class="soft">Mean over testers ± standard deviation between them. A target of 0.2 '
        "counts to 0.2 – 0.4, and so on.</p>"
        f'<div class="pair">{_panel(results, "confusion")}{_panel(results, "domination")}</div>'
        f'<div class="card scroll">{_table("Measures by the target’s score", columns, rows)}</div>'
        "</section>"
    )


def _table(
    caption: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[str], bool]]
) -> str:
    """Give a table; its cells are HTML, its names are text."""
    head = "".join(f'<th scope="col">{as_html(name)}</th>' for name in columns)
    body = "".join(
        f'<tr{" class=total" if is_total else ""}><th scope="row"><bdi>{as_html(name)}</bdi></th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        for name, cells, is_total in rows
    )
    return (
        f'<table><caption class="unseen">{as_html(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _panel(results: StudyResults, measure: str) -> str:
    """Draw a measure by bins: points with whiskers of one standard deviation."""
    width, height = _PANEL_WIDTH - _MARGIN_LEFT - 8, _PANEL_HEIGHT - _MARGIN_TOP - 44

    def across(position: float) -> float:
        return _MARGIN_LEFT + position * width

    def down(value: float) -> float:
        return _MARGIN_TOP + (1 - min(max(value, 0), 1)) * height

    parts = []
    for value in (0, 0.25, 0.5, 0.75, 1):
        y = down(value)
        parts.append(
            f'<line class="grid" x1="{_MARGIN_LEFT}" x2="{across(1):.1f}" y1="{y:.1f}" '
            f'y2="{y:.1f}"/><text class="scale" x="{_MARGIN_LEFT - 8}" y="{y + 4:.1f}" '
            f'text-anchor="end">{100 * value:g}</text>'
        )
    if measure == "domination":
        parts.append(
            f'<line class="even" x1="{_MARGIN_LEFT}" x2="{across(1):.1f}" y1="{down(0.5):.1f}" '
            f'y2="{down(0.5):.1f}"/>'
        )
    n_columns = N_BINS + 1
    for number in range(n_columns):
        middle = across((number + 0.5) / n_columns)
        name = "all" if number == N_BINS else "{:g}–{:g}".format(*_ends(number))
        parts.append(
            f'<text class="scale" x="{middle:.1f}" y="{down(0) + 20:.1f}" text-anchor="middle">'
            f"{name}</text>"
        )
        compared = _compared(results)
        for place, (which, comparison) in enumerate(compared):
            found: OverTesters = getattr(comparison, measure)(number)
            if math.isnan(found.mean):
                continue
            x = middle + 16 * (place - (len(compared) - 1) / 2)
            if not math.isnan(found.deviation):
                top, end = down(found.mean + found.deviation), down(found.mean - found.deviation)
                parts.append(
                    f'<path class="whisker {which}" d="M{x:.1f} {top:.1f}V{end:.1f}'
                    f'M{x - 4:.1f} {top:.1f}h8M{x - 4:.1f} {end:.1f}h8"/>'
                )
            y = down(found.mean)
            if which == "prediction":
                parts.append(f'<circle class="point {which}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>')
            else:
                parts.append(
                    f'<rect class="point {which}" x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" '
                    'height="9"/>'
                )
    parts.append(
        f'<line class="rule" x1="{across(N_BINS / n_columns):.1f}" '
        f'x2="{across(N_BINS / n_columns):.1f}" y1="{_MARGIN_TOP}" y2="{down(0):.1f}"/>'
        f'<text class="scale" x="{across(0.5):.1f}" y="{_PANEL_HEIGHT - 4}" text-anchor="middle">'
        "target’s score</text>"
    )
    key = '<span class="key prediction">prediction</span>'
    if results.has_baseline:
        key += ' <span class="key random">random scores</span>'
    return (
        f'<figure class="card"><h3>{measure.capitalize()}, %</h3>'
        f'<svg viewBox="0 0 {_PANEL_WIDTH} {_PANEL_HEIGHT}" role="img" '
        f'aria-label="{measure.capitalize()} by the target’s score; the numbers stand in the table '
        f'below">{"".join(parts)}</svg><figcaption>{key}</figcaption></figure>'
    )


def _by_tester(results: StudyResults) -> str:
    if not results.testers:
        return ""
    columns = ["Tester", "Done", "T", "P", "E", "Discarded", "Confusion", "Domination"]
    columns += ["Same when repeated", "Same as others", "Seconds an answer"]
    rows = []
    for one in results.testers:
        tally = results.prediction.tallies[one.name][N_BINS]
        cells = [
            f"{one.answered:,} of {one.trials:,}",
            *(f"{count:,}" for count in (tally.target, tally.prediction, tally.equivalent)),
            f"{tally.discarded:,}",
            _share(tally.confusion),
            _share(tally.domination),
            f"{one.repeated_same} of {one.repeated}" if one.repeated else "–",
            _share(one.agreement),
            "–" if math.isnan(one.seconds) else f"{one.seconds:.1f}",
        ]
        rows.append((one.name, cells, False))
    bins = []
    for compared, comparison in _compared(results):
        for name, tallies in comparison.tallies.items():
            for number in range(N_BINS):
                tally = tallies[number]
                if tally == Tally():
                    continue
                cells = [
                    "prediction" if compared == "prediction" else "random score",
                    _bin_name(number),
                    *(str(count) for count in vars(tally).values()),
                    _share(tally.confusion),
                    _share(tally.domination),
                ]
                bins.append((name, cells, False))
    of_bins = ["Tester", "Against", "Target’s score", "T", "P", "E", "Discarded"]
    of_bins += ["Confusion", "Domination"]
    return (
        '<section aria-labelledby="testers"><h2 id="testers">By tester</h2>'
        '<p class="soft">T, P and E: target picked, prediction picked, both equivalent, over all '
        "images. Same when repeated: the choice at the second showing was that of the first. "
        "Same as others: share of equal choices over all pairs with other testers.</p>"
        f'<div class="card scroll">{_table("Testers", columns, rows)}</div>'
        "<details><summary>By tester and target’s score</summary>"
        f'<div class="scroll">{_table("Testers by the target’s score", of_bins, bins)}</div>'
        "</details></section>"
    )


def _meaning(results: StudyResults) -> str:
    record = results.record
    random = (
        f"Second showings of {100 * record.baseline:g} % of the images had a score drawn from "
        f"those of {record.training_table} in place of the prediction, each with the same chance. "
        "What testers would have said of a random score cannot be computed from what they said of "
        "the prediction, so they were shown it, blind."
        if record.baseline
        else "No random scores were shown."
    )
    definitions = (
        (
            "Confusion",
            "C = 1 − |2P + E − Ñ| / Ñ with Ñ = T + P + E, which is 1 − |P − T| / Ñ. 100 % where "
            "prediction and target were picked equally often, 0 % where it was always the same "
            "one. Confusion falls also when the network is better than the expert: then the "
            "prediction is picked more often. Read it with domination.",
        ),
        (
            "Domination",
            "D = P / (T + P): how often the prediction was picked where one of the two was. Above "
            "50 % testers side with the network, below with the expert. Robitaille et al. (2018) "
            "print it as 1 / (T + P), which cannot give the table in their paper; P / (T + P) can.",
        ),
        (
            "± ",
            "The sample standard deviation (n − 1) over testers. A tester who has no answer that "
            "counts in a bin is left out of its mean; – stands where there is none.",
        ),
        ("Random scores", random),
        (
            "Scores as shown",
            f"Both scores of a trial were rounded to {record.step:g}, so that their digits do not "
            "tell them apart. Where they were the same then, testers could say equivalent or "
            "discard alone.",
        ),
    )
    body = "".join(
        f"<dt>{as_html(name)}</dt><dd>{as_html(words)}</dd>" for name, words in definitions
    )
    return (
        '<section aria-labelledby="meaning"><h2 id="meaning">What the measures mean</h2>'
        f'<dl class="card">{body}</dl></section>'
    )


def _details(results: StudyResults, table: str) -> str:
    record = results.record
    facts = (
        ("Target", record.target_table),
        ("Prediction", record.prediction_table),
        ("Random scores from", f"{record.training_table} ({len(record.training):,} scores)"),
        ("Images", f"{len(record.images):,}"),
        ("Shown again with a random score", f"{100 * record.baseline:g} % of the images"),
        ("Shown again with the same scores", f"{100 * record.repeats:g} % of the images"),
        ("Seed", str(record.seed)),
        ("Made with", f"microscope-quality {record.version}"),
    )
    rows = [(name, [f"<bdi>{as_html(value)}</bdi>"], False) for name, value in facts]
    return (
        '<section aria-labelledby="made"><h2 id="made">How it was made</h2>'
        f'<div class="card">{_table("The study", ("", ""), rows)}</div>'
        '<p class="soft small">The same numbers in full: '
        f'<a href="{as_html(table)}">{MEASURES}</a>. '
        f"Page written by microscope-quality {__version__}; all is in this one file, and it asks "
        "for nothing from elsewhere.</p></section>"
    )
