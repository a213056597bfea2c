"""``microscope-quality study``: testers choose between an expert's scores and a network's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, cast

import typer

from microscope_quality.cli.pages import PAGE, NoBrowserOption, PortOption

if TYPE_CHECKING:
    from microscope_quality.rating.study import Study
    from microscope_quality.rating.study_page import StudyPage
    from microscope_quality.rating.study_results import StudyResults

#: Heading of options in the command's help.
TRIALS = "What testers are shown"

# Where the pages are unless one says otherwise, so that testers' links stay what they are.
_PORT = 8770


def study(
    images: Annotated[
        Optional[list[str]],
        typer.Argument(
            metavar="IMAGES",
            help="Files, folders (searched through all levels) and patterns. To go on with the "
            "study in DIR, images and tables can be left out.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder of the study: its answers, which are kept as they are given, and its "
            "results.",
        ),
    ] = Path("study"),
    scores: Annotated[
        Optional[Path],
        typer.Option(
            metavar="TABLE.csv",
            help="Scores of the expert, the target: a table with the columns image and score, as "
            "that of label.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Optional[Path],
        typer.Option(
            metavar="TABLE.csv",
            help="Scores of the network, the prediction: such a table, or a results.csv with a "
            "column score, as that of rate.",
            show_default=False,
        ),
    ] = None,
    testers: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            help="Who judges. Each has a link of their own. More can be added on the page, or "
            "when the study goes on.",
            show_default=False,
        ),
    ] = "",
    training_scores: Annotated[
        Optional[Path],
        typer.Option(
            metavar="TABLE.csv",
            rich_help_panel=TRIALS,
            help="Scores that the network was trained on, from which random ones are drawn.",
            show_default="those of --scores",
        ),
    ] = None,
    baseline: Annotated[
        Optional[float],
        typer.Option(
            metavar="SHARE",
            rich_help_panel=TRIALS,
            help="Share of the images that are shown a second time with a random score in place "
            "of the network's, 0 to 1.",
            show_default="0.25",
        ),
    ] = None,
    repeats: Annotated[
        Optional[float],
        typer.Option(
            metavar="SHARE",
            rich_help_panel=TRIALS,
            help="Share of the images that are shown a second time with the same scores, 0 to 1.",
            show_default="0.1",
        ),
    ] = None,
    step: Annotated[
        Optional[float],
        typer.Option(
            metavar="STEP",
            rich_help_panel=TRIALS,
            help="Round the scores that are shown to 0.1, 0.05, 0.02 or 0.01.",
            show_default="the coarser step of both tables, so that digits do not tell which is "
            "which",
        ),
    ] = None,
    seed: Annotated[
        Optional[int],
        typer.Option(
            metavar="N",
            rich_help_panel=TRIALS,
            help="Start of the random orders and sides.",
            show_default="0",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            rich_help_panel=PAGE,
            help="Where the pages listen. 127.0.0.1 is this computer alone; 0.0.0.0 also tablets "
            "and other computers in the network, on which each tester's link works.",
        ),
    ] = "127.0.0.1",
    port: PortOption = None,
    no_browser: NoBrowserOption = False,
    results: Annotated[
        bool,
        typer.Option(
            "--results",
            help="Only write study.html and measures.csv of the answers so far, and serve "
            "nothing; also while another process serves the study.",
        ),
    ] = False,
) -> None:
    """Let testers choose, blind, between an expert's score and a network's, image by image.

    Each tester has a link and sees the images in an order of their own, with both scores side by
    side: pick one, say that both are equivalent, or discard. Confusion and domination come out,
    with a random baseline. Stop with Ctrl-C; the same command goes on.

    **Examples**

    * On this computer: `microscope-quality study images --scores labels.csv --against
    rated/results.csv --testers Ada,Ben --out study`

    * On tablets in the network: the same with `--host 0.0.0.0`

    * Go on another day: `microscope-quality study --out study`

    * The results: `microscope-quality study --out study --results`

    Exit codes: 0 written, or ended by SIGTERM, 2 refused, 130 stopped by Ctrl-C.
    """
    from microscope_quality.cli.pages import listening, serve
    from microscope_quality.cli.refusal import refusing
    from microscope_quality.rating.study import Study
    from microscope_quality.rating.study_page import StudyPage
    from microscope_quality.rating.study_results import write_results

    if results:
        with refusing("study"):
            _tell_results(*write_results(out))
        return
    with refusing("study"):
        for sentence in _begin(
            images, out, scores, against, training_scores, baseline, repeats, step, seed
        ):
            typer.echo(sentence, err=True)
        with Study(out) as conducted:
            known = {tester.name.casefold() for tester in conducted.record.testers}
            for name in (" ".join(one.split()) for one in testers.split(",")):
                if name and name.casefold() not in known:
                    conducted.add_tester(name)
            server = listening(
                lambda host, port: StudyPage(conducted, host, port), host, port, _PORT
            )
            _tell_links(conducted, cast("StudyPage", server))
            code = serve(
                server,
                host,
                no_browser=no_browser,
                warning="Whoever can reach this computer and has a link sees the images; nothing "
                "is encrypted.",
            )
        _tell_results(*write_results(out))
    raise typer.Exit(code)


def _begin(
    images: Optional[list[str]],
    out: Path,
    scores: Optional[Path],
    against: Optional[Path],
    training_scores: Optional[Path],
    baseline: Optional[float],
    repeats: Optional[float],
    step: Optional[float],
    seed: Optional[int],
) -> list[str]:
    """Make the study, or see that it is there; gives sentences on what is left out."""
    from microscope_quality.errors import SettingsError, printable
    from microscope_quality.files.images import find_some
    from microscope_quality.rating.score_tables import read_scores
    from microscope_quality.rating.study import (
        RECORD,
        StudySettings,
        begin_study,
        pair_scores,
        read_study,
    )

    there = read_study(out) if (out / RECORD).exists() else None
    if not images and scores is None and against is None and there is not None:
        given = (training_scores, baseline, repeats, step, seed)
        if any(one is not None for one in given):
            raise SettingsError(
                f"{out} has a study already, whose trials cannot be changed: choose another "
                "folder for a new one."
            )
        return []
    if not images or scores is None or against is None:
        missing = "`scores`" if scores is None else "`against`" if against is None else "IMAGES"
        raise SettingsError(
            f"A study needs IMAGES, `scores` and `against`, and {missing} is missing; only one "
            f"that is in {out} already goes on without them."
        )
    settings = (
        StudySettings()
        if there is None
        else StudySettings(there.seed, there.baseline, there.repeats, there.step)
    )
    named = {"seed": seed, "baseline": baseline, "repeats": repeats, "step": step}
    settings = StudySettings(
        **{**vars(settings), **{name: one for name, one in named.items() if one is not None}}
    )
    target, prediction = read_scores(scores), read_scores(against)
    training = None if training_scores is None else read_scores(training_scores)
    paired, notes = pair_scores(find_some(images, exclude=out), target, prediction)
    _, more = begin_study(out, paired, target, prediction, training, settings)
    return [printable(sentence) for sentence in (*notes, *more)]


def _tell_links(conducted: Study, page: StudyPage) -> None:
    """Print the links of testers."""
    from microscope_quality.cli.wording import counted
    from microscope_quality.errors import printable

    record = conducted.record
    what = f"{counted(len(record.images), 'image')}, {counted(len(record.testers), 'tester')}"
    typer.echo(f"{what}. Answers are kept in {printable(str(conducted.folder))}.")
    for tester in record.testers:
        done = f"{conducted.done(tester)} of {len(tester.trials)} answered"
        typer.echo(f"{printable(tester.name)}, {done}: {page.tester_url(tester)}")


def _tell_results(page: Path, table: Path, results: StudyResults) -> None:
    """Print what was found, and where it is written."""
    import math

    from microscope_quality.errors import printable
    from microscope_quality.rating.study_measures import N_BINS

    for which, comparison in (
        ("Prediction", results.prediction),
        ("Random scores", results.baseline),
    ):
        confusion, domination = comparison.confusion(N_BINS), comparison.domination(N_BINS)
        if math.isnan(confusion.mean):
            continue
        said = []
        for name, found in (("confusion", confusion), ("domination", domination)):
            if not math.isnan(found.mean):
                spread = "" if math.isnan(found.deviation) else f" ± {100 * found.deviation:.1f}"
                said.append(f"{name} {100 * found.mean:.1f}{spread} %")
        typer.echo(f"{which}: {', '.join(said)}.")
    typer.echo(printable(f"Written to {page} and {table}."))
