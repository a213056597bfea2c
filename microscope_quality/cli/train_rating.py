"""``microscope-quality train --rating``: a rater, from sharp images and simulated faults."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import typer

from microscope_quality.cli.training_display import Display


def train_rating(context: typer.Context) -> None:
    """Train a rater, as the options of ``train`` say."""
    from rich.console import Console

    from microscope_quality.cli.interruption import INTERRUPTED
    from microscope_quality.cli.options import settings_among
    from microscope_quality.cli.refusal import refusing
    from microscope_quality.cli.train_labels import check_options
    from microscope_quality.rating.quiet_keras import import_keras
    from microscope_quality.training.rating.train_rater import RaterSettings, train_rater

    given = context.params
    out: Path = given["out"]
    screen = Console(stderr=True, highlight=False, soft_wrap=True)
    display = RaterDisplay(screen)
    remedy = "pip install 'microscope-quality[train]' brings what training needs"
    try:
        with refusing("train", remedy=remedy):
            check_options(context, "rating")
            named = {name: value for name, value in given.items() if value is not None}
            named["coarse"] = tuple(given["coarse"] or ())
            settings = RaterSettings(**settings_among(named, RaterSettings))
            if screen.is_terminal:
                screen.print("starting TensorFlow …")
            import_keras()
            with display:
                train_rater(
                    given["paths"],
                    out,
                    given["name"],
                    settings,
                    manifest=given["manifest"],
                    command=shlex.join(["microscope-quality", *sys.argv[1:]]),
                    report=display.show,
                )
    except KeyboardInterrupt:
        typer.echo(
            f"Stopped. {out} holds the patches that were made; the same command goes on from "
            "there.",
            err=True,
        )
        raise typer.Exit(INTERRUPTED) from None
    model = shlex.quote(str(out / given["name"]))
    typer.echo(f"the model:  {out / given['name']}")
    typer.echo(f"to use it:  microscope-quality rate IMAGES --model {model}")


class RaterDisplay(Display):
    """What the training of a rater shows."""

    def show(self, record: dict[str, Any]) -> None:
        """Show a record of the training, of whatever kind."""
        if "validation" in record:
            told = record["validation"]
            self._screen.print(
                f"held out, {told['patches']:,.0f} patches: score RMSE {told['score_rmse']:.3f}, "
                f"correlation {told['score_plcc']:.3f}; correlation of the blur "
                f"{told['blur_r']:.3f}, noise {told['noise_r']:.3f}, line noise "
                f"{told['line_noise_r']:.3f}, jitter {told['jitter_r']:.3f}"
            )
        elif "epoch" in record:
            self._move(
                f"epoch {record['epoch']}", record["epoch"], record["of"], f"{record['loss']:.3f}"
            )
        elif "done" in record:
            done, total = record["done"], record["of"]
            self._do({"doing": record["doing"]})
            self._move(record["doing"], done, total, f"{done} of {total} blocks")
        else:
            super().show(record)
