"""``microscope-quality unseen``: how good models are on kinds of images that they never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def unseen(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="IN...", help="Sharp images: files, folders or patterns."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the trainings and unseen.csv.")
    ],
    manifest: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="As for train: which images are of one field."),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="What names the groups: column=NAME of the manifest, or a regular expression with "
            "named groups for the file's name; unless given, a group is a folder.",
        ),
    ] = None,
    smallest: Annotated[
        int,
        typer.Option(min=1, help="Groups of fewer images are trained on but not left out."),
    ] = 9,
    architecture: Annotated[
        str, typer.Option(help="compact, or another that train knows.")
    ] = "compact",
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Optimiser steps of each training; else the architecture's own."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the trainings and of what judges them.")] = 0,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that make the stream; 0: none of its own.")
    ] = 1,
) -> None:
    """Leave each group of images out in turn: train on the others, judge on it.

    Needs Keras and TensorFlow, and scikit-image for one of the measures it compares with: pip
    install 'microscope-quality[train,evaluate]'. As many trainings as there are large groups; the
    same command goes on from where it was stopped. A folder with a training on other images or
    with other settings is refused.

    Example: microscope-quality unseen sharp/* --out unseen --steps 4000
    """
    from rich.console import Console

    from microscope_quality.cli.refusal import refusing
    from microscope_quality.cli.training_display import Display
    from microscope_quality.evaluation.unseen import TABLE, UnseenSettings, leave_one_out
    from microscope_quality.rating.quiet_keras import import_keras
    from microscope_quality.training.defocus.sets import SetSettings
    from microscope_quality.training.defocus.train import TrainingSettings

    screen = Console(stderr=True, highlight=False, soft_wrap=True)
    display = Display(screen)

    def show(record: dict[str, Any]) -> None:
        if record.keys() == {"group"}:
            screen.print(f"without {record['group']}", style="bold", markup=False)
        elif "f_model" in record:
            screen.print(
                f"{record['group']}: {record['within_one']:.1%} within one level, "
                f"{record['exact']:.1%} exact; F-score {record['f_model']:.3f}, best classical "
                f"{record['f_best_classical']:.3f} ({record['best_classical']})",
                markup=False,
            )
        else:
            display.show(record)

    remedy = "pip install 'microscope-quality[train,evaluate]' brings what it needs"
    interrupted = "Stopped; the same command goes on from there."
    with refusing("unseen", remedy=remedy, interrupted=interrupted):
        # Where it is missing, that is said before images are read.
        import_keras()
        with display:
            leave_one_out(
                paths,
                out,
                UnseenSettings(
                    TrainingSettings(
                        architecture=architecture, steps=steps, seed=seed, workers=workers
                    ),
                    SetSettings(seed=seed),
                    smallest_group=smallest,
                ),
                manifest=manifest,
                group_by=group_by,
                report=show,
            )
    typer.echo(f"{out / TABLE}")
